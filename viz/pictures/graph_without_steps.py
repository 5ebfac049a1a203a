"""A graph without time steps: a tree as a tree, anything else in ranks from left to right.

A recursive net's tree (`nn.recurse`) is seen from its shape: hidden states that are computed from hidden states, each
of which is read once. What lies between two of them is one step, and is drawn as one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from viz.flow.finding import result
from viz.flow.messages import Flow
from viz.graph.cells import Cell, Glyph, one_cell
from viz.graph.labels import need_labels
from viz.graph.steps import Edge, Layer, no_steps, out_of_sight
from viz.layout.cell import size
from viz.layout.geometry import Place, Route
from viz.layout.lanes import group
from viz.layout.layered import layered
from viz.numbers import short
from viz.scale import Scale
from viz.scene.chart import SMALL, Block, paragraph
from viz.scene.glyphs import chip_items, chip_width, glyph_items
from viz.scene.items import Item, Text
from viz.scene.wires import FORWARDS, Look, look, off_the_scale, strand, strength
from viz.theme import Theme
from viz.typography import shorten, text_width

HEAD = 34.0
GAP, ROW = 16.0, 62.0  # of a tree: between leaves, and from a row to the next


@dataclass
class GraphWithoutSteps:
    """A graph without steps, laid out. The origin is the upper left corner.

    Attributes:
        glyphs: what is drawn, by name.
        boxes: where it stands.
        wires: from where, to where, the edge it stands for, and its way.
        notes: what is written under a glyph.
    """

    graph: nx.MultiDiGraph
    flow: Flow | None
    name: str
    width: float
    height: float
    glyphs: dict[str, Glyph]
    boxes: dict[str, Place]
    wires: list[tuple[str, str, Edge, Route]]
    words: Mapping[str, str]
    weights: list[tuple[str, str]]  # the id of each, and what it is called
    notes: dict[str, str] = field(default_factory=dict)
    nodes: int = 0  # how many nodes a tree has, leaves not counted
    shared: int = 0  # so many of the weights, the first ones, are used at all of these
    hint: Sequence[str] = ()  # lines for somebody who meant a loop over time

    @property
    def drawn(self) -> set[Look]:
        """The looks of wires that have no place on a scale."""
        return off_the_scale(self.flow.messages.get(edge) for *_, edge, _ in self.wires) if self.flow else set()

    def norms(self) -> Iterable[float]:
        """Every norm that will be drawn."""
        if self.flow is not None:
            for _, _, edge, _ in self.wires:
                if (g := self.flow.messages.get(edge)) is not None:
                    yield g

    def paint(self, scale: Scale, theme: Theme) -> Block:
        """The whole graph."""
        wires: list[tuple[int, list[Item]]] = []
        for u, v, edge, route in self.wires:
            g = None if self.flow is None else self.flow.messages.get(edge)
            how = FORWARDS if self.flow is None else look(g, scale)
            a, b = (self.words.get(name, name) for name in (u, v))
            note = f"from {a} to {b}: {g:.4g}" if g is not None else ""
            wires.append((strength(how), strand(route.shifted(0, HEAD), how, scale, theme, key=("edge", *edge),
                                                datum=g, note=note)))
        items: list[Item] = [Text(0, 14, self.name, 13, bold=True, key=("net", self.name))]
        items += [item for _, drawn in sorted(wires, key=lambda wired: wired[0]) for item in drawn]
        for name, glyph in self.glyphs.items():
            box = self.boxes[name]
            items += glyph_items(glyph, Place(box.x, box.y + HEAD, box.w, box.h), theme, key=("glyph", name))
            if name in self.notes:
                items.append(Text(box.x, box.bottom + HEAD + 14, self.notes[name], SMALL, "middle", mono=True))
        chips, right, low = self.chips(theme)
        hints = paragraph(self.hint, max(self.width, 420.0), theme)
        right = max(self.width, right, text_width(self.name, 13, bold=True), hints.width)
        return Block([*items, *chips, hints.at(0, low + 6)], right, low + 6 + hints.height)

    def chips(self, theme: Theme) -> tuple[list[Item], float, float]:
        """The weights, named once; how far right and down they reach."""
        y = HEAD + self.height + 40 if self.notes else HEAD + self.height + 28
        items: list[Item] = []
        x = far = 0.0
        room = max(self.width, 700.0)
        for j, (node, called) in enumerate(self.weights):
            said, called = self.graph.nodes[node], shorten(called, 12)
            words = f"{called} {said['shape'].strip('(),').replace(', ', '×')}".rstrip()
            g = None if self.flow is None else self.flow.gradients.get(node)
            if g is not None:
                words += f"  ‖∂L/∂{called}‖ = {short(g)}"
            w = chip_width(words)
            if x and x + w > room:
                x, y = 0.0, y + 28
            items += chip_items(x, y, w, words, theme, key=("weight", node), datum=g)
            x += w + 10
            far = max(far, x)
            if j + 1 == self.shared:
                words = f"the same weights at all {self.nodes} nodes of the tree" if self.nodes > 1 else "the weights"
                if x + text_width(words, SMALL) > room:
                    x, y = 0.0, y + 28
                items.append(Text(x, y + 4, words, SMALL, fill=theme.faint))
                far = max(far, x + text_width(words, SMALL))
                x, y = 0.0, y + 28 * (j + 1 < len(self.weights))
        return items, far, y + 16 if self.weights else HEAD + self.height + 30 * bool(self.notes)


def without_steps(graph: nx.MultiDiGraph, flow: Flow | None, name: str | None,
                  labels: Sequence[object] | Mapping[int, object] | None, theme: Theme) -> GraphWithoutSteps:
    """Lay a graph without steps out. The labels are written under the leaves of a tree, in the order of making."""
    layer = as_layer(graph)
    cell = one_cell(graph, layer, [0])
    tree = as_tree(cell)
    if tree is None:
        return in_ranks(graph, flow, name or result(graph), layer, cell, theme)
    return as_drawn(graph, flow, name or "tree", labels, layer, cell, tree, theme)


def as_layer(graph: nx.MultiDiGraph) -> Layer:
    """The graph as one step. Parameters are weights; where none are marked, so are leaves that are read at several
    places.
    """
    marked = any(said["kind"] == "parameter" for _, said in graph.nodes(data=True))
    return Layer("", {0: {
        said.get("path", "") + said["name"] if "path" in said else said["name"]: node
        for node, said in graph.nodes(data=True)
        if said["kind"] == "computed" or (said["kind"] == "leaf" and (marked or graph.out_degree(node) <= 1))
    }})


def in_ranks(graph: nx.MultiDiGraph, flow: Flow | None, name: str, layer: Layer, cell: Cell,
             theme: Theme) -> GraphWithoutSteps:
    """Ranks, from left to right."""
    wired: nx.MultiDiGraph = nx.MultiDiGraph()
    wired.add_nodes_from(cell.glyphs)
    for wire in cell.wires:
        wired.add_edge(wire.source, wire.target, key=wire.edge)
    places = layered(wired, {key: size(glyph, theme) for key, glyph in cell.glyphs.items()})
    wires = [(wire.source, wire.target, Edge(layer.steps[0][wire.edge[0]], wire.edge[1]),
              places.routes[wire.source, wire.target, wire.edge]) for wire in cell.wires]
    boxes = {str(key): box for key, box in places.boxes.items()}
    return GraphWithoutSteps(graph, flow, name, places.width, places.height, cell.glyphs, boxes, wires, cell.words,
                             named_weights(graph, cell), hint=if_a_loop(graph, cell))


def if_a_loop(graph: nx.MultiDiGraph, cell: Cell) -> list[str]:
    """What to say where an operation hides the steps inside it, or where a weight is used again and again: maybe this
    is a loop over time that does not say so.
    """
    if hidden := out_of_sight(graph):
        return [f"{hidden[0].upper()}{hidden[1:]}."]
    if not any(graph.out_degree(node) > 1 for node in cell.weights):
        return []
    why = no_steps(graph).split(". ")[0].rstrip(".")  # one sentence
    return [f"{why[0].upper()}{why[1:]}.", "As it is, all of it is drawn, whatever last= says."]


def named_weights(graph: nx.MultiDiGraph, cell: Cell) -> list[tuple[str, str]]:
    """The weights of a cell, and what they are called."""
    return [(node, str(cell.names.get(node, graph.nodes[node]["name"]))) for node in cell.weights]


# ------------------------------------------------------------------------------------------------ trees
def as_tree(cell: Cell) -> dict[str, str] | None:
    """For each glyph, the node of the tree that it belongs to; None if the graph is no tree of hidden states.

    What only leads to one hidden state belongs to it; what comes after the last one is one node, "".
    """
    hidden = {name for name, glyph in cell.glyphs.items() if glyph.role == "hidden"}
    wired = nx.DiGraph()
    wired.add_nodes_from(cell.glyphs)
    wired.add_edges_from((wire.source, wire.target) for wire in cell.wires)
    home: dict[str, str] = {}
    for name in reversed(list(nx.topological_sort(wired))):
        above = {home[v] for v in wired.successors(name)}
        if name in hidden or (wired.in_degree(name) == 0 and above != {""}):
            home[name] = name
        elif len(above) > 1:
            return None
        else:
            home[name] = above.pop() if above else ""
    edges = {(home[wire.source], home[wire.target]) for wire in cell.wires} - {(node, node) for node in home.values()}
    parents = [u for u, _ in edges]
    joined = {v for v in hidden if sum(target == v for _, target in edges) > 1}
    return home if joined and len(parents) == len(set(parents)) else None


def as_drawn(graph: nx.MultiDiGraph, flow: Flow | None, name: str,
             labels: Sequence[object] | Mapping[int, object] | None, layer: Layer, cell: Cell, home: dict[str, str],
             theme: Theme) -> GraphWithoutSteps:
    """A tree, its root on top: leaves side by side in one row, every parent above the middle of its children."""
    wires = [wire for wire in cell.wires if home[wire.source] != home[wire.target]]
    children: dict[str, list[str]] = {node: [] for node in dict.fromkeys(home.values())}
    for wire in sorted(wires, key=lambda wire: graph.nodes[layer.steps[0][wire.source]]["order"]):
        if home[wire.source] not in children[home[wire.target]]:
            children[home[wire.target]].append(home[wire.source])
    glyphs = {node: glyph_of(graph, layer, cell, home, node) for node in children}
    upwards = list(nx.topological_sort(nx.DiGraph([(u, v) for v, below in children.items() for u in below])))
    leaves = leaves_in_order(children, upwards[-1])
    words = need_labels("draw_unrolled", labels, len(leaves), "leaves")
    notes = {leaf: shorten(str(words[j]), 12) for j, leaf in enumerate(leaves) if j in words}
    sizes = {node: size(glyph, theme) for node, glyph in glyphs.items()}
    unit = GAP + max([sizes[leaf][0] for leaf in leaves] + [text_width(note, 11) for note in notes.values()])
    x = {leaf: unit * (j + 0.5) for j, leaf in enumerate(leaves)}
    rise = dict.fromkeys(leaves, 0)
    for node in upwards:
        if children[node]:
            x[node] = sum(x[child] for child in children[node]) / len(children[node])
            rise[node] = 1 + max(rise[child] for child in children[node])
    top = max(rise.values())
    left = max(0.0, max(sizes[node][0] / 2 - x[node] for node in x))
    boxes = {node: Place(x[node] + left, 16 + (top - rise[node]) * ROW, *sizes[node]) for node in children}
    drawn = []
    for wire in wires:
        u, v = home[wire.source], home[wire.target]
        a, b, n = boxes[u], boxes[v], len(children[v])
        port = b.x + (children[v].index(u) - (n - 1) / 2) * min(14.0, b.w / (n + 1))
        below = 16 + (top - rise[v] + 1) * ROW
        route = Route((a.x, a.top)).line(a.x, min(a.top, below - a.h / 2)).rise(port, b.bottom)
        drawn.append((wire.source, wire.target, Edge(layer.steps[0][wire.edge[0]], wire.edge[1]), route))
    width = max(max(box.right for box in boxes.values()), unit * len(leaves) + left)
    height = max(box.bottom for box in boxes.values()) + 4
    count = sum(glyph.role == "hidden" for glyph in glyphs.values())
    called = {node: name for name, node in layer.steps[0].items()}

    def reader(node: str) -> str:
        """The node of the tree in which a weight's reader is drawn."""
        while called[node] not in home:
            node = next(iter(graph.successors(node)))
        return home[called[node]]

    users = {node: {reader(v) for v in graph.successors(node)} for node, _ in named_weights(graph, cell)}
    parents = {node for node, glyph in glyphs.items() if glyph.role == "hidden" and children[node]}
    weights = sorted(named_weights(graph, cell), key=lambda weight: users[weight[0]] != parents)
    shared = sum(found == parents for found in users.values())
    return GraphWithoutSteps(graph, flow, name, width, height, glyphs, boxes, drawn, cell.words, weights, notes,
                             count, shared)


def glyph_of(graph: nx.MultiDiGraph, layer: Layer, cell: Cell, home: dict[str, str], node: str) -> Glyph:
    """How a node of the tree is drawn: a parent as a box with its letter, a leaf as an input, the end as its own."""
    if not node:
        inside = [layer.steps[0][name] for name in cell.glyphs if home[name] == ""]
        end = group(graph, sorted(inside, key=lambda one: graph.nodes[one]["order"]))
        between = " " if end.note.startswith("=") else ": "  # "sum = 2", "sum: L = 2", "stack: (4, 16)"
        return Glyph("", "box", f"{end.title}{between}{end.note}", None, "loss")
    own = cell.glyphs[node]
    if own.role != "hidden":
        return Glyph(node, "input", own.symbol or (own.label if own.shape == "input" else "x"), own.symbol, own.role)
    return Glyph(node, "box", "", own.symbol or "h", "hidden")


def leaves_in_order(children: Mapping[str, Sequence[str]], root: str) -> list[Any]:
    """The leaves from left to right. No recursion: a tree may be deeper than Python's limit."""
    found, stack = [], [root]
    while stack:
        node = stack.pop()
        if not children[node]:
            found.append(node)
        stack.extend(reversed(children[node]))
    return found
