"""Frozen: what ``tensor.data`` hands out. It reads like any array, and cannot change under a gradient.

A graph's arrays must stay as the forward pass saw them. So ``w.data -= 0.1 * w.grad`` does not write into the old
array: it makes a new one, which Python then assigns to ``w.data``. Writing to a part raises, and says what to do.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

# What Python's in-place operators call (the second row is from ``**=``, for the exponents 2, 1/2 and -1).
# ``np.add(a, b, out=a)`` looks the same; of other functions one can tell that somebody wants to write.
IN_PLACE = {
    np.add, np.subtract, np.multiply, np.true_divide, np.floor_divide, np.remainder, np.power, np.matmul,
    np.square, np.sqrt, np.reciprocal, np.positive,
}  # fmt: skip


class Frozen(np.ndarray):
    """A read-only view of a node's array; ``a += b`` makes a new, ordinary array."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if method == "at" and isinstance(inputs[0], Frozen):
            self._refuse()
        if out is not None:
            operator = method == "__call__" and ufunc in IN_PLACE and out[0] is inputs[0]
            if any(isinstance(x, Frozen) for x in out) and not operator:
                self._refuse()
            out = tuple(None if isinstance(x, Frozen) else x for x in out)
            if any(x is not None for x in out):
                options["out"] = out
        return getattr(ufunc, method)(*(ordinary(x) for x in inputs), **options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        kinds = [kind for kind in types if kind is not Frozen]
        result = super().__array_function__(function, [*kinds, np.ndarray], args, kwargs)
        return ordinary(result) if isinstance(result, Frozen) and result.flags.writeable else result

    def __setitem__(self, index: Any, new: Any) -> None:
        self._refuse()

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """An ordinary array, free to be written to."""
        return ordinary(self).copy(*args, **kwargs)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """An ordinary array of another dtype."""
        return ordinary(self).astype(*args, **kwargs)

    def _refuse(self) -> NoReturn:
        raise ValueError(
            "this array belongs to a graph and is read-only, for its gradient would be wrong. To change a leaf, "
            "rebind it: t.data = new_array, or t.data -= step; to have a copy, t.data.copy()"
        )

    def __repr__(self) -> str:
        return repr(ordinary(self))

    def __reduce__(self) -> Any:
        return ordinary(self).copy().__reduce__()


def ordinary(x: Any) -> Any:
    """A frozen array as a plain ndarray (still read-only); anything else as it is."""
    return x.view(np.ndarray) if isinstance(x, Frozen) else x
