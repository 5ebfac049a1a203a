"""The checker of pictures finds what it looks for. (What it finds in pictures is in `test_every_picture`.)"""

from __future__ import annotations

import pytest

from tests.viz.legible import faults
from viz.layout.geometry import Route
from viz.scene.items import Box, Group, Item, Scene, Text, Wire


def scene(*items: Item, width: float = 400) -> Scene:
    return Scene(list(items), width, 300, "a test")


@pytest.mark.parametrize(("items", "kind"), [
    ([Text(10, 20, "tiny", 9)], "small"),
    ([Text(390, 20, "over the edge")], "cut"),
    ([Text(10, 20, "one"), Group([Text(0, 0, "other")], 12, 22)], "overprinted"),
    ([Box(50, 50, 30, 30, key=("glyph", "f")), Wire([Route((10, 65)).line(200, 65)], key=("edge", "a", 0))], "pierced"),
])  # fmt: skip
def test_a_fault_is_found(items: list[Item], kind: str) -> None:
    assert [fault.split(":")[0] for fault in faults(scene(*items))] == [kind]


def test_a_wide_picture_makes_its_text_small() -> None:
    assert not faults(scene(Text(10, 20, "fine", 11)), page=400)
    assert faults(scene(Text(10, 20, "fine", 11)), page=390)


def test_what_keeps_apart_is_no_fault() -> None:
    wire = Wire([Route((10, 65)).line(50, 65)], key=("edge", "a", 0))
    assert not faults(scene(Text(10, 20, "one"), Text(10, 36, "two"), Box(50, 50, 30, 30, key=("glyph", "f")), wire))
