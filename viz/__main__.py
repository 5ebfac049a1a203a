"""The command: draw whatever a function of yours returns.

    python -m viz MODULE:FUNCTION --out net.svg [--kind draw] [--fold step] [--flow] [--steps 0..3] [--theme dark]

FUNCTION is called without arguments and returns a `Value` or a `Tensor`, the loss say (for ``--kind cell``: the cell).
MODULE is as in ``import``, or a file: ``nets.py:loss``.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import networkx as nx

import viz
from microgradrnn.engine import Node

PICTURES = (".svg", ".png", ".pdf")
FILES = {  # for each kind of picture, what it is written as
    "unrolled": PICTURES, "rolled": PICTURES, "folded": PICTURES, "ribbons": PICTURES, "cell": PICTURES,
    "draw": (*PICTURES, ".gv", ".dot"), "frames": (".svg", ".gif", ""), "graph": (".json", ".graphml", ".gv", ".dot"),
}
FOLDS = ("step", "repeat", "module")
THEMES = {"light": viz.Theme(), "dark": viz.DARK}


class TroubleError(Exception):
    """Something the user can put right; its text is all that is printed."""


# ------------------------------------------------------------------------------------------------ the function
def found(where: str) -> Any:
    """The function that ``MODULE:FUNCTION`` names."""
    place, _, name = where.rpartition(":")
    if not place or not name:
        raise TroubleError(f"{where!r}: expected MODULE:FUNCTION, demos.nets:loss say, or FILE.py:FUNCTION")
    module = from_file(Path(place)) if place.endswith(".py") else from_name(place)
    try:
        return getattr(module, name)
    except AttributeError:
        own = [key for key, thing in vars(module).items() if callable(thing) and not key.startswith("_")]
        near = difflib.get_close_matches(name, own)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(own[:8]) or 'no functions'}"
        raise TroubleError(f"{place} has no function {name!r}; {hint}") from None


def from_file(path: Path) -> ModuleType:
    """The module in a file. Files beside it can be imported by it."""
    if not path.is_file():
        raise TroubleError(f"{path}: there is no such file")
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TroubleError(f"{path}: Python cannot import this file")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def from_name(name: str) -> ModuleType:
    """A module by its name, as ``import`` finds it from here."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise TroubleError(f"there is no module {name!r} (looked in {Path.cwd()} and on Python's path; "
                               "for a file write FILE.py:FUNCTION)") from None
        raise


def called(function: Any, where: str) -> Any:
    """What the function returns."""
    if isinstance(function, Node) or not callable(function):
        return function
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise TroubleError(f"{where} needs arguments ({error}); give a function that needs none") from None
    except ValueError:  # built in, and does not say
        pass
    return function()


# ------------------------------------------------------------------------------------------------ the picture
def graph_of(root: Any, options: argparse.Namespace) -> nx.MultiDiGraph:
    """The graph model, folded if that was asked for; with the gradient on it if that was."""
    flow = viz.gradient_flow(root) if options.flow else None
    if options.fold is None:
        return viz.trace(root)
    return viz.fold(root, by=options.fold, flow=flow)


def picture(root: Any, options: argparse.Namespace) -> Any:
    """What has `save`: a drawing, a `Digraph`, a film."""
    theme, kind, name = THEMES[options.theme], options.kind, options.name
    if kind == "cell":
        return viz.cell(root, flow=options.flow, name=name, theme=theme)
    if kind == "draw":
        flow = viz.gradient_flow(root) if options.flow and options.fold is None else None
        return viz.draw(graph_of(root, options), flow=flow, theme=theme)
    if kind == "frames":
        return viz.backprop_frames(root, theme=theme)
    if kind == "ribbons":
        return viz.ribbons(viz.gradient_flow(root), theme=theme, **({"name": name} if name else {}))
    flow = viz.gradient_flow(root) if options.flow else None
    words = {"rolled": "steps", "folded": "cells"}.get(kind, "steps" if isinstance(options.steps, tuple) else "last")
    more: dict[str, Any] = {} if options.steps is None else {words: options.steps}
    if kind == "rolled" and more:
        more["beside"] = True
    return getattr(viz, kind)(root, flow, name=name, theme=theme, **more)


