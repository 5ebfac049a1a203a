"""The inside of a pass over arrays: one scalar after the other.

An expression is a scalar at an index, such as (i, j). To compute it, its arguments are computed at theirs: a slice adds
to an index, a transposition swaps its parts, an axis of length 1 is read at 0. Nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from microgradrnn.compiler.expression import COMPARISONS, ELEMENTWISE, LOGICAL, Expression
from microgradrnn.compiler.numba_memory import Axis, Index, Memory, Unsupported
from microgradrnn.compiler.plan import basic

BETWEEN = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "true_divide": "/", "power": "**"} | COMPARISONS
TEXTS = {
    "negative": "-{0}", "positive": "{0}", "square": "{0} * {0}", "reciprocal": "{one} / {0}",
    "abs": "abs({0})", "absolute": "abs({0})", "where": "{1} if {0} else {2}",
    "logical_not": "not {0}", "invert": "not {0}", "relu": "{zero} if {0} <= {zero} else {0}",
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}", "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "tanh": "tanh_{bits}({0})", "exp": "exp_{bits}({0})", "sigmoid": "sigmoid_{bits}({0})", "erf": "erf({0})",
    "softplus": "np.log1p(exp_{bits}(-abs({0}))) + ({zero} if {0} <= {zero} else {0})",
}  # fmt: skip
FUNCTIONS = {
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "ceil", "cos", "cosh", "exp2", "expm1",
    "floor", "hypot", "isfinite", "log", "log10", "log1p", "log2", "logaddexp", "remainder", "sign", "sin", "sinh",
    "sqrt", "tan",
}  # fmt: skip



class Body:
    """The inside of a pass: scalars in the order in which they are computed, each once.

    Args:
        memory: what need not be computed.
        names: those that are taken.
        ranges: how far each loop variable goes.
    """

    def __init__(self, memory: Memory, names: set[str], ranges: dict[str, int]) -> None:
        self.memory, self.names, self.ranges = memory, names, ranges
        self.lines: list[str] = []
        self.known: dict[tuple[Expression, Index], str] = {}

    def value(self, x: Any, index: Index) -> str:
        """The name of the scalar at an index, computed if need be."""
        if not isinstance(x, Expression):
            return repr(x)
        key = (x, index)
        if key not in self.known:
            text = self._text(x, index)
            if not text.isidentifier():
                name = self.fresh(x.name)
                self.lines.append(f"{name} = {text}")
                text = name
            self.known[key] = text
        return self.known[key]

    def fresh(self, wish: str | None) -> str:
        """A name for a scalar."""
        base = wish if wish and wish.isidentifier() else "v"
        name, k = base, 1
        while name in self.names:
            k += 1
            name = f"{base}_{k}"
        self.names.add(name)
        return name

    def _text(self, e: Expression, index: Index) -> str:
        """What computes a scalar, or reads it from memory."""
        if e.op == "zeros":
            return f"{e.dtype}(0)"
        if e.op == "constant" and prod(e.shape) == 1:
            return number(e.params["value"].item(), e.dtype)
        place = self.memory.find(e)
        if place is None and e.op == "constant":
            place = self.memory.held[e] = self.memory.new(e, e.params["value"])
        if place is not None:
            return self.memory.at(place, index)
        if e.op in VIEWED:
            return self.value(e.args[0], VIEWED[e.op](e, index))
        if e.op == "astype":
            return f"{e.dtype}({self.value(e.args[0], index)})"
        if e.op == "concat":
            return self._of_pieces(e, index)
        if e.op in ELEMENTWISE:
            return self._elementwise(e, index)
        raise Unsupported(f"compile: {e.op} in the loop over time")

    def _of_pieces(self, e: Expression, index: Index) -> str:
        """An entry of a concatenation, in the piece where it is."""
        axis, start = e.params["axis"] % len(e.shape), 0
        at = index[axis]
        last = at.start + at.step * (self.ranges[at.variable] - 1 if at.variable else 0)
        for piece in e.args:
            stop = start + piece.shape[axis]
            if start <= min(at.start, last) and max(at.start, last) < stop:
                return self.value(piece, (*index[:axis], at._replace(start=at.start - start), *index[axis + 1 :]))
            start = stop
        raise Unsupported("compile: pieces that are read across their ends")

    def _elementwise(self, e: Expression, index: Index) -> str:
        """An operation on scalars."""
        floats = [a.dtype for a in e.inputs if a.dtype.kind == "f"]
        dtype = e.dtype if e.dtype.kind == "f" else np.result_type(*floats) if floats else None
        args = [self._operand(a, index, None if k == 0 and e.op == "where" else dtype) for k, a in enumerate(e.args)]
        if e.op in LOGICAL:
            return f"{args[0]} {LOGICAL[e.op]} {args[1]}"
        if e.op in BETWEEN:
            return f"{args[0]} {BETWEEN[e.op]} {args[1]}"
        if e.op in TEXTS:
            real = dtype if dtype is not None else np.dtype(float)
            return TEXTS[e.op].format(*args, one=f"{real}(1)", zero=f"{real}(0)", bits=8 * real.itemsize)
        if e.op in FUNCTIONS:
            return f"np.{e.op}({', '.join(args)})"
        raise Unsupported(f"compile: {e.op} in the loop over time")

    def _operand(self, a: Any, index: Index, dtype: np.dtype[Any] | None) -> str:
        """An operand in the dtype of the result; an axis of length 1 is read at 0."""
        if not isinstance(a, Expression):
            return number(a, dtype)
        mine = index[len(index) - len(a.shape) :]
        text = self.value(a, tuple(Axis(None, 0, 0) if n == 1 else i for n, i in zip(a.shape, mine, strict=True)))
        return text if dtype is None or a.dtype == dtype else f"{dtype}({text})"


def number(x: Any, dtype: np.dtype[Any] | None) -> str:
    """A number as the kernel reads it."""
    if isinstance(x, float) and not np.isfinite(x):
        text = "np.nan" if x != x else "np.inf" if x > 0 else "-np.inf"
    else:
        text = repr(x)
    return text if dtype is None else f"{dtype}({text})"


def sliced(e: Expression, index: Index) -> Index:
    """Where an entry of a basic index is in what is indexed."""
    if not basic(e.params["index"]):
        raise Unsupported("compile: an index of arrays in the loop over time")
    given = e.params["index"] if isinstance(e.params["index"], tuple) else (e.params["index"],)
    shape = e.args[0].shape
    missing = len(shape) - sum(i is not None and i is not Ellipsis for i in given)
    if Ellipsis not in given:
        given = (*given, Ellipsis)
    at = given.index(Ellipsis)
    given = (*given[:at], *(slice(None),) * missing, *given[at + 1 :])
    found: list[Axis] = []
    mine = iter(index)
    for i in given:
        if i is None:
            next(mine)
        elif isinstance(i, slice):
            axis, (start, _, step) = next(mine), i.indices(shape[len(found)])
            found.append(Axis(axis.variable, start + axis.start * step, axis.step * step))
        else:
            found.append(Axis(None, i % shape[len(found)], 0))
    return tuple(found)


def transposed(e: Expression, index: Index) -> Index:
    """Where an entry of a transposed array is in the array."""
    axes = list(e.params["axes"])
    return tuple(index[axes.index(k)] for k in range(len(axes)))


def broadcast(e: Expression, index: Index) -> Index:
    """Where an entry of a repeated array is in the array."""
    shape = e.args[0].shape
    return tuple(Axis(None, 0, 0) if n == 1 else i
                 for n, i in zip(shape, index[len(index) - len(shape) :], strict=True))  # fmt: skip


VIEWED: dict[str, Callable[[Expression, Index], Index]] = {
    "getitem": sliced, "transpose": transposed, "broadcast_to": broadcast,
}  # fmt: skip
