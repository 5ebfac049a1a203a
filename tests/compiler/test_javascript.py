"""The printed JavaScript computes what the tape computes: outputs and all gradients, to 1e-12, in Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn
from microgradrnn.compiler.arguments import Slot
from microgradrnn.compiler.errors import TraceError
from microgradrnn.compiler.expression import ELEMENTWISE
from microgradrnn.compiler.javascript import javascript
from microgradrnn.compiler.js_lines import BETWEEN_BOOLS, FUNCTIONS, NEGATIONS, OPERATORS, SAME
from microgradrnn.compiler.trace import Trace, trace

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node.js (the program node) is not installed")

# Runs every module on its numbers, and prints what comes out. JSON has no NaN and no infinities: they are strings.
DRIVER = """
import { readFileSync } from "node:fs";
const array = (numbers) => Float64Array.from(numbers, Number);
const list = (a) => a && Array.from(a, (x) => (Number.isFinite(x) ? x : String(x)));
const each = (object, f) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value)]));
const answers = [];
for (const { file, inputs, weights, seeds } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const { shapes, step, stepBackward } = await import(file);
  const { outputs, saved } = step(...inputs.map(array), each(weights, array));
  const gradients = stepBackward(saved, ...seeds.map(array));
  answers.push({ shapes, outputs: each(outputs, list), gradients: each(gradients, list) });
}
console.log(JSON.stringify(answers));
"""


class Case(NamedTuple):
    name: str
    f: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    names: tuple[str, ...]

    def traced(self) -> Trace:
        return trace(self.f, tuple(map(Slot, self.arrays)), self.names)


# ------------------------------------------------------------------------------------------------------ the cells
D, H, B, K = 3, 5, 2, 4
CELLS: dict[str, Any] = {
    "RNN, tanh": nn.RNNCell(D, H, rng=0),
    "RNN, relu": nn.RNNCell(D, H, activation="relu", rng=1),
    "RNN, no bias": nn.RNNCell(D, H, bias=False, rng=2),
    "IRNN": nn.IRNNCell(D, H, rng=3),
    "Jordan": nn.JordanCell(D, H, K, rng=4),
    "additive": nn.AdditiveCell(D, H, rng=5),
    "additive, reads the state": nn.AdditiveCell(D, H, reads_state=True, rng=6),
    "LSTM": nn.LSTMCell(D, H, rng=7),
    "LSTM, no bias": nn.LSTMCell(D, H, bias=False, rng=8),
    "LSTM with a gate that nothing reads": nn.UpdateGateLSTMCell(D, H, rng=9),
    "LSTM of 1997": nn.CarouselLSTMCell(D, H, rng=10),
    "LSTM, coupled gates": nn.CoupledLSTMCell(D, H, rng=11),
    "GRU, reset before": nn.GRUCell(D, H, rng=12),
    "GRU, reset after": nn.GRUCell(D, H, reset="after", rng=13),
    "GRU, reset after, no bias": nn.GRUCell(D, H, reset="after", bias=False, rng=14),
    "MGU": nn.MGUCell(D, H, rng=15),
    "GRU, z replaces": nn.GRUCell(D, H, z="replaces", rng=16),
    "LSTM, peepholes": nn.PeepholeLSTMCell(D, H, rng=17),
    "LSTM, layer norm": nn.LayerNormLSTMCell(D, H, rng=18),
    "LSTM, projected": nn.LSTMCell(D, H, proj_size=2, rng=19),
}


def cell_case(name: str, cell: Any, batch: int = B) -> Case:
    """One step of a cell from a state that is not zero."""

    def step(x: Any, *state: Any) -> Any:
        z, step = cell.prepare(x)
        return step(z, state if len(cell.state) > 1 else state[0])

    rng = np.random.default_rng(len(name))
    state = [rng.normal(size=(batch, n)) for n in cell.state_sizes]
    names = [f"{part}_prev" for part in cell.state]
    return Case(name, step, (rng.normal(size=(batch, cell.input_size)), *state), ("x", *names))


# ------------------------------------------------------------------------------------------- all other operations
def numbers(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Numbers that do not repeat and are not near a kink, in no order."""
    n = int(np.prod(shape))
    values = np.linspace(low, high, n + 2)[1:-1] + (high - low) / 1000
    return np.random.default_rng(n).permutation(values).reshape(shape)


