"""The graph of values, as micrograd draws it: a row of fields for every number, a circle for every operation.

`Sheet` arranges a graph once; its methods paint one thing each. `viz.draw_graph` paints everything once, `draw_film`
the same sheet again and again, each time with more on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import networkx as nx

from viz.flow.messages import Flow
from viz.layout.arrange import Arrangement, arrange
from viz.layout.geometry import Place, Point, Route
from viz.numbers import decimals, short
from viz.render.drawing import Drawing
from viz.render.markup import arrowhead, document, element, path, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, TINT, Theme, contrast, mixed
from viz.typography import shorten, text_width

HEIGHT, PAD, LONGEST = 28.0, 9.0, 28  # of a record; beside a word; characters in a field
Head = Literal["forwards", "back"] | None  # the arrowhead of a line
RESULT = -1  # the key of the edge from an operation to what it computed


def fields_of(node: str, said: Mapping[str, Any], flow: Flow | None = None) -> list[str]:
    """What a record says: the symbol, the data, the gradient; of a folded node, how much it stands for."""
    fields = [said["symbol"]] if "symbol" in said else []
    if said["kind"] == "folded":
        times = f"{said['times']} × " if "times" in said else ""
        fields += [node, f"{times}{said['members'] // said.get('times', 1)} nodes"]
    elif "value" in said:
        fields.append(f"data {decimals(said['value'])}")
    else:
        fields.append(" ".join(said[key] for key in ("shape", "dtype") if key in said) or said["name"])
        if "norm" in said:  # graphs read from elsewhere may not know the numbers
            fields.append(f"‖data‖ {short(said['norm'])}")
    gradient = said.get("gradient") if flow is None else flow.gradients.get(node)
    if gradient is not None and not said.get("grad_norm"):  # the .grad of a Value is 0 before any reverse pass
        fields.append(f"‖grad‖ {short(gradient)}")
    elif "grad" in said:
        fields.append(f"grad {decimals(said['grad'])}")
    elif "grad_norm" in said:
        fields.append(f"‖grad‖ {short(said['grad_norm'])}")
    return fields


def messages(graph: nx.MultiDiGraph, flow: Flow | None) -> dict[tuple[str, int], float]:
    """The norm of the message along each edge (consumer, k): the flow's, or what the graph itself says (`viz.fold`)."""
    if flow is not None:
        return {(v, k): flow.messages[v, k] for _, v, k in graph.edges(keys=True) if (v, k) in flow.messages}
    return {(v, k): said["message"] for _, v, k, said in graph.edges(keys=True, data=True) if "message" in said}


