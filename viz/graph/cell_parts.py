"""The parts of one step of a cell: boxes, circles and wires, named as in its equations. Nothing is drawn here.

The textbook's picture has fewer parts than the graph: what depends on weights alone is left out, a sum of weighted
numbers is one box, and a box says what it adds up. All of it is read from the graph, so it works for any cell.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from viz.graph.cells import Cell, one_cell
from viz.graph.equations import Equations, Expr, Reader
from viz.graph.probe import Probe
from viz.graph.steps import Layer, layers
from viz.graph.trace import traced

LONGEST = 34  # characters of a weighted sum that a box still holds


@dataclass(frozen=True)
class CellParts:
    """One step of a cell, taken apart.

    Attributes:
        cell: its boxes, circles and wires.
        equations: what it computes.
        nodes: the nodes of the step, by name.
        graph: the traced graph of both steps.
        ids: their ids in the graph, by name.
        before: the same of the step before.
    """

    cell: Cell
    equations: Equations
    nodes: dict[str, Node]
    graph: nx.MultiDiGraph
    ids: dict[str, str]
    before: dict[str, str]

    @property
    def output(self) -> str | None:
        """The glyph of the first part of the state, which is also what the cell puts out."""
        node = self.equations.probe.after[0]
        return next((name for name in self.cell.states if self.nodes.get(name) is node), None)


def cell_parts(step: Probe) -> CellParts:
    """Glyphs and wires of the second step, with weighted sums written as the equations write them."""
    graph, ids = traced(step.whole)
    layer: Layer = layers(graph)[-1]
    nodes = {node_id: node for node, node_id in ids.items()}
    reader = Reader(step)
    found = reader.read()
    drawn = one_cell(graph, layer, [1])
    here = {name: nodes[node_id] for name, node_id in layer.steps[1].items()}
    drawn = without_weights(drawn, here, reader)
    drawn = with_sums_as_boxes(drawn, here, reader)
    drawn = with_merges(drawn, here)
    drawn = relabelled(drawn, here, reader)
    return CellParts(drawn, found, here, graph, layer.steps[1], layer.steps[0])


# ------------------------------------------------------------------------------------------------ folding and naming
def without_weights(drawn: Cell, nodes: dict[str, Node], reader: Reader) -> Cell:
    """Without what depends on weights alone, a slice of them for instance: that is part of the box that uses it."""
    glyphs = {name: glyph for name, glyph in drawn.glyphs.items() if nodes.get(name) in reader.changing}
    return replace(drawn, glyphs=glyphs, wires=[
        wire for wire in drawn.wires if wire.target in glyphs and (wire.recurrent or wire.source in glyphs)])


def with_sums_as_boxes(drawn: Cell, nodes: dict[str, Node], reader: Reader) -> Cell:
    """Single numbers times weights, and the sums of those, become one box: the net input of one unit."""
    readers: dict[str, list[str]] = defaultdict(list)
    for wire in drawn.wires:
        if not wire.recurrent:
            readers[wire.source].append(wire.target)
    by_node = {node: name for name, node in nodes.items()}

    def weighted(name: str) -> bool:
        node = nodes[name]
        if node.op is None or np.ndim(node.data):
            return False
        changing = [u for u in node.inputs if u is not None and u in reader.changing]
        if node.op.name == "multiply":
            return len(changing) == 1 and None not in node.inputs
        return node.op.name == "add" and all(
            u in by_node and by_node[u] in drawn.glyphs and weighted(by_node[u]) and len(readers[by_node[u]]) == 1
            and u.symbol is None and u not in reader.before for u in changing)

    host: dict[str, str] = {}
    for name in reversed(list(drawn.glyphs)):
        inside = drawn.glyphs[name].shape != "input" and weighted(name)
        into = readers[name][0] if len(readers[name]) == 1 else None
        joins = (inside and into is not None and nodes[name].symbol is None and weighted(into)
                 and nodes[into].op.name == "add" and name not in drawn.states)
        host[name] = host[str(into)] if joins else name
    glyphs = {name: replace(glyph, shape="box") if name in host.values() and list(host.values()).count(name) > 1
              else glyph for name, glyph in drawn.glyphs.items() if host[name] == name}
    wires = [replace(wire, target=host[wire.target]) for wire in drawn.wires
             if wire.recurrent or host[wire.source] != host[wire.target]]
    return replace(drawn, glyphs=glyphs, wires=wires)


def with_merges(drawn: Cell, nodes: dict[str, Node]) -> Cell:
    """What is put side by side for one box alone goes straight into that box, which says so: ``[h, x] W``."""
    readers: dict[str, list[str]] = defaultdict(list)
    for wire in drawn.wires:
        readers[wire.source].append(wire.target)
    into = {name: readers[name][0] for name in drawn.glyphs if _is_concat(nodes[name])
            and len(readers[name]) == 1 and name not in drawn.states and nodes[name].symbol is None
            and nodes[readers[name][0]].op.name in ("matmul", "affine")}
    return replace(drawn, glyphs={name: glyph for name, glyph in drawn.glyphs.items() if name not in into},
                   wires=[replace(wire, target=into.get(wire.target, wire.target)) for wire in drawn.wires
                          if wire.source not in into])


def relabelled(drawn: Cell, nodes: dict[str, Node], reader: Reader) -> Cell:
    """Boxes of weighted sums say what they add up, in the order and with the names of the equations."""
    sums = [name for name, glyph in drawn.glyphs.items() if glyph.shape == "box" and _adds_up(nodes[name], reader)]
    named = dict(reader.named)
    try:
        for name in sums:
            reader.named.setdefault(nodes[name], "·")  # where one box reads another, only what is added is said
        expressions = {name: _without_read(_read_sum(nodes[name], reader)) for name in sums}
        reader.names = reader._names()
        labels = {name: _label(e, plus, reader) for name, (e, plus) in expressions.items()}
    finally:
        reader.named.clear()
        reader.named.update(named)
    labels |= {name: _label(reader.expr(nodes[name], None, top=True), False, reader) for name in drawn.glyphs
               if _is_concat(nodes[name])}
    labels |= {name: said for name, glyph in drawn.glyphs.items() if name not in labels and glyph.shape == "box"
               and (said := _with_a_number(nodes[name], reader)) is not None}
    return replace(drawn, glyphs={
        name: replace(glyph, label=labels.get(name, glyph.label), symbol=reader.named.get(nodes[name]) or glyph.symbol)
        for name, glyph in drawn.glyphs.items()
    })


def _with_a_number(node: Node, reader: Reader) -> str | None:
    """What a box says that joins something with a plain number: ``1 − z``; ``× 0.5`` if that thing has no name."""
    signs = {"multiply": "×", "add": "+", "subtract": "−", "divide": "÷"}
    if node.op is None or node.op.name not in signs or len(node.inputs) != 2:
        return None
    names = {**reader.before, **reader.inputs, **reader.named, **reader.after}
    words = [f"{float(arg):g}" if u is None and getattr(arg, "ndim", 0) == 0 else names.get(u, "") if u is not None
             else None for u, arg in zip(node.inputs, node.args, strict=True)]
    if None in words or None not in node.inputs:
        return None
    a, b = (str(word).split("_{t")[0] for word in words)
    if node.op.name in ("multiply", "add") and not b:
        a, b = b, a
    return f"{a or ''} {signs[node.op.name]} {b or '·'}".strip()


def _is_concat(node: Node) -> bool:
    return node.op is not None and node.op.name in ("concat", "concatenate")


def _adds_up(node: Node, reader: Reader) -> bool:
    """Is it a product with weights, or a sum with one?"""
    if node.op is None or node.op.name not in ("matmul", "affine", "add", "multiply"):
        return False
    known = dict(reader.blocks)
    e = reader.expr(node, None, top=True)
    reader.blocks = known
    terms = e.parts if e.kind == "sum" else (e,)
    return any(term.kind == "beside" and term.parts[0].kind != "number" for term in terms) and all(
        part.kind != "apply" for term in terms if term.kind == "product" for part in term.parts)


def _read_sum(node: Node, reader: Reader) -> Expr:
    """The expression; a block that several gates share is named after them all."""
    known = dict(reader.blocks)
    reader.symbol = ""
    e = reader.expr(node, None, top=True)
    for (leaf, cut), by in list(reader.blocks.items()):
        if by == "" and cut is not None:
            parts = [(c[1], s) for (u, c), s in known.items() if u is leaf and c is not None
                     and c[0] == cut[0] and cut[1] <= c[1] and c[2] <= cut[2]]
            reader.blocks[leaf, cut] = "".join(s for _, s in sorted(parts)) or f"{cut[1]}:{cut[2]}"
    return e


def _without_read(e: Expr) -> tuple[Expr, bool]:
    """Without the terms that another box brings; were there any?"""
    if e.kind != "sum":
        return e, False
    kept = [(sign, part) for sign, part in zip(e.word, e.parts, strict=True)
            if not any(inner.word == "·" for inner in part.walk())]
    if not kept or len(kept) == len(e.parts):
        return e, False
    if len(kept) == 1:
        return kept[0][1], True
    return Expr("sum", tuple(part for _, part in kept), "".join(sign for sign, _ in kept)), True


def _label(e: Expr, plus: bool, reader: Reader) -> str:
    states = "|".join(map(re.escape, reader.of.symbols))
    words = re.sub(rf"\b({states})_(t\b|\{{t-1\}})", r"\1", reader.text(e))
    words = f"+ {words}" if plus else words
    return words if len(words) <= LONGEST else "weighted sum"
