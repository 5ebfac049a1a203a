"""One cell: the textbook picture of one step, made from the graph that the step left.

States come in from the left and go out to the right: a carried state along the top, as a straight line, the others
along the bottom. The input comes from below, the output also leaves upwards. Under the picture stand the equations
(`viz.equations`) and a key with what is in the picture and nothing else (`viz.graph.cell_key`). All three are read
from the graph, so a cell that somebody just wrote has them too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, cast

import numpy as np

from viz.flow.finding import capital, kept, name_of
from viz.flow.messages import Flow, gradient_flow
from viz.graph.cell_key import cell_key
from viz.graph.cell_parts import CellParts, cell_parts
from viz.graph.cells import UNNAMED, Glyph, Wire
from viz.graph.equations import Block
from viz.graph.probe import Probe, probe
from viz.graph.root import TorchTensor, is_torch, root_of
from viz.graph.steps import Edge
from viz.graph.torch.cell import probe_of
from viz.graph.trace import trace
from viz.layout.cell import Tile, lay_out
from viz.layout.geometry import Place, Point, Route
from viz.numbers import short
from viz.pictures.legend import measured
from viz.render.drawing import Drawing
from viz.scale import Scale, need_scale
from viz.scene.chart import SMALL, column, heading, legend
from viz.scene.chart import Block as Part
from viz.scene.formula import formula, formula_width, wrapped_formula
from viz.scene.glyphs import badge, glyph_items, highway
from viz.scene.items import Box, Extent, Group, Item, Key, Scene, Text, circle, overlap
from viz.scene.items import Wire as Line
from viz.scene.wires import FORWARDS, Look, look, strand, strength
from viz.theme import Theme, compact, need_theme
from viz.typography import text_width

ROW, GAP = 23.0, 40.0  # the height of a line below the picture; between equations and key
SUM = "Σ"  # a weighted sum, where the page is narrow
SIGNS = {"×": "product", "+": "sum", "−": "difference", "÷": "quotient"}
HOW = "One step: states come in on the left and leave on the right; the input comes from below."


def draw_cell(
    cell: Callable[[Any, Any], Any] | Probe | TorchTensor,
    x: Any = None,
    *,
    state: Any = None,
    flow: Any = False,
    rng: int = 0,
    name: str | None = None,
    scale: Scale | None = None,
    theme: Theme | str | None = None,
) -> Drawing:
    """Draw one cell: its parts, its equations, and what each part is for.

    The cell is run for two steps on small random numbers; the second one is drawn. The title says how the state gets
    from one step to the next.

    Args:
        cell: a cell of `nn`, a `Module`, or any function ``(x, state) -> state``; or the two steps that `equations`
            ran, its ``probe``; or a loss of PyTorch, of which the last layer's cell is drawn, with its own numbers.
        x: an example of its input, where the cell has no length ``D``: an array (B, D), or a list of numbers.
        state: an example of its first state, where it has no ``initial_state``.
        flow: True draws the gradient that flows back through the cell when it is 1 at every entry of the output; an
            array (or one for each part of the state) is the gradient to start from.
        rng: a seed for the random numbers.
        name: what the cell is called; by default its class, or the name of the function.
        scale: of the gradient: norms to widths and colours; by default the decades of the norms that are drawn, as
            multiples of that at the output.
        theme: sizes and colours: a `Theme`, its name, or by default the one that `set_theme` chose.

    Raises:
        ValueError: if an example is needed, or this is no recurrent cell.

    >>> from microgradrnn import nn
    >>> picture = draw_cell(nn.GRUCell(3, 4, rng=0))
    >>> picture.scene.title
    'GRUCell multiplies its state h by z and adds to it: no matrix is on the way'
    """
    theme = need_theme(theme)
    need_scale("draw_cell", scale)
    seed = None if flow is True or flow is False else flow
    if is_torch(cell):
        loss = root_of("draw_cell", cell)
        cell = probe_of(loss, seed, name_of(trace(loss)))
    step = cell if isinstance(cell, Probe) else probe(cast(Any, cell), x, state, seed=seed, rng=rng)
    shown = None if flow is False else gradient_flow(step.whole)
    shape = "×".join(map(str, np.shape(step.after[0].data)))
    entering = (f"1 enters at every entry of the output {step.symbols[0]}{f' ({shape})' * bool(shape)}" if flow is True
                else "it enters as given, at the states")
    return Drawing.of(_Painter(cell_parts(step), shown, name or type_name(cell, step), entering, scale, theme).scene())


def type_name(cell: Any, step: Probe) -> str:
    """What a cell is called: its class, the name of a function."""
    return step.name if isinstance(cell, Probe) or hasattr(cell, "__name__") else type(cell).__name__


def message(parts: CellParts, flow: Flow, wire: Wire) -> float | None:
    """The norm of what flowed back along a wire."""
    return flow.messages.get(Edge(parts.ids[wire.edge[0]], wire.edge[1]))


def from_outside(parts: CellParts, flow: Flow, state: str) -> float | None:
    """The norm of the gradient that comes to a state from outside the cell."""
    inside = set(parts.ids.values())
    edges = [Edge(v, k) for _, v, k in parts.graph.out_edges(parts.ids[state], keys=True) if v not in inside]
    return next((flow.messages[edge] for edge in edges if edge in flow.messages), None)


# ------------------------------------------------------------------------------------------------ the finding
def structure_of(parts: CellParts, name: str) -> str:
    """How the state gets from one step to the next, in one sentence."""
    cell, line = parts.cell, parts.cell.main_line()
    if not line:
        return f"{name}: what one step computes"
    state = f"its state {cell.symbols.get(line[-1], line[-1])}"
    if cell.carry():
        factor = carried_by(parts, line[-1])
        does = (f"carries {state} on by sums and products entry by entry" if factor is None else
                f"only adds to {state}" if not factor else f"multiplies {state} by {factor} and adds to it")
        return f"{name} {does}: no matrix is on the way"
    ways = list(dict.fromkeys(filter(None, (passed(parts, part) for part in line))))
    through = " and ".join(filter(None, [", ".join(ways[:-1]), *ways[-1:]]))
    return f"{name} sends {state} through {through} at every step"


def carried_by(parts: CellParts, state: str) -> str | None:
    """What a carried state is multiplied by, in its own equation: "" if by nothing, None if that does not say it."""
    found = parts.equations
    line = next((line for line in found.lines if line.node is parts.nodes[state]), None)
    if line is None:
        return None
    past, terms = f"{line.symbol}_{{t-1}}", line.expr.parts if line.expr.kind == "sum" else (line.expr,)
    for term in terms:
        factors = term.parts if term.kind in ("product", "beside") else (term,)
        if any(part.kind == "name" and part.word == past for part in factors):
            rest = " ⊙ ".join(found.text(part) for part in factors if part.word != past)
            return rest if "_" not in rest else None
    return None


def passed(parts: CellParts, name: str) -> str:
    """What a state passes at a box of the main line."""
    node, glyph = parts.nodes[name], parts.cell.glyphs[name]
    if glyph.shape == "circle":
        return ""
    if node.op.name in ("matmul", "affine", "add", "multiply"):
        return "a matrix" if np.ndim(node.data) else "a weight"
    return str(node.op.name)


def finding_of(parts: CellParts, flow: Flow, name: str) -> str:
    """How much of the gradient at a state is left one step back, in one sentence."""
    gradients, states = flow.gradients, [*parts.cell.main_line()[-1:], parts.output, *parts.cell.states]
    there = [state for state in states if state in parts.before]
    if not there:
        return f"{name}: the gradient of one step"
    state = next((state for state in there if gradients.get(parts.ids[state])), there[0])
    symbol = parts.cell.symbols.get(state, state)
    start, end = (gradients.get(ids[state], 0.0) for ids in (parts.ids, parts.before))
    if not math.isfinite(start) or not math.isfinite(end):
        return f"{name}: the gradient at {symbol} is not finite"
    if start == 0:
        return f"{name}: no gradient arrives at {symbol}"
    return capital(f"{name} {kept(end / start)} at {symbol} over one step")


# ------------------------------------------------------------------------------------------------ painting
@dataclass
class Stroke:
    """One wire on the canvas: its way, what flows along it (None: structure only), and what it is."""

    route: Route
    norm: float | None
    words: str
    key: Key


def briefly(parts: CellParts) -> CellParts:
    """The same cell, with Σ in the boxes of weighted sums, for narrow pages: the equations say what they are."""
    glyphs = {name: replace(glyph, label=SUM) if _is_sum(glyph) else glyph for name, glyph in parts.cell.glyphs.items()}
    return replace(parts, cell=replace(parts.cell, glyphs=glyphs))


class _Painter:
    """Paints a cell. The origin is the upper left corner of the cell's own block, names beside it included."""

    def __init__(self, parts: CellParts, flow: Flow | None, name: str, entering: str, scale: Scale | None,
                 theme: Theme) -> None:
        self.parts, self.flow, self.name, self.entering, self.theme = parts, flow, name, entering, theme
        self.room = theme.page - 2 * theme.margin
        closer, rows = compact(theme, 4), [share * self.room for share in (math.inf, 0.6, 0.45, 0.35, 0.25)]
        for self.parts, self.theme, self.narrow, room in (
                (parts, theme, False, math.inf), (parts, compact(theme), True, math.inf),
                *((one, closer, True, room) for one in (parts, briefly(parts)) for room in rows)):
            self.lay(room)
            if self.left + self.tile.width + self.right <= self.room:
                break
        self.size, self.lines = self.theme.size, parts.equations.lines
        self.y0 = 44.0
        inputs = [box for n, box in self.tile.boxes.items() if parts.cell.glyphs[n].shape == "input"]
        self.frame = min([box.top - 7 for box in inputs], default=self.tile.height)  # inputs stand below the frame
        self.strokes = list(self.all_strokes())
        output = parts.ids.get(parts.output or "")
        self.scale = scale or Scale.of((s.norm for s in self.strokes if s.norm is not None),
                                       anchor=flow.gradients.get(output or "") if flow else None)

    def lay(self, room: float) -> None:
        """The cell in rows of so much room, and what its sides take for wires and names; if narrow, above wires."""
        parts, size = self.parts, self.theme.size + 2
        self.tile: Tile = lay_out(parts.cell, self.theme, [] if self.flow else [
            name for name in parts.cell.glyphs if self.reads_both(name)], room)
        names = [parts.cell.symbols.get(state, state) for state in parts.cell.states]
        numbers = [text_width(short(g), SMALL) + 8 for ids in (parts.before, parts.ids) for state in parts.cell.states
                   if self.flow and (g := self.flow.gradients.get(ids.get(state, ""))) is not None]
        before, after = (max([formula_width(name + sub, size) for name in names] + numbers, default=0.0)
                         for sub in ("_{t-1}", "_t"))
        # how far wires begin before the frame, where the output leaves upwards, and how far wires go on
        self.stub, self.up, self.far = (before + 4, 10.0, after + 20) if self.narrow else (50.0, 26.0, 52.0)
        self.left = self.stub + (0.0 if self.narrow else 8 + before)
        self.right = self.far + (0.0 if self.narrow else 8 + after)

    # -- everything
    def scene(self) -> Scene:
        """The whole picture."""
        theme = self.theme
        title = finding_of(self.parts, self.flow, self.name) if self.flow else structure_of(self.parts, self.name)
        cell, below = self.cell(), self.below()
        width = min(self.room, max(cell.width, below.width, 560.0))
        blocks = [heading(title, width, theme, HOW + " The gradient flows the other way." * (self.flow is not None))]
        blocks += [Part([cell.at(max(0.0, (width - cell.width) / 2), 0)], cell.width, cell.height), below]
        if self.flow:
            blocks.append(self.legend(width))
        whole = column(blocks, 18)
        return Scene([whole.at(theme.margin, theme.margin)], max(whole.width, width) + 2 * theme.margin,
                     whole.height + 2 * theme.margin, title, self.summary(), theme)

    def summary(self) -> str:
        """What is drawn, for those who do not see it."""
        words = f"It computes {'; '.join(map(str, self.lines))}."
        if self.flow is None:
            return words
        norms = [f"{text.plain} {short(text.datum)}" for text in self.names() if isinstance(text, Text)
                 and text.datum is not None]
        return f"{words} Norm of the gradient at each name: {', '.join(norms)}."

    def cell(self) -> Part:
        """The cell, its wires, and the names of what comes in and goes out."""
        theme, tile = self.theme, self.tile
        items: list[Item] = [Box(0, 0, tile.width, self.frame, 12, fill=theme.tile, stroke=theme.rim),
                             *highway(tile, theme)]
        items = [Group(items, self.left, self.y0)]
        for _, drawn in sorted(map(self.stroke, self.strokes), key=lambda found: found[0]):
            items += drawn
        items += [circle(x, y, 3.2, fill=theme.wire) for x, y in self.forks()]
        items += [item for name, glyph in self.parts.cell.glyphs.items()
                  for item in glyph_items(glyph, self.place(name), theme, key=("glyph", name),
                                          note=self.parts.cell.words.get(name, glyph.label))]
        names = list(self.names())
        items += names + self.numbers(names)
        bottom = self.y0 + max([self.frame, *(box.bottom for box in tile.boxes.values())]) + 24.0 * bool(self.flow)
        low = max(item.extent[3] for item in names if isinstance(item, Box | Text))
        return Part(items, self.left + tile.width + self.right, max(bottom, low))

    def place(self, name: str) -> Place:
        """Where a glyph stands."""
        box = self.tile.boxes[name]
        return replace(box, x=box.x + self.left, y=box.y + self.y0)

    # -- wires
    def all_strokes(self) -> Iterator[Stroke]:
        """Every wire: inside, from the left, to the right, and up."""
        tile, drawn, at = self.tile, self.parts.cell, (self.left, self.y0)
        edge = self.left + tile.width
        words = drawn.words
        for wire in drawn.wires:
            said = f"from {words.get(wire.source, wire.source)} to {words.get(wire.target, wire.target)}"
            if wire.recurrent:
                entry = tile.entries[wire.edge].shifted(*at)
                way = Route((self.left - self.stub, entry.start[1]), [(entry.start,), *entry.pieces])
                said = f"from {drawn.symbols.get(wire.source, wire.source)} of the step before" + said[
                    said.index(" to "):]
            else:
                way = tile.routes[wire.edge].shifted(*at)
            yield Stroke(way, message(self.parts, self.flow, wire) if self.flow else None, said, ("edge", *wire.edge))
        for state in drawn.states:
            way = tile.exits[state].shifted(*at)
            right = replace(way, pieces=[*way.pieces]).line(edge + self.far, way.end[1])
            symbol = drawn.symbols.get(state, state)
            norm = from_outside(self.parts, self.flow, state) if self.flow else None
            if state != self.parts.output:
                yield Stroke(right, norm, f"{symbol} to the next step", ("exit", state))
                continue
            yield Stroke(right, None, f"{symbol} to the next step", ("exit", state))
            up = replace(way, pieces=[*way.pieces]).line(edge + self.up - 9, way.end[1])  # a copy, out of the top
            yield Stroke(up.corner(edge + self.up, self.y0 - 14, 9, level_first=True), norm,
                         f"{symbol} to what reads the output", ("output", state))

    def stroke(self, stroke: Stroke) -> tuple[int, list[Item]]:
        """How strong a wire is, and how it is drawn."""
        bridge: list[Item] = []
        note = stroke.words if stroke.norm is None else f"{stroke.words}: {stroke.norm:.4g}"
        if stroke.key == ("output", self.parts.output):  # a bridge over what it crosses
            (x, y), low = stroke.route.end, stroke.route.pieces[-2][-1][1]
            bridge = [Line([Route((x, min(low, self.y0 + self.tile.height))).line(x, y)], stroke=self.theme.paper,
                           stroke_width=9.0)]
        how = self.look(stroke)
        return strength(how), [*bridge, *strand(stroke.route, how, self.scale, self.theme, key=stroke.key,
                                                datum=stroke.norm, note=note)]

    def look(self, stroke: Stroke) -> Look:
        """As structure, with an arrow forwards; or as what flowed back along it, with an arrow backwards."""
        return look(stroke.norm, self.scale) if self.flow else FORWARDS

    def forks(self) -> Iterator[Point]:
        """Where one wire becomes two: the ways that begin at the same place, and the point where they part."""
        if self.flow:
            return
        begin: dict[Point, list[Route]] = defaultdict(list)
        for stroke in self.strokes:
            begin[stroke.route.start].append(stroke.route)
        found = {parting(a, b) for routes in begin.values() for a, b in combinations(routes, 2)}
        yield from sorted(point for point in found if point is not None)

    # -- names and numbers
    def names(self) -> Iterator[Item]:
        """What comes in and goes out, by name; with a flow, in a frame, the norm of the whole gradient there."""
        drawn, tile, edge = self.parts.cell, self.tile, self.left + self.tile.width
        for source in dict.fromkeys(wire.source for wire in drawn.wires if wire.recurrent):
            y = next(tile.entries[w.edge].start[1] for w in drawn.wires if w.recurrent and w.source == source)
            x, anchor = (0.0, "start") if self.narrow else (self.left - self.stub - 8, "end")
            yield from self.named(x, self.y0 + y, drawn.symbols.get(source, source) + "_{t-1}", anchor,
                                  self.parts.before.get(source))
        for state in drawn.states:
            symbol = drawn.symbols.get(state, state)
            y = self.y0 + tile.exits[state].end[1]
            x = edge + (self.up + 8 if self.narrow else self.far + 8)
            yield from self.named(x, y, f"{symbol}_t", "start", self.parts.ids[state])
            if state == self.parts.output:
                yield formula(edge + self.up, self.y0 - 22, f"{symbol}_t", self.size + 2, "middle", italic=True)
        for name, glyph in drawn.glyphs.items():
            node = self.parts.ids.get(name, "")
            if self.flow is not None and glyph.shape == "input" and node in self.flow.gradients:
                place = self.place(name)
                yield from badge(place.x, place.bottom + 5, self.flow.gradients[node], self.theme, ("state", node),
                                 f"‖∂L/∂{glyph.label}‖")

    def named(self, x: float, y: float, words: str, anchor: str, node: str | None) -> Iterator[Item]:
        """A name beside a wire, and under it the norm of the gradient."""
        g = self.flow.gradients.get(node or "") if self.flow else None
        yield formula(x, y - 9 if self.narrow else y + 5, words, self.size + 2, anchor, italic=True,
                      key=("name", node), datum=g)
        if g is not None:
            half = (text_width(short(g), SMALL) + 8) / 2
            yield from badge(x + (half if anchor == "start" else -half), y + 11, g, self.theme, ("state", node),
                             f"the norm of the gradient at {words}: {g:.4g}")

    def numbers(self, names: Iterable[Item]) -> list[Item]:
        """The norm of the message on each wire that has room for it, where no other wire runs along."""
        items: list[Item] = []
        taken: list[Extent] = [item.extent for item in names if isinstance(item, Box | Text)]
        for name in self.parts.cell.glyphs:
            box = self.place(name)
            taken.append((box.left - 2, box.top - 2, box.right + 2, box.bottom + 2))
        inked = [[*stroke.route.points(40)] for stroke in self.strokes]

        def free(text: Text, own: int, at: Point) -> bool:
            left, top, right, low = text.extent
            return (left >= self.left - self.stub and not any(overlap(text.extent, other) for other in taken)
                    and not any(left - 1.5 < x < right + 1.5 and top + 1 < y < low - 1 for way in inked for x, y in way)
                    and not any(abs(x - at[0]) + abs(y - at[1]) < 9 for j, way in enumerate(inked) if j != own
                                for x, y in way))

        for j, stroke in enumerate(self.strokes):
            if stroke.norm is None or not 0 < stroke.norm < math.inf:
                continue
            places = beside(stroke.route, short(stroke.norm), Scale.width_at(self.scale.place(stroke.norm)) / 2)
            text = next((text for text, at in places if free(text, j, at)), None)
            if text is not None:
                taken.append(text.extent)
                items.append(replace(text, key=("message", stroke.key), datum=stroke.norm))
        return items

    # -- below the picture: equations and key
    def below(self) -> Part:
        """Equations on the left and the key on the right; below each other where the page is narrow."""
        first, second = self.equations(self.room), self.key(self.room)
        if first.width + GAP + second.width > self.room:
            wide = self.room * 0.45
            first, second = self.equations(wide), self.key(self.room - wide - GAP)
            if self.room < 720:
                return column([self.equations(self.room), self.key(self.room)], 16)
        return Part([first.at(0, 0), second.at(first.width + GAP, 0)], first.width + GAP + second.width,
                    max(first.height, second.height))

    def equations(self, room: float) -> Part:
        """What the cell computes."""
        items: list[Item] = [Text(0, 12, "what it computes", 12, bold=True, fill=self.theme.faint)]
        left = max(formula_width(line.left, self.size, bold=True) for line in self.lines)
        y, width = 12 + ROW, 120.0
        for line in self.lines:
            items.append(formula(left, y, line.left, self.size, "end", bold=True, key=("equation", line.symbol)))
            for j, words in enumerate(wrapped_formula(f"= {line.right}", self.size, room - left - 19)):
                items.append(formula(left + 5 + 14 * bool(j), y, words, self.size))
                width = max(width, left + 19 + formula_width(words, self.size))
                y += ROW - 4 * bool(j)
        return Part(items, width, y - ROW + 6)

    def key(self, room: float) -> Part:
        """What is in the picture and nothing else: a small glyph, and words."""
        lines = list(self.key_lines())
        small = replace(self.theme, size=12)
        chips = max([28.0, *(formula_width(chip.symbol or chip.label, 12.0, bold=True) + 10 for chip, _ in lines
                             if isinstance(chip, Glyph))])
        chips = min(chips, 0.3 * room)
        items: list[Item] = [Text(0, 12, "what is what", 12, bold=True, fill=self.theme.faint)]
        y, width = 12 + ROW, 0.0
        for chip, said in lines:
            items += self.chip(chip, chips, y - 4.5, small)
            for words in wrapped_formula(said, 12.0, room - chips - 8):
                items.append(formula(chips + 8, y, words, 12.0))
                width = max(width, chips + 8 + formula_width(words, 12.0))
                y += 17
            y += ROW - 17
        return Part(items, width, y - ROW + 6)

    def chip(self, chip: Glyph | str, width: float, y: float, small: Theme) -> list[Item]:
        """A small glyph of the key; or a dot, or a piece of the highway."""
        if chip == "dot":
            return [circle(width / 2, y, 3.2, fill=small.wire)]
        if chip == "highway":
            return [replace(item, routes=[Route((0, y)).line(width, y)], stroke_width=12.0, key=None)
                    for item in highway(self.tile, small) if isinstance(item, Line)]
        if not isinstance(chip, Glyph):
            return []
        w = 19.0 if chip.shape == "circle" else width
        return glyph_items(chip, Place(width / 2, y, w, 19.0), small if w > 19 else replace(small, size=10))

    def key_lines(self) -> Iterator[tuple[Glyph | str, str]]:
        """What is in the picture: glyphs, and words."""
        said, drawn, nodes = cell_key(self.parts.equations), self.parts.cell, self.parts.nodes
        shapes = {nodes[name]: glyph.shape for name, glyph in drawn.glyphs.items()}
        for line in self.lines:
            if line.symbol in said:
                role = line.role if line.role in self.theme.roles else None
                shape = shapes.get(line.node, "box")
                yield Glyph("", shape, line.symbol * (shape != "box"), line.symbol, role), said[line.symbol]
        for node in self.parts.equations.probe.inputs:
            if node in nodes.values():
                yield Glyph("", "input", str(node.symbol), None, "input"), "input of this step"
        if highway(self.tile, self.theme):
            state = drawn.symbols.get(drawn.main_line()[-1], "the state")
            yield "highway", f"the way on which {state} is carried: sums and products entry by entry alone"
        labels = [glyph.label for glyph in drawn.glyphs.values()]
        if "σ" in labels:
            yield Glyph("", "box", "σ"), "logistic function: from 0 (shut) to 1 (open)"
        if used := [sign for sign in SIGNS if any(g.shape == "circle" and g.label == sign
                                                  for g in drawn.glyphs.values())]:
            yield Glyph("", "circle", used[0]), "entry by entry: " + ", ".join(f"{s} {SIGNS[s]}" for s in used)
        if SUM in labels:
            yield Glyph("", "box", SUM), "a weighted sum: the equations say of what"
        if any(UNNAMED in label for label in labels):
            yield "", f"{UNNAMED} in a box: what comes in along the wire"
        if any(self.fans_out(name) for name in drawn.glyphs):
            yield "", "a box that fans out: one product for several parts, each has its columns"
        if both := next(filter(None, map(self.reads_both, drawn.glyphs)), None):
            yield "", f"wires that meet at a box are read side by side, as [{', '.join(both)}]"
        if not self.flow:
            yield "dot", "a copy: the same goes along both wires"
        for trained, words in ((True, "weights, the same at every step"), (False, "constants, no gradient goes there")):
            if names := self.leaves(trained):
                yield "", f"{names}: {words}"
        for start, stop, names in self.unread():
            yield "", f"columns {start + 1} to {stop} of {names}: nothing here depends on them"

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

    def leaves(self, trained: bool) -> str:
        """The weights, or the constants, and their shapes."""
        names: dict[str, Block] = {}
        weights = self.parts.equations.weights
        for name, block in sorted(weights.items(), key=lambda item: item[1].leaf.serial):
            if block.leaf.requires_grad is not trained:
                continue
            whole = name if block.cut is None else name.split("_")[0]
            names.setdefault(whole, block)
        words = []
        for name, block in names.items():
            shape = "×".join(map(str, getattr(block.leaf.data, "shape", ())))
            words.append(f"{name} ({shape})" if shape else name)
        if len(words) > 6:
            words = [*words[:5], f"and {len(words) - 5} more"]
        return ", ".join(words)

    def unread(self) -> list[tuple[int, int, str]]:
        """Columns that nothing reads, by range."""
        found: dict[tuple[int, int], list[str]] = defaultdict(list)
        for name, start, stop in self.parts.equations.unread:
            found[start, stop].append(name)
        return [(start, stop, ", ".join(sorted(names))) for (start, stop), names in found.items()]

    def legend(self, width: float) -> Part:
        """The scale of the flow."""
        what = measured(self.scale, "gradient sent back along each wire").replace("lag 0", "the output")
        return legend(self.scale, what, {self.look(stroke) for stroke in self.strokes}, [
            f"The gradient: {self.entering}. On a wire stands the norm of what flows back along it; in a frame "
            "beside a name that of the whole gradient there, over the whole batch."], width, self.theme)


