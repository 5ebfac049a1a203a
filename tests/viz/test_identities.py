"""Nodes that are the same as an older one: what the search finds is what the definition says, at any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import viz
from microgradrnn import Tensor, Value, mark, scope
from microgradrnn.engine import Node
from microgradrnn.engine.node import NO_TAG
from viz.graph.identities import CANDIDATES, Multiple, Readers, _same, multiple, without_identities
from viz.graph.reachable import reachable

STEPS: dict[str, Callable[[Any], Any]] = {
    "times 1": lambda y: y * 1.0, "plus 0": lambda y: y + 0, "minus": lambda y: -y, "twice": lambda y: y * 2.0,
    "half": lambda y: y * 0.5, "over 1": lambda y: y / 1.0, "a sum": lambda y: y * 3.0 - y - y,
    "other": lambda y: y + 1,
    "turned": lambda y: y.T if isinstance(y, Tensor) else -y,
    "back to front": lambda y: y[::-1] if isinstance(y, Tensor) else y * 1.0,
    "float32": lambda y: y.astype(np.float32) if isinstance(y, Tensor) else y * 1.0,
    "marked": lambda y: mark(y * 1.0, "h"), "marked as another": lambda y: mark(y + 0, "c"),
}


def is_closed(node: Node, origin: Node, readers: Readers) -> bool:
    """The definition: all between the two is made of the origin, for this node alone, and without a mark or a hook."""
    if np.asarray(node.data).dtype != np.asarray(origin.data).dtype or (node.tag not in (NO_TAG, origin.tag) and (
            origin.tag != NO_TAG or origin.op is None)):
        return False
    between: set[Node] = set()
    stack = [node]
    while stack:
        for x in stack.pop().inputs:
            if x is not None and x is not origin and x not in between:
                if x.serial < origin.serial or x.tag != NO_TAG or x.hooks:
                    return False
                between.add(x)
                stack.append(x)
    return all(reader is node or reader in between for x in between for reader, _ in readers.of(x))


def by_definition(candidates: Sequence[Node], readers: Readers) -> dict[Node, Node]:
    """For each node the oldest equal multiple of the same origin over which it is closed: all pairs are tried."""
    multiples: dict[Node, Multiple] = {}
    equal: dict[Any, list[Node]] = {}
    found: dict[Node, Node] = {}
    for node in candidates:
        if node.hooks or (one := multiple(node, multiples)) is None:
            continue
        multiples[node] = one
        places = None if one.places is None else (one.places.shape, one.places.tobytes())
        first = [one.origin] if one.factor == 1 and places is None else []
        others = equal.setdefault((one.origin, one.factor, places), first)
        origin = next((x for x in others if is_closed(node, x, readers)), None)
        if origin is not None:
            found[node] = found.get(origin, origin)
        others.append(node)
    return found


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_found_is_what_the_definition_says(data: st.DataObject) -> None:
    pool: list[Any] = [Value(2.0) if data.draw(st.booleans()) else Tensor(np.arange(4.0).reshape(2, 2))]
    hooked = data.draw(st.integers(0, 60))
    for k in range(data.draw(st.integers(1, 30))):
        y = pool[-1] if data.draw(st.integers(0, 4)) else data.draw(st.sampled_from(pool))
        with scope("loop", step=k // 3):
            pool.append(STEPS[data.draw(st.sampled_from(sorted(STEPS)))](y))
        if k == hooked:
            pool[-1].register_hook(lambda g: None)
    read = [pool[-1], *(y for y in pool if not data.draw(st.integers(0, 6)))]
    root = sum(y.sum() if isinstance(y, Tensor) else y for y in read)
    nodes = reachable(root)
    readers = Readers(nodes)
    candidates = [node for node in nodes if node.op is not None and node.op.name in CANDIDATES]
    assert _same(candidates, readers, set()) == by_definition(candidates, readers)


@pytest.mark.parametrize("step", sorted(STEPS))
@pytest.mark.parametrize("read_at_every_step", [False, True])
def test_a_chain_twice_as_long_takes_twice_as_many_looks(step: str, read_at_every_step: bool,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [0]
    right = Readers.of

    def counting(self: Readers, node: Node) -> Any:
        looks[0] += 1
        return right(self, node)

    monkeypatch.setattr(Readers, "of", counting)
    counts = []
    for n in (200, 400):
        y = Tensor(np.ones((2, 2)))
        read = []
        for _ in range(n):
            y = STEPS[step](y)
            read.append(y)
        root = sum(one.sum() for one in read) if read_at_every_step else y.sum()
        looks[0] = 0
        viz.trace(root)
        counts.append(looks[0])
    assert counts[1] <= 2.1 * counts[0] + 20


def test_the_end_of_a_long_chain_of_products_with_one_is_its_start() -> None:
    y = x = Tensor(np.ones(2))
    for _ in range(3_000):
        y = y * 1.0
    _, place = without_identities(y.sum())
    assert place[y] is x
