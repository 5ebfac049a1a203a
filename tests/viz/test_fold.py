"""Folding: what it keeps, on random graphs and on real nets."""

from __future__ import annotations

import doctest
import json
import math
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import viz
from microgradrnn import Tensor, Value, mark, nn, scope, sigmoid, tanh
from tests.viz.nets import CELLS, all_losses, last_loss, own_cell, two_layers
from viz.folding.contract import Group, contract, members
from viz.folding.fold import (
    fold,
    fold_modules,
    fold_repeats,
    fold_steps,
    fuse,
    hide_constants,
    hide_plumbing,
    parameters_per_use,
    with_flow,
)
from viz.graph.trace import EDGE, NODE

PAGE = Path(__file__).parents[2] / "docs" / "folding.md"


def ancestors(graph: nx.MultiDiGraph) -> dict[str, set[str]]:
    """For each node, all that reach it, itself not; independent of what folding uses."""
    found: dict[str, set[str]] = {}
    for v in nx.topological_sort(graph):
        found[v] = set()
        for u in graph.predecessors(v):
            found[v] |= {u} | found[u]
    return found


def same_paths(before: nx.MultiDiGraph, after: nx.MultiDiGraph) -> None:
    """u reaches v in the folded graph if and only if something of u reached something of v."""
    assert nx.is_directed_acyclic_graph(after)
    was, now = ancestors(before), ancestors(after)
    stands_for = {v: members(after, v) for v in after}
    home = {member: v for v, several in stands_for.items() for member in several}
    for v, several in stands_for.items():
        expected = {home[u] for member in several for u in was[member] if u in home} - {v}
        assert now[v] == expected, v


def sends_all(before: nx.MultiDiGraph, after: nx.MultiDiGraph) -> None:
    """Every edge between what two nodes stand for is counted, and none besides."""
    home = {member: v for v in after for member in members(after, v)}
    expected: dict[tuple[str, str], int] = {}
    for u, v in before.edges():
        if u in home and v in home and home[u] != home[v]:
            pair = (home[u], home[v])
            expected[pair] = expected.get(pair, 0) + 1
    found: dict[tuple[str, str], int] = {}
    for u, v, said in after.edges(data=True):
        found[u, v] = found.get((u, v), 0) + said.get("count", 1)
    assert found == expected


@st.composite
def random_graphs(draw: Any) -> tuple[nx.MultiDiGraph, list[Group]]:
    """A graph with places and steps of any kind, and groups put together at random."""
    n = draw(st.integers(2, 14))
    graph = nx.MultiDiGraph(root=str(n - 1))
    for v in range(n):
        graph.add_node(str(v), kind="computed" if v else "leaf", order=v, name=str(v), op="add", sign="+",
                       path=draw(st.sampled_from(["a", "a/b", "c"])), step=draw(st.integers(0, 2)))
        for k in range(draw(st.integers(0, 3)) if v else 0):
            graph.add_edge(str(draw(st.integers(0, v - 1))), str(v), key=k, k=k)
    colours = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    groups = [Group(f"group{c}", tuple(str(v) for v in range(n) if colours[v] == c)) for c in range(1, 6)]
    return graph, groups


@given(random_graphs())
def test_whatever_is_put_together_no_path_is_lost_and_none_invented(case: tuple[nx.MultiDiGraph, list[Group]]) -> None:
    graph, groups = case
    folded = contract(graph, groups)
    same_paths(graph, folded)
    sends_all(graph, folded)
    assert sorted(m for v in folded for m in members(folded, v)) == sorted(graph)
    assert all(folded.nodes[u]["order"] < folded.nodes[v]["order"] for u, v in folded.edges())


@given(random_graphs())
def test_random_graphs_by_module_and_step(case: tuple[nx.MultiDiGraph, list[Group]]) -> None:
    graph, _ = case
    for folded in (fold_modules(graph), fold_modules(graph, per_step=True), fold_steps(graph), fold_repeats(graph, 0)):
        same_paths(graph, folded)
        sends_all(graph, folded)


