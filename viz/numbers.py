"""Numbers in few characters, as pictures and sentences write them."""

from __future__ import annotations

import math

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(decade: int) -> str:
    """A power of ten.

    >>> power(-3), power(0), power(1)
    ('10⁻³', '1', '10')
    """
    return {0: "1", 1: "10"}.get(decade) or "10" + str(decade).translate(RAISED)


def scientific(x: float, digits: int) -> str:
    """A number with a power of ten.

    >>> scientific(-12345678.0, 2), scientific(1e-9, 1)
    ('-1.23·10⁷', '10⁻⁹')
    """
    mantissa, exponent = f"{x:.{digits}e}".split("e")
    raised = "10" + str(int(exponent)).translate(RAISED)
    return raised if float(mantissa) == 1 else f"{mantissa}·{raised}"


def decimals(x: float) -> str:
    """One number as micrograd writes it; with a power of ten where four decimals would not say it.

    >>> decimals(0.5), decimals(-12345678.0), decimals(2e-7), decimals(0.0)
    ('0.5000', '-1.23·10⁷', '2.00·10⁻⁷', '0.0000')
    """
    if x == 0 or 1e-3 <= abs(x) < 1e5 or not math.isfinite(x):
        return f"{x + 0.0:.4f}"  # 0, not -0
    return scientific(x, 2)


def short(norm: float) -> str:
    """A norm in few characters.

    >>> short(0.0123), short(1.26e-7), short(123.4), short(0.0), short(float("nan"))
    ('0.012', '1.3·10⁻⁷', '123', '0', 'nan')
    """
    if norm == 0 or not math.isfinite(norm):
        return f"{norm:g}"
    if 0.001 <= abs(norm) < 999.5:
        return f"{norm:.2g}" if abs(norm) < 99.5 else f"{norm:.0f}"
    return scientific(norm, 1)


def in_powers(log: float) -> str:
    """The number with this base-10 logarithm in few characters, also one that no float holds.

    >>> in_powers(-2.0), in_powers(0.3), in_powers(-5000.2)
    ('0.01', '2', '10⁻⁵⁰⁰⁰')
    """
    return short(10.0**log) if abs(log) < 300 else power(round(log))
