"""The loops of a function as lines of JavaScript."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradrnn.compiler.expression import LEAVES, Expression
from microgradrnn.compiler.js_places import View, is_view
from microgradrnn.compiler.js_statements import REDUCTIONS, SAME, Function, Loop, Statement, refusal

# How strongly the operators of JavaScript bind, and how NumPy's operations are written with them.
CHOICE, OR, AND, EQUAL, LESS, SUM, PRODUCT, SIGN, ATOM = range(9)
OPERATORS = {
    "add": ("+", SUM), "subtract": ("-", SUM), "multiply": ("*", PRODUCT), "divide": ("/", PRODUCT),
    "true_divide": ("/", PRODUCT), "less": ("<", LESS), "less_equal": ("<=", LESS), "greater": (">", LESS),
    "greater_equal": (">=", LESS), "equal": ("===", EQUAL), "not_equal": ("!==", EQUAL),
}  # fmt: skip
BETWEEN_BOOLS = {"logical_and": ("&&", AND), "bitwise_and": ("&&", AND), "logical_or": ("||", OR),
                 "bitwise_or": ("||", OR)}  # fmt: skip
NEGATIONS = {"logical_not", "invert"}
FUNCTIONS = {
    "abs": "Math.abs", "absolute": "Math.abs", "arccos": "Math.acos", "arccosh": "Math.acosh", "arcsin": "Math.asin",
    "arcsinh": "Math.asinh", "arctan": "Math.atan", "arctan2": "Math.atan2", "arctanh": "Math.atanh",
    "isfinite": "Number.isFinite", "isnan": "Number.isNaN", "maximum": "Math.max", "minimum": "Math.min",
} | {name: f"Math.{name}" for name in (
    "ceil", "cos", "cosh", "exp", "expm1", "floor", "hypot", "log", "log10", "log1p", "log2", "sign", "sin", "sinh",
    "sqrt", "tan", "tanh",
)} | {name: name for name in (
    "erf", "exp2", "logaddexp", "power", "reciprocal", "relu", "remainder", "sigmoid", "softplus", "square",
)}  # fmt: skip

# No names for values: words of the language, and what every module uses.
WORDS = """
    abstract arguments await break case catch class const continue debugger default delete do else enum eval export
    extends false finally for function if implements import in instanceof interface let new null package private
    protected public return static super switch this throw true try typeof undefined var void while with yield
    Math Number Float64Array Infinity NaN shapes weights saved outputs at k row col inner total factor
"""
RESERVED = {*WORDS.split(), *(f"i{axis}" for axis in range(64))}


class Names:
    """A legal JavaScript name for each expression, of its own."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self.names: dict[Expression, str] = {}

    def __getitem__(self, e: Expression) -> str:
        return self.names.get(e) or self.give(e, e.name or self._wish(e))

    def _wish(self, e: Expression) -> str:
        if e.op == "matmul" and all(x.name and x.op == "leaf" for x in e.args):
            return "_".join(x.name for x in e.args)
        return "constant" if e.op in LEAVES else "t"

    def give(self, e: Expression, wish: str) -> str:
        """Name an expression, as much like the wish as is possible."""
        name = self.names[e] = self.legal(wish)
        self.taken.add(name)
        return name

    def legal(self, wish: str) -> str:
        """A name that JavaScript accepts and nothing has yet."""
        base = "".join(c if f"_{c}".isidentifier() else "_" for c in wish)
        base = f"_{base}" if not base or base[0].isdigit() else base
        name, k = base, 2
        while name in self.taken:
            name, k = f"{base}_{k}", k + 1
        return name


