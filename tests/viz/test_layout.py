"""Geometry: nothing overlaps, no label is cut, no wire runs through a box, the main line is straight."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import nn
from tests.viz.nets import CELLS, last_loss, own_cell, two_layers
from viz.graph.cells import one_cell
from viz.graph.steps import layers
from viz.layout.cell import Tile, caption, lay_out
from viz.layout.geometry import Place, apart
from viz.theme import DEFAULT
from viz.typography import text_width

NETS: dict[str, Any] = {name: (lambda name=name: last_loss(name)) for name in CELLS} | {
    "own": own_cell, "own, unmarked": lambda: own_cell(marked=False), "two layers": two_layers,
}


def tiles(name: str) -> list[Tile]:
    g = viz.trace(NETS[name]())
    return [lay_out(one_cell(g, layer, layer.steps), DEFAULT) for layer in layers(g)]


@pytest.mark.parametrize("name", NETS)
def test_no_two_boxes_overlap_and_all_lie_inside(name: str) -> None:
    for tile in tiles(name):
        boxes = list(tile.boxes.items())
        for j, (a, first) in enumerate(boxes):
            assert 0 <= first.left <= first.right <= tile.width, a
            assert 0 <= first.top <= first.bottom <= tile.height, a
            for b, second in boxes[j + 1:]:
                assert not first.overlaps(second), (a, b)


@pytest.mark.parametrize("name", NETS)
def test_labels_fit_into_their_boxes(name: str) -> None:
    for tile in tiles(name):
        for glyph in tile.cell.glyphs.values():
            if glyph.shape == "box":
                assert text_width(caption(glyph), DEFAULT.size) <= tile.boxes[glyph.name].w - 4


@pytest.mark.parametrize("name", NETS)
def test_no_wire_runs_through_a_box(name: str) -> None:
    for tile in tiles(name):
        for wire in tile.cell.wires:
            routes = [tile.entries[wire.edge]] if wire.recurrent else [tile.routes[wire.edge]]
            own = {wire.target} if wire.recurrent else {wire.source, wire.target}
            if wire.recurrent:
                routes.append(tile.exits[wire.source])
            for route, ends in zip(routes, [own, {wire.source}], strict=False):
                for x, y in route.points():
                    hit = [n for n, b in tile.boxes.items() if n not in ends
                           and b.left + 1 < x < b.right - 1 and b.top + 1 < y < b.bottom - 1]
                    assert not hit, (name, wire, hit)


@pytest.mark.parametrize("name", NETS)
def test_every_wire_ends_at_its_target(name: str) -> None:
    for tile in tiles(name):
        for wire in tile.cell.wires:
            x, y = (tile.entries if wire.recurrent else tile.routes)[wire.edge].end
            box = tile.boxes[wire.target]
            assert box.left - 1 <= x <= box.right + 1, wire
            assert box.top - 1 <= y <= box.bottom + 1, wire


@pytest.mark.parametrize(("name", "line", "signs"), [
    ("lstm", ["multiply", "c"], "×+"), ("gru before", ["multiply_2", "h"], "×+"),
    ("gru after", ["multiply_2", "h"], "×+"),
    ("rnn", ["z", "h"], None),
])
def test_the_main_line_is_straight_and_on_top(name: str, line: list[str], signs: str | None) -> None:
    (tile,) = tiles(name)
    assert tile.cell.main_line() == line
    heights = {tile.boxes[n].y for n in line}
    assert len(heights) == 1
    assert heights.pop() == min(box.y for box in tile.boxes.values())
    xs = [tile.boxes[n].x for n in line]
    assert xs == sorted(xs)
    if signs:
        assert "".join(tile.cell.glyphs[n].label for n in line) == signs
    state = line[-1]
    assert tile.exits[state].start[1] == tile.exits[state].end[1] == tile.boxes[state].y


def test_gates_of_an_lstm_stand_in_a_row_under_the_line() -> None:
    (tile,) = tiles("lstm")
    assert len({tile.boxes[n].y for n in "figo"}) == 1
    assert tile.boxes["f"].y > tile.boxes["c"].y
    assert tile.boxes["f"].x < tile.boxes["i"].x < tile.boxes["o"].x
    assert tile.boxes["c"].x < tile.boxes["tanh"].x == tile.boxes["h"].x, "what hangs on the line hangs in one column"
    assert tile.boxes["f"].x - 12 < tile.boxes["multiply"].x < tile.boxes["f"].x + 22, "f stands under its product"


def test_a_cell_says_its_equations() -> None:
    (tile,) = tiles("lstm")
    assert tile.cell.glyphs["affine"].label == "x U + h W + b"
    (tile,) = tiles("gru before")
    assert {"1 − z", "x U + (r⊙h) W_n + b"} <= {g.label for g in tile.cell.glyphs.values()}
    assert len(tile.cell.weights) == 3


def test_the_layout_is_the_same_every_time() -> None:
    assert tiles("gru before") == tiles("gru before")


def test_apart_keeps_the_order_and_the_gaps() -> None:
    xs = apart([5.0, 1.0, 3.0, 100.0], [10.0, 20.0, 10.0, 10.0], 2.0)
    assert xs[1] - xs[0] == pytest.approx(17)
    assert xs[2] - xs[1] == pytest.approx(17)
    assert xs[3] == 100


def test_overlap_is_seen_when_there_is_one() -> None:
    assert Place(0, 0, 10, 10).overlaps(Place(9, 0, 10, 10))
    assert not Place(0, 0, 10, 10).overlaps(Place(10, 0, 10, 10))


@pytest.mark.parametrize("net", [nn.RNNCell(3, 4, rng=0), nn.JordanCell(3, 4, 2, rng=0)])
def test_on_the_main_line_of_a_simple_net_boxes_stand_side_by_side_and_the_input_below_its_box(net: Any) -> None:
    _, state = nn.Recurrent(net)(np.ones((3, 2, 3)))
    graph = viz.trace(state.sum())
    (layer,) = layers(graph)
    tile = lay_out(one_cell(graph, layer, [1, 2]), DEFAULT)
    belt = sorted((box for name, box in tile.boxes.items() if tile.cell.glyphs[name].shape != "input"),
                  key=lambda box: box.x)
    (below,) = [box for name, box in tile.boxes.items() if tile.cell.glyphs[name].shape == "input"]
    assert below.x == pytest.approx(belt[0].x, abs=0.5)
    assert [b.left - a.right for a, b in pairwise(belt)] == pytest.approx([DEFAULT.gap] * (len(belt) - 1))
