"""Weights from Keras and back, against the formulas of Keras' documentation in plain NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgradrnn import Tensor, io, nn
from microgradrnn.io.keras_layers import from_keras
from tests.numerics import complex_step, relative_error

B, T, D, H = 3, 7, 4, 5
RNG = np.random.default_rng(0)
XS = RNG.standard_normal((B, T, D))
MASK = RNG.random((B, T)) < 0.6
MASK[0, :3] = False  # padding on the left


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


# ------------------------------------------------------------------------------- one step each, as Keras writes it
def simple_rnn(x: Any, states: Any, w: Any) -> Any:
    kernel, recurrent_kernel, bias = w
    return (np.tanh(x @ kernel + bias + states[0] @ recurrent_kernel),)


def lstm(x: Any, states: Any, w: Any) -> Any:
    h_tm1, c_tm1 = states
    z = x @ w[0] + h_tm1 @ w[1] + w[2]
    z0, z1, z2, z3 = np.split(z, 4, axis=1)
    i, f = sigmoid(z0), sigmoid(z1)
    c = f * c_tm1 + i * np.tanh(z2)
    return sigmoid(z3) * np.tanh(c), c


def gru_reset_after(x: Any, states: Any, w: Any) -> Any:
    (h_tm1,), (input_bias, recurrent_bias) = states, w[2]
    x_z, x_r, x_h = np.split(x @ w[0] + input_bias, 3, axis=-1)
    recurrent_z, recurrent_r, recurrent_h = np.split(h_tm1 @ w[1] + recurrent_bias, 3, axis=-1)
    z, r = sigmoid(x_z + recurrent_z), sigmoid(x_r + recurrent_r)
    return (z * h_tm1 + (1 - z) * np.tanh(x_h + r * recurrent_h),)


def gru_reset_before(x: Any, states: Any, w: Any) -> Any:
    (h_tm1,) = states
    x_z, x_r, x_h = np.split(x @ w[0] + w[2], 3, axis=-1)
    u_z, u_r, u_h = np.split(w[1], 3, axis=-1)
    z, r = sigmoid(x_z + h_tm1 @ u_z), sigmoid(x_r + h_tm1 @ u_r)
    return (z * h_tm1 + (1 - z) * np.tanh(x_h + (r * h_tm1) @ u_h),)


KINDS: dict[str, tuple[Any, Any, int, int]] = {  # our layer, a step, gates, parts of the state
    "simple_rnn": (nn.RNN, simple_rnn, 1, 1), "lstm": (nn.LSTM, lstm, 4, 2),
    "gru": (lambda *a, **o: nn.GRU(*a, reset="after", **o), gru_reset_after, 3, 1),
    "gru, reset_after=False": (lambda *a, **o: nn.GRU(*a, reset="before", **o), gru_reset_before, 3, 1),
}


def rnn(step: Any, xs: Any, w: Any, parts: int, mask: np.ndarray | None = None, backwards: bool = False) -> Any:
    """Keras' loop: (B, T, D) to all outputs (B, T, H), where a masked step repeats the last output and keeps states."""
    states = tuple(np.zeros((len(xs), H), xs.dtype) for _ in range(parts))
    outputs, last = [], np.zeros((len(xs), H), xs.dtype)
    for t in range(xs.shape[1])[:: -1 if backwards else 1]:
        new = step(xs[:, t], states, w)
        take = np.ones((len(xs), 1), bool) if mask is None else mask[:, t, None]
        last = np.where(take, new[0], last)
        states = tuple(np.where(take, a, b) for a, b in zip(new, states, strict=True))
        outputs.append(last)
    return np.stack(outputs[::-1] if backwards else outputs, axis=1)


