"""Two notations for equations: plain text in Unicode, and LaTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

# How tightly a formula holds together.
COMPARE, SUM, SIGNED, PRODUCT, MATRIX_PRODUCT, FRACTION, POWER, ATOM = range(8)


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

    times, minus, space, dots, infinity, ones = " ⊙ ", "−", " ", "…", "∞", "𝟙"
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
        """a / b, which gets parentheses inside a product: (a / b) ⊙ c."""
        above = a.inside(a.level in (SIGNED, PRODUCT) or a.level >= POWER)
        return Formula(f"{above} / {b.inside(b.level >= POWER)}", SUM if a.level == SIGNED else FRACTION)

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

    times, minus, space, dots, infinity, ones = r" \odot ", "-", r" \; ", r"\dots", r"\infty", r"\mathbf{1}"
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
