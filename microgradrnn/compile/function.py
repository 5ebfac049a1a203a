"""`compile`: a function traced once, and replayed as straight-line code."""

from __future__ import annotations

import inspect
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from microgradrnn.compile.expression import Expression, ordered, rewritten
from microgradrnn.compile.guard import snapshot
from microgradrnn.compile.replay import on_the_tape
from microgradrnn.compile.straight import Block, executed, function, on_floats
from microgradrnn.compile.trace import Slot, Trace, collected_slots, filled, placed, trace
from microgradrnn.engine import Node, Tensor, Value, grad
from microgradrnn.engine.node import plain
from microgradrnn.engine.scope import SCOPE, TRACING

log = logging.getLogger("microgradrnn")
MOST = 16  # so many traces of a function are kept


class Compiled:
    """A compiled function: see `compile`."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f
        self.traces: OrderedDict[Any, Program] = OrderedDict()
        self.fell_back = False
        update_wrapper(self, f)

    def __call__(self, *args: Any) -> Any:
        """What the function returns: numbers for numbers; nodes, if it is given a node or closes over one."""
        if TRACING.get():
            return self.f(*args)
        if SCOPE.get().anomaly:
            if not self.fell_back:
                self.fell_back = True
                log.warning("compile: %s runs uncompiled, because anomaly mode looks at every operation", self.name)
            return self.f(*args)
        program, values = self.program(args)
        return program.run(values)

    def value_and_grad(self, *args: Any) -> tuple[Any, Any]:
        """The value of the function, which must be one number, and its gradient with respect to every argument.

        Args:
            args: as for the function: floats, arrays, nodes, and lists or tuples of them.

        Returns:
            The value, and a tuple of gradients, one an argument, in the form of the arguments: all are plain numbers or
            arrays. What is no number or array of floats has the gradient None.

        Raises:
            ValueError: if the function returns several numbers.
        """
        program, values = self.program(args)
        return program.value_and_grad(values)

    @property
    def name(self) -> str:
        """What the function is called in messages."""
        return getattr(self.f, "__name__", type(self.f).__name__)

    def program(self, args: tuple[Any, ...]) -> tuple[Program, list[Any]]:
        """The program for arguments of this form, traced if there is none, and the numbers and arrays among them."""
        values: list[Any] = []
        arguments = slotted(args, values)
        key = (form(arguments), snapshot(self.f))
        program = self.traces.get(key)
        if program is None:
            names = argument_names(self.f, arguments)
            program = Program(self.f, args, arguments, trace(self.f, arguments, names, self.name))
            self.traces[key] = program
            if len(self.traces) > MOST:
                self.traces.popitem(last=False)
        else:
            self.traces.move_to_end(key)
        return program, values

    @property
    def last(self) -> Program:
        """The program that was used last."""
        if not self.traces:
            raise ValueError(f"compile: {self.name} was not called yet, so there is no code to show; call it first")
        return next(reversed(self.traces.values()))

    @property
    def source(self) -> str:
        """The function and its derivative as Python, in the symbols of the notation: to be read, and it runs too."""
        from microgradrnn.compile.readable import python_source

        return python_source(self.last.trace, self.word)

    @property
    def optimised_source(self) -> str:
        """The code that ran last."""
        return self.last.source

    def equations(self, time: bool = False) -> Any:
        """The function and its derivative as equations: ``str()`` of them is text, ``.latex()`` is LaTeX.

        Args:
            time: give what changes from step to step an index t.
        """
        from microgradrnn.compile.equations import equations

        return equations(self.last.trace, time=time)

    def javascript(self) -> str:
        """The function and its derivative as a JavaScript module, for a browser; it computes in double precision."""
        from microgradrnn.compile.javascript import javascript

        return javascript(self.last.trace, self.word)

    def explain(self) -> str:
        """What was traced, and how it runs."""
        if not self.traces:
            return f"{self.name}: not called yet."
        return "\n".join(program.explain() for program in self.traces.values())

    @property
    def word(self) -> str:
        """The name, in a form that a program can use."""
        return self.name if self.name.isidentifier() else "f"


class Program:
    """One trace of a function, as code."""

    def __init__(self, f: Callable[..., Any], args: Any, arguments: Any, traced: Trace) -> None:
        self.f, self.arguments, self.trace = f, arguments, traced
        self.free = [x for x, _ in traced.free]
        self.kept = args  # what is not traced is compared by identity, and must stay alive
        leaves = [*traced.inputs, *(leaf for _, leaf in traced.free)]
        gradients = [traced.gradients.get(leaf) for leaf in leaves]
        self.on_floats = on_floats([*traced.outputs, *(g for g in gradients if g is not None), *leaves])
        made = set(ordered(traced.outputs)) - set(leaves)
        self.saved = [e for e in ordered([g for g in gradients if g is not None], made) if e in made]
        self.source, namespace = self._written(leaves, gradients)
        code = executed(self.source, namespace)
        self.forward, self.backward, self.both = code["forward"], code["backward"], code.get("value_and_grad")

    def _written(self, leaves: list[Expression], gradients: list[Any]) -> tuple[str, dict[str, Any]]:
        """The source of three functions: forwards, backwards, and both in one."""
        t, parts = self.trace, []
        namespace: dict[str, Any] = {}
        there = Block(self.on_floats)
        names = [there.name(leaf) for leaf in leaves]
        parts.append(function("forward", names, *_body(there, [*t.outputs, *self.saved])))
        back = Block(self.on_floats)
        given = [*leaves, *t.seeds, *self.saved]
        parts.append(function("backward", [back.name(e, there.names.get(e)) for e in given], *_body(back, gradients)))
        namespace |= there.namespace | back.namespace
        if len(t.outputs) == 1 and int(np.prod(t.outputs[0].shape)) == 1:
            both = Block(self.on_floats)
            names = [both.name(leaf) for leaf in leaves]
            one: Any = 1.0 if not t.outputs[0].shape else t.table.constant(np.ones(t.outputs[0].shape))
            ends = rewritten(t.table, gradients[: len(t.inputs)], lambda e: one if e is t.seeds[0] else None)
            parts.append(function("value_and_grad", names, *_body(both, [*t.outputs, *ends])))
            namespace |= both.namespace
        return "\n\n".join(parts), namespace

    def run(self, values: list[Any]) -> Any:
        """The function on numbers, or on the tape."""
        sources = [x for x in (*values, *self.free) if isinstance(x, Node)]
        numbers = self.numbers(values)
        try:
            found = self.forward(*numbers)
        except ArithmeticError:  # floats raise where arrays give inf or nan; the tape knows what to do
            return self.f(*placed(self.arguments, iter(values)))
        n = len(self.trace.outputs)
        outputs, saved = found[:n], found[n:]
        if not sources:
            return filled(self.trace.result, outputs if self.on_floats else [np.asarray(y) for y in outputs])
        if not isinstance(sources[0], Value):
            outputs = [np.asarray(y, e.dtype) for y, e in zip(outputs, self.trace.outputs, strict=True)]

        def pull(cotangents: list[Any]) -> list[Any]:
            given = [np.zeros_like(y) if g is None else g for y, g in zip(outputs, cotangents, strict=True)]
            gradients = self.backward(*numbers, *given, *saved)
            both = zip((*values, *self.free), gradients, strict=True)
            return [g if g is None else self.like(x, g) for x, g in both if isinstance(x, Node)]

        xs = placed(self.arguments, iter(values))
        return filled(self.trace.result, on_the_tape(self.f, xs, sources, outputs, pull, self.trace.selects))

    def value_and_grad(self, values: list[Any]) -> Any:
        """The value and the gradients, in the form of the arguments."""
        if self.both is None:
            shapes = ", ".join(str(y.shape) for y in self.trace.outputs)
            raise ValueError(
                f"value_and_grad: {self.trace.what} returns {len(self.trace.outputs)} results, shape {shapes}; a "
                "gradient is that of one number. Reduce it, for example with .sum()"
            )
        try:
            value, *gradients = self.both(*self.numbers(values))
        except ArithmeticError:
            return self.taped(values)
        if self.trace.selects and not all(g is None or np.isfinite(g).all() for g in gradients):
            return self.taped(values)
        gradients = [self.zero(x) if g is None else self.like(x, g) for x, g in zip(values, gradients, strict=True)]
        return self.like(values[0] if values else 0.0, value), placed(gradient_form(self.arguments), iter(gradients))

    def explain(self) -> str:
        """What was traced, and how it runs."""
        t = self.trace
        forward = [e for e in ordered(t.outputs) if e.args]
        both = [e for e in ordered([*t.outputs, *(g for g in t.gradients.values() if g is not None)]) if e.args]
        shapes = ", ".join(f"{e.name} {e.shape}" for e in t.inputs)
        reads = ", ".join(str(leaf.name) for _, leaf in t.free) or "nothing"
        return (f"{t.what}({shapes}): {len(forward)} operations, {len(both) - len(forward)} more in the derivative, on "
                f"{'Python floats' if self.on_floats else 'NumPy arrays'}; closes over {reads}.")

    def taped(self, values: list[Any]) -> Any:
        """The same from the tape."""
        leaves = [leaf(x) for x in values]
        y = self.f(*placed(self.arguments, iter(leaves)))
        gradients = grad(y, leaves)
        return plain(y), placed(gradient_form(self.arguments), iter(gradients))

    def numbers(self, values: Sequence[Any]) -> list[Any]:
        """The numbers of the arguments and of what the function closes over."""
        data = [plain(x) for x in (*values, *self.free)]
        return data if self.on_floats else list(map(np.asarray, data))

    def like(self, x: Any, g: Any) -> Any:
        """A result as a float beside floats, and as an array, of the same dtype, beside arrays."""
        x = plain(x)
        return float(g) if type(x) is float else np.array(g, x.dtype)

    def zero(self, x: Any) -> Any:
        """The gradient where none flows."""
        return 0.0 if type(plain(x)) is float else np.zeros_like(plain(x))


def leaf(x: Any) -> Any:
    """A new leaf with these numbers."""
    x = plain(x)
    return Value(x) if type(x) is float else Tensor(x)


def slotted(arguments: Any, values: list[Any]) -> Any:
    """The arguments with a `Slot` for every float, array and node; these go to the list."""
    if isinstance(arguments, (Node, float, np.ndarray)) and not isinstance(arguments, np.generic):
        values.append(arguments)
        return Slot(arguments)
    if isinstance(arguments, (tuple, list)):
        parts = [slotted(part, values) for part in arguments]
        return type(arguments)(*parts) if hasattr(arguments, "_fields") else type(arguments)(parts)
    if isinstance(arguments, dict):
        return {key: slotted(part, values) for key, part in arguments.items()}
    if isinstance(arguments, np.generic):
        return arguments.item()
    return arguments


def gradient_form(arguments: Any) -> Any:
    """The arguments with None for all that has no gradient."""
    if isinstance(arguments, (tuple, list)):
        parts = [gradient_form(part) for part in arguments]
        return type(arguments)(*parts) if hasattr(arguments, "_fields") else type(arguments)(parts)
    if isinstance(arguments, dict):
        return {key: gradient_form(part) for key, part in arguments.items()}
    return arguments if isinstance(arguments, Slot) else None


def form(arguments: Any) -> Any:
    """What a program is valid for: shapes and dtypes of what is traced; the rest as it is."""
    if isinstance(arguments, Slot):
        return arguments.shape, arguments.dtype.str
    if isinstance(arguments, (tuple, list)):
        return type(arguments).__name__, *map(form, arguments)
    if isinstance(arguments, dict):
        return tuple((key, form(part)) for key, part in arguments.items())
    return snapshot(arguments)


def argument_names(f: Callable[..., Any], arguments: tuple[Any, ...]) -> list[str]:
    """A name for every slot: that of its parameter, numbered if it holds several."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    states = getattr(f, "state", None)  # a cell of this library: f(x, state), with names for the parts of the state
    if isinstance(states, tuple) and len(arguments) == 2:
        return ["x", *(f"{state}_prev" for state in states)]
    names: list[str] = []
    for k, argument in enumerate(arguments):
        plain_parameter = k < len(parameters) and parameters[k].kind is not inspect.Parameter.VAR_POSITIONAL
        name = parameters[k].name if plain_parameter else f"x{k}"
        slots: list[Any] = []
        collected_slots(argument, slots)
        names += [name] if isinstance(argument, Slot) else [f"{name}_{i}" for i in range(len(slots))]
    return names


