"""Folding: from the graph of a whole unrolled net to one cell and the way its copies hang together.

An unrolled net is the same cell T times. `layers` finds the runs of steps in a graph, and `fold` turns one of them
into a `Cell`: glyphs (boxes and circles to draw) and wires between them, the same for every step. Nothing here knows
an LSTM. What is a state is seen from which edges cross from one step to a later one; what is a weight, from what was
computed from parameters alone.

Folded away: slices and reshapes (a wire goes through them), ``h @ W`` and the sums around it (one box), and plain
numbers (they become part of the label). Every wire still stands for exactly one edge of the graph, the one that
enters its target, so the number drawn on it is the message of that edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import networkx as nx

PLUMBING = {"getitem", "reshape", "transpose", "astype"}  # they move numbers about and change none
POINTWISE = {"multiply": "×", "add": "+", "subtract": "−", "divide": "÷"}
SIGNS = {"sigmoid": "σ"}
LINEAR = {"multiply", "add", "subtract", "negative"}  # ways along which a state is carried


class Edge(NamedTuple):
    """One edge of the graph: the k-th operand of a node."""

    consumer: str
    k: int


@dataclass
class Layer:
    """The steps of one unrolled cell: for each step, the ids of its nodes by name, oldest first."""

    path: str
    steps: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The youngest step, where the loop ends."""
        return next(reversed(self.steps))

    @property
    def order(self) -> list[int]:
        """The steps as the loop took them: forwards in time, or backwards."""
        backwards = len(self.steps) > 1 and self.last < next(iter(self.steps))
        return sorted(self.steps, reverse=backwards)


@dataclass(frozen=True)
class Glyph:
    """Something to draw in a cell. Its shape is ``box``, ``circle`` or ``input``."""

    name: str
    shape: str
    label: str
    symbol: str | None = None
    role: str | None = None


@dataclass(frozen=True)
class Wire:
    """From what (a glyph, or a state of an earlier step) to which glyph; ``port`` orders the wires into one glyph.

    ``edge`` is the edge it stands for: the name, within the step, of the node it enters, and k.
    """

    source: str
    target: str
    edge: tuple[str, int]
    delay: int = 0

    @property
    def recurrent(self) -> bool:
        """Does it come from an earlier step?"""
        return self.delay > 0


@dataclass
class Cell:
    """One step of a layer, ready to be laid out."""

    glyphs: dict[str, Glyph]
    wires: list[Wire]
    states: list[str]  # the glyphs that a later step reads (or the loss, for a net of one step)
    weights: list[str]  # the ids of the parameters it uses
    names: dict[str, str] = field(default_factory=dict)  # what weights without a symbol are called: W1, W2, ...
    symbols: dict[str, str] = field(default_factory=dict)  # what each state is called
    words: dict[str, str] = field(default_factory=dict)  # what each glyph is, in a few words: i × g

    def main_line(self) -> list[str]:
        """The glyphs on the straight line along the top: how the gradient gets from a state to the same state one
        step back. A pure carry, through products and sums only, if there is one (the LSTM's c, the GRU's h);
        else the shortest way there is (the simple RNN's, through its matrix and tanh).
        """
        ways = [way for state in self.states for way in [self.way(state)] if way]
        carries = [way for way in ways if all(self.glyphs[name].shape == "circle" for name in way)]
        by_role = {"cell": 0, "hidden": 1}
        return min(carries or ways, key=lambda way: (by_role.get(self.glyphs[way[-1]].role or "", 2), len(way)),
                   default=[])

    def way(self, state: str) -> list[str]:
        """The shortest way through one step from a state to itself; circles only, if that is possible."""
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.glyphs)
        for wire in self.wires:
            source = ("last", wire.source) if wire.recurrent else wire.source
            graph.add_edge(source, wire.target, weight=1 if self.glyphs[wire.target].shape == "circle" else 100)
        try:
            return list(nx.shortest_path(graph, ("last", state), state, weight="weight")[1:])
        except (nx.NetworkXNoPath, nx.NodeNotFound):
            return []


