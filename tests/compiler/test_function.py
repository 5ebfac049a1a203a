"""Compiled functions: the numbers and gradients of the tape, for every operation and every form of call."""

from __future__ import annotations

import copy
import math
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.compiler.errors import TraceError
from microgradrnn.compiler.straight import Block
from microgradrnn.compiler.symbol import LIFT
from microgradrnn.engine.scope import TRACING
from tests.engine.operations import TABLE, Case, inputs, weights
from tests.numerics import assert_same

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def nothing_is_left_switched_on() -> Any:
    yield
    assert not TRACING.get()
    assert LIFT.get(None) is None


# ------------------------------------------------------------------------------------------------- every operation
# What depends on the numbers, or asks NumPy's linear algebra for them, is refused. Nothing else is.
REFUSED = {
    "prod": "its rule looks for zeros", "cumprod": "its rule looks for zeros",
    "sort": "the order depends on the numbers", "argsort": "the order depends on the numbers",
    "partition": "the order depends on the numbers",
    "solve": "a matrix may be singular", "inv": "a matrix may be singular", "det": "a matrix may be singular",
    "slogdet": "numpy.linalg", "cholesky": "numpy.linalg", "eigh": "numpy.linalg", "svd": "numpy.linalg",
    "pinv": "numpy.linalg", "matrix_power, of the inverse": "a matrix may be singular",
    "norm, nuclear": "svd", "norm, spectral": "svd", "norm, ord 3": "scaled by the largest entry",
}  # fmt: skip

def is_refused(case: Case) -> bool:
    return case.name in REFUSED or case.name.split(",")[0] in REFUSED


TRACED = [case for case in TABLE if not is_refused(case)]
every_case = pytest.mark.parametrize("case", TRACED, ids=[case.name for case in TRACED])


def test_the_list_of_what_is_refused_names_what_there_is() -> None:
    there = {case.name for case in TABLE} | {case.name.split(",")[0] for case in TABLE}
    assert set(REFUSED) <= there


@pytest.mark.parametrize("case", [case for case in TABLE if is_refused(case)], ids=lambda case: case.name)
def test_what_looks_at_the_numbers_is_refused(case: Case) -> None:
    with pytest.raises(TraceError, match="compile: "):
        mg.compile(case.ours)(*inputs(case))


dtypes = pytest.mark.parametrize(("dtype", "rel"), [(np.float64, 1e-12), (np.float32, 1e-5)], ids=["double", "single"])


@dtypes
@every_case
def test_every_operation_on_the_tape(case: Case, dtype: Any, rel: float) -> None:
    f, arrays = mg.compile(case.ours), inputs(case, dtype)
    ours, theirs = [Tensor(a) for a in arrays], [Tensor(a) for a in arrays]
    y, expected = f(*ours), case.ours(*theirs)
    assert y.op.name == "compiled"
    seed = weights(expected.shape).astype(expected.dtype)
    for node in (y, expected):
        node.backward(seed)
        node.backward(2 * seed)  # leaves add up
    assert y.dtype == expected.dtype
    assert_same(y.data, expected.data, rel=rel)
    for x, x_tape in zip(ours, theirs, strict=True):
        assert x.grad.dtype == x_tape.grad.dtype
        assert_same(x.grad, x_tape.grad, rel=rel)


@dtypes
@every_case
def test_every_operation_on_arrays(case: Case, dtype: Any, rel: float) -> None:
    def loss(*xs: Any) -> Any:
        y = case.ours(*xs)
        return (y * weights(y.shape).astype(dtype)).sum() if y.shape else y * y

    arrays = inputs(case, dtype)
    leaves = [Tensor(a) for a in arrays]
    expected = loss(*leaves)
    value, gradients = mg.compile(loss).value_and_grad(*arrays)
    assert_same(value, expected.data, rel=rel * 10)
    for a, g, g_tape in zip(arrays, gradients, mg.grad(expected, leaves), strict=True):
        assert g.dtype == a.dtype
        assert_same(g, g_tape, rel=rel)
    y = mg.compile(case.ours)(*arrays)
    assert not isinstance(y, mg.engine.Node)
    assert_same(y, case.ours(*leaves).data, rel=rel)


