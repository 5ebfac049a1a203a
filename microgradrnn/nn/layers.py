"""Layers without memory: Linear and Embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import mark, scope
from microgradrnn.engine.rules.elementwise import where
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
        self.in_features, self.out_features = in_features, out_features
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
        num_embeddings: n, how many different integers there are.
        embedding_dim: D, the length of a row.
        padding_idx: the integer that stands for nothing; -1 is the last. Its row starts at 0, and no gradient flows
            into it, so that training leaves it as it is.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the rows.

    >>> Embedding(10, 4, rng=0)([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, padding_idx: int | None = None, rng: Rng = None,
        dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        need_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        need_float(dtype)
        self.num_embeddings, self.embedding_dim = n, D = num_embeddings, embedding_dim
        E = as_rng(rng).standard_normal((n, D)).astype(dtype)
        if padding_idx is not None:
            counted = padding_idx + n if -n <= padding_idx < 0 else padding_idx
            padding_idx = int(integers(counted, "Embedding, padding_idx", n))
            E[padding_idx] = 0
        self.padding_idx = padding_idx
        self.E = Parameter(E, symbol="E")

    def __call__(self, ids: Any) -> Any:
        ids = integers(ids, "Embedding", self.E.shape[0])
        with scope("embedding"):
            x = self.E[ids]
            if self.padding_idx is not None and (ids == self.padding_idx).any():
                x = where((ids == self.padding_idx)[..., None], self.E.data[self.padding_idx], x)
            return mark(x, "x", role="input")


def integers(ids: Any, who: str, n: int) -> np.ndarray:
    """ids as an array of integers in 0..n-1."""
    a = np.asarray(getattr(ids, "data", ids) if not isinstance(ids, np.ndarray) else ids)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{who}: expected integers, got {a.dtype}")
    if a.size and (a.min() < 0 or a.max() >= n):
        raise ValueError(f"{who}: integers must lie in 0..{n - 1}, got {a.min()}..{a.max()}")
    return a