def _body(block: Block, roots: Sequence[Any]) -> tuple[list[str], list[str]]:
    """The lines that compute the roots, None for none; and what to return."""
    names = iter(block.write([r for r in roots if r is not None]))
    returned = ["None" if r is None else next(names) for r in roots]
    return block.lines, returned


def compile(f: Callable[..., Any]) -> Compiled:
    """A function, traced once for every form of its arguments and replayed as straight-line code.

    The code computes what the function computes, and its derivative, without recording anything: for functions of
    floats (or Values) it is plain Python, for functions of arrays (or Tensors) NumPy. Given a node, or closing over
    one, the compiled function returns a node, whose graph has a single operation, "compiled".

    What the function closes over may change: Tensors are read anew at each call, and if an array, a number or an
    attribute is another one, the function is traced again. So it is for arguments of another shape or dtype, and for
    other arguments that are no floats or arrays (integers, strings), of which it may make use as it likes.

    Args:
        f: the function, of floats, arrays, nodes, and lists, tuples or dicts of them. It must not ask for numbers that
            are known only when it runs (``if x > 0``): use `where`.

    Returns:
        A `Compiled` function, called as f is.

    Raises:
        TraceError: when it is called, if the function cannot be traced.

    >>> import microgradrnn as mg
    >>> f = mg.compile(lambda x, w: mg.relu(w * x - 1))
    >>> f(3.0, 2.0)
    5.0
    >>> f.value_and_grad(3.0, 2.0)
    (5.0, (2.0, 3.0))
    """
    if not callable(f):
        raise TypeError(f"compile: needs a function, got {type(f).__name__}")
    return Compiled(f)
