"""Watching the reverse pass: the gradient of a node is the sum of the messages it receives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.engine import Deferred


def watched(root: Any, **options: Any) -> list[tuple[Any, int, Any, Any]]:
    """Every message, as (consumer, k, input, array)."""
    messages: list[Any] = []
    mg.backward(root, observe=lambda node, k, x, g: messages.append((node, k, x, g)), **options)
    return messages


def edges(root: Any) -> set[tuple[int, int]]:
    """(serial of the consumer, k) of every edge that a gradient flows along."""
    found: set[tuple[int, int]] = set()
    todo, seen = [root], {root}
    while todo:
        node = todo.pop()
        for k, x in enumerate(node.inputs):
            if x is not None and x.requires_grad:
                found.add((node.serial, k))
                if x not in seen:
                    seen.add(x)
                    todo.append(x)
    return found


def lstm_loss() -> Any:
    rng = np.random.default_rng(0)
    layer = nn.LSTM(4, 5, rng=1)
    hs, _ = layer(Tensor(rng.standard_normal((6, 3, 4))))
    return (hs * rng.standard_normal((6, 3, 5))).sum()


def scalar_loss() -> Any:
    x, w = Value(0.5), Value(0.9)
    h = x
    for _ in range(5):
        h = (w * h + h * h).tanh()
    return h


@pytest.mark.parametrize("build", [lstm_loss, scalar_loss])
def test_every_edge_is_seen_exactly_once(build: Any) -> None:
    root = build()
    seen = [(node.serial, k) for node, k, _, _ in watched(root)]
    assert len(seen) == len(set(seen))
    assert set(seen) == edges(root)


@pytest.mark.parametrize("build", [lstm_loss, scalar_loss])
def test_messages_come_youngest_consumer_first_and_inputs_in_order(build: Any) -> None:
    order = [(-node.serial, k) for node, k, _, _ in watched(build())]
    assert order == sorted(order)
    assert len(order) > 20


@pytest.mark.parametrize("build", [lstm_loss, scalar_loss])
def test_the_gradient_of_a_node_is_the_sum_of_its_messages(build: Any) -> None:
    root = build()
    messages = watched(root)
    sums: dict[Any, Any] = {}
    for _, _, x, message in messages:
        assert np.shape(np.asarray(message)) == np.shape(x.data)
        sums[x] = sums.get(x, 0.0) + np.asarray(message)
    nodes = list(sums)
    for node, g in zip(nodes, mg.grad(root, nodes), strict=True):
        np.testing.assert_allclose(sums[node], g, rtol=1e-13, atol=1e-15)


def test_a_square_is_two_messages() -> None:
    x = Value(3.0)
    y = x * x
    assert [(node, k, source, g) for node, k, source, g in watched(y)] == [(y, 0, x, 3.0), (y, 1, x, 3.0)]


def test_watching_changes_no_gradient() -> None:
    def gradients(**options: Any) -> list[Any]:
        rng = np.random.default_rng(0)
        layer = nn.GRU(4, 5, rng=1)
        hs, _ = layer(rng.standard_normal((6, 3, 4)))
        mg.backward((hs * hs).sum(), **options)
        return [p.grad for p in layer.parameters()]

    for a, b in zip(gradients(), gradients(observe=lambda *message: None), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_deferred_messages_work_out_to_what_they_stand_for() -> None:
    x = Tensor(np.arange(12.0).reshape(3, 4))
    left = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 1.0]])
    ids = np.array([0, 2, 0])
    cases = [
        (x[1], np.array([[0.0] * 4, [1.0] * 4, [0.0] * 4])),
        (x[ids, 1], np.array([[0, 2.0, 0, 0], [0] * 4, [0, 1.0, 0, 0]])),
        (x[:, ::-2], np.array([[0.0, 1.0, 0.0, 1.0]] * 3)),
        (mg.matmul(left, x), np.broadcast_to(left.sum(0)[:, None], (3, 4))),
    ]
    for y, expected in cases:
        [(_, _, source, message)] = [m for m in watched(y, seed=np.ones(y.shape)) if m[2] is x]
        assert source is x
        assert isinstance(message, Deferred)
        assert (message.shape, message.dtype) == (x.shape, x.dtype)
        np.testing.assert_array_equal(message.dense(), expected)
        np.testing.assert_array_equal(np.asarray(message), expected)
        assert message.norm() == pytest.approx(np.linalg.norm(expected), rel=1e-14)


def test_the_messages_to_a_shared_matrix_are_one_a_step() -> None:
    H, T = 4, 7
    rng = np.random.default_rng(0)
    W, h = Tensor(rng.standard_normal((H, H)) * 0.4), Tensor(rng.standard_normal((2, H)))
    for t in range(T):
        with mg.scope(step=t):
            h = (h @ W).tanh()
    to_W = [(node.scope.step, np.asarray(g)) for node, _, x, g in watched((h * h).sum()) if x is W]
    assert [t for t, _ in to_W] == list(range(T))[::-1]
    np.testing.assert_allclose(sum(g for _, g in to_W), W.grad, rtol=1e-13)


def test_the_gradient_of_a_shared_matrix_is_the_sum_over_untied_copies() -> None:
    H, T = 4, 7
    rng = np.random.default_rng(0)
    start, matrix = rng.standard_normal((2, H)), rng.standard_normal((H, H)) * 0.4

    def loss(matrices: list[Tensor]) -> Any:
        h: Any = start
        for W in matrices:
            h = (h @ W).tanh()
        return (h * h).sum()

    shared, copies = Tensor(matrix), [Tensor(matrix) for _ in range(T)]
    tied = mg.grad(loss([shared] * T), shared)
    np.testing.assert_allclose(tied, sum(mg.grad(loss(copies), copies)), rtol=1e-13)


def test_an_error_in_the_observer_reaches_the_caller_and_leaves_no_gradient() -> None:
    x = Tensor([1.0, 2.0])

    def stop(*message: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mg.backward((x * x).sum(), observe=stop)
    assert x.grad is None
