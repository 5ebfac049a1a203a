"""Lanes: an unrolled net, ready to be painted. Which layer stands in which row, what joins them, what comes after.

Every unrolled layer is a lane, all lanes share one time axis, and columns are time steps. A layer stands above those
it reads. A decoder, whose first state is an encoder's last, goes on in the encoder's row. A layer that runs backwards
in time has the same axis and a mirrored cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import networkx as nx

from viz.flow.messages import Flow
from viz.graph.cells import PLUMBING, Wire, one_cell
from viz.graph.labels import labelled, name_from_torch, need_labels
from viz.graph.steps import Edge, Layer, states
from viz.layout.cell import Tile, gap, lay_out, mirrored
from viz.numbers import short
from viz.theme import Theme
from viz.typography import shorten, text_width

FIRST = 34.0  # before the first column: room for a stub
BREAK = 50.0  # the room between two columns where steps are left out
JOINING = PLUMBING | {"stack", "concat", "pad"}  # what lies between a layer and who reads it, and is not worth a box


@dataclass
class Group:
    """A box after the last step: what computes the outputs and the loss."""

    nodes: list[str]
    title: str
    note: str


class Output(NamedTuple):
    """An edge by which something outside a layer reads it: at which step, which glyph, and who gets it in the end."""

    step: int
    name: str
    edge: Edge
    lanes: frozenset[int]
    after: bool  # do the boxes after the last step get it?


@dataclass
class Lane:
    """One unrolled layer. Columns are steps plus ``offset``; ``shown`` are those drawn, in the order of time."""

    layer: Layer
    offset: int
    outputs: list[Output]
    after: int | None  # the lane whose last state it starts from
    feeds: dict[str, frozenset[int]]  # for each input, the lanes that it comes from
    tile: Tile = field(init=False)
    shown: list[int] = field(default_factory=list)
    label: str = ""
    row: int = 0

    @property
    def backwards(self) -> bool:
        """Does it run from the last step to the first?"""
        return self.tile.mirrored

    @cached_property
    def order(self) -> list[int]:
        """The steps as they were taken."""
        return self.layer.order

    @cached_property
    def turn(self) -> dict[int, int]:
        """Which step is taken when."""
        return {step: j for j, step in enumerate(self.order)}

    def node(self, step: int, name: str) -> str | None:
        """The id of a node of a step."""
        return self.layer.steps.get(step, {}).get(name)


@dataclass
class Net:
    """A net to be drawn: its lanes from the bottom up, and the boxes after the last step."""

    graph: nx.MultiDiGraph
    flow: Flow | None
    name: str
    labels: Mapping[int, object]
    lanes: list[Lane]
    groups: list[Group]
    columns: list[int]
    left_out: bool = False  # are there columns that are not drawn?

    @property
    def T(self) -> str:
        """How many steps there are: ``10``; of an encoder and its decoder ``4 + 3``."""
        steps: dict[int, int] = {}
        for lane in self.lanes:
            steps[lane.offset] = max(steps.get(lane.offset, 0), len(lane.layer.steps))
        return " + ".join(str(steps[offset]) for offset in sorted(steps))

    @cached_property
    def sources(self) -> dict[Edge, bool]:
        """All edges; does it come from a plain number or array?"""
        kind = {node: said["kind"] for node, said in self.graph.nodes(data=True)}
        return {Edge(v, k): kind[u] == "constant" for u, v, k in self.graph.edges(keys=True)}

    def edge(self, lane: Lane, step: int, wire: Wire) -> Edge | None:
        """The edge that a wire stands for at this step; None if the step has no such edge."""
        consumer = lane.node(step, wire.edge[0])
        if consumer is None:
            return None
        edge = Edge(consumer, wire.edge[1])
        return edge if edge in self.sources and not (wire.recurrent and self.sources[edge]) else None

    def onward(self, lane: Lane) -> Iterable[tuple[int, int, Wire, Edge]]:
        """What cells that are drawn hand on to cells that are not: the two steps, the wire and its edge."""
        taken = sorted(lane.shown, key=lane.turn.__getitem__)
        for wire in lane.tile.cell.wires:
            for step in taken[-wire.delay:] if wire.recurrent else ():
                turn = lane.turn[step] + wire.delay
                reader = lane.order[turn] if turn < len(lane.order) else None
                if reader is not None and reader not in lane.shown and (edge := self.edge(lane, reader, wire)):
                    yield step, reader, wire, edge

    def message(self, edge: Edge | None) -> float | None:
        """The norm of the message along an edge: None without a flow, or where no gradient flows."""
        return None if self.flow is None or edge is None else self.flow.messages.get(edge)

    def norms(self) -> Iterable[float]:
        """Every norm that will be drawn."""
        for lane in self.lanes:
            edges = [self.edge(lane, step, wire) for step in lane.shown for wire in lane.tile.cell.wires]
            shown = set(lane.shown)
            edges += [output.edge for output in lane.outputs if output.step in shown]
            edges += [edge for *_, edge in self.onward(lane)]
            for edge in edges:
                if (g := self.message(edge)) is not None:
                    yield g


def net(graph: nx.MultiDiGraph, found: list[Layer], flow: Flow | None, steps: tuple[int, int] | None,
        last: int | None, labels: Sequence[object] | Mapping[int, object] | None, name: str | None, theme: Theme,
        most: int | None = None) -> Net:  # fmt: skip
    """All that a picture of these layers shows.

    Args:
        graph, found, flow: the graph, its layers, and the gradient.
        steps, last: the columns that are asked for; by default as many as fit on the page of the theme, at most
            ``most``.
        labels, name, theme: as in `viz.draw_unrolled`.

    Raises:
        ValueError: if the steps are not in the graph.
    """
    reading = Reading(graph, found)
    lanes: list[Lane] = []
    for j, layer in enumerate(found):
        before = reading.continues(j)
        offset = behind(found[before], lanes[before].offset, layer) if before is not None else 0
        lanes.append(Lane(layer, offset, reading.outputs[j], before, reading.feeds(j)))
    for j, lane in enumerate(lanes):
        heirs = {i for i, other in enumerate(lanes) if other.after == j}
        lane.outputs = [output._replace(lanes=output.lanes - heirs) for output in lane.outputs]
    for j, lane in enumerate(lanes):
        below = [lanes[i].row for i in range(j) if any(j in output.lanes for output in lanes[i].outputs)]
        lane.row = max(below, default=-1) + 1
        if lane.after is not None:
            lane.row = max(lane.row, lanes[lane.after].row)
        taken = {other.row for other in lanes[:j] if overlap(other, lane)}
        while lane.row in taken:
            lane.row += 1
    groups = reading.groups()
    count = len({step + lane.offset for lane in lanes for step in lane.layer.steps})
    if steps is None and last is None:
        columns = fitting_columns(graph, lanes, groups, flow is not None, theme, most)
    else:
        columns = chosen(lanes, steps, 8 if last is None else last)
    window = set(columns)
    for lane, layer in zip(lanes, found, strict=True):
        lane.shown = [step for step in sorted(layer.steps) if step + lane.offset in window]
    lanes = kept(lanes)
    names = labelled([lane.layer.path for lane in lanes], [is_backwards(lane.layer) for lane in lanes])
    for lane, label in zip(lanes, names, strict=True):
        order = lane.layer.order
        seen = {*lane.shown, *order[-2:]}  # a first step alone does not show what it hands on
        tile = lay_out(one_cell(graph, lane.layer, [step for step in order if step in seen]), theme)
        lane.tile, lane.label = mirrored(tile) if is_backwards(lane.layer) else tile, label
    said = need_labels("draw_unrolled", labels, columns[-1] + 1, "steps")
    return Net(graph, flow, name or called(graph, found), said, lanes, groups, columns, len(columns) < count)


def fitting_columns(graph: nx.MultiDiGraph, lanes: Sequence[Lane], groups: Sequence[Group], spaced: bool,
                    theme: Theme, most: int | None) -> list[int]:  # fmt: skip
    """As many columns as fit on the page: the last ones; or spaced, more of them near the loss than far from it."""
    have = sorted({step + lane.offset for lane in lanes for step in lane.layer.steps})
    for lane in lanes:
        tile = lay_out(one_cell(graph, lane.layer, lane.layer.order[-2:]), theme)
        lane.tile = mirrored(tile) if is_backwards(lane.layer) else tile
    boxes = max((group_width(group) for group in groups), default=0.0)
    others = 2 * theme.margin + FIRST + passing(lanes) + boxes
    pitch = pitch_of(lanes, theme)
    n = max(1, int((theme.page - others) // pitch))
    if n < len(have) and not spaced:  # on the left stands how many come before
        n = max(1, int((theme.page - others - 50) // pitch))
    if spaced and n < len(have):
        n = max(1, int((theme.page - others + BREAK) // (pitch + BREAK)))
    n = min(n, len(have), most or n)
    back = all(is_backwards(lane.layer) for lane in lanes)
    if not spaced or n == len(have):
        return have[:n] if back else have[-n:]
    return sorted(spaced_columns(lanes, have[::-1] if back else have, n))


def spaced_columns(lanes: Sequence[Lane], have: Sequence[int], n: int) -> Iterable[int]:
    """So many columns, the first and the last of each part among them: of an encoder, and of its decoder."""
    starts = {lane.offset for lane in lanes}
    parts: list[list[int]] = []
    for column in have:
        if column in starts or not parts:
            parts.append([])
        parts[-1].append(column)
    counts = [0] * len(parts)
    while sum(counts) < n:
        j = min(range(len(parts)), key=lambda j: (counts[j] >= len(parts[j]), counts[j], -j))
        counts[j] += 1
    for part, k in zip(parts, counts, strict=True):
        yield from (part[-1 - lag] for lag in spaced_lags(len(part), k))


def spaced_lags(T: int, n: int) -> list[int]:
    """So many of the lags 0, ..., T - 1: the ends, and round numbers in between, closer together near 0.

    >>> spaced_lags(100, 4), spaced_lags(101, 5), spaced_lags(3, 8)
    ([0, 1, 5, 99], [0, 1, 5, 20, 100], [0, 1, 2])
    """
    if n >= T or n < 2:
        return list(range(min(n, T)))
    found, count = ([0, 1], n - 2) if n > 3 else ([0], n - 1)
    for k in range(1, count):
        wanted = (T - 1) ** (k / count)
        tens = 10 ** int(math.log10(wanted))
        found.append(max(found[-1] + 1, max(m * tens for m in (1, 2, 5) if m * tens <= wanted * 1.1)))
    return [*found, T - 1] if found[-1] < T - 1 else list(range(n))


def group_width(group: Group) -> float:
    """How wide a box after the last step is."""
    return max(text_width(group.title, 12), text_width(group.note, 12, bold=True), 60) + 18


def pitch_of(lanes: Sequence[Lane], theme: Theme) -> float:
    """From one column to the next. In the gap stand a state with its number, and the name of a decoder."""
    names = (line for lane in lanes if lane.after is not None for line in short_lines(lane.label))
    gaps = (gap(lane.tile.cell, theme) for lane in lanes)
    between = max([*gaps, *(text_width(line, 11) + 16 for line in names)])
    return cell_width(lanes) + between + 2 * passing(lanes)


def cell_width(lanes: Sequence[Lane]) -> float:
    """The width of the widest cell."""
    return max(lane.tile.width for lane in lanes)


def passing(lanes: Sequence[Lane]) -> float:
    """The room at each side of a gap for wires that go past a row."""
    rows = max(lane.row for lane in lanes)
    return 6.0 + 5.0 * rows if rows else 0.0


def short_lines(label: str) -> list[str]:
    """A label in short lines.

    >>> short_lines("encoder, layer 1, forwards →")
    ['encoder', 'layer 1', 'forwards →']
    """
    return [shorten(line, 14) for line in label.split(", ") if line]


def behind(before: Layer, offset: int, layer: Layer) -> int:
    """The offset of a layer that comes after another one, which has this offset."""
    return offset + max(before.steps) + 1 - min(layer.steps)


def offsets(graph: nx.MultiDiGraph, found: list[Layer]) -> list[int]:
    """What to add to the steps of each layer, so that all are counted in the order of execution.

    A layer comes after the one whose last state it starts from, also where that was detached. All others share the
    time of the layers that they read.
    """
    if len(found) == 1:
        return [0]
    reading = Reading(graph, found)
    result: list[int] = []
    for j, layer in enumerate(found):
        before = reading.continues(j)
        if before is None:
            before = reading.goes_on(j)
        shift = behind(found[before], result[before], layer) if before is not None else 0
        feeds = set().union(*reading.feeds(j).values())
        result.append(max([shift, *(result[i] for i in feeds if i < j)]))
    return result


def kept(lanes: list[Lane]) -> list[Lane]:
    """The lanes that are seen, numbered anew."""
    place = {j: n for n, j in enumerate(j for j, lane in enumerate(lanes) if lane.shown)}
    for lane in lanes:
        lane.after = None if lane.after is None else place.get(lane.after)
        lane.outputs = [output._replace(lanes=frozenset(place[j] for j in output.lanes if j in place))
                        for output in lane.outputs]
        lane.feeds = {name: frozenset(place[j] for j in comes if j in place) for name, comes in lane.feeds.items()}
    return [lane for lane in lanes if lane.shown]


def is_backwards(layer: Layer) -> bool:
    """Were its steps taken from the last to the first?"""
    return layer.order[0] > layer.order[-1]


def overlap(one: Lane, other: Lane) -> bool:
    """Do two lanes have a column in common?"""
    spans = [(min(lane.layer.steps) + lane.offset, max(lane.layer.steps) + lane.offset) for lane in (one, other)]
    return spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]


def chosen(lanes: Sequence[Lane], steps: tuple[int, int] | None, last: int) -> list[int]:
    """The columns to draw: those asked for, else the last ones taken."""
    have = sorted({step + lane.offset for lane in lanes for step in lane.layer.steps})
    if steps is None:
        if not hasattr(last, "__index__") or last < 1:
            raise ValueError(f"draw_unrolled: last must be a number of steps, at least 1, got {last!r:.40}")
        return have[:last] if all(is_backwards(lane.layer) for lane in lanes) else have[-last:]
    if not (isinstance(steps, (tuple, list)) and len(steps) == 2):
        few = f"; the last {steps}: last={steps}" if isinstance(steps, int) else ""
        raise TypeError(f"draw_unrolled: steps is a pair, the first and the last to draw, steps=({have[0]}, {have[-1]})"
                        f" for all of them{few}; got {steps!r:.60}")
    first, final = steps
    columns = [column for column in have if first <= column <= final]
    if not columns:
        raise ValueError(f"draw_unrolled: no steps {first}..{final}; the graph has steps {have[0]}..{have[-1]}")
    return columns


def called(graph: nx.MultiDiGraph, found: Sequence[Layer]) -> str:
    """What all layers together are called: their common scope, or the kind of their cells."""
    if name := name_from_torch(graph.graph, [layer.path for layer in found]):
        return name
    ends = list(dict.fromkeys(layer.path.split("/")[-1] for layer in found))
    return " and ".join(ends[:3]) if all(ends) else next(filter(None, ends), "")


class Reading:
    """Who reads whom: what lies outside the layers, which layers it comes from, and which it leads to."""

    def __init__(self, graph: nx.MultiDiGraph, found: list[Layer]) -> None:
        self.graph, self.found = graph, found
        self.where = {node: (j, step, name) for j, layer in enumerate(found)
                      for step, ids in layer.steps.items() for name, node in ids.items()}
        self.outside = sorted((node for node, said in graph.nodes(data=True)
                               if said["kind"] == "computed" and node not in self.where),
                              key=lambda node: graph.nodes[node]["order"])
        self.comes: dict[str, set[int]] = {}  # the layers it was computed from
        for node in self.outside:
            self.comes[node] = set().union(*(self._lanes_of(u) for u in graph.predecessors(node)))
        self.leads: dict[str, set[int]] = {}  # the layers that read it
        for node in reversed(self.outside):
            self.leads[node] = set().union(*(
                {self.where[v][0]} if v in self.where else self.leads.get(v, set()) for v in graph.successors(node)))
        self.ends = self._ends()
        self.sizes: dict[str, int] = {}
        self.outputs = [self._outputs(j) for j in range(len(found))]

    def _lanes_of(self, node: str) -> set[int]:
        return {self.where[node][0]} if node in self.where else self.comes.get(node, set())

    def _ends(self) -> set[str]:
        """What lies between the layers and the root, or is the root, and goes nowhere else."""
        root = self.graph.graph["root"]
        found = {root} - set(self.where)
        for node in reversed(self.outside):
            if any(v in found for v in self.graph.successors(node)):
                found.add(node)
        return {node for node in found if self.comes.get(node)}

    def _outputs(self, j: int) -> list[Output]:
        found = []
        for step, ids in self.found[j].steps.items():
            for node in ids.values():
                for _, v, k in self.graph.out_edges(node, keys=True):
                    if v not in self.where:
                        if (only := self._taken(v)) is None or only == k:
                            lanes = frozenset(self.leads.get(v, ()))
                            found.append(Output(step, self._drawn(node), Edge(v, k), lanes, v in self.ends))
                    elif self.where[v][0] != j and self.where[v][1] == step and "step" in self.graph.nodes[v]:
                        found.append(Output(step, self._drawn(node), Edge(v, k), frozenset({self.where[v][0]}), False))
        return found

    def feeds(self, j: int) -> dict[str, frozenset[int]]:
        """For each input of a cell, the layers that it comes from: by its own name, or the name of what it borrows."""
        found: dict[str, frozenset[int]] = {}
        for name, node in self.found[j].steps[self.found[j].last].items():
            for u in self.graph.predecessors(node):
                comes = frozenset(self._lanes_of(u) - {j})
                if comes and u in self.where:
                    said = self.graph.nodes[u]
                    found[f"{said.get('path', '')}:{said['name']}"] = comes
                elif comes:
                    found[name] = comes
        return found

    def _taken(self, node: str) -> int | None:
        """Which operand of a stack is all that is taken from it, as in ``hs[-1]``; None if it is not just one."""
        said = self.graph.nodes[node]
        if said["op"] != "stack" or said.get("params") != "axis=0":
            return None
        if node not in self.sizes:  # a stack of all steps is asked for at each of them
            self.sizes[node] = self.graph.in_degree(node)
        n = self.sizes[node]
        while len(readers := list(self.graph.successors(node))) == 1:
            node = readers[0]
            said = self.graph.nodes[node]
            if said["op"] == "getitem" and (index := re.fullmatch(r"index=(-?\d+)", said["params"])):
                return int(index[1]) % n
            if said["op"] != "concat" or said["params"].startswith("axis=0"):
                return None
        return None

    def _drawn(self, node: str) -> str:
        """The name of what a slice was taken from, within its step."""
        while self.graph.nodes[node].get("op") in PLUMBING and "symbol" not in self.graph.nodes[node]:
            u = next(iter(self.graph.predecessors(node)))
            if u not in self.where or self.where[u][:2] != self.where[node][:2]:
                break
            node = u
        return self.where[node][2]

    def continues(self, j: int) -> int | None:
        """The layer whose last state this one starts from, as a decoder does from its encoder's."""
        layer = self.found[j]
        if len(layer.steps) < 2 and len(self.found) < 2:
            return None
        first, *others = layer.order
        for name, node in layer.steps[first].items():
            for u, _, k in self.graph.in_edges(node, keys=True):
                before = max((i for i in self._lanes_of(u) if i < j), default=None)
                if before is None or not others or name not in layer.steps[others[0]]:
                    continue
                then = [w for w, _, n in self.graph.in_edges(layer.steps[others[0]][name], keys=True) if n == k]
                if then and then[0] in self.where and self.where[then[0]][0] == j and self._is_last(u, before):
                    return before
        return None

    def goes_on(self, j: int) -> int | None:
        """The layer of the same scopes whose last state, detached, this one starts from: the norms are the same."""
        nodes, layer = self.graph.nodes, self.found[j]
        began = {nodes[u]["norm"] for node in layer.steps[layer.order[0]].values()
                 for u in self.graph.predecessors(node) if nodes[u]["kind"] == "constant" and "norm" in nodes[u]}
        for i in reversed(range(j)):
            before = self.found[i]
            ended = {nodes[node].get("norm") for node in states(self.graph, before)
                     if node in before.steps[before.last].values()}
            if before.path == layer.path and began & ended - {0.0, None}:
                return i
        return None

    def _is_last(self, node: str, lane: int) -> bool:
        """Is it the state after the last step of a layer (or of each sequence, where they differ in length)?"""
        return node not in self.where or self.where[node][1] == self.found[lane].order[-1]

    # ------------------------------------------------------------------------------------------------ the boxes after
    def groups(self) -> list[Group]:
        """The boxes after the last step: by scope, if that makes a chain, else one box for everything."""
        nodes = [node for node in self.outside if node in self.ends and not self.leads[node]]
        worth = [node for node in nodes if not (self._joins(node) or self._adds_nothing(node))] or nodes[-1:]
        if not worth:
            return []
        parts: list[list[str]] = []
        before = None
        for node in worth:
            scope = self.graph.nodes[node].get("path", "").split("/")[0]
            if scope != before:
                parts.append([])
            parts[-1].append(node)
            before = scope
        home = {node: i for i, part in enumerate(parts) for node in part}
        jumps = [home[v] - home[u] for u, v in self.graph.edges() if u in home and v in home and home[u] != home[v]]
        entered = {home[v] for u, v in self.graph.edges() if v in home and u not in home and self._lanes_of(u)}
        if len(parts) > 4 or any(jump != 1 for jump in jumps) or len(jumps) != len(parts) - 1 or entered - {0}:
            parts = [worth]
        return [self._group(part) for part in parts]

    def _joins(self, node: str) -> bool:
        """Does it only put the layers' outputs side by side, or take slices of them?"""
        return self.graph.nodes[node]["op"] in JOINING and all(
            u in self.where or (u in self.ends and self._joins(u)) for u in self.graph.predecessors(node))

    def _adds_nothing(self, node: str) -> bool:
        """Is it a sum of one node and of plain zeros, as the first of a running sum?"""
        said = [self.graph.nodes[u] for u in self.graph.predecessors(node)]
        plain = [one for one in said if one["kind"] == "constant"]
        return (self.graph.nodes[node]["op"] == "add" and len(said) - len(plain) == 1
                and all(one.get("norm", one.get("value")) == 0 for one in plain))

    def _group(self, nodes: list[str]) -> Group:
        return group(self.graph, nodes)


def group(graph: nx.MultiDiGraph, nodes: list[str]) -> Group:
    """A box for nodes that belong together, the last one's name and value on it."""
    end = graph.nodes[nodes[-1]]
    ops = list(dict.fromkeys(graph.nodes[node]["op"] for node in nodes if graph.nodes[node]["kind"] == "computed"))
    heading = (end.get("path", "").split("/")[0] if len({graph.nodes[node].get("path", "").split("/")[0]
                                                         for node in nodes}) == 1 else "outputs and loss")
    heading = heading or (", ".join(ops) if len(ops) <= 2 else "loss")
    if end.get("role") == "output" and any("entropy" in graph.nodes[v].get("path", "") + graph.nodes[v].get("op", "")
                                           for v in graph.successors(nodes[-1])):
        heading, note = f"{heading} (logits)", end["shape"]  # its o would be taken for the output gate
    elif "value" in end:
        note = f"{end.get('symbol', '')} = {short(end['value'])}".lstrip()
    else:
        note = f"{end['symbol']} {end['shape']}" if "symbol" in end else end["shape"]
    return Group(nodes, shorten(heading, 24), shorten(note, 24))
