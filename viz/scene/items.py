"""Items of a picture before they are ink: boxes, wires, text and areas; groups of them, and stamps that are used often.

Each item can carry a *key*, which says what it stands for, a *datum*, the number it shows, and a *note*, shown where
the pointer rests. Tests ask a scene for these, and never read markup; `viz.render` turns a scene into SVG, PNG or PDF.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import cos, radians, sin

from viz.layout.geometry import Point, Route
from viz.theme import DEFAULT, Theme
from viz.typography import ASCENT, DESCENT, SMALLER, text_width

Key = Hashable  # ("node", id), ("edge", consumer, k), ("state", lane, step), ...
Run = tuple[str, int]  # a piece of text, and whether it is raised (1), level (0) or lowered (-1)
Extent = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(slots=True, kw_only=True)
class Item:
    """What all items have.

    Attributes:
        key: what the item stands for.
        datum: the number it shows.
        note: what is shown where the pointer rests.
    """

    key: Key = None
    datum: float | None = None
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Ink(Item):
    """How a shape is filled and outlined. Colours are ``#rrggbb``; None is no fill, or no outline."""

    fill: str | None = None
    stroke: str | None = None
    stroke_width: float = 1.0
    dashes: str | None = None
    opacity: float | None = None
    crisp: bool = False  # edges without smoothing: areas that touch leave no gap


@dataclass(slots=True)
class Box(Ink):
    """A rectangle from its upper left corner; with a radius of half its size, a circle or a pill."""

    x: float
    y: float
    w: float
    h: float
    radius: float = 0.0

    @property
    def extent(self) -> Extent:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.w, self.y + self.h


def circle(x: float, y: float, r: float, **ink: object) -> Box:
    """A circle around a point.

    >>> circle(5, 5, 2).extent
    (3, 3, 7, 7)
    """
    return Box(x - r, y - r, 2 * r, 2 * r, r, **ink)  # type: ignore[arg-type]


@dataclass(slots=True)
class Wire(Ink):
    """One line or several that look the same."""

    routes: Sequence[Route]
    round: bool = False  # the ends of dashes

    @property
    def extent(self) -> Extent:
        """Left, top, right, bottom."""
        return around(p for route in self.routes for p in route.points())


def line(x1: float, y1: float, x2: float, y2: float, **ink: object) -> Wire:
    """A straight line."""
    return Wire([Route((x1, y1), [((x2, y2),)])], **ink)  # type: ignore[arg-type]


