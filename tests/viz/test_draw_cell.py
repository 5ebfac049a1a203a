"""The picture of one cell: what is on it, that nothing overlaps or is cut, and that its numbers are the gradient's."""

from __future__ import annotations

import re
from itertools import pairwise
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from microgradrnn import Tensor, concat, mark, nn, sigmoid, tanh
from microgradrnn.nn import scalar
from tests.viz.test_equations import CELLS as KNOWN
from tests.viz.test_equations import D, H
from viz.flow.messages import gradient_flow
from viz.graph.cell_parts import cell_parts
from viz.graph.probe import probe
from viz.layout.cell import lay_out
from viz.pictures.cell import draw_cell, from_outside, message
from viz.pictures.formula_old import formula_width
from viz.theme import DARK, DEFAULT
from viz.typography import text_width

CELLS = {name: (net, given) for name, (net, given, _) in KNOWN.items()}
SVG = "{http://www.w3.org/2000/svg}"


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(SVG + tag))


def words(node: ElementTree.Element) -> str:
    return "".join(node.itertext())


def places(svg: str) -> list[tuple[str, float, float, float, float]]:
    """Every text with the rectangle it stands in: words, left, top, right, bottom. (On the safe side: no kerning.)"""
    found = []
    for node in elements(svg, "text"):
        size = float(node.get("font-size", DEFAULT.size))
        said = words(node)
        w = text_width(node.text or "", size) + sum(
            text_width(part.text or "", size * (0.74 if part.get("font-size") else 1)) for part in node)
        x, y = float(node.get("x", 0)), float(node.get("y", 0))
        left = x - {"end": w, "middle": w / 2}.get(node.get("text-anchor", ""), 0)
        found.append((said, left, y - 0.8 * size, left + w, y + 0.3 * size))
    return found


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_no_label_is_cut_by_the_edge_of_the_picture(name: str, flow: bool) -> None:
    net, given = CELLS[name]
    picture = draw_cell(net, flow=flow, **given)
    for said, left, top, right, bottom in places(picture.svg):
        assert min(left, top) >= 0, said
        assert right <= picture.width, said
        assert bottom <= picture.height, said


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_no_two_labels_overlap(name: str, flow: bool) -> None:
    net, given = CELLS[name]
    found = [place for place in places(draw_cell(net, flow=flow, **given).svg) if place[0].strip()]
    for j, (one, l1, t1, r1, b1) in enumerate(found):
        for other, l2, t2, r2, b2 in found[j + 1:]:
            assert r1 - 2 <= l2 or r2 - 2 <= l1 or b1 - 4 <= t2 or b2 - 4 <= t1, (one, other)


@pytest.mark.parametrize("name", CELLS)
def test_boxes_stand_apart_inside_the_frame_and_hold_their_words(name: str) -> None:
    net, given = CELLS[name]
    parts = cell_parts(probe(net, **given))
    tile = lay_out(parts.cell, DEFAULT)
    boxes = list(tile.boxes.items())
    for j, (one, box) in enumerate(boxes):
        assert 0 <= box.left < box.right <= tile.width, one
        assert 0 <= box.top < box.bottom <= tile.height, one
        assert not any(box.overlaps(other) for _, other in boxes[j + 1:]), one
        glyph = parts.cell.glyphs[one]
        if glyph.shape == "box":
            assert formula_width(glyph.label, DEFAULT.size) <= box.w, glyph.label


@pytest.mark.parametrize("name", CELLS)
def test_every_wire_ends_at_its_box(name: str) -> None:
    net, given = CELLS[name]
    parts = cell_parts(probe(net, **given))
    tile = lay_out(parts.cell, DEFAULT)
    for wire in parts.cell.wires:
        way = (tile.entries if wire.recurrent else tile.routes)[wire.edge]
        box = tile.boxes[wire.target]
        x, y = way.end
        assert box.left - 1 <= x <= box.right + 1, wire
        assert box.top - 1 <= y <= box.bottom + 1, wire


def test_the_same_cell_gives_the_same_bytes() -> None:
    def draw() -> str:
        return draw_cell(nn.LSTMCell(D, H, rng=0), flow=True).svg

    assert draw() == draw()


