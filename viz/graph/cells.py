"""One cell: the steps of a layer, folded into the boxes, circles and wires that each of them has.

`one_cell` turns a layer into a `Cell`, ready to be laid out once and stamped for every step. What is a weight is seen
from what was computed from parameters alone.

Folded away: slices and reshapes (a wire goes through them), ``h @ W`` and the sums around it (one box), and plain
numbers (they become part of the label). Every wire still stands for exactly one edge of the graph, the one that
enters its target, so the number drawn on it is the message of that edge.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx

from viz.graph.equations import ATOM, BESIDE, PRODUCT, SUM
from viz.graph.steps import Layer, handed_on, has_several_steps, input_leaves, state_symbols, uses, weight_names

PLUMBING = {"getitem", "reshape", "transpose", "astype", "index_update"}  # they move numbers about, and change none
POINTWISE = {"multiply": "×", "add": "+", "subtract": "−", "divide": "÷"}
SIGNS = {"sigmoid": "σ"}
UNNAMED = "·"  # what comes in along the wire, where it has no name
HELD = {"multiply": (ATOM, ATOM), "add": (SUM, SUM), "subtract": (SUM, PRODUCT), "divide": (ATOM, ATOM)}
LONGEST, LONGEST_NOTE = 12, 40  # characters of an operand, on a glyph and where the pointer rests
SLICES = re.compile(r"index=\(?(slice\([^()]*\)(, )?)+\)?")  # rows or columns side by side, none picked by number


@dataclass(frozen=True)
class Glyph:
    """Something to draw in a cell. Its shape is ``box``, ``circle`` or ``input``."""

    name: str
    shape: str
    label: str
    symbol: str | None = None
    role: str | None = None
    scaling: bool = False  # a box that joins something with a plain number, entry by entry

    @property
    def entrywise(self) -> bool:
        """Is it a sum or product entry by entry, through which a carry may go?"""
        return self.shape == "circle" or self.scaling


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
    borrowed: list[str] = field(default_factory=list)  # inputs that are another layer's output, or a plain array

    def main_line(self) -> list[str]:
        """The glyphs on the straight line along the top: how the gradient gets from a state to the same state one
        step back. A pure carry, through products and sums only, if there is one (the LSTM's c, the GRU's h);
        else the shortest way there is (the simple RNN's, through its matrix and tanh).
        """
        ways = [way for state in self.states for way in [self.way(state)] if way]
        carries = [way for way in ways if all(self.glyphs[name].entrywise for name in way)]
        by_role = {"cell": 0, "hidden": 1}
        return min(carries or ways, key=lambda way: (by_role.get(self.glyphs[way[-1]].role or "", 2), len(way)),
                   default=[])

    def carry(self) -> list[str]:
        """The main line, if a state gets along it through sums and products entry by entry alone."""
        line = self.main_line()
        return line if all(self.glyphs[name].entrywise for name in line) else []

    def way(self, state: str) -> list[str]:
        """The shortest way through one step from a state to itself; entry by entry, if that is possible."""
        return self.way_from(state, 1) or self.way_from(state, max((wire.delay for wire in self.wires), default=1))

    def way_from(self, state: str, longest: int) -> list[str]:
        """The same, over wires from at most so many steps before."""
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.glyphs)
        for wire in self.wires:
            if wire.delay > longest:
                continue
            source = ("last", wire.source) if wire.recurrent else wire.source
            graph.add_edge(source, wire.target, weight=1 if self.glyphs[wire.target].entrywise else 100)
        try:
            return list(nx.shortest_path(graph, ("last", state), state, weight="weight")[1:])
        except (nx.NetworkXNoPath, nx.NodeNotFound):
            return []


def one_cell(graph: nx.MultiDiGraph, layer: Layer, steps: Iterable[int]) -> Cell:
    """One cell that every given step of the layer fits into: the union of what they hold."""
    folder = _Folder(graph, layer)
    glyphs: dict[str, Glyph] = {}
    wires: dict[tuple[str, int], Wire] = {}
    words: dict[str, str] = {}
    read_by: dict[tuple[str, int], dict[str, None]] = {}  # the inputs that are read at one place, at different steps
    alike: set[Hashable] = set()
    for step in steps:
        if (shape := folder.shape(step)) in alike:
            continue  # as an earlier step: nothing new
        alike.add(shape)
        for glyph in folder.glyphs(step):
            glyphs[glyph.name] = glyph
            node = layer.steps[step].get(glyph.name)
            words[glyph.name] = glyph.label if node is None else folder.words(node, glyph)
        for wire in folder.wires(step):
            wires[wire.edge] = wire
            if wire.source in glyphs and glyphs[wire.source].shape == "input":
                read_by.setdefault(wire.edge, {})[wire.source] = None
    for name, other in _one_input(read_by, folder.borrowed).items():
        del glyphs[name]
        wires = {edge: replace(wire, source=other) if wire.source == name else wire for edge, wire in wires.items()}
    read = {wire.source for wire in wires.values()}
    borrowed = [name for name in glyphs if name not in layer.steps[layer.last] and name in folder.borrowed]
    for name in borrowed:
        if name not in read:  # at the first step alone: the first state
            del glyphs[name]
    handed_on = {folder.where[node][1] for node in folder.states} | folder.outputs()
    return Cell(
        glyphs,
        [wire for wire in wires.values() if wire.target in glyphs],
        [name for name in glyphs if name in handed_on],
        sorted(folder.weights, key=lambda node: graph.nodes[node]["order"]),
        folder.names,
        folder.symbols,
        words,
        [name for name in borrowed if name in glyphs],
    )


def _one_input(read_by: Mapping[tuple[str, int], Iterable[str]], borrowed: Collection[str]) -> dict[str, str]:
    """What is read at one place is one input, be it a node at some steps and a plain array at others.

    Gives the glyph that stands for it, by the name of each that it stands for. A borrowed one, which needs no node.
    """
    same: nx.Graph = nx.Graph()
    for names in read_by.values():
        nx.add_path(same, names)
    found: dict[str, str] = {}
    for names in nx.connected_components(same):
        kept = max(names, key=lambda name: (name in borrowed, name))
        found |= dict.fromkeys(names - {kept}, kept)
    return found


class _Folder:
    """What folding needs to know about the graph and one layer of it."""

    def __init__(self, graph: nx.MultiDiGraph, layer: Layer) -> None:
        self.graph, self.layer = graph, layer
        self.where = {node: (step, name) for step, ids in layer.steps.items() for name, node in ids.items()}
        self.turn = {step: i for i, step in enumerate(layer.order)}
        self.states = handed_on(graph, layer)
        self.symbols = state_symbols(graph, layer, self.states)
        self.names = weight_names(graph)
        self.uses = uses(graph)
        self.inputs = input_leaves(graph, self.uses)
        self.several = has_several_steps(graph)
        self.now = 0  # the turn of the step whose glyphs are being named
        self.skipping = {self.where[u][1] for v, (step, _) in self.where.items() for u in graph.predecessors(v)
                         if u in self.where and self.turn[step] - self.turn[self.where[u][0]] > 1}
        self.weights: set[str] = set()
        self.borrowed: set[str] = set()
        self._constant: dict[str, bool] = {}
        self._same: dict[str, bool] = {}
        self._host: dict[str, str] = {}
        self._near: dict[str, set[str]] = {}

    def shape(self, step: int) -> Hashable:
        """All that a cell is drawn from. Steps that look alike have the same."""
        nodes, turn, where = self.graph.nodes, self.turn[step], self.where
        found: list[tuple[Any, ...]] = []
        for name, node in self.layer.steps[step].items():
            said = nodes[node]
            found.append((name, said.get("op"), said.get("symbol"), said.get("role")))
            for u, keys in self.graph.pred[node].items():
                if u in where:
                    then, other = where[u]
                    found.extend((k, turn - self.turn[then], other) for k in keys)
                else:
                    constant = nodes[u]["kind"] == "constant"
                    found.extend((k, nodes[u]["shape"] if constant else nodes[u].get("step", u) == step,
                                  nodes[u]["name"]) for k in keys)
        return tuple(found)

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
                self._constant[node] = said.get("op") in PLUMBING and node not in self.states and all(
                    self.is_weight(u) for u in self.graph.predecessors(node)) and self.is_the_same(node)
            elif said["kind"] == "computed":
                self._constant[node] = "step" not in said and all(
                    self.is_weight(u) or self.said(u)["kind"] == "constant" for u in self.graph.predecessors(node))
            elif node in self.inputs or (
                    said["kind"] == "leaf" and not self.several and self._is_read_by_parameters(node)):
                self._constant[node] = False
            else:
                self._constant[node] = said["kind"] == "parameter" or (
                    said["kind"] == "leaf" and not (self.several and len(self.uses[node]) == 1
                                                    and self.uses[node] == {next(iter(self.layer.steps))}))
        return self._constant[node]

    def _is_read_by_parameters(self, node: str) -> bool:
        """Is it the x of ``x @ U``, where U is a parameter?"""
        return any(k == 0 and said["op"] in ("matmul", "affine") and any(
            j == 1 and self.said(u)["kind"] == "parameter" for j, u in self.operands(v)
        ) for _, v, k in self.graph.out_edges(node, keys=True) for said in [self.said(v)])

    def is_the_same(self, node: str) -> bool:
        """Is this slice or transpose the same at every step? (``xs[t]`` is not; with one step only, who knows.)"""
        if self.said(node)["op"] == "getitem" and not self.several:
            return SLICES.fullmatch(self.said(node)["params"]) is not None and all(
                self.said(u)["kind"] == "parameter" for u in self.parameters(node))
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
        of = list(self.graph.predecessors(node))
        named = "symbol" in self.said(node) and any(self.said(u)["kind"] != "computed" for u in of)  # a row of E
        return (self.said(node)["op"] in PLUMBING - {"index_update"} and node not in self.states and not named
                and all(u not in self.where for u in of) and not self.is_weight(node))

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

    def readers(self, node: str) -> Iterable[str]:
        """What reads it, behind slices and reshapes."""
        for v in self.graph.successors(node):
            yield from self.readers(v) if v in self.where and self.is_plumbing(v) else (v,)

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
                if self.is_input(node) or not (self.is_plumbing(node) or self.is_weight(node))]

    def glyphs(self, step: int) -> Iterable[Glyph]:
        for node in self.drawn(step):
            if not self.is_input(node):
                for _, operand in self.operands(node):
                    if (name := self.lender(self.origin(operand), step)) is not None:
                        self.borrowed.add(name)
                        yield Glyph(name, "input", self.said(self.origin(operand)).get("symbol", "x"))
            if self.host(node) == node:
                yield self.glyph(node)

    def lender(self, node: str, step: int) -> str | None:
        """A name for what another layer computed at the same step, or for an array that was given to it. Else None."""
        said = self.said(node)
        if node in self.where or said.get("step") != step:
            return None
        if said["kind"] == "constant" and (not self.several or said["shape"] == "()"):
            return None
        if said["kind"] == "constant":  # it has no name of its own: that of its place, the same at every step
            if len(self.layer.steps) > 1 and self.first_state(node) is not None:
                return None  # what the first step reads as its state is no input
            (_, reader, k), *_ = self.graph.out_edges(node, keys=True)
            return f":{self.where[reader][1]}/{k}"
        return f"{said.get('path', '')}:{said['name']}" if said["kind"] == "computed" else None

    def glyph(self, node: str) -> Glyph:
        said = self.said(node)
        step, name = self.where[node]
        self.now, symbol, role = self.turn[step], said.get("symbol"), said.get("role")
        if self.is_input(node):
            label = self.prepared(node) if said["kind"] == "computed" else self.names.get(node, "x")
            return Glyph(name, "input", label, symbol, role)
        operands = [u for _, u in self.operands(node)]
        if self.is_affine(node):
            return Glyph(name, "box", self.text(node, top=True), symbol, role)
        fixed = [self.is_weight(u) or (self.is_plain(u) and self.said(u).get("shape") == "()") for u in operands]
        if said["op"] in POINTWISE:
            if any(fixed) and len(operands) == 2:
                a, b = (self.word(u, needed=needed) for u, needed in zip(operands, HELD[said["op"]], strict=True))
                if said["op"] == "add" and any(self.is_affine(self.origin(u)) for u in operands):
                    a, b = "", b if fixed[1] else a  # the other has a box of its own, which says what it is
                scaling = any(map(self.is_plain, operands))
                return Glyph(name, "box", f"{a} {POINTWISE[said['op']]} {b}".strip(), symbol, role, scaling)
            return Glyph(name, "circle", POINTWISE[said["op"]], symbol, role)
        return Glyph(name, "box", SIGNS.get(said["op"], said["op"]), symbol, role)

    def prepared(self, node: str) -> str:
        """What to call an input: x; or x U + b, if that came before the steps and no box in the step writes it."""
        (source,) = self.graph.predecessors(node)
        before = self.said(source)
        if "step" in before or before.get("op") not in ("matmul", "affine", "add"):
            return "x"
        return "x" if all(self.is_affine(v) for v in self.readers(node)) else self.word(source)

    def words(self, node: str, glyph: Glyph) -> str:
        """What a glyph is, in a few words, for someone who points at it."""
        if glyph.symbol or glyph.name in self.symbols:
            return glyph.symbol or self.symbols[glyph.name]
        if glyph.shape == "input" or " " in glyph.label:
            return glyph.label
        self.now = self.turn[self.where[node][0]]
        op, operands = self.said(node)["op"], [u for _, u in self.operands(node)]
        held = HELD[op] if op in HELD and len(operands) == 2 else (SUM,) * len(operands)  # PyTorch keeps no numbers
        words = [self.word(u, needed=needed, longest=LONGEST_NOTE)
                 for u, needed in zip(operands, held, strict=True)]
        return f" {glyph.label} ".join(words) if glyph.shape == "circle" else f"{glyph.label}({', '.join(words)})"

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
                if (name := self.lender(u, step)) is not None:
                    yield Wire(name, self.where[self.host(node)][1], (self.where[node][1], k))
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

    def text(self, node: str, *, top: bool = False) -> str:
        """How the equations write a node, as far as symbols allow."""
        return self.written(node, top)[0]

    def written(self, node: str, top: bool = False, depth: int = 6) -> tuple[str, int]:
        """How the equations write a node, and how strongly that holds together."""
        said, called = self.said(node), self.called(node, top)
        if called is not None:
            return called, ATOM
        if depth == 0:
            return self.unnamed(node), ATOM
        op, operands = str(said["op"]), [u for _, u in self.operands(node)]
        if op in ("matmul", "affine", "add"):
            terms = [words for _, words in sorted(self.terms(node, top, depth), key=lambda term: term[0])]
            return " + ".join(terms), SUM if len(terms) > 1 else BESIDE
        if op in PLUMBING:
            if op == "transpose" and self.is_weight(node):
                return f"{self.held(operands[0], ATOM, depth)}ᵀ", ATOM
            return self.written(operands[0], depth=depth - 1)
        if op in HELD and len(operands) == 2:
            a, b = (self.held(u, needed, depth) for u, needed in zip(operands, HELD[op], strict=True))
            return {"multiply": (f"{a}⊙{b}", PRODUCT), "subtract": (f"{a} − {b}", SUM)}.get(op, (f"{a} / {b}", PRODUCT))
        return (f"{SIGNS.get(op, op)}({self.held(operands[0], SUM, depth)})" if len(operands) == 1 else op), ATOM

    def held(self, node: str, needed: int, depth: int) -> str:
        """An operand, in brackets where something around it would tear it apart."""
        words, holds = self.written(node, depth=depth - 1)
        return f"({words})" if holds < needed else words

    def called(self, node: str, top: bool = False) -> str | None:
        """A node's name, where it has one; None, if its operation is to be written out."""
        said = self.said(node)
        if "symbol" in said and not top:
            return self.dated(node, self.names.get(node, str(said["symbol"])))
        if said["kind"] == "constant":
            return f"{said['value']:g}" if "value" in said and said["shape"] == "()" else self.first_state(node) or "x"
        if node not in self.where and "step" in said:
            return "x"  # what another layer computed at its step
        if not top and node in self.where:
            name = self.where[node][1]
            if node in self.states and name in self.symbols:
                return self.dated(node, self.symbols[name])
            if self.is_input(node) and all(self.said(u)["kind"] != "computed" for u in self.graph.predecessors(node)):
                return self.names.get(node, "x")
        if said["kind"] in ("leaf", "parameter"):
            return self.names.get(node, "x") if self.is_weight(node) or "symbol" in said else "x"
        made_of = {self.said(u)["kind"] for u in self.parameters(node)} if said["op"] in ("stack", "concat") else set()
        if node not in self.where and (made_of == {"leaf"} or (
                said["op"] not in ("matmul", "affine", "add") and not self.is_weight(node))):
            return "x"  # whatever was worked out before the steps, they read it as their input
        return None

    def dated(self, node: str, symbol: str) -> str:
        """The symbol of a state; with its step, if other steps than the last one are read too: ``h_{t-3}``."""
        if node not in self.where or self.where[node][1] not in self.skipping:
            return symbol
        ago = self.now - self.turn[self.where[node][0]]
        return f"{symbol}_{{t-{ago}}}" if ago > 0 else symbol

    def unnamed(self, node: str) -> str:
        """What is written for a node that has no name, and is too long to be written out."""
        op = str(self.said(self.origin(node)).get("op", "getitem"))  # what is given is only moved about
        sign = op in HELD or op in ("matmul", "affine") or op in PLUMBING
        return UNNAMED if sign else f"{SIGNS.get(op, op)}({UNNAMED})"

    def terms(self, node: str, top: bool, depth: int) -> Iterable[tuple[int, str]]:
        """What a sum adds up, each with its place in the usual order: what x adds, what the state adds, biases."""
        operands = [u for _, u in self.operands(node)]
        op = self.said(node).get("op") if depth and self.called(node, top) is None else None
        if op in ("matmul", "affine"):
            product = " ".join(self.word(u, depth, needed) for u, needed in zip(operands, (BESIDE, ATOM), strict=False))
            yield max(self.is_from_a_step(u) for u in operands[:2]), product
            operands = operands[2:]
        elif op in PLUMBING and op != "transpose":
            operands = operands[:1]
        elif op != "add":
            fixed = self.is_weight(self.origin(node)) or (self.is_plain(node) and self.said(node)["shape"] == "()")
            yield 2 if fixed else int(self.is_from_a_step(node)), self.word(node, depth + 1, PRODUCT, LONGEST_NOTE)
            return
        for u in operands:
            if self.is_a_circle(self.origin(u)):
                yield int(self.is_from_a_step(u)), self.word(u, depth, PRODUCT)
            else:
                yield from self.terms(u, False, depth - 1)

    def is_a_circle(self, node: str) -> bool:
        """Is it a sum or product entry by entry, drawn by itself? What reads it does not write it out."""
        return (node in self.where and self.said(node).get("op") in POINTWISE and not self.is_affine(node)
                and not self.is_weight(node))

    def is_from_a_step(self, node: str) -> bool:
        """Computed in this step or in the one before it, or the first state? Not what is read from outside, x."""
        u = self.origin(node)
        return (u in self.where and not self.is_input(u)) or (self.is_plain(u) and self.first_state(u) is not None)

    def first_state(self, node: str) -> str | None:
        """What a plain array is called that the first step reads as its state; None if it is something else.

        It has the shape of a state. Where several have that, the one that a matrix multiplies is the hidden one.
        """
        first = self.layer.steps[self.layer.order[0]]
        readers = [(v, k) for _, v, k in self.graph.out_edges(node, keys=True) if v in first.values()]
        states = [(said.get("role") == "cell", name) for name, v in first.items()
                  if (said := self.said(v))["shape"] == self.said(node)["shape"]
                  and (said.get("role") in ("cell", "hidden") or v in self.states or name in self.outputs())]
        multiplied = any(self.is_product(v) for v, _ in readers)
        if not readers or not states or (multiplied and node == self.plain_input()):
            return None
        _, name = min(states) if multiplied else max(states)
        return str(self.symbols.get(name) or self.said(first[name]).get("symbol") or "h")

    def plain_input(self) -> str | None:
        """The plain array that is the input of the first step, if there is no node for it: what is multiplied first."""
        first = self.layer.steps[self.layer.order[0]].values()
        if any(self.is_input(v) and not self.is_weight(v) for v in first):
            return None
        read = [u for v in first if self.is_product(v) for k, u in self.operands(v) if k == 0 and self.is_plain(u)]
        return read[0] if len(read) > 1 else None

    def word(self, node: str, depth: int = 6, needed: int = SUM, longest: int = LONGEST) -> str:
        """A node in few characters: as the equations write it, else the name of its operation."""
        words = self.held(node, needed, depth)
        whole = len(words) <= longest and (UNNAMED not in words or longest > LONGEST)
        return words if whole or "op" not in self.said(self.origin(node)) else self.unnamed(node)
