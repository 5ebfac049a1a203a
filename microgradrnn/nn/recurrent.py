"""Recurrent layers: cells, unrolled; on top of each other, in both directions, or both."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from microgradrnn.engine import scope
from microgradrnn.engine.node import plain
from microgradrnn.engine.rules.random import dropout as drop
from microgradrnn.engine.rules.shape import concat, swapaxes
from microgradrnn.nn.cells import Cell, GRUCell, IRNNCell, LSTMCell, MGUCell, RNNCell
from microgradrnn.nn.compiling import explain
from microgradrnn.nn.module import Module, Rng, as_array, as_rng, need_sizes
from microgradrnn.nn.unroll import CellLike, unroll

DIRECTIONS = ("forwards", "backwards")


class Recurrent(Module):
    """A net of any cells: each layer is a cell unrolled over the outputs of the layer below.

    A layer is one cell, or a pair of cells: one runs forwards in time, the other backwards, and their outputs stand
    side by side, (T, B, 2H). The layer above reads both (as in PyTorch). Two stacks that meet only at the end, the
    other reading of "deep bidirectional", are ``concat([ahead(xs)[0], back(xs, reverse=True)[0]], axis=-1)``.

    Args:
        layers: the cells, from the input up: each a cell or a pair of cells. Any function ``(x_t, state) -> state``
            is a cell. Weights that such a function uses get their gradients, but ``parameters()`` cannot see into it:
            write a `Module` with ``__call__(x_t, state)`` to have them found, trained and saved.
        dropout: the share of each layer's outputs, but the last one's, that is set to 0 in a call with ``rng=``,
            and after ``train()`` in every call.
        batch_first: inputs and outputs are (B, T, D) and (B, T, H), as many data sets are; by default time comes first,
            (T, B, D). It is a matter of axes alone. States are (B, H) either way.

    Attributes:
        cell: the cell, if there is just one; otherwise
        layers: a list with a cell, or a dict of the cells ``forwards`` and ``backwards``, for each layer.

    Raises:
        ValueError: if there is no cell, a layer has more than two, or dropout is outside of [0, 1).
        TypeError: if a layer is not made of cells.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> net = Recurrent((nn.MGUCell(3, 5), nn.RNNCell(3, 4)), nn.LSTMCell(9, 6))
    >>> hs, ((ahead, back), (h, c)) = net(np.ones((7, 2, 3)), lengths=[7, 4])
    >>> hs.shape, ahead.shape, back.shape, c.shape
    ((7, 2, 6), (2, 5), (2, 4), (2, 6))
    """

    def __init__(
        self, *layers: CellLike | tuple[CellLike, CellLike], dropout: float = 0.0, batch_first: bool = False
    ) -> None:
        if not layers:
            raise ValueError("Recurrent: give at least one cell")
        for layer in layers:
            if isinstance(layer, tuple) and len(layer) != 2:
                raise ValueError(f"Recurrent: a layer is one cell or a pair (forwards, backwards), got {len(layer)} "
                                 "cells; layers on top of each other are arguments of their own: Recurrent(a, b, c)")
            for cell in layer if isinstance(layer, tuple) else (layer,):
                if isinstance(cell, (Recurrent, type)) or not callable(cell):
                    what = f"the class {cell.__name__}" if isinstance(cell, type) else f"a {type(cell).__name__}"
                    raise TypeError(f"Recurrent: a layer is made of cells, such as nn.LSTMCell(3, 5), got {what}")
        if not 0 <= dropout < 1:
            raise ValueError(f"Recurrent: dropout must lie in [0, 1), got {dropout!r}")
        if dropout and len(layers) == 1:
            warnings.warn(f"dropout={dropout!r} acts between layers, and there is only one", stacklevel=2)
        self.dropout, self.batch_first = dropout, batch_first
        if len(layers) == 1 and not isinstance(layers[0], tuple):
            self.cell: Any = layers[0]
        else:
            self.layers = [
                dict(zip(DIRECTIONS, layer, strict=True)) if isinstance(layer, tuple) else layer for layer in layers
            ]

    def cells(self) -> Iterator[tuple[int, str, Any]]:
        """Every cell with its layer, from 0 up, and its direction, ``"forwards"`` or ``"backwards"``."""
        for k, layer in enumerate(getattr(self, "layers", None) or [self.cell]):
            for direction, cell in layer.items() if isinstance(layer, dict) else [(DIRECTIONS[0], layer)]:
                yield k, direction, cell

    def __call__(
        self, xs: Any, state: Any = None, *, lengths: Any = None, mask: Any = None, reset: Any = None,
        reverse: bool = False, checkpoint: bool | int = False, compiled: bool | str | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Run the net over sequences.

        Args:
            xs: the inputs, time first: (T, B, D); with `batch_first` (B, T, D).
            state: the first state, zeros by default. One layer: its cell's, or the pair for both directions. Several:
                a tuple, one a layer. The last state comes back in the same form.
            lengths, mask, reset, reverse, checkpoint, compiled: as in `unroll`; with `batch_first` mask and reset are
                (B, T).
            rng: the generator that dropout draws from in this call. Without one nothing is dropped, which is how to
                evaluate, unless ``train()`` was called: then it draws from the generator given there.

        Returns:
            The outputs of the last layer (T, B, H) or (T, B, 2H), with `batch_first` (B, T, H) or (B, T, 2H), and the
            last states.
        """
        options = {"lengths": lengths, "checkpoint": checkpoint, "compiled": compiled}
        for name, flags in (("mask", mask), ("reset", reset)):
            if flags is not None:
                options[name] = np.swapaxes(plain(flags), 0, 1) if self.batch_first else flags
        if self.batch_first:
            hs, last = self._run(self._time_first(xs), state, reverse, rng, options)
            return swapaxes(hs, 0, 1), last
        return self._run(xs, state, reverse, rng, options)

    def _run(
        self, xs: Any, state: Any, reverse: bool, rng: np.random.Generator | None, options: dict[str, Any]
    ) -> tuple[Any, Any]:
        """The outputs of the last layer, time first, and the last states."""
        if "cell" in vars(self):
            return one_way(self.cell, xs, state, reverse=reverse, **options)
        states, rng = self._states(state), self.noise(rng)
        last = []
        for k, (layer, first) in enumerate(zip(self.layers, states, strict=True)):
            if k and rng is not None and self.dropout:
                if isinstance(xs, list):
                    raise ValueError("Recurrent: dropout works with arrays, not with Values")
                xs = drop(xs, self.dropout, rng=rng)
            with scope(f"layers.{k}"):
                if isinstance(layer, dict):
                    xs, state = both_ways(layer, xs, first, reverse=reverse, **options)
                else:
                    xs, state = one_way(layer, xs, first, reverse=reverse, **options)
            last.append(state)
        return xs, last[0] if len(last) == 1 else tuple(last)

    def explain(self) -> str:
        """How the last loop of each cell ran: compiled or on the tape, and why."""
        return "\n".join(f"layer {k}, {direction}, {explain(cell)}" for k, direction, cell in self.cells())

    def _time_first(self, xs: Any) -> Any:
        """(B, T, D) to (T, B, D)."""
        xs = as_array(xs, type(self).__name__)
        D = getattr(next(self.cells())[2], "input_size", None)
        if len(xs.shape) != 3 or D not in (None, xs.shape[-1]):
            raise ValueError(f"{type(self).__name__}: with batch_first=True expected xs of shape "
                             f"(B, T, {'D' if D is None else D}), got {xs.shape}")
        return swapaxes(xs, 0, 1)

    def _states(self, state: Any) -> Any:
        """One first state a layer."""
        n = len(self.layers)
        if state is None:
            return [None] * n
        if n == 1:
            return [state]
        if not isinstance(state, (tuple, list)) or len(state) != n:
            raise ValueError(
                f"{type(self).__name__}: with {n} layers the state is a tuple of {n}, one a layer; got "
                f"{f'{len(state)} parts' if isinstance(state, (tuple, list)) else type(state).__name__}"
            )
        return state


