"""Unrolling: a plain loop over time. The graph it leaves behind is all that back-propagation through time needs."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np

from microgradrnn.engine import Value, collector_paused, scope
from microgradrnn.engine.checkpoint import checkpoint as forget
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.indexing import index_update
from microgradrnn.engine.rules.shape import concat, stack
from microgradrnn.nn.cells import Cell
from microgradrnn.nn.cells.base import input_hint
from microgradrnn.nn.compiling import mode_of, replayed, type_name
from microgradrnn.nn.module import as_array
from microgradrnn.nn.rows import Rows, blanked, flags, joined, last_steps, passed, picked, replaced, running, together

CellLike = Callable[[Any, Any], Any]


def unroll(
    cell: CellLike, xs: Any, state: Any = None, *, lengths: Any = None, mask: Any = None, reset: Any = None,
    reverse: bool = False, states: bool = False, checkpoint: bool | int = False, compiled: bool | str | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Run a cell over a sequence.

    Args:
        cell: a `Cell`, or any function ``(x_t, state) -> state``. A state is one array or node, or a tuple whose
            first part is the output (the LSTM's is ``(h, c)``). Weights that a plain function uses get their gradients,
            but no ``parameters()`` finds them: hand them to the optimiser yourself, or write the cell as a `Module`.
        xs: the inputs, time first: (T, B, D), or a list of the T steps.
        state: the first state; a cell that has an ``initial_state(B)`` starts from that by default, a plain function
            must be given one.
        lengths: how many steps each sequence of the batch has, B numbers in 0..T; what comes after is padding. Every
            sequence gets the outputs, the last state and the gradients it would get alone; outputs at padded steps
            are 0. Every part of the state must then have the batch as its first axis.
        mask: which steps each sequence takes, bools (T, B): for padding on the left, and for holes. At the other steps
            its input counts for nothing, its state passes unchanged, and its output is 0.
        reset: where a sequence starts anew, bools (T, B): before that step its row of the state becomes that of the
            cell's ``initial_state``, and no gradient goes further back. For streams in which one text follows another.
        reverse: run from the last step to the first. Each sequence then starts at its own last step.
        states: True returns all parts of the state at every step, in the form of the state (the LSTM's as a pair of
            (T, B, H) arrays), in the place of the outputs.
        checkpoint: True forgets the graph of every stretch of √T steps and makes it again in the backward pass:
            memory for 2√T steps instead of T, for one more forward pass. A number sets the length of a stretch.
        compiled: True traces one step of the cell and runs it, and its derivative, as straight-line code: several
            times faster, and the graph has one operation for the whole loop, until a picture or an observer needs
            what is inside. ``"auto"`` compiles for NumPy if that is possible; `explain` says why or why not.
            ``"numpy"`` and ``"numba"`` choose the back end. By default it is as `compiling` says, and elsewhere False.

    Returns:
        The outputs (or states) of all steps in the order of xs, (T, B, H), a list if they are Values; and the last
        state.

    Raises:
        ValueError: if there are no steps, shapes or lengths do not fit, a plain function has no first state, or a state
            is a list, a dict, or of another form than the one before it.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.unroll(nn.RNNCell(3, 5, rng=0), np.ones((7, 2, 3)), lengths=[7, 4])
    >>> hs.shape, h.shape
    ((7, 2, 5), (2, 5))
    >>> bool((h.data[1] == hs.data[3, 1]).all()), float(abs(hs.data[4:, 1]).max())
    (True, 0.0)
    """
    xs = need_steps("unroll", cell, xs)
    T = len(xs)
    state = first_state(cell, xs, state)
    if isinstance(state, (list, dict)):
        raise ValueError(f"unroll: a state is one array or node, or a tuple of them, not a {type(state).__name__}")
    if not isinstance(checkpoint, (bool, int, np.integer)) or (checkpoint is not False and checkpoint < 1):
        raise ValueError(f"unroll: checkpoint is True, False or the length of a stretch, got {checkpoint!r}")
    for name, given in (("lengths", lengths), ("mask", mask), ("reset", reset)):
        if given is not None and len(getattr(xs, "shape", ())) < 2:
            raise ValueError(f"unroll: {name}= needs xs as one array with a batch, (T, B, D)")
    if lengths is not None and mask is not None:
        raise ValueError("unroll: lengths= and mask= both say which steps a sequence takes; give one of the two")
    alive = None
    if lengths is not None:
        alive = running(lengths, T, xs.shape[1])
        lengths = np.array(plain(lengths), int)  # the caller may write to his before the backward pass
    elif mask is not None:
        mask = alive = flags("mask", mask, T, xs.shape[1])
    if alive is not None and plain(xs)[~alive].any():  # whatever the padding holds, NaN too, it counts as 0
        xs = index_update(xs, ~alive, 0.0)
    anew = None
    if reset is not None:
        if not hasattr(cell, "initial_state"):
            raise ValueError(f"unroll: reset= starts rows from the cell's initial_state(B), which {type_name(cell)} "
                             "does not have; write the cell as a Module with one")
        reset, anew = flags("reset", reset, T, xs.shape[1]), first_state(cell, xs, None)

    def on_the_tape(xs: Any, state: Any) -> tuple[Any, Any]:
        times = range(T)[::-1] if reverse else range(T)
        rows = Rows({} if lengths is None else last_steps(lengths), mask, reset)
        hs, last = recorded(cell, xs, (state, anew), times, rows, states, checkpoint)
        return (hs, last) if alive is None else (blanked(hs, ~alive), last)

    mode = mode_of(compiled)
    if mode is not False:
        by_step = mask is not None or reset is not None
        found = replayed(cell, xs, state, lengths, reverse, states, mode, checkpoint, by_step, on_the_tape)
        if found is not None:
            return found
    return on_the_tape(xs, state)


