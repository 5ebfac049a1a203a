"""Charts for the gallery, one call each: curves, bars, a grid of colours, points. All return the Axes.

They look like the plots of `viz`: the theme that `viz.set_theme` chose, curves that carry their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from viz.plots import axes as style
from viz.plots.axes import COLOURS, dressed, key, name_curves, scale_bar
from viz.theme import need_theme

LINES = ("-", "--", ":", "-.")  # told apart in grey as well
SIZE = (7.4, 4.0)  # inches


def curves(lines: Mapping[str, Any], x: str, y: str, *, log: str = "", level: float | None = None) -> Any:
    """Curves over one axis.

    Args:
        lines: by name: the y values, over 0, 1, 2, ...; or a pair (x values, y values).
        x, y: what the axes are.
        log: the axes that are logarithmic: ``"y"``, ``"xy"``. What is not positive is left out there.
        level: where to draw a thin line across.
    """
    ax, drawn = empty(), []
    for (name, line), colour, dash in zip(lines.items(), cycle(COLOURS), cycle(LINES), strict=False):
        xs, ys = line if len(line) == 2 and np.ndim(line[0]) else (np.arange(len(line)), line)
        xs, ys = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
        seen = np.isfinite(ys) & ((ys > 0) if "y" in log else True)
        drawn += ax.plot(xs[seen], ys[seen], dash, color=colour, linewidth=1.8, label=name,
                         marker="o" if len(xs) <= 12 else None, markersize=4)
    for axis in log:
        getattr(ax, f"set_{axis}scale")("log")
    name_curves(ax, drawn, need_theme())
    return finished(ax, x, y, level)


def bars(groups: Mapping[str, Sequence[float]], x: str, y: str, *, names: Sequence[str] | None = None,
         level: float | None = None) -> Any:
    """Bars side by side, a colour for each group."""
    ax = empty()
    width = 0.8 / len(groups)
    for j, ((name, heights), colour) in enumerate(zip(groups.items(), cycle(COLOURS[1:]), strict=False)):
        places = np.arange(len(heights)) + (j - (len(groups) - 1) / 2) * width
        ax.bar(places, heights, width=width * 0.92, color=colour, label=name)
    if names is not None:
        ax.set_xticks(range(len(names)), names)
    key(ax, need_theme())
    return finished(ax, x, y, level)


def grid(values: Any, x: str, y: str, what: str, *, missing: Any = None, log: bool = False) -> Any:
    """A matrix as colours, cividis. Exactly zero is grey; what ``missing`` marks is hatched, its colour still seen."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize, to_rgb
    from matplotlib.patches import Patch, Rectangle

    theme, ax = need_theme(), empty()
    a = np.abs(np.asarray(values, dtype=float))
    some = a[a > 0]
    low, high = (some.min(), some.max()) if len(some) else (0.1, 1.0)
    colours = ScalarMappable(LogNorm(low, high) if log else Normalize(0, high), "cividis")
    image = colours.to_rgba(np.where(a > 0, a, low))[..., :3]
    image[a == 0] = to_rgb(theme.nothing)
    ax.imshow(image, interpolation="nearest", aspect="auto")
    scale_bar(ax, colours, what, theme)
    shown = [Patch(facecolor=theme.nothing, label="exactly 0")] if (a == 0).any() else []
    if missing is not None and np.any(missing):
        hatched: dict[str, Any] = {"fill": False, "hatch": "////", "edgecolor": theme.ink, "linewidth": 0.0}
        for row, column in np.argwhere(missing):
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **hatched))
        shown.append(Patch(label="padding: no step here", **hatched))
    if shown:
        key(ax, theme, handles=shown)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return finished(ax, x, y, grid=False)


def points(clouds: Mapping[str, Any], x: str, y: str) -> Any:
    """Points (n, 2), a colour and a mark for each cloud."""
    ax = empty()
    for (name, cloud), colour, mark in zip(clouds.items(), cycle(COLOURS), cycle("osD^"), strict=False):
        size = 9 if np.ptp(cloud, axis=0).max() < 1e-9 else 4  # many points in one place
        ax.plot(cloud[:, 0], cloud[:, 1], mark, color=colour, markersize=size, label=name)
    key(ax, need_theme())
    return finished(ax, x, y)


def empty() -> Any:
    """Empty axes."""
    return style.axes(None, SIZE, need_theme())


def finished(ax: Any, x: str, y: str, level: float | None = None, *, grid: bool = True) -> Any:
    """The axes with their names; `titled` adds what was found."""
    theme = need_theme()
    if level is not None:
        ax.axhline(level, color=theme.ink, linewidth=0.8)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return dressed(ax, "", theme, grid=grid)


def titled(ax: Any, finding: str) -> Any:
    """The axes under a title: what there is to see."""
    return dressed(ax, finding, need_theme(), grid=not ax.images)
