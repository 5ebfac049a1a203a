"""Arrays that another library made: a dict of them, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from microgradrnn.engine.node import plain


def given_arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A state_dict as arrays; tensors that share their memory give one array."""
    if not isinstance(state, Mapping):
        hint = "; give its state_dict()" if hasattr(state, "state_dict") else ""
        hint = "; give its get_weights()" if hasattr(state, "get_weights") else hint
        raise TypeError(f"weights are a dict of arrays or a file's path, got {type(state).__name__}{hint}")
    if unnamed := [name for name in state if not isinstance(name, str)]:
        raise TypeError(f"weights are a dict by name, got the key {unnamed[0]!r}")
    arrays: dict[str, np.ndarray] = {}
    shared: dict[Any, np.ndarray] = {}
    for name, a in state.items():
        if isinstance(a, Mapping) and not name.endswith("_extra_state"):  # which may be anything, and is no weight
            raise TypeError(f"{name} is a dict, not an array; if it holds the weights, give state[{name!r}]")
        try:
            arrays[name] = from_tensor(a, shared) if hasattr(a, "data_ptr") else np.asarray(plain(a))
        except (TypeError, ValueError, RuntimeError) as error:  # what PyTorch says of 8 bits, and of sparse tensors
            raise TypeError(f"{name} is no array for NumPy ({error}); of a PyTorch tensor give "
                            "a.detach().to_dense().float().cpu()") from None
    return arrays


def from_tensor(tensor: Any, shared: dict[Any, np.ndarray]) -> np.ndarray:
    """A tensor of PyTorch as an array, whatever its device, and whether or not it is trained. What is bfloat16 there,
    which NumPy does not have, becomes float32: nothing is rounded.
    """
    a = tensor.detach()
    key = (a.device, a.data_ptr(), a.dtype, a.shape, a.stride())
    if key not in shared or not a.numel():
        shared[key] = np.asarray((a.float() if str(a.dtype) == "torch.bfloat16" else a).cpu())
    return shared[key]


def fitting(
    who: str, arrays: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays in the precision of ours or better, if all have the expected shapes and are of real numbers."""
    wrong = []
    for name, a in arrays.items():
        shape = expected[name].shape
        if a.shape != shape:
            hint = "; its transpose would fit" if a.shape == shape[::-1] else ""
            wrong.append(f"{name} of shape {shape}, got {a.shape}{hint}")
        elif a.dtype.kind not in "fiub":
            raise TypeError(f"{who}: {name} is an array of {a.dtype}; weights are real numbers")
    if wrong:
        raise ValueError(f"{who}: the net needs {', '.join(wrong)}")
    return {name: a.astype(np.result_type(a, expected[name])) for name, a in arrays.items()}
