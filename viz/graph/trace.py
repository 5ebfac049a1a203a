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
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from viz.graph.identities import identities
from viz.graph.reachable import reachable
from viz.graph.root import Root, root_of
from viz.graph.unknown import Unknown, Unseen

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
GRAPH: dict[str, tuple[type, str]] = {
    "root": (str, "the id of the node that was traced"),
    "source": (str, "`PyTorch`, if that recorded it"),
    "called": (str, "the name of the module of PyTorch that was given with the loss"),
}


def trace(root: Root) -> nx.MultiDiGraph:
    """The graph that the root was computed from.

    Args:
        root: a `Value`, a `Tensor`, or a loss of PyTorch.

    Returns:
        One node for each node of the computation, and one for each use of a plain number or array; see `NODE` for
        the attributes. ``graph.graph["root"]`` is the id of the root.

    Raises:
        TypeError: if the root is none of these.

    >>> from microgradrnn import Value
    >>> x = Value(3.0, label="x")
    >>> g = trace(x * x + 1)
    >>> sorted(g)
    ['add', 'add/1', 'multiply', 'x']
    >>> sorted(g.edges(keys=True))
    [('add/1', 'add', 1), ('multiply', 'add', 0), ('x', 'multiply', 0), ('x', 'multiply', 1)]
    """
    return traced(root)[0]


def traced(root: Root, nodes: list[Node] | None = None, same: Mapping[Node, Node] | None = None,
           ) -> tuple[nx.MultiDiGraph, dict[Node, str]]:  # fmt: skip
    """The graph, and the id of each node. (Measurements need both; the graph itself keeps no node alive.)

    Who knows what is `reachable` from the root, and its `identities`, can give them.
    """
    root = root_of("trace", root)
    nodes = reachable(root) if nodes is None else nodes
    ids, names = named(nodes)
    graph = nx.MultiDiGraph(root=ids[root], **whole(root))
    for node, said in zip(nodes, descriptions(nodes, names), strict=True):
        add_node(graph, ids[node], said)
    for node, origin in (identities(nodes) if same is None else same).items():
        graph.nodes[ids[node]]["same"] = ids[origin]
    for node in nodes:
        name = ids[node]
        for k, x in enumerate(node.inputs):
            add_edge(graph, ids[x] if x is not None else add_constant(graph, name, k, node.args[k]), name, k)
    return graph, ids


def whole(root: Node) -> dict[str, str]:
    """What the graph model says of the whole graph, if PyTorch recorded it."""
    said = {"source": getattr(root.op, "source", None), "called": getattr(root.params, "called", None)}
    return {key: word for key, word in said.items() if word is not None}


# A long net has a million nodes and edges. networkx checks each that it is given; these are known to be new.
def add_node(graph: nx.MultiDiGraph, node: str, said: dict[str, Any]) -> None:
    """``graph.add_node(node, **said)``, of a node that is not there yet. The graph keeps the dict itself."""
    graph._node[node], graph._succ[node], graph._pred[node] = said, {}, {}


def add_edge(graph: nx.MultiDiGraph, u: str, v: str, k: int) -> None:
    """``graph.add_edge(u, v, key=k, k=k)``, between nodes that are there, of an edge that is not."""
    read = graph._succ[u]
    if v in read:
        read[v][k] = {"k": k}
    else:
        read[v] = graph._pred[v][u] = {k: {"k": k}}


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
        base = name = node.tag[0] or (node.op.name if node.op is not None else kind(node))
        full = first = where + name
        while full in taken:
            used[first] = used.get(first, 1) + 1
            name = f"{base}_{used[first]}"
            full = where + name
        taken.add(full)
        ids[node], names[node] = full, name
    return ids, names


def place(node: Node) -> str:
    """The first part of an id: ``lstm/t3/``."""
    parts = (*node.scope.path, *([] if node.scope.step is None else [f"t{node.scope.step}"]))
    return "".join(f"{part}/" for part in parts)


