"""Scalar forward and backward against micrograd, on the same graph of about 6,000 nodes.

A net of scalars, unrolled: a sum of products and a ReLU for each unit and step, and a sum of squares as the loss; only
operations that both engines have. micrograd's graphs are cycles that wait for the garbage collector, and when it runs
is chance; so the time is taken over several graphs in a row, from a clean heap, and each engine pays for its own.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

from benchmarks.measure import Row, compared, peer
from microgradrnn import Value

H, T, GRAPHS = 8, 44, 10
NODES = T * H * (2 * H + 1) + 2 * H - 1  # a step and unit: H products, H sums, a ReLU; then squares and their sum


def scalar_rnn(make: Callable[[float], Any]) -> Callable[[], Any]:
    """Forward and backward through T steps of H units; returns the gradients of the weights."""
    W = [[make(((3 * i + 5 * j) % 7 - 3) / 10) for j in range(H)] for i in range(H)]
    b = [make(0.1 * (i + 1)) for i in range(H)]

    def run() -> list[float]:
        for i, j in product(range(H), repeat=2):
            W[i][j].grad = 0.0
        for b_i in b:
            b_i.grad = 0.0
        h = list(b)
        for _ in range(T):
            h = [sum((w * h_j for w, h_j in zip(row, h, strict=True)), start=b_i).relu()
                 for row, b_i in zip(W, b, strict=True)]
        loss = sum((h_i**2 for h_i in h[1:]), start=h[0] ** 2)
        loss.backward()
        return [W[i][j].grad for i, j in product(range(H), repeat=2)]

    return run


def several(run: Callable[[], Any]) -> Callable[[], None]:
    """Several graphs one after the other."""

    def runs() -> None:
        for _ in range(GRAPHS):
            run()

    return runs


@contextmanager
def deep_recursion(limit: int) -> Iterator[None]:
    """micrograd sorts its graph by recursion."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def rows() -> Iterator[Row]:
    """Time a node, with the garbage collector as it is; and, to tell engine from collector, without it."""
    ours, theirs = scalar_rnn(Value), scalar_rnn(peer("micrograd.engine").Value)
    with deep_recursion(20 * NODES):
        for a, b in zip(ours(), theirs(), strict=True):
            assert abs(a - b) <= 1e-9 * abs(b), "the two do not compute the same"
        what = f"scalar forward and backward a node, {NODES:,} nodes : micrograd"
        both = several(ours), several(theirs)
        per = GRAPHS * NODES
        yield compared(what, *both, repeats=15, bar=0.6, per=per, unit="µs", before=gc.collect)
        gc.disable()
        try:
            yield compared("the same, collector off", *both, repeats=9, bar=0.85, per=per, unit="µs", before=gc.collect)
        finally:
            gc.enable()
