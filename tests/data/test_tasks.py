"""Every task's answer, worked out again in another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgradrnn.data import adding, copy_memory, delayed_recall, latch, parity, sine

seeds = st.integers(0, 2**32).map(np.random.default_rng)
steps, sizes = st.integers(2, 40), st.integers(1, 6)


@given(steps, sizes, seeds)
def test_adding_marks_one_number_in_each_half_and_asks_for_their_sum(T: int, B: int, rng: Any) -> None:
    x, y = adding(T, B, rng)
    assert x.shape == (T, B, 2)
    assert (x[: T // 2, :, 1].sum(axis=0) == 1).all()
    assert (x[T // 2 :, :, 1].sum(axis=0) == 1).all()
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(axis=0)[:, None], y, rtol=1e-15)


def test_always_to_say_one_has_an_error_of_a_sixth_on_adding() -> None:
    _, y = adding(10, 100_000, np.random.default_rng(0))
    assert ((y - 1) ** 2).mean() == pytest.approx(1 / 6, rel=0.02)


@given(st.integers(1, 30), sizes, seeds, st.integers(1, 9), st.integers(1, 12))
def test_copy_memory_says_the_symbols_after_the_sign(T: int, B: int, rng: Any, symbols: int, length: int) -> None:
    x, y = copy_memory(T, B, rng, symbols=symbols, length=length)
    assert x.shape == y.shape == (T + 2 * length, B)
    sign = np.flatnonzero(x[:, 0] == symbols + 1)
    assert sign.tolist() == [T + length - 1], "the answer starts right after it"
    assert (y[sign[0] + 1 :] == x[:length]).all()
    assert (y[: sign[0] + 1] == symbols).all()
    assert (np.delete(x, sign, axis=0)[length:] == symbols).all()
    assert x[:length].max() < symbols


@given(steps, sizes, seeds)
def test_the_class_of_a_latch_is_the_sign_of_its_first_input(T: int, B: int, rng: Any) -> None:
    x, y = latch(T, B, rng)
    assert (x[0, :, 0] == np.where(y, 1, -1)).all()
    assert x.shape == (T, B, 1)


@given(steps, sizes, seeds)
def test_delayed_recall_asks_at_the_end_for_the_only_symbol(T: int, B: int, rng: Any) -> None:
    x, y = delayed_recall(T, B, rng)
    assert ((x < 4).sum(axis=0) == 1).all()
    assert (x.min(axis=0) == y).all()
    assert (x[-1] == 8).all()
    assert ((x == 8).sum(axis=0) == 1).all()


@given(steps, sizes, seeds)
def test_parity_flips_at_every_one(T: int, B: int, rng: Any) -> None:
    x, y = parity(T, B, rng)
    odd = np.zeros(B, int)
    for bits, said in zip(x[:, :, 0].astype(int), y, strict=True):
        odd ^= bits
        assert (odd == said).all()


@given(steps, sizes, seeds)
def test_a_sine_follows_from_its_last_two_values(T: int, B: int, rng: Any) -> None:
    x, y = sine(T, B, rng)
    assert (x[1:] == y[:-1]).all()
    ratio = (y[1:] + x[:-1])  # s(t+1) + s(t-1) = 2 cos(ω) s(t)
    for b in range(B):
        two_cos = (ratio[:, b, 0] @ x[1:, b, 0]) / (x[1:, b, 0] @ x[1:, b, 0])
        assert 2 * np.cos(2 * np.pi / 10) - 1e-9 <= two_cos <= 2 * np.cos(2 * np.pi / 50) + 1e-9
        np.testing.assert_allclose(ratio[:, b], two_cos * x[1:, b], atol=1e-9)


TASKS = [adding, copy_memory, latch, delayed_recall, parity, sine]


@pytest.mark.parametrize("task", TASKS)
def test_the_same_generator_or_its_seed_gives_the_same_task(task: Any) -> None:
    for other in (np.random.default_rng(5), 5):
        for p, q in zip(task(12, 3, np.random.default_rng(5)), task(12, 3, other), strict=True):
            np.testing.assert_array_equal(p, q)
    rng = np.random.default_rng(5)
    first, second = task(12, 3, rng)[0], task(12, 3, rng)[0]
    assert (first != second).any(), "a generator goes on"


@pytest.mark.parametrize("task", TASKS)
def test_sizes_that_are_no_counts_are_refused_by_name(task: Any) -> None:
    for T, B, name in ((0, 3, "T"), (9, 0, "B"), (9, -1, "B")):
        with pytest.raises(ValueError, match=f"{task.__name__}: {name} must be at least"):
            task(T, B, 0)
    for T, B, name in ((9.0, 3, "T"), ("9", 3, "T"), (9, None, "B"), (True, 3, "T")):
        with pytest.raises(TypeError, match=f"{task.__name__}: {name} must be a whole number"):
            task(T, B, 0)
    task(np.int64(9), np.int32(3), 0)


@pytest.mark.parametrize("call", [
    lambda: copy_memory(3, 2, 0, symbols=0), lambda: copy_memory(3, 2, 0, length=0),
    lambda: delayed_recall(3, 2, 0, symbols=0), lambda: delayed_recall(3, 2, 0, distractors=0),
    lambda: latch(3, 2, 0, noise=-0.1),
])
def test_options_out_of_range_are_refused(call: Any) -> None:
    with pytest.raises(ValueError, match=r"must be at least 1, got 0|0 or more, got -0\.1"):
        call()
