"""How a wire looks: as structure, with an arrow forwards, or with the gradient that flowed back along it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from viz.layout.geometry import Point, Route
from viz.scale import Scale
from viz.scene.items import Area, Item, Key, Text, Wire, circle
from viz.theme import LEVELS, Theme, contrast

FORWARDS = "forwards"  # no gradient is shown
PLAIN = "plain"  # one is, but this line stands for no single edge
NONE = "none"  # no gradient flows here
ZERO = "zero"
ALARM = "alarm"  # NaN or infinite
Look = str | int  # one of these, or a level of strength, 0..LEVELS
CASED = 2.0  # a line whose contrast with the paper is less than this gets a casing


def look(norm: float | None, scale: Scale) -> Look:
    """How a message of this norm looks.

    >>> look(None, Scale(-8, 2)), look(0.0, Scale(-8, 2)), look(math.inf, Scale(-8, 2)), look(1e-3, Scale(-8, 2))
    ('none', 'zero', 'alarm', 30)
    """
    if norm is None:
        return NONE
    if norm == 0:
        return ZERO
    return round(scale.place(norm) * LEVELS) if math.isfinite(norm) else ALARM


def off_the_scale(norms: Iterable[float | None]) -> set[Look]:
    """The looks that have no place on a scale, of those that these norms have.

    >>> sorted(off_the_scale([0.0, 1.0])), sorted(off_the_scale([1.0, None]))
    (['zero'], ['none'])
    """
    return {NONE if g is None else ZERO if g == 0 else ALARM for g in norms
            if g is None or g == 0 or not math.isfinite(g)}


def strength(how: Look) -> int:
    """What is drawn over what: NaN over all, then the strongest."""
    return how if isinstance(how, int) else LEVELS + 1 if how == ALARM else -1


def strand(route: Route, how: Look, scale: Scale, theme: Theme, joint: Point | None = None, *, key: Key = None,
           datum: float | None = None, note: str = "") -> list[Item]:  # fmt: skip
    """The items of one wire. ``joint``: where it joins another line from below, and an arrowhead says so.

    The first line carries the key, the datum and the note.
    """
    said: dict[str, Any] = {"key": key, "datum": datum, "note": note}
    if how == FORWARDS:
        return [Wire([route], stroke=theme.wire, stroke_width=1.4, **said),
                arrowhead(route.end, direction_at_end(route), 7, fill=theme.wire)]
    if how in (PLAIN, NONE):
        return [Wire([route], stroke=theme.wire if how == PLAIN else theme.rim, stroke_width=1.2, **said)]
    if how == ZERO:
        return [Wire([route], stroke=theme.nothing, stroke_width=1.4, dashes="1.5 3.5", round=True, **said)]
    if not isinstance(how, int):
        x, y = within(route)
        return [Wire([route], stroke=theme.alarm, stroke_width=6.0, **said), circle(x, y, 6.0, fill=theme.alarm),
                Text(x, y + 4, "!", 11, "middle", bold=True, fill=theme.paper)]
    width, colour = Scale.width_at(how / LEVELS), scale.shade(how / LEVELS, theme)
    line = Wire([route], stroke=colour, stroke_width=width, **said)
    casing = [Wire([route], stroke=theme.wire, stroke_width=width + 1.3, opacity=0.55)
              ] if contrast(colour, theme.tile) < CASED else []
    rim: dict[str, Any] = {"fill": colour, "stroke": theme.wire, "stroke_width": 0.7}
    heads = [arrowhead(route.start, direction_at_start(route), 6 + 1.25 * width, **rim)]
    if joint is not None:
        heads.append(arrowhead(joint, (0.0, -1.0), 6 + 1.25 * width, **rim))
    return [*casing, line, *heads]


def arrowhead(tip: Point, towards: Point, size: float, **ink: object) -> Area:
    """A triangle at the tip, pointing the way that ``towards`` (a vector) says."""
    length = math.hypot(*towards) or 1.0
    ux, uy = towards[0] / length, towards[1] / length
    (x, y), half = tip, size * 0.5
    left = x - ux * size - uy * half, y - uy * size + ux * half
    right = x - ux * size + uy * half, y - uy * size - ux * half
    return Area([[tip, left, right]], **ink)  # type: ignore[arg-type]


def direction_at_end(route: Route) -> Point:
    """The way a route points where it ends."""
    points = [route.start, *(p for piece in route.pieces for p in piece)]
    end = points[-1]
    before = next((p for p in reversed(points) if distinct(p, end)), (end[0] - 1, end[1]))
    return end[0] - before[0], end[1] - before[1]


def direction_at_start(route: Route) -> Point:
    """The way that the gradient points where it arrives: against the route's start."""
    points = [route.start, *(p for piece in route.pieces for p in piece)]
    after = next((p for p in points if distinct(p, points[0])), (points[0][0] + 1, points[0][1]))
    return points[0][0] - after[0], points[0][1] - after[1]


def distinct(p: Point, q: Point) -> bool:
    """Are they two points, and not one that was rounded twice? (The direction between those would be arbitrary.)"""
    return abs(p[0] - q[0]) + abs(p[1] - q[1]) > 0.1


def within(route: Route) -> Point:
    """A point a quarter of the way along a route; half-way there is often the name of a state."""
    points = list(route.points())
    return points[len(points) // 4]
