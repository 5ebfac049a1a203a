"""Operations of one's own: right ones work in every world, wrong ones are refused on the spot."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Primitive, Tensor, Value, nn
from microgradrnn.engine import PRIMITIVES
from tests.numerics import assert_same

define = Primitive.define


@pytest.fixture(autouse=True)
def _table() -> Iterator[None]:
    """What a test defines is forgotten after it."""
    before = dict(PRIMITIVES)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def of_the_lecture(x: float) -> float:
    """The hyperbolic tangent, as micrograd's lecture writes it."""
    e = math.exp(2 * x)
    return (e - 1) / (e + 1)


def own_tanh() -> Primitive:
    return define(of_the_lecture, lambda g, y, x: g * (1 - y * y), name="my_tanh")


def derivatives(f: Any, x: Any, n: int) -> list[Any]:
    """f and n derivatives of its sum, as plain numbers or arrays."""
    y, found = f(x), []
    for _ in range(n + 1):
        found.append(y.data)
        y = mg.grad(y.sum() if isinstance(y, Tensor) else y, x, create_graph=True)
    return found


@pytest.mark.parametrize("make", [lambda: Value(0.3), lambda: Tensor([[-2.0, 0.0, 0.7]])], ids=["Value", "Tensor"])
def test_the_lectures_tanh_equals_the_built_in_one_in_value_and_three_derivatives(make: Any) -> None:
    for ours, built_in in zip(derivatives(own_tanh(), make(), 3), derivatives(mg.tanh, make(), 3), strict=True):
        assert_same(ours, built_in, rel=1e-14)


def test_it_is_an_operation_like_any_other() -> None:
    op, x = own_tanh(), Tensor([0.5, -1.0])
    y = op(x)
    assert (y.op, y.op.symbol, y.inputs) == (op, "my_tanh", (x,))
    assert op.__doc__ == "The hyperbolic tangent, as micrograd's lecture writes it."
    assert op(0.5) == of_the_lecture(0.5), "plain numbers are just computed"
    np.testing.assert_allclose(op(np.array([0.5, 1.0])), np.tanh([0.5, 1.0]), rtol=1e-15)
    assert pickle.loads(pickle.dumps(op)) is op
    assert op(Tensor(np.ones((2, 3), np.float32))).dtype == np.float32
    assert mg.hessian(lambda x: op(x).sum(), x).shape == (2, 2)


@pytest.mark.parametrize(("forward", "rule"), [
    (lambda x: x**0.5, lambda g, y, x: g / (2 * y)), (math.log, lambda g, y, x: g / x),
    (np.log, lambda g, y, x: g / x), (math.asin, lambda g, y, x: g / mg.sqrt(1 - x * x)),
    (lambda x: 1 / x, lambda g, y, x: -g * y * y), (lambda x: x * x if x > 0 else 3 * x,
                                                    lambda g, y, x: g * mg.where(x > 0, 2 * x, 3.0)),
])
def test_where_the_forward_has_no_value_nothing_is_checked(forward: Any, rule: Any) -> None:
    op = define(forward, rule, name="own")
    assert mg.gradcheck(op, [np.array([0.2, 0.7])], order=2)
    assert mg.gradcheck(op, [0.4], order=2)


@pytest.mark.parametrize("forward", [lambda a, b: a * b * b, np.hypot], ids=["lambda", "ufunc"])
def test_two_inputs_broadcast_and_each_gets_its_own_gradient(forward: Any) -> None:
    rules = ((lambda g, y, a, b: g * b * b, lambda g, y, a, b: g * 2 * a * b) if forward is not np.hypot else
             (lambda g, y, a, b: g * a / y, lambda g, y, a, b: g * b / y))
    op, rng = define(forward, *rules, name="of_two"), np.random.default_rng(0)
    a, b = rng.uniform(0.5, 2, (4, 3)), rng.uniform(0.5, 2, (2, 1, 3))
    assert mg.gradcheck(op, [a, b], order=2)
    assert mg.gradcheck(op, [1.5, 0.7], order=2)
    assert mg.grad(op(a, x := Tensor(b)).sum(), x).shape == b.shape


