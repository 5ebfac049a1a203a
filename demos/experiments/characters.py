"""A character-level language model in the settings of min-char-rnn (Karpathy 2015), on Python's own source.

100 tanh units, stretches of 25 characters, Adagrad with rate 0.1, gradients cut elementwise to ±5, weights of standard
deviation 0.01. The state is carried from stretch to stretch as a constant. What it must beat is counted from the same
text: the entropy of single characters, and of a character given the one before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn import nn, optim
from microgradrnn.data import Stretches, Vocabulary, standard_library

HIDDEN, STRETCH, RATE, LIMIT, UPDATES, LENGTH = 100, 25, 0.1, 5.0, 20_000, 35_000


def text() -> str:
    """The first 35,000 characters of a module of the standard library."""
    return standard_library(["argparse"])[0][:LENGTH]


def entropies(ids: np.ndarray) -> tuple[float, float]:
    """Nats a character: of single characters, and of a character given the one before.

    >>> unigram, bigram = entropies(np.array([0, 1, 0, 1, 0]))
    >>> round(unigram, 3), round(bigram, 3)
    (0.673, 0.0)
    """
    def of(counts: np.ndarray) -> float:
        p = counts[counts > 0] / counts.sum()
        return float(-(p * np.log(p)).sum())

    K = ids.max() + 1
    pairs = np.zeros((K, K))
    np.add.at(pairs, (ids[:-1], ids[1:]), 1)
    return of(np.bincount(ids)), of(pairs.ravel()) - of(pairs.sum(axis=1))


def points() -> list[dict[str, Any]]:
    """One setting."""
    return [{"seed": 0}]


def run(seed: int, updates: int = UPDATES) -> dict[str, Any]:
    """Train one net. The loss is in nats a character: the first, and the running mean of 1,000 stretches."""
    source = text()
    vocabulary = Vocabulary.of_characters(source)
    ids = vocabulary.encode(source)
    K, rng = len(vocabulary.symbols), np.random.default_rng(seed)
    net, head = nn.RNN(K, HIDDEN, rng=rng), nn.Linear(HIDDEN, K, rng=rng)
    for p in (*net.parameters(), *head.parameters()):
        shape = np.shape(p.data)
        p.data = 0.01 * rng.standard_normal(shape) if len(shape) == 2 else np.zeros(shape)
    adagrad = optim.Adagrad([*net.parameters(), *head.parameters()], lr=RATE, eps=1e-8)
    batches, one_hot, state, losses = Stretches(ids, 1, STRETCH), np.eye(K), None, []
    with nn.compiling():
        for n in range(updates):
            x, y, first = batches[n % len(batches)]
            hs, state = net(one_hot[x], None if first else nn.detach(state))
            loss = nn.cross_entropy(head(hs), y)
            adagrad.zero_grad()
            (loss * STRETCH).backward()
            optim.clip_grad_value(adagrad.parameters, LIMIT)
            adagrad.step()
            losses.append(loss.item())
    unigram, bigram = entropies(ids)
    smooth = {str(n): float(np.mean(losses[n - 1000 : n])) for n in (1000, 2000, 5000, 10_000, 12_000, 20_000)
              if n <= updates}
    return {"symbols": K, "first": losses[0], "smooth": smooth, "unigram": unigram, "bigram": bigram}
