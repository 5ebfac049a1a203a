"""The equations that a cell's graph gives: as text, as expected; and as text, worked out, the numbers of the cell."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from microgradrnn import Tensor, concat, mark, nn, relu, sigmoid, softmax, tanh
from microgradrnn.nn import scalar
from viz.graph.cell_key import cell_key
from viz.graph.equations import Equations, equations

D, H, K = 3, 4, 2
rng = np.random.default_rng(3)
A, R = (Tensor(rng.standard_normal(shape) / 2) for shape in ((D, H), (H, H)))
FIXED = rng.standard_normal((H, H))
BELOW = Tensor(rng.standard_normal((2 * H, D)))
ALL = Tensor(rng.standard_normal((H + D, 2 * H)) / 2)


def light_gru(x: Any, h: Any) -> Any:
    """A user's gate, marked."""
    z = mark(sigmoid(x @ A + h @ R), "z", role="gate")
    n = mark(tanh(x @ A), "n", role="candidate")
    return mark(z * h + (1 - z) * n, "h", role="hidden")


def fused(x: Any, h: Any) -> Any:
    """A user's step without a mark: [h, x] side by side, and both gates in one matrix."""
    both = concat([h, x], axis=-1) @ ALL
    a, b = both[:, :H].sigmoid(), both[:, H:]
    return a * h + (1 - a) * relu(b) / 2


def two_states(x: Any, state: Any) -> Any:
    """Two states, each reading the other; a leak that is a plain number."""
    m, h = state
    h = 0.9 * h - 0.25 * tanh(x @ A + m)
    return m + h @ R.T, h


def packed(x: Any, s: Any) -> Any:
    """Two states side by side in one array."""
    h, c = s[:, :H], s[:, H:]
    c = c + tanh(x @ A + h)
    return concat([tanh(c), c], axis=-1)


def plain_weights(x: Any, h: Any) -> Any:
    """Weights that are arrays, not to be learned."""
    return tanh(x @ FIXED[:D] + h @ FIXED)


class Highway(nn.Module):
    """A user's module, made of layers; it says how long its input is and what it starts from."""

    input_size = D

    def __init__(self) -> None:
        self.gate, self.new = nn.Linear(H + D, H, rng=0), nn.Linear(H + D, H, rng=1)

    def initial_state(self, B: int) -> Any:
        """h_0 = 0."""
        return np.zeros((B, H))

    def __call__(self, x: Any, h: Any) -> Any:
        both = concat([h, x], axis=-1)
        t = mark(self.gate(both).sigmoid(), "t", role="gate")
        return mark(t * self.new(both).tanh() + (1 - t) * h, "h", role="hidden")


def torch_like(x: Any, h: Any) -> Any:
    """Weights with the gates one below another, used transposed."""
    return sigmoid(x @ BELOW[:H].T) * h + tanh(x @ BELOW[H:].T)


