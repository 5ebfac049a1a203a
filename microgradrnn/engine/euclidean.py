"""The Euclidean norm √Σx² of numbers of any size, though squares of small numbers are 0 and of large ones infinite."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def euclidean(x: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """√Σx². Where squares may have under- or overflowed, x is scaled by a power of two first: that rounds nothing."""
    with np.errstate(over="ignore"):
        size = np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))
    if ((size > least_safe(size.dtype)) & (size < np.inf)).all():
        return size
    top = np.max(np.abs(x), axis=axis, keepdims=True, initial=0)
    exponent = np.where(np.isfinite(top), np.frexp(top)[1], 0)
    sum_of_squares = np.sum(np.square(np.ldexp(x, -exponent)), axis=axis, keepdims=True)
    return np.ldexp(np.sqrt(sum_of_squares), exponent).reshape(size.shape)


@cache
def least_safe(dtype: Any) -> float:
    """Above it a norm is right: the squares that underflow are less than a rounding error of the sum."""
    limits = np.finfo(dtype)
    return float(np.sqrt(limits.tiny / limits.eps))
