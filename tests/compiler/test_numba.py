"""The Numba back end computes what the NumPy back end computes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import microgradrnn as mg
from microgradrnn import Tensor, nn
from microgradrnn.compiler import numba_loop, numba_math
from microgradrnn.compiler.arguments import Slot
from microgradrnn.compiler.loop import Run, state_names
from microgradrnn.compiler.numba_loop import NumbaCode, NumbaWorkspace, Unsupported
from microgradrnn.compiler.numpy_loop import Code, Workspace
from microgradrnn.compiler.plan import Plan
from microgradrnn.compiler.trace import trace
from microgradrnn.engine.node import plain
from tests.numerics import assert_same

B, D, H = 3, 4, 5
Cell = Callable[..., Any]

CELLS: dict[str, Callable[[], Any]] = {
    "rnn": lambda: nn.RNNCell(D, H, activation="relu", rng=0),
    "jordan": lambda: nn.JordanCell(D, H, 2, rng=0, feedback=mg.softmax),
    "additive": lambda: nn.AdditiveCell(D, H, reads_state=True, rng=0),
    "lstm": lambda: nn.LSTMCell(D, H, rng=0),
    "update gate lstm": lambda: nn.UpdateGateLSTMCell(D, H, rng=0),
    "coupled lstm": lambda: nn.CoupledLSTMCell(D, H, rng=0),
    "gru": lambda: nn.GRUCell(D, H, rng=0),
    "gru, reset after": lambda: nn.GRUCell(D, H, reset="after", rng=0),
    "mgu": lambda: nn.MGUCell(D, H, rng=0),
    "gru, z replaces": lambda: nn.GRUCell(D, H, z="replaces", rng=0),
    "lstm, peepholes": lambda: nn.PeepholeLSTMCell(D, H, rng=0),
    "lstm, projected": lambda: nn.LSTMCell(D, H, proj_size=2, rng=0),
}


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels of the tests go to a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROGRADRNN_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


class Loop:
    """A step of a cell that `Run` can run, in a chosen back end."""

    def __init__(self, code: Any, workspace: Any, step: Cell, x: Any, state: Any, ragged: bool) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        slots = tuple(map(Slot, parts)) if isinstance(state, tuple) else Slot(state)
        self.trace = trace(step, (Slot(x), slots), ["x", *state_names(step, len(parts))], "cell")
        self.plan = Plan(self.trace)
        self.code, self.workspace_type = code(self.plan, ragged), workspace


def both(step: Cell, x: Any, state: Any, ragged: bool = False) -> tuple[Loop, Loop]:
    """The step in both back ends: NumPy, Numba."""
    return Loop(Code, Workspace, step, x, state, ragged), Loop(NumbaCode, NumbaWorkspace, step, x, state, ragged)


def results(step: Loop, T: int, starts: dict[int, np.ndarray] | None = None, at: Any = None) -> dict[str, Any]:
    """States, and the gradients for random cotangents of all states that the step's kind of run allows."""
    rng = np.random.default_rng(1)
    x = step.plan.x
    xs = rng.normal(size=(T, *x.shape)).astype(x.dtype)
    if at is not None:
        xs[at] = np.nan
    state = [rng.normal(size=s.shape).astype(s.dtype) for s in step.plan.states]
    run: Any = Run(step, T)  # type: ignore[arg-type]
    found = {f"state {k}": np.array(h) for k, h in enumerate(run.forward(xs, state, starts or {}))}

    def fill(wholes: list[np.ndarray]) -> None:
        for k, whole in enumerate(wholes):
            part = whole if k == 0 or starts is not None else whole[-1:]
            part[...] = rng.normal(size=part.shape)

    dx, firsts, gradients = run.backward(fill, True)
    found |= {"dx": np.array(dx)} | {f"first {k}": g for k, g in enumerate(firsts)}
    return found | {f"gradient {k}": np.array(g) for k, g in enumerate(gradients) if g is not None}


def first_step(cell: Any, dtype: Any = float) -> tuple[Cell, Any, Any]:
    """A cell as a step, an input, and a state."""
    parts = [np.zeros((B, n), dtype) for n in cell.state_sizes]
    return cell, np.zeros((B, cell.input_size), dtype), tuple(parts) if len(parts) > 1 else parts[0]


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any], rel: float = 1e-12) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert_same(ours[name], expected, rel=rel, what=name)