CELLS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "rnn": (nn.RNNCell(D, H, rng=0), {}, """
        z = x U + h_{t-1} W + b
        h_t = tanh(z)"""),
    "rnn relu": (nn.RNNCell(D, H, activation="relu", bias=False, rng=0), {}, """
        z = x U + h_{t-1} W
        h_t = relu(z)"""),
    "irnn": (nn.IRNNCell(D, H, rng=0), {}, """
        z = x U + h_{t-1} W + b
        h_t = relu(z)"""),
    "jordan": (nn.JordanCell(D, H, K, rng=0), {}, """
        z = x U + o_{t-1} W + b
        h = tanh(z)
        o_t = h V + d"""),
    "jordan softmax": (nn.JordanCell(D, H, K, feedback=softmax, rng=0), {}, """
        z = x U + softmax(o_{t-1}) W + b
        h = tanh(z)
        o_t = h V + d"""),
    "additive": (nn.AdditiveCell(D, H, rng=0), {}, """
        z = x U + b
        g = tanh(z)
        h_t = h_{t-1} + g"""),
    "additive, reads state": (nn.AdditiveCell(D, H, reads_state=True, rng=0), {}, """
        z = x U + h_{t-1} W + b
        g = tanh(z)
        h_t = h_{t-1} + g"""),
    "lstm": (nn.LSTMCell(D, H, rng=0), {}, """
        i = σ(x U_i + h_{t-1} W_i + b_i)
        f = σ(x U_f + h_{t-1} W_f + b_f)
        g = tanh(x U_g + h_{t-1} W_g + b_g)
        o = σ(x U_o + h_{t-1} W_o + b_o)
        c_t = f ⊙ c_{t-1} + i ⊙ g
        h_t = o ⊙ tanh(c_t)"""),
    "lstm relu": (nn.LSTMCell(D, H, activation="relu", bias=False, rng=0), {}, """
        i = σ(x U_i + h_{t-1} W_i)
        f = σ(x U_f + h_{t-1} W_f)
        g = relu(x U_g + h_{t-1} W_g)
        o = σ(x U_o + h_{t-1} W_o)
        c_t = f ⊙ c_{t-1} + i ⊙ g
        h_t = o ⊙ relu(c_t)"""),
    "update gate": (nn.UpdateGateLSTMCell(D, H, rng=0), {}, """
        i = σ(x U_i + h_{t-1} W_i + b_i)
        f = σ(x U_f + h_{t-1} W_f + b_f)
        g = tanh(x U_g + h_{t-1} W_g + b_g)
        o = σ(x U_o + h_{t-1} W_o + b_o)
        c_t = f ⊙ c_{t-1} + i ⊙ g
        h_t = o ⊙ tanh(c_t)"""),
    "carousel": (nn.CarouselLSTMCell(D, H, rng=0), {}, """
        i = σ(x U_i + h_{t-1} W_i + b_i)
        g = tanh(x U_g + h_{t-1} W_g + b_g)
        o = σ(x U_o + h_{t-1} W_o + b_o)
        c_t = c_{t-1} + i ⊙ g
        h_t = o ⊙ tanh(c_t)"""),
    "coupled": (nn.CoupledLSTMCell(D, H, rng=0), {}, """
        u = σ(x U_u + h_{t-1} W_u + b_u)
        g = tanh(x U_g + h_{t-1} W_g + b_g)
        o = σ(x U_o + h_{t-1} W_o + b_o)
        c_t = (1 − u) ⊙ c_{t-1} + u ⊙ g
        h_t = o ⊙ tanh(c_t)"""),
    "gru": (nn.GRUCell(D, H, rng=0), {}, """
        r = σ(x U_r + h_{t-1} W_r + b_r)
        z = σ(x U_z + h_{t-1} W_z + b_z)
        n = tanh(x U_n + (r ⊙ h_{t-1}) W_n + b_n)
        h_t = z ⊙ h_{t-1} + (1 − z) ⊙ n"""),
    "gru after": (nn.GRUCell(D, H, reset="after", rng=0), {}, """
        r = σ(x U_r + h_{t-1} W_r + b_r)
        z = σ(x U_z + h_{t-1} W_z + b_z)
        n = tanh(x U_n + b_n + r ⊙ (h_{t-1} W_n + b_{hn}))
        h_t = z ⊙ h_{t-1} + (1 − z) ⊙ n"""),
    "mgu": (nn.MGUCell(D, H, rng=0), {}, """
        f = σ(x U_f + h_{t-1} W_f + b_f)
        n = tanh(x U_n + (f ⊙ h_{t-1}) W_n + b_n)
        h_t = (1 − f) ⊙ h_{t-1} + f ⊙ n"""),
    "rnn neuron": (scalar.RNNNeuron(2), {"x": [1.0, -0.5]}, """
        z = x_1 u_{h1} + x_2 u_{h2} + h_{t-1} w_h + b_h
        h_t = tanh(z)"""),
    "lstm neuron": (scalar.LSTMNeuron(1), {"x": [0.7]}, """
        i = σ(x u_i + h_{t-1} w_i + b_i)
        f = σ(x u_f + h_{t-1} w_f + b_f)
        g = tanh(x u_g + h_{t-1} w_g + b_g)
        o = σ(x u_o + h_{t-1} w_o + b_o)
        c_t = f ⊙ c_{t-1} + i ⊙ g
        h_t = o ⊙ tanh(c_t)"""),
    "gru neuron": (scalar.GRUNeuron(1), {"x": [0.7]}, """
        r = σ(x u_r + h_{t-1} w_r + b_r)
        z = σ(x u_z + h_{t-1} w_z + b_z)
        n = tanh(x u_n + (r ⊙ h_{t-1}) w_n + b_n)
        h_t = z ⊙ h_{t-1} + (1 − z) ⊙ n"""),
    "a user's gate": (light_gru, {"x": rng.standard_normal((2, D)), "state": rng.standard_normal((2, H))}, """
        z = σ(x W1 + h_{t-1} W2)
        n = tanh(x W1)
        h_t = z ⊙ h_{t-1} + (1 − z) ⊙ n"""),
    "without marks": (fused, {"x": rng.standard_normal((2, D)), "state": rng.standard_normal((2, H))}, """
        a1 = σ([h_{t-1}, x] W1_{a1})
        h_t = a1 ⊙ h_{t-1} + ((1 − a1) ⊙ relu([h_{t-1}, x] W1_h)) / 2"""),
    "two states": (two_states, {"x": rng.standard_normal((2, D)), "state": (rng.standard_normal((2, H)),) * 2}, """
        s2_t = 0.9 s2_{t-1} − 0.25 tanh(x W1 + h_{t-1})
        h_t = h_{t-1} + s2_t W2ᵀ"""),
    "plain weights": (plain_weights, {"x": rng.standard_normal((2, D)), "state": np.ones((2, H))}, """
        h_t = tanh(x k1 + h_{t-1} k2)"""),
    "a module": (Highway(), {}, """
        a1 = [h_{t-1}, x]
        o = a1 V_1 + d_1
        t = σ(o)
        o_2 = a1 V_2 + d_2
        h_t = t ⊙ tanh(o_2) + (1 − t) ⊙ h_{t-1}"""),
    "own activation": (nn.LSTMCell(D, H, activation=lambda z: z * z.sigmoid(), bias=False, rng=0), {}, """
        a1 = x U_{a1} + h_{t-1} W_{a1}
        i = σ(x U_i + h_{t-1} W_i)
        f = σ(x U_f + h_{t-1} W_f)
        g = a1 ⊙ σ(a1)
        o = σ(x U_o + h_{t-1} W_o)
        c_t = f ⊙ c_{t-1} + i ⊙ g
        h_t = o ⊙ c_t ⊙ σ(c_t)"""),
    "two states in one": (packed, {"x": rng.standard_normal((2, D)), "state": np.ones((2, 2 * H))}, """
        a1 = h_{t-1}[4:8] + tanh(x W1 + h_{t-1}[0:4])
        h_t = [tanh(a1), a1]"""),
    "gates one below another": (torch_like, {"x": rng.standard_normal((2, D)), "state": np.ones((2, H))}, """
        h_t = σ(x W1_hᵀ) ⊙ h_{t-1} + tanh(x W1_{h2}ᵀ)"""),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_graph_of_a_cell_gives_its_equations(name: str) -> None:
    cell, given, expected = CELLS[name]
    assert str(equations(cell, **given)).splitlines() == [line.strip() for line in expected.strip().splitlines()]


