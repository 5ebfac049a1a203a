"""The source of a kernel: one loop over time in which a step is a few products and a few passes over the arrays.

A step is cut into levels. A product, or a sum over an axis, needs arrays, so that it begins a new level; all
elementwise work of a level is done in one pass over the numbers, in scalars. A scalar is computed where it is needed:
what no product and no later phase reads never becomes an array.

    for t in range(first, stop):
        gemm(h_prev[t], W, z)                              # level 1: the product,
        for i in range(B):                                 # and all that can be computed from it
            for j in range(H):
                f = sigmoid(z[i, j] + v[t, i, j])
                ...
                h[t, i, j] = o * tanh(c)
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from microgradrnn.compiler.expression import Expression
from microgradrnn.compiler.layout import look_of
from microgradrnn.compiler.numba_memory import Axis, Memory, Unsupported
from microgradrnn.compiler.numba_products import SMALL, Matrix, blas_product, small_product
from microgradrnn.compiler.numba_scalars import Body
from microgradrnn.compiler.plan import is_view

MOST_PIECES = 8  # of a wide array that is computed along with narrow ones
RESERVED = {"t", "batch", "i", "j", "k", "a", "a0", "a1", "a2", "a3", "total", "top", "first", "stop", "whole", "np",
            "erf", "sgemm", "dgemm", "sgemv", "dgemv", "wide_vectors", *keyword.kwlist, *dir(builtins)}  # fmt: skip
# Of reductions: where the total starts, and how a number goes into it.
ADDED, LARGER, SMALLER = (
    ("0", "total += {0}"), ("-np.inf", "total = {0} if {0} > total or {0} != {0} else total"),
    ("np.inf", "total = {0} if {0} < total or {0} != {0} else total"),
)  # fmt: skip
REDUCED = {"sum": ADDED, "mean": ADDED, "max": LARGER, "min": SMALLER,
           "add.reduce": ADDED, "maximum.reduce": LARGER, "minimum.reduce": SMALLER}  # fmt: skip
BARRIERS = {"matmul", "softmax", "reshape", *REDUCED}  # what needs arrays, and so begins a level


class Store(NamedTuple):
    """A place for an expression: the sample of an array, and whether to add to what is there."""

    e: Expression
    place: np.ndarray
    adds: bool = False


class Step:
    """Writes the body of the loop over time.

    Args:
        memory: what is in memory when a step begins.
        stores: what a step must leave in memory.
        blas: is there a BLAS to call?
    """

    def __init__(self, memory: Memory, stores: Sequence[Store], blas: bool) -> None:
        self.memory, self.blas = memory, blas
        self.lines: list[str] = []
        self.taken: set[str] = {*memory.samples, *RESERVED}
        self.levels: dict[Expression, int] = {}
        barriers = self._barriers([store.e for store in stores])
        stores = [*stores, *self._operands(barriers, {store.e for store in stores})]
        direct = {id(store): store for store in self._direct(stores, barriers)}
        for level in range(max(self.levels.values(), default=0) + 1):
            for e in barriers:
                if self.levels[e] == level:
                    self._barrier(e, next((s for s in direct.values() if s.e is e), None))
            self._passes([s for s in stores if self.levels[s.e] == level and id(s) not in direct])

    # --------------------------------------------------------------------------------------------------------- levels
    def _barriers(self, roots: Iterable[Expression]) -> list[Expression]:
        """All products and sums that are needed, each after what it needs; and the level of everything."""
        found: list[Expression] = []
        stack = list(roots)[::-1]
        while stack:
            e = stack[-1]
            if e in self.levels:
                stack.pop()
                continue
            known = self.memory.find(e) is not None
            if not known and (missing := [a for a in e.inputs if a not in self.levels]):
                stack.extend(missing)
                continue
            stack.pop()
            barrier = not known and e.op in BARRIERS
            self.levels[e] = 0 if known else max([self.levels[a] for a in e.inputs], default=0) + barrier
            if barrier:
                found.append(e)
        return found

    def _operands(self, barriers: Iterable[Expression], stored: set[Expression]) -> Iterable[Store]:
        """New arrays for the operands of products and sums that would have none."""
        for a in dict.fromkeys(a for e in barriers for a in e.inputs):
            whole = a
            while is_view(whole) and whole.op != "reshape":
                whole = whole.args[0]
            if whole.op not in BARRIERS and a not in stored and self.memory.find(whole) is None:
                yield Store(a, self.memory.new(a))

    def _direct(self, stores: Sequence[Store], barriers: Sequence[Expression]) -> Iterable[Store]:
        """For each product or sum the place into which it is computed, if one of its stores is such a place."""
        read = {a for e in self.levels if self.memory.find(e) is None for a in e.inputs}
        for e in barriers:
            mine = [s for s in stores if s.e is e and e.op != "reshape"]
            adds_only = len(mine) == 1 and mine[0].adds and e not in read and e.op == "matmul"
            plain = [s for s in mine if not s.adds]
            if adds_only or plain:
                yield plain[0] if plain else mine[0]

    # --------------------------------------------------------------------------------------------------------- passes
    def _passes(self, stores: Sequence[Store]) -> None:
        """The elementwise work of a level. Arrays whose widths are multiples of each other share a pass."""
        groups: list[tuple[tuple[int, ...], list[Store]]] = []
        for store in sorted((part for s in stores for part in pieces(s, self.memory)), key=lambda s: s.e.shape):
            shape = store.e.shape
            for narrow, group in groups:
                if shape == narrow or (
                    shape and len(shape) == len(narrow) and shape[:-1] == narrow[:-1] and narrow[-1] > 0
                    and shape[-1] % narrow[-1] == 0 and shape[-1] // narrow[-1] <= MOST_PIECES
                ):  # fmt: skip
                    group.append(store)
                    break
            else:
                groups.append((shape, [store]))
        for shape, group in groups:
            if prod(shape):
                self._pass(shape, group)
            self._hold(group)
        self._hold(stores)

    def _hold(self, stores: Iterable[Store]) -> None:
        """From here on these are read from memory."""
        for store in stores:
            if not store.adds:
                self.memory.held.setdefault(store.e, store.place)

    def _pass(self, shape: tuple[int, ...], group: Sequence[Store]) -> None:
        """One pass: loops over the axes, scalars, and what is stored of them. Wide arrays are stored in pieces."""
        variables: list[str | None] = []
        indent = ""
        for k, n in enumerate(shape):
            variables.append(f"i{k}" if n != 1 else None)
            if n != 1:
                self.lines.append(f"{indent}for i{k} in range({n}):")
                indent += "    "
        ranges = {f"i{k}": n for k, n in enumerate(shape)}
        body = Body(self.memory, self.taken, ranges)
        stored = []
        for store in group:
            width = shape[-1] if shape else 1
            for start in range(0, store.e.shape[-1] if shape else 1, max(width, 1)):
                index = tuple(Axis(v, start if k == len(shape) - 1 else 0, int(v is not None))
                              for k, v in enumerate(variables))  # fmt: skip
                value, place = body.value(store.e, index), self.memory.at(store.place, index)
                stored.append(f"{place} {'+=' if store.adds else '='} {value}")
        self.lines += [indent + line for line in [*body.lines, *stored]]

    # ------------------------------------------------------------------------------------------------------- barriers
    def _barrier(self, e: Expression, store: Store | None) -> None:
        """A product, a sum, or another look at an array; computed into the place of a store if there is one."""
        memory = self.memory
        operands = [self._in_memory(a) for a in e.inputs]
        if e.op == "reshape":
            memory.held[e] = look_of(e, memory.owner(operands[0]) in memory.stacked)(operands[0])
            return
        place = memory.new(e) if store is None else store.place
        if e.op == "matmul":
            self._product(e, operands, place, store is not None and store.adds)
        elif e.op == "softmax":
            self._softmax(e, operands[0], place)
        else:
            self._reduced(e, operands[0], place)
        if store is None or not store.adds:
            memory.held[e] = place

    def _in_memory(self, e: Expression) -> np.ndarray:
        """Where an operand is."""
        place = self.memory.find(e)
        if place is None:
            raise Unsupported(f"compile: {e.op} as an operand")
        return place

    def _product(self, e: Expression, operands: Sequence[np.ndarray], out: np.ndarray, adds: bool) -> None:
        """A product of two matrices; a vector is a matrix of one row, or of one column."""
        a, b = e.args
        if not all(isinstance(x, Expression) and 1 <= len(x.shape) <= 2 and x.dtype == e.dtype for x in (a, b)):
            raise Unsupported("compile: a product of more than matrices")
        (rows, inner), columns = (a.shape if len(a.shape) == 2 else (1, *a.shape)), (*b.shape, 1)[1]
        left, right = self._matrix(operands[0], len(a.shape) == 1), self._matrix(operands[1], False)
        result = self._matrix(out, len(a.shape) == 1)
        given = (left, right, result, (rows, columns, inner), e.dtype, adds)
        call = None
        if rows * inner * columns > SMALL:
            if not self.blas:
                raise Unsupported("compile: a large product, and no BLAS of NumPy's that a kernel can call")
            call = blas_product(*given)
        self.lines += small_product(*given) if call is None else [call]

    def _matrix(self, place: np.ndarray, is_row: bool) -> Matrix:
        """An array as a matrix; a vector is one row or one column."""
        head, strides, start = self.memory.where(place)
        if len(strides) < 2:
            strides = ([0, *strides, 0] if is_row else [*strides, 0, 0])[:2]
        return Matrix(head, start, *strides)

    def _reduced(self, e: Expression, operand: np.ndarray, place: np.ndarray) -> None:
        """A sum, mean or extremum over axes."""
        x = e.args[0]
        given = e.params.get("axis")
        axes = range(len(x.shape)) if given is None else [given] if isinstance(given, int) else given
        axes = {axis % len(x.shape) for axis in axes}
        free = [k for k in range(len(x.shape)) if k not in axes]
        order = [*free, *sorted(axes)]
        kept = tuple(Axis(f"i{k}", 0, 1) for k in free)
        if e.params.get("keepdims"):
            kept = tuple(Axis(f"i{k}", 0, 1) if k in free else Axis(None, 0, 0) for k in range(len(x.shape)))
        number = prod(x.shape[k] for k in axes)
        begin, inside = REDUCED[e.op]
        term = self.memory.at(operand, tuple(Axis(f"i{k}", 0, 1) for k in range(len(x.shape))))
        result = f"total / {e.dtype}({number})" if e.op == "mean" else "total"
        pad = "    " * len(free)
        self.lines += [f"{'    ' * n}for i{k} in range({x.shape[k]}):" for n, k in enumerate(free)]
        self.lines += [f"{pad}total = {e.dtype}({begin})"]
        self.lines += [f"{'    ' * n}for i{k} in range({x.shape[k]}):" for n, k in enumerate(order) if k in axes]
        self.lines += [f"{'    ' * len(order)}{inside.format(term)}", f"{pad}{self.memory.at(place, kept)} = {result}"]

    def _softmax(self, e: Expression, operand: np.ndarray, place: np.ndarray) -> None:
        """Of rows. As in the engine, a row of nothing but -inf is all zeros."""
        if e.params["axis"] not in (-1, len(e.shape) - 1):
            raise Unsupported("compile: softmax along another axis than the last")
        index = tuple(Axis(f"i{k}", 0, 1) for k in range(len(e.shape)))
        x, y = self.memory.at(operand, index), self.memory.at(place, index)
        *heads, last = [f"{'    ' * k}for i{k} in range({n}):" for k, n in enumerate(e.shape)]
        pad, deeper = "    " * len(heads), "    " * len(index)
        bits = 8 * e.dtype.itemsize
        self.lines += [
            *heads, f"{pad}top = {e.dtype}(-np.inf)", last, f"{deeper}top = {x} if {x} > top else top",
            f"{pad}top = {e.dtype}(0) if top == -np.inf else top", f"{pad}total = {e.dtype}(0)",
            last, f"{deeper}{y} = exp_{bits}({x} - top)", f"{deeper}total += {y}",
            f"{pad}total = {e.dtype}(1) if total < {e.dtype}(1) else total", last, f"{deeper}{y} = {y} / total",
        ]  # fmt: skip


def pieces(store: Store, memory: Memory) -> Iterable[Store]:
    """A store; of a concatenation, one for each of its pieces."""
    e, place, adds = store
    if e.op != "concat" or memory.find(e) is not None:
        yield store
        return
    axis = e.params["axis"] % len(e.shape) - len(e.shape)
    starts = [0]
    for piece in e.args:
        starts.append(starts[-1] + piece.shape[axis])
    for piece, (start, stop) in zip(e.args, pairwise(starts), strict=True):
        part = place[(..., slice(start, stop), *(slice(None),) * (-axis - 1))]
        yield from pieces(Store(piece, part, adds), memory)
