"""Rolling up: all steps of a layer become one cell, and what they hand on becomes an edge with a delay.

The rolled graph is the drawing of a recurrent net in the textbooks: a loop, with z⁻¹ on it. It is no longer acyclic,
but every circle goes through a delay. Nothing is lost but the numbers of single steps: where an edge with delay d is
said to stand at the steps first..last, the unrolled graph has it from step t − d to step t for each of them.
"""

from __future__ import annotations

import json
from typing import Any

import networkx as nx

from microgradrnn.engine import Node
from viz.flow.messages import Flow
from viz.folding.contract import free, members, spread, together
from viz.folding.fold import graph_of, with_constants
from viz.graph.steps import Layer, layers, no_steps

OWN = ("step", "value", "norm", "grad", "grad_norm", "gradient", "ids", "members")  # of one step only


def roll(root: Node | nx.MultiDiGraph | Flow, flow: Flow | None = None) -> nx.MultiDiGraph:
    """The graph with one cell for each layer.

    Args:
        root: the root of a computation, a graph from `trace` or `fold`, or a `Flow`.
        flow: puts its norms on nodes and edges, as in `fold`.

    Returns:
        A graph with the schema of `trace`. The nodes of a cell are called ``lstm/c``; they have no ``step`` but
        ``times``, the number of steps they stand for, with ``members``, ``ids`` and ``gradient_min`` and ``_max`` as
        in `fold`. Edges have a running number for a key, ``k``, the operand's place, ``count`` and ``message``; edges
        within a cell also have

        * ``delay``: how many steps of the loop lie between the reader and what it reads: 0 within a step, 1 for what
          the step before hands on, -1 in a layer that runs backwards in time;
        * ``first`` and ``last``: the steps of the readers, from the smallest to the largest.

    Raises:
        TypeError: if root is none of these.
        ValueError: if there are no time steps.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((100, 1, 3)))
    >>> [(u, v, said["first"], said["last"]) for u, v, said in roll(h.sum()).edges(data=True) if said.get("delay")]
    [('rnn/h', 'rnn/z', 1, 99)]
    """
    graph = graph_of(root, flow)
    found = layers(graph)
    if not found:
        raise ValueError(f"roll: {no_steps(graph)}")
    home: dict[str, str] = {}
    at: dict[str, tuple[int, int, int]] = {}  # the layer, when its loop took the step, and the step
    taken = {v for v in graph if "step" not in graph.nodes[v]}
    result = nx.MultiDiGraph(**graph.graph)
    for j, layer in enumerate(found):
        sign = -1 if layer.last < layer.order[0] else 1
        turn = {step: sign * t for t, step in enumerate(layer.order)}
        for name, nodes in cell_nodes(graph, layer).items():
            one = free("/".join(filter(None, (layer.path, name))), taken)
            taken.add(one)
            home |= dict.fromkeys(nodes.values(), one)
            at |= {v: (j, turn[step], step) for step, v in nodes.items()}
            result.add_node(one, **summary(graph, list(nodes.values())))
    for v, said in graph.nodes(data=True):
        if v not in home:
            result.add_node(v, **said)
    result.graph["root"] = home.get(graph.graph["root"], graph.graph["root"])
    _join(graph, result, home, at)
    return result


def cell_nodes(graph: nx.MultiDiGraph, layer: Layer) -> dict[str, dict[int, str]]:
    """For each name in a cell, the node of each step; plain numbers that only one step reads belong to it."""
    found: dict[str, dict[int, str]] = {}
    for step in layer.order:
        inside = {node: name for name, node in layer.steps[step].items()}
        for node in with_constants(graph, inside):
            name = inside.get(node, graph.nodes[node]["name"])
            while step in found.get(name, {}):
                name += "'"
            found.setdefault(name, {})[step] = node
    return found


def summary(graph: nx.MultiDiGraph, nodes: list[str]) -> dict[str, Any]:
    """The attributes of a node of the cell: what is the same at every step, and how many they are."""
    ids = [name for v in nodes for name in members(graph, v)]
    said = {key: value for key, value in graph.nodes[nodes[-1]].items() if key not in OWN}
    said |= {"times": len(nodes), "members": len(ids), "ids": json.dumps(ids)}
    return said | spread(graph.nodes[v] for v in nodes)


def _join(graph: nx.MultiDiGraph, result: nx.MultiDiGraph, home: dict[str, str],
          at: dict[str, tuple[int, int, int]]) -> None:
    """The edges: for every pair of nodes, operand and delay, one."""
    several: dict[tuple[str, str, int, int | None], list[tuple[int, dict[str, Any]]]] = {}
    for u, v, k, said in graph.edges(keys=True, data=True):
        same = u in at and v in at and at[u][0] == at[v][0]
        delay = at[v][1] - at[u][1] if same else None
        step = at[v][2] if same else 0
        place = said.get("k", k) if v in home or u not in home else 0  # where all steps meet, the place tells nothing
        several.setdefault((home.get(u, u), home.get(v, v), place, delay), []).append((step, said))
    number: dict[str, int] = {}
    for (a, b, k, delay), edges in several.items():
        key = number[b] = number.get(b, -1) + 1
        said = {"k": k} | together([edge for _, edge in edges])
        if delay is not None:
            steps = [step for step, _ in edges]
            said |= {"delay": delay, "first": min(steps), "last": max(steps)}
        result.add_edge(a, b, key=key, **said)
