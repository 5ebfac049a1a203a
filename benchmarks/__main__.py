"""``python -m benchmarks [name ...] [--json FILE]``: run benchmarks and print one table. It reports; it never fails."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    accuracy,
    chain,
    checkpoint,
    compiled,
    explorer,
    explorer_live,
    explorer_page,
    flow,
    gradcheck,
    hvp,
    layers,
    length,
    lines,
    long,
    lstm,
    metamorphic,
    operations,
    parity,
    recorder,
    resume,
    scalar,
    startup,
    stress,
    targets,
    viz,
)
from benchmarks.measure import MissingPeerError, Row
from microgradrnn.files import write_whole
from microgradrnn.terminal import command

BENCHMARKS = {
    "chain": chain.rows,
    "scalar": scalar.rows,
    "lstm": lstm.rows,
    "layers": layers.rows,
    "compiled": compiled.rows,
    "length": length.rows,
    "accuracy": accuracy.rows,
    "parity": parity.rows,
    "operations": operations.rows,
    "gradcheck": gradcheck.rows,
    "stress": stress.rows,
    "metamorphic": metamorphic.rows,
    "targets": targets.rows,
    "hvp": hvp.rows,
    "flow": flow.rows,
    "long": long.rows,
    "checkpoint": checkpoint.rows,
    "lines": lines.rows,
    "startup": startup.rows,
    "resume": resume.rows,
    "recorder": recorder.rows,
    "viz": viz.rows,
    "explorer": explorer.rows,
    "explorer_live": explorer_live.rows,
    "explorer_page": explorer_page.rows,
}
LINE = "{:<68} {:>12} {:>12} {:>8} {:>10} {:>6} {:>5}"


def machine() -> str:
    """What the figures were measured with."""
    versions = []
    for name in ("numpy", "torch", "autograd", "micrograd"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    return f"Python {platform.python_version()}, {', '.join(versions)}, {os.cpu_count()} cores"


def number(x: float | None) -> str:
    """A ratio as text, nothing for None."""
    return "" if x is None else f"{x:.2f}" if x >= 0.01 or x == 0 else f"{x:.0e}"


def show(row: Row) -> None:
    """Print a row as soon as it is known."""
    print(LINE.format(row.what, row.ours, row.theirs, number(row.ratio), number(row.by_minima),
                      "" if row.bar is None else f"{row.bar:g}", row.met).rstrip(), flush=True)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, or all of them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE too")
    parser.add_argument("--graphs", type=int, default=stress.GRAPHS, help="how many for stress; %(default)s by default")
    parser.add_argument("--pairs", type=int, default=metamorphic.PAIRS,
                        help="how many for metamorphic; %(default)s by default")
    options = parser.parse_args(argv)
    stress.GRAPHS, metamorphic.PAIRS = options.graphs, options.pairs
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")

    print(machine())
    print(LINE.format("what", "ours", "theirs", "ratio", "by minima", "bar", "met?"))
    rows = []
    for name in options.names or BENCHMARKS:
        try:
            for row in BENCHMARKS[name]():
                rows.append(row)
                show(row)
        except MissingPeerError as missing:
            print(f"{name}: left out: {missing}")
        if options.json:
            write_whole(options.json, json.dumps([{**row._asdict(), "met": row.met} for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
