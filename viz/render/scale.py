"""The scale of a gradient picture: a norm to a width and a colour, logarithmically.

Figures that are compared share one scale; `Scale.of` finds the decades that all their numbers lie in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from viz.render.theme import cividis

THINNEST, THICKEST = 0.5, 6.0


@dataclass(frozen=True)
class Scale:
    """Decades from 10^low to 10^high. What lies outside looks like the nearest end.

    >>> scale = Scale(-8, 2)
    >>> scale.width(1e2), scale.width(1e-8), scale.colour(1e-9)
    (6.0, 0.5, '#00224e')
    """

    low: int = -8
    high: int = 2

    @classmethod
    def of(cls, norms: Iterable[float], *, widest: int = 10) -> Scale:
        """The whole decades that hold the norms; the lowest are cut off where there are more than ``widest``."""
        logs = [math.log10(g) for g in norms if g > 0 and math.isfinite(g)]
        if not logs:
            return cls()
        high = math.ceil(max(logs) - 1e-9)
        low = max(math.floor(min(logs) + 1e-9), high - widest)
        return cls(min(low, high - 2), high)

    def place(self, norm: float) -> float:
        """Where on the scale, 0..1."""
        if not norm > 0:
            return 0.0
        return min(max((math.log10(norm) - self.low) / (self.high - self.low), 0.0), 1.0)

    def width(self, norm: float) -> float:
        """The width of an edge, in pixels."""
        return self.width_at(self.place(norm))

    @staticmethod
    def width_at(place: float) -> float:
        """The width of an edge at a place on the scale, 0..1."""
        return THINNEST + (THICKEST - THINNEST) * place

    def colour(self, norm: float) -> str:
        """The colour of an edge."""
        return cividis(self.place(norm))

    @property
    def decades(self) -> range:
        """The exponents at which the legend has ticks."""
        return range(self.low, self.high + 1)


def decimals(x: float) -> str:
    """One number as micrograd writes it; with an exponent where four decimals would not say it.

    >>> decimals(0.5), decimals(-12345678.0), decimals(2e-7), decimals(0.0)
    ('0.5000', '-1.23e7', '2.00e-7', '0.0000')
    """
    if x == 0 or 1e-3 <= abs(x) < 1e5 or not math.isfinite(x):
        return f"{x + 0.0:.4f}"  # 0, not -0
    digits, exponent = f"{x:.2e}".split("e")
    return f"{digits}e{int(exponent)}"


def short(norm: float) -> str:
    """A norm in few characters.

    >>> short(0.0123), short(1.26e-7), short(123.4), short(0.0), short(float("nan"))
    ('0.012', '1.3e-7', '123', '0', 'nan')
    """
    if norm == 0 or not math.isfinite(norm):
        return f"{norm:g}"
    if 0.001 <= abs(norm) < 999.5:
        return f"{norm:.2g}" if abs(norm) < 99.5 else f"{norm:.0f}"
    digits, exponent = f"{norm:.1e}".split("e")
    return f"{digits}e{int(exponent)}"
