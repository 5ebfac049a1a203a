"""Identities: nodes that are the same as another one, as ``h * 1.0``, ``h + 0``, ``-(-h)`` or ``h.T.T``.

They change nothing in the mathematics, so they must change nothing in what is measured. `without_identities` gives the
same computation with those who read such a node reading the original instead.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.node import NO_TAG
from viz.graph.reachable import reachable

MOVES = {"reshape", "transpose", "getitem", "astype"}
CANDIDATES = {*MOVES, "negative", "multiply", "divide", "add", "subtract"}


class Multiple(NamedTuple):
    """A node as a multiple of another: ``factor * origin``, with the entries of the origin at these places.

    Attributes:
        origin: the other node.
        factor: a plain number.
        places: which entry of the origin each entry is; None if they are where they were.
    """

    origin: Node
    factor: float
    places: np.ndarray | None = None


def identities(nodes: Sequence[Node]) -> dict[Node, Node]:
    """For each node that is the same as another one, that one.

    What lies between the two must serve nothing else, and have no mark and no hook. A factor that is 1 at some steps
    only, as in ``gamma[t] * h``, makes no identity: the steps of a loop are to be alike.

    Args:
        nodes: a whole graph, oldest first.

    >>> from microgradrnn import Value
    >>> x = Value(3.0)
    >>> y = -(-x)
    >>> identities([x, y.inputs[0], y]) == {y: x}
    True
    """
    candidates = [node for node in nodes if node.op is not None and node.op.name in CANDIDATES]
    readers = Readers(nodes)
    opaque: set[Node] = set()  # looks like the same at its step, and is not to count as such
    while True:
        found = _same(candidates, readers, opaque)
        failing = found.keys() - _alike_at_all_steps(found, candidates, readers).keys()
        if not failing:
            return found
        opaque |= {node for node in failing if failing.isdisjoint(node.inputs)}  # the rest may stand on these


class Readers:
    """For each node, who reads it and as which operand. Worked out when it is first asked for: mostly nobody asks."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    @cached_property
    def known(self) -> dict[Node, list[tuple[Node, int]]]:
        """The readers of all nodes."""
        found: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for k, x in enumerate(node.inputs):
                if x is not None:
                    found.setdefault(x, []).append((node, k))
        return found

    def of(self, node: Node) -> list[tuple[Node, int]]:
        """The readers of one."""
        return self.known.get(node, [])


def _same(candidates: Sequence[Node], readers: Readers, opaque: set[Node]) -> dict[Node, Node]:
    """For each node the oldest one that it was made of and is the same as. Opaque nodes are made of nothing."""
    multiples: dict[Node, Multiple] = {}
    keys: dict[Node, Hashable] = {}  # what they are a multiple of; equal ones have the same key
    first: dict[Hashable, Node] = {}  # the oldest node of each key
    known: dict[Node, Known] = {}
    found: dict[Node, Node] = {}
    for node in candidates:
        if node in opaque or node.hooks or (one := multiple(node, multiples)) is None:
            continue
        multiples[node] = one
        places = None if one.places is None else (one.places.shape, one.places.tobytes())
        keys[node] = key = one.origin, one.factor, places
        goal = first.setdefault(key, one.origin if one.factor == 1 and places is None else node)
        if goal is not node and (old := _oldest(node, goal, keys, known, readers)):
            known[node] = old
            found[node] = found.get(old.same, old.same)
    return found


class Known(NamedTuple):
    """What a node is the same as.

    Attributes:
        same: the oldest node that it is the same as, and all that lies between the two is for this node alone.
        reads: how often that one is read on the way.
    """

    same: Node
    reads: int


