"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import mark, scope
from microgradrnn.engine.rules.reduction import log_softmax
from microgradrnn.nn.layers import integers


def cross_entropy(logits: Any, targets: Any, *, reduction: str = "mean") -> Any:
    """``-log softmax(o)[y]``: how surprised the net is by the right answers, in nats.

    Its gradient with respect to the logits is ŷ - y (equations.md, section 2), divided by the count for "mean".

    Args:
        logits: (..., K), a score for each class.
        targets: integers in 0..K-1, of shape (...).
        reduction: ``"mean"`` or ``"sum"`` over all targets, or ``"none"``.

    Raises:
        TypeError, ValueError: if targets are no integers in range, or the shapes do not agree.

    >>> import numpy as np
    >>> loss = cross_entropy(np.zeros((5, 3)), [0, 1, 2, 0, 1])
    >>> bool(np.isclose(loss, np.log(3)))
    True
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    K = logits.shape[-1]
    y = integers(targets, "cross_entropy, targets", K)
    if y.shape != logits.shape[:-1]:
        raise ValueError(f"cross_entropy: logits {logits.shape} need targets {logits.shape[:-1]}, got {y.shape}")
    with scope("cross_entropy"):
        log_p = log_softmax(logits).reshape((-1, K))
        losses = -log_p[np.arange(y.size), y.reshape(-1)]
        if reduction == "none":
            return losses.reshape(y.shape)
        return mark(losses.mean() if reduction == "mean" else losses.sum(), "L", role="loss")
