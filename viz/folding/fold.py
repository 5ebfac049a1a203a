"""Folding: a graph into a smaller graph that says the same with fewer nodes.

`fold` does it all; it is made of steps, each from graph to graph, that may be used by themselves and one after
another: `with_flow`, `hide_constants`, `hide_plumbing`, `fuse`, `fold_steps`, `fold_repeats`, `fold_modules`,
`parameters_per_use`. None of them invents or loses a path; see `viz.folding.contract` for the rule.

The schema is that of `viz.trace`. A node that stands for others has besides

================  ==================================================================================
``kind``          ``folded`` (but a node that only took in slices and reshapes keeps its own kind)
``members``       how many traced nodes it stands for
``ids``           their ids as JSON text; `members` reads it
``times``         of repeated steps: how many
``steps``         of repeated steps: the first and the last, ``2..997``
``of``            of one use of a parameter: the parameter's id
================  ==================================================================================

It has a ``path``, if there is one for all, and a ``step``, if it stands for one step. An edge that stands for others
has ``count``, how many; the edges themselves are those between the ids of its ends. From one node to another there is
one edge, if either is ``folded``. Into a folded node ``k`` just counts the edges; else it is the operand's place, the
first one if there are several.

With a `Flow` nodes and edges also have

==================================  ==================================================================
``gradient``                        the norm of the gradient at a node
``gradient_min``, ``gradient_max``  of a folded node: the smallest and the largest among those that became it (what was
                                    hidden before aside)
``message``                         the norm of the message along an edge; of an edge that stands for several, the
                                    norm of all these messages written one after another: the root of the sum of the
                                    squares. The norm of their *sum* may be anything between 0 and the sum of the
                                    norms, because messages may cancel.
==================================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import networkx as nx

from microgradrnn.engine import PRIMITIVES, Node
from microgradrnn.engine.allocator import collector_paused
from viz.flow.messages import Flow
from viz.folding.contract import Group, contract, in_order
from viz.graph.cells import PLUMBING
from viz.graph.root import Root, as_node
from viz.graph.steps import Edge, Layer, layers, no_steps
from viz.graph.trace import trace

HIDEABLE = ("constants", "plumbing")


def fold(
    root: Node | nx.MultiDiGraph | Flow,
    by: str | None = None,
    *,
    repeat: int | None = None,
    expand: Collection[str] = (),
    per_step: bool = False,
    parameters: str = "once",
    hide: Collection[str] = HIDEABLE,
    fused: bool = False,
    flow: Flow | None = None,
) -> nx.MultiDiGraph:
    """A smaller graph of the same computation.

    Args:
        root: the root of a computation, a graph from `trace`, or a `Flow`.
        by: ``"step"``, each time step of a layer is one node; ``"repeat"``, the steps in the middle are one node, the
            others as they are; ``"module"``, each module is one node; None, neither.
        repeat: how many steps to leave at the start and at the end of a run, 2 by default; the others become one
            node. With ``by="step"`` by default all are left.
        expand: modules to open, by scope path or by the last part of it.
        per_step: with ``by="module"``, a node for each module and time step.
        parameters: ``"once"``, or ``"use"`` for a node at each use.
        hide: what to leave out: ``"constants"``, plain numbers and arrays, and ``"plumbing"``, slices and reshapes.
        fused: put chains of elementwise operations together.
        flow: puts its norms on nodes and edges.

    Returns:
        A graph with the schema of `trace` and what the docstring of this module adds.

    Raises:
        TypeError: if root is none of these, or ``hide`` or ``expand`` one bare word.
        ValueError: for a word that means nothing here, and for steps where there are none.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((100, 1, 3)))
    >>> small = fold(h.sum(), by="step", repeat=1)
    >>> [v for v in small if small.nodes[v]["kind"] == "folded"]
    ['rnn/t0', 'rnn/t1..t98', 'rnn/t99']
    >>> small.nodes["rnn/t1..t98"]["times"]
    98
    """
    _check("by", by, (None, "step", "repeat", "module"))
    _check("parameters", parameters, ("once", "use"))
    for name, words in (("hide", hide), ("expand", expand)):
        if isinstance(words, str):
            raise TypeError(f"fold: {name} is a list of words, {name}=[{words!r}]; got one alone")
    for word in hide:
        _check("hide", word, HIDEABLE)
    with collector_paused():
        return _folded(graph_of(root, flow), by, repeat, expand, per_step, parameters, hide, fused)


def _folded(graph: nx.MultiDiGraph, by: str | None, repeat: int | None, expand: Collection[str], per_step: bool,
            parameters: str, hide: Collection[str], fused: bool) -> nx.MultiDiGraph:
    if "constants" in hide:
        graph = hide_constants(graph)
    if "plumbing" in hide:
        graph = hide_plumbing(graph)
    if fused:
        graph = fuse(graph)
    if by == "step":
        graph = fold_steps(graph, repeat)
    elif by == "repeat" or repeat is not None:
        graph = fold_repeats(graph, 2 if repeat is None else repeat)
    if by == "module":
        graph = fold_modules(graph, expand=expand, per_step=per_step)
    return parameters_per_use(graph) if parameters == "use" else graph


def graph_of(root: Root | nx.MultiDiGraph | Flow, flow: Flow | None = None) -> nx.MultiDiGraph:
    """The graph, with the numbers of the flow, if there is one."""
    if isinstance(root, Flow):
        root, flow = root.graph, root
    root = as_node("trace", root)
    if flow is not None:
        return with_flow(flow.graph if isinstance(root, Node) else root, flow)
    return root if isinstance(root, nx.MultiDiGraph) else trace(root)


def _check(name: str, word: Any, known: tuple[Any, ...]) -> None:
    if word not in known:
        raise ValueError(f"fold: {name} is one of {', '.join(map(repr, known))}, got {word!r}")


def with_flow(graph: nx.MultiDiGraph, flow: Flow) -> nx.MultiDiGraph:
    """The graph with the norms of a flow on its nodes and edges. It must be the flow's own graph, not yet folded."""
    if not all(v in graph for v in flow.gradients):
        raise ValueError("with_flow: the flow has nodes that the graph has not; give the flow's own graph, flow.graph, "
                         "and fold afterwards")
    result = graph.copy()
    for v, size in flow.gradients.items():
        result.nodes[v]["gradient"] = size
    for _, v, k, said in result.edges(keys=True, data=True):
        if (size_of_message := flow.messages.get(Edge(v, k))) is not None:
            said["message"] = size_of_message
    return result


