"""Rolled up: the graph says what the unrolled one says, and the picture what the graph says."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope, tanh
from tests.viz.nets import CELLS, all_losses, last_loss, own_cell, two_layers
from tests.viz.svgs import of, wording
from viz.folding.contract import members
from viz.folding.roll import roll
from viz.pictures.rolled import draw_rolled
from viz.typography import text_width

SVG = "{http://www.w3.org/2000/svg}"


def both_ways(T: int = 7) -> Any:
    hs, _ = nn.GRU(3, 4, bidirectional=True, rng=0)(np.random.default_rng(0).standard_normal((T, 2, 3)))
    return (hs * hs).sum()


def skipping(T: int = 9) -> Any:
    """Each state reads the one before and the one three steps before."""
    past: list[Any] = [Tensor(np.ones((1, 3))) for _ in range(3)]
    for t in range(T):
        with scope("skip", step=t):
            past.append(mark(tanh(past[-1] * 0.5 + past[-3]), "h", role="hidden"))
    return past[-1].sum()


NETS: dict[str, Any] = {
    **{name: (lambda name=name: all_losses(name)) for name in CELLS}, "own": own_cell,
    "own, unmarked": lambda: own_cell(marked=False), "two layers": two_layers, "both ways": both_ways,
    "skipping": skipping, "one step": lambda: last_loss("lstm", 1),
}


@pytest.mark.parametrize("name", NETS)
def test_every_node_and_every_edge_of_the_unrolled_graph_is_counted(name: str) -> None:
    graph = viz.trace(NETS[name]())
    rolled_up = roll(graph)
    home = {member: v for v in rolled_up for member in members(rolled_up, v)}
    assert sorted(home) == sorted(graph)
    expected = Counter((home[u], home[v]) for u, v in graph.edges())
    found: Counter[tuple[str, str]] = Counter()
    for u, v, said in rolled_up.edges(data=True):
        found[u, v] += said["count"]
    assert found == expected


@pytest.mark.parametrize("name", NETS)
def test_a_delay_is_the_difference_of_the_steps(name: str) -> None:
    graph = viz.trace(NETS[name]())
    rolled_up = roll(graph)
    step = dict(graph.nodes(data="step"))
    for u, v, said in rolled_up.edges(data=True):
        if "delay" not in said:
            continue
        ends = set(members(rolled_up, v))
        pairs = [(step[b], step[b] - (step[b] if step[a] is None else step[a]))  # a leaf belongs to the step it enters
                 for a in members(rolled_up, u) for _, b, k in graph.out_edges(a, keys=True)
                 if b in ends and k == said["k"]]
        at = sorted(there for there, delay in pairs if delay == said["delay"])
        assert (said["count"], said["first"], said["last"]) == (len(at), at[0], at[-1])


@pytest.mark.parametrize("name", NETS)
def test_every_circle_goes_through_a_delay(name: str) -> None:
    rolled_up = roll(viz.trace(NETS[name]()))
    instant = nx.MultiDiGraph((u, v) for u, v, said in rolled_up.edges(data=True) if not said.get("delay"))
    assert nx.is_directed_acyclic_graph(instant)
    assert nx.is_directed_acyclic_graph(rolled_up) == (name == "one step")


def test_an_lstm_has_one_cell_and_two_loops() -> None:
    rolled_up = roll(last_loss("lstm", 50))
    loops = {(u, v): said for u, v, said in rolled_up.edges(data=True) if said.get("delay")}
    assert list(loops) == [("lstm/c", "lstm/multiply"), ("lstm/h", "lstm/affine_2")]
    said = loops["lstm/c", "lstm/multiply"]
    assert (said["delay"], said["count"], said["first"], said["last"]) == (1, 49, 1, 49)
    assert (rolled_up.nodes["lstm/c"]["times"], rolled_up.nodes["lstm/c"]["role"]) == (50, "cell")
    assert "step" not in rolled_up.nodes["lstm/c"]


def test_backwards_in_time_the_delay_is_negative() -> None:
    edges = roll(both_ways()).edges(data=True)
    delays = {(u.split("/")[1], said["delay"]) for u, _, said in edges if said.get("delay")}
    assert delays == {("forwards", 1), ("backwards", -1)}


def test_a_skip_has_a_loop_of_its_own() -> None:
    delays = sorted(said["delay"] for _, _, said in roll(skipping()).edges(data=True) if said.get("delay"))
    assert delays == [1, 3]
    assert sorted(boxes(draw_rolled(skipping()))) == ["t−1", "t−3"]


def test_messages_of_all_steps_are_taken_together() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 8))
    rolled_up = roll(flow)
    (said,) = [said for _, v, said in rolled_up.edges(data=True) if said.get("delay")]
    sizes = [flow.messages[f"rnn/t{t}/z", 0] for t in range(1, 8)]
    assert said["message"] == pytest.approx(math.sqrt(sum(g * g for g in sizes)), rel=1e-12)
    norms = [flow.gradients[f"rnn/t{t}/h"] for t in range(8)]
    said = rolled_up.nodes["rnn/h"]
    assert (said["gradient_min"], said["gradient_max"]) == (min(norms), max(norms))


def test_a_folded_graph_can_be_rolled() -> None:
    rolled_up = roll(viz.fold(last_loss("lstm", 6), fused=True))
    assert {u for u, _, said in rolled_up.edges(data=True) if said.get("delay")} == {"lstm/c", "lstm/h"}
    assert not any("multiply" in v for v in rolled_up)


# ---------------------------------------------------------------------------------------------- the picture
def boxes(drawing: viz.Drawing) -> list[str]:
    """What is written on the loops."""
    words = [e.text or "" for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]
    return [word for word in words if re.fullmatch(r"t[−+]\d+", word)]


def titles(drawing: viz.Drawing) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}title")]


@pytest.mark.parametrize(("name", "loops"), [
    ("lstm", ["t−1", "t−1"]), ("gru before", ["t−1"]), ("rnn", ["t−1"]), ("own", ["t−1", "t−1"]),
    ("two layers", ["t−1"] * 4), ("both ways", ["t+1", "t−1"]), ("one step", []),
])
def test_every_state_has_a_loop(name: str, loops: list[str]) -> None:
    for beside in (False, True):
        assert boxes(draw_rolled(NETS[name](), beside=beside)) == loops


def test_a_loop_leaves_the_cell_and_comes_back_on_the_other_side() -> None:
    from viz.graph.steps import layers
    from viz.pictures.rolled import Loop
    from viz.pictures.row import Row
    from viz.theme import DEFAULT

    graph = viz.trace(both_ways())
    for layer in layers(graph):
        loop = Loop(Row.of(graph, layer, None, layer.order, DEFAULT))
        recurrent = [wire for wire in loop.tile.cell.wires if wire.recurrent]
        assert recurrent
        for wire in recurrent:
            route = loop.route(wire)
            exit_, entry = loop.tile.exits[wire.source], loop.tile.entries[wire.edge]
            assert (route.start, route.end) == (exit_.start, entry.end)
            points = list(route.points())
            assert min(x for x, _ in points) < 0 < loop.tile.width < max(x for x, _ in points)
            assert min(y for _, y in points) < 0 or max(y for _, y in points) > loop.tile.height
            box = (loop.tile.width / 2, loop.lane(wire.source, wire.delay))
            assert min(math.dist(box, p) for p in points) < 40, "the delay stands on the loop"


def test_numbers_in_the_rolled_picture_are_those_of_the_rolled_graph() -> None:
    flow = viz.gradient_flow(all_losses("lstm", 9))
    (said,) = [said for u, v, said in roll(flow).edges(data=True) if (u, v) == ("lstm/c", "lstm/multiply")]
    assert f"from c to f × c: {said['message']:.4g}, 8 messages taken together" in titles(draw_rolled(flow))
    (out,) = [said for u, v, said in roll(flow).edges(data=True) if (u, v) == ("lstm/h", "lstm/stack")]
    assert f"gradient to h: {out['message']:.4g}, 9 messages taken together" in titles(draw_rolled(flow))


def test_beside_it_the_first_steps_show_their_own_messages() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 9))
    drawing = draw_rolled(flow, beside=True, steps=2)
    words = [e.text for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]
    assert {"t = 0", "t = 1", "⋯ 7 more"} <= set(words)
    assert "t = 2" not in words
    message = flow.messages["rnn/t1/z", 0]
    assert any(note.endswith(f"at t = 1: {message:.4g}") for note in titles(drawing))


def test_beside_a_backwards_cell_stand_the_last_steps_in_the_order_of_time() -> None:
    svg = draw_rolled(both_ways(9), beside=True, steps=2).svg
    words = [e.text for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert [w for w in words if w and w.startswith("t = ")] == ["t = 7", "t = 8", "t = 0", "t = 1"]


def test_zero_and_nan_have_looks_of_their_own() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 9))
    for edge in flow.messages:
        if edge.consumer.endswith("/h"):
            flow.messages[edge] = 0.0
    flow.messages[next(e for e in flow.messages if e.consumer == "rnn/t4/z" and e.k == 0)] = math.nan
    svg = draw_rolled(flow).svg.split("exactly zero", 1)[1].split("NaN or infinite", 1)[1]  # below the legend
    assert svg.count('stroke-dasharray="1.5 3.5"') == 1
    assert svg.count('stroke="#d55e00"') == 1


def test_what_cannot_be_rolled_is_refused() -> None:
    for f in (roll, draw_rolled):
        with pytest.raises(ValueError, match="no time steps"):
            f(Value(1.0) * 2)
        with pytest.raises(TypeError, match="expected a Value or a Tensor, got float"):
            f(1.0)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        draw_rolled(last_loss("rnn"), steps=0)


def test_no_line_of_the_legend_is_cut_by_the_edge() -> None:
    drawing = draw_rolled(viz.gradient_flow(both_ways(3)))
    for text, x, _ in of(drawing.svg, "text"):
        if text.get("text-anchor") is None:
            size = float(text.get("font-size", 13))
            assert x + float(text.get("x", 0)) + 0.93 * text_width(wording(text), size) <= drawing.width