def case(name: str, f: Callable[..., Any], *arrays: np.ndarray) -> Case:
    return Case(name, f, arrays, tuple("abc"[: len(arrays)]))


A, ROW, COLUMN, CUBE = numbers(3, 4), numbers(4), numbers(3, 1), numbers(2, 3, 4)
POSITIVE, UNIT = numbers(3, 4, low=0.1), numbers(3, 4, low=-1, high=1)
WEIGHT = Tensor(numbers(4, 2))
ODD = mg.mark(Tensor(numbers(4)), "net.for-2")  # a name that is no name in JavaScript
DOMAIN = {"log": POSITIVE, "log2": POSITIVE, "log10": POSITIVE, "log1p": POSITIVE, "sqrt": POSITIVE,
          "arccosh": POSITIVE + 1, "arcsin": UNIT, "arccos": UNIT, "arctanh": UNIT}  # fmt: skip
UNARY = ["abs", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "ceil", "cos", "cosh", "erf", "exp",
         "exp2", "expm1", "floor", "log", "log10", "log1p", "log2", "negative", "reciprocal", "relu", "sigmoid", "sign",
         "sin", "sinh", "softplus", "sqrt", "square", "tan", "tanh"]  # fmt: skip
BINARY = ["add", "arctan2", "divide", "hypot", "logaddexp", "maximum", "minimum", "multiply", "subtract"]


def along(op: str, a: Any) -> Any:
    """Multiplied, so that operations without a derivative have a gradient to compare."""
    return getattr(mg, op)(a) * a