def test_the_product_of_two_vectors() -> None:
    value, (a, b) = mg.compile(lambda a, b: a @ b).value_and_grad(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert value == 11.0
    np.testing.assert_array_equal([a, b], [[3.0, 4.0], [1.0, 2.0]])


# ------------------------------------------------------------------------------------------------------ floats
def both_ways(f: Callable[..., Any], *xs: float) -> None:
    """Values and gradients of a function of floats: compiled, compiled on the tape, and on the tape."""
    compiled = mg.compile(f)
    leaves, ours = [Value(x) for x in xs], [Value(x) for x in xs]
    expected = f(*leaves)
    gradients = mg.grad(expected, leaves)
    for _ in range(2):  # traced, and found again
        y = compiled(*ours)
        assert type(y) is Value
        np.testing.assert_allclose((y.data, *mg.grad(y, ours)), (expected.data, *gradients), rtol=1e-12, atol=1e-300)
        value, found = compiled.value_and_grad(*xs)
        np.testing.assert_allclose((value, *found), (expected.data, *gradients), rtol=1e-12, atol=1e-300)
        assert {type(g) for g in (value, *found)} == {float}
    y = compiled(*ours)
    y.backward()
    np.testing.assert_allclose([x.grad for x in ours], gradients, rtol=1e-12, atol=1e-300)


ONE = (
    mg.abs, mg.exp, mg.exp2, mg.expm1, mg.log, mg.log1p, mg.log2, mg.log10, mg.sqrt, mg.square, mg.reciprocal, mg.sin,
    mg.cos, mg.tan, mg.arcsin, mg.arccos, mg.arctan, mg.sinh, mg.cosh, mg.tanh, mg.arcsinh, mg.arctanh, mg.sigmoid,
    mg.softplus, mg.relu, mg.erf, mg.negative,
)  # fmt: skip
TWO = (mg.add, mg.subtract, mg.multiply, mg.divide, mg.power, mg.arctan2, mg.hypot, mg.logaddexp,
       mg.maximum, mg.minimum)  # fmt: skip


@pytest.mark.parametrize("f", ONE, ids=lambda f: f.name)
def test_functions_of_one_float(f: Any) -> None:
    both_ways(f, 0.4)
    both_ways(lambda x: f(x) * x + 3, 0.7)


@pytest.mark.parametrize("f", [
    *(pytest.param(f, id=f.name) for f in TWO),
    pytest.param(mg.remainder, id="remainder"),
])  # fmt: skip
def test_functions_of_two_floats(f: Any) -> None:
    both_ways(f, 1.3, 0.4)
    both_ways(lambda x: f(x, 0.3), 0.7)
    both_ways(lambda x: f(2.5, x), 0.7)


@pytest.mark.parametrize("f", [
    lambda x: mg.floor(x) * x, lambda x: mg.ceil(x) * x, lambda x: mg.round(x) * x, lambda x: mg.sign(x) * x,
    lambda x: mg.clip(x, -1, 1), lambda x: mg.where((x > 0) & (x < 1) | (x > 3), x * x, -x), lambda x: x**3 - 2 / x,
    lambda x: (-x) ** 2 - x**2 * 3 - (x - (x - 1.0)), lambda x: 1 / (x / (2 / x)) / x, lambda x: (-2.0 * x) ** 3,
    lambda x: mg.where((x > 0) & ~((x > 1) | (x < 0.5)), x * x, -x), lambda x: (x > 0) * x, lambda x: x * 10**20 + 3,
    lambda x: x.detach() * x, lambda x: mg.where(x.detach() >= 0.3, x * 2, x * 3), lambda x: x, lambda x: x * 1.0,
])  # fmt: skip
@pytest.mark.parametrize("x", [-1.7, 0.3, 1.2, 2.5])
def test_small_functions_of_floats(f: Any, x: float) -> None:
    both_ways(f, x)


STEPS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (b * b + 1.5), lambda a, b: mg.tanh(a),
    lambda a, b: mg.exp(-(a * a)), lambda a, b: mg.sigmoid(a) * b, lambda a, b: mg.where(a > b, a * b, b),
    lambda a, b: mg.maximum(a, b), lambda a, b: mg.relu(a), lambda a, b: mg.abs(a), lambda a, b: a**2,
    lambda a, b: 1.5 - a, lambda a, b: mg.sin(a) + b, lambda a, b: mg.hypot(a, 0.5), lambda a, b: a.detach() * b,
    lambda a, b: mg.logaddexp(a, b), lambda a, b: 0.3 * a, lambda a, b: -a, lambda a, b: a / 2,
]  # fmt: skip
graphs = st.lists(st.tuples(st.sampled_from(range(len(STEPS))), st.integers(0, 99), st.integers(0, 99)), min_size=1,
                  max_size=12)  # fmt: skip
numbers = st.floats(-2, 2, allow_nan=False).map(lambda x: math.copysign(max(abs(x), 1e-3), x))

def drawn(graph: Any) -> Callable[..., Any]:
    def f(*xs: Any) -> Any:
        nodes = list(xs)
        for which, i, j in graph:
            nodes.append(STEPS[which](nodes[i % len(nodes)], nodes[j % len(nodes)]))
        return nodes[-1] + 0.1 * nodes[0]

    return f


@settings(max_examples=60)
@given(graphs, numbers, numbers)
def test_random_graphs_of_floats(graph: Any, x: float, y: float) -> None:
    f = drawn(graph)
    leaves, ours = [Value(x), Value(y)], [Value(x), Value(y)]
    expected = f(*leaves)
    gradients = mg.grad(expected, leaves)
    compiled = mg.compile(f)
    value, found = compiled.value_and_grad(x, y)
    node = compiled(*ours)
    for result in ((value, *found), (node.data, *mg.grad(node, ours))):
        np.testing.assert_allclose(result, (expected.data, *gradients), rtol=1e-11, atol=1e-12)


