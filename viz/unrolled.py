"""The unrolled net as a picture: one cell, stamped along the time axis, and the gradient drawn over it.

Time runs from left to right, the gradient from right to left. A cell is laid out once (`viz.layout`), so that every
step looks the same; weights are named once and never drawn as edges to every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx

from microgradrnn.engine import Node
from viz.cells import Wire, one_cell
from viz.drawing import Drawing
from viz.flow import Flow
from viz.geometry import Box, Route
from viz.glyphs import paint_glyph, paint_glyphs
from viz.layout import Tile, lay_out
from viz.render.svg import arrowhead, document, element, path, text, title
from viz.scale import Scale, short
from viz.steps import Edge, Layer, layers
from viz.theme import DEFAULT, Theme, cividis, shorten, text_width
from viz.trace import trace

DARK = 0.25  # below this place on the scale a line is dark enough to be seen without a casing


def unrolled(
    root: Node | Flow | nx.MultiDiGraph,
    flow: Flow | None = None,
    steps: tuple[int, int] | None = None,
    *,
    last: int = 8,
    labels: Sequence[object] | Mapping[int, object] | None = None,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme = DEFAULT,
) -> Drawing:
    """Draw an unrolled net, time from left to right.

    Args:
        root: the loss (or a graph from `trace`, or a `Flow`).
        flow: from `gradient_flow`: then every edge shows the gradient that flowed back along it.
        steps: the first and the last step to draw; by default the last ``last`` ones.
        labels: what to write under each step, by step: the characters read, for instance.
        name: the title.
        scale: norms to widths and colours; by default the decades of the norms that are drawn.
        theme: sizes and colours.

    Returns:
        A `Drawing`. One lane for each unrolled layer, the last on top. A graph without time steps is drawn as one cell.

    Raises:
        TypeError: if root is none of these.
        ValueError: if the steps are not in the graph.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((5, 1, 3)))
    >>> unrolled(h.sum(), steps=(2, 4)).svg.startswith("<svg")
    True
    """
    lanes = _lanes(root, flow, steps, last, labels, name, theme)
    return stacked(lanes, scale, theme, name or lanes[0].title)


def side_by_side(
    nets: Mapping[str, Node | Flow] | Node | Flow,
    steps: tuple[int, int] | None = None,
    *,
    last: int = 8,
    labels: Sequence[object] | Mapping[int, object] | None = None,
    name: str = "side by side",
    scale: Scale | None = None,
    theme: Theme = DEFAULT,
) -> Drawing:
    """Several unrolled nets, one above another, under one scale: the same width and colour mean the same norm.

    Args:
        nets: losses or flows, by the name to write over each; or just one.
        steps, last, labels, scale, theme: as in `unrolled`.

    Raises:
        ValueError: if there are no nets.
    """
    nets = nets if isinstance(nets, Mapping) else {label_of(nets): nets}
    if not nets:
        raise ValueError("side_by_side: no nets to draw")
    lanes = [lane for title_, net in nets.items() for lane in _lanes(net, None, steps, last, labels, title_, theme)]
    pitch = max(lane.tile.width for lane in lanes) + theme.between
    return stacked([replace(lane, pitch=pitch) for lane in lanes], scale, theme, name)


def label_of(net: Node | Flow) -> str:
    """What to call a net that was given without a name."""
    found = layers(net.graph if isinstance(net, Flow) else trace(net))
    return found[-1].path if found and found[-1].path else "net"


def common_scale(flows: Iterable[Flow], *, last: int = 8) -> Scale:
    """The scale for pictures that are to be compared: the decades of the norms on the last steps of all flows."""
    return Scale.of(g for flow in flows for lane in _lanes(flow, None, None, last, None, None, DEFAULT)
                    for g in lane.norms())


# ------------------------------------------------------------------------------------------------ what to draw
@dataclass
class Group:
    """A box after the last step: what computes the outputs and the loss."""

    nodes: list[str]
    title: str
    note: str


@dataclass
class Lane:
    """One unrolled layer, ready to be drawn."""

    graph: nx.MultiDiGraph
    layer: Layer
    tile: Tile
    shown: list[int]
    groups: list[Group]
    flow: Flow | None
    labels: Mapping[int, object]
    title: str
    pitch: float

    @property
    def timed(self) -> bool:
        """Were its nodes made in time steps?"""
        return any("step" in self.graph.nodes[node] for ids in self.layer.steps.values() for node in ids.values())

    def node(self, step: int, name: str) -> str | None:
        """The id of a node of a step."""
        return self.layer.steps.get(step, {}).get(name)

    def edge(self, step: int, wire: Wire) -> Edge | None:
        """The edge that a wire stands for at this step; None if the step has no such edge."""
        consumer = self.node(step, wire.edge[0])
        if consumer is None:
            return None
        for u, _, k in self.graph.in_edges(consumer, keys=True):
            if k == wire.edge[1]:
                first = wire.recurrent and self.graph.nodes[u]["kind"] == "constant"
                return None if first else Edge(consumer, k)
        return None

    def message(self, edge: Edge) -> float | None:
        """The norm of the message along an edge: None without a flow, or where no gradient flows."""
        return None if self.flow is None else self.flow.messages.get(edge)

    def outside(self) -> list[tuple[int, str, str, Edge]]:
        """Where the groups read the layer: step, name of the node, its id, and the edge."""
        where = {node: (step, name) for step, ids in self.layer.steps.items() for name, node in ids.items()}
        found = []
        for j, group in enumerate(self.groups):
            for v in group.nodes:
                for u, _, k in sorted(self.graph.in_edges(v, keys=True), key=lambda e: e[2]):
                    if u in where and j == 0:
                        found.append((*where[u], u, Edge(v, k)))
        return found

    def norms(self) -> Iterable[float]:
        """Every norm that will be drawn."""
        for step in self.shown:
            for wire in self.tile.cell.wires:
                edge = self.edge(step, wire)
                if edge is not None and (g := self.message(edge)) is not None:
                    yield g
        for step, _, _, edge in self.outside():
            if step in self.shown and (g := self.message(edge)) is not None:
                yield g


def _lanes(root: Any, flow: Flow | None, steps: tuple[int, int] | None, last: int, labels: Any, name: str | None,
           theme: Theme) -> list[Lane]:
    if isinstance(root, Flow):
        root, flow = root.graph, root
    graph = flow.graph if flow is not None else root if isinstance(root, nx.MultiDiGraph) else trace(root)
    found = layers(graph) or [whole(graph)]
    said = dict(labels) if isinstance(labels, Mapping) else dict(enumerate(labels or ()))
    lanes = []
    for layer in reversed(found):
        shown = _shown(layer, steps, last)
        tile = lay_out(one_cell(graph, layer, shown), theme)
        heading = name or layer.path or "graph"
        if len(found) > 1:
            heading += f", layer {found.index(layer) + 1}"
        lanes.append(Lane(graph, layer, tile, shown, _groups(graph, layer) if layer is found[-1] else [], flow, said,
                          heading, tile.width + theme.between))
    return lanes


def whole(graph: nx.MultiDiGraph) -> Layer:
    """A graph without time steps, as one cell. Parameters, and leaves that are read at several places, are weights."""
    return Layer("", {0: {
        said.get("path", "") + said["name"] if "path" in said else said["name"]: node
        for node, said in graph.nodes(data=True)
        if said["kind"] == "computed" or (said["kind"] == "leaf" and graph.out_degree(node) == 1)
    }})


def _shown(layer: Layer, steps: tuple[int, int] | None, last: int) -> list[int]:
    """The steps to draw, in the order in which they were taken."""
    have = layer.order
    if steps is None:
        if last < 1:
            raise ValueError(f"unrolled: last must be at least 1, got {last}")
        return have[-last:]
    first, final = steps
    chosen = [step for step in have if first <= step <= final]
    if not chosen:
        raise ValueError(f"unrolled: no steps {first}..{final}; the graph has steps {have[0]}..{have[-1]}")
    return chosen


def _groups(graph: nx.MultiDiGraph, layer: Layer) -> list[Group]:
    """The boxes after the last step: by scope, if that makes a chain, else one box for everything."""
    inside = {node for ids in layer.steps.values() for node in ids.values()}
    later = _reached(graph, inside) - inside
    nodes = sorted(later, key=lambda node: graph.nodes[node]["order"])
    if not nodes:
        return []
    by_scope: dict[str, list[str]] = {}
    for node in nodes:
        by_scope.setdefault(graph.nodes[node].get("path", "").split("/")[0] or node, []).append(node)
    parts = list(by_scope.values())
    home = {node: j for j, part in enumerate(parts) for node in part}
    home |= dict.fromkeys(inside, -1)
    jumps = [home[v] - home[u] for u, v in graph.edges() if u in home and v in home and home[u] != home[v]]
    if len(parts) > 4 or any(jump != 1 for jump in jumps) or len(jumps) - sum(
        u in inside and v in later for u, v in graph.edges()
    ) != len(parts) - 1:
        parts = [nodes]
    return [_group(graph, part) for part in parts]


def _reached(graph: nx.MultiDiGraph, inside: set[str]) -> set[str]:
    seen, stack = set(inside), list(inside)
    while stack:
        for v in graph.successors(stack.pop()):
            if v not in seen:
                seen.add(v)
                stack.append(v)
    return seen


def _group(graph: nx.MultiDiGraph, nodes: list[str]) -> Group:
    end = graph.nodes[nodes[-1]]
    heading = end.get("path", "").split("/")[0] or (end["op"] if len(nodes) == 1 else "outputs and loss")
    if end.get("role") == "output" and any("entropy" in graph.nodes[v].get("path", "") + graph.nodes[v].get("op", "")
                                           for v in graph.successors(nodes[-1])):
        heading, note = f"{heading} (logits)", end["shape"]  # its o would be taken for the output gate
    elif "value" in end:
        note = f"{end.get('symbol', 'value')} = {short(end['value'])}"
    else:
        note = f"{end['symbol']} {end['shape']}" if "symbol" in end else end["shape"]
    return Group(nodes, shorten(heading, 24), shorten(note, 24))


# ------------------------------------------------------------------------------------------------ drawing it
def stacked(lanes: list[Lane], scale: Scale | None, theme: Theme, name: str) -> Drawing:
    """Lanes one above another, and one legend."""
    with_flow = any(lane.flow is not None for lane in lanes)
    if scale is None:
        scale = Scale.of(g for lane in lanes for g in lane.norms())
    parts, y, width = [], theme.margin, 720.0
    above = 0.0
    if with_flow:
        markup_of_legend, above, legend_width = legend(scale, lanes, theme)
        y += above + 18
        width = max(width, legend_width + 2 * theme.margin)
    for j, lane in enumerate(lanes):
        painter = _Painter(lane, scale, theme, f"{abs(hash_of(name)):x}-{j}-")
        markup, w, h = painter.paint()
        parts.append(element("g", markup, transform=f"translate({theme.margin:g},{y:.1f})"))
        y, width = y + h + 14, max(width, w + 2 * theme.margin)
    if with_flow:
        x = theme.margin if width < 1500 else width - legend_width - theme.margin  # beside the loss: read from there
        parts.insert(0, element("g", markup_of_legend, transform=f"translate({x:.1f},{theme.margin:g})"))
    return document("".join(parts), width, y + theme.margin, theme, name)


def hash_of(name: str) -> int:
    """A number that is the same in every run: ids in one page must not clash between pictures."""
    import zlib

    return zlib.crc32(name.encode())


class _Painter:
    """Paints one lane. The origin is its upper left corner."""

    def __init__(self, lane: Lane, scale: Scale, theme: Theme, prefix: str) -> None:
        self.lane, self.scale, self.theme, self.prefix = lane, scale, theme, prefix
        self.tile, self.cell, self.flow = lane.tile, lane.tile.cell, lane.flow
        self.head = 44.0
        self.x0 = 78.0 if self.has_past else 46.0

    @property
    def rim(self) -> dict[str, Any]:
        """How arrowheads are outlined; said once, because a long net has ten thousand."""
        return {} if self.flow is None else {"stroke": self.theme.wire, "stroke_width": 0.7}

    @property
    def has_past(self) -> bool:
        """Are there steps before the first one shown?"""
        return self.lane.shown[0] != self.lane.layer.order[0]

    def left(self, j: int) -> float:
        """The x of the j-th tile shown."""
        return self.x0 + j * self.lane.pitch

    def paint(self) -> tuple[str, float, float]:
        """Markup, width, height."""
        lane, tile = self.lane, self.tile
        n = len(lane.shown)
        backs: list[str] = []
        glyphs: list[str] = []
        notes: list[str] = []
        glyph_id = self.prefix + "cell"
        defs = element("g", paint_glyphs(tile, self.theme), id=glyph_id)
        full = [step for step in lane.shown if self.is_full(step)]
        strokes: list[tuple[float, str, str]] = []
        for j, step in enumerate(lane.shown):
            at = f"translate({self.left(j):.1f},{self.head:g})"
            backs.append(element("rect", x=self.left(j), y=self.head, width=tile.width, height=tile.height, rx=10,
                                 fill=self.theme.tile, stroke=self.theme.rim))
            if step in full:
                glyphs.append(element("use", href=f"#{glyph_id}", transform=at))
            else:
                glyphs.append(element("g", "".join(paint_glyph(g, tile.boxes[g.name], self.theme)
                                                   for g in self.cell.glyphs.values()
                                                   if lane.node(step, g.name)), transform=at))
            notes.append(self.caption(j, step))
            strokes.extend(self.tile_wires(j, step))
        strokes.extend(self.loose_ends())
        strokes.extend(self.outputs())
        strokes.sort(key=lambda item: item[0])  # the strongest on top
        wires = [stroke for _, stroke, _ in strokes]
        heads = [head for _, _, head in strokes]
        right = self.left(n - 1) + tile.width
        boxes, right = self.after(right)
        notes.append(self.states())
        if self.has_past:
            notes.append(self.past())
        rail, rail_height = self.rail(self.left(n - 1) + tile.width)
        heading = text(0, 16, lane.title, anchor="start", font_size="16", font_weight="bold")
        markup = (element("defs", defs) + heading + "".join(backs)
                  + element("g", "".join(wires), fill="none") + element("g", "".join(heads), **self.rim)
                  + "".join(glyphs)
                  + boxes + "".join(notes) + rail)
        return markup, right, self.head + tile.height + 44 + rail_height

    def is_full(self, step: int) -> bool:
        """Does the step hold every glyph of the cell?"""
        return all(self.lane.node(step, name) for name in self.cell.glyphs)

    # -- wires
    def tile_wires(self, j: int, step: int) -> Iterable[tuple[float, str, str]]:
        """The wires into one tile: strength, line, arrowhead."""
        for wire in self.cell.wires:
            edge = self.lane.edge(step, wire)
            if edge is None:
                if wire.recurrent and not self.has_past and j == 0 and self.lane.node(step, wire.edge[0]):
                    yield self.first_state(wire)
                continue
            if wire.recurrent:
                route = self.recurrent_route(j, wire)
            else:
                route = self.tile.routes[wire.edge].shifted(self.left(j), self.head)
            a, b = (self.cell.words.get(name, name) for name in (wire.source, wire.target))
            if wire.recurrent:
                order = self.lane.layer.order
                a, b = f"{a} at t = {order[order.index(step) - wire.delay]}", f"{b} at t = {step}"
            elif self.lane.timed:
                b += f" at t = {step}"
            width, line, head = self.stroke(route, self.lane.message(edge), f"from {a} to {b}")
            yield width, line, head + (self.joins(j, wire, width) if head and self.flow is not None else "")

    def joins(self, j: int, wire: Wire, width: float) -> str:
        """An arrowhead where what comes up from below flows into the main line."""
        main = self.tile.main
        if main is None or wire.source != main:
            return ""
        y = self.tile.exits[main].start[1]
        if wire.recurrent and wire.edge in self.tile.entries:
            entry = self.tile.entries[wire.edge]
            if entry.end[1] <= y + 1:
                return ""
            tip = (14.0, y + 14)
        elif not wire.recurrent and (end := self.tile.routes[wire.edge].end)[1] > y + 20:
            tip = (end[0], y + 12)
        else:
            return ""
        norm = self.lane.message(self.lane.edge(self.lane.shown[j], wire) or Edge("", 0))
        return arrowhead((self.left(j) + tip[0], self.head + tip[1]), (0.0, -1.0), 6 + 1.25 * width,
                         fill=self.scale.colour(norm or 0.0))

    def recurrent_route(self, j: int, wire: Wire) -> Route:
        """From an earlier tile, across the gap, into the j-th."""
        entry = self.tile.entries[wire.edge].shifted(self.left(j), self.head)
        i = j - wire.delay
        if i < 0:
            return Route((self.left(0) - self.theme.between + 12, entry.start[1]), [((entry.start),), *entry.pieces])
        way = self.tile.exits[wire.source].shifted(self.left(i), self.head)
        if wire.delay > 1:  # a skip: an arc over the tiles between
            (x1, y1), (x2, y2) = way.end, entry.start
            way.pieces.append(((x1 + 40, y1 - 60), (x2 - 40, y2 - 60), (x2, y2)))
        return Route(way.start, [*way.pieces, (entry.start,), *entry.pieces])

    def loose_ends(self) -> Iterable[tuple[float, str, str]]:
        """The last states, where nobody reads them."""
        last = self.lane.shown[-1]
        read = {name for step, name, _, _ in self.lane.outside() if step == last}
        for state in self.cell.states:
            handed_on = any(wire.recurrent and wire.source == state for wire in self.cell.wires)
            if handed_on and state not in read and self.lane.node(last, state):
                route = self.tile.exits[state].shifted(self.left(len(self.lane.shown) - 1), self.head)
                route.line(route.end[0] + 10, route.end[1])
                yield 0.0, element("path", d=path(route), stroke=self.theme.rim, stroke_width=1.2), ""

    def first_state(self, wire: Wire) -> tuple[float, str, str]:
        """A stub for the state that the net starts from, through which no gradient needs to flow."""
        entry = self.tile.entries[wire.edge].shifted(self.left(0), self.head)
        route = Route((self.left(0) - 22, entry.start[1]), [(entry.start,), *entry.pieces])
        line = element("path", d=path(route), stroke=self.theme.rim, stroke_width=1.2)
        return 0.0, line, ""

    def stroke(self, route: Route, norm: float | None, words: str) -> tuple[float, str, str]:
        """A wire as structure (an arrow forward), or with what flowed back along it (an arrow backward)."""
        theme, d = self.theme, path(route)
        if self.flow is None:
            line = element("path", d=d, stroke=theme.wire, stroke_width=1.4)
            return 1.0, line, arrowhead(route.end, direction_at_end(route), 7, fill=theme.wire)
        if norm is None:
            return 0.0, element("path", d=d, stroke=theme.rim, stroke_width=1.2), ""
        note = title(f"{words}: {norm:.4g}")
        back = direction_at_start(route)
        if norm == 0:
            return 0.0, element("path", note, d=d, stroke=theme.nothing, stroke_width=1.4,
                                stroke_dasharray="1.5 3.5", stroke_linecap="round"), ""
        if not math.isfinite(norm):
            x, y = middle(route)
            line = element("path", note, d=d, stroke=theme.alarm, stroke_width=6.0)
            return 99.0, line, text(x, y + 5, "!", stroke="none", fill=theme.alarm, font_weight="bold", font_size="20")
        width, colour = self.scale.width(norm), self.scale.colour(norm)
        casing = "" if self.scale.place(norm) < DARK else element("path", d=d, stroke=theme.wire,
                                                                  stroke_width=width + 1.3, stroke_opacity=0.55)
        line = casing + element("path", note, d=d, stroke=colour, stroke_width=width)
        head = arrowhead(route.start, back, 6 + 1.25 * width, fill=colour)
        return width, line, head

    # -- beside the tiles
    def caption(self, j: int, step: int) -> str:
        """The time, and what is read, under a tile."""
        x, y = self.left(j) + self.tile.width / 2, self.head + self.tile.height
        parts = [text(x, y + 17, f"t = {step}", font_size="12", fill=self.theme.faint)] if self.lane.timed else []
        if step in self.lane.labels:
            words = f"“{shorten(str(self.lane.labels[step]), 14)}”"
            parts.append(text(x, y + 37, words, font_family="DejaVu Sans Mono, monospace"))
        return "".join(parts)

    def states(self) -> str:
        """The name of each state, and the norm of its gradient, in the gaps between tiles."""
        parts = []
        for j, step in enumerate(self.lane.shown):
            for state in self.cell.states:
                node = self.lane.node(step, state)
                if node is None or not any(w.recurrent and w.source == state for w in self.cell.wires):
                    continue
                x, y = self.tile.exits[state].end
                x, y = self.left(j) + x + self.theme.between / 2, y + self.head
                symbol = self.cell.symbols.get(state, state)
                parts.append(text(x, y - 9, shorten(symbol, 6), sub=step, font_style="italic"))
                if self.flow is not None:
                    parts.append(text(x, y + 19, short(self.flow.gradients.get(node, 0.0)), font_size="11"))
        return "".join(parts)

    def past(self) -> str:
        """How much lies before the first tile."""
        earlier = self.lane.layer.order.index(self.lane.shown[0])
        y = self.head + self.tile.height / 2
        return (text(0, y, f"⋯ {earlier}", anchor="start", fill=self.theme.faint, font_size="12")
                + text(0, y + 15, "earlier", anchor="start", fill=self.theme.faint, font_size="11"))

    def rail(self, right: float) -> tuple[str, float]:
        """The weights, named once for all steps."""
        graph, theme = self.lane.graph, self.theme
        if not self.cell.weights:
            return "", 0.0
        y = self.head + self.tile.height + 58
        parts = [element("line", x1=self.x0, y1=y, x2=right, y2=y, stroke=theme.rim, stroke_width=5.0,
                         stroke_linecap="round")]
        x = self.x0 + 8
        for node in self.cell.weights:
            said = graph.nodes[node]
            called = shorten(self.cell.names.get(node, said["name"]), 12)
            words = f"{called} {said['shape'].strip('(),').replace(', ', '×')}".rstrip()
            if self.flow is not None and node in self.flow.gradients:
                words += f"  ‖∂L/∂{called}‖ = {short(self.flow.gradients[node])}"
            w = text_width(words, 11) + 16
            parts.append(element("rect", x=x, y=y - 10, width=w, height=20, rx=10, fill=theme.paper, stroke=theme.wire))
            parts.append(text(x + w / 2, y + 4, words, font_size="11"))
            x += w + 10
        if self.lane.timed:
            parts.append(text(x, y + 18, f"the same weights at all {len(self.lane.layer.steps)} steps", anchor="start",
                              font_size="11", fill=theme.faint))
        return "".join(parts), 36.0

    # -- after the last step
    def group_boxes(self) -> list[Box]:
        """Where the boxes after the last step stand."""
        if not self.lane.groups:
            return []
        reads = [name for step, name, _, _ in self.lane.outside() if step == self.lane.shown[-1]]
        state = next((name for name in reads if name in self.tile.exits), None)
        y = self.head + (self.tile.exits[state].end[1] if state else self.tile.height / 2)
        x = self.left(len(self.lane.shown) - 1) + self.tile.width + self.theme.between
        boxes = []
        for group in self.lane.groups:
            w = max(text_width(group.title, 12), text_width(group.note, 12), 60) + 18
            boxes.append(Box(x + w / 2, y, w, 42))
            x += w + 40
        return boxes

    def after(self, right: float) -> tuple[str, float]:
        """The boxes after the last step."""
        parts, theme = [], self.theme
        for group, box in zip(self.lane.groups, self.group_boxes(), strict=True):
            end = self.lane.graph.nodes[group.nodes[-1]]
            colour = theme.colour(None, end.get("role")) or theme.ink
            parts.append(element("rect", x=box.left, y=box.top, width=box.w, height=box.h, rx=5, fill=theme.paper,
                                 stroke=colour, stroke_width=1.8))
            parts.append(text(box.x, box.y - 3, group.title, font_size="12"))
            parts.append(text(box.x, box.y + 14, group.note, font_size="12", font_weight="bold"))
            right = box.right + 4
        return "".join(parts), right

    def aside(self, j: int, name: str) -> Route:
        """Out of an earlier tile, towards the loss: off the picture, upwards from the main line, else downwards."""
        if name not in self.tile.exits:
            box = self.tile.boxes[name]
            x, y = self.left(j) + box.right, self.head + box.y
            return Route((x, y)).line(x + 12, y)
        way = self.tile.exits[name].shifted(self.left(j), self.head)
        y = self.head - 14 if name == self.tile.main else self.head + self.tile.height + 8
        return way.corner(way.end[0] + 9, y, 8, level_first=True)

    def outputs(self) -> Iterable[tuple[float, str, str]]:
        """The wires to and between the boxes after the last step."""
        boxes = self.group_boxes()
        if not boxes:
            return
        drawn: set[tuple[int, str]] = set()
        for step, name, _, edge in self.lane.outside():
            if step not in self.lane.shown or (step, name) in drawn:
                continue
            drawn.add((step, name))
            j = self.lane.shown.index(step)
            if step == self.lane.shown[-1] and name in self.tile.exits:
                way = self.tile.exits[name].shifted(self.left(j), self.head)
                x1, y1 = way.end
                x2, y2 = boxes[0].left, boxes[0].y
                if y1 != y2:
                    m = (x1 + x2) / 2
                    way.pieces.append(((m, y1), (m, y2), (x2, y2)))
                else:
                    way.line(x2, y2)
            else:
                way = self.aside(j, name)
            words = f"from {self.cell.words.get(name, name)} at t = {step} to {self.lane.groups[0].title}"
            yield self.stroke(way, self.lane.message(edge), words)
        for a, b, group, following in zip(boxes, boxes[1:], self.lane.groups, self.lane.groups[1:], strict=False):
            edges = [Edge(v, k) for v in following.nodes for u, _, k in self.lane.graph.in_edges(v, keys=True)
                     if u in group.nodes]
            yield self.stroke(Route((a.right, a.y)).line(b.left, b.y), self.lane.message(edges[0]),
                              f"from {group.title} to {following.title}")


def direction_at_end(route: Route) -> tuple[float, float]:
    """The way a route points where it ends."""
    points = [route.start, *(p for piece in route.pieces for p in piece)]
    end = points[-1]
    before = next((p for p in reversed(points) if p != end), (end[0] - 1, end[1]))
    return end[0] - before[0], end[1] - before[1]


def direction_at_start(route: Route) -> tuple[float, float]:
    """The way that the gradient points where it arrives: against the route's start."""
    points = [route.start, *(p for piece in route.pieces for p in piece)]
    after = next((p for p in points if p != points[0]), (points[0][0] + 1, points[0][1]))
    return points[0][0] - after[0], points[0][1] - after[1]


