"""How long `grad` takes to find the nodes that lead to its inputs, against finding everything the output came from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import microgradrnn as mg
from benchmarks.measure import Row, compared
from microgradrnn import nn
from microgradrnn.engine.backward import ancestors

T = 32


def rows() -> Iterator[Row]:
    """One row: an LSTM and its parameters."""
    cell = nn.LSTMCell(3, 4, rng=0)
    hs, _ = nn.unroll(cell, np.random.default_rng(0).standard_normal((T, 2, 3)))
    loss, parameters = mg.square(hs).sum(), cell.parameters()
    size = len(ancestors(loss))
    yield compared(f"nodes that lead to the parameters : all nodes ({size} nodes)",
                   lambda: ancestors(loss, parameters), lambda: ancestors(loss), repeats=301, bar=2.5, unit="µs")
