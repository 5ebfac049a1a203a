"""The band under a carry: where it runs, and which cells have one."""

from __future__ import annotations

from typing import Any

import pytest

from microgradrnn import nn
from viz.graph.cell_parts import cell_parts
from viz.graph.probe import probe
from viz.layout.cell import Tile, lay_out, mirrored
from viz.scene.glyphs import highway
from viz.scene.items import Wire
from viz.theme import DEFAULT


def tile_of(cell: Any) -> Tile:
    return lay_out(cell_parts(probe(cell)).cell, DEFAULT)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.MGUCell, nn.AdditiveCell, nn.CarouselLSTMCell])
def test_a_carry_is_one_band_from_edge_to_edge_through_every_symbol_of_the_main_line(kind: Any, turned: bool) -> None:
    tile = tile_of(kind(3, 4, rng=0))
    tile = mirrored(tile) if turned else tile
    (band,) = highway(tile, DEFAULT, 5)
    assert isinstance(band, Wire)
    assert band.key == ("highway", tile.main)
    assert band.stroke == DEFAULT.roles["cell"]
    left, _, right, _ = band.extent
    assert (left, right) == (-5, tile.width + 5)
    points = set(band.routes[0].points())
    for box in (tile.boxes[name] for name in tile.cell.main_line()):
        assert min(abs(box.x - x) + abs(box.y - y) for x, y in points) <= box.w / 2 + 1


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.IRNNCell])
def test_a_way_through_a_matrix_is_no_carry(kind: Any) -> None:
    assert not highway(tile_of(kind(3, 4, rng=0)), DEFAULT)
