"""Pictures as files: well-formed whatever the labels, honest about zero and NaN, at any number of steps."""

from __future__ import annotations

import builtins
import io
import math
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import graphviz
import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope
from tests.viz.legible import faults
from tests.viz.nets import CELLS, all_losses, last_loss, own_cell, two_layers
from tests.viz.scenes import keyed, words
from tests.viz.svgs import of, pointing, wording
from viz.graph.cells import one_cell
from viz.graph.steps import layers
from viz.numbers import decimals, short
from viz.render.drawing import in_pixels, put_pieces_together
from viz.scale import Scale
from viz.theme import CIVIDIS, DEFAULT

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = ["</svg><script>alert(1)</script>", '"quoted" & \'single\'', "back\\slash {a|b} <x>", "two\nlines", "🦜🌊",
           "\x00\x07\x1b", "שלום", "]]>", "x" * 10_000, "a:b", "<b>bold</b>", "&amp;", ""]


def parsed(drawing: viz.Drawing) -> ET.Element:
    return ET.fromstring(drawing.svg)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("with_flow", [False, True])
def test_every_cell_is_drawn_with_its_symbols(name: str, with_flow: bool) -> None:
    loss = last_loss(name, T=12)
    drawing = viz.draw_unrolled(loss, flow=viz.gradient_flow(loss) if with_flow else None)
    said = words(drawing)
    steps = [int(w.split(",")[0][4:]) for w in said if w.startswith("t = ")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 11
    assert steps[0] == 0 or not with_flow, "the step where the gradient has vanished"
    assert "h11" in said
    assert any(w.startswith("⋯") for w in said)
    assert any(w.startswith("L = ") for w in said)
    assert sum(w.startswith("W 4×") for w in said) == 1, "weights are named once, not once a step"


@pytest.mark.parametrize("T", [1, 2, 200])
def test_one_step_and_two_hundred(T: int) -> None:
    loss = last_loss("lstm", T=T)
    drawing = viz.draw_unrolled(viz.gradient_flow(loss), last=T)
    assert drawing.svg.count(">f σ<") == 1, "a cell is drawn once, ..."
    assert sum(wording(e) == "f σ" for e, _, _ in of(drawing.svg, "text")) == T, "... and stamped at every step"
    assert len(viz.draw_unrolled(loss, last=T).svg) < 20_000 + 1_000 * T


def test_a_thousand_steps_with_the_flow_on_every_edge_stay_small() -> None:
    loss = last_loss("lstm", T=250)
    size = len(viz.draw_unrolled(viz.gradient_flow(loss), last=250).svg)
    assert size < 250_000 + 250 * 1_500, "it was 6.7 MB for a thousand steps"


def test_own_cells_layers_and_graphs_without_steps_are_drawn() -> None:
    for root in (own_cell(), own_cell(marked=False), two_layers(), all_losses("gru before"), Value(2.0) * 3 + 1,
                 (Tensor(np.ones((2, 2))) @ Tensor(np.ones((2, 2)))).sum()):
        for flow in (None, viz.gradient_flow(root)):
            parsed(viz.draw_unrolled(root, flow=flow))


def test_a_loss_on_every_step_is_seen_at_every_step() -> None:
    drawing = viz.draw_unrolled(viz.gradient_flow(all_losses("lstm")))
    shown = {w.split(",")[0][4:] for w in words(drawing) if w.startswith("t = ")}
    assert len(shown) > 1
    assert shown <= set(re.findall(r"<title>from h at t = (\d) to [a-z]", drawing.svg))


def test_a_skip_over_time_is_drawn() -> None:
    h: list[Any] = [Tensor(np.ones((1, 2))), Tensor(np.ones((1, 2)))]
    for t in range(5):
        with scope("skip", step=t):
            h.append(mark((h[-1] + h[-2]).tanh(), "h", role="hidden"))
    parsed(viz.draw_unrolled(viz.gradient_flow(h[-1].sum())))


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_labels_do_no_harm(label: str) -> None:
    h: Any = Value(0.5, label=label)
    for t in range(3):
        with scope(label or "x", step=t):
            h = mark((h * 0.5).tanh(), label, role="hidden")
    flow = viz.gradient_flow(h)
    for drawing in (viz.draw_unrolled(h, labels=[label] * 3, name=label), viz.draw_unrolled(flow, labels={0: label}),
                    viz.draw_unrolled({label: flow})):
        root = parsed(drawing)
        assert not list(root.iter(SVG + "script"))
        assert len(words(drawing)) > 3
    dot = viz.draw_graph(h, flow=flow).source
    assert dot.count("\n") < 40, "a label opened a line of its own"
    assert "=<" not in dot, "a label became HTML"


@pytest.mark.parametrize(("label", "field"), [
    ("a|b", r"a\|b"), ("{x}", r"\{x\}"), ("<x>", r"\<x\>"), ("a\\b", r"a\\b"), ('say "hi"', r'say \"hi\"'),
    ("a\nb", r"a\nb"),
    ("a:b", "a:b"),
])
def test_dot_labels_are_escaped(label: str, field: str) -> None:
    source = viz.draw_graph(Value(1.0, label=label)).source
    assert f"{{ {field} | data 1.0000 | grad 0.0000 }}" in source


def test_draw_shows_values_gradients_and_operations() -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    y = (a * b).tanh()
    y.backward()
    dot = viz.draw_graph(y)
    assert isinstance(dot, graphviz.Digraph)
    assert f"a | data 2.0000 | grad {decimals(a.grad)}" in dot.source
    assert "label=tanh" in dot.source
    assert 'label="*"' in dot.source
    assert dot.source == viz.draw_graph(y).source
    assert viz.draw_graph(a * a).source.count("n0 -> n1op") == 2
    with pytest.raises(ValueError, match="rankdir"):
        viz.draw_graph(y, rankdir="up")


def test_draw_shows_itself_in_a_notebook_without_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    bundle = viz.draw_graph(Value(1.0))._repr_mimebundle_()
    assert "digraph" in bundle["text/plain"]
    assert bundle["image/svg+xml"].startswith("<svg")


# ------------------------------------------------------------------------------------------------ encoding
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_zero_and_nan_have_looks_of_their_own() -> None:
    def net(factor: float) -> Any:
        h: Any = Tensor(np.ones((1, 2)))
        for t in range(3):
            with scope(step=t):
                h = mark(h * Tensor(np.full((1, 2), factor)), "h", role="hidden")
        return h.sum()

    zero, usual, bad = (viz.draw_unrolled(viz.gradient_flow(net(factor))) for factor in (0.0, 0.5, math.nan))
    assert zero.svg.count("stroke-dasharray") >= 2
    assert usual.svg.count("stroke-dasharray") == 0
    assert words(bad).count("!") >= 2
    for drawing, there in ((zero, {"exactly zero"}), (usual, set()), (bad, {"NaN or infinite"})):
        assert {"exactly zero", "NaN or infinite"} & set(words(drawing)) == there, "what is in the picture, no more"


def test_width_and_colour_follow_the_decades() -> None:
    scale = Scale(-8, 2)
    assert [round(scale.width(10.0**d), 3) for d in (-9, -8, -3, 2, 3)] == [0.5, 0.5, 3.25, 6.0, 6.0]
    assert scale.colour(0.0) == DEFAULT.magnitude(0)
    assert Scale.of([1e-3, 5e-2, 0.0, math.nan]) == Scale(-3, -1)
    assert Scale.of([1e-300, 1.0]) == Scale(-10, 0)
    assert Scale.of([]) == Scale()


def test_cividis_gets_lighter_all_the_way() -> None:
    def light(colour: str) -> float:
        r, g, b = bytes.fromhex(colour[1:])
        return 0.299 * r + 0.587 * g + 0.114 * b

    lights = [light(DEFAULT.magnitude(x / 100)) for x in range(101)]
    assert lights == sorted(lights)
    assert len(CIVIDIS) == 17


def test_what_is_compared_has_one_scale() -> None:
    flows = {name: viz.gradient_flow(last_loss(name, T=9)) for name in ("rnn", "lstm")}
    together = viz.draw_unrolled(flows)
    assert sum(w.startswith("message along each wire") for w in words(together)) == 1
    scale = viz.common_scale(flows.values())
    assert together.svg == viz.draw_unrolled(flows, scale=scale).svg
    ids = re.findall(r' id="([^"]+)"', together.svg)
    assert len(ids) == len(set(ids)) > 2


def test_pictures_are_the_same_every_time() -> None:
    assert viz.draw_unrolled(last_loss("gru after")).svg == viz.draw_unrolled(last_loss("gru after")).svg


def test_numbers_beside_the_states_are_the_gradients() -> None:
    flow = viz.gradient_flow(last_loss("lstm"))
    assert short(flow.gradients["lstm/t3/c"]) in words(viz.draw_unrolled(flow))


def test_a_flow_shows_gradients_where_grad_is_still_zero_and_can_be_drawn_alone() -> None:
    x, y = Value(3.0, label="x"), Value(-4.0, label="y")
    z = x * y + x
    flow = viz.gradient_flow(z)
    for source in (viz.draw_graph(z, flow=flow).source, viz.draw_graph(flow).source):
        assert "x | data 3.0000 | ‖grad‖ 3 " in source
        assert "y | data -4.0000 | ‖grad‖ 3 " in source
        assert "grad 0.0000" not in source
    assert "‖grad‖ 3" in words(viz.draw_graph(flow).drawing)
    z.backward()
    assert "x | data 3.0000 | grad -3.0000" in viz.draw_graph(z, flow=flow).source
    with pytest.raises(TypeError, match=r"draw_graph: flow is what viz.gradient_flow\(loss\) returns, got Value"):
        viz.draw_graph(z, flow=z)  # type: ignore[arg-type]


def test_flows_are_given_by_name() -> None:
    loss = last_loss("rnn")
    with pytest.raises(TypeError, match=r"plot_norms: flows is a dict from the name of each net.*got list"):
        viz.plot_norms([loss])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="plot_norms: 'rnn' is a Tensor; give its flow"):
        viz.plot_norms({"rnn": loss})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"plot_norms.*: this graph has no time steps"):
        viz.plot_norms({"net": viz.gradient_flow(Value(2.0) * 3)})