def drawn(root: Any, options: argparse.Namespace) -> tuple[Callable[[str], object], str]:
    """What writes it to a file, and a few words about it."""
    if options.kind == "graph":
        graph = graph_of(root, options)
        return (lambda path: viz.write(graph, path)), f"{len(graph)} nodes, {graph.number_of_edges()} edges"
    found = picture(root, options)
    drawing = getattr(found, "drawing", found)
    by = f", laid out by {drawing.laid_out_by}" if drawing.laid_out_by else ""
    return found.save, f"{drawing.width:.0f} x {drawing.height:.0f} pixels{by}"


def check(root: Any, where: str, options: argparse.Namespace) -> None:
    """Choose the kind, if none was given; refuse what does not go together."""
    if options.kind != "cell" and not isinstance(root, Node):
        module = " (for one cell: --kind cell)" if hasattr(root, "parameters") else ""
        raise TroubleError(f"{where} returned {type(root).__name__}, not a Value or a Tensor{module}")
    endings = [Path(path).suffix.lower() for path in options.out]
    if options.kind is None:
        data = all(ending in (".json", ".graphml") for ending in endings)
        films = any(ending in (".gif", "") for ending in endings)
        timed = any("step" in said for _, said in viz.trace(root).nodes(data=True))
        options.kind = ("graph" if data else "frames" if films else "draw" if options.fold or not timed
                        or any(ending in (".gv", ".dot") for ending in endings) else "unrolled")
    kind = options.kind
    for path, ending in zip(options.out, endings, strict=True):
        if ending not in FILES[kind]:
            raise TroubleError(f"--out {path}: {kind} is written as {', '.join(e or 'a folder' for e in FILES[kind])}")
    if options.fold and kind not in ("draw", "graph"):
        raise TroubleError(f"--fold goes with --kind draw and graph, not with {kind}")
    if options.steps is not None and kind not in ("unrolled", "rolled", "folded"):
        raise TroubleError(f"--steps goes with --kind unrolled, rolled and folded, not with {kind}")
    if isinstance(options.steps, tuple) and kind != "unrolled":
        raise TroubleError(f"--steps: for {kind} how many, not from where to where")
    if options.name and kind in ("draw", "frames", "graph"):
        raise TroubleError(f"--name goes with the other kinds, not with {kind}")
    if options.flow and kind == "frames":
        raise TroubleError("--flow: a film always shows the gradient")


# ------------------------------------------------------------------------------------------------ the command
def steps(words: str) -> int | tuple[int, int]:
    """``8``, how many, or ``3..7``, from where to where."""
    parts = words.split("..")
    if not all(part.isdecimal() for part in parts) or len(parts) > 2:
        raise argparse.ArgumentTypeError(f"expected how many, 8 say, or from where to where, 3..7; got {words!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> Any:
        """One line on stderr, and exit status 2."""
        self.exit(2, f"viz: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m viz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("function", metavar="MODULE:FUNCTION", help="returns what to draw; FILE.py:FUNCTION is right too")
    p.add_argument("--out", nargs="+", default=["net.svg"], metavar="FILE",
                   help="the ending says how: .svg, .png, .pdf, .gv, .gif, .json, .graphml (default: net.svg)")
    p.add_argument("--kind", choices=list(FILES), help="default: unrolled, if there are time steps, else draw")
    p.add_argument("--fold", choices=FOLDS, help="draw a smaller graph: a node for each step, module, run of steps")
    p.add_argument("--flow", action="store_true", help="draw the gradient on every edge")
    p.add_argument("--steps", type=steps, help="how many steps, or which: 8, 3..7")
    p.add_argument("--theme", choices=list(THEMES), default="light", help="default: light")
    p.add_argument("--name", help="the title")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Draw. Returns the exit status."""
    options = parser().parse_args(argv)
    try:
        root = called(found(options.function), options.function)
        check(root, options.function, options)
        try:
            write, what = drawn(root, options)
        except ValueError as error:
            raise TroubleError(str(error)) from error
        for path in options.out:
            write(path)
            print(f"written: {path} ({options.kind}, {what})")
    except (TroubleError, viz.MissingToolError) as trouble:
        print(f"viz: {trouble}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"viz: {error.filename or options.out[0]}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
