"""The command line of the lessons: see the package."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from demos.lesson import Parser, progress
from microgradrnn.files import write_whole
from microgradrnn.terminal import command

FOLDER = Path(__file__).parent
LANGUAGES = {"en": ".", "zh": "zh"}  # the folder of each, beside this file and below --out
TITLE = re.compile(r"^# # (.+)$", re.MULTILINE)


def lessons(language: str) -> dict[int, Path]:
    """The files of all lessons that there are in a language, by number."""
    files = sorted((FOLDER / LANGUAGES[language]).glob("lesson_[0-9]*.py"))
    return {int(path.stem.split("_")[1]): path for path in files}


LESSONS = lessons("en")


def title(path: Path) -> str:
    """The first heading of a lesson."""
    found = TITLE.search(path.read_text(encoding="utf-8"))
    assert found is not None, f"{path.name} has no heading"
    return found[1]


def lesson_number(words: str) -> int:
    """The number of a lesson."""
    if not words.isdecimal() or int(words) not in LESSONS:
        raise argparse.ArgumentTypeError(f"expected the number of a lesson, 1 to {max(LESSONS)}, got {words!r}")
    return int(words)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m demos.lessons", description="Nine lessons on recurrent nets, as pages or as notebooks.")
    p.add_argument("lessons", nargs="*", type=lesson_number, metavar="NUMBER",
                   help="which to run; without any, the list is printed")
    p.add_argument("--language", choices=LANGUAGES, default="en",
                   help="en: English, all lessons; zh: Chinese, some of them")
    p.add_argument("--out", type=Path, default=Path("out/lessons"), metavar="FOLDER", help="where the pages go")
    p.add_argument("--notebook", action="store_true", help="write the notebook (.ipynb) beside the page, too")
    return p


def execute(path: Path, out: Path, notebook: bool, language: str = "en") -> Path:
    """Run a lesson in a kernel of its own and write it as HTML. Returns the path of the page.

    Raises:
        SystemExit: if a package of the extra ``notebook`` is missing.
        nbclient.exceptions.CellExecutionError: if a cell of the lesson raises.
    """
    if missing := [name for name in ("jupytext", "nbclient", "nbconvert", "ipykernel") if find_spec(name) is None]:
        raise SystemExit(f'the lessons need {", ".join(missing)}: pip install -e ".[notebook]"')
    import jupytext
    import nbclient
    import nbconvert

    book = jupytext.read(path)
    bar = progress(sum(cell.cell_type == "code" for cell in book.cells), path.stem)
    with bar:
        nbclient.NotebookClient(book, timeout=600, kernel_name="python3",  # the folder in which `demos` is found
                                resources={"metadata": {"path": str(FOLDER.parent.parent)}},
                                on_cell_executed=lambda **_: bar.update()).execute()
    page, _ = nbconvert.HTMLExporter(language_code=language).from_notebook_node(book)
    write_whole(out / f"{path.stem}.html", page)
    if notebook:
        write_whole(out / f"{path.stem}.ipynb", jupytext.writes(book, fmt="ipynb"))
    return out / f"{path.stem}.html"


@command
def main(argv: Sequence[str] | None = None) -> int:
    """List the lessons, or run some. Returns the exit status."""
    p = parser()
    options = p.parse_args(argv)
    found = lessons(options.language)
    if missing := [number for number in options.lessons if number not in found]:
        p.error(f"no lesson {missing[0]} in the language {options.language}, only {', '.join(map(str, found))}")
    if not options.lessons:
        for number, path in found.items():
            print(f"{number}  {title(path)}")
    out = options.out / LANGUAGES[options.language]
    out.mkdir(parents=True, exist_ok=True)
    for number in options.lessons:
        print(execute(found[number], out, options.notebook, options.language))
    return 0


if __name__ == "__main__":
    sys.exit(main())
