"""The numbers of the page are those of the flows, the ways and the losses; every net gets a page or a reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope, softmax, tanh
from tests.viz.explorer.pages import data_of, numbers
from tests.viz.nets import own_cell, two_layers
from tests.viz.test_ways import CELLS, loss_of, unrolled
from viz.explorer.lane import ITEMS, UNITS, some_of
from viz.flow.messages import Flow
from viz.graph.steps import Edge


def xs(T: int = 8, B: int = 2, D: int = 3) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((T, B, D))


def lstm_loss(T: int = 8, **options: Any) -> Any:
    return (nn.LSTM(3, 4, rng=0)(xs(T), **options)[0] ** 2).sum()


def only(net: Any, **options: Any) -> dict[str, Any]:
    (lane,) = data_of(viz.explore(net, **options))["lanes"]
    return dict(lane)


# ------------------------------------------------------------------------------------------------ numbers
@pytest.mark.parametrize("name", CELLS)
def test_profiles_and_ways_are_those_of_the_measurements(name: str) -> None:
    root = loss_of(unrolled(name, 6)[0])
    lane, flow = only(root), viz.gradient_flow(root)
    for state in lane["states"]:
        np.testing.assert_array_equal(numbers(lane["profile"][state])[::-1], flow.profile(state).norms)
    ways, k = lane["ways"], len(lane["ways"]["names"])
    kept = numbers(ways["kept"])
    assert kept.shape == (1 << k, 6)
    np.testing.assert_allclose(kept[-1], numbers(lane["profile"][lane["state"]]), rtol=1e-12)
    last = viz.ways(root, lane["state"], by="last")
    for way, row in zip(ways["names"], numbers(ways["shares"]), strict=True):
        np.testing.assert_allclose(row[::-1], last.shares(way)[:6], rtol=1e-6)
    assert len(ways["colours"]) == len(ways["colours_dark"]) == k


def test_rms_is_the_norm_over_the_root_of_the_number_of_entries() -> None:
    lane = only(lstm_loss())
    np.testing.assert_allclose(numbers(lane["rms"]["c"]) * math.sqrt(2 * 4), numbers(lane["profile"]["c"]))


def test_messages_are_those_of_the_edges_that_the_wires_stand_for() -> None:
    root = lstm_loss()
    lane, flow = only(root), viz.gradient_flow(root)
    wires, norms = lane["cell"]["wires"], numbers(lane["messages"])
    keys = {part["key"]: part for part in lane["cell"]["parts"]}
    (e,) = (e for e, wire in enumerate(wires) if wire["recurrent"] and keys[wire["from"]]["symbol"] == "c")
    found = [flow.messages[Edge(f"lstm/t{t}/multiply", 1)] for t in range(1, 8)]
    np.testing.assert_allclose(norms[e], [math.nan, *found])
    np.testing.assert_allclose(numbers(lane["message_rms"])[e] * math.sqrt(8), norms[e])
    (o,) = (e for e, wire in enumerate(wires) if wire["outside"])
    assert keys[wires[o]["from"]]["symbol"] == "h"
    assert np.isfinite(norms[o]).all(), "the loss reads every h"


def test_values_and_gradients_of_parts() -> None:
    root = lstm_loss()
    lane, flow = only(root), viz.gradient_flow(root)
    for p, part in enumerate(lane["cell"]["parts"]):
        if part["role"] == "gate":
            ids = [f"lstm/t{t}/{part['symbol']}" for t in range(8)]
            sizes = [flow.graph.nodes[v]["norm"] for v in ids]
            np.testing.assert_allclose(numbers(lane["values"])[p], sizes, rtol=1e-6)
            np.testing.assert_array_equal(numbers(lane["gradients"])[p], [flow.gradients[v] for v in ids])
            assert (part["operation"], part["shape"]) == ("sigmoid", [2, 4])


def test_heat_maps_hold_the_entries_of_the_first_sequence() -> None:
    hs, _ = nn.LSTM(3, 4, rng=0)(xs())
    root = (hs ** 2).sum()
    heat = only(root)["heat"]
    assert list(heat)[:2] == ["c", "h"]
    assert set(heat) == {"c", "h", "i", "f", "g", "o"}
    np.testing.assert_allclose(numbers(heat["h"]["value"]), hs.data[:, 0], rtol=1e-6)
    g = {t: g for node, g in viz.gradient_flow(root, keep_arrays=True).gradient_arrays.items() for t in [node]}
    np.testing.assert_array_equal(numbers(heat["c"]["gradient"])[-1], g["lstm/t7/c"][0])


def test_heat_maps_of_wide_nets_show_some_units_and_say_how_many_there_are() -> None:
    heat = only(nn.RNN(3, UNITS + 6, rng=0)(xs(3))[1].sum())["heat"]["h"]
    assert (heat["value"]["shape"], heat["units"]) == ([3, UNITS], UNITS + 6)


def test_what_almost_vanished_is_not_zero() -> None:
    lane = only(nn.RNN(3, 4, rng=0)(xs(300))[1].sum())
    for name in ("messages", "gradients"):
        found = numbers(lane[name])
        assert 0 < np.nanmin(np.where(found == 0, np.nan, found)) < 1e-50, name


# ------------------------------------------------------------------------------------------------ itemised losses
def test_itemised_losses_are_the_local_errors() -> None:
    root = lstm_loss()
    found = only(root)["itemised"]
    expected = viz.local_errors(root, at="c")
    assert found["losses"] == list(range(8))
    np.testing.assert_array_equal(numbers(found["norms"]), expected.norms)


def test_the_last_loss_alone_is_the_profile() -> None:
    root = nn.LSTM(3, 4, rng=0)(xs())[1][0].sum()
    lane = only(root)
    assert lane["itemised"]["losses"] == [7]
    np.testing.assert_allclose(numbers(lane["itemised"]["norms"])[0], numbers(lane["profile"]["c"]), rtol=1e-12)


def test_of_a_layer_that_reads_backwards_the_last_column_is_where_its_loop_ended() -> None:
    root = (nn.GRU(3, 4, rng=0)(xs(), reverse=True)[0] ** 2).sum()
    lane, errors = only(root), viz.local_errors(root, at="h")
    assert lane["steps"] == list(range(7, -1, -1))
    norms, losses = numbers(lane["itemised"]["norms"]), lane["itemised"]["losses"]
    for row, turn in zip(norms, losses, strict=True):
        loss = lane["steps"][turn]
        np.testing.assert_array_equal(row, [errors.at(loss, step) for step in lane["steps"]])


def test_of_long_nets_some_losses_are_itemised_the_last_one_always() -> None:
    assert some_of(list(range(500)), ITEMS // 500)[-1] == 499
    assert len(some_of(list(range(500)), ITEMS // 500)) == ITEMS // 500


# ------------------------------------------------------------------------------------------------ the cell
@pytest.mark.parametrize("name", CELLS)
def test_every_part_and_wire_of_the_stamp_can_be_found(name: str) -> None:
    cell = only(loss_of(unrolled(name, 4)[0]))["cell"]
    keys = [part["key"] for part in cell["parts"]]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert cell["glyphs"].count(f'data-key="{key}"') == 1
    for wire in cell["wires"]:
        assert wire["from"] in keys
        assert (wire["to"] in keys) != wire["outside"]
        assert wire["d"].startswith("M-" if wire["recurrent"] else "M")
    for part in cell["parts"]:
        assert 0 < part["x"] < cell["width"]
        assert 0 < part["y"] < cell["height"]


@pytest.mark.parametrize("name", CELLS)
def test_equations_are_those_of_the_cell_alone(name: str) -> None:
    found = only(loss_of(unrolled(name, 4)[0]))["cell"]
    expected = list(map(str, viz.equations(CELLS[name]()).lines))
    if name == "additive":  # nothing of z depends on the state: it was computed before the loop, for all steps
        expected = ["g = tanh(x U + b)", "h_t = h_{t-1} + g"]
    assert [f"{line['left']} = {line['right']}" for line in found["equations"]] == expected
    lit = {part["symbol"]: found["equations"][part["equation"]]["symbol"] for part in found["parts"]
           if part["equation"] is not None}
    assert lit
    assert all(symbol == line for symbol, line in lit.items())


def test_of_a_connection_that_skips_steps_the_wire_begins_there() -> None:
    W = Tensor(np.eye(3) / 2, requires_grad=True)
    hs: list[Any] = [Tensor(np.ones((1, 3)))] * 3
    for t in range(9):
        with scope("skip", step=t):
            hs.append(mark(tanh(hs[-1] @ W + hs[-3]), "h", role="hidden"))
    cell = only(hs[-1].sum())["cell"]
    assert sorted(wire["delay"] for wire in cell["wires"] if wire["recurrent"]) == [1, 3]
    assert any("h_{t-3}" in line["right"] for line in cell["equations"])


# ------------------------------------------------------------------------------------------------ all kinds of nets
def test_layers_come_from_the_top() -> None:
    lanes = data_of(viz.explore(two_layers()))["lanes"]
    assert [lane["layer"] for lane in lanes] == [1, 0]
    assert [lane["name"] for lane in lanes] == ["lstm, layer 2", "lstm, layer 1"]
    assert len({lane["colour"] for lane in lanes}) == 2
    assert only(two_layers(), layer=0)["layer"] == 0
    assert only(two_layers(), layer=-1)["layer"] == 1


def test_several_nets_are_compared_in_the_title() -> None:
    page = viz.explore({"LSTM": lstm_loss(), "own": own_cell()})
    data = data_of(page)
    assert [lane["name"] for lane in data["lanes"]] == ["LSTM", "own"]
    assert page.title == data["title"] == viz.compare_flow({"LSTM": lstm_loss(), "own": own_cell()}).finding


def test_encoder_and_decoder_are_two_lanes() -> None:
    _, state = nn.LSTM(3, 4, rng=0)(xs())
    ys, _ = nn.LSTM(3, 4, rng=1)(xs(5), state)
    lanes = data_of(viz.explore((ys ** 2).sum()))["lanes"]
    assert [lane["T"] for lane in lanes] == [5, 8]
    assert lanes[1]["itemised"] is None
    assert lanes[1]["missing"]["itemised"] == "no loss is read off this layer's own steps"


def test_attention_over_all_steps_is_an_input_of_the_decoder() -> None:
    hs, (state, _) = nn.LSTM(3, 4, rng=0)(xs())
    cell = nn.GRUCell(4, 4, rng=1)
    for t in range(4):
        with scope("dec", step=t):
            weights = softmax((hs * state).sum(axis=-1), axis=0)
            state = cell((hs * weights.reshape(8, 2, 1)).sum(axis=0), state)
    lanes = data_of(viz.explore((state * state).sum()))["lanes"]
    assert [lane["name"] for lane in lanes] == ["dec", "lstm"]
    assert all(lane["cell"]["equations"] for lane in lanes)


def test_padded_batches_say_so_and_count_lags_from_each_end() -> None:
    root = lstm_loss(lengths=[8, 3])
    lane = only(root)
    assert lane["padded"]
    np.testing.assert_array_equal(numbers(lane["profile"]["c"])[::-1], viz.gradient_flow(root).profile("c").norms)
    assert "different steps" in lane["missing"]["itemised"]


def test_a_flow_alone_shows_what_it_holds_and_says_what_is_missing() -> None:
    lane = only(viz.gradient_flow(lstm_loss()))
    assert lane["ways"] is lane["heat"] is lane["itemised"] is lane["live"] is None
    assert set(lane["missing"]) == {"ways", "heat", "itemised", "live", "weights"}
    assert np.isfinite(numbers(lane["profile"]["c"])).all()
    assert data_of(viz.explore({"a": viz.gradient_flow(lstm_loss()), "b": lstm_loss()}))["lanes"][1]["ways"]


def test_graphs_of_pytorch_are_shown_as_far_as_they_are_known() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(3, 4)
    h = c = torch.zeros(1, 4)
    hs = []
    for _ in range(6):
        h, c = cell(torch.ones(1, 3), (h, c))
        hs.append(h)
    flow = viz.from_torch((h * h).sum(), states=hs)
    data = data_of(viz.explore(flow))
    lane = dict(data["lanes"][0])
    np.testing.assert_array_equal(numbers(lane["profile"]["h"])[::-1], flow.profile("h").norms)
    np.testing.assert_allclose(2 * numbers(lane["rms"]["h"]), numbers(lane["profile"]["h"]))
    assert data["tour"][0]["words"].endswith("Nothing in it is marked as a gate.")


def test_single_numbers_and_single_steps() -> None:
    h: Any = Value(0.5)
    w = Value(0.9, label="w")
    for t in range(4):
        with scope("one", step=t):
            h = mark((h * w).tanh(), "h", role="hidden")
    assert only(h)["heat"]["h"]["value"]["shape"] == [4, 1]
    lane = only(lstm_loss(1))
    assert lane["ways"]["names"] == []
    assert lane["states"] == list(lane["profile"]) == ["c"]


def test_gradients_that_are_not_finite_have_pages_too() -> None:
    x = xs()
    x[3] = np.nan
    root = nn.LSTM(3, 4, rng=0)(x)[0].sum()
    lane = only(root)
    assert np.isnan(numbers(lane["profile"]["c"])).any()
    assert lane["horizon"] is None


@pytest.mark.parametrize("root", [lambda: lstm_loss() * 0.0, lambda: nn.LSTM(3, 4, rng=0)(xs())[0][2].sum()])
def test_a_state_that_no_gradient_starts_at_counts_by_its_largest(root: Any) -> None:
    lane = only(root())
    profile = numbers(lane["profile"]["c"])
    assert lane["one"] == (profile.max() or 1.0)


def test_the_scale_holds_every_lane() -> None:
    data = data_of(viz.explore({"rnn": nn.RNN(3, 4, rng=0)(xs(60))[1].sum(), "lstm": lstm_loss()}))
    low, high = data["scale"]["low"], data["scale"]["high"]
    for lane in data["lanes"]:
        share = numbers(lane["profile"][lane["state"]]) / lane["one"]
        assert 10.0**low <= share.min()
        assert share.max() <= 10.0**high


def test_labels_are_by_step_and_may_leave_steps_out() -> None:
    assert only(lstm_loss(), labels="abcdefgh")["labels"] == list("abcdefgh")
    assert only(lstm_loss(), labels={2: "c"})["labels"] == ["", "", "c", "", "", "", "", ""]
    backwards = (nn.GRU(3, 4, rng=0)(xs(3), reverse=True)[0] ** 2).sum()
    assert only(backwards, labels="abc")["labels"] == ["c", "b", "a"]


def test_another_state_can_be_followed() -> None:
    lane = only(lstm_loss(), state="h")
    assert lane["state"] == "h"
    np.testing.assert_allclose(numbers(lane["ways"]["kept"])[-1], numbers(lane["profile"]["h"]), rtol=1e-12)
    assert " at h" in lane["finding"]


# ------------------------------------------------------------------------------------------------ labels and sweeps
def test_labels_for_steps_that_there_are_not_are_refused() -> None:
    root = nn.unroll(nn.RNNCell(3, 4, rng=0), np.ones((6, 1, 3)))[1].sum()
    with pytest.raises(ValueError, match=r"explore, labels: there is no step 6, 'a'; the steps are 0 to 5"):
        viz.explore(root, labels={0: "x", 6: "y", "a": "z"})
    assert only(root, labels={0: "x", 5: "y"})["labels"] == ["x", "", "", "", "", "y"]


@pytest.mark.parametrize("values", [2, None, "ab", ["a"], [[1.0]]])
def test_a_sweep_over_what_is_no_list_of_numbers_is_answered(values: Any) -> None:
    root = nn.unroll(nn.RNNCell(3, 4, rng=0), np.ones((6, 1, 3)))[1].sum()
    with pytest.raises(TypeError, match=r"sweep: expected a list of numbers for gain, \{'gain': \[0.5, 1, 2\]\}"):
        viz.explore(root, sweep={"gain": values})


def test_a_sweep_is_the_net_with_other_numbers() -> None:
    root = nn.LSTM(3, 4, rng=0)(xs())[1][0].sum()
    lane = only(root, sweep={"forget_bias": [3, -1]})
    assert lane["sweep"]["values"] == [-1, 3]
    for value, found in zip(lane["sweep"]["values"], lane["sweep"]["lanes"], strict=True):
        again = nn.LSTM(3, 4, forget_bias=value, rng=0)(xs())[1][0].sum()
        flow: Flow = viz.gradient_flow(again)
        np.testing.assert_allclose(numbers(found["profile"]["c"])[::-1], flow.profile("c").norms, rtol=1e-12)
        assert found["left"] == pytest.approx(flow.profile("c").norms[-1] / flow.profile("c").norms[0])


def test_nets_without_the_option_are_left_as_they_are() -> None:
    nets = {"lstm": lstm_loss(), "rnn": nn.RNN(3, 4, rng=0)(xs())[1].sum()}
    lanes = data_of(viz.explore(nets, sweep={"forget_bias": [0, 1]}))["lanes"]
    assert [lane["sweep"] is not None for lane in lanes] == [True, False]


# ------------------------------------------------------------------------------------------------ refused
@pytest.mark.parametrize(("given", "options", "error", "said"), [
    (lambda: 3, {}, TypeError, "explore: expected a loss, a Flow, several of them by name, or an error, got int"),
    (lambda: {"a": 3}, {}, TypeError, "explore: expected a loss, a Flow, or several of them by name, got int"),
    (dict, {}, ValueError, "explore: no nets to show"),
    (lambda: Value(1.0) * 2, {}, ValueError, "explore: this graph has no time steps: wrap each step.*draw_graph draws"),
    (lambda: Value(1.0, requires_grad=False) * 2, {}, ValueError, "nothing here needs a gradient"),
    (lstm_loss, {"layer": 3}, ValueError, "explore: there is no layer 3; this graph has 1"),
    (lstm_loss, {"state": "z"}, ValueError, "no state 'z'; this layer hands on c, h"),
    (lstm_loss, {"labels": "ab"}, ValueError, "explore: 2 labels for 8 steps; give one for each"),
    (lstm_loss, {"sweep": [1]}, TypeError, "explore, sweep: expected an option and its values"),
    (lstm_loss, {"sweep": {}}, ValueError, "one option at a time; got none"),
    (lstm_loss, {"sweep": {"gain": [1], "h0": [0]}}, ValueError, "one option at a time; got gain, h0"),
    (lstm_loss, {"sweep": {"gain": []}}, ValueError, "gain takes one finite number or more"),
    (lstm_loss, {"sweep": {"gain": [math.nan]}}, ValueError, "gain takes one finite number or more"),
    (lstm_loss, {"sweep": {"bias": [1]}}, ValueError, "there is no option 'bias' here"),
    (lambda: viz.gradient_flow(lstm_loss()), {"sweep": {"gain": [1]}}, ValueError, "a Flow holds numbers"),
    (lstm_loss, {"path": "x.svg"}, ValueError, "a page is saved as .html"),
])
def test_what_cannot_be_shown_is_refused_with_what_to_do(given: Any, options: dict[str, Any], error: Any,
                                                        said: str) -> None:
    with pytest.raises(error, match=said):
        viz.explore(given(), **options)


def test_trees_are_sent_to_another_picture() -> None:
    cell = nn.TreeCell(3, rng=0)
    x = Tensor(np.ones((1, 3)))
    root = cell(cell(x, x), x).sum()
    with pytest.raises(ValueError, match=r"no time steps.*viz\.draw_graph"):
        viz.explore(root)


def test_a_loss_of_pytorch_has_ways_and_gates_and_says_why_it_has_no_sliders() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    cell, x = torch.nn.LSTMCell(3, 5), torch.randn(9, 2, 3)
    h = c = torch.zeros(2, 5)
    for t in range(9):
        h, c = cell(x[t], (h, c))
    loss = (h**2).sum()
    for net in (loss, {"torch": loss}):
        lane = data_of(viz.explore(net))["lanes"][0]
        assert lane["ways"]["names"][0] == "carry"
        assert {part["symbol"] for part in lane["cell"]["parts"]} >= {"f", "i", "g", "o", "c", "h"}
        assert "PyTorch" in lane["missing"]["live"]
    with pytest.raises(ValueError, match="PyTorch"):
        viz.explore(loss, sweep={"forget_bias": [0, 1]})