def test_an_edge_says_in_words_what_it_joins() -> None:
    said = viz.draw_unrolled(viz.gradient_flow(last_loss("lstm"))).svg
    assert re.search(r"<title>from i to i × g at t = 5: [\d.e-]+</title>", said)
    assert re.search(r"<title>from c at t = 4 to f × c at t = 5: ", said)
    assert "operand" not in said


def test_the_legend_stands_above_the_nets_and_the_logits_are_no_gate() -> None:
    drawing = viz.draw_unrolled(viz.gradient_flow(last_loss("lstm")))
    said = words(drawing)
    first = [next(j for j, w in enumerate(said) if w.startswith(what)) for what in ("message along each wire", "t = ")]
    assert first == sorted(first)
    assert "linear (logits)" in said
    assert "o (2, 5)" not in said


def test_what_flows_up_into_the_main_line_has_an_arrowhead() -> None:
    loss = last_loss("gru before", T=3)
    flow = viz.gradient_flow(loss)
    layer = layers(flow.graph)[0]
    heads = len(of(viz.draw_unrolled(flow).svg, "path", stroke_width="0.7"))
    edges = sum(1 for t in range(3) for wire in one_cell(flow.graph, layer, [0, 1, 2]).wires
                if not (wire.recurrent and t == 0))
    assert heads > edges + 2, "one arrowhead an edge, two for the two boxes, and more where lines join"


