"""Recurrent cells: each is its equations (equations.md, section 1), and nothing more.

A cell maps ``(x_t, state) -> state``. Row vectors: x is (B, D), h and c are (B, H). U reads the input, W the previous
state. No cell knows how to differentiate itself: that is the engine's business, for any cell.

What does not need the state (the input product, the blocks of W) is worked out by `prepare`, once for all steps;
``step`` does the rest at each step. ``cell(x, state)`` is the two together. ``affine(h, W, z)`` is ``h W + z``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from microgradrnn.engine import mark, scope
from microgradrnn.engine.rules.elementwise import relu, sigmoid, tanh
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.engine.rules.shape import split
from microgradrnn.nn.module import Module, Parameter, Rng, as_rng, need_sizes, uniform

Step = Callable[[Any, Any], Any]


class Cell(Module):
    """What the cells share: parameters U (D, nH), W (H, nH), b (nH), n blocks side by side."""

    blocks: int
    name: str
    state: tuple[str, ...] = ("h",)

    def __init__(self, D: int, H: int, *, rng: Rng = None, dtype: Any = np.float64) -> None:
        need_sizes(type(self).__name__, D=D, H=H)
        rng = as_rng(rng)
        self.D, self.H = D, H
        n = self.blocks
        self.U = Parameter(uniform(rng, (D, n * H), H, dtype), symbol="U")
        self.W = Parameter(uniform(rng, (H, n * H), H, dtype), symbol="W")
        self.b = Parameter(uniform(rng, (n * H,), H, dtype), symbol="b")

    def initial_state(self, B: int) -> Any:
        """h_0 = 0."""
        return np.zeros((B, self.H), self.W.dtype)

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """The net input from x, for one step (B, D) or all of them (T, B, D), and the step that uses it."""
        self._check_input(x)
        return affine(x, self.U, self.b), self.step

    def step(self, z: Any, state: Any) -> Any:
        """One step: the net input from x and the last state to the next state."""
        raise NotImplementedError

    def __call__(self, x: Any, state: Any = None) -> Any:
        with scope(self.name):
            z, step = self.prepare(x)
            B = x.shape[-2]
            return step(z, self.initial_state(B) if state is None else self.check_state(state, B))

    def check_state(self, state: Any, B: int) -> Any:
        """The state, if its parts and their shapes are right."""
        parts = state if isinstance(state, tuple) else (state,)
        shapes = [getattr(part, "shape", None) for part in parts]
        if shapes != [(B, self.H)] * len(self.state):
            expected = self.state[0] if len(self.state) == 1 else f"({', '.join(self.state)})"
            raise ValueError(
                f"{type(self).__name__}: the state is {expected}, of shape {(B, self.H)}"
                f"{' each' * (len(self.state) > 1)}; got {', '.join(map(str, shapes))}"
            )
        return state

    def _check_input(self, x: Any) -> None:
        shape = getattr(x, "shape", None)
        if shape is None or len(shape) not in (2, 3) or shape[-1] != self.D:
            raise ValueError(
                f"{type(self).__name__}: expected x of shape (B, {self.D}) or (T, B, {self.D}), got "
                f"{shape if shape is not None else type(x).__name__}"
            )


class RNNCell(Cell):
    """The simple (Elman) net: ``z = x U + h W + b``, ``h = φ(z)``.

    Args:
        D, H: lengths of the input and of the state.
        activation: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters.

    >>> import numpy as np
    >>> h = RNNCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape
    (2, 5)
    """

    blocks = 1
    name = "rnn"

    def __init__(self, D: int, H: int, *, activation: str | Callable[[Any], Any] = "tanh", rng: Rng = None,
                 dtype: Any = np.float64) -> None:
        super().__init__(D, H, rng=rng, dtype=dtype)
        if isinstance(activation, str) and activation not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: activation is 'tanh', 'relu' or a function, got {activation!r}")
        self.activation = {"tanh": tanh, "relu": relu}[activation] if isinstance(activation, str) else activation

    def step(self, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}."""
        z = mark(affine(h, self.W, z), "z")
        return mark(self.activation(z), "h", role="hidden")