@settings(max_examples=60)
@given(graphs, st.integers(0, 10**6), st.sampled_from([np.float64, np.float32]))
def test_random_graphs_of_arrays(graph: Any, seed: int, dtype: Any) -> None:
    f, rng = drawn(graph), np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 1), (2,))]
    leaves, ours = [Tensor(a) for a in arrays], [Tensor(a) for a in arrays]
    expected, y = f(*leaves).sum(), mg.compile(f)(*ours).sum()
    value, found = mg.compile(lambda *xs: mg.sum(f(*xs))).value_and_grad(*arrays)
    rtol, atol = (1e-11, 1e-12) if dtype is np.float64 else (1e-4, 1e-4)
    for result in ((value, *found), (y.data, *mg.grad(y, ours))):
        for a, b in zip(result, (expected.data, *mg.grad(expected, leaves)), strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


# --------------------------------------------------------------------------------------------------- hard numbers
HARD = [
    pytest.param(lambda x: 1 / x, 0.0, id="1/0"),
    pytest.param(mg.log, 0.0, id="log 0"),
    pytest.param(mg.log, -1.0, id="log -1"),
    pytest.param(mg.sqrt, -1.0, id="sqrt -1"),
    pytest.param(lambda x: x**-1, 0.0, id="0 to the -1"),
    pytest.param(mg.sin, math.inf, id="sin inf"),
    pytest.param(mg.arctanh, 1.0, id="arctanh 1"),
    pytest.param(lambda x: mg.where(x > 0, mg.log(x), 0.0), 0.0, id="where log"),
    pytest.param(lambda x: mg.where(x > 0, mg.sqrt(x), x), 0.0, id="where sqrt"),
    pytest.param(mg.sqrt, 0.0, id="sqrt 0"),
    pytest.param(mg.exp, 1000.0, id="exp overflows"),
    pytest.param(mg.cosh, 1000.0, id="cosh overflows"),
    pytest.param(lambda x: x * 1e308 * 1e308, 2.0, id="a product overflows"),
    pytest.param(lambda x: x**2, 1e200, id="a power overflows"),
    pytest.param(lambda x: x**0, 0.0, id="0 to the 0"),
    pytest.param(lambda x: x**x, 0.0, id="x to the x at 0"),
    pytest.param(lambda x: 0.0**x, 0.0, id="0 to the x"),
    pytest.param(lambda x: x % 0.0, 1.0, id="remainder of 0"),
    pytest.param(mg.relu, 0.0, id="relu 0"),
    pytest.param(mg.relu, math.nan, id="relu nan"),
    pytest.param(mg.abs, 0.0, id="abs 0"),
    pytest.param(lambda x: mg.maximum(x, 1.0), 1.0, id="a tie"),
    pytest.param(lambda x: mg.maximum(x, 1.0), math.nan, id="maximum nan"),
    pytest.param(lambda x: mg.clip(x, -1, 1), 1.0, id="clip at its bound"),
    pytest.param(lambda x: mg.hypot(x, 0.0), 0.0, id="hypot 0"),
    pytest.param(lambda x: mg.arctan2(x, 0.0), 0.0, id="arctan2 0"),
    pytest.param(lambda x: x * 0, math.inf, id="0 times inf"),
]


def outcome(f: Callable[..., Any], x: Any) -> Any:
    leaf = Value(x) if isinstance(x, float) else Tensor(x)
    y = f(leaf)
    return np.asarray(y.data), np.asarray(mg.grad(y, leaf, seed=np.ones(y.shape) if isinstance(y, Tensor) else None))


@pytest.mark.parametrize(("f", "x"), HARD)
def test_hard_floats_give_what_the_tape_gives(f: Any, x: float) -> None:
    compiled = mg.compile(f)
    expected = outcome(f, x)
    np.testing.assert_array_equal(outcome(compiled, x), expected)
    value, (g,) = compiled.value_and_grad(x)
    np.testing.assert_array_equal([value, g], expected)




@pytest.mark.parametrize(("f", "x"), [
    pytest.param(*p.values, id=p.id, marks=()) for p in HARD
])  # fmt: skip
def test_hard_arrays_give_what_the_tape_gives(f: Any, x: float) -> None:
    array = np.array([x, 0.5, x])
    for ours, expected in zip(outcome(mg.compile(f), array), outcome(f, array), strict=True):
        np.testing.assert_array_equal(ours, expected)
    value, (g,) = mg.compile(lambda a: mg.sum(f(a))).value_and_grad(array)
    y, expected = outcome(f, array)
    np.testing.assert_array_equal(value, y.sum())
    np.testing.assert_array_equal(g, expected)


@pytest.mark.parametrize("f", [
    pytest.param(mg.abs), mg.exp, mg.relu,
    pytest.param(mg.log),
])  # fmt: skip
def test_arrays_without_axes(f: Any) -> None:
    for ours, expected in zip(outcome(mg.compile(f), np.array(0.0)), outcome(f, np.array(0.0)), strict=True):
        np.testing.assert_array_equal(ours, expected)
    x = Tensor(2.0)
    mg.compile(f)(x).backward()
    assert isinstance(x.grad, np.ndarray)
    assert x.grad.shape == ()


def test_a_value_holds_a_python_float() -> None:
    assert type(mg.compile(lambda x: mg.round(x) * x)(Value(1.5)).data) is float


def test_a_derivative_behind_a_where_is_mended_under_no_grad_too() -> None:
    f = mg.compile(lambda x: mg.where(x > 0, mg.sqrt(x), x).sum())
    expected = f.value_and_grad(np.array([0.0, 4.0]))
    np.testing.assert_array_equal(expected[1][0], [1.0, 0.25])


def test_a_fallback_under_no_grad_gives_the_same() -> None:
    f = mg.compile(lambda x: mg.where(x > 0, mg.sqrt(x), x).sum())
    with mg.no_grad():
        np.testing.assert_array_equal(f.value_and_grad(np.array([0.0, 4.0]))[1][0], [1.0, 0.25])


def test_a_fallback_with_a_float_beside_an_array() -> None:
    f = mg.compile(lambda k, x: mg.where(x > 0, mg.sqrt(x) * k, x).sum())
    value, (_, g) = f.value_and_grad(2.0, np.array([0.0, 4.0]))
    assert value == 4.0
    np.testing.assert_array_equal(g, [1.0, 0.5])


@pytest.mark.parametrize("f", [mg.log, lambda x: mg.sqrt(x) * x, lambda x: (mg.log(x), mg.exp(x))[0] * mg.exp(x)])
def test_a_compiled_function_behind_a_where_is_silent(f: Any) -> None:
    results = []
    for g in (f, mg.compile(f)):
        x = Tensor([0.0, 1.0])
        results.append(mg.grad(mg.where(x.data > 0, g(x), 0.0).sum(), x))
    np.testing.assert_array_equal(*results)
    assert np.isfinite(results[0]).all()


# ------------------------------------------------------------------------------------------------- dtypes and layouts
def test_a_float_beside_single_precision_leaves_it_single() -> None:
    f = mg.compile(lambda k, x: k * x)
    assert f(0.1, np.ones(2, np.float32)).dtype == np.float32


def test_the_value_has_its_own_dtype() -> None:
    value, _ = mg.compile(lambda a, x: (a * x).sum()).value_and_grad(np.ones(1, np.float32), np.array([1.123456789]))
    assert value.dtype == np.float64


@pytest.mark.parametrize(("f", "choice"), [
    (lambda x, i: x[i].sum(), np.array([1, 1])), (lambda x, m: mg.where(m, x, -x).sum(), np.array([True, False])),
])  # fmt: skip
def test_indices_and_masks_may_be_arguments(f: Any, choice: np.ndarray) -> None:
    x = Tensor([1.0, 2.0])
    value, gradients = mg.compile(f).value_and_grad(x.data, choice)
    y = f(x, choice)
    assert value == y.item()
    np.testing.assert_array_equal(gradients[0], mg.grad(y, x))
    assert gradients[1] is None


def test_a_numpy_float_is_a_float() -> None:
    f = mg.compile(lambda x: x * x)
    assert f.value_and_grad(np.float64(3.0)) == (9.0, (6.0,))
    f(np.float64(4.0))
    assert len(f.traces) == 1


def test_empty_broadcast_and_strided_arrays() -> None:
    f = mg.compile(lambda x, w: (x * w + w).sum())
    for shapes in (((0, 3), (3,)), ((3, 1), (4,)), ((2, 1, 3), (4, 1)), ((), (2, 2))):
        arrays = [np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(shapes)]
        leaves = [Tensor(a) for a in arrays]
        expected = (leaves[0] * leaves[1] + leaves[1]).sum()
        value, gradients = f.value_and_grad(*arrays)
        assert_same(value, expected.data)
        for g, g_tape in zip(gradients, mg.grad(expected, leaves), strict=True):
            assert_same(g, g_tape)
    a, b = np.arange(12.0).reshape(3, 4).T[::2], np.arange(9.0).reshape(3, 3)[:, ::-2]
    x, w = Tensor(a), Tensor(b)
    for g, g_tape in zip(mg.compile(lambda x, w: (x @ w).sum()).value_and_grad(a, b)[1],
                         mg.grad((x @ w).sum(), [x, w]), strict=True):  # fmt: skip
        assert_same(g, g_tape)
    assert len(f.traces) == 4


# ------------------------------------------------------------------------------------------------ forms of arguments
class Pair(NamedTuple):
    a: Any
    b: Any


@pytest.mark.parametrize(("f", "args", "expected"), [
    (lambda xs: xs[0] * xs[1], ([2.0, 3.0],), ([3.0, 2.0],)),
    (lambda xs: xs[0] * xs[1][0], ((2.0, (3.0,)),), ((3.0, (2.0,)),)),
    (lambda p: p.a * p.b, (Pair(2.0, 3.0),), (Pair(3.0, 2.0),)),
    (lambda d: d["b"] * d["a"], ({"a": 2.0, "b": 3.0},), ({"a": 3.0, "b": 2.0},)),
    (lambda x, n: x**n, (2.0, 3), (12.0, None)),
    (lambda x, how: x * 2 if how == "twice" else x, (2.0, "twice"), (2.0, None)),
    (lambda x, on: x * 2 if on else x, (2.0, True), (2.0, None)),
    (lambda *xs: xs[0] * xs[1] * len(xs), (2.0, 3.0, 4.0), (9.0, 6.0, 0.0)),
    (lambda x, y=5.0: x * y, (2.0,), (5.0,)),
    (lambda x, none: x * x, (2.0, None), (4.0, None)),
])  # fmt: skip
def test_gradients_come_in_the_form_of_the_arguments(f: Any, args: Any, expected: Any) -> None:
    value, gradients = mg.compile(f).value_and_grad(*args)
    assert value == f(*args)
    assert gradients == expected
    assert [type(g) for g in gradients] == [type(g) for g in expected]


def test_another_static_argument_is_another_trace() -> None:
    f = mg.compile(lambda x, n: x * n)
    assert [f(2.0, n) for n in (3, True, 1, 0, 3)] == [6.0, 2.0, 2.0, 0.0, 6.0]
    assert len(f.traces) == 4
    which = mg.compile(lambda x, n: x + 1 if n is True else x * 10)
    assert [which(1.0, n) for n in (True, 1)] == [2.0, 10.0]


def test_arguments_may_be_given_by_name() -> None:
    f: Any = mg.compile(lambda x, k=1.0: x * k)
    assert f(3.0, k=2.0) == 6.0
    assert f(x=3.0) == 3.0


def test_a_method_may_be_compiled_in_its_class() -> None:
    class Scaled:
        k = 2.0

        @mg.compile
        def times(self, x: Any) -> Any:
            return x * self.k

    assert Scaled().times(3.0) == 6.0


def test_several_outputs_in_tuples_and_dicts() -> None:
    def f(x: Any, y: Any) -> Any:
        return {"a": x * y, "b": (mg.exp(x), Pair(y, "text")), "n": 3}

    for kind in (Value, Tensor):
        ours, theirs = [kind(0.5), kind(2.0)], [kind(0.5), kind(2.0)]
        results = []
        for g, xs in ((mg.compile(f), ours), (f, theirs)):
            out = g(*xs)
            assert out["n"] == 3
            assert out["b"][1].b == "text"
            a, (b, (c, _)) = out["a"], out["b"]
            results.append([a.data, b.data, c.data, *mg.grad(a * b * c, xs), *mg.grad(b, xs), *mg.grad(c, xs)])
        for p, q in zip(*results, strict=True):
            assert_same(p, q)
    assert mg.compile(f)(0.5, 2.0)["a"] == 1.0


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_a_comparison_is_returned_as_plain_bools(kind: Any) -> None:
    y, positive = mg.compile(lambda x: (x * x, x > 0))(kind(1.0))
    assert isinstance(y, kind)
    assert not isinstance(positive, mg.engine.Node)
    assert mg.compile(lambda x: x > 0)(1.0)


def test_an_output_without_a_gradient_is_a_constant() -> None:
    y, other = mg.compile(lambda x: (x * x, x.detach() * 2))(Tensor([1.5]))
    assert y.requires_grad
    assert not other.requires_grad
    assert other.op is None


def test_what_is_not_used_is_left_alone() -> None:
    for kind in (Tensor, Value):
        x, unused = kind(1.0), kind(2.0)
        before = unused.grad
        mg.compile(lambda x, y: x * x)(x, unused).backward()
        assert type(unused.grad) is type(before)


def test_outputs_keep_their_names() -> None:
    y = mg.compile(lambda x: mg.mark(x * x, "h", role="hidden"))(Value(1.0))
    assert (y.symbol, y.role) == ("h", "hidden")


def test_one_of_several_outputs_may_be_all_that_is_used() -> None:
    x = Tensor([1.0, 2.0])
    a, _, c = mg.compile(lambda x: (x * x, mg.exp(x), x))(x)
    (a.sum() + c.sum()).backward()
    np.testing.assert_array_equal(x.grad, [3.0, 5.0])




@pytest.mark.parametrize("kind", [Value, Tensor])
def test_a_node_that_is_given_twice_gets_both_gradients_once(kind: Any) -> None:
    x = kind(3.0)
    mg.compile(lambda a, b: a * b + a)(x, x).backward()
    assert x.grad == 7.0


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_a_node_that_is_an_argument_and_closed_over_gets_both_gradients_once(kind: Any) -> None:
    w = kind(3.0)
    mg.compile(lambda a: a * w)(w).backward()
    assert w.grad == 6.0


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_constants_get_no_gradient(kind: Any) -> None:
    x, constant = kind(3.0), kind(2.0, requires_grad=False)
    f = mg.compile(lambda a, b: a * b + a)
    f(x, constant).backward()
    assert x.grad == 3.0
    assert not constant.grad
    assert not f(constant, constant).requires_grad


def test_nodes_and_arrays_may_be_mixed() -> None:
    x, a = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    f = mg.compile(lambda x, a, k: (x * a * k).sum())
    f(x, a, 2.0).backward()
    np.testing.assert_array_equal(x.grad, 2 * a)


@pytest.mark.parametrize("other", [Tensor([1.0, 2.0]), np.array([1.0, 2.0])])
def test_values_and_arrays_do_not_mix(other: Any) -> None:
    with pytest.raises(TypeError):
        mg.compile(lambda x, y: x * y)(Value(2.0), other)




def test_arguments_may_be_called_as_operations_are() -> None:
    def f(exp: Any, float: Any, np: Any, forward: Any) -> Any:
        return mg.exp(np) * exp + mg.tanh(float) * forward

    both_ways(f, 0.1, 0.2, 0.3, 0.4)


def test_symbols_may_be_keywords() -> None:
    def f(x: Any) -> Any:
        y = mg.mark(mg.exp(x * x), "lambda")
        return mg.mark(mg.tanh(y) * y, "h'")

    both_ways(f, 0.5)


# --------------------------------------------------------------------------------------------------------- the tape
PLACES: dict[str, Callable[[Any], Any]] = {
    "small": lambda x: mg.exp(x * x) * x,
    "where": lambda x: mg.where(x > 0.3, mg.exp(x) * x, x * x * x),
    "detached": lambda x: x.detach() * mg.exp(x),
}
FRESH = ("a node that is made right after the target unfolds into nodes that are older than `since` of `ancestors`: "
         "its gradient is lost")  # fmt: skip


@pytest.mark.parametrize("f", PLACES.values(), ids=list(PLACES))
def test_gradients_of_gradients_see_what_is_inside(f: Any) -> None:
    results = []
    for g in (f, mg.compile(f)):
        x = Tensor([0.5, 0.2])
        y = g(x * 1.0)
        first = mg.grad(y.sum(), x, create_graph=True)
        second = mg.grad(first.sum(), x, create_graph=True)
        results.append([first.data, second.data, mg.grad(second.sum(), x)])
    for ours, expected in zip(*results, strict=True):
        assert_same(ours, expected)


def test_gradients_of_gradients_when_the_trace_is_there_already() -> None:
    f = mg.compile(lambda x: mg.exp(x * x))
    f(Value(1.0))
    x = Value(0.5)
    assert mg.grad(f(x), x, create_graph=True).data == pytest.approx(math.exp(0.25))


@pytest.mark.parametrize("transform", [
    lambda f, x: mg.hessian(f, x), lambda f, x: mg.jvp(f, [x], [np.ones(2)])[1],
    lambda f, x: mg.hvp(f, [x], [np.ones(2)])[0],
])  # fmt: skip
def test_hessians_and_products(transform: Any) -> None:
    def f(x: Any) -> Any:
        return (mg.tanh(x) * x).sum()

    compiled, x = mg.compile(f), np.array([0.3, 0.5])
    compiled(Tensor(x))
    assert_same(transform(compiled, x), transform(f, x))


def test_gradients_of_gradients_of_compiled_functions_inside_compiled_functions() -> None:
    def g(x: Any) -> Any:
        return mg.exp(x * x) * x

    results = []
    for inner, wrap in ((g, lambda f: f), (mg.compile(g), mg.compile)):
        f = wrap(lambda x, inner=inner: inner(mg.tanh(x) * x) * inner(x))
        x = Tensor(0.5)
        first = mg.grad(f(x * 1.0), x, create_graph=True)
        results.append([first.data, mg.grad(first, x)])
    for ours, expected in zip(*results, strict=True):
        assert_same(ours, expected)


def test_compiled_functions_inside_compiled_functions() -> None:
    g = mg.compile(lambda x: x * x)
    f = mg.compile(lambda x: g(x) * g(x + 1))
    both_ways(f, 2.0)
    assert mg.compile(f).value_and_grad(2.0) == f.value_and_grad(2.0)


def test_observers_and_keep_see_the_operations_inside() -> None:
    seen: list[Any] = []
    for f in (PLACES["small"], mg.compile(PLACES["small"])):
        x = Value(0.5)
        messages: list[Any] = []
        y = f(x * 1.0)

        def observe(node: Any, k: int, _: Any, g: Any, messages: list[Any] = messages) -> None:
            messages.append((node.op.name, k, float(g)))

        mg.backward(y, observe=observe)
        kept = Value(0.5)
        mg.backward(f(kept * 1.0), keep=lambda node, k: node.op.name != "exp")
        seen.append((messages, x.grad, kept.grad))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) > 4


