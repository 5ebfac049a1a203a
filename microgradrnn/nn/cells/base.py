"""What the cells share: parameters, the first state, checks, and the input product worked out before the loop.

What does not need the state (the input product, the blocks of W) is worked out by `prepare`, once for all steps;
``step`` does the rest at each step. ``cell(x, state)`` is the two together. ``affine(h, W, z)`` is ``h W + z``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np

from microgradrnn.engine import scope
from microgradrnn.engine.rules.elementwise import relu, tanh
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.nn import init as initialisers
from microgradrnn.nn.module import Module, Parameter, Rng, as_rng, need_float, need_sizes, uniform

Step = Callable[[Any, Any], Any]
Activation = str | Callable[[Any], Any]
Init = str | float | Callable[[np.random.Generator, tuple[int, int]], np.ndarray] | None


class Cell(Module):
    """What the cells share: parameters U (D, nH), W (H, nH), b (nH), n blocks side by side.

    A cell of your own sets `blocks` and `name`, and defines `step`.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        bias: False leaves b out.
        init: where each of the n blocks of W starts: "orthogonal", "identity", a number g for g times a random
            orthogonal matrix, or a function ``(rng, shape) -> array`` as in `nn.init`. By default uniform in ±1/√H.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters.

    >>> import numpy as np
    >>> class Leaky(Cell):
    ...     blocks, name = 1, "leaky"
    ...     def step(self, z, h):
    ...         return 0.9 * h + 0.1 * affine(h, self.W, z).tanh()
    >>> Leaky(3, 5, rng=0)(np.ones((2, 3))).shape
    (2, 5)
    """

    blocks: int
    name: str
    state: tuple[str, ...] = ("h",)

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, init: Init = None, rng: Rng = None,
        dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        need_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        rng = as_rng(rng)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        D, H = input_size, hidden_size
        n = self.blocks
        self.U = Parameter(uniform(rng, (D, n * H), H, dtype), symbol="U")
        self.W = Parameter(recurrent(rng, self.state_sizes[0], n, H, init, dtype), symbol="W")
        self.b = Parameter(uniform(rng, (n * H,), H, dtype), symbol="b") if bias else None

    @classmethod
    def from_concatenated(cls, W: Any, b: Any = None, **options: Any) -> Self:
        """A cell from weights for [h, x] written side by side, h first: ``z = [h, x] W + b``.

        The same map as ``h W + x U + b``: U and W are one matrix, stacked.

        Args:
            W: (H + D, nH), an array with the rows that read h above those that read x.
            b: (nH,), or None for a cell without biases.
            options: of the cell; dtype is by default that of W and b together.

        Raises:
            ValueError: if the columns do not fall into n blocks, or there are no rows for x.
            TypeError: for bias=, init=, chrono= or rng=, which W and b decide, and for proj_size=.

        >>> import numpy as np
        >>> from microgradrnn import nn
        >>> cell = nn.LSTMCell.from_concatenated(np.ones((5 + 3, 4 * 5)), np.zeros(4 * 5))
        >>> cell.W.shape, cell.U.shape
        ((5, 20), (3, 20))
        """
        if clash := options.keys() & {"bias", "chrono", "init", "proj_size", "rng"}:
            raise TypeError(f"{cls.__name__}.from_concatenated: {min(clash)}= is not an option, W and b say it all")
        W = np.asarray(W)
        rows, columns = W.shape if W.ndim == 2 else (0, 0)
        H = columns // cls.blocks
        if H < 1 or columns % cls.blocks or rows <= H or (b is not None and np.shape(b) != (columns,)):
            raise ValueError(
                f"{cls.__name__}.from_concatenated: W has shape (H + D, {cls.blocks}H), the rows for h first, and b "
                f"({cls.blocks}H,); got {W.shape} and {None if b is None else np.shape(b)}"
            )
        given = np.result_type(W, W if b is None else np.asarray(b))
        dtype = options.pop("dtype", given if given.kind == "f" else float)
        cell = cls(rows - H, H, bias=b is not None, rng=0, dtype=dtype, **options)
        cell.W.data, cell.U.data = W[:H].astype(dtype), W[H:].astype(dtype)
        if cell.b is not None:
            cell.b.data = np.asarray(b, dtype)
        return cell

    def initial_state(self, B: int) -> Any:
        """Zeros."""
        parts = tuple(np.zeros((B, n), self.U.dtype) for n in self.state_sizes)
        return parts if len(parts) > 1 else parts[0]

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The length of each part of the state. The first part is the output."""
        return (self.hidden_size,) * len(self.state)

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """The net input from x, for one step (B, D) or all of them (T, B, D), and the step that uses it."""
        self._check_input(x)
        return x @ self.U if self.b is None else affine(x, self.U, self.b), self.step

    def step(self, z: Any, state: Any) -> Any:
        """One step: the net input from x and the last state to the next state."""
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    def __call__(self, x: Any, state: Any = None) -> Any:
        with scope(self.name):
            z, step = self.prepare(x)
            if len(x.shape) != 2:
                raise ValueError(f"{type(self).__name__}: a call is one step, x of shape (B, {self.input_size}), got "
                                 f"{x.shape}; nn.unroll(cell, xs) runs it over a sequence")
            B = x.shape[-2]
            return step(z, self.initial_state(B) if state is None else self.check_state(state, B))

    def check_state(self, state: Any, B: int) -> Any:
        """The state, if its parts and their shapes are right."""
        expected = self.state[0] if len(self.state) == 1 else f"({', '.join(self.state)})"
        if isinstance(state, (list, dict)) or (isinstance(state, tuple) and len(self.state) == 1):
            give = f"one array {expected}" if len(self.state) == 1 else f"a tuple {expected}"
            raise ValueError(f"{type(self).__name__}: give {give} as the state, not a {type(state).__name__}")
        parts = state if isinstance(state, tuple) else (state,)
        shapes = [getattr(part, "shape", type(part).__name__) for part in parts]
        expected_shapes = [(B, n) for n in self.state_sizes]
        if shapes != expected_shapes:
            stacked = any(len(shape) == 3 for shape in shapes if isinstance(shape, tuple))
            hint = " (PyTorch stacks the states of all layers and directions; here each has its own)" * stacked
            raise ValueError(
                f"{type(self).__name__}: the state is {expected}, of shape {in_words(expected_shapes)}; got "
                f"{', '.join(map(str, shapes))}{hint}"
            )
        return state

    def _check_input(self, x: Any) -> None:
        shape = getattr(x, "shape", None)
        if shape is None or len(shape) not in (2, 3) or shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: expected x of shape (B, {self.input_size}) or (T, B, {self.input_size}), got "
                f"{shape if shape is not None else type(x).__name__}{input_hint(x, self.input_size)}"
            )


