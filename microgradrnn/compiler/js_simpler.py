"""Operations that need no code of their own, written in terms of others before JavaScript is printed."""

from __future__ import annotations

import math
from typing import Any

from microgradrnn.compiler.expression import Expression, Table
from microgradrnn.compiler.js_places import Places, is_view


def axes_of(e: Expression) -> tuple[int, ...]:
    """The axes that a reduction goes over, from 0 up."""
    axis, ndim = e.params.get("axis", 0), len(e.args[0].shape)
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(i % ndim for i in axes)


def kept_shape(e: Expression) -> tuple[int, ...]:
    """The shape of a reduction's argument, with length 1 along the axes that it goes over."""
    axes = axes_of(e)
    return tuple(1 if i in axes else n for i, n in enumerate(e.args[0].shape))


class Simpler:
    """Rewrites operations that need no code of their own in terms of others."""

    def __init__(self, table: Table, places: Places) -> None:
        self.table, self.places = table, places

    def __call__(self, e: Expression) -> Any:
        """What to replace an expression by; None keeps it."""
        if e.op in ("mean", "norm", "softmax", "log_softmax", "logsumexp"):
            return getattr(self, e.op)(e)
        if e.op == "reshape" and is_view(e) and not self.places.can_reshape(e):
            return self.table.make("reshape", (self.copy(e.args[0], e.args[0]),), e.params, e.shape, e.dtype, e.name)
        return None

    def copy(self, x: Any, like: Expression) -> Any:
        """The same numbers in an array of their own."""
        return self.table.make("copy", (x,), {}, like.shape, like.dtype)

    def reduced(self, op: str, x: Expression, e: Expression) -> Any:
        """A reduction of x over the axes of e, which stay as axes of length 1."""
        return self.table.make(op, (x,), {"axis": axes_of(e), "keepdims": True}, kept_shape(e), x.dtype)

    def named(self, e: Expression, op: str, *args: Any) -> Any:
        """The last operation: it has the shape and the name of e."""
        return self.table.make(op, args, {"shape": e.shape} if op == "reshape" else {}, e.shape, e.dtype, e.name)

    def mean(self, e: Expression) -> Any:
        """The sum over the count."""
        count = math.prod(e.args[0].shape[i] for i in axes_of(e))
        return self.named(e, "divide", self.table.make("sum", e.args, e.params, e.shape, e.dtype), float(count))

    def finite_or(self, x: Any, other: float) -> Any:
        """x where it is finite, and a number elsewhere."""
        return self.table.elementwise("where", self.table.make("isfinite", (x,), {}, x.shape, bool), x, other)

    def norm(self, e: Expression) -> Any:
        """The root of the sum of squares, of numbers scaled by the largest, so that no square overflows."""
        do, x = self.table.elementwise, e.args[0]
        top = self.finite_or(self.reduced("max", do("abs", x), e), 1.0)
        scale = do("where", self.table.make("equal", (top, 0.0), {}, top.shape, bool), 1.0, top)
        total = self.reduced("sum", do("square", do("divide", x, scale)), e)
        return self.named(e, "reshape", do("multiply", scale, do("sqrt", total)))

    def shifted(self, e: Expression) -> tuple[Any, Any, Any]:
        """The largest entry, the argument less that, and the sum of exp of the rest: nothing overflows."""
        top = self.finite_or(self.reduced("max", e.args[0], e), 0.0)
        rest = self.table.elementwise("subtract", e.args[0], top)
        return top, rest, self.reduced("sum", self.table.elementwise("exp", rest), e)

    def softmax(self, e: Expression) -> Any:
        """Where all entries are -inf the sum is 0, and so is each weight."""
        do, (_, rest, total) = self.table.elementwise, self.shifted(e)
        return self.named(e, "divide", do("exp", rest), do("maximum", total, 1.0))

    def log_softmax(self, e: Expression) -> Any:
        """The logarithm of `softmax`."""
        do, (_, rest, total) = self.table.elementwise, self.shifted(e)
        return self.named(e, "subtract", rest, do("log", do("maximum", total, 1.0)))

    def logsumexp(self, e: Expression) -> Any:
        """The largest entry comes back after the logarithm."""
        do, (top, _, total) = self.table.elementwise, self.shifted(e)
        return self.named(e, "reshape", do("add", top, do("log", total)))
