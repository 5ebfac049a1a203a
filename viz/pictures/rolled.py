"""The rolled-up net as a picture: one cell for each layer, and what it hands on goes round in a loop with a delay.

The box ``t−1`` on a loop is the textbooks' z⁻¹: what goes in comes out one step later. A layer that runs backwards in
time reads ``t+1``. Beside the rolled cell (or below it, where the page is narrow), the same cell unrolled.
"""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx
import numpy as np

from microgradrnn.engine.allocator import collector_paused
from viz.errors import need
from viz.flow.finding import finding, structure
from viz.flow.messages import Flow
from viz.graph.cells import Wire
from viz.graph.labels import labelled
from viz.graph.root import Root, as_node
from viz.graph.steps import Edge, layers, no_steps, unchanged
from viz.graph.trace import norm, trace
from viz.layout.geometry import Route
from viz.numbers import short
from viz.pictures.legend import anchor_of, loss_of, measured, own_scale
from viz.pictures.row import Row, Stroke, backwards, kinds
from viz.render.drawing import Drawing
from viz.scale import Scale, need_scale
from viz.scene.chart import READABLE, SMALL, Block, heading, legend
from viz.scene.formula import LETTER, runs
from viz.scene.glyphs import tile_items
from viz.scene.items import Box, Group, Item, Scene, Stamps, Text
from viz.scene.wires import FORWARDS, look, off_the_scale, strand, strength
from viz.theme import Theme, need_theme
from viz.typography import fitting, shorten, text_width, wrapped

GAP = 23.0  # between two loops one round the other
ASIDE = 136.0  # for the arrow from a rolled cell to the unrolled ones


def draw_rolled(
    net: Root | nx.MultiDiGraph | Flow,
    *,
    flow: Flow | None = None,
    beside: bool = False,
    steps: int = 3,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme | str | None = None,
) -> Drawing:
    """Draw a recurrent net rolled up: one cell a layer, with its loops.

    Args:
        net: the loss, also one of PyTorch, a graph from `trace`, or a `Flow`.
        flow: from `gradient_flow`: then every line shows the norm of a message, taken over all steps: the root of the
            mean of the squared norms.
        beside: draw the first steps unrolled beside each cell; below it where the page is too narrow.
        steps: how many of them, at most; fewer where a line of the page has no room for them.
        name: what the net is called.
        scale: norms to widths and colours; by default multiples of the norm at lag 0.
        theme: the name of a theme, or a `Theme`; by default the one that `set_theme` chose.

    Returns:
        A `Drawing`, the last layer on top. `viz.roll` has the same as a graph.

    Raises:
        TypeError: if net is none of these.
        ValueError: if there are no time steps, or ``steps`` is less than 1.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((5, 1, 3)))
    >>> drawing = draw_rolled(h.sum())
    >>> drawing.scene.title, "t−1" in drawing.scene.words
    ('rnn: the same cell at 5 steps', True)
    """
    theme = need_theme(theme)
    need_scale("draw_rolled", scale)
    need("draw_rolled, steps", steps, (int, np.integer), "how many steps to show unrolled, a whole number")
    if steps < 1:
        raise ValueError(f"draw_rolled: steps is how many to show unrolled, at least 1; got {steps}")
    if isinstance(net, Flow):
        net, flow = net.graph, net
    net = as_node("draw_rolled", net)
    with collector_paused(), unchanged():
        graph = flow.graph if flow is not None else net if isinstance(net, nx.MultiDiGraph) else trace(net)
        return Drawing.of(_scene(graph, flow, steps if beside else 0, name or "", scale, theme))


