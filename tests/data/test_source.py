"""The standard library as text, labels and trees, and dates."""

from __future__ import annotations

import ast
import re
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from microgradrnn import nn
from microgradrnn.data import LABELS, Vocabulary, dates, functions, standard_library, syntax_tree, token_labels
from microgradrnn.data.dates import FORMATS, MONTHS, held_out, written
from microgradrnn.data.source import as_tuples


def named(source: str) -> list[tuple[str, str]]:
    """Stretches of one label, with their text."""
    labels, found = token_labels(source), []
    cuts = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(source)]
    for a, b in pairwise(cuts):
        found.append((LABELS[labels[a]], source[a:b]))
    return found


def test_every_character_gets_the_kind_of_its_token() -> None:
    source = 'def f(x):\n    """Doc\n    string."""\n    return x + 1.5  # why\n'
    assert [(kind, text) for kind, text in named(source) if kind != "space"] == [
        ("keyword", "def"), ("name", "f"), ("operator", "("), ("name", "x"), ("operator", "):"),
        ("string", '"""Doc\n    string."""'), ("keyword", "return"), ("name", "x"), ("operator", "+"),
        ("number", "1.5"), ("comment", "# why"),
    ]


def test_a_whole_formatted_string_is_a_string_up_to_its_braces() -> None:
    kinds = dict(reversed(named("s = f'a{x}b'")))
    assert kinds["string"] in ("f'a", "f'a{x}b'")  # from Python 3.12 on, the expression inside is tokens of its own


@pytest.mark.parametrize("name", ["heapq", "textwrap", "statistics", "tarfile", "string"])
def test_labels_fit_real_source(name: str) -> None:
    (source,) = standard_library([name])
    labels = token_labels(source)
    assert len(labels) == len(source)
    for match in re.finditer(r"^(def|class) (\w+)", source, re.MULTILINE):
        at = {LABELS[k] for k in labels[match.start(1) : match.end(1)]}
        assert at in ({"keyword"}, {"string"})  # some stand in docstrings
    outside = np.array(list(source))[labels == 0]
    assert set(outside) <= set(" \n\t\f\\"), "all else is in some token"


@pytest.mark.parametrize("source", ["'''", "(", "x = ("])
def test_what_is_no_python_is_refused(source: str) -> None:
    with pytest.raises(SyntaxError, match="token_labels"):
        token_labels(source)


def leaves(tree: Any) -> list[str]:
    return [tree] if isinstance(tree, str) else [leaf for part in tree for leaf in leaves(part)]


@pytest.mark.parametrize("name", ["heapq", "textwrap"])
def test_a_tree_has_a_leaf_for_every_node_of_the_syntax_in_order(name: str) -> None:
    (source,) = standard_library([name])

    def preorder(node: ast.AST) -> list[str]:
        return [type(node).__name__, *(n for child in ast.iter_child_nodes(node) for n in preorder(child))]

    for text in functions(source)[:10]:
        assert leaves(syntax_tree(text)) == preorder(ast.parse(text))


def test_a_tree_net_reads_the_trees_of_real_source() -> None:
    (source,) = standard_library(["heapq"])
    trees = [syntax_tree(text) for text in functions(source)]
    words = Vocabulary(sorted({leaf for tree in trees for leaf in leaves(tree)}))
    rows, cell = nn.Embedding(len(words), 4, rng=0), nn.TreeCell(4, rng=1)
    root = nn.recurse(cell, trees[0], leaf=lambda name: rows(words.number[name]))
    root.sum().backward()
    used = sorted({words.number[name] for name in leaves(trees[0])})
    assert np.flatnonzero(abs(rows.E.grad).sum(axis=1)).tolist() == used


def test_lines_end_where_tokenize_says_and_not_at_other_separators() -> None:
    source = "a = 'x\u2028y\x1cz'\r\n\x0c\nb = 1\n"
    assert [pair for pair in named(source) if pair[0] != "space"] == [
        ("name", "a"), ("operator", "="), ("string", "'x\u2028y\x1cz'"), ("name", "b"), ("operator", "="),
        ("number", "1"),
    ]


def test_functions_are_source_that_parses() -> None:
    (source,) = standard_library(["heapq"])
    assert len(functions(source)) > 5
    for text in functions(source):
        assert isinstance(ast.parse(text).body[0], ast.FunctionDef)


def test_a_function_comes_with_its_decorators() -> None:
    source = (
        "x = (1\n@ 2)\n\n# why\n@cache\n@(\n    lambda f: f\n)  # so\ndef f(ä='é'):\n    return 'ü'\n\n"
        "@wrap(\n    1)\nasync def g(): pass\n\nclass A:\n    @property\n    def h(self): pass\n"
    )
    assert functions(source) == [
        "@cache\n@(\n    lambda f: f\n)  # so\ndef f(ä='é'):\n    return 'ü'", "@wrap(\n    1)\nasync def g(): pass",
    ]
    for name in ("contextlib", "functools", "enum"):
        (source,) = standard_library([name])
        ours = [ast.dump(ast.parse(text).body[0]) for text in functions(source)]
        assert ours == [ast.dump(node) for node in ast.parse(source).body
                        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_what_is_no_string_is_refused() -> None:
    for f in (functions, token_labels, syntax_tree):
        with pytest.raises(TypeError, match=f"{f.__name__}: expected a string, got bytes"):
            f(b"x = 1")
    with pytest.raises(TypeError, match=r"say \['heapq'\]"):
        standard_library("heapq")


def test_modules_that_are_not_there_are_left_out() -> None:
    assert len(standard_library(["heapq", "no_such_module", "sys"])) == 1
    with pytest.raises(FileNotFoundError, match=r"none of sys has a file of Python source.*without the source"):
        standard_library(["sys"])


def test_every_format_says_its_date() -> None:
    by_strptime = ("%d %B %Y", "%B %d, %Y", "%d.%m.%Y", "%m/%d/%Y", "%A, %d %B %Y", "%b %d %Y", "%d-%b-%Y", "%d %b %Y")
    d = date(2024, 2, 9)
    if datetime(2024, 2, 9).strftime("%B") not in MONTHS:
        pytest.skip("strptime speaks another language here")
    for form, how in zip(FORMATS, by_strptime, strict=True):
        assert datetime.strptime(written(d, form), how).date() == d


def test_dates_come_in_all_formats_and_a_tenth_of_the_days_is_held_out() -> None:
    pairs = dates(5000, np.random.default_rng(0))
    for said, iso in pairs:
        assert said in {written(date.fromisoformat(iso), form) for form in FORMATS}
    assert {iso[:4] for _, iso in pairs} == {str(year) for year in range(1900, 2100)}
    assert np.mean([held_out(iso) for _, iso in pairs]) == pytest.approx(0.1, abs=0.015)
    with pytest.raises(ValueError, match="n must be at least 1"):
        dates(0, np.random.default_rng(0))
    assert dates(5, 3) == dates(5, np.random.default_rng(3))


def test_a_tree_may_be_deeper_than_pythons_limit() -> None:
    deep = ast.parse("x")
    statement: Any = deep.body[0]
    for _ in range(5000):
        statement.value = ast.UnaryOp(ast.Not(), statement.value)
    module = as_tuples(deep)
    assert nn.recurse(lambda a, b: a + b, module, leaf=lambda word: 1) == 2 + 2 * 5000 + 2
    assert nn.recurse(lambda a, b: b, module) == "Load"


def test_a_module_of_a_package_that_is_not_there_is_left_out() -> None:
    assert standard_library(["no_such_package.module", "heapq"]) == standard_library(["heapq"])
