"""Ways through a cell: classes of paths add up to the gradient, and each holds the paths that it says."""

from __future__ import annotations

import doctest
import math
import random
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, grad, mark, nn, scope, sigmoid, sqrt, tanh, where
from microgradrnn.engine.backward import reverse
from microgradrnn.nn.scalar import GRUNeuron, LSTMNeuron, RNNNeuron
from tests.viz.nets import last_loss, own_cell
from tests.viz.scenes import data, scene_of, thickness
from viz.flow.compare import percent
from viz.flow.ways import RULES
from viz.graph.reachable import reachable
from viz.pictures.ways import BANDS, cut
from viz.scene.items import Box, Wire

CELLS: dict[str, Any] = {
    "rnn": lambda: nn.RNNCell(3, 4, rng=0),
    "irnn": lambda: nn.IRNNCell(3, 4, rng=0),
    "jordan": lambda: nn.JordanCell(3, 4, 2, rng=0),
    "additive": lambda: nn.AdditiveCell(3, 4, rng=0),
    "additive reading": lambda: nn.AdditiveCell(3, 4, reads_state=True, rng=0),
    "lstm": lambda: nn.LSTMCell(3, 4, rng=0),
    "carousel": lambda: nn.CarouselLSTMCell(3, 4, rng=0),
    "coupled": lambda: nn.CoupledLSTMCell(3, 4, rng=0),
    "update": lambda: nn.UpdateGateLSTMCell(3, 4, rng=0),
    "gru before": lambda: nn.GRUCell(3, 4, rng=0),
    "gru after": lambda: nn.GRUCell(3, 4, reset="after", rng=0),
    "mgu": lambda: nn.MGUCell(3, 4, rng=0),
}


def first_state(cell: Any, B: int = 2) -> Any:
    """A state that is not 0, and takes a gradient."""
    rng = np.random.default_rng(2)
    parts = tuple(Tensor(rng.standard_normal((B, n)) / 2) for n in cell.state_sizes)
    return parts if len(parts) > 1 else parts[0]


def unrolled(name: str, T: int, **options: Any) -> tuple[Any, Any]:
    """The outputs of all steps, and the last state."""
    cell = CELLS[name]()
    return nn.unroll(cell, np.random.default_rng(1).standard_normal((T, 2, 3)), first_state(cell), **options)


def loss_of(hs: Any) -> Any:
    """A loss at every step, none like another."""
    return (hs * np.random.default_rng(3).standard_normal(hs.shape)).sum()


# ------------------------------------------------------------------------------------------------ the parts add up
@pytest.mark.parametrize("by", RULES)
@pytest.mark.parametrize("name", CELLS)
def test_the_classes_add_up_to_the_gradient(name: str, by: str) -> None:
    for T in (1, 2, 3, 10, 50, 200) if name in ("lstm", "gru before", "rnn") else (1, 2, 3, 10):
        hs, _ = unrolled(name, T)
        for root in (loss_of(hs), loss_of(hs[-1])):
            for state in CELLS[name]().state if T > 1 or name != "jordan" else ():
                found = viz.ways(root, state, by=by)
                assert found.initial == (T > 1)
                assert found.whole.shape == (T + (T > 1), 2, CELLS[name]().state_sizes[0])
                assert np.linalg.norm(found.whole[0]) > 0
                assert found.check() < 1e-10
@pytest.mark.parametrize("by", RULES)
@pytest.mark.parametrize("net", [nn.LSTM, nn.GRU, nn.MGU, nn.RNN])
def test_the_classes_add_up_in_every_layer_of_a_stack_and_in_both_directions(net: Any, by: str) -> None:
    hs, _ = net(3, 4, num_layers=2, bidirectional=True, rng=0)(np.random.default_rng(1).standard_normal((6, 2, 3)))
    root = loss_of(hs)
    for layer in range(4):
        found = viz.ways(root, by=by, layer=layer)
        assert found.check() < 1e-12
        assert found.steps == ((5, 4, 3, 2, 1, 0) if layer % 2 == 0 else (0, 1, 2, 3, 4, 5))


