"""A row of cells: some steps of one layer side by side, wired where one follows another. Also, the cell in a loop.

The steps stand in the order of time, from left to right. In a layer that runs backwards in time the cells are mirrored,
and what they hand on goes from right to left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from viz.flow.messages import Flow
from viz.graph.cells import Wire, one_cell
from viz.graph.steps import Edge, Layer
from viz.graph.trace import norm
from viz.layout.cell import Tile, gap, lay_out, mirrored
from viz.layout.geometry import Route
from viz.numbers import short
from viz.pictures.glyphs_old import paint_glyphs
from viz.pictures.wires_old import FORWARDS, PLAIN, Stamps, look, paint_wire, strength
from viz.render.markup import element, text, title
from viz.scale import Scale
from viz.theme import Theme
from viz.typography import shorten

STUB = 34.0  # how far a wire goes on towards a cell that is not shown
Stroke = tuple[int, str]  # how strong, and the markup


@dataclass
class Row:
    """The cells of one layer.

    Attributes:
        graph, layer, flow: what is drawn.
        tile: one cell, laid out; mirrored if the layer runs backwards.
        shown: the steps, in the order of time.
    """

    graph: nx.MultiDiGraph
    layer: Layer
    flow: Flow | None
    tile: Tile
    shown: list[int]
    theme: Theme

    @classmethod
    def of(cls, graph: nx.MultiDiGraph, layer: Layer, flow: Flow | None, shown: Sequence[int], theme: Theme,
           fitting: Iterable[int] = ()) -> Row:
        """The row of these steps; the cell has room for all that these steps, and those of ``fitting``, hold."""
        drawn = {*shown, *fitting}
        part, inside = excerpt(graph, layer, drawn)
        tile = lay_out(one_cell(part, inside, [step for step in layer.order if step in drawn]), theme)
        theme = replace(theme, between=gap(tile.cell, theme))
        return cls(graph, layer, flow, mirrored(tile) if backwards(layer) else tile, sorted(shown), theme)

    @cached_property
    def turn(self) -> dict[int, int]:
        """Which step is taken when."""
        return {step: j for j, step in enumerate(self.layer.order)}

    @cached_property
    def inside(self) -> set[str]:
        """The ids of all nodes of the layer."""
        return {v for ids in self.layer.steps.values() for v in ids.values()}

    @cached_property
    def named(self) -> list[str]:
        """The states whose names are written: those that are handed on, or (if none is) all that leave the cell."""
        cell = self.tile.cell
        handed_on = {wire.source for wire in cell.wires if wire.recurrent}
        return [state for state in cell.states if state in handed_on or not handed_on]

    @property
    def way(self) -> int:
        """1 if time runs from left to right, -1 if from right to left."""
        return -1 if self.tile.mirrored else 1

    def edge(self, step: int, wire: Wire) -> Edge | None:
        """The edge that a wire stands for at a step; None if the step has none, or it comes from a plain number."""
        consumer = self.layer.steps[step].get(wire.edge[0])
        if consumer is None:
            return None
        for u, _, k in self.graph.in_edges(consumer, keys=True):
            if k == wire.edge[1]:
                return None if self.graph.nodes[u]["kind"] == "constant" else Edge(consumer, k)
        return None

    def message(self, edge: Edge | None) -> float | None:
        """The norm of what was sent along an edge; None without a flow, or if nothing was."""
        return None if self.flow is None or edge is None else self.flow.messages.get(edge)

    def sizes(self, wire: Wire, steps: Iterable[int]) -> list[float]:
        """The norms of the messages along a wire at these steps; shorter, where nothing was sent."""
        if self.flow is None:
            return []
        messages, (name, k) = self.flow.messages, wire.edge
        ids = (v for step in steps if (v := self.layer.steps[step].get(name)) is not None)
        return [g for v in ids if (g := messages.get(Edge(v, k))) is not None]

    def norms(self) -> Iterable[float]:
        """Every norm that the row shows."""
        for step in self.shown:
            for wire in self.tile.cell.wires:
                if (g := self.message(self.edge(step, wire))) is not None:
                    yield g
            for state, readers in self.leaving(step, self.shown):
                if sizes := self.messages(self.read_by(state, [step], readers)):
                    yield norm(sizes)

    def words(self, wire: Wire) -> tuple[str, str]:
        """What a wire joins, in a few words."""
        return self.tile.cell.words.get(wire.source, wire.source), self.tile.cell.words.get(wire.target, wire.target)

    # ---------------------------------------------------------------------------------------------- steps side by side
    def paint(self, lefts: Mapping[int, float], y: float, scale: Scale, stamps: Stamps) -> str:
        """The cells of the steps, each with its left edge where it is told, and the wires between neighbours."""
        theme, tile = self.theme, self.tile
        backs, glyphs, notes = [], [], []
        strokes: list[Stroke] = []
        for step, x in lefts.items():
            backs.append(stamps.use(("back", id(tile)), lambda: element(
                "rect", width=tile.width, height=tile.height, rx=10, fill=theme.tile, stroke=theme.rim), x=x, y=y))
            glyphs.append(stamps.use(("cell", id(tile)), lambda: paint_glyphs(tile, theme), x=x, y=y))
            notes.append(text(x + tile.width / 2, y + tile.height + 17, f"t = {step}", font_size="12",
                              fill=theme.faint))
            notes.append(self.states(step, x, y))
            for wire in tile.cell.wires:
                strokes += self.wire(wire, step, lefts, y, scale)
            strokes += self.handed_on(step, lefts, y, scale)
        strokes.sort(key=lambda stroke: stroke[0])
        return "".join([*backs, *(markup for _, markup in strokes), *glyphs, *notes])

    def wire(self, wire: Wire, step: int, lefts: Mapping[int, float], y: float, scale: Scale) -> Iterable[Stroke]:
        """One wire into one step."""
        edge = self.edge(step, wire)
        x = lefts[step]
        if not wire.recurrent:
            if edge is not None:
                yield self.stroke(self.tile.routes[wire.edge].shifted(x, y), edge, scale, wire, step)
            return
        entry = self.tile.entries[wire.edge].shifted(x, y)
        before = self.turn[step] - wire.delay
        source = self.layer.order[before] if before >= 0 else None
        if edge is None or source is None:
            return  # the state that the net starts from: a plain number, or made outside the steps
        if source in lefts:
            way = self.tile.exits[wire.source].shifted(lefts[source], y)
            (x1, y1), (x2, y2) = way.end, entry.start
            if wire.delay > 1:
                way.pieces.append(((x1 + 40 * self.way, y1 - 60), (x2 - 40 * self.way, y2 - 60), (x2, y2)))
            route = Route(way.start, [*way.pieces, (entry.start,), *entry.pieces])
        else:
            route = Route((entry.start[0] - STUB * self.way, entry.start[1]), [(entry.start,), *entry.pieces])
        yield self.stroke(route, edge, scale, wire, step)

    def handed_on(self, step: int, lefts: Mapping[int, float], y: float, scale: Scale) -> Iterable[Stroke]:
        """Out of a cell whose next step is not shown; out of the last one, what those who read it sent."""
        for state, readers in self.leaving(step, lefts):
            far = STUB if readers else 0.5 * STUB
            way = self.tile.exits[state].shifted(lefts[step], y)
            way.line(way.end[0] + self.way * far, way.end[1])
            yield self.sent(way, state, self.read_by(state, [step], readers), scale)

    def leaving(self, step: int, shown: Iterable[int]) -> Iterable[tuple[str, set[int]]]:
        """The states of a step that no step shown reads, and the steps that do."""
        order, turn = self.layer.order, self.turn[step]
        for state in self.tile.cell.states:
            delays = {wire.delay for wire in self.tile.cell.wires if wire.recurrent and wire.source == state}
            readers = {order[turn + delay] for delay in delays if turn + delay < len(order)}
            if not readers & set(shown) and state in self.layer.steps[step]:
                yield state, readers

    def messages(self, edges: Iterable[Edge]) -> list[float]:
        """The norms of what was sent along these edges; shorter, where nothing was."""
        return [g for edge in edges if (g := self.message(edge)) is not None]

    def read_by(self, state: str, steps: Iterable[int], readers: Iterable[int] = ()) -> list[Edge]:
        """The edges by which the readers, or (if there are none) what lies outside the layer, read a state."""
        sources = [v for step in steps if (v := self.layer.steps[step].get(state)) is not None]
        wanted = {v for step in readers for v in self.layer.steps[step].values()}
        return [Edge(v, k) for _, v, k in self.graph.out_edges(sources, keys=True)
                if (v in wanted if wanted else v not in self.inside)]

    def sent(self, route: Route, state: str, edges: Sequence[Edge], scale: Scale) -> Stroke:
        """A wire out of a cell to something that is not drawn, with all that was sent back along it."""
        if self.flow is None:
            return -2, paint_wire(route, PLAIN, self.theme)
        sizes = self.messages(edges)
        how = look(norm(sizes) if sizes else None, scale)
        said = f"{norm(sizes):.4g}, {len(sizes)} message{'s taken together' * (len(sizes) > 1)}" if sizes else "none"
        note = title(f"gradient to {self.tile.cell.words.get(state, state)}: {said}")
        return strength(how), element("g", note + paint_wire(route, how, self.theme))

    def stroke(self, route: Route, edge: Edge, scale: Scale, wire: Wire, step: int) -> Stroke:
        """A wire as structure, or with what flowed back along it."""
        if self.flow is None:
            return 0, paint_wire(route, FORWARDS, self.theme)
        size = self.message(edge)
        how = look(size, scale)
        a, b = self.words(wire)
        then = f" at t = {self.layer.order[self.turn[step] - wire.delay]}" if wire.recurrent else ""
        said = "no gradient" if size is None else f"{size:.4g}"
        note = title(f"from {a}{then} to {b} at t = {step}: {said}")
        return strength(how), element("g", note + paint_wire(route, how, self.theme))

    def states(self, step: int, x: float, y: float) -> str:
        """The name of each state where it leaves the cell, and the norm of its gradient."""
        parts = []
        for state in self.named:
            node = self.layer.steps[step].get(state)
            if node is None:
                continue
            x1, y1 = self.tile.exits[state].end
            x1, y1 = x + x1 + self.way * self.theme.between / 2, y + y1
            parts.append(text(x1, y1 - 9, shorten(self.tile.cell.symbols.get(state, state), 6), sub=step,
                              font_style="italic"))
            if self.flow is not None and node in self.flow.gradients:
                parts.append(text(x1, y1 + 19, short(self.flow.gradients[node]), font_size="11"))
        return "".join(parts)


def excerpt(graph: nx.MultiDiGraph, layer: Layer, shown: Iterable[int]) -> tuple[nx.MultiDiGraph, Layer]:
    """What is needed to draw these steps: a graph without the others, but for those that they read or hand on to.

    To find out what a cell looks like takes time with every step; of ten thousand, four will do.
    """
    order, turn = layer.order, {step: j for j, step in enumerate(layer.order)}
    home = {v: turn[step] for step in shown for v in layer.steps[step].values()}
    away = [abs(home[v] - turn[there]) for v in home for u in (*graph.predecessors(v), *graph.successors(v))
            if (there := graph.nodes[u].get("step")) in turn
            and graph.nodes[u].get("path") == graph.nodes[v].get("path")]
    far = max(away, default=1)
    wanted = {order[i] for j in set(home.values()) for i in range(max(j - far, 0), min(j + far + 1, len(order)))}
    nodes = {v for v, step in graph.nodes(data="step") if step is None or step in wanted}
    nodes.update(u for v in home for u in graph.predecessors(v))
    part = nx.MultiDiGraph(graph.subgraph(nodes))
    inside = {step: ids for step, ids in layer.steps.items() if step in wanted}
    last = set(inside[order[max(turn[step] for step in inside)]].values())
    for v in nodes - home.keys() - last:  # what has lost operands is known by its name alone
        if part.in_degree(v) < graph.in_degree(v) and "symbol" not in part.nodes[v]:
            part.add_node(v, **graph.nodes[v] | {"symbol": graph.nodes[v]["op"]})
    return part, Layer(layer.path, inside)


def kinds(layer: Layer) -> list[int]:
    """Of every kind of step, by what it holds, the first two, and the very last step.

    The first one lacks what comes from before; the last is what others read after the loop.
    """
    found: dict[frozenset[str], list[int]] = {}
    for step in layer.order:
        alike = found.setdefault(frozenset(layer.steps[step]), [])
        if len(alike) < 2:
            alike.append(step)
    return [*(step for alike in found.values() for step in alike), layer.order[-1]]


def backwards(layer: Layer) -> bool:
    """Were its steps taken from the last to the first?"""
    return layer.order[0] > layer.order[-1]

