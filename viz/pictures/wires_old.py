"""Wires: how a wire is drawn. As structure, with an arrow forwards; or with the gradient that flowed back along it.

Equal wires are drawn once and stamped: a net of a thousand steps has twenty thousand wires, but only twenty ways and
a few dozen strengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from zlib import crc32

from viz.layout.geometry import Point, Route
from viz.render.markup import arrowhead, element, number, path, text
from viz.scale import Scale
from viz.theme import LEVELS, Theme

CASED = 0.25  # from this place on the scale a line is so light that it needs a casing

FORWARDS = "forwards"  # no gradient is shown
PLAIN = "plain"  # one is, but this line stands for no single edge
NONE = "none"  # no gradient flows here
ZERO = "zero"
ALARM = "alarm"  # NaN or infinite
Look = str | int  # one of these, or a level of strength, 0..LEVELS


def look(norm: float | None, scale: Scale) -> Look:
    """How a message of this norm looks.

    >>> look(None, Scale(-8, 2)), look(0.0, Scale(-8, 2)), look(math.inf, Scale(-8, 2)), look(1e-3, Scale(-8, 2))
    ('none', 'zero', 'alarm', 32)
    """
    if norm is None:
        return NONE
    if norm == 0:
        return ZERO
    return round(scale.place(norm) * LEVELS) if math.isfinite(norm) else ALARM


def strength(how: Look) -> int:
    """What is drawn over what: NaN over all, then the strongest."""
    return how if isinstance(how, int) else LEVELS + 1 if how == ALARM else -1


def paint_wire(route: Route, how: Look, theme: Theme, joint: Point | None = None) -> str:
    """The markup of one wire. ``joint``: where it joins another line from below, and an arrowhead says so."""
    d = path(route)
    if how == FORWARDS:
        return (element("path", d=d, fill="none", stroke=theme.wire, stroke_width=1.4)
                + arrowhead(route.end, direction_at_end(route), 7, fill=theme.wire))
    if how in (PLAIN, NONE):
        return element("path", d=d, fill="none", stroke=theme.wire if how == PLAIN else theme.rim, stroke_width=1.2)
    if how == ZERO:
        return element("path", d=d, fill="none", stroke=theme.nothing, stroke_width=1.4, stroke_dasharray="1.5 3.5",
                       stroke_linecap="round")
    if not isinstance(how, int):
        x, y = within(route)
        return (element("path", d=d, fill="none", stroke=theme.alarm, stroke_width=6.0)
                + element("circle", cx=x, cy=y, r=6.0, fill=theme.alarm)
                + text(x, y + 4, "!", fill=theme.paper, font_weight="bold", font_size="11"))
    width, colour = Scale.width_at(how / LEVELS), theme.magnitude(how / LEVELS)
    casing = "" if how < CASED * LEVELS else element(
        "path", d=d, fill="none", stroke=theme.wire, stroke_width=width + 1.3, stroke_opacity=0.55)
    rim = {"fill": colour, "stroke": theme.wire, "stroke_width": 0.7}
    head = arrowhead(route.start, direction_at_start(route), 6 + 1.25 * width, **rim)
    if joint is not None:
        head += arrowhead(joint, (0.0, -1.0), 6 + 1.25 * width, **rim)
    return casing + element("path", d=d, fill="none", stroke=colour, stroke_width=width) + head


class Stamps:
    """Markup that is written once, under an id, and used often.

    >>> stamps = Stamps()
    >>> body = stamps.use("a", lambda: "<circle/>") + stamps.use("a", lambda: "<circle/>", x=5)
    >>> stamps.finished(body)
    '<defs><g id="pf33b-0"><circle/></g></defs><use href="#pf33b-0"/><use href="#pf33b-0" x="5"/>'
    """

    UNKNOWN = "\0"  # where the picture's own number will stand

    def __init__(self) -> None:
        self.ids: dict[Hashable, str] = {}
        self.written: list[str] = []

    def use(self, key: Hashable, markup: Callable[[], str], note: str = "", x: float = 0.0, y: float = 0.0) -> str:
        """A use of what bears this key; the markup is made at its first use. The note is a ``<title>``, or nothing."""
        if key not in self.ids:
            self.ids[key] = f"{self.UNKNOWN}{len(self.ids)}"
            self.written.append(f'<g id="{self.ids[key]}">{markup()}</g>')
        there = (f' x="{number(x)}"' if x else "") + (f' y="{number(y)}"' if y else "")
        start = f'<use href="#{self.ids[key]}"{there}'
        return f"{start}>{note}</use>" if note else start + "/>"

    def finished(self, body: str) -> str:
        """The body after what it uses. Ids get a number made from all that is drawn, so that two pictures in one page
        do not take each other's stamps, and the same program writes the same file.
        """
        whole = (element("defs", "".join(self.written)) if self.written else "") + body
        return whole.replace(self.UNKNOWN, f"p{crc32(whole.encode()) & 0xffff:x}-")


def direction_at_end(route: Route) -> Point:
    """The way a route points where it ends."""
    points = [route.start, *(p for piece in route.pieces for p in piece)]
    end = points[-1]
    before = next((p for p in reversed(points) if apart(p, end)), (end[0] - 1, end[1]))
    return end[0] - before[0], end[1] - before[1]


def direction_at_start(route: Route) -> Point:
    """The way that the gradient points where it arrives: against the route's start."""
    points = [route.start, *(p for piece in route.pieces for p in piece)]
    after = next((p for p in points if apart(p, points[0])), (points[0][0] + 1, points[0][1]))
    return points[0][0] - after[0], points[0][1] - after[1]


def apart(p: Point, q: Point) -> bool:
    """Are they two points, and not one that was rounded twice? (The way between those would be any.)"""
    return abs(p[0] - q[0]) + abs(p[1] - q[1]) > 0.1


def within(route: Route) -> Point:
    """A point a quarter of the way along: half-way stands, often, the name of a state."""
    points = list(route.points())
    return points[len(points) // 4]
