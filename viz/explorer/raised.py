"""What was computed before a forward pass raised: found in the frames of the error's traceback.

A traceback keeps the local variables of every function that was running. Among them are the nodes that the loop held,
so everything that they were computed from is still there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from types import FrameType
from typing import Any

import networkx as nx

from microgradrnn.engine import Node, Tensor
from microgradrnn.engine.primitive import Primitive
from microgradrnn.engine.scope import Scope
from viz.explorer.cell import Stamp
from viz.graph.reachable import reachable
from viz.graph.trace import add_constant, add_edge, add_node, traced

MOST = 1000  # entries of a container that are looked at
FAILED = "failed"  # the id of the operation that raised


@dataclass(frozen=True)
class Raised:
    """A forward pass that was cut short.

    Attributes:
        error: the error.
        ends: what was computed last: the nodes that nothing else was computed from yet.
        operation: the name of the operation that raised; None if something else did.
        operands: what that operation was given.
        scope: where it happened; None if that was in no scope.
    """

    error: BaseException
    ends: tuple[Node, ...]
    operation: str | None
    operands: tuple[Any, ...]
    scope: Scope | None

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Look through the frames of an error's traceback."""
        found: dict[Node, None] = {}
        of_modules: dict[Node, None] = {}  # globals: what a notebook computed long ago is there, too
        operation, operands = None, ()
        for frame in frames(error):
            for value in list(frame.f_locals.values()):
                nodes = of_modules if frame.f_locals is frame.f_globals else found
                nodes |= dict.fromkeys(nodes_in(value))
            own, given = frame.f_locals.get("self"), frame.f_locals.get("operands")
            if isinstance(own, Primitive) and isinstance(given, tuple):
                operation, operands = own.name, given
                break  # what it called in turn is no part of the net
        known = [node for node in (*found, *operands) if isinstance(node, Node)]
        near = {x for node in known for x in reachable(node) if x.requires_grad}
        found |= {node: None for node in of_modules if not near.isdisjoint(reachable(node))}
        return cls(error, ends_of(list(found)), operation, operands, getattr(error, "scope", None))

    @cached_property
    def root(self) -> Node | None:
        """The sum of what was computed last, in the steps before if there are any; None if nothing was computed."""
        return added(self.whole_ends() or self.ends)

    def whole_ends(self) -> tuple[Node, ...]:
        """The same as `ends`, of what was not made in the step that stopped."""
        if self.scope is None or self.scope.step is None:
            return self.ends
        known = {x for end in self.ends for x in reachable(end) if x.op is not None and x.requires_grad}
        return ends_of([x for x in known if (x.scope.step, x.scope.loop) != (self.scope.step, self.scope.loop)])

    @property
    def message(self) -> str:
        """The kind of the error, and what it says."""
        return f"{type(self.error).__name__}: {self.error}".rstrip(": ")

    @property
    def place(self) -> str:
        """In which step, and under which scopes; nothing if that is not known."""
        if self.scope is None:
            return ""
        where = [f"step {self.scope.step}"] if self.scope.step is not None else []
        return " of ".join([*where, *(["/".join(self.scope.path)] if self.scope.path else [])])

    def in_lane(self, stamp: Stamp) -> dict[str, Any] | None:
        """The turn in which a lane's loop stopped, and the part of its cell; None if it was another loop."""
        layer, step = stamp.layer, None if self.scope is None else self.scope.step
        path = "" if self.scope is None else "/".join(self.scope.path)
        if step is None or not (path == layer.path or layer.path.startswith(path) or path.startswith(layer.path)):
            return None
        turn = layer.order.index(step) if step in layer.order else len(layer.order)
        begun, whole = layer.steps.get(step, {}), max(layer.steps.values(), key=len)
        name = next((name for name, node in whole.items() if name not in begun
                     and stamp.graph.nodes[node].get("op") == self.operation), None)
        return {"turn": turn, "node": None if name is None else stamp.key_of(name)}

    def graph(self) -> nx.MultiDiGraph:
        """What was computed, and the operation that raised as one more node."""
        whole = added(self.ends)
        graph, ids = traced(whole) if whole is not None else (nx.MultiDiGraph(), {})
        own = {x for end in self.ends for x in reachable(end)}
        graph.remove_nodes_from([name for node, name in ids.items() if node not in own])
        said = f"{self.operation or type(self.error).__name__} ✗"
        add_node(graph, FAILED, {"kind": "computed", "op": said, "sign": said, "name": said, "order": len(graph),
                                 "shape": "not computed"})
        operands = self.operands if self.operation is not None else self.ends
        for k, operand in enumerate(operands):
            name = ids.get(operand) if isinstance(operand, Node) else None
            if name is None:  # a plain array, or a leaf that nothing was computed from yet
                name = add_constant(graph, FAILED, k, operand.data if isinstance(operand, Node) else operand)
                if isinstance(operand, Node) and operand.symbol:
                    graph.nodes[name]["symbol"] = operand.symbol
            add_edge(graph, name, FAILED, k)
        graph.graph["root"] = FAILED
        return graph


def frames(error: BaseException) -> Iterator[FrameType]:
    """The frames of a traceback, the outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def nodes_in(value: Any, depth: int = 2) -> Iterator[Node]:
    """The computed nodes in a value: itself, or in a tuple, list or dict."""
    if isinstance(value, Node):
        if value.op is not None and value.requires_grad:
            yield value
    elif depth and isinstance(value, (tuple, list, Mapping)):
        inner = value.values() if isinstance(value, Mapping) else value
        for one in islice(inner, MOST):
            yield from nodes_in(one, depth - 1)


def added(ends: Sequence[Node]) -> Any:
    """The sum of all their entries; None if there are none."""
    total: Any = None
    for node in ends:
        part = node.sum() if isinstance(node, Tensor) else node
        total = part if total is None else total + part
    return total


def ends_of(found: Sequence[Node]) -> tuple[Node, ...]:
    """Those that no other one was computed from, in the order of making."""
    inside: set[Node] = set()
    ends = []
    for node in sorted(found, key=lambda node: -node.serial):
        if node not in inside:
            ends.append(node)
            inside.update(reachable(node))
    return tuple(reversed(ends))
