"""Pieces of Python source, put together with no more parentheses than are needed."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.expression import COMPARISONS

WIDTH = 100  # characters in one line, for lists of names

# How tightly an expression holds together. Those from PRODUCT to REMAINDER are one level to Python; here they are
# told apart, since `(r * h) @ W` is easier to read than `r * h @ W`.
COMPARE, EITHER, BOTH, SUM, PRODUCT, MATRIX_PRODUCT, REMAINDER, SIGN, POWER, ATOM = range(10)


class Text(NamedTuple):
    """A piece of source, and how tightly it holds together."""

    text: str
    level: int = ATOM

    def inside(self, fits: bool) -> str:
        """The text; in parentheses unless it fits."""
        return self.text if fits else f"({self.text})"


OPERATORS = {
    "add": ("+", SUM), "subtract": ("-", SUM), "multiply": ("*", PRODUCT), "divide": ("/", PRODUCT),
    "true_divide": ("/", PRODUCT), "matmul": ("@", MATRIX_PRODUCT), "remainder": ("%", REMAINDER),
    "logical_and": ("&", BOTH), "bitwise_and": ("&", BOTH), "logical_or": ("|", EITHER), "bitwise_or": ("|", EITHER),
    **{op: (symbol, COMPARE) for op, symbol in COMPARISONS.items()},
}  # fmt: skip


def binary(op: str, a: Text, b: Text) -> Text:
    """Two operands with an operator between them, in no more parentheses than are needed.

    >>> a, b = Text("a"), Text("b + c", SUM)
    >>> binary("add", b, a).text, binary("add", a, b).text, binary("multiply", a, b).text
    ('b + c + a', 'a + (b + c)', 'a * (b + c)')
    """
    symbol, level = OPERATORS[op]
    if op == "add" and b.text.startswith("-") and b.level in (PRODUCT, SIGN):  # a + -b is a - b, to the last digit
        symbol, b = "-", Text(b.text[1:], b.level)
    if PRODUCT <= level <= REMAINDER:
        left = a.level >= SIGN or a.level == level != REMAINDER
        right = b.level >= SIGN
    else:
        left = a.level > level or a.level == level != COMPARE
        right = b.level > level
    return Text(f"{a.inside(left)} {symbol} {b.inside(right)}", level)


def signed(symbol: str, a: Text) -> Text:
    """-a or ~a. The sign of a product may stand in front: -a * b."""
    if symbol == "-" and a.level == PRODUCT and not a.text.startswith("-"):
        return Text(f"-{a.text}", PRODUCT)
    return Text(symbol + a.inside(a.level >= POWER), SIGN)


def power(a: Text, b: Text) -> Text:
    """a ** b."""
    return Text(f"{a.inside(a.level == ATOM)} ** {b.inside(b.level >= SIGN)}", POWER)


def number(x: Any) -> Text:
    """A number as Python writes it.

    >>> number(-0.5), number(float("inf"))
    (Text(text='-0.5', level=7), Text(text='np.inf', level=9))
    """
    text = repr(x) if not isinstance(x, float) or math.isfinite(x) else "np.nan" if math.isnan(x) else f"{x:+}"
    text = text.replace("+inf", "np.inf").replace("-inf", "-np.inf")
    return Text(text, SIGN if text.startswith("-") else ATOM)


def listed(before: str, items: Sequence[str], after: str = "") -> str:
    """Items with commas between them, on several lines if they are many.

    >>> listed("return ", ["a"]), listed("(", ["a"], "):"), listed("", ["a"], " = saved"), listed("", ["a", "b"])
    ('return a', '(a):', '(a,) = saved', 'a, b')
    """
    is_tuple = not before.endswith("(") and (before.endswith("= ") or after.startswith(" ="))
    text = ", ".join(items)
    if is_tuple and len(items) == 1:
        text = f"({text},)"
    if len(before + text + after) <= WIDTH:
        return before + text + after
    indent = before[: len(before) - len(before.lstrip())]
    body = textwrap.fill(text + ",", WIDTH, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    ")
    opening, closing = ("", "") if before.endswith("(") else ("(", ")")
    return f"{before}{opening}\n{body}\n{indent}{closing}{after}"


def dtype_name(dtype: np.dtype[Any]) -> str:
    """How Python writes a dtype."""
    return "bool" if dtype.kind == "b" else f"np.{dtype.name}"
