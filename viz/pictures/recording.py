"""A recording, drawn: lag by update as a heat map, the horizon over it, the gates below."""

from __future__ import annotations

import math

import numpy as np

from viz.errors import need
from viz.flow.recorder import Recorder
from viz.pictures.legend_old import power_of_ten
from viz.render.drawing import Drawing
from viz.render.markup import document, element, heading, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, Theme, mixed, need_theme

LEFT, RIGHT, HEIGHT, CARRY, GATES = 76.0, 760.0, 260.0, 70.0, 90.0


def draw_recording(
    recorder: Recorder, *, name: str = "how far back the gradient reaches, while training", theme: Theme = DEFAULT,
) -> Drawing:  # fmt: skip
    """Draw a heat map, lag against update, the horizon as a line, and below it the means of the gates.

    Colour is the norm relative to lag 0 of the same update.

    Args:
        recorder: a `Recorder` that was called with the losses.
        name: the title.
        theme: sizes and colours.

    Raises:
        TypeError: if given something else.
        ValueError: if nothing was recorded.
    """
    need_theme(theme)
    need("draw_recording", recorder, Recorder, "a viz.Recorder")
    of = recorder
    if not of.updates:
        raise ValueError("Recorder: nothing was recorded yet; call the recorder with the loss of every update")
    norms = of.norms
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        left = np.where((norms[:, :1] > 0) & (norms[:, :1] < math.inf), norms / norms[:, :1], math.nan)
    n, lags = left.shape
    scale = Scale.of((float(x) for x in left[left > 0]), widest=8)
    wide, high, top = (RIGHT - LEFT) / n, HEIGHT / lags, 86.0
    parts = [
        heading(16, 30, name, 17)[0],
        text(16, 52, f"‖∂L/∂{of.symbol}‖₂ over the whole batch, relative to lag 0 of the same update; line: the "
             f"horizon, the last lag above {100 * of.fraction:g} %", anchor="start", font_size="12", fill=theme.faint),
        element("rect", x=LEFT, y=top, width=RIGHT - LEFT, height=HEIGHT, fill=theme.tile),
        squares(left, wide, high, top, scale, theme),
    ]
    known = [(j, h) for j in range(n) if (h := of.horizon(j)) is not None]
    d = "".join(f"{'L' if k else 'M'}{LEFT + j * wide:.1f},{top + HEIGHT - (h + 1) * high:.1f}h{wide:.1f}"
                for k, (j, h) in enumerate(known))
    for colour, width in ((theme.paper, 3.6), (theme.ink, 1.6)) if known else ():
        parts.append(element("path", d=d, fill="none", stroke=colour, stroke_width=width, stroke_linejoin="round"))
    parts.extend(lag_ticks(lags, high, top, theme))
    if known:
        last = known[-1][1]
        parts.append(text(RIGHT + 10, top + HEIGHT - (last + 0.5) * high + 4, f"lag {last}", anchor="start",
                          font_size="11"))
    y = top + HEIGHT + 14
    if (of.carry > 0).any():
        parts.append(carry_map(of.carry, wide, y, theme))
        y += CARRY + 14
    if of.gates:
        parts.extend(gate_lines(of, wide, y, theme))
        y += GATES + 14
    parts.extend(update_ticks(of.updates, wide, y - 10, theme))
    markup, bottom = legend(scale, bool((left == 0).any()), y + 34, theme)
    if np.isnan(left[:, 0]).any():
        parts.append(text(LEFT, bottom + 6, "Blank: at lag 0 the norm is exactly 0, as in a layer that reads backwards "
                          "under the loss of the last step, or not finite.", anchor="start", font_size="11",
                          fill=theme.faint))
        bottom += 18
    return document("".join([*parts, markup]), 900, bottom, theme, name)


def squares(left: np.ndarray, wide: float, high: float, top: float, scale: Scale, theme: Theme) -> str:
    """One path for each colour."""
    paths: dict[str, list[str]] = {}
    for (j, lag), g in np.ndenumerate(left):
        if math.isnan(g):
            continue
        colour = theme.alarm if not math.isfinite(g) else theme.nothing if g == 0 else theme.magnitude(scale.place(g))
        x, y = LEFT + j * wide, top + HEIGHT - (lag + 0.5) * high
        paths.setdefault(colour, []).append(f"M{x:.2f},{y:.2f}h{wide:.2f}")
    return element("g", "".join(element("path", d="".join(d), stroke=colour, stroke_width=f"{high + 0.3:.2f}")
                                for colour, d in paths.items()), shape_rendering="crispEdges")


