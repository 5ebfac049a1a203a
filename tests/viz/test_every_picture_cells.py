"""Every picture of a cell can be read, whatever is in the cell and whatever it is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, concat, mark, nn, scope, sigmoid, softmax, tanh
from tests.viz.legible import faults
from viz.graph.cells import Cell, one_cell
from viz.graph.steps import layers
from viz.layout.cell import Tile, lay_out, mirrored
from viz.scale import Scale
from viz.scene.glyphs import highway, tile_items
from viz.scene.items import Box, Item, Scene
from viz.scene.wires import FORWARDS, strand
from viz.theme import DEFAULT

RNG = np.random.default_rng(0)
H = 4
WEIGHTS = [Tensor(RNG.standard_normal((H, H)) / 2) for _ in range(12)]
FUSED = [Tensor(RNG.standard_normal((H, 5 * H)) / 2) for _ in range(2)]
PEEP = Tensor(RNG.standard_normal((1, H)) / 2)
MEMORY = Tensor(RNG.standard_normal((5, H)) / 2)
U, V, W, S = WEIGHTS[:4]
NAMES = {"short": "cell", "long": "a gated cell with a very long name that says all that it does, and by whom it is",
         "Chinese": "門控循環單元與長短期記憶網路之比較門控循環單元與長短期記憶網路之比較"}


def summed(x: Any, h: Any) -> Any:
    return tanh((x + h) @ W)


def residual(x: Any, h: Any) -> Any:
    return h + tanh(x @ U + h @ W)


def three_residual(x: Any, h: Any) -> Any:
    for _ in range(3):
        h = h + tanh(x @ U + h @ W)
    return h


def linear_residual(x: Any, h: Any) -> Any:
    for _ in range(3):
        h = h + h @ W
    return h + x


def five_gates(x: Any, state: Any) -> Any:
    h, c = state
    z = x @ FUSED[0] + h @ FUSED[1]
    i, f, o, p, g = (z[:, H * k:H * (k + 1)] for k in range(5))
    i, f, o, p = (mark(sigmoid(part), name, role="gate") for part, name in zip((i, f, o, p), "ifop", strict=True))
    c = mark(f * c + i * mark(tanh(g), "g", role="candidate"), "c", role="cell")
    return mark(o * tanh(c) + p * h, "h", role="hidden"), c


def five_matrices(x: Any, state: Any) -> Any:
    h, c = state
    i, f, o, p, q = (mark(sigmoid(x @ a + h @ b), name, role="gate")
                     for a, b, name in zip(WEIGHTS[2:7], WEIGHTS[7:], "ifopq", strict=True))
    c = mark(f * c + i * mark(tanh(x @ U + h @ V), "g", role="candidate") * q, "c", role="cell")
    return mark(o * tanh(c) + p * h, "h", role="hidden"), c


def peephole(x: Any, state: Any) -> Any:
    h, c = state
    f = mark(sigmoid(x @ U + h @ W + c * PEEP), "f", role="gate")
    c = mark(f * c + (1 - f) * tanh(x @ V + h @ S), "c", role="cell")
    o = mark(sigmoid(x @ U + h @ V + c * PEEP), "o", role="gate")
    return mark(o * tanh(c), "h", role="hidden"), c


def two_states(x: Any, state: Any) -> Any:
    a, b = state
    a = tanh(x @ U + a @ W + b @ S)
    return a, sigmoid(a @ V) * b + (1 - sigmoid(b @ W)) * a


def normalised(x: Any, h: Any) -> Any:
    z = x @ U + h @ W
    return tanh((z - z.mean(axis=-1, keepdims=True)) / ((z * z).mean(axis=-1, keepdims=True) + 1) ** 0.5)


def attention(x: Any, h: Any) -> Any:
    return tanh(x @ U + h @ V + softmax(h @ W @ MEMORY.T) @ MEMORY @ S)


def leaky(x: Any, h: Any) -> Any:
    return 0.9 * h + 0.1 * tanh((x + h) @ W + (x * h) @ V)


CELLS: dict[Callable[[Any, Any], Any], int] = {  # with the number of states
    summed: 1, residual: 1, three_residual: 1, linear_residual: 1, five_gates: 2, five_matrices: 2, peephole: 2,
    two_states: 2, normalised: 1, attention: 1, leaky: 1,
}


def first(cell: Any) -> Any:
    return np.ones((1, H)) if CELLS[cell] == 1 else (np.ones((1, H)),) * CELLS[cell]


def loop(cell: Any) -> Any:
    """The loss of a loop over it."""
    state = first(cell)
    for t in range(5):
        with scope("mine", step=t):
            state = cell(Tensor(RNG.standard_normal((1, H)), requires_grad=False), state)
    return (state[0] if CELLS[cell] > 1 else state).sum()


def skipping(every: int, sums: bool) -> Any:
    """The loss of a net that reads its state of several steps before too."""
    hs: list[Any] = [np.ones((1, H))] * every
    for t in range(8):
        with scope("skip", step=t):
            x = Tensor(RNG.standard_normal((1, H)), requires_grad=False)
            h = x @ U + hs[-1] @ W
            hs.append(tanh(h) + hs[-every] if sums else tanh(h + hs[-every] @ S))
    return hs[-1].sum()


def attending() -> Any:
    """The loss of a net that attends to all its past."""
    past = [Tensor(np.ones((1, H)))]
    for t in range(6):
        with scope("attending", step=t):
            keys = concat(past, axis=0)
            past.append(tanh(past[-1] @ V + softmax(past[-1] @ keys.T) @ keys @ S))
    return past[-1].sum()


LOOPS: dict[str, Callable[[], Any]] = {
    **{cell.__name__: (lambda cell=cell: loop(cell)) for cell in CELLS}, "skips": lambda: skipping(3, False),
    "added skips": lambda: skipping(3, True), "attending": attending,
}


def cell_of(name: str) -> Cell:
    graph = viz.trace(LOOPS[name]())
    (layer,) = layers(graph)
    return one_cell(graph, layer, list(layer.order)[-2:])


def scene_of(tile: Tile) -> Scene:
    """A tile alone, with all its wires."""
    items: list[Item] = [Box(0, 0, tile.width, tile.height), *highway(tile, DEFAULT)]
    for wire in tile.cell.wires:
        way = tile.entries[wire.edge] if wire.recurrent else tile.routes[wire.edge]
        items += strand(way, FORWARDS, Scale(), DEFAULT, key=("edge", *wire.edge))
    for state, way in tile.exits.items():
        items += strand(way, FORWARDS, Scale(), DEFAULT, key=("exit", state))
    return Scene([*items, *tile_items(tile, DEFAULT)], tile.width, tile.height, "a tile")


@pytest.mark.parametrize("name", LOOPS)
def test_in_a_tile_no_text_is_cut_and_no_wire_runs_through_a_symbol(name: str) -> None:
    tile = lay_out(cell_of(name), DEFAULT)
    assert not faults(scene_of(tile))
    assert not faults(scene_of(mirrored(tile)))


@pytest.mark.parametrize(("name", "labels"), [
    ("summed", {"(x + h) W"}), ("linear_residual", {"h W", "(h + h W) W", "· W"}),
    ("three_residual", {"x W + h W", "x W + · W"}), ("leaky", {"0.9 × h", "(x + h) W + (x⊙h) W"}),
    ("skips", {"x W + h_{t-1} W + h_{t-3} W"}), ("added skips", {"x W + h_{t-1} W"}),
    ("attention", {"x W + h W + · W"}),
])
def test_captions_lose_no_brackets_and_no_lags(name: str, labels: set[str]) -> None:
    assert labels <= {re.sub(r"W\d+", "W", glyph.label) for glyph in cell_of(name).glyphs.values()}


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("called", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_can_be_read_on_a_slide_and_in_a_column(cell: Any, called: str, flow: bool) -> None:
    for page in (1280, 830):
        drawing = viz.draw_cell(cell, np.ones((1, H)), state=first(cell), flow=flow, name=NAMES[called],
                                theme=replace(DEFAULT, page=page))
        assert drawing.scene is not None
        assert not faults(drawing.scene)


@pytest.mark.parametrize("called", NAMES)
@pytest.mark.parametrize("cell", [nn.RNNCell(3, H, rng=0), nn.LSTMCell(3, H, rng=0), nn.GRUCell(3, H, rng=0)])
def test_the_known_cells_can_be_read_on_a_phone(cell: Any, called: str) -> None:
    for flow in (False, True):
        drawing = viz.draw_cell(cell, flow=flow, name=NAMES[called], theme=replace(DEFAULT, page=390))
        assert drawing.scene is not None
        assert not faults(drawing.scene)
