"""The film of backprop: every message is the engine's own, sums add up, nothing jumps, and every kind of file plays."""

from __future__ import annotations

import io
import math
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, grad, mark, scope
from microgradrnn.nn import scalar
from tests.viz.nets import last_loss
from tests.viz.scenes import keyed, words
from tests.viz.svgs import pointing
from viz.pictures.film import ARRIVAL, MOST, STOPS

SVG = "{http://www.w3.org/2000/svg}"


def scalar_rnn(T: int = 3) -> tuple[Value, list[Value]]:
    """A simple RNN of one unit, an input each step, a non-zero initial state."""
    w, u, h = Value(0.7, label="w"), Value(-0.4, label="u"), Value(0.3, label="h0")
    leaves = [w, u, h]
    for t in range(T):
        with scope("rnn", step=t):
            h = mark((w * h + u * (0.5 + t)).tanh(), "h", role="hidden")
    return h, leaves


def story(drawing: viz.Drawing) -> list[str]:
    """What is told in a frame: what happens, and its numbers; the lines of each put together."""
    assert drawing.scene is not None
    said = ["", ""]
    for item, _, _ in drawing.scene.keyed("story"):
        said[item.key[1]] += f" {item.plain}"  # type: ignore[index, attr-defined]
    return [line.strip() for line in said]


def test_every_message_is_upstream_times_local_and_sums_are_the_gradients() -> None:
    root, leaves = scalar_rnn()
    film = viz.draw_film(root)
    assert all(m.message == pytest.approx(m.upstream * m.local, rel=1e-15) for m in film.messages)
    assert all(m.after == pytest.approx((m.before or 0.0) + m.message, rel=1e-15) for m in film.messages)
    last = {m.input: m.after for m in film.messages}
    for leaf, expected in zip(leaves, grad(root, leaves), strict=True):
        assert last[leaf.symbol] == pytest.approx(expected, rel=1e-12)
        assert leaf.grad == 0.0, "no .grad is touched"
    step = 1e-6
    for leaf in leaves:  # and by finite differences, apart from the engine
        values = {x.symbol: x.data for x in leaves}
        ends = []
        for sign in (1, -1):
            h = values["h0"] + sign * step * (leaf.symbol == "h0")
            for t in range(3):
                h = math.tanh((values["w"] + sign * step * (leaf.symbol == "w")) * h
                              + (values["u"] + sign * step * (leaf.symbol == "u")) * (0.5 + t))
            ends.append(h)
        assert last[leaf.symbol] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_an_array_is_summed_message_by_message() -> None:
    x, w = Tensor(np.arange(6.0).reshape(2, 3), label="x"), Tensor(np.arange(12.0).reshape(3, 4) / 7, label="w")
    root = ((x @ w).tanh() * 0.5 + x @ w).sum()
    film = viz.draw_film(root)
    last = {m.input: m.after for m in film.messages}
    for leaf, expected in zip((x, w), grad(root, [x, w]), strict=True):
        np.testing.assert_allclose(last[leaf.symbol], expected, rtol=1e-12)
        assert leaf.grad is None
    assert all(m.local is None for m in film.messages)
    assert "‖grad‖" in " ".join(words(film[-1]))


def test_values_come_first_and_then_one_message_after_the_other() -> None:
    root, _ = scalar_rnn(T=2)
    film = viz.draw_film(root)
    computed = sum(said["kind"] == "computed" for _, said in viz.trace(root).nodes(data=True))
    nothing = [text for text in keyed(film[0], "data").values() if text.plain == "data"]
    assert len(nothing) == computed, "nothing is computed yet"
    assert all(text.datum is None for text in keyed(film[0], "grad").values())
    seed = film[film.stills[computed + 1]]
    assert [text.datum for text in keyed(seed, "grad").values() if text.datum is not None] == [1.0]
    assert story(seed) == ["Backward: it starts at the end", "grad of h1 = 1.0000"]
    for j, (still, m) in enumerate(zip(film.stills[computed + 2:], film.messages, strict=False), 1):
        what, numbers = story(film[still])
        assert what.startswith(f"Backward: message {j} of {len(film.messages)}, from ")
        assert f"upstream {m.upstream:.4f} × local derivative {m.local:.4f} = {m.message:.4f}" in numbers
        arrived = {n.input: n.after for n in film.messages[:j]} | {film.messages[0].consumer: 1.0}
        shown = {node: text.datum for (node,), text in keyed(film[still], "grad").items() if text.datum is not None}
        assert shown == arrived
        assert keyed(film[still], "message")[m.consumer, m.k].datum == m.message
        assert film.seconds[still] == ARRIVAL
    assert len(film) == len(film.stills) + len(STOPS) * len(film.messages)
    assert story(film[-1])[0] == "Done"


