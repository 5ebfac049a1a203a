"""What the lessons share: a progress bar, a table, and words on the command line that say what was wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from typing import Any


class TroubleError(Exception):
    """Something the user can put right; its text is all that is printed."""


def progress(total: int, name: str, unit: str = "step", show: bool = True) -> Any:
    """A progress bar on stderr, or one that shows nothing."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise SystemExit('the progress bars need tqdm: pip install "microgradrnn[demo]"') from None
    every = 0.1 if sys.stderr.isatty() else 10.0  # seconds; a log file wants few lines
    return tqdm(total=total, desc=name, unit=unit, file=sys.stderr, dynamic_ncols=True, mininterval=every,
                disable=not show)


def as_lines(rows: list[list[str]]) -> str:
    """A table as text, the heading first."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> Any:
        """One line on stderr, and exit status 2."""
        self.exit(2, f"{self.prog.rpartition('.')[2]}: {message}\n")


def positive(words: str) -> int:
    """A positive whole number."""
    if not words.isdecimal() or int(words) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {words!r}")
    return int(words)


def natural(words: str) -> int:
    """A whole number, not negative."""
    if not words.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {words!r}")
    return int(words)


def names_from(known: Collection[str]) -> Callable[[str], list[str]]:
    """An option that takes some of the known names, separated by commas; each once."""

    def names(words: str) -> list[str]:
        found = list(dict.fromkeys(name.strip() for name in words.split(",") if name.strip()))
        if not found or any(name not in known for name in found):
            raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, got {words!r}")
        return found

    return names