# ------------------------------------------------------------------------------------------------ finding the steps
def layers(graph: nx.MultiDiGraph) -> list[Layer]:
    """The unrolled layers of a graph, in the order of making. Empty if nothing was made inside a time step.

    A layer is what one scope path made, step by step. It ends where a step comes round a second time (another layer
    of the same name). Paths that hand nothing from step to step (an output layer called inside the loop) belong to
    the layer they exchange most with.
    """
    found: list[Layer] = []
    current: dict[str, Layer] = {}
    now: dict[str, int] = {}
    at = uses(graph)
    for node, said in sorted(graph.nodes(data=True), key=lambda item: item[1]["order"]):
        if "step" not in said or said["kind"] in ("constant", "parameter") or len(at.get(node, ())) > 1:
            continue  # a leaf that several steps read is a weight, wherever it was made
        path, step = said.get("path", ""), said["step"]
        if path not in current or (step in current[path].steps and step != now[path]):
            current[path] = Layer(path)
            found.append(current[path])
        now[path] = step
        current[path].steps.setdefault(step, {})[_free(current[path].steps.get(step, {}), said["name"])] = node
    found = _merged(graph, found)
    _adopt(graph, found, at)
    return found


def uses(graph: nx.MultiDiGraph) -> dict[str, set[int]]:
    """For each leaf: the steps that read it, directly or through something made outside the steps."""
    found = {}
    for leaf, said in graph.nodes(data=True):
        if said["kind"] != "leaf":
            continue
        steps: set[int] = set()
        seen, stack = {leaf}, [leaf]
        while stack:
            for v in graph.successors(stack.pop()):
                if "step" in graph.nodes[v]:
                    steps.add(graph.nodes[v]["step"])
                elif v not in seen:
                    seen.add(v)
                    stack.append(v)
        found[leaf] = steps
    return found


def _adopt(graph: nx.MultiDiGraph, found: list[Layer], at: dict[str, set[int]]) -> None:
    """Leaves made before the loop, one for each step and all read at the same place, are the inputs of the steps."""
    where = {node: (i, step, name) for i, layer in enumerate(found)
             for step, ids in layer.steps.items() for name, node in ids.items()}
    places: dict[tuple[int, str, int], dict[int, str]] = {}
    for leaf, steps in at.items():
        if len(steps) == 1 and leaf not in where:
            for _, v, k in graph.out_edges(leaf, keys=True):
                if v in where:
                    i, step, name = where[v]
                    places.setdefault((i, name, k), {})[step] = leaf
    for (i, name, k), leaves in places.items():
        if len(leaves) > 1:
            for step, leaf in leaves.items():
                if leaf not in where:
                    found[i].steps[step][f"{name}/{k}"] = leaf
                    where[leaf] = (i, step, f"{name}/{k}")


def weight_names(graph: nx.MultiDiGraph) -> dict[str, str]:
    """What to call parameters and leaves: their symbol, else W1, W2, ... in the order of making."""
    leaves = sorted((said["order"], node) for node, said in graph.nodes(data=True)
                    if said["kind"] in ("parameter", "leaf"))
    names = {node: graph.nodes[node].get("symbol") for _, node in leaves}
    taken, count, at = set(names.values()), 0, uses(graph)
    several = len({said["step"] for _, said in graph.nodes(data=True) if "step" in said}) > 1
    for _, node in leaves:
        if names[node] is not None or _is_read_by_weights(graph, node):
            continue
        if graph.nodes[node]["kind"] == "parameter" or len(at[node]) > 1 or not several:
            count += 1
            while f"W{count}" in taken:
                count += 1
            names[node] = f"W{count}"
    return {node: name for node, name in names.items() if name is not None}


def _is_read_by_weights(graph: nx.MultiDiGraph, node: str) -> bool:
    """Is it the x of ``x @ W``, a product of two things that are there before any step? Then it is no weight."""
    return graph.nodes[node]["kind"] == "leaf" and any(
        k == 0 and graph.nodes[v]["op"] in ("matmul", "affine") and "step" not in graph.nodes[v]
        and all(graph.nodes[u]["kind"] in ("leaf", "parameter") for u in graph.predecessors(v))
        for _, v, k in graph.out_edges(node, keys=True)
    )


def state_symbols(graph: nx.MultiDiGraph, layer: Layer) -> dict[str, str]:
    """What to call each state, by its name in the layer: as marked; of the others the youngest is h, then s2, ..."""
    handed_on = states(graph, layer)
    names = {name: graph.nodes[node].get("symbol") for name, node in layer.steps[layer.last].items()
             if node in handed_on}
    taken = set(names.values())
    for name in reversed(names):
        if names[name] is None:
            free = ("h" if j == 1 else f"s{j}" for j in range(1, len(names) + len(taken) + 2))
            names[name] = next(word for word in free if word not in taken)
            taken.add(names[name])
    return {name: str(symbol) for name, symbol in names.items()}


def _free(taken: dict[str, str], name: str) -> str:
    while name in taken:
        name += "'"
    return name


