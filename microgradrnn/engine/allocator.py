"""Memory: what long graphs ask of the allocator and of the garbage collector."""

from __future__ import annotations

import gc
from threading import RLock
from types import TracebackType
from typing import ClassVar

import numpy as np

# A training step frees many arrays at once, and by default glibc's malloc gives such memory back to the system, which
# makes every step fault all of it in again (measured: 1.8 times slower for an LSTM of 128 units). Having once seen a
# block of nearly 32 MB come and go, malloc keeps up to 64 MB. The block is never touched, so it costs nothing.
np.empty(2**25 - 2**13, np.uint8)


class collector_paused:  # noqa: N801
    """``with collector_paused():`` no cyclic garbage collection inside.

    Graphs have no cycles, so there is nothing to find; but the collector walks all of a growing graph again and again
    (measured: at 10,000 steps the forward pass of an LSTM took 120 µs a step instead of 55).
    """

    __slots__ = ()
    lock: ClassVar[RLock] = RLock()
    blocks: ClassVar[int] = 0  # how many are open, in all threads: there is one collector for all of them
    was_on: ClassVar[bool] = True

    def __enter__(self) -> None:
        cls = collector_paused
        with cls.lock:
            if cls.blocks == 0:
                cls.was_on = gc.isenabled()
                gc.disable()
            cls.blocks += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cls = collector_paused
        with cls.lock:
            cls.blocks -= 1
            if cls.blocks == 0 and cls.was_on:
                gc.enable()
