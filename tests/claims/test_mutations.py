"""The list of planted mistakes fits the source, and the tool that plants them can tell caught from missed."""

from __future__ import annotations

from pathlib import Path

from tests.claims.mutations import MUTATIONS, Mutation, caught, copy_to, own_tests
from tests.claims.page import ROOT


def test_every_mistake_can_be_planted_and_has_tests_that_should_notice() -> None:
    assert len(set(MUTATIONS)) == len(MUTATIONS)
    assert len({mutation.row for mutation in MUTATIONS}) >= 60
    for mutation in MUTATIONS:
        assert mutation.old in (ROOT / mutation.file).read_text(encoding="utf-8"), mutation
        assert mutation.old != mutation.new
        assert own_tests(mutation.row), mutation.row


def test_a_mistake_is_caught_and_a_change_that_means_the_same_is_not(tmp_path: Path) -> None:
    copy_to(tmp_path)
    [mistake] = [m for m in MUTATIONS if m.row == "C110"]
    assert caught(mistake, tmp_path)
    harmless = Mutation("C110", mistake.file, "(1 + rate * count(", "(rate * 0 + 1 + rate * count(")
    assert not caught(harmless, tmp_path)
    assert (tmp_path / mistake.file).read_bytes() == (ROOT / mistake.file).read_bytes()
