"""float32 and float64 are kept as given; everything else becomes float64 or is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value


@pytest.mark.parametrize("given", [[1, 2, 3], np.array([1, 2, 3]), np.array([True, False]), 3, np.int32(4), [[1], [2]]])
def test_integers_and_bools_become_float64(given: Any) -> None:
    x = Tensor(given)
    assert x.dtype == np.float64
    assert x.shape == np.shape(given)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * np.asarray(given, dtype=float))


def test_integer_divisions_and_negative_powers_are_real() -> None:
    x = Tensor([1, 2, 4])
    np.testing.assert_array_equal((1 / x).data, [1, 0.5, 0.25])
    np.testing.assert_array_equal((x**-1).data, [1, 0.5, 0.25])
    np.testing.assert_array_equal(mg.grad((x**-1).sum(), x), [-1, -0.25, -0.0625])
    v = Value(2)
    assert isinstance(v.data, float)
    assert (v**-1).data == 0.5


@pytest.mark.parametrize("constant", [2, 2.5, True])
def test_a_python_number_takes_the_dtype_of_the_tensor(constant: float) -> None:
    x = Tensor(np.array([1, 2, 3], dtype=np.float32))
    for y in (x * constant, constant * x, x + constant, constant - x, x / constant, constant / x, x**constant,
              constant**x, mg.maximum(x, constant), mg.where(np.array([True, False, True]), x, constant)):
        assert y.dtype == np.float32
        assert mg.grad(y.sum(), x).dtype == np.float32


def test_a_mixed_product_is_float64_and_each_gradient_has_the_dtype_of_its_input() -> None:
    a = Tensor(np.full((2, 3), 0.1, dtype=np.float32))
    b = Tensor(np.full((3, 4), 0.2))
    y = (a @ b).tanh()
    assert y.dtype == np.float64
    y.sum().backward()
    assert a.grad.dtype == np.float32
    assert b.grad.dtype == np.float64
    ga, gb = mg.grad(y.sum(), [a, b], create_graph=True)
    assert (ga.dtype, gb.dtype) == (np.float32, np.float64)


def test_sums_of_mixed_messages_keep_the_dtype_of_the_input() -> None:
    x = Tensor(np.array([1.0, 2.0], dtype=np.float32))
    y = x * np.array([1.0, 2.0]) + x * x + x.astype(np.float64) * 3
    assert y.dtype == np.float64
    g = mg.grad(y.sum(), x)
    assert g.dtype == np.float32
    np.testing.assert_array_equal(g, np.array([1 + 2 + 3, 2 + 4 + 3], dtype=np.float32))


def test_astype_brings_the_gradient_back_in_the_precision_of_its_input() -> None:
    x = Tensor(np.array([1.0, 2.0], dtype=np.float32))
    y = x.astype(np.float64)
    assert y.dtype == np.float64
    assert mg.grad((y * y).sum(), x).dtype == np.float32
    with pytest.raises(TypeError, match="float32 or float64"):
        x.astype(np.int64)


def test_reductions_and_indexing_of_float32_stay_float32() -> None:
    x = Tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    for y in (x.sum(), x.mean(), x.max(), x.mean(axis=0), mg.logsumexp(x), x[0, 0], x[[0, 0], 1], mg.softmax(x)[1]):
        assert y.dtype == np.float32
        assert mg.grad(y.sum(), x).dtype == np.float32


@pytest.mark.parametrize("bad", [np.array([1j]), 1j, np.array([1.0], dtype=np.float16), "text", None, [[1], [2, 3]]])
def test_what_is_no_array_of_floats_is_refused(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Tensor(bad)


def test_complex_numbers_are_refused_wherever_they_come_in() -> None:
    x = Tensor([1.0, 2.0])
    for use in (lambda: x * 1j, lambda: np.array([1j, 2j]) * x, lambda: Value(1j), lambda: Value(2.0) * 1j,
                lambda: Tensor([1j])):
        with pytest.raises(TypeError):
            use()


@pytest.mark.parametrize("bad", ["3.5", b"1", None, [1.0], "x"])
def test_a_value_is_made_from_a_number_only(bad: Any) -> None:
    with pytest.raises(TypeError, match="one real number"):
        Value(bad)


@pytest.mark.parametrize("left", [np.arange(6.0).reshape(2, 3), np.arange(6).reshape(2, 3)])
def test_an_ndarray_on_the_left_is_a_constant_operand(left: np.ndarray) -> None:
    x = Tensor(np.full((2, 3), 2.0))
    for y, slope in [(left + x, np.ones((2, 3))), (left - x, -np.ones((2, 3))), (left * x, left),
                     (left / x, -left / 4.0), (np.float64(3) * x, np.full((2, 3), 3.0))]:
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(mg.grad(y.sum(), x), slope, rtol=1e-15)
    w = Tensor(np.full((3, 4), 0.5))
    y = left @ w
    assert isinstance(y, Tensor)
    np.testing.assert_array_equal(mg.grad(y.sum(), w), np.broadcast_to(left.sum(0)[:, None], (3, 4)))


def test_a_list_beside_a_tensor_is_a_constant_array() -> None:
    x = Tensor([1.0, 2.0])
    np.testing.assert_array_equal(([10, 20] * x).data, [10, 40])


def test_no_constant_makes_a_tensor_of_another_precision() -> None:
    x = Tensor([1.0, 2.0])
    for constant in (np.ones(2, np.longdouble), np.ones(2, np.float16), np.ones(2, np.int8)):
        try:
            y = x * constant
        except TypeError:
            continue  # refusing is as good
        assert y.dtype == np.float64


def test_a_tensor_of_integers_is_refused_where_they_would_round_what_is_given() -> None:
    for dtype in (int, np.int32, bool, "f2"):
        with pytest.raises(TypeError, match="a Tensor holds float32 or float64, got"):
            Tensor([1.7, 2.2], dtype=dtype)
    assert Tensor([1, 2], dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize(("own", "other"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_a_leaf_keeps_its_precision_when_it_is_rebound(own: Any, other: Any) -> None:
    t = Tensor([1.0, 2.0], dtype=own)
    for bad in (np.ones(2, other), t.data * np.ones(2, np.float64) if own is np.float32 else np.ones(2, other)):
        with pytest.raises(TypeError, match=r"Convert it: t\.data = a\.astype"):
            t.data = bad
    assert t.data.tolist() == [1.0, 2.0]
    for good in ([3.0, 4.0], np.array([3, 4]), np.array([3, 4], own), np.array([True, False])):
        t.data = good
        assert t.dtype == own
        np.testing.assert_array_equal(t.data, good)
