"""Every picture of an unrolled net can be read: nothing small, cut, overprinted or pierced, at any size and name."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope, tanh
from tests.viz.legible import faults
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
        xs = [outs[0][t] if not both else mg_concat(outs[0][t], outs[1][t]) for t in range(T)]
        width = 2 * H if both else H
    return sum((x * x).sum() for x in ((xs[0], xs[-1]) if both else xs[-1:]))


def mg_concat(a: Any, b: Any) -> Any:
    from microgradrnn import concat

    return concat([a, b], axis=-1)


def library(kind: str, T: int, layers: int, both: bool) -> Any:
    """A net of the library, the loss at its last step."""
    hs, _ = getattr(nn, kind)(D, H, layers=layers, bidirectional=both, rng=0)(
        np.random.default_rng(1).standard_normal((T, B, D)))
    return nn.cross_entropy(nn.Linear(hs.shape[-1], 5, rng=0)(hs[-1]), [1] * B)


KINDS: dict[str, Any] = {
    "RNN": lambda *how: library("RNN", *how), "LSTM": lambda *how: library("LSTM", *how),
    "GRU": lambda *how: library("GRU", *how), "five gates": lambda *how: own(FiveGates, *how),
    "two states": lambda *how: own(TwoStates, *how),
}
SHAPES = {"1 layer": (1, False), "3 layers": (3, False), "both ways": (1, True), "3 layers both ways": (3, True)}


@lru_cache(maxsize=2)
def flow_of(kind: str, T: int, shape: str) -> viz.Flow:
    return viz.gradient_flow(KINDS[kind](T, *SHAPES[shape]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("T", LENGTHS)
def test_nets(kind: str, T: int, shape: str) -> None:
    flow = flow_of(kind, T, shape)
    found = {}
    for called, name in NAMES.items():
        labels = [f"{name[:j % 9 + 1]}" for j in range(T)]
        for drawn in (flow.graph, flow):
            for page in (1280, 830):
                scene = viz.draw_unrolled(drawn, name=name, labels=labels, theme=Theme(page=page)).scene
                if bad := faults(scene, page):
                    found[called, "flow" if drawn is flow else "no flow", page] = (scene.width, bad[:3], len(bad))
    assert not found
