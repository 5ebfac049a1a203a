"""The plain case, written out for speed: operators of one and two operands, and the reverse pass.

What is done is what `Primitive.__call__` and `reverse` do, with the rows of the same table. But most operations get
nothing special: nodes of one kind, a gradient that flows, nobody who looks for NaNs. Then each question is asked once,
not for every operand or message. Whatever is not plain goes the general way.
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
    name: row for name, row in vars(e).items() if isinstance(row, Elementwise) and row.most == 1
}
new, scope_now, general = object.__new__, SCOPE.get, Primitive.__call__


def specialise(kind: type[Node]) -> None:
    """Give a kind of node operators and methods of its own, made from the rows of the table."""
    for name, row in BINARY.items():
        setattr(kind, name, binary(kind, row))
    for name, row in UNARY.items():
        row.plain[kind] = method = unary(kind, row)
        if hasattr(kind, name):
            setattr(kind, name, method)


def unary(kind: type[Node], op: Primitive) -> Callable[[Any], Any]:
    """An operation on one node of a kind."""
    compute: Any = op.on_floats if kind.on_floats else op.on_arrays
    data_type, convert = kind.data_type, kind.data_type_of

    def method(a: Any) -> Any:
        scope = scope_now()
        if not scope.recording or scope.anomaly or not a.requires_grad:
            return general(op, a)
        x = a._data
        try:
            y = compute(x)
        except ERRORS:
            return general(op, a)
        if type(y) is not data_type:
            y = convert(y)
        node = new(kind)
        node._fill(y, scope, True, op, (a,), (x,), NO_PARAMS)
        return node

    method.__name__, method.__doc__ = op.name, op.__doc__
    return method


def binary(kind: type[Node], op: Primitive) -> Callable[[Any, Any], Any]:
    """An operation on a node of a kind and, on its right, such a node or a number."""
    compute: Any = op.on_floats if kind.on_floats else op.on_arrays
    data_type, convert = kind.data_type, kind.data_type_of

    def method(a: Any, b: Any) -> Any:
        given = type(b)
        if given is kind:
            x2, inputs = b._data, (a, b)
        elif given is float:
            x2, inputs = b, (a, None)
        elif given is int:
            x2, inputs = kind.constant(b), (a, None)
        else:
            return general(op, a, b)
        scope = scope_now()
        if not scope.recording or scope.anomaly or not a.requires_grad:
            return general(op, a, b)
        x1 = a._data
        try:
            y = compute(x1, x2)
        except ERRORS:
            return general(op, a, b)
        if type(y) is not data_type:
            y = convert(y)
        node = new(kind)
        node._fill(y, scope, True, op, inputs, (x1, x2), NO_PARAMS)
        return node

    method.__name__, method.__doc__ = op.name, op.__doc__
    return method


def plain_graph(root: Node) -> set[Node] | None:
    """All that a gradient flows into, if there is nothing but plain nodes: no hook, no `where`, no checkpoint."""
    live, stack = {root}, [root]
    add, push, pop = live.add, stack.append, stack.pop
    while stack:
        node = pop()
        if node.hooks or (node.op is not None and node.op.special):
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


def backward_of_floats(root: Node, seed: Any, live: set[Node]) -> None:
    """`backward` from a Value over a plain graph. The gradients in flight are added up in ``.grad`` itself."""
    g = root.cotangent(seed, False)
    with SHARED:  # one at a time: other threads may share some of the nodes
        before = [(node, node.grad) for node in live if node.op is None]
        for node in live:
            node.grad = 0.0
        try:
            root.grad = g
            send_all(live)
        except BaseException:  # a pass that fails half-way leaves no half-summed gradients
            for leaf, g in before:
                leaf.grad = g
            raise
        for leaf, g in before:
            leaf.grad = g + leaf.grad


def send_all(live: set[Node]) -> None:
    """Add to the gradient of each node what the younger ones send to it."""
    pairs = PAIRS.get
    for node in sorted(live, key=attrgetter("serial"), reverse=True):
        if (both := pairs(node.op)) is not None:
            a, b = node.inputs
            x1, x2 = node._args
            if (a is not None and a._data is x1 and a.requires_grad
                    and b is not None and b._data is x2 and b.requires_grad):
                try:
                    to_a, to_b = both(node.grad, node._data, x1, x2)
                except ArithmeticError:
                    pass  # each by itself
                else:
                    a.grad += to_a
                    b.grad += to_b
                    continue
        send(node, live)


def send(node: Node, live: set[Node]) -> None:
    """Add to the gradient of each input what the node sends to it."""
    op, args = node.op, node._args
    for k, x in enumerate(node.inputs):
        if x is not None and x.requires_grad and (rule := op.vjp[k]) is not None:
            if x._data is not args[k]:
                refuse_change(node, k, live)
            try:
                x.grad += rule(node.grad, node._data, *args)
            except ArithmeticError:
                x.grad += op.pull(k, node.grad, node._data, args, node.params)


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
