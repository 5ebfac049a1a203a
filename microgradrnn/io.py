"""Saving and loading, and the exchange of weights with PyTorch and Keras.

Files are safetensors: a table of contents in JSON, then the numbers. Nothing is ever unpickled, so a file can hold no
program. Whenever the machine stops, either the old file is there or the new one, whole (`microgradrnn.files`). Reading
and writing files needs the extra ``io``; `load_torch`, `load_keras` and their reverses work on plain dicts of arrays,
and need nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from microgradrnn.engine import Node
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.elementwise import relu, tanh
from microgradrnn.files import DamagedFileError as DamagedFileError
from microgradrnn.files import read_whole, write_whole
from microgradrnn.keras import from_keras, named, renamed, to_keras
from microgradrnn.nn import Embedding, GRUCell, Linear, LSTMCell, Module, RNNCell
from microgradrnn.nn.cells import IRNNCell
from microgradrnn.nn.recurrent import Recurrent

__all__ = [
    "DamagedFileError", "load", "load_keras", "load_torch", "read", "save", "to_keras_weights", "to_torch_state_dict",
]  # fmt: skip

FORMAT = "microgradrnn 2"  # another number whenever the layout changes
KINDS = {"BOOL": "?", **{f"{letter}{8 * n}": f"<{letter.lower()}{n}" for letter in "IU" for n in (1, 2, 4, 8)},
         **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)}}  # as the format names them, and as NumPy does
DTYPES = ("bool", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)), "float16", "float32", "float64")


# ------------------------------------------------------------------------------------------------ things to files
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
    >>> import numpy as np
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


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of any safetensors file by name, for example of one that PyTorch's users wrote. What is bfloat16 there
    comes as float32.

    Raises:
        DamagedFileError: if the file is not whole, or no safetensors file.
        TypeError: if it holds floats of 8 bits or fewer, or complex numbers.
        ImportError: without the extra ``io``.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/run.safetensors", x=np.ones(3))
    ...     arrays = read(folder + "/run.safetensors")
    >>> {name: a.shape for name, a in arrays.items()}
    {'x': (3,)}
    """
    return contents(Path(path))[0]


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


# ------------------------------------------------------------------------------------------------ bytes
def safetensors() -> Any:
    """The library for the files, imported where it is used."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError('files need safetensors: pip install "microgradrnn[io]"') from None
    return safetensors.numpy


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a file, if it is whole."""
    return parsed(read_whole(path), path)


def parsed(raw: bytes, path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a file's content, if it is whole."""
    library = safetensors()
    try:
        (length,) = struct.unpack("<Q", raw[:8])
        metadata = json.loads(raw[8 : 8 + length]).get("__metadata__", {})
        if not isinstance(metadata, dict):
            raise ValueError("its metadata are no table")
        parts = library.deserialize(raw)
    except Exception as error:  # whatever a damaged file makes the readers raise
        hint = ""
        if raw.startswith((b"PK", b"\x80")):
            hint = ("; torch.save seems to have written it, and such a file, which can run any program, is never "
                    "opened: write another there, with safetensors.torch.save_file(model.state_dict(), path)")
        raise DamagedFileError(f"{path}: damaged, or no safetensors file ({error}){hint}") from None
    arrays = {name: as_array(part, path, name) for name, part in parts}
    if metadata.get("format") == FORMAT and metadata.get("sha256") != digest(metadata.get("tree", ""), arrays):
        raise DamagedFileError(f"{path}: damaged: its content does not agree with its checksum")
    return arrays, metadata


def as_array(part: Mapping[str, Any], path: Path, name: str) -> np.ndarray:
    """One array of a file, from its bytes. bfloat16, which NumPy does not have, becomes float32: nothing is rounded."""
    kind, data = part["dtype"], part["data"]
    if kind == "BF16":
        a = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)  # it is the upper half of a float32
    elif kind in KINDS:
        a = np.frombuffer(data, KINDS[kind])
        a = a.astype(a.dtype.newbyteorder("="), copy=False)
    else:
        raise TypeError(f"{path}: {name} holds numbers of the kind {kind}, which cannot be read; convert it to float32 "
                        "where the file was made")
    try:
        return a.reshape(part["shape"])
    except ValueError as error:  # 0 numbers, and lengths whose product no array can have
        raise DamagedFileError(f"{path}: {name} has no possible shape ({error})") from None


