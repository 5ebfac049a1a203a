"""Backprop as a film: first the values, then each message on its way, and the gradients as they add up.

`draw_film` runs the reverse pass once, writing down every message, and shows the same `Sheet` frame after frame:
nothing moves but what happens. `viz.render.film` makes the files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from microgradrnn.engine import Node, Value
from microgradrnn.engine.backward import reverse
from viz.flow.messages import gradient_flow
from viz.folding.contract import Group, contract
from viz.folding.fold import fold
from viz.graph.size import need_drawable, small_enough
from viz.graph.trace import norm, traced
from viz.numbers import decimals, short
from viz.pictures.sheet import Field, Sheet, along, sign
from viz.pictures.value_graph import LEAST, describe, discovery, fields_of, summary
from viz.render.film import Frames, Part
from viz.scene.chart import heading
from viz.scene.items import Group as Moved
from viz.scene.items import Item, Scene, Text, circle
from viz.theme import Theme, need_theme
from viz.typography import shorten, wrapped

MOST = 80  # messages: longer films nobody watches
VALUE, SEED, TRAVEL, ARRIVAL, END = 0.7, 1.6, 0.16, 1.5, 3.0  # seconds
STOPS = (0.0, 0.35, 0.7)  # where on its edge a message is seen, from the operation on
PAUSED = "The animated SVG pauses under the pointer."


class Norm(float):
    """The norm of numbers of which no more is known."""


class Message(NamedTuple):
    """What one consumer sends to its k-th input: ``upstream * local``, where all three are single numbers."""

    consumer: str
    k: int
    input: str
    upstream: Any
    local: float | None
    message: Any
    before: Any
    after: Any


def draw_film(root: Node, seed: Any = None, *, rankdir: str = "LR", speed: float = 1.0, name: str | None = None,
              theme: Theme | str | None = None) -> Frames:  # fmt: skip
    """The reverse pass of a small graph, message by message, as a film. Touches no ``.grad``.

    First each value appears, in the order of computing. Then each message travels from an operation to the input that
    it is for; the words on top say what it is (upstream × local, for plain numbers), and the input's gradient is the
    running sum of what has arrived. The layout is that of `viz.draw_graph`, and the same in all frames. Where there are
    more than 80 messages, time steps or modules are single boxes, as `viz.fold` makes them.

    Args:
        root: what to differentiate; one number, unless a seed is given.
        seed: the cotangent of the root; 1 by default.
        rankdir: ``LR``, left to right, or ``TB``, downwards.
        speed: 2 is twice as fast, 0.5 half as fast.
        name: what the root is called in the title.
        theme: sizes and colours; ``"dark"``, or a `Theme`.

    Raises:
        TypeError: if root is no node.
        ValueError: if no gradient flows, the graph is too large for a film, rankdir is neither, or the speed is not
            positive.

    >>> x = Value(3.0, label="x")
    >>> film = draw_film(x * x + 1)
    >>> [(m.input, m.upstream, m.local, m.message, m.after) for m in film.messages]
    [('multiply', 1.0, 1.0, 1.0, 1.0), ('x', 1.0, 3.0, 3.0, 3.0), ('x', 1.0, 3.0, 3.0, 6.0)]
    """
    theme = need_theme(theme)
    if rankdir not in ("LR", "TB"):
        raise ValueError(f"draw_film: rankdir is 'LR' or 'TB', got {rankdir!r}")
    if not 0 < speed < math.inf:
        raise ValueError(f"draw_film: speed is a positive number, 2 for twice as fast, got {speed!r}")
    need_drawable("draw_film", root, steps_fold=True)
    note = ""
    sent: list[Message] = []
    if small := small_enough(root, 4 * MOST, False):
        graph, ids = traced(root)
        sent, gradients = passed(root, seed, ids)
    if not small or len(sent) > MOST:
        graph, sent, gradients, note = in_boxes(root, seed)
    film = Film(graph, sent, gradients, rankdir, theme, note, name).frames()
    film.seconds = [seconds / speed for seconds in film.seconds]
    return film


# ------------------------------------------------------------------------------------------------ the messages
def passed(root: Node, seed: Any, ids: dict[Node, str]) -> tuple[list[Message], dict[str, Any]]:
    """Every message of the reverse pass, in the order of sending, and the gradient of every node."""
    sent: list[Message] = []
    gradients: dict[str, Any] = {}
    sums: dict[str, Any] = {}
    upstream: Any = None

    def observe(consumer: Node, k: int, x: Node, message: Any) -> None:
        message = message if isinstance(x, Value) else np.array(message)
        before = sums.get(ids[x])
        sums[ids[x]] = after = message if before is None else before + message
        plain = isinstance(x, Value) and isinstance(consumer, Value)
        sent.append(Message(ids[consumer], k, ids[x], upstream, local(consumer, k) if plain else None, message, before,
                            after))

    for node, g in reverse(root, seed, observe=observe):
        upstream = gradients[ids[node]] = g if isinstance(node, Value) else np.array(g)
    return sent, gradients


def local(consumer: Node, k: int) -> float:
    """The derivative of one operation by its k-th operand: what its rule sends where 1 comes in."""
    return float(consumer.op.pull(k, 1.0, consumer.data, consumer.args, consumer.params))


def in_boxes(root: Node, seed: Any) -> tuple[nx.MultiDiGraph, list[Message], dict[str, Any], str]:
    """The same with time steps or modules as single boxes: the largest graph that is no longer than a film may be.

    Raises:
        ValueError: if there is none; with what to do.
    """
    flow = gradient_flow(root, seed)
    fewest = flow.graph.number_of_edges()
    for graph, what in foldings(flow):
        sent = norms_sent(graph)
        if len(sent) <= MOST and len(graph) < len(flow.graph):
            gradients = {node: Norm(said["gradient"]) for node, said in graph.nodes(data=True) if "gradient" in said}
            note = f"{len(flow.messages)} messages are too many for a film: {what} is one box."
            if any(said.get("count", 1) > 1 for *_, said in graph.edges(data=True)):
                note += " Several messages as one: the root of the sum of their squares; added up, they may cancel."
            return graph, sent, gradients, note
        fewest = min(fewest, len(sent))
    raise ValueError(f"draw_film: {fewest} messages are too many for a film ({MOST} at most). Name the parts of the "
                     "net, with mg.scope(name), and each is one box; or take fewer steps or units. viz.draw_graph "
                     "draws all of it in rows, viz.gradient_flow measures every message")


def foldings(flow: Any) -> Iterator[tuple[nx.MultiDiGraph, str]]:
    """Smaller graphs, and what a box of each stands for."""
    graph = flow.graph
    if any("step" in said for _, said in graph.nodes(data=True)):
        yield fold(flow, by="step"), "each time step"
        yield fold(flow, by="step", repeat=2), "each time step, and the run of those in the middle,"
    if any("path" in said for _, said in graph.nodes(data=True)):
        yield fold(flow, by="module"), "each layer"
        yield with_weights(fold(flow, by="module")), "each layer, with its weights,"


def with_weights(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """Each box takes in the weights that it alone reads."""
    taken: dict[str, list[str]] = {}
    for node, said in graph.nodes(data=True):
        readers = set(graph.successors(node))
        if said["kind"] == "parameter" and len(readers) == 1 and graph.nodes[box := readers.pop()]["kind"] == "folded":
            taken.setdefault(box, []).append(node)
    return contract(graph, [Group(box, (box, *weights), {"name": graph.nodes[box]["name"]})
                            for box, weights in taken.items()])


def norms_sent(graph: nx.MultiDiGraph) -> list[Message]:
    """The messages of a folded graph, in an order in which they can be sent. A gradient is known when all are there."""
    made = sorted((node for node in graph if graph.in_degree(node)), key=lambda node: -graph.nodes[node]["order"])
    edges = [(v, k, u, said["message"]) for v in made
             for u, _, k, said in sorted(graph.in_edges(v, keys=True, data=True), key=lambda edge: edge[2])
             if "message" in said]
    last = {u: (v, k) for v, k, u, _ in edges}
    return [Message(v, k, u, None, None, Norm(size), None,
                    Norm(graph.nodes[u]["gradient"]) if last[u] == (v, k) and "gradient" in graph.nodes[u] else None)
            for v, k, u, size in edges]


# ------------------------------------------------------------------------------------------------ numbers in words
def said(x: Any) -> str:
    """A number, or the norm of several.

    >>> said(0.5), said(12345678.0), said(np.ones(4)), said(np.ones((1, 1)))
    ('0.5000', '1.23·10⁷', 'norm 2', '1.0000')
    """
    if isinstance(x, np.ndarray):
        return decimals(x.item()) if x.size == 1 else f"norm {short(norm(x))}"
    return f"norm {short(x)}" if isinstance(x, Norm) else decimals(float(x))


def brief(x: Any) -> str:
    """The same on a wire: a norm is its number alone."""
    return said(x).removeprefix("norm ")


def single(x: Any) -> float:
    """The number itself, or the norm of several."""
    return float(x.item() if isinstance(x, np.ndarray) and x.size == 1 else norm(x) if isinstance(x, np.ndarray) else x)


def grad_field(g: Any) -> Field:
    """What the record says of a gradient: as in `viz.draw_graph`."""
    words = said(g)
    return Field((((f"‖grad‖ {words[5:]}" if words.startswith("norm ") else f"grad {words}"), 0),), "grad", single(g))


# ------------------------------------------------------------------------------------------------ the film
@dataclass
class Film:
    """A film in the making: `show` puts something where it stays until something else is put there."""

    graph: nx.MultiDiGraph
    sent: list[Message]
    gradients: dict[str, Any]
    rankdir: str
    theme: Theme
    note: str = ""
    called: str | None = None
    parts: list[tuple[int, Part]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    stills: list[int] = field(default_factory=list)
    shown: dict[tuple[int, Any], tuple[list[Item], int]] = field(default_factory=dict)
    told: list[tuple[int, str, str]] = field(default_factory=list)

    WIRES, OPERATIONS, RECORDS, NUMBERS, TOKEN = range(5)

    def frames(self) -> Frames:
        """The whole film."""
        bare = {node: {key: x for key, x in about.items() if key not in ("grad", "grad_norm", "gradient")}
                for node, about in self.graph.nodes(data=True)}
        self.values = {node: fields_of(node, about) for node, about in bare.items()}
        sums = {node: [grad_field(g)] for node, g in self.gradients.items()}
        for m in self.sent:
            if m.after is not None:
                sums[m.input].append(grad_field(m.after))
        small = self.theme.small
        widest = {node: [*fields, *([max(sums[node], key=lambda one: one.width(small))] if node in sums else [])]
                  for node, fields in self.values.items()}
        self.sheet = Sheet(self.graph, widest, self.theme, self.rankdir, gap=30.0)
        self.spots = self.sheet.spots({(m.input, m.consumer, m.k): brief(m.message) for m in self.sent}, bold=True)
        self.grad: dict[str, Field] = {}
        self.forward()
        self.backward()
        for (layer, _), (items, start) in self.shown.items():
            self.parts.append((layer, Part(items, start, len(self.seconds))))
        return self.finished()

    def finished(self) -> Frames:
        """The parts below the title and the words that tell the story."""
        margin, sheet = self.theme.margin, self.sheet
        width = max(sheet.width, min(sheet.room, LEAST + 100))
        sizes = {node: single(g) for node, g in self.gradients.items()}
        found = discovery(self.graph, sizes, self.called)
        words = " ".join(filter(None, [self.note, describe(self.graph, sheet, len(self.sent) - len(self.spots))]))
        top = heading(found, width, self.theme, f"Backpropagation, message by message. {words} {PAUSED}")
        size, y = self.theme.size, margin + top.height + 10
        lines = [(start, wrapped(above, width, size, bold=True), wrapped(below, width, size))
                 for start, above, below in self.told]
        many, more = max(len(above) for _, above, _ in lines), max(len(below) for _, _, below in lines)
        low = y + 19 * (many + more) + 12
        last, parts = len(self.seconds), [Part([top.at(margin, margin)], 0, len(self.seconds))]
        for (start, above, below), stop in zip(lines, [*(start for start, _, _ in lines[1:]), last], strict=True):
            items: list[Item] = [Text(margin, y + 15 + 19 * j, said, size, bold=True, key=("story", 0))
                                 for j, said in enumerate(above)]
            items += [Text(margin, y + 15 + 19 * (many + j), said, size, key=("story", 1))
                      for j, said in enumerate(below)]
            parts.append(Part(items, start, stop))
        parts += [Part([Moved(part.items, margin, low)], part.start, part.stop)
                  for _, part in sorted(self.parts, key=lambda pair: pair[0]) if part.items and part.start < part.stop]
        by = sheet.rows[0]
        scene = Scene([], width + 2 * margin, low + sheet.height + margin + 4, found,
                      f"{len(self.sent)} messages. " + summary(words, sizes, self.graph), self.theme,
                      laid_out_by=str(by).removeprefix("laid out by "))
        return Frames(parts, self.seconds, self.stills, scene, self.sent, by.by)

    # ------------------------------------------------------------------------------------------------ the story
    def forward(self) -> None:
        """Each value, in the order of computing."""
        for u, v, k in self.graph.edges(keys=True):
            self.show(self.WIRES, (v, k), self.sheet.wire(u, v, k))
        for pill in self.sheet.pills():
            self.show(self.RECORDS, pill, self.sheet.pill(*pill))
        self.show(self.OPERATIONS, ("heads",), list(self.sheet.heads))
        for node in self.graph:
            if "op" in self.graph.nodes[node]:
                self.show(self.OPERATIONS, node, self.sheet.operation(node))
            self.record(node, known=not self.graph.in_degree(node))
        self.words("Forward: what is given", "parameters, inputs and constants")
        self.still(VALUE * 2)
        made = sorted((about["order"], node) for node, about in self.graph.nodes(data=True)
                      if self.graph.in_degree(node))
        for _, node in made:
            self.record(node, lit=True)
            self.words("Forward: every operation computes its value", self.computed(node))
            self.still(VALUE)
            self.record(node)

    def backward(self) -> None:
        """Each message, in the order of sending."""
        root = self.graph.graph["root"]
        if root in self.gradients:
            self.grad[root] = grad_field(self.gradients[root])
        self.record(root, lit=True)
        self.words("Backward: it starts at the end", f"grad of {self.name(root)} = {said(self.gradients.get(root, 1))}")
        self.still(SEED)
        self.record(root)
        for j, m in enumerate(self.sent, 1):
            edge = (m.input, m.consumer, m.k)
            story = f"Backward: message {j} of {len(self.sent)}, from {self.sign(m.consumer)} to {self.name(m.input)}"
            self.words(story, self.product(m))
            self.show(self.WIRES, edge[1:], self.sheet.sending(*edge, 2.6, said(m.message)))
            for stop in STOPS:
                x, y = along(self.sheet.route(*edge), 1 - stop)
                self.show(self.TOKEN, None, [circle(x, y, 7.0, fill=self.theme.now, stroke=self.theme.paper,
                                                    stroke_width=2.0, key=("token",))])
                self.seconds.append(TRAVEL)
            self.show(self.TOKEN, None, [])
            if m.after is not None:
                self.grad[m.input] = grad_field(m.after)
            self.record(m.input, lit=True)
            source = self.sheet.source(m.input, m.consumer)[1]
            if source != "is":
                self.show(self.RECORDS, (m.input, source[1]), self.sheet.pill(m.input, source[1], lit=True))
            self.number(edge, m, bold=True)
            self.words(story, self.added(m))
            self.still(ARRIVAL)
            self.record(m.input)
            if source != "is":
                self.show(self.RECORDS, (m.input, source[1]), self.sheet.pill(m.input, source[1]))
            self.show(self.WIRES, edge[1:], self.sheet.sending(*edge, 1.4, said(m.message)))
            self.number(edge, m)
        self.words("Done", "every gradient is the sum of the messages that arrived")
        self.still(END)

    # ------------------------------------------------------------------------------------------------ what is seen
    def show(self, layer: int, key: Any, items: list[Item]) -> None:
        """From now on."""
        if old := self.shown.get((layer, key)):
            self.parts.append((layer, Part(*old, len(self.seconds))))
        self.shown[layer, key] = items, len(self.seconds)

    def still(self, seconds: float) -> None:
        """A frame in which something has arrived."""
        self.stills.append(len(self.seconds))
        self.seconds.append(seconds)

    def record(self, node: str, *, known: bool = True, lit: bool = False) -> None:
        """The record of a value, with what is known by now."""
        fields = [one if known or one.what != "data" else Field(((one.plain.split(" ")[0], 0),), "data")
                  for one in self.values[node]]
        if node in self.gradients:
            fields.append(self.grad.get(node, Field((("grad", 0),), "grad")))
        self.show(self.RECORDS, node, self.sheet.record(node, fields, lit=lit))

    def number(self, edge: tuple[str, str, int], m: Message, *, bold: bool = False) -> None:
        """The number of a message on its wire."""
        if spot := self.spots.get(edge[1:]):
            self.show(self.NUMBERS, edge,
                      self.sheet.number(edge[1:], spot, brief(m.message), single(m.message), bold=bold))

    def words(self, above: str, below: str) -> None:
        """What is told from now on."""
        self.told.append((len(self.seconds), above, below))

    # ------------------------------------------------------------------------------------------------ in words
    def name(self, node: str) -> str:
        """What a value is called."""
        if node in self.sheet.names:
            return shorten("".join(part for part, _ in self.sheet.names[node]), 28)
        return f"the {self.sign(node)}"

    def sign(self, node: str) -> str:
        """The sign of its operation, or what else it is."""
        about = self.graph.nodes[node]
        return sign(about) if "sign" in about else about["kind"] if about["kind"] != "folded" else shorten(node, 28)

    def computed(self, node: str) -> str:
        """How a value was computed."""
        about = self.graph.nodes[node]
        if "op" not in about:
            return f"{shorten(node, 40)}, {about['members']} nodes"
        inputs = sorted((k, u) for u, _, k in self.graph.in_edges(node, keys=True))
        values = [self.graph.nodes[u] for _, u in inputs]
        left = ", ".join(said(v["value"]) if "value" in v else v.get("shape", v["name"]) for v in values[:4])
        result = said(about["value"]) if "value" in about else f"shape {about['shape']}, ‖data‖ {short(about['norm'])}"
        return f"{self.sign(node)} ({left}{', …' if len(values) > 4 else ''}) = {result}"

    def product(self, m: Message) -> str:
        """What a message is."""
        if m.upstream is None:
            many = self.graph.edges[m.input, m.consumer, m.k].get("count", 1)
            return f"{many} messages, together of {said(m.message)}" if many > 1 else f"of {said(m.message)}"
        if m.local is None:
            return f"upstream {said(m.upstream)}, through the derivative of {self.sign(m.consumer)}: {said(m.message)}"
        return f"upstream {said(m.upstream)} × local derivative {said(m.local)} = {said(m.message)}"

    def added(self, m: Message) -> str:
        """What a message does where it arrives."""
        if m.after is None:
            return self.product(m)
        whole = f"grad of {self.name(m.input)} = "
        if m.before is None:
            return f"{self.product(m)};   {whole}{said(m.after)}"
        if isinstance(m.message, np.ndarray) and m.message.size != 1:  # norms do not add up
            return f"{self.product(m)};   {whole}{said(m.after)}, with the {said(m.before)} that was there"
        return f"{self.product(m)};   {whole}{said(m.before)} + {said(m.message)} = {said(m.after)}"
