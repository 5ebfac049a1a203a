"""The adding problem at 50 and 100 steps: which nets learn it, and how fast (see `demos.adding`).

Hochreiter & Schmidhuber (1997) for the problem, Le, Jaitly & Hinton (2015) for the ReLU net that starts as the
identity.
"""

from __future__ import annotations

from typing import Any

from demos import adding
from demos.experiments.sweep import grid


def points() -> list[dict[str, Any]]:
    """All settings: four nets at 50 steps, three at 100, two seeds each."""
    return [*grid(kind=("rnn", "irnn", "gru", "lstm"), T=(50,), seed=range(2)),
            *grid(kind=("rnn", "irnn", "lstm"), T=(100,), seed=range(2))]


def run(kind: str, T: int, seed: int, updates: int = 3000) -> dict[str, Any]:
    """Train one net, until its held-out error is below 0.02 or the updates are spent."""
    done = adding.run(kind, seed, T, updates, bar=False)
    return {"error": done.error, "updates": done.steps if done.error < adding.SOLVED else None}
