"""What a function was given, if that is not what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FOREIGN = {
    "torch": "; viz.from_torch reads the graphs of PyTorch",
    "microgradrnn.nn": "; call it, and take a loss or an output",
}


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


def need_labels(who: str, labels: Any, places: int, what: str) -> dict[int, Any]:
    """The labels by place; a mapping may leave places out, a sequence may not.

    Raises:
        ValueError: if a sequence is shorter than there are places.

    >>> need_labels("unrolled", "ab", 3, "steps")
    Traceback (most recent call last):
    ValueError: unrolled: 2 labels for 3 steps; give one for each, or a dict {step: label} to label some
    """
    if labels is None or isinstance(labels, Mapping):
        return dict(labels or {})
    if len(labels) < places:
        raise ValueError(f"{who}: {len(labels)} labels for {places} {what}; give one for each, or a dict "
                         f"{{{what[:-1]}: label}} to label some")
    return dict(enumerate(labels))
