"""A sweep: a recorded net, computed again with other numbers, without any training.

This serves nets that are too large for a page to compute (`viz.explorer.live`), and shows in Python what the sliders of
the page do. Every operation is applied again in the order of making, so the new graph has the same steps and marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Tensor, Value
from microgradrnn.engine.scope import resumed
from viz.explorer.sliders import sliders
from viz.graph.identities import without_identities
from viz.graph.reachable import reachable
from viz.graph.replay import NoProgramError, need_a_trace


def sweep(root: Node, layer: int, option: str, values: Sequence[float]) -> list[Node]:
    """A loss, computed again at each value of an option.

    Args:
        root: the loss.
        layer: of which recurrent layer.
        option: ``"forget_bias"`` or ``"gain"``, see `viz.explorer.sliders`.
        values: the values.

    Returns:
        A loss with a graph of its own for each value.

    Raises:
        ValueError: if there is no such option, or the graph does not show how it was computed.

    >>> from microgradrnn import nn
    >>> xs = np.ones((5, 2, 3))
    >>> hs, _ = nn.unroll(nn.LSTMCell(3, 4, rng=0), xs)
    >>> again, = sweep(hs.sum(), -1, "forget_bias", [3.0])
    >>> hs, _ = nn.unroll(nn.LSTMCell(3, 4, forget_bias=3.0, rng=0), xs)
    >>> bool(again.data == hs.sum().data)
    True
    """
    root, _ = without_identities(root)
    known = {slider.option: slider for slider in sliders(root, layer)}
    if option not in known:
        has = f"this layer has {' and '.join(known)}" if known else "this layer has none"
        raise ValueError(f"sweep: there is no option {option!r} here; {has}")
    slider = known[option]
    return [recomputed(root, {change.leaf: change.applied(value, slider.start) for change in slider.changes})
            for value in values]


def recomputed(root: Node, changes: Mapping[Node, Any]) -> Node:
    """A node, computed again from leaves of which some have other numbers.

    Args:
        root: the node.
        changes: for each leaf that is changed its numbers.

    Raises:
        ValueError: if the graph does not show how it was computed.
    """
    nodes = reachable(root)
    try:
        need_a_trace(nodes)
    except NoProgramError as error:
        raise ValueError(f"sweep: this net cannot be computed again: {error}") from error
    again: dict[Node, Any] = {}
    for node in nodes:
        with resumed(node.scope):
            if node.op is not None:
                operands = [arg if x is None else again[x] for x, arg in zip(node.inputs, node.args, strict=True)]
                again[node] = node.op(*operands, **node.params)
                again[node].tag = node.tag
            elif node in changes:
                again[node] = leaf(node, changes[node])
            else:
                again[node] = node
    found: Node = again[root]
    return found


def leaf(like: Node, numbers: Any) -> Node:
    """A leaf with other numbers."""
    if isinstance(like, Value):
        made: Node = Value(float(numbers), requires_grad=like.requires_grad)
    else:
        made = Tensor(np.asarray(numbers), requires_grad=like.requires_grad)
    made.tag = like.tag
    return made
