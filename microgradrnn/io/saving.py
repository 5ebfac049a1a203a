"""`save` and `load`: modules, optimisers, generators and arrays, however nested, to one file and back.

A tree in JSON says what stands where; its arrays go to the file under their names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.node import plain
from microgradrnn.files import DamagedFileError, write_whole
from microgradrnn.io.content import DTYPES, FORMAT, contents, digest, parsed, safetensors


def save(path: str | os.PathLike[str], *unnamed: Any, **things: Any) -> None:
    """Write things to one file, each under its name; `load` brings them back.

    Args:
        path: the file, by custom ``*.safetensors``. An older one is replaced; of a link, the file that it points to.
        things: modules, optimisers (anything with ``state_dict()`` and ``load_state_dict()``), random generators,
            arrays, nodes, and dicts and lists of all these, of numbers, strings, None and tuples, however nested.

    Raises:
        TypeError: if something has no name, is none of these, or is an array of numbers that the format does not
            have, such as complex ones; or if a number, a string, None or a tuple stands alone, where `load` could not
            put it back.
        ValueError: for the name ``__metadata__``, which the format keeps for itself.
        ImportError: without the extra ``io``.
        OSError: if it cannot be written; an older file is then still there.

    >>> import tempfile
    >>> from microgradrnn import nn
    >>> folder = tempfile.TemporaryDirectory()
    >>> save(f"{folder.name}/net.safetensors", net=nn.Linear(3, 2, rng=0))
    >>> net = nn.Linear(3, 2, rng=1)
    >>> load(f"{folder.name}/net.safetensors", net=net)
    >>> bool((net.V.data == nn.Linear(3, 2, rng=0).V.data).all())
    True
    >>> folder.cleanup()
    """
    need_names("save", unnamed)
    if "__metadata__" in things:
        raise ValueError("save: the name __metadata__ is taken, by the file's format")
    for name, thing in things.items():
        if thing is None or isinstance(thing, (bool, int, float, str, tuple, np.generic)):
            raise TypeError(f"save: {name} is a bare {type(thing).__name__}, which load could not change in place; put "
                            f"it in a dict, as in {name}={{'value': ...}}")
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps({name: packed(thing, name, arrays) for name, thing in things.items()})
    metadata = {"format": FORMAT, "tree": tree, "sha256": digest(tree, arrays)}
    content = safetensors().save(arrays, metadata)
    parsed(content, Path(path))  # an older file gives way only to one that can be read
    write_whole(Path(path), content)


def load(path: str | os.PathLike[str], *unnamed: Any, **things: Any) -> None:
    """Bring things back to where they were when `save` wrote them, in place.

    Args:
        path: a file that `save` wrote.
        things: the same names; modules and optimisers of the same shapes and dtypes, generators of the same kind,
            arrays, and nodes that are trained, of the same shapes and dtypes; dicts and lists (whose content is
            replaced; arrays in them by new arrays, other nodes by arrays, tuples by plain tuples). What is brought
            back in place elsewhere (modules, optimisers, generators, trained nodes) is inside dicts and lists too,
            and must stand in the same places as when it was saved.

    Raises:
        DamagedFileError: if the file is not whole, none of `save`'s, or in the layout of another version.
        KeyError, ValueError, TypeError: if a thing has no name or does not fit. Nothing is changed then.
        ImportError: without the extra ``io``.

    >>> import tempfile
    >>> from microgradrnn import nn
    >>> net, other = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/run.safetensors", net=net)
    ...     load(folder + "/run.safetensors", net=other)
    >>> bool((net.parameters()[0].data == other.parameters()[0].data).all())
    True
    """
    need_names("load", unnamed)
    arrays, metadata = contents(Path(path))
    if (form := str(metadata.get("format"))) != FORMAT:
        raise DamagedFileError(
            f"{path}: written in the layout {form!r} by another version of microgradrnn, this one reads {FORMAT!r}; "
            "load it with that version, or take its arrays with read()"
            if form.startswith(FORMAT.split()[0]) else
            f"{path}: not written by microgradrnn.io.save; read() gives the arrays of any file"
        )
    try:
        saved = unpacked(json.loads(metadata["tree"]), arrays)
        if type(saved) is not dict:
            raise TypeError(f"a {type(saved).__name__} where the names should be")
    except Exception as error:  # the checksum is right, but save never wrote this
        raise DamagedFileError(f"{path}: its tree is none that save writes ({type(error).__name__}: {error})") from None
    if wrong := sorted(things.keys() ^ saved.keys()):
        raise KeyError(f"{path} holds {', '.join(saved)}; asked for {', '.join(things)}: not both have "
                       f"{', '.join(wrong)}")
    undo: list[Callable[[], Any]] = []
    try:
        for name, thing in things.items():
            new = restored(name, thing, saved[name], undo)
            if isinstance(thing, np.ndarray) and isinstance(new, np.ndarray):
                need_like(name, thing, new)
                undo.append(partial(np.copyto, thing, thing.copy()))
                thing[...] = new
            elif new is not thing:
                raise TypeError(f"load: {name} is a {type(thing).__name__}, and cannot be filled in place from a "
                                f"{type(saved[name]).__name__}; put it in a dict")
    except BaseException as error:
        for step in reversed(undo):
            step()
        if type(error) in (KeyError, ValueError, TypeError):
            raise type(error)(f"{error.args[0]} (in {path})") from None
        raise


def need_names(who: str, unnamed: tuple[Any, ...]) -> None:
    """Raise if something was given by its place, as to torch.save."""
    if unnamed:
        kinds = ", ".join(type(thing).__name__ for thing in unnamed)
        raise TypeError(f"{who}: first the path, then each thing under a name, {who}('net.safetensors', net=net); got "
                        f"{kinds} without a name")


def packed(thing: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """A thing as JSON; its arrays go to `arrays`, and their names stand in their places."""
    if has_state(thing):
        return {"$state": packed(state_of(thing), name, arrays)}
    if isinstance(thing, Mapping):
        if bad := [key for key in thing if not isinstance(key, str) or key.startswith("$")]:
            raise TypeError(f"save: {name} has the key {bad[0]!r}; keys are strings that do not start with $")
        return {key: packed(part, f"{name}.{key}", arrays) for key, part in thing.items()}
    if isinstance(thing, (list, tuple)):
        parts = [packed(part, f"{name}.{k}", arrays) for k, part in enumerate(thing)]
        return parts if isinstance(thing, list) else {"$tuple": parts}
    if isinstance(thing, (Node, np.ndarray, np.generic)):
        a = np.array(plain(thing), order="C")
        if a.dtype.name not in DTYPES:
            raise TypeError(f"save: {name} is an array of {a.dtype}; what can be saved are {', '.join(DTYPES)}")
        while name in arrays:
            name += "'"
        arrays[name] = a.astype(a.dtype.name)  # in the byte order of this machine
        return {"$array": name}
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    raise TypeError(f"save: {name} is a {type(thing).__name__}, which cannot be saved; see save() for what can")


def unpacked(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `packed` made JSON of, with its arrays."""
    if isinstance(tree, list):
        return [unpacked(part, arrays) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if "$array" in tree:
        return arrays[tree["$array"]]
    if "$tuple" in tree:
        return tuple(unpacked(part, arrays) for part in tree["$tuple"])
    if "$state" in tree:
        return State(unpacked(tree["$state"], arrays))
    return {key: unpacked(part, arrays) for key, part in tree.items()}


class State(dict[str, Any]):
    """The saved state of a module, an optimiser or a generator; only such a thing can take it."""


def has_state(thing: Any) -> bool:
    """Is this a module, an optimiser, a generator, or the like: brought back in place, or not at all?"""
    return isinstance(thing, np.random.Generator) or all(
        hasattr(thing, name) for name in ("state_dict", "load_state_dict")
    )


def state_of(thing: Any) -> Any:
    """The state of a thing that has one."""
    return thing.bit_generator.state if isinstance(thing, np.random.Generator) else thing.state_dict()


def set_state(thing: Any, state: Any) -> None:
    """The reverse of `state_of`."""
    if isinstance(thing, np.random.Generator):
        thing.bit_generator.state = state
    else:
        thing.load_state_dict(state)


def set_content(thing: Any, content: Any) -> None:
    """Give a dict or list new content."""
    thing.clear()
    (thing.update if isinstance(thing, dict) else thing.extend)(content)


def restored(name: str, thing: Any, saved: Any, undo: list[Callable[[], Any]]) -> Any:
    """A thing put into a saved state, in place where that can be, else what was saved in its stead.

    Before anything is changed, `undo` gets a function that changes it back.
    """
    if has_state(thing) != isinstance(saved, State):
        there = "a module, an optimiser or a generator" if isinstance(saved, State) else f"a {type(saved).__name__}"
        raise TypeError(f"load: {name} is a {type(thing).__name__}; the file holds {there}")
    if isinstance(saved, State):
        before = state_of(thing)
        if isinstance(thing, np.random.Generator) and before["bit_generator"] != saved.get("bit_generator"):
            raise ValueError(f"load: {name} is a {before['bit_generator']} generator; the file holds a "
                             f"{saved.get('bit_generator')}")
        undo.append(partial(set_state, thing, before))
        try:
            set_state(thing, saved)
        except Exception as error:
            kind = type(error) if type(error) in (KeyError, ValueError, TypeError) else ValueError
            why = error.args[0] if error.args else type(error).__name__
            raise kind(f"load: {name}: {why}") from None
        need_dtypes(name, before, saved)
        return thing
    if isinstance(thing, Node) and thing.is_leaf and thing.requires_grad and isinstance(saved, np.ndarray):
        need_like(name, np.asarray(thing.data), saved)
        undo.append(partial(setattr, thing, "data", thing.data))
        thing.data = saved
        return thing
    new: Any = saved
    if isinstance(saved, dict):
        old = thing if isinstance(thing, dict) else {}
        new = {key: restored(f"{name}.{key}", old.get(key), part, undo) for key, part in saved.items()}
    elif isinstance(saved, (list, tuple)):
        olds = [*(thing if isinstance(thing, (list, tuple)) else []), *[None] * len(saved)]
        new = type(saved)(restored(f"{name}.{k}", olds[k], part, undo) for k, part in enumerate(saved))
    if not any(isinstance(thing, kind) and isinstance(saved, kind) for kind in (dict, list)):
        return new
    undo.append(partial(set_content, thing, thing.copy()))
    set_content(thing, new)
    return thing


def need_like(name: str, own: np.ndarray, saved: np.ndarray) -> None:
    """Raise unless two arrays have the same shape and dtype."""
    if own.shape != saved.shape:
        raise ValueError(f"load: {name} has shape {own.shape}; the file holds {saved.shape}")
    need_dtypes(name, own, saved)


def need_dtypes(name: str, own: Any, saved: Any) -> None:
    """Raise unless the arrays of two states have the same dtypes: numbers would be rounded, or not be the same."""
    if isinstance(own, np.ndarray) and isinstance(saved, np.ndarray) and own.dtype.name != saved.dtype.name:
        raise ValueError(f"load: {name} is an array of {own.dtype}; the file holds {saved.dtype}")
    if isinstance(own, Mapping) and isinstance(saved, Mapping):
        for key, part in own.items():
            need_dtypes(f"{name}.{key}", part, saved.get(key))
    elif isinstance(own, (list, tuple)) and isinstance(saved, (list, tuple)):
        for k, (a, b) in enumerate(zip(own, saved, strict=False)):
            need_dtypes(f"{name}.{k}", a, b)
