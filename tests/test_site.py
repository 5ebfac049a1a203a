"""The documentation site: its start page, what builds it, and the check of its links. (`make docs` builds it.)"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/conf.py does it."""
    monkeypatch.syspath_prepend(str(DOCS))


@pytest.mark.parametrize("name", [path.stem for path in sorted((DOCS / "builder").glob("*.py"))])
def test_the_examples_of_the_builder_run(name: str) -> None:
    for needed in ("sphinx", "latex2mathml"):
        pytest.importorskip(needed, reason="needs pip install microgradrnn[docs]")
    assert doctest.testmod(importlib.import_module(f"builder.{name}")).failed == 0


@pytest.mark.parametrize("given", ["", "elsewhere"])
def test_lessons_find_this_folder_first_and_what_was_on_the_path(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("PYTHONPATH", given)
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(DOCS / "conf.py"))
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(DOCS.parent), given][: 1 + bool(given)]


def test_the_first_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"```python\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 1
    assert len(code[0].splitlines()) <= 14
    monkeypatch.chdir(tmp_path)
    exec(compile(code[0], "index.md", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} == {"lstm.svg", "explorer.html"}


def test_every_table_of_the_index_of_the_api_has_a_page_in_the_sidebar() -> None:
    pytest.importorskip("sphinx", reason="needs pip install microgradrnn[docs]")
    api: Any = importlib.import_module("builder.api")
    pages = {section.page for section in api.sections((DOCS / "api.md").read_text(encoding="utf-8"))}
    listed = re.findall(r"^reference/.+$", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) == pages


def test_every_guide_is_in_the_sidebar() -> None:
    listed = [line for name in ("index", "guides", "reference")
              for line in (DOCS / f"{name}.md").read_text(encoding="utf-8").splitlines()]
    assert [page.stem for page in DOCS.glob("*.md") if page.stem != "index" and page.stem not in listed] == []


# ------------------------------------------------------------------------------------------------ lessons
@pytest.fixture
def lessons() -> Any:
    """The module that brings the lessons in."""
    pytest.importorskip("sphinx", reason="needs pip install microgradrnn[docs]")
    return importlib.import_module("builder.lessons")


def test_only_caches_of_earlier_builds_are_removed(tmp_path: Path, lessons: Any) -> None:
    cache = tmp_path / "cache"
    for name in ("0123456789abcdef", "0123456789abcdef0", "photos"):
        (cache / name).mkdir(parents=True)
        (cache / name / "global.db").write_text("")
    (cache / "fedcba9876543210").mkdir()  # named like ours, but nothing of jupyter-cache in it
    (cache / "aaaaaaaaaaaaaaaa").write_text("a file")
    config: dict[str, str] = {}
    lessons.cached(SimpleNamespace(outdir=tmp_path / "html"), config)
    left = {path.name for path in cache.iterdir()}
    assert left == {"0123456789abcdef0", "photos", "fedcba9876543210", "aaaaaaaaaaaaaaaa"}
    current = Path(config["nb_execution_cache_path"])
    current.mkdir()
    (current / "global.db").write_text("")
    lessons.cached(SimpleNamespace(outdir=tmp_path / "html"), config)
    assert current.is_dir()


def test_lessons_run_again_when_something_that_they_read_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: Any
) -> None:
    monkeypatch.setattr(lessons, "ROOT", tmp_path)
    states = [lessons.digest()]
    for name, text in [("viz/a.py", "1"), ("viz/web/explorer.js", "1"), ("demos/records/latch.jsonl", "{}"),
                       ("demos/records/latch.jsonl", "{}\n{}"), ("demos/records/order.jsonl", "")]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        states.append(lessons.digest())
    (tmp_path / "viz" / "a.py").rename(tmp_path / "viz" / "b.py")
    states.append(lessons.digest())
    assert len(set(states)) == len(states)
    for name in ("viz/__pycache__/a.pyc", "viz/web/node_modules/a.js", "demos/.a.lock", "demos/lesson_1_a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
        assert lessons.digest() == states[-1], name


def test_a_folder_of_pages_keeps_what_no_build_made(tmp_path: Path) -> None:
    folders: Any = importlib.import_module("builder.folders")
    folder = tmp_path / "pages"
    folders.filled(folder, {"a.rst": "a", "b.rst": "b"}, "*.rst")
    (folder / "notes.txt").write_text("mine")
    for name in (".ipynb_checkpoints", "__pycache__", "folder.rst"):
        (folder / name).mkdir()
    written = (folder / "a.rst").stat().st_mtime_ns
    folders.filled(folder, {"a.rst": "a", "c.rst": "c"}, "*.rst")
    assert {path.name for path in folder.iterdir()} == {
        "a.rst", "c.rst", "notes.txt", ".ipynb_checkpoints", "__pycache__", "folder.rst"}
    assert (folder / "a.rst").stat().st_mtime_ns == written


def test_a_draft_without_a_number_is_not_on_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: Any
) -> None:
    monkeypatch.setattr(lessons, "ROOT", tmp_path / "clone")
    drafts = tmp_path / "clone" / "demos" / "lessons"
    drafts.mkdir(parents=True)
    for name in ("lesson_10_b", "lesson_9_a", "lesson_draft"):
        (drafts / f"{name}.py").write_text(f"# # {name}\n")
    (tmp_path / "docs" / "zh").mkdir(parents=True)
    lessons.copied(SimpleNamespace(srcdir=tmp_path / "docs"), {})
    pages = tmp_path / "docs" / "lessons"
    assert {path.name for path in pages.iterdir()} == {"index.md", "lesson_9_a.py", "lesson_10_b.py"}
    index = (pages / "index.md").read_text(encoding="utf-8")
    assert 0 < index.index("lesson_9_a") < index.index("lesson_10_b")


