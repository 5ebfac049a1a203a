"""Layer normalisation: every example is brought to mean 0 and variance 1 by itself, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradrnn.engine import scope
from microgradrnn.engine.rules.elementwise import sqrt, square
from microgradrnn.engine.rules.reduction import mean
from microgradrnn.nn.module import Module, Parameter, as_array, need_float, need_sizes


class LayerNorm(Module):
    """``y = γ ⊙ (x - μ) / √(σ² + ε) + β`` (Ba, Kiros & Hinton 2016), as in PyTorch.

    μ and σ² are the mean and the variance of x over its last axis, or axes.

    Args:
        normalized_shape: the length of the last axis, or the lengths of the last axes together.
        eps: ε, which keeps the gradient finite where all entries are equal.
        elementwise_affine: False leaves γ and β out.
        bias: False leaves β out.
        dtype: of γ and β.

    Raises:
        ValueError: if normalized_shape has no axis, or eps is negative.

    >>> import numpy as np
    >>> y = LayerNorm(4, eps=0.0)(np.array([[1.0, 2.0, 3.0, 4.0]]))
    >>> float(y.data.mean()), round(float(y.data.std()), 12)
    (0.0, 1.0)
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, *, elementwise_affine: bool = True,
        bias: bool = True, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        for n in shape:
            need_sizes("LayerNorm", normalized_shape=n)
        if not shape or not 0 <= eps < np.inf:
            raise ValueError(f"LayerNorm: normalized_shape has an axis, and eps is not negative; got "
                             f"{normalized_shape!r} and {eps!r}")
        need_float(dtype)
        self.normalized_shape, self.eps = shape, float(eps)
        self.gain = Parameter(np.ones(shape, dtype), symbol="γ") if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape, dtype), symbol="β") if elementwise_affine and bias else None

    def __call__(self, x: Any) -> Any:
        x = as_array(x, "LayerNorm")
        shape = self.normalized_shape
        axes = tuple(range(-len(shape), 0))
        if x.shape[-len(shape) :] != shape:
            raise ValueError(f"LayerNorm: expected x of shape (..., {', '.join(map(str, shape))}), got {x.shape}")
        with scope("norm"):
            centred = x - mean(x, axes, keepdims=True)
            y = centred / sqrt(mean(square(centred), axes, keepdims=True) + self.eps)
            if self.gain is not None:
                y = y * self.gain
            return y if self.bias is None else y + self.bias
