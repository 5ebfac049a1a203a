"""Truncated BPTT: carry the state on, cut the graph (docs/equations.md, section 3)."""

from __future__ import annotations

from typing import Any

from microgradrnn.engine import Node
from microgradrnn.engine.node import plain


def detach(state: Any) -> Any:
    """The same state as a constant: the next stretch of steps starts from its values, and no gradient goes back.

    Back-propagation through a long sequence in stretches of k steps is then a plain loop::

        for x, y in stretches:
            hs, state = net(x, nn.detach(state))
            ...

    Each stretch costs time and memory for k steps only, and the forward pass is exactly that of the whole sequence.
    The gradient lacks what would have come from later stretches.

    Args:
        state: a node, or tuples, lists and dicts of nodes, however nested. Anything else stays as it is.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> lstm, xs = nn.LSTM(3, 5, rng=0), np.ones((4, 2, 3))
    >>> hs, (h, c) = lstm(xs)
    >>> h.requires_grad, detach((h, c))[0].requires_grad
    (True, False)
    """
    if isinstance(state, Node):
        # A copy, rows one after the other: as it would come from a file, so that a resumed run goes on bit for bit.
        kind: Any = state.kind
        return kind(plain(state), requires_grad=False)
    if isinstance(state, tuple):
        parts = [detach(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if isinstance(state, list):
        return [detach(part) for part in state]
    if isinstance(state, dict):
        return {key: detach(part) for key, part in state.items()}
    return state
