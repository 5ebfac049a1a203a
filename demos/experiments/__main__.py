"""The command line of the experiments: see the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from demos.experiments.records import EXPERIMENTS, measure
from demos.experiments.summary import lines
from demos.lesson import Parser, as_lines
from microgradrnn.terminal import command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m demos.experiments", description="Experiments from the literature on recurrent nets.")
    p.add_argument("--run", nargs="+", choices=list(EXPERIMENTS), default=[], metavar="NAME",
                   help=f"measure settings that have no record: any of {', '.join(EXPERIMENTS)}")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for, and print what was expected and what was measured. Returns the exit status."""
    for name in parser().parse_args(argv).run:
        measure(name)
    print(as_lines([["", "what", "expected", "measured"], *(list(line) for line in lines())]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
