"""Cells, layers and unrolling: sizes, dtypes, seeds, plain functions, error messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn

D, H, B, T = 4, 5, 3, 6
CELLS = [
    (nn.RNNCell, {}, 1), (nn.LSTMCell, {}, 4), (nn.GRUCell, {"reset": "before"}, 3), (nn.GRUCell, {"reset": "after"}, 3)
]
every_cell = pytest.mark.parametrize(("cell_type", "options", "n"), CELLS)


def hidden(state: Any) -> Any:
    return state[0] if isinstance(state, tuple) else state


@every_cell
def test_parameters_have_the_shapes_of_the_equations(cell_type: Any, options: Any, n: int) -> None:
    cell = cell_type(D, H, rng=0, **options)
    shapes = {name: p.shape for name, p in cell.named_parameters()}
    after = {"b_n": (H,)} if options.get("reset") == "after" else {}
    assert shapes == {"U": (D, n * H), "W": (H, n * H), "b": (n * H,), **after}
    assert [(p.symbol, p.role) for p in cell.parameters()] == [(name, "parameter") for name in shapes]


@every_cell
def test_a_seed_fixes_the_parameters(cell_type: Any, options: Any, n: int) -> None:
    a, b, c = (cell_type(D, H, rng=seed, **options).state_dict() for seed in (0, 0, 1))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert not np.array_equal(a["U"], c["U"])
    rng = np.random.default_rng(0)
    first, second = cell_type(D, H, rng=rng, **options), cell_type(D, H, rng=rng, **options)
    np.testing.assert_array_equal(first.U.data, a["U"])
    assert not np.array_equal(second.U.data, a["U"])


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_from_parameters_to_gradients(cell_type: Any, options: Any, n: int, dtype: Any) -> None:
    cell = cell_type(D, H, rng=0, dtype=dtype, **options)
    x = Tensor(np.ones((T, B, D), dtype=dtype))
    hs, state = nn.unroll(cell, x)
    assert hs.dtype == hidden(state).dtype == dtype
    hs.sum().backward()
    assert {p.dtype for p in cell.parameters()} == {p.grad.dtype for p in cell.parameters()} == {np.dtype(dtype)}
    assert x.grad.dtype == dtype


@every_cell
def test_a_layer_is_its_cell_in_a_loop(cell_type: Any, options: Any, n: int) -> None:
    layers = {nn.RNNCell: nn.RNN, nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU}
    layer, cell = layers[cell_type](D, H, rng=0, **options), cell_type(D, H, rng=0, **options)
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    hs, last = layer(xs)
    unrolled, last_unrolled = nn.unroll(cell, xs)
    state, loop = None, []
    for x in xs:
        state = cell(x, state)
        loop.append(hidden(state))
    np.testing.assert_array_equal(hs.data, unrolled.data)
    np.testing.assert_array_equal(hidden(last).data, hidden(last_unrolled).data)
    np.testing.assert_allclose(hs.data, mg.stack(loop).data, rtol=1e-14)
    (hs * hs).sum().backward()
    (mg.stack(loop) * mg.stack(loop)).sum().backward()
    for a, b in zip(layer.parameters(), cell.parameters(), strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-11, atol=1e-13)


def test_gradients_through_time_equal_those_of_untied_cells() -> None:
    """The same weights in T cells of their own: the shared gradient is the sum of theirs."""
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    shared, copies = nn.LSTMCell(D, H, rng=0), [nn.LSTMCell(D, H, rng=0) for _ in range(T)]

    def loss(cells: list[Any]) -> Any:
        state = None
        for x, cell in zip(xs, cells, strict=True):
            state = cell(x, state)
        return (state[0] * state[0]).sum()

    loss([shared] * T).backward()
    loss(copies).backward()
    for k, p in enumerate(shared.parameters()):
        np.testing.assert_allclose(p.grad, sum(c.parameters()[k].grad for c in copies), rtol=1e-12, atol=1e-15)


def test_the_forget_bias_fills_the_second_block_of_b() -> None:
    for bias in (1.0, 2.0, 0.0):
        b = nn.LSTMCell(D, H, forget_bias=bias, rng=0).b.data
        assert (b[H : 2 * H] == bias).all()
        assert not (b[:H] == bias).any()
    assert (nn.LSTM(D, H, rng=0).cell.b.data[H : 2 * H] == 1.0).all()


def test_an_activation_may_be_any_function() -> None:
    x = np.random.default_rng(0).standard_normal((B, D))
    plain = nn.RNNCell(D, H, activation=lambda z: z, rng=0)
    relu = nn.RNNCell(D, H, activation="relu", rng=0)
    np.testing.assert_allclose(np.maximum(plain(x).data, 0), relu(x).data)


def test_unroll_takes_a_plain_function_on_tensors() -> None:
    xs = Tensor(np.arange(12.0).reshape(4, 3))
    outputs, last = nn.unroll(lambda x, h: 0.5 * h + x, xs, np.zeros(3))
    assert outputs.shape == (4, 3)
    np.testing.assert_array_equal(outputs.data[-1], last.data)
    g = mg.grad(last.sum(), xs)
    np.testing.assert_array_equal(g, np.array([[0.125], [0.25], [0.5], [1.0]]) * np.ones((4, 3)))


def test_unroll_tags_each_step_and_hands_out_the_first_part_of_a_tuple() -> None:
    steps = []

    def cell(x: Any, state: Any) -> Any:
        h, count = state
        node = h + x
        steps.append(node.scope.step)
        return node, count + 1

    outputs, (_, count) = nn.unroll(cell, Tensor(np.ones((4, 3))), (np.zeros(3), 0))
    assert (steps, count) == ([0, 1, 2, 3], 4)
    np.testing.assert_array_equal(outputs.data[:, 0], [1, 2, 3, 4])


def test_the_same_loop_runs_on_values() -> None:
    u, w, h = Value(0.5), Value(0.9), Value(0.0)
    for x in (1.0, -1.0, 0.5):
        h = (u * x + w * h).tanh()
    h.backward()
    U, W, state = Tensor([[0.5]]), Tensor([[0.9]]), np.zeros((1, 1))
    _, last = nn.unroll(lambda x, s: (x @ U + s @ W).tanh(), np.array([1.0, -1.0, 0.5]).reshape(3, 1, 1), state)
    last.sum().backward()
    assert (u.grad, w.grad) == (pytest.approx(U.grad.item()), pytest.approx(W.grad.item()))


def test_a_state_carried_over_is_differentiated_through_until_it_is_detached() -> None:
    layer = nn.LSTM(D, H, rng=0)
    xs = np.random.default_rng(0).standard_normal((2, T, B, D))
    first = Tensor(xs[0])
    _, state = layer(first)
    hs, _ = layer(xs[1], state)
    assert np.abs(mg.grad(hs.sum(), first)).max() > 0
    hs, _ = layer(xs[1], tuple(s.detach() for s in state))
    assert np.abs(mg.grad(hs.sum(), first)).max() == 0


@every_cell
def test_shapes_that_do_not_fit_are_named(cell_type: Any, options: Any, n: int) -> None:
    cell = cell_type(D, H, rng=0, **options)
    name = cell_type.__name__
    with pytest.raises(ValueError, match=rf"{name}: expected x of shape \(B, {D}\).*\(3, 7\)"):
        cell(np.ones((B, 7)))
    with pytest.raises(ValueError, match=rf"expected xs of shape \(T, B, {D}\), got \(3, {D}\)"):
        nn.unroll(cell, np.ones((B, D)))
    with pytest.raises(ValueError, match=rf"{name}.*\(T, B, {D}\)"):
        nn.unroll(cell, np.ones((T, B, 7)))
    with pytest.raises(ValueError, match="empty"):
        nn.unroll(cell, np.ones((0, B, D)))
    bad = np.ones((B, H + 1))
    with pytest.raises(ValueError, match=rf"{name}: the state is .*\({B}, {H}\).* got \({B}, {H + 1}\)"):
        cell(np.ones((B, D)), (bad, bad) if cell_type is nn.LSTMCell else bad)


@pytest.mark.parametrize("batch", [2, B])
def test_an_lstm_given_one_array_as_its_state_says_it_needs_a_pair(batch: int) -> None:
    h = np.ones((batch, H))
    for run in (lambda: nn.LSTMCell(D, H, rng=0)(np.ones((batch, D)), h),
                lambda: nn.LSTM(D, H, rng=0)(np.ones((T, batch, D)), h)):
        with pytest.raises((TypeError, ValueError), match=r"LSTMCell.*h, c"):
            run()


@pytest.mark.parametrize("cell_type", [nn.RNNCell, nn.GRUCell])
def test_a_cell_of_one_state_given_a_pair_says_so(cell_type: Any) -> None:
    h = np.ones((B, H))
    with pytest.raises((TypeError, ValueError), match=cell_type.__name__):
        cell_type(D, H, rng=0)(np.ones((B, D)), (h, h))


@every_cell
def test_a_state_of_another_batch_size_is_refused(cell_type: Any, options: Any, n: int) -> None:
    h = np.ones((2, H))
    with pytest.raises(ValueError, match=rf"{cell_type.__name__}: the state is .*\({B}, {H}\).* got \(2, {H}\)"):
        cell_type(D, H, rng=0, **options)(np.ones((B, D)), (h, h) if cell_type is nn.LSTMCell else h)


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "5", None])
def test_sizes_must_be_positive_integers(bad: Any) -> None:
    with pytest.raises(ValueError, match="hidden_size must be a positive integer"):
        nn.LSTMCell(D, bad)
    with pytest.raises(ValueError, match="input_size must be a positive integer"):
        nn.GRU(bad, H)


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="'before' or 'after'"):
        nn.GRU(D, H, reset="during")
    with pytest.raises(ValueError, match="'tanh', 'relu'"):
        nn.RNN(D, H, activation="softsign")
    with pytest.raises(ValueError, match="needs its first state"):
        nn.unroll(lambda x, h: h, np.ones((T, B, D)))


def test_a_cell_takes_plain_arrays_and_records_only_what_depends_on_parameters() -> None:
    cell = nn.RNNCell(D, H, rng=0)
    with mg.no_grad():
        assert not cell(np.ones((B, D))).requires_grad
    assert cell(np.ones((B, D))).requires_grad