# ------------------------------------------------------------------------------------------------- the textbook frame
def test_c_runs_straight_along_the_top_and_h_along_the_bottom() -> None:
    parts = cell_parts(probe(nn.LSTMCell(D, H, rng=0)))
    tile, drawn = lay_out(parts.cell, DEFAULT), parts.cell
    symbol = {drawn.symbols[state]: state for state in drawn.states}
    c, h = symbol["c"], symbol["h"]
    assert drawn.symbols[str(tile.main)] == "c"
    belt = [tile.boxes[name].y for name in drawn.main_line()]
    assert len(belt) == 2
    assert set(belt) == {min(box.y for box in tile.boxes.values())}
    (into_c,) = [w for w in drawn.wires if w.recurrent and w.source == c]
    assert {y for _, y in tile.entries[into_c.edge].points()} == set(belt)
    (into_h,) = [w for w in drawn.wires if w.recurrent and w.source == h]
    left, right = tile.entries[into_h.edge].start, tile.exits[h].end
    assert left[1] == right[1] > max(box.bottom for n, box in tile.boxes.items() if drawn.glyphs[n].shape != "input")
    assert (left[0], right[0]) == (0, tile.width)


def test_the_input_comes_from_below_and_the_output_also_leaves_through_the_top() -> None:
    svg = draw_cell(nn.GRUCell(D, H, rng=0)).svg
    frame = next(r for r in elements(svg, "rect") if r.get("rx") == "12")
    top, bottom = float(frame.get("y", 0)), float(frame.get("y", 0)) + float(frame.get("height", 0))
    assert next(t for said, _, t, _, _ in places(svg) if said == "x") > bottom - 4
    assert min(b for said, _, _, _, b in places(svg) if said == "ht") < top


def test_a_fused_product_is_one_box_that_fans_into_four_gates() -> None:
    drawn = cell_parts(probe(nn.LSTMCell(D, H, rng=0))).cell
    (fused,) = [name for name, glyph in drawn.glyphs.items() if glyph.label == "x U + h W + b"]
    targets = [drawn.glyphs[w.target].symbol for w in drawn.wires if w.source == fused]
    assert sorted(map(str, targets)) == ["f", "g", "i", "o"]


def test_slices_of_weights_are_no_boxes() -> None:
    labels = [glyph.label for glyph in cell_parts(probe(nn.GRUCell(D, H, rng=0))).cell.glyphs.values()]
    assert sorted(labels) == sorted(["x", "x U + b", "+ h W_{rz}", "σ", "σ", "1 − z", "×", "×", "×", "+", "tanh",
                                     "+ (r ⊙ h) W_n"])


def test_the_net_input_of_a_single_unit_is_one_box() -> None:
    net, given = CELLS["lstm neuron"]
    labels = [glyph.label for glyph in cell_parts(probe(net, **given)).cell.glyphs.values()]
    assert [label for label in labels if "u_" in label] == [f"x u_{g} + h w_{g} + b_{g}" for g in "ifgo"]


# ------------------------------------------------------------------------------------------------- the key
def test_the_key_lists_what_is_in_the_picture_and_nothing_else() -> None:
    lstm, rnn = draw_cell(nn.LSTMCell(D, H, rng=0)).svg, draw_cell(nn.RNNCell(D, H, rng=0)).svg
    said = [words(node) for node in elements(lstm, "text")]
    assert "forget gate: how much of ct−1 is kept" in said
    assert "logistic function: from 0 (shut) to 1 (open)" in said
    assert not any("gate" in words(node) or "logistic" in words(node) for node in elements(rnn, "text"))


def test_a_gate_that_nothing_reads_is_not_drawn_but_its_columns_are_named() -> None:
    said = [words(node) for node in elements(draw_cell(nn.UpdateGateLSTMCell(D, H, rng=0)).svg, "text")]
    assert f"columns {4 * H + 1} to {5 * H} of U, W, b: nothing here depends on them" in said
    assert "u" not in said


def test_the_equations_stand_under_the_picture() -> None:
    said = [words(node) for node in elements(draw_cell(nn.GRUCell(D, H, rng=0)).svg, "text")]
    assert "= z ⊙ ht−1 + (1 − z) ⊙ n" in said


