"""Taking parts out of an array, and the transpose of that: putting them back into zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Scatter, Series, repeats
from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Every, Primitive

__all__ = [
    "argsort", "getitem", "index_update", "partition", "repeat", "scatter", "sort", "take",
]  # fmt: skip


def _to_x(g: Any, y: Any, x: Any, index: Any) -> Any:
    # Put off: T slices of one array are written into one buffer.
    if isinstance(g, Node):
        return Series(_scatter_all, [(g, index)], x.shape, plain(g).dtype)
    return Scatter(g, index, x.shape)


take_part = Primitive("getitem", None, lambda x, index: x[index], (_to_x,), symbol="[ ]", fits=True)


def _scattered(*values: Any, indices: Sequence[Any], shape: tuple[int, ...]) -> Any:
    total = np.zeros(shape, np.result_type(*values))
    for v, index in zip(values, indices, strict=True):
        Scatter(np.asarray(v), index, shape).add_to(total)
    return total


_scatter = Primitive(
    "scatter", None, _scattered,
    Every(lambda k, g, y, values, indices, shape: g[indices[k]]),
)  # fmt: skip


def _scatter_all(parts: Sequence[tuple[Any, Any]], shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, with each part's values added at its index."""
    return _scatter(*(values for values, _ in parts), indices=tuple(index for _, index in parts), shape=shape)


def getitem(x: Any, index: Any) -> Any:
    """``x[index]`` for integers, slices, ``...``, ``None``, and arrays of integers or bools.

    >>> import numpy as np
    >>> getitem(np.arange(6.0).reshape(2, 3), (1, slice(0, 2)))
    array([3., 4.])
    """
    return take_part(x, index=index if type(index) is int else _plain_index(index))


