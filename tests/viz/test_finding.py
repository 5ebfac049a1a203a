"""The title of a picture is true of the numbers, whatever the net: each sentence is read back and worked out again."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope
from tests.viz.nets import CELLS, all_losses, last_loss, own_cell, two_layers
from tests.viz.test_geometry import encoder_decoder, own_stack, ragged, tree
from viz.flow.compare import fed_states
from viz.flow.finding import FED, finding, main_layer
from viz.graph.steps import recurrent

RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
XS = np.random.default_rng(3).standard_normal((9, 2, 3))


def both_ways(every: bool) -> Any:
    hs, _ = nn.GRU(3, 4, num_layers=2, bidirectional=True, rng=0)(XS)
    return (hs if every else hs[-1]).sum()


def backwards(every: bool) -> Any:
    hs, (h, _) = nn.LSTM(3, 4, rng=0)(XS, reverse=True)
    return hs.sum() if every else h.sum()


def scaled(factor: float, T: int = 9) -> Any:
    h: Any = Tensor(np.ones((1, 2)))
    for t in range(T):
        with scope("net", step=t):
            h = mark(h * Tensor(np.full((1, 2), factor)), "h", role="hidden")
    return h.sum()


NETS: dict[str, Any] = {
    **{f"{name}, last": lambda name=name: last_loss(name) for name in CELLS},
    **{f"{name}, every": lambda name=name: all_losses(name) for name in CELLS},
    "own": own_cell, "two layers": two_layers, "both ways, last": lambda: both_ways(False),
    "both ways, every": lambda: both_ways(True), "backwards": lambda: backwards(False),
    "backwards, every": lambda: backwards(True), "encoder-decoder": lambda: encoder_decoder(1),
    "deep encoder-decoder": lambda: encoder_decoder(2), "two cells in one loop": own_stack,
    "shrinks": lambda: scaled(0.5), "grows": lambda: scaled(3.0), "stays": lambda: scaled(1.0),
    "hardly grows": lambda: scaled(1.001),
    "mean of states": lambda: nn.mean_over_steps(nn.RNN(3, 4, rng=0)(XS)[0]).sum(),
}  # fmt: skip


def number(words: str) -> float:
    """A number as sentences write it: 1.9 %, 2.5·10⁻⁷, 10⁻³."""
    percent = words.endswith("%")
    mantissa, _, power = words.removesuffix("%").strip().rpartition("10") if "10⁻" in words or re.search(
        "10[⁰¹²³⁴⁵⁶⁷⁸⁹]", words) else (words.removesuffix("%").strip(), "", "0")
    return float(mantissa.rstrip("·") or 1) * 10.0 ** int(power.translate(RAISED)) / (100 if percent else 1)


@pytest.mark.parametrize("name", NETS)
def test_every_sentence_is_true_of_the_numbers(name: str) -> None:
    flow = viz.gradient_flow(NETS[name]())
    words, layer = finding(flow, "net"), main_layer(flow)
    profile = flow.profile(layer=layer)
    (lag,) = map(int, re.findall(r"(\d+) steps?", words))
    assert lag == max(profile.lags)
    ratio = profile.norms[-1] / profile.norms[0]
    one = recurrent(flow.graph)[layer]
    step, lags = one.step_of(), one.lags()
    fed = any(lags[step[node]] > 0 for node in fed_states(flow, layer))
    assert words.endswith(FED) is fed, "new gradient on the way is said where it is, and only there"
    assert ("keeps" in words or "multiplies" in words) is not fed, "nothing is kept where something is added"
    if "keeps all" in words or "as large as" in words:
        assert ratio == pytest.approx(1, abs=0.005)
    elif found := re.search(r"by (N) over|keeps (N(?: %)?) of|is (N) times".replace("N", "[\\d.·⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+"), words):
        assert number(next(filter(None, found.groups()))) == pytest.approx(ratio, rel=0.06)
    else:
        raise AssertionError(words)


@pytest.mark.parametrize("name", NETS)
def test_a_larger_loss_changes_no_word(name: str) -> None:
    """Every norm grows by the same factor: what is left of it, and whether some comes in, are as before."""
    assert finding(viz.gradient_flow(NETS[name]() * 4.0), "net") == finding(viz.gradient_flow(NETS[name]()), "net")


def test_a_second_term_at_an_earlier_step_is_said() -> None:
    hs, _ = nn.RNN(3, 4, rng=0)(XS)
    assert FED not in finding(viz.gradient_flow(hs[-1].sum()))
    assert FED in finding(viz.gradient_flow(hs[-1].sum() + hs[4].sum()))
    assert FED not in finding(viz.gradient_flow(hs[-1].sum() + 0.0 * hs[4].sum())), "a term of weight 0 sends nothing"


def test_a_padded_batch_is_counted_from_the_end_of_each_sequence() -> None:
    flow = viz.gradient_flow(ragged())
    words, profile = finding(flow, "net"), flow.profile(layer=main_layer(flow))
    assert words.startswith("net: 1 step before the end of each sequence, the gradient is "), "the shortest has 2 steps"
    (said,) = re.findall(r"is ([\d.]+) times", words)
    assert float(said) == pytest.approx(profile.norms[1] / profile.norms[0], rel=0.06)
    assert "keeps" not in words


def test_one_step_none_and_nothing() -> None:
    assert "a single step" in finding(viz.gradient_flow(last_loss("rnn", T=1)))
    assert "has the largest gradient" in finding(viz.gradient_flow(tree((1, (2, 3)))), "tree")
    assert finding(viz.gradient_flow(scaled(0.0)), "net") == "net keeps exactly nothing of its gradient over 8 steps"
    hs, _ = nn.GRU(3, 4, rng=0)(XS, reverse=True)
    words = finding(viz.gradient_flow(hs[-1].sum()), "net")
    assert words == "net: the gradient first arrives 8 steps before the end of the loop"


def test_of_two_directions_under_the_last_step_the_one_that_runs_forwards_is_meant() -> None:
    assert "(layer 2, forwards)" in finding(viz.gradient_flow(both_ways(False)))


@pytest.mark.parametrize(("start", "factor", "said"), [
    (1e300, 1e-10, "keeps less than 10⁻³⁰⁷ of"), (1e-300, 1e10, "by more than 10³⁰⁸ over"),
])
def test_a_ratio_that_no_float_holds_is_neither_zero_nor_infinite(start: float, factor: float, said: str) -> None:
    h: Any = Tensor(np.ones((1, 1)))
    for t in range(41):
        with scope("net", step=t):
            h = mark(h * Tensor(np.full((1, 1), factor if t else 0.0)), "h", role="hidden")
    assert said in finding(viz.gradient_flow((h * start).sum()))


@pytest.mark.parametrize(("T", "then"), [(1, 5), (5, 1)])
def test_a_single_step_before_or_after_a_loop_hides_no_gradient(T: int, then: int) -> None:
    """An encoder of one step belongs to the decoder's first step; a decoder of one step is part of no loop."""
    _, h = nn.GRU(3, 4, rng=0)(XS[:T])
    hs, _ = nn.GRU(3, 4, rng=1)(XS[:then], h)
    flow = viz.gradient_flow(hs[-1].sum())
    profile = flow.profile()
    assert profile.lags == (0, 1, 2, 3, 4)
    assert profile.norms == viz.compare_flow({"net": flow}).tracks[0].norms
    assert viz.ways(hs[-1].sum()).lags == profile.lags
    assert "over 4 steps" in finding(flow)
    assert viz.draw_unrolled(flow).scene is not None


def test_of_two_nets_the_sentence_is_about_one() -> None:
    hs, _ = nn.LSTM(3, 4, rng=0)(XS)
    assert finding(viz.gradient_flow(nn.RNN(4, 4, rng=1)(hs)[1].sum())).startswith("rnn keeps ")