def test_the_arrow_of_a_message_points_at_the_input_it_is_for() -> None:
    film = viz.draw_film(scalar_rnn()[0])
    theme = film.scene.theme
    assert pointing(film[0].svg)
    assert not pointing(film[0].svg, fill=theme.now)
    assert len(back := pointing(film[-1].svg, fill=theme.now)) == len(film.messages)
    assert all(x < 0 for x, _ in back), "inputs stand to the left of what reads them"
    assert all(x > 0 for frame in (0, -1) for x, _ in pointing(film[frame].svg, fill=theme.wire))


def test_the_layout_is_the_same_in_all_frames() -> None:
    film = viz.draw_film(scalar_rnn()[0])
    places = [{key: (box.x, box.y, box.w) for key, box in keyed(frame, "glyph").items()} for frame in film]
    assert all(there == places[0] for there in places)
    assert len({(frame.width, frame.height) for frame in film}) == 1


def test_the_title_says_where_the_largest_gradient_is_and_the_summary_gives_numbers() -> None:
    root, leaves = scalar_rnn()
    film = viz.draw_film(root, name="y")
    found = {str(leaf.symbol): abs(g) for leaf, g in zip(leaves, grad(root, leaves), strict=True)}
    largest = max(found, key=found.__getitem__)
    assert film.scene.title.startswith(f"Among the leaves of y, {largest} has the largest gradient: ")
    assert film.scene.summary.startswith(f"{len(film.messages)} messages. ")
    assert film.scene.title in film.svg


def test_speed_shortens_every_frame_and_must_be_positive() -> None:
    film, fast = (viz.draw_film(scalar_rnn(T=1)[0], speed=speed) for speed in (1.0, 4.0))
    assert fast.seconds == [seconds / 4 for seconds in film.seconds]
    assert f"animation:{sum(fast.seconds):.2f}s" in fast.svg
    for speed in (0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="speed is a positive number, 2 for twice as fast"):
            viz.draw_film(scalar_rnn(T=1)[0], speed=speed)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1, 1)])
def test_arrays_of_any_size_are_numbers_or_norms(shape: tuple[int, ...]) -> None:
    x = Tensor(np.full(shape, 3.0), label="x")
    film = viz.draw_film((x * x).sum())
    size = math.sqrt(np.size(x.data))
    assert keyed(film[-1], "grad")["x",].datum == pytest.approx(6 * size)
    assert ("‖grad‖ 8.5" if size > 1 else "grad 6.0000") in words(film[-1])


def test_a_long_film_shows_steps_as_boxes_and_says_so() -> None:
    loss = last_loss("lstm", T=20)
    film, flow = viz.draw_film(loss), viz.gradient_flow(loss)
    folded = viz.fold(flow, by="step")
    assert len(film.messages) <= MOST < len(flow.messages)
    for m in film.messages:
        assert m.message == pytest.approx(folded.edges[m.input, m.consumer, m.k]["message"], rel=1e-12)
    assert [m.after for m in film.messages if m.input == "V"] == [pytest.approx(flow.gradients["V"])]
    assert f"{len(flow.messages)} messages are too many for a film: each time step is one box." in film.scene.summary


def test_a_film_of_an_mlp_goes_by_layers() -> None:
    net = scalar.MLP(2, [16, 16, 1])
    root = net([Value(1.0, label="x1"), Value(-2.0, label="x2")])
    film = viz.draw_film(root)
    sent = [(m.consumer, m.input) for m in film.messages]
    assert sent[:2] == [("layers.2", "layers.1"), ("layers.1", "layers.0")]
    assert set(sent[2:]) == {("layers.0", "x1"), ("layers.0", "x2")}
    flow = viz.gradient_flow(root)
    assert {m.input: m.after for m in film.messages[2:]} == {x: pytest.approx(flow.gradients[x]) for x in ("x1", "x2")}


# ------------------------------------------------------------------------------------------------ files
def test_the_animated_svg_shows_at_every_moment_what_the_frame_shows() -> None:
    film = viz.draw_film(scalar_rnn(T=1)[0])
    root = ET.fromstring(film.svg)
    style = "".join(root.find(SVG + "style").itertext())  # type: ignore[union-attr]
    assert "step-end infinite" in style
    assert "prefers-reduced-motion" in style
    assert root.get("tabindex") == "0"
    assert re.search(r"svg:hover \S+,svg:focus \S+\{animation-play-state:paused\}", style)
    rules = {name: [(float(at), seen) for at, seen in re.findall(r"([\d.]+)%\{visibility:(\w+)\}", body)]
             for name, body in re.findall(r"@keyframes ([\w-]+)\{((?:[^{}]*\{[^{}]*\})+)\}", style)}
    assert len(rules) > 10
    aside = (SVG + "style", SVG + "title", SVG + "desc")
    static = [e for e in root if e.get("class") is None and e.tag not in aside]
    clock, total = 0.0, sum(film.seconds)
    for j, seconds in enumerate(film.seconds):
        at = 100 * (clock + seconds / 2) / total
        seen = [ET.tostring(e) for e in static]
        for group in root.iter(SVG + "g"):
            if (name := group.get("class")) in rules:
                if [state for when, state in rules[str(name)] if when <= at][-1] == "visible":
                    seen += [ET.tostring(e) for e in group]
                if j == len(film) - 1:
                    assert group.get("visibility") == [state for when, state in rules[str(name)] if when <= at][-1]
        frame = [ET.tostring(e) for e in ET.fromstring(film[j].svg) if e.tag not in aside]
        assert sorted(seen) == sorted(frame)
        clock += seconds


