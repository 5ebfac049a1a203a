"""Links to Python files of the repository lead to pages that show them.

A guide links to ``../microgradrnn/engine/backward.py``, which GitHub shows. On the site, the link leads to the page
``source/microgradrnn/engine/backward.html``; every file that is linked has one. Names that a file defines at its top
level are anchors there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).parents[2]
BODY = '<div class="source"><h1>{}</h1>\n{}</div>'


def page_of(path: Path) -> str:
    """The name of the page that shows a file."""
    return f"source/{path.relative_to(ROOT).with_suffix('').as_posix()}"


def defined(code: str) -> dict[str, int]:
    r"""The line, from 1 up, where each name of the top level is defined.

    >>> defined("x = 1\n@cached\ndef f(): ...")
    {'x': 1, 'f': 2}
    """
    lines = {}
    for node in ast.parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            lines[node.name] = min([node.lineno, *(above.lineno for above in node.decorator_list)])
        elif isinstance(node, ast.Assign):
            lines.update({target.id: node.lineno for target in node.targets if isinstance(target, ast.Name)})
    return lines


def linked(app: Sphinx, doctree: nodes.document) -> None:
    """Let the links of a page to Python files lead to their pages, and remember the files."""
    name = app.env.docname
    for link in list(doctree.findall(addnodes.pending_xref)):
        path = file_of(app, link)
        if path is not None and path.is_file() and not path.is_relative_to(app.srcdir):
            shown(app.env, name, path)
            uri = app.builder.get_relative_uri(name, page_of(path))
            link.replace_self(nodes.reference("", "", *link.children, refuri=uri))


def file_of(app: Sphinx, link: nodes.Element) -> Path | None:
    """The Python file that a link leads to. MyST takes it for a page, because lessons are Python files."""
    if link.get("refdomain") == "doc":
        return Path(app.srcdir, f"{link['reftarget']}.py")
    return None


def shown(env: BuildEnvironment, page: str, path: Path) -> None:
    """A page needs the page of this file."""
    files_of(env).setdefault(page, set()).add(path)


def files_of(env: BuildEnvironment) -> dict[str, set[Path]]:
    """For each page, the files that it links; kept between builds."""
    if not hasattr(env, "linked_files"):
        env.linked_files = {}  # type: ignore[attr-defined]
    return env.linked_files  # type: ignore[attr-defined]


def forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    """A page is read again, or is no more."""
    files_of(env).pop(page, None)


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages of all linked files."""
    for path in sorted(set().union(*files_of(app.env).values())):
        name, code = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        lines = app.builder.highlighter.highlight_block(code, "python").splitlines()  # type: ignore[attr-defined]
        for what, number in defined(code).items():
            before, pre, line = lines[number - 1].rpartition("<pre>")  # the first line opens the block
            lines[number - 1] = f'{before}{pre}<span id="{escape(what)}"></span>{line}'
        yield page_of(path), {"title": name, "body": BODY.format(escape(name), "\n".join(lines))}, "page.html"


class Source(SphinxRole):
    """``:source:`file#name` ``: a link to where a name is defined."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        file, _, name = self.text.partition("#")
        page = self.env.docname
        shown(self.env, page, ROOT / file)
        uri = self.env.app.builder.get_relative_uri(page, page_of(ROOT / file))
        anchor = f"#{name}" * (name in defined((ROOT / file).read_text(encoding="utf-8")))
        return [nodes.reference("", file, refuri=uri + anchor)], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx; before it collects the files that are offered for download."""
    app.add_role("source", Source())
    app.connect("doctree-read", linked, priority=400)
    app.connect("env-purge-doc", forget)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": False, "version": "1"}
