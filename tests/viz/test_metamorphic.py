"""What viz says of a net does not depend on how its loop is written; and the tests that say so can fail."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import viz
from tests.viz.differences import compare, differences, mistakes
from tests.viz.measures import measures
from tests.viz.rewritings import CELLS, LOSSES, REWRITINGS, WRAPPERS, Case, pair, write
from viz.flow.finding import finding

MATHEMATICS = [(cell, wrapper, loss) for cell in CELLS for wrapper in WRAPPERS for loss in LOSSES]
CASES = {  # only those that make sense
    name: st.builds(lambda what, seed, name=name: Case(*what, name, seed),
                    st.sampled_from([what for what in MATHEMATICS if Case(*what, name, 0).makes_sense]),
                    st.integers(0, 999))
    for name in REWRITINGS
}
OTHER_MARKS = ("identity with a name", "states without marks", "states renamed", "ragged by where")
PLAIN = Case("lstm", "plain", "sum", "scope(step=) without a name", 1)


@pytest.mark.parametrize("rewriting", REWRITINGS)
@given(data=st.data())
@settings(max_examples=8)
def test_a_rewriting_changes_no_number(rewriting: str, data: st.DataObject) -> None:
    assert "\n".join(map(str, differences(data.draw(CASES[rewriting])))) == ""


@pytest.mark.parametrize("rewriting", [name for name in REWRITINGS if not name.startswith(OTHER_MARKS)])
@given(data=st.data())
@settings(max_examples=4)
def test_a_rewriting_changes_no_title(rewriting: str, data: st.DataObject) -> None:
    """Up to what states and layers are called. A title is about one of several states, the one that is marked as the
    cell state; so rewritings that mark other nodes are left out.
    """
    name = re.compile(r" at (?!lag|the )\w+| \([^)]*\)")
    case = data.draw(CASES[rewriting])
    said = [name.sub("", finding(viz.gradient_flow(program.loss), "the net")) for program in pair(case)]
    assert said[0] == said[1], case


# ------------------------------------------------------------------------------------------- the oracle itself
@pytest.mark.parametrize("rewriting", REWRITINGS)
@given(data=st.data())
@settings(max_examples=8)
def test_both_programs_of_a_pair_have_the_same_loss_states_and_gradients(rewriting: str, data: st.DataObject) -> None:
    import microgradrnn as mg

    case = data.draw(CASES[rewriting])
    one, other = pair(case)
    assert float(one.loss.data) == pytest.approx(float(other.loss.data), rel=1e-13, abs=1e-13)
    assert sum(float(term.data) for term in other.terms.values()) == pytest.approx(float(other.loss.data), abs=1e-12)
    assert len(one.kept) == len(other.kept) == one.task.T
    if rewriting != "Value instead of Tensor":
        assert one.parameters.keys() == other.parameters.keys()
        for a, b in zip(*(mg.grad(x.loss, list(x.parameters.values())) for x in (one, other)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_cases_are_the_same_every_time_and_use_everything() -> None:
    cases = [Case.of(index) for index in range(600)]
    assert cases == [Case.of(index) for index in range(600)]
    for column, table in enumerate((CELLS, WRAPPERS, LOSSES, REWRITINGS)):
        assert {case[column] for case in cases} == set(table)


def test_a_loop_written_twice_does_not_differ_from_itself() -> None:
    assert compare(PLAIN, measures(write(PLAIN)), measures(write(PLAIN))) == []


@pytest.mark.parametrize("name", ["step_jacobians", "shares", "local_errors", "ways"])
def test_a_number_that_is_off_by_a_billionth_is_a_mistake(name: str, monkeypatch: Any) -> None:
    program = write(PLAIN)
    assert mistakes(PLAIN, program, measures(program), "plain") == []
    right = getattr(viz, name)

    def off(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: off(one) for key, one in x.items()}
        wrong = {"step_jacobians": "arrays", "shares": "arrays", "local_errors": "norms", "ways": "whole"}[name]
        return replace_all(x, wrong)

    def replace_all(x: Any, wrong: str) -> Any:
        kept = {field: getattr(x, field) for field in x.__dataclass_fields__ if x.__dataclass_fields__[field].init}
        return type(x)(**{**kept, wrong: getattr(x, wrong) * (1 + 1e-9)})

    monkeypatch.setattr(viz, name, lambda *args, **options: off(right(*args, **options)))
    assert mistakes(PLAIN, program, measures(program), "plain") != []


def test_a_loop_that_is_another_differs() -> None:
    other = write(PLAIN._replace(wrapper="residual"), replace(PLAIN.loop))
    assert {one.measure for one in compare(PLAIN, measures(write(PLAIN)), measures(other))} >= {"profile", "shares"}
