"""Every sentence of a verdict is true of the numbers: random tracks, and each sentence worked out again from them."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viz.flow.compare import Track, verdict

NORMS = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 0.9, 0.0099, 1.0000001, 0.9999, 3.0, 1e-320, 1e-300, 1e300, math.inf, math.nan]),
    st.floats(1e-12, 1e6),
)


@st.composite
def tracks(draw: Any, net: str) -> Track:
    """A track that grows, vanishes, breaks off, misses lags, or is no number here and there."""
    whole = st.integers(1, 9).map(lambda n: tuple(range(n)))
    lags = draw(st.one_of(
        whole, whole, st.sets(st.integers(0, 9), min_size=1).map(lambda found: tuple(sorted(found))),
    ))
    ways = draw(st.sampled_from([("tanh",), ("carry",), ("carry", "tanh")]))
    falling = draw(st.sampled_from([None, 0.05, 0.1, 0.5, 0.9, 1.0, 1.5]))
    numbers = st.lists(NORMS, min_size=len(lags), max_size=len(lags)).map(tuple)
    norms = draw(numbers) if falling is None else tuple(falling ** min(lag, draw(st.integers(1, 9))) for lag in lags)
    fed = falling is None and draw(st.integers(0, 3)) == 0
    return Track(net, "h", lags, norms, {way: draw(numbers) for way in ways}, fed=fed)


SEVERAL = st.integers(1, 3).flatmap(lambda n: st.tuples(*(tracks(net) for net in "pqs"[:n])))


def share(track: Track, lag: int) -> Fraction | None:
    """What is left, exactly; None if the norm there is not finite."""
    start, end = (track.norms[track.lags.index(at)] for at in (0, lag))
    return Fraction(end) / Fraction(start) if math.isfinite(end) else None


def starts(track: Track) -> bool:
    """Is there a finite gradient at lag 0 that is not zero?"""
    return 0 in track.lags and 0 < track.norms[track.lags.index(0)] < math.inf


def number(words: str) -> Fraction:
    """What is written with a power of ten: 1.3·10⁻⁷."""
    mantissa, power = re.fullmatch(r"(?:([\d.]+)·?)??(?:10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", words).groups()  # type: ignore[union-attr]
    exponent = int((power or "⁰").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    return Fraction(mantissa or 1) * Fraction(10) ** exponent


def is_amount(words: str, left: Fraction | None) -> bool:
    """Do these words say that much?"""
    if left is None or words == "not finite":
        return left is None and words == "not finite"
    if words in ("exactly 0", "exactly nothing"):
        return left == 0
    if words.startswith("less than "):
        return 0 < left < number(words[10:])
    if words.startswith("more than "):
        return left > number(words[10:])
    said = number(words.removesuffix(" %")) / (100 if words.endswith(" %") else 1)
    return said > 0 and abs(said - left) <= Fraction(6, 100) * left


def each(words: str) -> list[str]:
    """The parts of an enumeration."""
    return re.split(r", | and ", words)


class Case:
    """Checks sentences against the tracks."""

    def __init__(self, given: tuple[Track, ...]) -> None:
        self.net = {track.net: track for track in given}
        self.known = [track for track in given if starts(track)]
        self.common = max(set.intersection(*(set(t.lags) for t in self.known))) if self.known else None
        self.spoken_of: list[str] = []

    def left(self, net: str) -> Fraction | None:
        assert self.common is not None
        return share(self.net[net], self.common)

    def is_open(self, track: Track, lag: int) -> bool:
        beyond = [norm for at, norm in zip(track.lags, track.norms, strict=True) if at > lag]
        return not beyond or not all(map(math.isfinite, beyond))

    def nothing(self) -> bool:
        return not any(norm for track in self.net.values() for norm in track.norms)

    def single(self, nets: str | None) -> bool:
        named = [self.net[net] for net in each(nets)] if nets else self.known
        others = [track for track in self.known if track not in named]
        return all(t.lags == (0,) for t in named) and all(len(t.lags) > 1 for t in others) and bool(named)

    def no_common(self) -> bool:
        return self.common == 0 and all(len(track.lags) > 1 for track in self.known)

    def how_much(self, lag: str, relative: str | None, words: str) -> bool:
        said = [re.fullmatch(r"(.+?)( of the gradient is left)? in (\w)", part) for part in each(words)]
        assert all(said)
        found = {m[3]: m[1] for m in said if m}
        of = [bool(m[2]) for m in said if m]
        order = [Fraction(0) if (g := self.left(net)) is None else max(g, Fraction("1e-307")) for net in found]
        assert all(more >= less * Fraction(999, 1000) for more, less in pairwise(order))
        if not relative:
            assert of == [True] + [False] * (len(of) - 1)
            assert all(left is not None and left <= 1 for left in map(self.left, found))
            assert not any(track.fed for track in self.known)
        return (int(lag) == self.common and set(found) == {track.net for track in self.known}
                and all(is_amount(words, self.left(net)) for net, words in found.items()))

    def fed(self, nets: str | None) -> bool:
        fed = {track.net for track in self.known if track.fed}
        return fed == (set(each(nets)) if nets else {track.net for track in self.known})

    def keeps(self, words: str) -> bool:
        for part in each(words):
            m = re.fullmatch(r"(.+?)(?: of it per step)? in (\w)(?: over (\d+) of its (\d+) steps)?", part)
            assert m
            track, kept, steps = self.net[m[2]], [], 0
            for j in range(1, len(track.lags)):
                before, carried = track.norms[j - 1], track.parts["carry"][j]
                if self.common is not None and track.lags[j] <= self.common:
                    steps += 1
                    if 0 < before < math.inf and math.isfinite(carried):
                        kept.append(carried / before)
            assert (int(m[3] or steps), int(m[4] or steps)) == (len(kept), steps)
            if m[1] == "exactly 0":
                assert 0 in kept
                continue
            mean = math.exp(math.fsum(map(math.log, kept)) / len(kept))
            assert float(number(m[1])) == pytest.approx(mean, rel=0.06, abs=0.00501)
            assert (number(m[1]) > 0) == (mean > 0)
        return True

    def forgets(self, nets: str, plain: str) -> bool:
        most = self.left(plain)
        assert most is not None
        assert most <= 1
        assert not any(self.net[plain].parts.get("carry", ()))
        return all((g := self.left(net)) is not None and g < most * Fraction(999, 1000)
                   and any(self.net[net].parts["carry"]) for net in each(nets))

    def sooner(self, a: str, ha: str, b: str, hb: str, later: str | None) -> bool:
        for net, lag in ((a, int(ha)), (b, int(hb))):
            track = self.net[net]
            above = [at for at, norm in zip(track.lags, track.norms, strict=True) if norm > 0.01 * track.norms[0]]
            assert above[-1] == lag
        more, less = self.left(a), self.left(b)
        assert more is not None
        assert less is not None
        assert more > less
        assert not self.is_open(self.net[a], int(ha))
        return int(ha) < int(hb) and self.is_open(self.net[b], int(hb)) == bool(later)

    def no_lag_0(self, net: str) -> bool:
        return 0 not in self.net[net].lags

    def not_finite(self, net: str) -> bool:
        return not math.isfinite(self.net[net].norms[self.net[net].lags.index(0)])

    def none_starts(self, net: str) -> bool:
        return not any(self.net[net].norms)

    def backwards(self, net: str, first: str, reads: str | None) -> bool:
        track = self.net[net]
        last = track.lags[-1]
        assert bool(reads) == (int(first) == last)
        assert track.norms[0] == 0
        return next(lag for lag, g in zip(track.lags, track.norms, strict=True) if g) == int(first)


SENTENCES = {
    "No gradient starts at any of these states, so there is nothing to follow.": Case.nothing,
    "There is a single step(?: in ([^,]+(?:, \\w)?))?, so .+": Case.single,
    "These nets have no lag in common but 0, so there is nothing further back to compare.": Case.no_common,
    "(\\d+) steps? back, (the gradient, as a multiple of lag 0, is )?(.+)\\.": Case.how_much,
    "New gradient comes in at earlier steps(?: of (.+))? too, not only at the last\\.": Case.fed,
    "The carry alone keeps (.+) \\(geometric mean\\)\\.": Case.keeps,
    "Gates or not, (.+) forgets? faster than (\\w), which has no carry\\.": Case.forgets,
    "But (\\w) is last above 1 % at lag (\\d+), sooner than (\\w), at lag (\\d+)( or later)?\\.": Case.sooner,
    "There is no lag 0 in (\\w) to compare with\\.": Case.no_lag_0,
    "Nothing finite starts in (\\w)\\.": Case.not_finite,
    "No gradient starts in (\\w)\\.": Case.none_starts,
    "In (\\w) exactly nothing arrives at lag 0, where its loop ended; the first gradient is at lag (\\d+)"
    "(, as in a layer that reads backwards in time under the loss of the last step)?\\.": Case.backwards,
}


def check(given: tuple[Track, ...]) -> list[str]:
    """Every sentence has a known form, and is true. Returns them."""
    case, said = Case(given), re.split(r"(?<=\.) (?=[A-Z])", verdict(given))
    for sentence in said:
        (form,) = [m for form in SENTENCES if (m := re.fullmatch(form, sentence))]
        assert SENTENCES[form.re.pattern](case, *form.groups()), sentence
    if not case.nothing():
        for track in given:
            assert starts(track) or sum(bool(re.search(rf"[Ii]n {track.net}\b", s)) for s in said) == 1
    return said


@settings(max_examples=600)
@given(SEVERAL)
def test_every_sentence_is_true(given: tuple[Track, ...]) -> None:
    check(given)


def test_a_sentence_that_is_false_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Track("a", "h", (0, 1), (1.0, 0.5), {"tanh": (1.0, 0.5)})
    assert check((good,)) == ["1 step back, 50 % of the gradient is left in a."]
    for lie in ("1 step back, 60 % of the gradient is left in a.", "2 steps back, 50 % of the gradient is left in a.",
                "1 step back, exactly nothing of the gradient is left in a.", "Nothing finite starts in a.",
                "New gradient comes in at earlier steps too, not only at the last.", "All is well."):
        monkeypatch.setitem(check.__globals__, "verdict", lambda tracks, lie=lie: lie)
        with pytest.raises((AssertionError, ValueError)):
            check((good,))
