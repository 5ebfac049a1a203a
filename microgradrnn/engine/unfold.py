"""Unfolding: one operation that stands for many, such as a compiled loop, becomes those many.

An ordinary reverse pass needs only the derivative of the whole. Who wants to see what is inside (an observer, a
picture, a gradient of a gradient) gets it recorded: the operation is run once more, on the tape.
"""

from __future__ import annotations

from collections.abc import Iterable

from microgradrnn.engine.node import Node


def asked_for(roots: Iterable[Node], targets: Iterable[Node] | None) -> bool:
    """Does a pass want to know something about a node that an operation to be unfolded has made?

    Such nodes may depend on each other inside, as the outputs of all steps depend on the last state.
    """
    if targets is not None:
        return any(x.op is not None and x.op.unfold is not None for x in targets)
    stack = list(roots)
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.hooks and node.op is not None and node.op.unfold is not None:
            return True
        new = {x for x in node.inputs if x is not None and x.requires_grad} - seen
        seen |= new
        stack.extend(new)
    return False


def unfold(roots: Node | Iterable[Node]) -> None:
    """Unfold every operation that the roots were computed with, so that the graph holds what is inside.

    Nodes keep their identity and their data.
    """
    stack = [roots] if isinstance(roots, Node) else list(roots)
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.op is not None and node.op.unfold is not None:
            node.op.unfold(node)
        for x in node.inputs:
            if x is not None and x not in seen:
                seen.add(x)
                stack.append(x)
