"""Progress: a bar for work that takes longer than a second, where somebody looks at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 1.0  # seconds without a bar


def progress(items: Iterable[T], doing: str, total: int | None = None) -> Iterable[T]:
    """The same items, with a bar on standard error while they are gone through.

    There is a bar only on a terminal, only if tqdm is installed, and only once a second has gone by. It disappears when
    the work is done.

    Args:
        items: what is worked on, one after the other.
        doing: what the bar says.
        total: how many items there are, if that cannot be asked of them.

    >>> list(progress(range(3), "counting"))
    [0, 1, 2]
    """
    if sys.stderr is None or not sys.stderr.isatty():
        return items
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, doing, total, leave=False, file=sys.stderr, dynamic_ncols=True, delay=PATIENCE)
