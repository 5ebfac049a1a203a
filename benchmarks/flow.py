"""Measuring the gradient flow of an LSTM against a plain reverse pass, and splitting it by ways; how exact both are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import viz
from benchmarks.measure import Row, compared, seconds
from microgradrnn import Tensor, nn
from microgradrnn.engine.backward import reverse
from viz.graph.reachable import reachable

D = H = 64
CELLS = {
    "RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "carousel": nn.CarouselLSTMCell, "coupled": nn.CoupledLSTMCell,
    "GRU": nn.GRUCell, "MGU": nn.MGUCell,
}


def loss_of(net: Any, T: int, B: int, D: int = D) -> Any:
    """The squares of all outputs."""
    hs, _ = net(np.random.default_rng(0).standard_normal((T, B, D)))
    return (hs * hs).sum()


def plain(root: Any) -> None:
    """A reverse pass that writes nothing down."""
    for _ in reverse(root):
        pass


def with_names(root: Any) -> object:
    """The flow, and the graph model that names every node."""
    return viz.gradient_flow(root).graph


def rows() -> Iterator[Row]:
    """The flow at two batch sizes, the ways in every order of classes, the step Jacobians, then the errors."""
    for B in (1, 16):
        root = loss_of(nn.LSTM(D, H, rng=0), 1000, B)
        what = f"flow, LSTM T=1000 H={H} B={B}"
        yield compared(f"{what} : plain reverse pass", partial(viz.gradient_flow, root), partial(plain, root),
                       repeats=11, bar=3.0)
        yield compared(f"{what}, and every name : plain reverse pass", partial(with_names, root), partial(plain, root),
                       repeats=5)
    root = loss_of(nn.LSTM(D, H, rng=0), 200, 1)
    for by in ("first", "last", "set", "number"):
        times = []
        for _ in range(5):
            start = perf_counter()
            found = viz.ways(root, by=by)
            times.append(perf_counter() - start)
        taken = sorted(times)[2]
        yield Row(f"ways by {by}, LSTM T=200 H={H}, {len(found.parts)} classes : 5 s", f"{taken:.2f} s", "5 s",
                  taken / 5, min(times) / 5, 1.0)
    yield step_jacobians_row()
    yield from exactness()


def step_jacobians_row() -> Row:
    """All step Jacobians of an LSTM, 100 units of h and c together, against half a second."""
    T, n = 50, 50
    cell = nn.LSTMCell(n, n, rng=0)
    hs, _ = nn.unroll(cell, np.random.default_rng(0).standard_normal((T, 1, n)),
                      (Tensor(np.zeros((1, n))), Tensor(np.zeros((1, n)))))
    root = (hs * hs).sum()
    times = sorted(seconds(partial(viz.step_jacobians, root)) for _ in range(5))
    return Row(f"step Jacobians, LSTM T={T} H={n} : 0.5 s", f"{times[2]:.2f} s", "0.5 s", times[2] / 0.5,
               times[0] / 0.5, 1.0)


def exactness() -> Iterator[Row]:
    """The parts against the whole, and the carry against the products of gates."""
    worst = 0.0
    for make in CELLS.values():
        for T in (1, 2, 3, 10, 50, 200):
            net = nn.Recurrent(make(5, 7, rng=0), make(7, 6, rng=1))
            root = loss_of(net, T, 2, 5)
            for layer in (0, 1):
                worst = max(worst, *(viz.ways(root, by=by, layer=layer).check() for by in ("first", "set", "number")))
    yield error_row(f"ways add up, {len(CELLS)} cells, T = 1..200, 2 layers, by first, set, number", worst, 1e-10)
    for name, net, symbol in (("LSTM: product of f", nn.LSTM(5, 7, rng=0), "f"),
                              ("GRU: product of z", nn.GRU(5, 7, rng=0), "z")):
        _, state = net(np.random.default_rng(0).standard_normal((200, 2, 5)))
        last = state[1] if isinstance(state, tuple) else state
        seed = np.random.default_rng(1).standard_normal(last.shape)
        gates = [x.data for x in reachable(last) if x.symbol == symbol and x.op is not None]
        found = viz.ways(last, last.symbol, seed=seed).parts["carry"]
        true = [seed * np.prod(gates[len(gates) - lag :], axis=0) for lag in range(len(found))]
        worst = max(float(np.max(np.abs(a - b) / np.abs(b))) for a, b in zip(found, true, strict=True))
        yield error_row(f"carry alone, {name}, T = 200, each entry", worst, 1e-12)


def error_row(what: str, error: float, bar: float) -> Row:
    """An error against its bar."""
    return Row(f"{what} : {bar:g}", f"{error:.1e}", f"{bar:g}", error / bar, None, 1.0)
