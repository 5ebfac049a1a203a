"""What docstrings and messages mention exists: files of the repository, and names of the packages."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"microgradrnn": "microgradrnn", "mg": "microgradrnn", "nn": "microgradrnn.nn", "viz": "viz"}
# docs/time.md, `plain.py`, ``js_*.py``; not nets.py:loss, an example of a command line.
FILE = re.compile(r"(?<![\w/.])[\w/*]+\.(?:md|py)\b(?!:\w)")
NAME = re.compile(rf"(?<![\w./])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z]\w*)+(?!\.?\w|/)")
EXAMPLE = re.compile(r"^\s*(?:>>>|\.\.\.).*$", re.MULTILINE)  # doctests check these


def sources() -> list[Path]:
    return sorted([*ROOT.glob("microgradrnn/**/*.py"), *ROOT.glob("viz/**/*.py")])


def texts(source: str) -> Iterator[str]:
    """Every string in a source, docstrings and messages, without the lines of examples."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield EXAMPLE.sub("", node.value)


def is_file(name: str, beside: Path) -> bool:
    """Is it in the repository: by its path from the top, or beside the file that mentions it?"""
    return any(list(folder.glob(name)) for folder in (ROOT, beside.parent))


def resolves(name: str) -> bool:
    """Does the name lead to a module, or to something in one?"""
    first, *rest = name.split(".")
    thing: Any = importlib.import_module(PACKAGES[first])
    for part in rest:
        if not hasattr(thing, part):
            try:
                importlib.import_module(f"{thing.__name__}.{part}")
            except (ImportError, AttributeError):
                return False
        thing = getattr(thing, part)
    return True


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_names_that_are_mentioned_exist(path: Path) -> None:
    said = list(texts(path.read_text(encoding="utf-8")))
    assert [name for text in said for name in FILE.findall(text) if not is_file(name, path)] == []
    assert [name for text in said for name in NAME.findall(text) if not resolves(name)] == []


def test_what_does_not_exist_is_found() -> None:
    (text,) = texts('"""See docs/none.md, `nothing.py`, `viz.nothing` and nn.LSTM; also docs/time.md."""')
    assert [name for name in FILE.findall(text) if not is_file(name, ROOT / "viz/__init__.py")] == [
        "docs/none.md", "nothing.py"]
    assert [name for name in NAME.findall(text) if not resolves(name)] == ["viz.nothing"]


def test_there_is_something_to_check() -> None:
    found = [text for path in sources() for text in texts(path.read_text(encoding="utf-8"))]
    assert sum(len(FILE.findall(text)) for text in found) > 15
    assert sum(len(NAME.findall(text)) for text in found) > 60
