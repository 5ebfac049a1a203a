"""Truncated BPTT: carry the state on, cut the graph, or let a window slide (docs/equations.md, section 3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from microgradrnn.engine import Node, Tensor, backward, scope
from microgradrnn.engine.checkpoint import flat
from microgradrnn.engine.node import plain
from microgradrnn.nn.module import need_sizes
from microgradrnn.nn.unroll import first_state, need_steps


def sliding(
    cell: Callable[[Any, Any], Any], xs: Any, loss: Callable[[Any, int], Any], k: int, state: Any = None
) -> tuple[float, Any]:
    """Truncated BPTT with a sliding window: from the loss of *every* step, the gradient goes k steps back.

    ``Σ_t Σ_j (share of ∂L_t/∂W from step j)`` over all t and t - k < j ≤ t. With stretches (`detach`) the loss at the
    first step of a stretch reaches one step back and that at the last k; here all reach k. With k = 1 each step learns
    from itself alone; with k ≥ T it is full back-propagation through time.

    Each step runs once, from a copy of the last state that has no past, so its graph is a small one by itself. The
    gradient that arrives at the copy is handed on to the step before, at most k - 1 times. That is k short backward
    passes a step, and memory for k steps.

    Args:
        cell: a `Cell`, or any function ``(x_t, state) -> state``.
        xs: the inputs, time first.
        loss: ``(h_t, t) -> L_t``, one number, from the output of step t.
        k: how many steps back, at least 1.
        state: the first state, as for `unroll`.

    Returns:
        The sum of the losses, and the last state, detached. Gradients are added to ``.grad``, as by ``backward()``.

    Raises:
        TypeError: if a loss is no Value or Tensor.
        ValueError: if there are no steps, shapes do not fit, k is no positive integer, or a loss is not one number.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> cell, xs = nn.RNNCell(3, 5, rng=0), np.ones((7, 2, 3))
    >>> total, h = sliding(cell, xs, lambda h, t: (h ** 2).sum(), k=3)
    >>> h.shape, cell.W.grad.shape
    ((2, 5), (5, 5))
    """
    need_sizes("sliding", k=k)
    xs = need_steps("sliding", cell, xs)
    total, state = 0.0, first_state(cell, xs, state)
    window: deque[tuple[list[Any], list[Any]]] = deque(maxlen=k)  # the newest step first: its copy, and the original
    for t in range(len(xs)):
        copy = mapped(state, lambda part: Tensor(plain(part)))
        window.appendleft((list(flat(copy)), list(flat(state))))
        with scope(step=t):
            state = cell(xs[t], copy)
        now = loss(state[0] if isinstance(state, tuple) else state, t)
        if not isinstance(now, Node):
            raise TypeError(f"sliding: loss(h_t, t) returned {type(now).__name__} at step {t}, and only a Value or a "
                            "Tensor has a gradient; return the loss itself, without .item() or float()")
        backward(now)
        total += float(plain(now))
        for steps_back, (copies, originals) in enumerate(window, 1):
            arrived = [(part, a.grad) for part, a in zip(originals, copies, strict=True)
                       if a.grad is not None and isinstance(part, Node) and part.requires_grad]
            for a in copies:
                a.grad = None
            if arrived and (steps_back < k or steps_back == t + 1):  # what the first state was made of is no step
                backward([part for part, _ in arrived], [g for _, g in arrived])
    return total, detach(state)


def mapped(state: Any, f: Callable[[Any], Any]) -> Any:
    """The state with a function applied to each of its arrays."""
    if isinstance(state, tuple):
        parts = [mapped(part, f) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return f(state)


def detach(state: Any) -> Any:
    """The same state as a constant: the next stretch of steps starts from its values, and no gradient goes back.

    Back-propagation through a long sequence in stretches of k steps is then a plain loop::

        for x, y in stretches:
            hs, state = net(x, nn.detach(state))
            ...

    Each stretch costs time and memory for k steps only, and the forward pass is exactly that of the whole sequence.
    The gradient lacks what would have come from later stretches.

    Args:
        state: a node, or tuples, lists and dicts of nodes, however nested. Anything else stays as it is.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> lstm, xs = nn.LSTM(3, 5, rng=0), np.ones((4, 2, 3))
    >>> hs, (h, c) = lstm(xs)
    >>> h.requires_grad, detach((h, c))[0].requires_grad
    (True, False)
    """
    if isinstance(state, Node):
        # A copy, rows one after the other: as it would come from a file, so that a resumed run goes on bit for bit.
        kind: Any = state.kind
        return kind(plain(state), requires_grad=False)
    if isinstance(state, tuple):
        parts = [detach(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if isinstance(state, list):
        return [detach(part) for part in state]
    if isinstance(state, dict):
        return {key: detach(part) for key, part in state.items()}
    return state
