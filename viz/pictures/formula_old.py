"""Formulas as SVG text: ``h_{t-1}`` with its subscript where it belongs."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

from viz.render.markup import clean, element, text, title
from viz.typography import text_width

SUBSCRIPT = re.compile(r"_(\{[^}]*\}|[^\W_]\b)")  # log_softmax has none: it is a name, written with an underscore
SYMBOL = re.compile(r"\w{24,}?[^\W_](?=_\{|_\w\b|\W|$)")  # so long a symbol is a sentence: it is cut
LETTER = re.compile(r"(?<=\b[A-Za-z])_(\w{1,4})\b")
SMALL = 0.74


def pieces(formula: str) -> list[tuple[str, bool]]:
    """The formula in pieces: what it says, and whether that is a subscript.

    >>> pieces("c_{t-1} + g")
    [('c', False), ('t−1', True), (' + g', False)]
    >>> pieces("log_softmax(h_t)")
    [('log_softmax(h', False), ('t', True), (')', False)]
    """
    parts = SUBSCRIPT.split(formula)
    found = [(part.strip("{}").replace("-", "−") if k % 2 else part, bool(k % 2)) for k, part in enumerate(parts)]
    return [(part, sub) for part, sub in found if part]


def formula_width(formula: str, size: float) -> float:
    """About how wide it is drawn, on the safe side."""
    return sum(text_width(part, size * SMALL if sub else size) for part, sub in pieces(brief(formula)))


def brief(formula: str) -> str:
    """The formula, very long symbols in it cut with ….

    >>> brief("h_t = tanh(x W + " + 99 * "b" + ")")
    'h_t = tanh(x W + bbbbbbbbbbbbbbb…)'
    >>> brief("what_somebody_calls_the_state_{t-1}")
    'what_somebody_c…_{t-1}'
    """
    return SYMBOL.sub(lambda found: found[0][:15] + "…", formula)


def lettering(x: float, y: float, words: str, size: float, **attributes: Any) -> str:
    """A line of text, centred; what is written ``W_rz`` in it has its subscript where it belongs.

    >>> lettering(0, 0, "h W_rz", 13)
    '<text x="0" y="0" font-size="13" text-anchor="middle">h W<tspan dy="3.2" font-size="74%">rz</tspan></text>'
    """
    written = LETTER.sub(r"_{\1}", words)
    if written == words:
        return text(x, y, words, font_size=f"{size:g}", **attributes)
    return formula(x, y, written, size=size, anchor="middle", **attributes)


def formula(x: float, y: float, words: str, *, size: float, anchor: str = "start", **attributes: Any) -> str:
    """A line of text with subscripts; what comes from outside is escaped. What is cut is whole under the pointer."""
    content, drop = "", 0.0
    for part, sub in pieces(brief(words)):
        level = 0.25 * size if sub else 0.0
        step = None if level == drop else round(level - drop, 2)
        said = escape(clean(part))
        if sub or step is not None:
            content += element("tspan", said, dy=step, font_size=f"{SMALL:.0%}" if sub else None)
        else:
            content += said
        drop = level
    markup = element("text", content or " ", x=float(x), y=float(y), font_size=size,
                     text_anchor=None if anchor == "start" else anchor, **attributes)
    return markup if brief(words) == words else element("g", title(words) + markup)
