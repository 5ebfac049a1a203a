"""Claims about vanishing and exploding gradients, and about the cures that need no gates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from demos.experiments import cliff
from microgradrnn import Tensor, nn, optim
from tests.claims.ledger import number
from tests.nn.systems import jacobian, marked
from tests.numerics import assert_same, relative_error

D, H, B = 3, 5, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_c43_the_largest_eigenvalue_says_nothing_of_a_gradient_in_another_eigenspace() -> None:
    """W has the eigenvalues 1.2 and 0.5, and the loss reads the unit of the second one alone."""
    T = 51
    cell = nn.RNNCell(D, 2, activation=lambda z: z, rng=0)
    cell.W.data = np.diag([1.2, 0.5])
    h0 = Tensor(normal(1, 2))
    _, h = nn.unroll(cell, normal(T, 1, D), h0)
    first = marked(h, "h")[0]
    for unit, factor in ((0, 1.2), (1, 0.5)):
        g = mg.grad(h[0, unit], first)
        assert np.linalg.norm(g) == pytest.approx(factor**50, rel=1e-12)
    assert number("C43") == f"eigenvalue 1.2, and after 50 steps the gradient is {0.5**50:.1e}"
    assert viz.step_jacobians(h.sum()).spectral_radii() == pytest.approx(np.full(T, 1.2))


def test_c43_the_product_runs_in_the_order_of_the_steps() -> None:
    """Steps that do not commute: a shear one way, then a shear the other way; their order is seen in the norm."""
    shears = np.array([[[1.0, 2.0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [3, 0, 1]],
                       [[0.5, 0, 0], [4, 1, 1], [0, 0, 2]]])
    h: Any = Tensor(np.array([[0.3, -0.2, 0.5]]))
    states = [h]
    for J in shears:  # linear steps whose Jacobians these are
        h = h @ J
        states.append(h)
    found = viz.step_jacobians(states)
    np.testing.assert_array_equal(found.arrays, shears)
    for k in range(4):  # rows: dh_T = dh_{T-k} J_{T-k+1} ... J_T
        back = jacobian(states[-1], states[3 - k]).T if k else np.eye(3)
        assert 10 ** found.transport()[k] == pytest.approx(np.linalg.norm(back, 2), rel=1e-12)
        assert_same(np.linalg.multi_dot([np.eye(3), np.eye(3), *shears[3 - k :]]), back, rel=1e-14)
    turned = np.linalg.multi_dot(shears[::-1])
    assert relative_error(found.product(), turned) > 0.1
    assert abs(np.linalg.norm(found.product(), 2) / np.linalg.norm(turned, 2) - 1) > 0.1


def test_c52_a_relu_net_whose_units_are_all_on_multiplies_by_a_power_of_w() -> None:
    T = 12
    cell = nn.RNNCell(D, H, activation="relu", rng=0)
    cell.W.data, cell.U.data, cell.b.data = np.abs(cell.W.data), np.abs(cell.U.data), np.abs(cell.b.data)
    h0 = Tensor(np.abs(normal(1, H)))
    _, h = nn.unroll(cell, np.abs(normal(T, 1, D)), h0)
    assert_same(jacobian(h, h0).T, np.linalg.matrix_power(cell.W.data, T), rel=1e-13)
    cell.b.data = cell.b.data - 2
    _, h = nn.unroll(cell, np.abs(normal(T, 1, D)), h0)
    assert relative_error(jacobian(h, h0).T, np.linalg.matrix_power(cell.W.data, T)) > 0.5  # some units are off


def test_c58_beside_a_cliff_one_step_of_descent_throws_the_parameters_far_away() -> None:
    plain, clipped = cliff.descend(None), cliff.descend(1.0)
    assert number("C58") == f"one step of length {plain.longest:.0f}; {clipped.longest:.1f} with clipping"
    assert np.linalg.norm(plain.points[-1] - cliff.START) > 10
    assert plain.losses[-1] > 1000 * clipped.losses.min()


def gradient_of(cell: Any, loss: Any) -> np.ndarray:
    return np.concatenate([g.ravel() for g in mg.grad(loss, cell.parameters())])


def exploding(seed: int) -> tuple[Any, np.ndarray]:
    """A net with large weights, and its gradient."""
    cell = nn.RNNCell(D, 30, rng=seed)
    cell.W.data = 3 / math.sqrt(30) * normal(30, 30, seed=seed)
    _, h = nn.unroll(cell, 0.1 * normal(40, B, D, seed=seed))
    (h * normal(B, 30, seed=seed + 1)).sum().backward()
    return cell, np.concatenate([p.grad.ravel() for p in cell.parameters()])


def test_c62_clipping_by_norm_keeps_the_direction_and_cutting_every_entry_changes_it() -> None:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    for seed in range(5):
        cell, before = exploding(seed)
        assert np.linalg.norm(before) > 100
        assert optim.clip_grad_norm(cell.parameters(), 1.0) == pytest.approx(np.linalg.norm(before))
        after = np.concatenate([p.grad.ravel() for p in cell.parameters()])
        assert np.linalg.norm(after) == pytest.approx(1.0, rel=1e-12)
        assert cosine(before, after) == pytest.approx(1.0, abs=1e-12)
        cell, before = exploding(seed)
        optim.clip_grad_value(cell.parameters(), 0.1)
        entrywise = np.concatenate([p.grad.ravel() for p in cell.parameters()])
        assert np.abs(entrywise).max() == 0.1
        assert cosine(before, entrywise) < 0.95


def test_c62_clipping_leaves_a_vanishing_gradient_as_it_is() -> None:
    cell, T = nn.RNNCell(D, 30, rng=0), 40
    cell.W.data = 0.3 / math.sqrt(30) * normal(30, 30)
    h0 = Tensor(normal(B, 30))
    _, h = nn.unroll(cell, 0.1 * normal(T, B, D), h0)
    (0.1 * h * normal(B, 30, seed=1)).sum().backward()
    before = [p.grad.copy() for p in (*cell.parameters(), h0)]
    optim.clip_grad_norm([*cell.parameters(), h0], 100.0)
    for p, g in zip((*cell.parameters(), h0), before, strict=True):
        np.testing.assert_array_equal(p.grad, g)
    assert np.linalg.norm(h0.grad) < 1e-15


def test_c63_weight_decay_shrinks_the_matrix_so_slowly_that_the_first_gradient_still_explodes() -> None:
    """It changes no gradient at once. Over many updates it makes W smaller, and what reaches back less."""
    def log_ratio(W: np.ndarray) -> float:
        """log10 of what 30 steps make of a gradient."""
        cell = nn.RNNCell(D, 30, rng=0)
        cell.W.data = W
        h0 = Tensor(0.1 * normal(1, 30))
        _, h = nn.unroll(cell, 0.1 * normal(30, 1, D), h0)
        g = normal(1, 30, seed=5)
        return math.log10(np.linalg.norm(mg.grad(h, h0, seed=g)) / np.linalg.norm(g))

    for gain, explodes in ((2.5, True), (0.7, False)):
        W = nn.Parameter(gain / math.sqrt(30) * normal(30, 30))
        sgd = optim.SGD([W], lr=0.1, weight_decay=0.1)
        ratios = []
        for n in range(101):
            if n in (0, 1, 100):
                ratios.append(log_ratio(W.data))
            W.grad = np.zeros((30, 30))
            sgd.step()
        assert (ratios[0] > 1) == explodes
        assert (ratios[1] > 1) == explodes  # after one update it explodes as before
        assert ratios[2] < ratios[0] - 1  # after a hundred it does not; and where it vanished, it vanishes more
    assert np.linalg.norm(W.data) / (0.7 / math.sqrt(30) * np.linalg.norm(normal(30, 30))) == pytest.approx(0.99**101)


def test_c64_relu_instead_of_tanh_makes_a_gradient_at_gain_one_vanish_faster_and_a_gate_keeps_it() -> None:
    """What is left of a gradient after 50 steps: the median of ten nets."""
    def left(make: Any, part: int) -> float:
        found = []
        for seed in range(10):
            cell, rng = make(seed), np.random.default_rng(seed)
            cell.W.data = rng.standard_normal(cell.W.shape) / math.sqrt(30)
            first = tuple(Tensor(0.1 * rng.standard_normal((1, 30))) for _ in cell.state)
            _, last = nn.unroll(cell, 0.1 * rng.standard_normal((50, 1, D)), first if part else first[0])
            g = rng.standard_normal((1, 30))
            back = mg.grad(last[part] if part else last, first[part], seed=g)
            found.append(np.linalg.norm(back) / np.linalg.norm(g))
        return float(np.median(found))

    tanh = left(lambda seed: nn.RNNCell(D, 30, rng=seed), 0)
    relu = left(lambda seed: nn.RNNCell(D, 30, activation="relu", rng=seed), 0)
    lstm = left(lambda seed: nn.LSTMCell(D, 30, forget_bias=3.0, rng=seed), 1)
    assert relu < 1e-3 * tanh
    assert tanh < 0.5 * lstm


def test_c65_a_residual_net_in_depth_is_the_additive_recurrence_in_time_with_weights_of_its_own() -> None:
    T = 6
    shared, h0 = nn.AdditiveCell(D, H, reads_state=True, rng=0), normal(B, H)
    x = normal(B, D)
    blocks = [nn.Linear(D + H, H, rng=k) for k in range(T)]
    for block in blocks:
        block.V.data, block.d.data = np.concatenate([shared.U.data, shared.W.data]), shared.b.data
    h: Any = Tensor(h0)
    for block in blocks:
        h = h + block(mg.concat([x, h], axis=-1)).tanh()
    _, last = nn.unroll(shared, np.repeat(x[None], T, axis=0), h0)
    assert_same(h.data, last.data, rel=1e-14)


def test_c108_a_contracting_net_loses_what_it_read_early() -> None:
    T = 60
    for seed in range(5):
        cell = nn.RNNCell(D, H, rng=seed)
        cell.W.data = 0.8 * nn.init.orthogonal(seed, (H, H))
        x = Tensor(normal(T, 1, D, seed=seed))
        _, h = nn.unroll(cell, x)
        sizes = np.linalg.norm(mg.grad(h, x, seed=normal(1, H, seed=seed)), axis=(1, 2))
        assert sizes[0] < 0.8**50 * sizes[-1]


# ---------------------------------------------------------------------------------------------------- additivity
def test_c66_adding_a_function_of_the_input_loses_no_gradient_and_loses_the_order() -> None:
    T = 300
    cell, h0, xs = nn.AdditiveCell(D, H, rng=0), Tensor(normal(1, H)), normal(T, 1, D)
    _, h = nn.unroll(cell, xs, h0)
    np.testing.assert_array_equal(jacobian(h, h0), np.eye(H))
    np.testing.assert_array_equal(jacobian(h, marked(h, "h")[0]), np.eye(H))
    _, other = nn.unroll(cell, np.random.default_rng(1).permutation(xs), h0)
    assert relative_error(other.data, h.data) < 1e-13


def test_c67_adding_a_function_of_the_state_too_may_grow_or_vanish() -> None:
    T = 100
    largest, smallest = [], []
    for seed in range(3):
        cell = nn.AdditiveCell(D, 20, reads_state=True, rng=seed)
        cell.W.data = normal(20, 20, seed=seed) / math.sqrt(20)
        h0 = Tensor(0.1 * normal(1, 20, seed=seed))
        h = nn.unroll(cell, 0.1 * normal(T, 1, D, seed=seed), h0)[1]
        values = np.linalg.svd(jacobian(h, h0))[1]
        largest.append(values[0])
        smallest.append(values[-1])
    assert min(largest) > 3
    assert max(smallest) < 0.1
    cell = nn.AdditiveCell(D, H, reads_state=True, bias=False, rng=0)
    cell.W.data = -0.5 * np.eye(H)
    h0 = Tensor(np.zeros((1, H)))
    h = nn.unroll(cell, np.zeros((T, 1, D)), h0)[1]
    assert_same(np.diag(jacobian(h, h0)) / 0.5**T, np.ones(H), rel=1e-12)
    assert number("C67") == f"with W = -I/2 the gradient is {0.5**T:.0e} after {T} steps"


def growth(cell: Any) -> float:
    """The exponent p in |h_t| ~ t^p, from the mean over 100 sequences."""
    xs = np.random.default_rng(0).standard_normal((800, 100, D))
    with mg.no_grad():
        sizes = np.linalg.norm(nn.unroll(cell, xs)[0].data, axis=-1).mean(axis=-1)
    t = np.array([99, 799])
    return float(np.diff(np.log(sizes[t])).item() / np.diff(np.log(t + 1)).item())


def test_c68_an_additive_state_grows_with_time_and_gates_bound_that_of_a_gru_but_not_that_of_an_lstm() -> None:
    biased, balanced = nn.AdditiveCell(D, H, rng=0), nn.AdditiveCell(D, H, bias=False, rng=0)
    biased.b.data = np.full(H, 0.5)
    assert growth(biased) == pytest.approx(1.0, abs=0.05)
    assert growth(balanced) == pytest.approx(0.5, abs=0.1)

    gru = nn.GRUCell(D, H, rng=0)
    gru.W.data = 8 * normal(H, 3 * H)
    for size in (0.3, 3.0):
        h0 = size * np.sign(normal(B, H))
        hs, _ = nn.unroll(gru, 3 * normal(300, B, D), h0)
        assert np.abs(hs.data).max() <= max(1.0, size)

    lstm = nn.LSTMCell(D, H, rng=0)
    b = np.full(4 * H, 1e3)  # all gates are 1, and so is the candidate
    lstm.b.data = b
    _, (_, c) = nn.unroll(lstm, normal(200, B, D))
    np.testing.assert_array_equal(c.data, np.full((B, H), 200.0))
    b[H : 2 * H] = math.log(9)  # f = 0.9
    lstm.b.data, lstm.U.data, lstm.W.data = b, 0 * lstm.U.data, 0 * lstm.W.data
    _, (_, c) = nn.unroll(lstm, normal(2000, B, D))
    assert np.abs(c.data).max() == pytest.approx(10, rel=1e-6)
    assert number("C68") == "t^1.0 with a mean, t^0.5 without; |c| = 200 after 200 steps of an LSTM"