@dataclass
class Sheet:
    """A graph, arranged. What stands in a field may change, the width of the field does not.

    Attributes:
        graph: the graph model.
        widest: for each node, each field at its widest.
        theme: sizes and colours.
        rankdir: ``LR`` or ``TB``.
        head: the room kept free above the graph, in pixels.
    """

    graph: nx.MultiDiGraph
    widest: Mapping[str, Sequence[str]]
    theme: Theme = DEFAULT
    rankdir: str = "LR"
    gap: float = 18.0
    head: float = 0.0
    places: Arrangement = field(init=False)

    def __post_init__(self) -> None:
        glyphs: nx.MultiDiGraph = nx.MultiDiGraph()
        sizes = {}
        for node, said in self.graph.nodes(data=True):
            sizes[node, "is"] = sum(self.columns(node)), HEIGHT
            if "op" in said:
                sizes[node, "op"] = max(HEIGHT, text_width(sign(said), self.theme.small) + 14), HEIGHT
        glyphs.add_nodes_from(sizes)
        glyphs.add_edges_from(((node, "op"), (node, "is"), RESULT) for node, part in sizes if part == "op")
        glyphs.add_edges_from(((u, "is"), self.reader(v), k) for u, v, k in self.graph.edges(keys=True))
        self.places = arrange(glyphs, sizes, rankdir=self.rankdir, gap=self.gap)

    def reader(self, node: str) -> tuple[str, str]:
        """What an edge into a node leads to: its operation; a folded node has none."""
        return node, "op" if "op" in self.graph.nodes[node] else "is"

    def columns(self, node: str) -> list[float]:
        """The width of each field."""
        return [text_width(shorten(words, LONGEST), self.theme.small) + 2 * PAD for words in self.widest[node]]

    def box(self, node: str, part: str = "is") -> Place:
        """Where a record (``is``) or an operation (``op``) stands."""
        box, margin = self.places.boxes[node, part], self.theme.margin
        return Place(box.x + margin, box.y + margin + self.head, box.w, box.h)

    def route(self, u: str, v: str, k: int) -> Route:
        """The way of the edge from an input to the operation that reads it."""
        margin = self.theme.margin
        return self.places.routes[(u, "is"), self.reader(v), k].shifted(margin, margin + self.head)

    def record(self, node: str, fields: Sequence[str], *, lit: bool = False) -> str:
        """The fields of a number beside each other; dashed for a constant; pointed at, its whole name."""
        said, box, theme = self.graph.nodes[node], self.box(node), self.theme
        colour = theme.colour(said.get("symbol"), said.get("role")) or theme.ink
        words = [str(said[key]) for key in ("symbol", "role", "op") if key in said]
        behind = [element("rect", x=box.left + 4, y=box.top + 4, width=box.w, height=box.h, rx=3, stroke=colour,
                          fill=theme.tile, stroke_width=1.4)] if said.get("times", 1) > 1 else []
        parts = [title("\n".join([node, *words, *fields])), *behind,
                 element("rect", x=box.left, y=box.top, width=box.w, height=box.h, rx=3,
                         stroke=theme.now if lit else colour,
                         fill=mixed(theme.paper, theme.now, TINT) if lit else theme.paper,
                         stroke_width=2.4 if lit else 1.4,
                         stroke_dasharray="4 3" if said["kind"] == "constant" else None)]
        x = box.left
        for width, words_ in zip(self.columns(node), fields, strict=False):
            if x > box.left:
                parts.append(element("path", d=f"M{x:.1f},{box.top:.1f}v{box.h:.1f}", stroke=colour, stroke_width=0.7))
            parts.append(text(x + width / 2, box.y + 4, shorten(words_, LONGEST), font_size=f"{theme.small:g}"))
            x += width
        return element("g", "".join(parts))

    def operation(self, node: str, *, head: bool = True) -> str:
        """The circle of an operation (an oval, where its sign is long), and the line to its result, with an arrowhead
        or without.
        """
        said, box, theme = self.graph.nodes[node], self.box(node, "op"), self.theme
        way = self.places.routes[(node, "op"), (node, "is"), RESULT].shifted(theme.margin, theme.margin + self.head)
        paint = {"stroke": theme.wire, "stroke_width": 1.4}
        return (element("path", d=path(way), fill="none", **paint)
                + (arrowhead(way.end, heading(way), 8, fill=theme.wire) if head else "")
                + element("g", title(f"{said['op']} {said.get('params', '')}".strip())
                          + element("rect", x=box.left, y=box.top, width=box.w, height=box.h, rx=box.h / 2,
                                    fill=theme.tile, **paint)
                          + text(box.x, box.y + 4, shorten(sign(said), LONGEST), font_size=f"{theme.small:g}")))

    def wire(self, u: str, v: str, k: int, *, stroke: str | None = None, width: float = 1.3, dashed: str | None = None,
             note: str = "", casing: bool = False, head: Head = "forwards") -> str:
        """The line from an input to the operation that reads it. The arrowhead says what flows: the value forwards, or
        the message back.
        """
        way = self.route(u, v, k)
        stroke = stroke or self.theme.wire
        line = {"d": path(way), "fill": "none"}
        under = element("path", stroke=self.theme.ink, stroke_width=width + 1.4, **line) if casing else ""
        edge = {"stroke": self.theme.ink, "stroke_width": 0.7} if casing else {}
        tip = "" if head is None else arrowhead(way.end if head == "forwards" else way.start, heading(way, head),
                                                7 + width, fill=stroke, **edge)
        return element("g", (title(note) if note else "") + under
                       + element("path", stroke=stroke, stroke_width=width, stroke_dasharray=dashed, **line) + tip)

    def number(self, u: str, v: str, k: int, words: str, *, bold: bool = False, at: float = 0.5) -> str:
        """A few words half-way along an edge, or elsewhere, on a piece of paper of their own."""
        (x, y), size = along(self.route(u, v, k), at), self.theme.small - 1
        width = text_width(words, size) + 4
        return (element("rect", x=x - width / 2, y=y - size / 2 - 3, width=width, height=size + 4, rx=2,
                        fill=self.theme.paper, fill_opacity="0.88")
                + text(x, y + size / 2 - 2, words, font_size=f"{size:g}", font_weight="bold" if bold else None))

    def finished(self, body: str, name: str, *, foot: float = 0.0, least: float = 0.0) -> Drawing:
        """The whole picture."""
        width = max(self.places.width + 2 * self.theme.margin, least)
        height = self.places.height + 2 * self.theme.margin + self.head + foot
        note = f"<!-- {str(self.places).replace('--', '- -')} -->"
        return replace(document(note + body, width, height, self.theme, name), laid_out_by=self.places.by)


