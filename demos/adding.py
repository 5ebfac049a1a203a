"""The adding problem: two numbers among a hundred are marked; what is their sum?

    python -m demos.adding [--steps N] [--length T] [--seeds N] [--cells rnn,irnn,lstm,gru]

Nothing but the marks says which numbers count, and the first may lie a hundred steps back. Always to say 1 has an
error of 1/6. Every net gets the same budget of updates, the same data and the same size; training stops early where
the problem is solved. (Hochreiter & Schmidhuber 1997; the IRNN of Le, Jaitly & Hinton 2015.)
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from demos.lesson import Parser, as_lines, names_from, natural, positive, progress
from microgradrnn import nn, no_grad, optim
from microgradrnn.data import adding
from microgradrnn.terminal import command

# Each net and a rate that suits it. The tanh net does no better with 1e-2, 1e-3 or 3e-4: errors of 0.17 to 0.19.
CELLS: dict[str, tuple[Any, float]] = {"rnn": (nn.RNN, 3e-3), "irnn": (nn.IRNN, 3e-3), "lstm": (nn.LSTM, 1e-2),
                                       "gru": (nn.GRU, 1e-2)}
HIDDEN, BATCH, HELD_OUT = 32, 32, 500
SOLVED, LOST = 0.02, 0.05  # mean squared errors
EVERY = 50  # updates between two looks at the held-out problems


class AddingNet(nn.Module):
    """A recurrent net that reads pairs (number, mark) and says one number at the end."""

    def __init__(self, kind: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.recurrent = CELLS[kind][0](2, HIDDEN, rng=rng, dtype=np.float32)
        self.readout = nn.Linear(HIDDEN, 1, rng=rng, dtype=np.float32)

    def __call__(self, x: np.ndarray) -> Any:
        """(T, B, 2) to (B, 1)."""
        hs, _ = self.recurrent(x)
        return self.readout(hs[-1])


class Run(NamedTuple):
    """What came of one net."""

    kind: str
    seed: int
    steps: int  # updates until it was solved, or all there were
    error: float  # mean squared error on the held-out problems, at the end
    seconds: float


def problems(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Adding problems in single precision."""
    x, y = adding(T, B, rng)
    return x.astype(np.float32), y.astype(np.float32)


def run(kind: str, seed: int, T: int, steps: int, bar: bool = True) -> Run:
    """Train one net on new problems at every step, until it is solved or the budget is spent."""
    start = time.perf_counter()
    net, rng = AddingNet(kind, seed), np.random.default_rng([seed, 1])
    held_out = problems(T, HELD_OUT, np.random.default_rng([seed, 2]))
    adam = optim.Adam(net.parameters(), lr=CELLS[kind][1])
    error = float("nan")
    with nn.compiling(), progress(steps, f"{kind} {seed}", show=bar) as shown:
        for n in range(1, steps + 1):
            x, y = problems(T, BATCH, rng)
            loss = nn.mse(net(x), y)
            adam.zero_grad()
            loss.backward()
            optim.clip_grad_norm(adam.parameters, 1.0)
            adam.step()
            shown.update()
            if n % EVERY == 0 or n == steps:
                with no_grad():
                    error = nn.mse(net(held_out[0]), held_out[1]).item()
                shown.set_postfix_str(f"held-out error {error:.4f}", refresh=False)
                if error < SOLVED:
                    break
    return Run(kind, seed, n, error, time.perf_counter() - start)


def table(runs: Sequence[Run]) -> list[list[str]]:
    """One row a kind of net: the error of each seed at the end, and after how many updates."""
    seeds = sorted({r.seed for r in runs})
    rows = [["net", *[f"seed {seed}" for seed in seeds], "updates", "seconds"]]
    for kind in dict.fromkeys(r.kind for r in runs):
        own = [r for r in runs if r.kind == kind]
        rows.append([kind, *[f"{r.error:.4f}" for r in own], ", ".join(str(r.steps) for r in own),
                     f"{sum(r.seconds for r in own):.0f}"])
    return rows


def verdict(runs: Sequence[Run]) -> str:
    """What the errors say."""
    words = []
    for kind in dict.fromkeys(r.kind for r in runs):
        errors = [r.error for r in runs if r.kind == kind]
        solved, lost = sum(e < SOLVED for e in errors), sum(e > LOST for e in errors)
        words.append(f"{kind}: {solved} of {len(errors)} below {SOLVED}, {lost} above {LOST}")
    return "Held-out mean squared error (always to say 1 has 0.1667): " + "; ".join(words) + "."


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m demos.adding", description=(__doc__ or "").split("\n")[0])
    p.add_argument("--steps", type=positive, default=2000, help="updates for each net, at most (default: 2000)")
    p.add_argument("--length", type=positive, default=100, help="numbers in a problem (default: 100)")
    p.add_argument("--seeds", type=positive, default=3, help="how many nets of each kind (default: 3)")
    p.add_argument("--seed", type=natural, default=0, help="the first seed (default: 0)")
    p.add_argument("--cells", type=names_from(CELLS), default=list(CELLS), help=f"some of {','.join(CELLS)}")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the lesson. Returns the exit status."""
    options = parser().parse_args(argv)
    if options.length < 2:
        parser().error("--length: a problem has at least 2 numbers")
    runs = [run(kind, seed, options.length, options.steps) for kind in options.cells
            for seed in range(options.seed, options.seed + options.seeds)]
    print(as_lines(table(runs)))
    print(verdict(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
