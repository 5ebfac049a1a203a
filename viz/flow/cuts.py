"""Cuts: how large the gradient at a state is if only some of the ways through the cell may be taken. Exact numbers.

The gradient is a sum over paths, and a path uses a set of ways: the carry, a gate, the candidate (`viz.flow.ways`). If
only the ways of a set M are open, the paths that are left are those whose own set lies in M. So one reverse pass that
keeps the sets apart gives the gradient for each of the 2^k choices: it is the sum of the parts whose set lies in M. The
norms of these sums are what is kept here, because the norm of a sum does not follow from the norms of its parts.

>>> import numpy as np
>>> from microgradrnn import nn
>>> hs, (h, c) = nn.LSTM(3, 5, rng=0)(np.ones((7, 1, 3)))
>>> found = cuts(h.sum())
>>> found
Cuts(∂L/∂c, 7 steps, ways: carry, i, f, g, o)
>>> all_open, without = found.open_only(found.ways), found.open_only(["i", "f", "g", "o"])
>>> bool(0 < without[-1] < all_open[-1]), bool(all_open[0] == without[0])
(True, True)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microgradrnn.engine import Node
from viz.flow.ways import CARRY, RULES, Rule, Ways, named, sizes, split

MOST = 8  # ways that are told apart: there are 2^8 sets of them


@dataclass(frozen=True)
class Cuts:
    """The norms of the gradient at one state for every choice of ways, the last step first.

    Attributes:
        state: which state.
        steps, lags: the time steps, and how far each lies before the last step of the layer.
        ways: the ways, the carry first if there is one.
        members: for a way that stands for several small ones, their names.
        norms: (2^k, number of steps); row m has the norms if the ways are open whose bits are set in m, bit 0 being
            the first way. What comes from the loss without a step back is always there.
        colours: for each way the symbol and the role by which a picture colours it.
        shares: for each way its share in the last step back; see `Ways.shares`.
        last: the same gradient, split by the last step back.
    """

    state: str
    steps: tuple[int, ...]
    lags: tuple[int, ...]
    ways: tuple[str, ...]
    members: Mapping[str, tuple[str, ...]]
    norms: np.ndarray
    colours: Mapping[str, tuple[str | None, str | None]]
    shares: Mapping[str, np.ndarray]
    last: Ways

    def __repr__(self) -> str:
        return f"Cuts(∂L/∂{self.state}, {len(self.steps)} steps, ways: {', '.join(self.ways) or 'none'})"

    def open_only(self, ways: Iterable[str]) -> np.ndarray:
        """The norm at each step if only these ways may be taken.

        Raises:
            ValueError: if there is no such way.
        """
        mask = 0
        for way in ways:
            if way not in self.ways:
                raise ValueError(f"cuts: there is no way {way!r}; the ways are {', '.join(self.ways) or 'none'}")
            mask |= 1 << self.ways.index(way)
        return np.asarray(self.norms[mask])


def cuts(root: Node, state: str | None = None, *, layer: int = -1) -> Cuts:
    """Measure the gradient at a state for every set of ways that may be open.

    Args:
        root: the loss.
        state: its symbol or role, by default the cell state if there is one; as in `viz.ways`.
        layer: which unrolled layer, the last by default.

    Returns:
        `Cuts`. Of more than eight ways the smallest are taken together.

    Raises:
        TypeError, ValueError: as `viz.ways`.
    """
    taken: dict[str, None] = {}

    def note(past: object, way: str | None) -> str:
        taken[way or CARRY] = None
        return way or CARRY

    rule = RULES["last"]._replace(add=note)
    one = split(root, state, rule, layer)
    last = Ways(one.symbol, "last", one.steps, one.lags, named(one, rule), one.whole, colours=one.reader.colours(),
                initial=one.initial)
    n = len(last.steps) - last.initial
    group = grouped([way for way in (CARRY, *one.reader.order()) if way in taken], last)
    names = list(dict.fromkeys(group.values()))
    bit = {way: 1 << names.index(name) for way, name in group.items()}
    found = split(root, state, Rule(0, lambda past, way: past | bit[way or CARRY], lambda past, order: ""), layer)
    parts: dict[int, np.ndarray] = dict(found.parts)  # type: ignore[arg-type]
    kept = [j for j in range(len(names)) if not leads_to_start_alone(parts, j, n)]
    parts = {sum((mask >> j & 1) << i for i, j in enumerate(kept)): part[:n] for mask, part in parts.items()
             if not any(mask >> j & 1 for j in range(len(names)) if j not in kept)}
    names = [names[j] for j in kept]
    members = {name: tuple(way for way, other in group.items() if other == name) for name in names}
    shares = {name: sum((last.shares(way)[:n] for way in some if way in last.parts), np.zeros(n))
              for name, some in members.items()}
    return Cuts(found.symbol, found.steps[:n], found.lags[:n], tuple(names),
                {name: some for name, some in members.items() if len(some) > 1},
                norms_of_subsets(parts, len(names), n), last.colours, shares, last)


def grouped(names: Sequence[str], last: Ways) -> dict[str, str]:
    """For each way the name it is known by: its own; of those that are too many, the smallest are ``others``."""
    if len(names) <= MOST:
        return {name: name for name in names}
    size = {name: float(np.nan_to_num(last.norms[name]).max()) if name in last.norms else 0.0 for name in names}
    kept = set(sorted(names, key=lambda name: (name != CARRY, -size[name]))[: MOST - 1])
    return {name: name if name in kept else "others" for name in sorted(names, key=lambda name: name not in kept)}


def leads_to_start_alone(parts: Mapping[int, np.ndarray], j: int, n: int) -> bool:
    """Does the j-th way bring gradient to the initial state, and to none of the first n rows?"""
    own = [part for mask, part in parts.items() if mask >> j & 1]
    return any(part[n:].any() for part in own) and not any(part[:n].any() for part in own)


def norms_of_subsets(parts: Mapping[int, np.ndarray], k: int, n: int) -> np.ndarray:
    """For each of the 2^k masks the norms of the sum of all parts whose own mask lies in it, step by step.

    >>> parts = {0b01: np.array([[3.0]]), 0b10: np.array([[-3.0]]), 0b11: np.array([[1.0]])}
    >>> norms_of_subsets(parts, 2, 1).tolist()
    [[0.0], [3.0], [3.0], [1.0]]
    """
    found = np.zeros((1 << k, n))
    for j in range(n):  # a step at a time: all sums of all steps would take much memory
        rows = {mask: part[j].reshape(-1) for mask, part in parts.items()}
        sums = np.zeros((1 << k, len(next(iter(rows.values()), ()))))
        for mask, row in rows.items():
            sums[mask] = row
        for b in range(k):
            has = np.flatnonzero(np.arange(1 << k) >> b & 1)
            sums[has] += sums[has ^ (1 << b)]
        found[:, j] = sizes(sums)
    return found