def input_hint(x: Any, D: int) -> str:
    """What may have gone wrong with inputs of another shape."""
    shape = getattr(x, "shape", ())
    if len(shape) == 3 and D in shape:
        return "; time is the first axis, and features the last: see transpose"
    if getattr(x, "dtype", np.dtype(float)).kind in "iu" and len(shape) < 3:
        return "; numbers of symbols become vectors in an nn.Embedding"
    return ""


def in_words(shapes: list[tuple[int, int]]) -> str:
    """The shapes of the parts of a state.

    >>> in_words([(2, 5), (2, 5)]), in_words([(2, 3), (2, 5)])
    ('(2, 5) each', '(2, 3) and (2, 5)')
    """
    if len(set(shapes)) > 1:
        return " and ".join(map(str, shapes))
    return f"{shapes[0]}{' each' * (len(shapes) > 1)}"


def recurrent(rng: np.random.Generator, rows: int, n: int, H: int, init: Init, dtype: Any) -> np.ndarray:
    """The first recurrent matrix, (rows, nH): n blocks side by side."""
    if init is None:
        return uniform(rng, (rows, n * H), H, dtype)
    need_float(dtype)
    named = {"orthogonal": initialisers.orthogonal, "identity": initialisers.identity}
    if callable(init):
        make = init
    elif isinstance(init, str) and init in named:
        make = named[init]
    elif isinstance(init, (int, float)) and not isinstance(init, bool):
        make = partial(initialisers.orthogonal, gain=init)
    else:
        raise ValueError("init= is 'orthogonal', 'identity', a number or a function (rng, shape) -> array, got "
                         f"{init!r}")
    return np.concatenate([make(rng, (rows, H)) for _ in range(n)], axis=1).astype(dtype)


def as_function(activation: Activation, who: str) -> Callable[[Any], Any]:
    """The function of that name, or the function itself."""
    if callable(activation):
        return activation
    if activation not in ("tanh", "relu"):
        raise ValueError(f"{who}: activation is 'tanh', 'relu' or a function, got {activation!r}")
    return {"tanh": tanh, "relu": relu}[activation]
