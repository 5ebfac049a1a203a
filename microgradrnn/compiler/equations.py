"""Equations: a traced function and its derivative as a textbook writes them, in plain text or LaTeX.

The notation is that of docs/equations.md: row vectors, ⊙ for the product of entries, a product of matrices without a
sign, σ for the sigmoid. The cotangent ∂L/∂h of h is dh; that of a weight is the share of this step. Σ_rows is the sum
over the rows of a batch, and [h > 0] is 1 where the condition holds, else 0.

Elementwise operations broadcast as in NumPy: x U + b adds the row b to each row. Everywhere else, an array that is
repeated is written as a product with 𝟙, an array of ones of the size that fits. dy 𝟙 is a matrix with the number dy in
every entry. 𝟙 b is a matrix with the row b in every row. a 𝟙 is a matrix with the column a in every column.

>>> import numpy as np
>>> import microgradrnn as mg
>>> step = mg.compile(mg.nn.RNNCell(3, 5, rng=0))
>>> h = step(np.ones((2, 3)), np.zeros((2, 5)))
>>> print(equations(step.last.trace))
z_t = h_{t-1} W + x_t U + b
h_t = tanh(z_t)
<BLANKLINE>
dz_t = dh_t ⊙ (1 − h_t²)
dx_t = dz_t Uᵀ
dh_{t-1} = dz_t Wᵀ
dU = x_tᵀ dz_t
dW = h_{t-1}ᵀ dz_t
db = Σ_rows dz_t
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from microgradrnn.compiler.expression import Expression
from microgradrnn.compiler.formulas import Writer
from microgradrnn.compiler.notation import COMPARE, Latex, Notation
from microgradrnn.compiler.outline import Outline
from microgradrnn.compiler.trace import Trace

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
    return Equations(*(lines(writer) for writer in (plain, latex) for lines in (forward_lines, backward_lines)))


def forward_lines(writer: Writer) -> list[Line]:
    """The equations of the function."""
    lines: list[Line] = []
    shown = set()
    for e in writer.outline.forward:
        whole = writer.pieces.get(e)
        if whole is not None and whole not in shown:
            shown.add(whole)
            lines.append((writer.row_of_blocks(whole), writer.write(whole).text))
        elif whole is None and has_line(writer, e):
            lines.append(line(writer, e))
    return lines


def backward_lines(writer: Writer) -> list[Line]:
    """The equations of the derivative."""
    return [line(writer, e) for e in writer.outline.backward if has_line(writer, e)]


def has_line(writer: Writer, e: Expression) -> bool:
    """Is there an equation that defines an expression?"""
    return e in writer.outline.lines and not writer.is_written_out(e)


def line(writer: Writer, e: Expression) -> Line:
    """The equation that defines an expression."""
    right = writer.write_out(e)
    return writer.symbol(e), right.inside(right.level > COMPARE)
