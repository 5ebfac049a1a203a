"""A recorded net, computed again with another forget bias or gain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, nn, scope
from viz.explorer.sweep import recomputed, sweep

D, H, B, T = 3, 5, 2, 6


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def loss_of(cell: Any, **options: Any) -> Any:
    hs, _ = nn.unroll(cell, numbers(T, B, D), **options)
    return nn.cross_entropy(hs, np.random.default_rng(1).integers(0, H, (T, B)))


def test_a_forget_bias_is_that_of_a_net_made_with_it() -> None:
    for bias, again in zip((-1.0, 3.0), sweep(loss_of(nn.LSTMCell(D, H, rng=0)), -1, "forget_bias", [-1.0, 3.0]),
                           strict=True):
        made = loss_of(nn.LSTMCell(D, H, forget_bias=bias, rng=0))
        assert again.data == made.data
        assert viz.gradient_flow(again).profile("c") == viz.gradient_flow(made).profile("c")
        assert viz.trace(again).nodes == viz.trace(made).nodes


def test_of_trained_biases_the_mean_moves() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    cell.b.data = numbers(4 * H)  # type: ignore[union-attr]
    mean = cell.b.data[H : 2 * H].mean()  # type: ignore[union-attr]
    (again,) = sweep(loss_of(cell), -1, "forget_bias", [2.0])
    cell.b.data = cell.b.data + np.r_[np.zeros(H), np.full(H, 2.0 - mean), np.zeros(2 * H)]  # type: ignore[union-attr]
    assert again.data == pytest.approx(loss_of(cell).data, rel=1e-12)


def test_a_gain_multiplies_the_recurrent_weights() -> None:
    cell = nn.GRUCell(D, H, rng=0)
    (again,) = sweep(loss_of(cell), -1, "gain", [1.5])
    cell.W.data = 1.5 * cell.W.data
    assert again.data == pytest.approx(loss_of(cell).data, rel=1e-12)


def test_a_layer_below_is_swept_alone() -> None:
    nets = [nn.LSTM(D, H, 2, rng=0) for _ in range(2)]
    below: Any = nets[1].layers[0]
    b = below.b.data.copy()
    b[H : 2 * H] = 4.0
    below.b.data = b
    losses = [(net(numbers(T, B, D))[0] ** 2).sum() for net in nets]
    (again,) = sweep(losses[0], 0, "forget_bias", [4.0])
    assert again.data == pytest.approx(losses[1].data, rel=1e-12)


def test_the_recorded_net_is_left_as_it_was() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    loss = loss_of(cell)
    before, b = float(loss.data), cell.b.data.copy()  # type: ignore[union-attr]
    sweep(loss, -1, "forget_bias", [5.0])
    assert float(loss.data) == before
    np.testing.assert_array_equal(cell.b.data, b)  # type: ignore[union-attr]


def test_sequences_of_different_lengths_are_computed_again() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    (again,) = sweep(loss_of(cell, lengths=[T, 3]), -1, "forget_bias", [3.0])
    made = loss_of(nn.LSTMCell(D, H, forget_bias=3.0, rng=0), lengths=[T, 3])
    assert viz.gradient_flow(again).profile("h") == viz.gradient_flow(made).profile("h")


def test_nothing_changed_gives_the_same_numbers() -> None:
    loss = loss_of(nn.GRUCell(D, H, reset="after", rng=0))
    assert recomputed(loss, {}).data == loss.data


def test_an_option_that_a_net_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="no option 'forget_bias' here; this layer has gain"):
        sweep(loss_of(nn.RNNCell(D, H, rng=0)), -1, "forget_bias", [1.0])
    with pytest.raises(ValueError, match="this layer has none"):
        sweep(loss_of(nn.AdditiveCell(D, H, rng=0)), -1, "gain", [1.0])


def test_what_leaves_no_trace_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be computed again: a checkpoint"):
        recomputed(loss_of(nn.LSTMCell(D, H, rng=0), checkpoint=True), {})
    cell, h = nn.RNNCell(D, H, rng=0), Tensor(np.zeros((B, H)))
    held = []
    for t in range(T):
        with scope(step=t):
            h = cell(numbers(T, B, D)[t], h)
            held.append(h.detach())
    with pytest.raises(ValueError, match="detached"):
        recomputed((h * held[0]).sum(), {})
