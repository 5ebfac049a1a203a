"""Cotangents in flight: how messages are fitted to the input they go to, and how they add up cheaply.

Most messages are plain floats or arrays. Two kinds are worth putting off, because a loop over T steps sends T of them
to one node, and each would cost as much as the whole node:

* `Scatter`, from ``x[t]``: numbers that belong at one index of x. T of them are written into one buffer.
  (The pieces of one ``split`` are not even written: `Pieces` joins them.)
* `Product`, from ``h @ W``: the outer product ``hᵀ g``. T of them are one matrix product over the stacked steps,
  ``[h_1; ...; h_T]ᵀ [g_1; ...; g_T]``: the sum over time steps of docs/equations.md, section 2, in a single call.

The engine adds with ``+`` the first time and with ``+=`` from then on; what ``+`` returns is fresh and may be
written to, what a rule was given never is. Under ``create_graph`` messages are nodes; there both kinds are a `Series`,
which is joined by one recorded operation when all its parts have come.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from microgradrnn.engine.euclidean import euclidean


def fit(message: Any, like: Any) -> Any:
    """The message in the shape and dtype of the input: summed over the axes along which that was broadcast."""
    if message.shape != like.shape:
        message = unbroadcast(message, like.shape)
    if message.dtype is not like.dtype and message.dtype != like.dtype:
        message = message.astype(like.dtype)
    return message


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum g over the axes along which an operand of this shape was stretched: the transpose of broadcasting."""
    lead = len(g.shape) - len(shape)
    stretched = tuple(range(lead)) + tuple(
        axis for axis, n in enumerate(shape, start=lead) if n == 1 and g.shape[axis] != 1
    )
    return g.sum(axis=stretched).reshape(shape)


def all_finite(a: Any) -> bool:
    """Is every number finite? The sum of squares tells it in half the time, unless it overflows."""
    return math.isfinite(np.vdot(a, a)) or bool(np.isfinite(a).all())


class Deferred:
    """A cotangent not yet worked out. `dense()` gives the array; `np.asarray` does too."""

    __slots__ = ("dtype", "shape")
    shape: tuple[int, ...]
    dtype: Any

    def dense(self) -> np.ndarray:
        """The cotangent as a new array."""
        raise NotImplementedError

    def add_to(self, total: np.ndarray) -> None:
        """Add it to an array in place."""
        total += self.dense()

    def norm(self) -> float:
        """Its Euclidean norm."""
        return float(euclidean(self.dense()))

    def finite(self) -> bool:
        """Is every number of it finite? (If not, the cotangent itself may be.)"""
        return all_finite(np.asarray(self))

    def astype(self, dtype: Any) -> np.ndarray:
        """The cotangent as an array of that dtype."""
        return self.dense().astype(dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.dense(), dtype=dtype)

    def __add__(self, other: Any) -> Any:
        total = Buffer(self.dense())
        total += other
        return total

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        """``array + self`` and ``array += self``, the two ways in which the engine adds to an array."""
        if ufunc is not np.add or method != "__call__" or options or isinstance(inputs[0], Deferred):
            return NotImplemented
        total = np.array(inputs[0]) if out is None else out[0]
        self.add_to(total)
        return total


class Scatter(Deferred):
    """Zeros of some shape, but for `values` at `index`. Where an index repeats, the values add up."""

    __slots__ = ("index", "values")

    def __init__(self, values: np.ndarray, index: Any, shape: tuple[int, ...]) -> None:
        self.values, self.index, self.shape, self.dtype = values, index, shape, values.dtype

    def dense(self) -> np.ndarray:
        """Zeros, with the values in their places."""
        total = np.zeros(self.shape, self.dtype)
        if repeats(self.index):
            add_at(total, self.index, self.values)
        else:
            total[self.index] = self.values
        return total

    def add_to(self, total: np.ndarray) -> None:
        """Add the values in place, at the cost of their number, not of the array's size."""
        if type(self.index) is int and total.ndim > 1:
            row = total[self.index]  # a view: `total[index] += values` would write it back once more
            row += self.values
        elif repeats(self.index):
            add_at(total, self.index, self.values)
        else:
            total[self.index] += self.values

    def __add__(self, other: Any) -> Any:
        if isinstance(self.index, Cut) and isinstance(other, Scatter):
            pieces = Pieces(self)
            pieces += other
            return pieces
        return super().__add__(other)

    def finite(self) -> bool:
        """Is every value finite?"""
        return all_finite(self.values)

    def norm(self) -> float:
        """Its Euclidean norm."""
        return super().norm() if repeats(self.index) else float(euclidean(self.values))


def add_at(total: np.ndarray, index: Any, values: np.ndarray) -> None:
    """Add values at an index that may repeat. Whole rows, as of an embedding, are sorted and summed: it is quicker."""
    if type(index) is not np.ndarray or total.ndim < 2 or index.size < 2:
        np.add.at(total, index, values)
        return
    rows = index.ravel().astype(np.intp) % len(total)  # -1 is the last row
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    first = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    summed = np.broadcast_to(values, (*index.shape, *total.shape[1:])).reshape(len(rows), *total.shape[1:])[order]
    total[rows[first]] += np.add.reduceat(summed, first, axis=0)


