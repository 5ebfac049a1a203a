"""Probe: a cell, run for two steps on small random numbers, so that there is one step to look at.

The first step makes a state that is not zero; the second is the one that pictures and equations are taken from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Tensor, Value, mark, scope
from viz.graph.steps import Layer, layers, state_symbols
from viz.graph.trace import traced


@dataclass(frozen=True)
class Probe:
    """One step of a cell, and what came before it.

    Attributes:
        name: what the cell is called.
        inputs: what the step read, one node, or one a number.
        before, after: the parts of the state, before and after the step.
        symbols: what each part of the state is called.
        whole: a node that was computed from every part of the last state: trace it to see all.
        several: is the state a tuple?
    """

    name: str
    inputs: tuple[Node, ...]
    before: tuple[Node, ...]
    after: tuple[Node, ...]
    symbols: tuple[str, ...]
    whole: Node
    several: bool

    @property
    def layer(self) -> Layer:
        """Its two steps in the traced graph."""
        return layers(traced(self.whole)[0])[-1]


def probe(cell: Callable[[Any, Any], Any], x: Any = None, state: Any = None, *, seed: Any = None,
          rng: int = 0) -> Probe:
    """Run a cell for two steps.

    Args:
        cell: a cell of `nn`, a `Module`, or any function ``(x, state) -> state``.
        x: an input, an array (B, D) or a list of numbers; by default (2, D) random numbers, if the cell has a D.
        state: the first state; by default random numbers in the form of the cell's ``initial_state``.
        seed: the gradient that comes back to each part of the last state: None for 1 at every entry of the output
            (the first part) and nothing elsewhere, an array for the output, or one for each part (None: nothing).
        rng: a seed for the random numbers.

    Raises:
        TypeError: if it is no cell.
        ValueError: if x or the state cannot be guessed and is not given, or the cell does not return a state in the
            form of the one it got, or does not compute every part of it anew.

    >>> from microgradrnn import nn
    >>> probe(nn.LSTMCell(3, 4, rng=0)).symbols
    ('h', 'c')
    """
    need_cell(cell)
    draw = np.random.default_rng(rng)
    called = _called(cell)
    x = _input(cell, called, x, draw)
    batch = np.shape(x)[0] if np.ndim(x) == 2 else 1
    state = _state(cell, called, state, batch, draw)
    several = isinstance(state, tuple)
    was: tuple[Any, ...] = ()
    now: tuple[Any, ...] = tuple(map(_leaf, state)) if several else (_leaf(state),)
    seen: list[list[Node]] = []
    for t in range(2):
        with scope(step=t):
            given = _as_input(x if t == 1 else _like(x, draw))
            seen.append(given if isinstance(given, list) else [given])
            was = now
            with scope(called):
                result = cell(given, was if several else was[0])
        now = tuple(result) if isinstance(result, tuple) else (result,)
        if isinstance(result, tuple) != several or len(now) != len(was) or not all(isinstance(p, Node) for p in now):
            raise ValueError(f"cell: {called} got a state of {len(was)} part(s) and returned "
                             f"{_form(result)}; a cell returns the next state, in the form of the last one")
    whole = whole_of(now, seed)
    graph, ids = traced(whole)
    found = layers(graph)
    inside = {node for layer in found for step in layer.steps.values() for node in step.values()}
    if any(part is old for part in now for old in was):
        raise ValueError(f"cell: {called} hands on a part of its state as it got it; a part that never changes is no "
                         "state: leave it out of the tuple")
    if any(ids.get(part) not in inside for part in now) or not any(part in ids for part in was):
        raise ValueError(f"cell: {called} computes no new state from the old one, so it is no recurrent cell")
    if len(found) > 1:
        raise ValueError(f"cell: {called} is made of {len(found)} recurrent parts; draw each of them by itself, or "
                         "all together with viz.draw_unrolled")
    known = {found[-1].steps[1][name]: symbol for name, symbol in state_symbols(graph, found[-1]).items()
             if name in found[-1].steps[1]}
    symbols: list[str] = []
    for k, part in enumerate(now):
        symbol = part.symbol or known.get(ids[part], f"s{k + 1}")
        symbols.append(f"{symbol}{k + 1}" if symbol in symbols else symbol)
    return Probe(called, tuple(seen[1]), was, now, tuple(symbols), whole, several)


def need_cell(cell: Any) -> None:
    """Refuse what is no cell.

    Raises:
        TypeError: for a class, a whole layer, and what cannot be called.
    """
    if isinstance(cell, type):
        raise TypeError(f"cell: got the class {cell.__name__}, not a cell; make one, as in nn.LSTMCell(3, 5)")
    if hasattr(cell, "cells"):
        one = "layer.cell" if hasattr(cell, "cell") else "one of [cell for _, _, cell in layer.cells()]"
        raise TypeError(f"cell: got a whole layer, {type(cell).__name__}; draw {one}")
    if not callable(cell):
        raise TypeError("cell: expected a cell of nn, a Module, or a function (x, state) -> state, got "
                        f"{type(cell).__name__}")


def _called(cell: Any) -> str:
    name = str(getattr(cell, "name", None) or getattr(cell, "__name__", type(cell).__name__).lower())
    return "cell" if name == "<lambda>" else name


def _input(cell: Any, called: str, x: Any, draw: np.random.Generator) -> Any:
    if x is not None:
        return x.data if isinstance(x, Node) else x
    size = getattr(cell, "input_size", None)
    if not isinstance(size, (int, np.integer)):
        raise ValueError(f"cell: how long is the input of {called}? It has no attribute input_size, so give an "
                         "example: x=np.ones((1, 3)), or x=[1.0, -0.5] for a cell of single numbers")
    return draw.standard_normal((2, size))


def _like(x: Any, draw: np.random.Generator) -> Any:
    """Other numbers of the same form."""
    if isinstance(x, (list, tuple)) and np.ndim(x) == 1:
        return [float(v) for v in draw.standard_normal(len(x))]
    return draw.standard_normal(np.shape(x))


def _as_input(x: Any) -> Any:
    """The input as leaves: a list of numbers becomes Values, anything else a Tensor."""
    if isinstance(x, (list, tuple)) and np.ndim(x) == 1:
        return [mark(Value(v), "x" if len(x) == 1 else f"x_{k + 1}", role="input") for k, v in enumerate(x)]
    return mark(Tensor(np.asarray(x, dtype=np.float64)), "x", role="input")


def _state(cell: Any, called: str, state: Any, batch: int, draw: np.random.Generator) -> Any:
    if state is not None:
        return state
    begin = getattr(cell, "initial_state", None)
    if begin is None:
        raise ValueError(f"cell: what state does {called} start from? It has no initial_state, so give an example: "
                         "state=np.zeros((1, 4)), or a tuple with one array for each part")
    first = begin(batch)
    parts = first if isinstance(first, tuple) else (first,)
    drawn = tuple(0.5 * draw.standard_normal(np.shape(part.data if isinstance(part, Node) else part)) for part in parts)
    drawn = tuple(float(part) if np.ndim(part) == 0 else part for part in drawn)
    return drawn if isinstance(first, tuple) else drawn[0]


def _leaf(part: Any) -> Node:
    data = part.data if isinstance(part, Node) else part
    return Value(data) if isinstance(data, (int, float)) else Tensor(np.array(data, dtype=np.float64))


def _form(result: Any) -> str:
    return f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {type(result).__name__}"


def whole_of(now: tuple[Any, ...], seed: Any) -> Node:
    """A number whose gradient at each part of the state is the seed."""
    seeds = seed if isinstance(seed, tuple) else (1.0 if seed is None else seed,)
    if len(seeds) > len(now):
        raise ValueError(f"cell: the state has {len(now)} part(s), but {len(seeds)} seeds are given for flow=")
    seeds = (*seeds, *[None] * (len(now) - len(seeds)))
    total: Any = 0.0
    for part, g in zip(now, seeds, strict=True):
        weight = 0.0 if g is None else g
        if np.ndim(weight) and np.shape(weight) != np.shape(part.data):
            raise ValueError(f"cell: a seed has the shape of its part of the state, {np.shape(part.data)}; "
                             f"got {np.shape(weight)}")
        total = total + (part * weight if isinstance(part, Value) else (part * weight).sum())
    return total
