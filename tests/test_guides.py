"""The guides in docs/ are run: every number on them is the one that comes, every link leads somewhere."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import viz
from microgradrnn.engine import PRIMITIVES
from tests.test_docstrings import NAME, resolves

DOCS = Path(__file__).parent.parent / "docs"
GUIDES = {  # each with what it needs besides the library
    "micrograd": (), "lstm": ("torch",), "padding": (), "cells": (), "operations": (), "autograd": (), "bptt": (),
    "threads": (), "glossary": (), "notebooks": ("matplotlib", "resvg_py", "svglib"),
}
MINUTES = 10  # no guide takes longer, at 130 words a minute


def text(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def anchors(name: str) -> set[str]:
    """What links may lead to on a page: its headings, as GitHub names them."""
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pictures go to an empty folder; operations that a guide defines and the theme that it chooses are forgotten."""
    monkeypatch.chdir(tmp_path)
    table = dict(PRIMITIVES)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(table)
    viz.set_theme()


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_runs_and_prints_what_it_says(name: str) -> None:
    for module in GUIDES[name]:
        pytest.importorskip(module)
    found = doctest.testfile(str(DOCS / f"{name}.md"), module_relative=False)
    assert found.attempted > 10
    assert found.failed == 0


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_is_short(name: str) -> None:
    assert len(re.findall(r"\w\w+", text(name))) < 130 * MINUTES


@pytest.mark.parametrize("name", [page.stem for page in sorted(DOCS.glob("*.md"))])
def test_links_lead_somewhere(name: str) -> None:
    words = re.sub(r"```.*?```|`[^`\n]*`", "", text(name), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", words):
        file, _, anchor = target.partition("#")
        assert not file or (DOCS / file).exists(), target
        assert not anchor or anchor in anchors(file or f"{name}.md"), target


@pytest.mark.parametrize("name", GUIDES)
def test_names_on_a_guide_exist(name: str) -> None:
    prose = re.sub(r"```.*?```", "", text(name), flags=re.DOTALL).replace("torch.nn.", "")  # code is run anyway
    assert [found for found in NAME.findall(prose) if not resolves(found)] == []


def test_the_guide_of_the_lstm_shows_the_pictures_that_it_saves() -> None:
    page = text("lstm")
    saved = re.findall(r'save\("(\w+\.svg)"\)', page)
    assert len(saved) == 5
    assert re.findall(r"\]\(img/(\w+\.svg)\)", page) == saved


# ------------------------------------------------------------------------------------------------ bptt.md
def test_the_tables_of_bptt_hold_the_numbers_of_its_examples() -> None:
    names: dict[str, list[float]] = {}
    by_hand = "".join(example.source for example in doctest.DocTestParser().get_examples(
        text("bptt").split("## The gradient of a weight")[0]))
    exec(compile(by_hand, "bptt.md", "exec"), names)
    h, e, eps, dh = (names[name] for name in ("h", "e", "eps", "dh"))
    rows = [[float(cell.split("=")[-1].replace("−", "-").strip() or 0) for cell in line.strip("|").split("|")]
            for line in text("bptt").splitlines() if re.match(r"\| [123] \|", line)]
    forward, backward = rows[:3], rows[3:]
    assert [row[0] for row in rows] == [1, 2, 3, 3, 2, 1]
    for t, _, state, output, error in forward:
        assert [state, output, error] == pytest.approx([h[int(t)], 2 * h[int(t)], e[int(t)]], abs=5.1e-5)
    for t, straight, later, both, slope, at_z in backward:
        k = int(t)
        assert [straight, later, both, slope, at_z] == pytest.approx(
            [2 * e[k], 0.5 * eps[k + 1], dh[k], 1 - h[k] ** 2, eps[k]], abs=5.1e-5)


# ------------------------------------------------------------------------------------------------ glossary.md
def test_the_glossary_is_sorted_and_has_every_word_of_the_pictures() -> None:
    words = re.findall(r"^## (.+)$", text("glossary"), re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)
    assert {"carry", "way", "lag", "horizon", "message", "share", "blame", "passage", "step", "layer", "gate",
            "profile", "lane", "factor", "straight"} <= set(words)
