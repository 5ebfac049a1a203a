"""Products of matrices, and sums over named axes (einsum), which they are a case of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Product, Series
from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Every, Primitive
from microgradrnn.engine.rules.indexing import getitem
from microgradrnn.engine.rules.reduction import sum
from microgradrnn.engine.rules.shape import axis_of, broadcast_to, concat, reshape, transpose

__all__ = [
    "affine", "diagonal", "einsum", "matmul", "outer", "trace",
]  # fmt: skip


def _product(a: Any, b: Any) -> Any:
    """a @ b. For two matrices NumPy's dot does the same with less ado, which shows where they are small."""
    return np.dot(a, b) if getattr(a, "ndim", 0) == 2 == getattr(b, "ndim", 0) else a @ b


def _matmul(a: Any, b: Any) -> Any:
    try:
        return _product(a, b)
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
        return _times_transposed(g[..., None, :], b)[..., 0, :]
    return _times_transposed(g, b)


def _to_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return (a.mT @ g[..., None])[..., 0] if a.ndim > 1 else g * a
    if a.ndim == 1:
        return a[:, None] * g[..., None, :]
    if b.ndim == 2:
        return stacked_product(a, g)
    return a.mT @ g


def _times_transposed(a: Any, b: Any) -> Any:
    """A Bᵀ: on nodes one operation, so that the graph of a backward pass has no node more than it needs."""
    return _matmul_transposed(a, b) if isinstance(a, Node) or isinstance(b, Node) else _product(a, b.mT)


def stacked_product(a: Any, g: Any) -> Any:
    """Aᵀ G, all leading axes summed over; put off, so that the sum over time steps is one product: see `Product`."""
    if type(a) is type(g) is np.ndarray and a.ndim == g.ndim == 2:
        return Product([a], [g])  # as in every step of a net
    a, g = (x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1])) for x in (a, g))
    if isinstance(a, Node) or isinstance(g, Node):
        shape, dtype = (a.shape[1], g.shape[1]), np.result_type(a.dtype, g.dtype)
        return Series(_joined_product, [(a, g)], shape, dtype)
    return Product([a], [g])


def _joined_product(parts: Sequence[tuple[Any, Any]], shape: tuple[int, ...]) -> Any:
    a, g = (side[0] if len(side) == 1 else concat(side) for side in zip(*parts, strict=True))
    return a.T @ g


_matmul_transposed = Primitive(
    "matmul_transposed", None, lambda a, b: a @ np.swapaxes(b, -1, -2),
    (
        lambda g, y, a, b: g @ b,
        lambda g, y, a, b: stacked_product(g, a) if b.ndim == 2 else g.mT @ a,
    ),
    symbol="@ᵀ", doc="a @ b.mT, for matrices and stacks of matrices.",
)  # fmt: skip
matmul = Primitive(
    "matmul", None, _matmul, (_to_a, _to_b), symbol="@",
    doc="The matrix product a @ b, for vectors, matrices and stacks of matrices, as in NumPy.",
)


def _affine(x: Any, W: Any, b: Any) -> Any:
    y = _matmul(x, W)
    if type(b) is np.ndarray and y.shape == b.shape and y.dtype == b.dtype:
        y += b  # y is ours: no second array
        return y
    z = y + b
    if z.shape != y.shape:
        raise ValueError(f"the bias {np.shape(b)} does not broadcast to {y.shape}")
    return z


affine = Primitive(
    "affine", None, _affine,
    (
        lambda g, y, x, W, b: _to_a(g, y, x, W),
        lambda g, y, x, W, b: _to_b(g, y, x, W),
        lambda g, y, x, W, b: g,
    ),
    doc="x @ W + b in one operation: every layer's net input.",
)


def outer(a: Any, b: Any) -> Any:
    """All products of an entry of a with an entry of b; both are flattened: shape (a.size, b.size)."""
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The entries x[i, i + offset] over two axes, as a new last axis."""
    axis1, axis2 = axis_of(x, axis1), axis_of(x, axis2)
    if axis1 == axis2:
        raise ValueError("diagonal: the two axes must differ")
    rows, columns = np.shape(plain(x))[axis1], np.shape(plain(x))[axis2]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    i = np.arange(length)
    rest = [axis for axis in range(np.ndim(plain(x))) if axis not in (axis1, axis2)]
    last = transpose(x, (*rest, axis1, axis2))
    return getitem(last, (..., i - min(offset, 0), i + max(offset, 0)))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of the `diagonal`."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


def _einsum_rule(k: int, g: Any, y: Any, xs: Sequence[Any], subscripts: str) -> Any:
    """The sum over all other inputs' axes, with g in the place of y: the names say which axes meet.

    An axis of the k-th input that no other operand has was summed alone; there g is the same for every entry.
    """
    names, out = subscripts.split("->")
    inputs = names.split(",")
    own = inputs[k]
    others = [name for i, name in enumerate(inputs) if i != k]
    present = [c for c in own if c in out or any(c in name for name in others)]
    part = einsum(",".join([out, *others]) + "->" + "".join(present), g, *(x for i, x in enumerate(xs) if i != k))
    shape = xs[k].shape
    part = reshape(part, [n if c in present else 1 for c, n in zip(own, shape, strict=True)])
    return broadcast_to(part, shape)


_einsum: Primitive = Primitive(
    "einsum", None, lambda *xs, subscripts: np.einsum(subscripts, *xs, optimize=len(xs) > 2), Every(_einsum_rule)
)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Sums of products over named axes, as in NumPy: ``einsum("ij,jk->ik", a, b)`` is ``a @ b``.

    Args:
        subscripts: one letter an axis; axes left out on the right are summed over. Without ``->`` the result has the
            letters that occur once, in alphabetical order. A letter twice in one operand (a diagonal) and ``...``
            are not supported: use `diagonal`, or write the axes out.
        operands: arrays or nodes.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, einsum
    >>> einsum("ij,ij->i", Tensor(np.ones((2, 3))), np.ones((2, 3))).data
    array([3., 3.])
    """
    if not isinstance(subscripts, str):
        got = type(subscripts).__name__
        raise TypeError(f"einsum: the subscripts come first, a string such as 'ij,jk->ik'; got {got}")
    names = subscripts.replace(" ", "")
    if "->" not in names:
        letters = names.replace(",", "")
        names += "->" + "".join(sorted(c for c in letters if letters.count(c) == 1))
    inputs = names.split("->")[0].split(",")
    if "." in names or any(len(set(name)) < len(name) for name in [*inputs, names.split("->")[1]]):
        raise ValueError(f"einsum: {subscripts!r}: neither '...' nor a letter twice in one operand is supported")
    if len(inputs) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} names {len(inputs)} operands, {len(operands)} were given")
    lengths: dict[str, int] = {}
    for name, x in zip(inputs, operands, strict=True):
        shape = np.shape(plain(x))
        if len(shape) != len(name):
            raise ValueError(f"einsum: {subscripts!r}: {name!r} names {len(name)} axes, its operand has shape {shape}")
        for letter, n in zip(name, shape, strict=True):
            if lengths.setdefault(letter, n) != n:
                raise ValueError(f"einsum: {subscripts!r}: axis {letter!r} has lengths {lengths[letter]} and {n}")
    return _einsum(*operands, subscripts=names)
