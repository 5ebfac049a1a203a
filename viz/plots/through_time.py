"""Gradients through time, drawn with matplotlib (the extra ``plots``): who is blamed, shares, and step Jacobians.

Every function takes the numbers of `viz.flow.blame` or `viz.flow.jacobians`, an ``ax`` to draw on (a new figure by
default), a ``theme``, and returns the Axes. The title says what the data show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np

from viz.errors import need
from viz.flow.blame import LocalErrors, Shares
from viz.flow.jacobians import StepJacobians
from viz.graph.trace import norm
from viz.numbers import short
from viz.plots.axes import COLOURS, axes, dressed, key, name_curves, scale_bar
from viz.scale import Scale
from viz.theme import Theme, need_theme

FORWARD, AGAINST = "#0072b2", "#e69f00"  # Okabe and Ito's blue and orange: never red against green


def plot_shares(
    errors: LocalErrors, *, scale: Scale | None = None, theme: Theme | str | None = None, ax: Any = None
) -> Any:
    """The picture of all local errors: row t, the loss; column k, the step it blames; colour, ‖δ_{t,k}‖₂, logarithmic.

    Four things look different: a number (cividis, from dark for little to yellow for much), exactly zero (grey),
    no way from L_t to z_k (hardly a colour: the future, for a net that does not see it), and NaN or infinite
    (vermillion).

    Args:
        errors: of `local_errors`.
        scale: the decades of the colours, the same for all pictures that are compared; by default those of the numbers.
        theme: a name or a `Theme`; by default that of `set_theme`.
        ax: the axes to draw on.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.
    """
    need("plot_shares", errors, LocalErrors, "what viz.local_errors(loss) returns")
    theme = need_theme(theme)
    ax = axes(ax, (6.4, 5.4), theme)
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, to_rgb
    from matplotlib.patches import Patch

    norms, reached = errors.norms, errors.reached
    scale = scale or Scale.of(norms[reached])
    colours = ScalarMappable(LogNorm(10.0**scale.low, 10.0**scale.high), ramp(theme))
    finite = np.isfinite(norms)
    image = colours.to_rgba(np.where(finite & (norms > 0), norms, 10.0**scale.low))[..., :3]
    kinds = {"no way there": (~reached, theme.tile), "exactly 0": (reached & (norms == 0), theme.nothing),
             "NaN or infinite": (reached & ~finite, theme.alarm)}
    for where, colour in kinds.values():
        image[where] = to_rgb(colour)
    ax.imshow(image, interpolation="nearest", aspect="auto")
    for axis, steps in ((ax.xaxis, errors.steps), (ax.yaxis, errors.losses)):
        places = _few(len(steps))
        axis.set_ticks(places, [str(steps[place]) for place in places])
    ax.set_xlabel(f"k: the step that is blamed, through {_with(errors.symbol, 'k')}")
    ax.set_ylabel("t: the step of the loss")
    scale_bar(ax, colours, f"‖∂{_with('L', 't')}/∂{_with(errors.symbol, 'k')}‖₂, over batch and units", theme,
              extend="min" if _below(norms[reached], scale) else "neither")
    shown = [Patch(facecolor=colour, edgecolor=theme.faint, linewidth=0.5, label=name)
             for name, (where, colour) in kinds.items() if where.any()]
    if shown:
        key(ax, theme, above=True, handles=shown)
    return dressed(ax, blamed(errors), theme, grid=False)


def ramp(theme: Theme) -> Any:
    """The theme's colours of magnitude, for matplotlib."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("magnitudes", theme.magnitudes)


def blamed(errors: LocalErrors) -> str:
    """How much less the last loss blames the step furthest away than the one it blames most."""
    t, row, ways = errors.losses[-1], errors.norms[-1], errors.reached[-1]
    there = np.flatnonzero(ways & np.isfinite(row))
    if not len(there) or not row[there].any():
        return f"The loss at step {t} blames no step"
    most, furthest = (int(max(there, key=score)) for score in (row.__getitem__, lambda j: abs(errors.steps[j] - t)))
    if most == furthest:
        return f"The loss at step {t} blames step {errors.steps[most]} most"
    share = short(float(row[furthest] / row[most]))
    return (f"Of the loss at step {t}, step {errors.steps[furthest]} gets {share} times the blame that step "
            f"{errors.steps[most]} gets")