def test_anomaly_mode_runs_the_function_itself_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    f = mg.compile(mg.log)
    for _ in range(2):
        with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match=r"log: .* made nan"):
            f(Tensor([-1.0]))
    assert len([r for r in caplog.records if "anomaly" in r.message]) == 1


def test_anomaly_mode_watches_value_and_grad_too() -> None:
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError):
        mg.compile(lambda x: mg.log(x).sum()).value_and_grad(np.array([-1.0]))


def test_hooks_see_and_change_the_gradients_of_leaves_outputs_and_nodes_closed_over() -> None:
    w = Tensor([1.0, 2.0])
    u = w * w
    x = Tensor([1.0, 1.0])
    seen: list[Any] = []
    u.register_hook(lambda g: 10 * g)
    x.register_hook(lambda g: 2 * g)
    y = mg.compile(lambda x: x * u)(x)
    y.register_hook(lambda g: seen.append(np.array(g)))
    y.sum().backward()
    np.testing.assert_array_equal(w.grad, [20.0, 40.0])
    np.testing.assert_array_equal(x.grad, [2.0, 8.0])
    np.testing.assert_array_equal(seen, [[1.0, 1.0]])


def test_a_hook_inside_the_function_is_traced() -> None:
    def f(x: Any) -> Any:
        y = x * x
        y.register_hook(lambda g: 10 * g)
        return y * 1.5

    both_ways(f, 3.0)
    assert mg.compile(f).value_and_grad(3.0) == (13.5, (90.0,))


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_data_changed_before_the_reverse_pass_are_an_error(kind: Any) -> None:
    w, x = kind(2.0), kind(3.0)
    y = mg.compile(lambda x: x * w)(x)
    w.data = 5.0
    with pytest.raises(RuntimeError, match=r"compile: the data of .* changed after the forward pass"):
        y.backward()


