"""Optimisers: each is its update rule. A step rebinds ``p.data``; arrays that a graph has used stay as they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradrnn.engine import Node


class Optimiser:
    """Base: holds the parameters, walks over those that have a gradient."""

    def __init__(self, parameters: Iterable[Node], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: no parameters to optimise")
        if not lr > 0:
            raise ValueError(f"{type(self).__name__}: lr must be positive, got {lr!r}")
        self.lr = lr
        self.steps = 0

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters:
            p.zero_grad()

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        self.steps += 1
        for k, p in enumerate(self.parameters):
            if p.grad is not None:
                p.data = p.data - self.update(k, p.grad)

    def update(self, k: int, g: Any) -> Any:
        """What to subtract from the k-th parameter, whose gradient is g."""
        raise NotImplementedError


class SGD(Optimiser):
    """θ ← θ − λ ∂L/∂θ.

    >>> from microgradrnn import Value
    >>> w = Value(1.0)
    >>> for _ in range(50):
    ...     w.zero_grad(); ((w - 3) ** 2).backward(); SGD([w], lr=0.1).step()
    >>> round(w.data, 3)
    3.0
    """

    def update(self, k: int, g: Any) -> Any:
        """λ g."""
        return self.lr * g


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1): steps of about lr, whatever the scale of the gradient.

    Args:
        parameters: the nodes to train.
        lr: the step size α.
        betas: the decay rates β₁, β₂ of the running mean and mean square of the gradient.
        eps: added to the root mean square.
    """

    def __init__(self, parameters: Iterable[Node], lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8) -> None:
        super().__init__(parameters, lr)
        self.betas, self.eps = betas, eps
        self.m: list[Any] = [np.zeros_like(p.data) for p in self.parameters]
        self.v: list[Any] = [np.zeros_like(p.data) for p in self.parameters]

    def update(self, k: int, g: Any) -> Any:
        """α m̂ / (√v̂ + ε)."""
        beta1, beta2 = self.betas
        self.m[k] = beta1 * self.m[k] + (1 - beta1) * g
        self.v[k] = beta2 * self.v[k] + (1 - beta2) * g * g
        m_hat = self.m[k] / (1 - beta1**self.steps)
        v_hat = self.v[k] / (1 - beta2**self.steps)
        return self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