OPERATIONS = [
    *(case(op, lambda a, op=op: along(op, a), DOMAIN.get(op, A)) for op in UNARY),
    *(case(op, lambda a, b, op=op: getattr(mg, op)(a, b), A, POSITIVE) for op in BINARY),
    *(case(f"{op}, row", lambda a, b, op=op: getattr(mg, op)(a, b), A, ROW) for op in BINARY),
    *(case(f"{op}, column left", lambda a, b, op=op: getattr(mg, op)(a, b), COLUMN, ROW) for op in BINARY),
    case("power", lambda a, b: a**b, POSITIVE, COLUMN),
    case("power, constant exponent", lambda a: a**3 + a**-2, A),
    case("numbers left", lambda a: 2 - (3 - (a - 1) * -1.5) / (4 / a), A),
    case("order of operations", lambda a, b: a - (b - (a - b)) - a / (b / (a / b)) * -mg.negative(a), A, POSITIVE),
    case("a long chain", lambda a: repeated(lambda x: mg.sin(x * 1.5 + 0.1), a, 30), A),
    case("single numbers", lambda a, b: a * b + mg.sin(a) / b, np.array(0.7), np.array(-1.2)),
    case("one number and an array", lambda a, b: a * b, A, np.array(-1.2)),
    case("comparisons", lambda a, b: ((a > b) * 1.0 + (a <= b) * 2.0 + (a < 0) * 4.0 + (b >= 0) * 8.0) * a, A, ROW),
    case("comparison as a number", lambda a: a * ((a > 0) + 2.0), A),
    case("where", lambda a, b: mg.where(a > b, a * b, b), A, ROW),
    case("where, of bools", lambda a, b: mg.where(((a > 0) & (b > 0)) | ~(a > -1), a, mg.exp(b)), A, ROW),
    case("where, constant condition", lambda a: mg.where(A > 0.3, a, 0.0) * a, A),
    case("where, twice", lambda a: mg.where(a > 0, mg.log(mg.where(a > 0, a, 1.0)), 0.0), A),
    case("clip", lambda a: mg.clip(a, -1, 0.8), A),
    case("matmul", lambda a, b: a @ b, A, numbers(4, 2)),
    case("matmul, transposed", lambda a, b: (a.T @ b.T).T @ a.T, A, numbers(5, 3)),
    case("matmul, vectors", lambda a, b: a @ b, ROW, numbers(4) + 1),
    case("matmul, row", lambda a, b: a @ b, ROW, numbers(4, 2)),
    case("matmul, column", lambda a, b: a @ b, A, ROW),
    case("matmul, stack and matrix", lambda a, b: a @ b, CUBE, numbers(4, 5)),
    case("matmul, stacks", lambda a, b: a @ b, CUBE, numbers(2, 4, 5)),
    case("matmul, broadcast stacks", lambda a, b: a @ b, numbers(2, 1, 3, 4), numbers(5, 4, 2)),
    case("matmul, a weight", lambda a: a @ WEIGHT @ WEIGHT.T, A),
    case("matmul, a slice", lambda a: a[:, 1:3] @ a[1:, :], A),
    case("a weight with an odd name", lambda a: mg.mark(a * ODD, "for") * ODD, A),
    case("transpose", lambda a: a.transpose((2, 0, 1)) * mg.sin(a.transpose((2, 0, 1))), CUBE),
    case("transpose alone", lambda a: a.T, A),
    case("reshape", lambda a: (a * a).reshape(2, 6) @ a.reshape(6, 2), A),
    case("reshape of a transpose", lambda a: a.T.reshape(2, 6) * 2.0, A),
    case("broadcast_to", lambda a: mg.broadcast_to(a, (2, 3, 4)), ROW),
    case("squeeze, expand_dims", lambda a: mg.expand_dims(mg.squeeze(a), (0, 2)) * 2.0, COLUMN),
    *(case(f"{op}, {axis}", lambda a, op=op, axis=axis: getattr(mg, op)(a * a, axis), CUBE)
      for op in ("sum", "mean", "max", "min", "norm", "logsumexp") for axis in (None, 1, -1, (0, 2))),
    case("sum, keepdims", lambda a: a / a.sum(1, keepdims=True), POSITIVE),
    case("max, ties", lambda a: mg.max(mg.maximum(a, 0.3), 1), A),
    case("var, std", lambda a: mg.var(a, 0) + mg.std(a, 0), A),
    *(case(f"{op}, axis {axis}", lambda a, op=op, axis=axis: getattr(mg, op)(a, axis), CUBE * 3)
      for op in ("softmax", "log_softmax") for axis in (0, 1, -1)),
    case("concat", lambda a, b: mg.concat([a, b * 2.0, a * b], 1), A, numbers(3, 4) ** 2),
    case("concat, of rows", lambda a, b: mg.concat([a, mg.reshape(b, (1, 4)), np.ones((2, 4))]), A, ROW),
    case("stack", lambda a, b: mg.stack([a, b, a * b], 1), A, POSITIVE),
    case("split", lambda a: product(mg.split(a, 4, 1)), A),
    case("split, one part unread", lambda a: product(mg.split(a, 4, 1)[1:]), A),
    case("getitem, steps", lambda a: a[::-1, 1::2] * a[:, ::2], A),
    case("getitem, overlapping", lambda a: a[1:] * a[:-1], A),
    case("getitem, integers", lambda a: a[1] * a[:, -2:][2, 0] + a[-1, ..., None][::2, 0].sum(), A),
    case("getitem, a number", lambda a: a[2] * a[-1], ROW),
    case("flip, diff", lambda a: mg.flip(a, 1)[:, 1:] * mg.diff(a), A),
    case("constants", lambda a: a * A + np.array([1.0, -2.0, np.pi, 1e-300]), A),
    case("several results", lambda a, b: (a * b, a + b, (a * b).sum()), A, ROW),
    case("an input as a result", lambda a, b: (a, b * 2.0), A, ROW),
    case("a result twice", lambda a: repeated(lambda y: (y, y), a * a, 1), A),
    case("unused input", lambda a, b: a * 2.0, A, ROW),
    case("no gradient", lambda a: mg.floor(a), A),
    case("astype", lambda a: mg.astype(mg.astype(a, np.float32) * 2.0, np.float64), A),
    case("round", lambda a: mg.round(a * 3.0) * a + mg.round(a, 1) + mg.round(a * 100.0, -1), A),
    case("round, halves", lambda a: mg.round(a) + a, np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -0.2, np.inf, np.nan])),
    case("remainder", lambda a, b: a.detach() % b.detach() + a, A * 3.0, np.array([0.7, -0.7, 1.0, -1.0])),
    case("entries that are not there", lambda a: a[:0].sum() + mg.concat([a[3:], a * 2.0]).sum(), A),
    case("names with signs", lambda a: mg.mark(mg.mark(a * 2.0, "∂L/∂x²\n") @ mg.mark(a.T, "x\n'"), "σ") * 1.5, A),
    case("sum of a product that others read", lambda a: (a * a).sum(0) * (a * a), A),
    case("a step that waits for a sum", lambda a: a / a.sum() * mg.exp(a / a.max(1, keepdims=True)), POSITIVE),
    case("names of loop variables", lambda a: mg.mark(a * 2.0, "i0") @ mg.mark(a.swapaxes(1, 2) * 3.0, "row"), CUBE),
    case("unrolled", lambda a: repeated(lambda h: mg.mark(mg.tanh(h @ h.T @ h), "h"), a, 3), UNIT / 2),
]

