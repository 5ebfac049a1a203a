"""Cells: what the boxes of a step say where little tells an input from a state, and one input is one pill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, mark, nn, scope
from tests.viz.scenes import words
from viz.graph.cells import Cell, one_cell
from viz.graph.steps import layers

H = 4


def drawn(root: Any) -> Cell:
    """The cell of the last layer."""
    graph = viz.trace(root)
    layer = layers(graph)[-1]
    return one_cell(graph, layer, layer.order)


def boxes(root: Any) -> set[str]:
    """What its boxes say."""
    return {glyph.label for glyph in drawn(root).glyphs.values() if glyph.shape == "box"}


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_net_of_one_step_reads_h_as_a_net_of_two_does(kind: Any) -> None:
    one, two = (boxes(kind(3, H, rng=0)(np.ones((T, 2, 3)))[0][-1].sum()) for T in (1, 2))
    assert one == two
    assert any(said.startswith("z = x U + h W") or said.startswith("x U + h W") for said in one)


@pytest.mark.parametrize("D", [3, H])  # as wide as the state: no shape tells one from the other
@pytest.mark.parametrize("given", [np.asarray, Tensor])
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell])
def test_one_call_of_a_cell_tells_the_input_from_the_state(kind: Any, given: Callable[[Any], Any], D: int) -> None:
    with scope(step=0):
        h = kind(D, H, rng=0)(given(np.ones((2, D))), np.zeros((2, H)))
    said = " ".join(boxes(h.sum()))
    assert "x U + h W" in said
    assert "x W" not in said
    assert "h U" not in said


def test_an_input_is_called_x_where_it_comes_out_of_a_list_of_tensors() -> None:
    hs, _ = nn.unroll(nn.RNNCell(3, H, rng=0), [Tensor(np.ones((2, 3))) for _ in range(4)])
    assert "x U + h W + b" in boxes(hs[-1].sum())


def test_what_no_box_writes_out_stands_on_the_input() -> None:
    cell = drawn(nn.GRU(3, H, reset="after", rng=0)(np.ones((5, 2, 3)))[0][-1].sum())
    said = {glyph.label for glyph in cell.glyphs.values()}
    assert {"x U + b", "h W", "+ b_n"} <= said, "x U + b comes before the steps, and circles read it"
    assert "x" not in said
    before = drawn(nn.GRU(3, H, rng=0)(np.ones((5, 2, 3)))[0][-1].sum())
    assert "x" in {glyph.label for glyph in before.glyphs.values()}, "its boxes write x U and b out"


@pytest.mark.parametrize("with_node", [{1, 3}, {0, 2}, {0}, {3}, set(), {0, 1, 2, 3}])
def test_an_input_that_is_a_node_at_some_steps_only_is_one_pill_with_a_wire(with_node: set[int]) -> None:
    cell, h = nn.RNNCell(3, H, rng=0), np.zeros((2, H))
    for t in range(4):
        x: Any = mark(Tensor(np.ones((2, 3))), "x") if t in with_node else np.ones((2, 3))
        with scope(step=t):
            h = cell(x, h)
    root = h.sum()
    found = drawn(root)
    pills = [name for name, glyph in found.glyphs.items() if glyph.shape == "input"]
    assert len(pills) == 1
    assert [wire.target for wire in found.wires if wire.source == pills[0]] == ["z"]
    assert words(viz.draw_unrolled(root)).count("x") == 4, "one at every step"


def test_an_input_that_is_the_same_at_every_step_is_no_weight() -> None:
    rng = np.random.default_rng(0)
    x, h, W, U = (Tensor(rng.normal(size=shape), requires_grad=True) for shape in ((2, 3), (2, H), (H, H), (3, H)))
    for t in range(3):
        with scope("net", step=t):
            h = mg.tanh(x @ U + h @ W)
    cell = drawn(h.sum())
    assert [cell.names[node] for node in cell.weights] == ["W1", "W2"]
    assert boxes(h.sum()) == {"x W2 + h W1", "tanh"}
