"""The systems, one test (or two) for each; the equations are written out by hand in `systems`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn, optim
from microgradrnn.data import adding
from tests.nn import systems as by_hand
from tests.nn.systems import ancestors, assert_gradients, jacobian, marked, paths
from tests.numerics import assert_same, complex_step, relative_error

D, H, K, B, T = 3, 5, 4, 2, 6


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def set_bias(cell: Any, **blocks: float) -> None:
    """Fill blocks of b; the names say which: i=0, ... are positions, as in ``set_bias(cell, b0=1e3)``."""
    b = np.array(cell.b.data)
    for name, value in blocks.items():
        k = int(name[1:])
        b[k * cell.hidden_size : (k + 1) * cell.hidden_size] = value
    cell.b.data = b


# ------------------------------------------------------------------------------------------------ plain recurrences
@pytest.mark.parametrize("T", [1, 7, 25, 100])
def test_s01_the_simple_net_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.RNNCell(D, H, rng=0), by_hand.rnn(), T)


@pytest.mark.parametrize("T", [1, 7, 25])
def test_s02_the_relu_net_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.RNNCell(D, H, activation="relu", rng=0), by_hand.rnn(by_hand.relu), T)


def test_s02_where_all_units_are_positive_the_gradient_is_multiplied_by_w_alone() -> None:
    cell = nn.RNNCell(D, H, activation="relu", rng=0)
    cell.W.data, cell.U.data = np.abs(cell.W.data), np.abs(cell.U.data)
    hs, _ = nn.unroll(cell, np.abs(normal(T, B, D)), np.ones((B, H)))
    loss = (hs[-1] ** 2).sum()
    z = marked(loss, "z")
    assert len(z) == T
    assert all((node.data > 0).all() for node in z)
    first, last = mg.grad(loss, [z[0], z[-1]])
    assert relative_error(first, last @ np.linalg.matrix_power(cell.W.data.T, T - 1)) < 1e-14


def test_s03_irnn_without_input_keeps_what_is_positive_for_a_thousand_steps() -> None:
    cell, h0 = nn.IRNNCell(D, H, std=0.0, rng=0), Tensor(normal(1, H))
    _, h = nn.unroll(cell, normal(1000, 1, D), h0)
    np.testing.assert_array_equal(h.data, np.maximum(h0.data, 0))
    np.testing.assert_array_equal(jacobian(h, h0), np.diag((h0.data[0] > 0).astype(float)))


def test_s03_irnn_starts_as_the_identity_and_its_layer_too() -> None:
    cell = nn.IRNN(D, H, std=0.01, rng=0).cell
    np.testing.assert_array_equal(cell.W.data, np.eye(H))
    assert not cell.b.data.any()
    assert 0 < np.abs(cell.U.data).max() < 0.05
    assert [p.symbol for p in cell.parameters()] == ["U", "W", "b"]


def test_s03_irnn_learns_to_add_two_numbers_a_hundred_steps_apart() -> None:
    """Always to say 1 has an error of 1/6; measured, it is below 0.02 after 500 updates (other seeds: 700 and 750)."""
    net, head = nn.IRNN(2, 32, rng=1, dtype=np.float32), nn.Linear(32, 1, rng=1, dtype=np.float32)
    adam = optim.Adam([*net.parameters(), *head.parameters()], lr=3e-3)
    rng, held_out = np.random.default_rng([1, 1]), adding(100, 500, 2)

    def error(x: Any, y: Any) -> Any:
        return nn.mse(head(net(x.astype(np.float32))[0][-1]), y)

    for n in range(1200):
        loss = error(*adding(100, 32, rng))
        adam.zero_grad()
        loss.backward()
        optim.clip_grad_norm(adam.parameters, 1.0)
        adam.step()
        if n % 50 == 49:
            with mg.no_grad():
                if error(*held_out).item() < 0.02:
                    return
    pytest.fail("not learned in 1200 updates")


@pytest.mark.parametrize(("feedback", "rank"), [(None, 3), (mg.softmax, 2)])
def test_s04_jordans_memory_must_pass_through_k_numbers(feedback: Any, rank: int) -> None:
    cell = nn.JordanCell(D, 8, 3, feedback=feedback, rng=0)
    os, _ = nn.unroll(cell, normal(T, 1, D))
    h = marked(os, "h")
    assert np.linalg.matrix_rank(jacobian(h[3], h[2]), tol=1e-12) == rank


@pytest.mark.parametrize("T", [1, 7, 25])
def test_s04_jordans_net_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.JordanCell(D, H, K, rng=0), by_hand.jordan, T)


@pytest.fixture
def tagged() -> dict[str, Any]:
    layer, head, x = nn.RNN(D, H, rng=0), nn.Linear(H, K, rng=1), Tensor(normal(T, B, D))
    y = np.random.default_rng(1).integers(0, K, (T, B))
    hs, _ = layer(x)
    os = head(hs)
    losses = [nn.cross_entropy(os[t], y[t], reduction="sum") for t in range(T)]
    return {"layer": layer, "head": head, "x": x, "hs": hs, "os": os, "y": y, "losses": losses,
            "parameters": [*layer.parameters(), *head.parameters()]}


def test_s05_a_loss_at_the_last_step_is_the_tagging_loss_with_weight_on_that_step_alone(tagged: Any) -> None:
    last = nn.cross_entropy(tagged["head"](nn.last_step(tagged["hs"])), tagged["y"][-1], reduction="sum")
    weighted = sum(weight * loss for weight, loss in zip([0.0] * (T - 1) + [1.0], tagged["losses"], strict=True))
    for a, b in zip(*(mg.grad(loss, tagged["parameters"]) for loss in (last, weighted)), strict=True):
        assert_same(a, b, rel=1e-15)
    g = mg.grad(weighted, tagged["os"])
    assert not g[:-1].any()
    assert g[-1].all()


def test_s06_with_mean_pooling_every_step_gets_one_t_th_of_the_gradient_directly(tagged: Any) -> None:
    head, hs, y = tagged["head"], tagged["hs"], tagged["y"][-1]
    o = head(nn.mean_over_steps(hs))
    direct = mg.grad(nn.cross_entropy(o, y, reduction="sum"), hs)
    p = np.exp(o.data) / np.exp(o.data).sum(-1, keepdims=True)
    for t in range(T):
        assert_same(direct[t], (p - np.eye(K)[y]) @ head.V.data.T / T, rel=1e-14)


def test_s06_mean_pooling_reaches_the_first_step_where_the_last_state_does_not() -> None:
    cell, head = nn.RNNCell(D, 50, rng=0), nn.Linear(50, K, rng=1)
    cell.W.data, cell.U.data = 0.6 / math.sqrt(50) * normal(50, 50), normal(D, 50, seed=2)
    h = cell(Tensor(normal(1, D, seed=1)))
    hs, _ = nn.unroll(cell, normal(99, 1, D), h)
    hs = mg.concat([mg.expand_dims(h, 0), hs])
    mean, last = (np.linalg.norm(mg.grad(nn.cross_entropy(head(pooled), [1]), h))
                  for pooled in (nn.mean_over_steps(hs), nn.last_step(hs)))
    assert 1e-3 < mean < 1
    assert 0 < last < 1e-36


def test_s07_without_recurrence_the_net_is_a_feed_forward_one(tagged: Any) -> None:
    cell, head, x = tagged["layer"].cell, tagged["head"], tagged["x"].data
    cell.W.data = np.zeros((H, H))
    logits = head(tagged["layer"](x)[0]).data
    hidden = np.tanh(x @ cell.U.data + cell.b.data)
    np.testing.assert_array_equal(logits, hidden @ head.V.data + head.d.data)


def test_s08_one_to_many_has_one_input_and_t_outputs() -> None:
    layer, head, x = nn.RNN(D, H, rng=0), nn.Linear(H, K, rng=1), Tensor(normal(B, D))
    xs = nn.one_to_many(x, T)
    os = head(layer(xs)[0])
    assert os.shape == (T, B, K)
    others = {*layer.parameters(), *head.parameters()}
    assert [node for node in ancestors(os) if node.is_leaf and node.requires_grad and node not in others] == [x]
    spread = Tensor(np.concatenate([x.data[None], np.zeros((T - 1, B, D))]))
    same = head(layer(spread)[0])
    np.testing.assert_array_equal(os.data, same.data)
    assert_same(mg.grad((os**2).sum(), x), mg.grad((same**2).sum(), spread)[0], rel=1e-14)


def test_s08_one_to_many_may_read_its_previous_output() -> None:
    cell, head, x = nn.RNNCell(K, H, rng=0), nn.Linear(H, K, rng=1), Tensor(normal(B, K))
    h, said = None, [x]
    for _ in range(T):
        h = cell(said[-1], h)
        said.append(head(h))
    os = mg.stack(said[1:])
    assert os.shape == (T, B, K)
    others = {*cell.parameters(), *head.parameters()}
    assert [node for node in ancestors(os) if node.is_leaf and node.requires_grad and node not in others] == [x]

    def loss(x: Any, U: Any, W: Any, b: Any, V: Any, d: Any) -> Any:
        h, total = np.zeros((B, H)), 0.0
        for _ in range(T):
            h = np.tanh(x @ U + h @ W + b)
            x = h @ V + d
            total = total + (x**2).sum()
        return total

    nodes = [x, cell.U, cell.W, cell.b, head.V, head.d]
    expected = complex_step(loss, [np.asarray(node.data) for node in nodes])
    for g, theirs in zip(mg.grad((os**2).sum(), nodes), expected, strict=True):
        assert_same(g, theirs, rel=1e-12)


def test_s09_many_to_one_reads_each_sequence_to_its_own_end() -> None:
    layer, lengths = nn.GRU(D, H, rng=0), [T, 2]
    xs = normal(T, B, D)
    hs, h = layer(xs, lengths=lengths)
    np.testing.assert_array_equal(nn.last_step(hs, lengths).data, h.data)
    for b, n in enumerate(lengths):
        alone, _ = layer(xs[:n, b : b + 1])
        assert_same(nn.last_step(hs, lengths).data[b], alone.data[-1, 0], rel=1e-14)
        assert_same(nn.mean_over_steps(hs, lengths).data[b], alone.data.mean(0)[0], rel=1e-14)


def test_s10_a_tagger_sees_the_past_and_nothing_of_the_future(tagged: Any) -> None:
    for t, loss in enumerate(tagged["losses"]):
        g = mg.grad(loss, tagged["x"])
        assert not g[t + 1 :].any()
        assert g[: t + 1].all()


def seq2seq(encoder: Any, decoder: Any) -> Any:
    return nn.EncoderDecoder(encoder, decoder, nn.Embedding(9, D, rng=2), nn.Embedding(7, D, rng=3),
                             nn.Linear(H, 7, rng=4), start=0)


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM])
def test_s11_the_encoder_learns_only_through_its_last_state(layer: Any) -> None:
    net = seq2seq(layer(D, H, rng=0), layer(D, H, rng=1))
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 9, (T, B)), rng.integers(0, 7, (4, B))
    nn.cross_entropy(net(source, target), target).backward()
    assert all(np.abs(p.grad).max() > 0 for p in net.parameters())
    net.zero_grad()
    state = net.encode(source)
    cut = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
    inputs = np.concatenate([np.zeros((1, B), int), target[:-1]])
    nn.cross_entropy(net.decode(inputs, cut)[0], target).backward()
    assert all(p.grad is None for p in [*net.encoder.parameters(), *net.source.parameters()])


def test_s11_with_shared_weights_it_is_one_net_of_t_plus_s_steps() -> None:
    shared = nn.RNN(D, H, rng=0)
    net = seq2seq(shared, shared)
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 9, (T, B)), rng.integers(0, 7, (4, B))
    loss = nn.cross_entropy(net(source, target), target)
    inputs = np.concatenate([np.zeros((1, B), int), target[:-1]])
    hs, _ = shared(mg.concat([net.source(source), net.target(inputs)]))
    single = nn.cross_entropy(net.head(hs[T:]), target)
    for a, b in zip(*(mg.grad(L, net.parameters()) for L in (loss, single)), strict=True):
        assert_same(a, b, rel=1e-14)


def test_s11_free_running_reads_what_it_said_itself() -> None:
    net = seq2seq(nn.GRU(D, H, rng=0), nn.GRU(D, H, rng=1))
    source = np.random.default_rng(0).integers(0, 9, (T, B))
    said = net.generate(source, 5)
    assert said.shape == (5, B)
    np.testing.assert_array_equal(net(source, said).data.argmax(-1), said)


def test_s12_a_language_model_that_knows_nothing_pays_ln_k_a_symbol() -> None:
    ids = np.random.default_rng(0).integers(0, 76, (T + 1, B))
    head = nn.Linear(H, 76, rng=1)
    head.V.data, head.d.data = 1e-3 * normal(H, 76), np.zeros(76)
    hs, _ = nn.RNN(76, H, rng=0)(np.eye(76)[ids[:-1]])
    assert nn.cross_entropy(head(hs), ids[1:]).item() == pytest.approx(math.log(76), abs=1e-2)


@pytest.mark.parametrize("T", [1, 7, 1000])
def test_s13_additive_recurrence_transports_losslessly_and_cannot_tell_the_order(T: int) -> None:
    cell, h0, xs = nn.AdditiveCell(D, H, rng=0), Tensor(normal(1, H)), normal(T, 1, D)
    hs, h = nn.unroll(cell, xs, h0)
    np.testing.assert_array_equal(jacobian(h, marked(h, "h")[0]), np.eye(H))
    np.testing.assert_array_equal(jacobian(h, h0), np.eye(H))
    g = np.tanh(xs @ cell.U.data + cell.b.data)
    assert_same(hs.data, h0.data + g.cumsum(0), rel=1e-13)
    shuffled = nn.unroll(cell, np.random.default_rng(1).permutation(xs), h0)[1]
    assert_same(shuffled.data, h.data, rel=1e-13)
    assert [name for name, _ in cell.named_parameters()] == ["U", "b"]


@pytest.mark.parametrize("T", [1, 25])
def test_s14_additive_recurrence_with_state_is_no_longer_lossless(T: int) -> None:
    cell = nn.AdditiveCell(D, H, reads_state=True, rng=0)
    assert_gradients(cell, by_hand.additive, T)
    h0, xs = normal(1, H), normal(T, 1, D)
    start = Tensor(h0)
    h = nn.unroll(cell, xs, start)[1]

    def last(h: Any, k: int) -> Any:
        for x in xs:
            (h,) = by_hand.additive(x, (h,), {"U": cell.U.data, "W": cell.W.data, "b": cell.b.data})
        return h[0, k]

    expected = np.array([complex_step(lambda h, k=k: last(h, k), [h0])[0][0] for k in range(H)])
    assert relative_error(jacobian(h, start), expected) < 1e-12
    steps, product = [start], np.eye(H)
    for x in xs:
        steps.append(cell(x, steps[-1]))
        g = steps[-1].data - steps[-2].data
        step = jacobian(steps[-1], steps[-2])
        assert relative_error(step, np.eye(H) + ((1 - g * g) * cell.W.data).T) < 1e-12, "I + ∂g/∂h"
        product = step @ product
    assert relative_error(product, expected) < 1e-12
    assert np.abs(expected - np.eye(H)).max() > 0.01
    order = nn.unroll(cell, xs[::-1].copy(), start)[1]
    assert T == 1 or np.abs(order.data - h.data).max() > 1e-3


def test_s15_in_a_linear_recurrence_the_jacobian_is_a_power_of_w() -> None:
    cell = nn.RNNCell(D, H, activation=lambda z: z, rng=0)
    z = marked(nn.unroll(cell, normal(T, 1, D))[1], "h")  # h = z, one node
    assert len(z) == T
    for k in range(T):
        assert_same(jacobian(z[-1], z[k]).T, np.linalg.matrix_power(cell.W.data, T - 1 - k), rel=1e-14)
    cell.W.data = np.random.default_rng(0).integers(-2, 3, (H, H)).astype(float)  # whole numbers: nothing is rounded
    z = marked(nn.unroll(cell, normal(T, 1, D))[1], "h")
    for t in range(T):
        for k in range(t + 1):
            np.testing.assert_array_equal(jacobian(z[t], z[k]).T, np.linalg.matrix_power(cell.W.data, t - k))


def test_s16_an_orthogonal_matrix_keeps_every_norm_for_a_thousand_steps() -> None:
    cell = nn.RNNCell(D, H, activation=lambda z: z, bias=False, rng=0)
    cell.W.data = nn.init.orthogonal(np.random.default_rng(0), (H, H))
    v = Tensor(normal(1, H))
    _, h = nn.unroll(cell, np.zeros((1000, 1, D)), v)
    assert np.linalg.norm(h.data) == pytest.approx(np.linalg.norm(v.data), rel=1e-12)
    seed = normal(1, H, seed=1)
    assert np.linalg.norm(mg.grad(h, v, seed=seed)) == pytest.approx(np.linalg.norm(seed), rel=1e-12)


# -------------------------------------------------------------------------------------------------- LSTM family
@pytest.mark.parametrize("T", [1, 7, 25])
def test_s17_the_lstm_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.LSTMCell(D, H, rng=0), by_hand.lstm(), T)


def test_s17_the_total_jacobian_of_the_cell_state_has_its_four_routes() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    W_i, W_f, W_g, _ = np.split(cell.W.data, 4, axis=1)
    _, (h0, c0) = nn.unroll(cell, normal(3, 1, D), (normal(1, H), normal(1, H, seed=1)))
    o_before = marked(h0, "o")[-1].data[0]
    _, c1 = cell(normal(1, D, seed=2), (h0, c0))
    i, f, g = (marked(c1, s)[-1].data[0] for s in "ifg")
    c = c0.data[0]
    through_h = (W_f * (c * f * (1 - f)) + W_i * (g * i * (1 - i)) + W_g * (i * (1 - g * g)))
    by_formula = np.diag(f) + np.diag(o_before * (1 - np.tanh(c) ** 2)) @ through_h
    assert relative_error(jacobian(c1, c0).T, by_formula) < 1e-14


def test_s18_concatenated_weights_are_the_same_lstm() -> None:
    split = nn.LSTMCell(D, H, rng=0)
    joined = nn.LSTMCell.from_concatenated(np.concatenate([split.W.data, split.U.data]), split.b.data)
    x, h, c = normal(B, D), normal(B, H), normal(B, H, seed=1)
    for a, b in zip(split(x, (h, c)), joined(x, (h, c)), strict=True):
        assert_same(a.data, b.data, rel=1e-15)
    W, U, b = split.W.data, split.U.data, split.b.data
    z = np.concatenate([h, x], axis=1) @ np.concatenate([W, U]) + b
    i, f, g, o = np.split(z, 4, axis=1)
    c = by_hand.sigma(f) * c + by_hand.sigma(i) * np.tanh(g)
    assert_same(joined(x, (h, normal(B, H, seed=1)))[0].data, by_hand.sigma(o) * np.tanh(c), rel=1e-15)


@pytest.mark.parametrize("cell_type", [nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.MGUCell])
def test_s18_every_cell_takes_concatenated_weights(cell_type: Any) -> None:
    split = cell_type(D, H, rng=0)
    joined = cell_type.from_concatenated(np.concatenate([split.W.data, split.U.data]), split.b.data)
    assert {n: p.shape for n, p in joined.named_parameters()} == {n: p.shape for n, p in split.named_parameters()}
    hs = [nn.unroll(cell, normal(T, B, D))[0].data for cell in (split, joined)]
    np.testing.assert_array_equal(*hs)


def test_s18_concatenated_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the rows for h first.*got \(8, 21\)"):
        nn.LSTMCell.from_concatenated(np.ones((8, 21)))
    with pytest.raises(ValueError, match=r"got \(5, 20\)"):
        nn.LSTMCell.from_concatenated(np.ones((5, 20)))
    with pytest.raises(ValueError, match=r"\(19,\)"):
        nn.LSTMCell.from_concatenated(np.ones((8, 20)), np.ones(19))


@pytest.mark.parametrize(
    ("cell_type", "options"),
    [(nn.RNNCell, {}), (nn.LSTMCell, {}), (nn.GRUCell, {"reset": "before"}), (nn.GRUCell, {"reset": "after"}),
     (nn.MGUCell, {}), (nn.AdditiveCell, {}), (nn.CarouselLSTMCell, {}), (nn.UpdateGateLSTMCell, {}),
     (nn.CoupledLSTMCell, {})],
)  # fmt: skip
def test_s19_a_cell_without_biases_is_one_whose_biases_are_zero(cell_type: Any, options: Any) -> None:
    bare, zero = cell_type(D, H, bias=False, rng=0, **options), cell_type(D, H, rng=0, **options)
    assert not [name for name, _ in bare.named_parameters() if name.startswith("b")]
    for name, p in zero.named_parameters():
        p.data = np.zeros(p.shape) if name.startswith("b") else getattr(bare, name).data
    a, b = (nn.unroll(cell, normal(T, B, D))[0] for cell in (bare, zero))
    np.testing.assert_array_equal(a.data, b.data)
    for p, g in zip(bare.parameters(), mg.grad(a.sum(), bare.parameters()), strict=True):
        [name] = [name for name, q in bare.named_parameters() if q is p]
        assert_same(g, mg.grad(b.sum(), getattr(zero, name)), rel=1e-14)


def test_s20_the_update_gate_that_nothing_reads_changes_nothing_and_gets_no_gradient() -> None:
    cell, xs = nn.UpdateGateLSTMCell(D, H, rng=0), normal(T, B, D)
    hs, (_, c) = nn.unroll(cell, xs)
    loss = (hs**2).sum() + c.sum()
    loss.backward()
    assert not marked(loss, "u")
    assert {s: len(marked(loss, s)) for s in "ifgo"} == dict.fromkeys("ifgo", T)
    for p in (cell.U, cell.W, cell.b):
        assert not p.grad[..., 4 * H :].any()
        assert p.grad[..., : 4 * H].all()
        changed = np.array(p.data)
        changed[..., 4 * H :] = 1e3 * normal(*changed[..., 4 * H :].shape)
        p.data = changed
    np.testing.assert_array_equal(nn.unroll(cell, xs)[0].data, hs.data)


@pytest.mark.parametrize("T", [1, 7, 25])
def test_s20_repaired_one_gate_forgets_and_writes(T: int) -> None:
    cell = nn.CoupledLSTMCell(D, H, rng=0)
    assert_gradients(cell, by_hand.lstm_coupled, T)
    assert sum(p.size for p in cell.parameters()) == 3 * sum(p.size for p in nn.RNNCell(D, H).parameters())
    _, (_, c) = nn.unroll(cell, 100 * normal(T, B, D))
    assert np.abs(c.data).max() <= 1


@pytest.mark.parametrize("T", [1, 25])
def test_s21_the_lstm_with_relu_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.LSTMCell(D, H, activation="relu", rng=0), by_hand.lstm(by_hand.relu), T)


def test_s21_with_relu_the_state_blows_up_where_with_tanh_it_does_not() -> None:
    largest, steepest = {}, {}
    for activation in ("tanh", "relu"):
        most, norms = [], []
        for seed in range(5):
            cell = nn.LSTMCell(50, 50, activation=activation, rng=seed)
            cell.W.data = 2 / math.sqrt(50) * normal(50, 200, seed=seed)
            hs, _ = nn.unroll(cell, normal(100, 1, 50, seed=seed))
            most.append(np.abs(hs.data).max())
            norms.append(math.sqrt(sum((g**2).sum() for g in mg.grad(hs[-1].sum(), cell.parameters()))))
        largest[activation], steepest[activation] = np.median(most), np.median(norms)
    assert largest["tanh"] <= 1
    assert largest["relu"] > 1e6
    assert steepest["tanh"] < 1e3
    assert steepest["relu"] > 1e12


def test_s22_with_clamped_gates_the_lstm_is_a_simple_net_with_one_more_tanh() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    set_bias(cell, b0=1e3, b1=-1e3, b3=1e3)  # i = 1, f = 0, o = 1
    state, s = cell.initial_state(B), np.zeros((B, H))
    for x in normal(T, B, D):
        state = cell(x, state)
        z = s @ cell.W.data + (x @ cell.U.data + cell.b.data)
        s = np.tanh(np.tanh(z[:, 2 * H : 3 * H]))
        np.testing.assert_array_equal(state[0].data, s)


@pytest.mark.parametrize(("bias", "gate", "half_life"), [(1.0, 0.7311, 2.21), (2.0, 0.8808, 5.46)])
def test_s23_the_forget_bias_sets_how_long_the_cell_state_lasts(bias: float, gate: float, half_life: float) -> None:
    cell = nn.LSTMCell(D, H, forget_bias=bias, rng=0)
    cell.W.data = np.zeros((H, 4 * H))
    c0 = Tensor(np.ones((1, H)))
    _, (_, c) = nn.unroll(cell, np.zeros((T, 1, D)), (np.zeros((1, H)), c0))
    f = marked(c, "f")[0].data
    assert f == pytest.approx(np.full((1, H), gate), abs=5e-5)
    assert math.log(0.5) / math.log(f[0, 0]) == pytest.approx(half_life, abs=5e-3)
    assert relative_error(jacobian(c, c0), np.diag(f[0] ** T)) < 1e-14


def test_s24_without_a_forget_gate_the_error_goes_round_for_ever() -> None:
    cell, c0 = nn.CarouselLSTMCell(D, H, rng=0), Tensor(normal(1, H))
    cell.W.data = np.zeros((H, 3 * H))
    _, (_, c) = nn.unroll(cell, normal(1000, 1, D), (np.zeros((1, H)), c0))
    np.testing.assert_array_equal(jacobian(c, c0), np.eye(H))


@pytest.mark.parametrize("T", [1, 25])
def test_s24_the_lstm_of_1997_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.CarouselLSTMCell(D, H, rng=0), by_hand.lstm_1997, T)


# --------------------------------------------------------------------------------------------------- GRU family
@pytest.mark.parametrize("T", [1, 7, 25])
def test_s25_the_gru_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.GRUCell(D, H, rng=0), by_hand.gru, T)


def test_s25_the_jacobian_of_a_gru_step_is_that_of_its_formula() -> None:
    cell, h0 = nn.GRUCell(D, H, rng=0), Tensor(normal(1, H))
    W_r, W_z, W_n = np.split(cell.W.data, 3, axis=1)
    h1 = cell(normal(1, D), h0)
    r, z, n = (marked(h1, s)[-1].data[0] for s in "rzn")
    h = h0.data[0]
    inner = np.diag(r) + W_r * (h * r * (1 - r))
    by_formula = np.diag(z) + W_z * ((h - n) * z * (1 - z)) + inner @ W_n * ((1 - z) * (1 - n * n))
    assert relative_error(jacobian(h1, h0).T, by_formula) < 1e-14


def test_s26_the_gate_that_replaces_is_the_gate_that_keeps_negated() -> None:
    cell = nn.GRUCell(D, H, rng=0)
    x, h = normal(B, D), normal(B, H)
    U, W, b = cell.U.data, cell.W.data, cell.b.data
    r, z = by_hand.sigma((x @ U + h @ W + b)[:, : 2 * H]).reshape(B, 2, H).swapaxes(0, 1)
    n = np.tanh(x @ U[:, 2 * H :] + (r * h) @ W[:, 2 * H :] + b[2 * H :])
    for p in (cell.U, cell.W, cell.b):
        flipped = np.array(p.data)
        flipped[..., H : 2 * H] *= -1
        p.data = flipped
    assert_same(cell(x, h).data, (1 - z) * h + z * n, rel=1e-14)


@pytest.mark.parametrize(("r", "z"), [(1, 0), (0, 0), (1, 1), (0, 1)])
def test_s27_with_saturated_gates_the_gru_is_a_simple_net_or_forgets_or_copies(r: int, z: int) -> None:
    cell = nn.GRUCell(D, H, rng=0)
    set_bias(cell, b0=2e3 * r - 1e3, b1=2e3 * z - 1e3)
    x, h0 = Tensor(normal(1, D)), Tensor(normal(1, H))
    h1 = cell(x, h0)
    W_n = cell.W.data[:, 2 * H :]
    z_n = (x.data @ cell.U.data + cell.b.data)[:, 2 * H :]
    candidate = np.tanh((r * h0.data) @ W_n + z_n)
    np.testing.assert_array_equal(h1.data, h0.data if z else candidate)
    if z:
        np.testing.assert_array_equal(jacobian(h1, h0), np.eye(H))
        assert not mg.grad(h1.sum(), x).any()
    elif r:
        np.testing.assert_array_equal(jacobian(h1, h0).T, W_n * (1 - candidate * candidate))
    else:
        assert not jacobian(h1, h0).any()


@pytest.mark.parametrize("T", [1, 25])
def test_s28_the_minimal_gated_unit_has_the_gradients_of_its_equations(T: int) -> None:
    assert_gradients(nn.MGUCell(D, H, rng=0), by_hand.mgu, T)


def test_s28_the_minimal_gated_unit_is_a_gru_with_one_gate_for_both() -> None:
    mgu, gru = nn.MGUCell(D, H, rng=0), nn.GRUCell(D, H, rng=1)
    for name in "UWb":
        f, n = np.split(getattr(mgu, name).data, 2, axis=-1)
        getattr(gru, name).data = np.concatenate([f, -f, n], axis=-1)
    a, b = (nn.unroll(cell, normal(T, B, D))[0] for cell in (mgu, gru))
    assert_same(a.data, b.data, rel=1e-14)
    for name in "UWb":
        f, n = np.split(mg.grad((a**2).sum(), getattr(mgu, name)), 2, axis=-1)
        g_r, g_z, g_n = np.split(mg.grad((b**2).sum(), getattr(gru, name)), 3, axis=-1)
        assert_same(f, g_r - g_z, rel=1e-13)
        assert_same(n, g_n, rel=1e-13)
    assert sum(p.size for p in mgu.parameters()) == 2 * sum(p.size for p in nn.RNNCell(D, H).parameters())


# ---------------------------------------------------------------------------------------- depth, direction, trees
def by_cells(layers: list[Any], xs: Any) -> list[Any]:
    """A stacked net, cell by cell."""
    hs: list[Any] = [None] * len(layers)
    outputs = []
    for x in xs:
        for k, cell in enumerate(layers):
            hs[k] = x = cell(x, hs[k])
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("L", [1, 2, 3])
def test_s29_a_stacked_net_has_the_paths_of_a_grid(L: int) -> None:
    net, xs = nn.RNN(D, H, num_layers=L, rng=0), normal(T, B, D)
    cells = [cell for _, _, cell in net.cells()]
    outputs = by_cells(cells, xs)
    assert_same(net(xs)[0].data, np.stack([h.data for h in outputs]), rel=1e-14)
    first_to_last = paths(outputs[-1], "h")
    assert first_to_last == (T + L - 1, math.comb(T + L - 2, L - 1))
    if L == 1:
        np.testing.assert_array_equal(net(xs)[0].data, nn.unroll(nn.RNNCell(D, H, rng=0), xs)[0].data)


@pytest.mark.parametrize("L", [1, 2, 3, 5])
@pytest.mark.parametrize("T", [1, 2, 6, 20])
def test_s29_unrolled_layer_by_layer_the_net_has_the_same_paths(T: int, L: int) -> None:
    """With all weights 1 and cells that double, the gradient is the number of paths, times 2 for each cell on them."""
    net, x = nn.RNN(1, 1, num_layers=L, activation=lambda z: 2 * z), Tensor(np.ones((T, 1, 1)))
    for p in net.parameters():
        p.data = np.ones(p.shape)
    g = mg.grad(net(x)[0][-1].sum(), x)
    assert g[0].item() == math.comb(T + L - 2, L - 1) * 2.0 ** (T + L - 1)


def test_s30_a_bidirectional_net_sees_the_future() -> None:
    x = Tensor(normal(T, B, D))
    hs, _ = nn.RNN(D, H, bidirectional=True, rng=0)(x)
    for t in range(T):
        assert mg.grad(hs[t].sum(), x).all()


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU, nn.MGU])
def test_s30_reversing_the_sequence_and_swapping_the_directions_reverses_the_outputs(layer: Any) -> None:
    net, swapped = layer(D, H, bidirectional=True, rng=0), layer(D, H, bidirectional=True, rng=1)
    forwards, backwards = (cell for _, _, cell in net.cells())
    swapped.layers[0] = {"forwards": backwards, "backwards": forwards}
    xs = normal(T, B, D)
    hs = net(xs)[0].data
    back = swapped(xs[::-1].copy())[0].data[::-1]
    np.testing.assert_array_equal(hs, np.concatenate([back[..., H:], back[..., :H]], axis=-1))


def test_s31_in_two_separate_stacks_no_layer_running_forwards_sees_the_future() -> None:
    ahead, back = nn.RNN(D, H, num_layers=3, rng=0), nn.RNN(D, H, num_layers=3, rng=1)
    x = Tensor(normal(T, B, D))
    f, b = ahead(x)[0], back(x, reverse=True)[0]
    assert mg.concat([f, b], axis=-1).shape == (T, B, 2 * H)
    for t in range(T):
        g, back_g = mg.grad(f[t].sum(), x), mg.grad(b[t].sum(), x)
        assert not g[t + 1 :].any()
        assert g[: t + 1].all()
        assert not back_g[:t].any()
        assert back_g[t:].all()


def test_s31_in_the_concatenated_reading_the_forward_half_sees_the_future_from_the_second_layer_on() -> None:
    x = Tensor(normal(T, B, D))
    one, two = (nn.RNN(D, H, num_layers=n, bidirectional=True, rng=0)(x)[0] for n in (1, 2))
    assert not mg.grad(one[1, :, :H].sum(), x)[2:].any()
    assert mg.grad(two[1, :, :H].sum(), x)[2:].all()


def balanced(leaves: list[Any]) -> Any:
    if len(leaves) == 1:
        return leaves[0]
    half = (len(leaves) + 1) // 2
    return balanced(leaves[:half]), balanced(leaves[half:])


@pytest.mark.parametrize("n", [2, 3, 5, 8, 13])
def test_s32_a_balanced_tree_is_as_deep_as_the_logarithm_of_its_leaves(n: int) -> None:
    tree = balanced([normal(H, seed=k) for k in range(n)])
    root = nn.recurse(nn.TreeCell(H, rng=0), tree)
    assert paths(root, "h")[0] == math.ceil(math.log2(n))
    assert len(marked(root, "h")) == n - 1


def test_s32_the_gradient_of_the_shared_weights_is_the_sum_over_all_nodes() -> None:
    tree = balanced([normal(B, H, seed=k) for k in range(5)])
    shared, copies = nn.TreeCell(H, rng=0), []

    def one_each(left: Any, right: Any) -> Any:
        copies.append(nn.TreeCell(H, rng=0))
        return copies[-1](left, right)

    for cell in (shared, one_each):
        (nn.recurse(cell, tree) ** 2).sum().backward()
    assert len(copies) == 4
    for k, p in enumerate(shared.parameters()):
        assert_same(p.grad, sum(c.parameters()[k].grad for c in copies), rel=1e-14)


def test_s32_trees_of_any_shape_and_depth() -> None:
    words = nn.Embedding(10, H, rng=0)
    cell = nn.TreeCell(H, rng=1)
    flat, nested = nn.recurse(cell, [1, 2, 3, [4]], words), nn.recurse(cell, (((1, 2), 3), 4), words)
    np.testing.assert_array_equal(flat.data, nested.data)
    np.testing.assert_array_equal(nn.recurse(cell, 7, words).data, words(7).data)
    deep: Any = 1
    for _ in range(5000):
        deep = (2, deep)
    nn.recurse(cell, deep, words).sum().backward()
    assert np.isfinite(words.E.grad).all()
    with pytest.raises(ValueError, match="no children"):
        nn.recurse(cell, (1, ()), words)


def chain(first: Any, xs: Any) -> Any:
    tree = first
    for x in xs:
        tree = (tree, x)
    return tree


def test_s33_a_tree_that_branches_to_the_left_only_is_the_simple_net() -> None:
    tree_cell, cell = nn.TreeCell(H, rng=0), nn.RNNCell(H, H, rng=1)
    cell.W.data, cell.U.data, cell.b.data = tree_cell.U_l.data, tree_cell.U_r.data, tree_cell.b.data
    h0, xs = normal(B, H), normal(50, B, H)
    root = nn.recurse(tree_cell, chain(h0, xs))
    h: Any = h0
    for x in xs:
        h = cell(x, h)
    np.testing.assert_array_equal(root.data, h.data)
    _, unrolled = nn.unroll(cell, xs, h0)
    # Measured difference: 0. `unroll` takes x U for all steps in one product, which another BLAS may sum otherwise.
    assert_same(root.data, unrolled.data, rel=1e-15)
    ours = mg.grad((root**2).sum(), [tree_cell.U_l, tree_cell.U_r, tree_cell.b])
    for a, b in zip(ours, mg.grad((unrolled**2).sum(), [cell.W, cell.U, cell.b]), strict=True):
        assert_same(a, b, rel=1e-12)


@pytest.mark.parametrize("cell_type", [nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.MGUCell])
def test_s33_over_such_a_tree_any_recurrent_cell_is_itself(cell_type: Any) -> None:
    cell, xs = cell_type(D, H, rng=0), normal(T, B, D)
    first = "h_0"
    last = nn.recurse(lambda h, x: cell(x, h), chain(first, xs), lambda leaf: None if leaf is first else leaf)
    unrolled = nn.unroll(cell, xs)[1]
    for a, b in zip(*((s if isinstance(s, tuple) else (s,)) for s in (last, unrolled)), strict=True):
        assert_same(a.data, b.data, rel=1e-12)


# ---------------------------------------------------------------------------------------------- losses and gradients
def test_s34_the_gradient_of_cross_entropy_is_prediction_minus_target() -> None:
    o, y = Tensor(normal(B, K)), np.array([1, 3])
    [expected] = complex_step(
        lambda o: (np.log(np.exp(o).sum(-1)) - o[np.arange(B), y]).sum(), [o.data])
    g = mg.grad(nn.cross_entropy(o, y, reduction="sum"), o)
    assert np.abs(g - expected).max() < 1e-14
    assert np.abs(g - (mg.softmax(o).data - np.eye(K)[y])).max() < 1e-15
    far = Tensor([[1e4, -1e4, 0.0]])
    loss = nn.cross_entropy(far, [1], reduction="sum")
    assert loss.item() == 2e4
    np.testing.assert_array_equal(mg.grad(loss, far), [[1.0, -1.0, 0.0]])


def test_s35_the_gradient_of_the_sum_is_the_sum_of_the_gradients(tagged: Any) -> None:
    whole = mg.grad(sum(tagged["losses"]), tagged["parameters"])
    parts = [mg.grad(loss, tagged["parameters"]) for loss in tagged["losses"]]
    for k, g in enumerate(whole):
        assert_same(g, sum(part[k] for part in parts), rel=1e-14)


def test_s36_backprop_through_the_unrolled_net_is_the_recursion(tagged: Any) -> None:
    cell, V, x = tagged["layer"].cell, tagged["head"].V, tagged["x"].data
    h = np.concatenate([np.zeros((1, B, H)), tagged["hs"].data])
    p = mg.softmax(tagged["os"]).data
    blame = p - np.eye(K)[tagged["y"]]
    g_h, g = np.zeros((B, H)), dict.fromkeys("UWbVd", 0.0)
    for t in reversed(range(T)):
        g_h = blame[t] @ V.data.T + g_h
        z = g_h * (1 - h[t + 1] ** 2)
        g = {"U": g["U"] + x[t].T @ z, "W": g["W"] + h[t].T @ z, "b": g["b"] + z.sum(0),
             "V": g["V"] + h[t + 1].T @ blame[t], "d": g["d"] + blame[t].sum(0)}
        g_h = z @ cell.W.data.T
    total = sum(tagged["losses"])
    for name, node in {"U": cell.U, "W": cell.W, "b": cell.b, "V": V, "d": tagged["head"].d}.items():
        assert_same(mg.grad(total, node), g[name], rel=1e-13)


def test_s36_the_reverse_pass_is_linear_in_the_number_of_steps() -> None:
    messages = []
    for steps in (20, 40, 80):
        hs, _ = nn.RNN(D, H, rng=0)(normal(steps, B, D))
        seen: list[Any] = []
        mg.backward(hs.sum(), observe=lambda *message: seen.append(message))  # noqa: B023
        messages.append(len(seen))
    assert messages[2] - messages[1] == 2 * (messages[1] - messages[0])


@pytest.mark.parametrize("given", ["mask", "lengths"])
def test_s43_a_padded_batch_has_the_gradient_of_its_sequences_alone(given: str) -> None:
    net, head, lengths = nn.GRU(D, H, rng=0), nn.Linear(H, K, rng=1), np.array([9, 5, 7, 3])
    xs, y = normal(9, 4, D), np.random.default_rng(1).integers(0, K, (9, 4))
    there = np.arange(9)[:, None] < lengths
    xs[~there] = 0.0
    parameters = [*net.parameters(), *head.parameters()]

    def gradient(xs: Any, y: Any, **options: Any) -> np.ndarray:
        hs, _ = net(xs, lengths=options.pop("lengths", None))
        loss = nn.cross_entropy(head(hs), y, reduction="sum", **options)
        return np.concatenate([g.reshape(-1) for g in mg.grad(loss, parameters)])

    alone = sum(gradient(xs[:n, b : b + 1], y[:n, b : b + 1]) for b, n in enumerate(lengths))
    options = {"lengths": lengths} if given == "lengths" else {}
    assert relative_error(gradient(xs, y, mask=there, **options), alone) < 5e-15
    wrong = np.linalg.norm(gradient(xs, y) - alone) / np.linalg.norm(alone)
    assert wrong == pytest.approx(1.05, abs=0.2)  # without a mask: as large an error as the gradient itself
