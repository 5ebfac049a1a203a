"""Geometry: boxes, the ways of wires, and how things in a row keep apart. All that layouts and painters share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]


@dataclass
class Place:
    """Where a glyph stands: its centre and size."""

    x: float
    y: float
    w: float
    h: float

    @property
    def left(self) -> float:
        """The x of the left edge."""
        return self.x - self.w / 2

    @property
    def right(self) -> float:
        """The x of the right edge."""
        return self.x + self.w / 2

    @property
    def top(self) -> float:
        """The y of the upper edge (y grows downwards)."""
        return self.y - self.h / 2

    @property
    def bottom(self) -> float:
        """The y of the lower edge."""
        return self.y + self.h / 2

    def overlaps(self, other: Place) -> bool:
        """Do the two share any area?"""
        return (abs(self.x - other.x) < (self.w + other.w) / 2 - 1e-6
                and abs(self.y - other.y) < (self.h + other.h) / 2 - 1e-6)


@dataclass
class Route:
    """The way of a wire, in pieces, each from where the last one ended: lines (1 point), Bézier curves (3 points)."""

    start: Point
    pieces: list[tuple[Point, ...]] = field(default_factory=list)

    @property
    def end(self) -> Point:
        """Where it enters its target."""
        return self.pieces[-1][-1] if self.pieces else self.start

    def line(self, x: float, y: float) -> Route:
        """Go straight on."""
        if (x, y) != self.end:
            self.pieces.append(((x, y),))
        return self

    def rise(self, x: float, y: float) -> Route:
        """Leave vertically, arrive vertically."""
        x0, y0 = self.end
        if abs(x0 - x) < 0.5:
            return self.line(x, y)
        middle = (y0 + y) / 2
        self.pieces.append(((x0, middle), (x, middle), (x, y)))
        return self

    def corner(self, x: float, y: float, radius: float, *, level_first: bool) -> Route:
        """Go to (x, y) along the axes, round the corner: level and then upright, or the other way round."""
        x0, y0 = self.end
        bend = (x, y0) if level_first else (x0, y)
        radius = min(radius, abs(x - x0), abs(y - y0))
        sx, sy = (1 if x > x0 else -1), (1 if y > y0 else -1)
        before = (x - sx * radius, y0) if level_first else (x0, y - sy * radius)
        after = (x, y0 + sy * radius) if level_first else (x0 + sx * radius, y)
        self.line(*before)
        if radius > 0:
            self.pieces.append((bend, bend, after))
        return self.line(x, y)

    def shifted(self, dx: float, dy: float = 0.0) -> Route:
        """The same way elsewhere."""
        def move(p: Point) -> Point:
            return p[0] + dx, p[1] + dy
        return Route(move(self.start), [tuple(move(p) for p in piece) for piece in self.pieces])

    def points(self, n: int = 12) -> Iterable[Point]:
        """Points along it, close enough together for geometry."""
        here = self.start
        yield here
        for piece in self.pieces:
            full = (here, *([here, piece[0]] if len(piece) == 1 else piece[:2]), piece[-1])
            for j in range(1, n + 1):
                t = j / n
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                if len(piece) == 1:
                    yield here[0] + t * (piece[0][0] - here[0]), here[1] + t * (piece[0][1] - here[1])
                else:
                    yield (sum(w * p[0] for w, p in zip(weights, full, strict=True)),
                           sum(w * p[1] for w, p in zip(weights, full, strict=True)))
            here = piece[-1]


def apart(wanted: Sequence[float], widths: Sequence[float], gap: float,
          weights: Sequence[float] | None = None) -> list[float]:
    """The places nearest to those wanted (least squares) at which neighbours keep a gap: pool adjacent violators.

    >>> apart([0.0, 0.0], [10.0, 10.0], 2.0)
    [-6.0, 6.0]
    >>> apart([0.0, 0.0], [10.0, 10.0], 2.0, weights=[3.0, 1.0])
    [-3.0, 9.0]
    """
    offsets = [0.0] if len(widths) else []
    for a, b in pairwise(widths):
        offsets.append(offsets[-1] + (a + b) / 2 + gap)
    blocks: list[tuple[float, float, int]] = []  # weighted sum, weight, how many
    for j, (x, offset) in enumerate(zip(wanted, offsets, strict=True)):
        weight = 1.0 if weights is None else weights[j]
        total, count = weight * (x - offset), 1
        while blocks and blocks[-1][0] * weight > total * blocks[-1][1]:
            before, heavy, many = blocks.pop()
            total, weight, count = total + before, weight + heavy, count + many
        blocks.append((total, weight, count))
    means = [total / weight for total, weight, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
