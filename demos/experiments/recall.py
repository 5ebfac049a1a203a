"""Which symbol came first, T steps ago (delayed recall)? Forget biases, activations, depth, and what a net listens to.

The first of T symbols is one of four, the others are distractors, and the last one asks. After Jozefowicz, Zaremba &
Sutskever (2015) on the forget bias, Tallec & Ollivier (2018) on biases from the time scale ("chrono"), and Madsen
(2019) on connectivity, ``‖∂(logit of the right answer) / ∂x_t‖``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from demos.experiments.sweep import grid
from microgradrnn import Tensor, grad, nn, no_grad, optim
from microgradrnn.data import delayed_recall

HIDDEN, BATCH, SYMBOLS, KINDS, CLIP, EVERY = 32, 32, 4, 9, 1.0, 50
SOLVED = 0.99  # the share of right answers
CELLS: dict[str, Callable[..., Any]] = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def points() -> list[dict[str, Any]]:
    """All settings, three seeds each."""
    seeds = range(3)
    return [
        # the forget bias at 50 steps
        *grid(cell=("lstm",), T=(50,), forget_bias=(0, 1, 2, 3, 5, "chrono"), updates=(1000,), seed=seeds),
        # what is learned at 20 and at 50 steps
        *grid(T=(20, 50), cell=CELLS, updates=(3000,), seed=seeds),
        # tanh against ReLU, one layer and four, at two learning rates
        *grid(cell=("lstm",), T=(20,), layers=(1, 4), lr=(0.003, 0.01), activation=("tanh", "relu"), updates=(1000,),
              seed=seeds),
    ]


def problems(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One-hot inputs (T, B, 9) and the answers (B,)."""
    ids, y = delayed_recall(T, B, rng)
    return np.eye(KINDS)[ids], y


def make(cell: str, T: int, rng: np.random.Generator, layers: int = 1, forget_bias: float | str = 1,
         activation: str = "tanh") -> tuple[Any, Any]:
    """The net and its read-out."""
    options = {"activation": activation} if cell == "lstm" else {}
    net = CELLS[cell](KINDS, HIDDEN, layers, rng=rng, **options)
    if cell == "lstm":
        for _, _, each in net.cells():
            b = np.array(each.b.data)
            if forget_bias == "chrono":  # b_f = log U(1, T - 1), b_i = -b_f
                b[HIDDEN : 2 * HIDDEN] = np.log(rng.uniform(1, T - 1, HIDDEN))
                b[:HIDDEN] = -b[HIDDEN : 2 * HIDDEN]
            else:
                b[HIDDEN : 2 * HIDDEN] = forget_bias
            each.b.data = b
    return net, nn.Linear(HIDDEN, SYMBOLS, rng=rng)


def connectivity(net: Any, head: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``‖∂(logit of the right answer at the end) / ∂x_t‖`` for every step t, the mean over the batch: (T,)."""
    xs = Tensor(x)
    logits = head(net(xs)[0][-1])
    g = grad(logits, xs, seed=np.eye(SYMBOLS)[y])
    return np.linalg.norm(g, axis=-1).mean(axis=-1)


def run(cell: str, T: int, seed: int, updates: int, lr: float = 0.003, **options: Any) -> dict[str, Any]:
    """Train one net until 99 % of its answers are right, or the updates are spent.

    Returns:
        solved_at, the number of updates it took, or None; accuracy; and the connectivity with the first symbol, before
        and after training: over that with the last step (``first_to_last``), and over the mean of the distractors
        (``first_to_distractors``).
    """
    rng = np.random.default_rng([seed, T])
    net, head = make(cell, T, rng, **options)
    adam = optim.Adam([*net.parameters(), *head.parameters()], lr=lr)
    held_out = problems(T, 500, np.random.default_rng([seed, T, 1]))
    probe = held_out[0][:, :50], held_out[1][:50]
    before, accuracy, solved = connectivity(net, head, *probe), 0.0, None
    with nn.compiling():
        for n in range(1, updates + 1):
            x, y = problems(T, BATCH, rng)
            loss = nn.cross_entropy(head(net(x)[0][-1]), y)
            adam.zero_grad()
            loss.backward()
            optim.clip_grad_norm(adam.parameters, CLIP)
            adam.step()
            if n % EVERY == 0:
                with no_grad():
                    accuracy = float((head(net(held_out[0])[0][-1]).data.argmax(-1) == held_out[1]).mean())
                if accuracy >= SOLVED:
                    solved = n
                    break
    after = connectivity(net, head, *probe)
    return {"solved_at": solved, "accuracy": accuracy,
            **{f"first_to_last_{when}": float(c[0] / c[-1]) for when, c in (("before", before), ("after", after))},
            **{f"first_to_distractors_{when}": float(c[0] / c[1:-1].mean())
               for when, c in (("before", before), ("after", after))}}


def cell_path(forget_bias: float | str, T: int, seed: int) -> float:
    """``‖∂L/∂c_1‖ / ‖∂L/∂c_T‖`` of an LSTM before training."""
    rng = np.random.default_rng([seed, T])
    net, head = make("lstm", T, rng, forget_bias=forget_bias)
    x, y = problems(T, BATCH, rng)
    cell, state, first = net.cell, None, None
    for step in x:
        state = cell(step, state)
        first = state[1] if first is None else first
    assert state is not None
    g_first, g_last = grad(nn.cross_entropy(head(state[0]), y), [first, state[1]])
    return float(np.linalg.norm(g_first) / np.linalg.norm(g_last))
