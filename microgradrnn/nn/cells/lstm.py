"""The LSTM, and three variants: the one of 1997, one with a gate that does nothing, and one with coupled gates."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import mark
from microgradrnn.engine.rules.elementwise import sigmoid
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.engine.rules.shape import split
from microgradrnn.nn.cells.base import Activation, Cell, as_function


class LSTMCell(Cell):
    """Long short-term memory. Blocks of U, W, b in the order i, f, g, o (PyTorch's)::

        i, f, o = σ(x U + h W + b)      g = tanh(x U + h W + b)
        c = f ⊙ c + i ⊙ g               h = o ⊙ tanh(c)

    The state is the pair (h, c). Along c alone, ∂c_t/∂c_{t-1} = f_t.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        forget_bias: where the forget gate's bias starts; 1 keeps σ(1) = 73 % of c a step.
        activation: of the candidate g and of the read-out of c: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, rng and dtype, as for the other cells.

    >>> import numpy as np
    >>> h, c = LSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    blocks = 4
    name = "lstm"
    state = ("h", "c")

    def __init__(
        self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0, activation: Activation = "tanh",
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, **options)
        self.activation = as_function(activation, type(self).__name__)
        if self.b is None and forget_bias != 1.0:
            raise ValueError(f"{type(self).__name__}: forget_bias={forget_bias!r} is where the bias of the forget gate "
                             "starts, and bias=False leaves the biases out; give one of the two")
        if self.b is not None:
            b = np.array(self.b.data)
            b[hidden_size : 2 * hidden_size] = forget_bias
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
        g = mark(self.activation(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        c = mark(f * c + i * g, "c", role="cell")
        h = mark(o * self.activation(c), "h", role="hidden")
        return h, c


class UpdateGateLSTMCell(LSTMCell):
    """The LSTM with one more gate, as one source lists it. Blocks in the order i, f, g, o, u::

        i, f, o, u = σ(x U + h W + b)   g = tanh(x U + h W + b)
        c = f ⊙ c + i ⊙ g               h = o ⊙ tanh(c)

    u is worked out and never used. No gradient can reach what only it reads: those are exactly 0, and in a picture of
    the graph nothing leads from u to the loss.

    >>> from microgradrnn import nn
    >>> import numpy as np
    >>> cell = nn.UpdateGateLSTMCell(3, 5, rng=0)
    >>> cell(np.ones((2, 3)))[0].sum().backward()
    >>> float(abs(cell.b.grad[-5:]).max())
    0.0
    """

    blocks = 5

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_i, z_f, z_g, z_o, z_u = split(affine(h, self.W, z), 5, axis=-1)
        i = mark(sigmoid(z_i), "i", role="gate")
        f = mark(sigmoid(z_f), "f", role="gate")
        g = mark(self.activation(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        mark(sigmoid(z_u), "u", role="gate")  # nothing reads it
        c = mark(f * c + i * g, "c", role="cell")
        h = mark(o * self.activation(c), "h", role="hidden")
        return h, c


class CarouselLSTMCell(LSTMCell):
    """The LSTM of 1997 (Hochreiter & Schmidhuber), before it had a forget gate. Blocks in the order i, g, o::

        i, o = σ(x U + h W + b)         g = tanh(x U + h W + b)
        c = c + i ⊙ g                   h = o ⊙ tanh(c)

    The "constant error carousel": along c alone, ∂c_t/∂c_{t-1} = 1, for any number of steps.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        activation: of the candidate g and of the read-out of c: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, rng and dtype, as for the other cells.

    >>> import numpy as np
    >>> h, c = CarouselLSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    blocks = 3

    def __init__(self, input_size: int, hidden_size: int, *, activation: Activation = "tanh", **options: Any) -> None:
        Cell.__init__(self, input_size, hidden_size, **options)
        self.activation = as_function(activation, "CarouselLSTMCell")

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_i, z_g, z_o = split(affine(h, self.W, z), 3, axis=-1)
        i = mark(sigmoid(z_i), "i", role="gate")
        g = mark(self.activation(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        c = mark(c + i * g, "c", role="cell")
        h = mark(o * self.activation(c), "h", role="hidden")
        return h, c


class CoupledLSTMCell(LSTMCell):
    """The LSTM with coupled gates (CIFG; Greff et al. 2017): one gate u both forgets and writes. Blocks u, g, o::

        u, o = σ(x U + h W + b)         g = tanh(x U + h W + b)
        c = (1 - u) ⊙ c + u ⊙ g         h = o ⊙ tanh(c)

    What `UpdateGateLSTMCell` may have meant. Each step takes a weighted mean: with tanh, c never leaves ±1.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        activation: of the candidate g and of the read-out of c: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, rng and dtype, as for the other cells.

    >>> import numpy as np
    >>> h, c = CoupledLSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    blocks = 3

    def __init__(self, input_size: int, hidden_size: int, *, activation: Activation = "tanh", **options: Any) -> None:
        Cell.__init__(self, input_size, hidden_size, **options)
        self.activation = as_function(activation, "CoupledLSTMCell")

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_u, z_g, z_o = split(affine(h, self.W, z), 3, axis=-1)
        u = mark(sigmoid(z_u), "u", role="gate")
        g = mark(self.activation(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        c = mark((1 - u) * c + u * g, "c", role="cell")
        h = mark(o * self.activation(c), "h", role="hidden")
        return h, c
