"""Cost against the number of time steps: an LSTM must cost the same a step, however long the sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from benchmarks.measure import Row, seconds, traced
from microgradrnn import nn

LENGTHS = (100, 1_000, 10_000)


def training_step(T: int, H: int = 64) -> Callable[[], None]:
    """Forward and backward over T steps of one sequence."""
    layer = nn.LSTM(H, H, rng=0, dtype=np.float32)
    xs = np.random.default_rng(0).standard_normal((T, 1, H)).astype(np.float32)

    def run() -> None:
        layer.zero_grad()
        layer(xs)[0].sum().backward()

    return run


def peak_bytes(run: Callable[[], None]) -> int:
    """The most that one call holds at a time."""
    with traced() as used:
        run()
        return used()[1]


def rows() -> Iterator[Row]:
    """Time and memory a step at each length against those at the shortest."""
    runs = {T: training_step(T) for T in LENGTHS}
    for run in runs.values():
        run()
    times: dict[int, list[float]] = {T: [] for T in LENGTHS}
    for _ in range(5):
        for T, run in runs.items():
            times[T] += [seconds(run) / T for _ in range(max(1, 1_000 // T))]
    time = {T: median(taken) for T, taken in times.items()}
    memory = {T: peak_bytes(run) / T for T, run in runs.items()}
    first, *longer = LENGTHS
    for T in longer:
        yield Row(f"LSTM, H=64: time a step at T={T:,} : at {first}", f"{time[T] * 1e6:.0f} µs",
                  f"{time[first] * 1e6:.0f} µs", time[T] / time[first], bar=1.3)
    for T in longer:
        yield Row(f"LSTM, H=64: peak memory a step at T={T:,} : at {first}", f"{memory[T] / 1e3:.1f} kB",
                  f"{memory[first] / 1e3:.1f} kB", memory[T] / memory[first], bar=1.3)
