"""Gradients through time, drawn with matplotlib (the extra ``plots``): who is blamed, shares, and step Jacobians.

Every function takes the numbers of `viz.flow.blame` or `viz.flow.jacobians`, an ``ax`` to draw on (a new figure by
default), a ``theme``, and returns the Axes. The title says what the data show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np

from viz.errors import need
from viz.flow.blame import LocalErrors, Shares
from viz.flow.compare import listed
from viz.flow.finding import steps as so_many_steps
from viz.flow.jacobians import StepJacobians
from viz.graph.trace import norm
from viz.numbers import in_powers, short
from viz.plots.axes import COLOURS, axes, dressed, key, name_curves, scale_bar
from viz.scale import Scale, need_scale
from viz.theme import Theme, need_theme

FORWARD, AGAINST = "#0072b2", "#e69f00"  # Okabe and Ito's blue and orange: never red against green


def plot_local_errors(
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

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> ax = plot_local_errors(viz.local_errors([hs[t].sum() for t in range(6)]))
    >>> ax.get_ylabel()
    't: the step of the loss'
    """
    need("plot_local_errors", errors, LocalErrors, "what viz.local_errors(loss) returns")
    theme = need_theme(theme)
    need_scale("plot_local_errors", scale)
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
        key(ax, theme, handles=shown)
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


