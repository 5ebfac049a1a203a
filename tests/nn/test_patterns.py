"""Sampling, generation, and encoder-decoder nets that learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn, optim

T, B, D, H, K = 6, 4, 3, 5, 4


def test_samples_follow_the_softmax_at_their_temperature() -> None:
    o, n = np.array([0.0, 1.0, -1.0, 2.0]), 40_000
    for temperature in (0.5, 1.0, 3.0):
        drawn = nn.sample(np.tile(o, (n, 1)), temperature=temperature, rng=np.random.default_rng(0))
        p = np.exp(o / temperature) / np.exp(o / temperature).sum()
        np.testing.assert_allclose(np.bincount(drawn, minlength=K) / n, p, atol=0.01)


def test_sampling_holds_at_the_edges() -> None:
    rng = np.random.default_rng(0)
    sure = np.array([[0.0, 1e4, -1e4]] * 100)
    assert (nn.sample(sure, rng=rng) == 1).all()
    assert (nn.sample(sure / 1e4, temperature=1e-3, rng=rng) == 1).all()
    assert (nn.sample(np.array([[-np.inf, 0.0, -np.inf]] * 100), rng=rng) == 1).all()
    assert nn.sample(Tensor(np.zeros((2, 3, 5))), rng=rng).shape == (2, 3)
    with pytest.raises(TypeError, match="rng must be a Generator, got NoneType"):
        nn.sample(sure)
    with pytest.raises(TypeError, match=r"got int; make one before the loop, rng = np\.random\.default_rng"):
        nn.sample(sure, rng=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="temperature must be 0 or more"):
        nn.sample(sure, temperature=-1.0, rng=rng)


def test_a_language_model_generates_what_it_learned() -> None:
    """The cycle 0 1 2 3 0 ...: learned from shifted targets, then said again from any beginning."""
    embed, layer, head = nn.Embedding(K, D, rng=0), nn.GRU(D, 8, rng=1), nn.Linear(8, K, rng=2)
    ids = (np.arange(T + 1)[:, None] + np.arange(B)) % K
    parameters = [p for module in (embed, layer, head) for p in module.parameters()]
    adam = optim.Adam(parameters, lr=0.05)
    for _ in range(60):
        loss = nn.cross_entropy(head(layer(embed(ids[:-1]))[0]), ids[1:])
        adam.zero_grad()
        loss.backward()
        adam.step()

    def step(ids: Any, state: Any) -> Any:
        h = layer.cell(embed(ids), state)
        return head(h), h

    said = nn.generate(step, np.arange(B), np.zeros((B, 8)), 10, temperature=0)
    np.testing.assert_array_equal(said, (np.arange(1, 11)[:, None] + np.arange(B)) % K)
    runs = [nn.generate(step, [0, 1], np.zeros((2, 8)), 50, temperature=5.0, rng=np.random.default_rng(s))
            for s in (0, 0, 1)]
    runs.append(nn.generate(step, [0, 1], np.zeros((2, 8)), 50, temperature=5.0, rng=0))
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[3])
    assert (runs[0] != runs[2]).any()
    assert nn.generate(step, [0, 1], np.zeros((2, 8)), 0).shape == (0, 2)


def test_generation_keeps_no_graph() -> None:
    seen = []

    def step(ids: Any, h: Any) -> Any:
        h = (w * h).tanh()
        seen.append(h)
        return h, h

    w = Tensor(np.ones((B, K)))
    nn.generate(step, np.zeros(B, int), Tensor(np.ones((B, K))), 3, temperature=0)
    assert not any(h.requires_grad for h in seen)


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM])
def test_an_encoder_decoder_learns_to_copy_ragged_sources(layer: Any) -> None:
    net = nn.EncoderDecoder(layer(D, 16, rng=0), layer(D, 16, rng=1), nn.Embedding(4, D, rng=2),
                            nn.Embedding(4, D, rng=3), nn.Linear(16, 4, rng=4), start=0)
    pairs = np.array([[a, b] for a in (1, 2, 3) for b in (1, 2, 3)]).T
    source = np.concatenate([pairs, np.zeros((1, 9), int)])
    adam = optim.Adam(net.parameters(), lr=0.05)
    for _ in range(100):
        loss = nn.cross_entropy(net(source, pairs, lengths=[2] * 9), pairs)
        adam.zero_grad()
        loss.backward()
        adam.step()
    np.testing.assert_array_equal(net.generate(source, 2, lengths=[2] * 9), pairs)


def test_teacher_forcing_feeds_the_start_and_then_the_targets() -> None:
    read: list[np.ndarray] = []

    def watch(ids: Any) -> Any:
        read.append(np.asarray(ids))
        return np.eye(D)[ids]

    net = nn.EncoderDecoder(nn.RNN(D, H, rng=0), nn.RNN(D, H, rng=1), lambda ids: np.eye(D)[ids], watch,
                            nn.Linear(H, D, rng=2), start=2)
    target = np.array([[0, 1], [1, 1], [0, 0]])
    net(np.zeros((4, 2), int), target)
    np.testing.assert_array_equal(read[0], [[2, 2], [0, 1], [1, 1]])
    read.clear()
    said = net.generate(np.zeros((4, 2), int), 3)
    np.testing.assert_array_equal(np.concatenate(read), np.concatenate([[[2, 2]], said[:-1]]))


def test_mean_and_last_step_give_gradients_to_the_steps_that_are_there() -> None:
    hs = Tensor(np.random.default_rng(0).standard_normal((T, B, H)))
    lengths = [6, 1, 3, 3]
    mean, last = (mg.grad(f(hs, lengths).sum(), hs) for f in (nn.mean_over_steps, nn.last_step))
    for b, n in enumerate(lengths):
        np.testing.assert_array_equal(mean[:, b], np.where(np.arange(T) < n, 1 / n, 0)[:, None] * np.ones(H))
        np.testing.assert_array_equal(last[:, b], np.where(np.arange(T) == n - 1, 1.0, 0)[:, None] * np.ones(H))
    assert nn.mean_over_steps(Tensor(np.ones((T, B, H), np.float32)), lengths).dtype == np.float32


def test_the_mean_of_whole_numbers_is_not_rounded() -> None:
    hs = np.arange(8).reshape(4, 2, 1)
    np.testing.assert_array_equal(nn.mean_over_steps(hs, [4, 3]), [[3], [3]])
    np.testing.assert_array_equal(nn.mean_over_steps(hs, [2, 1]), [[1], [1]])


def test_at_an_infinite_temperature_all_that_may_be_drawn_are_equally_likely() -> None:
    o, n = np.tile([-np.inf, 0.0, -5.0, -np.inf, 9.0], (30_000, 1)), 30_000
    share = np.bincount(nn.sample(o, temperature=np.inf, rng=np.random.default_rng(0)), minlength=5) / n
    np.testing.assert_allclose(share, [0, 1 / 3, 1 / 3, 0, 1 / 3], atol=0.02)
    assert share[0] == share[3] == 0


@pytest.mark.parametrize("logits", [np.zeros(K), np.zeros((1, B, K)), np.zeros((B + 1, K)), np.float64(1.0)])
def test_generation_needs_a_row_of_logits_for_each_sequence(logits: Any) -> None:
    with pytest.raises(ValueError, match=r"generate: step must return logits of shape \(4, 'K'\)"):
        nn.generate(lambda ids, state: (logits, state), np.zeros(B, int), None, 2, temperature=0)
