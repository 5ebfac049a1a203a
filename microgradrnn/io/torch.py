"""Weights of layers and whole nets from PyTorch and back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.io.arrays import fitting, given_arrays
from microgradrnn.io.content import read
from microgradrnn.io.torch_nets import Part, is_inside, joined, parts
from microgradrnn.io.unmatched import Leftovers, UnmatchedError, message
from microgradrnn.nn import Cell, Module, Recurrent
from microgradrnn.nn.module import assign

Names = Mapping[str, str] | None


def load_torch(
    net: Module, state: Mapping[str, Any] | str | os.PathLike[str], *, names: Names = None, strict: bool = True
) -> Leftovers:
    """Give a layer or a whole net the weights of its PyTorch counterpart; outputs and gradients are then the same.

    The two nets are matched by their attributes: ``self.lstm`` here takes what is called ``lstm.weight_ih_l0`` and so
    on there. Entries of a list (PyTorch's ModuleList) and of a `Sequential` go by their number, those of a dict
    (ModuleDict) by their key. PyTorch keeps matrices as (out, in), ours are (in, out). Its two biases, which only ever
    appear as a sum, become one; in the GRU the recurrent bias of n is inside the reset gate, and becomes b_n.

    Args:
        net: a layer, `RNN`, `LSTM`, ``GRU(reset="after")`` (with any number of layers and directions), `Linear`,
            `Embedding`, `LayerNorm`; a cell, `RNNCell`, `LSTMCell`, ``GRUCell(reset="after")``; or a module with any of
            these inside. Parameters of your own modules and cells are taken by name, as they are.
        state: the counterpart's ``state_dict()``, a dict of arrays or of PyTorch's tensors; or the path of a
            ``.safetensors`` file. It does not say whether an RNN is one with tanh or ReLU: make the net as theirs was
            made.
        names: where the attributes differ, ours and theirs: ``{"lstm": "rnn", "head": "out.fc"}``. "" is the whole net,
            and with it the rest of theirs is left alone: ``{"": "rnn"}`` takes one part of their model, and
            ``{"": "module"}`` what DataParallel wrapped.
        strict: every name must be found on both sides. Only the biases of a recurrent layer may all be absent there
            (bias=False): they are 0 then. False loads what is on both sides and changes nothing else; a bias that is
            made of two of theirs needs both.

    Returns:
        ``missing_keys``, theirs that the net needs and did not find, and ``unexpected_keys``, theirs that were not
        used: both empty if strict. A weight that their net shares, such as that of a tied head, has several names; one
        of them is enough. So has one that ours shares; all that it is given must be the same.

    Raises:
        UnmatchedError: if strict, for names on one side only; a KeyError. It lists them, and what may belong together.
        ValueError: if shapes do not fit, a number is too large for the net's dtype, one parameter is given different
            arrays, two of the net's weights have one name, or `names` names a part that does not exist, or one twice.
        TypeError: if a layer has no counterpart, or an array is not of real numbers.

        Nothing is changed then.

    >>> from microgradrnn import nn
    >>> theirs = {"fc.weight": np.ones((2, 3)), "fc.bias": np.zeros(2)}
    >>> net = nn.Sequential(nn.LayerNorm(3, elementwise_affine=False), nn.Linear(3, 2))
    >>> load_torch(net, theirs, names={"1": "fc"})
    <All keys matched successfully>
    >>> net[1](np.ones((1, 3))).data
    array([[3., 3.]])
    """
    who = "load_torch"
    names, found = paths(who, names), counterparts(who, net, strict)
    expected = own_arrays(who, found)
    given = in_scope(who, read(state) if isinstance(state, (str, os.PathLike)) else given_arrays(state), names)
    looked_for = cell_or_layer(found, renamed(who, expected, names), given)
    arrays = {name: given[theirs] for name, theirs in looked_for.items() if theirs in given}
    used = {memory(given[theirs]) for theirs in looked_for.values() if theirs in given}
    wanted = set(looked_for.values())
    spare = {name: a.shape for name, a in given.items() if name not in wanted and memory(a) not in used}
    if strict and not spare:
        arrays |= zero_biases(found, arrays, expected)
    lacking = missing(found, arrays, expected)
    left = Leftovers([looked_for[joined(path, local)] for path, inside in lacking.items() for local in inside],
                     list(spare))
    if strict and any(left):
        raise UnmatchedError(message(who, lacking, spare, looked_for), *left)
    assign(who, made_of(who, found, fitting(who, arrays, expected)))
    return left


def to_torch_state_dict(net: Module, *, names: Names = None) -> dict[str, np.ndarray]:
    """The weights of a layer or a whole net as its PyTorch counterpart names and lays them out, the reverse of
    `load_torch`.

    Of PyTorch's two biases the second gets zeros, but for b_n of the GRU. ``torch_model.load_state_dict({k:
    torch.from_numpy(a) for k, a in ...items()})`` takes it.

    Args:
        net: as in `load_torch`.
        names: as in `load_torch`: ours and theirs, where the attributes differ.

    Raises:
        TypeError: if a layer has no counterpart.
        ValueError: if `names` names no part of the net, or two weights would have one name.

    >>> from microgradrnn import nn
    >>> {k: a.shape for k, a in to_torch_state_dict(nn.LSTM(3, 5)).items()}
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}
    >>> list(to_torch_state_dict(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2)), names={"1": "head"}))
    ['0.weight', '0.bias', 'head.weight', 'head.bias']
    """
    who = "to_torch_state_dict"
    arrays = own_arrays(who, counterparts(who, net, True))
    ours: dict[str, str] = {}
    for name, theirs in renamed(who, arrays, paths(who, names)).items():
        if theirs in ours:
            raise ValueError(f"{who}: {ours[theirs]} and {name} would both be called {theirs}")
        ours[theirs] = name
    return {theirs: arrays[name] for theirs, name in ours.items()}


def counterparts(who: str, net: Module, strict: bool) -> list[Part]:
    """The parts of a net.

    Raises:
        TypeError: if it is no net, or, if strict, PyTorch does not have one of its layers.
    """
    if not isinstance(net, Module):
        raise TypeError(f"{who}: the first argument is a net of this library, an nn.Module, got {type(net).__name__}")
    found = parts(net)
    if strict and (part := next((part for part in found if part.refused), None)):
        raise TypeError(f"{who}: {part.path}: {part.refused}" if part.path else f"{who}: {part.refused}")
    return found


def own_arrays(who: str, found: list[Part]) -> dict[str, np.ndarray]:
    """The arrays of all parts of a net, by the names that they have in PyTorch.

    Raises:
        ValueError: if two of them have one name.
    """
    arrays: dict[str, np.ndarray] = {}
    for part in found:
        for local, a in part.arrays().items():
            if (name := part.name(local)) in arrays:
                raise ValueError(f"{who}: two weights of the net are called {name}; the keys 1 and '1' of a dict "
                                 "are one name")
            arrays[name] = a
    return arrays


# ------------------------------------------------------------------------------------------------ names
def paths(who: str, names: Names) -> dict[str, str]:
    """Ours and theirs, without dots at their ends.

    Raises:
        TypeError: if they are no dict of strings.
        ValueError: if one of ours is there twice.
    """
    if not isinstance(names, Mapping | None) or not all(isinstance(one, str) for pair in (names or {}).items()
                                                        for one in pair):
        raise TypeError(f"{who}: names is a dict of paths, ours: theirs, as in names={{'lstm': 'rnn'}}; got {names!r}")
    found: dict[str, str] = {}
    for one, other in (names or {}).items():
        ours, theirs = one.strip("."), other.strip(".")
        if found.setdefault(ours, theirs) != theirs:
            raise ValueError(f"{who}: names says of {ours!r} both {found[ours]!r} and {theirs!r}")
    return found


def renamed(who: str, own: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """For each of our names, theirs. The longest path that is named decides.

    >>> renamed("", {"net.lstm.bias": 0, "net.head.bias": 0}, {"net": "", "net.head": "fc"})
    {'net.lstm.bias': 'lstm.bias', 'net.head.bias': 'fc.bias'}
    """
    for path in names:
        if not any(is_inside(name, path) for name in own):
            there = sorted({name.rpartition(".")[0] or name for name in own})
            raise ValueError(f"{who}: names says ours first, names={{ours: theirs}}; the net has no {path!r}, it has "
                             f"{', '.join(there)}")
    found = {}
    for name in own:
        longest = max((path for path in names if is_inside(name, path)), key=len, default=None)
        found[name] = name if longest is None else joined(names[longest], name[len(longest) :].removeprefix("."))
    return found


def cell_or_layer(found: list[Part], looked_for: dict[str, str], given: Mapping[str, Any]) -> dict[str, str]:
    """The same names; but a layer of one cell takes the weights of a lone cell, such as PyTorch's users write a loop
    over, and a cell takes those of a layer of one.
    """
    chosen = dict(looked_for)
    for part in found:
        if isinstance(part.thing, (Recurrent, Cell)):
            own = [part.name(local) for weight in part.weights for local in weight.names]
            other = {name: exchanged(looked_for[name]) for name in own}
            if all(other[name] in given for name in own if "bias" not in name) and not any(
                    looked_for[name] in given for name in own):
                chosen |= other
    return chosen


def exchanged(name: str) -> str:
    """The name that a weight has in a layer of one cell, from that in the cell, or the reverse.

    >>> exchanged("rnn.weight_ih"), exchanged("rnn.weight_ih_l0")
    ('rnn.weight_ih_l0', 'rnn.weight_ih')
    """
    return name.removesuffix("_l0") if name.endswith("_l0") else f"{name}_l0"


def in_scope(who: str, given: dict[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Their arrays; only those of the parts that are named, if one of them is the whole net.

    Raises:
        ValueError: if such a part is none of theirs.
    """
    if "" not in names:
        return given
    for path in names.values():
        if not any(is_inside(name, path) for name in given):
            there = sorted({name.rpartition(".")[0] or name for name in given})
            raise ValueError(f"{who}: nothing of theirs is inside {path!r}; they have {', '.join(there) or 'nothing'}")
    return {name: a for name, a in given.items() if any(is_inside(name, theirs) for theirs in names.values())}


