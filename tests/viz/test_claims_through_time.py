"""What the sources say of gradients through time, row by row: the derivations, and what is true of vanishing.

`s` and `c` with a number are the rows of the ledger of systems and claims. Numbers come from `viz`, truths from closed
forms in plain NumPy.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, Value, nn, scope
from tests.numerics import relative_error
from viz.flow.jacobians import StepJacobians

D, H, K, B, T = 3, 5, 4, 2, 9


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


class Net:
    """A simple net with an output and a loss at every step; by the engine, and its numbers in plain arrays."""

    def __init__(self, T: int = T, h0: float = 1.0, gain: float | None = None, H: int = H, B: int = B) -> None:
        self.T, self.cell, self.head = T, nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1)
        if gain is not None:
            self.cell.W.data = gain / math.sqrt(H) * normal(H, H, seed=4)
        self.x, self.start = normal(T, B, D, seed=2), Tensor(h0 * normal(B, H, seed=3))
        self.y = np.random.default_rng(5).integers(0, K, (T, B))
        hs, _ = nn.unroll(self.cell, self.x, self.start)
        os = self.head(hs)
        self.hs, self.losses = hs, [nn.cross_entropy(os[t], self.y[t], reduction="sum") for t in range(T)]
        self.loss = nn.cross_entropy(os, self.y, reduction="sum")
        self.parameters = {"U": self.cell.U, "W": self.cell.W, "b": self.cell.b, "V": self.head.V, "d": self.head.d}
        self.h = np.concatenate([self.start.data[None], hs.data])  # h[t + 1] is the state after step t
        self.slope = 1 - self.h[1:] ** 2
        p = np.exp(os.data)
        self.blame = p / p.sum(-1, keepdims=True) - np.eye(K)[self.y]
        self.W, self.V = self.cell.W.data, self.head.V.data

    def z(self) -> list[Any]:
        seen, stack = {self.loss}, [self.loss]
        while stack:
            for x in stack.pop().inputs:
                if x is not None and x not in seen:
                    seen.add(x)
                    stack.append(x)
        return sorted((x for x in seen if x.symbol == "z"), key=lambda node: node.serial)

    def truth(self) -> dict[str, np.ndarray]:
        """S36, back-propagation through time as a recursion."""
        g_h, g = np.zeros_like(self.h[0]), dict.fromkeys("UWbVd", 0.0)
        for t in reversed(range(self.T)):
            g_h = self.blame[t] @ self.V.T + g_h
            e = g_h * self.slope[t]
            g = {"U": g["U"] + self.x[t].T @ e, "W": g["W"] + self.h[t].T @ e, "b": g["b"] + e.sum(0),
                 "V": g["V"] + self.h[t + 1].T @ self.blame[t], "d": g["d"] + self.blame[t].sum(0)}
            g_h = e @ self.W.T
        return g  # type: ignore[return-value]


@pytest.fixture(scope="module")
def net() -> Net:
    return Net()


# ------------------------------------------------------------------------------------------------ derivations
def test_s37_local_errors_are_the_answer_to_an_injected_perturbation(net: Net) -> None:
    """z_k is moved by i·1e-30 in a forward pass that shares no code with the engine; Im L_t / 1e-30 is δ_{t,k}."""
    found = viz.local_errors(net.losses, arrays=True)
    U, b, d = (net.parameters[name].data for name in "Ubd")
    for k, row, unit in ((0, 0, 1), (3, 1, 4), (7, 0, 0)):
        h, injected = net.h[0].astype(complex), []
        for t in range(T):
            z = net.x[t] @ U + h @ net.W + b
            if t == k:
                z[row, unit] += 1e-30j
            h = np.tanh(z)
            o = h @ net.V + d
            injected.append((np.log(np.exp(o).sum(-1)) - o[np.arange(B), net.y[t]]).sum().imag / 1e-30)
        ours = found.arrays[:, k, row, unit]
        assert np.abs(ours - injected).max() <= 1e-15 * np.abs(injected).max()


def test_s37_they_are_what_z_holds_after_the_backward_pass_of_one_loss_alone() -> None:
    net = Net()
    found = viz.local_errors(net.losses, arrays=True)
    z = net.z()
    for node in z:
        node.retain_grad()
    net.losses[6].backward()
    for k in range(7):
        np.testing.assert_array_equal(found.arrays[6, k], z[k].grad)


def test_s37_the_double_sum_is_the_recursion(net: Net) -> None:
    delta, truth = viz.local_errors(net.losses, arrays=True).arrays, net.truth()
    pairs = [(t, k) for t in range(T) for k in range(t + 1)]
    assert relative_error(sum(net.h[k].T @ delta[t, k] for t, k in pairs), truth["W"]) < 1e-15
    assert relative_error(sum(net.x[k].T @ delta[t, k] for t, k in pairs), truth["U"]) < 1e-15
    assert relative_error(sum(delta[t, k].sum(0) for t, k in pairs), truth["b"]) < 1e-15


def test_s38_the_expansion_in_products_of_jacobians_is_the_recursion(net: Net) -> None:
    """∂L_t/∂W = Σ_k h_{k-1}ᵀ (∂L_t/∂z_t P_{t-1}ᵀ ⋯ P_kᵀ), where P_k = ∂z_{k+1}/∂z_k comes from the graph."""
    P = [viz.step_jacobians(net.z(), batch=row).arrays for row in range(B)]
    whole = np.zeros_like(net.W)
    for t in range(T):
        share = np.zeros_like(net.W)
        for row in range(B):
            back = (net.blame[t, row] @ net.V.T) * net.slope[t, row]
            for k in reversed(range(t + 1)):
                if k < t:
                    back = back @ P[row][k].T
                share += np.outer(net.h[k, row], back)
        assert relative_error(mg.grad(net.losses[t], net.cell.W), share) < 1e-14
        whole += share
    assert relative_error(whole, net.truth()["W"]) < 1e-15


@pytest.mark.parametrize(("T", "wrong"), [(1, 0.0), (2, 0.05), (5, 0.05), (20, 0.05)])
def test_s39_the_trace_derivation_as_printed_is_exact_for_one_step_only(T: int, wrong: float) -> None:
    """It takes dL/dh_t as Vᵀ dL/do_t alone: back-propagation truncated to a window of one step, the shares of lag 0."""
    net = Net(T)
    printed = sum(net.h[t].T @ ((net.blame[t] @ net.V.T) * net.slope[t]) for t in range(T))
    h, losses = net.start, []
    for t in range(T):
        with scope(step=t):
            h = net.cell(net.x[t], h.detach())
            losses.append(nn.cross_entropy(net.head(h), net.y[t], reduction="sum"))
    truncated = mg.grad(sum(losses[1:], start=losses[0]), net.cell.W)
    assert relative_error(truncated, printed) < 1e-13
    lag_0 = viz.shares(net.losses, {"W": net.cell.W}, by="lag")["W"].arrays[0]
    assert relative_error(lag_0, printed) < 1e-13
    true = net.truth()["W"]
    error = np.linalg.norm(printed - true) / np.linalg.norm(true)
    assert error > wrong if wrong else error < 1e-15


def test_c2_the_gradient_of_a_shared_weight_is_the_sum_over_its_copies_which_cancel_in_part(net: Net) -> None:
    copies = [Tensor(net.W) for _ in range(T)]
    h, losses = net.start, []
    for t in range(T):
        h = (Tensor(net.x[t]) @ net.cell.U + h @ copies[t] + net.cell.b).tanh()
        losses.append(nn.cross_entropy(net.head(h), net.y[t], reduction="sum"))
    untied = mg.grad(sum(losses[1:], start=losses[0]), copies)
    shares = viz.shares(net.loss, {"W": net.cell.W})["W"]
    for t, g in enumerate(untied):
        assert relative_error(shares.arrays[t], g) < 1e-12
    assert relative_error(sum(untied), mg.grad(net.loss, net.cell.W)) < 1e-14
    assert 0 < shares.cancellation() < 0.9


def test_c25_the_output_weights_see_the_current_step_only_but_all_the_terms_are_needed(net: Net) -> None:
    by_lag, by_step = (f(net.loss, {"V": net.head.V})["V"] for f in (partial(viz.shares, by="lag"), viz.shares))
    assert not by_lag.arrays[1:].any()
    for t in range(T):
        assert relative_error(by_step.arrays[t], net.h[t + 1].T @ net.blame[t]) < 1e-12
        assert relative_error(by_step.arrays[t], by_step.total) > 0.3


def test_c26_the_gradients_of_w_u_and_b_take_the_losses_of_all_later_steps_not_two() -> None:
    net = Net(gain=1.2)
    errors = viz.local_errors(net.loss)
    assert (errors.norms[errors.reached] > 1e-6).all()
    for name, shares in viz.shares(net.loss, {name: net.parameters[name] for name in "UWb"}, by="lag").items():
        assert relative_error(shares.arrays[:2].sum(0), net.truth()[name]) > 0.1


def test_c27_c28_the_gradient_at_a_state_has_a_second_term_from_the_next_step(net: Net) -> None:
    total = mg.grad(net.loss, net.hs)
    by_state = viz.local_errors(net.loss, at="h", arrays=True).arrays.sum(axis=0)
    for t in range(T):
        direct = net.blame[t] @ net.V.T
        through = ((by_state[t + 1] * net.slope[t + 1]) @ net.W.T) if t < T - 1 else 0.0
        assert relative_error(by_state[t], direct + through) < 1e-13
        assert relative_error(total[t], direct) < 1e-13  # hs, the stack of outputs, gets the direct term
        assert t == T - 1 or relative_error(direct, by_state[t]) > 0.01


def test_c29_c30_the_slope_comes_before_the_matrix(net: Net) -> None:
    by_state = viz.local_errors(net.loss, at="h", arrays=True).arrays.sum(axis=0)
    t = 4
    right = net.blame[t] @ net.V.T + (by_state[t + 1] * net.slope[t + 1]) @ net.W.T
    wrong = net.blame[t] @ net.V.T + (by_state[t + 1] @ net.W.T) * net.slope[t + 1]
    assert relative_error(right, by_state[t]) < 1e-14
    assert relative_error(wrong, by_state[t]) > 0.01
    by_z = viz.local_errors(net.loss, arrays=True).arrays.sum(axis=0)
    assert relative_error(by_z[t], by_state[t] * net.slope[t]) < 1e-14


def test_c31_the_jacobian_of_tanh_is_diagonal(net: Net) -> None:
    z = net.z()[2]
    h = mg.tanh(z)
    [J] = viz.step_jacobians([z, h], batch=1).arrays
    assert relative_error(np.diag(J), 1 - np.tanh(z.data[1]) ** 2) < 1e-15
    assert not (J - np.diag(np.diag(J))).any()


def test_c33_the_recursion_of_the_local_errors(net: Net) -> None:
    delta = viz.local_errors(net.losses, arrays=True).arrays
    for t in range(T):
        assert relative_error(delta[t, t], (net.blame[t] @ net.V.T) * net.slope[t]) < 1e-14
        for k in range(t):
            assert relative_error(delta[t, k], (delta[t, k + 1] @ net.W.T) * net.slope[k]) < 1e-14


@pytest.mark.parametrize(("h0", "terms"), [(0.0, 8), (1.0, 9)])
def test_c36_c37_how_many_terms_the_gradient_has_depends_on_the_first_state(h0: float, terms: int) -> None:
    net = Net(9, h0)
    found = viz.shares(net.losses[-1], {name: net.parameters[name] for name in "UWb"})
    assert [(found[name].norms > 0).sum() for name in "UWb"] == [9, terms, 9]
    for k in range(9):
        delta = viz.local_errors({8: net.losses[-1]}, arrays=True).arrays[0, k]
        assert np.abs(found["W"].arrays[k] - net.h[k].T @ delta).max() < 1e-16


def test_c38_the_gradient_depends_on_the_outputs_and_the_chain_of_jacobians_does_not(net: Net) -> None:
    other = nn.Linear(H, K, rng=1)
    other.V.data, other.d.data = -3 * net.V, net.head.d.data
    loss = nn.cross_entropy(other(net.hs), net.y, reduction="sum")
    before, after = mg.grad(net.loss, net.cell.W), mg.grad(loss, net.cell.W)
    assert relative_error(after, before) > 0.5
    np.testing.assert_array_equal(viz.step_jacobians(loss).arrays, viz.step_jacobians(net.loss).arrays)


def test_c39_c40_c41_the_chain_is_the_product_of_w_and_slopes_in_turn_and_they_do_not_commute(net: Net) -> None:
    z = net.z()
    P = viz.step_jacobians(z, batch=1)
    whole = np.eye(H)
    for k in range(T - 1):
        assert relative_error(P.arrays[k], np.diag(net.slope[k, 1]) @ net.W) < 1e-15
        whole = whole @ np.diag(net.slope[k, 1]) @ net.W
    columns = [mg.grad(z[-1], z[0], seed=np.eye(B)[:, [1]] * np.eye(H)[k])[1] for k in range(H)]
    assert relative_error(P.product(), np.array(columns).T) < 1e-14
    assert relative_error(P.product(), whole) < 1e-14
    for n in (2, 4, 7):
        true = np.linalg.multi_dot([np.eye(H), *P.arrays[:n]])
        sorted_apart = np.diag(net.slope[:n, 1].prod(axis=0)) @ np.linalg.matrix_power(net.W, n)
        assert relative_error(sorted_apart, true) > 0.1


def test_c42_each_chain_is_a_product_and_the_gradient_of_a_weight_is_a_sum_of_them(net: Net) -> None:
    W = viz.shares(net.loss, {"W": net.cell.W}, by="lag")["W"]
    assert (W.norms > 0).all()
    assert relative_error(W.arrays.sum(0), net.truth()["W"]) < 1e-14
    assert max(relative_error(share, W.total) for share in W.arrays) > 0.9


def test_c59_c60_from_the_last_state_to_an_earlier_one_with_a_loss_at_the_end_alone(net: Net) -> None:
    g = normal(B, H, seed=8)
    z = net.z()
    states = [node for node in ancestors_of(net.loss) if node.symbol == "h"]
    assert len(states) == len(z) == T
    found, back = mg.grad(states[-1], states[2], seed=g), g
    for k in reversed(range(3, T)):  # descending: the last step first
        back = (back * net.slope[k]) @ net.W.T
    assert relative_error(found, back) < 1e-14
    ascending, transposed = g, g
    for k in range(3, T):
        ascending = (ascending * net.slope[k]) @ net.W.T
    for k in reversed(range(3, T)):
        transposed = (transposed * net.slope[k]) @ net.W
    assert relative_error(ascending, back) > 0.01
    assert relative_error(transposed, back) > 0.1
    with_losses = viz.local_errors(net.loss, at="h", arrays=True).arrays.sum(axis=0)[2]
    assert relative_error(with_losses, back) > 0.1  # with a loss at every step, each adds its own


def ancestors_of(root: Any) -> list[Any]:
    seen, stack = {root}, [root]
    while stack:
        for x in stack.pop().inputs:
            if x is not None and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(seen, key=lambda node: node.serial)


# ------------------------------------------------------------------------------------------------ vanish and explode
def of(*matrices: Any) -> StepJacobians:
    arrays = np.array(matrices, dtype=float)
    return StepJacobians(("h",), (arrays.shape[1],), tuple(range(len(arrays))), arrays)


def simple(gain: float, activation: str, *, H: int = 100, T: int = 200, seed: int = 0) -> StepJacobians:
    """A wide random net without input, W of standard deviation gain/√H, started at random."""
    rng = np.random.default_rng(seed)
    W, h = gain / math.sqrt(H) * rng.standard_normal((H, H)), rng.standard_normal(H)
    matrices = []
    for _ in range(T):
        z = h @ W
        h = np.tanh(z) if activation == "tanh" else np.maximum(z, 0)
        if activation == "relu":
            h = h / max(np.linalg.norm(h), 1e-300)  # ReLU's slopes do not see the scale; this keeps it finite
        matrices.append(W * (1 - h**2 if activation == "tanh" else h > 0))
    return of(*matrices)


def test_c43_eigenvalues_below_one_explode_inside_a_tanh_net() -> None:
    """W swaps and doubles, inputs let the slopes alternate: every radius is .894, and the product of 40 is 1.1e12."""
    W = np.array([[0.0, 2.0], [2.0, 0.0]])
    h: Any = Tensor([[0.0, math.sqrt(0.8)]])
    states = [h]
    for k in range(40):  # the input is chosen so that the slope of one unit is 1 and of the other .2
        wanted = np.array([0.0, math.sqrt(0.8)])[:: 1 if k % 2 else -1]
        h = (h @ W + (np.arctanh(wanted) - h.data @ W)).tanh()
        states.append(h)
    found = viz.step_jacobians(states)
    assert found.spectral_radii() == pytest.approx(np.full(40, math.sqrt(0.8)), rel=1e-9)
    assert 10 ** found.transport()[-1] == pytest.approx(2.0**40, rel=1e-9)


def test_c43_eigenvalues_above_one_vanish() -> None:
    found = of(*[1.5 * np.diag(d) for _ in range(20) for d in ((1, 0.1), (0.1, 1))])
    assert (found.spectral_radii() == 1.5).all()
    assert 10 ** found.transport()[-1] == pytest.approx(1.1e-13, rel=0.05)


def test_c43_c46_a_product_may_grow_before_it_vanishes() -> None:
    found = of(*[np.array([[0.9, 10.0], [0.0, 0.9]])] * 200)
    assert found.spectral_radii()[0] == pytest.approx(0.9)
    assert 10 ** found.transport()[10] == pytest.approx(38.7, rel=0.01)
    assert 10 ** found.transport()[200] == pytest.approx(1.6e-6, rel=0.05)
    assert (np.diff(found.transport()) > 0).any()


def test_c43_the_bound_by_singular_values_is_never_broken() -> None:
    checked = 0
    for seed in range(20):
        cell = nn.RNNCell(D, H, rng=seed)
        cell.W.data = (0.3 + 0.15 * seed) * cell.W.data
        hs, _ = nn.unroll(cell, normal(12, B, D, seed=seed), Tensor(normal(B, H, seed=seed)))
        found = viz.step_jacobians(hs.sum())
        truth, norms, bound = found.transport(), found.product_of_norms(), found.bound(cell.W)
        assert (truth <= norms + 1e-12).all()
        assert (norms <= bound + 1e-12).all()
        if bound[1] < 0:  # sufficient for vanishing
            assert truth[-1] < bound[-1] + 1e-12 < 0
        checked += len(truth)
    assert checked == 260


def test_c44_single_terms_of_long_lag_vanish_and_the_total_does_not() -> None:
    net = Net(100, gain=0.5, H=20)
    W = viz.shares(net.loss, {"W": net.cell.W}, by="lag")["W"]
    norms = dict(zip(W.keys, W.norms, strict=True))
    total = np.linalg.norm(W.total)
    assert norms[50] < 1e-12 * norms[0]
    assert 0.2 < total / norms[0] < 5
    line = np.log([norms[k] for k in range(1, 40)])
    assert np.polyfit(np.arange(1, 40), line, 1)[0] < math.log(0.8)


def test_c45_the_whole_gradient_can_be_zero_although_its_terms_are_not() -> None:
    """Scalar tanh net, w = .6, x = (.8, x_2, .3): for one x_2 the two terms of dL_3/dw cancel."""
    def states(x_2: float) -> tuple[float, float]:
        h_1 = math.tanh(0.8)
        return h_1, math.tanh(0.6 * h_1 + x_2)

    low, high = -2.0, 0.0
    for _ in range(200):  # dz_3/dw = h_2 + w (1 - h_2²) h_1 grows with x_2 here
        middle = (low + high) / 2
        h_1, h_2 = states(middle)
        low, high = (low, middle) if h_2 + 0.6 * (1 - h_2**2) * h_1 > 0 else (middle, high)
    w, h = Value(0.6, label="w"), Value(0.0)
    for t, x in enumerate((0.8, low, 0.3)):
        with scope("neuron", step=t):
            h = (w * h + x).tanh()
    found = viz.shares((h - 1) ** 2, {"w": w})["w"]
    assert states(low) == (pytest.approx(0.664, abs=1e-3), pytest.approx(-0.350, abs=1e-3))
    assert abs(float(found.total)) < 1e-15
    assert sorted(found.norms)[1] > 0.1
    assert found.cancellation() < 1e-14
    assert ((h - 1) ** 2).data > 0.1  # and there is something to learn


@pytest.mark.parametrize(("gain", "explodes"), [(0.5, False), (3.0, True)])
def test_c47_when_it_explodes_the_earlier_steps_get_more(gain: float, explodes: bool) -> None:
    ratios = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        cell = nn.RNNCell(2, 60, rng=seed)
        cell.W.data = gain / math.sqrt(60) * rng.standard_normal((60, 60))
        _, h = nn.unroll(cell, 0.1 * rng.standard_normal((50, 1, 2)))
        errors = viz.local_errors((h * rng.standard_normal((1, 60))).sum())
        ratios.append(errors.at(49, 0) / errors.at(49, 49))
    assert (np.median(ratios) > 1e3) == explodes
    assert (np.median(ratios) < 1e-3) != explodes


def test_c48_with_tanh_the_jacobian_has_no_bound_but_that_of_w() -> None:
    for u in (0.5, 3.0, 50.0):
        w, h = Tensor([[u]]), Tensor([[0.0]])
        assert viz.step_jacobians([h, (h @ w).tanh()]).arrays.item() == u  # at h = 0 it is U itself
    h_ = 0.2
    slopes = {u: u * (1 - math.tanh(u * h_) ** 2) for u in np.linspace(0.1, 20, 4000)}
    best = max(slopes, key=lambda u: slopes[u])
    assert slopes[best] == pytest.approx(0.4477 / h_, rel=1e-3)
    assert best * h_ == pytest.approx(0.7717, abs=2e-3)
    for u, P in ((1.5, 0.394), (3.0, 0.0305), (10.0, 8.2e-8)):  # at the fixed point that is not 0
        h = 1.0
        for _ in range(500):
            h = math.tanh(u * h)
        at = Tensor([[h]])
        assert viz.step_jacobians([at, (at @ Tensor([[u]])).tanh()]).arrays.item() == pytest.approx(P, rel=0.02)


@pytest.mark.parametrize(("gain", "rate"), [(2, 0.109), (3, 0.282), (10, 0.751)])
def test_c48_a_wide_random_tanh_net_explodes_all_the_same(gain: float, rate: float) -> None:
    rates = [simple(gain, "tanh", seed=seed).lyapunov(1)[0] for seed in range(3)]
    assert np.mean(rates) == pytest.approx(rate, abs=0.08)
    assert min(rates) > 0


def test_c49_relu_explodes_more_than_tanh_at_large_gain_and_vanishes_faster_at_small() -> None:
    rate = {(gain, f): np.mean([simple(gain, f, seed=seed).lyapunov(1)[0] for seed in range(4)])
            for gain in (0.9, 3.0) for f in ("tanh", "relu")}
    assert rate[0.9, "relu"] < rate[0.9, "tanh"] - 0.1 < 0
    assert rate[3.0, "relu"] > rate[3.0, "tanh"] + 0.1 > 0
    assert rate[0.9, "relu"] == pytest.approx(math.log(0.9 / math.sqrt(2)), abs=0.12)


def test_c51_what_keeps_gradients_is_orthogonality_not_a_radius_of_one() -> None:
    rng = np.random.default_rng(0)
    Q, G = nn.init.orthogonal(rng, (50, 50)), rng.standard_normal((50, 50))
    G /= np.abs(np.linalg.eigvals(G)).max()
    kept, scaled = of(*[Q] * 100), of(*[G] * 100)
    assert kept.transport()[-1] == pytest.approx(0, abs=1e-12)
    assert kept.product_singular_values()[-1] == pytest.approx(np.zeros(50), abs=1e-12)
    assert scaled.spectral_radii()[0] == pytest.approx(1)
    assert scaled.singular_values()[0, 0] > 1.5
    logs = scaled.product_singular_values()[-1]
    assert np.isnan(logs).sum() + (logs < -6).sum() > 40


@pytest.mark.parametrize("W", [
    [[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]], [[0, 1], [1, 0]], [[1, 0], [0, 0]], [[1, 0], [0, 0.5]],
])  # fmt: skip
def test_c53_powers_of_a_matrix_that_is_not_the_identity_may_keep_their_norm(W: Any) -> None:
    assert of(*[W] * 1000).transport()[-1] == pytest.approx(0, abs=1e-11)


def test_c55_a_relu_net_with_large_weights_overflows_and_one_with_the_identity_does_not() -> None:
    cell = nn.RNNCell(D, 100, activation="relu", rng=0)
    cell.W.data = 0.25 * normal(100, 100)
    largest = np.abs(nn.unroll(cell, normal(400, 1, D))[0].data).max()
    identity = nn.IRNNCell(D, 100, rng=0)
    assert largest > 1e80
    assert np.abs(nn.unroll(identity, normal(400, 1, D))[0].data).max() < 1e3


def test_c56_no_slope_is_above_one_so_only_w_can_explode() -> None:
    z = np.linspace(-5, 5, 1001)
    for f, most in ((mg.tanh, 1.0), (mg.sigmoid, 0.25), (mg.relu, 1.0)):
        x = Tensor(z)
        assert mg.grad(f(x).sum(), x).max() == pytest.approx(most, abs=1e-12)
    hs, _ = nn.unroll(cell := nn.RNNCell(D, H, activation="relu", rng=0), normal(30, B, D), Tensor(np.ones((B, H))))
    found = viz.step_jacobians(hs.sum())
    assert (found.singular_values()[:, 0] <= np.linalg.norm(cell.W.data, 2) * (1 + 1e-12)).all()


def test_c57_whether_vanishing_is_common_depends_on_the_first_weights() -> None:
    radii, stretches = [], []
    for seed in range(30):
        W = nn.RNNCell(D, 50, rng=seed).W.data
        radii.append(np.abs(np.linalg.eigvals(W)).max())
        stretches.append(np.linalg.norm(W, 2))
    assert np.mean(radii) == pytest.approx(0.61, abs=0.03)
    assert max(radii) < 0.75
    assert np.mean(stretches) == pytest.approx(1.12, abs=0.05)
    assert simple(3.0, "tanh").transport()[49] > 2
