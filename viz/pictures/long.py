"""A long net as a picture: not sixteen thousand boxes, but a few cells from where the gradient changes.

Below the cells, over one time axis, what a thousand boxes would not show: a heat map with a row for the cell path, each
gate, the candidate and the hidden state, and the norms at the states as curves on a log scale.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.allocator import collector_paused
from viz.errors import need
from viz.flow.compare import listed, percent
from viz.flow.finding import finding, name_of
from viz.flow.finding import steps as so_many_steps
from viz.flow.messages import Flow
from viz.graph.labels import labelled
from viz.graph.root import Root, as_node
from viz.graph.steps import Layer, layers, no_steps, state_roles, unchanged
from viz.graph.trace import traced
from viz.layout.lanes import offsets
from viz.numbers import short
from viz.pictures.legend import anchor_of, loss_of, measured, own_scale
from viz.pictures.row import STUB, Row, backwards, kinds
from viz.render.drawing import Drawing
from viz.scale import Scale, need_scale
from viz.scene.chart import (
    READABLE,
    SMALL,
    Axis,
    Bin,
    Block,
    axis_line,
    curve,
    decade_lines,
    heading,
    heat_row,
    legend,
    level,
    paragraph,
    sample,
)
from viz.scene.items import Area, Box, Item, Scene, Stamps, Text, line
from viz.scene.wires import ALARM, ZERO, off_the_scale
from viz.theme import LEVELS, Theme, need_theme
from viz.typography import fitting, shorten, widest, wrapped

ROLES = ("cell", "gate", "candidate", "hidden")  # the rows, from the top
KINDS = {"cell": "state", "hidden": "state", "gate": "gate", "candidate": "candidate"}
HEIGHT, PLOT = 20.0, 150.0  # of a row of the heat map, and of the curves
LABEL = 104.0  # the widest name of a row
NUMBER = 66.0  # room on the right, for 1.3·10⁻¹²
DECADES = 10.0  # below that, scales tell no two gradients apart
CARRIED = "carried over"


def draw_long(
    net: Root | nx.MultiDiGraph | Flow,
    *,
    flow: Flow | None = None,
    cells: int | None = None,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme | str | None = None,
) -> Drawing:
    """Draw a long net: a few cells, and all steps as heat maps and curves.

    Args:
        net: the loss, also one of PyTorch, a graph from `trace`, or a `Flow`.
        flow: from `gradient_flow`: then the cells stand where the gradient changes, from the last step to the first,
            and colours and curves show norms of gradients. Without one the first and the last cells are drawn, and what
            the cells hold: of gates the mean, which says how far they are open (of a graph, which knows no means, the
            root mean square), of the others the root mean square; as curves the norms of the states.
        cells: how many cells to draw of each layer; by default up to four, as many as the page has room for.
        name: what the net is called.
        scale: norms of gradients to widths and colours; by default multiples of the norm at lag 0.
        theme: the name of a theme, or a `Theme`; by default the one that `set_theme` chose.

    Returns:
        A `Drawing`, the last layer on top. A decoder stands to the right of its encoder, each with its own step
        numbers: it runs later. Where a step would be narrower than a pixel, columns are bins of steps, in
        whose upper half stands the largest, in the lower the smallest.

    Raises:
        TypeError: if net is none of these, or ``cells`` no whole number.
        ValueError: if there are no time steps, or ``cells`` is less than 1.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((1000, 1, 3)))
    >>> drawing = draw_long(h.sum(), cells=4)
    >>> drawing.scene.title, "×996" in drawing.scene.words
    ('rnn, 1000 steps: the norm of h lies between 1.1 and 1.4', True)
    """
    theme = need_theme(theme)
    need_scale("draw_long", scale)
    need("draw_long, cells", cells, (int, np.integer, type(None)), "how many cells to draw, a whole number")
    if cells is not None and cells < 1:
        raise ValueError(f"draw_long: cells is how many to draw, at least 1; got {cells}")
    with collector_paused(), unchanged():
        return Drawing.of(_scene(net, flow, cells, name or "", scale, theme))


def _scene(root: Any, flow: Flow | None, cells: int | None, name: str, scale: Scale | None, theme: Theme) -> Scene:
    nodes: dict[str, Node] = {}
    if isinstance(root, Flow):
        root, flow = root.graph, root
    root = as_node("draw_long", root)
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
    margin = theme.margin
    width = max(theme.page, *(lane.strip_width() + 2 * margin for lane in lanes))
    left = margin + max(lane.label_width() for lane in lanes) + 22
    steps = sorted({step + lane.offset for lane in lanes for step in lane.layer.steps})
    axis = Axis(steps, left, width - left - NUMBER)
    measure = Gradients.of(lanes, flow, scale) if flow is not None else Values.of(lanes, bool(nodes))
    title = held(lanes[-1], name or name_of(graph), bool(nodes)) if flow is None else finding(flow, name)
    inner = width - 2 * margin
    blocks = [heading(title, inner, theme, _subtitle(lanes)), measure.legend(axis, min(inner, READABLE), theme)]
    stamps, items, y = Stamps(), list[Item](), margin
    for block in blocks:
        items.append(block.at(margin, y))
        y += block.height + 14
    for lane in reversed(lanes):
        drawn, height = lane.items(axis, y, width, measure, stamps)
        items += drawn
        y += height + 24
    summary = " ".join([_subtitle(lanes) + ".", *(f"{row.words(lane.label)}." for lane in lanes for row in lane.norms)])
    return Scene(items, width, y, title, summary, theme, stamps)


def held(lane: Lane, net: str, means: bool) -> str:
    """What the cells of a layer hold, in one sentence: how far its gates are open, or else how large its state is."""
    label = ", ".join(part.strip("← →") for part in lane.label.split(", "))
    whose = f"{net}{f' ({label})' if label else ''}, {so_many_steps(len(lane.layer.steps))}"
    gates = {row.symbol: row.mean for row in lane.rows if row.role == "gate"}
    if means and gates and all(map(math.isfinite, gates.values())):
        said = listed([f"{percent(share)} ({symbol})" for symbol, share in gates.items()])
        return f"{whose}: the {'gates are' if len(gates) > 1 else 'gate is'} open by {said} on average"
    for row in lane.norms[:1]:
        there = [x for x in row.values.values() if x is not None]
        if all(map(math.isfinite, there)):
            return f"{whose}: the norm of {row.symbol} lies between {short(min(there))} and {short(max(there))}"
        return f"{whose}: {row.symbol} is NaN or infinite at {so_many_steps(sum(not math.isfinite(x) for x in there))}"
    return whose


def _subtitle(lanes: list[Lane]) -> str:
    """What is drawn, in a line."""
    steps: dict[int, set[int]] = {}
    for lane in lanes:
        steps.setdefault(lane.offset, set()).update(lane.layer.steps)
    T = " + ".join(str(len(steps[offset])) for offset in sorted(steps))
    drawn = len(lanes[-1].row.shown)
    if not drawn:
        return f"T = {T}: every step over one axis of time"
    cells = f"{drawn} of its cells" if drawn < len(lanes[-1].layer.steps) else "its cells"
    return f"T = {T}: {cells}, the same weights in each, and below them every step over one axis of time"


# ---------------------------------------------------------------------------------------------- what is shown
@dataclass
class Quantity:
    """A row of the heat map: what it is called, its role, and its values by the layer's own steps."""

    label: str
    symbol: str
    role: str | None
    values: dict[int, float | None]
    state: bool

    @property
    def mean(self) -> float:
        """The mean over all steps; NaN without any."""
        there = [x for x in self.values.values() if x is not None]
        return sum(there) / len(there) if there else math.nan

    def along(self, axis: Axis, offset: int) -> list[Bin]:
        """The columns of the heat map, of a layer whose steps stand so much later on the axis."""
        return axis.binned([self.values.get(step - offset) for step in axis.steps])

    def words(self, lane: str = "") -> str:
        """The largest and the smallest, for someone who points at the row."""
        there = {step: x for step, x in self.values.items() if x is not None and math.isfinite(x)}
        strange = [step for step, x in self.values.items() if x is not None and not math.isfinite(x)]
        said = f"{lane}, {self.label}: " if lane else f"{self.label}: "
        if there:
            top, low = max(there, key=lambda s: there[s]), min(there, key=lambda s: there[s])
            said += f"largest {short(there[top])} at t = {top}, smallest {short(there[low])} at t = {low}"
        if strange:
            said += f"; NaN or infinite at {len(strange)} steps, first at t = {min(strange)}"
        return said