def test_the_checker_sees_an_invented_path_and_a_circle() -> None:
    graph = nx.MultiDiGraph(root="3")
    for v in range(4):
        graph.add_node(str(v), kind="computed", order=v, name=str(v))
    graph.add_edge("0", "1", key=0, k=0)
    graph.add_edge("2", "3", key=0, k=0)
    lie = nx.MultiDiGraph(root="3")
    for end in "03":
        lie.add_node(end, **graph.nodes[end])
    lie.add_node("x", kind="folded", ids=json.dumps(["1", "2"]))
    lie.add_edges_from([("0", "x"), ("x", "3")])
    with pytest.raises(AssertionError):
        same_paths(graph, lie)
    assert "x" not in contract(graph, [Group("x", ("1", "2"))])


def bidirectional(T: int = 6, layers: int = 1) -> Any:
    hs, _ = nn.GRU(3, 4, num_layers=layers, bidirectional=True, rng=0)(np.ones((T, 2, 3)))
    return (hs * hs).sum()


def stack_of_three(T: int = 6) -> Any:
    hs, _ = nn.LSTM(3, 4, num_layers=3, rng=0)(np.ones((T, 2, 3)))
    return (hs[-1] * hs[-1]).sum()


def losses_in_the_loop(T: int = 6) -> Any:
    cell, head = nn.LSTMCell(3, 4, rng=0), nn.Linear(4, 2, rng=0)
    state, total = None, 0.0
    for t in range(T):
        with scope("loop", step=t):
            state = cell(Tensor(np.full((2, 3), t)), state)
            total = total + nn.cross_entropy(head(state[0]), [0, 1])
    return total


def fed_back(T: int = 6) -> Any:
    """Two layers that feed each other, so that neither can be one node by itself."""
    a, b = Tensor(np.ones((1, 3))), Tensor(np.full((1, 3), 0.5))
    for t in range(T):
        with scope("first", step=t):
            a = mark(tanh(a * 0.5 + b), "a", role="hidden")
        with scope("second", step=t):
            b = mark(sigmoid(a - b), "b", role="hidden")
    return (a * b).sum()


def apart(T: int = 6) -> Any:
    """Two recurrences in one step that never meet, each with an output of its own."""
    h, m = Tensor(np.ones((1, 3))), Tensor(np.ones((1, 3)))
    outs = []
    for t in range(T):
        with scope("cell", step=t):
            h, m = tanh(h * 0.9), sigmoid(m * 0.8)
        outs += [h.sum(), m.sum()]
    return sum(outs[1:], outs[0])


def cell(kind: str, T: int = 6, **how: Any) -> Any:
    """The states of a cell over some steps, all of them and the last one."""
    shape = (3, 4, 2) if kind == "JordanCell" else (3, 4)
    options = {"reads_state": True} if kind == "AdditiveCell" else {}
    xs = np.random.default_rng(0).standard_normal((T, 2, 3))
    hs, state = nn.unroll(getattr(nn, kind)(*shape, rng=0, **options), xs, **how)
    last = state if isinstance(state, tuple) else (state,)
    return (hs * hs).sum() + sum((s * s).sum() for s in last)


def attention(T: int = 5) -> Any:
    """An encoder, and a decoder each of whose steps reads all states of the encoder."""
    hs, h = nn.RNN(3, 4, rng=0)(np.random.default_rng(0).standard_normal((T, 2, 3)))
    decoder, s, loss = nn.GRUCell(4, 4, rng=1), h, 0.0
    for t in range(T):
        with scope("decoder", step=t):
            weights = (hs * s).sum(axis=2, keepdims=True).sigmoid()
            s = decoder((weights * hs).sum(axis=0), s)
            loss = loss + (s * s).sum()
    return loss


CELLS_ALONE = ("RNNCell", "IRNNCell", "JordanCell", "AdditiveCell", "LSTMCell", "CoupledLSTMCell", "CarouselLSTMCell",
               "UpdateGateLSTMCell", "GRUCell", "MGUCell")
