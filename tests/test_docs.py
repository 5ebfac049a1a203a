"""The pages of docs/ are run: every message is the one that comes, and no error of the engine is missing.

``python -m tests.test_docs`` writes the messages as they are now into docs/errors.md.
"""

from __future__ import annotations

import ast
import re
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import nn
from microgradrnn.engine import PRIMITIVES
from microgradrnn.engine.node import plain

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "microgradrnn" / "engine"
ERRORS, EDGES = ROOT / "docs" / "errors.md", ROOT / "docs" / "edges.md"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```\n)?", re.DOTALL)

# Never seen from outside.
INTERNAL = {"NotImplementedError"}


def blocks(page: Path) -> list[tuple[str, str | None]]:
    """Pieces of code, each with the message it must end in, or None."""
    return [(code, message) for code, message in BLOCK.findall(page.read_text(encoding="utf-8"))]


def run(code: str) -> BaseException | None:
    """What the code raises; the operations it declares are forgotten."""
    names: dict[str, Any] = {"np": np, "mg": mg, "Tensor": mg.Tensor, "Value": mg.Value, "nn": nn}
    table = dict(PRIMITIVES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            exec(compile(code, "lesson.py", "exec"), names)
    except Exception as error:
        return error
    finally:
        PRIMITIVES.clear()
        PRIMITIVES.update(table)
    return None


def said(error: BaseException | None) -> str:
    """As Python prints it, less the name of the module."""
    return f"{type(error).__name__}: {error}".rstrip() + "\n" if error is not None else ""


PIECES = blocks(ERRORS)


@pytest.mark.parametrize(("code", "message"), PIECES, ids=[code.strip().splitlines()[-1][:60] for code, _ in PIECES])
def test_each_piece_of_code_says_what_the_page_says(code: str, message: str) -> None:
    assert said(run(code)) == message


def raises() -> Iterator[tuple[str, range, str]]:
    """Every raise of the engine: file, lines, and its first words."""
    for path in sorted(ENGINE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                words = ast.unparse(node.exc)
                if words.split("(")[0] not in INTERNAL:
                    yield str(path), range(node.lineno, (node.end_lineno or node.lineno) + 1), words


def raised_at(error: BaseException | None) -> Iterator[tuple[str, int]]:
    """Where an error, and those it came from, were raised."""
    while error is not None:
        trace: types.TracebackType | None = error.__traceback__
        while trace is not None:
            yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def test_no_error_of_the_engine_is_missing_from_the_page() -> None:
    met = {place for code, message in PIECES if message for place in raised_at(run(code))}
    missing = [f"{Path(file).name}:{lines[0]}: {words}" for file, lines, words in raises()
               if not any((file, line) in met for line in lines)]
    assert not missing, "errors that docs/errors.md does not show:\n" + "\n".join(missing)


def test_the_page_that_is_compared_is_not_empty() -> None:
    assert sum(bool(message) for _, message in PIECES) > 60
    assert sum(not message for _, message in PIECES) > 20
    assert said(run("1 / 0")) == "ZeroDivisionError: division by zero\n"
    assert run("x = 1") is None


# ------------------------------------------------------------------------------------------------ README.md
def test_every_extra_is_installed_in_place() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    extras = re.findall(r'(.{3})"\.\[([\w,]+)\]"', page)
    assert len(extras) > 8
    assert {before for before, _ in extras} == {"-e "}, "else a copy takes the place of this folder"
    known = (ROOT / "setup.cfg").read_text(encoding="utf-8").split("[options.extras_require]")[1]
    assert all(re.search(rf"^{name} =", known, re.MULTILINE) for _, names in extras for name in names.split(","))


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run a page in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_page(page: Path, **instead: str) -> dict[str, Any]:
    """Run the code of a page from top to bottom, some of its words replaced. Returns its names."""
    code = "\n".join(code for code, _ in blocks(page))
    for old, new in instead.items():
        assert code.count(old) == 1
        code = code.replace(old, new)
    names: dict[str, Any] = {}
    exec(compile(code, page.name, "exec"), names)
    saved = set(re.findall(r'"([\w.]+\.(?:svg|html|safetensors))"', code))
    assert {path.name for path in Path.cwd().iterdir()} == saved, "what the page says that it saves"
    return names


def test_the_code_of_readme_runs_from_top_to_bottom(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_page(ROOT / "README.md")
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert blocks(ROOT / "README.md")[0][0] in (ROOT / "demos" / "first.py").read_text(encoding="utf-8")
    verdict, gradient = capsys.readouterr().out.strip().split("\n")
    assert verdict == names["comparison"].verdict
    assert f"print(w.grad)               # {gradient}: the sum over three steps" in page
    for name, left in (("tanh RNN", 1e-13), ("LSTM", 1e-4), ("LSTM, forget bias 3", 1.0)):  # what its picture says
        profile = names["viz"].gradient_flow(names["losses"][name]).profile()
        assert profile.lags == tuple(range(50))
        assert -0.5 < np.log10(profile.norms[49] / profile.norms[0] / left) < 0.5


def test_readme_is_short() -> None:
    words = re.findall(r"\w\w+", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(words) < 1100


def test_the_page_of_training_runs_and_the_net_learns(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("safetensors", "tqdm"):
        pytest.importorskip(module)
    names = run_page(ROOT / "docs" / "training.md", **{"batches, 60, bar=": "batches, 2, bar="})
    assert float(capsys.readouterr().out.split()[0]) < 0.1, "fifty updates taught the net nothing"
    assert len(names["history"].losses) == 2
    assert names["torch_weights"]["weight_hh_l1"].shape == (256, 64)


def test_the_page_of_pictures_runs(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_page(ROOT / "docs" / "pictures.md")
    assert capsys.readouterr().out.strip() == str(names["flow"].horizon()) == "≥ 19"


# ------------------------------------------------------------------------------------------------ edges.md
def rows() -> list[list[str]]:
    """The cells of every table row on the page of edges, less the headings."""
    lines = [line for line in EDGES.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_gradient_in_the_tables_of_edges_is_the_one_taken(row: list[str]) -> None:
    code, at, taken = (cell.strip("`") for cell in row[:3])
    points = eval(f"({at},)", {"inf": np.inf})
    f = eval(f"lambda {', '.join('xy'[: len(points)])}: {code}", {**vars(mg), "inf": np.inf})
    expected = eval(f"({taken},)", {"inf": np.inf})
    kinds: list[Any] = [mg.Tensor] if isinstance(points[0], list) else [mg.Tensor, mg.Value]
    with np.errstate(all="ignore"):
        for make in kinds:
            leaves = [make(x) for x in points]
            for create_graph in (False, True):
                gradients = mg.grad(f(*leaves), leaves, create_graph=create_graph)
                for g, e in zip(gradients, expected, strict=True):
                    np.testing.assert_allclose(np.asarray(plain(g)), e, rtol=1e-15)