def edges(said: Mapping[str, Any]) -> str:
    """How many edges of the traced graph a line stands for, if it is more than one."""
    return f"{said['count']} edges" if said.get("count", 1) > 1 else ""


def sign(said: Mapping[str, Any]) -> str:
    """How the operation is written in a circle: what `viz.draw_unrolled` writes too."""
    return {"*": "×", "-": "−", "/": "÷"}.get(said["sign"], said["sign"])


def heading(way: Route, head: Head = "forwards") -> Point:
    """The way a route points where it ends; or, read backwards, where it starts."""
    points = list(way.points())
    if head == "back":
        points.reverse()
    end = points[-1]
    before = next((p for p in reversed(points) if abs(p[0] - end[0]) + abs(p[1] - end[1]) > 1), points[0])
    return end[0] - before[0], end[1] - before[1]


def along(way: Route, share: float) -> Point:
    """The point that lies so far along a way."""
    points = list(way.points())
    steps = [((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5 for a, b in pairwise(points)]
    left = share * sum(steps)
    for a, b, step in zip(points, points[1:], steps, strict=False):
        if left <= step and step > 0:
            return a[0] + left / step * (b[0] - a[0]), a[1] + left / step * (b[1] - a[1])
        left -= step
    return way.end


def picture(graph: nx.MultiDiGraph, flow: Flow | None, rankdir: str, theme: Theme) -> Drawing:
    """The whole graph; with a flow, the norm of the message on every edge, and all arrows point the way it flowed."""
    fields = {node: fields_of(node, said, flow) for node, said in graph.nodes(data=True)}
    sent = messages(graph, flow)
    words = ("Number, width and colour of an arrow: the Euclidean norm of the message that flowed back along it."
             if sent else "")
    counted = any(said.get("count", 1) > 1 for _, _, said in graph.edges(data=True))
    if sent and counted:
        words += " Of several edges as one: the root of the sum of their squared norms."
    sheet = Sheet(graph, fields, theme, rankdir, gap=34.0 if sent or counted else 18.0)
    scale = Scale.of(sent.values())
    wires, numbers = [], []
    for u, v, k, said in graph.edges(keys=True, data=True):
        size, count = sent.get((v, k)), said.get("count", 1)
        note = f"from {u} to {graph.nodes[v].get('op', v)}, its input {k + 1}"
        note += f", {edges(said)}" if count > 1 else ""
        if size is None:
            wires.append(sheet.wire(u, v, k, note=note, head=None if sent else "forwards"))
            numbers += [sheet.number(u, v, k, edges(said), at=0.35)] if count > 1 else []
            continue
        numbers.append(sheet.number(u, v, k, short(size)))
        note += f": {size:.6g}"
        if size == 0:
            wires.append(sheet.wire(u, v, k, note=note, stroke=theme.nothing, width=1.6, dashed="1.5 3.5", head=None))
        elif not size < float("inf"):
            wires.append(sheet.wire(u, v, k, note=note, stroke=theme.alarm, width=6.0, head="back"))
        else:
            place = scale.place(size)
            wires.append(sheet.wire(u, v, k, note=note, stroke=theme.magnitude(place), width=scale.width(size),
                                    casing=contrast(theme.magnitude(place), theme.paper) < 3, head="back"))
    body = "".join([*wires, *(sheet.operation(v, head=not sent) for v in graph if "op" in graph.nodes[v]),
                    *(sheet.record(node, fields[node]) for node in graph), *numbers])
    least, foot = (text_width(words, theme.small) + 2 * theme.margin, 20.0) if words else (0.0, 0.0)
    if words:
        y = sheet.places.height + 2 * theme.margin + 6
        body += text(theme.margin, y, words, anchor="start", font_size=f"{theme.small:g}", fill=theme.faint)
    root = graph.nodes[graph.graph["root"]] if graph.graph.get("root") in graph else {}
    return sheet.finished(body, f"the graph of {root.get('symbol', root.get('name', 'a computation'))}", foot=foot,
                          least=least)
