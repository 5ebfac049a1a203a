"""Time steps: the recurrent layers of a graph, what is handed from one step to the next, and what it is called.

An unrolled net is the same cell T times. Lay the steps of a loop over each other, so that nodes that do the same
coincide (`viz.graph.loops`). Where a later step reads an earlier one, this makes a circle; what lies on the same
circles is one layer. Nothing here knows an LSTM. Edges that cross from one step to a later one show what is a state;
the products and sums that it goes through show what is carried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import repeat, takewhile
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import networkx as nx

from viz.graph.identities import at_every_step
from viz.graph.loops import Loop, Place, loops

T = TypeVar("T")

HIDDEN = "a checkpoint hides the steps inside it; unroll without checkpoint= to look at them"
FROZEN = (
    "nothing here needs a gradient, so the computation left no graph: it was made from constants only (are all weights "
    "frozen, requires_grad=False?), was detached, or was computed under no_grad()"
)
NO_STEPS = "this graph has no time steps: wrap each step of your loop in `with scope(step=t):`, or use nn.unroll"
FUSED = {"mkldnn_rnn_layer", "cudnn_rnn", "miopen_rnn", "lstm_mps"}  # PyTorch's: all steps in one operation
OWN_LOOP = (
    "load the weights into the same net of this library, microgradrnn.io.load_torch(net, layer.state_dict()), and "
    "measure that with viz.gradient_flow; or write the loop with torch.nn.LSTMCell, GRUCell or RNNCell"
)
NO_STATES = (
    "no time steps were found in this graph of PyTorch: in it no weight is used again, in the same way, on what was "
    "computed with it before. If there is a loop all the same, give the states that it handed on: "
    "viz.from_torch(loss, states=[h_1, h_2, ...])"
)
SUMS, FACTORS = {"add", "subtract"}, {"multiply", "divide", "negative"}
LINEAR = {"multiply", "add", "subtract", "negative", "addcmul"}  # ways along which a state is carried
MOVES = {  # operations that pass entries on as they are; the second line has PyTorch's names
    "where", "getitem", "scatter", "index_update", "reshape", "transpose", "broadcast_to", "astype", "concat", "stack",
    "pad", "roll", "split", "clone", "squeeze", "unsqueeze", "index_select", "index_put", "index_copy", "masked_fill",
}
PRODUCTS = {"matmul", "affine"}
SOME = {"divide": 1, "lerp": 2, "addcdiv": 2}  # linear in their first operands only


class Edge(NamedTuple):
    """One edge of the graph: the k-th operand of a node."""

    consumer: str
    k: int


@dataclass
class Layer:
    """The steps of one recurrence.

    Attributes:
        path: the path of scopes that its nodes have in common.
        steps: for each step, in the order in which the loop took them, the ids of its nodes by name, oldest first.
        circle: the names of what lies on a way from a state to the same state of a later step.
        graph: the graph without identities that a `recurrent` layer was read from; None if there are none. (A layer
            that held the graph it is remembered by would keep it alive for good.)
    """

    path: str
    steps: dict[int, dict[str, str]] = field(default_factory=dict)
    circle: frozenset[str] = frozenset()
    graph: nx.MultiDiGraph | None = field(default=None, repr=False, compare=False)

    @property
    def last(self) -> int:
        """The youngest step, where the loop ends."""
        return next(reversed(self.steps))

    @property
    def order(self) -> list[int]:
        """The steps as the loop took them: forwards in time, or backwards."""
        return list(self.steps)

    def lags(self) -> dict[int, int]:
        """For each step, how many steps of the loop lie between it and the last; the last step first."""
        return once("lags", lambda: {step: lag for lag, step in enumerate(reversed(self.steps))}, self)

    @property
    def youngest(self) -> dict[str, str]:
        """For each name, the node that bears it last: what no loss reads of the last step is not in the graph."""
        found: dict[str, str] = {}
        for ids in self.steps.values():
            found |= ids
        return found

    def step_of(self) -> dict[str, int]:
        """For each node its step."""
        return once("step_of", self._step_of, self)

    def _step_of(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for step, ids in self.steps.items():
            found |= dict.fromkeys(ids.values(), step)
        return found


Circles = list[tuple[Loop, list[set[Place]]]]  # the loops, each with its circles


@dataclass(frozen=True)
class Reading:
    """What a graph says of time: what its loops only add up, and its layers with and without such sums."""

    sums: set[str]
    layers: list[Layer]
    recurrent: list[Layer]


READINGS: WeakKeyDictionary[nx.MultiDiGraph, tuple[int, Reading]] = WeakKeyDictionary()
UNCHANGED: ContextVar[dict[Hashable, Any] | None] = ContextVar("UNCHANGED", default=None)


@contextmanager
def unchanged() -> Iterator[None]:
    """Within this block nobody changes a graph: what has been found out about one is not asked again.

    To see whether a graph is still the same takes a look at all of it, and a picture asks a dozen times.
    """
    if UNCHANGED.get() is not None:
        yield
        return
    token = UNCHANGED.set({})
    try:
        yield
    finally:
        UNCHANGED.reset(token)


def once(key: Hashable, found: Callable[[], T], *about: object) -> T:
    """What ``found`` finds; within `unchanged`, asked for a second time, what it found before.

    Args:
        key: what is found out.
        found: finds it.
        about: the objects it is about; they are the same if they are identical.
    """
    known = UNCHANGED.get()
    if known is None:
        return found()
    whole = (key, *map(id, about))
    if whole not in known:
        known[whole] = found(), about  # what is kept alive keeps its id
    result: T = known[whole][0]
    return result


def reading(graph: nx.MultiDiGraph) -> Reading:
    """The time of a graph, read once for each graph that is not changed in between."""
    return once("reading", lambda: _reading(graph), graph)


def _reading(graph: nx.MultiDiGraph) -> Reading:
    wanted = ("kind", "op", "symbol", "role", "path", "step", "params", "shape", "same")
    now = hash((tuple((node, *map(said.get, wanted)) for node, said in graph.nodes(data=True)),
                tuple((u, v, *keys) for u, read in graph.adjacency() for v, keys in read.items()),
                graph.graph.get("root")))
    known = READINGS.get(graph)
    if known is None or known[0] != now:
        flat = flattened(graph)
        circles, sums, at = _circles(flat)
        numbers = _layers(flat, circles, sums, at, with_sums=False)
        if flat is not graph:
            for layer in numbers:
                layer.graph = flat
            circles, sums, at = _circles(graph)
        alike = flat is graph and not sums
        drawn = numbers if alike else _layers(graph, circles, sums, at, with_sums=True)
        known = READINGS[graph] = now, Reading(sums, drawn, numbers)
    return known[1]


def flattened(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """The graph without the nodes that are the same as another one: their readers read that. Itself, if it has none."""
    same: dict[str, str] = {node: origin for node, origin in graph.nodes(data="same") if origin in graph}
    if not same:
        return graph
    result = graph.copy()
    result.add_nodes_from(_marks_given(graph, same).items())
    for node, origin in same.items():
        result.add_edges_from((origin, v, k, said) for _, v, k, said in graph.out_edges(node, keys=True, data=True))
        result.remove_edges_from(list(result.out_edges(node, keys=True)))
    result.graph["root"] = same.get(graph.graph["root"], graph.graph["root"])
    unread = [node for node in same if node in result]
    while unread:  # and what only they were made of, as the -h in -(-h)
        node = unread.pop()
        if result.out_degree(node) == 0 and node != result.graph["root"]:
            before = set(result.predecessors(node))
            result.remove_node(node)
            unread += [u for u in before if result.out_degree(u) == 0]
    return result


def _marks_given(graph: nx.MultiDiGraph, same: dict[str, str]) -> dict[str, dict[str, str]]:
    """The marks of identities, for those that they are the same as and that have none."""
    made = {node: (said.get("path"), said["op"]) for node, said in graph.nodes(data=True)
            if said["kind"] == "computed" and not {"symbol", "role"} & said.keys()}
    given = {origin: tuple((key, said[key]) for key in ("symbol", "role") if key in said)
             for node, origin in same.items() if (said := graph.nodes[node]) and origin in made}
    kept = at_every_step((form, graph.nodes[node].get("step"), given.get(node) or None) for node, form in made.items())
    return {origin: dict(marks) for origin, marks in given.items() if (made[origin], marks) in kept}


def _circles(graph: nx.MultiDiGraph) -> tuple[Circles, set[str], dict[str, set[int]]]:
    """The loops with their circles, what they only add up, and the uses of the leaves."""
    at = uses(graph)
    found = loops(graph, {leaf for leaf, steps in at.items() if len(steps) > 1})
    circles = [(loop, recurrences(graph, loop)) for loop in found]
    return circles, _running_sums(graph, circles), at


def layers(graph: nx.MultiDiGraph) -> list[Layer]:
    """The unrolled layers of a graph, in the order of making. Empty if nothing was made inside a time step.

    What lies on no circle (an output layer called inside the loop) belongs to the layer that it feeds, else to the one
    that feeds it. A loop that only sums up losses, its steps set by a scope of its own, is a layer here and is drawn as
    a lane; `recurrent` leaves it out.
    """
    return reading(graph).layers


def recurrent(graph: nx.MultiDiGraph) -> list[Layer]:
    """The `layers` that numbers are about. To add up losses step by step makes no layer, see `running_sums`."""
    return reading(graph).recurrent


def recurrences(graph: nx.MultiDiGraph, loop: Loop) -> list[set[Place]]:
    """The circles of a loop: sets of places that can be reached from each other by going from step to step."""
    ways: dict[tuple[Place, Place], bool] = {}  # does it ever lead from one step to another?
    step, places, read = loop.step_of(), loop.places, graph._succ
    for node, place in places.items():
        for v in read[node]:
            if v in step:
                edge = place, places[v]
                if not ways.get(edge):
                    ways[edge] = step[v] != step[node]
    over: nx.DiGraph = nx.DiGraph()
    over.add_edges_from(ways)
    crossing = [edge for edge, crosses in ways.items() if crosses]
    found = []
    for circle in nx.strongly_connected_components(over):
        if any(a in circle and b in circle for a, b in crossing):
            found.append(circle)
    if len(found) < 2:
        return found
    in_turn = dict.fromkeys(loop.places[node] for nodes in loop.steps.values() for node in nodes)
    made = {place: j for j, place in enumerate(in_turn)}
    return sorted(found, key=lambda circle: min(made[place] for place in circle))


def _layers(
    graph: nx.MultiDiGraph, circles: Circles, sums: set[str], at: dict[str, set[int]], with_sums: bool
) -> list[Layer]:
    found: list[Layer] = []
    rest: list[Loop] = []
    hosts: list[Loop] = []
    for loop, all_of_it in circles:
        states = [circle for circle in all_of_it if not _is_summed(loop, circle, sums)]
        summed = [circle for circle in all_of_it if with_sums and circle not in states]
        taken = {scope for circle in states for scope in _scopes(graph, loop, circle)} if summed else set()
        own_scope = [circle for circle in summed if taken.isdisjoint(_scopes(graph, loop, circle))]
        kept = [circle for circle in all_of_it if circle in states or circle in own_scope]
        if kept:
            found += _shared_out(graph, loop, kept)
            hosts += [loop] * len(kept)
        else:
            rest.append(loop)
    if not found:
        innermost = [loop for loop in rest if not any(loop.encloses(other) for other in rest)]
        found, rest = [_layer(loop, set(loop.places.values()), set()) for loop in innermost], []
    for loop in rest:
        if not any(loop.encloses(host) for host in hosts):
            _take_in(graph, found, loop)
    _adopt(graph, found, at)
    return found


def _scopes(graph: nx.MultiDiGraph, loop: Loop, circle: set[Place]) -> set[str]:
    """Where the steps were set in which a circle was made."""
    made = (graph.nodes[node] for node, place in loop.places.items() if place in circle)
    return {said.get("loop", said.get("path", "")) for said in made if "step" in said}


def _is_summed(loop: Loop, circle: set[Place], sums: set[str]) -> bool:
    """Is all that lies on a circle a running sum?"""
    return any(loop.places[node] in circle for node in sums if node in loop.places)


def _shared_out(graph: nx.MultiDiGraph, loop: Loop, circles: list[set[Place]]) -> list[Layer]:
    """The nodes of a loop, shared out among its circles."""
    if len(circles) == 1:
        return [_layer(loop, set(loop.places.values()), circles[0])]
    home = {place: j for j, circle in enumerate(circles) for place in circle}
    scopes = [_scopes(graph, loop, circle) for circle in circles]
    feeds: nx.DiGraph = nx.DiGraph()
    feeds.add_edges_from((place, loop.places[v]) for node, place in loop.places.items()
                         for v in graph.successors(node) if v in loop.places)
    fixed = dict(home)
    for node, place in loop.places.items():
        if place not in home:
            said = graph.nodes[node]
            there = said.get("loop", said.get("path", ""))
            same_scope = {j for j, one in enumerate(scopes) if there in one} or set(range(len(circles)))
            near = (fixed[v] for way in (feeds, feeds.reverse(copy=False)) if place in way
                    for _, v in nx.bfs_edges(way, place) if fixed.get(v) in same_scope)
            home[place] = next(near, min(same_scope))
    return [_layer(loop, {place for place, there in home.items() if there == j}, circle)
            for j, circle in enumerate(circles)]


def _layer(loop: Loop, inside: set[Place], circle: set[Place]) -> Layer:
    """Some places of a loop as a layer."""
    path = _shared_path(place.path for place in circle or inside)
    layer = Layer(path)
    names: dict[Place, str] = {}
    for step, nodes in loop.steps.items():
        ids: dict[str, str] = {}
        for node in nodes:
            place = loop.places[node]
            if place in names:
                ids[names[place]] = node
            elif place in inside:
                under = place.path
                if _is_under(under, path):
                    under = under.removeprefix(path).removeprefix("/")
                name = f"{under}/{place.name}" if under else place.name
                while name in names.values():
                    name += "'"
                names[place] = name
                ids[name] = node
        if ids:
            layer.steps[step] = ids
    layer.circle = frozenset(names[place] for place in circle)
    return layer


def _shared_path(paths: Iterable[str]) -> str:
    """The scopes that all of these lie in."""
    columns = zip(*(path.split("/") for path in paths), strict=False)
    return "/".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))


def _is_under(path: str, outer: str) -> bool:
    return not outer or path == outer or path.startswith(f"{outer}/")


def _take_in(graph: nx.MultiDiGraph, found: list[Layer], loop: Loop) -> None:
    """A loop without a recurrence of its own becomes part of the layer that it exchanges most with, step by step.

    One that exchanges nothing within a step, as a decoder of a single step after its encoder, is part of none.
    """
    homes = [layer.step_of() for layer in found]
    own = loop.step_of()
    shared = [0] * len(found)
    for node, step in own.items():
        for other in (*graph.predecessors(node), *graph.successors(node)):
            for j, home in enumerate(homes):
                shared[j] += home.get(other) == step
    if not any(shared):
        return
    host = found[shared.index(max(shared))]
    for step, nodes in loop.steps.items():
        inside = host.steps.setdefault(step, {})
        for node in nodes:
            inside[_free(inside, "/".join(filter(None, loop.places[node])))] = node


def layer_of(graph: nx.MultiDiGraph, number: int, who: str) -> Layer:
    """One of the `recurrent` layers, by its number.

    Raises:
        ValueError: if there is no such layer, or there are no time steps.
    """
    found = recurrent(graph)
    if not found:
        raise ValueError(f"{who}: {no_steps(graph)}")
    if not -len(found) <= number < len(found):
        hidden = f"; {out_of_sight(graph)}" if out_of_sight(graph) else ""
        raise ValueError(f"{who}: there is no layer {number}; this graph has {len(found)}, counted from 0{hidden}")
    return found[number]


def no_steps(graph: nx.MultiDiGraph) -> str:
    """Why a graph shows no time steps: there are none, they are out of sight, or there is no graph at all."""
    if hidden := out_of_sight(graph):
        return hidden
    if graph.graph.get("source") == "PyTorch":
        return NO_STATES
    return FROZEN if {kind for _, kind in graph.nodes(data="kind")} == {"constant"} else NO_STEPS


def nothing_handed_on(layer: Layer) -> str:
    """Why a layer shows no state."""
    if len(layer.steps) == 1:
        return ("this loop took a single step, which hands nothing on, so nothing shows what its state is; mark it: "
                'mark(h, "h", role="hidden")')
    return ("no step of this loop reads what another step computed, so there is no state. Is it detached, or made "
            "anew, at every step?")


def out_of_sight(graph: nx.MultiDiGraph) -> str:
    """Which operation hides the steps inside it, and the way out; empty if none does."""
    ops = {op for _, op in graph.nodes(data="op")}
    if "checkpoint" in ops:
        return HIDDEN
    return fused(min(ops & FUSED)) if ops & FUSED else ""


def fused(op: str) -> str:
    """What to do about an operation of PyTorch that is a whole layer."""
    double = "compute in double precision, layer.double(), which is not fused; or " if "mkldnn" in op else ""
    return f"PyTorch ran all steps of a layer as one fused operation ({op}), which hides them: {double}{OWN_LOOP}"


def uses(graph: nx.MultiDiGraph) -> dict[str, set[int]]:
    """For each leaf: the steps that read it, directly or through something made outside the steps."""
    return {leaf: _read_in(graph, leaf) for leaf, said in graph.nodes(data=True) if said["kind"] == "leaf"}


def _read_in(graph: nx.MultiDiGraph, node: str) -> set[int]:
    steps: set[int] = set()
    seen, stack = {node}, [node]
    while stack:
        for v in graph.successors(stack.pop()):
            if "step" in graph.nodes[v]:
                steps.add(graph.nodes[v]["step"])
            elif v not in seen:
                seen.add(v)
                stack.append(v)
    return steps


def _adopt(graph: nx.MultiDiGraph, found: list[Layer], at: dict[str, set[int]]) -> None:
    """Leaves made before the loop, one for each step and all read at the same place, are the inputs of the steps."""
    if not any(len(steps) == 1 for steps in at.values()):
        return
    where = {node: (i, step, name) for i, layer in enumerate(found)
             for step, ids in layer.steps.items() for name, node in ids.items()}
    places: dict[tuple[int, str, int], dict[int, str]] = {}
    for leaf, steps in at.items():
        if len(steps) == 1 and leaf not in where:
            for _, v, k in graph.out_edges(leaf, keys=True):
                if v in where:
                    i, step, name = where[v]
                    places.setdefault((i, name, k), {})[step] = leaf
    for (i, name, k), leaves in places.items():
        if len(leaves) > 1:
            for step, leaf in leaves.items():
                if leaf not in where:
                    found[i].steps[step][f"{name}/{k}"] = leaf
                    where[leaf] = (i, step, f"{name}/{k}")


def weight_names(graph: nx.MultiDiGraph) -> dict[str, str]:
    """What to call parameters and leaves: their symbol, else W1, W2, ... in the order of making; inputs have none.

    Without a loop, weights that have one symbol are numbered, ``V_1`` and ``V_2``: they are of different layers.
    """
    leaves = sorted((said["order"], node) for node, said in graph.nodes(data=True)
                    if said["kind"] in ("parameter", "leaf"))
    names = {node: graph.nodes[node].get("symbol") for _, node in leaves}
    taken, count, at = set(names.values()), 0, uses(graph)
    inputs = input_leaves(graph, at)
    several = has_several_steps(graph)
    for _, node in leaves:
        if names[node] is not None or node in inputs:
            continue
        if graph.nodes[node]["kind"] == "parameter" or len(at[node]) > 1 or not several:
            count += 1
            while f"W{count}" in taken:
                count += 1
            names[node] = f"W{count}"
    found = {node: name for node, name in names.items() if name is not None}
    if several:
        return found
    alike: dict[str, list[str]] = {}
    for node, name in found.items():
        alike.setdefault(name, []).append(node)
    return found | {node: f"{name}_{j}" for name, nodes in alike.items() if len(nodes) > 1
                    for j, node in enumerate(nodes, 1)}


def has_several_steps(graph: nx.MultiDiGraph) -> bool:
    """Does any loop take more than one step? A loop of one step, inside a step of another loop, does not."""
    first: dict[str, int] = {}
    steps = ((said.get("loop", said.get("path", "")), said["step"]) for _, said in graph.nodes(data=True)
             if "step" in said)
    return any(first.setdefault(loop, step) != step for loop, step in steps)


def input_leaves(graph: nx.MultiDiGraph, at: dict[str, set[int]]) -> set[str]:
    """Leaves without a mark that are inputs: cut into a row for each step, or the x of ``x @ W``, never a W.

    What is only moved about, or worked out with constants alone, is still the leaf. A table that rows are looked up in
    by arrays of numbers is a weight. `at` says in which steps each leaf is read, see `uses`.
    """
    leaves = [node for node, said in graph.nodes(data=True) if said["kind"] == "leaf" and "symbol" not in said]
    several = has_several_steps(graph)
    rows = {node for node in leaves if _is_cut_by_step(graph, node)}

    def is_weight(node: str) -> bool:
        said = graph.nodes[node]
        return said["kind"] == "parameter" or (
            said["kind"] == "leaf" and node not in rows and not (several and len(at[node]) == 1))

    found = set()
    for leaf in leaves:
        ends = [(k, {j: u for u, _, j in graph.in_edges(v, keys=True)}) for u in _forms(graph, leaf)
                for _, v, k in graph.out_edges(u, keys=True) if graph.nodes[v].get("op") in PRODUCTS]
        is_w = any(k == 1 and (leaf not in rows or not is_weight(_origin(graph, of[0]))) for k, of in ends)
        is_x = any(k == 0 and _origin(graph, of[1]) != leaf and is_weight(_origin(graph, of[1])) for k, of in ends)
        if not is_w and (is_x or leaf in rows):
            found.add(leaf)
    return found


def _forms(graph: nx.MultiDiGraph, leaf: str) -> list[str]:
    """A leaf, and all that it is moved, cut, or worked out with constants to."""
    found, seen = [leaf], {leaf}
    for node in found:
        for v in graph.successors(node):
            if v not in seen and _moves(graph, v):
                seen.add(v)
                found.append(v)
    return found


def _moves(graph: nx.MultiDiGraph, node: str) -> bool:
    """Does a node only pass on what it reads, or read nothing but one thing and constants?"""
    said = graph.nodes[node]
    if said["op"] == "getitem":
        return "[" not in said.get("params", "")  # no array of numbers
    others = [u for u in graph.predecessors(node) if graph.nodes[u]["kind"] != "constant"]
    return said["op"] in MOVES or (len(others) == 1 and said["op"] not in PRODUCTS)


def _origin(graph: nx.MultiDiGraph, node: str) -> str:
    """Back to what a node was moved, cut, or worked out with constants from, if that is one thing."""
    while graph.nodes[node]["kind"] == "computed" and _moves(graph, node):
        before = {u for u in graph.predecessors(node) if graph.nodes[u]["kind"] != "constant"}
        if len(before) != 1:
            break
        node = before.pop()
    return node


def _is_cut_by_step(graph: nx.MultiDiGraph, leaf: str) -> bool:
    """Does every step read a part of its own, by an index that no other step has?"""
    steps: dict[str, set[int]] = {}  # by index
    seen, stack = {leaf}, [leaf]
    while stack:
        for v in graph.successors(stack.pop()):
            said = graph.nodes[v]
            if v in seen:
                continue
            seen.add(v)
            if said["op"] == "getitem" and _moves(graph, v):
                steps.setdefault(said.get("params", ""), set()).update({said["step"]} if "step" in said else
                                                                       _read_in(graph, v))
            elif "step" in said:
                return False
            elif _moves(graph, v):
                stack.append(v)
    return len(set().union(*steps.values())) > 1 and all(len(own) <= 1 for own in steps.values())


def state_symbols(graph: nx.MultiDiGraph, layer: Layer, nodes: set[str] | None = None) -> dict[str, str]:
    """What to call each state, by its name in the layer: see `state_marks`; of others the youngest is h, then s2, ...

    No two are called the same: where two cells mark their state h, the second one is h2. A mark of no letter at all,
    ``mark(h, "")``, is none.

    Args:
        graph, layer: the layer.
        nodes: of what; by default of the `states`. Pictures want all that is `handed_on`: running sums are ΣL.
    """
    graph = graph if layer.graph is None else layer.graph
    wanted = states(graph, layer) if nodes is None else nodes
    sums = wanted & running_sums(graph) - states(graph, layer)
    marks = state_marks(graph, layer, wanted)
    names = {name: marks[name].get("symbol") or (_sum_symbol(graph, node) if node in sums else None)
             for name, node in layer.youngest.items() if node in wanted}
    taken: set[str | None] = set()
    for name, symbol in names.items():
        if symbol is not None:
            names[name] = next(word for j in range(1, len(names) + 1)
                               if (word := symbol if j == 1 else f"{symbol}{j}") not in taken)
            taken.add(names[name])
    for name in reversed(names):
        if names[name] is None:
            free = ("h" if j == 1 else f"s{j}" for j in range(1, len(names) + len(taken) + 2))
            names[name] = next(word for word in free if word not in taken)
            taken.add(names[name])
    return {name: str(symbol) for name, symbol in names.items()}


def state_roles(graph: nx.MultiDiGraph, layer: Layer) -> dict[str, str | None]:
    """The role of each state, by its name in the layer."""
    graph = graph if layer.graph is None else layer.graph
    return {name: marks.get("role") for name, marks in state_marks(graph, layer, states(graph, layer)).items()}


def state_marks(graph: nx.MultiDiGraph, layer: Layer, nodes: set[str]) -> dict[str, dict[str, str]]:
    """Symbol and role of each of these nodes, by its name in the layer: its own, or those of what it stands for.

    A wrapper hands on something else than what the cell marked: ``h = where(there, h1, h)``, ``c = 0.9 * c1``. If all
    that it was worked out from within the step comes from one hidden or cell state, which is not handed on itself, and
    nothing else that is handed on comes from that alone, it stands for that.
    """
    graph = graph if layer.graph is None else layer.graph
    step = layer.step_of()
    sums = running_sums(graph)  # they are made of states, and stand for none
    found: dict[str, dict[str, str]] = {}
    origins: dict[str, str] = {}
    for name, node in layer.youngest.items():
        if node in nodes:
            said = graph.nodes[node]
            found[name] = {key: said[key] for key in ("symbol", "role") if key in said}
            if "role" not in found[name] and node not in sums and (origin := _origin_state(graph, node, step, nodes)):
                origins[name] = origin
    for name, origin in origins.items():
        if list(origins.values()).count(origin) == 1:
            said = graph.nodes[origin]
            found[name] = {key: said[key] for key in ("symbol", "role") if key in said} | found[name]
    return found


def _origin_state(graph: nx.MultiDiGraph, node: str, step: dict[str, int], handed_on: set[str]) -> str | None:
    """The one hidden or cell state of the same step that a node was worked out from; None if it was from others too."""
    met: set[str] = set()
    seen, stack = {node}, [node]
    while stack:
        for u in graph.predecessors(stack.pop()):
            if u in seen or u not in step or step[u] != step[node] or graph.nodes[u]["kind"] != "computed":
                continue
            seen.add(u)
            if u in handed_on:
                return None
            if graph.nodes[u].get("role") in ("hidden", "cell"):
                met.add(u)
            else:
                stack.append(u)
    return met.pop() if len(met) == 1 else None


def _sum_symbol(graph: nx.MultiDiGraph, node: str) -> str:
    """What a sum without a symbol is called."""
    return "ΣL" if graph.nodes[node].get("shape") == "()" else "Σ"


def running_sums(graph: nx.MultiDiGraph) -> set[str]:
    """What a loop only adds up, as in ``L = L + L_t``, ``L = 0.9 * L + L_t`` or ``m = m + h``.

    It is handed from step to step, and yet is no state: nothing but the same sum is worked out from it before the loop
    is over, so the gradient there tells nothing of the net. What is marked as a hidden or a cell state is one, so is an
    array with a symbol. Nor is it a sum where there is nothing else that could be the state, as in ``h = h + g(x)``:
    of an array, in the same loop; of a single number, in the whole graph, unless it leads to the root through sums
    alone.
    """
    return reading(graph).sums


def _running_sums(graph: nx.MultiDiGraph, circles: Circles) -> set[str]:
    nodes, read, operations = graph.nodes, graph._succ, SUMS | FACTORS
    home = {node: j for j, (loop, _) in enumerate(circles) for node in loop.places}
    summed: set[str] = set()
    candidates = [(said["order"], node) for node, said in nodes(data=True) if said.get("op") in operations
                  and node in home and said.get("role") not in ("hidden", "cell")]
    for _, node in sorted(candidates, reverse=True):
        if all(v not in home or (v in summed and all(_sums_up(graph, v, k) for k in keys))
               for v, keys in read[node].items()):
            summed.add(node)
    if not summed:
        return set()
    with_states = {j for j, (loop, all_of_it) in enumerate(circles) for circle in all_of_it
                   if not any(node in summed for node, place in loop.places.items() if place in circle)}
    losses = _towards_root(graph)
    return {node for node in summed if (said := nodes[node])["op"] in SUMS and (
        node in losses or (bool(with_states) if said.get("shape") == "()" else
                           home[node] in with_states and "symbol" not in said))}


def _towards_root(graph: nx.MultiDiGraph) -> set[str]:
    """Single numbers that lead to the root through sums, and constant factors after the loop, alone."""
    nodes, root = graph.nodes, graph.graph["root"]
    towards = {root} if nodes[root].get("shape") == "()" and nodes[root].get("op") in SUMS | FACTORS else set()
    single = (v for v, said in nodes(data=True) if said.get("shape") == "()")
    for node in sorted(single, key=lambda v: -nodes[v]["order"]):
        ways = graph.out_edges(node, keys=True)
        if ways and all(v in towards and _sums_up(graph, v, k) for _, v, k in ways):
            towards.add(node)
    return towards


def _sums_up(graph: nx.MultiDiGraph, node: str, k: int) -> bool:
    """Does a node add up its operands, or multiply the k-th by a constant?"""
    op = graph.nodes[node].get("op")
    if op in SUMS:
        return True
    return op in FACTORS and (op != "divide" or k == 0) and all(
        graph.nodes[u]["kind"] == "constant" for u, _, j in graph.in_edges(node, keys=True) if j != k
    )


def _free(taken: dict[str, str], name: str) -> str:
    while name in taken:
        name += "'"
    return name


def is_linear(op: str | None, k: int) -> bool:
    """Is the k-th operand passed on by products, sums and moves of entries alone? That is what a carry goes through.

    >>> is_linear("multiply", 0), is_linear("where", 2), is_linear("divide", 0), is_linear("divide", 1)
    (True, True, True, False)
    """
    return op in LINEAR or op in MOVES or k < SOME.get(op or "", 0)


def carries(graph: nx.MultiDiGraph, layer: Layer) -> set[Edge]:
    """The edges by which a state of one step goes into a state of the next through products, sums and moves alone.

    A node that is marked as a gate or a candidate is a way of its own, whatever its operation is.
    """
    graph = graph if layer.graph is None else layer.graph
    where = layer.step_of()
    handed_on = states(graph, layer)
    read = graph._succ
    return {edge for state in handed_on for consumer, keys in read[state].items()
            if where.get(consumer, where[state]) != where[state]
            for edge in map(Edge, repeat(consumer), keys) if _is_carry(graph, edge, handed_on, where)}


def handed_on(graph: nx.MultiDiGraph, layer: Layer) -> set[str]:
    """The nodes that are handed from one step to another, and those of other steps that bear the same names.

    They are the states, the `running_sums`, and whatever else of a step a later one reads.
    """
    return _of_names(layer, set().union(*_handed_by_step(graph, layer).values()))


def states(graph: nx.MultiDiGraph, layer: Layer) -> set[str]:
    """The recurrent states: what is handed on, worked with in the next step, and comes back to itself in this way."""
    return _of_names(layer, set().union(*_states_by_step(graph, layer).values()))


def need_alike(graph: nx.MultiDiGraph, layer: Layer, name: str, who: str) -> None:
    """Check that an unmarked state is the same node of every step: at none does another one take its place.

    Raises:
        ValueError: if the steps differ, so that nothing says which nodes are one state.
    """
    handed = _states_by_step(graph, layer)
    have = [step for step, names in handed.items() if name in names]
    if not have or any(graph.nodes[layer.steps[step][name]].keys() & {"symbol", "role"} for step in have):
        return
    always = set.intersection(*(handed[step] for step in have))
    for step, names in handed.items():
        if name not in names and names - always:
            raise ValueError(
                f"{who}: the steps of this loop differ: step {have[-1]} hands on {name!r}, step {step} hands on "
                f"{min(names - always)!r} in its place. Nothing says that they are the same state; mark it in every "
                'step: mark(h, "h", role="hidden")'
            )


def _of_names(layer: Layer, names: Collection[str]) -> set[str]:
    return {ids[name] for ids in layer.steps.values() for name in names if name in ids}


def _handed_by_step(graph: nx.MultiDiGraph, layer: Layer, where: dict[str, int] | None = None) -> dict[int, set[str]]:
    """The names of what each step hands to another; on request only of what some nodes, given with their steps, do."""
    graph = graph if layer.graph is None else layer.graph
    where = layer.step_of() if where is None else where
    read = graph._succ
    found: dict[int, set[str]] = {}
    for step, ids in layer.steps.items():
        found[step] = handed = set()
        for name, node in ids.items():
            if node in where:
                for consumer in read[node]:
                    if where.get(consumer, step) != step:
                        handed.add(name)
                        break
    return found


def _states_by_step(graph: nx.MultiDiGraph, layer: Layer) -> dict[int, set[str]]:
    """The names of the states that each step hands to another."""
    return once("states", lambda: _states_now(graph, layer), graph, layer)


def _states_now(graph: nx.MultiDiGraph, layer: Layer) -> dict[int, set[str]]:
    sums, circle = running_sums(graph), layer.circle
    on_circle = {node: step for step, ids in layer.steps.items() for name, node in ids.items()
                 if (not circle or name in circle) and node not in sums}
    return _handed_by_step(graph, layer, on_circle)


def _is_carry(graph: nx.MultiDiGraph, edge: Edge, handed_on: set[str], where: dict[str, int]) -> bool:
    step, stack, seen = where[edge.consumer], [edge], {edge}
    facts, read = graph._node, graph._succ
    while stack:
        node, k = stack.pop()
        said = facts[node]
        if where.get(node) != step or said.get("role") in ("gate", "candidate") or not is_linear(said.get("op"), k):
            continue
        if node in handed_on:
            return True
        after = {Edge(v, j) for v, keys in read[node].items() for j in keys} - seen
        seen |= after
        stack.extend(after)
    return False
