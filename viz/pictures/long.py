"""A long net as a picture: not sixteen thousand boxes, but the first cells, the last cells, and between them a number.

Below the cells, over one time axis, what a thousand boxes would not show: a heat map with a row for the cell path, each
gate, the candidate and the hidden state, and the norms at the states as curves on a log scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.allocator import collector_paused
from viz.flow.messages import Flow
from viz.graph.steps import Layer, layers, no_steps, state_roles
from viz.graph.trace import traced
from viz.layout.lanes import labelled, offsets
from viz.numbers import short
from viz.pictures.heat_old import Axis, Column, curve, heat_row, look, shape, time_ticks
from viz.pictures.legend_old import loss_of, off_the_scale, power_of_ten, wedge
from viz.pictures.row import Row, backwards
from viz.pictures.wires_old import ALARM, ZERO, Look, Stamps
from viz.render.drawing import Drawing
from viz.render.markup import document, element, heading, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, LEVELS, Theme, need_theme
from viz.typography import shorten

ROLES = ("cell", "gate", "candidate", "hidden")  # the rows, from the top
LEFT, RIGHT, HEIGHT, PLOT, MIDDLE = 128.0, 92.0, 20.0, 150.0, 190.0
CARRIED = "carried over"


def draw_long(
    net: Node | nx.MultiDiGraph | Flow,
    *,
    flow: Flow | None = None,
    cells: int = 2,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme = DEFAULT,
) -> Drawing:
    """Draw a long net: the first and the last cells, and all steps as heat maps and curves.

    Args:
        net: the loss, a graph from `trace`, or a `Flow`.
        flow: from `gradient_flow`: then colours and curves show norms of gradients. Without one they show what the
            cells hold: of gates the mean, which says how far they are open (of a graph, which knows no means, the
            root mean square), of the others the root mean square; as curves the norms of the states.
        cells: how many cells to draw at either end; all, if the net has one more than twice as many or fewer.
        name: the title.
        scale: norms of gradients to widths and colours; by default the decades of what is drawn.
        theme: sizes and colours.

    Returns:
        A `Drawing`, the last layer on top. A decoder stands to the right of its encoder, each with its own step
        numbers: it runs later. Where a step would be narrower than a pixel, columns are bins of steps, in
        whose upper half stands the largest, in the lower the smallest.

    Raises:
        TypeError: if net is none of these.
        ValueError: if there are no time steps, or ``cells`` is less than 1.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((1000, 1, 3)))
    >>> "×996" in draw_long(h.sum()).svg
    True
    """
    need_theme(theme)
    if cells < 1:
        raise ValueError(f"draw_long: cells is how many to draw at either end, at least 1; got {cells}")
    with collector_paused():
        return _drawn(net, flow, cells, name, scale, theme)


def _drawn(root: Any, flow: Flow | None, cells: int, name: str | None, scale: Scale | None, theme: Theme) -> Drawing:
    nodes: dict[str, Node] = {}
    if isinstance(root, Flow):
        root, flow = root.graph, root
    if flow is not None:
        graph = flow.graph
    elif isinstance(root, nx.MultiDiGraph):
        graph = root
    else:
        graph, ids = traced(root)
        nodes = {v: node for node, v in ids.items()}
    found = layers(graph)
    if not found:
        raise ValueError(f"draw_long: {no_steps(graph)}")
    labels = labelled([layer.path for layer in found], [backwards(layer) for layer in found])
    lanes = [Lane.of(graph, layer, flow, nodes, cells, theme, label, offset)
             for layer, label, offset in zip(found, labels, offsets(graph, found), strict=True)]
    measure = Gradients.of(lanes, flow, scale) if flow is not None else Values.of(lanes, bool(nodes))
    steps = sorted({step + lane.offset for lane in lanes for step in lane.layer.steps})
    axis = Axis(steps, LEFT, max(900.0, *(lane.strip_width() for lane in lanes)))
    stamps = Stamps()
    called = name or f"{_called(found)}, T = {_lengths(lanes)}"
    parts, y = [heading(theme.margin, 28, called)[0]], 44.0
    markup, height = measure.legend(axis, theme)
    parts.append(element("g", markup, transform=f"translate({theme.margin:g},{y:g})"))
    y += height + 16
    for lane in reversed(lanes):
        markup, height = lane.paint(axis, y, measure, stamps)
        parts.append(markup)
        y += height + 24
    return document(stamps.finished("".join(parts)), LEFT + axis.width + RIGHT, y, theme, called)


def _called(found: list[Layer]) -> str:
    """What all layers together are called: the last parts of their paths."""
    return " and ".join(filter(None, list(dict.fromkeys(layer.path.split("/")[-1] for layer in found))[:3])) or "net"


def _lengths(lanes: list[Lane]) -> str:
    """How many steps there are: ``1000``; of an encoder and its decoder ``40 + 25``."""
    steps: dict[int, set[int]] = {}
    for lane in lanes:
        steps.setdefault(lane.offset, set()).update(lane.layer.steps)
    return " + ".join(str(len(steps[offset])) for offset in sorted(steps))


# ---------------------------------------------------------------------------------------------- what is shown
@dataclass
class Quantity:
    """A row of the heat map: what it is called, its role, and its values by the layer's own steps."""

    label: str
    symbol: str
    role: str | None
    values: dict[int, float | None]
    state: bool

    def along(self, axis: Axis, offset: int) -> list[Column]:
        """The columns of the heat map, of a layer whose steps stand so much later on the axis."""
        return axis.binned([self.values.get(step - offset) for step in axis.steps])

    def words(self) -> str:
        """The largest and the smallest, for someone who points at the row."""
        there = {step: x for step, x in self.values.items() if x is not None and math.isfinite(x)}
        strange = [step for step, x in self.values.items() if x is not None and not math.isfinite(x)]
        said = f"{self.label}: "
        if there:
            top, low = max(there, key=lambda s: there[s]), min(there, key=lambda s: there[s])
            said += f"largest {there[top]:.4g} at t = {top}, smallest {there[low]:.4g} at t = {low}"
        if strange:
            said += f"; NaN or infinite at {len(strange)} steps, first at t = {min(strange)}"
        return said


