"""The content of a safetensors file: a table of contents in JSON, then the numbers."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from microgradrnn.files import DamagedFileError, read_whole

FORMAT = "microgradrnn 2"  # another number whenever the layout changes
KINDS = {"BOOL": "?", **{f"{letter}{8 * n}": f"<{letter.lower()}{n}" for letter in "IU" for n in (1, 2, 4, 8)},
         **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)}}  # as the format names them, and as NumPy does
DTYPES = ("bool", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)), "float16", "float32", "float64")


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of any safetensors file by name, for example of one that PyTorch's users wrote. What is bfloat16 there
    comes as float32.

    Raises:
        DamagedFileError: if the file is not whole, or no safetensors file.
        TypeError: if it holds floats of 8 bits or fewer, or complex numbers.
        ImportError: without the extra ``io``.

    >>> import tempfile
    >>> import numpy as np
    >>> from microgradrnn import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.save(folder + "/run.safetensors", x=np.ones(3))
    ...     arrays = io.read(folder + "/run.safetensors")
    >>> {name: a.shape for name, a in arrays.items()}
    {'x': (3,)}
    """
    return contents(Path(path))[0]


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
