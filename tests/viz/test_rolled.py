"""Rolled up: the graph says what the unrolled one says, and the picture what the graph says."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import networkx as nx
import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope, tanh
from tests.viz.nets import CELLS, all_losses, last_loss, own_cell, two_layers
from viz.folding.contract import members
from viz.folding.roll import roll
from viz.graph.steps import layers
from viz.numbers import short
from viz.pictures.rolled import Loop, draw_rolled
from viz.pictures.row import Row
from viz.scene.items import Scene, Wire
from viz.theme import DEFAULT, Theme


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
    found = sorted(said["delay"] for _, _, said in roll(skipping()).edges(data=True) if said.get("delay"))
    assert found == [1, 3]
    assert sorted(delays(draw_rolled(skipping()))) == [1, 3]


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
def scene(drawing: viz.Drawing) -> Scene:
    assert drawing.scene is not None
    return drawing.scene


def delays(drawing: viz.Drawing) -> list[float | None]:
    """What is written on the loops, from the top down."""
    return [item.datum for item, _, _ in scene(drawing).keyed("delay")]


def data(drawing: viz.Drawing, kind: str) -> dict[Any, float | None]:
    """The numbers of all items of a kind, by their keys."""
    return {item.key[1:]: item.datum for item, _, _ in scene(drawing).keyed(kind)}  # type: ignore[index]


def captions(drawing: viz.Drawing) -> list[str]:
    """What is written under the cells, from left to right."""
    return [words for words in scene(drawing).words.splitlines() if words.startswith("t = ")]


@pytest.mark.parametrize(("name", "loops"), [
    ("lstm", [1, 1]), ("gru before", [1]), ("rnn", [1]), ("own", [1, 1]), ("two layers", [1] * 4),
    ("both ways", [1] * 2), ("one step", []),
])  # fmt: skip
def test_every_state_has_a_loop(name: str, loops: list[int]) -> None:
    for beside in (False, True):
        assert delays(draw_rolled(NETS[name](), beside=beside)) == loops


def test_a_layer_that_runs_backwards_reads_what_comes_later() -> None:
    words = scene(draw_rolled(both_ways())).words.splitlines()
    assert [word for word in words if word in ("t+1", "t−1")] == ["t+1", "t−1"]


def test_a_loop_leaves_the_cell_and_comes_back_on_the_other_side() -> None:
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


def test_a_line_shows_the_mean_message_of_all_steps() -> None:
    flow = viz.gradient_flow(all_losses("lstm", 9))
    drawing = draw_rolled(flow)
    sizes = [flow.messages[f"lstm/t{t}/multiply", 1] for t in range(1, 9)]
    inner, outer = data(drawing, "edge"), data(drawing, "sent")
    assert inner["lstm", "multiply", 1] == pytest.approx(math.sqrt(sum(g * g for g in sizes) / 8), rel=1e-12)
    (said,) = [said for u, v, said in roll(flow).edges(data=True) if (u, v) == ("lstm/c", "lstm/multiply")]
    assert inner["lstm", "multiply", 1] == pytest.approx(said["message"] / math.sqrt(said["count"]), rel=1e-12)
    (out,) = [said for u, v, said in roll(flow).edges(data=True) if (u, v) == ("lstm/h", "lstm/stack")]
    assert outer["h",] == pytest.approx(out["message"] / 3, rel=1e-12)


def test_a_carry_that_keeps_everything_looks_like_lag_0_at_any_length() -> None:
    def adding(T: int) -> viz.Flow:
        h: Any = Tensor(np.ones((1, 2)), label="h0")
        for t in range(T):
            with scope("sum", step=t):
                h = mark(h + np.full((1, 2), t), "h", role="cell")
        return viz.gradient_flow(h.sum())

    for T in (5, 50):
        flow = adding(T)
        anchor = flow.gradients[f"sum/t{T - 1}/h"]
        (size,) = [g for g in data(draw_rolled(flow), "edge").values() if g is not None]
        assert size == pytest.approx(anchor)


def test_the_title_is_the_finding_and_takes_the_name() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 30))
    share = flow.profile().norms[-1] / flow.profile().norms[0]
    said = f"{100 * share:.2g} %" if share >= 1e-4 else short(share)
    assert scene(draw_rolled(flow, name="mine")).title == f"mine keeps {said} of its gradient over 29 steps"
    assert scene(draw_rolled(last_loss("rnn", 30))).title == "rnn: the same cell at 30 steps"


@pytest.mark.parametrize("page", [1280, 830])
def test_beside_it_the_first_steps_show_their_own_messages(page: int) -> None:
    flow = viz.gradient_flow(last_loss("rnn", 9))
    drawing = draw_rolled(flow, beside=True, steps=2, theme=Theme(page=page))
    assert captions(drawing) == ["t = 0", "t = 1"]
    assert "⋯ 7 more" in scene(drawing).words
    assert drawing.width <= page
    assert data(drawing, "edge")["rnn/t1/z", 0] == flow.messages["rnn/t1/z", 0]
    assert data(drawing, "state") == {(f"rnn/t{t}/h",): flow.gradients[f"rnn/t{t}/h"] for t in (0, 1)}


def test_beside_a_backwards_cell_stand_the_last_steps_in_the_order_of_time() -> None:
    assert captions(draw_rolled(both_ways(9), beside=True, steps=2)) == ["t = 7", "t = 8", "t = 0", "t = 1"]


def test_zero_and_nan_have_looks_of_their_own() -> None:
    flow = viz.gradient_flow(last_loss("rnn", 9))
    for edge in flow.messages:
        if edge.consumer.endswith("/h"):
            flow.messages[edge] = 0.0
    flow.messages[next(e for e in flow.messages if e.consumer == "rnn/t4/z" and e.k == 0)] = math.nan
    found = scene(draw_rolled(flow))
    wires = {item.key: item for item, _, _ in found.keyed("edge") if isinstance(item, Wire)}
    assert [key for key, wire in wires.items() if wire.dashes] == [("edge", "rnn", "h", 0)]
    assert [key for key, wire in wires.items() if wire.stroke == DEFAULT.alarm] == [("edge", "rnn", "z", 0)]
    assert {"exactly zero", "NaN or infinite"} <= set(found.words.splitlines())


def test_what_cannot_be_rolled_is_refused() -> None:
    for f in (roll, draw_rolled):
        with pytest.raises(ValueError, match="no time steps"):
            f(Value(1.0) * 2)
        with pytest.raises(TypeError, match="expected a Value or a Tensor, got float"):
            f(1.0)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        draw_rolled(last_loss("rnn"), steps=0)


# ---------------------------------------------------------------------------------------------- rows of cells
def test_connections_that_skip_steps_pass_over_the_cells_in_lanes_of_their_own() -> None:
    graph = viz.trace(skipping(9))
    (layer,) = layers(graph)
    row = Row.of(graph, layer, None, layer.order, DEFAULT)
    over = {step: lane for (_, step), lane in row.lanes.items()}
    assert sorted(over) == [3, 4, 5, 6, 7, 8]
    for step, lane in over.items():
        assert all(lane != over[other] for other in (step + 1, step + 2) if other in over), "they overlap in time"
    drawn = scene(viz.draw_long(skipping(9), cells=9))
    extents = [(item, *item.extent) for item, _, _ in drawn.keyed("edge") if isinstance(item, Wire)]
    captions_at = min(text[1] for item, text in drawn.texts() if item.plain == "t = 0")
    arcs = [item for item, left, _, right, _ in extents if right - left > 2 * row.tile.width]
    assert len(arcs) == 6
    assert all(bottom < captions_at for _, _, _, _, bottom in extents)


def test_a_cell_draws_only_stubs_to_cells_that_are_not_drawn() -> None:
    flow = viz.gradient_flow(last_loss("lstm", 40))
    found = scene(viz.draw_long(flow, cells=3))
    shown = {int(words[4:].split(",")[0]) for words in found.words.splitlines() if words.startswith("t = ")}
    (middle,) = shown - {0, 39}
    sent = {item.key[1]: item.datum for item, _, _ in found.keyed("sent")}  # type: ignore[index]
    assert sent[f"lstm/t{middle}/c"] == flow.messages[f"lstm/t{middle + 1}/multiply", 1]
    edges = data(viz.draw_long(flow, cells=3), "edge")
    assert edges[f"lstm/t{middle}/multiply", 1] == flow.messages[f"lstm/t{middle}/multiply", 1]


def test_a_single_step_is_not_said_to_go_round_in_a_loop() -> None:
    for T in (1, 2):
        scene = viz.draw_rolled(last_loss("rnn", T)).scene
        assert scene is not None
        assert ("goes round in a loop" in scene.summary) == bool(list(scene.keyed("delay"))) == (T > 1)
