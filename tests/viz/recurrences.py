"""Recurrences: cells, and what people wrap around them. Plain mathematics; how a loop is written is `rewritings`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import microgradrnn as mg
from microgradrnn import Tensor, mark, nn
from microgradrnn.nn import scalar

State = tuple[Any, ...]


# ------------------------------------------------------------------------------------------------------------ cells
class Inner:
    """A cell with its own weights, whose state is a tuple of parts."""

    def __init__(self, cell: Any, first: Sequence[Any], parameters: Mapping[str, Any]) -> None:
        self.cell, self.first, self.parameters = cell, tuple(first), dict(parameters)

    def __call__(self, x: Any, state: State) -> State:
        after = self.cell(x, state if len(state) > 1 else state[0])
        return after if isinstance(after, tuple) else (after,)


def built_in(make: Callable[..., Any], D: int, H: int, B: int, seed: int, **options: Any) -> Inner:
    """A cell of the library."""
    cell = make(D, H, rng=seed, **options)
    first = cell.initial_state(B)
    return Inner(cell, first if isinstance(first, tuple) else (first,), dict(cell.named_parameters()))


def function(D: int, H: int, B: int, seed: int, *, marked: bool) -> Inner:
    """A simple net as anybody writes it: a plain function over leaves."""
    rng = np.random.default_rng(seed)
    U, W, b = (Tensor(rng.uniform(-0.7, 0.7, shape), requires_grad=True) for shape in ((D, H), (H, H), (H,)))

    def cell(x: Any, h: Any) -> Any:
        h = mg.tanh(x @ U + h @ W + b)
        return mark(h, "h", role="hidden") if marked else h

    return Inner(cell, (np.zeros((B, H)),), {"U": U, "W": W, "b": b})


def gated_function(D: int, H: int, B: int, seed: int) -> Inner:
    """A gate of one's own, and two states without marks."""
    rng = np.random.default_rng(seed)
    V, W = (Tensor(rng.uniform(-0.7, 0.7, shape), requires_grad=True) for shape in ((D, H), (H, H)))

    def cell(x: Any, state: Any) -> Any:
        h, c = state
        a = mg.sigmoid(x @ V + h @ W)
        c = a * c + (1 - a) * mg.tanh(h @ W)
        return mg.tanh(c + x @ V), c

    return Inner(cell, (np.zeros((B, H)), np.zeros((B, H))), {"V": V, "W": W})


def neuron(make: Callable[..., Any], D: int, H: int, B: int, seed: int) -> Inner:
    """A cell of one unit, on Values."""
    before = random.getstate()
    random.seed(seed)
    cell = make(D)
    random.setstate(before)
    first = cell.initial_state()
    return Inner(cell, first if isinstance(first, tuple) else (first,), dict(cell.named_parameters()))


def twin(name: str, D: int, seed: int) -> Inner:
    """The cell of arrays with the weights of a neuron."""
    one = CELLS[name](D, 1, 1, seed).cell
    make, blocks = VALUES[name]
    inner = built_in(make, D, 1, 1, seed)
    nets = [getattr(one, block) for block in blocks.split()]
    inner.cell.U.data = np.array([[net.u[d].data for net in nets] for d in range(D)])
    inner.cell.W.data = np.array([[net.w.data for net in nets]])
    inner.cell.b.data = np.array([net.b.data for net in nets])
    return inner


def jordan(D: int, H: int, B: int, seed: int) -> Inner:
    """The net whose state is its output, here as wide as H."""
    return built_in(lambda D, H, rng: nn.JordanCell(D, H + 1, H, rng=rng), D, H, B, seed)


