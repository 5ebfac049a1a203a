"""The way to the loss: from the layers to the boxes after the last step, and these boxes.

What they read of a last state alone goes there straight. What they read of other steps goes up to a rail, which gathers
it and leads it in from above.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from viz.graph.steps import Edge
from viz.layout.geometry import Place, Point, Route
from viz.layout.lanes import Lane, Output, group_width
from viz.scene.items import Box, Item, Text, circle
from viz.scene.wires import NONE, strand

if TYPE_CHECKING:
    from viz.pictures.conveyor import Painter, Wired

STACKED = 72.0  # from one of the boxes after the last step to the next
HEAD = 28.0  # the room that the name of the net takes
DOT = 4.5  # the radius of the mark of an output that is read


class Readout:
    """The way to the loss in what one painter paints, in its coordinates."""

    def __init__(self, of: Painter) -> None:
        self.of, self.net, self.lanes, self.theme = of, of.net, of.lanes, of.theme

    @cached_property
    def straight(self) -> list[tuple[Lane, Output]]:
        """What the boxes after the last step read from a last state alone: it goes there straight."""
        found = []
        for lane in self.lanes:
            steps: dict[str, set[int]] = {}
            for output in lane.outputs:
                steps.setdefault(output.edge.consumer, set()).add(output.step)
            for output in lane.outputs:
                if (output.after and steps[output.edge.consumer] == {lane.shown[-1]} and not lane.backwards
                        and self.of.joint_of(lane) is None
                        and lane.shown[-1] + lane.offset == self.net.columns[-1] and output.name in lane.tile.exits):
                    found.append((lane, output))
        return found

    @cached_property
    def rising(self) -> list[tuple[Lane, Output]]:
        """What they read at other steps, or from glyphs that are no states: it goes up to the rail."""
        straight = {output for _, output in self.straight}
        return [(lane, output) for lane in self.lanes if self.of.joint_of(lane) is None for output in lane.outputs
                if output.after and output not in straight and output.step in lane.shown]

    @property
    def railed(self) -> bool:
        """Is there a rail?"""
        return bool(self.net.groups and (self.rising or self.joined))

    @property
    def rail_y(self) -> float:
        """Where the rail runs."""
        return self.of.head + 16

    @property
    def goes_on(self) -> bool:
        """Are there steps after the last one drawn?"""
        return any(max(lane.layer.steps) > lane.shown[-1] for lane in self.lanes)

    @cached_property
    def places(self) -> list[Place]:
        """Where the boxes after the last step stand."""
        lane, output = max(self.straight, key=lambda item: item[0].row, default=(self.lanes[-1], None))
        y = self.of.y[lane.row] + (lane.tile.exits[output.name].end[1] if output is not None else 34.0)
        x = self.of.right + self.of.between + 44 * self.goes_on
        widths = [group_width(group) for group in self.net.groups]
        high = STACKED * (len(widths) - 1)
        up = not self.railed and y + high + 21 > self.of.bottom + 30 and y - high - 21 > self.of.head - 8
        middle = x + max(widths, default=0.0) / 2
        return [Place(middle, y + (-1 if up else 1) * STACKED * j, w, 42) for j, w in enumerate(widths)]

    def out(self) -> tuple[list[Wired], list[Wired]]:
        """The wires straight to the boxes and between them; and those up to the rail, with the rail."""
        boxes, groups = self.places, self.net.groups
        straight: list[Wired] = []
        if not boxes:
            return [], []
        for slot, (lane, output) in enumerate(sorted(self.straight, key=lambda item: -item[0].row)):
            way = lane.tile.exits[output.name].shifted(self.of.left(lane, output.step), self.of.y[lane.row])
            (_x1, y1), box = way.end, boxes[0]
            if abs(y1 - box.y) > box.h / 2 - 2:
                port = min(box.left + 12 + 10 * slot, box.right - 4)
                way.corner(port, box.bottom if y1 > box.y else box.top, 12, level_first=True)
            else:
                way.line(box.left, y1)
            straight.append(self.of.free(way, output.edge, self.words(lane, output)))
        for a, b, group, following in zip(boxes, boxes[1:], groups, groups[1:], strict=False):
            edges = [Edge(v, k) for v in following.nodes for u, _, k in self.net.graph.in_edges(v, keys=True)
                     if u in group.nodes]
            way = Route((a.x, a.bottom)).line(b.x, b.top) if b.y > a.y else Route((a.x, a.top)).line(b.x, b.bottom)
            straight.append(self.of.free(way, edges[0] if edges else None,
                                         f"from {group.title} to {following.title}"))
        return straight, self.risers() if self.railed else []

    @cached_property
    def joined(self) -> list[int]:
        """The columns at which both directions, side by side, go up to the rail."""
        read = [pair for pair in self.of.joints if self.of.readers(self.lanes[pair[0]])[1]]
        return [column for column in self.net.columns if any(self.of.joined(pair, column) for pair in read)]

    def words(self, lane: Lane, output: Output) -> str:
        """What a wire out of a layer is, in words."""
        return f"from {self.of.word(lane, output.name)} at t = {output.step} to {self.net.groups[0].title}"

    def risers(self) -> list[Wired]:
        """The wires up to the rail, and the rail to the first box."""
        found, xs = [], []
        for lane, output in self.rising:
            route = self.of.outlet(lane, output.step, output.name)
            column = output.step + lane.offset
            self.of.climb(route, column, lane.row, self.of.rows, -1 if lane.backwards else 1)
            route.line(route.end[0], self.rail_y)
            xs.append(route.end[0])
            found.append(self.of.free(route, output.edge, self.words(lane, output)))
        xs += [self.of.at(column) + self.of.width / 2 for column in self.joined]
        box = self.places[0]
        rail = Route((min(xs), self.rail_y)).line(box.x - 12, self.rail_y)
        rail.corner(box.x, box.top, 12, level_first=True)
        found.append(self.of.free(rail, self.entering,
                               f"from all steps to {self.net.groups[0].title}"))
        return found

    @cached_property
    def entering(self) -> Edge | None:
        """The edge by which what gathers the layers' outputs enters the first box; None if there are several."""
        inside, straight = set(self.net.groups[0].nodes), {output.edge for _, output in self.straight}
        step = self.net.graph.nodes
        edges = [edge for v in self.net.groups[0].nodes for u, _, k in self.net.graph.in_edges(v, keys=True)
                 if (edge := Edge(v, k)) not in straight and u not in inside and step[u]["kind"] == "computed"]
        return edges[0] if len(edges) == 1 else None

    def ends(self) -> list[Wired]:
        """The last states, where nobody reads them: loose ends."""
        found = []
        for lane in self.lanes:
            last = lane.order[-1]
            if last not in lane.shown:
                continue
            read = {output.name for other, output in self.straight if other is lane}
            heirs = {wire.source for other in self.lanes if other.after == self.of.index[id(lane)]
                     for wire in other.tile.cell.wires if wire.recurrent}
            for state in lane.tile.cell.states:
                handed_on = any(wire.recurrent and wire.source == state for wire in lane.tile.cell.wires)
                if handed_on and state not in read | heirs and lane.node(last, state):
                    route = lane.tile.exits[state].shifted(self.of.left(lane, last), self.of.y[lane.row])
                    route.line(route.end[0] + (-10 if lane.backwards else 10), route.end[1])
                    self.of.drawn.add(NONE)
                    found.append((-2, strand(route, NONE, self.of.scale, self.theme)))
        return found

    def marks(self) -> list[Item]:
        """A dot at each step whose output is read by the boxes after the last step: so patterns are told apart."""
        places: dict[tuple[str, int], Point] = {}
        for lane, output in self.straight:
            x, y = lane.tile.exits[output.name].end
            places[lane.label, output.step] = self.of.left(lane, output.step) + x + 1, self.of.y[lane.row] + y
        for lane, output in self.rising:
            x, _ = self.of.outlet(lane, output.step, output.name).end
            places[lane.label, output.step] = x, self.of.y[lane.row]
        for pair in self.of.joints:
            if self.of.readers(self.lanes[pair[0]])[1]:
                for column in self.joined:
                    x, y = self.of.dot(pair, column)
                    places["both", column] = x, y - 18
        return [circle(x, y, DOT, fill=self.theme.ink, stroke=self.theme.paper, stroke_width=1.2,
                       key=("output", *where), note=f"the output at t = {where[1]} is read")
                for where, (x, y) in places.items()]

    def boxes(self) -> tuple[list[Item], float]:
        """The boxes after the last step, and how far to the right the picture reaches."""
        items: list[Item] = []
        theme = self.theme
        right = self.of.right + self.of.between * self.goes_on + max(self.of.between / 2 + 26, 42)
        for group, box in zip(self.net.groups, self.places, strict=True):
            end = self.net.graph.nodes[group.nodes[-1]]
            colour = theme.colour(None, end.get("role")) or theme.ink
            items += [Box(box.left, box.top, box.w, box.h, 5, fill=theme.paper, stroke=colour, stroke_width=1.8,
                          key=("glyph", group.nodes[-1])),
                      Text(box.x, box.y - 3, group.title, 12, "middle"),
                      Text(box.x, box.y + 14, group.note, 12, "middle", bold=True)]
            right = max(right, box.right + 4)
        return items, right
