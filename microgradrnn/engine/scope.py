"""Where a node is made: the module path, the time step, whether the graph is recorded, and whether NaNs are hunted.

All four are one immutable `Scope` in one context variable, so they are right per thread and per async task, and come
back after an exception. ``scope``, ``no_grad``, ``enable_grad`` and ``detect_anomaly`` each enter a changed copy of it.

A generator that is closed late leaves its ``with`` block out of order; leaving therefore takes out its own change,
wherever it stands, and keeps those of the others. If another thread closes it, the first one drops the change at its
next block. While it waits at a ``yield`` inside the block, its caller is inside too: that is how Python's context
variables work. Decorate the generator instead, ``@no_grad()``: then only its own steps are inside.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar
from weakref import ref

F = TypeVar("F", bound=Callable[..., Any])


class Scope:
    """What is in force where a node is made.

    Attributes:
        path: the names of the modules we are in, from the outside in.
        step: the time step, None outside any.
        recording: is the graph being kept?
        anomaly: does the first NaN or infinity raise?
        line: the line of the user's code that made the node; known in anomaly mode only.
        loop: where the step was set: the path there, with the steps of the loops around it, ``epoch/t3/net``.
        running: which sequences of the batch take this step, bools (B,); None if all do.
        fingerprint: of the arrays that the operation used and made; known in anomaly mode only.
    """

    __slots__ = ("anomaly", "by", "fingerprint", "line", "loop", "outer", "path", "recording", "running", "step")

    def __init__(
        self, path: tuple[str, ...] = (), step: int | None = None, recording: bool = True, anomaly: bool = False,
        line: str | None = None, outer: Scope | None = None, by: Context | None = None, loop: str = "",
        running: Any = None,
    ) -> None:  # fmt: skip
        self.path, self.step, self.recording, self.anomaly, self.line = path, step, recording, anomaly, line
        self.outer, self.by, self.loop, self.running = outer, by, loop, running
        self.fingerprint: int | None = None

    def __str__(self) -> str:
        """For error messages: `` [in lstm, t=3]``, or nothing at the top level."""
        where = [f"in {'/'.join(self.path)}"] if self.path else []
        if self.step is not None:
            where.append(f"t={self.step}")
        if self.line is not None:
            where.append(f"made at {self.line}")
        return f" [{', '.join(where)}]" if where else ""

    def __repr__(self) -> str:
        return f"Scope(path={self.path}, step={self.step})"

    def at(self, line: str) -> Scope:
        """The same place, with the line of code."""
        return Scope(self.path, self.step, self.recording, self.anomaly, line, None, None, self.loop, self.running)

    def without(self, by: Context) -> Scope:
        """This scope less what one ``with`` block changed; unchanged if that was entered in another context."""
        if self.by is by:
            assert self.outer is not None
            return self.outer
        if self.outer is None or self.by is None:
            return self
        rest = self.outer.without(by)
        return self if rest is self.outer else self.by.inside(rest)


SCOPE: ContextVar[Scope] = ContextVar("scope", default=Scope())  # noqa: B039 (a Scope is never changed)


# Is a function being traced, to be compiled? Then what needs no gradient is recorded as well.
TRACING: ContextVar[bool] = ContextVar("tracing", default=False)

# Do loops over time run compiled? See nn/compiling.py.
COMPILED: ContextVar[bool | str] = ContextVar("compiled", default=False)


class Context:
    """A ``with`` block (or a decorator, also of generators) that changes the scope."""

    __slots__ = ("__weakref__",)

    def inside(self, outer: Scope) -> Scope:
        """The scope within, given the one around."""
        raise NotImplementedError

    def __enter__(self) -> None:
        outer = SCOPE.get()
        if LEFT_ELSEWHERE:
            outer = self._still_entered(outer)
        SCOPE.set(self.inside(outer))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        inside = SCOPE.get()
        if error is not None and not hasattr(error, "scope"):
            with suppress(AttributeError):  # a few errors written in C hold nothing
                error.scope = inside  # type: ignore[attr-defined]  # where it was raised, for viz.explore(error)
        outer = inside.outer if inside.by is self else inside.without(self)
        if outer is inside:
            LEFT_ELSEWHERE.add(ref(self, LEFT_ELSEWHERE.discard))
        SCOPE.set(outer)  # type: ignore[arg-type]

    def _still_entered(self, outer: Scope) -> Scope:
        """The scope around, less the blocks that another thread has left."""
        dropped = {ref(self)}  # this very object may have been; from now on it counts again
        while outer.by is not None and (by := ref(outer.by)) in LEFT_ELSEWHERE:
            dropped.add(by)
            outer = outer.outer  # type: ignore[assignment]
        LEFT_ELSEWHERE.difference_update(dropped)
        return outer

    def __call__(self, f: F) -> F:
        """As a decorator: every call runs inside. A generator does so only while it runs, not while it waits.

        So does a coroutine; there each task has a context of its own.
        """
        if inspect.isasyncgenfunction(f):
            raise TypeError(f"{type(self).__name__} cannot decorate an async generator; put a with block into its body")
        if inspect.iscoroutinefunction(f):

            @wraps(f)
            async def wait(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await f(*args, **kwargs)

            return wait  # type: ignore[return-value]
        if not inspect.isgeneratorfunction(f):

            @wraps(f)
            def call(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return f(*args, **kwargs)

            return call  # type: ignore[return-value]

        @wraps(f)
        def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            body = f(*args, **kwargs)
            resume: Callable[[], Any] = body.__next__
            while True:
                with self:
                    try:
                        item = resume()
                    except StopIteration as stop:
                        return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    with self:
                        body.close()
                    raise
                except BaseException as error:
                    resume = _throwing(body, error)
                else:
                    resume = _sending(body, sent)

        return generate  # type: ignore[return-value]


# Blocks that were left in another thread or task than they were entered in (by a generator that was handed over).
# One is forgotten with the thread or task that entered it, for that may never enter another.
LEFT_ELSEWHERE: set[ref[Context]] = set()


def _sending(body: Generator[Any, Any, Any], sent: Any) -> Callable[[], Any]:
    return lambda: body.send(sent)


def _throwing(body: Generator[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: body.throw(error)


class scope(Context):  # noqa: N801 (reads as a statement: `with scope("lstm"):`)
    """``with scope("lstm", step=3):`` tags every node made inside with that module name and time step.

    Scopes nest: paths add up, the innermost step wins. Pictures and error messages read them; the engine does not.

    Args:
        name: the name of the module.
        step: the time step.
        running: which sequences of a padded batch take this step, bools (B,); by default all. What is measured by lag
            is then counted from the end of each sequence. (`nn.unroll` says so if it is given ``lengths=``.)

    >>> from microgradrnn import Value, scope
    >>> with scope("cell", step=2):
    ...     y = Value(1.0) * 3
    >>> y.scope.path, y.scope.step
    (('cell',), 2)
    """

    __slots__ = ("name", "running", "step")

    def __init__(self, name: str | None = None, step: int | None = None, running: Any = None) -> None:
        self.name, self.step, self.running = name, step, running

    def inside(self, outer: Scope) -> Scope:
        """One name deeper, or at another step."""
        path = outer.path if self.name is None else (*outer.path, self.name)
        if self.step is None:
            running = outer.running if self.running is None else self.running
            return Scope(path, outer.step, outer.recording, outer.anomaly, None, outer, self, outer.loop, running)
        around = "" if outer.step is None else f"{outer.loop}/t{outer.step}/"
        loop = around + "/".join(path)
        return Scope(path, self.step, outer.recording, outer.anomaly, None, outer, self, loop, self.running)


class no_grad(Context):  # noqa: N801
    """``with no_grad():`` computes without recording: results are constants, and no graph is kept.

    >>> from microgradrnn import Value, no_grad
    >>> with no_grad():
    ...     y = Value(2.0) * 3
    >>> y.requires_grad
    False
    """

    __slots__ = ()

    def inside(self, outer: Scope) -> Scope:
        """Not recording."""
        return Scope(outer.path, outer.step, False, outer.anomaly, None, outer, self, outer.loop, outer.running)


class enable_grad(Context):  # noqa: N801
    """``with enable_grad():`` records again, inside a `no_grad` block.

    >>> from microgradrnn import Value, enable_grad, no_grad
    >>> x = Value(2.0)
    >>> with no_grad():
    ...     with enable_grad():
    ...         y = x * x
    >>> y.backward()
    >>> x.grad
    4.0
    """

    __slots__ = ()

    def inside(self, outer: Scope) -> Scope:
        """Recording."""
        return Scope(outer.path, outer.step, True, outer.anomaly, None, outer, self, outer.loop, outer.running)


class resumed(Context):  # noqa: N801
    """``with resumed(scope):`` records as if still at an earlier place. (Checkpoints run a stretch again so.)"""

    __slots__ = ("place",)

    def __init__(self, place: Scope) -> None:
        self.place = place

    def inside(self, outer: Scope) -> Scope:
        """There, recording, and hunting NaNs if that is on now."""
        place = self.place
        return Scope(place.path, place.step, True, outer.anomaly, None, outer, self, place.loop, place.running)
