"""A row of cells: some steps of one layer side by side, wired where one follows another. Also, the cell in a loop.

The steps stand in the order of time, from left to right. In a layer that runs backwards in time the cells are mirrored,
and what they hand on goes from right to left. Connections that skip steps run in lanes above the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from viz.scale import Scale
from viz.scene.glyphs import highway, tile_items
from viz.scene.items import Box, Item, Key, Stamps, Text
from viz.scene.wires import FORWARDS, PLAIN, look, strand, strength
from viz.theme import Theme
from viz.typography import shorten, text_width

STUB = 26.0  # how far a wire goes on towards a cell that is not shown
LANE = 11.0  # between two connections that skip steps
BADGE = 56.0  # room for a number in a frame, as 1.3·10⁻¹²
Stroke = tuple[int, list[Item]]  # how strong, and its items


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
        theme = replace(theme, between=max(gap(tile.cell, theme), 0.0 if flow is None else BADGE))
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
        """The edge that a wire stands for at a step; None if the step has none, or a state is a plain array there."""
        consumer = self.layer.steps[step].get(wire.edge[0])
        if consumer is None:
            return None
        for u, _, k in self.graph.in_edges(consumer, keys=True):
            if k == wire.edge[1]:
                plain = self.graph.nodes[u]["kind"] == "constant" and wire.source not in self.tile.cell.borrowed
                return None if plain else Edge(consumer, k)
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
        """Every norm of a message that the row shows."""
        for step in self.shown:
            for wire in self.tile.cell.wires:
                if (g := self.message(self.edge(step, wire))) is not None:
                    yield g
            for state, readers in self.leaving(step):
                if sizes := self.messages(self.read_by(state, [step], readers)):
                    yield norm(sizes)

    def words(self, wire: Wire) -> tuple[str, str]:
        """What a wire joins, in a few words."""
        return self.tile.cell.words.get(wire.source, wire.source), self.tile.cell.words.get(wire.target, wire.target)

    # ---------------------------------------------------------------------------------------------- steps side by side
    @cached_property
    def lanes(self) -> dict[tuple[Wire, int], int]:
        """The lane, from the lowest up, of each connection that skips steps, by its wire and the step that it enters.

        Two that overlap in time have different lanes.
        """
        turn, found, taken = self.turn, {}, list[list[tuple[int, int]]]()
        for step in sorted(self.shown, key=turn.__getitem__):
            for wire in self.tile.cell.wires:
                start, end = turn[step] - wire.delay, turn[step]
                if wire.delay < 2 or start < 0 or self.layer.order[start] not in self.shown or (
                        self.edge(step, wire) is None):
                    continue
                free = (j for j, lane in enumerate(taken) if all(end <= a or b <= start for a, b in lane))
                if (j := next(free, len(taken))) == len(taken):
                    taken.append([])
                taken[j].append((start, end))
                found[wire, step] = j
        return found

    @property
    def head(self) -> float:
        """The room above the cells, for connections that skip steps."""
        return 6 + LANE * (1 + max(self.lanes.values())) if self.lanes else 0.0

    @property
    def height(self) -> float:
        """How high the row is, with what is written under the cells."""
        return self.head + self.tile.height + 24

    def width(self, n: int) -> float:
        """How wide so many cells are that follow each other, with the stubs at both ends."""
        return STUB + n * (self.tile.width + self.theme.between)

    def items(self, lefts: Mapping[int, float], y: float, scale: Scale, stamps: Stamps,
              caption: Callable[[int], str] = lambda step: f"t = {step}") -> list[Item]:
        """The cells of the steps, each with its left edge where it is told, and the wires between neighbours."""
        theme, tile, top = self.theme, self.tile, y + self.head
        backs: list[Item] = []
        glyphs: list[Item] = []
        notes: list[Item] = []
        strokes: list[Stroke] = []
        for step, x in lefts.items():
            backs.append(stamps.use(("back", id(tile)), lambda: self.back(theme.between / 2), x, top))
            glyphs.append(stamps.use(("cell", id(tile)), lambda: tile_items(tile, theme), x, top))
            notes.append(Text(x + tile.width / 2, top + tile.height + 17, caption(step), 12, "middle",
                              fill=theme.faint))
            notes += self.states(step, x, top)
            for wire in tile.cell.wires:
                strokes += self.wire(wire, step, lefts, top, scale)
            strokes += self.handed_on(step, lefts, top, scale)
        strokes.sort(key=lambda stroke: stroke[0])
        return [*backs, *(item for _, items in strokes for item in items), *glyphs, *notes]

    def back(self, reach: float = 0.0) -> list[Item]:
        """What a cell stands on; and the band under its carry, which reaches so far beyond both edges."""
        theme, tile = self.theme, self.tile
        return [Box(0, 0, tile.width, tile.height, 10, fill=theme.tile, stroke=theme.rim),
                *highway(tile, theme, reach)]

    def wire(self, wire: Wire, step: int, lefts: Mapping[int, float], y: float, scale: Scale) -> Iterable[Stroke]:
        """One wire into one step."""
        edge = self.edge(step, wire)
        x, s = lefts[step], self.way
        if edge is None:
            return
        if not wire.recurrent:
            yield self.stroke(self.tile.routes[wire.edge].shifted(x, y), edge, scale, wire, step)
            return
        entry = self.tile.entries[wire.edge].shifted(x, y)
        before = self.turn[step] - wire.delay
        if before < 0:
            return  # the state that the net starts from: a plain number, or made outside the steps
        source = self.layer.order[before]
        route = Route((entry.start[0] - STUB * s, entry.start[1]))
        if source in lefts:
            route = self.tile.exits[wire.source].shifted(lefts[source], y)
        if (lane := self.lanes.get((wire, step))) is not None and source in lefts:  # up, over the cells, and down
            over, (x1, y1), r = y - 8 - LANE * lane, entry.start, 8.0
            route.corner(route.end[0] + 9 * s, (route.end[1] + over) / 2, r, level_first=True)
            route.corner((route.end[0] + x1) / 2, over, r, level_first=False)
            route.corner(x1 - 9 * s, (over + y1) / 2, r, level_first=True)
            route.corner(*entry.start, r, level_first=False)
        yield self.stroke(Route(route.start, [*route.pieces, (entry.start,), *entry.pieces]), edge, scale, wire, step)

    def handed_on(self, step: int, lefts: Mapping[int, float], y: float, scale: Scale) -> Iterable[Stroke]:
        """Out of a cell whose next step is not shown; out of the last one, what those who read it sent."""
        for state, readers in self.leaving(step):
            way = self.tile.exits[state].shifted(lefts[step], y)
            way.line(way.end[0] + self.way * (self.theme.between - 6), way.end[1])
            yield self.sent(way, self.layer.steps[step][state], state, self.read_by(state, [step], readers), scale)

    def leaving(self, step: int) -> Iterable[tuple[str, set[int]]]:
        """The states of a step that no step shown reads, and the steps that do."""
        order, turn = self.layer.order, self.turn[step]
        for state in self.tile.cell.states:
            delays = {wire.delay for wire in self.tile.cell.wires if wire.recurrent and wire.source == state}
            readers = {order[turn + delay] for delay in delays if turn + delay < len(order)}
            if not readers & set(self.shown) and state in self.layer.steps[step]:
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

    def sent(self, route: Route, key: str, state: str, edges: Sequence[Edge], scale: Scale, steps: int = 1) -> Stroke:
        """A wire out of a cell to something that is not drawn, with all that was sent back along it, step by step."""
        said: Key = ("sent", key)
        if self.flow is None:
            return -2, strand(route, PLAIN, scale, self.theme, key=said)
        sizes = self.messages(edges)
        size = norm(sizes) / steps**0.5 if sizes else None
        words = "none" if size is None else (
            f"{short(size)}, {len(sizes)} message{'s taken together' * (len(sizes) > 1)}")
        how = look(size, scale)
        return strength(how), strand(route, how, scale, self.theme, key=said, datum=size, note=(
            f"gradient to {self.tile.cell.words.get(state, state)}: {words}"))

    def stroke(self, route: Route, edge: Edge, scale: Scale, wire: Wire, step: int) -> Stroke:
        """A wire as structure, or with what flowed back along it."""
        key: Key = ("edge", *edge)
        if self.flow is None:
            return 0, strand(route, FORWARDS, scale, self.theme, key=key)
        size = self.message(edge)
        how = look(size, scale)
        a, b = self.words(wire)
        then = f" at t = {self.layer.order[self.turn[step] - wire.delay]}" if wire.recurrent else ""
        said = "no gradient" if size is None else short(size)
        return strength(how), strand(route, how, scale, self.theme, key=key, datum=size,
                                     note=f"from {a}{then} to {b} at t = {step}: {said}")

    def states(self, step: int, x: float, y: float) -> list[Item]:
        """The name of each state where it leaves the cell, and in a frame the norm of its whole gradient."""
        found: list[Item] = []
        for state in self.named:
            node = self.layer.steps[step].get(state)
            if node is None:
                continue
            x1, y1 = self.tile.exits[state].end
            x1, y1 = x + x1 + self.way * self.theme.between / 2, y + y1
            called = shorten(self.tile.cell.symbols.get(state, state), 6)
            found.append(Text(x1, y1 - 9, [(called, 0), (str(step), -1)], self.theme.size, "middle", italic=True))
            if self.flow is not None and node in self.flow.gradients:
                found += badge(x1, y1 + 8, self.flow.gradients[node], ("state", node), self.theme)
        return found


def badge(x: float, y: float, size: float, key: Key, theme: Theme) -> list[Item]:
    """A number in a frame, whose upper edge has its middle at (x, y)."""
    words = short(size)
    w = text_width(words, 11) + 6
    return [Box(x - w / 2, y, w, 16, 3, fill=theme.paper, stroke=theme.wire, stroke_width=0.8),
            Text(x, y + 12, words, 11, "middle", key=key, datum=size)]


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