# ------------------------------------------------------------------------------------------------ arrays
def zero_biases(found: list[Part], arrays: Mapping[str, Any], own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The biases of recurrent layers that were made without (bias=False) there: they are 0. Such a layer is given all
    of its matrices, and no bias.
    """
    zeros: dict[str, np.ndarray] = {}
    for part in found:
        if isinstance(part.thing, (Recurrent, Cell)):
            names = {part.name(local): local for weight in part.weights for local in weight.names}
            biases = {name for name, local in names.items() if local.startswith("bias")}
            if names.keys() & arrays.keys() == names.keys() - biases:
                zeros |= {name: np.zeros_like(own[name]) for name in biases}
    return zeros


def made_of(
    who: str, found: list[Part], arrays: Mapping[str, np.ndarray]
) -> Iterable[tuple[str, Node, np.ndarray]]:
    """Each parameter that is given all that it is made of, once, with a name of it and with what it becomes.

    Raises:
        ValueError: if a parameter that the net shares is given different arrays.
    """
    made: dict[int, tuple[str, Node, np.ndarray]] = {}
    for part in found:
        for weight in part.weights:
            names = [part.name(local) for local in weight.names]
            if not all(name in arrays for name in names):
                continue
            a = weight.make(*(arrays[name] for name in names))
            first, _, other = made.setdefault(id(weight.parameter), (names[0], weight.parameter, a))
            if not np.array_equal(a, other, equal_nan=True):
                raise ValueError(f"{who}: {first} and {names[0]} are one parameter here, and the arrays that they are "
                                 "given differ")
    return made.values()


def whole(found: list[Part], arrays: Mapping[str, Any]) -> set[int]:
    """The parameters that are given all that they are made of."""
    return {id(weight.parameter) for part in found for weight in part.weights
            if all(part.name(local) in arrays for local in weight.names)}


def missing(
    found: list[Part], arrays: Mapping[str, Any], own: Mapping[str, np.ndarray]
) -> dict[str, dict[str, tuple[int, ...]]]:
    """For the path of each part that lacks something, what, with its shape. A parameter that the net shares, and is
    whole under another name, lacks nothing.
    """
    done = whole(found, arrays)
    lacking: dict[str, dict[str, tuple[int, ...]]] = {}
    for part in found:
        for weight in part.weights:
            for local in weight.names:
                if part.name(local) not in arrays and id(weight.parameter) not in done:
                    lacking.setdefault(part.path, {})[local] = own[part.name(local)].shape
    return lacking


def memory(a: np.ndarray) -> tuple[Any, ...]:
    """Where the numbers of an array are: the same for two names of one array."""
    return (a.__array_interface__["data"][0], a.shape, a.strides, a.dtype) if a.size else (id(a),)
