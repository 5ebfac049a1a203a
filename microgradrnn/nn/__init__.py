"""Neural nets on the engine: modules, recurrent cells, unrolling, losses."""

from microgradrnn.nn.cells import Cell, GRUCell, LSTMCell, RNNCell
from microgradrnn.nn.layers import Embedding, Linear
from microgradrnn.nn.losses import cross_entropy
from microgradrnn.nn.module import Module, Parameter
from microgradrnn.nn.recurrent import GRU, LSTM, RNN
from microgradrnn.nn.unroll import unroll

__all__ = [
    "GRU", "LSTM", "RNN", "Cell", "Embedding", "GRUCell", "LSTMCell", "Linear", "Module", "Parameter", "RNNCell",
    "cross_entropy", "unroll",
]
