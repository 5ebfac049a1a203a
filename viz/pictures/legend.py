"""The legend of a gradient picture: what width and colour mean, which norm, of which loss, over how many steps."""

from __future__ import annotations

from viz.flow.messages import Flow
from viz.render.scale import Scale
from viz.render.svg import element, text
from viz.render.theme import Theme, shorten, text_width


def legend(flow: Flow, T: int, scale: Scale, theme: Theme) -> tuple[str, float, float]:
    """The scale as a wedge with decade ticks, and what is measured; its height and width. T is 0 without time."""
    unit, x0, y = 44.0, 14.0, 34.0
    width = unit * (scale.high - scale.low)
    timed = T > 0
    heading = ("gradient sent along each edge (Euclidean norm, log scale); arrows: the way it flows"
               + (", back in time" if timed else ""))
    parts = [text(0, 12, heading, anchor="start", font_size="12", font_weight="bold")]
    slices = 8 * (scale.high - scale.low)
    for j in range(slices):
        g = 10 ** (scale.low + (j + 0.5) / 8)
        w = scale.width(g)
        parts.append(element("rect", x=x0 + j * unit / 8, y=y - w / 2, width=unit / 8 + 0.3, height=w,
                             fill=theme.magnitude(scale.place(g))))
    for j, decade in enumerate(scale.decades):
        x = x0 + j * unit
        parts.append(element("line", x1=x, y1=y + 5, x2=x, y2=y + 10, stroke=theme.wire))
        parts.append(text(x, y + 23, "10", sub=None, font_size="11")[: -len("</text>")]
                     + f'<tspan dy="-4" font-size="80%">{decade}</tspan></text>')
    x = x0 + width + 36
    parts.append(element("line", x1=x, y1=y, x2=x + 40, y2=y, stroke=theme.nothing, stroke_width=1.6,
                         stroke_dasharray="1.5 3.5", stroke_linecap="round"))
    parts.append(text(x + 46, y + 4, "exactly zero", anchor="start", font_size="11"))
    parts.append(element("line", x1=x, y1=y + 19, x2=x + 40, y2=y + 19, stroke=theme.alarm, stroke_width=6.0))
    parts.append(text(x + 46, y + 23, "! NaN or infinite", anchor="start", font_size="11"))
    loss = flow.graph.nodes[flow.root]
    span = f" (T = {T} step{'s' * (T != 1)})" if timed else ""
    what = f"The gradient of {shorten(loss.get('symbol', loss['name']), 12)}{span}, over the whole batch."
    if timed:
        what += " Under each state: the norm of its whole gradient."
    parts.append(text(0, y + 46, what, anchor="start", font_size="11", fill=theme.faint))
    return "".join(parts), y + 50, max(text_width(heading, 12) * 1.08, text_width(what, 11), x + 170)
