"""Gauge: the size of very many arrays, cheaply. What is small is measured in stacks of one shape, not one by one.

A reverse pass over a thousand steps sends twenty thousand messages of a few numbers each; NumPy takes longer to be
called for one of them than to work out its norm. So arrays of the same shape are put by until there are enough for one stack.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Deferred, Product, Scatter, repeats
from viz.trace import HUGE, TINY, norm

STACK = 1 << 16  # so many numbers are measured together: what the nearer caches hold
LARGE = 1 << 14  # an array of so many numbers is worth a call of its own


class Gauge:
    """Norm, number of entries and balance of signs of each array it is shown, in the order of showing.

    The *balance* is the share of positive minus the share of negative entries, -1..1; zeros and NaN are neither.

    >>> gauge = Gauge()
    >>> for x in (3.0, np.array([3.0, -4.0]), np.array([1.0, 1.0, 1.0, -1.0])):
    ...     gauge.show(x)
    >>> for column in gauge.columns():
    ...     print(column)
    [3. 5. 2.]
    [1 2 4]
    [1.  0.  0.5]
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.pieces: list[tuple[int, int]] = []  # each array is a piece, or a product of two; the first piece is 1
        self.count = 0
        self.waiting: dict[tuple[int, ...], tuple[list[int], list[Any]]] = {}
        self.measured: list[tuple[list[int], Any, Any]] = []
        self.put(1.0)

    def show(self, x: Any) -> None:
        """Take in an array, a number, or a cotangent that the engine has put off.

        What was put off is built only if its parts do not tell. ``x[t]`` has the entries of its values, and zeros. A
        product of one row each, ``aᵀ g``, has the norm ‖a‖ ‖g‖, and the signs of its entries are products too.
        """
        if type(x) is np.ndarray:
            self.sizes.append(x.size)
            self.pieces.append((self.put(x), 0))
        elif not isinstance(x, Deferred):
            self.sizes.append(1)
            self.pieces.append((self.put(x), 0))
        else:
            self.sizes.append(math.prod(x.shape))
            if isinstance(x, Scatter) and not repeats(x.index):
                self.pieces.append((self.put(x.values), 0))
            elif isinstance(x, Product) and len(x.a) == 1 and len(x.a[0]) == 1:
                self.pieces.append((self.put(x.a[0]), self.put(x.g[0])))
            else:
                self.pieces.append((self.put(x.dense()), 0))

    def put(self, x: Any) -> int:
        """Measure an array, or let it wait for more of its shape. Returns which piece it is."""
        j = self.count
        self.count = j + 1
        shape = np.shape(x)
        size = math.prod(shape)
        if size >= LARGE:
            self.measured.append(([j], *measured(x.reshape(1, -1))))
            return j
        places, stack = self.waiting.get(shape) or self.waiting.setdefault(shape, ([], []))
        places.append(j)
        stack.append(x)
        if len(stack) * size >= STACK:
            self.measure(shape)
        return j

    def measure(self, shape: tuple[int, ...]) -> None:
        """Measure what waits under a shape."""
        places, stack = self.waiting.pop(shape)
        rows = np.concatenate(stack) if shape else np.array(stack)
        self.measured.append((places, *measured(rows.reshape(len(places), -1))))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The norms, the numbers of entries and the balances of all arrays so far."""
        for shape in list(self.waiting):
            self.measure(shape)
        norms, signs = np.empty(self.count), np.empty(self.count)
        for places, size, sign in self.measured:
            norms[places], signs[places] = size, sign
        first, second = np.array(self.pieces, dtype=int).reshape(-1, 2).T
        sizes = np.array(self.sizes, dtype=int)
        return norms[first] * norms[second], sizes, signs[first] * signs[second] / np.maximum(sizes, 1)


def measured(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, in double precision: its norm, and how many more entries are positive than negative."""
    rows = rows.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        signs = np.sign(rows) @ np.ones(rows.shape[1])
    for j in np.flatnonzero(~((norms > TINY) & (norms < HUGE))):
        norms[j] = norm(rows[j])
        signs[j] = np.count_nonzero(rows[j] > 0) - np.count_nonzero(rows[j] < 0)
    return norms, signs