NETS: dict[str, Callable[[], Any]] = {
    **{kind: partial(cell, kind) for kind in CELLS_ALONE},
    "backwards": partial(cell, "GRUCell", reverse=True), "ragged": partial(cell, "LSTMCell", lengths=[6, 3]),
    "attention": attention,
    "all layers": lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True, rng=0)(np.ones((5, 2, 3)))[0].sum(),
    **{name: partial(last_loss, name) for name in CELLS},
    **{f"{name}, all": partial(all_losses, name) for name in CELLS},
    "mgu": lambda: nn.MGU(3, 4, rng=0)(np.ones((6, 2, 3)))[0].sum(),
    "irnn": lambda: nn.IRNN(3, 4, rng=0)(np.ones((6, 2, 3)))[0].sum(),
    "own": own_cell, "own, unmarked": lambda: own_cell(marked=False), "two layers": two_layers,
    "three layers": stack_of_three, "both ways": bidirectional,
    "both ways, two layers": lambda: bidirectional(layers=2), "losses in the loop": losses_in_the_loop,
    "fed back": fed_back, "apart": apart, "one step": lambda: last_loss("lstm", 1),
}
WAYS: dict[str, dict[str, Any]] = {
    "hidden": {}, "nothing": {"hide": ()}, "fused": {"fused": True}, "steps": {"by": "step"},
    "steps, repeated": {"by": "step", "repeat": 1}, "all steps": {"by": "step", "repeat": 0},
    "repeated": {"by": "repeat", "repeat": 1}, "fused, repeated": {"by": "repeat", "repeat": 2, "fused": True},
    "modules": {"by": "module"}, "modules, each step": {"by": "module", "per_step": True},
    "modules, repeated": {"by": "module", "repeat": 1},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETS)
def test_in_real_nets_no_path_is_lost_and_none_invented(name: str, way: str) -> None:
    graph = viz.trace(NETS[name]())
    folded = fold(graph, **WAYS[way])
    same_paths(graph, folded)
    sends_all(graph, folded)
    assert all(folded.nodes[u]["order"] <= folded.nodes[v]["order"] for u, v in folded.edges())
    assert folded.graph["root"] in folded


def kinds(graph: nx.MultiDiGraph, kind: str = "folded") -> list[str]:
    return [v for v, said in graph.nodes(data=True) if said["kind"] == kind]


def test_each_step_is_one_node() -> None:
    folded = fold(last_loss("lstm", 4), by="step")
    assert kinds(folded) == ["lstm/t0", "lstm/t1", "lstm/t2", "lstm/t3"]
    assert list(folded.successors("lstm/t1")) == ["lstm/t2"]
    (said,) = folded.get_edge_data("lstm/t1", "lstm/t2").values()
    assert said["count"] == 2, "h and c"
    assert (folded.nodes["lstm/t1"]["step"], folded.nodes["lstm/t1"]["path"]) == (1, "lstm")


def test_a_thousand_steps_are_four_and_a_box() -> None:
    folded = fold(last_loss("lstm", 1000), by="repeat")
    (box,) = kinds(folded)
    assert box == "lstm/t2..t997"
    said = folded.nodes[box]
    assert (said["times"], said["steps"], said["name"]) == (996, "2..997", "t2..t997")
    assert said["members"] == len(members(folded, box)) == 996 * 14, "ten operations and the four slices of a product"
    assert "lstm/t1/c" in folded
    assert "lstm/t998/c" in folded
    assert "lstm/t2/c" not in folded
    assert len(folded) < 60


def test_a_box_that_is_read_at_every_step_has_one_edge_for_all() -> None:
    folded = fold(all_losses("lstm", 100), by="repeat")
    edges = folded.get_edge_data("lstm/t2..t97", "lstm/stack")
    assert edges == {2: {"k": 2, "count": 96}}, "the first of the operands, and how many"
    assert sorted(k for _, _, k in folded.in_edges("lstm/stack", keys=True)) == [0, 1, 2, 98, 99]


