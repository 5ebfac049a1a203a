"""A graph of values, laid out on a page: a record of fields for every value, a circle for every operation.

`Sheet` arranges a graph once; its methods make the items of one thing each, in coordinates of the sheet. A graph that
is wider than the page is cut into rows, in the order of making; what a row reads from another stands in it again, as a
pill with the name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import networkx as nx

from viz.layout.arrange import Arrangement, arrange
from viz.layout.geometry import Place, Point, Route
from viz.scale import Scale
from viz.scene.items import Box, Extent, Item, Run, Text, Wire, line, overlap
from viz.scene.wires import FORWARDS, Look, arrowhead, direction_at_end, strand
from viz.theme import DEFAULT, TINT, Theme, mixed
from viz.typography import SMALLER, fitting, text_width, visible

HEIGHT, LINE = 28.0, 18.0  # of a record; of one of its fields, where they stand below each other
LONGEST = 200.0  # pixels of a field
PHONE = 600.0  # on a narrower page, the fields of a record stand below each other;
WIDE = 0.2  # and where the record of an array would take more of the room
GAP = 30.0  # between two rows
HEAD = 12.0  # more, where a time step is named above one
RESULT = -1  # the key of the edge from an operation to what it computed
Edge = tuple[str, int]  # the consumer, and the operand's place
Part = tuple[str, Any]  # a node, and: "is" its record, "op" its operation, "again" its pill


class Field(NamedTuple):
    """One field of a record: the words, what they say, and the number in them."""

    runs: tuple[Run, ...]
    what: str
    datum: float | None = None

    @property
    def plain(self) -> str:
        """The words, without levels."""
        return "".join(words for words, _ in self.runs)

    def width(self, size: float) -> float:
        """How wide it is drawn."""
        return min(LONGEST, sum(text_width(visible(w), size * SMALLER if low else size) for w, low in self.runs))


def called(graph: nx.MultiDiGraph) -> dict[str, tuple[Run, ...]]:
    """What nodes are called that have a symbol: with the time step, and the scope where others are called the same.
    Folded nodes are called by their ids.

    >>> graph = nx.MultiDiGraph()
    >>> graph.add_node("a/W", symbol="W", path="a")
    >>> graph.add_node("b/W", symbol="W", path="b")
    >>> graph.add_node("rnn/t3/h", symbol="h", path="rnn", step=3)
    >>> called(graph)["rnn/t3/h"], called(graph)["a/W"]
    ((('h', 0), ('3', -1)), (('W', 0), (', a', 0)))
    """
    names = {node: (said["symbol"], said.get("step")) for node, said in graph.nodes(data=True) if said.get("symbol")}
    same = {(*name, graph.nodes[node].get("of", node)) for node, name in names.items()}  # a weight at each use is one
    count = Counter(name[:2] for name in same)
    found = {}
    for node, (symbol, step) in names.items():
        runs = [(symbol, 0)] + ([] if step is None else [(str(step), -1)])
        if count[symbol, step] > 1:
            near = (graph.nodes[v].get("path") for v in (node, *graph.successors(node)))
            runs += [(f", {path}", 0) for path in list(filter(None, near))[:1]]
        found[node] = tuple(runs)
    return found | {node: ((node, 0),) for node, said in graph.nodes(data=True) if said.get("kind") == "folded"}


@dataclass
class Sheet:
    """A graph, laid out. What stands in a field may change, the width of the field does not.

    Attributes:
        graph: the graph model.
        widest: for each node, each field at its widest.
        theme: sizes and colours.
        rankdir: ``LR`` or ``TB``.
        gap: the room between neighbours; numbers on wires need more.
        boxes, ways: where each part stands, and how each edge runs.
        row_of: the row that an operation is in.
        heads: the time step that begins with a row, written above it.
        width, height: of the whole.
    """

    graph: nx.MultiDiGraph
    widest: Mapping[str, Sequence[Field]]
    theme: Theme = DEFAULT
    rankdir: str = "LR"
    gap: float = 18.0
    boxes: dict[Part, Place] = field(init=False, default_factory=dict)
    ways: dict[tuple[Part, Part, int], Route] = field(init=False, default_factory=dict)
    row_of: dict[str, int] = field(init=False, default_factory=dict)
    heads: list[Text] = field(init=False, default_factory=list)
    width: float = field(init=False, default=0.0)
    height: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.names = called(self.graph)
        self.begins: dict[int, str] = {}
        self.widest = {node: self.headed(node, fields) for node, fields in self.widest.items()}
        self.room = self.theme.page - 2 * self.theme.margin
        records = [sum(one.width(self.theme.small) + 12 for one in fields) for fields in self.widest.values()
                   if any(one.what == "shape" for one in fields)]
        self.stacked = self.theme.page < PHONE or (
            self.rankdir == "LR" and max(records, default=0.0) > WIDE * self.room)
        self.pad = 5.0 if self.stacked else 6.0
        if self.stacked:
            self.gap = min(self.gap, 24.0)
        if self.rankdir == "LR":  # at least one operation with an input and its result fits into a row
            self.most = max(60.0, (self.room - 34 - 4 * self.gap) / 2)
        else:  # or, from the top down, one with all its inputs side by side
            side = max((degree for _, degree in self.graph.in_degree()), default=1) or 1
            self.most = max(60.0, self.room / side - self.gap)
        self.rows = self.cut()
        for j, row in enumerate(self.rows):
            top = self.height + GAP * (j > 0)
            if words := self.begins.get(j):
                top += HEAD
                self.heads.append(Text(0, top - 8, fitting(words, self.room, self.theme.small, bold=True),
                                       self.theme.small, bold=True, fill=self.theme.faint, key=("head", j)))
            for part, box in row.boxes.items():
                self.boxes[part] = Place(box.x, box.y + top, box.w, box.h)
            for edge, way in row.routes.items():
                self.ways[edge] = way.shifted(0, top)
            self.width, self.height = max(self.width, row.width), top + row.height

    # ------------------------------------------------------------------------------------------------ rows
    def cut(self) -> list[Arrangement]:
        """The rows: one, if the page is wide enough."""
        made = sorted((node for node in self.graph if self.graph.in_degree(node)),
                      key=lambda node: self.graph.nodes[node].get("order", 0))
        if len(made) <= 2 * self.guess(made):
            row = self.arranged(made, 0)
            if row.width <= self.room or len(made) < 2:
                self.keep(made, 0)
                return [row]
        self.number_the_unnamed()
        rows: list[Arrangement] = []
        before: Any = None  # the path and the step of what the row before begins with
        while made:
            n = self.guess(made)
            while (row := self.arranged(made[:n], len(rows))).width > self.room and n > 1:
                n -= max(1, n // 8)
            if n < len(made) and (better := self.boundary(made, n)) < n:
                shorter = self.arranged(made[:better], len(rows))
                if shorter.width <= max(self.room, row.width):
                    n, row = better, shorter
            self.keep(made[:n], len(rows))
            if (here := self.where(made[0])) != before and here[1] is not None:
                self.begins[len(rows)] = f"{here[0]}, t = {here[1]}" if here[0] else f"t = {here[1]}"
            before = here
            rows.append(row)
            made = made[n:]
        return rows

    def keep(self, made: Sequence[str], row: int) -> None:
        """These operations are in this row, and with them what is given and read here first."""
        self.row_of |= dict.fromkeys(made, row)
        for v in made:
            for u in self.graph.predecessors(v):
                self.row_of.setdefault(u, row)

    def number_the_unnamed(self) -> None:
        """A name for everything that another row may read."""
        unnamed = (node for node in self.graph if node not in self.names
                   and (self.graph.in_degree(node) or self.graph.out_degree(node) > 1))
        self.names |= {node: ((f"#{j}", 0),) for j, node in enumerate(unnamed, 1)}
        self.widest = {node: self.headed(node, fields) for node, fields in self.widest.items()}

    def headed(self, node: str, fields: Sequence[Field]) -> Sequence[Field]:
        """The fields with what the node is called here in front."""
        if node not in self.names:
            return fields
        return [Field(self.names[node], "name"), *fields[fields[0].what == "name":]]

    def guess(self, made: Sequence[str]) -> int:
        """How many operations may fit into a row: the widths of ranks are added up."""
        rank: dict[str, int] = {}
        wide: dict[int, float] = defaultdict(float)
        for n, node in enumerate(made):
            rank[node] = 1 + max((rank.get(u, 0) for u in self.graph.predecessors(node)), default=0)
            w = sum(self.columns(node)) + 34
            if self.rankdir == "LR":
                wide[rank[node]] = max(wide[rank[node]], w + 4 * self.gap)
                wide[0] = max([wide[0], *(self.size((u, "is"))[0] for u in self.graph.predecessors(node)
                                          if u not in rank)])
                whole = sum(wide.values())
            else:
                wide[rank[node]] += w + self.gap
                whole = max(wide.values())
            if whole > self.room and n:
                return n
        return len(made)

    def where(self, node: str) -> tuple[str | None, int | None]:
        """The scope and the time step of an operation."""
        said = self.graph.nodes[node]
        return said.get("path"), said.get("step")

    def boundary(self, made: Sequence[str], n: int) -> int:
        """Where a row that must end before the n-th operation may end better: with a time step, or else a scope."""
        ends = [j for j in range(n, 0, -1) if self.where(made[j]) != self.where(made[j - 1])]
        return next((j for j in ends if j > n // 2 or self.where(made[j])[1] != self.where(made[j - 1])[1]), n)

    def arranged(self, made: Sequence[str], row: int) -> Arrangement:
        """A row of these operations."""
        glyphs: nx.MultiDiGraph = nx.MultiDiGraph()
        own = set(made)
        glyphs.add_nodes_from((node, "is") for node in made or self.graph)
        for v in made:
            if "op" in self.graph.nodes[v]:
                glyphs.add_edge((v, "op"), (v, "is"), RESULT)
            for u, _, k in self.graph.in_edges(v, keys=True):
                here = u in own or (not self.graph.in_degree(u) and u not in self.row_of)
                source = (u, "is") if here else (u, ("again", row))
                glyphs.add_edge(source, self.reader(v), k)
        return arrange(glyphs, {part: self.size(part) for part in glyphs}, rankdir=self.rankdir, gap=self.gap)

    def size(self, part: Part) -> tuple[float, float]:
        """Width and height of a part."""
        node, what = part
        small = self.theme.small
        if what == "op":
            return max(HEIGHT, text_width(self.sign(node), small) + 14), HEIGHT
        if what != "is":
            name = self.names.get(node, ((node, 0),))
            return max(24.0, min(Field(name, "name").width(small), self.most - 14) + 14), 22.0
        columns = self.columns(node)
        return sum(columns), HEIGHT if not self.stacked else LINE * len(self.widest[node]) + 8

    def columns(self, node: str) -> list[float]:
        """The width of each field; where they stand below each other, one for all."""
        widths = [one.width(self.theme.small) + 2 * self.pad for one in self.widest[node]]
        if self.stacked:
            return [min(max(widths), self.most)]
        while sum(widths) > self.most and max(widths) > 50:
            j = max(range(len(widths)), key=widths.__getitem__)
            widths[j] = max(50.0, widths[j] - min(20.0, sum(widths) - self.most))
        return widths

    # ------------------------------------------------------------------------------------------------ places
    def sign(self, node: str) -> str:
        """How an operation is written in its circle."""
        return fitting(sign(self.graph.nodes[node]), 120, self.theme.small)

    def reader(self, node: str) -> Part:
        """What an edge into a node leads to: its operation; a folded node has none."""
        return node, "op" if "op" in self.graph.nodes[node] else "is"

    def source(self, u: str, v: str) -> Part:
        """Where an edge begins: at the record, or at a pill."""
        again = (u, ("again", self.row_of.get(v, 0)))
        return again if again in self.boxes else (u, "is")

    def route(self, u: str, v: str, k: int) -> Route:
        """The way of the edge from an input to the operation that reads it."""
        return self.ways[self.source(u, v), self.reader(v), k]

    # ------------------------------------------------------------------------------------------------ items
    def record(self, node: str, fields: Sequence[Field], *, lit: bool = False) -> list[Item]:
        """The fields of a value; dashed for a constant; pointed at, its whole name."""
        said, box, theme = self.graph.nodes[node], self.boxes[node, "is"], self.theme
        colour = theme.colour(said.get("symbol"), said.get("role")) or theme.ink
        fields = self.headed(node, fields)
        words = [str(said[key]) for key in ("symbol", "role", "op") if key in said]
        note = "\n".join([node, *words, *(one.plain for one in fields if one.what != "name")])
        items: list[Item] = [Box(box.left + 4, box.top + 4, box.w, box.h, 3, stroke=colour, fill=theme.tile,
                                 stroke_width=1.4)] if said.get("times", 1) > 1 else []
        items.append(Box(box.left, box.top, box.w, box.h, 3, stroke=theme.now if lit else colour,
                         fill=mixed(theme.paper, theme.now, TINT) if lit else theme.paper,
                         stroke_width=2.4 if lit else 1.4, dashes="4 3" if said["kind"] == "constant" else None,
                         key=("glyph", node), note=note))
        x, y = box.left, box.top + 4
        for width, one in zip(self.columns(node) * (len(fields) if self.stacked else 1), fields, strict=False):
            low = y + LINE if self.stacked else box.bottom
            if x > box.left or y > box.top + 4:
                items.append(line(box.left, y, box.right, y, stroke=theme.rim) if self.stacked else
                             line(x, box.top, x, box.bottom, stroke=colour, stroke_width=0.7))
            items.append(Text(x + width / 2, (y + low) / 2 + 4 if self.stacked else box.y + 4,
                              cut_to(one.runs, width - self.pad, theme.small), theme.small, "middle",
                              key=(one.what, node), datum=one.datum))
            x, y = (x, low) if self.stacked else (x + width, y)
        return items

    def operation(self, node: str, *, head: bool = True) -> list[Item]:
        """The circle of an operation (a pill, where its sign is long), and the line to its result, with an arrowhead or
        without.
        """
        said, box, theme = self.graph.nodes[node], self.boxes[node, "op"], self.theme
        way = self.ways[(node, "op"), (node, "is"), RESULT]
        return [Wire([way], stroke=theme.wire, stroke_width=1.4, key=("result", node)),
                *([arrowhead(way.end, direction_at_end(way), 8, fill=theme.wire)] if head else []),
                Box(box.left, box.top, box.w, box.h, box.h / 2, fill=theme.tile, stroke=theme.wire, stroke_width=1.4,
                    key=("glyph", (node, "op")), note=f"{said['op']} {said.get('params', '')}".strip()),
                Text(box.x, box.y + 4, self.sign(node), theme.small, "middle")]

    def pills(self) -> Iterator[tuple[str, int]]:
        """What stands again in which row."""
        return ((node, what[1]) for node, what in self.boxes if isinstance(what, tuple))

    def pill(self, node: str, row: int, *, lit: bool = False) -> list[Item]:
        """The name of a value that stands in another row."""
        box, theme = self.boxes[node, ("again", row)], self.theme
        home = self.row_of.get(node, 0) + 1
        return [Box(box.left, box.top, box.w, box.h, box.h / 2, stroke=theme.now if lit else theme.wire,
                    fill=mixed(theme.paper, theme.now, TINT) if lit else theme.tile, dashes="2 3",
                    key=("glyph", (node, "again", row)), note=f"{node}: its record is in row {home}"),
                Text(box.x, box.y + 4, cut_to(self.names.get(node, ((node, 0),)), box.w - 10, theme.small), theme.small,
                     "middle", key=("again", node, row))]

    def wire(self, u: str, v: str, k: int, how: Look = FORWARDS, scale: Scale | None = None, *,
             datum: float | None = None, note: str = "") -> list[Item]:  # fmt: skip
        """The line from an input to the operation that reads it. Its arrowhead says what flows: the value forwards, or
        the message back.
        """
        return strand(self.route(u, v, k), how, scale or Scale(), self.theme, key=("edge", v, k), datum=datum,
                      note=note)

    def sending(self, u: str, v: str, k: int, width: float, note: str) -> list[Item]:
        """The line of a message that is on its way, or has arrived."""
        way, colour = self.route(u, v, k), self.theme.now
        points = list(way.points())
        behind = next((p for p in points if abs(p[0] - way.start[0]) + abs(p[1] - way.start[1]) > 1), way.end)
        back = way.start[0] - behind[0], way.start[1] - behind[1]
        return [Wire([way], stroke=colour, stroke_width=width, key=("edge", v, k), note=note),
                arrowhead(way.start, back, 7 + width, fill=colour)]

    def number(self, edge: Edge, spot: Point, words: str, datum: float | None, *, bold: bool = False) -> list[Item]:
        """A few words on a wire, on a piece of paper of their own."""
        (x, y), size = spot, self.theme.small
        width = text_width(words, size, bold) + 4
        return [Box(x - width / 2, y - size / 2 - 2, width, size + 4, 2, fill=self.theme.paper, opacity=0.9),
                Text(x, y + size / 2 - 1.5, words, size, "middle", bold=bold, key=("message", *edge), datum=datum)]

    def spots(self, words: Mapping[tuple[str, str, int], str], kept: Iterable[Extent] = (),
              bold: bool = False) -> dict[Edge, Point]:
        """Where on its wire each number stands, so that it hides nothing and stands on as few other wires as can be.

        Args:
            words: what is written on each edge ``(u, v, k)``, at its longest.
            kept: more places to keep free.
            bold: is it written so?

        Returns:
            The middle of each number, by consumer and operand; those that find no room are left out.
        """
        taken = Taken()
        for box in self.boxes.values():
            taken.add((box.left - 2, box.top - 1, box.right + 2, box.bottom + 1))
        for extent in (*kept, *(head.extent for head in self.heads)):
            taken.add(extent)
        for edge, way in self.ways.items():
            for x, y in way.points():
                taken.cross((x, y), edge)
        found: dict[Edge, Point] = {}
        for (u, v, k), said in words.items():
            way = self.route(u, v, k)
            own = self.source(u, v), self.reader(v), k
            w, h = text_width(said, self.theme.small, bold) / 2 + 3, self.theme.small / 2 + 3
            best: tuple[float, Point] | None = None
            middles = [along(way, share) for share in SHARES]
            for rank, ((x, y), dy) in enumerate((middle, dy) for dy in (0.0, -9.0, 9.0) for middle in middles):
                extent = x - w, y + dy - h, x + w, y + dy + h
                if taken.hit(extent):
                    continue
                cost = 4 * taken.crossed(extent, own) + rank / 10
                if best is None or cost < best[0]:
                    best = cost, (x, y + dy)
                if cost == rank / 10:
                    break
            if best is not None:
                x, y = found[v, k] = best[1]
                taken.add((x - w, y - h, x + w, y + h))
        return found


SHARES = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82)


class Taken:
    """Which places are taken, and which wires run where; in squares, so that only neighbours are compared."""

    SIDE = 60.0

    def __init__(self) -> None:
        self.extents: dict[Point, list[Extent]] = defaultdict(list)
        self.points: dict[Point, list[tuple[Point, Any]]] = defaultdict(list)

    def squares(self, extent: Extent) -> Iterator[Point]:
        """The squares that an extent touches."""
        for i in range(int(extent[0] // self.SIDE), int(extent[2] // self.SIDE) + 1):
            for j in range(int(extent[1] // self.SIDE), int(extent[3] // self.SIDE) + 1):
                yield i, j

    def add(self, extent: Extent) -> None:
        """It is taken."""
        for square in self.squares(extent):
            self.extents[square].append(extent)

    def cross(self, point: Point, edge: Any) -> None:
        """A wire runs here."""
        self.points[point[0] // self.SIDE, point[1] // self.SIDE].append((point, edge))

    def hit(self, extent: Extent) -> bool:
        """Is any of it taken?"""
        return any(overlap(extent, other) for square in self.squares(extent) for other in self.extents[square])

    def crossed(self, extent: Extent, own: Any) -> int:
        """How many other wires run through it."""
        return len({edge for square in self.squares(extent) for (x, y), edge in self.points[square]
                    if edge != own and extent[0] < x < extent[2] and extent[1] < y < extent[3]})


def cut_to(runs: Sequence[Run], width: float, size: float) -> list[Run]:
    """Pieces of text, cut with … if they are wider than so many pixels."""
    kept: list[Run] = []
    for words, low in runs:
        own = size * SMALLER if low else size
        seen = fitting(words, width, own)
        kept.append((seen, low))
        width -= text_width(seen, own)
        if seen != visible(words):
            break
    return kept


def sign(said: Mapping[str, Any]) -> str:
    """How the operation is written in a circle: what `viz.draw_unrolled` writes too."""
    return {"*": "×", "-": "−", "/": "÷"}.get(said["sign"], said["sign"])


def along(way: Route, share: float) -> Point:
    """The point that lies so far along a way."""
    points = list(way.points())
    steps = [((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5 for a, b in pairwise(points)]
    left = share * sum(steps)
    for (a, b), step in zip(pairwise(points), steps, strict=True):
        if left <= step and step > 0:
            return a[0] + left / step * (b[0] - a[0]), a[1] + left / step * (b[1] - a[1])
        left -= step
    return way.end
