"""Losses. Each is summed or averaged over whatever targets it is given: steps, sequences, or both.

The total loss of a sequence is the sum of its steps' losses (docs/equations.md, section 1), so its gradient is the sum
of their gradients. ``mask`` leaves steps out: they count neither in the sum nor in the mean. A list of arrays or nodes,
such as the logits of each step, counts as one array.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradrnn.engine import Node, mark, scope
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.elementwise import softplus, where
from microgradrnn.engine.rules.reduction import log_softmax
from microgradrnn.nn.layers import integers
from microgradrnn.nn.module import as_array


def cross_entropy(logits: Any, targets: Any, *, mask: Any = None, weight: Any = None, ignore_index: int | None = None,
                  label_smoothing: float = 0.0, reduction: str = "mean") -> Any:
    """``-log softmax(o)[y]``: how surprised the net is by the right answers, in nats.

    Its gradient with respect to the logits is ŷ - y (docs/equations.md, section 2), divided by the count for "mean".
    The classes are the last axis, also where there are steps and sequences before it. (PyTorch wants them second.)

    Args:
        logits: (..., K), a score for each class.
        targets: integers in 0..K-1, of shape (...); or probabilities, floats of shape (..., K), a share for each class:
            the loss is then -Σ_k p_k log softmax(o)_k, and a gradient flows into them if they are a node.
        mask: of shape (...), True (or 1) for those that count; None counts all. What stands in targets where the mask
            is False must still be a class (0 will do).
        weight: (K,), a factor for the loss of each class. Over classes, the mean is then the weighted one, Σ w_y L / Σ
            w_y; over probabilities it stays a mean (as in PyTorch).
        ignore_index: targets that are this integer do not count, as if the mask were False there.
        label_smoothing: ε in [0, 1): the target is 1 - ε on the right class, plus ε/K on every class (Szegedy et al.
            2016).
        reduction: ``"mean"`` or ``"sum"`` over all targets that count, or ``"none"``.

    Raises:
        TypeError, ValueError: if targets are neither integers in range nor probabilities, or the shapes do not agree.

    >>> import numpy as np
    >>> loss = cross_entropy(np.zeros((5, 3)), [0, 1, 2, 0, 1])
    >>> bool(np.isclose(loss, np.log(3)))
    True
    >>> bool(np.isclose(cross_entropy(np.zeros((1, 3)), [[0.5, 0.25, 0.25]]), np.log(3)))
    True
    """
    who = "cross_entropy"
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"{who}: label_smoothing must lie in [0, 1), got {label_smoothing!r}")
    logits, label_smoothing = as_array(logits, who), float(label_smoothing)
    soft = are_probabilities(logits, targets)
    if soft:
        y, mask = probabilities(who, logits, targets, mask, ignore_index)
    else:
        y, mask = classes(who, logits, "logits", targets, mask, ignore_index)
    w = class_weights(who, weight, logits)
    with scope(who):
        if mask is not None:  # what is left out may be NaN, which a softmax would hand on
            logits = where(counted(who, mask, logits.shape[:-1])[..., None], logits, 0.0)
        log_p = log_softmax(logits)
        if soft:
            if label_smoothing:
                y = (1 - label_smoothing) * y + label_smoothing / y.shape[-1]
            return reduce(who, -surprise(y if w is None else y * w, log_p), mask, reduction)
        losses = picked(log_p, y, w)
        if label_smoothing:
            each = log_p if w is None else log_p * w
            losses = (1 - label_smoothing) * losses - label_smoothing * each.mean(axis=-1)
        return reduce(who, losses, mask, reduction, None if w is None else w[y])


def nll(log_p: Any, targets: Any, *, mask: Any = None, weight: Any = None, ignore_index: int | None = None,
        reduction: str = "mean") -> Any:
    """``-log p[y]``, the negative log-likelihood, where the log-probabilities are at hand: `cross_entropy` without
    its softmax.

    Args:
        log_p: (..., K), log-probabilities.
        targets: integers in 0..K-1, of shape (...).
        mask, weight, ignore_index, reduction: as in `cross_entropy`.

    Raises:
        TypeError, ValueError: as `cross_entropy`.

    >>> import numpy as np
    >>> round(float(nll(np.log([[0.5, 0.25, 0.25]]), [0])), 6)      # log 2
    0.693147
    """
    log_p = as_array(log_p, "nll")
    y, mask = classes("nll", log_p, "log_p", targets, mask, ignore_index)
    w = class_weights("nll", weight, log_p)
    with scope("nll"):
        return reduce("nll", picked(log_p, y, w), mask, reduction, None if w is None else w[y])


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
def picked(log_p: Any, y: np.ndarray, w: np.ndarray | None) -> Any:
    """-log_p[..., y], of y's shape; times w[y]."""
    rows = log_p.reshape((-1, log_p.shape[-1]))
    losses = (-rows[np.arange(y.size), y.reshape(-1)]).reshape(y.shape)
    return losses if w is None else losses * w[y]


def surprise(p: Any, log_p: Any) -> Any:
    """Σ p log_p over the classes. What has no share may be impossible: 0 times -inf is 0 here."""
    return (p * (log_p if isinstance(p, Node) else where(p == 0, 0.0, log_p))).sum(axis=-1)