def test_colours_follow_the_marks_and_not_the_letters() -> None:
    W = Tensor(np.eye(D) / 2)

    def plain(x: Any, h: Any) -> Any:
        return sigmoid(x @ W) * h + tanh(x @ W)

    def marked(x: Any, h: Any) -> Any:
        return mark(mark(sigmoid(x @ W), "f", role="gate") * h + tanh(x @ W), "h", role="hidden")

    example = {"x": np.ones((1, D)), "state": np.ones((1, D))}
    blue = DEFAULT.symbols["f"]
    assert blue not in draw_cell(plain, **example).svg
    assert blue in draw_cell(marked, **example).svg


def test_two_gates_of_one_name_are_told_apart_and_no_weights_are_no_line() -> None:
    def step(x: Any, h: Any) -> Any:
        a, b = mark(sigmoid(x), "a", role="gate"), mark(sigmoid(h), "a", role="gate")
        return mark(a * h + b * x, "h", role="hidden")

    svg = draw_cell(step, x=np.ones((1, D)), state=np.ones((1, D))).svg
    said = [words(node) for node in elements(svg, "text")]
    assert "a σ" in said
    assert "a2 σ" in said
    assert "weights" not in svg


def test_names_from_outside_are_escaped() -> None:
    def step(x: Any, h: Any) -> Any:
        return mark(sigmoid(x + h), "<b>&", role="hidden")

    svg = draw_cell(step, x=np.ones((1, 2)), state=np.ones((1, 2)), name="<script>").svg
    ElementTree.fromstring(svg)
    assert "<b>" not in svg
    assert "<script>" not in svg


def test_the_dark_theme_is_dark() -> None:
    svg = draw_cell(nn.LSTMCell(D, H, rng=0), theme=DARK, flow=True).svg
    assert f'fill="{DARK.paper}"' in svg
    assert DEFAULT.paper not in svg
    assert DEFAULT.ink not in svg


# ------------------------------------------------------------------------------------------------- the gradient
def numbers(svg: str, of: str) -> list[float]:
    return [float(m) for m in re.findall(rf"<title>[^<]*{re.escape(of)}[^<]*: ([0-9.e+-]+)</title>", svg)]


def test_the_number_on_the_belt_is_f_times_the_gradient_of_c() -> None:
    net = nn.LSTMCell(D, H, rng=0)
    step = probe(net)
    parts = cell_parts(step)
    values = {line.symbol: line.node.data for line in parts.equations.lines}
    dc = values["o"] * (1 - np.tanh(values["c"]) ** 2)  # by hand, for a gradient of 1 at h
    (belt,) = [w for w in parts.cell.wires if w.recurrent and parts.cell.glyphs[w.target].label == "×"]
    assert message(parts, gradient_flow(step.whole), belt) == pytest.approx(np.linalg.norm(values["f"] * dc), rel=1e-12)


def test_a_seed_is_the_gradient_that_enters() -> None:
    seed = np.random.default_rng(0).standard_normal((2, H))
    step = probe(nn.LSTMCell(D, H, rng=0), seed=(None, seed))
    parts, flow = cell_parts(step), gradient_flow(step.whole)
    c, h = (next(n for n in parts.cell.states if parts.cell.symbols[n] == s) for s in "ch")
    assert from_outside(parts, flow, c) == pytest.approx(np.linalg.norm(seed), rel=1e-12)
    assert from_outside(parts, flow, h) == 0.0


def test_gradients_beside_the_names_agree_with_finite_differences() -> None:
    net = nn.GRUCell(D, H, reset="after", rng=0)
    step = probe(net)
    parts = cell_parts(step)
    x, h, eps = step.inputs[0].data, step.before[0].data, 1e-6
    slope = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[at] = eps
        slope[at] = (net(x + d, h).data.sum() - net(x - d, h).data.sum()) / (2 * eps)
    (name,) = [n for n, glyph in parts.cell.glyphs.items() if glyph.shape == "input"]
    assert gradient_flow(step.whole).gradients[parts.ids[name]] == pytest.approx(np.linalg.norm(slope), rel=1e-7)


