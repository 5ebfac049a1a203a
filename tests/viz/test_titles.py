"""Every kind of picture states what it found: in its title, in `<title>` and `<desc>`, and drawn in the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import viz
from microgradrnn import Value, compile, nn
from tests.viz.nets import last_loss
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