def _scene(graph: nx.MultiDiGraph, flow: Flow | None, steps: int, name: str, scale: Scale | None,
           theme: Theme) -> Scene:
    found = layers(graph)
    if not found:
        raise ValueError(f"draw_rolled: {no_steps(graph)}")
    labels = labelled([layer.path for layer in found], [backwards(layer) for layer in found])
    loops = [Loop(Row.of(graph, layer, flow, layer.order[:steps], theme, fitting=kinds(layer)), label)
             for layer, label in zip(found, labels, strict=True)]
    drawn = [g for loop in loops for g in (*loop.norms(), *(loop.row.norms() if steps else ()))]
    anchor = anchor_of(flow) if flow is not None else None
    scale = own_scale(scale, flow) if scale is not None else Scale.of(drawn, anchor=anchor)
    title = structure(graph, name) if flow is None else finding(flow, name)
    summary = "Rolled up: one cell for all steps of a layer."
    if any(loop.pairs for loop in loops):
        summary += " What it hands on goes round in a loop; a box on the loop says from which step it is read."
    stamps, margin = Stamps(), theme.margin
    pitch = max(loop.width for loop in loops)
    inner = theme.page - 2 * margin
    if not steps:
        inner = min(inner, max(pitch, 640.0))
    blocks = [heading(title, inner, theme, summary)]
    if flow is not None:
        blocks.append(_legend(scale, flow, drawn, steps, min(inner, READABLE), theme))
    blocks += [_layer(loop, pitch, steps, inner, scale, stamps) for loop in reversed(loops)]
    items: list[Item] = []
    y = margin
    for block in blocks:
        items.append(block.at(margin, y))
        y += block.height + 14
    width = max(block.width for block in blocks) + 2 * margin
    return Scene(items, width, y, title, summary, theme, stamps)


