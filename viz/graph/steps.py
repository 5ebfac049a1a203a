"""Time steps: where in a graph the runs of steps are, what is handed from one to the next, and what it is called.

An unrolled net is the same cell T times. `layers` finds the runs. Nothing here knows an LSTM: what is a state is seen
from which edges cross from one step to a later one; what is carried, from the products and sums it goes through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import networkx as nx

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
    "this graph of PyTorch has no time steps: give the states that your loop handed on, from_torch(loss, "
    f"states=[h_1, h_2, ...]). torch.nn.LSTM, GRU and RNN keep theirs to themselves: {OWN_LOOP}"
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
    """The steps of one unrolled cell: for each step, the ids of its nodes by name, oldest first."""

    path: str
    steps: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The youngest step, where the loop ends."""
        return next(reversed(self.steps))

    @property
    def order(self) -> list[int]:
        """The steps as the loop took them: forwards in time, or backwards."""
        backwards = len(self.steps) > 1 and self.last < next(iter(self.steps))
        return sorted(self.steps, reverse=backwards)

    @property
    def youngest(self) -> dict[str, str]:
        """For each name, the node that bears it last: what no loss reads of the last step is not in the graph."""
        return {name: node for step in self.order for name, node in self.steps[step].items()}


def layers(graph: nx.MultiDiGraph) -> list[Layer]:
    """The unrolled layers of a graph, in the order of making. Empty if nothing was made inside a time step.

    A layer is what one scope path made, step by step. It ends where a step comes round a second time (another layer
    of the same name). Paths that hand nothing from step to step (an output layer called inside the loop) belong to
    the layer they exchange most with. A loop that only sums up losses is a layer here, drawn as a lane of its own;
    `recurrent` leaves it out.
    """
    return _layers(graph, set())


def recurrent(graph: nx.MultiDiGraph) -> list[Layer]:
    """The `layers` that numbers are about. To add up losses step by step makes no layer, see `running_sums`."""
    return _layers(graph, running_sums(graph))


def _layers(graph: nx.MultiDiGraph, sums: set[str]) -> list[Layer]:
    found: list[Layer] = []
    count: dict[tuple[int, int, str], int] = {}  # of a loop that comes a second time: by layer, step and name
    again: dict[str, bool] = {}
    here: dict[str, tuple[Layer, int, dict[str, str]]] = {}  # by path: the layer, its step, and what that holds so far
    at = uses(graph)
    for node, said in sorted(graph.nodes(data=True), key=lambda item: item[1]["order"]):
        step = said.get("step")
        if step is None or said["kind"] in ("constant", "parameter") or len(at.get(node, ())) > 1:
            continue  # a leaf that several steps read is a weight, wherever it was made
        path, name = said.get("path", ""), said["name"]
        if path not in here or here[path][1] != step:
            if path not in here or step in here[path][0].steps:
                found.append(Layer(path))
                layer = found[-1]
                again[path] = path in again
            else:
                layer = here[path][0]
            here[path] = layer, step, layer.steps.setdefault(step, {})
        layer, _, inside = here[path]
        if again[path]:  # what the graph calls h_2 at those steps that the first loop had too
            base = said.get("symbol") or said.get("op") or said["kind"]
            count[id(layer), step, base] = n = count.get((id(layer), step, base), 0) + 1
            name = base if n == 1 else f"{base}_{n}"
        inside[name if name not in inside else _free(inside, name)] = node
    found = _merged(graph, found, sums)
    _adopt(graph, found, at)
    return found


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


def out_of_sight(graph: nx.MultiDiGraph) -> str:
    """Which operation hides the steps inside it, and the way out; empty if none does."""
    ops = {op for _, op in graph.nodes(data="op")}
    if "checkpoint" in ops:
        return HIDDEN
    return fused(min(ops & FUSED)) if ops & FUSED else ""