def test_a_constant_may_change_after_the_forward_pass() -> None:
    w, x = Tensor([2.0], requires_grad=False), Tensor([3.0])
    y = mg.compile(lambda x: x * w)(x)
    w.data = [5.0]
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0])


def test_an_array_may_be_written_to_after_the_forward_pass() -> None:
    x, a = Tensor([1.0, 1.0]), np.array([1.0, 2.0])
    y = mg.compile(lambda x, a: (x * a).sum())(x, a)
    a[:] = 100
    y.backward()
    np.testing.assert_array_equal(x.grad, [1.0, 2.0])


def test_results_are_not_the_callers_arrays() -> None:
    a = np.ones(2)
    y = mg.compile(lambda x, a: (x * 2, a * 1.0))(Tensor([1.0, 2.0]), a)[1]
    assert y.data[0] == 1.0
    a[0] = 5.0
    assert y.data[0] == 1.0


def test_two_forward_passes_before_one_reverse_pass() -> None:
    w = Tensor([1.0, 2.0])
    f = mg.compile(lambda x: (x * x * w).sum())
    first, second = f(Tensor([1.0, 1.0])), f(Tensor([3.0, 5.0]))
    (first + second).backward()
    np.testing.assert_array_equal(w.grad, [10.0, 26.0])
    first.backward()
    np.testing.assert_array_equal(w.grad, [11.0, 27.0])


