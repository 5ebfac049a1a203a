"""Which loops a JavaScript function has, and what stands in them.

An elementwise operation is one statement in a loop over the entries. Operations of the same shape share a loop. A value
without a name that is read once is written where it is read. A value that is read in its own loop only needs no array.
Sums, concatenations and scatters are statements too. They write to other places of their result.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.errors import TraceError
from microgradrnn.compiler.expression import ELEMENTWISE, LEAVES, Expression, ordered, uses
from microgradrnn.compiler.js_places import Places, at, is_view, only_slices
from microgradrnn.compiler.js_simpler import kept_shape

SAME = {"copy", "positive"}  # the value itself
POINTWISE = (ELEMENTWISE | SAME | {"astype", "isnan", "rint", "round"}) - LEAVES

# Reductions: how an entry joins the result so far, and where that starts.
REDUCTIONS = {"sum": ("+", 0.0), "max": ("max", -math.inf), "min": ("min", math.inf)}
REDUCTIONS |= {f"{ufunc}.reduce": REDUCTIONS[name] for ufunc, name in (
    ("add", "sum"), ("maximum", "max"), ("minimum", "min"),
)}  # fmt: skip
JOINS = {"concat", "stack", "scatter"}
MOST_INLINE = 6  # operations in one line of code


class Statement(NamedTuple):
    """One line of a loop: it writes a value to a place of an array.

    Attributes:
        made: what it makes, or a part of.
        target: the places written to, a layout with the shape of the loop.
        value: an operand; if that is `made` itself, its operation.
        how: "=", or how the value joins what is there: "+", "max", "min".
    """

    made: Expression
    target: np.ndarray
    value: Any
    how: str = "="


class Loop(NamedTuple):
    """Statements for every entry of a shape."""

    shape: tuple[int, ...]
    statements: list[Statement]


def statements(e: Expression, whole: np.ndarray) -> Iterator[Statement]:
    """What makes an expression, entry by entry."""
    if e.op in POINTWISE:
        yield Statement(e, whole, e)
    elif e.op in REDUCTIONS and e.params.get("where", True) is True:
        x = e.args[0]
        yield Statement(e, np.broadcast_to(whole.reshape(kept_shape(e)), x.shape), x, REDUCTIONS[e.op][0])
    elif e.op == "stack":
        for k, x in enumerate(e.args):
            yield Statement(e, np.moveaxis(whole, e.params["axis"], 0)[k, ...], x)
    elif e.op == "concat":
        end = 0
        for x in e.args:
            axis, start, end = e.params["axis"], end, end + x.shape[e.params["axis"]]
            if x.op != "zeros":  # a new array holds zeros
                yield Statement(e, whole[(*(slice(None),) * axis, slice(start, end))], x)
    elif e.op == "scatter" and all(map(only_slices, e.params["indices"])):
        for x, index in zip(e.args, e.params["indices"], strict=True):
            yield Statement(e, at(whole, index), x, "+")
    else:
        raise refusal(e)


def refusal(e: Expression) -> TraceError:
    """The error for an operation that cannot be printed."""
    return TraceError(
        f"javascript: {e.op} (shape {e.shape}, {e.dtype}) cannot be written as JavaScript. Compute it outside and pass "
        "the result in, or write it with elementwise operations, where, matmul, sum, max, concat, stack and slices"
    )


class Function:
    """The loops and products of one JavaScript function, in order."""

    def __init__(self, places: Places, inlined: set[Expression], expressions: Sequence[Expression]) -> None:
        self.places, self.inlined = places, inlined
        self.steps: list[Loop | Expression] = []  # an expression is a matrix product
        self.made: dict[Expression, int] = {}  # the step that makes it; if there are several, the last
        self.readers: dict[Expression, set[int]] = defaultdict(set)
        for e in expressions:
            if e.op == "matmul":
                for x in e.args:
                    self.readers[places.view(x).base].add(len(self.steps))
                self.made[e] = len(self.steps)
                self.steps.append(e)
            elif e.op not in LEAVES and e not in inlined and not is_view(e):
                self.made[e] = 0
                for statement in statements(e, places.whole(e)):
                    self._add(statement)

    def _add(self, s: Statement) -> None:
        """Put a statement into the last loop of its shape that comes after all that it reads, or into a new one."""
        first, read = 0, list(self.operands(s))
        for x in read:
            base = self.places.view(x).base
            if base in self.made:
                ready_in_loop = base is x and x.op in POINTWISE and x.shape == s.target.shape
                first = max(first, self.made[base] + (not ready_in_loop))
        for k in reversed(range(first, len(self.steps))):
            if isinstance(self.steps[k], Loop) and self.steps[k].shape == s.target.shape:
                break
        else:
            k = len(self.steps)
            self.steps.append(Loop(s.target.shape, []))
        self.steps[k].statements.append(s)  # type: ignore[union-attr]
        self.made[s.made] = max(self.made[s.made], k)
        for x in read:
            self.readers[self.places.view(x).base].add(k)

    def operands(self, s: Statement) -> Iterator[Expression]:
        """The expressions that a statement reads from arrays or from its loop."""
        todo = list(s.made.args) if s.value is s.made else [s.value]
        while todo:
            x = todo.pop()
            if x in self.inlined:
                todo.extend(x.args)
            elif isinstance(x, Expression) and x.op != "zeros":
                yield x

    def is_local(self, e: Expression, kept: set[Expression]) -> bool:
        """Is a value needed in its own loop only?"""
        return e.op in POINTWISE and e in self.made and e not in kept and self.readers[e] <= {self.made[e]}


def inline(roots: Sequence[Any]) -> set[Expression]:
    """The values that are written where they are read: those without a name that are read once, by a statement."""
    count = uses(roots)
    size: dict[Expression, int] = {}
    found: set[Expression] = set()
    for e in ordered(roots):
        for x in e.inputs:
            fits = e.op in REDUCTIONS.keys() | JOINS or (e.op in POINTWISE and e.shape == x.shape)
            if x.op in POINTWISE and not x.name and count[x] == 1 and fits and size[x] <= MOST_INLINE:
                found.add(x)
        size[e] = 1 + sum(size[x] for x in e.inputs if x in found)
    return found