def digest(tree: str, arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum of everything that was saved."""
    sha = hashlib.sha256(tree.encode())
    for name in sorted(arrays):
        a = arrays[name]
        sha.update(f"{name} {a.dtype.str} {a.shape}".encode())
        sha.update(a.tobytes())
    return sha.hexdigest()


# ------------------------------------------------------------------------------------------------ PyTorch
def load_torch(layer: Module, state: Mapping[str, Any] | str | os.PathLike[str]) -> None:
    """Give a layer the weights of its PyTorch counterpart; outputs and gradients are then the same.

    PyTorch keeps matrices as (out, in), ours are (in, out). Its two biases, which only ever appear as a sum, become
    one; in the GRU the recurrent bias of n is inside the reset gate, and becomes b_n.

    Args:
        layer: `RNN`, `LSTM`, ``GRU(reset="after")``, with any number of layers and directions, `Linear` or
            `Embedding`.
        state: the counterpart's ``state_dict()``, a dict of arrays (or of PyTorch's tensors on the CPU); or the path
            of a ``.safetensors`` file with just that. From a file of a whole model take the part:
            ``{k.removeprefix("rnn."): a for k, a in read(path).items() if k.startswith("rnn.")}``. It does not say
            whether an RNN is one with tanh or ReLU: make the layer as theirs was made.

    Raises:
        KeyError, ValueError: if names or shapes do not fit. Nothing is changed then.
        TypeError: if the layer has no counterpart, or an array is not of real numbers.

    >>> from microgradrnn import nn
    >>> theirs = {"weight": np.ones((2, 3)), "bias": np.zeros(2)}
    >>> linear = nn.Linear(3, 2)
    >>> load_torch(linear, theirs)
    >>> linear(np.ones((1, 3))).data
    array([[3., 3.]])
    """
    arrays = read(state) if isinstance(state, (str, os.PathLike)) else given_arrays(state)
    expected = to_torch_state_dict(layer)
    if not any(name.startswith("bias_") for name in arrays):  # a recurrent net without biases has biases of 0
        arrays |= {name: np.zeros(a.shape) for name, a in expected.items() if name.startswith("bias_")}
    if wrong := sorted(arrays.keys() ^ expected.keys()):
        part = next((k.removesuffix(name) for k in arrays for name in expected if k.endswith("." + name)), "")
        hint = f"; of a whole model take one part, the names after {part!r}: see help(load_torch)" * bool(part)
        raise KeyError(f"load_torch: {type(layer).__name__} needs {', '.join(expected)}; only one side has "
                       f"{', '.join(wrong)}{hint}")
    arrays = fitting("load_torch", layer, arrays, expected)
    for p, a in from_torch(layer, arrays):
        p.data = a.astype(p.data.dtype)


def fitting(
    who: str, layer: Module, arrays: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays in the precision of the layer or better, if all have the expected shapes."""
    for name, a in expected.items():
        if a.shape != arrays[name].shape:
            raise ValueError(f"{who}: {type(layer).__name__} needs {name} of shape {a.shape}, got "
                             f"{arrays[name].shape}")
        if arrays[name].dtype.kind not in "fiub":
            raise TypeError(f"{who}: {name} is an array of {arrays[name].dtype}; weights are real numbers")
    return {name: arrays[name].astype(np.result_type(arrays[name], a)) for name, a in expected.items()}


