"""What the lessons find: each is run as a program, and what it measured is asserted."""

from __future__ import annotations

import runpy
from functools import cache
from typing import Any

import pytest

import viz
from demos.lessons.__main__ import LESSONS


@cache
def run(number: int) -> dict[str, Any]:
    """Run a lesson once, as a program. Returns the names that it defined."""
    for package in ("matplotlib", "tqdm"):
        pytest.importorskip(package)
    import matplotlib
    from matplotlib import pyplot as plt

    matplotlib.use("Agg")
    try:
        return runpy.run_path(str(LESSONS[number]))
    finally:
        plt.close("all")
        viz.set_theme()
