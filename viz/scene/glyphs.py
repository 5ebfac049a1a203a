"""Glyphs: a box for a layer, a circle for a pointwise operation, a pill for an input."""

from __future__ import annotations

from viz.graph.cells import Glyph
from viz.layout.cell import Tile, caption
from viz.layout.geometry import Place
from viz.scene.chart import SMALL
from viz.scene.formula import formula_width, lettering
from viz.scene.items import Box, Item, Key, Text, circle
from viz.theme import TINT, Theme, mixed

OWN = ("gate", "candidate", "hidden", "cell", "output")  # the roles whose boxes are filled


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


def chip_items(x: float, y: float, w: float, words: str, theme: Theme, *, key: Key = None,
               datum: float | None = None) -> list[Item]:  # fmt: skip
    """The name of a weight in a pill, from its left edge; y is the middle."""
    return [Box(x, y - 10, w, 20, 10, fill=theme.paper, stroke=theme.wire, key=key, datum=datum),
            lettering(x + w / 2, y + 4, words, SMALL)]


def chip_width(words: str) -> float:
    """How wide the pill of a weight is."""
    return formula_width(words, SMALL) + 18