# ------------------------------------------------------------------------------------------------------------- cells
def test_a_workspace_has_no_arrays_for_what_is_a_scalar_in_a_kernel() -> None:
    plain, fast = both(*first_step(CELLS["lstm"]()))
    assert NumbaWorkspace(fast.code, 9).size < 0.9 * Workspace(plain.code, 9).size


@pytest.mark.parametrize("name", CELLS)
def test_states_and_gradients_are_those_of_numpy(name: str) -> None:
    plain, fast = both(*first_step(CELLS[name]()))
    for T in (1, 7):
        assert_equal(results(fast, T), results(plain, T))


def test_sequences_may_start_at_different_steps() -> None:
    plain, fast = both(*first_step(CELLS["lstm"]()), ragged=True)
    starts = {2: np.array([0]), 5: np.array([1, 2])}
    assert_equal(results(fast, 6, starts), results(plain, 6, starts))


def test_float32_and_products_by_blas() -> None:
    cell = nn.LSTMCell(D, 64, rng=0, dtype=np.float32)
    plain, fast = both(*first_step(cell, np.float32))
    assert "sgemm(" in fast.code.forward.source
    assert_equal(results(fast, 5), results(plain, 5), rel=1e-5)


def test_products_of_one_row_by_blas_in_float64() -> None:
    cell = nn.GRUCell(D, 160, rng=0)
    plain, fast = both(cell, np.zeros((1, D)), np.zeros((1, 160)))
    assert "dgemv(" in fast.code.forward.source
    assert_equal(results(fast, 5), results(plain, 5))


def test_nan_stays_nan_and_stays_in_its_row() -> None:
    plain, fast = both(*first_step(CELLS["lstm"]()))
    ours, theirs = results(fast, 4, at=(1, 0)), results(plain, 4, at=(1, 0))
    for name, expected in theirs.items():
        np.testing.assert_array_equal(np.isnan(ours[name]), np.isnan(expected), err_msg=name)
    assert np.isnan(ours["state 0"][2:, 0]).all()
    assert not np.isnan(ours["state 0"][:, 1:]).any()


# --------------------------------------------------------------------------------------------------- other operations
def test_reductions_choices_and_views_in_a_step() -> None:
    rng = np.random.default_rng(0)
    U, W, g = Tensor(rng.normal(size=(D, H))), Tensor(rng.normal(size=(H + D, 2 * H))), Tensor(rng.normal(size=H))

    def step(x: Any, h: Any) -> Any:
        a, b = mg.split(mg.concat([h, x], -1) @ W, 2, -1)
        centred = a - a.mean(axis=-1, keepdims=True)
        scaled = centred / mg.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5) * g
        chosen = mg.where(scaled > 0, scaled, 0.1 * scaled) + mg.maximum(b, -0.5) * (b.max(axis=-1, keepdims=True) > 1)
        return mg.tanh(chosen) * mg.softmax(b) + mg.minimum(mg.abs(h), 0.3) * mg.exp(-mg.softplus(x @ U)) + mg.relu(h)

    plain, fast = both(step, np.zeros((B, D)), np.zeros((B, H)))
    assert_equal(results(fast, 6), results(plain, 6))


def test_what_a_kernel_cannot_do_is_refused() -> None:
    def step(x: Any, h: Any) -> Any:
        return mg.cumsum(h, axis=-1) + x

    with pytest.raises(Unsupported, match="cumsum"):
        both(step, np.zeros((B, H)), np.zeros((B, H)))


