"""``python -m microgradrnn``: the version, which extras are installed, and where to begin."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from microgradrnn import __version__
from microgradrnn.terminal import command

HERE = Path(__file__).parent.parent


class Extra(NamedTuple):
    """An optional part of the library: the modules that it needs, and what they are for."""

    modules: tuple[str, ...]
    purpose: str


EXTRAS = {
    "plots": Extra(("matplotlib",), "curves and heat maps"),
    "progress": Extra(("tqdm",), "progress bars"),
    "io": Extra(("safetensors",), "saving, loading and checkpoints"),
    "png": Extra(("resvg_py",), "pictures as PNG"),
    "pdf": Extra(("svglib",), "pictures as PDF"),
    "gif": Extra(("PIL", "resvg_py"), "films as GIF"),
    "graphviz": Extra(("pygraphviz",), "Graphviz' layouts without the program"),
    "fast": Extra(("numba",), "machine code for compiled loops"),
    "notebook": Extra(("ipykernel", "jupytext", "nbclient", "nbconvert", "matplotlib"), "Jupyter, and the lessons"),
}
BEGIN = {
    "python -m demos.gradient_flow": "train four nets on real text, and see where their gradients went",
    "python -m viz FILE.py:FUNCTION": "draw the loss that a function of yours returns",
    "python -m demos.lessons": "nine lessons; with the extra notebook they run as pages",
    "docs/micrograd.md": "from micrograd to RNNs in ten minutes",
    "docs/lstm.md": "your nn.LSTM of PyTorch in five pictures",
    "docs/glossary.md": "the words that the pictures use",
    "docs/api.md": "every public name, with one sentence about it",
    "docs/gallery.md": "every kind of picture, with the lines that made it",
}


def missing(extra: Extra) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in extra.modules if find_spec(module) is None]


def lines() -> list[str]:
    """What is printed."""
    from_clone = (HERE / "docs").is_dir()
    install = 'pip install -e ".[{}]"' if from_clone else 'pip install "microgradrnn[{}]"'
    said = [f"microgradrnn {__version__}, Python {platform.python_version()}, NumPy {np.__version__}", "", "Extras:"]
    for name, extra in EXTRAS.items():
        without = missing(extra)
        status = "installed" if not without else f"missing: {install.format(name)}"
        said.append(f"  {name:9} {extra.purpose:38} {status}")
    other = {"PyTorch": find_spec("torch") is not None, "the Graphviz program": shutil.which("dot") is not None}
    found = [name for name, there in other.items() if there]
    said += [f"Also found: {', '.join(found)}." if found else "Not found, and not needed: PyTorch, Graphviz.", ""]
    said.append("Where to begin:" if from_clone else "Where to begin (demos and docs are in the repository):")
    return [*said, *(f"  {what:32} {why}" for what, why in BEGIN.items())]


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m microgradrnn", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args(argv)
    print("\n".join(lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
