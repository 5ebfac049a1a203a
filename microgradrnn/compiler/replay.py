"""A compiled function on the tape: one recorded operation, whose rule is the compiled derivative.

Its node is the *call*; what the function returns are *parts* of it, one node for each. What the parts receive is
collected in the call, and goes back to the sources in one go.

A pass that needs to see what is inside runs the function again, recorded (`unfold`). So does a pass whose result holds
a NaN: it may be one that a `where` leaves out, and only the tape can tell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Tensor, Value, reverse
from microgradrnn.engine.checkpoint import Stretch
from microgradrnn.engine.cotangent import Deferred, all_finite
from microgradrnn.engine.node import NO_PARAMS, new_node, next_serial, plain
from microgradrnn.engine.primitive import PRIMITIVES, Every, Primitive
from microgradrnn.engine.rules.elementwise import multiply
from microgradrnn.engine.scope import SCOPE, enable_grad, resumed
from microgradrnn.engine.unfold import unfold

log = logging.getLogger("microgradrnn")
Pull = Callable[[list[Any]], Sequence[Any]]


class Parts(Deferred):
    """What the parts of a call have received: for each its cotangent, None where nothing arrived.

    Attributes:
        sent: once the call has been asked, what it has yet to send to its sources.
    """

    __slots__ = ("sent", "values")

    def __init__(self, values: list[Any], like: Any) -> None:
        self.values, self.shape, self.dtype = values, like.shape, like.dtype
        self.sent: dict[Node, Any] | None = None

    def dense(self) -> Any:
        """Itself: the rule of a call takes it as it is."""
        return self

    def finite(self) -> bool:
        """Is every number finite?"""
        return all(g is None or all_finite(g) for g in self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate([np.ravel(g) for g in self.values if g is not None]).astype(dtype or self.dtype)

    def __add__(self, other: Any) -> Any:
        both = zip(self.values, other.values, strict=True)
        return Parts([b if a is None else a if b is None else a + b for a, b in both], self)

    __iadd__ = __add__


class Call(Stretch):
    """One call of a compiled function.

    Args:
        f, xs: the function, which returns its outputs as a list of nodes, and its arguments as they were given.
        sources: the nodes that it reads, one for each that `pull` gives a cotangent; some may be the same.
        outputs: what it returned.
        pull: the compiled derivative: from a list of cotangents, one for each output, to one for each source (in both,
            None where no gradient flows).
        selects: may there be a NaN that the tape would leave out, behind a `where` or in padding?
    """

    what = "compile"
    said: set[str] = set()  # noqa: RUF012 (shared on purpose: a fallback is reported once)

    def __init__(
        self, f: Callable[..., Any], xs: Sequence[Any], sources: list[Node], outputs: Sequence[Any], pull: Pull,
        selects: bool = False,
    ) -> None:  # fmt: skip
        once = [x for x in dict.fromkeys(sources) if x.requires_grad]
        super().__init__(f, xs, once, once, outputs[0])
        self.pulled, self.outputs, self.pull, self.selects = sources, outputs, pull, selects
        self.recorded: list[Any] | None = None
        self.inside: set[Any] = set()  # once it is unfolded: the nodes inside

    def cotangent(self, g: Any, source: Node, silent: bool) -> Any:
        """What reaches one source. For the first one that asks all are worked out."""
        if type(g) is not Parts:
            return super().cotangent(g, source, silent)
        if g.sent is None:
            g.sent = self.run_again(g, silent)
        message = g.sent.pop(source, None)
        return np.zeros_like(plain(source)) if message is None else message

    def run_again(self, g: Any, silent: bool) -> dict[Node, Any]:
        """The cotangents of the sources."""
        self.check_unchanged()
        cotangents = g.values if isinstance(g, Parts) else [g]
        found: dict[Node, Any] = {}
        try:
            messages = self.pull(cotangents)
        except (ArithmeticError, ValueError):  # floats raise where arrays give inf or nan
            return self.from_the_tape(cotangents, silent)
        for x, message in zip(self.pulled, messages, strict=True):
            if message is not None and x.requires_grad:
                found[x] = found[x] + message if x in found else message
        unread = any(h is None for h in cotangents)  # the tape has no path there; here 0 times an infinity is NaN
        doubtful = self.selects or silent or unread
        if doubtful and not all(all_finite(np.asarray(message)) for message in found.values()):
            return self.from_the_tape(cotangents, silent)
        return found

    def from_the_tape(self, cotangents: list[Any], silent: bool) -> dict[Node, Any]:
        """The same, from the function recorded."""
        since = next_serial()
        outputs = self.run_recorded()
        both = zip(outputs, cotangents, strict=True)
        live = [(y, g) for y, g in both if y.requires_grad and g is not None]
        roots, seeds = map(list, zip(*live, strict=True))
        passed = reverse(roots, seeds, since=since, silent=silent)
        return {node: gradient for node, gradient in passed if node.serial < since}

    def run_recorded(self) -> list[Any]:
        """The outputs as nodes with their graphs."""
        with resumed(self.scope), enable_grad():
            nodes: list[Any] = self.f(*self.xs)[: len(self.outputs)]
        if len(nodes) < len(self.outputs) or not all(map(close, [node._data for node in nodes], self.outputs)):
            raise RuntimeError(
                f"compile: the function gives another result than when it ran compiled{self.scope}. Something that it "
                "reads was changed since; call backward() before the change, or compute the result again after it"
            )
        return nodes

    def run_with_old_data(self) -> list[Any]:
        """The same, with the data that the sources had when the function ran: they may have been updated since."""
        now = [x._data for x, _ in self.used]
        try:
            for x, data in self.used:
                x._data = data
            return self.run_recorded()
        finally:
            for (x, _), data in zip(self.used, now, strict=True):
                x._data = data

    def unfolded(self, serial: float) -> list[Any]:
        """The outputs as nodes with their graphs, which are a little older than a serial number."""
        if self.recorded is None:
            if "unfold" not in self.said:
                self.said.add("unfold")
                log.info("compile: a pass needs what is inside a compiled function, which runs again, recorded")
            since = next_serial()
            nodes = self.run_with_old_data()
            unfold(nodes)  # what is compiled inside too, as long as the order is known
            inside = sorted(_younger(nodes, since), key=lambda node: node.serial)
            oldest = max((x.serial for node in inside for x in node.inputs if x is not None and x.serial < since),
                         default=serial - 1)
            step = (serial - max(oldest, serial - 1)) / (len(inside) + 1)
            for k, node in enumerate(inside):
                node.serial = serial - (len(inside) - k) * step
            self.inside = set(inside)
            self.recorded = nodes
        return self.recorded

    def unfold(self, node: Any, which: int, serial: float) -> None:
        """Make a node, which stands for one of the outputs, the recorded one."""
        y = self.unfolded(serial)[which]
        if y in self.inside:
            node.op, node.inputs, node._args, node.params = y.op, y.inputs, y._args, y.params
            node.scope, node.tag, node.serial = y.scope, y.tag, y.serial
            for reader in self.inside:  # what reads it inside, as the next step reads the state, reads this node now
                if y in reader.inputs:
                    reader._args = tuple(node._data if x is y else a for x, a in zip(reader.inputs, reader._args,
                                                                                     strict=True))
                    reader.inputs = tuple(node if x is y else x for x in reader.inputs)
            self.inside = self.inside - {y} | {node}
        else:  # it was handed through
            node.op, node.inputs, node._args, node.params = multiply, (y, None), (y._data, 1.0), NO_PARAMS


def close(a: Any, b: Any) -> bool:
    """Are two results the same, but for rounding, which a long loop may make larger?"""
    size = float(np.max(np.abs(b), initial=0, where=np.isfinite(b)))
    small = float(np.finfo(np.asarray(b).dtype).eps) ** 0.5
    return np.allclose(a, b, rtol=small, atol=small * size, equal_nan=True)


def _younger(nodes: list[Any], since: float) -> set[Any]:
    """The nodes, and all that they were computed from, that were made since."""
    seen = {node for node in nodes if node.serial >= since}
    stack = list(seen)
    while stack:
        new = {x for x in stack.pop().inputs if x is not None and x.serial >= since} - seen
        seen |= new
        stack.extend(new)
    return seen


def _rule(k: int, g: Any, y: Any, sources: Sequence[Any], call: Call, silent: bool = False) -> Any:
    return call.cotangent(g, call.sources[k], silent)


def _part_rule(g: Any, y: Any, whole: Any, call: Call, which: int, silent: bool = False) -> Any:
    values: list[Any] = [None] * len(call.outputs)
    values[which] = g
    return Parts(values, whole)


def _unlisted(name: str, vjp: Any) -> Primitive:
    """An operation that is not in the table: it is made here, and nobody calls it by name."""
    op = Primitive(name, lambda *_, **__: None, lambda *_, **__: None, vjp, reverses=True)
    del PRIMITIVES[name]
    return op


compiled = _unlisted("compiled", Every(_rule))
part = _unlisted("part of compiled", (_part_rule,))
compiled.unfold = lambda node: node.params["call"].unfold(node, 0, node.serial)
part.unfold = lambda node: node.params["call"].unfold(node, node.params["which"], node.inputs[0].serial)


def on_the_tape(
    f: Callable[..., Any], xs: Sequence[Any], sources: list[Any], outputs: Sequence[Any], pull: Pull,
    differentiable: Sequence[bool], selects: bool = False,
) -> list[Any]:  # fmt: skip
    """Nodes for the outputs of a compiled function; the arguments are those of `Call`.

    Args:
        differentiable: for each output whether a gradient flows through it.
    """
    scope, kind = SCOPE.get(), sources[0].kind
    if not (scope.recording and True in differentiable and any(x.requires_grad for x in sources)):
        return [new_node(kind, y, scope, False) for y in outputs]
    if all(differentiable):
        return _recorded(kind, f, xs, sources, outputs, pull, selects)
    live = [k for k, yes in enumerate(differentiable) if yes]

    def only(*xs: Any) -> list[Any]:
        return [node for node, yes in zip(f(*xs), differentiable, strict=False) if yes]

    def pull_all(cotangents: list[Any]) -> Sequence[Any]:
        given: list[Any] = [None] * len(outputs)
        for k, g in zip(live, cotangents, strict=True):
            given[k] = g
        return pull(given)

    nodes = iter(_recorded(kind, only, xs, sources, [outputs[k] for k in live], pull_all, selects))
    return [next(nodes) if yes else new_node(kind, y, scope, False)
            for y, yes in zip(outputs, differentiable, strict=True)]  # fmt: skip


def _recorded(
    kind: type[Node], f: Callable[..., Any], xs: Sequence[Any], sources: list[Any], outputs: Sequence[Any], pull: Pull,
    selects: bool,
) -> list[Any]:  # fmt: skip
    """Nodes for outputs through each of which a gradient flows."""
    scope = SCOPE.get()

    def node_of(call: Call) -> Any:
        data = tuple([x._data for x in call.sources])
        return new_node(kind, call.outputs[0], scope, True, compiled, tuple(call.sources), data, {"call": call})

    if kind is Value:  # floats have no room for several cotangents: each output is a call of its own
        def only(which: int) -> Pull:
            return lambda g: pull([g[0] if k == which else 0.0 for k in range(len(outputs))])

        def just(which: int) -> Callable[..., Any]:
            return lambda *xs: [f(*xs)[which]]

        return [node_of(Call(just(k), xs, sources, [y], only(k), selects)) for k, y in enumerate(outputs)]
    call = Call(f, xs, sources, outputs, pull, selects)
    whole = node_of(call)
    if len(outputs) == 1:
        return [whole]
    inputs, data = (whole,), (whole._data,)
    return [new_node(Tensor, y, scope, True, part, inputs, data, {"call": call, "which": k})
            for k, y in enumerate(outputs)]  # fmt: skip
