"""Graphs too large to be looked at are refused at once; and labels that are too few."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, Value, nn
from tests.viz.scenes import words
from viz.graph.size import MOST_GLYPHS, MOST_RECORDS, small_enough

EVERY_BOX: dict[str, Callable[[Any], Any]] = {
    "draw": viz.draw_graph, "draw_dot": viz.draw_dot, "unrolled": viz.draw_unrolled, "draw_film": viz.draw_film,
    "draw_unrolled": lambda root: viz.draw_unrolled({"net": root}),
}  # fmt: skip


def chain(n: int) -> Any:
    """A graph of n operations without steps."""
    y: Any = Value(1.0)
    for _ in range(n):
        y = y.tanh()
    return y


@pytest.mark.parametrize("draw", EVERY_BOX.values(), ids=list(EVERY_BOX))
def test_a_graph_of_200_000_nodes_is_refused_at_once_with_what_to_do(draw: Callable[[Any], Any]) -> None:
    root = chain(200_000)
    began = time.process_time()
    with pytest.raises(ValueError, match=r"more than [12],000 nodes.*viz\.fold.*scope\(step=t\).*viz\.draw_rolled"):
        draw(root)
    assert time.process_time() - began < 3  # it was 62 s


def test_graphs_and_flows_are_refused_as_roots_are() -> None:
    root = chain(MOST_GLYPHS + 1)
    for given in (viz.trace(root), viz.gradient_flow(root)):
        for draw in (viz.draw_graph, viz.draw_unrolled):
            with pytest.raises(ValueError, match="too large to be looked at"):
                draw(given)


def test_a_large_graph_may_be_drawn_once_it_is_folded() -> None:
    y: Any = Value(1.0)
    for name in ("first", "second"):
        with mg.scope(name):
            for _ in range(3000):
                y = y.tanh()
    folded = viz.fold(y, by="module")
    assert len(folded) < 20
    assert "second" in viz.draw_graph(folded).source


@pytest.mark.parametrize("most", [MOST_RECORDS, MOST_GLYPHS])
def test_the_limit_counts_what_is_drawn_constants_too(most: int) -> None:
    for root in (chain(most - 1), viz.trace(chain(most - 1))):
        assert small_enough(root, most, False)
    assert not small_enough(chain(most), most, False)
    y: Any = Value(1.0)
    for _ in range(most // 2):
        y = y + 1.0  # two boxes each
    assert not small_enough(y, most, False)
    assert not small_enough(viz.trace(y), most, False)


def test_a_net_with_steps_may_have_any_size() -> None:
    hs, _ = nn.RNN(2, 3, rng=0)(np.ones((3000, 1, 2)))
    loss = mg.square(hs).sum()
    assert viz.draw_unrolled(loss).svg.startswith("<svg")
    assert "rnn/t1..t2998" in viz.draw_graph(loss).source
    with pytest.raises(ValueError, match="too large to be looked at"):
        viz.draw_graph(viz.trace(loss))


@pytest.mark.parametrize("labels", ["ab", ["a"], []])
def test_labels_fewer_than_steps_are_refused(labels: Any) -> None:
    loss = nn.RNN(2, 3, rng=0)(np.ones((4, 1, 2)))[1].sum()
    for draw in (viz.draw_unrolled, viz.draw_unrolled):
        with pytest.raises(ValueError, match=rf"{len(labels)} labels for 4 steps; give one for each, or a dict"):
            draw(loss, labels=labels)
    quoted = [word for word in words(viz.draw_unrolled(loss, labels="abcd")) if word[0] == "“"]
    assert quoted == ["“a”", "“b”", "“c”", "“d”"]
    viz.draw_unrolled(loss, labels={0: "a"})
    viz.draw_unrolled(loss, steps=(0, 0), labels="a")


def test_labels_fewer_than_leaves_are_refused() -> None:
    root = nn.recurse(nn.TreeCell(2, rng=0), ((Tensor([1.0, 2.0]), Tensor([1.0, 3.0])), Tensor([0.0, 1.0]))).sum()
    with pytest.raises(ValueError, match="2 labels for 3 leaves"):
        viz.draw_unrolled(root, labels="ab")
