"""A trace: what a function computes, and its derivative, as expressions.

The function is called once with symbols; the reverse pass of the engine runs over the graph that it leaves; and both
are written down as expressions. To be sure that nothing in them depends on the numbers (which a symbol does not have),
this is done twice, with other numbers standing in: if the two differ, the function is refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from microgradrnn.compiler.arguments import collected, collected_slots, placed
from microgradrnn.compiler.errors import TraceError, UnsteadyError
from microgradrnn.compiler.expression import Expression, Table, ordered
from microgradrnn.compiler.guard import snapshot, with_symbols
from microgradrnn.compiler.symbol import LIFT, StandIn, Symbol, lift
from microgradrnn.engine import Node, enable_grad, reverse
from microgradrnn.engine.node import next_serial
from microgradrnn.engine.scope import TRACING


class Trace:
    """A function and its derivative.

    Attributes:
        what: what the function is called in messages.
        inputs: a leaf for each argument.
        free: the nodes that the function closes over, and a leaf for each.
        outputs: what it returns; differentiable: for each, whether a gradient flows through it.
        seeds: a leaf for the cotangent of each output.
        gradients: for each input and free leaf its cotangent; None where no gradient flows.
        cotangents: for each expression that a gradient flows through, that gradient; None if it was computed twice.
        result: what the function returned, its nodes replaced by their place among the outputs.
        selects: does it contain a `where`, behind which NaNs must be kept out?
    """

    def __init__(
        self, f: Callable[..., Any], arguments: Any, names: Sequence[str], like: Sequence[np.ndarray], what: str
    ) -> None:
        self.what = what
        self.table = Table()
        self.memo: dict[Any, Any] = {}
        self.free: list[tuple[Node, Expression]] = []
        self.lifted: dict[Node, Symbol] = {}
        self.start = next_serial()
        self.names: set[str] = set(names)
        symbols = [Symbol.leaf(a, name) for a, name in zip(like, names, strict=True)]
        self.inputs = [self._leaf(x, name) for x, name in zip(symbols, names, strict=True)]
        tokens = LIFT.set(self._lift), TRACING.set(True)
        try:
            with enable_grad(), np.errstate(all="ignore"):
                copied = self._with_symbols(f)
                before = snapshot(copied, []), chance()
                returned = copied(*placed(arguments, iter(symbols)))
                self.changed = (snapshot(copied, []), chance()) != before
                nodes: list[Any] = []
                self.result = collected(returned, nodes)
                self._differentiate(list(map(lift, nodes)), symbols)
        finally:
            LIFT.reset(tokens[0])
            TRACING.reset(tokens[1])
        self.lifted, self.memo = {}, {}
        used = set(ordered([*self.outputs, *(g for g in self.gradients.values() if g is not None)]))
        self.free = [(x, leaf) for x, leaf in self.free if leaf in used]

    def _differentiate(self, outputs: list[Any], symbols: list[Symbol]) -> None:
        """Run the reverse pass over the symbols, and write all of it down."""
        self.outputs = list(map(self._lower, outputs))
        self.differentiable = [y.requires_grad for y in outputs]
        seeds = [Symbol.leaf(y._data.view(np.ndarray), f"d{y.symbol or 'y'}") for y in outputs]
        self.seeds = [self._leaf(g, self.unique(str(g.symbol))) for g in seeds]
        wanted: dict[Node, Expression] = dict(zip(symbols, self.inputs, strict=True))
        wanted |= {self.lifted[x]: leaf for x, leaf in self.free if x.requires_grad}
        self.gradients: dict[Expression, Any] = dict.fromkeys(wanted.values())
        self.cotangents: dict[Expression, Any] = {}
        live = [(y, g) for y, g in zip(outputs, seeds, strict=True) if y.requires_grad]
        self.selects = False
        if not live:
            return
        roots, cotangents = map(list, zip(*live, strict=True))
        for node, g in reverse(roots, cotangents, targets=list(wanted), create_graph=True):
            self.selects |= getattr(node.op, "selects", False)
            if node.symbol and not g.symbol:
                g.tag = (f"d{node.symbol}", None)
            e = self.memo.get(node)
            if isinstance(e, Expression) and self.cotangents.setdefault(e, self._lower(g)) is not self._lower(g):
                self.cotangents[e] = None  # it was computed twice, and these are two parts of one gradient
            if node in wanted:
                self.gradients[wanted[node]] = self._lower(g)

    def _with_symbols(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """The function, closing over symbols; what is nested too deep to be copied is lifted where it is used."""
        try:
            copied: Callable[..., Any] = with_symbols(f, self._lift)
        except RecursionError:
            return f
        return copied

    def _lift(self, x: Node) -> Node:
        """The symbol of a node that the function closes over; of one that it made itself, made again from symbols."""
        stack = [x]  # (a stack, for a chain of operations may be long)
        while stack:
            node = stack[-1]
            own = node.op is not None and node.serial > self.start
            missing = [i for i in node.inputs if own and i is not None and i not in self.lifted and i.kind.lift is None]
            stack.extend(missing)
            if not missing:
                self._lift_one(stack.pop())
        return self.lifted[x]

    def _lift_one(self, x: Node) -> Node:
        if x not in self.lifted:
            if x.op is not None and x.serial > self.start:
                operands = [a if i is None else i for i, a in zip(x.inputs, x._args, strict=True)]
                made = x.op(*map(lift, operands), **x.params)
                made.tag = x.tag
            else:
                made = Symbol.leaf(np.asarray(x._data), x.symbol, x.role)
                made.requires_grad = x.requires_grad
                if x.serial > self.start:  # it was made inside, so it is a constant
                    self.memo[made] = self.table.constant(np.asarray(x._data))
                else:
                    self.free.append((x, self._leaf(made, self.unique(x.symbol or "w"))))
            self.lifted[x] = made
        return self.lifted[x]

    def unique(self, name: str) -> str:
        """A name that no leaf has yet."""
        base, k = name, 2
        while name in self.names:
            name, k = f"{base}_{k}", k + 1
        self.names.add(name)
        return name

    def _leaf(self, x: Any, name: str) -> Expression:
        self.memo[x] = leaf = self.table.leaf(name, x.shape, x.dtype, x.role)
        return leaf

    # ---------------------------------------------------------------------------------------- symbols to expressions
    def _lower(self, root: Any) -> Any:
        stack = [root]
        while stack:
            x = stack[-1]
            if x in self.memo:
                stack.pop()
            elif missing := [i for i in x.inputs if i is not None and i not in self.memo]:
                stack.extend(missing)
            else:
                stack.pop()
                args = [self._plain(a) if i is None else self.memo[i] for i, a in zip(x.inputs, x._args, strict=True)]
                self.memo[x] = self._written(x, args)
        return self.memo[root]

    def _plain(self, a: Any) -> Any:
        """An operand that is no node."""
        if isinstance(a, StandIn):
            if a.owner is not None:
                return self._lower(a.owner)
            if a.made is None:
                raise TraceError(
                    "compile: the function, or a rule of an operation in it, computes with numbers that are known only "
                    "when it runs, in a way that cannot be traced; choose with where(), or do not compile it"
                )
            op, inputs, options = a.made
            args = [self._plain(i) for i in inputs]
            return self.table.make(op, args, options, a.shape, a.dtype)
        if isinstance(a, np.ndarray):
            return self.table.constant(a)
        return a.item() if isinstance(a, np.generic) else a

    def _written(self, x: Any, a: list[Any]) -> Any:
        """One node as an expression; a few operations in simpler terms."""
        op, params, table = x.op.name, x.params, self.table

        def make(op: str, args: Sequence[Any], params: dict[str, Any], shape: Any = x.shape, name: Any = None) -> Any:
            return table.make(op, args, params, shape, x.dtype, name)

        if op == "affine":
            product = make("matmul", a[:2], {}, np.matmul(*(np.empty(e.shape, bool) for e in a[:2])).shape)
            e = make("add", (product, a[2]), {}, name=x.symbol)
        elif op == "matmul_transposed":
            e = make("matmul", (a[0], self.transposed(a[1])), {}, name=x.symbol)
        elif op == "scatter":
            e = self._tiled(x, a)
        elif op == "concat":
            e = make("concat", a, {"axis": params["axis"]}, name=x.symbol)
        else:
            e = make(op, a, params, name=x.symbol)
        if isinstance(e, Expression) and x.role:
            e.role = x.role
        return e

    def transposed(self, e: Expression) -> Expression:
        """The last two axes swapped."""
        n = len(e.shape)
        axes = (*range(n - 2), n - 1, n - 2)
        return self.table.make("transpose", (e,), {"axes": axes}, [e.shape[i] for i in axes], e.dtype)

    def _tiled(self, x: Any, values: list[Any]) -> Expression:
        """Values at places in zeros. If they are slices side by side along one axis, they are joined."""
        pieces: dict[Any, Any] = {}
        for value, index in zip(values, x.params["indices"], strict=True):
            place = one_slice(index, x.shape)
            if place is None:
                return self.table.make("scatter", values, x.params, x.shape, x.dtype, x.symbol)
            pieces[place] = value if place not in pieces else self.table.elementwise("add", pieces[place], value)
        axes, starts = {axis for axis, _, _ in pieces}, sorted(pieces, key=lambda p: p[1])
        if len(axes) > 1 or any(a[2] > b[1] for a, b in pairwise(starts)):
            return self.table.make("scatter", values, x.params, x.shape, x.dtype, x.symbol)
        (axis,), end, parts = axes, 0, []
        for place in [*starts, (None, x.shape[next(iter(axes))], None)]:
            if place[1] > end:
                gap = (*x.shape[:axis], place[1] - end, *x.shape[axis + 1 :])
                parts.append(self.table.zeros(gap, x.dtype))
            if place[2] is not None:
                parts.append(pieces[place])
                end = place[2]
        return self.table.make("concat", parts, {"axis": axis}, x.shape, x.dtype, x.symbol)


def one_slice(index: Any, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(axis, start, stop), if an index takes a slice of one axis and all of the others; None if it is another."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(isinstance(i, slice) or i is Ellipsis for i in parts) or parts.count(Ellipsis) > 1:
        return None
    if Ellipsis in parts:
        k = parts.index(Ellipsis)
        parts[k : k + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    found = None
    for axis, (i, n) in enumerate(zip(parts, shape, strict=False)):
        start, stop, step = i.indices(n)
        if step != 1 or stop < start:
            return None
        if (start, stop) != (0, n):
            if found is not None:
                return None
            found = (axis, start, stop)
    return found or (0, 0, shape[0]) if shape else None


def chance() -> tuple[Any, ...]:
    """The state of the random numbers that Python and NumPy keep for everybody."""
    return random.getstate(), [x.tobytes() if isinstance(x, np.ndarray) else x for x in np.random.get_state()]


@contextmanager
def chance_restored(f: Callable[..., Any]) -> Iterator[None]:
    """Give all generators of random numbers that a function may draw from their state back: a trace is no call."""
    generators: list[np.random.Generator] = []
    snapshot(f, generators)
    own = [g.bit_generator.state for g in generators]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        for g, state in zip(generators, own, strict=True):
            g.bit_generator.state = state


def trace(f: Callable[..., Any], arguments: Any, names: Sequence[str], what: str = "the function") -> Trace:
    """Trace a function.

    Args:
        f: the function.
        arguments: its arguments, a tuple, with `Slot` where a number or array comes in.
        names: a name for each of those, in order.
        what: what the function is called in messages.

    Raises:
        TraceError: if what it computes depends on the numbers.
    """
    slots: list[Any] = []
    collected_slots(arguments, slots)
    with chance_restored(f):
        first, second = (
            Trace(f, arguments, names, [rng.standard_normal(s.shape).astype(s.dtype) for s in slots], what)
            for rng in map(np.random.default_rng, (0, 1))
        )
    if (first.changed or second.changed or first.table.made.keys() != second.table.made.keys()
            or first.result != second.result):
        raise UnsteadyError(
            f"compile: {what} computes something else when it runs again, or for other numbers: it draws random "
            "numbers, counts its calls, stores something, or looks at the numbers (as sort does). Draw, count and "
            "store outside, and pass the result in; choose with where(); or do not compile it"
        )
    return first