@dataclass
class Gradients:
    """The norms of gradients, on a log scale of colours."""

    flow: Flow
    scale: Scale
    curves: Scale
    looks: Collection[Any]
    carried: bool

    @classmethod
    def of(cls, lanes: list[Lane], flow: Flow, scale: Scale | None) -> Gradients:
        """The scale of what is drawn."""
        drawn = [x for lane in lanes for row in lane.rows for x in row.values.values() if x is not None]
        drawn += [g for lane in lanes for g in lane.row.norms()]
        states = [x for lane in lanes for row in lane.norms for x in row.values.values() if x is not None]
        scale = None if scale is None else own_scale(scale, flow)
        anchor = anchor_of(flow) if scale is None else scale.anchor
        return cls(flow, scale or Scale.of(drawn, anchor=anchor), Scale.of(states, anchor=anchor, widest=330),
                   off_the_scale(drawn), any(row.label == CARRIED for lane in lanes for row in lane.rows))

    def place(self, x: float) -> float:
        """Where on the scale of colours."""
        return self.scale.place(x)

    def shade(self, place: float, theme: Theme) -> str:
        """The colour there."""
        return self.scale.shade(place, theme)

    @property
    def curve_heading(self) -> str:
        """What the curves show."""
        return measured(self.curves, "gradient at each state", flow=self.flow)

    def legend(self, axis: Axis, width: float, theme: Theme) -> Block:
        """The scale, and what is measured."""
        notes = [f"The gradient of {loss_of(self.flow)}, over the whole batch. A wire shows the message along it, a "
                 "number in a frame the whole gradient at a state, a row of colours the gradient at a quantity at each "
                 "step; the number on its right is that of the last step. No colour: no gradient arrives.",
                 *([f"“{CARRIED}”: the part of the row above that comes straight from the next step's state, through "
                    "products and sums alone."] if self.carried else []), *binning(axis)]
        return legend(self.scale, measured(self.scale, "gradient", flow=self.flow), self.looks, notes, width, theme)


