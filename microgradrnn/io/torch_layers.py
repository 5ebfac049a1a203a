"""The layers of PyTorch that are here too: which of their arrays makes which of our parameters.

PyTorch keeps matrices as (out, in), ours are (in, out). Its two biases, which only ever appear as a sum, become one; in
the GRU the recurrent bias of n is inside the reset gate, and becomes b_n. Their names end in the number of the layer
and its direction, as in ``weight_ih_l0_reverse``; those of a cell, as in ``torch.nn.LSTMCell``, end there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.rules.elementwise import relu, tanh
from microgradrnn.nn import Cell, Embedding, GRUCell, LayerNorm, Linear, LSTMCell, Module, RNNCell
from microgradrnn.nn.cells import IRNNCell
from microgradrnn.nn.recurrent import Recurrent

Make = Callable[..., np.ndarray]


class Weight(NamedTuple):
    """One of our parameters, and how it is made of theirs.

    Attributes:
        parameter: ours.
        names: what their arrays are called in their layer.
        make: our array from theirs.
    """

    parameter: Node
    names: tuple[str, ...]
    make: Make


def as_it_is(a: np.ndarray) -> np.ndarray:
    """The array itself."""
    return a


# Layers without memory: PyTorch's name, our attribute, and what makes one of the other.
LAYERS: dict[type[Module], list[tuple[str, str, Make]]] = {
    Linear: [("weight", "V", np.transpose), ("bias", "d", as_it_is)],
    Embedding: [("weight", "E", as_it_is)],
    LayerNorm: [("weight", "gain", as_it_is), ("bias", "bias", as_it_is)],
}


def layer_weights(layer: Module) -> list[Weight]:
    """The weights of a layer that PyTorch has too; none for a module that is to be opened, such as one of your own.

    Raises:
        TypeError: if it is a recurrent layer or a cell of this library that PyTorch does not have.
    """
    table = next((table for kind, table in LAYERS.items() if isinstance(layer, kind)), None)
    if table is not None:
        return [Weight(getattr(layer, own), (name,), make) for name, own, make in table
                if getattr(layer, own) is not None]
    return [weight for suffix, cell in torch_cells(layer) for weight in cell_weights(cell, suffix)]


def layer_arrays(layer: Module) -> dict[str, np.ndarray]:
    """The arrays of a layer that PyTorch has too, as PyTorch names them and lays them out."""
    if not isinstance(layer, (Recurrent, Cell)):
        return {name: np.array(make(weight.data)) for weight, (name,), make in layer_weights(layer)}
    return {name: a for suffix, cell in torch_cells(layer) for name, a in cell_arrays(cell, suffix).items()}


# ------------------------------------------------------------------------------------------------ cells
def cell_weights(cell: Any, suffix: str) -> Iterator[Weight]:
    """Our parameters of a cell."""
    yield Weight(cell.U, (f"weight_ih{suffix}",), np.transpose)
    yield Weight(cell.W, (f"weight_hh{suffix}",), np.transpose)
    if getattr(cell, "P", None) is not None:
        yield Weight(cell.P, (f"weight_hr{suffix}",), np.transpose)
    if cell.b is None:
        return
    both = (f"bias_ih{suffix}", f"bias_hh{suffix}")
    if isinstance(cell, GRUCell) and cell.b_n is not None:
        n = 2 * cell.hidden_size
        yield Weight(cell.b_n, both[1:], lambda second: second[n:])
        yield Weight(cell.b, both, lambda first, second: np.concatenate([first[:n] + second[:n], first[n:]]))
    else:
        yield Weight(cell.b, both, np.add)


def cell_arrays(cell: Any, suffix: str) -> dict[str, np.ndarray]:
    """Their arrays of a cell. The second bias is 0, but for b_n of the GRU."""
    theirs = {f"weight_ih{suffix}": cell.U.data.T.copy(), f"weight_hh{suffix}": cell.W.data.T.copy()}
    if getattr(cell, "P", None) is not None:
        theirs[f"weight_hr{suffix}"] = cell.P.data.T.copy()
    if cell.b is not None:
        theirs[f"bias_ih{suffix}"] = np.array(cell.b.data)
        second = theirs[f"bias_hh{suffix}"] = np.zeros_like(cell.b.data)
        if isinstance(cell, GRUCell) and cell.b_n is not None:
            second[2 * cell.hidden_size :] = cell.b_n.data
    return theirs


def torch_cells(layer: Module) -> list[tuple[str, Any]]:
    """The cells of a layer, or a cell itself, each with the end of its names; none if one is a class of your own."""
    if isinstance(layer, Cell):
        found = [("", layer)]
    elif isinstance(layer, Recurrent):
        found = [(f"_l{k}" + "_reverse" * (direction == "backwards"), cell) for k, direction, cell in layer.cells()]
    else:
        return []
    if any(isinstance(cell, Module) and is_own(cell) for _, cell in found):
        return []
    if len({kind_of(cell) for _, cell in found}) > 1:
        raise TypeError("PyTorch's recurrent nets are of one kind of cell; this one has several")
    if isinstance(layer, LSTMCell) and layer.P is not None:
        raise TypeError("PyTorch has no counterpart of this LSTMCell: there proj_size= is an option of LSTM only; make "
                        "this one nn.LSTM(..., proj_size=...)")
    return found


def is_own(cell: Module) -> bool:
    """Is it of a class that is not this library's? Then its weights go by the names that they have in it."""
    return not type(cell).__module__.startswith("microgradrnn.")


def kind_of(cell: Any) -> str:
    """Which of PyTorch's cells this is.

    Raises:
        TypeError: if it is none.
    """
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
