"""Contraction: several nodes of a graph become one, and nobody reaches what they did not reach before.

Putting nodes together at random invents paths. If x goes into v, y comes out of w, and v and w become one node, there
is now a way from x to y, though nothing of x ever got to y; it may even run in a circle. A picture of how a gradient
flows must not lie so. Hence the rule:

    A group becomes one node only if everything that goes into it also reaches everything that comes out of it.

Then, and because groups are taken one after another, each looked at in the graph that the ones before have left, this
holds for any two different nodes u and v of the result: **u reaches v if and only if something that u stands for
reached something that v stands for.** In particular no circle arises.

A group that breaks the rule is split, by time step, by scope, and then into what hangs together; what breaks it even so
stays as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any

import networkx as nx

from viz.graph.trace import norm

Neighbours = dict[str, set[str]]


@dataclass(frozen=True)
class Group:
    """Nodes that are to become one.

    Attributes:
        name: the id of the new node (with a number behind it, if it is taken).
        nodes: the ids of its members.
        said: the attributes of the new node, besides those that are counted.
        keep: a member whose id and attributes the new node takes over, and its edges with their operands' places.
    """

    name: str
    nodes: tuple[str, ...]
    said: dict[str, Any] = field(default_factory=dict)
    keep: str | None = None


def members(graph: nx.MultiDiGraph, node: str) -> list[str]:
    """The ids of the traced nodes that a node stands for, oldest first; of a node that is not folded, its own.

    Raises:
        KeyError: if the graph has no such node.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> from viz import fold, trace
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((5, 1, 3)))
    >>> members(fold(trace(h.sum()), by="step"), "rnn/t1")
    ['rnn/t1/z', 'rnn/t1/h']
    """
    if node not in graph:
        raise KeyError(f"members: no node {node!r} in the graph")
    said = graph.nodes[node]
    return list(json.loads(said["ids"])) if "ids" in said else [node]


def contract(graph: nx.MultiDiGraph, groups: Iterable[Group]) -> nx.MultiDiGraph:
    """A graph in which each group is one node, if the rule allows, else split.

    Raises:
        ValueError: if two groups share a node.
    """
    groups = [group for group in groups if len(group.nodes) > 1]
    seen: set[str] = set()
    for group in groups:
        if shared := seen.intersection(group.nodes):
            raise ValueError(f"contract: {min(shared)!r} is in two groups; a node can become part of one only")
        seen.update(group.nodes)
    return quotient(graph, allowed(graph, groups))


def allowed(graph: nx.MultiDiGraph, groups: list[Group]) -> list[Group]:
    """The groups that the rule allows, or the parts of them that it allows.

    The youngest are tried first: what reads a group is then one node already, which everything may reach.
    """
    shape = _Shape(graph)
    accepted: list[Group] = []
    waiting = groups
    while waiting:
        waiting, before = [], sorted(waiting, key=lambda group: -max(shape.youngest[v] for v in group.nodes))
        for group in before:
            if shape.merge(group):
                accepted.append(group)
            else:
                waiting.append(group)
        if len(waiting) == len(before):  # nothing was gained by waiting
            waiting = [part for group in waiting for part in split(graph, group)]
    return accepted


def split(graph: nx.MultiDiGraph, group: Group) -> list[Group]:
    """A group in smaller ones: by time step, else by scope, else by what hangs together. Empty if that is one."""
    for key in ("step", "path"):
        parts: dict[Any, list[str]] = {}
        for v in group.nodes:
            parts.setdefault(graph.nodes[v].get(key), []).append(v)
        if len(parts) > 1:
            return [part_of(group, nodes, key, value) for value, nodes in parts.items() if len(nodes) > 1]
    pieces = list(nx.weakly_connected_components(graph.subgraph(group.nodes)))
    if len(pieces) == 1:
        return []
    return [replace(group, nodes=tuple(v for v in group.nodes if v in piece)) for piece in pieces if len(piece) > 1]


def part_of(group: Group, nodes: list[str], key: str, value: Any) -> Group:
    """Those nodes of a group that have the same step or path, and the name that says so."""
    said = {name: fact for name, fact in group.said.items() if name not in ("times", "steps")}
    if value is not None:
        said |= {key: value}
    path, step = said.get("path", ""), said.get("step")
    parts = [part for part in (path, "" if step is None else f"t{step}") if part]
    name = "/".join(parts) or group.name
    return Group(name, tuple(nodes), said | {"name": name.split("/")[-1]})


class _Shape:
    """Who follows whom, while groups are being merged."""

    def __init__(self, graph: nx.MultiDiGraph) -> None:
        self.before: Neighbours = {v: set(graph.pred[v]) for v in graph}
        self.after: Neighbours = {v: set(graph.succ[v]) for v in graph}
        self.oldest: dict[str, int] = dict(graph.nodes(data="order"))
        self.youngest = dict(self.oldest)

    def merge(self, group: Group) -> bool:
        """Make a group one node, if the rule allows."""
        nodes = set(group.nodes)
        sources = set().union(*(self.before[v] for v in nodes)) - nodes
        targets = set().union(*(self.after[v] for v in nodes)) - nodes
        if not self.all_reached(sources, nodes, targets):
            return False
        one = group.nodes[0]  # stands for all of them from now on
        self.oldest[one] = min(self.oldest[v] for v in nodes)
        self.youngest[one] = max(self.youngest[v] for v in nodes)
        for v in sources:
            self.after[v] -= nodes
            self.after[v].add(one)
        for v in targets:
            self.before[v] -= nodes
            self.before[v].add(one)
        for v in nodes:
            del self.before[v], self.after[v]
        self.before[one], self.after[one] = sources, targets
        return True

    def all_reached(self, sources: set[str], nodes: set[str], targets: set[str]) -> bool:
        """Does every source reach every target? Through the group, which is quickly seen, or any other way."""
        if sources & targets:
            return False
        bit = {v: 1 << j for j, v in enumerate(sources)}
        every = (1 << len(bit)) - 1
        reached = self.reached_from(bit, nodes | targets)
        missing = 0
        for v in targets:
            missing |= every & ~reached[v]
        if not missing:
            return True
        lacking = {v: b for v, b in bit.items() if b & missing}
        low, high = min(self.oldest[v] for v in lacking), max(self.youngest[v] for v in targets)
        between = {v for v in self.before if self.youngest[v] >= low and self.oldest[v] <= high}
        reached = self.reached_from(lacking, between)
        return all(reached.get(v, 0) & missing == missing for v in targets)

    def reached_from(self, bit: dict[str, int], nodes: set[str]) -> dict[str, int]:
        """For each of the nodes, the bits of all sources that reach it by way of these nodes and other sources."""
        inside = nodes | bit.keys()
        before = {v: self.before[v] & inside for v in inside}
        reached: dict[str, int] = {}
        for v in TopologicalSorter(before).static_order():
            reached[v] = bit.get(v, 0)
            for u in before[v]:
                reached[v] |= reached[u]
        return reached


def quotient(graph: nx.MultiDiGraph, groups: list[Group]) -> nx.MultiDiGraph:
    """The graph with each group as one node, and `order` anew, so that every edge still goes from lower to higher."""
    taken = set(graph) - {v for group in groups for v in group.nodes}
    home: dict[str, str] = {}
    kept: dict[str, str] = {}
    result = nx.MultiDiGraph(**graph.graph)
    result.add_nodes_from((v, dict(graph.nodes[v])) for v in graph if v in taken)
    for group in sorted(groups, key=lambda group: min(graph.nodes[v]["order"] for v in group.nodes)):
        one = group.keep or free(group.name, taken)
        taken.add(one)
        home |= dict.fromkeys(group.nodes, one)
        if group.keep is not None:
            kept[one] = group.keep
        result.add_node(one, **summary(graph, group))
    result.graph["root"] = home.get(graph.graph["root"], graph.graph["root"])
    join_edges(graph, result, home, kept)
    return in_order(result)


def free(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number behind it that makes it new."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def summary(graph: nx.MultiDiGraph, group: Group) -> dict[str, Any]:
    """The attributes of the node that a group becomes."""
    nodes = sorted(group.nodes, key=lambda v: graph.nodes[v]["order"])
    ids = [name for v in nodes for name in members(graph, v)]
    said: dict[str, Any] = dict(graph.nodes[group.keep]) if group.keep else {"kind": "folded", "name": group.name}
    said |= group.said | {"order": graph.nodes[nodes[-1]]["order"], "members": len(ids), "ids": json.dumps(ids)}
    if group.keep is None:
        said |= spread([graph.nodes[v] for v in nodes])
    return said


def spread(all_said: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The smallest and the largest norm of a gradient among some nodes. NaN if one of them is NaN."""
    said = [one for one in all_said if "gradient" in one or "gradient_min" in one]
    low = [float(one["gradient_min"] if "gradient_min" in one else one["gradient"]) for one in said]
    high = [float(one["gradient_max"] if "gradient_max" in one else one["gradient"]) for one in said]
    if not said:
        return {}
    if any(g != g for g in low + high):
        return {"gradient_min": float("nan"), "gradient_max": float("nan")}
    return {"gradient_min": min(low), "gradient_max": max(high)}


