"""Cells of one's own, plain functions and Modules: they unroll, train and draw like the built-in ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn, optim
from microgradrnn.engine import mark
from tests.nn.test_depth import CELLS

T, B, D, H, K = 5, 2, 3, 5, 4


class Peephole(nn.Module):
    """An LSTM with peepholes, on nothing but the public names."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.W = nn.Parameter(0.3 * rng.standard_normal((D + H, 4 * H)), symbol="W")
        self.p = nn.Parameter(0.3 * rng.standard_normal((3, H)), symbol="p")

    def initial_state(self, B: int) -> Any:
        return np.zeros((B, H)), np.zeros((B, H))

    def __call__(self, x: Any, state: Any) -> Any:
        h, c = state
        i, f, g, o = mg.split(mg.concat([x, h], axis=-1) @ self.W, 4, axis=-1)
        i = mark((i + self.p[0] * c).sigmoid(), "i", role="gate")
        f = mark((f + self.p[1] * c).sigmoid(), "f", role="gate")
        c = mark(f * c + i * g.tanh(), "c", role="cell")
        o = mark((o + self.p[2] * c).sigmoid(), "o", role="gate")
        return mark(o * c.tanh(), "h", role="hidden"), c


class Leaky(nn.Cell):
    """One that takes its parameters, first state and checks from `Cell`."""

    blocks, name = 1, "leaky"

    def step(self, z: Any, h: Any) -> Any:
        return mark(0.9 * h + 0.1 * mg.affine(h, self.W, z).tanh(), "h", role="hidden")


def own(kind: str) -> tuple[Any, Any, list[Any]]:
    """A net of one's own cell, its first state, and what it learns."""
    if kind == "function":
        W, U = Tensor(0.3 * np.eye(H)), Tensor(0.3 * np.ones((D, H)))

        def step(x: Any, h: Any) -> Any:
            return mark((h @ W + x @ U).tanh(), "h", role="hidden")

        return nn.Recurrent(step), np.zeros((B, H)), [W, U]
    net = nn.Recurrent({"module": Peephole, "cell": lambda: Leaky(D, H, rng=0)}[kind]())
    return net, None, net.parameters()


@pytest.mark.parametrize("kind", ["function", "module", "cell"])
def test_a_cell_of_ones_own_unrolls_trains_and_draws(kind: str) -> None:
    net, first, parameters = own(kind)
    rng = np.random.default_rng(1)
    xs, y, head = rng.standard_normal((T, B, D)), rng.integers(0, K, (T, B)), nn.Linear(H, K, rng=2)
    adam = optim.Adam([*parameters, *head.parameters()], lr=0.05)

    def loss() -> Any:
        return nn.cross_entropy(head(net(xs, first)[0]), y)

    before = loss().item()
    for _ in range(60):
        adam.zero_grad()
        loss().backward()
        adam.step()
    assert loss().item() < 0.6 * before
    flow = viz.gradient_flow(loss())
    assert sorted(flow.profile("h").steps) == [*range(T)]
    assert min(flow.profile("h").norms) > 0
    drawing = viz.draw_unrolled(flow, steps=(1, 3))
    assert drawing.scene is not None
    assert [item.key for item, *_ in drawing.scene.keyed("time")] == [("time", t) for t in (1, 2, 3)]


def test_a_cell_of_ones_own_has_the_gradients_of_finite_differences() -> None:
    xs = np.random.default_rng(1).standard_normal((T, B, D))

    def loss(*values: Any) -> Any:
        cell = Peephole()
        cell.W, cell.p = values
        return (nn.unroll(cell, xs, lengths=[T, 2])[0] ** 2).sum()

    assert mg.gradcheck(loss, [Tensor(p.data) for p in Peephole().parameters()])


@pytest.mark.parametrize("kind", CELLS)
def test_every_cell_draws(kind: str) -> None:
    net = nn.Recurrent(CELLS[kind](D), CELLS[kind](H))
    loss = (net(np.random.default_rng(0).standard_normal((T, 1, D)))[0][-1] ** 2).sum()
    flow = viz.gradient_flow(loss)
    assert viz.draw_unrolled(loss, flow=flow).svg.startswith("<svg")
    assert viz.draw_graph(loss).source.startswith("digraph")
