"""Weights of layers from Keras and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from microgradrnn.io.arrays import fitting, given_arrays
from microgradrnn.io.content import read
from microgradrnn.io.keras_layers import from_keras, named, renamed, to_keras
from microgradrnn.nn import Module
from microgradrnn.nn.module import assign


def load_keras(layer: Module, weights: Mapping[str, Any] | list[Any] | str | os.PathLike[str]) -> None:
    """Give a layer the weights of its Keras counterpart; outputs and gradients are then the same.

    In Keras the batch comes first: make the layer with ``batch_first=True``. What ``return_sequences=True`` returns is
    our outputs, and the last output is our last h. ``mask=`` is the same; only the outputs at masked steps differ:
    Keras repeats the last one, here they are 0.

    Args:
        layer: `RNN` (SimpleRNN), `LSTM`, ``GRU(reset="after")`` (Keras' default, ``reset_after=True``) or
            ``GRU(reset="before")``, with any number of layers and directions, `Linear` (Dense), `Embedding` or
            `LayerNorm` (Keras' epsilon is 1e-3).
        weights: what ``get_weights()`` gives, of several layers one after the other; or a dict by the paths of the
            variables, ``{v.path: v.numpy() for v in layer.weights}``; or the path of a ``.safetensors`` file with such
            a dict. Of a whole model take one part. Layers on top of each other are told apart by Keras' own numbers, as
            in "lstm" and "lstm_1"; if you named them yourself, load each by itself.

    Raises:
        KeyError, ValueError: if names, numbers or shapes do not fit, or a number is too large for the layer's dtype.
            Nothing is changed then.
        TypeError: if the layer has no counterpart, or an array is not of real numbers.

    >>> from microgradrnn import nn
    >>> gru = nn.GRU(3, 5, reset="after", batch_first=True)
    >>> load_keras(gru, [np.zeros((3, 15)), np.zeros((5, 15)), np.zeros((2, 15))])  # gru.get_weights()
    >>> bool(gru.cell.b_n.data.any())
    False
    """
    if isinstance(weights, (list, tuple)):
        arrays = given_arrays(named(layer, weights))
    else:
        given = read(weights) if isinstance(weights, (str, os.PathLike)) else weights
        arrays = given_arrays(renamed(layer, given) if isinstance(given, Mapping) else given)
    expected = to_keras(layer)
    if wrong := sorted(arrays.keys() ^ expected.keys()):
        raise KeyError(f"load_keras: {type(layer).__name__} needs {', '.join(expected)}; only one side has "
                       f"{', '.join(wrong)}")
    assign("load_keras", [(p.symbol, p, a) for p, a in from_keras(layer, fitting("load_keras", arrays, expected))])


def to_keras_weights(layer: Module) -> dict[str, np.ndarray]:
    """The weights of a layer as its Keras counterpart names and lays them out, the reverse of `load_keras`.

    In the order of ``get_weights()``: ``keras_layer.set_weights(list(to_keras_weights(layer).values()))``. Of the two
    biases of a GRU the second gets zeros, but for b_n. A dict like this can be written with
    ``safetensors.numpy.save_file``.

    Raises:
        TypeError: if the layer has no counterpart.

    >>> from microgradrnn import nn
    >>> {name: a.shape for name, a in to_keras_weights(nn.LSTM(3, 5)).items()}
    {'lstm/lstm_cell/kernel': (3, 20), 'lstm/lstm_cell/recurrent_kernel': (5, 20), 'lstm/lstm_cell/bias': (20,)}
    """
    return to_keras(layer)