def plot_shares(
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

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> ax = plot_shares(viz.shares(hs[-1].sum())["W"])
    >>> ax.get_xlabel()
    'step that used it'
    """
    need("plot_shares", shares, Shares, "the shares of one parameter, viz.shares(loss)['W']")
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
    key(ax, theme)
    together, left = float(norms.sum()) + norm(shares.rest), f"{100 * shares.cancellation():.0f} %"
    return dressed(ax, f"{left} of the shares is left when they are added: ‖{said}‖ is {short(whole)}, the sum of "
                   f"‖shares‖ {short(together)}", theme)


def plot_singular_values(
    jacobians: StepJacobians, *, theme: Theme | str | None = None, ax: Any = None
) -> Any:
    """By what factor each step can multiply a gradient: above 1 it stretches one, below 1 it shrinks it.

    The factors are the singular values of the step's Jacobian: the band reaches from the smallest to the largest, the
    dashed line is the median. The black line is what the steps do together: by what factor the step changed the norm
    of the product of all Jacobians from it to the end. It lies below the largest singular values, because the direction
    that one step stretches most is not the one that the next step stretches most.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> ax = plot_singular_values(viz.step_jacobians(hs[-1].sum()))
    >>> ax.get_ylabel()
    'factor by which a step multiplies a gradient'
    """
    need("plot_singular_values", jacobians, StepJacobians, "what viz.step_jacobians(loss) returns")
    theme = need_theme(theme)
    ax = axes(ax, (7.4, 4.4), theme)
    at, values, product = jacobians.steps, jacobians.singular_values(), jacobians.transport()
    with np.errstate(invalid="ignore"):  # infinity less infinity, where nothing is left
        together = 10 ** np.diff(product)[::-1]
    together[-1:] = np.nan  # the product of one Jacobian: its largest singular value
    band = ax.fill_between(at, values[:, -1], values[:, 0], color=FORWARD, alpha=0.18, linewidth=0, label=(
        f"all singular values of {_derivative(jacobians)}, of one sequence"))
    lines = [
        *ax.plot(at, values[:, 0], color=FORWARD, linewidth=1.8, label="the largest"),
        *ax.plot(at, np.median(values, axis=1), color=FORWARD, linewidth=1.2, dashes=(5, 2), label="the median"),
        *ax.plot(at, together, color=theme.ink, linewidth=1.8, label="all steps together"),
    ]
    one = ax.axhline(1, color=theme.wire, linewidth=1.2, linestyle=":", label="1: neither stretched nor shrunk")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("step t (the gradient goes from right to left)")
    ax.set_ylabel("factor by which a step multiplies a gradient")
    name_curves(ax, lines, theme)
    key(ax, theme, [band, one])
    return dressed(ax, stretched(values[np.isfinite(values)], float(product[-1]), len(at)), theme)


def stretched(values: np.ndarray, together: float, n: int) -> str:
    """What one step can do, and what n steps do together: the base-10 logarithm of the norm of their product."""
    if not len(values):
        return "No Jacobian is finite"
    most = float(values.max())
    one = (f"A step can make a gradient {factor(most)} times as large" if most > 1 else
           f"Every step shrinks a gradient, to {factor(most)} at most")
    if math.isnan(together):
        return one
    all_of = f"{n} steps together"
    if together >= 0:
        return f"{one}, and {all_of} make it up to {in_powers(together)} times as large"
    most_of = "at most " if math.isfinite(together) else ""
    return f"{one}, {'but' if most > 1 else 'and'} {all_of} leave {most_of}{amount(together)} of it"


def factor(x: float) -> str:
    """A factor; one near 1 with two decimals.

    >>> factor(1.064), factor(0.5)
    ('1.06', '0.5')
    """
    return f"{x:.2f}" if 0.9 < x < 1.1 else short(x)


def plot_transport(
    jacobians: Mapping[str, StepJacobians], *, W: Mapping[str, Any] | None = None, slope: float = 1.0,
    theme: Theme | str | None = None, ax: Any = None,
) -> Any:  # fmt: skip
    """The norm of the product of Jacobians against the lag, log scale: what happens to a gradient on its way back.

    Solid, the truth, ‖∂s_T/∂s_{T-k}‖₂. Dashed, the product of the norms of the steps, which is never less. Dotted, for
    simple nets, the bound ``(‖W‖₂ max|φ'|)^k``.

    Args:
        jacobians: by the name of the net.
        W: the recurrent matrices of those that are simple nets, by the same names.
        slope: ``max |φ'|`` of the simple nets.
        theme: a name or a `Theme`; by default that of `set_theme`.
        ax: the axes to draw on.

    Returns:
        The Axes. The data of its lines are base-10 logarithms.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.
        ValueError: if there is nothing to draw.

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> ax = plot_transport({"rnn": viz.step_jacobians(hs[-1].sum())})
    >>> ax.get_xlabel()
    'lag k: steps back from the end'
    """
    need("plot_transport", jacobians, Mapping, "a dict, {'lstm': viz.step_jacobians(loss), ...}")
    for one in jacobians.values():
        need("plot_transport", one, StepJacobians, "what viz.step_jacobians(loss) returns, for each net")
    if not jacobians:
        raise ValueError("plot_transport: no Jacobians to plot")
    theme = need_theme(theme)
    ax = axes(ax, (8.2, 4.6), theme)
    from matplotlib.lines import Line2D

    lines, left = [], {}
    for (name, one), colour in zip(jacobians.items(), cycle(COLOURS), strict=False):
        left[name] = one.transport()
        lags = np.arange(len(left[name]))
        lines += ax.plot(lags, _finite(left[name]), color=colour, linewidth=1.8, label=name)
        ax.plot(lags, _finite(one.product_of_norms()), color=colour, linewidth=1.2, dashes=(5, 2))
        if W is not None and name in W:
            ax.plot(lags, one.bound(W[name], slope), color=colour, linewidth=1.2, linestyle=":")
    ax.axhline(0, color=theme.ink, linewidth=0.8)
    ax.yaxis.set_major_formatter(lambda log, _: in_powers(log))
    ax.set_xlabel("lag k: steps back from the end")
    ax.set_ylabel("the most that is left of a gradient")
    name_curves(ax, lines, theme)
    styles: dict[str, dict[str, Any]] = {
        "‖∂$s_T$/∂$s_{T-k}$‖₂, s: the state of one sequence": {"linewidth": 1.8},
        "bound: the largest factor of each step, multiplied": {"dashes": (5, 2)},
        **({"bound: (‖W‖₂ max|φ'|)ᵏ": {"linestyle": ":"}} if W else {}),
    }
    key(ax, theme, [Line2D([], [], color=theme.ink, label=words, **how) for words, how in styles.items()])
    return dressed(ax, transported(left), theme)


def transported(left: Mapping[str, np.ndarray]) -> str:
    """What is left of a gradient at the largest lag that all nets have; of many nets, of the best and the worst."""
    lag = min(map(len, left.values())) - 1
    ranked = sorted(left, key=lambda name: -np.nan_to_num(left[name][lag], nan=np.inf))
    said = [f"{amount(float(left[name][lag]))} in {name}"
            for name in (ranked if len(ranked) < 4 else (ranked[0], ranked[-1]))]
    of = f", of {len(ranked)} nets," if len(ranked) > 3 else ""
    return f"After {so_many_steps(lag)}{of} at most this is left of a gradient: {listed(said)}"


def amount(log: float) -> str:
    """How much is left, from its base-10 logarithm.

    >>> amount(-2.0), amount(-math.inf), amount(math.nan)
    ('0.01', 'exactly nothing', 'nothing finite')
    """
    return "nothing finite" if math.isnan(log) else in_powers(log) if math.isfinite(log) else "exactly nothing"


def plot_eigenvalues(jacobians: StepJacobians, *, theme: Theme | str | None = None, ax: Any = None) -> Any:
    """The eigenvalues of every step's Jacobian in the complex plane, and why they mislead.

    Inside the unit circle, a step shrinks a gradient if it is repeated often enough. A loop takes another step each
    time, and then the eigenvalues bound nothing. What bounds a step is its largest singular value, the dashed circle.

    Raises:
        TypeError: if given something else.
        ImportError: without matplotlib.

    >>> import numpy as np
    >>> import viz
    >>> from microgradrnn import nn
    >>> hs, _ = nn.RNN(3, 4, rng=0)(np.ones((6, 1, 3)))
    >>> ax = plot_eigenvalues(viz.step_jacobians(hs[-1].sum()))
    >>> ax.get_xlabel()
    'real part of λ'
    """
    need("plot_eigenvalues", jacobians, StepJacobians, "what viz.step_jacobians(loss) returns")
    theme = need_theme(theme)
    ax = axes(ax, (6.4, 6.0), theme)
    values, stretch = jacobians.eigenvalues(), jacobians.singular_values()[:, 0]
    most = max(stretch[np.isfinite(stretch)], default=math.nan)
    sizes = np.abs(values[np.isfinite(values)])
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color=theme.ink, linewidth=1.2, label="|λ| = 1")
    if most == most:
        ax.plot(most * np.cos(turn), most * np.sin(turn), color=AGAINST, linewidth=1.8, dashes=(5, 2),
                label=f"the largest singular value, {factor(most)}: a step multiplies by no more")
    ax.plot(values.real.ravel(), values.imag.ravel(), "o", color=FORWARD, markersize=4, markeredgewidth=0, alpha=0.6,
            label=f"eigenvalues λ of {_derivative(jacobians)} at {len(values)} steps, of one sequence")
    ax.set_aspect("equal", adjustable="datalim")
    ax.locator_params(nbins=5)
    ax.set_xlabel("real part of λ")
    ax.set_ylabel("imaginary part of λ")
    key(ax, theme)
    return dressed(ax, eigenvalued(sizes, most), theme)


def eigenvalued(sizes: np.ndarray, most: float) -> str:
    """How large the eigenvalues are, and what a step can do all the same."""
    if not len(sizes):
        return "No eigenvalue is finite"
    inside = int((sizes < 1).sum())
    where = f"All {len(sizes)}" if inside == len(sizes) else f"{inside} of {len(sizes)}"
    but = "but " if most > 1 and inside == len(sizes) else ""
    return (f"{where} eigenvalues lie inside the unit circle, the largest at |λ| = {factor(float(sizes.max()))}; "
            f"{but}a step can multiply a gradient by up to {factor(most)}")


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
