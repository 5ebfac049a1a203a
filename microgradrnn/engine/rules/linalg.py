"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Product
from microgradrnn.engine.node import Node
from microgradrnn.engine.primitive import Primitive


def _matmul(a: Any, b: Any) -> Any:
    try:
        return a @ b
    except (ValueError, TypeError):
        raise ValueError(_mismatch(np.shape(a), np.shape(b))) from None


def _mismatch(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    if not a or not b:
        return "a matrix product needs at least one axis on each side; use * for numbers"
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        return f"inner dimensions {a[-1]} and {inner} differ"
    return "the leading (batch) axes do not broadcast"


# The rule for matrices, Y = A B: dA = G Bᵀ, dB = Aᵀ G. A vector is a matrix with one row (on the left)
# or one column (on the right); the engine sums over broadcast batch axes.
def _to_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return g[..., None] * b
    if a.ndim == 1:
        return (g[..., None, :] @ b.mT)[..., 0, :]
    return g @ b.mT


def _to_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return (a.mT @ g[..., None])[..., 0] if a.ndim > 1 else g * a
    if a.ndim == 1:
        return a[:, None] * g[..., None, :]
    if b.ndim == 2:
        return stacked_product(a, g)
    return a.mT @ g


def stacked_product(a: Any, g: Any) -> Any:
    """Aᵀ G, all leading axes summed over. On plain arrays it is put off: see `Product`."""
    a, g = (x if x.ndim == 2 else x.reshape((-1, x.shape[-1])) for x in (a, g))
    if isinstance(a, Node) or isinstance(g, Node):
        return a.T @ g
    return Product([a], [g])


matmul = Primitive(
    "matmul", None, _matmul, (_to_a, _to_b), symbol="@",
    doc="The matrix product a @ b, for vectors, matrices and stacks of matrices, as in NumPy.",
)


def _affine(x: Any, W: Any, b: Any) -> Any:
    y = _matmul(x, W)
    if y.shape == np.shape(b) and y.dtype == b.dtype:
        y += b  # y is ours: no second array
        return y
    return y + b


affine = Primitive(
    "affine", None, _affine,
    (
        lambda g, y, x, W, b: _to_a(g, y, x, W),
        lambda g, y, x, W, b: _to_b(g, y, x, W),
        lambda g, y, x, W, b: g,
    ),
    doc="x @ W + b in one operation: every layer's net input.",
)