@dataclass
class Gradients:
    """The norms of gradients, on a log scale of colours."""

    flow: Flow
    scale: Scale
    curves: Scale
    looks: set[Look]
    lowest: int  # the decade of the smallest number, be it on the scale of colours or below it

    @classmethod
    def of(cls, lanes: list[Lane], flow: Flow, scale: Scale | None) -> Gradients:
        """The scale of what is drawn."""
        drawn = [x for lane in lanes for row in lane.rows for x in row.values.values() if x is not None]
        drawn += [g for lane in lanes if lane.row is not None for g in lane.row.norms()]
        states = [x for lane in lanes for row in lane.norms for x in row.values.values() if x is not None]
        return cls(flow, scale or Scale.of(drawn), Scale.of(states, widest=330), off_the_scale(drawn),
                   Scale.of(drawn, widest=330).low)

    def place(self, x: float) -> float:
        """Where on the scale of colours."""
        return self.scale.place(x)

    @property
    def curve_heading(self) -> str:
        """What the curves show."""
        return "norm of the gradient at each state, log scale"

    def legend(self, axis: Axis, theme: Theme) -> tuple[str, float]:
        """The scale, and what is measured."""
        T = len(axis.steps)
        notes = [f"The gradient of {loss_of(self.flow)} (T = {T} step{'s' * (T > 1)}), over the whole batch. Lines in "
                 "the cells: the message along each edge.",
                 "Heat map: the norm of the gradient at each quantity; the number on the right is that of the last "
                 "step. No colour: no gradient arrives.",
                 f"“{CARRIED}”: the part that comes straight from the next step's state, through products and sums "
                 "alone."]
        if self.lowest < self.scale.low:
            notes[2] += " Darkest: the lowest number of the scale, or less"
            notes[2] += "; the curves go on." if self.curves.low < self.scale.low else "."
        heading = "norm of the gradient (Euclidean, log scale)"
        return wedge(self.scale, heading, self.looks, notes + binning(axis), theme)[:2]


