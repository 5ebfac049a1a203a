"""What the experiments measured, against what the literature, or an earlier measurement, leads one to expect."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from demos.experiments import cliff, norms
from demos.experiments.records import read


class Line(NamedTuple):
    """One comparison."""

    key: str
    what: str
    expected: str
    measured: str


def list_of(values: list[Any]) -> str:
    """Values side by side; what was not reached is "never".

    >>> list_of([500, None, 1e-7])
    '500, never, 1e-07'
    """
    return ", ".join("never" if value is None else f"{value:.3g}" for value in values)


def latches() -> list[Line]:
    """How many of 20 units hold a bit for 2, 5, 10, 20 and 50 steps."""
    expected = {(0.1, 0.5): (20, 20, 1, 0, 0), (0.1, 1.0): (20, 20, 20, 20, 8), (0.1, 1.5): (20, 20, 20, 20, 15),
                (0.45, 0.5): (20, 2, 0, 0, 0), (0.45, 1.0): (20, 20, 0, 0, 0), (0.45, 1.5): (20, 20, 20, 4, 1)}
    return [Line("D1", f"latch, noise {noise}, first w {w}: of 20 at T = 2, 5, 10, 20, 50", list_of([*row]),
                 list_of([record["solved"] for record in read("latch", noise=noise, w=w)]))
            for (noise, w), row in expected.items()]


def additions() -> list[Line]:
    """Updates until the error of the adding problem is below 0.02."""
    expected = {("rnn", 50): (None, None), ("irnn", 50): (500, 400), ("gru", 50): (300, 300), ("lstm", 50): (900, 500),
                ("rnn", 100): (None, None), ("irnn", 100): (600, 500), ("lstm", 100): (1800, 900)}
    return [Line("D2" if T == 50 else "D4", f"adding, T = {T}, {kind}: updates until it is learned", list_of([*row]),
                 list_of([record["updates"] for record in read("sums", kind=kind, T=T)]))
            for (kind, T), row in expected.items()]


def cliffs() -> list[Line]:
    """Descent beside the cliff, and how gradients grow."""
    plain, clipped = cliff.descend(None), cliff.descend(1.0)
    expected = {"tanh": (5e-15, 0.053, 2.3, 190, 4.9e5), "relu": (5e-23, 2e-8, 70, 1.3e8, 6e16),
                "linear": (1e-14, 10, 4e9, 5e15, 2e24)}
    return [
        Line("D3", "cliff: longest step, last loss", "17, 0.09", list_of([plain.longest, plain.losses[-1]])),
        Line("D3", "cliff, clipped: lowest loss", "0.0003", list_of([clipped.losses.min()])),
        *(Line("D3", f"gradient after 49 steps, {f}, gain {', '.join(map(str, norms.GAINS))}", list_of([*row]),
               list_of([*norms.medians(f)])) for f, row in expected.items()),
    ]


def orders() -> list[Line]:
    """Accuracy in temporal order, three seeds at each of two lengths."""
    expected = {(0.5, None): "0.2 to 0.39", (0.5, 1.0): "0.26, 0.26, 0.28 at T = 30", (0.95, None): "0.2 to 0.39",
                (0.95, 1.0): "1 in all", (1.2, None): "0.2 to 0.39", (1.2, 1.0): "1 in all"}
    lines = []
    for (gain, clip), words in expected.items():
        found = [record["accuracy"] for record in read("order", gain=gain) if record["clip"] == clip]
        lines.append(Line("D3", f"temporal order, gain {gain}, {'clipped' if clip else 'not clipped'}", words,
                          list_of(found)))
    return lines


def recalls() -> list[Line]:
    """Updates until delayed recall is learned."""
    never = (None, None, None)
    expected: dict[Any, Any] = {0: never, 1: never, 2: (50, 50, None), 3: (50, 50, 50), 5: (50, 50, 50),
                                "chrono": (200, 200, 150)}
    lines = [Line("D5", f"recall, T = 50, LSTM with forget bias {b}", list_of([*row]),
                  list_of([r["solved_at"] for r in read("recall", cell="lstm", T=50, forget_bias=b)]))
             for b, row in expected.items()]
    nets = {("tanh", 20): "100", ("gru", 20): "300", ("lstm", 20): "1500", ("tanh", 50): "0 of 3",
            ("gru", 50): "2 of 3", ("lstm", 50): "0 of 3"}
    for (cell, T), words in nets.items():
        found = read("recall", cell=cell, T=T, updates=3000)
        lines.append(Line("D6", f"recall, T = {T}, {cell}", words, list_of([r["solved_at"] for r in found])))
    for cell, words in (("tanh", "9.8"), ("gru", "79"), ("lstm", "13")):
        found = read("recall", cell=cell, T=20, updates=3000)
        lines.append(Line("D6", f"first symbol over distractors after training, T = 20, {cell}", words,
                          list_of([r["first_to_distractors_after"] for r in found])))
    return lines


def models() -> list[Line]:
    """The character model."""
    [record] = read("characters")
    smooth = record["smooth"]
    return [
        Line("D7", "character model: first loss, ln K", "equal within 0.01",
             list_of([record["first"], float(np.log(record["symbols"]))])),
        Line("D7", "loss at 5,000 and entropy of characters", "below it", list_of([smooth["5000"], record["unigram"]])),
        Line("D7", "loss at 12,000 and entropy of pairs", "below it", list_of([smooth["12000"], record["bigram"]])),
    ]


def lines() -> list[Line]:
    """All of them."""
    return [*latches(), *additions(), *cliffs(), *orders(), *recalls(), *models()]
