"""What to do with a sequence: the task patterns of docs/equations.md, section 1.

Many-to-many, one output a step, is what a layer gives. Here are the others: many-to-one (the last step, or the mean),
one-to-many (one input, then a sequence; and generation, where each output is the next input), and encoder-decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradrnn.engine import mark, no_grad, scope
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.indexing import index_update
from microgradrnn.engine.rules.reduction import mean, softmax
from microgradrnn.engine.rules.reduction import sum as total
from microgradrnn.engine.rules.shape import expand_dims, pad, swapaxes
from microgradrnn.nn.module import Module, Rng, as_rng, need_sizes
from microgradrnn.nn.rows import running


def last_step(hs: Any, lengths: Any = None, *, batch_first: bool = False) -> Any:
    """The output at the last step of each sequence: (T, B, H) to (B, H).

    Args:
        hs: the outputs of all steps.
        lengths: how many steps each sequence has; all T by default.
        batch_first: hs is (B, T, H), as from a layer with ``batch_first=True``.

    >>> import numpy as np
    >>> last_step(np.arange(6.0).reshape(3, 2, 1), lengths=[3, 1])
    array([[4.],
           [1.]])
    """
    hs = time_first("last_step", hs, batch_first)
    if lengths is None:
        return hs[-1]
    running(lengths, hs.shape[0], hs.shape[1], least=1)
    return hs[np.asarray(lengths) - 1, np.arange(hs.shape[1])]


def mean_over_steps(hs: Any, lengths: Any = None, *, batch_first: bool = False) -> Any:
    """The mean of the outputs over the steps of each sequence: (T, B, H) to (B, H).

    Every step gets the same share, 1/T, of the gradient directly: a way back that no distance fades.

    Args:
        hs: the outputs of all steps.
        lengths: how many steps each sequence has; all T by default.
        batch_first: hs is (B, T, H), as from a layer with ``batch_first=True``.

    >>> import numpy as np
    >>> mean_over_steps(np.arange(6.0).reshape(3, 2, 1), lengths=[3, 1])
    array([[2.],
           [1.]])
    """
    hs = time_first("mean_over_steps", hs, batch_first)
    if lengths is None:
        return mean(hs, 0)
    padding = ~running(lengths, hs.shape[0], hs.shape[1], least=1)
    share = 1 / np.asarray(lengths)[:, None]
    return total(index_update(hs, padding, 0.0), 0) * (share.astype(hs.dtype) if hs.dtype.kind == "f" else share)


def time_first(who: str, hs: Any, batch_first: bool) -> Any:
    """The outputs of all steps as (T, B, H)."""
    if isinstance(hs, tuple):
        raise TypeError(f"{who}: expected the outputs of all steps, got a tuple; a recurrent layer returns two things, "
                        "hs, state = layer(xs)")
    return swapaxes(hs, 0, 1) if batch_first else hs


def one_to_many(x: Any, T: int) -> Any:
    """x at the first step, zeros at all others: (B, D) to (T, B, D), the inputs of a one-to-many net.

    >>> import numpy as np
    >>> one_to_many(np.ones((1, 2)), 3)[:, 0]
    array([[1., 1.],
           [0., 0.],
           [0., 0.]])
    """
    need_sizes("one_to_many", T=T)
    return pad(expand_dims(x, 0), [(0, T - 1)] + [(0, 0)] * np.ndim(plain(x)))


def sample(logits: Any, *, temperature: float = 1.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """One class for each row of logits, drawn from ``softmax(o / temperature)``.

    Args:
        logits: (..., K).
        temperature: below 1 the likely becomes likelier; 0 takes the likeliest, and draws nothing; at infinity all are
            equally likely, but for those of logit -inf, which are never drawn.
        rng: the generator to draw from; needed unless temperature is 0.

    Returns:
        Integers (...).

    Raises:
        ValueError: if temperature is negative, or the largest logit of a row is not finite (NaN, or all are -inf).
        TypeError: if there is something to draw, and no generator.

    >>> import numpy as np
    >>> o = np.array([[0.0, 3.0], [1.0, 0.0]])
    >>> sample(o, temperature=0), sample(o, temperature=0.1, rng=np.random.default_rng(0))
    (array([1, 0]), array([1, 0]))
    """
    o = np.asarray(plain(logits), np.float64)
    if not temperature >= 0:
        raise ValueError(f"sample: temperature must be 0 or more, got {temperature!r}")
    if not np.isfinite(o.max(-1)).all():
        raise ValueError("sample: in every row the largest logit must be finite; got NaN, inf, or a row of -inf")
    if temperature == 0:
        return o.argmax(-1)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"sample: at temperature {temperature:g} rng must be a Generator, got {type(rng).__name__}; make one "
            "before the loop, rng = np.random.default_rng(0) (a seed would draw alike at every step)"
        )
    with np.errstate(invalid="ignore"):  # -inf / inf
        scaled = np.where(o == -np.inf, o, (o - o.max(-1, keepdims=True)) / temperature)
    reached = np.cumsum(softmax(scaled, -1), -1)
    drawn = rng.random((*o.shape[:-1], 1)) * reached[..., -1:]
    return (drawn >= reached).sum(-1)


def generate(
    step: Callable[[Any, Any], tuple[Any, Any]], first: Any, state: Any, T: int, *, temperature: float = 1.0,
    rng: Rng = None,
) -> np.ndarray:  # fmt: skip
    """Let a net speak: what it says at one step is what it reads at the next. No graph is kept.

    Args:
        step: ``(ids, state) -> (logits, state)``: B integers in, (B, K) out.
        first: the B integers to begin with.
        state: the state to begin with.
        T: how many steps.
        temperature: as in `sample`.
        rng: a generator, or a seed.

    Returns:
        What it said, integers (T, B), without `first`.

    >>> import numpy as np
    >>> def count(ids, state):                             # says the next number, up to 4
    ...     return np.eye(5)[np.minimum(ids + 1, 4)], state
    >>> generate(count, [0, 2], None, 3, temperature=0)
    array([[1, 3],
           [2, 4],
           [3, 4]])
    """
    if T != 0:
        need_sizes("generate", T=T)
    ids = np.asarray(first)
    rng = None if rng is None else as_rng(rng)
    said = []
    with no_grad():
        for t in range(T):
            with scope(step=t):
                logits, state = logits_and_state(step(ids, state), ids.shape)
                ids = sample(logits, temperature=temperature, rng=rng)
            said.append(ids)
    return np.array(said, dtype=np.intp).reshape(T, *ids.shape)


def logits_and_state(said: Any, of: tuple[int, ...]) -> tuple[Any, Any]:
    """What a step of `generate` returned, checked: a row of logits for each of the integers."""
    if not isinstance(said, tuple) or len(said) != 2:
        raise TypeError(f"generate: step must return a pair, (logits, state), got {type(said).__name__}")
    shape = np.shape(plain(said[0]))
    if not shape or shape[:-1] != of:
        raise ValueError(f"generate: step must return logits of shape {(*of, 'K')}, a row for each of the integers it "
                         f"was given, got {shape}")
    return said


class EncoderDecoder(Module):
    """Sequence to sequence: an encoder reads the source; its last state is all that the decoder starts from.

    Args:
        encoder, decoder: layers ``(xs, state) -> (outputs, state)``, time first; the decoder's state has the form of
            the encoder's.
        source, target: what turns integers into inputs, an `Embedding` each.
        head: decoder outputs to logits, a `Linear`.
        start: the integer that the decoder reads first.

    Raises:
        ValueError: if one of the nets reads (batch, time) with ``batch_first=True``.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> net = EncoderDecoder(nn.GRU(4, 6, rng=0), nn.GRU(4, 6, rng=1), nn.Embedding(9, 4, rng=2),
    ...                      nn.Embedding(7, 4, rng=3), nn.Linear(6, 7, rng=4), start=0)
    >>> source, target = np.ones((5, 2), int), np.ones((3, 2), int)
    >>> net(source, target).shape                          # teacher forcing: logits for every target
    (3, 2, 7)
    >>> net.generate(source, 8).shape                      # free running: integers
    (8, 2)
    """

    def __init__(self, encoder: Any, decoder: Any, source: Any, target: Any, head: Any, *, start: int) -> None:
        if getattr(encoder, "batch_first", False) or getattr(decoder, "batch_first", False):
            raise ValueError("EncoderDecoder: time comes first here, (T, B); leave out batch_first=True")
        self.encoder, self.decoder = encoder, decoder
        self.source, self.target, self.head = source, target, head
        self.start = start

    def encode(self, source: Any, lengths: Any = None, *, rng: np.random.Generator | None = None) -> Any:
        """The encoder's last state for sources (T, B); rng switches its dropout on."""
        with scope("encoder"):
            return self.encoder(self.source(source), lengths=lengths, **given(rng))[1]

    def decode(self, inputs: Any, state: Any, *, rng: np.random.Generator | None = None) -> tuple[Any, Any]:
        """Logits (S, B, K) for decoder inputs (S, B), and the decoder's last state; rng switches its dropout on."""
        with scope("decoder"):
            hs, state = self.decoder(self.target(inputs), state, **given(rng))
            return mark(self.head(hs), "o", role="output"), state

    def __call__(
        self, source: Any, target: Any, *, lengths: Any = None, rng: np.random.Generator | None = None
    ) -> Any:
        """Teacher forcing: whatever it would have said, at each step the decoder reads the right last symbol.

        Args:
            source: integers (T, B).
            target: integers (S, B); step s reads ``target[s - 1]``, step 0 reads `start`.
            lengths: of the sources.
            rng: the generator that dropout draws from; without one nothing is dropped.

        Returns:
            Logits (S, B, K), to be compared with target.
        """
        source, target = np.asarray(source), np.asarray(target)
        if source.shape[1:] != target.shape[1:]:
            raise ValueError(f"EncoderDecoder: source (T, B) and target (S, B) need as many sequences, got shapes "
                             f"{source.shape} and {target.shape}")
        inputs = np.concatenate([np.full_like(target[:1], self.start), target[:-1]])
        return self.decode(inputs, self.encode(source, lengths, rng=rng), rng=rng)[0]

    def generate(
        self, source: Any, S: int, *, lengths: Any = None, temperature: float = 0.0,
        rng: Rng = None,
    ) -> np.ndarray:  # fmt: skip
        """Free running: the decoder reads what it said itself. Integers (S, B); the options of `generate`."""

        def step(ids: Any, state: Any) -> tuple[Any, Any]:
            logits, state = self.decode(ids[None], state)
            return logits[0], state

        with no_grad():
            state = self.encode(source, lengths)
        first = np.full(np.shape(source)[1], self.start)
        return generate(step, first, state, S, temperature=temperature, rng=rng)


def given(rng: np.random.Generator | None) -> dict[str, np.random.Generator]:
    """rng as an option, if there is one: a layer without dropout need not know of it."""
    return {} if rng is None else {"rng": rng}
