"""Tasks that need memory, drawn from a generator: each is its definition, and the right answer is exact.

=================  ==========================================================  ===================================
adding             two marked numbers among many: their sum                    Hochreiter & Schmidhuber 1997
copy_memory        say ten symbols again, T steps later                        ibid.; Arjovsky, Shah & Bengio 2016
latch              the first input decides the class, the rest is noise        Bengio, Simard & Frasconi 1994
delayed_recall     the first symbol, asked for after T distractors             after Hochreiter & Schmidhuber 1997
parity             is the number of ones so far odd, at every step
sine               the next value of a sine of unknown phase and frequency
=================  ==========================================================  ===================================

Arrays are time first: (T, B) or (T, B, D). `rng` is a generator, or a seed: the same seed gives the same problems
again, so for new ones at every step make one generator before the loop.
"""

from __future__ import annotations

import numpy as np

from microgradrnn.data.checks import need_counts
from microgradrnn.nn.module import Rng, as_rng


def adding(T: int, B: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """The sum of two marked numbers, one in each half. Always to say 1, their mean, has an MSE of 1/6.

    Returns:
        x (T, B, 2): numbers uniform in [0, 1), and marks (1 at two steps, else 0); y (B, 1): the sum.

    >>> x, y = adding(20, 3, np.random.default_rng(0))
    >>> bool(((x[:, :, 0] * x[:, :, 1]).sum(axis=0) == y[:, 0]).all()), x[:, :, 1].sum(axis=0).tolist()
    (True, [2.0, 2.0, 2.0])
    """
    need_counts("adding", 2, T=T)  # one step for each mark
    need_counts("adding", B=B)
    rng = as_rng(rng)
    x = np.zeros((T, B, 2))
    x[:, :, 0] = rng.random((T, B))
    b = np.arange(B)
    first, second = rng.integers(0, T // 2, B), rng.integers(T // 2, T, B)
    x[first, b, 1] = x[second, b, 1] = 1
    return x, (x[first, b, 0] + x[second, b, 0])[:, None]


def copy_memory(T: int, B: int, rng: Rng, *, symbols: int = 8, length: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Remember `length` symbols over T blanks, then, at the sign, say them.

    Numbers 0..symbols-1 are symbols, `symbols` is the blank, `symbols + 1` the sign.

    Returns:
        x (T + 2 length, B): the symbols, T - 1 blanks, the sign, blanks; y, of the same shape: blanks, then the
        symbols. To say blanks and then guess has a cross-entropy of length · log(symbols) / (T + 2 length).

    >>> x, y = copy_memory(4, 1, np.random.default_rng(0), symbols=2, length=3)
    >>> x[:, 0].tolist(), y[:, 0].tolist()
    ([1, 1, 1, 2, 2, 2, 3, 2, 2, 2], [2, 2, 2, 2, 2, 2, 2, 1, 1, 1])
    """
    need_counts("copy_memory", T=T, B=B, symbols=symbols, length=length)
    rng = as_rng(rng)
    what = rng.integers(0, symbols, (length, B))
    x = np.full((T + 2 * length, B), symbols)
    y = x.copy()
    x[:length], x[T + length - 1], y[T + length :] = what, symbols + 1, what
    return x, y


def latch(T: int, B: int, rng: Rng, *, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """The first input is -1 or +1, Gaussian noise of this standard deviation follows; which was it?

    Returns:
        x (T, B, 1); y (B,): 0 or 1.

    Raises:
        ValueError: if noise is negative.

    >>> x, y = latch(5, 4, np.random.default_rng(0))
    >>> (x[0, :, 0] > 0).astype(int).tolist() == y.tolist()
    True
    """
    need_counts("latch", T=T, B=B)
    if not noise >= 0:
        raise ValueError(f"latch: noise is a standard deviation, 0 or more, got {noise!r}")
    rng = as_rng(rng)
    y = rng.integers(0, 2, B)
    x = noise * rng.standard_normal((T, B, 1))
    x[0, :, 0] = 2 * y - 1
    return x, y


def delayed_recall(
    T: int, B: int, rng: Rng, *, symbols: int = 4, distractors: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """A symbol at the first step, distractors, and a query at step T: which symbol was it?

    Numbers 0..symbols-1 are symbols, then come the distractors, and last the query.

    Returns:
        x (T, B): numbers in 0..symbols + distractors; y (B,): the first of each.

    >>> x, y = delayed_recall(5, 2, np.random.default_rng(0))
    >>> (x[0] == y).all(), x[-1].tolist()
    (np.True_, [8, 8])
    """
    need_counts("delayed_recall", 2, T=T)  # the symbol and the query
    need_counts("delayed_recall", B=B, symbols=symbols, distractors=distractors)
    rng = as_rng(rng)
    x = rng.integers(symbols, symbols + distractors, (T, B))
    x[0], x[-1] = rng.integers(0, symbols, B), symbols + distractors
    return x, x[0].copy()


def parity(T: int, B: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Bits; is the number of ones so far odd?

    Returns:
        x (T, B, 1): 0.0 or 1.0; y (T, B): 0 or 1.

    >>> x, y = parity(6, 1, np.random.default_rng(3))
    >>> x[:, 0, 0].astype(int).tolist(), y[:, 0].tolist()
    ([1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0])
    """
    need_counts("parity", T=T, B=B)
    rng = as_rng(rng)
    bits = rng.integers(0, 2, (T, B))
    return bits[:, :, None].astype(np.float64), bits.cumsum(axis=0) % 2


def sine(T: int, B: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Sines of random phase, and of periods between 10 and 50 steps; what comes next?

    Three values in a row tell: s(t+1) = 2 cos(ω) s(t) - s(t-1).

    Returns:
        x (T, B, 1), and y, of the same shape, one step on.

    >>> x, y = sine(6, 2, np.random.default_rng(0))
    >>> x.shape, bool((x[1:] == y[:-1]).all())
    ((6, 2, 1), True)
    """
    need_counts("sine", T=T, B=B)
    rng = as_rng(rng)
    omega, phase = 2 * np.pi / rng.uniform(10, 50, B), rng.uniform(0, 2 * np.pi, B)
    s = np.sin(np.arange(T + 1)[:, None] * omega + phase)[:, :, None]
    return s[:-1], s[1:]
