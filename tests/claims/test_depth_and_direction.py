"""Claims about depth, direction, trees and pooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from tests.claims.ledger import number
from tests.nn.systems import ancestors, paths
from tests.numerics import assert_same

D, H, K, B = 3, 5, 4, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_c102_a_net_in_one_direction_sees_the_past_alone_and_one_in_both_sees_all() -> None:
    T, t = 8, 3
    x = Tensor(normal(T, B, D))
    one, both = (nn.RNN(D, H, bidirectional=way, rng=0)(x)[0] for way in (False, True))
    seen = [[k for k in range(T) if mg.grad(hs[t].sum(), x)[k].any()] for hs in (one, both)]
    assert seen == [[*range(t + 1)], [*range(T)]]


def centre_of_mass(layers: int, seed: int, T: int = 40, gain: float = 0.9) -> list[float]:
    """For each layer the mean lag k, weighted by the size of ∂h_T/∂x_{T-k}."""
    rng = np.random.default_rng(seed)
    cells = [nn.RNNCell(D if k == 0 else 30, 30, rng=rng) for k in range(layers)]
    xs = Tensor(0.1 * rng.standard_normal((T, 1, D)))
    found, below = [], xs
    for cell in cells:
        cell.W.data = gain / math.sqrt(30) * rng.standard_normal((30, 30))
        below, h = nn.unroll(cell, below)
        sizes = np.linalg.norm(mg.grad(h, xs, seed=rng.standard_normal((1, 30))), axis=(1, 2))[::-1]
        found.append(float((np.arange(T) * sizes).sum() / sizes.sum()))
    return found


def test_c103_before_training_a_higher_layer_answers_to_inputs_longer_ago() -> None:
    """Each layer adds its own answer in time to that of the layers below: the centre of mass moves back."""
    lags = np.array([centre_of_mass(4, seed) for seed in range(10)])
    assert (np.diff(np.median(lags, axis=0)) > 0.5).all()
    assert (lags[:, -1] > lags[:, 0]).all()


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_c104_a_stacked_net_is_as_deep_as_an_ordinary_net_at_each_step(layers: int) -> None:
    T = 5
    cells, hs = [nn.RNNCell(D if k == 0 else H, H, rng=k) for k in range(layers)], [None] * layers
    below: Any = None
    for t in range(T):
        below = normal(B, D, seed=t)
        for k, cell in enumerate(cells):
            hs[k] = below = cell(below, hs[k])
        if t == 0:
            assert paths(below, "h") == (layers, 1)  # one step: a feed-forward net of as many layers
    assert paths(below, "h") == (T + layers - 1, math.comb(T + layers - 2, layers - 1))


def test_c105_a_tree_that_is_a_chain_is_a_recurrent_net() -> None:
    tree, cell = nn.TreeCell(H, rng=0), nn.RNNCell(H, H, rng=1)
    cell.W.data, cell.U.data, cell.b.data = tree.U_l.data, tree.U_r.data, tree.b.data
    h0, xs = normal(B, H), normal(12, B, H)
    chain, h = h0, h0
    for x in xs:
        chain, h = (chain, x), cell(x, h)
    np.testing.assert_array_equal(nn.recurse(tree, chain).data, h.data)


def test_c106_with_the_mean_of_all_states_the_way_to_every_step_is_equally_short() -> None:
    T = 100
    cell, head, h, states = nn.RNNCell(D, 20, rng=0), nn.Linear(20, K, rng=1), None, []
    cell.W.data = 0.5 * nn.init.orthogonal(0, (20, 20))
    for x in normal(T, 1, D):
        h = cell(x, h)
        states.append(h)
    hs = mg.stack(states)
    sizes = [np.array([np.linalg.norm(g) for g in mg.grad(nn.cross_entropy(head(pooled), [1]), states)])
             for pooled in (nn.last_step(hs), nn.mean_over_steps(hs))]
    assert sizes[0][0] < 1e-25 * sizes[0][-1]
    assert 0.3 < sizes[1][0] / sizes[1][T // 2] < 3
    p = mg.softmax(head(hs.data.mean(axis=0))).data
    direct = mg.grad(nn.cross_entropy(head(nn.mean_over_steps(hs)), [1]), hs)
    for g in direct:
        assert_same(g, (p - np.eye(K)[[1]]) @ head.V.data.T / T, rel=1e-13)


def test_c107_one_cell_makes_all_five_patterns_of_input_and_output() -> None:
    cell, head = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1)

    def run(inputs: list[Any], outputs: list[int]) -> tuple[int, int, int]:
        """Inputs, outputs and states in the graph."""
        h, read = None, []
        for t, x in enumerate(inputs):
            h = cell(x, h)
            if t in outputs:
                read.append(head(h).sum())
        nodes = ancestors(sum(read[1:], start=read[0]))
        given = sum(1 for x in inputs if isinstance(x, Tensor) and x in nodes)
        return given, len(read), sum(node.symbol == "h" for node in nodes)

    def x(n: int) -> list[Any]:
        return [Tensor(normal(B, D, seed=k)) for k in range(n)]

    nothing = np.zeros((B, D))
    assert run(x(1), [0]) == (1, 1, 1)  # one to one
    assert run([*x(1), nothing, nothing], [0, 1, 2]) == (1, 3, 3)  # one to many
    assert run(x(4), [3]) == (4, 1, 4)  # many to one
    assert run(x(4), [0, 1, 2, 3]) == (4, 4, 4)  # many to many, in step
    assert run([*x(4), nothing, nothing], [4, 5]) == (4, 2, 6)  # encoder and decoder
    assert number("C107") == "1 to 1, 1 to 3, 4 to 1, 4 to 4, and 4 to 2 after 4"