# ------------------------------------------------------------------------------------- the text, read and worked out
class Number:
    """Numbers whose operators are those of the notation: ``**`` stands for side by side, ``*`` for ⊙."""

    def __init__(self, x: Any) -> None:
        self.x = np.asarray(x.x if isinstance(x, Number) else x)

    def __pow__(self, other: Any) -> Number:
        a, b = self.x, Number(other).x
        return Number(a @ b if a.ndim and b.ndim else a * b)

    def __mul__(self, other: Any) -> Number:
        return Number(self.x * Number(other).x)

    def __truediv__(self, other: Any) -> Number:
        return Number(self.x / Number(other).x)

    def __add__(self, other: Any) -> Number:
        return Number(self.x + Number(other).x)

    def __sub__(self, other: Any) -> Number:
        return Number(self.x - Number(other).x)

    def __getitem__(self, index: Any) -> Number:
        return Number(self.x[..., index])

    @property
    def T(self) -> Number:
        return Number(self.x.T)


def on(f: Any) -> Any:
    return lambda a: Number(f(a.x))


FUNCTIONS = {
    "σ": on(lambda a: 1 / (1 + np.exp(-a))), "tanh": on(np.tanh), "relu": on(lambda a: np.maximum(a, 0)),
    "softmax": on(lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True)),
    "join": lambda parts: Number(np.concatenate([part.x for part in parts], axis=-1)),
}
TOKEN = re.compile(r"\[\d+:\d+\]|[A-Za-zσ][A-Za-z0-9]*(?:_(?:\{[^}]*\}|\w))?|[0-9.]+|[-+−⊙/()\[\],ᵀ]")
WRITTEN = {"⊙": "*", "−": "-", "ᵀ": ".T", "[": "join([", "]": "])"}


