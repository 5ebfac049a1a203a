"""Every function on numbers, arrays and nodes, in one namespace; and how NumPy's own functions find them.

``np.tanh(tensor)`` and ``np.sum(tensor, axis=0)`` come here through NumPy's protocols. What has no derivative here
fails with an error; it never silently drops the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine.node import plain
from microgradrnn.engine.rules import composed, elementwise, indexing, linalg, matrices, random, reduction, shape

MODULES = (elementwise, reduction, linalg, matrices, shape, indexing, composed, random)
FUNCTIONS: dict[str, Any] = {name: getattr(module, name) for module in MODULES for name in module.__all__}

# Those whose first argument is the array: they are methods of a Tensor as well.
NO_METHODS = (
    "append", "array", "atleast_1d", "atleast_2d", "atleast_3d", "column_stack", "concat", "concatenate", "einsum",
    "hstack", "linspace", "partition", "scatter", "select", "sort", "stack", "vstack", "where",
)  # fmt: skip
METHODS = {name: f for name, f in FUNCTIONS.items() if name not in NO_METHODS}

# Functions whose further arguments come in another order than ours: so many may be given by position.
REDUCTIONS = ("sum", "mean", "var", "std", "prod", "max", "min", "amax", "amin", "cumsum", "cumprod")
POSITIONAL = dict.fromkeys(REDUCTIONS, 2)
# Functions of the same name that mean something else than ours: another order of arguments, or (None) other axes.
ELSEWHERE = {"numpy.linalg": {"norm": matrices.norm, "trace": None, "diagonal": None}}

# Functions of NumPy that are left out, and what to write. (A test runs what is written here.)
INSTEAD = {
    "rollaxis": "moveaxis(x, 1, 0)", "rot90": "flip(swapaxes(x, 0, 1), 0)",
    "cross": "roll(a, -1, -1) * roll(b, 1, -1) - roll(a, 1, -1) * roll(b, -1, -1)",
    "logaddexp2": "logaddexp(a * log(2), b * log(2)) / log(2)",
    "fmax": "where(np.isnan(a), b, where(np.isnan(b), a, maximum(a, b)))",
    "fmin": "where(np.isnan(a), b, where(np.isnan(b), a, minimum(a, b)))",
    "average": "sum(weights * x) / sum(weights)",
    "gradient": "diff(x), the differences of neighbours; derivatives are mg.grad(y, x)",
}  # fmt: skip

# Questions about numbers: the answer has no gradient, so the plain one will do.
QUESTIONS = {
    "shape", "ndim", "size", "argmax", "argmin", "argsort", "allclose", "array_equal", "isclose", "isfinite", "isinf",
    "isnan", "all", "any", "count_nonzero", "nonzero", "zeros_like", "ones_like", "empty_like",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "result_type",
}  # fmt: skip


def from_numpy(numpy_function: Any, args: Any, kwargs: Any) -> Any:
    """Call our function of the same name as NumPy's."""
    name = numpy_function.__name__
    if name in QUESTIONS:
        return numpy_function(*_plainly(args), **{key: plain(x) for key, x in kwargs.items()})
    ours = ELSEWHERE.get(numpy_function.__module__, {}).get(name, FUNCTIONS.get(name))
    if ours is None:
        instead = INSTEAD.get(name, "the functions of microgradrnn")
        raise TypeError(
            f"np.{name} has no counterpart in microgradrnn, and would lose the gradient. "
            f"Use {instead}, or np.{name}(x.data) where no gradient is wanted"
        )
    if kwargs.get("out") is not None:
        raise TypeError(f"np.{name}: out= writes in place, which a recorded graph cannot follow; assign the result")
    if isinstance(numpy_function, np.ufunc) and kwargs:
        names = ", ".join(f"{key}=" for key in kwargs)
        raise TypeError(f"np.{name} on a node takes no {names}; use where() or astype()")
    if len(args) > (most := POSITIONAL.get(name, len(args))):
        raise TypeError(
            f"np.{name} on a node: give all arguments after the first {most} by name; "
            f"microgradrnn.{ours.__name__} has them in another order"
        )
    try:
        return ours(*args, **kwargs)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise TypeError(f"np.{name} on a node calls microgradrnn.{ours.__name__}: {error}") from None


def _plainly(args: Any) -> Any:
    return [_plainly(x) if isinstance(x, (list, tuple)) else plain(x) for x in args]


class NumpyProtocols:
    """Mixed into nodes, so that NumPy hands its calls over."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"np.{ufunc.__name__}.{method} has no counterpart in microgradrnn; use sum, prod or cumsum")
        return from_numpy(ufunc, args, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return from_numpy(function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            "NumPy cannot compute on a node without losing its gradient. Use microgradrnn's function of that name "
            "(microgradrnn.array([...]) for a list of Tensors), or .data for the plain number or array"
        )
