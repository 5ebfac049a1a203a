r"""Pairs of programs that do the same mathematics: how many differ in anything that `viz` measures.

One loop is written plainly and once more as somebody else would write it (`tests.viz.rewritings`), and all numbers of
the two are compared with each other, and with numbers that do not come from `viz`. Differences are grouped by what was
rewritten and by what differs; of each group the first is shown, as a line that makes it again::

    from tests.viz.differences import *
    print(*differences(Case(...)), sep="\n")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from benchmarks.measure import Row
from tests.viz.differences import Difference, differences
from tests.viz.rewritings import Case

PAIRS = 2_000
CHUNK = 50  # so many at a time go to one of several processes


def disagreements(indices: Iterable[int]) -> list[tuple[int, str, str, str]]:
    """For each difference: the number of the case, the rewriting, the measure, and all of it in one line."""
    found = []
    for index in indices:
        case = Case.of(index)
        with np.errstate(all="ignore"):
            found += [(index, case.rewriting, kind(one), " ".join(str(one).split())) for one in differences(case)]
    return found


def kind(one: Difference) -> str:
    """The measure, whichever layer it is of."""
    return one.measure.split(", layer")[0]


def rows() -> Iterator[Row]:
    """How many pairs differ, bar 0; then one row for each kind of difference."""
    chunks = [range(start, min(start + CHUNK, PAIRS)) for start in range(0, PAIRS, CHUNK)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = [one for some in pool.map(disagreements, chunks) for one in some]
    pairs = {index for index, *_ in found}
    yield Row("pairs of programs that do the same and differ in what viz says", f"{len(pairs):,} of {PAIRS:,}", "0",
              float(len(pairs)), bar=0.0)
    groups: dict[tuple[str, str], list[str]] = {}
    for _, rewriting, measure, line in found:
        groups.setdefault((rewriting, measure), []).append(line)
    for (rewriting, measure), lines in sorted(groups.items(), key=lambda item: -len(item[1])):
        yield Row(f"{rewriting}: {measure}", f"{len(lines)}")
        yield Row(f"    {lines[0]}", "")
