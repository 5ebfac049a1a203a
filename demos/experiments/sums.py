"""The adding problem at 50 and 100 steps: which nets learn it, and how fast (see `demos.adding`).

Hochreiter & Schmidhuber (1997) for the problem, Le, Jaitly & Hinton (2015) for the ReLU net that starts as the
identity.
"""

from __future__ import annotations

from typing import Any

from demos import adding


def points() -> list[dict[str, Any]]:
    """All settings: four nets at 50 steps, three at 100, two seeds each."""
    nets = {50: ("rnn", "irnn", "gru", "lstm"), 100: ("rnn", "irnn", "lstm")}
    return [{"kind": kind, "T": T, "seed": seed} for T, kinds in nets.items() for kind in kinds for seed in range(2)]


def run(kind: str, T: int, seed: int, updates: int = 3000) -> dict[str, Any]:
    """Train one net, until its held-out error is below 0.02 or the updates are spent."""
    done = adding.run(kind, seed, T, updates)
    return {"error": done.error, "updates": done.steps if done.error < adding.SOLVED else None}
