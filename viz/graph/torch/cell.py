"""One cell of a loop that PyTorch recorded: two steps, taken out of the graph, as `probe` makes them of a cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import Node, Tensor, mark
from microgradrnn.engine.node import new_node
from microgradrnn.engine.scope import Scope
from viz.graph.probe import Probe, whole_of
from viz.graph.timeline import Timeline, timeline
from viz.graph.torch.time import weights
from viz.graph.unknown import Unknown


def probe_of(loss: Node, seed: Any, name: str) -> Probe:
    """Two steps of the last layer that a loss was computed with; the states before the first one become leaves.

    Args:
        loss: the node of a loss of PyTorch.
        seed: as in `probe`.
        name: what the cell is called.

    Raises:
        ValueError: if there are no two steps.
    """
    line = timeline(loss, who="draw_cell")
    if len(line.steps) < 2:
        raise ValueError("draw_cell: this loop took a single step; of two it can be seen what it hands on")
    steps = line.steps[-3:-1] if len(line.steps) > 2 else line.steps  # of the last step the loss may not read all
    copies = Copies(line, steps)
    for step in steps:
        for node in sorted(map(line.nodes.__getitem__, line.layer.steps[step].values()), key=lambda node: node.serial):
            copies.copy(node, step)
    before, after = ([copies.made[state] for state in line.states(step)] for step in steps)
    return Probe(name, tuple(copies.inputs[steps[1]]), tuple(before), tuple(after), tuple(line.symbols.values()),
                 whole_of(tuple(after), seed), len(after) > 1)


class Copies:
    """Copies of the nodes of two steps.

    Attributes:
        made: for each node its copy.
        inputs: for each step, the leaves that stand for what it read from outside.
    """

    def __init__(self, line: Timeline, steps: list[int]) -> None:
        self.steps, self.where = steps, {line.nodes[name]: step for name, step in line.layer.step_of().items()}
        self.fixed = weights(sorted(line.nodes.values(), key=lambda node: node.serial))
        self.made: dict[Node, Node] = {}
        self.inputs: dict[int, list[Node]] = {step: [] for step in steps}
        self.path = tuple(filter(None, line.layer.path.split("/")))

    def scope(self, step: int) -> Scope:
        """The scope of a step, 0 or 1."""
        return Scope(self.path, self.steps.index(step), loop="/".join(self.path))

    def copy(self, node: Node, step: int) -> None:
        """Copy a node of a step; what picks out the step's part of an array from outside becomes an input."""
        if node.op is None or self.picks(node):
            self.made[node] = self.input(node._data, step, True)
            return
        inputs: list[Node | None] = []
        args: list[Any] = []
        for x, a in zip(node.inputs, node._args, strict=True):
            one = self.operand(x, a, step)
            inputs.append(one)
            args.append(a if one is None else one._data)
        copy = new_node(Tensor, node._data, self.scope(step), True, node.op, tuple(inputs), tuple(args), node.params)
        copy.tag = node.tag
        self.made[node] = copy

    def picks(self, node: Node) -> bool:
        """Is it ``xs[t]``?"""
        index = node.params.get("index")
        parts = index if isinstance(index, tuple) else (index,)
        return any(isinstance(i, int) for i in parts) and not any(x in self.where for x in node.inputs)

    def operand(self, x: Node | None, a: Any, step: int) -> Node | None:
        """What a copy reads in place of an operand."""
        if x is None:
            return self.input(a, step, False) if isinstance(a, np.ndarray) and a.ndim else None
        if x not in self.made:
            if x in self.where:  # a state before the two steps
                self.made[x] = new_node(Tensor, numbers(x._data), Scope(), True)
            elif x in self.fixed:
                self.made[x] = x
            else:
                self.made[x] = self.input(x._data, step, True)
        return self.made[x]

    def input(self, a: np.ndarray, step: int, requires_grad: bool) -> Node:
        """A leaf for what a step reads from outside. A plain array takes no gradient: PyTorch works out none for it."""
        there = self.inputs[step]
        leaf = new_node(Tensor, numbers(a), self.scope(step), requires_grad)
        there.append(mark(leaf, f"x{len(there) + 1}" if there else "x", "input"))
        return leaf


def numbers(a: np.ndarray) -> np.ndarray:
    """The array; zeros, if nobody knows its numbers."""
    return np.zeros(a.shape, a.dtype) if isinstance(a, Unknown) else a