def plot_share_bars(
    shares: Shares, *, log: bool = False, theme: Theme | str | None = None, ax: Any = None
) -> Any:
    """The gradient of one parameter as the sum of its shares, by step or by lag: they cancel.

    A bar is a share's component along the whole gradient: blue with it, orange against it; the bars add up to the
    norm of the gradient. The pale bar behind is the norm of the share, of which the rest points elsewhere. The line is
    the norm of the sum of the shares so far.

    Args:
        shares: of `shares`, one parameter's.
        log: draw the norms alone, on a log scale, to see small shares, with the norm of their sum across.
        theme: a name or a `Theme`; by default that of `set_theme`.
        ax: the axes to draw on.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.
    """
    need("plot_share_bars", shares, Shares, "the shares of one parameter, viz.shares(loss)['W']")
    theme = need_theme(theme)
    ax = axes(ax, (7.4, 4.4), theme)
    shares = _one_sided(shares)
    keys, norms, whole = np.array(shares.keys), shares.norms, norm(shares.total)
    said = f"∂L/∂{shares.parameter}"
    if log:
        seen = norms > 0
        ax.bar(keys[seen], norms[seen], color=FORWARD, width=0.8, label="‖share‖")
        if whole > 0:
            ax.axhline(whole, color=theme.ink, linewidth=1.5, label="‖sum‖")
        ax.set_yscale("log")
        if seen.any():
            ax.set_ylim(bottom=norms[seen].min() / 10)
        _note_zeros(ax, keys[~seen], theme)
    else:
        along = shares.along()
        ax.bar(keys, np.where(along < 0, -norms, norms), color=theme.rim, width=0.8, label="‖share‖")
        for side, colour, words in ((along >= 0, FORWARD, "along the sum"),
                                    (along < 0, AGAINST, "against it")):
            if side.any():
                ax.bar(keys[side], along[side], color=colour, width=0.55, label=words)
        ax.plot(keys, shares.growing(), color=theme.ink, linewidth=1.5, marker="o", markersize=3,
                label="‖sum so far‖")
        ax.axhline(0, color=theme.faint, linewidth=0.8)
    ax.set_xlabel("lag: step of the loss less step of the use" if shares.by == "lag" else "step that used it")
    below = "" if log or not (shares.along() < 0).any() else "\n(below 0: against the sum)"
    ax.set_ylabel(f"shares of {said}, Euclidean norm{below}")
    ax.xaxis.get_major_locator().set_params(integer=True)
    key(ax, theme, above=True)
    together, left = float(norms.sum()) + norm(shares.rest), f"{100 * shares.cancellation():.0f} %"
    return dressed(ax, f"{left} of the shares is left when they are added: ‖{said}‖ is {short(whole)}, the sum of "
                   f"‖shares‖ {short(together)}", theme)


def plot_singular_values(
    jacobians: StepJacobians, *, theme: Theme | str | None = None, ax: Any = None
) -> Any:
    """The singular values of every step's Jacobian over time, log scale: above 1 a step stretches, below it shrinks.

    Lines for the largest, the median and the smallest; the band holds the middle 80 %. Zeros are left out. Dotted, the
    spectral radius: it is what "the eigenvalue must be below 1" speaks of, and it bounds nothing.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.
    """
    need("plot_singular_values", jacobians, StepJacobians, "what viz.step_jacobians(loss) returns")
    theme = need_theme(theme)
    ax = axes(ax, (7.4, 4.2), theme)
    steps = jacobians.steps
    values = jacobians.singular_values()
    values = np.where(values > 0, values, np.nan)  # a log scale has no place for zeros
    low, middle, high = np.array([np.percentile(row[row > 0], [10, 50, 90]) if (row > 0).any() else [np.nan] * 3
                                  for row in values]).T
    band = ax.fill_between(steps, low, high, color=FORWARD, alpha=0.18, linewidth=0, label="middle 80 %")
    lines = [
        *ax.plot(steps, values[:, 0], color=FORWARD, linewidth=1.8, label="largest"),
        *ax.plot(steps, middle, color=FORWARD, linewidth=1.2, dashes=(5, 2), label="median"),
        *ax.plot(steps, values[:, -1], color=FORWARD, linewidth=0.8, label="smallest"),
        *ax.plot(steps, jacobians.spectral_radii(), color=COLOURS[2], linewidth=1.5, linestyle=":",
                 label="spectral radius"),
    ]
    ax.axhline(1, color=theme.ink, linewidth=0.8)
    ax.set_yscale("log")
    ax.set_xlabel("step t")
    ax.set_ylabel(f"singular values of {_derivative(jacobians)}, of one sequence")
    name_curves(ax, lines, theme)
    key(ax, theme, above=True, handles=[band])
    grows, known = int((values[:, 0] > 1).sum()), int(np.isfinite(values[:, 0]).sum())
    return dressed(ax, f"{grows} of {known} steps can stretch a gradient: their largest singular value is above 1"
                   if grows else "No step can stretch a gradient: no singular value is above 1", theme)


