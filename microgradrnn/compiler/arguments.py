"""Arguments and results of traced functions: what in them is a number or an array, and in which form they come."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from microgradrnn.compiler.guard import snapshot
from microgradrnn.engine import Node
from microgradrnn.engine.node import plain

STATES = ("h", "c", "s2", "s3", "s4")  # what the parts of a state are called, if nothing says more


class Slot:
    """A place where a float, a float array or a node comes in: its shape and dtype. A float is `weak`, as in NumPy."""

    def __init__(self, x: Any) -> None:
        a = np.asarray(plain(x))
        self.shape = a.shape
        self.dtype = a.dtype if a.dtype.kind == "f" else np.dtype(np.float64)
        self.weak = type(x) is float


FLOAT = (), np.dtype(np.float64).str, True  # the form of a float


class Place(int):
    """Which of the outputs stands here."""


def mapped(thing: Any, leaf: Callable[[Any], Any]) -> Any:
    """Lists, tuples and dicts as they are, with a function applied to what is in them."""
    if isinstance(thing, (tuple, list)):
        parts = [mapped(part, leaf) for part in thing]
        return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
    if isinstance(thing, dict):
        return {key: mapped(part, leaf) for key, part in thing.items()}
    return leaf(thing)


def is_slotted(x: Any) -> bool:
    """Does a `Slot` take the place of this argument: is it a float, an array of floats or a node?"""
    return isinstance(x, (Node, float, np.floating)) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def slotted(arguments: Any, values: list[Any]) -> Any:
    """The arguments with a `Slot` for every float, array of floats and node; these go to the list."""

    def leaf(x: Any) -> Any:
        if not is_slotted(x):
            return x
        values.append(np.asarray(x) if isinstance(x, np.floating) else x)
        return Slot(values[-1])

    return mapped(arguments, leaf)


def placed(arguments: Any, values: Iterator[Any]) -> Any:
    """The arguments with the next of the values in the place of every slot."""
    return mapped(arguments, lambda x: next(values) if isinstance(x, Slot) else x)


def refilled(arguments: Any, values: Iterator[Any]) -> Any:
    """The arguments with the next of the values in the place of everything that `slotted` makes a slot of."""
    return mapped(arguments, lambda x: next(values) if is_slotted(x) else x)


def collected_slots(arguments: Any, found: list[Any]) -> None:
    """All slots, in the order in which `placed` fills them."""
    mapped(arguments, lambda x: found.append(x) if isinstance(x, Slot) else None)


def collected(returned: Any, nodes: list[Any]) -> Any:
    """What a function returned, with its `Place` for every node; the nodes go to the list."""

    def leaf(x: Any) -> Any:
        if not isinstance(x, Node):
            return x
        nodes.append(x)
        return Place(len(nodes) - 1)

    return mapped(returned, leaf)


def filled(result: Any, values: Sequence[Any]) -> Any:
    """The opposite of `collected`."""
    return mapped(result, lambda x: values[x] if isinstance(x, Place) else x)


def form(arguments: Any) -> Any:
    """What a trace is valid for: shapes and dtypes of what is traced; the rest as it is."""
    if isinstance(arguments, Slot):
        return arguments.shape, arguments.dtype.str, arguments.weak
    if isinstance(arguments, (tuple, list)):
        return type(arguments).__name__, *map(form, arguments)
    if isinstance(arguments, dict):
        return tuple((repr(key), form(part)) for key, part in arguments.items())
    return snapshot(arguments)


def given_form(thing: Any, values: list[Any]) -> Any:
    """``form(slotted(thing, values))``, without the slots."""
    kind = type(thing)
    if kind is float:
        values.append(thing)
        return FLOAT
    if kind is tuple or kind is list:
        return (kind.__name__, *[given_form(part, values) for part in thing])
    if kind is dict:
        return tuple([(repr(key), given_form(part, values)) for key, part in thing.items()])
    a = plain(thing)
    if type(a) is np.ndarray and a.dtype.kind == "f":
        values.append(thing)
        return a.shape, a.dtype.str, False
    return form(slotted(thing, values))


def gradient_form(arguments: Any) -> Any:
    """The arguments with None for all that has no gradient."""
    return mapped(arguments, lambda x: x if isinstance(x, Slot) else None)


def bound(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The arguments by position, and those that can only be given by name."""
    if not kwargs:
        return args, kwargs
    try:
        found = inspect.signature(f).bind(*args, **kwargs)
    except ValueError:  # functions of C have no signature
        return args, kwargs
    return found.args, found.kwargs


def argument_names(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """A name for every slot: that of its parameter, numbered if it holds several."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    states = getattr(f, "state", None)  # a cell of this library: f(x, state), with names for the parts of the state
    if isinstance(states, tuple) and len(args) == 2:
        slots: list[Any] = []
        collected_slots(args, slots)
        if len(slots) == 1 + len(states):
            return ["x", *(f"{state}_prev" for state in states)]
    if len(args) == 2 and len(parameters) == 2 and parameters[1].name in ("h", "state"):  # a cell of the user's
        slots = []
        collected_slots(args[1], slots)
        if isinstance(args[0], Slot) and 0 < len(slots) <= len(STATES):
            return [parameters[0].name, *(f"{name}_prev" for name in STATES[: len(slots)])]
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names: list[str] = []
    for name, argument in [*zip([*positional, *(f"x{k}" for k in range(len(args)))], args, strict=False),
                           *kwargs.items()]:  # fmt: skip
        slots = []
        collected_slots(argument, slots)
        names += [name] if isinstance(argument, Slot) else [f"{name}_{i}" for i in range(len(slots))]
    return [name if names.count(name) == 1 else f"{name}_{k}" for k, name in enumerate(names)]