@dataclass
class Values:
    """What the cells hold, on a linear scale of colours from 0 to ``top``."""

    top: float
    curves: Scale
    means: bool
    looks: set[Look]

    @classmethod
    def of(cls, lanes: list[Lane], means: bool) -> Values:
        """From 0 to 1 where there are gates, which lie in between; else up to the next round number."""
        rows = [row for lane in lanes for row in lane.rows]
        top = 1.0
        held = [x for row in rows for x in row.values.values() if x is not None]
        if not any(row.role == "gate" for row in rows):
            most = max((x for x in held if math.isfinite(x)), default=1.0)
            top = next((m * 10.0**e for e in range(-9, 300) for m in (1, 2, 5) if m * 10.0**e >= most), most)
        norms = (x for lane in lanes for row in lane.norms for x in row.values.values() if x is not None)
        return cls(top, Scale.of(norms, widest=330), means, off_the_scale(held))

    def place(self, x: float) -> float:
        """Where on the scale of colours."""
        return x / self.top

    @property
    def curve_heading(self) -> str:
        """What the curves show."""
        return "norm of each state, log scale"

    def legend(self, axis: Axis, theme: Theme) -> tuple[str, float]:
        """The scale, and what is shown."""
        unit, y = 3.4, 24.0
        parts = [text(0, 12, "what the cells hold (linear scale)", anchor="start", font_size="12", font_weight="bold")]
        for j in range(LEVELS + 1):
            parts.append(element("rect", x=14 + j * unit, y=y, width=unit + 0.3, height=14.0,
                                 fill=theme.magnitude(j / LEVELS)))
        for share in (0.0, 0.5, 1.0):
            x = 14 + share * unit * (LEVELS + 1)
            parts.append(element("line", x1=x, y1=y + 14, x2=x, y2=y + 19, stroke=theme.wire))
            parts.append(text(x, y + 31, f"{share * self.top:g}", font_size="11"))
        x = 14 + unit * (LEVELS + 1) + 30
        if ZERO in self.looks:
            parts.append(shape(look(0.0, self.place), f"M{x},{y + 7}h40", theme))
            parts.append(text(x + 46, y + 11, "exactly zero", anchor="start", font_size="11"))
            x += 140
        if ALARM in self.looks:
            parts.append(element("rect", x=x, y=y, width=40, height=14, fill=theme.alarm))
            parts.append(text(x + 48, y + 11, "NaN or infinite", anchor="start", font_size="11"))
        said = "Gates: the mean, 0 shut and 1 open. Others: the" if self.means else "The"
        notes = [f"{said} root mean square, over all units and the whole batch; {self.top:g} or more is lightest.",
                 *binning(axis)]
        for j, words in enumerate(notes):
            parts.append(text(0, y + 52 + 16 * j, words, anchor="start", font_size="11", fill=theme.faint))
        return "".join(parts), y + 52 + 16 * len(notes) - 10


def binning(axis: Axis) -> list[str]:
    """What a column is, where it is not one step."""
    if axis.per == 1:
        return []
    return [f"A column is {axis.per} steps: the upper half shows the largest of them, the lower half the smallest; "
            "curves are bands from the smallest to the largest."]


