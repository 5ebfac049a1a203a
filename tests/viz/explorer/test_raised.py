"""Of a forward pass that raised, the page shows what was computed before, and what failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, Value, mark, nn, scope, tanh
from tests.viz.explorer.pages import Reader, data_of, numbers
from viz.explorer.raised import Raised, ends_of


def caught(f: Callable[[], object]) -> Exception:
    """What it raises."""
    try:
        f()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def marked(bad: int) -> Any:
    """A loop of one's own whose matrix does not fit at one step."""
    h: Any = Tensor(np.ones((1, 4)), label="h0")
    W = Tensor(np.ones((4, 4)) / 5, requires_grad=True, label="W")
    for t in range(6):
        with scope("mine", step=t):
            z = h @ (W if t < bad else np.ones((3, 3)))
            h = mark(tanh(z), "h", role="hidden")
    return h


def half_way(bad: int) -> Any:
    """The same, where the second operation of the step fails."""
    h: Any = Tensor(np.ones((1, 4)), label="h0")
    W = Tensor(np.ones((4, 4)) / 5, requires_grad=True, label="W")
    for t in range(6):
        with scope("mine", step=t):
            z = h @ W
            h = mark(tanh(z) * np.ones((1, 4 if t < bad else 3)), "h", role="hidden")
    return h


def built_in(bad: int) -> Any:
    """A cell of the library that is given too short an input."""
    cell = nn.LSTMCell(3, 4, rng=0)
    state = cell.initial_state(1)
    for t in range(6):
        with scope("net", step=t):
            state = cell(np.ones((1, 3 if t < bad else 2)), state)
    return state


def test_the_steps_before_are_a_lane_and_the_failing_part_is_marked() -> None:
    error = caught(lambda: marked(4))
    data = data_of(viz.explore(error))
    (lane,) = data["lanes"]
    assert lane["T"] == 4
    assert data["title"] == "The forward pass stopped at step 4 of mine"
    assert data["error"]["message"] == f"ValueError: {error}"
    assert (data["error"]["lane"], data["error"]["turn"]) == (0, 4)
    (part,) = (part for part in lane["cell"]["parts"] if part["key"] == data["error"]["node"])
    assert part["operation"] == "matmul"
    assert data["tour"] == []


def test_the_gradient_is_that_of_the_sum_of_what_was_computed_last() -> None:
    (lane,) = data_of(viz.explore(caught(lambda: marked(4))))["lanes"]
    h: Any = Tensor(np.ones((1, 4)), label="h0")
    W = Tensor(np.ones((4, 4)) / 5, requires_grad=True, label="W")
    for t in range(4):
        with scope("mine", step=t):
            h = mark(tanh(h @ W), "h", role="hidden")
    np.testing.assert_allclose(numbers(lane["profile"]["h"])[::-1], viz.gradient_flow(h.sum()).profile("h").norms)


def test_a_step_that_was_begun_is_left_out_and_its_failing_part_is_found() -> None:
    data = data_of(viz.explore(caught(lambda: half_way(3))))
    (lane,) = data["lanes"]
    assert lane["T"] == 3
    assert np.isfinite(numbers(lane["profile"]["h"])).all()
    (part,) = (part for part in lane["cell"]["parts"] if part["key"] == data["error"]["node"])
    assert part["operation"] == "multiply"


def test_a_check_of_arguments_is_no_operation() -> None:
    data = data_of(viz.explore(caught(lambda: built_in(2))))
    assert data["lanes"][0]["T"] == 2
    assert data["error"]["node"] is None
    assert "expected x of shape (B, 3)" in data["error"]["message"]


@pytest.mark.parametrize("make", [lambda: marked(0), lambda: half_way(0)])
def test_before_there_is_a_loop_the_graph_is_shown_with_what_failed(make: Any) -> None:
    page = viz.explore(caught(make))
    assert data_of(page)["lanes"] == []
    (_, attrs), = ((tag, attrs) for tag, attrs in Reader(page.html).found if attrs.get("id") == "still")
    assert attrs == {"id": "still"}
    assert "✗" in page.html
    assert "not computed" in page.html


