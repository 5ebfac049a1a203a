"""The LSTM with layer normalisation inside its step."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import mark
from microgradrnn.engine.rules.elementwise import sigmoid
from microgradrnn.engine.rules.shape import split
from microgradrnn.nn.cells.base import Step
from microgradrnn.nn.cells.lstm import LSTMCell
from microgradrnn.nn.normalisation import LayerNorm


class LayerNormLSTMCell(LSTMCell):
    """The LSTM with layer normalisation (Ba, Kiros & Hinton 2016). Blocks of U, W, b in the order i, f, g, o::

        i, f, o = σ(N(x U) + N(h W) + b)            g = tanh(N(x U) + N(h W) + b)
        c = f ⊙ c + i ⊙ g                           h = o ⊙ tanh(N(c))

    N brings its argument to mean 0 and variance 1, all four blocks together, and multiplies it by γ (`LayerNorm`); that
    of c adds β, too. c itself is not normalised, so that along c alone still ∂c_t/∂c_{t-1} = f_t.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        eps: ε of the three N, which keeps the gradient finite where all entries are equal, as at h_0 = 0.
        options: as for `LSTMCell`.

    >>> import numpy as np
    >>> h, c = LayerNormLSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, eps: float = 1e-5, dtype: Any = np.float64, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, dtype=dtype, **options)
        self.norm_x = LayerNorm(4 * hidden_size, eps, bias=False, dtype=dtype)
        self.norm_h = LayerNorm(4 * hidden_size, eps, bias=False, dtype=dtype)
        self.norm_c = LayerNorm(hidden_size, eps, dtype=dtype)

    def prepare(self, x: Any) -> tuple[Any, Step]:
        """N(x U) + b, for one step or all of them."""
        self._check_input(x)
        z = mark(self.norm_x(x @ self.U), "n_x")
        return z if self.b is None else z + self.b, self.step

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_i, z_f, z_g, z_o = split(z + mark(self.norm_h(h @ self.W), "n_h"), 4, axis=-1)
        i = mark(sigmoid(z_i), "i", role="gate")
        f = mark(sigmoid(z_f), "f", role="gate")
        g = mark(self.activation(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        c = mark(f * c + i * g, "c", role="cell")
        h = o * self.activation(mark(self.norm_c(c), "n_c"))
        return mark(h if self.P is None else h @ self.P, "h", role="hidden"), c
