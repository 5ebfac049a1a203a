"""What a compiled function depends on besides its arguments: a change of it means that the trace is out of date.

A `snapshot` walks over what the function closes over: cells of closures, defaults, globals and attributes of modules
that it names, attributes of the object that it is a method of, and its class. Numbers and strings count by value,
arrays by their content, nodes by identity: their data are read anew at every call, so that training does not make a
trace out of date. A `Watch` tells quickly whether a snapshot is still right. `with_symbols` makes a copy of a function
that has symbols in the place of these nodes, to be traced.
"""

from __future__ import annotations

import array
import copy
import functools
import hashlib
import operator
import types
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from microgradrnn.engine import Node, Primitive

OPAQUE = (types.ModuleType, types.BuiltinFunctionType, np.ufunc, np.random.Generator, Primitive)
SIMPLE = (bool, int, float, complex, str, bytes, type(None), np.dtype, np.generic, slice, type(Ellipsis), range)
SEQUENCES = (list, tuple, set, frozenset, deque)
WRITABLE = (np.ndarray, bytearray, memoryview, array.array)  # others may write to these without a trace


def snapshot(thing: Any, generators: list[np.random.Generator] | None = None) -> tuple[Any, ...]:
    """All that a function, cell or module depends on, to be compared with another snapshot of it.

    Args:
        thing: the function, cell or module.
        generators: a list, to which generators of random numbers are added; their state is then part of the snapshot.

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
    seen: dict[int, int] = {}
    stack = [thing]
    while stack:  # a stack, not recursion: structures may be deep
        part = stack.pop()
        if isinstance(part, SIMPLE):
            found.append((type(part).__name__, repr(part) if isinstance(part, (slice, float, complex)) else part))
        elif id(part) in seen:
            found.append(seen[id(part)])  # which of those that came before
        else:
            seen[id(part)] = len(seen)
            if generators is not None and isinstance(part, np.random.Generator):
                generators.append(part)
                found.append(repr(part.bit_generator.state))
            said, parts = contents(part)
            found.append(said)
            stack.extend(reversed(parts))
    return tuple(found)


class Watch:
    """Keeps the `snapshot` of a thing, and makes another one only when something may have changed.

    The parts of the thing are compared by identity, which is quicker. Where that says too little, because an array may
    have been written to, there is a new snapshot each time.

    >>> def times(factor):
    ...     return lambda x: factor[0] * x
    >>> factor = [2.0]
    >>> watch = Watch(times(factor))
    >>> before = watch.snapshot()
    >>> before is watch.snapshot()
    True
    >>> factor[0] = 3.0
    >>> before == watch.snapshot()
    False
    """

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self._look()

    def snapshot(self) -> tuple[Any, ...]:
        """What `snapshot` says of the thing now."""
        if not (self.certain and self._is_unchanged()):
            self._look()
        return self.said

    def _look(self) -> None:
        self.nodes: list[tuple[Node, bool]] = []
        self.owners: list[tuple[dict[str, Any], list[str], list[Any]]] = []  # objects that have nothing but attributes
        self.others: list[tuple[Any, Any, list[Any]]] = []
        self.certain = True
        seen: set[int] = set()
        stack = [self.thing]
        while stack and self.certain:
            part = stack.pop()
            self.certain = not isinstance(part, WRITABLE)
            if id(part) in seen or isinstance(part, (*SIMPLE, *OPAQUE)):
                continue
            seen.add(id(part))
            said, parts = contents(part)
            stack.extend(parts)
            own = getattr(part, "__dict__", None)
            if isinstance(part, Node):
                self.nodes.append((part, part.requires_grad))
            elif type(own) is dict and said == (id(part), tuple(own)) and same(parts, own.values()):
                self.owners.append((own, list(own), parts))
            else:
                self.others.append((part, said, parts))
        self.said = snapshot(self.thing)  # last: what changes meanwhile is noticed the next time

    def _is_unchanged(self) -> bool:
        for node, requires_grad in self.nodes:
            if node.requires_grad is not requires_grad:
                return False
        for own, names, parts in self.owners:
            if list(own) != names or not same(parts, own.values()):
                return False
        for thing, said, parts in self.others:
            now, found = contents(thing)
            if now != said or not same(parts, found):
                return False
        return True


def same(a: Collection[Any], b: Collection[Any]) -> bool:
    """Are these the same objects?"""
    return len(a) == len(b) and all(map(operator.is_, a, b))


def contents(thing: Any) -> tuple[Any, list[Any]]:
    """What is to be said of a thing itself, and the parts that it depends on."""
    if isinstance(thing, Node):
        return (id(thing), thing.requires_grad), []
    if isinstance(thing, np.ndarray):
        return (thing.shape, thing.dtype.str, hashlib.blake2b(np.ascontiguousarray(thing).data).digest()), []
    if isinstance(thing, (bytearray, memoryview, array.array)):
        return (type(thing).__name__, bytes(thing)), []
    if isinstance(thing, types.FunctionType):
        return id(thing.__code__), list(function_parts(thing))
    if isinstance(thing, types.MethodType):
        return "method", [thing.__self__, thing.__func__]
    if isinstance(thing, (staticmethod, classmethod)):
        return "static", [thing.__func__]
    if isinstance(thing, property):
        return "property", [thing.fget]
    if isinstance(thing, functools.partial):
        return "partial", [thing.func, thing.args, thing.keywords]
    if isinstance(thing, OPAQUE):
        return id(thing), []
    if isinstance(thing, types.CellType):
        return "cell", [thing.cell_contents] if bound_cell(thing) else []
    if isinstance(thing, type):
        return id(thing), [] if ours(thing.__module__) else class_parts(thing)
    names, parts = attributes(thing)
    if isinstance(thing, SEQUENCES):
        return (type(thing).__name__, len(thing), names), [*thing, *parts]
    if isinstance(thing, dict):
        return (type(thing).__name__, len(thing), names), [x for pair in thing.items() for x in pair] + parts
    return (id(thing), names), parts if ours(type(thing).__module__) else [type(thing), *parts]


def attributes(thing: Any) -> tuple[tuple[str, ...], list[Any]]:
    """The names and values of an object's attributes, in its ``__dict__`` or in slots."""
    slots: tuple[str, ...] | None = slots_of(type(thing))  # type: ignore[arg-type]
    own = {} if slots is None else getattr(thing, "__dict__", {})
    names = (*own, *(name for name in slots or ("f",) if hasattr(thing, name)))
    return names, [own[name] if name in own else getattr(thing, name) for name in names]


