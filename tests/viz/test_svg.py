"""A scene as SVG: stamps are found where they are used."""

from __future__ import annotations

import re

from viz.render.svg import svg
from viz.scene.items import Scene, Stamps, circle


def test_every_use_finds_its_stamp() -> None:
    stamps = Stamps()
    items = [stamps.use("dot", lambda: [circle(0, 0, 2)], x=x, note=note) for x, note in ((5, ""), (9, "the second"))]
    markup = svg(Scene(list(items), 20, 20, "two dots", stamps=stamps))
    (name,) = re.findall(r'<g id="([^"]+)">', markup)
    assert re.findall(r'<use href="#([^"]+)"', markup) == [name, name]
