"""Padded batches: the lags of each sequence, counted from its own end.

A sequence of 12 steps in a batch of 40 steps ends at its step 12. Seen from there its lags are 0 to 11, whatever the
rest of the batch does. So what a measure says of a lag is put together from different steps: for each sequence from
the step that lies so far before its own end.

``scope(running=)`` says which sequences take a step; `microgradrnn.nn.unroll` uses it when given ``lengths=``.
Where nothing is said, a sequence ends at the last step that the loss depends on, if it depends on later ones of others
(`viz.flow.reached`: slices and masks decide, not slopes that happen to be 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from viz.graph.trace import HUGE, TINY


def running_of(declared: Mapping[int, Any], arriving: dict[int, np.ndarray]) -> dict[int, np.ndarray] | None:
    """For each step which sequences of a padded batch take it; None if all take all of them.

    A step that no sequence takes is padding if the scope says so. Otherwise the loss begins before it.

    Args:
        declared: by step, as the scope says; None where it says nothing.
        arriving: by step, in the order of the loop: which sequences' states the loss depends on, bools (B,).
    """
    found: dict[int, np.ndarray] = {}
    later = np.zeros_like(next(iter(arriving.values()), np.zeros(0, bool)))
    for step in reversed(arriving):
        later = later | arriving[step]
        found[step] = later if declared.get(step) is None else np.asarray(declared[step], bool)
    partly = any(not one.all() and (one.any() or declared.get(step) is not None) for step, one in found.items())
    return dict(reversed(found.items())) if partly else None


def own_lags(running: Sequence[Any]) -> np.ndarray:
    """For each step, in the order of the loop, the lag of each sequence; -1 where it does not take the step.

    Args:
        running: for each step which sequences take it, bools (B,).

    >>> own_lags([[True, True], [True, False], [True, False]])
    array([[ 2,  0],
           [ 1, -1],
           [ 0, -1]])
    """
    takes = np.array([np.asarray(one, dtype=bool) for one in running])
    after = np.cumsum(takes[::-1], axis=0)[::-1] - takes
    return np.where(takes, after, -1)


def by_own_lag(lags: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What belongs to each lag: rows (steps, B, ...) of all steps, in the order of the loop, put together by sequence.

    The result has a row for each lag, 0 first. A sequence that has no such lag has zeros there.

    >>> by_own_lag(own_lags([[True, True], [True, False]]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[3., 2.],
           [1., 0.]])
    """
    found = np.zeros((int(lags.max(initial=-1)) + 1, *rows.shape[1:]), rows.dtype)
    step, sequence = np.nonzero(lags >= 0)
    found[lags[step, sequence], sequence] = rows[step, sequence]
    return found


def row_norms(x: Any) -> np.ndarray:
    """The Euclidean norm of each sequence's part, in double precision and without under- or overflow.

    >>> row_norms(np.array([[3e-200, 4e-200], [0.0, 0.0], [3.0, 4.0]]))
    array([5.e-200, 0.e+000, 5.e+000])
    """
    rows = np.asarray(x, dtype=np.float64)
    rows = rows.reshape(len(rows), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        sizes: np.ndarray = np.sqrt(np.einsum("bi,bi->b", rows, rows))
    if ((sizes < TINY) | ~(sizes < HUGE)).any():
        largest = np.abs(rows).max(axis=1, initial=0.0)
        unit = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            sizes = unit * np.sqrt(((rows / unit[:, None]) ** 2).sum(axis=1))
    return sizes


def leaves_out(g: Any) -> bool:
    """Is a gradient exactly zero for some sequences of a batch, and not for others?"""
    here = arrives(g)
    return here is not None and bool(here.any()) and not here.all()


def arrives(g: Any) -> np.ndarray | None:
    """Which sequences a gradient is not exactly zero for; None without a batch of several."""
    array = np.asarray(g)
    if array.ndim < 2 or len(array) < 2:
        return None
    return np.asarray(array.reshape(len(array), -1).any(axis=1))
