"""Which sequences of a batch a root depends on at a node, whatever the numbers are.

A gradient may be exactly zero because a sequence was over, or because a ReLU was off. Only the first says where the
sequence ended. So the pass below looks at what operations do with entries, not at slopes: slices, masks and constant
factors of 0 cut a way off, functions and products do not.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np

from microgradrnn.engine import PRIMITIVES, Node
from microgradrnn.engine.backward import ancestors
from microgradrnn.engine.cotangent import fit
from microgradrnn.engine.unfold import unfold

LINEAR = {  # what these send back does not depend on the numbers that they were given
    "getitem", "index_update", "reshape", "transpose", "broadcast_to", "stack", "concat", "split", "pad", "roll", "sum",
    "mean", "cumsum", "astype", "scatter", "repeat",
}
REDUCTIONS = {"max", "min", "prod", "norm", "logsumexp", "var", "std"}


def reached(root: Node) -> dict[Node, np.ndarray]:
    """For each computed array of several rows, (B,) bools: does the root depend on that row?

    >>> from microgradrnn import Tensor, relu
    >>> h = Tensor(-np.ones((3, 2))) * 2
    >>> reached(relu(h)[:2].sum())[h]
    array([ True,  True, False])
    """
    unfold(root)
    live = ancestors(root)
    arriving: dict[Node, np.ndarray] = {root: np.ones(np.shape(root.data))}
    found: dict[Node, np.ndarray] = {}
    for node in sorted(live, key=attrgetter("serial"), reverse=True):
        ways = arriving.pop(node, None)
        if ways is None or node.op is None:
            continue
        if ways.ndim > 1:
            found[node] = np.asarray(ways.reshape(len(ways), -1).any(axis=1))
        for k, x in enumerate(node.inputs):
            if x in live and x is not None and x.op is not None:
                message = _sent(node, k, ways)
                arriving[x] = np.sign(arriving[x] + message) if x in arriving else np.sign(message)
    return found


def _sent(node: Node, k: int, ways: np.ndarray) -> np.ndarray:
    """What a node sends to its k-th operand: not zero where the operand's entry counts."""
    op, args, name = node.op, node.args, node.op.name
    if name in LINEAR:
        message = np.asarray(op.pull(k, ways, node.data, args, node.params))
        return np.abs(message if op.fits else fit(message, args[k]))
    if name in REDUCTIONS:
        whole = {key: value for key, value in node.params.items() if key in ("axis", "keepdims")}
        spread: Any = PRIMITIVES["sum"].vjp[0]
        return np.abs(np.asarray(spread(ways, node.data, np.asarray(args[0]), **whole)))
    if name in ("matmul", "affine") and all(np.ndim(arg) for arg in args):
        return np.abs(np.asarray(op.pull(k, ways, node.data, [*map(np.ones_like, args)], node.params)))
    if name in ("softmax", "log_softmax"):
        ways = np.broadcast_to(ways.any(axis=node.params.get("axis", -1), keepdims=True), ways.shape)
    elif not op.elementwise:
        return np.ones(np.shape(args[k]))  # nothing is known: it may depend on all of it
    elif name == "multiply" and node.inputs[1 - k] is None:
        ways = ways * (np.asarray(args[1 - k]) != 0)
    elif name == "where" and node.inputs[0] is None:
        ways = ways * (np.asarray(args[0], bool) == (k == 1))
    return np.abs(np.asarray(fit(np.asarray(ways, float), np.asarray(args[k], float))))
