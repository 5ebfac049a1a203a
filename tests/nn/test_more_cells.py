"""Peepholes, layer normalisation, projection, a GRU whose z replaces, and noise: each against its equations by hand."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn
from microgradrnn.compiler.errors import TraceError
from microgradrnn.nn import init
from tests.nn.systems import P, assert_gradients, cut, sigma
from tests.numerics import relative_error

D, H, R, B, T = 3, 5, 2, 2, 6
STEPS = [1, 7, 60]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# ----------------------------------------------------------------------------------------------- equations by hand
def peephole(x: Any, s: Any, p: P) -> Any:
    h, c = s
    z_i, z_f, z_g, z_o = (x @ U + h @ W + b for U, W, b in zip(*cut(p, 4), strict=True))
    c_new = sigma(z_f + p["p_f"] * c) * c + sigma(z_i + p["p_i"] * c) * np.tanh(z_g)
    return sigma(z_o + p["p_o"] * c_new) * np.tanh(c_new), c_new


def normalised(x: Any) -> Any:
    mu = x.sum(-1, keepdims=True) / x.shape[-1]
    return (x - mu) / np.sqrt(((x - mu) ** 2).sum(-1, keepdims=True) / x.shape[-1] + 1e-5)


def layer_norm(x: Any, s: Any, p: P) -> Any:
    h, c = s
    z = normalised(x @ p["U"]) * p["norm_x.gain"] + normalised(h @ p["W"]) * p["norm_h.gain"] + p["b"]
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
    c = sigma(z_f) * c + sigma(z_i) * np.tanh(z_g)
    return sigma(z_o) * np.tanh(normalised(c) * p["norm_c.gain"] + p["norm_c.bias"]), c


def projected(x: Any, s: Any, p: P) -> Any:
    h, c = s
    z_i, z_f, z_g, z_o = (x @ U + h @ W + b for U, W, b in zip(*cut(p, 4), strict=True))
    c = sigma(z_f) * c + sigma(z_i) * np.tanh(z_g)
    return (sigma(z_o) * np.tanh(c)) @ p["P"], c


def lstm(x: Any, s: Any, p: P, drop: Any = 1.0, deaf: Any = 1.0) -> Any:
    h, c = s
    z_i, z_f, z_g, z_o = (x @ U + (h * deaf) @ W + b for U, W, b in zip(*cut(p, 4), strict=True))
    c = sigma(z_f) * c + sigma(z_i) * np.tanh(z_g) * drop
    return sigma(z_o) * np.tanh(c), c


def gru(after: bool) -> Any:
    def step(x: Any, s: Any, p: P) -> Any:
        (h,) = s
        (U_r, U_z, U_n), (W_r, W_z, W_n), (b_r, b_z, b_n) = cut(p, 3)
        r, z = sigma(x @ U_r + h @ W_r + b_r), sigma(x @ U_z + h @ W_z + b_z)
        read = r * (h @ W_n + p["b_n"]) if after else (r * h) @ W_n
        return ((1 - z) * h + z * np.tanh(x @ U_n + read + b_n),)
    return step


CELLS: dict[str, Any] = {
    "peephole": (lambda: nn.PeepholeLSTMCell(D, H, rng=0), peephole),
    "layer norm": (lambda: nn.LayerNormLSTMCell(D, H, rng=0), layer_norm),
    "projected": (lambda: nn.LSTMCell(D, H, proj_size=R, rng=0), projected),
    "gru, z replaces": (lambda: nn.GRUCell(D, H, z="replaces", rng=0), gru(False)),
    "gru, z replaces, reset after": (lambda: nn.GRUCell(D, H, z="replaces", reset="after", rng=0), gru(True)),
}


@pytest.mark.parametrize("T", STEPS)
@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_has_the_values_and_gradients_of_its_equations(kind: str, T: int) -> None:
    make, step = CELLS[kind]
    assert_gradients(make(), step, T, rel=1e-9 if kind == "layer norm" else 1e-10)


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_has_the_gradients_of_finite_differences(kind: str) -> None:
    cell = CELLS[kind][0]()
    sizes = cell.state_sizes

    def loss(x: Any, *rest: Any) -> Any:
        state = rest[: len(sizes)]
        for p, value in zip(cell.parameters(), rest[len(sizes) :], strict=True):
            p.data = value.data
        return (nn.unroll(cell, x, state if len(sizes) > 1 else state[0])[0] ** 2).sum()

    assert mg.gradcheck(lambda x, *s: loss(x, *s, *cell.parameters()),
                        [normal(T, B, D), *(0.5 * normal(B, n, seed=n) for n in sizes)])
    assert mg.gradcheck(lambda *_: loss(normal(T, B, D), *(Tensor(0.5 * normal(B, n, seed=n)) for n in sizes),
                                        *cell.parameters()), cell.parameters())


# -------------------------------------------------------------------------------------------------------- limits
def test_peepholes_of_zero_make_the_lstm() -> None:
    cell, plain = nn.PeepholeLSTMCell(D, H, rng=0), nn.LSTMCell(D, H, rng=0)
    for p in (cell.p_i, cell.p_f, cell.p_o):
        p.data = np.zeros(H)
    np.testing.assert_array_equal(nn.unroll(cell, normal(T, B, D))[0].data, nn.unroll(plain, normal(T, B, D))[0].data)


def test_peepholes_open_a_way_where_the_output_gate_is_shut() -> None:
    for make, reaches in ((nn.PeepholeLSTMCell, True), (nn.LSTMCell, False)):
        cell, c0 = make(D, H, rng=0), Tensor(normal(B, H))
        b = np.array(cell.b.data)
        b[:H], b[H : 2 * H], b[3 * H :] = 1.0, -1e3, -1e3  # i open, f and o shut
        cell.b.data = b
        _, (_, c) = nn.unroll(cell, normal(1, B, D), (np.zeros((B, H)), c0))
        assert bool(abs(mg.grad(c.sum(), c0)).max() > 1e-3) is reaches


def test_layer_norm_is_blind_to_the_scale_of_its_matrices() -> None:
    cells = [nn.LayerNormLSTMCell(D, H, rng=0, eps=1e-14) for _ in range(2)]
    cells[1].U.data, cells[1].W.data = 7 * cells[1].U.data, 3 * cells[1].W.data
    a, b = (nn.unroll(cell, normal(T, B, D), (normal(B, H, seed=1), normal(B, H, seed=2)))[0].data for cell in cells)
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_where_the_gate_keeps_the_cell_of_a_layer_norm_lstm_passes_the_gradient_unchanged() -> None:
    cell, c0 = nn.LayerNormLSTMCell(D, H, rng=0), Tensor(normal(B, H))
    b = np.array(cell.b.data)
    b[:H], b[H : 2 * H] = -1e3, 1e3
    cell.b.data = b
    _, (_, c) = nn.unroll(cell, normal(50, B, D), (normal(B, H, seed=1), c0))
    np.testing.assert_array_equal(mg.grad((c * normal(B, H, seed=3)).sum(), c0), normal(B, H, seed=3))


@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_gru_that_replaces_is_one_that_keeps_with_other_signs(reset: str) -> None:
    keeps, replaces = (nn.GRUCell(D, H, reset=reset, z=z, rng=0) for z in ("keeps", "replaces"))
    for name in ("U", "W", "b"):
        a = np.array(getattr(replaces, name).data)
        a[..., H : 2 * H] *= -1
        getattr(replaces, name).data = a
    xs, h = normal(T, B, D), normal(B, H, seed=1)
    assert relative_error(nn.unroll(replaces, xs, h)[0].data, nn.unroll(keeps, xs, h)[0].data) < 1e-14


def test_an_mgu_is_a_gru_that_replaces_and_whose_gates_are_one() -> None:
    mgu, replaces = nn.MGUCell(D, H, rng=0), nn.GRUCell(D, H, z="replaces", rng=1)
    for name in ("U", "W", "b"):
        f, n = np.split(getattr(mgu, name).data, 2, axis=-1)
        getattr(replaces, name).data = np.concatenate([f, f, n], axis=-1)
    xs = normal(T, B, D)
    assert relative_error(nn.unroll(replaces, xs)[0].data, nn.unroll(mgu, xs)[0].data) < 1e-14


def test_stacked_and_bidirectional_nets_of_projected_cells_read_what_is_projected() -> None:
    net = nn.LSTM(D, H, 2, proj_size=R, bidirectional=True, rng=0)
    assert [cell.U.shape for _, _, cell in net.cells()] == [(D, 4 * H)] * 2 + [(2 * R, 4 * H)] * 2
    hs, ((ahead, _), _) = net(normal(T, B, D))
    assert hs.shape == (T, B, 2 * R)
    assert [part.shape for part in ahead] == [(B, R), (B, H)]
    with pytest.raises(ValueError, match=r"the state is \(h, c\), of shape \(2, 2\) and \(2, 5\); got"):
        nn.LSTM(D, H, proj_size=R)(normal(T, B, D), (np.zeros((B, H)),) * 2)


# --------------------------------------------------------------------------------------------- where a cell starts
@pytest.mark.parametrize("make", [nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.MGUCell, nn.PeepholeLSTMCell])
def test_init_makes_each_block_of_w(make: Any) -> None:
    for how, check in {
        "identity": lambda W: np.testing.assert_array_equal(W, np.eye(H)),
        "orthogonal": lambda W: np.testing.assert_allclose(W @ W.T, np.eye(H), atol=1e-14),
        1.5: lambda W: np.testing.assert_allclose(W @ W.T, 2.25 * np.eye(H), atol=1e-14),
        init.xavier: lambda W: np.testing.assert_array_less(abs(W), np.sqrt(6 / (2 * H))),
    }.items():
        cell = make(D, H, init=how, rng=0)
        blocks = np.split(cell.W.data, cell.blocks, axis=1)
        for block in blocks:
            check(block)
        if how != "identity" and len(blocks) > 1:
            assert not np.allclose(blocks[0], blocks[1])
    assert nn.LSTM(D, H, 2, init="orthogonal", rng=0, dtype=np.float32).layers[1].W.dtype == np.float32
    with pytest.raises(ValueError, match="init= is 'orthogonal', 'identity', a number or a function"):
        make(D, H, init="glorot")


def test_init_of_a_projected_cell_is_a_rectangle() -> None:
    W = nn.LSTMCell(D, H, proj_size=R, init="orthogonal", rng=0).W.data
    assert W.shape == (R, 4 * H)
    for block in np.split(W, 4, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(R), atol=1e-14)


def test_chrono_biases_spread_over_all_lags_and_write_as_little_as_they_forget() -> None:
    cell = nn.LSTMCell(D, 4000, chrono=50, rng=0, dtype=np.float32)
    i, f, *_ = np.split(cell.b.data, 4)
    np.testing.assert_array_equal(i, -f)
    u = np.exp(f)  # uniform in 1..49
    assert abs(u.mean() - 25) < 0.6
    assert abs(u.std() - 48 / np.sqrt(12)) < 0.4
    assert 1 <= u.min() < 1.1
    assert 48.9 < u.max() < 49.001
    for bad in (1, 2.5, True):
        with pytest.raises(ValueError, match="longest lag of chrono must be an integer of 2 or more"):
            nn.LSTMCell(D, H, chrono=bad)
    with pytest.raises(ValueError, match=r"chrono=9 .* bias=False .* give one of the two"):
        nn.LSTMCell(D, H, bias=False, chrono=9)


# ---------------------------------------------------------------------------------------------------------- noise
@pytest.mark.parametrize("T", STEPS)
def test_zoneout_keeps_in_training_what_its_mask_says(T: int) -> None:
    p, draw = (0.3, 0.6), np.random.default_rng(5)
    masks = cycle([[draw.random((B, H)) < one for one in p] for _ in range(T)])

    def step(x: Any, s: Any, weights: P) -> Any:
        weights = {name.removeprefix("cell."): a for name, a in weights.items()}
        return tuple(np.where(d, old, new) for d, old, new in zip(next(masks), s, lstm(x, s, weights), strict=True))

    assert_gradients(nn.Zoneout(nn.LSTMCell(D, H, rng=0), p).train(rng=5), step, T)


@pytest.mark.parametrize("T", STEPS)
def test_zoneout_takes_the_mean_in_evaluation(T: int) -> None:
    def step(x: Any, s: Any, weights: P) -> Any:
        h, c = lstm(x, s, {name.removeprefix("cell."): a for name, a in weights.items()})
        return 0.3 * s[0] + 0.7 * h, 0.6 * s[1] + 0.4 * c

    assert_gradients(nn.Zoneout(nn.LSTMCell(D, H, rng=0), (0.3, 0.6)), step, T)
    assert_gradients(nn.Zoneout(nn.LSTMCell(D, H, rng=0), (0.3, 0.6)).train().eval(), step, T)


def test_zoneout_goes_around_every_cell_and_of_nothing_is_that_cell() -> None:
    for cell in (nn.RNNCell(D, H, rng=0), nn.GRUCell(D, H, rng=0), nn.JordanCell(D, H, R, rng=0),
                 nn.LSTMCell(D, H, proj_size=R, rng=0), nn.AdditiveCell(D, H, rng=0)):
        expected = nn.unroll(cell, normal(T, B, D), lengths=[T, 2])[0].data
        for zoneout in (nn.Zoneout(cell, 0.0), nn.Zoneout(cell, 0.0).train(rng=0)):
            np.testing.assert_array_equal(nn.unroll(zoneout, normal(T, B, D), lengths=[T, 2])[0].data, expected)


@pytest.mark.parametrize("T", STEPS)
def test_variational_dropout_has_the_same_masks_at_all_steps(T: int) -> None:
    draw = np.random.default_rng(5)
    m_x, m_h = ((draw.random((B, n)) >= p) / (1 - p) for n, p in ((D, 0.2), (H, 0.4)))

    def step(x: Any, s: Any, weights: P) -> Any:
        return lstm(x * m_x, s, {name.removeprefix("cell."): a for name, a in weights.items()}, deaf=m_h)

    assert_gradients(nn.VariationalDropout(nn.LSTMCell(D, H, rng=0), 0.4, 0.2).train(rng=5), step, T)


@pytest.mark.parametrize("T", STEPS)
def test_recurrent_dropout_drops_what_is_written_and_never_what_is_held(T: int) -> None:
    draw = np.random.default_rng(5)
    masks = cycle([(draw.random((B, H)) >= 0.4) / 0.6 for _ in range(T)])
    assert_gradients(nn.RecurrentDropoutLSTMCell(D, H, p=0.4, rng=0).train(rng=5),
                     lambda x, s, p: lstm(x, s, p, drop=next(masks)), T)


NOISY: dict[str, Any] = {
    "zoneout": lambda: nn.Zoneout(nn.GRUCell(D, H, rng=0), 0.5),
    "variational": lambda: nn.VariationalDropout(nn.RNNCell(D, H, rng=0), 0.5, 0.5),
    "recurrent": lambda: nn.RecurrentDropoutLSTMCell(D, H, p=0.5, rng=0),
}


@pytest.mark.parametrize("kind", NOISY)
def test_noise_acts_in_training_alone_can_be_repeated_and_keeps_the_weights(kind: str) -> None:
    net, xs = nn.Recurrent(NOISY[kind]()), normal(T, B, D)
    quiet = net(xs)[0].data
    first, again = (net.train(rng=3)(xs)[0].data for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert abs(net(xs)[0].data - again).max() > 1e-3, "the next call draws anew"
    assert abs(first - quiet).max() > 1e-3
    np.testing.assert_array_equal(net.eval()(xs)[0].data, quiet)
    assert [name for name, _ in net.named_parameters()][-1].endswith(".b")


@pytest.mark.parametrize("kind", NOISY)
def test_a_loop_that_draws_is_not_compiled_and_says_so_and_a_quiet_one_is(kind: str) -> None:
    cell, xs = NOISY[kind](), normal(T, B, D)
    hs = nn.unroll(cell, xs, compiled="numpy")[0].data
    assert relative_error(hs, nn.unroll(cell, xs)[0].data) < 1e-12
    with pytest.raises(TraceError, match="random"):
        nn.unroll(cell.train(rng=0), xs, compiled=True)
    hs = nn.unroll(cell.train(rng=0), xs, compiled="auto")[0].data
    np.testing.assert_array_equal(hs, nn.unroll(cell.train(rng=0), xs)[0].data)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: nn.Zoneout(nn.LSTMCell(D, H), (0.1, 0.1, 0.1)), r"one for each part of the state, \(h, c\); got 3"),
    (lambda: nn.Zoneout(nn.LSTMCell(D, H), 1.0), r"Zoneout: a probability must lie in \[0, 1\), got 1.0"),
    (lambda: nn.Zoneout(nn.LSTM(D, H), 0.1), "expected a cell such as .*, got a LSTM"),
    (lambda: nn.VariationalDropout(nn.GRUCell(D, H), 0.1), "would erase its memory; use Zoneout, or an LSTM"),
    (lambda: nn.RecurrentDropoutLSTMCell(D, H, p=-0.1), "a probability must lie in"),
    (lambda: nn.Zoneout.from_concatenated(np.ones((8, 20))), "Zoneout goes around a cell"),
    (lambda: nn.GRUCell(D, H, z="forgets"), "z is 'keeps' or 'replaces', got 'forgets'"),
    (lambda: nn.LSTMCell(D, H, proj_size=-1), "LSTMCell: proj_size must be a positive integer"),
    (lambda: nn.AdditiveCell(D, H, init="identity"), "without reads_state=True there is no W"),
])
def test_mistakes_are_named(make: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()


# ------------------------------------------------------------------------------------------------------- pictures
DRAWN: dict[str, tuple[Any, list[str]]] = {
    "peephole": (lambda: nn.PeepholeLSTMCell(D, H, rng=0), ["i = σ(x U_i + h_{t-1} W_i + b_i + p_i ⊙ c_{t-1})",
                                                            "o = σ(x U_o + h_{t-1} W_o + b_o + p_o ⊙ c_t)"]),
    "layer norm": (lambda: nn.LayerNormLSTMCell(D, H, rng=0), ["c_t = f ⊙ c_{t-1} + i ⊙ g", "h_t = o ⊙ tanh(n_c)"]),
    "projected": (lambda: nn.LSTMCell(D, H, proj_size=R, rng=0), ["h_t = (o ⊙ tanh(c_t)) P"]),
    "zoneout": (lambda: nn.Zoneout(nn.LSTMCell(D, H, rng=0), 0.5).train(rng=0),
                ["c' = f ⊙ c_{t-1} + i ⊙ g", "h' = o ⊙ tanh(c')"]),
    "variational": (lambda: nn.VariationalDropout(nn.RNNCell(D, H, rng=0), 0.5, 0.5).train(rng=0),
                    ["z = (m_x ⊙ x) U + (m_h ⊙ h_{t-1}) W + b"]),
    "recurrent": (lambda: nn.RecurrentDropoutLSTMCell(D, H, p=0.5, rng=0).train(rng=0),
                  ["c_t = f ⊙ c_{t-1} + i ⊙ m ⊙ g"]),
    "gru, z replaces": (lambda: nn.GRUCell(D, H, z="replaces", rng=0), ["h_t = (1 − z) ⊙ h_{t-1} + z ⊙ n"]),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_the_picture_of_one_cell_says_its_equations(kind: str) -> None:
    make, expected = DRAWN[kind]
    lines = str(viz.equations(make())).split("\n")
    for line in expected:
        assert line in lines
    picture = viz.draw_cell(make()).svg
    assert ("no gradient goes there" in picture) is (kind in ("zoneout", "variational", "recurrent"))
    hs, _ = nn.unroll(make(), normal(4, 1, D))
    flow = viz.gradient_flow((hs[-1] ** 2).sum())
    assert sorted(flow.profile("h").steps) == [0, 1, 2, 3]
    assert viz.draw_unrolled(flow).svg.startswith("<svg")
