"""How gradients grow or shrink over 49 steps at random weights (after Pascanu, Mikolov & Bengio 2013).

The recurrent matrix is Gaussian, with entries of standard deviation gain/√H. What is measured is
``‖∂L_T/∂h_1‖ / ‖∂L_T/∂h_T‖``, the median over seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn import Tensor, grad, nn

HIDDEN, STEPS, SEEDS = 50, 50, 10
GAINS = (0.5, 1.0, 1.5, 2.0, 3.0)
ACTIVATIONS: dict[str, Any] = {"tanh": "tanh", "relu": "relu", "linear": lambda z: z}


def ratio(activation: str, gain: float, seed: int) -> float:
    """The norm 49 steps back over that at the last step, for one net."""
    rng = np.random.default_rng(seed)
    cell = nn.RNNCell(2, HIDDEN, activation=ACTIVATIONS[activation], rng=rng)
    cell.W.data = gain / np.sqrt(HIDDEN) * rng.standard_normal((HIDDEN, HIDDEN))
    xs, h0 = 0.1 * rng.standard_normal((STEPS, 1, 2)), Tensor(0.1 * rng.standard_normal((1, HIDDEN)))
    first = cell(xs[0], h0)
    _, last = nn.unroll(cell, xs[1:], first)
    g_first, g_last = grad((last * rng.standard_normal((1, HIDDEN))).sum(), [first, last])
    return float(np.linalg.norm(g_first) / np.linalg.norm(g_last))


def medians(activation: str) -> list[float]:
    """The median ratio at each of the GAINS."""
    return [float(np.median([ratio(activation, gain, seed) for seed in range(SEEDS)])) for gain in GAINS]