# --------------------------------------------------------------------------------------------------------- functions
@pytest.mark.parametrize(("dtype", "bits", "rel"), [(np.float64, 64, 5e-16), (np.float32, 32, 4e-7)])
def test_exp_tanh_and_sigmoid_are_exact_also_near_0_and_far_below(dtype: Any, bits: int, rel: float) -> None:
    x = np.geomspace(1e-30, 60, 300)
    x = np.concatenate([-x[::-1], [0.0], x]).astype(dtype)
    exact = x.astype(np.longdouble)
    for name, expected in {
        "exp": np.exp(exact), "tanh": np.tanh(exact), "sigmoid": 1 / (1 + np.exp(-exact)),
    }.items():  # fmt: skip
        f = getattr(numba_math, f"{name}_{bits}")
        np.testing.assert_allclose([f(a) for a in x], expected, rtol=rel, atol=0, err_msg=name)
        assert np.isnan(f(dtype(np.nan)))
    for name, limits in {"exp": (0, np.inf), "tanh": (-1, 1), "sigmoid": (0, 1)}.items():
        f = getattr(numba_math, f"{name}_{bits}")
        np.testing.assert_allclose([f(dtype(-np.inf)), f(dtype(np.inf))], limits, rtol=rel, atol=1e-44)


# -------------------------------------------------------------------------------------------------------- batch sizes
def sources(monkeypatch: pytest.MonkeyPatch, cell: Any, state: Callable[[int], Any]) -> list[set[str]]:
    """The sources of the kernels for each of several batch sizes, whose results are those of NumPy."""
    found: list[set[str]] = []
    real = numba_loop.compiled
    monkeypatch.setattr(numba_loop, "compiled", lambda source, types: found[-1].add(source) or real(source, types))
    for size in (4, 7, 2):
        xs = np.random.default_rng(size).normal(size=(5, size, D))
        found.append(set())
        ours, theirs = (nn.unroll(cell, xs, state(size), compiled=back_end)[0] for back_end in ("numba", "numpy"))
        assert_same(plain(ours), plain(theirs), rel=1e-12, what=f"batch of {size}")
    return found


@pytest.mark.parametrize("name", CELLS)
def test_batches_of_all_sizes_share_their_machine_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = sources(monkeypatch, CELLS[name](), lambda size: None)
    assert len(first) == 2
    assert all(other == first for other in others)


def test_a_cell_that_asks_for_the_batch_size_has_machine_code_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    W = Tensor(np.random.default_rng(0).normal(size=(H, H)))

    def cell(x: Any, h: Any) -> Any:
        return mg.tanh(h @ W / 2 ** x.shape[0])

    first, *others = sources(monkeypatch, cell, lambda size: np.ones((size, H)))
    assert all(not other & first for other in others)


def test_a_cell_that_works_for_one_batch_size_only(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = {size: Tensor(np.full((size, H), 0.1)) for size in (4, 7, 2)}

    def cell(x: Any, h: Any) -> Any:
        return mg.tanh(h + noise[x.shape[0]])

    sources(monkeypatch, cell, lambda size: np.ones((size, H)))


# ------------------------------------------------------------------------------------------------------------- cache
PROGRAM = """
import logging, numpy as np
from microgradrnn import nn
from microgradrnn.compiler.numba_loop import NumbaCode, NumbaWorkspace
from microgradrnn.compiler.plan import Plan
from microgradrnn.compiler.arguments import Slot
from microgradrnn.compiler.trace import trace
logging.basicConfig(level=logging.INFO, format="%(message)s")
slots = Slot(np.zeros((16, 4))), Slot(np.zeros((16, 64)))
traced = trace(nn.RNNCell(4, 64, rng=0), slots, ["x", "h_prev"], "cell")
workspace = NumbaWorkspace(NumbaCode(Plan(traced), False), 5)
workspace.start()
workspace.steps(0, 5)
"""


def test_a_second_process_reads_machine_code_from_the_cache(tmp_path: Path) -> None:
    for expected in ("compiled", "read from the cache"):
        run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
                             env=os.environ | {"MICROGRADRNN_CACHE": str(tmp_path)})  # fmt: skip
        assert run.stderr.count(expected) == 2


def test_without_a_folder_for_the_cache_kernels_are_compiled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MICROGRADRNN_CACHE", str(tmp_path / "file" / "folder"))
    with caplog.at_level(logging.INFO, logger="microgradrnn"):
        source = "def kernel(first, stop, batch, a):\n    a[0] = stop - first\n"
        kernel = numba_loop.compiled(source, [a := np.zeros(1)])
    kernel(1, 5, 1, a)
    assert a == 4
    assert "compiled" in caplog.text
