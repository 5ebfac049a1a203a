"""The LSTM, and three variants: the one of 1997, one with a gate that does nothing, and one with coupled gates."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradrnn.engine import mark
from microgradrnn.engine.rules.elementwise import sigmoid
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.engine.rules.shape import split
from microgradrnn.nn import init
from microgradrnn.nn.cells.base import Activation, Cell, as_function
from microgradrnn.nn.module import Parameter, Rng, as_rng, need_sizes, uniform


class LSTMCell(Cell):
    """Long short-term memory. Blocks of U, W, b in the order i, f, g, o (PyTorch's)::

        i, f, o = σ(x U + h W + b)      g = tanh(x U + h W + b)
        c = f ⊙ c + i ⊙ g               h = o ⊙ tanh(c)

    The state is the pair (h, c). Along c alone, ∂c_t/∂c_{t-1} = f_t. With ``proj_size=R`` (Sak, Senior & Beaufays 2014)
    ``h = (o ⊙ tanh(c)) P`` has only R entries, so that W is (R, 4H): a large memory behind a small output.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        proj_size: R, the length of h; 0 for no projection.
        forget_bias: where the forget gate's bias starts; 1 keeps σ(1) = 73 % of c a step.
        chrono: the longest lag that is to be remembered, in steps (Tallec & Ollivier 2018): the biases of the forget
            gate start at `nn.init.chrono`, those of the input gate at minus that, in the place of `forget_bias`.
        activation: of the candidate g and of the read-out of c: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, init, rng and dtype, as for every `Cell`.

    Raises:
        ValueError: if the first forget bias is given and ``bias=False``.

    >>> import numpy as np
    >>> h, c = LSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    >>> h, c = LSTMCell(3, 5, proj_size=2, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 2), (2, 5))
    """

    blocks = 4
    name = "lstm"
    state = ("h", "c")

    def __init__(
        self, input_size: int, hidden_size: int, *, proj_size: int = 0, forget_bias: float = 1.0,
        chrono: int | None = None, activation: Activation = "tanh", bias: bool = True, rng: Rng = None,
        dtype: Any = np.float64, **options: Any,
    ) -> None:  # fmt: skip
        H, R, rng = hidden_size, proj_size, as_rng(rng)
        if R:
            need_sizes(type(self).__name__, proj_size=R)
        self.proj_size = R
        super().__init__(input_size, H, bias=bias, rng=rng, dtype=dtype, **options)
        self.P = Parameter(uniform(rng, (H, R), H, dtype), symbol="P") if R else None
        self.activation = as_function(activation, type(self).__name__)
        if not bias and (forget_bias != 1.0 or chrono is not None):
            said = f"forget_bias={forget_bias!r}" if chrono is None else f"chrono={chrono!r}"
            raise ValueError(f"{type(self).__name__}: {said} is where the bias of the forget gate starts, and "
                             "bias=False leaves the biases out; give one of the two")
        if self.b is not None:
            b = np.array(self.b.data)
            b[H : 2 * H] = forget_bias if chrono is None else init.chrono(rng, (H,), chrono)
            if chrono is not None:
                b[:H] = -b[H : 2 * H]
            self.b.data = b

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """R, or H without a projection, for h; H for c."""
        return self.proj_size or self.hidden_size, self.hidden_size

    def step(self, z: Any, state: Any) -> Any:
        """(h_t, c_t) from the net input and (h_{t-1}, c_{t-1})."""
        h, c = state
        z_i, z_f, z_g, z_o = split(affine(h, self.W, z), 4, axis=-1)
        i = mark(sigmoid(z_i), "i", role="gate")
        f = mark(sigmoid(z_f), "f", role="gate")
        g = mark(self.activation(z_g), "g", role="candidate")
        o = mark(sigmoid(z_o), "o", role="gate")
        c = mark(f * c + i * g, "c", role="cell")
        h = o * self.activation(c)
        return mark(h if self.P is None else h @ self.P, "h", role="hidden"), c


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
        h = o * self.activation(c)
        return mark(h if self.P is None else h @ self.P, "h", role="hidden"), c


class CarouselLSTMCell(Cell):
    """The LSTM of 1997 (Hochreiter & Schmidhuber), before it had a forget gate. Blocks in the order i, g, o::

        i, o = σ(x U + h W + b)         g = tanh(x U + h W + b)
        c = c + i ⊙ g                   h = o ⊙ tanh(c)

    The "constant error carousel": along c alone, ∂c_t/∂c_{t-1} = 1, for any number of steps.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        activation: of the candidate g and of the read-out of c: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, init, rng and dtype, as for every `Cell`.

    >>> import numpy as np
    >>> h, c = CarouselLSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    blocks = 3
    name = "lstm"
    state = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, activation: Activation = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
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


class CoupledLSTMCell(Cell):
    """The LSTM with coupled gates (CIFG; Greff et al. 2017): one gate u both forgets and writes. Blocks u, g, o::

        u, o = σ(x U + h W + b)         g = tanh(x U + h W + b)
        c = (1 - u) ⊙ c + u ⊙ g         h = o ⊙ tanh(c)

    What `UpdateGateLSTMCell` may have meant. Each step takes a weighted mean: with tanh, c never leaves ±1.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        activation: of the candidate g and of the read-out of c: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, init, rng and dtype, as for every `Cell`.

    >>> import numpy as np
    >>> h, c = CoupledLSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    blocks = 3
    name = "lstm"
    state = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, activation: Activation = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
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