def test_a_ragged_batch_adds_up_too() -> None:
    cell = CELLS["lstm"]()
    xs = np.random.default_rng(1).standard_normal((6, 2, 3))
    for backwards in (False, True):
        hs, _ = nn.unroll(cell, xs, first_state(cell), lengths=[6, 3], reverse=backwards)
        assert viz.ways(loss_of(hs), "h").check() < 1e-12


# ------------------------------------------------------------------------------------------------ the carry alone
def marked_as(symbol: str, root: Any) -> list[Any]:
    """The data of all nodes with this symbol, oldest first."""
    return [x.data for x in reachable(root) if x.symbol == symbol and x.op is not None]


def test_the_carry_of_an_lstm_is_the_product_of_the_forget_gates() -> None:
    _, (_, c) = unrolled("lstm", 50)
    seed = np.random.default_rng(4).standard_normal(c.shape)
    found = viz.ways(c, "c", seed=seed)
    f = marked_as("f", c)
    for lag in range(50):
        expected = seed * np.prod(f[50 - lag :], axis=0)
        np.testing.assert_allclose(found.parts["carry"][lag], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "gate", "kept"), [
    ("gru before", "z", lambda z: z), ("gru after", "z", lambda z: z), ("mgu", "f", lambda f: 1 - f),
])
def test_the_carry_of_a_gated_unit_is_the_product_of_what_is_kept(name: str, gate: str, kept: Any) -> None:
    _, h = unrolled(name, 50)
    seed = np.random.default_rng(4).standard_normal(h.shape)
    found = viz.ways(h, seed=seed)
    gates = marked_as(gate, h)
    for lag in range(50):
        expected = seed * np.prod([kept(g) for g in gates[50 - lag :]], axis=0)
        np.testing.assert_allclose(found.parts["carry"][lag], expected, rtol=1e-12, atol=0)


def test_the_carry_of_additive_nets_is_the_identity() -> None:
    for name in ("additive", "additive reading"):
        _, h = unrolled(name, 9)
        seed = np.random.default_rng(4).standard_normal(h.shape)
        found = viz.ways(h, seed=seed)
        assert all(np.array_equal(part, seed) for part in found.parts["carry"])
        assert list(found.parts) == (["carry"] if name == "additive" else ["carry", "g"])


def test_a_simple_net_has_one_way_only() -> None:
    _, h = unrolled("rnn", 5)
    found = viz.ways((h * h).sum())
    assert list(found.parts) == ["carry", "tanh"]
    assert found.norms["carry"][0] > 0  # straight from the loss
    assert not found.parts["carry"][1:].any()
    assert list(viz.ways((h * h).sum(), by="number").parts) == ["0", "1", "2", "3+"]


# ------------------------------------------------------------------------------------------------ the initial state
def test_the_carry_down_to_the_initial_cell_state_is_the_product_of_all_forget_gates() -> None:
    cell, (h_0, c_0) = CELLS["lstm"](), first_state(CELLS["lstm"]())
    _, (_, c) = nn.unroll(cell, np.random.default_rng(1).standard_normal((9, 2, 3)), (h_0, c_0))
    seed = np.random.default_rng(4).standard_normal(c.shape)
    found = viz.ways(c, "c", seed=seed)
    assert (found.steps[-1], found.lags[-1], found.initial) == (-1, 9, True)
    np.testing.assert_allclose(found.parts["carry"][9], seed * np.prod(marked_as("f", c), axis=0), rtol=1e-12)


@pytest.mark.parametrize("by", RULES)
@pytest.mark.parametrize("name", ["lstm", "gru before", "mgu", "rnn", "additive reading"])
def test_what_arrives_at_the_initial_state_is_its_gradient(name: str, by: str) -> None:
    for backwards in (False, True):
        cell, start = CELLS[name](), first_state(CELLS[name]())
        hs, _ = nn.unroll(cell, np.random.default_rng(1).standard_normal((5, 2, 3)), start, reverse=backwards)
        starts = start if isinstance(start, tuple) else (start,)
        root = loss_of(hs) + (starts[0] * starts[0]).sum()  # read straight by the loss, too
        for symbol, g, x in zip(cell.state, grad(root, list(starts)), starts, strict=True):
            found = viz.ways(root, symbol, by=by)
            assert (found.steps[-1], found.lags[-1]) == (5 if backwards else -1, 5)
            np.testing.assert_allclose(found.whole[-1], g, rtol=1e-12)
            assert np.linalg.norm(x.data) > 0
            assert found.check() < 1e-12
            if by == "last":
                straight = found.parts["straight"][-1]
                np.testing.assert_allclose(straight, 2 * x.data if symbol == "h" else 0 * x.data, rtol=1e-12)