def test_backwards_in_time_the_box_counts_down() -> None:
    folded = fold(bidirectional(8), by="repeat")
    assert kinds(folded) == ["layers.0/forwards/gru/t2..t5", "layers.0/backwards/gru/t5..t2"]


@pytest.mark.parametrize(("T", "boxes"), [(1, 0), (4, 0), (5, 0), (6, 1)])
def test_short_runs_are_left_as_they_are(T: int, boxes: int) -> None:
    assert len(kinds(fold(last_loss("gru before", T), by="repeat"))) == boxes


def test_two_cells_that_feed_each_other_are_one_layer() -> None:
    folded = fold(fed_back(8), by="repeat", repeat=1)
    assert nx.is_directed_acyclic_graph(folded)
    assert [v for v in folded if "times" in folded.nodes[v]] == ["step/t1..t6"]
    assert {"step/t0", "step/t7"} <= set(fold(fed_back(8), by="step"))


def test_by_module_and_opened() -> None:
    loss = bidirectional(layers=2)
    assert kinds(fold(loss, by="module")) == ["layers.0", "layers.1"]
    assert kinds(fold(loss, by="module", expand=["layers.1"])) == [
        "layers.0", "layers.1/forwards", "layers.1/backwards"]
    opened = fold(loss, by="module", expand=["layers.1/forwards/gru"])
    assert kinds(opened) == ["layers.0", "layers.1/backwards"]
    assert "layers.1/forwards/gru/t3/z" in opened
    everywhere = fold(loss, by="module", expand=["backwards"])
    assert kinds(everywhere) == [f"layers.{j}/{way}" for j in (0, 1) for way in ("forwards", "backwards/gru")]


def test_by_module_and_step() -> None:
    folded = fold(losses_in_the_loop(3), by="module", per_step=True)
    assert kinds(folded) == ["loop/t0", "loop/t1", "loop/t2"]
    assert folded.nodes["loop/t2"]["step"] == 2


def test_a_module_called_for_two_things_that_never_meet_is_two_nodes() -> None:
    linear = nn.Linear(3, 2, rng=0)
    with scope("twice"):
        a, b = linear(Tensor(np.ones((1, 3)))), linear(Tensor(np.ones((1, 3))))
        y = (a.tanh().sum(), b.tanh().sum())
    graph = viz.trace(y[0] * y[1])
    same_paths(graph, fold(graph, by="module"))


def test_constants_are_left_out() -> None:
    folded = hide_constants(viz.trace(Value(3.0, label="x") * 2 + 1))
    assert set(folded) == {"x", "multiply", "add"}


def test_slices_become_part_of_what_they_are_taken_from() -> None:
    folded = fold(last_loss("lstm", 2))
    assert {"getitem", "reshape"}.isdisjoint(said.get("op") for _, said in folded.nodes(data=True))
    assert members(folded, "lstm/t1/affine") == ["lstm/t1/affine", *(f"lstm/t1/getitem_{j}" for j in (2, 3, 4, 5))]
    assert folded.nodes["lstm/t1/affine"]["kind"] == "computed"
    assert {v for _, v in folded.out_edges("lstm/t1/affine")} == {f"lstm/t1/{gate}" for gate in "ifgo"}


def test_a_slice_with_a_name_is_left() -> None:
    x = Tensor(np.ones((2, 3)), label="x")
    assert "first" in hide_plumbing(viz.trace((mark(x[0], "first") * 2).sum()))


def test_an_lstm_fused_is_its_equations() -> None:
    folded = fold(last_loss("lstm", 2), fused=True)
    said = folded.nodes["lstm/t1/c"]
    assert (said["sign"], said["symbol"], said["role"], said["shape"]) == ("* * +", "c", "cell", "(2, 4)")
    assert sorted(folded.predecessors("lstm/t1/c")) == ["lstm/t0/c", "lstm/t1/f", "lstm/t1/g", "lstm/t1/i"]
    assert members(folded, "lstm/t1/h") == ["lstm/t1/tanh", "lstm/t1/h"]


