"""What the recorder costs: training a character LSTM with it and without, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import viz
from benchmarks.measure import Row, compared
from microgradrnn import nn, optim

B, T, D, H, K = 16, 100, 32, 64, 60


def training(recorder: viz.Recorder | None) -> Callable[[], None]:
    """A function that does as many updates as lie between two records."""
    rng = np.random.default_rng(0)
    lstm, head = nn.LSTM(D, H, rng=1, dtype=np.float32), nn.Linear(H, K, rng=2, dtype=np.float32)
    adam = optim.Adam([*lstm.parameters(), *head.parameters()], lr=1e-3)
    x, y = rng.standard_normal((T, B, D)).astype(np.float32), rng.integers(0, K, (T, B))

    def updates() -> None:
        for _ in range(viz.Recorder().every):
            hs, _ = lstm(x)
            loss = nn.cross_entropy(head(hs), y)
            if recorder is not None:
                recorder(lambda hs=hs: nn.cross_entropy(head(hs[-1]), y[-1]))  # type: ignore[misc]
            adam.zero_grad()
            loss.backward()
            adam.step()

    return updates


def rows() -> Iterator[Row]:
    """Updates with a recorder at its default against updates without one; the bar is a tenth more."""
    recorder = viz.Recorder()
    yield compared(f"update of an LSTM (B={B}, T={T}, H={H}) with Recorder(every={recorder.every})", training(recorder),
                   training(None), repeats=7, bar=1.10, per=recorder.every)
