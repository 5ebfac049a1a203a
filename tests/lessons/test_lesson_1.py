"""Lesson 1: a loop leaves a graph, which is a feed-forward net that shares its weights."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lessons import run


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return run(1)


def test_the_gradient_of_the_shared_weight_is_the_sum_of_those_of_its_copies(lesson: dict[str, Any]) -> None:
    assert len(lesson["copies"]) == 3
    assert lesson["summed"] == pytest.approx(lesson["w"].grad, rel=1e-15)
    assert all(0.2 < copy.grad < 0.4 for copy in lesson["copies"])


def test_without_the_recurrent_matrix_a_step_is_a_feed_forward_net(lesson: dict[str, Any]) -> None:
    assert lesson["equal"]
    assert not lesson["equal_with_w"]


def test_tanh_gives_no_probabilities_and_softmax_does(lesson: dict[str, Any]) -> None:
    assert lesson["as_hidden"].min() < 0
    assert abs(lesson["as_hidden"].sum() - 1) > 0.1
    assert lesson["probabilities"].min() > 0
    assert lesson["probabilities"].sum() == pytest.approx(1, rel=1e-15)


def test_there_are_45_numbers_to_train_whatever_the_number_of_steps_is(lesson: dict[str, Any]) -> None:
    assert lesson["numbers"] == {1: 45, 10: 45, 1000: 45}
    assert sum(p.size for p in lesson["head"].parameters()) == 24


def test_three_outputs_pass_on_three_directions_of_eight_and_a_softmax_over_them_two(lesson: dict[str, Any]) -> None:
    assert [*lesson["ranks"].values()] == [8, 3]
    assert lesson["rank_softmax"] == 2
    state, outputs = lesson["spectra"].values()
    assert min(state) > 0.1
    assert max(outputs[3:]) < 1e-14 < 1 < min(outputs[:3])


def test_the_way_from_the_first_input_grows_by_two_operations_a_step(lesson: dict[str, Any]) -> None:
    assert lesson["operations"].tolist() == [[5 + 2 * (T - 1), 5] for T in lesson["Ts"]]
    assert lesson["at_1000"] == [2003, 5]


def test_one_cell_makes_five_patterns(lesson: dict[str, Any]) -> None:
    counts = {name: [*count.values()] for name, count in lesson["counts"].items()}
    assert counts == {"one to one": [1, 1, 1], "one to many": [1, 3, 3], "many to one": [3, 3, 1],
                      "many to many": [3, 3, 3], "encoder and decoder": [3, 5, 2]}


def test_a_convolution_with_a_mean_shares_its_weights_and_takes_any_length_from_that_of_its_kernel(
        lesson: dict[str, Any]) -> None:
    assert lesson["features"] == {3: (1, 5), 50: (1, 5), 500: (1, 5)}
    assert lesson["kernel"].size == 45


def test_exercises_twice_the_steps_add_their_nodes_and_without_w_there_is_no_way_back(lesson: dict[str, Any]) -> None:
    nodes = lesson["nodes"]
    assert 1.5 * nodes[10] < nodes[20] < 2 * nodes[10]
    assert lesson["trained"](10) == lesson["trained"](20)
    assert lesson["seen"] == {"W = 0": [10], "W": [*range(1, 11)]}
