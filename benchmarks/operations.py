"""How many operations are in the table of the tests, with first and second order checked, and whether all are."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Row, peer
from microgradrnn import gradcheck
from microgradrnn.engine import FUNCTIONS, GradcheckError

AT_LEAST = 70


def rows() -> Iterator[Row]:
    """The count, and what is missing."""
    peer("torch")  # the table says what PyTorch calls each operation
    from tests.engine.operations import TABLE, inputs

    failed = set()
    for case in TABLE:
        try:
            gradcheck(case.ours, inputs(case), order=2, rtol=1e-5)
        except GradcheckError:
            failed.add(case.name.split(",")[0].split(" ")[0])
    checked = {case.name.split(",")[0].split(" ")[0] for case in TABLE} - failed
    yield Row("operations in the table, both orders checked", str(len(checked)), str(AT_LEAST), AT_LEAST / len(checked),
              bar=1.0)
    missing = sorted(set(FUNCTIONS) - checked)
    yield Row("public operations that are not" + (f": {', '.join(missing)}" if missing else ""),
              f"{len(missing)} of {len(FUNCTIONS)}", "0", float(len(missing)), bar=0.0)