def fused(op: str) -> str:
    """What to do about an operation of PyTorch that is a whole layer."""
    return f"PyTorch ran all steps of a layer as one fused operation ({op}), which hides them: {OWN_LOOP}"


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
    """What to call parameters and leaves: their symbol, else W1, W2, ... in the order of making; inputs have none."""
    leaves = sorted((said["order"], node) for node, said in graph.nodes(data=True)
                    if said["kind"] in ("parameter", "leaf"))
    names = {node: graph.nodes[node].get("symbol") for _, node in leaves}
    taken, count, at = set(names.values()), 0, uses(graph)
    inputs = input_leaves(graph, at)
    several = len({said["step"] for _, said in graph.nodes(data=True) if "step" in said}) > 1
    for _, node in leaves:
        if names[node] is not None or node in inputs:
            continue
        if graph.nodes[node]["kind"] == "parameter" or len(at[node]) > 1 or not several:
            count += 1
            while f"W{count}" in taken:
                count += 1
            names[node] = f"W{count}"
    return {node: name for node, name in names.items() if name is not None}


def input_leaves(graph: nx.MultiDiGraph, at: dict[str, set[int]]) -> set[str]:
    """Leaves without a mark that are inputs: cut into a row for each step, or the x of ``x @ W``, never a W.

    What is only moved about, or worked out with constants alone, is still the leaf. A table that rows are looked up in
    by arrays of numbers is a weight. `at` says in which steps each leaf is read, see `uses`.
    """
    leaves = [node for node, said in graph.nodes(data=True) if said["kind"] == "leaf" and "symbol" not in said]
    several = len({said["step"] for _, said in graph.nodes(data=True) if "step" in said}) > 1
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
    """What to call each state, by its name in the layer: as marked; of the others the youngest is h, then s2, ...

    A mark of no letter at all, ``mark(h, "")``, is none.

    Args:
        graph, layer: the layer.
        nodes: of what; by default of the `states`. Pictures want all that is `handed_on`: running sums are ΣL.
    """
    wanted = states(graph, layer) if nodes is None else nodes
    sums = wanted & running_sums(graph) - states(graph, layer)
    names = {name: graph.nodes[node].get("symbol") or (_sum_symbol(graph, node) if node in sums else None)
             for name, node in layer.youngest.items() if node in wanted}
    taken = set(names.values())
    for name in reversed(names):
        if names[name] is None:
            free = ("h" if j == 1 else f"s{j}" for j in range(1, len(names) + len(taken) + 2))
            names[name] = next(word for word in free if word not in taken)
            taken.add(names[name])
    return {name: str(symbol) for name, symbol in names.items()}


def _sum_symbol(graph: nx.MultiDiGraph, node: str) -> str:
    """What a sum without a symbol is called."""
    return "ΣL" if graph.nodes[node]["shape"] == "()" else "Σ"


def running_sums(graph: nx.MultiDiGraph) -> set[str]:
    """What a loop only adds up, as in ``L = L + L_t``, ``L = 0.9 * L + L_t`` or ``m = m + h``.

    It is handed from step to step, and yet is no state: nothing but the same sum is worked out from it before the loop
    is over, so the gradient there tells nothing of the net. What is marked as a hidden or a cell state is one, so is an
    array with a symbol. Nor is it a sum where there is nothing else that could be the state, as in ``h = h + g(x)``:
    of an array, in a loop of its scope; of a single number, in the whole graph, unless it leads to the root through
    sums alone.
    """
    nodes = graph.nodes
    summed: set[str] = set()
    candidates = [(said["order"], node) for node, said in nodes(data=True) if said.get("op") in SUMS | FACTORS
                  and "step" in said and said.get("role") not in ("hidden", "cell")]
    for _, node in sorted(candidates, reverse=True):
        if all("step" not in nodes[v] or (v in summed and _sums_up(graph, v, k))
               for _, v, k in graph.out_edges(node, keys=True)):
            summed.add(node)
    if not any(_is_handed_on(graph, node) for node in summed):
        return set()
    states = {said.get("path") for node, said in nodes(data=True)
              if said["kind"] == "computed" and node not in summed and _is_handed_on(graph, node)}
    losses = _towards_root(graph)
    return {node for node in summed if (said := nodes[node])["op"] in SUMS and (
        node in losses or (bool(states) if said["shape"] == "()" else
                           said.get("path") in states and "symbol" not in said))}


def _is_handed_on(graph: nx.MultiDiGraph, node: str) -> bool:
    step = graph.nodes[node].get("step")
    return step is not None and any(graph.nodes[v].get("step", step) != step for v in graph.successors(node))