def scatter(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, with the values at an index; where an index repeats they add up.

    >>> scatter([1.0, 2.0, 3.0], [0, 2, 2], (4,))
    array([1., 0., 5., 0.])
    """
    values = values if isinstance(values, Node) else np.asarray(values)
    return _scatter_all([(values, _plain_index(index))], tuple(shape))


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Entries at integer positions along an axis (of the flattened array by default); repeats add up in the gradient.

    Raises:
        ValueError: if there is no such axis.

    >>> from microgradrnn import Tensor, take
    >>> take(Tensor([10.0, 20.0, 30.0]), [2, 2, 0]).data
    array([30., 30., 10.])
    """
    x = x if isinstance(x, Node) else np.asarray(x)
    if axis is None:
        return getitem(x.reshape(-1), _positions(indices))
    ndim = len(x.shape)
    if not -ndim <= axis < ndim:
        raise ValueError(f"take: axis {axis} is out of range for shape {x.shape}")
    return getitem(x, (*(slice(None),) * (axis % ndim), _positions(indices)))


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each entry along an axis so many times in a row; one count for all, or one for each entry.

    With axis None the array is flattened first. The gradient of an entry is the sum over its copies.

    Raises:
        TypeError: if a count is no integer from 0 up.
        ValueError: if there is no such axis, or there are not as many counts as entries.

    >>> from microgradrnn import Tensor, repeat
    >>> repeat(Tensor([1.0, 2.0, 3.0]), [2, 0, 1]).data
    array([1., 1., 3.])
    """
    x = x if isinstance(x, Node) else np.asarray(x)
    counts = np.asarray(plain(repeats))
    if isinstance(repeats, Node) or (counts.dtype.kind not in "iu" and counts.size) or (counts < 0).any():
        raise TypeError(f"repeat: counts must be integers from 0 up, got {repeats!r}")
    if axis is None:
        x, axis = x.reshape(-1), 0
    if not -len(x.shape) <= axis < len(x.shape):
        raise ValueError(f"repeat: axis {axis} is out of range for shape {x.shape}")
    if counts.size not in (1, x.shape[axis]):
        raise ValueError(f"repeat: {counts.size} counts for an axis of length {x.shape[axis]}, not 1 or one for each")
    return take(x, np.repeat(np.arange(x.shape[axis]), counts.astype(np.intp).ravel()), axis)


def argsort(x: Any, axis: int | None = -1) -> np.ndarray:
    """The positions that would sort x along an axis, as a plain array: an order has no gradient.

    Entries that tie keep their order. With axis None the array is flattened first.

    >>> argsort([3.0, 1.0, 2.0])
    array([1, 2, 0])
    """
    return np.argsort(np.asarray(plain(x)), axis=axis, kind="stable")


def sort(x: Any, axis: int | None = -1) -> Any:
    """x in increasing order along an axis; each entry takes its gradient along. NaNs come last, as in NumPy.

    Entries that tie keep their order. With axis None the array is flattened first.

    Raises:
        ValueError: if there is no such axis.

    >>> from microgradrnn import Tensor, sort
    >>> x = Tensor([3.0, 1.0, 2.0])
    >>> (sort(x) * [10.0, 20.0, 30.0]).sum().backward()
    >>> x.grad
    array([30., 10., 20.])
    """
    return _in_order("sort", x, axis, argsort)


def partition(x: Any, kth: int | Sequence[int], axis: int | None = -1) -> Any:
    """x with its k-th smallest entry in place k, those before it no larger, those after it no smaller.

    The order before and after is free, so this is faster than `sort`. Each entry takes its gradient along. With axis
    None the array is flattened first.

    >>> from microgradrnn import Tensor, partition
    >>> x = Tensor([5.0, 1.0, 4.0, 2.0])
    >>> partition(x, -2)[-2:].sum().backward()  # the two largest
    >>> x.grad
    array([1., 0., 1., 0.])
    """
    return _in_order("partition", x, axis, lambda data, along: np.argpartition(np.asarray(plain(data)), kth, along))


def _in_order(name: str, x: Any, axis: int | None, order: Callable[[Any, int], np.ndarray]) -> Any:
    """x with its entries along an axis in another order."""
    if isinstance(x, Node) and x.kind.on_floats:
        raise TypeError(f"{name}: works on Tensors and arrays, and a Value is one float")
    x = x if isinstance(x, Node) else np.asarray(x)
    if axis is None:
        x, axis = x.reshape(-1), 0
    if not -len(x.shape) <= axis < len(x.shape):
        raise ValueError(f"{name}: axis {axis} is out of range for shape {x.shape}")
    index = list(np.ogrid[tuple(map(slice, x.shape))])
    index[axis] = order(x, axis)
    return getitem(x, tuple(index))


def _positions(indices: Any) -> np.ndarray:
    a = np.asarray(indices)
    if a.dtype.kind not in "iu" and a.size:
        raise TypeError(f"take: indices must be integers, got {a.dtype}")
    return a.astype(np.intp)


def _updated(x: Any, values: Any, index: Any) -> Any:
    x = np.asarray(x)
    same = (type(values) is float and x.dtype.kind == "f") or getattr(values, "dtype", None) == x.dtype
    y = x.copy() if same else x.astype(np.result_type(x, values))
    y[index] = values
    return y


_index_update: Primitive = Primitive(
    "index_update", None, _updated,
    (
        lambda g, y, x, values, index: _index_update(g, 0.0, index=index),
        lambda g, y, x, values, index: _as_given(g[index], values),
    ),
)  # fmt: skip


def _as_given(g: Any, values: Any) -> Any:
    """NumPy drops leading axes of length 1 when it assigns: here they come back."""
    dropped = np.ndim(plain(values)) - len(g.shape)
    return g.reshape((1,) * dropped + g.shape) if dropped > 0 else g


def index_update(x: Any, index: Any, values: Any) -> Any:
    """A new array like x with ``values`` at an index: what ``x[index] = values`` would make, without changing x.

    Raises:
        ValueError: if the index names a place twice, for then it is not clear whose value counts.

    >>> from microgradrnn import Tensor, index_update
    >>> index_update(Tensor([1.0, 2.0, 3.0]), slice(0, 2), 0.0).data
    array([0., 0., 3.])
    """
    index = _plain_index(index)
    if repeats(index):
        counts = np.zeros(np.shape(plain(x)), dtype=int)
        np.add.at(counts, index, 1)
        if counts.max(initial=0) > 1:
            raise ValueError("index_update: the index names a place twice; whose value counts is not clear")
    return _index_update(x, values, index=index)


def _plain_index(index: Any) -> Any:
    """The index with every list and array copied, so that later changes to the caller's do no harm."""
    return tuple(map(_plain_part, index)) if isinstance(index, tuple) else _plain_part(index)


def _plain_part(i: Any) -> Any:
    """One axis' index. All that is no single number or slice counts as an array, as in NumPy: tuples, ranges, ..."""
    if i is None or i is Ellipsis or isinstance(i, (int, slice, np.integer, np.bool_)):
        return i
    if isinstance(i, Node):
        raise TypeError("an index must be integers, slices or plain arrays of integers or bools; got a node")
    a = np.array(i)
    if a.dtype.kind not in "iub" and a.size:
        raise IndexError(f"an index array must hold integers or bools, got {a.dtype}")
    a = a if a.size or a.dtype == bool else a.astype(np.intp)
    a.setflags(write=False)
    return a
