"""Vocabularies and the batches of truncated BPTT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import microgradrnn as mg
from microgradrnn import nn
from microgradrnn.data import Stretches, Vocabulary, windows
from tests.numerics import assert_same, relative_error


@given(st.text(), st.text())
def test_the_round_trip_is_exact_for_what_is_known_and_marked_for_what_is_not(text: str, other: str) -> None:
    v = Vocabulary.of_characters(text)
    assert v.decode(v.encode(text)) == text
    assert v.decode(v.encode(other)) == "".join(c if c in text else "�" for c in other)
    assert v.encode(other).dtype.kind == "i"
    assert all(0 <= k < len(v) for k in v.encode(other))


@given(st.text())
def test_words_spaces_and_marks_are_the_text_again(text: str) -> None:
    v = Vocabulary.of_words(text)
    assert v.decode(v.encode(text)) == text


def test_rare_words_are_unknown_and_common_ones_come_first() -> None:
    v = Vocabulary.of_words("a rose is a rose is a rose.", least=2)
    assert v.symbols == [" ", "a", "rose", "is"]
    assert v.decode(v.encode("a rose.")) == "a rose�"
    assert v.encode("tulip").tolist() == [v.unknown] == [len(v) - 1]


def test_numbers_out_of_range_and_symbols_given_twice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lie in 0\.\.2, got -1\.\.3"):
        Vocabulary.of_characters("ab").decode([-1, 3])
    with pytest.raises(ValueError, match=r"more than once: \['a'\]"):
        Vocabulary(["a", "b", "a"])


@given(st.integers(2, 200), st.integers(1, 7), st.integers(1, 9))
def test_every_stream_reads_on_where_it_stopped_and_targets_are_one_on(n: int, B: int, T: int) -> None:
    ids = np.arange(n)
    if n < B * T + 1:
        with pytest.raises(ValueError, match="need at least"):
            Stretches(ids, B, T)
        return
    batches = Stretches(ids, B, T)
    assert [b.first for b in batches] == [True] + [False] * (len(batches) - 1)
    x = np.concatenate([b.x for b in batches])
    y = np.concatenate([b.y for b in batches])
    assert (y == x + 1).all()
    assert (x[1:] == x[:-1] + 1).all()
    assert x.T.ravel().tolist() == list(range(x.size)), "streams follow one another, and nothing is read twice"
    assert n - 1 - x.size < B * T
    with pytest.raises(IndexError):
        batches[len(batches)]


def test_batches_without_streams_or_steps_are_refused() -> None:
    for B, T in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            Stretches(np.arange(99), B, T)
    with pytest.raises(TypeError, match=r"T must be a whole number, got 3\.0"):
        Stretches(np.arange(99), 2, 3.0)  # type: ignore[arg-type]


def test_batches_are_counted_from_the_end_too_and_cut_like_a_list() -> None:
    batches = Stretches(np.arange(20), B=2, T=3)
    whole = list(batches)
    assert len(whole) == 3
    for k in range(3):
        np.testing.assert_array_equal(batches[k - 3].x, whole[k].x)
        assert batches[k - 3].first is whole[k].first
    assert [b.x.tolist() for b in batches[1:]] == [b.x.tolist() for b in whole[1:]]
    assert [b.first for b in batches[::-1]] == [False, False, True]
    for k in (3, -4):
        with pytest.raises(IndexError, match=f"there are 3 batches, asked for number {k}"):
            batches[k]


def test_what_is_no_text_or_no_numbers_is_refused_with_what_to_do() -> None:
    v = Vocabulary.of_characters("ab")
    with pytest.raises(TypeError, match=r"Vocabulary\.encode: expected a string, got list; .* join the parts"):
        v.encode(["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected integers, got float64; .*argmax"):
        v.decode(np.array([0.2, 0.8]))
    assert v.decode([]) == ""
    for ids in ("banana", np.ones(9), np.ones((9, 1), int)):
        with pytest.raises(TypeError, match=r"Stretches: ids are one row of integers, .*Vocabulary\.encode"):
            Stretches(ids, 1, 3)  # type: ignore[arg-type]
    for start in (-1, 7):
        with pytest.raises(ValueError, match=rf"windows of 3 and their .* in 0\.\.6, got {start}\.\."):
            windows(np.arange(10), np.array([start]), 3)
    windows(np.arange(10), np.array([6]), 3)


def test_windows_line_targets_up_one_on() -> None:
    x, y = windows(np.arange(10), np.array([0, 4]), 3)
    assert x.tolist() == [[0, 4], [1, 5], [2, 6]]
    assert np.array_equal(y, x + 1)


# ------------------------------------------------------------------------------------------------ truncated BPTT
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_the_forward_pass_in_stretches_is_that_of_the_whole_sequence(kind: Any) -> None:
    layer, xs = kind(3, 5, rng=0), np.random.default_rng(0).standard_normal((12, 2, 3))
    whole, last = layer(xs)
    state, parts = None, []
    for k in range(0, 12, 4):
        hs, state = layer(xs[k : k + 4], nn.detach(state))
        parts.append(hs.data)
    assert_same(np.concatenate(parts), whole.data, rel=1e-15)
    first = last[0] if isinstance(last, tuple) else last
    assert_same((state[0] if isinstance(state, tuple) else state).data, first.data, rel=1e-15)  # type: ignore[index]


def test_no_gradient_crosses_a_cut_and_only_that_is_missing() -> None:
    """The gradient in stretches is the sum of the stretches' own; without the cut it is the whole one."""
    cell, xs = nn.RNNCell(3, 5, rng=0), np.random.default_rng(0).standard_normal((6, 2, 3))

    def gradient(cut: bool) -> np.ndarray:
        hs, h = nn.unroll(cell, xs[:3])
        more, _ = nn.unroll(cell, xs[3:], nn.detach(h) if cut else h)
        result: np.ndarray = mg.grad((hs * hs).sum() + (more * more).sum(), cell.W)
        return result

    hs, _ = nn.unroll(cell, xs)
    whole = mg.grad((hs * hs).sum(), cell.W)
    assert relative_error(gradient(cut=False), whole) < 1e-14
    assert relative_error(gradient(cut=True), whole) > 0.01
    with mg.no_grad():
        _, h = nn.unroll(cell, xs[:3])
    halves = nn.unroll(cell, xs[:3])[0], nn.unroll(cell, xs[3:], h.data)[0]
    parts = [mg.grad((hs * hs).sum(), cell.W) for hs in halves]
    assert relative_error(gradient(cut=True), parts[0] + parts[1]) < 1e-14


def test_detach_keeps_every_shape_of_state() -> None:
    t = mg.Tensor([1.0, 2.0]) * 2
    state = {"a": (t, [mg.Value(1.0) * 3, None]), "b": np.ones(2), "c": 3}
    cut = nn.detach(state)
    assert cut["a"][0].data.tolist() == [2.0, 4.0]
    assert (cut["a"][1][0].data, cut["a"][1][1], cut["c"]) == (3.0, None, 3)
    assert not cut["a"][0].requires_grad
    assert not cut["a"][1][0].requires_grad
    assert cut["b"] is state["b"]
