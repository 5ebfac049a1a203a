"""The page of the explorer: its size, and the time that it takes to measure the net and to write it.

The net is the dearest kind: an LSTM with a loss at every step, so that all losses are itemised, and labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import viz
from benchmarks.measure import Row, seconds
from microgradrnn import nn

H = 32
BARS = {50: 1.0, 500: 5.0}  # megabytes


def loss(T: int) -> Any:
    """Of every step of an LSTM, one sequence."""
    hs, _ = nn.LSTM(H, H, rng=0)(np.random.default_rng(0).standard_normal((T, 1, H)))
    return (hs * hs).sum()


def rows() -> Iterator[Row]:
    """Size and time."""
    for T, bar in BARS.items():
        root, pages = loss(T), list[viz.Page]()
        spent = seconds(lambda root=root, pages=pages, T=T: pages.append(viz.explore(root, labels="x" * T)))  # type: ignore[misc]
        size = len(pages[0].html.encode()) / 1e6
        yield Row(f"page of an LSTM, H={H}, T={T} : {bar:g} MB", f"{size:.2f} MB", f"{bar:g} MB", size / bar, bar=1.0)
        yield Row(f"page of an LSTM, H={H}, T={T}: measured and written", f"{spent:.2f} s")