# ------------------------------------------------------------------------------------------------ nets without marks
def leaf_loop(T: int = 4, scoped: bool = True) -> Any:
    """A loop as one writes it first: no marks, no modules, a transposed and a sliced weight, Tensors as inputs."""
    rng = np.random.default_rng(0)
    U, W, b = Tensor(rng.standard_normal((4, 3))), Tensor(rng.standard_normal((8, 4))), Tensor(np.zeros(4), label="b")
    h: Any = Tensor(np.zeros((1, 4)))
    for t, x in enumerate([Tensor(rng.standard_normal((1, 3))) for _ in range(T)]):
        with scope(step=t if scoped else None):
            h = (x @ U.T + h @ W[:4] + b).tanh()
    return (h * h).sum()


def test_weights_without_marks_are_named_on_the_rail_and_are_no_inputs() -> None:
    said = words(viz.draw_unrolled(viz.gradient_flow(leaf_loop())))
    assert said.count("x") == 4, "the one input of each step"
    assert "x W1ᵀ + h W2 + b" in said
    assert [w.split("  ")[0] for w in said if "∂L/∂" in w] == ["W1 4×3", "W2 8×4", "b 4"]


def test_a_weight_made_inside_the_first_step_is_a_weight() -> None:
    h: Any = np.zeros((1, 4))
    W: Any = None
    for t in range(4):
        with scope(step=t):
            W = Tensor(np.eye(4)) if W is None else W
            h = (h @ W + 1).tanh()
    flow = viz.gradient_flow(h.sum())
    assert flow.state_names() == ["h"]
    assert "x" not in words(viz.draw_unrolled(flow))
    assert any(w.startswith("W1 4×4") for w in words(viz.draw_unrolled(flow)))


