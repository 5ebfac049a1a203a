"""Lesson 3: the gradient of a recurrent net by hand, and formulas that are wrong in print."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from demos.lessons.__main__ import LESSONS
from microgradrnn import nn
from tests.lessons import run


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return run(3)


def test_the_recursion_by_hand_is_the_gradient_of_the_engine(lesson: dict[str, Any]) -> None:
    assert [*lesson["against_engine"]] == ["U", "W", "b", "V"]
    assert max(lesson["against_engine"].values()) < 1e-14


def test_the_double_sum_has_45_terms_and_is_the_same_gradient(lesson: dict[str, Any]) -> None:
    assert len(lesson["delta"]) == 45
    assert lesson["error_of_double_sum"] < 1e-14
    by_engine = lesson["errors"].norms
    for (t, k), delta in lesson["delta"].items():
        assert by_engine[t - 1, k - 1] == pytest.approx(np.linalg.norm(delta), rel=1e-12)
    assert (by_engine[np.tril_indices(9)] > 0).all()


def test_twice_the_steps_take_twice_the_messages_and_loss_by_loss_four_times(lesson: dict[str, Any]) -> None:
    once, double = lesson["factors"]
    assert once == pytest.approx(2, abs=0.05)
    assert double == pytest.approx(4, abs=0.2)


def test_the_copies_of_the_weight_add_up_to_its_gradient_and_two_point_against_it(lesson: dict[str, Any]) -> None:
    by_step = lesson["by_step"]
    assert len(by_step.arrays) == 9
    assert np.linalg.norm(by_step.arrays.sum(axis=0) - lesson["gradients"]["W"]) < 1e-14
    assert round(by_step.norms.sum(), 2) == 6.27
    assert lesson["whole"] < 0.4 * by_step.norms.sum()
    assert lesson["against"] == [6, 9]


def test_the_chain_is_the_product_of_slopes_and_w_by_turns_not_of_their_powers(lesson: dict[str, Any]) -> None:
    assert lesson["error_of_chain"] < 1e-14
    assert lesson["error_of_powers"] > 0.5


def test_every_formula_as_printed_is_wrong_by_more_than_a_tenth(lesson: dict[str, Any]) -> None:
    wrong = lesson["wrong"]
    assert [*wrong] == ["C25", "C26", "C27", "C29", "C41", "C59 order", "C59 matrix", "C60"]
    assert min(wrong.values()) > 0.1


def test_the_table_of_misprints_holds_the_errors_that_are_measured(lesson: dict[str, Any]) -> None:
    rows = re.findall(r"^# \| (C\d+[\w ]*) \|.*\| ([\d.]+) \|$", LESSONS[3].read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(name, f"{found:.2f}") for name, found in lesson["wrong"].items()]


def test_c60_misses_nearly_all_of_the_gradient_at_the_first_state(lesson: dict[str, Any]) -> None:
    at_h = lesson["at_h"]
    assert np.linalg.norm(lesson["for_chain"](at_h[9])["C60"]) < 0.01 * np.linalg.norm(at_h[1])


def test_the_gradient_of_one_loss_at_a_time_still_points_downhill(lesson: dict[str, Any]) -> None:
    assert 0.9 < lesson["cosine"] < 1


def test_states_held_constant_give_the_gradient_of_one_loss_at_a_time(lesson: dict[str, Any]) -> None:
    x, y, cell, h, losses = lesson["x"], lesson["y"], lesson["cell"], lesson["h0"], []
    for t in lesson["steps"]:
        h = cell(x[t], nn.detach(h))
        losses.append(nn.cross_entropy(lesson["head"](h), y[t], reduction="sum"))
    assert lesson["error"](mg.grad(mg.stack(losses).sum(), cell.W), lesson["own"]) < 1e-14


def test_training_with_one_loss_at_a_time_fails_as_soon_as_the_past_is_needed(lesson: dict[str, Any]) -> None:
    now, one_step_ago = lesson["trained"][0], lesson["trained"][1]
    assert max(now.values()) < 0.01
    assert one_step_ago["exact"] < 0.01
    assert 0.8 < one_step_ago["C27"] < 2


def test_exercises_the_first_state_the_outputs_and_the_losses_decide_what_the_gradient_is(
        lesson: dict[str, Any]) -> None:
    assert lesson["counts"] == {"W": 8, "U": 9}
    assert lesson["same_chain"]
    assert lesson["change"] > 1
    still_wrong, wrong = lesson["still_wrong"], lesson["wrong"]
    assert still_wrong["C26"] < wrong["C26"] < wrong["C27"] < still_wrong["C27"]
    right = [name for name, error in still_wrong.items() if error < 1e-14]
    assert right == ["C25", "C60"]
    assert min(error for name, error in still_wrong.items() if name not in right) > 0.1
