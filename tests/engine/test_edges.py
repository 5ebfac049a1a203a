"""Where the mathematics has corners: zeros, ties, infinities, saturation. Values and Tensors agree with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, Value
from microgradrnn.engine.node import plain

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


# --------------------------------------------------------------------------------- where no derivative exists
# What is taken there: the function, where, and the gradient of each input (see docs/edges.md).
SUBGRADIENTS: dict[str, tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = {
    "relu at 0": (mg.relu, (0.0,), (0.0,)),
    "abs at 0": (mg.abs, (0.0,), (0.0,)),
    "sign at 0": (mg.sign, (0.0,), (0.0,)),
    "maximum at a tie": (mg.maximum, (2.0, 2.0), (0.5, 0.5)),
    "minimum at a tie": (mg.minimum, (2.0, 2.0), (0.5, 0.5)),
    "clip at its lower bound": (lambda x: mg.clip(x, -1.0, 1.0), (-1.0,), (1.0,)),
    "clip at its upper bound": (lambda x: mg.clip(x, -1.0, 1.0), (1.0,), (1.0,)),
    "clip outside": (lambda x: mg.clip(x, -1.0, 1.0), (1.5,), (0.0,)),
    "floor at a jump": (mg.floor, (2.0,), (0.0,)),
    "ceil at a jump": (mg.ceil, (2.0,), (0.0,)),
    "round at a jump": (mg.round, (2.5,), (0.0,)),
    "sqrt at 0": (mg.sqrt, (0.0,), (INF,)),
    "log at 0": (mg.log, (0.0,), (INF,)),
    "power at 0 ** 0": (lambda a, b: a**b, (0.0, 0.0), (0.0, 0.0)),
    "power at 0 ** 2": (lambda a, b: a**b, (0.0, 2.0), (0.0, 0.0)),
    "power at 0 ** 0.5": (lambda a: a**0.5, (0.0,), (INF,)),
}
ARRAY_SUBGRADIENTS: dict[str, tuple[Any, Any, Any]] = {
    "norm at 0": (mg.norm, [0.0, 0.0], [0.0, 0.0]),
    "std where all are equal": (mg.std, [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]),
    "var where all are equal": (mg.var, [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]),
    "max at a tie of three": (mg.max, [1.0, 4.0, 4.0, 4.0], [0.0, 1 / 3, 1 / 3, 1 / 3]),
    "min at a tie of two": (mg.min, [1.0, 4.0, 1.0], [0.5, 0.0, 0.5]),
    "prod with one 0": (mg.prod, [2.0, 0.0, 5.0], [0.0, 10.0, 0.0]),
    "prod with two 0s": (mg.prod, [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
}
both_kinds = pytest.mark.parametrize("make", [Value, Tensor], ids=["Value", "Tensor"])
both_modes = pytest.mark.parametrize("create_graph", [False, True], ids=["plain", "create_graph"])
quietly = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@quietly
@both_kinds
@both_modes
@pytest.mark.parametrize("name", SUBGRADIENTS)
def test_the_subgradient_taken_is_that_of_the_table(name: str, make: Any, create_graph: bool) -> None:
    f, at, expected = SUBGRADIENTS[name]
    xs = [make(x) for x in at]
    for g, e in zip(mg.grad(f(*xs), xs, create_graph=create_graph), expected, strict=True):
        assert float(g) == e


@quietly
@both_modes
@pytest.mark.parametrize("name", ARRAY_SUBGRADIENTS)
def test_the_subgradient_taken_by_a_reduction_is_that_of_the_table(name: str, create_graph: bool) -> None:
    f, at, expected = ARRAY_SUBGRADIENTS[name]
    x = Tensor(at)
    g = mg.grad(f(x), x, create_graph=create_graph)
    np.testing.assert_allclose(g.data if create_graph else g, expected, rtol=1e-15)


@pytest.mark.parametrize("name", [*SUBGRADIENTS, *ARRAY_SUBGRADIENTS])
@quietly
def test_second_derivatives_at_the_corners_are_finite_where_the_first_ones_are(name: str) -> None:
    f, at, expected = {**SUBGRADIENTS, **ARRAY_SUBGRADIENTS}[name]
    if not np.isfinite(expected).all():
        return
    if name in SUBGRADIENTS:
        xs = [Tensor(x) for x in at]
    else:
        xs = [Tensor(at)]
    slopes = mg.grad(f(*xs) * 1.0, xs, create_graph=True)
    total = sum((g * g + 3 * g).sum() for g in slopes)
    if total.requires_grad:
        for g in mg.grad(total, xs):
            assert np.isfinite(g).all()


@pytest.mark.parametrize("values", [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0, 5.0], [0.0, 0.0, 0.0], [2.0, -3.0, 4.0], [0.0],
                                    []])
def test_the_hessian_of_a_product_is_right_at_zeros(values: Any) -> None:
    x = np.array(values, dtype=float)
    n = len(values)
    expected = np.array([[0.0 if i == j else np.prod(np.delete(x, [i, j])) for j in range(n)] for i in range(n)])
    np.testing.assert_allclose(mg.hessian(lambda a: mg.prod(a), x), expected.reshape(n, n), rtol=1e-14)
    if n == 4:
        theirs = torch.func.hessian(lambda a: a.reshape(2, 2).prod(0).sum())(torch.tensor(x))
        ours = mg.hessian(lambda a: mg.prod(a.reshape(2, 2), 0).sum(), x)
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-14)


# ------------------------------------------------------------------------------- where, and what was not chosen
DANGEROUS: dict[str, tuple[Any, Any, list[float]]] = {
    "sqrt": (mg.sqrt, np.sqrt, [0.0, -1.0]),
    "log": (mg.log, np.log, [0.0, -1.0]),
    "log2": (mg.log2, np.log2, [0.0, -2.0]),
    "log1p": (mg.log1p, np.log1p, [-1.0, -2.0]),
    "reciprocal": (mg.reciprocal, np.reciprocal, [0.0]),
    "division": (lambda x: 1.0 / x, lambda x: 1.0 / x, [0.0]),
    "x / x": (lambda x: x / x, lambda x: x / x, [0.0]),
    "power 0.5": (lambda x: x**0.5, lambda x: x**0.5, [0.0, -1.0]),
    "power 1.5, finite slope, infinite curvature": (lambda x: x**1.5, lambda x: x**1.5, [0.0]),
    "power -1": (lambda x: x**-1.0, lambda x: x**-1.0, [0.0]),
    "power 0.1 of a product": (lambda x: (x * x) ** 0.1, lambda x: (x * x) ** 0.1, [0.0]),
    "exp of exp": (lambda x: mg.exp(mg.exp(x)), lambda x: np.exp(np.exp(x)), [1e3]),
    "arcsin": (mg.arcsin, np.arcsin, [1.0, 2.0, -1.0]),
    "arccos": (mg.arccos, np.arccos, [1.0, -3.0]),
    "arctanh": (mg.arctanh, np.arctanh, [1.0, -1.0, 2.0]),
    "sqrt of log": (lambda x: mg.sqrt(mg.log(x)), lambda x: np.sqrt(np.log(x)), [0.0, 0.5, 1.0]),
    "log of a difference": (lambda x: mg.log(x - x * x), lambda x: np.log(x - x * x), [0.0, 1.0, 2.0]),
}


@quietly
@both_kinds
@pytest.mark.parametrize("name", DANGEROUS)
def test_a_branch_not_taken_leaks_nothing_into_first_second_and_third_derivatives(name: str, make: Any) -> None:
    f, _, bad = DANGEROUS[name]
    for at in bad:
        x = make(at)
        y = mg.where(False, f(x), x * x * x)
        g = mg.grad(y, x, create_graph=True)
        assert float(mg.grad(y, x)) == float(g) == 3 * at * at
        h = mg.grad(g, x, create_graph=True)
        assert float(mg.grad(g, x)) == float(h) == 6 * at
        assert float(mg.grad(h, x)) == 6.0
        nothing = mg.where(False, f(x), 7.0)
        assert float(mg.grad(nothing, x)) == 0.0
        slope = mg.grad(nothing, x, create_graph=True)
        assert float(slope) == 0.0
        assert not slope.requires_grad or float(mg.grad(slope, x)) == 0.0


@quietly
@pytest.mark.parametrize("name", DANGEROUS)
def test_the_branch_taken_beside_it_keeps_its_derivatives(name: str) -> None:
    f, plain, bad = DANGEROUS[name]
    good = {"exp of exp": [0.3, 0.6], "sqrt of log": [1.5, 3.0]}.get(name, [0.3, 0.6])
    at = np.array([*good, *bad])
    chosen = np.array([True] * len(good) + [False] * len(bad))
    x, alone = Tensor(at), Tensor(good)
    y = mg.where(chosen, f(x), 0.0)
    np.testing.assert_array_equal(y.data[: len(good)], plain(np.array(good)))
    (g,) = mg.grad((y * y).sum(), [x], create_graph=True)
    (e,) = mg.grad((f(alone) ** 2).sum(), [alone], create_graph=True)
    np.testing.assert_allclose(g.data, np.append(e.data, np.zeros(len(bad))), rtol=1e-14)
    second, expected = mg.grad((g * g).sum(), x), mg.grad((e * e).sum(), alone)
    np.testing.assert_allclose(second, np.append(expected, np.zeros(len(bad))), rtol=1e-14)


@quietly
def test_nothing_leaks_through_sums_products_slices_and_other_paths() -> None:
    x = Tensor([-1.0, 0.0, 4.0])
    rows, W = Tensor([[INF, 1.0], [0.5, 0.25]]), Tensor([[1.0, 2.0], [3.0, 4.0]])
    mask = x.data > 0
    finite = [
        mg.where(mask, mg.sqrt(x) * mg.log(x), 0.0).sum(),
        mg.where(mask, mg.concat([mg.log(x[:1]), mg.sqrt(x[1:])]), x).sum(),
        mg.where(mask, mg.stack([mg.log(x), mg.sqrt(x)]), 1.0).sum(),
        mg.where(mask, mg.roll(mg.flip(mg.log(mg.roll(mg.flip(x), 1))), 0), 0.0)[2:].sum() * 0.0 + x.sum(),
        mg.where(mask, mg.where(mask, mg.log(x), mg.sqrt(x)), mg.where(mask, mg.log(x), x)).sum(),
        mg.where(False, (mg.log(x) * 2.0).sum(), x.sum()),
        mg.where(mask, mg.reshape(mg.log(x), (3, 1)).T[0], 0.0).sum(),
    ]
    for y in finite:
        for create_graph in (False, True):
            g = mg.grad(y, x, create_graph=create_graph)
            assert np.isfinite(g.data if create_graph else g).all()
    masked = mg.square(mg.where(np.array([[False], [True]]), mg.tanh(rows @ W), 0.0)).sum()
    kept = Tensor(rows.data[1:])
    chosen = mg.square(mg.tanh(kept @ W)).sum()
    for create_graph in (False, True):
        g, e = (mg.grad(y, W, create_graph=create_graph) for y in (masked, chosen))
        np.testing.assert_allclose(plain(g), plain(e), rtol=1e-14)
    for x_, expected in ((W, W), (rows, kept)):
        h = mg.grad((g * g).sum(), x_)[-1]
        np.testing.assert_allclose(h, mg.grad((e * e).sum(), expected)[-1], rtol=1e-13)
    np.testing.assert_array_equal(mg.grad(mg.where(False, rows @ W, 0.0).sum(), W), np.zeros((2, 2)))


@both_kinds
def test_a_cotangent_that_is_zero_by_chance_keeps_its_derivative(make: Any) -> None:
    """The loss has slope 0 at this point, but not around it: behind a where as anywhere."""
    x, w = make(1.0), make(2.0)
    y = mg.where(True, mg.tanh(w * x) * 3.0, x)
    loss = (y - y.item()) ** 2
    gx, gw = mg.grad(loss, [x, w], create_graph=True)
    assert float(gx) == float(gw) == 0.0
    slope = 3 * (1 - np.tanh(2.0) ** 2)
    assert float(mg.grad(gx, x)) == pytest.approx(2 * (2 * slope) ** 2, rel=1e-14)
    assert float(mg.grad(gx, w)) == pytest.approx(2 * 2 * slope * slope, rel=1e-14)
    assert float(mg.grad(gw, w)) == pytest.approx(2 * slope**2, rel=1e-14)


def test_a_masked_loss_that_is_zero_by_chance_has_the_hessian_of_pytorch() -> None:
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((4, 3)), rng.standard_normal((3, 3))
    mask = np.array([[True], [False], [True], [True]])
    target = np.where(mask, np.tanh(X @ W), 0.0)  # met exactly: every residual is 0
    ours = mg.hessian(lambda w: mg.square(mg.where(mask, mg.tanh(X @ w), 0.0) - target).sum(), W)
    theirs = torch.func.hessian(lambda w: ((torch.where(torch.tensor(mask), torch.tanh(torch.tensor(X) @ w), 0.0)
                                            - torch.tensor(target)) ** 2).sum())(torch.tensor(W))
    assert np.abs(ours).max() > 0.1
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-14)


# ----------------------------------------------------------------------------------------------- overflow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "tanh", "softmax", "log_softmax", "logsumexp", "relu", "erf"])
def test_large_arguments_overflow_nowhere_and_warn_nowhere(name: str, dtype: Any, recwarn: Any) -> None:
    f, theirs = getattr(mg, name), {"softplus": torch.nn.functional.softplus,
                                    "softmax": lambda t: torch.softmax(t, -1),
                                    "log_softmax": lambda t: torch.log_softmax(t, -1),
                                    "logsumexp": lambda t: torch.logsumexp(t, -1)}.get(name, getattr(torch, name, None))
    at = np.array([1e4, -1e4, 0.0, 88.8, -103.0, 20.0, 1e4 - 1], dtype=dtype)
    x, t = Tensor(at), torch.tensor(at, requires_grad=True)
    y, y_t = f(x), theirs(t)
    seed = np.linspace(0.5, 1.5, y.size, dtype=dtype).reshape(y.shape)
    (g,) = mg.grad(y, [x], seed=seed, create_graph=True)
    (g_t,) = torch.autograd.grad(y_t, [t], torch.tensor(seed), create_graph=True)
    second, second_t = mg.grad((g * g * x).sum(), x), torch.autograd.grad((g_t * g_t * t).sum(), t)[0]
    rtol = 1e-5 if dtype == np.float32 else 2e-7  # PyTorch's own softplus stops at 20
    for ours, expected in [(y.data, y_t.detach()), (g.data, g_t.detach()), (second, second_t)]:
        assert ours.dtype == dtype
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, expected.numpy(), rtol=rtol, atol=2e-8)
    assert not list(recwarn)


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "tanh", "relu", "erf"])
def test_values_do_not_overflow_either(name: str) -> None:
    for at in (1e4, -1e4, 710.0, -746.0, 37.0):
        x, t = Value(at), Tensor(at)
        f = getattr(mg, name)
        y, z = f(x), f(t)
        assert y.data == pytest.approx(z.item(), rel=1e-15)
        assert mg.grad(y, x) == pytest.approx(float(mg.grad(z, t)), rel=1e-14, abs=1e-300)


# --------------------------------------------------------------------- empty, 0-d, strided, read-only, odd dtypes
def test_empty_arrays_pass_through_every_operation_that_has_a_meaning_for_them() -> None:
    from tests.engine.test_properties import UNARY

    for shape in [(0,), (0, 3), (2, 0), (2, 0, 3)]:
        for name in UNARY:
            x = Tensor(np.zeros(shape))
            y = getattr(mg, name)(x)
            (g,) = mg.grad(y.sum(), [x], create_graph=True)
            assert y.shape == g.shape == shape
            assert mg.grad((g * x).sum(), x).shape == shape
        x = Tensor(np.zeros(shape))
        for f, value in [(mg.sum, 0.0), (mg.prod, 1.0), (mg.norm, 0.0)]:
            y = f(x)
            assert y.item() == value
            assert mg.grad(y, x).shape == shape
        for y in [x.T, mg.flip(x), mg.concat([x, x]), mg.stack([x, x]), mg.pad(x, 1), mg.tile(x, 2), mg.roll(x, 1),
                  mg.cumsum(x, 0), mg.ravel(x), x + x, x * np.ones(shape), mg.where(x > 0, x, 1.0), x[..., :0],
                  mg.softmax(x), mg.log_softmax(x, 0), mg.broadcast_to(x, (2, *shape)), mg.expand_dims(x, 0)]:
            assert mg.grad(y.sum(), x).shape == shape


def test_products_over_an_axis_of_length_zero_are_zero_and_their_gradients_too() -> None:
    a, b = Tensor(np.ones((3, 0))), Tensor(np.ones((0, 4)))
    y = a @ b
    np.testing.assert_array_equal(y.data, np.zeros((3, 4)))
    ga, gb = mg.grad(y.sum(), [a, b])
    assert (ga.shape, gb.shape) == ((3, 0), (0, 4))
    z = mg.einsum("ij,jk->ik", a, b)
    np.testing.assert_array_equal(z.data, np.zeros((3, 4)))
    x, W = Tensor(np.ones((0, 3))), Tensor(np.ones((3, 4)))
    assert mg.affine(x, W, np.ones(4)).shape == (0, 4)
    np.testing.assert_array_equal(mg.grad((x @ W).sum(), W), np.zeros((3, 4)))


@pytest.mark.parametrize("axis", [0, (0, 1)])
def test_sums_over_an_axis_of_length_zero(axis: Any) -> None:
    x = Tensor(np.zeros((0, 3)))
    for f, value in [(mg.sum, 0.0), (mg.prod, 1.0), (mg.norm, 0.0)]:
        y = f(x, axis=axis)
        np.testing.assert_array_equal(y.data, np.full(y.shape, value))
        assert mg.grad(y, x, seed=np.ones(y.shape)).shape == (0, 3)


@pytest.mark.parametrize("axis", [0, (0, 1), 1])
def test_the_logsumexp_of_nothing_is_the_logarithm_of_0(axis: Any, recwarn: Any) -> None:
    x, t = Tensor(np.zeros((0, 3))), torch.zeros((0, 3), dtype=torch.float64)
    y = mg.logsumexp(x, axis)
    np.testing.assert_array_equal(y.data, torch.logsumexp(t, axis).numpy())
    assert mg.grad(y, x, seed=np.ones(y.shape)).shape == (0, 3)
    assert not list(recwarn)


def test_variances_of_too_few_numbers_are_refused() -> None:
    for f in (mg.var, mg.std):
        for ddof in (3, 4):
            with pytest.raises(ValueError, match=f"over 3 numbers with ddof={ddof}"):
                f(Tensor(np.ones((2, 3))), 1, ddof=ddof)
        assert f(Tensor(np.ones((2, 3))), (0, 1), ddof=5).item() == 0.0


def test_what_is_no_axis_and_no_width_is_refused() -> None:
    x = Tensor(np.ones((2, 3)))
    for call in [lambda: mg.sum(x, 0.0), lambda: mg.norm(x, (0, 0.5)), lambda: mg.cumsum(x, (0, 1)),
                 lambda: mg.max(x, x), lambda: mg.swapaxes(x, 0.5, 1), lambda: mg.transpose(x, (0.0, 1.0)),
                 lambda: mg.concat([x, x], 0.5)]:
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            call()
    for width in (1.5, (1, 2, 3), ((1, 2), (1, 2), (1, 2)), [[1.0, 2.0]] * 2):
        with pytest.raises(ValueError, match="pad: one integer, one pair, or a pair for each of the 2 axes"):
            mg.pad(x, width)


@pytest.mark.parametrize("f", [mg.max, mg.min])
def test_the_largest_of_nothing_is_refused(f: Any) -> None:
    with pytest.raises(ValueError, match=r"(max|min): \(0, 3\).*zero-size"):
        f(Tensor(np.zeros((0, 3))))


def test_plain_lists_are_computed_with_as_arrays_are() -> None:
    rows = [[1.0, 2.0, 4.0], [0.5, 3.0, 1.0]]
    a = np.array(rows)
    for ours, expected in [(mg.var(rows, 1), a.var(1)), (mg.std(rows), a.std()), (mg.mean(rows, 0), a.mean(0)),
                           (mg.norm(rows), np.linalg.norm(a)), (mg.take(rows, [1, 1], 1), a[:, [1, 1]]),
                           (mg.take(rows, [4]), a.ravel()[[4]]), (mg.cumsum(rows, 1), a.cumsum(1)),
                           (mg.scatter([1.0, 2.0], [2, 0], (3,)), [2.0, 0.0, 1.0]), (mg.prod(rows), a.prod())]:
        np.testing.assert_allclose(ours, expected, rtol=1e-15)
    assert mg.broadcast_to(Tensor(2.0), 3).shape == (3,)


def test_0d_tensors_are_ordinary() -> None:
    x = Tensor(2.0)
    for y, slope in [(x * x, 4.0), (mg.sum(x), 1.0), (mg.max(x), 1.0), (mg.exp(x), np.exp(2.0)), (x.reshape(1, 1), 1.0),
                     (mg.norm(x), 1.0), (mg.prod(x), 1.0), (mg.mean(x), 1.0), (mg.var(x), 0.0), (mg.std(x), 0.0),
                     (mg.logsumexp(x), 1.0), (mg.ravel(x), 1.0), (mg.cumsum(x), 1.0), (mg.expand_dims(x, 0), 1.0),
                     (x[None], 1.0), (x[...], 1.0), (x[()], 1.0), (mg.flip(x), 1.0), (mg.einsum("->", x), 1.0),
                     (mg.tile(x, 1), 1.0), (mg.squeeze(x), 1.0)]:
        g = mg.grad(y, x, seed=np.ones(y.shape))
        assert g.shape == ()
        assert float(g) == pytest.approx(slope, rel=1e-15)
        assert isinstance(y.data, np.ndarray)


LAYOUTS: dict[str, Any] = {
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "column-major": np.asfortranarray,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "read-only": lambda a: (lambda b: (b.setflags(write=False), b)[1])(a.copy()),
    "misaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), dtype=a.dtype, offset=1).reshape(a.shape),
    "subclass": lambda a: a.view(np.matrix),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_any_layout_are_as_good_as_contiguous_ones(layout: str) -> None:
    a = np.random.default_rng(0).uniform(0.5, 1.5, (4, 4))
    odd = LAYOUTS[layout](a)
    plain = np.array(odd, dtype=np.float64, order="C", subok=False)
    results = []
    for given in (odd, plain):
        x, w = Tensor(given), Tensor(np.eye(4) + 0.5)
        y = mg.tanh(x @ w * given + given.T) + mg.where(given > 1, x, x * given) @ given
        second = mg.grad((y * y).sum(), [x, w], create_graph=True)
        results.append([y.data, *(g.data for g in second), *mg.grad(second[0].sum(), [x, w])])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-14)
    np.testing.assert_array_equal(np.asarray(odd), plain)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.complex64, np.complex128, object, "U1", "M8[s]"])
def test_other_kinds_of_numbers_are_refused_wherever_they_come_in(dtype: Any) -> None:
    a = np.ones(2).astype(dtype)
    x = Tensor([1.0, 2.0])
    for use in [lambda: Tensor(a), lambda: x * a, lambda: a * x, lambda: mg.concat([x, a]),
                lambda: mg.where(True, x, a), lambda: mg.index_update(x, slice(None), a),
                lambda: x.__setattr__("data", a), lambda: mg.maximum(a, x)]:
        with pytest.raises(TypeError) as error:
            use()
        assert "float32" in str(error.value) or "real numbers" in str(error.value) or "complex" in str(error.value)
    with pytest.raises(TypeError, match="float32"):
        x.astype(dtype)
