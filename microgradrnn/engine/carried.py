"""Carried: what takes a graph from before an update of the weights to after it, for the error that this leads to.

A state that is handed from one stretch of training to the next brings its graph along, unless it is detached. The next
``backward`` then comes to operations that used the old weights. Looked for only when that error is raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from microgradrnn.engine.node import Node

SHOWN = 3


def carried(nodes: Iterable[Node]) -> list[tuple[Node, Node]]:
    """Pairs (node, reader): the node depends on a leaf's old data, the reader on its new data, the node does not.

    Args:
        nodes: those of one graph.

    >>> from microgradrnn import Value
    >>> w, h = Value(0.5), Value(1.0)
    >>> old = w * h
    >>> w.data = 0.4
    >>> new = w * old
    >>> carried([w, h, old, new]) == [(old, new)]
    True
    """
    nodes = sorted(nodes, key=attrgetter("serial"))
    readers: dict[Node, dict[int, list[Node]]] = {}  # of each leaf, by the data that they used; the newest comes last
    for node in nodes:
        for x, a in zip(node.inputs, node._args, strict=True):
            if x is not None and x.op is None:
                readers.setdefault(x, {}).setdefault(id(a), []).append(node)
    before: set[Node | None] = set()
    after: set[Node | None] = set()
    for versions in readers.values():
        *old, new = versions.values()
        if old:
            before.update(*old)
            after.update(new)
    for node in nodes:
        for side in (before, after):
            if any(x in side for x in node.inputs):
                side.add(node)
    return [(x, node) for node in nodes if node in after
            for x in node.inputs if x is not None and x in before and x not in after]  # fmt: skip


def states(pairs: list[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    """Those pairs whose node is marked as a state."""
    return [pair for pair in pairs if pair[0].role in ("hidden", "cell")]


def in_words(pairs: list[tuple[Node, Node]]) -> str:
    """What was carried and who reads it; of states and others the states alone."""
    readers = dict(reversed(states(pairs) or pairs))  # of each node the first reader
    words = [f"{name(x)} (read by {reader.op.name}{reader.scope})" for x, reader in reversed(readers.items())]
    return ", ".join(words[:SHOWN]) + f" and {len(words) - SHOWN} more" * (len(words) > SHOWN)


def what_to_do(pairs: list[tuple[Node, Node]]) -> str:
    """How to carry on numbers without their graph."""
    state = "Cut the graph where one stretch of training hands its state to the next: state = nn.detach(state)"
    return state if states(pairs) else f"{state}; where losses are summed for a report, add numbers: loss.item()"


def name(node: Node) -> str:
    """The symbol of a node, or what made it; and where."""
    return f"{node.symbol or f'the result of {node.op.name}'}{node.scope}"
