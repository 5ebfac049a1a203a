"""The drawing of a comparison. Time runs to the right, the gradient to the left, one lane for each net.

A lane has three strips: how large the gradient is (height and colour, both logarithmic), by which ways it came from the
step after (thickness is share), and by what factor each step changed it, up or down from a line at 1. All lanes have
the same axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from viz.errors import need
from viz.flow.compare import Comparison, Track, geometric, mean_factor
from viz.flow.ways import CARRY, STRAIGHT
from viz.numbers import short
from viz.pictures.legend_old import power_of_ten
from viz.pictures.text import ink_on
from viz.render.drawing import Drawing
from viz.render.markup import document, element, heading, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, Theme, need_theme
from viz.typography import shorten, text_width

WIDTH, LEFT, RIGHT = 900.0, 70.0, 758.0
HEAD, SIZE, WAYS, FACTOR, GAP = 22.0, 60.0, 34.0, 36.0, 18.0  # heights, from the top of a lane downwards
SHRINKS, GROWS = "#4878a8", "#e08a2e"  # a ratio below and above 1
SMALL = {"anchor": "start", "font_size": "11"}
NOTES = (
    "Height and colour: Euclidean norm, over the whole batch, on a log scale that is the same for all. "
    "▼ last above {0:g} % of its value at lag 0.",
    "Came by: the ways from the step after, as shares of the sum of their norms. The carry goes through products and "
    "sums alone: f ⊙ ∂c in an LSTM.",
    "Bars: the factor of each step, up or down from 1. Line: that of the carry alone.",
)


@dataclass(frozen=True)
class Column:
    """One column of a lane: one lag, or a few of them where there are more lags than pixels.

    Attributes:
        first, last: the lags it stands for.
        low, high: the smallest and the largest norm; NaN where one is not finite.
        shares: of the ways, on average.
        factor, kept: geometric means of the factors of these steps.
    """

    first: int
    last: int
    low: float
    high: float
    shares: dict[str, float]
    factor: float
    kept: float


def columns(track: Track, size: int) -> list[Column]:
    """The columns of a track, `size` lags to each."""
    factors, kept = [math.nan, *track.factors()], [math.nan, *track.kept()]
    found = []
    for start in range(0, len(track.lags), size):
        js = range(start, min(start + size, len(track.lags)))
        norms = [track.norms[j] for j in js]
        whole = all(map(math.isfinite, norms))
        shares = [said for j in js if (said := track.shares(j))]
        mean = {way: sum(said[way] for said in shares) / len(shares) for way in track.parts} if shares else {}
        found.append(Column(track.lags[js[0]], track.lags[js[-1]], min(norms) if whole else math.nan,
                            max(norms) if whole else math.nan, mean, geometric([factors[j] for j in js]),
                            geometric([kept[j] for j in js])))
    return found


def draw_comparison(
    comparison: Comparison, *, name: str = "how far back the gradient reaches", scale: Scale | None = None,
    theme: Theme = DEFAULT,
) -> Drawing:  # fmt: skip
    """Draw the gradient of several nets back through time, a lane for each, all on the same axes.

    Args:
        comparison: of `compare_flow`.
        name: the title.
        scale: of the norms; by default the decades of all of them.
        theme: sizes and colours.

    Raises:
        TypeError: if given something else.
    """
    need_theme(theme)
    need("draw_comparison", comparison, Comparison, "what viz.compare_flow(nets) returns")
    of = comparison
    scale = scale or Scale.of((g for track in of.tracks for g in track.norms), widest=12)
    furthest = max(lag for track in of.tracks for lag in track.lags)
    unit = (RIGHT - LEFT) / (furthest + 1)
    size = max(1, math.ceil(2 / unit))
    factors = [x for track in of.tracks for x in (*track.factors(), *track.kept())]
    limit = reach(factors)
    beyond = any(x > limit or x < 1 / limit for x in factors)
    parts = [heading(16, 30, name, 17)[0]]
    y = 52.0
    for line in wrapped(of.verdict, WIDTH, 13):
        parts.append(text(16, y, line, anchor="start"))
        y += 19
    y += 6
    for track in of.tracks:
        parts.extend(Lane(track, columns(track, size), y, unit, limit, of.fraction, scale, theme).paint())
        y += HEAD + SIZE + WAYS + FACTOR + 8 + GAP
    parts.append(axis(furthest, y - GAP + 4, unit, theme))
    markup, bottom = legend(of, y + 26, limit if beyond else None, scale, theme)
    return document("".join([*parts, markup]), WIDTH, bottom, theme, name)


def reach(factors: Sequence[float]) -> float:
    """How far the axis of factors goes up and down: 2, 4 or 8, so that nearly all have room.

    >>> reach([0.9, 1.1]), reach([0.3] * 9 + [1e-9])
    (2.0, 4.0)
    """
    logs = sorted(abs(math.log2(x)) for x in factors if x > 0 and math.isfinite(x))
    most = logs[int(0.9 * (len(logs) - 1))] if logs else 1.0
    return 2.0 if most <= 1 else 4.0 if most <= 2 else 8.0


def wrapped(words: str, width: float, size: float) -> Iterator[str]:
    """The words in lines that fit: `text_width` is on the safe side, by a tenth in running text."""
    line = ""
    for word in words.split():
        if line and text_width(f"{line} {word}", size) > 1.08 * (width - 32):
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line


class Lane:
    """Draws one track, from y downwards."""

    def __init__(self, track: Track, found: list[Column], y: float, unit: float, limit: float, fraction: float,
                 scale: Scale, theme: Theme) -> None:
        self.track, self.columns, self.y, self.unit, self.limit = track, found, y, unit, limit
        self.theme, self.scale, self.fraction = theme, scale, fraction
        self.size_at = y + HEAD
        self.ways_at = self.size_at + SIZE + 4
        self.factor_at = self.ways_at + WAYS + 4

    def left(self, column: Column) -> float:
        """The left edge of a column."""
        return RIGHT - (column.last + 1) * self.unit

    def width(self, column: Column) -> float:
        """The width of a column."""
        return (column.last - column.first + 1) * self.unit

    def paint(self) -> Iterator[str]:
        """Everything in this lane."""
        net, state = shorten(self.track.net, 48), shorten(self.track.state, 12)
        yield text(LEFT, self.y + 15, net, anchor="start", font_size="14", font_weight="bold")
        yield text(LEFT + text_width(net, 15) + 10, self.y + 15, f"‖∂L/∂{state}‖", fill=self.theme.faint,
                   anchor="start", font_size="12")
        yield from self.sizes()
        yield from self.horizon()
        yield from self.ways()
        yield from self.factors()

    def ground(self, y: float, height: float) -> str:
        """What a strip stands on."""
        return element("rect", x=LEFT, y=y, width=RIGHT - LEFT, height=height, fill=self.theme.tile)

    def aside(self, y: float, words: str) -> str:
        """A figure on the right."""
        return text(RIGHT + 12, y, words, **SMALL)

    def tick(self, y: float, words: str) -> str:
        """A label on the left."""
        return text(LEFT - 6, y, words, anchor="end", font_size="10.5", fill=self.theme.faint)

    # -------------------------------------------------------------------------------------------- how large
    def sizes(self) -> Iterator[str]:
        """The norm: height and colour."""
        top, theme = self.size_at, self.theme
        yield self.ground(top, SIZE)
        every = max(1, math.ceil((self.scale.high - self.scale.low) / 3))
        for decade in range(self.scale.high, self.scale.low - 1, -every):
            y = top + SIZE * (1 - self.scale.place(10.0**decade))
            yield element("line", x1=LEFT, y1=y, x2=RIGHT, y2=y, stroke=theme.rim, stroke_width=0.8)
            yield power_of_ten(LEFT - 6, y + 4, decade, anchor="end", font_size="10.5", fill=theme.faint)
        yield crisp(part for column in self.columns for part in self.bar(column))
        start, far = self.track.at(0), max(self.track.lags)
        yield self.aside(top + 14, f"{short(start) if start is not None else '–'} at lag 0")
        if far and (left := self.track.left(far)) is not None:
            yield self.aside(top + 44, f"× {short(left)} at lag {far}")

    def bar(self, column: Column) -> Iterator[str]:
        """One column of it."""
        top, x, width = self.size_at, self.left(column), self.width(column)
        lag = f"lag {column.first}" if column.first == column.last else f"lags {column.first} to {column.last}"
        if math.isnan(column.high):
            note = title(f"{self.track.net}, {lag}: not finite")
            yield element("rect", note, x=x, y=top, width=width + 0.2, height=SIZE, fill=self.theme.alarm)
            return
        size = short(column.high) if column.low == column.high else f"{short(column.low)} to {short(column.high)}"
        note = title(f"{self.track.net}, {lag}: {size}")
        if column.high == 0:
            yield element("line", note, x1=x, y1=top + SIZE - 2, x2=x + width, y2=top + SIZE - 2,
                          stroke=self.theme.nothing, stroke_width=1.6, stroke_dasharray="1.5 3")
            return
        for g, faint in ((column.high, 0.45), (column.low, None)):
            if not (faint and g == column.low):
                height = max(SIZE * self.scale.place(g), 1.0)
                yield element("rect", note, x=x, y=top + SIZE - height, width=width + 0.2, height=height,
                              fill=self.theme.magnitude(self.scale.place(g)), opacity=faint)

    def horizon(self) -> Iterator[str]:
        """Where the norm is last above the fraction of its start."""
        lag, theme, top = self.track.horizon(self.fraction), self.theme, self.size_at
        if lag is None:
            return
        yield self.aside(top + 29, f"> {100 * self.fraction:g} % to lag {lag}")
        if lag == max(self.track.lags):  # as far back as is drawn: there is no end to mark
            return
        x = RIGHT - (lag + 0.5) * self.unit
        for colour, width in ((theme.paper, 3.0), (theme.ink, 1.4)):
            yield element("path", d=f"M{x:.1f},{top:.1f}v{SIZE:.0f}", stroke=colour, stroke_width=width)
        yield element("path", d=f"M{x - 5:.1f},{top - 8:.1f}h10l-5,8z", fill=theme.ink)

    # -------------------------------------------------------------------------------------------- by which ways
    def ways(self) -> Iterator[str]:
        """Shares, stacked: the carry on top."""
        yield self.ground(self.ways_at, WAYS)
        yield self.tick(self.ways_at + WAYS / 2 + 4, "came by")
        yield crisp(map(self.stack, self.columns))
        yield from self.borders()
        yield from self.letters()
        yield from self.key()

    def stack(self, column: Column) -> str:
        """The shares at one column."""
        parts, y = [], self.ways_at
        for way in self.order():
            height = column.shares.get(way, 0.0) * WAYS
            if height > 0.05:
                parts.append(element("rect", x=self.left(column), y=y, width=self.width(column) + 0.2, height=height,
                                     fill=self.colour(way)))
            y += height
        note = ", ".join(f"{said_of(way)} {share:.0%}" for way, share in column.shares.items())
        return element("g", title(f"lag {column.first}: {note}") + "".join(parts)) if parts else ""

    def order(self) -> list[str]:
        """The ways, the carry first."""
        return sorted(self.track.parts, key=lambda way: (way != CARRY, way == STRAIGHT))

    def colour(self, way: str) -> str:
        """What a way is drawn in."""
        roles = self.theme.roles
        known = {CARRY: roles["cell"], STRAIGHT: self.theme.rim, "tanh": roles["candidate"]}
        return known.get(way) or self.theme.colour(*self.track.colours.get(way, (None, None))) or self.theme.nothing

    def borders(self) -> Iterator[str]:
        """A line of paper under each way, to tell them apart in grey."""
        order = self.order()
        for k in range(1, len(order)):
            d, pen_down = "", False
            for column in self.columns:
                if not column.shares:
                    pen_down = False
                    continue
                x, y = self.left(column), self.ways_at + WAYS * sum(column.shares[way] for way in order[:k])
                d += f"{'L' if pen_down else 'M'}{x + self.width(column):.1f},{y:.1f}H{x:.1f}"
                pen_down = True
            if d:
                yield element("path", d=d, fill="none", stroke=self.theme.paper, stroke_width=0.7)

    def letters(self) -> Iterator[str]:
        """The name of a way, written into it where it is thickest, if there is room."""
        order = self.order()
        for k, way in enumerate(order):
            n = max(1, math.ceil(text_width(way, 10) / self.width(self.columns[0])))
            runs = [self.columns[j : j + n] for j in range(len(self.columns) - n + 1)]
            room = [self.slot(run, order, k) for run in runs if all(column.shares for column in run)]
            if way == STRAIGHT or not room:
                continue
            low, high, x = max(room, key=lambda slot: slot[1] - slot[0])
            if high - low >= 9:
                yield text(x, self.ways_at + (low + high) / 2 + 3.5, way, font_size="10", fill=ink_on(self.colour(way)))

    def slot(self, run: list[Column], order: list[str], k: int) -> tuple[float, float, float]:
        """Of the k-th way over a few columns: the band that it fills in all of them, and the middle."""
        tops = [WAYS * sum(column.shares[way] for way in order[:k]) for column in run]
        ends = [top + WAYS * column.shares[order[k]] for top, column in zip(tops, run, strict=True)]
        return max(tops), min(ends), (self.left(run[-1]) + self.left(run[0]) + self.width(run[0])) / 2

    def key(self) -> Iterator[str]:
        """The colours of the ways, and the median share of the carry."""
        x, y = RIGHT + 12, self.ways_at + 9
        for way in self.order():
            if way == STRAIGHT and not any(self.track.parts[way][1:]):
                continue  # at lag 0 alone, where everything comes straight from the loss
            said = said_of(way)
            if way == CARRY and (found := [s[CARRY] for j in range(1, len(self.track.lags))
                                           if (s := self.track.shares(j))]):
                said = f"carry {median(found):.0%}"
            said = shorten(said, 14)
            wide = 12 + text_width(said, 11)
            if x + wide > WIDTH - 2 and x > RIGHT + 12:
                x, y = RIGHT + 12, y + 15
            yield element("rect", x=x, y=y - 4, width=9.0, height=9.0, rx=1.5, fill=self.colour(way))
            yield text(x + 13, y + 4, said, **SMALL)
            x += wide + 4

    # -------------------------------------------------------------------------------------------- by what factor
    def factors(self) -> Iterator[str]:
        """By what each step multiplied the norm, up or down from 1; and the carry alone, as a line."""
        top, theme, middle = self.factor_at, self.theme, self.factor_at + FACTOR / 2
        yield self.ground(top, FACTOR)
        line, bars = "", []
        for column in self.columns:
            x, width = self.left(column), self.width(column)
            if math.isfinite(column.factor):
                y = self.level(column.factor)
                note = title(f"lag {column.first}: × {column.factor:.3g}")
                bars.append(element("rect", note, x=x, y=min(y, middle), width=width + 0.2,
                                    height=max(abs(y - middle), 0.4), fill=SHRINKS if column.factor < 1 else GROWS))
            if self.track.gated and column.kept >= 0:
                line += f"{'L' if line else 'M'}{x + width:.1f},{self.level(column.kept):.1f}H{x:.1f}"
        yield crisp(bars)
        if line:
            for colour, wide in ((theme.paper, 3.4), (theme.ink, 1.5)):
                yield element("path", d=line, fill="none", stroke=colour, stroke_width=wide, stroke_linejoin="round")
        yield element("line", x1=LEFT, y1=middle, x2=RIGHT, y2=middle, stroke=theme.ink, stroke_width=0.9)
        for said, y in ((f"× {self.limit:g}", top + 8), ("× 1", middle + 4), (f"÷ {self.limit:g}", top + FACTOR)):
            yield self.tick(y, said)
        mean = geometric(self.track.factors())
        if math.isfinite(mean):
            yield self.aside(top + 14, f"× {mean_factor(mean)} a step")
            if line:
                yield self.aside(top + 28, f"carry alone × {mean_factor(geometric(self.track.kept()))}")

    def level(self, factor: float) -> float:
        """The y of a factor; what goes beyond the axis stops there."""
        if factor <= 0:
            return self.factor_at + FACTOR
        place = math.log2(factor) / math.log2(self.limit)
        return self.factor_at + FACTOR / 2 * (1 - min(max(place, -1.0), 1.0))


def crisp(shapes: Iterable[str]) -> str:
    """Shapes with edges on whole pixels: no hairlines where they meet."""
    return element("g", "".join(shapes), shape_rendering="crispEdges")


def said_of(way: str) -> str:
    """The name of a way for a reader of the picture."""
    return "the loss" if way == STRAIGHT else way


def axis(furthest: int, y: float, unit: float, theme: Theme) -> str:
    """The lags, from the loss on the right backwards."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if furthest / s <= 12)
    parts = []
    for lag in range(0, furthest + 1, step):
        x = RIGHT - (lag + 0.5) * unit
        parts.append(element("line", x1=x, y1=y - 8, x2=x, y2=y - 3, stroke=theme.wire))
        parts.append(text(x, y + 9, lag, font_size="11"))
    parts.append(text(RIGHT + 12, y + 9, "steps back", anchor="start", font_size="11", fill=theme.faint))
    return "".join(parts)


