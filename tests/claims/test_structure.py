"""Claims about structure: what is shared, what may have any length, what the unrolled graph looks like."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from microgradrnn.data import pad
from tests.claims.ledger import number
from tests.nn.systems import ancestors, jacobian, marked
from tests.numerics import assert_same, relative_error

D, H, K, B = 3, 5, 4, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def size(*modules: Any) -> int:
    return sum(p.size for module in modules for p in module.parameters())


def leaves(root: Any) -> set[Any]:
    """What could be trained of all that leads to the root."""
    return {node for node in ancestors(root) if node.is_leaf and node.requires_grad}


def test_c1_the_number_of_parameters_does_not_depend_on_the_number_of_steps() -> None:
    net = nn.LSTM(D, H, rng=0)
    short, long = (leaves(net(normal(T, B, D))[0]) for T in (1, 1000))
    assert short == long == set(net.parameters())
    assert number("C1") == f"{sum(p.size for p in short)} numbers for 1 step and for 1000"


def test_c3_back_propagation_through_time_is_that_of_a_feed_forward_net_with_a_layer_for_each_step() -> None:
    """Each layer of the feed-forward net reads [h, x_t], with weights of its own that start alike."""
    T = 7
    net, xs, h0 = nn.RNN(D, H, rng=0), normal(T, B, D), normal(B, H, seed=1)
    layers = [nn.Linear(H + D, H, rng=0) for _ in range(T)]
    h: Any = h0
    for layer, x in zip(layers, xs, strict=True):
        layer.V.data = np.concatenate([net.cell.W.data, net.cell.U.data])
        layer.d.data = net.cell.b.data
        h = layer(mg.concat([h, x], axis=-1)).tanh()
    _, last = net(xs, h0)
    assert_same(h.data, last.data, rel=1e-14)
    weights = normal(B, H, seed=2)
    ours = mg.grad((last * weights).sum(), [net.cell.W, net.cell.U, net.cell.b])
    (h * weights).sum().backward()
    summed = sum(layer.V.grad for layer in layers)
    for g, feed_forward in zip(ours, (summed[:H], summed[H:], sum(layer.d.grad for layer in layers)), strict=True):
        assert relative_error(g, feed_forward) < 1e-13


def test_c4_without_the_recurrent_matrix_a_step_is_a_feed_forward_net() -> None:
    net, head, xs = nn.RNN(D, H, rng=0), nn.Linear(H, K, rng=1), normal(6, B, D)
    feed_forward = nn.Sequential(nn.Linear(D, H, rng=2), nn.Tanh(), head)
    feed_forward.parameters()[0].data, feed_forward.parameters()[1].data = net.cell.U.data, net.cell.b.data
    with_memory = head(net(xs)[0]).data
    net.cell.W.data = np.zeros((H, H))
    np.testing.assert_array_equal(head(net(xs)[0]).data, feed_forward(xs).data)
    assert np.abs(with_memory[1:] - feed_forward(xs).data[1:]).min() > 0


def test_c5_one_feed_forward_net_tags_ten_positions_but_sees_each_alone() -> None:
    T = 10
    shared = nn.Sequential(nn.Linear(D, H, rng=0), nn.Tanh(), nn.Linear(H, K, rng=1))
    apart = [nn.Sequential(nn.Linear(D, H, rng=0), nn.Tanh(), nn.Linear(H, K, rng=1)) for _ in range(T)]
    x = Tensor(normal(T, B, D))
    together = shared(x)
    assert_same(together.data, np.stack([net(x.data[t]).data for t, net in enumerate(apart)]), rel=1e-14)
    assert number("C5") == f"{size(shared)} numbers in one net, {size(*apart)} in ten"
    recurrent = nn.RNN(D, H, rng=0)
    for t in range(T):
        of_shared, of_recurrent = mg.grad(together[t].sum(), x), mg.grad(recurrent(x)[0][t].sum(), x)
        assert [k for k in range(T) if of_shared[k].any()] == [t]
        assert [k for k in range(T) if of_recurrent[k].any()] == [*range(t + 1)]


def test_c7_sharing_divides_the_number_of_parameters_by_exactly_t() -> None:
    T = 6
    cell = nn.RNNCell(D, H, rng=0)
    copies = [nn.RNNCell(D, H, rng=t) for t in range(T)]
    h_shared, h_apart = np.zeros((B, H)), np.zeros((B, H))
    for x, copy in zip(normal(T, B, D), copies, strict=True):
        h_shared, h_apart = cell(x, h_shared), copy(x, h_apart)
    tied, untied = (sum(p.size for p in leaves(h)) for h in (h_shared, h_apart))
    assert untied == T * tied == T * size(cell)
    large = size(nn.RNN(3000, 50, bias=False, rng=0), nn.Linear(50, 3000, bias=False, rng=0))
    assert number("C7") == f"{large:,} numbers shared by 50 steps, {50 * large:,} not shared"


@pytest.mark.parametrize("hidden", [50, 7])
def test_c8_the_hidden_size_has_nothing_to_do_with_the_length_of_the_sentences(hidden: int) -> None:
    symbols = 3000
    net, head = nn.RNN(symbols, hidden, bias=False, rng=0), nn.Linear(hidden, symbols, bias=False, rng=1)
    [U, W], [V] = net.parameters(), head.parameters()
    assert (U.shape, W.shape, V.shape) == ((symbols, hidden), (hidden, hidden), (hidden, symbols))
    for T in (1, 50, 200):
        ids = np.random.default_rng(T).integers(0, symbols, (T, B))
        os = head(net(np.eye(symbols)[ids])[0])
        assert os.shape == (T, B, symbols)
        assert number("C8") == "a state of 50 or of 7 numbers reads 1, 50 and 200 characters"
        assert leaves(os) == {U, W, V}


def convolution(xs: Any, kernel: Any) -> Any:
    """A tanh convolution over time, width 3, without padding: (T, B, D) to (T - 2, B, H)."""
    return (mg.concat([xs[:-2], xs[1:-1], xs[2:]], axis=-1) @ kernel).tanh()


def test_c9_a_convolution_with_pooling_takes_any_length_as_a_recurrent_net_does() -> None:
    kernel, head, net = Tensor(normal(3 * D, H)), nn.Linear(H, K, rng=1), nn.GRU(D, H, rng=0)
    flat = nn.Linear(5 * B * D, K, rng=0)
    for T in (5, 50):
        x = Tensor(normal(T, B, D))
        pooled = nn.mean_over_steps(convolution(x, kernel))
        by_hand = np.mean([np.tanh(np.concatenate(x.data[t : t + 3], axis=-1) @ kernel.data) for t in range(T - 2)], 0)
        assert_same(pooled.data, by_hand, rel=1e-14)
        for answer in (head(pooled), head(nn.last_step(net(x)[0]))):
            assert answer.shape == (B, K)
            assert (np.linalg.norm(mg.grad(answer.sum(), x), axis=(1, 2)) > 0).all()
    assert flat(normal(5 * B * D)).shape == (K,)
    with pytest.raises(ValueError, match=r"30"):
        flat(normal(50 * B * D))


def test_c10_a_convolution_is_a_feed_forward_net_that_shares_its_weights() -> None:
    T = 8
    kernel, xs = Tensor(normal(3 * D, H)), normal(T, B, D)
    shared = mg.grad((convolution(xs, kernel) ** 2).sum(), kernel)
    copies = [Tensor(kernel.data) for _ in range(T - 2)]
    apart = mg.concat([convolution(xs[t : t + 3], copy) for t, copy in enumerate(copies)])
    each = mg.grad((apart**2).sum(), copies)
    assert relative_error(shared, sum(each)) < 1e-14
    assert all(relative_error(shared, g) > 0.1 for g in each)
    assert number("C10") == f"{kernel.size} numbers shared by {T - 2} positions"


def test_c11_a_batch_of_unequal_lengths_needs_a_rectangle_and_a_mask_and_then_is_exact() -> None:
    net, head, lengths = nn.RNN(D, H, rng=0), nn.Linear(H, K, rng=1), [9, 4, 6]
    sequences = [normal(n, D, seed=n) for n in lengths]
    labels = [np.random.default_rng(n).integers(0, K, n) for n in lengths]
    xs, mask = pad(sequences)
    y, _ = pad(labels)
    parameters = [*net.parameters(), *head.parameters()]

    def measured(xs: Any, y: Any, mask: Any = None) -> np.ndarray:
        """The loss, and all gradients after it."""
        loss = nn.cross_entropy(head(net(xs)[0]), y, mask=mask, reduction="sum")
        return np.concatenate([[loss.item()], *(g.ravel() for g in mg.grad(loss, parameters))])

    alone = sum(measured(x[:, None], labels[b][:, None]) for b, x in enumerate(sequences))
    assert relative_error(measured(xs, y, mask), alone) < 1e-14
    assert relative_error(measured(xs, y), alone) > 0.3


def test_c12_what_returns_is_the_state_and_feeding_back_the_output_is_a_bottleneck() -> None:
    outputs = 3
    elman, jordan = nn.RNNCell(D, 8, rng=0), nn.JordanCell(D, 8, outputs, rng=0)
    ranks = []
    for cell in (elman, jordan):
        h = marked(nn.unroll(cell, normal(5, 1, D))[0], "h")
        ranks.append(np.linalg.matrix_rank(jacobian(h[3], h[2]), tol=1e-12))
    assert number("C12") == f"rank {ranks[0]} with the state of 8 numbers, rank {ranks[1]} with the {outputs} outputs"


def test_c16_a_bag_of_features_loses_the_order_and_a_recurrent_net_keeps_it() -> None:
    xs = normal(5, D)
    batch = np.array([xs[list(order)] for order in permutations(range(5))]).transpose(1, 0, 2)  # all 120 orders
    bag, state = batch.mean(axis=0), nn.RNN(D, H, rng=0)(batch)[1].data
    assert np.ptp(bag, axis=0).max() < 1e-15
    between = np.abs(state[:, None] - state[None]).max(axis=-1)
    assert (between[~np.eye(120, dtype=bool)] > 1e-3).all()
    assert number("C16") == f"{len(np.unique(state.round(6), axis=0))} states from 120 orders, 1 bag"


def test_c17_the_unrolled_net_is_deep_in_time_and_shallow_in_a_step() -> None:
    def longest(T: int) -> tuple[int, int]:
        """The most operations on a way from the first and from the last input to the loss at the last step."""
        cell, head, h = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1), None
        xs = [Tensor(normal(1, D)) for _ in range(T)]
        for x in xs:
            h = cell(x, h)
        lengths: dict[Any, dict[Any, int]] = {}
        for node in ancestors(nn.cross_entropy(head(h), [1])):
            lengths[node] = {node: 0} if node in (xs[0], xs[-1]) else {}
            for x in node.inputs:
                for start, n in lengths.get(x, {}).items():
                    lengths[node][start] = max(lengths[node].get(start, 0), n + 1)
        return lengths[node][xs[0]], lengths[node][xs[-1]]

    first, last = zip(*map(longest, (1, 2, 5, 20)), strict=True)
    assert len(set(last)) == 1
    assert first[0] == last[0]
    a_step = first[1] - first[0]
    assert np.diff(first).tolist() == [a_step, 3 * a_step, 15 * a_step]
    assert a_step > 0
