"""Comparisons, ways and texts can be read, at any length, with any names, on a slide, in a column and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import nn
from tests.viz.legible import faults
from tests.viz.scenes import scene_of
from viz.theme import DEFAULT

THEMES = (replace(DEFAULT, page=1280, size=15, small=13), replace(viz.DARK, page=830), replace(DEFAULT, page=390))
NAMES = {"short": "gru", "long": "a gated net whose name goes on and on, " * 4,
         "Chinese": "门控循环单元与长短期记忆网络的比较"}
TEXTS = {"short": "to be or not to be, that is the question\n", "long": "supercalifragilisticexpialidocious\t",
         "Chinese": "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少"}


@cache
def losses(T: int, kind: str) -> dict[str, Any]:
    """A simple net, and a gated one of one layer, of three, or in both directions."""
    xs = np.random.default_rng(0).standard_normal((T, 1, 3))
    options = {"one layer": {}, "three layers": {"num_layers": 3}, "both directions": {"bidirectional": True}}[kind]
    return {"tanh": nn.RNN(3, 4, rng=0)(xs)[1].sum(), "gated": nn.GRU(3, 4, rng=1, **options)(xs)[0][-1].sum()}


@cache
def compared(T: int, kind: str) -> viz.Comparison:
    """The gates apart, where that does not take long."""
    found = losses(T, kind)
    fast = T <= 30 or (kind == "one layer" and T <= 300)
    return viz.compare_flow({net: loss if fast else viz.gradient_flow(loss) for net, loss in found.items()}, lags=1000)


@cache
def ways(T: int, kind: str, by: str) -> viz.Ways:
    return viz.ways(losses(T, kind)["gated"], by=by)


def check(draw: Callable[..., viz.Drawing]) -> None:
    for theme in THEMES:
        scene = scene_of(draw(theme=theme))
        assert faults(scene) == []
        assert scene.width <= theme.page
        assert scene.title.strip()
        assert scene.summary.strip()
        assert any(item.plain for item, _, _ in scene.keyed("title"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("kind", ["one layer", "three layers", "both directions"])
@pytest.mark.parametrize("T", [3, 30, 300])
def test_comparisons_and_ways_can_be_read(T: int, kind: str, names: str) -> None:
    name, found = NAMES[names], compared(T, kind)
    plain, gated = found.tracks
    found = replace(found, tracks=(plain, replace(gated, net=gated.net.replace("gated", name))))
    check(found.draw)
    check(lambda theme: found.draw(theme=theme, name=name))
    if T > 30 and kind != "one layer":
        kind = "one layer"  # splitting many layers takes long, and looks the same
    check(ways(T, kind, "first").draw)
    check(lambda theme: viz.draw_ways({name: ways(T, kind, "last"), "other": ways(T, kind, "number"),
                                       "third": ways(30, kind, "set")}, theme=theme))


def test_a_thousand_steps_can_be_read() -> None:
    check(compared(1000, "one layer").draw)
    check(ways(1000, "one layer", "last").draw)


@pytest.mark.parametrize("words", TEXTS)
@pytest.mark.parametrize("T", [3, 30, 300, 1000])
def test_texts_and_maps_can_be_read(T: int, words: str) -> None:
    text = (TEXTS[words] * T)[:T + 1]
    lag = np.arange(T)[:, None] - np.arange(T)
    C = np.where(lag >= 0, np.exp(-np.abs(lag) / 5.0), 0.0)
    for draw in (viz.draw_text, viz.draw_text_map):
        check(lambda theme, draw=draw: draw(C, text, theme=theme, name=NAMES[words]))


def test_words_as_tokens_can_be_read() -> None:
    words = [*TEXTS.values(), "a", "e\u0301", "\u0301"] * 5
    C = np.tril(np.ones((len(words) - 1,) * 2))
    for draw in (viz.draw_text, viz.draw_text_map):
        check(lambda theme, draw=draw: draw(C, words, theme=theme))
