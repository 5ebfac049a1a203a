"""The themes: legible on their paper, in grey, and to the colour-blind; each a whole of its own."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Value, nn
from tests.viz.nets import last_loss
from viz.theme import DARK, DEFAULT, LEVELS, Theme, contrast, recoloured

THEMES = {"light": DEFAULT, "dark": DARK}


def grey(colour: str) -> float:
    r, g, b = bytes.fromhex(colour[1:])
    return 0.299 * r + 0.587 * g + 0.114 * b


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_words_and_lines_stand_out_from_the_paper(theme: Theme) -> None:
    for ground in (theme.paper, theme.tile):
        assert contrast(theme.ink, ground) > 7
        assert contrast(theme.faint, ground) > 4.4
        for line in (theme.wire, theme.alarm, theme.now):
            assert contrast(line, ground) > 3


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_magnitudes_keep_their_order_in_grey(theme: Theme) -> None:
    lights = [grey(theme.magnitude(j / LEVELS)) for j in range(LEVELS + 1)]
    assert all(a < b for a, b in itertools.pairwise(lights)), "more is lighter, at every level"
    assert theme.magnitude(-1.0) == theme.magnitude(0.0)
    assert theme.magnitude(float("nan")) == theme.magnitude(0.0)
    assert theme.magnitude(7.0) == theme.magnitude(1.0)


def test_no_magnitude_is_lost_on_dark_paper() -> None:
    assert min(contrast(DARK.magnitude(j / LEVELS), DARK.paper) for j in range(LEVELS + 1)) > 3


def seen_by_the_colour_blind(colour: str, kind: str) -> tuple[float, float, float]:
    """Viénot, Brettel and Mollon (1999), on linear light."""
    r, g, b = ((part / 255) ** 2.2 for part in bytes.fromhex(colour[1:]))
    long, middle, short = (17.8824 * r + 43.5161 * g + 4.11935 * b, 3.45565 * r + 27.1554 * g + 3.86714 * b,
                           0.0299566 * r + 0.184309 * g + 1.46709 * b)
    if kind == "protan":
        long = 2.02344 * middle - 2.52581 * short
    else:
        middle = 0.494207 * long + 1.24827 * short
    return (0.080944 * long - 0.130504 * middle + 0.116721 * short,
            -0.0102485 * long + 0.0540194 * middle - 0.113615 * short,
            -0.000365294 * long - 0.00412163 * middle + 0.693513 * short)


def lab(linear: tuple[float, float, float]) -> tuple[float, float, float]:
    """CIE L*a*b*, in which distances are about as large as they look; 2.3 is just seen."""
    r, g, b = (min(max(part, 0.0), 1.0) for part in linear)
    x, y, z = ((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, 0.2126 * r + 0.7152 * g + 0.0722 * b,
               (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089)
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_the_gates_are_told_apart_by_the_colour_blind(theme: Theme, kind: str) -> None:
    seen = {letter: lab(seen_by_the_colour_blind(theme.symbols[letter], kind)) for letter in "fiog"}
    for a, b in itertools.combinations(seen, 2):
        assert math.dist(seen[a], seen[b]) > 12, f"{a} and {b}"  # five times what is just seen


MACHADO = {  # Machado, Oliveira and Fernandes (2009), full strength, on linear light
    "grey": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                        [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def luminance(colour: str, kind: str) -> float:
    parts = np.array([part / 255 for part in bytes.fromhex(colour[1:])])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(np.clip(MACHADO[kind] @ linear, 0, 1) @ [0.2126, 0.7152, 0.0722])


def told_apart(one: str, other: str, kind: str) -> float:
    low, high = sorted((luminance(one, kind), luminance(other, kind)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("kind", MACHADO)
def test_meanings_that_can_touch_differ_in_lightness_whoever_looks(theme: Theme, kind: str) -> None:
    """The ways that are stacked in charts; vanishing, kept and exploding."""
    ways = {letter: theme.symbols[letter] for letter in "fiog"} | {"carry": theme.roles["cell"], "ground": theme.tile}
    changes = {"vanishing": theme.change(0.0), "kept": theme.change(2 / 3), "exploding": theme.change(1.0)}
    for meanings in (ways, changes):
        for a, b in itertools.combinations(meanings, 2):
            assert told_apart(meanings[a], meanings[b], kind) >= 1.5, f"{a} and {b}"


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_changes_keep_their_order_in_grey(theme: Theme) -> None:
    lights = [luminance(theme.change(j / LEVELS), "grey") for j in range(LEVELS + 1)]
    assert all(a < b for a, b in itertools.pairwise(lights))


def test_a_notebook_shows_dark_pictures_where_the_reader_prefers_them() -> None:
    light, dark = (viz.draw_cell(nn.GRUCell(3, 4, rng=0), theme=theme) for theme in ("light", "dark"))
    shown = light._repr_mimebundle_()["image/svg+xml"]
    assert "@media(prefers-color-scheme:dark)" in shown
    assert f'[fill="{DEFAULT.paper}"]{{fill:{DARK.paper}}}' in shown
    assert "prefers-color-scheme" not in light.svg + dark._repr_mimebundle_()["image/svg+xml"]


def test_both_themes_say_the_same_things() -> None:
    assert DEFAULT.colours.keys() == DARK.colours.keys()
    pairs: dict[str, str] = {}
    for key, colour in DEFAULT.colours.items():
        assert pairs.setdefault(colour, DARK.colours[key]) == DARK.colours[key], f"{key} could not be recoloured"


PICTURES = {
    "draw": lambda theme: viz.draw_graph(Value(2.0, label="f") * 3, theme=theme).drawing,
    "draw with flow": lambda theme: viz.draw_graph(last_loss("rnn", T=2), flow=viz.gradient_flow(last_loss("rnn", T=2)),
                                             theme=theme).drawing,
    "film": lambda theme: viz.draw_film(Value(2.0, label="f") * 3, theme=theme)[-5],
    "unrolled": lambda theme: viz.draw_unrolled(viz.gradient_flow(last_loss("lstm")), theme=theme),
    "side by side": lambda theme: viz.draw_unrolled({"a": viz.gradient_flow(last_loss("lstm"))}, theme=theme),
    "rolled": lambda theme: viz.draw_rolled(viz.gradient_flow(last_loss("lstm")), beside=True, theme=theme),
    "folded": lambda theme: viz.draw_long(viz.gradient_flow(last_loss("lstm", T=12)), theme=theme),
    "cell": lambda theme: viz.draw_cell(nn.LSTMCell(3, 4, rng=0), flow=True, theme=theme),
}


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("picture", PICTURES)
def test_every_painter_takes_its_colours_from_the_theme(picture: str, theme: Theme) -> None:
    svg = PICTURES[picture](theme).svg
    used = set(re.findall(r"#[0-9a-fA-F]{3,8}\b", svg))
    assert used
    assert used <= set(theme.colours.values())
    assert not re.search(r'"(black|white|red|green|blue|gr[ae]y|currentColor)"|var\(', svg)


def test_css_recolours_exactly_what_a_dark_picture_would_have() -> None:
    light, dark = (PICTURES["unrolled"](theme).svg for theme in (DEFAULT, DARK))
    rules = dict(re.findall(r'\[fill="(#\w+)"\]\{fill:(#\w+)\}', recoloured()))
    strokes = dict(re.findall(r'\[stroke="(#\w+)"\]\{stroke:(#\w+)\}', recoloured()))
    assert rules == strokes
    painted = re.sub(r'(fill|stroke)="(#\w+)"', lambda m: f'{m[1]}="{rules[m[2]]}"', light)
    colours = re.compile(r'(?:fill|stroke)="(#\w+)"')
    assert set(colours.findall(painted)) >= set(colours.findall(dark)) - {DARK.ink}


def test_css_leaves_alone_what_it_is_not_for() -> None:
    assert recoloured(".paper").splitlines()[0].startswith('[fill="#1f2933"]:not(.paper *){fill:')
    assert recoloured(".paper").count(":not(.paper *)") == 2 * len(recoloured().splitlines())


def test_a_theme_that_is_none_is_refused_by_every_picture_with_what_to_write() -> None:
    loss = last_loss("lstm")
    text = np.tril(np.ones((3, 3)))
    recorder = viz.Recorder()
    recorder(loss)
    pictures: list[Callable[..., Any]] = [
        partial(viz.draw_unrolled, loss), partial(viz.draw_unrolled, {"a": loss}), partial(viz.draw_rolled, loss),
        partial(viz.draw_long, loss), partial(viz.draw_graph, loss),
        partial(viz.draw_film, Value(1.0) * 2), partial(viz.draw_cell, nn.GRUCell(2, 3, rng=0)),
        partial(viz.draw_text, text, "abcd"), partial(viz.draw_text_map, text, "abcd"), viz.ways(loss).draw,
        recorder.draw, viz.compare_flow({"lstm": loss}).draw,
    ]
    for picture in pictures:
        with pytest.raises(TypeError, match=r"'light', 'dark', 'slides', 'print', or a viz.Theme; got 17"):
            picture(theme=17)
        with pytest.raises(ValueError, match="there is no 'night'"):
            picture(theme="night")
        picture(theme=viz.DARK)


@pytest.mark.parametrize(("changes", "said"), [
    ({"page": 50}, "page is a number of pixels, at least 320"), ({"page": math.nan}, "page"),
    ({"page": math.inf}, "page"), ({"font_size": 0}, "size is a number of pixels, more than 0"), ({"gap": -1}, "gap"),
    ({"ink": "red"}, "ink has 'red'"), ({"ink": "#fff"}, "#rrggbb"), ({"roles": {"cell": "blue"}}, "roles has 'blue'"),
    ({"magnitudes": ("#000000",)}, "two colours or more"),
])
def test_a_theme_that_cannot_be_drawn_is_refused_where_it_is_made(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        viz.set_theme(**changes)
    assert viz.draw_graph(Value(2.0)).drawing.scene.theme == DEFAULT, "nothing was chosen"


def test_fields_of_a_theme_have_types_and_are_given_once() -> None:
    with pytest.raises(TypeError, match="page is a number of pixels; got '800'"):
        Theme(page="800")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="font_size and size are the same"):
        viz.set_theme(font_size=15, size=13)


def test_all_pictures_fit_the_narrowest_page() -> None:
    flow = viz.gradient_flow(last_loss("lstm", 12))
    theme = Theme(page=320)
    for draw in (viz.draw_unrolled, viz.draw_rolled, viz.draw_long):
        scene = draw(flow, theme=theme).scene
        assert scene is not None
        assert scene.words


@pytest.mark.parametrize("wrong", [(0, 0, None), (5, -5, None), (1, 2, 1.0), (-2, -1, 1.0), (-2, 0, math.nan),
                                   (-2, 0, 0.0)])
def test_a_scale_without_a_decade_or_an_anchor_is_refused(wrong: tuple[int, int, float | None]) -> None:
    with pytest.raises(ValueError, match="Scale: "):
        viz.Scale(*wrong)


def test_a_dark_page_knows_every_colour_of_every_picture() -> None:
    """But the ink that stands on colours: it is read on both."""
    loss = nn.LSTM(3, 4, rng=0)(np.ones((6, 1, 3)))[1][0].sum()
    recorder = viz.Recorder()
    recorder(loss)
    known = {*DEFAULT.colours.values(), "#111111", "#fefefe"}
    for drawing in (recorder.draw(), viz.ways(loss).draw(), viz.compare_flow({"lstm": loss}).draw(),
                    viz.draw_rolled(viz.gradient_flow(loss)), viz.draw_text(np.tril(np.ones((4, 4))), "abcde")):
        assert set(re.findall("#[0-9a-f]{6}", drawing.svg)) <= known
    assert not {"#111111", "#fefefe"} & set(DEFAULT.colours.values()), "what stands on colours is not turned around"
