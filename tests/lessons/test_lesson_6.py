"""Lesson 6: what clipping, decay, ReLU, the identity and addition cure, and at what price."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.lessons import run


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return run(6)


def test_beside_a_cliff_a_step_goes_far_away_unless_it_is_clipped(lesson: dict[str, Any]) -> None:
    assert lesson["steepest"] > 1000 * lesson["typical"]
    assert 0 < lesson["share"] < 0.002
    plain, clipped = lesson["plain"], lesson["clipped"]
    assert lesson["same"] > 10
    assert plain.longest > 10
    assert clipped.longest == pytest.approx(0.1, abs=1e-6)
    assert (np.abs(clipped.points - clipped.points[0]) < 0.25).all()
    assert np.ptp(plain.losses[-20:]) < 1e-6  # flat
    assert lesson["lowest"][1] < 1e-2 * lesson["lowest"][0]


def test_a_learning_rate_converges_below_two_over_the_curvature(lesson: dict[str, Any]) -> None:
    assert lesson["ends"][0.98] < 1e-6
    assert lesson["ends"][1.02] > 1e6
    assert lesson["meant"] == pytest.approx(0.3487, abs=1e-4)
    assert lesson["printed"] == pytest.approx(0.9**55)


def test_clipping_by_norm_keeps_the_direction(lesson: dict[str, Any]) -> None:
    assert lesson["cosines"]["norm"] == pytest.approx(1, abs=1e-12)
    assert lesson["cosines"]["entry"] < 0.9
    assert np.linalg.norm(lesson["before"]) > 100


def test_clipping_cures_explosion_and_not_vanishing(lesson: dict[str, Any]) -> None:
    assert lesson["accuracy"]["clipped"][1:] == [1.0, 1.0]
    assert lesson["accuracy"]["clipped"][0] == lesson["accuracy"]["not clipped"][0]
    assert lesson["accuracy"]["clipped"][0] < 0.3
    assert max(lesson["accuracy"]["not clipped"]) < 0.7
    assert lesson["largest"][0.5] < 1 < 10 < lesson["largest"][0.95]
    assert all(len(lesson["records"](gain, clip)) == 6 for gain in lesson["gains"] for clip in (None, 1.0))


def test_weight_decay_is_slow_and_makes_vanishing_worse(lesson: dict[str, Any]) -> None:
    explodes, vanishes = lesson["decayed"][2.5], lesson["decayed"][0.7]
    assert explodes[0] > 100
    assert explodes[1] > 30  # after five updates it explodes as before
    assert explodes[-1] < 1e-3
    assert vanishes[0] < 1e-2
    assert (np.diff(vanishes) < 0).all()


def test_relu_alone_vanishes_faster_and_from_the_identity_it_does_not(lesson: dict[str, Any]) -> None:
    left = {name: sizes[-1] for name, sizes in lesson["starts"].items()}
    assert left["ReLU"] < 1e-3 * left["tanh"]
    assert left["tanh"] < 0.1
    assert left["IRNN"] == pytest.approx(1, abs=0.1)


def test_the_identity_learns_to_add_and_is_on_the_edge(lesson: dict[str, Any]) -> None:
    tanh, irnn, lstm = np.array(list(lesson["updates"].values())).T
    assert (tanh == 3000).all()
    assert max(*irnn, *lstm) < 3000
    assert irnn[:2].mean() < lstm[:2].mean()  # T = 50
    assert irnn[2:].mean() < lstm[2:].mean()  # T = 100
    assert lesson["edge"][1.05] > 90
    assert lesson["edge"][0.95] < 1 / 90


def test_addition_passes_gradients_on_and_loses_the_order(lesson: dict[str, Any]) -> None:
    flows = lesson["flows"]
    np.testing.assert_array_equal(flows["h + g(x)"], np.ones(100))
    assert flows["h + g(x, h), W = −I/2"][-1] < 1e-25
    assert lesson["changes"]["h + g(x)"] < 1e-13
    assert lesson["changes"]["h + g(x, h)"] > 0.1


def test_an_additive_state_grows_and_that_of_a_gru_does_not(lesson: dict[str, Any]) -> None:
    mean, balanced, gru = lesson["powers"].values()
    assert mean == pytest.approx(1.0, abs=0.05)
    assert balanced == pytest.approx(0.5, abs=0.1)
    assert gru == pytest.approx(0.0, abs=0.05)
    assert (lesson["states"]["GRU"] < 1).all()
    np.testing.assert_array_equal(lesson["c"].data, np.full((1, 30), 200.0))


def test_the_exercises(lesson: dict[str, Any]) -> None:
    assert lesson["careful"].longest == pytest.approx(0.01, abs=1e-6)
    assert lesson["careful"].losses.min() < lesson["clipped"].losses.min()
    assert lesson["slightly"] == pytest.approx(1.02**99, rel=0.1)
    assert not lesson["single"].any()
