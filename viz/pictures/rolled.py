"""The rolled-up net as a picture: one cell for each layer, and what it hands on goes round in a loop with a delay.

The box ``t−1`` on a loop is the textbooks' z⁻¹: what goes in comes out one step later. A layer that runs backwards in
time reads ``t+1``. Beside the rolled cell, the same cell unrolled.
"""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx

from microgradrnn.engine import Node
from microgradrnn.engine.allocator import collector_paused
from viz.flow.messages import Flow
from viz.graph.cells import Wire
from viz.graph.steps import Edge, layers, no_steps
from viz.graph.trace import norm, trace
from viz.layout.geometry import Route
from viz.layout.lanes import labelled
from viz.pictures.formula_old import lettering
from viz.pictures.glyphs_old import paint_glyphs
from viz.pictures.legend_old import loss_of, off_the_scale, wedge
from viz.pictures.row import Row, backwards, kinds
from viz.pictures.wires_old import FORWARDS, Stamps, look, paint_wire, strength
from viz.render.drawing import Drawing
from viz.render.markup import document, element, heading, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, Theme, need_theme
from viz.typography import shorten, text_width

GAP = 19.0  # between two loops one round the other


def draw_rolled(
    net: Node | nx.MultiDiGraph | Flow,
    *,
    flow: Flow | None = None,
    beside: bool = False,
    steps: int = 3,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme = DEFAULT,
) -> Drawing:
    """Draw a recurrent net rolled up: one cell a layer, with its loops.

    Args:
        net: the loss, a graph from `trace`, or a `Flow`.
        flow: from `gradient_flow`: then every line shows the norm of the messages of all steps taken together, the
            root of the sum of their squares.
        beside: draw the first steps unrolled beside each cell.
        steps: how many of them.
        name: the title.
        scale: norms to widths and colours; by default the decades of the norms that are drawn.
        theme: sizes and colours.

    Returns:
        A `Drawing`, the last layer on top. `viz.roll` has the same as a graph.

    Raises:
        TypeError: if net is none of these.
        ValueError: if there are no time steps, or ``steps`` is less than 1.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((5, 1, 3)))
    >>> "t−1" in draw_rolled(h.sum()).svg
    True
    """
    need_theme(theme)
    if steps < 1:
        raise ValueError(f"draw_rolled: steps is how many to show unrolled, at least 1; got {steps}")
    if isinstance(net, Flow):
        net, flow = net.graph, net
    with collector_paused():
        return _drawn(net, flow, beside, steps, name, scale, theme)


def _drawn(root: Node | nx.MultiDiGraph, flow: Flow | None, beside: bool, steps: int, name: str | None,
           scale: Scale | None, theme: Theme) -> Drawing:
    graph = flow.graph if flow is not None else root if isinstance(root, nx.MultiDiGraph) else trace(root)
    found = layers(graph)
    if not found:
        raise ValueError(f"draw_rolled: {no_steps(graph)}")
    labels = labelled([layer.path for layer in found], [backwards(layer) for layer in found])
    loops = [Loop(Row.of(graph, layer, flow, layer.order[:steps], theme, fitting=kinds(layer)), label)
             for layer, label in zip(found, labels, strict=True)]
    drawn = [g for loop in loops for g in loop.norms()] + [g for loop in loops if beside for g in loop.row.norms()]
    scale = scale or Scale.of(drawn)
    stamps = Stamps()
    top, wide = heading(theme.margin, 28, name or f"{_called(loops)}, rolled up")
    parts, y, width = [top], 44.0, max(420.0, wide + theme.margin)
    if flow is not None:
        markup, height, wide = _legend(scale, flow, drawn, beside, theme)
        parts.append(element("g", markup, transform=f"translate({theme.margin:g},{y:g})"))
        y, width = y + height + 14, max(wide + 2 * theme.margin, width)
    pitch = max(loop.width for loop in loops)
    for loop in reversed(loops):
        parts.append(loop.paint(theme.margin + (pitch - loop.width) / 2, y, scale))
        right = theme.margin + pitch
        if beside:
            markup, right = _unrolled(loop, right, y, scale, stamps)
            parts.append(markup)
        y, width = y + loop.height + 18, max(width, right + theme.margin)
    return document(stamps.finished("".join(parts)), width, y, theme, name or "rolled up")


