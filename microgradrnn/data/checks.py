"""What the makers of data ask of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np


def need_counts(who: str, least: int = 1, **counts: Any) -> None:
    """Raise unless all of them are whole numbers, and not too small.

    >>> need_counts("adding", 2, T=1)
    Traceback (most recent call last):
    ValueError: adding: T must be at least 2, got 1
    >>> need_counts("adding", T=2.5)
    Traceback (most recent call last):
    TypeError: adding: T must be a whole number, got 2.5
    """
    for name, n in counts.items():
        if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)):
            raise TypeError(f"{who}: {name} must be a whole number, got {n!r}")
        if n < least:
            raise ValueError(f"{who}: {name} must be at least {least}, got {n}")


def need_text(who: str, text: Any, hint: str = "") -> None:
    """Raise unless it is a string.

    >>> need_text("functions", b"x = 1")
    Traceback (most recent call last):
    TypeError: functions: expected a string, got bytes
    """
    if not isinstance(text, str):
        raise TypeError(f"{who}: expected a string, got {type(text).__name__}{hint}")
