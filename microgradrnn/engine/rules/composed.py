"""NumPy's functions that are a line or two of other operations.

There is no rule in this file. Each function is written with operations that have one, so its derivative, of any order,
comes by itself.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradrnn.engine.node import Node, plain
from microgradrnn.engine.rules.elementwise import multiply, where
from microgradrnn.engine.rules.shape import as_array, flip, moveaxis, split

__all__ = [
    "deg2rad", "degrees", "dsplit", "fliplr", "flipud", "hsplit", "linspace", "nan_to_num", "rad2deg", "radians",
    "select", "vsplit",
]  # fmt: skip


# --------------------------------------------------------------------------------------------------- entry by entry
def deg2rad(x: Any) -> Any:
    """Degrees in radians, x π / 180.

    >>> import numpy as np
    >>> deg2rad(np.array([0.0, 180.0])).round(4)
    array([0.    , 3.1416])
    """
    return multiply(x, math.pi / 180)


def rad2deg(x: Any) -> Any:
    """Radians in degrees, x 180 / π.

    >>> import numpy as np
    >>> rad2deg(np.array([0.0, np.pi]))
    array([  0., 180.])
    """
    return multiply(x, 180 / math.pi)


radians, degrees = deg2rad, rad2deg


def nan_to_num(x: Any, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with numbers for NaN and the infinities. No gradient flows into what was replaced.

    Args:
        x: a number, array or node.
        nan: what stands for NaN.
        posinf, neginf: what stands for inf and -inf; by default the largest and the smallest number of the dtype.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, nan_to_num
    >>> x = Tensor([1.0, np.nan, np.inf])
    >>> (nan_to_num(x, posinf=9.0) * 2).sum().backward()
    >>> nan_to_num(x, posinf=9.0).data, x.grad
    (array([1., 0., 9.]), array([2., 0., 0.]))
    """
    x = as_array(x)
    data = plain(x)
    dtype = np.asarray(data).dtype
    if dtype.kind in "biu":  # all of them are numbers
        return x if isinstance(x, Node) else x.copy()
    largest = float(np.finfo(dtype if dtype.kind == "f" else float).max)
    replaced = where(data != data, nan, x)  # only NaN differs from itself
    replaced = where(data == math.inf, largest if posinf is None else posinf, replaced)
    return where(data == -math.inf, -largest if neginf is None else neginf, replaced)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """For each entry the choice whose condition is the first to hold; the default where none does.

    Args:
        condlist: bools, or arrays of bools, such as ``x > 0``.
        choicelist: a number, array or node for each condition; all shapes broadcast.
        default: a number, array or node.

    Raises:
        ValueError: if there is no condition, or not one for each choice.

    >>> from microgradrnn import Tensor, select
    >>> x = Tensor([-3.0, 0.5, 3.0])
    >>> select([x < -1, x > 1], [-1.0, 1.0], default=x).data
    array([-1. ,  0.5,  1. ])
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"select: one condition for each choice is needed; got {len(condlist)} and {len(choicelist)}")
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = where(condition, choice, y)
    return y


# ---------------------------------------------------------------------------------------------------- along an axis
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, axis: int = 0) -> Any:
    """Points at equal distances from start to stop, along a new axis: start + t (stop - start).

    The last point is stop itself, without rounding.

    Args:
        start, stop: numbers, arrays or nodes; shapes broadcast.
        num: how many points.
        endpoint: is stop the last of them?
        axis: the number of the new axis in the result.

    Raises:
        ValueError: if num is negative.
        TypeError: if an end is a Value.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, linspace
    >>> a, b = Tensor([0.0, 1.0]), Tensor([4.0, 1.0])
    >>> linspace(a, b, 3).data
    array([[0., 1.],
           [2., 1.],
           [4., 1.]])
    """
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"linspace: the number of points must not be negative, got {num}")
    start, stop = (x if type(x) in (int, float) else as_array(x) for x in (start, stop))  # a number takes any dtype
    if any(isinstance(x, Node) and x.kind.on_floats for x in (start, stop)):
        raise TypeError("linspace: the points are an array, and a Value is one float. Use a Tensor instead")
    a, b = plain(start), plain(stop)
    dtype = np.result_type(a, b, 0.0)
    start, stop = (x if isinstance(x, Node) else np.asarray(x, dtype) for x in (start, stop))
    t = np.arange(num) / max(num - 1 if endpoint else num, 1)
    t = t.astype(dtype).reshape(-1, *(1,) * max(np.ndim(a), np.ndim(b)))
    return moveaxis(where(t == 1, stop, start + t * (stop - start)), 0, axis)


def flipud(x: Any) -> Any:
    """x with its rows in reverse order: `flip` along the first axis. Of a sequence, from the last step to the first.

    >>> import numpy as np
    >>> flipud(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[3., 4.],
           [1., 2.]])
    """
    return flip(_with_axes(x, 1, "flipud"), 0)


def fliplr(x: Any) -> Any:
    """x with its columns in reverse order: `flip` along the second axis.

    >>> import numpy as np
    >>> fliplr(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[2., 1.],
           [4., 3.]])
    """
    return flip(_with_axes(x, 2, "fliplr"), 1)


def vsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """x cut between rows: `split` along the first axis.

    >>> import numpy as np
    >>> [part.shape for part in vsplit(np.ones((4, 3)), 2)]
    [(2, 3), (2, 3)]
    """
    return split(_with_axes(x, 2, "vsplit"), indices_or_sections, 0)


def hsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """x cut between columns: `split` along the second axis, or the only one.

    >>> import numpy as np
    >>> from microgradrnn import Tensor, hsplit
    >>> [gate.shape for gate in hsplit(Tensor(np.ones((2, 12))), 4)]
    [(2, 3), (2, 3), (2, 3), (2, 3)]
    """
    x = _with_axes(x, 1, "hsplit")
    return split(x, indices_or_sections, min(np.ndim(plain(x)) - 1, 1))


def dsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """x cut along its third axis: `split` along it.

    >>> import numpy as np
    >>> [part.shape for part in dsplit(np.ones((2, 3, 4)), 2)]
    [(2, 3, 2), (2, 3, 2)]
    """
    return split(_with_axes(x, 3, "dsplit"), indices_or_sections, 2)


def _with_axes(x: Any, least: int, name: str) -> Any:
    """x as a node or array, if it has so many axes."""
    x = as_array(x)
    if len(shape := np.shape(plain(x))) < least:
        raise ValueError(f"{name}: the array needs {least} or more axes; got shape {shape}")
    return x