@functools.lru_cache(maxsize=1024)
def slots_of(cls: type) -> tuple[str, ...] | None:
    """The names of slots in which objects of a class of the user's keep attributes; None for a compiled function."""
    if hasattr(cls, "value_and_grad"):
        return None  # it depends on the function alone, not on its traces
    found: list[str] = []
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        if not ours(base.__module__):
            found += [slots] if isinstance(slots, str) else list(slots)
    return tuple(name for name in found if name not in ("__dict__", "__weakref__"))


def class_parts(cls: type) -> list[Any]:
    """The methods and attributes of a class of the user's, and its bases."""
    own = [value for name, value in vars(cls).items() if not (name.startswith("__") and name != "__call__")]
    return [x for x in own if not isinstance(x, (types.MemberDescriptorType, types.GetSetDescriptorType))] + [
        base for base in cls.__bases__ if base is not object
    ]


def function_parts(f: types.FunctionType) -> Iterator[Any]:
    """What a function reads from outside. Our own functions read nothing that changes but what they close over."""
    yield from f.__closure__ or ()
    if ours(f.__module__):
        return
    yield from (f.__defaults__, f.__kwdefaults__, f.__dict__)
    for name in names_in(f.__code__):
        if name in f.__globals__:
            value = f.__globals__[name]
            if isinstance(value, types.ModuleType):
                yield from module_parts(value, f.__code__)
            else:
                yield value


def module_parts(module: types.ModuleType, code: types.CodeType) -> Iterator[Any]:
    """Numbers, arrays and nodes of a module of the user's that a piece of code names."""
    for name in names_in(code):
        value = vars(module).get(name)
        if isinstance(value, (*SIMPLE, *SEQUENCES, np.ndarray, Node, dict)) and value is not None:
            yield value


