"""One unit that must remember one bit (Bengio, Simard & Frasconi 1994, "Learning long-term dependencies ...").

``h_t = tanh(w h_{t-1} + u_t)``: u_1 is one of two trainable amplitudes, which says the class, and later inputs are
noise. The target is ±0.8 at the last step. Three numbers are trained: w and the two amplitudes.

A unit that holds a bit against noise is one whose slope at the stable point is below 1, and by this slope the gradient
shrinks at every step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from demos.experiments.sweep import grid
from microgradrnn import Tensor, optim

SEEDS, BATCH, UPDATES, RATE, TARGET = 20, 20, 400, 0.1, 0.8


def points() -> list[dict[str, Any]]:
    """All settings: two strengths of noise, three first weights, five lengths."""
    return grid(noise=(0.1, 0.45), w=(0.5, 1.0, 1.5), T=(2, 5, 10, 20, 50))


def run(noise: float, w: float, T: int) -> dict[str, Any]:
    """How many of 20 units learn to hold the bit, each from its own seed.

    The units are trained side by side, one a row. They share nothing, so each gets its own gradient. A unit has
    succeeded if at least 99 of 100 new sequences end with the right sign.
    """
    rng = np.random.default_rng([T, round(100 * noise), round(100 * w)])
    weight = Tensor(np.full((SEEDS, 1), w))
    amplitudes = Tensor(0.1 * rng.standard_normal((SEEDS, 2)))
    sgd = optim.SGD([weight, amplitudes], lr=RATE)

    def last(classes: np.ndarray, inputs: np.ndarray) -> Any:
        one = np.eye(2)[classes]
        h = (amplitudes[:, None, :] * one).sum(axis=-1).tanh()
        for x in inputs:
            h = (weight * h + x).tanh()
        return h

    def draw(B: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(0, 2, (SEEDS, B)), noise * rng.standard_normal((T - 1, SEEDS, B))

    for _ in range(UPDATES):
        classes, inputs = draw(BATCH)
        loss = ((last(classes, inputs) - TARGET * (2 * classes - 1)) ** 2).mean(axis=1).sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    classes, inputs = draw(1000)
    right = (last(classes, inputs).data > 0) == (classes == 1)
    return {"solved": int((right.mean(axis=1) >= 0.99).sum()), "of": SEEDS}


def largest_opposing_input(w: float) -> float:
    """The constant input against which a unit with weight w > 1 just keeps its sign.

    >>> round(largest_opposing_input(2.0), 4)
    0.5328
    """
    edge = math.sqrt(1 - 1 / w)
    return w * edge - math.atanh(edge)
