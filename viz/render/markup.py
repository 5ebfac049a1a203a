"""SVG: elements as text, with everything that comes from outside escaped. Colours are explicit, text is text."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from viz.layout.geometry import Route
from viz.render.drawing import Drawing
from viz.theme import Theme
from viz.typography import shorten, text_width

# What XML 1.0 cannot hold, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: object) -> str:
    """Text fit for XML, not yet escaped: what XML cannot hold becomes a replacement character."""
    return FORBIDDEN.sub("\ufffd", str(text))


def number(x: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    text = f"{x:.1f}"
    return text[:-2] if text.endswith(".0") else text


def element(name: str, content: str = "", /, **attributes: Any) -> str:
    """One element. ``stroke_width=2`` becomes ``stroke-width="2"``; None is left out. The content is markup already.

    >>> element("circle", cx=1, cy=2.04, r=3, fill="none")
    '<circle cx="1" cy="2" r="3" fill="none"/>'
    """
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}="
        + (f'"{number(value)}"' if isinstance(value, float) else quoteattr(clean(value)))
        for key, value in attributes.items() if value is not None
    )
    return f"<{name}{said}>{content}</{name}>" if content else f"<{name}{said}/>"


def text(x: float, y: float, words: object, *, anchor: str = "middle", sub: object = None, **attributes: Any) -> str:
    """A line of text, escaped; ``sub`` follows as a subscript."""
    content = escape(clean(words))
    if sub is not None:
        content += f'<tspan dy="3" font-size="72%">{escape(clean(sub))}</tspan>'
    return element("text", content or " ", x=float(x), y=float(y), text_anchor=None if anchor == "start" else anchor,
                   **attributes)


def brief(x: float, y: float, words: str, longest: int, **attributes: Any) -> str:
    """A line of text, cut with … after so many characters; the whole of it where the pointer rests.

    >>> brief(0, 0, "to be or not to be", 9, anchor="start")
    '<g><title>to be or not to be</title><text x="0" y="0">to be or…</text></g>'
    """
    seen = shorten(words, longest)
    markup = text(x, y, seen, **attributes)
    return markup if seen == words else element("g", title(words) + markup)


def heading(x: float, y: float, words: str, size: int = 16) -> tuple[str, float]:
    """The title of a picture, and how far to the right it may reach."""
    markup = brief(x, y, words, 72, anchor="start", font_size=str(size), font_weight="bold")
    return markup, x + text_width(shorten(words, 72), size) * 1.1


def title(words: object) -> str:
    """What a browser shows when the pointer rests on the element that this stands in."""
    return f"<title>{escape(clean(words))}</title>"


def path(route: Route) -> str:
    """The ``d`` of a route."""
    at = number(route.start[0]), number(route.start[1])
    parts = [f"M{at[0]},{at[1]}"]
    for piece in route.pieces:
        points = [(number(x), number(y)) for x, y in piece]
        if len(piece) > 1:
            parts.append("C" + " ".join(f"{x},{y}" for x, y in points))
        elif at[0] == points[0][0]:
            parts.append(f"V{points[0][1]}")
        else:
            parts.append(f"H{points[0][0]}" if at[1] == points[0][1] else f"L{points[0][0]},{points[0][1]}")
        at = points[-1]
    return "".join(parts)


def arrowhead(tip: tuple[float, float], towards: tuple[float, float], size: float, **attributes: Any) -> str:
    """A triangle at the tip, pointing the way that ``towards`` (a vector) says."""
    length = math.hypot(*towards) or 1.0
    ux, uy = towards[0] / length, towards[1] / length
    (x, y), half = tip, size * 0.5
    there = number(-ux * size - uy * half), number(-uy * size + ux * half)
    across = number(2 * uy * half), number(-2 * ux * half)
    d = f"M{number(x)},{number(y)}l{there[0]},{there[1]} {across[0]},{across[1]}z"
    return element("path", d=d, **attributes)


def document(body: str, width: float, height: float, theme: Theme, name: str) -> Drawing:
    """The whole file."""
    style = f'font-family="{escape(theme.font)}" font-size="{number(theme.size)}" fill="{theme.ink}"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(width)}" height="{number(height)}" '
        f'viewBox="0 0 {number(width)} {number(height)}" role="img" {style}>{title(name)}'
        f'<rect width="100%" height="100%" fill="{theme.paper}"/>{body}</svg>\n'
    )
    return Drawing(svg, width, height)
