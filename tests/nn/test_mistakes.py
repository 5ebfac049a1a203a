"""What people get wrong at first, and what they are told: each message says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microgradrnn import Tensor, Value, nn

T, B, D, H, K = 7, 5, 4, 8, 3
XS = np.random.default_rng(0).standard_normal((T, B, D))
O, Y = np.zeros((T, B, K)), np.random.default_rng(1).integers(0, K, (T, B))


class Forward(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


def lstm(**options: Any) -> Any:
    return nn.LSTM(D, H, rng=0, **options)


def seq2seq() -> Any:
    encoder, decoder, source, target = nn.GRU(D, H), nn.GRU(D, H), nn.Embedding(9, D), nn.Embedding(7, D)
    return nn.EncoderDecoder(encoder, decoder, source, target, nn.Linear(H, 7), start=0)


INPUTS = [
    (lambda: lstm()(np.ones((B, D, T))), "time is the first axis, and features the last"),
    (lambda: lstm()(np.ones((T, B), int)), r"expected xs of shape \(T, B, 4\), got \(7, 5\); .* an nn\.Embedding"),
    (lambda: lstm()(None), "unroll: expected an array of numbers, got a NoneType"),
    (lambda: lstm()(XS, lengths=[1] * T), r"expected 5 integers.*\(7,\); .* 7 steps and 5 sequences \(time comes"),
    (lambda: lstm()(XS, lengths=Tensor([7.0] * B)), "lengths: expected 5 integers, one a sequence, got float64"),
    (lambda: nn.LSTMCell(D, H)(XS), r"a call is one step, .*nn\.unroll\(cell, xs\) runs it over a sequence"),
    (lambda: nn.Linear(H, K)(lstm()(XS)), r"Linear: .* got a tuple; .* hs, state = layer\(xs\)"),
    (lambda: nn.Linear(H, K)(nn.GRU(D, H)(XS)), r"Linear: .* got a tuple; .* hs, state = layer\(xs\)"),
    (lambda: nn.last_step(lstm()(XS)), r"last_step: .* got a tuple; .* hs, state = layer\(xs\)"),
    (lambda: nn.mean_over_steps(lstm()(XS)), r"mean_over_steps: .* got a tuple; .* hs, state = layer\(xs\)"),
    (lambda: nn.Recurrent((nn.RNNCell(D, D),) * 3), r"a pair \(forwards, backwards\), got 3 cells; .* arguments of"),
    (lambda: nn.one_to_many(XS[0], 4.0), "one_to_many: T must be a positive integer"),  # type: ignore[arg-type]
    (lambda: seq2seq()(np.ones((5, 2), int), np.ones((3, 4), int)), r"as many sequences, got shapes \(5, 2\) and"),
    (lambda: nn.recurse(nn.TreeCell(D), (1, 2)), "vectors of length 4, got int; leaf= of recurse"),
    (lambda: nn.recurse(nn.TreeCell(D), (np.ones(3), np.ones(3))), r"vectors of length 4, got \(3,\)"),
]
STATES = [
    (lambda: nn.GRU(D, H)(XS, (np.zeros((B, H)),)), "GRUCell: give one array h as the state, not a tuple"),
    (lambda: nn.GRU(D, H)(XS, 0), r"the state is h, of shape \(5, 8\); got int"),
    (lambda: lstm()(XS, (np.zeros((1, B, H)),) * 2), "PyTorch stacks the states of all layers and directions"),
    (lambda: lstm(num_layers=2)(XS, (np.zeros((2, B, H)),) * 2),
     "PyTorch stacks the states of all layers and directions"),
    (lambda: lstm(bidirectional=True)(XS, np.zeros((2, B, H))), r"a pair, \(forwards, backwards\), got ndarray"),
]
LOSSES = [
    (lambda: nn.cross_entropy(O, np.where(Y == 0, -100, Y)), "got -100; .*, give ignore_index=-100, or mask="),
    (lambda: nn.cross_entropy(O, np.arange(float(O.size)).reshape(O.shape)), "sum to 1 over the last axis; got"),
    (lambda: nn.cross_entropy(O, np.eye(K, dtype=int)[Y]), r"one-hot rows become classes by y\.argmax\(-1\)"),
    (lambda: nn.nll(O, np.eye(K)[Y]), r"expected integers, .* y\.argmax\(-1\) makes them"),
    (lambda: nn.cross_entropy(O.swapaxes(1, 2), Y), r"so logits = logits\.swapaxes\(1, -1\)"),
    (lambda: nn.cross_entropy(O, np.eye(K)[Y], ignore_index=0), "these are probabilities; use mask="),
    (lambda: nn.cross_entropy(O, Y, weight=[1.0, 2.0]), "a number for each of the 3 classes"),
    (lambda: nn.cross_entropy(O, Y, weight=[1.0, -2.0, 1.0]), "a number for each of the 3 classes, .* not negative"),
    (lambda: nn.cross_entropy(O, 0 * Y, weight=[0.0, 2.0, 1.0]), "no target counts, .* weight, or use reduction='sum'"),
    (lambda: nn.cross_entropy(O, 0 * Y, ignore_index=0), "no target counts, .* ignore_index"),
    (lambda: nn.cross_entropy(O, Y.astype(float)), r"expected integers, .* y\.astype\(int\) makes them"),
    (lambda: nn.cross_entropy(O, Y, mask=[7, 1, 2, 3, 4]), r"from lengths, np\.arange\(T\)\[:, None\] < lengths"),
    (lambda: nn.cross_entropy(lstm()(XS), Y), r"cross_entropy: .* got a tuple; .* hs, state = layer\(xs\)"),
    (lambda: nn.mse(Value(1.0), 2.0), "not on Values; write their formula out"),
    (lambda: nn.mse([Value(1.0)], [2.0]), "not on Values; write their formula out"),
]
NETS = [
    (lambda: lstm(layers=2), "layers= is not an option here: say num_layers="),
    (lambda: nn.LSTMCell(3, 5, num_layers=2), "LSTMCell: num_layers= is not an option here: a layer has it"),
    (lambda: nn.LSTMCell(3, 5, batch_first=True), r"LSTMCell: batch_first= .*; a cell reads one step, \(B, D\)"),
    (lambda: lstm(batch_first=True)(XS[..., :2]), r"LSTM: with batch_first=True expected xs of shape \(B, T, 4\), got"),
    (lambda: nn.EncoderDecoder(lstm(batch_first=True), lstm(), None, None, None, start=0), r"leave out batch_first"),
    (lambda: lstm(dtype=int), "parameters are float32 or float64, got dtype=int64"),
    (lambda: nn.Embedding(3, 4, dtype=np.float16), "parameters are float32 or float64, got dtype=float16"),
    (lambda: nn.Recurrent(lstm()), r"made of cells, such as nn\.LSTMCell\(3, 5\), got a LSTM"),  # type: ignore[arg-type]
    (lambda: nn.Recurrent(4, 8), "made of cells, .* got a int"),  # type: ignore[arg-type]
    (lambda: nn.Recurrent((nn.GRUCell, nn.GRUCell)), "got the class GRUCell"),
    (lambda: nn.unroll(nn.RNNCell, XS), r"got the class RNNCell, not a cell; make one, as in nn\.RNNCell\(3, 5\)"),
    (lambda: nn.unroll(lstm(), XS), r"LSTM has no initial_state\(B\), .*a whole layer is called by itself"),
    (lambda: lstm()(XS, checkpoint=2.5), "checkpoint is True, False or the length of a stretch, got 2.5"),
    (lambda: lstm()(XS, checkpoint="a"), "checkpoint is True, False or the length of a stretch, got 'a'"),
    (lambda: nn.Dropout(0.5)(XS), r"training or evaluation\? Call net\.train\(\) .* net\.eval\(\)"),
    (lambda: lstm().train(7), r"train: mode is True or False, got 7; a seed is rng=7"),
    (lambda: nn.Dropout(1.0), r"Dropout: p must lie in \[0, 1\), got 1\.0"),
    (lambda: nn.Sequential([nn.Linear(4, 3)]), r"one by one, not as a list: Sequential\(\*layers\)"),
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU), r"layer 1 is the class ReLU; write nn\.ReLU\("),
    (lambda: nn.Sequential(nn.Linear(4, 3), "relu"), "layer 1 is a str"),
    (lambda: nn.Sequential(lstm(), nn.Linear(H, 3))(XS), r"layer 0, LSTM, returns 2 things, .* hs, state = self"),
    (lambda: nn.LayerNorm(3)(XS), r"LayerNorm: expected x of shape \(\.\.\., 3\), got \(7, 5, 4\)"),
    (lambda: nn.LayerNorm(0), "LayerNorm: normalized_shape must be a positive integer"),
    (lambda: nn.LayerNorm(3, eps=-1.0), "eps is not negative"),
    (lambda: nn.Embedding(3, 4, padding_idx=3), r"Embedding, padding_idx: integers must lie in 0\.\.2, got 3"),
    (lambda: nn.Embedding(3, 4, padding_idx=-4), r"Embedding, padding_idx: integers must lie in 0\.\.2, got -4"),
    (lambda: lstm().to("cuda"), "LSTM has no attribute 'to': say dtype= where a layer is made"),
    (lambda: lstm().weight, "LSTM has no attribute 'weight': U reads the input, W the state"),
    (lambda: lstm().wait, "LSTM has no attribute 'wait'$"),
    (lambda: Forward()(1), "Forward defines no __call__; what PyTorch calls forward is called __call__ here"),
    (lambda: nn.generate(lambda ids, s: np.zeros((2, K)), [0, 1], None, 3, rng=0),  # type: ignore[arg-type,return-value]
     r"step must return a pair, \(logits, state\), got ndarray"),
    (lambda: nn.generate(lambda ids, s: (O[0], s), [0], None, -3, rng=0), "generate: T must be a positive integer"),
]


@pytest.mark.parametrize(("call", "words"), [*INPUTS, *STATES, *LOSSES, *NETS])
def test_the_message_says_what_to_do(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError, NotImplementedError), match=words):
        call()


def test_what_looks_like_a_mistake_and_is_none_works() -> None:
    hs, _ = lstm()(np.ones((1, 1, D), int))
    assert hs.shape == (1, 1, H)
    assert lstm()(XS, lengths=[1, 7, 3, 7, 2])[0].shape == (T, B, H), "lengths in any order"
    assert nn.GRU(D, H, bidirectional=True)(XS, [np.zeros((B, H))] * 2)[0].shape == (T, B, 2 * H)
    assert nn.mse((1.0, 2.0), (1.0, 4.0)) == 2.0
    assert lstm()(XS, checkpoint=np.int64(2))[0].shape == (T, B, H)


def test_dropout_with_one_layer_only_warns() -> None:
    with pytest.warns(UserWarning, match=r"dropout=0\.5 acts between layers, and there is only one"):
        nn.Recurrent(nn.GRUCell(D, H), dropout=0.5)


def test_a_module_shows_its_parameters() -> None:
    assert repr(nn.GRU(3, 4)) == "GRU, 96 parameters: cell.U (3, 12), cell.W (4, 12), cell.b (12,)"
    assert repr(Forward()) == "Forward, 0 parameters: none"
