"""Layout: one cell to coordinates. Laid out once, it is stamped for every step.

Within a tile the data flows upwards: inputs enter from below, gates stand in a row, and the cell's main line runs
along the top, straight from left to right (the "conveyor belt"). What is computed from the end of the main line hangs
below it on the right. States that are not on the main line travel along lanes at the bottom.

A small layered layout: levels by longest path, order by barycentres, and x by least squares under the rule that
neighbours on a level keep their distance. Wires run from level to level and through gaps that are kept free for them,
so that none runs through a box.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import networkx as nx

from viz.graph.cells import Cell, Glyph, Wire
from viz.layout.geometry import Place, Route, apart
from viz.theme import Theme
from viz.typography import shorten, text_width

SUBSCRIPT = re.compile(r"_\{([^{}]*)\}")
ARROW = 12.0  # least room between neighbours on the main line, which are wired
LEADING, HANGING, SINKING = 1, 2, 3  # on a level, from left to right, after all else

@dataclass
class Tile:
    """One cell, laid out. The origin is its upper left corner.

    Attributes:
        width, height: of the tile.
        boxes: where each glyph stands.
        routes: the way of each wire inside a step, by the edge it stands for.
        entries: for a wire from an earlier step: its way from the left edge of the tile.
        exits: for each state, its way to the right edge.
        main: the state on the main line, if there is one.
    """

    cell: Cell
    width: float
    height: float
    boxes: dict[str, Place]
    routes: dict[tuple[str, int], Route]
    entries: dict[tuple[str, int], Route]
    exits: dict[str, Route]
    main: str | None
    mirrored: bool = False

    def inlet(self, name: str) -> Route:
        """The way from the lower edge of the tile up into an input."""
        box = self.boxes[name]
        return Route((box.x, self.height)).line(box.x, box.bottom)

    def outlet(self, name: str) -> Route:
        """The way from a glyph up to the upper edge of the tile: straight, if nothing stands above it, else past it."""
        box, side = self.boxes[name], -1 if self.mirrored else 1
        if not any(other.bottom <= box.top and abs(other.x - box.x) < other.w / 2 + 8 for other in self.boxes.values()):
            return Route((box.x, box.top)).line(box.x, 0)
        edge = 9.0 if self.mirrored else self.width - 9.0
        beside = [other for other in self.boxes.values() if (other.x - box.x) * side > 0
                  and other.top < box.bottom and other.bottom > box.top]
        if not beside:
            return Route((box.right if side > 0 else box.left, box.y)).corner(edge, 0, 10, level_first=True)
        route = Route((box.x, box.top)).corner(box.x + 10 * side, box.top - 10, 8, level_first=False)
        return route.corner(edge, 0, 8, level_first=True)


def mirrored(tile: Tile) -> Tile:
    """The same cell for time that runs from right to left: what came from the left comes from the right."""
    def turned(ways: dict[Any, Route]) -> dict[Any, Route]:
        return {key: Route((tile.width - way.start[0], way.start[1]),
                           [tuple((tile.width - x, y) for x, y in piece) for piece in way.pieces])
                for key, way in ways.items()}

    boxes = {name: Place(tile.width - box.x, box.y, box.w, box.h) for name, box in tile.boxes.items()}
    return Tile(tile.cell, tile.width, tile.height, boxes, turned(tile.routes), turned(tile.entries),
                turned(tile.exits), tile.main, not tile.mirrored)


def size(glyph: Glyph, theme: Theme) -> tuple[float, float]:
    """Width and height of a glyph."""
    if glyph.shape == "circle":
        return 2 * theme.radius, 2 * theme.radius
    padding = max(8.0, theme.gap + 2)
    if glyph.shape == "input":
        return max(26.0, caption_width(glyph, theme) + padding), 20
    return max(36.0, caption_width(glyph, theme) + padding), theme.box_height


def caption(glyph: Glyph) -> str:
    """What is written on a glyph."""
    named = glyph.symbol is not None and glyph.shape == "box"
    equals = " = " if named and " " in glyph.label else " "
    words = f"{glyph.symbol}{equals}{glyph.label}" if named else glyph.label
    longest = 12 if glyph.shape == "input" else 34
    words = words.strip()
    cut = shorten(words, longest + len(words) - len(SUBSCRIPT.sub(r"\1", words)))
    before, half, after = cut.rpartition("_{")
    return f"{before}…" if half and cut.endswith("…") and "}" not in after else cut  # no half a subscript


def caption_width(glyph: Glyph, theme: Theme) -> float:
    """How wide that is, on the safe side: subscripts are smaller."""
    return text_width(SUBSCRIPT.sub(r"\1", caption(glyph)), theme.size)


def gap(cell: Cell, theme: Theme) -> float:
    """How far apart cells of this kind stand: the name of each state, with the number of its step, lies between."""
    return max([theme.between, *(text_width(shorten(name, 6), theme.size) + 32 for name in cell.symbols.values())])


def lay_out(cell: Cell, theme: Theme, merging: Collection[str] = (), room: float = math.inf) -> Tile:
    """Coordinates for one cell. What comes from below to a glyph of ``merging`` enters it as one wire; what would be
    wider than ``room``, side by side, stands in several rows.
    """
    return _Layout(cell, theme, merging, room).tile()


class _Layout:
    def __init__(self, cell: Cell, theme: Theme, merging: Collection[str], room: float) -> None:
        self.cell, self.theme, self.merging, self.room = cell, theme, merging, room
        self.inner = [wire for wire in cell.wires if not wire.recurrent]
        self.graph: nx.DiGraph = nx.DiGraph()
        self.graph.add_nodes_from(cell.glyphs)
        self.graph.add_edges_from((wire.source, wire.target) for wire in self.inner)
        self.size = {name: size(glyph, theme) for name, glyph in cell.glyphs.items()}
        self.line = self._belt(cell.main_line())
        while len(self.line) > 1 and sum(self.size[name][0] + ARROW for name in self.line) > room:
            del self.line[0]  # it stands below, as what leads to the main line does
        self.main = self.line[-1] if self.line else None
        self.before, self.after = self._sides()
        self.level = self._stacked(self._levels())
        self.top = max(self.level.values(), default=0)
        self.source = {wire.edge: wire.source for wire in cell.wires}
        self.chains: dict[tuple[str, int], list[str]] = {}  # the gaps each long wire goes through, lowest level first
        self.rows: dict[int, list[str]] = defaultdict(list)
        self.x: dict[str, float] = {}

    def _belt(self, line: list[str]) -> list[str]:
        """The end of the main line that is a line: nothing on it leads past it to what comes later on it.

        What does (a sum that its own mean is taken from) stands below, where wires have room to part and meet again.
        """
        for j in reversed(range(len(line) - 1)):
            past = set(self.graph.successors(line[j])) - {line[j + 1]}
            if any(v == later or nx.has_path(self.graph, v, later) for v in past for later in line[j + 1:]):
                return line[j + 1:]
        return line

    def _sides(self) -> tuple[set[str], list[str]]:
        """What leads to the main line, and what hangs on its end."""
        line = set(self.line)
        before = set().union(*(nx.ancestors(self.graph, name) for name in line)) - line
        after = set().union(*(nx.descendants(self.graph, name) for name in line)) - line - before
        return before, [name for name in nx.topological_sort(self.graph) if name in after]

    def _levels(self) -> dict[str, int]:
        level: dict[str, int] = {}
        hanging = set(self.after)
        for name in nx.topological_sort(self.graph):
            if name in hanging or name in self.line:
                continue
            below = [level[u] for u in self.graph.predecessors(name) if u in level]
            level[name] = 0 if self.cell.glyphs[name].shape == "input" else 1 + max(below, default=0)
        depth: dict[str, int] = {}
        for name in self.after:
            depth[name] = 1 + max((depth.get(u, 0) for u in self.graph.predecessors(name)), default=0)
        feeding = {name: max((level[u] for u in self.graph.predecessors(name) if u in level), default=1)
                   for name in self.after}
        top = max([1 + max(level.values(), default=0)] + [depth[name] + max(feeding[name], 1) for name in self.after])
        level |= dict.fromkeys(self.line, top)
        return level | {name: top - depth[name] for name in self.after}

    def _stacked(self, level: dict[str, int]) -> dict[str, int]:
        """The levels, with half of what is too wide for one on a level of its own above it, until all is narrow."""
        for _ in self.cell.glyphs:
            side_by_side: dict[int, list[str]] = defaultdict(list)
            for name, at in level.items():
                if at and name not in self.line and name not in self.after:
                    side_by_side[at].append(name)
            wide = [at for at, row in side_by_side.items() if len(row) > 1
                    and sum(self.size[name][0] + self.theme.gap for name in row) > self.room]
            if not wide:
                break
            row = side_by_side[wide[0]]
            upper = row[(len(row) + 1) // 2:]
            level = {name: at + (at > wide[0] or name in upper) for name, at in level.items()}
        return level

    # ------------------------------------------------------------------------------------------------ x
    def tile(self) -> Tile:
        """Everything in order."""
        self._make_rows()
        self._order()
        self._place()
        self._widen()
        return self._draw()

    def _make_rows(self) -> None:
        for name in self.cell.glyphs:
            self.rows[self.level[name]].append(name)
        self.rows[self.top].sort(key=lambda name: self.line.index(name) if name in self.line else -1)
        self.neighbours: dict[str, list[str]] = defaultdict(list)
        self.segments: list[tuple[str, str]] = []  # from a level to the next above
        self.right = {name: LEADING for name in self.cell.glyphs if self._leads_to_what_hangs(name)}
        self.right |= dict.fromkeys(self.after, HANGING)
        for wire in self.cell.wires:
            first = 0 if wire.recurrent else self.level[wire.source]
            last = self.level[wire.target]
            if not wire.recurrent and first == last:
                continue
            if wire.recurrent and wire.target in self.line and wire.source == self.main:
                continue
            if first > last and wire.target in self.after:  # down past what hangs between: nothing is ordered by it
                self.chains[wire.edge] = [self._gap(level, wire, HANGING) for level in range(last + 1, first)]
                continue
            side = LEADING if self.right.get(wire.target) else 0
            gaps = [self._gap(level, wire, side) for level in range(first + 1, last)]
            self.chains[wire.edge] = gaps
            chain = [*([] if wire.recurrent else [wire.source]), *gaps, wire.target]
            for a, b in pairwise(chain):
                self.neighbours[a].append(b)
                self.neighbours[b].append(a)
                self.segments.append((a, b))
        for state in self._sinking():
            gaps = [self._gap(level, state, SINKING) for level in range(1, self.level[state])]
            for a, b in zip([*reversed(gaps)], [state, *reversed(gaps)], strict=False):
                self.neighbours[a].append(b)
        # Of what is on the main line and wired to nothing else, the one before it, beside which it stands.
        self.beside = {b: a for a, b in pairwise(self.line) if not self.neighbours[b]}

    def _leads_to_what_hangs(self, name: str) -> bool:
        """Does all that is computed from it hang on the end of the main line?"""
        return (name not in self.line and self.cell.glyphs[name].shape != "input"
                and not nx.descendants(self.graph, name).isdisjoint(self.after)
                and nx.descendants(self.graph, name).isdisjoint(self.line))

    def _gap(self, level: int, owner: Wire | str, side: int = 0) -> str:
        name = f"\0{level}/{owner}"
        self.rows[level].append(name)
        self.size[name] = (8.0, 8.0)
        if side:
            self.right[name] = side
        return name

    def _sinking(self) -> list[str]:
        """States that leave for a lane at the bottom."""
        return [state for state in self.cell.states if state != self.main]

    def _order(self) -> None:
        """Barycentres, from the top down and back up, a few times; the order with the fewest crossings is kept."""
        for name in self._sinking():
            self.right[name] = max(self.right.get(name, 0), HANGING)
        best: tuple[int, dict[int, list[str]]] | None = None
        for sweep in range(12):
            place = {name: j / max(len(row) - 1, 1) for row in self.rows.values() for j, name in enumerate(row)}
            for level in sorted(self.rows, reverse=sweep % 2 == 0):
                if level == self.top and self.line:
                    continue
                row = self.rows[level]
                side = self.level_above if sweep % 2 == 0 else self.level_below

                def key(name: str, place: dict[str, float] = place, side: Any = side) -> tuple[int, float]:
                    around = [place[other] for other in side(name)]
                    return self.right.get(name, 0), sum(around) / len(around) if around else place[name]

                row.sort(key=key)
                place |= {name: j / max(len(row) - 1, 1) for j, name in enumerate(row)}
            crossings = self._crossings()
            if best is None or crossings < best[0]:
                best = crossings, {level: list(row) for level, row in self.rows.items()}
        if best is not None:
            self.rows.update(best[1])

    def level_above(self, name: str) -> list[str]:
        """What a glyph or gap is wired to on the level above."""
        return [b for a, b in self.segments if a == name]

    def level_below(self, name: str) -> list[str]:
        """What a glyph or gap is wired to on the level below."""
        return [a for a, b in self.segments if b == name]

    def _crossings(self) -> int:
        """How many pairs of wires cross between levels."""
        at = {name: (level, j) for level, row in self.rows.items() for j, name in enumerate(row)}
        pieces: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for a, b in self.segments:
            if at[b][0] == at[a][0] + 1:
                pieces[at[a][0]].append((at[a][1], at[b][1]))
        return sum((a - c) * (b - d) < 0 for ends in pieces.values() for (a, b), (c, d) in combinations(ends, 2))

    def _place(self) -> None:
        """x by least squares: near the neighbours, but apart from those on the same level."""
        for row in self.rows.values():
            for j, name in enumerate(row):
                self.x[name] = 60.0 * j
        loose = {name for name in self.x
                 if self.right.get(name, 0) >= HANGING and (name in self.after or "\0" in name)}
        for _ in range(60):
            for level in sorted(self.rows):
                row = [name for name in self.rows[level] if name not in loose]
                wanted = []
                for name in row:
                    if (before := self.beside.get(name)) is not None:
                        apart_by = (self.size[before][0] + self.size[name][0]) / 2 + self.theme.gap
                        wanted.append(self.x[before] + apart_by)
                        continue
                    around = [(self.x[other], 6.0 if "\0" in name + other else 1.0) for other in self.neighbours[name]
                              if other not in loose]
                    wanted.append(sum(x * w for x, w in around) / sum(w for _, w in around) if around else self.x[name])
                gap = max(self.theme.gap, ARROW) if level == self.top else self.theme.gap
                for name, x in zip(row, apart(wanted, [self.size[n][0] for n in row], gap), strict=True):
                    self.x[name] = x
        self._hang(loose)
        self._straighten()
        shift = self._left_margin() - min(self.x[n] - self.size[n][0] / 2 for n in self.cell.glyphs)
        for name in self.x:
            self.x[name] += shift

    def _hang(self, loose: set[str]) -> None:
        """What hangs on the end of the main line: below one another, on the right of all that is on the same levels."""
        rows = {level: [name for name in row if name in loose] for level, row in self.rows.items()}
        left = self.x[self.main] + 14 if self.main in self.x else 0.0
        for level, hanging in rows.items():
            if hanging:
                left = max([left, *(self.x[n] + self.size[n][0] / 2 + self.theme.gap
                                    for n in self.rows[level] if n not in loose)])
        middle = left + max((self.size[n][0] / 2 for row in rows.values() for n in row[:1]), default=0.0)
        for hanging in rows.values():
            x = middle
            for before, name in zip([None, *hanging], hanging, strict=False):
                if before is not None:
                    x += (self.size[before][0] + self.size[name][0]) / 2 + self.theme.gap
                self.x[name] = x

    def _straighten(self) -> None:
        """Gaps of one wire to one x, wherever the other things on those levels leave room."""
        for edge, gaps in self.chains.items():
            if not gaps:
                continue
            ends = [self.x[other] for gap in (gaps[0], gaps[-1]) for other in self.neighbours[gap]]
            if not ends:  # down past what hangs
                ends = [max(self.x[gap] for gap in gaps), self.x[self.source[edge]]]
            for x in reversed(ends):
                if all(self._fits(gap, x) for gap in gaps):
                    self.x.update(dict.fromkeys(gaps, x))
                    break

    def _fits(self, gap: str, x: float) -> bool:
        row = self.rows[self._level_of(gap)]
        j = row.index(gap)
        return all(abs(x - self.x[other]) >= self.size[other][0] / 2 + 10 and (x - self.x[other]) * side > 0
                   for other, side in [*((n, 1) for n in row[max(j - 1, 0):j]), *((n, -1) for n in row[j + 1:j + 2])])

    def _left_margin(self) -> float:
        forks = any(wire.recurrent and wire.source == self.main and not self._along_the_top(wire)
                    for wire in self.cell.wires)
        return 44.0 if forks else 20.0

    def _widen(self) -> None:
        """A box that fans out becomes as wide as its fan, if there is room: wires then go straight up."""
        for name, glyph in self.cell.glyphs.items():
            if glyph.shape != "box":
                continue
            level = self.level[name]
            fan = [w.target for w in self.inner if w.source == name and self.level[w.target] == level + 1]
            if len(fan) < 2:
                continue
            left = min(self.x[n] - self.size[n][0] / 2 for n in fan)
            right = max(self.x[n] + self.size[n][0] / 2 for n in fan)
            others = [(self.x[n] - self.size[n][0] / 2, self.x[n] + self.size[n][0] / 2)
                      for n in self.rows[level] if n != name]
            w, x = self.size[name][0], self.x[name]
            left, right = min(left, x - w / 2), max(right, x + w / 2)
            if all(b + 6 < left or a - 6 > right for a, b in others):
                self.x[name], self.size[name] = (left + right) / 2, (right - left, self.size[name][1])

    # ------------------------------------------------------------------------------------------------ y, wires
    def _draw(self) -> Tile:
        theme = self.theme
        head = 34.0
        self.y = {level: head + (self.top - level) * theme.row for level in range(self.top + 1)}
        lanes = self._lanes()
        bottom = self.y[0] if not lanes else self.y[0] + (len(lanes) - 1) * theme.lane
        input_y = bottom + (30 if lanes else 0)
        boxes = {
            name: Place(self.x[name], input_y if glyph.shape == "input" else self.y[self.level[name]], *self.size[name])
            for name, glyph in self.cell.glyphs.items()
        }
        self.boxes = boxes
        right = max([*(box.right for box in boxes.values()), *(x + 4 for name, x in self.x.items() if "\0" in name)])
        if any(name not in self.after for name in self._sinking()):
            right += 12  # down past the widest box
        width = right + 18
        height = max(max(box.bottom for box in boxes.values()), bottom) + 14
        ports = self._ports()
        self.from_the_left = self._sideways()
        routes = {wire.edge: self._inner_route(wire, ports) for wire in self.inner}
        entries = {wire.edge: self._entry(wire, ports, lanes) for wire in self.cell.wires if wire.recurrent}
        exits = {state: self._exit(state, width, lanes) for state in self.cell.states}
        return Tile(self.cell, width, height, boxes, routes, entries, exits, self.main)

    def _lanes(self) -> dict[str, float]:
        """The y of the lane at the bottom of each state that travels there, or is read from there."""
        read = [wire.source for wire in self.cell.wires if wire.recurrent and not self._along_the_top(wire)]
        wanted = list(dict.fromkeys([*self._sinking(), *read]))
        return {state: self.y[0] + j * self.theme.lane for j, state in enumerate(wanted)}

    def _along_the_top(self, wire: Wire) -> bool:
        return wire.recurrent and wire.source == self.main and wire.target == self.line[0]

    def _ports(self) -> dict[tuple[str, int], float]:
        """Where, from left to right, each wire enters the lower side of its target."""
        entering: dict[str, list[tuple[float, Wire]]] = defaultdict(list)
        for wire in self.cell.wires:
            if self._along_the_top(wire) or (not wire.recurrent and self.level[wire.source] >= self.level[wire.target]):
                continue
            gaps = self.chains.get(wire.edge, [])
            x = self.x[gaps[-1]] if gaps else (-1.0 if wire.recurrent else self.x[wire.source])
            entering[wire.target].append((x, wire))
        ports: dict[tuple[str, int], float] = {}
        for target, wires in entering.items():
            box = self.boxes[target]
            wires.sort(key=lambda item: (item[0], item[1].edge))
            step = min(14.0 if self.cell.glyphs[target].shape == "circle" else 30.0, box.w / len(wires) * 0.7)
            if target in self.merging:  # one straight up from the input, if it stands below: the others join it
                inputs = [x for x, wire in wires if box.left + 10 <= x <= box.right - 10 and not wire.recurrent]
                ports |= {wire.edge: inputs[0] if inputs else box.x for _, wire in wires}
                continue
            for j, (x, wire) in enumerate(wires):
                port = box.x + (j - (len(wires) - 1) / 2) * step
                if len(wires) == 1 and box.left + 8 <= x <= box.right - 8:
                    port = x
                ports[wire.edge] = port
        return ports

    def _bottom_of(self, name: str, x: float) -> float:
        box = self.boxes[name]
        if self.cell.glyphs[name].shape == "circle":
            r, d = box.w / 2, min(abs(x - box.x), box.w / 2 - 1)
            return float(box.y + (r * r - d * d) ** 0.5)
        return box.bottom

    def _inner_route(self, wire: Wire, ports: dict[tuple[str, int], float]) -> Route:
        a, b = self.boxes[wire.source], self.boxes[wire.target]
        la, lb = self.level[wire.source], self.level[wire.target]
        if la == lb:
            between = [box for box in self.boxes.values() if box.y == a.y and a.right < box.x < b.left]
            if not between:
                return Route((a.right, a.y)).line(b.left, b.y)
            over = min(box.top for box in (*between, a, b)) - 7  # over what stands between
            route = Route((a.x, a.top)).corner(a.x + 10, over, 7, level_first=False).line(b.left - 16, over)
            return route.corner(b.left - 9, over + 7, 7, level_first=True).corner(b.left, b.y, 7, level_first=False)
        if la > lb:
            return self._fall(wire, a, b)
        x, gaps = ports[wire.edge], self.chains[wire.edge]
        aim = self.x[gaps[0]] if gaps else x
        start = min(max(aim, a.left + 10), a.right - 10) if a.w > 30 else a.x
        return self._climb(Route((start, a.top)), gaps, wire, x)

    def _fall(self, wire: Wire, a: Place, b: Place) -> Route:
        """Down to what hangs on the end of the main line; past what hangs between, and into its right side."""
        half, gaps = self.theme.box_height / 2, self.chains.get(wire.edge, [])
        if not gaps:
            if wire.source == self.main:
                return Route((a.right, a.y)).corner(b.x, b.top, 12, level_first=True)
            return Route((a.x, a.bottom)).rise(b.x, b.top)
        x = self.x[gaps[-1]]
        route = Route((a.right, a.y)).corner(x, a.y + 12, 12, level_first=True) if wire.source == self.main else Route(
            (a.x, a.bottom))
        for gap in reversed(gaps):
            y = self.y[self._level_of(gap)]
            route.rise(self.x[gap], y - half).line(self.x[gap], y + half)
        return route.corner(b.right, b.y, 10, level_first=False)

    def _climb(self, route: Route, gaps: list[str], wire: Wire, x: float) -> Route:
        half = self.theme.box_height / 2
        for gap in gaps:
            y = self.y[self._level_of(gap)]
            route.rise(self.x[gap], y + half).line(self.x[gap], y - half)
        if wire.edge == self.from_the_left.get(wire.target) and self._clear(route.end[0], wire.target):
            box = self.boxes[wire.target]
            return route.corner(box.left, box.y, 10, level_first=False)
        return route.rise(x, self._bottom_of(wire.target, x))

    def _sideways(self) -> dict[str, tuple[str, int]]:
        """Of what hangs on the end of the main line: the one wire from below that enters each from its left.

        Below, such a glyph has its own way on downwards.
        """
        level = [wire.target for wire in self.inner if self.level[wire.source] == self.level[wire.target]]
        found: dict[str, tuple[str, int]] = {}
        for wire in self.cell.wires:
            below = wire.recurrent or self.level[wire.source] < self.level[wire.target]
            if wire.target in self.after and below and wire.target not in level:
                found.setdefault(wire.target, wire.edge)
        return found

    def _clear(self, x: float, name: str) -> bool:
        """Is there nothing on the left of a glyph, up to this x?"""
        box = self.boxes[name]
        return x < box.left - 10 and not any(
            other.right > x - 8 and other.left < box.left and abs(other.y - box.y) < (other.h + box.h) / 2
            for other in self.boxes.values() if other is not box)

    @staticmethod
    def _level_of(gap: str) -> int:
        return int(gap[1:].split("/", 1)[0])

    def _entry(self, wire: Wire, ports: dict[tuple[str, int], float], lanes: dict[str, float]) -> Route:
        """From the left edge of the tile."""
        if self._along_the_top(wire):
            box = self.boxes[wire.target]
            return Route((0, box.y)).line(box.left, box.y)
        lane = lanes[wire.source]
        route = Route((0, lane))
        if wire.source == self.main:  # a fork: down from the main line
            route = Route((0, self.y[self.top])).line(4, self.y[self.top])
            route.corner(14, self.y[self.top] + 14, 10, level_first=True).corner(26, lane, 10, level_first=False)
        gaps = self.chains.get(wire.edge, [])
        x = self.x[gaps[0]] if gaps else ports[wire.edge]
        route.corner(x, lane - 12, 12, level_first=True)
        return self._climb(route, gaps, wire, ports[wire.edge])

    def _exit(self, state: str, width: float, lanes: dict[str, float]) -> Route:
        """To the right edge of the tile."""
        box = self.boxes[state]
        if state == self.main:
            return Route((box.right, box.y)).line(width, box.y)
        below = [other for other in self.boxes.values() if other.top > box.bottom]
        if state in self.after and not any(abs(other.x - box.x) < other.w / 2 + 6 for other in below):
            return Route((box.x, box.bottom)).corner(width, lanes[state], 12, level_first=False)
        route = Route((box.right, box.y)).corner(width - 14, box.y + 14, 10, level_first=True)
        return route.corner(width, lanes[state], 10, level_first=False)
