"""The lessons on tiny settings, end to end: adding, tagging, dates."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from demos import adding, dates, lesson, tagging
from microgradrnn.data import standard_library, token_labels
from microgradrnn.data.dates import held_out

pytest.importorskip("tqdm")


# ------------------------------------------------------------------------------------------------ adding
def test_adding_prints_a_row_for_each_net(capsys: pytest.CaptureFixture[str]) -> None:
    assert adding.main(["--steps", "3", "--length", "6", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    for word in ("rnn", "irnn", "lstm", "gru", "seed 0", "seed 1", "0 of 2 below 0.02", "2 above 0.05"):
        assert word in out


def test_adding_stops_where_it_is_solved_and_the_verdict_follows_the_numbers() -> None:
    run = adding.run("gru", seed=0, T=2, steps=600)
    assert run.error < adding.SOLVED
    assert run.steps < 600
    assert run.steps % adding.EVERY == 0
    other = adding.Run("rnn", 0, 9, 0.04, 1.0)
    said = adding.verdict([run, run._replace(error=0.5), other])
    assert "gru: 1 of 2 below 0.02, 1 above 0.05; rnn: 0 of 1 below 0.02, 0 above 0.05" in said


def test_the_same_seed_gives_the_same_run() -> None:
    a, b = (adding.run("lstm", seed=3, T=5, steps=4)._replace(seconds=0) for _ in range(2))
    assert a == b


# ------------------------------------------------------------------------------------------------ tagging
@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> tagging.Corpus:
    """Two modules to train on, one held out."""
    texts = [standard_library([name])[0] for name in ("queue", "heapq", "string")]
    monkeypatch.setattr(tagging, "standard_library", lambda: texts)
    return tagging.corpus()


def test_tagging_prints_both_accuracies(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert tagging.main(["--steps", "3", "--hidden", "6", "--seeds", "2", "--seed", "4"]) == 0
    out = capsys.readouterr().out
    for word in ("accuracy", "keyword", "Held-out characters, mean of 2 seeds: the", "times fewer mistakes"):
        assert word in out
    rows = [line.split()[:2] for line in out.splitlines() if line.startswith(("one-way", "two-way"))]
    assert rows == [[name, seed] for name in ("one-way", "two-way") for seed in ("4", "5", "mean")]


def test_whole_modules_are_held_out_and_labels_stand_beside_their_characters(small: tagging.Corpus) -> None:
    (text,) = standard_library(["queue"])
    assert (small.held_out[1] == token_labels(text)).all()
    assert (small.held_out[0] == small.vocabulary.encode(text)).all()
    assert len(small.train[0]) == len(small.train[1])


@pytest.mark.parametrize("H", [8, 32])
def test_both_taggers_have_about_the_same_number_of_parameters(H: int) -> None:
    counts = [sum(p.data.size for p in tagging.Tagger(90, width, two, 0).parameters())
              for width, two in ((tagging.same_size(H), False), (H, True))]
    assert counts[0] == pytest.approx(counts[1], rel=0.03)


def test_the_verdict_names_the_better_net() -> None:
    def three(name: str, *accuracies: float) -> list[tagging.Result]:
        return [tagging.Result(name, seed, 1, a, [a], 1.0) for seed, a in enumerate(accuracies)]

    one, both = three("one-way", 0.8, 0.7, 0.9), three("two-way", 0.95, 0.9, 0.85)
    said = tagging.verdict(one, both)
    assert "the two-way net is right for 90.0 %, the one-way one for 80.0 %; it makes 2.0 times" in said
    assert "ahead for 2 of the 3 seeds" in said
    assert "the one-way net is right for 90.0 %" in tagging.verdict(three("one-way", 0.9), three("two-way", 0.8))
    assert "Both kinds" in tagging.verdict(three("one-way", 0.8), three("two-way", 0.8))
    assert [row[3] for row in tagging.table([*one, *both])[1:]] == [
        "80.0 %", "70.0 %", "90.0 %", "80.0 %", "95.0 %", "90.0 %", "85.0 %", "90.0 %"]


# ------------------------------------------------------------------------------------------------ dates
def test_dates_prints_what_the_net_wrote(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dates, "TESTED", 40)
    shares = iter([0.25, 0.75])
    monkeypatch.setattr(dates, "exact", lambda found: next(shares))
    assert dates.main(["--steps", "3", "--hidden", "6", "--seeds", "2", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    for word in ("read", "wrote", "seed 7: 25.00 % right", "seed 8: 75.00 % right",
                 "mean of 2 nets, 50.00 % of 40 held-out dates in 8 formats"):
        assert word in out


def test_no_day_that_is_tested_is_trained_on() -> None:
    rng = np.random.default_rng(0)
    train = {iso for _, iso in dates.drawn(2000, rng, test=False)}
    test = {iso for _, iso in dates.drawn(200, rng, test=True)}
    assert not train & test
    assert all(map(held_out, test))


def test_a_batch_of_dates_is_the_dates() -> None:
    pairs = dates.drawn(9, np.random.default_rng(0), test=False)
    sources, lengths, targets = dates.batch(pairs)
    for b, (said, iso) in enumerate(pairs):
        assert dates.SOURCE.decode(sources[: lengths[b], b]) == said
        assert dates.TARGET.decode(targets[:, b]) == iso


def test_a_date_is_right_only_if_every_character_is() -> None:
    good = dates.Answer("1 May 2000", "2000-05-01", "2000-05-01")
    bad = good._replace(wrote="2000-05-02")
    assert dates.exact([good, good, bad, good]) == 0.75
    rows = dates.table([good, bad])
    assert rows[1:] == [["1 May 2000", "2000-05-02", "no: 2000-05-01"]], "one a format, the wrong ones first"


# ------------------------------------------------------------------------------------------------ what goes wrong
@pytest.mark.parametrize("demo", [adding, tagging, dates])
@pytest.mark.parametrize("argv", [["--steps", "0"], ["--steps", "x"], ["--unknown"]])
def test_bad_options_give_one_clear_line(demo: Any, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        demo.main(argv)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    assert argv[0] in said


def test_adding_needs_two_numbers_and_known_cells(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--length", "1"], ["--cells", "transformer"]):
        with pytest.raises(SystemExit):
            adding.main(argv)
        assert argv[0] in capsys.readouterr().err


def test_lessons_run_as_modules_with_one_thread() -> None:
    run = subprocess.run([sys.executable, "-m", "demos.adding", "--steps", "1", "--length", "2", "--seeds", "1"],
                         capture_output=True, text=True, check=True)
    assert "rnn: 0 of 1" in run.stdout


def test_without_tqdm_the_lesson_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(SystemExit, match=r"microgradrnn\[demo\]"):
        lesson.progress(1, "x")