@dataclass(slots=True)
class Area(Ink):
    """One outline or several that look the same, each a polygon."""

    outlines: Sequence[Sequence[Point]]

    @property
    def extent(self) -> Extent:
        """Left, top, right, bottom."""
        return around(p for outline in self.outlines for p in outline)


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """The outline of a rectangle, for an `Area` of many."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@dataclass(slots=True)
class Text(Item):
    """One line of text; (x, y) is on its baseline.

    Attributes:
        words: the text, or pieces of it that may be raised or lowered.
        anchor: whether x is its ``start``, ``middle`` or ``end``.
        turn: degrees, clockwise, around (x, y).
        fill: its colour; that of all text by default.
    """

    x: float
    y: float
    words: str | Sequence[Run]
    size: float = 13.0
    anchor: str = "start"
    bold: bool = False
    italic: bool = False
    mono: bool = False
    fill: str | None = None
    turn: float = 0.0

    @property
    def runs(self) -> Sequence[Run]:
        """The pieces."""
        return [(self.words, 0)] if isinstance(self.words, str) else self.words

    @property
    def plain(self) -> str:
        """The words, without levels.

        >>> Text(0, 0, [("h", 0), ("t", -1)]).plain
        'ht'
        """
        return "".join(words for words, _ in self.runs)

    @property
    def width(self) -> float:
        """How wide it is."""
        return sum(text_width(words, self.size * (SMALLER if level else 1), self.bold, self.mono)
                   for words, level in self.runs)

    @property
    def extent(self) -> Extent:
        """Left, top, right, bottom; of turned text too."""
        width, up, down = self.width, ASCENT * self.size, DESCENT * self.size
        left = self.x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        if not self.turn:
            return left, self.y - up, left + width, self.y + down
        c, s = cos(radians(self.turn)), sin(radians(self.turn))
        corners = [(dx, dy) for dx in (left - self.x, left - self.x + width) for dy in (-up, down)]
        return around((self.x + c * dx - s * dy, self.y + s * dx + c * dy) for dx, dy in corners)


@dataclass(slots=True)
class Group(Item):
    """Items that belong together, moved by (x, y)."""

    items: Sequence[Item]
    x: float = 0.0
    y: float = 0.0


@dataclass(slots=True)
class Use(Item):
    """A stamp, put at (x, y)."""

    stamp: Hashable
    x: float = 0.0
    y: float = 0.0


@dataclass
class Stamps:
    """Items that are described once and used often, under any key.

    >>> stamps = Stamps()
    >>> stamps.use("dot", lambda: [circle(0, 0, 2)], x=5).x, stamps.use("dot", lambda: []).stamp, len(stamps.items)
    (5, 'dot', 1)
    """

    items: dict[Hashable, list[Item]] = field(default_factory=dict)

    def use(self, stamp: Hashable, made: Callable[[], Iterable[Item]], x: float = 0.0, y: float = 0.0, *,
            key: Key = None, datum: float | None = None, note: str = "") -> Use:  # fmt: skip
        """A use of the stamp; what it is made of is asked for at its first use."""
        if stamp not in self.items:
            self.items[stamp] = list(made())
        return Use(stamp, x, y, key=key, datum=datum, note=note)


@dataclass
class Scene:
    """A whole picture.

    Attributes:
        items: in the order of painting.
        width, height: in pixels.
        title: what the picture found, in one sentence; for screen readers and file names.
        summary: what it shows, in a few sentences.
        theme: the colours of paper and text, and the font.
        stamps: what `Use` refers to.
        laid_out_by: what found the places of an irregular graph.
    """

    items: list[Item]
    width: float
    height: float
    title: str
    summary: str = ""
    theme: Theme = DEFAULT
    stamps: Stamps = field(default_factory=Stamps)
    laid_out_by: str = ""

    def walk(self) -> Iterator[tuple[Item, float, float]]:
        """Every item and how far it is moved; groups and uses come before what they hold.

        >>> scene = Scene([Group([Text(1, 2, "a")], 10, 20)], 99, 99, "one letter")
        >>> [(type(item).__name__, x, y) for item, x, y in scene.walk()]
        [('Group', 0.0, 0.0), ('Text', 10.0, 20.0)]
        """
        todo: list[tuple[Item, float, float]] = [(item, 0.0, 0.0) for item in reversed(self.items)]
        while todo:
            item, x, y = todo.pop()
            yield item, x, y
            inner = (item.items if isinstance(item, Group)
                     else self.stamps.items[item.stamp] if isinstance(item, Use) else ())
            if inner:
                dx, dy = x + item.x, y + item.y  # type: ignore[attr-defined]
                todo.extend((part, dx, dy) for part in reversed(inner))

    def keyed(self, kind: str | None = None) -> Iterator[tuple[Item, float, float]]:
        """The items that have a key; of one kind, if the key is a tuple that begins with it."""
        for item, x, y in self.walk():
            if item.key is not None and (kind is None or (isinstance(item.key, tuple) and item.key[0] == kind)):
                yield item, x, y

    def texts(self) -> Iterator[tuple[Text, Extent]]:
        """Every text, and where it is."""
        for item, x, y in self.walk():
            if isinstance(item, Text) and item.plain.strip():
                yield item, moved(item.extent, x, y)

    @property
    def words(self) -> str:
        """All that is written in the picture, a line each."""
        return "\n".join(text.plain for text, _ in self.texts())


def around(points: Iterable[Point]) -> Extent:
    """The extent of some points."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def moved(extent: Extent, x: float, y: float) -> Extent:
    """The extent, moved."""
    return extent[0] + x, extent[1] + y, extent[2] + x, extent[3] + y


def overlap(a: Extent, b: Extent, slack: float = 0.5) -> bool:
    """Do two extents share more than a sliver?

    >>> overlap((0, 0, 10, 10), (9, 9, 20, 20)), overlap((0, 0, 10, 10), (10, 0, 20, 10))
    (True, False)
    """
    return (min(a[2], b[2]) - max(a[0], b[0]) > slack) and (min(a[3], b[3]) - max(a[1], b[1]) > slack)