def _towards_root(graph: nx.MultiDiGraph) -> set[str]:
    """Single numbers that lead to the root through sums, and constant factors after the loop, alone."""
    nodes, root = graph.nodes, graph.graph["root"]
    towards = {root} if nodes[root]["shape"] == "()" and nodes[root].get("op") in SUMS | FACTORS else set()
    for node in sorted((v for v, said in nodes(data=True) if said["shape"] == "()"), key=lambda v: -nodes[v]["order"]):
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


def _merged(graph: nx.MultiDiGraph, found: list[Layer], sums: set[str]) -> list[Layer]:
    """Layers without a recurrence of their own (running sums are none), taken into the one they exchange most with."""
    if len(found) < 2:
        return found
    home = {node: (i, step) for i, layer in enumerate(found)
            for step, ids in layer.steps.items() for node in ids.values()}
    shared: dict[tuple[int, int], int] = {}
    looped: set[int] = set()
    for u, v in graph.edges():
        if u in home and v in home:
            (i, s), (j, t) = home[u], home[v]
            if i == j and s != t and u not in sums:
                looped.add(i)
            elif i != j and s == t:
                shared[i, j] = shared[j, i] = shared.get((i, j), 0) + 1
    if not looped:
        return found
    kept = {i: found[i] for i in sorted(looped)}
    for i, layer in enumerate(found):
        if i in looped:
            continue
        host = max(looped, key=lambda j: (shared.get((i, j), 0), -j))
        for step, ids in layer.steps.items():
            inside = kept[host].steps.setdefault(step, {})
            for name, node in ids.items():
                inside[_free(inside, f"{layer.path}/{name}" if layer.path else name)] = node
    return list(kept.values())


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
    where = {node: step for step, ids in layer.steps.items() for node in ids.values()}
    handed_on = states(graph, layer)
    found = set()
    for state in handed_on:
        for _, consumer, k in graph.out_edges(state, keys=True):
            if where.get(consumer, where[state]) != where[state] and _is_carry(
                graph, Edge(consumer, k), handed_on, where
            ):
                found.add(Edge(consumer, k))
    return found


def handed_on(graph: nx.MultiDiGraph, layer: Layer) -> set[str]:
    """The nodes that are handed from one step to another, and those of the last step that bear the same names.

    They are the states and the `running_sums`.
    """
    return _handed_on(graph, layer, set())


def states(graph: nx.MultiDiGraph, layer: Layer) -> set[str]:
    """The recurrent states: what is `handed_on` and worked with in the next step, not just summed up."""
    return _handed_on(graph, layer, running_sums(graph))


def need_alike(graph: nx.MultiDiGraph, layer: Layer, name: str, who: str) -> None:
    """Check that an unmarked state is the same node of every step: at none does another one take its place.

    Raises:
        ValueError: if the steps differ, so that nothing says which nodes are one state.
    """
    handed = _handed_by_step(graph, layer, running_sums(graph))
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


def _handed_on(graph: nx.MultiDiGraph, layer: Layer, sums: set[str]) -> set[str]:
    names = set().union(*_handed_by_step(graph, layer, sums).values())
    return {ids[name] for ids in layer.steps.values() for name in names if name in ids}


def _handed_by_step(graph: nx.MultiDiGraph, layer: Layer, sums: set[str]) -> dict[int, set[str]]:
    """The names of what each step hands to another."""
    where = {node: step for step, ids in layer.steps.items() for node in ids.values()}
    return {
        step: {name for name, node in ids.items() if node not in sums and any(
            where.get(consumer, step) != step for consumer in graph.successors(node)
        )}
        for step, ids in layer.steps.items()
    }


def _is_carry(graph: nx.MultiDiGraph, edge: Edge, handed_on: set[str], where: dict[str, int]) -> bool:
    step, stack, seen = where[edge.consumer], [edge], {edge}
    while stack:
        node, k = stack.pop()
        said = graph.nodes[node]
        if where.get(node) != step or said.get("role") in ("gate", "candidate") or not is_linear(said.get("op"), k):
            continue
        if node in handed_on:
            return True
        after = {Edge(v, j) for _, v, j in graph.out_edges(node, keys=True)} - seen
        seen |= after
        stack.extend(after)
    return False
