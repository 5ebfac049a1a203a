"""Equations, determinants and factorisations of square matrices, and of stacks of them: shape (..., n, n).

The rules are those of Giles, *Collected matrix derivative results for forward and reverse mode algorithmic
differentiation* (2008), of Murray, *Differentiation of the Cholesky decomposition* (2016), and of Townsend,
*Differentiating the singular value decomposition* (2016), for real matrices.

Where a derivative does not exist, the rule raises and says why:

=========================  =====================================================================================
inv, solve, slogdet        of a singular matrix: there is no inverse
pinv                       of a matrix of which rcond cuts a singular value that is not 0 (up to rounding). Where one is
                           0, none: the gradient taken is that among matrices of the same rank
det                        always has one: at a singular matrix the cofactors are multiplied out
eigh, svd                  the vectors of equal values, for they may be any basis of a subspace; the values have one
svd, not square            the vectors of a singular value 0, of which one side is any direction that is left over
=========================  =====================================================================================

The sign of an eigenvector, and of a pair of singular vectors, is free. A loss must not depend on it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Primitive, Rule
from microgradrnn.engine.rules import elementwise as e
from microgradrnn.engine.rules import reduction
from microgradrnn.engine.rules.reduction import Axis
from microgradrnn.engine.rules.shape import as_array, axes_of, expand_dims, moveaxis, stack, tril, triu

__all__ = [
    "cholesky", "det", "eigh", "inv", "matrix_power", "pinv", "slogdet", "solve", "svd",
]  # fmt: skip


class SlogdetResult(NamedTuple):
    """sign · exp(logabsdet) is the determinant."""

    sign: Any
    logabsdet: Any


class EighResult(NamedTuple):
    """A = eigenvectors · diag(eigenvalues) · eigenvectorsᵀ, the eigenvalues in increasing order."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """A = U · diag(S) · Vh, the singular values S in decreasing order."""

    U: Any
    S: Any
    Vh: Any


def _square(x: Any, name: str) -> Any:
    """x as a node or array, if its last two axes have one length."""
    x = as_array(x)
    shape = np.shape(plain(x))
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"{name}: a square matrix, or a stack of them, is needed; got shape {shape}")
    return x


def _symmetric(x: Any, name: str) -> Any:
    """x, if it is symmetric up to rounding and to the steps of a finite difference."""
    a = plain(_square(x, name))
    apart = np.abs(a - a.mT).max(initial=0.0, where=_finite(a))
    if apart > 1e-4 * np.abs(a).max(initial=0.0, where=_finite(a)):
        raise ValueError(
            f"{name}: the matrix is not symmetric, entries across the diagonal differ by up to {apart:.3g}; "
            "make it so: (A + A.mT) / 2, or A @ A.mT"
        )
    return as_array(x)


def _matrix_operation(name: str, f: Callable[..., Any], rules: Sequence[Rule], why: str = "") -> Primitive:
    """A row of the table: NumPy's function, the rules, and what to do where NumPy fails.

    A matrix that is not finite gives NaNs. NumPy would refuse the whole stack for it.
    """

    def forward(a: Any, *others: Any, **params: Any) -> Any:
        finite = _finite(a)
        try:
            y = f(a if finite.all() else np.where(finite, a, _sound(a)), *others, **params)
        except np.linalg.LinAlgError as error:
            raise np.linalg.LinAlgError(f"{error}; {why}") from None
        return y if finite.all() else np.where(finite, y, np.full_like(y, np.nan))

    return Primitive(name, None, forward, rules, sound=_sound)


def _finite(a: Any) -> Any:
    """Of each matrix, is every number finite? (..., 1, 1)."""
    return np.isfinite(a).all((-2, -1), keepdims=True)


def _sound(x: Any) -> Any:
    """Matrices like x that are regular and positive definite, with different eigenvalues and singular values."""
    m, n = x.shape[-2:]
    matrix = np.cos(np.arange(m * n)).reshape(m, n) + 2 * max(m, n) * np.eye(m, n)
    return np.broadcast_to(matrix, x.shape).astype(x.dtype)


SINGULAR = "there is no inverse, for its rows are linearly dependent; adding a little to the diagonal makes it regular"

# -------------------------------------------------------------------------------------- equations, determinants
_inv: Primitive = _matrix_operation(
    "inv", np.linalg.inv,
    (lambda g, y, a: -(y.mT @ g @ y.mT),),
    SINGULAR,
)  # fmt: skip


def inv(a: Any) -> Any:
    """The inverse of a square matrix, or of each in a stack. For equations, `solve` is faster and more accurate.

    >>> inv([[2.0, 0.0], [0.0, 4.0]])
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return _inv(_square(a, "inv"))


