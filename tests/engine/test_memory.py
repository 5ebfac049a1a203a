"""What is kept, what is freed, and how much is touched. Counted, not timed."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.engine import Node
from microgradrnn.engine.cotangent import Scatter


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def nodes_alive() -> int:
    return sum(issubclass(type(o), Node) for o in gc.get_objects())


def value_graph() -> Any:
    x = y = Value(0.5)
    for _ in range(200):
        y = (y * x + y).tanh()
    return y


def tensor_graph() -> Any:
    x = Tensor(np.ones((3, 4)))
    y = mg.concat([(x @ x.T)[0:2], (x @ x.T)[[0, 0]]]).max(axis=0)
    return mg.softmax(y * y).sum()


def lstm_graph() -> Any:
    hs, _ = nn.LSTM(4, 5, rng=0)(Tensor(np.ones((6, 3, 4))))
    return hs.sum()


@pytest.mark.parametrize("build", [value_graph, tensor_graph, lstm_graph])
@pytest.mark.usefixtures("without_collector")
def test_dropping_the_loss_frees_the_graph_without_the_collector(build: Any) -> None:
    build()  # whatever is made once and kept (caches) is made here
    before = nodes_alive()
    y = build()
    assert nodes_alive() > before + 5
    y.backward()
    mg.grad(y, y)
    del y
    assert nodes_alive() == before


@pytest.mark.usefixtures("without_collector")
def test_no_graph_is_kept_under_no_grad() -> None:
    w = Tensor(np.ones((3, 3)))
    before = nodes_alive()
    with mg.no_grad():
        h = w
        for _ in range(50):
            h = (h @ w).tanh()
    assert nodes_alive() == before + 1
    assert not h.requires_grad


def test_a_scalar_node_takes_at_most_300_bytes() -> None:
    n = 20_000
    x = y = Value(0.5)
    y = y * x
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(n):
        y = y * x
    bytes_a_node = (tracemalloc.get_traced_memory()[0] - before) / n
    tracemalloc.stop()
    assert bytes_a_node <= 300


def test_nodes_carry_no_dict() -> None:
    assert not hasattr(Value(1.0), "__dict__")
    assert not hasattr(Tensor(1.0) * 2, "__dict__")
    assert sys.getsizeof(Value(1.0)) < 200


def test_slices_of_one_array_are_written_into_one_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """T slices of x: the numbers written are those of x once (plus one buffer), not T times those of x."""
    T, B, D = 200, 3, 4
    written = []
    plain_dense, plain_add = Scatter.dense, Scatter.add_to
    monkeypatch.setattr(Scatter, "dense", lambda self: (written.append(np.prod(self.shape)), plain_dense(self))[1])
    monkeypatch.setattr(
        Scatter, "add_to", lambda self, array: (written.append(self.values.size), plain_add(self, array))[1]
    )
    x = Tensor(np.random.default_rng(0).standard_normal((T, B, D)))
    y = mg.stack([x[t] * x[t] for t in range(T)]).sum()
    np.testing.assert_allclose(mg.grad(y, x), 2 * x.data, rtol=1e-15)
    assert sum(written) <= 4 * T * B * D


def test_peak_memory_of_the_backward_pass_does_not_grow_with_steps_times_length() -> None:
    T, D = 400, 200
    x = Tensor(np.ones((T, D)))
    y = sum((x[t] for t in range(T)), start=Tensor(np.zeros(D))).sum()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    g = mg.grad(y, x)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert g.sum() == T * D
    assert peak < 10 * x.data.nbytes


def test_a_shared_matrix_gets_one_product_over_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The T outer products for W are one matrix product over the stacked steps: no T arrays of W's size."""
    T, H = 60, 64
    W = Tensor(np.eye(H))
    h = Tensor(np.ones((1, H)))
    for _ in range(T):
        h = (h @ W) * 0.9
    y = h.sum()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    mg.grad(y, W)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 10 * W.data.nbytes
