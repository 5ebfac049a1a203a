"""Equations: a traced function and its derivative as a textbook writes them, in plain text or LaTeX.

The notation is that of equations.md: row vectors, ⊙ for the product of entries, a product of matrices without a sign,
σ for the sigmoid. The cotangent ∂L/∂h of h is dh; that of a weight is the share of this step. Σ_rows is the sum over
the rows of a batch, and [h > 0] is 1 where the condition holds, else 0.

>>> import numpy as np
>>> from microgradrnn import nn
>>> from microgradrnn.compile.trace import Slot, trace
>>> cell = nn.RNNCell(3, 5, rng=0)
>>> def step(x, h):
...     z, next_state = cell.prepare(x)
...     return next_state(z, h)
>>> t = trace(step, (Slot(np.zeros((2, 3))), Slot(np.zeros((2, 5)))), ["x", "h"])
>>> print(equations(t, states=["h"]))
z_t = h_{t-1} W + x_t U + b
h_t = tanh(z_t)
<BLANKLINE>
dz_t = dh_t ⊙ (1 − h_t²)
dx_t = dz_t Uᵀ
dh_{t-1} = dz_t Wᵀ
dU = x_tᵀ dz_t
db = Σ_rows dz_t
dW = h_{t-1}ᵀ dz_t
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from microgradrnn.compile.expression import COMPARISONS, LEAVES, Expression, reading
from microgradrnn.compile.readable import Outline, cut, is_function
from microgradrnn.compile.trace import Trace

Line = tuple[str, str]  # left and right of the equals sign


@dataclass(frozen=True)
class Equations:
    """The equations of a function and of its derivative.

    Attributes:
        forward, backward: (left, right) of each equation, as plain text.
        latex_forward, latex_backward: the same in LaTeX.
    """

    forward: list[Line]
    backward: list[Line]
    latex_forward: list[Line]
    latex_backward: list[Line]

    def __str__(self) -> str:
        return "\n\n".join("\n".join(f"{a} = {b}" for a, b in half) for half in (self.forward, self.backward) if half)

    def latex(self) -> str:
        """An ``aligned`` block, for a line of mathematics."""
        halves = [self.latex_forward, self.latex_backward]
        lines = [" \\\\\n".join(f"{a} &= {b}" for a, b in half) for half in halves if half]
        return "\\begin{aligned}\n" + " \\\\[1ex]\n".join(lines) + "\n\\end{aligned}"


def equations(trace: Trace, states: Collection[str] = (), time: bool = True) -> Equations:
    """The equations of a traced function and of its derivative.

    Args:
        trace: the function.
        states: inputs that hold the state of the last step: h is written h_{t-1}. An input called h_prev is, too.
        time: write the index t at what depends on the inputs.

    Returns:
        `Equations`. ``str()`` of them is plain text; they have a method `latex`.
    """
    outline = Outline(trace, states)
    plain, latex = Writer(outline, Notation(), time), Writer(outline, Latex(), time)
    return Equations(plain.forward(), plain.backward(), latex.forward(), latex.backward())


# ------------------------------------------------------------------------------------------------------- notations
# How tightly a formula holds together.
COMPARE, SUM, SIGNED, PRODUCT, MATRIX_PRODUCT, POWER, ATOM = range(7)


class Formula(NamedTuple):
    """A piece of an equation, and how tightly it holds together."""

    text: str
    level: int = ATOM

    def inside(self, fits: bool) -> str:
        """The text; in parentheses unless it fits. A condition among numbers gets brackets."""
        return self.text if fits else f"[{self.text}]" if self.level == COMPARE else f"({self.text})"


UNICODE_SIGNS = {"<=": "≤", ">=": "≥", "!=": "≠", "==": "=", "and": "∧", "or": "∨", "not": "¬"}
UNICODE_FUNCTIONS = {"sigmoid": "σ", "relu": "ReLU", "maximum": "max", "minimum": "min", "sum": "Σ"}
LATEX_SIGNS = {
    "<=": r"\leq", ">=": r"\geq", "!=": r"\neq", "==": "=", "and": r"\wedge", "or": r"\vee", "not": r"\neg ",
}  # fmt: skip
LATEX_FUNCTIONS = {
    "sigmoid": r"\sigma", "relu": r"\mathrm{ReLU}", "maximum": r"\max", "minimum": r"\min", "sum": r"\sum",
    **{name: f"\\{name}" for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min", "det")},
}  # fmt: skip


class Notation:
    """Plain text in Unicode."""

    times, minus, space, dots, infinity = " ⊙ ", "−", " ", "…", "∞"
    signs: ClassVar[dict[str, str]] = UNICODE_SIGNS
    functions: ClassVar[dict[str, str]] = UNICODE_FUNCTIONS

    def symbol(self, base: str, indices: Sequence[str]) -> str:
        """A letter with indices.

        >>> Notation().symbol("h", ["t"]), Notation().symbol("z", ["i", "t"])
        ('h_t', 'z_{i,t}')
        """
        below = ",".join(indices)
        return base if not below else f"{base}_{below}" if len(below) == 1 else f"{base}_{{{below}}}"

    def cotangent(self, text: str) -> str:
        """The cotangent of what has this symbol."""
        return f"d{text}"

    def function(self, name: str, label: str = "") -> str:
        """The name of a function or operator, with what it runs over."""
        return self.functions.get(name, name) + (f"_{label}" if label else "")

    def fraction(self, a: Formula, b: Formula) -> Formula:
        """a / b."""
        above = a.inside(a.level in (SIGNED, PRODUCT) or a.level >= POWER)
        return Formula(f"{above} / {b.inside(b.level >= POWER)}", SIGNED if a.level == SIGNED else PRODUCT)

    def power(self, a: Formula, b: Formula) -> Formula:
        """a to the power b."""
        base = a.inside(a.level == ATOM)
        if re.fullmatch(r"−?\d+", b.text):
            return Formula(base + b.text.translate(str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")), POWER)
        return Formula(f"{base}^{b.inside(b.level == ATOM)}", POWER)

    def root(self, a: Formula) -> Formula:
        """The square root."""
        return Formula(f"√{a.inside(a.level == ATOM)}", POWER)

    def transpose(self, a: Formula) -> Formula:
        """The transpose."""
        return Formula(f"{a.inside(a.level == ATOM)}ᵀ", POWER)

    def sign(self, sign: str) -> str:
        """A sign of comparison or logic."""
        return self.signs.get(sign, sign)


class Latex(Notation):
    """LaTeX, of the kind that matplotlib and MathJax read too."""

    times, minus, space, dots, infinity = r" \odot ", "-", r" \; ", r"\dots", r"\infty"
    signs: ClassVar[dict[str, str]] = LATEX_SIGNS
    functions: ClassVar[dict[str, str]] = LATEX_FUNCTIONS

    def symbol(self, base: str, indices: Sequence[str]) -> str:
        """A letter with indices; words are upright."""
        below = ",".join(i if len(i) == 1 or "-" in i else self.word(i) for i in indices)
        return self.word(base) + (f"_{{{below}}}" if below else "")

    def word(self, text: str) -> str:
        r"""A letter, Greek ones by their names, or a word.

        >>> print(Latex().word("h"), Latex().word("λ"), Latex().word("key"))
        h \lambda \mathrm{key}
        """
        if len(text) != 1:
            return rf"\mathrm{{{text}}}".replace("_", r"\_")
        name = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(text, ""))
        if not name:
            return text
        word = name[2].lower().replace("lamda", "lambda")
        return "\\" + (word if name[1] == "SMALL" else word.capitalize())

    def cotangent(self, text: str) -> str:
        """The cotangent, with an upright d."""
        return rf"\mathrm{{d}}{text}"

    def function(self, name: str, label: str = "") -> str:
        """The name of a function, a command if LaTeX has one."""
        return self.functions.get(name, self.word(name)) + (rf"_{{{self.word(label)}}}" if label else "")

    def fraction(self, a: Formula, b: Formula) -> Formula:
        """A fraction, which needs no parentheses."""
        return Formula(rf"\frac{{{a.text}}}{{{b.text}}}", POWER)

    def power(self, a: Formula, b: Formula) -> Formula:
        """a to the power b."""
        return Formula(f"{a.inside(a.level == ATOM)}^{{{b.text}}}", POWER)

    def root(self, a: Formula) -> Formula:
        """The square root."""
        return Formula(rf"\sqrt{{{a.text}}}")

    def transpose(self, a: Formula) -> Formula:
        """The transpose."""
        return Formula(rf"{a.inside(a.level == ATOM)}^{{\top}}", POWER)


# ---------------------------------------------------------------------------------------- expressions as formulas
class Writer:
    """Writes the lines of an outline in a notation."""

    def __init__(self, outline: Outline, notation: Notation, time: bool) -> None:
        self.outline, self.notation, self.time = outline, notation, time
        trace = outline.trace
        known = reading([*trace.outputs, *outline.gradients], trace.inputs)
        self.moving = known | set(outline.backward)  # what changes from step to step
        self.blocks = {e: pieces for e in outline.forward if (pieces := outline.pieces(e))}
        self.pieces = {piece: e for e, pieces in self.blocks.items() for piece in pieces}

    def forward(self) -> list[Line]:
        """The equations of the function."""
        lines: list[Line] = []
        shown = set()
        for e in self.outline.forward:
            whole = self.pieces.get(e)
            if whole is not None and whole not in shown:
                shown.add(whole)
                lines.append((self.row_of_blocks(whole), self.write(whole).text))
            elif whole is None and e in self.outline.lines and not self.is_written_out(e):
                lines.append(self.line(e))
        return lines

    def backward(self) -> list[Line]:
        """The equations of the derivative."""
        lines = (e for e in self.outline.backward if e in self.outline.lines and not self.is_written_out(e))
        return [self.line(e) for e in lines]

    def line(self, e: Expression) -> Line:
        """The equation that defines an expression."""
        right = self.write_out(e)
        return self.symbol(e), right.inside(right.level > COMPARE)

    def is_written_out(self, e: Expression) -> bool:
        """Is it as simple as tanh(c) or r ⊙ h, so that it needs no symbol?"""
        outline = self.outline
        if e.op in LEAVES or e.name or e in outline.trace.outputs or e in outline.gradients:
            return False
        if is_invisible(e):
            return all(self.has_symbol(a) or is_invisible(a) for a in e.inputs)
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
        return self.side_by_side(parts, axis, len(whole.shape))

    def side_by_side(self, parts: Iterable[str], axis: int, ndim: int) -> str:
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
            return Formula(f" {sign} ".join(f.inside(f.level > COMPARE) for f in map(self.write, e.args)), COMPARE)
        return self.call(e.op, *e.args)

    def number(self, x: Any) -> Formula:
        """A number."""
        text = repr(int(x)) if isinstance(x, float) and x.is_integer() and abs(x) < 1e6 else repr(x)
        if isinstance(x, float) and math.isinf(x):
            text = ("-" if x < 0 else "") + self.notation.infinity
        return Formula(text.replace("-", self.notation.minus), SIGNED if text.startswith("-") else ATOM)

    def call(self, name: str, *operands: Any, label: str = "") -> Formula:
        """f(a, b)."""
        return Formula(f"{self.notation.function(name, label)}({', '.join(self.write(a).text for a in operands)})")

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
        """⊙ between arrays; numbers stand in front; a ⊙ a is a square."""
        x, y = e.args
        a, b = self.write(x), self.write(y)
        if x is y:
            return self.notation.power(a, Formula("2"))
        if is_single(y) and not is_single(x):
            (x, a), (y, b) = (y, b), (x, a)
        if not is_single(x):
            return self.times(self.notation.times, PRODUCT, a, b)
        if b.level == MATRIX_PRODUCT:
            b = Formula(b.text, PRODUCT)
        return self.times(" · " if b.text[0].isdigit() else " ", PRODUCT, a, b)

    def divide(self, e: Expression) -> Formula:
        """A fraction."""
        return self.notation.fraction(self.write(e.args[0]), self.write(e.args[1]))

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
        return Formula(self.side_by_side([self.write(a).text for a in e.args], e.params["axis"], len(e.shape)))

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


def is_invisible(e: Expression) -> bool:
    """Does it change no number, only the shape or the precision? A formula does not show that."""
    if e.op == "reshape" and e.inputs:
        old, new = ([n for n in shape if n != 1] for shape in (e.inputs[0].shape, e.shape))
        return old == new
    return e.op in ("broadcast_to", "astype", "positive")


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
    "add": lambda w, e: w.add(w.write(e.args[0]), w.write(e.args[1])),
    "subtract": lambda w, e: w.subtract(w.write(e.args[0]), w.write(e.args[1])),
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
    "broadcast_to": lambda w, e: w.write(e.args[0]),
    "astype": lambda w, e: w.write(e.args[0]),
    "positive": lambda w, e: w.write(e.args[0]),
    "logical_not": lambda w, e: Formula(w.notation.sign("not") + f"({w.write(e.args[0]).text})"),
    "invert": lambda w, e: Formula(w.notation.sign("not") + f"({w.write(e.args[0]).text})"),
    "constant": lambda w, e: w.constant(e),
    "zeros": lambda w, e: Formula("0"),
}
