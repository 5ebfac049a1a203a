"""Unrolling: a plain loop over time. The graph it leaves behind is all that back-propagation through time needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from microgradrnn.engine import scope
from microgradrnn.engine.rules.shape import stack
from microgradrnn.nn.cells import Cell


def unroll(cell: Callable[[Any, Any], Any], xs: Any, state: Any = None) -> tuple[Any, Any]:
    """Run a cell over a sequence.

    Args:
        cell: a `Cell`, or any function ``(x_t, state) -> state``. A state is one array or node, or a tuple whose
            first part is the output (the LSTM's is ``(h, c)``).
        xs: the inputs, time first: (T, B, D).
        state: the first state; a Cell starts from zeros by default, a plain function must be given one.

    Returns:
        The outputs of all steps, (T, B, H), and the last state.

    Raises:
        ValueError: if there are no steps, or no state for a plain function.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.unroll(nn.RNNCell(3, 5, rng=0), np.ones((7, 2, 3)))
    >>> hs.shape, h.shape
    ((7, 2, 5), (2, 5))
    """
    if len(xs) == 0:
        raise ValueError("unroll: the sequence is empty (time is the first axis)")
    step = cell
    if isinstance(cell, Cell):
        if len(xs.shape) != 3:
            raise ValueError(f"unroll: expected xs of shape (T, B, {cell.D}), got {xs.shape}")
        B = xs.shape[1]
        state = cell.initial_state(B) if state is None else cell.check_state(state, B)
        xs, step = cell.prepare(xs)
    elif state is None:
        raise ValueError("unroll: a cell that is a plain function needs its first state")

    outputs = []
    for t in range(len(xs)):
        with scope(step=t):
            state = step(xs[t], state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return stack(outputs), state
