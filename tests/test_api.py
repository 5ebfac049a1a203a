"""docs/api.md lists everything that the packages offer, each with the first sentence of its docstring.

``python -m tests.test_api`` writes the page anew.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import microgradrnn
from microgradrnn.engine import rules

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
HEAD = """# Index of the public API

Every name that is meant for users, with one sentence about it and the file that defines it. `help(name)` says more:
what it takes, what it returns, which errors it raises, and an example that runs. This page is written by
`python -m tests.test_api`, and a test compares it with the code.
"""
OPERATIONS = {  # the files of microgradrnn/engine/rules, by what their operations do
    "elementwise": "entry by entry", "linalg": "products", "reduction": "sums over axes, softmax",
    "shape": "moving numbers", "indexing": "taking parts", "matrices": "square matrices", "composed": "made of others",
    "random": "noise",
}
MODULES = ("microgradrnn.linalg", "microgradrnn.nn", "microgradrnn.nn.init", "microgradrnn.optim",
           "microgradrnn.optim.schedules", "microgradrnn.data", "microgradrnn.io", "microgradrnn.training", "viz")


def first_sentence(thing: Any) -> str:
    """What it is: the first sentence of its docstring, as Markdown."""
    paragraph = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    sentence = re.split(r"[.:](?: (?=[A-Z])|$)|::", paragraph)[0].removesuffix(".")
    return re.sub(r"``(.*?)``", r"`\1`", sentence).replace("|", r"\|")


def file_of(thing: Any, default: ModuleType) -> str:
    """The file that defines it, by its path in the repository."""
    try:
        found = Path(inspect.getsourcefile(inspect.unwrap(thing)) or "").resolve()
    except TypeError:  # an operation from a table, a constant
        found = Path()
    path = found if found.is_relative_to(ROOT) else Path(str(default.__file__))
    return path.relative_to(ROOT).as_posix()


def row(name: str, thing: Any, default: ModuleType) -> str:
    """One line of a table."""
    path = file_of(thing, default)
    said = first_sentence(thing) if callable(thing) or isinstance(thing, ModuleType) else f"a `{type(thing).__name__}`"
    return f"| `{name}` | {said} | [{path.split('/', 1)[1]}](../{path}) |"


def table(names: list[str], module: ModuleType, default: ModuleType | None = None) -> list[str]:
    """The names of a module, one a line, in the order of the alphabet."""
    rows = [row(name, getattr(module, name), default or module) for name in sorted(names, key=str.lower)]
    return ["| name | what it is | file |", "|---|---|---|", *rows, ""]


def lines() -> Iterator[str]:
    """The page, line by line."""
    yield from HEAD.split("\n")
    files = {name: importlib.import_module(f"{rules.__name__}.{name}") for name in OPERATIONS}
    listed = {name for file in files.values() for name in file.__all__}
    yield from ["## microgradrnn", ""]
    yield from table([name for name in microgradrnn.__all__ if name not in listed], microgradrnn)
    for name, what in OPERATIONS.items():
        yield from [f"### Operations: {what}", ""]
        yield from table(files[name].__all__, microgradrnn if name != "matrices" else microgradrnn.linalg, files[name])
    for name in MODULES:
        module = importlib.import_module(name)
        yield from [f"## {name}", "", f"{first_sentence(module)}.", ""]
        yield from table(module.__all__, module)


def page() -> str:
    """The page."""
    return "\n".join(lines()).rstrip() + "\n"


def test_the_index_is_what_the_packages_offer_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.test_api"


def test_every_name_has_a_sentence_and_a_file() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 250
    for name, said, link in rows:
        assert len(said) > 1, name
        assert (PAGE.parent / link.split("(")[1].split(")")[0]).is_file(), name


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