def weights_of(kind: str, n: int = D, seed: int = 0) -> list[np.ndarray]:
    """Numbers as get_weights() has them: kernel, recurrent_kernel, bias."""
    rng, gates = np.random.default_rng(seed), KINDS[kind][2]
    shapes = [(n, gates * H), (H, gates * H), (2, 3 * H) if kind == "gru" else (gates * H,)]
    return [0.5 * rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_of_keras_formulas(kind: str, mask: np.ndarray | None) -> None:
    make, step, _, parts = KINDS[kind]
    layer, weights = make(D, H, batch_first=True), weights_of(kind)
    io.load_keras(layer, weights)
    taken = np.ones((B, T), bool) if mask is None else mask
    factors = np.random.default_rng(1).standard_normal((B, T, H)) * taken[..., None]

    x = Tensor(XS)
    hs, last = layer(x, mask=mask)
    last = last[0] if isinstance(last, tuple) else last
    (hs * factors).sum().backward()
    expected = rnn(step, XS, weights, parts, mask)                    # return_sequences=True
    assert relative_error(hs.data, expected * taken[..., None]) < 1e-14
    assert relative_error(last.data, expected[:, -1]) < 1e-14         # return_sequences=False

    def total(xs: Any, *w: Any) -> Any:
        return (rnn(step, xs, w, parts, mask) * factors).sum()

    g_x, *g = complex_step(total, [XS, *weights])
    assert relative_error(x.grad, g_x) < 1e-12
    names = list(io.to_keras_weights(layer))
    if kind == "gru":
        g[2][1, : 2 * H] = 0  # each of the two biases has the whole gradient of our one
    for p, theirs in from_keras(layer, dict(zip(names, g, strict=True))):
        assert relative_error(p.grad, theirs) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_bidirectional_layers_and_stacks_are_read_in_keras_order(kind: str) -> None:
    make, step, _, parts = KINDS[kind]
    w = [weights_of(kind, D, 1), weights_of(kind, D, 2), weights_of(kind, 2 * H, 3), weights_of(kind, 2 * H, 4)]
    layer = make(D, H, 2, bidirectional=True, batch_first=True)
    io.load_keras(layer, [a for one in w for a in one])
    xs = XS
    for ahead, back in (w[:2], w[2:]):
        xs = np.concatenate([rnn(step, xs, ahead, parts), rnn(step, xs, back, parts, backwards=True)], axis=-1)
    assert relative_error(layer(XS)[0].data, xs) < 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_paths_of_variables_are_told_apart_by_keras_numbers_and_directions(kind: str) -> None:
    make, name = KINDS[kind][0], kind.split(",")[0]
    w = [weights_of(kind, D, 1), weights_of(kind, D, 2), weights_of(kind, 2 * H, 3), weights_of(kind, 2 * H, 4)]
    layer, again = (make(D, H, 2, bidirectional=True) for _ in range(2))
    io.load_keras(layer, [a for one in w for a in one])
    places = [f"model/bidirectional_{n}/{way}ward_{name}_{n}/{name}_cell" for n in (9, 10) for way in ("for", "back")]
    paths = {f"{place}/{last}": a for place, one in zip(places, w, strict=True)
             for last, a in zip(("kernel", "recurrent_kernel", "bias"), one, strict=True)}
    for order in (list(paths), sorted(paths), sorted(paths)[::-1]):
        io.load_keras(again, {path + ":0" * (order == list(paths)): paths[path] for path in order})  # Keras 2 says :0
        for key, a in layer.state_dict().items():
            np.testing.assert_array_equal(again.state_dict()[key], a)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_again_is_the_same_net(kind: str, both: bool, bias: bool, tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    make = KINDS[kind][0]
    layer, again, third = (make(D, H, 2, bidirectional=both, bias=bias, rng=k) for k in range(3))
    weights = io.to_keras_weights(layer)
    save_file(weights, tmp_path / "keras.safetensors")
    io.load_keras(again, list(weights.values()))
    io.load_keras(third, tmp_path / "keras.safetensors")
    for key, a in layer.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[key], a)
        np.testing.assert_array_equal(third.state_dict()[key], a)


def test_layers_without_memory_are_exchanged_too() -> None:
    rng = np.random.default_rng(0)
    kernel, bias, rows = rng.standard_normal((D, H)), rng.standard_normal(H), rng.standard_normal((9, D))
    dense, embedding, norm = nn.Linear(D, H), nn.Embedding(9, D), nn.LayerNorm(D, eps=1e-3)
    io.load_keras(dense, {"dense_3/kernel": kernel, "dense_3/bias": bias})
    io.load_keras(embedding, [rows])
    io.load_keras(norm, {"layer_normalization/gamma": rows[0], "layer_normalization/beta": rows[1]})
    assert relative_error(dense(XS).data, XS @ kernel + bias) < 1e-15
    np.testing.assert_array_equal(embedding([3, 0]).data, rows[[3, 0]])
    mean, variance = XS.mean(-1, keepdims=True), XS.var(-1, keepdims=True)
    assert relative_error(norm(XS).data, (XS - mean) / np.sqrt(variance + 1e-3) * rows[0] + rows[1]) < 1e-14
    assert [*io.to_keras_weights(norm)] == ["gamma", "beta"]


@pytest.mark.parametrize(("layer", "weights", "words"), [
    (nn.LSTM(D, H), [np.ones((D, 4 * H))], "LSTM needs 3 arrays, lstm/lstm_cell/kernel, .*; got 1"),
    (nn.LSTM(D, H), weights_of("simple_rnn"), r"needs lstm/lstm_cell/kernel of shape \(4, 20\), got \(4, 5\)"),
    (nn.GRU(D, H, reset="before"), weights_of("gru"), r"bias of shape \(15,\), got \(2, 15\)"),
    (nn.LSTM(D, H, 2), {f"{name}/lstm_cell/{last}": a for name in ("low", "high") for last, a in
                        zip(("kernel", "recurrent_kernel", "bias"), weights_of("lstm"), strict=True)},
     "needs lstm/lstm_cell/kernel, .*only one side has high/lstm_cell/bias"),
    (nn.LSTM(D, H, proj_size=2), [], "Keras has no counterpart of this LSTMCell"),
    (nn.GRU(D, H, z="replaces"), [], "GRUs whose z keeps"),
    (nn.MGU(D, H), [], "no counterpart of this MGUCell"),
    (nn.Sequential(), [], "no counterpart of Sequential here"),
    (nn.Linear(D, H), 3, "weights are a dict of arrays or a file's path, got int"),
    (nn.Linear(D, H), [1j * np.ones((D, H)), np.ones(H)], "kernel is an array of complex128; weights are real"),
    (nn.Linear(D, H, dtype="float32"), [np.ones((D, H)), np.full(H, 1e300)], r"d holds 1e\+300, too large for float32"),
])
def test_what_does_not_fit_changes_nothing_and_is_named(layer: Any, weights: Any, words: str) -> None:
    before = layer.state_dict()
    with pytest.raises((KeyError, ValueError, TypeError), match=words):
        io.load_keras(layer, weights)
    for name, a in before.items():
        np.testing.assert_array_equal(layer.state_dict()[name], a)


def test_names_of_older_versions_number_cells_and_not_the_first_layer() -> None:
    source, target = (nn.LSTM(8, 4, num_layers=2, bidirectional=True, rng=k) for k in (0, 1))
    cells = ["bidirectional/forward_lstm/lstm_cell_1", "bidirectional/backward_lstm/lstm_cell_2",
             "bidirectional_1/forward_lstm_1/lstm_cell_4", "bidirectional_1/backward_lstm_1/lstm_cell_5"]
    names = [f"{cell}/{name}:0" for cell in cells for name in ("kernel", "recurrent_kernel", "bias")]
    io.load_keras(target, dict(zip(names, io.to_keras_weights(source).values(), strict=True)))
    x = np.random.default_rng(0).standard_normal((3, 2, 8))
    np.testing.assert_array_equal(source(x)[0].data, target(x)[0].data)