def test_what_is_read_twice_ends_a_chain() -> None:
    x = Value(0.5, label="x")
    y = (x * 3).tanh()
    graph = fuse(hide_constants(viz.trace(y * y.sin())))
    assert {v: members(graph, v) for v in graph if v != "x"} == {
        "tanh": ["multiply", "tanh"], "multiply_2": ["sin", "multiply_2"]}


def test_two_operands_that_are_the_same_stay_two_edges() -> None:
    graph = fold(Value(3.0, label="x") ** 2 * 1 + 0)
    assert graph.number_of_edges() == viz.trace(Value(3.0) ** 2 * 1 + 0).number_of_edges() - 3
    x = Value(3.0, label="x")
    assert sorted(k for _, _, k in fold(x * x).edges(keys=True)) == [0, 1]


def test_parameters_once_or_at_each_use() -> None:
    loss = last_loss("rnn", 3)
    once, per_use = fold(loss, by="step"), fold(loss, by="step", parameters="use")
    assert once.out_degree("W") == 3
    assert [v for v in per_use if per_use.nodes[v].get("of") == "W"] == ["W@rnn/t0", "W@rnn/t1", "W@rnn/t2"]
    assert all(per_use.out_degree(v) == 1 for v in kinds(per_use, "parameter"))


@pytest.mark.parametrize("name", NETS)
def test_every_attribute_is_in_the_list(name: str) -> None:
    """Whoever reads a folded or rolled graph finds in the docstrings what each word in it means."""
    flow = viz.gradient_flow(NETS[name]())
    graphs = [*(fold(flow, **way, parameters="use") for way in WAYS.values()), viz.roll(flow)]
    pages = f"{sys.modules['viz.folding.fold'].__doc__} {viz.roll.__doc__}"
    known = set(NODE) | set(EDGE) | set(re.findall(r"``(\w+)``", pages))
    for graph in graphs:
        used = {key for _, said in graph.nodes(data=True) for key in said}
        used |= {key for _, _, said in graph.edges(data=True) for key in said}
        assert used <= known, used - known


# ---------------------------------------------------------------------------------------------- numbers
def test_an_edge_says_the_norm_of_all_its_messages_together() -> None:
    flow = viz.gradient_flow(all_losses("lstm", 7))
    folded = fold(flow, by="step", repeat=2)
    for u, v, said in folded.edges(data=True):
        inside = set(members(folded, v))
        sizes = [flow.messages[b, k] for a in members(folded, u) for _, b, k in flow.graph.out_edges(a, keys=True)
                 if b in inside and (b, k) in flow.messages]
        if sizes and "folded" in (folded.nodes[u]["kind"], folded.nodes[v]["kind"]):
            assert said["message"] == pytest.approx(math.sqrt(sum(g * g for g in sizes)), rel=1e-12)


def test_folding_twice_is_folding_once() -> None:
    flow = viz.gradient_flow(all_losses("gru before", 8))
    graph = with_flow(flow.graph, flow)
    (one,) = [v for v in fold_repeats(graph, 2) if "times" in fold_repeats(graph, 2).nodes[v]]
    direct, by_steps = fold_repeats(graph, 2), contract(fold_steps(graph), [
        Group(one, tuple(f"gru/t{t}" for t in range(2, 6)))])
    assert members(direct, one) == members(by_steps, one)
    for key in ("gradient_min", "gradient_max", "members"):
        assert direct.nodes[one][key] == by_steps.nodes[one][key]
    first, second = direct.get_edge_data("W", one), by_steps.get_edge_data("W", one)
    if first and second:
        assert first[0]["message"] == pytest.approx(second[0]["message"], rel=1e-12)


def test_gradients_of_a_box_are_given_from_the_smallest_to_the_largest() -> None:
    flow = viz.gradient_flow(last_loss("lstm", 20))
    folded = fold(flow, by="repeat", hide=())
    box = "lstm/t2..t17"
    sizes = [flow.gradients[v] for v in members(folded, box) if v in flow.gradients]
    assert (folded.nodes[box]["gradient_min"], folded.nodes[box]["gradient_max"]) == (min(sizes), max(sizes))
    assert folded.nodes["lstm/t19/h"]["gradient"] == flow.gradients["lstm/t19/h"]


