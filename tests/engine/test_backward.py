"""The reverse pass: what accumulates, what is set, what is left alone, and in what order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value
from microgradrnn.engine.backward import ancestors
from tests.numerics import assert_same, finite_differences


def test_a_second_backward_doubles_leaves_and_sets_the_interior() -> None:
    a, b = Value(2.0), Value(-3.0)
    c = a * b
    y = c * c + a
    y.backward()
    once = (a.grad, b.grad, c.grad, y.grad)
    y.backward()
    assert (a.grad, b.grad) == (2 * once[0], 2 * once[1])
    assert (c.grad, y.grad) == once[2:]


def test_a_second_backward_doubles_the_gradient_of_a_tensor() -> None:
    w = Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    y = (w * w).sum()
    y.backward()
    y.backward()
    assert_same(w.grad, 4 * w.data)
    w.zero_grad()
    assert w.grad is None


def test_losses_of_two_graphs_add_up_in_a_shared_leaf() -> None:
    w = Tensor([1.0, 2.0])
    (w * 3).sum().backward()
    (w * w).sum().backward()
    assert_same(w.grad, 3 + 2 * w.data)


def test_computed_tensors_keep_no_gradient() -> None:
    x = Tensor([1.0, 2.0])
    y = x * 2
    y.sum().backward()
    assert y.grad is None


@pytest.mark.parametrize("make", [Value, Tensor])
def test_a_node_used_twice_by_one_operation_gets_both_messages(make: Any) -> None:
    x = make(3.0)
    for y, slope in [(x * x, 6.0), (x + x, 2.0), (x - x, 0.0), (x / x, 0.0), (mg.maximum(x, x), 1.0)]:
        assert float(mg.grad(y, x)) == slope


@pytest.mark.parametrize("make", [Value, Tensor])
def test_paths_of_a_diamond_are_summed_once_each(make: Any) -> None:
    x = make(1.0)
    y = x
    for _ in range(60):  # 2^60 paths: only a pass that takes each node once ever ends
        y = y * 0.5 + y * 0.5
    assert float(mg.grad(y, x)) == 1.0


@pytest.mark.parametrize("make", [Value, Tensor])
def test_a_chain_of_100_000_nodes_needs_no_recursion(make: Any) -> None:
    x = make(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y.backward()
    assert float(x.grad) == 1.0
    assert float(mg.grad(y, x)) == 1.0
    del y


def test_a_recorded_backward_pass_of_a_long_chain_needs_no_recursion() -> None:
    x = Value(1.0)
    y = x
    for _ in range(5_000):
        y = y.sin()
    slope = mg.grad(y, x, create_graph=True)
    assert slope.requires_grad
    mg.grad(slope, x)


def test_grad_touches_no_grad_attribute() -> None:
    a, w = Value(2.0), Tensor([1.0, 2.0])
    c = a * 3
    mg.grad(c * c, [a, c])
    mg.grad((w * w).sum(), w)
    assert (a.grad, c.grad, w.grad) == (0.0, 0.0, None)


def test_grad_with_respect_to_computed_nodes() -> None:
    x = Tensor([[1.0, 2.0, 3.0]])
    h = (x * 2).tanh()
    y = (h * h).sum() + h.sum()
    g_h, g_y = mg.grad(y, [h, y])
    assert_same(g_h, 2 * h.data + 1)
    assert_same(g_y, np.ones(()))


def test_grad_with_respect_to_an_ancestor_and_its_descendant_at_once() -> None:
    x = Value(0.5)
    h = x.tanh()
    y = h * h * x
    g_x, g_h = mg.grad(y, [x, h])
    assert g_h == 2 * h.data * x.data
    assert g_x == pytest.approx(g_h * (1 - h.data**2) + h.data**2, rel=1e-15)


def test_grad_is_zero_where_the_output_does_not_depend_on_the_input() -> None:
    x, other = Tensor([1.0, 2.0]), Tensor(np.ones((3, 2), dtype=np.float32))
    _, g_other = mg.grad(x.sum(), [x, other])
    assert_same(g_other, np.zeros((3, 2)))
    assert g_other.dtype == np.float32
    assert mg.grad(Value(1.0) * 2, Value(3.0)) == 0.0
    node = mg.grad(x.sum(), other, create_graph=True)
    assert_same(node.data, np.zeros((3, 2)))


def test_grad_visits_only_what_leads_to_the_inputs() -> None:
    x, other = Value(0.5), Value(2.0)
    messages: list[Any] = []
    y = x.tanh() * other.exp().sin()
    list(mg.engine.reverse(y, targets=[x], observe=lambda node, k, source, g: messages.append(source)))
    assert other not in messages
    assert x in messages


def test_what_leads_to_the_targets_is_all_that_a_search_from_every_node_finds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        nodes = [Value(x) for x in rng.uniform(-1, 1, 3)]
        for _ in range(40):
            i, j = rng.integers(max(len(nodes) - 12, 0), len(nodes), 2)
            nodes.append(nodes[i] * nodes[j] if rng.random() < 0.7 else nodes[i].tanh())
        root, targets = nodes[-1], [nodes[k] for k in rng.integers(0, len(nodes), 2)]
        everything = ancestors(root)
        expected = {node for node in everything if any(x in ancestors(node) for x in targets)}
        assert set(ancestors(root, targets)) == expected


def test_grad_of_one_input_is_one_gradient_and_of_a_list_a_tuple() -> None:
    x, z = Value(2.0), Value(3.0)
    assert mg.grad(x * z, x) == 3.0
    assert mg.grad(x * z, [x]) == (3.0,)
    assert mg.grad(x * z, (z, x, x)) == (2.0, 3.0, 3.0)


def test_what_grad_returns_is_the_callers_own() -> None:
    x, z = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    gx, gz = mg.grad(x + z, [x, z], seed=np.ones(2))
    gx += 10
    assert_same(gz, np.ones(2))
    y = (x + z).sum()
    y.backward()
    x.grad += 10
    assert_same(z.grad, np.ones(2))


def test_a_seed_is_the_cotangent_of_the_root() -> None:
    A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    x = Tensor([1.0, -1.0, 2.0])
    seed = np.array([10.0, 0.5])
    y = mg.matmul(A, x)
    assert_same(mg.grad(y, x, seed=seed), seed @ A)
    y.backward(seed)
    assert_same(x.grad, seed @ A)
    v = Value(2.0)
    (v * 3).backward(seed=10)
    assert v.grad == 30.0


def test_a_root_of_one_entry_needs_no_seed_whatever_its_shape() -> None:
    x = Tensor([[2.0]])
    (x * x).backward()
    assert_same(x.grad, np.array([[4.0]]))


def test_backward_on_a_leaf_gives_one() -> None:
    x, v = Tensor(2.0), Value(2.0)
    x.backward()
    v.backward()
    assert (float(x.grad), v.grad) == (1.0, 1.0)


def test_detach_stops_the_gradient() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    y = x * 2
    z = (y.detach() * x).sum()
    assert_same(mg.grad(z, x), y.data)
    assert not y.detach().requires_grad
    assert mg.grad(y.detach() * 1 + x, x, seed=np.ones(3)).tolist() == [1, 1, 1]


def test_constants_take_no_gradient_and_leave_no_graph() -> None:
    c = Tensor([1.0, 2.0], requires_grad=False)
    y = c * 2 + 1
    assert not y.requires_grad
    assert y.inputs == ()
    x = Tensor([3.0, 4.0])
    z = (x * y).sum()
    z.backward()
    assert c.grad is None
    assert_same(x.grad, y.data)


def test_no_grad_and_enable_grad_nest_and_survive_errors() -> None:
    x = Value(2.0)
    with mg.no_grad():
        with mg.enable_grad():
            inner = x * 2
        outer = x * 2
    with pytest.raises(RuntimeError, match="on purpose"), mg.no_grad():
        raise RuntimeError("on purpose")
    after = x * 2
    assert [v.requires_grad for v in (inner, outer, after)] == [True, False, True]


def test_third_derivative() -> None:
    for x in (Value(0.7), Tensor(0.7)):
        y = x.sin() * x**2
        for _ in range(3):
            y = mg.grad(y, x, create_graph=True)
        expected = 6 * np.cos(0.7) - 6 * 0.7 * np.sin(0.7) - 0.7**2 * np.cos(0.7)
        assert y.item() == pytest.approx(expected, rel=1e-13)


def test_backward_with_create_graph_leaves_gradients_that_can_be_differentiated() -> None:
    x = Tensor([0.3, -0.4])
    mg.backward((x.tanh() * x).sum(), create_graph=True)
    first = x.grad
    assert isinstance(first, Tensor)
    second = mg.grad(first.sum(), x)
    t = np.tanh(x.data)
    assert_same(second, 2 * (1 - t * t) - 2 * x.data * t * (1 - t * t))


def test_gradient_of_a_gradient_penalty_equals_finite_differences() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) * 0.5 for shape in [(3, 4), (4, 5), (5,)]]

    def penalty(*xs: Any) -> Any:
        x, W, v = xs
        y = (mg.softmax(mg.concat([x @ W, (x @ W).tanh()], axis=1)[:, 2:7]) @ v).sum()
        return sum((g * g).sum() for g in mg.grad(y, xs, create_graph=True))

    nodes = [Tensor(a) for a in arrays]
    gradients = mg.grad(penalty(*nodes), nodes)
    numeric = finite_differences(lambda *xs: penalty(*map(Tensor, xs)).item(), arrays)
    for g, expected in zip(gradients, numeric, strict=True):
        assert_same(g, expected, rel=1e-8)


@pytest.mark.parametrize("kinds", ["dense, dense, product", "product, dense, product", "dense, dense, scatter",
                                   "scatter, dense, scatter", "product, scatter, dense", "scatter, product, product",
                                   "scatter, scatter, product, dense", "product, product, scatter, dense, product"])
def test_messages_of_all_kinds_add_up_in_any_order(kinds: str) -> None:
    W = Tensor(np.arange(12.0).reshape(3, 4))
    left = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])
    uses = {
        "dense": (lambda: (W * 2).sum(), np.full((3, 4), 2.0)),
        "product": (lambda: mg.matmul(left, W).sum(), np.broadcast_to(left.sum(0)[:, None], (3, 4))),
        "scatter": (lambda: W[1].sum() * 5, np.array([[0.0] * 4, [5.0] * 4, [0.0] * 4])),
    }
    y: Any = 0.0
    for kind in reversed(kinds.split(", ")):  # messages arrive youngest consumer first
        y = y + uses[kind][0]()
    assert_same(mg.grad(y, W), sum(uses[kind][1] for kind in kinds.split(", ")))


def test_serial_numbers_grow_from_inputs_to_outputs() -> None:
    x = Value(1.0)
    y = (x * 2 + 1).tanh()
    todo = [y]
    while todo:
        node = todo.pop()
        for source in node.inputs:
            if source is not None:
                assert source.serial < node.serial
                todo.append(source)
