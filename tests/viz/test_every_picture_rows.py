"""Rolled and long pictures can be read: at every length, with several layers, with long and East Asian names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope, tanh
from tests.viz.legible import faults
from tests.viz.nets import all_losses, last_loss, own_cell
from tests.viz.test_rolled import skipping
from viz.theme import Theme

NAMES = {"short": None, "long": "a long short-term memory with a large bias of its forget gates, trained for a week",
         "Chinese": 3 * "門控循環單元與長短期記憶網路之比較"}


def stacked(T: int) -> Any:
    hs, _ = nn.LSTM(3, 4, num_layers=3, rng=0)(np.random.default_rng(0).standard_normal((T, 1, 3)))
    return (hs[-1] * hs[-1]).sum()


def both_ways(T: int) -> Any:
    hs, _ = nn.GRU(3, 4, bidirectional=True, rng=0)(np.random.default_rng(0).standard_normal((T, 1, 3)))
    return (hs * hs).sum()


def named(T: int) -> Any:
    """A cell whose symbols are words, some of them Chinese."""
    h: Any = Tensor(np.ones((1, 4)), label="the first state of all")
    W = Tensor(np.eye(4) * 0.9, label="權重矩陣權重矩陣權重矩陣權重矩陣")
    for t in range(T):
        with scope("記憶/a layer with a long name", step=t):
            gate = mark((h @ W).sigmoid(), "遺忘門遺忘門遺忘門", role="gate")
            h = mark(tanh(gate * h), "hidden_state_of_the_net", role="hidden")
    return (h * h).sum()


def exploding(T: int) -> Any:
    h: Any = Tensor(np.ones((1, 2)), label="h0")
    for t in range(T):
        with scope("exploding", step=t):
            h = mark(h * 1.5, "h", role="hidden")
    return h.sum()


NETS: dict[str, Callable[[int], Any]] = {
    "rnn": lambda T: last_loss("rnn", T), "lstm": lambda T: last_loss("lstm", T),
    "gru": lambda T: all_losses("gru before", T), "3 layers": stacked, "both ways": both_ways, "own": own_cell,
    "skipping": skipping, "named": named, "exploding": exploding,
}


@cache
def flow(net: str, T: int) -> viz.Flow:
    return viz.gradient_flow(NETS[net](T))


def found(drawing: viz.Drawing) -> list[str]:
    assert drawing.scene is not None
    assert drawing.scene.title
    assert drawing.scene.summary
    return faults(drawing.scene)


@pytest.mark.parametrize("T", [3, 30, 300])
@pytest.mark.parametrize("net", NETS)
def test_long_pictures_are_legible(net: str, T: int) -> None:
    for page in (1280, 830, 390):
        assert found(viz.draw_long(flow(net, T), theme=Theme(page=page))) == [], page
    assert found(viz.draw_long(flow(net, T).graph)) == []


@pytest.mark.parametrize("T", [3, 30, 300])
@pytest.mark.parametrize("net", NETS)
def test_rolled_pictures_are_legible(net: str, T: int) -> None:
    for page in (1280, 830):
        theme = Theme(page=page)
        assert found(viz.draw_rolled(flow(net, T), theme=theme)) == [], page
        assert found(viz.draw_rolled(flow(net, T), beside=True, theme=theme)) == [], page
    assert found(viz.draw_rolled(flow(net, T).graph)) == []


@pytest.mark.parametrize("name", NAMES)
def test_pictures_with_names_are_legible(name: str) -> None:
    for page in (1280, 830, 390):
        assert found(viz.draw_long(flow("lstm", 30), name=NAMES[name], theme=Theme(page=page))) == []
    for page in (1280, 830):
        assert found(viz.draw_rolled(flow("lstm", 30), name=NAMES[name], beside=True, theme=Theme(page=page))) == []


def test_a_thousand_steps_are_legible() -> None:
    for net in ("lstm", "exploding"):
        assert found(viz.draw_long(flow(net, 1000))) == []
        assert found(viz.draw_rolled(flow(net, 1000), beside=True)) == []