# ---------------------------------------------------------------------------------------------- what is hidden
def hide_constants(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """Without plain numbers and arrays. No gradient goes there, and nothing comes from them but themselves."""
    result = graph.copy()
    result.remove_nodes_from([v for v, said in graph.nodes(data=True)
                              if said["kind"] == "constant" and v != graph.graph["root"]])
    return result


def hide_plumbing(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """Slices, reshapes and transposes become part of what they were taken from; those with a symbol are left."""
    home: dict[str, str] = {}
    for v in sorted(graph, key=lambda v: int(graph.nodes[v]["order"])):
        said = graph.nodes[v]
        if said.get("op") in PLUMBING and "symbol" not in said and graph.in_degree(v) == 1 and v != graph.graph["root"]:
            (u,) = graph.predecessors(v)
            home[v] = home.get(u, u)
    taken_in: dict[str, list[str]] = {}
    for v, u in home.items():
        taken_in.setdefault(u, []).append(v)
    return contract(graph, (Group(u, (u, *parts), keep=u) for u, parts in taken_in.items()))


def fuse(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """Chains of elementwise operations become one node each, written as the last of them.

    A node is taken into the one that reads it if nothing else does and it has no symbol: of an LSTM the two products
    and the sum become c, the gates are left.
    """
    end: dict[str, str] = {}
    for v in sorted(graph, key=lambda v: -int(graph.nodes[v]["order"])):
        readers = list(graph.successors(v))
        if (len(readers) == 1 and "symbol" not in graph.nodes[v] and is_elementwise(graph, v)
                and is_elementwise(graph, readers[0]) and _place(graph, v) == _place(graph, readers[0])):
            end[v] = end.get(readers[0], readers[0])
    chains: dict[str, list[str]] = {}
    for v, last in end.items():
        chains.setdefault(last, [last]).append(v)
    return contract(graph, (_chain(graph, last, nodes) for last, nodes in chains.items()))


def _chain(graph: nx.MultiDiGraph, last: str, nodes: list[str]) -> Group:
    said = {key: value for key, value in graph.nodes[last].items() if key not in ("order", "params", "gradient")}
    nodes = sorted(nodes, key=lambda v: int(graph.nodes[v]["order"]))
    signs = " ".join(graph.nodes[v]["sign"] for v in nodes)
    return Group(last, tuple(nodes), said | {"kind": "folded", "op": "fused", "sign": signs})


def is_elementwise(graph: nx.MultiDiGraph, node: str) -> bool:
    """Does each entry depend on the same entries of the operands only?"""
    op = PRIMITIVES.get(graph.nodes[node].get("op", ""))
    return op is not None and op.elementwise


def _place(graph: nx.MultiDiGraph, node: str) -> tuple[Any, Any]:
    return graph.nodes[node].get("path"), graph.nodes[node].get("step")


# ---------------------------------------------------------------------------------------------- steps
def fold_steps(graph: nx.MultiDiGraph, repeat: int | None = None) -> nx.MultiDiGraph:
    """Each time step of each layer becomes one node, ``lstm/t3``; with ``repeat`` those in the middle are one together.

    Raises:
        ValueError: if there are no time steps.
    """
    groups = []
    for layer in _layers(graph):
        middle = _middle(layer, repeat) if repeat is not None else []
        groups += [_group(graph, layer, [step]) for step in layer.order if step not in middle]
        groups += [_group(graph, layer, middle)] if middle else []
    return contract(graph, groups)


def fold_repeats(graph: nx.MultiDiGraph, repeat: int = 2) -> nx.MultiDiGraph:
    """All steps of a layer but the first and the last few become one node, ``lstm/t2..t997``, with ``times``.

    Args:
        graph: from `trace`.
        repeat: how many steps to leave at either end. A layer of ``2 * repeat + 1`` steps or fewer is left as it is.

    Raises:
        ValueError: if repeat is negative, or there are no time steps.
    """
    middles = [(layer, _middle(layer, repeat)) for layer in _layers(graph)]
    return contract(graph, [_group(graph, layer, middle) for layer, middle in middles if middle])


def _middle(layer: Layer, repeat: int) -> list[int]:
    """All steps but so many at either end, if that makes at least two."""
    if repeat < 0:
        raise ValueError(f"fold: repeat is how many steps to leave at either end, 0 or more; got {repeat}")
    middle = layer.order[repeat:len(layer.order) - repeat]
    return middle if len(middle) > 1 else []


def _group(graph: nx.MultiDiGraph, layer: Layer, steps: list[int]) -> Group:
    """Some steps of a layer, to be one node."""
    said: dict[str, Any] = {"path": layer.path} if layer.path else {}
    if len(steps) == 1:
        said |= {"name": f"t{steps[0]}", "step": steps[0]}
    else:
        said |= {"name": f"t{steps[0]}..t{steps[-1]}", "times": len(steps), "steps": f"{steps[0]}..{steps[-1]}"}
    nodes = with_constants(graph, (v for step in steps for v in layer.steps[step].values()))
    return Group("/".join([layer.path or "step", said["name"]]), nodes, said)


def _layers(graph: nx.MultiDiGraph) -> list[Layer]:
    found = layers(graph)
    if not found:
        raise ValueError(f"fold: {no_steps(graph)}")
    return found


def with_constants(graph: nx.MultiDiGraph, nodes: Iterable[str]) -> tuple[str, ...]:
    """The nodes, and the plain numbers that only they read."""
    inside = dict.fromkeys(nodes)
    for v in list(inside):
        for u in graph.predecessors(v):
            if graph.nodes[u]["kind"] == "constant" and all(w in inside for w in graph.successors(u)):
                inside[u] = None
    return tuple(inside)


# ---------------------------------------------------------------------------------------------- modules
def fold_modules(graph: nx.MultiDiGraph, *, expand: Collection[str] = (), per_step: bool = False) -> nx.MultiDiGraph:
    """What one module made becomes one node.

    A module is known by the scope path that it worked under; the outermost are folded, but for those to be opened.

    Args:
        graph: from `trace`.
        expand: what to open: a whole path, ``"layers.0/lstm"``, or the last part of one, ``"lstm"``, wherever it is.
            Whatever a module to be opened stands in is opened too.
        per_step: one node for each module and time step.

    Raises:
        ValueError: if a name to expand is nowhere in the graph.
    """
    paths = {said["path"] for _, said in graph.nodes(data=True) if said.get("path")}
    every = {prefix for path in paths for prefix in prefixes(path)}
    for name in expand:
        if not any(_is_called(prefix, name) for prefix in every):
            raise ValueError(f"fold: no module {name!r} to expand; there are {', '.join(sorted(every)) or 'none'}")
    opened = {outer for prefix in every if any(_is_called(prefix, name) for name in expand)
              for outer in prefixes(prefix)}
    groups: dict[tuple[str, Any], list[str]] = {}
    for v, said in graph.nodes(data=True):
        if said["kind"] == "parameter":
            continue
        module = next((prefix for prefix in prefixes(said.get("path", "")) if prefix not in opened), None)
        if module is not None:
            groups.setdefault((module, said.get("step") if per_step else None), []).append(v)
    return contract(graph, [
        Group(module if step is None else f"{module}/t{step}", tuple(nodes),
              {"name": module.split("/")[-1], "path": module} | ({} if step is None else {"step": step}))
        for (module, step), nodes in groups.items()
    ])


def prefixes(path: str) -> list[str]:
    """The modules that a path goes through.

    >>> prefixes("layers.0/forwards/lstm")
    ['layers.0', 'layers.0/forwards', 'layers.0/forwards/lstm']
    """
    parts = path.split("/") if path else []
    return ["/".join(parts[:j]) for j in range(1, len(parts) + 1)]


def _is_called(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}")


# ---------------------------------------------------------------------------------------------- parameters
def parameters_per_use(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """A parameter, or leaf, that is read several times becomes a node for each time, ``W@lstm/t3/affine``.

    With a flow the gradient of each is what came back from that use; the parameter's own is their sum (as vectors).
    """
    result = graph.copy()
    for v, said in graph.nodes(data=True):
        if said["kind"] not in ("parameter", "leaf") or graph.out_degree(v) < 2 or v == graph.graph["root"]:
            continue
        own = {key: value for key, value in said.items() if key not in ("grad", "grad_norm", "gradient")}
        result.remove_node(v)
        for _, reader, k, edge in graph.out_edges(v, keys=True, data=True):
            name = f"{v}@{reader}"
            while name in result:
                name += "'"
            result.add_node(name, **own, of=v, **({"gradient": edge["message"]} if "message" in edge else {}))
            result.add_edge(name, reader, key=k, **edge)
    return in_order(result)
