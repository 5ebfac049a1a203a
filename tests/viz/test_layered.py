"""The layered layout: whatever the graph, boxes keep apart, edges run round them, and all is inside."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest

import viz
from tests.viz.nets import last_loss
from viz.layout.layered import LONG, Layered, backward_edges, layered, rank


def sizes(graph: Any) -> dict[Any, tuple[float, float]]:
    rng = np.random.default_rng(0)
    return {node: (float(rng.uniform(10, 90)), float(rng.uniform(10, 40))) for node in graph}


GRAPHS: dict[str, Any] = {
    "one node": nx.empty_graph(1, nx.DiGraph),
    "a path": nx.path_graph(30, create_using=nx.DiGraph),
    "a tree": nx.gn_graph(60, seed=1),
    "dense": nx.DiGraph((u, v) for u, v in nx.gnp_random_graph(25, 0.3, seed=2, directed=True).edges() if u < v),
    "cycles and loops": nx.DiGraph([*nx.gnp_random_graph(30, 0.06, seed=3, directed=True).edges(), (0, 0), (5, 5)]),
    "parallel edges": nx.MultiDiGraph([("x", "y")] * 3 + [("y", "z"), ("x", "z"), ("x", "z")]),
    "two parts": nx.disjoint_union(nx.path_graph(5, nx.DiGraph), nx.cycle_graph(4, nx.DiGraph)),
    "an LSTM": viz.trace(last_loss("lstm", T=20)),
}


def through_boxes(found: Layered) -> list[Any]:
    return [(edge, node) for edge, route in found.routes.items() for node, box in found.boxes.items()
            if any(box.left + 0.5 < x < box.right - 0.5 and box.top + 0.5 < y < box.bottom - 0.5
                   for x, y in route.points())]


@pytest.mark.parametrize("rankdir", ["LR", "RL", "TB", "BT"])
@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_keep_apart_edges_run_round_them_and_all_is_inside(name: str, rankdir: str) -> None:
    graph = GRAPHS[name]
    found = layered(graph, sizes(graph), rankdir=rankdir)
    assert set(found.boxes) == set(graph)
    assert len(found.routes) == graph.number_of_edges()
    assert not [(a, b) for (a, p), (b, q) in combinations(found.boxes.items(), 2) if p.overlaps(q)]
    assert not through_boxes(found)
    for box in found.boxes.values():
        assert -0.01 <= box.left <= box.right <= found.width + 0.01
        assert -0.01 <= box.top <= box.bottom <= found.height + 0.01
    for route in found.routes.values():
        assert all(-0.01 <= x <= found.width + 0.01 and -0.01 <= y <= found.height + 0.01 for x, y in route.points())


@pytest.mark.parametrize("name", GRAPHS)
def test_an_edge_runs_from_its_source_to_its_target(name: str) -> None:
    graph = GRAPHS[name]
    found = layered(graph, sizes(graph))
    for (u, v, _), route in found.routes.items():
        for (x, y), node in ((route.start, u), (route.end, v)):
            box = found.boxes[node]
            assert abs(x - box.x) <= box.w / 2 + 1, (u, v)
            assert abs(y - box.y) <= box.h / 2 + 1, (u, v)


def test_parallel_edges_do_not_hide_one_another() -> None:
    found = layered(GRAPHS["parallel edges"], sizes("xyz"))
    assert len({route.end for (u, v, _), route in found.routes.items() if (u, v) == ("x", "y")}) == 3


def test_edges_point_the_way_that_was_asked_for() -> None:
    graph = nx.DiGraph([("leaf", "root")])
    box = {way: layered(graph, sizes(graph), rankdir=way).boxes for way in ("LR", "RL", "TB", "BT")}
    assert box["LR"]["leaf"].x < box["LR"]["root"].x
    assert box["RL"]["leaf"].x > box["RL"]["root"].x
    assert box["TB"]["leaf"].y < box["TB"]["root"].y
    assert box["BT"]["leaf"].y > box["BT"]["root"].y


def test_a_tree_has_no_crossings() -> None:
    graph = nx.balanced_tree(2, 5, create_using=nx.DiGraph).reverse()
    shuffled = nx.DiGraph()
    shuffled.add_nodes_from(np.random.default_rng(0).permutation(len(graph)).tolist())
    shuffled.add_edges_from(graph.edges())
    boxes = layered(shuffled, dict.fromkeys(shuffled, (10.0, 10.0))).boxes
    for a, b in combinations(shuffled.edges(), 2):
        if boxes[a[0]].x == boxes[b[0]].x:
            assert (boxes[a[0]].y - boxes[b[0]].y) * (boxes[a[1]].y - boxes[b[1]].y) >= 0, (a, b)


def test_a_long_edge_runs_on_a_rail_below_everything() -> None:
    n = LONG + 2
    graph = nx.DiGraph([*pairwise(range(n + 1)), (0, n)])
    found = layered(graph, dict.fromkeys(graph, (20.0, 20.0)))
    lowest = max(box.bottom for box in found.boxes.values())
    assert max(y for _, y in found.routes[0, n, 0].points()) > lowest
    assert max(y for _, y in found.routes[0, 1, 0].points()) < lowest


def test_ranks_follow_the_edges() -> None:
    graph = GRAPHS["dense"]
    found = rank(graph)
    assert all(found[u] < found[v] for u, v in graph.edges())


def test_what_is_left_without_backward_edges_has_no_cycle() -> None:
    graph = nx.gnp_random_graph(60, 0.05, seed=4, directed=True)
    assert not nx.is_directed_acyclic_graph(graph)
    graph.remove_edges_from(backward_edges(graph))
    assert nx.is_directed_acyclic_graph(graph)


def test_the_layout_is_the_same_every_time() -> None:
    graph = GRAPHS["an LSTM"]
    assert layered(graph, sizes(graph)) == layered(graph, sizes(graph))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="rankdir is 'LR', 'RL', 'TB' or 'BT', got 'up'"):
        layered(nx.DiGraph(), {}, rankdir="up")
    with pytest.raises(ValueError, match="sizes has no entry for 'b'"):
        layered(nx.DiGraph([("a", "b")]), {"a": (1, 1)})
    assert layered(nx.DiGraph(), {}) == Layered({}, {}, 0.0, 0.0)