def test_states_without_marks_are_called_h_and_s2() -> None:
    flow = viz.gradient_flow(own_cell(marked=False))
    assert flow.state_names() == ["s2", "h"]
    assert flow.profile("s2").state == "s2" != flow.profile().state == "h"
    assert {a.state for a in flow.arrivals.values()} == {"s2", "h"}
    said = words(viz.draw_unrolled(flow))
    assert {"h4", "s24", "x + h W1"} <= set(said)
    assert not [w for w in said if "add" in w or "·" in w]
    assert viz.gradient_flow(own_cell()).state_names() == ["m", "h"]


def test_a_graph_without_steps_says_nothing_of_time() -> None:
    flow = viz.gradient_flow(leaf_loop(scoped=False))
    said = words(viz.draw_unrolled(flow))
    assert [w for w in said if re.search(r"\btime\b|\bstep|T = ", w)] == [hint for hint in said if "wrap each" in hint]
    for ask in (flow.horizon, flow.profile):
        with pytest.raises(ValueError, match=re.escape("wrap each step of your loop in `with scope(step=t):`, or use")):
            ask()


# ------------------------------------------------------------------------------------------------ files
@pytest.mark.parametrize("name", ["x.gv", "x.dot", None])
def test_draw_writes_its_text_as_gv_and_dot(name: str | None, tmp_path: Path) -> None:
    dot = viz.draw_dot(Value(1.0) * 2)
    written = Path(dot.save(name, tmp_path))
    assert written == tmp_path / (name or dot.filename)
    assert written.read_text(encoding="utf-8") == dot.source


@pytest.mark.parametrize("name", ["x.gif", "x.jpg", "x"])
def test_draw_refuses_other_endings_and_writes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.svg, \.png or \.pdf, its DOT text as \.gv or \.dot"):
        viz.draw_graph(Value(1.0) * 2).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_render_and_pipe_need_the_program_and_say_what_works_without(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    dot = viz.draw_graph(Value(1.0) * 2)
    for ask in (dot.pipe, lambda: dot.render(tmp_path / "y"), lambda: dot.view(tmp_path / "z")):
        with pytest.raises(viz.MissingToolError, match=r"(?s)install graphviz.*\.save.*viz\.draw_unrolled.*\.source"):
            ask()


def test_a_drawing_saves_and_shows_itself(tmp_path: Path) -> None:
    drawing = viz.draw_unrolled(last_loss("rnn"))
    assert drawing.save(tmp_path / "x.svg").read_text(encoding="utf-8") == drawing.svg
    assert drawing._repr_mimebundle_()["text/plain"] == repr(drawing)
    with pytest.raises(ValueError, match=r"saved as \.svg, \.png or \.pdf"):
        drawing.save(tmp_path / "x.jpg")


def test_png_needs_resvg_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(viz.MissingToolError, match=re.escape('pip install "microgradrnn[png]"') + ".*save as .svg"):
        viz.draw_unrolled(last_loss("rnn")).save(tmp_path / "x.png")


def test_pdf_needs_svglib_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "svglib.svglib", None)
    with pytest.raises(viz.MissingToolError, match=re.escape('pip install "microgradrnn[pdf]"') + ".*save as .svg"):
        viz.draw_unrolled(last_loss("rnn")).save(tmp_path / "x.pdf")


