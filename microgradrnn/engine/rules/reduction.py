"""Reductions over axes, the softmax family, and running sums.

Where a derivative does not exist: max and min share the gradient equally where entries tie; norm at 0 takes 0, and
so do var and std where all entries are equal (std's limit depends on the direction). In the softmax family -inf is the
logarithm of 0: where all entries are -inf, the gradient is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradrnn.engine.euclidean import euclidean
from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Primitive, Rule
from microgradrnn.engine.rules import elementwise as e
from microgradrnn.engine.rules.shape import as_array, axis_of, broadcast_to, flip, reshape, swapaxes, transpose, triu

__all__ = [
    "amax", "amin", "cumprod", "cumsum", "diff", "log_softmax", "logsumexp", "max", "mean", "min", "norm", "prod",
    "softmax", "std", "sum", "var",
]  # fmt: skip

Axis = int | tuple[int, ...] | None


def _axes(x: Any, axis: Axis) -> tuple[int, ...]:
    """The axes as non-negative numbers; None means all of them."""
    if axis is None:
        return tuple(range(np.ndim(plain(x))))
    return tuple(axis_of(x, i) for i in (axis if isinstance(axis, (tuple, list)) else (axis,)))


def _noted(axis: Any) -> Axis:
    """The axes as they are now, should the caller change his list before the backward pass."""
    return tuple(axis) if type(axis) is list else axis


def _keep(g: Any, x: Any, axis: Axis) -> Any:
    """g with the reduced axes put back as length 1, so that it broadcasts against x."""
    axes = _axes(x, axis)
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x: Any, axis: Axis) -> int:
    """How many entries of x go into one entry of the result."""
    return int(np.prod([np.shape(plain(x))[i] for i in _axes(x, axis)], dtype=np.int64))


def _reduction(name: str, on_arrays: Any, vjp: Rule, symbol: str | None = None) -> Primitive:
    def forward(x: Any, axis: Axis, keepdims: bool) -> Any:
        x = np.asarray(x)
        return on_arrays(x, axis=_axes(x, axis), keepdims=keepdims)

    return Primitive(name, None, forward, (vjp,), symbol=symbol)


def _sum_rule(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """The same gradient for all entries."""
    g = _keep(g, x, axis)
    return np.broadcast_to(g, x.shape) if type(g) is np.ndarray else broadcast_to(g, x.shape)


_sum = _reduction("sum", np.add.reduce, _sum_rule, symbol="Σ")
_mean = _reduction(
    "mean", np.mean,
    lambda g, y, x, axis, keepdims: broadcast_to(_keep(g, x, axis) / _count(x, axis), x.shape),
)


def _extremum_rule(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """The gradient goes to the largest (smallest) entries, in equal shares where several tie."""
    winners = plain(x) == plain(_keep(y, x, axis))
    return _keep(g, x, axis) * (winners / winners.sum(axis=_axes(x, axis), keepdims=True))


_max = _reduction("max", np.max, _extremum_rule)
_min = _reduction("min", np.min, _extremum_rule)


def _operand(x: Any, name: str) -> Any:
    """A node as it is; a list, which may hold nodes, as a node or array. NumPy takes a generator for one object."""
    a = as_array(x)
    if not isinstance(a, Node) and a.dtype == object and a.ndim == 0:
        advice = "; make a list of it: list(...)" if isinstance(x, Iterable) else ""
        raise TypeError(f"{name}: a {type(x).__name__} is neither an array nor a list of numbers{advice}")
    return a


def _reduced(op: Primitive, x: Any, axis: Axis, keepdims: bool) -> Any:
    """The reduction of an array, a node, or a list that holds nodes."""
    return op(_operand(x, op.name), axis=_noted(axis), keepdims=keepdims)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over an axis, several axes, or everything.

    >>> sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.])
    """
    return _reduced(_sum, x, axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean over an axis, several axes, or everything.

    As every reduction it takes a list that holds Tensors too, such as the losses of several steps.

    >>> from microgradrnn import Tensor, mean
    >>> losses = [Tensor(1.0), Tensor(4.0)]
    >>> mean(losses).backward()
    >>> losses[0].grad
    array(0.5)
    >>> mean([[1.0, 2.0], [3.0, 4.0]], axis=1, keepdims=True)
    array([[1.5],
           [3.5]])
    """
    return _reduced(_mean, x, axis, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest entry along an axis, several axes, or of all. Ties share the gradient equally.

    >>> max([[1.0, 2.0], [3.0, 4.0]], axis=1)
    array([2., 4.])
    """
    return _reduced(_max, x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest entry along an axis, several axes, or of all. Ties share the gradient equally.

    >>> min([[1.0, 2.0], [3.0, 4.0]], axis=1)
    array([1., 3.])
    """
    return _reduced(_min, x, axis, keepdims)


amax, amin = max, min


def _product_rule(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """The product of all the others. Not y / x, which fails at 0: with a 0 among them, only it sees the others.

    To be differentiated again at a 0, the others must be multiplied out: n² products, so only then.
    """
    if isinstance(x, Node) and not plain(y).all():
        return _keep(g, x, axis) * _others(x, axis)
    zeros = plain(x) == 0
    others = e.where(zeros, 1.0, x)
    rest = _prod(others, axis=axis, keepdims=True)
    count = zeros.sum(axis=_axes(x, axis), keepdims=True)
    one_over = e.where(zeros, count == 1, (count == 0) / others)
    return _keep(g, x, axis) * (rest * one_over)


def _others(x: Any, axis: Axis) -> Any:
    """For each entry the product of those it is multiplied with."""
    axes = _axes(x, axis)
    order = [*(i for i in range(len(x.shape)) if i not in axes), *axes]
    moved = transpose(x, order)
    flat = reshape(moved, (*moved.shape[: len(order) - len(axes)], _count(x, axis)))
    n = flat.shape[-1]
    rows = broadcast_to(reshape(flat, (*flat.shape[:-1], 1, n)), (*flat.shape[:-1], n, n))
    others = prod(e.where(np.eye(n, dtype=bool), 1.0, rows), -1)
    return transpose(reshape(others, moved.shape), [int(i) for i in np.argsort(order)])


_prod: Primitive = _reduction("prod", np.prod, _product_rule, symbol="Π")


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The product over an axis, several axes, or everything; its gradient is right at zeros too.

    >>> prod([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([3., 8.])
    """
    return _reduced(_prod, x, axis, keepdims)


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Any:
    """The variance over an axis, several axes, or everything: the sum of squared deviations over (count - ddof).

    Raises:
        ValueError: if count - ddof is not positive (but for ddof 0, where nothing has the variance NaN).

    >>> var([[1.0, 3.0], [2.0, 6.0]], axis=1)
    array([1., 4.])
    """
    x = _operand(x, "var")
    count = _degrees_of_freedom("var", x, axis, ddof)
    return sum(e.square(x - mean(x, axis, keepdims=True)), axis, keepdims) / count


def std(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Any:
    """The standard deviation, the square root of `var`; where that is 0, the gradient taken is 0.

    It is computed as a `norm`, because the variance of small or large numbers under- or overflows.

    Raises:
        ValueError: as for `var`.

    >>> std([[1.0, 3.0], [2.0, 6.0]], axis=1)
    array([1., 2.])
    """
    x = _operand(x, "std")
    count = _degrees_of_freedom("std", x, axis, ddof)
    return norm(x - mean(x, axis, keepdims=True), axis, keepdims) / math.sqrt(count)


def _degrees_of_freedom(name: str, x: Any, axis: Axis, ddof: int) -> int:
    """By what the sum of squared deviations is divided."""
    count = _count(x, axis)
    if ddof and count <= ddof:
        raise ValueError(f"{name}: over {count} numbers with ddof={ddof} there is nothing left to divide by")
    return count - ddof


_norm = _reduction(
    "norm", euclidean,
    lambda g, y, x, axis, keepdims: _keep(g, x, axis) * (x / _nonzero(_keep(y, x, axis))),  # g / y may overflow
    symbol="‖·‖",
)  # fmt: skip


def _nonzero(y: Any) -> Any:
    """y, but 1 where it is 0: x / ‖x‖ is then 0 at the origin, the middle of the subgradients there."""
    return e.where(plain(y) == 0, 1.0, y)


def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The Euclidean norm over an axis, several axes, or everything; at 0 the gradient taken is 0.

    Squares of small and of large numbers neither under- nor overflow.

    >>> from microgradrnn import Tensor, norm
    >>> x = Tensor([3e-200, 4e-200])
    >>> norm(x).backward()
    >>> norm(x).data, x.grad
    (array(5.e-200), array([0.6, 0.8]))
    """
    return _reduced(_norm, x, axis, keepdims)


_cumsum: Primitive = Primitive(
    "cumsum", None, lambda x, axis: np.cumsum(x, axis=axis),
    (lambda g, y, x, axis: flip(cumsum(flip(g, axis), axis), axis),),
)  # fmt: skip


def cumsum(x: Any, axis: int | None = None) -> Any:
    """The running sum along an axis; with axis None, of the flattened array.

    >>> cumsum([1.0, 2.0, 3.0])
    array([1., 3., 6.])
    """
    x = _operand(x, "cumsum")
    if axis is None:
        return cumsum(reshape(x, -1), 0)
    return _cumsum(x, axis=axis_of(x, axis))


def _cumprod_rule(g: Any, y: Any, x: Any, axis: int) -> Any:
    """An entry is a factor of its own product and of all later ones. Where none of them is 0, the others are y / x.

    Where one is, the sums over later products are run backwards, r[k] = g[k] + x[k + 1] r[k + 1]. To be differentiated
    again there, the others must be multiplied out: n² products, so only then.
    """
    if plain(y).all() and np.isfinite(plain(y)).all():
        return flip(cumsum(flip(g * y, axis), axis), axis) / x
    x, y, g = (swapaxes(a, axis, -1) for a in (x, y, g))
    n = x.shape[-1]
    if not (isinstance(x, Node) or isinstance(g, Node)):
        later = np.array(g)
        for k in range(n - 1, 0, -1):
            later[..., k - 1] += x[..., k] * later[..., k]
        before = np.concatenate([np.ones_like(y[..., :1]), y[..., :-1]], -1)
        return swapaxes(before * later, axis, -1)
    rows = broadcast_to(reshape(x, (*x.shape[:-1], 1, n)), (*x.shape[:-1], n, n))
    others = triu(cumprod(e.where(np.eye(n, dtype=bool), 1.0, rows), -1))  # a row for each entry, which is 1 there
    g = reshape(g, (*g.shape[:-1], 1, n))
    unheard = ~np.isfinite(plain(others)) & (plain(g) == 0)  # an overflow that a `where` left out
    return swapaxes(sum(e.where(unheard, 0.0, others) * g, -1), axis, -1)


_cumprod: Primitive = Primitive("cumprod", None, lambda x, axis: np.cumprod(x, axis=axis), (_cumprod_rule,))


def cumprod(x: Any, axis: int | None = None) -> Any:
    """The running product along an axis; with axis None, of the flattened array. Its gradient is right at zeros too.

    >>> cumprod([1.0, 2.0, 3.0])
    array([1., 2., 6.])
    """
    x = _operand(x, "cumprod")
    if axis is None:
        return cumprod(reshape(x, -1), 0)
    return _cumprod(x, axis=axis_of(x, axis))


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """The differences of neighbours along an axis, x[i + 1] - x[i], taken n times.

    Raises:
        ValueError: if n is negative.

    >>> diff([1.0, 4.0, 9.0])
    array([3., 5.])
    """
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    x = _operand(x, "diff")
    before = (slice(None),) * axis_of(x, axis)
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


def _shifted(x: Any, axis: Any) -> tuple[Any, Any, Any]:
    """The largest entry, x less that, and the sum of exp of the rest: nothing overflows, and nothing cancels.

    The sum is at least 1, but it is 0 where all entries are -inf.
    """
    x = np.asarray(x)
    top = (np.max if x.size else np.sum)(x, axis=axis, keepdims=True)  # of no entries, 0
    top = np.where(np.isfinite(top), top, np.zeros((), x.dtype))
    rest = x - top
    return top, rest, np.sum(np.exp(rest), axis=axis, keepdims=True)


def _stable_logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> Any:
    top, _, total = _shifted(x, axis)
    with np.errstate(divide="ignore"):  # log(0) = -inf is the right answer for a row of -inf
        y = top + np.log(total)
    return y if keepdims else np.squeeze(y, axis)


_logsumexp = _reduction(
    "logsumexp", _stable_logsumexp,
    # exp(-inf - -inf) would be NaN, but a row of -inf stands for a sum of zeros: there exp(x) is already 0.
    lambda g, y, x, axis, keepdims: _keep(g, x, axis) * e.exp(x - _above_minus_inf(_keep(y, x, axis))),
)


def _above_minus_inf(y: Any) -> Any:
    """y, but 0 where it is -inf."""
    return e.where(plain(y) == -np.inf, 0.0, y)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over an axis, safe from overflow; -inf for an axis of length 0.

    Entries that are -inf, the logarithm of 0, get the gradient 0, also where all of them are.

    >>> float(logsumexp([1000.0, 1000.0]) - 1000)
    0.6931471805598903
    """
    return _reduced(_logsumexp, x, axis, keepdims)


def _stable_log_softmax(x: Any, axis: int) -> Any:
    _, rest, total = _shifted(x, axis)
    return rest - np.log(np.maximum(total, 1.0))


def _stable_softmax(x: Any, axis: int) -> Any:
    _, rest, total = _shifted(x, axis)
    return np.exp(rest) / np.maximum(total, 1.0)


def _log_softmax_rule(g: Any, y: Any, x: Any, axis: int) -> Any:
    """g - softmax(x) Σg; 0 where all entries are -inf, and so constant."""
    top = np.max(plain(y), axis=axis, keepdims=True, initial=-np.inf)
    g = e.where(top == -np.inf, 0.0, g)
    return g - e.exp(y) * sum(g, axis, keepdims=True)


_softmax = Primitive(
    "softmax", None, _stable_softmax,
    (lambda g, y, x, axis: y * (g - sum(g * y, axis, keepdims=True)),),
)
_log_softmax = Primitive("log_softmax", None, _stable_log_softmax, (_log_softmax_rule,))


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis, safe from overflow.

    Where all entries along the axis are -inf, all are masked out: each weight is 0, and so is each gradient. (PyTorch
    gives NaN.)

    >>> import numpy as np
    >>> softmax([[0.0, -np.inf], [-np.inf, -np.inf]])
    array([[1., 0.],
           [0., 0.]])
    """
    return _softmax(_operand(x, "softmax"), axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """log(softmax(x)) along an axis, safe from overflow. Where all entries are -inf, it is -inf with the gradient 0.

    >>> log_softmax([0.0, 0.0]).round(4)
    array([-0.6931, -0.6931])
    """
    return _log_softmax(_operand(x, "log_softmax"), axis=axis)
