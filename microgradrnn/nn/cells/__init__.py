"""Recurrent cells: each is its equations (docs/equations.md, section 1), and nothing more.

A cell maps ``(x_t, state) -> state``. Row vectors: x is (B, D), h and c are (B, H). U reads the input, W the previous
state. No cell knows how to differentiate itself: that is the engine's business, for any cell.
"""

from microgradrnn.nn.cells.base import Cell
from microgradrnn.nn.cells.gru import GRUCell, MGUCell
from microgradrnn.nn.cells.layer_norm import LayerNormLSTMCell
from microgradrnn.nn.cells.lstm import CarouselLSTMCell, CoupledLSTMCell, LSTMCell, UpdateGateLSTMCell
from microgradrnn.nn.cells.noise import RecurrentDropoutLSTMCell, VariationalDropout, Zoneout
from microgradrnn.nn.cells.peephole import PeepholeLSTMCell
from microgradrnn.nn.cells.simple import AdditiveCell, IRNNCell, JordanCell, RNNCell

__all__ = [
    "AdditiveCell", "CarouselLSTMCell", "Cell", "CoupledLSTMCell", "GRUCell", "IRNNCell", "JordanCell", "LSTMCell",
    "LayerNormLSTMCell", "MGUCell", "PeepholeLSTMCell", "RNNCell", "RecurrentDropoutLSTMCell", "UpdateGateLSTMCell",
    "VariationalDropout", "Zoneout",
]  # fmt: skip
