"""Shares over time: by which ways the gradient came to a state, stacked, and below on a log scale how much it was.

The bands are shares of the *sum of the norms* of the parts. Parts are vectors and may cancel, so the curves below show
that sum beside the norm of the gradient itself, the norm of the sum: the gap between the two is what cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from viz.errors import need
from viz.flow.ways import CARRY, STRAIGHT, Ways
from viz.numbers import short
from viz.pictures.legend_old import power_of_ten
from viz.render.drawing import Drawing
from viz.render.markup import document, element, heading, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, Theme, mixed, need_theme
from viz.typography import text_width

LEFT, TOP, BANDS, CURVES, WIDE = 84.0, 58.0, 150.0, 130.0, 760.0
LEGEND = 350.0
SPARE = ("#d55e00", "#f0e442", "#009e73", "#e69f00", "#0072b2", "#999999")
NEVER = "carried, or straight from the loss"  # a path that made no step back yet has not left the carry
MOST = 8  # bands of their own; what is smaller is drawn as one
HEADINGS = {
    "first": "how it first left the carry", "last": "how it came from the step after", "set": "all ways it used",
    "number": "how often it left the carry",
}


def draw_ways(
    ways: Ways | Mapping[str, Ways], *, lags: int = 1000, name: str = "by which ways the gradient came",
    theme: Theme = DEFAULT,
) -> Drawing:  # fmt: skip
    """Draw the shares of the classes of paths over time, and the norms below.

    Args:
        ways: from `viz.ways`; or several by the name of the net, under one scale.
        lags: how many steps back to draw.
        name: the title.
        theme: sizes and colours.

    Raises:
        TypeError: if these are no ways.
        ValueError: if there is nothing to draw.

    >>> from microgradrnn import nn
    >>> from viz.flow.ways import ways
    >>> hs, _ = nn.LSTM(3, 5, rng=0)(np.ones((7, 2, 3)))
    >>> draw_ways(ways(hs.sum())).svg.startswith("<svg")
    True
    """
    need_theme(theme)
    panels = dict(ways) if isinstance(ways, Mapping) else {"": ways}
    for panel in panels.values():
        need("draw_ways", panel, Ways, "what viz.ways(loss) returns, or a dict of them by the name of the net")
    panels = {net: cut(panel, lags) for net, panel in panels.items()}
    if not any(panel.parts for panel in panels.values()):
        raise ValueError("draw_ways: nothing to draw: no gradient reaches any state")
    every = (x for panel in panels.values() for norms in (panel.sum_of_norms, *panel.norms.values()) for x in norms)
    scale = Scale.of(every, widest=14)
    furthest = max(panel.lags[-1] for panel in panels.values())
    unit = WIDE / (furthest + 1)
    body = [heading(16, 28, name)[0]]
    y = TOP
    for net, panel in panels.items():
        bands, h = drawn_panel(net, panel, y, unit, scale, theme)
        body.append(bands)
        y += h
    return document("".join(body), LEFT + WIDE + LEGEND, y, theme, name)


def cut(ways: Ways, lags: int) -> Ways:
    """The last steps, and small classes taken together."""
    n = sum(lag <= lags for lag in ways.lags)
    parts = {name: part[:n] for name, part in ways.parts.items()}
    if len(parts) > MOST:
        largest = sorted(parts, key=lambda name: -float(np.nanmax(ways.shares(name)[:n], initial=0.0)))
        rest = largest[MOST - 1 :]
        others = sum(parts.pop(name) for name in rest)
        parts[f"{len(rest)} others"] = np.asarray(others)
    return Ways(ways.state, ways.by, ways.steps[:n], ways.lags[:n], parts, ways.whole[:n], colours=ways.colours,
                initial=ways.initial and n == len(ways.lags))


def drawn_panel(
    net: str, ways: Ways, y: float, unit: float, scale: Scale, theme: Theme
) -> tuple[str, float]:
    """Bands, curves, axis and legend of one net; and their height."""
    paint = colours(ways, theme)
    right = LEFT + WIDE
    parts = []
    if net:
        parts.append(text(16, y + 4, f"{net}: ∂L/∂{ways.state}", anchor="start", font_weight="bold"))
        y += 16
    parts.append(element("rect", x=LEFT, y=y, width=WIDE, height=BANDS, fill=theme.tile))
    for share, height in (("100 %", 0.0), ("50 %", BANDS / 2), ("0", BANDS)):
        parts.append(text(LEFT - 8, y + height + 4, share, anchor="end", font_size="11", fill=theme.faint))
    parts.append(bands(ways, y, unit, right, paint, theme))
    low = y + BANDS + 18
    parts.append(element("rect", x=LEFT, y=low, width=WIDE, height=CURVES, fill=theme.tile))
    every = max(1, math.ceil(len(scale.decades) / 7))
    for decade in scale.decades:
        if (decade - scale.high) % every == 0:
            height = low + CURVES * (1 - scale.place(10.0**decade))
            parts.append(element("path", d=f"M{LEFT},{height:.1f}H{right}", stroke=theme.rim, stroke_width=0.8))
            parts.append(power_of_ten(LEFT - 8, height + 4, decade, anchor="end", font_size="11", fill=theme.faint))
    for name in ways.parts:
        parts.append(curve(ways, ways.norms[name], low, unit, right, scale, stroke=paint[name], stroke_width=1.3))
    parts.append(curve(ways, ways.sum_of_norms, low, unit, right, scale, stroke=theme.ink, stroke_width=1.4,
                       stroke_dasharray="4 3"))
    parts.append(curve(ways, ways.whole_norms, low, unit, right, scale, stroke=theme.ink, stroke_width=2.4))
    for j in np.flatnonzero(~np.isfinite(ways.sum_of_norms)):
        parts.append(text(right - (ways.lags[j] + 0.5) * unit, low + 14, "!", fill=theme.alarm, font_weight="bold"))
    parts.append(axis(ways, low + CURVES, unit, right, theme))
    parts.append(legend(ways, y, low, right + 16, scale, paint, theme))
    return "".join(parts), low + CURVES + 66 - y + (16 if net else 0)


def bands(ways: Ways, y: float, unit: float, right: float, paint: Mapping[str, str], theme: Theme) -> str:
    """One band a class, each column as high as its share; its name where it is thickest."""
    together = ways.sum_of_norms
    drawn = np.isfinite(together) & (together > 0)
    lower, parts, names = np.zeros(len(together)), [], []
    for name in ways.parts:
        upper = lower + np.where(drawn, ways.shares(name), 0.0)
        parts.append(element("path", title(said(name, ways)), d=outline(lower, upper, ways.lags, y, unit, right),
                             fill=paint[name], stroke=theme.paper, stroke_width=0.8,  # bands part in grey too
                             shape_rendering="crispEdges"))
        thick, middle = label_place(upper - lower, math.ceil((text_width(name, 13) + 8) / unit))
        if thick * BANDS > 15:
            place = (lower[middle] + upper[middle]) / 2
            names.append(text(right - (ways.lags[middle] + 0.5) * unit, y + BANDS * place + 4, name, font_size="12",
                              font_weight="bold", stroke=theme.paper, stroke_width="3", paint_order="stroke"))
        lower = upper
    for lag, whole in zip(ways.lags, together, strict=True):
        if not whole > 0 or not math.isfinite(whole):
            x = right - (lag + 0.5) * unit
            colour = theme.nothing if whole == 0 else theme.alarm
            parts.append(element("path", d=f"M{x:.1f},{y}V{y + BANDS}", stroke=colour, stroke_dasharray="1.5 3"))
    return "".join(parts + names)


def outline(lower: np.ndarray, upper: np.ndarray, lags: Sequence[int], y: float, unit: float, right: float) -> str:
    """Along the upper edge to the left, and back along the lower one."""
    there = [f"{right - lag * unit:.1f},{y + BANDS * u:.1f}H{right - (lag + 1) * unit:.1f}"
             for lag, u in zip(lags, upper, strict=True)]
    back = [f"{right - (lag + 1) * unit:.1f},{y + BANDS * u:.1f}H{right - lag * unit:.1f}"
            for lag, u in zip(lags[::-1], lower[::-1], strict=True)]
    return "M" + "L".join(there + back) + "Z"


def label_place(thickness: np.ndarray, width: int) -> tuple[float, int]:
    """How thick a band is where a label of so many columns fits best, and the middle column of that place."""
    width = min(width, len(thickness))
    windows = [float(thickness[j : j + width].min()) for j in range(len(thickness) - width + 1)]
    best = max(range(len(windows)), key=windows.__getitem__)
    return windows[best], best + width // 2


def curve(ways: Ways, norms: np.ndarray, y: float, unit: float, right: float, scale: Scale, **style: object) -> str:
    """Norms against lags, log scale; a zero or a non-finite number breaks the line, as does what lies too low."""
    d, down = "", False
    for lag, size in zip(ways.lags, norms, strict=True):
        if not 10.0**scale.low <= size < math.inf:
            down = False
            continue
        d += f"{'L' if down else 'M'}{right - (lag + 0.5) * unit:.1f},{y + CURVES * (1 - scale.place(float(size))):.1f}"
        if not down:
            d += "h0.1"
        down = True
    return element("path", d=d, fill="none", stroke_linejoin="round", stroke_linecap="round", **style) if d else ""


def axis(ways: Ways, y: float, unit: float, right: float, theme: Theme) -> str:
    """The lags, from the loss on the right backwards; and in one sentence what is to be seen."""
    furthest = ways.lags[-1]
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if furthest / s <= 14)
    parts = [text(right - (lag + 0.5) * unit, y + 16, lag, font_size="11") for lag in range(0, furthest + 1, step)]
    parts.append(text(16, y + 16, "steps back", anchor="start", font_size="11", fill=theme.faint))
    parts.append(text(16, y + 38, verdict(ways), anchor="start", font_size="12"))
    return "".join(parts)


def verdict(ways: Ways) -> str:
    """What is to be seen, from the numbers."""
    alive = [j for j, size in enumerate(ways.sum_of_norms) if 0 < size < math.inf]
    if not alive:
        return f"No finite gradient but 0 reaches {ways.state}."
    last = alive[-1]
    most = max(ways.parts, key=lambda name: float(ways.norms[name][last]))
    whole, together = ways.whole_norms, ways.sum_of_norms
    left = median(float(whole[j] / together[j]) for j in alive)
    lag = ways.lags[last]
    return (f"{lag} step{'s' * (lag != 1)} back the largest part is “{said(most, ways)}”, "
            f"{ways.shares(most)[last]:.0%} of the sum of norms. ‖∂L/∂{ways.state}‖ is "
            f"{short(float(whole[last]))} there, {short(float(whole[0]))} at lag {ways.lags[0]}. "
            f"Norm of sum / sum of norms: {left:.2f} (median).")


def legend(ways: Ways, y: float, low: float, x: float, scale: Scale, paint: Mapping[str, str], theme: Theme) -> str:
    """The classes in the order of the bands, and the two curves."""
    parts = [text(x, y + 10, f"{HEADINGS[ways.by]}:", anchor="start", font_size="12", font_weight="bold")]
    for j, name in enumerate(ways.parts):
        top = y + 20 + 17 * j
        parts.append(element("rect", x=x, y=top, width=14.0, height=12.0, fill=paint[name]))
        parts.append(text(x + 22, top + 10, said(name, ways), anchor="start", font_size="12"))
    parts.append(text(x, low + 26, "‖part‖, in its colour", anchor="start", font_size="12", fill=theme.faint))
    for j, (words, width, dashes) in enumerate((("norm of the sum: the gradient", 2.4, None),
                                                ("sum of the norms: more where parts cancel", 1.4, "4 3"))):
        top = low + 44 + 18 * j
        parts.append(element("path", d=f"M{x},{top}h22", stroke=theme.ink, stroke_width=width, stroke_dasharray=dashes))
        parts.append(text(x + 28, top + 4, words, anchor="start", font_size="12"))
    parts.append(text(x, low + 92, "Euclidean norms, over the whole batch", anchor="start", font_size="12",
                      fill=theme.faint))
    if any(0 < size < 10.0**scale.low for norms in ways.norms.values() for size in norms):
        parts.append(text(x, low + 110, "smaller ones lie below the axis: not drawn", anchor="start", font_size="12",
                          fill=theme.faint))
    return "".join(parts)


def said(name: str, ways: Ways) -> str:
    """A class in words."""
    if name == CARRY:
        return {"last": "the carry", "set": f"none: {NEVER}"}.get(ways.by, f"never: {NEVER}")
    if name == STRAIGHT:
        return "straight: from its own step, or above"
    if ways.by == "number":
        return {"0": f"never: {NEVER}", "1": "once", "2": "twice", "3+": "three times or more"}.get(name, name)
    symbol, role = ways.colours.get(name, (None, None))
    return f"{role} {symbol}" if role else name.replace("+", " + ")


def colours(ways: Ways, theme: Theme) -> dict[str, str]:
    """A colour for each class: that of its role; of several ways, a mixture; none twice."""
    single = {name: theme.colour(*marks) or theme.roles["candidate"] for name, marks in ways.colours.items()}
    ways_used = dict.fromkeys(way for name in ways.parts for way in name.split("+"))
    if ways.by == "number":
        return {"0": theme.roles["cell"]} | {str(k): theme.magnitude(k / 4) for k in (1, 2)} | {
            "3+": theme.magnitude(0.9)}
    found: dict[str, str] = {CARRY: theme.roles["cell"], STRAIGHT: theme.nothing}
    for way in ways_used:
        if way not in found:
            wished = single.get(way, theme.roles["candidate"])
            taken = set(found.values())
            found[way] = wished if wished not in taken else next((c for c in SPARE if c not in taken), theme.wire)
    for name in ways.parts:
        if name not in found:
            first, *rest = name.split("+")
            colour = found[first]
            for j, way in enumerate(rest):
                colour = mixed(colour, found[way], 1 / (j + 2))
            found[name] = colour
        if name.endswith(" others"):
            found[name] = theme.rim
    return {name: found[name] for name in ways.parts}
