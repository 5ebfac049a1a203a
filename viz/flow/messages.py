"""Gradient flow: what went along every edge in one reverse pass, and how far back in time it reached. Numbers only.

A *message* is what one consumer sends to its k-th input, and the gradient of a node is the sum of the messages it
receives. Of every message there are the norm, the root mean square (RMS) of its entries, and the balance of signs: the
share of positive minus the share of negative entries, -1..1; on request the message itself. Norms are Euclidean
(Frobenius) norms over everything in the message, the batch included. The norm of a sum is not the sum of the norms,
because messages may cancel; both are kept.

To measure costs about as much as the pass itself. To give every node its name costs more (`trace`), so that is put off
until somebody asks by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from microgradrnn.engine import Node, collector_paused
from microgradrnn.engine.backward import reverse
from microgradrnn.engine.cotangent import Scatter, repeats
from viz.errors import need
from viz.flow.drawable import Drawable
from viz.flow.horizon import Horizon, horizon
from viz.flow.norms import Norms
from viz.flow.ragged import by_own_lag, leaves_out, own_lags, row_norms, running_of
from viz.flow.reached import reached
from viz.graph.identities import identities, inside
from viz.graph.reachable import reachable
from viz.graph.root import Root, root_of
from viz.graph.steps import (
    FROZEN,
    Edge,
    Layer,
    carries,
    layer_of,
    need_alike,
    nothing_handed_on,
    once,
    recurrent,
    state_roles,
    state_symbols,
    unchanged,
)
from viz.graph.trace import attributes, norm, norms, traced
from viz.progress import progress


@dataclass(frozen=True)
class Profile:
    """The norm of the gradient at one state, step by step, the last step first.

    In a padded batch each sequence has lags of its own, counted from its own end. The norm at a lag is that of all
    sequences that have such a lag; `steps` are those of the longest.

    Attributes:
        state: the symbol of the state, ``h``.
        steps, lags: the time steps, and how far each lies before the last step.
        norms: the norm of the gradient there, ‖∂L/∂h_t‖₂.
    """

    state: str
    steps: tuple[int, ...]
    lags: tuple[int, ...]
    norms: tuple[float, ...]

    def __repr__(self) -> str:
        ends = f", norms {self.norms[0]:.3g} at lag {self.lags[0]} to {self.norms[-1]:.3g} at lag {self.lags[-1]}"
        return f"Profile({self.state}, {len(self.steps)} steps{ends if self.norms else ''})"

    def at(self, lag: int) -> float | None:
        """The norm at a lag; None if the graph does not reach that far back."""
        return dict(zip(self.lags, self.norms, strict=True)).get(lag)

    def horizon(self, fraction: float = 0.01) -> Horizon | None:
        """The largest lag at which the norm is above a fraction of its value at lag 0.

        A profile may dip below and come back: the *largest* lag counts. A lag whose norm is NaN is not above
        anything; an infinite one is. None if the norm at lag 0 is zero, NaN or infinite, so that there is no
        fraction of it. Where no smaller norm is known further back, the result is ``open``: "at least" this lag.

        >>> Profile("h", (3, 2, 1, 0), (0, 1, 2, 3), (1.0, 0.005, 0.02, 0.001)).horizon()
        2
        >>> Profile("h", (1, 0), (0, 1), (1.0, 0.5)).horizon()
        ≥ 1
        """
        return horizon(self.lags, self.norms, fraction)


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


class Sequences(NamedTuple):
    """What arrives at one state sequence by sequence: norms as in `Arrival`, (B,) each.

    And who takes the step, if the scope says so, and for whom there is a way from the loss.
    """

    total: np.ndarray
    carry: np.ndarray
    rest: np.ndarray
    running: Any = None
    reached: Any = None


@dataclass
class Passed:
    """What a reverse pass left behind, in the order in which it came, before anything has a name.

    The messages to every node that is read outside its step are kept, for `Arrival`: no copies, and only until
    they have been added up.
    """

    root: Node
    all_nodes: list[Node]  # oldest first
    same: dict[Node, Node]  # the identities among them
    edges: list[tuple[Node, int, Node]] = field(default_factory=list)  # consumer, k, input
    nodes: list[Node] = field(default_factory=list)
    leaves: dict[Node, dict[str, Any]] = field(default_factory=dict)  # as they were: training changes them
    to_states: dict[Node, list[tuple[Node, int, Any]]] = field(default_factory=dict)  # of what is the same, to that
    inside: set[Node] = field(init=False)  # what makes identities: it sends nothing of its own
    seed: tuple[Node, Any] | None = None  # where the pass began, if that is the same as a state, and with what
    arrays: dict[tuple[Node, int], Any] = field(default_factory=dict)
    gradient_arrays: dict[Node, Any] = field(default_factory=dict)
    norms: Norms = field(default_factory=Norms)
    rows: dict[Node, np.ndarray] = field(default_factory=dict)  # of padded batches: the norm of each sequence
    shown: list[int] = field(default_factory=list)  # where in the norms each message is
    arrived: list[int] = field(default_factory=list)  # and each gradient

    def __post_init__(self) -> None:
        self.inside = inside(self.same)


@dataclass(frozen=True)
class Named:
    """The same by name: the attributes of a `Flow`."""

    graph: nx.MultiDiGraph
    messages: dict[Edge, float]
    rms: dict[Edge, float]
    balances: dict[Edge, float]
    gradients: dict[str, float]
    arrivals: dict[str, Arrival]
    arrays: dict[Edge, np.ndarray]
    gradient_arrays: dict[str, np.ndarray]
    sequences: dict[str, Sequences]


class Flow(Drawable):
    """The result of `gradient_flow`.

    Attributes:
        graph: the graph model (`trace`).
        messages: for each edge ``(consumer id, k)``, the norm of what was sent along it.
        rms: for each edge, the root mean square of the message's entries: its norm over the root of their number.
        balances: for each edge, the share of positive minus the share of negative entries, -1..1.
        gradients: for each node id, the norm of the gradient that arrived. Nodes that no gradient reaches are missing.
        arrivals: every state of every step, split in carry and rest, by node id.
        arrays: for each edge that was to be kept, the message.
        gradient_arrays: for each node that a kept message goes to, the gradient.
        sequences: of a padded batch, for the states what arrives there sequence by sequence.
    """

    def __init__(self, passed: Passed) -> None:
        self._passed: Passed | None = passed

    @cached_property
    def _named(self) -> Named:
        """Everything by name; from now on the computation itself may be forgotten."""
        passed, self._passed = self._passed, None
        assert passed is not None
        with collector_paused(), unchanged():
            return named(passed)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in Named.__dataclass_fields__:
            raise AttributeError(f"Flow has no attribute {name!r}; it has {', '.join(Named.__dataclass_fields__)}")
        return getattr(self._named, name)

    def __getstate__(self) -> dict[str, Any]:
        return {"_named": self._named, "_passed": None}

    def __repr__(self) -> str:
        found = recurrent(self.graph)
        if not found:
            return f"Flow(no time steps, {len(self.messages)} edges)"
        many = f"{len(found)} layers, the last with " if len(found) > 1 else ""
        return f"Flow({many}T={len(found[-1].steps)}, states={', '.join(self.state_names()) or 'none'}, " \
               f"{len(self.messages)} edges)"

    @property
    def root(self) -> str:
        """The id of the node that was differentiated."""
        return str(self.graph.graph["root"])

    def profile(self, state: str | None = None, layer: int = -1) -> Profile:
        """The norm at a state against the time step.

        Args:
            state: a role (``"hidden"``, ``"cell"``), a symbol (``"h"``) or a node's name; by default the cell state,
                else the hidden state, or the only one.
            layer: which unrolled layer, the last by default; in a stack that is the topmost.

        Raises:
            ValueError: if the graph has no such layer or state, or its steps hand on different ones.
        """
        return once(("profile", state, layer), lambda: self._profile(state, layer), self)

    def _profile(self, state: str | None, layer: int) -> Profile:
        one = layer_of(self.graph, layer, "profile")
        name = self._name_of_state(one, state)
        need_alike(self.graph, one, name, "profile")
        ids = {step: names[name] for step, names in one.steps.items() if name in names}
        lags = {step: lag for step, lag in one.lags().items() if step in ids}
        symbol = state_symbols(self.graph, one).get(name) or self.graph.nodes[ids[next(iter(lags))]].get("symbol", name)
        if (parts := self._by_own_lag(one, name)) is not None:
            norms = [norm(row) for row in parts.total]
            return Profile(symbol, tuple(one.lags())[: len(norms)], tuple(range(len(norms))), tuple(norms))
        gradients = self.gradients
        return Profile(symbol, tuple(lags), tuple(lags.values()), tuple(gradients.get(ids[step], 0.0) for step in lags))

    def running(self, layer: Layer) -> dict[int, np.ndarray] | None:
        """Of a padded batch: which sequences take each step of a layer. None if all take all of them."""
        if not self.sequences:
            return None
        states_of = state_symbols(self.graph, layer).keys()
        arrive: dict[int, np.ndarray] = {}
        declared: dict[int, Any] = {}
        B = max(len(one.total) for one in self.sequences.values())
        for step, names in layer.steps.items():
            arrive[step] = np.zeros(B, bool)
            for node in (names[name] for name in states_of if name in names):
                if (one := self.sequences.get(node)) is not None and len(one.total) == B:
                    arrive[step] |= one.total > 0 if one.reached is None else one.reached
                    declared[step] = one.running
                elif self.gradients.get(node, 0.0):  # measured as a whole, for all of them get something
                    arrive[step] |= True
        return running_of(declared, arrive) if B else None

    def _by_own_lag(self, layer: Layer, name: str) -> Sequences | None:
        """Of a padded batch what arrives at a state, (lags, B) each; None of any other."""
        running = self.running(layer)
        if running is None:
            return None
        nothing = np.zeros(len(next(iter(running.values()))))
        rows = [self.sequences.get(names.get(name, ""), Sequences(nothing, nothing, nothing))
                for names in layer.steps.values()]
        lags = own_lags(list(running.values()))
        return Sequences(*(by_own_lag(lags, np.array([one[j] for one in rows])) for j in range(3)))

    def _name_of_state(self, layer: Layer, state: str | None) -> str:
        said = {name: self.graph.nodes[node] for name, node in layer.youngest.items()}
        symbols = state_symbols(self.graph, layer)
        roles = {name: one.get("role") for name, one in said.items()} | state_roles(self.graph, layer)
        if state is None:  # a single step hands nothing on: then marks must do
            found = [name for role in ("hidden", "cell") for name in symbols or said if roles[name] == role]
            found = found or list(symbols)
            alike = [name for name in found if roles.get(name) == roles.get(found[-1])]
            found = [name for name in alike if name in layer.steps[layer.order[-1]]] or found  # one with a lag 0
        else:
            found = [name for key in ("name", "symbol", "role") for name in said if said[name].get(key) == state]
            found += [name for name in found if name in symbols]
            found += [name for name in symbols if roles[name] == state]
            found += [name for name, symbol in symbols.items() if symbol == state]
        if not found and not symbols:
            raise ValueError(f"profile: {nothing_handed_on(layer)}")
        if not found:
            raise ValueError(f"profile: no state {state!r}; this layer hands on {', '.join(symbols.values())}")
        return found[-1]

    def state_names(self, layer: int = -1) -> list[str]:
        """The symbols (or names) of the states of a layer."""
        if not recurrent(self.graph):
            return []
        return list(state_symbols(self.graph, layer_of(self.graph, layer, "state_names")).values())

    def horizon(self, state: str | None = None, fraction: float = 0.01, layer: int = -1) -> Horizon | None:
        """`Profile.horizon` of a state, by default of the one that `profile` takes."""
        return self.profile(state, layer).horizon(fraction)

    def split(self, state: str | None = None, layer: int = -1) -> list[Arrival]:
        """For each lag, what arrives at the state: the part that was carried, and the rest. The last step first."""
        wanted = set(self.profile(state, layer).steps)
        one = layer_of(self.graph, layer, "split")
        name = self._name_of_state(one, state)
        ids = [one.steps[step][name] for step in one.lags() if step in wanted]
        if (parts := self._by_own_lag(one, name)) is not None:
            symbol = self.profile(state, layer).state
            return [Arrival(symbol, step, lag, *map(norm, rows)) for step, lag, *rows in
                    zip(one.lags(), range(len(parts.total)), *parts[:3], strict=False)]
        return [self.arrivals[node] for node in ids if node in self.arrivals]

    def records(self) -> list[dict[str, Any]]:
        """One dict for each message, ready for ``pandas.DataFrame``: where it went, its numbers, and its share.

        ``gradient`` is the norm of the sum that it became part of, ``share`` its part of the sum of norms there.
        """
        together: dict[str, float] = {}
        ends = {Edge(v, k): u for u, v, k in self.graph.edges(keys=True)}
        for edge, size in self.messages.items():
            together[ends[edge]] = together.get(ends[edge], 0.0) + size
        rows = []
        for edge, size in self.messages.items():
            source, said = ends[edge], self.graph.nodes[edge.consumer]
            rows.append({
                "from": source, "to": edge.consumer, "k": edge.k, "op": said["op"], "path": said.get("path", ""),
                "step": said.get("step"), "norm": size, "rms": self.rms[edge], "balance": self.balances[edge],
                "gradient": self.gradients[source],
                "share": size / together[source] if together[source] else math.nan,
            })
        return rows

    def check(self, tolerance: float = 1e-12) -> float:
        """How far the messages are from adding up: the largest ‖Σ messages − gradient‖ / ‖gradient‖ of all nodes.

        Raises:
            ValueError: if the messages were not kept.
            ArithmeticError: if one node is off by more than the tolerance; a hook may have changed its gradient.
        """
        sums: dict[str, Any] = {}
        for source, v, k in self.graph.edges(keys=True):
            edge = Edge(v, k)
            if edge in self.arrays:
                sums[source] = sums.get(source, 0.0) + self.arrays[edge]
            elif edge in self.messages:
                raise ValueError("check: adding up takes the messages themselves; gradient_flow(..., keep_arrays=True)")
        worst = 0.0
        for node, total in sums.items():
            gap = norm(total - self.gradient_arrays[node])
            error = gap / self.gradients[node] if gap else 0.0
            if not error <= tolerance:
                raise ArithmeticError(
                    f"check: the messages to {node} differ from its gradient by {error:.1e} of its norm, more than "
                    f"{tolerance:g}; has a hook changed it? (float32 rounds at 1e-7, infinities do not add up)"
                )
            worst = max(worst, error)
        return worst

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


Wanted = bool | Callable[[Node, int], bool]


def gradient_flow(root: Root, seed: Any = None, *, keep_arrays: Wanted = False) -> Flow:
    """Run the reverse pass from the root once and write down the size of every message. Touches no ``.grad``.

    Args:
        root: what to differentiate, a node or a loss of PyTorch; one number, unless a seed is given.
        seed: the cotangent of the root; 1 by default.
        keep_arrays: True keeps the messages themselves, in `Flow.arrays`; a function ``keep_arrays(consumer, k)`` says
            which. All of them take as much memory as the computation, and weights' messages are large.

    Returns:
        A `Flow`: norms of messages by edge, norms of gradients by node, profiles over time. The nodes get their names
        when they are first asked for; until then it keeps the computation alive.

    Raises:
        TypeError: if the root is neither.
        ValueError: if nothing that the root was made from needs a gradient.

    >>> from microgradrnn import Value
    >>> x, y = Value(3.0, label="x"), Value(4.0, label="y")
    >>> flow = gradient_flow(x * y + x)
    >>> flow.gradients["x"], flow.messages["multiply", 0], flow.messages["add", 1]
    (5.0, 4.0, 1.0)
    """
    root = root_of("gradient_flow", root, "a Value or a Tensor of microgradrnn")
    if not root.requires_grad:
        raise ValueError(f"gradient_flow: {FROZEN}")
    nodes = reachable(root)
    same = identities(nodes)
    passed = Passed(root, nodes, same)
    norms, shown, arrived = passed.norms, passed.shown, passed.arrived
    edges, to_states, arrays, show, sizes = passed.edges, passed.to_states, passed.arrays, norms.show, norms.sizes
    to_states.update({origin: [] for origin in same.values()})
    padded: set[str] = set()  # loops in which some sequence gets nothing: there each is measured by itself
    only: dict[Node, int] = {}  # where the only message to a node is, which is its gradient; -1 if there are several

    passing: Any = None  # the array that holds the consumer's gradient; a rule may hand it on as it is, as + does

    def observe(consumer: Node, k: int, x: Node, message: Any) -> None:
        edges.append((consumer, k, x))
        place = len(sizes)
        shown.append(place)
        only[x] = -1 if x in only else place
        if passing is not None and holder(message) is passing:
            norms.show_again(arrived[-1], math.prod(message.shape))
        else:
            show(message)
        if x in same:
            to_states[same[x]].append((consumer, k, message))
        elif x in to_states or (x.scope.step is not None and x.scope is not consumer.scope):
            to_states.setdefault(x, []).append((consumer, k, message))
        if keep_arrays is not False and (keep_arrays is True or keep_arrays(consumer, k)):
            arrays[consumer, k] = np.asarray(message)
            passed.gradient_arrays[x] = None

    with collector_paused():
        for node, g in progress(reverse(root, seed, observe=observe), "gradient_flow", len(nodes)):
            passed.nodes.append(node)
            scope = node.scope
            is_state = node in to_states or node.role in ("hidden", "cell")
            if scope.loop in padded or scope.running is not None or (is_state and leaves_out(g)):
                padded.add(scope.loop)
                if scope.step is not None and len(np.shape(g)) > 1:
                    passed.rows[node] = row_norms(g)
            if node is root and root in same:
                passed.seed = same[root], g
            arrived.append(len(sizes))
            place = only.pop(node, -1)
            if place < 0 or node.hooks:
                show(g)
            else:
                norms.show_again(place)
            passing = holder(g)
            if node in passed.gradient_arrays:
                passed.gradient_arrays[node] = np.asarray(g)
            if node.op is None:
                passed.leaves[node] = attributes(node)
    return Flow(passed)


def holder(message: Any) -> Any:
    """The array that holds just the entries of a message (of an ``x[t]``, its values); None if there is none."""
    values = message.values if type(message) is Scatter and not repeats(message.index) else message
    if type(values) is not np.ndarray:
        return None
    base = values if values.base is None else values.base
    return base if type(base) is np.ndarray and base.size == values.size else None


def named(passed: Passed) -> Named:
    """The graph model of a pass, and its numbers by the names of nodes."""
    graph, ids = traced(passed.root, passed.all_nodes, passed.same)
    for leaf, said in passed.leaves.items():
        graph.nodes[ids[leaf]].update(said)
    edges = [Edge(ids[consumer], k) for consumer, k, _ in passed.edges]
    columns = passed.norms.columns()
    norms, sizes, balances = (column[passed.shown] for column in columns)
    gradients = dict(zip((ids[node] for node in passed.nodes), columns[0][passed.arrived].tolist(), strict=True))
    arrivals, sequences = arrivals_of(passed, graph, ids, gradients)
    return Named(
        graph,
        dict(zip(edges, norms.tolist(), strict=True)),
        dict(zip(edges, (norms / np.sqrt(np.maximum(sizes, 1))).tolist(), strict=True)),
        dict(zip(edges, balances.tolist(), strict=True)),
        gradients,
        arrivals,
        {Edge(ids[consumer], k): array for (consumer, k), array in passed.arrays.items()},
        {ids[node]: array for node, array in passed.gradient_arrays.items()},
        sequences,
    )


def arrivals_of(
    passed: Passed, graph: nx.MultiDiGraph, ids: dict[Node, str], gradients: dict[str, float]
) -> tuple[dict[str, Arrival], dict[str, Sequences]]:
    """What arrives at every state, in two parts; of a padded batch also sequence by sequence."""
    loops = recurrent(graph)
    carried = set().union(*(carries(graph, layer) for layer in loops))
    watched: dict[str, tuple[str, int, int]] = {}  # symbol, step and lag of each state
    for layer in loops:
        symbols, lag_of = state_symbols(graph, layer), layer.lags()
        watched |= {names[name]: (symbol, step, lag_of[step]) for step, names in layer.steps.items()
                    for name, symbol in symbols.items() if name in names}
    found, sequences = {}, {}
    ways_to = reached(passed.root) if any(node.scope.running is None for node in passed.rows) else {}
    states = [node for node in passed.nodes if ids[node] in watched]
    for start in range(0, len(states), TOGETHER):
        some = states[start:start + TOGETHER]
        parts = [parts_of(passed, node, ids, carried, gradients[ids[node]]) for node in some]
        sizes = norms([part for both in parts for part in both])
        for node, both, carry, rest in zip(some, parts, sizes[::2], sizes[1::2], strict=True):
            name = ids[node]
            symbol, step, lag = watched[name]
            found[name] = Arrival(symbol, step, lag, gradients[name], carry, rest)
            if node in passed.rows:
                rows = passed.rows[node]
                carries_of, rests = (row_norms(part) if np.ndim(part) else np.zeros(len(rows)) for part in both)
                sequences[name] = Sequences(rows, carries_of, rests, node.scope.running, ways_to.get(node))
    return found, sequences


TOGETHER = 100  # states whose parts are measured together: enough for NumPy, and little to keep


def parts_of(passed: Passed, node: Node, ids: dict[Node, str], carried: set[Edge], size: float) -> tuple[Any, Any]:
    """What is carried to a state, and the rest: sums of messages. The whole has this norm."""
    carry: Any = 0.0
    rest: Any = np.asarray(passed.seed[1]) if passed.seed is not None and passed.seed[0] is node else 0.0
    if node not in passed.to_states:  # nothing outside its step reads it
        return carry, size
    for consumer, k, message in passed.to_states[node]:
        if consumer in passed.inside:
            continue
        if (ids[consumer], k) in carried:
            carry = carry + np.asarray(message)
        else:
            rest = rest + np.asarray(message)
    return carry, rest


def need_flows(flows: Any, who: str) -> None:
    """Check that these are flows by name.

    Raises:
        TypeError: if they are not.
    """
    if not isinstance(flows, Mapping):
        raise TypeError(f"{who}: flows is a dict from the name of each net to its gradient_flow, "
                        f"{{'lstm': viz.gradient_flow(loss), ...}}; got {type(flows).__name__}")
    for name, flow in flows.items():
        if not isinstance(flow, Flow):
            raise TypeError(f"{who}: {name!r} is a {type(flow).__name__}; give its flow, viz.gradient_flow(loss)")


def profiles(flow: Flow, layer: int = -1) -> list[Profile]:
    """The profile of every state of a layer, the cell state first if there is one.

    Raises:
        TypeError: if this is no flow.
        ValueError: if there are no time steps, or no such layer.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> from viz.flow.messages import gradient_flow
    >>> [(profile.state, len(profile.norms)) for profile in profiles(gradient_flow(hs[-1].sum()))]
    [('h', 6)]
    """
    need("profiles", flow, Flow, "what viz.gradient_flow(loss) returns")
    names = flow.state_names(layer)
    roles = {said.get("symbol"): said.get("role") for _, said in flow.graph.nodes(data=True)}
    return [flow.profile(name, layer) for name in sorted(names, key=lambda name: roles.get(name) != "cell")]
