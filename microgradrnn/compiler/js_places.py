"""Where numbers are: slices, transposes, reshapes and broadcasts are the same array, read at other places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.expression import Expression

VIEWS: dict[str, Callable[[np.ndarray, Expression], np.ndarray]] = {
    "broadcast_to": lambda a, e: np.broadcast_to(a, e.shape),
    "getitem": lambda a, e: at(a, e.params["index"]),
    "reshape": lambda a, e: a.reshape(e.shape),
    "transpose": lambda a, e: a.transpose(e.params["axes"]),
}


def at(a: np.ndarray, index: Any) -> np.ndarray:
    """``a[index]`` as a view, also if it is a single number."""
    index = index if isinstance(index, tuple) else (index,)
    return a[index if any(i is Ellipsis for i in index) else (*index, ...)]


def only_slices(index: Any) -> bool:
    """Are there no arrays in an index?"""
    parts = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or (isinstance(i, (int, slice)) and i is not True and i is not False)
               for i in parts)  # fmt: skip


def is_view(e: Expression) -> bool:
    """Does an expression only look at another one?"""
    return e.op in VIEWS and isinstance(e.args[0], Expression) and (e.op != "getitem" or only_slices(e.params["index"]))


class View(NamedTuple):
    """Where numbers are: the array that holds them, and a layout whose addresses are places in that array."""

    base: Expression
    whole: np.ndarray
    layout: np.ndarray

    def place(self, layout: np.ndarray, variables: Sequence[tuple[int, str]]) -> str:
        """The index of an entry, from the loop variables of some axes; the other axes have length 1."""
        start = layout.ctypes.data - self.whole.ctypes.data
        terms = sorted(((layout.strides[axis], name) for axis, name in variables), key=lambda term: -abs(term[0]))
        text = " ".join(
            f"{'+' if n > 0 else '-'} {name}{f' * {abs(n)}' if abs(n) > 1 else ''}" for n, name in terms if n
        ).removeprefix("+ ")
        if text.startswith("-"):
            return f"{start} {text}"
        return " + ".join([text, *[str(start)] * (start > 0)]) if text else str(start)


class Places:
    """The view of every expression.

    NumPy works the views out: the layout of an array is a NumPy array of bytes, which nobody reads. A view of it has
    the strides and the first address that the loops need.
    """

    def __init__(self) -> None:
        self.wholes: dict[Expression, np.ndarray] = {}

    def whole(self, e: Expression) -> np.ndarray:
        """The layout of an array of its own."""
        if e not in self.wholes:
            self.wholes[e] = np.empty(e.shape, np.uint8)
        return self.wholes[e]

    def view(self, e: Expression) -> View:
        """Where the numbers of an expression are."""
        if not is_view(e):
            return View(e, self.whole(e), self.whole(e))
        base, whole, layout = self.view(e.args[0])
        return View(base, whole, VIEWS[e.op](layout, e))

    def can_reshape(self, e: Expression) -> bool:
        """Is a reshape possible without moving numbers?"""
        layout = self.view(e.args[0]).layout
        return layout.flags.c_contiguous or np.may_share_memory(layout, layout.reshape(e.shape))
