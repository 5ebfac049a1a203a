"""``%load_ext viz``: pictures as wide as the cells of a notebook, and plots that show themselves."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from viz.plots.axes import INCH
from viz.render.drawing import Drawing
from viz.render.notebook import image
from viz.theme import need_theme, set_theme

PAGE = 900  # pixels: about the width of a cell in JupyterLab, in a window of 1280


def load_ipython_extension(shell: Any) -> None:
    """Set up a notebook: the page of the theme becomes as wide as a cell, and plots are shown inline.

    The theme stays the one that `viz.set_theme` chose. Axes that a ``plot_*`` function made show their figure where
    they are the result of a cell; those of pyplot do that by themselves.
    """
    set_theme(need_theme(), page=PAGE)
    if find_spec("matplotlib") is not None:
        shell.run_line_magic("matplotlib", "inline")
        shell.display_formatter.formatters["text/html"].for_type_by_name("matplotlib.axes._axes", "Axes", shown)


def shown(ax: Any) -> str | None:
    """The figure of some Axes as HTML; None if it is one of pyplot."""
    if ax.figure.canvas.manager is not None:
        return None
    width, height = INCH * ax.figure.get_size_inches()
    drawing = Drawing("", width, height, figure=ax.figure)
    return image(drawing.png(), "png", width, drawing.title)
