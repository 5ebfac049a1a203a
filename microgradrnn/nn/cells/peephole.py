"""The LSTM with peepholes: its gates see the memory itself, not only what the output gate lets out."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import mark
from microgradrnn.engine.rules.elementwise import sigmoid
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.engine.rules.shape import split
from microgradrnn.nn.cells.lstm import LSTMCell
from microgradrnn.nn.module import Parameter, Rng, as_rng, uniform


class PeepholeLSTMCell(LSTMCell):
    """The LSTM with peepholes (Gers & Schmidhuber 2000). Blocks of U, W, b in the order i, f, g, o::

        i, f = σ(x U + h W + b + p ⊙ c)             g = tanh(x U + h W + b)
        c = f ⊙ c + i ⊙ g
        o = σ(x U + h W + b + p_o ⊙ c)              h = o ⊙ tanh(c)

    Each gate has its own p, one weight a unit. i and f see the last c, o the new one. So the gradient gets from c_t to
    c_{t-1} through the gates even where o is closed and no h comes out.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        options: as for `LSTMCell`.

    >>> import numpy as np
    >>> h, c = PeepholeLSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, rng: Rng = None, dtype: Any = np.float64, **options: Any
    ) -> None:
        H, rng = hidden_size, as_rng(rng)
        super().__init__(input_size, H, rng=rng, dtype=dtype, **options)
        self.p_i, self.p_f, self.p_o = (Parameter(uniform(rng, (H,), H, dtype)) for _ in range(3))

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_i, z_f, z_g, z_o = split(affine(h, self.W, z), 4, axis=-1)
        i = mark(sigmoid(z_i + self.p_i * c), "i", role="gate")
        f = mark(sigmoid(z_f + self.p_f * c), "f", role="gate")
        g = mark(self.activation(z_g), "g", role="candidate")
        c = mark(f * c + i * g, "c", role="cell")
        o = mark(sigmoid(z_o + self.p_o * c), "o", role="gate")
        h = o * self.activation(c)
        return mark(h if self.P is None else h @ self.P, "h", role="hidden"), c
