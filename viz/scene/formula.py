"""Formulas as text: ``h_{t-1}`` with its subscript where it belongs."""

from __future__ import annotations

import re
from itertools import accumulate, takewhile
from typing import Any

from viz.scene.items import Run, Text
from viz.typography import SMALLER, text_width

SUBSCRIPT = re.compile(r"_(\{[^}]*\}|[^\W_]\b)")  # log_softmax has none: it is a name, written with an underscore
SYMBOL = re.compile(r"\w{24,}?[^\W_](?=_\{|_\w\b|\W|$)")  # so long a symbol is a sentence: it is cut
LETTER = re.compile(r"(?<=\b[A-Za-z])_(\w{1,4})\b")


def runs(formula: str) -> list[Run]:
    """The formula in pieces.

    >>> runs("c_{t-1} + g")
    [('c', 0), ('t−1', -1), (' + g', 0)]
    >>> runs("log_softmax(h_t)")
    [('log_softmax(h', 0), ('t', -1), (')', 0)]
    """
    parts = SUBSCRIPT.split(formula)
    found = [(part.strip("{}").replace("-", "−") if k % 2 else part, -(k % 2)) for k, part in enumerate(parts)]
    return [(part, level) for part, level in found if part]


def formula_width(formula: str, size: float, bold: bool = False) -> float:
    """How wide a formula is drawn."""
    return sum(text_width(part, size * SMALLER if level else size, bold) for part, level in runs(brief(formula)))


def wrapped_formula(words: str, size: float, room: float) -> list[str]:
    """A formula in lines that fit a width, broken where that does least harm: at a + outside parentheses, if any.

    >>> wrapped_formula("a ⊙ (b + c) + d ⊙ e", 10.0, 90.0)
    ['a ⊙ (b + c)', '+ d ⊙ e']
    """
    lines: list[str] = []
    while formula_width(words, size) > room and (at := best_break(words, size, room)):
        lines, words = [*lines, words[:at]], words[at + 1 :]
    return [*lines, words]


def best_break(words: str, size: float, room: float) -> int:
    """The space at which the first line of a formula ends; 0 if it has none."""
    depth = list(accumulate((c in "([") - (c in ")]") for c in words))
    braces = list(accumulate((c == "{") - (c == "}") for c in words))
    spaces = [k for k, c in enumerate(words) if c == " " and k and not braces[k]]
    fit = list(takewhile(lambda k: formula_width(words[:k], size) <= room, spaces)) or spaces[:1]
    rank = {"+": 0, "−": 0, "⊙": 1}
    return min(fit, key=lambda k: (depth[k], rank.get(words[k + 1 : k + 2], 2), -k), default=0)


def brief(formula: str) -> str:
    """The formula, very long symbols in it cut with ….

    >>> brief("h_t = tanh(x W + " + 99 * "b" + ")")
    'h_t = tanh(x W + bbbbbbbbbbbbbbb…)'
    >>> brief("what_somebody_calls_the_state_{t-1}")
    'what_somebody_c…_{t-1}'
    """
    return SYMBOL.sub(lambda found: found[0][:15] + "…", formula)


def formula(x: float, y: float, words: str, size: float, anchor: str = "start", **look: Any) -> Text:
    """A line of text with subscripts. What is cut is whole where the pointer rests."""
    seen = brief(words)
    if seen != words:
        look.setdefault("note", words)
    return Text(x, y, runs(seen), size, anchor, **look)


def lettering(x: float, y: float, words: str, size: float, anchor: str = "middle", **look: Any) -> Text:
    """A line of text; a name that is written ``W_rz`` in it has its subscript where it belongs.

    >>> lettering(0, 0, "h W_rz", 13).words
    [('h W', 0), ('rz', -1)]
    """
    return formula(x, y, LETTER.sub(r"_{\1}", words), size, anchor, **look)