def test_an_input_without_a_rule_gets_no_gradient() -> None:
    op = define(lambda x, keep: x * keep, lambda g, y, x, keep: g * keep, None, name="masked")
    x, keep = Tensor([1.0, 2.0, 3.0]), Tensor([1.0, 0.0, 1.0])
    op(x, keep).sum().backward()
    assert x.grad.tolist() == [1, 0, 1]
    assert keep.grad is None
    define(lambda x: float(x > 0.5), None, name="step")


def test_parameters_with_a_default_are_settings() -> None:
    def leaky(x: float, slope: float = 0.1) -> float:
        return x if x > 0 else slope * x

    op = define(leaky, lambda g, y, x, slope=0.1: g * mg.where(x > 0, 1.0, slope))
    x = Tensor([-2.0, 3.0])
    np.testing.assert_allclose(mg.grad(op(x).sum(), x), [0.1, 1])
    np.testing.assert_allclose(mg.grad(op(x, slope=0.25).sum(), x), [0.25, 1])
    assert mg.grad(op(v := Value(-2.0), slope=0.25), v) == 0.25


def test_an_operation_on_whole_arrays_is_checked_at_the_example_given() -> None:
    def outer(a: Any, b: Any) -> Any:
        return np.outer(a, b)

    op = define(outer, lambda g, y, a, b: g @ b, lambda g, y, a, b: a @ g, name="own_outer",
                at=[np.arange(1.0, 4), np.arange(2.0, 7)])
    rng = np.random.default_rng(0)
    assert mg.gradcheck(op, [rng.standard_normal(2), rng.standard_normal(5)], order=2)
    with pytest.raises(TypeError, match=r"own_outer: .* works on Tensors and arrays"):
        op(Value(1.0), Value(2.0))


def test_behind_a_where_an_infinite_slope_stays_out() -> None:
    op = define(np.log, lambda g, y, x: g / x, name="my_log")
    x = Tensor([-1.0, 0.0, 2.0])
    with np.errstate(all="ignore"):
        assert mg.grad(mg.where(x > 0, op(x), 0.0).sum(), x).tolist() == [0, 0, 0.5]


# ------------------------------------------------------------------------------------------------ compiled
def swish() -> Primitive:
    return define(lambda x: x / (1 + np.exp(-x)), lambda g, y, x: g * mg.sigmoid(x) * (1 + x * (1 - mg.sigmoid(x))),
                  name="swish")


@pytest.mark.parametrize("op", [swish, own_tanh])
@pytest.mark.parametrize("x", [0.3, np.linspace(-2, 2, 6).reshape(2, 3)], ids=["float", "array"])
def test_a_compiled_function_that_uses_it_gives_the_same(op: Any, x: Any) -> None:
    operation = op()
    compiled = mg.compile(f := lambda x: (operation(x) * x) * operation(x * 2))
    node = Value(x) if isinstance(x, float) else Tensor(x)
    y = f(node)
    assert_same(compiled(x), y.data, rel=1e-15)
    total = y.sum() if isinstance(y, Tensor) else y
    (g,) = compiled.value_and_grad(x)[1] if isinstance(x, float) else mg.compile(
        lambda x: f(x).sum()).value_and_grad(x)[1]
    assert_same(g, mg.grad(total, node), rel=1e-14)
    assert operation.name in str(compiled.equations())
    with pytest.raises(mg.TraceError, match=f"{operation.name} .* cannot be written as JavaScript"):
        compiled.javascript()


def test_a_variable_of_the_operations_name_does_not_hide_it() -> None:
    operation = swish()
    compiled = mg.compile(lambda x: mg.mark(operation(mg.mark(operation(x), "swish")), "swish") * x)
    x = Tensor(np.linspace(-1, 1, 5))
    assert_same(compiled(x.data), (operation(operation(x)) * x).data, rel=1e-15)


@pytest.mark.parametrize("op", [swish, own_tanh])
def test_a_compiled_loop_over_time_gives_the_same(op: Any) -> None:
    operation, rng = op(), np.random.default_rng(0)
    W, xs, h0 = Tensor(rng.standard_normal((3, 3))), rng.standard_normal((17, 2, 3)), rng.standard_normal((2, 3))

    def run(compiled: Any) -> Any:
        hs, _ = nn.unroll(lambda x, h: operation(h @ W + x), xs, h0, compiled=compiled)
        return hs.data, mg.grad((hs * hs).sum(), W)

    for ours, theirs in zip(run("numpy"), run(False), strict=True):
        assert_same(ours, theirs, rel=1e-12)


