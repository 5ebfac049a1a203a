"""Memory on text: which characters read so far does a net listen to when it predicts the next one?

The *connectivity* of step t with step k is ‖∂(the logit of the right next character at t) / ∂x_k‖, the Euclidean norm
of the gradient with respect to what was read at step k: how much the score of the right answer would change if that
one character had been read a little differently (Madsen 2019, "Visualizing memorization in RNNs").

All pairs (t, k) need T reverse passes. Sequences of one batch know nothing of each other, so T copies of the text in
one batch, the t-th asked for the t-th logit alone, are T passes in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Tensor, enable_grad, grad

COPIES = 32  # how many copies go into one batch: enough for full-width products, few enough for little memory


def connectivity(net: Callable[[Any], Any], x: Any, targets: Sequence[int] | np.ndarray) -> np.ndarray:
    """How strongly the score of each right answer depends on each step read.

    Args:
        net: the part of your net from the inputs to the logits, a function of a Tensor (T, B, D) that returns logits
            (T, B, K). Sequences of a batch must not see each other, and dropout must be off.
        x: what is read, (T, D) or (T, 1, D): one-hot rows, or what an embedding gave.
        targets: (T,) integers in 0..K-1: the right answer at each step.

    Returns:
        (T, T) numbers: row t, column k holds ‖∂ logits[t, targets[t]] / ∂x_k‖₂. A net that reads forwards has zeros
        for k > t.

    Raises:
        ValueError: if shapes do not fit, or the copies of the text are not all given the same logits.
        TypeError: if the net returns no Tensor, or the targets are no integers.

    >>> from microgradrnn import nn
    >>> rnn, head = nn.RNN(3, 4, rng=0), nn.Linear(4, 3, rng=1)
    >>> C = connectivity(lambda x: head(rnn(x)[0]), np.eye(3)[[0, 2, 1, 1]], [2, 1, 1, 0])
    >>> C.shape, bool((np.triu(C, 1) == 0).all()), bool((np.diag(C) > 0).all())
    ((4, 4), True, True)
    """
    xs = np.asarray(x.data if isinstance(x, Node) else x)
    xs = xs[:, None] if xs.ndim == 2 else xs
    if xs.ndim != 3 or xs.shape[1] != 1 or not xs.shape[0] or xs.dtype.kind != "f":
        raise ValueError(f"connectivity: x is (T, D) or (T, 1, D) real numbers, what is read at each step (one-hot "
                         f"rows, or the output of an embedding); got {xs.dtype} of shape {np.shape(xs)}")
    T = len(xs)
    right = np.asarray(targets)
    if right.dtype.kind not in "iu":
        raise TypeError(f"connectivity: targets are integers, got {right.dtype}")
    if right.shape != (T,):
        raise ValueError(f"connectivity: one target a step: expected shape {(T,)}, got {right.shape}")
    strengths = np.zeros((T, T))
    for first in range(0, T, COPIES):
        steps = np.arange(first, min(first + COPIES, T))
        g = gradients(net, np.repeat(xs, len(steps), axis=1), steps, right[steps])
        strengths[steps] = norms(g).T
    return strengths


@enable_grad()
def gradients(net: Callable[[Any], Any], copies: np.ndarray, steps: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """∂ logits[steps[b], b, targets[b]] / ∂x, for all copies b at once, in the shape of the copies."""
    leaf = Tensor(copies, requires_grad=True)
    logits = net(leaf)
    if not isinstance(logits, Tensor):
        raise TypeError(f"connectivity: the net must return its logits, a Tensor, not a {type(logits).__name__}")
    if logits.ndim != 3 or logits.shape[:2] != copies.shape[:2]:
        raise ValueError(f"connectivity: logits are (T, B, K) for inputs (T, B, D): got {logits.shape} for "
                         f"{copies.shape}")
    K = logits.shape[2]
    if targets.min() < 0 or targets.max() >= K:
        raise ValueError(f"connectivity: targets must lie in 0..{K - 1}, got {targets.min()}..{targets.max()}")
    if not np.allclose(logits.data, logits.data[:, :1], rtol=1e-3, atol=1e-5, equal_nan=True):
        raise ValueError("connectivity: the same text gave different logits within one batch: is dropout on, or does "
                         "the net mix the sequences of a batch?")
    seed = np.zeros(logits.shape, logits.data.dtype)
    seed[steps, np.arange(len(steps)), targets] = 1
    if not logits.requires_grad:
        return np.zeros(copies.shape)
    return np.asarray(grad(logits, leaf, seed=seed))


def norms(g: np.ndarray) -> np.ndarray:
    """Euclidean norms along the last axis, in double precision and without underflow."""
    g = g.astype(float)
    largest = np.abs(g).max(axis=-1, keepdims=True)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return np.asarray(unit[..., 0] * np.sqrt(((g / unit) ** 2).sum(axis=-1)))


# ------------------------------------------------------------------------------------------------ as shaded text