class LSTMCell(Cell):
    """Long short-term memory. Blocks of U, W, b in the order i, f, g, o (PyTorch's)::

        i, f, o = σ(x U + h W + b)      g = tanh(x U + h W + b)
        c = f ⊙ c + i ⊙ g               h = o ⊙ tanh(c)

    The state is the pair (h, c). Along c alone, ∂c_t/∂c_{t-1} = f_t.

    Args:
        D, H: lengths of the input and of the state.
        forget_bias: where the forget gate's bias starts; 1 keeps σ(1) = 73 % of c a step.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters.

    >>> import numpy as np
    >>> h, c = LSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    blocks = 4
    name = "lstm"
    state = ("h", "c")

    def __init__(self, D: int, H: int, *, forget_bias: float = 1.0, rng: Rng = None, dtype: Any = np.float64) -> None:
        super().__init__(D, H, rng=rng, dtype=dtype)
        b = np.array(self.b.data)
        b[H : 2 * H] = forget_bias
        self.b.data = b

    def initial_state(self, B: int) -> Any:
        """h_0 = 0, c_0 = 0."""
        return super().initial_state(B), super().initial_state(B)

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_i, z_f, z_g, z_o = split(affine(h, self.W, z), 4, axis=-1)
        i = mark(sigmoid(z_i), "i", role="gate")
        f = mark(sigmoid(z_f), "f", role="gate")
        g = mark(tanh(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        c = mark(f * c + i * g, "c", role="cell")
        h = mark(o * tanh(c), "h", role="hidden")
        return h, c


class GRUCell(Cell):
    """Gated recurrent unit. Blocks of U, W, b in the order r, z, n (PyTorch's)::

        r, z = σ(x U + h W + b)
        n = tanh(x U + (r ⊙ h) W + b)               reset="before"
        n = tanh(x U + b + r ⊙ (h W + b_n))         reset="after", PyTorch's and cuDNN's, with one more bias b_n
        h = z ⊙ h + (1 - z) ⊙ n                     z is how much is kept

    Args:
        D, H: lengths of the input and of the state.
        reset: does the reset gate act before or after the recurrent product?
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters.

    >>> import numpy as np
    >>> GRUCell(3, 5, reset="after", rng=0)(np.ones((2, 3))).shape
    (2, 5)
    """

    blocks = 3
    name = "gru"

    def __init__(
        self, D: int, H: int, *, reset: str = "before", rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        if reset not in ("before", "after"):
            raise ValueError(f"GRUCell: reset is 'before' or 'after' (the recurrent product), got {reset!r}")
        rng = as_rng(rng)
        super().__init__(D, H, rng=rng, dtype=dtype)
        self.reset = reset
        if reset == "after":
            self.b_n = Parameter(uniform(rng, (H,), H, dtype), symbol="b_n")

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """The net input from x; for reset="before" also the blocks of W, cut once and not at every step."""
        z, step = super().prepare(x)
        if self.reset == "before":
            W_rz, W_n = split(self.W, [2 * self.H], axis=1)
            step = partial(self.step_before, mark(W_rz, "W_rz"), mark(W_n, "W_n"))
        return z, step

    def step_before(self, W_rz: Any, W_n: Any, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}, with the reset before the product."""
        z_rz, z_n = split(z, [2 * self.H], axis=-1)
        r, z = self.gates(affine(h, W_rz, z_rz))
        n = mark(tanh(affine(r * h, W_n, z_n)), "n", role="candidate")
        return mark(z * h + (1 - z) * n, "h", role="hidden")

    def step(self, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}, with the reset after the product."""
        z_rz, z_n = split(z, [2 * self.H], axis=-1)
        hW_rz, hW_n = split(h @ self.W, [2 * self.H], axis=-1)
        r, z = self.gates(z_rz + hW_rz)
        n = mark(tanh(z_n + r * (hW_n + self.b_n)), "n", role="candidate")
        return mark(z * h + (1 - z) * n, "h", role="hidden")

    def gates(self, z_rz: Any) -> tuple[Any, Any]:
        """r and z from their net inputs."""
        z_r, z_z = split(z_rz, 2, axis=-1)
        return mark(sigmoid(z_r), "r", role="gate"), mark(sigmoid(z_z), "z", role="gate")