def test_pdf_is_a_pdf_with_its_fonts_and_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("svglib")
    drawing = viz.draw_unrolled(viz.gradient_flow(last_loss("rnn")))
    file = drawing.save(tmp_path / "x.pdf").read_bytes()
    assert file.startswith(b"%PDF")
    assert b"/FontFile2" in file
    assert file == drawing.pdf()


def test_in_a_pdf_per_cents_are_of_the_page_and_of_the_font_around() -> None:
    svg = ('<svg xmlns="http://www.w3.org/2000/svg" font-size="20"><rect width="50%" height="100%"/>'
           '<text font-size="10">h<tspan font-size="80%">t</tspan></text></svg>')
    root = ET.fromstring(in_pixels(svg, 300, 40))
    assert [(e.get("width"), e.get("height")) for e in root.iter(SVG + "rect")] == [("150", "40")]
    assert [e.get("font-size") for e in root.iter(SVG + "tspan")] == ["8"]


def test_in_a_pdf_every_stamp_is_drawn_at_every_use() -> None:
    drawing = viz.draw_unrolled(viz.gradient_flow(last_loss("gru before", T=5)))
    root = ET.fromstring(in_pixels(drawing.svg, drawing.width, drawing.height))
    assert not list(root.iter(SVG + "use")), "svglib leaves out those that have a title, as wires have"
    for kind in ("path", "rect", "circle", "text"):
        assert len(list(root.iter(SVG + kind))) == len(of(drawing.svg, kind)) > 0


@pytest.mark.parametrize(("anchor", "share"), [("start", 0.0), ("middle", 0.5), ("end", 1.0)])
def test_in_a_pdf_pieces_of_a_line_stand_one_after_another(anchor: str, share: float) -> None:
    pytest.importorskip("svglib")
    from reportlab.pdfbase.pdfmetrics import stringWidth
    from svglib.svglib import svg2rlg

    svg = ('<svg xmlns="http://www.w3.org/2000/svg" width="300" height="90"><text x="100" y="50" font-size="12" '
           f'text-anchor="{anchor}">long name<tspan dy="3" font-size="9">t</tspan><tspan dy="-3"> = 1</tspan></text>'
           "</svg>")
    page = svg2rlg(io.BytesIO(svg.encode()))
    put_pieces_together(page)
    line = page.contents[0].contents[0]
    widths = [stringWidth(piece.text, piece.fontName, piece.fontSize) for piece in line.contents]
    starts = 100 - share * sum(widths) + np.cumsum([0, *widths[:-1]])
    np.testing.assert_allclose([piece.x for piece in line.contents], starts, rtol=1e-12)
    assert {piece.textAnchor for piece in line.contents} == {"start"}


def test_png_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    assert viz.draw_unrolled(last_loss("rnn")).save(tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_plots_need_matplotlib_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from viz.plots import curves as plots

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *a, **k: (_ for _ in ()).throw(ImportError())
                        if name.startswith("matplotlib") else real(name, *a, **k))
    with pytest.raises(viz.MissingToolError, match=re.escape('pip install "microgradrnn[plots]"')):
        plots.plot_norms({"rnn": viz.gradient_flow(last_loss("rnn"))})


# ------------------------------------------------------------------------------------------------ refusals
def test_wrong_arguments_are_refused() -> None:
    loss = last_loss("rnn")
    with pytest.raises(ValueError, match=r"no steps 10..12; the graph has steps 0..5"):
        viz.draw_unrolled(loss, steps=(10, 12))
    with pytest.raises(ValueError, match="at least 1"):
        viz.draw_unrolled(loss, last=0)
    with pytest.raises(TypeError, match="flow= is for a single net"):
        viz.draw_unrolled({"rnn": last_loss("rnn")}, flow=viz.gradient_flow(last_loss("rnn")))
    with pytest.raises(ValueError, match="no nets"):
        viz.draw_unrolled({})
    with pytest.raises(TypeError, match="expected a Value or a Tensor"):
        viz.draw_unrolled("loss")  # type: ignore[arg-type]


