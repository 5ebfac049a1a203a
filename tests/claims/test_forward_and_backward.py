"""Claims about the forward pass, the loss, and the formulas of the backward pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.claims.ledger import number
from tests.nn.systems import ancestors, paths
from tests.numerics import assert_same, relative_error

D, H, K, B = 3, 5, 4, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def sizes(T: int) -> tuple[int, int, int]:
    """Operations of the forward pass, messages of one backward pass, and messages of a pass for each loss alone."""
    cell, head, h, losses = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1), None, []
    for x in normal(T, B, D):
        h = cell(x, h)
        losses.append(nn.cross_entropy(head(h), [0, 1], reduction="sum"))
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss

    def messages(root: Any) -> int:
        seen = []
        mg.backward(root, observe=lambda *message: seen.append(1))
        return len(seen)

    return len([node for node in ancestors(total) if node.op]), messages(total), sum(map(messages, losses))


# ---------------------------------------------------------------------------------------------------- cost
def test_c18_the_forward_pass_costs_the_same_for_every_step_and_a_tanh_net_waits_for_each() -> None:
    counts = [sizes(T)[0] for T in (20, 40, 80)]
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0]) > 0
    for T in (1, 6, 30):
        assert paths(nn.RNN(D, H, rng=0)(normal(T, B, D))[0][-1], "h")[0] == T  # one state after another


def test_c18_a_linear_recurrence_needs_log_t_rounds_when_its_steps_are_combined_in_pairs() -> None:
    """A step is the map h -> h W + v. Two steps together are such a map again: h -> h W W' + (v W' + v')."""
    T = 100
    cell = nn.RNNCell(D, H, activation=lambda z: z, rng=0)
    xs, h0 = normal(T, B, D), normal(B, H)
    W, v = np.repeat(cell.W.data[None], T, axis=0), xs @ cell.U.data + cell.b.data
    rounds, reach = 0, 1
    while reach < T:  # entry t holds the map of the last `reach` steps up to t
        v = np.concatenate([v[:reach], v[:-reach] @ W[reach:] + v[reach:]])
        W = np.concatenate([W[:reach], W[:-reach] @ W[reach:]])
        rounds, reach = rounds + 1, 2 * reach
    assert_same(h0 @ W + v, nn.unroll(cell, xs, h0)[0].data, rel=1e-12)
    assert rounds == math.ceil(math.log2(T)) == 7


def test_c18_a_contracting_tanh_net_is_solved_for_all_steps_at_once_in_a_few_sweeps() -> None:
    T = 200
    cell = nn.RNNCell(D, H, rng=0)
    cell.W.data = 0.5 * cell.W.data / np.linalg.norm(cell.W.data, 2)
    xs, h0 = normal(T, B, D), normal(B, H)
    exact = nn.unroll(cell, xs, h0)[0].data
    hs, sweeps = np.zeros_like(exact), 0
    while np.abs(hs - exact).max() > 1e-12:
        before = np.concatenate([h0[None], hs[:-1]])
        hs, sweeps = np.tanh(before @ cell.W.data + xs @ cell.U.data + cell.b.data), sweeps + 1
    assert 5 < sweeps < 40
    assert number("C18") == "7 rounds for 100 linear steps; under 40 sweeps for 200 tanh steps"


def test_c19_one_reverse_pass_is_linear_in_t_and_the_double_sum_is_quadratic() -> None:
    _, together, apart = zip(*map(sizes, (20, 40, 80, 160)), strict=True)
    steps = np.diff(together)
    assert steps[1] == 2 * steps[0]
    assert steps[2] == 4 * steps[0]
    slopes = np.diff(np.log2([together, apart]), axis=1)
    assert slopes[0] == pytest.approx(1, abs=0.05)
    assert slopes[1, -1] == pytest.approx(2, abs=0.1)
    assert (np.diff(slopes[1]) > 0).all()
    once, double = 2 ** slopes[:, -1]
    assert number("C19") == f"twice the steps: {once:.1f} times the work, {double:.1f} for the double sum"


