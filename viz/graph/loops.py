"""Loops: which pass through which loop made each node. Read off the graph, so scopes may be nested in any way.

A *step* is everything that one pass through a loop made, whatever scopes it opened inside. What lies between two steps,
made outside `scope(step=)`, belongs to the step that reads it. Steps of one loop run the same code, so their nodes
correspond to each other: `Loop.places` gives the nodes that do the same thing the same name at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import networkx as nx

BETWEEN = "between"  # the first part of the names of what is made between two steps


class Place(NamedTuple):
    """Where a step makes a node: the path of scopes, and a name that no other node of the step has there."""

    path: str
    name: str


@dataclass
class Loop:
    """One loop.

    Attributes:
        steps: the nodes of each step, oldest first; the steps in the order in which the loop took them.
        places: for each of these nodes its place.
        again: did another loop of the same paths come before it?
        scopes: where the steps were set: mostly one place.
    """

    steps: dict[int, list[str]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    again: bool = False
    scopes: frozenset[str] = frozenset()

    def encloses(self, other: Loop) -> bool:
        """Does the other loop run inside one step of this one?"""
        return any(inner.startswith(f"{outer}/t") for outer in self.scopes for inner in other.scopes)

    def step_of(self) -> dict[str, int]:
        """For each node its step."""
        return {node: step for step, nodes in self.steps.items() for node in nodes}


@dataclass
class Run:
    """What the steps of one loop made under one path of scopes."""

    path: str
    loop: str
    again: bool
    steps: dict[int, list[str]] = field(default_factory=dict)


def loops(graph: nx.MultiDiGraph, weights: set[str]) -> list[Loop]:
    """The loops of a graph, in the order of making.

    Args:
        graph: the graph.
        weights: leaves that several steps read: they belong to none.
    """
    found = [joined(graph, loop) for loop in in_turn(graph, runs(graph, weights))]
    take_in_passages(graph, found)
    for loop in found:
        align(graph, loop)
    return found


def runs(graph: nx.MultiDiGraph, weights: set[str]) -> list[Run]:
    """The nodes by loop, path and step. A run ends where a step of its loop comes round a second time: another begins.

    That is seen under whatever path it happens: the first step of a loop may make nothing under some of them.
    """
    passes: dict[str, list[Pass]] = {}
    for node, said in sorted(graph.nodes(data=True), key=made):
        if "step" not in said or said["kind"] in ("constant", "parameter") or node in weights:
            continue
        of_loop = passes.setdefault(said.get("loop", said.get("path", "")), [])
        if not of_loop or of_loop[-1].is_over(said["step"]):
            of_loop.append(Pass())
        of_loop[-1].add(said["step"], node)
    found: list[Run] = []
    facts = graph._node
    for loop, of_loop in passes.items():
        for before, after in pairwise(of_loop):
            turn_round(graph, before, after)
        for j, one in enumerate(of_loop):
            by_path: dict[str, Run] = {}
            for step, nodes in one.steps.items():
                for node in nodes:
                    path = facts[node].get("path", "")
                    if path not in by_path:
                        by_path[path] = Run(path, loop, again=j > 0)
                    by_path[path].steps.setdefault(step, []).append(node)
            found += by_path.values()
    return sorted(found, key=lambda run: min(facts[nodes[0]]["order"] for nodes in run.steps.values()))


@dataclass
class Pass:
    """One run through the steps that one place in the code sets: what it made at each step, and where it is now."""

    steps: dict[int, list[str]] = field(default_factory=dict)
    now: int | None = None

    def is_over(self, step: int) -> bool:
        """Is this step made a second time?"""
        return step != self.now and step in self.steps

    def add(self, step: int, node: str) -> None:
        """Take in what comes next."""
        self.now = step
        self.steps.setdefault(step, []).append(node)


def turn_round(graph: nx.MultiDiGraph, before: Pass, after: Pass) -> None:
    """Give the second of two loops its first step, if it runs backwards over the steps of the first.

    Suppose the first loop takes the steps 0, 1, 2 and the second one 2, 1, 0. Then step 2 comes twice in a row, and the
    two look like a single step, which has more nodes than step 1. The additional nodes belong to the second loop, if
    its step 1 has nodes of the same kinds.
    """
    if len(before.steps) < 2:
        return
    previous, last = list(before.steps)[-2:]
    own = len(before.steps[previous])
    surplus = before.steps[last][own:]
    if next(iter(after.steps)) != previous or last in after.steps or not surplus:
        return
    there = {_kind(graph, node) for node in after.steps[previous]}
    if all(_kind(graph, node) in there for node in surplus):
        before.steps[last] = before.steps[last][:own]
        after.steps = {last: surplus, **after.steps}


Spans = dict[int, tuple[int, int]]  # for each step: its oldest and its youngest node, by the order of making


def in_turn(graph: nx.MultiDiGraph, found: list[Run]) -> list[list[Run]]:
    """Runs that take their steps in turn are one loop: all of them finish a step before any begins the next."""
    facts = graph._node
    loops: list[tuple[list[Run], Spans]] = []
    for run in found:
        own = {step: (facts[nodes[0]]["order"], facts[nodes[-1]]["order"]) for step, nodes in run.steps.items()}
        for j in reversed(range(len(loops))):
            loop, spans = loops[j]
            if (both := _taking_turns(graph, loop, spans, run, own)) is not None:
                loops[j] = [*loop, run], both
                break
        else:
            loops.append(([run], own))
    return [loop for loop, _ in loops]


def _taking_turns(graph: nx.MultiDiGraph, loop: list[Run], spans: Spans, run: Run, own: Spans) -> Spans | None:
    """The steps of a loop and a run together; None if they do not take turns.

    A single step in common shows no turns. It counts if the step was set at the same place, or if one of the two
    computes nothing: inputs that were made in a scope of their own.
    """
    shared = spans.keys() & own.keys()
    if not shared or (len(shared) == 1 and all(run.loop != other.loop for other in loop)
                      and _computes(graph, run) and any(_computes(graph, other) for other in loop)):
        return None
    both = [(step, (min(a[0], b[0]), max(a[1], b[1]))) for step in spans | own
            for a, b in [(spans.get(step) or own[step], own.get(step) or spans[step])]]
    both.sort(key=lambda item: item[1])
    return dict(both) if all(a[1] < b[0] for (_, a), (_, b) in pairwise(both)) else None


def _computes(graph: nx.MultiDiGraph, run: Run) -> bool:
    return any(graph.nodes[node]["kind"] == "computed" for nodes in run.steps.values() for node in nodes)


def joined(graph: nx.MultiDiGraph, runs_of_it: list[Run]) -> Loop:
    """Runs that take turns, as one loop."""
    steps: dict[int, list[str]] = {}
    for run in runs_of_it:
        for step, nodes in run.steps.items():
            steps.setdefault(step, []).extend(nodes)
    facts = graph._node
    if len(runs_of_it) > 1:
        for nodes in steps.values():
            nodes.sort(key=lambda node: facts[node]["order"])
    return Loop(dict(sorted(steps.items(), key=lambda item: facts[item[1][0]]["order"])),
                again=any(run.again for run in runs_of_it), scopes=frozenset(run.loop for run in runs_of_it))


def take_in_passages(graph: nx.MultiDiGraph, found: list[Loop]) -> None:
    """What lies between two steps of a loop becomes part of the step that reads it, the first of those that do."""
    free = sorted(((node, said) for node, said in graph.nodes(data=True)
                   if "step" not in said and said["kind"] == "computed"), key=made)
    if not free:
        return
    home: dict[str, tuple[int, int]] = {}
    for j, loop in enumerate(found):
        for t, nodes in enumerate(loop.steps.values()):
            home |= dict.fromkeys(nodes, (j, t))
    above: dict[str, set[int]] = {}  # the loops that a node was worked out from
    for node, _ in free:
        above[node] = set().union(*({home[u][0]} if u in home else above.get(u, ()) for u in graph.predecessors(node)))
    below: dict[str, dict[int, int]] = {}  # the loops that read it, and which of their steps does so first
    taken: dict[tuple[int, int], list[str]] = {}
    for node, _ in reversed(free):
        first = below.setdefault(node, {})
        for v in graph.successors(node):
            for j, t in [home[v]] if v in home else below.get(v, {}).items():
                first[j] = min(t, first.get(j, t))
        for j in above[node] & first.keys():
            taken.setdefault((j, first[j]), []).append(node)
    for (j, t), nodes in taken.items():
        step = list(found[j].steps)[t]
        found[j].steps[step] = sorted([*nodes, *found[j].steps[step]], key=lambda node: graph.nodes[node]["order"])


def align(graph: nx.MultiDiGraph, loop: Loop) -> None:
    """Give every node a place, nodes of different steps that do the same the same one.

    The step with the most nodes is the pattern. Other steps lack some of it: the first, for its state is a plain array;
    the last, for no loss reads all of it.
    """
    forms = {step: _form(graph, nodes) for step, nodes in loop.steps.items()}
    pattern = max(loop.steps, key=lambda step: len(loop.steps[step]))
    names, first = _own_places(graph, loop, pattern), next(iter(loop.steps))
    loop.places |= zip(loop.steps[pattern], names, strict=True)
    fitted: dict[Any, list[int | None]] = {}
    for step, nodes in loop.steps.items():
        if step == pattern:
            continue
        if forms[step] == forms[pattern]:
            loop.places |= zip(nodes, names, strict=True)
            continue
        details = _details(graph, nodes, step == first)
        if details not in fitted:
            fitted[details] = _fit(details, _details(graph, loop.steps[pattern], pattern == first))
        places = [None if j is None else names[j] for j in fitted[details]]
        taken = set(names)
        for node, place, own in zip(nodes, places, _own_places(graph, loop, step), strict=True):
            if place is None:
                place = own
                while place in taken:
                    place = Place(place.path, f"{place.name}'")
                taken.add(place)
            loop.places[node] = place


def _form(graph: nx.MultiDiGraph, nodes: list[str]) -> list[Any]:
    """The kinds of the nodes of a step, and which of them read which: the operands are numbered as the nodes are."""
    number, read = {node: j for j, node in enumerate(nodes)}, graph._pred
    found = []
    for node in nodes:
        operands = [(k, number[u]) for u, keys in read[node].items() if u in number for k in keys]
        if len(operands) > 1:
            operands.sort()
        found.append((*_kind(graph, node), *operands))
    return found


def _kind(graph: nx.MultiDiGraph, node: str) -> tuple[Any, ...]:
    """What a node is: its mark, if it has one; else its operation."""
    said = graph._node[node]
    symbol, role = said.get("symbol"), said.get("role")
    return said.get("path"), said.get("op") if symbol is None and role is None else None, symbol, role


class Details(NamedTuple):
    """What tells a node of a step apart from others: its kind, what it reads, all that it was made from within the
    step, and the weights it reads. What it reads of other steps does not count, for at the first step that may be a
    plain array.
    """

    kind: int
    marked: bool
    reads: tuple[Any, ...]
    operands_read: tuple[tuple[Any, ...] | None, ...]
    made_from: int
    weights: tuple[str, ...]

    def likeness(self, other: Details) -> int:
        """How well two nodes correspond to each other; 0 if they do not.

        A mark says so by itself. Else operands that are known of both and differ speak against it; and so does an
        operand that is computed in one step and not in the other, unless another operand, or a weight, speaks for it.
        """
        if self.kind != other.kind:
            return 0
        if self.marked:
            return 20
        if differ(self.reads, other.reads):
            return 0
        same_weights = bool(self.weights) and self.weights == other.weights
        agreeing, lone = 0, False
        below = zip(self.operands_read, other.operands_read, strict=False)
        for a, b, (below_a, below_b) in zip(self.reads, other.reads, below, strict=False):
            if a is not None and a == b:
                agreeing += a != PLAIN and (below_a is None or below_b is None or not differ(below_a, below_b))
            else:
                lone = lone or below_a is not None or below_b is not None
        if lone and not agreeing and not same_weights:
            return 0
        alike = 2 * (self.reads == other.reads) + 4 * (self.made_from == other.made_from) + 3 * same_weights
        return 1 + agreeing + alike


PLAIN = "plain"  # what an array or a number that is no node is known as


def differ(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Is an operand known of both, and not the same?"""
    return any(x is not None and y is not None and x != y for x, y in zip(a, b, strict=False))


