"""A sliding window: from each loss the gradient goes k steps back, and each step runs once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.nn.test_depth import CELLS, parts
from tests.nn.test_rows import leaves, state_of
from tests.numerics import relative_error

T, B, D, H, K = 8, 4, 3, 5, 6


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def recomputed(cell: Any, xs: Any, loss: Any, k: int, state: Any, leaves: list[Any]) -> list[np.ndarray]:
    """The definition: for each t the steps t - k + 1..t once more, from a state without a past."""
    states, total = [state], [np.zeros(p.shape) for p in leaves]
    for t in range(len(xs)):
        states.append(cell(xs[t], states[-1]))
    for t in range(len(xs)):
        s = state if t < k else nn.detach(states[t - k + 1])
        for j in range(max(t - k + 1, 0), t + 1):
            s = cell(xs[j], s)
        now = loss(s[0] if isinstance(s, tuple) else s, t)
        total = [a + g for a, g in zip(total, mg.grad(now, leaves), strict=True)]
    return total


@pytest.mark.parametrize("k", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("kind", CELLS)
def test_it_is_the_sum_of_what_each_loss_sends_k_steps_back(kind: str, k: int) -> None:
    cell, head = CELLS[kind](D), nn.Linear(CELLS[kind](D).state_sizes[0], K, rng=1)
    xs, state, y = Tensor(normal(T, B, D)), leaves(state_of(cell)), np.random.default_rng(2).integers(0, K, (T, B))

    def loss(h: Any, t: int) -> Any:
        return nn.cross_entropy(head(h), y[t], reduction="sum")

    given = [xs, *parts(state), *cell.parameters(), *head.parameters()]
    expected = recomputed(cell, xs, loss, k, state, given)
    total, last = nn.sliding(cell, xs, loss, k, state)
    hs, ended = nn.unroll(cell, xs, state)
    assert total == pytest.approx(nn.cross_entropy(head(hs), y, reduction="sum").item(), rel=1e-13)
    for ours, theirs in zip(parts(last), parts(ended), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-13)
        assert not ours.requires_grad
    for leaf, g in zip(given, expected, strict=True):
        found = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad
        assert relative_error(found, g) < 1e-12


@pytest.mark.parametrize("T", [1, 100])
def test_a_window_over_everything_is_back_propagation_through_time(T: int) -> None:
    cell, xs, state = nn.LSTMCell(D, H, rng=0), normal(T, B, D), leaves(state_of(nn.LSTMCell(D, H)))
    nn.sliding(cell, xs, lambda h, t: (h**2).sum(), T, state)
    hs, _ = nn.unroll(cell, xs, state)
    for leaf, g in zip([*state, *cell.parameters()], mg.grad((hs**2).sum(), [*state, *cell.parameters()]), strict=True):
        assert relative_error(leaf.grad, g) < 1e-12


@pytest.mark.parametrize("k", [1, 3])
def test_the_simple_net_has_the_formula_of_its_local_errors(k: int) -> None:
    cell, xs, h0 = nn.RNNCell(D, H, rng=0), normal(T, B, D), normal(B, H, seed=1)
    nn.sliding(cell, xs, lambda h, t: (h**2).sum() / 2, k, h0)
    U, W, b = (cell.U.data, cell.W.data, cell.b.data)
    h = [h0]
    for x in xs:
        h.append(np.tanh(x @ U + h[-1] @ W + b))
    expected = np.zeros_like(W)
    for t in range(1, T + 1):
        delta = h[t] * (1 - h[t] ** 2)
        for j in range(t, max(t - k, 0), -1):  # δ_{t,j}
            expected += h[j - 1].T @ delta
            delta = delta @ W.T * (1 - h[j - 1] ** 2)
    assert relative_error(cell.W.grad, expected) < 1e-13


def test_each_step_runs_once_whatever_the_window() -> None:
    runs = []

    def cell(x: Any, h: Any) -> Any:
        runs.append(x)
        return (x @ U + h).tanh()

    U = Tensor(normal(D, H))
    nn.sliding(cell, normal(T, B, D), lambda h, t: h.sum(), 5, np.zeros((B, H)))
    assert len(runs) == T
    assert U.grad is not None


@pytest.mark.parametrize("k", [0, 1.5, None])
def test_a_window_is_a_positive_integer(k: Any) -> None:
    with pytest.raises(ValueError, match="sliding: k must be a positive integer"):
        nn.sliding(nn.RNNCell(D, H), normal(T, B, D), lambda h, t: h.sum(), k)


@pytest.mark.parametrize(("xs", "words"), [
    ([], r"sliding: expected xs of shape \(T, B, 3\), got \(0,\)"),
    (np.ones((0, 2, 3)), "sliding: the sequence is empty"),
    ([1.0, 2.0], r"sliding: expected xs of shape \(T, B, 3\), got \(2,\)"),
])
def test_what_is_no_sequence_is_refused_as_unroll_does(xs: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nn.sliding(nn.RNNCell(3, 4, rng=0), xs, lambda h, t: h.sum(), 2)


def test_lists_of_numbers_are_a_sequence() -> None:
    xs = np.arange(12.0).reshape(2, 2, 3)
    totals = [nn.sliding(nn.RNNCell(3, 4, rng=0), x, lambda h, t: h.sum(), 2)[0] for x in (xs, xs.tolist())]
    assert totals[0] == totals[1] != 0


@pytest.mark.parametrize("value", [1.0, None])
def test_a_loss_that_has_no_gradient_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"sliding: loss\(h_t, t\) returned {type(value).__name__} at step 0"):
        nn.sliding(nn.RNNCell(3, 4, rng=0), np.ones((2, 1, 3)), lambda h, t: value, 2)
