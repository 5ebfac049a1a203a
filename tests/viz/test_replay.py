"""Replay: a recorded computation as a program, run again with other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, mark, nn, scope
from viz.graph.program import Line, Name, Names, Once, Recipe, Repeat
from viz.graph.replay import NoProgramError, program

D, H, B, T = 3, 4, 2, 6
XS = np.random.default_rng(0).standard_normal((T, B, D))
Y = np.random.default_rng(1).integers(0, H, (T, B))


def loss_of(cell: Any) -> Any:
    hs, _ = nn.unroll(cell, XS)
    return nn.cross_entropy(hs, Y)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.MGUCell, nn.JordanCell])
def test_a_program_with_other_numbers_computes_what_a_net_with_them_does(kind: Any) -> None:
    cell: Any = kind(D, H, H, rng=0) if kind is nn.JordanCell else kind(D, H, rng=0)
    found = program(loss_of(cell), [cell.W, cell.b])
    leaves: list[Any] = [cell.W, cell.b]
    for leaf in leaves:
        leaf.data = 1.5 * leaf.data
        found.data[found.leaves[leaf]] = leaf.data
    assert found.run()[found.loss] == pytest.approx(loss_of(cell).data, rel=1e-12)


def test_what_does_not_change_is_not_done_again() -> None:
    cell: Any = nn.LSTMCell(D, H, rng=0)
    of_weights, of_bias = program(loss_of(cell), [cell.W]), program(loss_of(cell), [cell.b])
    assert [type(stage) for stage in of_weights.stages] == [Repeat, Once]
    assert [type(stage) for stage in of_bias.stages] == [Once, Repeat, Once]  # x U + b first
    assert "U" not in of_weights.data
    assert of_bias.data[Name("U")].shape == (D, 4 * H)


def test_a_step_is_written_once() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    (loop,) = program(loss_of(cell), [cell.W]).loops
    assert loop.T == T
    assert [state.last for state in loop.states] == ["h_prev", "c_prev"]
    assert [line.op.name for line in loop.recipe.lines].count("sigmoid") == 3


def test_what_is_read_later_is_kept_of_all_steps() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    found = program(loss_of(cell), [cell.W])
    values = found.run()
    hs, (_, c) = nn.unroll(cell, XS)
    (loop,) = found.loops
    np.testing.assert_allclose(values[loop.kept[Name("h")]], hs.data, rtol=1e-12)
    np.testing.assert_allclose(values[loop.kept[Name("c")]][-1], c.data, rtol=1e-12)


def test_a_recipe_runs_on_arrays_and_on_nodes() -> None:
    h, w, y = map(Name, "hwy")
    recipe = Recipe([Line(y, mg.engine.PRIMITIVES["multiply"], (h, w)),
                     Line(Name("z"), mg.engine.PRIMITIVES["add"], (y, 1.0))], [Name("z")])
    assert recipe.reads() == ["h", "w"]
    assert recipe({h: 2.0, w: 3.0})[Name("z")] == 7.0
    x = Tensor([2.0])
    made = recipe({h: x, w: np.array([3.0])})[Name("z")]
    made.sum().backward()
    assert (made.symbol, x.grad.tolist()) == ("z", [3.0])


def test_names_are_plain_and_unique() -> None:
    names = Names()
    wishes = ["h", "h", "", None, "</script>", "∂L/∂h", "2x", "__proto__", "constructor"]
    given = [names.give(wish) for wish in wishes]
    assert given == ["h", "h_2", "t", "t_2", "script", "Lh", "v2x", "proto", "constructor"]
    assert all(name.isidentifier() and name.isascii() for name in given)


def test_a_first_step_without_nodes_is_the_same_step() -> None:
    """From a plain array the first step works out ``0.9 * h`` as an array; the others do so as a node."""
    w = Tensor(np.random.default_rng(2).standard_normal((H, H)))
    h = np.full((B, H), 0.3)
    for t in range(T):
        with scope(step=t):
            h = mark(0.9 * h + 0.1 * mg.tanh(h @ w), "h", role="hidden")
    found = program(h.sum(), [w])
    assert found.run()[found.loss] == pytest.approx(h.sum().item(), rel=1e-12)


def test_a_number_that_differs_from_step_to_step_is_an_input() -> None:
    w, h = Tensor(np.eye(H)), Tensor(np.ones((B, H)))
    for t in range(T):
        with scope(step=t):
            h = mg.tanh(h @ w) * 0.9**t
    found = program(h.sum(), [w])
    assert found.run()[found.loss] == pytest.approx(h.sum().data, rel=1e-12)
    assert len(found.loops[0].rows) == 1


def test_a_graph_without_steps_is_refused() -> None:
    with pytest.raises(NoProgramError, match="single step"):
        program((Tensor(np.ones(3)) * 2.0).sum(), [])
    with pytest.raises(NoProgramError, match="single number"):
        program(Tensor(np.ones(3)) * 2.0, [])


def test_numbers_that_are_not_finite_are_compared_too() -> None:
    w, h = Tensor(np.full((H, H), 1e200)), Tensor(np.ones((B, H)))
    with np.errstate(all="ignore"):
        for t in range(T):
            with scope(step=t):
                h = h @ w
        found = program(h.sum(), [w])
    assert found.run()[found.loss] == np.inf
