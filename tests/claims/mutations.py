"""Small mistakes, planted one at a time: does the test of the row notice?

    python -m tests.claims.mutations               # all of them, in a temporary copy
    python -m tests.claims.mutations S12 C43       # those of some rows

A test that no mistake can make fail says nothing. Each line below is a mistake that someone could make in the source,
and the row whose own tests must fail because of it: those that are named after it, see `tests.claims.page`. The
working copy is left alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.claims.ledger import CLAIMS
from tests.claims.page import ROOT, named_after_rows

PROCESSES = 2


class Mutation(NamedTuple):
    """One mistake: in a file, everywhere where `old` stands, `new` takes its place."""

    row: str
    file: str
    old: str
    new: str


SIMPLE, LSTM, GRU, BASE = (f"microgradrnn/nn/cells/{name}.py" for name in ("simple", "lstm", "gru", "base"))
RECURRENT, UNROLL, PATTERNS, TREE, LOSSES, LAYERS, MODULE, INIT = (
    f"microgradrnn/nn/{name}.py"
    for name in ("recurrent", "unroll", "patterns", "tree", "losses", "layers", "module", "init"))
ELEMENTWISE, REDUCTION, LINALG, SHAPE = (
    f"microgradrnn/engine/rules/{name}.py" for name in ("elementwise", "reduction", "linalg", "shape"))
CLIP, OPTIMISERS, SCHEDULES = (f"microgradrnn/optim/{name}.py" for name in ("clip", "optimisers", "schedules"))
TEXT, JACOBIANS, BLAME = "microgradrnn/data/text.py", "viz/flow/jacobians.py", "viz/flow/blame.py"
CELL_UPDATE = 'c = mark(f * c + i * g, "c", role="cell")'
GRU_UPDATE = 'new = z * h + (1 - z) * n if self.z == "keeps"'
OF_A, OF_B = "lambda g, y, x, W, b: _to_a(g, y, x, W)", "lambda g, y, x, W, b: _to_b(g, y, x, W)"

MUTATIONS = [
    # ------------------------------------------------------------------------------------------- plain recurrences
    Mutation("S1", SIMPLE, 'affine(h, self.W, z), "z")\n        return mark(self.activation(z)',
             'affine(h, self.W.T, z), "z")\n        return mark(self.activation(z)'),
    Mutation("S2", ELEMENTWISE, "lambda g, y, x: g * (y > 0)", "lambda g, y, x: g * (y > 0.01)"),
    Mutation("S3", SIMPLE, "self.W.data = np.eye(", "self.W.data = 0.999 * np.eye("),
    Mutation("S4", SIMPLE, "said = o if self.feedback is None else self.feedback(o)", "said = o"),
    Mutation("S4", SIMPLE, "affine(said, self.W, z)", "affine(said.detach() if hasattr(said, 'detach') else said, "
             "self.W, z)"),
    Mutation("S5", PATTERNS, "return hs[-1]", "return hs[0]"),
    Mutation("S6", PATTERNS, "return mean(hs, 0)", "return total(hs, 0)"),
    Mutation("S7", LAYERS, "affine(h, self.V, self.d)", "affine(h, self.V, -self.d)"),
    Mutation("S8", PATTERNS, "[(0, T - 1)]", "[(T - 1, 0)]"),
    Mutation("S9", PATTERNS, "return hs[np.asarray(lengths) - 1,", "return hs[np.asarray(lengths) - 2,"),
    Mutation("S10", UNROLL, "step(xs[t - first], state)", "step(xs[min(t - first + 1, len(xs) - 1)], state)"),
    Mutation("S11", PATTERNS, "self.start), target[:-1]]", "self.start), target[1:]]"),
    Mutation("S12", TEXT, "return ids[at], ids[at + 1]", "return ids[at], ids[at]"),
    Mutation("S12", TEXT, "return ids[at], ids[at + 1]", "return ids[at], ids[(at + 2) % len(ids)]"),
    Mutation("S13", SIMPLE, 'mark(h + g, "h", role="hidden")', 'mark(0.9999 * h + g, "h", role="hidden")'),
    Mutation("S14", SIMPLE, "affine(h, self.W, z) if self.reads_state", "affine(h, self.W.T, z) if self.reads_state"),
    Mutation("S15", LINALG, OF_A, "lambda g, y, x, W, b: _to_a(g, y, x, W) * (1 + 1e-9)"),
    Mutation("S16", INIT, "return gain * np.ascontiguousarray(", "return 1.001 * gain * np.ascontiguousarray("),
    # ------------------------------------------------------------------------------------------------- LSTM family
    Mutation("S17", LSTM, "z_i, z_f, z_g, z_o = split(affine(h, self.W, z), 4", "z_f, z_i, z_g, z_o = split(affine("
             "h, self.W, z), 4"),
    Mutation("S18", BASE, "W[:H].astype(dtype), W[H:].astype(dtype)", "W[-H:].astype(dtype), W[:-H].astype(dtype)"),
    Mutation("S19", BASE, 'symbol="b") if bias else None', 'symbol="b")'),
    Mutation("S20", LSTM, "c = mark((1 - u) * c + u * g,", "c = mark(u * c + (1 - u) * g,"),
    Mutation("S21", LSTM, 'g = mark(self.activation(z_g), "g"', 'g = mark(z_g.tanh(), "g"'),
    Mutation("S22", LSTM, "o * self.activation(c)", "o * c"),
    Mutation("S23", LSTM, "] = forget_bias", "] = 2 * forget_bias"),
    Mutation("S24", LSTM, 'c = mark(c + i * g, "c"', 'c = mark(0.999 * c + i * g, "c"'),
    # -------------------------------------------------------------------------------------------------- GRU family
    Mutation("S25", GRU, "affine(r * h, W_n, z_n)", "affine(h, W_n, z_n)"),
    Mutation("S26", GRU, "r * (hW_n if self.b_n is None else hW_n + self.b_n)", "r * hW_n + (0 if self.b_n is None "
             "else self.b_n)"),
    Mutation("S26", GRU, "else (1 - z) * h + z * n", "else z * h + (1 - z) * n"),
    Mutation("S27", GRU, 'z_r, z_z = split(z_rz, 2, axis=-1)', 'z_z, z_r = split(z_rz, 2, axis=-1)'),
    Mutation("S28", GRU, "affine(f * h, W_n, z_n)", "affine(h, W_n, z_n)"),
    # -------------------------------------------------------------------------------------- depth, direction, trees
    Mutation("S29", RECURRENT, "xs, state = one_way(layer, xs, first, reverse=reverse",
             "xs, state = one_way(layer, xs, first, reverse=not reverse"),
    Mutation("S30", RECURRENT, "reverse=reverse != bool(k)", "reverse=reverse"),
    Mutation("S31", RECURRENT, "return concat([ahead, back], axis=-1)", "return concat([back, ahead], axis=-1)"),
    Mutation("S31", UNROLL, "outputs[::-1] if backwards else outputs)", "outputs)"),
    Mutation("S32", TREE, "affine(left, self.U_l, affine(right, self.U_r, self.b))",
             "affine(left, self.U_l, affine(right, self.U_r.detach(), self.b))"),
    Mutation("S33", TREE, "[cell(done[0], made) if done else made]", "[cell(made, done[0]) if done else made]"),
    # ---------------------------------------------------------------------------------------- losses and gradients
    Mutation("S34", REDUCTION, "return g - e.exp(y) * sum(g, axis, keepdims=True)",
             "return g - e.exp(y) * sum(g, axis, keepdims=True) * (1 + 1e-9)"),
    Mutation("S35", LOSSES, 'mark(losses.sum(), "L"', 'mark(losses.mean(), "L"'),
    Mutation("S36", LINALG, OF_B, "lambda g, y, x, W, b: _to_b(g, y, x * x, W)"),
    Mutation("S37", BLAME, "reverse(apart.losses[t], targets", "reverse(apart.root, targets"),
    Mutation("S37", BLAME, 'return "z", [state.inputs[0] for state in states]', 'return "z", states'),
    Mutation("S37", BLAME, "kept[i, j] = g", "kept[i, j] = g if node.symbol == 'z' else 0"),
    Mutation("S38", JACOBIANS, "local_jacobian(before, after, batch)", "local_jacobian(before, after, batch).T"),
    Mutation("S39", BLAME, "turn[t] - turn[k]", "turn[k] - turn[t]"),
    Mutation("S40", SCHEDULES, "lr * alpha ** count(", "lr * alpha * count("),
    Mutation("S41", CLIP, "float(max_norm / norm)", "float(max_norm / euclidean(np.asarray(plain(p.grad))))"),
    Mutation("S42", OPTIMISERS, "return g + self.weight_decay *", "return g - self.weight_decay *"),
    Mutation("S43", LOSSES, "losses = where(counts, losses, 0.0)", "losses = losses * 1.0"),
    # ------------------------------------------------------------------------------------------------------ claims
    Mutation("C4", SIMPLE, 'affine(h, self.W, z), "z")\n        return mark(self.activation(z)',
             'affine(h, self.W, z) + 1e-9, "z")\n        return mark(self.activation(z)'),
    Mutation("C9", PATTERNS, "return mean(hs, 0)", "return hs[0]"),
    Mutation("C11", LOSSES, "losses = where(counts, losses, 0.0)", "losses = losses * 1.0"),
    Mutation("C12", SIMPLE, "affine(said, self.W, z)", "affine(said, self.W * 0, z)"),
    Mutation("C22", LOSSES, "else where(p == 0, 0.0, log_p))).sum(axis=-1)", "else where(p == 0, 0.0, log_p))).mean("
             "axis=-1)"),
    Mutation("C31", ELEMENTWISE, "lambda g, y, x: g * (1 - y * y), doc", "lambda g, y, x: g * (1 - y), doc"),
    Mutation("C39", JACOBIANS, "whole = whole @ J", "whole = J @ whole"),
    Mutation("C43", JACOBIANS, "whole = whole @ J", "whole = J @ whole"),
    Mutation("C43", JACOBIANS, "P = J @ P", "P = P @ J"),
    Mutation("C43", JACOBIANS, "for J in self.arrays[::-1]:", "for J in self.arrays:"),
    Mutation("C48", JACOBIANS, "np.log(np.abs(np.diag(R)))", "np.log10(np.abs(np.diag(R)))"),
    Mutation("C57", MODULE, "bound = 1 / np.sqrt(fan)", "bound = 1 / fan"),
    Mutation("C62", CLIP, "if max_norm < norm < math.inf", "if norm < math.inf"),
    Mutation("C66", SIMPLE, 'mark(h + g, "h", role="hidden")', 'mark(0.9999 * h + g, "h", role="hidden")'),
    Mutation("C67", SIMPLE, "affine(h, self.W, z) if self.reads_state", "z if self.reads_state"),
    Mutation("C68", GRU, GRU_UPDATE, 'new = z * h + n if self.z == "keeps"'),
    Mutation("C69", LSTM, "z_i, z_f, z_g, z_o = split(affine(h, self.W, z), 4",
             "z_i, z_f, z_g, z_o = split(affine(0 * h, self.W, z), 4"),
    Mutation("C70", LSTM, CELL_UPDATE, 'c = mark(f * c + i * g + 0.01 * h, "c", role="cell")'),
    Mutation("C71", LSTM, 'f = mark(sigmoid(z_f), "f"', 'f = mark(sigmoid(z_f + 1), "f"'),
    Mutation("C72", LSTM, CELL_UPDATE, 'c = mark(f * (c + i * g), "c", role="cell")'),
    Mutation("C73", LSTM, "] = forget_bias", "] = 2 * forget_bias"),
    Mutation("C74", ELEMENTWISE, "lambda g, y, x: g * (y - y * y)", "lambda g, y, x: g * (1 - y * y)"),
    Mutation("C75", ELEMENTWISE, "lambda g, y, x: g * (y - y * y)", "lambda g, y, x: g * y"),
    Mutation("C79", LSTM, "o * self.activation(c)", "o * c"),
    Mutation("C80", GRU, 'if bias and reset == "after" else None', "if bias else None"),
    Mutation("C83", LSTM, 'f = mark(sigmoid(z_f), "f"', 'f = mark(0.999 * sigmoid(z_f), "f"'),
    Mutation("C85", LSTM, 'mark(sigmoid(z_u), "u", role="gate")  # nothing reads it',
             'f = f * mark(sigmoid(z_u), "u", role="gate")'),
    Mutation("C86", LSTM, 'f = mark(sigmoid(z_f), "f"', 'f = mark(0.01 + 0.99 * sigmoid(z_f), "f"'),
    Mutation("C88", LSTM, 'o = mark(sigmoid(z_o), "o"', 'o = mark(z_o.tanh(), "o"'),
    Mutation("C89", LSTM, CELL_UPDATE, 'c = mark(f * c + i * g + 0.01 * c.sum(axis=-1, keepdims=True), "c", '
             'role="cell")'),
    Mutation("C91", GRU, 'z_r, z_z = split(z_rz, 2, axis=-1)', 'z_z, z_r = split(z_rz, 2, axis=-1)'),
    Mutation("C93", GRU, GRU_UPDATE, 'new = z * h + (1 - z + 1e-9) * n if self.z == "keeps"'),
    Mutation("C94", GRU, "affine(r * h, W_n, z_n)", "affine(h, W_n, z_n)"),
    Mutation("C95", GRU, GRU_UPDATE, 'new = z * h + n if self.z == "keeps"'),
    Mutation("C96", GRU, 'mark(sigmoid(z_r), "r", role="gate")', 'mark(1 - sigmoid(z_z), "r", role="gate")'),
    Mutation("C100", GRU, "tanh(z_n + r * (hW_n", "tanh(z_n + (hW_n"),
    Mutation("C102", RECURRENT, "reverse=reverse != bool(k)", "reverse=reverse"),
    Mutation("C105", TREE, "[cell(done[0], made) if done else made]", "[cell(made, done[0]) if done else made]"),
    Mutation("C106", PATTERNS, "return mean(hs, 0)", "return total(hs, 0)"),
    Mutation("C110", SCHEDULES, "(1 + rate * count(", "(1 + rate) ** (count("),
    Mutation("C112", OPTIMISERS, "p.data = p.data - lr *", "p.data = p.data + lr *"),
    Mutation("C114", LSTM, 'c = mark(c + i * g, "c"', 'c = mark(0.999 * c + i * g, "c"'),
]


def own_tests(row: str) -> list[str]:
    """The tests of a row, as pytest is told them."""
    found = named_after_rows()
    by = {claim.key: claim.by for claim in CLAIMS}.get(row, "")
    return sorted({f"{path.relative_to(ROOT)}::{name}" for path, name in [*found.get(row, []), *found.get(by, [])]})


def copy_to(folder: Path) -> None:
    """A copy of the source and the tests."""
    for name in ("microgradrnn", "viz", "tests", "demos", "setup.cfg"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def caught(mutation: Mutation, copy: Path) -> bool:
    """Plant a mistake in a copy, run the tests of its row, and take it out again. Does any test fail?

    Raises:
        RuntimeError: if pytest did not get as far as running the tests.
    """
    file = copy / mutation.file
    source = file.read_text(encoding="utf-8")
    try:
        file.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *own_tests(mutation.row)],
            cwd=copy, env=environment, capture_output=True, text=True, timeout=600, check=False)
    finally:
        file.write_text(source, encoding="utf-8")
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{mutation.row}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}")
    return done.returncode == 1


def main(rows: Sequence[str]) -> int:
    """Plant the mistakes of some rows, or of all. Returns how many were not caught."""
    chosen = [mutation for mutation in MUTATIONS if not rows or mutation.row in rows]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(PROCESSES) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for k in range(PROCESSES):
            copy_to(Path(folder) / str(k))
            copies.put(Path(folder) / str(k))

        def plant(mutation: Mutation) -> bool:
            copy = copies.get()
            try:
                return caught(mutation, copy)
            finally:
                copies.put(copy)

        missed = 0
        for mutation, found in zip(chosen, pool.map(plant, chosen), strict=True):
            missed += not found
            print(f"{'caught' if found else 'MISSED'}  {mutation.row:5} {mutation.file}: {mutation.new}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught, in {len({mutation.row for mutation in chosen})} rows")
    return missed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
