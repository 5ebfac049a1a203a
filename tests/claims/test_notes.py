"""Further statements of the sources, which the numbered claims do not contain."""

from __future__ import annotations

import numpy as np

import microgradrnn as mg
from microgradrnn import Tensor, nn, optim
from tests.numerics import relative_error

D, H, K, B = 3, 5, 4, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_n1_a_window_sees_its_width_and_layers_of_windows_see_more_but_only_pooling_sees_all() -> None:
    T, t, width = 15, 7, 3
    x = Tensor(normal(T, B, D))
    kernels = [normal(width * n, H, seed=k) for k, n in enumerate((D, H, H))]
    level = x
    for layers, kernel in enumerate(kernels, start=1):
        padded = mg.pad(level, [(1, 1), (0, 0), (0, 0)])
        level = (mg.concat([padded[:-2], padded[1:-1], padded[2:]], axis=-1) @ kernel).tanh()
        seen = [k for k in range(T) if mg.grad(level[t].sum(), x)[k].any()]
        assert seen == [*range(t - layers, t + layers + 1)]
        assert mg.grad(nn.mean_over_steps(level).sum(), x).all()
    recurrent = nn.RNN(D, H, rng=0)(x)[0]
    assert [k for k in range(T) if mg.grad(recurrent[t].sum(), x)[k].any()] == [*range(t + 1)]


def test_n2_in_a_tree_the_order_of_children_and_the_brackets_change_the_result() -> None:
    cell, (a, b, c) = nn.TreeCell(H, rng=0), normal(3, B, H)
    left, right, swapped = (nn.recurse(cell, tree).data for tree in (((a, b), c), (a, (b, c)), ((b, a), c)))
    assert relative_error(right, left) > 0.05
    assert relative_error(swapped, left) > 0.05
    cell.U_r.data = cell.U_l.data  # with one matrix for both children their order is lost, the brackets are not
    left, right, swapped = (nn.recurse(cell, tree).data for tree in (((a, b), c), (a, (b, c)), ((b, a), c)))
    assert relative_error(swapped, left) < 1e-14
    assert relative_error(right, left) > 0.05


def test_n3_a_relu_unit_that_is_off_for_all_inputs_gets_no_gradient_and_stays_off() -> None:
    net, head, dead = nn.RNN(D, H, activation="relu", rng=0), nn.Linear(H, K, rng=1), 2
    b = np.array(net.cell.b.data)
    b[dead] = -100
    net.cell.b.data = b
    sgd = optim.SGD([*net.parameters(), *head.parameters()], lr=0.1)
    before = [net.cell.U.data[:, dead].copy(), net.cell.W.data[:, dead].copy()]
    xs, y = normal(6, B, D), np.random.default_rng(0).integers(0, K, (6, B))
    for _ in range(20):
        hs, _ = net(xs)
        assert not hs.data[..., dead].any()
        sgd.zero_grad()
        nn.cross_entropy(head(hs), y).backward()
        sgd.step()
    assert net.cell.b.data[dead] == -100
    for old, new in zip(before, (net.cell.U.data[:, dead], net.cell.W.data[:, dead]), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.abs(net.cell.b.data - b).max() > 1e-3  # the others learn


def test_n4_a_large_learning_rate_makes_the_loss_explode_where_a_small_one_makes_it_fall() -> None:
    xs, y = normal(2, B, D), normal(2, B, H, seed=1)
    losses = {}
    for lr in (0.02, 8.0):
        net = nn.Recurrent(nn.RNNCell(D, H, activation=lambda z: z, rng=0))
        sgd = optim.SGD(net.parameters(), lr=lr)
        losses[lr] = []
        for _ in range(5):
            loss = nn.mse(net(xs)[0], y)
            losses[lr].append(loss.item())
            sgd.zero_grad()
            loss.backward()
            sgd.step()
    assert (np.diff(losses[0.02]) < 0).all()
    assert max(losses[8.0]) > 1e6 * losses[8.0][0]


def test_n5_the_state_does_not_store_everything_before_different_pasts_become_the_same_state() -> None:
    cell = nn.RNNCell(D, H, rng=0)
    cell.W.data = 0.7 * nn.init.orthogonal(0, (H, H))
    common = normal(120, 1, D)
    ends = [nn.unroll(cell, np.concatenate([normal(20, 1, D, seed=seed), common[:n]]))[1].data
            for n in (1, 120) for seed in (1, 2)]
    assert np.abs(ends[0] - ends[1]).max() > 0.01  # soon after, the pasts can be told apart
    assert np.abs(ends[2] - ends[3]).max() < 1e-15  # after 120 common steps, they cannot