def worked_out(text: str, values: dict[str, Any]) -> Any:
    """What an equation's right side comes to, read as a person reads it."""
    python, end = "", False  # has something just ended that the next thing could stand beside?
    for token in TOKEN.findall(text):
        begins = (token[0].isalnum() and token != "ᵀ") or token in "(["
        python += "**" if begins and end else ""
        if token[0].isdigit():
            python += f"Number({token})"
        elif token[0].isalpha() and token != "ᵀ" and token not in FUNCTIONS:
            python += f"V[{token!r}]"
        else:
            python += WRITTEN.get(token, token)
        end = (token[0].isalnum() and token not in FUNCTIONS) or token[-1] in ")]ᵀ"
    values = {name: Number(x) for name, x in values.items()}
    return eval(python, {"V": values, "Number": Number, **FUNCTIONS}).x  # a line of our own making


def values_of(found: Equations) -> dict[str, Any]:
    step = found.probe
    values = {name: block.data for name, block in found.weights.items()}
    values |= {str(node.symbol): node.data for node in step.inputs}
    return values | {f"{s}_{{t-1}}": node.data for s, node in zip(step.symbols, step.before, strict=True)}


def test_the_reader_of_equations_reads_as_people_do() -> None:
    x, W, f = np.array([[1.0, 2.0]]), np.array([[1.0, 3.0], [-1.0, 0.5]]), np.array([[2.0, -1.0]])
    read = worked_out("f ⊙ x W_f − 0.5 tanh(x) + (1 − f) ⊙ x", {"x": x, "W_f": W, "f": f})
    np.testing.assert_allclose(read, f * (x @ W) - 0.5 * np.tanh(x) + (1 - f) * x, rtol=1e-15)
    np.testing.assert_allclose(worked_out("[f, x] Aᵀ", {"x": x, "f": f, "A": np.eye(4)[:3]}),
                               np.hstack([f, x])[:, :3])


@pytest.mark.parametrize("name", CELLS)
def test_worked_out_by_hand_the_equations_give_what_the_cell_gave(name: str) -> None:
    cell, given, _ = CELLS[name]
    found = equations(cell, **given)
    values = values_of(found)
    for line in found.lines:
        result = worked_out(line.right, values)
        np.testing.assert_allclose(result, line.node.data, rtol=1e-12, atol=1e-12, err_msg=str(line))
        values[line.left] = result
    assert {line.node for line in found.lines} >= set(found.probe.after)


def test_an_equation_with_a_wrong_sign_would_be_noticed() -> None:
    found = equations(nn.GRUCell(D, H, rng=0))
    values = values_of(found)
    for line in found.lines[:-1]:
        values[line.left] = line.node.data
    wrong = worked_out(found.lines[-1].right.replace("1 − z", "1 + z"), values)
    assert abs(wrong - found.lines[-1].node.data).max() > 1e-2


def test_blocks_are_the_columns_that_the_gate_reads() -> None:
    cell = nn.LSTMCell(D, H, rng=0)
    weights = equations(cell).weights
    np.testing.assert_array_equal(weights["U_f"].data, cell.U.data[:, H:2 * H])
    np.testing.assert_array_equal(weights["W_o"].data, cell.W.data[:, 3 * H:])
    np.testing.assert_array_equal(weights["b_g"].data, cell.b.data[2 * H:3 * H])


def test_weights_that_no_state_depends_on_are_named() -> None:
    found = equations(nn.UpdateGateLSTMCell(D, H, rng=0))
    assert sorted(found.unread) == [("U", 4 * H, 5 * H), ("W", 4 * H, 5 * H), ("b", 4 * H, 5 * H)]
    assert equations(nn.LSTMCell(D, H, rng=0)).unread == ()


# --------------------------------------------------------------------------------------------------- in words
@pytest.mark.parametrize(("name", "symbol", "words"), [
    ("lstm", "f", "forget gate: how much of c_{t-1} is kept"),
    ("lstm", "i", "input gate: how much of g is let in"),
    ("lstm", "o", "output gate: how much of tanh(c_t) is put out"),
    ("lstm", "g", "candidate: what may come into c_t"),
    ("coupled", "u", "update gate: how much of c_{t-1} is replaced by g"),
    ("gru", "z", "update gate: how much of h_{t-1} is kept; the rest is taken from n"),
    ("gru", "r", "reset gate: how much of h_{t-1} goes into n"),
    ("mgu", "f", "gate: how much of h_{t-1} is replaced by n, and how much of it n sees"),
    ("rnn", "z", "net input: the weighted sum"),
    ("jordan", "h", "hidden layer"),
])
def test_what_a_part_is_for_is_read_from_the_equations(name: str, symbol: str, words: str) -> None:
    cell, given, _ = CELLS[name]
    assert cell_key(equations(cell, **given))[symbol] == words