def _layer(loop: Loop, pitch: float, steps: int, inner: float, scale: Scale, stamps: Stamps) -> Block:
    """A rolled cell; to its right the first steps unrolled, or below it, where there is more room."""
    items: list[Item] = [loop_at(loop, (pitch - loop.width) / 2, scale)]
    if not steps:
        return Block(items, pitch, loop.height)
    row, theme = loop.row, loop.theme
    more = 70.0
    right = pitch + ASIDE
    below = right + row.width(min(2, len(row.shown))) + more > inner
    left, y = (0.0, loop.height + 34) if below else (right, loop.top - row.head)
    n = max(1, min(len(row.shown), int((inner - left - row.width(0) - more) // (row.width(1) - row.width(0)))))
    taken = row.layer.order[:n]
    row.shown = sorted(taken)
    middle = y + row.head + loop.tile.height / 2
    words = "unrolled in time: the same weights in every cell"
    if below:
        items += [Text(0, y - 12, fitting(f"↓ {words}", inner, 12), 12, fill=theme.faint)]
    else:
        items += strand(Route((pitch, middle)).line(pitch + ASIDE - 24, middle), FORWARDS, scale, theme)
        items += [Text(pitch + ASIDE / 2 - 12, middle + (-10 if j == 0 else 6 + 14 * j), part, SMALL, "middle",
                       fill=theme.faint) for j, part in enumerate(wrapped(words, ASIDE - 20, SMALL))]
    others = len(row.layer.order) - n
    start = left + row.width(0) + (more if row.way < 0 and others else 0.0)
    lefts = {step: start + j * (row.width(1) - row.width(0)) for j, step in enumerate(row.shown)}
    items += row.items(lefts, y, scale, stamps)
    end = max(lefts.values()) + row.tile.width + (theme.between if row.way > 0 else row.width(0))
    if others:
        x = end + more / 2 if row.way > 0 else left + more / 2
        items.append(Text(x, middle + 5, f"⋯ {others} more", 12, "middle", fill=theme.faint))
        end += more if row.way > 0 else 0.0
    if below:
        items[0] = loop_at(loop, max((end - loop.width) / 2, 0.0), scale)
    return Block(items, max(end, pitch), max(loop.height, y + row.height))


def loop_at(loop: Loop, x: float, scale: Scale) -> Group:
    """A rolled cell with its left edge at x."""
    return Group(loop.items(scale), x + loop.side, loop.top)


class Loop:
    """One layer rolled up: where its loops run, and how strong they are. The origin is the cell's upper left corner.

    Attributes:
        row: the layer.
        side, top: how much room there is on the left and the right of the cell, and above it.
        width, height: of all.
    """

    def __init__(self, row: Row, label: str = "") -> None:
        self.row, self.tile, self.theme, self.label = row, row.tile, row.theme, label
        cell = self.tile.cell
        self.pairs = list(dict.fromkeys((wire.source, wire.delay) for wire in cell.wires if wire.recurrent))
        main = sorted((pair for pair in self.pairs if pair[0] == self.tile.main), key=lambda pair: pair[1])
        others = sorted((pair for pair in self.pairs if pair not in main),
                        key=lambda pair: (-self.tile.exits[pair[0]].end[1], pair[1]))
        self.nest = {pair: j for half in (main, others) for j, pair in enumerate(half)}  # 0: the innermost
        self.above = set(main)
        self.sizes = {wire.edge: row.sizes(wire, row.layer.order) for wire in cell.wires}  # of all steps
        self.outs = {state: [read for step in row.layer.order if (read := row.read_by(state, [step]))]
                     for state in cell.states}  # by what lies outside, step by step
        self.side = 22.0 + self.theme.between + GAP * max(len(main), len(others), 1)
        self.top = 26.0 + GAP * max(len(main), 1)
        self.width = self.tile.width + 2 * self.side
        self.bottom = self.tile.height + 26 + GAP * len(others)
        self.notes = self.written()
        self.height = self.top + self.bottom + 16 * len(self.notes)

    def norms(self) -> Iterable[float]:
        """Every norm that is drawn."""
        yield from (mean(sizes, len(sizes)) for sizes in self.sizes.values() if sizes)
        for steps in self.outs.values():
            if sizes := self.row.messages(edge for edges in steps for edge in edges):
                yield mean(sizes, len(steps))

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

    def items(self, scale: Scale) -> list[Item]:
        """The cell, its wires and loops, and what is written on them."""
        row, tile, theme = self.row, self.tile, self.theme
        strokes = [self.stroke(wire, scale) for wire in tile.cell.wires]
        strokes += [self.out(state, steps, scale) for state, steps in self.outs.items() if steps]
        strokes.sort(key=lambda stroke: stroke[0])
        found = [*row.back(), *(item for _, items in strokes for item in items), *tile_items(tile, theme)]
        for state, delay in self.pairs:
            found += self.delay_box(state, delay)
        for state in row.named:
            found += self.state(state)
        return found + [Text(tile.width / 2, self.bottom + 12 + 16 * j, runs(words), SMALL, "middle", fill=theme.faint)
                        for j, words in enumerate(self.notes)]

    def stroke(self, wire: Wire, scale: Scale) -> Stroke:
        """A wire as structure, or with what flowed back along it at all steps."""
        route, key = self.route(wire), ("edge", self.row.layer.path, *wire.edge)
        if self.row.flow is None:
            return 0, strand(route, FORWARDS, scale, self.theme, key=key)
        sizes = self.sizes[wire.edge]
        size = mean(sizes, len(sizes)) if sizes else None
        a, b = self.row.words(wire)
        said = "no gradient" if size is None else f"{short(size)}, the mean of {len(sizes)} messages"
        how = look(size, scale)
        return strength(how), strand(route, how, scale, self.theme, key=key, datum=size,
                                     note=f"from {a} to {b}: {said}")

    def out(self, state: str, steps: list[list[Edge]], scale: Scale) -> Stroke:
        """On past the loop, to whoever reads the state outside the layer."""
        way, far = self.tile.exits[state], self.row.way * (self.side - 4)
        route = Route(way.start, list(way.pieces)).line(way.end[0] + far, way.end[1])
        return self.row.sent(route, state, state, [edge for edges in steps for edge in edges], scale, len(steps))

    def delay_box(self, state: str, delay: int) -> list[Item]:
        """``t−1`` in a box on the loop."""
        words = f"t{'−' if self.row.way > 0 else '+'}{delay}"
        w, x, y = text_width(words, 12, bold=True) + 12, self.tile.width / 2, self.lane(state, delay)
        sizes = self.gradients(state)
        note = f"{self.symbol(state)} is read {delay} step{'s' * (delay > 1)} later" + (
            f"; the norm of its gradient at single steps: {short(min(sizes))} to {short(max(sizes))}" if sizes else "")
        key = "delay", self.row.layer.path, state, delay
        return [Box(x - w / 2, y - 9, w, 18, 3, fill=self.theme.paper, stroke=self.theme.ink, stroke_width=1.2,
                    key=key, datum=delay, note=note),
                Text(x, y + 4.5, words, 12, "middle", bold=True)]

    def gradients(self, state: str) -> list[float]:
        """The norms of the gradient at a state, at the steps where there is one."""
        ids = [self.row.layer.steps[step].get(state, "") for step in self.row.layer.order]
        found = {} if self.row.flow is None else self.row.flow.gradients
        return [found[v] for v in ids if v in found]

    def symbol(self, state: str) -> str:
        """What a state is called."""
        return self.tile.cell.symbols.get(state, state)

    def state(self, state: str) -> list[Item]:
        """The name of a state where it leaves the cell, and where it comes back."""
        s = self.row.way
        (x, y), called = self.tile.exits[state].end, shorten(self.symbol(state), 6)
        aside = s * (self.theme.between / 2 - 3)
        places = [(x + aside, y, "t")]
        for wire in self.tile.cell.wires:
            if wire.recurrent and wire.source == state and wire.delay == 1:
                x, y = self.tile.entries[wire.edge].start
                places.append((x - aside, y, "t−1" if s > 0 else "t+1"))
                break
        return [Text(x, y - 9, [(called, 0), (when, -1)], self.theme.size, "middle", italic=True)
                for x, y, when in places]

    def written(self) -> list[str]:
        """Below the cell: which steps it stands for, and the weights, named once."""
        graph, cell, order = self.row.graph, self.tile.cell, self.row.layer.order
        T = len(order)
        span = f"t = {min(order)}" if T == 1 else f"t = {min(order)} … {max(order)}"
        whose = f"{shorten(self.label, 30)}: " if self.label else ""
        said = [f"{shorten(cell.names.get(v, graph.nodes[v]['name']), 12)} "
                f"{graph.nodes[v]['shape'].strip('(),').replace(', ', '×')}".rstrip() for v in cell.weights[:6]]
        weights = f"weights: {', '.join(said)}{', …' * (len(cell.weights) > 6)}" if said else "no weights"
        return [*wrapped(f"{whose}one cell for {T} step{'s' * (T > 1)}, {span}", self.width, SMALL),
                *(LETTER.sub(r"_{\1}", words) for words in wrapped(weights, self.width, SMALL))]


def mean(sizes: Iterable[float], n: int) -> float:
    """The root of the mean of squared norms.

    >>> mean([3.0, 3.0, 3.0, 3.0], 4)
    3.0
    """
    return norm(list(sizes)) / n**0.5


def _legend(scale: Scale, flow: Flow, drawn: Iterable[float], steps: int, width: float, theme: Theme) -> Block:
    notes = [
        f"The gradient of {loss_of(flow)}, over the whole batch. Arrows point the way it flows: back. Rolled up, a "
        "line shows the messages of all steps: the root of the mean of their squared norms.",
        *(["Unrolled, it shows the message of that step alone; the number in a frame is the norm of the whole gradient "
           "at that state."] if steps else []),
    ]
    what = measured(scale, "message along each wire", flow=flow)
    return legend(scale, what, off_the_scale(drawn), notes, width, theme)
