"""Straight-line Python: one line for each value that is used more than once, after the values that it needs.

For arrays a line uses NumPy, for floats plain Python and `math`. A value that is used once is written where it is used,
up to a few operations inside each other.
"""

from __future__ import annotations

import builtins
import keyword
import linecache
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any
from weakref import ref

import numpy as np

from microgradrnn.compiler.expression import COMPARISONS, LEAVES, LOGICAL, Expression, ordered, uses
from microgradrnn.engine import PRIMITIVES

OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "true_divide": "/"}
BETWEEN = OPERATORS | COMPARISONS | LOGICAL
DEEP = 6  # so many operations inside each other
RESERVED = {"np", "math_pow", *keyword.kwlist, *dir(builtins)}


class Block:
    """Lines of code, and what their names stand for.

    Args:
        on_floats: are all numbers Python floats?
    """

    def __init__(self, on_floats: bool) -> None:
        self.on_floats = on_floats
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {"np": np}
        self.names: dict[Expression, str] = {}
        self.inside: dict[Expression, tuple[str, int]] = {}  # what is written where it is used, and how deep it is
        self.taken: set[str] = RESERVED | PRIMITIVES.keys()
        self.counts: dict[str, int] = {}

    def name(self, e: Expression, wish: str | None = None) -> str:
        """A name for an expression that no other has."""
        wish = wish or e.name or "v"
        base = wish if wish.isidentifier() else "v"
        name, k = base, self.counts.get(base, 2)
        while name in self.taken:
            name, k = f"{base}_{k}", k + 1
        self.counts[base] = k
        self.taken.add(name)
        self.names[e] = name
        return name

    def write(self, roots: Iterable[Any]) -> list[str]:
        """Add what computes the roots; returns how each is called."""
        roots = list(roots)
        count = uses([*roots, *roots], self.names)  # a root is used once more, outside
        order = [e for e in ordered(roots, self.names) if e not in self.names]
        twice = {e.args[0] for e in order if self.on_floats and self._writes_twice(e)}
        for e in order:
            if e not in self.names:
                text = self.text(e, [self.called(a) for a in e.args])
                deep = 1 + max([self.inside[a][1] for a in e.inputs if a in self.inside], default=0)
                if count[e] == 1 and e not in twice and deep < DEEP and e.op not in LEAVES:
                    self.inside[e] = text, deep
                else:
                    self.lines.append(f"{self.name(e)} = {text}")
        return [self.called(root) for root in roots]

    def _writes_twice(self, e: Expression) -> bool:
        """Is the first argument written twice, so that it needs a name?"""
        if e.op == "relu":
            return True
        a, b = (*e.args, None, None)[:2]
        is_choice = e.op == "multiply" and isinstance(b, Expression) and b.op in COMPARISONS
        return is_choice and isinstance(a, Expression) and a.dtype != bool

    def called(self, x: Any) -> str:
        """An argument: the name of an expression, its text in parentheses, or a number."""
        if self.on_floats and type(x) is int and abs(x) < 2**53:
            x = float(x)  # Python is quicker with two floats than with a float and an int
        if x in self.inside:
            return f"({self.inside[x][0]})"
        if isinstance(x, Expression):
            return self.names[x]
        return f"({x!r})" if isinstance(x, (int, float)) and -np.inf < x < 0 else literal(x)

    def text(self, e: Expression, args: Sequence[str]) -> str:
        """What computes an expression."""
        op = e.op
        if op == "power" and self.on_floats:
            return self.call(e, "math_pow")
        if self.on_floats and self._writes_twice(e):
            if op == "relu":
                return f"0.0 if {args[0]} < 0.0 else {args[0]}"
            return f"{args[0]} if {args[1]} else {args[0]} * 0.0"  # times a bool
        if op in BETWEEN:
            if self.on_floats and op in LOGICAL:
                return f"{args[0]} {'and' if LOGICAL[op] == '&' else 'or'} {args[1]}"
            return f"{args[0]} {BETWEEN[op]} {args[1]}"
        if op == "negative":
            return f"-{args[0]}"
        if op == "square":
            return f"{args[0]} * {args[0]}"
        if op == "where" and self.on_floats:
            return f"{args[1]} if {args[0]} else {args[2]}"
        if op in ("logical_not", "invert"):
            return f"not {args[0]}" if self.on_floats else f"~{args[0]}"
        if op == "positive":
            return args[0]
        if op == "matmul":
            two = all(isinstance(a, Expression) and len(a.shape) == 2 for a in e.args)
            return f"np.dot({self.bare(e.args[0])}, {self.bare(e.args[1])})" if two else f"{args[0]} @ {args[1]}"
        if op == "concat":
            return f"np.concatenate([{', '.join(map(self.bare, e.args))}], {e.params['axis']})"
        if op == "constant":
            name = f"constant_{e.serial}"
            self.namespace[name] = e.params["value"]
            return name
        if op == "zeros":
            return f"np.zeros({e.shape}, {str(e.dtype)!r})"
        if op in PRIMITIVES:
            return self.call(e, op)
        given = [f"{key}={literal(value)}" for key, value in e.params.items()]
        return f"np.{op}({', '.join([*map(self.bare, e.args), *given])})"

    def bare(self, x: Any) -> str:
        """An argument of a call: there it needs no parentheses."""
        return self.inside[x][0] if x in self.inside else self.called(x)

    def call(self, e: Expression, name: str) -> str:
        """A call of a primitive's own function."""
        primitive = PRIMITIVES[e.op]
        self.namespace[name] = primitive.on_floats if self.on_floats else primitive.on_arrays
        given = []
        for key, value in e.params.items():
            if holds_arrays(value):
                held = f"{e.op}_{key}_{len(self.namespace)}"
                self.namespace[held] = value
                given.append(f"{key}={held}")
            else:
                given.append(f"{key}={literal(value)}")
        return f"{name}({', '.join([*map(self.bare, e.args), *given])})"


