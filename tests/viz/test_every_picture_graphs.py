"""Graphs of values, films and recordings can be read: at every length, under every name, on every page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope
from tests.viz.legible import faults
from tests.viz.nets import last_loss
from viz.theme import DEFAULT

NAMES = {"short": "h", "long": "what_somebody_calls_the_state_of_a_net", "Chinese": "门控循环单元的隐藏状态"}
PAGES = (1280, 830, 390)
THEMES = {page: replace(DEFAULT, page=page) for page in PAGES}


def scalar_rnn(T: int, name: str = "h") -> Value:
    """A simple RNN of one unit, with this name for everything."""
    w, u, h = Value(0.7, label=name), Value(-0.4, label=f"u{name}"), Value(0.3, label=f"{name}0")
    for t in range(T):
        with scope(name, step=t):
            h = mark((w * h + u * (0.5 + t % 3)).tanh(), name, role="hidden")
    return h


def stacked(T: int, layers: int = 1, both: bool = False) -> Any:
    """A GRU of several layers, or one that reads both ways."""
    hs, _ = nn.GRU(2, 3, num_layers=layers, bidirectional=both, rng=0)(np.ones((T, 1, 2)))
    return (hs[-1] ** 2).sum()


def attention() -> Any:
    """Every query reads every key: many wires cross."""
    x, W = Tensor(np.random.default_rng(0).standard_normal((3, 4)), label="x"), Tensor(np.eye(4) / 2, label="W")
    weights = ((x @ W) @ x.T * 0.5).exp()
    return ((weights / weights.sum(axis=1, keepdims=True)) @ x + x).tanh().sum()


def check(scene: Any) -> None:
    """Nothing is small, cut or overprinted, and it fits its page."""
    assert faults(scene) == []
    assert scene.width <= scene.theme.page
    assert scene.title
    assert scene.summary


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("T", [3, 30])
@pytest.mark.parametrize("with_flow", [False, True])
def test_graphs_of_values(T: int, name: str, page: int, with_flow: bool) -> None:
    root = scalar_rnn(T, NAMES[name])
    flow = viz.gradient_flow(root) if with_flow else None
    check(viz.draw_graph(root, flow=flow, theme=THEMES[page]).drawing.scene)


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("page", [1280, 830])
@pytest.mark.parametrize("net", [lambda: last_loss("lstm", T=3), lambda: stacked(3, layers=3),
                                 lambda: stacked(3, both=True), attention])
def test_graphs_of_arrays(net: Any, page: int, rankdir: str) -> None:
    root = net()
    check(viz.draw_graph(root, flow=viz.gradient_flow(root), rankdir=rankdir, theme=THEMES[page]).drawing.scene)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("T", [3, 30, 300, 1000])
def test_folded_graphs(T: int, page: int) -> None:
    flow = viz.gradient_flow(last_loss("lstm", T=T))
    check(viz.draw_graph(viz.fold(flow, by="step", repeat=2), theme=THEMES[page]).drawing.scene)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", NAMES)
def test_films_of_numbers(name: str, page: int) -> None:
    film = viz.draw_film(scalar_rnn(3, NAMES[name]), theme=THEMES[page])
    for still in film.stills[::3] + film.stills[-1:]:
        check(film[still].scene)


@pytest.mark.parametrize("T", [3, 30, 300])
@pytest.mark.parametrize("page", [1280, 830])
def test_films_of_arrays(T: int, page: int) -> None:
    film = viz.draw_film(last_loss("lstm", T=T), theme=THEMES[page])
    for still in film.stills[::9] + film.stills[-1:]:
        check(film[still].scene)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("T", "updates"), [(3, 1), (30, 12), (300, 2), (1000, 1)])
def test_recordings(T: int, updates: int, name: str, page: int) -> None:
    recorder = viz.Recorder(every=1)
    for update in range(updates):
        recorder(nn.LSTM(2, 3, rng=update)(np.ones((T, 1, 2)))[0][-1].sum())
    check(viz.draw_recording(recorder, name=NAMES[name], theme=THEMES[page]).scene)