@functools.lru_cache(maxsize=1024)
def names_in(code: types.CodeType) -> tuple[str, ...]:
    """The globals and attributes that a piece of code may read, in the functions inside it too."""
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in names_in(c)]
    return tuple(dict.fromkeys([*code.co_names, *inner]))


def bound_cell(cell: types.CellType) -> bool:
    """Is the name of a closure bound?"""
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def ours(module: str | None) -> bool:
    """Is it a module of microgradrnn, or of Python's?"""
    return module is not None and module.partition(".")[0] in ("microgradrnn", "builtins", "numpy")


# --------------------------------------------------------------------------------------------------------- symbols in
def with_symbols(thing: Any, lift: Callable[[Node], Node], memo: dict[int, Any] | None = None) -> Any:
    """A copy of a function, method, object or list with symbols for the nodes in it; itself, if there is no need.

    So a function that asks a weight for its numbers is told that it cannot, as if it was an argument.
    """
    memo = {} if memo is None else memo
    if isinstance(thing, (*SIMPLE, *OPAQUE, np.ndarray, type)):
        return thing
    if id(thing) not in memo:
        memo[id(thing)] = thing  # what refers back to it while it is copied keeps the old one
        memo[id(thing)] = _copied(thing, lambda part: with_symbols(part, lift, memo), lift)
    return memo[id(thing)]


def _copied(thing: Any, again: Callable[[Any], Any], lift: Callable[[Node], Node]) -> Any:
    if isinstance(thing, Node):
        return lift(thing)
    if isinstance(thing, types.MethodType):
        owner, function = again(thing.__self__), again(thing.__func__)
        same = owner is thing.__self__ and function is thing.__func__
        return thing if same else types.MethodType(function, owner)
    if isinstance(thing, functools.partial):
        parts = again(thing.func), again(thing.args), again(thing.keywords)
        same = parts[0] is thing.func and parts[1] is thing.args and parts[2] is thing.keywords
        return thing if same else functools.partial(parts[0], *parts[1], **parts[2])
    if isinstance(thing, types.FunctionType):
        return _copied_function(thing, again)
    if type(thing) in (list, deque, set):
        return type(thing)(again(part) for part in thing)  # the function may write to it: a trace leaves nothing there
    if type(thing) is dict:
        return {key: again(part) for key, part in thing.items()}
    if type(thing) is tuple or hasattr(thing, "_fields"):
        new = [again(part) for part in thing]
        if all(a is b for a, b in zip(new, thing, strict=True)):
            return thing
        return type(thing)(*new) if hasattr(thing, "_fields") else tuple(new)
    own = getattr(thing, "__dict__", None)
    if type(own) is not dict or isinstance(thing, types.CellType):
        return thing
    found = {key: again(part) for key, part in own.items()}
    if all(found[key] is part for key, part in own.items()):
        return thing
    try:
        other = copy.copy(thing)
        vars(other).update(found)
    except Exception:  # locks, files and the like
        return thing
    return other


def _copied_function(f: types.FunctionType, again: Callable[[Any], Any]) -> Any:
    cells = []
    for old in f.__closure__ or ():
        new = again(old.cell_contents) if bound_cell(old) else None
        cells.append(old if not bound_cell(old) or new is old.cell_contents else types.CellType(new))
    names = [] if ours(f.__module__) else [name for name in names_in(f.__code__) if name in f.__globals__]
    changed = {name: new for name in names if (new := again(f.__globals__[name])) is not f.__globals__[name]}
    defaults, by_name = again(f.__defaults__), f.__kwdefaults__ and again(f.__kwdefaults__)
    same = all(a is b for a, b in zip(cells, f.__closure__ or (), strict=True)) and defaults is f.__defaults__
    if same and not changed and not by_name:
        return f
    known = {**f.__globals__, **changed} if changed else f.__globals__
    other = types.FunctionType(f.__code__, known, f.__name__, defaults, tuple(cells))
    other.__kwdefaults__ = by_name
    other.__dict__.update(f.__dict__)
    return other
