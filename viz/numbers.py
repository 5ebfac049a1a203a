"""Numbers in few characters, as pictures and sentences write them."""

from __future__ import annotations

import math


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
