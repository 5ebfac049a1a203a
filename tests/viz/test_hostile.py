"""Labels that mean harm: every drawing and every file holds them as text, executes nothing, and loses nothing.

One table of labels, one table of outputs.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope
from viz.graph.export import as_dot, as_graphml, as_json, from_json
from viz.layout import arrange
from viz.render.svg import FORBIDDEN

LABELS = {
    "script": "</svg><script>alert(1)</script>", "style": "</style><style>*{display:none}",
    "event": '" onload="alert(1)',
    "quotes": "\"double\" 'single' `back`", "backslash": "back\\slash \\n \\", "record": "{a|b} <port> [c]",
    "ampersand": "&amp; &#60; &", "cdata": "]]> <![CDATA[", "comment": "--> <!-- x", "lines": "two\nlines\r\nand\ttabs",
    "emoji": "🦜🌊 👩‍👩‍👧", "right to left": "שלום \u202egnorts\u202c", "control": "\x01\x07\x1b[31m\x7f\x85\u2028",
    "surrogate": "\ud800 alone \udfff", "NUL": "a\0b", "not a character": "\ufffe\uffff", "long": "x" * 10_000,
    "colon": "a:b:c", "html": "<b>bold</b>", "percent": "%s %(x)s %00 {0} {x}", "template": "${x} {{y}}", "empty": "",
    "digraph": "digraph", "entity": '<!ENTITY x "y">', "slashes": "../../etc/passwd", "spaces": "   ",
}


def scalar(label: str) -> Value:
    """Two scalars and an operation, all of one name, in a scope of that name."""
    x = Value(0.5, label=label)
    with scope(label or "x"):
        return mark((x * Value(-1.5, label=label)).tanh(), label)


def net(label: str) -> Any:
    """A recurrent net of three steps."""
    h: Any = Tensor(np.full((1, 2), 0.5), label=label)
    W = mark(Tensor(np.eye(2) / 2), label, role="parameter")
    for t in range(3):
        with scope(label or "x", step=t):
            h = mark((h @ W).tanh(), label, role="hidden")
    return mark(h.sum(), label, role="loss")


class Named(nn.Module):
    """A cell that marks with the label; its scope is named after it too."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.U = mark(Tensor(np.full((2, 3), 0.3)), label, role="parameter")
        self.W = mark(Tensor(np.full((3, 3), 0.1)), label, role="parameter")

    def __call__(self, x: Any, h: Any) -> Any:
        return mark((x @ self.U + h @ self.W).tanh(), self.label, role="hidden")


# Each takes a label and gives an SVG.
DRAWINGS: dict[str, Callable[[str], str]] = {
    "unrolled": lambda s: viz.draw_unrolled(net(s), labels=[s] * 3, name=s).svg,
    "unrolled with flow": lambda s: viz.draw_unrolled(viz.gradient_flow(net(s)), labels={0: s}).svg,
    "side by side": lambda s: viz.draw_unrolled({s: viz.gradient_flow(net(s))}, name=s, labels=[s] * 3).svg,
    "draw": lambda s: viz.draw_graph(scalar(s)).drawing.svg,
    "draw with flow": lambda s: viz.draw_graph(net(s), flow=viz.gradient_flow(net(s))).drawing.svg,
    "draw folded": lambda s: viz.draw_graph(viz.fold(net(s), by="step")).drawing.svg,
    "film": lambda s: viz.draw_film(scalar(s)).svg,
    "frame": lambda s: viz.draw_film(scalar(s))[-1].svg,
    "rolled": lambda s: viz.draw_rolled(net(s), name=s).svg,
    "folded": lambda s: viz.draw_long(viz.gradient_flow(net(s)), name=s).svg,
    "cell": lambda s: viz.draw_cell(Named(s), np.ones((1, 2)), state=np.ones((1, 3)), name=s).svg,
}
SVG = "{http://www.w3.org/2000/svg}"
HARMLESS = {"svg", "title", "desc", "defs", "symbol", "use", "g", "path", "rect", "circle", "ellipse", "line",
            "polyline", "polygon", "text", "tspan", "style", "linearGradient", "stop", "clipPath", "pattern", "mask"}


