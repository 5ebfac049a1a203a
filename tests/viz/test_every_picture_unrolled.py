"""Every picture of an unrolled net can be read: nothing small, cut, overprinted or pierced, at any size and name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, concat, mark, nn, scope, softmax, tanh
from tests.viz.legible import faults
from tests.viz.test_geometry import tree
from viz.scene.items import Box, Wire, moved
from viz.theme import Theme

B, D, H = 2, 3, 4
LENGTHS = (3, 30, 300, 1000)
NAMES = {"short": "net", "long": "a recurrent net with quite a long name, longer than anybody would wish to read",
         "Chinese": "循环神经网络的梯度随时间消失与爆炸"}


class FiveGates:
    """Two states and five gates: more than any of the library's cells has."""

    def __init__(self, D: int, H: int, rng: int = 0, names: tuple[str, str] = ("c", "h")) -> None:
        r = np.random.default_rng(rng)
        self.U = Tensor(r.standard_normal((D, 5 * H)) / 2, label="U", requires_grad=True)
        self.W = Tensor(r.standard_normal((H, 5 * H)) / 3, label="W", requires_grad=True)
        self.H, self.names = H, names

    def __call__(self, x: Any, state: Any) -> Any:
        c, h = state
        z = x @ self.U + h @ self.W
        parts = [z[:, j * self.H:(j + 1) * self.H] for j in range(5)]
        i, f, o, k = (mark(part.sigmoid(), letter, role="gate") for part, letter in zip(parts, "ifok", strict=False))
        g = mark(parts[4].tanh(), "g", role="candidate")
        c = mark(f * c + i * g, self.names[0], role="cell")
        return c, mark(k * h + o * c.tanh(), self.names[1], role="hidden")

    def start(self) -> Any:
        return np.zeros((B, self.H)), np.zeros((B, self.H))


class TwoStates:
    """Two states and a gate, read crosswise."""

    def __init__(self, D: int, H: int, rng: int = 0, names: tuple[str, str] = ("m", "h")) -> None:
        r = np.random.default_rng(rng)
        self.V, self.W = (Tensor(r.standard_normal(s) / 2, requires_grad=True) for s in ((D, H), (H, H)))
        self.H, self.names = H, names

    def __call__(self, x: Any, state: Any) -> Any:
        m, h = state
        a = mark((x @ self.V + h @ self.W).sigmoid(), "a", role="gate")
        m = mark(m + a * tanh(x @ self.V + h), self.names[0], role="cell")
        return m, mark(0.9 * h + tanh(m), self.names[1], role="hidden")

    def start(self) -> Any:
        return np.zeros((B, self.H)), np.zeros((B, self.H))


def own(cell: Any, T: int, layers: int = 1, both: bool = False) -> Any:
    """A loop around own cells."""
    r = np.random.default_rng(1)
    xs: Any = list(r.standard_normal((T, B, D)))
    width = D
    for layer in range(layers):
        outs = []
        for back in (False, True)[:1 + both]:
            one = cell(width, H, rng=layer)
            state, out = one.start(), {}
            for t in reversed(range(T)) if back else range(T):
                with scope(f"layers.{layer}/{'backwards' if back else 'forwards'}" if both or layers > 1 else "own",
                           step=t):
                    state = one(xs[t], state)
                    out[t] = state[1]
            outs.append([out[t] for t in range(T)])
        xs = [outs[0][t] if not both else concat([outs[0][t], outs[1][t]], axis=-1) for t in range(T)]
        width = 2 * H if both else H
    return sum((x * x).sum() for x in ((xs[0], xs[-1]) if both else xs[-1:]))


def library(kind: str, T: int, layers: int, both: bool) -> Any:
    """A net of the library, the loss at its last step."""
    hs, _ = getattr(nn, kind)(D, H, num_layers=layers, bidirectional=both, rng=0)(
        np.random.default_rng(1).standard_normal((T, B, D)))
    return nn.cross_entropy(nn.Linear(hs.shape[-1], 5, rng=0)(hs[-1]), [1] * B)


KINDS: dict[str, Any] = {
    "RNN": lambda *how: library("RNN", *how), "LSTM": lambda *how: library("LSTM", *how),
    "GRU": lambda *how: library("GRU", *how), "five gates": lambda *how: own(FiveGates, *how),
    "two states": lambda *how: own(TwoStates, *how),
}
SHAPES = {"1 layer": (1, False), "3 layers": (3, False), "both ways": (1, True), "3 layers both ways": (3, True)}


