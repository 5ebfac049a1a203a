"""One layer of a traced net, step by step: its states and its pre-activations as the engine's own nodes.

The graph model holds names and numbers only; what is differentiated has to be the nodes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from microgradrnn.engine import Node
from viz.graph.identities import without_identities
from viz.graph.steps import Layer, no_steps, recurrent, state_roles, state_symbols
from viz.graph.trace import traced

STATES = ("hidden", "cell", "output")  # roles, in the order in which states are listed


@dataclass(frozen=True)
class Timeline:
    """The steps of one layer, in the order in which the loop took them.

    Attributes:
        graph, ids: the graph model, and the id of each node.
        nodes: the node of each id.
        layer: the layer.
        symbols: for each state's name in the layer, what to call it: the hidden state first, then the cell state.
    """

    graph: nx.MultiDiGraph
    ids: dict[Node, str]
    nodes: dict[str, Node]
    layer: Layer
    symbols: dict[str, str]

    @property
    def steps(self) -> list[int]:
        """The time steps, in the order of the loop."""
        return self.layer.order

    def at(self, step: int, name: str) -> Node | None:
        """The node of that name at a step."""
        return self.nodes.get(self.layer.steps[step].get(name, ""))

    def states(self, step: int) -> list[Node]:
        """The states after a step."""
        found = [self.at(step, name) for name in self.symbols]
        return [node for node in found if node is not None]

    def first_states(self) -> list[Node] | None:
        """The states before the first step, if they are nodes that take a gradient; plain arrays are not."""
        if len(self.steps) < 2:
            return None
        first, second = self.steps[:2]
        found = []
        for name in self.symbols:
            state = self.layer.steps[first].get(name)
            before = None
            for _, consumer, k in self.graph.out_edges(state, keys=True) if state else ():
                twin = next((key for key, node in self.layer.steps[second].items() if node == consumer), None)
                if twin is not None and (same := self.at(first, twin)) is not None:
                    before = same.inputs[k]
            if before is None or not before.requires_grad:
                return None
            found.append(before)
        return found or None

    def name_of(self, at: str) -> str:
        """The name, in the layer, of what has this symbol, role or name."""
        said = {name: self.graph.nodes[node] for name, node in self.layer.youngest.items()}
        for name, symbol in self.symbols.items():
            if symbol == at:
                return name
        for name, role in state_roles(self.graph, self.layer).items():
            if role == at:
                return name
        for key in ("symbol", "name", "role"):
            found = [name for name in said if said[name].get(key) == at]
            if found:
                return found[-1]
        known = dict.fromkeys(str(one.get("symbol", name)) for name, one in said.items() if one["kind"] == "computed")
        raise ValueError(f"no {at!r} in the steps of this layer; there is {', '.join(known) or 'nothing'}")


def timeline(root: Node, layer: int = -1, who: str = "timeline") -> Timeline:
    """The steps of one unrolled layer.

    Args:
        root: what the steps lead to.
        layer: which unrolled layer, the last by default.
        who: what an error is to begin with.

    Raises:
        ValueError: if nothing was made inside a time step, or there is no such layer.
    """
    root, _ = without_identities(root)
    return timeline_of(*traced(root), layer, who)


def timeline_of(graph: nx.MultiDiGraph, ids: dict[Node, str], layer: int = -1, who: str = "timeline") -> Timeline:
    """The same of a graph that is traced already, without identities: see `timeline`."""
    found = recurrent(graph)
    if not found:
        raise ValueError(f"{who}: {no_steps(graph)}")
    if len({step for one in found for step in one.steps}) == 1:  # one step hands nothing on: marks must do
        found = [one for one in found if _marked(graph, one)] or found
    if not -len(found) <= layer < len(found):
        raise ValueError(f"{who}, layer {layer}: this graph has {len(found)}, numbered 0 to {len(found) - 1}")
    one = found[layer]
    symbols = state_symbols(graph, one) or _marked(graph, one)
    roles = {name: graph.nodes[one.youngest[name]].get("role") for name in symbols} | state_roles(graph, one)
    order = sorted(symbols, key=lambda name: STATES.index(roles[name]) if roles[name] in STATES else len(STATES))
    return Timeline(graph, ids, {name: node for node, name in ids.items()}, one,
                    {name: symbols[name] for name in order})


def _marked(graph: nx.MultiDiGraph, layer: Layer) -> dict[str, str]:
    """What is marked as a hidden or a cell state at the last step."""
    said = {name: graph.nodes[node] for name, node in layer.steps[layer.last].items()}
    return {name: one.get("symbol", name) for name, one in said.items() if one.get("role") in ("hidden", "cell")}
