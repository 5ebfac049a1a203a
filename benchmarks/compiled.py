"""Compiled loops and functions against PyTorch, JAX (where it is installed), the tape and micrograd. float32.

Set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1: thread pools of different libraries wait for each other by spinning.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.layers import normal
from benchmarks.lstm import SIZES, with_torch
from benchmarks.measure import MissingPeerError, Row, compared, peer, seconds, traced
from benchmarks.scalar import deep_recursion
from microgradrnn import compile, nn
from microgradrnn.compiler.loop import STEPS

Run = Callable[[], Any]
REPEATS = dict(zip(SIZES, (31, 31, 21, 13, 7), strict=True))
BARS = {  # for each comparison, the bar at each size
    "torch.nn.LSTMCell in a loop": (0.12, 0.12, 0.33, 0.72, 0.85),
    "torch.nn.LSTM, NumPy back end": (0.7, 0.9, 1.4, 1.2, 1.0),
    "torch.nn.LSTM": (0.12, 0.30, 0.75, 0.95, 0.95),
    "torch.nn.GRU": (0.05, 0.08, 0.25, 0.6, 0.8),
    "a loop of torch operations": (0.05, 0.06, 0.2, 0.5, 0.7),
    "torch.nn.LSTM, packed": (1.0, 1.0, 1.0, None, None),
    "jax.jit(lax.scan)": (0.25, 0.45, 0.7, 0.65, 0.95),
}


def trained(net: Any, xs: np.ndarray, **options: Any) -> Run:
    """Forward and backward; the loss is the sum of all outputs."""

    def run() -> None:
        net.zero_grad()
        net(xs, **options)[0].sum().backward()

    return run


def with_layer(kind: str, xs: np.ndarray, D: int, H: int, lengths: Any = None, **options: Any) -> Run:
    """A layer of PyTorch, with its fused kernels; of sequences of different lengths, packed."""
    torch = peer("torch")
    net, x = getattr(torch.nn, kind)(D, H, **options), torch.tensor(xs)

    def run() -> None:
        net.zero_grad()
        if lengths is None:
            hs = net(x)[0]
        else:
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
            hs = torch.nn.utils.rnn.pad_packed_sequence(net(packed)[0])[0]
        hs.sum().backward()

    return run


def mgu_with_torch(xs: np.ndarray, D: int, H: int) -> Run:
    """A minimal gated unit, written with PyTorch's operations in a Python loop."""
    torch = peer("torch")
    x = torch.tensor(xs)
    U, W, b = (torch.randn(*shape, requires_grad=True) for shape in ((D, 2 * H), (H, 2 * H), (2 * H,)))

    def run() -> None:
        for p in (U, W, b):
            p.grad = None
        z, (W_f, W_n) = x @ U + b, W.split(H, dim=1)
        h, hs = torch.zeros(xs.shape[1], H), []
        for z_f, z_n in zip(z[..., :H], z[..., H:], strict=True):
            f = torch.sigmoid(z_f + h @ W_f)
            n = torch.tanh(z_n + (f * h) @ W_n)
            h = (1 - f) * h + f * n
            hs.append(h)
        torch.stack(hs).sum().backward()

    return run