# ---------------------------------------------------------------------------------------------------- losses
def test_c20_the_total_loss_is_the_sum_over_the_steps_and_so_is_its_gradient() -> None:
    T = 6
    net, head, y = nn.GRU(D, H, rng=0), nn.Linear(H, K, rng=1), np.random.default_rng(0).integers(0, K, (6, B))
    os, parameters = head(net(normal(T, B, D))[0]), [*net.parameters(), *head.parameters()]
    total = nn.cross_entropy(os, y, reduction="sum")
    each = [nn.cross_entropy(os[t], y[t], reduction="sum") for t in range(T)]
    assert total.item() == pytest.approx(sum(loss.item() for loss in each), rel=1e-14)
    parts = [mg.grad(loss, parameters) for loss in each]
    for k, g in enumerate(mg.grad(total, parameters)):
        assert relative_error(g, sum(part[k] for part in parts)) < 1e-14


def test_c21_the_log_of_the_product_is_the_sum_of_the_logs_until_the_product_underflows() -> None:
    rng, T, classes = np.random.default_rng(0), 400, 50
    logits, y = 3 * rng.standard_normal((T, classes)), rng.integers(0, classes, T)
    total = nn.cross_entropy(logits, y, reduction="sum")
    p = mg.softmax(Tensor(logits)).data[np.arange(T), y]
    assert -math.log(p[:20].prod()) == pytest.approx(nn.cross_entropy(logits[:20], y[:20], reduction="sum"), rel=1e-12)
    assert p.prod() == 0
    assert 745 < total < math.inf
    assert number("C21") == f"{total:.0f} as a sum; the product of {T} probabilities is 0 in float64"


def test_c22_the_gradient_at_the_logits_is_prediction_minus_target_if_targets_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    o, y = Tensor(rng.standard_normal((B, K))), rng.dirichlet(np.ones(K), B)
    p = mg.softmax(o).data
    assert np.abs(mg.grad(nn.cross_entropy(o, y, reduction="sum"), o) - (p - y)).max() < 1e-15
    too_much = 1.8 * y
    g = mg.grad(-(too_much * mg.log_softmax(o)).sum(), o)
    assert np.abs(g - (1.8 * p - too_much)).max() < 1e-15
    assert relative_error(g, p - too_much) > 0.3
    without_minus = mg.grad((y * mg.log_softmax(o)).sum(), o)  # as one source prints it
    assert np.abs(without_minus - (y - p)).max() < 1e-15


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_c23_the_hidden_layer_may_use_tanh_or_relu_and_the_output_a_softmax(activation: str) -> None:
    net, head = nn.RNN(D, H, activation=activation, rng=0), nn.Linear(H, K, rng=1)
    hs, _ = net(normal(6, B, D))
    f = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[activation]
    before = np.concatenate([np.zeros((1, B, H)), hs.data[:-1]])
    assert_same(hs.data, f(before @ net.cell.W.data + normal(6, B, D) @ net.cell.U.data + net.cell.b.data), rel=1e-14)
    p = mg.softmax(head(hs)).data
    assert np.abs(p.sum(axis=-1) - 1).max() < 1e-15
    assert (p > 0).all()


def test_c24_the_output_has_a_function_of_its_own_because_that_of_the_hidden_layer_gives_no_probabilities() -> None:
    os = nn.Linear(H, K, rng=1)(nn.RNN(D, H, rng=0)(normal(6, B, D))[0])
    as_hidden, own = os.tanh().data, mg.softmax(os).data
    assert as_hidden.min() < 0
    assert np.abs(as_hidden.sum(axis=-1) - 1).min() > 0.01
    assert np.abs(own.sum(axis=-1) - 1).max() < 1e-15