class Printer:
    """Writes the loops of a function as lines of JavaScript.

    Args:
        function: the loops.
        names: of expressions.
        kept: the expressions that must have an array, because they are returned or saved.
    """

    def __init__(self, function: Function, names: Names, kept: set[Expression]) -> None:
        self.function, self.places, self.names, self.kept = function, function.places, names, kept

    def lines(self) -> list[str]:
        """The arrays, then the loops."""
        found = [self.declaration(e) for e in self.function.made if not self.function.is_local(e, self.kept)]
        for step in self.function.steps:
            found += self.loop(step) if isinstance(step, Loop) else self.product(step)
        return found

    def declaration(self, e: Expression) -> str:
        """A new array, with the value that a reduction starts from."""
        first = e.params.get("initial") if e.op in REDUCTIONS else None
        if first is None:
            first = REDUCTIONS.get(e.op, ("", 0.0))[1]
        fill = f".fill({number(first)})" if first else ""
        return f"const {self.names[e]} = new Float64Array({math.prod(e.shape)}){fill}; // {e.shape}"

    def loop(self, loop: Loop) -> list[str]:
        """Loops over all entries; axes that lie one behind the other in every array are one loop."""
        layouts = [s.target for s in loop.statements]
        layouts += [self.spread(x, loop.shape) for s in loop.statements for x in self.function.operands(s)]
        groups: list[list[int]] = []
        for axis, n in enumerate(loop.shape):
            if n != 1 and groups and all(a.strides[groups[-1][-1]] == n * a.strides[axis] for a in layouts):
                groups[-1].append(axis)
            elif n != 1:
                groups.append([axis])
        variables = [(group[-1], name) for group, name in zip(groups, loop_names(len(groups)), strict=True)]
        lengths = [math.prod(loop.shape[axis] for axis in group) for group in groups]
        body = [Line(self, loop, variables).statement(s) for s in loop.statements]
        here = " + ".join(["row * " + str(lengths[-1]), "col"]) if len(groups) == 2 else ""
        if here and sum(line.count(f"[{here}]") for line in body) > 2:
            body = [f"const at = {here};", *(line.replace(f"[{here}]", "[at]") for line in body)]
        return nested([name for _, name in variables], lengths, body)

    def spread(self, x: Expression, shape: tuple[int, ...]) -> np.ndarray:
        """The layout of an operand, broadcast to the shape of a loop."""
        return np.broadcast_to(self.places.view(x).layout, shape)

    def product(self, e: Expression) -> list[str]:
        """A matrix product, or a stack of them, as plain loops."""
        y, a, b = self.matrices(e)
        n = y.layout.ndim - 2
        outer = [(axis, f"i{axis}") for axis in range(n)]
        row, inner, col = (n, "row"), (n + 1, "inner"), (n + 1, "col")
        y_at, a_at, b_at = (
            f"{self.names[m.base]}[{m.place(m.layout, [*outer, *axes])}]"
            for m, axes in ((y, [row, col]), (a, [row, inner]), (b, [(n, "inner"), col]))
        )
        count, cols = b.layout.shape[-2:]
        if b.layout.strides[-2] < b.layout.strides[-1] or cols == 1:  # a column of b lies in one piece
            sums = nested(["inner"], [count], [f"total += {a_at} * {b_at};"])
            body = nested(["col"], [cols], ["let total = 0;", *sums, f"{y_at} = total;"])
        else:
            sums = nested(["col"], [cols], [f"{y_at} += factor * {b_at};"])
            body = nested(["inner"], [count], [f"const factor = {a_at};", *sums])
        equation = f"// {self.names[e]} = {self.title(e.args[0])} {self.title(e.args[1])}"
        return [equation, *nested([name for _, name in [*outer, row]], y.layout.shape[:-1], body)]

    def matrices(self, e: Expression) -> tuple[View, View, View]:
        """The result and the factors of a product as stacks of matrices of one length.

        A vector is a matrix: one row on the left, one column on the right.
        """
        a, b = (self.places.view(x) for x in e.args)
        left = a.layout if a.layout.ndim > 1 else a.layout[None, :]
        right = b.layout if b.layout.ndim > 1 else b.layout[:, None]
        stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        left, right = (
            x if x.shape[:-2] == stack else np.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (left, right)
        )
        whole = self.places.whole(e)
        y = View(e, whole, whole.reshape(*stack, left.shape[-2], right.shape[-1]))
        return y, View(a.base, a.whole, left), View(b.base, b.whole, right)

    def title(self, x: Expression) -> str:
        """A factor in the equation of a product."""
        if not is_view(x):
            return self.names[x]
        if x.name:
            return " ".join(x.name.split())  # on one line, as a comment must be
        return self.title(x.args[0]) + {"transpose": "ᵀ", "getitem": "[…]"}.get(x.op, "")


def loop_names(count: int) -> list[str]:
    """Names for nested loops, the outermost first."""
    return {1: ["k"], 2: ["row", "col"]}.get(count) or [f"i{axis}" for axis in range(count)]


def nested(names: Sequence[str], lengths: Sequence[int], body: list[str]) -> list[str]:
    """Lines inside of loops."""
    for name, n in reversed(list(zip(names, lengths, strict=True))):
        body = [f"for (let {name} = 0; {name} < {n}; {name}++) {{", *(f"  {line}" for line in body), "}"]
    return body


