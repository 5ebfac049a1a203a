"""Comparison: the same gradient in several nets, on one time axis and one scale. Gates against plain tanh.

For each net one state is followed, the one that carries the memory (c if there is one, else h): how large ∂L/∂state is
at every step back from the loss, by which ways it came there from the step after, and by what factor each step changed
it. Numbers first; `Comparison.draw` and `viz.plot_comparison` show them, `Comparison.verdict` says what they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from microgradrnn.engine import Node
from viz.flow.drawable import Drawable
from viz.flow.horizon import Horizon, horizon
from viz.flow.messages import Flow, profiles
from viz.flow.ways import CARRY, STRAIGHT, Ways, ways
from viz.graph.root import Root, as_node
from viz.graph.steps import Edge, layer_of, no_steps, recurrent, states
from viz.graph.trace import trace
from viz.numbers import short

LONGEST = 32  # of a name in a sentence, in characters


@dataclass(frozen=True)
class Track:
    """The gradient at one state of one net, step by step, the last step first.

    Attributes:
        net, state: which.
        lags: how many steps before the last.
        norms: the Euclidean norm of ∂L/∂state.
        parts: for each way by which it came from the step after, the norm of that part; the parts add up as vectors,
            not as norms. ``straight`` came from the loss without a step back.
        colours: for each way the symbol and the role that colour it.
        fed: does gradient come in from the loss at earlier steps too? Then the norms are not what is left of one start.
    """

    net: str
    state: str
    lags: tuple[int, ...]
    norms: tuple[float, ...]
    parts: dict[str, tuple[float, ...]]
    colours: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    fed: bool = False

    def at(self, lag: int) -> float | None:
        """The norm at a lag; None if the net does not reach that far back."""
        return dict(zip(self.lags, self.norms, strict=True)).get(lag)

    @property
    def one(self) -> float:
        """The norm that counts as 1 in pictures: see `one_of`."""
        return one_of(self.lags, self.norms)

    def left(self, lag: int) -> float | None:
        """The norm at a lag, as a part of that at lag 0; None where there is no such number."""
        start, end = self.at(0), self.at(lag)
        if not start or end is None or not math.isfinite(start) or not math.isfinite(end):
            return None
        return end / start

    def horizon(self, fraction: float = 0.01) -> Horizon | None:
        """The largest lag at which the norm is above a fraction of its start; see `Profile.horizon`."""
        return horizon(self.lags, self.norms, fraction)

    def factors(self) -> list[float]:
        """By what each step back multiplied the norm: one number less than there are lags. NaN where it was zero."""
        return [ratio(after, before) for before, after in zip(self.norms, self.norms[1:], strict=False)]

    def kept(self) -> list[float]:
        """What the carry alone would have multiplied it by: ‖f ⊙ ∂c‖ / ‖∂c‖, a mean of f weighted by the gradient."""
        carried = self.parts.get(CARRY, (0.0,) * len(self.norms))
        return [ratio(after, before) for before, after in zip(self.norms, carried[1:], strict=False)]

    def shares(self, j: int) -> dict[str, float]:
        """At the j-th step, each way's share of the sum of the parts' norms. Empty where nothing finite arrives."""
        whole = sum(part[j] for part in self.parts.values())
        if not 0 < whole < math.inf:
            return {}
        return {way: part[j] / whole for way, part in self.parts.items()}

    @property
    def gated(self) -> bool:
        """Is anything carried over directly, be it without a number?"""
        return any(x != 0 for x in self.parts.get(CARRY, ()))


def one_of(lags: Sequence[int], norms: Sequence[float]) -> float:
    """The norm that counts as 1: that at lag 0. Where none starts there, it is the largest.

    >>> one_of((0, 1), (2.0, 8.0)), one_of((0, 1, 2), (0.0, 8.0, 4.0)), one_of((0,), (0.0,))
    (2.0, 8.0, 1.0)
    """
    start = dict(zip(lags, norms, strict=True)).get(0)
    if start and math.isfinite(start):
        return start
    return max((g for g in norms if 0 < g < math.inf), default=1.0)


def ratio(after: float, before: float) -> float:
    """after / before; NaN where that is no number."""
    return after / before if before > 0 and math.isfinite(before) and math.isfinite(after) else math.nan


def geometric(factors: Sequence[float]) -> float:
    """The geometric mean; 0 if one is 0, for what is wiped out once is gone. NaNs are left out; NaN without any.

    >>> geometric([0.5, 2.0, 4.0, 4.0]), geometric([1.0, 0.0]), geometric([math.nan, 3.0])
    (2.0, 0.0, 3.0)
    """
    known = [x for x in factors if not math.isnan(x)]
    if not known or {0.0, math.inf} <= set(known):
        return math.nan
    if 0.0 in known or math.inf in known:
        return 0.0 if 0.0 in known else math.inf
    return 2 ** (sum(map(math.log2, known)) / len(known)) if len(known) > 1 else known[0]


@dataclass(frozen=True)
class Comparison(Drawable):
    """Several tracks that are shown together. Made by `compare_flow`.

    Attributes:
        tracks: one for each net, in the order given, cut at the same lag.
        fraction: what a horizon is measured by.
    """

    tracks: tuple[Track, ...]
    fraction: float

    def __repr__(self) -> str:
        nets = ", ".join(f"{t.net}: {t.state}" for t in self.tracks)
        return f"Comparison({nets}; {max(len(t.lags) for t in self.tracks)} steps)"

    @property
    def verdict(self) -> str:
        """What the numbers say, in words."""
        return verdict(self.tracks, self.fraction)

    @property
    def finding(self) -> str:
        """The first sentence of the verdict: the title of pictures."""
        return sentences(self.tracks, self.fraction)[0].removesuffix(".")

    def records(self) -> list[dict[str, Any]]:
        """One dict for each net and step, ready for ``pandas.DataFrame``.

        Keys: net, state, lag, norm, factor (from the lag before), kept (the factor of the carry alone), and ``by f``,
        ``by carry``, ... for the norm of the part that came by each way. NaN where there is no such number.
        """
        rows = []
        for track in self.tracks:
            factors, kept = [math.nan, *track.factors()], [math.nan, *track.kept()]
            for j, lag in enumerate(track.lags):
                rows.append({"net": track.net, "state": track.state, "lag": lag, "norm": track.norms[j],
                             "factor": factors[j], "kept": kept[j],
                             **{f"by {way}": part[j] for way, part in track.parts.items()}})
        return rows


def compare_flow(
    nets: Mapping[str, Root | Flow], *, lags: int = 100, layer: int = -1, fraction: float = 0.01,
) -> Comparison:  # fmt: skip
    """Follow the gradient of several nets back through time, side by side.

    Args:
        nets: losses, of this library or of PyTorch, by the name of the net. A `Flow` in place of a loss tells only what
            was carried over directly from the rest, not the single gates apart.
        lags: how many steps back.
        layer: which layer of each net, the last made by default: the topmost of a stack, and in a bidirectional net the
            one that reads backwards, whose lag 0 is the first time step. A net of several is named with its layer.
        fraction: the horizon is the largest lag at which the norm is above this fraction of its start.

    Returns:
        A `Comparison`. Where no gradient reaches any state, its verdict and its drawing say so.

    Raises:
        TypeError: if something is neither a loss nor a `Flow`.
        ValueError: if there is no net, one has no time steps or hands nothing on.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> xs = np.random.default_rng(0).standard_normal((30, 1, 3))
    >>> found = compare_flow({"rnn": nn.RNN(3, 8, rng=0)(xs)[1].sum(), "gru": nn.GRU(3, 8, rng=0)(xs)[1].sum()})
    >>> found
    Comparison(rnn: h, gru: h; 30 steps)
    >>> [sorted(track.parts) for track in found.tracks]
    [['straight', 'tanh'], ['carry', 'n', 'r', 'straight', 'z']]
    >>> found.draw().save("nets.svg")  # doctest: +SKIP
    """
    if not isinstance(nets, Mapping):
        raise TypeError("compare_flow: nets is a dict from the name of each net to its loss, {'lstm': loss, ...}; got "
                        f"{type(nets).__name__}")
    if not nets:
        raise ValueError("compare_flow: no nets to compare")
    if lags < 1:
        raise ValueError(f"compare_flow: lags must be at least 1, got {lags}")
    if not 0 < fraction < 1:
        raise ValueError(f"compare_flow: fraction must lie between 0 and 1, got {fraction!r}")
    return Comparison(tuple(track_of(str(net), of, lags, layer) for net, of in nets.items()), fraction)


def track_of(net: str, of: Root | Flow, lags: int, layer: int = -1) -> Track:
    """The track of one net."""
    of = as_node("compare_flow", of)
    if not isinstance(of, (Node, Flow)):
        raise TypeError(f"compare_flow: {net!r} is a {type(of).__name__}; give the loss, or a Flow")
    if (count := len(recurrent(of.graph if isinstance(of, Flow) else trace(of)))) > 1:
        net = f"{net}, layer {range(1, count + 1)[layer] if -count <= layer < count else layer} of {count}"
    if isinstance(of, Flow):
        return from_flow(net, of, lags, layer)
    return of_ways(net, ways(of, layer=layer, by="last"), lags)


def of_ways(net: str, found: Ways, lags: int) -> Track:
    """The track of a net whose ways were measured, by the last step back."""
    n = min(sum(lag <= lags for lag in found.lags), len(found.lags) - found.initial)  # a Flow has no initial state
    parts = {way: tuple(float(g) for g in norms[:n]) for way, norms in found.norms.items()}
    return Track(net, found.state, found.lags[:n], tuple(float(g) for g in found.whole_norms[:n]),
                 {way: part for way, part in parts.items() if any(part)}, found.colours,
                 any(parts.get(STRAIGHT, ())[1:]))


def from_flow(net: str, flow: Flow, lags: int, layer: int = -1) -> Track:
    """The track of a net that was measured before: what was carried over, and the rest."""
    if not recurrent(flow.graph):
        raise ValueError(f"compare_flow, {net!r}: {no_steps(flow.graph)}")
    if flow.running(layer_of(flow.graph, layer, "compare_flow")) is not None:
        raise ValueError(f"compare_flow: {net!r} is the flow of a padded batch; its sequences end at different steps. "
                         "A Flow does not keep which of them get new gradient at a step; give the loss itself")
    profile = next(iter(profiles(flow, layer)), None)
    if profile is None:
        raise ValueError(f"compare_flow: {net!r} hands no state from one step to a later one")
    arrivals = {a.lag: a for a in flow.split(profile.state, layer)}
    shown = [lag for lag in profile.lags if lag <= lags]
    parts = {CARRY: tuple(arrivals[lag].carry if lag in arrivals else 0.0 for lag in shown),
             "rest": tuple(arrivals[lag].rest if lag in arrivals else 0.0 for lag in shown)}
    fed = fed_states(flow, layer)
    return Track(net, profile.state, tuple(shown), profile.norms[: len(shown)],
                 {way: part for way, part in parts.items() if any(part)},
                 fed=any(0 < a.lag <= lags and a.state == profile.state
                         for node, a in flow.arrivals.items() if node in fed))


def fed_states(flow: Flow, layer: int = -1) -> set[str]:
    """The states of a layer at which gradient arrives that has made no step back yet: `ways` calls it straight.

    Walks from the loss along messages that are not zero. From the first state on it stays within the step.
    """
    one = recurrent(flow.graph)[layer]
    step = {node: t for t, ids in one.steps.items() for node in ids.values()}
    handed_on = states(flow.graph, one)
    stack = [(flow.root, flow.root in handed_on)]
    seen = set(stack)
    while stack:
        node, arrived = stack.pop()
        for x, _, k in flow.graph.in_edges(node, keys=True):
            if flow.messages.get(Edge(node, k), 0.0) == 0 or (arrived and step.get(x) != step[node]):
                continue
            after = x, arrived or x in handed_on
            if after not in seen:
                seen.add(after)
                stack.append(after)
    return {node for node, arrived in seen if arrived and node in handed_on}


# ------------------------------------------------------------------------------------------------ in words
def verdict(tracks: Sequence[Track], fraction: float = 0.01) -> str:
    """How much of each gradient is left far back, who is first, and whether gates did better than plain tanh.

    Every sentence is true of the numbers, whatever they are, or is not said.

    >>> fast, slow = (Track(name, "h", (0, 1, 2), (1.0, x, x * x), {"tanh": (1.0, x, x * x)})
    ...               for name, x in [("a", 0.5), ("b", 0.9)])
    >>> verdict([fast, slow])
    '2 steps back, 81 % of the gradient is left in b and 25 % in a.'
    """
    return " ".join(sentences(tracks, fraction))


def sentences(tracks: Sequence[Track], fraction: float) -> list[str]:
    """The verdict, sentence by sentence; the first says most."""
    if not any(any(track.norms) for track in tracks):
        return ["No gradient starts at any of these states, so there is nothing to follow."]
    known = [track for track in tracks if track.left(0)]
    return [*(what_is_left(known, fraction) if known else ()), *(no_start(t) for t in tracks if t not in known)]


def no_start(track: Track) -> str:
    """Why nothing can be measured by the gradient at lag 0."""
    net, start = quoted(track.net), track.at(0)
    first = next((lag for lag, norm in sorted(zip(track.lags, track.norms, strict=True)) if norm), None)
    if start is None:
        return f"There is no lag 0 in {net} to compare with."
    if start != 0:
        return f"Nothing finite starts in {net}."
    if first is None:
        return f"No gradient starts in {net}."
    words = f"In {net} exactly nothing arrives at lag 0, where its loop ended; the first gradient is at lag {first}"
    if first == max(track.lags):
        words += ", as in a layer that reads backwards in time under the loss of the last step"
    return words + "."


def what_is_left(known: Sequence[Track], fraction: float) -> list[str]:
    """The sentences on tracks that have a finite start: of the furthest lag that all of them have."""
    lag = max(set.intersection(*(set(track.lags) for track in known)))
    if lag == 0:
        short_ones = [quoted(track.net) for track in known if max(track.lags) == 0]
        if len(short_ones) == len(known):
            return ["There is a single step, so the gradient has no way back to go."]
        why = (f"There is a single step in {listed(short_ones)}" if short_ones else
               "These nets have no lag in common but 0")
        return [f"{why}, so there is nothing further back to compare."]
    ranked = sorted(known, key=lambda track: -1.0 if (left := track.left(lag)) is None else left, reverse=True)
    fed = [quoted(track.net) for track in ranked if track.fed]
    shares = [track.left(lag) for track in ranked]
    relative = bool(fed) or any(share is None or share > 1 for share in shares)
    start, of = ("the gradient, as a multiple of lag 0, is ", "") if relative else ("", " of the gradient is left")
    said = [f"{amount(track, lag, short if relative else percent)}{of * (j == 0)} in {quoted(track.net)}"
            for j, track in enumerate(ranked)]
    words = [f"{lag} step{'s' * (lag > 1)} back, {start}{listed(said)}."]
    if fed:
        of = f" of {listed(fed)}" if len(fed) < len(known) else ""
        words.append(f"New gradient comes in at earlier steps{of} too, not only at the last.")
    more = [] if fed else [faster(ranked, lag), sooner(ranked, lag, fraction)]
    return [*words, *filter(None, [what_carries(ranked, lag), *more])]


def amount(track: Track, lag: int, written: Callable[[float], str]) -> str:
    """What is left at a lag, in words; exactly zero is what is exactly zero."""
    share = track.left(lag)
    if share is None:
        return "not finite"
    if share == math.inf:
        return "more than 10³⁰⁸"
    if track.at(lag) == 0:
        return "exactly nothing" if written is percent else "exactly 0"
    return written(share) if share > 1e-307 else "less than 10⁻³⁰⁷"  # below, digits are lost


def what_carries(ranked: Sequence[Track], lag: int) -> str:
    """How much the carries keep a step."""
    said: list[str] = []
    for track in ranked:
        kept = [x for x, there in zip(track.kept(), track.lags[1:], strict=True) if there <= lag]
        known = [x for x in kept if not math.isnan(x)]
        mean = geometric(known)
        if track.gated and math.isfinite(mean):
            size = mean_factor(mean) if mean else "exactly 0"
            over = f" over {len(known)} of its {len(kept)} steps" if len(known) < len(kept) else ""
            said.append(f"{size}{' of it per step' * (not said)} in {quoted(track.net)}{over}")
    return f"The carry alone keeps {listed(said)} (geometric mean)." if said else ""


def mean_factor(mean: float) -> str:
    """A mean factor per step: in hundredths where that reads well.

    >>> mean_factor(0.7312), mean_factor(1.0), mean_factor(0.0012), mean_factor(0.0)
    ('0.73', '1.00', '0.0012', '0')
    """
    return f"{mean:.2f}" if 0.005 <= mean < 1000 else short(mean)


def faster(ranked: Sequence[Track], lag: int) -> str:
    """Which gated nets forget faster than a plain one that does not explode, by more than a hundredth."""
    plain = next((track for track in ranked if not track.gated), None)
    most = plain.left(lag) if plain else None
    if plain is None or most is None or most > 1:
        return ""
    nets = [quoted(track.net) for track in ranked
            if track.gated and (left := track.left(lag)) is not None and left < 0.99 * most]
    if not nets:
        return ""
    return (f"Gates or not, {listed(nets)} forget{'s' * (len(nets) == 1)} faster than {quoted(plain.net)}, which has "
            "no carry.")


def sooner(ranked: Sequence[Track], lag: int, fraction: float) -> str:
    """A net may have more left far back and yet have lost most of it earlier: say so."""
    for j, a in enumerate(ranked):
        ha = a.horizon(fraction)
        if ha is None or ha.open:
            continue  # it ends before the gradient does
        for b in ranked[j + 1 :]:
            hb, more, less = b.horizon(fraction), a.left(lag), b.left(lag)
            if hb is not None and ha < hb and more is not None and less is not None and more > less:
                return (f"But {quoted(a.net)} is last above {100 * fraction:g} % at lag {ha}, sooner than "
                        f"{quoted(b.net)}, at lag {int(hb)}{' or later' * hb.open}.")
    return ""


def percent(share: float) -> str:
    """A share: in percent where that reads well.

    >>> percent(0.25), percent(3e-9), percent(0.0)
    ('25 %', '3.0·10⁻⁹', 'exactly nothing')
    """
    if share == 0:
        return "exactly nothing"
    return short(share) if share < 0.001 else f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


def quoted(net: str) -> str:
    """The name of a net as part of a sentence."""
    if len(net) > LONGEST:
        net = net[:LONGEST - 1] + "…"
    return net if net.isalnum() else f"“{net}”"


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
