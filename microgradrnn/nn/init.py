"""Initialisers: plain functions (rng, shape) -> array, for matrices (in, out) that are multiplied from the right.
rng is a generator or a seed.

The aim of all of them is that signals neither grow nor shrink on their way: what Xavier and Kaiming do for depth,
orthogonal and identity matrices do for time, where the *same* matrix is applied at every step.

    cell.W.data = init.orthogonal(rng, cell.W.shape)

They draw in float64; assigning to ``.data`` of a float32 parameter needs ``.astype(np.float32)``, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from microgradrnn.nn.module import Rng, as_rng

__all__ = ["chrono", "identity", "kaiming", "normal", "orthogonal", "uniform", "xavier", "zeros"]

Shape = Sequence[int]


def zeros(rng: Rng, shape: Shape) -> np.ndarray:
    """All zeros: for biases. (A weight matrix of zeros makes all units alike, and they stay so.)

    >>> zeros(0, (2,))
    array([0., 0.])
    """
    return np.zeros(shape)


def uniform(rng: Rng, shape: Shape, bound: float | None = None) -> np.ndarray:
    """Uniform in ±bound; by default 1/√fan_in, PyTorch's for Linear.

    >>> bool(np.abs(uniform(0, (4, 3))).max() <= 0.5)
    True
    """
    bound = 1 / math.sqrt(fans(shape)[0]) if bound is None else bound
    return as_rng(rng).uniform(-bound, bound, shape)


def normal(rng: Rng, shape: Shape, std: float = 0.01) -> np.ndarray:
    """Gaussian with mean 0.

    >>> normal(0, (4, 3)).shape
    (4, 3)
    """
    return std * as_rng(rng).standard_normal(shape)


def xavier(rng: Rng, shape: Shape, gain: float = 1.0) -> np.ndarray:
    """Uniform with variance gain² · 2/(fan_in + fan_out) (Glorot & Bengio 2010): for tanh.

    >>> bool(np.abs(xavier(0, (4, 2))).max() <= 1)
    True
    """
    bound = gain * math.sqrt(6 / sum(fans(shape)))
    return as_rng(rng).uniform(-bound, bound, shape)


def kaiming(rng: Rng, shape: Shape) -> np.ndarray:
    """Gaussian with variance 2/fan_in (He et al. 2015): for ReLU, which lets half of the variance through.

    >>> kaiming(0, (4, 2)).shape
    (4, 2)
    """
    return math.sqrt(2 / fans(shape)[0]) * as_rng(rng).standard_normal(shape)


def orthogonal(rng: Rng, shape: Shape, gain: float = 1.0) -> np.ndarray:
    """gain times a random matrix with orthonormal rows or columns (Saxe, McClelland & Ganguli 2014).

    All its singular values are gain, so a product of many neither vanishes nor explodes by itself. For n gates side by
    side, concatenate n of them.

    >>> W = orthogonal(0, (4, 4))
    >>> bool(np.allclose(W @ W.T, np.eye(4)))
    True
    """
    rows, columns = matrix("orthogonal", shape)
    Q, R = np.linalg.qr(as_rng(rng).standard_normal((max(rows, columns), min(rows, columns))))
    Q = Q * np.sign(np.diagonal(R))  # so that all orthogonal matrices are equally likely (Mezzadri 2007)
    return gain * np.ascontiguousarray(Q if rows >= columns else Q.T)


def identity(rng: Rng, shape: Shape) -> np.ndarray:
    """Ones on the diagonal: with ReLU and b = 0, the IRNN (Le, Jaitly & Hinton 2015), which starts as a pure memory.

    >>> identity(0, (2, 2))
    array([[1., 0.],
           [0., 1.]])
    """
    return np.eye(*matrix("identity", shape))


def chrono(rng: Rng, shape: Shape, longest: int) -> np.ndarray:
    """log u, with u uniform in 1..longest - 1: for biases of a gate that keeps (Tallec & Ollivier 2018).

    A gate that is σ(log u) = u/(1 + u) at all steps forgets a share 1/(1 + u) of its memory at each, so that what it
    keeps lasts about 1 + u steps: memories of all lengths up to the longest lag.

    Raises:
        ValueError: if longest is no integer of 2 or more.

    >>> b = chrono(0, (1000,), 50)
    >>> bool((b >= 0).all()), bool((b <= np.log(49)).all())
    (True, True)
    """
    if not isinstance(longest, (int, np.integer)) or isinstance(longest, bool) or longest < 2:
        raise ValueError(f"init: the longest lag of chrono must be an integer of 2 or more, got {longest!r}")
    return np.log(as_rng(rng).uniform(1, longest - 1, shape))


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs each output sums over, and how many outputs each input feeds: the two lengths of a matrix.

    >>> fans((3, 5))
    (3, 5)
    """
    return matrix("fan_in and fan_out", shape)


def matrix(who: str, shape: Shape) -> tuple[int, int]:
    """The two lengths of a matrix, or an error."""
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"init: {who} need the shape of a matrix, (in, out), got {tuple(shape)}")
    return shape[0], shape[1]
