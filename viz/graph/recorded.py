"""Equations of a recorded net: what a step of its loop computes, read back from the graph that the loop left.

`viz.equations` runs a cell once more, by itself. Of a loss there is only the graph, and it differs from that of a
single step in three ways. Inputs are rows of arrays of all steps. What depends on inputs alone may have been computed
for all steps at once, before the loop (``x U + b``); it is written where it is read. And states may come from several
steps before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from viz.graph.cells import Cell
from viz.graph.equations import Cut, Equations, Expr, Reader
from viz.graph.probe import Probe
from viz.graph.steps import Layer

PRODUCTS = ("matmul", "affine")


def recorded_equations(root: Node, nodes: Mapping[str, Node], layer: Layer, cell: Cell) -> Equations:
    """What the steps of a layer compute.

    Args:
        root: what was traced.
        nodes: the node of each id.
        layer: the layer.
        cell: its cell, folded.
    """
    turn = fullest(layer, max((wire.delay for wire in cell.wires), default=0))
    here = {name: nodes[node] for name, node in layer.steps[layer.order[turn]].items()}
    symbols = cell.symbols or {name: here[name].symbol or name for name in cell.states}  # one step hands nothing on
    states = {name: symbol for name, symbol in symbols.items() if name in here}
    before, inputs, given = {}, {}, {}
    for wire in cell.wires:
        consumer, k = here.get(wire.edge[0]), wire.edge[1]
        if consumer is None:
            continue
        if wire.recurrent and turn >= wire.delay:
            earlier = layer.steps[layer.order[turn - wire.delay]].get(wire.source)
            if earlier is not None:
                symbol = cell.symbols.get(wire.source, wire.source)
                before[nodes[earlier]] = f"{symbol}_{{t-{wire.delay}}}"
        elif not wire.recurrent and cell.glyphs[wire.source].shape == "input":
            label, u = cell.glyphs[wire.source].label, here.get(wire.source, consumer.inputs[k])
            if u is None:
                given[consumer, k] = label
            else:
                inputs[u] = label
    known = {*here.values(), *before}
    for node in here.values():  # what is read from outside without being drawn, as all that an encoder put out
        if node not in inputs:
            inputs |= {u: u.symbol or "x" for u in node.inputs if u is not None and u not in known | inputs.keys()
                       and not is_weight(u)}
    step = Probe(layer.path, tuple(inputs), tuple(before), tuple(here[name] for name in states),
                 tuple(states.values()), root, len(states) > 1)
    return Recorded(step, before_names=before, input_names=inputs, given=given).read()


def fullest(layer: Layer, delay: int) -> int:
    """The turn of the latest step that has most nodes, late enough for all that it reads to be there."""
    turns = range(min(delay, len(layer.order) - 1), len(layer.order))
    return max(turns, key=lambda turn: (len(layer.steps[layer.order[turn]]), turn))


@dataclass
class Recorded(Reader):
    """Reads equations off one step of a recorded loop.

    Attributes:
        before_names, input_names: what to write for the states and the inputs that the step read.
        given: the same for operands that are plain arrays.
    """

    before_names: dict[Node, str] = field(default_factory=dict)
    input_names: dict[Node, str] = field(default_factory=dict)
    given: dict[tuple[Node, int], str] = field(default_factory=dict)

    def states_before(self) -> dict[Node, str]:
        """As they were given."""
        return self.before_names

    def names_of_inputs(self) -> dict[Node, str]:
        """As they were given."""
        return self.input_names

    def expr(self, node: Node, cut: Cut | None, top: bool = False) -> Expr:
        """A node in terms of what has a name; a row of a product over all steps as the product it is."""
        source = node.inputs[0] if node in self.inputs and node.op is not None else None
        if source is not None and node.op.name == "getitem" and is_product(source):
            return self.row(source, cut)
        return super().expr(node, cut, top)

    def row(self, source: Node, cut: Cut | None) -> Expr:
        """A row of what was computed for all steps: of ``x U + b`` with the x of this step."""
        if source.op.name == "add":
            return self.sum([("+", self.row(u, cut) if u is not None and is_product(u) else
                              self.operand(source, k, cut)) for k, u in enumerate(source.inputs)])
        terms = [("+", Expr("beside", (Expr("name", word="x"), self.operand(source, 1, cut))))]
        return self.sum([*terms, *[("+", self.operand(source, k, cut)) for k in range(2, len(source.inputs))]])

    def operand(self, node: Node, k: int, cut: Cut | None) -> Expr:
        """The k-th operand; a plain array that is an input by its name."""
        if (label := self.given.get((node, k))) is not None:
            return Expr("name", word=label)
        return super().operand(node, k, cut)


def is_weight(node: Node, depth: int = 4) -> bool:
    """Is it a leaf, or worked out from leaves alone, outside all steps and by a few operations?"""
    if node.op is None:
        return True
    return depth > 0 and node.scope.step is None and all(u is None or is_weight(u, depth - 1) for u in node.inputs)


def is_product(node: Any) -> bool:
    """Is it a product with a matrix, or a sum with one?"""
    if node is None or node.op is None or np.ndim(node.data) < 2:
        return False
    return node.op.name in PRODUCTS or (node.op.name == "add" and any(map(is_product, node.inputs)))
