"""The cliff in the loss of a recurrent net of one unit (Pascanu, Mikolov & Bengio 2013, figure 6).

``x_{t+1} = w σ(x_t) + b``, 50 steps from 0.5; the loss is ``(σ(x_50) - 0.7)²``. Nearly everywhere the loss is flat.
Along a line in the plane of w and b it jumps, and there the gradient is large: one step of descent goes far away.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from microgradrnn import Tensor, grad, optim, sigmoid

STEPS, FIRST, TARGET, RATE = 50, 0.5, 0.7, 0.1
START = (4.67, -2.375)  # beside the cliff


def loss_at(w: Any, b: Any) -> Any:
    """The loss, elementwise for arrays of w and b."""
    x: Any = FIRST
    for _ in range(STEPS):
        x = w * sigmoid(x) + b
    return (sigmoid(x) - TARGET) ** 2


class Surface(NamedTuple):
    """Loss and norm of its gradient on a grid: (len(w), len(b)) each."""

    w: np.ndarray
    b: np.ndarray
    loss: np.ndarray
    slope: np.ndarray


def surface(n: int = 301) -> Surface:
    """The loss over w in 3..8 and b in -4..-1. All points are one array, so one reverse pass gives all gradients."""
    w, b = np.linspace(3, 8, n), np.linspace(-4, -1, n)
    at_w, at_b = (Tensor(a.copy()) for a in np.meshgrid(w, b, indexing="ij"))
    loss = loss_at(at_w, at_b)
    g_w, g_b = grad(loss.sum(), [at_w, at_b])
    return Surface(w, b, loss.data, np.hypot(g_w, g_b))


class Descent(NamedTuple):
    """Where descent went: (updates + 1, 2) points, the loss at each, and the length of the longest step."""

    points: np.ndarray
    losses: np.ndarray
    longest: float


def descend(clip: float | None, updates: int = 60) -> Descent:
    """Gradient descent from a point beside the cliff, with the gradient clipped to a norm, or not."""
    w, b = Tensor(np.array([START[0]])), Tensor(np.array([START[1]]))
    sgd = optim.SGD([w, b], lr=RATE)
    points, losses = [], []
    for _ in range(updates + 1):
        loss = loss_at(w, b).sum()
        points.append([w.data.item(), b.data.item()])
        losses.append(loss.item())
        sgd.zero_grad()
        loss.backward()
        if clip is not None:
            optim.clip_grad_norm([w, b], clip)
        sgd.step()
    way = np.array(points)
    return Descent(way, np.array(losses), float(np.linalg.norm(np.diff(way, axis=0), axis=1).max()))