def test_a_net_called_step_by_step_is_drawn_like_an_unrolled_one() -> None:
    cell, x = nn.LSTMCell(3, 4, rng=0), np.ones((5, 1, 3))
    state = None
    for t in range(5):
        with scope(step=t):
            state = cell(x[t], state)
    assert state is not None
    assert "c4" in words(viz.draw_unrolled(state[0].sum()))


# ------------------------------------------------------------------------------------------------ folded graphs
def test_draw_draws_folded_graphs() -> None:
    loss = last_loss("lstm", T=8)
    flow = viz.gradient_flow(loss)
    said = words(viz.draw_graph(viz.fold(loss, by="step", repeat=1)).drawing)
    assert {"lstm/t0", "lstm/t1..t6", "6 × 14 nodes", "6 edges"} <= set(said)
    small = viz.fold(loss, by="step", repeat=1, flow=flow)
    drawing = viz.draw_graph(small).drawing
    sent = {(v, k): g for _, v, k, g in small.edges(keys=True, data="message") if g is not None}
    assert sent
    assert {edge: wire.datum for edge, wire in keyed(drawing, "edge").items() if wire.datum is not None} == sent
    assert {edge: text.datum for edge, text in keyed(drawing, "message").items()} == sent
    assert keyed(drawing, "grad")["W",].datum == small.nodes["W"]["gradient"]
    assert "lstm/t1..t6" in viz.draw_graph(small).source


# ------------------------------------------------------------------------------------------------ graphs of values
def scalar_rnn(T: int) -> Value:
    """A simple RNN of one unit."""
    w, u, h = Value(0.7, label="w"), Value(-0.4, label="u"), Value(0.3, label="h0")
    for t in range(T):
        with scope("rnn", step=t):
            h = mark((w * h + u * (0.5 + t % 3)).tanh(), "h", role="hidden")
    return h


@pytest.mark.parametrize("T", [3, 40])
def test_every_number_in_a_graph_of_values_is_that_of_the_flow(T: int) -> None:
    root = scalar_rnn(T)
    flow = viz.gradient_flow(root)
    drawing = viz.draw_graph(root, flow=flow).drawing
    graph = viz.trace(root)
    assert {node: text.datum for (node,), text in keyed(drawing, "data").items()} == dict(graph.nodes(data="value"))
    assert {node: text.datum for (node,), text in keyed(drawing, "grad").items()} == flow.gradients
    assert {edge: text.datum for edge, text in keyed(drawing, "message").items()} == flow.messages
    assert {edge for edge, wire in keyed(drawing, "edge").items() if wire.datum is None} == {
        (v, k) for _, v, k in graph.edges(keys=True)} - flow.messages.keys()


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_a_graph_wider_than_the_page_is_cut_into_rows_and_nothing_is_lost(rankdir: str) -> None:
    y = sum((scalar_rnn(12) for _ in range(5)), Value(0.0))
    drawing = viz.draw_graph(y, rankdir=rankdir).drawing
    graph = viz.trace(y)
    assert len(graph) > 300
    assert drawing.width <= 1280
    boxes, names = keyed(drawing, "glyph"), keyed(drawing, "name")
    assert {key for (key,) in boxes if not isinstance(key, tuple)} == set(graph)
    assert set(keyed(drawing, "edge")) == {(v, k) for _, v, k in graph.edges(keys=True)}
    pills = keyed(drawing, "again")
    assert pills
    for (node, _), pill in pills.items():
        assert pill.plain == names[node,].plain, "a pill says what its record says"


def test_every_time_step_begins_a_row_that_says_which_it_is() -> None:
    scene = viz.draw_graph(last_loss("lstm", T=3), theme=viz.Theme(page=1000)).drawing.scene
    assert [item.plain for item, _, _ in scene.keyed("head")] == [f"lstm, t = {t}" for t in range(3)]


