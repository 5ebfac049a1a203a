"""The graph model: what a computation left behind, as a `networkx.MultiDiGraph`.

Every picture and every measurement starts here. The model is a snapshot: it holds names and numbers, never arrays or
nodes, so it may outlive the computation, be pickled, or be written to a file (`viz.write`, or networkx's own writers).

Nodes are named after where they were made, ``lstm/t3/f``: the scope's path, the time step, and the symbol that `mark`
gave (else the operation). Where a name is taken, the next node in the order of making gets ``_2``, ``_3``, ... So the
same program gives the same names every time.

`NODE`, `EDGE` and `GRAPH` list the attributes of nodes, of edges and of the graph, with the type and the meaning of
each; those that do not apply are left out. ``docs/graph.md`` shows them at work.

An edge runs from an input to what was computed from it and carries ``k``, the operand's place; it is also the edge's
key, unique among the edges into one node. ``x * x`` has two edges.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from viz.errors import need
from viz.graph.identities import identities
from viz.graph.reachable import reachable

NODE: dict[str, tuple[type, str]] = {
    "kind": (str, "`parameter`, `leaf` (given, takes a gradient), `constant` or `computed`"),
    "order": (int, "0, 1, 2, ...: the order of making; a constant has that of the node that reads it"),
    "name": (str, "the last part of its id, the same at every time step"),
    "op": (str, "the name of the operation, `multiply`"),
    "sign": (str, "how the operation is written, `*`"),
    "params": (str, "the operation's settings, `axis=0`"),
    "same": (str, "the id of the node that it is the same as, of `h * 1.0` that of `h`"),
    "symbol": (str, "the letter that `mark` or `label=` gave"),
    "role": (str, "the role that `mark` gave, `gate`"),
    "path": (str, "the path of scopes it was made in, `lstm`"),
    "step": (int, "the time step it was made in"),
    "loop": (str, "where the step was set, if not at the same path: `net`, or inside another loop `epoch/t3/net`"),
    "shape": (str, "`(1, 64)`, of a plain number `()`"),
    "dtype": (str, "`float64`, of a plain number `float`"),
    "value": (float, "the number itself, if there is just one"),
    "norm": (float, "the Euclidean norm of the data"),
    "grad": (float, "`.grad`, if there is one and it is a single number"),
    "grad_norm": (float, "the Euclidean norm of `.grad`, if there is one"),
}
EDGE: dict[str, tuple[type, str]] = {"k": (int, "the operand's place: 0 for the first; also the edge's key")}
GRAPH: dict[str, tuple[type, str]] = {"root": (str, "the id of the node that was traced")}


def trace(root: Node) -> nx.MultiDiGraph:
    """The graph that the root was computed from.

    Args:
        root: a `Value` or a `Tensor`.

    Returns:
        One node for each node of the computation, and one for each use of a plain number or array; see `NODE` for
        the attributes. ``graph.graph["root"]`` is the id of the root.

    Raises:
        TypeError: if the root is not a node.

    >>> from microgradrnn import Value
    >>> x = Value(3.0, label="x")
    >>> g = trace(x * x + 1)
    >>> sorted(g)
    ['add', 'add/1', 'multiply', 'x']
    >>> sorted(g.edges(keys=True))
    [('add/1', 'add', 1), ('multiply', 'add', 0), ('x', 'multiply', 0), ('x', 'multiply', 1)]
    """
    return traced(root)[0]


def traced(root: Node) -> tuple[nx.MultiDiGraph, dict[Node, str]]:
    """The graph, and the id of each node. (Measurements need both; the graph itself keeps no node alive.)"""
    need("trace", root, Node, "a Value or a Tensor")
    nodes = reachable(root)
    ids, names = named(nodes)
    graph = nx.MultiDiGraph(root=ids[root])
    for order, node in enumerate(nodes):
        graph.add_node(ids[node], **attributes(node), order=order, name=names[node])
    for node, origin in identities(nodes).items():
        graph.nodes[ids[node]]["same"] = ids[origin]
    for node in nodes:
        for k, (x, arg) in enumerate(zip(node.inputs, node.args, strict=True)):
            source = ids[x] if x is not None else add_constant(graph, ids[node], k, arg)
            graph.add_edge(source, ids[node], key=k, k=k)
    return graph, ids


def named(nodes: list[Node]) -> tuple[dict[Node, str], dict[Node, str]]:
    """A unique id for each node, and its last part."""
    ids: dict[Node, str] = {}
    names: dict[Node, str] = {}
    taken: set[str] = set()
    used: dict[str, int] = {}
    scope, where = None, ""
    for node in nodes:
        if node.scope is not scope:  # those of one step have the same, one after another
            scope, where = node.scope, place(node)
        base = name = node.symbol or (node.op.name if node.op is not None else kind(node))
        while where + name in taken:
            used[where + base] = used.get(where + base, 1) + 1
            name = f"{base}_{used[where + base]}"
        taken.add(where + name)
        ids[node], names[node] = where + name, name
    return ids, names


def place(node: Node) -> str:
    """The first part of an id: ``lstm/t3/``."""
    parts = (*node.scope.path, *([] if node.scope.step is None else [f"t{node.scope.step}"]))
    return "".join(f"{part}/" for part in parts)


def attributes(node: Node) -> dict[str, Any]:
    """What the graph model says of a node."""
    said: dict[str, Any] = {"kind": kind(node)}
    if node.op is not None:
        said["op"], said["sign"] = node.op.name, node.op.symbol
    if node.symbol is not None:
        said["symbol"] = node.symbol
    if node.role is not None:
        said["role"] = node.role
    if node.scope.path:
        said["path"] = "/".join(node.scope.path)
    if node.scope.step is not None:
        said["step"] = node.scope.step
        if node.scope.loop != said.get("path", ""):
            said["loop"] = node.scope.loop
    if node.params:
        said["params"] = ", ".join(f"{name}={value}" for name, value in node.params.items())
    said |= summary(node.data)
    if node.grad is not None:
        said |= {"grad" if key == "value" else "grad_norm": number
                 for key, number in summary(node.grad).items() if key in ("value", "norm")}
    return said


def kind(node: Node) -> str:
    """parameter, leaf, constant or computed."""
    if node.op is not None:
        return "computed"
    if node.role == "parameter":
        return "parameter"
    return "leaf" if node.requires_grad else "constant"


def summary(data: Any) -> dict[str, Any]:
    """Shape, dtype, the norm, and the number if there is just one. Of a gradient that is itself a node, its data."""
    data = getattr(data, "data", data) if isinstance(data, Node) else data
    if not isinstance(data, np.ndarray):
        return {"shape": "()", "dtype": type(data).__name__, "value": float(data), "norm": abs(float(data))}
    said: dict[str, Any] = {"shape": written(data.shape), "dtype": written(data.dtype), "norm": norm(data)}
    if data.size == 1:
        said["value"] = float(data.item())
    return said


@lru_cache(maxsize=1024)
def written(what: Any) -> str:
    """The shape, or dtype, as text: a few of them, asked for at every node."""
    return str(what)


def add_constant(graph: nx.MultiDiGraph, consumer: str, k: int, arg: Any) -> str:
    """A node for a plain number or array given as the k-th operand."""
    name = f"{consumer}/{k}"
    while name in graph:
        name += "'"
    where = {key: graph.nodes[consumer][key] for key in ("path", "step", "order") if key in graph.nodes[consumer]}
    graph.add_node(name, kind="constant", name=f"{graph.nodes[consumer]['name']}/{k}", **where, **summary(arg))
    return name


TINY, HUGE = 1e-140, 1e140


def norm(x: Any) -> float:
    """The Euclidean norm of numbers of any shape, worked out in double precision and without under- or overflow.

    >>> norm(np.array([3e-200, 4e-200]))
    5e-200
    """
    a = np.asarray(x, dtype=np.float64).reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        size = math.sqrt(a.dot(a)) if a.size else 0.0
    if TINY < size < HUGE:
        return size
    largest = float(np.abs(a).max(initial=0.0))  # squares may have under- or overflowed: scale first
    if largest == 0 or not math.isfinite(largest):
        return largest
    a = a / largest
    return largest * math.sqrt(a.dot(a))
