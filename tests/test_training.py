"""`fit`: counting, logging, stopping; and a killed run that ends with the bits of one that was not."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.resume import killed_and_resumed, train
from microgradrnn import io, nn, optim
from microgradrnn.training import History, fit

pytest.importorskip("safetensors")


class Run:
    """A small run whose every part has a state: weights, momentum, noise, a count that is carried on."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.net = nn.Linear(2, 1, rng=0)
        self.sgd = optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
        self.rng = np.random.default_rng(1)
        self.carried = {"mean": np.zeros(1)}
        self.dies_at, self.calls = dies_at, 0
        self.saved = {"net": self.net, "sgd": self.sgd, "rng": self.rng, "carried": self.carried}

    def step(self, batch: np.ndarray) -> tuple[float, float]:
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        self.calls += 1
        x = batch + self.rng.standard_normal((5, 2))
        self.carried["mean"] = 0.9 * self.carried["mean"] + 0.1 * x.mean()
        loss = nn.mse(self.net(x), x @ np.array([[1.0], [-2.0]]) + self.carried["mean"])
        self.sgd.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm(self.sgd.parameters, 1.0)
        self.sgd.step()
        return loss.item(), norm

    def end(self) -> bytes:
        return b"".join(p.data.tobytes() for p in self.net.parameters())


BATCHES = [np.full((5, 2), float(k)) for k in range(3)]


