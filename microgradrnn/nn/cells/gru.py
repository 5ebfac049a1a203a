"""The gated recurrent unit, in both conventions for its reset gate, and the minimal gated unit."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np

from microgradrnn.engine import mark
from microgradrnn.engine.rules.elementwise import sigmoid, tanh
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.engine.rules.shape import split
from microgradrnn.nn.cells.base import Cell, Step
from microgradrnn.nn.module import Parameter, Rng, as_rng, uniform


class GRUCell(Cell):
    """Gated recurrent unit. Blocks of U, W, b in the order r, z, n (PyTorch's)::

        r, z = σ(x U + h W + b)
        n = tanh(x U + (r ⊙ h) W + b)               reset="before"
        n = tanh(x U + b + r ⊙ (h W + b_n))         reset="after", PyTorch's and cuDNN's, with one more bias b_n
        h = z ⊙ h + (1 - z) ⊙ n                     z="keeps": z is how much is kept, as in PyTorch and Keras
        h = (1 - z) ⊙ h + z ⊙ n                     z="replaces": z is how much is replaced (Chung et al. 2014)

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        reset: does the reset gate act before or after the recurrent product?
        z: does the update gate say how much is kept, or how much is replaced? One is the other with the signs of its
            weights changed.
        bias: False leaves b and b_n out.
        options: init, rng and dtype, as for every `Cell`.

    Raises:
        ValueError: if reset or z is none of these.

    >>> import numpy as np
    >>> GRUCell(3, 5, reset="after", rng=0)(np.ones((2, 3))).shape
    (2, 5)
    """

    blocks = 3
    name = "gru"

    def __init__(
        self, input_size: int, hidden_size: int, *, reset: str = "before", z: str = "keeps", bias: bool = True,
        rng: Rng = None, dtype: Any = np.float64, **options: Any,
    ) -> None:  # fmt: skip
        if reset not in ("before", "after"):
            raise ValueError(f"GRUCell: reset is 'before' or 'after' (the recurrent product), got {reset!r}")
        if z not in ("keeps", "replaces"):
            raise ValueError(f"GRUCell: z is 'keeps' or 'replaces', got {z!r}")
        rng = as_rng(rng)
        super().__init__(input_size, hidden_size, bias=bias, rng=rng, dtype=dtype, **options)
        self.reset, self.z = reset, z
        H = hidden_size
        self.b_n = Parameter(uniform(rng, (H,), H, dtype), symbol="b_n") if bias and reset == "after" else None

    @classmethod
    def from_concatenated(cls, W: Any, b: Any = None, **options: Any) -> Self:
        """As for every cell; b_n, which such weights do not have, is 0."""
        cell = super().from_concatenated(W, b, **options)
        if cell.b_n is not None:
            cell.b_n.data = np.zeros_like(cell.b_n.data)
        return cell

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """The net input from x; for reset="before" also the blocks of W, cut once and not at every step."""
        z, step = super().prepare(x)
        if self.reset == "before":
            W_rz, W_n = split(self.W, [2 * self.hidden_size], axis=1)
            step = partial(self.step_before, mark(W_rz, "W_rz"), mark(W_n, "W_n"))
        return z, step

    def step_before(self, W_rz: Any, W_n: Any, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}, with the reset before the product."""
        z_rz, z_n = split(z, [2 * self.hidden_size], axis=-1)
        r, z = self.gates(affine(h, W_rz, z_rz))
        return self.next(z, h, mark(tanh(affine(r * h, W_n, z_n)), "n", role="candidate"))

    def step(self, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}, with the reset after the product."""
        z_rz, z_n = split(z, [2 * self.hidden_size], axis=-1)
        hW_rz, hW_n = split(h @ self.W, [2 * self.hidden_size], axis=-1)
        r, z = self.gates(z_rz + hW_rz)
        n = mark(tanh(z_n + r * (hW_n if self.b_n is None else hW_n + self.b_n)), "n", role="candidate")
        return self.next(z, h, n)

    def next(self, z: Any, h: Any, n: Any) -> Any:
        """h_t between h_{t-1} and the candidate."""
        new = z * h + (1 - z) * n if self.z == "keeps" else (1 - z) * h + z * n
        return mark(new, "h", role="hidden")

    def gates(self, z_rz: Any) -> tuple[Any, Any]:
        """r and z from their net inputs."""
        z_r, z_z = split(z_rz, 2, axis=-1)
        return mark(sigmoid(z_r), "r", role="gate"), mark(sigmoid(z_z), "z", role="gate")


class MGUCell(Cell):
    """Minimal gated unit (Zhou, Wu, Zhang & Zhou 2016). Blocks of U, W, b in the order f, n::

        f = σ(x U + h W + b)
        n = tanh(x U + (f ⊙ h) W + b)
        h = (1 - f) ⊙ h + f ⊙ n

    One gate does both: it is a GRU with r = f and z = 1 - f. Here f is how much is *replaced*.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        options: bias, init, rng and dtype, as for every `Cell`.

    >>> import numpy as np
    >>> MGUCell(3, 5, rng=0)(np.ones((2, 3))).shape
    (2, 5)
    """

    blocks = 2
    name = "mgu"

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """The net input from x, and the two blocks of W, cut once and not at every step."""
        z, _ = super().prepare(x)
        W_f, W_n = split(self.W, 2, axis=1)
        return z, partial(self.step_with, mark(W_f, "W_f"), mark(W_n, "W_n"))

    def step_with(self, W_f: Any, W_n: Any, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}."""
        z_f, z_n = split(z, 2, axis=-1)
        f = mark(sigmoid(affine(h, W_f, z_f)), "f", role="gate")
        n = mark(tanh(affine(f * h, W_n, z_n)), "n", role="candidate")
        return mark((1 - f) * h + f * n, "h", role="hidden")
