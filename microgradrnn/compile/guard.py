"""What a compiled function depends on besides its arguments: a change of it means that the trace is out of date.

A `snapshot` walks over what the function closes over: cells of closures, defaults, globals that it reads, attributes of
the object that it is a method of. Numbers and strings count by value, arrays by their content, nodes by identity (their
data are read anew at every call, so that training does not make a trace out of date).
"""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Primitive

OPAQUE = (types.ModuleType, types.BuiltinFunctionType, np.ufunc, np.random.Generator, type, Primitive)
SIMPLE = (bool, int, float, complex, str, bytes, type(None), np.dtype, np.generic, slice, type(Ellipsis), range)


def snapshot(thing: Any) -> tuple[Any, ...]:
    """All that a function, cell or module depends on, to be compared with another snapshot of it.

    >>> def times(factor):
    ...     return lambda x: factor[0] * x
    >>> factor = [2.0]
    >>> f = times(factor)
    >>> before = snapshot(f)
    >>> before == snapshot(f)
    True
    >>> factor[0] = 3.0
    >>> before == snapshot(f)
    False
    """
    found: list[Any] = []
    _walk(thing, found, {})
    return tuple(found)


def _walk(thing: Any, found: list[Any], seen: dict[int, int]) -> None:
    if isinstance(thing, SIMPLE):
        found.append((type(thing).__name__, repr(thing) if isinstance(thing, (slice, float)) else thing))
        return
    if id(thing) in seen:
        found.append(seen[id(thing)])  # which of those that came before
        return
    seen[id(thing)] = len(seen)
    if isinstance(thing, Node):
        found.append((id(thing), thing.requires_grad))
    elif isinstance(thing, np.ndarray):
        found.append((thing.shape, thing.dtype.str, thing.tobytes()))
    elif isinstance(thing, (list, tuple, set, frozenset)):
        found.append(len(thing))
        for part in thing:
            _walk(part, found, seen)
    elif isinstance(thing, dict):
        for key, part in thing.items():
            found.append(str(key))
            _walk(part, found, seen)
    elif isinstance(thing, types.MethodType):
        _walk(thing.__self__, found, seen)
        _walk(thing.__func__, found, seen)
    elif isinstance(thing, functools.partial):
        _walk((thing.func, thing.args, thing.keywords), found, seen)
    elif isinstance(thing, types.FunctionType):
        _function(thing, found, seen)
    else:
        found.append(id(thing))
        if not isinstance(thing, OPAQUE):
            _object(thing, found, seen)


def _function(f: types.FunctionType, found: list[Any], seen: dict[int, int]) -> None:
    """What a function reads from outside. Our own functions read nothing that changes."""
    found.append(id(f.__code__))
    for cell in f.__closure__ or ():
        try:
            _walk(cell.cell_contents, found, seen)
        except ValueError:  # a name that is not bound yet
            found.append("empty")
    if ours(f.__module__):
        return
    _walk((f.__defaults__, f.__kwdefaults__), found, seen)
    for name in _names(f.__code__):
        if name in f.__globals__:
            _walk(f.__globals__[name], found, seen)


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The globals that a piece of code may read, in the functions inside it too."""
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _names(c)]
    return tuple(dict.fromkeys([*code.co_names, *inner]))


def _object(thing: Any, found: list[Any], seen: dict[int, int]) -> None:
    """The attributes of an object, and the methods of its class if that is the user's."""
    for name, part in getattr(thing, "__dict__", {}).items():
        found.append(name)
        _walk(part, found, seen)
    for cls in type(thing).__mro__:
        if not ours(cls.__module__) and cls.__module__ != "builtins":
            for part in vars(cls).values():
                if isinstance(part, (types.FunctionType, *SIMPLE, np.ndarray, Node)):
                    _walk(part, found, seen)


def ours(module: str | None) -> bool:
    """Is it a module of microgradrnn?"""
    return module is not None and module.partition(".")[0] == "microgradrnn"
