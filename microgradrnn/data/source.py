"""Real text, labels and trees with no download: the source code of Python's own standard library."""

from __future__ import annotations

import ast
import importlib.util
import io
import keyword
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from microgradrnn.data.checks import need_text

MODULES = (
    "argparse", "ast", "base64", "calendar", "cmd", "codecs", "configparser", "contextlib", "copy", "csv",
    "dataclasses", "datetime", "difflib", "doctest", "enum", "fractions", "functools", "gettext", "heapq", "imaplib",
    "inspect", "ipaddress", "locale", "mailbox", "optparse", "pathlib", "pickle", "pprint", "queue", "random",
    "shlex", "shutil", "socket", "statistics", "string", "subprocess", "tarfile", "textwrap", "threading", "typing",
)  # fmt: skip

LABELS = ("space", "name", "keyword", "number", "string", "operator", "comment")


def standard_library(modules: Sequence[str] = MODULES) -> list[str]:
    """The source of modules of the running interpreter, one string each; those that are not there are left out.

    Raises:
        TypeError: if modules is a string, which would be taken for a list of letters.
        FileNotFoundError: if none of them is there as a file of Python.

    >>> "def heappush(" in standard_library(["heapq"])[0]
    True
    """
    if isinstance(modules, str):
        raise TypeError(f"standard_library: modules is a list of names, got a string; say [{modules!r}]")
    texts = []
    for name in modules:
        try:
            spec = importlib.util.find_spec(name)
        except (ModuleNotFoundError, ValueError):  # the package that it is in is not there either
            continue
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            texts.append(Path(spec.origin).read_text(encoding="utf-8", errors="replace"))
    if not texts:
        raise FileNotFoundError(
            f"standard_library: none of {', '.join(modules) or 'no modules'} has a file of Python source here; some "
            "modules are written in C, and some Pythons come without the source of their standard library"
        )
    return texts


def token_labels(source: str) -> np.ndarray:
    """For each character of Python source, the kind of token that it is part of: an index into `LABELS`.

    Which it is often shows only later: an opening quote says "string", but ``is`` in ``isinstance`` is no keyword.
    White space between tokens, and everything that is in no token, is "space".

    Raises:
        SyntaxError: if it is no Python.

    >>> [LABELS[k] for k in token_labels("if x:  # so")]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['keyword', 'keyword', 'space', 'name', 'operator', 'space', 'space', 'comment', 'comment', 'comment', 'comment']
    """
    need_text("token_labels", source)
    kinds = {tokenize.NUMBER: "number", tokenize.STRING: "string", tokenize.OP: "operator",
             tokenize.COMMENT: "comment"}
    kinds |= {number: "string" for number, name in tokenize.tok_name.items() if name.startswith("FSTRING")}
    labels = np.zeros(len(source), dtype=np.int64)
    starts = np.cumsum([0, *map(len, io.StringIO(source, newline=""))])  # lines as tokenize counts them
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source, newline="").readline))
    except tokenize.TokenError as error:
        raise SyntaxError(f"token_labels: {error.args[0]}, line {error.args[1][0]}") from None
    for token in tokens:
        kind = kinds.get(token.type)
        if token.type == tokenize.NAME:
            kind = "keyword" if keyword.iskeyword(token.string) else "name"
        if kind is not None:
            (line, column), (last_line, last_column) = token.start, token.end
            labels[starts[line - 1] + column : starts[last_line - 1] + last_column] = LABELS.index(kind)
    return labels


def syntax_tree(source: str) -> Any:
    """The syntax tree of Python source as nested tuples of words, as `microgradrnn.nn.recurse` reads them.

    A node is the tuple of its type's name and its children, in order; one without children is the name alone.

    Raises:
        SyntaxError: if it is no Python.

    >>> syntax_tree("f(x)")
    ('Module', ('Expr', ('Call', ('Name', 'Load'), ('Name', 'Load'))))
    """
    need_text("syntax_tree", source)
    return as_tuples(ast.parse(source))


def as_tuples(root: ast.AST) -> Any:
    """One node of `ast`, and all below it. (No recursion: a long sum is deeper than Python's limit.)"""
    nodes = [root]
    for node in nodes:  # it grows meanwhile: every node stands before its children
        nodes.extend(ast.iter_child_nodes(node))
    made: dict[ast.AST, Any] = {}
    for node in reversed(nodes):
        children = [made[child] for child in ast.iter_child_nodes(node)]
        made[node] = (type(node).__name__, *children) if children else type(node).__name__
    return made[root]


def functions(source: str) -> list[str]:
    r"""The source of every function at the top level of Python source, with its decorators.

    Raises:
        SyntaxError: if it is no Python.

    >>> functions("x = 1\n@cache\ndef f():\n    return x\n")
    ['@cache\ndef f():\n    return x']
    """
    need_text("functions", source)
    found = []
    lines = io.StringIO(source, newline=None).readlines()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.decorator_list:  # Python counts them out, and a decorator in brackets starts below its @
                node.lineno, node.col_offset = node.decorator_list[0].lineno, 0
                while not lines[node.lineno - 1].startswith("@"):
                    node.lineno -= 1
            found.append(ast.get_source_segment(source, node) or "")
    return found
