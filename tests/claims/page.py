"""docs/claims.md: every claim, system and experiment, with its verdict, its number and the tests that show it.

    python -m tests.claims          # writes the page
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.claims.ledger import CLAIMS, EXPERIMENTS, NOTES, SYSTEMS, Claim

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "claims.md"

INTRODUCTION = """# What is said about recurrent nets, and what is true

Five sets of lecture notes make {claims} claims about recurrent nets and describe {systems} systems. Each is measured
here. The tests of a row are named after it; `python -m tests.claims` makes this page from them.

| verdict | meaning | claims |
|---|---|---|
{verdicts}
"""

MEANINGS = {
    "true": "right as it stands",
    "true if": "right under a condition",
    "imprecise": "a right idea, wrongly put",
    "false": "the measurement contradicts it",
    "depends": "depends on the first weights, or on training",
    "no number": "a matter of words or of history: nothing to measure",
}


def keys(name: str) -> list[str]:
    """The rows that a test is about, from its name.

    >>> keys("test_c27_c28_the_gradient_at_a_state"), keys("test_s01_the_simple_net"), keys("test_clipping")
    (['C27', 'C28'], ['S1'], [])
    """
    found = re.match(r"test_((?:[csdn]\d+_)+)", name)
    return [part[0].upper() + str(int(part[1:])) for part in found[1].split("_")[:-1]] if found else []


@cache
def named_after_rows(folder: Path = ROOT / "tests") -> dict[str, list[tuple[Path, str]]]:
    """For every row the tests that are named after it: file and name."""
    found: dict[str, list[tuple[Path, str]]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for name in re.findall(r"^ *def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            for key in keys(name):
                found.setdefault(key, []).append((path, name))
    return found


def measuring(claim: Claim, found: dict[str, list[tuple[Path, str]]]) -> list[tuple[Path, str]]:
    """The tests of a claim: its own, and those of the row that measures it too."""
    return [*found.get(claim.key, []), *(found.get(claim.by, []) if claim.by else [])]


def links(tests: Iterable[tuple[Path, str]]) -> str:
    """The files of some tests as links, each once."""
    return ", ".join(f"[{path.stem.removeprefix('test_')}](../{path.relative_to(ROOT).as_posix()})"
                     for path in dict.fromkeys(path for path, _ in tests))


def table(heading: str, columns: str, rows: Iterable[tuple[str, ...]]) -> str:
    """A section with a table."""
    rule = "|" + "---|" * (columns.count("|") - 1)
    return "\n".join([f"## {heading}", "", columns, rule, *(f"| {' | '.join(cells)} |" for cells in rows), ""])


def page() -> str:
    """The whole page."""
    found = named_after_rows()
    counts = {verdict: sum(claim.verdict == verdict for claim in CLAIMS) for verdict in MEANINGS}
    verdicts = "\n".join(f"| {verdict} | {MEANINGS[verdict]} | {n} |" for verdict, n in counts.items())
    claims = [(claim.key, claim.says, f"**{claim.verdict}.** {claim.instead}".strip(),
               claim.number, links(measuring(claim, found))) for claim in CLAIMS]
    return "\n".join([
        INTRODUCTION.format(claims=len(CLAIMS), systems=len(SYSTEMS), verdicts=verdicts),
        table("Claims", "| | claim | verdict | measured | tests |", claims),
        table("Further statements", "| | statement | tests |",
              [(key, says, links(found.get(key, []))) for key, says in NOTES.items()]),
        table("Systems", "| | system | tests |",
              [(key, says, links(found.get(key, []))) for key, says in SYSTEMS.items()]),
        table("Experiments", "| | experiment | tests |",
              [(key, says, links(found.get(key, []))) for key, says in EXPERIMENTS.items()]),
    ])