def join_edges(graph: nx.MultiDiGraph, result: nx.MultiDiGraph, home: dict[str, str], kept: dict[str, str]) -> None:
    """Edges between what is left; those between the same two nodes become one, if either is folded."""
    joined: dict[tuple[str, str], list[dict[str, Any]]] = {}
    folded = set(home.values()) - kept.keys()
    for u, v, k, said in graph.edges(keys=True, data=True):
        a, b = home.get(u, u), home.get(v, v)
        if a == b:
            continue
        if a in folded or b in folded or kept.get(b, v) != v:
            joined.setdefault((a, b), []).append(said)
        else:
            result.add_edge(a, b, key=k, **said, **({} if a == u or "count" in said else {"count": 1}))
    number: dict[str, int] = {}
    for (a, b), several in joined.items():
        k = min(said["k"] for said in several)
        if b in folded:
            k = number[b] = number.get(b, -1) + 1
        result.add_edge(a, b, key=k, k=k, **together(several))


def together(edges: list[dict[str, Any]]) -> dict[str, Any]:
    """What one edge says that stands for several: how many, and the norm of all their messages taken together."""
    said: dict[str, Any] = {"count": sum(edge.get("count", 1) for edge in edges)}
    if messages := [edge["message"] for edge in edges if "message" in edge]:
        said["message"] = norm(messages)
    return said


def in_order(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """The same graph with its nodes in an order of making, numbered anew."""
    result = nx.MultiDiGraph(**graph.graph)
    ordered = nx.lexicographical_topological_sort(graph, key=lambda v: graph.nodes[v]["order"])
    for order, v in enumerate(ordered):
        result.add_node(v, **graph.nodes[v] | {"order": order})
    result.add_edges_from(graph.edges(keys=True, data=True))
    return result