def test_the_initial_state_of_a_decoder_is_what_its_encoder_ended_with() -> None:
    rng = np.random.default_rng(1)
    _, h = nn.GRU(3, 4, rng=0)(rng.standard_normal((6, 2, 3)))
    hs, _ = nn.GRU(2, 4, rng=1)(rng.standard_normal((3, 2, 2)), h)
    found = viz.ways(loss_of(hs))
    assert found.steps == (2, 1, 0, -1)
    np.testing.assert_allclose(found.whole[-1], grad(loss_of(hs), [h])[0], rtol=1e-12)
    assert found.check() < 1e-12


def test_an_initial_state_that_takes_no_gradient_or_is_of_another_shape_is_no_row() -> None:
    xs = np.random.default_rng(1).standard_normal((4, 2, 3))
    assert not viz.ways(loss_of(nn.GRU(3, 4, rng=0)(xs)[0])).initial
    assert not viz.ways(loss_of(nn.GRU(3, 4, rng=0)(xs, np.ones((2, 4)))[0])).initial
    W, h = Tensor(np.eye(4) / 2), Tensor(np.ones(4))  # one for the whole batch: broadcast, so smaller than a state
    for t in range(4):
        with scope(step=t):
            h = mark(tanh(np.ones((2, 4)) + h @ W), "h", role="hidden")
    found = viz.ways(h.sum())
    assert found.steps == (3, 2, 1, 0)
    assert found.check() < 1e-12


# ------------------------------------------------------------------------------------------------ one path at a time
def paths(root: Any, target: Any) -> list[list[tuple[Any, int]]]:
    """Every path from the root back to the target, as edges."""
    if root is target:
        return [[]]
    return [[(root, k), *rest] for k, x in enumerate(root.inputs) if x is not None and x.requires_grad
            and x.serial >= target.serial for rest in paths(x, target)]


def along(path: list[tuple[Any, int]], seed: Any) -> Any:
    """The gradient that comes along one path: every message but those on the path left out."""
    g = seed
    for node, k in path:
        g = next(m for x, m in reverse(node, g, keep=lambda v, j, k=k: j == k, since=node.serial) if x is not node)
    return np.asarray(g)


def class_of(path: list[tuple[Any, int]], by: str, gates: str, plain: str | None) -> str:
    """The class of a path, from the letters of the nodes it goes through, step by step."""
    passages: list[tuple[int, str]] = []
    for step, edges in groupby(path, key=lambda edge: edge[0].scope.step):
        if step is not None:
            passages.append((step, "".join(v.symbol for v, _ in edges if v.symbol and v.symbol in gates)))
    end = path[-1][0].inputs[path[-1][1]].scope.step
    met = [letters[-1:] or plain for step, letters in passages if step != end]
    used = [way for way in met if way]
    if by == "first":
        return used[0] if used else "carry"
    if by == "last":
        return (met[-1] or "carry") if met else "straight"
    if by == "set":
        return "+".join(way for way in ([plain] if plain else list(gates)) if way in used) or "carry"
    return "3+" if len(used) > 2 else str(len(used))


