"""What tests ask of scenes."""

from __future__ import annotations

from typing import Any

from viz.render.drawing import Drawing
from viz.scene.items import Area, Scene


def scene_of(drawing: Drawing) -> Scene:
    """The scene of a drawing."""
    assert drawing.scene is not None
    return drawing.scene


def words(drawing: Drawing) -> list[str]:
    """Everything that is written."""
    return scene_of(drawing).words.split("\n")


def keyed(drawing: Drawing, kind: str) -> dict[Any, Any]:
    """The items of one kind, by the rest of their keys."""
    return {item.key[1:]: item for item, _, _ in scene_of(drawing).keyed(kind)}  # type: ignore[index]


def data(scene: Scene, kind: str) -> dict[Any, float | None]:
    """The numbers shown by items of a kind, by the rest of their keys; where two share a key, the last counts."""
    return {item.key[1:]: item.datum for item, _, _ in scene.keyed(kind)}  # type: ignore[index]


def thickness(scene: Scene, lane: str) -> dict[str, list[float]]:
    """How thick each band of a stack of shares is, column by column, from the side where the axis begins."""
    found: dict[str, list[float]] = {}
    for item, _, _ in scene.keyed("share"):
        assert isinstance(item, Area)
        assert isinstance(item.key, tuple)
        if item.key[1] == lane:
            for outline in item.outlines:
                upper, lower = outline[: len(outline) // 2], outline[: len(outline) // 2 - 1 : -1]
                found.setdefault(item.key[2], []).extend(b[1] - a[1] for a, b in
                                                         zip(upper[::2], lower[::2], strict=True))
    return found
