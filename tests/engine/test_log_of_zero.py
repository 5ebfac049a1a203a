"""Softmax, log-softmax and log-sum-exp of entries that are -inf, the logarithm of 0: no weight, no gradient, no NaN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.numerics import assert_same

torch = pytest.importorskip("torch")
INF = np.inf
FAMILY = [mg.softmax, mg.log_softmax, lambda x, axis: mg.logsumexp(x, axis)]
each_function = pytest.mark.parametrize("f", FAMILY, ids=["softmax", "log_softmax", "logsumexp"])
pytestmark = pytest.mark.filterwarnings("error")


def slopes(y: Any, x: Tensor, seed: np.ndarray) -> Iterator[np.ndarray]:
    """The gradient, the recorded gradient, and two derivatives of it along a direction."""
    yield mg.grad(y, x, seed=seed)
    g = mg.grad(y, x, seed=seed, create_graph=True)
    yield g.data
    for order in (1, 2):
        direction = np.random.default_rng(order).uniform(-1, 1, x.shape)
        g = mg.grad((g * direction).sum(), x, create_graph=True)
        yield g.data


def test_the_values_are_those_of_weights_0() -> None:
    x = Tensor([-INF, -INF])
    assert_same(mg.softmax(x).data, [0.0, 0.0])
    assert_same(mg.log_softmax(x).data, [-INF, -INF])
    assert mg.logsumexp(x).item() == -INF
    assert mg.softmax(Tensor(np.float32([-INF, -INF]))).dtype == np.float32


@each_function
@pytest.mark.parametrize("shape", [(2,), (1,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("axis", [0, -1])
def test_all_derivatives_of_nothing_but_minus_infinity_are_0(f: Any, shape: Any, axis: int) -> None:
    x = Tensor(np.full(shape, -INF))
    y = f(x, axis)
    for g in slopes(y, x, np.random.default_rng(0).uniform(1, 2, y.shape)):
        assert_same(g, np.zeros(shape))


@each_function
@pytest.mark.parametrize("axis", [0, 1])
def test_masked_rows_do_not_touch_the_others(f: Any, axis: int) -> None:
    rows = np.random.default_rng(1).uniform(-2, 2, (4, 5))
    rows[2, 3] = -INF  # one entry, and two whole rows
    masked = rows.copy()
    masked[[0, 3]] = -INF
    masked, rows = (masked, rows) if axis == 1 else (masked.T, rows.T)
    x, kept = Tensor(masked), Tensor(np.take(rows, [1, 2], 1 - axis))
    y, expected = f(x, axis), f(kept, axis)
    seed = np.random.default_rng(2).uniform(1, 2, y.shape)
    seed_kept = np.take(seed, [1, 2], 0 if seed.ndim == 1 else 1 - axis)
    finite = np.take(np.isfinite(rows), [1, 2], 1 - axis)

    gradient, of_kept = mg.grad(y, x, seed=seed), mg.grad(expected, kept, seed=seed_kept)
    assert_same(np.take(gradient, [1, 2], 1 - axis), of_kept)
    assert_same(np.take(gradient, [0, 3], 1 - axis), np.zeros_like(np.take(rows, [0, 3], 1 - axis)))
    theirs = torch.tensor(kept.data, requires_grad=True)
    name = ["softmax", "log_softmax", "logsumexp"][FAMILY.index(f)]
    getattr(torch, name)(theirs, axis).backward(torch.tensor(seed_kept))
    assert_same(of_kept[finite], theirs.grad.numpy()[finite], rel=1e-13)


def test_the_forward_algorithm_counts_transitions_though_some_states_cannot_be_reached() -> None:
    chain = np.full((3, 3), -INF)
    chain[0, :2] = chain[1, 1:] = np.log(0.5)
    chain[2, 2] = 0.0
    A = Tensor(chain)
    alpha: Any = np.array([0.0, -INF, -INF])
    for _ in range(3):
        alpha = mg.logsumexp(mg.expand_dims(alpha, 1) + A, axis=0)
    for g in list(slopes(mg.logsumexp(alpha), A, np.array(1.0)))[:2]:
        assert_same(g, [[0.875, 0.875, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.25]], rel=1e-15)


def test_attention_over_nothing_is_0_and_trains_nothing() -> None:
    scores, values = Tensor([[0.3, -INF, 0.1], [-INF, -INF, -INF]]), Tensor(np.arange(6.0).reshape(3, 2))
    context = mg.softmax(scores) @ values
    assert_same(context.data[1], [0.0, 0.0])
    context.sum().backward()
    assert_same(scores.grad[1], np.zeros(3))
    assert np.isfinite(scores.grad).all()
    assert_same(values.grad[1], [0.0, 0.0])


def test_the_cross_entropy_of_an_impossible_step_that_is_masked_out_is_ignored() -> None:
    logits = Tensor([[0.5, 1.0, -1.0], [-INF, -INF, -INF]])
    loss = nn.cross_entropy(logits, np.array([2, 0]), mask=np.array([True, False]))
    loss.backward()
    first = Tensor(logits.data[:1])
    expected = nn.cross_entropy(first, np.array([2]))
    expected.backward()
    assert loss.item() == expected.item()
    assert_same(logits.grad, np.vstack([first.grad, np.zeros((1, 3))]))