def plot_transport(
    jacobians: Mapping[str, StepJacobians], *, W: Mapping[str, Any] | None = None, slope: float = 1.0,
    theme: Theme | str | None = None, ax: Any = None,
) -> Any:  # fmt: skip
    """The norm of the product of Jacobians against the lag, in decades: what happens to a gradient on its way back.

    Solid, the truth, ‖∂s_T/∂s_{T-k}‖₂. Dashed, the product of the norms of the steps, which is never less. Dotted, for
    simple nets, the bound (‖W‖₂ max|φ'|)^k. The title gives the largest Lyapunov exponent as a factor a step.

    Args:
        jacobians: by the name of the net.
        W: the recurrent matrices of those that are simple nets, by the same names.
        slope: max |φ'| of the simple nets.
        theme: a name or a `Theme`; by default that of `set_theme`.
        ax: the axes to draw on.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.
        ValueError: if there is nothing to draw.
    """
    need("plot_transport", jacobians, Mapping, "a dict, {'lstm': viz.step_jacobians(loss), ...}")
    for one in jacobians.values():
        need("plot_transport", one, StepJacobians, "what viz.step_jacobians(loss) returns, for each net")
    if not jacobians:
        raise ValueError("plot_transport: no Jacobians to plot")
    theme = need_theme(theme)
    ax = axes(ax, (8.2, 4.6), theme)
    lines, said = [], []
    for (name, one), colour in zip(jacobians.items(), cycle(COLOURS), strict=False):
        truth = one.transport()
        lags = np.arange(len(truth))
        gone = np.flatnonzero(np.isneginf(truth))
        ends = f", exactly 0 from lag {gone[0]} on" if len(gone) else ""
        said.append(f"{name} multiplies a gradient by {short(float(np.exp(one.lyapunov(1)[0])))} a step{ends}")
        lines += ax.plot(lags, _finite(truth), color=colour, linewidth=1.8, label=name)
        lines += ax.plot(lags, _finite(one.product_of_norms()), color=colour, linewidth=1.2, dashes=(5, 2),
                         label=f"{name}: product of the norms")
        if W is not None and name in W:
            lines += ax.plot(lags, one.bound(W[name], slope), color=colour, linewidth=1.2, linestyle=":",
                             label=f"{name}: (‖W‖₂ max|φ'|)ᵏ")
    ax.axhline(0, color=theme.ink, linewidth=0.8)
    ax.set_xlabel("lag k: steps back from the end")
    ax.set_ylabel("log₁₀ ‖∂$s_T$/∂$s_{T-k}$‖₂, s: the state of one sequence")
    name_curves(ax, lines, theme)
    return dressed(ax, "; ".join(said[:3]), theme)


def plot_eigenvalues(jacobians: StepJacobians, *, theme: Theme | str | None = None, ax: Any = None) -> Any:
    """The eigenvalues of every step's Jacobian in the complex plane, coloured by step, with the unit circle.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.
    """
    need("plot_eigenvalues", jacobians, StepJacobians, "what viz.step_jacobians(loss) returns")
    theme = need_theme(theme)
    ax = axes(ax, (5.6, 4.8), theme)
    values = jacobians.eigenvalues()
    when = np.repeat(jacobians.steps, values.shape[1])
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color=theme.ink, linewidth=1, label="|λ| = 1")
    dots = ax.scatter(values.real.ravel(), values.imag.ravel(), c=when, cmap=ramp(theme), s=9, linewidths=0, alpha=0.8)
    scale_bar(ax, dots, "step t", theme).locator.set_params(integer=True)
    ax.set_aspect("equal", adjustable="datalim")
    ax.locator_params(nbins=5)
    ax.set_xlabel(f"Re λ, eigenvalues of {_derivative(jacobians)}, of one sequence")
    ax.set_ylabel("Im λ")
    key(ax, theme, above=True)
    sizes = np.abs(values[np.isfinite(values)])
    most = f"the largest has |λ| = {short(float(sizes.max()))}" if len(sizes) else "none is finite"
    inside = f"{int((sizes < 1).sum())} of {values.size} eigenvalues lie inside the unit circle"
    return dressed(ax, f"{inside}; {most}", theme)


# ------------------------------------------------------------------------------------------------ what they share
def _one_sided(shares: Shares) -> Shares:
    """Without the lags of the one sign, if there is nothing but zeros: a layer sees the past or the future."""
    keys = np.array(shares.keys)
    for side in (keys < 0, keys > 0) if shares.by == "lag" else ():
        if side.any() and not side.all() and not shares.norms[side].any() and shares.norms[~side].any():
            return replace(shares, keys=tuple(int(key) for key in keys[~side]), arrays=shares.arrays[~side])
    return shares


def _few(n: int, most: int = 12) -> list[int]:
    """Places for ticks, evenly spread, the first always."""
    return list(range(0, n, max(1, -(-n // most))))


def _below(norms: np.ndarray, scale: Scale) -> bool:
    return bool(((norms > 0) & (norms < 10.0**scale.low)).any())


def _finite(logs: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(logs), logs, np.nan)


def _note_zeros(ax: Any, keys: Iterable[int], theme: Theme) -> None:
    """A grey mark at the foot for what a log scale cannot show."""
    places = list(keys)
    if places:
        ax.plot(places, [0.01] * len(places), "x", color=theme.nothing, transform=ax.get_xaxis_transform(),
                label="exactly 0")


def _with(symbol: str, index: str) -> str:
    """A symbol with an index, set as mathematics if it is a letter or two."""
    return f"${symbol}_{{{index}}}$" if symbol.isalnum() and len(symbol) < 3 else f"{symbol} of {index}"


def _derivative(jacobians: StepJacobians) -> str:
    names = jacobians.states if len(jacobians.states) < 4 else ("s",)
    after, before = (", ".join(_with(name, index) for name in names) for index in ("t", "t-1"))
    return f"∂{after}/∂{before}" if len(names) == 1 else f"∂({after})/∂({before})"
