"""The batch size as an argument of a kernel, so that a batch of another size needs no other machine code.

A kernel is written for two batch sizes. Where the two sources differ by a number that is a multiple of the batch size,
the argument `batch` takes its place. If they differ in anything else, each batch size gets machine code of its own.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Written(NamedTuple):
    """The source of a kernel, and for which batch size it was written."""

    source: str
    batch: int


def for_any_batch(one: Written, other: Written) -> str | None:
    """The source with `batch` for the batch size; None if the two differ in something else.

    >>> for_any_batch(Written("x[i * 8 + 3] + 32", 8), Written("x[i * 9 + 3] + 36", 9))
    'x[i * batch + 3] + (batch * 4)'
    >>> for_any_batch(Written("small(8)", 8), Written("large(9)", 9))
    """
    ours, theirs = (re.findall(r"\w+|\W", written.source) for written in (one, other))
    if len(ours) != len(theirs):
        return None
    words = []
    for mine, its in zip(ours, theirs, strict=True):
        if mine == its:
            words.append(mine)
            continue
        if not (mine.isdigit() and its.isdigit()):
            return None
        times, rest = divmod(int(mine), one.batch)
        if rest or int(its) != times * other.batch:
            return None
        words.append("batch" if times == 1 else f"(batch * {times})")
    return "".join(words)