def lstm_with_jax(xs: np.ndarray, D: int, H: int) -> Run:
    """An LSTM as a compiled scan, compiled before it is timed."""
    jax, jnp = peer("jax"), peer("jax.numpy")
    weights = [jnp.asarray(normal(*shape)) / H**0.5 for shape in ((D, 4 * H), (H, 4 * H), (4 * H,))]

    def loss(weights: Any, xs: Any) -> Any:
        U, W, b = weights

        def step(state: Any, z: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(z + h @ W, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((xs.shape[1], H), xs.dtype)
        return jax.lax.scan(step, (zero, zero), xs @ U + b)[1].sum()

    both, x = jax.jit(jax.value_and_grad(loss)), jnp.asarray(xs)
    return lambda: jax.block_until_ready(both(weights, x))


def cell_rows(size: int, T: int, B: int, D: int, H: int) -> Iterator[Row]:
    """All comparisons at one size."""
    made: dict[str, Any] = {"rng": 0, "dtype": np.float32}
    xs, repeats = normal(T, B, D), REPEATS[T, B, D, H]
    lstm = nn.LSTM(D, H, **made)
    cases: list[tuple[str, str, Run, Callable[[], Run]]] = [
        ("LSTM", "torch.nn.LSTMCell in a loop", trained(lstm, xs, compiled="numpy"), lambda: with_torch(lstm, xs)),
        ("LSTM", "torch.nn.LSTM, NumPy back end", trained(lstm, xs, compiled="numpy"),
         lambda: with_layer("LSTM", xs, D, H)),
        ("LSTM", "torch.nn.LSTM", trained(lstm, xs, compiled=True), lambda: with_layer("LSTM", xs, D, H)),
        ("LSTM", "jax.jit(lax.scan)", trained(lstm, xs, compiled=True), lambda: lstm_with_jax(xs, D, H)),
        ("GRU", "torch.nn.GRU", trained(nn.GRU(D, H, reset="after", **made), xs, compiled=True),
         lambda: with_layer("GRU", xs, D, H)),
        ("MGU", "a loop of torch operations", trained(nn.MGU(D, H, **made), xs, compiled=True),
         lambda: mgu_with_torch(xs, D, H)),
    ]  # fmt: skip
    if size < 3:
        lengths = np.linspace(T // 2, T, B).astype(int)
        deep = nn.LSTM(D, H, num_layers=2, bidirectional=True, **made)
        cases.append(("2 layers, both directions, ragged", "torch.nn.LSTM, packed",
                      trained(deep, xs, lengths=lengths, compiled=True),
                      lambda: with_layer("LSTM", xs, D, H, lengths, num_layers=2, bidirectional=True)))
    for what, name, mine, make in cases:
        try:
            theirs = make()
        except MissingPeerError as missing:
            yield Row(f"{what} ({T},{B},{D},{H}) : {name}", str(missing))
            continue
        yield compared(f"{what} ({T},{B},{D},{H}) : {name}", mine, theirs, repeats=repeats, bar=BARS[name][size])


def share_of_products(T: int, B: int, D: int, H: int) -> Row:
    """How much of the time the matrix products take that a pass cannot do without."""
    run = trained(nn.LSTM(D, H, rng=0, dtype=np.float32), normal(T, B, D), compiled=True)
    h, W, z = normal(B, H), normal(H, 4 * H), normal(B, 4 * H)
    W_T, U, back, out = np.ascontiguousarray(W.T), normal(D, 4 * H), normal(B, H), normal(T * B, 4 * H)
    hs, zs, xs = normal(T * B, H), normal(T * B, 4 * H), normal(T * B, D)

    def products() -> None:
        np.dot(xs, U, out)
        for _ in range(T):
            np.dot(h, W, z)
            np.dot(z, W_T, back)
        _ = hs.T @ zs, xs.T @ zs

    row = compared(f"LSTM ({T},{B},{D},{H}): the whole : its matrix products", run, products, repeats=7)
    return row._replace(what=row.what + " (bar: at most 1 / 0.75)", bar=1 / 0.75)


def first_call() -> Iterator[Row]:
    """What a first call costs: the trace, its derivative and the code."""
    cell, x = nn.LSTMCell(64, 64, rng=0, dtype=np.float32), normal(50, 16, 64)
    nn.unroll(cell, x, compiled="numpy")
    times = []
    for _ in range(9):
        STEPS.clear()
        times.append(seconds(lambda: nn.unroll(cell, x[:1], compiled="numpy")))
    yield Row("trace, differentiate and write an LSTM step", f"{np.median(times) * 1e3:.1f} ms", "50 ms",
              float(np.median(times)) / 0.05, min(times) / 0.05, 1.0)


def memory(back_end: str, bar: float) -> Row:
    """Peak memory of a forward and a backward pass, against the tape."""
    peaks = []
    for compiled in (back_end, False):
        net, xs = nn.LSTM(64, 64, rng=0, dtype=np.float32), normal(100, 32, 64)
        nn.unroll(net.cell, xs[:2], compiled=compiled)  # the trace and the machine code stay
        gc.collect()
        with traced() as used:
            trained(net, xs, compiled=compiled)()
            peaks.append(used()[1])
    ratio = peaks[0] / peaks[1]
    return Row(f"peak memory LSTM (100,32,64,64), {back_end} : tape", f"{peaks[0] / 2**20:.1f} MiB",
               f"{peaks[1] / 2**20:.1f} MiB", ratio, None, bar)


def scalar_row() -> Row:
    """About 1,000 operations on floats, replayed, against micrograd, with the collector off."""
    theirs = peer("micrograd.engine").Value

    def chain(x: Any, w: Any) -> Any:
        h = x
        for _ in range(333):
            h = (w * h + x).relu()
        return h

    f = compile(chain)

    def taped() -> float:
        x, w = theirs(0.5), theirs(0.9)
        chain(x, w).backward()
        return float(w.grad)

    gc.disable()
    try:
        with deep_recursion(20_000):
            assert abs(f.value_and_grad(0.5, 0.9)[1][1] - taped()) < 1e-9, "the two do not compute the same"
            return compared("value and gradient of 999 scalar operations, compiled : micrograd, collector off",
                            lambda: f.value_and_grad(0.5, 0.9), taped, repeats=51, bar=0.08, before=gc.collect)
    finally:
        gc.enable()


def rows() -> Iterator[Row]:
    """Every size against every peer; the share of products, the first call, memory; scalars."""
    for k, size in enumerate(SIZES):
        yield from cell_rows(k, *size)
    yield share_of_products(*list(SIZES)[-1])
    yield from first_call()
    for back_end, bar in (("numpy", 0.75), ("numba", 0.55)):
        try:
            yield memory(back_end, bar)
        except ImportError:
            yield Row(f"peak memory LSTM (100,32,64,64), {back_end} : tape", "Numba is not installed")
    yield scalar_row()
