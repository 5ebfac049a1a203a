"""Time, in a graph that says nothing of it: which step of which loop made each node.

A loop uses the same weights at every step, and what it does with a recurrent weight depends on what it did with it one
step before. So a weight whose uses depend on each other, one after another, counts the steps: the t-th use is in step
t. Weights whose uses depend on one another mutually belong to one loop. A node was made in the last step whose weights
it depends on, with four refinements: what was made after the loop belongs to none, what was worked out for one step
alone belongs to that step, and what joins the state with the next input belongs to the next step. A weight that reads
the input alone, or an output layer, counts nothing, for its uses do not depend on each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from operator import attrgetter

import numpy as np

from microgradrnn.engine import Node
from viz.graph.steps import MOVES

Reader = tuple[Node, int]
At = tuple[int, int]  # which loop, and which of its steps


@dataclass
class Uses:
    """The uses of one weight by one kind of operation; for each node, how many of them follow each other up to it."""

    nodes: set[Node]
    level: dict[Node, int] = field(default_factory=dict)

    @cached_property
    def last(self) -> Node:
        """The youngest use."""
        return max(self.nodes, key=lambda node: node.serial)

    @cached_property
    def steps(self) -> int:
        """How many follow each other."""
        return max(self.level.values())


@dataclass
class Recurrence:
    """One loop.

    Attributes:
        uses: where it uses its recurrent weights.
        low: for each node that depends on these, in which step the last one on its way is, from 1.
        high: for each node that a use depends on, in which step the first one is.
    """

    uses: set[Node]
    low: dict[Node, int]
    high: dict[Node, int]

    @cached_property
    def steps(self) -> int:
        """How many steps it takes."""
        return max(self.low.values())

    def goes_round(self, node: Node) -> bool:
        """Is it on a way from one step to a later one?"""
        return node in self.low and node in self.high

    def starts(self) -> dict[int, int]:
        """For each step the serial number of its first use of a weight."""
        found: dict[int, int] = {}
        for node in self.uses:
            step = self.low[node]
            found[step] = min(node.serial, found.get(step, node.serial))
        return found


@dataclass
class Times:
    """When nodes were made.

    Attributes:
        at: for those that were made in a step, which loop and which of its steps.
        depths: for each loop, how many others it depends on, one after another.
        backwards: the loops that read their inputs from the last to the first; their steps count down.
    """

    at: dict[Node, At]
    depths: list[int]
    backwards: set[int]


def times_of(nodes: list[Node]) -> Times:
    """When the nodes of a graph were made.

    Args:
        nodes: a whole graph, oldest first.
    """
    fixed, readers = weights(nodes), readers_of(nodes)
    loops = recurrences(nodes, fixed)
    at: dict[Node, At] = {}
    forms = [forms_of(nodes, fixed, loop) for loop in loops]
    for j, (loop, form) in enumerate(zip(loops, forms, strict=True)):
        at |= {node: (j, loop.low[node] - 1) for node in nodes if loop.goes_round(node)}
        at |= {node: (j, loop.low[node]) for node in joined_early(nodes, fixed, loop, form)}
    for j, (loop, form) in enumerate(zip(loops, forms, strict=True)):
        behind(j, loop, loops[j + 1:], form, at)
    for loop, form in zip(loops, forms, strict=True):
        for_another_loop(loop, form, readers, at)
    for_one_step(nodes, readers, at)
    depths: list[int] = []
    for j, loop in enumerate(loops):
        below = [depths[i] for i in range(j) if not loops[i].low.keys().isdisjoint(loop.uses)]
        depths.append(1 + max(below, default=-1))
    backwards = reading_backwards(nodes, loops, at)
    return Times({node: (j, loops[j].steps - 1 - step if j in backwards else step) for node, (j, step) in at.items()},
                 depths, backwards)


def readers_of(nodes: Iterable[Node]) -> dict[Node, list[Reader]]:
    """For each node, who reads it and as which operand."""
    found: dict[Node, list[Reader]] = {}
    for node in nodes:
        for k, x in enumerate(node.inputs):
            if x is not None:
                found.setdefault(x, []).append((node, k))
    return found


def weights(nodes: Iterable[Node]) -> dict[Node, Hashable]:
    """Leaves, and what is only moved or cut out of one: for each what it is, the same for equal parts of one leaf."""
    found: dict[Node, Hashable] = {}
    for node in nodes:
        if node.op is None:
            found[node] = id(node)
        elif is_move(node) and node.inputs[0] in found:
            found[node] = found[node.inputs[0]], node.op.name, str(node.params)
    return found


def is_move(node: Node) -> bool:
    """Does it only pass on entries of one operand, at places that are no array of indices?"""
    index = node.params.get("index")
    parts = index if isinstance(index, tuple) else (index,)
    return node.op.name in MOVES and len(node.inputs) == 1 and not any(isinstance(i, np.ndarray) for i in parts)


# ------------------------------------------------------------------------------------------------ the loops
def recurrences(nodes: list[Node], fixed: Mapping[Node, Hashable]) -> list[Recurrence]:
    """The loops of a graph, in the order in which they end."""
    by_form: dict[Hashable, Uses] = {}
    for node in nodes:
        if node not in fixed:
            for k, x in enumerate(node.inputs):
                if x is not None and x in fixed:
                    by_form.setdefault((fixed[x], node.op.name, k), Uses(set())).nodes.add(node)
    counting = []
    for one in by_form.values():
        if len(one.nodes) > 1:
            one.level = levels(nodes, one.nodes)
            if one.steps > 1:
                counting.append(one)
    groups: list[list[Uses]] = []
    for one in counting:
        mutual = [group for group in groups if any(depend(one, other) for other in group)]
        groups = [group for group in groups if group not in mutual] + [[one, *(u for group in mutual for u in group)]]
    loops = [recurrence(nodes, group) for group in groups]
    return sorted(loops, key=lambda loop: max(node.serial for node in loop.uses))


def levels(nodes: Iterable[Node], uses: set[Node]) -> dict[Node, int]:
    """For each node that depends on some uses, how many of them at most lie on one way to it."""
    level: dict[Node, int] = {}
    for node in nodes:
        before = max([level.get(x, 0) for x in node.inputs if x is not None], default=0)
        if before or node in uses:
            level[node] = before + (node in uses)
    return level


def depend(one: Uses, other: Uses) -> bool:
    """Does each depend on the other?"""
    return other.last in one.level and one.last in other.level


def recurrence(nodes: list[Node], group: list[Uses]) -> Recurrence:
    """The loop of weights that depend on each other. One that is used twice in a step does not count the steps."""
    counts = Counter(one.steps for one in group)
    steps = max(counts, key=lambda n: (counts[n], -n))
    group = [one for one in group if abs(one.steps - steps) < 2]
    uses = set().union(*(one.nodes for one in group))
    low = {node: found for node in nodes if (found := max(one.level.get(node, 0) for one in group))}
    high: dict[Node, int] = {}
    for node in reversed(nodes):
        now = min(low[node] if node in uses else math.inf, high.get(node, math.inf))
        if now < math.inf:
            for x in node.inputs:
                if x is not None:
                    high[x] = int(min(now, high.get(x, now)))
    return Recurrence(uses, low, high)


# ------------------------------------------------------------------------------------------------ the edges of a step
def forms_of(nodes: Iterable[Node], fixed: Mapping[Node, Hashable], loop: Recurrence) -> dict[Node, int]:
    """For each node that depends on a loop, what it is made of within its step; the same for nodes that do the same."""
    form: dict[Node, int] = {}
    for node in nodes:
        if (step := loop.low.get(node)) is not None:
            of = tuple(None if x is None else fixed[x] if x in fixed else form[x] if loop.low.get(x) == step else None
                       for x in node.inputs)
            form[node] = hash((node.op.name, str(node.params), of))
    return form


def joined_early(nodes: list[Node], fixed: Mapping[Node, Hashable], loop: Recurrence,
                 form: Mapping[Node, int]) -> Iterable[Node]:
    """What a step works out of the state before it uses a weight, as ``concat([x, h])``.

    It depends on no weight of its step, and so it looks as if the step before had made it. It joins the state with
    something else, and behind the last state there is nothing like it.
    """
    last = {form[node] for node in nodes if loop.low.get(node) == loop.steps}
    found: set[Node] = set()
    for node in nodes:
        if loop.goes_round(node) and node not in loop.uses and form[node] not in last and (
                joins(node, fixed, loop) or not found.isdisjoint(node.inputs)):
            found.add(node)
    return found


def joins(node: Node, fixed: Mapping[Node, Hashable], loop: Recurrence) -> bool:
    """Is one of the operands neither a weight, nor a number, nor of the loop?"""
    return any(np.ndim(a) > 0 or getattr(a, "shape", ()) == "?" if x is None else
               x not in fixed and x not in loop.low for x, a in zip(node.inputs, node._args, strict=True))


def behind(j: int, loop: Recurrence, later: list[Recurrence], form: Mapping[Node, int], at: dict[Node, At]) -> None:
    """What no later step depends on: made within its step, if before the next step began; else after the loop.

    In the last step that is within it which looks like something of the step before.
    """
    made: dict[int, list[Node]] = {}
    for node, step in loop.low.items():
        if not any(node in other.low for other in later):
            made.setdefault(step, []).append(node)
    starts, last = loop.starts(), loop.steps
    for step in range(1, last):
        at |= {node: (j, step - 1) for node in made[step] if node not in at and node.serial < starts[step + 1]}
    alike = {form[node] for node in made[last - 1] if at.get(node) == (j, last - 2)}
    at |= {node: (j, last - 1) for node in made[last] if node not in at and form[node] in alike}


def for_another_loop(loop: Recurrence, form: Mapping[Node, int], readers: Mapping[Node, list[Reader]],
                     at: dict[Node, At]) -> None:
    """What a step works out for a step of another loop alone belongs to that one: ``h @ U`` of the layer above."""
    round_it = {form[node] for node in loop.low if loop.goes_round(node)}
    for node in sorted(loop.low, key=attrgetter("serial"), reverse=True):
        if node in at and form[node] not in round_it:
            reading = {at.get(v) for v, _ in readers.get(node, ())}
            there = reading.pop() if len(reading) == 1 else None
            if there is not None and there[0] != at[node][0]:
                at[node] = there


def for_one_step(nodes: list[Node], readers: Mapping[Node, list[Reader]], at: dict[Node, At]) -> None:
    """What was worked out for one step alone belongs to it: the input ``xs[t]``, the ``W.T`` of this step."""
    read_in: dict[Node, set[At]] = {}
    for node in reversed(nodes):
        found: set[At] = set()
        for v, _ in readers.get(node, ()):
            found |= {at[v]} if v in at else read_in[v]
        read_in[node] = found
    for node in nodes:
        if node not in at and node.op is not None and len(read_in[node]) == 1:
            (at[node],) = read_in[node]


def in_turn(nodes: list[Node], at: Mapping[Node, At]) -> list[Node]:
    """The nodes with the inputs of each step made in their turn: after the step before, not for all steps at once."""
    inputs: set[Node] = set()
    starts: dict[At, int] = {}
    for node in nodes:
        if node in at:
            if any(x in at and at[x][0] == at[node][0] and x not in inputs for x in node.inputs if x is not None):
                starts.setdefault(at[node], node.serial)
            else:
                inputs.add(node)
    before: dict[At, int] = {}  # when the step before began
    for one, other in pairwise(sorted(starts, key=lambda here: (here[0], starts[here]))):
        if one[0] == other[0]:
            before[other] = starts[one]
    late = {node for node in inputs if node.serial < before.get(at[node], -1)}
    found: dict[Node, None] = {}
    for node in nodes:
        if node not in late:
            waiting = [node]
            while waiting:
                missing = [x for x in waiting[-1].inputs if x in late and x not in found]
                if missing:
                    waiting += missing[:1]
                else:
                    found[waiting.pop()] = None
    return list(found)


def reading_backwards(nodes: Iterable[Node], loops: list[Recurrence], at: Mapping[Node, At]) -> set[int]:
    """The loops that read their inputs, at each step one, from the last to the first."""
    read: dict[At, list[int]] = {}
    for node in nodes:
        if node in at:
            read.setdefault(at[node], []).extend(places_read(node, at))
    found = set()
    for j, loop in enumerate(loops):
        places = [read[j, step][0] for step in range(loop.steps) if read.get((j, step))]
        if len(places) == loop.steps and all(a > b for a, b in pairwise(places)):
            found.add(j)
    return found


def places_read(node: Node, at: Mapping[Node, At]) -> Iterator[int]:
    """The places in time at which a node reads an array that was made outside the loop.

    Of a plain array that is where its numbers lie in memory: the slices of one array follow each other there.
    """
    index = node.params.get("index")
    first = next((i for i in (index if isinstance(index, tuple) else (index,)) if isinstance(i, int)), None)
    if first is not None and all(x not in at for x in node.inputs if x is not None):
        yield first
