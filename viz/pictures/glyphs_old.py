"""Glyphs as SVG: a box for a layer, a circle for a pointwise operation, a pill for an input."""

from __future__ import annotations

from viz.graph.cells import Glyph
from viz.layout.cell import Tile, caption
from viz.layout.geometry import Place
from viz.pictures.formula_old import lettering
from viz.render.markup import element, text
from viz.theme import Theme, mixed


def paint_glyph(glyph: Glyph, box: Place, theme: Theme) -> str:
    """The markup of a glyph that stands at a box. Its role is said by colour, shape and letter."""
    colour = theme.colour(glyph.symbol, glyph.role)
    if glyph.shape == "input":
        return (element("rect", x=box.left, y=box.top, width=box.w, height=box.h, rx=box.h / 2, fill=theme.paper,
                        stroke=theme.colour(None, "input"), stroke_width=1.4)
                + text(box.x, box.y + 4.5, caption(glyph), font_style="italic"))
    if glyph.shape == "circle":
        rim = colour if glyph.role in ("cell", "hidden") else theme.ink
        return (element("circle", cx=box.x, cy=box.y, r=box.w / 2, fill=theme.paper, stroke=rim or theme.ink,
                        stroke_width=2.2 if rim == colour and colour else 1.3)
                + text(box.x, box.y + 5, glyph.label, font_size="15"))
    gate = glyph.role in ("gate", "candidate", "hidden", "cell", "output")
    fill = mixed(theme.paper, colour, 0.22) if gate and colour else theme.paper
    return (element("rect", x=box.left, y=box.top, width=box.w, height=box.h, rx=5, fill=fill,
                    stroke=colour or theme.ink, stroke_width=1.8 if colour else 1.1)
            + lettering(box.x, box.y + 4.5, caption(glyph), theme.size, font_weight="bold" if gate else None))


def paint_glyphs(tile: Tile, theme: Theme) -> str:
    """All glyphs of a tile, in its own coordinates."""
    return "".join(paint_glyph(glyph, tile.boxes[name], theme) for name, glyph in tile.cell.glyphs.items())
