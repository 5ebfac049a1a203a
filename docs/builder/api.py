"""The pages of the public API: one a module or a kind of operation, made from docs/api.md and the docstrings.

docs/api.md says which names are public and where they are defined. From it come the pages in docs/reference/, where
Sphinx puts the docstrings; and on the site, the names in the tables of docs/api.md are links to these pages.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring

from builder.folders import filled
from microgradrnn.engine import Primitive

HEADING = re.compile(r"##+ (?:Operations: )?(.+)")
ROW = re.compile(r"\| `(\w+)` \|.*\]\(\.\./(.+)\) \|")
TOP = "microgradrnn"
OPERATIONS = """
An operation takes numbers, arrays, `Value` and `Tensor` objects. If one of them is a `Value` or a `Tensor`, so is the
result, and it remembers how it was computed; otherwise the operation just computes. Shapes broadcast as in NumPy, and
the gradient of what was broadcast is summed back. Functions of one array are also methods: ``x.tanh()`` is
``tanh(x)``; NumPy's own functions take nodes too: ``np.tanh(x)``.

>>> from microgradrnn import Tensor, tanh
>>> x = Tensor([0.0, 1.0])
>>> tanh(x).sum().backward()
>>> x.grad.round(4)
array([1.  , 0.42])
"""
WITHOUT_A_PAGE = ("microgradrnn.nn.scalar",)  # it stands on that of nn
# Of nodes, what users need; the functions of the tables are methods too, and the rest is for the engine.
NODE = "backward, grad, zero_grad, detach, item, label, register_hook, retain_grad, requires_grad, is_leaf, op, inputs"
MEMBERS = {"Value": NODE, "Tensor": f"data, shape, ndim, size, dtype, T, mT, {NODE}"}


@dataclass
class Section:
    """A table of docs/api.md."""

    title: str
    module: str
    names: dict[str, str] = field(default_factory=dict)  # with the file that defines each

    @property
    def page(self) -> str:
        """The page of its names."""
        return "reference/" + re.sub(r"\W+", "-", self.title.lower())


def sections(index: str) -> list[Section]:
    r"""The tables of docs/api.md.

    >>> sections("## viz\n| `trace` | the graph | [graph/trace.py](../viz/graph/trace.py) |")
    [Section(title='viz', module='viz', names={'trace': 'viz/graph/trace.py'})]
    """
    found: list[Section] = []
    for line in index.splitlines():
        if heading := HEADING.fullmatch(line):
            is_module = line.startswith("## ")
            found.append(Section(heading[1], heading[1] if is_module else TOP))
        elif row := ROW.fullmatch(line):
            found[-1].names[row[1]] = row[2]
    return found


def page(section: Section) -> str:
    """The page of a table, in reStructuredText."""
    module, is_module = importlib.import_module(section.module), section.title == section.module
    title = section.title if is_module else f"Operations: {section.title}"
    lines = [title, "=" * len(title), "", f".. py:{'' if is_module else 'current'}module:: {section.module}", ""]
    lines += introduction(module).splitlines() if is_module else OPERATIONS.splitlines()
    for name, file in section.names.items():
        lines += ["", *entry(section.module, name, getattr(module, name), file)]
    return "\n".join(lines) + "\n"


def introduction(module: ModuleType) -> str:
    """The first paragraph of a module's docstring, without the name of the module that it may begin with."""
    said = (inspect.getdoc(module) or "").split("\n\n")[0].removeprefix(f"{module.__name__}: ")
    return said[:1].upper() + said[1:]


def entry(module: str, name: str, thing: Any, file: str) -> Iterator[str]:
    """One name: signature, docstring, and a link to its source."""
    source = ["", f"   Source: :source:`{file}#{name}`"]
    if isinstance(thing, ModuleType) and thing.__name__ in WITHOUT_A_PAGE:
        yield from [f".. automodule:: {thing.__name__}", "   :members:", *source]
    elif isinstance(thing, ModuleType):
        yield from [f".. py:data:: {name}", "   :no-index:", "", f"   The module :py:mod:`{thing.__name__}`.", *source]
    elif isinstance(thing, Primitive):
        doc = [f"   {line}" for line in GoogleDocstring(inspect.getdoc(thing) or "").lines()]
        yield from [f".. py:function:: {name}({', '.join(operands(thing))})", "", *doc, *source]
    elif isinstance(thing, type):
        yield from [f".. autoclass:: {module}.{name}", f"   :members: {MEMBERS.get(name, '')}",
                    "   :special-members: __call__", *source]
    elif callable(thing):
        yield from [f".. autofunction:: {module}.{name}", *source]
    else:
        yield from [f".. py:data:: {name}", f"   :value: {thing!r:.200}", *source]


def one_attribute_a_line(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Of "state, step: which state, and when" in a docstring Sphinx would make one attribute with a type.

    >>> lines = ["Attributes:", "    a, b: two numbers,", "        both even."]
    >>> one_attribute_a_line(None, "class", "", None, None, lines)
    >>> lines
    ['Attributes:', '    a: two numbers,', '        both even.', '    b: two numbers,', '        both even.']
    """
    if "Attributes:" not in lines:
        return
    start = lines.index("Attributes:") + 1
    end = next((j for j in range(start, len(lines)) if lines[j] and not lines[j].startswith(" ")), len(lines))
    found: list[str] = []
    for item in re.split(r"\n(?=    \S)", "\n".join(lines[start:end])):
        names = re.match(r"    (\w+(?:, \w+)*)(?=: )", item)
        for attribute in names[1].split(", ") if names else [""]:
            found += (f"    {attribute}{item[names.end():]}" if names else item).split("\n")
    lines[start:end] = found


def operands(operation: Primitive) -> list[str]:
    """What an operation from a table takes, as its rules call it."""
    rule = next((rule for rule in operation.vjp if rule is not None), None)
    return list(inspect.signature(rule).parameters)[2:] if rule is not None else ["x"]  # after g and y


def write(app: Sphinx) -> None:
    """Write the pages."""
    wanted = {Path(f"{section.page}.rst").name: page(section) for section in tables(app)}
    filled(Path(app.srcdir, "reference"), wanted, "*.rst")


def tables(app: Sphinx) -> list[Section]:
    """The tables of the index."""
    return sections(Path(app.srcdir, "api.md").read_text(encoding="utf-8"))


def linked(app: Sphinx, doctree: nodes.document) -> None:
    """Let the names in the tables of docs/api.md lead to their pages."""
    if app.env.docname != "api":
        return
    modules = (section.module for section in tables(app) for _ in section.names)
    for row in (row for body in doctree.findall(nodes.tbody) for row in body):
        name = next(row.findall(nodes.literal))
        reference = addnodes.pending_xref(
            "", name.deepcopy(), refdomain="py", reftype="obj", reftarget=f"{next(modules)}.{name.astext()}",
            refdoc="api", refwarn=True)
        name.replace_self(reference)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write)
    app.connect("autodoc-process-docstring", one_attribute_a_line, priority=400)  # before napoleon
    app.connect("doctree-read", linked)
    return {"parallel_read_safe": False, "version": "1"}
