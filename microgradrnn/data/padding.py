"""Sequences of unequal lengths in one array: padding, and the mask that says what is real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradrnn.engine.node import plain


def pad(sequences: Sequence[Any], value: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequences side by side, time first, the short ones filled up at the end.

    Args:
        sequences: B arrays (T_b, ...), alike but for their lengths.
        value: what to fill up with; one that is no whole number, such as NaN, makes arrays of integers ones of floats.

    Returns:
        The array (T, B, ...) with T the greatest length, and the mask (T, B), True where it is real. Give the mask to
        the loss; ``mask.sum(axis=0)`` are the lengths again.

    Raises:
        ValueError: if there are no sequences, or they differ in more than their lengths.

    >>> x, mask = pad([[1, 2, 3], [4]])
    >>> x.T.tolist(), mask.sum(axis=0).tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    arrays = [np.asarray(s) for s in sequences]
    if not arrays:
        raise ValueError("pad: there are no sequences")
    if min(a.ndim for a in arrays) == 0 or len({a.shape[1:] for a in arrays}) > 1:
        raise ValueError(f"pad: sequences may differ in their length only, got shapes {[a.shape for a in arrays]}; "
                         "time is the first axis of each")
    filled = [a for a in arrays if len(a)] or arrays  # an empty list is an array of floats, and should not make it so
    lengths = np.array([len(a) for a in arrays])
    T = lengths.max()
    dtype = np.result_type(*filled)
    if dtype.kind != "f" and value % 1 != 0:  # NaN too, and infinity
        dtype = np.result_type(dtype, np.float64)
    out = np.full((T, len(arrays), *arrays[0].shape[1:]), value, dtype)
    for b, a in enumerate(arrays):
        out[: len(a), b] = a
    return out, np.arange(T)[:, None] < lengths


def unpad(x: Any, mask: Any) -> list[np.ndarray]:
    """The sequences that `pad` laid side by side, from x (T, B, ...) and mask (T, B).

    Raises:
        ValueError: if the mask does not fit.

    >>> [s.tolist() for s in unpad(*pad([[1, 2, 3], [4]]))]
    [[1, 2, 3], [4]]
    """
    x, mask = np.asarray(plain(x)), np.asarray(mask, dtype=bool)
    if mask.ndim != 2 or x.shape[:2] != mask.shape:
        raise ValueError(f"unpad: the mask (T, B) holds the first two axes of x; got {mask.shape} for x {x.shape}")
    return [x[mask[:, b], b] for b in range(x.shape[1])]
