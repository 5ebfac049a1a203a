"""Operations that move numbers about without changing them. Their rules move the cotangent back."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Cut
from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.primitive import Every, Primitive
from microgradrnn.engine.rules.indexing import take_part

__all__ = [
    "astype", "broadcast_to", "concat", "expand_dims", "flip", "pad", "ravel", "reshape", "roll", "split",
    "squeeze", "stack", "swapaxes", "tile", "transpose",
]  # fmt: skip

_reshape = Primitive(
    "reshape", None, lambda x, shape: np.reshape(x, shape),
    (lambda g, y, x, shape: g.reshape(x.shape),),
)


def reshape(x: Any, shape: int | Sequence[int]) -> Any:
    """The same numbers in another shape; one length may be -1."""
    return _reshape(x, shape=_several(shape))


_transpose = Primitive(
    "transpose", None, lambda x, axes: np.transpose(x, axes),
    (lambda g, y, x, axes: transpose(g, tuple(int(i) for i in np.argsort(axes))),),
)  # fmt: skip


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order; reversed by default."""
    ndim = np.ndim(plain(x))
    order = tuple(range(ndim)[::-1]) if axes is None else tuple(axis_of(x, i) for i in axes)
    if sorted(order) != list(range(ndim)):
        raise ValueError(f"transpose: axes {axes} do not name each of the {ndim} axes once, shape {np.shape(plain(x))}")
    return _transpose(x, axes=order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    order = list(range(np.ndim(plain(x))))
    i, j = axis_of(x, axis1), axis_of(x, axis2)
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


_broadcast_to = Primitive(
    "broadcast_to", lambda x, shape: x, lambda x, shape: np.broadcast_to(x, shape),
    (lambda g, y, x, shape: g,),  # the engine sums it back to the shape of x
)


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Any:
    """x repeated to fill a shape, without copying."""
    return _broadcast_to(x, shape=_several(shape))


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
    axis = axis_of(xs[0], axis)
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
    ndim = np.ndim(plain(xs[0])) + 1
    if not -ndim <= axis < ndim:
        raise ValueError(f"stack: axis {axis} is out of range for a result with {ndim} axes")
    return _stack(*xs, axis=axis % ndim)


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x without its axes of length 1, or without the given ones."""
    shape = np.shape(plain(x))
    drop = [i for i, n in enumerate(shape) if n == 1] if axis is None else [axis_of(x, i) for i in _several(axis)]
    for i in drop:
        if shape[i] != 1:
            raise ValueError(f"squeeze: axis {i} has length {shape[i]}, not 1, in shape {shape}")
    return reshape(x, [n for i, n in enumerate(shape) if i not in drop])


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """x with new axes of length 1, which get these numbers in the result."""
    old = list(np.shape(plain(x)))
    ndim = len(old) + len(_several(axis))
    new = {i % ndim for i in _several(axis) if -ndim <= i < ndim}
    if len(new) != len(_several(axis)):
        raise ValueError(f"expand_dims: axes {axis} are not {len(_several(axis))} different axes of {ndim}")
    return reshape(x, [1 if i in new else old.pop(0) for i in range(ndim)])


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x with the order reversed along an axis, several axes, or all."""
    ndim = np.ndim(plain(x))
    axes = range(ndim) if axis is None else [axis_of(x, i) for i in _several(axis)]
    return take_part(x, index=tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(ndim)))


_pad: Primitive = Primitive(
    "pad", None, lambda x, width: np.pad(x, width),
    (lambda g, y, x, width: g[tuple(slice(a, a + n) for (a, _), n in zip(width, x.shape, strict=True))],),
)  # fmt: skip


def pad(x: Any, pad_width: Any) -> Any:
    """x with zeros around it: one number for every side, (before, after) for every axis, or one such pair an axis."""
    width, ndim = np.asarray(pad_width), np.ndim(plain(x))
    if width.dtype.kind not in "iu" or width.shape not in ((), (1,), (2,), (1, 2), (ndim, 1), (ndim, 2)):
        raise ValueError(f"pad: one integer, one pair, or a pair for each of the {ndim} axes; got {pad_width}")
    width = np.broadcast_to(width, (ndim, 2))
    if (width < 0).any():
        raise ValueError(f"pad: widths must not be negative, got {pad_width}")
    return _pad(x, width=tuple((int(a), int(b)) for a, b in width))


_roll: Primitive = Primitive(
    "roll", None, lambda x, shift, axis: np.roll(x, shift, axis),
    (lambda g, y, x, shift, axis: roll(g, -shift, axis),),
)  # fmt: skip


def roll(x: Any, shift: int, axis: int | None = None) -> Any:
    """x moved along an axis by so many places; what leaves at one end comes back at the other."""
    if not isinstance(shift, (int, np.integer)):
        raise TypeError(f"roll: shift must be one integer, got {shift!r}; roll along several axes one after the other")
    return _roll(x, shift=int(shift), axis=None if axis is None else axis_of(x, axis))


def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """x repeated, so many times along each axis."""
    times = list(_several(reps))
    shape = list(np.shape(plain(x)))
    ndim = builtins.max(len(times), len(shape))
    times = [1] * (ndim - len(times)) + times
    shape = [1] * (ndim - len(shape)) + shape
    spread = [n for pair in zip(times, shape, strict=True) for n in pair]
    one_each = [n for length in shape for n in (1, length)]
    return reshape(broadcast_to(reshape(x, one_each), spread), [a * b for a, b in zip(times, shape, strict=True)])


def ravel(x: Any) -> Any:
    """x as one long row."""
    return reshape(x, -1)


def _several(axis: int | Sequence[int]) -> tuple[int, ...]:
    return (int(axis),) if isinstance(axis, (int, np.integer)) else tuple(axis)


def axis_of(x: Any, axis: int) -> int:
    """The axis as a number from 0 up, checked."""
    ndim = np.ndim(plain(x))
    axis = operator.index(axis)  # 1.0 is no axis
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of range for an array with {ndim} axes, shape {np.shape(plain(x))}")
    return axis % ndim


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """x cut along an axis, into so many equal parts, or at the given places. A list of slices of x.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, split
    >>> i, f, g, o = split(Tensor(np.arange(8.0)), 4)
    >>> f.data
    array([2., 3.])
    """
    whole = isinstance(indices_or_sections, (int, np.integer))
    sections = int(indices_or_sections) if whole else tuple(map(int, indices_or_sections))  # type: ignore[arg-type]
    x = x if isinstance(x, Node) else np.asarray(x)
    return [take_part(x, index=index) for index in _cuts(x.shape, sections, axis)]


@lru_cache
def _cuts(shape: tuple[int, ...], sections: int | tuple[int, ...], axis: int) -> Sequence[tuple[slice, ...]]:
    """The index of each part. Cached, since a cell asks for the same ones at every step."""
    axis = axis_of(np.broadcast_to(0, shape), axis)
    length = shape[axis]
    if isinstance(sections, int):
        if sections < 1 or length % sections:
            raise ValueError(f"split: an axis of length {length} does not fall into {sections} equal parts")
        part = length // sections
        sections = tuple(part * k for k in range(1, sections))
    ends = zip((0, *sections), (*sections, length), strict=True)
    cuts = [Cut((*(slice(None),) * axis, slice(start, stop))) for start, stop in ends]
    if sum(len(range(length)[cut[axis]]) for cut in cuts) != length:  # places given out of order: the parts overlap
        return [tuple(cut) for cut in cuts]
    for place, cut in enumerate(cuts):
        cut.siblings, cut.place = cuts, place
    return cuts
