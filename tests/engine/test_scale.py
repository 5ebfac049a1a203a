"""Norms and standard deviations of small and of large numbers: right to the last digits, with right derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor

# From the smallest normal numbers to the largest. Beyond half of these exponents a square is 0 or infinite.
SCALES = [(np.float64, 10.0**n) for n in (-308, -307, -200, -160, -150, -146, 0, 150, 160, 200, 307)]
SCALES += [(np.float32, 10.0**n) for n in (-38, -30, -23, -19, -16, 0, 15, 19, 30, 37)]
at_every_scale = pytest.mark.parametrize(("dtype", "scale"), SCALES)


def tolerance(dtype: Any) -> float:
    return 16 * float(np.finfo(dtype).eps)


@at_every_scale
@pytest.mark.filterwarnings("error")
def test_the_norm_of_3_and_4_is_5_with_the_gradient_0_6_and_0_8(dtype: Any, scale: float) -> None:
    x = Tensor(np.array([3 * scale, 4 * scale], dtype))
    y = mg.norm(x)
    y.backward()
    assert y.dtype == x.grad.dtype == dtype
    assert y.item() == pytest.approx(5 * scale, rel=tolerance(dtype), abs=0)
    np.testing.assert_allclose(x.grad, [0.6, 0.8], rtol=tolerance(dtype))


@at_every_scale
@pytest.mark.filterwarnings("error")
def test_the_standard_deviation_of_1_and_3_is_1(dtype: Any, scale: float) -> None:
    x = Tensor(np.array([scale, 3 * scale], dtype))
    y = mg.std(x)
    y.backward()
    assert y.dtype == x.grad.dtype == dtype
    assert y.item() == pytest.approx(scale, rel=tolerance(dtype), abs=0)
    np.testing.assert_allclose(x.grad, [-0.5, 0.5], rtol=tolerance(dtype))


@pytest.mark.parametrize("f", [mg.norm, mg.std], ids=["norm", "std"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_of_different_scales_do_not_disturb_each_other(f: Any, dtype: Any) -> None:
    rows = np.random.default_rng(0).uniform(-2, 2, (5, 2, 3)).astype(dtype)
    n = 100 if dtype is np.float64 else 12
    scales = np.array([2.0**-n, 1.0, 2.0**n, 0.0, 2.0 ** (-9 * n // 3)], dtype)[:, None, None]
    x, plain = Tensor(rows * scales), Tensor(rows)
    y, expected = f(x, (1, 2)), f(plain, (1, 2))
    np.testing.assert_array_equal(y.data, expected.data * scales[:, 0, 0])
    gradient, of_plain = mg.grad(y.sum(), x), mg.grad(expected.sum(), plain)
    np.testing.assert_array_equal(gradient, of_plain * (scales != 0))
    np.testing.assert_array_equal(f(x, (1, 2), keepdims=True).data, y.data[:, None, None])


@pytest.mark.parametrize(("dtype", "exponent"), [(np.float64, -660), (np.float64, 400), (np.float32, -90),
                                                 (np.float32, 90)])
@pytest.mark.parametrize("f", [mg.norm, mg.std], ids=["norm", "std"])
def test_scaling_by_a_power_of_two_scales_the_second_derivative_by_its_inverse(
    f: Any, dtype: Any, exponent: int
) -> None:
    x = np.random.default_rng(1).uniform(-2, 2, (2, 3)).astype(dtype)
    v = np.random.default_rng(2).uniform(-1, 1, (2, 3)).astype(dtype)

    def second(x: np.ndarray) -> np.ndarray:
        leaf = Tensor(x)
        slope = mg.grad(f(leaf), leaf, create_graph=True)
        return mg.grad((slope * v).sum(), leaf)

    expected = second(x)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_array_equal(np.ldexp(second(np.ldexp(x, exponent)), exponent), expected)


def test_a_large_cotangent_meets_a_small_norm() -> None:
    x = Tensor(np.array([3e-30, 4e-30], np.float32))
    g = mg.grad(mg.norm(x), x, seed=np.float32(1e20))  # 1e20 / 5e-30 is more than float32 holds
    np.testing.assert_allclose(g, [0.6e20, 0.8e20], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinite_and_missing_numbers_stay_what_they_are() -> None:
    for values, expected in (([np.inf, 1.0], np.inf), ([np.nan, 1.0], np.nan), ([1.7e308, 1.7e308], np.inf), ([], 0.0)):
        np.testing.assert_equal(mg.norm(Tensor(np.array(values))).item(), expected)
    assert np.isnan(mg.std(Tensor(np.zeros((0,)))).item())


def test_the_ratio_of_small_gradient_norms_trains_in_float32() -> None:
    """The regulariser against vanishing gradients: d log(‖δ10‖ / ‖δ11‖) / dW, where both norms are about 1e-26."""

    def slope(dtype: Any) -> Any:
        w = Tensor(np.diag([0.05, 0.04, 0.03]).astype(dtype))
        states = [Tensor(np.full((1, 3), 0.1, dtype))]
        for _ in range(30):
            states.append(mg.tanh(states[-1] @ w + 0.1))
        deltas = mg.grad((states[-1] * states[-1]).sum(), states[10:12], create_graph=True)
        assert 0 < float(mg.norm(deltas[0]).data) < 1e-22
        return mg.grad(mg.log(mg.norm(deltas[0]) / mg.norm(deltas[1])), w)

    expected = slope(np.float64)
    np.testing.assert_allclose(slope(np.float32), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norms_of_messages_are_right_at_every_scale(scale: float) -> None:
    w, x = Tensor(np.eye(2)), Tensor(np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]))
    sizes: list[float] = []
    mg.backward((x @ w)[1:].sum() * scale + x[0].sum() * scale, observe=lambda node, k, source, message: sizes.extend(
        [message.norm()] if hasattr(message, "norm") else []))  # only messages that are put off have a norm
    assert sorted(sizes) == pytest.approx([scale * r for r in (2**0.5, 2, 32**0.5)], rel=1e-15)