def one_way(cell: CellLike, xs: Any, state: Any, **options: Any) -> tuple[Any, Any]:
    """The cell unrolled under its own name."""
    with scope(name_of(cell)):
        return unroll(cell, xs, state, **options)


def both_ways(pair: dict[str, CellLike], xs: Any, state: Any, *, reverse: bool, **options: Any) -> tuple[Any, Any]:
    """One cell forwards in time, the other backwards; the outputs side by side, and the pair of last states."""
    if state is None:
        state = (None, None)
    if not isinstance(state, (tuple, list)) or len(state) != 2:
        raise ValueError("a bidirectional layer: the state is a pair, (forwards, backwards), got "
                         f"{type(state).__name__}")
    ways = []
    for k, (direction, cell) in enumerate(pair.items()):
        with scope(direction):
            ways.append(one_way(cell, xs, state[k], reverse=reverse != bool(k), **options))
    (ahead, h_ahead), (back, h_back) = ways
    if isinstance(ahead, list):  # Values
        return [list(pair) for pair in zip(ahead, back, strict=True)], (h_ahead, h_back)
    return concat([ahead, back], axis=-1), (h_ahead, h_back)


def name_of(cell: CellLike) -> str:
    """What the steps of a cell are called in pictures and messages."""
    name = getattr(cell, "name", None) or getattr(cell, "__name__", type(cell).__name__).lower()
    return "cell" if name == "<lambda>" else str(name)


