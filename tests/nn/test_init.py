"""Initialisers have the statistics that they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgradrnn.nn import init


@pytest.mark.parametrize(("make", "variance"), [
    (lambda rng, s: init.zeros(rng, s), 0.0),
    (lambda rng, s: init.uniform(rng, s), 1 / (3 * 400)),
    (lambda rng, s: init.uniform(rng, s, 0.5), 0.25 / 3),
    (lambda rng, s: init.normal(rng, s), 1e-4),
    (lambda rng, s: init.normal(rng, s, 2.0), 4.0),
    (lambda rng, s: init.xavier(rng, s), 2 / 1000),
    (lambda rng, s: init.xavier(rng, s, 5 / 3), 25 / 9 * 2 / 1000),
    (lambda rng, s: init.kaiming(rng, s), 2 / 400),
    (lambda rng, s: init.orthogonal(rng, s), 1 / 600),
])
def test_mean_and_variance_are_as_promised(make: Any, variance: float) -> None:
    a = make(np.random.default_rng(0), (400, 600))
    assert a.shape == (400, 600)
    assert a.dtype == np.float64
    assert abs(a.mean()) <= 5 * np.sqrt(variance / a.size)
    assert a.var() == pytest.approx(variance, rel=0.03)
    assert (a == make(np.random.default_rng(0), (400, 600))).all(), "the same seed gives the same array"


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 3.0))
def test_all_singular_values_of_an_orthogonal_matrix_are_its_gain(rows: int, columns: int, gain: float) -> None:
    W = init.orthogonal(np.random.default_rng(rows), (rows, columns), gain)
    np.testing.assert_allclose(np.linalg.svd(W, compute_uv=False), gain, rtol=1e-12)


def test_orthogonal_matrices_are_spread_evenly_over_both_orientations() -> None:
    rng = np.random.default_rng(0)
    signs = [np.sign(np.linalg.det(init.orthogonal(rng, (3, 3)))) for _ in range(400)]
    assert abs(np.mean(signs)) < 0.2
    assert abs(np.mean([init.orthogonal(rng, (3, 3))[0, 0] for _ in range(400)])) < 0.1


def test_kaiming_keeps_the_second_moment_through_thirty_layers_of_relu() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 300))
    start = (x**2).mean()
    for _ in range(30):
        x = np.maximum(x @ init.kaiming(rng, (300, 300)), 0)
    assert 0.1 < (x**2).mean() / start * 2 < 10


def test_identity_is_the_identity_also_where_it_is_not_square() -> None:
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(init.identity(rng, (3, 3)), np.eye(3))
    np.testing.assert_array_equal(init.identity(rng, (2, 3)), [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("make", [init.xavier, init.kaiming, init.orthogonal, init.identity, init.uniform])
def test_a_shape_that_is_no_matrix_is_refused(make: Any) -> None:
    for shape in ((3,), (2, 3, 4), (), (0, 3)):
        with pytest.raises(ValueError, match="the shape of a matrix"):
            make(np.random.default_rng(0), shape)


@pytest.mark.parametrize("make", [init.uniform, init.normal, init.xavier, init.kaiming, init.orthogonal])
def test_a_seed_does_as_well_as_a_generator(make: Any) -> None:
    np.testing.assert_array_equal(make(3, (4, 5)), make(np.random.default_rng(3), (4, 5)))
    assert (make(3, (4, 5)) != make(4, (4, 5))).any()
