"""Whole pictures: nothing overlaps, nothing is cut, no wire runs through a box, and every number is the flow's."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, nn, scope, tanh
from tests.viz.legible import faults, tight
from tests.viz.nets import own_cell
from viz.graph.steps import Edge
from viz.scene.items import Box, Extent, Item, Scene, Wire, moved, overlap

T, B = 4, 2
XS = np.random.default_rng(1).standard_normal((T, B, 3))
TARGETS = np.ones((T, B), dtype=int)
KINDS: dict[str, Any] = {
    "RNN": nn.RNNCell, "IRNN": nn.IRNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "MGU": nn.MGUCell,
    "GRU after": lambda D, H, rng: nn.GRUCell(D, H, reset="after", rng=rng),
    "Jordan": lambda D, H, rng: nn.JordanCell(D, H, H, rng=rng), "additive": nn.AdditiveCell,
    "carousel": nn.CarouselLSTMCell, "coupled": nn.CoupledLSTMCell, "update gate": nn.UpdateGateLSTMCell,
}


def net(kind: str, layers: int, both: bool) -> Any:
    built: list[Any] = []
    for k in range(layers):
        D = 3 if k == 0 else 8 if both else 4
        pair = [KINDS[kind](D, 4, rng=2 * k + j) for j in range(2)]
        built.append(tuple(pair) if both else pair[0])
    return nn.Recurrent(*built, dropout=0.5)


def loss(kind: str, layers: int, both: bool, every: bool) -> Any:
    """Of the outputs at every step, or at the last."""
    hs, _ = net(kind, layers, both)(XS, rng=np.random.default_rng(0))
    o = nn.Linear(hs.shape[-1], 5, rng=0)(hs if every else hs[-1])
    return nn.cross_entropy(o, TARGETS if every else TARGETS[-1])


def ragged() -> Any:
    hs, h = nn.GRU(3, 4, num_layers=2, bidirectional=True, rng=0)(XS, lengths=[4, 2])
    return hs.sum() + h[1][0].sum()


def encoder_decoder(layers: int) -> Any:
    net = nn.EncoderDecoder(nn.LSTM(4, 6, num_layers=layers, rng=0), nn.LSTM(4, 6, num_layers=layers, rng=1),
                            nn.Embedding(9, 4, rng=2), nn.Embedding(7, 4, rng=3), nn.Linear(6, 7, rng=4), start=0)
    target = np.ones((3, 2), dtype=int)
    return nn.cross_entropy(net(np.ones((4, 2), dtype=int), target, lengths=[4, 3]), target)


def plain_function() -> Any:
    U, W = Tensor(np.ones((3, 4)) / 5), Tensor(np.eye(4) / 2)
    hs, _ = nn.Recurrent(lambda x, h: tanh(x @ U + h @ W))(XS, np.zeros((B, 4)))
    return (hs * hs).sum()


def own_stack() -> Any:
    """Two cells and the loss in one loop."""
    low, high, out = nn.GRUCell(3, 4, rng=0), nn.LSTMCell(4, 4, rng=1), nn.Linear(4, 5, rng=2)
    h, state, total = np.zeros((B, 4)), high.initial_state(B), 0.0
    for t in range(T):
        with scope(step=t):
            with scope("low"):
                h = low(XS[t], h)
            with scope("high"):
                state = high(h, state)
            total = total + nn.cross_entropy(out(state[0]), TARGETS[t])
    return total


def tree(shape: Any) -> Any:
    h = nn.recurse(nn.TreeCell(4, rng=0), shape, leaf=nn.Embedding(10, 4, rng=1))
    return nn.cross_entropy(nn.Linear(4, 5, rng=2)(h.reshape(1, 4)), [1])


def values() -> Any:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = a * b + a
    return tanh(c * c + b) * tanh(c)


PICTURES: dict[str, Any] = {
    f"{kind}, {layers} layers{', both ways' * both}{', every step' * every}":
        lambda kind=kind, layers=layers, both=both, every=every: loss(kind, layers, both, every)
    for kind in KINDS for layers in (1, 2) for both in (False, True) for every in (False, True)
} | {
    "three LSTMs both ways": lambda: loss("LSTM", 3, True, True),
    "ragged": ragged, "encoder-decoder": lambda: encoder_decoder(1), "deep encoder-decoder": lambda: encoder_decoder(2),
    "own cell": own_cell, "a plain function": plain_function, "two cells in one loop": own_stack,
    "checkpointed": lambda: nn.LSTM(3, 4, rng=0)(XS, checkpoint=2)[0].sum(),
    "backwards": lambda: nn.LSTM(3, 4, rng=0)(XS, reverse=True)[1][0].sum(),
    "a tree": lambda: tree((3, ((1, 4), (1, 5)), (7, (8, 2)))),
    "a long branch": lambda: tree((((((1, 2), 3), 4), 5), (6, (7, 8)))),
    "values": values,
    "layers without steps": lambda: nn.cross_entropy(nn.Linear(4, 5, rng=1)(tanh(nn.Linear(3, 4, rng=0)(XS[0]))),
                                                     [0, 1]),
}


def picture(name: str, with_flow: bool) -> tuple[Scene, viz.Flow | None]:
    root = PICTURES[name]()
    flow = viz.gradient_flow(root) if with_flow else None
    scene = viz.draw_unrolled(root, flow=flow, last=3, labels=dict(enumerate(["“", "word", "mm", "x"]))).scene
    assert scene is not None
    return scene, flow


def solid(scene: Scene) -> list[Extent]:
    """What keeps away from other such things: boxes, circles and pills, but for the grounds of cells and dots."""
    return [moved(item.extent, x, y) for item, x, y in scene.walk()
            if isinstance(item, Box) and item.stroke and item.fill != scene.theme.tile
            and not (isinstance(item.key, tuple) and item.key[0] == "output")]


def within(inner: Extent, outer: Extent, slack: float = 1.0) -> bool:
    return inner[0] >= outer[0] - slack and inner[2] <= outer[2] + slack


@pytest.mark.parametrize("with_flow", [False, True])
@pytest.mark.parametrize("name", PICTURES)
def test_nothing_overlaps_nothing_is_cut_and_no_wire_runs_through_a_box(name: str, with_flow: bool) -> None:
    scene, flow = picture(name, with_flow)
    boxes, whole = solid(scene), (0.0, 0.0, scene.width, scene.height)
    assert len(boxes) > 2
    assert not faults(scene, max(scene.width, scene.theme.page)), "last=3 may be wider than a page"
    assert not [(a, b) for a, b in combinations(boxes, 2) if overlap(a, b)]
    for text, extent in scene.texts():
        for box in boxes:
            if overlap(tight(text, extent), box, 1.0):
                assert within(extent, box, 3.0), f"{text.plain!r} does not fit its box"
    for item, x, y in scene.walk():
        if isinstance(item, Wire):
            left, top, right, bottom = moved(item.extent, x, y)
            assert within((left, top, right, bottom), whole, 0.0), "a wire leaves the picture"
            assert 0 <= top <= bottom <= scene.height, "a wire leaves the picture"
    shown = [item for item, _, _ in scene.walk() if item.datum is not None]
    assert all(item.datum == number(flow, item) for item in shown)
    assert bool(shown) is with_flow


def number(flow: viz.Flow | None, item: Item) -> float:
    """What an item must show, from the flow itself."""
    assert flow is not None
    assert isinstance(item.key, tuple)
    kind, *what = item.key
    if kind == "edge":
        return float(flow.messages[Edge(*what)])
    assert kind in ("state", "weight")
    return float(flow.gradients.get(what[0], 0.0))


@pytest.mark.parametrize("name", PICTURES)
def test_as_many_steps_as_fit_are_drawn_and_can_be_read(name: str) -> None:
    root = PICTURES[name]()
    for drawn in (root, viz.gradient_flow(root)):
        scene = viz.draw_unrolled(drawn).scene
        assert scene is not None
        assert not faults(scene)
