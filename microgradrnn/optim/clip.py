"""Gradient clipping: the cure for exploding gradients (not for vanishing ones)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from microgradrnn.engine.euclidean import euclidean
from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.rules.elementwise import clip


def clip_grad_norm(parameters: Iterable[Node], max_norm: float) -> float:
    """If ‖g‖ > τ, g ← g τ/‖g‖, with one norm over all parameters together, so that the direction is kept.

    Args:
        parameters: nodes; those without a gradient are left out.
        max_norm: τ, positive.

    Returns:
        The norm before clipping. If it is not finite, nothing is changed, and the caller can tell.

    Raises:
        ValueError: if max_norm is not positive.

    >>> from microgradrnn import Tensor
    >>> w = Tensor([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> clip_grad_norm([w], 1.0), w.grad
    (10.0, array([0.6, 0.8]))
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be positive, got {max_norm!r}")
    with_grad = [p for p in listed(parameters, "clip_grad_norm") if p.grad is not None]
    norm = global_norm(with_grad)
    if max_norm < norm < math.inf:
        for p in with_grad:
            p.grad = p.grad * float(max_norm / norm)  # a NumPy float64 would turn float32 gradients into float64
    return norm


def clip_grad_value(parameters: Iterable[Node], limit: float) -> float:
    """Cut every entry of every gradient to ±limit. The direction changes; `clip_grad_norm` keeps it.

    Args:
        parameters: nodes; those without a gradient are left out.
        limit: positive.

    Returns:
        The norm before clipping, over all parameters together, as `clip_grad_norm` does. A NaN stays a NaN.

    Raises:
        ValueError: if the limit is not positive.

    >>> from microgradrnn import Tensor
    >>> w = Tensor([3.0, -0.25])
    >>> (w * w).sum().backward()
    >>> clip_grad_value([w], 1.0) == 36.25 ** 0.5, w.grad
    (True, array([ 1. , -0.5]))
    """
    if not limit > 0:
        raise ValueError(f"clip_grad_value: limit must be positive, got {limit!r}")
    with_grad = [p for p in listed(parameters, "clip_grad_value") if p.grad is not None]
    norm, limit = global_norm(with_grad), float(limit)
    for p in with_grad:
        if isinstance(p.grad, Node):  # recorded under create_graph, and so is the cut
            p.grad = clip(p.grad, -limit, limit)
        else:
            g = np.clip(p.grad, -limit, limit)
            p.grad = g if isinstance(p.grad, np.ndarray) else float(g)
    return norm


def global_norm(parameters: Iterable[Node]) -> float:
    """The Euclidean norm of all gradients together, as if they were one long vector, each once.

    >>> from microgradrnn import Value
    >>> a, b = Value(3.0), Value(4.0)
    >>> (a * a / 2 + b * b / 2).backward()
    >>> global_norm([a, b])
    5.0
    """
    nodes = listed(parameters, "global_norm")
    sizes = [euclidean(np.asarray(plain(p.grad), dtype=np.float64)) for p in nodes if p.grad is not None]
    return float(euclidean(np.array(sizes)))


def listed(parameters: Iterable[Node], who: str) -> list[Node]:
    """The parameters as a list, each once; a single node is refused, for iterating over it would make others."""
    if isinstance(parameters, Node):
        raise TypeError(f"{who}: give a list of parameters, such as [w] or module.parameters(), not a single node")
    if not isinstance(parameters, Iterable) or hasattr(parameters, "parameters"):  # a Sequential is iterable
        give = "a list of parameters"
        if hasattr(parameters, "parameters"):
            give = "module.parameters(), not the module"
        elif callable(parameters):
            give = "parameters(), with the brackets"
        raise TypeError(f"{who}: give {give}; got {type(parameters).__name__}")
    nodes = list(parameters)
    for p in nodes:
        if not isinstance(p, Node):
            raise TypeError(f"{who}: parameters are nodes, got {type(p).__name__}")
    return list(dict.fromkeys(nodes))
