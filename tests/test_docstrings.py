"""What docstrings and messages mention exists: files of the repository, and names of the packages."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microgradrnn.engine.primitive import Elementwise

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


# ------------------------------------------------------------------------------------------ what every public name says
SHAPE = re.compile(r"\((?:\.\.\.|[A-Z]\w*|\d+)(?:, ?(?:\.\.\.|\w+))*,?\)|\bshapes?\b|\bax[ie]s\b|array\("
                   r"|\b(?:vector|scalar|matrix|stack)(?:s|es)?\b|\bmatrices\b")
ARRAYS = {"x", "xs", "a", "b", "W", "h", "state", "mask", "logits", "targets", "log_p", "predictions", "values"}
EXAMPLE_ELSEWHERE = {  # results are not made by users: the function that returns one has the example
    "Arrival": "gradient_flow", "Comparison": "compare_flow", "Decay": "decay", "Equations": "equations",
    "Flow": "gradient_flow", "Frames": "draw_film", "LocalErrors": "local_errors", "Page": "explore",
    "Profile": "profiles", "Shares": "shares", "StepJacobians": "step_jacobians", "Track": "compare_flow",
    "Ways": "ways", "Stretch": "Stretches", "History": "fit",
}  # fmt: skip


def public() -> dict[str, Any]:
    """Everything on docs/api.md that can be called, by its full name."""
    found, module = {}, ""
    for line in (ROOT / "docs" / "api.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## (\S+)", line):
            module = heading[1]
        elif row := re.match(r"\| `(\w+)` \|", line):
            thing = getattr(importlib.import_module(module), row[1])
            if callable(thing):
                found[f"{module}.{row[1]}"] = thing
    return found


def missing(name: str, thing: Any) -> list[str]:
    """What the docstring of a public name does not say."""
    if isinstance(thing, Elementwise):  # a row of a table, one line of mathematics; shapes broadcast, as in NumPy
        return [] if inspect.getdoc(thing) else ["doc"]
    said, short = inspect.getdoc(thing) or "", name.rpartition(".")[2]
    is_error = isinstance(thing, type) and issubclass(thing, Exception)  # docs/errors.md provokes them
    found = ["example"] * (">>>" not in said and not is_error and short not in EXAMPLE_ELSEWHERE)
    if inspect.isfunction(thing) and ARRAYS & inspect.signature(thing).parameters.keys() and not SHAPE.search(said):
        found.append("shapes")
    if raises(vars(thing).get("__init__") if isinstance(thing, type) else thing) and not re.search(
            r"^Raises:|^Traceback", said, re.MULTILINE):
        found.append("errors")
    return found


def raises(f: Any) -> bool:
    """Does the body of a function raise an error?"""
    f = inspect.unwrap(f) if callable(f) else f
    if not inspect.isfunction(f) or f.__code__.co_filename.startswith("<"):  # the __init__ of a dataclass
        return False
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def test_no_public_name_lacks_its_example_shapes_or_errors() -> None:
    things = public()
    assert len(things) > 250
    assert {name: found for name, thing in things.items() if (found := missing(name, thing))} == {}


def test_what_is_returned_has_its_example_where_it_is_returned() -> None:
    things = {name.rpartition(".")[2]: thing for name, thing in public().items()}
    for result, function in EXAMPLE_ELSEWHERE.items():
        assert isinstance(things[result], type)
        assert ">>>" in (inspect.getdoc(things[function]) or ""), function


def test_a_docstring_that_says_too_little_is_noticed() -> None:
    def scaled(x: Any) -> Any:
        """X, times two."""
        if not x:
            raise ValueError("nothing to scale")
        return 2 * x

    assert missing("scaled", scaled) == ["example", "shapes", "errors"]
    assert missing("Flow", scaled) == ["shapes", "errors"]
