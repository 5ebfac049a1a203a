"""Gradient flow: sums that must hold, profiles, horizons, and the split of what arrives at a state."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
import warnings
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, backward, grad, mark, nn, no_grad, scope, tanh
from microgradrnn.engine.backward import reverse
from microgradrnn.engine.cotangent import Product, Scatter
from tests.viz.nets import CELLS, all_losses, last_loss, own_cell, two_layers
from viz.flow.norms import Norms
from viz.graph.steps import carries, layers, recurrent, states
from viz.graph.trace import norm, traced


def dense_messages(root: Any) -> tuple[dict[tuple[str, int], np.ndarray], dict[str, np.ndarray]]:
    """Every message and every gradient as an array, by an independent observation."""
    _, ids = traced(root)
    messages: dict[tuple[str, int], np.ndarray] = {}
    gradients = {}
    for node, g in reverse(root, observe=lambda v, k, x, m: messages.__setitem__((ids[v], k), np.array(m))):
        gradients[ids[node]] = np.array(g)
    return messages, gradients


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("loss", [last_loss, all_losses])
def test_norms_are_those_of_the_messages_and_gradients(name: str, loss: Any) -> None:
    root = loss(name)
    flow = viz.gradient_flow(root)
    messages, gradients = dense_messages(root)
    assert flow.messages.keys() == messages.keys()
    for edge, message in messages.items():
        assert flow.messages[edge] == pytest.approx(np.linalg.norm(message), rel=1e-12, abs=1e-300)
    for node, g in gradients.items():
        assert flow.gradients[node] == pytest.approx(np.linalg.norm(g), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_of_a_node_is_the_sum_of_its_messages(name: str) -> None:
    root = last_loss(name)
    flow = viz.gradient_flow(root)
    messages, _ = dense_messages(root)
    for node, size in flow.gradients.items():
        arriving = [messages[v, k] for _, v, k in flow.graph.out_edges(node, keys=True) if (v, k) in messages]
        if arriving:
            assert size == pytest.approx(np.linalg.norm(sum(arriving)), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("name", CELLS)
def test_no_grad_is_touched(name: str) -> None:
    root = last_loss(name)
    viz.gradient_flow(root)
    stack, leaves = [root], set()
    while stack:
        for x in stack.pop().inputs:
            if x is not None:
                leaves.add(x)
                stack.append(x)
    assert all(x.grad is None for x in leaves)
    backward(root)
    before = {x: np.array(x.grad) for x in leaves if x.grad is not None}
    viz.gradient_flow(root)
    assert before
    assert all(np.array_equal(x.grad, g) for x, g in before.items())


def test_scalars_flow_too() -> None:
    x = Value(3.0, label="x")
    flow = viz.gradient_flow(x * x)
    assert flow.messages == {("multiply", 0): 3.0, ("multiply", 1): 3.0}
    assert flow.gradients["x"] == 6.0
    assert x.grad == 0.0


@pytest.mark.parametrize("name", CELLS)
def test_every_message_has_its_root_mean_square_and_the_balance_of_its_signs(name: str) -> None:
    root = last_loss(name, B=3)
    flow = viz.gradient_flow(root)
    messages, _ = dense_messages(root)
    assert flow.rms.keys() == flow.balances.keys() == messages.keys()
    for edge, message in messages.items():
        assert flow.rms[edge] == pytest.approx(np.sqrt(np.mean(message**2)), rel=1e-12, abs=1e-300)
        assert flow.balances[edge] == pytest.approx(np.sign(message).mean(), abs=1e-14)


ODD: dict[str, Any] = {
    "a number": -2.5,
    "nothing": np.zeros((2, 3)),
    "no entries": np.zeros((0, 3)),
    "a 0-d array": np.array(3.0),
    "float32": np.array([1e30, -1e30, 3.0], np.float32),
    "tiny": np.array([3e-200, -4e-200]),
    "huge": np.array([3e200, 4e200, 0.0]),
    "infinite": np.array([np.inf, -1.0]),
    "not a number": np.array([np.nan, -1.0, -2.0]),
    "large": np.random.default_rng(0).standard_normal((200, 300)),
    "cut": Scatter(np.array([[1.0, 2.0, -3.0]]), (slice(0, 1), slice(3)), (4, 5)),
    "cut twice at one place": Scatter(np.array([1.0, -3.0]), np.array([2, 2]), (4,)),
    "one row": Product([np.array([[1.0, -2.0, 0.0]])], [np.array([[3.0, 4.0]])]),
    "three rows": Product([np.arange(-4.0, 8).reshape(3, 4)], [np.arange(-9.0, 6).reshape(3, 5)]),
    "two products": Product([np.ones((1, 2)), -np.ones((1, 2))], [np.ones((1, 3)), np.full((1, 3), 3.0)]),
}


def test_a_gauge_tells_of_each_what_it_would_tell_of_it_alone() -> None:
    norms = Norms()
    for _ in range(30):
        for x in ODD.values():
            norms.show(x)
    norms, sizes, balances = (column.reshape(30, -1) for column in norms.columns())
    for j, x in enumerate(ODD.values()):
        dense = np.asarray(x, dtype=np.float64)
        positive, negative = np.count_nonzero(dense > 0), np.count_nonzero(dense < 0)
        np.testing.assert_allclose(norms[:, j], norm(dense), rtol=1e-12)
        assert set(sizes[:, j]) == {dense.size}
        np.testing.assert_allclose(balances[:, j], (positive - negative) / max(dense.size, 1), atol=1e-14)


def test_what_is_handed_on_as_it_is_and_what_only_looks_like_it() -> None:
    x = Tensor(np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]))
    both = x + x[:, ::-1]  # the sum hands its gradient on; the slices scatter it, reversed or in part
    root = (both * both * x.T.reshape((2, 3))).sum() + (x[0] * x[1]).sum() + x.mean() + (x.T + 1.0)[1].sum()
    flow = viz.gradient_flow(root, keep_arrays=True)
    messages, _ = dense_messages(root)
    for edge, message in messages.items():
        assert flow.messages[edge] == pytest.approx(np.linalg.norm(message), rel=1e-12)
        assert flow.rms[edge] == pytest.approx(np.sqrt(np.mean(message**2)), rel=1e-12)
        assert flow.balances[edge] == pytest.approx(np.sign(message).mean(), abs=1e-14)
    assert flow.check() < 1e-12


def test_a_product_with_few_rows_is_not_built_for_its_norm() -> None:
    class Forbidding(Product):
        def dense(self) -> np.ndarray:
            raise AssertionError("built")

    Norms().show(Forbidding([np.ones((1, 50))], [np.ones((1, 60))]))
    norms = Norms()
    norms.show(Forbidding([np.ones((2, 50))], [np.ones((2, 60))]))
    with pytest.raises(AssertionError, match="built"):
        norms.columns()


# ------------------------------------------------------------------------------------------------ the arrays
@pytest.mark.parametrize("loss", [last_loss, all_losses])
@pytest.mark.parametrize("name", CELLS)
def test_kept_messages_are_the_messages_and_add_up(name: str, loss: Any) -> None:
    root = loss(name)
    flow = viz.gradient_flow(root, keep_arrays=True)
    messages, gradients = dense_messages(root)
    assert flow.arrays.keys() == messages.keys()
    for edge, message in messages.items():
        assert np.array_equal(flow.arrays[edge], message)
    for node, g in flow.gradient_arrays.items():
        assert np.array_equal(g, gradients[node])
    assert flow.check() < 1e-12


def test_a_function_says_which_messages_are_kept() -> None:
    flow = viz.gradient_flow(last_loss("lstm"), keep_arrays=lambda consumer, k: consumer.symbol == "c")
    assert {flow.graph.nodes[edge.consumer]["symbol"] for edge in flow.arrays} == {"c"}
    with pytest.raises(ValueError, match="keep_arrays=True"):
        viz.gradient_flow(last_loss("lstm")).check()


def test_a_hook_that_changes_a_gradient_is_found_by_the_check() -> None:
    x = Tensor(np.array([1.0, 2.0]))
    y = x * 3.0
    y.register_hook(lambda g: 2 * g)
    with pytest.raises(ArithmeticError, match="the messages to multiply differ from its gradient"):
        viz.gradient_flow((y * y).sum(), keep_arrays=True).check()


def test_records_hold_every_message_and_its_share() -> None:
    flow = viz.gradient_flow(last_loss("gru before"))
    records = flow.records()
    assert {(r["to"], r["k"]): r["norm"] for r in records} == flow.messages
    shares: dict[str, float] = {}
    for r in records:
        assert r["gradient"] == flow.gradients[r["from"]]
        shares[r["from"]] = shares.get(r["from"], 0.0) + r["share"]
    assert all(total == pytest.approx(1) for total in shares.values() if not math.isnan(total))
    by_step = [r for r in records if r["step"] == 2]
    assert by_step
    assert all(r["path"] == "gru" for r in by_step)


# ------------------------------------------------------------------------------------------------ a snapshot
def test_a_flow_is_of_the_weights_as_they_were() -> None:
    W = Tensor(np.array([[3.0, 4.0]]), label="W")
    root = (W * 2.0).sum()
    flow = viz.gradient_flow(root)
    W.data = W.data * 10
    assert flow.graph.nodes["W"]["norm"] == 5.0


def test_a_flow_may_be_pickled_and_forgets_the_computation_once_it_has_names() -> None:
    flow = viz.gradient_flow(last_loss("lstm"))
    again = pickle.loads(pickle.dumps(flow))
    assert again.messages == flow.messages
    assert again.profile("c") == flow.profile("c")
    assert flow._passed is None
    with pytest.raises(AttributeError, match="no attribute 'message'; it has graph, messages"):
        _ = flow.message


# ------------------------------------------------------------------------------------------------ the carry
def test_what_is_carried_over_in_an_lstm_is_the_forget_gate_times_the_gradient() -> None:
    root = last_loss("lstm", T=4)
    _, ids = traced(root)
    node = {name: x for x, name in ids.items()}
    flow = viz.gradient_flow(root)
    gradients = {ids[x]: np.array(g) for x, g in reverse(root)}
    for t in (1, 2):
        carried = gradients[f"lstm/t{t + 1}/c"] * node[f"lstm/t{t + 1}/f"].data
        arrival = flow.arrivals[f"lstm/t{t}/c"]
        assert arrival.carry == pytest.approx(np.linalg.norm(carried), rel=1e-12)
        assert arrival.rest == pytest.approx(np.linalg.norm(gradients[f"lstm/t{t}/c"] - carried), rel=1e-9)
        assert arrival.total == flow.gradients[f"lstm/t{t}/c"]


def test_what_is_carried_over_in_a_gru_is_the_update_gate_times_the_gradient() -> None:
    root = last_loss("gru after", T=4)
    _, ids = traced(root)
    node = {name: x for x, name in ids.items()}
    gradients = {ids[x]: np.array(g) for x, g in reverse(root)}
    arrival = viz.gradient_flow(root).arrivals["gru/t1/h"]
    carried = gradients["gru/t2/h"] * node["gru/t2/z"].data
    assert arrival.carry == pytest.approx(np.linalg.norm(carried), rel=1e-12)


def test_a_simple_rnn_carries_nothing() -> None:
    for a in viz.gradient_flow(last_loss("rnn")).split():
        assert a.carry == 0
        assert a.rest == pytest.approx(a.total, rel=1e-15), "two ways to add up the squares of the same numbers"


def test_carries_and_states_are_found_without_marks() -> None:
    g = viz.trace(own_cell(marked=False))
    (layer,) = layers(g)
    assert len({g.nodes[n]["name"] for n in states(g, layer)}) == 2
    assert len(carries(g, layer)) == 2 * 4


# ------------------------------------------------------------------------------------- losses summed in the loop
def tanh_loop(how: str, marked: bool = True, T: int = 12) -> tuple[Any, Any, list[Any]]:
    """A simple net by hand with a loss at every step, added up inside the steps or behind the loop."""
    rng = np.random.default_rng(0)
    W, V = Tensor(rng.standard_normal((4, 4)) / 4, label="W"), Tensor(rng.standard_normal((4, 2)), label="V")
    h: Any = rng.standard_normal((3, 4))
    total: Any = 0.0
    hidden, losses = [], []
    for t in range(T):
        with scope("mine", step=t):
            h = tanh(rng.standard_normal((3, 4)) + h @ W)
            if marked:
                mark(h, "h", role="hidden")
            hidden.append(h)
            losses.append(((h @ V) ** 2).sum())
            if how != "behind the loop":
                total = total - losses[-1] if how == "subtracted" else total + losses[-1]
    if how == "behind the loop":
        total = sum(losses[1:], losses[0])
    return (total / T if how == "mean" else total), W, hidden


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("how", ["summed", "subtracted", "mean"])
def test_losses_added_up_inside_the_steps_are_no_state(how: str, marked: bool) -> None:
    inside, W, hidden = tanh_loop(how, marked)
    behind, W_behind, _ = tanh_loop("behind the loop", marked)
    flow, scale = viz.gradient_flow(inside), 12 if how == "mean" else 1
    assert flow.state_names() == ["h"]
    truth = [np.linalg.norm(g) for g in grad(inside, hidden[::-1])]
    assert flow.profile().norms == pytest.approx(truth, rel=1e-12)
    jacobians = viz.step_jacobians(inside, batch=1)
    assert jacobians.states == ("h",)
    expected = [W.data * (1 - h.data[1] ** 2) for h in hidden[1:]]
    np.testing.assert_allclose(jacobians.arrays, expected, rtol=1e-12)
    errors, apart = viz.local_errors(inside), viz.local_errors(behind)
    assert errors.losses == apart.losses
    np.testing.assert_allclose(errors.norms * scale, apart.norms, rtol=1e-12)
    np.testing.assert_allclose(viz.shares(inside, {"W": W}, by="lag")["W"].norms * scale,
                               viz.shares(behind, {"W": W_behind}, by="lag")["W"].norms, rtol=1e-12)
    found = viz.ways(inside)
    assert found.state == viz.ways(behind).state
    np.testing.assert_allclose(found.whole_norms, truth, rtol=1e-12)


def test_a_loop_that_sums_up_the_losses_of_a_layer_is_no_layer_of_its_own() -> None:
    net, head = nn.LSTM(3, 4, rng=0), nn.Linear(4, 2, rng=1)
    xs = np.random.default_rng(0).standard_normal((7, 2, 3))

    def loss(stepped: bool) -> Any:
        (hs, _), total = net(xs), 0.0
        for t in range(7):
            with scope(step=t) if stepped else nullcontext():
                total = total + (head(hs[t]) ** 2).sum()
        return total

    inside, behind = loss(True), loss(False)
    for state in ("h", "c"):
        assert viz.gradient_flow(inside).profile(state).norms == viz.gradient_flow(behind).profile(state).norms
    assert viz.compare_flow({"lstm": inside}).verdict == viz.compare_flow({"lstm": behind}).verdict
    assert viz.local_errors(inside).by_lag() == viz.local_errors(behind).by_lag()
    np.testing.assert_allclose(viz.shares(inside, {"W": net.cell.W}, by="lag")["W"].arrays,
                               viz.shares(behind, {"W": net.cell.W}, by="lag")["W"].arrays, rtol=1e-12)


def test_a_number_that_the_next_step_works_with_or_that_is_marked_is_a_state() -> None:
    def last(marked: bool, works: bool) -> Any:
        w, m = Value(0.3, label="w"), Value(0.5)
        for t in range(4):
            with scope("mine", step=t):
                m = m + tanh(w * m if works else w * t)
                if marked:
                    mark(m, "m", role="cell")
        return m

    assert viz.gradient_flow(last(False, False)).state_names() == []
    assert viz.gradient_flow(last(False, False) ** 2).state_names() == ["h"]
    assert viz.gradient_flow(last(False, True)).state_names() == ["h"]
    assert viz.gradient_flow(last(True, False)).state_names() == ["m"]


# ------------------------------------------------------------------------------------------------ profiles
def test_a_profile_runs_from_the_last_step_back() -> None:
    flow = viz.gradient_flow(last_loss("lstm", T=5))
    p = flow.profile("cell")
    assert (p.state, p.steps, p.lags) == ("c", (4, 3, 2, 1, 0), (0, 1, 2, 3, 4))
    assert p.norms == tuple(flow.gradients[f"lstm/t{t}/c"] for t in (4, 3, 2, 1, 0))
    assert (flow.profile().state, flow.profile("h").state, flow.profile("hidden").state) == ("c", "h", "h")
    assert [p.state for p in viz.profiles(flow)] == ["c", "h"]


def test_a_state_that_is_not_there_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="no state 'cell'; this layer hands on h"):
        viz.gradient_flow(last_loss("rnn")).profile("cell")
    with pytest.raises(ValueError, match="no time steps"):
        viz.gradient_flow(Value(1.0) * 2).profile()


def test_the_profile_of_the_top_layer_comes_first_to_mind() -> None:
    flow = viz.gradient_flow(two_layers())
    assert flow.profile("c").norms[0] == flow.gradients["lstm/t4/c_2"]
    assert flow.profile("c", layer=0).norms[0] == flow.gradients.get("lstm/t4/c")


def test_a_layer_that_is_not_there_is_said_to_be_missing() -> None:
    flow = viz.gradient_flow(two_layers())
    for call in (flow.profile, flow.split):
        with pytest.raises(ValueError, match=r"there is no layer 5; this graph has 2, counted from 0"):
            call("h", layer=5)
    with pytest.raises(ValueError, match="no layer -3"):
        flow.state_names(-3)


def test_steps_behind_a_checkpoint_are_said_to_be_hidden() -> None:
    hs, _ = nn.LSTM(3, 4, rng=0)(np.ones((6, 2, 3)), checkpoint=True)
    flow = viz.gradient_flow((hs**2).sum())
    for call in (flow.profile, flow.split, flow.horizon):
        with pytest.raises(ValueError, match="a checkpoint hides the steps inside it; unroll without checkpoint="):
            call()
    assert flow.state_names() == []


def test_a_checkpoint_is_named_by_every_measurement_that_needs_the_steps() -> None:
    hs, _ = nn.LSTM(3, 4, rng=0)(np.ones((6, 2, 3)), checkpoint=True)
    loss = (hs**2).sum()
    measures: list[Any] = [
        viz.ways, lambda loss: viz.compare_flow({"lstm": loss}), lambda loss: viz.Recorder()(loss),
        lambda loss: viz.compare_flow({"lstm": viz.gradient_flow(loss)}), viz.shares, partial(viz.shares, by="lag"),
        viz.local_errors, viz.step_jacobians, viz.draw_rolled, viz.draw_long, viz.roll,
        lambda loss: viz.fold(viz.trace(loss), by="step"),
    ]
    for measure in measures:
        with pytest.raises(ValueError, match="a checkpoint hides the steps inside it"):
            measure(loss)


def test_where_nothing_needs_a_gradient_that_is_said_and_not_that_there_are_no_steps() -> None:
    net = nn.GRU(3, 4, rng=0)
    with no_grad():
        unrecorded = net(np.ones((6, 2, 3)))[1].sum()
    for p in net.parameters():
        p.requires_grad = False
    frozen = net(np.ones((6, 2, 3)))[1].sum()
    measures: list[Any] = [
        viz.gradient_flow, viz.ways, viz.shares, partial(viz.shares, by="lag"), viz.local_errors, viz.step_jacobians,
        viz.draw_rolled, viz.draw_long, viz.roll, viz.Recorder(), lambda loss: viz.compare_flow({"gru": loss}),
        lambda loss: viz.fold(viz.trace(loss), by="step"),
    ]
    for loss in (unrecorded, frozen):
        for measure in measures:
            with pytest.raises(ValueError, match=r"^\w+.*: nothing here needs a gradient.*frozen"):
                measure(loss)
    net.cell.W.requires_grad = True  # one is enough
    assert viz.gradient_flow(net(np.ones((6, 2, 3)))[1].sum()).state_names() == ["h"]


@pytest.mark.parametrize("size", [1e-100, 1e80, 1e150])
def test_the_largest_and_smallest_numbers_are_measured_without_a_warning(size: float) -> None:
    x, W = Tensor(np.full((3, 40), size), requires_grad=True), Tensor(np.zeros((40, 50)), requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow = viz.gradient_flow(x @ W, np.full((3, 50), size))
        (found,) = (g for node, g in flow.gradients.items() if flow.graph.nodes[node]["shape"] == "(40, 50)")
    assert found == pytest.approx(3 * size**2 * math.sqrt(40 * 50), rel=1e-12)


def test_unmarked_states_have_one_name_everywhere() -> None:
    rng, h, c = np.random.default_rng(0), np.zeros((2, 3)), np.zeros((2, 3))
    W = Tensor(rng.standard_normal((3, 12)) / 2)
    for t in range(5):
        with scope("own", step=t):
            a: Any = rng.standard_normal((2, 12)) + h @ W
            f, i, o = (a[:, 3 * k : 3 * k + 3].sigmoid() for k in range(3))
            c = f * c + i * tanh(a[:, 9:])
            h = o * tanh(c)
    loss = (h * h).sum()
    flow, jacobians = viz.gradient_flow(loss), viz.step_jacobians(loss)
    assert flow.state_names() == ["s2", "h"]
    assert set(jacobians.states) == {"s2", "h"}
    assert viz.ways(loss).state == flow.profile().state == "h"
    for state in ("s2", "h"):
        assert viz.ways(loss, state).state == state
        np.testing.assert_allclose(viz.ways(loss, state).whole_norms, flow.profile(state).norms, rtol=1e-12)


@pytest.mark.parametrize("T", [7, 8])
def test_a_loop_whose_steps_hand_on_different_nodes_is_refused_unless_they_are_marked(T: int) -> None:
    def loop(marked: bool) -> tuple[Any, list[Any]]:
        W, h, hidden = Tensor(np.random.default_rng(0).standard_normal((4, 4))), Tensor(np.ones((2, 4))), []
        for t in range(T):
            with scope("mine", step=t):
                h = tanh(h @ W) if t % 2 else (h @ W).sigmoid() + 0.0
                if marked:
                    mark(h, "h", role="hidden")
                hidden.append(h)
        return (h**2).sum(), hidden

    loss, _ = loop(marked=False)
    for measure in (lambda: viz.gradient_flow(loss).profile(), lambda: viz.step_jacobians(loss),
                    lambda: viz.ways(loss)):
        with pytest.raises(ValueError, match=r"the steps of this loop differ.*mark it in every step"):
            measure()
    loss, hidden = loop(marked=True)
    found = viz.gradient_flow(loss).profile()
    assert found.lags == tuple(range(T))
    assert found.norms == pytest.approx([np.linalg.norm(g) for g in grad(loss, hidden[::-1])], rel=1e-12)
    assert viz.step_jacobians(loss).steps == tuple(range(0, T))


def test_a_state_that_only_some_steps_renew_is_no_mistake() -> None:
    """A clockwork: c is renewed at every second step and read at each."""
    W, h, c = Tensor(np.random.default_rng(0).standard_normal((4, 4)) / 2), Tensor(np.ones((2, 4))), Tensor(np.ones(4))
    slow = []
    for t in range(7):
        with scope("clock", step=t):
            h = tanh(h @ W + c)
            if t % 2 == 0:
                c = c * 0.5 + h.sigmoid()
                slow.append(c)
    loss = (h * c).sum()
    flow = viz.gradient_flow(loss)
    assert flow.profile("h").lags == (0, 2, 4, 6), "unmarked, the youngest is called h: here that is c"
    assert flow.profile("h").norms == pytest.approx([np.linalg.norm(g) for g in grad(loss, slow[::-1])], rel=1e-12)
    assert flow.profile("s2").lags == tuple(range(7))
    with pytest.raises(ValueError, match=r"step 1 does not make all of"):
        viz.step_jacobians(loss)


@pytest.mark.parametrize("cut", [2, 4, 6])
def test_a_net_called_twice_has_the_whole_profile_of_its_second_call(cut: int) -> None:
    net, xs = nn.LSTM(3, 4, rng=0), np.random.default_rng(1).standard_normal((8, 2, 3))
    _, state = net(xs[:cut])
    loss = (net(xs[cut:], state)[1][0] ** 2).sum()
    once = viz.gradient_flow((net(xs)[1][0] ** 2).sum())
    for at in ("h", "c"):
        both = [*viz.gradient_flow(loss).profile(at).norms, *viz.gradient_flow(loss).profile(at, layer=0).norms]
        assert both == pytest.approx(once.profile(at).norms, rel=1e-12)


def profile(*norms: float) -> viz.Profile:
    n = len(norms)
    return viz.Profile("h", tuple(range(n))[::-1], tuple(range(n)), norms)


@pytest.mark.parametrize(("norms", "horizon"), [
    ((1.0, 0.5, 0.011, 0.009), 2),
    ((1.0, 0.005, 0.02, 0.001), 2),  # dips and comes back: the largest lag counts
    ((1.0, 0.01, 0.005), 0),  # exactly the fraction is not above it
    ((1.0, 2.0, 3.0), 2),
    ((1.0, math.nan, 0.5, math.nan), 2),
    ((1.0, math.inf), 1),
    ((0.0, 1.0), None),
    ((math.nan, 1.0), None),
    ((math.inf, 1.0), None),
])
def test_the_horizon_is_the_largest_lag_above_the_fraction(norms: tuple[float, ...], horizon: int | None) -> None:
    assert profile(*norms).horizon(0.01) == horizon


@pytest.mark.parametrize(("norms", "said"), [
    ((1.0, 0.5, 0.011, 0.009), "2"),
    ((1.0, 0.5, 0.0), "1"),
    ((1.0,), "≥ 0"),
    ((1.0, 0.5), "≥ 1"),
    ((1.0, 0.5, 0.01), "1"),  # exactly the fraction is not above it
    ((1.0, 0.5, math.nan), "≥ 1"),  # what lies beyond is no number
    ((1.0, math.nan, 0.001), "0"),
    ((1.0, 0.001, math.inf), "≥ 2"),
    ((1.0, 0.5, math.inf, 0.001), "2"),
])
def test_a_horizon_is_open_unless_a_smaller_norm_is_known_further_back(norms: tuple[float, ...], said: str) -> None:
    lags = tuple(range(len(norms)))
    found = [profile(*norms).horizon(), viz.Track("net", "h", lags, norms, {}).horizon()]
    assert [str(h) for h in found] == [said] * 2
    assert [h.open for h in found if h is not None] == ["≥" in said] * 2


def test_of_twenty_steps_whose_gradient_stays_the_horizon_is_at_least_nineteen() -> None:
    lstm = nn.LSTM(3, 4, rng=0)
    h = viz.gradient_flow(lstm(np.ones((20, 1, 3)))[1][1].sum()).horizon()
    assert h is not None
    assert h.open
    assert (str(h), f"{h}", f"{h:3d}", repr([h]), int(h), h + 1, h == 19, json.dumps({"h": h})) == (
        "≥ 19", "≥ 19", "≥  19", "[≥ 19]", 19, 20, True, '{"h": 19}')
    again = pickle.loads(pickle.dumps(h))
    assert again == h
    assert again.open
    assert copy.deepcopy(h).open


@pytest.mark.parametrize("fraction", [0, 1, -1, math.nan])
def test_a_fraction_lies_between_zero_and_one(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        profile(1.0).horizon(fraction)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_zero_and_infinite_gradients_are_written_down_as_they_are() -> None:
    x = Tensor(np.array([0.0, 1.0]))
    flow = viz.gradient_flow((x * 0.0).sum() + (x * np.inf).sum())
    assert flow.messages["multiply", 0] == 0.0
    assert flow.messages["multiply_2", 0] == math.inf
    json.dumps(flow.to_dict(), allow_nan=False)


def test_to_dict_holds_every_message() -> None:
    flow = viz.gradient_flow(last_loss("gru before"))
    said = flow.to_dict()
    assert {(e["to"], e["k"]): e["message"] for e in said["edges"]} == flow.messages
    assert {n["id"]: n["gradient"] for n in said["nodes"]} == flow.gradients


def test_a_flow_introduces_itself_in_one_line() -> None:
    assert re.fullmatch(r"Flow\(T=20, states=c, h, \d+ edges\)", repr(viz.gradient_flow(last_loss("lstm", T=20))))
    assert repr(viz.gradient_flow(Value(2.0) * 3)) == "Flow(no time steps, 1 edges)"


@pytest.mark.parametrize("leak", [1.0, 0.9])
@pytest.mark.parametrize("after", [lambda total: total, lambda total: (total + 1) ** 2])
def test_what_a_loop_only_adds_up_is_no_state_however_it_leaks_and_is_used_afterwards(leak: float, after: Any) -> None:
    rng = np.random.default_rng(0)
    U, W, xs = Tensor(rng.standard_normal((3, 4))), Tensor(rng.standard_normal((4, 4))), rng.standard_normal((5, 2, 3))
    h, total, hs = Tensor(np.zeros((2, 4))), Tensor(0.0), []
    for t, x in enumerate(xs):
        with scope("net", step=t):
            h = (x @ U + h @ W).tanh()
            total = leak * total + (h * h).sum()
        hs.append(h)
    loss = after(total)
    flow = viz.gradient_flow(loss)
    assert flow.state_names() == ["h"]
    np.testing.assert_allclose(flow.profile().norms, [norm(g) for g in grad(loss, hs)[::-1]], rtol=1e-12)
    assert viz.step_jacobians(loss).states == ("h",)
    assert viz.local_errors(loss).losses == (0, 1, 2, 3, 4)
    by_lag = viz.shares(loss, {"W": W}, by="lag")["W"]
    assert by_lag.keys == (0, 1, 2, 3, 4)
    np.testing.assert_allclose(by_lag.total, grad(loss, W), rtol=1e-11)


def test_pooling_in_the_loop_is_no_state_unless_it_is_marked_or_all_there_is() -> None:
    rng = np.random.default_rng(0)
    W, xs, h0 = Tensor(rng.standard_normal((4, 4))), rng.standard_normal((5, 2, 4)), Tensor(np.zeros((2, 4)))

    def states(step: Any) -> list[list[str]]:
        h, pool = h0, Tensor(np.zeros((2, 4)))
        for t, x in enumerate(xs):
            with scope("net", step=t):
                h, pool = step(x, h, pool)
        flow = viz.gradient_flow((pool * pool).sum())
        return [flow.state_names(layer) for layer in range(len(recurrent(flow.graph)))]

    def pooled(x: Any, h: Any, pool: Any) -> Any:
        h = (x + h @ W).tanh()
        return h, pool + h

    assert states(pooled) == [["h"]]
    assert states(lambda x, h, pool: (h, mark(pooled(x, h, pool)[1], "m", role="hidden"))) == [["m"]]
    marked = states(lambda x, h, pool: (lambda h, pool: (h, mark(pool, "m")))(*pooled(x, h, pool)))
    assert marked == [["h"], ["m"]], "a layer of its own: it reads h, and h does not read it"
    assert states(lambda x, h, pool: (h, pool + (x @ W).tanh())) == [["h"]]  # the sum itself: there is nothing else
