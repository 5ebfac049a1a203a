"""Geometry of whole pictures, read back from the SVG: nothing overlaps, nothing is cut, no wire runs through a box."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, nn, scope, tanh
from tests.viz.nets import own_cell
from tests.viz.svgs import of, points, shapes, wording
from viz.layout.geometry import Place, Route
from viz.theme import DEFAULT
from viz.typography import text_width

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
    hs, h = nn.GRU(3, 4, layers=2, bidirectional=True, rng=0)(XS, lengths=[4, 2])
    return hs.sum() + h[1][0].sum()


def encoder_decoder(layers: int) -> Any:
    net = nn.EncoderDecoder(nn.LSTM(4, 6, layers=layers, rng=0), nn.LSTM(4, 6, layers=layers, rng=1),
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


def picture(name: str, with_flow: bool) -> viz.Drawing:
    root = PICTURES[name]()
    return viz.draw_unrolled(root, flow=viz.gradient_flow(root) if with_flow else None, last=3,
                        labels=dict(enumerate(["“", "word", "mm", "x"])))


def solid(svg: str) -> list[Place]:
    """What wires and other boxes keep away from: boxes, circles, pills."""
    found = [Place(float(e.get("x", 0)) + float(e.get("width", 0)) / 2 + dx,
                 float(e.get("y", 0)) + float(e.get("height", 0)) / 2 + dy,
                 float(e.get("width", 0)), float(e.get("height", 0)))
             for e, dx, dy in of(svg, "rect") if e.get("stroke") and e.get("fill") != DEFAULT.tile]
    return found + [Place(float(e.get("cx", 0)) + dx, float(e.get("cy", 0)) + dy, 2 * float(e.get("r", 0)),
                        2 * float(e.get("r", 0))) for e, dx, dy in of(svg, "circle")]


def written(svg: str) -> list[tuple[str, Place]]:
    """Every text with the room it takes, on the safe side of what fonts do."""
    found = []
    for e, dx, dy in of(svg, "text"):
        size = float(e.get("font-size", DEFAULT.size))
        w = text_width(wording(e), size) * (0.93 if e.get("font-weight") != "bold" else 1.0)
        x = float(e.get("x", 0)) + dx + (w / 2 if e.get("text-anchor") is None else 0.0)
        found.append((wording(e), Place(x, float(e.get("y", 0)) + dy - size * 0.36, w, size * 0.74)))
    return found


def route(d: str) -> Route:
    """A path read back."""
    (x, y), *_ = points(d)
    found = Route((x, y))
    for command, rest in re.findall(r"([LHVC])([^MLHVClz]*)", d):
        n = [float(number) for number in re.findall(r"-?[\d.]+", rest)]
        if command == "C":
            found.pieces.append(((n[0], n[1]), (n[2], n[3]), (n[4], n[5])))
        else:
            x, y = found.end
            found.pieces.append(((n[0], y) if command == "H" else (x, n[0]) if command == "V" else (n[0], n[1]),))
    return found


def wires(svg: str) -> list[Route]:
    """Every line that is drawn."""
    return [route(e.get("d", "")).shifted(dx, dy) for e, dx, dy in of(svg, "path") if e.get("fill") == "none"]


def near(box: Place, p: tuple[float, float]) -> bool:
    return box.left - 2 <= p[0] <= box.right + 2 and box.top - 2 <= p[1] <= box.bottom + 2


def pierced(wire: Route, boxes: list[Place]) -> list[Place]:
    """The boxes that a wire runs through, but for those that it joins."""
    xy = np.array(list(wire.points()))
    return [box for box in boxes if not near(box, wire.start) and not near(box, wire.end)
            and ((xy[:, 0] > box.left + 1) & (xy[:, 0] < box.right - 1)
                 & (xy[:, 1] > box.top + 1) & (xy[:, 1] < box.bottom - 1)).any()]


@pytest.mark.parametrize("with_flow", [False, True])
@pytest.mark.parametrize("name", PICTURES)
def test_nothing_overlaps_nothing_is_cut_and_no_wire_runs_through_a_box(name: str, with_flow: bool) -> None:
    drawing = picture(name, with_flow)
    boxes, texts = solid(drawing.svg), written(drawing.svg)
    assert len(boxes) > 2
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert not [(words, box) for words, box in texts if box.left < -1 or box.right > drawing.width + 1
                or box.top < 0 or box.bottom > drawing.height], "a text is cut by the edge"
    for words, where in texts:
        for box in boxes:
            if box.overlaps(where):
                assert box.left - 0.5 <= where.left, f"{words!r} does not fit its box"
                assert where.right <= box.right + 0.5, f"{words!r} does not fit its box"
    assert not [(a[0], b[0]) for a, b in combinations(texts, 2) if a[1].overlaps(b[1])], "texts overlap"
    for e, dx, dy in shapes(drawing.svg):
        if e.get("d"):
            assert all(0 <= x + dx <= drawing.width and 0 <= y + dy <= drawing.height
                       for x, y in points(e.get("d", ""))), "a wire leaves the picture"
    for wire in wires(drawing.svg):
        assert not pierced(wire, boxes), wire


def test_the_checks_above_see_what_they_look_for() -> None:
    svg = ('<svg xmlns="http://www.w3.org/2000/svg"><defs><g id="a">'
           '<rect x="0" y="0" width="20" height="10" stroke="s"/>'
           '<text x="10" y="8" text-anchor="middle">far too long</text></g></defs><use href="#a" x="30"/>'
           '<g transform="translate(35,0)"><use href="#a" y="5"/></g>'
           '<path fill="none" d="M0,3H40C50,3 90,3 90,5"/></svg>')
    first, second = solid(svg)
    assert (first.left, second.top) == (30, 5)
    assert first.overlaps(second)
    assert [words for words, where in written(svg) if where.right > first.right] == ["far too long"] * 2
    assert pierced(wires(svg)[0], [first]) == [first]
    assert wires(svg)[0].end == (90, 5)
