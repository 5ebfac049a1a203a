"""Ways through a cell: the gradient that arrives at a state, split by how it got there. The parts add up exactly.

Walk from the loss backwards. Once a path has come to a state of the layer it may stay on the *carry*: c_t to c_{t-1}
through the product with f in an LSTM, h_t to h_{t-1} through the product with z in a GRU, nothing but products and
sums. Or it leaves the carry, through a gate or a candidate, and comes to the step before by a *way*. Every step back
is one such passage; which passages a path made decides its class:

=============  ========================================================================================
``"first"``    the way by which it left the carry for the first time, or ``carry`` if it never did
``"last"``     how it came in its last step back, from t to t - 1; ``straight`` if it made none
``"set"``      all ways it used: ``carry``, ``f``, ``f+o``, ...
``"number"``   how many times it left the carry: ``0``, ``1``, ``2``, ``3+``
=============  ========================================================================================

A way is called after the gate or candidate that read the earlier state: of those that a passage goes through, the last
one (in a GRU a path to h_{t-1} through n and then r has the way r). Where nothing is marked, after the function or the
product: ``tanh`` is the only way of the simple net. docs/ways.md works an example by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.backward import reverse
from microgradrnn.engine.node import plain
from viz.flow.drawable import Drawable
from viz.flow.messages import Flow
from viz.flow.path_classes import split_reverse
from viz.flow.ragged import arrives, by_own_lag, leaves_out, own_lags, running_of
from viz.flow.reached import reached
from viz.graph.identities import without_identities
from viz.graph.root import Root, root_of
from viz.graph.steps import (
    Layer,
    is_linear,
    layer_of,
    need_alike,
    nothing_handed_on,
    state_roles,
    state_symbols,
    states,
)
from viz.graph.trace import norm, traced
from viz.progress import progress

PRODUCTS = {"matmul", "matmul_transposed", "affine", "einsum"}
CARRY, STRAIGHT = "carry", "straight"

Classify = Callable[[Node, int], str | None]


class Label(NamedTuple):
    """What an edge says about the way: a name, and how strongly it says so."""

    name: str
    strength: int


OTHER, FUNCTION, MARKED = range(3)


class State(NamedTuple):
    """What is remembered of a path: a digest of its passages so far, and the way it is on just now, if any.

    A path that has not come to the layer yet has None instead.
    """

    past: Hashable
    now: Label | None = None


class Rule(NamedTuple):
    """How passages make a class: where to start, how to add one (a way, or None for the carry), what to call it."""

    start: Hashable
    add: Callable[[Any, str | None], Hashable]
    name: Callable[[Any, list[str]], str]
    done: Callable[[Any], bool] = lambda past: False  # can nothing change the digest any more?


RULES: dict[str, Rule] = {
    "first": Rule(
        None, lambda past, way: past or way, lambda past, ways: past or CARRY, lambda past: past is not None
    ),
    "last": Rule(STRAIGHT, lambda past, way: way or CARRY, lambda past, ways: past),
    "set": Rule(
        frozenset(),
        lambda past, way: past if way is None else past | {way},
        lambda past, ways: "+".join(way for way in ways if way in past) or CARRY,
    ),
    "number": Rule(
        0, lambda past, way: min(past + (way is not None), 3), lambda past, ways: "3+" if past == 3 else str(past),
        lambda past: past == 3,
    ),
}


@dataclass(frozen=True)
class Ways(Drawable):
    """The gradient at one state, step by step, the last step first, and its parts.

    In a padded batch each sequence has lags of its own, counted from its own end, and `steps` are those of the longest.

    Attributes:
        state, by: which state, and what decides the class of a path.
        steps, lags: the time steps, and how far each lies before the last step of the layer.
        gated: is there a carry, so that a path can make a step back without a way? (What ``carry`` means in a net
            without one is a path that made no step back yet.)
        initial: does the last row belong to the initial state (h_0, c_0), labelled as the step before the first?
        parts: for each class the arrays, ``(number of steps, *shape of the state)``.
        whole: the gradient itself, of the same shape, from a pass of its own; the parts add up to it.
        norms: for each class the Euclidean norm at each step, over the whole batch.
        colours: for each class the symbol and the role by which a picture colours it.
    """

    state: str
    by: str
    steps: tuple[int, ...]
    lags: tuple[int, ...]
    parts: dict[str, np.ndarray]
    whole: np.ndarray
    norms: dict[str, np.ndarray] = field(init=False)
    colours: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    gated: bool = True
    initial: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "norms", {name: sizes(part) for name, part in self.parts.items()})

    def __repr__(self) -> str:
        return f"Ways(∂L/∂{self.state}, {len(self.steps)} steps, by {self.by}: {', '.join(self.parts) or 'nothing'})"

    @property
    def whole_norms(self) -> np.ndarray:
        """The norm of the gradient at each step: the norm of the sum."""
        return sizes(self.whole)

    @property
    def sum_of_norms(self) -> np.ndarray:
        """The sum of the parts' norms at each step. Where it is larger than the norm of the sum, parts cancel."""
        return sum(self.norms.values(), np.zeros(len(self.steps)))

    def shares(self, name: str) -> np.ndarray:
        """A class's share of the sum of norms at each step; NaN where nothing arrives."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.norms[name] / self.sum_of_norms)

    def check(self, tolerance: float = 1e-10) -> float:
        """How far the parts are from adding up: the largest ‖Σ parts − whole‖ / ‖whole‖ of all steps.

        Raises:
            ArithmeticError: if that is above the tolerance, or the gradient is not finite, so that nothing adds up.
        """
        wrong = [step for step, size in zip(self.steps, self.whole_norms, strict=True) if not math.isfinite(size)]
        if wrong:
            raise ArithmeticError(
                f"ways: ∂L/∂{self.state} is not finite at step {wrong[0]}, so there is no sum to compare; "
                "detect_anomaly() finds where the first NaN or infinity is made"
            )
        gap = sizes(sum(self.parts.values(), np.zeros_like(self.whole)) - self.whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = float(np.max(np.where(gap == 0, 0, gap / self.whole_norms), initial=0.0))
        if not error <= tolerance:
            raise ArithmeticError(
                f"ways: the parts of ∂L/∂{self.state} miss the whole by {error:.1e} of its norm, more than "
                f"{tolerance:g}; in float32 that is rounding, with float64 please report it"
            )
        return error

    def records(self) -> list[dict[str, Any]]:
        """One dict for each step and class, ready for ``pandas.DataFrame``."""
        whole, together = self.whole_norms, self.sum_of_norms
        return [
            {"state": self.state, "step": step, "lag": lag, "by": self.by, "class": name,
             "norm": float(norms[j]), "share": float(norms[j] / together[j]) if together[j] else math.nan,
             "whole": float(whole[j])}
            for j, (step, lag) in enumerate(zip(self.steps, self.lags, strict=True))
            for name, norms in self.norms.items()
        ]


def ways(
    root: Root, state: str | None = None, *, by: str = "first", layer: int = -1, classify: Classify | None = None,
    seed: Any = None,
) -> Ways:  # fmt: skip
    """Split the gradient that arrives at a state by the ways it came, at every step.

    An initial state that takes a gradient (h_0, c_0 as Tensors, or what an encoder ended with) is the oldest row. A
    net of one step has no such row: nothing there tells an initial state from an input.

    Args:
        root: the loss, of this library or of PyTorch; or any node, with a seed: ``ways(c_T, "c", seed=v)`` splits the
            product of v with ∂c_T/∂c_t.
        state: its symbol (``"c"``, ``"h"``) or role (``"cell"``); by default the cell state if there is one, else the
            hidden state, or the only one.
        by: what decides the class of a path, ``"first"``, ``"last"``, ``"set"`` or ``"number"``; see above. With
            ``"last"`` the parts say what comes to a state of step t - 1 from the states of step t. The class
            ``straight`` then takes no step back: it comes from the loss of that step itself, or from the layer above.
            What comes to c_{t-1} by a gate comes to h_{t-1} first, and from there through tanh.
        layer: which unrolled layer, the last by default. Ways through other layers, between the loss and this one, are
            not told apart.
        classify: ``classify(consumer, k)`` names the way that an edge belongs to, or says None. By default the symbol
            of a gate or candidate.
        seed: the cotangent of the root; 1 by default.

    Returns:
        A `Ways`.

    Raises:
        TypeError: if root is none of these.
        ValueError: if the graph has no time steps or no such state, or ``by`` is something else.

    >>> from microgradrnn import nn
    >>> hs, (h, c) = nn.LSTM(3, 5, rng=0)(np.ones((7, 2, 3)))
    >>> found = ways(h.sum())
    >>> found
    Ways(∂L/∂c, 7 steps, by first: carry, i, f, g, o)
    >>> found.parts["f"].shape, found.lags
    ((7, 2, 5), (0, 1, 2, 3, 4, 5, 6))
    >>> found.check() < 1e-14
    True
    >>> hs, _ = nn.GRU(3, 5, rng=0)(np.ones((7, 2, 3)))
    >>> ways(hs.sum(), by="last")
    Ways(∂L/∂h, 7 steps, by last: straight, carry, r, z, n)
    """
    if by not in RULES:
        raise ValueError(f"ways: by is one of {', '.join(map(repr, RULES))}, got {by!r}")
    if isinstance(root, Flow):
        raise TypeError("ways: a Flow keeps norms, not the derivatives that ways are made of: give the loss. What "
                        "came by the carry and what did not, flow.split() tells (of PyTorch's graphs too)")
    found = split(root, state, RULES[by], layer, classify, seed)
    return Ways(found.symbol, by, found.steps, found.lags, named(found, RULES[by]), found.whole,
                colours=found.reader.colours(), gated=found.reader.carries, initial=found.initial)


class Split(NamedTuple):
    """The gradient at one state, step by step, the last step first, split by what its paths remember.

    Attributes:
        symbol: what the state is called.
        steps, lags, whole, initial: as in `Ways`.
        parts: for each digest of the past, the part of the paths that have it.
        reader: what read the paths; it knows the ways.
    """

    symbol: str
    steps: tuple[int, ...]
    lags: tuple[int, ...]
    parts: dict[Hashable, np.ndarray]
    whole: np.ndarray
    reader: Reader
    initial: bool


def split(
    root: Root, state: str | None, rule: Rule, layer: int = -1, classify: Classify | None = None, seed: Any = None
) -> Split:
    """One reverse pass that keeps apart what the rule tells apart. The arguments are those of `ways`."""
    root, _ = without_identities(root_of("ways", root, "a loss, a Value or a Tensor"))
    graph, ids = traced(root)
    one = layer_of(graph, layer, "ways")
    symbol, at = steps_of(graph, one, state)
    nodes = {name: node for node, name in ids.items()}
    begun = {name: nodes[start] for name, start in initial(graph, one).items() if nodes[start].requires_grad}
    targets = [nodes[name] for name in at.values()]
    name = next(name for name, node in one.steps[next(iter(at))].items() if node in at.values())
    from_start = name in begun and np.shape(begun[name].data) == np.shape(targets[-1].data)
    if from_start:
        at[one.order[0] + (1 if one.last < one.order[0] else -1)] = ids[begun[name]]
        targets.append(begun[name])
    place = {name: j for j, name in enumerate(one.steps[one.last])}
    reader = Reader(
        rule,
        {nodes[name]: step for step, names in one.steps.items() for name in names.values()},
        {nodes[name] for name in anchors(graph, one)} | set(begun.values()),
        classify,
        {nodes[node]: place.get(name, len(place)) for names in one.steps.values() for name, node in names.items()},
    )
    wanted = set(targets)
    passing = split_reverse(root, reader.start(root), reader, targets, seed)
    parts = {node: part for node, part in progress(passing, "ways", len(ids)) if node in wanted}
    all_states = held(graph, one)
    every_state = {nodes[name]: step for name, step in one.step_of().items() if name in all_states}
    whole = {node: g for node, g in reverse(root, seed, targets=[*targets, *every_state])
             if node in wanted or node in every_state}
    known = one.lags()
    lags = tuple(known.get(step, len(known)) for step in at)
    apart, together = by_past(parts, targets), np.array([whole.get(x, zeros(x)) for x in targets])
    if (running := taking(root, every_state, whole, one.order)) is not None:
        everyone = np.ones(len(together[0]), bool)  # the initial state is there for all
        own = own_lags([running.get(step, everyone) for step in reversed(at)])
        apart = {past: by_own_lag(own, part[::-1]) for past, part in apart.items()}
        together = by_own_lag(own, together[::-1])
        lags = tuple(range(len(together)))
    return Split(symbol, tuple(at)[: len(together)], lags, apart, together, reader, from_start)


def by_past(parts: dict[Node, dict[Any, Any]], targets: list[Node]) -> dict[Hashable, np.ndarray]:
    """For each digest of the past its part at each target, stacked."""
    nothing = np.zeros((len(targets), *np.shape(targets[0].data)), np.asarray(targets[0].data).dtype)
    summed: dict[Hashable, np.ndarray] = {}
    for j, x in enumerate(targets):
        for state, g in parts.get(x, {}).items():
            if state.past not in summed:
                summed[state.past] = nothing.copy()
            summed[state.past][j] += g
    return summed


def named(found: Split, rule: Rule) -> dict[str, np.ndarray]:
    """For each class its part, under its name; the carry first, then as the cell was made."""
    order = found.reader.order()
    summed: dict[str, np.ndarray] = {}
    for past, part in found.parts.items():
        name = rule.name(past, order)
        summed[name] = summed[name] + part if name in summed else part
    place = {name: j for j, name in enumerate([STRAIGHT, CARRY, *order])}
    known = sorted(summed, key=lambda name: (name.count("+"), [place.get(w, -1) for w in name.split("+")], name))
    return {name: summed[name] for name in known}


def label_of(consumer: Node, k: int) -> Label | None:
    """The way that an edge within a step belongs to, as marks and operations say; None on the carry."""
    op = consumer.op.name
    if consumer.role in ("gate", "candidate"):
        called = consumer.symbol or op
        return Label(f"{called} gate" if called in (CARRY, STRAIGHT) else called, MARKED)  # a name of its own
    if is_linear(op, k):
        return None
    if consumer.op.elementwise and len(consumer.inputs) == 1:
        return Label(op, FUNCTION)
    return Label("matrix" if op in PRODUCTS else op, OTHER)


def is_passed_over(consumer: Node, k: int) -> bool:
    """Does the edge hand on the state of sequences that do not take this step? That is no step back."""
    running = consumer.scope.running
    return (running is not None and k == 2 and consumer.op.name == "where"
            and np.array_equal(np.ravel(plain(consumer.args[0])), running))


class Reader:
    """The automaton: reads the edges of paths, from the loss backwards, and keeps a `State` of each.

    A path counts from the first state of the layer that it comes to. From there on, an edge out of a marked gate or
    candidate puts it on that way; an edge to another step ends the passage, and so does coming to another state of the
    same step. A path that leaves the layer may come back through a loop with steps of its own: unless it has
    a way already it is then on that of the loop, which is called after its scope. Unmarked functions and products say
    so less strongly: they do not take the place of what is marked, and a path that comes to a state of the *same* step
    has not left the carry through them (the tanh between h_t and c_t of an LSTM).
    """

    def __init__(self, rule: Rule, step: dict[Node, int], is_state: set[Node], classify: Classify | None,
                 place: dict[Node, int]) -> None:
        self.rule, self.step, self.is_state, self.classify, self.place = rule, step, is_state, classify, place
        self.carries = False  # did a path make a step back without a way?
        self.labels: dict[tuple[Node, int], Label | None] = {}
        self.seen: dict[str, Node] = {}  # for each way, of the nodes that name it the one that a step makes first

    def start(self, root: Node) -> State | None:
        """The state of a path that has not set out yet."""
        return State(self.rule.start) if root in self.is_state else None

    def __call__(self, consumer: Node, k: int, x: Node) -> Callable[[Any], Hashable]:
        """The function from the state before an edge to the state behind it."""
        to_state, ours = x in self.is_state, x in self.step
        if is_passed_over(consumer, k):
            return self.unchanged
        later, earlier = (self.step.get(node, node.scope.step) for node in (consumer, x))
        crosses = (to_state and not ours) or (later != earlier and (ours or None not in (later, earlier)))
        return partial(self.after, consumer, k, crosses, to_state)

    @staticmethod
    def unchanged(state: State | None) -> State | None:
        """The state behind an edge that is no passage: the same."""
        return state

    def after(self, consumer: Node, k: int, crosses: bool, to_state: bool, state: State | None) -> State | None:
        """The state behind this edge."""
        if state is None:
            return State(self.rule.start) if to_state else None
        past, now = state
        if self.rule.done(past):
            return state
        label = self.label(consumer, k)
        if label is not None and (now is None or label.strength == MARKED or label.strength > now.strength):
            now = label
        if crosses:
            self.carries |= now is None
            return State(self.rule.add(past, now and now.name))
        if to_state:
            return State(self.rule.add(past, now.name) if now and now.strength == MARKED else past)
        return State(past, now)

    def label(self, consumer: Node, k: int) -> Label | None:
        """The way that an edge belongs to. It is found out once: paths in many states pass the edge."""
        if (consumer, k) not in self.labels:
            label = self.labels[consumer, k] = self.read(consumer, k)
            if label is not None:
                self.seen[label.name] = min(consumer, self.seen.get(label.name, consumer), key=self.made)
        return self.labels[consumer, k]

    def read(self, consumer: Node, k: int) -> Label | None:
        """The same, read off the graph."""
        if consumer not in self.step:
            return Label("/".join(consumer.scope.path) or consumer.op.name, OTHER)
        if self.classify is not None:
            said = self.classify(consumer, k)
            if said in (CARRY, STRAIGHT):
                raise ValueError(f"ways: {said!r} is what a path that takes no way is called; say None instead")
            return None if said is None else Label(said, MARKED)
        return label_of(consumer, k)

    def order(self) -> list[str]:
        """The ways, in the order in which a step makes them."""
        return sorted(self.seen, key=lambda name: (self.made(self.seen[name]), name))

    def made(self, node: Node) -> int:
        """When a step makes a node; what another loop makes comes last."""
        return self.place.get(node, len(self.place))

    def colours(self) -> dict[str, tuple[str | None, str | None]]:
        """The symbol and the role of the ways that marks name."""
        return {name: (node.symbol, node.role) for name, node in self.seen.items() if node.symbol == name}


def taking(
    root: Node, states: dict[Node, int], gradients: dict[Node, Any], order: list[int]
) -> dict[int, np.ndarray] | None:
    """Of a padded batch: which sequences take each step. None if all take all of them."""
    if not any(node.scope.running is not None or leaves_out(gradients.get(node, 0.0)) for node in states):
        return None
    ways_to = reached(root) if any(node.scope.running is None for node in states) else {}
    declared: dict[int, Any] = {}
    arrive: dict[int, np.ndarray] = {}
    by_step: dict[int, list[Node]] = {}
    for node, step in states.items():
        by_step.setdefault(step, []).append(node)
    for step in order:
        for node in by_step.get(step, ()):
            here = ways_to.get(node, arrives(gradients.get(node, zeros(node))))
            if here is None and node.scope.running is not None:  # of a single sequence too
                here = np.asarray(node.scope.running, dtype=bool)
            if here is None or len(arrive.get(step, here)) != len(here):
                return None
            arrive[step] = arrive.get(step, False) | here
            declared[step] = node.scope.running
    return running_of(declared, arrive) if arrive else None


def steps_of(graph: nx.MultiDiGraph, layer: Layer, wanted: str | None) -> tuple[str, dict[int, str]]:
    """The symbol of a state, and its node at each step that has it, the last step first."""
    handed_on = held(graph, layer)
    at: dict[str, dict[int, str]] = {}
    for step in layer.lags():
        for name, node in layer.steps[step].items():
            if node in handed_on:
                at.setdefault(name, {})[step] = node
    said = {name: graph.nodes[next(iter(ids.values()))] for name, ids in at.items()}
    symbols, roles = state_symbols(graph, layer), state_roles(graph, layer)
    called = {name: symbols.get(name) or one.get("symbol") or name for name, one in said.items()}
    known = {name: {**one, "role": roles.get(name) or one.get("role"), "symbol": called[name]}
             for name, one in said.items()}
    for key, value in [("role", wanted), ("symbol", wanted), ("name", wanted)] if wanted else [
        ("role", "cell"), ("role", "hidden"), ("kind", "computed")
    ]:
        if named := [name for name in at if known[name].get(key) == value]:
            named = [name for name in named if layer.order[-1] in at[name]] or named  # one with a lag 0
            need_alike(graph, layer, named[-1], "ways")
            return called[named[-1]], at[named[-1]]
    if not called:
        raise ValueError(f"ways: {nothing_handed_on(layer)}")
    raise ValueError(f"ways: no state {wanted!r}; this layer hands on {', '.join(called.values())}")


def held(graph: nx.MultiDiGraph, layer: Layer) -> set[str]:
    """The nodes that are states: what is handed from step to step; of a single step, what marks say."""
    return states(graph, layer) or set(_marked(graph, layer))


def anchors(graph: nx.MultiDiGraph, layer: Layer) -> set[str]:
    """The states, and the nodes that are marked as states.

    If a wrapper hands on ``c = 0.9 * c1``, both count: a path that reaches c1 has reached a state.
    """
    return states(graph, layer) | set(_marked(graph, layer))


def _marked(graph: nx.MultiDiGraph, layer: Layer) -> Iterator[str]:
    return (node for ids in layer.steps.values() for node in ids.values()
            if graph.nodes[node].get("role") in ("hidden", "cell"))


def initial(graph: nx.MultiDiGraph, layer: Layer) -> dict[str, str]:
    """For each state by its name: what the first step reads in the place where the second reads that state."""
    if len(layer.order) < 2:
        return {}
    first, second = (layer.steps[step] for step in layer.order[:2])
    read = {(name, k): u for name, node in first.items() for u, _, k in graph.in_edges(node, keys=True)}
    all_states = held(graph, layer)
    handed_on = {node: name for name, node in first.items() if node in all_states}
    found: dict[str, str] = {}
    for name, node in second.items():
        for state, _, k in graph.in_edges(node, keys=True):
            start = read.get((name, k)) if state in handed_on else None
            if start is not None and start not in first.values() and graph.nodes[start]["kind"] != "constant":
                found.setdefault(handed_on[state], start)
    return found


def zeros(x: Node) -> Any:
    """A gradient of nothing."""
    return np.zeros_like(x.data)


def sizes(parts: np.ndarray) -> np.ndarray:
    """The norm of each row, over all its entries."""
    return np.array([norm(part) for part in parts])
