"""Weights from Keras and back: which array is which, in which order its gates stand, and what its biases are.

Keras multiplies rows by matrices, as here, so nothing is transposed:

* LSTM: gates in the order i, f, c, o. Its c is the candidate g: ours, i, f, g, o.
* GRU: gates in the order z, r, h; here r, z, n. With ``reset_after=True``, Keras' default, there are two biases,
  (2, 3H): one is added to what x gives, the other to what h gives. Both only ever appear as a sum, except for the
  second one of the candidate, which is inside the reset gate: b_n. With ``reset_after=False`` there is one.
* SimpleRNN, Dense, Embedding, LayerNormalization: the same arrays under other names.

Here is only the mapping; `microgradrnn.io.load_keras` and `to_keras_weights` are what to call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from microgradrnn.engine.rules.elementwise import relu, tanh
from microgradrnn.nn import Embedding, GRUCell, LayerNorm, Linear, LSTMCell, Module, RNNCell
from microgradrnn.nn.cells import IRNNCell
from microgradrnn.nn.recurrent import Recurrent

Pairs = list[tuple[Any, np.ndarray]]


def to_keras(layer: Module) -> dict[str, np.ndarray]:
    """The weights of a layer under Keras' names, in the order of ``get_weights()``."""
    return {f"{place}/{name}" if place else name: a
            for place, part in places(layer) for name, a in arrays_of(part).items()}


def from_keras(layer: Module, weights: Mapping[str, np.ndarray]) -> Pairs:
    """Our parameters, each with what Keras' arrays, under the names of `to_keras`, make it."""
    pairs: Pairs = []
    for place, part in places(layer):
        pairs += parameters_of(part, {name: weights[f"{place}/{name}" if place else name] for name in arrays_of(part)})
    return pairs


def renamed(layer: Module, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights under the names that Keras gave them, under those of `to_keras`.

    Keras numbers its layers as they are made ("lstm_3"), so its names tell an order, the direction and, at their end,
    what the array is. Layers with names of their own tell no order; then all names stay as they are.
    """
    groups = sorted({name.rpartition("/")[0] for name in weights}, key=by_layer)
    own = [place for place, _ in places(layer)]
    kinds = {re.sub(r"_\d+(?=/|$)|forward_|backward_", "", group) for group in groups}
    if len(groups) != len(own) or len(kinds) > 1:
        return dict(weights)
    new = dict(zip(groups, own, strict=True))
    found = {}
    for name, a in weights.items():
        group, _, last = name.rpartition("/")
        last = last.removesuffix(":0")
        found[f"{new[group]}/{last}" if new[group] else last] = a
    return found


def named(layer: Module, weights: list[Any] | tuple[Any, ...]) -> dict[str, Any]:
    """The list that ``get_weights()`` gives, under the names of `to_keras`.

    Raises:
        ValueError: if it has another length.
    """
    names = list(to_keras(layer))
    if len(names) != len(weights):
        raise ValueError(f"load_keras: {type(layer).__name__} needs {len(names)} arrays, {', '.join(names)}; got "
                         f"{len(weights)}")
    return dict(zip(names, weights, strict=True))


def by_layer(group: str) -> tuple[Any, ...]:
    """The order of Keras' layers: lstm, lstm_1, ..., lstm_10; forwards before backwards."""
    parts = group.split("/")
    numbers = [int(found[1]) if (found := re.search(r"_(\d+)$", part)) else 0 for part in parts]
    inner = next((k for k, part in enumerate(parts) if part.startswith(("forward_", "backward_"))), len(parts))
    return numbers[:inner], "backward_" in group, numbers, group


def places(layer: Module) -> Iterator[tuple[str, Any]]:
    """The parts of a layer that Keras keeps weights for, each with the path under which it does."""
    if not isinstance(layer, Recurrent):
        yield "", layer
        return
    cells = list(layer.cells())
    both = len({direction for _, direction, _ in cells}) > 1
    for k, direction, cell in cells:
        name, number = name_of(cell), f"_{k}" if k else ""
        inner = f"{name}/{name}_cell"
        yield f"bidirectional{number}/{direction[:-1]}_{inner}" if both else f"{name}{number}/{name}_cell", cell


def name_of(cell: Any) -> str:
    """Keras' name of a kind of cell.

    Raises:
        TypeError: if Keras has none such.
    """
    if type(cell) in (RNNCell, IRNNCell) and cell.activation in (tanh, relu):
        return "simple_rnn"
    if type(cell) is LSTMCell and cell.activation is tanh and cell.P is None:
        return "lstm"
    if type(cell) is GRUCell and cell.z == "keeps":
        return "gru"
    raise TypeError(f"Keras has no counterpart of this {type(cell).__name__}: it has SimpleRNNs with tanh or relu, "
                    "LSTMs with tanh and without a projection, and GRUs whose z keeps")


def own_parameters(part: Any) -> dict[str, Any]:
    """The parameters of a cell or of a layer without memory, by the last part of Keras' names.

    Raises:
        TypeError: if Keras has no counterpart.
    """
    if isinstance(part, Linear):
        found = {"kernel": part.V, "bias": part.d}
    elif isinstance(part, Embedding):
        found = {"embeddings": part.E}
    elif isinstance(part, LayerNorm):
        found = {"gamma": part.gain, "beta": part.bias}
    elif isinstance(part, (RNNCell, LSTMCell, GRUCell)):
        found = {"kernel": part.U, "recurrent_kernel": part.W, "bias": part.b}
    else:
        raise TypeError(f"Keras has no counterpart of {type(part).__name__} here: give an RNN, LSTM, GRU, Linear, "
                        "Embedding or LayerNorm")
    return {name: p for name, p in found.items() if p is not None}


def arrays_of(part: Any) -> dict[str, np.ndarray]:
    """Their data, as Keras lays it out."""
    arrays = {name: np.array(p.data) for name, p in own_parameters(part).items()}
    if isinstance(part, GRUCell):
        arrays = {name: swapped(a) for name, a in arrays.items()}
        if part.b_n is not None:
            second = np.zeros_like(arrays["bias"])
            second[2 * part.hidden_size :] = part.b_n.data
            arrays["bias"] = np.stack([arrays["bias"], second])
    return arrays


def parameters_of(part: Any, arrays: Mapping[str, np.ndarray]) -> Pairs:
    """The parameters, each with what Keras' arrays make it."""
    own = own_parameters(part)
    if not isinstance(part, GRUCell):
        return [(own[name], a) for name, a in arrays.items()]
    pairs = [(own[name], swapped(a)) for name, a in arrays.items() if name != "bias" or part.b_n is None]
    if part.b_n is not None:
        first, second = swapped(arrays["bias"][0]), swapped(arrays["bias"][1])
        n = slice(2 * part.hidden_size, None)
        b_n = second[n].copy()
        second[n] = 0
        pairs += [(part.b, first + second), (part.b_n, b_n)]
    return pairs


def swapped(a: np.ndarray) -> np.ndarray:
    """The first two of three blocks exchanged: z, r, h and r, z, n.

    >>> swapped(np.array([1, 2, 3, 4, 5, 6]))
    array([3, 4, 1, 2, 5, 6])
    """
    first, second, third = np.split(a, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)
