"""One cell: the textbook picture of one step, made from the graph that the step left.

States come in from the left and go out to the right: a carried state along the top, as a straight line, the others
along the bottom. The input comes from below, the output also leaves upwards. Under the picture stand the equations
(`viz.equations`) and a key with what is in the picture and nothing else (`viz.graph.cell_key`). All three are read
from the graph, so a cell that somebody just wrote has them too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from viz.flow.messages import Flow, gradient_flow
from viz.graph.cell_key import cell_key
from viz.graph.cell_parts import CellParts, cell_parts
from viz.graph.cells import Glyph, Wire
from viz.graph.equations import Block
from viz.graph.probe import Probe, probe
from viz.graph.steps import Edge
from viz.layout.cell import lay_out
from viz.layout.geometry import Point, Route
from viz.numbers import short
from viz.pictures.formula_old import formula, formula_width
from viz.pictures.glyphs_old import paint_glyph
from viz.pictures.legend_old import wedge
from viz.pictures.wires_old import FORWARDS, Look, look, paint_wire, strength
from viz.render.drawing import Drawing
from viz.render.markup import document, element, heading, path, text, title
from viz.scale import Scale
from viz.theme import DEFAULT, Theme, mixed, need_theme


def draw_cell(
    cell: Callable[[Any, Any], Any],
    x: Any = None,
    *,
    state: Any = None,
    flow: Any = False,
    rng: int = 0,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme = DEFAULT,
) -> Drawing:
    """Draw one cell: its parts, its equations, and what each part is for.

    The cell is run for two steps on small random numbers; the second one is drawn.

    Args:
        cell: a cell of `nn`, a `Module`, or any function ``(x, state) -> state``.
        x: an example of its input, where the cell has no length ``D``: an array (B, D), or a list of numbers.
        state: an example of its first state, where it has no ``initial_state``.
        flow: True draws the gradient that flows back through the cell when it is 1 at every entry of the output; an
            array (or one for each part of the state) is the gradient to start from.
        rng: a seed for the random numbers.
        name: the title.
        scale: of the gradient: norms to widths and colours.
        theme: sizes and colours.

    Raises:
        ValueError: if an example is needed, or this is no recurrent cell.

    >>> from microgradrnn import nn
    >>> picture = draw_cell(nn.GRUCell(3, 4, rng=0))
    >>> "update gate" in picture.svg
    True
    """
    need_theme(theme)
    step = probe(cell, x, state, seed=None if flow is True or flow is False else flow, rng=rng)
    shown = None if flow is False else gradient_flow(step.whole)
    shape = "×".join(map(str, np.shape(step.after[0].data)))
    entering = (f"1 enters at every entry of {step.symbols[0]}_t{f' ({shape})' * bool(shape)}" if flow is True
                else "as given, at the states")
    return _Painter(cell_parts(step), shown, name or type_name(cell, step), entering, scale, theme).paint()


def type_name(cell: Any, step: Probe) -> str:
    """The title: the class of a cell, the name of a function."""
    return step.name if hasattr(cell, "__name__") else type(cell).__name__


def message(parts: CellParts, flow: Flow, wire: Wire) -> float | None:
    """The norm of what flowed back along a wire."""
    return flow.messages.get(Edge(parts.ids[wire.edge[0]], wire.edge[1]))


def from_outside(parts: CellParts, flow: Flow, state: str) -> float | None:
    """The norm of the gradient that comes to a state from outside the cell."""
    inside = set(parts.ids.values())
    edges = [Edge(v, k) for _, v, k in parts.graph.out_edges(parts.ids[state], keys=True) if v not in inside]
    return next((flow.messages[edge] for edge in edges if edge in flow.messages), None)


# ------------------------------------------------------------------------------------------------ painting
@dataclass
class Stroke:
    """One wire on the canvas: its way, what flows along it (None: structure only), and what it is."""

    route: Route
    norm: float | None
    words: str


class _Painter:
    """Paints a cell. Everything is in the coordinates of the canvas."""

    def __init__(self, parts: CellParts, flow: Flow | None, name: str, entering: str, scale: Scale | None,
                 theme: Theme) -> None:
        self.parts, self.flow, self.name, self.entering, self.theme = parts, flow, name, entering, theme
        self.size = theme.size
        self.tile = lay_out(parts.cell, theme, [] if flow else [
            name for name in parts.cell.glyphs if self.reads_both(name)])
        self.lines = parts.equations.lines
        self.key_lines = list(self.key())
        below = max(self.equations_width() + 40 + self.key_width(), 420.0)
        title_width = heading(theme.margin, 28, name, 17)[1]
        self.width = max(self.tile.width + 2 * 118, below, title_width) + 2 * theme.margin
        self.x0 = (self.width - self.tile.width) / 2
        self.y0 = 84.0
        inputs = [box for n, box in self.tile.boxes.items() if parts.cell.glyphs[n].shape == "input"]
        self.frame = min([box.top - 7 for box in inputs], default=self.tile.height)  # inputs stand below the frame
        strokes = list(self.strokes())
        self.scale = scale or Scale.of(s.norm for s in strokes if s.norm is not None)
        self.all_strokes = strokes

    @property
    def flowing(self) -> bool:
        return self.flow is not None

    def paint(self) -> Drawing:
        """The whole picture."""
        theme, tile = self.theme, self.tile
        parts = [heading(theme.margin, 28, self.name, 17)[0]]
        parts.append(element("rect", x=self.x0, y=self.y0, width=tile.width, height=self.frame, rx=12, fill=theme.tile,
                             stroke=theme.rim))
        parts += [markup for _, markup in sorted(map(self.stroke, self.all_strokes), key=lambda found: found[0])]
        parts += [element("circle", cx=x, cy=y, r=3.2, fill=theme.wire) for x, y in self.forks()]
        parts += [self.glyph(glyph) for glyph in self.parts.cell.glyphs.values()]
        parts += self.labels()
        bottom = self.y0 + max([self.frame, *(box.bottom for box in tile.boxes.values())])
        y = bottom + (52 if self.flowing else 40)
        markup, height = self.below(y)
        parts.append(markup)
        y += height
        width = self.width
        if self.flowing:
            markup, height, wide = self.legend()
            parts.append(element("g", markup, transform=f"translate({theme.margin:g},{y + 6:g})"))
            y, width = y + 6 + height, max(width, wide + 2 * theme.margin)
        return document("".join(parts), width, y + theme.margin, theme, self.name)

    # -- glyphs
    def glyph(self, glyph: Glyph) -> str:
        box = self.tile.boxes[glyph.name]
        box = replace(box, x=box.x + self.x0, y=box.y + self.y0)
        note = title(self.parts.cell.words.get(glyph.name, glyph.label))
        if "_" not in glyph.label + (glyph.symbol or ""):
            return element("g", note + paint_glyph(glyph, box, self.theme))
        bare = paint_glyph(replace(glyph, label="", symbol=None), box, self.theme)  # the frame, its words follow
        if glyph.shape == "input":
            bare = element("rect", x=box.left, y=box.top, width=box.w, height=box.h, rx=box.h / 2,
                           fill=self.theme.paper, stroke=self.theme.colour(None, "input"), stroke_width=1.4)
        between = " = " if " " in glyph.label else " "
        named = f"{glyph.symbol}{between}" if glyph.symbol and glyph.shape == "box" else ""
        return element("g", note + bare + formula(box.x, box.y + 4.5, named + glyph.label, size=self.size,
                                                  anchor="middle"))

    # -- wires
    def strokes(self) -> Iterable[Stroke]:
        """Every wire: inside, from the left, to the right, and up."""
        tile, drawn, at = self.tile, self.parts.cell, (self.x0, self.y0)
        words = drawn.words
        for wire in drawn.wires:
            said = f"from {words.get(wire.source, wire.source)} to {words.get(wire.target, wire.target)}"
            if wire.recurrent:
                entry = tile.entries[wire.edge].shifted(*at)
                way = Route((self.x0 - 50, entry.start[1]), [(entry.start,), *entry.pieces])
                said = f"from {drawn.symbols.get(wire.source, wire.source)} of the step before" + said[
                    said.index(" to "):]
            else:
                way = tile.routes[wire.edge].shifted(*at)
            yield Stroke(way, message(self.parts, self.flow, wire) if self.flow else None, said)
        for state in drawn.states:
            way = tile.exits[state].shifted(*at)
            right = replace(way, pieces=[*way.pieces]).line(self.x0 + tile.width + 52, way.end[1])
            symbol = drawn.symbols.get(state, state)
            norm = from_outside(self.parts, self.flow, state) if self.flow else None
            if state != self.parts.output:
                yield Stroke(right, norm, f"{symbol} to the next step")
                continue
            yield Stroke(right, None, f"{symbol} to the next step")
            x = self.x0 + tile.width + 26  # a copy, out of the top
            up = replace(way, pieces=[*way.pieces]).line(x - 9, way.end[1])
            yield Stroke(up.corner(x, self.y0 - 22, 9, level_first=True), norm, f"{symbol} to what reads the output")

    def stroke(self, stroke: Stroke) -> tuple[int, str]:
        """How strong a wire is, and its markup."""
        route, bridge = stroke.route, ""
        note = title(stroke.words if stroke.norm is None else f"{stroke.words}: {stroke.norm:.4g}")
        if self.is_up(route):  # a bridge over what it crosses
            top = route.pieces[-1][-1]
            turn = route.pieces[-2][-1] if len(route.pieces) > 1 else route.start
            bridge = element("path", d=path(Route(turn).line(*top)), fill="none", stroke=self.theme.paper,
                             stroke_width=9.0)
        how = self.look(stroke)
        return strength(how), element("g", note + bridge + paint_wire(route, how, self.theme))

    def look(self, stroke: Stroke) -> Look:
        """As structure, with an arrow forwards; or as what flowed back along it, with an arrow backwards."""
        return look(stroke.norm, self.scale) if self.flowing else FORWARDS

    def is_up(self, route: Route) -> bool:
        """Is it the copy of the output that leaves through the top?"""
        return route.end[1] < self.y0 - 10

    def forks(self) -> Iterable[Point]:
        """Where one wire becomes two: the ways that begin at the same place, and the point where they part."""
        if self.flowing:
            return
        begin: dict[Point, list[Route]] = defaultdict(list)
        for stroke in self.all_strokes:
            begin[stroke.route.start].append(stroke.route)
        found = {parting(a, b) for routes in begin.values() for a, b in combinations(routes, 2)}
        yield from sorted(point for point in found if point is not None)

    # -- names
    def labels(self) -> list[str]:
        """What comes in and goes out, by name; with a flow, the norm of the gradient there."""
        drawn, tile, parts = self.parts.cell, self.tile, []
        flow = self.flow
        for source in dict.fromkeys(wire.source for wire in drawn.wires if wire.recurrent):
            y = next(tile.entries[w.edge].start[1] for w in drawn.wires if w.recurrent and w.source == source)
            symbol = drawn.symbols.get(source, source)
            parts.append(self.label(self.x0 - 58, self.y0 + y, f"{symbol}_{{t-1}}", "end",
                                    flow.gradients.get(self.parts.before.get(source, "")) if flow else None))
        for state in drawn.states:
            symbol = drawn.symbols.get(state, state)
            y = self.y0 + tile.exits[state].end[1]
            size = flow.gradients.get(self.parts.ids[state]) if flow else None
            parts.append(self.label(self.x0 + tile.width + 60, y, f"{symbol}_t", "start", size))
            if state == self.parts.output:
                parts.append(formula(self.x0 + tile.width + 26, self.y0 - 30, f"{symbol}_t", size=self.size + 2,
                                     anchor="middle", font_style="italic"))
        for glyph in drawn.glyphs.values():
            if flow is not None and glyph.shape == "input" and self.parts.ids.get(glyph.name) in flow.gradients:
                box = tile.boxes[glyph.name]
                parts.append(text(self.x0 + box.x, self.y0 + box.bottom + 14,
                                  short(flow.gradients[self.parts.ids[glyph.name]]), font_size="11"))
        return parts

    def label(self, x: float, y: float, words: str, anchor: str, norm: float | None) -> str:
        """A name beside a wire, and a norm under it."""
        name = formula(x, y + 5, words, size=self.size + 2, anchor=anchor, font_style="italic")
        if norm is None:
            return name
        return name + text(x, y + 21, short(norm), anchor=anchor, font_size="11")

    # -- below the picture: equations and key
    def equations_width(self) -> float:
        """How wide the equations are."""
        left = max(formula_width(line.left, self.size) for line in self.lines)
        return left + 22 + max(max(formula_width(line.right, self.size) for line in self.lines), 120)

    def below(self, y: float) -> tuple[str, float]:
        """Equations on the left, the key on the right."""
        theme, parts, row = self.theme, [], 23.0
        x = theme.margin
        parts.append(text(x, y, "what it computes", anchor="start", font_size="12", font_weight="bold",
                          fill=theme.faint))
        left = max(formula_width(line.left, self.size) for line in self.lines)
        for j, line in enumerate(self.lines):
            at = y + 26 + j * row
            parts.append(formula(x + left, at, line.left, size=self.size, anchor="end", font_weight="bold"))
            parts.append(formula(x + left + 5, at, f"= {line.right}", size=self.size))
        height = 26 + len(self.lines) * row
        x += self.equations_width() + 40
        parts.append(text(x, y, "what is what", anchor="start", font_size="12", font_weight="bold", fill=theme.faint))
        for j, (chip, words) in enumerate(self.key_lines):
            at = y + 26 + j * row
            parts.append(self.chip(chip, x, at))
            parts.append(formula(x + self.chip_width + 8, at, words, size=12.0))
        return "".join(parts), max(height, 26 + len(self.key_lines) * row)

    def key_width(self) -> float:
        """How wide the key is."""
        return self.chip_width + 8 + max(formula_width(words, 12.0) for _, words in self.key_lines)

    @property
    def chip_width(self) -> float:
        """How wide the small glyphs of the key are: as the widest name on one."""
        return max([28.0, *(formula_width(chip[3], 12.0) + 8 for chip, _ in self.key_lines)])

    def chip(self, chip: tuple[str, str | None, str | None, str], x: float, y: float) -> str:
        """A small glyph: shape, symbol, role, and what is written on it."""
        shape, symbol, role, words = chip
        theme, colour, width = self.theme, self.theme.colour(symbol, role), self.chip_width
        middle = x + width / 2
        if shape == "dot":
            return element("circle", cx=middle, cy=y - 4.5, r=3.2, fill=theme.wire)
        if shape == "none":
            return ""
        if shape == "circle":
            out = element("circle", cx=middle, cy=y - 4.5, r=9.5, fill=theme.paper, stroke=colour or theme.ink,
                          stroke_width=1.8 if colour else 1.1)
        else:
            rounded = 9.5 if shape == "input" else 4
            out = element("rect", x=x, y=y - 14, width=width, height=19, rx=rounded,
                          fill=mixed(theme.paper, colour, 0.22) if colour and shape == "box" else theme.paper,
                          stroke=colour or theme.ink, stroke_width=1.8 if colour else 1.1)
        return out + formula(middle, y, words, size=12.0, anchor="middle",
                             font_weight="bold" if colour and shape != "input" else None)

    def key(self) -> Iterable[tuple[tuple[str, str | None, str | None, str], str]]:
        """What is in the picture: chips, and words."""
        said, drawn = cell_key(self.parts.equations), self.parts.cell
        nodes = self.parts.nodes
        shapes = {nodes[name]: glyph.shape for name, glyph in drawn.glyphs.items()}
        for line in self.lines:
            if line.symbol in said:
                role = line.role if line.role in self.theme.roles else None
                yield (shapes.get(line.node, "box"), line.symbol, role, line.symbol), said[line.symbol]
        for node in self.parts.equations.probe.inputs:
            if node in nodes.values():
                yield ("input", None, "input", str(node.symbol)), "input of this step"
        labels = [glyph.label for glyph in drawn.glyphs.values()]
        if "σ" in labels:
            yield ("box", None, None, "σ"), "logistic function: from 0 (shut) to 1 (open)"
        circles = {"×": "product", "+": "sum", "−": "difference", "÷": "quotient"}
        used = [sign for sign in circles if any(g.shape == "circle" and g.label == sign for g in drawn.glyphs.values())]
        if used:
            yield ("circle", None, None, used[0]), "entry by entry: " + ", ".join(f"{s} {circles[s]}" for s in used)
        if any(self.fans_out(name) for name in drawn.glyphs):
            yield ("none", None, None, ""), "a box that fans out: one product for several parts, each has its columns"
        if both := next(filter(None, map(self.reads_both, drawn.glyphs)), None):
            yield ("none", None, None, ""), f"wires that meet at a box are read side by side, as [{', '.join(both)}]"
        if not self.flowing:
            yield ("dot", None, None, ""), "a copy: the same goes along both wires"
        if self.parts.equations.weights:
            yield ("none", None, None, ""), self.weights_line()
        for start, stop, names in self.unread():
            yield ("none", None, None, ""), f"columns {start + 1} to {stop} of {names}: nothing here depends on them"

    def fans_out(self, name: str) -> bool:
        """Is it a box of which several others read columns, each its own?"""
        nodes, glyphs = self.parts.nodes, self.parts.cell.glyphs
        targets = [w.target for w in self.parts.cell.wires if w.source == name and not w.recurrent]
        return glyphs[name].shape == "box" and sum(
            not any(u is nodes[name] for u in nodes[target].inputs) for target in targets) > 1

    def reads_both(self, name: str) -> list[str]:
        """What a weighted sum of one state and one input reads; of anything else, nothing."""
        drawn = self.parts.cell
        into = [w for w in drawn.wires if w.target == name]
        states = [drawn.symbols.get(w.source, w.source) for w in into if w.recurrent]
        inputs = [drawn.glyphs[w.source].label for w in into
                  if not w.recurrent and drawn.glyphs[w.source].shape == "input"]
        alone = len(into) == 2 and len(states) == len(inputs) == 1
        return [*states, *inputs] if alone and _is_sum(drawn.glyphs[name]) else []

    def weights_line(self) -> str:
        """The weights and their shapes."""
        names: dict[str, Block] = {}
        weights = self.parts.equations.weights
        for name, block in sorted(weights.items(), key=lambda item: item[1].leaf.serial):
            whole = name if block.cut is None else name.split("_")[0]
            names.setdefault(whole, block)
        words = []
        for name, block in names.items():
            shape = "×".join(map(str, getattr(block.leaf.data, "shape", ())))
            words.append(f"{name} ({shape})" if shape else name)
        if len(words) > 6:
            words = [*words[:5], f"and {len(words) - 5} more"]
        kind = "weights: the same at every step"
        return f"{', '.join(words)}: {kind}"

    def unread(self) -> list[tuple[int, int, str]]:
        """Columns that nothing reads, by range."""
        found: dict[tuple[int, int], list[str]] = defaultdict(list)
        for name, start, stop in self.parts.equations.unread:
            found[start, stop].append(name)
        return [(start, stop, ", ".join(sorted(names))) for (start, stop), names in found.items()]

    def legend(self) -> tuple[str, float, float]:
        """The scale of the flow; its height and width."""
        what = f"gradient sent back along each wire (Euclidean norm, log scale): {self.entering}"
        return wedge(self.scale, what, {self.look(stroke) for stroke in self.all_strokes},
                     ["Beside a name: the norm of the whole gradient there, over the whole batch."], self.theme)


def parting(a: Route, b: Route) -> Point | None:
    """Where two ways part that begin as one; None if they part at once, or are the same.

    >>> parting(Route((0, 0)).line(5, 0), Route((0, 0)).line(3, 0).line(3, 9))
    (3, 0)
    """
    here = a.start
    for p, q in zip(a.pieces, b.pieces, strict=False):
        if p != q:
            straight = len(p) == len(q) == 1 and (p[0][1] == q[0][1] == here[1] or p[0][0] == q[0][0] == here[0])
            if straight:
                here = min(p[0], q[0], key=lambda end: abs(end[0] - here[0]) + abs(end[1] - here[1]))
            return here if here != a.start else None
        here = p[-1]
    return None


def _is_sum(glyph: Glyph) -> bool:
    return glyph.shape == "box" and ("+ " in glyph.label or "[" in glyph.label or glyph.label == "weighted sum")
