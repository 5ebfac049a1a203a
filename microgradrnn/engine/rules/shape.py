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
from microgradrnn.engine.node import Node, new_node, plain
from microgradrnn.engine.primitive import Every, Primitive
from microgradrnn.engine.rules.elementwise import where
from microgradrnn.engine.rules.indexing import take_part
from microgradrnn.engine.scope import SCOPE

__all__ = [
    "append", "array", "array_split", "astype", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to",
    "column_stack", "concat", "concatenate", "expand_dims", "flatten", "flip", "hstack", "moveaxis", "pad", "ravel",
    "reshape", "roll", "split", "squeeze", "stack", "swapaxes", "tile", "transpose", "tril", "triu", "vstack",
]  # fmt: skip

_reshape = Primitive(
    "reshape", None, lambda x, shape: np.reshape(x, shape),
    (lambda g, y, x, shape: g.reshape(x.shape),),
)


def reshape(x: Any, shape: int | Sequence[int]) -> Any:
    """The same numbers in another shape; one length may be -1.

    >>> reshape([1.0, 2.0, 3.0, 4.0], (2, -1))
    array([[1., 2.],
           [3., 4.]])
    """
    return _reshape(x, shape=_several(shape))


_transpose = Primitive(
    "transpose", None, lambda x, axes: np.transpose(x, axes),
    (lambda g, y, x, axes: transpose(g, tuple(int(i) for i in np.argsort(axes))),),
)  # fmt: skip


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order; reversed by default.

    Raises:
        ValueError: if the axes do not name each axis of x once.

    >>> import numpy as np
    >>> transpose(np.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    ndim = np.ndim(plain(x))
    order = tuple(range(ndim)[::-1]) if axes is None else tuple(axis_of(x, i) for i in axes)
    if sorted(order) != list(range(ndim)):
        raise ValueError(f"transpose: axes {axes} do not name each of the {ndim} axes once, shape {np.shape(plain(x))}")
    return _transpose(x, axes=order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged.

    >>> import numpy as np
    >>> swapaxes(np.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    order = list(range(np.ndim(plain(x))))
    i, j = axis_of(x, axis1), axis_of(x, axis2)
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """One axis, or several, moved to other places; the others keep their order.

    Raises:
        ValueError: if there are not as many places as axes.

    >>> import numpy as np
    >>> moveaxis(np.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    start, end = axes_of(x, source, "moveaxis"), axes_of(x, destination, "moveaxis")
    if len(start) != len(end):
        raise ValueError(f"moveaxis: {len(start)} axes cannot move to {len(end)} places")
    order = [i for i in range(np.ndim(plain(x))) if i not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


_broadcast_to = Primitive(
    "broadcast_to", lambda x, shape: x, lambda x, shape: np.broadcast_to(x, shape),
    (lambda g, y, x, shape: g,),  # the engine sums it back to the shape of x
)


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Any:
    """x repeated to fill a shape, without copying.

    >>> broadcast_to([1.0, 2.0], (2, 2))
    array([[1., 2.],
           [1., 2.]])
    """
    return _broadcast_to(x, shape=_several(shape))


_astype = Primitive(
    "astype", None, lambda x, dtype: np.asarray(x).astype(dtype),
    (lambda g, y, x, dtype: g,),  # the engine casts it back to the dtype of x
)


def astype(x: Any, dtype: Any) -> Any:
    """x in another precision, float32 or float64; the gradient comes back in the precision of x.

    Raises:
        TypeError: if the dtype is neither float32 nor float64.

    >>> import numpy as np
    >>> astype([1.0, 2.0], np.float32)
    array([1., 2.], dtype=float32)
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"astype: {np.dtype(dtype)} carries no gradient; a Tensor is float32 or float64 (use .data)")
    return _astype(x, dtype=np.dtype(dtype))


def _piece(k: int, g: Any, y: Any, xs: Sequence[Any], axis: int, ends: tuple[int, ...]) -> Any:
    return g[(slice(None),) * axis + (slice(ends[k] - xs[k].shape[axis], ends[k]),)]


_concat = Primitive("concat", None, lambda *xs, axis, ends: np.concatenate(xs, axis), Every(_piece))


def concat(xs: Sequence[Any], axis: int | None = 0) -> Any:
    """Arrays joined along an axis they have; with axis None, each flattened first.

    Raises:
        ValueError: if there is nothing to join, or the shapes do not fit.

    >>> concat([[1.0, 2.0], [3.0]])
    array([1., 2., 3.])
    """
    if not len(xs):
        raise ValueError("concat: nothing to join, the sequence is empty")
    if axis is None:
        return concat([ravel(as_array(x)) for x in xs])
    axis = axis_of(xs[0], axis)
    lengths = [np.shape(plain(x))[axis] if len(np.shape(plain(x))) > axis else 0 for x in xs]
    return _concat(*xs, axis=axis, ends=tuple(accumulate(lengths)))


concatenate = concat


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """A new array: x with values behind it along an axis. By default both are flattened.

    >>> append([1.0, 2.0], [3.0])
    array([1., 2., 3.])
    """
    return concat([as_array(x), as_array(values)], axis)


_stack = Primitive(
    "stack", None, lambda *xs, axis: np.stack(xs, axis),
    Every(lambda k, g, y, xs, axis: g[(slice(None),) * axis + (k,)]),
)


def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis.

    Raises:
        ValueError: if there is nothing to join, the shapes differ, or there is no such axis.

    >>> stack([[1.0, 2.0], [3.0, 4.0]], axis=1)
    array([[1., 3.],
           [2., 4.]])
    """
    if not len(xs):
        raise ValueError("stack: nothing to join, the sequence is empty")
    ndim = np.ndim(plain(xs[0])) + 1
    if not -ndim <= axis < ndim:
        raise ValueError(f"stack: axis {axis} is out of range for a result with {ndim} axes")
    return _stack(*xs, axis=axis % ndim)


def hstack(xs: Sequence[Any]) -> Any:
    """Arrays joined side by side: along the second axis, or the only one.

    >>> import numpy as np
    >>> hstack([np.ones((2, 3)), np.ones((2, 1))]).shape
    (2, 4)
    """
    xs = [atleast_1d(x) for x in xs]
    return concat(xs, 1 if xs and xs[0].ndim > 1 else 0)


def vstack(xs: Sequence[Any]) -> Any:
    """Arrays joined one below the other; a vector is a row.

    >>> import numpy as np
    >>> vstack([np.ones((2, 3)), np.ones(3)]).shape
    (3, 3)
    """
    return concat([atleast_2d(x) for x in xs])


def column_stack(xs: Sequence[Any]) -> Any:
    """Arrays joined side by side; a vector is a column.

    >>> column_stack([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 3.],
           [2., 4.]])
    """
    return concat([x if np.ndim(plain(x)) > 1 else reshape(as_array(x), (-1, 1)) for x in xs], 1)


def array(xs: Any, dtype: Any = None) -> Any:
    """Nested lists of Tensors and numbers as one Tensor: what ``np.array`` would make of them, with the gradient.

    A list without nodes gives a plain array. Reductions such as `mean` take such lists too.

    Args:
        xs: the lists; or a node or array.
        dtype: float32 or float64, to convert to. (A plain array may have any dtype.)

    Raises:
        ValueError: if the entries have different shapes.
        TypeError: if one of them is a Value.

    >>> from microgradrnn import Tensor, array
    >>> a, b = Tensor(2.0), Tensor(3.0)
    >>> array([[a, a * b], [0.0, b]]).data
    array([[2., 6.],
           [0., 3.]])
    """
    if not _holds_nodes(xs):
        return np.array(xs, dtype)
    if isinstance(xs, Node):
        return xs if dtype is None else astype(xs, dtype)
    parts = [array(x) for x in xs]
    if any(isinstance(x, Node) and x.kind.on_floats for x in parts):
        raise TypeError("a list that holds a Value is no array, for a Value is one float. Use Tensors instead; or, "
                        "of Values, Python's own sum, max and min")  # fmt: skip
    if len({np.shape(plain(x)) for x in parts}) > 1:
        raise ValueError(f"array: the entries have different shapes: {[np.shape(plain(x)) for x in parts]}")
    joined = stack(parts)
    return joined if dtype is None else astype(joined, dtype)


def _holds_nodes(xs: Any) -> bool:
    return isinstance(xs, Node) or (isinstance(xs, (list, tuple)) and any(map(_holds_nodes, xs)))


def _at_least(x: Any, ndim: int) -> Any:
    x = as_array(x)
    missing = ndim - np.ndim(plain(x))
    if missing <= 0:
        return x
    behind = 1 if ndim == 3 and missing < 3 else 0  # NumPy makes (N,) and (M, N) to (1, N, 1) and (M, N, 1)
    return reshape(x, (1,) * (missing - behind) + np.shape(plain(x)) + (1,) * behind)


def atleast_1d(*xs: Any) -> Any:
    """x with one axis at least; of several x, a tuple.

    >>> atleast_1d(1.0)
    array([1.])
    """
    return _at_least(xs[0], 1) if len(xs) == 1 else tuple(_at_least(x, 1) for x in xs)


def atleast_2d(*xs: Any) -> Any:
    """x with two axes at least: a vector becomes a row. Of several x, a tuple.

    >>> atleast_2d([1.0, 2.0])
    array([[1., 2.]])
    """
    return _at_least(xs[0], 2) if len(xs) == 1 else tuple(_at_least(x, 2) for x in xs)


def atleast_3d(*xs: Any) -> Any:
    """x with three axes at least: (N,) becomes (1, N, 1), and (M, N) becomes (M, N, 1). Of several x, a tuple.

    >>> atleast_3d([1.0, 2.0]).shape
    (1, 2, 1)
    """
    return _at_least(xs[0], 3) if len(xs) == 1 else tuple(_at_least(x, 3) for x in xs)


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x without its axes of length 1, or without the given ones.

    Raises:
        ValueError: if an axis that is named has another length than 1.

    >>> import numpy as np
    >>> squeeze(np.ones((1, 3, 1)), 0).shape
    (3, 1)
    """
    shape = np.shape(plain(x))
    drop = [i for i, n in enumerate(shape) if n == 1] if axis is None else axes_of(x, axis, "squeeze")
    for i in drop:
        if shape[i] != 1:
            raise ValueError(f"squeeze: axis {i} has length {shape[i]}, not 1, in shape {shape}")
    return reshape(x, [n for i, n in enumerate(shape) if i not in drop])


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """x with new axes of length 1, which get these numbers in the result.

    Raises:
        ValueError: if an axis is named twice.

    >>> import numpy as np
    >>> expand_dims(np.ones((2, 3)), (0, -1)).shape
    (1, 2, 3, 1)
    """
    old = list(np.shape(plain(x)))
    ndim = len(old) + len(_several(axis))
    new = {i % ndim for i in _several(axis) if -ndim <= i < ndim}
    if len(new) != len(_several(axis)):
        raise ValueError(f"expand_dims: axes {axis} are not {len(_several(axis))} different axes of {ndim}")
    return reshape(x, [1 if i in new else old.pop(0) for i in range(ndim)])


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x with the order reversed along an axis, several axes, or all.

    >>> import numpy as np
    >>> flip(np.array([1.0, 2.0, 3.0]))
    array([3., 2., 1.])
    """
    ndim = np.ndim(plain(x))
    axes = range(ndim) if axis is None else axes_of(x, axis, "flip")
    return take_part(x, index=tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(ndim)))


_pad: Primitive = Primitive(
    "pad", None, lambda x, width, value: np.pad(x, width or 0, constant_values=value),
    (lambda g, y, x, width, value: g[tuple(slice(a, a + n) for (a, _), n in zip(width, x.shape, strict=True))],),
)  # fmt: skip


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Any:
    """x with a constant around it, zeros by default.

    Args:
        x: an array or node.
        pad_width: one number for every side, (before, after) for every axis, or one such pair an axis.
        mode: "constant", the only one.
        constant_values: the number to pad with.

    Raises:
        ValueError: if the mode is another one, or the widths are negative or do not fit the axes.
        TypeError: if constant_values is not one plain number.

    >>> pad([1.0, 2.0], (1, 2))
    array([0., 1., 2., 0., 0.])
    """
    if mode != "constant":
        raise ValueError(f"pad: the only mode is 'constant', got {mode!r}; build others from flip, tile and concat")
    if isinstance(constant_values, Node) or np.ndim(constant_values):
        raise TypeError("pad: constant_values must be one plain number; join other edges with concat")
    width, ndim = np.asarray(pad_width), np.ndim(plain(x))
    if width.dtype.kind not in "iu" or width.shape not in ((), (1,), (2,), (1, 2), (ndim, 1), (ndim, 2)):
        raise ValueError(f"pad: one integer, one pair, or a pair for each of the {ndim} axes; got {pad_width}")
    if (width < 0).any():
        raise ValueError(f"pad: widths must not be negative, got {pad_width}")
    pairs = np.broadcast_to(width, (ndim, 2)) if ndim else ()  # a 0-d array has no sides
    return _pad(x, width=tuple((int(a), int(b)) for a, b in pairs), value=constant_values)


_roll: Primitive = Primitive(
    "roll", None, lambda x, shift, axis: np.roll(x, shift, axis),
    (lambda g, y, x, shift, axis: _roll(g, shift=tuple(-n for n in shift), axis=axis),),
)  # fmt: skip


def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """x moved along one axis or several, by so many places; what leaves at one end comes back at the other.

    Raises:
        TypeError: if a shift is no integer.
        ValueError: if there are not as many shifts as axes.

    >>> roll([1.0, 2.0, 3.0], 1)
    array([3., 1., 2.])
    """
    if isinstance(shift, Node) or (np.asarray(shift).dtype.kind not in "iu" and np.size(shift)):
        raise TypeError(f"roll: shift must be an integer, or one for each axis; got {shift!r}")
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), np.shape(plain(x)))
    shifts, axes = _several(shift), _several(axis)
    if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
        raise ValueError(f"roll: {len(shifts)} shifts for {len(axes)} axes; give one for each, or one for all")
    pairs = [(int(n), axis_of(x, i)) for n, i in np.broadcast(shifts, axes)] if shifts and axes else []
    return _roll(x, shift=tuple(n for n, _ in pairs), axis=tuple(i for _, i in pairs))


def _triangle(x: Any, keep: Any) -> Any:
    """The last two axes of x, with zeros where `keep(row, column)` does not hold; a vector is every row of a square."""
    shape = np.shape(plain(x))
    if not shape:
        raise ValueError("tril, triu: an array with at least one axis is needed, got a single number")
    rows, columns = np.ogrid[: shape[-2] if len(shape) > 1 else shape[-1], : shape[-1]]
    return where(keep(rows, columns), x, 0.0)


def tril(x: Any, k: int = 0) -> Any:
    """The lower triangle: x with zeros above the k-th diagonal of its last two axes.

    >>> import numpy as np
    >>> tril(np.ones((2, 2)))
    array([[1., 0.],
           [1., 1.]])
    """
    return _triangle(x, lambda i, j: j - i <= k)


def triu(x: Any, k: int = 0) -> Any:
    """The upper triangle: x with zeros below the k-th diagonal of its last two axes.

    >>> import numpy as np
    >>> triu(np.ones((2, 2)))
    array([[1., 1.],
           [0., 1.]])
    """
    return _triangle(x, lambda i, j: j - i >= k)


def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """x repeated, so many times along each axis.

    >>> tile([1.0, 2.0], (2, 2))
    array([[1., 2., 1., 2.],
           [1., 2., 1., 2.]])
    """
    times = list(_several(reps))
    shape = list(np.shape(plain(x)))
    ndim = builtins.max(len(times), len(shape))
    times = [1] * (ndim - len(times)) + times
    shape = [1] * (ndim - len(shape)) + shape
    spread = [n for pair in zip(times, shape, strict=True) for n in pair]
    one_each = [n for length in shape for n in (1, length)]
    return reshape(broadcast_to(reshape(x, one_each), spread), [a * b for a, b in zip(times, shape, strict=True)])


def ravel(x: Any) -> Any:
    """x as one long row.

    >>> ravel([[1.0, 2.0], [3.0, 4.0]])
    array([1., 2., 3., 4.])
    """
    return reshape(x, -1)


flatten = ravel


def as_array(x: Any) -> Any:
    """A node as it is; a list that holds nodes as one node; anything else as an array."""
    if isinstance(x, Node):
        return x
    return array(x) if isinstance(x, (list, tuple)) else np.asarray(x)


def _several(axis: int | Sequence[int]) -> tuple[int, ...]:
    try:
        return (operator.index(axis),)  # type: ignore[arg-type]  # (an array of no axes that holds one number too)
    except TypeError:
        return tuple(axis)  # type: ignore[arg-type]


def axis_of(x: Any, axis: int) -> int:
    """The axis as a number from 0 up, checked."""
    ndim = np.ndim(plain(x))
    axis = operator.index(axis)  # 1.0 is no axis
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of range for an array with {ndim} axes, shape {np.shape(plain(x))}")
    return axis % ndim


def axes_of(x: Any, axis: int | Sequence[int], name: str) -> list[int]:
    """The axes as numbers from 0 up, each once."""
    axes = [axis_of(x, i) for i in _several(axis)]
    if len(set(axes)) < len(axes):
        raise ValueError(f"{name}: an axis is given twice in {axis}, shape {np.shape(plain(x))}")
    return axes


def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """`split`, but a number of parts need not divide the axis: the first parts are then longer by one.

    Raises:
        ValueError: if the number of parts is not positive.

    >>> import numpy as np
    >>> [part.tolist() for part in array_split(np.arange(5.0), 2)]
    [[0.0, 1.0, 2.0], [3.0, 4.0]]
    """
    parts = parts_or_places(indices_or_sections)
    if not isinstance(parts, int):
        return split(x, parts, axis)
    if parts < 1:
        raise ValueError(f"array_split: the number of parts must be positive, got {parts}")
    part, longer = divmod(np.shape(plain(x))[axis_of(x, axis)], parts)
    return split(x, [part * k + builtins.min(k, longer) for k in range(1, parts)], axis)


def parts_or_places(given: Any) -> Any:
    """A number of parts, or the places to cut at."""
    try:
        return operator.index(given)
    except TypeError:
        if not np.iterable(given):
            raise
        return tuple(map(operator.index, given))


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """x cut along an axis, into so many equal parts, or at the given places. A list of slices of x.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, split
    >>> i, f, g, o = split(Tensor(np.arange(8.0)), 4)
    >>> f.data
    array([2., 3.])
    """
    sections = parts_or_places(indices_or_sections)
    x, scope = as_array(x), SCOPE.get()
    cuts = _cuts(x.shape, sections, operator.index(axis))
    if not isinstance(x, Node) or not x.requires_grad or not scope.recording or scope.anomaly:
        return [take_part(x, index=cut) for cut in cuts]
    whole = x._data  # the same nodes, filled at once
    return [new_node(x.kind, whole[cut], scope, True, take_part, (x,), (whole,), {"index": cut}) for cut in cuts]


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
