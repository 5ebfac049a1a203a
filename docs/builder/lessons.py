"""The lessons as pages: copied from demos/lessons into docs/lessons, with a list of them in the order of their numbers.
Those in Chinese are copied into docs/zh/lessons, and docs/zh/index.md lists them.

A lesson is a Python file in jupytext's percent format. MyST-NB runs it and shows what its cells show. What it showed
is kept, and shown again until the lesson or anything that it may import or read has changed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from builder.folders import filled

ROOT = Path(__file__).parents[2]
LESSON = "lesson_[0-9]*.py"  # a draft without a number is not on the site
READ = ("microgradrnn", "viz", "demos")
PASSING = ("node_modules", "__pycache__")
DIGEST = re.compile("[0-9a-f]{16}")
TITLE = re.compile(r"^# # (.+)$", re.MULTILINE)
INDEX = """# Lessons

Each lesson asks a question, lets you guess, and answers with measurements. Below the code of a cell stands what it
showed when this site was built. Exercises have hidden solutions.

{list}

A lesson is a program: `python -m demos.lessons 4` runs the fourth, and Jupyter opens its file as a notebook.

```{{toctree}}
:hidden:

{names}
```
"""


def number(lesson: Path) -> tuple[int, str]:
    """By what lessons are sorted: the number in the name of the file.

    >>> number(Path("lesson_10_sums.py")) > number(Path("lesson_9_products.py"))
    True
    """
    return int(re.search(r"\d+", lesson.stem)[0]), lesson.stem  # type: ignore[index]


def index(lessons: Iterable[Path]) -> str:
    """The page that lists the lessons."""
    titles = {lesson.stem: TITLE.search(lesson.read_text(encoding="utf-8")) for lesson in lessons}
    lines = [f"- [{title[1] if title else name}]({name}.py)" for name, title in titles.items()]
    return INDEX.format(list="\n".join(lines), names="\n".join(titles))


def copied(app: Sphinx, config: Config) -> None:
    """Bring the lessons in, and make the page that lists the English ones."""
    for language in (".", "zh"):
        lessons = sorted((ROOT / "demos" / "lessons" / language).glob(LESSON), key=number)
        wanted = {f"{lesson.stem}.py": lesson.read_text(encoding="utf-8") for lesson in lessons}
        if language == ".":
            wanted["index.md"] = index(lessons)
        filled(Path(app.srcdir, language, "lessons"), wanted, LESSON)


def digest() -> str:
    """A name for the state of everything that a lesson may import or read: code, records, the explorer's page."""
    state = hashlib.sha256()
    for path in sorted(path for package in READ for path in (ROOT / package).rglob("*")):
        name = path.relative_to(ROOT)
        passing = any(part.startswith(".") or part in PASSING for part in name.parts)
        if path.is_file() and not passing and not path.name.startswith("lesson_"):
            state.update(f"{name.as_posix()} {path.stat().st_size} ".encode())
            state.update(path.read_bytes())
    return state.hexdigest()[:16]


def cached(app: Sphinx, config: Config) -> None:
    """Choose the folder for what the cells showed. With another state of the library it is another one.

    The folders of earlier states are removed. Whatever else is beside them is not ours, and stays.
    """
    caches = Path(app.outdir).parent / "cache"
    current = caches / digest()
    for old in caches.glob("*"):
        ours = DIGEST.fullmatch(old.name) and (old / "global.db").is_file() and not old.is_symlink()
        if ours and old != current:
            shutil.rmtree(old)
    config["nb_execution_cache_path"] = str(current)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, before MyST-NB reads its settings."""
    app.connect("config-inited", copied, priority=100)
    app.connect("config-inited", cached, priority=100)
    return {"parallel_read_safe": True, "version": "1"}