# ---------------------------------------------------------------------------------------------- one layer
@dataclass
class Lane:
    """One layer: its cells at either end, its rows, the norms of its states. Columns are steps plus ``offset``."""

    layer: Layer
    row: Row
    rows: list[Quantity]
    norms: list[Quantity]
    flow: Flow | None
    label: str = ""
    offset: int = 0

    @classmethod
    def of(cls, graph: nx.MultiDiGraph, layer: Layer, flow: Flow | None, nodes: Mapping[str, Node], cells: int,
           theme: Theme, label: str = "", offset: int = 0) -> Lane:
        """All that is drawn of a layer."""
        order = layer.order
        shown = order if len(order) <= 2 * cells + 1 else order[:cells] + order[-cells:]
        row = Row.of(graph, layer, flow, shown, theme)
        symbols = row.tile.cell.symbols
        rows, norms = [], []
        gradients, arrivals = (flow.gradients, flow.arrivals) if flow is not None else ({}, {})
        for name, symbol, role in quantities(graph, layer, shown, symbols):
            ids = {step: v for step, inside in layer.steps.items() if (v := inside.get(name)) is not None}
            state = name in symbols or role in ("cell", "hidden")
            if flow is not None:
                values = {step: gradients.get(v) for step, v in ids.items()}
                rows.append(Quantity(f"∂L/∂{symbol}", symbol, role, values, state))
                carry = {step: a.carry for step, v in ids.items() if (a := arrivals.get(v)) is not None}
                if any(x != 0 for x in carry.values()):
                    rows.append(Quantity(CARRIED, symbol, role, dict(carry), False))
            else:
                held = {step: mean(nodes[v]) if v in nodes and role == "gate" else rms(graph.nodes[v])
                        for step, v in ids.items()}
                rows.append(Quantity(symbol, symbol, role, dict(held), False))
                if state:
                    sizes = {step: graph.nodes[v]["norm"] for step, v in ids.items()}
                    norms.append(Quantity(symbol, symbol, role, sizes, True))
        if flow is not None:
            norms = [row for row in rows if row.state]
        return cls(layer, row, rows, norms, flow, label, offset)

    def strip_width(self) -> float:
        """How wide the cells are, side by side."""
        n, folds = len(self.row.shown), len(self.row.shown) < len(self.layer.steps)
        return n * (self.row.tile.width + self.row.theme.between) + (MIDDLE if folds else 0.0)

    def span(self, axis: Axis) -> tuple[float, float]:
        """Where on the axis the layer runs: the left edge of its first column and the right edge of its last."""
        steps = self.layer.steps
        return axis.x(axis.column(min(steps) + self.offset)), axis.x(axis.column(max(steps) + self.offset) + 1)

    def paint(self, axis: Axis, y: float, measure: Gradients | Values, stamps: Stamps) -> tuple[str, float]:
        """The cells, the heat map, the curves and the time axis, from y down; and how high it all is."""
        theme, tile, start = self.row.theme, self.row.tile, y
        parts = []
        if self.label:
            parts.append(text(theme.margin, y + 14, self.label, anchor="start", font_weight="bold"))
            y += 28
        lefts = self.lefts(axis, theme)
        parts.append(self.guides(axis, lefts, y + tile.height + 24, y + tile.height + 62))
        scale = measure.scale if isinstance(measure, Gradients) else measure.curves
        parts.append(self.row.paint(lefts, y, scale, stamps))
        parts.append(self.middle(lefts, y))
        y += tile.height + 62
        for row in self.rows:
            parts.append(self.heat(row, axis, y, measure))
            y += HEIGHT + 3
        y += 26
        if self.norms:
            parts.append(self.curves(axis, y, measure))
            y += PLOT + 4
        own = self.layer.steps
        parts.append(time_ticks(axis, y, theme, [t if (t := step - self.offset) in own else None
                                                 for step in axis.steps]))
        return "".join(parts), y + 24 - start

    def lefts(self, axis: Axis, theme: Theme) -> dict[int, float]:
        """The left edge of each cell, above where the layer runs: the first ones on the left, the last on the right."""
        shown, pitch = self.row.shown, self.row.tile.width + theme.between
        a, b = self.span(axis)
        room = max(b - a, self.strip_width())
        start = min(max((a + b - room) / 2, axis.left), axis.left + axis.width - room)
        free = room - len(shown) * pitch
        if len(shown) == len(self.layer.steps):
            return {step: start + free / 2 + theme.between / 2 + j * pitch for j, step in enumerate(shown)}
        half, start = len(shown) // 2, start + theme.between / 2
        return {step: start + j * pitch + (free if j >= half else 0.0) for j, step in enumerate(shown)}

    def middle(self, lefts: Mapping[int, float], y: float) -> str:
        """⋯ and how many cells are not drawn."""
        shown, tile, theme = self.row.shown, self.row.tile, self.row.theme
        more = len(self.layer.steps) - len(shown)
        if not more:
            return ""
        a, b = shown[len(shown) // 2 - 1], shown[len(shown) // 2]
        x, mid = (lefts[a] + tile.width + lefts[b]) / 2, y + tile.height / 2
        between = [step for step in sorted(self.layer.steps) if a < step < b]
        return "".join([
            text(x, mid - 12, "⋯", font_size="30", fill=theme.faint),
            text(x, mid + 18, f"×{more}", font_size="22", font_weight="bold"),
            text(x, mid + 38, "the same cell and weights", font_size="11", fill=theme.faint),
            text(x, y + tile.height + 17, f"t = {between[0]} … {between[-1]}", font_size="12", fill=theme.faint),
        ])

    def guides(self, axis: Axis, lefts: Mapping[int, float], y1: float, y2: float) -> str:
        """From each cell to its column."""
        parts = []
        for step, x in lefts.items():
            j = axis.column(step + self.offset)
            points = [(x, y1), (x + self.row.tile.width, y1), (axis.x(j + 1), y2), (axis.x(j), y2)]
            d = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in points) + "z"
            parts.append(element("path", d=d, fill=self.row.theme.tile, stroke=self.row.theme.rim, stroke_width=0.6))
        return "".join(parts)

    def heat(self, row: Quantity, axis: Axis, y: float, measure: Gradients | Values) -> str:
        """One row, its name, and its two ends."""
        theme = self.row.theme
        colour = theme.colour(row.symbol, row.role)
        chip = element("rect", x=LEFT - 14, y=y, width=6, height=HEIGHT, fill=colour) if colour else ""
        a, b = self.span(axis)
        body = element("rect", x=a, y=y, width=b - a, height=HEIGHT, fill=theme.tile)
        body += heat_row(row.along(axis, self.offset), axis, y, HEIGHT, measure.place, theme)
        last = row.values.get(max(self.layer.steps))
        return "".join([
            text(LEFT - 20, y + HEIGHT / 2 + 4.5, shorten(row.label, 14), anchor="end", font_size="12"), chip,
            element("g", title(row.words()) + body),
            text(b + 8, y + HEIGHT / 2 + 4, "" if last is None else short(last), anchor="start",
                 font_size="11", fill=theme.faint),
        ])

    def curves(self, axis: Axis, y: float, measure: Gradients | Values) -> str:
        """The norms at the states, on a log scale."""
        theme, scale = self.row.theme, measure.curves
        top, floor = y + 8, y + PLOT - 14

        def height(x: float) -> float:
            return floor - 8 - scale.place(x) * (floor - 8 - top)

        parts = [text(axis.left, y - 2, measure.curve_heading, anchor="start", font_size="12", font_weight="bold")]
        apart = next(s for s in (1, 2, 5, 10, 20, 50, 100) if (scale.high - scale.low) / s <= 6)
        for decade in scale.decades:
            if decade % apart == 0:
                h = height(10.0**decade)
                parts.append(element("line", x1=axis.left, y1=h, x2=axis.left + axis.width, y2=h, stroke=theme.rim,
                                     stroke_width=0.7))
                parts.append(power_of_ten(axis.left - 4, h + 4, decade, anchor="end", font_size="11", fill=theme.faint))
        ends: list[tuple[float, str, str]] = []
        for j, row in enumerate(self.norms):
            colour = theme.colour(row.symbol, row.role) or (theme.ink, theme.wire, theme.faint)[j % 3]
            columns = row.along(axis, self.offset)
            dashes = "6 3" if row.role == "cell" else None
            parts.append(element("g", title(row.words()) + curve(columns, axis, height, floor, colour, dashes, theme)))
            last = next((c.high for c in reversed(columns) if c.high and math.isfinite(c.high)), None)
            ends.append((floor if last is None else height(last), row.symbol, colour))
        at = -math.inf
        for h, symbol, colour in sorted(ends):
            at = max(h + 4, at + 14)
            parts.append(text(self.span(axis)[1] + 8, at, shorten(symbol, 8), anchor="start", font_size="12",
                              font_style="italic", font_weight="bold", fill=colour))
        return "".join(parts)


