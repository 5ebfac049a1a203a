"""What all command lines do alike: Ctrl-C, a reader that goes away, characters that cannot be shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path

from microgradrnn import files

Main = Callable[[Sequence[str] | None], int]


def command(main: Main) -> Callable[..., int]:
    """A ``main(argv)`` that returns its exit status, as every command line should run it.

    Ctrl-C ends it with status 130 and one line that says which files were written. Where the reader of a pipe goes
    away, as ``| head`` does, it ends quietly with status 141. A character that the output cannot encode is replaced.

    >>> @command
    ... def main(argv=None):
    ...     print("it runs")
    ...     return 0
    >>> main()
    it runs
    0
    """

    @wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        for stream in (sys.stdout, sys.stderr):
            if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        written: dict[Path, None] = {}
        files.listeners.append(written.setdefault)
        try:
            status = main(argv)
            sys.stdout.flush()
            return status
        except KeyboardInterrupt:
            print(f"\ninterrupted; written so far: {', '.join(map(str, written)) or 'nothing'}", file=sys.stderr)
            return 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes there
            return 141
        finally:
            files.listeners.remove(written.setdefault)

    return run
