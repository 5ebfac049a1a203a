"""The pages in Chinese keep step with the English ones: the same headings, code, pictures and links."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from demos.lessons.__main__ import lessons, main

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```python\n.*?^```$|^# %%(?! \[markdown\]).*?(?=^# %% \[markdown\]|\Z)", re.DOTALL | re.MULTILINE)
HAN = r"[\u4e00-\u9fff]"


class Page(NamedTuple):
    """A page of the repository, and the folder from which its links start: lessons are shown in docs/."""

    file: str
    folder: str

    @property
    def text(self) -> str:
        """What the file holds."""
        return (ROOT / self.file).read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """Without the code, and without the comment signs of a lesson."""
        text = CODE.sub("", self.text)
        return re.sub(r"^# ?", "", text, flags=re.MULTILINE) if self.file.endswith(".py") else text

    @property
    def targets(self) -> set[str]:
        """Where the links lead, from the root of the repository."""
        links = [link for link in LINK.findall(self.prose) if not link.startswith("#")]
        return {link if "://" in link else posixpath.normpath(posixpath.join(self.folder, link)) for link in links}


PAIRS = {"README.md": (Page("README.md", ""), Page("README.zh.md", "")),
         "docs/index.md": (Page("docs/index.md", "docs"), Page("docs/zh/index.md", "docs/zh"))}
for number, path in lessons("zh").items():
    PAIRS[f"lesson {number}"] = (Page(f"demos/lessons/{path.name}", "docs/lessons"),
                                 Page(f"demos/lessons/zh/{path.name}", "docs/zh/lessons"))


@pytest.fixture(params=PAIRS.values(), ids=PAIRS)
def pages(request: pytest.FixtureRequest) -> tuple[Page, Page]:
    """An English page and its translation."""
    english, chinese = request.param
    return english, chinese


def test_headings_are_the_same(pages: tuple[Page, Page]) -> None:
    english, chinese = ([len(marks) for marks in re.findall(r"^(#+) ", page.prose, re.MULTILINE)] for page in pages)
    assert english == chinese
    assert len(english) > 1


def test_code_is_the_same(pages: tuple[Page, Page]) -> None:
    english, chinese = (CODE.findall(page.text) for page in pages)
    assert english == chinese
    assert english


def test_the_prose_of_a_lesson_stands_between_the_same_cells(pages: tuple[Page, Page]) -> None:
    english, chinese = (re.findall(r"^# %%.*$", page.text, re.MULTILINE) for page in pages)
    assert english == chinese


def test_formulas_on_lines_of_their_own_are_the_same(pages: tuple[Page, Page]) -> None:
    english, chinese = (re.findall(r"^\$\$.*?\$\$$", page.prose, re.DOTALL | re.MULTILINE) for page in pages)
    assert english == chinese


def test_the_translation_links_to_all_that_the_page_links_to(pages: tuple[Page, Page]) -> None:
    english, chinese = pages
    assert english.targets - {chinese.file} <= chinese.targets
    assert english.targets


def test_the_translation_mentions_the_same_claims(pages: tuple[Page, Page]) -> None:
    english, chinese = (sorted(re.findall(r"\[([CD]\d+\w?)\]\(", page.prose)) for page in pages)
    assert english == chinese


def test_links_lead_somewhere(pages: tuple[Page, Page]) -> None:
    _, chinese = pages
    for target in chinese.targets:
        assert "://" in target or (ROOT / target.partition("#")[0]).exists(), target


def test_the_translation_is_chinese(pages: tuple[Page, Page]) -> None:
    _, chinese = pages
    for heading in re.findall(r"^#+ (.+)$", chinese.prose, re.MULTILINE)[1:]:
        assert re.search(HAN, heading), heading


def test_no_line_ends_within_a_chinese_phrase(pages: tuple[Page, Page]) -> None:
    """A browser shows the end of a line as a space, which Chinese has only beside Latin words."""
    _, chinese = pages
    assert re.findall(rf".*{HAN}\n(?:> | +)?{HAN}.*", chinese.prose) == []


def test_the_command_line_lists_the_lessons_in_chinese(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--language", "zh", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(lessons("zh"))
    for number, line in zip(lessons("zh"), lines, strict=True):
        assert line.startswith(f"{number}  第 {number} 课 ")


def test_a_lesson_that_is_not_there_in_chinese_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    english_alone = min(set(lessons("en")) - set(lessons("zh")))
    with pytest.raises(SystemExit) as stop:
        main([str(english_alone), "--language", "zh"])
    assert stop.value.code == 2
    assert f"no lesson {english_alone} in the language zh" in capsys.readouterr().err
