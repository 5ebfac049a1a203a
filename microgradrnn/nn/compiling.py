"""When a loop over time runs compiled: who decides, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from microgradrnn.compiler.errors import TraceError, UnsteadyError
from microgradrnn.engine import Node, Tensor, Value
from microgradrnn.engine.checkpoint import flat
from microgradrnn.engine.scope import COMPILED, SCOPE, TRACING
from microgradrnn.nn.cells import Cell

Mode = bool | str
WHY: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # for each cell how its last loop ran
REFUSED: WeakSet[Any] = WeakSet()  # cells that draw or count, so that "auto" need not try again
SHORT = 3  # a loop of fewer steps is not worth a trace
OFTEN = 3  # more traces than this are worth a remark


@contextmanager
def compiling(compiled: Mode = "auto") -> Iterator[None]:
    """A ``with`` block inside which loops run compiled, as if each was called with ``compiled="auto"``.

    Also a decorator, and ``compiling(False)`` switches it off. What a call itself says counts more.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> cell = nn.RNNCell(3, 5, rng=0)
    >>> with nn.compiling():
    ...     hs, h = nn.unroll(cell, np.ones((7, 2, 3)))
    >>> nn.explain(cell)
    'RNNCell: compiled, on NumPy.'
    """
    token = COMPILED.set(compiled)
    try:
        yield
    finally:
        COMPILED.reset(token)


def explain(cell: Any) -> str:
    """How the last loop of a cell, or of each cell of a layer, ran: compiled or on the tape, and why.

    Raises:
        TypeError: if it is no cell.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> lstm = nn.LSTM(3, 4, rng=0)
    >>> _ = lstm(np.ones((5, 1, 3)))
    >>> print(explain(lstm))
    layer 0, forwards, LSTMCell: on the tape, if it has run: compiled= was not asked for.
    """
    if hasattr(cell, "explain"):
        return str(cell.explain())
    if not callable(cell):
        raise TypeError(f"explain: expected a cell or a layer, got {type(cell).__name__}")
    return f"{type_name(cell)}: {why(cell) or 'on the tape, if it has run: compiled= was not asked for.'}"


def why(cell: Any) -> str | None:
    """What was noted of a cell, if anything."""
    try:
        return WHY.get(cell)
    except TypeError:  # it has no hash, or cannot be referred to weakly
        return None


def mode_of(compiled: Mode | None) -> Mode:
    """What a call asks for; if it does not say, what the context says."""
    mode = COMPILED.get() if compiled is None else compiled
    if mode not in (True, False, "auto", "numpy", "numba"):
        raise ValueError(f"unroll: compiled is True, False, 'auto', 'numpy' or 'numba', got {mode!r}")
    return mode


def replayed(
    cell: Any, xs: Any, state: Any, lengths: Any, reverse: bool, states: bool, mode: Mode, checkpoint: bool | int,
    by_step: bool, on_the_tape: Callable[[Any, Any], tuple[Any, Any]],
) -> tuple[Any, Any] | None:  # fmt: skip
    """The outputs of all steps and the last state from a compiled loop; None if it is not to run compiled.

    Args:
        cell, xs, state, lengths, reverse, states, checkpoint: as in `unroll`; lengths are an array.
        mode: True, "auto", or the name of a back end.
        by_step: are there a mask or resets?
        on_the_tape: the same loop, recorded, as a function of xs and the state.

    Raises:
        TraceError: if the cell cannot be compiled, and mode is not "auto".
    """
    def step(x: Any, state: Any) -> Any:
        if not isinstance(cell, Cell):
            return cell(x, state)
        z, rest = cell.prepare(x)
        return rest(z, state)

    def uncompiled(xs: Any, state: Any) -> list[Any]:
        hs, last = on_the_tape(xs, state)
        return [part if isinstance(part, Node) else Tensor(part, requires_grad=False)
                for part in (*flat(hs), *flat(last))]

    step.state_symbols = cell.state if isinstance(cell, Cell) else ("h", "c")  # type: ignore[attr-defined]
    if SCOPE.get().anomaly:
        if why(cell) != ANOMALY:
            import logging  # heavy, and most programs never come here

            log = logging.getLogger("microgradrnn")
            log.warning("%s runs uncompiled: anomaly mode looks at every operation", type_name(cell))
        note(cell, ANOMALY)
        return None
    try:
        if mode == "auto" and refused(cell):
            return None
        if mode == "auto" and (checkpoint or by_step or TRACING.get() or len(xs) < SHORT):
            note(cell, "on the tape: the loop is short, checkpointed, with a mask or resets, or part of a compiled "
                       "function.")
            return None
        need_compilable(mode, xs, state, checkpoint, by_step)
        back_end = {True: "best", "auto": "numpy"}.get(mode, str(mode))
        found = compiled_loop()(cell, step, xs, state, lengths, reverse, states, type_name(cell), uncompiled,
                                back_end)
    except Exception as error:  # whatever it is: on the tape it works, or the error is that of the tape
        note(cell, f"on the tape. {error}.")
        if mode != "auto":
            raise
        if isinstance(error, UnsteadyError):
            with suppress(TypeError):
                REFUSED.add(cell)
        return None
    note(cell, f"compiled, on {found.back_end}.{advice(found.traces)}")
    return found.result


@cache
def compiled_loop() -> Any:
    """`unroll_compiled`, imported by those who use it."""
    from microgradrnn.compiler.loop import unroll_compiled

    return unroll_compiled


def advice(traces: int) -> str:
    """What to say of a cell that was traced so many times for inputs of one form."""
    if traces <= OFTEN:
        return ""
    return (f" It was traced {traces} times for inputs of this form, because something that it reads changes; make "
            "that a Tensor, or pass it in with x.")


ANOMALY = "on the tape, because anomaly mode looks at every operation."


def need_compilable(mode: Mode, xs: Any, state: Any, checkpoint: bool | int, by_step: bool) -> None:
    """Raise if, by what it is given, this loop should not be compiled."""
    reason = None
    if checkpoint:
        reason = "checkpoint= makes the graph again, and a compiled loop has none; choose one of the two"
    elif by_step:
        reason = "with mask= or reset= the steps are not all alike, so the loop runs on the tape; lengths= compiles"
    elif not hasattr(xs, "shape") or any(isinstance(part, Value) for part in flat(state)):
        reason = "it works with arrays, not with Values or lists of steps; stack() the steps"
    elif TRACING.get():
        reason = "the loop is inside a function that is compiled itself"
    if reason is not None:
        raise TraceError(f"compiled=: {reason}")


def refused(cell: Any) -> bool:
    """Was this cell refused before?"""
    try:
        return cell in REFUSED
    except TypeError:  # it has no hash, or cannot be referred to weakly
        return False


def note(cell: Any, how: str) -> None:
    """Remember how a loop of a cell ran."""
    with suppress(TypeError):  # some things cannot be referred to weakly
        WHY[cell] = how


def type_name(cell: Any) -> str:
    """What a cell is called in messages."""
    name = type(cell).__name__
    return name if isinstance(cell, Cell) else getattr(cell, "__name__", name)
