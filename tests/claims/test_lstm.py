"""Claims about the LSTM: its equations, its gates, and what it promises and keeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.claims.ledger import number
from tests.nn.systems import ancestors, jacobian, marked
from tests.numerics import assert_same, relative_error

D, H, K, B = 3, 5, 4, 2
BLOCKS = {name: slice(k * H, (k + 1) * H) for k, name in enumerate("ifgo")}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def with_biases(cell: Any, **values: float) -> Any:
    """The cell with the biases of some gates set: i, f, g, o."""
    b = np.array(cell.b.data)
    for name, value in values.items():
        b[BLOCKS[name]] = value
    cell.b.data = b
    return cell


def test_c69_a_candidate_that_reads_h_t_would_need_its_own_result() -> None:
    """What reads what, as a graph of names: with h_{t-1} it can be put in order, with h_t it cannot."""
    reads = {"i": {"h'"}, "f": {"h'"}, "o": {"h'"}, "g": {"h'"}, "c": {"f", "c'", "i", "g"}, "h": {"o", "c"}}

    def order(reads: dict[str, set[str]]) -> list[str]:
        done: list[str] = []
        while ready := [name for name in reads if name not in done and not (reads[name] & reads.keys()) - set(done)]:
            done += ready
        return done

    assert len(order(reads)) == len(reads)
    printed = {**reads, "g": {"h"}}
    assert sorted(set(printed) - set(order(printed))) == ["c", "g", "h"]  # the circle: g reads h, h reads c, c reads g

    cell, (h0, c0) = nn.LSTMCell(D, H, rng=0), (Tensor(normal(1, H)), Tensor(normal(1, H, seed=1)))
    _, c = cell(normal(1, D), (h0, c0))
    g = marked(c, "g")[-1]
    z = normal(1, D) @ cell.U.data + h0.data @ cell.W.data + cell.b.data
    assert_same(g.data, np.tanh(z[:, BLOCKS["g"]]), rel=1e-14)
    assert c not in ancestors(g)
    assert h0 in ancestors(g)


def test_c70_along_the_cell_alone_the_gradient_is_the_product_of_the_forget_gates() -> None:
    T = 50
    cell, c0 = nn.LSTMCell(D, H, forget_bias=0.0, rng=0), Tensor(normal(1, H))
    cell.W.data = np.zeros((H, 4 * H))
    _, (_, c) = nn.unroll(cell, normal(T, 1, D), (np.zeros((1, H)), c0))
    f = np.array([node.data[0] for node in marked(c, "f")])
    whole = jacobian(c, c0)
    assert f.shape == (T, H)
    np.testing.assert_allclose(np.diag(whole), f.prod(axis=0), rtol=1e-13)
    assert not (whole - np.diag(np.diag(whole))).any()

    cell.W.data = normal(H, 4 * H, seed=1) / math.sqrt(H)  # now the gates read h, and there are more ways
    _, (_, c) = nn.unroll(cell, normal(T, 1, D), (np.zeros((1, H)), c0))
    f = np.array([node.data[0] for node in marked(c, "f")])
    assert np.linalg.norm(jacobian(c, c0), 2) > 10 * f.prod(axis=0).max()


@pytest.mark.parametrize(("bias", "left"), [(0.0, 9e-16), (1.0, 1.6e-7), (2.0, 1.8e-3)])
def test_c71_what_is_left_of_c_after_fifty_steps_depends_on_the_forget_bias(bias: float, left: float) -> None:
    cell, c0 = with_biases(nn.LSTMCell(D, H, rng=0), f=bias), Tensor(normal(1, H))
    cell.W.data, cell.U.data = 0 * cell.W.data, 0 * cell.U.data
    _, (_, c) = nn.unroll(cell, normal(50, 1, D), (np.zeros((1, H)), c0))
    assert np.diag(jacobian(c, c0)) == pytest.approx(np.full(H, left), rel=0.05)
    assert number("C71") == "after 50 steps 9e-16, 2e-7 and 2e-3 for a forget bias of 0, 1 and 2"


def test_c72_the_cell_state_is_a_sum_and_its_jacobian_a_product_without_w() -> None:
    T = 12
    cell, c0 = nn.LSTMCell(D, H, rng=0), Tensor(normal(1, H))
    states: list[Any] = [(np.zeros((1, H)), c0)]
    for x in normal(T, 1, D):
        states.append(cell(x, states[-1]))
    c = states[-1][1]
    f, i, g = (np.array([node.data[0] for node in marked(c, name)]) for name in "fig")
    kept = np.array([f[t + 1 :].prod(axis=0) for t in range(T)])
    assert_same(c.data[0], f.prod(axis=0) * c0.data[0] + (kept * i * g).sum(axis=0), rel=1e-14)  # a sum over steps
    held = nn.LSTMCell(D, H, rng=0)  # with h held fixed, the Jacobian of a step is diag(f): it is 0 off the diagonal
    h, before = Tensor(states[-2][0].data), Tensor(states[-2][1].data)
    np.testing.assert_array_equal(jacobian(held(normal(T, 1, D)[-1], (h, before))[1], before), np.diag(f[-1]))


def test_c73_a_forget_bias_of_one_or_two_sets_a_half_life_and_no_more() -> None:
    found = []
    for bias in (1.0, 2.0):
        cell, c0 = nn.LSTMCell(D, H, forget_bias=bias, rng=0), Tensor(normal(1, H))
        cell.W.data, cell.U.data = 0 * cell.W.data, 0 * cell.U.data
        _, (_, c) = nn.unroll(cell, normal(100, 1, D), (np.zeros((1, H)), c0))
        f = marked(c, "f")[0].data[0, 0]
        left = jacobian(c, c0)[0, 0]
        assert left == pytest.approx(f**100, rel=1e-12)
        found.append((f, math.log(0.5) / math.log(f), left))
    assert number("C73") == "; ".join(f"f = {f:.3f}, half-life {half:.1f}, {left:.0e} after 100 steps"
                                      for f, half, left in found)


def test_c74_gates_lie_between_zero_and_one_and_reach_both_in_floating_point_only() -> None:
    z = Tensor(np.linspace(-30, 30, 601))
    inside = mg.sigmoid(z).data
    assert ((inside > 0) & (inside < 1)).all()
    assert (np.diff(inside) > 0).all()
    ends = mg.sigmoid(Tensor([36.0, 37.0, -745.0, -746.0])).data
    assert (ends == [ends[0], 1.0, ends[2], 0.0]).all()
    assert ends[0] < 1
    assert ends[2] > 0
    g = mg.grad(mg.sigmoid(x := Tensor([37.0, -800.0])).sum(), x)
    assert g[1] == 0
    assert g[0] < 1e-15
    assert number("C74") == "in float64 exactly 1 from 37 on, exactly 0 below -745"


def test_c75_tanh_has_the_larger_slope_near_zero_and_the_smaller_one_from_1_66_on() -> None:
    def slopes(at: Any) -> tuple[np.ndarray, np.ndarray]:
        x = Tensor(np.array(at, dtype=float))
        return mg.grad(mg.tanh(x).sum(), x), mg.grad(mg.sigmoid(x).sum(), x)

    tanh, sigmoid = slopes([0.0])
    assert (tanh.item(), sigmoid.item()) == (1.0, 0.25)
    low, high = 1.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        tanh, sigmoid = slopes([middle])
        low, high = (middle, high) if tanh > sigmoid else (low, middle)
    assert number("C75") == f"1 against 1/4 at 0; equal at {low:.4f}"
    for at, larger in (([-1.6, 0.5, 1.6], True), ([-3.0, 1.7, 5.0], False)):
        tanh, sigmoid = slopes(at)
        assert ((tanh > sigmoid) == larger).all()


def test_c76_with_relu_the_cell_state_and_its_gradient_explode_where_with_tanh_they_do_not() -> None:
    largest, steepest = {}, {}
    for f in ("tanh", "relu"):
        most, norms = [], []
        for seed in range(5):
            cell = nn.LSTMCell(7, 40, activation=f, rng=seed)
            cell.W.data = 2 / math.sqrt(40) * normal(40, 160, seed=seed)
            hs, _ = nn.unroll(cell, normal(100, 1, 7, seed=seed))
            most.append(np.abs(hs.data).max())
            norms.append(math.sqrt(sum((g**2).sum() for g in mg.grad(hs[-1].sum(), cell.parameters()))))
        largest[f], steepest[f] = np.median(most), np.median(norms)
    assert largest["tanh"] <= 1
    assert largest["relu"] > 1e6
    assert steepest["relu"] > 1e8 * steepest["tanh"]


def test_c79_with_clamped_gates_the_lstm_is_a_simple_net_with_one_tanh_more() -> None:
    cell = with_biases(nn.LSTMCell(D, H, rng=0), i=1e3, f=-1e3, o=1e3)
    state, s = cell.initial_state(B), np.zeros((B, H))
    for x in normal(7, B, D):
        state = cell(x, state)
        s = np.tanh(np.tanh((s @ cell.W.data + (x @ cell.U.data + cell.b.data))[:, BLOCKS["g"]]))
        np.testing.assert_array_equal(state[0].data, s)


def test_c81_an_lstm_has_four_layers_three_of_them_sigmoid() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    h, c = cell(normal(B, D), (normal(B, H), normal(B, H, seed=1)))
    gates = {name: marked(h, name)[-1] for name in "ifgo"}
    assert {name: node.op.name for name, node in gates.items()} == {**dict.fromkeys("ifo", "sigmoid"), "g": "tanh"}
    assert [p.shape for p in cell.parameters()] == [(D, 4 * H), (H, 4 * H), (4 * H,)]
    assert relative_error(h.data, gates["o"].data * np.tanh(c.data)) < 1e-15  # the fifth function has no weights


def test_c82_weights_side_by_side_or_stacked_are_one_map() -> None:
    split = nn.LSTMCell(D, H, rng=0)
    joined = nn.LSTMCell.from_concatenated(np.concatenate([split.W.data, split.U.data]), split.b.data)
    xs = normal(9, B, D)
    assert_same(nn.unroll(joined, xs)[0].data, nn.unroll(split, xs)[0].data, rel=1e-15)
    h, c, W = normal(B, H), normal(B, H, seed=1), np.concatenate([split.W.data, split.U.data])
    i, f, g, o = np.split(np.concatenate([h, xs[0]], axis=1) @ W + split.b.data, 4, axis=1)
    c_next = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    assert_same(split(xs[0], (h, c))[0].data, np.tanh(c_next) / (1 + np.exp(-o)), rel=1e-14)


def test_c83_a_forget_gate_of_one_keeps_the_cell_state_and_one_of_zero_drops_it() -> None:
    T = 40
    for f, i in ((1e3, -1e3), (-1e3, 0.0)):
        cell, c0 = with_biases(nn.LSTMCell(D, H, rng=0), f=f, i=i), Tensor(normal(B, H))
        _, (_, c) = nn.unroll(cell, normal(T, B, D), (normal(B, H, seed=1), c0))
        g = mg.grad(c.sum(), c0)
        if f > 0:
            np.testing.assert_array_equal(c.data, c0.data)
            np.testing.assert_array_equal(g, np.ones((B, H)))
        else:
            assert not g.any()
            assert c.data.all()
    assert number("C83") == f"kept bit for bit over {T} steps, or a gradient of exactly 0"


def test_c84_a_state_sends_to_the_output_and_to_the_next_step_and_gets_a_gradient_from_both() -> None:
    T = 4
    cell, head = nn.LSTMCell(D, H, rng=0), nn.Linear(H, K, rng=1)
    state, states, losses = cell.initial_state(B), [], []
    for t, x in enumerate(normal(T, B, D)):
        state = cell(x, state)
        states.append(state)
        losses.append(nn.cross_entropy(head(state[0]), [t % K, 1], reduction="sum"))
    total = sum(losses[1:], start=losses[0])
    for t in range(T):
        h = states[t][0]
        own = mg.grad(losses[t], h)
        later = mg.grad(sum(losses[t + 1 :], start=0 * total), h)
        assert np.linalg.norm(own) > 0.1
        assert (np.linalg.norm(later) > 1e-3) == (t < T - 1)
        assert relative_error(mg.grad(total, h), own + later) < 1e-14


def test_c85_the_update_gate_that_one_source_lists_changes_nothing() -> None:
    cell, xs = nn.UpdateGateLSTMCell(D, H, rng=0), normal(6, B, D)
    hs, _ = nn.unroll(cell, xs)
    g = mg.grad((hs**2).sum(), cell.parameters())
    assert all(not part[..., 4 * H :].any() and part[..., : 4 * H].all() for part in g)
    for p in cell.parameters():
        changed = np.array(p.data)
        changed[..., 4 * H :] += 10 * normal(*changed[..., 4 * H :].shape, seed=1)
        p.data = changed
    np.testing.assert_array_equal(nn.unroll(cell, xs)[0].data, hs.data)
    assert number("C85") == "the gradient of its weights is exactly 0"


@pytest.mark.parametrize("when", [1, 4])
def test_c86_what_was_forgotten_is_never_restored(when: int) -> None:
    """At one step the forget gate is shut. The cell states before it get no gradient, however long one waits."""
    T = 9
    cell = nn.LSTMCell(D, H, rng=0)
    cell.W.data = np.zeros((H, 4 * H))  # nothing else carries c on
    shut = with_biases(nn.LSTMCell(D, H, rng=0), f=-1e4)
    shut.W.data = cell.W.data
    state: Any = (np.zeros((B, H)), Tensor(normal(B, H)))
    cells = [state[1]]
    for t, x in enumerate(normal(T, B, D)):
        state = (shut if t == when else cell)(x, state)
        cells.append(state[1])
    for last in range(when + 1, T + 1):
        g = mg.grad(cells[last].sum(), cells[:last])
        assert [k for k in range(last) if g[k].any()] == list(range(when + 1, last))  # c_k for k > when only
    assert mg.grad(cells[when].sum(), cells[0]).all()  # before it was shut, all of them counted


def autocorrelation(states: list[np.ndarray], lag: int) -> float:
    """Over time, the mean over sequences and units."""
    a = np.array(states)
    a = a - a.mean(axis=0)
    return float(np.mean((a[:-lag] * a[lag:]).mean(axis=0) / (a * a).mean(axis=0)))


def test_c87_the_cell_state_changes_more_slowly_than_the_hidden_state() -> None:
    """White noise in, forget bias 2, eight initialisations; parameters do not change at all while a net runs."""
    for seed in range(8):
        cell = nn.LSTMCell(D, 20, forget_bias=2.0, rng=seed)
        h, c, hs, cs = np.zeros((30, 20)), np.zeros((30, 20)), [], []
        with mg.no_grad():
            for x in normal(250, 30, D, seed=seed):
                h, c = (part.data for part in cell(x, (h, c)))
                hs.append(h)
                cs.append(c)
        of_h, of_c = ([autocorrelation(states[50:], lag) for lag in (1, 5, 10)] for states in (hs, cs))
        assert (np.subtract(of_c, of_h) > 0).all(), seed
        assert of_c == sorted(of_c, reverse=True)


def test_c88_all_three_gates_are_sigmoids_and_tanh_is_for_candidate_and_output() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    h, c0 = normal(B, H), normal(B, H, seed=1)
    h1, c1 = cell(normal(B, D), (h, c0))
    i, f, g, o = (marked(h1, name)[-1].data for name in "ifgo")
    z = normal(B, D) @ cell.U.data + h @ cell.W.data + cell.b.data
    for name, gate in (("i", i), ("f", f), ("o", o)):
        assert_same(gate, 1 / (1 + np.exp(-z[:, BLOCKS[name]])), rel=1e-14)
    assert_same(g, np.tanh(z[:, BLOCKS["g"]]), rel=1e-14)
    assert_same(h1.data, o * np.tanh(c1.data), rel=1e-15)


def test_c89_a_gate_is_a_sigmoid_and_an_elementwise_product() -> None:
    cell, c0 = nn.LSTMCell(D, H, rng=0), Tensor(normal(1, H))
    _, c = cell(normal(1, D), (normal(1, H, seed=1), c0))
    f, i, g = (marked(c, name)[-1].data for name in "fig")
    assert_same(c.data, f * c0.data + i * g, rel=1e-15)
    np.testing.assert_array_equal(jacobian(c, c0), np.diag(f[0]))  # unit by unit: no other unit of c is touched


@pytest.mark.parametrize("f", [lambda z: z / (1 + abs(z.data)), lambda z: z.sin(), "relu"])
def test_c90_another_activation_may_take_the_place_of_tanh(f: Any) -> None:
    cell, xs = nn.LSTMCell(D, H, activation=f, rng=0), normal(6, B, D)
    hs, (_, c) = nn.unroll(cell, xs)
    plain = nn.LSTMCell(D, H, rng=0)
    assert np.abs(hs.data - nn.unroll(plain, xs)[0].data).max() > 1e-3
    assert all(np.abs(g).max() > 0 for g in mg.grad((hs**2).sum(), cell.parameters()))
    if f == "relu":
        assert (hs.data >= 0).all()
    else:
        assert_same(hs.data[-1], (marked(hs, "o")[-1] * f(c)).data, rel=1e-14)


def test_c114_the_lstm_of_1997_had_no_forget_gate_and_its_cell_keeps_the_gradient_whole() -> None:
    T = 500
    cell, c0 = nn.CarouselLSTMCell(D, H, rng=0), Tensor(normal(1, H))
    assert cell.U.shape == (D, 3 * H)  # input gate, candidate, output gate
    cell.W.data = np.zeros((H, 3 * H))
    _, (_, c) = nn.unroll(cell, normal(T, 1, D), (np.zeros((1, H)), c0))
    np.testing.assert_array_equal(jacobian(c, c0), np.eye(H))
    assert not marked(c, "f")


def test_c115_with_large_recurrent_weights_the_gradient_along_the_cell_explodes() -> None:
    """The largest ‖∂c_50/∂c_0‖ of ten nets, with forget bias 2; each net alone may do either."""
    largest = {}
    for gain in (0.0, 1.0, 4.0, 8.0):
        found = []
        for seed in range(10):
            cell, c0 = nn.LSTMCell(D, 32, forget_bias=2.0, rng=seed), Tensor(np.zeros((32, 32)))
            cell.W.data = gain / math.sqrt(32) * normal(32, 128, seed=seed)
            xs = np.repeat(normal(50, 1, D, seed=seed), 32, axis=1)  # one sequence, once for each unit of c_50
            _, (_, c) = nn.unroll(cell, xs, (np.zeros((32, 32)), c0))
            found.append(np.linalg.norm(mg.grad(c, c0, seed=np.eye(32)), 2))
        largest[gain] = found
    assert max(largest[0.0]) < 1  # nothing but forget gates: it shrinks
    assert np.median(largest[4.0]) > 10
    assert np.median(largest[8.0]) > 10 * np.median(largest[4.0])
    assert sum(n > 1 for n in largest[8.0]) >= 9
