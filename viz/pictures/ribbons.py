"""Ribbons: the gated path against the plain tanh path, over many steps, on one time axis and one scale.

One lane for each state. At every step a lane is split by how the gradient arrived there: carried over directly
(LSTM: through f ⊙ c, GRU: through z ⊙ h), or by every other way (through gates, candidate, matrix and tanh).
Thickness is the share of each, by norm; colour is its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import median

from viz.flow.messages import Arrival, Flow, Profile, need_flows, profiles
from viz.graph.steps import layers, no_steps
from viz.pictures.legend import power_of_ten
from viz.pictures.unrolled import label_of
from viz.render.drawing import Drawing
from viz.render.scale import Scale, short
from viz.render.svg import document, element, heading, text, title
from viz.render.theme import DEFAULT, Theme, need_theme, shorten, text_width

LEFT, HEIGHT = 180.0, 40.0
SAMPLE = 34.0  # the room for a sample of what a note is about
NOTES = {  # what each line and dot is; none is named by a colour, which another theme has not
    "line": "above this line: the share carried over directly (through products with a gate and sums only), by norm. "
            "Below: what came by every other way.",
    "none": "no direct carry: all came through gates, candidate, matrix and tanh, or straight from the loss.",
    "mark": "the last lag at which the whole norm is above {} of that state's own value at lag 0",
    "zero": "exactly zero",
    "alarm": "NaN or infinite",
    "norms": "Euclidean norms, over the whole batch.",
}


def ribbons(flows: Mapping[str, Flow] | Flow, *, lags: int = 100, scale: Scale | None = None, fraction: float = 0.01,
            name: str = "how far back the gradient reaches", theme: Theme = DEFAULT) -> Drawing:
    """Draw how much of the gradient arrives at each state, and by which way, against time.

    Args:
        flows: by the name of the net; or just one.
        lags: how many steps back to draw.
        scale: norms to colours; by default the decades of all norms drawn.
        fraction: a mark shows each state's horizon, the largest lag at which its norm is above this fraction of its
            start.
        name: the title.
        theme: sizes and colours.

    Raises:
        TypeError: if these are no flows by name.
        ValueError: if there is nothing to draw.
    """
    need_theme(theme)
    flows = {label_of(flows): flows} if isinstance(flows, Flow) else flows
    need_flows(flows, "ribbons")
    if flows and not any(layers(flow.graph) for flow in flows.values()):
        raise ValueError(f"ribbons: {no_steps(next(iter(flows.values())).graph)}")
    lanes = [(net, p, [a for a in flow.split(p.state) if a.lag <= lags]) for net, flow in flows.items()
             if layers(flow.graph) for p in profiles(flow)]
    if not lanes:
        raise ValueError("ribbons: nothing to draw: no state is handed from one step to a later one")
    if not any(arrivals for _, _, arrivals in lanes):
        raise ValueError("ribbons: no gradient reaches any state")
    every = [x for _, _, arrivals in lanes for a in arrivals for x in (a.carry, a.rest)]
    scale = scale or Scale.of(every, widest=12)
    furthest = max(a.lag for _, _, arrivals in lanes for a in arrivals)
    unit = min(max(900.0 / (furthest + 1), 4.0), 26.0)
    right = LEFT + unit * (furthest + 1)
    parts = [heading(16, 28, name)[0]]
    y = 52.0
    for net, profile, arrivals in lanes:
        parts.append(text(16, y + 18, shorten(net, 12), anchor="start", font_weight="bold"))
        parts.append(text(16, y + 34, f"∂L/∂{shorten(profile.state, 8)}", anchor="start", font_size="12",
                          fill=theme.faint))
        parts.append(element("rect", x=LEFT, y=y, width=right - LEFT, height=HEIGHT, fill=theme.tile))
        parts.extend(lane(arrivals, y, right, unit, scale, theme))
        parts.append(mark(profile, arrivals, y, right, unit, fraction, theme))
        y += HEIGHT + 24
    parts.append(axis(furthest, y - 8, right, unit, theme))
    parts.append(text(right + 10, y + 10, "← the loss", anchor="start", font_size="11", fill=theme.faint))
    arrivals = [a for _, _, some in lanes for a in some]
    marked = any(is_marked(profile.horizon(fraction), some) for _, profile, some in lanes)
    there = {"line": any(a.carry > 0 for a in arrivals), "mark": marked,
             "none": any(not any(a.carry > 0 for a in some) for _, _, some in lanes),
             "zero": any(a.carry + a.rest == 0 for a in arrivals), "alarm": not all(map(math.isfinite, every))}
    notes = {kind: words.format(f"{100 * fraction:.3g} %") for kind, words in NOTES.items() if there.get(kind, True)}
    markup, h = legend(scale, notes, y + 36, theme)
    width = max(right + 150, 32 + SAMPLE + max(text_width(line, 12) for line in notes.values()))
    return document("".join([*parts, markup]), width, h, theme, name)


def lane(arrivals: Iterable[Arrival], y: float, right: float, unit: float, scale: Scale, theme: Theme) -> Iterable[str]:
    """One column a step: the carried share above, the rest below, and between them one line."""
    arrivals = list(arrivals)
    line, pen_down = "", False
    for a in arrivals:
        x = right - (a.lag + 1) * unit
        note = title(f"{a.state} at t = {a.step} (lag {a.lag}): {a.total:.3g}; "
                     f"carried over {a.carry:.3g}, else {a.rest:.3g}")
        whole = a.carry + a.rest
        if not 0 < whole < math.inf or a.lag == 0:
            pen_down = False
        if not math.isfinite(whole):
            yield element("rect", note, x=x, y=y, width=unit, height=HEIGHT, fill=theme.alarm)
            continue
        if whole == 0:
            yield element("line", note, x1=x, y1=y + HEIGHT / 2, x2=x + unit, y2=y + HEIGHT / 2, stroke=theme.nothing,
                          stroke_width=1.4, stroke_dasharray="1.5 3")
            continue
        carried = HEIGHT * a.carry / whole
        for top, height, norm in ((y, carried, a.carry), (y + carried, HEIGHT - carried, a.rest)):
            if height > 0.05:
                yield element("rect", note, x=x, y=top, width=unit + 0.3, height=height,
                              fill=theme.magnitude(scale.place(norm)), shape_rendering="crispEdges")
        if a.lag:
            line += f"{'L' if pen_down else 'M'}{x + unit:.1f},{y + carried:.1f}H{x:.1f}"
            pen_down = True
    if any(a.carry > 0 for a in arrivals):
        yield parting(line, theme)


def parting(d: str, theme: Theme) -> str:
    """The line between what was carried over and the rest: it has a rim, to be seen on light and dark columns."""
    return "".join(element("path", d=d, fill="none", stroke=colour, stroke_width=width, stroke_linejoin="round")
                   for colour, width in ((theme.ink, 3.2), (theme.paper, 1.8)))


def is_marked(horizon: int | None, arrivals: list[Arrival]) -> bool:
    """Does the horizon lie within what is drawn?"""
    return horizon is not None and any(horizon <= a.lag for a in arrivals)


def mark(profile: Profile, arrivals: list[Arrival], y: float, right: float, unit: float, fraction: float,
         theme: Theme) -> str:
    """Where the norm is last above the fraction of its start."""
    start, horizon = next((a.total for a in arrivals if a.lag == 0), 0.0), profile.horizon(fraction)
    words = text(right + 10, y + 12, f"{short(start)} at lag 0", anchor="start", font_size="11")
    shares = [a.carry / (a.carry + a.rest) for a in arrivals if a.lag and 0 < a.carry + a.rest < math.inf]
    if shares:
        said = f"{median(shares):.0%} carried (median)" if any(shares) else "no direct carry"
        words += text(right + 10, y + 42, said, anchor="start", font_size="11", fill=theme.faint)
    if horizon is None:
        return words
    words += text(right + 10, y + 27, f"> {100 * fraction:g} % to lag {horizon}", anchor="start",
                  font_size="11", fill=theme.faint)
    if not is_marked(horizon, arrivals):
        return words
    x = right - (horizon + 1) * unit
    return words + element("path", d=f"M{x:.1f},{y - 4:.1f}V{y + HEIGHT + 4:.1f}", stroke=theme.alarm, stroke_width=2.0)


def axis(furthest: int, y: float, right: float, unit: float, theme: Theme) -> str:
    """The lags, from the loss on the right backwards."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if furthest / s <= 12)
    parts = []
    for lag in range(0, furthest + 1, step):
        x = right - (lag + 0.5) * unit
        parts.append(element("line", x1=x, y1=y, x2=x, y2=y + 5, stroke=theme.wire))
        parts.append(text(x, y + 18, lag, font_size="11"))
    parts.append(text(16, y + 18, "steps back from the loss", anchor="start", font_size="11", fill=theme.faint))
    return "".join(parts)


