"""Schedules: their formulas, and what goes wrong when one is applied to the current rate (S40, C110)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgradrnn import nn
from microgradrnn.optim import SGD, schedules
from microgradrnn.optim.schedules import cosine, cosine_restarts, exponential, inverse, staircase, warm_up

numbers = st.integers(0, 10_000)
rates = st.floats(1e-4, 1.0)


def test_s40_exponential_and_inverse_decay_start_from_the_first_rate() -> None:
    assert exponential(10, 1.0, 0.9) == pytest.approx(0.3487, abs=5e-5)
    assert inverse(10, 1.0, 0.1) == 0.5


def test_s40_applying_the_formula_to_the_current_rate_is_another_and_wrong_schedule() -> None:
    literal_exponential = literal_inverse = 1.0
    for n in range(1, 11):
        literal_exponential = exponential(n, literal_exponential, 0.9)
        literal_inverse = inverse(n, literal_inverse, 0.1)
    assert literal_exponential == pytest.approx(0.9**55)
    assert literal_exponential == pytest.approx(0.00304, abs=5e-6)
    assert literal_inverse == pytest.approx(0.0149, abs=5e-5)


def test_s40_the_staircase_halves_every_k_epochs() -> None:
    assert [staircase(n, 0.4, 3) for n in range(10)] == [0.4] * 3 + [0.2] * 3 + [0.1] * 3 + [0.05]


def test_s40_an_update_is_theta_minus_lambda_times_gradient() -> None:
    theta = np.random.default_rng(0).standard_normal((3, 4))
    p = nn.Parameter(theta)
    (p * p * p).sum().backward()
    SGD([p], lr=0.01).step()
    np.testing.assert_allclose(p.data, theta - 0.01 * 3 * theta**2, rtol=1e-14)


@pytest.mark.parametrize("curvature", [0.5, 1.0, 4.0])
def test_c109_on_a_quadratic_descent_converges_exactly_below_two_over_the_curvature(curvature: float) -> None:
    def after(lr: float) -> float:
        p = nn.Parameter([1.0])
        opt = SGD([p], lr=lr)
        for _ in range(200):
            opt.zero_grad()
            (p * p * (curvature / 2)).sum().backward()
            opt.step()
        return abs(float(p.data[0]))

    assert after(0.98 * 2 / curvature) < 0.02
    assert after(1.02 * 2 / curvature) > 50
    assert after(0.001 * 2 / curvature) == pytest.approx(0.998**200), "a small rate is slow"


@given(numbers, rates, st.integers(1, 100))
def test_schedules_start_at_the_first_rate_and_never_rise_above_it(n: int, lr: float, k: int) -> None:
    for schedule in (lambda n: staircase(n, lr, k), lambda n: exponential(n, lr, 0.99), lambda n: inverse(n, lr, 0.1),
                     lambda n: cosine(n, lr, k)):
        assert schedule(0) == lr
        assert 0 <= schedule(n + 1) <= schedule(n) * (1 + 1e-15)


@given(numbers, rates, st.integers(1, 100))
def test_a_warm_up_rises_to_the_rate_of_another_schedule(n: int, lr: float, k: int) -> None:
    assert 0 < warm_up(n, lr, k) <= lr
    assert warm_up(n + k, cosine(n, lr, 50), k) == cosine(n, lr, 50)


@given(st.integers(0, 200), rates, rates, st.integers(1, 150))
def test_cosine_ends_at_its_last_rate_and_is_symmetric(n: int, lr: float, last: float, total: int) -> None:
    assert cosine(total + n, lr, total, last) == pytest.approx(last)
    if n <= total:
        assert cosine(n, lr, total, last) + cosine(total - n, lr, total, last) == pytest.approx(lr + last)


@pytest.mark.parametrize(("ours", "theirs"), [
    (lambda n: staircase(n, 0.1, 4), lambda t, o: t.StepLR(o, 4, gamma=0.5)),
    (lambda n: exponential(n, 0.1, 0.9), lambda t, o: t.ExponentialLR(o, 0.9)),
    (lambda n: cosine(n, 0.1, 30, 0.01), lambda t, o: t.CosineAnnealingLR(o, 30, eta_min=0.01)),
    (lambda n: inverse(n, 0.1, 0.2), lambda t, o: t.LambdaLR(o, lambda n: 1 / (1 + 0.2 * n))),
    (lambda n: warm_up(n, 0.1, 10), lambda t, o: t.LinearLR(o, 0.1, 1.0, 9)),
], ids=["staircase", "exponential", "cosine", "inverse", "warm_up"])
def test_thirty_epochs_equal_pytorch(ours: Any, theirs: Any) -> None:
    torch = pytest.importorskip("torch")
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = theirs(torch.optim.lr_scheduler, opt)
    for n in range(30):
        assert ours(n) == pytest.approx(opt.param_groups[0]["lr"], rel=1e-12)
        opt.step()
        schedule.step()


@given(rates, st.floats(0, 0.1), st.integers(1, 12), st.integers(1, 3))
def test_warm_restarts_equal_pytorch(lr: float, last: float, period: int, growth: int) -> None:
    torch = pytest.importorskip("torch")
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, period, T_mult=growth, eta_min=last)
    for n in range(60):
        assert cosine_restarts(n, lr, period, growth, last) == pytest.approx(opt.param_groups[0]["lr"], rel=1e-12)
        opt.step()
        schedule.step()


def test_warm_restarts_go_back_to_the_first_rate_at_the_end_of_every_cycle() -> None:
    starts = [n for n in range(100) if cosine_restarts(n, 0.8, 3, 2) == 0.8]
    assert starts == [0, 3, 9, 21, 45, 93], "the cycles take 3, 6, 12, 24 and 48 steps"
    assert cosine_restarts(10**9, 0.8, 7) == cosine_restarts(10**9 % 7, 0.8, 7)


@pytest.mark.parametrize(("name", "call"), [
    ("n", lambda k: cosine_restarts(k, 0.1, 3)), ("period", lambda k: cosine_restarts(1, 0.1, k)),
    ("growth", lambda k: cosine_restarts(1, 0.1, 3, k)),
    ("n", lambda k: staircase(k, 0.1, 3)), ("every", lambda k: staircase(1, 0.1, k)),
    ("n", lambda k: exponential(k, 0.1, 0.9)), ("n", lambda k: inverse(k, 0.1, 0.1)),
    ("n", lambda k: cosine(k, 0.1, 9)), ("total", lambda k: cosine(1, 0.1, k)), ("n", lambda k: warm_up(k, 0.1, 9)),
    ("steps", lambda k: warm_up(1, 0.1, k)),
])
def test_a_count_is_a_whole_number_and_not_too_small(name: str, call: Any) -> None:
    for wrong in (2.5, 3.0, True, "3", None, float("nan")):
        with pytest.raises(TypeError, match=rf"\w+: {name} counts epochs or steps, so it is a whole number, got "):
            call(wrong)
    for wrong in (-1, *([] if name == "n" else [0])):
        with pytest.raises(ValueError, match=rf"\w+: {name} counts epochs or steps, from [01] up, got {wrong}"):
            call(wrong)
    assert call(np.int32(3)) == call(3)


@pytest.mark.parametrize(("name", "call"), [
    ("lr", lambda x: staircase(1, x, 3)), ("factor", lambda x: staircase(1, 0.1, 3, x)),
    ("lr", lambda x: exponential(1, x, 0.9)), ("alpha", lambda x: exponential(1, 0.1, x)),
    ("lr", lambda x: inverse(1, x, 0.1)), ("rate", lambda x: inverse(1, 0.1, x)), ("lr", lambda x: cosine(1, x, 9)),
    ("last", lambda x: cosine(1, 0.1, 9, x)), ("lr", lambda x: cosine_restarts(1, x, 9)),
    ("lr", lambda x: warm_up(1, x, 9)),
])
def test_a_rate_is_a_finite_number_and_not_negative(name: str, call: Any) -> None:
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"\w+: {name} must be finite and not negative, got "):
            call(wrong)
    for wrong in (True, "0.1", None, [0.1]):
        with pytest.raises(TypeError, match=rf"\w+: {name} must be a number, got "):
            call(wrong)
    assert call(0) >= 0, "a schedule may hand on a rate of 0"


def test_schedules_give_plain_floats_so_that_float32_stays_float32() -> None:
    for rate in (staircase(np.int64(3), np.float32(0.1), 2), math.nan, cosine(np.int64(1), np.float64(0.1), 3)):  # type: ignore[arg-type]
        assert type(rate) is float
    p = nn.Parameter(np.ones(2, np.float32))
    p.sum().backward()
    opt = SGD([p], lr=0.1)
    opt.lr = np.float64(0.05)  # type: ignore[assignment]
    opt.step()
    assert p.dtype == np.float32
    assert schedules.__doc__
