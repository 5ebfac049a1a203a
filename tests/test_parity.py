"""Recurrent nets of random configurations equal PyTorch's: ``python -m benchmarks parity`` in small."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.parity import BAR, KINDS, Configuration, apart
from microgradrnn import nn

torch = pytest.importorskip("torch")

CONFIGURATIONS = [Configuration(seed) for seed in range(1000, 1060)]


@pytest.mark.parametrize("one", CONFIGURATIONS, ids=lambda one: f"{one.seed} {one.kind}")
def test_outputs_states_and_gradients_equal_those_of_pytorch(one: Configuration) -> None:
    for name, ours, theirs in one.numbers(torch):
        assert apart(ours, theirs) <= BAR, name


def test_the_configurations_cover_every_option_and_every_pair_of_an_option_and_a_kind() -> None:
    for kind in KINDS:
        mine = [one for one in CONFIGURATIONS if one.kind == kind]
        for option in ("bidirectional", "batch_first", "bias"):
            assert {one.options[option] for one in mine} == {True, False}
        assert len({one.options["num_layers"] for one in mine}) == 3
        assert {one.lengths is None for one in mine} == {one.has_state for one in mine} == {True, False}
        assert {one.compiled for one in mine} == {"numpy", False}
    assert {one.sizes[0] for one in CONFIGURATIONS} == {1, 2, 3, 7, 20, 50}


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_that_is_off_by_a_billionth_shows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = next(one for one in CONFIGURATIONS if one.kind == kind and one.sizes[0] > 3)
    assert one.difference(torch) <= BAR
    right = nn.Recurrent.__call__

    def off(net: nn.Recurrent, *args: object, **options: object) -> object:
        cell = next(net.cells())[2]
        cell.U.data = cell.U.data * (1 + 1e-9)
        return right(net, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(nn.Recurrent, "__call__", off)
    assert one.difference(torch) > BAR


def test_what_is_not_finite_or_of_another_shape_differs() -> None:
    a = np.ones(2)
    assert apart(a, a) == 0.0
    assert apart(a * np.nan, a) == apart(a, a * np.inf) == apart(a, np.ones(3)) == float("inf")
    assert apart(None, 0 * a) == 0.0