def skip(T: int, delay: int = 3) -> Any:
    """Every state reads the last one and one before it."""
    r = np.random.default_rng(0)
    U, W, S = (Tensor(r.standard_normal(s) / 3, label=n, requires_grad=True)
               for n, s in (("U", (D, H)), ("W", (H, H)), ("S", (H, H))))
    hs: Any = [np.zeros((1, H))] * delay
    for t in range(T):
        with scope("skip", step=t):
            hs.append(mark(tanh(r.standard_normal((1, D)) @ U + hs[-1] @ W + hs[-delay] @ S), "h", role="hidden"))
    return (hs[-1] * hs[-1]).sum()


def attention(T: int) -> Any:
    """The last state asks all of them."""
    hs, _ = nn.GRU(D, H, rng=0)(np.random.default_rng(0).standard_normal((T, B, D)))
    weights = softmax((hs * hs[-1]).sum(-1), 0)
    return nn.cross_entropy(nn.Linear(H, 5, rng=0)((hs * weights.reshape(T, B, 1)).sum(0)), [1] * B)


def residual(T: int) -> Any:
    """A stack in which every layer adds to what it read."""
    xs = np.random.default_rng(0).standard_normal((T, B, H))
    cells = [nn.GRUCell(H, H, rng=k) for k in range(3)]
    states: Any = [np.zeros((B, H))] * 3
    y: Any = None
    for t in range(T):
        y = xs[t]
        for k, cell in enumerate(cells):
            with scope(f"layers.{k}", step=t):
                states[k] = cell(y, states[k])
                y = y + states[k]
    return (y * y).sum()


def encoder_decoder(T: int) -> Any:
    net = nn.EncoderDecoder(nn.LSTM(4, 6, num_layers=2, rng=0), nn.LSTM(4, 6, num_layers=2, rng=1),
                            nn.Embedding(9, 4, rng=2), nn.Embedding(7, 4, rng=3), nn.Linear(6, 7, rng=4), start=0)
    target = np.ones((7, B), dtype=int)
    return nn.cross_entropy(net(np.ones((T, B), dtype=int), target, lengths=[T, T - 1]), target)


def exploding(T: int) -> Any:
    W, h = Tensor(2.5 * np.eye(4), label="W", requires_grad=True), Tensor(1e-9 * np.ones((1, 4)), requires_grad=True)
    for t in range(T):
        with scope("linear", step=t):
            h = mark(h @ W, "h", role="hidden")
    return h.sum()


def named(T: int, *names: str) -> Any:
    class Named(FiveGates):
        def __init__(self, D: int, H: int, rng: int = 0) -> None:
            super().__init__(D, H, rng, (names[0], names[1]))

    return own(Named, T)


def from_torch(T: int, layers: int, both: bool) -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.LSTM(D, H, num_layers=layers, bidirectional=both)
    return viz.from_torch(net(torch.randn(T, B, D))[0][-1].sum())


OTHERS: dict[str, Any] = {
    "skip connections": skip, "two steps back": lambda T: skip(T, 2), "attention": attention, "residual": residual,
    "encoder-decoder": encoder_decoder, "exploding": exploding,
    "Chinese states": lambda T: named(T, "记忆状态状态", "隐藏状态"),
    "long states": lambda T: named(T, "the_memory_of_it_all", "the_hidden_state"),
    "a loss at every step": lambda T: nn.LSTM(D, H, 2, bidirectional=True, rng=0)(np.ones((T, B, D)))[0].sum(),
    "a tree": lambda T: tree((3, ((1, 4), (1, 5)), (7, (8, 2)))),
}
TABLE = {f"{kind}, {shape}, T = {T}": (lambda kind=kind, T=T, shape=shape: KINDS[kind](T, *SHAPES[shape]))
         for T in LENGTHS for kind in KINDS for shape in SHAPES if T < 300 or shape == "1 layer"}
TABLE |= {f"{other}, T = {T}": (lambda other=other, T=T: OTHERS[other](T)) for T in (3, 30) for other in OTHERS}


def check(drawn: Any, pages: tuple[float, ...], names: tuple[str, ...] = tuple(NAMES)) -> None:
    """No faults, whatever the net is called."""
    for name in names:
        for page in pages:
            scene = viz.draw_unrolled(drawn, name=NAMES[name], theme=Theme(page=page)).scene
            assert scene is not None
            assert not faults(scene, page), (name, page)


