"""A program: one trace of a function, as straight-line code, and how it runs on numbers and on the tape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradrnn.compiler.arguments import collected, filled, gradient_form, mapped, placed
from microgradrnn.compiler.expression import Expression, ordered, rewritten
from microgradrnn.compiler.replay import on_the_tape
from microgradrnn.compiler.straight import Block, executed, function, on_floats
from microgradrnn.compiler.trace import Trace
from microgradrnn.engine import Node, Tensor, Value, enable_grad, grad
from microgradrnn.engine.node import new_node, plain
from microgradrnn.engine.scope import SCOPE

FAILED = (ArithmeticError, ValueError)  # Python's floats raise these where arrays give inf or nan


class Program:
    """One trace of a function, as code.

    Args:
        f: the function, of a tuple of arguments and a dict of those that are given by name.
        arguments: these two, with a `Slot` for what is traced.
        traced: the trace.
    """

    def __init__(self, f: Callable[..., Any], arguments: Any, traced: Trace) -> None:
        self.f, self.arguments, self.trace = f, arguments, traced
        self.form = gradient_form(arguments[0])  # of what `value_and_grad` returns
        self.free = [x for x, _ in traced.free]
        self.flows = [traced.gradients.get(e) is not None for e in (*traced.inputs, *(e for _, e in traced.free))]
        self.leaves = [*traced.inputs, *(leaf for _, leaf in traced.free)]
        gradients = [traced.gradients.get(leaf) for leaf in self.leaves]
        wanted = [g for g in gradients if g is not None]
        self.on_floats = on_floats([*traced.outputs, *wanted, *self.leaves])
        made = set(ordered(traced.outputs)) - set(self.leaves)
        self.saved = [e for e in ordered(wanted, made) if e in made]
        self.source, namespace = self._written(gradients)
        code = executed(self.source, namespace)
        self.forward, self.backward, self.both = code["forward"], code["backward"], code.get("value_and_grad")

    def _written(self, gradients: list[Any]) -> tuple[str, dict[str, Any]]:
        """The source of three functions: forwards, backwards, and both in one."""
        t, leaves = self.trace, self.leaves
        there, back = Block(self.on_floats), Block(self.on_floats)
        names = [there.name(leaf) for leaf in leaves]
        parts = [function("forward", names, *_body(there, [*t.outputs, *self.saved]))]
        given = [back.name(e, there.names.get(e)) for e in (*leaves, *t.seeds, *self.saved)]
        parts.append(function("backward", given, *_body(back, gradients)))
        namespace = there.namespace | back.namespace
        if len(t.outputs) == 1 and math.prod(t.outputs[0].shape) == 1:
            both, shape, dtype = Block(self.on_floats), t.outputs[0].shape, t.outputs[0].dtype
            names = [both.name(leaf) for leaf in leaves]
            one: Any = 1.0 if self.on_floats else t.table.make("constant", (), {"value": np.ones(shape, dtype)}, shape,
                                                               dtype)
            ends = rewritten(t.table, gradients[: len(t.inputs)], lambda e: one if e is t.seeds[0] else None)
            parts.append(function("value_and_grad", names, *_body(both, [*t.outputs, *ends])))
            namespace |= both.namespace
        return "\n\n".join(parts), namespace

    # ------------------------------------------------------------------------------------------------------- running
    def run(self, values: list[Any]) -> Any:
        """The function on numbers, or on the tape."""
        t = self.trace
        sources = [x for x in (*values, *self.free) if isinstance(x, Node)]
        floats = all(type(plain(x)) is float for x in (*values, *self.free))
        if not floats and any(x.kind is Value for x in sources):
            return self.recorded(values)  # Values and arrays do not mix, and the tape says so
        if sources:  # the caller may write to his arrays before the backward pass
            values = [x.copy() if isinstance(x, np.ndarray) else x for x in values]
        numbers = self.numbers(values)
        try:
            found = self.forward(*numbers)
        except FAILED:  # on the tape 1 / 0 is inf
            if sources or not floats:
                return self.recorded(values)
            return mapped(self.recorded([Value(x, requires_grad=False) for x in values]), plain)
        found, saved = list(found[: len(t.outputs)]), found[len(t.outputs) :]
        kind = Value if floats else Tensor
        outputs = [self.result(y, e, kind, numbers) for y, e in zip(found, t.outputs, strict=True)]
        where = [k for k, e in enumerate(t.outputs) if e.dtype != bool]
        if not sources or not where:
            return filled(t.result, outputs)

        def pull(cotangents: list[Any]) -> list[Any]:
            seeds = [np.zeros_like(y) if kind is not Value else 0.0 for y in outputs]
            for k, g in zip(where, cotangents, strict=True):
                seeds[k] = seeds[k] if g is None else g
            gradients = self.backward(*numbers, *seeds, *saved)
            both = zip((*values, *self.free), gradients, strict=True)
            return [self.like(x, g) for x, g in both if g is not None and isinstance(x, Node)]

        pairs = zip((*values, *self.free), self.flows, strict=True)
        sources = [x for x, flows in pairs if flows and isinstance(x, Node)]
        if not sources:
            return filled(t.result, [new_node(kind, y, SCOPE.get(), False) if k in where else y
                                     for k, y in enumerate(outputs)])  # fmt: skip
        nodes = on_the_tape(
            self.as_nodes, placed(self.arguments, iter(values)), sources, [outputs[k] for k in where], pull,
            [t.differentiable[k] for k in where], t.selects,
        )  # fmt: skip
        for k, node in zip(where, nodes, strict=True):
            node.tag = (t.outputs[k].name, t.outputs[k].role)
            outputs[k] = node
        return filled(t.result, outputs)

    def as_nodes(self, args: Any, kwargs: Any) -> list[Any]:
        """The nodes that the function returns on the tape."""
        nodes: list[Any] = []
        collected(self.f(*args, **kwargs), nodes)
        return nodes

    def recorded(self, values: list[Any]) -> Any:
        """The function on the tape."""
        args, kwargs = placed(self.arguments, iter(values))
        return self.f(*args, **kwargs)

    def numbers(self, values: Sequence[Any]) -> list[Any]:
        """The numbers of the arguments and of what the function closes over."""
        data = [plain(x) for x in (*values, *self.free)]
        if self.on_floats:
            return list(map(float, data))
        return [np.asarray(x, leaf.dtype) for x, leaf in zip(data, self.leaves, strict=True)]

    def result(self, y: Any, e: Expression, kind: Any, numbers: list[Any]) -> Any:
        """An output as the function would give it: an array of its own, or a float."""
        if kind is Value:
            return bool(y) if e.dtype == bool else float(y)
        return np.array(y, e.dtype) if any(y is x for x in numbers) else np.asarray(y, e.dtype)

    # --------------------------------------------------------------------------------------------- value and gradient
    def value_and_grad(self, values: list[Any]) -> Any:
        """The value, and the gradients in the form of the arguments."""
        if self.both is None:
            shapes = ", ".join(str(y.shape) for y in self.trace.outputs)
            what = f"{len(self.trace.outputs)} results, of shapes {shapes}" if len(self.trace.outputs) > 1 else (
                f"an array of shape {shapes}" if shapes else "nothing that is computed from floats or arrays of floats")
            raise ValueError(
                f"value_and_grad: {self.trace.what} returns {what}; a gradient is that of one number. Reduce it, for "
                "example with .sum(), and return nothing else"
            )
        try:
            value, *gradients = self.both(*self.numbers(values))
        except FAILED:
            return taped(self.f, self.arguments, values)
        if self.trace.selects and not all(g is None or np.isfinite(g).all() for g in gradients):
            return taped(self.f, self.arguments, values)
        gradients = [self.zero(x) if g is None else self.like(x, g) for x, g in zip(values, gradients, strict=True)]
        kind = Value if all(type(plain(x)) is float for x in (*values, *self.free)) else Tensor
        return self.result(value, self.trace.outputs[0], kind, []), placed(self.form, iter(gradients))

    def like(self, x: Any, g: Any) -> Any:
        """A gradient as a float beside floats, and as an array, of the same dtype, beside arrays."""
        x = plain(x)
        return float(g) if type(x) is float else np.array(g, x.dtype)

    def zero(self, x: Any) -> Any:
        """The gradient where none flows."""
        return 0.0 if type(plain(x)) is float else np.zeros_like(plain(x))

    def explain(self) -> str:
        """What was traced, and how it runs."""
        t = self.trace
        forward = [e for e in ordered(t.outputs) if e.args]
        both = [e for e in ordered([*t.outputs, *(g for g in t.gradients.values() if g is not None)]) if e.args]
        shapes = ", ".join(f"{e.name} {e.shape}" for e in t.inputs)
        reads = ", ".join(str(leaf.name) for _, leaf in t.free) or "nothing"
        return (f"{t.what}({shapes}): {len(forward)} operations, {len(both) - len(forward)} more in the derivative, on "
                f"{'Python floats' if self.on_floats else 'NumPy arrays'}; closes over {reads}.")


def taped(f: Callable[..., Any], arguments: Any, values: Sequence[Any]) -> Any:
    """The value and the gradients in the form of the arguments, from the tape."""
    data = [plain(x) for x in values]
    arrays = any(not isinstance(x, float) for x in data)
    leaves = [Tensor(x) if arrays else Value(x) for x in data]
    args, kwargs = placed(arguments, iter(leaves))
    with enable_grad():
        y = f(*args, **kwargs)
        if not isinstance(y, Node):
            raise TypeError(f"value_and_grad: the function must return a node, got {type(y).__name__}")
        gradients = grad(y, leaves) if y.requires_grad else [x.finished(None, False) for x in leaves]
    both = zip(data, gradients, strict=True)
    slots = placed(gradient_form(arguments[0]), iter([float(g) if isinstance(x, float) else g for x, g in both]))
    return plain(y), slots


def _body(block: Block, roots: Sequence[Any]) -> tuple[list[str], list[str]]:
    """The lines that compute the roots, None for none; and what to return."""
    names = iter(block.write([r for r in roots if r is not None]))
    returned = ["None" if r is None else next(names) for r in roots]
    return block.lines, returned
