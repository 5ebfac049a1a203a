"""Several nets compared: the numbers against closed forms and other measurements, the verdict, the drawing, curves."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope
from tests.viz.nets import all_losses, last_loss, own_cell
from tests.viz.scenes import data, scene_of, thickness, words
from viz.flow.compare import Comparison, Track, geometric, verdict
from viz.pictures.comparison import WAYS, columns, draw_comparison, reach
from viz.scene.items import Box, Wire
from viz.theme import DARK, DEFAULT

SEED = np.random.default_rng(0)
XS = SEED.standard_normal((60, 2, 3))


def rnn(gain: float = 1.0, T: int = 40) -> Any:
    cell = nn.RNNCell(3, 16, rng=0)
    cell.W.data = cell.W.data * gain
    return nn.unroll(cell, XS[:T])[1].sum()


def lstm(forget_bias: float, T: int = 40) -> Any:
    return nn.unroll(nn.LSTMCell(3, 16, forget_bias=forget_bias, rng=1), XS[:T])[1][0].sum()


def straight(keep: float, T: int = 30) -> Any:
    """h_t = keep * h_{t-1} + x: what is left at a lag is known."""
    h: Any = Tensor(np.ones((1, 4)), requires_grad=True)
    for t in range(T):
        with scope("line", step=t):
            h = h * keep + Tensor(np.ones((1, 4)))
    return h.sum()


# ------------------------------------------------------------------------------------------------ numbers
def test_a_net_whose_factor_is_known_gives_it() -> None:
    (track,) = viz.compare_flow({"line": straight(0.5)}).tracks
    assert track.lags == tuple(range(30))
    for lag in (0, 1, 10, 29):
        assert track.at(lag) == pytest.approx(2 * 0.5**lag, rel=1e-12)
        assert track.left(lag) == pytest.approx(0.5**lag, rel=1e-12)
    assert track.factors() == pytest.approx([0.5] * 29, rel=1e-12)
    assert track.kept() == pytest.approx([0.5] * 29, rel=1e-12)
    assert track.horizon() == 6
    assert track.gated


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru before", "gru after"])
def test_the_norms_are_those_of_the_gradient_flow_and_of_the_ways(name: str) -> None:
    loss = last_loss(name, T=9)
    (track,) = viz.compare_flow({name: loss}).tracks
    profile = viz.gradient_flow(loss).profile(track.state)
    assert track.lags == profile.lags
    assert track.norms == pytest.approx(profile.norms, rel=1e-10)
    found = viz.ways(loss, track.state, by="last")
    for way, part in track.parts.items():
        assert part == pytest.approx(found.norms[way])


def test_a_carry_that_is_wiped_out_once_keeps_nothing() -> None:
    h: Any = Tensor(np.ones((1, 4)), requires_grad=True)
    for t in range(6):
        with scope("line", step=t):
            h = h * (t % 2) + (h * 0.5).tanh()
    found = viz.compare_flow({"blinking": h.sum()})
    assert found.tracks[0].kept()[:3] == pytest.approx([1, 0, 1], abs=1e-12)
    assert "The carry alone keeps exactly 0 of it per step in blinking" in found.verdict
    ET.fromstring(found.draw().svg)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru before", "gru after"])
@pytest.mark.parametrize("read", [last_loss, all_losses])
def test_a_flow_says_that_new_gradient_comes_in_if_the_loss_itself_does(name: str, read: Any) -> None:
    loss = read(name, T=5)
    one, other = viz.compare_flow({"loss": loss, "flow": viz.gradient_flow(loss)}).tracks
    assert one.fed is other.fed is (read is all_losses)
    for of in (loss, viz.gradient_flow(loss)):
        said = viz.compare_flow({"a": of}).verdict
        assert ("New gradient comes in at earlier steps too, not only at the last." in said) is (read is all_losses)


def test_a_layer_above_feeds_every_step_of_the_one_below_and_steps_cut_off_count_no_more() -> None:
    hs, _ = nn.GRU(3, 4, rng=0)(XS[:9])
    early = (hs[2] * hs[2]).sum() + hs[8].sum()  # the loss reads lags 6 and 0
    for of in (early, viz.gradient_flow(early)):
        for lags, fed in ((5, False), (6, True)):
            (track,) = viz.compare_flow({"a": of}, lags=lags).tracks
            assert track.fed is fed


def test_a_backward_layer_under_the_loss_of_the_last_step_is_explained() -> None:
    hs, _ = nn.GRU(3, 4, bidirectional=True, rng=0)(XS[:7])
    found = viz.compare_flow({"bi": hs[-1].sum(), "gru": nn.GRU(3, 4, rng=0)(XS[:7])[1].sum()})
    assert ("In “bi, layer 2 of 2” exactly nothing arrives at lag 0, where its loop ended; the first gradient is at "
            "lag 6, as in a layer that reads backwards in time under the loss of the last step.") in found.verdict
    assert "Nothing finite" not in found.verdict


def test_a_short_track_is_not_said_to_have_lost_what_was_cut_off() -> None:
    additive = nn.unroll(nn.AdditiveCell(3, 16, rng=0), XS[:10])[1].sum()
    found = viz.compare_flow({"additive": additive, "gru": nn.unroll(nn.GRUCell(3, 16, rng=1), XS)[1].sum()})
    assert found.tracks[0].horizon() == 9
    assert "sooner" not in found.verdict


def test_what_the_carry_keeps_is_the_mean_of_f_weighted_by_the_gradient() -> None:
    H, T = 6, 4
    cell = nn.LSTMCell(3, H, rng=3)
    state: Any = cell.initial_state(2)
    gates, cells = [], []
    for t in range(T):
        with scope("lstm", step=t):
            state = cell(XS[t], state)
        node = state[1]
        gates.append(next(x for x in node.inputs[0].inputs if x.symbol == "f").data)
        cells.append(node)
    loss = state[0].sum()
    (track,) = viz.compare_flow({"lstm": loss}).tracks
    from microgradrnn import grad

    gradients = grad(loss, cells)
    expected = [np.linalg.norm(gates[t] * gradients[t]) / np.linalg.norm(gradients[t]) for t in range(T - 1, 0, -1)]
    assert track.kept() == pytest.approx(expected, rel=1e-10)


def test_a_flow_in_place_of_a_loss_tells_the_carry_from_the_rest() -> None:
    loss = last_loss("lstm", T=7)
    one, other = viz.compare_flow({"loss": loss, "flow": viz.gradient_flow(loss)}).tracks
    assert other.norms == pytest.approx(one.norms, rel=1e-10)
    assert set(other.parts) == {"carry", "rest"}
    assert other.parts["carry"] == pytest.approx(one.parts["carry"], rel=1e-10)
    assert set(one.parts) == {"straight", "carry", "i", "f", "g", "o"}


def test_records_hold_every_step_of_every_net_and_lags_cut_them() -> None:
    found = viz.compare_flow({"a": rnn(), "b": lstm(1.0)}, lags=10)
    records = found.records()
    assert len(records) == 22
    assert {row["net"] for row in records} == {"a", "b"}
    row = records[5]
    assert row["lag"] == 5
    assert row["factor"] == pytest.approx(found.tracks[0].norms[5] / found.tracks[0].norms[4])
    assert math.isnan(records[0]["factor"])
    json.dumps(records)


def test_shares_add_up_to_one_and_are_empty_where_nothing_arrives() -> None:
    (track,) = viz.compare_flow({"lstm": lstm(1.0, T=12)}).tracks
    for j in range(12):
        assert sum(track.shares(j).values()) == pytest.approx(1.0)
    dead = replace(track, parts=dict.fromkeys(track.parts, (0.0,) * 12))
    assert dead.shares(3) == {}


def test_geometric_means_leave_out_what_is_no_number_and_keep_zeros() -> None:
    assert geometric([0.5, math.nan, 8.0]) == 2.0
    assert geometric([0.5, math.nan, 8.0, 0.0]) == 0.0
    assert geometric([0.5, math.inf]) == math.inf
    assert math.isnan(geometric([0.0, math.inf]))
    assert math.isnan(geometric([]))
    assert reach([]) == 2.0


# ------------------------------------------------------------------------------------------------ the verdict
def test_an_lstm_that_forgets_faster_than_tanh_is_said_to() -> None:
    found = viz.compare_flow({"tanh": rnn(1.9), "lstm": lstm(0.0)})
    tanh, gates = found.tracks
    assert (gates.left(39) or 0) < (tanh.left(39) or 0)
    assert "Gates or not, lstm forgets faster than tanh, which has no carry." in found.verdict
    kept = re.search(r"The carry alone keeps ([\d.]+) of it per step in lstm", found.verdict)
    assert kept
    assert float(kept[1]) == pytest.approx(geometric(gates.kept()), abs=0.005)


def test_an_lstm_that_remembers_longer_is_first_and_nothing_else_is_claimed() -> None:
    found = viz.compare_flow({"tanh": rnn(), "lstm": lstm(5.0)})
    tanh, gates = found.tracks
    assert (gates.left(39) or 0) > (tanh.left(39) or 0)
    assert found.verdict.index("lstm") < found.verdict.index("tanh")
    assert "faster" not in found.verdict


def track(net: str, norms: list[float], carry: bool = False) -> Track:
    way = "carry" if carry else "tanh"
    return Track(net, "h", tuple(range(len(norms))), tuple(norms), {way: tuple(norms)})


def test_every_number_in_the_verdict_is_the_one_measured() -> None:
    said = verdict([track("a", [2.0, 0.1, 0.01, 0.005]), track("b", [1.0, 0.5, 0.25, 1e-7], carry=True)])
    assert said.startswith("3 steps back, 0.25 % of the gradient is left in a and 10⁻⁷ in b.")
    assert "But a is last above 1 % at lag 1, sooner than b, at lag 2." in said
    assert "Gates or not, b forgets faster than a" in said


@pytest.mark.parametrize(("tracks", "words"), [
    ([track("a", [1.0, 3.0])], "1 step back, the gradient, as a multiple of lag 0, is 3 in a."),
    ([track("a", [1.0, 0.0])], "1 step back, exactly nothing of the gradient is left in a."),
    ([track("a", [1.0, math.inf]), track("b", [1.0, 0.0])],
     "the gradient, as a multiple of lag 0, is exactly 0 in b and not finite in a."),
    ([replace(track("a", [1.0, 0.5, 0.25]), lags=(0, 2, 4)), track("b", [1.0, 0.5, 0.25, 0.125])],
     "2 steps back, 50 % of the gradient is left in a and 25 % in b."),
    ([track("a", [1.0]), track("b", [1.0, 0.5])], "There is a single step in a, so there is nothing further back"),
    ([replace(track("a", [1.0, 0.5]), lags=(0, 2)), track("b", [1.0, 0.5])], "no lag in common but 0"),
    ([track("a", [1e-300, 1e300]), track("b", [1e300, 1e-300])], "more than 10³⁰⁸ in a and less than 10⁻³⁰⁷ in b."),
    ([track("a", [0.0, 0.0]), track("b", [1.0, 0.5])], "No gradient starts in a."),
    ([track("a", [0.0, 3.0, 1.0]), track("b", [1.0, 0.5])], "the first gradient is at lag 1."),
    ([track("a", [1.0])], "There is a single step, so the gradient has no way back to go."),
    ([track("a", [0.0, 0.0])], "No gradient starts at any of these states, so there is nothing to follow."),
    ([track("a", [math.nan, 1.0]), track("b", [1.0, 0.5])], "Nothing finite starts in a."),
    ([track("a b", [1.0, 0.5])], "50 % of the gradient is left in “a b”."),
])
def test_the_verdict_is_true_of_odd_tracks_too(tracks: list[Track], words: str) -> None:
    assert words in verdict(tracks)


def test_nets_are_not_said_to_forget_where_the_other_explodes_or_by_rounding() -> None:
    gated = track("b", [1.0, 0.9, 0.8], carry=True)
    assert "forget" not in verdict([track("a", [1.0, 2.0, 4.0]), gated])
    assert "forget" not in verdict([track("a", [1.0, 0.9, 0.8000001]), gated])
    assert "b forgets faster than a" in verdict([track("a", [1.0, 0.9, 0.9]), gated])


def test_a_loss_of_every_step_is_not_taken_for_what_is_left_of_one() -> None:
    hs, _ = nn.RNN(3, 4, rng=0)(XS[:8])
    said = viz.compare_flow({"all": hs.sum()}).verdict
    assert "is left" not in said
    assert "New gradient comes in at earlier steps too" in said


# ------------------------------------------------------------------------------------------------ the drawing
def test_the_drawing_shows_every_norm_and_factor_and_its_title_is_the_verdict() -> None:
    found = viz.compare_flow({"rnn": rnn(), "lstm": lstm(1.0)})
    scene = scene_of(found.draw())
    sizes, factors, horizons = (data(scene, kind) for kind in ("size", "factor", "horizon"))
    for one in found.tracks:
        assert [sizes[one.net, lag] for lag in one.lags] == list(one.norms)
        assert [factors[one.net, lag] for lag in one.lags[1:]] == one.factors()
        last = one.horizon()
        assert last is not None
        assert horizons.get((one.net,)) == (None if last.open else last)
    assert len(sizes) == sum(len(one.lags) for one in found.tracks)
    assert found.verdict.startswith(scene.title + ".")
    assert scene.summary.startswith(found.verdict)
    assert found.verdict in scene.words.replace("\n", " ").replace(scene.title, scene.title + ".")
    named = scene_of(found.draw(name="Both nets"))
    assert named.title == f"Both nets: {found.finding}"
    assert "Both nets" in named.words


def test_each_net_hangs_on_its_own_lag_0_however_much_another_explodes() -> None:
    line, wild = track("line", [3.0 * 0.5**lag for lag in range(100)]), track("wild", [4.5**lag for lag in range(100)])
    alone, beside = (scene_of(draw_comparison(Comparison(tracks, 0.01)))
                     for tracks in ((line, replace(line, net="other")), (line, wild)))
    for scene in (alone, beside):
        bars = {item.key: item for item, _, _ in scene.keyed("size") if isinstance(item, Box)}
        start = bars["size", "line", 0]
        assert start.fill == DEFAULT.change(2 / 3), "1 has the same look in every picture"
        heights = [bars["size", "line", lag].h for lag in range(100)]
        assert heights == sorted(heights, reverse=True)
        assert heights[0] > 1.5 * heights[20] > 20, "six decades below is well seen"
    high = {item.key: item for item, _, _ in beside.keyed("size") if isinstance(item, Box)}
    assert high["size", "wild", 0].fill == DEFAULT.change(2 / 3)
    assert high["size", "wild", 99].fill == DEFAULT.change(1.0)
    assert high["size", "wild", 99].datum == 4.5**99
    assert "may go on beyond it" in beside.words
    assert "10⁶⁴ at lag 99" in beside.words


def test_thicknesses_of_the_ways_are_their_shares() -> None:
    found = viz.compare_flow({"lstm": lstm(1.0, T=6)})
    (one,) = found.tracks
    bands = thickness(scene_of(found.draw()), "lstm")
    for way, drawn in bands.items():
        assert drawn == pytest.approx([WAYS * one.shares(j)[way] for j in range(6)], abs=1e-9)
    assert set(bands) == set(one.parts)


def test_more_lags_than_pixels_share_columns_that_keep_the_extremes() -> None:
    norms = [1.0] * 1000
    norms[501] = 1e-6
    found = columns(track("a", norms), 3)
    assert len(found) == 334
    assert sum(column.last - column.first + 1 for column in found.values()) == 1000
    (dip,) = [column for column in found.values() if column.low < 1]
    assert (dip.low, dip.high) == (1e-6, 1.0)
    assert dip.first <= 501 <= dip.last
    scene = scene_of(draw_comparison(Comparison((track("a", norms * 10),), 0.01)))
    assert 1e-6 in data(scene, "size").values()


def test_zero_and_infinite_norms_look_different_and_are_explained() -> None:
    found = viz.compare_flow({"a": rnn(T=5)})
    odd = replace(found, tracks=(replace(found.tracks[0], norms=(1.0, 0.5, math.inf, 1.0, 0.0)),))
    scene, plain = scene_of(odd.draw()), scene_of(found.draw())
    items = {item.key: item for item, _, _ in scene.keyed("size")}
    zero, wild = items["size", "a", 4], items["size", "a", 2]
    assert isinstance(zero, Wire)
    assert zero.dashes
    assert isinstance(wild, Box)
    assert wild.fill == DEFAULT.alarm
    assert wild.note == "a, lag 2: not finite"
    for said in ("exactly zero", "NaN or infinite"):
        assert said in scene.words
        assert said not in plain.words


def test_names_are_escaped_and_the_dark_theme_has_its_own_paper() -> None:
    svg = viz.compare_flow({"<b> & co": rnn(T=5)}).draw(theme=DARK, name="dark & deep").svg
    ET.fromstring(svg)
    assert DARK.paper in svg
    assert "#1f2933" not in svg


def test_one_step_and_own_loops_are_drawn() -> None:
    for nets in ({"own": own_cell()}, {"two": last_loss("gru after", T=2)}):
        ET.fromstring(viz.compare_flow(nets).draw().svg)


@pytest.mark.parametrize(("gains", "cut"), [((0.9, 0.9, 0.9), False), ((0.9, 1e-3, 0.9), True)])
def test_a_comparison_says_whether_bars_are_cut(gains: tuple[float, ...], cut: bool) -> None:
    h: Any = Tensor(np.ones((1, 2)))
    for t in range(30):
        with scope("net", step=t):
            h = mark(h @ Tensor(np.eye(2) * gains[t % 3]), "h", role="hidden")
    said = scene_of(viz.compare_flow({"net": h.sum()}).draw()).words
    assert ("Bars and line stop at × 8 and ÷ 8." in said) is cut


# ------------------------------------------------------------------------------------------------ curves
def test_the_curves_are_the_tracks_on_a_log_scale() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    found = viz.compare_flow({"rnn": rnn(), "lstm": lstm(1.0)})
    ax = viz.plot_comparison(found)
    assert ax.get_yscale() == "log"
    assert "‖∂L/∂state‖₂" in ax.get_ylabel()
    assert "steps back" in ax.get_xlabel()
    lines = {line.get_label(): line for line in ax.get_lines()}
    np.testing.assert_allclose(lines["lstm: c"].get_ydata(), np.array(found.tracks[1].norms) / found.tracks[1].norms[0])
    assert {"lstm: c", "rnn: h"} <= {text.get_text() for text in ax.texts}, "curves carry their names"
    assert ax.get_title(loc="left").replace("\n", " ") == found.finding
    own = Figure().add_subplot()
    assert viz.plot_comparison(found, ax=own) is own
    assert len(own.get_lines()) == len(ax.get_lines())


# ------------------------------------------------------------------------------------------------ what goes wrong
@pytest.mark.parametrize(("nets", "options", "error", "words"), [
    ({}, {}, ValueError, "no nets"),
    ({"a": 3.0}, {}, TypeError, "'a' is a float; give the loss, or a Flow"),
    ({"a": Tensor(np.ones(3), requires_grad=True).sum()}, {}, ValueError, "no time steps"),
    ({"a": viz.gradient_flow(Tensor(np.ones(3), requires_grad=True).sum())}, {}, ValueError, "has no time steps"),
    ({"a": rnn(T=3)}, {"lags": 0}, ValueError, "lags must be at least 1"),
    ({"a": rnn(T=3)}, {"fraction": 1.0}, ValueError, "fraction must lie between 0 and 1"),
])
def test_what_cannot_be_compared_is_refused(nets: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        viz.compare_flow(nets, **options)


def test_a_gradient_of_exactly_zero_is_compared_and_said_in_words() -> None:
    loss = rnn(T=3) * 0.0
    for net in (loss, viz.gradient_flow(loss)):
        found = viz.compare_flow({"a": net})
        assert found.verdict == "No gradient starts at any of these states, so there is nothing to follow."
        assert [row["norm"] for row in found.records()] == [0.0, 0.0, 0.0]
        assert found.tracks[0].horizon() is None
        assert "No gradient starts" in " ".join(words(found.draw()))
        pytest.importorskip("matplotlib")
        assert not viz.plot_comparison(found).get_lines()


def test_nets_without_names_are_refused_with_what_to_write() -> None:
    loss: Any = last_loss("lstm")
    for nets in (loss, [loss]):
        with pytest.raises(TypeError, match=r"a dict from the name of each net to its loss, \{'lstm'.*; got"):
            viz.compare_flow(nets)


def test_a_layer_of_a_stack_is_followed_and_named() -> None:
    xs = np.random.default_rng(0).standard_normal((60, 1, 3))
    net = nn.GRU(3, 12, num_layers=2, rng=0)
    b = net.layers[0].b.data.copy()
    b[12:24] = 5.0  # the lower layer keeps all
    net.layers[0].b.data = b
    loss = (net(xs)[0][-1] ** 2).sum()
    flow = viz.gradient_flow(loss)
    for of in (loss, flow):
        top, bottom = (viz.compare_flow({"gru": of}, layer=layer) for layer in (-1, 0))
        assert (top.tracks[0].net, bottom.tracks[0].net) == ("gru, layer 2 of 2", "gru, layer 1 of 2")
        assert "left in “gru, layer 2 of 2”" in top.verdict
        assert bottom.tracks[0].norms == pytest.approx(flow.profile(layer=0).norms[:60], rel=1e-12)
        assert top.tracks[0].horizon() == flow.horizon() < bottom.tracks[0].horizon() == flow.horizon(layer=0) == 59
    assert "2 layers" in repr(flow)
    with pytest.raises(ValueError, match="no layer 2"):
        viz.compare_flow({"gru": loss}, layer=2)


def test_every_measure_takes_the_same_state_if_none_is_named() -> None:
    xs = np.random.default_rng(0).standard_normal((9, 2, 3))
    jordan = nn.Recurrent(nn.JordanCell(3, 4, 5, rng=0))
    for net, state in ((nn.LSTM(3, 4, rng=0), "c"), (nn.GRU(3, 4, rng=0), "h"), (nn.RNN(3, 4, rng=0), "h"),
                       (jordan, "o")):
        loss = (net(xs)[0][-1] ** 2).sum()
        recorder = viz.Recorder(every=1)
        recorder(loss)
        measured = viz.gradient_flow(loss).profile().state, viz.ways(loss).state, recorder.symbol
        compared = [viz.compare_flow({"net": of}).tracks[0].state for of in (loss, viz.gradient_flow(loss))]
        assert {*measured, *compared} == {state}


def test_what_has_a_picture_shows_it_in_a_notebook() -> None:
    loss = (nn.GRU(3, 4, rng=0)(np.ones((5, 1, 3)))[0][-1] ** 2).sum()
    recorder = viz.Recorder(every=1)
    assert "image/svg+xml" not in recorder._repr_mimebundle_()
    recorder(loss)
    for shown in (recorder, viz.ways(loss), viz.compare_flow({"gru": loss})):
        assert shown._repr_mimebundle_()["image/svg+xml"].startswith("<svg")


def test_names_may_be_numbers() -> None:
    found = viz.compare_flow({H: nn.GRU(3, H, rng=0)(np.ones((5, 1, 3)))[1].sum() for H in (2, 4)})  # type: ignore[misc]
    assert [track.net for track in found.tracks] == ["2", "4"]
    assert re.search(r"in [24] and [\d.]+ % in [24]\.", found.verdict)
