"""Backprop as a film: first the values, then each message on its way, and the gradients as they add up.

`draw_film` runs the reverse pass once, writing down every message, and paints the same `Sheet` frame after frame:
nothing moves but what happens. A film is a list of parts, each shown from one frame to another, so that a single frame,
a GIF and an animated SVG (whose parts CSS shows and hides, without a script) are three ways to read one list.
"""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from microgradrnn.engine import Node, Value
from microgradrnn.engine.backward import reverse
from microgradrnn.files import write_whole
from viz.errors import MissingToolError
from viz.graph.size import need_drawable
from viz.graph.trace import norm, traced
from viz.numbers import decimals, short
from viz.pictures.value_graph import Sheet, along, fields_of, sign
from viz.progress import progress
from viz.render.drawing import Drawing
from viz.render.markup import document, element, text
from viz.theme import DEFAULT, Theme, need_theme
from viz.typography import shorten, text_width

MOST = 150  # messages: longer films nobody watches
MOST_PIXELS = 1e9  # of all frames of a GIF: some minutes of painting
HEAD = 50.0  # pixels for the words above the graph
VALUE, SEED, TRAVEL, ARRIVAL, END = 0.7, 1.6, 0.16, 1.5, 3.0  # seconds
STOPS = (0.0, 0.35, 0.7)  # where on its edge a message is seen, from the operation on


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


class Part(NamedTuple):
    """Markup that is seen from frame ``start`` until before frame ``stop``."""

    layer: int
    markup: str
    start: int
    stop: int


