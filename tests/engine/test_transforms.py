"""vjp, jvp, jacobian, hessian and hvp against torch.func, finite differences, and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value, nn
from microgradrnn.engine import Node
from tests.numerics import assert_same, finite_differences

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X, Y = RNG.uniform(0.3, 1.2, (3, 4)), RNG.uniform(0.3, 1.2, (4,))
V, U = RNG.standard_normal((3, 4)), RNG.standard_normal((4,))
A = RNG.standard_normal((4, 2))


def recurrent(m: Any, x: Any, y: Any) -> Any:
    """Three steps over the rows of x, with y inside: something of everything."""
    h = y
    for t in range(3):
        h = m.tanh(x[t] * h + y) * m.sigmoid(h)
    return h


FUNCTIONS: dict[str, Any] = {
    "elementwise": lambda m, x, y: m.exp(x) * m.sin(y) / (1 + x * x),
    "a recurrence": recurrent,
    "a product": lambda m, x, y: (x * y) @ (A if m is mg else torch.tensor(A)),
    "one number": lambda m, x, y: m.log(x).sum() * (y * y).sum(),
    "independent of y": lambda m, x, y: x * x,
    "a moved input": lambda m, x, y: (x * y)[1:, ::2],
    "x itself": lambda m, x, y: x,
    "linear": lambda m, x, y: 2.0 * x - y,
}
every = pytest.mark.parametrize("name", FUNCTIONS)


@every
def test_vjp_equals_pytorch(name: str) -> None:
    f = FUNCTIONS[name]
    y, pull = mg.vjp(lambda a, b: f(mg, a, b), X, Y)
    y_t, pull_t = torch.func.vjp(lambda a, b: f(torch, a, b), torch.tensor(X), torch.tensor(Y))
    assert isinstance(y, np.ndarray)
    assert_same(y, y_t.numpy(), rel=1e-14)
    for salt in range(2):  # the pull-back may be used again
        g = np.random.default_rng(salt).standard_normal(y.shape)
        for ours, theirs in zip(pull(g), pull_t(torch.tensor(g)), strict=True):
            assert isinstance(ours, np.ndarray)
            assert_same(ours, theirs.numpy(), rel=1e-13)


@every
def test_jvp_equals_pytorch(name: str) -> None:
    f = FUNCTIONS[name]
    y, change = mg.jvp(lambda a, b: f(mg, a, b), [X, Y], [V, U])
    y_t, change_t = torch.func.jvp(lambda a, b: f(torch, a, b), tuple(map(torch.tensor, (X, Y))),
                                   tuple(map(torch.tensor, (V, U))))
    assert_same(y, y_t.numpy(), rel=1e-14)
    assert_same(change, change_t.numpy(), rel=1e-13)


@every
def test_jacobian_equals_pytorch(name: str) -> None:
    f = FUNCTIONS[name]
    ours = mg.jacobian(lambda a: f(mg, a, Y), X)
    theirs = torch.func.jacrev(lambda a: f(torch, a, torch.tensor(Y)))(torch.tensor(X))
    assert_same(ours, theirs.numpy(), rel=1e-13)
    ours = mg.jacobian(lambda b: f(mg, Tensor(X, requires_grad=False), b), Y)
    theirs = torch.func.jacrev(lambda b: f(torch, torch.tensor(X), b))(torch.tensor(Y))
    assert_same(ours, theirs.numpy(), rel=1e-13)


@every
def test_hessian_equals_pytorch_and_is_symmetric(name: str) -> None:
    f = FUNCTIONS[name]
    ours = mg.hessian(lambda a: mg.square(f(mg, a, Y)).sum(), X)
    theirs = torch.func.hessian(lambda a: (f(torch, a, torch.tensor(Y)) ** 2).sum())(torch.tensor(X))
    assert ours.shape == X.shape * 2
    assert_same(ours, theirs.numpy(), rel=1e-12)
    flat = ours.reshape(X.size, X.size)
    assert_same(flat, flat.T, rel=1e-12)


@every
def test_hvp_equals_the_hessian_times_the_direction_and_pytorch(name: str) -> None:
    f = FUNCTIONS[name]
    ours = mg.hvp(lambda a, b: mg.square(f(mg, a, b)).sum(), [X, Y], [V, U])
    _, theirs = torch.autograd.functional.hvp(lambda a, b: (f(torch, a, b) ** 2).sum(),
                                              tuple(map(torch.tensor, (X, Y))), tuple(map(torch.tensor, (V, U))))
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a, b.numpy(), rel=1e-12)
    (one,) = mg.hvp(lambda a: mg.square(f(mg, a, Y)).sum(), [X], [V])
    whole = mg.hessian(lambda a: mg.square(f(mg, a, Y)).sum(), X)
    assert_same(one, np.einsum("ijkl,kl->ij", whole, V), rel=1e-12)


@every
def test_jvp_and_vjp_are_transposes_of_each_other(name: str) -> None:
    f = FUNCTIONS[name]
    y, pull = mg.vjp(lambda a, b: f(mg, a, b), X, Y)
    _, change = mg.jvp(lambda a, b: f(mg, a, b), [X, Y], [V, U])
    g = RNG.standard_normal(y.shape)
    gx, gy = pull(g)
    assert float((g * change).sum()) == pytest.approx(float((gx * V).sum() + (gy * U).sum()), rel=1e-12, abs=1e-13)


def test_on_values_everything_is_a_plain_float() -> None:
    def f(a: Any, b: Any) -> Any:
        return (a * b).tanh() + a**3

    a, b, da, db = 0.7, -1.3, 0.4, 2.0
    t = np.tanh(a * b)
    fa, fb = (1 - t * t) * b + 3 * a * a, (1 - t * t) * a
    y, pull = mg.vjp(f, a, b)
    assert (y, pull(1.0)) == (pytest.approx(t + a**3, rel=1e-15), pytest.approx((fa, fb), rel=1e-14))
    y, change = mg.jvp(f, [a, b], [da, db])
    assert change == pytest.approx(fa * da + fb * db, rel=1e-14)
    slope = mg.jacobian(lambda x: f(x, b), a)
    assert slope == pytest.approx(fa, rel=1e-14)
    curvature = mg.hessian(lambda x: f(x, b), a)
    assert curvature == pytest.approx(-2 * t * (1 - t * t) * b * b + 6 * a, rel=1e-13)
    (product,) = mg.hvp(lambda x: f(x, b), [a], [2.0])
    assert product == pytest.approx(2 * curvature, rel=1e-14)
    for result in (y, change, slope, curvature, product, *pull(2.0)):
        assert type(result) is float


def test_functions_that_do_not_depend_on_an_input_have_gradient_zero_there() -> None:
    _, pull = mg.vjp(lambda a, b: a * 2, X, Y)
    assert_same(pull(np.ones_like(X))[1], np.zeros(4))
    assert_same(mg.jvp(lambda a, b: a * 2, [X, Y], [0 * V, U])[1], np.zeros((3, 4)))
    assert_same(mg.hessian(lambda a: a.sum(), Y), np.zeros((4, 4)))
    constant = Tensor(np.ones(2), requires_grad=False)
    assert_same(mg.vjp(lambda a: constant * 2, Y)[1](np.ones(2))[0], np.zeros(4))
    assert_same(mg.jvp(lambda a: constant * 2, [Y], [U])[1], np.zeros(2))
    assert_same(mg.jacobian(lambda a: constant * 2, Y), np.zeros((2, 4)))
    assert_same(mg.hvp(lambda a: (constant * 2).sum() + a.sum(), [Y], [U])[0], np.zeros(4))
    assert_same(mg.hessian(lambda a: constant.sum(), Y), np.zeros((4, 4)))
    assert_same(mg.hvp(lambda a: constant.sum(), [Y], [U])[0], np.zeros(4))
    assert mg.hessian(lambda a: Value(3.0, requires_grad=False), 2.0) == 0.0
    with pytest.raises(ValueError, match="only a single number has a gradient"):
        mg.hessian(lambda a: constant, Y)


def test_a_function_that_is_detached_somewhere_is_differentiated_where_it_is_not() -> None:
    _, pull = mg.vjp(lambda a: a * a.detach(), Y)
    assert_same(pull(np.ones(4))[0], Y)
    assert_same(mg.jvp(lambda a: a * a.detach(), [Y], [U])[1], Y * U)
    assert_same(mg.hessian(lambda a: (a * a * a.detach()).sum(), Y), np.diag(2 * Y))


def test_all_of_them_work_inside_no_grad() -> None:
    f = FUNCTIONS["a recurrence"]

    def results() -> list[Any]:
        _, pull = mg.vjp(lambda a, b: f(mg, a, b), X, Y)
        return [*pull(U), mg.jvp(lambda a, b: f(mg, a, b), [X, Y], [V, U])[1], mg.jacobian(lambda a: f(mg, a, Y), X),
                mg.hessian(lambda b: f(mg, X, b).sum(), Y), *mg.hvp(lambda b: f(mg, X, b).sum(), [Y], [U])]

    recorded = results()
    with mg.no_grad():
        for a, b in zip(results(), recorded, strict=True):
            np.testing.assert_array_equal(a, b)
        assert np.abs(recorded[-1]).max() > 0.1


def test_shapes_of_the_jacobian_are_those_of_output_and_input() -> None:
    for out, shape in [((2, 3), (4,)), ((), (2, 2)), ((3,), ()), ((0,), (2,)), ((2,), (0,))]:
        x = np.ones(shape)
        J = mg.jacobian(lambda a, out=out: mg.broadcast_to(a.sum(), out) * 2.0, x)
        assert J.shape == out + shape
        assert_same(J, np.full(out + shape, 2.0))


def test_a_network_s_parameters_can_be_given_to_hvp() -> None:
    cell, xs = nn.LSTM(2, 3, rng=0), RNG.standard_normal((4, 2, 2))

    def loss(*_: Any) -> Any:
        hs, _ = cell(xs)
        return mg.square(hs).sum()

    parameters = list(cell.parameters())
    directions = [RNG.standard_normal(p.shape) for p in parameters]
    products = mg.hvp(loss, parameters, directions)
    at = [np.array(p.data) for p in parameters]

    def slope(step: float) -> list[Any]:
        for p, a, v in zip(parameters, at, directions, strict=True):
            p.data = a + step * v
        return list(mg.grad(loss(), parameters))

    h = 1e-3
    ahead, behind, far, near = slope(h), slope(-h), slope(2 * h), slope(-2 * h)
    for product, a, b, c, d in zip(products, ahead, behind, far, near, strict=True):
        assert_same(product, (8 * (a - b) - (c - d)) / (12 * h), rel=1e-7)


def test_gradients_of_gradients_of_gradients() -> None:
    """To the fourth order, on both kinds of node."""
    for make in (Value, Tensor):
        x = make(0.4)
        g: Any = mg.sin(x) * mg.exp(x)  # its fourth derivative is -4 times itself
        for _ in range(4):
            g = mg.grad(g, x, create_graph=True)
        assert g.item() == pytest.approx(-4 * np.sin(0.4) * np.exp(0.4), rel=1e-13)


@pytest.mark.parametrize("name", ["elementwise", "a recurrence"])
def test_third_derivatives_equal_differences_of_second_ones(name: str) -> None:
    f = FUNCTIONS[name]

    def quadratic_form(x: np.ndarray) -> float:
        return float((mg.hvp(lambda a: mg.square(f(mg, a, Y)).sum(), [x], [V])[0] * V).sum())

    x = Tensor(X)
    (g,) = mg.grad(mg.square(f(mg, x, Y)).sum(), [x], create_graph=True)
    (h,) = mg.grad((g * V).sum(), [x], create_graph=True)
    assert_same(mg.grad((h * V).sum(), x), finite_differences(quadratic_form, [X])[0], rel=1e-6)


def test_a_node_is_differentiated_where_it_stands() -> None:
    x = Tensor(Y)
    y = mg.exp(x)
    result, pull = mg.vjp(lambda a: a * a, y)
    assert_same(result, np.exp(2 * Y))
    assert_same(pull(np.ones(4))[0], 2 * np.exp(Y))
    assert x.grad is None


@pytest.mark.parametrize("transform", [lambda f: mg.vjp(f, Y), lambda f: mg.jvp(f, [Y], [U]),
                                       lambda f: mg.jacobian(f, Y), lambda f: mg.hessian(f, Y),
                                       lambda f: mg.hvp(f, [Y], [U])])
def test_a_function_must_return_a_node(transform: Any) -> None:
    for bad in (lambda x: x.data, lambda x: 3.0, lambda x: (x, x)):
        with pytest.raises(TypeError, match="the function must return a node"):
            transform(bad)


def test_directions_must_have_the_shapes_of_the_inputs() -> None:
    for transform in (mg.jvp, mg.hvp):
        for directions in ([U, U], [V], [V, U[:, None]], [V, 1.0]):
            with pytest.raises(ValueError, match="inputs have shapes"):
                transform(lambda a, b: (a * b).sum(), [X, Y], directions)


def test_a_hessian_is_of_one_number() -> None:
    with pytest.raises(ValueError, match="only a single number has a gradient"):
        mg.hessian(lambda a: a * a, Y)


def test_a_seed_of_another_shape_is_refused() -> None:
    _, pull = mg.vjp(lambda a: a * a, Y)
    with pytest.raises(ValueError, match=r"shape \(3,\).* \(4,\)"):
        pull(np.ones(3))


def test_float32_stays_float32() -> None:
    x = Y.astype(np.float32)
    v = U.astype(np.float32)
    y, change = mg.jvp(lambda a: a.tanh(), [x], [v])
    results = [y, change, mg.jacobian(mg.tanh, x), mg.hessian(lambda a: a.tanh().sum(), x),
               *mg.hvp(lambda a: a.tanh().sum(), [x], [v]), *mg.vjp(mg.tanh, x)[1](v)]
    assert {r.dtype for r in results} == {np.dtype(np.float32)}
    assert not any(isinstance(r, Node) for r in results)
