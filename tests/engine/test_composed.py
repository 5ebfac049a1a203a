"""Functions made of others: what NumPy does at the edges, and what they say when they are called wrongly."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value
from microgradrnn.engine.functions import INSTEAD
from tests.numerics import assert_same

X = np.arange(24.0).reshape(2, 3, 4) / 7


@pytest.mark.parametrize("f", [mg.deg2rad, mg.rad2deg, mg.nan_to_num], ids=lambda f: f.__name__)
def test_numbers_and_values_do_too(f: Any) -> None:
    x = Value(0.3)
    y = f(x)
    assert isinstance(y, Value)
    assert y.data == f(0.3) == getattr(np, f.__name__)(0.3)
    y.backward()
    assert x.grad == pytest.approx(f(1.0), rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinities_become_the_largest_numbers_of_the_dtype_and_no_gradient_flows_there(dtype: Any) -> None:
    data = np.array([np.nan, np.inf, -np.inf, 0.5], dtype)
    x = Tensor(data)
    y = mg.nan_to_num(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.data, np.nan_to_num(data))
    y.backward(np.ones(4, dtype))
    np.testing.assert_array_equal(x.grad, [0, 0, 0, 1])
    assert mg.nan_to_num(Value(np.nan), nan=2.0).data == 2.0


@pytest.mark.parametrize("data", [np.arange(3), np.array([True, False]), np.uint8(7)])
def test_integers_and_bools_are_numbers_already(data: Any) -> None:
    y = mg.nan_to_num(data)
    assert y.dtype == data.dtype
    np.testing.assert_array_equal(y, data)
    assert not np.shares_memory(y, data)


def test_a_comparison_in_a_compiled_function_is_a_number_already() -> None:
    f = mg.compile(lambda x: mg.nan_to_num(x > 0) + mg.nan_to_num(x))
    assert f(np.array([1.0, np.nan])).tolist() == [2.0, 0.0]


def test_a_nan_that_was_replaced_stays_out_of_every_derivative() -> None:
    x = Tensor([0.0, 4.0])
    (slope,) = mg.grad(mg.nan_to_num(mg.sqrt(x - 1.0)).sum(), [x], create_graph=True)
    np.testing.assert_allclose(slope.data, [0.0, 0.5 / np.sqrt(3)])
    np.testing.assert_allclose(mg.grad(slope.sum(), x), [0.0, -0.25 / np.sqrt(3) ** 3])


def test_select_takes_the_first_condition_that_holds() -> None:
    x = Value(2.0)
    y = mg.select([x < 0, x > 1, x > 0], [0.0, x * x, x])
    y.backward()
    assert (y.data, x.grad) == (4.0, 4.0)
    other = mg.select([x < 0], [x], default=7.0)
    other.backward()
    assert (other.data, x.grad) == (7.0, 4.0)


@pytest.mark.parametrize("shapes", [((), ()), ((3,), ()), ((2, 1), (3,)), ((0,), (0,))])
@pytest.mark.parametrize("num", [0, 1, 4])
@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("axis", [0, -1])
def test_linspace_equals_numpys(shapes: Any, num: int, endpoint: bool, axis: int) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape) for shape in shapes)
    expected = np.linspace(a, b, num, endpoint, axis=axis)
    assert_same(mg.linspace(a, b, num, endpoint, axis=axis), expected, rel=1e-15)
    ours, theirs = Tensor(a), Tensor(b)
    y = mg.linspace(ours, theirs, num, endpoint, axis=axis)
    assert_same(y.data, expected, rel=1e-15)
    to_a, to_b = mg.grad(y, [ours, theirs], seed=np.ones(y.shape))
    t = np.linspace(0, 1, num, endpoint)
    copies = [np.broadcast_shapes(*shapes), *shapes]
    sizes = [int(np.prod(shape)) for shape in copies]
    np.testing.assert_allclose(to_a, np.full(shapes[0], (1 - t).sum() * sizes[0] / max(sizes[1], 1)), rtol=1e-14)
    np.testing.assert_allclose(to_b, np.full(shapes[1], t.sum() * sizes[0] / max(sizes[2], 1)), rtol=1e-14)


def test_linspace_ends_exactly_at_its_ends_and_keeps_the_precision() -> None:
    y = mg.linspace(Tensor(np.float32(0.1)), 0.7, 7)
    assert y.dtype == np.float32
    assert y.data[0] == np.float32(0.1)
    assert y.data[-1] == np.float32(0.7)
    assert mg.linspace(0, 1).shape == (50,)
    assert mg.linspace(np.uint8(9), np.uint8(3), 3).tolist() == [9.0, 6.0, 3.0]


@pytest.mark.parametrize("c", [3.3, 0.1, -7e-5])
def test_between_equal_ends_all_points_are_equal(c: float) -> None:
    assert set(mg.linspace(c, c, 50).tolist()) == {c}
    assert set(mg.linspace(Tensor(c), c, 50, endpoint=False).data.tolist()) == {c}
    ends = [(0.1, 0.7), (1e16, 1.0), (-0.3, 0.1)]
    assert [mg.linspace(Tensor(a), b, 7).data[-1] for a, b in ends] == [b for _, b in ends]


@pytest.mark.parametrize("name", ["flipud", "fliplr"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (0, 3), (2, 0)])
def test_flips_equal_numpys(name: str, shape: tuple[int, ...]) -> None:
    x = X.reshape(-1)[: int(np.prod(shape))].reshape(shape)
    assert_same(getattr(Tensor(x), name)().data, getattr(np, name)(x), rel=0)


@pytest.mark.parametrize(("name", "shape", "cut"), [
    ("hsplit", (6,), 3), ("hsplit", (2, 4, 3), [1]), ("hsplit", (3, 0), 1), ("vsplit", (4, 3), 2),
    ("vsplit", (4, 3), [1, 1, -1]), ("dsplit", (2, 3, 4), [3]), ("dsplit", (1, 2, 4, 2), 4)])  # fmt: skip
def test_splits_equal_numpys(name: str, shape: tuple[int, ...], cut: Any) -> None:
    x = X.reshape(-1)[: int(np.prod(shape))].reshape(shape)
    expected = getattr(np, name)(x, cut)
    ours = getattr(mg, name)(Tensor(x), cut)
    assert len(ours) == len(expected)
    for part, theirs in zip(ours, expected, strict=True):
        assert_same(part.data, theirs, rel=0)


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: mg.select([], []), ValueError, "select: one condition for each choice"),
    (lambda: mg.select([True], [1.0, 2.0]), ValueError, "got 1 and 2"),
    (lambda: mg.select([Tensor([1.0])], [1.0]), TypeError, "the condition must be a bool"),
    (lambda: mg.linspace(0.0, 1.0, -1), ValueError, "must not be negative, got -1"),
    (lambda: mg.linspace(0.0, 1.0, 2.5), TypeError, "float"),
    (lambda: mg.linspace(Value(0.0), 1.0), TypeError, "linspace: the points are an array, and a Value is one float"),
    (lambda: mg.linspace(0.0, Value(1.0)), TypeError, "linspace: the points are an array, and a Value is one float"),
    (lambda: mg.partition(Value(1.0), 0), TypeError, "partition: works on Tensors and arrays, and a Value is one"),
    (lambda: mg.sort(Value(1.0), None), TypeError, "sort: works on Tensors and arrays, and a Value is one float"),
    (lambda: mg.fliplr(np.ones(3)), ValueError, r"fliplr: the array needs 2 or more axes; got shape \(3,\)"),
    (lambda: mg.flipud(Tensor(1.0)), ValueError, r"flipud: the array needs 1 or more axes; got shape \(\)"),
    (lambda: mg.vsplit(np.ones(4), 2), ValueError, "vsplit: the array needs 2 or more axes"),
    (lambda: mg.hsplit(1.0, 2), ValueError, "hsplit: the array needs 1 or more axes"),
    (lambda: mg.dsplit(np.ones((2, 2)), 2), ValueError, "dsplit: the array needs 3 or more axes"),
    (lambda: mg.hsplit(np.ones((2, 5)), 2), ValueError, "length 5 does not fall into 2 equal parts"),
])  # fmt: skip
def test_what_is_wrong_is_said(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call()


# ------------------------------------------------------------------------------------------------ what is left out
A, B = np.random.default_rng(0).uniform(0.5, 2.0, (2, 4, 3))
WITH_NAN = np.where(A > 1.5, np.nan, A)
LEFT_OUT: dict[str, tuple[np.ndarray, ...]] = {
    "rollaxis": (X,), "rot90": (A,), "cross": (A, B), "logaddexp2": (A, B),
    "fmax": (WITH_NAN, B), "fmin": (A, np.where(B > 1.5, np.nan, B)), "average": (A,), "gradient": (A[:2, 0],),
}  # fmt: skip


@pytest.mark.parametrize("name", INSTEAD)
def test_what_to_write_instead_is_what_numpy_computes_and_has_a_gradient(name: str) -> None:
    arrays = LEFT_OUT[name]
    nodes = [Tensor(a) for a in arrays]
    weights = np.abs(B)
    scope = {**{f: getattr(mg, f) for f in mg.__all__}, "np": np, "log": np.log, "weights": weights,
             "x": nodes[0], "a": nodes[0], "b": nodes[-1]}  # fmt: skip
    y = eval(INSTEAD[name].partition(", the")[0], scope)
    numpys = {"rollaxis": lambda x: np.rollaxis(x, 1),
              "average": lambda x: np.average(x, weights=weights), "gradient": lambda x: np.gradient(x)[:1],
              "fmax": np.fmax}.get(name, getattr(np, name))  # fmt: skip
    assert_same(y.data, numpys(*arrays), rel=1e-13)
    seed = np.ones(y.shape)
    for g in mg.grad(y, nodes, seed=seed):
        assert np.isfinite(g).all()
    with pytest.raises(TypeError, match=f"np.{name} has no counterpart .* Use {re.escape(INSTEAD[name])}, or"):
        getattr(np, name)(*nodes, *([1] if name == "rollaxis" else []))
    with pytest.raises(AttributeError, match=f"no attribute '{name}': write {re.escape(INSTEAD[name])}"):
        getattr(mg, name)
