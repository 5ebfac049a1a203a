"""Faster code for the plain case: operators with one and two operands, and the reverse pass.

It computes what `Primitive.__call__` and `reverse` compute, from the rows of the same table, with fewer checks. An
operation is *plain* if it is recorded, its operands are nodes of one kind or numbers, and anomaly mode is off. A graph
is *plain* if no node has a hook and none was made by `where`. Everything else runs the general code.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from microgradrnn.engine.cotangent import Deferred, fit
from microgradrnn.engine.guards import refuse_change
from microgradrnn.engine.node import NO_PARAMS, SHARED, Node
from microgradrnn.engine.primitive import ERRORS, Elementwise, Primitive
from microgradrnn.engine.rules import elementwise as e
from microgradrnn.engine.scope import SCOPE

BINARY = {"__add__": e.add, "__sub__": e.subtract, "__mul__": e.multiply, "__truediv__": e.divide, "__pow__": e.power}
UNARY = {"__neg__": e.negative, "__abs__": e.abs} | {
    row.name: row for row in vars(e).values() if isinstance(row, Elementwise) and row.most == 1
}
new, scope_now, general = object.__new__, SCOPE.get, Primitive.__call__


def specialise(kind: type[Node]) -> None:
    """Give a kind of node operators and methods of its own, made from the rows of the table."""
    for name, row in BINARY.items():
        setattr(kind, name, named(kind, name, row, binary(kind, row)))
    for name, row in UNARY.items():
        row.plain[kind] = method = named(kind, name, row, unary(kind, row))
        if hasattr(kind, name):
            setattr(kind, name, method)


def named(kind: type[Node], name: str, op: Primitive, method: Any) -> Any:
    """The method, with the name and place that a method of a class has: it is pickled by them."""
    method.__name__, method.__qualname__, method.__module__ = name, f"{kind.__name__}.{name}", kind.__module__
    method.__doc__ = op.__doc__
    return method


def unary(kind: type[Node], op: Primitive) -> Callable[[Any], Any]:
    """An operation on one node of a kind."""
    compute: Any = op.on_floats if kind.on_floats else op.on_arrays
    data_type, convert = kind.data_type, kind.data_type_of

    def method(self: Any) -> Any:
        scope = scope_now()
        if not scope.recording or scope.anomaly or not self.requires_grad:
            return general(op, self)
        x = self._data
        try:
            y = compute(x)
        except ERRORS:
            return general(op, self)
        if type(y) is not data_type:
            y = convert(y)
        node = new(kind)
        node._fill(y, scope, True, op, (self,), (x,), NO_PARAMS)
        return node

    return method


def binary(kind: type[Node], op: Primitive) -> Callable[[Any, Any], Any]:
    """An operation on a node of a kind and, on its right, such a node or a number."""
    compute: Any = op.on_floats if kind.on_floats else op.on_arrays
    data_type, convert = kind.data_type, kind.data_type_of

    def method(self: Any, other: Any) -> Any:
        given = type(other)
        if given is kind:
            x2, inputs = other._data, (self, other)
        elif given is float:
            x2, inputs = other, (self, None)
        elif given is int:
            x2, inputs = kind.constant(other), (self, None)
        else:
            return general(op, self, other)
        scope = scope_now()
        if not scope.recording or scope.anomaly or not self.requires_grad:
            return general(op, self, other)
        x1 = self._data
        try:
            y = compute(x1, x2)
        except ERRORS:
            return general(op, self, other)
        if type(y) is not data_type:
            y = convert(y)
        node = new(kind)
        node._fill(y, scope, True, op, inputs, (x1, x2), NO_PARAMS)
        return node

    return method


def plain_graph(root: Node) -> set[Node] | None:
    """All that a gradient flows into, if there is nothing but plain nodes: no hook, no `where`."""
    live, stack = {root}, [root]
    add, push, pop = live.add, stack.append, stack.pop
    while stack:
        node = pop()
        if node.hooks or (node.op is not None and node.op.selects):
            return None
        for x in node.inputs:
            if x is not None and x not in live and x.requires_grad:
                add(x)
                push(x)
    return live


def backward_of_arrays(root: Node, seed: Any, live: set[Node]) -> None:
    """`backward` from a Tensor over a plain graph: the loop of `reverse` without guards."""
    arriving, ours = {root: root.cotangent(seed, False)}, set()
    leaves = []
    for node in sorted(live, key=attrgetter("serial"), reverse=True):
        g = arriving.pop(node, None)
        if g is None:
            continue
        if isinstance(g, Deferred):
            g = g.dense()
        op, y, args, params = node.op, node._data, node._args, node.params
        if op is None:
            leaves.append((node, g))
            continue
        operands, fits, rules = (args,) if op.variadic else args, op.fits, op.vjp
        k = -1
        for x in node.inputs:
            k += 1
            if x is None or not x.requires_grad or (rule := rules[k]) is None:
                continue
            if x._data is not args[k]:
                refuse_change(node, k, live)
            try:
                message = rule(g, y, *operands, **params)
            except ArithmeticError:
                message = op.pull(k, g, y, args, params)
            if not fits:
                message = fit(message, args[k])
            if x not in arriving:
                arriving[x] = message
            elif x in ours:
                arriving[x] += message
            else:
                arriving[x] = arriving[x] + message
                ours.add(x)
    with SHARED:
        for leaf, g in leaves:
            leaf.accumulate(g)


def backward_of_floats(root: Any, seed: Any, live: set[Any]) -> None:
    """`backward` from a Value over a plain graph. The messages are added up in the nodes themselves."""
    g, pairs = root.cotangent(seed, False), PAIRS.get
    order = sorted(live, key=attrgetter("serial"), reverse=True)
    with SHARED:  # one such pass at a time: two may share nodes
        for node in order:
            node._arriving = 0.0
        root._arriving = g
        for node in order:
            if (both := pairs(node.op)) is not None:
                a, b = node.inputs
                x1, x2 = node._args
                if (a is not None and a._data is x1 and a.requires_grad
                        and b is not None and b._data is x2 and b.requires_grad):
                    try:
                        to_a, to_b = both(node._arriving, node._data, x1, x2)
                    except ArithmeticError:
                        pass  # one of the two: `send` does each by itself
                    else:
                        a._arriving += to_a
                        b._arriving += to_b
                        continue
            send(node, live)
        for node in order:
            if node.op is None:
                node.accumulate(node._arriving)
            else:
                node.grad = node._arriving


def send(node: Any, live: set[Any]) -> None:
    """Add what a node sends to each of its inputs."""
    op, args = node.op, node._args
    for k, x in enumerate(node.inputs):
        if x is not None and x.requires_grad and (rule := op.vjp[k]) is not None:
            if x._data is not args[k]:
                refuse_change(node, k, live)
            try:
                x._arriving += rule(node._arriving, node._data, *((args,) if op.variadic else args), **node.params)
            except ArithmeticError:
                x._arriving += op.pull(k, node._arriving, node._data, args, node.params)


class Written:
    """A symbol: what is done with it is written down. Rules are made of operators, so they work on it too."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __neg__(self) -> Written:
        return Written(f"(-{self.text})")

    def __add__(self, other: Written) -> Written:
        return Written(f"({self.text} + {other.text})")

    def __mul__(self, other: Written) -> Written:
        return Written(f"({self.text} * {other.text})")

    def __truediv__(self, other: Written) -> Written:
        return Written(f"({self.text} / {other.text})")


def pair(op: Primitive) -> Callable[[float, float, float, float], tuple[float, float]]:
    """Both rules of an operation in one function.

    >>> from microgradrnn.engine.rules.elementwise import multiply
    >>> pair(multiply)(10.0, 6.0, 2.0, 3.0)
    (30.0, 20.0)
    """
    names = "g", "y", "a", "b"
    to_a, to_b = (rule(*map(Written, names)).text for rule in op.vjp)  # type: ignore[union-attr, misc]
    made: Callable[..., tuple[float, float]] = eval(f"lambda {', '.join(names)}: ({to_a}, {to_b})")
    return made


PAIRS = {op: pair(op) for op in (e.add, e.subtract, e.multiply, e.divide)}
