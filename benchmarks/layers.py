"""Deep nets: what stacking, both directions and ragged batches cost beyond the single nets they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.lstm import SIZES
from benchmarks.measure import MissingPeerError, Row, compared, peer
from microgradrnn import Tensor, nn

BAR = 1.15
Run = Callable[[], Any]


def training(net: Any, xs: Any, **options: Any) -> Run:
    """Forward and backward; the loss is the sum of all outputs."""

    def run() -> None:
        net.zero_grad()
        if isinstance(xs, Tensor):
            xs.zero_grad()
        net(xs, **options)[0].sum().backward()

    return run


def all_of(runs: list[Run]) -> Run:
    """One after another."""

    def run() -> None:
        for one in runs:
            one()

    return run


def normal(*shape: int) -> np.ndarray:
    """Inputs in float32."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def single(T: int, B: int, D: int, H: int, passes_on: bool = False) -> Run:
    """One LSTM, as deep nets are made of; in them, one that has others below also works out its input's gradient."""
    return training(nn.LSTM(D, H, rng=0, dtype=np.float32), Tensor(normal(T, B, D), requires_grad=passes_on))


def deep_rows(T: int, B: int, D: int, H: int, repeats: int) -> Iterator[Row]:
    """Each kind of depth against the single nets in it, at one size."""
    def net(**options: Any) -> Any:
        return nn.LSTM(D, H, rng=0, dtype=np.float32, **options)

    xs = normal(T, B, D)
    below, above, both = (single(T, B, n, H) for n in (D, H, 2 * H))
    both_and_on = single(T, B, 2 * H, H, passes_on=True)
    lengths = np.linspace(T // 2, T, B).astype(int)
    cases = {
        "3 layers": (training(net(num_layers=3), xs), all_of([below, above, above])),
        "bidirectional": (training(net(bidirectional=True), xs), all_of([below, below])),
        "2 layers, bidirectional": (
            training(net(num_layers=2, bidirectional=True), xs), all_of([below] * 2 + [both] * 2)
        ),
        "ragged": (training(net(), xs, lengths=lengths), below),
        "ragged, backwards": (training(net(), xs, lengths=lengths, reverse=True), below),
        "ragged, 2 layers, bidirectional": (
            training(net(num_layers=2, bidirectional=True), xs, lengths=lengths), all_of([below] * 2 + [both] * 2)
        ),
    }  # fmt: skip
    for what, (ours, singles) in cases.items():
        yield compared(f"LSTM ({T},{B},{D},{H}), {what} : its single nets", ours, singles, repeats=repeats, bar=BAR)
    for what in ("2 layers, bidirectional", "ragged, 2 layers, bidirectional"):
        yield compared(f"the same, {what} : its single nets, those above with their inputs' gradients", cases[what][0],
                       all_of([below] * 2 + [both_and_on] * 2), repeats=repeats)


def with_torch(xs: np.ndarray, D: int, H: int) -> Run:
    """torch.nn.LSTM, with its fused kernels."""
    torch = peer("torch")
    net, x = torch.nn.LSTM(D, H), torch.tensor(xs)

    def run() -> None:
        net.zero_grad()
        net(x)[0].sum().backward()

    return run


def rows() -> Iterator[Row]:
    """Two sizes of depth, and all sizes against torch.nn.LSTM."""
    yield from deep_rows(50, 16, 64, 64, repeats=15)
    yield from deep_rows(50, 32, 128, 128, repeats=9)
    for (T, B, D, H), (_, _, repeats) in SIZES.items():
        try:
            theirs = with_torch(normal(T, B, D), D, H)
        except MissingPeerError as missing:
            yield Row("LSTM layer : torch.nn.LSTM", str(missing))
            break
        yield compared(f"LSTM layer ({T},{B},{D},{H}) : torch.nn.LSTM, fused", single(T, B, D, H), theirs,
                       repeats=repeats)
