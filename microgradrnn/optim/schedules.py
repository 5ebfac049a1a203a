"""Learning-rate schedules: the rate λ_n at epoch or step n, from the first rate λ_0 (equations.md, section 3).

=============  ======================================  =======================================
staircase      λ_0 · factor^⌊n/k⌋                      halve every k epochs
exponential    λ_0 · α^n                               a share less every epoch
inverse        λ_0 / (1 + r n)                         1/t decay
cosine         λ_0 · (1 + cos(π n/N)) / 2              slow, fast, slow, and 0 at N
warm_up        λ_0 · min(1, (n + 1)/N)                 a gentle start
=============  ======================================  =======================================

On the right stands λ_0, the *first* rate. Some notes write λ ← α^n λ with the current λ on the right; done every epoch
that multiplies up to α^(n(n+1)/2): after 10 epochs of α = 0.9, 0.003 instead of 0.35. These functions are given λ_0
and n, so they cannot go wrong that way, and n may be an epoch or a step.

They are composed by handing one's rate to another: ``warm_up(n, cosine(n, 0.01, 1000), 100)``. Before a step, say
``optimiser.lr = cosine(optimiser.steps, 0.01, 1000)``.
"""

from __future__ import annotations

import math


def staircase(n: int, lr: float, every: int, factor: float = 0.5) -> float:
    """λ_0 · factor^⌊n/every⌋.

    >>> [staircase(n, 0.8, 2) for n in range(6)]
    [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    """
    return float(lr * factor ** (need(n, "staircase") // positive(every, "staircase: every")))


def exponential(n: int, lr: float, alpha: float) -> float:
    """λ_0 · α^n.

    >>> round(exponential(10, 1.0, 0.9), 4)
    0.3487
    """
    return float(lr * alpha ** need(n, "exponential"))


def inverse(n: int, lr: float, rate: float) -> float:
    """λ_0 / (1 + rate · n), the 1/t decay.

    >>> inverse(10, 1.0, 0.1)
    0.5
    """
    return float(lr / (1 + rate * need(n, "inverse")))


def cosine(n: int, lr: float, total: int, last: float = 0.0) -> float:
    """Half a cosine from λ_0 at n = 0 to `last` at n = total, and `last` after that (Loshchilov & Hutter 2017).

    >>> cosine(0, 0.5, 10), round(cosine(5, 0.5, 10), 12), cosine(10, 0.5, 10)
    (0.5, 0.25, 0.0)
    """
    share = min(need(n, "cosine") / positive(total, "cosine: total"), 1.0)
    return float(last + (lr - last) * (1 + math.cos(math.pi * share)) / 2)


def warm_up(n: int, lr: float, steps: int) -> float:
    """λ · (n + 1)/steps in the first steps, λ from then on.

    >>> [warm_up(n, 0.4, 4) for n in range(6)]
    [0.1, 0.2, 0.30000000000000004, 0.4, 0.4, 0.4]
    """
    return float(lr * min(1.0, (need(n, "warm_up") + 1) / positive(steps, "warm_up: steps")))


def need(n: int, who: str) -> int:
    """The number of an epoch or step, if it is one."""
    if n < 0:
        raise ValueError(f"{who}: n counts epochs or steps from 0, got {n!r}")
    return n


def positive(x: int, who: str) -> int:
    """A length, if it is one."""
    if not x > 0:
        raise ValueError(f"{who} must be positive, got {x!r}")
    return x
