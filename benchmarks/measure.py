"""What the benchmarks share: a row, taking turns, and the memory a thing takes."""

from __future__ import annotations

import importlib
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line of the report. Without a bar it only informs."""

    what: str
    ours: str
    theirs: str = ""
    ratio: float | None = None
    by_minima: float | None = None
    bar: float | None = None

    @property
    def met(self) -> str:
        """yes, no, or nothing where there is no bar."""
        return "" if self.bar is None or self.ratio is None else "yes" if self.ratio <= self.bar else "NO"


class MissingPeerError(Exception):
    """A package to compare with is not installed."""


def peer(module: str) -> Any:
    """Import a package to compare with."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.split(".")[0]
        raise MissingPeerError(f"{name} is not installed; install the extra: pip install -e '.[bench]'") from None


TURN = 0.005  # seconds


def seconds(f: Callable[[], object]) -> float:
    """How long one call takes."""
    start = perf_counter()
    f()
    return perf_counter() - start


def in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None
) -> tuple[list[float], list[float]]:
    """Seconds a call of two functions that take turns, so that whatever else the machine does falls on both.

    A turn is as many calls as the quicker one makes in `TURN` seconds, at least one; the same number for both. In a
    turn of one short call most of the time would go into filling caches after the other one's turn. `before` is called
    before each turn, and not timed.
    """
    both = ours, theirs
    for f in both:
        f()
    calls = max(1, round(TURN / min(map(seconds, both))))
    times: tuple[list[float], list[float]] = [], []
    for _ in range(2 + repeats):
        for f, taken in zip(both, times, strict=True):
            before()
            taken.append(seconds(partial(repeated, f, calls)) / calls)
    return times[0][2:], times[1][2:]  # the first two warm up


def repeated(f: Callable[[], object], calls: int) -> None:
    """Call a function several times."""
    for _ in range(calls):
        f()


def compared(
    what: str, ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int, bar: float | None = None,
    per: int = 1, unit: str = "ms", before: Callable[[], object] = lambda: None,
) -> Row:
    """A row from two functions taken in turns: medians, their ratio, and the ratio of the fastest runs."""
    a, b = in_turns(ours, theirs, repeats, before)
    scale = {"ms": 1e3, "µs": 1e6}[unit] / per
    return Row(what, f"{median(a) * scale:.2f} {unit}", f"{median(b) * scale:.2f} {unit}", median(a) / median(b),
               min(a) / min(b), bar)


@contextmanager
def traced() -> Iterator[Callable[[], tuple[int, int]]]:
    """Inside, a function that tells the bytes now allocated, and the peak, since the start of the block."""
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]

    def used() -> tuple[int, int]:
        now, most = tracemalloc.get_traced_memory()
        return now - start, most - start

    try:
        yield used
    finally:
        tracemalloc.stop()