def middle(route: Route) -> tuple[float, float]:
    """A point half-way along."""
    points = list(route.points())
    return points[len(points) // 2]


def legend(scale: Scale, lanes: list[Lane], theme: Theme) -> tuple[str, float, float]:
    """The scale as a wedge with decade ticks, and what is measured; its height and width."""
    unit, x0, y = 44.0, 14.0, 34.0
    width = unit * (scale.high - scale.low)
    timed = any(lane.timed for lane in lanes)
    heading = ("gradient sent along each edge (Euclidean norm, log scale); arrows: the way it flows"
               + (", back in time" if timed else ""))
    parts = [text(0, 12, heading, anchor="start", font_size="12", font_weight="bold")]
    slices = 8 * (scale.high - scale.low)
    for j in range(slices):
        g = 10 ** (scale.low + (j + 0.5) / 8)
        w = scale.width(g)
        parts.append(element("rect", x=x0 + j * unit / 8, y=y - w / 2, width=unit / 8 + 0.3, height=w,
                             fill=cividis(scale.place(g))))
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
    flow = next(lane.flow for lane in lanes if lane.flow is not None)
    loss = flow.graph.nodes[flow.root]
    T = len(lanes[0].layer.steps)
    span = f" (T = {T} step{'s' * (T != 1)})" if timed else ""
    what = f"The gradient of {shorten(loss.get('symbol', loss['name']), 12)}{span}, over the whole batch."
    if timed:
        what += " Under each state: the norm of its whole gradient."
    parts.append(text(0, y + 46, what, anchor="start", font_size="11", fill=theme.faint))
    return "".join(parts), y + 50, max(text_width(heading, 12) * 1.08, text_width(what, 11), x + 170)
