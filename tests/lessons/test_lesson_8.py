"""Lesson 8, GRU and MGU: what its cells find."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lessons import run


def test_the_equations_of_the_lesson_are_those_of_the_cell() -> None:
    assert run(8)["as_library"] < 1e-14
    assert run(8)["as_cells"] < 1e-14


def test_the_new_state_is_between_the_old_one_and_the_candidate() -> None:
    assert run(8)["between"]


def test_without_reset_gate_the_candidate_is_blind_to_the_past_and_the_state_is_not() -> None:
    assert run(8)["same_n"]
    assert not run(8)["same_h"]


def test_z_does_not_follow_r() -> None:
    assert run(8)["same_z"]


def test_the_three_corners_are_the_simple_net_no_memory_and_a_copy() -> None:
    names = run(8)
    J, to_x = names["J"], names["to_x"]
    assert names["off"] < 1e-14
    assert not J["z = 0, r = 0"].any()
    np.testing.assert_array_equal(J["z = 1"], np.eye(32))
    assert to_x["z = 1"] == 0
    assert min(to_x["z = 0, r = 1"], to_x["z = 0, r = 0"]) > 0


def test_the_same_weights_are_different_maps_in_other_conventions() -> None:
    differs = run(8)["differs"]
    assert differs["as above"] == 0
    assert differs["reset after"] == pytest.approx(0.04, abs=0.005)
    assert differs["z replaces"] == pytest.approx(0.27, abs=0.005)


def test_the_same_bias_of_z_remembers_or_forgets() -> None:
    left = run(8)["left"]
    assert left["z keeps"] == pytest.approx(0.09, abs=0.005)
    assert left["z replaces"] < 1e-20
    keeps, replaces = run(8)["compared"].tracks
    assert np.mean(keeps.kept()) == pytest.approx(0.95, abs=0.01)
    assert np.mean(replaces.kept()) == pytest.approx(0.05, abs=0.01)


def test_cells_have_1_2_3_and_4_times_the_numbers_of_a_simple_net() -> None:
    names = run(8)
    assert names["alone"] == [1, 2, 3, 4]
    assert names["sizes"]["LSTM"] == 117_248
    assert names["with_head"][3] == pytest.approx(1.56, abs=0.01)


def test_a_gru_multiplies_three_quarters_as_much_as_an_lstm_and_an_mgu_two_thirds_as_much_as_a_gru() -> None:
    n = run(8)["multiplications"]
    assert 4 * n["GRU"] == 3 * n["LSTM"]
    assert 3 * n["MGU"] == 2 * n["GRU"]


def test_exercises() -> None:
    names = run(8)
    assert names["after_flip"] < 1e-14
    assert names["fitting"] == 153
    left = names["mgu_left"]
    assert left[-3] > 0.01 > 1e-8 > left[0] > left[3]
