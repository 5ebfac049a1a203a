"""Systems whose tests a small mistake could slip through: with all sizes different, and oracles of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn
from microgradrnn.data import Stretches, windows
from tests.nn.systems import jacobian, marked
from tests.numerics import assert_same, complex_step, relative_error

D, H, K, B, T = 3, 5, 4, 2, 6


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_s4_jordans_step_is_its_equations_and_its_jacobian_is_v_times_w_times_the_slopes() -> None:
    """Sizes that cannot be taken for each other: D = 3, H = 7, K = 4, and the state is o."""
    for feedback in (None, mg.softmax):
        cell = nn.JordanCell(D, 7, K, feedback=feedback, rng=0)
        assert {name: p.shape for name, p in cell.named_parameters()} == {
            "U": (D, 7), "W": (K, 7), "b": (7,), "V": (7, K), "d": (K,)}
        x, o = normal(1, D), Tensor(normal(1, K))
        said = o.data if feedback is None else np.exp(o.data) / np.exp(o.data).sum()
        h = np.tanh(x @ cell.U.data + said @ cell.W.data + cell.b.data)
        after = cell(x, o)
        assert_same(after.data, h @ cell.V.data + cell.d.data, rel=1e-14)
        softmax = np.eye(K) if feedback is None else np.diag(said[0]) - np.outer(said[0], said[0])
        by_formula = softmax @ cell.W.data @ np.diag(1 - h[0] ** 2) @ cell.V.data
        assert relative_error(jacobian(after, o).T, by_formula) < 1e-13
        assert np.linalg.matrix_rank(by_formula, tol=1e-12) == K - (feedback is not None)


def test_s4_nothing_but_the_output_reaches_the_next_step() -> None:
    """With the output weights 0, the past is gone: only d is fed back."""
    cell = nn.JordanCell(D, 7, K, rng=0)
    cell.V.data = np.zeros((7, K))
    x = Tensor(normal(T, B, D))
    os, _ = nn.unroll(cell, x)
    h = marked(os, "h")[-1]
    g = mg.grad(h.sum(), x)
    assert g[-1].all()
    assert not g[:-1].any()
    assert_same(h.data, np.tanh(x.data[-1] @ cell.U.data + cell.d.data @ cell.W.data + cell.b.data), rel=1e-14)


def test_s12_targets_are_the_inputs_one_symbol_later() -> None:
    """A text that counts: the right answer is always the symbol plus one."""
    ids = np.arange(40)
    x, y = windows(ids, np.array([0, 7, 30]), 5)
    assert x.shape == y.shape == (5, 3)
    np.testing.assert_array_equal(y, x + 1)
    for stretch in Stretches(ids, 3, 4):
        np.testing.assert_array_equal(stretch.y, stretch.x + 1)
        assert stretch.x.shape == (4, 3)


def test_s12_a_model_that_knows_the_next_symbol_has_no_loss_and_one_that_repeats_has_a_large_one() -> None:
    classes = 7
    ids = np.arange(50) % classes
    x, y = windows(ids, np.array([0, 3]), 20)
    successor, same = 50 * np.roll(np.eye(classes), 1, axis=1), 50 * np.eye(classes)
    assert nn.cross_entropy(successor[x], y) < 1e-12
    assert nn.cross_entropy(same[x], y) == pytest.approx(50, rel=1e-6)
    one_hot, net = Tensor(np.eye(classes)[x]), nn.RNN(classes, H, rng=0)
    losses = nn.cross_entropy(nn.Linear(H, classes, rng=1)(net(one_hot)[0]), y, reduction="none")
    for t in (0, 11):
        g = mg.grad(losses[t].sum(), one_hot)
        assert g[: t + 1].any()
        assert not g[t + 1 :].any()  # the symbol to be predicted is not read


def gru_weights(cell: Any) -> dict[str, np.ndarray]:
    return {name: np.array(p.data) for name, p in cell.named_parameters()}


def gru_by_hand(x: Any, h: Any, p: dict[str, Any], reset: str, z_keeps: bool) -> Any:
    """One step of any of the four conventions, in plain NumPy."""
    n_ = p["W"].shape[0]
    (U_r, U_z, U_n), (W_r, W_z, W_n), (b_r, b_z, b_n) = (
        [p[name][..., k * n_ : (k + 1) * n_] for k in range(3)] for name in "UWb")
    r, z = (1 / (1 + np.exp(-(x @ U + h @ W + b))) for U, W, b in ((U_r, W_r, b_r), (U_z, W_z, b_z)))
    inner = (r * h) @ W_n if reset == "before" else r * (h @ W_n + p["b_n"])
    n = np.tanh(x @ U_n + b_n + inner)
    return z * h + (1 - z) * n if z_keeps else (1 - z) * h + z * n


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize("z_keeps", [True, False])
def test_s26_both_resets_in_both_conventions_have_the_gradients_of_their_equations(reset: str, z_keeps: bool) -> None:
    cell = nn.GRUCell(D, H, reset=reset, z="keeps" if z_keeps else "replaces", rng=0)
    theirs = gru_weights(cell)
    xs, h0, weights = normal(T, B, D), normal(B, H, seed=1), normal(T, B, H, seed=2)

    def loss(xs: Any, h: Any, *parameters: Any) -> Any:
        p, total = dict(zip(theirs, parameters, strict=True)), 0.0
        for t in range(T):
            h = gru_by_hand(xs[t], h, p, reset, z_keeps)
            total = total + (h * weights[t]).sum()
        return total

    x, h = Tensor(xs), Tensor(h0)
    ours = (nn.unroll(cell, x, h)[0] * weights).sum()
    assert ours.item() == pytest.approx(loss(xs, h0, *theirs.values()), rel=1e-13)
    names = [name for name, _ in cell.named_parameters()]
    assert names == list(theirs)
    expected = complex_step(loss, [xs, h0, *theirs.values()])
    for name, g, by_hand in zip(["x", "h", *names], mg.grad(ours, [x, h, *cell.parameters()]), expected, strict=True):
        assert relative_error(g, by_hand) < 1e-12, name


@pytest.mark.parametrize("reset", ["before", "after"])
def test_s26_a_gate_that_replaces_is_one_that_keeps_with_its_net_input_negated(reset: str) -> None:
    keeps, replaces = (nn.GRUCell(D, H, reset=reset, z=z, rng=0) for z in ("keeps", "replaces"))
    for name in "UWb":
        flipped = np.array(getattr(keeps, name).data)
        flipped[..., H : 2 * H] *= -1
        getattr(replaces, name).data = flipped
    a, b = (nn.unroll(cell, normal(T, B, D))[0] for cell in (keeps, replaces))
    assert_same(a.data, b.data, rel=1e-14)
    for name in "UWb":
        g, other = (mg.grad((hs**2).sum(), getattr(cell, name)) for hs, cell in ((a, keeps), (b, replaces)))
        assert_same(other[..., H : 2 * H], -g[..., H : 2 * H], rel=1e-13)
        assert_same(other[..., :H], g[..., :H], rel=1e-13)


def test_s26_with_the_reset_after_the_product_it_is_pytorchs_gru_and_only_where_z_keeps() -> None:
    torch = pytest.importorskip("torch")
    peer = torch.nn.GRUCell(D, H).double()
    for z in ("keeps", "replaces"):
        cell = nn.GRUCell(D, H, reset="after", z=z, rng=0)
        with torch.no_grad():
            peer.weight_ih.copy_(torch.tensor(cell.U.data.T.copy()))
            peer.weight_hh.copy_(torch.tensor(cell.W.data.T.copy()))
            peer.bias_ih.copy_(torch.tensor(cell.b.data))
            peer.bias_hh.copy_(torch.tensor(np.concatenate([np.zeros(2 * H), cell.b_n.data])))
        x, h = normal(B, D), normal(B, H, seed=1)
        theirs = peer(torch.tensor(x), torch.tensor(h)).detach().numpy()
        assert (relative_error(cell(x, h).data, theirs) < 1e-12) == (z == "keeps")


def separate(ahead: Any, back: Any, x: Any) -> Any:
    """The reading with two stacks that meet only at the end."""
    return mg.concat([ahead(x)[0], back(x, reverse=True)[0]], axis=-1)


def by_hand(x: np.ndarray, cell: Any) -> np.ndarray:
    """A tanh net over (T, B, D), in plain NumPy."""
    h, hs = np.zeros((x.shape[1], cell.W.shape[0])), []
    for step in x:
        h = np.tanh(step @ cell.U.data + h @ cell.W.data + cell.b.data)
        hs.append(h)
    return np.array(hs)


def test_s31_both_readings_of_a_deep_bidirectional_net_are_their_equations() -> None:
    x = normal(T, B, D)
    net = nn.RNN(D, H, 2, bidirectional=True, rng=0)
    level = x
    for k in range(2):
        f, b = (cell for layer, _, cell in net.cells() if layer == k)
        assert f.U.shape == (D if k == 0 else 2 * H, H)
        level = np.concatenate([by_hand(level, f), by_hand(level[::-1], b)[::-1]], axis=-1)
    assert_same(net(x)[0].data, level, rel=1e-14)

    ahead, back = nn.RNN(D, H, 2, rng=1), nn.RNN(D, H, 2, rng=2)
    f, b = x, x[::-1]
    for _, _, cell in ahead.cells():
        f = by_hand(f, cell)
    for _, _, cell in back.cells():
        b = by_hand(b, cell)
    assert_same(separate(ahead, back, x).data, np.concatenate([f, b[::-1]], axis=-1), rel=1e-14)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_s31_what_each_half_of_each_reading_sees(layers: int) -> None:
    x = Tensor(normal(T, B, D))
    together = nn.RNN(D, H, layers, bidirectional=True, rng=0)(x)[0]
    apart = separate(nn.RNN(D, H, layers, rng=1), nn.RNN(D, H, layers, rng=2), x)
    for t in range(T):
        for half, own in ((slice(None, H), range(t + 1)), (slice(H, None), range(t, T))):
            seen = [[k for k in range(T) if mg.grad(hs[t, :, half].sum(), x)[k].any()] for hs in (together, apart)]
            assert seen == [[*own] if layers == 1 else [*range(T)], [*own]]


def test_s37_local_errors_find_the_way_around_the_states_too() -> None:
    """A loss that reads the net input z itself, which no state stands for: δ_{t,t} has two parts."""
    cell, head, side = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1), normal(H, seed=9)
    xs, y = normal(T, B, D), np.random.default_rng(0).integers(0, K, (T, B))
    h, losses, zs = Tensor(np.zeros((B, H))), [], []
    for t in range(T):
        with mg.scope(step=t):
            h = cell(xs[t], h)
            zs.append(h.inputs[0])
            losses.append(nn.cross_entropy(head(h), y[t], reduction="sum") + (zs[-1] ** 2 * side).sum())
    found = viz.local_errors(losses, arrays=True)

    def loss_at(t: int, k: int, row: int, unit: int) -> float:
        """Im L_t / 1e-30 after z_k was moved by i 1e-30."""
        state: Any = np.zeros((B, H), dtype=complex)
        for s in range(t + 1):
            z = xs[s] @ cell.U.data + state @ cell.W.data + cell.b.data
            if s == k:
                z[row, unit] += 1e-30j
            state = np.tanh(z)
        o = state @ head.V.data + head.d.data
        value = (np.log(np.exp(o).sum(-1)) - o[np.arange(B), y[t]]).sum() + (z**2 * side).sum()
        return float(value.imag / 1e-30)

    assert (found.symbol, found.arrays.shape) == ("z", (T, T, B, H))
    for t in range(T):
        for k in range(T):
            expected = loss_at(t, k, 1, 3) if k <= t else 0.0
            assert found.arrays[t, k, 1, 3] == pytest.approx(expected, rel=1e-12, abs=1e-16)


def test_s37_local_errors_of_the_cell_state_hold_what_goes_past_the_hidden_state() -> None:
    """The read-out sees c, not h: the way of the loss passes no state that is put out."""
    cell, head = nn.LSTMCell(D, H, rng=0), nn.Linear(H, K, rng=1)
    state, losses, cells = cell.initial_state(B), [], []
    for t in range(T):
        with mg.scope(step=t):
            state = cell(normal(B, D, seed=t), state)
            cells.append(state[1])
            losses.append(nn.cross_entropy(head(state[1]), [t % K, 1], reduction="sum"))
    found = viz.local_errors(losses, at="c", arrays=True)
    for t in range(T):
        for k, g in enumerate(mg.grad(losses[t], cells[: t + 1])):
            assert relative_error(found.arrays[t, k], g) < 1e-14
        assert not found.arrays[t, t + 1 :].any()
