"""Sequences of one batch that do not all do the same: lengths, masks and resets, and states put together by rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.engine import Node, mark
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.elementwise import where
from microgradrnn.engine.rules.indexing import index_update
from microgradrnn.engine.rules.shape import concat, stack

# For each time at which sequences have their last step, which ones do; -1 for those that have none.
Ends = dict[int, np.ndarray]


class Rows(NamedTuple):
    """What single sequences of the batch do.

    Attributes:
        ends: where they have their last step.
        mask, reset: which steps they take and where they start anew, (T, B), or None.
    """

    ends: Ends
    mask: np.ndarray | None
    reset: np.ndarray | None


def running(lengths: Any, T: int, B: int, least: int = 0) -> np.ndarray:
    """Which steps of which sequence are there, as bools (T, B): the rest is padding.

    >>> running([3, 1], 3, 2).astype(int)
    array([[1, 1],
           [1, 0],
           [1, 0]])
    """
    n = np.asarray(plain(lengths))
    n = n if n.size else n.astype(int)  # [] has no integers to tell its dtype from
    if n.shape != (B,) or n.dtype.kind not in "iu":
        hint = f"; there are {T} steps and {B} sequences (time comes first, unless a layer has batch_first=True)"
        hint *= n.shape == (T,)
        raise ValueError(f"lengths: expected {B} integers, one a sequence, got {n.dtype} of shape {n.shape}{hint}")
    if B and (n.min() < least or n.max() > T):
        raise ValueError(f"lengths: must lie in {least}..{T}, the number of steps, got {n.min()}..{n.max()}")
    return np.arange(T)[:, None] < n


def flags(name: str, given: Any, T: int, B: int) -> np.ndarray:
    """A mask or resets, as bools (T, B)."""
    a = np.array(plain(given))
    if a.shape != (T, B) or not (a.dtype == bool or (a.dtype.kind in "iuf" and np.isin(a, (0, 1)).all())):
        raise ValueError(f"unroll: {name}= is an array of bools, one for each step of each sequence, ({T}, {B}); got "
                         f"{a.dtype} of shape {a.shape}")
    return a.astype(bool)


def last_steps(lengths: Any) -> Ends:
    """For each time at which sequences have their last step, which ones do: bools (B,)."""
    last = np.asarray(lengths) - 1
    times = np.unique(last)
    return dict(zip(times.tolist(), last == times[:, None], strict=True))


def picked(states: list[Any], which: np.ndarray, rows: np.ndarray) -> Any:
    """One state: each of its rows out of the state that is named, from the row that is named."""
    if isinstance(states[0], tuple):
        return like(states[0], [picked(list(parts), which, rows) for parts in zip(*states, strict=True)])
    return stack(states)[which, rows]


def like(state: Any, parts: list[Any]) -> Any:
    """A tuple of these parts; a named one if the state is."""
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def replaced(state: Any, who: np.ndarray | int, by: Any) -> Any:
    """The state, with the parts of those sequences taken from another."""
    if isinstance(state, tuple):
        return like(state, [replaced(part, who, other) for part, other in zip(state, by, strict=True)])
    return index_update(state, who, by[who])


def together(over: list[Any], ends: Ends) -> Any:
    """One state from those of the sequences that ended at the same time, in the order of the batch."""
    if isinstance(over[0], tuple):
        return like(over[0], [together(list(parts), ends) for parts in zip(*over, strict=True)])
    _, rows = np.nonzero(list(ends.values()))
    return concat(over)[np.argsort(rows)]


def joined(states: list[Any], join: Callable[[list[Any]], Any]) -> Any:
    """States of several steps as one, part by part."""
    if isinstance(states[0], tuple):
        return like(states[0], [joined(list(parts), join) for parts in zip(*states, strict=True)])
    return join(states)


def passed(mask: np.ndarray, new: Any, old: Any) -> Any:
    """The rows that take the step, and the others as they were.

    Chosen, not weighted by 0 and 1: 0 times what a cell makes of padding may be 0 times infinity.
    """
    if isinstance(new, tuple):
        return like(new, [passed(mask, part, before) for part, before in zip(new, old, strict=True)])
    m = mask.reshape(-1, *[1] * (new.ndim - 1))
    if not isinstance(new, Node):
        return np.where(m, new, old)
    symbol, role = new.symbol, new.role
    if symbol is not None:
        mark(new, f"{symbol}'", role=role)
    return mark(where(m, new, old), symbol, role=role)


def blanked(hs: Any, who: np.ndarray) -> Any:
    """The outputs (or states) of all steps, 0 where they are padding."""
    if isinstance(hs, tuple):
        return like(hs, [blanked(part, who) for part in hs])
    return index_update(hs, who, 0.0)
