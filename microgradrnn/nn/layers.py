"""Layers without memory: Linear and Embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import mark, scope
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.nn.module import Module, Parameter, Rng, as_array, as_rng, need_float, need_sizes, uniform


class Linear(Module):
    """``o = h V + d``, the output layer of docs/equations.md (V: (in, out), d: (out,)).

    Args:
        in_features, out_features: lengths of the last axis before and after.
        bias: False leaves d out.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters. A layer in float32 wants ``x.astype(np.float32)``: float64 inputs, and arrays of
            integers, make float64, as in NumPy.

    >>> import numpy as np
    >>> Linear(3, 2, rng=0)(np.ones((5, 4, 3))).shape
    (5, 4, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        need_sizes("Linear", in_features=in_features, out_features=out_features)
        rng = as_rng(rng)
        self.V = Parameter(uniform(rng, (in_features, out_features), in_features, dtype), symbol="V")
        self.d = Parameter(uniform(rng, (out_features,), in_features, dtype), symbol="d") if bias else None

    def __call__(self, h: Any) -> Any:
        h = as_array(h, "Linear")
        with scope("linear"):
            o = h @ self.V if self.d is None else affine(h, self.V, self.d)
        return mark(o, "o", role="output")


class Embedding(Module):
    """A row of E for each integer: what a one-hot vector times E would be, without the product (E: (n, D)).

    Args:
        n: how many different integers there are.
        D: the length of a row.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the rows.

    >>> Embedding(10, 4, rng=0)([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    def __init__(self, n: int, D: int, *, rng: Rng = None, dtype: Any = np.float64) -> None:
        need_sizes("Embedding", n=n, D=D)
        need_float(dtype)
        self.E = Parameter(as_rng(rng).standard_normal((n, D)).astype(dtype), symbol="E")

    def __call__(self, ids: Any) -> Any:
        ids = integers(ids, "Embedding", self.E.shape[0])
        with scope("embedding"):
            return mark(self.E[ids], "x", role="input")


def integers(ids: Any, who: str, n: int) -> np.ndarray:
    """ids as an array of integers in 0..n-1."""
    a = np.asarray(getattr(ids, "data", ids) if not isinstance(ids, np.ndarray) else ids)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{who}: expected integers, got {a.dtype}")
    if a.size and (a.min() < 0 or a.max() >= n):
        raise ValueError(f"{who}: integers must lie in 0..{n - 1}, got {a.min()}..{a.max()}")
    return a
