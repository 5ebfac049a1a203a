"""Equations, determinants and factorisations: identities, stacks, and what they say where there is no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor
from tests.numerics import assert_same, finite_differences

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(5)
SQUARE = RNG.uniform(-1, 1, (4, 4)) + 3 * np.eye(4)
TALL = RNG.uniform(-1, 1, (5, 3))
TIED = np.linalg.qr(RNG.uniform(-1, 1, (4, 4)))[0]
TIED = TIED @ np.diag([1.0, 1.0, 2.0, 5.0]) @ TIED.T
TIED = (TIED + TIED.T) / 2
RANK = {r: RNG.uniform(-1, 1, (4, r)) @ RNG.uniform(-1, 1, (r, 4)) for r in (0, 1, 2, 3)}


def gradient(f: Any, x: np.ndarray) -> np.ndarray:
    t = Tensor(x)
    return mg.grad(f(t), t)


def test_the_factors_make_the_matrix_and_so_does_their_gradient() -> None:
    seed = RNG.uniform(-1, 1, (5, 3))

    def remade(a: Any) -> Any:
        u, s, vh = mg.svd(a, full_matrices=False)
        return (((u * s) @ vh) * seed).sum()

    assert_same(gradient(remade, TALL), seed, rel=1e-13)
    assert_same(gradient(lambda a: remade(a.T), TALL.T), seed.T, rel=1e-13)
    weights = seed[:3]
    half = (weights + weights.T) / 2

    def symmetric(a: Any) -> Any:
        w, v = mg.eigh(a)
        return ((v * w) @ v.T * weights).sum()

    def lower(a: Any) -> Any:
        factor = mg.cholesky(a)
        return (factor @ factor.T * weights).sum()

    for f in (symmetric, lower):
        assert_same(gradient(f, TALL.T @ TALL), half, rel=1e-12)
    assert_same(gradient(lambda a: (mg.inv(mg.inv(a)) * weights).sum(), SQUARE[:3, :3]), weights, rel=1e-12)
    assert_same(gradient(lambda a: (a @ mg.solve(a, weights)).sum(), SQUARE[:3, :3]), np.zeros((3, 3)))


@pytest.mark.parametrize("rank", RANK)
def test_the_determinant_of_a_singular_matrix_has_a_gradient_in_every_order(rank: int) -> None:
    x = RANK[rank]
    np.testing.assert_allclose(mg.det(x), 0, atol=1e-15)
    assert_same(gradient(mg.det, x), finite_differences(lambda a: float(np.linalg.det(a)), [x])[0], rel=1e-10)
    both = np.stack([x, SQUARE])
    assert_same(gradient(lambda a: mg.det(a).sum(), both)[0], gradient(mg.det, x), rel=1e-12)
    direction = RNG.uniform(-1, 1, (4, 4))

    def slope(a: Any) -> Any:
        return (mg.grad(mg.det(a), a, create_graph=True) * direction).sum()

    def curvature(a: Any) -> Any:
        return (mg.grad(slope(a), a, create_graph=True) * direction.T).sum()

    for f in (slope, curvature):
        def at(a: np.ndarray, f: Any = f) -> float:
            return float(f(Tensor(a)).data)

        assert_same(gradient(f, x), finite_differences(at, [x], h=1e-2)[0], rel=1e-8)


def test_small_and_empty_matrices() -> None:
    assert gradient(mg.det, np.array([[0.0]])).tolist() == [[1.0]]
    assert mg.inv(Tensor([[4.0]])).data.tolist() == [[0.25]]
    empty = Tensor(np.zeros((2, 0, 0)))
    for f in (mg.inv, mg.det, mg.cholesky, lambda a: mg.eigh(a)[0], lambda a: mg.svd(a)[1], lambda a: mg.slogdet(a)[1]):
        y = f(empty)
        assert mg.grad(y, empty, seed=np.ones(y.shape)).shape == (2, 0, 0)


def test_equal_eigenvalues_have_slopes_but_their_vectors_do_not() -> None:
    assert_same(gradient(lambda a: mg.eigh(a)[0].sum(), TIED), np.eye(4), rel=1e-13)
    assert_same(gradient(lambda a: (mg.eigh(a)[0] ** 2).sum(), TIED), 2 * TIED, rel=1e-13)
    c = np.arange(4.0)
    with pytest.raises(ValueError, match="eigh: eigenvalues 0 and 1 are equal"):
        gradient(lambda a: (mg.eigh(a)[1][:, 0] ** 2 * c).sum(), TIED)
    t = Tensor(TIED)
    slope = mg.grad((mg.eigh(t)[0] ** 2).sum(), t, create_graph=True).sum()  # a product of vectors
    with pytest.raises(ValueError, match="eigh: eigenvalues 0 and 1 are equal"):
        slope.backward()
    with pytest.raises(ValueError, match="svd: singular values 2 and 3 are equal"):
        gradient(lambda a: (mg.svd(a).U[:, 3] ** 2 * c).sum(), TIED)

    def last(a: Any) -> Any:  # the others are not looked at
        return (mg.eigh(a)[1][:, 3] ** 2 * c).sum()

    def symmetric(a: np.ndarray) -> float:
        return float(last(Tensor((a + a.T) / 2)).data)

    assert_same(gradient(last, TIED), finite_differences(symmetric, [TIED])[0], rel=1e-9)
    g = gradient(lambda a: (mg.svd(a).U[:, 0] ** 2 * c).sum(), TIED)
    assert_same((g + g.T) / 2, gradient(last, TIED), rel=1e-12)


def test_a_singular_value_of_0_has_no_vector_on_the_longer_side() -> None:
    x = TALL @ np.diag([1.0, 2.0, 0.0])
    c = np.arange(5.0)[:, None]
    with pytest.raises(ValueError, match="a singular value is 0"):
        gradient(lambda a: (mg.svd(a, False).U ** 2 * c).sum(), x)
    u = gradient(lambda a: (mg.svd(a, False).U[:, :2] ** 2 * c).sum(), x)
    numeric = finite_differences(lambda a: float((np.linalg.svd(a, False)[0][:, :2] ** 2 * c).sum()), [x])[0]
    assert_same(u, numeric, rel=1e-8)


def test_functions_that_need_no_vectors_are_right_at_equal_eigenvalues() -> None:
    weights = RNG.uniform(-1, 1, (4, 4))
    for f in (mg.inv, mg.cholesky, lambda a: mg.solve(a, a @ a)):
        t = torch.tensor(TIED, requires_grad=True)
        other = {mg.inv: torch.linalg.inv, mg.cholesky: torch.linalg.cholesky}.get(f, lambda a: a)
        (other(t) * torch.tensor(weights)).sum().backward()
        ours = gradient(lambda a, f=f: (f(a) * weights).sum(), TIED)
        assert_same(ours, t.grad.numpy(), rel=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_pseudo_inverse_has_the_gradient_among_matrices_of_one_rank(rank: int) -> None:
    """Along A + ε (B A + A C) the rank stays, so differences say the same; the four conditions of Penrose hold."""
    x, B, C = RANK[rank], RNG.uniform(-1, 1, (4, 4)), RNG.uniform(-1, 1, (4, 4))
    seed = RNG.uniform(-1, 1, (4, 4))

    def along(t: Any) -> Any:
        return (mg.pinv((np.eye(4) + t * B) @ x @ (np.eye(4) + t * C), 1e-9) * seed).sum()

    p = mg.pinv(Tensor(x), 1e-9).data
    for product, expected in ((x @ p @ x, x), (p @ x @ p, p), ((x @ p).T, x @ p), ((p @ x).T, p @ x)):
        assert_same(product, expected, rel=1e-12)
    numeric = finite_differences(lambda t: float(along(t)), [np.array(0.0)])[0]
    assert_same(gradient(along, np.array(0.0)), numeric, rel=1e-8)


def test_the_pseudo_inverse_has_no_gradient_where_a_singular_value_is_cut_that_is_not_zero() -> None:
    a, seed = np.array([[1.0, 0.2], [0.1, 0.5]]), RNG.uniform(-1, 1, (2, 2))

    def cut(x: Any) -> Any:
        return (mg.pinv(x, 0.6) * seed).sum()

    def kept(x: Any) -> Any:  # as the message says
        U, S, Vh = mg.svd(x, full_matrices=False)
        return ((Vh[:1].mT / S[:1]) @ U[:, :1].mT * seed).sum()

    with pytest.raises(ValueError, match=r"pinv: rcond=0\.6 cuts the singular value 0\.46, which is not 0"):
        gradient(cut, a)
    with pytest.raises(ValueError, match="which is not 0"):
        gradient(lambda x: mg.pinv(x, 0.6)[1, 0, 0], np.stack([np.eye(2), a]))
    assert_same(gradient(kept, a), finite_differences(lambda x: float(cut(x)), [a])[0], rel=1e-8)


def test_the_pseudo_inverse_has_a_gradient_where_what_is_cut_is_not_asked_for_or_not_finite() -> None:
    a, spoilt = np.array([[1.0, 0.2], [0.1, 0.5]]), np.full((2, 2), np.nan)
    both = gradient(lambda x: mg.pinv(x, 0.6)[0].sum(), np.stack([np.eye(2), a]))
    assert_same(both, np.stack([gradient(lambda x: mg.pinv(x).sum(), np.eye(2)), np.zeros((2, 2))]), rel=1e-13)
    apart = gradient(lambda x: mg.pinv(x, 0.6).sum(), np.stack([np.eye(2), spoilt]))
    assert_same(apart[0], both[0], rel=1e-13)
    assert gradient(lambda x: mg.pinv(x, 0.6).sum(), np.zeros((2, 2))).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("n", [-2, -1, 0, 1, 2, 3, 7, 20])
def test_powers_of_a_matrix_equal_the_loop(n: int) -> None:
    x = SQUARE / 4
    seed = RNG.uniform(-1, 1, (4, 4))

    def loop(a: Any) -> Any:
        y, factor = a * 0 + np.eye(4), a if n > 0 else mg.inv(a)
        for _ in range(abs(n)):
            y = y @ factor
        return y

    assert_same(mg.matrix_power(Tensor(x), n).data, np.linalg.matrix_power(x, n), rel=1e-13)
    assert_same(mg.matrix_power(x, n), np.linalg.matrix_power(x, n), rel=1e-13)
    assert_same(gradient(lambda a: (mg.matrix_power(a, n) * seed).sum(), x),
                gradient(lambda a: (loop(a) * seed).sum(), x), rel=1e-12)


def test_a_matrix_that_is_not_finite_spoils_no_other() -> None:
    spoilt = SQUARE.copy()
    spoilt[1, 2] = np.nan
    both = np.stack([spoilt, SQUARE])
    for f in (mg.inv, mg.det, lambda a: mg.solve(a, np.ones(4)), lambda a: mg.eigh(a + a.mT)[1] ** 2,
              lambda a: mg.svd(a)[0] ** 2, lambda a: mg.cholesky(a @ a.mT), lambda a: mg.slogdet(a)[1], mg.pinv):
        y = f(Tensor(both))
        assert np.isnan(y.data[0]).all()
        assert_same(y.data[1], f(Tensor(SQUARE)).data)


def test_what_cannot_be_done_says_why() -> None:
    one = Tensor(np.ones((2, 2)))
    for f, words in [
        (lambda: mg.inv(one), r"inv: \(2, 2\): Singular matrix; there is no inverse"),
        (lambda: mg.solve(one, [1.0, 2.0]), "solve: .* Singular matrix; there is no inverse"),
        (lambda: gradient(lambda a: mg.slogdet(a)[1], np.ones((2, 2))), "is -inf and has no slope; det has one"),
        (lambda: mg.cholesky(one - 2), "not positive definite; all its eigenvalues"),
        (lambda: mg.cholesky(Tensor([[1.0, 0.0], [2.0, 9.0]])), "cholesky: the matrix is not symmetric.* up to 2"),
        (lambda: mg.eigh(Tensor([[1.0, 0.0], [2.0, 9.0]])), r"eigh: .*\(A \+ A.mT\) / 2"),
        (lambda: mg.svd(Tensor(TALL)), "a 5 by 3 matrix determines 3 .* give full_matrices=False"),
        (lambda: mg.eigh(Tensor(SQUARE), "lower"), "eigh: UPLO must be 'L' or 'U'.* got 'lower'"),
        (lambda: mg.eigh(Tensor(TALL), "U"), r"eigh: a square matrix.* got shape \(5, 3\)"),
        (lambda: mg.pinv(Tensor([1.0])), r"pinv: a matrix, or a stack of them, is needed; got shape \(1,\)"),
        (lambda: mg.matrix_power(Tensor(TALL), 2), r"matrix_power: a square matrix.* got shape \(5, 3\)"),
        (lambda: mg.matrix_power(one, -2), "Singular matrix; there is no inverse"),
        (lambda: mg.svd(Tensor([1.0])), "svd: a matrix, or a stack of them, is needed"),
        (lambda: mg.det(Tensor(TALL)), r"det: a square matrix, or a stack of them, is needed; got shape \(5, 3\)"),
        (lambda: mg.solve(Tensor(SQUARE), np.ones(3)), r"a matrix with 4 rows needs .* got shape \(3,\)"),
        (lambda: np.linalg.norm(one, 3), "norm: ord=3 is no norm of matrices"),
        (lambda: np.linalg.norm(one, "nucular"), "no norm of matrices; there are 'fro'"),
        (lambda: np.linalg.norm(one[0], "fro"), "norm: ord='fro' is no norm of vectors"),
        (lambda: np.linalg.norm(one[0], -2), "positive numbers, inf, -inf and 0"),
        (lambda: np.linalg.norm(one[None], 1), "name one axis or two"),
    ]:
        with pytest.raises(ValueError, match=words):
            f()


def test_norms_of_any_order_at_zeros_and_far_out() -> None:
    for ord in (0.5, 1, 1.5, 2, 3):
        assert_same(gradient(lambda a, p=ord: mg.linalg.norm(a, p), np.zeros(3)), np.zeros(3))
        assert_same(mg.linalg.norm(Tensor([3.0, -4.0]), ord).data, np.linalg.norm([3.0, -4.0], ord), rel=1e-14)
    tiny = mg.linalg.norm(Tensor([3e-200, 4e-200]), 3)
    assert tiny.item() == pytest.approx(91 ** (1 / 3) * 1e-200, rel=1e-14)
    assert_same(gradient(lambda a: mg.linalg.norm(a, 3), np.array([3e200, 4e200, 0.0])),
                gradient(lambda a: mg.linalg.norm(a, 3), np.array([3.0, 4.0, 0.0])), rel=1e-13)
    assert mg.linalg.norm(Tensor([0.0, 2.0, np.inf]), 3).item() == np.inf
    assert mg.linalg.norm(Tensor([0.0, 2.0, 5.0]), 0).item() == 2.0


THIRD: dict[str, tuple[Any, Any]] = {
    "inv": (mg.inv, torch.linalg.inv),
    "det": (mg.det, torch.linalg.det),
    "pinv": (lambda a: mg.pinv(a[:, :2]), lambda a: torch.linalg.pinv(a[:, :2])),
    "matrix_power": (lambda a: mg.matrix_power(a, 6), lambda a: torch.linalg.matrix_power(a, 6)),
    "slogdet": (lambda a: mg.slogdet(a)[1], lambda a: torch.linalg.slogdet(a)[1]),
    "solve": (lambda a: mg.solve(a, a @ a.mT), lambda a: torch.linalg.solve(a, a @ a.mT)),
    "cholesky": (lambda a: mg.cholesky(a @ a.mT), lambda a: torch.linalg.cholesky(a @ a.mT)),
    "eigh": (lambda a: mg.eigh(a + a.mT)[0] * mg.eigh(a + a.mT)[1] ** 2,
             lambda a: torch.linalg.eigh(a + a.mT)[0] * torch.linalg.eigh(a + a.mT)[1] ** 2),
    "svd": (lambda a: mg.svd(a)[1] * mg.svd(a)[0] ** 2 @ mg.svd(a)[2] ** 2,
            lambda a: torch.linalg.svd(a)[1] * torch.linalg.svd(a)[0] ** 2 @ torch.linalg.svd(a)[2] ** 2),
    "hypot": (lambda a: mg.hypot(a, a.mT * a), lambda a: torch.hypot(a, a.mT * a)),
    "arctan2": (lambda a: mg.arctan2(a, a.mT * a), lambda a: torch.arctan2(a, a.mT * a)),
    "logaddexp": (lambda a: mg.logaddexp(a, a.mT * a), lambda a: torch.logaddexp(a, a.mT * a)),
    "remainder": (lambda a: mg.remainder(a**3, a.mT), lambda a: torch.remainder(a**3, a.mT)),
    "arcsinh": (mg.arcsinh, torch.arcsinh),
    "arccosh": (lambda a: mg.arccosh(a * a + 1), lambda a: torch.arccosh(a * a + 1)),
    "exp2, log10": (lambda a: mg.exp2(a) + mg.log10(a * a), lambda a: torch.exp2(a) + torch.log10(a * a)),
    "cumprod": (lambda a: mg.cumprod(a, 1), lambda a: torch.cumprod(a, 1)),
    "sort": (lambda a: mg.sort(a, 1) ** 3, lambda a: torch.sort(a, 1).values ** 3),
    "kron": (lambda a: mg.kron(a, a * a), lambda a: torch.kron(a, a * a)),
    "einsum": (lambda a: mg.einsum("ii,...i->...", a, a * a), lambda a: torch.einsum("ii,...i->...", a, a * a)),
    "norm, ord 3": (lambda a: mg.linalg.norm(a, 3, 1), lambda a: torch.linalg.vector_norm(a, 3, 1)),
}


@pytest.mark.parametrize("name", THIRD)
def test_the_third_derivative_equals_pytorch(name: str) -> None:
    ours, theirs = THIRD[name]
    # Away from zero: PyTorch's third derivative of its sign-dependent rules is not defined there.
    a = SQUARE[:3, :3] + 0.7
    directions = [np.random.default_rng(k).uniform(-1, 1, (3, 3)) for k in range(3)]

    x, t = Tensor(a), torch.tensor(a, requires_grad=True)
    y, z = ours(x), theirs(t)
    seed = np.random.default_rng(9).uniform(0.5, 1.5, y.shape)
    y, z = (y * seed).sum(), (z * torch.tensor(seed)).sum()
    for v in directions[:2]:
        y = (mg.grad(y, x, create_graph=True) * v).sum()
        z = (torch.autograd.grad(z, t, create_graph=True)[0] * torch.tensor(v)).sum()
    assert_same(mg.grad(y, x), torch.autograd.grad(z, t)[0].numpy(), rel=1e-10)
