"""How fast a gradient fades or grows per step: a straight line through the logarithms of a profile, and the ratios."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from viz.errors import need
from viz.flow.messages import Profile

MOST = math.log(sys.float_info.max)


@dataclass(frozen=True)
class Decay:
    """The line ln ‖∂L/∂h_{T-k}‖ ≈ intercept + rate · k, fitted by least squares.

    Attributes:
        state: the symbol of the state.
        rate: the slope, in natural logarithms per step: negative where the gradient fades on its way back.
        intercept: the natural logarithm of the norm at lag 0, as the line has it.
        error: the root of the mean square of what the line misses, in natural logarithms. Where this is large the decay
            is not exponential, and one rate does not tell the story.
        lags: how many lags the line was fitted to: those with a norm that is neither 0 nor infinite nor NaN.
    """

    state: str
    rate: float
    intercept: float
    error: float
    lags: int

    @property
    def factor(self) -> float:
        """By what the norm is multiplied at a step back: e^rate; infinite where a float cannot hold it."""
        return math.exp(self.rate) if self.rate < MOST else math.inf

    @property
    def half_life(self) -> float:
        """After how many steps half is left; infinite if nothing is lost."""
        return math.log(0.5) / self.rate if self.rate < 0 else math.inf


def decay(profile: Profile) -> Decay | None:
    """The decay rate of a profile; None if it has less than two lags to fit a line to.

    For a loss at the last step alone this is the rate of transport. Where every step has a loss, what comes in on the
    way hides the decay: `local_errors` keeps the losses apart.

    >>> line = decay(Profile("h", (3, 2, 1, 0), (0, 1, 2, 3), (8.0, 4.0, 2.0, 1.0)))
    >>> round(line.factor, 12), round(line.half_life, 12), line.error < 1e-12
    (0.5, 1.0, True)
    """
    need("decay", profile, Profile, "a Profile, flow.profile()")
    pairs = [(lag, math.log(g)) for lag, g in zip(profile.lags, profile.norms, strict=True)
             if g > 0 and math.isfinite(g)]
    if len(pairs) < 2:
        return None
    k, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    away = k - k.mean()
    rate = float(away @ (y - y[0]) / (away @ away))  # exactly 0 if all are alike: then nothing is lost
    intercept = float(y.mean() - rate * k.mean())
    missed = y - intercept - rate * k
    return Decay(profile.state, rate, intercept, math.sqrt(float(missed @ missed) / len(k)), len(k))


def ratios(profile: Profile) -> list[float]:
    """Norm by norm, what is left after one more step back: ‖∂L/∂h_{T-k-1}‖ / ‖∂L/∂h_{T-k}‖.

    NaN after a 0 and after what is not finite: there is no part of that.

    >>> ratios(Profile("h", (3, 2, 1, 0), (0, 1, 2, 3), (8.0, 4.0, 0.0, 0.0)))
    [0.5, 0.0, nan]
    """
    need("ratios", profile, Profile, "a Profile, flow.profile()")
    norms = map(float, profile.norms)
    return [after / before if 0 < before < math.inf else math.nan for before, after in pairwise(norms)]
