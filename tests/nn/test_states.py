"""What a state may be, cells from concatenated weights, dropout in an encoder-decoder, and what is refused."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from microgradrnn.nn import scalar
from tests.numerics import assert_same

T, B, D, H = 6, 3, 3, 5
XS = np.random.default_rng(0).standard_normal((T, B, D))
ZEROS = np.zeros((B, H))


class Two(NamedTuple):
    h: Any
    c: Any


CELL = nn.LSTMCell(D, H, rng=0)


def named(x: Any, state: Two) -> Two:
    return Two(*CELL(x, (state.h, state.c)))


@pytest.mark.parametrize("options", [
    {}, {"lengths": [6, 2, 4]}, {"lengths": [6, 2, 4], "reverse": True}, {"checkpoint": 2},
    {"checkpoint": 2, "lengths": [6, 2, 4], "reverse": True},
])  # fmt: skip
def test_a_state_may_be_a_named_tuple(options: dict[str, Any]) -> None:
    hs, last = nn.unroll(named, XS, Two(ZEROS, ZEROS), **options)
    expected, (h, c) = nn.unroll(CELL, XS, **options)
    assert isinstance(last, Two)
    for a, b in ((hs, expected), (last.h, h), (last.c, c)):
        assert_same(a.data, b.data, rel=1e-14)


@pytest.mark.parametrize(("state", "says"), [
    ([ZEROS, ZEROS], "tuple of them, not a list"), ({"h": ZEROS}, "tuple of them, not a dict"),
])  # fmt: skip
def test_states_in_lists_and_dicts_are_refused(state: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        nn.unroll(lambda x, s: s, XS, state)


def test_cells_say_what_to_give_instead_of_a_list() -> None:
    for run in (nn.LSTMCell(D, H, rng=0), nn.LSTM(D, H, rng=0)):
        with pytest.raises(ValueError, match=r"give a tuple \(h, c\) as the state, not a list"):
            run(XS if isinstance(run, nn.LSTM) else XS[0], [ZEROS, ZEROS])
    with pytest.raises(ValueError, match="GRUCell: give one array h as the state, not a list"):
        nn.GRUCell(D, H, rng=0)(XS[0], [ZEROS])


@pytest.mark.parametrize(("cell", "state", "says"), [
    (lambda x, h: None, ZEROS, "got an array as its state and returned None"),
    (lambda x, h: (h, h), ZEROS, r"returned \(an array, an array\)"),
    (lambda x, s: (s[0], s), (ZEROS, ZEROS), r"returned \(an array, \(an array, an array\)\)"),
    (lambda x, s: s[0], (ZEROS, ZEROS), r"got \(an array, an array\) as its state and returned an array"),
    (lambda x, s: [*s], (ZEROS, ZEROS), "returned a list"),
])  # fmt: skip
@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_cell_that_returns_something_of_another_form_is_told_so(
    cell: Any, state: Any, says: str, checkpoint: bool
) -> None:
    with pytest.raises(ValueError, match=says):
        nn.unroll(cell, XS, state, checkpoint=checkpoint)


# -------------------------------------------------------------------------------------------------- single numbers
def test_recurrent_neurons_stack_and_run_both_ways() -> None:
    random.seed(0)
    below, back, above = scalar.RNNNeuron(2), scalar.GRUNeuron(2), scalar.LSTMNeuron(2)
    xs = [[1.0, 0.0], [0.5, -1.0], [1.0, 1.0]]
    hs, _ = nn.Recurrent((below, back), above)(xs)
    ahead, behind = nn.unroll(below, xs)[0], nn.unroll(back, xs, reverse=True)[0]
    by_hand, _ = nn.unroll(above, list(zip(ahead, behind, strict=True)))
    assert [h.data for h in hs] == [h.data for h in by_hand]
    one = scalar.RNNNeuron(1)
    stacked, _ = nn.Recurrent(below, one)(xs)
    by_hand, _ = nn.unroll(one, [[h] for h in ahead])
    assert [h.data for h in stacked] == [h.data for h in by_hand]


def test_what_single_numbers_cannot_do_is_said() -> None:
    cell, xs = scalar.RNNNeuron(2), [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(ValueError, match="lengths= needs xs as one array with a batch"):
        nn.unroll(cell, xs, lengths=[2])
    with pytest.raises(ValueError, match="lengths= works with arrays, not with Values"):
        nn.unroll(cell, np.array(xs), lengths=[2, 1])
    with pytest.raises(ValueError, match="checkpoint= works with arrays, not with Values"):
        nn.unroll(cell, xs, checkpoint=True)
    with pytest.raises(ValueError, match="dropout works with arrays, not with Values"):
        nn.Recurrent(cell, scalar.RNNNeuron(1), dropout=0.5)(xs, rng=np.random.default_rng(0))


# -------------------------------------------------------------------------------------- from concatenated weights
def joined(dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    cell = nn.GRUCell(D, H, rng=0)
    return np.concatenate([cell.W.data, cell.U.data]).astype(dtype), np.array(cell.b.data)


def test_from_concatenated_gives_the_same_map_with_the_reset_after_the_product_too() -> None:
    cell = nn.GRUCell.from_concatenated(*joined(), reset="after")
    assert not cell.b_n.data.any()


def test_from_concatenated_has_one_dtype() -> None:
    W, b = joined(np.float32)
    for given, dtype in (({}, np.float64), ({"dtype": np.float32}, np.float32)):
        cell = nn.GRUCell.from_concatenated(W, b, **given)
        assert {p.dtype for p in cell.parameters()} == {np.dtype(dtype)}
    assert nn.GRUCell.from_concatenated(W).W.dtype == np.float32


def test_from_concatenated_refuses_what_has_no_such_weights() -> None:
    W = np.ones((H + D, H))
    for cell, says in ((nn.IRNNCell, "give these weights to RNNCell"), (nn.JordanCell, "reads its last output, not h"),
                       (nn.AdditiveCell, "reads no h, so")):
        with pytest.raises(ValueError, match=says):
            cell.from_concatenated(W)
    assert nn.AdditiveCell.from_concatenated(W, reads_state=True).W.shape == (H, H)
    with pytest.raises(ValueError, match=r"W has shape \(H \+ D, 4H\).*got \(8,\)"):
        nn.LSTMCell.from_concatenated(np.ones(8))
    with pytest.raises(TypeError, match="bias= is not an option"):
        nn.LSTMCell.from_concatenated(np.ones((8, 20)), bias=False)


# ------------------------------------------------------------------------------------------------ patterns
def test_dropout_in_an_encoder_decoder_is_on_with_a_generator() -> None:
    parts = [nn.GRU(D, H, num_layers=2, dropout=0.5, rng=k) for k in (0, 1)]
    net = nn.EncoderDecoder(*parts, nn.Embedding(9, D, rng=2), nn.Embedding(7, D, rng=3), nn.Linear(H, 7, rng=4),
                            start=0)
    ids = np.ones((T, B), int)
    off, a, b, c = (net(ids, ids, rng=None if k is None else np.random.default_rng(k)).data for k in (None, 0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0
    assert np.abs(a - off).max() > 0
    state = net.encode(ids)
    assert np.abs(net.encode(ids, rng=np.random.default_rng(0))[1].data - state[1].data).max() > 0
    assert np.abs((net.decode(ids, state, rng=np.random.default_rng(0))[0] - net.decode(ids, state)[0]).data).max() > 0


@pytest.mark.parametrize("row", [[0.0, np.nan], [-np.inf, -np.inf], [np.inf, 0.0]])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_logits_that_say_nothing_are_not_sampled(row: list[float], temperature: float) -> None:
    with pytest.raises(ValueError, match="the largest logit must be finite"):
        nn.sample(np.array([[0.0, 1.0], row]), temperature=temperature, rng=np.random.default_rng(0))


def test_weights_in_a_plain_function_get_gradients_but_only_a_module_shows_them() -> None:
    W = Tensor(np.eye(H))
    net = nn.Recurrent(lambda x, h: (h @ W).tanh())
    assert net.parameters() == []
    assert mg.grad(net(XS, ZEROS + 1)[0].sum(), W).any()


def test_a_list_of_steps_is_the_sequence_they_make() -> None:
    xs = np.random.default_rng(0).standard_normal((6, 2, 3))
    for layer in (nn.RNN(3, 5, rng=0), nn.LSTM(3, 5, num_layers=2, bidirectional=True, rng=0)):
        hs, _ = layer(xs)
        nodes = [Tensor(x) for x in xs]
        for given in (list(xs), xs.tolist(), nodes):
            np.testing.assert_array_equal(layer(given, lengths=[6, 2])[0].data, layer(xs, lengths=[6, 2])[0].data)
        found = mg.grad(layer(nodes)[0].sum(), nodes)
        np.testing.assert_array_equal(np.stack(found), mg.grad(layer(x := Tensor(xs))[0].sum(), x))
        assert hs.shape[0] == 6
    with pytest.raises(ValueError, match="unroll: the parts of this list differ in shape"):
        nn.unroll(nn.RNNCell(3, 5), [np.ones((2, 3)), np.ones((1, 3))])
