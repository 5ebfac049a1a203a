"""The singular values of a long product of matrices, all of them, as logarithms. Numbers only.

Formed as a matrix, a product loses every singular value that lies more than 16 decades below the largest. So it is
never formed. The product so far is kept as ``U diag(exp(logs)) Vᵀ``; V has no part in singular values and is left out.
The next matrix makes ``(J U) diag(exp(logs))`` of it: columns of ordinary size, times scales as far apart as they like.
`graded` finds the singular values of that: a QR factorisation is that of the columns alone, whatever their scales, and
QR of the transpose, again and again, makes it diagonal (Stewart 1995, "On graded QR decompositions of products of
matrices"). That is fast for values far apart. Those close together are made orthogonal by an ordinary SVD of their
columns, window by window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

LN10 = float(np.log(10))
EPS = float(np.finfo(float).eps)
TURNS = 100  # at most; four are enough as a rule
SPREAD = float(np.log(1e3))  # how far apart the values of a window may be for an ordinary SVD


def log_singular_values(matrices: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    """log10 of the singular values of the product so far, (n,), after each of the matrices, multiplied from the left.

    Minus infinity is exactly zero. NaN is what rounding cannot tell: all that is not zero after a singular matrix,
    where a direction that is lost may come back as rounding and grow, and all after a matrix that is not finite.
    """
    U, logs, zeros = np.eye(n), np.zeros(n), 0
    for J in matrices:
        if not np.isfinite(J).all():
            U = np.full_like(U, np.nan)
        if np.isnan(U).any():
            yield np.full(n, np.nan)
            continue
        zeros += U.shape[1] - rank(scaled(scaled(J.T).T) @ U)  # units of the next state at one scale: none is lost
        U, logs = graded(J @ U, logs, rank(J @ U))
        zeros = min(zeros, n - len(logs))
        known = logs / LN10 if len(logs) == n else np.full(len(logs), np.nan)
        yield np.concatenate([known, np.full(n - len(logs) - zeros, np.nan), np.full(zeros, -np.inf)])


def graded(X: np.ndarray, logs: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The left singular vectors of ``X diag(exp(logs))`` and the logs of its singular values, as many as the rank."""
    if not rank:
        return X[:, :0], logs[:0]
    U = np.eye(len(X))
    for turn in range(TURNS):
        _, Q, X, logs = turned(X, logs, rank)
        order, _, X, logs = turned(X, logs, rank)
        U = U @ Q[:, order]
        edges = blocks(X)
        if all(logs[a] - logs[b - 1] < SPREAD for a, b in edges):
            break
        for a, b in windows(logs, SPREAD / (1 + turn % 2)):  # next time they lie across the edges of these
            X[:, a:b], values, _ = np.linalg.svd(X[:, a:b] * np.exp(logs[a:b] - logs[a]), full_matrices=False)
            logs[a:b] = logs[a] + np.log(values)
    else:
        return np.full((len(U), rank), np.nan), np.full(rank, np.nan)
    found = np.zeros(rank)
    for a, b in edges:
        left, values, _ = np.linalg.svd(X[a:b, a:b] * np.exp(logs[a:b] - logs[a]))
        U[:, a:b] = U[:, a:b] @ left
        found[a:b] = logs[a] + np.log(values)
    order = np.argsort(-found, kind="stable")
    return U[:, order], found[order]


def turned(X: np.ndarray, logs: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``X[:, order] diag(exp(logs[order])) = Q (Y diag(exp(new)))ᵀ``: returns order, Q, Y and new.

    Q has as many columns as the rank. Where X has more, some are combinations of those before them.
    """
    with np.errstate(divide="ignore"):
        sizes = np.sqrt((X * X).sum(axis=0))
        order = np.argsort(-(logs + np.log(sizes)), kind="stable")
        kept, noise = np.arange(len(order)), 16 * len(X) * EPS * sizes.max()
        Q, R = np.linalg.qr(X[:, order])
        while len(kept) > rank:
            left = np.abs(np.diag(R))
            small = np.flatnonzero(left <= noise)
            kept = np.delete(kept, small[0] if small.size else left.argmin())
            Q, R = np.linalg.qr(X[:, order[kept]])
        R = np.where(np.arange(len(order)) < kept[:, None], 0, Q.T @ X[:, order])
        lost = ~np.isin(np.arange(len(order)), kept)
        R[:, lost] = np.where(np.abs(R[:, lost]) <= noise, 0, R[:, lost])
        rows = np.log(np.abs(R)) + logs[order]
        new = rows.max(axis=1)
        return order, Q, (np.sign(R) * np.exp(rows - new[:, None])).T, new


def blocks(X: np.ndarray) -> list[tuple[int, int]]:
    """Where X falls apart into square blocks along its diagonal, as far as rounding tells."""
    n = X.shape[1]
    linked = np.abs(X[:n]) > 4 * n * EPS
    furthest = np.maximum.accumulate([np.flatnonzero(row | column)[-1] if (row | column).any() else 0
                                      for row, column in zip(linked, linked.T, strict=True)])
    ends = [k + 1 for k in range(n) if furthest[k] <= k]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def windows(logs: np.ndarray, first: float) -> list[tuple[int, int]]:
    """Runs of values that lie no further apart than SPREAD, the first run no further than that."""
    starts, spread = [0], first
    for k in range(len(logs)):
        if logs[starts[-1]] - logs[k] > spread:
            starts.append(k)
            spread = SPREAD
    return list(zip(starts, [*starts[1:], len(logs)], strict=True))


def scaled(A: np.ndarray) -> np.ndarray:
    """The rows at one scale, zeros left as they are."""
    sizes = np.abs(A).max(axis=1, initial=0.0, keepdims=True)
    return A / np.where(sizes > 0, sizes, 1)


def rank(A: np.ndarray) -> int:
    """The rank, as far as rounding tells."""
    return int(np.linalg.matrix_rank(A)) if A.size else 0