def beside(route: Route, words: str, half: float) -> Iterator[tuple[Text, Point]]:
    """Places for a number at a wire: above its level pieces, beside its upright ones, the longest first; and the
    point of the wire that it stands at.
    """
    here, straight = route.start, []
    for piece in route.pieces:
        if len(piece) == 1:
            straight.append((here, piece[0]))
        here = piece[-1]
    straight.sort(key=lambda ends: -abs(ends[0][0] - ends[1][0]) - abs(ends[0][1] - ends[1][1]))
    for (x1, y1), (x2, y2) in straight:
        for part in (0.5, 0.3, 0.7, 0.15, 0.85):
            x, y = x1 + part * (x2 - x1), y1 + part * (y2 - y1)
            if abs(y1 - y2) < 0.5:
                yield Text(x, y - 5 - half, words, SMALL, "middle"), (x, y)
                yield Text(x, y + 12 + half, words, SMALL, "middle"), (x, y)
            elif abs(x1 - x2) < 0.5:
                yield Text(x + 5 + half, y + 4, words, SMALL), (x, y)
                yield Text(x - 5 - half, y + 4, words, SMALL, "end"), (x, y)


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
    return glyph.shape == "box" and (glyph.label in (SUM, "weighted sum") or "+ " in glyph.label or "[" in glyph.label)
