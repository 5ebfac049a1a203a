"""The guided tour: eight stations, each with one idea, in sentences that are computed from the data.

Whatever the net is, each sentence is true of it, or is not said: a net may have no gates, explode, or keep its gradient
without a carry. Where there is nothing to show at a station, the station says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from viz.explorer.lane import Lane
from viz.flow.compare import geometric, listed, mean_factor, quoted
from viz.flow.finding import steps, times
from viz.flow.ways import CARRY
from viz.numbers import short

ALIKE_RATES = 0.2  # two rates of decay are alike if their logarithms differ by no more than this part
LITTLE, MUCH = 0.01, 100.0  # of the gradient at lag 0: below, it has vanished; above, it explodes
ALIKE = 10.0  # a cut that takes less than this factor does not kill the gradient
UNNAMED = "the net"  # what a net without a name is called
SAME = 0.8  # a cut that leaves more than this part changes little


def tour(lanes: Sequence[Lane]) -> list[dict[str, Any]]:
    """The stations, ready for JSON."""
    guide = Guide(lanes)
    stations = [guide.step(), guide.unrolled(), guide.reverse(), guide.vanishing(), guide.carry(), guide.cut(),
                guide.bias(), guide.yours()]
    return [{"station": name, "title": title, **station} for (name, title), station in zip(TITLES, stations,
                                                                                         strict=True)]


TITLES = (
    ("step", "One step"), ("unrolled", "The same step, again and again"), ("reverse", "The way back"),
    ("vanishing", "What is left far back"), ("carry", "The carry"), ("cut", "Cut a way"), ("bias", "Change the net"),
    ("yours", "Your turn"),
)


class Guide:
    """Chooses a lane for each station and says what there is to see."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = lanes
        self.gated = next((j for j, lane in enumerate(lanes) if lane.track.gated), None)
        self.main = self.gated or 0

    def at(self, j: int, turn: int, *words: str, **shown: Any) -> dict[str, Any]:
        """A station at a step of a lane."""
        return {"words": " ".join(filter(None, words)), "lane": j, "turn": max(turn, 0), "set": shown}

    # ------------------------------------------------------------------------------------------------ forwards
    def step(self) -> dict[str, Any]:
        """What one step computes."""
        lane = self.lanes[self.main]
        states = [lane.stamp.tile.cell.symbols.get(state, state) for state in lane.stamp.row.named]
        glyphs = lane.stamp.tile.cell.glyphs.values()
        gates = [str(glyph.symbol) for glyph in glyphs if glyph.role == "gate" and glyph.symbol]
        reads = "an input and " if any(glyph.shape == "input" for glyph in glyphs) else ""
        handed = (f"It reads {reads}the state{'s' * (len(states) > 1)} {listed(states)} of the step before, and "
                  f"computes {listed(states)} for the next one.") if states else "It hands no state on."
        how = (f"Its gate{'s' * (len(gates) > 1)} {listed(gates)} let{'s' * (len(gates) == 1)} more or less through."
               if gates else "Nothing in it is marked as a gate." if any(glyph.label == "σ" for glyph in glyphs)
               else "It has no gates.")
        return self.at(self.main, lane.T - 1, f"This is one step of {called(lane)}.", handed, how)

    def unrolled(self) -> dict[str, Any]:
        """How often the cell is used."""
        lane = self.lanes[self.main]
        lengths = dict.fromkeys(lane.T for lane in self.lanes)
        if list(lengths) == [1]:
            return self.at(self.main, 0, "The loop takes a single step, so there is nothing to unroll.")
        said = (steps(lane.T) if len(lengths) == 1 else
                listed([f"{steps(one.T)} of {called(one)}" for one in self.lanes]))
        return self.at(self.main, lane.T // 2, f"The loop takes {said}. Every step is the same cell with the same "
                       "weights; only its numbers differ. Move the cursor to read them.")

    # ------------------------------------------------------------------------------------------------ backwards
    def reverse(self) -> dict[str, Any]:
        """Where the gradient starts, and which way it goes."""
        lane = self.lanes[self.main]
        start, state = lane.profile.at(0), lane.profile.state
        if start is None or not math.isfinite(start):
            where = f"No finite gradient starts at {state} at the last step."
        elif start == 0:
            where = f"At {state} of the last step no gradient starts."
        else:
            where = f"It starts at the last step: its norm at {state} is {short(start)} there."
        fed = "New gradient comes in at earlier steps too, from their own losses." if lane.track.fed else ""
        return self.at(self.main, lane.T - 1, "The reverse pass goes from the loss back in time, step by step.", where,
                       fed, "Press play to watch it.")

    def vanishing(self) -> dict[str, Any]:
        """What is left at the largest lag that all lanes have."""
        lag = min(max(lane.track.lags, default=0) for lane in self.lanes)
        known = [(j, left) for j, lane in enumerate(self.lanes) if (left := lane.track.left(lag)) is not None]
        if lag == 0:
            return self.at(self.main, 0, "There is no earlier step that all nets have.")
        if not known:
            return self.at(self.main, 0, "No finite gradient starts at the last step, so there is nothing that the "
                           "gradient further back could be compared with.")
        known.sort(key=lambda found: found[1])
        least = known[0][0]
        said = [f"{times(left)} {'that at lag 0 ' * (not i)}in {called(self.lanes[j])}"
                for i, (j, left) in enumerate(known)]
        vanished = [called(self.lanes[j]) for j, left in known if left < LITTLE]
        exploded = [called(self.lanes[j]) for j, left in known if left > MUCH]
        words = [f"{steps(lag)} back, the gradient is {listed(said)}."]
        if vanished:
            words.append(f"It has vanished in {listed(vanished)}.")
        if exploded:
            words.append(f"It explodes in {listed(exploded)}.")
        if not vanished and not exploded:
            words.append(f"It neither vanishes nor explodes over {steps(lag)}.")
        if any(self.lanes[j].track.fed for j, _ in known):
            words.append("(New gradient comes in on the way, so this is not what is left of one start.)")
        lane = self.lanes[least]
        return self.at(least, lane.T - 1 - lag, *words)

    def carry(self) -> dict[str, Any]:
        """What the carry keeps of the gradient at each step."""
        lane = self.lanes[self.main]
        if max(one.T for one in self.lanes) == 1:
            return self.at(self.main, 0, "The loop takes a single step, so nothing is carried from step to step.")
        if self.gated is None:
            named = listed([f"{one.profile.state} of {called(one)}" for one in self.lanes])
            ways = [] if lane.cuts is None else list(lane.cuts.ways)
            through = f" In {called(lane)} the way back is through {listed(ways)}." if ways else ""
            return self.at(self.main, lane.T - 1, f"No carry leads to {named}: there is no way from the step after "
                           f"through sums and products entry by entry alone.{through}")
        state = lane.profile.state
        kept = geometric(lane.track.kept())
        line = next((line for line in (lane.equations.lines if lane.equations else ()) if line.symbol == state), None)
        formula = f" by {in_words(str(line))}" if line is not None and f"{state}_{{t-1}}" in line.right else ""
        mean = (f"Along it each step multiplies the norm of the gradient by {mean_factor(kept)} (geometric mean)."
                if math.isfinite(kept) else "")
        return self.at(self.main, lane.T - 1, f"In {called(lane)} the state {state} is carried over{formula}, by "
                       "sums and products entry by entry alone: this is the tinted band through the cell.", mean,
                       wires="carry")

    # ------------------------------------------------------------------------------------------------ what if
    def cut(self) -> dict[str, Any]:
        """What is left without the carry; or without the largest way, where there is no carry."""
        j = next((j for j in (self.main, *range(len(self.lanes))) if self.lanes[j].cuts is not None), None)
        if j is None:
            return self.at(self.main, 0, "The ways through the cell cannot be cut here: they take the loss itself, not "
                           "only its flow.")
        lane = self.lanes[j]
        found = lane.cuts
        assert found is not None
        lag = max(found.lags, default=0)
        if lag == 0 or not found.ways:
            return self.at(j, 0, "There is no way from step to step that could be cut.")
        way = CARRY if CARRY in found.ways else max(found.ways, key=lambda way: norm_of_last(lane, way))
        whole = float(found.open_only(found.ways)[-1])
        without = float(found.open_only([one for one in found.ways if one != way])[-1])
        name = "the carry" if way == CARRY else f"the way through {way}"
        return self.at(j, lane.T - 1 - lag, self.without(lane, name, lag, whole, without), cut=[way])

    def without(self, lane: Lane, name: str, lag: int, whole: float, without: float) -> str:
        """How much a cut changes far back: the sentence follows the numbers."""
        if not math.isfinite(whole) or not math.isfinite(without):
            return f"{steps(lag)} back in {called(lane)} the gradient is not finite, so a cut cannot be measured."
        if whole == 0:
            return f"{steps(lag)} back in {called(lane)} no gradient arrives, with {name} or without."
        if without == 0:
            return (f"Cut {name} of {called(lane)}: {steps(lag)} back exactly nothing arrives, instead of "
                    f"{short(whole)}. Every path goes that way.")
        numbers = (f"Cut {name} of {called(lane)}: {steps(lag)} back the norm is {short(without)} instead of "
                   f"{short(whole)}")
        near = self.from_near(lane, whole)
        if without * ALIKE < whole:
            return f"{numbers}, {short(whole / without)} times less.{self.dies_like(lane, lag, without)}{near}"
        if without < SAME * whole:
            return f"{numbers}: the other ways bring {100 * without / whole:.0f} % of it.{near}"
        if without * SAME > whole:
            return f"{numbers}. It becomes larger, because the paths along {name} cancel others.{near}"
        return f"{numbers}. So far back, the gradient hardly depends on {name} here.{near}"

    def from_near(self, lane: Lane, whole: float) -> str:
        """That the loss of a step itself brings much of its gradient, which no cut can take away."""
        direct = float(lane.cuts.norms[0, -1]) if lane.cuts is not None else 0.0
        return (f" The loss of that step itself brings {short(direct)}, by no way at all." if direct > 0.1 * whole else
                "")

    def dies_like(self, lane: Lane, lag: int, without: float) -> str:
        """A net without a carry that loses as much, if there is one."""
        start = lane.track.at(0)
        for other in self.lanes:
            left = other.track.left(min(lag, max(other.track.lags, default=0)))
            if other is lane or other.track.gated or not left or not start or max(other.track.lags, default=0) < lag:
                continue
            cut = without / start
            if left < LITTLE and cut < LITTLE:
                rate = math.log(cut) / math.log(left) if cut > 0 else math.inf
                how = ("as fast as" if abs(rate - 1) <= ALIKE_RATES else "even faster than" if rate > 1 else
                       "too, more slowly than")
                return (f" It vanishes {how} in {called(other)}, which has no carry: × {short(cut)} here, "
                        f"× {short(left)} there.")
        return ""

    def bias(self) -> dict[str, Any]:
        """What a slider does."""
        for j, lane in enumerate(self.lanes):
            if lane.sweep is not None:
                return self.swept(j, lane.sweep)
        for j, lane in enumerate(self.lanes):
            if lane.live.data is not None:
                sliders = lane.live.data["sliders"]
                names = listed([slider["label"] for slider in sliders])
                chosen = next((one for one in sliders if one["option"] == "forgetBias"), sliders[0])
                words = (f"Here {called(lane)} itself can be changed: {names}. At every move the page computes it "
                         f"again, forwards and backwards. Start with {chosen['label']}, now {chosen['start']:.3g}, and "
                         "watch the left end of the curve.")
                return self.at(j, 0, words, slider=chosen["option"])
        why = next((lane.live.reason for lane in self.lanes if lane.live.reason), "")
        return self.at(self.main, 0, "There are no sliders here" + (f": {why}." if why else "."))

    def swept(self, j: int, sweep: dict[str, Any]) -> dict[str, Any]:
        """What the nets that were computed before say."""
        lane, option = self.lanes[j], str(sweep["option"]).replace("_", " ")
        left = [one["left"] for one in sweep["lanes"]]
        known = [(value, x) for value, x in zip(sweep["values"], left, strict=True) if x is not None]
        if not known:
            return self.at(j, 0, f"At no value of the {option} does a finite gradient start in {called(lane)}.")
        best = max(known, key=lambda found: found[1])
        said = [f"{short(x)} at {value:g}".replace("-", "−") for value, x in known]
        lag = max(lane.track.lags, default=0)
        words = (f"{called(lane)} was computed with {len(known)} values of the {option}. {steps(lag)} back, the "
                 f"gradient as a multiple of lag 0 is {listed(said)}. Most is left at "
                 f"{f'{best[0]:g}'.replace('-', '−')}.")
        return self.at(j, 0, words, slider=sweep["option"])

    def yours(self) -> dict[str, Any]:
        """What to try."""
        lane = self.lanes[self.main]
        losses = ", choose another loss" * any(one.track.fed for one in self.lanes)
        return self.at(self.main, lane.T - 1, f"Now it is your turn: move the cursor, shut ways{losses} and change the "
                       "scale. The address of the page remembers the view, so it can be shared.")


def called(lane: Lane) -> str:
    """The name of a lane in a sentence."""
    return lane.name if lane.name == UNNAMED else quoted(lane.name)


def in_words(line: str) -> str:
    """An equation without indices: "previous" says what t - 1 says.

    >>> in_words("c_t = f ⊙ c_{t-1} + i ⊙ g")
    'c = f ⊙ previous c + i ⊙ g'
    """
    return re.sub(r"(\w+)_\{t-1\}", r"previous \1", line).replace("_t ", " ")


def norm_of_last(lane: Lane, way: str) -> float:
    """How much of the last step back a way brings on the whole."""
    assert lane.cuts is not None
    shares = lane.cuts.shares[way]
    return float(sum(x for x in shares if x == x))