def test_the_svg_is_self_contained_and_the_same_every_time() -> None:
    film = viz.draw_film(scalar_rnn()[0])
    assert not re.search(r"<script|https?://(?!www\.w3\.org/2000/svg)|url\(|@import", film.svg)
    assert film.svg == viz.draw_film(scalar_rnn()[0]).svg
    shown = film._repr_mimebundle_()["image/svg+xml"]
    assert re.sub(r"<style>@media\(prefers-color-scheme:dark\).*?</style>", "", shown, count=1) == film.svg


def test_the_gif_has_every_frame_for_its_time_and_loops(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("resvg_py")
    film = viz.draw_film(Value(2.0, label="a") * 3.0)
    gif = image.open(film.save(tmp_path / "deep" / "x.gif"))
    assert gif.n_frames == len(film)
    assert gif.info["loop"] == 0
    for j, seconds in enumerate(film.seconds):
        gif.seek(j)
        assert gif.info["duration"] == pytest.approx(1000 * seconds, abs=10)
        if j in film.stills:
            right = image.open(io.BytesIO(film[j].png(2))).convert("RGB")
            assert np.abs(np.asarray(gif.convert("RGB"), int) - np.asarray(right, int)).mean() < 0.5


def test_a_film_that_is_too_large_for_a_gif_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("resvg_py")
    film = viz.draw_film(Value(2.0) * 3.0)
    film = replace(film, scene=replace(film.scene, width=22_000.0, height=100_000.0))
    with pytest.raises(ValueError, match=r"frames of 22000 x 100000 pixels are too much for a GIF; save as \.svg"):
        film.save(tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_a_folder_gets_the_stills(ending: str, tmp_path: Path) -> None:
    pytest.importorskip({".svg": "viz", ".png": "resvg_py", ".pdf": "svglib"}[ending])
    film = viz.draw_film(Value(2.0, label="a") * 3.0)
    folder = film.save(tmp_path / "new" / "folder", ending)
    assert sorted(p.name for p in folder.iterdir()) == [f"{j:03}{ending}" for j in range(len(film.stills))]
    if ending == ".svg":
        assert (folder / "000.svg").read_text(encoding="utf-8") == film[0].svg


# ------------------------------------------------------------------------------------------------ refusals
def test_refusals(tmp_path: Path) -> None:
    y: Any = Value(1.0)
    for _ in range(MOST + 1):
        y = y.tanh()
    with pytest.raises(ValueError, match=rf"messages are too many for a film \({MOST} at most\).*mg.scope.*draw_graph"):
        viz.draw_film(y)
    with pytest.raises(ValueError, match="rankdir is 'LR' or 'TB', got 'up'"):
        viz.draw_film(Value(1.0) * 2, rankdir="up")
    with pytest.raises(TypeError, match="expected a Value or a Tensor, got float"):
        viz.draw_film(1.0)  # type: ignore[arg-type]
    film = viz.draw_film(Value(1.0) * 2)
    with pytest.raises(ValueError, match=r"'x.mp4' ends in .mp4; a film is an .svg or .gif, or a folder of stills"):
        film.save(tmp_path / "x.mp4")
    with pytest.raises(IndexError, match=f"frame 99 of {len(film)}"):
        film[99]


@pytest.mark.parametrize("name", ["PIL", "resvg_py"])
def test_a_gif_needs_the_extra_gif_and_says_so(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("PIL", "resvg_py"):
        if other != name:
            pytest.importorskip(other)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(viz.MissingToolError, match=rf'^GIF needs.*no {name}:.*microgradrnn\[gif\].*save as .svg'):
        viz.draw_film(Value(1.0) * 2).save(tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [0.0, 1e-12, -3e9, math.inf, math.nan])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_all_sizes_of_numbers_are_shown(value: float) -> None:
    x: Any = Value(value, label="x")
    film = viz.draw_film(x * x + x)
    assert str(film.messages[-1].local)
    for frame in film:
        ET.fromstring(frame.svg)
