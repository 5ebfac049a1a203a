"""Hooks see, replace and keep gradients; kept paths are parts of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.engine import Node
from tests.numerics import assert_same

both = pytest.mark.parametrize("make", [Value, Tensor], ids=["Value", "Tensor"])


@both
def test_a_hook_sees_the_complete_gradient_once(make: Any) -> None:
    x = make(3.0)
    h = x * x
    seen: list[float] = []
    h.register_hook(lambda g: seen.append(float(g)))
    (2 * h + h * h + h).backward()
    assert seen == [2 + 2 * 9 + 1]
    assert float(x.grad) == 21 * 6


@both
def test_what_a_hook_returns_takes_the_gradients_place(make: Any) -> None:
    x = make(3.0)
    h = (x * x).retain_grad()
    h.register_hook(lambda g: 10 * g)
    h.register_hook(lambda g: g + 1)  # in the order of registration
    (2 * h).backward()
    assert (float(h.grad), float(x.grad)) == (21.0, 126.0)


@both
def test_a_hook_on_a_leaf_changes_what_is_added_to_grad(make: Any) -> None:
    x = make(3.0)
    x.register_hook(lambda g: g / 2)
    y = x * 4
    y.backward()
    y.backward()
    assert float(x.grad) == 4.0
    assert float(mg.grad(y, x)) == 2.0


@both
def test_a_hook_on_the_root_changes_the_seed(make: Any) -> None:
    x = make(3.0)
    y = x * 4
    y.register_hook(lambda g: 100 * g)
    y.backward()
    assert float(x.grad) == 400.0


@both
def test_a_hook_that_returns_zero_stops_the_gradient(make: Any) -> None:
    x = make(3.0)
    h = x * 2
    h.register_hook(lambda g: 0.0 if make is Value else np.zeros_like(g))
    (h * x).backward()
    assert float(x.grad) == 6.0


@both
def test_a_hook_is_taken_away_by_what_registering_it_returned(make: Any) -> None:
    x = make(3.0)
    y = x * 4

    def double(g: Any) -> Any:
        return 2 * g

    first, second = x.register_hook(double), x.register_hook(double)
    assert float(mg.grad(y, x)) == 16.0
    first()
    assert float(mg.grad(y, x)) == 8.0
    first()  # again: nothing more happens
    assert float(mg.grad(y, x)) == 8.0
    second()
    assert float(mg.grad(y, x)) == 4.0


def test_hooks_work_in_grad_and_under_create_graph() -> None:
    x = Tensor([1.0, 2.0])
    h = x * x
    kinds: list[Any] = []
    h.register_hook(lambda g: kinds.append(type(g)))
    h.register_hook(lambda g: g * x)  # under create_graph: recorded too
    (g,) = mg.grad((h * 3).sum(), [x], create_graph=True)
    assert kinds == [Tensor]
    assert_same(g.data, 3 * 2 * x.data**2)
    assert_same(mg.grad(g.sum(), x), 12 * x.data)


def test_without_create_graph_a_hook_gets_plain_arrays_it_cannot_write_to() -> None:
    x = Tensor([1.0, 2.0])
    y = x + x * 1.0
    seen: list[Any] = []

    def write(g: Any) -> None:
        seen.append(g)
        with pytest.raises(ValueError, match="read-only"):
            g[0] = 100.0

    y.register_hook(write)
    x.register_hook(write)
    y.sum().backward()
    assert all(type(g) is np.ndarray for g in seen)
    assert len(seen) == 2
    assert_same(x.grad, [2.0, 2.0])
    x.grad[0] = 5.0  # the gradient itself is the user's


def test_a_node_returned_by_a_hook_counts_as_its_data() -> None:
    x = Tensor([1.0, 2.0])
    h = x * 1.0
    h.register_hook(lambda g: Tensor(g) * 3)
    h.sum().backward()
    assert_same(x.grad, [3.0, 3.0])
    assert isinstance(x.grad, np.ndarray)


@pytest.mark.parametrize("bad", [np.ones(3), 1.0, np.ones((1, 2))])
def test_a_hook_must_return_the_shape_of_the_gradient(bad: Any) -> None:
    x = Tensor([1.0, 2.0])
    h = x * 1.0
    h.register_hook(lambda g: bad)
    with pytest.raises(ValueError, match="shape"):
        h.sum().backward()
    assert x.grad is None


def test_an_error_in_a_hook_reaches_the_caller_and_leaves_no_gradient() -> None:
    x, z = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    h = x * 1.0

    def stop(g: Any) -> None:
        raise KeyboardInterrupt

    h.register_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        (z + h).sum().backward()
    assert x.grad is None
    assert z.grad is None


def test_the_hook_of_a_slice_sees_one_gradient_of_its_shape() -> None:
    x = Tensor(np.arange(6.0).reshape(3, 2))
    seen: list[Any] = []
    x.register_hook(seen.append)
    (x[0] * x[2] + x[0]).sum().backward()
    [g] = seen
    assert_same(g, np.array([[5.0, 6.0], [0, 0], [0, 1.0]]))


def test_hooks_of_the_parameters_of_a_net_see_the_sum_over_time() -> None:
    cell = nn.RNNCell(3, 4, rng=0)
    seen: dict[str, Any] = {}
    for name, p in cell.named_parameters():
        p.register_hook(lambda g, name=name: seen.update({name: np.array(g)}))
    nn.unroll(cell, np.ones((5, 2, 3)))[0].sum().backward()
    assert set(seen) == {name for name, _ in cell.named_parameters()}
    for name, p in cell.named_parameters():
        assert_same(seen[name], p.grad)


def test_retain_grad_keeps_the_gradient_of_a_computed_tensor() -> None:
    x = Tensor([1.0, 2.0])
    h = x * x
    other = x * 3
    kept = h.retain_grad()
    assert kept is h
    (h * 2 + other).sum().backward()
    assert_same(h.grad, [2.0, 2.0])
    assert other.grad is None
    (h * 5).sum().backward()
    assert_same(h.grad, [5.0, 5.0])  # set, not added
    assert h.grad.flags.writeable
    with_graph = x * 1.0
    with_graph.retain_grad()
    mg.backward((with_graph**2).sum(), create_graph=True)
    assert isinstance(with_graph.grad, Tensor)


def test_retained_gradients_are_those_after_the_hooks() -> None:
    x = Tensor([1.0])
    h = (x * 1.0).retain_grad()
    h.register_hook(lambda g: 7 * g)
    h.sum().backward()
    assert_same(h.grad, [7.0])


def test_values_keep_their_gradients_anyway() -> None:
    x = Value(2.0)
    h = x * x
    (h * 3).backward()
    assert (h.retains_grad, h.grad) == (True, 3.0)


# ----------------------------------------------------------------------------------------- keep=: some paths only
def lstm_loss() -> tuple[Any, list[Any]]:
    rng = np.random.default_rng(0)
    cell = nn.LSTMCell(3, 4, rng=1)
    x = Tensor(rng.standard_normal((6, 2, 3)))
    hs, (h, c) = nn.unroll(cell, x)
    return (hs * rng.standard_normal(hs.shape)).sum() + (c * c).sum() + h.sum(), [x, *cell.parameters()]


def scalar_loss() -> tuple[Any, list[Any]]:
    x, w = Value(0.5), Value(0.9)
    h = x
    for t in range(5):
        with mg.scope(step=t):
            h = (w * h + h * h).tanh() + w
    return h, [x, w]


losses = pytest.mark.parametrize("build", [lstm_loss, scalar_loss])


def gradients(build: Any, **options: Any) -> list[Any]:
    loss, leaves = build()
    mg.backward(loss, **options)
    return [np.zeros_like(x.data) if x.grad is None else x.grad for x in leaves]


@losses
def test_keeping_every_message_is_the_ordinary_gradient(build: Any) -> None:
    asked = []
    kept = gradients(build, keep=lambda node, k: asked.append((node, k)) is None)
    for a, b in zip(kept, gradients(build), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(asked) == len(set(asked)) > 20


@losses
def test_keeping_nothing_leaves_no_gradient(build: Any) -> None:
    for g in gradients(build, keep=lambda node, k: False):
        assert not np.any(g)


@losses
def test_cutting_each_input_of_the_same_node_in_turn_adds_up_to_the_whole(build: Any) -> None:
    """All paths from the root to a leaf go through the root; by which of its inputs they leave is a partition."""
    loss, leaves = build()
    inner = loss
    while sum(x is not None and x.requires_grad for x in inner.inputs) < 2:
        inner = next(x for x in inner.inputs if x is not None and x.requires_grad)
    parts: list[Any] = []
    for kept in range(len(inner.inputs)):
        for x in leaves:
            x.zero_grad()
        mg.backward(loss, keep=lambda node, k, kept=kept: node is not inner or k == kept)
        parts.append([np.zeros_like(x.data) if x.grad is None else np.array(x.grad) for x in leaves])
    assert len(parts) >= 2
    for pieces, whole in zip(zip(*parts, strict=True), gradients(build), strict=True):
        assert_same(sum(pieces), whole, rel=1e-12)


def test_gates_and_carry_of_an_lstm_are_parts_of_the_whole() -> None:
    """d c_T / d c_0 along the carry alone is the product of the forget gates; with every detour it is the gradient."""
    T, rng = 5, np.random.default_rng(0)
    h0, c0 = Tensor(rng.standard_normal((2, 4)) * 0.5), Tensor(rng.standard_normal((2, 4)))
    _, (_, c) = nn.unroll(nn.LSTMCell(3, 4, rng=1), rng.standard_normal((T, 2, 3)), (h0, c0))
    loss = (c * rng.standard_normal(c.shape)).sum()

    carry: list[tuple[Any, int]] = []  # from c_T down: into the product f * c of a step, and on to the c before
    gates = []
    state = c
    while state is not c0:
        [(k, product)] = [(k, x) for k, x in enumerate(state.inputs) if x.inputs[0].symbol == "f"]
        j, before = next((j, x) for j, x in enumerate(product.inputs) if x.role == "cell" or x is c0)
        gates.append(product.inputs[1 - j].data)
        carry += [(state, k), (product, j)]
        state = before
    assert len(carry) == 2 * T

    def part(first_detour: int) -> Any:
        """Along the carry, until at this place of it any other way is taken."""
        so_far = carry[:first_detour]
        nodes = {node for node, _ in so_far}
        turn = carry[first_detour] if first_detour < len(carry) else None
        c0.zero_grad()
        mg.backward(loss, keep=lambda node, k: (node, k) in so_far if node in nodes else (node, k) != turn)
        return np.zeros(c0.shape) if c0.grad is None else np.array(c0.grad)

    straight, detours = part(len(carry)), [part(n) for n in range(len(carry))]
    assert_same(straight, np.prod(gates, axis=0) * mg.grad(loss, c), rel=1e-12)
    assert_same(straight + sum(detours), mg.grad(loss, c0), rel=1e-12)
    assert np.abs(straight).max() > 0.01
    assert np.abs(sum(detours)).max() > 0.001


def test_keep_by_time_step_partitions_the_gradient_of_shared_weights() -> None:
    """The weights are used once a step: keeping one step's use at a time, the parts add up to the whole."""
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((7, 2, 4)), Tensor(rng.standard_normal((4, 4)) * 0.5)
    h: Any = np.zeros((2, 4))
    for t in range(7):
        with mg.scope(step=t):
            h = (h @ W + x[t]).tanh()
    loss = (h * h).sum()

    def part(step: int) -> Any:
        W.zero_grad()
        mg.backward(loss, keep=lambda node, k: node.inputs[k] is not W or node.scope.step == step)
        return 0.0 if W.grad is None else np.array(W.grad)

    parts = [part(t) for t in range(7)]
    W.zero_grad()
    loss.backward()
    assert_same(sum(parts), W.grad, rel=1e-12)
    assert all(np.abs(p).max() > 0 for p in parts[1:])


def test_a_message_that_is_not_kept_is_not_observed() -> None:
    x = Value(3.0)
    y = x * x
    seen: list[Any] = []
    mg.backward(y, keep=lambda node, k: k == 1, observe=lambda node, k, source, g: seen.append((k, g)))
    assert seen == [(1, 3.0)]
    assert x.grad == 3.0


def test_keep_works_with_create_graph() -> None:
    x = Value(3.0)
    mg.backward(x * x * x, keep=lambda node, k: k == 0, create_graph=True)  # x * x * x is (x * x) * x
    assert isinstance(x.grad, Node)
    assert x.grad.data == 9.0
    assert mg.grad(x.grad, x) == 6.0
