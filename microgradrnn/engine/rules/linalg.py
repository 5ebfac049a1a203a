"""Products of matrices, and sums over named axes (einsum), which they are a case of."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Product, Series
from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Every, Primitive
from microgradrnn.engine.rules import elementwise as e
from microgradrnn.engine.rules.indexing import getitem, scatter
from microgradrnn.engine.rules.reduction import sum
from microgradrnn.engine.rules.shape import as_array, axes_of, axis_of, broadcast_to, concat, reshape, transpose

__all__ = [
    "affine", "diag", "diagonal", "dot", "einsum", "inner", "kron", "matmul", "outer", "tensordot", "trace",
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
    doc="""The matrix product a @ b, for vectors, matrices and stacks of matrices, as in NumPy.

    >>> from microgradrnn import Tensor, matmul
    >>> x, W = Tensor([[1.0, 2.0]]), Tensor([[1.0], [3.0]])
    >>> matmul(x, W).data
    array([[7.]])
    """,
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
    doc="""x @ W + b in one operation: every layer's net input. The shapes are (..., D), (D, H) and (H,).

    >>> from microgradrnn import Tensor, affine
    >>> affine(Tensor([[1.0, 2.0]]), [[1.0], [3.0]], [0.5]).data
    array([[7.5]])
    """,
)


def dot(a: Any, b: Any) -> Any:
    """The sum of products over the last axis of a and the last but one of b (of a vector, its only one).

    That is the product of numbers, the inner product of vectors and the matrix product of matrices. For stacks of
    matrices it differs from `matmul`: every matrix of a meets every matrix of b.

    >>> import numpy as np
    >>> dot(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 1.0]))
    array([3., 7.])
    """
    rank_a, rank_b = np.ndim(plain(a)), np.ndim(plain(b))
    if not (rank_a and rank_b):
        return e.multiply(a, b)
    return matmul(a, b) if rank_a <= 2 >= rank_b or rank_b == 1 else tensordot(a, b, (-1, -2))


def inner(a: Any, b: Any) -> Any:
    """The sum of products over the last axes of both.

    >>> inner([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    array([3., 7.])
    """
    return tensordot(a, b, (-1, -1)) if np.ndim(plain(a)) and np.ndim(plain(b)) else e.multiply(a, b)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum of products over pairs of axes; the result has the other axes of a, then those of b.

    Args:
        a, b: arrays or nodes.
        axes: how many of the last axes of a meet the first of b; or two lists, axes of a and those of b they meet.

    Raises:
        ValueError: if axes that meet have different lengths, or there are too few.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, tensordot
    >>> tensordot(Tensor(np.ones((2, 3, 4))), np.ones((4, 2, 5)), axes=([2, 0], [0, 1])).shape
    (3, 5)
    """
    a, b = as_array(a), as_array(b)
    if np.ndim(axes) == 0:
        axes = operator.index(axes)
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: {axes} axes cannot meet, shapes {a.shape} and {b.shape}")
        axes = range(a.ndim - axes, a.ndim), range(axes)
    over_a, over_b = axes_of(a, axes[0], "tensordot"), axes_of(b, axes[1], "tensordot")
    if [a.shape[i] for i in over_a] != [b.shape[i] for i in over_b]:
        raise ValueError(f"tensordot: shapes {a.shape} and {b.shape}: the lengths of axes {over_a} and {over_b} differ")
    rest_a, rest_b = ([i for i in range(x.ndim) if i not in over] for x, over in ((a, over_a), (b, over_b)))
    count = math.prod(a.shape[i] for i in over_a)
    shape = [a.shape[i] for i in rest_a], [b.shape[i] for i in rest_b]
    left = reshape(transpose(a, rest_a + over_a), (math.prod(shape[0]), count))
    right = reshape(transpose(b, over_b + rest_b), (count, math.prod(shape[1])))
    return reshape(matmul(left, right), (*shape[0], *shape[1]))


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: b in the place of every entry of a, times that entry.

    >>> kron([1.0, 2.0], [1.0, 10.0])
    array([ 1., 10.,  2., 20.])
    """
    a, b = as_array(a), as_array(b)
    ndim = max(a.ndim, b.ndim)
    shape_a, shape_b = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    wide_a = reshape(a, [n for length in shape_a for n in (length, 1)])
    wide_b = reshape(b, [n for length in shape_b for n in (1, length)])
    return reshape(wide_a * wide_b, [m * n for m, n in zip(shape_a, shape_b, strict=True)])


def outer(a: Any, b: Any) -> Any:
    """All products of an entry of a with an entry of b; both are flattened: shape (a.size, b.size).

    >>> outer([1.0, 2.0], [1.0, 10.0])
    array([[ 1., 10.],
           [ 2., 20.]])
    """
    if type(a) in (int, float) and np.ndim(plain(b)):
        return a * reshape(b, (1, -1))  # a number takes the other's dtype
    if type(b) in (int, float) and np.ndim(plain(a)):
        return reshape(a, (-1, 1)) * b
    return reshape(as_array(a), (-1, 1)) * reshape(as_array(b), (1, -1))


def diag(x: Any, k: int = 0) -> Any:
    """Of a matrix its k-th diagonal; of a vector the matrix that has it there, and zeros elsewhere.

    Raises:
        ValueError: if x is neither a vector nor a matrix.

    >>> diag([1.0, 2.0])
    array([[1., 0.],
           [0., 2.]])
    >>> diag([[1.0, 2.0], [3.0, 4.0]])
    array([1., 4.])
    """
    ndim = np.ndim(plain(x))
    if ndim not in (1, 2):
        raise ValueError(f"diag: takes a vector or a matrix, got shape {np.shape(plain(x))}; see diagonal")
    if ndim == 2:
        return diagonal(x, k)
    n = len(plain(x)) + abs(k)
    i = np.arange(len(plain(x)))
    return scatter(x, (i + max(-k, 0), i + max(k, 0)), (n, n))


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The entries x[i, i + offset] over two axes, as a new last axis.

    Raises:
        ValueError: if the two axes are one.

    >>> diagonal([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], offset=1)
    array([2., 6.])
    """
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
    """The sum of the `diagonal` over two axes.

    >>> float(trace([[1.0, 2.0], [3.0, 4.0]]))
    5.0
    """
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


LETTERS = ascii_uppercase + ascii_lowercase  # sorted


def _lettered(*arguments: Any) -> tuple[str, tuple[Any, ...]]:
    """NumPy's other form, operands and lists of numbers in turn, as subscripts and operands."""
    lists = arguments[1::2] + (arguments[-1:] if len(arguments) % 2 else ())
    right = all(isinstance(i, (list, tuple)) and all(n is Ellipsis or type(n) is int for n in i) for i in lists)
    if len(arguments) < 2 or not right:
        got = type(arguments[0]).__name__
        raise TypeError(f"einsum: the subscripts come first, a string such as 'ij,jk->ik'; got {got}")
    if any(n is not Ellipsis and not 0 <= n < len(LETTERS) for names in lists for n in names):
        raise ValueError(f"einsum: the numbers for axes run from 0 to {len(LETTERS) - 1}, got {[*lists]}")
    names = ["".join("..." if n is Ellipsis else LETTERS[n] for n in some) for some in lists]
    operands = arguments[: len(arguments) // 2 * 2 : 2]
    return ",".join(names[: len(operands)]) + "".join(f"->{out}" for out in names[len(operands) :]), operands


def _spelled_out(text: str, names: list[str], operands: Sequence[Any]) -> tuple[list[str], list[Any], str]:
    """The names and operands with letters for every ``...``, and these letters. What broadcasts loses its axis."""
    shapes = [np.shape(plain(x)) for x in operands]
    counts = [len(shape) - len(name.replace("...", "")) for name, shape in zip(names, shapes, strict=True)]
    for name, shape, count in zip(names, shapes, counts, strict=True):
        if name.count("...") > 1 or count < 0 or (count and "..." not in name):
            many = len(name.replace("...", ""))
            raise ValueError(f"einsum: {text!r}: {name!r} names {many} axes, its operand has shape {shape}")
    free = "".join(c for c in LETTERS if c not in text)
    letters = free[: max(counts)]
    spelled = [name.replace("...", letters[len(letters) - n :]) for name, n in zip(names, counts, strict=True)]
    pairs = [list(zip(name, shape, strict=True)) for name, shape in zip(spelled, shapes, strict=True)]
    wide = {c for pair in pairs for c, n in pair if c in letters and n != 1}
    kept = [[(c, n) for c, n in pair if c not in wide or n != 1] for pair in pairs]
    xs = [x if len(k) == len(pair) else reshape(x, [n for _, n in k])
          for x, k, pair in zip(operands, kept, pairs, strict=True)]
    return ["".join(c for c, _ in pair) for pair in kept], xs, letters


def _without_repeats(name: str, x: Any) -> tuple[str, Any]:
    """A letter twice in one operand is its diagonal."""
    for c in sorted(set(name)):
        while name.count(c) > 1:
            first, second = name.index(c), name.rindex(c)
            x = diagonal(x, 0, first, second)
            name = name[:first] + name[first + 1 : second] + name[second + 1 :] + c
    return name, x


def einsum(subscripts: Any, *operands: Any) -> Any:
    """Sums of products over named axes, as in NumPy: ``einsum("ij,jk->ik", a, b)`` is ``a @ b``.

    Args:
        subscripts: one letter an axis; axes left out on the right are summed over. Without ``->`` the result has the
            letters that occur once, in alphabetical order. A letter twice in one operand takes its diagonal. ``...``
            stands for the axes that have no letter; they broadcast, and come first where there is no ``->``.
        operands: arrays or nodes. NumPy's other form has numbers for letters, each list of them after its operand:
            ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.

    Raises:
        ValueError: if the subscripts do not fit the operands, or one letter stands for two lengths.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, einsum
    >>> einsum("ij,ij->i", Tensor(np.ones((2, 3))), np.ones((2, 3))).data
    array([3., 3.])
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _lettered(subscripts, *operands)
    names = subscripts.replace(" ", "")
    inputs, arrow, out = names.partition("->")
    inputs = inputs.split(",")
    if len(inputs) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} names {len(inputs)} operands, {len(operands)} were given")
    if not all(c.isalpha() for c in "".join([*inputs, out]).replace("...", "")):
        raise ValueError(f"einsum: {subscripts!r}: the subscripts are letters, commas, '...' and one '->'")
    if len(set(out.replace("...", ""))) < len(out.replace("...", "")):
        raise ValueError(f"einsum: {subscripts!r}: the result has a letter twice")
    inputs, xs, spread = _spelled_out(subscripts, inputs, operands)
    if arrow and spread and "..." not in out:
        raise ValueError(f"einsum: {subscripts!r}: '...' stands for {len(spread)} axes; the result must have it too")
    if not arrow:
        letters = "".join(inputs)
        out = "..." + "".join(sorted(c for c in letters if letters.count(c) == 1 and c not in spread))
    out = out.replace("...", spread)
    lengths: dict[str, int] = {}
    for k, (name, x) in enumerate(zip(inputs, xs, strict=True)):
        for letter, n in zip(name, np.shape(plain(x)), strict=True):
            if lengths.setdefault(letter, n) != n:
                raise ValueError(f"einsum: {subscripts!r}: axis {letter!r} has lengths {lengths[letter]} and {n}")
        inputs[k], xs[k] = _without_repeats(name, x)
    if unknown := set(out) - set("".join(inputs)):
        raise ValueError(f"einsum: {subscripts!r}: no operand has the axis {min(unknown)!r} of the result")
    return _einsum(*xs, subscripts=",".join(inputs) + "->" + out)