@dataclass
class Values:
    """What the cells hold, on a linear scale of colours from 0 to ``top``."""

    top: float
    curves: Scale
    means: bool
    looks: Collection[Any]
    curve_heading = "norm of each state (log scale)"

    @classmethod
    def of(cls, lanes: list[Lane], means: bool) -> Values:
        """From 0 to 1 where there are gates, which lie in between; else up to the next round number."""
        rows = [row for lane in lanes for row in lane.rows]
        top = 1.0
        held = [x for row in rows for x in row.values.values() if x is not None]
        gated = any(row.role == "gate" for row in rows)
        if not gated:
            most = max((x for x in held if math.isfinite(x)), default=1.0)
            top = next((m * 10.0**e for e in range(-9, 300) for m in (1, 2, 5) if m * 10.0**e >= most), most)
        norms = (x for lane in lanes for row in lane.norms for x in row.values.values() if x is not None)
        return cls(top, Scale.of(norms, widest=330), means and gated, off_the_scale(held))

    @property
    def heading(self) -> str:
        """What the colours show."""
        return "How far gates are open, and how large states are" if self.means else "How large values are"

    @property
    def scale(self) -> Scale:
        """That of the wires, which show no gradient here."""
        return self.curves

    def place(self, x: float) -> float:
        """Where on the scale of colours."""
        return min(x / self.top, 1.0)

    def shade(self, place: float, theme: Theme) -> str:
        """The colour there."""
        return theme.magnitude(place)

    def legend(self, axis: Axis, width: float, theme: Theme) -> Block:
        """The scale, and what is shown."""
        items: list[Item] = [Text(0, 12, fitting(self.heading, width, 12, bold=True), 12, bold=True)]
        unit, y = 3.4, 24.0
        items += [Box(14 + j * unit, y, unit + 0.3, 14, fill=theme.magnitude(j / LEVELS), crisp=True)
                  for j in range(LEVELS + 1)]
        end = 14 + unit * (LEVELS + 1)
        for share in (0.0, 0.5, 1.0):
            x = 14 + share * (end - 14)
            items += [line(x, y + 14, x, y + 19, stroke=theme.wire),
                      Text(x, y + 31, f"{share * self.top:g}", SMALL, "middle")]
        low = y
        for how, words in ((ZERO, "exactly zero"), (ALARM, "NaN or infinite")):
            if how in self.looks:
                items += sample(how, end + 34, low + 7, self.curves, theme, wires=False)
                items.append(Text(end + 80, low + 11, words, SMALL))
                low += 20
        said = "Gates: the mean. Others: the" if self.means else "The"
        notes = paragraph([f"{said} root mean square, over all units and the whole batch; {self.top:g} or more is "
                           "lightest. On the right stands the mean of all steps.", *binning(axis)], width, theme)
        return Block([*items, notes.at(0, y + 42)], width, y + 42 + notes.height)