def number(x: Any) -> str:
    """A number as JavaScript."""
    x = float(x)
    if not math.isfinite(x):
        return "NaN" if x != x else f"{'-' * (x < 0)}Infinity"
    return str(int(x)) if x.is_integer() and abs(x) < 1e15 and str(x) != "-0.0" else repr(x)


class Line:
    """Writes the statements of one loop. A text comes with how strongly its outermost operator binds."""

    def __init__(self, printer: Printer, loop: Loop, variables: list[tuple[int, str]]) -> None:
        self.printer, self.shape, self.variables = printer, loop.shape, variables
        self.function, self.places, self.names = printer.function, printer.places, printer.names

    def statement(self, s: Statement) -> str:
        """One line."""
        text, _ = self.operation(s.made) if s.value is s.made else self.operand(s.value)
        name = self.names[s.made]
        if s.value is s.made and is_bool(s.made):
            text = f"Number({text})"
        if self.function.is_local(s.made, self.printer.kept):
            return f"const {name} = {text};"
        place = f"{name}[{self.place(View(s.made, self.places.whole(s.made), s.target))}]"
        if s.how in ("max", "min"):
            return f"{place} = Math.{s.how}({place}, {text});"
        return f"{place} {s.how.removesuffix('=')}= {text};"

    def place(self, view: View) -> str:
        """Where the entry of this turn of the loop is."""
        return view.place(np.broadcast_to(view.layout, self.shape), self.variables)

    def operand(self, x: Any, as_condition: bool = False) -> tuple[str, int]:
        """An operand as a number, or as a condition."""
        if not isinstance(x, Expression):
            return (number(x), SIGN if math.copysign(1, x) < 0 else ATOM)
        if x in self.function.inlined:
            text, strength = self.operation(x)
            return (f"Number({text})", ATOM) if is_bool(x) and not as_condition else (text, strength)
        view = self.places.view(x)
        if view.base.op == "zeros":
            return "0", ATOM
        if self.function.is_local(view.base, self.printer.kept):
            return self.names[view.base], ATOM
        return f"{self.names[view.base]}[{self.place(view)}]", ATOM

    def value(self, x: Any, least: int) -> str:
        """An operand as a number, in brackets unless it binds as strongly as it must."""
        text, strength = self.operand(x)
        return text if strength >= least else f"({text})"

    def condition(self, x: Any, least: int) -> str:
        """An operand as something true or false."""
        text, strength = self.operand(x, True)
        if not isinstance(x, Expression) or x.dtype != bool:
            text, strength = f"{self.value(x, EQUAL)} !== 0", EQUAL
        return text if strength >= least else f"({text})"

    def operation(self, e: Expression) -> tuple[str, int]:
        """What computes an expression."""
        op, args = e.op, e.args
        if op == "add" and e.dtype == bool:  # true + true is 2 in JavaScript, and True in NumPy
            raise refusal(e)
        if op in OPERATORS:
            sign, strength = OPERATORS[op]
            return f"{self.value(args[0], strength)} {sign} {self.value(args[1], strength + 1)}", strength
        if op in BETWEEN_BOOLS:
            sign, strength = BETWEEN_BOOLS[op]
            return f"{self.condition(args[0], strength)} {sign} {self.condition(args[1], strength + 1)}", strength
        if op in NEGATIONS:
            return f"!{self.condition(args[0], SIGN)}", SIGN
        if op == "where":
            condition, a, b = self.condition(args[0], OR), self.value(args[1], OR), self.value(args[2], OR)
            return f"{condition} ? {a} : {b}", CHOICE
        if op == "negative":
            return f"-{self.value(args[0], ATOM)}", SIGN
        if op in SAME or (op == "astype" and e.dtype != np.float32):
            return self.operand(args[0])
        if op == "astype":
            return f"Math.fround({self.operand(args[0])[0]})", ATOM
        if op in ("rint", "round"):
            return f"round({self.operand(args[0])[0]}, {e.params.get('decimals', 0)})", ATOM
        if op not in FUNCTIONS:
            raise refusal(e)
        return f"{FUNCTIONS[op]}({', '.join(self.operand(x)[0] for x in args)})", ATOM


def is_bool(e: Expression) -> bool:
    """Does JavaScript compute a bool for this expression?"""
    compares = e.op in OPERATORS and OPERATORS[e.op][1] in (LESS, EQUAL)
    return compares or e.op in BETWEEN_BOOLS or e.op in NEGATIONS or (e.op in FUNCTIONS and e.dtype == bool)