def test_a_seed_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"seed has the shape.*\(2, 4\).*got \(3, 4\)"):
        draw_cell(nn.GRUCell(D, H), flow=np.ones((3, H)))


def test_a_gradient_that_is_not_finite_is_an_alarm_and_the_key_says_so() -> None:
    seed = np.ones((2, H))
    seed[0, 0] = np.inf
    with np.errstate(invalid="ignore"):
        svg = draw_cell(nn.LSTMCell(D, H, rng=0), flow=seed).svg
    assert DEFAULT.alarm in svg
    assert "NaN or infinite" in svg
    assert "NaN or infinite" not in draw_cell(nn.LSTMCell(D, H, rng=0), flow=True).svg


def test_the_key_says_what_zero_looks_like_only_where_there_is_one() -> None:
    assert "exactly zero" in draw_cell(nn.LSTMCell(D, H, rng=0), flow=True).svg  # at c, where nothing enters
    assert "exactly zero" not in draw_cell(nn.RNNCell(D, H, rng=0), flow=True).svg


def test_no_module_hides_a_public_name_of_viz() -> None:
    import viz

    hidden = [name for name in viz.__all__ if isinstance(getattr(viz, name), ModuleType)]
    assert not hidden, f"a file of the same name, imported after the function, takes its place: {hidden}"


# ---------------------------------------------------------------------------------------------- cells of odd shapes
RNG = np.random.default_rng(3)
ODD_U, ODD_W = (Tensor(RNG.standard_normal(shape) / 2) for shape in ((D, H), (H, H)))
ODD: dict[str, Any] = {"x": np.ones((1, D)), "state": np.ones((1, H))}
THREE: dict[str, Any] = {"x": np.ones((1, D)), "state": (np.ones((1, H)),) * 3}


def three_states(x: Any, state: Any) -> Any:
    a, b, c = state
    f = sigmoid(x @ ODD_U + a @ ODD_W)
    a = mark(f * a + (1 - f) * tanh(b), "a", role="cell")
    b = mark(tanh(a) * sigmoid(c @ ODD_W), "b", role="hidden")
    return a, b, mark(c + b, "c")


def layer_norm(x: Any, h: Any) -> Any:
    z = x @ ODD_U + h @ ODD_W
    return tanh((z - z.mean(axis=-1, keepdims=True)) / ((z * z).mean(axis=-1, keepdims=True) + 1) ** 0.5)


def second_order(x: Any, h: Any) -> Any:
    return mark(tanh((x @ ODD_U) * (h @ ODD_W) + h * h), "h", role="hidden")


@pytest.mark.parametrize("flow", [False, True])
def test_the_names_of_three_states_stand_apart(flow: bool) -> None:
    found = [place for place in places(draw_cell(three_states, flow=flow, **THREE).svg) if place[0].strip()]
    for j, (one, l1, t1, r1, b1) in enumerate(found):
        for other, l2, t2, r2, b2 in found[j + 1:]:
            assert r1 - 2 <= l2 or r2 - 2 <= l1 or b1 - 4 <= t2 or b2 - 4 <= t1, (one, other)


def test_what_hangs_under_the_main_line_is_entered_from_its_left_and_left_through_its_foot() -> None:
    drawn = cell_parts(probe(three_states, **THREE)).cell
    tile = lay_out(drawn, DEFAULT)
    symbol = {drawn.symbols[state]: state for state in drawn.states}
    (product,) = [wire for wire in drawn.wires if wire.target == symbol["b"] and drawn.glyphs[wire.source].label == "σ"]
    (carried,) = [wire for wire in drawn.wires if wire.recurrent and wire.target == symbol["c"]]
    for way, box in ((tile.routes[product.edge], tile.boxes[symbol["b"]]),
                     (tile.entries[carried.edge], tile.boxes[symbol["c"]])):
        assert way.end == (box.left, box.y)
    assert tile.exits[symbol["c"]].start == (tile.boxes[symbol["c"]].x, tile.boxes[symbol["c"]].bottom)


