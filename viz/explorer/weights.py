"""Weights: every step adds its share to the gradient of the same weights, and the reverse pass collects them."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import Node
from viz.explorer.encode import array
from viz.flow.blame import shares
from viz.graph.reachable import reachable
from viz.graph.trace import norm

MOST_WEIGHTS = 8  # that a lane lists
MOST_NUMBERS = 20_000_000  # in the shares of all of them, about 160 MB while the page is made


def weights(root: Node, T: int, backwards: bool = False) -> dict[str, Any]:
    """What each weight gets from a step, and what it has when the reverse pass has come back to it.

    Args:
        root: the loss.
        T: the steps of the lane.
        backwards: whether the net reads them from the last to the first.

    Returns:
        ``names``; ``shares``, the norm of each step's share; and ``sums``, that of the sum of the shares of this step
        and all that the net takes later. Both have a row for each weight and a column for each step, in the order
        in which the net takes them.

    Raises:
        ValueError: if a weight's gradient cannot be kept apart by these steps, or takes too much memory.

    >>> from microgradrnn import nn
    >>> hs, _ = nn.unroll(nn.RNNCell(3, 5, rng=0), np.ones((4, 2, 3)))
    >>> found = weights((hs ** 2).sum(), 4)
    >>> found["names"], found["sums"]["shape"]
    (['U', 'W', 'b'], [3, 4])
    """
    numbers = T * sum(np.size(node.data) for node in reachable(root) if node.is_leaf and node.requires_grad)
    if numbers > MOST_NUMBERS:
        raise ValueError("the shares of all steps are too many numbers")
    found = [share for share in shares(root).values() if share.arrays.any()][:MOST_WEIGHTS]
    if any(len(share.keys) != T for share in found):
        raise ValueError("the net has other loops too, whose steps use the same weights or others")
    taken = slice(None, None, -1 if backwards else 1)
    collected = [np.cumsum(share.arrays[taken][::-1], axis=0)[::-1] for share in found]
    return {
        "names": [share.parameter for share in found],
        "shares": array(np.array([share.norms[taken] for share in found]).reshape(-1, T), "f8"),
        "sums": array(np.array([[norm(part) for part in sums] for sums in collected]).reshape(-1, T), "f8"),
    }
