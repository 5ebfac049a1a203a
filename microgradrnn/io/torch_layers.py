"""Weights from PyTorch and back: which array is which, and what its biases are.

PyTorch keeps matrices as (out, in), ours are (in, out). Its two biases, which only ever appear as a sum, become one; in
the GRU the recurrent bias of n is inside the reset gate, and becomes b_n.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from microgradrnn.engine.rules.elementwise import relu, tanh
from microgradrnn.io.arrays import fitting, given_arrays
from microgradrnn.io.content import read
from microgradrnn.nn import Embedding, GRUCell, Linear, LSTMCell, Module, RNNCell
from microgradrnn.nn.cells import IRNNCell
from microgradrnn.nn.recurrent import Recurrent


def load_torch(layer: Module, state: Mapping[str, Any] | str | os.PathLike[str]) -> None:
    """Give a layer the weights of its PyTorch counterpart; outputs and gradients are then the same.

    PyTorch keeps matrices as (out, in), ours are (in, out). Its two biases, which only ever appear as a sum, become
    one; in the GRU the recurrent bias of n is inside the reset gate, and becomes b_n.

    Args:
        layer: `RNN`, `LSTM`, ``GRU(reset="after")``, with any number of layers and directions, `Linear` or
            `Embedding`.
        state: the counterpart's ``state_dict()``, a dict of arrays (or of PyTorch's tensors on the CPU); or the path
            of a ``.safetensors`` file with just that. From a file of a whole model take the part:
            ``{k.removeprefix("rnn."): a for k, a in read(path).items() if k.startswith("rnn.")}``. It does not say
            whether an RNN is one with tanh or ReLU: make the layer as theirs was made.

    Raises:
        KeyError, ValueError: if names or shapes do not fit. Nothing is changed then.
        TypeError: if the layer has no counterpart, or an array is not of real numbers.

    >>> from microgradrnn import nn
    >>> theirs = {"weight": np.ones((2, 3)), "bias": np.zeros(2)}
    >>> linear = nn.Linear(3, 2)
    >>> load_torch(linear, theirs)
    >>> linear(np.ones((1, 3))).data
    array([[3., 3.]])
    """
    arrays = read(state) if isinstance(state, (str, os.PathLike)) else given_arrays(state)
    expected = to_torch_state_dict(layer)
    if not any(name.startswith("bias_") for name in arrays):  # a recurrent net without biases has biases of 0
        arrays |= {name: np.zeros(a.shape) for name, a in expected.items() if name.startswith("bias_")}
    if wrong := sorted(arrays.keys() ^ expected.keys()):
        part = next((k.removesuffix(name) for k in arrays for name in expected if k.endswith("." + name)), "")
        hint = f"; of a whole model take one part, the names after {part!r}: see help(load_torch)" * bool(part)
        raise KeyError(f"load_torch: {type(layer).__name__} needs {', '.join(expected)}; only one side has "
                       f"{', '.join(wrong)}{hint}")
    arrays = fitting("load_torch", layer, arrays, expected)
    for p, a in from_torch(layer, arrays):
        p.data = a.astype(p.data.dtype)


def to_torch_state_dict(layer: Module) -> dict[str, np.ndarray]:
    """The weights of a layer as its PyTorch counterpart names and lays them out, the reverse of `load_torch`.

    Of PyTorch's two biases the second gets zeros, but for b_n of the GRU. ``torch_layer.load_state_dict({k:
    torch.from_numpy(a) for k, a in ...items()})`` takes it.

    Raises:
        TypeError: if the layer has no counterpart.

    >>> from microgradrnn import nn
    >>> {k: a.shape for k, a in to_torch_state_dict(nn.LSTM(3, 5)).items()}
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}
    """
    if isinstance(layer, Embedding):
        return {"weight": np.array(layer.E.data)}
    if isinstance(layer, Linear):
        V, d = layer.V.data, layer.d
        return {"weight": V.T.copy()} if d is None else {"weight": V.T.copy(), "bias": np.array(d.data)}
    theirs = {}
    for suffix, cell in torch_cells(layer):
        theirs[f"weight_ih_{suffix}"] = cell.U.data.T.copy()
        theirs[f"weight_hh_{suffix}"] = cell.W.data.T.copy()
        if getattr(cell, "P", None) is not None:
            theirs[f"weight_hr_{suffix}"] = cell.P.data.T.copy()
        if cell.b is not None:
            theirs[f"bias_ih_{suffix}"] = np.array(cell.b.data)
            second = theirs[f"bias_hh_{suffix}"] = np.zeros_like(cell.b.data)
            if isinstance(cell, GRUCell) and cell.b_n is not None:
                second[2 * cell.hidden_size :] = cell.b_n.data
    return theirs


def from_torch(layer: Module, arrays: Mapping[str, np.ndarray]) -> list[tuple[Any, np.ndarray]]:
    """Our parameters, each with what PyTorch's arrays make it."""
    if isinstance(layer, Embedding):
        return [(layer.E, arrays["weight"])]
    if isinstance(layer, Linear):
        return [(layer.V, arrays["weight"].T), *([] if layer.d is None else [(layer.d, arrays["bias"])])]
    ours = []
    for suffix, cell in torch_cells(layer):
        ours += [(cell.U, arrays[f"weight_ih_{suffix}"].T), (cell.W, arrays[f"weight_hh_{suffix}"].T)]
        if getattr(cell, "P", None) is not None:
            ours.append((cell.P, arrays[f"weight_hr_{suffix}"].T))
        if cell.b is not None:
            first, second = arrays[f"bias_ih_{suffix}"], np.array(arrays[f"bias_hh_{suffix}"])
            if isinstance(cell, GRUCell):
                ours.append((cell.b_n, second[2 * cell.hidden_size :].copy()))
                second[2 * cell.hidden_size :] = 0
            ours.append((cell.b, first + second))
    return ours


def torch_cells(layer: Module) -> list[tuple[str, Any]]:
    """The cells of a layer, with what PyTorch appends to the names of their weights; TypeError if it has none such."""
    if not isinstance(layer, Recurrent):
        raise TypeError(f"PyTorch has no counterpart of {type(layer).__name__} here: give an RNN, LSTM, GRU, Linear or "
                        "Embedding")
    found = [(f"l{k}" + "_reverse" * (direction == "backwards"), cell) for k, direction, cell in layer.cells()]
    if len({kind_of(cell) for _, cell in found}) > 1:
        raise TypeError("PyTorch's recurrent nets are of one kind of cell; this one has several")
    return found


def kind_of(cell: Any) -> str:
    """Which of PyTorch's cells this is."""
    if type(cell) in (RNNCell, IRNNCell) and cell.activation in (tanh, relu):
        return "RNN, tanh" if cell.activation is tanh else "RNN, relu"
    if type(cell) is LSTMCell and cell.activation is tanh:
        return "LSTM"
    if type(cell) is GRUCell:
        if cell.reset == "before":
            raise TypeError('PyTorch\'s GRU resets after the recurrent product: make this one with reset="after" '
                            "(it is another function, not another layout of the same weights)")
        if cell.z == "replaces":
            raise TypeError('PyTorch\'s GRU keeps where z is 1: make this one with z="keeps"')
        return "GRU"
    raise TypeError(f"PyTorch has no counterpart of this {type(cell).__name__}: it has RNNs with tanh or relu, LSTMs "
                    "with tanh, and GRUs")