def legend(scale: Scale, notes: Mapping[str, str], y: float, theme: Theme) -> tuple[str, float]:
    """The colours, decade by decade, and what thickness means."""
    unit = 42.0
    parts = []
    for j in range(8 * (scale.high - scale.low)):
        x = LEFT + j * unit / 8
        parts.append(element("rect", x=x, y=y, width=unit / 8 + 0.3, height=12.0,
                             fill=theme.magnitude(scale.place(10 ** (scale.low + (j + 0.5) / 8)))))
    for j, decade in enumerate(scale.decades):
        parts.append(power_of_ten(LEFT + j * unit, y + 27, decade, "≤ " * (j == 0), font_size="11"))
    parts.append(text(16, y + 10, "colour: norm, log scale", anchor="start", font_size="12", font_weight="bold"))
    for j, (kind, words) in enumerate(notes.items()):
        low = y + 54 + 19 * j
        drawn = sample(kind, low - 4, theme)
        parts.append(drawn + text(16 + SAMPLE * bool(drawn), low, words, anchor="start", font_size="12",
                                  fill=theme.faint))
    return "".join(parts), y + 54 + 19 * len(notes) + 4


def sample(kind: str, y: float, theme: Theme) -> str:
    """What a note is about, as it is drawn; nothing, where a note is about no one thing."""
    if kind == "line":
        return parting(f"M16,{y}h24", theme)
    if kind == "mark":
        return element("path", d=f"M28,{y - 8}v16", stroke=theme.alarm, stroke_width=2.0)
    if kind == "zero":
        return element("line", x1=16, y1=y, x2=40, y2=y, stroke=theme.nothing, stroke_width=1.4,
                       stroke_dasharray="1.5 3")
    if kind == "alarm":
        return element("rect", x=16, y=y - 6, width=24, height=12, fill=theme.alarm)
    return ""
