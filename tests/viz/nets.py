"""Small nets to draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn import Tensor, mark, nn, scope, tanh

CELLS: dict[str, Any] = {
    "rnn": lambda: nn.RNN(3, 4, rng=0),
    "lstm": lambda: nn.LSTM(3, 4, rng=0),
    "gru before": lambda: nn.GRU(3, 4, rng=0),
    "gru after": lambda: nn.GRU(3, 4, reset="after", rng=0),
}


def last_loss(name: str, T: int = 6, B: int = 2) -> Any:
    """The loss of the last step of a net."""
    xs = np.random.default_rng(1).standard_normal((T, B, 3))
    _, state = CELLS[name]()(xs)
    h = state[0] if isinstance(state, tuple) else state
    return nn.cross_entropy(nn.Linear(4, 5, rng=0)(h), [1] * B)


def all_losses(name: str, T: int = 6) -> Any:
    """The loss summed over all steps."""
    hs, _ = CELLS[name]()(np.random.default_rng(1).standard_normal((T, 2, 3)))
    return nn.cross_entropy(nn.Linear(4, 5, rng=0)(hs), np.ones((T, 2), dtype=int))


def own_cell(T: int = 5, marked: bool = True) -> Any:
    """Somebody's own loop: an additive recurrence with a gate, and two states."""
    rng = np.random.default_rng(0)
    W, V = Tensor(rng.standard_normal((4, 4)) / 2), Tensor(rng.standard_normal((4, 4)) / 2)
    h: Any = np.zeros((1, 4))
    m: Any = np.zeros((1, 4))
    for t in range(T):
        with scope("mine", step=t):
            x = rng.standard_normal((1, 4))
            a = (x + h @ W).sigmoid()
            m = m + a * tanh(x @ V + h)
            h = h + tanh(m)
            if marked:
                mark(a, "a", role="gate")
                mark(m, "m", role="cell")
                mark(h, "h", role="hidden")
    return (h * h).sum()


def two_layers(T: int = 5) -> Any:
    """One LSTM on top of another."""
    xs = np.random.default_rng(1).standard_normal((T, 1, 3))
    hs, _ = nn.LSTM(3, 4, rng=0)(xs)
    _, (h, _) = nn.LSTM(4, 4, rng=1)(hs)
    return h.sum()