# ------------------------------------------------------------------------------------------------- special values
EXTREME = np.array([-700.0, -40.0, -1e-30, 0.0, 1e-30, 36.5, 40.0, 800.0, np.inf, -np.inf])
GAPS = np.array([[np.nan, 1.0, -2.0], [0.5, np.nan, np.inf]])
SPECIAL = [
    case("sigmoid, extreme", mg.sigmoid, EXTREME),
    case("softplus, extreme", mg.softplus, EXTREME),
    case("tanh, extreme", mg.tanh, EXTREME),
    case("erf, extreme", mg.erf, np.array([-1e-300, 1e-9, 0.5, 3.0, 5.9, 6.1, -np.inf, np.nan])),
    case("relu at 0", mg.relu, np.array([-1.0, -0.0, 0.0, 1.0, np.nan])),
    case("maximum, tie", mg.maximum, np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 0.0])),
    case("abs, sign at 0", lambda a: mg.abs(a) + mg.sign(a) * a, np.array([-2.0, 0.0, 3.0])),
    case("NaN through where", lambda a: mg.where(a > 0, a, 0.0), GAPS),
    case("NaN not chosen", lambda a: mg.where(np.isnan(GAPS), 0.0, a), GAPS),
    case("NaN through max", lambda a: mg.max(a, 1), np.array([[1.0, np.nan], [2.0, 1.0]])),
    case("softmax, -inf", mg.softmax, np.array([[0.0, -np.inf], [-np.inf, -np.inf], [1000.0, 0.0]])),
    case("log_softmax, -inf", mg.log_softmax, np.array([[0.0, -np.inf], [-np.inf, -np.inf], [1000.0, 0.0]])),
    case("logsumexp, -inf", lambda a: mg.logsumexp(a, 1), np.array([[0.0, -np.inf], [-np.inf, -np.inf]])),
    case("logaddexp, infinities", mg.logaddexp, np.array([np.inf, -np.inf, 0.0]), np.array([np.inf, -np.inf, 1.0])),
    case("norm, extreme", lambda a: mg.norm(a, 1), np.array([[0.0, 0.0], [3e200, 4e200], [3e-200, 4e-200]])),
    case("hypot, extreme", mg.hypot, np.array([0.0, 3e200, 3e-200]), np.array([0.0, 4e200, 4e-200])),
    case("log, sqrt at 0", lambda a: mg.log(a) + mg.sqrt(a), np.array([0.0, 1.0, 5e-324])),
]