def test_nothing_is_recorded_under_no_grad() -> None:
    w = Value(2.0)
    f = mg.compile(lambda x: x * w)
    with mg.no_grad():
        y = f(Value(3.0))
        assert f.value_and_grad(3.0) == (6.0, (2.0,))
    assert (y.op, y.requires_grad, y.data) == (None, False, 6.0)
    assert f(Value(3.0)).requires_grad


def test_no_grad_inside_the_function() -> None:
    w = Value(2.0)

    def f(x: Any) -> Any:
        with mg.no_grad():
            k = x * w
        return k * x + w

    both_ways(f, 3.0)
    results = []
    for g in (f, mg.compile(f)):
        w.zero_grad()
        g(Value(3.0)).backward()
        results.append(w.grad)
    assert results == [1.0, 1.0]


def test_gradients_inside_the_function_may_be_recorded() -> None:
    both_ways(lambda x: mg.grad(x * x * x, x, create_graph=True) * x, 3.0)


def test_compiled_functions_inside_a_checkpoint() -> None:
    w = Tensor([[0.5, 0.2], [0.1, 0.3]])
    results = []
    for f in (lambda x: mg.tanh(x @ w), mg.compile(lambda x: mg.tanh(x @ w))):
        x = Tensor(np.ones((3, 2)))
        results.append(mg.grad(mg.checkpoint(f, x).sum(), [x, w]))
    for ours, expected in zip(*results, strict=True):
        assert_same(ours, expected)


