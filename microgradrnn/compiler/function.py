"""`compile`: a function traced once, and replayed as straight-line code."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import update_wrapper
from threading import RLock
from types import MethodType
from typing import Any

import numpy as np

from microgradrnn.compiler.arguments import argument_names, bound, collected_slots, given_form, slotted
from microgradrnn.compiler.errors import TraceError
from microgradrnn.compiler.guard import Watch
from microgradrnn.compiler.program import Program, taped
from microgradrnn.compiler.trace import trace
from microgradrnn.engine.scope import SCOPE, TRACING

log = logging.getLogger("microgradrnn")
MOST = 16  # so many traces of a function are kept


class Compiled:
    """A compiled function: see `compile`."""

    def __init__(self, f: Callable[..., Any]) -> None:
        update_wrapper(self, f, updated=())
        self.f = f
        self.traces: OrderedDict[Any, Program] = OrderedDict()
        self._lock = RLock()
        self._watch: Watch | None = None
        self._fell_back = False

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return self if obj is None else MethodType(self, obj)

    def __repr__(self) -> str:
        return f"<compiled {self._name}>"

    def __reduce__(self) -> Any:
        return compile, (self.f,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns: numbers for numbers; nodes, if it is given a node or closes over one."""
        if TRACING.get() or self._hunts_anomalies():
            return self.f(*args, **kwargs)
        program, values = self.program(*bound(self.f, args, kwargs))
        return program.run(values)

    def value_and_grad(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """The value of the function, which must be one number, and its gradient with respect to every argument.

        Args:
            args, kwargs: as for the function: floats, arrays, nodes, and lists or tuples of them.

        Returns:
            The value, and a tuple of gradients, one for each argument that has a position, in the form of the
            arguments: all are plain numbers or arrays. What is no float or array of floats has the gradient None.

        Raises:
            ValueError: if the function returns several numbers.
        """
        if TRACING.get():
            raise TraceError("value_and_grad inside a compiled function; compile the inner function alone")
        arguments = bound(self.f, args, kwargs)
        if self._hunts_anomalies():
            values: list[Any] = []
            slots = slotted(arguments, values)
            found: tuple[Any, Any] = taped(self.f, slots, values)
            return found
        program, values = self.program(*arguments)
        result: tuple[Any, Any] = program.value_and_grad(values)
        return result

    def _hunts_anomalies(self) -> bool:
        """Is anomaly mode on? It looks at every operation, so that nothing runs compiled; said once in the log."""
        on = SCOPE.get().anomaly
        if on and not self._fell_back:
            self._fell_back = True
            log.warning("compile: %s runs uncompiled, because anomaly mode looks at every operation", self._name)
        return on

    @property
    def _name(self) -> str:
        """What the function is called in messages."""
        return getattr(self.f, "__name__", type(self.f).__name__)

    def program(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Program, list[Any]]:
        """The program for arguments of this form, traced if there is none, and the numbers and arrays among them."""
        values: list[Any] = []
        arguments = (tuple(args), kwargs)
        given = given_form(arguments, values)
        with self._lock:
            if self._watch is None:
                self._watch = Watch(self.f)
            key = (given, self._watch.snapshot())
            program = self.traces.get(key)
            if program is None:
                self.traces[key] = program = self._traced(slotted(arguments, []))
                if len(self.traces) > MOST:
                    self.traces.popitem(last=False)
            else:
                self.traces.move_to_end(key)
        return program, values

    def _traced(self, arguments: Any) -> Program:
        """A new program. Floats take the dtype of the arrays that they meet, as Python's floats do in NumPy."""
        slots: list[Any] = []
        collected_slots(arguments, slots)
        names = argument_names(self.f, *arguments)
        for _ in range(2):
            made = trace(lambda args, kwargs: self.f(*args, **kwargs), arguments, names, self._name)
            met = {slot.dtype for slot in slots if not slot.weak} | {e.dtype for _, e in made.free if e.shape}
            weak = [slot for slot in slots if slot.weak]
            if not weak or met != {np.dtype(np.float32)} or weak[0].dtype == np.float32:
                break
            for slot in weak:
                slot.dtype = np.dtype(np.float32)
        return Program(self.f, arguments, made)

    @property
    def last(self) -> Program:
        """The program that was used last."""
        if not self.traces:
            raise ValueError(f"compile: {self._name} was not called yet, so there is no code to show; call it first")
        return next(reversed(self.traces.values()))

    @property
    def source(self) -> str:
        """The function and its derivative as Python, in the symbols of the notation: to be read, and it runs too."""
        from microgradrnn.compiler.readable import python_source

        return python_source(self.last.trace, self._word)

    @property
    def optimised_source(self) -> str:
        """The code that ran last."""
        return self.last.source

    @property
    def constants(self) -> dict[str, Any]:
        """The arrays that the source names."""
        from microgradrnn.compiler.readable import constants

        return constants(self.last.trace, self._word)

    def equations(self, time: bool = False) -> Any:
        """The function and its derivative as equations: ``str()`` of them is text, ``.latex()`` is LaTeX.

        Args:
            time: give what changes from step to step an index t.
        """
        from microgradrnn.compiler.equations import equations

        return equations(self.last.trace, time=time)

    def javascript(self) -> str:
        """The function and its derivative as a JavaScript module, for a browser; it computes in double precision."""
        from microgradrnn.compiler.javascript import javascript

        return javascript(self.last.trace, self._word)

    def explain(self) -> str:
        """What was traced, and how it runs."""
        if not self.traces:
            return f"{self._name}: not called yet."
        return "\n".join(program.explain() for program in self.traces.values())

    @property
    def _word(self) -> str:
        """The name, in a form that a program can use."""
        return self._name if self._name.isidentifier() else "f"


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