def quantities(graph: nx.MultiDiGraph, layer: Layer, shown: Iterable[int],
               symbols: Mapping[str, str]) -> Iterable[tuple[str, str, str | None]]:
    """What gets a row: name, symbol and role of what bears one of the four roles, and of every state.

    Where a wrapper hands on something else than the state that the cell marked, and under its name, it has the row.
    """
    said = {name: graph.nodes[v] for step in shown for name, v in layer.steps[step].items()}
    roles = {name: one.get("role") for name, one in said.items()} | state_roles(graph, layer)
    taken = set(symbols.values())
    wanted = [name for name in said if name in symbols or roles[name] in ("gate", "candidate")
              or (roles[name] in ROLES and said[name].get("symbol") not in taken)]

    def rank(name: str) -> int:
        role = roles.get(name)
        return ROLES.index(role) if role in ROLES else len(ROLES)

    for name in sorted(wanted, key=rank):
        yield name, str(symbols.get(name) or said[name].get("symbol") or name), roles.get(name)


def mean(node: Node) -> float:
    """The mean of what a node holds."""
    return float(np.mean(node.data))


def rms(said: Mapping[str, Any]) -> float:
    """The root mean square of what a node holds, from its norm and shape."""
    size = math.prod(int(n) for n in said["shape"].strip("()").split(",") if n.strip())
    return float(said["norm"]) / math.sqrt(size) if size else 0.0
