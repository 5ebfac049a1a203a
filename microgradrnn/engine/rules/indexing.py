"""Taking parts out of an array, and the transpose of that: putting them back into zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine.cotangent import Scatter
from microgradrnn.engine.node import Node
from microgradrnn.engine.primitive import Primitive


def _to_x(g: Any, y: Any, x: Any, index: Any) -> Any:
    if isinstance(g, Node):
        return scatter(g, index, x.shape)
    return Scatter(g, index, x.shape)  # put off: T slices of one array are written into one buffer


take_part = Primitive("getitem", None, lambda x, index: x[index], (_to_x,), symbol="[ ]", fits=True)

_scatter = Primitive(
    "scatter", None, lambda values, index, shape: Scatter(np.asarray(values), index, shape).dense(),
    (lambda g, y, values, index, shape: g[index],),
)


def getitem(x: Any, index: Any) -> Any:
    """``x[index]`` for integers, slices, ``...``, ``None``, and arrays of integers or bools."""
    return take_part(x, index=index if type(index) is int else _plain_index(index))


def scatter(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, with the values at an index; where an index repeats they add up."""
    return _scatter(values, index=_plain_index(index), shape=tuple(shape))


def _plain_index(index: Any) -> Any:
    """The index with every list and array copied, so that later changes to the caller's do no harm."""
    if type(index) in (int, slice):
        return index
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    if isinstance(index, Node):
        raise TypeError("an index must be integers, slices or plain arrays of integers or bools; got a node")
    if isinstance(index, (list, np.ndarray)):
        a = np.array(index)
        if a.dtype.kind not in "iub" and a.size:
            raise IndexError(f"an index array must hold integers or bools, got {a.dtype}")
        return a if a.size else a.astype(np.intp)
    return index