@given(st.lists(st.integers(0, 12), max_size=5), st.integers(1, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_however_often_a_run_dies_it_ends_with_the_bits_of_one_that_did_not(tmp_path_factory: Any, deaths: list[int],
                                                                           every: int) -> None:
    straight = Run()
    expected = fit(straight.step, BATCHES, 20, every=every)
    checkpoint = tmp_path_factory.mktemp("fit") / "run.safetensors"
    for dies_at in deaths:
        run = Run(dies_at)
        try:
            fit(run.step, BATCHES, 20, every=every, checkpoint=checkpoint, saved=run.saved)
        except KeyboardInterrupt:
            continue
        break
    last = Run()
    history = fit(last.step, BATCHES, 20, every=every, checkpoint=checkpoint, saved=last.saved)
    assert last.end() == straight.end()
    assert history == expected
    assert last.carried["mean"] == straight.carried["mean"]


def test_killed_at_random_moments_and_resumed_is_bit_for_bit_the_straight_run(tmp_path: Path) -> None:
    """SIGKILL, in processes of their own; `python -m benchmarks resume` does it 20 times."""
    equal, _ = killed_and_resumed(tmp_path, kills=3, steps=45, seed=7)
    assert equal == 3


def test_leaving_anything_out_of_what_is_saved_is_noticed(tmp_path: Path) -> None:
    """The comparison can fail: a run that forgets its generator, or its momentum, ends elsewhere."""
    straight = Run()
    fit(straight.step, BATCHES, 20, every=4)
    for forgotten in Run().saved:
        checkpoint = tmp_path / f"{forgotten}.safetensors"
        for dies_at in (10, None):
            run = Run(dies_at)
            saved = {name: thing for name, thing in run.saved.items() if name != forgotten}
            with suppress(KeyboardInterrupt):
                fit(run.step, BATCHES, 20, every=4, checkpoint=checkpoint, saved=saved)
        assert run.end() != straight.end(), forgotten


def test_a_finished_run_is_not_run_again_and_a_longer_one_goes_on(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    run = Run()
    fit(run.step, BATCHES, 10, checkpoint=checkpoint, saved=run.saved)
    again = Run()
    assert len(fit(again.step, BATCHES, 10, checkpoint=checkpoint, saved=again.saved).losses) == 10
    assert (again.calls, again.end()) == (0, run.end())
    assert len(fit(again.step, BATCHES, 15, checkpoint=checkpoint, saved=again.saved).losses) == 15
    assert again.calls == 5


def test_a_damaged_checkpoint_is_refused_and_left_alone(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    run = Run()
    fit(run.step, BATCHES, 5, checkpoint=checkpoint, saved=run.saved)
    content = bytearray(checkpoint.read_bytes())
    content[-3] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(io.DamagedFileError, match="checksum"):
        fit(run.step, BATCHES, 9, checkpoint=checkpoint, saved=run.saved)
    assert checkpoint.read_bytes() == content


def test_the_history_holds_every_step_and_the_norms_before_clipping() -> None:
    run = Run()
    history = fit(run.step, BATCHES, 12, every=5, evaluate=lambda: float(run.calls))
    assert len(history.losses) == len(history.norms) == 12
    assert history.evaluations == [(5, 5.0), (10, 10.0), (12, 12.0)]
    assert history.best == (5, 5.0)
    assert max(history.norms) > 1
    assert History().best is None


def test_batches_are_walked_through_in_turn_or_asked_for_by_number() -> None:
    seen: list[str] = []

    def step(batch: str) -> float:
        seen.append(batch)
        return 0.0

    for batches in (["a", "b", "c"], lambda n: "abc"[n % 3]):
        fit(step, batches, 7)
    assert "".join(seen) == "abcabca" * 2


def test_training_stops_early_and_stays_stopped_when_started_again(tmp_path: Path) -> None:
    values = iter([3.0, 2.0, 2.5, 2.0, 9.0, 1.0])
    options: dict[str, Any] = {"every": 2, "patience": 2, "checkpoint": tmp_path / "r.safetensors", "saved": {"x": {}}}
    history = fit(lambda batch: 1.0, BATCHES, 100, evaluate=lambda: next(values), **options)
    assert [value for _, value in history.evaluations] == [3.0, 2.0, 2.5, 2.0], "as good as the best is not better"
    assert len(history.losses) == 8
    assert len(fit(lambda batch: 1.0, BATCHES, 100, evaluate=lambda: next(values), **options).losses) == 8


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_at_once_and_says_where(tmp_path: Path, loss: float) -> None:
    losses = iter([1.0, 2.0, loss])
    with pytest.raises(FloatingPointError, match=r"at step 2, the gradient norm 5\.0; lower the learning rate"):
        fit(lambda batch: (next(losses), 5.0), BATCHES, 9, every=1, checkpoint=tmp_path / "c", saved={"x": {}})
    history = History()
    io.load(tmp_path / "c", x={}, history=history)
    assert history.losses == [1.0, 2.0]


def test_the_bar_counts_from_where_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    for steps in (6, 9):
        run = Run()
        fit(run.step, BATCHES, steps, checkpoint=tmp_path / "c", saved=run.saved, bar="lesson")
    said = capsys.readouterr().err
    assert "lesson" in said
    assert "6/9" in said
    assert "9/9" in said


def test_without_tqdm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"microgradrnn\[progress\]"):
        fit(lambda batch: 1.0, BATCHES, 1, bar="x")
    fit(lambda batch: 1.0, BATCHES, 1)


def test_without_safetensors_a_checkpoint_is_refused_before_the_first_step(monkeypatch: pytest.MonkeyPatch,
                                                                             tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    taken: list[Any] = []

    def step(batch: Any) -> float:
        taken.append(batch)
        return 1.0

    with pytest.raises(ImportError, match=r"microgradrnn\[io\]"):
        fit(step, BATCHES, 1, checkpoint=tmp_path / "run.safetensors", saved={"a": {"n": 1}})
    assert not taken
    fit(step, BATCHES, 1)
    assert taken


@pytest.mark.parametrize(("options", "kind", "words"), [
    ({"batches": iter(BATCHES)}, TypeError, "cannot be taken up again in the middle"),
    ({"steps": 2.5}, ValueError, "whole numbers"),
    ({"batches": []}, ValueError, "no batches"), ({"steps": 0}, ValueError, "at least 1"),
    ({"every": 0}, ValueError, "at least 1"), ({"patience": 3}, ValueError, "needs evaluate="),
    ({"patience": 0, "evaluate": lambda: 1.0}, ValueError, "patience"),
    ({"checkpoint": "f"}, ValueError, "give both or none"), ({"saved": {"a": {}}}, ValueError, "give both or none"),
    ({"checkpoint": "f", "saved": {"history": {}}}, ValueError, "the name history is taken"),
    ({"batches": {"a": 1}}, TypeError, "must be a sequence"), ({"step": None}, TypeError, "step must be a function"),
    ({"evaluate": 0.5}, TypeError, "evaluate must be a function"),
    ({"evaluate": lambda: None, "every": 1}, TypeError, "evaluate must return a number, got None"),
])
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        fit(**{"step": lambda batch: 1.0, "batches": BATCHES, "steps": 3, **options})


@pytest.mark.parametrize("said", [None, "much", (1.0, 2.0, 3.0), np.ones(2), ()])
def test_a_step_that_returns_no_loss_is_told_what_to_return(said: Any) -> None:
    with pytest.raises(TypeError, match=r"step must return the loss, or the pair \(loss, norm\), as numbers; got"):
        fit(lambda batch: said, BATCHES, 3)


@pytest.mark.parametrize(("place", "saved", "kind", "words"), [
    ("missing/run", {"x": {}}, OSError, r"there is no folder .*missing; make it first"),
    ("file/run", {"x": {}}, OSError, "there is no folder .*file"),
    ("folder", {"x": {}}, OSError, "folder"),
    ("taken", {"x": {}}, OSError, "taken"),  # what stands beside it cannot be written
    ("run", {"n": 3}, TypeError, "n is a bare int"),
    ("run", {"x": {"f": len}}, TypeError, r"x\.f is a builtin_function"),
])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_step(
    tmp_path: Path, place: str, saved: dict[str, Any], kind: Any, words: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / ".taken.lock").mkdir()
    taken = []
    with pytest.raises(kind, match=words):
        fit(lambda batch: taken.append(batch) or 1.0, BATCHES, 3, checkpoint=tmp_path / place, saved=saved)
    assert not taken


def test_the_run_of_the_benchmark_learns(tmp_path: Path) -> None:
    history, _ = train(tmp_path / "c", 60)
    assert np.mean(history.losses[-10:]) < 0.97 * np.mean(history.losses[:10])


def test_an_evaluation_that_is_nan_is_the_worst() -> None:
    nan = float("nan")
    history = History(evaluations=[(1, nan), (2, 0.5), (3, nan), (4, nan)])
    assert history.best == (2, 0.5)
    assert history.without_improvement() == 2
    values = iter([nan, 2.0, 1.0, nan, nan, 0.0])
    stopped = fit(lambda batch: 1.0, BATCHES, 100, every=1, patience=2, evaluate=lambda: next(values))
    assert len(stopped.losses) == 5
    assert len(fit(lambda batch: 1.0, BATCHES, 100, every=1, patience=2, evaluate=lambda: nan).losses) == 3


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_norm_that_is_not_finite_stops_before_anything_is_saved(tmp_path: Path, norm: float) -> None:
    norms = iter([1.0, norm])
    with pytest.raises(FloatingPointError, match=rf"at step 1, the gradient norm {norm}"):
        fit(lambda batch: (0.5, next(norms)), BATCHES, 9, every=1, checkpoint=tmp_path / "c", saved={"x": {}})
    history = History()
    io.load(tmp_path / "c", x={}, history=history)
    assert history.norms == [1.0]


def test_a_generator_in_a_list_goes_on_too(tmp_path: Path) -> None:
    def run(steps: int, checkpoint: Path) -> list[float]:
        rngs = [np.random.default_rng(0)]
        return fit(lambda batch: rngs[0].random(), BATCHES, steps, checkpoint=checkpoint, saved={"r": rngs}).losses

    run(3, tmp_path / "a")
    assert run(6, tmp_path / "a") == run(6, tmp_path / "b")
