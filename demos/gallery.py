"""The gallery: every kind of picture of this project, each with the few lines that made it.

``python -m demos.gallery`` makes docs/gallery/*.svg and docs/gallery.md. The code that stands on the page is the code
that was run, and every caption is checked: numbers in it come from the picture's own data, and what it says in words
is asserted before it is written.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

from demos.charts import titled
from demos.lesson import Parser, progress
from microgradrnn.files import write_whole
from microgradrnn.terminal import command
from viz.plots.curves import as_svg
from viz.theme import set_theme

DOCS = Path(__file__).parent.parent / "docs"
INTRODUCTION = """\
# Gallery

Every kind of picture that this project draws. The lines below each picture made it, in a Python that was started in the
repository's folder (`demos` is found only there), after

```python
{prelude}
```

`make gallery` makes all of them again. The numbers in the captions are computed from the data of the picture, and what
a caption says in words is asserted by the program that writes it.
"""
PRELUDE = """\
import networkx as nx
import numpy as np
import viz
from microgradrnn import Tensor, Value, concat, jacobian, mark, optim, scope, sigmoid, softmax, tanh
from microgradrnn import nn
from microgradrnn.nn import scalar
from demos import charts
viz.set_theme(page=830)  # as wide as a column of text"""


@dataclass(frozen=True)
class Entry:
    """One picture.

    Attributes:
        name: of the file.
        title: what it shows; of a claim, the claim.
        caption: one sentence on what one sees; ``{n}`` is filled in.
        code: what makes it; the value of the last line is the picture.
        check: run after that: works out what the caption needs, and asserts what it says.
        needs: a package that is no part of the extra ``demo``.
    """

    name: str
    title: str
    caption: str
    code: str
    check: str = ""
    needs: str = ""


@dataclass(frozen=True)
class Made:
    """A picture that was made: SVG, and the caption with its numbers."""

    entry: Entry
    svg: str
    caption: str


def make(entry: Entry) -> Made:
    """Run the code of an entry, then its check.

    Raises:
        AssertionError: if the data do not support the caption.
    """
    names: dict[str, Any] = {}
    body = ast.parse(dedent(entry.code)).body
    last = body.pop()
    assert isinstance(last, ast.Expr), f"{entry.name}: the last line is the picture"
    try:
        exec(PRELUDE, names)
        exec(compile(ast.Module(body, []), entry.name, "exec"), names)
        names["picture"] = eval(compile(ast.Expression(last.value), entry.name, "eval"), names)
        exec(compile(dedent(entry.check), f"check of {entry.name}", "exec"), names)
        return Made(entry, svg_of(names["picture"], entry.title), entry.caption.format_map(names))
    finally:
        set_theme()


def svg_of(picture: Any, title: str) -> str:
    """The text of a drawing, of a graph that can paint itself, or of the Axes of matplotlib, which get a title."""
    picture = getattr(picture, "drawing", picture)
    if hasattr(picture, "svg"):
        return str(picture.svg)
    if not picture.get_title(loc="left"):
        titled(picture, title)
    svg = as_svg(picture)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg"):], flags=re.DOTALL)  # which version made it
    return re.sub(r'width="([\d.]+)pt" height="([\d.]+)pt"', r'width="\1" height="\2"', svg, count=1)


def page(sections: dict[str, list[Made]]) -> str:
    """The gallery as Markdown."""
    parts = [INTRODUCTION.format(prelude=PRELUDE)]
    for heading, made in sections.items():
        parts.append(f"## {heading}\n")
        for one in made:
            title = one.entry.title
            parts.append(f"### {title}\n\n![{title}](gallery/{one.entry.name}.svg)\n\n{one.caption}\n\n"
                         f"```python\n{dedent(one.entry.code).strip()}\n```\n")
    return "\n".join(parts)


def sections() -> dict[str, list[Entry]]:
    """All entries, by heading."""
    from demos.gallery_claims import CLAIMS
    from demos.gallery_pictures import PICTURES

    return {**PICTURES, "Claims, drawn": CLAIMS}


def write(made: dict[str, list[Made]], docs: Path) -> Iterable[Path]:
    """Write all pictures and the page; pictures that no entry makes any more are removed."""
    folder = docs / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{one.entry.name}.svg": one.svg for group in made.values() for one in group}
    for old in folder.glob("*.svg"):
        if old.name not in wanted:
            old.unlink()
    for name, svg in wanted.items():
        yield write_whole(folder / name, svg)
    yield write_whole(docs / "gallery.md", page(made))


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Make the gallery."""
    parser = Parser(prog="python -m demos.gallery", description="Make every picture of the gallery.")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder to write into (docs)")
    options = parser.parse_args(argv)
    found = sections()
    missing = {one.needs for entries in found.values() for one in entries if one.needs and not find_spec(one.needs)}
    if missing:
        raise SystemExit(f'the gallery needs {", ".join(missing)}: pip install "microgradrnn[demo,bench]"')
    made: dict[str, list[Made]] = {}
    with progress(sum(map(len, found.values())), "gallery") as bar:
        for heading, entries in found.items():
            for entry in entries:
                made.setdefault(heading, []).append(make(entry))
                bar.update()
    files = list(write(made, options.docs))
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files) - 1} pictures, {size / 1e6:.1f} MB, in {options.docs / 'gallery'}; the page is gallery.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
