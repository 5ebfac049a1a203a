"""Layer normalisation: every example is brought to mean 0 and variance 1 by itself, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradrnn.engine import scope
from microgradrnn.engine.rules.elementwise import square
from microgradrnn.engine.rules.reduction import mean
from microgradrnn.nn.module import Module, Parameter, as_array, need_float, need_sizes


class LayerNorm(Module):
    """``y = γ ⊙ (x - μ) / √(σ² + ε) + β`` (Ba, Kiros & Hinton 2016), as in PyTorch.

    μ and σ² are the mean and the variance of x over its last axis, or axes.

    Args:
        shape: the length of the last axis, or the lengths of the last axes together.
        eps: ε, which keeps the gradient finite where all entries are equal.
        elementwise_affine: False leaves γ and β out.
        bias: False leaves β out.
        dtype: of γ and β.

    >>> import numpy as np
    >>> y = LayerNorm(4, eps=0.0)(np.array([[1.0, 2.0, 3.0, 4.0]]))
    >>> float(y.data.mean()), round(float(y.data.std()), 12)
    (0.0, 1.0)
    """

    def __init__(
        self, shape: int | Sequence[int], eps: float = 1e-5, *, elementwise_affine: bool = True, bias: bool = True,
        dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        self.shape = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        for n in self.shape:
            need_sizes("LayerNorm", shape=n)
        if not self.shape or not 0 <= eps < np.inf:
            raise ValueError(f"LayerNorm: shape has an axis, and eps is not negative; got {shape!r} and {eps!r}")
        need_float(dtype)
        self.eps = float(eps)
        self.gain = Parameter(np.ones(self.shape, dtype), symbol="γ") if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.shape, dtype), symbol="β") if elementwise_affine and bias else None

    def __call__(self, x: Any) -> Any:
        x = as_array(x, "LayerNorm")
        axes = tuple(range(-len(self.shape), 0))
        if x.shape[-len(self.shape) :] != self.shape:
            raise ValueError(f"LayerNorm: expected x of shape (..., {', '.join(map(str, self.shape))}), got {x.shape}")
        with scope("norm"):
            centred = x - mean(x, axes, keepdims=True)
            y = centred / (mean(square(centred), axes, keepdims=True) + self.eps) ** 0.5
            if self.gain is not None:
                y = y * self.gain
            return y if self.bias is None else y + self.bias
