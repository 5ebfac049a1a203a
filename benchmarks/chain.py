"""A chain of scalar nodes: bytes a node, time a node at 10^6 against 10^3, and freed without the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from statistics import median

from benchmarks.measure import Row, seconds, traced
from microgradrnn import Value


def chain(n: int) -> Value:
    """n nodes, one on top of the other."""
    w = y = Value(0.999)
    for _ in range(n // 2):
        y = (y * w).tanh()
    return y


def rows() -> Iterator[Row]:
    """Memory first, then time."""
    n = 1_000_000
    gc.disable()
    try:
        with traced() as used:
            y = chain(n)
            held = used()[0]
            del y
            left = used()[0]
    finally:
        gc.enable()
    yield Row(f"bytes a node after the forward pass, {n:,} nodes", f"{held / n:.0f} B", "300 B", held / n / 300,
              bar=1.0)
    yield Row("still held after the loss is dropped, collector off", f"{left / 1e3:.1f} kB", f"{held / 1e6:.0f} MB",
              left / held, bar=0.01)

    short = median(seconds(lambda: chain(1_000).backward()) for _ in range(200)) / 1_000
    long = median(seconds(lambda: chain(n).backward()) for _ in range(3)) / n
    yield Row("forward and backward, time a node at 10^6 : at 10^3", f"{long * 1e6:.2f} µs", f"{short * 1e6:.2f} µs",
              long / short, bar=2.0)