def _oldest(node: Node, goal: Node, keys: Mapping[Node, Hashable], known: Mapping[Node, Known],
            readers: Readers) -> Known | None:
    """The oldest node that a node is the same as, if all that lies between is for this node alone and has no mark.

    It is looked for from the node backwards, newest first; where all ways meet in one node, what lies between is made
    of that one. On the way, what is known of a node leads at once to the oldest that it is the same as: a chain of n
    identities takes n steps.

    Args:
        node: what the same is looked for.
        goal: the oldest node that it may be the same as.
        keys: what each node, this one too, is a multiple of.
        known: what was found for older nodes.
        readers: who reads what.
    """
    reads: dict[Node, int] = {}
    ways: list[tuple[int, int, Node]] = []  # to the nodes that are next, newest first

    def lead(x: Node | None, times: int) -> None:
        if x is not None:
            if x not in reads:
                heappush(ways, (-x.serial, id(x), x))
            reads[x] = reads.get(x, 0) + times

    for y in node.inputs:
        lead(y, 1)
    best = None
    while ways and (x := heappop(ways)[2]).serial >= goal.serial:
        if not ways and (x is goal or keys.get(x) == keys[node]) and _is_alike_in_mark(node, x):
            best = Known(x, reads[x])
        if x.tag != NO_TAG or x.hooks or reads[x] != len(readers.of(x)):
            break
        if x in known and node.tag == NO_TAG and keys[x] == keys[node] and _is_alike_in_mark(node, x):
            lead(*known[x])  # what x is the same as, so is this one; with a mark it might not be
        else:
            for y in x.inputs:
                lead(y, 1)
    return best


def _is_alike_in_mark(node: Node, x: Node) -> bool:
    """Have both the same dtype, and may they be one thing? Two that are marked as different things are different."""
    if np.asarray(node.data).dtype != np.asarray(x.data).dtype:
        return False
    return node.tag in (NO_TAG, x.tag) or (x.tag == NO_TAG and x.op is not None)


def _alike_at_all_steps(same: dict[Node, Node], candidates: Sequence[Node], readers: Readers) -> dict[Node, Node]:
    """The identities in whose place there is nothing else at any step."""
    forms: dict[Any, dict[int | None, list[int]]] = {}  # by form and step: how many are the same as another, or not
    operations = {node.op for node in same}
    for node in candidates:
        if node.op in operations:
            for k in range(len(node.inputs)):
                count = forms.setdefault(_form(node, k, readers), {}).setdefault(node.scope.step, [0, 0])
                count[node not in same] += 1
    return {node: origin for node, origin in same.items()
            if any(_is_alike(forms[_form(node, k, readers)], node) for k, x in enumerate(node.inputs) if x is not None)}


def _is_alike(counts: dict[int | None, list[int]], node: Node) -> bool:
    """Is there no step at which something else stands in the place of this identity?"""
    same, others = counts[node.scope.step]
    if node.scope.step is None:
        return not others
    return not any(s < same and n > others for s, n in counts.values())


def multiple(node: Node, known: dict[Node, Multiple]) -> Multiple | None:
    """What a node is a multiple of, other than itself."""
    op, x = node.op.name, node.inputs[0]
    if op in MOVES and (x is None or node.data.size != x.data.size):  # (they are made of arrays only)
        return None
    if len(node.inputs) == 2 and None not in node.inputs and known.keys().isdisjoint(node.inputs):
        return None if x is not node.inputs[1] or op != "add" else Multiple(x, 2.0)  # type: ignore[arg-type]
    of = [None if y is None else known.get(y) or Multiple(y, 1.0) for y in node.inputs]
    if op in MOVES:
        return _moved(node, of[0])  # type: ignore[arg-type]
    if op == "negative":
        return of[0]._replace(factor=-of[0].factor)  # type: ignore[union-attr]
    sign = -1 if op == "subtract" else 1
    a, b = of
    if a is not None and b is not None:
        alike = op in ("add", "subtract") and a.origin is b.origin and a.places is None and b.places is None
        return a._replace(factor=a.factor + sign * b.factor) if alike else None
    one, plain = (a, node.args[1]) if b is None else (b, node.args[0])
    source = node.inputs[0] if b is None else node.inputs[1]
    if one is None or source is None or np.size(plain) != 1 or np.shape(node.data) != np.shape(source.data):
        return None
    number = float(np.asarray(plain).reshape(()))
    if op in ("add", "subtract"):
        return one._replace(factor=one.factor * (sign if b is not None else 1)) if number == 0 else None
    if op == "divide" and (b is not None or number == 0):
        return None
    return one._replace(factor=one.factor * number if op == "multiply" else one.factor / number)