def classes(
    who: str, scores: Any, name: str, targets: Any, mask: Any, ignore_index: int | None
) -> tuple[np.ndarray, Any]:
    """Targets as integers, one for each row of scores, and the mask without those that are to be ignored."""
    if not scores.shape:
        raise ValueError(f"{who}: {name} need an axis, the last, with a score for each class; got a single number")
    given = np.asarray(plain(targets))
    if given.dtype.kind == "f" and given.shape in (scores.shape, scores.shape[:-1]):
        how = "argmax(-1)" if given.shape == scores.shape else "astype(int)"
        raise TypeError(f"{who}, targets: expected integers, the numbers of the classes, got {given.dtype} of shape "
                        f"{given.shape}; y.{how} makes them")
    if given.shape != scores.shape[:-1] and given.dtype.kind in "iu":
        raise ValueError(f"{who}: {name} {scores.shape} need targets {scores.shape[:-1]}, got {given.shape}"
                         f"{targets_hint(name, scores.shape, given.shape)}")
    if ignore_index is not None:
        ignored = given == ignore_index
        mask = ~ignored if mask is None else counted(who, mask, given.shape) & ~ignored
        given = np.where(ignored, 0, given)
    if given.dtype.kind == "i" and given.size and given.min() < 0:
        raise ValueError(f"{who}: targets must lie in 0..{scores.shape[-1] - 1}, got {given.min()}; to leave some out, "
                         f"give ignore_index={given.min()}, or mask=, False where they do not count")
    return integers(given, f"{who}, targets", scores.shape[-1]), mask


def targets_hint(name: str, scores: tuple[int, ...], targets: tuple[int, ...]) -> str:
    """What may be meant by integers of another shape."""
    if targets == scores:
        return "; one-hot rows become classes by y.argmax(-1)"
    if len(scores) > 2 and targets == (scores[0], *scores[2:]):
        return f"; the classes are the last axis here, so {name} = {name}.swapaxes(1, -1)" if len(scores) == 3 else (
            "; the classes are the last axis here: see transpose")
    return ""


def are_probabilities(logits: Any, targets: Any) -> bool:
    """Are the targets a share for each class, not the number of one? They are then as many floats as logits."""
    given = np.asarray(plain(targets)) if not isinstance(targets, list) else as_array(targets, "cross_entropy")
    return bool(logits.shape) and given.dtype.kind == "f" and given.shape == logits.shape


def probabilities(who: str, logits: Any, targets: Any, mask: Any, ignore_index: int | None) -> tuple[Any, Any]:
    """Targets as shares of the classes, and the mask as it is."""
    y = same_shape(who, logits, targets)
    if ignore_index is not None:
        raise ValueError(f"{who}: ignore_index is an integer among the targets, and these are probabilities; use mask=")
    rows = plain(y) if mask is None else plain(y)[counted(who, mask, y.shape[:-1])]
    sums = rows.sum(axis=-1)
    if rows.size and not (rows.min() >= 0 and np.abs(sums - 1).max() < 1e-3):
        raise ValueError(f"{who}: floats of the logits' shape are probabilities, so they are not negative and sum to 1 "
                         f"over the last axis; got numbers from {rows.min():.4g} and sums {sums.min():.4g}.."
                         f"{sums.max():.4g}")
    return y, mask


def class_weights(who: str, weight: Any, scores: Any) -> np.ndarray | None:
    """The weights as an array of the scores' dtype, one for each class."""
    if weight is None:
        return None
    w = np.asarray(plain(weight), dtype=np.result_type(scores.dtype, np.float32))
    if w.shape != scores.shape[-1:] or not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError(f"{who}: weight holds a number for each of the {scores.shape[-1]} classes, finite and not "
                         f"negative; got {plain(weight)!r}")
    return w


def same_shape(who: str, predictions: Any, targets: Any) -> Any:
    """Targets as an array of the predictions' dtype, or the node that they are, if the shapes agree."""
    y = targets = as_array(targets, who)
    if not isinstance(targets, Node):
        y = np.asarray(targets, dtype=np.result_type(predictions.dtype, np.float32))
    if y.shape != predictions.shape:
        raise ValueError(f"{who}: predictions {predictions.shape} and targets {y.shape} must have one shape")
    return y


def reduce(who: str, losses: Any, mask: Any, reduction: str, weights: np.ndarray | None = None) -> Any:
    """The sum of the losses that count, or their mean: over their number, or the sum of the weights they hold."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{who}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    counts = None if mask is None else counted(who, mask, losses.shape)
    if counts is not None:
        losses = where(counts, losses, 0.0)  # not losses * mask: what is left out may be infinite
    if reduction == "none":
        return losses
    if reduction == "sum":
        return mark(losses.sum(), "L", role="loss")
    if weights is None:
        count = math.prod(losses.shape) if counts is None else int(counts.sum())
    else:
        count = float(weights.sum() if counts is None else weights[counts].sum())
    if count == 0:
        raise ValueError(f"{who}: no target counts, so there is no mean; look at mask, ignore_index and weight, or use "
                         "reduction='sum'")
    return mark(losses.sum() / count, "L", role="loss")


def counted(who: str, mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The mask as bools, stretched over trailing axes that it does not have."""
    m = np.asarray(plain(mask))
    if m.shape != shape[: m.ndim]:
        hint = "; from lengths, np.arange(T)[:, None] < lengths makes one" if m.shape == shape[1:2] else ""
        raise ValueError(f"{who}: mask {m.shape} does not fit losses {shape}{hint}")
    if m.dtype != bool and not np.isin(m, (0, 1)).all():
        raise ValueError(f"{who}: mask holds True or False (or 1 and 0), got other numbers")
    return np.broadcast_to(m.astype(bool).reshape(m.shape + (1,) * (len(shape) - m.ndim)), shape)
