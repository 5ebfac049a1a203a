"""Lesson 4: single terms of long lag vanish, the gradient of a weight does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from demos.experiments.records import read
from tests.lessons import run


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return run(4)


def test_the_gradient_of_eighty_steps_is_nearly_that_of_the_last_ten(lesson: dict[str, Any]) -> None:
    assert lesson["size"] > 1
    assert lesson["difference"] < 0.02 * lesson["size"]


def test_a_term_of_long_lag_vanishes_and_the_sum_does_not(lesson: dict[str, Any]) -> None:
    terms = lesson["terms"]
    assert terms.keys[0] == 0
    assert lesson["far"] < 1e-12 * lesson["near"]
    assert 0.5 < lesson["size"] / lesson["near"] < 2
    assert terms.total == pytest.approx(lesson["long"], rel=1e-10)


def test_early_inputs_are_lost(lesson: dict[str, Any]) -> None:
    last, before, first = lesson["reaches"][[79, 69, 0]]
    assert first < 1e-20 * last
    assert before < 1e-2 * last


def test_terms_shrink_only_in_nets_that_contract_and_only_in_the_long_run(lesson: dict[str, Any]) -> None:
    growth = {gain: sizes[-1] / sizes[0] for gain, sizes in lesson["profiles"].items()}
    assert growth["gain 0.5"] < 1e-15
    assert growth["gain 3.0"] > 1e3
    assert lesson["left"][10] == pytest.approx(38.7, rel=0.01)
    assert lesson["left"][200] == pytest.approx(1.6e-6, rel=0.05)


def test_the_whole_gradient_can_be_zero(lesson: dict[str, Any]) -> None:
    assert np.abs(lesson["at_zero"]).min() > 0.5
    assert abs(lesson["at_zero"].sum()) < 1e-14


def test_a_unit_that_holds_a_bit_forgets_gradients(lesson: dict[str, Any]) -> None:
    assert lesson["holds"][-1] > 0.5
    assert lesson["flips"][-1] < -0.5
    assert lesson["slope"] == pytest.approx(0.166, abs=1e-3)
    assert 18 <= lesson["latches"][0.5][1] <= 20  # most hold a bit for 5 steps
    assert lesson["latches"][0.5][2:] == [0, 0, 0]
    assert lesson["noiseless"] > 5  # at 10 steps the noise prevents it, not a term that is exactly lost
    totals = [sum(row) for row in lesson["latches"].values()]
    assert totals == sorted(totals)


def test_training_makes_a_net_listen_to_its_first_symbol(lesson: dict[str, Any]) -> None:
    before, after = lesson["first_over_last"]
    assert before < 1e-4
    assert after > 0.1
    assert lesson["final"] < 0.3


def test_twenty_steps_are_learned_and_fifty_are_not_whatever_the_connection_at_the_start() -> None:
    short, long = ([r["solved_at"] for r in read("recall", cell="tanh", T=T, updates=3000)] for T in (20, 50))
    assert sum(n is not None for n in short) == 2
    assert long == [None] * 3
    start = {(kind, T): np.median([r["first_to_last_before"] for r in read("recall", cell=kind, T=T, updates=3000)])
             for kind in ("tanh", "lstm") for T in (20, 50)}
    assert 1e-6 < start["tanh", 20] < 1e-4
    assert start["tanh", 50] < 1e-11
    assert start["lstm", 50] > 1e-5  # the best connection, and not learned either
    assert [r["solved_at"] for r in read("recall", cell="lstm", T=50, updates=3000)] == [None] * 3


def test_the_exercises(lesson: dict[str, Any]) -> None:
    assert lesson["relative"] > 0.5
    assert lesson["ratio_every"] < 1e-12
    assert lesson["slope"] < lesson["weak_slope"] < 1
