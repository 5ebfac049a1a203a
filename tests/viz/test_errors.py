"""What is given instead of what a function takes: each answer names the function, what it takes, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import nn

LSTM = nn.LSTM(3, 4, rng=0)
LOSS = LSTM(np.ones((5, 2, 3)))[0][-1].sum()
FLOW = viz.gradient_flow(LOSS)
OTHER = viz.gradient_flow(LSTM(np.ones((6, 2, 3)))[0][-1].sum())


@pytest.mark.parametrize(("call", "words"), [
    (lambda: viz.draw_unrolled(LSTM), "trace: expected a Value or a Tensor, got LSTM; call it, and take a loss"),
    (lambda: viz.draw_unrolled(LOSS, flow=np.ones(3)),
     r"draw_unrolled, flow: expected what viz\.gradient_flow\(loss\) returns"),
    (lambda: viz.gradient_flow(LSTM), "gradient_flow: expected a Value or a Tensor of microgradrnn, got LSTM; call it"),
    (lambda: viz.profiles(LOSS), r"profiles: expected what viz\.gradient_flow\(loss\) returns, got Tensor"),
    (lambda: viz.decay(FLOW), r"decay: expected a Profile, flow\.profile\(\), got Flow"),
    (lambda: viz.ratios(LOSS), r"ratios: expected a Profile, flow\.profile\(\), got Tensor"),
    (lambda: viz.draw_ways(FLOW), r"draw_ways: expected what viz\.ways\(loss\) returns, or a dict of them"),
    (lambda: viz.draw_ways({"lstm": LOSS}), r"draw_ways: expected what viz\.ways\(loss\) returns, or a dict of them"),
    (lambda: viz.shares(LOSS, "W"), r"shares: expected leaves by name, dict\(net\.named_parameters\(\)\), got str"),
    (lambda: viz.plot_local_errors(LOSS),
     r"plot_local_errors: expected what viz\.local_errors\(loss\) returns, got Tensor"),
    (lambda: viz.plot_shares(viz.shares(LOSS)),
     r"plot_shares: expected the shares of one parameter, .*got dict"),
    (lambda: viz.plot_singular_values(LOSS),
     r"plot_singular_values: expected what viz\.step_jacobians\(loss\) returns, got Tensor"),
    (lambda: viz.plot_eigenvalues(LOSS), r"plot_eigenvalues: expected what viz\.step_jacobians\(loss\) returns"),
    (lambda: viz.plot_transport(LOSS), r"plot_transport: expected a dict, \{'lstm': viz\.step_jacobians\(loss\)"),
    (lambda: viz.draw_cell(nn.LSTMCell),
     r"cell: got the class LSTMCell, not a cell; make one, as in nn\.LSTMCell\(3, 5\)"),
    (lambda: viz.draw_cell(LSTM), r"cell: got a whole layer, LSTM; draw layer\.cell"),
    (lambda: viz.equations(nn.GRU(3, 4, 2)), r"cell: got a whole layer, GRU; draw one of \[cell for"),
    (lambda: viz.draw_cell(LOSS), r"cell: expected a cell of nn, a Module, or a function \(x, state\) -> state"),
])
def test_another_thing_than_a_function_takes_is_answered_with_what_it_takes(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


@pytest.mark.parametrize(("call", "words"), [
    (lambda: viz.draw_unrolled(LOSS, scale=3), "draw_unrolled, scale: expected a viz.Scale"),
    (lambda: viz.draw_rolled(LOSS, scale=3), "draw_rolled, scale: expected a viz.Scale"),
    (lambda: viz.draw_long(LOSS, scale=3), "draw_long, scale: expected a viz.Scale"),
    (lambda: viz.draw_cell(LSTM.cell, scale=3), "draw_cell, scale: expected a viz.Scale"),
    (lambda: viz.draw_text(np.eye(2), "abc", scale=3), "draw_text, scale: expected a viz.Scale"),
    (lambda: viz.draw_text_map(np.eye(2), "abc", scale=3), "draw_text_map, scale: expected a viz.Scale"),
    (lambda: viz.compare_flow({"a": LOSS}).draw(scale=3), "draw_comparison, scale: expected a viz.Scale"),
    (lambda: viz.plot_local_errors(viz.local_errors(LOSS), scale=3), "plot_local_errors, scale: expected a viz.Scale"),
    (lambda: viz.draw_long(LOSS, cells=1.5), "draw_long, cells: expected how many cells to draw, a whole number"),
    (lambda: viz.draw_rolled(LOSS, beside=True, steps=1.5), "draw_rolled, steps: expected how many steps"),
    (lambda: viz.draw_unrolled(LOSS, labels=5), "draw_unrolled, labels: expected the labels in order"),
])  # fmt: skip
def test_options_of_another_kind_are_answered_with_what_they_are(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


def test_steps_of_a_text_that_are_not_there_are_refused_at_the_first() -> None:
    with pytest.raises(ValueError, match=r"steps lie in 0\.\.1, got 2"):
        viz.draw_text(np.eye(2), "abc", steps=range(10**15))
    with pytest.raises(ValueError, match="no prediction"):
        viz.draw_text(np.eye(2), "abc", steps=[])


def test_the_legend_says_at_which_of_two_states_lag_0_counts_as_1() -> None:
    for drawing in (viz.draw_unrolled(FLOW), viz.draw_long(FLOW), viz.draw_rolled(FLOW)):
        assert drawing.scene is not None
        assert "as a multiple of that at c at lag 0" in drawing.scene.words.replace("\n", " ")


def test_what_is_of_pytorch_and_no_loss_is_answered() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="gradient_flow: the tensor has no grad_fn: it is a leaf"):
        viz.gradient_flow(torch.ones(1, requires_grad=True))
    with pytest.raises(TypeError, match="draw_unrolled: expected a loss, got a GRUCell; call it"):
        viz.draw_unrolled(torch.nn.GRUCell(2, 3))


def test_the_flow_of_another_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"draw_unrolled: the flow is that of another node, sum of shape \(\) and"):
        viz.draw_unrolled(LOSS, flow=OTHER)
    assert viz.draw_unrolled(LOSS, flow=FLOW).svg == viz.draw_unrolled(FLOW).svg


@pytest.mark.parametrize("last", ["all", 0, 1.5])
def test_last_is_a_number_of_steps(last: Any) -> None:
    with pytest.raises(ValueError, match="last must be a number of steps, at least 1"):
        viz.draw_unrolled(LOSS, last=last)
