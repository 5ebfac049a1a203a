"""Unfolding: one operation that stands for many, such as a compiled loop, becomes those many.

An ordinary reverse pass needs only the derivative of the whole. An observer, a picture or a gradient of a gradient
needs what is inside. For these the operation is run once more, and recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

from microgradrnn.engine.node import Node


def asked_for(live: Iterable[Node], targets: Iterable[Node] | None, looks_inside: bool) -> bool:
    """Does a pass over these nodes need to know what is inside an operation that stands for many?

    So does one that asks for the gradient at its outputs, by a target or a hook: they may depend on each other inside,
    as the outputs of all steps depend on the last state.
    """
    folded = [node for node in (*live, *(targets or ())) if node.op is not None and node.op.unfold is not None]
    return bool(folded) and (looks_inside or any(node.hooks or node in (targets or ()) for node in folded))


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
