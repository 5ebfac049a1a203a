"""How much there is to read: lines of code in the engine, without blanks, comments and docstrings."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import microgradrnn
from benchmarks.measure import Row
from microgradrnn.engine.backward import reverse


def code_lines(source: str) -> int:
    """Lines that hold code: an empty module has none, whatever it says of itself."""
    tree = ast.parse(source)
    text = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = source.splitlines()
    return sum(k not in text and bool(line.split("#")[0].strip()) for k, line in enumerate(lines, start=1))


def rows() -> Iterator[Row]:
    """One row a file, and the sum."""
    engine = Path(microgradrnn.__file__).parent / "engine"
    total = 0
    for path in sorted(engine.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        total += code_lines(source)
        name = path.relative_to(engine).as_posix()
        yield Row(f"engine/{name}", f"{code_lines(source)} code", f"{len(source.splitlines())} in all")
    yield Row("engine, all files", f"{total} code")
    lines = code_lines(inspect.getsource(reverse))
    yield Row("the reverse loop, its signature included", f"{lines} code", "35", float(lines), bar=35.0)
