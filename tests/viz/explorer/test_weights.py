"""Every step adds its share to the same weights."""

from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import nn
from tests.viz.explorer.pages import data_of, numbers
from viz.explorer.encode import decoded
from viz.explorer.weights import weights

XS = np.random.default_rng(0).normal(size=(6, 2, 3))


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_at_the_first_step_the_whole_gradient_is_collected(make):
    net = make(3, 4, rng=0)
    loss = (net(XS)[0] ** 2).sum()
    found = weights(loss, 6)
    loss.backward()
    own = dict(net.named_parameters())
    for name, sums in zip(found["names"], decoded(found["sums"]), strict=True):
        assert sums[0] == pytest.approx(np.linalg.norm(own[f"cell.{name}"].grad), rel=1e-6)


def test_at_the_last_step_it_is_the_share_of_that_step_alone():
    found = weights((nn.LSTM(3, 4, rng=0)(XS)[0] ** 2).sum(), 6)
    np.testing.assert_allclose(decoded(found["sums"])[:, -1], decoded(found["shares"])[:, -1])


def test_the_shares_are_those_of_viz_shares():
    loss = (nn.GRU(3, 4, rng=0)(XS)[0] ** 2).sum()
    found = weights(loss, 6)
    for name, row in zip(found["names"], decoded(found["shares"]), strict=True):
        np.testing.assert_allclose(row, viz.shares(loss)[name].norms, rtol=1e-6)


def test_a_net_with_loops_of_other_lengths_is_refused():
    first = nn.RNN(3, 4, rng=0)(XS)[1]
    second = nn.RNN(3, 4, rng=1)(XS[:4], first)[1]
    with pytest.raises(ValueError, match="other loops"):
        weights(second.sum(), 4)


def test_a_net_that_only_reads_backwards_has_the_weights_of_one_that_reads_the_turned_sequence() -> None:
    x = np.random.default_rng(0).standard_normal((6, 1, 3))

    def lane(xs: Any, reverse: bool) -> Any:
        root = (nn.unroll(nn.GRUCell(3, 4, rng=0), xs, reverse=reverse)[1] ** 2).sum()
        [found] = data_of(viz.explore(root))["lanes"]
        assert "weights" not in found["missing"]
        return found["weights"]

    there, back = lane(x[::-1].copy(), False), lane(x, True)
    assert there["names"] == back["names"]
    for key in ("shares", "sums"):
        assert numbers(back[key]) == pytest.approx(numbers(there[key]), rel=1e-12)
    assert len(np.unique(np.round(numbers(there["shares"]), 9))) > 6


def test_a_net_that_reads_in_both_directions_says_why_a_lane_has_no_weights() -> None:
    lanes = data_of(viz.explore(nn.GRU(3, 4, rng=0, bidirectional=True)(np.ones((6, 1, 3)))[0].sum()))["lanes"]
    assert ["both directions" in lane["missing"].get("weights", "") for lane in lanes] == [True, False]
