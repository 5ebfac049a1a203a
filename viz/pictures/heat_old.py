"""Heat maps over time: one row a quantity, one column a step, or a bin of steps where a step is less than a pixel.

A bin must not hide what happens inside it, so it is cut in two: the upper half shows the largest of its steps, the
lower half the smallest. One NaN or infinity makes the whole column an alarm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from viz.render.markup import element, number, text
from viz.theme import LEVELS, Theme

NONE, ZERO, ALARM = "none", "zero", "alarm"
Look = str | int  # one of these, or a level of colour, 0..LEVELS


@dataclass(frozen=True)
class Column:
    """What is shown of one step or of a bin of steps: the smallest and the largest; None where there is nothing."""

    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Column:
        """The column of some values.

        >>> Column.of([3.0, None, 1.0])
        Column(low=1.0, high=3.0)
        """
        there = [x for x in values if x is not None]
        if not there:
            return cls(None, None)
        strange = next((x for x in there if not math.isfinite(x)), None)
        return cls(min(there), max(there)) if strange is None else cls(strange, strange)


@dataclass(frozen=True)
class Axis:
    """Time from left to right: steps in columns.

    Attributes:
        steps: the time steps, in order.
        left, width: where, in pixels.

    >>> axis = Axis(range(10_000), 0.0, 900.0)
    >>> axis.per, axis.columns
    (12, 834)
    """

    steps: Sequence[int]
    left: float
    width: float

    @property
    def per(self) -> int:
        """How many steps a column is: as few as make it no narrower than a pixel."""
        return max(1, math.ceil(len(self.steps) / self.width))

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return math.ceil(len(self.steps) / self.per)

    @property
    def unit(self) -> float:
        """How wide a column is."""
        return self.width / self.columns

    def column(self, step: int) -> int:
        """The column that a step is in."""
        return self.steps.index(step) // self.per

    def x(self, column: float) -> float:
        """The left edge of a column."""
        return self.left + column * self.unit

    def binned(self, values: Sequence[float | None]) -> list[Column]:
        """The columns of values, one for each step."""
        return [Column.of(values[j:j + self.per]) for j in range(0, len(values), self.per)]


def heat_row(columns: Sequence[Column], axis: Axis, y: float, height: float, place: Callable[[float], float],
             theme: Theme) -> str:
    """One row of a heat map. ``place`` says where on the colour scale a value is, 0..1."""
    looks = [(look(column.high, place), look(column.low, place)) for column in columns]
    if axis.per == 1:
        halves = [(y, height, [high for high, _ in looks])]
    else:
        halves = [(y, height / 2, [high for high, _ in looks]), (y + height / 2, height / 2, [low for _, low in looks])]
    shapes: dict[Look, list[str]] = {}
    for top, tall, row in halves:
        start = 0
        for how, run in groupby(row):
            n = len(list(run))
            a, b = number(axis.x(start)), number(axis.x(start + n))  # ends, not widths: no gaps from rounding
            if how == ZERO:
                shapes.setdefault(how, []).append(f"M{a},{number(top + tall / 2)}H{b}")
            elif how != NONE:
                shapes.setdefault(how, []).append(f"M{a},{number(top)}H{b}v{number(tall)}H{a}z")
            start += n
    return "".join(shape(how, "".join(parts), theme) for how, parts in shapes.items())


def look(value: float | None, place: Callable[[float], float]) -> Look:
    """How a value looks: a level of colour, or one of the three that are no colour.

    >>> look(0.5, lambda x: x), look(0.0, lambda x: x), look(math.nan, lambda x: x), look(None, lambda x: x)
    (32, 'zero', 'alarm', 'none')
    """
    if value is None:
        return NONE
    if value == 0:
        return ZERO
    return round(place(value) * LEVELS) if math.isfinite(value) else ALARM


def shape(how: Look, d: str, theme: Theme) -> str:
    """All of a row that looks the same, as one path."""
    if how == ZERO:
        return element("path", d=d, stroke=theme.nothing, stroke_width=1.6, stroke_dasharray="1.5 3.5", fill="none")
    colour = theme.alarm if isinstance(how, str) else theme.magnitude(how / LEVELS)
    return element("path", d=d, fill=colour, shape_rendering="crispEdges")


def curve(columns: Sequence[Column], axis: Axis, height: Callable[[float], float], floor: float, colour: str,
          dashes: str | None, theme: Theme) -> str:
    """A line through the columns, or a band from the smallest to the largest where a column is several steps.

    ``height`` gives the y of a value; ``floor`` is where zero is marked. NaN and infinity are marked all over.
    """
    parts: list[str] = []
    good = [column.high is not None and column.high > 0 and math.isfinite(column.high) for column in columns]
    start = 0
    for there, run in groupby(good):
        n = len(list(run))
        if there:
            parts.append(_piece(columns, range(start, start + n), axis, height, floor, colour, dashes))
        start += n
    for j, column in enumerate(columns):
        how = look(column.high, lambda x: 0.0)
        if how == ZERO:
            parts.append(shape(ZERO, f"M{number(axis.x(j))},{number(floor)}h{number(axis.unit)}", theme))
        elif how == ALARM:
            parts.append(text(axis.x(j + 0.5), floor - 6, "!", fill=theme.alarm, font_weight="bold", font_size="18"))
    return "".join(parts)


def _piece(columns: Sequence[Column], run: Sequence[int], axis: Axis, height: Callable[[float], float], floor: float,
           colour: str, dashes: str | None) -> str:
    """A stretch without gaps."""
    over = [(axis.x(j + 0.5), height(high)) for j in run if (high := columns[j].high) is not None]
    if len(over) == 1:
        x, y = over[0]
        return element("circle", cx=x, cy=y, r=2.4, fill=colour)
    line = "M" + "L".join(f"{number(x)},{number(y)}" for x, y in over)
    drawn = element("path", d=line, fill="none", stroke=colour, stroke_width=1.8, stroke_dasharray=dashes,
                    stroke_linejoin="round")
    if axis.per == 1:
        return drawn
    under = [(axis.x(j + 0.5), height(low) if low else floor) for j in reversed(run)
             if (low := columns[j].low) is not None]
    band = line + "L" + "L".join(f"{number(x)},{number(y)}" for x, y in under) + "z"
    return element("path", d=band, fill=colour, fill_opacity=0.25) + drawn


def time_ticks(axis: Axis, y: float, theme: Theme, numbers: Sequence[int | None] | None = None) -> str:
    """The time axis: round numbers, each under the middle of its step.

    ``numbers`` is what each step of the axis is called, None where there is nothing; by default its own number.
    """
    T = len(axis.steps)
    room = max(2.0, axis.width / 64)
    apart = next(s for e in range(12) for s in (10**e, 2 * 10**e, 5 * 10**e) if T / s <= room)
    parts = [element("line", x1=axis.left, y1=y, x2=axis.left + axis.width, y2=y, stroke=theme.wire)]
    for j, step in enumerate(axis.steps if numbers is None else numbers):
        if step is None or (step % apart and T > 1):
            continue
        x = axis.x((j + 0.5) / axis.per)
        parts.append(element("line", x1=x, y1=y, x2=x, y2=y + 5, stroke=theme.wire))
        parts.append(text(x, y + 18, step, font_size="11"))
    parts.append(text(axis.left - 10, y + 18, "t", font_size="12", font_style="italic", anchor="end"))
    return "".join(parts)
