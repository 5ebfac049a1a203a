"""Cuts: the norms for every choice of ways are those of reverse passes that send no message along the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope, sigmoid, tanh
from microgradrnn.engine import Node
from microgradrnn.engine.backward import reverse
from tests.viz.test_ways import CELLS, loss_of, unrolled
from viz.flow.cuts import MOST, cuts, norms_of_subsets
from viz.graph.trace import norm

Cut = Callable[[Node, int], bool]  # is this edge on the way?


def out_of(symbol: str) -> Cut:
    """The gate or candidate of this symbol, whatever it reads."""
    return lambda consumer, k: consumer.symbol == symbol


def earlier(state: str) -> Cut:
    """Any use of the state of an earlier step."""
    def uses(consumer: Node, k: int) -> bool:
        x = consumer.inputs[k]
        return x is not None and x.symbol == state and None is not consumer.scope.step != x.scope.step

    return uses


def carried(state: str, without: str = "") -> Cut:
    """A product or a sum, entry by entry, that reads the state of an earlier step; not one with this gate."""
    def uses(consumer: Node, k: int) -> bool:
        plain = consumer.op.name in ("multiply", "add") and consumer.role not in ("gate", "candidate")
        others = [x.symbol for x in consumer.inputs if x is not None]
        return plain and without not in others and earlier(state)(consumer, k)

    return uses


def gated_by(gate: str) -> Cut:
    """What the gate lets into the candidate: the other operand of its product with the last state, or with h W."""
    def uses(consumer: Node, k: int) -> bool:
        x, others = consumer.inputs[k], [other for j, other in enumerate(consumer.inputs) if j != k]
        if consumer.op.name != "multiply" or x is None or not any(o is not None and o.symbol == gate for o in others):
            return False
        return x.symbol == "h" or x.op.name in ("affine", "matmul", "getitem", "add")

    return uses


LSTM = {"carry": carried("c"), **{gate: out_of(gate) for gate in "ifgo"}}
GRU = {"carry": carried("h", without="r"), "r": out_of("r"), "z": out_of("z"), "n": gated_by("r")}
WAYS: dict[str, dict[str, Cut]] = {  # the same ways, told by what this test knows about each cell
    "rnn": {"tanh": earlier("h")},
    "irnn": {"relu": earlier("h")},
    "jordan": {"tanh": earlier("o")},
    "additive": {"carry": earlier("h")},
    "additive reading": {"carry": carried("h"), "g": out_of("g")},
    "lstm": LSTM,
    "carousel": {way: cut for way, cut in LSTM.items() if way != "f"},
    "coupled": {"carry": carried("c"), **{gate: out_of(gate) for gate in "ugo"}},
    "update": LSTM,
    "gru before": GRU,
    "gru after": GRU,
    "mgu": {"carry": carried("h", without="f"), "f": out_of("f"), "n": gated_by("f")},
}


def measured(root: Node, states: list[Node], shut: list[Cut]) -> list[float]:
    """The norms at the states if no message is sent along these ways."""
    found = dict.fromkeys(states, 0.0)
    for node, g in reverse(root, targets=states, keep=lambda v, k: not any(cut(v, k) for cut in shut)):
        if node in found:
            found[node] = norm(g)
    return list(found.values())


def states_of(root: Node, symbol: str) -> list[Node]:
    """The states of this symbol, the last step first."""
    nodes = {node for node, _ in reverse(root) if node.symbol == symbol and node.role in ("cell", "hidden", "output")
             and node.scope.step is not None}
    return sorted(nodes, key=lambda node: -node.scope.step)


def test_every_cell_is_checked() -> None:
    assert WAYS.keys() == CELLS.keys()


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("last", [False, True], ids=["a loss a step", "the last loss"])
def test_norms_of_all_subsets_are_those_of_passes_without_the_other_ways(name: str, last: bool) -> None:
    hs, _ = unrolled(name, 7)
    root = (hs[-1] * hs[-1]).sum() if last else loss_of(hs)
    found, known = cuts(root), WAYS[name]
    assert set(found.ways) == set(known)
    assert len(found.norms) == 1 << len(known)
    states = states_of(root, found.state)
    for mask in range(len(found.norms)):
        shut = [known[way] for j, way in enumerate(found.ways) if not mask >> j & 1]
        np.testing.assert_allclose(found.norms[mask], measured(root, states, shut), rtol=1e-9, atol=1e-300)


def test_a_cut_in_a_layer_below_leaves_the_layer_above_alone() -> None:
    xs = np.random.default_rng(1).standard_normal((6, 2, 3))
    root = (nn.LSTM(3, 4, num_layers=2, rng=0)(xs)[0] ** 2).sum()
    found = cuts(root, layer=0)
    below = [node for node in states_of(root, "c") if "layers.0" in node.scope.path]
    inside = {node for node, _ in reverse(root) if "layers.0" in node.scope.path}
    shut: list[Cut] = [lambda v, k: v in inside and LSTM["carry"](v, k)]
    np.testing.assert_allclose(found.open_only("ifgo"), measured(root, below, shut), rtol=1e-9)


def test_all_ways_open_is_the_profile() -> None:
    for name in CELLS:
        root = loss_of(unrolled(name, 5)[0])
        found = cuts(root)
        np.testing.assert_allclose(found.open_only(found.ways), viz.gradient_flow(root).profile(found.state).norms,
                                   rtol=1e-12)


def test_no_way_open_leaves_what_the_loss_of_the_step_sends() -> None:
    hs, _ = unrolled("rnn", 5)
    assert cuts((hs[-1] ** 2).sum()).norms[0].tolist()[1:] == [0.0] * 4
    assert (cuts((hs ** 2).sum()).norms[0] > 0).all()


def test_padded_batches_count_lags_from_each_end() -> None:
    hs, _ = nn.LSTM(3, 4, rng=0)(np.random.default_rng(1).standard_normal((6, 2, 3)), lengths=[6, 3])
    root = (hs * hs).sum()
    found = cuts(root)
    np.testing.assert_allclose(found.open_only(found.ways), viz.gradient_flow(root).profile("c").norms, rtol=1e-12)


def many_gates(n: int, T: int = 4) -> Any:
    """A cell with more gates than are told apart."""
    rng = np.random.default_rng(0)
    weights = [Tensor(rng.standard_normal((3, 3)), requires_grad=True) for _ in range(n)]
    h: Any = Tensor(rng.standard_normal((1, 3)))
    for t in range(T):
        with scope("many", step=t):
            gates = [mark(sigmoid(h @ W), f"g{j}", role="gate") for j, W in enumerate(weights)]
            h = mark(sum(((j + 1) * gate for j, gate in enumerate(gates[1:])), h * gates[0]), "h", role="hidden")
    return (h * h).sum()


def test_the_smallest_of_many_ways_are_taken_together() -> None:
    root = many_gates(11)
    found = cuts(root)
    assert len(found.ways) == MOST
    assert found.ways[0] == "carry"
    (others,) = found.members.values()
    assert len(others) == 12 - (MOST - 1)
    shut: list[Cut] = [lambda v, k: v.symbol in others]
    np.testing.assert_allclose(found.open_only([way for way in found.ways if way != "others"]),
                               measured(root, states_of(root, "h"), shut), rtol=1e-9)


def test_ways_to_the_initial_state_alone_are_none() -> None:
    xs = np.random.default_rng(1).standard_normal((6, 2, 3))
    _, state = nn.LSTM(3, 4, rng=0)(xs)
    root = (nn.LSTM(3, 4, rng=1)(xs[:4], state)[0] ** 2).sum()
    assert cuts(root).ways == ("carry", "i", "f", "g", "o")


def test_a_way_that_never_ends_at_the_state_is_a_way_too() -> None:
    """At m every last passage is b or the carry; a and k lie on the paths before."""
    rng = np.random.default_rng(0)
    A, B, K = (Tensor(rng.standard_normal((3, 3)), requires_grad=True) for _ in range(3))
    h: Any = Tensor(rng.standard_normal((1, 3)))
    m: Any = Tensor(rng.standard_normal((1, 3)))
    for t in range(5):
        with scope("two", step=t):
            new = mark(tanh(h @ A), "a", role="candidate") + mark(tanh(m @ B), "b", role="candidate")
            h, m = mark(new, "h", role="hidden"), mark(m + mark(sigmoid(h @ K), "k", role="gate"), "m", role="cell")
    root = (h * h).sum() + (m * m).sum()
    found = cuts(root, "m")
    assert set(found.ways) == {"carry", "a", "b", "k"}
    for way in "abk":
        np.testing.assert_allclose(found.open_only([one for one in found.ways if one != way]),
                                   measured(root, states_of(root, "m"), [out_of(way)]), rtol=1e-9)


def test_an_unknown_way_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"no way 'x'; the ways are tanh"):
        cuts(loss_of(unrolled("rnn", 3)[0])).open_only(["x"])


def test_sums_are_of_subsets_not_of_all() -> None:
    parts = {1: np.array([[1.0]]), 2: np.array([[10.0]]), 4: np.array([[100.0]])}
    assert norms_of_subsets(parts, 3, 1)[:, 0].tolist() == [0, 1, 10, 11, 100, 101, 110, 111]


@pytest.mark.parametrize("name", ["carry", "straight"])
def test_a_gate_with_the_name_of_the_carry_is_a_way_of_its_own(name: str) -> None:
    def loss(name: str) -> Any:
        rng = np.random.default_rng(0)
        U, V = Tensor(rng.standard_normal((4, 4))), Tensor(rng.standard_normal((4, 4)))
        h: Any = np.ones((1, 4))
        for t in range(6):
            with scope("highway", step=t):
                g = mark(sigmoid(h @ U), name, role="gate")
                n = mark(tanh(h @ V), "n", role="candidate")
                h = mark(g * h + (1 - g) * n, "h", role="hidden")
        return h.sum()

    same, other = cuts(loss(name)), cuts(loss("C"))
    assert [way.removesuffix(" gate") for way in same.ways] == ["carry", name, "n"]
    np.testing.assert_array_equal(same.open_only(["carry"]), other.open_only(["carry"]))


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.MGUCell])
@pytest.mark.parametrize("mask", [[1, 1, 1, 0, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 0, 1, 0, 1, 0]])
def test_steps_that_a_mask_leaves_out_are_no_steps_back(cell: Any, mask: list[int]) -> None:
    x, one, taken = np.random.default_rng(0).standard_normal((6, 2, 3)), cell(3, 4, rng=0), np.array(mask, bool)
    masked = nn.unroll(one, x, mask=np.repeat(taken[:, None], 2, axis=1))[1].sum()
    short = nn.unroll(one, x[taken])[1].sum()
    np.testing.assert_allclose(viz.gradient_flow(masked).profile().norms, viz.gradient_flow(short).profile().norms)
    for by in ("first", "last", "set", "number"):
        a, b = viz.ways(masked, by=by), viz.ways(short, by=by)
        assert a.lags == b.lags
        for way in a.norms.keys() | b.norms.keys():  # of classes that need more steps than were taken, nothing is there
            nothing = np.zeros(len(b.lags))
            np.testing.assert_allclose(a.norms.get(way, nothing), b.norms.get(way, nothing), rtol=1e-12, err_msg=way)
    a, b = cuts(masked), cuts(short)
    assert a.ways == b.ways
    for way in a.ways:
        np.testing.assert_allclose(a.open_only([way]), b.open_only([way]), rtol=1e-12)