def repeated(f: Callable[[Any], Any], x: Any, times: int) -> Any:
    for _ in range(times):
        x = f(x)
    return x


def product(parts: list[Any]) -> Any:
    y = parts[0]
    for part in parts[1:]:
        y = y * part
    return y


ALL = {c.name: c for c in (*(cell_case(name, cell) for name, cell in CELLS.items()), *OPERATIONS, *SPECIAL)}


# ---------------------------------------------------------------------------------------------------- both answers
def seeds(t: Trace) -> list[np.ndarray]:
    """A cotangent for every output."""
    return [numbers(*y.shape, low=-1.0, high=1.5).astype(np.float32).astype(float) for y in t.seeds]


def as_json(a: Any) -> list[Any]:
    return [x if np.isfinite(x) else repr(x).replace("inf", "Infinity") for x in np.ravel(a).tolist()]


def in_node(cases: dict[str, Case], folder: Path) -> dict[str, Any]:
    """What the modules compute, all in one process of Node.js."""
    given = []
    for k, c in enumerate(cases.values()):
        t = c.traced()
        file = folder / f"case{k}.mjs"
        file.write_text(javascript(t), encoding="utf-8")
        weights = {leaf.name: as_json(node.data) for node, leaf in t.free}
        given.append({"file": file.as_uri(), "inputs": [*map(as_json, c.arrays)], "weights": weights,
                      "seeds": [*map(as_json, seeds(t))]})  # fmt: skip
    (folder / "driver.mjs").write_text(DRIVER, encoding="utf-8")
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    command = [str(NODE), str(folder / "driver.mjs"), str(folder / "given.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, json.loads(done.stdout), strict=True))


def on_the_tape(c: Case, t: Trace) -> tuple[list[Any], dict[str, Any]]:
    """The outputs, and the gradients by name."""
    inputs = [Tensor(a) for a in c.arrays]
    with np.errstate(all="ignore"):
        returned = c.f(*inputs)
        outputs = list(returned) if isinstance(returned, tuple) else [returned]
        sources = {**dict(zip(c.names, inputs, strict=True)), **{str(leaf.name): node for node, leaf in t.free}}
        live = [(y, s) for y, s in zip(outputs, seeds(t), strict=True) if y.requires_grad]
        loss = sum((y * s).sum() for y, s in live)
        gradients = mg.grad(loss, list(sources.values())) if live else [np.zeros(x.shape) for x in sources.values()]
    return outputs, dict(zip(sources, gradients, strict=True))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_node(ALL, tmp_path_factory.mktemp("javascript"))


@needs_node
@pytest.mark.parametrize("name", ALL)
def test_outputs_and_gradients_are_those_of_the_tape(name: str, answers: dict[str, Any]) -> None:
    c, answer = ALL[name], answers[name]
    t = c.traced()
    outputs, gradients = on_the_tape(c, t)
    assert len(answer["outputs"]) == len(outputs)
    for found, y in zip(answer["outputs"].values(), outputs, strict=True):
        same(found, y.data)
    assert answer["gradients"].keys() == gradients.keys()
    for key, found in answer["gradients"].items():
        same(np.zeros(gradients[key].size) if found is None else found, gradients[key])


def same(found: Any, expected: np.ndarray) -> None:
    """Equal to 1e-12, relative to the number itself or, after cancellation, to the largest one."""
    expected = np.ravel(expected)
    finite = np.abs(expected[np.isfinite(expected)])
    most = min(finite.max(initial=0.0), 1.0)
    np.testing.assert_allclose(np.array(found, dtype=float), expected, rtol=1e-12, atol=1e-12 * most)


def test_a_difference_of_1e_11_is_found() -> None:
    same([1.0, "Infinity"], np.array([1.0 + 1e-13, np.inf]))
    for wrong in ([1.0 + 1e-11, 2.0], [1.0, float("nan")]):
        with pytest.raises(AssertionError):
            same(wrong, np.array([1.0, 2.0]))


@needs_node
def test_small_numbers_keep_their_relative_accuracy(answers: dict[str, Any]) -> None:
    for name, f, x in (("sigmoid, extreme", mg.sigmoid, EXTREME), ("softplus, extreme", mg.softplus, EXTREME),
                       ("erf, extreme", mg.erf, ALL["erf, extreme"].arrays[0])):  # fmt: skip
        found = np.array(answers[name]["outputs"]["y"], dtype=float)
        np.testing.assert_allclose(found, f(x), rtol=1e-12, atol=0)
    assert 0 < float(answers["sigmoid, extreme"]["outputs"]["y"][0]) < 1e-303


@needs_node
def test_shapes_are_by_name(answers: dict[str, Any]) -> None:
    assert answers["LSTM"]["shapes"] == {
        "inputs": {"x": [B, D], "h_prev": [B, H], "c_prev": [B, H]},
        "weights": {"U": [D, 4 * H], "b": [4 * H], "W": [H, 4 * H]},
        "outputs": {"h": [B, H], "c": [B, H]},
    }
    assert "net.for-2" in answers["a weight with an odd name"]["gradients"]


# -------------------------------------------------------------------------------------------------- the source text
def test_equations_can_be_read_in_the_source() -> None:
    source = javascript(cell_case("LSTM", CELLS["LSTM"]).traced())
    for line in ("c[at] = f[at] * c_prev[at] + i[at] * g[at];", "// dh_prev = ", "const di = ", "// dU = xᵀ "):
        assert line in source


def test_only_the_helpers_that_are_called_are_in_a_module() -> None:
    source = javascript(case("", mg.sigmoid, A).traced())
    assert "function sigmoid" in source
    assert "function erf" not in source


def test_names_of_the_functions_can_be_chosen() -> None:
    source = javascript(case("", mg.sigmoid, A).traced(), name="lstm")
    assert "export function lstm(a, weights)" in source
    assert "export function lstmBackward(saved, dy)" in source


def test_loops_allocate_nothing() -> None:
    for c in ALL.values():
        lines = javascript(c.traced()).splitlines()
        assert all(line.startswith(("  const", "const")) for line in lines if "new Float64Array" in line)


def test_every_elementwise_operation_can_be_printed() -> None:
    special = {"negative", "where"}
    assert OPERATORS.keys() | BETWEEN_BOOLS.keys() | NEGATIONS | FUNCTIONS.keys() | SAME | special >= ELEMENTWISE


@pytest.mark.parametrize(
    ("f", "named"),
    [(lambda a: mg.cumsum(a, 0), "cumsum"), (lambda a: mg.take(a, [2, 0, 2]), "getitem"),
     (lambda a: mg.einsum("ij->ji", a), "einsum")],
)  # fmt: skip
def test_an_operation_that_cannot_be_printed_is_named(f: Callable[..., Any], named: str) -> None:
    with pytest.raises(TraceError, match=f"javascript: {named} .*Compute it outside"):
        javascript(case("", f, A).traced())


@pytest.mark.parametrize("name", ["a step", "for", "2", "", "sigmoid", "shapes"])
def test_a_function_needs_a_legal_name(name: str) -> None:
    with pytest.raises(ValueError, match="choose another name"):
        javascript(case("", mg.sigmoid, A).traced(), name)


def test_printing_twice_gives_the_same_source() -> None:
    t = case("", lambda a: mg.softmax(a), A).traced()
    assert javascript(t) == javascript(t)