class OneKind(Recurrent):
    """A net of one kind of cell."""

    cell_type: Callable[..., Cell]

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, *, bidirectional: bool = False,
        dropout: float = 0.0, batch_first: bool = False, rng: Rng = None, **options: Any,
    ) -> None:  # fmt: skip
        """Make the cells.

        Args:
            input_size, hidden_size: D and H of the equations, the lengths of the input and of the state in each
                direction.
            num_layers: how many layers, on top of each other.
            bidirectional: one cell in each direction in every layer; the outputs are then (T, B, 2H).
            dropout, batch_first: see `Recurrent`.
            rng: a seed or a `numpy.random.Generator`.
            options: of the cell.
        """
        need_sizes(type(self).__name__, num_layers=num_layers)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bidirectional = bidirectional
        D, rng, built = input_size, as_rng(rng), []
        for _ in range(num_layers):
            cells = [type(self).cell_type(D, hidden_size, rng=rng, **options) for _ in range(1 + bidirectional)]
            built.append((cells[0], cells[1]) if bidirectional else cells[0])
            D = sum(cell.state_sizes[0] for cell in cells)
        super().__init__(*built, dropout=dropout, batch_first=batch_first)
        self.bias: bool = cells[0].bias


class RNN(OneKind):
    """A net of `RNNCell`; takes its options besides ``num_layers=``, ``bidirectional=``, ``dropout=`` and
    ``batch_first=``.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.RNN(3, 5, activation="relu", rng=0)(np.ones((7, 2, 3)))
    >>> hs.shape, h.shape
    ((7, 2, 5), (2, 5))
    """

    cell_type = RNNCell


class IRNN(OneKind):
    """A net of `IRNNCell`: ReLU, with the identity as its first recurrent matrix.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> nn.IRNN(3, 5, rng=0)(np.ones((7, 2, 3)))[0].shape
    (7, 2, 5)
    """

    cell_type = IRNNCell


class LSTM(OneKind):
    """A net of `LSTMCell`; takes its options besides ``num_layers=``, ``bidirectional=``, ``dropout=`` and
    ``batch_first=``.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, (h, c) = nn.LSTM(3, 5, rng=0)(np.ones((7, 2, 3)))
    >>> hs.shape, c.shape
    ((7, 2, 5), (2, 5))
    >>> hs, ((ahead, back), _) = nn.LSTM(3, 5, num_layers=2, bidirectional=True)(np.ones((7, 2, 3)))
    >>> hs.shape, [part.shape for part in ahead]
    ((7, 2, 10), [(2, 5), (2, 5)])
    >>> nn.LSTM(3, 5, batch_first=True)(np.ones((2, 7, 3)))[0].shape
    (2, 7, 5)
    """

    cell_type = LSTMCell


class GRU(OneKind):
    """A net of `GRUCell`; takes its options besides ``num_layers=``, ``bidirectional=``, ``dropout=`` and
    ``batch_first=``.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, h = nn.GRU(3, 5, reset="after", rng=0)(np.ones((7, 2, 3)), lengths=[7, 4])
    >>> hs.shape, h.shape
    ((7, 2, 5), (2, 5))
    """

    cell_type = GRUCell


class MGU(OneKind):
    """A net of `MGUCell`; takes its options besides ``num_layers=``, ``bidirectional=``, ``dropout=`` and
    ``batch_first=``.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> nn.MGU(3, 5, rng=0)(np.ones((7, 2, 3)))[0].shape
    (7, 2, 5)
    """

    cell_type = MGUCell
