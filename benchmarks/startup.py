"""What `import microgradrnn` costs on top of `import numpy`, from bytecode, as an installed package has it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.measure import Row

PROGRAM = """
from time import perf_counter as now
start = now(); import numpy; middle = now(); import microgradrnn; end = now()
print(middle - start, end - middle)
"""


def rows() -> Iterator[Row]:
    """One row: the median over fresh interpreters."""
    root = Path(__file__).parent.parent
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(10):
            done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, env=environment, capture_output=True,
                                  text=True, check=True)  # fmt: skip
            runs.append([float(t) for t in done.stdout.split()])
    numpy, own = (median(times) for times in zip(*runs[1:], strict=True))  # the first one compiles
    yield Row(f"import time over numpy's own ({numpy * 1e3:.0f} ms) : 100 ms", f"{own * 1e3:.1f} ms", "100 ms",
              own / 0.1, bar=1.0)