SMALL: dict[str, tuple[Any, str, str | None, int]] = {  # a cell, its gates in the order of making, how many steps
    "lstm of Values": (lambda: LSTMNeuron(2), "ifgo", None, 3),
    "gru of Values": (lambda: GRUNeuron(2), "rzn", None, 3),
    "rnn of Values": (lambda: RNNNeuron(2), "", "tanh", 4),
    "rnn": (lambda: nn.RNNCell(2, 3, rng=0), "", "tanh", 4),
    "lstm": (lambda: nn.LSTMCell(2, 3, rng=0), "ifgo", None, 4),
    "coupled": (lambda: nn.CoupledLSTMCell(2, 3, rng=0), "ugo", None, 3),
    "gru before": (lambda: nn.GRUCell(2, 3, rng=0), "rzn", None, 4),
    "gru after": (lambda: nn.GRUCell(2, 3, reset="after", rng=0), "rzn", None, 4),
    "mgu": (lambda: nn.MGUCell(2, 3, rng=0), "fn", None, 4),
}


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("by", RULES)
@pytest.mark.parametrize("name", SMALL)
def test_each_class_is_the_sum_of_its_paths(name: str, by: str, every_step: bool) -> None:
    make, gates, plain, T = SMALL[name]
    rng = np.random.default_rng(5)
    scalar = name.endswith("Values")
    random.seed(0)
    xs = [[Value(x) for x in row] for row in rng.standard_normal((T, 2))] if scalar else rng.standard_normal((T, 2, 2))
    hs, _ = nn.unroll(make(), xs)
    weights = rng.standard_normal(T)
    read = range(T) if every_step else [T - 1]
    root = sum(float(weights[t]) * (hs[t] if scalar else (hs[t] * hs[t]).sum()) for t in read)
    found_any = 0
    for state in ("h", "c") if "lstm" in name or name == "coupled" else ("h",):
        found = viz.ways(root, state, by=by)
        assert not found.initial
        at = sorted((x for x in reachable(root) if x.symbol == state and x.op is not None), key=lambda x: -x.serial)
        for j, target in enumerate(at):
            expected: dict[str, Any] = {}
            for path in paths(root, target):
                way = class_of(path, by, gates, plain)
                expected[way] = expected.get(way, 0.0) + along(path, np.ones(np.shape(root.data)))
                found_any += 1
            assert expected.keys() <= found.parts.keys()
            for way, part in found.parts.items():
                scale = np.linalg.norm(found.whole[j])
                np.testing.assert_allclose(part[j], expected.get(way, 0.0), rtol=1e-12, atol=1e-13 * scale)
    assert found_any >= 4


# ------------------------------------------------------------------------------------------------ last steps, own cells
def test_step_ways_of_an_lstm_are_what_the_equations_say() -> None:
    _, (h, _) = unrolled("lstm", 4)
    root = (h * h).sum()
    gradient = {x: np.asarray(g) for x, g in reverse(root)}
    cs = [x for x in reachable(root) if x.symbol == "c" and x.op is not None]
    f = marked_as("f", root)
    found = viz.ways(root, "c", by="last")
    assert list(found.parts) == ["straight", "carry", "i", "f", "g", "o"]
    for lag in (1, 2, 3):
        np.testing.assert_allclose(found.parts["carry"][lag], gradient[cs[4 - lag]] * f[4 - lag], rtol=1e-12)
        assert not found.parts["straight"][lag].any()
    assert found.check() < 1e-12


def test_a_cell_of_ones_own_is_split_by_its_marks() -> None:
    assert list(viz.ways(own_cell(), "m").parts) == ["carry", "a", "tanh"]
    assert viz.ways(own_cell(), "m").check() < 1e-12
    assert list(viz.ways(own_cell(marked=False)).parts) == ["carry", "sigmoid", "tanh"]


def peeping(x: Any, state: Any) -> Any:
    """A cell whose output gate reads the new cell state."""
    h, c = state
    f = mark(sigmoid(x + h * 0.3), "f", role="gate")
    c = mark(f * c + tanh(x - h), "c", role="cell")
    o = mark(sigmoid(x + c * 0.7), "o", role="gate")
    return mark(o * tanh(c), "h", role="hidden"), c


def test_a_set_of_ways_has_one_name_at_every_state() -> None:
    for constant in (np.ones((2, 3)), Tensor(np.ones((2, 3)))):
        xs = Tensor(np.random.default_rng(0).standard_normal((4, 2, 3)))
        _, (h, _) = nn.unroll(peeping, xs, (constant, constant))
        names = [set(viz.ways((h * h).sum(), state, by="set").parts) for state in "hc"]
        assert "f+o" in names[0] & names[1]
        assert not {"o+f"} & (names[0] | names[1])


