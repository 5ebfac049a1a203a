"""Step Jacobians against W diag(φ'), against PyTorch, and against the whole reverse pass; what is read off them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, Value, concat, io, nn, scope
from tests.numerics import relative_error
from tests.viz.nets import own_cell

D, H, B = 3, 5, 4


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def run(cell: Any, T: int = 7) -> tuple[Any, Any, Any]:
    """The first state, the outputs and the last state of a cell from a first state that is not zero."""
    parts = tuple(Tensor(normal(B, cell.hidden_size, seed=k)) for k in range(len(cell.state)))
    start = parts if len(parts) > 1 else parts[0]
    hs, last = nn.unroll(cell, normal(T, B, D, seed=9), start)
    return start, hs, last


@pytest.mark.parametrize("T", [1, 7, 100])
@pytest.mark.parametrize("batch", [0, 2, -1])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_of_a_simple_net_they_are_w_times_the_slopes(activation: str, batch: int, T: int) -> None:
    cell = nn.RNNCell(D, H, activation=activation, rng=0)
    start, hs, last = run(cell, T)
    slopes = 1 - hs.data**2 if activation == "tanh" else (hs.data > 0) * 1.0
    found = viz.step_jacobians((hs**2).sum() if T > 1 else [start, last], batch=batch)
    assert found.arrays.shape == (T, H, H)
    assert found.steps == tuple(range(T))
    assert relative_error(found.arrays, cell.W.data * slopes[:, batch, None, :]) < 1e-14


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_they_are_those_of_pytorch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    T, batch = 4, 1
    net = getattr(nn, kind)(D, H, rng=0, **({"reset": "after"} if kind == "GRU" else {}))
    peer = getattr(torch.nn, kind)(D, H).double()
    io.load_torch(net, {name: p.numpy() for name, p in peer.state_dict().items()})
    xs = normal(T, B, D)
    parts = [Tensor(normal(B, H, seed=k)) for k in range(len(net.cell.state))]
    _, last = net(xs, tuple(parts) if len(parts) > 1 else parts[0])
    found = viz.step_jacobians(last[0] if len(parts) > 1 else last, batch=batch)
    state = torch.tensor(np.concatenate([p.data[batch] for p in parts]))
    for t in range(T):
        def step(s: Any, t: int = t) -> Any:
            pieces = [piece[None, None] for piece in s.split(H)]
            _, after = peer(torch.tensor(xs[t : t + 1, batch : batch + 1]),
                            tuple(pieces) if len(pieces) > 1 else pieces[0])
            return torch.cat([a.reshape(-1) for a in after]) if len(pieces) > 1 else after.reshape(-1)

        theirs = torch.autograd.functional.jacobian(step, state).numpy().T
        if kind == "LSTM" and t == T - 1:  # the loss reads h_T alone, so c_T hands nothing on: it is there all the same
            assert found.states == ("h", "c")
        assert relative_error(found.arrays[t], theirs) < 1e-12
        state = step(state).detach()


CELLS: dict[str, Any] = {
    "rnn": lambda: nn.RNNCell(D, H, rng=0), "irnn": lambda: nn.IRNNCell(D, H, rng=0),
    "lstm": lambda: nn.LSTMCell(D, H, rng=0), "coupled": lambda: nn.CoupledLSTMCell(D, H, rng=0),
    "gru before": lambda: nn.GRUCell(D, H, rng=0), "gru after": lambda: nn.GRUCell(D, H, reset="after", rng=0),
    "mgu": lambda: nn.MGUCell(D, H, rng=0), "additive": lambda: nn.AdditiveCell(D, H, reads_state=True, rng=0),
}


@pytest.mark.parametrize("T", [1, 2, 30])
@pytest.mark.parametrize("name", CELLS)
def test_their_product_is_the_jacobian_from_end_to_end(name: str, T: int) -> None:
    start, hs, last = run(CELLS[name](), T)
    firsts, lasts = (s if isinstance(s, tuple) else (s,) for s in (start, last))
    loss = (hs**2).sum() + sum((s * s).sum() for s in lasts)
    found = viz.step_jacobians(loss if T > 1 else [start, last], batch=1)
    assert len(found.steps) == T
    columns = []
    for state in lasts:
        for unit in range(H):
            seed = np.zeros((B, H))
            seed[1, unit] = 1.0
            columns.append(np.concatenate([g[1] for g in mg.grad(state, firsts, seed=seed)]))
    assert relative_error(found.product(), np.array(columns).T) < 1e-12


@pytest.mark.parametrize("name", CELLS)
def test_a_list_of_states_gives_the_same(name: str) -> None:
    cell, xs = CELLS[name](), normal(6, B, D)
    state = tuple(Tensor(normal(B, H, seed=k)) for k in range(len(cell.state)))
    states: list[Any] = [state if len(state) > 1 else state[0]]
    for t, x in enumerate(xs):
        with scope(step=t):
            states.append(cell(x, states[-1]))
    last = states[-1]
    found = viz.step_jacobians(sum((s * s).sum() for s in (last if isinstance(last, tuple) else (last,))))
    given = viz.step_jacobians(states)
    assert (given.states, given.steps) == (found.states, found.steps)
    np.testing.assert_array_equal(given.arrays, found.arrays)
    without_scope = viz.step_jacobians([Tensor([[0.3, 0.1]]), *[Tensor([[0.3, 0.1]])]])
    assert without_scope.steps == (1,)
    assert not without_scope.arrays.any()


def test_of_an_lstm_the_cell_path_alone_is_the_forget_gate_and_the_rest_is_not_zero() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    start, _, last = run(cell)
    states, state = [start], start
    gates = []
    for x in normal(7, B, D, seed=9):
        z = state[0].data @ cell.W.data + x @ cell.U.data + cell.b.data
        gates.append(1 / (1 + np.exp(-z[:, H : 2 * H])))
        state = cell(x, state)
        states.append(state)
    found = viz.step_jacobians(last[1].sum() + last[0].sum(), batch=3)
    forget = np.array(gates)[:, 3]
    assert found.states == ("h", "c")
    assert relative_error(found.block("c", "c"), forget[:, :, None] * np.eye(H)) < 1e-14
    assert all(np.abs(found.block(after, before)).max() > 1e-2 for after, before in ("hh", "ch", "hc"))
    np.testing.assert_array_equal(found.block("c", "h"), found.arrays[:, :H, H:])


def test_there_is_one_less_if_the_first_state_is_no_node() -> None:
    hs, _ = nn.LSTM(D, H, rng=0)(normal(6, B, D))
    assert viz.step_jacobians(hs.sum()).steps == (1, 2, 3, 4, 5)
    hs, _ = nn.LSTM(D, H, rng=0)(normal(1, B, D))
    with pytest.raises(ValueError, match=r"say so: step_jacobians\(\[h0, h\]\)"):
        viz.step_jacobians(hs.sum())


def test_each_direction_and_each_layer_has_its_own() -> None:
    net = nn.RNN(D, H, num_layers=2, bidirectional=True, rng=0)
    hs, _ = net(normal(5, B, D))
    root, loss = hs, (hs**2).sum()
    ahead, back = root.data[..., :H], root.data[..., H:]
    cells = {(k, way): cell for k, way, cell in net.cells()}
    top = viz.step_jacobians(loss, layer=2, batch=1)
    assert top.steps == (1, 2, 3, 4)
    assert relative_error(top.arrays, cells[1, "forwards"].W.data * (1 - ahead[1:, 1, None] ** 2)) < 1e-14
    top = viz.step_jacobians(loss, layer=3, batch=1)
    assert top.steps == (3, 2, 1, 0)
    assert relative_error(top.arrays, cells[1, "backwards"].W.data * (1 - back[3::-1, 1, None] ** 2)) < 1e-14
    assert viz.step_jacobians(loss, layer=0).steps == (1, 2, 3, 4)
    with pytest.raises(ValueError, match="this graph has 4"):
        viz.step_jacobians(loss, layer=4)


def test_layers_side_by_side_in_one_loop_do_not_mix() -> None:
    lower, upper = nn.RNNCell(D, H, rng=0), nn.RNNCell(H, 2, rng=1)
    a: Any = Tensor(normal(1, H))
    b: Any = Tensor(normal(1, 2))
    lows, highs = [], []
    for t, x in enumerate(normal(4, 1, D)):
        with scope(step=t):
            with scope("lower"):
                a = lower(x, a)
            with scope("upper"):
                b = upper(a, b)
        lows.append(a.data[0])
        highs.append(b.data[0])
    loss = b.sum()
    for layer, cell, hs in ((0, lower, lows), (1, upper, highs)):
        found = viz.step_jacobians(loss, layer=layer)
        assert relative_error(found.arrays, cell.W.data * (1 - np.array(hs)[:, None] ** 2)) < 1e-14


@pytest.mark.parametrize("marked", [True, False])
def test_somebody_elses_cell_against_finite_differences(marked: bool) -> None:
    rng = np.random.default_rng(0)
    W, V = rng.standard_normal((4, 4)) / 2, rng.standard_normal((4, 4)) / 2
    h, m, expected = np.zeros((1, 4)), np.zeros((1, 4)), []
    for _ in range(5):
        x = rng.standard_normal((1, 4))

        def step(s: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            h, m = s[:4], s[4:]
            m = m + np.tanh(x[0] @ V + h) / (1 + np.exp(-(x[0] + h @ W)))
            return np.concatenate([h + np.tanh(m), m])

        s, J, tiny = np.concatenate([h[0], m[0]]), np.zeros((8, 8)), 1e-5
        for i in range(8):
            e = tiny * np.eye(8)[i]
            J[i] = (8 * (step(s + e) - step(s - e)) - (step(s + 2 * e) - step(s - 2 * e))) / (12 * tiny)
        expected.append(J)
        s = step(s)
        h, m = s[None, :4], s[None, 4:]
    found = viz.step_jacobians(own_cell(marked=marked))
    order = [*range(4), *range(4, 8)] if marked else None
    if not marked:  # without marks the order is that of making: m, then h
        order = [*range(4, 8), *range(4)] if found.states[0] != "h" else [*range(8)]
    assert relative_error(found.arrays, np.array(expected)[1:][:, order][:, :, order]) < 1e-9


def test_scalars_have_them_too() -> None:
    h = Value(0.3)
    slopes = []
    for t in range(5):
        with scope("neuron", step=t):
            h = mg.mark((0.7 * h + 0.1 * t).tanh(), "h", role="hidden")
        slopes.append(0.7 * (1 - h.data**2))
    found = viz.step_jacobians(h * h)
    assert found.arrays.reshape(-1) == pytest.approx(slopes, rel=1e-14)


def test_where_the_state_is_detached_the_jacobian_is_zero() -> None:
    cell = nn.RNNCell(D, H, rng=0)
    states: list[Any] = [Tensor(normal(B, H))]
    for x in normal(3, B, D):
        states.append(cell(x, states[-1].detach() if len(states) == 2 else states[-1]))
    found = viz.step_jacobians(states)
    assert [bool(J.any()) for J in found.arrays] == [True, False, True]
    assert found.transport()[-1] == -math.inf
    assert np.isfinite(found.transport()[:2]).all()


# ------------------------------------------------------------------------------------------------ what they say
@pytest.fixture
def simple() -> tuple[Any, viz.StepJacobians]:
    cell = nn.RNNCell(D, H, rng=0)
    _, hs, _ = run(cell, 12)
    return cell, viz.step_jacobians(hs.sum(), batch=2)


def test_singular_values_radii_and_transport_are_those_of_the_matrices(simple: Any) -> None:
    _, found = simple
    for j, J in enumerate(found.arrays):
        assert found.singular_values()[j] == pytest.approx(np.linalg.svd(J)[1], rel=1e-12)
        assert found.spectral_radii()[j] == pytest.approx(np.abs(np.linalg.eigvals(J)).max(), rel=1e-12)
        assert sorted(np.abs(found.eigenvalues()[j])) == pytest.approx(sorted(np.abs(np.linalg.eigvals(J))))
    for k, log in enumerate(found.transport()):
        product = np.linalg.multi_dot([np.eye(H), np.eye(H), *found.arrays[len(found.steps) - k :]])
        assert 10**log == pytest.approx(np.linalg.norm(product, 2), rel=1e-12)
        assert 10 ** found.product_singular_values()[k] == pytest.approx(np.linalg.svd(product)[1], rel=1e-6)
    rows = found.records()
    assert [row["step"] for row in rows] == list(range(12))
    assert rows[0]["log10_transport"] == found.transport()[-1]
    assert rows[-1]["log10_product_of_norms"] == found.product_of_norms()[1]
    assert rows[3]["largest"] == found.singular_values()[3, 0]


def test_the_truth_is_below_the_product_of_norms_and_that_below_the_bound(simple: Any) -> None:
    cell, found = simple
    truth, norms, bound = found.transport(), found.product_of_norms(), found.bound(cell.W)
    assert (truth <= norms + 1e-12).all()
    assert (norms <= bound + 1e-12).all()
    assert bound[1] == pytest.approx(math.log10(np.linalg.norm(cell.W.data, 2)), rel=1e-12)
    assert found.bound(cell.W, slope=0.25)[3] == pytest.approx(bound[3] + 3 * math.log10(0.25), rel=1e-12)
    assert truth[-1] < norms[-1] - 0.5
    with pytest.raises(ValueError, match="simple net"):
        found.bound(np.eye(H + 1))


def test_transport_between_parts_of_the_state_is_the_block_of_the_product() -> None:
    _, _, last = run(nn.LSTMCell(D, H, rng=0), 6)
    found = viz.step_jacobians(last[0].sum() + last[1].sum())
    whole = found.product()
    assert 10 ** found.transport("h", "c")[-1] == pytest.approx(np.linalg.norm(whole[H:, :H], 2), rel=1e-12)
    assert 10 ** found.transport()[-1] == pytest.approx(np.linalg.norm(whole, 2), rel=1e-12)
    with pytest.raises(ValueError, match=r"the state is \(h, c\)"):
        found.transport("m")


def of_matrices(arrays: Any) -> viz.StepJacobians:
    arrays = np.asarray(arrays, dtype=float)
    return viz.StepJacobians(("h",), (arrays.shape[1],), tuple(range(len(arrays))), arrays)


def test_nothing_underflows_or_overflows_on_the_way() -> None:
    J = np.diag([1e-3, 1e-5])
    assert of_matrices([J] * 1000).transport()[-1] == pytest.approx(-3000, rel=1e-12)
    assert of_matrices([J * 1e6] * 1000).transport()[-1] == pytest.approx(3000, rel=1e-12)
    assert of_matrices([J] * 2).product_singular_values()[1:] == pytest.approx(np.array([[-3, -5], [-6, -10]]))
    assert of_matrices([J] * 20).product_singular_values()[-1] == pytest.approx([-60, -100], rel=1e-14)


def test_exactly_zero_and_not_finite_stay_what_they_are() -> None:
    zero = of_matrices([np.eye(2), np.zeros((2, 2)), np.eye(2)])
    assert zero.transport().tolist() == [0, 0, -math.inf, -math.inf]
    assert zero.lyapunov(1)[0] == -math.inf
    broken = of_matrices([np.eye(2), np.full((2, 2), np.nan), np.eye(2)])
    assert np.isnan(broken.transport()[2:]).all()
    assert np.isnan(broken.singular_values()[1]).all()
    assert np.isnan(broken.spectral_radii()[1])
    assert np.isnan(broken.lyapunov()).all()


def test_lyapunov_exponents_of_a_constant_matrix_are_the_logs_of_its_eigenvalues() -> None:
    rng = np.random.default_rng(1)
    Q = rng.standard_normal((4, 4))
    J = Q @ np.diag([1.5, 0.9, 0.4, 0.1]) @ np.linalg.inv(Q)
    found = of_matrices([J] * 4000).lyapunov()
    assert found == pytest.approx(np.log([1.5, 0.9, 0.4, 0.1]), abs=2e-3)
    assert of_matrices([J] * 4000).lyapunov(1) == pytest.approx([math.log(1.5)], abs=2e-3)


def test_all_lyapunov_exponents_together_are_the_mean_log_determinant(simple: Any) -> None:
    _, found = simple
    expected = np.mean([np.linalg.slogdet(J)[1] for J in found.arrays])
    assert found.lyapunov().sum() == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="count"):
        found.lyapunov(6)


def test_the_largest_exponent_is_the_growth_of_the_norm_in_the_long_run() -> None:
    cell = nn.RNNCell(D, 20, rng=0)
    hs, _ = nn.unroll(cell, normal(400, 1, D))
    found = viz.step_jacobians(hs.sum())
    assert found.lyapunov(1)[0] == pytest.approx(found.transport()[-1] * math.log(10) / 399, rel=0.02)


def test_what_cannot_be_done_is_refused() -> None:
    hs, _ = nn.RNN(D, H, rng=0)(normal(3, B, D))
    with pytest.raises(ValueError, match="holds 4 sequences"):
        viz.step_jacobians(hs.sum(), batch=4)
    with pytest.raises(ValueError, match="no time steps"):
        viz.step_jacobians(Tensor(normal(3)).sum())
    with pytest.raises(TypeError, match=r"the 0-th holds a ndarray.*Tensor\(h0\)"):
        viz.step_jacobians([np.zeros((1, 2)), Tensor([[1.0, 2.0]])])
    with pytest.raises(ValueError, match="no states"):
        viz.step_jacobians([])
    with pytest.raises(ValueError, match="units at the end"):
        viz.step_jacobians([Tensor(normal(1, 3)), Tensor(normal(1, 4))])


def test_no_grad_is_touched() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    start, _, last = run(cell)
    viz.step_jacobians(last[0].sum())
    assert all(x.grad is None for x in [*start, *cell.parameters()])


def test_what_the_loss_does_not_read_of_the_last_step_is_not_in_the_graph() -> None:
    """concat of two directions: each is a run of its own, and the batch stays the batch."""
    xs = normal(4, B, D)
    ahead, _ = nn.RNN(D, H, rng=0)(xs)
    back, _ = nn.RNN(D, H, rng=1)(xs, reverse=True)
    loss = concat([ahead, back], axis=-1).sum()
    assert viz.step_jacobians(loss, layer=0).steps == (1, 2, 3)
    assert viz.step_jacobians(loss, layer=1).steps == (2, 1, 0)


def test_hooks_on_the_way_are_refused_and_those_elsewhere_are_not_called() -> None:
    net, xs = nn.RNN(3, 5, rng=0), np.random.default_rng(0).standard_normal((6, 2, 3))
    hs, h = net(xs)
    calls: list[Any] = []
    remove = hs.register_hook(calls.append)
    h.retain_grad()
    found = viz.step_jacobians((hs**2).sum() + h.sum())
    for j, J in enumerate(found.arrays):
        np.testing.assert_allclose(J, net.cell.W.data * (1 - hs.data[found.steps[j], 0] ** 2), rtol=1e-13)
    assert calls == []
    remove()
    h.register_hook(lambda g: np.clip(g, -0.01, 0.01))
    with pytest.raises(ValueError, match="a hook is registered on a state"):
        viz.step_jacobians((hs**2).sum() + h.sum())


def test_a_loss_on_the_cell_state_alone_leaves_the_hidden_state_a_part_of_the_state() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    (h0, c0), _, (_, c) = run(cell)
    found = viz.step_jacobians((c * normal(B, H, seed=5)).sum(), batch=2)
    assert (found.states, found.sizes, found.steps) == (("h", "c"), (H, H), (0, 1, 2, 3, 4, 5))  # h_7: nothing reads it
    _, last = nn.unroll(cell, normal(7, B, D, seed=9)[:6], (h0, c0))
    for j, after in enumerate(last):
        for unit in range(H):
            seed = np.zeros((B, H))
            seed[2, unit] = 1
            truth = np.concatenate([g[2] for g in mg.grad(after, [h0, c0], seed=seed)])
            assert relative_error(found.product()[:, j * H + unit], truth) < 1e-12


def test_states_that_swap_places_are_one_state() -> None:
    """The loss reads a alone, and a_t is b_{t-1}: without b the product would be 0."""
    W, a0, b0 = Tensor(normal(H, H)), Tensor(normal(B, H, seed=1)), Tensor(normal(B, H, seed=2))

    def swap(x: Any, state: Any) -> Any:
        a, b = state
        return mg.mark(b * 1.0, "a", role="hidden"), mg.mark((a @ W).tanh(), "b", role="hidden")

    hs, (a, b) = nn.unroll(swap, normal(6, B, D), (a0, b0))
    found = viz.step_jacobians(hs[-1].sum(), batch=1)  # hs holds a of every step
    assert (found.states, found.steps) == (("a", "b"), (0, 1, 2, 3, 4))
    whole = viz.step_jacobians(a.sum() + b.sum(), batch=1)
    assert whole.steps == (0, 1, 2, 3, 4, 5)
    assert (found.arrays == whole.arrays[:5]).all()
    assert np.isfinite(found.transport()).all()
    with pytest.raises(ValueError, match=r"of no step does the loss depend on all of \(b, a\)"):
        viz.step_jacobians(a.sum())  # a_6, b_5, a_4, ...


@pytest.mark.parametrize("off", range(5))
def test_a_direction_that_is_lost_at_one_step_has_the_exponent_minus_infinity(off: int) -> None:
    arrays = normal(40, 5, 5)
    arrays[17][:, off] = 0  # a ReLU that is off
    found = viz.StepJacobians(("h",), (5,), tuple(range(40)), arrays).lyapunov()
    assert np.isfinite(found[:4]).all()
    assert found[4] == -math.inf == np.linalg.slogdet(arrays)[1].mean()


def test_of_a_step_of_rank_one_one_exponent_is_left_and_small_units_are_not_lost() -> None:
    arrays = normal(40, 5, 5)
    arrays[17] = np.outer(arrays[17][0], arrays[17][1])
    found = viz.StepJacobians(("h",), (5,), tuple(range(40)), arrays).lyapunov()
    assert np.isfinite(found[0])
    assert (found[1:] == -math.inf).all()
    small = viz.StepJacobians(("h",), (3,), tuple(range(400)), np.array([np.diag([1, 1e-20, 1e-30])] * 400)).lyapunov()
    assert relative_error(small, np.log([1, 1e-20, 1e-30])) < 0.01


def test_a_jordan_net_with_more_outputs_than_units_loses_directions() -> None:
    cell = nn.JordanCell(D, 3, H, rng=0)
    _, o = nn.unroll(cell, normal(9, B, D), Tensor(normal(B, H)))
    found = viz.step_jacobians(o.sum()).lyapunov()
    assert np.isfinite(found[:3]).all()
    assert (found[3:] == -math.inf).all()
