"""In which order did two symbols come (temporal order; Hochreiter & Schmidhuber 1997, Pascanu et al. 2013)?

Two symbols, each A or B, stand among distractors, the first near the start and the second near the middle. The net
says which of the four pairs it was, after the last step. With the recurrent matrix ``gain`` times an orthogonal one,
the gradient explodes or vanishes as gain says. Clipping helps against the first, not against the second.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from demos.experiments.sweep import grid
from microgradrnn import nn, no_grad, optim

HIDDEN, BATCH, RATE, UPDATES, SYMBOLS = 50, 20, 0.1, 4000, 6


def problems(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One-hot inputs (T, B, 6) and classes (B,): symbols 0 and 1 count, at T/10..2T/10 and 4T/10..5T/10."""
    ids = rng.integers(2, SYMBOLS, (T, B))
    pair, rows = rng.integers(0, 2, (2, B)), np.arange(B)
    ids[rng.integers(T // 10, 2 * T // 10, B), rows] = pair[0]
    ids[rng.integers(4 * T // 10, 5 * T // 10, B), rows] = pair[1]
    return np.eye(SYMBOLS)[ids], 2 * pair[0] + pair[1]


def points() -> list[dict[str, Any]]:
    """All settings: two lengths, three gains, with and without clipping, three seeds."""
    return grid(T=(20, 30), gain=(0.5, 0.95, 1.2), clip=(None, 1.0), seed=range(3))


def run(T: int, gain: float, clip: float | None, seed: int) -> dict[str, Any]:
    """Train one tanh net. Returns its accuracy on new problems, the largest norm met, and when it was solved."""
    rng = np.random.default_rng([seed, T])
    net, head = nn.RNN(SYMBOLS, HIDDEN, rng=rng), nn.Linear(HIDDEN, 4, rng=rng)
    net.cell.W.data = nn.init.orthogonal(rng, (HIDDEN, HIDDEN), gain)
    sgd = optim.SGD([*net.parameters(), *head.parameters()], lr=RATE)
    held_out = problems(T, 500, np.random.default_rng([seed, T, 1]))
    largest, accuracy = 0.0, 0.0
    with nn.compiling():
        for n in range(1, UPDATES + 1):
            x, y = problems(T, BATCH, rng)
            loss = nn.cross_entropy(head(net(x)[0][-1]), y)
            sgd.zero_grad()
            loss.backward()
            norm = optim.clip_grad_norm(sgd.parameters, clip) if clip else optim.global_norm(sgd.parameters)
            if not math.isfinite(norm):
                break
            largest = max(largest, norm)
            sgd.step()
            if n % 200 == 0:
                with no_grad():
                    accuracy = float((head(net(held_out[0])[0][-1]).data.argmax(-1) == held_out[1]).mean())
                if accuracy == 1.0:
                    break
    return {"accuracy": accuracy, "largest_norm": largest, "updates": n}
