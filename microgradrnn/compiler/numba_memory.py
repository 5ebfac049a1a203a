"""Where the numbers of a kernel are.

This is read from samples: arrays for two steps, of which NumPy takes the views, and of which only the addresses matter.
An array of a kernel is (steps, numbers of a step), or (numbers,) if it has no time axis.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from microgradrnn.compiler.errors import TraceError
from microgradrnn.compiler.expression import Expression
from microgradrnn.compiler.layout import look_of
from microgradrnn.compiler.plan import is_view


class Unsupported(TraceError):  # noqa: N818
    """A kernel cannot be written for this; NumPy can do it."""


class Axis(NamedTuple):
    """Which entries of an axis are meant: ``start + step * i`` for the loop variable i, or just ``start``."""

    variable: str | None
    start: int
    step: int


Index = tuple[Axis, ...]


class Memory:
    """Samples of arrays, by the expressions whose numbers they hold.

    Attributes:
        names: the name of each array, by the identity of its sample.
        samples: the arrays by name; the first axis of those with time is time.
        stacked: the names of those with time.
        own: the names of those that only the kernel has.
        held: for each expression that is in memory its place, which is a sample or a view of one.
        used: the names of those that the source reads or writes, in order.
    """

    def __init__(self, samples: dict[str, np.ndarray], stacked: set[str]) -> None:
        self.samples, self.stacked = samples, stacked
        self.names = {id(sample): name for name, sample in samples.items()}
        self.own: set[str] = set()
        self.held: dict[Expression, np.ndarray] = {}
        self.used: dict[str, None] = {}

    def new(self, e: Expression, value: Any = None) -> np.ndarray:
        """A new array for one step, or for what is constant."""
        name = f"scratch_{len(self.samples)}"
        sample = np.empty(e.shape, e.dtype) if value is None else np.array(value, e.dtype, order="C")
        self.samples[name] = sample
        self.own.add(name)
        self.names[id(sample)] = name
        return sample

    def owner(self, place: np.ndarray) -> str:
        """The name of the array of which a place is a part."""
        while id(place) not in self.names:
            if not isinstance(place.base, np.ndarray):
                raise Unsupported("compile: a view that NumPy copies")
            place = place.base
        return self.names[id(place)]

    def find(self, e: Expression) -> np.ndarray | None:
        """Where the numbers of an expression, or of what it is a view of, are in memory."""
        if e not in self.held and is_view(e):
            whole = self.find(e.args[0])
            if whole is not None:
                self.held[e] = look_of(e, self.owner(whole) in self.stacked)(whole)
        return self.held.get(e)

    def where(self, place: np.ndarray) -> tuple[str, list[int], int]:
        """The name with the step, as in ``h[t + 1,``; the strides of the axes of a step; and where it begins."""
        name = self.owner(place)
        self.used[name] = None
        sample = self.samples[name]
        size = place.itemsize
        start = (place.__array_interface__["data"][0] - sample.__array_interface__["data"][0]) // size
        strides = [s // size for s in place.strides]
        if name not in self.stacked:
            return f"{name}[", strides, start
        row = prod(sample.shape[1:])
        if strides[0] != row:
            raise Unsupported("compile: a view across time")
        later, start = divmod(start, max(row, 1))
        return f"{name}[t + {later}, " if later else f"{name}[t, ", strides[1:], start

    def at(self, place: np.ndarray, index: Index) -> str:
        """An entry of an array."""
        head, strides, start = self.where(place)
        start += sum(axis.start * stride for axis, stride in zip(index, strides, strict=True))
        terms = [(axis.variable, axis.step * stride) for axis, stride in zip(index, strides, strict=True)]
        return entry(head, start, [(variable, times) for variable, times in terms if variable is not None])


def entry(head: str, start: int, terms: Iterable[tuple[str, int]]) -> str:
    """The text of an entry of an array: where it begins, and how often each variable counts."""
    found = [variable if times == 1 else f"{variable} * {times}" for variable, times in terms if times]
    return f"{head}{' + '.join([*found, str(start)] if start or not found else found)}]"
