"""Lesson 2: what a loss of a sequence is, and what its gradient says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.lessons import run


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return run(2)


def test_the_first_loss_is_the_logarithm_of_the_number_of_characters(lesson: dict[str, Any]) -> None:
    assert lesson["K"] == len(set(lesson["text"])) + 1  # and the unknown character
    assert lesson["mean_loss"] == pytest.approx(math.log(lesson["K"]), abs=0.01)
    assert lesson["symbols"] == 85
    assert lesson["first"] == pytest.approx(math.log(85), abs=0.01)
    assert round(math.log(85), 2) == 4.44
    for n, loss in lesson["first_losses"].items():
        assert loss == pytest.approx(math.log(n), abs=0.02)


def test_the_targets_are_the_inputs_one_step_later(lesson: dict[str, Any]) -> None:
    assert (lesson["x"].argmax(axis=-1)[1:] == lesson["ids"][1:-1, None]).all()


def test_a_trained_net_beats_single_characters_after_1000_updates_and_pairs_after_5000(lesson: dict[str, Any]) -> None:
    loss, record = dict(zip(lesson["updates"], lesson["trained"], strict=True)), lesson["record"]
    assert loss[1000] < record["unigram"]
    assert loss[5000] < record["bigram"] < loss[2000]
    assert lesson["updates"][:3] == [1000, 2000, 5000]
    assert (np.diff(lesson["trained"]) < 0).all()


def test_the_gradient_of_the_total_loss_is_the_sum_of_those_of_the_steps(lesson: dict[str, Any]) -> None:
    assert len(lesson["by_step"]) == 29
    assert np.abs(lesson["by_step"][-1]).max() > 1e-4
    assert lesson["difference"] < 1e-15


def test_the_product_of_the_probabilities_underflows_and_the_sum_of_the_logarithms_does_not(
        lesson: dict[str, Any]) -> None:
    n, sums, products = lesson["underflow"], lesson["sums"], lesson["products"]
    assert 50 < n < 150
    smallest = -math.log(5e-324)  # the smallest positive number
    assert round(smallest, 1) == 744.4
    assert sums[n - 1] < smallest + math.log(2) < sums[n]  # half of it rounds to 0
    assert np.isinf(products[n:]).all()
    np.testing.assert_allclose(products[:n - 10], sums[:n - 10], rtol=1e-12)
    assert 3000 < sums[-1] < 3100


def test_the_gradient_at_the_logits_is_prediction_minus_target_if_the_targets_sum_to_one(
        lesson: dict[str, Any]) -> None:
    assert lesson["error"] < 1e-15
    assert (np.sign(lesson["g"]) == [1, 1, -1, 1]).all()
    assert lesson["printed"] > 0.5
    assert lesson["correct"] < 1e-15
    np.testing.assert_allclose(lesson["without_minus"], lesson["y_one"] - lesson["y_hat"], atol=1e-15)
    assert lesson["without_minus"][2] == pytest.approx(1 - lesson["y_hat"][2], rel=1e-12)


def test_a_bag_loses_the_order_and_a_state_keeps_it_for_some_steps(lesson: dict[str, Any]) -> None:
    assert lesson["distinct"] == [120, 1]
    exchanged = lesson["exchanged"]
    assert exchanged[5] > 0.01
    assert exchanged[20] < 1e-6
    assert exchanged[50] < 1e-15


def test_with_the_mask_the_gradient_of_a_batch_padded_at_the_end_is_exact(lesson: dict[str, Any]) -> None:
    assert lesson["with_mask"] < 1e-14
    assert 4.5 < lesson["without"] < 5  # "almost five times as large as the gradient"
    assert lesson["at_start"] > 0.5
    padding = ~lesson["mask"].T
    assert (lesson["at_inputs"][padding] == 0).all()
    assert (lesson["at_inputs"][~padding] > 0).all()


def test_only_with_lengths_the_last_state_is_that_after_the_last_real_step(lesson: dict[str, Any]) -> None:
    assert lesson["wrong_by"]["without lengths="] > 0.1
    assert lesson["wrong_by"]["with lengths="] < 1e-14
    assert lesson["is_nan"] == {"with lengths=": [False] * 4, "without": [False, True, True, True]}


def test_the_mean_of_the_states_gives_every_step_a_direct_way(lesson: dict[str, Any]) -> None:
    assert lesson["kept"]["last state"] < 1e-24
    assert max(lesson["profiles"]["mean of states"]) < 2 * min(lesson["profiles"]["mean of states"])
    assert lesson["direct"][50] / lesson["direct"][100] == pytest.approx(2, rel=1e-12)
