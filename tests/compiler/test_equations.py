"""The equations of a traced function, as text and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import nn
from microgradrnn.compiler.equations import Equations, equations
from tests.compiler.test_function import every_case
from tests.compiler.test_readable import Chooses, D, H, every_cell, one_step, traced, traced_cell
from tests.engine.operations import Case, inputs


def of_cell(cell: Any, **options: Any) -> Equations:
    return equations(traced_cell(cell), states=cell.state, **options)


def of(f: Callable[..., Any], *names: str, shape: tuple[int, ...] = (2, 2)) -> list[str]:
    """The right sides of the equations of a function of matrices; without those of its derivative."""

    def detached(*xs: Any) -> Any:
        return f(*(x.detach() for x in xs))

    return [right for _, right in equations(traced(detached, [np.ones(shape)] * len(names), names), time=False).forward]


def test_the_equations_of_the_simple_net() -> None:
    assert str(of_cell(nn.RNNCell(D, H, rng=0))).split("\n") == [
        "z_t = h_{t-1} W + x_t U + b",
        "h_t = tanh(z_t)",
        "",
        "dz_t = dh_t ⊙ (1 − h_t²)",
        "dx_t = dz_t Uᵀ",
        "dh_{t-1} = dz_t Wᵀ",
        "dU = x_tᵀ dz_t",
        "dW = h_{t-1}ᵀ dz_t",
        "db = Σ_rows dz_t",
    ]


def test_the_equations_of_the_lstm() -> None:
    assert str(of_cell(nn.LSTMCell(D, H, rng=0))).split("\n") == [
        "z_t = h_{t-1} W + x_t U + b",
        "[z_{i,t} z_{f,t} z_{g,t} z_{o,t}] = z_t",
        "i_t = σ(z_{i,t})",
        "f_t = σ(z_{f,t})",
        "g_t = tanh(z_{g,t})",
        "o_t = σ(z_{o,t})",
        "c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t",
        "h_t = o_t ⊙ tanh(c_t)",
        "",
        "dc_t = dc_{out,t} + dh_t ⊙ o_t ⊙ (1 − tanh(c_t)²)",
        "di_t = dc_t ⊙ g_t",
        "dz_{i,t} = di_t ⊙ (i_t − i_t²)",
        "df_t = dc_t ⊙ c_{t-1}",
        "dz_{f,t} = df_t ⊙ (f_t − f_t²)",
        "dg_t = dc_t ⊙ i_t",
        "dz_{g,t} = dg_t ⊙ (1 − g_t²)",
        "do_t = dh_t ⊙ tanh(c_t)",
        "dz_{o,t} = do_t ⊙ (o_t − o_t²)",
        "dz_t = [dz_{i,t} dz_{f,t} dz_{g,t} dz_{o,t}]",
        "dx_t = dz_t Uᵀ",
        "dh_{t-1} = dz_t Wᵀ",
        "dc_{t-1} = dc_t ⊙ f_t",
        "dU = x_tᵀ dz_t",
        "dW = h_{t-1}ᵀ dz_t",
        "db = Σ_rows dz_t",
    ]


def test_the_forward_equations_of_the_gru() -> None:
    assert [f"{a} = {b}" for a, b in of_cell(nn.GRUCell(D, H, rng=0)).forward] == [
        "[W_{rz} W_n] = W",
        "z_{x,t} = x_t U + b",
        "[z_{x,rz,t} z_{x,n,t}] = z_{x,t}",
        "z_{rz,t} = h_{t-1} W_{rz} + z_{x,rz,t}",
        "[z_{r,t} z_{z,t}] = z_{rz,t}",
        "r_t = σ(z_{r,t})",
        "z_t = σ(z_{z,t})",
        "n_t = tanh((r_t ⊙ h_{t-1}) W_n + z_{x,n,t})",
        "h_t = z_t ⊙ h_{t-1} + (1 − z_t) ⊙ n_t",
    ]


def test_the_latex_of_the_simple_net() -> None:
    assert of_cell(nn.RNNCell(D, H, rng=0)).latex().split("\n") == [
        r"\begin{aligned}",
        r"z_{t} &= h_{t-1} W + x_{t} U + b \\",
        r"h_{t} &= \tanh(z_{t}) \\[1ex]",
        r"\mathrm{d}z_{t} &= \mathrm{d}h_{t} \odot (1 - h_{t}^{2}) \\",
        r"\mathrm{d}x_{t} &= \mathrm{d}z_{t} U^{\top} \\",
        r"\mathrm{d}h_{t-1} &= \mathrm{d}z_{t} W^{\top} \\",
        r"\mathrm{d}U &= x_{t}^{\top} \mathrm{d}z_{t} \\",
        r"\mathrm{d}W &= h_{t-1}^{\top} \mathrm{d}z_{t} \\",
        r"\mathrm{d}b &= \sum_{\mathrm{rows}} \mathrm{d}z_{t}",
        r"\end{aligned}",
    ]


def test_without_time_the_last_state_is_called_prev() -> None:
    assert str(of_cell(nn.RNNCell(D, H, rng=0), time=False)).startswith("z = h_{prev} W + x U + b\nh = tanh(z)\n")


@every_cell
def test_every_symbol_is_defined_once(make: Callable[[], Any]) -> None:
    e = of_cell(make())
    for lines in (e.forward + e.backward, e.latex_forward + e.latex_backward):
        left = [a for a, _ in lines]
        assert len(left) == len(set(left)), left


def assert_is_latex(e: Equations) -> None:
    """Matplotlib must be able to read every line."""
    mathtext = pytest.importorskip("matplotlib.mathtext")  # only here: the text of equations needs no matplotlib
    parser = mathtext.MathTextParser("path")
    for left, right in e.latex_forward + e.latex_backward:
        parser.parse(f"${left} = {right}$")


@every_cell
def test_the_latex_of_a_cell_can_be_read(make: Callable[[], Any]) -> None:
    assert_is_latex(of_cell(make()))


def test_the_latex_of_all_kinds_of_operations_can_be_read() -> None:
    def f(x: Any, a: Any, β: Any) -> Any:
        y = mg.where((x > 0) & ~(x >= a), mg.sqrt(abs(x)) / (a + 1.0), x**0.5 - mg.exp(-β))
        return mg.mark(y, "key"), mg.cumsum(x, axis=1), x.max(axis=0), mg.stack([x, a]), x[0], (x * 2.0).mean()

    assert_is_latex(equations(traced(f, [np.ones((3, 3))] * 3, ["x", "a", "β"])))
    assert_is_latex(equations(traced(*one_step(Chooses(D, H, rng=0)))))


@every_case
def test_the_latex_of_every_operation_can_be_read(case: Case) -> None:
    arrays = inputs(case)
    assert_is_latex(equations(traced(case.ours, arrays, [f"x{k}" for k in range(len(arrays))])))


def test_latex_that_cannot_be_read_is_found() -> None:
    with pytest.raises(ValueError, match="Unknown symbol"):
        assert_is_latex(Equations([], [], [("h", r"\nonsense(z)")], []))


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda a, b: a + (b + b.T), "a + b + bᵀ"),
        (lambda a, b: a + (b + a), "2 a + b"),
        (lambda a, b: (a @ b) + (a @ b) + 1.0, "2 a b + 1"),
        (lambda a, b: 1.0 + a * b + 1.0 * a, "1 + a ⊙ b + a"),
        (lambda a, b: a + (-b + a), "2 a − b"),
        (lambda a, b: 1.0 + a + 1.0, "2 + a"),
        (lambda a, b: 2.0 * (3.0 * a) * -b, "2 · 3 a ⊙ (−b)"),
        (lambda a, b: a - (b + a), "a − (b + a)"),
        (lambda a, b: a - (b - a), "a − (b − a)"),
        (lambda a, b: a + -b, "a − b"),
        (lambda a, b: -(a * b) - b, "−a ⊙ b − b"),
        (lambda a, b: a * (b * b.T), "a ⊙ b ⊙ bᵀ"),
        (lambda a, b: a * (b * a), "a² ⊙ b"),
        (lambda a, b: b * a * a * 3.0 * a, "3 b ⊙ a³"),
        (lambda a, b: (1.0 - a) * b * (1.0 - a), "(1 − a)² ⊙ b"),
        (lambda a, b: a * (b + a), "a ⊙ (b + a)"),
        (lambda a, b: a * -b, "a ⊙ (−b)"),
        (lambda a, b: a @ (b @ a), "a b a"),
        (lambda a, b: (a @ b) * a, "(a b) ⊙ a"),
        (lambda a, b: (a * b) @ a, "(a ⊙ b) a"),
        (lambda a, b: (a + b).T @ a, "(a + b)ᵀ a"),
        (lambda a, b: a * 0.5 + b * 2.0, "0.5 a + 2 b"),
        (lambda a, b: 2.0 * (a @ b), "2 a b"),
        (lambda a, b: a / (b * a), "a / (b ⊙ a)"),
        (lambda a, b: a * b / a * b, "(a ⊙ b / a) ⊙ b"),
        (lambda a, b: a * (b / a), "a ⊙ (b / a)"),
        (lambda a, b: (-a / b) * a, "(−a / b) ⊙ a"),
        (lambda a, b: a - (-a / b), "a − (−a / b)"),
        (lambda a, b: a + -a / b, "a − a / b"),
        (lambda a, b: a / b / a, "(a / b) / a"),
        (lambda a, b: (a / b) @ a, "(a / b) a"),
        (lambda a, b: (a + b) ** 2.0, "(a + b)²"),
        (lambda a, b: a * a - b, "a² − b"),
        (lambda a, b: a * (a > b), "a ⊙ [a > b]"),
        (lambda a, b: mg.concat([a, b], axis=1), "[a b]"),
        (lambda a, b: mg.concat([a, b], axis=0), "[a; b]"),
        (lambda a, b: (a + b).sum(axis=0), "Σ_rows (a + b)"),
    ],
)  # fmt: skip
def test_parentheses_are_those_that_mathematics_needs(f: Any, expected: str) -> None:
    assert of(f, "a", "b") == [expected]


def of_derivative(f: Callable[..., Any], *names: str) -> list[str]:
    """The equations of the derivative of a function of matrices."""
    found = equations(traced(f, [np.ones((2, 2))] * len(names), names), time=False)
    return [f"{left} = {right}" for left, right in found.backward]


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x.sum(), ["dx = dy 𝟙"]),
        (lambda x: x.sum(axis=0), ["dx = 𝟙 dy"]),
        (lambda x: x.sum(axis=1), ["dx = dy 𝟙"]),
        (lambda x: x.mean(axis=1), ["dx = (dy / 2) 𝟙"]),
        (lambda x: (x * 3.0).sum(), ["dx = 3 dy 𝟙"]),
        (lambda x: mg.tanh(x).sum(), ["dx = dy (1 − tanh(x)²)"]),
        (lambda x: (x.sum(axis=0) * 2.0 + x).sum(axis=0), ["dx = dy + 𝟙 (2 Σ_rows (𝟙 dy))"]),
    ],
)  # fmt: skip
def test_a_repeated_array_is_a_product_with_ones(f: Any, expected: list[str]) -> None:
    assert of_derivative(f, "x") == expected


def test_a_matrix_full_of_one_number_is_no_number_in_a_product_of_matrices() -> None:
    found = of_derivative(lambda x, h: ((x * h) @ (x * h).T).sum(), "x", "h")
    assert any(line.endswith(" = (dy 𝟙) (x ⊙ h)") for line in found)


def test_a_cotangent_that_is_passed_on_has_an_equation() -> None:
    assert of_cell(nn.AdditiveCell(D, H, rng=0)).backward == [
        ("dz_t", "dh_t ⊙ (1 − g_t²)"), ("dx_t", "dz_t Uᵀ"), ("dh_{t-1}", "dh_t"), ("dU", "x_tᵀ dz_t"),
        ("db", "Σ_rows dz_t"),
    ]  # fmt: skip
    assert of_derivative(lambda a, b: a + b, "a", "b") == ["da = dy", "db = dy"]
    assert of_derivative(lambda a, b: mg.tanh(a + b), "a", "b") == ["da = dy ⊙ (1 − y²)", "db = da"]


def test_the_cotangent_of_c_is_called_dc_in_every_lstm() -> None:
    for make in (nn.LSTMCell, nn.CarouselLSTMCell, nn.CoupledLSTMCell, nn.UpdateGateLSTMCell):
        found = dict(of_cell(make(D, H, rng=0)).backward)
        assert found["dc_t"] == "dc_{out,t} + dh_t ⊙ o_t ⊙ (1 − tanh(c_t)²)"
    assert dict(of_cell(nn.CarouselLSTMCell(D, H, rng=0)).backward)["dc_{t-1}"] == "dc_t"


@every_cell
def test_every_gradient_has_an_equation(make: Callable[[], Any]) -> None:
    t = traced_cell(make())
    left = [a for a, _ in equations(t, time=False).backward]
    wanted = [leaf.name for leaf in (*t.inputs, *(leaf for _, leaf in t.free)) if t.gradients.get(leaf) is not None]
    assert {f"d{name}" for name in wanted} <= set(left)


def test_shapes_that_change_no_number_are_not_shown() -> None:
    assert of(lambda a: mg.broadcast_to(a.sum(axis=1).reshape((2, 1)), (2, 2)) * a, "a") == ["(Σ_columns a) ⊙ a"]
