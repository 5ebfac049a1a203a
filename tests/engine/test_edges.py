"""Where the mathematics has corners: zeros, ties, infinities, saturation. Values and Tensors agree with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value

torch = pytest.importorskip("torch")

INF, NAN = float("inf"), float("nan")

EDGES = [
    ("sqrt", lambda m, x: m.sqrt(x), [0.0, 4.0, -1.0]),
    ("log", lambda m, x: m.log(x), [0.0, 1e-300, INF]),
    ("exp", lambda m, x: m.exp(x), [1000.0, -1000.0, -INF]),
    ("sigmoid", lambda m, x: m.sigmoid(x), [-800.0, -40.0, 36.0, 800.0, -INF, INF]),
    ("tanh", lambda m, x: m.tanh(x), [-800.0, 20.0, INF, -INF]),
    ("relu", lambda m, x: m.relu(x), [0.0, -0.0, INF, -INF]),
    ("abs", lambda m, x: m.abs(x), [0.0, -INF]),
    ("reciprocal", lambda m, x: 1 / x, [0.0, -0.0, INF]),
    ("quotient of zeros", lambda m, x: x / x, [0.0]),
    ("power 0.5", lambda m, x: x**0.5, [0.0, 4.0, -1.0]),
    ("power 2", lambda m, x: x**2, [0.0, -3.0]),
    ("power 1", lambda m, x: x**1, [0.0, -3.0]),
    ("power 0", lambda m, x: x**0, [0.0, -3.0]),
    ("power -1", lambda m, x: x**-1, [0.0, -2.0]),
    ("power of 0", lambda m, x: 0.0**x, [2.0, 1.0, 0.5]),
    ("overflow of a power", lambda m, x: x**3, [1e200]),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("make", [Value, Tensor], ids=["Value", "Tensor"])
@pytest.mark.parametrize(("f", "at"), [(f, x) for _, f, xs in EDGES for x in xs],
                         ids=[f"{name} at {x}" for name, _, xs in EDGES for x in xs])
def test_value_and_slope_at_an_edge_are_those_of_pytorch(f: Any, at: float, make: Any) -> None:
    x, x_torch = make(at), torch.tensor(at, dtype=torch.float64, requires_grad=True)
    y, y_torch = f(mg, x), f(torch, x_torch)
    y.backward()
    y_torch.backward()
    np.testing.assert_allclose(y.item(), y_torch.item(), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(float(x.grad), x_torch.grad.item(), rtol=1e-12, atol=1e-300)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_exponent_0_and_the_base_0_have_finite_slopes(create_graph: bool) -> None:
    a, b = Tensor([0.0, 0.0, 2.0]), Tensor([0.0, 2.0, 0.0])
    y = a**b
    ga, gb = mg.grad(y.sum(), [a, b], create_graph=create_graph)
    ga, gb = (g.data if create_graph else g for g in (ga, gb))
    np.testing.assert_allclose(ga, [0.0, 0.0, 0.0])
    np.testing.assert_allclose(gb[1:], [0.0, np.log(2.0)])


def test_where_lets_no_nan_of_the_branch_not_taken_through() -> None:
    x = Tensor([-1.0, 4.0])
    with np.errstate(invalid="ignore"):
        y = mg.where(x > 0, mg.sqrt(mg.where(x > 0, x, 1.0)), 0.0)
        np.testing.assert_array_equal(mg.grad(y.sum(), x), [0.0, 0.25])
        bare = mg.where(x > 0, mg.sqrt(x), 0.0)
    np.testing.assert_array_equal(bare.data, [0.0, 2.0])


def test_softmax_family_is_safe_from_overflow() -> None:
    row = np.array([[1000.0, 0.0, -1000.0], [-1e6, -1e6, -1e6 + 1]])
    for ours, theirs in [(mg.softmax, torch.softmax), (mg.log_softmax, torch.log_softmax),
                         (lambda x, a: mg.logsumexp(x, a), torch.logsumexp)]:
        x, x_torch = Tensor(row), torch.tensor(row, requires_grad=True)
        y, y_torch = ours(x, -1), theirs(x_torch, -1)
        seed = np.arange(1.0, 1.0 + y.size).reshape(y.shape)
        y.backward(seed)
        y_torch.backward(torch.tensor(seed))
        np.testing.assert_allclose(y.data, y_torch.detach().numpy(), rtol=1e-13)
        np.testing.assert_allclose(x.grad, x_torch.grad.numpy(), rtol=1e-9, atol=1e-15)


def test_masked_entries_of_a_softmax_get_no_weight_and_no_gradient() -> None:
    scores = np.array([0.5, -INF, 1.5])
    for f in (mg.softmax, mg.logsumexp):
        x = Tensor(scores)
        y = f(x)
        g = mg.grad(y, x, seed=np.ones(y.shape) * np.arange(1.0, 1.0 + y.size).reshape(y.shape))
        assert np.isfinite(y.data).all()
        assert np.isfinite(g).all()
        assert g[1] == 0.0


def test_sigmoid_keeps_its_relative_accuracy_far_below_zero() -> None:
    for x in (-50.0, -300.0, -700.0):
        assert float(mg.sigmoid(Tensor(x)).data) == pytest.approx(np.exp(x), rel=1e-14)
        assert mg.sigmoid(Value(x)).data == pytest.approx(np.exp(x), rel=1e-14)


def test_a_saturated_float32_sigmoid_is_no_nan() -> None:
    x = Tensor(np.array([-200.0, 200.0, -90.0], dtype=np.float32))
    y = mg.sigmoid(x)
    y.sum().backward()
    np.testing.assert_allclose(y.data, [0, 1, 0], atol=1e-30)
    assert np.isfinite(x.grad).all()