def given_arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A state_dict as arrays."""
    if not isinstance(state, Mapping):
        hint = "; give its state_dict()" if hasattr(state, "state_dict") else ""
        hint = "; give its get_weights()" if hasattr(state, "get_weights") else hint
        raise TypeError(f"weights are a dict of arrays or a file's path, got {type(state).__name__}{hint}")
    arrays = {}
    for name, a in state.items():
        try:
            arrays[name] = np.asarray(a)
        except (TypeError, RuntimeError) as error:  # what PyTorch says of bfloat16, other devices, and gradients
            raise TypeError(f"{name} is no array for NumPy ({error}); of a PyTorch tensor give "
                            "a.detach().float().cpu()") from None
    return arrays


def to_torch_state_dict(layer: Module) -> dict[str, np.ndarray]:
    """The weights of a layer as its PyTorch counterpart names and lays them out, the reverse of `load_torch`.

    Of PyTorch's two biases the second gets zeros, but for b_n of the GRU. ``torch_layer.load_state_dict({k:
    torch.from_numpy(a) for k, a in ...items()})`` takes it.

    Raises:
        TypeError: if the layer has no counterpart.

    >>> from microgradrnn import nn
    >>> {k: a.shape for k, a in to_torch_state_dict(nn.LSTM(3, 5)).items()}
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}
    """
    if isinstance(layer, Embedding):
        return {"weight": np.array(layer.E.data)}
    if isinstance(layer, Linear):
        V, d = layer.V.data, layer.d
        return {"weight": V.T.copy()} if d is None else {"weight": V.T.copy(), "bias": np.array(d.data)}
    theirs = {}
    for suffix, cell in torch_cells(layer):
        theirs[f"weight_ih_{suffix}"] = cell.U.data.T.copy()
        theirs[f"weight_hh_{suffix}"] = cell.W.data.T.copy()
        if getattr(cell, "P", None) is not None:
            theirs[f"weight_hr_{suffix}"] = cell.P.data.T.copy()
        if cell.b is not None:
            theirs[f"bias_ih_{suffix}"] = np.array(cell.b.data)
            second = theirs[f"bias_hh_{suffix}"] = np.zeros_like(cell.b.data)
            if isinstance(cell, GRUCell) and cell.b_n is not None:
                second[2 * cell.hidden_size :] = cell.b_n.data
    return theirs


def from_torch(layer: Module, arrays: Mapping[str, np.ndarray]) -> list[tuple[Any, np.ndarray]]:
    """Our parameters, each with what PyTorch's arrays make it."""
    if isinstance(layer, Embedding):
        return [(layer.E, arrays["weight"])]
    if isinstance(layer, Linear):
        return [(layer.V, arrays["weight"].T), *([] if layer.d is None else [(layer.d, arrays["bias"])])]
    ours = []
    for suffix, cell in torch_cells(layer):
        ours += [(cell.U, arrays[f"weight_ih_{suffix}"].T), (cell.W, arrays[f"weight_hh_{suffix}"].T)]
        if getattr(cell, "P", None) is not None:
            ours.append((cell.P, arrays[f"weight_hr_{suffix}"].T))
        if cell.b is not None:
            first, second = arrays[f"bias_ih_{suffix}"], np.array(arrays[f"bias_hh_{suffix}"])
            if isinstance(cell, GRUCell):
                ours.append((cell.b_n, second[2 * cell.hidden_size :].copy()))
                second[2 * cell.hidden_size :] = 0
            ours.append((cell.b, first + second))
    return ours


def torch_cells(layer: Module) -> list[tuple[str, Any]]:
    """The cells of a layer, with what PyTorch appends to the names of their weights; TypeError if it has none such."""
    if not isinstance(layer, Recurrent):
        raise TypeError(f"PyTorch has no counterpart of {type(layer).__name__} here: give an RNN, LSTM, GRU, Linear or "
                        "Embedding")
    found = [(f"l{k}" + "_reverse" * (direction == "backwards"), cell) for k, direction, cell in layer.cells()]
    if len({kind_of(cell) for _, cell in found}) > 1:
        raise TypeError("PyTorch's recurrent nets are of one kind of cell; this one has several")
    return found


