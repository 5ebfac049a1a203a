"""The page of claims is complete and up to date: every row has its test, and the page is what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

from tests.claims import page as module
from tests.claims.ledger import CLAIMS, EXPERIMENTS, NOTES, SYSTEMS
from tests.claims.page import MEANINGS, PAGE, keys, measuring, named_after_rows, page


def test_the_page_of_claims_is_the_one_that_is_made_from_ledger_and_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m tests.claims"


def test_every_row_is_there_once_and_has_a_test_or_a_reason_why_not() -> None:
    assert [claim.key for claim in CLAIMS] == [f"C{n}" for n in range(1, 116)]
    assert list(SYSTEMS) == [f"S{n}" for n in range(1, 44)]
    assert list(EXPERIMENTS) == [f"D{n}" for n in range(1, 8)]
    found = named_after_rows()
    assert [key for key in (*SYSTEMS, *NOTES, *EXPERIMENTS) if key not in found] == []
    for claim in CLAIMS:
        assert claim.verdict in MEANINGS
        assert bool(measuring(claim, found)) != (claim.verdict == "no number"), claim.key
        assert claim.instead or claim.verdict == "true", claim.key
    assert found.keys() <= {claim.key for claim in CLAIMS} | SYSTEMS.keys() | NOTES.keys() | EXPERIMENTS.keys()


def test_a_row_without_a_test_is_found(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_c7_c8_two_rows() -> None:\n    assert True\n", encoding="utf-8")
    assert named_after_rows(tmp_path).keys() == {"C7", "C8"}
    assert keys("test_c7up_is_no_row") == []
    assert doctest.testmod(module).failed == 0
