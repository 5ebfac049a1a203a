"""Formulas: how the expressions of an outline are written, each in a notation.

An expression is written as its symbol, if it has one, or else as what it computes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np

from microgradrnn.compiler.expression import COMPARISONS, ELEMENTWISE, LEAVES, Expression, reading
from microgradrnn.compiler.notation import ATOM, COMPARE, MATRIX_PRODUCT, POWER, PRODUCT, SIGNED, SUM, Formula, Notation
from microgradrnn.compiler.outline import Outline, cut, is_function


class Writer:
    """Writes the expressions of an outline in a notation."""

    def __init__(self, outline: Outline, notation: Notation, time: bool) -> None:
        self.outline, self.notation, self.time = outline, notation, time
        trace = outline.trace
        known = reading([*trace.outputs, *outline.gradients], trace.inputs)
        self.moving = known | set(outline.backward)  # what changes from step to step
        self.blocks = {e: pieces for e in outline.forward if (pieces := outline.pieces(e))}
        self.pieces = {piece: e for e, pieces in self.blocks.items() for piece in pieces}

    def is_written_out(self, e: Expression) -> bool:
        """Is it as simple as tanh(c) or r ⊙ h, so that it needs no symbol?"""
        outline = self.outline
        if e.op in LEAVES or e.name or e in outline.trace.outputs or e in outline.gradients:
            return False
        if is_invisible(e, repeated=True):
            while is_invisible(e, repeated=True):
                (e,) = e.inputs
            return self.has_symbol(e)
        is_simple = e in outline.readers and (is_function(e) or e.op in ("multiply", "matmul"))
        return is_simple and all(map(self.has_symbol, e.inputs))

    def has_symbol(self, e: Expression) -> bool:
        """Is it a leaf, a line or a block?"""
        return e.op == "leaf" or e in self.pieces or (e in self.outline.lines and not self.is_written_out(e))

    # ----------------------------------------------------------------------------------------------------- symbols
    def symbol(self, e: Expression, *more: str) -> str:
        """The symbol of a line, leaf or block, with more indices if need be."""
        primal, name = self.outline.primal.get(e), self.outline.names[e]
        if primal is not None and primal in self.outline.names:
            rest = name.removeprefix(f"d{self.outline.names[primal]}")
            if rest != name:
                return self.notation.cotangent(self._of_primal(primal, *filter(None, rest.split("_"))))
        base, *indices = self._numbered(name).split("_")
        at = "t" if e in self.moving else ""
        if self.time and indices[-1:] == ["prev"] and e in self.moving:
            indices, at = indices[:-1], "t-1"
        return self.notation.symbol(base, [*filter(None, indices), *more, *([at] if at and self.time else [])])

    def _of_primal(self, primal: Expression, *more: str) -> str:
        if self.is_written_out(primal):
            return f"({self.write_out(primal).text})"
        return self.symbol(primal, *more)

    def _numbered(self, name: str) -> str:
        """v_1 for the name v1, unless there is such a name already."""
        number = re.fullmatch(r"v(\d+)", name)
        return f"v_{number[1]}" if number and f"v_{number[1]}" not in self.outline.names.values() else name

    def row_of_blocks(self, whole: Expression) -> str:
        """[z_i z_f z_g z_o], with dots for what nothing reads."""
        parts, end = [], 0
        axis = (cut(self.blocks[whole][0]) or (0, 0, 0))[0]
        for piece in self.blocks[whole]:
            _, start, stop = cut(piece) or (0, 0, 0)
            parts += [self.notation.dots] * (start > end) + [self.symbol(piece)]
            end = stop
        parts += [self.notation.dots] * (end < whole.shape[axis])
        return self.draw_unrolled(parts, axis, len(whole.shape))

    def draw_unrolled(self, parts: Iterable[str], axis: int, ndim: int) -> str:
        """Blocks along the last axis [a b], or one below the other [a; b]."""
        return f"[{('; ' if axis < ndim - 1 else self.notation.space).join(parts)}]"

    # ---------------------------------------------------------------------------------------------------- formulas
    def write(self, x: Any) -> Formula:
        """An operand."""
        if not isinstance(x, Expression):
            return self.number(x)
        if self.has_symbol(x):
            return Formula(self.symbol(x))
        return self.write_out(x)

    def write_out(self, e: Expression) -> Formula:
        """What an expression computes."""
        if e.op in FORMULAS:
            return FORMULAS[e.op](self, e)
        if e.op in COMPARISONS or e.op in CONNECTIVES:
            sign = self.notation.sign(COMPARISONS.get(e.op) or CONNECTIVES[e.op])
            sides = map(self.write, self.unrepeated(e.args, e.shape))
            return Formula(f" {sign} ".join(f.inside(f.level > COMPARE) for f in sides), COMPARE)
        return self.call(e.op, *(self.unrepeated(e.args, e.shape) if e.op in ELEMENTWISE else e.args))

    def number(self, x: Any) -> Formula:
        """A number."""
        text = repr(int(x)) if isinstance(x, float) and x.is_integer() and abs(x) < 1e6 else repr(x)
        if isinstance(x, float) and math.isinf(x):
            text = ("-" if x < 0 else "") + self.notation.infinity
        return Formula(text.replace("-", self.notation.minus), SIGNED if text.startswith("-") else ATOM)

    def call(self, name: str, *operands: Any, label: str = "") -> Formula:
        """f(a, b)."""
        return Formula(f"{self.notation.function(name, label)}({', '.join(self.write(a).text for a in operands)})")

    def unrepeated(self, operands: Iterable[Any], shape: tuple[int, ...]) -> list[Any]:
        """The operands of an operation on entries, without the repetitions that it implies: b for 𝟙 b in x U + b."""
        bare = list(operands)
        for k, x in enumerate(bare):
            shorter = self.without_repetitions(x)
            others = [a.shape for i, a in enumerate(bare) if i != k and isinstance(a, Expression)]
            if shorter is not x and np.broadcast_shapes(shorter.shape, *others) == shape:
                bare[k] = shorter
        return bare

    def without_repetitions(self, x: Any) -> Any:
        """What an operand repeats, along axes of length 1 or in every entry; if it repeats nothing, the operand."""
        while isinstance(x, Expression) and not self.has_symbol(x):
            is_number = x.op == "reshape" and x.inputs[0].shape == ()
            if not is_number and x.op not in ("broadcast_to", "astype", "positive"):
                break
            (x,) = x.inputs
        return x

    def repeat(self, e: Expression) -> Formula:
        """An array that is repeated, as a product with 𝟙."""
        a, ones = self.write(e.args[0]), Formula(self.notation.ones)
        shape = (1,) * (len(e.shape) - len(e.args[0].shape)) + e.args[0].shape
        if shape == e.shape:
            return a
        if math.prod(shape) == 1:
            return self.in_front(a, ones)
        if len(shape) != 2:
            return self.call("broadcast", e.args[0])
        return self.times(" ", MATRIX_PRODUCT, *((ones, a) if shape[0] == 1 else (a, ones)))

    def sum_of(self, e: Expression) -> Formula:
        """a + b; 2 a for a + a."""
        counts = Counter(self.unrepeated(self.operands(e, "add"), e.shape))
        return reduce(self.add, [self.multiple(n, x) for x, n in counts.items()])

    def multiple(self, n: int, x: Any) -> Formula:
        """n x."""
        if n == 1 or not isinstance(x, Expression):
            return self.write(x if n == 1 else n * x)
        return self.in_front(Formula(str(n)), self.write(x))

    def add(self, a: Formula, b: Formula) -> Formula:
        """a + b; a − b, if b is a negative."""
        left, minus = a.inside(a.level >= SUM), self.notation.minus
        if b.text.startswith(minus) and b.level in (SUM, SIGNED):
            return Formula(f"{left} {minus} {b.text.removeprefix(minus)}", SUM)
        return Formula(f"{left} + {b.inside(b.level >= SUM)}", SUM)

    def subtract(self, a: Formula, b: Formula) -> Formula:
        """a − b."""
        return Formula(f"{a.inside(a.level >= SUM)} {self.notation.minus} {b.inside(b.level >= PRODUCT)}", SUM)

    def negative(self, a: Formula) -> Formula:
        """−a."""
        return Formula(self.notation.minus + a.inside(a.level >= PRODUCT), SIGNED)

    def times(self, sign: str, level: int, a: Formula, b: Formula) -> Formula:
        """A product: of entries, of matrices, or with a number in front. A sign stays in front of all."""
        left = a.inside(a.level in (SIGNED, level) or a.level >= POWER)
        right = b.inside(b.level == level or b.level >= POWER)
        return Formula(f"{left}{sign}{right}", SIGNED if a.level == SIGNED else level)

    def multiply(self, e: Expression) -> Formula:
        """⊙ between arrays; numbers stand in front; equal factors become a power."""
        factors = self.unrepeated(self.operands(e, "multiply"), e.shape)
        powers = Counter(x for x in factors if isinstance(x, Expression))
        singles = [self.number(x) for x in factors if not isinstance(x, Expression)]
        singles += [self.to_power(x, n) for x, n in powers.items() if is_single(x)]
        arrays = [self.to_power(x, n) for x, n in powers.items() if not is_single(x)]
        if arrays:
            singles.append(reduce(lambda a, b: self.times(self.notation.times, PRODUCT, a, b), arrays))
        return reduce(lambda b, a: self.in_front(a, b), reversed(singles))

    def operands(self, e: Expression, op: str) -> list[Any]:
        """The terms of a sum, or the factors of a product of entries, that is written in one piece."""
        found: list[Any] = []
        for a in e.args:
            goes_on = isinstance(a, Expression) and a.op == op and not self.has_symbol(a)
            found += self.operands(a, op) if goes_on else [a]
        return found

    def to_power(self, x: Expression, n: int) -> Formula:
        """A factor that occurs n times."""
        return self.write(x) if n == 1 else self.notation.power(self.write(x), Formula(str(n)))

    def in_front(self, a: Formula, b: Formula) -> Formula:
        """A single number in front of something: 2 a."""
        if b.level == MATRIX_PRODUCT:
            b = Formula(b.text, PRODUCT)
        right = b.inside(b.level == PRODUCT or b.level >= POWER)
        left = a.inside(a.level in (SIGNED, PRODUCT) or a.level >= POWER)
        sign = " · " if right[0] in "0123456789" else " "
        return Formula(f"{left}{sign}{right}", SIGNED if a.level == SIGNED else PRODUCT)

    def divide(self, e: Expression) -> Formula:
        """A fraction."""
        return self.notation.fraction(*map(self.write, self.unrepeated(e.args, e.shape)))

    def summed(self, e: Expression) -> Formula:
        """Σ_rows a."""
        a = self.write(e.args[0])
        sign = self.notation.function("sum", axes_label(e))
        return Formula(f"{sign} {a.inside(a.level >= POWER)}", MATRIX_PRODUCT)

    def getitem(self, e: Expression) -> Formula:
        """A part of an array, by its place."""
        a = self.write(e.args[0])
        index = e.params["index"]
        places = ", ".join(map(place, index if isinstance(index, tuple) else (index,)))
        return Formula(f"{a.inside(a.level == ATOM)}[{places}]")

    def concat(self, e: Expression) -> Formula:
        """Blocks."""
        return Formula(self.draw_unrolled([self.write(a).text for a in e.args], e.params["axis"], len(e.shape)))

    def reshape(self, e: Expression) -> Formula:
        """Axes of length 1 that come or go are not shown."""
        return self.write(e.args[0]) if is_invisible(e) else self.call("reshape", e.args[0])

    def power(self, e: Expression) -> Formula:
        """a to the power b; the power 1 is not shown."""
        a, b = map(self.write, e.args)
        return a if b.text == "1" else self.notation.power(a, b)

    def transpose(self, e: Expression) -> Formula:
        """The transpose of a matrix, or of each of a stack."""
        n = len(e.shape)
        is_swap = tuple(e.params["axes"]) == (*range(n - 2), n - 1, n - 2)
        return self.notation.transpose(self.write(e.args[0])) if is_swap else self.call("transpose", e.args[0])

    def constant(self, e: Expression) -> Formula:
        """An array that is known: its number, or K with a number."""
        value = e.params["value"]
        if value.size == 1:
            return self.number(value.item())
        found = [x for x in (*self.outline.forward, *self.outline.backward) if x.op == "constant"]
        return Formula(self.notation.symbol("K", [str(1 + found.index(e))]))


CONNECTIVES = {"logical_and": "and", "bitwise_and": "and", "logical_or": "or", "bitwise_or": "or"}


def is_invisible(e: Expression, repeated: bool = False) -> bool:
    """Does it change no number, only the shape or the precision? A formula does not show that.

    Args:
        e: an expression.
        repeated: may it repeat numbers?
    """
    if e.op == "reshape" and e.inputs:
        old, new = ([n for n in shape if n != 1] for shape in (e.inputs[0].shape, e.shape))
        return old == new
    return e.op in ("astype", "positive") or (repeated and e.op == "broadcast_to")


def is_single(x: Any) -> bool:
    """Is it a number, or an array that holds one?"""
    return not isinstance(x, Expression) or x.shape == ()


def axes_label(e: Expression) -> str:
    """What a reduction runs over: nothing, if all axes; rows or columns of a matrix; else the numbers of the axes."""
    axis, shape = e.params.get("axis"), e.inputs[0].shape
    given = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = sorted(i % len(shape) for i in given)
    if len(axes) == len(shape):
        return ""
    return ("rows", "columns")[axes[0]] if len(shape) == 2 and axes else f"axes{''.join(map(str, axes))}"


def place(i: Any) -> str:
    """One axis of an index.

    >>> place(slice(0, 5)), place(3), place(slice(None))
    ('0:5', '3', ':')
    """
    if isinstance(i, slice):
        ends = ["" if n is None else str(n) for n in (i.start, i.stop)]
        return ":".join([*ends, *([] if i.step is None else [str(i.step)])])
    if isinstance(i, np.ndarray):
        return str(i.tolist()) if i.size <= 8 else "index"
    return "..." if i is Ellipsis else str(i)


FormulaOf = Callable[[Writer, Expression], Formula]


def labelled(name: str) -> FormulaOf:
    """A reduction that is written as a function: mean_columns(a)."""
    return lambda w, e: w.call(name, e.args[0], label=axes_label(e))


FORMULAS: dict[str, FormulaOf] = {
    "add": lambda w, e: w.sum_of(e),
    "subtract": lambda w, e: w.subtract(*map(w.write, w.unrepeated(e.args, e.shape))),
    "negative": lambda w, e: w.negative(w.write(e.args[0])),
    "multiply": lambda w, e: w.multiply(e),
    "matmul": lambda w, e: w.times(" ", MATRIX_PRODUCT, w.write(e.args[0]), w.write(e.args[1])),
    "divide": lambda w, e: w.divide(e),
    "true_divide": lambda w, e: w.divide(e),
    "reciprocal": lambda w, e: w.notation.fraction(Formula("1"), w.write(e.args[0])),
    "power": lambda w, e: w.power(e),
    "square": lambda w, e: w.notation.power(w.write(e.args[0]), Formula("2")),
    "sqrt": lambda w, e: w.notation.root(w.write(e.args[0])),
    "abs": lambda w, e: Formula(f"|{w.write(e.args[0]).text}|"),
    "sum": lambda w, e: w.summed(e),
    "add.reduce": lambda w, e: w.summed(e),
    **{name: labelled(name) for name in ("mean", "max", "min", "prod", "logsumexp", "norm")},
    "getitem": lambda w, e: w.getitem(e),
    "concat": lambda w, e: w.concat(e),
    "reshape": lambda w, e: w.reshape(e),
    "transpose": lambda w, e: w.transpose(e),
    "broadcast_to": lambda w, e: w.repeat(e),
    "copy": lambda w, e: w.write(e.args[0]),
    "zeros_like": lambda w, e: Formula("0"),
    "astype": lambda w, e: w.write(e.args[0]),
    "positive": lambda w, e: w.write(e.args[0]),
    "logical_not": lambda w, e: Formula(w.notation.sign("not") + f"({w.write(e.args[0]).text})"),
    "invert": lambda w, e: Formula(w.notation.sign("not") + f"({w.write(e.args[0]).text})"),
    "constant": lambda w, e: w.constant(e),
    "zeros": lambda w, e: Formula("0"),
}
