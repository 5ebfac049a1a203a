"""The conveyor: lanes of equal cells and the wires between them. `readout` draws the way to the loss.

A column is a time step. From the bottom up: the weights, named once; the time and what is read; the lowest layer; the
next; a rail that gathers what the loss reads at many steps. Between two rows lies a channel, between two columns a gap:
wires that go past a layer go through these, so that none runs through a box.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import accumulate, pairwise

from viz.graph.cells import Wire
from viz.graph.steps import Edge
from viz.layout.geometry import Point, Route
from viz.layout.lanes import BREAK, FIRST, Lane, Net, Output, cell_width, passing, short_lines
from viz.numbers import short
from viz.pictures.readout import HEAD, Readout
from viz.scale import Scale
from viz.scene.chart import SMALL, Block
from viz.scene.glyphs import chip_items, chip_width, glyph_items, highway
from viz.scene.items import Box, Item, Run, Stamps, Text, circle
from viz.scene.wires import FORWARDS, NONE, PLAIN, Look, look, strand, strength
from viz.theme import Theme
from viz.typography import shorten, text_width

SPOKEN = 120  # up to so many cells, every wire says what it is when pointed at; beyond, every cell does
CHANNEL, JOINT = 34.0, 84.0  # the height of a channel between two rows: without, and with joints
RAIL = 46.0  # the room that the rail takes
ARC = 9.0  # from a wire that skips steps to the next
TAG = 34.0  # the height of a frame with a state and its number
Wired = tuple[int, list[Item]]  # how strong, and what is drawn: the strongest is drawn last
Joint = tuple[int, int]  # two lanes, the lower first, whose outputs are put side by side


class Painter:
    """Paints one net. The origin is its upper left corner."""

    def __init__(self, net: Net, pitch: float, scale: Scale, theme: Theme, stamps: Stamps, named: bool) -> None:
        self.net, self.pitch, self.scale, self.theme, self.stamps, self.named = net, pitch, scale, theme, stamps, named
        self.flow, self.lanes = net.flow, net.lanes
        self.head = HEAD if named else 6.0
        self.column = {column: j for j, column in enumerate(net.columns)}
        self.breaks = [0.0, *accumulate(BREAK * (b > a + 1) for a, b in pairwise(net.columns))]
        self.width = cell_width(net.lanes)
        past = any(min(lane.layer.steps) < lane.shown[0] or (lane.offset and lane.after is None) for lane in self.lanes)
        back = any(lane.backwards for lane in self.lanes)
        first = [lane for lane in self.lanes if lane.label and lane.shown[0] + lane.offset == net.columns[0]]
        names = [line for lane in first for line in short_lines(lane.label)]
        self.margin = max([52.0 * past, *(text_width(line, SMALL, bold=True) + 6 for line in names)])
        self.x0 = max(self.margin + 26.0, FIRST) + 20.0 * back + passing(net.lanes)
        self.rows = 1 + max(lane.row for lane in self.lanes)
        self.drawn: set[Look] = set()  # all looks that wires have in this picture
        self.spoken = sum(len(lane.shown) for lane in self.lanes) <= SPOKEN
        self.index = {id(lane): j for j, lane in enumerate(self.lanes)}
        self.joints = self._joints()
        self.readout = Readout(self)
        self.y = self._levels()

    # ------------------------------------------------------------------------------------------------ where things are
    def _levels(self) -> list[float]:
        """The y of the upper edge of each row, the lowest row first."""
        y = self.head + (RAIL + (JOINT - CHANNEL) * any(lanes[1] in self._top for lanes in self.joints)
                    if self.readout.railed else 14.0) + ARC * len(self.skips)
        found = []
        for row in reversed(range(self.rows)):
            found.append(y)
            joined = any(self.lanes[b].row == row - 1 for _, b in self.joints)
            y += self.height(row) + (JOINT if joined else CHANNEL) + ARC * len(self.skips)
        return found[::-1]

    @cached_property
    def skips(self) -> list[int]:
        """The delays of more than one step, the shortest first."""
        return sorted({wire.delay for lane in self.lanes for wire in lane.tile.cell.wires if wire.delay > 1})

    @property
    def _top(self) -> set[int]:
        return {j for j, lane in enumerate(self.lanes) if lane.row == self.rows - 1}

    def height(self, row: int) -> float:
        """The height of the highest cell of a row."""
        return max((lane.tile.height for lane in self.lanes if lane.row == row), default=0.0)

    @property
    def bottom(self) -> float:
        """The lower edge of the lowest row."""
        return self.y[0] + self.height(0)

    def left(self, lane: Lane, step: int) -> float:
        """The x of the left edge of a cell."""
        return self.at(step + lane.offset) + (self.width - lane.tile.width) / 2

    def at(self, column: int) -> float:
        """The x of the left edge of a column."""
        return self.x0 + self.column[column] * self.pitch + self.breaks[self.column[column]]

    @property
    def right(self) -> float:
        """The right edge of the last column."""
        return self.at(self.net.columns[-1]) + self.width

    @cached_property
    def between(self) -> float:
        """The width of a gap."""
        return self.pitch - self.width

    @cached_property
    def lags(self) -> int | None:
        """The step at which the lag is 0; None without a gradient, or where layers differ in it."""
        ends = {max(lane.layer.steps) if not lane.backwards else -1 for lane in self.lanes}
        return ends.pop() if self.flow is not None and len(ends) == 1 and -1 not in ends else None

    def _joints(self) -> list[Joint]:
        """Pairs of lanes, one each way, whose outputs go to the same places: side by side."""
        found = []
        for a, lane in enumerate(self.lanes):
            for b, other in enumerate(self.lanes):
                if (other.row == lane.row + 1 and lane.backwards != other.backwards
                        and self.readers(lane) == self.readers(other) != (frozenset(), False)
                        and {out.step for out in lane.outputs} & {out.step for out in other.outputs}
                        and not any(lane_.row == other.row for lane_ in self.lanes if lane_ is not other)):
                    found.append((a, b))
        return found

    def readers(self, lane: Lane) -> tuple[frozenset[int], bool]:
        """Who reads a lane: which lanes, and do the boxes after the last step?"""
        return (frozenset().union(*(out.lanes for out in lane.outputs)), any(out.after for out in lane.outputs))

    def joint_of(self, lane: Lane) -> Joint | None:
        """The joint that a lane's outputs go to, if there is one."""
        return next((pair for pair in self.joints if self.index[id(lane)] in pair), None)

    # ------------------------------------------------------------------------------------------------ everything
    def paint(self) -> Block:
        """The whole net."""
        backs: list[Item] = []
        wires: list[Wired] = []
        glyphs: list[Item] = []
        notes: list[Item] = []
        for lane in self.lanes:
            for step in lane.shown:
                x, y = self.left(lane, step), self.y[lane.row]
                backs.append(self.stamps.use((id(lane), "back"), partial(self.back, lane), x, y))
                wires += self.cell_wires(lane, step)
                glyphs.append(self.cell(lane, step, x, y))
                notes += self.states(lane, step)
            notes += self.margins(lane)
        loose, joints = self.between_lanes()
        out, risers = self.readout.out()
        boxes, right = self.readout.boxes()
        captions, low = self.captions()
        rails, bottom, far = self.weights(low)
        ends = self.readout.ends()  # below all else: they begin on wires that are something
        name = f"{self.net.name or 'net'}, T = {self.net.T}"
        top: list[Item] = [Text(0, 14, name, 13, bold=True, key=("net", self.net.name))] if self.named else []
        items = [*top, *backs, *drawn(ends), *drawn(wires), *drawn([*loose, *out, *risers]), *glyphs, *joints, *boxes,
                 *self.readout.marks(), *notes, *captions, *rails]
        wide = text_width(name, 13, bold=True) if self.named else 0.0
        return Block(items, max(right, far, wide), max([bottom, *(box.bottom + 6 for box in self.readout.places)]))

    def cell(self, lane: Lane, step: int, x: float, y: float) -> Item:
        """The glyphs of a cell: a stamp for all cells that have the same ones. An input of nothing but zeros is 0."""
        cell = lane.tile.cell
        there = frozenset(name for name in cell.glyphs if name in cell.borrowed or lane.node(step, name))
        empty = frozenset(name for name in there if self.is_empty(lane, step, name))
        return self.stamps.use((id(lane), "cell", there, empty), partial(self.glyphs, lane, there, empty), x, y,
                               key=("cell", lane.label, step), note=self.told(lane, step))

    def glyphs(self, lane: Lane, there: Collection[str], empty: Collection[str]) -> list[Item]:
        """The glyphs of a cell that are there at a step."""
        return [item for name, glyph in lane.tile.cell.glyphs.items() if name in there
                for item in glyph_items(replace(glyph, label="0", symbol=None) if name in empty else glyph,
                                        lane.tile.boxes[name], self.theme, key=("glyph", name))]

    def is_empty(self, lane: Lane, step: int, name: str) -> bool:
        """Is it an input that is exactly zero at this step?"""
        node = lane.node(step, name)
        if node is None or lane.tile.cell.glyphs[name].shape != "input":
            return False
        return bool(self.net.graph.nodes[node].get("norm") == 0)

    def back(self, lane: Lane) -> list[Item]:
        """The ground that a cell stands on, and the band under a carry, which meets that of the next cell."""
        tile = lane.tile
        return [Box(0, 0, tile.width, tile.height, 10, fill=self.theme.tile, stroke=self.theme.rim),
                *highway(tile, self.theme, (self.pitch - tile.width) / 2)]

    def look(self, edge: Edge | None) -> Look:
        """How the wire of an edge looks."""
        how = FORWARDS if self.flow is None else PLAIN if edge is None else look(self.net.message(edge), self.scale)
        self.drawn.add(how)
        return how

    def note(self, words: str, edge: Edge | None) -> str:
        """What a wire says when pointed at."""
        g = self.net.message(edge)
        return f"{words}: {g:.4g}" if self.spoken and g is not None else ""

    # ------------------------------------------------------------------------------------------------ inside cells
    def cell_wires(self, lane: Lane, step: int) -> list[Wired]:
        """The wires into one cell."""
        found: list[Wired] = []
        turn, x, y = lane.turn[step], self.left(lane, step), self.y[lane.row]
        alike = self.flow is None  # then all wires of a cell are one stamp
        together: list[tuple[int, float]] = []
        for j, wire in enumerate(lane.tile.cell.wires):
            edge = self.net.edge(lane, step, wire)
            before = lane.order[turn - wire.delay] if 0 <= turn - wire.delay < len(lane.order) else None
            if edge is None:
                if wire.recurrent and before is None and lane.node(step, wire.edge[0]):
                    first = self.stamps.use((id(lane), j, "first"), partial(self.first_state, lane, wire), x, y)
                    found.append((-2, [first]))
                continue
            if wire.recurrent and before is None and lane.after is not None:
                continue  # from the lane before: drawn with what joins lanes
            seen = not wire.recurrent or (before is not None and before + lane.offset in self.column
                                          and (wire.delay > 1 or self.adjacent(before + lane.offset,
                                                                               step + lane.offset)))
            how = self.look(edge)
            apart = 0.0
            if wire.recurrent and seen and before is not None:
                apart = round(x - self.left(lane, before), 1)
            if alike:
                together.append((j, apart))
                continue
            note = self.note(self.said(lane, step, wire, before), edge) if self.spoken else ""
            found.append((strength(how), [self.stamps.use(
                (id(lane), j, how, apart), partial(self.inner_wire, lane, wire, how, apart), x, y,
                key=("edge", *edge), datum=self.net.message(edge), note=note)]))
        if together:
            found.append((-1, [self.stamps.use((id(lane), *together), partial(self.all_wires, lane, together), x, y,
                                               key=("wires", lane.label, step))]))
        return found

    def all_wires(self, lane: Lane, which: Iterable[tuple[int, float]]) -> list[Item]:
        """Wires of one cell without a gradient, by their numbers, and how far away the cell is that they come from."""
        wires = lane.tile.cell.wires
        return [item for j, apart in which for item in self.inner_wire(lane, wires[j], FORWARDS, apart)]

    def adjacent(self, a: int, b: int) -> bool:
        """Do two columns stand side by side?"""
        return abs(self.column[a] - self.column[b]) == 1

    def said(self, lane: Lane, step: int, wire: Wire, before: int | None) -> str:
        """What a wire is, in words."""
        words = lane.tile.cell.words
        a, b = (words.get(name, name) for name in (wire.source, wire.target))
        if not wire.recurrent:
            return f"from {a} to {b} at t = {step}"
        return f"from {a} at t = {before} to {b} at t = {step}" if before is not None else f"from before to {b} at " \
                                                                                          f"t = {step}"

    def told(self, lane: Lane, step: int) -> str:
        """What a cell says when pointed at, where there are too many wires to say it."""
        if self.flow is None or self.spoken:
            return ""
        parts = [f"t = {step}"]
        for state in lane.tile.cell.states:
            node = lane.node(step, state)
            if node is not None:
                size = short(self.flow.gradients.get(node, 0.0))
                parts.append(f"‖∂L/∂{lane.tile.cell.symbols.get(state, state)}‖ {size}")
        return ", ".join(parts)

    def inner_wire(self, lane: Lane, wire: Wire, how: Look, apart: float) -> list[Item]:
        """A wire in the coordinates of the cell it leads into."""
        route = self.recurrent_route(lane, wire, apart) if wire.recurrent else lane.tile.routes[wire.edge]
        items = strand(route, how, self.scale, self.theme, None if wire.delay > 1 else self.joins(lane, wire))
        if wire.delay > 1 and not apart:
            x, y = route.start
            items.append(Text(x + (4 if lane.backwards else -4), y + 4, f"{wire.delay} steps before", SMALL,
                              "start" if lane.backwards else "end", fill=self.theme.faint))
        return items

    def joins(self, lane: Lane, wire: Wire) -> Point | None:
        """Where what comes up from below flows into the main line."""
        tile = lane.tile
        if tile.main is None or wire.source != tile.main:
            return None
        y = tile.exits[tile.main].start[1]
        if wire.recurrent:
            if tile.entries[wire.edge].end[1] <= y + 1:
                return None
            return (tile.width - 14.0 if tile.mirrored else 14.0), y + 14
        end = tile.routes[wire.edge].end
        return (end[0], y + 12) if end[1] > y + 20 else None

    def recurrent_route(self, lane: Lane, wire: Wire, apart: float) -> Route:
        """From an earlier cell that is so far away; from the gap alone, if that one is not seen (0)."""
        entry, side = lane.tile.entries[wire.edge], -1 if lane.backwards else 1
        if wire.delay > 1:
            return self.skip_route(lane, wire, apart)
        if not apart:
            return Route((entry.start[0] - side * (self.theme.between - 12), entry.start[1]),
                         [(entry.start,), *entry.pieces])
        way = lane.tile.exits[wire.source].shifted(-apart)
        return Route(way.start, [*way.pieces, (entry.start,), *entry.pieces])

    def arc(self, delay: int) -> float:
        """How far above the cells a wire runs that skips steps."""
        return -10.0 - ARC * self.skips.index(delay)

    def skip_route(self, lane: Lane, wire: Wire, apart: float) -> Route:
        """Over the cells between, and down to its target from above; past what stands there, on its near side."""
        side, box, level = -1 if lane.backwards else 1, lane.tile.boxes[wire.target], self.arc(wire.delay)
        free = not any(other.bottom <= box.top and abs(other.x - box.x) < other.w / 2 + 10
                       for other in lane.tile.boxes.values())
        port = box.x - side * min(8.0 * (1 + self.skips.index(wire.delay)), box.w / 2 - 6)
        entry = lane.tile.entries[wire.edge]
        turn = port if free else entry.start[0] - side * 8
        if apart:
            way = lane.tile.outlet(wire.source).shifted(-apart)
            start = way.end[0]
            way.line(start, level + 8).corner(start + side * 12, level, 8, level_first=False)
        else:
            way = Route((turn - side * 24, level))
        way.corner(turn, level + 12, 8, level_first=True)
        if free:
            return way.line(turn, box.top)
        way.line(turn, entry.start[1] - 8).corner(*entry.start, 8, level_first=False)
        way.pieces.extend(entry.pieces)
        return way

    def first_state(self, lane: Lane, wire: Wire) -> list[Item]:
        """A stub for the state that the net starts from, through which no gradient needs to flow."""
        entry = lane.tile.entries[wire.edge]
        (x, y), side = entry.start, -1 if lane.backwards else 1
        stub = Route((x - 22 * side, y), [(entry.start,), *entry.pieces])
        self.drawn.add(NONE)
        return strand(stub, NONE, self.scale, self.theme)

    # ------------------------------------------------------------------------------------------------ beside cells
    def states(self, lane: Lane, step: int) -> list[Item]:
        """The name of each state above the line that hands it on; in a frame with the norm of its whole gradient."""
        items: list[Item] = []
        cell, side = lane.tile.cell, -1 if lane.backwards else 1
        for state in cell.states:
            node = lane.node(step, state)
            if node is None or not any(w.recurrent and w.source == state for w in cell.wires):
                continue
            x, y = lane.tile.exits[state].end
            x += self.left(lane, step) + side * self.between / 2
            y += self.y[lane.row]
            name = shorten(cell.symbols.get(state, state), 6)
            words = [(name, 0), (str(step), -1)]
            if self.flow is None:
                items.append(Text(x, y - 9, words, self.theme.size, "middle", italic=True, key=("state", node)))
            else:
                g = self.flow.gradients.get(node, 0.0)
                items += tag(x, y - 6, words, g, self.theme, ("state", node), f"‖∂L/∂{name}‖ at t = {step}: {g:.4g}")
        return items

    def margins(self, lane: Lane) -> list[Item]:
        """The name of the lane, and how much of it lies before, between and after what is drawn."""
        theme = self.theme
        items: list[Item] = []
        middle = self.y[lane.row] + lane.tile.height / 2
        earlier = sum(step < lane.shown[0] for step in lane.layer.steps) + (lane.offset if lane.after is None else 0)
        later = sum(step > lane.shown[-1] for step in lane.layer.steps)
        said = [(line, True) for line in short_lines(lane.label)]
        column = lane.shown[0] + lane.offset
        x = 0.0
        if column != self.net.columns[0]:
            x = self.at(column) - (self.between + self.breaks_before(column)) / 2
        if x and lane.after is not None:  # in one gap with what is left out of the layer before
            before = self.lanes[lane.after]
            missing = sum(step > before.shown[-1] for step in before.layer.steps)
            left_out = ((missing, "later"), (earlier, "earlier"))
            words = [[(f"⋯ {n} {when}", False)] * bool(n) for n, when in left_out]
            said = [*words[0], *said, *words[1]]
        elif earlier:
            said += [(f"⋯ {earlier}", False), ("earlier", False)]
        for j, (line, bold) in enumerate(said):
            y = max(middle, self.y[lane.row] + 52 + 7.5 * (len(said) - 1)) + 15 * (j - (len(said) - 1) / 2) + 4
            items.append(Text(x, y, line, SMALL, "middle" if x else "start", bold=bold, fill=theme.faint))
        skipped = [(self.at(b + lane.offset) - self.between / 2 - BREAK / 2, b - a - 1, "between")
                   for a, b in pairwise(lane.shown) if b > a + 1]
        if later and not any(other.after == self.index[id(lane)] for other in self.lanes):
            skipped.append((self.right + self.between + 22, later, "later"))
        for x, n, where in skipped:
            lines = ("⋯", f"{n} step{'s' * (n > 1)}", where)
            top = max(middle - 8, self.y[lane.row] + 56)  # below the line that the state is handed on along
            items += [Text(x, top + 15 * j, line, SMALL, "middle", fill=theme.faint)
                      for j, line in enumerate(lines)]
        return items

    def breaks_before(self, column: int) -> float:
        """The room for steps that are left out before a column."""
        j = self.column[column]
        return self.breaks[j] - self.breaks[j - 1] if j else 0.0

    def captions(self) -> tuple[list[Item], float]:
        """The time, and what is read, under each column; the y below them."""
        items: list[Item] = []
        theme = self.theme
        lowest = {column: lane for lane in sorted(self.lanes, key=lambda lane: -lane.row)
                  for column in (step + lane.offset for step in lane.shown)}
        for column, lane in lowest.items():
            x = self.at(column) + self.width / 2
            t = column - lane.offset
            lag = "" if self.lags is None else f", lag {self.lags - t}"
            items.append(Text(x, self.bottom + 17, f"t = {t}{lag}", 12, "middle", fill=theme.faint,
                              key=("time", column)))
            if column in self.net.labels:
                whole = str(self.net.labels[column])
                seen = shorten(whole, 14)
                items.append(Text(x, self.bottom + 37, f"“{seen}”", theme.size, "middle", mono=True,
                                  note="" if seen == whole else whole, key=("label", column)))
        return items, self.bottom + (48 if self.net.labels else 28)

    def weights(self, y: float) -> tuple[list[Item], float, float]:
        """The weights of each lane, named once for all steps; the y below them, and how far they reach."""
        items: list[Item] = []
        theme, far, start = self.theme, 0.0, self.x0 + 8
        room = max(self.right, theme.page - 2 * theme.margin)
        boxes = self.readout.places
        if any(box.bottom > y - 8 for box in boxes):
            room = min(box.left for box in boxes) - 10
        for lane in sorted(self.lanes, key=lambda lane: -lane.row):
            cell = lane.tile.cell
            if not cell.weights:
                continue
            y += 14
            x, T = 0.0, len(lane.layer.steps)
            shared = f"the same weights at all {T} steps" if T > 1 else "the weights"
            words = f"{shorten(lane.label, 30)}: {shared}" if lane.label else shared
            items.append(Text(x, y + 4, words, SMALL, fill=theme.faint))
            x = max(text_width(words, SMALL) + 12, 0.0)
            for node in cell.weights:
                words, g = self.chip(lane, node)
                w = chip_width(words)
                if x + w > room and x > start:
                    x, y = start, y + 26
                items += chip_items(x, y, w, words, theme, key=("weight", node), datum=g)
                far = max(far, x + w)
                x += w + 8
            y += 14
        return items, y + 6, far

    def chip(self, lane: Lane, node: str) -> tuple[str, float | None]:
        """What is said of a weight, and the norm of its gradient."""
        said = self.net.graph.nodes[node]
        called = shorten(lane.tile.cell.names.get(node, said["name"]), 12)
        words = f"{called} {said['shape'].strip('(),').replace(', ', '×')}".rstrip()
        g = None if self.flow is None else self.flow.gradients.get(node)
        return (words if g is None else f"{words}  ‖∂L/∂{called}‖ = {short(g)}"), g

    # ------------------------------------------------------------------------------------------------ between lanes
    def climb(self, route: Route, column: int, row: int, target: int, side: int) -> Route:
        """From the top of a row up through the gap beside the column, past the rows between, below the target row."""
        for j in range(row + 1, target):
            slot = 7.0 + 5.0 * min(row, target) if side > 0 else 7.0 + 5.0 * target
            slot = min(slot, self.between / 2 - 4)
            x = self.at(column) + (self.width + slot if side > 0 else -slot)
            route.rise(x, self.y[j] + self.height(j)).line(x, self.y[j])
        return route

    def outlet(self, lane: Lane, step: int, name: str) -> Route:
        """From a glyph to the upper edge of its cell, in the coordinates of the picture."""
        return lane.tile.outlet(name).shifted(self.left(lane, step), self.y[lane.row])

    def inlets(self, lane: Lane, step: int, source: int) -> list[tuple[Route, Edge | None]]:
        """Where what lies below enters a cell: the way from the cell's lower edge, and the edge it stands for."""
        found: list[tuple[Route, Edge | None]] = []
        cell = lane.tile.cell
        for name, glyph in cell.glyphs.items():
            if glyph.shape != "input" or source not in lane.feeds.get(name, ()):
                continue
            node = lane.node(step, name)
            if name in cell.borrowed:
                edges = [edge for wire in cell.wires if wire.source == name
                         if (edge := self.net.edge(lane, step, wire)) is not None]
                edge = edges[0] if len(edges) == 1 else None
            else:
                edge = Edge(node, 0) if node is not None and Edge(node, 0) in self.net.sources else None
                if edge is None:
                    continue
            found.append((lane.tile.inlet(name).shifted(self.left(lane, step), self.y[lane.row]), edge))
        return found

    def between_lanes(self) -> tuple[list[Wired], list[Item]]:
        """The wires from layer to layer, and the joints where two directions are put side by side."""
        found: list[Wired] = []
        joints: list[Item] = []
        for lane in self.lanes:
            found.extend(self.from_before(lane))
            found.extend(self.onward(lane))
        for lane in self.lanes:
            if self.joint_of(lane) is None:
                for output in self.upward(lane):
                    for j in sorted(output.lanes):
                        found.extend(self.into(lane, output, self.lanes[j]))
        for pair in self.joints:
            said = False
            for column in self.net.columns:
                wires, dot = self.joint(pair, column)
                found.extend(wires)
                joints.extend(dot)
                if dot and not said:
                    x, y = self.dot(pair, column)
                    joints.append(Text(x + 15, y, "side by side", SMALL, fill=self.theme.faint))
                    said = True
        return found, joints

    def onward(self, lane: Lane) -> Iterable[Wired]:
        """What is handed on to cells that are not drawn: as far as the gap."""
        words = lane.tile.cell.words
        far = (self.theme.between - 12) * (-1 if lane.backwards else 1)
        for step, reader, wire, edge in self.net.onward(lane):
            if wire.delay > 1:
                way = lane.tile.outlet(wire.source).shifted(self.left(lane, step), self.y[lane.row])
                (x, y), level = way.end, self.arc(wire.delay)
                way.line(x, y + level + 8).corner(x + (-24 if lane.backwards else 24), y + level, 8, level_first=False)
            else:
                way = lane.tile.exits[wire.source].shifted(self.left(lane, step), self.y[lane.row])
                way.line(way.end[0] + far, way.end[1])
            yield self.free(way, edge, f"from {words.get(wire.source, wire.source)} at t = {step} to "
                                       f"{words.get(wire.target, wire.target)} at t = {reader}")

    def upward(self, lane: Lane) -> list[Output]:
        """One output a step and glyph, of those drawn, that other lanes get."""
        shown = set(lane.shown)
        found: dict[tuple[int, str], Output] = {}
        for output in lane.outputs:
            if output.lanes and output.step in shown:
                found.setdefault((output.step, output.name), output)
        return list(found.values())

    def into(self, lane: Lane, output: Output, target: Lane) -> Iterable[Wired]:
        """From a layer to the one that reads it, at the same step."""
        column = output.step + lane.offset
        step = column - target.offset
        if step not in target.shown or target.row <= lane.row:
            return
        entering = self.inlets(target, step, self.index[id(lane)])
        alone = len(output.lanes) == 1 and not output.after and len(entering) == 1
        for inlet, own in entering:
            route = self.outlet(lane, output.step, output.name)
            self.climb(route, column, lane.row, target.row, 1)
            route.rise(inlet.start[0], self.y[target.row] + self.height(target.row)).line(*inlet.start)
            route.pieces.extend(inlet.pieces)
            edge = output.edge if alone else own
            words = f"from {self.word(lane, output.name)} to {target.label or 'the next layer'} at t = {step}"
            yield self.free(route, edge, words)

    def word(self, lane: Lane, name: str) -> str:
        """What a glyph is, in words, and of which lane."""
        words = lane.tile.cell.words.get(name, name)
        return f"{words} ({lane.label})" if lane.label else words

    def free(self, route: Route, edge: Edge | None, words: str) -> Wired:
        """A wire that is no stamp."""
        how = self.look(edge)
        key = ("edge", *edge) if edge else ("wire", words)
        return strength(how), strand(route, how, self.scale, self.theme, key=key, datum=self.net.message(edge),
                                     note=self.note(words, edge))

    def joint(self, pair: Joint, column: int) -> tuple[list[Wired], list[Item]]:
        """At one step: the outputs of two directions, side by side, and on to who reads them."""
        lower, upper = (self.lanes[j] for j in pair)
        x, y = self.dot(pair, column)
        found: list[Wired] = []
        reached = False
        for lane, port in ((upper, -5.0 if upper.backwards else 5.0), (lower, 5.0 if upper.backwards else -5.0)):
            step = column - lane.offset
            for output in lane.outputs:
                if output.step == step and step in lane.shown and (output.lanes or output.after):
                    route = self.outlet(lane, step, output.name)
                    self.climb(route, column, lane.row, upper.row + 1, -1 if lane.backwards else 1)
                    route.rise(x + port, y + 8)
                    found.append(self.free(route, output.edge, f"from {self.word(lane, output.name)} at t = {step}"))
                    reached = True
                    break
        if not reached:
            return [], []
        for j in sorted(self.readers(lower)[0]):
            target = self.lanes[j]
            step = column - target.offset
            if step not in target.shown or target.row <= upper.row:
                continue
            for inlet, edge in self.inlets(target, step, pair[0]):
                route = Route((x, y - 11))
                self.climb(route, column, upper.row, target.row, -1)
                route.rise(inlet.start[0], self.y[target.row] + self.height(target.row)).line(*inlet.start)
                route.pieces.extend(inlet.pieces)
                found.append(self.free(route, edge, f"from both directions to {target.label} at t = {step}"))
        if self.readers(lower)[1]:
            route = Route((x, y - 11))
            self.climb(route, column, upper.row, self.rows, -1).rise(x, self.readout.rail_y)
            edge = self.readout.entering if len(self.readout.joined) == 1 and not self.readout.rising else None
            found.append(self.free(route, edge, f"from both directions at t = {column}"))
        dot = self.stamps.use("joint", lambda: [
            circle(0, 0, 11, fill=self.theme.paper, stroke=self.theme.ink, stroke_width=1.3),
            Text(0, 4.5, "‖", self.theme.size, "middle")], x, y, key=("joint", column),
            note="side by side" if self.spoken else "")
        return found, [dot]

    def joined(self, pair: Joint, column: int) -> bool:
        """Is anything put side by side at this column?"""
        return any(output.step == column - self.lanes[j].offset and (output.lanes or output.after)
                   for j in pair for output in self.lanes[j].outputs)

    def dot(self, pair: Joint, column: int) -> Point:
        """Where a joint stands."""
        upper = self.lanes[pair[1]]
        return self.at(column) + self.width / 2, self.y[upper.row] - 34

    def from_before(self, lane: Lane) -> Iterable[Wired]:
        """The first state of a decoder: its encoder's last."""
        if lane.after is None or lane.order[0] not in lane.shown or lane.after >= len(self.lanes):
            return
        other, first = self.lanes[lane.after], lane.order[0]
        for wire in lane.tile.cell.wires:
            edge = self.net.edge(lane, first, wire)
            if not wire.recurrent or edge is None:
                continue
            entry = lane.tile.entries[wire.edge].shifted(self.left(lane, first), self.y[lane.row])
            state = wire.source if wire.source in other.tile.exits else other.tile.main
            if state is None or other.order[-1] not in other.shown:
                route = Route((entry.start[0] - 30, entry.start[1]), [(entry.start,)])
            else:
                route = other.tile.exits[state].shifted(self.left(other, other.order[-1]), self.y[other.row])
                (x1, y1), (x2, y2) = route.end, entry.start
                if abs(y1 - y2) < 0.5:
                    route.line(x2, y2)
                else:
                    m = (x1 + x2) / 2
                    route.pieces.append(((m, y1), (m, y2), (x2, y2)))
            route.pieces.extend(entry.pieces)
            words = f"from the last state of {other.label or 'the layer before'} to the first of {lane.label}"
            yield self.free(route, edge, words)


def drawn(found: Iterable[Wired]) -> list[Item]:
    """The strongest on top."""
    return [item for _, items in sorted(found, key=lambda wired: wired[0]) for item in items]


def tag(x: float, y: float, name: Sequence[Run], g: float, theme: Theme, key: object, note: str) -> list[Item]:
    """A state and the norm of its whole gradient, in one frame whose lower edge is at y: the number is the state's, not
    that of the wire below.
    """
    words = short(g)
    called = Text(x, y - 19, name, theme.size, "middle", italic=True)
    w = max(text_width(words, SMALL), called.width) + 6
    return [Box(x - w / 2, y - TAG, w, TAG, 3, fill=theme.paper, stroke=theme.rim), called,
            Text(x, y - 5, words, SMALL, "middle", key=key, datum=g, note=note)]
