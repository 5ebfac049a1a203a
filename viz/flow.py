"""Gradient flow: how much of the gradient went along every edge, and how far back in time it reached. Numbers only.

One reverse pass, observed: a *message* is what one consumer sends to its k-th input, and the gradient of a node is the
sum of the messages it receives. Norms are Euclidean (Frobenius) norms over everything in the message, the batch
included. The norm of a sum is not the sum of the norms, because messages may cancel; both are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.backward import reverse
from microgradrnn.engine.cotangent import Deferred, Product, Scatter, repeats
from viz.steps import Edge, Layer, carries, layers, state_symbols
from viz.trace import norm, traced

NO_STEPS = "this graph has no time steps: wrap each step of your loop in `with scope(step=t):`, or use nn.unroll"


@dataclass(frozen=True)
class Profile:
    """The norm of the gradient at one state, step by step, the last step first.

    Attributes:
        state: the symbol of the state, ``h``.
        steps, lags: the time steps, and how far each lies before the last step.
        norms: the norm of the gradient there, ‖∂L/∂h_t‖₂.
    """

    state: str
    steps: tuple[int, ...]
    lags: tuple[int, ...]
    norms: tuple[float, ...]

    def at(self, lag: int) -> float | None:
        """The norm at a lag; None if the graph does not reach that far back."""
        return dict(zip(self.lags, self.norms, strict=True)).get(lag)

    def horizon(self, fraction: float = 0.01) -> int | None:
        """The largest lag at which the norm is above a fraction of its value at lag 0.

        A profile may dip below and come back: the *largest* lag counts. A lag whose norm is NaN is not above
        anything; an infinite one is. None if the norm at lag 0 is zero, NaN or infinite, so that there is no
        fraction of it. If the result is the largest lag there is, the true horizon may lie further back.

        >>> Profile("h", (3, 2, 1, 0), (0, 1, 2, 3), (1.0, 0.005, 0.02, 0.001)).horizon()
        2
        """
        if not 0 < fraction < 1:
            raise ValueError(f"horizon: fraction must lie between 0 and 1, got {fraction!r}")
        start = self.at(0)
        if start is None or start == 0 or not math.isfinite(start):
            return None
        return max(lag for lag, size in zip(self.lags, self.norms, strict=True) if size > fraction * start)


@dataclass(frozen=True)
class Arrival:
    """What arrives at one state, split in two: norms of ∂L/∂(state) and of its two parts, which add up as vectors.

    Attributes:
        state, step, lag: which state, and when.
        total: the norm of the gradient.
        carry: of the part that comes from the next step's state through products and sums alone (LSTM: f ⊙ ∂c).
        rest: of everything else: through gates, candidates and matrices, and straight from the loss.
    """

    state: str
    step: int
    lag: int
    total: float
    carry: float
    rest: float


@dataclass(frozen=True)
class Flow:
    """The result of `gradient_flow`.

    Attributes:
        graph: the graph model (`trace`).
        messages: for each edge ``(consumer id, k)``, the norm of what was sent along it.
        gradients: for each node id, the norm of the gradient that arrived. Nodes that no gradient reaches are missing.
        arrivals: every state of every step, split in carry and rest, by node id.
    """

    graph: nx.MultiDiGraph
    messages: dict[Edge, float]
    gradients: dict[str, float]
    arrivals: dict[str, Arrival]

    def __repr__(self) -> str:
        found = layers(self.graph)
        if not found:
            return f"Flow(no time steps, {len(self.messages)} edges)"
        return f"Flow(T={len(found[-1].steps)}, states={', '.join(self.state_names()) or 'none'}, " \
               f"{len(self.messages)} edges)"

    @property
    def root(self) -> str:
        """The id of the node that was differentiated."""
        return str(self.graph.graph["root"])

    def profile(self, state: str | None = None, layer: int = -1) -> Profile:
        """The norm at a state against the time step.

        Args:
            state: a role (``"hidden"``, ``"cell"``), a symbol (``"h"``) or a node's name; by default the hidden
                state, or the only one.
            layer: which unrolled layer, the last by default.

        Raises:
            ValueError: if the graph has no such state.
        """
        found = layers(self.graph)
        if not found:
            raise ValueError(f"profile: {NO_STEPS}")
        one = found[layer]
        name = self._name_of_state(one, state)
        ids = {step: names[name] for step, names in one.steps.items() if name in names}
        end = one.last
        steps = sorted(ids, key=lambda step: abs(end - step))
        return Profile(
            state_symbols(self.graph, one).get(name) or self.graph.nodes[ids[steps[0]]].get("symbol", name),
            tuple(steps),
            tuple(abs(end - step) for step in steps),
            tuple(self.gradients.get(ids[step], 0.0) for step in steps),
        )

    def _name_of_state(self, layer: Layer, state: str | None) -> str:
        said = {name: self.graph.nodes[node] for name, node in layer.steps[layer.last].items()}
        for key in ("role", "symbol", "name"):
            found = [name for name in said if said[name].get(key) == (state or "hidden")]
            if found:
                return found[-1]
        symbols = state_symbols(self.graph, layer)
        named = [name for name, symbol in symbols.items() if state is None or symbol == state]
        if named:
            return named[-1]
        raise ValueError(f"profile: no state {state!r}; this layer hands on {', '.join(symbols.values()) or 'nothing'}")

    def state_names(self, layer: int = -1) -> list[str]:
        """The symbols (or names) of the states of a layer."""
        found = layers(self.graph)
        if not found:
            return []
        return list(state_symbols(self.graph, found[layer]).values())

    def horizon(self, state: str | None = None, fraction: float = 0.01) -> int | None:
        """`Profile.horizon` of a state."""
        return self.profile(state).horizon(fraction)

    def split(self, state: str | None = None, layer: int = -1) -> list[Arrival]:
        """For each step, what arrives at the state: the part that was carried, and the rest. The last step first."""
        wanted = set(self.profile(state, layer).steps)
        one = layers(self.graph)[layer]
        name = self._name_of_state(one, state)
        ids = [one.steps[step][name] for step in sorted(wanted, key=lambda step: abs(one.last - step))]
        return [self.arrivals[node] for node in ids if node in self.arrivals]

    def to_dict(self) -> dict[str, Any]:
        """Every number, ready for JSON: edges, nodes, and the split at the states. NaN and infinities as strings."""
        return {
            "root": self.root,
            "norm": "Euclidean (Frobenius), over the batch too",
            "edges": [
                {"from": u, "to": v, "k": k, "message": number(self.messages[Edge(v, k)])}
                for u, v, k in self.graph.edges(keys=True) if Edge(v, k) in self.messages
            ],
            "nodes": [{"id": node, "gradient": number(size)} for node, size in self.gradients.items()],
            "states": [
                {"id": node, "state": a.state, "step": a.step, "lag": a.lag, "gradient": number(a.total),
                 "carry": number(a.carry), "rest": number(a.rest)}
                for node, a in self.arrivals.items()
            ],
        }


def number(x: float) -> float | str:
    """x as JSON can hold it."""
    return x if math.isfinite(x) else str(x)


def gradient_flow(root: Node, seed: Any = None) -> Flow:
    """Run the reverse pass from the root once and write down the size of every message. Touches no ``.grad``.

    Args:
        root: what to differentiate; one number, unless a seed is given.
        seed: the cotangent of the root; 1 by default.

    Returns:
        A `Flow`: norms of messages by edge, norms of gradients by node, profiles over time.

    >>> from microgradrnn import Value
    >>> x, y = Value(3.0, label="x"), Value(4.0, label="y")
    >>> flow = gradient_flow(x * y + x)
    >>> flow.gradients["x"], flow.messages["multiply", 0], flow.messages["add", 1]
    (5.0, 4.0, 1.0)
    """
    graph, ids = traced(root)
    recurrent = layers(graph)
    carried = set().union(*(carries(graph, layer) for layer in recurrent))
    watched: dict[str, tuple[Layer, str]] = {}
    for layer in recurrent:
        symbols = state_symbols(graph, layer)
        watched |= {ids[name]: (layer, symbol) for ids in layer.steps.values() for name, symbol in symbols.items()
                    if name in ids}
    messages: dict[Edge, float] = {}
    gradients: dict[str, float] = {}
    parts: dict[tuple[str, bool], Any] = {}
    arrivals: dict[str, Arrival] = {}

    def observe(consumer: Node, k: int, x: Node, message: Any) -> None:
        edge, node = Edge(ids[consumer], k), ids[x]
        messages[edge] = size_of(message)
        if node in watched:
            part = (node, edge in carried)
            dense = np.asarray(message)
            parts[part] = parts[part] + dense if part in parts else dense

    for node, g in reverse(root, seed, observe=observe):
        name = ids[node]
        gradients[name] = norm(g)
        if name in watched:
            carry, rest = (norm(parts.pop((name, way), 0.0)) for way in (True, False))
            layer, symbol = watched[name]
            step = graph.nodes[name]["step"]
            arrivals[name] = Arrival(symbol, step, abs(layer.last - step), gradients[name], carry, rest)
    return Flow(graph, messages, gradients, arrivals)


def size_of(message: Any) -> float:
    """The Euclidean norm of a message, without building what the engine put off.

    ``‖aᵀg‖² = Σ (a aᵀ) ⊙ (g gᵀ)``, which is small if there are fewer rows than columns.
    """
    if isinstance(message, Product) and len(message.a) == 1:
        a, g = (np.asarray(x, dtype=np.float64) for x in (message.a[0], message.g[0]))
        if len(a) == 1:
            return norm(a) * norm(g)
        if len(a) < min(a.shape[1], g.shape[1]) and norm(a) > 1e-60 and norm(g) > 1e-60:
            return math.sqrt(max(float(np.sum((a @ a.T) * (g @ g.T))), 0.0))
    if isinstance(message, Scatter) and not repeats(message.index):
        return norm(message.values)
    return norm(message.dense() if isinstance(message, Deferred) else message)


def profiles(flow: Flow, layer: int = -1) -> Iterator[Profile]:
    """The profile of every state of a layer, the cell state first if there is one."""
    names = flow.state_names(layer)
    roles = {said.get("symbol"): said.get("role") for _, said in flow.graph.nodes(data=True)}
    for name in sorted(names, key=lambda name: roles.get(name) != "cell"):
        yield flow.profile(name, layer)