def test_meaning_does_not_depend_on_the_letter() -> None:
    def renamed(x: Any, c: Any) -> Any:
        o = mark(sigmoid(x @ A), "o", role="gate")  # an o that forgets
        q = mark(tanh(x @ A), "q", role="candidate")
        return mark(o * c + q, "c", role="cell")

    said = cell_key(equations(renamed, x=np.ones((1, D)), state=np.ones((1, H))))
    assert said["o"] == "forget gate: how much of c_{t-1} is kept"


# --------------------------------------------------------------------------------------------------- what goes wrong
def test_a_function_needs_an_example_of_its_state() -> None:
    with pytest.raises(ValueError, match=r"what state does light_gru start from.*state=np.zeros"):
        equations(light_gru, x=np.ones((1, D)))


def test_a_cell_without_a_size_needs_an_example_of_its_input() -> None:
    with pytest.raises(ValueError, match=r"how long is the input of lstm.*x="):
        equations(scalar.LSTMNeuron(2))


def test_a_step_that_does_not_return_a_state_is_named() -> None:
    with pytest.raises(ValueError, match=r"got a state of 1 part.*returned a tuple of 2"):
        equations(lambda x, h: (tanh(h), h), x=np.ones((1, D)), state=np.ones((1, H)))


def test_what_does_not_read_its_state_is_no_cell() -> None:
    with pytest.raises(ValueError, match="no new state from the old one"):
        equations(lambda x, h: tanh(x), x=np.ones((1, D)), state=np.ones((1, D)))


def test_a_part_of_the_state_that_never_changes_is_named() -> None:
    with pytest.raises(ValueError, match="as it got it"):
        equations(lambda x, s: (tanh(x + s[0] * s[1]), s[1]), x=np.ones((1, D)), state=(np.ones((1, D)),) * 2)


def test_two_gates_of_one_name_are_told_apart() -> None:
    def step(x: Any, h: Any) -> Any:
        a, b = mark(sigmoid(x), "a", role="gate"), mark(sigmoid(h), "a", role="gate")
        return mark(a * h + b * x, "h", role="hidden")

    found = equations(step, x=np.ones((1, D)), state=np.ones((1, D)))
    assert [line.left for line in found.lines] == ["a", "a_2", "h_t"]
    assert found.lines[-1].right == "a ⊙ h_{t-1} + a_2 ⊙ x"


# ------------------------------------------------------------------------------------------------- in a notebook
def test_a_notebook_shows_equations_typeset() -> None:
    said = equations(nn.LSTMCell(D, H, rng=0))._repr_latex_()
    assert said.startswith(r"$$\begin{aligned} i &= \sigma(x\ U_{i}\ +\ h_{t-1}\ W_{i}\ +\ b_{i}) \\ ")
    assert said.endswith(r"h_{t} &= o\ \odot\ \tanh(c_{t}) \end{aligned}$$")


@pytest.mark.parametrize("symbol", ["a$b", "50%", "x_{y", "}", "\\input", "a&b", "#1", "net_input"])
def test_names_from_outside_are_no_commands_of_latex(symbol: str) -> None:
    def step(x: Any, h: Any) -> Any:
        return mark(tanh(mark(x @ A, symbol) + h @ R), "h")

    said = equations(step, np.ones((1, D)), np.ones((1, H)))._repr_latex_()
    inner = said.removeprefix(r"$$\begin{aligned}").removesuffix(r"\end{aligned}$$")
    bare = re.sub(r"\\(backslash|mathrm|tanh|odot|top|hat|sim|.)", "", inner.replace(r"\\", ""))
    assert not set("$%#\\") & set(bare)
    assert bare.count("&") == inner.count("&=") == 2
    assert bare.count("{") == bare.count("}")


def test_equations_draw_the_cell() -> None:
    found = equations(nn.GRUCell(D, H, rng=0))
    drawing = found.draw(name="GRU", theme="dark")
    assert drawing.scene.title.startswith("GRU multiplies its state h by z")
    assert drawing.scene.theme.paper == "#14181d"
