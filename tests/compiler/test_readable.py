"""The readable source of a traced function: what it says, and that it computes what the tape does."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from microgradrnn.compiler.arguments import Slot
from microgradrnn.compiler.outline import Names
from microgradrnn.compiler.python_text import OPERATORS, SIGN, Text, binary, listed, number, power, signed
from microgradrnn.compiler.readable import constants, python_source, run
from microgradrnn.compiler.trace import Trace, trace
from tests.compiler.test_function import every_case
from tests.engine.operations import Case, inputs
from tests.numerics import assert_same

B, D, H, K = 2, 3, 5, 4

CELLS: dict[str, Callable[[int, int, int], Any]] = {
    "rnn": lambda D, H, K: nn.RNNCell(D, H, rng=0),
    "rnn, relu": lambda D, H, K: nn.RNNCell(D, H, activation="relu", rng=0),
    "rnn, no bias": lambda D, H, K: nn.RNNCell(D, H, bias=False, rng=0),
    "irnn": lambda D, H, K: nn.IRNNCell(D, H, rng=0),
    "jordan": lambda D, H, K: nn.JordanCell(D, H, K, rng=0),
    "jordan, relu": lambda D, H, K: nn.JordanCell(D, H, K, activation="relu", rng=0),
    "jordan, feedback": lambda D, H, K: nn.JordanCell(D, H, K, feedback=mg.softmax, rng=0),
    "additive": lambda D, H, K: nn.AdditiveCell(D, H, rng=0),
    "additive, no bias": lambda D, H, K: nn.AdditiveCell(D, H, bias=False, rng=0),
    "additive, reads state": lambda D, H, K: nn.AdditiveCell(D, H, reads_state=True, rng=0),
    "lstm": lambda D, H, K: nn.LSTMCell(D, H, rng=0),
    "lstm, relu": lambda D, H, K: nn.LSTMCell(D, H, activation="relu", rng=0),
    "lstm, no bias": lambda D, H, K: nn.LSTMCell(D, H, bias=False, rng=0),
    "lstm, update gate": lambda D, H, K: nn.UpdateGateLSTMCell(D, H, rng=0),
    "lstm, update gate, no bias": lambda D, H, K: nn.UpdateGateLSTMCell(D, H, bias=False, rng=0),
    "lstm, carousel": lambda D, H, K: nn.CarouselLSTMCell(D, H, rng=0),
    "lstm, carousel, no bias": lambda D, H, K: nn.CarouselLSTMCell(D, H, bias=False, rng=0),
    "lstm, coupled": lambda D, H, K: nn.CoupledLSTMCell(D, H, rng=0),
    "lstm, coupled, no bias": lambda D, H, K: nn.CoupledLSTMCell(D, H, bias=False, rng=0),
    "gru, before": lambda D, H, K: nn.GRUCell(D, H, rng=0),
    "gru, before, no bias": lambda D, H, K: nn.GRUCell(D, H, bias=False, rng=0),
    "gru, after": lambda D, H, K: nn.GRUCell(D, H, reset="after", rng=0),
    "gru, after, no bias": lambda D, H, K: nn.GRUCell(D, H, reset="after", bias=False, rng=0),
    "gru, z replaces": lambda D, H, K: nn.GRUCell(D, H, z="replaces", rng=0),
    "lstm, peepholes": lambda D, H, K: nn.PeepholeLSTMCell(D, H, rng=0),
    "lstm, projected": lambda D, H, K: nn.LSTMCell(D, H, proj_size=2, rng=0),
    "mgu": lambda D, H, K: nn.MGUCell(D, H, rng=0),
    "mgu, no bias": lambda D, H, K: nn.MGUCell(D, H, bias=False, rng=0),
}


def of_any_size(make: Callable[[int, int, int], Any]) -> Callable[..., Any]:
    """A cell of the sizes above, unless others are given."""

    def made(inputs: int = D, hidden: int = H, outputs: int = K) -> Any:
        return make(inputs, hidden, outputs)

    return made


every_cell = pytest.mark.parametrize("make", [of_any_size(make) for make in CELLS.values()], ids=list(CELLS))


def one_step(cell: Any, batch: int = B) -> tuple[Callable[..., Any], list[np.ndarray], list[str]]:
    """A step of a cell, arrays to call it with, and their names."""

    def step(x: Any, *state: Any) -> Any:
        z, next_state = cell.prepare(x)
        return next_state(z, state if len(state) > 1 else state[0])

    random = np.random.default_rng(1)
    arrays = [random.standard_normal((batch, n)) for n in (cell.input_size, *cell.state_sizes)]
    return step, arrays, ["x", *cell.state]


def traced(f: Callable[..., Any], arrays: Sequence[Any], names: Sequence[str]) -> Trace:
    return trace(f, tuple(map(Slot, arrays)), names)


def traced_cell(cell: Any) -> Trace:
    return traced(*one_step(cell))


def assert_computes_the_same(f: Callable[..., Any], arrays: Sequence[Any], names: Sequence[str], states: Any = (),
                             edit: Callable[[str], str] = str) -> str:
    """Run the source of a function; its outputs and gradients must be those of the tape. Returns the source."""
    t = traced(f, arrays, names)
    source = edit(python_source(t, states=states))
    defined = run(source, constants(t, states=states))
    free = [node for node, _ in t.free]
    *ours, saved = defined["step"](*arrays, *(node.data for node in free))

    leaves = [Tensor(a) for a in arrays]
    returned = f(*leaves)
    theirs = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert_same(np.asarray(a), b.data, what="an output")

    random = np.random.default_rng(2)
    seeds = [np.asarray(random.standard_normal(y.shape)) for y in theirs]
    gradients = defined["step_backward"](*seeds, saved)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    wanted: list[Any] = [*leaves, *free]
    assert len(gradients) == len(wanted)
    loss: Any = sum((y * g).sum() for y, g in zip(theirs, seeds, strict=True))
    for x, ours_x, theirs_x in zip(wanted, gradients, mg.grad(loss, wanted), strict=True):
        expected = np.zeros(x.shape) if theirs_x is None else np.asarray(theirs_x)
        assert_same(np.zeros(x.shape) if ours_x is None else np.asarray(ours_x), expected, what=str(x.symbol))
    return source


# ------------------------------------------------------------------------------------------------------- what it says
def lines_of(source: str) -> list[str]:
    """The lines of the two functions."""
    return source[source.index("def step(") :].replace("\n\n\n", "\n").strip().split("\n")


def test_the_source_of_the_simple_net() -> None:
    assert lines_of(python_source(traced_cell(nn.RNNCell(D, H, rng=0)), states=["h"])) == [
        "def step(x, h_prev, U, W, b):",
        "    z = h_prev @ W + (x @ U + b)",
        "    h = np.tanh(z)",
        "    saved = x, h_prev, U, W, h",
        "    return h, saved",
        "def step_backward(dh, saved):",
        "    x, h_prev, U, W, h = saved",
        "    dz = dh * (1 - h * h)",
        "    dx = dz @ U.T",
        "    dh_prev = dz @ W.T",
        "    dU = x.T @ dz",
        "    dW = h_prev.T @ dz",
        "    db = dz.sum(axis=0)",
        "    return dx, dh_prev, dU, dW, db",
    ]


def test_the_source_of_the_lstm() -> None:
    assert lines_of(python_source(traced_cell(nn.LSTMCell(D, H, rng=0)), states=["h", "c"])) == [
        "def step(x, h_prev, c_prev, U, W, b):",
        "    z = h_prev @ W + (x @ U + b)",
        "    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)",
        "    i = sigmoid(z_i)",
        "    f = sigmoid(z_f)",
        "    g = np.tanh(z_g)",
        "    o = sigmoid(z_o)",
        "    c = f * c_prev + i * g",
        "    tanh_c = np.tanh(c)",
        "    h = o * tanh_c",
        "    saved = x, h_prev, c_prev, U, W, i, f, g, o, tanh_c",
        "    return h, c, saved",
        "def step_backward(dh, dc_out, saved):",
        "    x, h_prev, c_prev, U, W, i, f, g, o, tanh_c = saved",
        "    dc = dc_out + dh * o * (1 - tanh_c * tanh_c)",
        "    di = dc * g",
        "    dz_i = di * (i - i * i)",
        "    df = dc * c_prev",
        "    dz_f = df * (f - f * f)",
        "    dg = dc * i",
        "    dz_g = dg * (1 - g * g)",
        "    do = dh * tanh_c",
        "    dz_o = do * (o - o * o)",
        "    dz = np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)",
        "    dx = dz @ U.T",
        "    dh_prev = dz @ W.T",
        "    dc_prev = dc * f",
        "    dU = x.T @ dz",
        "    dW = h_prev.T @ dz",
        "    db = dz.sum(axis=0)",
        "    return dx, dh_prev, dc_prev, dU, dW, db",
    ]


def test_the_gate_z_of_the_gru_and_its_net_input_have_two_names() -> None:
    source = python_source(traced_cell(nn.GRUCell(D, H, rng=0)), states=["h"])
    assert "    z_rz = h_prev @ W_rz + z_x_rz\n" in source
    assert "    z_r, z_z = np.split(z_rz, 2, axis=1)\n" in source
    assert "    z = sigmoid(z_z)\n" in source
    assert "    dz_z = dz * (z - z * z)\n" in source


def test_parts_of_different_length_are_fractions_of_the_axis() -> None:
    source = python_source(traced_cell(nn.GRUCell(D, H, rng=0)), states=["h"])
    assert "    W_rz, W_n = np.split(W, [2 * W.shape[1] // 3], axis=1)\n" in source


def test_a_part_that_nobody_reads_has_no_name() -> None:
    source = python_source(traced_cell(nn.UpdateGateLSTMCell(D, H, rng=0)), states=["h", "c"])
    assert "    z_i, z_f, z_g, z_o, _ = np.split(z, 5, axis=1)\n" in source
    assert "    dz = np.concatenate([dz_i, dz_f, dz_g, dz_o, np.zeros_like(dz_o)], axis=1)\n" in source


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ([(0, 2), (2, 6), (6, 8)], "a, b, c = np.split(x, [x.shape[1] // 4, 3 * x.shape[1] // 4], axis=1)"),
        ([(2, 4), (4, 6)], "_, a, b, _ = np.split(x, 4, axis=1)"),
        ([(0, 4), (6, 8)], "a, _, b = np.split(x, [2 * x.shape[1] // 4, 3 * x.shape[1] // 4], axis=1)"),
        ([(0, 4), (2, 8)], None),  # they overlap
        ([(0, 4), (4, 4)], None),  # one is empty
    ],
)
def test_how_an_axis_is_split(cuts: list[tuple[int, int]], expected: str | None) -> None:
    def f(x: Any) -> Any:
        return [mg.tanh(mg.mark(x[:, a:b], name)) for (a, b), name in zip(cuts, "abc", strict=False)]

    source = assert_computes_the_same(f, [RANDOM.standard_normal((2, 8))], ["x"])
    assert (expected is None and "split" not in source) or f"    {expected}\n" in source


def test_many_small_parts_are_slices() -> None:
    source = assert_computes_the_same(lambda x: mg.tanh(x[:, 0:3]).sum() + mg.exp(x[:, 3:10]).sum(), [np.ones((2, 10))],
                                      ["x"])
    assert "x[:, 3:10]" in source


def test_a_gradient_that_is_passed_on_has_a_line() -> None:
    lines = lines_of(python_source(traced_cell(nn.AdditiveCell(D, H, rng=0)), states=["h"]))
    assert lines[-6:] == ["    dz = dh * (1 - g * g)", "    dx = dz @ U.T", "    dh_prev = dh", "    dU = x.T @ dz",
                          "    db = dz.sum(axis=0)", "    return dx, dh_prev, dU, db"]


@every_cell
def test_every_name_is_given_once(make: Callable[[], Any]) -> None:
    cell = make()
    tree = ast.parse(python_source(traced_cell(cell), states=cell.state))
    for function in [f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name != "sigmoid"]:
        given = [a.arg for a in function.args.args]
        given += [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        assert len(given) == len(set(given)), given


# -------------------------------------------------------------------------------------------- that it computes the same
@every_cell
def test_the_source_of_a_cell_computes_what_the_tape_does(make: Callable[[], Any]) -> None:
    cell = make()
    f, arrays, names = one_step(cell)
    source = assert_computes_the_same(f, arrays, names, cell.state)
    assert " v2" not in source  # what repeats has a name that means something


@every_cell
@pytest.mark.parametrize("sizes", [(D, H, K, 6), (4, 7, 3, 1), (6, 2, 9, 3)])
def test_the_source_of_a_cell_runs_at_other_sizes(make: Callable[..., Any], sizes: tuple[int, ...]) -> None:
    source = python_source(traced_cell(make()))
    assert_computes_the_same(*one_step(make(*sizes[:3]), batch=sizes[3]), edit=lambda _: source)


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.CarouselLSTMCell, nn.CoupledLSTMCell])
def test_dc_is_the_whole_gradient_of_c(make: Callable[..., Any]) -> None:
    f, arrays, names = one_step(make(D, H, rng=0))
    t = traced(f, arrays, names)
    source = python_source(t, states=["h", "c"])
    defined = run(source[: source.rindex("    return ")] + "    return locals()")
    *_, saved = defined["step"](*arrays, *(node.data for node, _ in t.free))
    dh, dc = (RANDOM.standard_normal((B, H)) for _ in range(2))
    ours = defined["step_backward"](dh, dc, saved)
    h, c = f(*map(Tensor, arrays))
    assert_same(ours["dc"], np.asarray(mg.grad((h * dh + c * dc).sum(), c)), what="dc")


@every_case
def test_the_source_of_every_operation_computes_what_the_tape_does(case: Case) -> None:
    arrays = inputs(case)
    names = [f"x{k}" for k in range(len(arrays))]
    assert_computes_the_same(case.ours, arrays, names)


class Chooses(nn.Cell):
    """A cell with a kink of its own, attention over its blocks, and layer normalisation."""

    blocks, name = 2, "chooses"

    def step(self, z: Any, h: Any) -> Any:
        z = mg.affine(h, self.W, z)
        a, b = mg.split(z, 2, axis=-1)
        weights = mg.softmax(a @ b.T / np.sqrt(self.hidden_size))
        read = weights @ b
        centred = read - read.mean(axis=-1, keepdims=True)
        normal = centred / mg.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5)
        return mg.mark(mg.where(h > 0, normal, mg.exp(normal) - 1) + (h > 0) * h, "h")


def test_a_cell_of_ones_own() -> None:
    f, arrays, names = one_step(Chooses(D, H, rng=0))
    source = assert_computes_the_same(f, arrays, names, ["h"])
    assert "np.where(" in source
    assert "softmax = PRIMITIVES" in source


RANDOM = np.random.default_rng(5)
MATRIX, TABLE_OF_PICKS = RANDOM.standard_normal((3, 3)), RANDOM.integers(0, 2, (4, 3))


@pytest.mark.parametrize(
    ("f", "shapes", "names", "states"),
    [
        (lambda x, y: (x * 2.0).sum() * y, [(2, 3), ()], ["x", "y"], ()),
        (lambda x: x, [(2, 3)], ["x"], ()),
        (lambda x, y: x + y, [(2, 3), (2, 3)], ["x", "y"], ()),
        (lambda x, y: (x, x * y, x), [(2, 3), (3,)], ["x", "y"], ()),
        (lambda x, y: x * 1.0, [(2, 3), (3,)], ["x", "y"], ()),
        (lambda x: x.detach() * 2.0 + x, [(2, 3)], ["x"], ()),
        (lambda x: x @ MATRIX + np.array([1.0, 2.0, 3.0]), [(2, 3)], ["x"], ()),
        (lambda x: x[TABLE_OF_PICKS, [0, 1, 2]], [(2, 3)], ["x"], ()),
        (lambda a, b: mg.mark(mg.mark(a * b, "lambda").tanh() - mg.mark(a, "a"), "step"), [(2,), (2,)],
         ["np", "sigmoid"], ()),
        (lambda h, c: (mg.mark(c.tanh() * h, "h"), mg.mark(c * 2.0, "c")), [(2,), (2,)], ["h", "c"], ["h", "c"]),
        (lambda h, c: (mg.mark(c.tanh() * h, "h"), mg.mark(c * 2.0, "c")), [(2,), (2,)], ["h", "c"], ()),
        (lambda a, b: mg.mark(mg.mark(a * b, "h'").exp() * mg.mark(a + b, "h''"), "2 h"), [(2,), (2,)], ["𝐡", "h"], ()),
        (lambda a, b: -(a * b) * -b - (a - (b - a)) / (a / b) ** 2 ** -b, [(2,), (2,)], ["a", "b"], ()),
        (lambda a, b: mg.where(((a > 0) & (b > 0)) | ~(a <= b), a * b, -a), [(4,), (4,)], ["a", "b"], ()),
    ],
    ids=["0-d", "identity", "one gradient for two", "an input returned", "no gradient", "detached", "constants",
         "a large index", "reserved names", "states", "states not told", "no identifiers", "signs", "conditions"],
)  # fmt: skip
def test_small_functions(f: Any, shapes: list[tuple[int, ...]], names: list[str], states: Collection[str]) -> None:
    random = np.random.default_rng(7)
    assert_computes_the_same(f, [random.uniform(0.5, 1.5, shape) for shape in shapes], names, states)


def test_a_long_function_is_written_in_short_lines() -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(300):
            y = mg.tanh(y * x + y)
        return y

    source = assert_computes_the_same(f, [np.ones((2, 3))], ["x"])
    assert max(map(len, source.splitlines())) < 130


def test_cotangents_belong_to_the_step_they_are_named_after() -> None:
    def f(x: Any, w: Any) -> Any:
        h = x
        for _ in range(3):
            h = mg.mark(mg.tanh(h * w), "h")
        return h

    source = assert_computes_the_same(f, [np.ones((2, 3)), np.full(3, 0.5)], ["x", "w"])
    assert "def step_backward(dh_3, saved):" in source
    assert "dz_h_3 = dh_3 * (1 - h_3 * h_3)" in source
    assert source.index("dh_2 = ") < source.index("dh = ")


def test_float32_stays_float32() -> None:
    cell = nn.LSTMCell(D, H, rng=0, dtype=np.float32)
    f, arrays, names = one_step(cell)
    arrays = [a.astype(np.float32) for a in arrays]
    t = traced(f, arrays, names)
    defined = run(python_source(t))
    h, c, saved = defined["step"](*arrays, *(node.data for node, _ in t.free))
    gradients = defined["step_backward"](h, c, saved)
    assert {a.dtype for a in (h, c, *gradients)} == {np.dtype(np.float32)}


def test_the_comparison_can_fail() -> None:
    step = one_step(nn.RNNCell(D, H, rng=0))
    with pytest.raises(AssertionError):
        assert_computes_the_same(*step, edit=lambda source: source.replace("h_2 * h_2", "h_2"))


# ---------------------------------------------------------------------------------------------------------- the pieces
LEAVES = {"a": Text("a"), "b": Text("b"), "-c": Text("-c", SIGN)}
VALUES = {"a": np.array([0.7]), "b": np.array([1.9]), "c": np.array([0.5])}


def written(tree: Any) -> Text:
    """A nested tuple (operator, operand, ...) as source."""
    if isinstance(tree, str):
        return LEAVES[tree]
    op, *operands = tree
    texts = [written(x) for x in operands]
    return signed("-", *texts) if op == "negative" else power(*texts) if op == "power" else binary(op, *texts)


def value(tree: Any) -> Any:
    """What the nested tuple means."""
    if isinstance(tree, str):
        return -VALUES["c"] if tree == "-c" else VALUES[tree]
    op, *operands = tree
    return getattr(np, op)(*map(value, operands))


@pytest.mark.parametrize("seed", range(20))
def test_parentheses_keep_the_meaning(seed: int) -> None:
    random = np.random.default_rng(seed)

    def grown(depth: int) -> Any:
        if depth == 0 or random.random() < 0.2:
            return random.choice(list(LEAVES)).item()
        op = random.choice(["add", "subtract", "multiply", "divide", "remainder", "negative", "power"]).item()
        return (op, grown(depth - 1)) if op == "negative" else (op, grown(depth - 1), grown(depth - 1))

    with np.errstate(all="ignore"):
        for _ in range(100):
            tree = grown(4)
            np.testing.assert_array_equal(eval(written(tree).text, VALUES.copy()), value(tree))


@pytest.mark.parametrize("op", OPERATORS)
def test_a_simple_operation_needs_no_parentheses(op: str) -> None:
    assert "(" not in binary(op, Text("a"), Text("b")).text


def test_products_of_matrices_and_of_entries_are_told_apart() -> None:
    product, matrix = binary("multiply", Text("r"), Text("h")), binary("matmul", Text("h"), Text("W"))
    assert binary("matmul", product, Text("W")).text == "(r * h) @ W"
    assert binary("multiply", matrix, Text("r")).text == "(h @ W) * r"
    assert binary("matmul", matrix, Text("V")).text == "h @ W @ V"
    assert binary("add", matrix, product).text == "h @ W + r * h"


def test_numbers_and_lists() -> None:
    assert [number(x).text for x in (0, 1.5, float("-inf"), 1e-05, True)] == ["0", "1.5", "-np.inf", "1e-05", "True"]
    assert number(float("nan")).text == "np.nan"
    many = listed("    return ", [f"name_{k}" for k in range(30)])
    assert max(map(len, many.splitlines())) <= 100
    assert many.splitlines()[0] == "    return ("


def test_names_are_identifiers_and_each_is_given_once() -> None:
    names = Names(["np"])
    given = [names.take(k, wish) for k, wish in enumerate(["h", "h", "h_2", "np", "for", "", "3x", "h'", "𝐡", "λ"])]
    assert given == ["h", "h_2", "h_2_2", "np_", "for_", "v", "v3x", "h_3", "h_4", "λ"]
    assert all(name.isidentifier() for name in given)