class Loop:
    """One layer rolled up: where its loops run, and how strong they are. The origin is the upper left corner."""

    def __init__(self, row: Row, label: str = "") -> None:
        self.row, self.tile, self.theme, self.label = row, row.tile, row.theme, label
        cell = self.tile.cell
        self.pairs = list(dict.fromkeys((wire.source, wire.delay) for wire in cell.wires if wire.recurrent))
        main = [pair for pair in self.pairs if pair[0] == self.tile.main]
        others = sorted((pair for pair in self.pairs if pair not in main),
                        key=lambda pair: (-self.tile.exits[pair[0]].end[1], pair[1]))
        self.nest = {pair: j for half in (main, others) for j, pair in enumerate(half)}  # 0: the innermost
        self.above = set(main)
        self.sizes = {wire.edge: row.sizes(wire, row.layer.order) for wire in cell.wires}  # of all steps
        self.outs = {state: row.read_by(state, row.layer.order) for state in cell.states}
        self.side = 26.0 + self.theme.between + GAP * max(len(main), len(others), 1)
        self.top = 40.0 + GAP * max(len(main), 1)
        self.width = self.tile.width + 2 * self.side
        self.height = self.top + self.tile.height + 26 + GAP * len(others) + 44

    def norms(self) -> Iterable[float]:
        """Every norm that is drawn."""
        yield from (norm(sizes) for sizes in self.sizes.values() if sizes)
        for edges in self.outs.values():
            if sizes := self.row.messages(edges):
                yield norm(sizes)

    def route(self, wire: Wire) -> Route:
        """The way of a wire within the cell, or round it."""
        if not wire.recurrent:
            return self.tile.routes[wire.edge]
        way, s, j = self.tile.exits[wire.source], self.row.way, self.nest[wire.source, wire.delay]
        entry, (x, y) = self.tile.entries[wire.edge], way.end
        route, lane = Route(way.start, list(way.pieces)), self.lane(wire.source, wire.delay)
        far = self.theme.between - 4 + GAP * j
        (x1, y1), r = entry.start, 12.0
        route.corner(x + s * far, (y + lane) / 2, r, level_first=True)
        route.corner((x + x1) / 2, lane, r, level_first=False)
        route.corner(x1 - s * far, (lane + y1) / 2, r, level_first=True)
        route.corner(x1, y1, r, level_first=False)
        return Route(route.start, [*route.pieces, *entry.pieces])

    def lane(self, state: str, delay: int) -> float:
        """The height at which a loop runs over the cell or under it."""
        out = 18 + GAP * self.nest[state, delay]
        return -out if (state, delay) in self.above else self.tile.height + out

    def paint(self, x: float, y: float, scale: Scale) -> str:
        """The cell, its wires and loops, and what is written on them."""
        row, tile, theme, order = self.row, self.tile, self.theme, self.row.layer.order
        strokes, notes = [], []
        for wire in tile.cell.wires:
            route = self.route(wire)
            if row.flow is None:
                strokes.append((0, paint_wire(route, FORWARDS, theme)))
                continue
            sizes = self.sizes[wire.edge]
            size = norm(sizes) if sizes else None
            a, b = row.words(wire)
            said = "no gradient" if size is None else f"{size:.4g}, {len(sizes)} messages taken together"
            how = look(size, scale)
            note = title(f"from {a} to {b}: {said}")
            strokes.append((strength(how), element("g", note + paint_wire(route, how, theme))))
        strokes += [self.out(state, edges, scale) for state, edges in self.outs.items() if edges]
        strokes.sort(key=lambda stroke: stroke[0])
        for state, delay in self.pairs:
            notes.append(self.delay_box(state, delay))
        notes += [self.state(state) for state in row.named]
        T = len(order)
        span = f"t = {min(order)}" if T == 1 else f"t = {min(order)} … {max(order)}"
        whose = f"{shorten(self.label, 30)}: " if self.label else ""
        words = f"{whose}one cell for {T} step{'s' * (T > 1)}, {span}"
        notes.append(text(tile.width / 2, self.height - self.top - 22, words, font_size="12", fill=theme.faint))
        notes.append(lettering(tile.width / 2, self.height - self.top - 6, self.weights(), 11, fill=theme.faint))
        back = element("rect", width=tile.width, height=tile.height, rx=10, fill=theme.tile, stroke=theme.rim)
        body = "".join([back, *(markup for _, markup in strokes), paint_glyphs(tile, theme), *notes])
        return element("g", body, transform=f"translate({x + self.side:.1f},{y + self.top:.1f})")

    def out(self, state: str, edges: list[Edge], scale: Scale) -> tuple[int, str]:
        """On past the loop, to whoever reads the state outside the layer."""
        way, far = self.tile.exits[state], self.row.way * (self.side + 6)
        route = Route(way.start, list(way.pieces)).line(way.end[0] + far, way.end[1])
        return self.row.sent(route, state, edges, scale)

    def delay_box(self, state: str, delay: int) -> str:
        """``t−1`` in a box on the loop."""
        words = f"t{'−' if self.row.way > 0 else '+'}{delay}"
        w, x, y = text_width(words, 12) + 12, self.tile.width / 2, self.lane(state, delay)
        sizes = self.gradients(state)
        note = title(f"{self.symbol(state)} is read {delay} step{'s' * (delay > 1)} later" + (
            f"; the norm of its gradient at single steps: {min(sizes):.4g} to {max(sizes):.4g}" if sizes else ""))
        box = element("rect", x=x - w / 2, y=y - 9, width=w, height=18, rx=3, fill=self.theme.paper,
                      stroke=self.theme.ink, stroke_width=1.2)
        return element("g", note + box + text(x, y + 4.5, words, font_size="12", font_weight="bold"))

    def gradients(self, state: str) -> list[float]:
        """The norms of the gradient at a state, at the steps where there is one."""
        ids = [self.row.layer.steps[step].get(state, "") for step in self.row.layer.order]
        found = {} if self.row.flow is None else self.row.flow.gradients
        return [found[v] for v in ids if v in found]

    def symbol(self, state: str) -> str:
        """What a state is called."""
        return self.tile.cell.symbols.get(state, state)

    def state(self, state: str) -> str:
        """The name of a state where it leaves the cell, and where it comes back."""
        s = self.row.way
        (x, y), called = self.tile.exits[state].end, shorten(self.symbol(state), 6)
        aside = s * (self.theme.between / 2 - 3)
        parts = [text(x + aside, y - 9, called, sub="t", font_style="italic")]
        for wire in self.tile.cell.wires:
            if wire.recurrent and wire.source == state and wire.delay == 1:
                x, y = self.tile.entries[wire.edge].start
                parts.append(text(x - aside, y - 9, called, sub="t−1" if s > 0 else "t+1", font_style="italic"))
                break
        return "".join(parts)

    def weights(self) -> str:
        """The weights, named once."""
        graph, cell = self.row.graph, self.tile.cell
        said = [f"{shorten(cell.names.get(v, graph.nodes[v]['name']), 12)} "
                f"{graph.nodes[v]['shape'].strip('(),').replace(', ', '×')}".rstrip() for v in cell.weights[:6]]
        return f"weights: {', '.join(said)}{', …' * (len(cell.weights) > 6)}" if said else "no weights"


