"""Labels that a reader gives: one for each step or leaf, or some by their number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def need_labels(who: str, labels: Any, places: int, what: str) -> dict[int, Any]:
    """The labels by place; a mapping may leave places out, a sequence may not.

    Raises:
        ValueError: if a sequence is shorter than there are places.

    >>> need_labels("draw_unrolled", "ab", 3, "steps")
    Traceback (most recent call last):
    ValueError: draw_unrolled: 2 labels for 3 steps; give one for each, or a dict {step: label} to label some
    """
    if labels is None or isinstance(labels, Mapping):
        return dict(labels or {})
    if len(labels) < places:
        raise ValueError(f"{who}: {len(labels)} labels for {places} {what}; give one for each, or a dict "
                         f"{{{what[:-1]}: label}} to label some")
    return dict(enumerate(labels))