def descriptions(nodes: list[Node], names: dict[Node, str]) -> Iterator[dict[str, Any]]:
    """What the graph model says of each node. The nodes that a loop makes at one place say the same at every step, but
    for a few numbers: that is put together once, and copied.
    """
    patterns: dict[Any, dict[str, Any]] = {}
    for order, (node, size) in enumerate(zip(nodes, norms([node._data for node in nodes]), strict=True)):
        scope, data, params = node.scope, node._data, node.params
        form = (data.shape, data.dtype, type(data)) if isinstance(data, np.ndarray) else type(data)
        key = (node.op, node.tag, node.requires_grad, scope.path, scope.loop, scope.step is None, form, not params)
        if node.grad is not None or key not in patterns:
            said = attributes(node) | {"order": order, "name": names[node]}
            if node.grad is None:
                patterns[key] = said.copy()
            yield said
            continue
        said = patterns[key].copy()
        if scope.step is not None:
            said["step"] = scope.step
        if params:
            said["params"] = settings(params)
        if "value" in said:
            said["value"] = float(data.item() if isinstance(data, np.ndarray) else data)
        if "norm" in said:
            said["norm"] = size
        said["order"], said["name"] = order, names[node]
        yield said


def attributes(node: Node) -> dict[str, Any]:
    """What the graph model says of a node by itself."""
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
        said["params"] = settings(node.params)
    said |= summary(node._data)
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


def settings(params: dict[str, Any]) -> str:
    """An operation's settings as text."""
    return ", ".join([f"{name}={value}" for name, value in params.items()])


def summary(data: Any) -> dict[str, Any]:
    """Shape, dtype, the norm, and the number if there is just one. Of a gradient that is itself a node, its data."""
    data = getattr(data, "data", data) if isinstance(data, Node) else data
    if isinstance(data, (Unknown, Unseen)):
        return {"shape": written(data.shape), "dtype": written(data.dtype)}
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
    reader = graph.nodes[consumer]
    where = {key: reader[key] for key in ("path", "step", "order") if key in reader}
    add_node(graph, name, {"kind": "constant", "name": f"{reader['name']}/{k}", **where, **summary(arg)})
    return name


TINY, HUGE = 1e-140, 1e140
STACK = 1 << 15  # so many numbers are measured together: what the nearer caches hold


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


def norms(arrays: list[Any]) -> list[float]:
    """The norm of each of many arrays and numbers, to the last bit as `norm` says.

    NumPy takes longer to be called for a small array than to work out its norm, so those of one shape are stacked.

    >>> norms([np.array([3.0, -4.0]), -2.0])
    [5.0, 2.0]
    """
    found = [0.0] * len(arrays)
    stacks: dict[tuple[int, ...], tuple[list[int], list[np.ndarray]]] = {}
    for j, x in enumerate(arrays):
        if not isinstance(x, np.ndarray):
            found[j] = abs(float(x))
            continue
        if x.ndim == 0 or not x.flags.c_contiguous:
            x = x.reshape(-1)
        if 0 < x.size < STACK and x.flags.c_contiguous:
            places, rows = stacks.setdefault(x.shape, ([], []))
            places.append(j)
            rows.append(x)
        else:
            found[j] = norm(x)
    for shape, (places, rows) in stacks.items():
        size = math.prod(shape)
        for start in range(0, len(rows), STACK // size):
            a = np.concatenate(rows[start:start + STACK // size], dtype=np.float64).reshape(-1, size)
            for j, one in zip(places[start:], norms_of_rows(a).tolist(), strict=False):
                found[j] = one
    return found


def norms_of_rows(rows: np.ndarray) -> np.ndarray:
    """The `norm` of each row of doubles, to the last bit.

    >>> norms_of_rows(np.array([[3e-200, 4e-200], [3.0, 4.0], [0.0, 0.0]]))
    array([5.e-200, 5.e+000, 0.e+000])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.sqrt(dots(rows))
    strange = np.flatnonzero(~((found > TINY) & (found < HUGE)))
    if len(strange):
        found[strange] = largest = np.abs(rows[strange]).max(axis=1, initial=0.0)
        scaled = strange[(largest > 0) & np.isfinite(largest)]
        found[scaled] *= np.sqrt(dots(rows[scaled] / found[scaled, None]))
    return found


def dots(rows: np.ndarray) -> np.ndarray:
    """The dot product of each row with itself, as ``row.dot(row)`` works it out."""
    return np.matmul(rows[:, None, :], rows[:, :, None]).reshape(-1)
