"""Operations that move numbers about without changing them. Their rules move the cotangent back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np

from microgradrnn.engine.node import plain
from microgradrnn.engine.primitive import Every, Primitive
from microgradrnn.engine.rules.indexing import take_part

_reshape = Primitive(
    "reshape", None, lambda x, shape: np.reshape(x, shape),
    (lambda g, y, x, shape: g.reshape(x.shape),),
)


def reshape(x: Any, shape: int | Sequence[int]) -> Any:
    """The same numbers in another shape; one length may be -1."""
    return _reshape(x, shape=(shape,) if isinstance(shape, int) else tuple(shape))


_transpose = Primitive(
    "transpose", None, lambda x, axes: np.transpose(x, axes),
    (lambda g, y, x, axes: transpose(g, tuple(int(i) for i in np.argsort(axes))),),
)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order; reversed by default."""
    ndim = len(x.shape)
    order = range(ndim)[::-1] if axes is None else axes
    return _transpose(x, axes=tuple(axis % ndim if ndim else axis for axis in order))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    order = list(range(len(x.shape)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


_broadcast_to = Primitive(
    "broadcast_to", lambda x, shape: x, lambda x, shape: np.broadcast_to(x, shape),
    (lambda g, y, x, shape: g,),  # the engine sums it back to the shape of x
)


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """x repeated to fill a shape, without copying."""
    return _broadcast_to(x, shape=tuple(shape))


_astype = Primitive(
    "astype", None, lambda x, dtype: np.asarray(x).astype(dtype),
    (lambda g, y, x, dtype: g,),  # the engine casts it back to the dtype of x
)


def astype(x: Any, dtype: Any) -> Any:
    """x in another precision, float32 or float64; the gradient comes back in the precision of x."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"astype: {np.dtype(dtype)} carries no gradient; a Tensor is float32 or float64 (use .data)")
    return _astype(x, dtype=np.dtype(dtype))


def _piece(k: int, g: Any, y: Any, xs: Sequence[Any], axis: int, ends: tuple[int, ...]) -> Any:
    return g[(slice(None),) * axis + (slice(ends[k] - xs[k].shape[axis], ends[k]),)]


_concat = Primitive("concat", None, lambda *xs, axis, ends: np.concatenate(xs, axis), Every(_piece))


def concat(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays joined along an axis they have."""
    if not len(xs):
        raise ValueError("concat: nothing to join, the sequence is empty")
    axis %= max(len(np.shape(plain(xs[0]))), 1)
    lengths = [np.shape(plain(x))[axis] if len(np.shape(plain(x))) > axis else 0 for x in xs]
    return _concat(*xs, axis=axis, ends=tuple(accumulate(lengths)))


_stack = Primitive(
    "stack", None, lambda *xs, axis: np.stack(xs, axis),
    Every(lambda k, g, y, xs, axis: g[(slice(None),) * axis + (k,)]),
)


def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis."""
    if not len(xs):
        raise ValueError("stack: nothing to join, the sequence is empty")
    ndim = np.ndim(plain(xs[0]))
    return _stack(*xs, axis=axis % (ndim + 1))


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """x cut along an axis, into so many equal parts, or at the given places. A list of slices of x.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, split
    >>> i, f, g, o = split(Tensor(np.arange(8.0)), 4)
    >>> f.data
    array([2., 3.])
    """
    sections = indices_or_sections if isinstance(indices_or_sections, int) else tuple(indices_or_sections)
    return [take_part(x, index=index) for index in _cuts(x.shape, sections, axis)]


@lru_cache
def _cuts(shape: tuple[int, ...], sections: int | tuple[int, ...], axis: int) -> list[tuple[slice, ...]]:
    """The index of each part. Cached, since a cell asks for the same ones at every step."""
    length = shape[axis]
    if isinstance(sections, int):
        if length % sections:
            raise ValueError(f"split: an axis of length {length} does not fall into {sections} equal parts")
        sections = tuple(range(length // sections, length, length // sections))
    before = (slice(None),) * (axis % len(shape))
    ends = zip((0, *sections), (*sections, length), strict=True)
    return [(*before, slice(start, stop)) for start, stop in ends]
