"""From "Tuesday, 5 March 2024" to 2024-03-05: an encoder reads a date in one of many formats, a decoder writes it.

    python -m demos.dates [--steps N] [--hidden H] [--keep b] [--seeds N] [--seed N]

What is read and what is written differ in length and order, so the encoder reads to the end first, and all that the
decoder learns of the date is the encoder's last state. In training it reads the right last character (teacher
forcing); in the test it has only what it wrote itself. A tenth of all days is never seen in training, in any format.
Every seed is another net and other dates.

The bias of the update gate z starts at 1, as an LSTM's forget gate does: at first 73 % of the state is kept at each
step, and the gradient of what is written reaches the day and month that were read a dozen steps before. With
``--keep 0`` the same nets take more than twice as long.
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
from microgradrnn.data import Vocabulary, dates, pad
from microgradrnn.data.dates import DAYS, FORMATS, MONTHS, held_out
from microgradrnn.optim.schedules import cosine, warm_up
from microgradrnn.terminal import command
from microgradrnn.training import fit

SOURCE = Vocabulary.of_characters("".join([*MONTHS, *DAYS, "0123456789 .,/-"]))
TARGET = Vocabulary.of_characters("0123456789-")
LENGTH = len("2024-02-29")
EMBEDDING, BATCH, RATE, TESTED = 16, 64, 1e-2, 2000

Pair = tuple[str, str]


def batch(pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources (T, B), their lengths, and targets (10, B)."""
    sources, mask = pad([SOURCE.encode(said) for said, _ in pairs])
    return sources, mask.sum(axis=0), np.stack([TARGET.encode(iso) for _, iso in pairs], axis=1)


def drawn(n: int, rng: np.random.Generator, *, test: bool) -> list[Pair]:
    """Dates that are for training, or dates that are held out."""
    pairs: list[Pair] = []
    while len(pairs) < n:
        pairs += [pair for pair in dates(n, rng) if held_out(pair[1]) == test]
    return pairs[:n]


def network(H: int, seed: int, keep: float) -> nn.EncoderDecoder:
    """A GRU that reads, and a GRU that writes; their update gates z start from the bias `keep`."""
    rng, options = np.random.default_rng(seed), dict[str, Any](dtype=np.float32)
    encoder, decoder = (nn.GRU(EMBEDDING, H, rng=rng, **options) for _ in range(2))
    for net in (encoder, decoder):
        b = net.cell.b.data.copy()
        b[H : 2 * H] = keep  # blocks in the order r, z, n
        net.cell.b.data = b
    start = len(TARGET)  # one number more, which the decoder reads first
    return nn.EncoderDecoder(encoder, decoder, nn.Embedding(len(SOURCE), EMBEDDING, rng=rng, **options),
                             nn.Embedding(len(TARGET) + 1, EMBEDDING, rng=rng, **options),
                             nn.Linear(H, len(TARGET), rng=rng, **options), start=start)


def train(net: nn.EncoderDecoder, steps: int, seed: int) -> None:
    """Adam on new dates at every step, the rate falling to nothing."""
    rng = np.random.default_rng([seed, 1])
    adam = optim.Adam(net.parameters(), lr=RATE)

    def step(batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[float, float]:
        sources, lengths, targets = batch
        loss = nn.cross_entropy(net(sources, targets, lengths=lengths), targets)
        adam.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm(adam.parameters, 1.0)
        adam.lr = warm_up(adam.steps, cosine(adam.steps, RATE, steps), 50)
        adam.step()
        return loss.item(), norm

    fit(step, lambda n: batch(drawn(BATCH, rng, test=False)), steps, bar=f"seed {seed}")


class Answer(NamedTuple):
    """A date as it was said, as it is, and as the net wrote it."""

    said: str
    iso: str
    wrote: str


def answers(net: nn.EncoderDecoder, pairs: Sequence[Pair]) -> list[Answer]:
    """What the net writes, with nothing to lean on but itself."""
    found = []
    for k in range(0, len(pairs), 250):
        part = pairs[k : k + 250]
        sources, lengths, _ = batch(part)
        with no_grad():
            wrote = net.generate(sources, LENGTH, lengths=lengths)
        found += [Answer(*pair, TARGET.decode(ids)) for pair, ids in zip(part, wrote.T, strict=True)]
    return found


def exact(found: Sequence[Answer]) -> float:
    """The share that is right in every character."""
    return float(np.mean([a.iso == a.wrote for a in found]))


def table(found: Sequence[Answer]) -> list[list[str]]:
    """One example a format, the wrong ones first."""
    examples: dict[str, Answer] = {}
    for a in sorted(found, key=lambda a: a.iso == a.wrote):
        shape = "".join("9" if c.isdigit() else "a" if c.isalpha() else c for c in a.said)
        for run in ("aa", "99"):
            while run in shape:
                shape = shape.replace(run, run[0])
        examples.setdefault(shape, a)
    return [["read", "wrote", "right?"], *[[a.said, a.wrote, "yes" if a.iso == a.wrote else f"no: {a.iso}"]
                                           for a in examples.values()]]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m demos.dates", description=(__doc__ or "").split("\n")[0])
    p.add_argument("--steps", type=positive, default=1200, help="updates for each net (default: 1200)")
    p.add_argument("--hidden", type=positive, default=96, help="length of the state (default: 96)")
    p.add_argument("--keep", type=float, default=1.0, help="bias of the update gates at the start (default: 1)")
    p.add_argument("--seeds", type=positive, default=3, help="how many nets (default: 3)")
    p.add_argument("--seed", type=natural, default=0, help="the first seed (default: 0)")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the lesson. Returns the exit status."""
    options = parser().parse_args(argv)
    shares = []
    for seed in range(options.seed, options.seed + options.seeds):
        start = time.perf_counter()
        net = network(options.hidden, seed, options.keep)
        train(net, options.steps, seed)
        found = answers(net, drawn(TESTED, np.random.default_rng([seed, 2]), test=True))
        shares.append(exact(found))
        if seed == options.seed:
            print(as_lines(table(found)))
        print(f"seed {seed}: {100 * shares[-1]:.2f} % right, {time.perf_counter() - start:.0f} seconds", flush=True)
    print(f"On the mean of {len(shares)} nets, {100 * np.mean(shares):.2f} % of {TESTED} held-out dates in "
          f"{len(FORMATS)} formats are right in every character, after {options.steps} updates.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
