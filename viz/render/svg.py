"""A scene as SVG: the one place that writes markup. What comes from outside is escaped; colours are explicit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape, quoteattr
from zlib import crc32

from viz.layout.geometry import Point, Route
from viz.scene.items import Area, Box, Group, Ink, Item, Key, Scene, Text, Use, Wire
from viz.typography import SMALLER

# What XML 1.0 cannot hold, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MONO = "DejaVu Sans Mono, Menlo, Consolas, Liberation Mono, monospace"
LOWERED, RAISED = 0.25, -0.32  # of the size
UNKNOWN = "\0"  # stands for the picture's own number; no text can hold it


def svg(scene: Scene) -> str:
    r"""The whole file.

    >>> svg(Scene([Text(3, 4, "a < b")], 10, 10, "less"))[-68:]
    'height="10" fill="#ffffff"/><text x="3" y="4">a &lt; b</text></svg>\n'
    """
    ids = {stamp: f"{UNKNOWN}{j}" for j, stamp in enumerate(scene.stamps.items)}
    writer = Writer(ids, scene.theme.size)
    stamps = "".join(f'<g id="{ids[stamp]}">{writer.all(items)}</g>' for stamp, items in scene.stamps.items.items())
    body = (f"<defs>{stamps}</defs>" if stamps else "") + writer.all(scene.items)
    # Two pictures in one page must not take each other's stamps, and the same program must write the same file.
    return document(scene, body.replace(UNKNOWN, f"p{crc32(body.encode()) & 0xFFFFFF:x}-"))


def document(scene: Scene, body: str, **more: str) -> str:
    """The whole file around what was painted already; more attributes of its outermost element."""
    theme, size = scene.theme, {"width": float(scene.width), "height": float(scene.height)}
    words = element("title", escape(clean(scene.title)))
    if scene.summary:
        words += element("desc", escape(clean(scene.summary)))
    if scene.laid_out_by:
        words += f"<!-- laid out by {clean(scene.laid_out_by).replace('--', '- -')} -->"
    paper = element("rect", **size, fill=theme.paper)
    return element("svg", words + paper + body, xmlns="http://www.w3.org/2000/svg", **size,
                   viewBox=f"0 0 {number(scene.width)} {number(scene.height)}", role="img",
                   aria_label=scene.title, font_family=theme.font, font_size=float(theme.size),
                   fill=theme.ink, **more) + "\n"


class Writer:
    """Writes items.

    Args:
        ids: what stamps are called in the file.
        size: of text that says nothing else.
        keys: what groups with these keys are called in a page, which finds them by ``data-key``.
    """

    def __init__(self, ids: dict[Any, str], size: float, keys: Mapping[Key, str] | None = None) -> None:
        self.ids, self.size, self.keys = ids, size, keys or {}

    def all(self, items: Iterable[Item]) -> str:
        """Some items, in their order."""
        return "".join(map(self.one, items))

    def one(self, item: Item) -> str:
        """One item; what it says when pointed at is a ``<title>`` inside it."""
        note = element("title", escape(clean(item.note))) if item.note else ""
        if isinstance(item, Box):
            return self.box(item, note)
        if isinstance(item, Text):
            return element("g", note + self.text(item)) if note else self.text(item)
        if isinstance(item, Wire):
            d = "".join(map(path, item.routes))
            return element("path", note, d=d, fill="none", stroke_linecap="round" if item.round else None,
                           **self.ink(item, fill=False))
        if isinstance(item, Area):
            return element("path", note, d="".join(map(outline, item.outlines)), **self.ink(item))
        if isinstance(item, Use):
            place = "".join(f' {side}="{number(at)}"' for side, at in (("x", item.x), ("y", item.y)) if at)
            return f'<use href="#{self.ids[item.stamp]}"{place}' + (f">{note}</use>" if note else "/>")
        if isinstance(item, Group):
            moved = f"translate({number(item.x)},{number(item.y)})" if item.x or item.y else None
            inner, key = note + self.all(item.items), self.keys.get(item.key)
            return element("g", inner, transform=moved, data_key=key) if moved or note or key else inner
        raise TypeError(f"render: a scene holds Box, Wire, Text, Area, Group and Use; got {type(item).__name__}")

    def box(self, item: Box, note: str) -> str:
        """A rectangle, or a circle."""
        ink = self.ink(item)
        if item.w == item.h and item.radius >= item.w / 2 > 0:
            r = item.w / 2
            return element("circle", note, cx=item.x + r, cy=item.y + r, r=float(r), **ink)
        return element("rect", note, x=float(item.x), y=float(item.y), width=float(item.w), height=float(item.h),
                       rx=float(item.radius) if item.radius else None, **ink)

    def ink(self, item: Ink, fill: bool = True) -> dict[str, Any]:
        """The attributes of fill and outline."""
        said: dict[str, Any] = {"fill": item.fill or "none"} if fill else {}
        if item.stroke is not None:
            said |= {"stroke": item.stroke, "stroke_width": f"{item.stroke_width:.2f}".rstrip("0").rstrip("."),
                     "stroke_dasharray": item.dashes}
        if item.opacity is not None:
            said["opacity"] = f"{item.opacity:g}"
        if item.crisp:
            said["shape_rendering"] = "crispEdges"
        return said

    def text(self, item: Text) -> str:
        """A line of text; raised and lowered pieces are ``<tspan>``."""
        content, level = "", 0.0
        for words, raised in item.runs:
            wanted = item.size * (RAISED if raised > 0 else LOWERED if raised < 0 else 0.0)
            step, said = round(wanted - level, 2), escape(clean(words))
            content += element("tspan", said, dy=f"{step:g}" if step else None,
                               font_size=f"{SMALLER * item.size:.4g}" if raised else None) if step or raised else said
            level = wanted
        x, y = float(item.x), float(item.y)
        return element(
            "text", content or " ", x=x, y=y, text_anchor=None if item.anchor == "start" else item.anchor,
            font_size=None if item.size == self.size else f"{item.size:g}",
            font_weight="bold" if item.bold else None, font_style="italic" if item.italic else None,
            font_family=MONO if item.mono else None, fill=item.fill,
            transform=f"rotate({number(item.turn)} {number(x)} {number(y)})" if item.turn else None,
        )


def clean(text: object) -> str:
    """Text fit for XML, not yet escaped: what XML cannot hold becomes a replacement character."""
    return FORBIDDEN.sub("\ufffd", str(text))


def number(x: float) -> str:
    """A coordinate, to a tenth of a pixel.

    >>> number(1.04), number(2.5), number(-0.01)
    ('1', '2.5', '0')
    """
    text = f"{x:.1f}"
    return (text[:-2] if text.endswith(".0") else text) if text != "-0.0" else "0"


def element(name: str, content: str = "", /, **attributes: Any) -> str:
    """One element. ``stroke_width=2`` becomes ``stroke-width="2"``; None is left out. The content is markup already.

    >>> element("circle", cx=1.0, cy=2.04, r=3, fill="none")
    '<circle cx="1" cy="2" r="3" fill="none"/>'
    """
    said = "".join(
        f" {key.replace('_', '-')}=" + (f'"{number(value)}"' if isinstance(value, float) else quoteattr(clean(value)))
        for key, value in attributes.items() if value is not None
    )
    return f"<{name}{said}>{content}</{name}>" if content else f"<{name}{said}/>"


def path(route: Route) -> str:
    """The ``d`` of a route.

    >>> path(Route((0, 0)).line(5, 0).line(5, 5))
    'M0,0H5V5'
    """
    at = number(route.start[0]), number(route.start[1])
    parts = [f"M{at[0]},{at[1]}"]
    for piece in route.pieces:
        points = [(number(x), number(y)) for x, y in piece]
        parts.append("C" + " ".join(f"{x},{y}" for x, y in points) if len(piece) > 1 else straight(at, points[0]))
        at = points[-1]
    return "".join(parts)


def outline(points: Sequence[Point]) -> str:
    """The ``d`` of a polygon.

    >>> outline([(0, 0), (4, 0), (4, 2), (0, 2)])
    'M0,0H4V2H0z'
    """
    written = [(number(x), number(y)) for x, y in points]
    steps = "".join(straight(a, b) for a, b in pairwise(written))
    return f"M{written[0][0]},{written[0][1]}{steps}z"


def straight(a: tuple[str, str], b: tuple[str, str]) -> str:
    """A straight line between two points that are written already."""
    return f"V{b[1]}" if a[0] == b[0] else f"H{b[0]}" if a[1] == b[1] else f"L{b[0]},{b[1]}"
