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

CellLike = Callable[[Any, Any], Any]


def unroll(
    cell: CellLike, xs: Any, state: Any = None, *, lengths: Any = None, reverse: bool = False,
    checkpoint: bool | int = False, compiled: bool | str | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Run a cell over a sequence.

    Args:
        cell: a `Cell`, or any function ``(x_t, state) -> state``. A state is one array or node, or a tuple whose
            first part is the output (the LSTM's is ``(h, c)``). Weights that a plain function uses get their gradients,
            but no ``parameters()`` finds them: hand them to the optimiser yourself, or write the cell as a `Module`.
        xs: the inputs, time first: (T, B, D), or a list of the T steps.
        state: the first state; a cell that has an ``initial_state(B)`` starts from that by default, a plain function
            must be given one.
        lengths: how many steps each sequence of the batch has, B numbers in 1..T; what comes after is padding. Every
            sequence gets the outputs, the last state and the gradients it would get alone; outputs at padded steps
            are 0. Every part of the state must then have the batch as its first axis.
        reverse: run from the last step to the first. Each sequence then starts at its own last step.
        checkpoint: True forgets the graph of every stretch of √T steps and makes it again in the backward pass:
            memory for 2√T steps instead of T, for one more forward pass. A number sets the length of a stretch.
        compiled: True traces one step of the cell and runs it, and its derivative, as straight-line code: several
            times faster, and the graph has one operation for the whole loop, until a picture or an observer needs
            what is inside. ``"auto"`` compiles for NumPy if that is possible; `explain` says why or why not.
            ``"numpy"`` and ``"numba"`` choose the back end. By default it is as `compiling` says, and elsewhere False.

    Returns:
        The outputs of all steps in the order of xs, (T, B, H), a list if they are Values; and the last state.

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
    if isinstance(cell, type):
        raise TypeError(f"unroll: got the class {cell.__name__}, not a cell; make one, as in nn.RNNCell(3, 5)")
    if isinstance(cell, Cell):
        xs = as_array(xs, "unroll")
        if len(xs.shape) != 3:
            D = cell.input_size
            raise ValueError(f"unroll: expected xs of shape (T, B, {D}), got {xs.shape}{input_hint(xs, D)}")
    T = len(xs)
    if T == 0:
        raise ValueError("unroll: the sequence is empty (time is the first axis)")
    state = first_state(cell, xs, state)
    if isinstance(state, (list, dict)):
        raise ValueError(f"unroll: a state is one array or node, or a tuple of them, not a {type(state).__name__}")
    if not isinstance(checkpoint, (bool, int, np.integer)) or (checkpoint is not False and checkpoint < 1):
        raise ValueError(f"unroll: checkpoint is True, False or the length of a stretch, got {checkpoint!r}")
    alive = None
    if lengths is not None:
        if len(getattr(xs, "shape", ())) < 2:
            raise ValueError("unroll: lengths= needs xs as one array with a batch, (T, B, D)")
        alive = mask(lengths, T, xs.shape[1])
        lengths = np.array(plain(lengths))  # the caller may write to his before the backward pass
        if plain(xs)[~alive].any():  # whatever the padding holds, NaN too, it counts as 0
            xs = index_update(xs, ~alive, 0.0)

    def on_the_tape(xs: Any, state: Any) -> tuple[Any, Any]:
        times = range(T)[::-1] if reverse else range(T)
        ends: Ends = {} if lengths is None else last_steps(lengths)
        hs, last = recorded(cell, xs, state, times, ends, reverse, checkpoint)
        return (hs, last) if alive is None else (index_update(hs, ~alive, 0.0), last)

    mode = mode_of(compiled)
    if mode is not False:
        found = replayed(cell, xs, state, lengths, reverse, mode, checkpoint, on_the_tape)
        if found is not None:
            return found
    return on_the_tape(xs, state)


def recorded(
    cell: CellLike, xs: Any, state: Any, times: range, ends: Ends, reverse: bool, checkpoint: bool | int
) -> tuple[Any, Any]:
    """The outputs of all steps and the last state, from a loop on the tape."""
    start, T = state, len(times)
    over: list[Any] = []
    if not checkpoint:
        outputs, state, over = steps(cell, xs, state, start, times, ends)
        hs = join(outputs)
    else:
        length = max(isqrt(T), 1) if checkpoint is True else checkpoint
        parts = []
        for k in range(0, T, length):
            stretch = times[k : k + length]
            first, last = min(stretch), max(stretch)
            part, state, rows = forget(run, cell, xs[first : last + 1], state, start, stretch, ends, first)
            parts.append(part)
            over += rows
        hs = concat(parts[::-1] if reverse else parts)
    return hs, together(over, ends) if ends and not reverse else state


Ends = dict[int, np.ndarray]  # for each time at which sequences have their last step, which ones do


def steps(
    cell: CellLike, xs: Any, state: Any, start: Any, times: range, ends: Ends, first: int = 0
) -> tuple[list[Any], Any, list[Any]]:
    """The loop itself; ``xs[0]`` is the input of step `first`.

    Sequences that are over run on, over padding, and nobody looks. Forwards, the last state of each is put by where it
    ends; backwards, each starts there, from its own part of `start`.

    Returns:
        The outputs of all steps, the state after the last one, and the rows that were put by, as one state or none.
    """
    step = cell
    if isinstance(cell, Cell):
        xs, step = cell.prepare(xs)
    backwards = times.step < 0
    outputs, over = [], []
    first_time = times[0]
    last_time = sum(t * who for t, who in ends.items())  # of each sequence; 0 without `ends`
    with collector_paused():
        for t in times:
            with scope(step=t, running=t <= last_time if ends else None):
                if backwards and t in ends and state is not start:
                    who = ends[t]  # most often one row, and NumPy is quickest with its number
                    state = replaced(state, who if who.sum() > 1 else int(who.argmax()), start)
                last, state = state, step(xs[t - first], state)
                if t == first_time:
                    check_first(cell, last, state, bool(ends))
                if not backwards and t in ends:
                    over.append(state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
    if over:
        over = [picked(over, *np.nonzero([ends[t] for t in times if t in ends]))]
    return (outputs[::-1] if backwards else outputs), state, over


def run(cell: CellLike, xs: Any, *rest: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """Some steps, their outputs as one node."""
    outputs, state, over = steps(cell, xs, *rest)
    if isinstance(outputs[0], Value):
        raise ValueError("unroll: checkpoint= works with arrays, not with Values; leave it out")
    return stack(outputs), state, tuple(over)


def join(outputs: list[Any]) -> Any:
    """The outputs of all steps as one array; Values stay a list."""
    return outputs if isinstance(outputs[0], Value) else stack(outputs)


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


# ------------------------------------------------------------------------------------------ sequences of any length
def mask(lengths: Any, T: int, B: int) -> np.ndarray:
    """Which steps of which sequence are there, as bools (T, B): the rest is padding.

    >>> mask([3, 1], 3, 2).astype(int)
    array([[1, 1],
           [1, 0],
           [1, 0]])
    """
    n = np.asarray(plain(lengths))
    if n.shape != (B,) or n.dtype.kind not in "iu":
        hint = f"; there are {T} steps and {B} sequences (time comes first, unless a layer has batch_first=True)"
        hint *= n.shape == (T,)
        raise ValueError(f"lengths: expected {B} integers, one a sequence, got {n.dtype} of shape {n.shape}{hint}")
    if n.min() < 1 or n.max() > T:
        raise ValueError(f"lengths: must lie in 1..{T}, the number of steps, got {n.min()}..{n.max()}")
    return np.arange(T)[:, None] < n


def last_steps(lengths: Any) -> Ends:
    """For each time at which sequences have their last step, which ones do: bools (B,)."""
    last = np.asarray(lengths) - 1
    times = np.unique(last)
    return dict(zip(times.tolist(), last == times[:, None], strict=True))


def picked(states: list[Any], which: np.ndarray, rows: np.ndarray) -> Any:
    """One state: each of its rows out of the state that is named, from the row that is named."""
    if isinstance(states[0], tuple):
        return like(states[0], [picked(list(parts), which, rows) for parts in zip(*states, strict=True)])
    return stack(states)[which, rows]


def like(state: Any, parts: list[Any]) -> Any:
    """A tuple of these parts; a named one if the state is."""
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def replaced(state: Any, who: np.ndarray | int, by: Any) -> Any:
    """The state, with the parts of those sequences taken from another."""
    if isinstance(state, tuple):
        return like(state, [replaced(part, who, other) for part, other in zip(state, by, strict=True)])
    return index_update(state, who, by[who])


def together(over: list[Any], ends: Ends) -> Any:
    """One state from those of the sequences that ended at the same time, in the order of the batch."""
    if isinstance(over[0], tuple):
        return like(over[0], [together(list(parts), ends) for parts in zip(*over, strict=True)])
    _, rows = np.nonzero(list(ends.values()))
    return concat(over)[np.argsort(rows)]
