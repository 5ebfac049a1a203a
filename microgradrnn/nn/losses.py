"""Losses. Each is summed or averaged over whatever targets it is given: steps, sequences, or both.

The total loss of a sequence is the sum of its steps' losses (docs/equations.md, section 1), so its gradient is the sum
of their gradients. ``mask`` leaves steps out: they count neither in the sum nor in the mean. A list of arrays or nodes,
such as the logits of each step, counts as one array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import Node, mark, scope
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.elementwise import softplus, where
from microgradrnn.engine.rules.reduction import log_softmax
from microgradrnn.nn.layers import integers
from microgradrnn.nn.module import as_array


def cross_entropy(logits: Any, targets: Any, *, mask: Any = None, label_smoothing: float = 0.0,
                  reduction: str = "mean") -> Any:
    """``-log softmax(o)[y]``: how surprised the net is by the right answers, in nats.

    Its gradient with respect to the logits is ŷ - y (docs/equations.md, section 2), divided by the count for "mean".

    Args:
        logits: (..., K), a score for each class.
        targets: integers in 0..K-1, of shape (...).
        mask: of the targets' shape, True (or 1) for those that count; None counts all. What stands in targets where
            the mask is False must still be a class (0 will do).
        label_smoothing: ε in [0, 1): the target is 1 - ε on the right class, plus ε/K on every class (Szegedy et al.
            2016).
        reduction: ``"mean"`` or ``"sum"`` over all targets that count, or ``"none"``.

    Raises:
        TypeError, ValueError: if targets are no integers in range, or the shapes do not agree.

    >>> import numpy as np
    >>> loss = cross_entropy(np.zeros((5, 3)), [0, 1, 2, 0, 1])
    >>> bool(np.isclose(loss, np.log(3)))
    True
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"cross_entropy: label_smoothing must lie in [0, 1), got {label_smoothing!r}")
    logits, label_smoothing = as_array(logits, "cross_entropy"), float(label_smoothing)
    y = classes("cross_entropy", logits, "logits", targets)
    with scope("cross_entropy"):
        if mask is not None:  # what is left out may be NaN, which a softmax would hand on
            logits = where(counted("cross_entropy", mask, y.shape)[..., None], logits, 0.0)
        log_p = log_softmax(logits)
        losses = picked(log_p, y)
        if label_smoothing:
            losses = (1 - label_smoothing) * losses - label_smoothing * log_p.mean(axis=-1)
        return reduce("cross_entropy", losses, mask, reduction)


def nll(log_p: Any, targets: Any, *, mask: Any = None, reduction: str = "mean") -> Any:
    """``-log p[y]``, the negative log-likelihood, where the log-probabilities are at hand: `cross_entropy` without
    its softmax.

    Args:
        log_p: (..., K), log-probabilities.
        targets, mask, reduction: as in `cross_entropy`.

    Raises:
        TypeError, ValueError: as `cross_entropy`.

    >>> import numpy as np
    >>> round(float(nll(np.log([[0.5, 0.25, 0.25]]), [0])), 6)      # log 2
    0.693147
    """
    log_p = as_array(log_p, "nll")
    y = classes("nll", log_p, "log_p", targets)
    with scope("nll"):
        return reduce("nll", picked(log_p, y), mask, reduction)


def mse(predictions: Any, targets: Any, *, mask: Any = None, reduction: str = "mean") -> Any:
    """``(ŷ - y)²``, over all entries. Its gradient is 2 (ŷ - y), divided by the count for "mean".

    Args:
        predictions, targets: arrays of one shape (no broadcasting: it hides mistakes). A gradient flows into whichever
            are nodes.
        mask: of the same shape, or of its leading axes; as in `cross_entropy`.
        reduction: as in `cross_entropy`.

    Raises:
        ValueError: if the shapes do not agree.

    >>> import numpy as np
    >>> float(mse(np.array([1.0, 2.0]), [1.0, 4.0]))
    2.0
    """
    predictions = as_array(predictions, "mse")
    y = same_shape("mse", predictions, targets)
    with scope("mse"):
        difference = predictions - y
        return reduce("mse", difference * difference, mask, reduction)


