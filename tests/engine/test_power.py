"""Powers: all derivatives to third order, also where the exponent is a node that is 0 or 1, and at 0 and infinity."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value
from tests.numerics import finite_differences

INF = math.inf
both_kinds = pytest.mark.parametrize("make", [Value, Tensor], ids=["Value", "Tensor"])
both_modes = pytest.mark.parametrize("create_graph", [False, True], ids=["plain", "create_graph"])

# d^n (a ** b) by the number of times that each of a and b is differentiated by.
DERIVATIVES = {
    (1, 0): lambda a, b: b * a ** (b - 1),
    (0, 1): lambda a, b: a**b * math.log(a),
    (2, 0): lambda a, b: b * (b - 1) * a ** (b - 2),
    (1, 1): lambda a, b: a ** (b - 1) * (1 + b * math.log(a)),
    (0, 2): lambda a, b: a**b * math.log(a) ** 2,
    (3, 0): lambda a, b: b * (b - 1) * (b - 2) * a ** (b - 3),
    (2, 1): lambda a, b: a ** (b - 2) * (2 * b - 1 + b * (b - 1) * math.log(a)),
    (1, 2): lambda a, b: a ** (b - 1) * math.log(a) * (2 + b * math.log(a)),
    (0, 3): lambda a, b: a**b * math.log(a) ** 3,
}
ORDERS = [order for n in (1, 2, 3) for order in product("ab", repeat=n)]


@both_kinds
@pytest.mark.parametrize("order", ORDERS, ids="".join)
@pytest.mark.parametrize("at", [(a, b) for a in (2.0, 0.3) for b in (0.0, -0.0, 1.0, 2.0, 3.0, -1.0, 0.5)], ids=str)
def test_derivatives_in_every_order_are_those_of_the_formulas(at: Any, order: Any, make: Any) -> None:
    inputs = {"a": make(at[0]), "b": make(at[1])}
    y = inputs["a"] ** inputs["b"]
    for name in order:
        y = mg.grad(y, inputs[name], create_graph=True)
    expected = DERIVATIVES[order.count("a"), order.count("b")](*at)
    assert float(y.data) == pytest.approx(expected, rel=1e-14, abs=1e-15)


def test_the_mixed_second_derivative_at_an_exponent_0_is_one_over_the_base() -> None:
    a, b = Tensor([2.0, 4.0, 5.0]), Tensor(0.0)  # one exponent for all: its gradient is a sum
    (slope,) = mg.grad((a**b).sum(), [a], create_graph=True)
    assert mg.grad(slope.sum(), b) == pytest.approx(1 / 2 + 1 / 4 + 1 / 5, rel=1e-15)
    (numeric,) = finite_differences(lambda b: mg.grad((a ** Tensor(b)).sum(), a).sum(), [np.array(0.0)])
    assert mg.grad(slope.sum(), b) == pytest.approx(float(numeric), rel=1e-8)


@both_kinds
def test_a_constant_exponent_has_the_derivatives_of_a_polynomial(make: Any) -> None:
    for n, at in product((0, 1, 2, 3), (0.0, -1.5, 2.0)):
        x = make(at)
        y = x**n
        for order in (1, 2, 3):
            y = mg.grad(y, x, create_graph=True)
            expected = math.perm(n, order) * at ** max(n - order, 0)
            assert float(y.data) == pytest.approx(expected, rel=1e-15)


@both_kinds
@both_modes
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("a", "b", "by_a", "by_b"), [
    (INF, 0.0, 0.0, INF), (INF, 1.0, 1.0, INF), (INF, -1.0, 0.0, 0.0), (INF, -0.5, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 0.0), (0.0, 0.5, INF, 0.0), (0.0, -1.0, -INF, -INF), (0.0, -0.5, -INF, -INF),
])  # fmt: skip
def test_slopes_at_0_and_at_infinity(a: float, b: float, by_a: float, by_b: float, make: Any,
                                     create_graph: bool) -> None:
    xs = [make(a), make(b)]
    assert [float(g) for g in mg.grad(xs[0] ** xs[1], xs, create_graph=create_graph)] == [by_a, by_b]
    assert float(mg.grad(xs[0] ** b, xs[0], create_graph=create_graph)) == by_a
    assert float(mg.grad(a ** xs[1], xs[1], create_graph=create_graph)) == by_b


@both_kinds
@both_modes
@pytest.mark.parametrize("at", [INF, -INF, 1e-310, 1e308])
def test_the_exponent_0_is_flat_everywhere(at: float, make: Any, create_graph: bool) -> None:
    x = make(at)
    assert float(mg.grad(x**0, x, create_graph=create_graph)) == 0.0
    assert float(mg.grad(x**0.0, x, create_graph=create_graph)) == 0.0
