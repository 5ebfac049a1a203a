"""Which kind of token does a character belong to? Often only what follows can tell.

    python -m demos.tagging [--steps N] [--hidden H] [--seeds N] [--seed N]

Source of Python's standard library, cut into passages; for every character a net says whether it is part of a name, a
keyword, a number, a string, an operator, a comment, or of nothing (`tokenize` knows the answers). A net that reads
from left to right does not know, at the first letter of ``import``, that it will not be ``imports``; one that reads in
both directions does. Both have about the same number of parameters, the same data and the same updates; every seed is
another pair of nets and other passages.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from demos.lesson import Parser, as_lines, natural, positive
from microgradrnn import nn, no_grad, optim
from microgradrnn.data import LABELS, Vocabulary, standard_library, token_labels
from microgradrnn.optim.schedules import cosine
from microgradrnn.terminal import command
from microgradrnn.training import fit

EMBEDDING, BATCH, PASSAGE, RATE = 16, 32, 64, 1e-2


class Corpus(NamedTuple):
    """Characters and labels; whole modules are held out."""

    vocabulary: Vocabulary
    train: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]


def corpus() -> Corpus:
    """Every tenth module of the standard library's is held out."""
    texts = standard_library()
    train = [text for k, text in enumerate(texts) if k % 10]
    held_out = [text for k, text in enumerate(texts) if not k % 10]
    vocabulary = Vocabulary.of_characters("".join(train))

    def arrays(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return vocabulary.encode("".join(texts)), np.concatenate([token_labels(text) for text in texts])

    return Corpus(vocabulary, arrays(train), arrays(held_out))


class Tagger(nn.Module):
    """Characters in, scores for each label out, at every step."""

    def __init__(self, characters: int, H: int, bidirectional: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = nn.Embedding(characters, EMBEDDING, rng=rng, dtype=np.float32)
        self.recurrent = nn.GRU(EMBEDDING, H, bidirectional=bidirectional, rng=rng, dtype=np.float32)
        self.readout = nn.Linear(H * (1 + bidirectional), len(LABELS), rng=rng, dtype=np.float32)

    def __call__(self, ids: np.ndarray) -> Any:
        """(T, B) integers to (T, B, labels)."""
        return self.readout(self.recurrent(self.embedding(ids))[0])


class Result(NamedTuple):
    """What came of one net."""

    name: str
    seed: int
    parameters: int
    accuracy: float
    by_label: list[float]
    seconds: float


def passages(ids: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Passages of the text, time first: (PASSAGE, len(starts))."""
    return ids[starts[None, :] + np.arange(PASSAGE)[:, None]]


def train(net: Tagger, data: Corpus, steps: int, seed: int, name: str) -> None:
    """Adam on random passages, the rate falling to nothing."""
    rng = np.random.default_rng([seed, 1])
    adam = optim.Adam(net.parameters(), lr=RATE)
    ids, labels = data.train

    def batch(n: int) -> tuple[np.ndarray, np.ndarray]:
        starts = rng.integers(0, len(ids) - PASSAGE + 1, BATCH)
        return passages(ids, starts), passages(labels, starts)

    def step(batch: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
        x, y = batch
        loss = nn.cross_entropy(net(x), y)
        adam.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm(adam.parameters, 1.0)
        adam.lr = cosine(adam.steps, RATE, steps)
        adam.step()
        return loss.item(), norm

    fit(step, batch, steps, bar=f"{name} {seed}")


def accuracy(net: Tagger, data: Corpus) -> tuple[float, list[float]]:
    """The share of held-out characters with the right label: of all, and of each label's own."""
    ids, labels = data.held_out
    starts = np.arange(0, len(ids) - PASSAGE + 1, PASSAGE)
    with no_grad():
        said = np.concatenate([net(passages(ids, part)).data.argmax(-1) for part in np.array_split(starts, 8)], axis=1)
    truth = passages(labels, starts)
    right = said == truth
    return float(right.mean()), [float(right[truth == k].mean()) for k in range(len(LABELS))]


def run(name: str, bidirectional: bool, H: int, data: Corpus, steps: int, seed: int) -> Result:
    """Train one net and measure it."""
    start = time.perf_counter()
    net = Tagger(len(data.vocabulary), H, bidirectional, seed)
    train(net, data, steps, seed, name)
    share, by_label = accuracy(net, data)
    count = sum(p.data.size for p in net.parameters())
    return Result(name, seed, count, share, by_label, time.perf_counter() - start)


def same_size(H: int) -> int:
    """The state of a one-way GRU with about as many weights as a two-way one with states of H."""
    two_way = 2 * 3 * H * (EMBEDDING + H)
    return min(range(H, 3 * H + 1), key=lambda wide: abs(3 * wide * (EMBEDDING + wide) - two_way))


def percent(x: float) -> str:
    """A share, to a tenth of a percent."""
    return f"{100 * x:.1f} %"


def table(results: Sequence[Result]) -> list[list[str]]:
    """One row a net, and one for the mean of each kind."""
    rows = [["net", "seed", "parameters", "accuracy", *LABELS, "seconds"]]
    for name in dict.fromkeys(r.name for r in results):
        own = [r for r in results if r.name == name]
        for r in own:
            rows.append([name, str(r.seed), f"{r.parameters:,}", *map(percent, (r.accuracy, *r.by_label)),
                         f"{r.seconds:.0f}"])
        means = mean_accuracy(own), *np.mean([r.by_label for r in own], axis=0)
        rows.append([name, "mean", "", *map(percent, means), ""])
    return rows


def mean_accuracy(results: Sequence[Result]) -> float:
    """Over the seeds."""
    return float(np.mean([r.accuracy for r in results]))


def verdict(one: Sequence[Result], both: Sequence[Result]) -> str:
    """Which kind of net was right more often, on the mean and seed by seed."""
    if mean_accuracy(one) == mean_accuracy(both):
        return f"Both kinds of net are right for {percent(mean_accuracy(one))} of the held-out characters."
    better, worse = (both, one) if mean_accuracy(both) > mean_accuracy(one) else (one, both)
    high, low = mean_accuracy(better), mean_accuracy(worse)
    ahead = sum(a.accuracy > b.accuracy for a, b in zip(better, worse, strict=True))
    return (f"Held-out characters, mean of {len(one)} seeds: the {better[0].name} net is right for {percent(high)}, "
            f"the {worse[0].name} one for {percent(low)}; it makes {(1 - low) / max(1 - high, 1e-9):.1f} times fewer "
            f"mistakes, and is ahead for {ahead} of the {len(one)} seeds.")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m demos.tagging", description=(__doc__ or "").split("\n")[0])
    p.add_argument("--steps", type=positive, default=600, help="updates for each net (default: 600)")
    p.add_argument("--hidden", type=positive, default=32, help="length of the state in each direction (default: 32)")
    p.add_argument("--seeds", type=positive, default=3, help="how many nets of each kind (default: 3)")
    p.add_argument("--seed", type=natural, default=0, help="the first seed (default: 0)")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the lesson. Returns the exit status."""
    options = parser().parse_args(argv)
    data = corpus()
    print(f"{len(data.train[0]):,} characters to train on, {len(data.held_out[0]):,} held out", flush=True)
    seeds = range(options.seed, options.seed + options.seeds)
    one = [run("one-way", False, same_size(options.hidden), data, options.steps, seed) for seed in seeds]
    both = [run("two-way", True, options.hidden, data, options.steps, seed) for seed in seeds]
    print(as_lines(table([*one, *both])))
    print(verdict(one, both))
    return 0


if __name__ == "__main__":
    sys.exit(main())
