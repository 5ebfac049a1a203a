"""docs/time.md is run: every number on the page is the one that comes."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import viz

PAGE = Path(__file__).parents[2] / "docs" / "time.md"


def test_the_example_on_the_page_of_time_runs() -> None:
    pytest.importorskip("matplotlib")
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 20
    assert found.failed == 0


def test_the_page_names_only_what_there_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("decay", "ratios", "step_jacobians", "local_errors", "shares", "plot_local_errors",
                 "plot_shares", "plot_singular_values", "plot_eigenvalues", "plot_transport"):
        assert f"`{name}(" in text
        assert callable(getattr(viz, name))
