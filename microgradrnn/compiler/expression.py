"""Expressions: what a traced function computes. Equal expressions are one object, so common terms are found for free.

A `Table` makes them. An expression is an operation by name, its arguments (expressions or plain numbers) and its
parameters. Nothing is ever computed here; what nobody asks for is never written out, so dead code needs no pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from microgradrnn.engine import PRIMITIVES

# The elementwise operations: those of the engine, and the ufuncs that rules compare with.
COMPARISONS = {
    "greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
LOGICAL = {"logical_and": "&", "logical_or": "|", "bitwise_and": "&", "bitwise_or": "|"}
ELEMENTWISE = (
    {name for name, op in PRIMITIVES.items() if op.elementwise}
    | COMPARISONS.keys() | LOGICAL.keys() | {"logical_not", "invert", "positive", "isfinite", "absolute", "true_divide"}
)  # fmt: skip
COMMUTATIVE = {"add", "multiply", "maximum", "minimum", "equal", "not_equal", *LOGICAL}
LEAVES = {"leaf", "constant", "zeros"}


class Expression:
    """One operation of a traced function.

    Attributes:
        op: its name: that of a primitive or ufunc; ``leaf`` for what is given, ``constant`` for an array that is known,
            ``zeros``.
        args: expressions or numbers.
        params: settings, such as ``axis``.
        shape, dtype: of the result.
        name: the symbol of the equations, if it has one.
        role: of a leaf or marked node, as in `mark`.
        serial: the order of making.
    """

    __slots__ = ("args", "dtype", "name", "op", "params", "role", "serial", "shape")

    def __init__(
        self, op: str, args: tuple[Any, ...], params: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any],
        name: str | None, serial: int,
    ) -> None:  # fmt: skip
        self.op, self.args, self.params, self.shape, self.dtype = op, args, params, shape, dtype
        self.name, self.serial = name, serial
        self.role: str | None = None

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.args))
        return self.name or (f"{self.op}({inside})" if self.args else self.op)

    @property
    def inputs(self) -> list[Expression]:
        """The arguments that are expressions."""
        return [a for a in self.args if isinstance(a, Expression)]


class Table:
    """Makes expressions; equal ones once."""

    def __init__(self) -> None:
        self.made: dict[Any, Expression] = {}

    def leaf(self, name: str, shape: tuple[int, ...], dtype: Any, role: str | None = None) -> Expression:
        """Something that is given. Two leaves of one name are two."""
        e = Expression("leaf", (), {}, tuple(shape), np.dtype(dtype), name, len(self.made))
        e.role = role
        self.made["leaf", e.serial] = e
        return e

    def constant(self, a: np.ndarray) -> Any:
        """An array that is known."""
        if not a.shape:
            return a.item() if a.dtype.kind in "ib" or a.dtype == np.float64 else self._constant(a)
        return self._constant(a)

    def _constant(self, a: np.ndarray) -> Expression:
        return self.make("constant", (), {"value": a}, a.shape, a.dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Expression:
        """Zeros of a shape."""
        return self.make("zeros", (), {}, shape, dtype)

    def make(
        self, op: str, args: Iterable[Any], params: dict[str, Any], shape: Iterable[int], dtype: Any,
        name: str | None = None,
    ) -> Expression:  # fmt: skip
        """The expression, a new one only if there is none like it."""
        args, shape, dtype = tuple(args), tuple(shape), np.dtype(dtype)
        if (simpler := simplified(op, args, params, shape, dtype)) is not None:
            if name and not simpler.name:
                simpler.name = name
            return simpler
        keys = [a.serial if isinstance(a, Expression) else (type(a), repr(a)) for a in args]
        key = (op, tuple(sorted(keys, key=repr) if op in COMMUTATIVE else keys), frozen(params), shape, dtype)
        e = self.made.get(key)
        if e is None:
            e = self.made[key] = Expression(op, args, params, shape, dtype, name, len(self.made))
        elif name and not e.name:
            e.name = name
        return e

    def elementwise(self, op: str, *args: Any, name: str | None = None) -> Any:
        """An elementwise operation: shapes broadcast, numbers take the dtype of arrays. Numbers alone are computed."""
        arrays = [a for a in args if isinstance(a, Expression)]
        if not arrays:
            return PRIMITIVES[op].on_floats(*args)  # type: ignore[misc]
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        if op in COMPARISONS or op in LOGICAL or op == "logical_not":
            return self.make(op, args, {}, shape, bool, name)
        floats = [a.dtype for a in arrays if a.dtype.kind == "f"] or [np.dtype(float)]
        return self.make(op, args, {}, shape, np.result_type(*floats), name)

    def again(self, e: Expression, args: Iterable[Any]) -> Expression:
        """The same operation on other arguments."""
        args = tuple(args)
        if all(a is b for a, b in zip(args, e.args, strict=True)):
            return e
        made = self.make(e.op, args, e.params, e.shape, e.dtype, e.name)
        made.role = made.role or e.role
        return made


def simplified(
    op: str, args: tuple[Any, ...], params: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Expression | None:
    """One of the arguments, where the operation changes nothing: times 1, plus 0, reshaped to its own shape."""
    same: Any = None
    if op == "multiply":
        same = args[1] if is_number(args[0], 1) else args[0] if is_number(args[1], 1) else None
    elif op == "add":
        same = args[1] if is_number(args[0], 0) else args[0] if is_number(args[1], 0) else None
    elif (op in ("subtract", "divide", "power") and is_number(args[1], 0 if op == "subtract" else 1)) or (
        op in ("reshape", "broadcast_to", "astype", "positive")
    ):
        same = args[0]
    elif op == "negative" and isinstance(args[0], Expression) and args[0].op == "negative":
        same = args[0].args[0]
    elif op == "transpose":
        if tuple(params["axes"]) == tuple(range(len(shape))):
            same = args[0]
        elif args[0].op == "transpose" and [args[0].params["axes"][i] for i in params["axes"]] == [*range(len(shape))]:
            same = args[0].args[0]
    if isinstance(same, Expression) and same.shape == shape and same.dtype == dtype:
        return same
    return None


def is_number(x: Any, value: float) -> bool:
    """Is x a plain number, that one?"""
    return type(x) in (int, float) and x == value


def frozen(p: Any) -> Any:
    """A parameter in a form that can be looked up."""
    if isinstance(p, dict):
        return tuple((key, frozen(p[key])) for key in sorted(p))
    if isinstance(p, (tuple, list)):
        return tuple(map(frozen, p))
    if isinstance(p, slice):
        return ("slice", frozen(p.start), frozen(p.stop), frozen(p.step))
    if isinstance(p, np.ndarray):
        return (p.shape, str(p.dtype), p.tobytes())
    return (type(p), math.inf if p == math.inf else repr(p))


# ------------------------------------------------------------------------------------------------- looking at them
def ordered(roots: Iterable[Any], stop: Collection[Expression] = ()) -> list[Expression]:
    """All that the roots are computed from, each after what it needs; what is in `stop` is taken as given."""
    seen: set[Expression] = set()
    found: list[Expression] = []
    stack = [(e, False) for e in roots if isinstance(e, Expression)][::-1]
    while stack:
        e, done = stack.pop()
        if done:
            found.append(e)
        elif e not in seen:
            seen.add(e)
            stack.append((e, True))
            if e not in stop:
                stack.extend((a, False) for a in reversed(e.args) if isinstance(a, Expression))
    return found


def reading(roots: Iterable[Any], leaves: Iterable[Expression], stop: Collection[Expression] = ()) -> set[Expression]:
    """Those of the leaves and of what the roots are computed from that depend on a leaf."""
    found = set(leaves)
    for e in ordered(roots, stop):
        if e not in stop and any(isinstance(a, Expression) and a in found for a in e.args):
            found.add(e)
    return found


def uses(roots: Iterable[Any], stop: Collection[Expression] = ()) -> Counter[Expression]:
    """How often each expression is read, as an argument or a root."""
    roots = list(roots)
    count = Counter(e for e in roots if isinstance(e, Expression))
    for e in ordered(roots, stop):
        if e not in stop:
            count.update(e.inputs)
    return count


def rewritten(table: Table, roots: Iterable[Any], rule: Callable[[Expression], Any]) -> list[Any]:
    """The roots with every expression replaced by what a rule makes of it, arguments first; None keeps it."""
    roots = list(roots)
    new: dict[Any, Any] = {}
    for e in ordered(roots):
        fresh = table.again(e, [new[a] if isinstance(a, Expression) else a for a in e.args]) if e.args else e
        other = rule(fresh)
        new[e] = fresh if other is None else other
    return [new[e] if isinstance(e, Expression) else e for e in roots]
