"""Value: the same numbers as Tensor, and as micrograd."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgradrnn as mg
from microgradrnn import Tensor, Value

UNARY = [operator.neg, operator.abs, mg.exp, mg.sin, mg.cos, mg.tanh, mg.sigmoid, mg.relu,
         lambda x: (x * x + 1).log(), lambda x: (x * x + 0.5).sqrt(), lambda x: x**3, lambda x: 2 - x, lambda x: 3 * x]
BINARY = [operator.add, operator.sub, operator.mul, lambda a, b: a / (b * b + 1), mg.maximum, mg.minimum,
          lambda a, b: (a * a + 0.1) ** (b.tanh()), lambda a, b: mg.where(bool(a > b), a.sin(), b)]


def expressions() -> st.SearchStrategy[Any]:
    """Random expressions of x, y, z as functions of the three."""
    leaves = st.sampled_from([lambda *xs, k=k: xs[k] for k in range(3)])
    return st.recursive(
        leaves,
        lambda smaller: st.one_of(
            st.builds(lambda f, a: lambda *xs: f(a(*xs)), st.sampled_from(UNARY), smaller),
            st.builds(lambda f, a, b: lambda *xs: f(a(*xs), b(*xs)), st.sampled_from(BINARY), smaller, smaller),
        ),
        max_leaves=12,
    )


numbers = st.floats(-2, 2, allow_subnormal=False)


@settings(max_examples=200)
@given(expressions(), st.tuples(numbers, numbers, numbers))
def test_values_and_tensors_give_the_same_numbers(expression: Any, at: tuple[float, ...]) -> None:
    values, tensors = [Value(x) for x in at], [Tensor(x) for x in at]
    y, y_tensor = expression(*values), expression(*tensors)
    np.testing.assert_allclose(y.data, y_tensor.data, rtol=1e-12)
    y.backward()
    y_tensor.backward()
    for v, t in zip(values, tensors, strict=True):
        np.testing.assert_allclose(v.grad, 0.0 if t.grad is None else t.grad, rtol=1e-11, atol=1e-12)
    firsts = mg.grad(y, values, create_graph=True)
    firsts_tensor = mg.grad(y_tensor, tensors, create_graph=True)
    for a, b in zip(firsts, firsts_tensor, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-11, atol=1e-12)
        if a.requires_grad and math.isfinite(a.data):
            second, second_tensor = mg.grad(a, values), mg.grad(b, tensors)
            np.testing.assert_allclose(second, second_tensor, rtol=1e-9, atol=1e-10)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=30))
def test_values_give_the_numbers_of_micrograd(program: list[tuple[int, int, int]]) -> None:
    engine = pytest.importorskip("micrograd.engine")
    operations = [operator.add, operator.mul, operator.sub, lambda a, b: a / (b * b + 1), lambda a, b: a.relu() + b,
                  lambda a, b: (a * 0.1) ** 2 + b, lambda a, b: 1 - a * 0.5]

    def run(make: Any) -> tuple[Any, list[Any]]:
        leaves = [make(x) for x in (0.7, -1.1, 0.3)]
        nodes = list(leaves)
        for f, i, j in program:
            nodes.append(operations[f](nodes[i % len(nodes)], nodes[j % len(nodes)]) * 0.5)
        nodes[-1].backward()
        return nodes[-1], nodes

    y, ours = run(Value)
    y_theirs, theirs = run(engine.Value)
    assert y.data == pytest.approx(y_theirs.data, rel=1e-13)
    for v, v_theirs in zip(ours, theirs, strict=True):
        assert v.grad == pytest.approx(v_theirs.grad, rel=1e-12, abs=1e-14)


def test_interior_gradients_of_values_are_readable() -> None:
    a, b = Value(2.0), Value(-3.0)
    c = a * b
    d = c + 1
    y = d * d
    y.backward()
    assert (y.grad, d.grad, c.grad, a.grad, b.grad) == (1.0, -10.0, -10.0, 30.0, -20.0)


def test_the_attributes_of_micrograd_are_there() -> None:
    a, b = Value(2.0), Value(-3.0)
    assert (a.data, a.grad) == (2.0, 0.0)
    c = a * b
    assert c._prev == {a, b}
    assert c._op == "*"
    assert a._op == ""
    assert repr(Value(3.0)) == "Value(data=3.0, grad=0.0)"
    c.backward()
    a.grad = 0.0
    c.backward()
    assert a.grad == -3.0
    a.data = a.data - 0.1 * a.grad
    assert a.data == 2.0 + 0.1 * 3.0


def test_data_and_gradients_of_values_are_python_floats() -> None:
    x = Value(np.float32(0.5))
    y = (np.float64(2.0) * x + 1).tanh() ** 2 / 3
    y.backward()
    assert [type(v) for v in (x.data, y.data, x.grad, y.grad)] == [float] * 4


def test_functions_of_plain_floats_just_compute() -> None:
    assert mg.tanh(0.3) == math.tanh(0.3)
    assert mg.sigmoid(0.0) == 0.5
    assert mg.maximum(1.0, 2.0) == 2.0
    assert mg.where(True, 1.0, 2.0) == 1.0


def test_value_max_and_min_share_a_tie() -> None:
    a, b = Value(1.0), Value(1.0)
    a.max(b).backward()
    assert (a.grad, b.grad) == (0.5, 0.5)
    low = Value(1.0).min(3)
    assert low.data == 1.0


def test_comparisons_of_values_are_bools_and_equality_is_identity() -> None:
    a, b = Value(1.0), Value(1.0)
    assert (a <= b) is True
    assert (a < 2) is True
    assert (a > b) is False
    assert a != b
    assert len({a, b, a}) == 2


def test_a_value_is_rounded_to_decimals() -> None:
    assert mg.round(Value(2.345), 2).data == mg.round(2.345, 2) == round(2.345, 2)
    assert mg.round(Value(-1.5)).data == mg.round(-1.5) == -2.0


@pytest.mark.parametrize("node", [Value(2.0), Tensor([1.0, 2.0])])
def test_a_plus_before_a_node_is_the_node(node: Any) -> None:
    assert +node is node
