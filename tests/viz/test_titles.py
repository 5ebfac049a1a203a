"""Every kind of picture states what it found: in its title, in `<title>` and `<desc>`, and drawn in the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import viz
from microgradrnn import Value, compile, nn
from tests.viz.nets import all_losses, last_loss
from viz.numbers import short
from viz.render.drawing import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def recording() -> Drawing:
    recorder = viz.Recorder()
    for _ in range(3):
        recorder(last_loss("lstm"))
    return recorder.draw()  # type: ignore[no-any-return]


def equations() -> Any:
    step = compile(nn.GRUCell(3, 4, rng=0))
    step(np.ones((2, 3)), np.zeros((2, 4)))
    return step.equations()


KINDS: dict[str, Callable[[], Drawing]] = {
    "graph": lambda: viz.draw_graph(Value(2.0, label="f") * 3).drawing,
    "film": lambda: viz.draw_film(Value(2.0, label="f") * 3)[-1],
    "unrolled": lambda: viz.draw_unrolled(viz.gradient_flow(last_loss("lstm"))),
    "unrolled, no flow": lambda: viz.draw_unrolled(last_loss("lstm")),
    "side by side": lambda: viz.draw_unrolled({"a": last_loss("lstm"), "b": last_loss("rnn")}),
    "rolled": lambda: viz.draw_rolled(viz.gradient_flow(last_loss("lstm"))),
    "long": lambda: viz.draw_long(viz.gradient_flow(last_loss("lstm", T=12))),
    "cell": lambda: viz.draw_cell(nn.LSTMCell(3, 4, rng=0)),
    "cell with flow": lambda: viz.draw_cell(nn.LSTMCell(3, 4, rng=0), flow=True),
    "derivative": lambda: viz.draw_derivative(equations()),
    "comparison": lambda: viz.compare_flow({"lstm": last_loss("lstm"), "rnn": last_loss("rnn")}).draw(),
    "ways": lambda: viz.ways(last_loss("lstm")).draw(),
    "text": lambda: viz.draw_text(np.tril(np.ones((3, 3))), "abcd"),
    "text map": lambda: viz.draw_text_map(np.tril(np.ones((3, 3))), "abcd"),
    "recording": recording,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_states_what_it_found(kind: str) -> None:
    drawing = KINDS[kind]()
    scene = drawing.scene
    assert scene is not None
    assert len(scene.title.split()) > 3, "a sentence"
    assert scene.summary
    root = ElementTree.fromstring(drawing.svg)
    assert root.findtext(f"{SVG}title") == scene.title == root.get("aria-label")
    assert root.findtext(f"{SVG}desc") == scene.summary
    if kind == "film":
        return  # above its frames stands what happens in each
    drawn = " ".join(item.plain for item, *_ in scene.keyed("title") if hasattr(item, "plain"))
    assert drawn.split()[0].strip(":") in scene.title, "the title is drawn"


RESULTS: dict[str, Callable[[], Any]] = {
    "flow": lambda: viz.gradient_flow(last_loss("lstm")),
    "comparison": lambda: viz.compare_flow({"lstm": last_loss("lstm")}),
    "ways": lambda: viz.ways(last_loss("lstm")),
    "local errors": lambda: viz.local_errors(all_losses("rnn")),
    "shares": lambda: next(iter(viz.shares(last_loss("rnn")).values())),
    "jacobians": lambda: viz.step_jacobians(last_loss("rnn")),
}


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_result_draws_itself_and_saves_what_it_drew(kind: str, theme: str, tmp_path: Path) -> None:
    result = RESULTS[kind]()
    drawing = result.draw(theme=theme)
    for ending, start in ((".svg", b"<"), (".png", b"\x89PNG"), (".pdf", b"%PDF")):
        assert drawing.save(tmp_path / f"picture{ending}").read_bytes().startswith(start)
    shown = result._repr_mimebundle_()
    assert "<svg" in shown["image/svg+xml"]
    assert shown["text/plain"] == repr(result)


def test_a_result_that_cannot_be_drawn_is_shown_as_text() -> None:
    y = Value(1.0)
    for _ in range(5000):
        y = y * 1.0
    flow = viz.gradient_flow(y)
    assert flow._repr_mimebundle_() == {"text/plain": repr(flow)}


@pytest.mark.parametrize("draw", [viz.draw_unrolled, viz.draw_rolled, viz.draw_long])
def test_a_common_scale_says_the_norm_at_lag_0_of_the_net_that_is_drawn(draw: Callable[..., Drawing]) -> None:
    flows = {name: viz.gradient_flow(last_loss(name) * factor) for name, factor in (("rnn", 1.0), ("lstm", 1000.0))}
    scale = viz.common_scale(flows.values())
    for flow in flows.values():
        scene = draw(flow, scale=scale).scene
        assert scene is not None
        start = next(iter(viz.profiles(flow))).at(0)
        assert start is not None
        assert f"at lag 0 ({short(start)})" in scene.words