def binary_cross_entropy(logits: Any, targets: Any, *, mask: Any = None, reduction: str = "mean") -> Any:
    """``-y log σ(o) - (1 - y) log(1 - σ(o))`` from the logits o, as softplus(o) - y o, which is stable for any
    finite o.

    Its gradient is σ(o) - y, divided by the count for "mean".

    Args:
        logits: any shape; one score for each yes-or-no question.
        targets: of the same shape, in [0, 1].
        mask: of the same shape, or of its leading axes; as in `cross_entropy`.
        reduction: as in `cross_entropy`.

    Raises:
        ValueError: if the shapes do not agree, or a target lies outside [0, 1].

    >>> import numpy as np
    >>> float(binary_cross_entropy(np.array([1000.0, -1000.0]), [1, 0]))
    0.0
    """
    logits = as_array(logits, "binary_cross_entropy")
    y = same_shape("binary_cross_entropy", logits, targets)
    low, high = (plain(y).min(), plain(y).max()) if y.size else (0, 1)
    if not (low >= 0 and high <= 1):
        raise ValueError(f"binary_cross_entropy: targets must lie in [0, 1], got {low}..{high}")
    with scope("binary_cross_entropy"):
        return reduce("binary_cross_entropy", softplus(logits) - y * logits, mask, reduction)


# ------------------------------------------------------------------------------------------------ what they share
def picked(log_p: Any, y: np.ndarray) -> Any:
    """-log_p[..., y], of y's shape."""
    rows = log_p.reshape((-1, log_p.shape[-1]))
    return (-rows[np.arange(y.size), y.reshape(-1)]).reshape(y.shape)


def classes(who: str, scores: Any, name: str, targets: Any) -> np.ndarray:
    """Targets as integers, one for each row of scores."""
    if not scores.shape:
        raise ValueError(f"{who}: {name} need an axis, the last, with a score for each class; got a single number")
    given = np.asarray(plain(targets))
    if given.dtype.kind == "f" and given.shape in (scores.shape, scores.shape[:-1]):
        how = "argmax(-1)" if given.shape == scores.shape else "astype(int)"
        raise TypeError(f"{who}, targets: expected integers, the numbers of the classes, got {given.dtype} of shape "
                        f"{given.shape}; y.{how} makes them")
    if given.dtype.kind == "i" and given.size and given.min() < 0:
        raise ValueError(f"{who}: targets must lie in 0..{scores.shape[-1] - 1}, got {given.min()}; to leave some out, "
                         "put any class there, such as 0, and give mask=, False where they do not count")
    y = integers(targets, f"{who}, targets", scores.shape[-1])
    if y.shape != scores.shape[:-1]:
        raise ValueError(f"{who}: {name} {scores.shape} need targets {scores.shape[:-1]}, got {y.shape}")
    return y


def same_shape(who: str, predictions: Any, targets: Any) -> Any:
    """Targets as an array of the predictions' dtype, or the node that they are, if the shapes agree."""
    y = targets = as_array(targets, who)
    if not isinstance(targets, Node):
        y = np.asarray(targets, dtype=np.result_type(predictions.dtype, np.float32))
    if y.shape != predictions.shape:
        raise ValueError(f"{who}: predictions {predictions.shape} and targets {y.shape} must have one shape")
    return y


def reduce(who: str, losses: Any, mask: Any, reduction: str) -> Any:
    """The sum or mean of the losses that count."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{who}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    count = int(np.prod(losses.shape))
    if mask is not None:
        counts = counted(who, mask, losses.shape)
        count = int(counts.sum())
        losses = where(counts, losses, 0.0)  # not losses * mask: what is left out may be infinite
    if reduction == "none":
        return losses
    if count == 0 and reduction == "mean":
        raise ValueError(f"{who}: no target counts, so there is no mean; look at mask, or use reduction='sum'")
    total = losses.sum()
    return mark(total / count if reduction == "mean" else total, "L", role="loss")


def counted(who: str, mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The mask as bools, stretched over trailing axes that it does not have."""
    m = np.asarray(plain(mask))
    if m.shape != shape[: m.ndim]:
        hint = "; from lengths, np.arange(T)[:, None] < lengths makes one" if m.shape == shape[1:2] else ""
        raise ValueError(f"{who}: mask {m.shape} does not fit losses {shape}{hint}")
    if m.dtype != bool and not np.isin(m, (0, 1)).all():
        raise ValueError(f"{who}: mask holds True or False (or 1 and 0), got other numbers")
    return np.broadcast_to(m.astype(bool).reshape(m.shape + (1,) * (len(shape) - m.ndim)), shape)
