"""What all lessons have in common: their length, their parts, and the claims that each of them must mention."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from demos.lessons.__main__ import LESSONS

jupytext = pytest.importorskip("jupytext")

DOCS = Path(__file__).parent.parent.parent / "docs"
WORDS = 1500  # a quarter of an hour at 130 words a minute leaves time for the pictures
CLAIMS = {  # the rows of docs/claims.md; D are its experiments
    1: "C1 C3–C10 C12–C14 C17 C23 C24 C107 C113",
    2: "C11 C15 C16 C20–C22 C106 D7",
    3: "C2 C19 C25–C42 C59 C60",
    4: "C44–C47 C61 C108 D1 D6",
    5: "C43 C48–C53 C55–C57 D3b",
    6: "C54 C58 C62–C68 C109–C112 D2 D3a D3c D4",
    7: "C69–C76 C79 C81–C90 C114 C115 D5",
    8: "C80 C91–C101",
    9: "C18 C77 C78 C102–C105",
}
EXPERIMENTS = {"D1": "latch", "D2": "sums", "D3a": "cliff", "D3b": "norms", "D3c": "order", "D4": "sums",
               "D5": "recall", "D6": "recall", "D7": "characters"}  # the modules of demos/experiments
BOX = re.compile(r"^> \*\*What textbooks say, and what is measured\.\*\*", re.MULTILINE)
every_lesson = pytest.mark.parametrize("number", LESSONS)


def cells(number: int) -> list[Any]:
    return jupytext.read(LESSONS[number]).cells


def prose(number: int) -> str:
    return "\n\n".join(cell.source for cell in cells(number) if cell.cell_type == "markdown")


def claims(text: str) -> list[int]:
    """The claims that a text names; "C3–C5" names three."""
    found = re.findall(r"\bC(\d+)(?:[–-]C(\d+))?\b", text)
    return [k for first, last in found for k in range(int(first), int(last or first) + 1)]


def words(text: str) -> int:
    """Words to read: a formula and a name in the code count as one, the target of a link as none."""
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", " formula ", text, flags=re.DOTALL)
    return len([word for word in text.split() if re.search(r"\w", word)])


def section(number: int, heading: str) -> list[Any]:
    """The cells from a heading on, without what stands before it."""
    for k, cell in enumerate(found := cells(number)):
        _, there, after = cell.source.partition(f"## {heading}\n")
        if cell.cell_type == "markdown" and there:
            cell.source = after
            return found[k:]
    raise AssertionError(f"no section {heading}")


def test_the_table_shares_all_claims_and_experiments_out_once() -> None:
    assert sorted(claims(" ".join(CLAIMS.values()))) == [*range(1, 116)]
    assert sorted(re.findall(r"D\w+", " ".join(CLAIMS.values()))) == sorted(EXPERIMENTS)


def test_words_and_claims_are_counted_as_a_reader_counts_them() -> None:
    assert words("The state $h_{t-1} W$ is **read** ([C3](../claims.md)):\n\n* by `cell(x, h)`") == 8
    assert claims("([C3](../claims.md)), C5–C7, and 12 of D3") == [3, 5, 6, 7]


@every_lesson
def test_a_lesson_is_short_enough_to_read_in_a_quarter_of_an_hour(number: int) -> None:
    assert 300 < words(prose(number)) <= WORDS


@every_lesson
def test_a_lesson_mentions_all_its_claims(number: int) -> None:
    assert set(claims(CLAIMS[number])) - set(claims(prose(number))) == set()


@every_lesson
def test_a_lesson_uses_all_its_experiments(number: int) -> None:
    source = LESSONS[number].read_text(encoding="utf-8")
    for name in re.findall(r"D\w+", CLAIMS[number]):
        assert re.search(rf"\b{EXPERIMENTS[name]}\b", source), name


@every_lesson
def test_a_lesson_begins_with_its_title_and_a_guess(number: int) -> None:
    first = cells(number)[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# Lesson {number}. ")
    assert first.source.count("> **Guess first.**") == 1
    assert [line for line in prose(number).splitlines() if line.startswith("# ")] == [first.source.splitlines()[0]]


@every_lesson
def test_a_lesson_says_what_textbooks_say_and_what_is_measured(number: int) -> None:
    assert BOX.search(prose(number))


@every_lesson
def test_a_lesson_ends_with_a_summary_of_three_to_six_sentences_and_with_exercises(number: int) -> None:
    summary = section(number, "Summary")[0].source.partition("\n## ")[0]
    assert 3 <= len(re.findall(r"^[*-] ", summary, re.MULTILINE)) <= 6
    headings = re.findall(r"^## (.+)$", prose(number), re.MULTILINE)
    assert headings[-2:] == ["Summary", "Exercises"]


@every_lesson
def test_a_lesson_has_three_exercises_each_with_a_hidden_solution_that_runs(number: int) -> None:
    exercises = section(number, "Exercises")
    hidden = [(question, answer) for question, answer in pairwise(exercises)
              if "hide-cell" in answer.metadata.get("tags", [])]
    assert len(hidden) == 3
    assert sum("hide-cell" in cell.metadata.get("tags", []) for cell in cells(number)) == 3
    for question, answer in hidden:
        assert question.cell_type == "markdown"
        assert words(question.source) > 5
        assert answer.cell_type == "code"
        assert ast.parse(answer.source).body
    assert [cell.cell_type for cell in exercises].count("code") == 3


@every_lesson
def test_the_pages_that_a_lesson_links_to_exist(number: int) -> None:
    targets = re.findall(r"\]\(\.\./([\w.-]+\.md)", prose(number))
    assert [name for name in targets if not (DOCS / name).exists()] == []
    assert targets
