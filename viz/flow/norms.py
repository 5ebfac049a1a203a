"""Norms: the size of very many arrays, cheaply. What is small is measured in stacks of one shape, not one by one.

A reverse pass over a thousand steps sends twenty thousand messages of a few numbers each; NumPy takes longer to be
called for one of them than to work out its norm. So arrays of one shape are put by until there are enough for a stack.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Deferred, Product, Scatter, repeats
from viz.graph.trace import HUGE, TINY, norms_of_rows

STACK = 1 << 15  # so many numbers are measured together: what the nearer caches hold


class Norms:
    """Norm, number of entries and balance of signs of each array it is shown, in the order of showing.

    The *balance* is the share of positive minus the share of negative entries, -1..1; zeros and NaN are neither.

    >>> norms = Norms()
    >>> for x in (3.0, np.array([3.0, -4.0]), np.array([1.0, 1.0, 1.0, -1.0])):
    ...     norms.show(x)
    >>> for column in norms.columns():
    ...     print(column)
    [3. 5. 2.]
    [1 2 4]
    [1.  0.  0.5]
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.pieces: list[tuple[int, int]] = []  # each array is a piece, or a product of two; the first piece is 1
        self.put_so_far = 0
        self.waiting: dict[tuple[int, ...], tuple[list[int], list[Any], int]] = {}
        self.measured: list[tuple[Any, np.ndarray, np.ndarray]] = []
        self.norm_alone: list[tuple[int, float, Product]] = []  # whose signs are counted when somebody asks
        self.bench = np.empty(STACK)  # one place to work on: fresh memory would cost more than the work
        self.put(np.ones(1))

    def show(self, x: Any) -> None:
        """Take in an array, a number, or a cotangent that the engine has put off.

        What was put off is built only if its parts do not tell. ``x[t]`` has the entries of its values, and zeros. A
        product of one row each, ``aᵀ g``, has the norm ‖a‖ ‖g‖, and the signs of its entries are products too. Of a few
        rows the norm is told by small matrices; only to count signs it must be built, and that waits until `columns`.
        """
        if type(x) is np.ndarray:
            self.sizes.append(x.size)
            self.pieces.append((self.put(x), 0))
        elif not isinstance(x, Deferred):
            self.sizes.append(1)
            self.pieces.append((self.put(np.asarray(x)), 0))
        else:
            self.sizes.append(math.prod(x.shape))
            if isinstance(x, Scatter) and not repeats(x.index):
                self.pieces.append((self.put(x.values), 0))
            elif isinstance(x, Product) and len(x.a) == 1 and len(x.a[0]) == 1:
                self.pieces.append((self.put(x.a[0]), self.put(x.g[0])))
            elif isinstance(x, Product) and len(x.a) == 1 and (size := norm_of_product(x.a[0], x.g[0])) is not None:
                self.pieces.append((self.put_so_far, 0))
                self.norm_alone.append((self.put_so_far, size, x))
                self.put_so_far += 1
            else:
                self.pieces.append((self.put(x.dense()), 0))

    def show_again(self, j: int, size: int | None = None) -> None:
        """Take in the j-th array once more, which has been measured; or its entries among zeros, `size` in all."""
        self.sizes.append(self.sizes[j] if size is None else size)
        self.pieces.append(self.pieces[j])

    def put(self, x: np.ndarray) -> int:
        """Let an array wait for more of its shape. Returns which piece it is."""
        j = self.put_so_far
        self.put_so_far = j + 1
        found = self.waiting.get(x.shape)
        if found is None:
            found = self.waiting[x.shape] = ([], [], STACK // max(x.size, 1))
        places, stack, enough = found
        places.append(j)
        stack.append(x)
        if len(stack) >= enough:
            self.measure(x.shape)
        return j

    def measure(self, shape: tuple[int, ...]) -> None:
        """Measure what waits under a shape."""
        places, stack, enough = self.waiting.pop(shape)
        n, size = len(stack), math.prod(shape)
        if not enough:
            rows = np.array(stack[0], dtype=np.float64)
        else:
            rows = self.bench[: n * size]
            if shape:
                np.concatenate(stack, out=rows.reshape(n * shape[0], *shape[1:]))
            else:
                rows[:] = stack
        self.measured.append((places, *measured(rows.reshape(n, size))))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The norms, the numbers of entries and the balances of all arrays so far."""
        for j, known, x in self.norm_alone:
            _, sign = measured(x.dense().reshape(1, -1).astype(np.float64))
            self.measured.append(([j], np.array([known]), sign))
        self.norm_alone = []
        for shape in list(self.waiting):
            self.measure(shape)
        norms, signs = np.empty(self.put_so_far), np.empty(self.put_so_far)
        for places, size, sign in self.measured:
            norms[places], signs[places] = size, sign
        first, second = np.array(self.pieces, dtype=int).reshape(-1, 2).T
        sizes = np.array(self.sizes, dtype=int)
        with np.errstate(over="ignore", invalid="ignore"):
            products = norms[first] * norms[second]
        return products, sizes, signs[first] * signs[second] / np.maximum(sizes, 1)


def norm_of_product(a: np.ndarray, g: np.ndarray) -> float | None:
    """The norm of ``aᵀ g`` by ``‖aᵀ g‖² = Σ (a aᵀ) ⊙ (g gᵀ)``; None where that is not cheaper, or not safe."""
    if len(a) >= min(a.shape[1], g.shape[1]) or a.dtype != np.float64:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        rows_a, rows_g = a @ a.T, g @ g.T
        square, bound = float(np.vdot(rows_a, rows_g)), float(rows_a.trace() * rows_g.trace())
    return math.sqrt(square) if TINY < square < HUGE and square > 1e-3 * bound else None  # else rows cancel


def measured(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row its norm, and how many more entries are positive than negative."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        signs = count(rows > 0) - count(rows < 0)
    if not (norms.min(initial=1.0) > TINY and norms.max(initial=1.0) < HUGE):
        strange = ~((norms > TINY) & (norms < HUGE))
        norms[strange] = norms_of_rows(rows[strange])
    return norms, signs


def count(rows: np.ndarray) -> np.ndarray:
    """How many in each row are true. (NumPy counts along an axis slowly; a product with ones does not.)"""
    if rows.shape[1] > 1 << 14:  # far below 2^24, where float32 stops counting
        return np.array([np.count_nonzero(row) for row in rows])
    return rows.astype(np.float32) @ np.ones(rows.shape[1], np.float32)
