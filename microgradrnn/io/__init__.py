"""Saving and loading, and the exchange of weights with PyTorch and Keras.

Files are safetensors: a table of contents in JSON, then the numbers. Nothing is ever unpickled, so a file can hold no
program. Whenever the machine stops, either the old file is there or the new one, whole (`microgradrnn.files`). Reading
and writing files needs the extra ``io``; `load_torch`, `load_keras` and their reverses work on plain dicts of arrays,
and need nothing.
"""

from microgradrnn.files import DamagedFileError
from microgradrnn.io.content import read
from microgradrnn.io.keras import load_keras, to_keras_weights
from microgradrnn.io.saving import load, save
from microgradrnn.io.torch import load_torch, to_torch_state_dict
from microgradrnn.io.unmatched import UnmatchedError

__all__ = [
    "DamagedFileError", "UnmatchedError", "load", "load_keras", "load_torch", "read", "save", "to_keras_weights",
    "to_torch_state_dict",
]  # fmt: skip
