"""Lesson 5: eigenvalues of single steps decide nothing; singular values and the gain do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from demos.experiments import norms
from tests.lessons import run


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return run(5)


def test_the_gradient_explodes_although_every_eigenvalue_is_below_one(lesson: dict[str, Any]) -> None:
    assert lesson["radii"] == pytest.approx(np.full(40, math.sqrt(0.8)), rel=1e-9)
    assert math.sqrt(0.8) == pytest.approx(0.89, abs=0.005)
    assert lesson["growth"][-1] == pytest.approx(2.0**40, rel=1e-9)
    J_1, J_2 = lesson["J"].arrays[:2]
    assert pytest.approx(np.array([[0, 2], [0.4, 0]]), abs=1e-12) == J_1
    assert pytest.approx(np.array([[0, 0.4], [2, 0]]), abs=1e-12) == J_2
    assert pytest.approx(np.diag([4, 0.16]), abs=1e-12) == J_1 @ J_2


def test_the_rule_of_the_eigenvalue_fails_in_three_more_ways(lesson: dict[str, Any]) -> None:
    assert lesson["vanished"] == pytest.approx(1.1e-13, rel=0.05)
    assert lesson["after_10"] == pytest.approx(38.7, rel=0.01)
    assert lesson["after_200"] == pytest.approx(1.6e-6, rel=0.05)
    assert lesson["other_unit"] == pytest.approx(0.5**50, rel=1e-12)


def test_the_bound_by_singular_values_holds_and_decides_one_way_only(lesson: dict[str, Any]) -> None:
    small, middle, large = lesson["jacobians"]
    for name, J in lesson["jacobians"].items():
        assert (J.transport() <= J.product_of_norms() + 1e-12).all()
        assert (J.product_of_norms() <= J.bound(lesson["matrices"][name]) + 1e-12).all()
    assert lesson["stretch"][small] < 1 < lesson["stretch"][middle]
    assert lesson["jacobians"][small].transport()[-1] < -10
    assert lesson["jacobians"][middle].transport()[-1] < -3  # above 1, and it vanishes: not necessary for vanishing
    assert lesson["jacobians"][large].transport()[-1] > 3


def test_a_wide_net_begins_to_explode_at_gain_one_or_the_root_of_two(lesson: dict[str, Any]) -> None:
    crossing = lesson["crossing"]
    assert crossing["linear"] == pytest.approx(1.0, abs=0.06)
    assert crossing["tanh"] == pytest.approx(1.0, abs=0.15)
    assert crossing["ReLU"] == pytest.approx(math.sqrt(2), abs=0.08)
    at = {kind: dict(zip(lesson["gains"], line, strict=True)) for kind, line in lesson["rates"].items()}
    assert at["ReLU"][0.8] < at["tanh"][0.8] - 0.2 < 0
    assert 0 < at["tanh"][3.0] < at["ReLU"][3.0] - 0.2
    assert 0 < at["tanh"][1.2] < 0.02  # about 1 % per step: just above the border, tanh explodes slowly
    assert at["ReLU"][3.0] == pytest.approx(math.log(3 / math.sqrt(2)), abs=0.08)
    assert norms.medians("tanh")[-1] > 1e4  # at gain 3 exploding is the rule


def test_a_relu_net_multiplies_by_a_power_of_w_only_if_all_units_are_on_and_overflows(lesson: dict[str, Any]) -> None:
    assert lesson["error"] < 1e-13
    assert lesson["overflow"] > 1e80


def test_saturation_without_inputs_slows_an_explosion_and_does_not_prevent_it(lesson: dict[str, Any]) -> None:
    share = list(lesson["awake"].values())
    assert share == sorted(share, reverse=True)
    assert share[0] < 0.5  # most units saturate
    assert (np.diff(lesson["mean_square"]) < 0).all()
    assert (np.diff(lesson["growing"]) > 0).all()
    assert lesson["growing"][0] > 1
    slope = np.polyfit(np.log(lesson["wide"]), np.log(lesson["mean_square"]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)  # like 1/gain
    assert lesson["predicted"] == pytest.approx(lesson["measured"], abs=0.1)
    np.testing.assert_array_equal(lesson["at_zero"], lesson["random_net"](10.0, H=200)[0].W.data)


def test_strong_inputs_saturate_a_net_until_its_gradient_vanishes(lesson: dict[str, Any]) -> None:
    none, some, many = lesson["strong"].values()
    assert none > 0.2  # gain 3 explodes without inputs
    assert many < -0.5 < some < 0


def test_an_orthogonal_matrix_keeps_every_direction_and_a_radius_of_one_does_not(lesson: dict[str, Any]) -> None:
    assert lesson["kept"] == pytest.approx(np.ones((2, 51)), rel=1e-12)
    largest, smallest = lesson["scaled"]
    assert np.abs(np.linalg.eigvals(lesson["G"])).max() == pytest.approx(1)
    assert largest[1] > 1.5
    assert smallest[-1] < 1e-20
    values = np.linalg.svd(np.linalg.matrix_power(lesson["G"], 50), compute_uv=False)
    assert (values > 0.1).sum() <= 2
    assert lesson["powers"] == pytest.approx(np.ones(4), abs=1e-11)


def test_the_default_of_pytorch_vanishes_and_its_gain_shows_it(lesson: dict[str, Any]) -> None:
    assert lesson["gain"] == pytest.approx(1 / math.sqrt(3), abs=0.01)
    assert lesson["radius"] == pytest.approx(0.6, abs=0.03)
    assert lesson["largest"] == pytest.approx(1.1, abs=0.05)
    assert lesson["left"] < 0.62


def test_the_exercises(lesson: dict[str, Any]) -> None:
    assert lesson["fixed"] == pytest.approx(0.8**20, rel=1e-9)
    assert lesson["border"] == pytest.approx(1.26, abs=0.01)
    assert abs(lesson["at_border"]) < 0.05
    assert lesson["left"] < lesson["rescaled"] < 0.95
