"""The legend of a gradient picture: what width and colour mean, which norm, of which loss, over how many steps.

Zero, NaN and "no gradient" have looks of their own. They are in the legend of the pictures that they are in.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from viz.flow.messages import Flow
from viz.layout.geometry import Route
from viz.pictures.formula_old import formula
from viz.pictures.wires_old import ALARM, NONE, PLAIN, ZERO, Look, paint_wire
from viz.render.markup import element, text
from viz.scale import Scale
from viz.theme import Theme
from viz.typography import shorten, text_width

WORDS: dict[Look, str] = {ZERO: "exactly zero", ALARM: "NaN or infinite", NONE: "no gradient flows here",
                         PLAIN: "several edges: no norm of its own"}


def legend(flow: Flow, T: str, scale: Scale, looks: Collection[Look], theme: Theme) -> tuple[str, float, float]:
    """The scale as a wedge with decade ticks, and what is measured; its height and width. T is "" without time."""
    heading = "gradient sent along each edge (Euclidean norm, log scale); arrows: the way it flows, back from the loss"
    span = f" (T = {T} step{'s' * (T != '1')})" if T else ""
    what = f"The gradient of {loss_of(flow)}{span}, over the whole batch."
    if T:
        what += " Under each state: the norm of its whole gradient."
    return wedge(scale, heading, looks, [what], theme)


def loss_of(flow: Flow) -> str:
    """What the gradient is the gradient of: ``L``, or ``L = sum`` where the node has no such symbol."""
    said = flow.graph.nodes[flow.root]
    called = shorten(str(said.get("symbol") or said.get("op") or said["name"]), 12)
    return called if called == "L" else f"L = {called}"


def wedge(scale: Scale, heading: str, looks: Collection[Look], notes: Sequence[str], theme: Theme,
          ) -> tuple[str, float, float]:
    """The scale of wires: width and colour with decade ticks, the looks that have no place on it, and below it what is
    measured; its height and width.
    """
    unit, x0, y = 44.0, 14.0, 34.0
    parts = [formula(0, 12, heading, size=12.0, font_weight="bold")]
    spans = scale.high - scale.low
    for j in range(8 * spans):
        place = (j + 0.5) / (8 * spans)
        w = scale.width_at(place)
        parts.append(element("rect", x=x0 + j * unit / 8, y=y - w / 2, width=unit / 8 + 0.3, height=w,
                             fill=theme.magnitude(place)))
    parts.append(ticks(scale, x0, y + 5, unit, theme))
    x = x0 + unit * spans + 36
    for how, words in WORDS.items():
        if how in looks:
            parts.append(paint_wire(Route((x, y)).line(x + 40, y), how, theme))
            parts.append(text(x + 46, y + 4, words, anchor="start", font_size="11"))
            x += 46 + text_width(words, 11) + 14
    for j, words in enumerate(notes):
        parts.append(text(0, y + 46 + 16 * j, words, anchor="start", font_size="11", fill=theme.faint))
    width = max([text_width(heading, 12) * 1.08, x, *(text_width(words, 11) for words in notes)])
    return "".join(parts), y + 36 + 16 * len(notes), width


def ticks(scale: Scale, x0: float, y: float, unit: float, theme: Theme) -> str:
    """Decade ticks under a scale that is drawn from x0 on, so many pixels a decade."""
    parts = []
    for j, decade in enumerate(scale.decades):
        x = x0 + j * unit
        parts.append(element("line", x1=x, y1=y, x2=x, y2=y + 5, stroke=theme.wire))
        parts.append(power_of_ten(x, y + 18, decade, font_size="11"))
    return "".join(parts)


def power_of_ten(x: float, y: float, decade: int, before: str = "", **attributes: Any) -> str:
    """``10`` with the decade raised; what comes ``before`` it is an ``≤``, where lower numbers look alike.

    >>> power_of_ten(0, 0, -3)
    '<text x="0" y="0" text-anchor="middle">10<tspan dy="-4" font-size="80%">−3</tspan></text>'
    """
    raised = f'<tspan dy="-4" font-size="80%">{str(decade).replace("-", "−")}</tspan>'
    return text(x, y, f"{before}10", **attributes)[: -len("</text>")] + raised + "</text>"


def off_the_scale(norms: Iterable[float | None]) -> set[Look]:
    """The looks that have no place on a scale, of those that these norms have.

    >>> sorted(off_the_scale([0.0, 1.0])), sorted(off_the_scale([1.0, None]))
    (['zero'], ['none'])
    """
    return {NONE if g is None else ZERO if g == 0 else ALARM for g in norms
            if g is None or g == 0 or not math.isfinite(g)}
