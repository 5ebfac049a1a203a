"""``python -m viz``: draws what a function returns, and says in one line what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

import viz
from tests.viz.nets import own_cell
from viz.__main__ import FILES, main

Capsys = pytest.CaptureFixture[str]
NETS = """
import beside
import viz
import microgradrnn as mg
from microgradrnn import Tensor, Value, mark, nn, scope
import numpy as np

def loss():
    return beside.twice(Value(2.0, label="a")).tanh()

def recurrent():
    hs, h = nn.RNN(2, 3, rng=0)(np.ones((9, 2, 2)))
    return (h * h).sum()

def needs(x, *, y=1): return x
def no_node(): return 3
def fails(): return {}["key"]
def cell(): return nn.GRUCell(2, 3, rng=0)
def nets(): return {"one": recurrent(), "other": recurrent()}
def equations():
    step = mg.compile(nn.RNNCell(2, 3, rng=0))
    step(np.ones((1, 2)), np.zeros((1, 3)))
    return step.equations(time=True)
def net(): return nn.GRU(2, 3, rng=0)
def pair(): return nn.GRU(2, 3, rng=0)(np.ones((9, 2, 2)))
def nothing(): recurrent()
def flow(): return viz.gradient_flow(recurrent())
def ways(): return viz.ways(recurrent())
def words(): return "h"
def drawing(): return viz.draw_rolled(recurrent())
def digraph(): return viz.draw_graph(loss())
def film(): return viz.draw_film(loss())
def page(): return viz.explore(recurrent())
def several(): return {"rnn": recurrent(), "flow": flow()}
def mixed(): return {"rnn": recurrent(), "cell": cell()}
def stops():
    h = Tensor(np.ones((1, 3)), label="h0")
    W = Tensor(np.ones((3, 3)), requires_grad=True)
    for t in range(4):
        with scope("mine", step=t):
            h = mark((h @ (W if t < 3 else np.ones((2, 2)))).tanh(), "h", role="hidden")
    return h.sum()
