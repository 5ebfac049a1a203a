"""What charts share: headings and notes, the ramp of a scale with its ticks, the axes of time and of lags, bins of
steps where a step is narrower than a pixel, rows of a heat map, curves and stacked shares.

Everything here returns items or a `Block`: items with a size, from (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from viz.layout.geometry import Point, Route
from viz.numbers import power
from viz.scale import Scale
from viz.scene.items import Area, Box, Group, Item, Key, Text, Wire, circle, line, rectangle
from viz.scene.wires import ALARM, NONE, PLAIN, ZERO, Look, look, strand
from viz.theme import LEVELS, Theme, contrast
from viz.typography import fitting, text_width, widest, wrapped

SMALL = 11.0  # no text is smaller than this
READABLE = 960.0  # lines of it are no wider
WORDS: dict[Look, str] = {ZERO: "exactly zero", ALARM: "NaN or infinite", NONE: "no gradient flows here",
                          PLAIN: "several edges: no norm of its own"}


class Block(NamedTuple):
    """Items with their origin in the upper left corner, and how much room they take."""

    items: list[Item]
    width: float
    height: float

    def at(self, x: float, y: float) -> Group:
        """The block, put somewhere."""
        return Group(self.items, x, y)


def column(blocks: Iterable[Block], gap: float = 14.0) -> Block:
    """Blocks below each other.

    >>> column([Block([], 10, 20), Block([], 30, 5)], gap=1)[1:]
    (30, 26.0)
    """
    items: list[Item] = []
    width = y = 0.0
    for block in blocks:
        if block.items:
            items.append(block.at(0, y))
        width, y = max(width, block.width), y + block.height + gap
    return Block(items, width, max(y - gap, 0.0))


# ------------------------------------------------------------------------------------------------ words
def heading(finding: str, width: float, theme: Theme, subtitle: str = "") -> Block:
    """The title of a picture: what it found, and below it, smaller, what is shown."""
    items: list[Item] = []
    y = 0.0
    for words in wrapped(finding, width, 16, bold=True):
        items.append(Text(0, y + 15, words, 16, bold=True, key=("title",)))
        y += 21
    for words in wrapped(subtitle, width, 12):
        items.append(Text(0, y + 12, words, 12, fill=theme.faint, key=("subtitle",)))
        y += 16
    return Block(items, max(widest(wrapped(finding, width, 16, bold=True), 16, bold=True),
                            widest(wrapped(subtitle, width, 12), 12)), y)


def paragraph(texts: Iterable[str], width: float, theme: Theme, size: float = SMALL) -> Block:
    """Notes, each beginning on a line of its own, wrapped."""
    lines = [words for text in texts for words in wrapped(text, width, size)]
    items: list[Item] = [Text(0, size + 16 * j, words, size, fill=theme.faint) for j, words in enumerate(lines)]
    return Block(items, widest(lines, size), 16.0 * len(lines))


# ------------------------------------------------------------------------------------------------ the legend
def legend(scale: Scale, heading: str, looks: Collection[Look], notes: Sequence[str], width: float, theme: Theme, *,
           wires: bool = True) -> Block:  # fmt: skip
    """The ramp of a scale with its ticks, the looks that have no place on it, and what is measured.

    Args:
        scale: norms to widths and colours.
        heading: what is measured, in a few words.
        looks: those that the picture has.
        notes: more words, below.
        width: where lines are broken.
        wires: is it a scale of wires, which are wider for more, or of areas?
    """
    items: list[Item] = []
    y = 0.0
    for words in wrapped(heading, width, 12, bold=True):
        items.append(Text(0, y + 12, words, 12, bold=True))
        y += 17
    y += 6
    bar, end = ramp(scale, 22.0, y, min(44.0, (width - 50) / max(len(scale.decades) - 1, 1)), theme, wires)
    items += bar
    x, low, far = end + 36, y + 36, end + 22
    for how, words in WORDS.items():
        if how not in looks:
            continue
        wide = 46 + text_width(words, SMALL)
        if x + wide > width and x > 22:
            x, low = 22.0, low + 20
        middle = y + 8 if low == y + 36 else low - 8
        items += sample(how, x, middle, scale, theme, wires)
        items.append(Text(x + 46, middle + 4, words, SMALL))
        x, far = x + wide + 14, max(far, x + wide)
    block = paragraph(notes, width, theme)
    items.append(block.at(0, low + 4))
    wide = widest(wrapped(heading, width, 12, bold=True), 12, bold=True)
    return Block(items, max(far, block.width, wide), low + 4 + block.height)


def ramp(scale: Scale, x: float, y: float, unit: float, theme: Theme, wires: bool) -> tuple[list[Item], float]:
    """The colours (and widths) of a scale, evenly spaced in decades, with ticks; and where it ends."""
    items: list[Item] = []
    spans = scale.high - scale.low
    for j in range(8 * spans):
        place = scale.place_of(scale.low + (j + 0.5) / 8)
        tall = Scale.width_at(place) if wires else 12.0
        items.append(Box(x + j * unit / 8, y + 8 - tall / 2, unit / 8 + 0.3, tall, fill=scale.shade(place, theme),
                         crisp=not wires))
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100) if n * unit >= 40)  # room for ≤ 10⁻¹⁰
    for j, decade in enumerate(scale.decades):
        at = x + j * unit
        items.append(line(at, y + 15, at, y + 19, stroke=theme.wire))
        if decade % every == 0:
            less = "≤ " if j == 0 else ""
            items.append(Text(at, y + 32, less + power(decade), SMALL, "middle", bold=scale.anchor is not None
                              and decade == 0))
    return items, x + unit * spans


def chips(colours: Iterable[tuple[str, str]], width: float, theme: Theme) -> Block:
    """What colours stand for: a small square and a name each, in as many lines as they need.

    Args:
        colours: pairs of a colour and what it stands for.
        width: where lines are broken.
        theme: of the rim of each square.
    """
    items: list[Item] = []
    x = y = right = 0.0
    for colour, words in colours:
        words = fitting(words, width - 18, SMALL)
        wide = 18 + text_width(words, SMALL)
        if x + wide > width and x > 0:
            x, y = 0.0, y + 18
        items += [Box(x, y + 2, 12, 12, 2, fill=colour, stroke=theme.wire, stroke_width=0.6),
                  Text(x + 18, y + 12, words, SMALL)]
        right, x = max(right, x + wide), x + wide + 14
    return Block(items, right, y + 18 if items else 0.0)


def sample(how: Look, x: float, y: float, scale: Scale, theme: Theme, wires: bool) -> list[Item]:
    """A look that has no place on the scale, 40 pixels wide."""
    if wires or how == ZERO:
        return strand(Route((x, y)).line(x + 40, y), how, scale, theme)
    if how == ALARM:
        return [Box(x, y - 6, 40, 12, fill=theme.alarm)]
    return [Box(x, y - 6, 40, 12, fill=theme.tile, stroke=theme.rim)]


# ------------------------------------------------------------------------------------------------ bins of steps
@dataclass(frozen=True)
class Bin:
    """What is shown of one step or of several: the smallest and the largest; None where there is nothing."""

    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Bin:
        """The bin of some values. One that is not finite is all that is shown.

        >>> Bin.of([3.0, None, 1.0])
        Bin(low=1.0, high=3.0)
        """
        there = [x for x in values if x is not None]
        if not there:
            return cls(None, None)
        strange = next((x for x in there if not math.isfinite(x)), None)
        return cls(min(there), max(there)) if strange is None else cls(strange, strange)


@dataclass(frozen=True)
class Axis:
    """Steps in columns, from left to right; or lags, from right to left.

    Attributes:
        steps: the time steps (or lags), in order.
        left, width: where, in pixels.
        leftwards: does the first step stand on the right?

    >>> axis = Axis(range(10_000), 0.0, 900.0)
    >>> axis.per, axis.columns
    (12, 834)
    """

    steps: Sequence[int]
    left: float
    width: float
    leftwards: bool = False

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
        """Where a column begins: its left edge, or its right one on an axis that runs leftwards."""
        return self.left + (self.width - column * self.unit if self.leftwards else column * self.unit)

    def edges(self, column: int, n: int = 1) -> tuple[float, float]:
        """The left and the right edge of columns."""
        a, b = self.x(column), self.x(column + n)
        return (b, a) if self.leftwards else (a, b)

    def binned(self, values: Sequence[float | None]) -> list[Bin]:
        """The bins of values, one for each step."""
        return [Bin.of(values[j:j + self.per]) for j in range(0, len(values), self.per)]

    def ticks(self) -> int:
        """How far apart numbers stand on the axis: 1, 2 or 5 times a power of ten."""
        T, room = len(self.steps), max(2.0, self.width / 64)
        return next(s for e in range(12) for s in (10**e, 2 * 10**e, 5 * 10**e) if T / s <= room)


def axis_line(axis: Axis, y: float, name: str, theme: Theme, numbers: Sequence[int | None] | None = None) -> list[Item]:
    """An axis with round numbers, each under the middle of its step.

    Args:
        axis: of time or of lags.
        y: where the line is.
        name: of the axis; on its left.
        numbers: what each step is called, None where nothing is written; by default its own number.
    """
    items: list[Item] = [line(axis.left, y, axis.left + axis.width, y, stroke=theme.wire)]
    apart, T, free = axis.ticks(), len(axis.steps), axis.left - 10  # free: up to where the name has room
    for j, step in enumerate(axis.steps if numbers is None else numbers):
        if step is None or (step % apart and T > 1):
            continue
        x = axis.x((j + 0.5) / axis.per)
        items.append(line(x, y, x, y + 5, stroke=theme.wire))
        items.append(Text(x, y + 18, str(step), SMALL, "middle"))
        free = min(free, x - text_width(str(step), SMALL) / 2 - 8)
    items.append(Text(free, y + 18, name, 12, "end", italic=len(name) == 1))
    return items


def decade_lines(scale: Scale, top: float, height: float, left: float, right: float, theme: Theme) -> list[Item]:
    """Horizontal lines at decades of a log axis, with their numbers on the left; 1 is bold on an anchored scale."""
    items: list[Item] = []
    spans = scale.high - scale.low
    every = max(1, math.ceil(spans * 15 / height))
    for decade in scale.decades:
        if decade % every:
            continue
        y = top + height * (scale.high - decade) / spans
        one = scale.anchor is not None and decade == 0
        items.append(line(left, y, right, y, stroke=theme.wire if one else theme.rim, stroke_width=1.0 if one else 0.8))
        items.append(Text(left - 6, y + 4, power(decade), SMALL, "end", bold=one, fill=theme.faint))
    return items


def level(scale: Scale, norm: float, top: float, height: float) -> float:
    """The y of a norm on a log axis that is even in decades."""
    decade = min(max(scale.decade(norm), scale.low), scale.high)
    return top + height * (scale.high - decade) / (scale.high - scale.low)


# ------------------------------------------------------------------------------------------------ heat maps, curves
def heat_row(bins: Sequence[Bin], axis: Axis, y: float, height: float, place: Callable[[float], float],
             shade: Callable[[float], str], theme: Theme, *, key: Key = None, note: str = "") -> list[Item]:
    """One row of a heat map. Where a column is several steps, the upper half shows the largest, the lower the smallest.

    Args:
        bins: what is shown, a column each.
        axis: where columns are.
        y, height: of the row.
        place: where on the scale a value is, 0..1.
        shade: the colour at a place.
        key, note: of every item.
    """
    looks = [(level_of(one.high, place), level_of(one.low, place)) for one in bins]
    halves = [(y, height, [high for high, _ in looks])]
    if axis.per > 1:
        halves = [(y, height / 2, [high for high, _ in looks]), (y + height / 2, height / 2, [low for _, low in looks])]
    areas: dict[Look, list[list[Point]]] = {}
    dots: list[Route] = []
    for top, tall, row in halves:
        start = 0
        for how, run in groupby(row):
            n = len(list(run))
            a, b = axis.edges(start, n)  # ends, not widths: no gaps from rounding
            if how == ZERO:
                dots.append(Route((a, top + tall / 2)).line(b, top + tall / 2))
            elif how != NONE:
                areas.setdefault(how, []).append(rectangle(a, top, b, top + tall))
            start += n
    items: list[Item] = [Area(outlines, fill=theme.alarm if isinstance(how, str) else shade(how / LEVELS), crisp=True,
                              key=key, note=note) for how, outlines in areas.items()]
    return items + ([Wire(dots, stroke=theme.nothing, stroke_width=1.6, dashes="1.5 3.5", key=key, note=note)]
                    if dots else [])


def level_of(value: float | None, place: Callable[[float], float]) -> Look:
    """How a value looks: a level of colour, or one of the three that are no colour.

    >>> level_of(0.5, lambda x: x), level_of(0.0, lambda x: x), level_of(math.nan, lambda x: x)
    (30, 'zero', 'alarm')
    """
    if value is None:
        return NONE
    if value == 0:
        return ZERO
    return round(place(value) * LEVELS) if math.isfinite(value) else ALARM


def curve(bins: Sequence[Bin], axis: Axis, height: Callable[[float], float], floor: float, colour: str, theme: Theme,
          *, dashes: str | None = None, width: float = 1.8, key: Key = None, note: str = "") -> list[Item]:  # fmt: skip
    """A line through the columns; a band from the smallest to the largest where a column is several steps.

    Args:
        bins, axis: what is shown, and where.
        height: gives the y of a value.
        floor: where zeros are marked. NaN and infinity are marked with an exclamation mark.
        colour, dashes, width: of the line.
    """
    items: list[Item] = []
    start = 0
    for there, run in groupby(one.high is not None and one.high > 0 and math.isfinite(one.high) for one in bins):
        n = len(list(run))
        if there:
            items += stretch(bins, range(start, start + n), axis, height, floor, colour, dashes, width, key, note)
        start += n
    for j, one in enumerate(bins):
        how = look(one.high, Scale())
        if how == ZERO:
            a, b = axis.edges(j)
            items.append(line(a, floor, b, floor, stroke=theme.nothing, stroke_width=1.6, dashes="1.5 3.5"))
        elif how == ALARM:
            items.append(Text(axis.x(j + 0.5), floor - 6, "!", 18, "middle", bold=True, fill=theme.alarm))
    return items


def stretch(bins: Sequence[Bin], run: Sequence[int], axis: Axis, height: Callable[[float], float], floor: float,
            colour: str, dashes: str | None, width: float, key: Key, note: str) -> list[Item]:  # fmt: skip
    """A piece of a curve without gaps."""
    over = [(axis.x(j + 0.5), height(high)) for j in run if (high := bins[j].high) is not None]
    if len(over) == 1:
        return [circle(*over[0], 2.4, fill=colour, key=key, note=note)]
    drawn = Wire([polyline(over)], stroke=colour, stroke_width=width, dashes=dashes, key=key, note=note)
    if axis.per == 1:
        return [drawn]
    under = [(axis.x(j + 0.5), height(low) if low else floor) for j in reversed(run)
             if (low := bins[j].low) is not None]
    return [Area([[*over, *under]], fill=colour, opacity=0.25), drawn]


def apart(places: Sequence[float], low: float, high: float, gap: float = 15.0) -> list[float]:
    """Places for labels, as near as may be to those that are wished for (in order), none nearer to the next than a gap.

    >>> apart([10, 12, 50], 0, 100)
    [3.5, 18.5, 50.0]
    >>> apart([98, 99], 0, 100)
    [85.0, 100.0]
    """
    groups: list[list[float]] = []  # of each group of labels that touch: the wished place of its first, and how many
    for place in places:
        groups.append([place, 1])
        while len(groups) > 1 and groups[-2][0] + gap * groups[-2][1] > groups[-1][0]:
            first, n = groups[-2]
            later, m = groups.pop()
            groups[-1] = [(first * n + (later - gap * n) * m) / (n + m), n + m]
    found = [first + gap * j for first, n in groups for j in range(int(n))]
    for j in reversed(range(len(found))):
        found[j] = min(found[j], high - gap * (len(found) - 1 - j))
    for j in range(len(found)):
        found[j] = max(found[j], low + gap * j)
    return found


def polyline(points: Sequence[Point]) -> Route:
    """A route along points."""
    return Route(points[0], [(p,) for p in points[1:]])


# ------------------------------------------------------------------------------------------------ shares
def stacked_shares(shares: Sequence[dict[str, float]], order: Sequence[str], axis: Axis, top: float, height: float,
                   colours: dict[str, str], theme: Theme, names: dict[str, str], *, lane: str = "") -> list[Item]:
    """Shares of 1, one above another, in columns; an empty dict is a gap. Each name stands where its band is thickest.

    Args:
        shares: of each column, by what they are shares of.
        order: from the top down.
        axis: where columns are.
        top, height: of the chart.
        colours: of each band.
        names: what is written into each band, if there is room.
        lane: for the keys, ``("share", lane, name)``.
    """
    items: list[Item] = []
    for k, name in enumerate(order):
        outlines = []
        for run in stretches(shares):
            upper = [(x, top + height * sum(shares[j].get(o, 0.0) for o in order[:k])) for j in run
                     for x in axis.edges(j)[:: -1 if axis.leftwards else 1]]
            lower = [(x, top + height * sum(shares[j].get(o, 0.0) for o in order[:k + 1])) for j in run
                     for x in axis.edges(j)[:: -1 if axis.leftwards else 1]]
            outlines.append([*upper, *reversed(lower)])
        if outlines and any(said.get(name, 0.0) > 0 for said in shares):
            items.append(Area(outlines, fill=colours[name], stroke=theme.paper, stroke_width=0.7,
                              key=("share", lane, name), note=names.get(name, name)))
    for k, name in enumerate(order):
        if label := names.get(name):
            items += band_label(label, shares, order, k, axis, top, height, colours[name])
    return items


def band_label(label: str, shares: Sequence[dict[str, float]], order: Sequence[str], k: int, axis: Axis, top: float,
               height: float, colour: str) -> Iterator[Item]:  # fmt: skip
    """The name of a band, written into it where it is thickest, if there is room."""
    n = max(1, math.ceil((text_width(label, SMALL) + 6) / axis.unit))
    best: tuple[float, float, float] | None = None
    for run in stretches(shares):
        for j in run[: len(run) - n + 1]:
            part = shares[j:j + n]
            upper = max(sum(said.get(o, 0.0) for o in order[:k]) for said in part) * height
            lower = min(sum(said.get(o, 0.0) for o in order[:k + 1]) for said in part) * height
            if best is None or lower - upper > best[0]:
                best = lower - upper, top + (upper + lower) / 2, axis.x(j + n / 2)
    if best is not None and best[0] >= 13:
        yield Text(best[2], best[1] + 4, label, SMALL, "middle", fill=ink_on(colour))


def stretches(shares: Sequence[dict[str, float]]) -> list[list[int]]:
    """The columns that have shares, in runs.

    >>> stretches([{}, {"a": 1.0}, {"a": 1.0}, {}, {"a": 1.0}])
    [[1, 2], [4]]
    """
    found: list[list[int]] = []
    for there, run in groupby(range(len(shares)), key=lambda j: bool(shares[j])):
        if there:
            found.append(list(run))
    return found


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read on the colour; not the white of paper, which dark pages show dark.

    >>> ink_on("#fee838"), ink_on("#00224e")
    ('#111111', '#fefefe')
    """
    return max(("#111111", "#fefefe"), key=lambda ink: contrast(ink, colour))
