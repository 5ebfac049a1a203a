"""The command line of the experiments: see the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from demos.experiments.cluster import cluster
from demos.experiments.processes import Processes
from demos.experiments.records import EXPERIMENTS, FOLDER, measure
from demos.experiments.summary import lines
from demos.experiments.sweep import FAILED, SweepStoppedError, Swept
from demos.lesson import Parser, TroubleError, as_lines, positive
from microgradrnn.files import DamagedFileError
from microgradrnn.terminal import command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m demos.experiments", description="Experiments from the literature on recurrent nets.")
    p.add_argument("--run", nargs="+", choices=list(EXPERIMENTS), default=[], metavar="NAME",
                   help=f"measure settings that have no record: any of {', '.join(EXPERIMENTS)}")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, metavar="N", help="measure N settings at one time, in processes")
    where.add_argument("--dask", metavar="ADDRESS", help="measure on the workers of this Dask scheduler, tcp://HOST:PORT")
    p.add_argument("--records", type=Path, metavar="FOLDER",
                   help="keep records in this folder (default: those that the summary reads)")
    return p


def executor(options: argparse.Namespace) -> AbstractContextManager[Executor | None]:
    """Where the settings are measured."""
    if options.dask:
        return cluster(options.dask)
    return Processes(options.workers) if options.workers else nullcontext()


def failures(name: str, swept: Swept) -> list[str]:
    """What failed, one line a setting."""
    said = []
    for record in swept.failures:
        setting = ", ".join(f"{key}={value!r}" for key, value in record.items() if key != FAILED)
        said.append(f"  {setting}: {record[FAILED]['type']}: {record[FAILED]['message']}")
    count = f"{len(said)} of {len(said) + len(swept.records)} settings failed; the next run tries them again"
    return [f"{name}: {count}", *said] if said else []


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for, and print what was expected and what was measured. Returns the exit status."""
    p = parser()
    options = p.parse_args(argv)
    if not options.run and (options.workers or options.dask or options.records):
        p.error(f"--workers, --dask and --records need --run NAME: any of {', '.join(EXPERIMENTS)}")
    failed: list[str] = []
    try:
        with executor(options) as where:
            for name in options.run:
                failed += failures(name, measure(name, options.records or FOLDER, where))
    except (TroubleError, SweepStoppedError, DamagedFileError, OSError) as error:
        p.exit(1, f"experiments: {error}\n")
    if options.records is None:
        print(as_lines([["", "what", "expected", "measured"], *(list(line) for line in lines())]))
    print("\n".join(failed), end="\n" if failed else "", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
