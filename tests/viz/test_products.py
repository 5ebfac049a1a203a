"""Singular values of long products, against exact arithmetic and against products whose values are known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import viz
from viz.flow.products import log_singular_values


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def rotations(count: int, n: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(normal(count, n, n, seed=seed))[0]


def last(matrices: list[np.ndarray]) -> np.ndarray:
    """log10 of the singular values of matrices[-1] @ ... @ matrices[0]."""
    return list(log_singular_values(matrices, len(matrices[0])))[-1]


def exact(matrices: list[np.ndarray]) -> list[list[Fraction]]:
    """The product in rational numbers."""
    P = [[Fraction(int(i == j)) for j in range(len(matrices[0]))] for i in range(len(matrices[0]))]
    for J in matrices:
        rows = [[Fraction(x) for x in row] for row in J.tolist()]
        P = [[sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in zip(*P, strict=True)]
             for row in rows]
    return P


def log10(x: Fraction) -> float:
    return (math.log2(x.numerator >> (s := max(0, x.numerator.bit_length() - 60))) + s
            - math.log2(x.denominator >> (r := max(0, x.denominator.bit_length() - 60))) - r) * math.log10(2)


@pytest.mark.parametrize("T", [1, 7, 100, 1000])
def test_two_singular_values_are_those_of_exact_arithmetic(T: int) -> None:
    """Of a 2 x 2 matrix P the sum of their squares is ‖P‖², and their product |det P|."""
    matrices = list(normal(T, 2, 2, seed=T))
    (a, b), (c, d) = exact(matrices)
    found = last(matrices)
    squares, determinant = a * a + b * b + c * c + d * d, abs(a * d - b * c)
    both = 2 * found[0] + math.log10(1 + 10 ** (2 * (found[1] - found[0])))
    assert both == pytest.approx(log10(squares), rel=1e-12, abs=1e-12)
    assert found.sum() == pytest.approx(log10(determinant), rel=1e-12, abs=1e-12)
    assert T < 100 or found[0] - found[1] > 20


@pytest.mark.parametrize("n", [1, 2, 6, 12])
@pytest.mark.parametrize("T", [1, 3, 200])
def test_known_values_far_apart_between_rotations(T: int, n: int) -> None:
    """Q_T S Q_{T-1}ᵀ ⋯ Q_1 S Q_0ᵀ has the singular values of S^T: here up to 1,000 decades apart."""
    Q, logs = rotations(T + 1, n), -np.linspace(0, 5, n)
    matrices = [Q[t + 1] @ np.diag(10**logs) @ Q[t].T for t in range(T)]
    assert last(matrices) == pytest.approx(T * logs, abs=1e-9 * T)


def test_equal_values_and_clusters() -> None:
    Q, logs = rotations(41, 6), np.array([0.3, 0.3, 0.29, -1.0, -3.0, -3.0])
    matrices = [Q[t + 1] @ np.diag(10**logs) @ Q[t].T for t in range(40)]
    assert last(matrices) == pytest.approx(40 * logs, abs=1e-10)


def test_of_many_units_the_sum_is_the_log_determinant() -> None:
    W, rng = normal(50, 50) / 7, np.random.default_rng(1)
    matrices = [W * rng.uniform(0.1, 1, 50) for _ in range(60)]
    found = last(matrices)
    expected = sum(np.linalg.slogdet(J)[1] for J in matrices) / math.log(10)
    assert found.sum() == pytest.approx(expected, rel=1e-11)
    whole = np.linalg.multi_dot(matrices[::-1])
    assert found[:3] == pytest.approx(np.log10(np.linalg.svd(whole)[1][:3]), abs=1e-9)
    assert found[0] - found[-1] > 30


def rank(P: list[list[Fraction]]) -> int:
    rows, found = [list(row) for row in P], 0
    for column in range(len(rows)):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for row in rows[found + 1 :]:
            factor = row[column] / rows[found][column]
            row[:] = [x - factor * y for x, y in zip(row, rows[found], strict=True)]
        found += 1
    return found


@pytest.mark.parametrize("seed", range(8))
def test_units_that_are_off_leave_exact_zeros(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrices = list(rng.standard_normal((30, 5, 5)) * 10.0 ** rng.integers(-3, 1, 5))
    for t in (9, 17, 20):
        matrices[t] *= rng.random(5) < 0.7
    matrices[25] = np.diag((rng.random(5) < 0.8) * 1.0)
    for k, found in enumerate(log_singular_values(matrices, 5)):
        kept = rank(exact(matrices[: k + 1])) if k in (9, 17, 20, 25, 29) else None
        if kept is not None:
            assert not (found[:kept] == -np.inf).any()
            assert (found[kept:] == -np.inf).all()


@pytest.mark.parametrize("T", [3, 30])
def test_zeros_do_not_disturb_the_values_that_are_left(T: int) -> None:
    """The first unit is off once, among rotations of the others: values 14 decades apart are known, and the zero."""
    Q, logs = rotations(T + 1, 4), np.array([0.0, -1, -2, -4])
    arrays = np.tile(np.eye(5), (T, 1, 1))
    arrays[:, 1:, 1:] = [Q[t + 1] @ np.diag(10**logs) @ Q[t].T for t in range(T)]
    arrays[1, 0, 0] = 0
    found = viz.StepJacobians(("h",), (5,), tuple(range(T)), arrays[::-1]).product_singular_values()[-1]
    known = T * logs > -13
    assert found[:4][known] == pytest.approx(T * logs[known], abs=1e-3)
    assert np.isnan(found[:4][~known]).all()
    assert found[4] == -np.inf


def test_a_matrix_of_rank_one_and_one_of_zeros() -> None:
    one = np.outer([1.0, 2, 4], [1.0, 0.5, 2])
    matrices = [*normal(5, 3, 3), one, *normal(5, 3, 3, seed=1)]
    found = last(matrices)
    assert (found[1:] == -np.inf).all()
    assert (last([*matrices, np.zeros((3, 3)), np.eye(3)]) == -np.inf).all()


@pytest.mark.parametrize("side", ["before", "after"])
def test_what_rounding_cannot_tell_from_zero_is_nan(side: str) -> None:
    W, D = normal(5, 5), np.diag([1, 1, 1e-20, 1, 1])
    matrices = [W @ D if side == "after" else D @ W] * 3
    found = last(matrices)
    assert np.isnan(found[4])


def test_a_matrix_that_is_not_finite_leaves_no_number() -> None:
    found = list(log_singular_values([np.eye(2), np.full((2, 2), np.inf), np.eye(2)], 2))
    assert found[0].tolist() == [0, 0]
    assert np.isnan(found[1:]).all()
