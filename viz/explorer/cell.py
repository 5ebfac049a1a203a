"""The cell of a lane, drawn once: what it stands on, its wires by their paths, its glyphs, and what each part is.

The page stamps it for every step and puts the numbers of that step on it. All coordinates are pixels from the upper
left corner of the cell. Time runs from left to right in the order in which the loop took its steps, so a cell of a
layer that reads backwards is not mirrored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from viz.flow.messages import Flow
from viz.flow.ways import CARRY
from viz.graph.cells import Wire, one_cell
from viz.graph.steps import Edge, Layer
from viz.layout.cell import Tile, gap, lay_out
from viz.layout.geometry import Point, Route
from viz.pictures.cell import beside
from viz.pictures.row import Row, excerpt, kinds
from viz.render.svg import Writer, path
from viz.scene.glyphs import glyph_items
from viz.scene.items import Extent, Group, Item, Key, Text, overlap
from viz.scene.items import Wire as Line
from viz.theme import Theme
from viz.typography import shorten

WIDEST = "1.3·10⁻¹²"  # the number that a wire must have room for
OVER = 8.0  # between the tile and a connection over it


@dataclass(frozen=True)
class Strand:
    """A wire of the stamped cell.

    Attributes:
        key: how the page calls it.
        route: its way; what comes from an earlier step begins in that step's cell.
        wire: the wire of the cell; None for one from a state to what reads it outside the layer.
        state: the state that is read outside.
        said: what it joins, in words.
    """

    key: str
    route: Route
    wire: Wire | None
    state: str | None
    said: str


class Stamp:
    """One cell of a layer, laid out, with the keys by which a page finds its parts."""

    def __init__(self, flow: Flow, layer: Layer, theme: Theme) -> None:
        self.flow, self.graph, self.layer, self.theme = flow, flow.graph, layer, theme
        fitting = set(kinds(layer))
        part, inside = excerpt(self.graph, layer, fitting)
        tile = lay_out(one_cell(part, inside, [step for step in layer.order if step in fitting]), theme)
        self.tile: Tile = tile
        self.row = Row(self.graph, layer, flow, tile, sorted(layer.order), theme)
        self.pitch = tile.width + gap(tile.cell, theme)
        self.keys: dict[Key, str] = {("glyph", name): f"n{j}" for j, name in enumerate(tile.cell.glyphs)}
        self.keys |= {("highway", state): "highway" for state in tile.cell.states}
        self.skipping = [wire for wire in tile.cell.wires if wire.delay > 1]
        self.head = OVER + 11.0 * len(self.skipping) if self.skipping else 0.0
        self.strands = list(self._strands())

    # ------------------------------------------------------------------------------------------------ wires
    def _strands(self) -> Iterator[Strand]:
        cell = self.tile.cell
        for j, wire in enumerate(cell.wires):
            a, b = self.row.words(wire)
            route = (self._handed_on(wire) if wire.recurrent else self.tile.routes[wire.edge]).shifted(0, self.head)
            ago = {0: "", 1: " of the step before"}.get(wire.delay, f" of {wire.delay} steps before")
            yield Strand(f"e{j}", route, wire, None, f"from {a}{ago} to {b}")
        for j, state in enumerate(cell.states):
            if any(self.row.read_by(state, [step]) for step in self.layer.order):
                called = cell.symbols.get(state) or cell.words.get(state, state)
                yield Strand(f"o{j}", self.tile.outlet(state).shifted(0, self.head), None, state,
                             f"from {called} to what reads it outside the layer")

    def _handed_on(self, wire: Wire) -> Route:
        """From the exit of an earlier cell to the glyph that reads it."""
        entry = self.tile.entries[wire.edge]
        route = self.tile.exits[wire.source].shifted(-wire.delay * self.pitch)
        if wire.delay > 1:  # up, over the cells, and down
            over, (x1, y1), r = -OVER - 11.0 * self.skipping.index(wire), entry.start, 8.0
            route.corner(route.end[0] + 9, (route.end[1] + over) / 2, r, level_first=True)
            route.corner((route.end[0] + x1) / 2, over, r, level_first=False)
            route.corner(x1 - 9, (over + y1) / 2, r, level_first=True)
            route.corner(*entry.start, r, level_first=False)
        return Route(route.start, [*route.pieces, (entry.start,), *entry.pieces])

    def edges(self, strand: Strand, step: int) -> list[Edge]:
        """The edges of the graph that a wire stands for at a step: one, or all that read the state outside."""
        if strand.wire is not None:
            edge = self.row.edge(step, strand.wire)
            return [] if edge is None else [edge]
        return self.row.read_by(str(strand.state), [step])

    # ------------------------------------------------------------------------------------------------ parts
    def node(self, name: str, step: int) -> str | None:
        """The id of the node that a glyph stands for at a step; None if the step has none."""
        node = self.layer.steps[step].get(name)
        if node is not None:
            return node
        for wire in self.tile.cell.wires:  # what another layer computed, or was given as a plain array
            if wire.source == name and not wire.recurrent and (edge := self.row.edge(step, wire)) is not None:
                return next(u for u, _, k in self.graph.in_edges(edge.consumer, keys=True) if k == edge.k)
        return None

    def key_of(self, name: str) -> str | None:
        """The key of the glyph that a node is drawn as, by the node's name: its own, or the one it is folded into."""
        if name in self.tile.cell.glyphs:
            return self.keys["glyph", name]
        into = next((wire.target for wire in self.tile.cell.wires if wire.edge[0] == name), None)
        return None if into is None else self.keys["glyph", into]

    def parts(self) -> Iterator[dict[str, Any]]:
        """What each glyph is."""
        for name, glyph in self.tile.cell.glyphs.items():
            box = self.tile.boxes[name]
            node = next((found for step in reversed(self.layer.order) if (found := self.node(name, step))), None)
            said = self.graph.nodes[node] if node is not None else {}
            symbol = glyph.symbol or self.tile.cell.symbols.get(name)
            yield {"key": self.keys["glyph", name], "symbol": symbol, "name": self.tile.cell.words.get(name, name),
                   "operation": said.get("op"), "role": glyph.role or said.get("role"), "equation": None,
                   "shape": shape(said), "x": round(box.x, 1), "y": round(box.y + self.head, 1)}

    # ------------------------------------------------------------------------------------------------ the dict
    def data(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        theme, tile, writer = self.theme, self.tile, Writer({}, self.theme.size, self.keys)
        glyphs: list[Item] = [Group(glyph_items(glyph, tile.boxes[name], theme), key=("glyph", name))
                              for name, glyph in tile.cell.glyphs.items()]
        inlets = [tile.inlet(name) for name, glyph in tile.cell.glyphs.items() if glyph.shape == "input"]
        back = [*self.row.back((self.pitch - tile.width) / 2), Line(inlets, stroke=theme.wire, stroke_width=1.2)]
        return {
            "width": round(tile.width, 1), "height": round(tile.height + self.head, 1), "pitch": round(self.pitch, 1),
            "back": writer.all([Group(back, 0, self.head)]),
            "glyphs": writer.all([Group([*glyphs, *self.names()], 0, self.head)]),
            "wires": list(self.wires()),
            "parts": list(self.parts()),
        }

    def names(self) -> Iterator[Text]:
        """The name of each state, between two cells."""
        for state in self.row.named:
            x, y = self.tile.exits[state].end
            called = shorten(self.tile.cell.symbols.get(state, state), 6)
            yield Text(x + (self.pitch - self.tile.width) / 2, y - 9, called, self.theme.size, "middle", italic=True)

    def wires(self) -> Iterator[dict[str, Any]]:
        """What each wire is, and where its number stands."""
        for strand, text in zip(self.strands, self.labels(), strict=True):
            wire = strand.wire
            ends = (wire.source, wire.target) if wire is not None else (str(strand.state), None)
            yield {"key": strand.key, "d": path(strand.route), "said": strand.said, "way": self.way(wire),
                   "from": self.keys["glyph", ends[0]], "to": self.keys["glyph", ends[1]] if ends[1] else None,
                   "recurrent": wire is not None and wire.recurrent, "delay": 0 if wire is None else wire.delay,
                   "outside": wire is None, "label": text and [round(text.x, 1), round(text.y, 1), text.anchor]}

    def way(self, wire: Wire | None) -> str | None:
        """The one way through the cell (`viz.ways`) that a wire belongs to; None if it serves several, or none."""
        cell, line = self.tile.cell, self.tile.cell.carry()
        if wire is None:
            return None
        if line and (wire.source, wire.target) in {*pairwise(line), (line[-1], line[0])}:
            return CARRY
        target = cell.glyphs[wire.target]
        return target.symbol if target.role in ("gate", "candidate") else None

    def labels(self) -> list[Text | None]:
        """For each wire its number, as wide as the widest: where nothing else is, within its own tile, because
        the neighbours have numbers at the same places. None if there is no such place.
        """
        taken: list[Extent] = [(box.left, box.top + self.head, box.right, box.bottom + self.head)
                               for box in self.tile.boxes.values()]
        taken += [text.extent for text in self.names()]
        inked = [list(strand.route.points(40)) for strand in self.strands]
        found: list[Text | None] = []
        for strand in self.strands:
            texts = (text for text, _ in beside(strand.route, WIDEST, 1.5))
            text = next((text for text in texts if text.extent[0] >= -2 and text.extent[2] <= self.tile.width + 2
                         and free(text.extent, taken, inked)), None)
            found.append(text)
            if text is not None:
                taken.append(text.extent)
        return found


def free(extent: Extent, taken: Sequence[Extent], inked: Sequence[Sequence[Point]]) -> bool:
    """Is there neither text, nor a glyph, nor a wire?"""
    left, top, right, low = extent
    return not any(overlap(extent, other) for other in taken) and not any(
        left < x < right and top + 1 < y < low - 1 for way in inked for x, y in way)


def shape(said: dict[str, Any]) -> list[int] | None:
    """The shape that the graph model says, as numbers; None where it does not know it, as of PyTorch's nodes.

    >>> shape({"shape": "(1, 32)"}), shape({"shape": "()"}), shape({"shape": "?"})
    ([1, 32], [], None)
    """
    words = str(said.get("shape", "?"))
    return [int(number) for number in re.findall(r"\d+", words)] if words.startswith("(") else None