@dataclass
class Frames:
    """A film.

    Attributes:
        parts: what is seen, and when; in the order of painting.
        seconds: how long each frame is shown.
        stills: the frames in which something has just arrived; the others show a message on its way.
        messages: every message, in the order of sending.
        width, height: in pixels.

    ``len(frames)`` counts the frames, ``frames[j]`` is one of them, a `Drawing`; ``frames[-1]`` is the last.
    """

    parts: list[Part]
    seconds: list[float]
    stills: list[int]
    messages: list[Message]
    width: float
    height: float
    theme: Theme = DEFAULT
    name: str = "backpropagation"
    laid_out_by: str = ""

    def __len__(self) -> int:
        return len(self.seconds)

    def __getitem__(self, j: int) -> Drawing:
        if not -len(self) <= j < len(self):
            raise IndexError(f"frame {j} of {len(self)}")
        j %= len(self)
        return self._drawn("".join(part.markup for part in self.parts if part.start <= j < part.stop), f"frame {j + 1}")

    def __iter__(self) -> Iterator[Drawing]:
        return (self[j] for j in range(len(self)))

    def _drawn(self, body: str, which: str) -> Drawing:
        drawing = document(body, self.width, self.height, self.theme, f"{self.name}, {which}")
        return Drawing(drawing.svg, drawing.width, drawing.height, self.laid_out_by)

    @property
    def svg(self) -> str:
        """The film as one SVG that plays by itself, in a loop, without a script; where motion is unwanted, its end."""
        total, last = sum(self.seconds), len(self)
        times = [100 * sum(self.seconds[:j]) / total for j in range(last + 1)]
        prefix = f"f{zlib.crc32(''.join(part.markup for part in self.parts).encode()):x}"
        spans = sorted({part[2:] for part in self.parts} - {(0, last)})
        classes = {span: f"{prefix}-{j}" for j, span in enumerate(spans)}
        rules = [f"[class^={prefix}]{{animation:{total:.2f}s step-end infinite}}"]
        for (start, stop), name in classes.items():
            frames = [(0.0, start == 0), *([(times[start], True)] if start else []),
                      *([(times[stop], False)] if stop < last else [])]
            rules.append(f"@keyframes {name}{{"
                         + "".join(f"{at:.4f}%{{visibility:{'visible' if seen else 'hidden'}}}" for at, seen in frames)
                         + f"}}.{name}{{animation-name:{name}}}")
        rules.append(f"@media(prefers-reduced-motion:reduce){{[class^={prefix}]{{animation:none}}}}")
        body = "".join(
            part.markup if part[2:] == (0, last) else
            element("g", part.markup, class_=classes[part[2:]], visibility="visible" if part.stop == last else "hidden")
            for part in self.parts
        )
        return self._drawn(element("style", "".join(rules)) + body, "every message").svg

    def save(self, path: str | Path, ending: str = ".svg") -> Path:
        """Write the film.

        Args:
            path: ``x.svg`` plays by itself in a browser and in a README; ``x.gif`` plays everywhere; anything
                without an ending is a folder, for the stills: ``000.svg``, ``001.svg``, ...
            ending: of the files in a folder: ``.svg``, ``.png`` or ``.pdf``.

        Raises:
            ValueError: if the path has another ending, or the film is too large for a GIF.
            MissingToolError: for ``.gif``, without Pillow or resvg-py; for stills as in `Drawing.save`.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".svg", ".gif", ""):
            raise ValueError(f"save: {path.name!r} ends in {kind}; a film is an .svg or .gif, or a folder of stills")
        content = self.svg.encode() if kind == ".svg" else self.gif() if kind == ".gif" else b""
        (path if not kind else path.parent).mkdir(parents=True, exist_ok=True)
        if kind:
            write_whole(path, content)
        else:
            for j, still in enumerate(self.stills):
                self[still].save(path / f"{j:03}{ending}")
        return path

    def gif(self) -> bytes:
        """The film as an animated GIF, in a loop."""
        try:
            import resvg_py  # noqa: F401  (for the frames, see Drawing.png)
            from PIL import Image
        except ImportError as error:
            raise MissingToolError(f'GIF needs Pillow and resvg-py, and there is no {error.name}: pip install '
                                   '"microgradrnn[gif]". Without them, save as .svg: it plays by itself in every '
                                   "browser.") from None
        zoom = 2 if self.width <= 900 else 1
        if len(self) * self.width * self.height * zoom**2 > MOST_PIXELS:
            size = f"{len(self)} frames of {self.width:.0f} x {self.height:.0f} pixels"
            raise ValueError(f"save: {size} are too much for a GIF; save as .svg, which plays by itself in every "
                             "browser, or take fewer steps or units")

        def pixels(j: int) -> np.ndarray:
            r, g, b = np.asarray(Image.open(io.BytesIO(self[j].png(zoom))).convert("RGB"), dtype=np.int64).T
            return ((r << 16) | (g << 8) | b).T

        colours: Counter[int] = Counter()
        for j in (0, len(self) // 2, len(self) - 1):
            values, counts = np.unique(pixels(j), return_counts=True)
            colours.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        palette = np.array([colour for colour, _ in colours.most_common(256)])  # one for all frames: nothing flickers

        def image(j: int) -> Any:
            shown = pixels(j)
            values, places = np.unique(shown, return_inverse=True)
            nearest = np.abs(channels(values)[:, None] - channels(palette)).sum(2).argmin(1)
            frame = Image.fromarray(nearest.astype(np.uint8)[places.reshape(shown.shape)])
            frame.putpalette(channels(palette).astype(np.uint8).tobytes())
            return frame

        images = map(image, progress(range(len(self)), "frames"))
        buffer = io.BytesIO()
        next(images).save(buffer, format="GIF", save_all=True, append_images=images, loop=0,
                          duration=[round(1000 * s) for s in self.seconds])
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return (f"Frames({len(self.messages)} messages, {len(self)} frames, {sum(self.seconds):.0f} s, "
                f"{self.width:.0f} x {self.height:.0f} pixels)")


def draw_film(root: Node, seed: Any = None, *, rankdir: str = "LR", theme: Theme = DEFAULT) -> Frames:
    """The reverse pass of a small graph, message by message, as a film. Touches no ``.grad``.

    First each value appears, in the order of computing. Then each message travels from an operation to the input that
    it is for; the words on top say what it is (upstream × local, for plain numbers), and the input's gradient is the
    running sum of what has arrived. The layout is that of `viz.draw_graph`, and the same in all frames.

    Args:
        root: what to differentiate; one number, unless a seed is given.
        seed: the cotangent of the root; 1 by default.
        rankdir: ``LR``, left to right, or ``TB``, downwards.
        theme: sizes and colours.

    Raises:
        TypeError: if root is no node.
        ValueError: if no gradient flows, the graph is too large for a film, or rankdir is neither.

    >>> x = Value(3.0, label="x")
    >>> film = draw_film(x * x + 1)
    >>> [(m.input, m.upstream, m.local, m.message, m.after) for m in film.messages]
    [('multiply', 1.0, 1.0, 1.0, 1.0), ('x', 1.0, 3.0, 3.0, 3.0), ('x', 1.0, 3.0, 3.0, 6.0)]
    """
    need_theme(theme)
    if rankdir not in ("LR", "TB"):
        raise ValueError(f"draw_film: rankdir is 'LR' or 'TB', got {rankdir!r}")
    need_drawable("draw_film", root)
    graph, ids = traced(root)
    if graph.number_of_edges() > 2 * MOST:
        raise too_long(graph.number_of_edges())
    sent, gradients = passed(root, seed, ids)
    if len(sent) > MOST:
        raise too_long(len(sent))
    return _Film(graph, sent, gradients, rankdir, theme).frames()


def too_long(count: int) -> ValueError:
    """What to do instead."""
    return ValueError(f"draw_film: {count} messages are too many for a film ({MOST} at most). Take fewer steps "
                      "or units; viz.draw_unrolled draws long nets, viz.gradient_flow measures every message")


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


def said(x: Any) -> str:
    """A number, or the norm of several.

    >>> said(0.5), said(12345678.0), said(np.ones(4))
    ('0.5000', '1.23e7', '‖2‖')
    """
    if isinstance(x, np.ndarray) and x.size != 1:
        return f"‖{short(norm(x))}‖"
    return decimals(float(x))


def channels(colours: np.ndarray) -> np.ndarray:
    """Red, green and blue of colours written as one number, 0xrrggbb."""
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)


def grad_field(g: Any) -> str:
    """What the record says of a gradient: as in `viz.draw_graph`."""
    return f"‖grad‖ {short(norm(g))}" if isinstance(g, np.ndarray) and g.size != 1 else f"grad {said(g)}"


@dataclass
class _Film:
    """A film in the making: `show` puts something where it stays until something else is put there."""

    graph: nx.MultiDiGraph
    sent: list[Message]
    gradients: dict[str, Any]
    rankdir: str
    theme: Theme
    parts: list[Part] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    stills: list[int] = field(default_factory=list)
    shown: dict[tuple[int, Any], tuple[str, int]] = field(default_factory=dict)

    WIRES, OPERATIONS, RECORDS, NUMBERS, TOKEN, WORDS = range(6)

    def frames(self) -> Frames:
        self.values = {node: fields_of(node, self.bare(node)) for node in self.graph}
        sums = {node: [grad_field(g)] for node, g in self.gradients.items()}
        for m in self.sent:
            sums[m.input].append(grad_field(m.after))
        widest = {node: [*fields, *([max(sums[node], key=len)] if node in sums else [])]
                  for node, fields in self.values.items()}
        self.sheet = Sheet(self.graph, widest, self.theme, self.rankdir, gap=34.0, head=HEAD)
        self.grad: dict[str, str] = {}
        self.forward()
        self.backward()
        for (layer, _), (markup, start) in self.shown.items():
            self.parts.append(Part(layer, markup, start, len(self.seconds)))
        parts = sorted((part for part in self.parts if part.markup and part.start < part.stop), key=lambda p: p.layer)
        words = max((text_width(w, self.theme.size) for w in self.said), default=0.0) + 2 * self.theme.margin
        page = self.sheet.finished("", "", least=words)
        root = self.graph.nodes[self.graph.graph["root"]]
        name = f"backpropagation from {root.get('symbol', root['name'])}"
        return Frames(parts, self.seconds, self.stills, self.sent, page.width, page.height, self.theme, name,
                      page.laid_out_by)

    # ------------------------------------------------------------------------------------------------ the story
    def forward(self) -> None:
        self.said: list[str] = []
        for u, v, k in self.graph.edges(keys=True):
            self.show(self.WIRES, (v, k), self.sheet.wire(u, v, k))
        for node, about in self.graph.nodes(data=True):
            if "op" in about:
                self.show(self.OPERATIONS, node, self.sheet.operation(node))
            self.record(node, known="op" not in about)
        self.words("Forward: what is given", "parameters, inputs and constants")
        self.still(VALUE * 2)
        made = sorted((about["order"], node) for node, about in self.graph.nodes(data=True) if "op" in about)
        for _, node in made:
            self.record(node, lit=True)
            self.words("Forward: every operation computes its value", self.computed(node))
            self.still(VALUE)
            self.record(node)

    def backward(self) -> None:
        root = self.graph.graph["root"]
        self.grad[root] = grad_field(self.gradients[root])
        self.record(root, lit=True)
        self.words("Backward: it starts at the end", f"grad of {self.name(root)} = {said(self.gradients[root])}")
        self.still(SEED)
        self.record(root)
        for j, m in enumerate(self.sent, 1):
            edge = (m.input, m.consumer, m.k)
            self.words(f"Backward: message {j} of {len(self.sent)}, from {self.sign(m.consumer)} to "
                       f"{self.name(m.input)}", self.product(m))
            self.show(self.WIRES, edge[1:], self.sheet.wire(*edge, stroke=self.theme.now, width=2.6, head="back"))
            for stop in STOPS:
                self.token(edge, stop)
                self.seconds.append(TRAVEL)
            self.show(self.TOKEN, None, "")
            self.grad[m.input] = grad_field(m.after)
            self.record(m.input, lit=True)
            self.show(self.NUMBERS, edge, self.sheet.number(*edge, said(m.message), bold=True))
            self.words(None, self.added(m))
            self.still(ARRIVAL)
            self.record(m.input)
            self.show(self.WIRES, edge[1:], self.sheet.wire(*edge, stroke=self.theme.now, width=1.4, head="back"))
            self.show(self.NUMBERS, edge, self.sheet.number(*edge, said(m.message)))
        self.words("Done", "every gradient is the sum of the messages that arrived")
        self.still(END)

    # ------------------------------------------------------------------------------------------------ what is seen
    def show(self, layer: int, key: Any, markup: str) -> None:
        if old := self.shown.get((layer, key)):
            self.parts.append(Part(layer, *old, len(self.seconds)))
        self.shown[layer, key] = markup, len(self.seconds)

    def still(self, seconds: float) -> None:
        self.stills.append(len(self.seconds))
        self.seconds.append(seconds)

    def record(self, node: str, *, known: bool = True, lit: bool = False) -> None:
        *others, data = self.values[node]
        grad = [self.grad.get(node, "grad")] if node in self.gradients else []
        fields = [*others, data if known else data.split(" ")[0], *grad]
        self.show(self.RECORDS, node, self.sheet.record(node, fields, lit=lit))

    def token(self, edge: tuple[str, str, int], share: float) -> None:
        x, y = along(self.sheet.route(*edge), 1 - share)
        self.show(self.TOKEN, None, element("circle", cx=x, cy=y, r=7.0, fill=self.theme.now, stroke=self.theme.paper,
                                            stroke_width=2.0))

    def words(self, above: str | None, below: str) -> None:
        m = self.theme.margin
        if above is not None:
            self.show(self.WORDS, 0, text(m, m + 14, above, anchor="start", font_weight="bold"))
        self.show(self.WORDS, 1, text(m, m + 34, below, anchor="start"))
        self.said += [above or "", below]

    # ------------------------------------------------------------------------------------------------ in words
    def bare(self, node: str) -> dict[str, Any]:
        return {key: x for key, x in self.graph.nodes[node].items() if key not in ("grad", "grad_norm")}

    def name(self, node: str) -> str:
        about = self.graph.nodes[node]
        return shorten(about["symbol"], 20) if "symbol" in about else f"the {self.sign(node)}"

    def sign(self, node: str) -> str:
        return sign(self.graph.nodes[node]) if "sign" in self.graph.nodes[node] else self.graph.nodes[node]["kind"]

    def computed(self, node: str) -> str:
        about = self.graph.nodes[node]
        inputs = sorted((k, u) for u, _, k in self.graph.in_edges(node, keys=True))
        values = [self.graph.nodes[u] for _, u in inputs]
        left = ", ".join(said(v["value"]) if "value" in v else v["shape"] for v in values[:4])
        result = said(about["value"]) if "value" in about else f"shape {about['shape']}, ‖data‖ {short(about['norm'])}"
        return f"{self.sign(node)} ({left}{', …' if len(values) > 4 else ''}) = {result}"

    def product(self, m: Message) -> str:
        if m.local is None:
            return f"upstream {said(m.upstream)}, through the derivative of {self.sign(m.consumer)}: {said(m.message)}"
        return f"upstream {said(m.upstream)} × local derivative {said(m.local)} = {said(m.message)}"

    def added(self, m: Message) -> str:
        whole = f"grad of {self.name(m.input)} = "
        if m.before is None:
            return f"{self.product(m)};   {whole}{said(m.after)}"
        if isinstance(m.message, np.ndarray) and m.message.size != 1:  # norms do not add up
            return f"{self.product(m)};   {whole}{said(m.after)}, with the {said(m.before)} that was there"
        return f"{self.product(m)};   {whole}{said(m.before)} + {said(m.message)} = {said(m.after)}"