def carry_map(carry: np.ndarray, wide: float, top: float, theme: Theme) -> str:
    """The share of the carry, lag against update, from nothing to all of it in ten shades."""
    ground, full, high = theme.tile, theme.roles["cell"], CARRY / carry.shape[1]
    paths: dict[int, list[str]] = {}
    for (j, lag), share in np.ndenumerate(carry):
        if not math.isnan(share):
            y = top + CARRY - (lag + 0.5) * high
            paths.setdefault(round(10 * share), []).append(f"M{LEFT + j * wide:.2f},{y:.2f}h{wide:.2f}")
    parts = [element("path", d="".join(d), stroke=mixed(ground, full, tenth / 10), stroke_width=f"{high + 0.3:.2f}")
             for tenth, d in sorted(paths.items())]
    parts += [element("rect", x=RIGHT + 10 + 6 * tenth, y=top + 18, width=6.2, height=9.0,
                      fill=mixed(ground, full, tenth / 10)) for tenth in range(11)]
    back = carry[:, 1:][~np.isnan(carry[:, 1:])]
    known = f": median {np.median(back):.0%}" if back.size else ""
    said = title(f"the share of the carry in what came from the step after{known}")
    words = [text(16, top + CARRY / 4 + 4, "carry", anchor="start", font_size="11", fill=theme.faint),
             text(LEFT - 8, top + CARRY, "lag 0", anchor="end", font_size="11"),
             text(LEFT - 8, top + 8, carry.shape[1] - 1, anchor="end", font_size="11"),
             text(RIGHT + 10, top + 11, "share carried", anchor="start", font_size="11", fill=theme.faint),
             text(RIGHT + 10, top + 40, "0", anchor="start", font_size="11"),
             text(RIGHT + 76, top + 40, "100 %", anchor="end", font_size="11")]
    frame = element("rect", x=LEFT, y=top, width=RIGHT - LEFT, height=CARRY, fill=ground)
    return frame + element("g", said + "".join(parts), shape_rendering="crispEdges") + "".join(words)


def lag_ticks(lags: int, high: float, top: float, theme: Theme) -> list[str]:
    """The lags, from the loss at the bottom upwards."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if lags / s <= 10)
    parts = [text(LEFT - 8, top + HEIGHT - (lag + 0.5) * high + 4, lag, anchor="end", font_size="11")
             for lag in range(0, lags, step)]
    return [*parts, text(16, top - 9, "steps back", anchor="start", font_size="11", fill=theme.faint)]


def update_ticks(updates: list[int], wide: float, y: float, theme: Theme) -> list[str]:
    """The numbers of the updates."""
    each = max(1, math.ceil(len(updates) / 10))
    parts = [text(LEFT + (j + 0.5) * wide, y + 16, updates[j], font_size="11") for j in range(0, len(updates), each)]
    return [*parts, text(RIGHT + 10, y + 16, "updates", anchor="start", font_size="11", fill=theme.faint)]


def gate_lines(of: Recorder, wide: float, top: float, theme: Theme) -> list[str]:
    """The mean of each gate over all steps, update by update, from 0 to 1."""
    parts = [element("rect", x=LEFT, y=top, width=RIGHT - LEFT, height=GATES, fill=theme.tile)]
    for level in (0, 0.5, 1):
        y = top + GATES * (1 - level)
        parts.append(element("line", x1=LEFT, y1=y, x2=RIGHT, y2=y, stroke=theme.rim, stroke_width=0.8))
        parts.append(text(LEFT - 8, y + 4, f"{level:g}", anchor="end", font_size="11"))
    for j, words in enumerate(("gates,", "mean")):
        parts.append(text(16, top + GATES / 4 + 4 + 13 * j, words, anchor="start", font_size="11", fill=theme.faint))
    ends: list[tuple[float, str, str]] = []
    for symbol, means in of.gates.items():
        colour = theme.colour(symbol, "gate") or theme.ink
        points = [(j, float(np.nanmean(row))) for j, row in enumerate(means) if not np.isnan(row).all()]
        d = "".join(f"{'L' if k else 'M'}{LEFT + (j + 0.5) * wide:.1f},{top + GATES * (1 - x):.1f}"
                    for k, (j, x) in enumerate(points)) + f"h{wide / 9:.1f}" * (len(points) == 1)
        note = title(f"mean of {symbol} over batch, units and steps: {points[0][1]:.3f} at first, "
                     f"{points[-1][1]:.3f} at last")
        parts.append(element("path", note, d=d, fill="none", stroke=colour, stroke_width=2.0))
        ends.append((top + GATES * (1 - points[-1][1]), f"{symbol}  {points[-1][1]:.2f}", colour))
    last = -math.inf
    for y, words, colour in sorted(ends):
        last = max(y + 4, last + 13)  # labels that would lie on one another stand below one another
        parts.append(text(RIGHT + 10, last, words, anchor="start", font_size="11", font_weight="bold", fill=colour))
    return parts


def legend(scale: Scale, zeros: bool, y: float, theme: Theme) -> tuple[str, float]:
    """The colours, decade by decade. Returns the lower edge too."""
    decades = scale.high - scale.low
    unit = (RIGHT - LEFT) / decades
    parts = [element("rect", x=LEFT + j * unit / 8, y=y, width=unit / 8 + 0.3, height=9.0,
                     fill=theme.magnitude((j + 0.5) / (8 * decades)), shape_rendering="crispEdges")
             for j in range(8 * decades)]
    for j, decade in enumerate(scale.decades):
        parts.append(power_of_ten(LEFT + j * unit, y + 23, decade, "≤ " * (j == 0), font_size="11"))
    parts.append(text(RIGHT + 10, y + 9, "of lag 0", anchor="start", font_size="11", fill=theme.faint))
    if zeros:
        parts.append(text(RIGHT + 10, y + 23, "grey: exactly 0", anchor="start", font_size="11", fill=theme.faint))
    return "".join(parts), y + 36
