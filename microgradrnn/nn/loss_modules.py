"""Losses as objects that hold their options, as PyTorch has them. Each calls the function of `losses.py`."""

from __future__ import annotations

from typing import Any

from microgradrnn.nn.losses import binary_cross_entropy, cross_entropy, mse, nll
from microgradrnn.nn.module import Module


class CrossEntropyLoss(Module):
    """`cross_entropy` with its options. The classes are the last axis of the logits.

    Args:
        weight, ignore_index, label_smoothing, reduction: as in `cross_entropy`. (PyTorch ignores -100 by default; here
            nothing is ignored unless you say so.)

    >>> import numpy as np
    >>> loss = CrossEntropyLoss(ignore_index=-100)(np.zeros((3, 2)), [0, 1, -100])
    >>> bool(np.isclose(loss, np.log(2)))
    True
    """

    def __init__(self, weight: Any = None, *, ignore_index: int | None = None, label_smoothing: float = 0.0,
                 reduction: str = "mean") -> None:
        self.options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing,
                        "reduction": reduction}

    def __call__(self, logits: Any, targets: Any, *, mask: Any = None) -> Any:
        return cross_entropy(logits, targets, mask=mask, **self.options)


class NLLLoss(Module):
    """`nll` with its options, for log-probabilities (`log_softmax`).

    Args:
        weight, ignore_index, reduction: as in `nll`.

    >>> import numpy as np
    >>> round(float(NLLLoss()(np.log([[0.5, 0.25, 0.25]]), [0])), 6)
    0.693147
    """

    def __init__(self, weight: Any = None, *, ignore_index: int | None = None, reduction: str = "mean") -> None:
        self.options = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}

    def __call__(self, log_p: Any, targets: Any, *, mask: Any = None) -> Any:
        return nll(log_p, targets, mask=mask, **self.options)


class MSELoss(Module):
    """`mse` with its option.

    Args:
        reduction: as in `mse`.

    >>> import numpy as np
    >>> float(MSELoss(reduction="sum")(np.array([1.0, 2.0]), [1.0, 4.0]))
    4.0
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    def __call__(self, predictions: Any, targets: Any, *, mask: Any = None) -> Any:
        return mse(predictions, targets, mask=mask, reduction=self.reduction)


class BCEWithLogitsLoss(Module):
    """`binary_cross_entropy` with its option: from logits, without a sigmoid before it.

    Args:
        reduction: as in `binary_cross_entropy`.

    >>> import numpy as np
    >>> round(float(BCEWithLogitsLoss()(np.zeros(3), [0, 1, 1])), 6)
    0.693147
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    def __call__(self, logits: Any, targets: Any, *, mask: Any = None) -> Any:
        return binary_cross_entropy(logits, targets, mask=mask, reduction=self.reduction)
