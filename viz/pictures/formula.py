"""Formulas as SVG text: ``h_{t-1}`` with its subscript where it belongs."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

from viz.render.svg import clean, element
from viz.render.theme import text_width

SUBSCRIPT = re.compile(r"_(\{[^}]*\}|\w)")
SMALL = 0.74


def pieces(formula: str) -> list[tuple[str, bool]]:
    """The formula in pieces: what it says, and whether that is a subscript.

    >>> pieces("c_{t-1} + g")
    [('c', False), ('t−1', True), (' + g', False)]
    """
    parts = SUBSCRIPT.split(formula)
    found = [(part.strip("{}").replace("-", "−") if k % 2 else part, bool(k % 2)) for k, part in enumerate(parts)]
    return [(part, sub) for part, sub in found if part]


def formula_width(formula: str, size: float) -> float:
    """About how wide it is drawn, on the safe side."""
    return sum(text_width(part, size * SMALL if sub else size) for part, sub in pieces(formula))


def formula(x: float, y: float, words: str, *, size: float, anchor: str = "start", **attributes: Any) -> str:
    """A line of text with subscripts; what comes from outside is escaped."""
    content, drop = "", 0.0
    for part, sub in pieces(words):
        level = 0.25 * size if sub else 0.0
        step = None if level == drop else round(level - drop, 2)
        said = escape(clean(part))
        if sub or step is not None:
            content += element("tspan", said, dy=step, font_size=f"{SMALL:.0%}" if sub else None)
        else:
            content += said
        drop = level
    return element("text", content or " ", x=float(x), y=float(y), font_size=size,
                   text_anchor=None if anchor == "start" else anchor, **attributes)
