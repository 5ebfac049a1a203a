"""Dropout: noise that is drawn from a generator you give, so that a run can be repeated."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine.node import plain

__all__ = [
    "dropout",
]  # fmt: skip


def dropout(x: Any, p: float, *, rng: np.random.Generator) -> Any:
    """x with each entry set to 0 with probability p, the others divided by (1 - p), so that the mean stays.

    Args:
        x: an array or node.
        p: in [0, 1).
        rng: the generator to draw from. There is no hidden one.

    Raises:
        ValueError: if p is outside of [0, 1).
        TypeError: if rng is no generator.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, dropout
    >>> dropout(Tensor([1.0, 2.0, 3.0, 4.0]), 0.5, rng=np.random.default_rng(0)).data
    array([2., 0., 0., 0.])
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must lie in [0, 1), got {p!r}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"dropout: rng must be a numpy.random.Generator, got {type(rng).__name__}")
    data = np.asarray(plain(x))
    kept = rng.random(data.shape) >= p
    return x * (kept / (1 - p)).astype(data.dtype if data.dtype.kind == "f" else float)