def _unrolled(loop: Loop, x: float, y: float, scale: Scale, stamps: Stamps) -> tuple[str, float]:
    """The first cells side by side, to the right of the rolled one; and where they end."""
    row, theme = loop.row, loop.theme
    middle = y + loop.top + loop.tile.height / 2
    more = len(row.layer.order) - len(row.shown)
    parts = [text(x + 62, middle - 10, "unrolled in time", font_size="12", fill=theme.faint),
             paint_wire(Route((x + 16, middle)).line(x + 108, middle), FORWARDS, theme),
             text(x + 62, middle + 22, "the same weights", font_size="11", fill=theme.faint),
             text(x + 62, middle + 36, "in every cell", font_size="11", fill=theme.faint)]
    left = x + 150
    if row.way < 0 and more:
        left += 70
        parts.append(text(left - 62, middle + 5, f"⋯ {more} more", font_size="12", fill=theme.faint))
    lefts = {step: left + j * (row.tile.width + theme.between) for j, step in enumerate(row.shown)}
    parts.append(row.paint(lefts, y + loop.top, scale, stamps))
    right = max(lefts.values()) + row.tile.width + theme.between - 6
    if row.way > 0 and more:
        parts.append(text(right + 34, middle + 5, f"⋯ {more} more", font_size="12", fill=theme.faint))
        right += 76
    return "".join(parts), right


def _called(loops: list[Loop]) -> str:
    """What all layers together are called: the last parts of their paths."""
    ends = dict.fromkeys(loop.row.layer.path.split("/")[-1] for loop in loops)
    return " and ".join(filter(None, list(ends)[:3])) or "recurrent net"


def _legend(scale: Scale, flow: Flow, drawn: Iterable[float], beside: bool, theme: Theme) -> tuple[str, float, float]:
    notes = [
        f"The gradient of {loss_of(flow)}, over the whole batch. Rolled up, a line shows the messages of all steps "
        "taken together: the root of the sum of their squared norms.",
        *(["Unrolled, it shows the message of that step alone."] if beside else []),
        "The norm of the sum of the messages may be less, because they may cancel.",
    ]
    heading = "gradient sent along each edge (Euclidean norm, log scale); arrows: the way it flows, back from the loss"
    return wedge(scale, heading, off_the_scale(drawn), notes, theme)


