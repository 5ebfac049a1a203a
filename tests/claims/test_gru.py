"""Claims about the GRU and the minimal gated unit: limits, conventions, sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.claims.ledger import number
from tests.nn.systems import ancestors, jacobian, marked
from tests.numerics import assert_same, relative_error

D, H, K, B = 3, 5, 4, 2
BLOCKS = {name: slice(k * H, (k + 1) * H) for k, name in enumerate("rzn")}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def size(*modules: Any) -> int:
    return sum(p.size for module in modules for p in module.parameters())


def clamped(z: str = "keeps", **gates: float) -> Any:
    """A GRU whose gates are exactly 0 or 1: r_is, z_is."""
    cell = nn.GRUCell(D, H, z=z, rng=0)
    b = np.array(cell.b.data)
    for name, value in gates.items():
        b[BLOCKS[name[0]]] = 2e3 * value - 1e3
    cell.b.data = b
    return cell


def candidate(cell: Any, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """tanh(x U + h W + b) with the blocks of the candidate, in plain NumPy."""
    n = BLOCKS["n"]
    return np.tanh(h @ cell.W.data[:, n] + (x @ cell.U.data + cell.b.data)[:, n])


# ---------------------------------------------------------------------------------------------------- sizes
def test_c80_an_lstm_has_four_times_and_a_gru_three_times_the_parameters_of_a_simple_net_in_the_cell() -> None:
    cells = [make(100, 128) for make in (nn.RNN, nn.LSTM, nn.GRU, nn.MGU)]
    rnn, lstm, gru, mgu = map(size, cells)
    assert (rnn, lstm, gru, mgu) == (rnn, 4 * rnn, 3 * rnn, 2 * rnn)
    assert size(nn.GRU(100, 128, reset="after")) == gru + 128  # one more bias, inside the reset
    head = size(nn.Linear(128, 1000))
    assert number("C80") == f"{rnn:,}, {lstm:,} and {gru:,}; with 1,000 outputs 1 to {(lstm + head) / (rnn + head):.2f}"


@pytest.mark.parametrize(("kind", "share"), [(nn.GRU, 0.75), (nn.MGU, 0.5)])
def test_c97_a_gru_multiplies_three_quarters_as_much_as_an_lstm(kind: Any, share: float) -> None:
    """The multiplications in products of matrices, counted in the graph of ten steps."""
    def multiplications(net: Any, T: int = 10) -> int:
        total = 0
        for node in ancestors(net(normal(T, B, D))[0]):
            if node.op is not None and node.op.name in ("matmul", "affine"):
                a, b = (np.shape(x) for x in node.args[:2])
                total += int(np.prod(a)) * b[-1]
        return total

    assert multiplications(kind(D, H, rng=0)) == share * multiplications(nn.LSTM(D, H, rng=0)) > 0


def test_c98_a_minimal_gated_unit_has_one_gate_fewer_and_two_thirds_of_the_parameters() -> None:
    gru, mgu = nn.GRUCell(D, H, rng=0), nn.MGUCell(D, H, rng=0)
    assert 3 * size(mgu) == 2 * size(gru)
    gates = [{node.symbol for node in ancestors(cell(normal(B, D), normal(B, H))) if node.role == "gate"}
             for cell in (gru, mgu)]
    assert gates == [{"r", "z"}, {"f"}]
    assert mgu(normal(B, D), normal(B, H)).shape == gru(normal(B, D), normal(B, H)).shape  # no fewer dimensions


# ---------------------------------------------------------------------------------------------------- limits
def test_c91_with_z_0_and_r_1_the_gru_is_the_simple_net_and_so_is_its_gradient() -> None:
    cell, h0, xs = clamped(r_is=1, z_is=0), Tensor(normal(1, H)), normal(6, 1, D)
    simple = nn.RNNCell(D, H, rng=1)
    for name in "UWb":
        getattr(simple, name).data = np.array(getattr(cell, name).data[..., BLOCKS["n"]])
    h, s = h0, h0
    for x in xs:
        h, s = cell(x, h), simple(x, s)
    assert_same(h.data, s.data, rel=1e-15)
    assert_same(jacobian(h, h0), jacobian(s, h0), rel=1e-14)
    other = clamped(z="replaces", r_is=1, z_is=1)  # in the other convention it is z = 1
    np.testing.assert_array_equal(other(xs[0], h0).data, cell(xs[0], h0).data)


def test_c92_with_z_0_and_r_0_the_new_state_depends_on_the_input_alone() -> None:
    cell, h0, x = clamped(r_is=0, z_is=0), Tensor(normal(1, H)), normal(1, D)
    h = cell(x, h0)
    assert not jacobian(h, h0).any()
    np.testing.assert_array_equal(h.data, candidate(cell, x, np.zeros((1, H))))


def test_c93_with_z_1_the_state_is_copied_and_the_input_is_not_seen() -> None:
    cell, h0, x = clamped(z_is=1), Tensor(normal(B, H)), Tensor(normal(30, B, D))
    _, h = nn.unroll(cell, x, h0)
    np.testing.assert_array_equal(h.data, h0.data)
    g_x, g_h = mg.grad(h.sum(), [x, h0])
    assert not g_x.any()
    np.testing.assert_array_equal(g_h, np.ones((B, H)))


def test_c94_the_reset_gate_decides_whether_the_candidate_sees_the_last_state_which_h_sees_anyway() -> None:
    x, h0 = normal(1, D), Tensor(normal(1, H))
    for r in (0, 1):
        cell = clamped(r_is=r)
        h = cell(x, h0)
        n = marked(h, "n")[-1]
        z = marked(h, "z")[-1]
        assert jacobian(n, h0).any() == bool(r)
        assert jacobian(z, h0).all()
        to_h = jacobian(h, h0)
        assert to_h.all()  # through z everywhere, and on the diagonal through z h too
        if r == 0:
            W_z = cell.W.data[:, BLOCKS["z"]]
            expected = np.diag(z.data[0]) + ((h0.data - n.data) * z.data * (1 - z.data)).T * W_z.T
            assert relative_error(to_h, expected) < 1e-14


def test_c95_the_update_gate_is_a_forget_gate_and_an_input_gate_that_add_up_to_one() -> None:
    cell, x, h0 = nn.GRUCell(D, H, rng=0), normal(B, D), normal(B, H)
    h = cell(x, h0)
    z, n = (marked(h, name)[-1].data for name in "zn")
    f, i = z, 1 - z
    assert_same(h.data, f * h0 + i * n, rel=1e-15)
    low, high = np.minimum(h0, n), np.maximum(h0, n)
    assert ((h.data >= low) & (h.data <= high)).all()  # always between the old state and the candidate


def test_c96_the_two_gates_of_a_gru_are_z_and_r_not_z_and_one_minus_z() -> None:
    """1 - z is fixed by z. r is not: it has weights of its own, which move h while z stays as it is."""
    cell, x, h0 = nn.GRUCell(D, H, rng=0), normal(B, D), normal(B, H)
    before = cell(x, h0)
    r, z = marked(before, "r")[-1].data, marked(before, "z")[-1].data
    assert np.abs(r - (1 - z)).max() > 0.1
    assert np.abs(r - z).max() > 0.1
    b = np.array(cell.b.data)
    b[BLOCKS["r"]] += 2
    cell.b.data = b
    after = cell(x, h0)
    np.testing.assert_array_equal(marked(after, "z")[-1].data, z)
    assert np.abs(after.data - before.data).max() > 0.01
    assert {node.symbol for node in ancestors(after) if node.role == "gate"} == {"r", "z"}


def test_c99_a_gru_puts_out_its_whole_state_without_an_output_gate() -> None:
    cell, xs = nn.GRUCell(D, H, rng=0), normal(6, B, D)
    hs, h = nn.unroll(cell, xs)
    np.testing.assert_array_equal(hs.data[-1], h.data)
    assert not marked(hs, "o")
    lstm_hs, (_, c) = nn.unroll(nn.LSTMCell(D, H, rng=0), xs)
    assert marked(lstm_hs, "o")
    assert np.abs(lstm_hs.data[-1]).max() < np.abs(c.data).max()


def in_conventions(x: np.ndarray, h: np.ndarray, p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One step in three conventions, in plain NumPy, with the same weights."""
    U, W, b = ({name: p[key][..., block] for name, block in BLOCKS.items()} for key in "UWb")
    r, z = (1 / (1 + np.exp(-(x @ U[k] + h @ W[k] + b[k]))) for k in "rz")
    before, after = np.tanh(x @ U["n"] + (r * h) @ W["n"] + b["n"]), np.tanh(x @ U["n"] + b["n"] + r * (h @ W["n"]))
    return {"before": z * h + (1 - z) * before, "after": z * h + (1 - z) * after, "replaces": (1 - z) * h + z * before}