def kind_of(cell: Any) -> str:
    """Which of PyTorch's cells this is."""
    if type(cell) in (RNNCell, IRNNCell) and cell.activation in (tanh, relu):
        return "RNN, tanh" if cell.activation is tanh else "RNN, relu"
    if type(cell) is LSTMCell and cell.activation is tanh:
        return "LSTM"
    if type(cell) is GRUCell:
        if cell.reset == "before":
            raise TypeError('PyTorch\'s GRU resets after the recurrent product: make this one with reset="after" '
                            "(it is another function, not another layout of the same weights)")
        if cell.z == "replaces":
            raise TypeError('PyTorch\'s GRU keeps where z is 1: make this one with z="keeps"')
        return "GRU"
    raise TypeError(f"PyTorch has no counterpart of this {type(cell).__name__}: it has RNNs with tanh or relu, LSTMs "
                    "with tanh, and GRUs")


# -------------------------------------------------------------------------------------------------- Keras
def load_keras(layer: Module, weights: Mapping[str, Any] | list[Any] | str | os.PathLike[str]) -> None:
    """Give a layer the weights of its Keras counterpart; outputs and gradients are then the same.

    In Keras the batch comes first: make the layer with ``batch_first=True``. What ``return_sequences=True`` returns is
    our outputs, and the last output is our last h. ``mask=`` is the same; only the outputs at masked steps differ:
    Keras repeats the last one, here they are 0.

    Args:
        layer: `RNN` (SimpleRNN), `LSTM`, ``GRU(reset="after")`` (Keras' default, ``reset_after=True``) or
            ``GRU(reset="before")``, with any number of layers and directions, `Linear` (Dense), `Embedding` or
            `LayerNorm` (Keras' epsilon is 1e-3).
        weights: what ``get_weights()`` gives, of several layers one after the other; or a dict by the paths of the
            variables, ``{v.path: v.numpy() for v in layer.weights}``; or the path of a ``.safetensors`` file with such
            a dict. Of a whole model take one part. Layers on top of each other are told apart by Keras' own numbers, as
            in "lstm" and "lstm_1"; if you named them yourself, load each by itself.

    Raises:
        KeyError, ValueError: if names, numbers or shapes do not fit. Nothing is changed then.
        TypeError: if the layer has no counterpart, or an array is not of real numbers.

    >>> from microgradrnn import nn
    >>> gru = nn.GRU(3, 5, reset="after", batch_first=True)
    >>> load_keras(gru, [np.zeros((3, 15)), np.zeros((5, 15)), np.zeros((2, 15))])  # gru.get_weights()
    >>> bool(gru.cell.b_n.data.any())
    False
    """
    if isinstance(weights, (list, tuple)):
        arrays = given_arrays(named(layer, weights))
    else:
        given = read(weights) if isinstance(weights, (str, os.PathLike)) else weights
        arrays = given_arrays(renamed(layer, given) if isinstance(given, Mapping) else given)
    expected = to_keras(layer)
    if wrong := sorted(arrays.keys() ^ expected.keys()):
        raise KeyError(f"load_keras: {type(layer).__name__} needs {', '.join(expected)}; only one side has "
                       f"{', '.join(wrong)}")
    for p, a in from_keras(layer, fitting("load_keras", layer, arrays, expected)):
        p.data = a.astype(p.data.dtype)


def to_keras_weights(layer: Module) -> dict[str, np.ndarray]:
    """The weights of a layer as its Keras counterpart names and lays them out, the reverse of `load_keras`.

    In the order of ``get_weights()``: ``keras_layer.set_weights(list(to_keras_weights(layer).values()))``. Of the two
    biases of a GRU the second gets zeros, but for b_n. A dict like this can be written with
    ``safetensors.numpy.save_file``.

    Raises:
        TypeError: if the layer has no counterpart.

    >>> from microgradrnn import nn
    >>> {name: a.shape for name, a in to_keras_weights(nn.LSTM(3, 5)).items()}
    {'lstm/lstm_cell/kernel': (3, 20), 'lstm/lstm_cell/recurrent_kernel': (5, 20), 'lstm/lstm_cell/bias': (20,)}
    """
    return to_keras(layer)