def comparison(): return viz.compare_flow({"rnn": recurrent()}).draw()
already = Value(1.0) * 2
made = nn.GRUCell(2, 3, rng=0)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module, which imports another one beside it."""
    (tmp_path / "my_nets.py").write_text(NETS)
    (tmp_path / "beside.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_nets", "beside", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("my_nets", "beside", "broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("where", ["my_nets:loss", "my_nets.py:loss", "my_nets:already", "tests.viz.nets:own_cell"])
def test_modules_and_files_are_found(where: str, nets: Path, capsys: Capsys) -> None:
    assert main([where, "--out", "deep/x.svg"]) == 0
    assert capsys.readouterr().out.startswith("written: deep/x.svg (")
    assert Path("deep/x.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_path_from_elsewhere_is_found(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(nets.parent)
    assert main([f"{nets}/my_nets.py:loss", "--out", str(nets / "x.svg")]) == 0


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_is_written_as_everything_it_can_be(kind: str, nets: Path, capsys: Capsys) -> None:
    pytest.importorskip("resvg_py")
    pytest.importorskip("svglib")
    pytest.importorskip("PIL")
    names = [f"{kind}{ending}" for ending in FILES[kind]]
    function = {"film": "loss", "cell": "cell", "compare": "nets", "derivative": "equations"}.get(kind, "recurrent")
    assert main([f"my_nets:{function}", "--kind", kind, "--out", *names]) == 0
    assert capsys.readouterr().out.count(f"({kind}, ") == len(names)
    starts = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF", ".gif": b"GIF8", ".json": b"{",
              ".graphml": b"<?xml", ".gv": b"digraph", ".dot": b"digraph", ".html": b"<!doctype html>",
              ".htm": b"<!doctype html>"}
    for name, ending in zip(names, FILES[kind], strict=True):
        if ending:
            assert Path(name).read_bytes().startswith(starts[ending]), name
        else:
            assert list(Path(name).glob("*.svg"))


def test_the_kind_is_chosen_by_the_graph_and_the_ending(nets: Path, capsys: Capsys) -> None:
    pytest.importorskip("resvg_py")
    pytest.importorskip("PIL")
    for function, out, more, kind in (
        ("cell", "x.svg", [], "cell"),
        ("made", "x.svg", ["--flow"], "cell"), ("nets", "x.svg", [], "compare"),
        ("equations", "x.svg", [], "derivative"),
        ("recurrent", "x.svg", [], "unrolled"), ("loss", "x.svg", [], "graph"), ("recurrent", "x.gv", [], "graph"),
        ("recurrent", "x.svg", ["--fold", "step"], "graph"), ("recurrent", "x.json", ["--fold", "step"], "data"),
        ("loss", "x.gif", [], "film"), ("recurrent", "x.html", [], "explore"), ("several", "x.html", [], "explore"),
    ):
        assert main([f"my_nets:{function}", "--out", out, *more]) == 0
        assert f"({kind}, " in capsys.readouterr().out
    assert viz.read("x.json").nodes["rnn/t3"]["kind"] == "folded"


def test_data_and_pictures_are_written_in_one_go(nets: Path, capsys: Capsys) -> None:
    assert main(["my_nets:recurrent", "--out", "x.json", "x.svg", "y.graphml"]) == 0
    said = capsys.readouterr().out
    assert (said.count("(data, "), said.count("(unrolled, ")) == (2, 1)
    assert nx.utils.graphs_equal(viz.read("x.json"), viz.read("y.graphml"))
    assert Path("x.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_flow_goes_into_the_data_too(nets: Path) -> None:
    assert main(["my_nets:recurrent", "--out", "x.json", "x.svg", "--flow", "--kind", "data"]) == 2
    assert main(["my_nets:recurrent", "--out", "x.json"]) == 0
    plain = viz.read("x.json")
    assert main(["my_nets:recurrent", "--out", "x.json", "--flow"]) == 0
    measured = viz.read("x.json")
    assert list(plain) == list(measured)
    assert not any("message" in said for *_, said in plain.edges(data=True))
    assert any(said.get("message", 0) > 0 for *_, said in measured.edges(data=True))


@pytest.mark.parametrize(("function", "out"), [
    ("drawing", "x.svg"), ("digraph", "x.svg"), ("digraph", "x.gv"), ("film", "x.svg"), ("comparison", "x.svg"),
    ("page", "x.html")])
def test_a_finished_picture_is_saved(function: str, out: str, nets: Path, capsys: Capsys) -> None:
    assert main([f"my_nets:{function}", "--out", out]) == 0
    assert capsys.readouterr().out.startswith(f"written: {out} (as it was returned, ")
    start = {"x.gv": "digraph", "x.html": "<!doctype html>"}.get(out, "<svg")
    assert Path(out).read_text(encoding="utf-8").startswith(start)


def test_a_wide_drawing_of_steps_says_what_is_easier_to_read(nets: Path, capsys: Capsys) -> None:
    for more, hinted in ((["--kind", "graph"], True), (["--kind", "graph", "--fold", "step"], False), ([], False)):
        assert main(["my_nets:recurrent", "--out", "x.svg", *more]) == 0
        assert ("easier to read as --kind unrolled or rolled" in capsys.readouterr().out) == hinted
    assert main(["my_nets:loss", "--out", "x.svg", "--kind", "graph"]) == 0
    assert "easier" not in capsys.readouterr().out


def test_options_do_what_they_say(nets: Path) -> None:
    def svg(*options: str) -> str:
        assert main(["my_nets:recurrent", "--out", "x.svg", *options]) == 0
        return Path("x.svg").read_text(encoding="utf-8")

    assert "t = 0<" in svg("--steps", "0..2")
    assert "t = 3<" not in svg("--steps", "0..2")
    assert "t = 5<" not in svg("--steps", "3")
    assert "t = 6<" in svg("--steps", "3")
    assert "gradient" not in svg()
    assert "gradient sent" in svg("--flow") or "∂" in svg("--flow")
    assert viz.DARK.paper in svg("--theme", "dark")
    assert viz.DARK.paper not in svg()
    assert "my title" in svg("--name", "my title")
    assert "rnn/t4" in svg("--fold", "step")
    assert svg("--fold", "step").count(">W<") == 9, "one at each step: no thicket of lines from one"
    assert "‖grad‖" in svg("--fold", "module", "--flow")
    assert "‖grad‖" not in svg("--fold", "module")
    assert svg("--kind", "rolled") != svg("--kind", "rolled", "--steps", "2")
    assert svg("--kind", "long", "--steps", "1") != svg("--kind", "long", "--steps", "3")
    assert re.search(r"^<svg[^>]* width=\"390", svg("--kind", "ways", "--width", "390"))
    assert re.search(r"^<svg[^>]* width=\"1280", svg("--kind", "ways"))
    assert ">recurrent<" in svg("--kind", "compare"), "a single net is called after its function"
    assert "3 steps back" in svg("--kind", "compare", "--steps", "3")
    assert svg("--kind", "ways", "--steps", "3") != svg("--kind", "ways")


def test_several_nets_are_compared_or_drawn_side_by_side(nets: Path) -> None:
    for more, expected in ((["--kind", "compare"], "steps back"), (["--kind", "unrolled"], "t = 8"),
                           (["--kind", "unrolled", "--flow"], "lag 0")):
        assert main(["my_nets:nets", "--out", "x.svg", *more]) == 0
        svg = Path("x.svg").read_text(encoding="utf-8")
        assert {"one", "other"} <= set(re.findall(r">(\w+)", svg))
        assert expected in svg


def test_the_graph_that_is_written_is_the_traced_one(nets: Path) -> None:
    assert main(["tests.viz.nets:own_cell", "--out", "x.graphml"]) == 0
    assert nx.utils.graphs_equal(viz.read("x.graphml"), viz.trace(own_cell()))


@pytest.mark.parametrize(("words", "said"), [
    ("my_nets", "'my_nets': expected MODULE:FUNCTION, demos.nets:loss say, or FILE.py:FUNCTION"),
    ("nowhere:f", "there is no module 'nowhere' (looked in "),
    ("my_nets.deeper:f", "there is no module 'my_nets.deeper'"),
    ("nowhere.py:f", "nowhere.py: there is no such file"),
    ("my_nets:los", "my_nets has no function 'los'; did you mean 'loss'?"),
    ("beside.py:zzz", "beside.py has no function 'zzz'; it has twice"),
    ("my_nets:needs", "my_nets:needs needs arguments (missing a required argument: 'x'); give a function"),
    ("my_nets:no_node", "my_nets:no_node returned int, not a Value or a Tensor; a plain number has no graph: return"),
    ("my_nets:nothing", "my_nets:nothing returned NoneType, not a Value or a Tensor; is the return missing?"),
    ("my_nets:flow", "my_nets:flow returned Flow, not a Value or a Tensor; return the loss, and say --flow"),
    ("my_nets:ways", "my_nets:ways returned Ways, not a Value or a Tensor; return its picture, .draw()"),
    ("my_nets:words", "my_nets:words returned str, not a Value or a Tensor\n"),
    ("my_nets:cell --kind graph", "my_nets:cell is a cell, GRUCell, which --kind cell draws; for --kind graph return"),
    ("my_nets:cell --out x.json", "--out x.json: cell is written as .svg, .png, .pdf"),
    ("my_nets:net", "my_nets:net returned GRU, not a Value or a Tensor; a net by itself has no graph: return its loss"),
    ("my_nets:pair", "my_nets:pair returned tuple, not a Value or a Tensor; return its first element"),
    ("my_nets:recurrent --kind cell", "returned Tensor; --kind cell draws a cell"),
    ("my_nets:loss --out x", "--out x: the ending says how it is written: .svg, .png, .pdf, .gv"),
    ("my_nets:loss --out x.json x", "--out x: the ending says"),
    ("my_nets:recurrent --out x.json x.svg --kind unrolled", "--out x.json: unrolled is written as .svg, .png, .pdf"),
    ("my_nets:drawing --flow --theme dark", "--flow, --theme: the function returned a finished picture, which is only"),
    ("my_nets:drawing --out x.gif", "'x.gif' ends in .gif; a drawing is saved as .svg, .png or .pdf"),
    ("my_nets:loss --out x.jpg", "--out x.jpg: graph is written as .svg, .png, .pdf, .gv, .dot"),
    ("my_nets:loss --kind film --out x.png", "--out x.png: film is written as .svg, .gif, a folder"),
    ("my_nets:loss --kind sideways", "argument --kind: invalid choice: 'sideways'"),
    ("my_nets:loss --kind rolled", "draw_rolled: this graph has no time steps: wrap"),
    ("my_nets:recurrent --steps 70..80", "draw_unrolled: no steps 70..80; the graph has steps 0..8"),
    ("my_nets:recurrent --steps few", "expected how many, 8 say, or from where to where, 3..7; got 'few'"),
    ("my_nets:recurrent --kind rolled --steps 1..2", "--steps: for rolled how many, not from where to where"),
    ("my_nets:recurrent --kind graph --steps 3", "--steps goes with --kind unrolled, rolled, long, ways and"),
    ("my_nets:recurrent --kind ways --steps 1..2", "--steps: for ways how many, not from where to where"),
    ("my_nets:recurrent --kind ways --flow", "--flow: --kind ways always shows the gradient"),
    ("my_nets:recurrent --width 100", "theme: page is a number of pixels, at least 320; got 100"),
    ("my_nets:recurrent --width wide", "argument --width: invalid int value: 'wide'"),
    ("my_nets:recurrent --width 500 --out x.json", "--width goes with the other kinds, not with data"),
    ("my_nets:nets --kind rolled", "returned several losses, which --kind compare, unrolled and explore draw; for"),
    ("my_nets:cell --kind derivative", "returned GRUCell; --kind derivative draws equations, mg.compile(cell)"),
    ("my_nets:equations --kind cell", "returned Equations; --kind cell draws a cell, such as nn.GRUCell(3, 4)"),
    ("my_nets:equations --kind graph", "returned equations, which --kind derivative draws, and not --kind graph"),
    ("my_nets:drawing --width 500", "--width: the function returned a finished picture, which is only saved"),
    ("my_nets:recurrent --kind long --fold step", "--fold goes with --kind graph and data, not with long"),
    ("my_nets:loss --name x --kind data --out x.json", "--name goes with the other kinds, not with data"),
    ("my_nets:loss --speed 2", "--speed goes with --kind film, not with graph"),
    ("my_nets:loss --kind film --flow", "--flow: --kind film always shows the gradient"),
    ("my_nets:recurrent --kind explore --out x.svg", "--out x.svg: explore is written as .html, .htm"),
    ("my_nets:recurrent --kind explore --flow", "--flow: --kind explore always shows the gradient"),
    ("my_nets:recurrent --kind explore --theme dark", "--theme: the explorer follows the reader's system"),
    ("my_nets:loss --kind explore", "explore: this graph has no time steps: wrap"),
    ("my_nets:mixed --kind explore", "my_nets:mixed: 'cell' is a GRUCell, not a loss"),
    ("my_nets:several --kind explore --width 390", "--width: the explorer fits itself to every width"),
    ("my_nets:page --out x.svg", "'x.svg' ends in .svg; a page is saved as .html"),
    ("my_nets:recurrent --out my_nets.py/x.svg", "my_nets.py: is a file, not a folder"),
])
def test_what_is_wrong_is_said_in_one_line(words: str, said: str, nets: Path, capsys: Capsys) -> None:
    try:
        status = main(words.split(" "))
    except SystemExit as stop:
        status = int(str(stop.code))
    lines = capsys.readouterr().err
    assert status == 2
    assert lines.startswith("viz: ")
    assert said in lines
    assert lines.count("\n") == 1


def test_a_missing_tool_is_said_too(nets: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert main(["my_nets:recurrent", "--out", "x.png"]) == 2
    assert 'viz: PNG needs resvg-py: pip install "microgradrnn[png]"' in capsys.readouterr().err


def test_errors_of_the_function_itself_are_shown_whole(nets: Path) -> None:
    with pytest.raises(KeyError, match="key"):
        main(["my_nets:fails"])
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        main(["broken:f"])


def test_of_a_function_that_raises_the_explorer_shows_what_was_computed_before(nets: Path, capsys: Capsys) -> None:
    with pytest.raises(ValueError, match="inner dimensions 3 and 2 differ"):
        main(["my_nets:stops", "--kind", "explore"])
    assert capsys.readouterr().out == "written: net.html (explore, what was computed before the error)\n"
    assert "inner dimensions 3 and 2 differ" in Path("net.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="inner dimensions"):
        main(["my_nets:stops", "--out", "x.svg"])
    assert not Path("x.svg").exists()


def test_it_runs_as_a_command(nets: Path) -> None:
    run = subprocess.run([sys.executable, "-m", "viz", "my_nets:loss", "--out", "x.svg"], cwd=nets, text=True,
                         capture_output=True, env=None, check=False)
    assert (run.returncode, run.stdout[:23], run.stderr) == (0, "written: x.svg (graph, ", "")
    run = subprocess.run([sys.executable, "-m", "viz", "--help"], text=True, capture_output=True, check=True)
    assert "--fold" in run.stdout