def literal(p: Any) -> str:
    """A parameter or number as Python."""
    if isinstance(p, (tuple, list)):
        inside = ", ".join(map(literal, p))
        return f"({inside}{',' * (len(p) == 1)})" if isinstance(p, tuple) else f"[{inside}]"
    if isinstance(p, np.dtype):
        return f"np.dtype({p.name!r})"
    return f"float('{p}')" if isinstance(p, float) and not np.isfinite(p) else repr(p)


def holds_arrays(p: Any) -> bool:
    """Can a parameter not be written as Python?"""
    if isinstance(p, (tuple, list)):
        return any(map(holds_arrays, p))
    return not (p is None or isinstance(p, (bool, int, float, str, slice, np.dtype)) or p is Ellipsis)


def on_floats(roots: Iterable[Any]) -> bool:
    """Can all of this be computed with Python floats?"""
    return all(
        e.shape == () and (e.dtype == np.float64 or e.dtype == bool)
        and (e.op == "leaf" or e.op in COMPARISONS or e.op in LOGICAL or e.op in ("logical_not", "invert", "positive")
             or (e.op in PRIMITIVES and PRIMITIVES[e.op].on_floats is not None and not e.params))
        for e in ordered(roots)
    )  # fmt: skip


def function(name: str, parameters: Iterable[str], lines: Iterable[str], returned: Iterable[str]) -> str:
    """The source of a function that returns a tuple."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"def {name}({', '.join(parameters)}):\n{body}    return ({''.join(f'{r}, ' for r in returned)})\n"


class Source(str):
    """Source that is in no file, but can be referred to weakly."""


NUMBERS = count(1)


def executed(source: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run source that defines functions; tracebacks, warnings and `inspect` show its lines, as long as it is in use.

    An entry in Python's `linecache` may be what asks for the lines, here a weak reference, so it need not be removed
    when the functions are gone. That can be at any moment, also while `linecache` goes through its entries, which then
    raises `KeyError`.
    """
    file = f"compiled function {next(NUMBERS)}"
    namespace["__source__"] = lines = Source(source)
    linecache.cache[file] = (ref(lines),)
    exec(compile(source, file, "exec"), namespace)
    return namespace