@pytest.mark.parametrize("net", [layer_norm, second_order])
def test_no_wire_runs_through_a_box_and_the_main_line_is_no_longer_than_it_must_be(net: Any) -> None:
    drawn = cell_parts(probe(net, **ODD)).cell
    tile = lay_out(drawn, DEFAULT)
    for wire in drawn.wires:
        way = (tile.entries if wire.recurrent else tile.routes)[wire.edge]
        for name, box in tile.boxes.items():
            if name not in (wire.source, wire.target):
                assert not any(box.left < x < box.right and box.top < y < box.bottom for x, y in way.points()), wire
    belt = sorted((box for box in tile.boxes.values() if box.y == min(other.y for other in tile.boxes.values())),
                  key=lambda box: box.x)
    assert len(belt) == 3
    assert all(b.left - a.right < 60 for a, b in pairwise(belt))


def test_every_wire_stays_inside_the_frame() -> None:
    tile = lay_out(cell_parts(probe(scalar.GRUNeuron(3), x=[0.1, 0.2, 0.3])).cell, DEFAULT)
    for way in (*tile.routes.values(), *tile.entries.values(), *tile.exits.values()):
        assert all(0 <= x <= tile.width and 0 <= y <= tile.height for x, y in way.points())


def test_state_and_input_join_on_the_way_into_the_box_that_reads_both() -> None:
    parts = cell_parts(probe(nn.LSTMCell(D, H, rng=0)))
    drawn = parts.cell
    (box,) = [name for name, glyph in drawn.glyphs.items() if glyph.label == "x U + h W + b"]
    into = [wire for wire in drawn.wires if wire.target == box]

    def ends(merging: list[str]) -> set[tuple[float, float]]:
        tile = lay_out(drawn, DEFAULT, merging)
        return {(tile.entries if wire.recurrent else tile.routes)[wire.edge].end for wire in into}

    assert len(into) == len(ends([])) == 2
    ((x, _),) = ends([box])
    assert lay_out(drawn, DEFAULT, [box]).boxes[next(w.source for w in into if not w.recurrent)].x == x
    assert "wires that meet at a box are read side by side, as [h, x]" in draw_cell(nn.LSTMCell(D, H, rng=0)).svg


def test_a_concatenation_for_one_product_is_drawn_as_wires_that_join() -> None:
    W = Tensor(np.ones((D + H, H)))
    one = cell_parts(probe(lambda x, h: tanh(concat([h, x], axis=-1) @ W), **ODD)).cell
    assert sorted(glyph.label for glyph in one.glyphs.values()) == ["[h, x] W1", "tanh", "x"]

    def twice(x: Any, h: Any) -> Any:
        both = concat([h, x], axis=-1)
        return tanh(both @ W) * sigmoid(both @ W)

    assert "[h, x]" in [glyph.label for glyph in cell_parts(probe(twice, **ODD)).cell.glyphs.values()]


def test_only_a_box_whose_columns_are_read_is_said_to_fan_out() -> None:
    said = "a box that fans out: one product for several parts"
    assert said in draw_cell(nn.LSTMCell(D, H, rng=0)).svg
    assert said not in draw_cell(layer_norm, **ODD).svg


def test_names_with_underscores_are_written_as_they_are() -> None:
    def net(x: Any, of_the_net: Any) -> Any:
        return mark(tanh(mark(x @ ODD_U, "net_input") + of_the_net @ ODD_W), "state_of_mine")

    said = [words(node) for node in elements(draw_cell(net, **ODD).svg, "text")]
    assert {"net_input", "state_of_minet", "state_of_minet−1"} <= set(said)


def test_what_is_not_a_number_is_drawn_over_all_else() -> None:
    svg = draw_cell(nn.LSTMCell(D, H, rng=0), flow=np.full((2, H), np.nan)).svg
    lines = [node.get("stroke") for node in elements(svg, "path") if node.get("fill") == "none"]
    first = lines.index(DEFAULT.alarm)
    assert DEFAULT.nothing in lines[:first]
    legend = lines[-3:]
    assert DEFAULT.nothing not in lines[first:-len(legend)]
    assert "!" in [words(node) for node in elements(svg, "text")]
