"""Reading a picture back: every shape of an SVG, its stamps expanded, in the coordinates of the picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

SVG = "{http://www.w3.org/2000/svg}"
Shape = tuple[ET.Element, float, float]


def shapes(svg: str) -> Iterator[Shape]:
    """Every rect, circle, line, path and text that is seen, and how far it was moved."""
    root = ET.fromstring(svg)
    stamps = {e.get("id"): e for e in root.iter() if e.get("id")}

    def walk(e: ET.Element, dx: float, dy: float) -> Iterator[Shape]:
        if e.tag in (SVG + "defs", SVG + "title"):
            return
        if there := re.match(r"translate\(([-\d.]+),([-\d.]+)\)", e.get("transform", "")):
            dx, dy = dx + float(there[1]), dy + float(there[2])
        if e.tag == SVG + "use":
            stamp = stamps[e.get("href", "")[1:]]
            yield from walk(stamp, dx + float(e.get("x", 0)), dy + float(e.get("y", 0)))
        elif e.tag in (SVG + "svg", SVG + "g"):
            for child in e:
                yield from walk(child, dx, dy)
        else:
            yield e, dx, dy

    return walk(root, 0.0, 0.0)


def of(svg: str, kind: str, **attributes: str) -> list[Shape]:
    """The shapes of one kind with these attributes, ``stroke_width`` for ``stroke-width``."""
    return [(e, dx, dy) for e, dx, dy in shapes(svg) if e.tag == SVG + kind
            and all(e.get(key.replace("_", "-")) == value for key, value in attributes.items())]


def wording(e: ET.Element) -> str:
    """The text of an element."""
    return "".join(e.itertext())


def points(d: str) -> list[tuple[float, float]]:
    """The corners and control points of a path. A curve lies inside those of its pieces."""
    found: list[tuple[float, float]] = []
    x = y = 0.0
    for command, rest in re.findall(r"([MLHVClz])([^MLHVClz]*)", d):
        numbers: list[Any] = [float(n) for n in re.findall(r"-?[\d.]+", rest)]
        if command == "H":
            x = numbers[0]
        elif command == "V":
            y = numbers[0]
        else:
            for a, b in zip(numbers[::2], numbers[1::2], strict=True):
                x, y = (x + a, y + b) if command == "l" else (a, b)
                found.append((x, y))
            continue
        found.append((x, y))
    return found


def pointing(svg: str, **attributes: str) -> list[tuple[float, float]]:
    """Where the arrowheads with these attributes point: from the middle of each triangle to its tip."""
    triangles = [points(e.get("d", "")) for e, _, _ in of(svg, "path", **attributes) if e.get("d", "").endswith("z")]
    return [(tip[0] - (a[0] + b[0]) / 2, tip[1] - (a[1] + b[1]) / 2) for tip, a, b in triangles]
