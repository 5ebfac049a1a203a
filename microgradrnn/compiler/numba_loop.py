"""The Numba back end: the two loops over time as machine code. What is done for all steps at once stays in NumPy.

`NumbaCode` and `NumbaWorkspace` take the places of `Code` and `Workspace` of `numpy_loop.py`. They differ in the loops
only: each is one kernel, which Numba compiles for any number of steps. The factors of the way back are scalars in the
kernel, so that their arrays are not used.

The source of a kernel is written to a folder of the user (``~/.cache/microgradrnn``, or where the environment variable
``MICROGRADRNN_CACHE`` says), beside which Numba keeps the machine code. The next process reads it from there.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
import numpy as np

from microgradrnn.compiler import numba_math
from microgradrnn.compiler.expression import Expression, ordered
from microgradrnn.compiler.layout import ALL, Home
from microgradrnn.compiler.numba_batch import Written, for_any_batch
from microgradrnn.compiler.numba_kernel import BARRIERS, Step, Store
from microgradrnn.compiler.numba_memory import Memory, Unsupported
from microgradrnn.compiler.numpy_loop import Code, Workspace
from microgradrnn.compiler.plan import AFTER, BACK, BEFORE, FACTOR, ONCE, STEP, Plan, is_view, stacked_parts
from microgradrnn.compiler.straight import executed

__all__ = ["NumbaCode", "NumbaWorkspace", "Unsupported"]

LOG = logging.getLogger("microgradrnn")
SIMPLE = {"add", "subtract", "multiply", "negative", "concat"}
FAST = {"contract", "arcp", "nsz"}  # not "nnan", "ninf" and "reassoc": a NaN must stay one, and (a + b) - b too
NAMESPACE: dict[str, Any] = {
    "np": np, "erf": math.erf, "float32": np.float32, "float64": np.float64, "int32": np.int32,
    "int64": np.int64, "whole": numba_math.WHOLE,
    **{name: getattr(numba_math, name) for name in (
        "exp_32", "exp_64", "tanh_32", "tanh_64", "sigmoid_32", "sigmoid_64", "sgemm", "dgemm", "sgemv", "dgemv",
        "wide_vectors")},
}  # fmt: skip


class NumbaCode(Code):
    """The source of a plan, with kernels for the loops. They are compiled when they are first needed, or by `compile`.

    Args:
        plan: of the step.
        ragged: may sequences end at different steps?
        other: the plan for another batch size; then the batch size is an argument of the kernels, if that can be.

    Attributes:
        forward, backward: the kernels.

    Raises:
        Unsupported: if a step contains what a kernel cannot do. `Code` can.
    """

    def __init__(self, plan: Plan, ragged: bool, other: Plan | None = None) -> None:
        super().__init__(fused(plan), ragged)
        self.samples = self.layout.arrays(2)
        self.forward = Kernel(*self._step(STEP, self._forward_stores()))
        self.backward = Kernel(*self._step(BACK, self._backward_stores()), backwards=True)
        self.samples.clear()
        self.rows = {STEP: [], BACK: []}
        for name in ("steps", "factors", "loop_back"):
            del self.functions[name]
        self.batch = plan.x.shape[0] if plan.x.shape else 0
        if other is not None:
            again = NumbaCode(other, ragged)
            for mine, its in ((self.forward, again.forward), (self.backward, again.backward)):
                mine.source = (
                    for_any_batch(Written(mine.source, self.batch), Written(its.source, again.batch)) or mine.source
                )

    def compile(self) -> None:
        """Compile both kernels.

        Raises:
            Unsupported: if Numba cannot.
        """
        for kernel in (self.forward, self.backward):
            _ = kernel.run

    def sample(self, e: Expression) -> np.ndarray:
        """The array of an expression, for two steps."""
        return self.samples[self.layout.homes[e].name]

    def _step(self, phase: str, stores: Sequence[Store]) -> tuple[Memory, list[str]]:
        """The body of a loop."""
        memory = self._memory(phase)
        try:
            return memory, Step(memory, stores, bool(numba_math.BLAS)).lines
        except RecursionError:
            raise Unsupported("compile: hundreds of operations on top of each other in one step") from None

    def _memory(self, phase: str) -> Memory:
        """What is in memory before a step: what other phases leave there, the states and their cotangents."""
        plan, layout = self.plan, self.layout
        memory = Memory(
            {called(home): a for home in layout.made if (a := self.samples[home.name]).base is None},
            {called(home) for home in layout.made if home.stacked},
        )
        before = (ONCE, BEFORE) if phase == STEP else (ONCE, BEFORE, STEP)
        for e, kind in plan.phase.items():
            if kind in before and e in layout.homes and e.op not in ("constant", "zeros") and self._stays(e, kind):
                memory.held[e] = self.sample(e)
        for e in (*plan.states, *(plan.seeds if phase == BACK else ())):
            memory.held[e] = self.sample(e)
        return memory

    def _stays(self, e: Expression, phase: str) -> bool:
        """Are its numbers still there when the loop is over?"""
        return phase != STEP or self.layout.homes[e].stacked == ALL

    def _later(self, phases: Sequence[str], readers: Sequence[str]) -> list[Expression]:
        """The expressions of some phases that later phases, or sums over time, read."""
        plan = self.plan
        read = [a for e in plan.order if plan.phase[e] in readers for a in e.inputs]
        read += [e for total in plan.totals if total is not None for e in stacked_parts(total)]
        read += [plan.dx] if plan.dx is not None else []
        return [e for e in dict.fromkeys(read) if plan.phase[e] in phases and e.op not in ("leaf", "zeros", "constant")]

    def _forward_stores(self) -> list[Store]:
        """What the loop leaves behind: the next states, and what the way back and the sums need."""
        nexts = zip(self.plan.outputs, self.layout.outs, strict=True)
        stores = [Store(e, self.samples[home.name]) for e, home in nexts]
        return self._with(stores, self._later([STEP], [FACTOR, BACK, AFTER]))

    def _backward_stores(self) -> list[Store]:
        """What the loop back leaves behind: the carried cotangents, and what the sums and the other cotangents need."""
        stores = []
        for e, (_, earlier) in zip(self.plan.carried, self.layout.cotangents, strict=True):
            if e is not None:
                mine = self.layout.homes[e] is earlier
                stores.append(Store(e, self.samples[earlier.name], adds=not mine))
        return self._with(stores, self._later([FACTOR, BACK], [AFTER]))

    def _with(self, stores: list[Store], more: Iterable[Expression]) -> list[Store]:
        """The stores, and those of more expressions in their own arrays."""
        for e in map(buffer_of_barrier, more):
            if all(store.place is not self.sample(e) for store in stores):
                stores.append(Store(e, self.sample(e)))
        return stores


def called(home: Home) -> str:
    """The name of an array in a kernel, which no scalar has."""
    return f"{home.name}_all" if home.stacked else f"{home.name}_array"


def fused(plan: Plan) -> Plan:
    """The plan, with simple work that is done before or after a loop, such as the addition of a bias, moved into it.

    For NumPy it is quicker outside. In a kernel it costs nothing, since the numbers are there anyway.
    """
    readers: dict[Expression, set[Expression]] = {}
    moved = copy.copy(plan)
    moved.phase = dict(plan.phase)
    for e in {*plan.forward, *plan.order}:
        for a in e.inputs:
            readers.setdefault(a, set()).add(e)
    outside = {e for total in plan.totals if total is not None for e in stacked_parts(total)} | {plan.dx, *plan.outputs}

    def in_loop(e: Expression) -> bool:
        """Is it read in the loop alone?"""
        return e not in outside and all(plan.phase[reader] == STEP for reader in readers[e])

    for e in plan.forward:
        varying = [a for a in e.inputs if plan.phase[a] == BEFORE]
        if (
            plan.phase[e] == BEFORE and e.op in ("add", "subtract") and e not in outside and e in readers
            and [a.shape for a in varying] == [e.shape]
        ):  # fmt: skip
            views = {reader for reader in readers[e] if plan.phase[reader] == BEFORE and is_view(reader)}
            if all(plan.phase[reader] == STEP for reader in readers[e] - views) and all(map(in_loop, views)):
                moved.phase |= dict.fromkeys([e, *views], STEP)
    for e in ordered(e for total in plan.totals if total is not None for e in stacked_parts(total)):
        if plan.phase[e] == AFTER and e.op in SIMPLE and all(moved.phase[a] != AFTER for a in e.inputs):
            moved.phase[e] = BACK
    moved.kept = moved.needed_later()
    return moved


def buffer_of_barrier(e: Expression) -> Expression:
    """An expression; instead of a view of a product, the product."""
    whole = e
    while is_view(whole):
        whole = whole.args[0]
    return whole if whole.op in BARRIERS else e


class NumbaWorkspace(Workspace):
    """The arrays for T steps, and the functions that compute with them, of which the two loops are machine code."""

    def __init__(self, code: NumbaCode, T: int) -> None:
        super().__init__(code, T)
        homes = {called(home): home.name for home in code.layout.made}
        self.steps, self.backward = (
            kernel.bound(code.batch, [self.arrays[homes[name]] if name in homes else None for name in kernel.names])
            for kernel in (code.forward, code.backward)
        )
        self.size = sum(a.nbytes for a in self.arrays.values() if a.base is None)

    def steps_back(self, stop: int, first: int) -> None:
        """The steps from one back to another."""
        self.backward(first, stop)


# ---------------------------------------------------------------------------------------------------------- compiling
class Kernel:
    """A loop over time as machine code.

    Args:
        memory: where the numbers are.
        lines: of a step.
        backwards: from the last step to the first?
    """

    def __init__(self, memory: Memory, lines: Sequence[str], backwards: bool = False) -> None:
        self.names, self.stacked = list(memory.used), memory.stacked
        self.own = {name: memory.samples[name] for name in self.names if name in memory.own}
        steps = "range(stop - 1, first - 1, -1)" if backwards else "range(first, stop)"
        body = ["wide_vectors()", f"for t in {steps}:", *(f"    {line}" for line in lines or ["pass"])]
        self.source = f"def kernel({', '.join(['first', 'stop', 'batch', *self.names])}):\n"
        self.source += "".join(f"    {line}\n" for line in body)
        self.like = [np.empty((0, 0) if n in self.stacked else 0, memory.samples[n].dtype) for n in self.names]

    @cached_property
    def run(self) -> Any:
        """The machine code."""
        return compiled(self.source, self.like)

    def _flat(self, a: np.ndarray, name: str) -> np.ndarray:
        """An array as the kernel takes it: the numbers of a step, or all of them, in a row."""
        return a.reshape((len(a), math.prod(a.shape[1:])) if name in self.stacked else (a.size,))

    def bound(self, batch: int, arrays: Sequence[np.ndarray | None]) -> Callable[[int, int], None]:
        """The kernel as a function of the first and the last step.

        Args:
            batch: the batch size.
            arrays: those of a workspace, one for each name; None where the kernel has its own.
        """
        given = [self._flat(self.own[name].copy() if a is None else a, name)
                 for name, a in zip(self.names, arrays, strict=True)]  # fmt: skip
        run = self.run
        return lambda first, stop: run(first, stop, batch, *given)


def compiled(source: str, arrays: Iterable[np.ndarray]) -> Any:
    """The function `kernel` of a source, compiled for arrays of those dtypes."""
    signature = (numba.int64, numba.int64, numba.int64, *map(numba.typeof, arrays))
    began = time.perf_counter()
    try:
        try:
            kernel = prepared(from_file(source), signature, cache=True)
        except Exception:  # no folder that can be written to, or a file that cannot be read: there are many ways
            kernel = prepared(executed(source, dict(NAMESPACE))["kernel"], signature, cache=False)
    except numba.core.errors.NumbaError as error:
        raise Unsupported(f"compile: Numba cannot compile the loop over time: {error}") from error
    how = "read from the cache" if sum(kernel.stats.cache_hits.values()) else "compiled"
    LOG.info("numba: a loop over time %s in %.2f s", how, time.perf_counter() - began)
    return kernel


def prepared(function: Any, signature: Any, cache: bool) -> Any:
    """A function as machine code for arguments of some types."""
    kernel = numba.njit(cache=cache, fastmath=FAST, error_model="numpy", nogil=True)(function)
    no_overlap(kernel)
    kernel.compile(signature)
    return kernel


def no_overlap(kernel: Any) -> None:
    """Tell LLVM that no two arrays of a kernel overlap. Without this it does not vectorise loops over many arrays."""
    compiler: Any = getattr(kernel, "_compiler", None)

    def customised(flags: Any) -> Any:
        flags.noalias = True
        return flags

    if hasattr(compiler, "_customize_flags"):
        compiler._customize_flags = customised


def from_file(source: str) -> Any:
    """The function `kernel` of a source, from a module in a file, so that Numba can keep machine code beside it."""
    functions = Path(str(numba_math.__file__)).read_text(encoding="utf-8")
    parts = [source, functions, str(sorted(FAST)), str(numba_math.BITS), numba.__version__, np.__version__]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
    file = cache_folder() / f"microgradrnn_kernel_{key}.py"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".tmp", delete=False, encoding="utf-8") as f:
            f.write(source)
        os.replace(f.name, file)
    spec: Any = importlib.util.spec_from_file_location(file.stem, file)
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)  # where Numba looks for it
    vars(module).update(NAMESPACE)
    spec.loader.exec_module(module)
    return module.kernel


def cache_folder() -> Path:
    """Where kernels are kept."""
    if folder := os.environ.get("MICROGRADRNN_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "microgradrnn"
