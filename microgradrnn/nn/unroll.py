"""Unrolling: a plain loop over time. The graph it leaves behind is all that back-propagation through time needs."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

from microgradrnn.engine import scope
from microgradrnn.engine.checkpoint import checkpoint as forget
from microgradrnn.engine.rules.shape import concat, stack
from microgradrnn.nn.cells import Cell


def unroll(
    cell: Callable[[Any, Any], Any], xs: Any, state: Any = None, *, checkpoint: bool | int = False
) -> tuple[Any, Any]:
    """Run a cell over a sequence.

    Args:
        cell: a `Cell`, or any function ``(x_t, state) -> state``. A state is one array or node, or a tuple whose
            first part is the output (the LSTM's is ``(h, c)``).
        xs: the inputs, time first: (T, B, D).
        state: the first state; a Cell starts from zeros by default, a plain function must be given one.
        checkpoint: True forgets the graph of every stretch of √T steps and makes it again in the backward pass:
            memory for 2√T steps instead of T, for one more forward pass. A number sets the length of a stretch.

    Returns:
        The outputs of all steps, (T, B, H), and the last state.

    Raises:
        ValueError: if there are no steps, shapes do not fit, or a plain function has no first state.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.unroll(nn.RNNCell(3, 5, rng=0), np.ones((7, 2, 3)))
    >>> hs.shape, h.shape
    ((7, 2, 5), (2, 5))
    """
    T = len(xs)
    if T == 0:
        raise ValueError("unroll: the sequence is empty (time is the first axis)")
    if isinstance(cell, Cell):
        if len(xs.shape) != 3:
            raise ValueError(f"unroll: expected xs of shape (T, B, {cell.D}), got {xs.shape}")
        B = xs.shape[1]
        state = cell.initial_state(B) if state is None else cell.check_state(state, B)
    elif state is None:
        raise ValueError("unroll: a cell that is a plain function needs its first state")
    if not checkpoint:
        outputs, state = steps(cell, xs, state)
        return stack(outputs), state

    length = max(isqrt(T), 1) if checkpoint is True else checkpoint
    if length < 1:
        raise ValueError(f"unroll: checkpoint is True, False or the length of a stretch, got {checkpoint!r}")
    stretches = []
    for first in range(0, T, length):
        part, state = forget(stretch, cell, xs[first : first + length], state, first)
        stretches.append(part)
    return concat(stretches), state


def steps(cell: Callable[[Any, Any], Any], xs: Any, state: Any, first: int = 0) -> tuple[list[Any], Any]:
    """The loop itself: the outputs of all steps, and the last state."""
    step = cell
    if isinstance(cell, Cell):
        xs, step = cell.prepare(xs)
    outputs = []
    for t in range(len(xs)):
        with scope(step=first + t):
            state = step(xs[t], state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return outputs, state


def stretch(cell: Callable[[Any, Any], Any], xs: Any, state: Any, first: int) -> tuple[Any, Any]:
    """Some steps, their outputs as one node."""
    outputs, state = steps(cell, xs, state, first)
    return stack(outputs), state
