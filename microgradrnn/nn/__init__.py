"""Neural nets on the engine: modules, recurrent cells, unrolling, losses."""

from microgradrnn.nn.cells import (
    AdditiveCell,
    CarouselLSTMCell,
    Cell,
    GRUCell,
    IRNNCell,
    JordanCell,
    LSTMCell,
    MGUCell,
    RNNCell,
    UpdateGateLSTMCell,
)
from microgradrnn.nn.layers import Embedding, Linear
from microgradrnn.nn.losses import cross_entropy
from microgradrnn.nn.module import Module, Parameter
from microgradrnn.nn.recurrent import GRU, IRNN, LSTM, MGU, RNN, Recurrent
from microgradrnn.nn.unroll import unroll

__all__ = [
    "GRU", "IRNN", "LSTM", "MGU", "RNN", "AdditiveCell", "CarouselLSTMCell", "Cell", "Embedding", "GRUCell",
    "IRNNCell", "JordanCell", "LSTMCell", "Linear", "MGUCell", "Module", "Parameter", "RNNCell", "Recurrent",
    "UpdateGateLSTMCell", "cross_entropy", "unroll",
]
