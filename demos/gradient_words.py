"""What the lesson `demos.gradient_flow` found, in words: the result of each net, the table and the verdict.

Every sentence is computed from the numbers, whatever they are. What the numbers do not show is not said.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import viz
from viz.flow.compare import geometric, listed, mean_factor
from viz.flow.ways import CARRY
from viz.numbers import short

LAGS = (10, 50, 100)  # where the table and the sentences read the norms


@dataclass(frozen=True)
class Cell:
    """A kind of recurrent net.

    Attributes:
        kind: its word on the command line, and the start of its file names.
        name: as pictures and tables show it.
        spoken: as it stands in a sentence, after "the".
        make: builds the layer, ``make(D, H, rng=, dtype=)``.
        gates: the gates and the candidate whose matrices lie side by side in one weight.
        forget_bias: the value at which the bias of the forget gate starts; None where there is none.
    """

    kind: str
    name: str
    spoken: str
    make: Callable[..., Any]
    gates: tuple[str, ...] = ()
    forget_bias: float | None = None


@dataclass
class Result:
    """What came out for one net.

    Attributes:
        cell: which.
        parameters: how many numbers were trained.
        train_bits, held_out_bits: the mean loss of a character, in bits.
        loss_bits: the loss of the passage's last character, in bits.
        flow: its gradient, on every edge.
        track: its gradient at the state that carries the memory, and by which ways it came.
        profiles: its norm at every state: first the one that carries the memory, c if there is one, else h.
        heard: how strongly each answer depends on each character read, (T, T).
        loss: the loss of the passage's last character itself.
    """

    cell: Cell
    parameters: int
    train_bits: float
    held_out_bits: float
    loss_bits: float
    flow: viz.Flow
    track: viz.Track
    profiles: list[viz.Profile] = field(default_factory=list)
    heard: Any = None
    loss: Any = None

    @property
    def name(self) -> str:
        """As it stands in a sentence: ``the LSTM``."""
        return f"the {self.cell.spoken}"

    @property
    def longest(self) -> viz.Profile:
        """The profile of the state that carries the memory."""
        return self.profiles[0]

    def left(self, lag: int) -> float:
        """The norm at a lag as a part of that at lag 0."""
        return (self.longest.at(lag) or 0.0) / (self.longest.at(0) or 1.0)


# ------------------------------------------------------------------------------------------------ pieces
def horizon_text(profile: viz.Profile) -> str:
    """The horizon: ``≥ 149`` where the gradient is still alive at the first character, – where there is none."""
    horizon = profile.horizon()
    return "–" if horizon is None else str(horizon)


def percent(x: float) -> str:
    """A share, in two digits; in percent where that reads well.

    >>> percent(0.019), percent(2e-7), percent(1.0)
    ('1.9 %', '2.0·10⁻⁷', '100 %')
    """
    return short(x) if 0 < x < 1e-4 else f"{100 * x:.2g} %" if x < 0.995 else f"{100 * x:.0f} %"


def steps(n: int) -> str:
    """``1 step``, ``2 steps``"""
    return f"{n} step{'s' * (n != 1)}"


def common_lag(results: Sequence[Result]) -> int | None:
    """The largest lag of the table that all nets reach."""
    return max((lag for lag in LAGS if all(r.longest.at(lag) is not None for r in results)), default=None)


# ------------------------------------------------------------------------------------------------ one net
def table(results: Sequence[Result]) -> list[list[str]]:
    """The summary, row by row, the heading first."""
    rows = [["net", "parameters", "bits/char train", "held-out", "state", "horizon", "norm at lag 0",
             *[f"lag {lag}" for lag in LAGS]]]
    for r in results:
        for j, p in enumerate(r.profiles):
            start = [r.cell.name, f"{r.parameters:,}", f"{r.train_bits:.2f}", f"{r.held_out_bits:.2f}"]
            start = start if j == 0 else [""] * len(start)
            norms = [p.at(lag) for lag in (0, *LAGS)]
            rows.append([*start, p.state, horizon_text(p), *["–" if g is None else short(g) for g in norms]])
    return rows


def sentence(r: Result) -> str:
    """What the numbers of one net say."""
    p = r.longest
    start, horizon = p.at(0), p.horizon()
    if horizon is None:
        return (f"The gradient at {p.state} of the last step is {short(start or 0.0)}, so there is nothing to follow "
                f"back (the last character cost {r.loss_bits:.2f} bits).")
    lag = max((lag for lag in LAGS if p.at(lag) is not None), default=p.lags[-1])
    end = (f"It stays above 1 % of its start as far back as is known, {steps(int(horizon))}" if horizon.open else
           "It is below 1 % of its start at every step back" if horizon == 0 else
           f"It is last above 1 % of its start {steps(horizon)} back")
    return (f"The last character cost {r.loss_bits:.2f} bits. The norm of the gradient at {p.state} starts at "
            f"{short(start or 0.0)}. {end}; {steps(lag)} back, {percent(r.left(lag))} of it is left." + came_by(r))


def came_by(r: Result) -> str:
    """How much of the gradient was carried over directly, and how much came another way."""
    shares = [found for j, lag in enumerate(r.track.lags) if 1 <= lag <= 50 and (found := r.track.shares(j))]
    if not shares:
        return ""
    if not r.track.gated:
        return f" All that arrives at {r.track.state} from the step after came through the matrix and the tanh."
    direct, other = two_shares(statistics.median(found.get(CARRY, 0.0) for found in shares))
    return (f" Of what arrives at {r.track.state} from the step after, {direct} was carried over directly and "
            f"{other} came through gates and candidate (median over {steps(len(shares))}, by norm).")


def two_shares(share: float) -> tuple[str, str]:
    """A share and the rest, in percent, so that they add up to 100.

    >>> two_shares(0.93), two_shares(0.99962), two_shares(1.0), two_shares(0.0002)
    (('93.0 %', '7.0 %'), ('more than 99.9 %', 'less than 0.1 %'), ('all', 'nothing'), ('less than 0.1 %', \
'more than 99.9 %'))
    """
    if share in (0, 1):
        return ("all", "nothing") if share else ("nothing", "all")
    if share > 0.999:
        return "more than 99.9 %", "less than 0.1 %"
    if share < 0.001:
        return "less than 0.1 %", "more than 99.9 %"
    first = round(100 * share, 1)
    return f"{first:.1f} %", f"{100 - first:.1f} %"


# ------------------------------------------------------------------------------------------------ all nets
def findings(results: Sequence[Result]) -> list[str]:
    """What the numbers say, sentence by sentence, the most important first; no more than they say."""
    if len(results) == 1:
        return [sentence(results[0])]
    found = [(h, r) for r in results if (h := r.longest.horizon()) is not None]
    if len(found) < 2:
        return ["There are not two nets with a gradient to compare."]
    compared = [r for _, r in found]
    said = [left_over(compared), value_of_the_gate(compared), horizons(found), unlike_starts(compared),
            two_rates(compared)]
    return [words for words in said if words]


def verdict(results: Sequence[Result]) -> str:
    """All findings."""
    return " ".join(findings(results))


def left_over(results: Sequence[Result]) -> str:
    """How much is left far back: two nets with the same horizon may differ a millionfold there."""
    lag = common_lag(results)
    if lag is None:
        return ""
    shares = "; ".join(f"{r.cell.name}: {percent(r.left(lag))}" for r in results)
    return f"{steps(lag)} back, this part of the gradient is left: {shares}."


def value_of_the_gate(results: Sequence[Result]) -> str:
    """Whether the value of a gate decides: LSTMs that differ in nothing but where a bias starts."""
    lstms = sorted((bias, k) for k, r in enumerate(results) if (bias := r.cell.forget_bias) is not None)
    ends = [results[k] for _, k in (lstms[:1] + lstms[-1:])]
    lag = common_lag(ends)
    if len(lstms) < 2 or lag is None:
        return ""
    kept = [geometric(r.track.kept()[:lag]) for r in ends]
    two = len(lstms) == 2
    words = (f"The {'two ' if two else ''}LSTMs differ only in the value at which the bias of the forget gate "
             f"starts, {listed([f'{bias:g}' for bias, _ in lstms])}. The carry of the first keeps "
             f"{mean_factor(kept[0])} of the gradient per step, that of the {'second' if two else 'last'} "
             f"{mean_factor(kept[1])} (geometric mean).")
    if kept[1] > kept[0] and ends[1].left(lag) > 2 * ends[0].left(lag):
        words += " So the value of the gate decides how far the gradient reaches."
    return words


def horizon_of_each(results: Sequence[Result]) -> str:
    """The horizon of each net that has one."""
    said = "; ".join(f"{r.cell.name}: {horizon_text(r.longest)} (at {r.longest.state})" for r in results
                     if r.longest.horizon() is not None)
    return f"Largest lag with more than 1 % left: {said or 'none'}"


def horizons(found: Sequence[tuple[viz.Horizon, Result]]) -> str:
    """The horizon of each net, and which nets reached further back than the plain one."""
    words = f"{horizon_of_each([r for _, r in found])}. "
    plain = next((h for h, r in found if not r.cell.gates), None)
    gated = [(h, r) for h, r in found if r.cell.gates]
    if plain is None or not gated:
        furthest = max(h for h, _ in found)
        return f"{words}The gradient of {listed([r.name for h, r in found if h == furthest])} reached furthest."
    further = [r.name for h, r in gated if h > plain]
    nearer = [r.name for h, r in gated if h < plain]
    same = [r.name for h, r in gated if h == plain]
    parts = [f"the gated path{'s' * (len(names) > 1)} of {listed(names)} reached {how} the plain tanh path"
             for names, how in ((further, "further back than"), (nearer, "less far back than"),
                                (same, "as far back as")) if names]
    return f"{words}By this measure, {'; '.join(parts)}."


def unlike_starts(results: Sequence[Result]) -> str:
    """A horizon counts from its own start: say so where the starts are far apart."""
    starts = [(r.longest.at(0) or 0.0, r) for r in results]
    (low, least), (high, most) = (choose(starts, key=lambda pair: pair[0]) for choose in (min, max))
    if high <= 10 * low:
        return ""
    return (f"These lags count from each net's own start, and the starts differ: {short(high)} for {most.name}, "
            f"{short(low)} for {least.name}.")


def two_rates(results: Sequence[Result]) -> str:
    """Where a net has no longer horizon than another and yet far more left: how fast each falls, early and late."""
    lags = [lag for lag in LAGS if all(r.longest.at(lag) for r in results)]
    if len(lags) < 2:
        return ""
    first, late, last = lags[0], lags[-2], lags[-1]

    def factor(r: Result, a: int, b: int) -> float:
        return float((r.left(b) / r.left(a)) ** (1 / (b - a)))

    pairs = [(r.left(last) / other.left(last), r, other) for r in results for other in results
             if (r.longest.horizon() or 0) <= (other.longest.horizon() or 0) and r.left(last) > 10 * other.left(last)]
    if not pairs:
        return ""
    times, r, other = max(pairs, key=lambda pair: pair[0])
    return (f"The horizon measures the first drop only. That of {r.name} is no longer than that of {other.name} "
            f"({r.longest.horizon()} against {other.longest.horizon()}), yet {steps(last)} back {short(times)} times "
            f"as much of its start is left. Over the first {steps(first)}, {r.name} keeps "
            f"{factor(r, 0, first):.2f} per step and {other.name} {factor(other, 0, first):.2f}; from {late} to {last} "
            f"steps back, {factor(r, late, last):.2f} and {factor(other, late, last):.2f}.")