def legend(of: Comparison, y: float, limit: float | None, scale: Scale, theme: Theme) -> tuple[str, float]:
    """The colours of norms, and what is what; where bars are cut, if some are. Returns the lower edge too."""
    decades = scale.high - scale.low
    unit, n = (RIGHT - LEFT) / decades, 8 * decades
    parts = [crisp(element("rect", x=LEFT + j * unit / 8, y=y, width=unit / 8 + 0.3, height=9.0,
                           fill=theme.magnitude((j + 0.5) / n)) for j in range(n))]
    for j, decade in enumerate(scale.decades):
        parts.append(power_of_ten(LEFT + j * unit, y + 23, decade, "≤ " * (j == 0), font_size="11"))
    parts.append(text(RIGHT + 12, y + 9, "norm", anchor="start", font_size="11", fill=theme.faint))
    y += 46
    every = [g for track in of.tracks for g in track.norms]
    odd = {f"Bars and line stop at × {limit:g} and ÷ {limit:g}." if limit else "": limit is not None,
           "Dots: exactly zero.": 0.0 in every, "Orange: not finite.": not all(map(math.isfinite, every))}
    for note in [*NOTES, *(words for words, there in odd.items() if there)]:
        for line in wrapped(note.format(100 * of.fraction), WIDTH, 11):
            parts.append(text(16, y, line, anchor="start", font_size="11", fill=theme.faint))
            y += 15
    return "".join(parts), y + 4
