"""The picture of one cell: what is on it, that nothing overlaps or is cut, and that its numbers are the gradient's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from microgradrnn import Tensor, concat, mark, nn, sigmoid, tanh
from microgradrnn.nn import scalar
from tests.viz.legible import faults
from tests.viz.test_equations import CELLS as KNOWN
from tests.viz.test_equations import D, H
from viz.flow.messages import gradient_flow
from viz.graph.cell_parts import cell_parts
from viz.graph.probe import probe
from viz.layout.cell import lay_out
from viz.numbers import short
from viz.pictures.cell import draw_cell, from_outside, message
from viz.render.drawing import Drawing
from viz.scene.formula import formula_width
from viz.scene.items import Box, Scene, Text, Wire
from viz.theme import DARK, DEFAULT

CELLS = {name: (net, given) for name, (net, given, _) in KNOWN.items()}
PAGES = {"slide": 1280, "column": 830, "phone": 390}


def words(picture: Drawing) -> list[str]:
    """All texts of a picture."""
    return [text.plain for text, _ in the_scene(picture).texts()]


def the_scene(picture: Drawing) -> Scene:
    assert picture.scene is not None
    return picture.scene


def found(picture: Drawing, kind: str) -> dict[Any, Any]:
    """The items of a picture with a key of one kind, by the rest of the key."""
    return {item.key[1]: item for item, _, _ in the_scene(picture).keyed(kind) if isinstance(item.key, tuple)}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_everything_can_be_read_and_no_wire_runs_through_a_symbol(name: str, flow: bool, page: str) -> None:
    net, given = CELLS[name]
    picture = draw_cell(net, flow=flow, theme=replace(DEFAULT, page=PAGES[page]), **given)
    assert not faults(the_scene(picture))


def test_where_the_page_is_narrow_a_cell_stands_in_more_rows_or_writes_sums_briefly() -> None:
    def labels(page: str) -> list[str]:
        net, given = CELLS["lstm neuron"]
        return words(draw_cell(net, theme=replace(DEFAULT, page=PAGES[page]), **given))

    assert labels("phone").count("Σ") == 5, "in four boxes and in the key"
    assert "Σ" not in labels("slide")
    net, given = CELLS["jordan softmax"]
    glyphs = [{item.key[1]: item for item, _, _ in the_scene(draw_cell(net, theme=replace(DEFAULT, page=page), **given))
               .keyed("glyph") if isinstance(item, Box)} for page in (1280, 390)]  # type: ignore[index]
    wide, narrow = (len({box.y for box in boxes.values()}) for boxes in glyphs)
    assert narrow > wide


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
    scene = the_scene(draw_cell(nn.GRUCell(D, H, rng=0)))
    frame = next((item, y) for item, _, y in scene.walk() if isinstance(item, Box) and item.radius == 12)
    top, bottom = frame[1], frame[1] + frame[0].h
    assert next(extent[1] for text, extent in scene.texts() if text.plain == "x") > bottom - 4
    assert min(extent[3] for text, extent in scene.texts() if text.plain == "ht") < top


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
    lstm, rnn = words(draw_cell(nn.LSTMCell(D, H, rng=0))), words(draw_cell(nn.RNNCell(D, H, rng=0)))
    assert "forget gate: how much of ct−1 is kept" in lstm
    assert "logistic function: from 0 (shut) to 1 (open)" in lstm
    assert any("c is carried" in line for line in lstm)
    assert not any(word in line for line in rnn for word in ("gate", "logistic", "carried"))


def test_a_gate_that_nothing_reads_is_not_drawn_but_its_columns_are_named() -> None:
    said = words(draw_cell(nn.UpdateGateLSTMCell(D, H, rng=0)))
    assert f"columns {4 * H + 1} to {5 * H} of U, W, b: nothing here depends on them" in said
    assert "u" not in said


def test_the_equations_stand_under_the_picture() -> None:
    said = words(draw_cell(nn.GRUCell(D, H, rng=0)))
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

    said = words(draw_cell(step, x=np.ones((1, D)), state=np.ones((1, D))))
    assert "a σ" in said
    assert "a2 σ" in said
    assert not any("weights" in line for line in said)


def test_two_gates_of_one_kind_have_one_colour() -> None:
    def step(x: Any, h: Any) -> Any:
        a, b = mark(sigmoid(x), "i", role="gate"), mark(sigmoid(h), "i", role="gate")
        return mark(a * h + b * x, "h", role="hidden")

    gates = [item for key, item in found(draw_cell(step, x=np.ones((1, D)), state=np.ones((1, D))), "glyph").items()
             if key.startswith("i")]
    assert [gate.stroke for gate in gates] == [DEFAULT.symbols["i"]] * 2


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
def test_every_number_in_the_picture_is_that_of_the_flow() -> None:
    net = nn.GRUCell(D, H, rng=0)
    step = probe(net)
    parts, flow = cell_parts(step), gradient_flow(step.whole)
    picture = draw_cell(net, flow=True)
    edges = {("edge", *wire.edge): message(parts, flow, wire) for wire in parts.cell.wires}
    drawn = {item.key: item.datum for item, _, _ in the_scene(picture).keyed("edge")}
    assert drawn == edges
    written = found(picture, "message")
    assert len(written) > 6
    for key, text in written.items():
        assert text.datum == edges.get(key, flow.gradients[parts.ids[str(parts.output)]])
        assert text.words == short(text.datum)
    badges = found(picture, "state")
    assert {node: text.datum for node, text in badges.items()} == {node: flow.gradients[node] for node in badges}
    assert {parts.ids["h"], parts.before["h"]} <= set(badges)


def test_a_number_stands_at_its_wire_and_at_no_other() -> None:
    def step(x: Any, h: Any) -> Any:
        return mark(sigmoid(x @ ODD_U + h @ ODD_W) * h, "h", role="hidden")

    scene = the_scene(draw_cell(step, flow=True, **ODD))
    wires = {item.key: [*item.routes[0].shifted(x, y).points(60)] for item, x, y in scene.keyed()
             if isinstance(item, Wire) and item.key[0] in ("edge", "output")}  # type: ignore[index]
    for item, x, y in scene.keyed("message"):
        assert isinstance(item, Text)
        left, top, right, low = item.extent
        middle = x + (left + right) / 2, y + (top + low) / 2
        far = {key: min(abs(p - middle[0]) + abs(q - middle[1]) for p, q in way) for key, way in wires.items()}
        assert min(far, key=far.__getitem__) == item.key[1]  # type: ignore[index]


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
        picture = draw_cell(nn.LSTMCell(D, H, rng=0), flow=seed)
    assert DEFAULT.alarm in {item.stroke for item, _, _ in the_scene(picture).keyed("edge")}  # type: ignore[attr-defined]
    assert "NaN or infinite" in words(picture)
    assert the_scene(picture).title == "LSTMCell: the gradient at c is not finite"
    assert "NaN or infinite" not in words(draw_cell(nn.LSTMCell(D, H, rng=0), flow=True))


def test_the_key_says_what_zero_looks_like_only_where_there_is_one() -> None:
    assert "exactly zero" in words(draw_cell(nn.LSTMCell(D, H, rng=0), flow=True))  # at c, where nothing enters
    assert "exactly zero" not in words(draw_cell(nn.RNNCell(D, H, rng=0), flow=True))


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
    assert "wires that meet at a box are read side by side, as [h, x]" in words(draw_cell(nn.LSTMCell(D, H, rng=0)))


def test_a_concatenation_for_one_product_is_drawn_as_wires_that_join() -> None:
    W = Tensor(np.ones((D + H, H)))
    one = cell_parts(probe(lambda x, h: tanh(concat([h, x], axis=-1) @ W), **ODD)).cell
    assert sorted(glyph.label for glyph in one.glyphs.values()) == ["[h, x] W1", "tanh", "x"]

    def twice(x: Any, h: Any) -> Any:
        both = concat([h, x], axis=-1)
        return tanh(both @ W) * sigmoid(both @ W)

    assert "[h, x]" in [glyph.label for glyph in cell_parts(probe(twice, **ODD)).cell.glyphs.values()]


def test_only_a_box_whose_columns_are_read_is_said_to_fan_out() -> None:
    said = "a box that fans out: one product for several parts, each has its columns"
    assert said in words(draw_cell(nn.LSTMCell(D, H, rng=0)))
    assert said not in words(draw_cell(layer_norm, **ODD))


def test_names_with_underscores_are_written_as_they_are() -> None:
    def net(x: Any, of_the_net: Any) -> Any:
        return mark(tanh(mark(x @ ODD_U, "net_input") + of_the_net @ ODD_W), "state_of_mine")

    said = words(draw_cell(net, **ODD))
    assert {"net_input", "state_of_minet", "state_of_minet−1"} <= set(said)


def test_what_is_not_a_number_is_drawn_over_all_else() -> None:
    scene = the_scene(draw_cell(nn.LSTMCell(D, H, rng=0), flow=np.full((2, H), np.nan)))
    lines = [item.stroke for item, _, _ in scene.keyed() if isinstance(item, Wire) and item.dashes is None]
    assert DEFAULT.alarm not in lines[:lines.index(DEFAULT.alarm)]
    assert set(lines[lines.index(DEFAULT.alarm):]) == {DEFAULT.alarm}
    assert "!" in scene.words


# ------------------------------------------------------------------------------------------------------ the finding
@pytest.mark.parametrize(("cell", "title"), [
    (nn.LSTMCell(D, H, rng=0), "LSTMCell multiplies its state c by f and adds to it: no matrix is on the way"),
    (nn.MGUCell(D, H, rng=0), "MGUCell multiplies its state h by 1 − f and adds to it: no matrix is on the way"),
    (nn.AdditiveCell(D, H, rng=0), "AdditiveCell only adds to its state h: no matrix is on the way"),
    (nn.RNNCell(D, H, rng=0), "RNNCell sends its state h through a matrix and tanh at every step"),
])
def test_the_title_says_how_the_state_gets_from_step_to_step(cell: Any, title: str) -> None:
    scene = the_scene(draw_cell(cell))
    assert scene.title == title
    assert "".join(text.plain for text, _ in scene.texts() if text.key == ("title",)).replace(" ", "") == (
        title.replace(" ", ""))
    assert the_scene(draw_cell(cell, name="mine")).title == title.replace(type(cell).__name__, "mine")


def test_with_a_flow_the_title_says_how_much_is_left() -> None:
    net = nn.LSTMCell(D, H, rng=0)
    step = probe(net)
    parts, flow = cell_parts(step), gradient_flow(step.whole)
    c = next(n for n in parts.cell.states if parts.cell.symbols[n] == "c")
    share = flow.gradients[parts.before[c]] / flow.gradients[parts.ids[c]]
    scene = the_scene(draw_cell(net, flow=True))
    assert scene.title == f"LSTMCell keeps {100 * share:.2g} % of its gradient at c over one step"
    assert f"c_{{t-1}} {short(flow.gradients[parts.before[c]])}" in scene.summary.replace("ct−1", "c_{t-1}")


def test_a_product_with_a_plain_number_is_a_carry_too() -> None:
    def leaky(x: Any, h: Any) -> Any:
        return 0.9 * h + 0.1 * tanh((x @ ODD_U + h) @ ODD_W)

    picture = draw_cell(leaky, **ODD)
    assert the_scene(picture).title == "leaky multiplies its state h by 0.9 and adds to it: no matrix is on the way"
    assert len(found(picture, "highway")) == 1
