"""Neural nets on the engine: modules, recurrent cells, unrolling, losses."""

from typing import TYPE_CHECKING, Any

from microgradrnn.nn import init, names, scalar
from microgradrnn.nn.cells import (
    AdditiveCell,
    CarouselLSTMCell,
    Cell,
    CoupledLSTMCell,
    GRUCell,
    IRNNCell,
    JordanCell,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    PeepholeLSTMCell,
    RecurrentDropoutLSTMCell,
    RNNCell,
    UpdateGateLSTMCell,
    VariationalDropout,
    Zoneout,
)
from microgradrnn.nn.compiling import compiling, explain
from microgradrnn.nn.layers import Embedding, Linear
from microgradrnn.nn.loss_modules import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from microgradrnn.nn.losses import binary_cross_entropy, cross_entropy, mse, nll
from microgradrnn.nn.module import Module, Parameter
from microgradrnn.nn.normalisation import LayerNorm
from microgradrnn.nn.patterns import EncoderDecoder, generate, last_step, mean_over_steps, one_to_many, sample
from microgradrnn.nn.recurrent import GRU, IRNN, LSTM, MGU, RNN, Recurrent
from microgradrnn.nn.scalar import MLP, Layer, Neuron
from microgradrnn.nn.sequential import Dropout, ReLU, Sequential, Sigmoid, Tanh
from microgradrnn.nn.tree import TreeCell, recurse
from microgradrnn.nn.truncate import detach, sliding
from microgradrnn.nn.unroll import unroll

__all__ = [
    "GRU", "IRNN", "LSTM", "MGU", "MLP", "RNN", "AdditiveCell", "BCEWithLogitsLoss", "CarouselLSTMCell", "Cell",
    "CoupledLSTMCell", "CrossEntropyLoss", "Dropout", "Embedding", "EncoderDecoder", "GRUCell", "IRNNCell",
    "JordanCell", "LSTMCell", "Layer", "LayerNorm", "LayerNormLSTMCell", "Linear", "MGUCell", "MSELoss", "Module",
    "NLLLoss", "Neuron", "Parameter", "PeepholeLSTMCell", "RNNCell", "ReLU", "Recurrent", "RecurrentDropoutLSTMCell",
    "Sequential", "Sigmoid", "Tanh", "TreeCell", "UpdateGateLSTMCell", "VariationalDropout", "Zoneout",
    "binary_cross_entropy", "compiling", "cross_entropy", "detach", "explain", "generate", "init", "last_step",
    "mean_over_steps", "mse", "nll", "one_to_many", "recurse", "sample", "scalar",
    "sliding", "unroll",
]

if not TYPE_CHECKING:  # else nothing would be checked

    def __getattr__(name: str) -> Any:
        hint = f": {names.LAYERS[name]}" if name in names.LAYERS else ""
        raise AttributeError(f"module 'microgradrnn.nn' has no attribute {name!r}{hint}")