def test_of_a_long_net_of_arrays_the_steps_between_are_one_box_unless_its_graph_is_given() -> None:
    loss = last_loss("lstm", T=12)
    flow = viz.gradient_flow(loss)
    for drawn in (loss, flow):
        boxes = {key for (key,) in keyed(viz.draw_graph(drawn).drawing, "glyph")}
        assert {"lstm/t0/c", "lstm/t1..t10", "lstm/t11/c"} <= boxes
        assert "lstm/t5/c" not in boxes
    whole = viz.draw_graph(viz.trace(loss)).drawing
    assert set(viz.trace(loss)) <= {key for (key,) in keyed(whole, "glyph")}
    sent = keyed(viz.draw_graph(flow).drawing, "edge")
    small = viz.fold(flow, by="repeat", repeat=1, hide=())
    assert {edge: wire.datum for edge, wire in sent.items() if wire.datum is not None} == {
        (v, k): g for _, v, k, g in small.edges(keys=True, data="message") if g is not None}


def test_rows_end_where_time_steps_end() -> None:
    drawing = viz.draw_graph(scalar_rnn(5), theme=viz.Theme(page=1200)).drawing
    last = {key: box.y for (key,), box in keyed(drawing, "glyph").items() if str(key).endswith("/h")}
    assert len(set(last.values())) == 5
    again = {node for node, _ in keyed(drawing, "again")}
    assert again == {"w", "u", *(f"rnn/t{t}/h" for t in range(4))}, "no half of a step is read in another row"


def test_numbers_on_wires_hide_nothing_and_each_stands_at_its_own_wire() -> None:
    x = Tensor(np.ones((2, 2)), label="x")
    y = x
    for _ in range(2):
        y = y * y + x * x
    flow = viz.gradient_flow(y.sum())
    drawing = viz.draw_graph(flow).drawing
    assert not faults(drawing.scene)
    wires = keyed(drawing, "edge")
    for edge, text in keyed(drawing, "message").items():
        near = min(math.hypot(text.x - px, text.y - 4 - py) for px, py in wires[edge].routes[0].points(40))
        assert near < 16
    assert len(keyed(drawing, "message")) == len(flow.messages)


def test_the_title_names_what_is_given_with_the_largest_gradient() -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    y = a * b
    plain = viz.draw_graph(y).drawing.scene
    assert plain.title == "The multiply is computed from 2 values in 1 operation"
    y.backward()
    for flow in (None, viz.gradient_flow(y)):
        drawing = viz.draw_graph(y, flow=flow, name="y").drawing
        assert drawing.scene.title == "Among the leaves of y, a has the largest gradient: −3"
        assert keyed(drawing, "grad")["a",].datum == -3.0
    recurrent = viz.draw_graph(viz.gradient_flow(scalar_rnn(4)), name="my net").drawing.scene
    assert recurrent.title.startswith("my net keeps ")


def test_weights_of_the_same_name_say_whose_they_are() -> None:
    net = nn.scalar.MLP(2, [2, 1])
    root = net([Value(1.0, label="x1"), Value(-2.0, label="x2")])
    drawing = viz.draw_graph(root).drawing
    said = [text.plain for text in keyed(drawing, "name").values()]
    own = [w for w in said if w.startswith(("w", "b"))]
    assert len(own) == len(set(own)) == len(net.parameters())
    assert {"w0, layers.0/neurons.1", "b, layers.1/neurons.0"} <= set(own)
    assert {said["kind"] for _, said in viz.trace(root).nodes(data=True) if said["name"].startswith("x")} == {"leaf"}


def test_states_carry_their_step_and_their_number_is_that_of_the_step() -> None:
    names = keyed(viz.draw_graph(scalar_rnn(3)).drawing, "name")
    assert {names[f"rnn/t{t}/h",].plain for t in range(3)} == {"h0", "h1", "h2"}
    assert list(names["rnn/t2/h",].words) == [("h", 0), ("2", -1)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("factor", "look"), [(0.0, "stroke-dasharray"), (math.nan, viz.DARK.alarm)])