# ---------------------------------------------------------------------------------------------------- formulas
class Tagger:
    """A net with a loss at every step, and the numbers of its formulas."""

    def __init__(self, T: int = 9) -> None:
        self.T, self.cell, self.head = T, nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1)
        self.x, self.y = normal(T, B, D, seed=2), np.random.default_rng(3).integers(0, K, (T, B))
        self.start = Tensor(normal(B, H, seed=4))
        states, h = [self.start], self.start
        for x in self.x:
            h = self.cell(x, h)
            states.append(h)
        self.states = states[1:]
        self.losses = [nn.cross_entropy(self.head(h), y, reduction="sum")
                       for h, y in zip(self.states, self.y, strict=True)]
        self.loss = sum(self.losses[1:], start=self.losses[0])
        self.h = np.array([h.data for h in states])  # h[t + 1] is the state after step t
        self.slope = 1 - self.h[1:] ** 2
        self.blame = mg.softmax(self.head(self.h[1:])).data - np.eye(K)[self.y]


def test_c32_w_u_and_b_get_the_outer_products_of_the_whole_gradient_at_each_state() -> None:
    net = Tagger()
    at_states = mg.grad(net.loss, net.states)  # of all later losses, not of the step's own alone
    at_z = [g * slope for g, slope in zip(at_states, net.slope, strict=True)]
    W, U, b = mg.grad(net.loss, [net.cell.W, net.cell.U, net.cell.b])
    assert relative_error(W, sum(net.h[t].T @ e for t, e in enumerate(at_z))) < 1e-14
    assert relative_error(U, sum(net.x[t].T @ e for t, e in enumerate(at_z))) < 1e-14
    assert relative_error(b, sum(e.sum(0) for e in at_z)) < 1e-14
    own = [(net.blame[t] @ net.head.V.data.T) * net.slope[t] for t in range(net.T)]
    assert relative_error(W, sum(net.h[t].T @ e for t, e in enumerate(own))) > 0.1


def test_c34_the_double_sum_over_losses_and_steps_is_the_gradient() -> None:
    net = Tagger()
    found = {"W": np.zeros((H, H)), "U": np.zeros((D, H)), "b": np.zeros(H)}
    terms = 0
    for t in range(net.T):
        delta = (net.blame[t] @ net.head.V.data.T) * net.slope[t]
        for k in reversed(range(t + 1)):
            found = {"W": found["W"] + net.h[k].T @ delta, "U": found["U"] + net.x[k].T @ delta,
                     "b": found["b"] + delta.sum(0)}
            terms += 1
            if k:
                delta = (delta @ net.cell.W.data.T) * net.slope[k - 1]
    for name, g in found.items():
        assert relative_error(g, mg.grad(net.loss, getattr(net.cell, name))) < 1e-14
    assert number("C34") == f"{terms} terms for {net.T} steps"


def test_c35_all_that_is_new_in_back_propagation_through_time_is_to_unroll_and_to_sum() -> None:
    net, copies = Tagger(), [nn.RNNCell(D, H, rng=0) for _ in range(9)]
    h, losses = net.start, []
    for x, y, copy in zip(net.x, net.y, copies, strict=True):
        h = copy(x, h)
        losses.append(nn.cross_entropy(net.head(h), y, reduction="sum"))
    sum(losses[1:], start=losses[0]).backward()
    for name in "UWb":
        summed = sum(getattr(copy, name).grad for copy in copies)
        assert relative_error(mg.grad(net.loss, getattr(net.cell, name)), summed) < 1e-14


def test_c50_a_saturated_tanh_is_near_plus_one_or_near_minus_one() -> None:
    for seed in range(5):
        cell = nn.RNNCell(D, 40, rng=seed)
        cell.U.data = 100 * cell.U.data
        h = cell(normal(1, D, seed=seed)).data
        assert (h < -0.99).mean() > 0.2
        assert (h > 0.99).mean() > 0.2
        saturated = np.abs(h) > 0.99
        assert ((1 - h**2)[saturated] < 0.02).all()  # the slope is small at both ends
