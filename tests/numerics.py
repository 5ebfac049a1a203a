"""What the tests compare against: finite differences, complex steps, and one way to say "equal"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def assert_same(ours: Any, theirs: Any, *, rel: float = 1e-12, what: str = "") -> None:
    """Same shape, and max |ours - theirs| within rel of the largest entry of theirs.

    Below 1e-3 the scale stays there: where the truth is 0 (the curvature of sqrt(x)²), both sides are rounding noise.
    """
    ours, theirs = (np.asarray(getattr(a, "data", a) if not isinstance(a, np.ndarray) else a) for a in (ours, theirs))
    assert ours.shape == theirs.shape, f"{what}: shapes {ours.shape} and {theirs.shape}"
    scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=rel * scale, err_msg=what)


def relative_error(ours: Any, theirs: Any) -> float:
    """Largest difference over the largest entry."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, f"shapes {ours.shape} and {theirs.shape}"
    scale = float(np.abs(theirs).max(initial=0.0))
    error = float(np.abs(ours - theirs).max(initial=0.0))
    return error / scale if scale else error


def finite_differences(f: Callable[..., float], xs: Sequence[np.ndarray], h: float = 1e-3) -> list[np.ndarray]:
    """d f(*xs) / d xs by the fourth-order central formula; good to about 1e-11 for smooth f of order one."""
    gradients = []
    for k, x in enumerate(xs):
        g = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            def at(step: float, k: int = k, i: tuple[int, ...] = i) -> float:
                moved = [np.array(a, dtype=np.float64) for a in xs]
                moved[k][i] += step
                return float(f(*moved))
            g[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        gradients.append(g)
    return gradients


def complex_step(f: Callable[..., complex], xs: Sequence[np.ndarray], h: float = 1e-30) -> list[np.ndarray]:
    """d f(*xs) / d xs to the last digit, for analytic f written in plain NumPy: Im f(x + ih) / h."""
    gradients = []
    for k, x in enumerate(xs):
        g = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            moved = [np.array(a, dtype=complex) for a in xs]
            moved[k][i] += 1j * h
            g[i] = np.imag(f(*moved)) / h
        gradients.append(g)
    return gradients
