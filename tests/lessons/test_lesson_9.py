"""Lesson 9, depth, direction, trees and cost: what its cells find."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.lessons import run


def test_all_ways_through_a_stack_pass_the_same_number_of_cells() -> None:
    assert run(9)["ways"] == math.comb(5 + 4 - 2, 4 - 1) == 35
    assert run(9)["cells_passed"] == 5 + 4 - 1


def test_one_step_of_a_stack_is_a_feed_forward_net() -> None:
    assert run(9)["feed_forward"] < 1e-14


def test_before_training_the_mean_lag_grows_from_layer_to_layer() -> None:
    assert (np.diff(run(9)["mean_lag"]) > 0.5).all()


def test_in_the_records_only_four_layers_of_tanh_at_the_larger_rate_fail() -> None:
    assert run(9)["cases"] == [(1, 0.003), (1, 0.01), (4, 0.003), (4, 0.01)]
    assert run(9)["solved"] == {"tanh": [3, 3, 3, 1], "relu": [3, 3, 3, 3]}
    assert run(9)["first_to_last"] == pytest.approx(12, abs=0.5)


def test_one_direction_sees_the_past_alone_and_both_see_everything() -> None:
    one, both = run(9)["depends"]["one direction"], run(9)["depends"]["both"]
    assert not np.triu(one, 1).any()
    assert (one[np.tril_indices(8)] > 0).all()
    assert (both > 0).all()


def test_a_tree_that_is_a_chain_is_the_simple_net() -> None:
    assert run(9)["is_chain"]


def test_a_balanced_tree_is_shallow_and_keeps_the_gradient_of_all_leaves() -> None:
    depth, sizes = run(9)["depth"], run(9)["sizes"]
    assert depth == {"chain": 63, "balanced": 6}
    assert min(sizes["chain"]) < 1e-15
    assert min(sizes["balanced"]) > 1e-3


def test_the_work_of_the_forward_pass_grows_with_the_steps() -> None:
    n = run(9)["operations"]
    assert n[80] - n[40] == 2 * (n[40] - n[20]) > 0


def test_a_linear_net_needs_the_logarithm_of_the_steps() -> None:
    assert run(9)["rounds"] == math.ceil(math.log2(100)) == 7
    assert run(9)["scan_error"] < 1e-12


def test_a_contracting_net_is_solved_in_a_few_sweeps_and_another_is_not() -> None:
    sweeps = run(9)["sweeps"]
    assert sweeps[0.5] < 40
    assert sweeps[1] < 100
    assert 150 < sweeps[2] <= 200
    assert run(9)["longer"] <= sweeps[0.5] + 2


def test_exercises() -> None:
    names = run(9)
    assert (names["long"], names["many"]) == (101, 100)
    assert 0.4 < names["shrinks"] < 1
    assert names["new_depth"] == 7
    assert names["between"] == pytest.approx(100, abs=25)
