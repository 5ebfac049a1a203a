"""A recording, drawn: lag against update as a heat map, the horizon over it, the gates below."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from viz.errors import need
from viz.flow.finding import capital, steps
from viz.flow.recorder import Recorder
from viz.layout.geometry import Point, Route
from viz.render.drawing import Drawing
from viz.scale import Scale
from viz.scene.chart import SMALL, Axis, Block, column, heading, legend, level_of
from viz.scene.items import Area, Box, Item, Scene, Text, Wire, line, rectangle
from viz.scene.wires import ALARM, ZERO, Look
from viz.theme import LEVELS, Theme, need_theme
from viz.typography import widest

HEIGHT, CARRY, GATES = 260.0, 70.0, 90.0
LEFT, WIDEST = 76.0, 900.0
RIGHT = 116.0  # the room for words on the right


def draw_recording(recorder: Recorder, *, name: str | None = None, theme: Theme | str | None = None) -> Drawing:
    """Draw a heat map, lag against update, the horizon as a line, and below it the means of the gates.

    Colour is the norm relative to lag 0 of the same update.

    Args:
        recorder: a `Recorder` that was called with the losses.
        name: what the net is called in the title.
        theme: sizes and colours; ``"dark"``, or a `Theme`.

    Raises:
        TypeError: if given something else.
        ValueError: if nothing was recorded.

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> recorder = viz.Recorder(every=1)
    >>> recorder(hs[-1].sum())
    >>> draw_recording(recorder).title
    'The gradient of the net reaches 2 steps back at update 0'
    """
    theme = need_theme(theme)
    need("draw_recording", recorder, Recorder, "a viz.Recorder")
    of = recorder
    if not of.updates:
        raise ValueError("Recorder: nothing was recorded yet; call the recorder with the loss of every update")
    norms = of.norms
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        left = np.where((norms[:, :1] > 0) & (norms[:, :1] < math.inf), norms / norms[:, :1], math.nan)
    scale = Scale.of((float(x) for x in left[left > 0]), anchor=1.0, widest=8)
    wide = min(theme.page - 2 * theme.margin, WIDEST)
    axis = Axis(range(len(of.updates)), LEFT, wide - LEFT - RIGHT)
    found = finding(of, name or "the net")
    blocks = [heading(found, wide, theme, f"Each column is an update, each row a lag: how many steps back. Colour: "
                      f"‖∂L/∂{of.symbol}‖₂ over the whole batch, as a multiple of that at lag 0. Line: the horizon, "
                      f"the last lag above {100 * of.fraction:g} %.")]
    blocks.append(heat(of, left, scale, axis, theme))
    if (of.carry > 0).any():
        blocks.append(carry(of.carry, axis, theme))
    if of.gates:
        blocks.append(gates(of, axis, theme))
    blocks.append(numbered(of.updates, axis, theme))
    blank = ["Blank: the record does not reach so far back, the norm is NaN, or that at lag 0 is not finite or exactly "
             "0, as in a layer that reads backwards under the loss of the last step."] if np.isnan(left).any() else []
    looks = {ZERO} if (left == 0).any() else set()
    looks |= {ALARM} if np.isinf(left).any() else set()
    blocks.append(legend(scale, "the norm at a lag, as a multiple of the norm at lag 0 of the same update", looks,
                         blank, wide, theme, wires=False))
    block, margin = column(blocks, 12), theme.margin
    return Drawing.of(Scene([block.at(margin, margin)], wide + 2 * margin, block.height + 2 * margin, found,
                            summary(of), theme))


def finding(of: Recorder, net: str) -> str:
    """What the recording shows: how far back the gradient reached at the first update, and at the last."""
    known = [(update, reach) for j, update in enumerate(of.updates) if (reach := of.horizon(j)) is not None]
    strange = [update for update, start in zip(of.updates, of.norms[:, 0], strict=True) if not math.isfinite(start)]
    if not known:
        said = f"{net}: no {'finite ' * bool(strange)}gradient starts at lag 0"
    elif len(known) == 1 or known[0][1] == known[-1][1]:
        said = f"The gradient of {net} reaches {steps(known[-1][1])} back" + (
            f" at update {known[0][0]}" if len(known) == 1 else f", at update {known[0][0]} and at {known[-1][0]}")
    else:
        (first, before), (last, after) = known[0], known[-1]
        said = (f"The gradient of {net} reaches {steps(after)} back at update {last}; at update {first} it reached "
                f"{before}")
    if known and strange:
        said += f"; at lag 0 it is not finite at update {strange[0]}" + (
            f" and at {len(strange) - 1} more" if len(strange) > 1 else "")
    return capital(said)


def summary(of: Recorder) -> str:
    """What is drawn, and the main numbers."""
    reach = of.horizon()
    words = (f"A heat map of {len(of.updates)} records by {of.norms.shape[1]} lags of the norm of the gradient of "
             f"{of.symbol}." + (f" Horizon at the last record: {reach}." if reach is not None else ""))
    means = [f"{gate} {np.nanmean(rows[-1]):.3f}" for gate, rows in of.gates.items() if not np.isnan(rows[-1]).all()]
    return words + (f" Means of the gates there: {', '.join(means)}." if means else "")


# ------------------------------------------------------------------------------------------------ the heat maps
def heat(of: Recorder, left: np.ndarray, scale: Scale, axis: Axis, theme: Theme) -> Block:
    """The norms, with the horizon as a line."""
    high = HEIGHT / left.shape[1]
    items: list[Item] = [Text(0, 11, "steps back", SMALL, fill=theme.faint)]
    top = 18.0
    items.append(Box(axis.left, top, axis.width, HEIGHT, fill=theme.tile))
    for lag in range(left.shape[1]):
        y = top + HEIGHT - (lag + 1) * high
        items += cells(left[:, lag].tolist(), axis, y, high, scale, theme, ("heat", lag))
    known = [(j, reach) for j in range(len(left)) if (reach := of.horizon(j)) is not None]
    route = horizon_line([(j, top + HEIGHT - (reach + 1) * high) for j, reach in known], axis)
    for colour, width in ((theme.paper, 3.6), (theme.ink, 1.6)) if known else ():
        items.append(Wire([route], stroke=colour, stroke_width=width, key=("horizon",) if width < 2 else None,
                          datum=float(known[-1][1])))
    if known:
        reach = known[-1][1]
        words = ["horizon:", f"lag {reach}"]
        y = min(max(top + HEIGHT - (reach + 1) * high, top + 10), top + HEIGHT - 14)
        items += [Text(axis.left + axis.width + 10, y + 14 * j, said, SMALL, bold=True, key=("horizon", j))
                  for j, said in enumerate(words)]
    every = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if left.shape[1] / s <= 10)
    items += [Text(axis.left - 8, top + HEIGHT - (lag + 0.5) * high + 4, str(lag), SMALL, "end")
              for lag in range(0, left.shape[1], every)]
    return Block(items, axis.left + axis.width + RIGHT, top + HEIGHT + 4)


def cells(row: Sequence[float], axis: Axis, y: float, high: float, scale: Scale, theme: Theme,
          key: tuple[str, int]) -> Iterator[Item]:  # fmt: skip
    """One lag of all updates: an area for each colour. Exactly zero is grey, what is not finite orange."""
    areas: dict[Look, list[list[Point]]] = {}
    column = 0
    for how, run in groupby("" if math.isnan(x) else level_of(float(x), scale.place) for x in row):
        n = len(list(run))
        if how != "":
            a, b = axis.left + column * axis.width / len(row), axis.left + (column + n) * axis.width / len(row)
            areas.setdefault(how, []).append(rectangle(a, y, b, y + high))
        column += n
    for how, outlines in areas.items():
        colour = (scale.shade(how / LEVELS, theme) if isinstance(how, int) else
                  theme.nothing if how == ZERO else theme.alarm)
        yield Area(outlines, fill=colour, crisp=True, key=key)


def horizon_line(points: Sequence[tuple[int, float]], axis: Axis) -> Route:
    """Steps, a tread for each record."""
    unit = axis.width / len(axis.steps)
    if not points:
        return Route((axis.left, 0.0))
    route = Route((axis.left + points[0][0] * unit, points[0][1]))
    for j, y in points:
        route.line(axis.left + j * unit, y).line(axis.left + (j + 1) * unit, y)
    return route


def carry(shares: np.ndarray, axis: Axis, theme: Theme) -> Block:
    """The share of the carry, lag against update, from nothing to all of it in ten shades."""
    high = CARRY / shares.shape[1]
    back = shares[:, 1:][~np.isnan(shares[:, 1:])]
    note = "the share of the carry in what came from the step after" + (
        f": median {np.median(back):.0%}" if back.size else "")
    items: list[Item] = [Box(axis.left, 0, axis.width, CARRY, fill=theme.tile)]
    areas: dict[int, list[list[Point]]] = {}
    unit = axis.width / len(shares)
    for (j, lag), share in np.ndenumerate(shares):
        if not math.isnan(share):
            x, y = axis.left + j * unit, CARRY - (lag + 1) * high
            areas.setdefault(round(10 * share), []).append(rectangle(x, y, x + unit, y + high))
    items += [Area(outlines, fill=theme.carried(tenth), crisp=True, key=("carry", tenth), note=note)
              for tenth, outlines in sorted(areas.items())]
    right = axis.left + axis.width + 10
    items += [Box(right + 6 * tenth, 18, 6.2, 9, fill=theme.carried(tenth)) for tenth in range(11)]
    items += [Text(0, 22, "carry", SMALL, fill=theme.faint), Text(axis.left - 8, CARRY, "lag 0", SMALL, "end"),
              Text(axis.left - 8, 10, str(shares.shape[1] - 1), SMALL, "end"),
              Text(right, 11, "share carried", SMALL, fill=theme.faint), Text(right, 40, "0", SMALL),
              Text(right + 76, 40, "100 %", SMALL, "end")]
    return Block(items, axis.left + axis.width + RIGHT, CARRY + 2)


# ------------------------------------------------------------------------------------------------ the gates
def gates(of: Recorder, axis: Axis, theme: Theme) -> Block:
    """The mean of each gate over all steps, update by update, from 0 to 1; each curve carries its name."""
    items: list[Item] = [Box(axis.left, 0, axis.width, GATES, fill=theme.tile)]
    for level in (0, 0.5, 1):
        y = GATES * (1 - level)
        items += [line(axis.left, y, axis.left + axis.width, y, stroke=theme.rim, stroke_width=0.8),
                  Text(axis.left - 8, y + 4, f"{level:g}", SMALL, "end")]
    items += [Text(0, 20 + 14 * j, words, SMALL, fill=theme.faint) for j, words in enumerate(("gates,", "mean"))]
    unit, ends = axis.width / len(axis.steps), []
    for symbol, means in of.gates.items():
        colour = theme.colour(symbol, "gate") or theme.ink
        points = [(j, float(np.nanmean(row))) for j, row in enumerate(means) if not np.isnan(row).all()]
        if not points:
            continue
        (start, first), (_, last) = points[0], points[-1]
        route = Route((axis.left + start * unit, GATES * (1 - first)))
        for j, mean in points:
            route.line(axis.left + (j + 0.5) * unit, GATES * (1 - mean))
        route.line(axis.left + (points[-1][0] + 1) * unit, GATES * (1 - last))
        items.append(Wire([route], stroke=colour, stroke_width=2.0, key=("gate", symbol), datum=last,
                          note=f"mean of {symbol} over batch, units and steps: {first:.3f} at first, {last:.3f} "
                               "at last"))
        ends.append((GATES * (1 - last), f"{symbol}  {last:.2f}", symbol, last))
    right = axis.left + axis.width + 10
    spread = spaced([y for y, *_ in sorted(ends)], 15.0)
    for y, (height, words, symbol, last) in zip(spread, sorted(ends), strict=True):
        joint = Route((right - 10, height)).line(right - 4, y).line(right + 8, y)
        items += [Wire([joint], stroke=theme.colour(symbol, "gate") or theme.ink, stroke_width=2.0),
                  Text(right + 13, y + 4, words, SMALL, bold=True, key=("gate", symbol, "last"), datum=last)]
    return Block(items, right + 13 + widest((words for _, words, *_ in ends), SMALL, bold=True),
                 max(GATES, max(spread, default=0.0)) + 6)


def spaced(wanted: Iterable[float], gap: float) -> list[float]:
    """Places in this order, none nearer to the one before than the gap.

    >>> spaced([0.0, 1.0, 30.0], 10)
    [0.0, 10.0, 30.0]
    """
    found: list[float] = []
    for y in wanted:
        found.append(max(y, found[-1] + gap) if found else y)
    return found


def numbered(updates: Sequence[int], axis: Axis, theme: Theme) -> Block:
    """The numbers of the updates, as many as have room."""
    each = math.ceil(len(updates) / max(1, axis.width // 64))
    items: list[Item] = [line(axis.left, 0, axis.left + axis.width, 0, stroke=theme.wire)]
    for j in range(0, len(updates), each):
        x = axis.left + (j + 0.5) * axis.width / len(updates)
        items += [line(x, 0, x, 5, stroke=theme.wire), Text(x, 18, str(updates[j]), SMALL, "middle")]
    items.append(Text(axis.left - 12, 18, "update", SMALL, "end", fill=theme.faint))
    return Block(items, axis.left + axis.width, 22.0)
