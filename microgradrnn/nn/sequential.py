"""Layers one after the other, and what stands between them: activations and dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from microgradrnn.engine import scope
from microgradrnn.engine.rules import elementwise as e
from microgradrnn.engine.rules.random import dropout
from microgradrnn.nn.module import Module, as_array


class Sequential(Module):
    """``layers[n](... layers[1](layers[0](x)))``.

    Args:
        layers: modules or functions, in the order in which they are applied.

    Raises:
        TypeError: if a layer is neither a module nor a function.

    >>> import numpy as np
    >>> import microgradrnn as mg
    >>> from microgradrnn import nn
    >>> net = nn.Sequential(nn.Linear(3, 8, rng=0), mg.tanh, nn.Linear(8, 2, rng=1))
    >>> net(np.ones((5, 3))).shape, len(net), [name for name, _ in net[0].named_parameters()]
    ((5, 2), 3, ['V', 'd'])
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for k, layer in enumerate(layers):
            if isinstance(layer, (list, tuple, dict)):
                raise TypeError(f"Sequential: give the layers one by one, not as a {type(layer).__name__}: "
                                "Sequential(*layers)")
            if isinstance(layer, type) or not callable(layer):
                what = f"the class {layer.__name__}" if isinstance(layer, type) else f"a {type(layer).__name__}"
                hint = f"; write nn.{layer.__name__}(...)" if isinstance(layer, type) else ""
                raise TypeError(f"Sequential: a layer is a module or a function; layer {k} is {what}{hint}")
        self.layers = list(layers)

    def __call__(self, x: Any) -> Any:
        for k, layer in enumerate(self.layers):
            if isinstance(x, tuple):
                raise TypeError(f"Sequential: layer {k - 1}, {type(self.layers[k - 1]).__name__}, returns "
                                f"{len(x)} things, and layer {k} takes one; with a recurrent layer write a Module, and "
                                "in its __call__: hs, state = self.rnn(xs)")
            with scope(f"layers.{k}"):
                x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: Any) -> Any:
        return Sequential(*self.layers[k]) if isinstance(k, slice) else self.layers[k]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)


class Dropout(Module):
    """x with each entry set to 0 with probability p and the others divided by (1 - p), while the net is trained.

    In a net, ``net.train()`` turns it on and ``net.eval()`` off. (Until one of them is called, it refuses to guess.)
    By itself, a call with ``rng=`` drops.

    Args:
        p: in [0, 1).

    Raises:
        ValueError: if p is outside of [0, 1).

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> drop, x = nn.Dropout(0.5), np.ones(6)
    >>> drop(x, rng=np.random.default_rng(0)).tolist(), drop.eval()(x).tolist()
    ([2.0, 0.0, 0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """

    def __init__(self, p: float = 0.5) -> None:
        if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not 0 <= p < 1:
            raise ValueError(f"Dropout: p must lie in [0, 1), got {p!r}")
        self.p = float(p)

    def __call__(self, x: Any, *, rng: np.random.Generator | None = None) -> Any:
        x = as_array(x, "Dropout")
        if rng is None and self.training is None and self.p:
            raise ValueError("Dropout: is this training or evaluation? Call net.train() before training, or "
                             "net.train(rng=0) for a run that can be repeated, and net.eval() before evaluation")
        rng = self.noise(rng)
        return x if rng is None or not self.p else dropout(x, self.p, rng=rng)


class Tanh(Module):
    """``microgradrnn.tanh`` as a module.

    >>> import numpy as np
    >>> Tanh()(np.zeros(2))
    array([0., 0.])
    """

    def __call__(self, x: Any) -> Any:
        return e.tanh(as_array(x, "Tanh"))


class ReLU(Module):
    """``microgradrnn.relu`` as a module.

    >>> import numpy as np
    >>> ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __call__(self, x: Any) -> Any:
        return e.relu(as_array(x, "ReLU"))


class Sigmoid(Module):
    """``microgradrnn.sigmoid`` as a module.

    >>> import numpy as np
    >>> Sigmoid()(np.zeros(2))
    array([0.5, 0.5])
    """

    def __call__(self, x: Any) -> Any:
        return e.sigmoid(as_array(x, "Sigmoid"))