def _merged(graph: nx.MultiDiGraph, found: list[Layer]) -> list[Layer]:
    """Layers without a recurrence of their own, taken into the one they exchange most with."""
    home = {node: (i, step) for i, layer in enumerate(found)
            for step, ids in layer.steps.items() for node in ids.values()}
    shared: dict[tuple[int, int], int] = {}
    recurrent: set[int] = set()
    for u, v in graph.edges():
        if u in home and v in home:
            (i, s), (j, t) = home[u], home[v]
            if i == j and s != t:
                recurrent.add(i)
            elif i != j and s == t:
                shared[i, j] = shared[j, i] = shared.get((i, j), 0) + 1
    if not recurrent:
        return found
    kept = {i: found[i] for i in sorted(recurrent)}
    for i, layer in enumerate(found):
        if i in recurrent:
            continue
        host = max(recurrent, key=lambda j: (shared.get((i, j), 0), -j))
        for step, ids in layer.steps.items():
            inside = kept[host].steps.setdefault(step, {})
            for name, node in ids.items():
                inside[_free(inside, f"{layer.path}/{name}" if layer.path else name)] = node
    return list(kept.values())


def carries(graph: nx.MultiDiGraph, layer: Layer) -> set[Edge]:
    """The edges by which a state of one step goes into a state of the next through products and sums alone."""
    where = {node: step for step, ids in layer.steps.items() for node in ids.values()}
    handed_on = states(graph, layer)
    found = set()
    for state in handed_on:
        for _, consumer, k in graph.out_edges(state, keys=True):
            if where.get(consumer, where[state]) != where[state] and _leads_to_state(graph, consumer, handed_on, where):
                found.add(Edge(consumer, k))
    return found


def states(graph: nx.MultiDiGraph, layer: Layer) -> set[str]:
    """The nodes that are handed from one step to another, and those of the last step that bear the same names."""
    where = {node: step for step, ids in layer.steps.items() for node in ids.values()}
    names = {
        name
        for step, ids in layer.steps.items() for name, node in ids.items()
        if any(where.get(consumer, step) != step for consumer in graph.successors(node))
    }
    return {ids[name] for ids in layer.steps.values() for name in names if name in ids}


def _leads_to_state(graph: nx.MultiDiGraph, node: str, handed_on: set[str], where: dict[str, int]) -> bool:
    step, stack = where[node], [node]
    while stack:
        v = stack.pop()
        if where.get(v) != step or graph.nodes[v].get("op") not in LINEAR:
            continue
        if v in handed_on:
            return True
        stack.extend(graph.successors(v))
    return False


# ------------------------------------------------------------------------------------------------ folding one layer
def fold(graph: nx.MultiDiGraph, layer: Layer, steps: Iterable[int]) -> Cell:
    """One cell that every given step of the layer fits into: the union of what they hold."""
    folder = _Folder(graph, layer)
    glyphs: dict[str, Glyph] = {}
    wires: dict[tuple[str, int], Wire] = {}
    words: dict[str, str] = {}
    for step in steps:
        for glyph in folder.glyphs(step):
            glyphs[glyph.name] = glyph
            words[glyph.name] = folder.words(layer.steps[step][glyph.name], glyph)
        for wire in folder.wires(step):
            wires[wire.edge] = wire
    handed_on = {graph.nodes[node]["name"] for node in folder.states} | folder.outputs()
    return Cell(
        glyphs,
        [wire for wire in wires.values() if wire.target in glyphs],
        [name for name in glyphs if name in handed_on],
        sorted(folder.weights, key=lambda node: graph.nodes[node]["order"]),
        folder.names,
        folder.symbols,
        words,
    )