def recorded(
    cell: CellLike, xs: Any, starts: tuple[Any, Any], times: range, rows: Rows, states: bool, checkpoint: bool | int
) -> tuple[Any, Any]:
    """The outputs (or states) of all steps and the last state, from a loop on the tape.

    `starts` are the state to start from, and that to start anew from.
    """
    (state, _), T, ends, reverse = starts, len(times), rows.ends, times.step < 0
    over: list[Any] = []
    if -1 in ends and not reverse:
        over = [picked([state], *np.nonzero([ends[-1]]))]
    if not checkpoint:
        outputs, state, ended = steps(cell, xs, state, starts, times, rows, states)
        hs = join(outputs)
        over += ended
    else:
        length = max(isqrt(T), 1) if checkpoint is True else checkpoint
        parts = []
        for k in range(0, T, length):
            stretch = times[k : k + length]
            first, last = min(stretch), max(stretch)
            part, state, ended = forget(run, cell, xs[first : last + 1], state, starts, stretch, rows, states, first)
            parts.append(part)
            over += ended
        hs = joined(parts[::-1] if reverse else parts, concat)
    if ends and not reverse:
        return hs, together(over, ends)
    return hs, replaced(state, ends[-1], starts[0]) if -1 in ends else state


def steps(
    cell: CellLike, xs: Any, state: Any, starts: tuple[Any, Any], times: range, rows: Rows, states: bool, first: int = 0
) -> tuple[list[Any], Any, list[Any]]:
    """The loop itself; ``xs[0]`` is the input of step `first`.

    A finished sequence keeps running over padding; its outputs are ignored. Forwards, the last state of each is put by
    where it ends; backwards, each starts there, from its own part of the state to start from.

    Returns:
        The outputs (or states) of all steps, the state after the last one, and the rows that were put by, as one state
        or none.
    """
    (start, anew), (ends, mask, reset) = starts, rows
    step = cell
    if isinstance(cell, Cell):
        xs, step = cell.prepare(xs)
    backwards = times.step < 0
    outputs, over = [], []
    first_time = times[0]
    last_time = sum(t * who for t, who in ends.items())  # of each sequence; 0 without `ends`
    with collector_paused():
        for t in times:
            who_runs = t <= last_time if ends else None if mask is None else mask[t]
            with scope(step=t, running=who_runs):
                if backwards and t in ends and state is not start:
                    who = ends[t]  # most often one row, and NumPy is quickest with its number
                    state = replaced(state, who if who.sum() > 1 else int(who.argmax()), start)
                if reset is not None and reset[t].any():
                    state = replaced(state, reset[t], anew)
                last, state = state, step(xs[t - first], state)
                if t == first_time:
                    check_first(cell, last, state, bool(ends) or mask is not None)
                if mask is not None:  # at steps that all take, too: so all steps are alike
                    state = passed(mask[t], state, last)
                if not backwards and t in ends:
                    over.append(state)
            outputs.append(state[0] if isinstance(state, tuple) and not states else state)
    if over:
        over = [picked(over, *np.nonzero([ends[t] for t in times if t in ends]))]
    return (outputs[::-1] if backwards else outputs), state, over