def repeats(index: Any) -> bool:
    """May this index name one place twice? Only arrays of integers can."""
    if type(index) is int:
        return False
    for i in index if type(index) is tuple else (index,):
        if type(i) is np.ndarray and i.dtype != bool and i.ndim:
            return True
    return False


class Cut(tuple):
    """The index of one piece that `split` cuts. It knows the others, whose cotangents will come too."""

    siblings: list[Cut]
    place: int


class Pieces(Deferred):
    """The cotangents of what `split` cut apart, each in its place: joined once, instead of written one by one."""

    __slots__ = ("cuts", "values")

    def __init__(self, first: Scatter) -> None:
        self.cuts, self.shape, self.dtype = first.index.siblings, first.shape, first.dtype
        self.values: list[np.ndarray | None] = [None] * len(self.cuts)
        self.values[first.index.place] = first.values

    def dense(self) -> np.ndarray:
        """The whole; zeros for a piece that nothing came from."""
        axis = len(self.cuts[0]) - 1
        found = [np.zeros_like(np.broadcast_to(self.dtype.type(0), self.shape)[cut]) if value is None else value
                 for cut, value in zip(self.cuts, self.values, strict=True)]
        return np.concatenate(found, axis)

    def __iadd__(self, other: Any) -> Any:
        index = other.index if isinstance(other, Scatter) else None
        if isinstance(index, Cut) and index.siblings is self.cuts and self.values[index.place] is None:
            self.values[index.place] = other.values
            return self
        return super().__add__(other)


class Buffer(Deferred):
    """A dense sum that further cotangents are written into."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def dense(self) -> np.ndarray:
        """The sum so far."""
        return self.array

    def __iadd__(self, other: Any) -> Buffer:
        if isinstance(other, Deferred):
            other.add_to(self.array)
        else:
            self.array += other
        return self


class Product(Deferred):
    """A sum of products ``aᵀ g``, kept as the list of its factors: (N, D) and (N, H) arrays for a (D, H) cotangent."""

    __slots__ = ("a", "g")

    def __init__(self, a: list[np.ndarray], g: list[np.ndarray]) -> None:
        self.a, self.g = a, g
        self.shape = (a[0].shape[1], g[0].shape[1])
        self.dtype = np.result_type(a[0], g[0])

    def finite(self) -> bool:
        """Is every factor finite?"""
        return all(map(all_finite, (*self.a, *self.g)))

    def dense(self) -> np.ndarray:
        """One product over everything stacked."""
        if len(self.a) == 1:
            return self.a[0].T @ self.g[0]
        result: np.ndarray = np.concatenate(self.a).T @ np.concatenate(self.g)
        return result

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Product):
            return Product(self.a + other.a, self.g + other.g)
        return super().__add__(other)

    def __iadd__(self, other: Any) -> Any:
        if not isinstance(other, Product):
            return super().__add__(other)
        self.a += other.a
        self.g += other.g
        return self


class Series(Deferred):
    """A sum of messages that are nodes, kept as a list of what `join` makes one node of."""

    __slots__ = ("join", "parts", "summed")

    def __init__(
        self, join: Callable[..., Any], parts: list[Any], shape: tuple[int, ...], dtype: Any, summed: bool = False
    ) -> None:
        self.join, self.parts, self.shape, self.dtype = join, parts, shape, dtype
        self.summed = summed  # is the list our own, or still that of a message?

    def dense(self) -> Any:
        """The sum, as one node."""
        return self.join(self.parts, self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.dense().data, dtype=dtype)

    def norm(self) -> float:
        """Its Euclidean norm."""
        return float(euclidean(self.dense().data))


def adding(sums: dict[Any, Any], create_graph: bool) -> Callable[[Any, Any], Any]:
    """The function that adds a further message to the sum of a node.

    The first message was borrowed: ``+`` returns an array of our own, and from then on ``+=`` may write to it.
    """
    ours = set()

    def add(x: Any, message: Any) -> Any:
        total = sums[x]
        if create_graph:
            return together(total, message)
        if x in ours:
            total += message
            return total
        ours.add(x)
        return total + message

    return add


def together(total: Any, message: Any) -> Any:
    """The sum of two cotangents under ``create_graph``."""
    if isinstance(total, Series) and isinstance(message, Series) and total.join is message.join:
        if not total.summed:
            total = Series(total.join, list(total.parts), total.shape, total.dtype, summed=True)
        total.parts.extend(message.parts)
        return total
    total, message = (x.dense() if isinstance(x, Deferred) else x for x in (total, message))
    return total + message


def read_only(message: Any) -> Any:
    """The message as an observer may have it: it is shared with the pass."""
    if isinstance(message, np.ndarray):
        message = message.view()
        message.flags.writeable = False
    return message