# ------------------------------------------------------------------------------------------------ what is wrong
WRONG: list[Any] = [
    (lambda: define(np.square, lambda g, y, x: g * x, name="wrong"), mg.GradcheckError, "operation 'wrong', input 0"),
    (lambda: define(lambda a, b: a * b, lambda g, y, a, b: g * b, lambda g, y, a, b: g * b, name="wrong"),
     mg.GradcheckError, "operation 'wrong', input 1"),
    (lambda: define(lambda x: x if x > 0 else 0.0, lambda g, y, x: g, name="wrong"), mg.GradcheckError, "input 0"),
    (lambda: define(lambda x: max(x, 1.5), lambda g, y, x: g * 0, name="wrong"), mg.GradcheckError, "input 0"),
    (lambda: define(lambda a, b: a * abs(b), lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, name="wrong"),
     mg.GradcheckError, "input 0"),
    (lambda: define(np.exp, lambda g, y, x: g * math.exp(x), name="wrong"), mg.GradcheckError,
     "second order: .*; a rule is .*mg.exp"),
    (lambda: define(math.exp, lambda g, y, x: g * np.exp(getattr(x, "data", x)), name="wrong"), mg.GradcheckError,
     "second order: .*; a rule is .*mg.exp"),
    (lambda: define(np.exp, lambda g, y: g * y, name="wrong"), mg.GradcheckError, "the rule fails: .*; a rule is"),
    (lambda: define(np.exp, lambda g, y, x: g * x.exp(), name="wrong"), TypeError, "cannot be checked: .*; a rule is"),
    (lambda: define(np.exp, name="wrong"), ValueError, "takes 1 input, and 0 rules were given"),
    (lambda: define(lambda a, b: a, None, name="wrong"), ValueError, "takes 2 inputs, and 1 rule was given"),
    (lambda: define(lambda x: x, None), ValueError, "'<lambda>' is no name"),
    (lambda: define(lambda x: x, None, name="tanh"), ValueError, "'tanh' has another meaning"),
    (lambda: define(lambda x: x, None, name="cbrt"), ValueError, "'cbrt' has another meaning"),
    (lambda: define(lambda x: x, None, name="wrong", at=[1.0, 2.0]), ValueError, "1 inputs, and at= has 2"),
    (lambda: define(np.sum, lambda g, y, x: g, name="wrong"), ValueError, "give an array as an example"),
    (lambda: define(lambda x: x - np.mean(x), lambda g, y, x: g, name="wrong"), ValueError, "give an array as an ex"),
    (lambda: define(math.acosh, lambda g, y, x: g, name="wrong"), ValueError, "wrong fails at 0.528: math domain"),
    (lambda: define(lambda x: x.sum(), lambda g, y, x: g, name="wrong"), AttributeError, "wrong fails at 0.528: "),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_a_wrong_operation_is_refused_and_leaves_the_table_as_it_was(call: Any, kind: Any, words: str) -> None:
    before = dict(PRIMITIVES)
    with pytest.raises(kind, match=f"Primitive.define: .*{words}"):
        call()
    assert before == PRIMITIVES


def test_it_may_be_defined_again_and_a_wrong_attempt_keeps_the_old_one() -> None:
    first = own_tanh()
    second = own_tanh()
    assert PRIMITIVES["my_tanh"] is second is not first
    with pytest.raises(mg.GradcheckError):
        define(of_the_lecture, lambda g, y, x: g, name="my_tanh")
    assert PRIMITIVES["my_tanh"] is second
    x = Value(0.5)
    assert mg.grad(first(x), x) == mg.grad(second(x), x)


# ------------------------------------------------------------------------------------------------ micrograd's closure
def test_micrograds_children_and_closure_are_answered_with_define() -> None:
    a, b = Value(2.0), Value(3.0)
    with pytest.raises(TypeError, match=r"Value: a leaf has no children.*mg\.Primitive\.define\(forward, rule"):
        Value(a.data * b.data, (a, b), "*")
    out = Value(6.0, (), "", label="out")
    assert out.label == "out"
    with pytest.raises(AttributeError, match=r"no _backward to be set; .*mg\.Primitive\.define"):
        out._backward = lambda: None
    with pytest.raises(AttributeError, match=r"backward\(\) does the whole pass, and .*mg\.Primitive\.define"):
        out._backward()