def test_a_checkpoint_inside_a_compiled_function() -> None:
    w = Tensor([[0.5, 0.2], [0.1, 0.3]])
    f = mg.compile(lambda x: mg.checkpoint(lambda a: mg.tanh(a @ w), x).sum())
    assert f(np.ones((3, 2))).item() == pytest.approx(mg.tanh(Tensor(np.ones((3, 2))) @ w).sum().item())


def test_several_threads_may_use_one_compiled_function() -> None:
    w = Tensor([1.0, 2.0])
    f = mg.compile(lambda x, n: (mg.exp(x * w) * n).sum())
    alone = [mg.grad(f(np.ones(2), n), w) for n in range(4)]
    f.traces.clear()
    found: dict[int, Any] = {}
    errors: list[BaseException] = []

    def run(k: int) -> None:
        try:
            for _ in range(20):
                for n in range(4):
                    f(np.ones(2), n + 4 * k + 4)
                found[k] = mg.grad(f(np.ones(2), k), w)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    for k in range(4):
        np.testing.assert_array_equal(found[k], alone[k])


def test_naming_costs_no_more_than_there_are_names() -> None:
    class Counting(set[str]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            self.asked += 1
            return super().__contains__(name)

    block, traced = Block(True), mg.compile(lambda x: x * x)
    traced(1.0)
    (e,) = traced.last.trace.outputs
    block.taken = counting = Counting()
    for _ in range(500):
        block.name(e)
    assert counting.asked < 5000


def test_a_long_function_compiles_in_a_short_time() -> None:
    def f(x: Any) -> Any:
        for _ in range(300):
            x = x * 1.0001 + 0.001
        return x

    start = time.perf_counter()
    both_ways(f, 0.5)
    assert time.perf_counter() - start < 10


# ------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize("f", [
    lambda x: x if x > 0 else -x, lambda x: x * float(x), lambda x: x * x.item(), lambda x: x * x.data,
    lambda x: x * len(f"{x:.3f}"), lambda x: x * sum(range(int(x))), lambda x: max(x, 0.0), lambda x: math.sin(x),
    lambda x: x * round(x),
])  # fmt: skip
def test_asking_for_the_numbers_is_refused_with_a_hint(f: Any) -> None:
    for x in (1.0, Value(1.0)):
        with pytest.raises(TraceError, match=r"known only when it runs.*where\(condition, a, b\)"):
            mg.compile(f)(x)


