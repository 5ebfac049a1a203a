"""A long LSTM with and without checkpoints: peak memory, and the time that it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.length import peak_bytes
from benchmarks.measure import Row, compared
from microgradrnn import nn

T, H = 4_096, 64


def rows() -> Iterator[Row]:
    """Memory first (tracing slows everything down), then time."""
    cell = nn.LSTMCell(H, H, rng=0, dtype=np.float32)
    xs = np.random.default_rng(0).standard_normal((T, 1, H)).astype(np.float32)

    def training_step(checkpoint: bool) -> Callable[[], None]:
        def run() -> None:
            cell.zero_grad()
            nn.unroll(cell, xs, checkpoint=checkpoint)[0].sum().backward()

        return run

    forgetful, plain = training_step(True), training_step(False)
    gradients = []
    for run in (forgetful, plain):
        run()
        gradients.append([np.array(p.grad) for p in cell.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert np.allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max()), "the two do not compute the same"

    less, more = peak_bytes(forgetful), peak_bytes(plain)
    yield Row(f"LSTM, T={T:,}, H={H}: peak memory with checkpoints : without", f"{less / 1e6:.1f} MB",
              f"{more / 1e6:.1f} MB", less / more, bar=0.15)
    yield compared(f"LSTM, T={T:,}, H={H}: time with checkpoints : without", forgetful, plain, repeats=7, bar=1.6)
