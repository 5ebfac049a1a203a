"""A reverse pass that remembers by which way the gradient came.

A gradient is a sum over paths, and there are too many paths to list: their number doubles and redoubles at every time
step. Sums over *classes* of paths are cheap if a class can be told by reading a path edge by edge with a finite memory,
which is what a finite automaton is. The pass below sends one cotangent for each state of the automaton along every
edge, instead of one: the automaton reads the edge and says which state the message is in when it arrives. So each rule
is applied once for each (edge, state of the automaton), every path is counted in one class, and the parts add up to the
gradient, because the rules are linear in the cotangent.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.backward import ancestors
from microgradrnn.engine.cotangent import Deferred
from microgradrnn.engine.guards import refuse_change
from microgradrnn.engine.messages import guards_of
from microgradrnn.engine.unfold import unfold

Parts = dict[Hashable, Any]  # for each state of the automaton, the cotangent of the paths that are in it
Follow = Callable[[Node, int, Node], Callable[[Any], Hashable]]


def split_reverse(
    root: Node, start: Hashable, follow: Follow, targets: Sequence[Node] | None = None, seed: Any = None
) -> Iterator[tuple[Node, Parts]]:
    """Yield ``(node, {state: its part of d(root)/d(node)})``, youngest node first.

    Args:
        root: what to differentiate; one number, unless a seed is given.
        start: the state in which every path sets out from the root.
        follow: ``follow(consumer, k, input)`` reads an edge; it returns the function from the state before the edge to
            the state behind it.
        targets: only what leads to these nodes is visited; by default everything.
        seed: the cotangent of the root; 1 by default.

    Raises:
        ValueError: if a hook changes a gradient on the way: no share of what it returns belongs to a path.

    >>> from microgradrnn import Value
    >>> x = Value(3.0)
    >>> y = x * x + 5 * x
    >>> passed = split_reverse(y, "", lambda v, k, _: lambda path: path + f" {v.op.name}/{k}")
    >>> for way, g in dict(passed)[x].items():
    ...     print(way, g)
     add/1 multiply/1 5.0
     add/0 multiply/0 3.0
     add/0 multiply/1 3.0
    """
    unfold(root)
    live = ancestors(root, targets)
    arriving: dict[Node, Parts] = {root: {start: root.cotangent(seed, False)}}
    behind: set[Node] = set()  # nodes behind a `where`, as in the engine's pass
    guards = guards_of(live, behind)
    for node in sorted(live, key=attrgetter("serial"), reverse=True):
        found = arriving.pop(node, None)
        if found is None:
            continue
        parts = {state: g.dense() if isinstance(g, Deferred) else g for state, g in found.items()}
        if node.hooks:
            refuse_changes(node, parts)
        yield node, parts
        if node.op is None:
            continue
        params = {**node.params, "silent": node in behind} if node.op.reverses else node.params
        edges = [(k, arriving.setdefault(x, {}), follow(node, k, x)) for k, x in enumerate(node.inputs)
                 if x is not None and x in live and node.op.vjp[k] is not None]
        for k, _, _ in edges:
            if node.inputs[k]._data is not node._args[k]:  # type: ignore[union-attr]
                refuse_change(node, k)
        for state, g in parts.items():
            for k, into, after in edges:
                message, there = node.op.pull(k, g, node._data, node._args, params), after(state)
                for guard in guards:
                    message = guard(node, k, g, message)
                into[there] = into[there] + message if there in into else message


def refuse_changes(node: Node, parts: Parts) -> None:
    """Let the hooks see the whole gradient, as always; they may look, but not change it."""
    whole = sum(parts.values())
    if not np.array_equal(node.hooked(whole), whole, equal_nan=True):
        raise ValueError(
            f"a hook changes the gradient of {node.symbol or node.op or 'a leaf'}{node.scope}: what it returns cannot "
            "be shared out among paths. Take the hook away (register_hook returns the function that does) and ask again"
        )
