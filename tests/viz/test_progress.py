"""Bars for long work: on a terminal only, and never part of the result."""

from __future__ import annotations

import io

import numpy as np
import pytest

import viz
from microgradrnn import nn
from viz import progress as module


class Terminal(io.StringIO):
    """Standard error, as if somebody looked at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("name", "how"), [
    ("gradient_flow", {}), ("ways", {}), ("step_jacobians", {}), ("local_errors", {}), ("shares", {"by": "lag"})])
def test_long_work_shows_a_bar_on_a_terminal_and_nothing_elsewhere(
        name: str, how: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    hs, _ = nn.RNN(3, 4, rng=0)(np.ones((5, 2, 3)))
    for kind, shown in ((Terminal, True), (io.StringIO, False)):
        stderr = kind()
        monkeypatch.setattr("sys.stderr", stderr)
        getattr(viz, name)((hs**2).sum(), **how)
        assert (name in stderr.getvalue()) == shown


def test_without_tqdm_there_is_no_bar_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    assert list(module.progress(range(3), "counting")) == [0, 1, 2]
    assert stderr.getvalue() == ""


def test_short_work_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    assert list(module.progress(range(3), "counting")) == [0, 1, 2]
    assert stderr.getvalue().strip("\r ") == ""
