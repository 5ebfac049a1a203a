"""Lesson 7, the LSTM: what its cells find."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lessons import run


def test_three_gates_are_sigmoids_and_the_candidate_is_tanh() -> None:
    assert run(7)["functions"] == {"i": "sigmoid", "f": "sigmoid", "o": "sigmoid", "g": "tanh"}


def test_weights_apart_and_stacked_are_one_map() -> None:
    assert run(7)["layouts_differ"] < 1e-14


def test_a_forget_gate_of_one_copies_and_one_of_zero_drops() -> None:
    copied, gradients = run(7)["copied"], run(7)["gradients"]
    assert copied == {1: True, 0: False}
    assert (gradients[1] == 1).all()
    assert not gradients[0].any()


def test_with_clamped_gates_the_lstm_is_a_simple_net_with_one_more_tanh() -> None:
    assert run(7)["is_simple"]


def test_the_update_gate_that_nothing_reads_gets_no_gradient() -> None:
    assert run(7)["unused"] == 0


def test_the_other_ways_bring_most_of_the_gradient_and_close_when_w_is_zero() -> None:
    names = run(7)
    assert names["whole"][-1] > 1e4 * names["carry"][-1]
    assert names["is_product"]
    assert names["ways"].check() < 1e-12


def test_the_lstm_of_1997_keeps_the_gradient_whole() -> None:
    assert (run(7)["carousel"] == 1).all()


def test_what_is_left_after_fifty_steps_is_set_by_the_forget_bias() -> None:
    left, half_life = run(7)["left"], run(7)["half_life"]
    assert left[1][50] < 1e-6  # the guess: less than a millionth
    assert [left[b][50] for b in (0, 1, 2)] == pytest.approx([9e-16, 1.6e-7, 1.8e-3], rel=0.05)
    assert f"{left[5][50]:.0%}" == "71%"
    assert f"{half_life[1]:.1f} {half_life[2]:.1f}" == "2.2 5.5"


def test_whole_nets_rank_as_their_forget_biases_do() -> None:
    left = run(7)["after_49"]
    assert left["tanh RNN"] < left["forget bias 0"] < left["forget bias 1"] < left["forget bias 3"]
    assert left["forget bias 1"] == pytest.approx(2e-5, rel=0.1)
    assert left["forget bias 3"] > 0.1


def test_recall_needs_a_forget_bias_of_three_or_chrono() -> None:
    learned, reach = run(7)["learned"], run(7)["reach"]
    assert learned == {0: 0, 1: 0, 2: 1, 3: 3, 5: 3, "chrono": 3}
    assert reach["chrono"] < reach[2]  # and yet all its nets learn
    failed = [net["first_to_last_before"] for b in (0, 1) for net in run(7)["runs"][b]]
    assert len(failed) == 6
    assert max(failed) < 1e-3 < reach["chrono"]


def test_the_gradient_at_h_is_the_sum_of_that_of_its_own_loss_and_of_later_ones() -> None:
    g = run(7)["at_h_25"]
    np.testing.assert_allclose(g["own loss"] + g["later losses"], g["all"], rtol=1e-12)
    assert np.linalg.norm(g["own loss"]) > 0.1
    assert np.linalg.norm(g["later losses"]) > 0.1


def test_c_changes_more_slowly_than_h() -> None:
    memory = run(7)["memory"]
    assert all(c > h for c, h in zip(memory["c"][1:], memory["h"][1:], strict=True))


def test_the_gradient_explodes_with_the_gain_of_the_recurrent_weights() -> None:
    growth = run(7)["growth"]
    assert growth[0] < 0.01
    assert 1 < growth[1] < growth[2] < growth[4] < growth[8]
    assert growth[8] > 1000


def test_with_large_weights_and_relu_the_state_grows_beyond_a_million_and_the_gradient_further() -> None:
    largest, steepest = run(7)["largest"], run(7)["steepest"]
    assert largest[1, "relu"] < 1
    assert steepest[1, "relu"] < steepest[1, "tanh"]
    assert largest[4, "tanh"] <= 1
    assert largest[4, "relu"] > 1e6
    assert steepest[4, "relu"] > 100 * largest[4, "relu"]
    assert steepest[4, "relu"] > 1e6 * steepest[4, "tanh"]


def test_tanh_is_steeper_than_the_sigmoid_up_to_1_66() -> None:
    names = run(7)
    assert (names["tanh_slope"][0], names["sigmoid_slope"][0]) == (1, 0.25)
    assert names["crossing"] == pytest.approx(1.6629, abs=1e-3)


def test_exercises() -> None:
    names = run(7)
    assert names["b_needed"] == pytest.approx(5, abs=0.1)
    assert names["share_of_carry"] < 0.1
    assert names["far"]["CoupledLSTMCell"] < 1 < 100 < names["far"]["CarouselLSTMCell"]
