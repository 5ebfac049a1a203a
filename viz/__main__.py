"""The command: draw whatever a function of yours returns.

    python -m viz MODULE:FUNCTION --out net.svg [--kind graph] [--fold step] [--flow] [--steps 0..3]
                                  [--theme dark] [--width 830]

FUNCTION is called without arguments. It returns a `Value` or a `Tensor`, such as a loss; or the losses of several nets,
``{"rnn": loss, "lstm": other}``; or a cell, or the equations of a compiled one; or a finished picture, which is saved.
MODULE is as in ``import``, or a file: ``nets.py:loss``.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import inspect
import numbers
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import networkx as nx

import viz
from microgradrnn.engine import Node
from microgradrnn.terminal import command
from viz.theme import THEMES, Theme, need_theme

PICTURES = (".svg", ".png", ".pdf")
PAGES = (".html", ".htm")
FILES = {  # for each kind of picture, what it is written as
    "unrolled": PICTURES, "rolled": PICTURES, "long": PICTURES, "cell": PICTURES,
    "ways": PICTURES, "compare": PICTURES, "derivative": PICTURES,
    "graph": (*PICTURES, ".gv", ".dot"), "film": (".svg", ".gif", ""), "data": (".json", ".graphml", ".gv", ".dot"),
    "explore": PAGES,
}
FINISHED = "as it was returned"  # what is said in place of a kind, where the function returns a picture
DATA = (".json", ".graphml")
FOLDS = ("step", "repeat", "module")
OF_NETS = ("compare", "unrolled", "explore")  # these take several losses by the names of their nets
STEPPED = ("unrolled", "rolled", "long", "ways", "compare")  # these take --steps
ALWAYS = ("film", "ways", "compare", "derivative", "explore")  # these show the gradient without --flow


class TroubleError(Exception):
    """Something the user can put right; its text is all that is printed."""


# ------------------------------------------------------------------------------------------------ the function
def found(where: str) -> Any:
    """The function that ``MODULE:FUNCTION`` names."""
    place, _, name = where.rpartition(":")
    if not name or not (place.endswith(".py") or all(place.split("."))):
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
    if isinstance(function, Node) or is_cell(function) or not callable(function):
        return function
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise TroubleError(f"{where} needs arguments ({error}); give a function that needs none") from None
    except ValueError:  # built in, and does not say
        pass
    return function()


def are_nets(root: Any) -> bool:
    """Are these losses by the names of their nets?"""
    return isinstance(root, Mapping) and bool(root) and all(isinstance(loss, Node) for loss in root.values())


def are_equations(root: Any) -> bool:
    """Are these the equations of a step and of its derivative, as a compiled function has them?"""
    return not isinstance(root, Node) and hasattr(root, "forward") and hasattr(root, "backward")


def is_cell(root: Any) -> bool:
    """Is it a cell, which says what state it starts from?"""
    return callable(root) and hasattr(root, "initial_state") and not isinstance(root, type)


# ------------------------------------------------------------------------------------------------ the picture
def graph_of(root: Any, options: argparse.Namespace) -> nx.MultiDiGraph:
    """The graph model, folded if that was asked for; with the gradient on it if that was."""
    flow = viz.gradient_flow(root) if options.flow else None
    if options.fold is None:
        return viz.trace(root) if flow is None else viz.fold(flow, hide=())
    each = options.fold == "step" and options.kind == "graph"  # one W and a line to every step is a thicket
    return viz.fold(root, by=options.fold, flow=flow, parameters="use" if each else "once")


def picture(root: Any, options: argparse.Namespace) -> Any:
    """What has `save`: a drawing, a `Digraph`, a film."""
    theme, kind, name = theme_of(options), options.kind, options.name
    if kind == "cell":
        return viz.draw_cell(root, flow=options.flow, name=name, theme=theme)
    if kind == "derivative":
        return viz.draw_derivative(root, name=name, theme=theme)
    lags = {} if options.steps is None else {"lags": options.steps}
    if kind == "ways":
        return viz.draw_ways(viz.ways(root), name=name, theme=theme, **lags)
    if kind == "compare":
        nets = root if are_nets(root) else {options.function.rpartition(":")[2]: root}
        return viz.draw_comparison(viz.compare_flow(nets, **lags), name=name, theme=theme)
    if kind == "graph":
        flow = viz.gradient_flow(root) if options.flow and not options.fold else None
        return viz.draw_graph(graph_of(root, options) if flow is None else root, flow=flow, name=name, theme=theme)
    if kind == "film":
        return viz.draw_film(root, speed=options.speed or 1.0, name=name, theme=theme)
    if are_nets(root):
        root = {net: viz.gradient_flow(loss) if options.flow else loss for net, loss in root.items()}
    flow = viz.gradient_flow(root) if options.flow and not isinstance(root, dict) else None
    words = {"rolled": "steps", "long": "cells"}.get(kind, "steps" if isinstance(options.steps, tuple) else "last")
    more: dict[str, Any] = {} if options.steps is None else {words: options.steps}
    if kind == "rolled" and more:
        more["beside"] = True
    return getattr(viz, f"draw_{kind}")(root, flow=flow, name=name, theme=theme, **more)


def theme_of(options: argparse.Namespace) -> Theme:
    """The theme, as wide as was asked for."""
    theme = need_theme(options.theme)
    return theme if options.width is None else replace(theme, page=options.width)


def drawn(root: Any, options: argparse.Namespace) -> tuple[Callable[[str], object], str]:
    """What writes it to a file, and a few words about it."""
    if options.kind == "data":
        graph = graph_of(root, options)
        return (lambda path: viz.write(graph, path)), f"{len(graph)} nodes, {graph.number_of_edges()} edges"
    if options.kind == "explore":
        page = viz.explore(root, name=options.name)
        return page.save, f"{len(page.html.encode()) / 1e6:.2f} MB"
    found = root if options.kind == FINISHED else picture(root, options)
    if isinstance(found, viz.Page):
        return found.save, f"{len(found.html.encode()) / 1e6:.2f} MB"
    drawing = getattr(found, "drawing", found)
    by = f", laid out by {drawing.laid_out_by}" if drawing.laid_out_by else ""
    wide = "; a net with steps is easier to read as --kind unrolled or rolled" if (
        options.kind == "graph" and options.fold is None and has_steps(root)) else ""
    return getattr(found, "save", drawing.save), f"{drawing.width:.0f} x {drawing.height:.0f} pixels{by}{wide}"


def has_steps(root: Any) -> bool:
    """Does the graph have time steps?"""
    return any("step" in said for _, said in viz.trace(root).nodes(data=True))


def need_fitting(root: Any, where: str, kind: str | None) -> None:
    """Refuse what the function returned, if it is not what is drawn."""
    if kind in ("cell", "derivative"):
        if not (is_cell(root) if kind == "cell" else are_equations(root)):
            what = "a cell, such as nn.GRUCell(3, 4)" if kind == "cell" else "equations, mg.compile(cell).equations()"
            raise TroubleError(f"{where} returned {type(root).__name__}; --kind {kind} draws {what}: return that, "
                               "or leave --kind out")
    elif are_equations(root):
        raise TroubleError(f"{where} returned equations, which --kind derivative draws, and not --kind {kind}")
    elif are_nets(root):
        if kind not in (*OF_NETS, None):
            raise TroubleError(f"{where} returned several losses, which --kind {', '.join(OF_NETS[:-1])} and "
                               f"{OF_NETS[-1]} draw; for --kind {kind} return one of them")
    elif is_cell(root):
        raise TroubleError(f"{where} is a cell, {type(root).__name__}, which --kind cell draws; for --kind {kind} "
                           "return the loss of a net made of it")
    elif kind == "explore" and isinstance(root, Mapping):
        for name, one in root.items():
            if not isinstance(one, Node | viz.Flow):
                raise TroubleError(f"{where}: {name!r} is a {type(one).__name__}, not a loss{instead(one)}")
    elif not (isinstance(root, Node) or (kind == "explore" and isinstance(root, viz.Flow))):
        raise TroubleError(f"{where} returned {type(root).__name__}, not a Value or a Tensor{instead(root)}")


def instead(root: Any) -> str:
    """What to return, where that is clear."""
    if root is None:
        return "; is the return missing?"
    if isinstance(root, numbers.Number):
        return "; a plain number has no graph: return the node, without .data or .item()"
    if isinstance(root, (tuple, list)) and root and isinstance(root[0], Node):
        return "; return its first element, or what else is to be drawn of it"
    if type(root).__module__.split(".")[0] == "torch":
        return " of this library; for PyTorch return a picture, viz.draw_unrolled(viz.from_torch(...))"
    if isinstance(root, viz.Flow):
        return "; return the loss, and say --flow"
    if hasattr(root, "savefig"):
        return "; a figure of matplotlib saves itself, figure.savefig(...)"
    if hasattr(root, "draw"):
        return "; return its picture, .draw()"
    return "; a net by itself has no graph: return its loss" if hasattr(root, "parameters") else ""


def kind_for(root: Any, paths: Sequence[str], options: argparse.Namespace) -> str:
    """The kind of picture that these files may be, where none was given."""
    endings = {Path(path).suffix.lower() for path in paths}
    if "" in endings:
        raise TroubleError(f"--out {next(path for path in paths if not Path(path).suffix)}: the ending says how it is "
                           "written: .svg, .png, .pdf, .gv, .dot, .gif, .json or .graphml (--kind film makes a "
                           "folder of stills)")
    if endings <= set(DATA):
        return "data"
    if ".gif" in endings:
        return "film"
    if endings & set(PAGES):
        return "explore"
    return "graph" if options.fold or endings & {".gv", ".dot"} or not has_steps(root) else "unrolled"


def jobs(root: Any, options: argparse.Namespace) -> list[argparse.Namespace]:
    """What is to be done: the options for each kind of picture, with the files it goes to. Data are of another kind."""
    if isinstance(getattr(root, "drawing", root), (viz.Drawing, viz.Frames, viz.Page)):
        names = ("kind", "fold", "flow", "steps", "width", "name", "speed")
        given = [f"--{name}" for name in names if getattr(options, name)]
        given += ["--theme"] * (options.theme != "light")
        if given:
            raise TroubleError(f"{', '.join(given)}: the function returned a finished picture, which is only saved")
        return [argparse.Namespace(**{**vars(options), "kind": FINISHED})]
    data, written = ([path for path in options.out if Path(path).suffix.lower() in endings]
                     for endings in (DATA, PAGES))
    if options.kind is None and written != options.out:
        tests = {"cell": is_cell, "compare": are_nets, "derivative": are_equations}
        kind = next((kind for kind, fits in tests.items() if fits(root)), None)
        options = argparse.Namespace(**{**vars(options), "kind": kind})
    need_fitting(root, options.function, options.kind or ("explore" if written == options.out else None))
    rest = [path for path in options.out if path not in data + written]
    groups = [options.out] if options.kind else [data, written, rest]
    found = []
    for paths in filter(None, groups):
        kind = options.kind or kind_for(root, paths, options)
        found.append(argparse.Namespace(**{**vars(options), "out": paths, "kind": kind}))
        check(found[-1])
    return found


def check(options: argparse.Namespace) -> None:
    """Refuse what does not go together."""
    kind = options.kind
    for path in options.out:
        ending = Path(path).suffix.lower()
        if ending not in FILES[kind]:
            raise TroubleError(f"--out {path}: {kind} is written as {', '.join(e or 'a folder' for e in FILES[kind])}")
    if options.fold and kind not in ("graph", "data"):
        raise TroubleError(f"--fold goes with --kind graph and data, not with {kind}")
    if options.steps is not None and kind not in STEPPED:
        raise TroubleError(f"--steps goes with --kind {', '.join(STEPPED[:-1])} and {STEPPED[-1]}, not with {kind}")
    if isinstance(options.steps, tuple) and kind != "unrolled":
        raise TroubleError(f"--steps: for {kind} how many, not from where to where")
    if (options.name or options.width) and kind == "data":
        raise TroubleError(f"--{'name' if options.name else 'width'} goes with the other kinds, not with data")
    if options.speed and kind != "film":
        raise TroubleError(f"--speed goes with --kind film, not with {kind}")
    if options.flow and kind in ALWAYS:
        raise TroubleError(f"--flow: --kind {kind} always shows the gradient")
    if options.theme != "light" and kind == "explore":
        raise TroubleError("--theme: the explorer follows the reader's system, and has a switch of its own")
    if options.width and kind == "explore":
        raise TroubleError("--width: the explorer fits itself to every width")


def until_then(error: Exception, options: argparse.Namespace) -> None:
    """Of a function that raised, the page of what was computed before."""
    pages = [path for path in options.out if Path(path).suffix.lower() in PAGES]
    if pages and not isinstance(error, TroubleError):
        page = viz.explore(error, name=options.name)
        for path in pages:
            page.save(path)
            print(f"written: {path} (explore, what was computed before the error)")


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
    p.add_argument("--out", nargs="+", metavar="FILE", help="the ending says how: .svg, .png, .pdf, .gv, "
                   ".gif, .html, .json, .graphml (default: net.svg; net.html for --kind explore)")
    p.add_argument("--kind", choices=list(FILES),
                   help="default: cell for a cell; explore for .html; compare for several losses; unrolled, if there "
                   "are time steps; else graph")
    p.add_argument("--fold", choices=FOLDS, help="draw a smaller graph: a node for each step, module, run of steps")
    p.add_argument("--flow", action="store_true", help="draw the gradient on every edge")
    p.add_argument("--steps", type=steps, help="how many steps, or which: 8, 3..7; of ways and compare, how far back")
    p.add_argument("--theme", choices=list(THEMES), default="light", help="default: light")
    p.add_argument("--width", type=int, help="of the page that it is read on, in pixels: a slide 1280 (the default), a "
                   "README 830, a phone 390")
    p.add_argument("--name", help="what the net is called in the title")
    p.add_argument("--speed", type=float, help="of a film: 2 is twice as fast, 0.5 half as fast")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Draw. Returns the exit status."""
    options = parser().parse_args(argv)
    options.out = options.out or ["net.html" if options.kind == "explore" else "net.svg"]
    try:
        function = found(options.function)
        try:
            root = called(function, options.function)
        except Exception as error:
            until_then(error, options)
            raise
        for job in jobs(root, options):
            try:
                write, what = drawn(root, job)
                for path in job.out:
                    write(path)
                    print(f"written: {path} ({job.kind}, {what})")
            except ValueError as error:
                raise TroubleError(str(error)) from error
    except (TroubleError, viz.MissingToolError) as trouble:
        print(f"viz: {trouble}", file=sys.stderr)
        return 2
    except OSError as error:
        why = "is a file, not a folder" if isinstance(error, FileExistsError) else error.strerror or error
        print(f"viz: {error.filename or options.out[0]}: {why}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