@pytest.fixture
def no_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own layout: no label reaches the others, and they cost a process each."""
    def none(text: str, format: str) -> None:
        raise arrange.GraphvizError({})

    monkeypatch.setattr(arrange, "by_graphviz", none)


def check_svg(svg: str) -> ET.Element:
    """It is well-formed, and there is nothing in it that anybody could execute or load."""
    svg.encode()
    assert not FORBIDDEN.search(svg)
    root = ET.fromstring(svg)
    for e in root.iter():
        name = e.tag.removeprefix(SVG)
        assert name in HARMLESS, name
        for key, value in e.attrib.items():
            assert not key.startswith("on"), key
            assert not key.endswith("href") or value.startswith("#"), value
    assert not [e for e in root.iter(SVG + "style") if "display:none" in "".join(e.itertext())]
    return root


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("drawing", DRAWINGS)
@pytest.mark.usefixtures("no_graphviz")
def test_every_drawing_holds_every_label_as_text(drawing: str, label: str) -> None:
    root = check_svg(DRAWINGS[drawing](label))
    everything = "".join(root.itertext())
    fit = FORBIDDEN.sub("\ufffd", label).replace("\r\n", "\n").replace("\r", "\n")  # as XML has it
    kept = {"long": fit[:4]}.get(next(k for k, v in LABELS.items() if v == label), fit)
    assert kept in everything or re.sub(r"\s", "", shown(label)[:6]) in re.sub(r"\s", "", everything)


def shown(label: str) -> str:
    """What stands in the picture where there is no room for more."""
    from viz.typography import shorten

    return FORBIDDEN.sub("\ufffd", shorten(label, 8).rstrip("…"))


@pytest.mark.parametrize("drawing", DRAWINGS)
@pytest.mark.usefixtures("no_graphviz")
def test_a_long_label_makes_no_picture_wide(drawing: str) -> None:
    assert float(check_svg(DRAWINGS[drawing]("x" * 10_000)).get("width") or "inf") < 6000


@pytest.mark.parametrize("drawing", ["draw", "film", "unrolled", "side by side", "rolled", "folded", "cell"])
@pytest.mark.usefixtures("no_graphviz")
def test_a_shortened_label_is_whole_where_the_pointer_rests(drawing: str) -> None:
    root = check_svg(DRAWINGS[drawing]("x" * 10_000))
    assert max(len("".join(e.itertext())) for e in root.iter(SVG + "title")) >= 10_000
    assert max(len("".join(e.itertext())) for e in root.iter(SVG + "text")) < 200


# ------------------------------------------------------------------------------------------------ text and data
@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_the_dot_of_a_picture_is_parsed_and_holds_no_html(label: str) -> None:
    source = viz.draw_graph(net(label), flow=viz.gradient_flow(net(label))).source
    source.encode()
    plain = viz.draw_graph(net("h"), flow=viz.gradient_flow(net("h"))).source
    assert source.count("\n") == plain.count("\n"), "a label opened a line of its own"
    assert "=<" not in source
    nodes = set(re.findall(r"^\t(n\d+\w*) ", plain, re.MULTILINE))
    pygraphviz = pytest.importorskip("pygraphviz")
    assert set(map(str, pygraphviz.AGraph(string=source).nodes())) == nodes
    pydot = pytest.importorskip("pydot")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (graph,) = pydot.graph_from_dot_data(source)
    assert {node.get_name() for node in graph.get_nodes()} - {"graph", "node", "edge"} == nodes


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_data_loses_nothing(label: str) -> None:
    graph = viz.trace(net(label))
    text = as_json(graph)
    json.loads(text, parse_constant=pytest.fail)
    assert repr(list(from_json(text).nodes(data=True))) == repr(list(graph.nodes(data=True)))
    assert not re.search("[^\n\t -~]", text), "the file is plain ASCII"
    ET.fromstring(as_graphml(graph))
    assert as_dot(graph).count("\n") == as_dot(viz.trace(net("h"))).count("\n")


@pytest.mark.parametrize("label", ["script", "record", "emoji", "lines", "surrogate", "long", "comment"])
@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_files_are_written_whatever_the_label(label: str, ending: str, tmp_path: Path) -> None:
    if ending != "svg":
        pytest.importorskip({"png": "resvg_py", "pdf": "svglib"}[ending])
    path = Path(viz.draw_graph(scalar(LABELS[label])).save(tmp_path / f"x.{ending}"))
    assert path.stat().st_size > 500
    assert viz.draw_rolled(net(LABELS[label]), name=LABELS[label]).save(tmp_path / f"y.{ending}").stat().st_size > 500


# ------------------------------------------------------------------------------------------------ the page
class Reader(HTMLParser):
    """Which elements a page has, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.words: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.handlers += [key for key, _ in attrs if key.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


PAGE = """
import sys
from pathlib import Path
from demos.gradient_flow import main
Path({text!r}).write_text({words!r}, encoding="utf-8", errors="replace", newline="")
sys.exit(main(["--text", {text!r}, "--out", {out!r}, "--steps", "1", "--hidden", "2", "--cells", "rnn"]))
"""


def test_the_page_of_the_demo_holds_a_hostile_text_as_text(tmp_path: Path) -> None:
    import subprocess

    evil = "".join(label.replace("\0", "") for name, label in LABELS.items() if name not in ("long", "surrogate"))
    words = (evil + " and so on. ") * 12
    code = PAGE.format(text=str(tmp_path / "t.txt"), words=words, out=str(tmp_path / "out"))
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent.parent, capture_output=True,
                         text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    page = Reader()
    page.feed((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    assert page.elements.count("script") == 0
    assert not page.handlers
    assert page.elements.count("b") == 0
    for svg in (tmp_path / "out").glob("rnn.svg"):
        check_svg(svg.read_text(encoding="utf-8"))
    json.loads((tmp_path / "out" / "flow.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