def _details(graph: nx.MultiDiGraph, nodes: list[str], is_first: bool) -> tuple[Details, ...]:
    """The details of the nodes of one step. At the first one a plain array may stand for what later is a node."""
    found: dict[str, Details] = {}
    for node in nodes:
        kind, reads, below, whole, weights = _kind(graph, node), [], [], [], []
        for k, u in sorted((k, u) for u, _, k in graph.in_edges(node, keys=True)):
            said = graph.nodes[u]
            here: Any = None
            if said["kind"] in ("parameter", "leaf"):
                weights.append(u)
            if said["kind"] == "parameter":
                here = said.get("symbol"), said.get("shape")
            elif said["kind"] == "constant":
                here = None if is_first else PLAIN
            elif u in found and said["kind"] == "computed":
                here = _kind(graph, u)
            reads.append(here)
            below.append(found[u].reads if u in found else None)
            whole.append((k, found[u].made_from if u in found else here))
        made_from = hash((kind, *whole))
        found[node] = Details(hash(kind), kind[1] is None, tuple(reads), tuple(below), made_from, tuple(weights))
    return tuple(found.values())


def _fit(step: Sequence[Details], pattern: Sequence[Details]) -> list[int | None]:
    """For each node of a step which node of the pattern it corresponds to, if any: in the same order, the best of all.

    (Needleman and Wunsch's alignment of two sequences, without a price for gaps.)
    """
    n, m = len(step), len(pattern)
    start = next((i for i in range(min(n, m)) if step[i] != pattern[i]), min(n, m))
    best = [[0] * (m - start + 1) for _ in range(n - start + 1)]  # of what comes after i and j
    for i in reversed(range(n - start)):
        row, below = best[i], best[i + 1]
        for j in reversed(range(m - start)):
            like = step[start + i].likeness(pattern[start + j])
            row[j] = max(row[j + 1], below[j], like + below[j + 1] if like else 0)
    found: list[int | None] = [*range(start), *[None] * (n - start)]
    i = j = 0
    while i < n - start and j < m - start:
        like = step[start + i].likeness(pattern[start + j])
        if like and best[i][j] == like + best[i + 1][j + 1]:
            found[start + i] = start + j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _own_places(graph: nx.MultiDiGraph, loop: Loop, step: int) -> list[Place]:
    """The places of the nodes of one step, by the names that the graph gives them.

    Of a loop that comes a second time these are counted anew: what the graph calls h_2 is its h.
    """
    count: dict[Place, int] = {}
    found: dict[Place, None] = {}
    for node in loop.steps[step]:
        said = graph.nodes[node]
        between = "step" not in said
        name = said["name"]
        if between or loop.again:
            base = said.get("symbol") or said.get("op") or said["kind"]
            one = Place(said.get("path", ""), f"{BETWEEN}/{base}" if between else base)
            count[one] = n = count.get(one, 0) + 1
            name = one.name if n == 1 else f"{one.name}_{n}"
        place = Place(said.get("path", ""), name)
        while place in found:
            place = Place(place.path, f"{place.name}'")
        found[place] = None
    return list(found)


def made(item: tuple[str, dict[str, Any]]) -> int:
    """When a node was made: nodes with what the graph says of them are sorted by it."""
    order: int = item[1]["order"]
    return order
