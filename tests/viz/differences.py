"""Where two programs that do the same differ in what viz says, and where either differs from the truth.

The truth are numbers that do not come from viz: gradients at the states that the program itself kept, and at copies of
its weights, one set for each step; Jacobians of one step alone; the carry, from a run with gates held fixed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import microgradrnn as mg
from microgradrnn import Tensor, Value, mark, nn
from microgradrnn.nn import scalar
from tests.viz.measures import Measure, No, alike, measures, short
from tests.viz.rewritings import Case, Loop, Task, Writer, Written, pair, write
from viz.graph.reachable import reachable


class Difference(NamedTuple):
    """Two programs, or a program and the truth, that do not agree in a measure."""

    case: Case
    measure: str
    a: Measure
    b: Measure

    def __str__(self) -> str:
        a, b, path = self.a, self.b, self.measure
        while isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            key = next((key for key in a if not alike(a[key], b[key])), None)
            if key is None:
                break
            a, b, path = a[key], b[key], f"{path} > {key}"
        return f"{self.case}  {path}: {short(a)} | {short(b)}"


# What a rewriting may change, and why.
ALLOWED: dict[str, set[str]] = {
    # the new node has no mark, so the state that was called c may be called h; all numbers must be the same
    "identity at the end of the step": {"names"},
    "identity between cell and wrapper": {"names"},
    "states renamed": {"names"},
    # and where none has a mark, nothing says which one is the cell state, which is followed where none is named
    "states without marks": {"names", "default profile", "comparison", "errors"},
    "identity with a name, at the start of the step": {"names", "default profile", "comparison", "errors"},
    "identity with a name, before the step": {"names", "default profile", "comparison", "errors"},
    "identity with a name, after the step": {"names", "default profile", "comparison", "errors"},
    # one leaf of many numbers against many leaves of one
    "Value instead of Tensor": {"shares", "shares by lag", "names of shares", "drawn", "names",
                                "connectivity"},
    # what is worked out before the loop is not drawn in it; an input with a node is drawn, an array is part of a box
    "unroll of the cell": {"drawn"}, "x a Tensor, cut in the loop": {"drawn"},
    "x a Tensor, cut before the loop": {"drawn"}, "x a Tensor a step": {"drawn"}, "ragged by lengths=": {"drawn"},
    # what is worked out in a step is drawn there, and a sum of losses that is handed on; `mistakes` checks inputs
    "loss after the loop": {"drawn"}, "loss begun with its first term": {"drawn"},
    "loss in the last step": {"drawn"}, "all at once": {"drawn"},
    # one more leaf; h_0 is no weight, but nobody can tell that of a T = 1
    # and only with a node is there a Jacobian of the first step, if it is the only one that makes all states
    "first state a Tensor": {"names of shares", "jacobians"},
    # padding is 0 there, so what is worked out at steps that are not there differs
    "ragged by lengths=, the cell": {"drawn"},
    # the states of sequences that are over are held, so that all of them end with the loop
    "ragged by where": {"profile", "lags", "horizon", "decay", "split", "default profile", "ways, first", "ways, last",
                        "ways, set", "ways, number", "shares by lag", "jacobians", "errors", "errors at states",
                        "comparison", "drawn", "delays", "names"},
}  # fmt: skip


def compare(case: Case, a: Mapping[str, Measure], b: Mapping[str, Measure]) -> list[Difference]:
    """Where two programs differ that may not."""
    named = "names" not in ALLOWED.get(case.rewriting, ())
    found = []
    for measure in dict.fromkeys([*a, *b]):
        kind = measure.split(", layer")[0]
        if kind == "drawn" and (case.rewriting, case.wrapper) == ("first state a Tensor", "attention"):
            continue  # attention reads h_0 again at later steps: a plain array there, as an input is
        if kind in ALLOWED.get(case.rewriting, ()):
            continue
        one, other = a.get(measure, No("missing")), b.get(measure, No("missing"))
        if not alike(one, other, named):
            found.append(Difference(case, measure, one, other))
    return found


def differences(case: Case) -> list[Difference]:
    """Where the rewriting of a case differs from the plain program, and where either differs from the truth."""
    plain_, rewritten = pair(case)
    a, b = measures(plain_), measures(rewritten)
    return compare(case, a, b) + mistakes(case, plain_, a, "plain") + mistakes(case, rewritten, b, "rewritten")


# ------------------------------------------------------------------------------------------------------------ truth
def mistakes(case: Case, program: Written, found: Mapping[str, Measure], who: str) -> list[Difference]:
    """Where the measures of a program differ from what its own states and copies of its weights say.

    A single step hands nothing on, so only its shares are checked. Where an identity stands at the end of the step,
    the program does not keep the state that its own readers read: there the comparison with the plain program must do.
    """
    wrong = []
    right_ones = truth(case, program)
    if program.loop.identity in ("cell", "end"):
        right_ones = {key: one for key, one in right_ones.items() if key.startswith("shares")}
    for measure, right in right_ones.items():
        one: Measure = found.get(measure, No("missing"))
        if measure == "profile" and isinstance(one, dict):
            one = {k: v if isinstance(v, No) else by_lag(found["lags"][k], v) for k, v in one.items()}
        if measure in ("ways, first", "errors at states"):
            one = {k: core(v) for k, v in one.items()} if isinstance(one, dict) else one
        elif measure == "carry":
            whole = found["ways, first"]
            one = {k: carry_of(v) for k, v in whole.items()} if isinstance(whole, dict) else whole
        elif measure == "drawn":
            one = one["states as inputs"] if isinstance(one, dict) else one
        elif measure == "delays":
            one = delay_faults(one, program.task) if isinstance(one, str) else one
        elif measure == "jacobians, layer 0":
            one = one["blocks"] if isinstance(one, dict) and "blocks" in one else one
        if not alike(one, right, measure.startswith("shares")):
            wrong.append(Difference(case, f"{measure} ({who}) against the truth", one, right))
    return wrong


def by_lag(lags: Sequence[float], norms: Sequence[float]) -> Measure:
    """A profile; where exactly nothing arrives, a lag may be missing."""
    return {f"lag {lag:g}": float(g) for lag, g in zip(lags, norms, strict=True) if g}


def core(x: Measure) -> Measure:
    """Of a measure with several numbers, the one that the truth is known of."""
    return next((x[key] for key in ("whole", "norms") if key in x), x) if isinstance(x, dict) else x


def carry_of(found: Measure) -> Measure:
    """The part that came by the carry; zeros if nothing did."""
    return found["parts"].get("carry", np.zeros_like(found["whole"])) if isinstance(found, dict) else found


def size(g: Any) -> float:
    """The Euclidean norm."""
    return float(np.linalg.norm(np.ravel(g)))


def delay_faults(said: str, task: Task) -> str:
    """What is wrong with the delays of a rolled graph."""
    faults = ["a circle without delay"] if "circle" in said else []
    there = {int(delay) for delay in re.findall(r"\d+", said)}
    allowed = set(range(1, task.T)) if task.case.wrapper == "attention" else {1}
    if not there or there - allowed:
        faults.append(f"delays {sorted(there)}")
    return ", ".join(faults)


def truth(case: Case, program: Written) -> dict[str, Measure]:
    """The same measures, as far as they can be had without viz."""
    task = program.task
    known: dict[str, Measure] = share_truth(program)
    if case.rewriting != "first state a Tensor" and task.T > 1:
        known["names of shares"] = len(reached(program.loss, program.parameters.values()))
    if task.T == 1:
        return known
    parts = list(zip(*program.kept, strict=True))
    there = reached(program.loss, [node for part in parts for node in part])
    gradients = [np.array(mg.grad(program.loss, list(part))) for part in parts]
    known |= {"layers": 1 + task.stacked, "drawn": "", "delays": ""}
    if program.task.ragged and case.loop.ragged == "where":
        return known
    own: dict[str, list[tuple[int, float]]] = {}
    for p, (part, g) in enumerate(zip(parts, gradients, strict=True)):
        back: dict[int, float] = {}
        for i, node in enumerate(part):
            if node in there:
                for b, n in enumerate(task.lengths):  # lags are by each sequence's own end
                    if n - 1 - i >= 0:
                        back[int(n) - 1 - i] = float(np.hypot(back.get(int(n) - 1 - i, 0.0),
                                                              size(np.atleast_1d(g[i])[b])))
        own[str(p)] = sorted(back.items())
    known["profile"] = {p: by_lag(*zip(*one, strict=True)) for p, one in own.items()}
    if not task.ragged:
        known["ways, first"] = {str(p): np.array([g[i] for i in range(task.T)[::-1] if part[i] in there])
                                for p, (part, g) in enumerate(zip(parts, gradients, strict=True))}
        if carries_alone(case):
            known["carry"] = {str(p): np.array([g[i] for i in range(task.T)[::-1] if part[i] in there])
                              for p, (part, g) in enumerate(zip(parts, carried(task), strict=True))}
    blamed: dict[str, list[list[float]]] = {str(p): [] for p in range(len(parts))}
    for i in sorted(program.terms):
        found = mg.grad(program.terms[i], [node for part in parts for node in part])
        norms = [size(np.asarray(g)) for g in found]
        if any(norms):
            for p in range(len(parts)):
                blamed[str(p)].append(norms[p * task.T : (p + 1) * task.T])
    known["errors at states"] = {p: np.array(one) for p, one in blamed.items()}
    if not task.stacked and not task.ragged:
        known["jacobians, layer 0"] = jacobian_truth(program, there)
    return known


def carries_alone(case: Case) -> bool:
    """Is the carry just what is left when all gates and candidates are held fixed?

    Not in cells without them. Nor where c is changed after h was read from it: tanh(c) is then a way of its own.
    """
    gated = case.cell.split(" of ")[0].split(",")[0] in ("lstm", "gru", "mgu", "additive")
    linear = case.wrapper in ("plain", "mask", "reset", "residual") or (
        case.wrapper in ("scaling", "zoneout") and "lstm" not in case.cell)
    return gated and linear and not case.rewriting.startswith("stack")


def carried(task: Task) -> list[np.ndarray]:
    """For each part of the state, the gradient at every step if gates and candidates are constants."""

    def held_fixed(node: Any, symbol: str | None, role: str | None = None) -> Any:
        return mark(nn.detach(node) if role in ("gate", "candidate") else node, symbol, role)

    with ExitStack() as stack:
        for module in (nn.cells.lstm, nn.cells.gru, nn.cells.simple, scalar):
            stack.enter_context(mock.patch.object(module, "mark", held_fixed))
        program = Writer(Task(task.case, task.arrays), Loop(start="tensor")).run()
    return [np.array(mg.grad(program.loss, list(part))) for part in zip(*program.kept, strict=True)]


def reached(loss: Any, nodes: Any) -> set[Any]:
    """Those of the nodes that the loss depends on."""
    return set(nodes) & set(reachable(loss))


def share_truth(program: Written) -> dict[str, Measure]:
    """The gradient at copies of the weights, one set for each step; of every term of the loss apart."""
    task = program.task
    copied = write(task.case, copies=True, arrays=task.arrays)
    names = list(program.parameters)
    leaves = [one.parameters[name] for one in copied.weights for name in names]
    apart = {i: mg.grad(term, leaves) for i, term in copied.terms.items()}
    by: dict[str, Measure] = {}
    lags: dict[str, Measure] = {}
    for j, name in enumerate(names):
        nothing = np.zeros(np.shape(program.parameters[name].data))
        steps = np.array([sum((np.asarray(g[k * len(names) + j]) for g in apart.values()), nothing)
                          for k in range(task.T)])
        by[name] = {"steps": steps, "rest": nothing, "total": steps.sum(axis=0)}
        lags[name] = {"rest": nothing}
        for i, g in apart.items():
            for k in range(i + 1):
                share = np.asarray(g[k * len(names) + j])
                if np.any(share):
                    lags[name][f"lag {i - k}"] = lags[name].get(f"lag {i - k}", nothing) + share
    if task.ragged and task.case.loop.ragged == "where":
        return {"shares": by}
    return {"shares": by, "shares by lag": lags}


def jacobian_truth(program: Written, there: set[Any]) -> Measure:
    """∂(part after a step) / ∂(part before it): one step of the plain program, run by itself."""
    task = program.task
    batch = int(task.lengths.argmax())
    writer = Writer(Task(task.case, task.arrays), Loop())
    first, xs, data = writer.first(), writer.x(), [[part.data for part in state] for state in program.kept]
    blocks: dict[str, list[np.ndarray]] = {}
    for i in range(1, task.T):
        if not all(part in there for part in program.kept[i]):
            continue
        writer.past = [first[: writer.lower], *(tuple(state) for state in data[:i])]
        before = tuple(Value(float(a)) if task.scalar else Tensor(a, requires_grad=True) for a in data[i - 1])
        writer.past[-1] = before
        after = writer.below(i, xs[i], before)
        for p, out in enumerate(after):
            columns = []
            for unit in range(np.shape(out.data)[-1] if np.ndim(out.data) else 1):
                seed: Any = 1.0
                if np.ndim(out.data):
                    seed = np.zeros(out.shape)
                    seed[batch, unit] = 1
                columns.append([np.atleast_1d(np.asarray(g)[batch] if np.ndim(g) else g)
                                for g in mg.grad(out, list(before), seed=seed)])
            for q in range(len(before)):
                blocks.setdefault(f"{p} {q}", []).append(np.array([column[q] for column in columns]).T)
    if not blocks:
        return No("ValueError")
    return {key: np.array(found) for key, found in blocks.items()}
