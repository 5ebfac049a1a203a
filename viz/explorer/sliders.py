"""Sliders: which numbers of a net a person may change, found in the graph.

=================  ====================================================================================================
``forget_bias``    the biases of the gates that multiply the last state on its carry (the LSTM's f, the GRU's z). All
                   of them move by the same amount; the value is their mean.
``gain``           a factor for the recurrent weights: the matrices that the last state is multiplied by.
``h0``             the first state. All of its entries move by the same amount; the value is their mean.
``length``         how many steps are taken: the last ones, from the same first state.
=================  ====================================================================================================

What a net does not have, it has no slider for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from viz.graph.steps import Layer, carries, is_linear, layer_of, states
from viz.graph.trace import traced

MATRIX_PRODUCTS = {"matmul", "affine"}


@dataclass(frozen=True)
class Change:
    """What a slider does to a leaf: it adds to some of its columns, or multiplies all of it.

    Attributes:
        leaf: the leaf.
        how: ``add`` (the difference from the start) or ``multiply`` (by the value).
        columns: from where to where along the last axis; None for all of it.
    """

    leaf: Node
    how: str
    columns: tuple[int, int] | None = None

    @property
    def where(self) -> Any:
        """The columns as an index."""
        return (..., slice(*self.columns)) if self.columns else ...

    def applied(self, value: float, start: float) -> np.ndarray:
        """The changed numbers."""
        data = np.array(self.leaf.data)
        if self.how == "multiply":
            data[...] *= value
        else:
            data[self.where] += value - start
        return data


@dataclass(frozen=True)
class Slider:
    """One slider.

    Attributes:
        option: what it is called in Python, ``forget_bias``.
        label: what the page writes.
        start: its value in the recorded net.
        changes: what it does.
    """

    option: str
    label: str
    start: float
    changes: tuple[Change, ...] = ()


def sliders(root: Node, layer: int = -1) -> list[Slider]:
    """The sliders that change leaves: forget bias and gain, as far as the net has them.

    Args:
        root: the loss. (Take `without_identities` of it first.)
        layer: which recurrent layer.

    >>> from microgradrnn import nn
    >>> hs, _ = nn.unroll(nn.LSTMCell(3, 4, rng=0), np.ones((5, 2, 3)))
    >>> [(slider.option, slider.start) for slider in sliders(hs.sum())]
    [('forget_bias', 1.0), ('gain', 1.0)]
    """
    graph, ids = traced(root)
    one = layer_of(graph, layer, "sliders")
    nodes = {name: node for node, name in ids.items()}
    found = []
    gates = list(keepers(graph, one, nodes))
    if biases := [bias for gate in gates if (bias := bias_of(gate)) is not None]:
        called = "forget bias" if gates[0].symbol in ("f", None) else f"bias of {gates[0].symbol}"
        start = float(np.mean([np.mean(np.asarray(one.leaf.data)[one.where]) for one in biases]))
        found.append(Slider("forget_bias", called, start, tuple(biases)))
    if weights := recurrent_weights(graph, one, nodes):
        found.append(Slider("gain", "recurrent gain", 1.0, tuple(Change(leaf, "multiply") for leaf in weights)))
    return found


def middle(layer: Layer) -> tuple[set[str], set[str]]:
    """The nodes of a step in the middle of the loop, and of the step before."""
    turn = max(len(layer.order) // 2, 1)
    steps = [set(layer.steps[step].values()) for step in layer.order[turn - 1 : turn + 1]]
    return (steps[1], steps[0]) if len(steps) == 2 else (steps[0], set())


def keepers(graph: nx.MultiDiGraph, layer: Layer, nodes: dict[str, Node]) -> Iterator[Node]:
    """The gates that multiply the last state on its way to the next one."""
    now, _ = middle(layer)
    for consumer, k in sorted(carries(graph, layer)):
        if consumer in now and (node := nodes[consumer]).op.name == "multiply":
            gate = node.inputs[1 - k]
            if gate is not None and gate.op is not None and (gate.role == "gate" or gate.op.name == "sigmoid"):
                yield gate


def bias_of(gate: Node) -> Change | None:
    """The bias that is added before a gate's function, and its columns; None if there is none.

    The way back leads through sums and slices alone.
    """
    x = gate.inputs[0]
    if x is None or len(gate.inputs) != 1:
        return None
    width = np.shape(x.data)[-1] if np.ndim(x.data) else 1
    stack = [(x, 0, width)]
    while stack:
        x, a, b = stack.pop(0)
        shape = np.shape(x.data)
        if x.op is None:
            if x.requires_grad and len(shape) < 2:
                return Change(x, "add", (a, b) if shape else None)
        elif x.op.name == "affine":
            stack += added(x, [2], a, b)
        elif x.op.name == "add":
            stack += added(x, [0, 1], a, b)
        elif x.op.name == "subtract":
            stack += added(x, [0], a, b)
        elif x.op.name == "getitem" and x.inputs[0] is not None:
            before = np.shape(x.inputs[0].data)
            columns = np.broadcast_to(np.arange(before[-1]), before)[x.params["index"]]
            if columns.ndim and columns.shape[-1] >= b:
                stack.append((x.inputs[0], int(columns[..., a].flat[0]), int(columns[..., b - 1].flat[0]) + 1))
    return None


def added(x: Node, places: Sequence[int], a: int, b: int) -> list[tuple[Node, int, int]]:
    """Operands of a sum that have these columns; leaves first."""
    found = [(u, a, b) for k in places if (u := x.inputs[k]) is not None
             and (not np.ndim(u.data) or np.shape(u.data)[-1] >= b)]
    return sorted(found, key=lambda one: one[0].op is not None)


def recurrent_weights(graph: nx.MultiDiGraph, layer: Layer, nodes: dict[str, Node]) -> list[Node]:
    """The leaves that the last state is multiplied by: itself, or what products and sums alone make of it."""
    now, before = middle(layer)
    kept = states(graph, layer)
    found: dict[Node, None] = {}
    stack = [(u, v, k) for u in sorted(kept & before) for _, v, k in graph.out_edges(u, keys=True) if v in now]
    seen = set(stack)
    while stack:
        _, v, k = stack.pop()
        node = nodes[v]
        single = node.op.name == "multiply" and not np.ndim(node.data)
        if node.op.name in MATRIX_PRODUCTS or single:
            other = node.inputs[1 - k] if k < 2 else None
            if other is not None and (leaf := origin(other)) is not None:
                found[leaf] = None
        if is_linear(node.op.name, k) and node.op.name != "concat" and v not in kept:
            for edge in [(v, w, j) for _, w, j in graph.out_edges(v, keys=True) if w in now]:
                if edge not in seen:
                    seen.add(edge)
                    stack.append(edge)
    return list(found)


def origin(x: Node) -> Node | None:
    """The leaf that a weight was cut from or transposed."""
    while x.op is not None and x.op.name in ("getitem", "transpose", "reshape") and x.inputs[0] is not None:
        x = x.inputs[0]
    return x if x.op is None and x.requires_grad else None

