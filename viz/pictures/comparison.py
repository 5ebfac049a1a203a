"""The drawing of a comparison. Time runs to the right, the gradient to the left, one lane for each net.

A lane has three strips: how large the gradient is, as a multiple of the net's own at lag 0 (height and colour, both
logarithmic); by which ways it came from the step after (thickness is share); and by what factor each step changed it,
up or down from a line at 1. All lanes have the same axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

from viz.errors import need
from viz.flow.compare import Comparison, Track, geometric, mean_factor
from viz.flow.ways import CARRY, STRAIGHT
from viz.numbers import power, short
from viz.render.drawing import Drawing
from viz.scale import Scale, need_scale
from viz.scene.chart import (
    SMALL,
    Axis,
    Block,
    axis_line,
    chips,
    column,
    decade_lines,
    heading,
    legend,
    level,
    paragraph,
    polyline,
    stacked_shares,
)
from viz.scene.items import Area, Box, Item, Scene, Text, Wire, line
from viz.scene.wires import off_the_scale
from viz.theme import Theme, need_theme
from viz.typography import fitting, text_width, wrapped

LEFT, ASIDE = 80.0, 176.0  # room for numbers on the left, for figures on the right
SIZE, WAYS, FACTOR, GAP = 78.0, 44.0, 48.0, 14.0  # heights of the strips, and between them
OVER = 0.3  # columns overlap a little: no hairlines where they meet
MOST = 12  # decades up and down from lag 0
WIDE = 700.0  # on a narrower page, figures stand below the name of the net


def draw_comparison(
    comparison: Comparison, *, scale: Scale | None = None, name: str | None = None, theme: Theme | str | None = None
) -> Drawing:
    """Draw the gradient of several nets back through time, a lane for each, all on the same axes.

    Args:
        comparison: of `compare_flow`.
        scale: the decades, up and down from each net's norm at lag 0; by default those of all norms.
        name: the title; by default what the comparison found.
        theme: a name or a `Theme`; by default that of `set_theme`.

    Raises:
        TypeError: if given something else.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> from viz.flow.compare import compare_flow
    >>> found = compare_flow({"rnn": nn.RNN(3, 4, rng=0)(np.ones((9, 1, 3)))[1].sum()})
    >>> draw_comparison(found).scene.title
    '8 steps back, 1.3·10⁻⁵ of the gradient is left in rnn'
    """
    theme = need_theme(theme)
    need_scale("draw_comparison", scale)
    need("draw_comparison", comparison, Comparison, "what viz.compare_flow(nets) returns")
    of = comparison
    width = theme.page - 2 * theme.margin
    scale = (scale or common_scale(of.tracks)).anchored(1.0)
    plot = width - LEFT - (ASIDE if theme.page >= WIDE else 14.0)
    axis = Axis(range(max(lag for track in of.tracks for lag in track.lags) + 1), LEFT, plot, leftwards=True)
    factors = [x for track in of.tracks for x in (*track.factors(), *track.kept())]
    limit = reach(factors)
    rest = of.verdict.removeprefix(of.finding).removeprefix(".").strip()
    lanes = [Lane(of, track, axis, scale, limit, width, theme).block() for track in of.tracks]
    numbers = Block(axis_line(axis, 0, "steps back", theme), width, 22)
    block = column([heading(name or of.finding, width, theme, of.verdict if name else rest), *lanes, numbers,
                    key(of, scale, limit, factors, width, theme)], gap=18)
    said = (f"{of.verdict} A lane for each net: the norm of the gradient at a state, as a multiple of that at lag 0; "
            "by which ways it came from the step after; by what factor each step back changed it.")
    return Drawing.of(Scene([block.at(theme.margin, theme.margin)], theme.page, block.height + 2 * theme.margin,
                            f"{name}: {of.finding}" if name else of.finding, said, theme))


def common_scale(tracks: Sequence[Track]) -> Scale:
    """The decades that hold the norms of all nets, each measured by its own at lag 0."""
    scales = [Scale.of(track.norms, anchor=track.one, widest=MOST) for track in tracks]
    return Scale(min(one.low for one in scales), min(max(one.high for one in scales), MOST), 1.0)


def reach(factors: Sequence[float]) -> float:
    """How far the axis of factors goes up and down: 2, 4 or 8, so that nearly all have room.

    >>> reach([0.9, 1.1]), reach([0.3] * 9 + [1e-9])
    (2.0, 4.0)
    """
    logs = sorted(abs(math.log2(x)) for x in factors if x > 0 and math.isfinite(x))
    most = logs[int(0.9 * (len(logs) - 1))] if logs else 1.0
    return 2.0 if most <= 1 else 4.0 if most <= 2 else 8.0


class Column(NamedTuple):
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


def columns(track: Track, size: int) -> dict[int, Column]:
    """The columns of a track, `size` lags to each, by their place."""
    factors, kept = [math.nan, *track.factors()], [math.nan, *track.kept()]
    places: dict[int, list[int]] = {}
    for j, lag in enumerate(track.lags):
        places.setdefault(lag // size, []).append(j)
    found = {}
    for place, js in places.items():
        norms = [track.norms[j] for j in js]
        whole = all(map(math.isfinite, norms))
        shares = [said for j in js if (said := track.shares(j))]
        mean = {way: sum(said[way] for said in shares) / len(shares) for way in track.parts} if shares else {}
        found[place] = Column(track.lags[js[0]], track.lags[js[-1]], min(norms) if whole else math.nan,
                              max(norms) if whole else math.nan, mean, geometric([factors[j] for j in js]),
                              geometric([kept[j] for j in js]))
    return found


@dataclass(frozen=True)
class Lane:
    """Draws one track."""

    of: Comparison
    track: Track
    axis: Axis
    scale: Scale
    limit: float
    width: float
    theme: Theme

    def block(self) -> Block:
        """Everything in this lane."""
        net = fitting(self.track.net, self.width - 120, 14, bold=True)
        state = fitting(f"‖∂L/∂{self.track.state}‖", 110, 12)
        items: list[Item] = [Text(0, 14, net, 14, bold=True, key=("net", self.track.net)),
                             Text(text_width(net, 14, bold=True) + 10, 14, state, 12, fill=self.theme.faint)]
        top = 30.0
        asides = [self.sizes_said(), self.ways_said(), self.factors_said()]
        if self.theme.page < WIDE:
            below = paragraph([", ".join(words) for words in asides if words], self.width, self.theme)
            items.append(below.at(0, 20))
            top += below.height
            asides = [[], [], []]
        for paint, words, height in zip((self.sizes, self.ways, self.factors), asides, (SIZE, WAYS, FACTOR),
                                        strict=True):
            items.append(Box(LEFT, top, self.axis.width, height, fill=self.theme.tile))
            items += paint(top)
            lines = [one for said in words for one in wrapped(said, ASIDE - 14, SMALL)]
            items += [Text(LEFT + self.axis.width + 12, top + 12 + 15 * j, one, SMALL) for j, one in enumerate(lines)]
            top += height + GAP
        return Block(items, self.width, top - GAP)

    @cached_property
    def columns(self) -> dict[int, Column]:
        """What stands in each column of the axis."""
        return columns(self.track, self.axis.per)

    def tick(self, y: float, words: str) -> Text:
        """A label on the left."""
        return Text(LEFT - 6, y, words, SMALL, "end", fill=self.theme.faint)

    # -------------------------------------------------------------------------------------------- how large
    def sizes_said(self) -> list[str]:
        """The numbers beside the first strip."""
        start, far, last = self.track.at(0), max(self.track.lags), self.track.horizon(self.of.fraction)
        said = [f"norm {short(start)} at lag 0"] if start is not None else []
        if far and (left := self.track.left(far)) is not None:
            said.append(f"× {short(left)} at lag {far}")
        return [*said, *([f"above {100 * self.of.fraction:g} % to lag {last}"] if last is not None else [])]

    def sizes(self, top: float) -> Iterator[Item]:
        """The norm: height and colour."""
        theme, own = self.theme, self.scale.anchored(self.track.one)
        yield from decade_lines(self.scale, top, SIZE, LEFT, LEFT + self.axis.width, theme)
        for place, here in self.columns.items():
            x, right = self.axis.edges(place)
            lags = f"lag {here.first}" if here.first == here.last else f"lags {here.first} to {here.last}"
            of = ("size", self.track.net, here.first)
            if math.isnan(here.high):
                yield Box(x, top, right - x + OVER, SIZE, fill=theme.alarm, crisp=True, key=of, datum=here.high,
                          note=f"{self.track.net}, {lags}: not finite")
                continue
            size = short(here.high) if here.low == here.high else f"{short(here.low)} to {short(here.high)}"
            note = f"{self.track.net}, {lags}: {size}"
            if here.high == 0:
                yield line(x, top + SIZE - 2, right, top + SIZE - 2, stroke=theme.nothing, stroke_width=1.6,
                           dashes="1.5 3", key=of, datum=0.0, note=note)
                continue
            for g, faint in ((here.high, 0.45), (here.low, None)):
                if faint is None or g != here.low:
                    y = min(level(own, g, top, SIZE), top + SIZE - 1)
                    yield Box(x, y, right - x + OVER, top + SIZE - y, fill=own.colour(g, theme), opacity=faint,
                              crisp=True, key=of, datum=g, note=note)
        one = level(self.scale, 1.0, top, SIZE)
        yield line(LEFT, one, LEFT + self.axis.width, one, stroke=theme.ink, stroke_width=0.9)
        yield from self.horizon(top)

    def horizon(self, top: float) -> Iterator[Item]:
        """Where the norm is last above the fraction of its start; nothing if that is as far back as is drawn."""
        lag = self.track.horizon(self.of.fraction)
        if lag is None or lag == max(self.track.lags):
            return
        x = self.axis.x((lag + 0.5) / self.axis.per)
        yield line(x, top, x, top + SIZE, stroke=self.theme.paper, stroke_width=3.4)
        yield line(x, top, x, top + SIZE, stroke=self.theme.ink, stroke_width=1.4, key=("horizon", self.track.net),
                   datum=float(lag))
        yield Area([[(x - 5, top - 8), (x + 5, top - 8), (x, top)]], fill=self.theme.ink)

    # -------------------------------------------------------------------------------------------- by which ways
    def ways_said(self) -> list[str]:
        """The number beside the second strip."""
        track = self.track
        found = [said[CARRY] for j in range(1, len(track.lags)) if CARRY in (said := track.shares(j))]
        return [f"the carry brings {median(found):.0%} (median)".replace("%", " %")] if found else []

    def ways(self, top: float) -> Iterator[Item]:
        """Shares, stacked: the carry on top."""
        yield self.tick(top + WAYS / 2 + 4, "came by")
        order = sorted(self.track.parts, key=lambda way: (way != CARRY, way == STRAIGHT))
        found = self.columns
        shares = [found[j].shares if j in found else {} for j in range(self.axis.columns)]
        yield from stacked_shares(shares, order, self.axis, top, WAYS, {way: colour(way, self.track.colours, self.theme)
                                  for way in order}, self.theme, {way: said_of(way) for way in order},
                                  lane=self.track.net)

    # -------------------------------------------------------------------------------------------- by what factor
    def factors_said(self) -> list[str]:
        """The numbers beside the third strip."""
        mean, kept = geometric(self.track.factors()), geometric(self.track.kept())
        if not math.isfinite(mean):
            return []
        alone = self.track.gated and not math.isnan(kept)
        said = [f"× {mean_factor(mean)} per step"]
        return [*said, f"line: the carry alone, × {mean_factor(kept)}"] if alone else said

    def factors(self, top: float) -> Iterator[Item]:
        """By what each step multiplied the norm, up or down from 1; and the carry alone, as a line."""
        theme, middle = self.theme, top + FACTOR / 2
        run: list[tuple[float, float]] = []
        runs = [run]
        for place, one in sorted(self.columns.items()):
            x, right = self.axis.edges(place)
            if math.isfinite(one.factor):
                y = self.up(one.factor, top)
                fill = theme.change(1 / 6 if one.factor < 1 else 5 / 6)
                yield Box(x, min(y, middle), right - x + OVER, max(abs(y - middle), 0.4), fill=fill, crisp=True,
                          key=("factor", self.track.net, one.first), datum=one.factor,
                          note=f"lag {one.first}: × {short(one.factor)}")
            if self.track.gated and one.kept >= 0:
                run += [(right, self.up(one.kept, top)), (x, self.up(one.kept, top))]
            elif run:
                runs.append(run := [])
        kept = [polyline(points) for points in runs if points]
        if kept:
            yield Wire(kept, stroke=theme.paper, stroke_width=3.4)
            yield Wire(kept, stroke=theme.ink, stroke_width=1.5, key=("kept", self.track.net), note="the carry alone")
        yield line(LEFT, middle, LEFT + self.axis.width, middle, stroke=theme.ink, stroke_width=0.9)
        yield self.tick(top + 8, f"× {self.limit:g}")
        yield self.tick(middle + 4, "per step × 1")
        yield self.tick(top + FACTOR, f"÷ {self.limit:g}")

    def up(self, factor: float, top: float) -> float:
        """The y of a factor; what goes beyond the axis stops there."""
        place = math.log2(factor) / math.log2(self.limit) if factor > 0 else -1.0
        return top + FACTOR / 2 * (1 - min(max(place, -1.0), 1.0))


def colour(way: str, colours: Mapping[str, tuple[str | None, str | None]], theme: Theme) -> str:
    """What a way is drawn in; ``colours`` has the symbol and the role of those that marks name."""
    known = {CARRY: theme.roles["cell"], STRAIGHT: theme.tile, "tanh": theme.roles["candidate"]}
    return known.get(way) or theme.colour(*colours.get(way, (None, None))) or theme.nothing


def said_of(way: str) -> str:
    """The name of a way for a reader of the picture."""
    return "the loss" if way == STRAIGHT else way


def key(of: Comparison, scale: Scale, limit: float, factors: Sequence[float], width: float, theme: Theme) -> Block:
    """What colours and strips mean."""
    names: dict[str, list[str]] = {}
    for track in of.tracks:
        for way in sorted(track.parts, key=lambda way: (way != CARRY, way == STRAIGHT)):
            called = names.setdefault(colour(way, track.colours, theme), [])
            if said_of(way) not in called:
                called.append(said_of(way))
    every = [g for track in of.tracks for g in track.norms]
    beyond = any(g > 0 and math.isfinite(g) and not scale.low <= scale.anchored(track.one).decade(g) <= scale.high
                 for track in of.tracks for g in track.norms)
    cut = any(x > limit or x < 1 / limit for x in factors)
    notes = [
        "First strip: each net is measured by its own gradient at lag 0, which counts as 1. Norms are Euclidean, over "
        f"the whole batch. ▼ last above {100 * of.fraction:g} % of lag 0.",
        *([f"Bars that reach {power(scale.low)} or {power(scale.high)} may go on beyond it."] if beyond else []),
        "Second strip: the ways from the step after, as shares of the sum of their norms. The carry goes through "
        "products and sums alone: f ⊙ ∂c in an LSTM.",
        "Third strip: by what each step back multiplied the norm, up or down from 1."
        + (f" Bars and line stop at × {limit:g} and ÷ {limit:g}." if cut else ""),
    ]
    ramp = legend(scale, "the gradient at each step back, as a multiple of the net's own at lag 0 (log scale)",
                  off_the_scale(every), (), width, theme, wires=False)
    ways = chips([(fill, ", ".join(called)) for fill, called in names.items()], width - 62, theme)
    came = Block([Text(0, 12, "came by", SMALL, fill=theme.faint), ways.at(62, 0)], width, ways.height)
    return column([ramp, came, paragraph(notes, width, theme)], gap=8)
