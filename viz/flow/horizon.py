"""The horizon: how far back a gradient reaches, and whether that is known or only "at least"."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Horizon(int):
    """A lag, and whether the gradient may reach further back than that. An int in all that is computed with it.

    Attributes:
        open: is no smaller norm known further back? Then the horizon is at least this lag.

    >>> known, most = Horizon(19), Horizon(19, open=True)
    >>> print(known, most, f"{most:4d}")
    19 ≥ 19 ≥   19
    >>> known == most == 19, most + 1, most > 18
    (True, 20, True)
    """

    open: bool

    def __new__(cls, lag: int, *, open: bool = False) -> Horizon:
        made = super().__new__(cls, lag)
        made.open = open
        return made

    def __repr__(self) -> str:
        return "≥ " * self.open + int.__repr__(self)

    def __format__(self, spec: str) -> str:
        return "≥ " * self.open + format(int(self), spec)


def horizon(lags: Sequence[int], norms: Sequence[float], fraction: float) -> Horizon | None:
    """The largest lag at which the norm is above a fraction of its value at lag 0; None if there is no such fraction.

    It is open unless a finite norm further back shows that the gradient has fallen below.

    Raises:
        ValueError: if the fraction does not lie between 0 and 1.

    >>> horizon((0, 1, 2), (1.0, 0.5, 0.002), 0.01), horizon((0, 1, 2), (1.0, 0.5, 0.2), 0.01)
    (1, ≥ 2)
    >>> horizon((0, 1, 2), (1.0, 0.5, math.nan), 0.01)
    ≥ 1
    """
    if not 0 < fraction < 1:
        raise ValueError(f"horizon: fraction must lie between 0 and 1, got {fraction!r}")
    by_lag = dict(zip(lags, norms, strict=True))
    start = by_lag.get(0)
    if start is None or start == 0 or not math.isfinite(start):
        return None
    last = max(lag for lag, size in by_lag.items() if size > fraction * start)
    return Horizon(last, open=not any(lag > last and math.isfinite(size) for lag, size in by_lag.items()))
