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