CELLS: dict[str, Callable[..., Inner]] = {
    "rnn": partial(built_in, nn.RNNCell),
    "irnn": partial(built_in, nn.IRNNCell, std=0.7),
    "jordan": jordan,
    "additive": partial(built_in, nn.AdditiveCell),
    "additive, reads h": partial(built_in, nn.AdditiveCell, reads_state=True),
    "lstm": partial(built_in, nn.LSTMCell),
    "lstm, update gate": partial(built_in, nn.UpdateGateLSTMCell),
    "lstm of 1997": partial(built_in, nn.CarouselLSTMCell),
    "lstm, coupled": partial(built_in, nn.CoupledLSTMCell),
    "gru": partial(built_in, nn.GRUCell),
    "gru, after": partial(built_in, nn.GRUCell, reset="after"),
    "mgu": partial(built_in, nn.MGUCell),
    "function": partial(function, marked=False),
    "function, marked": partial(function, marked=True),
    "function, gated": gated_function,
    "rnn of Values": partial(neuron, scalar.RNNNeuron),
    "lstm of Values": partial(neuron, scalar.LSTMNeuron),
    "gru of Values": partial(neuron, scalar.GRUNeuron),
}
VALUES: dict[str, tuple[Any, str]] = {  # with the cell of arrays that does the same, and what its blocks are called
    "rnn of Values": (nn.RNNCell, "z"),
    "lstm of Values": (nn.LSTMCell, "z_i z_f z_g z_o"),
    "gru of Values": (nn.GRUCell, "z_r z_z z_n"),
}
LIBRARY = {name for name, make in CELLS.items() if "function" not in name}


# --------------------------------------------------------------------------------------------------------- wrappers
class Now(NamedTuple):
    """What a wrapper may use at a step: its constants, the states of earlier steps, and the second cell."""

    mask: Any
    done: Any
    keep: Any
    past: list[State]
    second: Inner
    mix: Any


def plain(cell: Any, x: Any, state: State, now: Now) -> State:
    return tuple(cell(x, state))


def scaling(cell: Any, x: Any, state: State, now: Now) -> State:
    return tuple(0.5 * part for part in cell(x, state))


def layer_norm(cell: Any, x: Any, state: State, now: Now) -> State:
    h, *rest = cell(x, state)
    away = h - mg.mean(h, -1, keepdims=True)
    return away / mg.sqrt(mg.mean(away * away, -1, keepdims=True) + 0.1), *rest


def clip(cell: Any, x: Any, state: State, now: Now) -> State:
    return tuple(mg.clip(part, -0.4, 0.4) for part in cell(x, state))


def masked(cell: Any, x: Any, state: State, now: Now) -> State:
    h, *rest = cell(x, state)
    return h * now.mask, *rest


def reset(cell: Any, x: Any, state: State, now: Now) -> State:
    return tuple(cell(x, tuple(mg.where(now.done, 0.0, part) for part in state)))


def zoneout(cell: Any, x: Any, state: State, now: Now) -> State:
    return tuple(mg.where(now.keep, old, new) for old, new in zip(state, cell(x, state), strict=True))


def residual(cell: Any, x: Any, state: State, now: Now) -> State:
    h, *rest = cell(x, state)
    return state[0] + 0.5 * h, *rest


def attention(cell: Any, x: Any, state: State, now: Now) -> State:
    """h is added to what it finds among all states so far, the first one included."""
    h, *rest = cell(x, state)
    weights = [mg.exp((h * old[0]).sum(-1, keepdims=True) if np.ndim(h.data) else h * old[0]) for old in now.past]
    total, found = weights[0], weights[0] * now.past[0][0]
    for w, old in zip(weights[1:], now.past[1:], strict=True):
        total, found = total + w, found + w * old[0]
    return h + 0.5 * (found / total), *rest


def second_cell(cell: Any, x: Any, state: State, now: Now) -> State:
    """Two cells that feed each other: the last part of the state is the other cell's."""
    *own, other = state
    fed = [xi + now.mix * other for xi in x] if isinstance(x, list) else x + other @ now.mix
    after = cell(fed, tuple(own))
    (other,) = now.second([after[0]] if isinstance(x, list) else after[0], (other,))
    return *after, other


WRAPPERS: dict[str, Callable[[Any, Any, State, Now], State]] = {
    "plain": plain, "scaling": scaling, "layer norm": layer_norm, "clip": clip, "mask": masked, "reset": reset,
    "zoneout": zoneout, "residual": residual, "attention": attention, "second cell": second_cell,
}  # fmt: skip
OF_ARRAYS = {"layer norm", "mask", "reset", "zoneout"}  # a Value is neither a row nor masked entry by entry
LOSSES = ("last", "sum", "readouts", "last part", "the state itself")