@pytest.mark.parametrize("name", TABLE)
def test_every_net_can_be_read_with_and_without_its_flow(name: str) -> None:
    flow = viz.gradient_flow(TABLE[name]())
    for drawn in (flow.graph, flow):
        check(drawn, (1280,))
        check(drawn, (830,), ("long",))


@pytest.mark.parametrize(("layers", "both"), SHAPES.values())
def test_every_net_of_pytorch_can_be_read(layers: int, both: bool) -> None:
    check(from_torch(8, layers, both), (1280,), ("long",))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_script_can_be_read(kind: str) -> None:
    labels = ["", "a", "a long label, longer than a cell is wide", NAMES["Chinese"], "e\u0301", "\u0301", "\n"]
    scene = viz.draw_unrolled(KINDS[kind](7, 1, False), labels=labels, last=7, theme=Theme(page=9000)).scene
    assert scene is not None
    assert not faults(scene)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_column_of_text_has_room_for_the_first_cell_and_the_last(kind: str) -> None:
    scene = viz.draw_unrolled(viz.gradient_flow(library(kind, 30, 1, False)), theme=Theme(page=830)).scene
    assert scene is not None
    assert {item.key[2] for item, _, _ in scene.keyed("cell")} == {0, 29}  # type: ignore[index]


def patterns() -> dict[str, Any]:
    """Which steps read something, and the outputs of which are read."""
    cell, head = nn.RNNCell(3, 4, rng=0), nn.Linear(4, 2, rng=0)
    x, nothing = np.ones((4, 1, 3)), np.zeros((1, 3))

    def run(xs: Any, read: Any) -> Any:
        h, loss = None, 0.0
        for t, given in enumerate(xs):
            with scope("rnn", step=t):
                given = mark(Tensor(given), "x", role="input")
            with scope(step=t):
                h = cell(given, h)
            if t in read:
                loss = loss + (head(h) ** 2).sum()
        return loss

    return {"one to one": run(x[:1], [0]), "one to many": run([x[0], nothing, nothing, nothing], range(4)),
            "many to one": run(x, [3]), "many to many": run(x, range(4)), "only the end": run(x, [2, 3])}


@pytest.mark.parametrize(("name", "read", "empty"), [
    ("one to one", [0], 0), ("one to many", [0, 1, 2, 3], 3), ("many to one", [3], 0),
    ("many to many", [0, 1, 2, 3], 0), ("only the end", [2, 3], 0)])  # fmt: skip
def test_a_pattern_is_seen_from_its_dots_and_its_zeros(name: str, read: list[int], empty: int) -> None:
    root = patterns()[name]
    for drawn in (root, viz.gradient_flow(root)):
        scene = viz.draw_unrolled(drawn, last=4, theme=Theme(page=1500)).scene
        assert scene is not None
        dots = [item.key[2] for item, _, _ in scene.keyed("output") if isinstance(item.key, tuple)]
        assert sorted(dots) == read
        assert scene.words.split("\n").count("0") == empty
        assert "add" not in scene.words.split("\n"), "the first sum is of one term, and no box"
        assert not faults(scene)


def test_patterns_side_by_side_can_be_read_and_each_shows_all_its_steps() -> None:
    for nets in (patterns(), {name: viz.gradient_flow(root) for name, root in patterns().items()}):
        scene = viz.draw_unrolled(nets).scene
        assert scene is not None
        assert not faults(scene)
        assert len(list(scene.keyed("cell"))) == 1 + 4 * 4


def test_a_wire_that_skips_steps_passes_no_frame_of_a_state() -> None:
    scene = viz.draw_unrolled(viz.gradient_flow(skip(4, 2)), last=4, theme=Theme(page=9000)).scene
    assert scene is not None
    frames = [moved(item.extent, x, y) for item, x, y in scene.walk() if isinstance(item, Box) and item.radius == 3]
    assert frames
    skipping = [(route.shifted(x, y)) for item, x, y in scene.walk() if isinstance(item, Wire) for route in item.routes
                if min(py for _, py in route.points()) < -5]
    assert len(skipping) >= 2
    inside = [(p, frame) for route in skipping for p in route.points() for frame in frames
              if frame[0] < p[0] < frame[2] and frame[1] + 1 < p[1] < frame[3]]
    assert not inside
