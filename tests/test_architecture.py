"""The direction of dependency, and other promises that only reading the source can keep."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import microgradrnn
import viz

ROOT = Path(__file__).parent.parent

# For each room, the rooms it may import from; the first that fits a module's name counts.
ALLOWED = {
    "microgradrnn.engine": ("microgradrnn.engine",),
    "microgradrnn.compiler": ("microgradrnn.engine", "microgradrnn.compiler"),
    "microgradrnn.nn": ("microgradrnn.engine", "microgradrnn.compiler", "microgradrnn.nn"),
    "microgradrnn.optim": ("microgradrnn.engine", "microgradrnn.nn", "microgradrnn.optim"),
    "microgradrnn.data": ("microgradrnn.engine", "microgradrnn.nn", "microgradrnn.data"),
    "microgradrnn.files": ("microgradrnn.files",),
    "microgradrnn.terminal": ("microgradrnn.files",),
    "microgradrnn.io": ("microgradrnn.engine", "microgradrnn.nn", "microgradrnn.io", "microgradrnn.files"),
    "microgradrnn": ("microgradrnn",),
    **{f"viz.{leaf}": (f"viz.{leaf}",) for leaf in ("errors", "numbers", "theme", "typography")},
    "viz.scale": ("viz.scale", "viz.theme", "viz.errors"),
    "viz.graph": ("microgradrnn.engine", "microgradrnn.files", "viz.graph", "viz.errors"),
    "viz.flow": ("microgradrnn.engine", "microgradrnn.files", "viz.flow", "viz.graph", "viz.errors", "viz.progress",
                 "viz.numbers"),
    "viz.folding": ("microgradrnn.engine", "viz.folding", "viz.graph", "viz.flow.messages"),
    "viz.layout": ("viz.layout", "viz.graph", "viz.flow.messages", "viz.numbers", "viz.theme", "viz.typography"),
    "viz.scene": ("viz.scene", "viz.layout", "viz.graph.cells", "viz.numbers", "viz.scale", "viz.theme",
                  "viz.typography"),
    "viz.render": ("viz.render", "viz.scene", "viz.layout.geometry", "viz.theme", "viz.typography", "viz.errors",
                   "viz.progress", "microgradrnn.files"),
    "viz.explorer": ("microgradrnn.engine", "microgradrnn.compiler", "viz"),
    "viz": ("microgradrnn.engine", "microgradrnn.files", "microgradrnn.terminal", "viz"),
}
OURS = ("microgradrnn", "viz", "demos", "tests", "benchmarks")
HEAVY = ("matplotlib", "networkx", "graphviz", "scipy", "torch", "tqdm", "pandas", "IPython", "safetensors")


def inside(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def imports(source: str, module: str, is_package: bool) -> set[str]:
    """Every module that a source imports, anywhere in it; `from a import b` is a.b where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            found |= {f"{base}.{a.name}" if is_module(f"{base}.{a.name}") else base for a in node.names}
    return found


def broken(module: str, imported: set[str]) -> set[str]:
    """What this module imports and may not."""
    room = next((room for room in ALLOWED if inside(module, room)), None)
    if room is None:
        return set()
    own = {name for name in imported if name.split(".")[0] in OURS}
    return {name for name in own if not any(inside(name, ok) for ok in ALLOWED[room])}


def sources() -> list[tuple[str, Path]]:
    found = []
    for path in sorted([*ROOT.glob("microgradrnn/**/*.py"), *ROOT.glob("viz/**/*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), sources(), ids=[module for module, _ in sources()])
def test_imports_point_only_downwards(module: str, path: Path) -> None:
    wrong = broken(module, imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"))
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("microgradrnn.engine.backward", "from microgradrnn import nn"),
        ("microgradrnn.engine.backward", "from microgradrnn import Value"),
        ("microgradrnn.engine.rules.linalg", "from ...nn import cells"),
        ("microgradrnn.engine.node", "def f():\n    import microgradrnn.optim"),
        ("microgradrnn.nn.cells", "from microgradrnn.optim.clip import clip_grad_norm"),
        ("microgradrnn.nn.cells", "from .. import optim"),
        ("microgradrnn.optim.clip", "import viz.graph.trace"),
        ("microgradrnn", "import tests"),
        ("viz.graph.trace", "from microgradrnn.nn import LSTM"),
        ("viz.graph.trace", "import demos"),
        ("viz.flow.ways", "from viz.pictures.ways import draw_ways"),
        ("viz.flow.compare", "from viz.plots import curves"),
        ("viz.flow.compare", "from viz.scale import Scale"),
        ("viz.flow.cuts", "from viz.explorer.explore import explore"),
        ("viz.graph.recorded", "from microgradrnn.compiler.javascript import javascript"),
    ],
)
def test_an_import_that_points_upwards_is_found(module: str, source: str) -> None:
    assert broken(module, imports(source, module, is_package=module == "microgradrnn"))


def test_the_walk_reaches_every_room() -> None:
    modules = [module for module, _ in sources()]
    for room in ("microgradrnn.engine.rules", "microgradrnn.nn", "microgradrnn.optim", "microgradrnn.data", "viz"):
        assert any(inside(module, room) for module in modules)


def test_markup_is_written_in_one_room_only() -> None:
    """Outside viz/render no string of viz holds an element of SVG or HTML; docstrings may mention them."""
    element = re.compile(r"</?(svg|g|rect|circle|path|text|tspan|line|title|desc|use|defs|style|animate)\b[^>]*>?")
    found = []
    for module, path in sources():
        if not module.startswith("viz") or module.startswith("viz.render"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.body[0].value) for node in ast.walk(tree)
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
                and isinstance(node.body[0], ast.Expr)}
        found += [f"{path.name}:{node.lineno}: {node.value[:50]!r}" for node in ast.walk(tree)
                  if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
                  and element.search(node.value)]
    assert not found


def test_importing_the_library_loads_nothing_heavy() -> None:
    program = f"import sys, microgradrnn; print([m for m in {HEAVY!r} if m in sys.modules], 'numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] True"


def modules() -> list[ModuleType]:
    found = [importlib.import_module(info.name)
             for package in (microgradrnn, viz)
             for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.") if "__main__" not in info.name]
    return [microgradrnn, viz, *found]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_examples_in_docstrings_run(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_there_are_examples_to_run() -> None:
    assert sum(doctest.testmod(module).attempted for module in modules()) > 40


def public(module: ModuleType) -> list[tuple[str, Any]]:
    """Functions and classes defined in a module, and the methods of those classes, that start with no underscore."""
    found = []
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            found.append((f"{module.__name__}.{name}", thing))
        elif inspect.isclass(thing):
            found.append((f"{module.__name__}.{name}", thing))
            for attribute, member in vars(thing).items():
                if not attribute.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    found.append((f"{module.__name__}.{name}.{attribute}", member))
    return found


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_every_module_and_every_public_thing_in_it_has_a_docstring(module: ModuleType) -> None:
    assert (module.__doc__ or "").strip(), f"{module.__name__} says nothing of itself"
    bare = [name for name, thing in public(module) if not (thing.__doc__ or "").strip()]
    assert not bare, f"without a docstring: {', '.join(bare)}"


def test_everything_the_library_offers_has_a_docstring_and_exists() -> None:
    assert sorted(microgradrnn.__all__, key=str) == sorted(set(microgradrnn.__all__))
    for name in microgradrnn.__all__:
        assert (getattr(microgradrnn, name).__doc__ or "").strip(), name
