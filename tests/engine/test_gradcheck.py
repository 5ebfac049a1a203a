"""gradcheck: it passes what is right, and catches every mistake that was planted."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.engine import PRIMITIVES, GradcheckError
from tests.engine.operations import TABLE, Case, inputs
from tests.engine.wrong_rules import WRONG, Wrong, planted


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_every_operation_passes_in_both_orders(case: Case) -> None:
    assert mg.gradcheck(case.ours, inputs(case), order=2, rtol=1e-5)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.mistake)
def test_a_wrong_rule_is_caught_and_named(wrong: Wrong) -> None:
    with planted(wrong) as (op, f, xs):
        if wrong.order == 2:
            assert mg.gradcheck(f, xs, order=1), "it should be wrong at second order only"
        with pytest.raises(GradcheckError) as caught:
            mg.gradcheck(f, xs, order=wrong.order)
        name = "minus_sine" if "inside a right one" in wrong.mistake else op.name
    words = str(caught.value)
    if wrong.named:
        assert f"operation {name!r}, input {wrong.input}" in words
    elif wrong.order == 2:
        assert "second order: the gradient of the gradient, input" in words
    else:
        assert f"the whole function, input {wrong.input}" in words
    if "of another shape" in wrong.mistake:
        assert "shape" in words
    elif "very many" in wrong.mistake:
        assert "random direction" in words
    else:
        assert re.search(r"entry \(|its value", words)
        says, numbers = re.search(r"the rule says (\S+), differences say (\S+)$", words).groups()  # type: ignore[union-attr]
        assert abs(float(says) - float(numbers)) > 1e-6


def test_the_mistakes_are_many_and_different() -> None:
    assert len({wrong.mistake for wrong in WRONG}) == len(WRONG) >= 20


def test_planting_leaves_the_table_of_operations_as_it_was() -> None:
    before = dict(PRIMITIVES)
    with planted(WRONG[0]) as (op, _, _):
        assert PRIMITIVES[op.name] is op
    assert before == PRIMITIVES
    assert list(before) == list(PRIMITIVES)


def test_a_right_rule_in_the_place_of_each_wrong_one_passes() -> None:
    """The mistakes are caught for what is wrong in them, not for how they are planted."""
    right: dict[str, Any] = {"cos": mg.cos, "subtract": mg.subtract, "tanh": mg.tanh, "softmax": mg.softmax,
                             "square": mg.square, "exp": mg.exp, "add": mg.add, "multiply": mg.multiply,
                             "divide": mg.divide, "sqrt": mg.sqrt, "matmul": mg.matmul, "negative": mg.negative,
                             "affine": mg.affine, "abs": mg.abs, "sin": mg.sin, "log2": mg.log2}
    passed = set()
    for wrong in WRONG:
        with planted(wrong) as (op, _, xs):
            name = op.name
        if name in right and "slice" not in wrong.mistake:
            f = wrong.use(right[name])
            assert mg.gradcheck(f, xs, order=2, rtol=1e-5)
            passed.add(name)
    assert passed == set(right)


def test_the_entry_that_is_wrong_is_named() -> None:
    wrong = next(w for w in WRONG if w.mistake == "wrong only in one entry")
    words = r"operation 'negative', input 0, entry \(1, 2\)"
    with planted(wrong) as (_, f, xs), pytest.raises(GradcheckError, match=words):
        mg.gradcheck(f, xs)


def test_the_scope_and_time_step_of_the_wrong_operation_are_named() -> None:
    wrong = WRONG[0]
    with planted(wrong) as (op, _, xs):
        def f(x: Any) -> Any:
            with mg.scope("net", step=3):
                return op(x * 1.0)

        with pytest.raises(GradcheckError, match=r"operation 'cos', input 0 \[in net, t=3\]"):
            mg.gradcheck(f, xs)


def test_a_mistake_deep_inside_a_net_is_named() -> None:
    wrong = next(w for w in WRONG if w.mistake == "missing term")
    with planted(wrong) as (op, _, _):
        def f(x: Any, w: Any) -> Any:
            h = x[0]
            for t in range(4):
                h = op(h @ w + x[t]) if t == 2 else mg.tanh(h @ w + x[t])
            return h.sum()

        rng = np.random.default_rng(0)
        with pytest.raises(GradcheckError, match="operation 'tanh', input 0"):
            mg.gradcheck(f, [rng.standard_normal((4, 2, 3)), rng.standard_normal((3, 3))])


@pytest.mark.parametrize("f", [
    lambda x: x * x.detach(),
    lambda x: Tensor(x.data, requires_grad=False) * x,
    lambda x: x * float(x.data.flat[0]),
])
def test_a_value_detached_by_mistake_is_seen_by_the_whole_function(f: Any) -> None:
    with pytest.raises(GradcheckError, match="the whole function, input 0"):
        mg.gradcheck(f, [np.array([0.5, 1.5])])


def test_a_function_that_is_detached_altogether_is_caught() -> None:
    with pytest.raises(GradcheckError, match="the rule says 0"):
        mg.gradcheck(lambda x: (x * x).detach() + 0 * x.detach(), [np.array([0.5, 1.5])])


def test_a_wrong_hook_is_caught() -> None:
    def f(x: Any) -> Any:
        h = x * 2
        h.register_hook(lambda g: 2 * g)
        return h

    with pytest.raises(GradcheckError, match="the whole function"):
        mg.gradcheck(f, [np.array([0.5])])


def test_values_tensors_and_parameters_of_a_module_pass() -> None:
    assert mg.gradcheck(lambda a, b: (a * b).tanh() + a**3, [0.5, -1.5], order=2)
    assert mg.gradcheck(lambda a: a.exp(), [Value(0.3)], order=2)
    cell, xs = nn.GRUCell(2, 3, rng=0), np.random.default_rng(0).standard_normal((3, 2, 2))
    assert mg.gradcheck(lambda *_: nn.unroll(cell, xs)[0], list(cell.parameters()), order=2, rtol=1e-5)


def test_inputs_are_left_as_they_were() -> None:
    x = Tensor([0.5, 1.5])
    data = x.data
    mg.gradcheck(lambda a: a.tanh(), [x], order=2)
    np.testing.assert_array_equal(x.data, data)
    assert x.grad is None
    with pytest.raises(GradcheckError):
        mg.gradcheck(lambda a: a * a.detach(), [x])
    np.testing.assert_array_equal(x.data, [0.5, 1.5])


def test_a_large_input_is_checked_along_random_directions() -> None:
    x = np.random.default_rng(0).uniform(0.5, 1.5, (30, 40))
    assert mg.gradcheck(lambda a: mg.log(a) * a, [x], order=2)
    with pytest.raises(GradcheckError, match="random direction"):
        mg.gradcheck(lambda a: mg.log(a) * a.detach(), [x])


def test_it_works_under_no_grad_too() -> None:
    with mg.no_grad():
        assert mg.gradcheck(mg.tanh, [np.array([0.5])], order=2)
        with pytest.raises(GradcheckError):
            mg.gradcheck(lambda x: x * x.detach(), [np.array([0.5])])


def test_a_branch_not_taken_does_no_harm() -> None:
    x = np.array([-1.0, 0.5, 2.0])
    with np.errstate(invalid="ignore", divide="ignore"):
        assert mg.gradcheck(lambda a: mg.where(x > 0, mg.log(a) * mg.sqrt(a), a * a), [x], order=2)


def test_float32_is_refused() -> None:
    with pytest.raises(TypeError, match="input 1 is float32; differences need float64"):
        mg.gradcheck(lambda a, b: a * b, [np.ones(2), np.ones(2, np.float32)])


@pytest.mark.parametrize("order", [0, 3, "1"])
def test_the_order_is_1_or_2(order: Any) -> None:
    with pytest.raises(ValueError, match="order is 1 or 2"):
        mg.gradcheck(mg.tanh, [np.ones(2)], order=order)


def test_the_function_must_return_a_node() -> None:
    with pytest.raises(TypeError, match="must return a node, got"):
        mg.gradcheck(lambda x: x.data, [np.ones(2)])
