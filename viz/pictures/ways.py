"""Shares over time: by which ways the gradient came to a state, stacked, and below on a log scale how much it was.

The bands are shares of the *sum of the norms* of the parts. Parts are vectors and may cancel, so the curves below show
that sum beside the norm of the gradient itself, the norm of the sum: the gap between the two is what cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import NamedTuple

import numpy as np

from viz.errors import need
from viz.flow.compare import one_of, percent
from viz.flow.finding import steps as so_many_steps
from viz.flow.ways import CARRY, STRAIGHT, Ways
from viz.numbers import short
from viz.render.drawing import Drawing
from viz.scale import Scale
from viz.scene.chart import (
    SMALL,
    Axis,
    Block,
    axis_line,
    chips,
    column,
    curve,
    decade_lines,
    heading,
    level,
    paragraph,
    stacked_shares,
)
from viz.scene.items import Box, Item, Scene, Text, line
from viz.theme import Theme, mixed, need_theme
from viz.typography import fitting

LEFT, BANDS, CURVES, GAP = 80.0, 150.0, 140.0, 20.0
NAMES, WIDE = 290.0, 760.0  # room for the names of curves on the right; on a narrower page they stand below
SPARE = ("#d55e00", "#f0e442", "#009e73", "#e69f00", "#0072b2", "#999999")
MOST = 8  # bands of their own; what is smaller is drawn as one
DECADES = 14  # at most
TIMES = {"0": "no step", "1": "1 step", "2": "2 steps", "3+": "3 steps or more"}


class Words(NamedTuple):
    """What is said of classes of one kind; ``{}`` is a gate or a candidate, or a number of steps."""

    heading: str
    carry: str  # in the key
    other: str
    carried: str  # in the title
    went: str
    rule: str  # what is not plain from the other words


SAYS = {
    "first": Words("which way the gradient came", "carried over at every step", "through {} first",
                   "was carried over at every step", "went through {} first",
                   "A path through gates at several steps counts for the first that it meets on its way back."),
    "last": Words("its last step back", "carried over", "through {}", "was carried over from the step after",
                  "came from the step after through {}", ""),
    "set": Words("what the gradient went through", "nothing: carried over at every step", "{}",
                 "was carried over at every step", "went through {}",
                 "With several names, a path goes through each of them at one step or more."),
    "number": Words("steps at which it was not carried over", "{}", "{}", "was carried over at every step",
                    "was not carried over at {}", ""),
}
CARRIED = ("Carried over: by products and sums with the state alone, as f ⊙ c, not through what a gate or a candidate "
           "computes from the state. Without a step back yet, it counts as carried over.")


def draw_ways(
    ways: Ways | Mapping[str, Ways], *, lags: int = 1000, name: str | None = None, theme: Theme | str | None = None
) -> Drawing:
    """Draw the shares of the classes of paths over time, and the norms below.

    Args:
        ways: from `viz.ways`; or several by the name of the net, on the same axes.
        lags: how many steps back to draw.
        name: the title; by default what is to be seen.
        theme: a name or a `Theme`; by default that of `set_theme`.

    Raises:
        TypeError: if these are no ways.
        ValueError: if there is nothing to draw.

    >>> from microgradrnn import nn
    >>> from viz.flow.ways import ways
    >>> hs, _ = nn.LSTM(3, 5, rng=0)(np.ones((7, 2, 3)))
    >>> draw_ways(ways(hs.sum())).scene.title
    '6 steps back, 72 % of ∂L/∂c was carried over at every step'
    """
    theme = need_theme(theme)
    if not lags >= 0:
        raise ValueError(f"draw_ways: lags is how many steps back to draw, at least 0; got {lags!r}")
    given = dict(ways) if isinstance(ways, Mapping) else {"": ways}
    for one in given.values():
        need("draw_ways", one, Ways, "what viz.ways(loss) returns, or a dict of them by the name of the net")
    nets = {str(net): cut(one, lags) for net, one in given.items()}
    if not any(one.parts for one in nets.values()):
        raise ValueError("draw_ways: nothing to draw: no gradient reaches any state")
    width = theme.page - 2 * theme.margin
    scales = [Scale.of((x for norms in (one.sum_of_norms, *one.norms.values()) for x in norms),
                       anchor=one_of(one.lags, tuple(one.whole_norms)), widest=DECADES) for one in nets.values()]
    scale = Scale(min(one.low for one in scales), min(max(one.high for one in scales), DECADES), 1.0)
    axis = Axis(range(max(one.lags[-1] for one in nets.values()) + 1), LEFT,
                width - LEFT - (NAMES if theme.page >= WIDE else 14.0), leftwards=True)
    found = [finding(one, net) for net, one in nets.items()]
    more = len(found) - 3
    title = "; ".join(found[:3]) + (f"; and {more} more net{'s' * (more > 1)}" if more > 0 else "")
    panels = [Panel(net, one, axis, scale, width, theme) for net, one in nets.items()]
    said = " ".join(f"{words}. {cancelled(one)}" for words, one in zip(found, nets.values(), strict=True))
    notes = paragraph(notes_on(panels), width, theme)
    block = column([heading(name or title, width, theme, said if name else cancelled(next(iter(nets.values())))
                            if len(nets) == 1 else ""), *(panel.block() for panel in panels), notes], gap=18)
    return Drawing.of(Scene([block.at(theme.margin, theme.margin)], theme.page, block.height + 2 * theme.margin,
                            f"{name}: {title}" if name else title, f"{said} Above, shares of the sum of the norms of "
                            "the parts; below, the norms.", theme))


def cut(ways: Ways, lags: int) -> Ways:
    """The last steps, and small classes taken together."""
    n = sum(lag <= lags for lag in ways.lags)
    parts = {name: part[:n] for name, part in ways.parts.items()}
    if len(parts) > MOST:
        largest = sorted(parts, key=lambda name: -float(np.nanmax(ways.shares(name)[:n], initial=0.0)))
        rest = largest[MOST - 1 :]
        others = sum(parts.pop(name) for name in rest)
        parts[f"{len(rest)} others"] = np.asarray(others)
    return replace(ways, steps=ways.steps[:n], lags=ways.lags[:n], parts=parts, whole=ways.whole[:n],
                   initial=ways.initial and n == len(ways.lags))


# ------------------------------------------------------------------------------------------------ in words
def finding(ways: Ways, net: str = "") -> str:
    """Which class is the largest, as far back as there is a gradient, and how much was carried over at every step."""
    of = f"∂L/∂{fitting(ways.state, 120, 16)}" + (f" in {fitting(net, 300, 16)}" if net else "")
    together = ways.sum_of_norms
    alive = [j for j, size in enumerate(together) if 0 < size < math.inf]
    if not alive:
        return f"no finite gradient but 0 reaches {of}"
    last = alive[-1]
    most = max(ways.parts, key=lambda name: float(ways.norms[name][last]))
    found = f"{so_many_steps(ways.lags[last])} back, {percent(ways.shares(most)[last])} of {of} {done(most, ways)}"
    carry = "0" if ways.by == "number" else CARRY
    if not ways.gated:
        return f"{found}; nothing is carried over" if most not in (carry, STRAIGHT) else found
    if most in (carry, STRAIGHT) or carry not in ways.parts:
        return found
    return f"{found}; {percent(ways.shares(carry)[last])} {SAYS[ways.by].carried}"


def done(name: str, ways: Ways) -> str:
    """What the paths of a class did, as the end of a sentence."""
    if name == STRAIGHT or (name in (CARRY, "0") and not ways.gated):
        return "came straight, from its own step or above"
    says = SAYS[ways.by]
    if name in (CARRY, "0"):
        return says.carried
    went = says.went.format(fitting(called(name, ways), 300, 16))
    return went if ways.gated else went.removesuffix(" first")


def said(name: str, ways: Ways) -> str:
    """A class in the key."""
    if name == STRAIGHT or (name in (CARRY, "0") and not ways.gated):
        return "straight: from its own step, or above"
    says = SAYS[ways.by]
    words = (says.carry if name == CARRY else says.other).format(called(name, ways))
    return words if ways.gated else words.removesuffix(" first")


def called(name: str, ways: Ways) -> str:
    """What a class is about: a gate, a candidate, several of them, or a number of steps."""
    symbol, role = ways.colours.get(name, (None, None))
    return f"{role} {symbol}" if role else TIMES.get(name, name) if ways.by == "number" else name.replace("+", " and ")


def cancelled(ways: Ways) -> str:
    """How large the gradient is at both ends, and how much of its parts cancels."""
    whole, together = ways.whole_norms, ways.sum_of_norms
    alive = [j for j, size in enumerate(together) if 0 < size < math.inf]
    if not alive:
        return ""
    left = median(float(whole[j] / together[j]) for j in alive)
    return (f"Its norm is {short(float(whole[0]))} at lag {ways.lags[0]} and {short(float(whole[alive[-1]]))} at lag "
            f"{ways.lags[alive[-1]]}. Its parts {'add up' if left > 0.995 else 'partly cancel'}: "
            f"{100 * left:.0f} % of the sum of their norms is left (median).")


def notes_on(panels: Sequence[Panel]) -> list[str]:
    """What words, strips and lines mean, below all panels."""
    low = any(0 < size < 10.0**panel.own.low * (panel.own.anchor or 1) for panel in panels
              for norms in panel.ways.norms.values() for size in norms)
    rules = dict.fromkeys(SAYS[panel.ways.by].rule for panel in panels if panel.ways.gated)
    return [
        *([CARRIED] if rules else []), *filter(None, rules),
        "Above: shares of the sum of the norms of all parts. Below: norms over the whole batch, as multiples of the "
        "gradient's own at lag 0 (log scale), in the same colours."
        f"{' Norms that lie below the axis are not drawn.' * low}",
    ]


# ------------------------------------------------------------------------------------------------ one net
@dataclass(frozen=True)
class Panel:
    """Draws one net."""

    net: str
    ways: Ways
    axis: Axis
    scale: Scale
    width: float
    theme: Theme

    @cached_property
    def own(self) -> Scale:
        """The scale, measured by this net's norm at lag 0."""
        return self.scale.anchored(one_of(self.ways.lags, tuple(self.ways.whole_norms)))

    def block(self) -> Block:
        """Bands, curves, axis and names."""
        ways, theme = self.ways, self.theme
        paint = colours(ways, theme)
        side = theme.page >= WIDE
        right = LEFT + self.axis.width
        items: list[Item] = []
        top = 0.0
        if self.net:
            words = f"{fitting(self.net, self.width - 150, 14, bold=True)}: ∂L/∂{fitting(ways.state, 90, 14)}"
            items.append(Text(0, 14, words, 14, bold=True, key=("net", self.net)))
            top += 26
        room, left = (NAMES - 26, right + 16) if side else (self.width, 0.0)
        lines = [chips([(paint[name], said(name, ways))], room, theme) for name in ways.parts]
        key = column(lines, gap=0) if side else chips([(paint[name], said(name, ways)) for name in ways.parts], room,
                                                      theme)
        items += [Text(left, top + 12, f"{SAYS[ways.by].heading}:", 12, bold=True), key.at(left, top + 22)]
        if not side:
            top += 30 + key.height
        items += self.bands(top, paint)
        low = top + max(BANDS, key.height + 22 if side else 0.0) + GAP + (0.0 if side else 36.0)
        items += self.curves(low, paint)
        for j, (words, width, dashes) in enumerate((("the gradient", 2.6, None),
                                                    ("the sum of the norms of its parts", 1.5, "4 3"))):
            x, y = (left, low + 12 + 18 * j) if side else (LEFT, low - 34 + 18 * j)
            items += [line(x, y, x + 22, y, stroke=theme.ink, stroke_width=width, dashes=dashes),
                      Text(x + 28, y + 4, words, SMALL)]
        items += axis_line(self.axis, low + CURVES + 4, "steps back", theme)
        return Block(items, self.width, low + CURVES + 26)

    def values(self, numbers: np.ndarray) -> list[float | None]:
        """Numbers of lags, one for each step of the axis."""
        by_lag = dict(zip(self.ways.lags, map(float, numbers), strict=True))
        return [by_lag.get(lag) for lag in self.axis.steps]

    def bands(self, top: float, paint: Mapping[str, str]) -> list[Item]:
        """One band a class, each column as high as its share; its name where it is thickest."""
        ways, theme, axis = self.ways, self.theme, self.axis
        items: list[Item] = [Box(LEFT, top, axis.width, BANDS, fill=theme.tile)]
        items += [Text(LEFT - 8, top + BANDS * (1 - share) + 4, f"{100 * share:g} %" if share else "0", SMALL, "end",
                       fill=theme.faint) for share in (1.0, 0.5, 0.0)]
        together = self.values(ways.sum_of_norms)
        steps = {name: self.values(ways.shares(name)) for name in ways.parts}
        shares: list[dict[str, float]] = []
        for start in range(0, len(together), axis.per):
            there = [j for j in range(start, min(start + axis.per, len(together)))
                     if 0 < (together[j] or 0.0) < math.inf]
            shares.append({name: float(np.mean([steps[name][j] for j in there])) for name in steps} if there else {})
            strange = [x for x in together[start:start + axis.per] if x is not None]
            if not there and strange:
                x, zero = axis.x(start // axis.per + 0.5), not any(strange)
                items.append(line(x, top, x, top + BANDS, stroke=theme.nothing if zero else theme.alarm,
                                  dashes="1.5 3", key=("gap", self.net, axis.steps[start]),
                                  datum=0.0 if zero else math.nan, note="exactly zero" if zero else "not finite"))
        names = {name: fitting(TIMES.get(name, name), 150, SMALL) for name in ways.parts if ways.gated
                 or name != CARRY}
        return items + stacked_shares(shares, list(ways.parts), axis, top, BANDS, dict(paint), theme, names,
                                      lane=self.net)

    def curves(self, top: float, paint: Mapping[str, str]) -> list[Item]:
        """The norms of all parts, of the sum, and their sum. A part that is exactly zero has no curve."""
        ways, theme, axis, own = self.ways, self.theme, self.axis, self.own
        items: list[Item] = [Box(LEFT, top, axis.width, CURVES, fill=theme.tile)]
        items += decade_lines(own, top, CURVES, LEFT, LEFT + axis.width, theme)
        floor = 10.0**own.low * (own.anchor or 1.0)
        lines: list[tuple[str, np.ndarray, str, float, str | None]] = []
        lines += [(name, ways.norms[name], paint[name], 1.5, None) for name in ways.parts]
        lines += [("sum of norms", ways.sum_of_norms, theme.ink, 1.5, "4 3"),
                  ("gradient", ways.whole_norms, theme.ink, 2.6, None)]
        for name, norms, colour, width, dashes in lines:
            least = -1.0 if name in ways.parts else 0.0
            bins = axis.binned([None if least < (x or 0.0) < floor else x for x in self.values(norms)])
            items += curve(bins, axis, lambda norm: level(own, norm, top, CURVES), top + CURVES - 2, colour, theme,
                           dashes=dashes, width=width, key=("curve", self.net, name), note=name)
        return items


def colours(ways: Ways, theme: Theme) -> dict[str, str]:
    """A colour for each class: that of its role; of several ways, a mixture; none twice."""
    single = {name: theme.colour(*marks) or theme.roles["candidate"] for name, marks in ways.colours.items()}
    if ways.by == "number":
        return {"0": theme.roles["cell"]} | {str(k): theme.magnitude(k / 4) for k in (1, 2)} | {
            "3+": theme.magnitude(0.9)}
    found: dict[str, str] = {CARRY: theme.roles["cell"], STRAIGHT: theme.nothing}
    for way in dict.fromkeys(way for name in ways.parts for way in name.split("+")):
        if way not in found:
            wished = single.get(way, theme.roles["candidate"])
            taken = set(found.values())
            found[way] = wished if wished not in taken else next((c for c in SPARE if c not in taken), theme.wire)
    for name in ways.parts:
        if name.endswith(" others"):
            found[name] = theme.rim
        elif name not in found:
            first, *rest = name.split("+")
            colour = found[first]
            for j, way in enumerate(rest):
                colour = mixed(colour, found[way], 1 / (j + 2))
            found[name] = colour
    return {name: found[name] for name in ways.parts}