@pytest.mark.parametrize("net", [
    lambda xs: nn.LSTM(3, 4, rng=0)(xs, reverse=True, lengths=[6, 2]), lambda xs: nn.GRU(3, 4, rng=0)(xs),
    lambda xs: nn.GRU(3, 4, rng=0)(xs, lengths=[3, 6]), lambda xs: nn.MGU(3, 4, rng=0)(xs),
])
def test_the_carry_is_the_same_for_the_ways_the_flow_and_the_recorder(net: Any) -> None:
    root = net(np.random.default_rng(1).standard_normal((6, 2, 3)))[0]
    root = (root * root).sum()
    recorder = viz.Recorder()
    recorder(root)
    found = viz.ways(root, recorder.symbol, by="last")
    carried = [a.carry for a in viz.gradient_flow(root).split(recorder.symbol)]
    np.testing.assert_allclose(found.norms["carry"], carried, rtol=1e-12, atol=1e-15)
    assert sum(x > 0 for x in carried) == len(carried) - 1
    rest = [a.rest for a in viz.gradient_flow(root).split(recorder.symbol)]
    shares = np.array(carried) / (np.array(carried) + np.array(rest))
    np.testing.assert_allclose(recorder.carry[0], shares, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("step", [
    lambda h, W: where(np.array([[True], [False]]), tanh(h @ W), h),
    lambda h, W: h - h / 4 + tanh(h @ W) / 4,
])
def test_what_is_moved_or_divided_is_carried_too(step: Any) -> None:
    W = Tensor(np.random.default_rng(0).standard_normal((4, 4)) / 2)
    h: Any = np.random.default_rng(1).standard_normal((2, 4))
    states = []
    for t in range(5):
        with scope("own", step=t):
            h = mark(step(h, W), "h", role="hidden")
        states.append(h)
    root = (h * h).sum()
    ones = np.ones((2, 4))
    kept = ones * (0.75 if states[1].op.name == "add" else np.array([[0.0], [1.0]]))
    gradients = grad(root, states)
    expected = [0.0, *(np.linalg.norm(kept * g) for g in gradients[:0:-1])]
    recorder = viz.Recorder()
    recorder(root)
    split = viz.gradient_flow(root).split()
    np.testing.assert_allclose(viz.ways(root, by="last").norms["carry"], expected, rtol=1e-12)
    np.testing.assert_allclose([a.carry for a in split], expected, rtol=1e-12)
    np.testing.assert_allclose(recorder.carry[0], [a.carry / (a.carry + a.rest) for a in split], rtol=1e-12)


def test_a_gate_that_peeps_at_the_new_cell_state_is_left_by_there_and_then() -> None:
    _, (h, _) = nn.unroll(peeping, np.random.default_rng(0).standard_normal((4, 2, 3)), (Tensor(np.ones((2, 3))),) * 2)
    root = h.sum()
    o, c = (next(x for x in reversed(reachable(root)) if x.symbol == s) for s in "oc")
    found = viz.ways(root, "c")
    np.testing.assert_allclose(found.parts["o"][0], np.tanh(c.data) * o.data * (1 - o.data) * 0.7, rtol=1e-12)
    np.testing.assert_allclose(found.parts["carry"][0], o.data * (1 - np.tanh(c.data) ** 2), rtol=1e-12)
    assert found.check() < 1e-12


def test_ones_own_names_for_ways() -> None:
    _, (h, _) = unrolled("lstm", 5)
    root = (h * h).sum()
    inside = viz.ways(root, "c", classify=lambda v, k: "into c" if v.symbol in ("i", "f", "g") else None)
    by_gate = viz.ways(root, "c")
    np.testing.assert_allclose(inside.parts["into c"] + inside.parts["carry"],
                               sum(by_gate.parts.values()), rtol=1e-10)
    assert inside.check() < 1e-12
    with pytest.raises(ValueError, match="'carry' is what a path that takes no way"):
        viz.ways(root, classify=lambda v, k: "carry" if v.symbol == "f" else None)


def test_paths_to_the_lower_layer_leave_the_upper_one_unseen() -> None:
    xs = np.random.default_rng(1).standard_normal((4, 2, 3))
    lower, upper = nn.LSTM(3, 4, rng=0), nn.GRU(4, 4, rng=1)
    hs, _ = lower(xs)
    _, h = upper(hs)
    root = (h * h).sum()
    found = viz.ways(root, "c", layer=0)
    assert set(found.parts) == {"carry", "i", "f", "g", "o"}
    at_h = {x: np.asarray(g) for x, g in reverse(root)}
    alone = sum((x * at_h[hs]).sum() for x in [hs])  # the same lower layer under a loss that says ∂L/∂h_t outright
    again = viz.ways(alone, "c", layer=0)
    for way, part in found.parts.items():
        np.testing.assert_allclose(part, again.parts[way], rtol=1e-9, atol=1e-15)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_branch_not_taken_stays_silent() -> None:
    x = Tensor([[0.0, 4.0]])
    h: Any = x
    for t in range(3):
        with scope(step=t):
            h = mark(h + where(h > 0, sqrt(h), 0.0), "h", role="hidden")
    found = viz.ways(h.sum())
    assert np.isfinite(found.whole).all()
    assert found.check() < 1e-12


# ------------------------------------------------------------------------------------------------ what comes back
def test_norms_shares_and_records_say_the_same() -> None:
    hs, _ = unrolled("lstm", 4)
    found = viz.ways(loss_of(hs))
    for name, part in found.parts.items():
        np.testing.assert_allclose(found.norms[name], [np.linalg.norm(row) for row in part], rtol=1e-12)
    np.testing.assert_allclose(sum(found.shares(name) for name in found.parts), 1)
    assert (found.sum_of_norms >= found.whole_norms * (1 - 1e-12)).all()
    records = found.records()
    assert len(records) == 5 * len(found.parts)
    assert records[1] == {"state": "c", "step": 3, "lag": 0, "by": "first", "class": "i", "norm": 0.0, "share": 0.0,
                          "whole": found.whole_norms[0]}


def test_parts_that_do_not_add_up_are_reported() -> None:
    found = viz.ways(loss_of(unrolled("lstm", 4)[0]))
    found.parts["f"][2] += 1e-6
    with pytest.raises(ArithmeticError, match="miss the whole"):
        found.check()


def test_a_gradient_that_is_not_finite_is_not_blamed_on_the_split() -> None:
    hs, _ = unrolled("lstm", 4)
    for bad in (np.nan, np.inf):
        with np.errstate(invalid="ignore"):
            found = viz.ways((hs * bad).sum())
        with pytest.raises(ArithmeticError, match=r"∂L/∂c is not finite at step 3") as raised:
            found.check()
        assert "report" not in str(raised.value)


def test_no_grad_is_touched() -> None:
    cell = CELLS["gru before"]()
    hs, _ = nn.unroll(cell, np.ones((4, 2, 3)))
    viz.ways(loss_of(hs))
    assert all(p.grad is None for p in cell.parameters())


def test_hooks_may_look_but_not_change() -> None:
    _, h = unrolled("rnn", 4)
    seen: list[Any] = []
    remove = h.register_hook(seen.append)
    assert viz.ways((h * h).sum()).check() < 1e-12
    np.testing.assert_allclose(seen[0], 2 * h.data)
    remove()
    h.register_hook(lambda g: 2 * g)
    with pytest.raises(ValueError, match="a hook changes the gradient of h"):
        viz.ways((h * h).sum())


def test_what_cannot_be_split_is_said() -> None:
    hs, _ = unrolled("rnn", 3)
    root = loss_of(hs)
    with pytest.raises(ValueError, match="by is one of 'first', 'last', 'set', 'number', got 'gate'"):
        viz.ways(root, by="gate")
    with pytest.raises(ValueError, match="no state 'c'; this layer hands on h"):
        viz.ways(root, "c")
    with pytest.raises(ValueError, match="no time steps"):
        viz.ways(Value(2.0) * 3)
    with pytest.raises(ValueError, match="layer"):
        viz.ways(root, layer=3)
    with pytest.raises(TypeError, match="Value or a Tensor"):
        viz.ways(3.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="single number"):
        viz.ways(hs)


# ------------------------------------------------------------------------------------------------ the page
def test_the_example_worked_by_hand_comes_out() -> None:
    found = doctest.testfile("../../docs/ways.md")
    assert found.failed == 0
    assert found.attempted > 15


# ------------------------------------------------------------------------------------------------ the picture
@pytest.mark.parametrize("by", RULES)
def test_the_picture_names_every_class_and_its_bands_fill_the_column(by: str) -> None:
    found = viz.ways(loss_of(unrolled("lstm", 12)[0]), by=by)
    drawing = found.draw(name="a < b")
    scene = scene_of(drawing)
    assert "a < b" in scene.title
    words = scene.words
    for symbol in ("i", "f", "g", "o") if by in ("first", "last") else ():
        assert f"{found.colours[symbol][1]} {symbol}" in words
    assert ("9 others" in words) == (by == "set")
    shown = cut(found, 1000)
    bands = thickness(scene, "")
    for name, drawn in bands.items():
        assert drawn == pytest.approx(list(BANDS * shown.shares(name)), abs=1e-9)
    assert np.sum(list(bands.values()), axis=0) == pytest.approx([BANDS] * len(found.lags))
    most = max(shown.parts, key=lambda name: shown.norms[name][-1])
    assert percent(shown.shares(most)[-1]) in scene.title


def test_the_picture_says_zero_and_infinity_as_they_are() -> None:
    found = viz.ways(loss_of(unrolled("gru before", 6)[0]))
    for part in (*found.parts.values(), found.whole):
        part[4] = 0.0
    found.parts["z"][2, 0, 0] = np.inf
    drawing = viz.draw_ways(viz.Ways("h", "first", found.steps, found.lags, found.parts, found.whole))
    scene = scene_of(drawing)
    gaps = data(scene, "gap")
    assert gaps["", 4] == 0
    assert math.isnan(gaps["", 2] or 0.0)
    assert "!" in scene.words.split("\n")
    assert "nan" not in scene.words.lower()
    with pytest.raises(ValueError, match="nothing to draw"):
        viz.draw_ways({})


@pytest.mark.parametrize("ask", [viz.ways, partial(viz.ways, by="last")])
def test_a_flow_has_no_ways_and_the_error_says_what_it_has(ask: Any) -> None:
    flow = viz.gradient_flow(last_loss("lstm"))
    with pytest.raises(TypeError, match=r"give the loss.*flow\.split\(\) tells"):
        ask(flow)
    assert all(a.carry >= 0 for a in flow.split())


def test_two_cells_that_feed_each_other_are_one_layer_with_two_states() -> None:
    """b_t = b_{t-1} / 2 + a_t: what came back through a is not carried, although it left by a sum."""
    rng = np.random.default_rng(0)
    V, W = (Tensor(rng.standard_normal((4, 4)) * 0.6) for _ in range(2))
    xs, b0 = rng.standard_normal((5, 3, 4)), Tensor(rng.standard_normal((3, 4)))

    cotangent = rng.standard_normal((3, 4))
    a, b, bs = Tensor(np.zeros((3, 4))), b0, []
    for t, x in enumerate(xs):
        with scope("a", step=t):
            a = mark(tanh(a @ V + b @ W + x), "a", role="hidden")
        with scope("b", step=t):
            b = mark(0.5 * b + a, "b", role="hidden")
        bs.append(b)
    loss = (b * cotangent).sum()
    assert viz.gradient_flow(loss).state_names() == ["a", "b"]
    first, last = viz.ways(loss), viz.ways(loss, by="last")
    assert (first.state, [*first.parts]) == ("b", ["carry", "tanh"])
    for j in range(6):
        np.testing.assert_allclose(first.parts["carry"][j], 0.5**j * cotangent, rtol=1e-12)
        np.testing.assert_allclose(last.parts["carry"][j], last.whole[j - 1] / 2 if j else 0 * cotangent, rtol=1e-12)
    np.testing.assert_allclose(last.norms["carry"][:5], [x.carry for x in viz.gradient_flow(loss).split()], rtol=1e-12)
    number = viz.ways(loss, by="number")
    assert number.check() < 1e-13
    np.testing.assert_allclose(number.parts["0"], first.parts["carry"], rtol=1e-12)
    np.testing.assert_allclose(number.parts["1"][1], grad(loss, bs[3]) - 0.5 * cotangent, rtol=1e-10)
    of_a = viz.ways(loss, "a", by="last")  # what b_t got straight or by the carry it hands to a_t unchanged
    assert of_a.check() < 1e-13
    assert [*of_a.parts] == ["straight", "carry", "tanh"]
    for way in ("straight", "carry"):
        np.testing.assert_allclose(of_a.parts[way][:5], last.parts[way][:5], rtol=1e-10, atol=1e-14)


def test_the_picture_of_a_net_without_a_carry_does_not_speak_of_the_carry_alone() -> None:
    hs, _ = nn.RNN(3, 4, rng=0)(np.random.default_rng(0).standard_normal((6, 2, 3)))
    words = scene_of(viz.ways((hs**2).sum()).draw()).words
    assert "carry alone" not in words
    assert "straight: from its own step, or above" in words
    assert "Carried over" not in words
    short, _ = nn.RNN(3, 4, rng=0)(np.ones((2, 1, 3)))
    assert scene_of(viz.ways(short.sum()).draw()).title.startswith("1 step back, ")


def test_the_curves_of_a_state_without_lag_0_stand_at_their_own_lags() -> None:
    found = viz.ways((nn.LSTM(3, 4, rng=0)(np.ones((5, 2, 3)))[0][-1] ** 2).sum())
    later = viz.Ways("c", "first", found.steps[1:], found.lags[1:], {k: p[1:] for k, p in found.parts.items()},
                     found.whole[1:])
    places = {}
    for name, one in (("all", found), ("later", later)):
        scene = scene_of(viz.draw_ways(one))
        assert f"at lag {one.lags[0]}" in scene.words
        (thick,) = [item for item, _, _ in scene.keyed("curve") if isinstance(item, Wire) and item.stroke_width > 2]
        places[name] = thick.routes[0].start[0]
    unit = places["all"] - places["later"]
    assert unit > 10


def test_a_part_that_is_exactly_zero_has_no_curve() -> None:
    hs, _ = nn.RNN(3, 4, rng=0)(np.random.default_rng(0).standard_normal((9, 2, 3)))
    scene = scene_of(viz.ways(hs[-1].sum()).draw())
    curves = {item.key[2]: item for item, _, _ in scene.keyed("curve")}  # type: ignore[index]
    assert set(curves) == {"carry", "tanh", "sum of norms", "gradient"}
    assert isinstance(curves["carry"], Box), "a point: at lag 0 alone"
    assert isinstance(curves["tanh"], Wire)


@pytest.mark.parametrize(("by", "said"), [
    ("first", "went through"), ("last", "from the step after"), ("set", "went through"),
    ("number", "not carried over at"),
])  # fmt: skip
def test_the_title_says_what_was_carried_over_or_that_nothing_is(by: str, said: str) -> None:
    xs = np.random.default_rng(0).standard_normal((30, 2, 3))
    found = [viz.ways(net(3, 4, rng=0)(xs)[0][-1].sum(), by=by) for net in (nn.RNN, nn.GRU)]
    assert [one.gated for one in found] == [False, True]
    plain, gated = (scene_of(one.draw()).title for one in found)
    assert said in plain
    assert plain.endswith("; nothing is carried over")
    assert "carried over" in gated


def test_curves_are_measured_by_the_gradient_at_lag_0() -> None:
    hs, _ = nn.LSTM(3, 4, rng=0)(np.random.default_rng(0).standard_normal((9, 2, 3)))
    loss = hs[-1].sum()
    one, other = (scene_of(viz.ways(loss * factor).draw()) for factor in (1.0, 1e40))
    drawn = [[item.routes for item, _, _ in scene.keyed("curve") if isinstance(item, Wire)] for scene in (one, other)]
    for a, b in zip(*drawn, strict=True):
        places = [[p for route in routes for p in route.points()] for routes in (a, b)]
        np.testing.assert_allclose(*places, atol=1e-6)


@pytest.mark.parametrize("lags", [-1, math.nan])
def test_fewer_than_no_lags_are_refused(lags: Any) -> None:
    with pytest.raises(ValueError, match="lags is how many steps back to draw, at least 0"):
        viz.draw_ways(viz.ways(last_loss("rnn")), lags=lags)