class _Folder:
    """What folding needs to know about the graph and one layer of it."""

    def __init__(self, graph: nx.MultiDiGraph, layer: Layer) -> None:
        self.graph, self.layer = graph, layer
        self.where = {node: (step, name) for step, ids in layer.steps.items() for name, node in ids.items()}
        self.turn = {step: i for i, step in enumerate(layer.order)}
        self.states = states(graph, layer)
        self.symbols = state_symbols(graph, layer)
        self.names = weight_names(graph)
        self.uses = uses(graph)
        self.several = len({said["step"] for _, said in graph.nodes(data=True) if "step" in said}) > 1
        self.weights: set[str] = set()
        self._constant: dict[str, bool] = {}
        self._same: dict[str, bool] = {}
        self._host: dict[str, str] = {}
        self._near: dict[str, set[str]] = {}

    # -- what a node is
    def said(self, node: str) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.nodes[node]
        return result

    def operands(self, node: str) -> list[tuple[int, str]]:
        return sorted((k, u) for u, _, k in self.graph.in_edges(node, keys=True))

    def is_weight(self, node: str) -> bool:
        """A parameter, a leaf that is not just the first state, or computed outside the steps from such alone?

        A slice or transpose of a weight, the same at every step, is one too, even if it is made anew at each.
        """
        if node not in self._constant:
            said = self.said(node)
            if node in self.where:
                self._constant[node] = self.is_plumbing(node) and self.is_the_same(node) and all(
                    self.is_weight(u) for u in self.graph.predecessors(node))
            elif said["kind"] == "computed":
                self._constant[node] = all(self.is_weight(u) or self.said(u)["kind"] == "constant"
                                           for u in self.graph.predecessors(node))
            else:
                self._constant[node] = said["kind"] == "parameter" or (
                    said["kind"] == "leaf" and not (self.several and len(self.uses[node]) == 1
                                                    and self.uses[node] == {next(iter(self.layer.steps))}))
        return self._constant[node]

    def is_the_same(self, node: str) -> bool:
        """Is this slice or transpose the same at every step? (``xs[t]`` is not; with one step only, who knows.)"""
        if self.said(node)["op"] == "getitem" and not self.several:
            return False
        name = self.where[node][1]
        if name not in self._same:
            self._same[name] = len({self.said(ids[name]).get("params") for ids in self.layer.steps.values()
                                    if name in ids}) == 1
        return self._same[name]

    def is_plain(self, node: str) -> bool:
        return bool(self.said(node)["kind"] == "constant")

    def is_plumbing(self, node: str) -> bool:
        return (self.said(node).get("op") in PLUMBING and "symbol" not in self.said(node)
                and node not in self.states)

    def is_input(self, node: str) -> bool:
        """A slice, in this step, of something that lies outside: the input of the step."""
        if self.said(node)["kind"] in ("leaf", "parameter"):
            return node in self.where
        return (self.is_plumbing(node) and all(u not in self.where for u in self.graph.predecessors(node))
                and not self.is_weight(node))

    def origin(self, node: str) -> str:
        """Back through slices and reshapes to what they were taken from."""
        while node in self.where and self.is_plumbing(node) and not self.is_input(node):
            node = next(iter(self.graph.predecessors(node)))
        return node

    def outputs(self) -> set[str]:
        """Names of the nodes of the last step that something outside reads."""
        return {name for name, node in self.layer.steps[self.layer.last].items()
                if any(v not in self.where for v in self.graph.successors(node))
                or node == self.graph.graph["root"]}

    # -- affine boxes: a product with a weight, and the sums around it
    def is_product(self, node: str) -> bool:
        return (self.said(node).get("op") in ("matmul", "affine")
                and any(self.is_weight(u) for k, u in self.operands(node) if k < 2))

    def is_affine(self, node: str) -> bool:
        """A product with a weight, or a sum of such products, inputs and weights."""
        if self.is_product(node):
            return True
        if self.said(node).get("op") != "add" or node not in self.where:
            return False
        terms = [self.origin(u) for _, u in self.operands(node)]
        step = self.where[node][0]
        inside = [u for u in terms if u in self.where and not self.is_input(u)]
        return bool(inside) and all(
            self.where[u][0] == step and self.is_affine(u) and self.consumers(u) == 1 for u in inside
        ) and not any(self.is_plain(u) and u in self.where for u in terms)

    def consumers(self, node: str) -> int:
        """How many operands, behind slices and reshapes, it becomes."""
        return sum(self.consumers(v) if v in self.where and self.is_plumbing(v) and not self.is_input(v) else 1
                   for _, v in self.graph.out_edges(node))

    def host(self, node: str) -> str:
        """The node whose glyph this one is part of: itself, but for products inside a sum."""
        if node not in self._host:
            self._host[node] = node
            if self.is_affine(node) and self.consumers(node) == 1 and node not in self.states:
                v = next(iter(self.graph.successors(node)))
                while v in self.where and self.is_plumbing(v):
                    v = next(iter(self.graph.successors(v)))
                if v in self.where and self.where[v][0] == self.where[node][0] and self.is_affine(v):
                    self._host[node] = self.host(v)
        return self._host[node]

    # -- what to draw
    def drawn(self, step: int) -> list[str]:
        return [node for node in self.layer.steps[step].values()
                if self.is_input(node) or not self.is_plumbing(node)]

    def glyphs(self, step: int) -> Iterable[Glyph]:
        for node in self.drawn(step):
            if self.host(node) == node:
                yield self.glyph(node)

    def glyph(self, node: str) -> Glyph:
        said = self.said(node)
        name, symbol, role = self.where[node][1], said.get("symbol"), said.get("role")
        if self.is_input(node):
            return Glyph(name, "input", "x" if said["kind"] == "computed" else self.names.get(node, "x"), symbol, role)
        operands = [u for _, u in self.operands(node)]
        if self.is_affine(node):
            return Glyph(name, "box", self.text(node, top=True), symbol, role)
        fixed = [self.is_weight(u) or (self.is_plain(u) and self.said(u).get("shape") == "()") for u in operands]
        if said["op"] in POINTWISE:
            if any(fixed):
                a, b = (self.word(u) for u in operands)
                return Glyph(name, "box", f"{a} {POINTWISE[said['op']]} {b}", symbol, role)
            return Glyph(name, "circle", POINTWISE[said["op"]], symbol, role)
        return Glyph(name, "box", SIGNS.get(said["op"], said["op"]), symbol, role)

    def words(self, node: str, glyph: Glyph) -> str:
        """What a glyph is, in a few words, for someone who points at it."""
        if glyph.symbol or glyph.name in self.symbols:
            return glyph.symbol or self.symbols[glyph.name]
        if glyph.shape == "circle":
            return f" {glyph.label} ".join(self.word(u) for _, u in self.operands(node))
        if glyph.shape == "input" or " " in glyph.label:
            return glyph.label
        return f"{glyph.label}({', '.join(self.word(u) for _, u in self.operands(node))})"

    def wires(self, step: int) -> Iterable[Wire]:
        for node in self.drawn(step):
            if self.is_input(node):
                for u in self.graph.predecessors(node):
                    self.weights |= self.nearby_parameters(u)
                continue
            for k, operand in self.operands(node):
                u = self.origin(operand)
                if self.is_weight(u):
                    self.weights |= self.parameters(u)
                    continue
                if u not in self.where:
                    continue  # a plain number, the first state, or an input that is the same for all steps
                if self.host(u) == self.host(node):
                    continue
                then, name = self.where[self.host(u)]
                delay = self.turn[step] - self.turn[then]
                yield Wire(name, self.where[self.host(node)][1], (self.where[node][1], k), delay)

    def parameters(self, node: str) -> set[str]:
        """The parameters that a weight was computed from."""
        return {u for u in {node, *nx.ancestors(self.graph, node)} if self.said(u)["kind"] in ("parameter", "leaf")}

    def nearby_parameters(self, node: str) -> set[str]:
        """The parameters of what was worked out for all steps at once, under the layer's own name (``x U + b``)."""
        if node in self._near:
            return self._near[node]
        self._near[node] = set()
        said = self.said(node)
        if said.get("path", "") == self.layer.path and said["kind"] == "computed" and "step" not in said:
            for u in self.graph.predecessors(node):
                self._near[node] |= {u} if self.said(u)["kind"] == "parameter" else self.nearby_parameters(u)
        return self._near[node]

    def text(self, node: str, *, top: bool = False, depth: int = 6) -> str:
        """How the equations write a node, as far as symbols allow."""
        said = self.said(node)
        if "symbol" in said and not top:
            return str(said["symbol"])
        if said["kind"] == "constant":
            return f"{said['value']:g}" if "value" in said and said["shape"] == "()" else "x"
        if not top and node in self.where:
            name = self.where[node][1]
            if node in self.states and name in self.symbols:
                return self.symbols[name]
            if self.is_input(node) and all(self.said(u)["kind"] != "computed" for u in self.graph.predecessors(node)):
                return self.names.get(node, "x")
        if said["kind"] in ("leaf", "parameter"):
            return self.names.get(node, "x")
        if depth == 0:
            return str(said["op"])
        parts = [self.text(u, depth=depth - 1) for _, u in self.operands(node)]
        op = said["op"]
        if op in PLUMBING:
            return f"{parts[0]}ᵀ" if op == "transpose" and self.is_weight(node) else parts[0]
        if op in ("matmul", "affine"):
            parts = [self.word(u, depth) for _, u in self.operands(node)]
            return " + ".join([f"{parts[0]} {parts[1]}", *parts[2:]])
        if op == "add":
            return " + ".join(parts)
        if op == "multiply":
            return f"({parts[0]}⊙{parts[1]})"
        if op == "subtract":
            return f"({' − '.join(parts)})"
        return f"{SIGNS.get(op, op)}({parts[0]})" if len(parts) == 1 else str(op)

    def word(self, node: str, depth: int = 6) -> str:
        """A node in at most twelve characters: as the equations write it, else the name of its operation."""
        words = self.text(node, depth=depth - 1)
        said = self.said(self.origin(node))
        return words if len(words) <= 12 or "op" not in said else SIGNS.get(said["op"], str(said["op"]))
