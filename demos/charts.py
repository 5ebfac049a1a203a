"""Charts for the gallery, one call each: curves, bars, a grid of colours, points. All return the Axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from viz.plots.axes import COLOURS, need_matplotlib
from viz.theme import DEFAULT

LINES = ("-", "--", ":", "-.")  # told apart in grey as well


def curves(lines: Mapping[str, Any], x: str, y: str, *, log: str = "", level: float | None = None) -> Any:
    """Curves over one axis.

    Args:
        lines: by name: the y values, over 0, 1, 2, ...; or a pair (x values, y values).
        x, y: what the axes are.
        log: the axes that are logarithmic: ``"y"``, ``"xy"``. What is not positive is left out there.
        level: where to draw a thin line across.
    """
    ax = axes()
    for (name, line), colour, dash in zip(lines.items(), cycle(COLOURS), cycle(LINES), strict=False):
        xs, ys = line if len(line) == 2 and np.ndim(line[0]) else (np.arange(len(line)), line)
        xs, ys = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
        seen = np.isfinite(ys) & ((ys > 0) if "y" in log else True)
        ax.plot(xs[seen], ys[seen], dash, color=colour, linewidth=1.8, label=name,
                marker="o" if len(xs) <= 12 else None, markersize=4)
    if level is not None:
        ax.axhline(level, color=DEFAULT.ink, linewidth=0.8)
    finish(ax, x, y, log)
    return ax


def bars(groups: Mapping[str, Sequence[float]], x: str, y: str, *, names: Sequence[str] | None = None, log: str = "",
         level: float | None = None) -> Any:
    """Bars side by side, a colour for each group."""
    ax = axes()
    width = 0.8 / len(groups)
    for j, ((name, heights), colour) in enumerate(zip(groups.items(), cycle(COLOURS[1:]), strict=False)):
        places = np.arange(len(heights)) + (j - (len(groups) - 1) / 2) * width
        ax.bar(places, heights, width=width * 0.92, color=colour, label=name)
    if names is not None:
        ax.set_xticks(range(len(names)), names)
    if level is not None:
        ax.axhline(level, color=DEFAULT.ink, linewidth=0.8)
    finish(ax, x, y, log)
    return ax


def grid(values: Any, x: str, y: str, what: str, *, missing: Any = None, log: bool = False) -> Any:
    """A matrix as colours, cividis; exactly zero is grey, and so is what ``missing`` says is not there, paler."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize, to_rgb
    from matplotlib.patches import Patch

    ax = axes((6.0, 4.2))
    a = np.abs(np.asarray(values, dtype=float))
    some = a[a > 0]
    low, high = (some.min(), some.max()) if len(some) else (0.1, 1.0)
    colours = ScalarMappable(LogNorm(low, high) if log else Normalize(0, high), "cividis")
    image = colours.to_rgba(np.where(a > 0, a, low))[..., :3]
    kinds = {"exactly 0": (a == 0, DEFAULT.nothing)}
    if missing is not None:
        kinds = {"exactly 0": ((a == 0) & ~missing, DEFAULT.nothing), "no step here": (missing, DEFAULT.tile)}
    for where, colour in kinds.values():
        image[where] = to_rgb(colour)
    ax.imshow(image, interpolation="nearest", aspect="auto")
    bar = ax.figure.colorbar(colours, ax=ax)
    bar.set_label(what)
    bar.outline.set_visible(False)
    shown = [Patch(facecolor=colour, edgecolor=DEFAULT.faint, linewidth=0.5, label=name)
             for name, (where, colour) in kinds.items() if where.any()]
    if shown:
        ax.legend(handles=shown, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax


def points(clouds: Mapping[str, Any], x: str, y: str) -> Any:
    """Points (n, 2), a colour and a mark for each cloud."""
    ax = axes()
    for (name, cloud), colour, mark in zip(clouds.items(), cycle(COLOURS), cycle("osD^"), strict=False):
        size = 9 if np.ptp(cloud, axis=0).max() < 1e-9 else 4  # many points in one place
        ax.plot(cloud[:, 0], cloud[:, 1], mark, color=colour, markersize=size, label=name)
    finish(ax, x, y, "")
    return ax


def axes(size: tuple[float, float] = (6.6, 3.6)) -> Any:
    """Empty axes."""
    return need_matplotlib()(figsize=size, layout="constrained").add_subplot()


def finish(ax: Any, x: str, y: str, log: str) -> None:
    """Names, scales, grid and legend."""
    for axis in log:
        getattr(ax, f"set_{axis}scale")("log")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(True, which="major", color=DEFAULT.rim, linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
