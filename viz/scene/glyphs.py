"""Glyphs: a box for a layer, a circle for a pointwise operation, a pill for an input."""

from __future__ import annotations

from itertools import pairwise

from viz.graph.cells import Glyph
from viz.layout.cell import Tile, caption
from viz.layout.geometry import Place, Route
from viz.numbers import short
from viz.scene.chart import SMALL
from viz.scene.formula import formula_width, lettering
from viz.scene.items import Box, Item, Key, Text, Wire, circle
from viz.theme import TINT, Theme, mixed
from viz.typography import text_width

OWN = ("gate", "candidate", "hidden", "cell", "output")  # the roles whose boxes are filled
HIGHWAY = 0.45  # the opacity of the band under a carry


def glyph_items(glyph: Glyph, place: Place, theme: Theme, *, key: Key = None, note: str = "") -> list[Item]:
    """A glyph where it stands. Its role is said by colour, shape and letter."""
    colour = theme.colour(glyph.symbol, glyph.role)
    x, y = place.x, place.y
    if glyph.shape == "input":
        return [Box(place.left, place.top, place.w, place.h, place.h / 2, fill=theme.paper, stroke_width=1.4,
                    stroke=theme.colour(None, "input"), key=key, note=note),
                lettering(x, y + 4.5, caption(glyph), theme.size, italic=True)]
    if glyph.shape == "circle":
        rim = colour if glyph.role in ("cell", "hidden") else None
        return [circle(x, y, place.w / 2, fill=theme.paper, stroke=rim or theme.ink, stroke_width=2.2 if rim else 1.3,
                       key=key, note=note), Text(x, y + 5, glyph.label, theme.size + 2, "middle")]
    own = glyph.role in OWN and colour is not None
    return [Box(place.left, place.top, place.w, place.h, 5, stroke=colour or theme.ink,
                fill=mixed(theme.paper, colour, TINT) if own and colour else theme.paper,
                stroke_width=1.8 if colour else 1.1, key=key, note=note),
            lettering(x, y + 4.5, caption(glyph), theme.size, bold=own)]


def tile_items(tile: Tile, theme: Theme) -> list[Item]:
    """All glyphs of a tile, in its own coordinates; the key of each is ``("glyph", name)``."""
    return [item for name, glyph in tile.cell.glyphs.items()
            for item in glyph_items(glyph, tile.boxes[name], theme, key=("glyph", name))]


def highway(tile: Tile, theme: Theme, reach: float = 0.0) -> list[Item]:
    """The band under the carry of a cell, from its left edge to its right one; nothing for a cell without a carry.

    A carry is a way from a state to itself one step on, through sums and products entry by entry alone: the LSTM's c,
    the GRU's h. Draw it after the frame of the tile and before wires and glyphs. Its key is ``("highway", state)``.

    Args:
        tile: the cell, laid out; the items are in its coordinates.
        theme: sizes and colours.
        reach: how far the band goes on beyond both edges, to meet that of the next tile.
    """
    line, cell = tile.cell.carry(), tile.cell
    if not line:
        return []
    into = min((wire for wire in cell.wires if wire.recurrent and (wire.source, wire.target) == (line[-1], line[0])),
               key=lambda wire: wire.delay).edge
    inside = [next(wire.edge for wire in cell.wires if not wire.recurrent and (wire.source, wire.target) == pair)
              for pair in pairwise(line)]
    ways = [tile.entries[into], *(tile.routes[edge] for edge in inside), tile.exits[line[-1]]]
    (x, y), (x1, y1), side = ways[0].start, ways[-1].end, -1.0 if tile.mirrored else 1.0
    band = Route((x - side * reach, y))
    for way in ways:
        band.line(*way.start)
        band.pieces.extend(way.pieces)
    band.line(x1 + side * reach, y1)
    return [Wire([band], stroke=theme.roles["cell"], stroke_width=2 * theme.radius + 10, opacity=HIGHWAY,
                 key=("highway", line[-1]))]


def badge(x: float, y: float, g: float, theme: Theme, key: Key, note: str) -> list[Item]:
    """A number in a frame, centred, from its upper edge: the norm of the whole gradient at a state."""
    words = short(g)
    w = text_width(words, SMALL) + 8
    return [Box(x - w / 2, y, w, 16, 3, fill=theme.paper, stroke=theme.rim),
            Text(x, y + 12, words, SMALL, "middle", key=key, datum=g, note=note)]


def chip_items(x: float, y: float, w: float, words: str, theme: Theme, *, key: Key = None,
               datum: float | None = None) -> list[Item]:  # fmt: skip
    """The name of a weight in a pill, from its left edge; y is the middle."""
    return [Box(x, y - 10, w, 20, 10, fill=theme.paper, stroke=theme.wire, key=key, datum=datum),
            lettering(x + w / 2, y + 4, words, SMALL)]


def chip_width(words: str) -> float:
    """How wide the pill of a weight is."""
    return formula_width(words, SMALL) + 18
