"""The scale of a gradient picture: a norm to a width and a colour, logarithmically.

A scale with an *anchor* measures norms as multiples of it: of the gradient at lag 0, where the loss is. 1 has the same
look in every picture; below it the gradient vanishes, above it it explodes. A scale without one is a plain range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from viz.errors import need
from viz.theme import DEFAULT, Theme

THINNEST, THICKEST = 0.5, 6.0
ONE = 2 / 3  # the place of the anchor: below it there is more to tell apart


@dataclass(frozen=True)
class Scale:
    """Decades from 10^low to 10^high. What lies outside looks like the nearest end.

    Attributes:
        low, high: the exponents at the ends.
        anchor: the norm that counts as 1; None if norms are shown as they are.

    Raises:
        ValueError: if there is no decade between the ends; or if the anchor is no positive number, or 1 does not lie
            between the ends.

    >>> Scale(-8, 2).place(1e-3), Scale(-8, 0, anchor=50.0).place(50.0) == ONE
    (0.5, True)
    """

    low: int = -8
    high: int = 2
    anchor: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.anchor is not None and not self.low < 0 <= self.high):
            raise ValueError(f"Scale: low must be less than high{', and 0 between them,' * (self.anchor is not None)} "
                             f"as in Scale(-8, 2); got low={self.low!r}, high={self.high!r}")
        if self.anchor is not None and not 0 < self.anchor < math.inf:
            raise ValueError(f"Scale: the anchor is a positive number, or None; got {self.anchor!r}")

    @classmethod
    def of(cls, norms: Iterable[float], *, anchor: float | None = None, widest: int = 10) -> Scale:
        """The whole decades that hold the norms; the lowest are cut off where there are more than ``widest``.

        An anchor that is zero or not finite is none: nothing can be measured by it.

        >>> Scale.of([1e-3, 20.0]), Scale.of([1e-3, 20.0], anchor=10.0)
        (Scale(low=-3, high=2, anchor=None), Scale(low=-4, high=1, anchor=10.0))
        """
        if anchor is not None and not (math.isfinite(anchor) and anchor > 0):
            anchor = None
        logs = [math.log10(g) - math.log10(anchor or 1.0) for g in norms if g > 0 and math.isfinite(g)]
        if not logs:
            return cls(-8, 0 if anchor else 2, anchor)
        high, low = math.ceil(max(logs) - 1e-9), math.floor(min(logs) + 1e-9)
        if anchor is None:
            low = max(low, high - widest)
            return cls(min(low, high - 2), high)
        return cls(min(max(low, -widest), -2), max(high, 0), anchor)

    def decade(self, norm: float) -> float:
        """The logarithm of a norm, or of its ratio to the anchor; -inf for zero."""
        return math.log10(norm) - (math.log10(self.anchor) if self.anchor else 0.0) if norm > 0 else -math.inf

    def place(self, norm: float) -> float:
        """Where on the scale, 0..1."""
        return self.place_of(self.decade(norm)) if norm > 0 else 0.0

    def place_of(self, decade: float) -> float:
        """Where on the scale an exponent is, 0..1."""
        if self.anchor is None:
            place = (decade - self.low) / (self.high - self.low)
        elif decade <= 0:
            place = ONE * (1 - decade / self.low)
        else:
            place = ONE + (1 - ONE) * decade / self.high if self.high else ONE
        return min(max(place, 0.0), 1.0)

    @property
    def top(self) -> float:
        """The highest place that the scale has."""
        return self.place_of(self.high)

    def width(self, norm: float) -> float:
        """The width of an edge, in pixels."""
        return self.width_at(self.place(norm))

    @staticmethod
    def width_at(place: float) -> float:
        """The width of an edge at a place on the scale, 0..1."""
        return THINNEST + (THICKEST - THINNEST) * place

    def colour(self, norm: float, theme: Theme = DEFAULT) -> str:
        """The colour of a norm."""
        return self.shade(self.place(norm), theme)

    def shade(self, place: float, theme: Theme) -> str:
        """The colour at a place on the scale, 0..1."""
        return theme.magnitude(place) if self.anchor is None else theme.change(place)

    def anchored(self, anchor: float) -> Scale:
        """The same decades, measured by another anchor."""
        return replace(self, anchor=anchor if math.isfinite(anchor) and anchor > 0 else None)

    @property
    def decades(self) -> range:
        """The exponents at which the legend has ticks."""
        return range(self.low, self.high + 1)


def need_scale(who: str, scale: Scale | None) -> None:
    """Check what was given as ``scale=``.

    Raises:
        TypeError: if it is no scale.

    >>> need_scale("draw_long", 3)
    Traceback (most recent call last):
    TypeError: draw_long, scale: expected a viz.Scale, its decades as in viz.Scale(-8, 2), got int
    """
    need(f"{who}, scale", scale, (Scale, type(None)), "a viz.Scale, its decades as in viz.Scale(-8, 2)")