RNG, COUNTER = np.random.default_rng(0), iter(range(10**6))


@pytest.mark.parametrize("f", [
    lambda x: x * np.random.random(),
    lambda x: x * time.perf_counter(), lambda x: mg.dropout(x, 0.5, rng=RNG), lambda x: x * next(COUNTER),
])  # fmt: skip
def test_draws_and_counters_are_refused_with_a_hint(f: Any) -> None:
    with pytest.raises(TraceError, match=r"computes something else when it runs again.*Draw, count and"):
        mg.compile(f)(np.ones(4))


def test_an_error_in_the_function_comes_through_and_nothing_stays_switched_on() -> None:
    def f(x: Any, bad: bool) -> Any:
        if bad:
            raise KeyError("on purpose")
        return x * 2

    compiled = mg.compile(f)
    with pytest.raises(KeyError, match="on purpose"):
        compiled(1.0, True)
    assert not TRACING.get()
    assert not compiled.traces
    assert compiled(1.0, False) == 2.0
    assert (Value(1.0, requires_grad=False) * 2).op is None


def test_what_has_no_gradient_says_so() -> None:
    def both(x: Any) -> Any:
        return x.sum(), x

    with pytest.raises(ValueError, match=r"value_and_grad: both returns 2 results, of shapes \(\), \(2,\).*Reduce it"):
        mg.compile(both).value_and_grad(np.ones(2))
    with pytest.raises(TypeError, match="compile: needs a function, got int"):
        mg.compile(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="was not called yet"):
        _ = mg.compile(mg.tanh).source
    with pytest.raises(TypeError, match="positional argument"):
        mg.compile(lambda x: x)(1.0, 2.0)


def test_value_and_grad_of_a_constant_says_that_it_is_one() -> None:
    with pytest.raises(ValueError, match=r"constant|integer|float"):
        mg.compile(lambda x: x * x).value_and_grad(3)


def test_copies_share_nothing_that_breaks_them() -> None:
    f = mg.compile(nn.Linear(2, 3, rng=0))
    x = np.ones((1, 2))
    y = f(x).data
    for other in (copy.copy(f), copy.deepcopy(f)):
        np.testing.assert_array_equal(other(x).data, y)


def test_a_compiled_function_is_pickled_without_its_traces() -> None:
    f = mg.compile(mg.tanh)
    f(1.0)
    assert pickle.loads(pickle.dumps(f))(1.0) == f(1.0)


def test_the_attributes_of_an_object_do_not_hide_ours() -> None:
    class Net:
        def __init__(self) -> None:
            self.f = lambda x: x * 100

        def __call__(self, x: Any) -> Any:
            return x * 2

    assert mg.compile(Net())(1.0) == 2.0