# ------------------------------------------------------------------------------------------------ links
LINKS = {
    "to a page": ('<a href="other.html">x</a>', ""),
    "to an anchor": ('<a href="other.html#there">x</a>', ""),
    "to its own anchor": ('<p id="here"></p><a href="#here">x</a>', ""),
    "to a file": ('<img src="a%20picture.svg">', ""),
    "to another place": ('<a href="https://example.org/">x</a>', ""),
    "no page": ('<a href="none.html">x</a>', "no such file"),
    "no picture": ('<img src="none.svg">', "no such file"),
    "no anchor": ('<a href="other.html#nowhere">x</a>', "no such anchor"),
    "no anchor of its own": ('<a href="#nowhere">x</a>', "no such anchor"),
    "to a named anchor": ('<a name="here"></a><a href="#here">x</a>', ""),
    "to pictures of two sizes": ('<img srcset="a%20picture.svg 1x,a%20picture.svg 2x, data:a/b,AA== 3x">', ""),
    "no picture of one size": ('<img srcset="a%20picture.svg, none.svg 2x">', "none.svg: no such file"),
    "a name that is no anchor": ('<meta name="viewport"><a href="#viewport">x</a>', "no such anchor"),
    "out of the site": ('<a href="../secret.html">x</a>', "leads out of the site"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    check: Any = importlib.import_module("builder.check")
    html, wrong = LINKS[kind]
    (tmp_path / "secret.html").write_text("")
    site = tmp_path / "site"
    site.mkdir()
    (site / "page.html").write_text(html)
    (site / "other.html").write_text('<h1 id="there">there</h1>')
    (site / "a picture.svg").write_text("")
    assert check.main(site) == bool(wrong)
    assert capsys.readouterr().err.strip().endswith(wrong)


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_a_site_without_pages_does_not_pass(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check: Any = importlib.import_module("builder.check")
    (tmp_path / "empty").mkdir()
    assert check.main(tmp_path / name) == 1
    assert capsys.readouterr().err.strip().endswith(f"{name}: no pages")
