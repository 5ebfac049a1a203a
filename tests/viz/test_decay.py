"""The decay rate of a gradient profile, against NumPy's fit and against the matrix that causes it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import viz
from microgradrnn import nn
from viz.flow.messages import Profile


def profile(*norms: float) -> Profile:
    T = len(norms)
    return Profile("h", tuple(range(T))[::-1], tuple(range(T)), norms)


def test_the_rate_is_the_slope_of_the_least_squares_line() -> None:
    norms = np.exp(np.random.default_rng(0).standard_normal(9) - 0.4 * np.arange(9))
    found = viz.decay(profile(*norms))
    slope, intercept = np.polyfit(np.arange(9), np.log(norms), 1)
    assert found is not None
    assert (found.rate, found.intercept) == (pytest.approx(slope, rel=1e-12), pytest.approx(intercept, rel=1e-10))
    missed = np.log(norms) - np.polyval([slope, intercept], np.arange(9))
    assert found.error == pytest.approx(np.sqrt(np.mean(missed**2)), rel=1e-10)
    assert found.factor == pytest.approx(math.exp(slope))
    assert found.half_life == pytest.approx(math.log(2) / -slope)
    assert found.lags == 9


def test_zeros_and_what_is_not_finite_are_left_out_and_growth_has_no_half_life() -> None:
    found = viz.decay(profile(1.0, 0.0, 4.0, math.inf, 16.0, math.nan))
    assert found is not None
    assert (found.lags, found.half_life) == (3, math.inf)
    assert found.factor == pytest.approx(2.0, rel=1e-12)
    assert viz.decay(profile(0.0, 0.0, 3.0)) is None


def test_ratios_are_those_of_neighbours() -> None:
    assert viz.ratios(profile(8.0, 2.0, 3.0)) == [0.25, 1.5]
    found = viz.ratios(profile(0.0, 2.0, math.inf))
    assert math.isnan(found[0])
    assert found[1] == math.inf


def test_a_scaled_rotation_as_the_recurrent_matrix_decays_by_just_its_scale() -> None:
    cell = nn.RNNCell(3, 5, activation=lambda z: z, rng=0)
    cell.W.data = 0.8 * nn.init.orthogonal(np.random.default_rng(1), (5, 5))
    _, h = nn.unroll(cell, np.random.default_rng(2).standard_normal((30, 2, 3)))
    flow = viz.gradient_flow((h * np.random.default_rng(3).standard_normal((2, 5))).sum())
    found = viz.decay(flow.profile())
    assert found is not None
    assert found.factor == pytest.approx(0.8, rel=1e-10)
    assert found.error < 1e-10
    assert viz.ratios(flow.profile()) == pytest.approx([0.8] * 29, rel=1e-10)


def test_where_nothing_is_lost_the_rate_is_exactly_zero() -> None:
    for size in (1.3, 1e-5, 7.0):
        found = viz.decay(profile(*[size] * 40))
        assert found is not None
        assert (found.rate, found.half_life, found.factor) == (0.0, math.inf, 1.0)


def test_a_factor_that_no_float_holds_is_infinite() -> None:
    found = viz.decay(profile(1e-300, 1e300))
    assert found is not None
    assert found.rate == pytest.approx(600 * math.log(10))
    assert found.factor == math.inf


def test_there_is_no_part_of_what_is_not_finite() -> None:
    assert [math.isnan(x) for x in viz.ratios(profile(math.inf, 2.0, math.nan, 3.0))] == [True, True, True]
    assert viz.ratios(profile(1e-300, 1e300)) == [math.inf]
