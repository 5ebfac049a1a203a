"""Nets of single numbers: micrograd's Neuron, Layer and MLP, and recurrent cells of one unit, all on `Value`.

For reading and for small pictures. ``from microgradrnn.nn.scalar import Neuron, Layer, MLP`` takes the place of
``from micrograd.nn import Neuron, Layer, MLP``: same arguments, same parameters in the same order, and the same random
numbers (those of Python's `random`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from microgradrnn.engine import Value, mark, scope
from microgradrnn.engine.rules.elementwise import sigmoid, tanh
from microgradrnn.nn import module


class Module(module.Module):
    """micrograd's Module: something with ``parameters()`` and ``zero_grad()``."""


class Neuron(Module):
    """``relu(w · x + b)``, or without the relu.

    Args:
        nin: how many inputs.
        nonlin: False leaves the relu out.

    >>> neuron = Neuron(2)
    >>> for p, value in zip(neuron.parameters(), (2.0, -1.0, 0.5)):
    ...     p.data = value
    >>> neuron([3.0, 4.0]).data
    2.5
    """

    def __init__(self, nin: int, nonlin: bool = True) -> None:
        self.w = [mark(Value(random.uniform(-1, 1)), f"w{j}", role="parameter") for j in range(nin)]
        self.b = mark(Value(0), "b", role="parameter")
        self.nonlin = nonlin

    def __call__(self, x: Sequence[Any]) -> Any:
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=False)), self.b)
        return act.relu() if self.nonlin else act

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """Neurons side by side.

    Args:
        nin, nout: how many inputs and neurons.
        options: of `Neuron`.

    >>> Layer(2, 3)
    Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)]
    """

    def __init__(self, nin: int, nout: int, **options: Any) -> None:
        self.neurons = [Neuron(nin, **options) for _ in range(nout)]

    def __call__(self, x: Sequence[Any]) -> Any:
        out = []
        for j, neuron in enumerate(self.neurons):
            with scope(f"neurons.{j}"):
                out.append(neuron(x))
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(str(n) for n in self.neurons)}]"


class MLP(Module):
    """Layers on top of each other; the last one is linear.

    Args:
        nin: how many inputs.
        nouts: how many neurons in each layer.

    >>> MLP(2, [2, 1])
    MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]
    """

    def __init__(self, nin: int, nouts: Sequence[int]) -> None:
        sizes = [nin, *nouts]
        self.layers = [Layer(sizes[i], sizes[i + 1], nonlin=i != len(nouts) - 1) for i in range(len(nouts))]

    def __call__(self, x: Any) -> Any:
        for j, layer in enumerate(self.layers):
            with scope(f"layers.{j}"):
                x = layer(x)
        return x

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"


# --------------------------------------------------------------------------------------------- recurrent, of one unit
class NetInput(Module):
    """``x · u + h w + b``, with its own weights: what every gate begins with."""

    def __init__(self, nin: int, of: str, bias: float = 0.0) -> None:
        self.u = [mark(Value(random.uniform(-1, 1)), f"u_{of}", role="parameter") for _ in range(nin)]
        self.w = mark(Value(random.uniform(-1, 1)), f"w_{of}", role="parameter")
        self.b = mark(Value(bias), f"b_{of}", role="parameter")

    def __call__(self, x: Sequence[Any], h: Any) -> Any:
        x = [x] if isinstance(x, Value) else x  # what one unit below puts out
        if len(x) != len(self.u):
            raise ValueError(f"this cell reads {len(self.u)} numbers a step, got {len(x)}")
        return sum((ui * xi for ui, xi in zip(self.u, x, strict=True)), h * self.w + self.b)


class RNNNeuron(Module):
    """One unit of the simple net: ``h = tanh(x · u + w h + b)``. The state is the number h.

    >>> from microgradrnn import nn
    >>> hs, h = nn.unroll(RNNNeuron(2), [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> len(hs), h is hs[-1]
    (3, True)
    """

    name = "rnn"

    def __init__(self, nin: int) -> None:
        self.z = NetInput(nin, "h")

    def initial_state(self, B: int = 1) -> float:
        """h_0 = 0."""
        return 0.0

    def __call__(self, x: Sequence[Any], h: Any) -> Any:
        with scope(self.name):
            return mark(tanh(mark(self.z(x, h), "z")), "h", role="hidden")


class LSTMNeuron(Module):
    """One unit of an LSTM. The state is the pair of numbers (h, c).

    Args:
        nin: how many inputs.
        forget_bias: where the forget gate's bias starts.

    >>> from microgradrnn import nn
    >>> hs, (h, c) = nn.unroll(LSTMNeuron(2), [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> h.symbol, c.symbol
    ('h', 'c')
    """

    name = "lstm"

    def __init__(self, nin: int, forget_bias: float = 1.0) -> None:
        self.z_i, self.z_f = NetInput(nin, "i"), NetInput(nin, "f", forget_bias)
        self.z_g, self.z_o = NetInput(nin, "g"), NetInput(nin, "o")

    def initial_state(self, B: int = 1) -> tuple[float, float]:
        """h_0 = 0, c_0 = 0."""
        return 0.0, 0.0

    def __call__(self, x: Sequence[Any], state: Any) -> Any:
        h, c = state
        with scope(self.name):
            i = mark(sigmoid(self.z_i(x, h)), "i", role="gate")
            f = mark(sigmoid(self.z_f(x, h)), "f", role="gate")
            g = mark(tanh(self.z_g(x, h)), "g", role="candidate")
            o = mark(sigmoid(self.z_o(x, h)), "o", role="gate")
            c = mark(f * c + i * g, "c", role="cell")
            h = mark(o * tanh(c), "h", role="hidden")
        return h, c


class GRUNeuron(Module):
    """One unit of a GRU, its reset before the product. The state is the number h.

    >>> from microgradrnn import nn
    >>> hs, h = nn.unroll(GRUNeuron(2), [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> h.symbol, h.role
    ('h', 'hidden')
    """

    name = "gru"

    def __init__(self, nin: int) -> None:
        self.z_r, self.z_z, self.z_n = NetInput(nin, "r"), NetInput(nin, "z"), NetInput(nin, "n")

    def initial_state(self, B: int = 1) -> float:
        """h_0 = 0."""
        return 0.0

    def __call__(self, x: Sequence[Any], h: Any) -> Any:
        with scope(self.name):
            r = mark(sigmoid(self.z_r(x, h)), "r", role="gate")
            z = mark(sigmoid(self.z_z(x, h)), "z", role="gate")
            n = mark(tanh(self.z_n(x, r * h)), "n", role="candidate")
            return mark(z * h + (1 - z) * n, "h", role="hidden")
