"""docs/compile.md is run: what it prints is what comes."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "compile.md"


def test_the_examples_on_the_page_run() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 15
    assert found.failed == 0


def test_the_page_names_files_that_are_there() -> None:
    package = PAGE.parents[1] / "microgradrnn" / "compiler"
    for name in ("symbol", "trace", "expression", "factors", "gates", "plan", "layout", "numpy_loop"):
        assert f"{name}.py`" in PAGE.read_text(encoding="utf-8")
        assert (package / f"{name}.py").exists()