def binning(axis: Axis) -> list[str]:
    """What a column is, where it is not one step."""
    if axis.per == 1:
        return []
    return [f"A column is {axis.per} steps: the upper half shows the largest of them, the lower half the smallest; "
            "curves are bands from the smallest to the largest."]


# ---------------------------------------------------------------------------------------------- one layer
@dataclass
class Lane:
    """One layer: some of its cells, its rows, the norms of its states. Columns are steps plus ``offset``."""

    layer: Layer
    row: Row
    rows: list[Quantity]
    norms: list[Quantity]
    flow: Flow | None
    label: str = ""
    offset: int = 0

    @classmethod
    def of(cls, graph: nx.MultiDiGraph, layer: Layer, flow: Flow | None, nodes: Mapping[str, Node], cells: int | None,
           theme: Theme, label: str = "", offset: int = 0) -> Lane:
        """All that is drawn of a layer."""
        of_each_kind = kinds(layer)
        row = Row.of(graph, layer, flow, [], theme, fitting=of_each_kind)
        symbols = row.tile.cell.symbols
        rows, norms = [], []
        gradients, arrivals = (flow.gradients, flow.arrivals) if flow is not None else ({}, {})
        for name, symbol, role in quantities(graph, layer, of_each_kind, symbols):
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
                rows.append(Quantity(f"{KINDS.get(role or '', '')} {symbol}".lstrip(), symbol, role, dict(held), False))
                if state:
                    sizes = {step: graph.nodes[v]["norm"] for step, v in ids.items()}
                    norms.append(Quantity(symbol, symbol, role, sizes, True))
        if flow is not None:
            norms = [row for row in rows if row.state]
        lane = cls(layer, row, rows, norms, flow, label, offset)
        row.shown = lane.chosen(min(cells or lane.room(theme), len(layer.steps)))
        return lane

    # -- cells
    def gap(self, a: int, b: int) -> float:
        """How far apart two cells stand: less, where one follows on the other."""
        follows = abs(self.row.turn[a] - self.row.turn[b]) == 1
        return self.row.theme.between + (0.0 if follows else 12 + STUB)

    def room(self, theme: Theme) -> int:
        """How many cells the page has room for, four at most."""
        row, width = self.row, theme.page - 2 * theme.margin
        T = len(self.layer.steps)
        if row.width(T) <= width:
            return min(T, 5)
        fits = int((width - STUB + 12 + STUB) // (row.tile.width + row.theme.between + 12 + STUB))
        return min(fits, 4)

    def chosen(self, n: int) -> list[int]:
        """The steps whose cells are drawn, in the order of time."""
        order = self.layer.order
        if n >= len(order):
            return sorted(order)
        if self.flow is None:
            return sorted(order[: (n + 1) // 2] + order[len(order) - n // 2:])
        state = next((row for row in self.rows if row.state), None)
        sizes = [None if state is None else state.values.get(step) for step in reversed(order)]
        return sorted(order[len(order) - 1 - lag] for lag in telling(sizes, n))

    def strip_width(self) -> float:
        """How wide the cells are, side by side."""
        shown, row = self.row.shown, self.row
        if not shown:
            return 0.0
        gaps = sum(self.gap(a, b) for a, b in pairwise(shown))
        return STUB + gaps + len(shown) * row.tile.width + row.theme.between

    def lefts(self, axis: Axis, width: float) -> dict[int, float]:
        """The left edge of each cell, above where the layer runs, if there is room."""
        row, (a, b), margin = self.row, self.span(axis), self.row.theme.margin
        wide = self.strip_width()
        x = min(max((a + b - wide) / 2, margin), width - margin - wide)
        x += STUB if row.way > 0 else row.theme.between
        found: dict[int, float] = {}
        for j, step in enumerate(row.shown):
            x += self.gap(row.shown[j - 1], step) + row.tile.width if j else 0.0
            found[step] = x
        return found

    def breaks(self, lefts: Mapping[int, float], y: float) -> list[Item]:
        """⋯ and how many cells are not drawn, between those that are."""
        row, theme, found = self.row, self.row.theme, list[Item]()
        for a, b in pairwise(row.shown):
            if more := abs(row.turn[a] - row.turn[b]) - 1:
                left, right = lefts[a] + row.tile.width, lefts[b]
                dots = left + theme.between + 6 if row.way > 0 else right - theme.between - 6
                main = row.tile.exits[row.tile.main].end[1] if row.tile.main else row.tile.height / 2
                found += [Text(dots, y + row.head + main + 5, "⋯", 14, "middle", fill=theme.faint),
                          Text((left + right) / 2, y + row.head + row.tile.height + 17, f"×{more}", 12, "middle",
                               bold=True, key=("break", a, b), datum=more, note=f"{more} more of the same cell")]
        return found

    def guides(self, axis: Axis, lefts: Mapping[int, float], y1: float, y2: float) -> list[Item]:
        """From each cell to its column."""
        found: list[Item] = []
        for step, x in lefts.items():
            a, b = axis.edges(axis.column(step + self.offset))
            found.append(Area([[(x, y1), (x + self.row.tile.width, y1), (b, y2), (a, y2)]], fill=self.row.theme.tile,
                              stroke=self.row.theme.rim, stroke_width=0.6))
        return found

    def caption(self, step: int) -> str:
        """Which step a cell is, and how far before the last one."""
        lag = len(self.layer.steps) - 1 - self.row.turn[step]
        return f"t = {step}" if self.flow is None else f"t = {step}, lag {lag}"

    # -- rows and curves
    def label_width(self) -> float:
        """How wide the names of the rows are."""
        return min(widest((row.label for row in self.rows), 12), LABEL)

    def span(self, axis: Axis) -> tuple[float, float]:
        """Where on the axis the layer runs: the left edge of its first column and the right edge of its last."""
        first, last = min(self.layer.steps), max(self.layer.steps)
        return axis.edges(axis.column(first + self.offset))[0], axis.edges(axis.column(last + self.offset))[1]

    def items(self, axis: Axis, y: float, width: float, measure: Gradients | Values,
              stamps: Stamps) -> tuple[list[Item], float]:
        """The cells, the heat map, the curves and the time axis, from y down; and how high it all is."""
        theme, row, start = self.row.theme, self.row, y
        found: list[Item] = []
        if self.label:
            found.append(Text(theme.margin, y + 14, fitting(self.label, width - 2 * theme.margin, 13, bold=True), 13,
                              bold=True, key=("lane", self.label)))
            y += 28
        if row.shown:
            lefts = self.lefts(axis, width)
            found += self.guides(axis, lefts, y + row.height, y + row.height + 38)
            found += row.items(lefts, y, measure.scale, stamps, self.caption)
            found += self.breaks(lefts, y)
            y += row.height + 38
        for one in self.rows:
            found += self.heat(one, axis, y, measure)
            y += HEIGHT + 3
        y += 11 + 15 * len(self.over_curves(axis, measure))
        if self.norms:
            found += self.curves(axis, y, measure)
            y += PLOT + 4
        own = self.layer.steps
        found += axis_line(axis, y, "t", theme, [t if (t := step - self.offset) in own else None
                                                 for step in axis.steps])
        return found, y + 24 - start

    def heat(self, one: Quantity, axis: Axis, y: float, measure: Gradients | Values) -> list[Item]:
        """One row, its name, and the number of its last step."""
        theme, key, (a, b) = self.row.theme, ("heat", self.label, one.label, one.symbol), self.span(axis)
        found: list[Item] = [Text(axis.left - 20, y + HEIGHT / 2 + 4.5, fitting(one.label, LABEL, 12), 12, "end")]
        if colour := theme.colour(one.symbol, one.role):
            found.append(Box(axis.left - 14, y, 6, HEIGHT, fill=colour))
        found.append(Box(a, y, b - a, HEIGHT, fill=theme.tile, note=one.words(), key=("row", *key[1:])))
        found += heat_row(one.along(axis, self.offset), axis, y, HEIGHT, measure.place,
                          lambda place: measure.shade(place, theme), theme, key=key, note=one.words())
        said, number = "last", one.values.get(max(self.layer.steps))
        if isinstance(measure, Values):
            said, number = "mean", one.mean
        if number is not None:
            found.append(Text(b + 8, y + HEIGHT / 2 + 4, short(number), SMALL, fill=theme.faint, key=(said, *key[1:]),
                              datum=number))
        return found

    def over_curves(self, axis: Axis, measure: Gradients | Values) -> list[str]:
        """The heading of the curves, in lines."""
        return wrapped(measure.curve_heading, axis.width + NUMBER - 16, 12, bold=True)

    def curves(self, axis: Axis, y: float, measure: Gradients | Values) -> list[Item]:
        """The norms at the states, on a log scale."""
        theme, scale = self.row.theme, measure.curves
        top, tall = y + 12, PLOT - 36
        found: list[Item] = [Text(axis.left, y - 2 - 15 * j, words, 12, bold=True)
                             for j, words in enumerate(reversed(self.over_curves(axis, measure)))]
        found += decade_lines(scale, top, tall, axis.left, axis.left + axis.width, theme)
        ends: dict[str, tuple[float, str]] = {}
        drawn: dict[tuple[float | None, ...], str] = {}
        for j, one in enumerate(self.norms):
            colour = theme.colour(one.symbol, one.role) or (theme.ink, theme.wire, theme.faint)[j % 3]
            bins = one.along(axis, self.offset)
            found += curve(bins, axis, lambda x: level(scale, x, top, tall), top + tall + 10, colour, theme,
                           dashes="6 3" if one.role == "cell" else None, key=("curve", self.label, one.symbol),
                           note=one.words())
            path = tuple(None if b.high is None else float(f"{b.high:.2e}") for b in bins)
            called = shorten(one.symbol, 8)
            if path in drawn:  # the same line: one name for both
                first = drawn[path]
                height, shade = ends.pop(first)
                called = drawn[path] = f"{first} = {called}"
                ends[called] = height, shade
                continue
            drawn[path] = called
            last = next((b.high for b in reversed(bins) if b.high and math.isfinite(b.high)), None)
            ends[called] = top + tall + 10 if last is None else level(scale, last, top, tall), colour
        at = -math.inf
        for called, (height, colour) in sorted(ends.items(), key=lambda end: end[1][0]):
            at = max(height + 4, at + 14)
            found.append(Text(self.span(axis)[1] + 8, at, fitting(called, NUMBER - 10, 12, bold=True), 12, bold=True,
                              italic=True, fill=colour))
        return found


def telling(sizes: list[float | None], n: int) -> list[int]:
    """The lags that show where a gradient changes: the first and the last, and between them round numbers at which
    equal parts of the way have been gone, in decades; equally far apart, where it hardly changes.

    >>> telling([0.9**lag for lag in range(150)], 4)
    [0, 50, 100, 149]
    >>> telling([0.1**lag for lag in range(150)], 4), telling([1.0] * 11, 3)
    ([0, 4, 7, 149], [0, 5, 10])
    """
    last, start = len(sizes) - 1, sizes[0]
    if n < 2:
        return [0][:n]
    way = [0.0]
    for size in sizes[1:]:
        gone = 0.0
        if start and math.isfinite(start) and size is not None:
            change = math.log10(size) - math.log10(start) if 0 < size < math.inf else -DECADES
            gone = abs(max(change, -DECADES))
        way.append(max(way[-1], gone))
    found = {0, last}
    for j in range(1, n - 1):
        share = j / (n - 1)
        lag = next(k for k, gone in enumerate(way) if gone >= share * way[-1]) if way[-1] > 1 else share * last
        lag = round(lag, 1 - len(str(int(lag))))
        found.add(int(lag))
    spare = (lag for lag in range(last) if lag not in found)
    while len(found) < n:
        found.add(next(spare))
    return sorted(found)


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
