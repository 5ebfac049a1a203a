"""The pages in Chinese keep step with the English ones: the same headings, code, pictures and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAIRS = {"README.md": "README.zh.md"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)


def levels(text: str) -> list[int]:
    """The levels of all headings, in order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", CODE.sub("", text), re.MULTILINE)]


@pytest.fixture(params=PAIRS.items(), ids=PAIRS)
def texts(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An English page and its translation."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in request.param)
    return english, chinese


def test_headings_are_the_same(texts: tuple[str, str]) -> None:
    english, chinese = map(levels, texts)
    assert english == chinese
    assert len(english) > 1


def test_code_is_the_same(texts: tuple[str, str]) -> None:
    english, chinese = map(CODE.findall, texts)
    assert english == chinese


def test_the_translation_links_to_all_that_the_page_links_to(texts: tuple[str, str]) -> None:
    english, chinese = (set(LINK.findall(text)) for text in texts)
    english = {link for link in english if not link.startswith("README")}
    assert english <= chinese


def test_links_lead_somewhere(texts: tuple[str, str], request: pytest.FixtureRequest) -> None:
    folder = (ROOT / next(b for b in PAIRS.values() if (ROOT / b).read_text(encoding="utf-8") == texts[1])).parent
    for link in LINK.findall(texts[1]):
        assert link.startswith("http") or (folder / link.partition("#")[0]).exists(), link


def test_the_translation_is_chinese(texts: tuple[str, str]) -> None:
    for heading in re.findall(r"^#+ (.+)$", CODE.sub("", texts[1]), re.MULTILINE)[1:]:
        assert re.search(r"[\u4e00-\u9fff]", heading), heading