@pytest.mark.parametrize("name", ["sign", "floor", "ceil", "round"])
def test_what_is_flat_everywhere_sends_no_message_as_the_page_of_edges_says(name: str) -> None:
    sent: list[Any] = []
    for make, left in ((mg.Tensor, None), (mg.Value, 0.0)):
        x = make(2.5)
        mg.backward(getattr(mg, name)(x), observe=lambda *message: sent.append(message))
        assert not sent
        assert x.grad == left
    assert f"`{name}`" in EDGES.read_text(encoding="utf-8").split("sends no message at all")[0].splitlines()[-1]


def test_every_choice_in_the_docstring_of_the_rules_is_on_the_page_of_edges() -> None:
    text = " ".join(cell for row in rows() for cell in row)
    for name in ("relu", "abs", "sign", "maximum", "minimum", "clip", "floor", "ceil", "round", "sqrt", "log", "norm",
                 "std", "var", "max", "min", "prod", "**"):
        assert f"{name}(" in text or name in text, name
    assert len(rows()) >= 24


def write() -> None:
    """The messages as they are now, into the page."""
    page = ERRORS.read_text(encoding="utf-8")
    pieces = BLOCK.sub(lambda m: f"```python\n{m[1]}```\n" + (f"```text\n{said(run(m[1]))}```\n" if m[2] else ""), page)
    ERRORS.write_text(pieces, encoding="utf-8")


if __name__ == "__main__":
    write()