def test_draw_shows_zero_and_nan_with_looks_of_their_own(factor: float, look: str) -> None:
    x = Tensor(np.ones((1, 2)))
    y = (x * Tensor(np.full((1, 2), factor))).sum()
    fine = (x * Tensor(np.full((1, 2), 0.5))).sum()
    pictures = [viz.draw_graph(root, flow=viz.gradient_flow(root), theme=viz.DARK).drawing.svg for root in (y, fine)]
    assert pictures[0].count(look) > pictures[1].count(look)


def test_draw_does_not_run_words_out_of_their_fields() -> None:
    drawing = viz.draw_graph(Value(2.0, label="a" * 500) * Value(-1e-30, label="wwwwwwwwwwwwwwwwwwwwwwwwwww")).drawing
    boxes = keyed(drawing, "glyph")
    fields = [item for what in ("name", "data", "grad") for item in keyed(drawing, what).items()]
    assert len(fields) == 8
    for (node,), text in fields:
        left, top, right, bottom = boxes[node,].extent
        assert left <= text.extent[0] < text.extent[2] <= right
        assert top <= text.extent[1] < text.extent[3] <= bottom


def test_arrows_point_forwards_with_the_values_and_back_with_the_messages() -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    y = (a * b + 1.0).tanh()
    assert len(heads := pointing(viz.draw_graph(y).drawing.svg)) == 5 + 3, "an edge each, and a line to each result"
    assert all(x > 0 for x, _ in heads)
    flow = viz.gradient_flow(y)
    assert len(heads := pointing(viz.draw_graph(y, flow=flow).drawing.svg)) == len(flow.messages) == 4
    assert all(x < 0 for x, _ in heads)
    assert all(y < 0 for _, y in pointing(viz.draw_graph(y, flow=flow, rankdir="TB").drawing.svg))
    assert viz.draw_graph(y, flow=flow).source.count("dir=back") == 4
    assert " dir=" not in viz.draw_graph(y).source
    folded = viz.draw_graph(viz.fold(last_loss("rnn"), by="step", flow=viz.gradient_flow(last_loss("rnn")))).drawing
    assert len(heads := pointing(folded.svg)) > 4
    assert all(x < 0 for x, _ in heads)


def test_a_loop_that_names_no_steps_is_told_how_and_nothing_is_ignored_silently() -> None:
    hint = ["This graph has no time steps: wrap each step of your loop in `with scope(step=t):`, or use nn.unroll.",
            "As it is, all of it is drawn, whatever last= says."]
    drawing = viz.draw_unrolled(leaf_loop(scoped=False), last=2)
    assert words(drawing)[-2:] == hint
    assert drawing.height > max(float(e.get("y", 0)) + dy for e, _, dy in of(drawing.svg, "text")) + 3
    longer = viz.draw_unrolled(leaf_loop(T=9, scoped=False), last=2)
    assert len(words(longer)) > len(words(drawing)), "all of it is drawn"
    for fine in (leaf_loop(), Tensor(np.ones((2, 3))) @ Tensor(np.ones((3, 1)))):
        assert not set(hint) & set(words(viz.draw_unrolled(fine)))
    with pytest.raises(ValueError, match=r"steps=\(0, 1\): this graph has no time steps: wrap each step"):
        viz.draw_unrolled(leaf_loop(scoped=False), steps=(0, 1))


@pytest.mark.parametrize("T", [1, 4, 9])
def test_arrows_of_a_graph_in_ranks_are_not_turned_round_by_rounding(T: int) -> None:
    loss = leaf_loop(T, scoped=False)
    assert all(x > 0 for x, _ in pointing(viz.draw_unrolled(loss).svg))
    assert all(x < 0 for x, _ in pointing(viz.draw_unrolled(viz.gradient_flow(loss)).svg))


def test_numbers_too_small_for_four_decimals_are_not_written_as_zero() -> None:
    a = Value(1e-9, label="a")
    y = a * Value(-2e6)
    y.backward()
    drawing = viz.draw_graph(y).drawing
    assert {"data 10⁻⁹", "data -2.00·10⁶", "grad -2.00·10⁶"} <= set(words(drawing))
    assert keyed(drawing, "data")["a",].datum == 1e-9
    assert keyed(drawing, "grad")["a",].datum == -2e6
    assert "-0.0000" not in words(viz.draw_graph(Value(-0.0)).drawing)
