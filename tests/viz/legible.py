"""Can a picture be read? Faults of a scene: small, cut or overlapping text, and wires through symbols not theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from viz.layout.geometry import Route
from viz.scene.items import Box, Extent, Scene, Text, Wire, moved, overlap

SMALLEST = 11.0
CELL = 80.0  # of the grid in which neighbours are looked for


def faults(scene: Scene, page: float | None = None) -> list[str]:
    """Everything that is wrong, in words.

    Args:
        scene: the picture.
        page: the width at which it is shown; that of its theme by default. A wider picture is scaled down.
    """
    return [*small(scene, page or scene.theme.page), *cut(scene), *overprinted(scene), *pierced(scene)]


def small(scene: Scene, page: float) -> Iterator[str]:
    """Text of less than 11 pixels where it is shown."""
    scale = min(1.0, page / scene.width)
    for text, _ in scene.texts():
        if text.size * scale < SMALLEST - 0.01:
            yield (f"small: {text.plain!r:.40} has {text.size * scale:.1f} px (size {text.size:g}, "
                   f"{scene.width:.0f} px wide on a page of {page:g})")


def cut(scene: Scene) -> Iterator[str]:
    """Text that reaches over the edge."""
    for text, (left, top, right, bottom) in scene.texts():
        if left < -1 or top < -1 or right > scene.width + 1 or bottom > scene.height + 1:
            yield f"cut: {text.plain!r:.60} at {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}"


def overprinted(scene: Scene) -> Iterator[str]:
    """Text over text. The room between a capital letter and the line above is not counted."""
    found = [(text, tight(text, extent)) for text, extent in scene.texts()]
    grid: dict[tuple[int, int], list[int]] = defaultdict(list)
    seen = set()
    for j, (text, extent) in enumerate(found):
        for place in squares(extent):
            for other in grid[place]:
                if (other, j) not in seen and overlap(found[other][1], extent, 1.0):
                    seen.add((other, j))
                    yield f"overprinted: {found[other][0].plain!r:.40} and {text.plain!r:.40}"
            grid[place].append(j)


def tight(text: Text, extent: Extent) -> Extent:
    """Where the ink is: lower than the ascent, higher than the descent."""
    if text.turn:
        return extent
    return extent[0], extent[1] + 0.12 * text.size, extent[2], extent[3] - 0.14 * text.size


def pierced(scene: Scene) -> Iterator[str]:
    """Wires that run through a glyph at which they neither begin nor end. (A highway is a ground, not a wire.)"""
    grid: dict[tuple[int, int], list[tuple[Box, Extent]]] = defaultdict(list)
    wires: list[tuple[Wire, Route]] = []
    for item, x, y in scene.walk():
        if isinstance(item, Box) and isinstance(item.key, tuple) and item.key[0] == "glyph":
            extent = moved(item.extent, x, y)
            for place in squares(extent):
                grid[place].append((item, extent))
        elif isinstance(item, Wire) and item.key is not None and not str(item.key).startswith("('highway'"):
            wires += [(item, route.shifted(x, y)) for route in item.routes]
    for wire, route in wires:
        ends = route.start, route.end
        hit = set()
        for p in route.points():
            for box, extent in grid[int(p[0] // CELL), int(p[1] // CELL)]:
                if inside(p, extent, -3) and not any(inside(end, extent, 4) for end in ends):
                    hit.add(box.key)
        for key in hit:
            yield f"pierced: the wire {wire.key} runs through {key}"


def inside(p: tuple[float, float], extent: Extent, margin: float) -> bool:
    """Is a point inside, with so much room around?"""
    return (extent[0] - margin <= p[0] <= extent[2] + margin) and (extent[1] - margin <= p[1] <= extent[3] + margin)


def squares(extent: Extent) -> Iterator[tuple[int, int]]:
    """The squares of the grid that an extent touches."""
    for i in range(int(extent[0] // CELL), int(extent[2] // CELL) + 1):
        for j in range(int(extent[1] // CELL), int(extent[3] // CELL) + 1):
            yield i, j
