"""Unrolled nets: what stands where, what joins it, and which number each wire shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope
from tests.viz.legible import faults
from tests.viz.nets import last_loss
from tests.viz.scenes import scene_of
from tests.viz.test_geometry import encoder_decoder, loss, own_stack, tree
from viz.layout.cell import lay_out, mirrored
from viz.layout.lanes import Net
from viz.pictures.graph_without_steps import GraphWithoutSteps
from viz.pictures.unrolled import block
from viz.scene.items import Box, Scene, Use, Wire, moved
from viz.theme import DEFAULT

XS = np.random.default_rng(0).standard_normal((5, 2, 3))


def model(root: Any, **how: Any) -> Net:
    """What is drawn, before it is painted."""
    flow = viz.gradient_flow(root)
    one = block(flow, None, how.get("steps"), how.get("last", 8), None, None, DEFAULT)
    assert isinstance(one, Net)
    return one


def drawn(net: Any, **how: Any) -> Scene:
    """The picture, before it is ink."""
    scene = viz.draw_unrolled(net, **how).scene
    assert scene is not None
    return scene


def written(net: Any, **how: Any) -> list[str]:
    """Every text of the picture."""
    return drawn(net, **how).words.split("\n")


def notes(net: Any, **how: Any) -> list[str]:
    """What is said where the pointer rests."""
    return [item.note for item, _, _ in drawn(net, **how).walk() if item.note]


def numbers(said: Iterable[str], pattern: str) -> list[float]:
    """What the wires say that match a pattern, in order."""
    return [float(s.rsplit(": ", 1)[1]) for s in said if re.search(pattern, s)]


# ------------------------------------------------------------------------------------------------ directions
def test_both_directions_have_one_time_axis_and_the_backward_cell_is_mirrored() -> None:
    one = model(nn.LSTM(3, 5, bidirectional=True, rng=0)(XS)[0].sum())
    ahead, back = one.lanes
    assert ahead.shown == back.shown == [0, 1, 2, 3, 4]
    assert (ahead.backwards, back.backwards) == (False, True)
    assert {name: (box.x, box.y) for name, box in back.tile.boxes.items()} == {
        name: (pytest.approx(ahead.tile.width - box.x), box.y) for name, box in ahead.tile.boxes.items()}
    assert back.tile.exits["c"].end[0] == 0, "it hands its state on to the left"
    assert ahead.tile.exits["c"].end[0] == ahead.tile.width


def test_mirroring_twice_changes_nothing() -> None:
    tile = model(last_loss("lstm")).lanes[0].tile
    assert tile == lay_out(tile.cell, DEFAULT)
    twice = mirrored(mirrored(tile))
    assert twice.mirrored is False
    assert {name: vars(box) for name, box in twice.boxes.items()} == {
        name: pytest.approx(vars(box)) for name, box in tile.boxes.items()}
    for key, route in tile.routes.items():
        assert list(twice.routes[key].points()) == [pytest.approx(p) for p in route.points()]


def test_a_layer_that_runs_backwards_alone_shows_the_steps_it_took_last() -> None:
    _, h = nn.RNN(3, 4, rng=0)(np.ones((12, 1, 3)), reverse=True)
    one = model(h.sum(), last=3)
    assert one.lanes[0].shown == [0, 1, 2]
    assert {"9 steps", "later"} <= set(written(h.sum(), last=3))


def test_a_long_name_of_a_state_lies_between_the_cells() -> None:
    h: Any = np.zeros((1, 4))
    for t in range(120):
        with scope("own", step=t):
            h = mark((h @ Tensor(np.eye(4), label="W") + 1).tanh(), "memory_state", role="hidden")
    scene = drawn(h.sum())
    cells = [moved(item.extent, x, y) for item, x, y in scene.walk() if isinstance(item, Box) and item.radius == 10]
    names = [extent for text, extent in scene.texts() if text.plain.startswith("memor…")]
    assert len(names) > 1
    assert all(right <= cell[0] or left >= cell[2] for left, _, right, _ in names for cell in cells)


def test_each_direction_says_its_name() -> None:
    said = written(loss("GRU", 2, True, True))
    assert {"layer 1", "layer 2", "← backwards", "forwards →"} <= set(said)


def test_the_two_directions_are_put_side_by_side_at_every_step() -> None:
    scene = drawn(loss("RNN", 2, True, True), steps=(0, 3))
    assert len(list(scene.keyed("joint"))) == 8, "four steps, two layers"


# ------------------------------------------------------------------------------------------------ stacks
def test_a_layer_stands_above_the_one_it_reads() -> None:
    assert [lane.row for lane in model(loss("LSTM", 3, False, True)).lanes] == [0, 1, 2]
    assert [lane.row for lane in model(loss("LSTM", 2, True, True)).lanes] == [0, 1, 2, 3]
    assert [lane.row for lane in model(own_stack()).lanes] == [0, 1], "the sum of losses is part of the upper one"


def test_the_wire_between_two_layers_shows_the_message_that_came_down_it() -> None:
    root = nn.LSTM(3, 4, num_layers=2, rng=0)(XS)[0][-1].sum()
    flow = viz.gradient_flow(root)
    stack = next(node for node in flow.graph if node.endswith("layers.0/lstm/stack"))
    expected = [flow.messages[stack, t] for t in range(5)]  # type: ignore[index]
    found = {item.note.split(": ")[0]: item.datum for item, _, _ in drawn(flow, last=5).keyed("edge") if item.note}
    for t, g in enumerate(expected):
        assert found[f"from h (layer 1) to layer 2 at t = {t}"] == g
    assert all(g > 0 for g in expected)


def test_two_cells_called_in_one_loop_are_joined_by_the_edge_itself() -> None:
    low, high = nn.GRUCell(3, 4, rng=0), nn.RNNCell(4, 4, rng=1)
    h: Any = np.zeros((2, 4))
    s: Any = np.zeros((2, 4))
    for t in range(4):
        with scope(step=t):
            with scope("low"):
                h = low(XS[t], h)
            with scope("high"):
                s = high(h, s)
    flow = viz.gradient_flow(s.sum())
    expected = [g for (consumer, k), g in sorted(flow.messages.items())
                if consumer.startswith("high") and ("low" in next(
                    u for u, _, n in flow.graph.in_edges(consumer, keys=True) if n == k))]
    assert len(expected) == 4
    found = [item.datum for item, _, _ in drawn(flow, last=4).keyed("edge")
             if item.note.startswith("from h (low, gru) to high")]
    assert sorted(found, key=float) == sorted(expected)  # type: ignore[arg-type]


def test_steps_of_all_layers_stand_in_the_same_columns() -> None:
    cells = [(item.key[1], x + item.x) for item, x, _ in drawn(loss("LSTM", 2, False, True), last=4).keyed("cell")
             if isinstance(item, Use) and isinstance(item.key, tuple)]
    low, high = ([x for lane, x in cells if lane == f"layer {j}"] for j in (1, 2))
    assert low == high
    assert len(low) == 4


def test_dropout_between_layers_does_not_part_them() -> None:
    hs, _ = nn.LSTM(3, 4, num_layers=2, dropout=0.5, rng=0)(XS, rng=np.random.default_rng(0))
    one = model(hs.sum())
    assert {output.lanes for output in one.lanes[0].outputs} == {frozenset({1})}


# ------------------------------------------------------------------------------------------------ encoder and decoder
def test_a_decoder_goes_on_where_its_encoder_stopped() -> None:
    one = model(encoder_decoder(1))
    encoder, decoder = one.lanes
    assert (encoder.row, decoder.row) == (0, 0)
    assert (encoder.offset, decoder.offset, decoder.after) == (0, 4, 0)
    assert one.columns == list(range(7))
    assert [lane.row for lane in model(encoder_decoder(2)).lanes] == [0, 1, 0, 1]
    flow = viz.gradient_flow(encoder_decoder(1))
    assert any(said.startswith("from the last state of encoder to the first of decoder") for said in
               notes(flow, steps=(0, 6)))


def test_a_part_of_an_encoder_decoder_can_be_drawn() -> None:
    root = encoder_decoder(2)
    for steps in ((0, 2), (3, 4), (5, 6)):
        viz.draw_unrolled(viz.gradient_flow(root), steps=steps)


# ------------------------------------------------------------------------------------------------ losses
def test_a_loss_on_every_step_gets_a_wire_from_every_step_with_its_message() -> None:
    flow = viz.gradient_flow(loss("LSTM", 1, False, True))
    stack = next(node for node in flow.graph if node.endswith("stack"))
    expected = [flow.messages[stack, t] for t in range(4)]  # type: ignore[index]
    found = {item.note.split(": ")[0]: item.datum for item, _, _ in drawn(flow, last=4).keyed("edge") if item.note}
    for t, g in enumerate(expected):
        assert found[f"from h at t = {t} to linear (logits)"] == g


def test_a_loss_that_reads_the_last_step_alone_gets_one_wire() -> None:
    one = model(loss("LSTM", 1, False, False))
    assert [output.step for output in one.lanes[0].outputs] == [3]
    assert [group.title for group in one.groups] == ["linear (logits)", "cross_entropy"]


def test_losses_summed_in_the_loop_are_a_lane_of_their_own() -> None:
    one = model(own_stack())
    assert "ΣL" in one.lanes[-1].tile.cell.symbols.values()


# ------------------------------------------------------------------------------------------------ without steps
def test_a_tree_is_drawn_as_a_tree_every_parent_above_its_children() -> None:
    scene = drawn(viz.gradient_flow(tree((3, ((1, 4), (1, 5)), (7, (8, 2))))), labels=list("klmnopqr"))
    boxes = [(text.plain.strip(), (left + right) / 2, top) for text, (left, top, right, _) in scene.texts()]
    hidden, leaves = ([(x, y) for word, x, y in boxes if word == name] for name in ("h", "x"))
    assert len(hidden) == 7
    assert len({y for _, y in leaves}) == 1, "the leaves stand in one row, ..."
    under = sorted((x, word) for word, x, _ in boxes if word in set("klmnopqr"))
    assert "".join(word for _, word in under) == "klmnopqr", "... in the order of the sentence, ..."
    assert [x for x, _ in under] == pytest.approx(sorted(x for x, _ in leaves)), "... each word under its leaf"
    wires = [item for item, _, _ in scene.keyed("edge") if isinstance(item, Wire)]
    assert all(route.start[1] > route.end[1] for wire in wires for route in wire.routes), "children below parents"
    assert "the same weights at all 7 nodes of the tree" in {word for word, _, _ in boxes}


@pytest.mark.parametrize(("label", "words"), [("", r"sum = -?[\d.]+"), ("L", r"sum: L = -?[\d.]+")])
def test_the_end_of_a_tree_has_a_colon_only_before_a_name(label: str, words: str) -> None:
    total = nn.recurse(nn.TreeCell(4, rng=0), ((0, 1), (2, 3)), leaf=nn.Embedding(10, 4, rng=1)).sum()
    if label:
        mark(total, label)
    assert any(re.fullmatch(words, text) for text in written(total))


def test_a_tree_as_deep_as_it_is_long_is_drawn() -> None:
    h = nn.recurse(nn.TreeCell(2, rng=0), reduce(lambda a, b: (a, b), range(300)),
                   leaf=nn.Embedding(300, 2, rng=1))
    assert len([item for item, _, _ in drawn(h.sum()).keyed("glyph")]) >= 599


def test_a_checkpointed_net_has_no_steps_and_is_drawn_in_ranks() -> None:
    loss = nn.LSTM(3, 4, rng=0)(XS, checkpoint=2)[0].sum()
    said = written(loss)
    assert said.count("checkpoint") == 3
    assert said[-1] == "A checkpoint hides the steps inside it; unroll without checkpoint= to look at them."
    assert not any("0x" in word for word in said), "no addresses: the same picture every time"


# ------------------------------------------------------------------------------------------------ files
def test_the_same_net_gives_the_same_file_and_another_one_other_ids() -> None:
    one, again, other = (viz.draw_unrolled(last_loss(kind)).svg for kind in ("lstm", "lstm", "gru before"))
    assert one == again
    assert not set(re.findall(r'id="([^"]+)"', one)) & set(re.findall(r'id="([^"]+)"', other))


def test_long_nets_speak_by_the_cell_short_ones_by_the_wire() -> None:
    short, long = (notes(viz.gradient_flow(last_loss("lstm", T=T)), last=T) for T in (6, 150))
    assert any(said.startswith("from c at t = 4 to f × c at t = 5: ") for said in short)
    assert not any(said.startswith("from") for said in long)
    assert sum(said.startswith("t = ") for said in long) == 150
    number = r"[\d.⁻⁰¹²³⁴⁵⁶⁷⁸⁹·]+"
    assert re.search(rf"^t = 7, ‖∂L/∂[ch]‖ {number}, ‖∂L/∂[ch]‖ {number}$", "\n".join(long), re.MULTILINE)


def test_a_thousand_steps_are_under_a_megabyte_and_under_three_with_the_flow() -> None:
    root = last_loss("lstm", T=1000, B=1)
    assert len(viz.draw_unrolled(root, last=1000).svg.encode()) < 1e6
    assert len(viz.draw_unrolled(viz.gradient_flow(root), last=1000).svg.encode()) < 3e6


def test_every_stamp_that_is_used_is_there() -> None:
    assert len(list(drawn(viz.gradient_flow(loss("GRU", 2, True, True))).walk())) > 500  # raises where one is missing


@pytest.mark.parametrize(("steps", "hint"), [
    (range(2, 5), r"got range\(2, 5\)"), ([0, 1, 4], r"got \[0, 1, 4\]"), (3, "the last 3: last=3; got 3")])
def test_steps_that_are_no_pair_are_refused_with_what_to_write(steps: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=rf"steps is a pair, the first and the last to draw, steps=\(0, 5\).*{hint}"):
        viz.draw_unrolled(last_loss("rnn", T=6), steps=steps)


def test_what_goes_on_to_later_steps_is_drawn_with_its_own_number() -> None:
    root = last_loss("lstm", T=5)
    flow = viz.gradient_flow(root)
    (edge,) = [edge for edge in flow.messages if edge.consumer.endswith("t3/multiply") and edge.k == 1]
    (item,) = [item for item, _, _ in drawn(flow, steps=(1, 2)).keyed("edge") if item.key == ("edge", *edge)]
    assert item.datum == flow.messages[edge]
    assert re.match(r"from .* at t = 2 to f × c at t = 3: ", item.note)
    assert not [edge for item, _, _ in drawn(flow, steps=(1, 4)).keyed("edge") if "t = 5" in item.note]


def test_the_legend_names_the_loss_as_the_weights_do_and_no_direction_in_time() -> None:
    hs, _ = nn.RNN(3, 4, bidirectional=True, rng=0)(XS)
    said = written(viz.gradient_flow(hs.sum()))
    assert any(words.startswith("The gradient of L = sum (T = 5 steps)") for words in said)
    assert any(words.endswith("Arrows point the way it flows: back.") for words in said)


def test_an_encoder_and_its_decoder_have_their_own_numbers_of_steps() -> None:
    assert any("(T = 4 + 3 steps)" in words for words in written(viz.gradient_flow(encoder_decoder(1))))


def test_only_the_weights_of_every_node_are_said_to_be_at_all_nodes_of_a_tree() -> None:
    one = block(tree((1, ((2, 3), 4))), None, None, 8, None, None, DEFAULT)
    assert isinstance(one, GraphWithoutSteps)
    assert one.nodes == 3
    assert [called for _, called in one.weights] == ["U_l", "U_r", "b", "E", "V", "d"]
    assert one.shared == 3


def test_a_leaf_alone_is_drawn() -> None:
    assert len(list(drawn(Tensor(np.ones((2, 2)))).keyed("glyph"))) == 1


def test_weights_of_lanes_in_one_row_are_named_in_the_order_of_time() -> None:
    said = [words for words in written(encoder_decoder(1), last=7) if "the same weights" in words]
    assert [words.split(":")[0] for words in said] == ["encoder", "decoder"]


def test_a_step_whose_output_is_read_may_be_left_out_of_the_picture() -> None:
    hs, _ = nn.RNN(3, 4, bidirectional=True, rng=0)(np.ones((4, 1, 3)))
    drawing = viz.draw_unrolled(viz.gradient_flow((hs[2] ** 2).sum()), theme=viz.Theme(page=830))
    assert drawing.scene is not None
    assert not faults(drawing.scene)


def test_the_loss_of_a_step_that_is_not_drawn_needs_no_rail() -> None:
    """Both directions are read at step 0 alone, and the last steps are drawn."""
    hs, _ = nn.LSTM(3, 4, bidirectional=True, rng=0)(np.ones((6, 1, 3)))
    scene = scene_of(viz.draw_unrolled(hs[0].sum(), last=2))
    assert not list(scene.keyed("output"))