def test_c100_there_is_not_one_gru_the_same_weights_mean_different_maps() -> None:
    cells = {"before": nn.GRUCell(D, H, rng=0), "after": nn.GRUCell(D, H, reset="after", rng=1),
             "replaces": nn.GRUCell(D, H, z="replaces", rng=2)}
    cells["after"].b_n.data = np.zeros(H)
    x, h, p = normal(B, D), normal(B, H), {name: np.array(getattr(cells["before"], name).data) for name in "UWb"}
    for convention, cell in cells.items():
        for name, weights in p.items():
            getattr(cell, name).data = weights
        assert_same(cell(x, h).data, in_conventions(x, h, p)[convention], rel=1e-14)
    for seed in range(5):
        p = {name: normal(*shape, seed=seed) for name, shape in (("U", (D, 3 * H)), ("W", (H, 3 * H)), ("b", (3 * H,)))}
        maps = in_conventions(normal(100, D, seed=seed), normal(100, H, seed=seed + 1), p)
        reset, flipped = (np.abs(maps[name] - maps["before"]).mean() for name in ("after", "replaces"))
        assert flipped > reset > 0.01


def test_c101_a_gru_carries_everything_in_h() -> None:
    net = nn.GRU(D, H, rng=0)
    _, h = net(normal(6, B, D))
    assert h.shape == (B, H)
    hs, _ = net(normal(4, B, D, seed=1), h)
    whole, _ = net(np.concatenate([normal(6, B, D), normal(4, B, D, seed=1)]))
    assert_same(hs.data, whole.data[6:], rel=1e-14)  # h alone is enough to go on
    assert len(nn.LSTM(D, H, rng=0)(normal(6, B, D))[1]) == 2
