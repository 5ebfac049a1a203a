"""The picture of a step and its derivative: what stands beside what, that all is there, and that nothing is cut."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import viz
from microgradrnn import Tensor, nn, softmax, where
from tests.viz.legible import faults
from tests.viz.test_hostile import LABELS, check_svg
from viz.pictures.derivative import Derivation, Line, halves, symbols, typeset
from viz.scene.formula import formula_width, runs, wrapped_formula
from viz.scene.items import Scene, Text, Wire
from viz.theme import DARK, DEFAULT, Theme


@dataclass
class Given:
    """Equations as anybody may write them."""

    forward: list[Any] = field(default_factory=list)
    backward: list[Any] = field(default_factory=list)


W = Tensor(np.random.default_rng(0).standard_normal((4, 5)), label="W")


def choice(x: Any, h: Any) -> Any:
    """A function with a condition and a softmax."""
    return where(x @ W > 0, softmax(x @ W) * h, -h / (1 + h * h)).sum()


def of_cell(cell: Any, time: bool = True) -> Any:
    step = mg.compile(cell)
    step(np.ones((2, 3)), cell.initial_state(2))
    return step.equations(time=time)


def of_function(function: Any, *inputs: Any, time: bool = True) -> Any:
    step = mg.compile(function)
    step(*inputs)
    return step.equations(time=time)


def deep(x: Any, h: Any) -> Any:
    """A line that is longer than any picture is wide."""
    total = x * h
    for k in range(2, 12):
        total = total + (x * k + h) * (h - k * x)
    return total.sum()


EQUATIONS: dict[str, Any] = {
    "RNN": lambda: of_cell(nn.RNNCell(3, 5, rng=0)), "LSTM": lambda: of_cell(nn.LSTMCell(3, 5, rng=0)),
    "LSTM without time": lambda: of_cell(nn.LSTMCell(3, 5, rng=0), time=False),
    "GRU before": lambda: of_cell(nn.GRUCell(3, 5, reset="before", rng=0)),
    "GRU after": lambda: of_cell(nn.GRUCell(3, 5, reset="after", rng=0)),
    "MGU": lambda: of_cell(nn.MGUCell(3, 5, rng=0)), "IRNN": lambda: of_cell(nn.IRNNCell(3, 5, rng=0)),
    "coupled": lambda: of_cell(nn.CoupledLSTMCell(3, 5, rng=0)),
    "additive": lambda: of_cell(nn.AdditiveCell(3, 5, rng=0)),
    "carousel": lambda: of_cell(nn.CarouselLSTMCell(3, 5, rng=0)),
    "update gate": lambda: of_cell(nn.UpdateGateLSTMCell(3, 5, rng=0)),
    "choice": lambda: of_function(choice, np.ones((2, 4)), np.ones((2, 5)), time=False),
    "choice in time": lambda: of_function(choice, np.ones((2, 4)), np.ones((2, 5))),
    "deep": lambda: of_function(deep, np.ones((2, 4)), np.ones((2, 4)), time=False),
    "no derivative": lambda: Given([("y", "x + 1")]),
}


def rows(equations: Any) -> dict[str, list[str]]:
    """The left sides: of each line of the step, and of the lines beside it in the order of computation."""
    found = Derivation(*halves(equations))
    return {left: [a for a, _ in lines] for (left, _), lines in zip(found.forward, found.rows, strict=True)}


def plain(words: str) -> str:
    """A formula as it is read: without the marks of subscripts, and without white space."""
    return re.sub(r"\s", "", "".join(part for part, _ in runs(typeset(words))))


def drawn(equations: Any, **options: Any) -> Scene:
    scene = viz.draw_derivative(equations, **options).scene
    assert scene is not None
    return scene


def wording(scene: Scene) -> list[str]:
    return [text.plain for text, _ in scene.texts()]


# ------------------------------------------------------------------------------------------ what belongs to what
def test_beside_each_line_of_an_lstm_stand_the_cotangents_of_what_it_reads() -> None:
    found = rows(EQUATIONS["LSTM"]())
    assert sorted(found.pop("z_t")) == ["dU", "dW", "db", "dh_{t-1}", "dx_t"]
    assert found == {
        "[z_{i,t} z_{f,t} z_{g,t} z_{o,t}]": ["dz_t"],
        "i_t": ["dz_{i,t}"], "f_t": ["dz_{f,t}"], "g_t": ["dz_{g,t}"], "o_t": ["dz_{o,t}"],
        "c_t": ["di_t", "df_t", "dg_t", "dc_{t-1}"], "h_t": ["dc_t", "do_t"],
    }


def test_a_cotangent_with_several_parts_stands_where_the_last_of_them_arrives() -> None:
    found = rows(EQUATIONS["GRU before"]())
    assert found["z_{rz,t}"] == ["dh_{t-1}", "dW_{rz}"]
    assert found["n_t"] == ["dz_{n,t}", "d(r_t ⊙ h_{t-1})", "dr_t", "dW_n"]
    assert found["[W_{rz} W_n]"] == ["dW"]


def test_a_net_input_without_a_line_stands_beside_its_gate() -> None:
    found = rows(EQUATIONS["MGU"]())
    assert found["f_t"] == ["dz_{f,t}", "dh_{t-1}", "dW_f"]
    assert found["h_t"] == ["dn_t"]


def test_an_intermediate_result_stands_beside_the_line_with_the_values_that_it_uses() -> None:
    found = rows(EQUATIONS["choice"]())
    assert [len(lines) for lines in found.values()] == [0, 3, 0, 2, 3]
    assert found["softmax_{xW}"] == ["d(x W)", "dx", "dW"]
    assert found["v_3"][-1] == "dh_{prev}"


@pytest.mark.parametrize("name", EQUATIONS)
def test_each_line_of_the_derivative_stands_once_and_above_all_that_it_uses(name: str) -> None:
    equations = EQUATIONS[name]()
    found = Derivation(*halves(equations))
    upwards: list[Line] = [line for lines in reversed(found.rows) for line in lines]
    assert sorted(upwards) == sorted(equations.backward)
    lefts = {left for left, _ in equations.backward}
    before: set[str] = set()
    for left, right in upwards:
        assert set(symbols(right)) & lefts <= before, left
        before.add(left)


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_text_of_symbols_alone_says_where_both_sides_start_and_end(name: str) -> None:
    found = Derivation(*halves(EQUATIONS[name]()))
    assert found.first
    assert not set(found.first) & set(found.defined)
    assert not set(found.seeds) & {left for left, _ in found.backward}
    if found.backward:
        assert set(found.seeds.values()) <= set(found.defined)
        assert found.seeds


def test_an_lstm_starts_from_what_later_steps_send() -> None:
    found = Derivation(*halves(EQUATIONS["LSTM"]()))
    assert found.seeds == {"dc_{out,t}": "c_t", "dh_t": "h_t"}
    assert sorted(found.first) == ["U", "W", "b", "c_{t-1}", "h_{t-1}", "x_t"]
    assert sorted(found.last) == ["dU", "dW", "db", "dc_{t-1}", "dh_{t-1}", "dx_t"]


def test_roles_are_read_from_the_equations() -> None:
    def roles(name: str) -> dict[str, str]:
        return Derivation(*halves(EQUATIONS[name]())).roles

    assert roles("LSTM") == {"i": "gate", "f": "gate", "o": "gate", "g": "candidate", "c": "cell", "h": "hidden",
                             "x": "input"}
    assert roles("GRU before") == {"r": "gate", "z": "gate", "n": "candidate", "h": "hidden", "x": "input"}
    assert roles("RNN") == {"h": "hidden", "x": "input"}
    assert "x" not in roles("LSTM without time")


@pytest.mark.parametrize(("name", "left", "colour"), [
    ("LSTM", "dz_{f,t}", "f"), ("LSTM", "f_t", "f"), ("LSTM", "dz_t", None), ("GRU before", "dz_t", "z"),
    ("GRU before", "dz_{z,t}", "z"), ("GRU before", "dW_n", None), ("GRU before", "z_{x,t}", None),
    ("LSTM", "dc_{t-1}", "c"), ("RNN", "dx_t", "x"), ("GRU before", "d(r_t ⊙ h_{t-1})", None), ("choice", "v_1", None),
])
def test_a_symbol_and_its_cotangent_have_one_colour(name: str, left: str, colour: str | None) -> None:
    found = Derivation(*halves(EQUATIONS[name]())).role_of(left)
    assert (found and found[0]) == colour


# ------------------------------------------------------------------------------------------------ the picture
@pytest.mark.parametrize("name", EQUATIONS)
def test_the_picture_holds_every_equation(name: str) -> None:
    equations = EQUATIONS[name]()
    said = re.sub(r"\s", "", "".join(wording(drawn(equations))))
    for left, right in (*equations.forward, *equations.backward):
        assert f"{plain(left)}={plain(right)}" in said


@pytest.mark.parametrize("page", [1280, 830, 390])
@pytest.mark.parametrize("name", EQUATIONS)
def test_everything_can_be_read_on_a_slide_in_a_column_and_on_a_phone(name: str, page: int) -> None:
    scene = drawn(EQUATIONS[name](), theme=replace(DEFAULT, page=page))
    assert not faults(scene)
    for item, x, y in scene.keyed("arrow"):
        assert isinstance(item, Wire)
        assert all(0 <= x + a <= scene.width and 0 <= y + b <= scene.height for a, b in item.routes[0].points())


def rows_of(scene: Scene) -> dict[str, tuple[float, float]]:
    """The upper and lower edge of each row, by the symbol that its line computes."""
    return {item.key[1]: (y + item.extent[1], y + item.extent[3])  # type: ignore[index,attr-defined]
            for item, _, y in scene.keyed("row")}


def test_the_lines_beside_a_line_are_in_its_row() -> None:
    scene = drawn(EQUATIONS["LSTM"]())
    bands = rows_of(scene)
    assert len(bands) == 8

    def row(words: str) -> str:
        (middle,) = [(top + low) / 2 for text, (_, top, _, low) in scene.texts() if text.plain == words]
        return next(left for left, (top, low) in bands.items() if top < middle < low)

    assert row("= ft ⊙ ct−1 + it ⊙ gt") == row("= dct ⊙ ft") == row("= dct ⊙ ct−1") == "c_t"
    assert row("= ot ⊙ tanh(ct)") == row("= dht ⊙ tanh(ct)") == "h_t"


def test_the_derivative_is_read_upwards() -> None:
    scene = drawn(EQUATIONS["LSTM"]())
    heights = {item.key[1]: item.y for item, _, _ in scene.keyed("symbol") if isinstance(item, Text)}  # type: ignore
    in_time = ["dc_t", "do_t", "dz_{o,t}", "dz_t", "dh_{t-1}"]
    assert [heights[name] for name in in_time] == sorted((heights[name] for name in in_time), reverse=True)
    ways = {item.key[1]: item.routes[0] for item, _, _ in scene.keyed("arrow")}  # type: ignore[index,attr-defined]
    assert ways["down"].start[1] < ways["down"].end[1]
    assert ways["up"].start[1] > ways["up"].end[1]


def test_the_picture_says_what_d_means_and_explains_its_signs_only() -> None:
    words = wording(drawn(EQUATIONS["RNN"]()))
    assert "dht is ∂L/∂ht, the cotangent of ht: how the loss L changes when ht changes a little." in words
    assert "product entry by entry" in words
    assert "hidden state" in words
    assert not {"a where c is true, else b", "gate", "cell state"} & set(words)


def test_a_condition_passes_no_gradient() -> None:
    assert wording(drawn(EQUATIONS["choice"]())).count("a condition: no gradient flows through it") == 1


def test_a_sum_passes_its_cotangent_on() -> None:
    assert rows(EQUATIONS["additive"]())["h_t"] == ["dh_{t-1}"]
    given = Given([("g_t", "tanh(x_t)"), ("h_t", "h_{t-1} + g_t")], [("dx_t", "dh_t ⊙ (1 − g_t²)")])
    assert "a sum: each term has the same cotangent, dht" in " ".join(wording(drawn(given)))


@pytest.mark.parametrize(("name", "said"), [
    ("LSTM", "a step back multiplies the gradient of c by f; no matrix is on that way"),
    ("GRU before", "a step back multiplies the gradient of h by z; no matrix is on that way"),
    ("MGU", "a step back multiplies the gradient of h by 1 − f; no matrix is on that way"),
    ("additive", "a step back hands on the gradient of h; no matrix is on that way"),
    ("RNN", "a step back sends the gradient of h through a matrix"),
    ("deep", "23 lines, and 29 of their derivative"),
])
def test_the_title_says_how_the_gradient_gets_to_the_step_before(name: str, said: str) -> None:
    scene = drawn(EQUATIONS[name](), name="the net")
    assert scene.title == f"The net: {said}"
    assert scene.title.replace(" ", "") == "".join(
        text.plain for text, _ in scene.texts() if text.key == ("title",)).replace(" ", "")
    assert "dh" in scene.summary or "dy" in scene.summary


@pytest.mark.parametrize("theme", [DEFAULT, DARK])
def test_all_colours_are_those_of_the_theme(theme: Theme) -> None:
    svg = viz.draw_derivative(EQUATIONS["LSTM"](), theme=theme).svg
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= set(theme.colours.values())


def test_it_is_saved(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    assert viz.draw_derivative(EQUATIONS["GRU after"]()).save(tmp_path / "x.png").stat().st_size > 10_000


# ------------------------------------------------------------------------------------------------ formulas
def test_long_formulas_are_wrapped_and_lose_nothing() -> None:
    long = " + ".join(f"a_{{{k},t}} ⊙ (b + c_t²)" for k in range(40))
    lines = wrapped_formula(typeset(long), 13, 300)
    assert len(lines) > 5
    assert all(formula_width(line, 13) <= 300 for line in lines)
    assert " ".join(lines) == typeset(long)
    assert all(line.startswith("+ ") for line in lines[1:])


def test_a_formula_without_a_gap_is_one_line() -> None:
    assert wrapped_formula("x" * 500, 13, 300) == ["x" * 500]


# ------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_hostile_labels_are_text(label: str) -> None:
    given = Given([(label, f"{label} ⊙ a < b & c"), ("y", label)],
                  [(f"d{label}", f"dy ⊙ {label}"), ("da", f"d{label} & <")])
    drawing = viz.draw_derivative(given, name=label)
    check_svg(drawing.svg)
    assert drawing.width < 6000


def test_signs_of_markup_are_read_as_they_are() -> None:
    scene = drawn(Given([("y", "where(a < b, a & b, <c>)")], [("da", "dy & <b>")]), name="a < b & c")
    assert {"= where(a < b, a & b, <c>)", "= dy & <b>"} <= set(wording(scene))
    assert scene.title.startswith("a < b & c: ")
    assert not faults(scene)


@pytest.mark.parametrize(("given", "said"), [
    ("h = tanh(z)", "got str"), (None, "got NoneType"), (Given("ab"), "whose forward is no list"),  # type: ignore
    (Given([("a", "b")], [("a", "b", "c")]), "whose backward is no list of pairs of text"),
    (Given([("a", 1)]), "whose forward is no list of pairs of text"), (Given(["ab"]), "no list of pairs"),
    (mg.compile(nn.RNNCell(3, 5, rng=0)), r"call its method equations\(\)"),
])
def test_what_has_no_equations_is_refused(given: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"draw_derivative: expected equations, .*{said}"):
        viz.draw_derivative(given)


def test_no_equations_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="draw_derivative: there are no equations in forward"):
        viz.draw_derivative(Given())


def test_name_and_theme_are_checked() -> None:
    with pytest.raises(TypeError, match=r"draw_derivative, name: expected a name \(text\), got int"):
        viz.draw_derivative(Given([("y", "x")]), name=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="theme: there is no 'night'"):
        viz.draw_derivative(Given([("y", "x")]), theme="night")
