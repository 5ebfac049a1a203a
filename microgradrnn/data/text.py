"""Text as numbers and back, and the batches that nets read it in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.data.checks import need_counts, need_text

UNKNOWN = "�"  # the Unicode replacement character
WORDS = re.compile(r"\w+|\s+|[^\w\s]")


class Vocabulary:
    """Symbols and their numbers. ``decode(encode(text)) == text``, exactly, if all its symbols are known.

    Numbers run from 0 to ``len(self) - 1``; the last one stands for every symbol never seen, and decodes to "�".

    Args:
        symbols: the known symbols, each once.
        cut: how to cut a text into symbols; joined, they must be the text again.

    Raises:
        ValueError: if a symbol occurs twice.

    >>> v = Vocabulary.of_characters("banana")
    >>> v.symbols, len(v), v.encode("naxb").tolist()
    (['a', 'b', 'n'], 4, [2, 0, 3, 1])
    >>> v.decode(v.encode("naxb"))
    'na�b'
    """

    def __init__(self, symbols: Sequence[str], cut: Callable[[str], Sequence[str]] = list) -> None:
        self.symbols = list(symbols)
        self.cut = cut
        self.number = {symbol: k for k, symbol in enumerate(self.symbols)}
        if len(self.number) < len(self.symbols):
            twice = [s for s, n in Counter(self.symbols).items() if n > 1]
            raise ValueError(f"Vocabulary: these symbols occur more than once: {twice[:5]}")

    @classmethod
    def of_characters(cls, text: Iterable[str]) -> Vocabulary:
        """The characters of a text, in the order of their code points."""
        return cls(sorted(set(text)))

    @classmethod
    def of_words(cls, text: str, least: int = 1) -> Vocabulary:
        """The words of a text, the white space between them, and single marks, that occur at least so often.

        The commonest comes first; among equals, the first in the order of code points.

        >>> Vocabulary.of_words("to be, or not to be", least=2).symbols
        [' ', 'be', 'to']
        """
        counts = Counter(WORDS.findall(text))
        common = [word for word, n in counts.items() if n >= least]
        return cls(sorted(common, key=lambda word: (-counts[word], word)), WORDS.findall)

    @property
    def unknown(self) -> int:
        """The number of every symbol never seen."""
        return len(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols) + 1

    def encode(self, text: str) -> np.ndarray:
        """The numbers of a text: integers in 0..len(self) - 1.

        Raises:
            TypeError: if it is no string (a list of words, say: join them).
        """
        need_text("Vocabulary.encode", text, "; the vocabulary cuts it itself, so join the parts")
        get = self.number.get
        return np.array([get(symbol, self.unknown) for symbol in self.cut(text)], dtype=np.int64)

    def decode(self, ids: Any) -> str:
        """The text of some numbers.

        Raises:
            TypeError, ValueError: if they are no integers, or a number is out of range.
        """
        ids = np.asarray(ids)
        if ids.size and ids.dtype.kind not in "iu":
            raise TypeError(f"Vocabulary.decode: expected integers, got {ids.dtype}; scores become integers with "
                            "argmax(-1) or nn.sample")
        if ids.size and not (ids.min() >= 0 and ids.max() <= self.unknown):
            raise ValueError(f"Vocabulary: numbers must lie in 0..{self.unknown}, got {ids.min()}..{ids.max()}")
        symbols = [*self.symbols, UNKNOWN]
        return "".join(symbols[k] for k in ids.ravel())


def windows(ids: np.ndarray, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (the same, one on), time first: (length, len(starts)) each.

    Args:
        ids: the text as numbers (N,).
        starts: where each window starts, in 0..N - length - 1.
        length: how many steps.

    Raises:
        ValueError: if a window does not lie inside the text.

    >>> x, y = windows(np.arange(10), np.array([0, 4]), 3)
    >>> x.T.tolist(), y.T.tolist()
    ([[0, 1, 2], [4, 5, 6]], [[1, 2, 3], [5, 6, 7]])
    """
    need_counts("windows", length=length)
    ids, starts = np.asarray(ids), np.asarray(starts)
    last = len(ids) - length - 1  # the last target needs one symbol more
    if starts.size and not (starts.min() >= 0 and starts.max() <= last):
        raise ValueError(f"windows: of {len(ids)} symbols, windows of {length} and their targets start in 0..{last}, "
                         f"got {starts.min()}..{starts.max()}")
    at = starts[None, :] + np.arange(length)[:, None]
    return ids[at], ids[at + 1]


class Stretch(NamedTuple):
    """One batch for truncated BPTT: inputs and targets (T, B); `first` where a new pass starts, with a new state."""

    x: np.ndarray
    y: np.ndarray
    first: bool


class Stretches(Sequence[Stretch]):
    """A long text in batches for truncated BPTT: B streams side by side, each read on where the last batch ended.

    Row b of batch k goes on at row b of batch k + 1, so the state may be carried over (`nn.detach`). Symbols at the
    end that fill no whole batch are left out.

    Args:
        ids: the text as numbers.
        B: how many streams.
        T: how many steps a batch.

    Raises:
        TypeError, ValueError: if the text is no row of integers or too short for one batch, or B or T is no length.
        IndexError: for a batch that is not there.

    >>> batches = Stretches(np.arange(14), B=2, T=3)
    >>> len(batches), [b.x.T.tolist() for b in batches]
    (2, [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]])
    """

    def __init__(self, ids: np.ndarray, B: int, T: int) -> None:
        need_counts("Stretches", B=B, T=T)
        self.ids, self.B, self.T = np.asarray(ids), B, T
        if self.ids.ndim != 1 or self.ids.dtype.kind not in "iu":
            raise TypeError(f"Stretches: ids are one row of integers, got {self.ids.dtype} of shape {self.ids.shape}; "
                            "a text becomes one with Vocabulary.encode")
        self.batches = (len(self.ids) - 1) // (B * T)
        if self.batches < 1:
            raise ValueError(f"Stretches: {B} streams of {T} steps need at least {B * T + 1} symbols, got "
                             f"{len(self.ids)}")

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return [self[j] for j in range(*k.indices(self.batches))]
        if not -self.batches <= k < self.batches:
            raise IndexError(f"Stretches: there are {self.batches} batches, asked for number {k}")
        k %= self.batches
        starts = np.arange(self.B) * self.batches * self.T + k * self.T
        return Stretch(*windows(self.ids, starts, self.T), k == 0)
