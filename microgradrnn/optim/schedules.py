"""Learning-rate schedules: the rate λ_n at epoch or step n, from the first rate λ_0 (docs/equations.md, section 3).

===============  ====================================  =======================================
staircase        λ_0 · factor^⌊n/k⌋                    halve every k epochs
exponential      λ_0 · α^n                             a share less every epoch
inverse          λ_0 / (1 + r n)                       1/t decay
cosine           λ_0 · (1 + cos(π n/N)) / 2            slow, fast, slow, and 0 at N
cosine_restarts  the same, from λ_0 again at every N   warm restarts
warm_up          λ_0 · min(1, (n + 1)/N)               a gentle start
===============  ====================================  =======================================

On the right stands λ_0, the *first* rate. Some notes write λ ← α^n λ with the current λ on the right; done every epoch
that multiplies up to α^(n(n+1)/2): after 10 epochs of α = 0.9, 0.003 instead of 0.35. These functions are given λ_0
and n, so they cannot go wrong that way, and n may be an epoch or a step.

They are composed by handing one's rate to another: ``warm_up(n, cosine(n, 0.01, 1000), 100)``. Before a step, say
``optimiser.lr = cosine(optimiser.steps, 0.01, 1000)``.

All raise a TypeError if a count is no whole number, and a ValueError if a count or a rate is out of range.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["cosine", "cosine_restarts", "exponential", "inverse", "staircase", "warm_up"]


def staircase(n: int, lr: float, every: int, factor: float = 0.5) -> float:
    """λ_0 · factor^⌊n/every⌋.

    >>> [staircase(n, 0.8, 2) for n in range(6)]
    [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    """
    need_rates("staircase", lr=lr, factor=factor)
    return float(lr * factor ** (count("staircase", "n", n) // count("staircase", "every", every, 1)))


def exponential(n: int, lr: float, alpha: float) -> float:
    """λ_0 · α^n.

    >>> round(exponential(10, 1.0, 0.9), 4)
    0.3487
    """
    need_rates("exponential", lr=lr, alpha=alpha)
    return float(lr * alpha ** count("exponential", "n", n))


def inverse(n: int, lr: float, rate: float) -> float:
    """λ_0 / (1 + rate · n), the 1/t decay.

    >>> inverse(10, 1.0, 0.1)
    0.5
    """
    need_rates("inverse", lr=lr, rate=rate)
    return float(lr / (1 + rate * count("inverse", "n", n)))


def cosine(n: int, lr: float, total: int, last: float = 0.0) -> float:
    """Half a cosine from λ_0 at n = 0 to `last` at n = total, and `last` after that (Loshchilov & Hutter 2017).

    >>> cosine(0, 0.5, 10), round(cosine(5, 0.5, 10), 12), cosine(10, 0.5, 10)
    (0.5, 0.25, 0.0)
    """
    need_rates("cosine", lr=lr, last=last)
    share = min(count("cosine", "n", n) / count("cosine", "total", total, 1), 1.0)
    return float(last + (lr - last) * (1 + math.cos(math.pi * share)) / 2)


def cosine_restarts(n: int, lr: float, period: int, growth: int = 1, last: float = 0.0) -> float:
    """Half a cosine from λ_0 towards `last`, again and again: SGDR's warm restarts (Loshchilov & Hutter 2017).

    The first cycle takes `period` steps, and each later one `growth` times as many as the one before. The rate jumps
    back to λ_0 at the step at which a cycle would reach `last`. PyTorch calls these T_0, T_mult and eta_min.

    >>> [round(cosine_restarts(n, 0.8, 2, growth=2), 3) for n in range(8)]
    [0.8, 0.4, 0.8, 0.683, 0.4, 0.117, 0.8, 0.77]
    """
    n, period = count("cosine_restarts", "n", n), count("cosine_restarts", "period", period, 1)
    if count("cosine_restarts", "growth", growth, 1) == 1:
        n %= period
    while n >= period:
        n, period = n - period, period * int(growth)
    return cosine(n, lr, period, last)


def warm_up(n: int, lr: float, steps: int) -> float:
    """λ · (n + 1)/steps in the first steps, λ from then on.

    >>> [warm_up(n, 0.4, 4) for n in range(6)]
    [0.1, 0.2, 0.30000000000000004, 0.4, 0.4, 0.4]
    """
    need_rates("warm_up", lr=lr)
    return float(lr * min(1.0, (count("warm_up", "n", n) + 1) / count("warm_up", "steps", steps, 1)))


def count(who: str, name: str, n: Any, least: int = 0) -> int:
    """A number of epochs or steps, if it is one; n counts them from 0."""
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{who}: {name} counts epochs or steps, so it is a whole number, got {n!r}")
    if n < least:
        raise ValueError(f"{who}: {name} counts epochs or steps, from {least} up, got {n}")
    return int(n)


def need_rates(who: str, **rates: float) -> None:
    """Raise unless all of them are finite numbers, not negative."""
    for name, x in rates.items():
        if isinstance(x, (bool, np.bool_)) or not isinstance(x, (int, float, np.integer, np.floating)):
            raise TypeError(f"{who}: {name} must be a number, got {x!r}")
        if not 0 <= x < math.inf:
            raise ValueError(f"{who}: {name} must be finite and not negative, got {x!r}")
