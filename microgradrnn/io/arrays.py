"""Arrays that another library made: a dict of them, or a file, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from microgradrnn.nn import Module


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
