"""Cells without gates: the simple (Elman) net, its identity start (IRNN), Jordan's, and additive recurrence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from microgradrnn.engine import mark
from microgradrnn.engine.rules.linalg import affine
from microgradrnn.nn.cells.base import Activation, Cell, as_function
from microgradrnn.nn.module import Parameter, Rng, as_rng, need_sizes, uniform


class RNNCell(Cell):
    """The simple (Elman) net: ``z = x U + h W + b``, ``h = φ(z)``.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        activation: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, init, rng and dtype, as for every `Cell`.

    >>> import numpy as np
    >>> h = RNNCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape
    (2, 5)
    """

    blocks = 1
    name = "rnn"

    def __init__(self, input_size: int, hidden_size: int, *, activation: Activation = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = as_function(activation, "RNNCell")

    def step(self, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}."""
        z = mark(affine(h, self.W, z), "z")
        return mark(self.activation(z), "h", role="hidden")


class IRNNCell(RNNCell):
    """The simple net with ReLU that starts as a memory: ``W = I``, ``b = 0``, small U (Le, Jaitly & Hinton 2015).

    At the start ``h = ReLU(h + x U)``: what is positive stays as it is, and so does its gradient, for any number of
    steps. Training is free to change W.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        std: standard deviation of the entries of U at the start.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters.

    >>> import numpy as np
    >>> cell = IRNNCell(3, 2, std=0.0, rng=0)
    >>> cell(np.ones((1, 3)), np.array([[0.5, -0.5]])).data
    array([[0.5, 0. ]])
    """

    name = "irnn"

    def __init__(
        self, input_size: int, hidden_size: int, *, std: float = 0.1, rng: Rng = None, dtype: Any = np.float64
    ) -> None:
        D, H, rng = input_size, hidden_size, as_rng(rng)
        super().__init__(D, H, activation="relu", rng=rng, dtype=dtype)
        self.U.data = std * rng.standard_normal((D, H)).astype(dtype)
        self.W.data = np.eye(H, dtype=dtype)
        self.b = Parameter(np.zeros(H, dtype), symbol="b")

    @classmethod
    def from_concatenated(cls, W: Any, b: Any = None, **options: Any) -> Self:
        """Refused: an IRNN is its first weights."""
        raise ValueError("IRNNCell starts from the identity; give these weights to RNNCell with activation='relu'")


class JordanCell(Cell):
    """Output-to-hidden recurrence (Jordan 1986): all that a step hands on is what it said.

    ::

        z = x U + o W + b       h = φ(z)        o = h V + d

    The state, and what a layer puts out, is o (B, K), so W is (K, H): the past must pass through K numbers.

    Args:
        input_size, hidden_size, output_size: D, H and K of the equations, the lengths of the input, of the hidden layer
            and of the output.
        activation: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        feedback: what of o the next step reads: a function, `softmax` for instance; by default o itself.
        rng: a seed or a `numpy.random.Generator`.
        dtype: of the parameters.

    >>> import numpy as np
    >>> JordanCell(3, 5, 2, rng=0)(np.ones((4, 3))).shape
    (4, 2)
    """

    blocks = 1
    name = "jordan"
    state = ("o",)

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, *, activation: Activation = "tanh",
        feedback: Callable[[Any], Any] | None = None, rng: Rng = None, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        need_sizes("JordanCell", output_size=output_size)
        D, H, K, rng = input_size, hidden_size, output_size, as_rng(rng)
        self.output_size = K
        super().__init__(D, H, rng=rng, dtype=dtype)
        self.activation, self.feedback = as_function(activation, "JordanCell"), feedback
        self.V = Parameter(uniform(rng, (H, K), H, dtype), symbol="V")
        self.d = Parameter(uniform(rng, (K,), H, dtype), symbol="d")

    @classmethod
    def from_concatenated(cls, W: Any, b: Any = None, **options: Any) -> Self:
        """Refused: this cell reads no h."""
        raise ValueError("JordanCell reads its last output, not h: it has no weights for [h, x]")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """K, the length of o."""
        return (self.output_size,)

    def step(self, z: Any, o: Any) -> Any:
        """o_t from the net input and o_{t-1}."""
        said = o if self.feedback is None else self.feedback(o)
        h = mark(self.activation(mark(affine(said, self.W, z), "z")), "h", role="hidden")
        return mark(affine(h, self.V, self.d), "o", role="output")


class AdditiveCell(Cell):
    """Additive recurrence: each step adds to the state, and takes nothing away.

    ::

        h = h + g               g = φ(x U + b)              reads_state=False
                                g = φ(x U + h W + b)        reads_state=True

    Without the state in g, ∂h_t/∂h_{t-1} = I exactly, for any number of steps; but the net cannot tell the order of its
    inputs. With it, order is seen, and the Jacobian is I + ∂g/∂h: no longer lossless.

    Args:
        input_size, hidden_size: D and H of the equations, the lengths of the input and of the state.
        reads_state: does g read h_{t-1}?
        activation: ``"tanh"``, ``"relu"``, or any function of a Tensor.
        options: bias, init, rng and dtype, as for every `Cell`.

    Raises:
        ValueError: if ``init=`` is given without ``reads_state=True``: there is no W then.

    >>> import numpy as np
    >>> AdditiveCell(3, 5, rng=0)(np.ones((2, 3))).shape
    (2, 5)
    """

    blocks = 1
    name = "additive"

    def __init__(
        self, input_size: int, hidden_size: int, *, reads_state: bool = False, activation: Activation = "tanh",
        **options: Any,
    ) -> None:  # fmt: skip
        if not reads_state and options.get("init") is not None:
            raise ValueError("AdditiveCell: init= is where W starts, and without reads_state=True there is no W")
        super().__init__(input_size, hidden_size, **options)
        self.activation = as_function(activation, "AdditiveCell")
        self.reads_state = reads_state
        if not reads_state:
            del self.W

    @classmethod
    def from_concatenated(cls, W: Any, b: Any = None, **options: Any) -> Self:
        """As for every cell, with ``reads_state=True``."""
        if not options.get("reads_state"):
            raise ValueError("AdditiveCell reads no h, so it has no weights for [h, x], unless reads_state=True")
        return super().from_concatenated(W, b, **options)

    def step(self, z: Any, h: Any) -> Any:
        """h_t from the net input and h_{t-1}."""
        z = mark(affine(h, self.W, z) if self.reads_state else z, "z")
        g = mark(self.activation(z), "g", role="candidate")
        return mark(h + g, "h", role="hidden")