def matrix_power(a: Any, n: int) -> Any:
    """a @ a @ ... @ a, n factors, of a square matrix, or of each in a stack; of the inverse where n is negative.

    It takes about log2(n) products. The product of the weights over n steps of a linear recurrent net is such a power.

    >>> from microgradrnn import Tensor, matrix_power
    >>> matrix_power(Tensor([[0.5, 1.0], [0.0, 0.5]]), 3).data
    array([[0.125, 0.75 ],
           [0.   , 0.125]])
    """
    a, n = _square(a, "matrix_power"), operator.index(n)
    if n < 0:
        return matrix_power(inv(a), -n)
    if n == 0:  # the identity, as a node if a is one
        identity = np.eye(a.shape[-1], dtype=a.dtype)
        return e.where(np.zeros(a.shape, dtype=bool), a, identity)
    half = a if n < 2 else matrix_power(a, n // 2)
    return half if n == 1 else half @ half @ a if n % 2 else half @ half


_solve: Primitive = _matrix_operation(
    "solve", np.linalg.solve,
    (
        lambda g, y, a, b: -(_solve(a.mT, g) @ y.mT),
        lambda g, y, a, b: _solve(a.mT, g),
    ),
    SINGULAR,
)  # fmt: skip


def solve(a: Any, b: Any) -> Any:
    """The x of a @ x = b.

    Args:
        a: square matrices, (..., n, n).
        b: one vector, (n,), or right-hand sides as columns, (..., n, k), as in NumPy. Stacked vectors are (..., n, 1).

    Raises:
        ValueError: if a is not square, or b has another number of rows.
        LinAlgError: if a is singular.

    >>> from microgradrnn import Tensor, solve
    >>> solve(Tensor([[2.0, 0.0], [0.0, 4.0]]), [2.0, 2.0]).data
    array([1. , 0.5])
    """
    a, b = _square(a, "solve"), as_array(b)
    n, shape = np.shape(plain(a))[-1], np.shape(plain(b))
    if not shape or shape[max(len(shape) - 2, 0)] != n:
        raise ValueError(f"solve: a matrix with {n} rows needs right-hand sides (n,) or (..., n, k), got shape {shape}")
    return _solve(a, b[:, None])[..., 0] if len(shape) == 1 else _solve(a, b)


def _pinv_rule(g: Any, y: Any, a: Any, rcond: float) -> Any:
    """Golub and Pereyra, *The differentiation of pseudo-inverses and nonlinear least squares problems* (1973).

    Of dP = -P dA P + P Pᵀ dAᵀ (I - A P) + (I - P A) dAᵀ Pᵀ P the transpose.
    """
    _check_cut(plain(g), plain(a), rcond)
    to_rows, to_columns = g.mT - a @ (y @ g.mT), g.mT - (g.mT @ y) @ a
    return -(y.mT @ g @ y.mT) + to_rows @ (y @ y.mT) + (y.mT @ y) @ to_columns


def _check_cut(g: np.ndarray, a: np.ndarray, rcond: Any) -> None:
    """The rule takes the singular values that were cut for zeros: are they, up to rounding?"""
    rounding = 10 * max(a.shape[-2:]) * np.finfo(a.dtype).eps
    if a.size == 0 or np.max(rcond) <= rounding:
        return
    s = np.linalg.svd(np.where(_finite(a), a, _sound(a)), compute_uv=False)
    largest = s.max(-1, keepdims=True)
    cut = (s <= np.asarray(rcond)[..., None] * largest) & (s > rounding * largest)
    wrong = cut & _finite(a)[..., 0] & (g != 0).any((-2, -1))[..., None]
    if wrong.any():
        raise ValueError(
            f"pinv: rcond={rcond} cuts the singular value {s[wrong].max():.3g}, which is not 0, and the gradient is "
            "right for zeros only. Give a smaller rcond; or keep the k largest, which has a gradient: "
            "U, S, Vh = svd(a, full_matrices=False); (Vh[:k].mT / S[:k]) @ U[:, :k].mT"
        )


_pinv = _matrix_operation("pinv", np.linalg.pinv, (_pinv_rule,))


def pinv(a: Any, rcond: float = 1e-15) -> Any:
    """The pseudo-inverse of a matrix, or of each in a stack: ``pinv(a) @ b`` is the smallest x of least squares.

    Args:
        a: an array or node, (..., m, n). The result is (..., n, m).
        rcond: singular values below rcond times the largest count as 0.

    Raises:
        ValueError: if a is neither a matrix nor a stack of matrices; and in the reverse pass, if rcond cuts a singular
            value that is not 0.

    >>> from microgradrnn import Tensor, pinv
    >>> pinv(Tensor([[1.0], [2.0]])).data
    array([[0.2, 0.4]])
    """
    a = as_array(a)
    if np.ndim(plain(a)) < 2:
        raise ValueError(f"pinv: a matrix, or a stack of them, is needed; got shape {np.shape(plain(a))}")
    return _pinv(a, rcond=rcond)


def _cofactors(a: Any, y: Any, worst: float) -> Any:
    """The slope of the determinant y of a: y A⁻ᵀ, or near a singular matrix the minors with their signs."""
    data = plain(a)
    n = data.shape[-1]
    if n == 0 or (np.linalg.cond(np.where(_finite(data), data, _sound(data))) < worst).all():
        return y[..., None, None] * inv(a).mT
    others = np.array([np.delete(np.arange(n), i) for i in range(n)], dtype=np.intp)
    minors = [det(a[..., others[i][:, None], others[:, None, :]]) for i in range(n)]
    i = np.arange(n)
    return stack(minors, -2) * (-1.0) ** (i[:, None] + i).astype(data.dtype)


_det: Primitive = Primitive(
    "det", None, np.linalg.det,
    # Differentiated again, y A⁻ᵀ loses twice the digits.
    (lambda g, y, a: g[..., None, None] * _cofactors(a, y, 1e4 if isinstance(g, Node) else 1e8),),
    sound=_sound,
)  # fmt: skip


def det(a: Any) -> Any:
    """The determinant of a square matrix, or of each in a stack. Its gradient is right at singular matrices too.

    >>> float(det([[2.0, 0.0], [0.0, 4.0]]))
    7.999999999999998
    """
    return _det(_square(a, "det"))


def _slope_of_logabsdet(g: Any, y: Any, a: Any) -> Any:
    singular = np.isneginf(plain(y))
    if (singular & (plain(g) != 0)).any():
        raise np.linalg.LinAlgError("slogdet: of a singular matrix log|det| is -inf and has no slope; det has one")
    return g[..., None, None] * inv(e.where(singular[..., None, None], _sound(plain(a)), a)).mT


_logabsdet = Primitive(
    "logabsdet", None, lambda a: np.linalg.slogdet(a)[1], (_slope_of_logabsdet,), symbol="log|det|", sound=_sound
)
_det_sign = Primitive("det_sign", None, lambda a: np.linalg.slogdet(a)[0], (None,))


def slogdet(a: Any) -> SlogdetResult:
    """The sign of the determinant, which is flat, and the logarithm of its size, which neither over- nor underflows.

    Of a square matrix (n, n), or of each in a stack (..., n, n).

    >>> sign, log = slogdet([[-2.0, 0.0], [0.0, 0.5]])
    >>> float(sign), float(log)
    (-1.0, 0.0)
    """
    a = _square(a, "slogdet")
    return SlogdetResult(_det_sign(a), _logabsdet(a))


# ---------------------------------------------------------------------------------------------- factorisations
def _half(a: Any) -> Any:
    """The symmetric part."""
    return (a + a.mT) / 2


def _cholesky_rule(g: Any, y: Any, a: Any) -> Any:
    """A = L Lᵀ: the symmetric part of L⁻ᵀ P L⁻¹, where P is the lower triangle of Lᵀ G with half its diagonal."""
    n = y.shape[-1]
    P = (y.mT @ g) * (np.tri(n, dtype=y.dtype) - np.eye(n, dtype=y.dtype) / 2)
    return _half(_solve(y.mT, _solve(y.mT, P).mT))


_cholesky = _matrix_operation(
    "cholesky", lambda a: np.linalg.cholesky(_half(a)), (_cholesky_rule,),
    "all its eigenvalues (see eigh) must be positive. Adding a multiple of the identity makes them larger",
)  # fmt: skip


def cholesky(a: Any) -> Any:
    """The lower triangular L of a = L @ L.mT, of a symmetric positive definite matrix, or of each in a stack.

    Where a is not quite symmetric, its symmetric part (a + a.mT) / 2 is meant, so the gradient is symmetric.

    >>> cholesky([[4.0, 2.0], [2.0, 2.0]])
    array([[2., 0.],
           [1., 1.]])
    """
    return _cholesky(_symmetric(a, "cholesky"))


def _one_over_gaps(gap: Any, size: Any, cotangents: tuple[Any, ...], what: str) -> Any:
    """1 / gap, and 0 for a gap of 0, if nothing asks for it there.

    The cotangents say how much the loss changes as two vectors turn into each other. Vectors that the loss does not
    look at, such as the last ones of ``V[:, :2]``, may have equal values.
    """
    n = gap.shape[-1]
    tied = np.abs(plain(gap)) <= n * np.finfo(gap.dtype).eps * size
    for m in map(plain, cotangents):
        asked = tied & ~np.eye(n, dtype=bool) & np.isfinite(m) & (m != 0)
        if asked.any():
            i, j = sorted(int(k) for k in np.argwhere(asked)[0][-2:])
            raise ValueError(
                f"{what} {i} and {j} are equal, so their vectors are any basis of a plane and have no derivative "
                "(and the values have no second one). Use the values alone, or matrix functions such as inv and solve"
            )
    return e.where(tied, 0.0, 1 / e.where(tied, 1.0, gap))


def _eigenvectors_rule(g: Any, V: Any, a: Any, UPLO: str) -> Any:
    """V (F ∘ Vᵀ G) Vᵀ with F[i, j] = 1 / (w[j] - w[i]); its symmetric part, as a is symmetric."""
    w = _eigenvalues(a, V)
    M = V.mT @ g
    size = np.abs(plain(w)).max(-1, initial=0.0)[..., None, None]
    F = _one_over_gaps(w[..., None, :] - w[..., :, None], size, (M,), "eigh: eigenvalues")
    return _half(V @ (F * M) @ V.mT)


_eigenvectors: Primitive = _matrix_operation(
    "eigenvectors", lambda a, UPLO: np.linalg.eigh(_half(a), UPLO).eigenvectors, (_eigenvectors_rule,)
)
# vᵀ A v. A vector that turns changes its eigenvalue in second order only, so V gets no message.
_eigenvalues: Primitive = Primitive(
    "eigenvalues", None, lambda a, V: np.sum(V * (a @ V), -2),
    (lambda g, y, a, V: (V * g[..., None, :]) @ V.mT, None),
    sound=_sound,
)  # fmt: skip


def _mirrored(a: Any, UPLO: str) -> Any:
    """The symmetric matrix that has one triangle of a, twice."""
    if UPLO not in ("L", "U"):
        raise ValueError(f"eigh: UPLO must be 'L' or 'U', the lower or the upper triangle; got {UPLO!r}")
    a = _square(a, "eigh")
    return tril(a) + tril(a, -1).mT if UPLO == "L" else triu(a) + triu(a, 1).mT


def eigh(a: Any, UPLO: str | None = None) -> EighResult:
    """The eigenvalues, increasing, and the eigenvectors (columns) of a symmetric matrix, or of each in a stack.

    Where a is not quite symmetric, its symmetric part (a + a.mT) / 2 is meant, so the gradient is symmetric.

    Args:
        a: an array or node, (..., n, n).
        UPLO: "L" or "U": only the lower or the upper triangle is read, and the gradient is in that triangle. (NumPy
            does so by default, with "L". Here a must be symmetric by default.)

    Raises:
        ValueError: if a is not symmetric; and in the reverse pass, if the loss depends on the vectors of equal values.

    >>> from microgradrnn import Tensor, eigh
    >>> A = Tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> w, V = eigh(A)
    >>> w[1].backward()
    >>> A.grad
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    a = _symmetric(a if UPLO is None else _mirrored(a, UPLO), "eigh")
    V = _eigenvectors(a, UPLO=UPLO or "L")  # (the signs of the vectors are then NumPy's)
    return EighResult(_eigenvalues(a, V), V)


def _singular_vectors_of(a: Any) -> Any:
    U, _, Vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([U, Vh.mT], -2)


def _split(a: Any, y: Any) -> tuple[Any, Any]:
    """U and V of the array that has U above V, for a matrix a."""
    m = a.shape[-2]
    return y[..., :m, :], y[..., m:, :]


def _singular_vectors_rule(g: Any, y: Any, a: Any) -> Any:
    """With F[i, j] = 1 / (s[j]² - s[i]²), and X̂ = X - Xᵀ of a square matrix X:

    U (F ∘ (Uᵀ G)^ S + S F ∘ (Vᵀ H)^) Vᵀ, and what of G and H lies outside of the two bases, divided by S.
    """
    m, n = a.shape[-2:]
    s = _singular_values(a, y)
    (U, V), (G, H) = _split(a, y), _split(a, g)
    M, N = U.mT @ G, V.mT @ H
    column, row = s[..., :, None], s[..., None, :]
    size = np.abs(plain(s)).max(-1, initial=0.0)[..., None, None]
    F = _one_over_gaps(row - column, size, (M, N), "svd: singular values") / _nonzero(row + column)
    total = U @ ((F * (M - M.mT)) * row + column * (F * (N - N.mT))) @ V.mT
    if m > n:
        total = total + _outside(G - U @ M, row, size) @ V.mT
    if n > m:
        total = total + U @ _outside(H - V @ N, row, size).mT
    return total


def _outside(rest: Any, s: Any, size: Any) -> Any:
    """A cotangent outside of the basis, over the singular values."""
    none = np.abs(plain(s)) <= s.shape[-1] * np.finfo(s.dtype).eps * size
    r = plain(rest)
    if (none & np.isfinite(r) & (r != 0)).any():
        raise ValueError(
            "svd: a singular value is 0, so its vector on the longer side is any direction that is left over, without "
            "a derivative. Leave it out of the loss, or use the singular values alone"
        )
    return rest / e.where(none, 1.0, s)


def _nonzero(x: Any) -> Any:
    return e.where(plain(x) == 0, 1.0, x)


# U above V, as one array: they come of one factorisation, and their columns belong together.
_singular_vectors: Primitive = _matrix_operation("singular_vectors", _singular_vectors_of, (_singular_vectors_rule,))


# uᵀ A v, which is stationary in u and v: the vectors get no message.
_singular_values: Primitive = Primitive(
    "singular_values", None, lambda a, y: np.abs(np.sum(_split(a, y)[0] * (a @ _split(a, y)[1]), -2)),
    (lambda g, s, a, y: (_split(a, y)[0] * g[..., None, :]) @ _split(a, y)[1].mT, None),
    sound=_sound,
)  # fmt: skip


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition a = U @ diag(S) @ Vh of a matrix, or of each in a stack.

    Args:
        a: an array or node, (..., m, n).
        full_matrices: must be False where m and n differ: no derivative determines the vectors beyond min(m, n).
        compute_uv: False returns S alone.

    Returns:
        ``(U, S, Vh)``, S in decreasing order.

    Raises:
        ValueError: in the reverse pass, if the loss depends on the vectors of equal singular values.

    >>> U, S, Vh = svd([[3.0, 0.0], [0.0, 4.0]])
    >>> S
    array([4., 3.])
    """
    a = as_array(a)
    if np.ndim(plain(a)) < 2:
        raise ValueError(f"svd: a matrix, or a stack of them, is needed; got shape {np.shape(plain(a))}")
    m, n = np.shape(plain(a))[-2:]
    if compute_uv and full_matrices and m != n:
        raise ValueError(
            f"svd: a {m} by {n} matrix determines {min(m, n)} vectors on each side; those that full_matrices=True (the "
            "default, as in NumPy) adds have no derivative: give full_matrices=False"
        )
    y = _singular_vectors(a)
    s = _singular_values(a, y)
    if not compute_uv:
        return s
    U, V = _split(a, y)
    return SVDResult(U, s, V.mT)


# ------------------------------------------------------------------------------------------------------- norms
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """A norm of vectors or matrices, with the arguments of ``np.linalg.norm``.

    Args:
        x: an array or node.
        ord: None is the Euclidean norm. Of vectors: 1, 2, another positive number, inf, -inf, or 0 (how many are not 0,
            which is flat). Of matrices: "fro", "nuc" (the sum of the singular values), 2 and -2 (the largest and the
            smallest), 1 and -1 (the largest and smallest sum of sizes in a column), inf and -inf (in a row).
        axis: one axis for vectors, two for matrices. None: all of x, which must be a vector or matrix if ord is given.
        keepdims: keep the axes, with length 1?

    Raises:
        ValueError: if there is no such norm, or ord needs one axis or two and x has more.

    >>> import numpy as np
    >>> float(norm([3.0, 4.0]))
    5.0
    >>> norm([[3.0, 4.0], [0.0, 2.0]], ord=np.inf, axis=1)
    array([4., 2.])
    """
    x = as_array(x)
    ndim = np.ndim(plain(x))
    if ord is None:
        return reduction.norm(x, axis, keepdims)
    axes = list(range(ndim)) if axis is None else axes_of(x, axis, "norm")
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ValueError(f"norm: ord={ord!r} is a norm of vectors or matrices: name one axis or two, shape {x.shape}")
    if ord == "fro":
        return reduction.norm(x, tuple(axes), keepdims)
    if ord not in MATRIX_NORMS:
        raise ValueError(f"norm: ord={ord!r} is no norm of matrices; there are 'fro', 'nuc', ±1, ±2 and ±inf")
    y = MATRIX_NORMS[ord](moveaxis(x, axes, (-2, -1)))
    return expand_dims(y, tuple(axes)) if keepdims else y


MATRIX_NORMS: dict[Any, Callable[[Any], Any]] = {
    "nuc": lambda x: reduction.sum(svd(x, compute_uv=False), -1),
    2: lambda x: reduction.max(svd(x, compute_uv=False), -1),
    -2: lambda x: reduction.min(svd(x, compute_uv=False), -1),
    1: lambda x: reduction.max(reduction.sum(e.abs(x), -2), -1),
    -1: lambda x: reduction.min(reduction.sum(e.abs(x), -2), -1),
    np.inf: lambda x: reduction.max(reduction.sum(e.abs(x), -1), -1),
    -np.inf: lambda x: reduction.min(reduction.sum(e.abs(x), -1), -1),
}


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    size = e.abs(x)
    if ord == 2:
        return reduction.norm(x, axis, keepdims)
    if ord == 1:
        return reduction.sum(size, axis, keepdims)
    if ord in (np.inf, -np.inf):
        return (reduction.max if ord > 0 else reduction.min)(size, axis, keepdims)
    if ord == 0:
        return reduction.sum(e.abs(e.sign(x)), axis, keepdims)
    if isinstance(ord, str) or not ord > 0:
        raise ValueError(f"norm: ord={ord!r} is no norm of vectors; there are positive numbers, inf, -inf and 0")
    # Over the largest entry, a constant that cancels, no power over- or underflows. A zero adds nothing: slope 0.
    top = np.max(plain(size), axis=axis, keepdims=True, initial=0.0)
    top = np.where((top == 0) | ~np.isfinite(top), np.ones_like(top), top)
    zero = plain(size) == 0
    powers = e.where(zero, 0.0, e.where(zero, 1.0, size / top) ** ord)
    total = reduction.sum(powers, axis, keepdims=True)
    nothing = plain(total) == 0
    y = top * e.where(nothing, 0.0, e.where(nothing, 1.0, total) ** (1 / ord))
    return y if keepdims else reduction.sum(y, axis)
