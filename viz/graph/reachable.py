"""All nodes of a computation, oldest first."""

from __future__ import annotations

from operator import attrgetter

from microgradrnn.engine import Node
from microgradrnn.engine.unfold import unfold
from viz.errors import need


def reachable(root: Node) -> list[Node]:
    """All that the root was computed from and the root itself, oldest first. Compiled loops are unfolded."""
    need("trace", root, Node, "a Value or a Tensor")
    unfold(root)
    seen = {root}
    stack = [root]
    while stack:
        for x in stack.pop().inputs:
            if x is not None and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(seen, key=attrgetter("serial"))