def test_each_use_of_a_parameter_has_its_own_share_of_the_gradient() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 5))
    graph = parameters_per_use(with_flow(flow.graph, flow))
    for t in range(5):
        assert graph.nodes[f"W@rnn/t{t}/z"]["gradient"] == flow.messages[f"rnn/t{t}/z", 1]


def test_a_nan_stays_a_nan() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 9))
    flow.gradients["rnn/t4/h"] = math.nan
    flow.messages[next(e for e in flow.messages if e.consumer == "rnn/t4/z")] = math.nan
    folded = fold(flow, by="repeat")
    assert math.isnan(folded.nodes["rnn/t2..t6"]["gradient_max"])
    assert math.isnan(fold(flow, by="step").nodes["rnn/t4"]["gradient_min"])
    assert any(math.isnan(said.get("message", 0.0)) for _, _, said in fold(flow, by="step").edges(data=True))


def test_networkx_writes_a_folded_graph(tmp_path: Any) -> None:
    folded = fold(viz.gradient_flow(last_loss("lstm", 9)), by="repeat")
    nx.write_graphml(folded, tmp_path / "graph")
    back = nx.read_graphml(tmp_path / "graph", force_multigraph=True)
    assert members(back, "lstm/t2..t6") == members(folded, "lstm/t2..t6")


def test_the_original_is_left_alone() -> None:
    graph = viz.trace(last_loss("lstm", 6))
    before = nx.node_link_data(graph, edges="edges")
    for way in WAYS.values():
        fold(graph, **way, parameters="use")
    assert nx.node_link_data(graph, edges="edges") == before


# ---------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(("how", "words"), [
    ({"by": "layer"}, "by is one of None, 'step', 'repeat', 'module', got 'layer'"),
    ({"parameters": "twice"}, "parameters is one of 'once', 'use', got 'twice'"),
    ({"hide": ["gates"]}, "hide is one of 'constants', 'plumbing', got 'gates'"),
    ({"by": "repeat", "repeat": -1}, "0 or more; got -1"),
    ({"by": "module", "expand": ["gru"]}, "no module 'gru' to expand; there are cross_entropy, linear, lstm"),
])
def test_bad_words_are_refused(how: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fold(last_loss("lstm", 3), **how)


def test_without_steps_there_is_nothing_to_fold_by_step() -> None:
    for by in ("step", "repeat"):
        with pytest.raises(ValueError, match="no time steps"):
            fold(Value(1.0) * 2, by=by)
    assert len(fold(Value(1.0) * 2, by="module")) == 2


def test_a_flow_of_another_graph_is_refused() -> None:
    flow = viz.gradient_flow(last_loss("lstm", 3))
    with pytest.raises(ValueError, match="the flow's own graph"):
        fold(viz.trace(last_loss("gru before", 3)), flow=flow)


def test_something_else_than_a_node_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a Value or a Tensor, got float"):
        fold(1.0)
    with pytest.raises(KeyError, match="no node 'x'"):
        members(viz.trace(Value(1.0) * 2), "x")
    graph = viz.trace(Value(1.0) * 2)
    with pytest.raises(ValueError, match="is in two groups"):
        contract(graph, [Group("a", tuple(graph)), Group("b", tuple(graph))])


def test_the_page_about_folding_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.failed == 0
    assert result.attempted > 10


@pytest.mark.parametrize("how", [{"hide": "constants"}, {"by": "module", "expand": "lstm"}])
def test_one_word_where_several_may_stand_is_refused(how: dict[str, Any]) -> None:
    (name, word), = list(how.items())[-1:]
    with pytest.raises(TypeError, match=re.escape(f"{name} is a list of words, {name}=['{word}']; got one alone")):
        viz.fold(last_loss("lstm"), **how)
    viz.fold(last_loss("lstm"), **{**how, name: [word]})