def run(cell: CellLike, xs: Any, *rest: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """Some steps, their outputs as one node."""
    outputs, state, over = steps(cell, xs, *rest)
    if isinstance(outputs[0], Value):
        raise ValueError("unroll: checkpoint= works with arrays, not with Values; leave it out")
    return joined(outputs, stack), state, tuple(over)


def join(outputs: list[Any]) -> Any:
    """The outputs (or states) of all steps as one array for each part; Values stay a list."""
    return joined(outputs, lambda parts: parts if isinstance(parts[0], Value) else stack(parts))


def need_steps(who: str, cell: CellLike, xs: Any) -> Any:
    """A sequence with time first, checked where the cell can tell what it reads."""
    if isinstance(cell, type):
        raise TypeError(f"{who}: got the class {cell.__name__}, not a cell; make one, as in nn.RNNCell(3, 5)")
    if isinstance(cell, Cell):
        xs = as_array(xs, who)
        if len(xs.shape) != 3:
            D = cell.input_size
            raise ValueError(f"{who}: expected xs of shape (T, B, {D}), got {xs.shape}{input_hint(xs, D)}")
    if len(xs) == 0:
        raise ValueError(f"{who}: the sequence is empty (time is the first axis)")
    return xs


def first_state(cell: CellLike, xs: Any, state: Any) -> Any:
    """The state to start from, checked where the cell can tell."""
    if isinstance(cell, Cell) and state is not None:
        return cell.check_state(state, xs.shape[1])
    if state is None:
        begin = getattr(cell, "initial_state", None)
        if begin is None:
            raise ValueError(
                f"unroll: {type_name(cell)} has no initial_state(B), a plain function "
                "never has, so it needs its first state (a whole layer is called by itself: layer(xs))"
            )
        state = begin(np.shape(plain(xs))[1] if hasattr(xs, "shape") else 1)
    return state


def check_first(cell: CellLike, before: Any, after: Any, ragged: bool) -> None:
    """Raise if the cell's first step gave something that cannot be the next state."""
    if form(before) != form(after):
        raise ValueError(
            f"unroll: the cell {type_name(cell)} got {form(before)} as its state and returned {form(after)}; a cell "
            "returns the next state alone, in the form of the last one (the output is the state, or the first part of "
            "the tuple)"
        )
    if ragged and isinstance(after[0] if isinstance(after, tuple) else after, Value):
        raise ValueError("unroll: lengths= works with arrays, not with Values, which have no batch")


def form(state: Any) -> str:
    """What a state is made of, in words.

    >>> form((1.0, (2.0, None)))
    '(an array, (an array, None))'
    """
    if isinstance(state, tuple):
        return f"({', '.join(map(form, state))})"
    if state is None or isinstance(state, (list, dict)):
        return "None" if state is None else f"a {type(state).__name__}"
    return "an array"
