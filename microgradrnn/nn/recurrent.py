"""Recurrent layers: a cell, unrolled."""

from __future__ import annotations

from typing import Any

from microgradrnn.engine import scope
from microgradrnn.nn.cells import Cell, GRUCell, LSTMCell, RNNCell
from microgradrnn.nn.module import Module
from microgradrnn.nn.unroll import unroll


class Recurrent(Module):
    """``layer(xs, state=None) -> (outputs, state)``: unrolls its `cell` over xs (T, B, D).

    Takes the arguments of its cell.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> hs, (h, c) = nn.LSTM(3, 5, rng=0)(np.ones((7, 2, 3)))
    >>> hs.shape, c.shape
    ((7, 2, 5), (2, 5))
    """

    cell_type: type[Cell]

    def __init__(self, D: int, H: int, **options: Any) -> None:
        self.cell = self.cell_type(D, H, **options)

    def __call__(self, xs: Any, state: Any = None) -> tuple[Any, Any]:
        with scope(self.cell.name):
            return unroll(self.cell, xs, state)


class RNN(Recurrent):
    """A layer of `RNNCell`."""

    cell_type = RNNCell


class LSTM(Recurrent):
    """A layer of `LSTMCell`."""

    cell_type = LSTMCell


class GRU(Recurrent):
    """A layer of `GRUCell`."""

    cell_type = GRUCell
