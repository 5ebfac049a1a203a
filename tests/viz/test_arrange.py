"""Irregular graphs are laid out by whatever is there, and the picture says by what."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import viz
from microgradrnn import Value
from tests.viz.nets import last_loss
from viz.layout import arrange as module
from viz.layout.arrange import GraphvizError, arrange, by_graphviz

TOOLS = ("dot", "pygraphviz", "viz.layout.layered")


def program(folder: Path, code: str) -> None:
    """A stand-in for the dot program."""
    path = folder / "dot"
    path.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    path.chmod(0o755)


WORKS = f"sys.argv[1:] = [sys.argv[1][2:]]\n{module.PYGRAPHVIZ}"


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Leave only these tools on the machine; ``dot`` is what the code given does."""
    def choose(*tools: str, dot: str = WORKS) -> None:
        if "dot" in tools:
            if sys.platform == "win32":
                pytest.skip("the stand-in is a script with a shebang")
            program(tmp_path, dot)
        if "pygraphviz" in tools or ("dot" in tools and dot == WORKS):
            pytest.importorskip("pygraphviz")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(module, "has_pygraphviz", lambda: "pygraphviz" in tools)
    return choose


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_nothing_overlaps_and_edges_go_from_box_to_box(tool: str, rankdir: str, only: Any) -> None:
    only(tool)
    graph = viz.trace(last_loss("gru after", T=3))
    found = arrange(graph, {node: (40 + 3 * len(node), 26) for node in graph}, rankdir=rankdir)
    assert found.by == tool
    for a, b in itertools.combinations(found.boxes.values(), 2):
        assert not a.overlaps(b)
    assert set(found.routes) == set(graph.edges(keys=True))
    for (u, v, _), route in found.routes.items():
        for (x, y), box in ((route.start, found.boxes[u]), (route.end, found.boxes[v])):
            assert box.left - 2 <= x <= box.right + 2
            assert box.top - 2 <= y <= box.bottom + 2
        ahead = (found.boxes[v].x - found.boxes[u].x) if rankdir == "LR" else (found.boxes[v].y - found.boxes[u].y)
        assert ahead > 0
    assert all(box.left >= -1 and box.right <= found.width + 1 for box in found.boxes.values())
    assert all(box.top >= -1 and box.bottom <= found.height + 1 for box in found.boxes.values())


@pytest.mark.parametrize("tool", TOOLS)
def test_the_picture_says_what_arranged_it(tool: str, only: Any, tmp_path: Path) -> None:
    only(tool)
    picture = viz.draw_graph(Value(2.0, label="a") * 3)
    assert picture.laid_out_by == picture.drawing.laid_out_by == tool
    picture.save(tmp_path / "x.svg")
    assert f"<!-- laid out by {tool}" in (tmp_path / "x.svg").read_text(encoding="utf-8")


def test_why_it_was_not_the_others_is_said(only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, sizes = nx.MultiDiGraph([("a", "b")]), {"a": (30.0, 20.0), "b": (30.0, 20.0)}
    only()
    assert str(arrange(graph, sizes)) == "laid out by viz.layout.layered; dot: not installed; pygraphviz: not installed"
    only("dot", dot="sys.exit('no such\\nluck')")
    assert arrange(graph, sizes).instead == {"dot": "failed: luck", "pygraphviz": "not installed"}
    only("dot", "pygraphviz", dot="sys.exit(3)")
    assert str(arrange(graph, sizes)) == "laid out by pygraphviz; dot: failed: exit status 3"
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    only("dot", "pygraphviz", dot="import time; time.sleep(60)")
    assert str(arrange(graph, sizes)) == "laid out by viz.layout.layered; dot: took more than 0.3 s"


def test_a_comment_holds_no_double_hyphen_whatever_graphviz_says(only: Any) -> None:
    only("dot", dot="sys.exit('--> <b> --')")
    assert "--> <b>" not in viz.draw_graph(Value(1.0) * 2).drawing.svg
    assert "dot: failed: - -" in viz.draw_graph(Value(1.0) * 2).drawing.svg


def test_labels_never_reach_graphviz(only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(module, "by_graphviz", lambda text, format: asked.append(text) or by_graphviz(text, format))
    viz.draw_graph(Value(1.0, label='evil"]') * 2).drawing  # noqa: B018
    assert len(asked) == 1
    assert "evil" not in asked[0]


def test_no_graphviz_at_all_says_of_each_why(only: Any) -> None:
    only()
    with pytest.raises(GraphvizError) as caught:
        by_graphviz("digraph {}", "svg")
    assert caught.value.args[0] == {"dot": "not installed", "pygraphviz": "not installed"}


def test_pygraphviz_that_is_made_missing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert not module.has_pygraphviz()


def test_cycles_and_loops_are_arranged_too(only: Any) -> None:
    graph = nx.MultiDiGraph([("a", "b"), ("b", "a"), ("b", "b")])
    for tool in TOOLS:
        only(tool)
        assert set(arrange(graph, dict.fromkeys("ab", (30.0, 20.0))).routes) == set(graph.edges(keys=True))


# ------------------------------------------------------------------------------------------------ files of draw
@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
@pytest.mark.parametrize("tool", TOOLS)
def test_draw_saves_every_kind_of_picture_with_whatever_is_there(tool: str, ending: str, only: Any,
                                                                     tmp_path: Path) -> None:
    if ending != "svg":
        pytest.importorskip({"png": "resvg_py", "pdf": "svglib"}[ending])
    only(tool)
    path = viz.draw_graph(Value(2.0, label="a") * 3).save(tmp_path / "deep" / f"x.{ending}")
    assert Path(path).read_bytes().startswith({"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[ending])


@pytest.mark.parametrize("tool", ["dot", "pygraphviz"])
@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_graphviz_makes_png_and_pdf_where_our_own_way_is_missing(tool: str, ending: str, only: Any, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    only(tool)
    for name in ("resvg_py", "svglib", "svglib.svglib", "reportlab", "reportlab.graphics"):
        monkeypatch.setitem(sys.modules, name, None)
    path = viz.draw_graph(Value(2.0, label="a") * 3).save(tmp_path / f"x.{ending}")
    assert Path(path).read_bytes().startswith({"png": b"\x89PNG", "pdf": b"%PDF"}[ending])


def test_text_that_somebody_changed_is_drawn_by_graphviz(only: Any, tmp_path: Path) -> None:
    only("pygraphviz")
    picture = viz.draw_graph(Value(2.0, label="a") * 3)
    before = picture.drawing
    picture.node("mine", label="my own")
    assert "my own" in picture.drawing.svg
    assert picture.drawing.width > 10
    assert "my own" not in before.svg
    only()
    picture.node("more")
    with pytest.raises(viz.MissingToolError, match=r"needs Graphviz' dot program.*pygraphviz: not installed"):
        picture.save(tmp_path / "x.svg")
    assert picture._repr_mimebundle_() == {"text/plain": picture.source}
