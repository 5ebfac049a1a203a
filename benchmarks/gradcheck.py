"""Deliberately wrong derivative rules: how many of them `gradcheck` misses."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Row
from microgradrnn import gradcheck
from microgradrnn.engine import GradcheckError
from tests.engine.wrong_rules import WRONG, Wrong, planted


def caught(wrong: Wrong) -> bool:
    """Does the check fail?"""
    with planted(wrong) as (_, f, inputs):
        try:
            gradcheck(f, inputs, order=wrong.order)
        except GradcheckError:
            return True
    return False


def rows() -> Iterator[Row]:
    """One row; its bar is 0. The mistakes are those of the tests."""
    missed = [wrong.mistake for wrong in WRONG if not caught(wrong)]
    named = f": {', '.join(missed)}" if missed else ""
    yield Row(f"wrong rules that gradcheck misses{named}", f"{len(missed)} of {len(WRONG)}", "0", float(len(missed)),
              bar=0.0)
