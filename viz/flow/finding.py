"""What a flow shows, in one sentence: the title of its pictures."""

from __future__ import annotations

import math

import networkx as nx

from viz.flow.messages import Flow, profiles
from viz.graph.steps import layers, recurrent
from viz.numbers import short


def finding(flow: Flow, net: str = "") -> str:
    """How much of the gradient is left at the first step of the last layer, of what there is at the last.

    Args:
        flow: from `gradient_flow`.
        net: what the net is called; by default the name of its last layer.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> from viz.flow.messages import gradient_flow
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((9, 1, 3)))
    >>> finding(gradient_flow(h.sum()), "the RNN")
    'The RNN keeps 1.3·10⁻⁵ of its gradient over 8 steps'
    """
    found = recurrent(flow.graph)
    net = net or (name_of(flow.graph) if found else result(flow.graph))
    profile = next(iter(profiles(flow, -1)), None) if found else None
    if profile is None or not profile.lags:
        return capital(largest(flow, net))
    start, lag = profile.at(0), max(profile.lags)
    end = profile.at(lag)
    if start is not None and start > 0 and lag == 0:
        return capital(f"{net} has a single step: the gradient has no way back to go")
    if start is None or end is None or not math.isfinite(start):
        return capital(f"{net}: no finite gradient starts at the last step")
    if start == 0:
        first = next((j for j, g in zip(profile.lags, profile.norms, strict=True) if g), None)
        return capital(f"{net}: no gradient arrives at {profile.state}" if first is None else
                       f"{net}: the gradient first arrives {first} step{'s' * (first > 1)} before the end")
    steps = f"over {lag} step{'s' * (lag > 1)}"
    if not math.isfinite(end):
        return capital(f"the gradient of {net} is no longer finite after {lag} step{'s' * (lag > 1)} back")
    return capital(f"{net} {kept(end / start)} {steps}")


def largest(flow: Flow, net: str) -> str:
    """Of a graph without a loop: which of all that is given has the largest gradient.

    >>> from microgradrnn import Value
    >>> from viz.flow.messages import gradient_flow
    >>> y = Value(2.0, label="a") * Value(3.0, label="b")
    >>> largest(gradient_flow(y), "y")
    'Of all that y is computed from, a has the largest gradient: 3'
    """
    given = [node for node in flow.graph if not flow.graph.in_degree(node) and flow.gradients.get(node)]
    if not given:
        return f"no gradient arrives at anything that {net} is computed from"
    node = max(given, key=lambda node: flow.gradients[node])
    name = flow.graph.nodes[node].get("symbol") or flow.graph.nodes[node]["name"]
    return f"Of all that {net} is computed from, {name} has the largest gradient: {short(flow.gradients[node])}"


def result(graph: nx.MultiDiGraph) -> str:
    """What the result of a graph is called."""
    said = graph.nodes[graph.graph["root"]]
    return str(said.get("symbol") or f"the {said.get('op', said['name'])}")


def kept(share: float) -> str:
    """What happened to the gradient.

    >>> kept(0.019), kept(1.0), kept(250.0), kept(3e-24), kept(0.0)
    ('keeps 1.9 % of its gradient', 'keeps all of its gradient', 'multiplies its gradient by 250', \
'keeps 3.0·10⁻²⁴ of its gradient', 'keeps exactly nothing of its gradient')
    """
    if share == 0:
        return "keeps exactly nothing of its gradient"
    if share >= 1.05:
        return f"multiplies its gradient by {short(share)}"
    if share > 0.995:
        return "keeps all of its gradient"
    return f"keeps {f'{100 * share:.2g} %' if share >= 1e-4 else short(share)} of its gradient"


def structure(graph: nx.MultiDiGraph, net: str = "") -> str:
    """What a graph without a flow is, in one sentence.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> from viz.graph.trace import trace
    >>> structure(trace(nn.RNN(3, 4, rng=0)(np.ones((9, 1, 3)))[1].sum()))
    'rnn: the same cell at 9 steps'
    """
    net, found = net or name_of(graph), layers(graph)
    if not found:
        return f"{net}: {graph.number_of_nodes()} nodes, none of them in a time step"
    steps = {len(layer.steps) for layer in found}
    cells = "the same cell" if len(found) == 1 else f"{len(found)} layers, each the same cell"
    if steps == {1}:
        return f"{net}: a single step"
    return f"{net}: {cells} at {' or '.join(map(str, sorted(steps)))} steps"


def name_of(graph: nx.MultiDiGraph) -> str:
    """What a net is called that has no other name: the last part of its last layer's path."""
    found = layers(graph)
    ends = dict.fromkeys(layer.path.split("/")[-1] for layer in found)
    return " and ".join(filter(None, list(ends)[:3])) or "the net"


def capital(words: str) -> str:
    """The sentence with a capital letter; names that are not English words keep theirs."""
    return words[:1].upper() + words[1:] if words.startswith(("the ", "a ", "an ")) else words
