"""Long nets, drawn long and rolled up: how long a drawing takes once the flow has been measured, and how large it is.

There is nothing to compare with; the ratios are to what a reader can be asked to wait and to load, 1 s and 1 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np

import viz
from benchmarks.measure import Row, seconds
from microgradrnn import nn

REPEATS = 5
WAIT, LOAD = 1.0, 1e6  # seconds, bytes
LONGEST, LONG_WAIT = 100_000, 60.0  # steps, seconds
LENGTHS = (1_000, 10_000)
PICTURES: dict[str, Callable[[viz.Flow], viz.Drawing]] = {"long": viz.draw_long, "rolled": viz.draw_rolled}


def flow(T: int) -> viz.Flow:
    """The gradient flow of an LSTM with 16 units over so many steps, with all names made."""
    hs, _ = nn.LSTM(8, 16, rng=0)(np.random.default_rng(0).standard_normal((T, 1, 8)))
    found = viz.gradient_flow((hs[-1] * hs[-1]).sum())
    assert len(found.graph) > T
    return found


def times(f: Callable[[], object]) -> list[float]:
    """How long each of some calls takes."""
    return [seconds(f) for _ in range(REPEATS)]


def rows() -> Iterator[Row]:
    """Time and size of both pictures, the time to fold the graph, and all of it for a very long net."""
    for T in LENGTHS:
        measured = flow(T)
        for name, draw in PICTURES.items():
            size = len(draw(measured).svg.encode())
            taken = times(partial(draw, measured))
            yield Row(f"viz.draw_{name}, LSTM, T = {T:,}, after the flow", f"{median(taken) * 1e3:.0f} ms", "1 s",
                      median(taken) / WAIT, min(taken) / WAIT, 1.0)
            yield Row(f"viz.draw_{name}, LSTM, T = {T:,}: SVG", f"{size / 1e3:.0f} kB", "1 MB", size / LOAD, bar=1.0)
    measured = flow(1_000)
    for by in ("step", "repeat", "module"):
        taken = times(partial(viz.fold, measured.graph, by))
        yield Row(f"viz.fold by {by}, LSTM, T = 1,000", f"{median(taken) * 1e3:.0f} ms")
    whole = seconds(lambda: viz.draw_long(flow(LONGEST)))
    yield Row(f"viz.draw_long, LSTM, T = {LONGEST:,}: forward, flow and drawing", f"{whole:.0f} s",
              f"{LONG_WAIT:.0f} s", whole / LONG_WAIT, bar=1.0)
