"""Names that other libraries use for what is here: each is answered with what to write.

Python's own message, "got an unexpected keyword argument 'dim'", is true and of no help.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

UNEXPECTED = re.compile(r"got an unexpected keyword argument '(\w+)'")
MISSING = re.compile(r"missing \d+ required")

# Keywords of PyTorch's functions, and ours.
KEYWORDS = {
    "dim": "say axis=, as in NumPy", "dims": "say axis=, as in NumPy", "keepdim": "say keepdims=, as in NumPy",
    "dim0": "the axes are axis1 and axis2, as in NumPy", "unbiased": "say ddof=1 for the unbiased one, as in NumPy",
    "correction": "say ddof=, as in NumPy", "input": "the array comes first, without a name",
    "other": "the second operand has no name", "device": "there is one device; leave it out",
    "set_to_none": "gradients are always forgotten; leave it out", "diagonal": "say k=, as in NumPy",
    "split_size_or_sections": "say how many parts, or where to cut, as in NumPy",
    "chunks": "say how many parts, as in NumPy", "training": "dropout acts whenever it is called; leave out the call",
}  # fmt: skip


def answered(f: Callable[..., Any], words: Mapping[str, str] = KEYWORDS) -> Callable[..., Any]:
    """The function; a keyword that it does not take, and another library has, is answered by name.

    >>> answered(lambda x, axis=None: x, {"dim": "say axis="})(1, dim=0)
    Traceback (most recent call last):
    TypeError: <lambda>: dim= is not an option here: say axis=
    """

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return f(*args, **options)
        except TypeError as error:
            name = asked_for(error, options, words)
            if name is None or name not in words:
                raise
            raise TypeError(f"{f.__name__}: {name}= is not an option here: {words[name]}") from None

    return call


def answered_constructor(make: Callable[..., None], words: Mapping[str, str]) -> Callable[..., None]:
    """An ``__init__``; an option that the class does not take is answered with those that it takes.

    Only the constructor of the class itself answers, not those of its bases, which know fewer options.
    """

    @wraps(make)
    def init(self: Any, *args: Any, **options: Any) -> None:
        try:
            make(self, *args, **options)
        except TypeError as error:
            name = asked_for(error, options, words) if type(self).__init__ is init else None
            if name is None:
                raise
            why = words.get(name) or f"there are {', '.join(f'{option}=' for option in options_of(type(self), words))}"
            raise TypeError(f"{type(self).__name__}: {name}= is not an option here: {why}") from None

    return init


def asked_for(error: TypeError, options: Mapping[str, Any], words: Mapping[str, str]) -> str | None:
    """The option that an error complains of; None if it is about something else.

    Where the names of the arguments are others, Python may complain of those that are missing.
    """
    if (unexpected := UNEXPECTED.search(str(error))) and unexpected[1] in options:
        return unexpected[1]
    return next((name for name in options if name in words), None) if MISSING.search(str(error)) else None


def options_of(kind: type, words: Mapping[str, str]) -> list[str]:
    """The names of all arguments of a class: its own, and those that it hands on to its bases."""
    found: dict[str, None] = {}
    for base in kind.__mro__:  # what a base takes, and its own class refuses by name, is left out
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found |= dict.fromkeys(name for name in named if not found or name not in words)
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return list(found)