def _moved(node: Node, one: Multiple) -> Multiple:
    """The same entries in another order or shape."""
    start = np.arange(np.size(one.origin.data)).reshape(np.shape(one.origin.data))
    places = np.asarray(node.op(start if one.places is None else one.places, **node.params))
    return one._replace(places=None if np.array_equal(places, start) else places)


def _form(node: Node, k: int, readers: Readers) -> Any:
    """What nodes of different steps that do the same have in common, seen from their k-th operand."""
    x, scope = node.inputs[k], node.scope
    of = None if x is None else (x.op and x.op.name, x.tag, x.scope.path, x.scope.step == scope.step)
    read = frozenset((v.op.name, v.scope.path, j) for v, j in readers.of(node)) if scope.step is None else None
    return scope.path, node.op.name, node.tag, k, of, read


def inside(same: dict[Node, Node]) -> set[Node]:
    """The nodes that are the same as another one, and all that lies between the two."""
    found: set[Node] = set(same)
    for node, origin in same.items():
        stack = [node]
        while stack:
            for x in stack.pop().inputs:
                if x is not None and x is not origin and x not in found:
                    found.add(x)
                    stack.append(x)
    return found


def without_identities(root: Node) -> tuple[Node, dict[Node, Node]]:
    """The same computation without identities.

    Args:
        root: what was computed.

    Returns:
        The root, and for each node the one in its place. If there is no identity, all are themselves. Else those that
        stand above one are copies: they hold the same data and the same operands.
    """
    nodes = reachable(root)
    same = identities(nodes)
    place = {node: node for node in nodes}
    if not same:
        return root, place
    given = {origin: node.tag for node, origin in same.items() if node.tag != NO_TAG and origin.tag == NO_TAG
             and origin.op is not None}
    made = {node: (node.scope.path, node.op.name) for node in nodes if node.op is not None and node.tag == NO_TAG}
    kept = at_every_step((form, node.scope.step, given.get(node)) for node, form in made.items())
    marks = {origin: tag for origin, tag in given.items() if (made[origin], tag) in kept}
    for node in nodes:
        if node in same:
            place[node] = place[same[node]]
        elif node in marks or any(x is not None and place[x] is not x for x in node.inputs):
            place[node] = _copy(node, place, marks.get(node, node.tag))
    return place[root], place


def at_every_step(made: Iterable[tuple[Hashable, Hashable, Hashable]]) -> set[tuple[Hashable, Hashable]]:
    """The marks that nodes of a form get at every step that makes some.

    In ``h = mark(h * 1.0, "k")`` at the start of a step, the identity marks the state of the step before. Nothing does
    so with the last state: if the others had a mark that it lacks, it would seem to be something else.

    Args:
        made: for each node its form, its step, and the mark that it is given by what is the same; None if by nothing.

    Returns:
        The forms with their marks.
    """
    steps: dict[Hashable, set[Hashable]] = {}
    marked: dict[tuple[Hashable, Hashable], set[Hashable]] = {}
    for form, step, mark in made:
        steps.setdefault(form, set()).add(step)
        if mark is not None:
            marked.setdefault((form, mark), set()).add(step)
    return {key for key, there in marked.items() if there == steps[key[0]]}


def _copy(node: Node, place: dict[Node, Node], tag: Any) -> Node:
    """The node with other inputs, in the same place of the order."""
    copy = object.__new__(type(node))
    for name in Node.__slots__:
        setattr(copy, name, getattr(node, name))
    copy.tag = tag
    copy.inputs = tuple(x if x is None else place[x] for x in node.inputs)
    copy._args = tuple(arg if x is None or place[x] is x else place[x]._data
                       for x, arg in zip(node.inputs, node._args, strict=True))
    return copy