def test_errors_that_are_not_of_an_operation_have_a_page_too() -> None:
    def without_nodes() -> float:
        return 1 / 0

    def with_nodes() -> Any:
        y = Value(2.0, label="a") * 3
        return {"y": y}["x"]

    page = viz.explore(caught(without_nodes))
    assert "Nothing was computed before." in data_of(page)["summary"]
    page = viz.explore(caught(with_nodes))
    assert "KeyError" in data_of(page)["error"]["message"]
    assert "<svg" in page.html


def test_the_message_is_text_and_never_markup() -> None:
    def hostile() -> None:
        raise RuntimeError("</script><script>alert(1)</script>\ud800")

    page = viz.explore(caught(hostile))
    assert "</script><script>alert" in data_of(page)["error"]["message"]
    assert len(re.findall("<script>alert", page.html)) == 0
    page.html.encode()


def test_an_error_knows_the_innermost_scope_that_it_left() -> None:
    def inside() -> None:
        with scope("outer", step=3), scope("inner"):
            raise KeyError("x")

    error = caught(inside)
    assert (error.scope.path, error.scope.step) == (("outer", "inner"), 3)  # type: ignore[attr-defined]
    assert Raised.of(error).place == "step 3 of outer/inner"


def test_an_error_that_passes_through_scopes_again_keeps_the_first() -> None:
    def again() -> None:
        with scope("second"):
            raise first

    def once() -> None:
        with scope("first"):
            raise KeyError("x")

    first = caught(once)
    assert caught(again).scope.path == ("first",)  # type: ignore[attr-defined]


def test_ends_are_what_nothing_else_was_computed_from() -> None:
    a = Value(1.0)
    b, c = a * 2, a * 3
    d = b + 1
    assert ends_of([b, d, c]) == (c, d)


def in_a_module(source: str) -> Exception:
    """What a program raises whose names are globals, as those of a notebook are."""
    return caught(partial(exec, compile(source, "notebook", "exec"), {}))


OLD = "import numpy as np; from microgradrnn import nn\nold = nn.LSTM(3, 4, rng=0)(np.ones((6, 1, 3)))[1][0].sum()\n"


def test_what_a_notebook_computed_before_is_not_shown() -> None:
    page = viz.explore(in_a_module(OLD + "int('x')"))
    assert data_of(page)["lanes"] == []
    page = viz.explore(in_a_module(OLD + """
from microgradrnn import Tensor, mark, scope, tanh
h, W = Tensor(np.ones((1, 4))), Tensor(np.ones((4, 4)) / 5)
for t in range(6):
    with scope("mine", step=t):
        h = mark(tanh(h @ (W if t < 4 else np.ones((3, 3)))), "h", role="hidden")
"""))
    assert [lane["T"] for lane in data_of(page)["lanes"]] == [4]


def test_labels_of_another_kind_and_names_that_are_alike_are_refused() -> None:
    loss = nn.RNN(3, 4, rng=0)(np.ones((5, 1, 3)))[1].sum()
    with pytest.raises(TypeError, match="explore, labels: expected the labels in order"):
        viz.explore(loss, labels=3)
    with pytest.raises(ValueError, match="two nets have the same name"):
        viz.explore({1: loss, "1": loss})  # type: ignore[dict-item]


def test_too_few_labels_are_refused_and_more_than_were_reached_are_not() -> None:
    error = caught(lambda: marked(4))
    with pytest.raises(ValueError, match="explore: 3 labels for 4 steps"):
        viz.explore(error, labels="abc")
    for labels in ("abcdef", {0: "a", 5: "f"}):
        [lane] = data_of(viz.explore(error, labels=labels))["lanes"]
        assert lane["labels"][0] == "a"
