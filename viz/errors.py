"""Errors: checks of what a function was given, and the error for a tool that is not installed."""

from __future__ import annotations

from typing import Any

FOREIGN = {
    "torch": "; viz.from_torch reads the graphs of PyTorch",
    "microgradrnn.nn": "; call it, and take a loss or an output",
}


class MissingToolError(ImportError):
    """What was asked for needs something that is not installed. The text says how to get it, and what works without."""


def need(who: str, thing: Any, kinds: type | tuple[type, ...], what: str) -> None:
    """Refuse what is of none of these kinds.

    Raises:
        TypeError: with the function's name, what it takes, and what to do.

    >>> need("double", "2", (int, float), "a number")
    Traceback (most recent call last):
    TypeError: double: expected a number, got str
    """
    if not isinstance(thing, kinds):
        kind = type(thing)
        hint = next((hint for home, hint in FOREIGN.items() if f"{kind.__module__}.".startswith(f"{home}.")), "")
        raise TypeError(f"{who}: expected {what}, got {'the class ' * isinstance(thing, type)}"
                        f"{thing.__name__ if isinstance(thing, type) else kind.__name__}{hint}")
