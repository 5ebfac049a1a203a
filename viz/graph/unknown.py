"""Operands and results without numbers: PyTorch keeps only what a derivative needs."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np


class Unknown(np.ndarray):
    """An array of which the shape and the dtype are known, and no numbers. (Its entries are NaN.)"""

    @staticmethod
    @cache
    def of(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """One of this shape; it takes no memory.

        >>> Unknown.of((2, 3), np.float32).shape
        (2, 3)
        """
        return np.broadcast_to(np.asarray(np.nan, dtype), shape).view(Unknown)


class Guess(float):
    """A number that was worked out from results: it may as well be an array of equal numbers."""


class Unseen:
    """An operand of which not even the shape is known."""

    shape = dtype = "?"

    def __float__(self) -> float:
        return math.nan
