"""The main job on a small setting, end to end, and everything a user can get wrong."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import viz
from demos import gradient_flow as demo
from demos.gradient_flow import Corpus, main
from microgradrnn import Value

SMALL = ["--steps", "3", "--hidden", "8"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small run of all three cells."""
    out = tmp_path_factory.mktemp("demo") / "deep" / "out"
    assert main([*SMALL, "--out", str(out)]) == 0
    return out


def numbers(out: Path) -> Any:
    return json.loads((out / "flow.json").read_text(encoding="utf-8"))


def test_everything_is_written(done: Path) -> None:
    names = {path.name for path in done.iterdir()}
    assert {"rnn.svg", "lstm.svg", "gru.svg", "side_by_side.svg", "gates_against_tanh.svg", "norm_against_lag.svg",
            "flow.json", "index.html", "rnn_text.svg", "lstm_text.svg", "gru_text.svg",
            "rnn_graph.svg"} <= names
    for path in done.glob("*.svg"):
        ET.fromstring(path.read_text(encoding="utf-8"))


def test_the_page_shows_every_picture_and_sentence_offline(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 10
    assert not re.search(r'(src|href)="(http|//)', page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "pictures on one page must not share ids"
    for cell in numbers(done)["cells"].values():
        assert demo.html.escape(cell["sentence"]) in page


def test_flow_json_holds_what_was_drawn(done: Path) -> None:
    said = numbers(done)
    assert set(said["cells"]) == {"rnn", "lstm", "gru"}
    assert len(said["passage"]) == demo.PASSAGE
    for name, states in {"rnn": ["h"], "lstm": ["c", "h"], "gru": ["h"]}.items():
        cell = said["cells"][name]
        assert list(cell["states"]) == states
        at = {n["id"]: n["gradient"] for n in cell["flow"]["nodes"]}
        for state, profile in cell["states"].items():
            assert profile["lags"] == list(range(demo.PASSAGE))
            assert profile["norms"] == [at[f"{name}/t{demo.PASSAGE - 1 - lag}/{state}"] for lag in profile["lags"]]
            again = viz.Profile(state, (), tuple(profile["lags"]), tuple(profile["norms"])).horizon()
            assert profile["horizon"] == again
        drawn = re.findall(r"<title>from [^<]+ to [^<]+: ([^<]+)</title>", (done / f"{name}.svg").read_text("utf-8"))
        messages = {f"{e['message']:.4g}" for e in cell["flow"]["edges"]}
        assert len(drawn) > 3 * demo.SHOWN
        assert set(drawn) <= messages


def test_the_same_seed_gives_the_same_numbers(done: Path, tmp_path: Path) -> None:
    main([*SMALL, "--cells", "rnn", "--out", str(tmp_path)])
    assert numbers(tmp_path)["cells"]["rnn"] == numbers(done)["cells"]["rnn"]


def test_the_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*SMALL, "--cells", "lstm", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    for word in ("parameters", "bits/char", "held-out", "horizon", "lag 10", "lag 50", "lag 100", "written to"):
        assert word in out


@pytest.mark.parametrize(("tool", "said"), [
    ("dot", "Graphviz' dot program."), ("pygraphviz", "pygraphviz."),
    ("viz.layout.layered", "viz.layout.layered, because Graphviz' dot program was not found (it is not needed).")])
def test_two_steps_are_drawn_with_and_without_dot_and_what_laid_them_out_is_said(
        tool: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    plain = viz.pictures.dot.picture
    monkeypatch.setattr(viz.pictures.dot, "picture", lambda *how: replace(plain(*how), laid_out_by=tool))
    assert main([*SMALL, "--cells", "gru", "--out", str(tmp_path)]) == 0
    assert f"gru_graph.svg was laid out by {said}" in capsys.readouterr().out.splitlines()
    svg = (tmp_path / "gru_graph.svg").read_text(encoding="utf-8")
    shown = ["".join(e.itertext()) for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"x", "(2, 1, 2) float64", "h0", "(1, 2) float64", "tanh"} <= set(shown)
    assert any(words.startswith("‖grad‖") for words in shown)
    assert svg[svg.index("<svg"):] in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_without_dot_and_pygraphviz_the_job_completes_and_says_so(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert main([*SMALL, "--cells", "rnn", "--out", str(tmp_path)]) == 0
    assert "rnn_graph.svg was laid out by viz.layout.layered, because" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ what goes wrong
def fails(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run; expect status 2 and one line on stderr, which is returned."""
    try:
        status: Any = main(argv)
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize(("content", "words"), [
    (b"", "empty"), (b"a", "has 1 character;"), (b"\x00\x01\x02" * 500, "binary"), (b"\xff\xfe\xfa" * 500, "UTF-8"),
    (b"short text " * 20, "needs at least 351"),
])
def test_a_bad_text_gives_one_clear_line(content: bytes, words: str, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    assert words in fails(["--text", str(path), "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def test_a_missing_text_and_a_folder_give_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in fails(["--text", str(tmp_path / "nowhere")], capsys)
    assert str(tmp_path) in fails(["--text", str(tmp_path)], capsys)


@pytest.mark.parametrize("argv", [
    ["--cells", "transformer"], ["--cells", ""], ["--steps", "0"], ["--steps", "-1"], ["--steps", "many"],
    ["--hidden", "0"], ["--hidden", "2.5"], ["--seed", "-1"], ["--unknown"],
])
def test_bad_options_give_one_clear_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert argv[0].lstrip("-") in fails(argv, capsys)


def test_an_out_that_is_a_file_gives_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file, not a folder" in fails(["--out", str(tmp_path / "file")], capsys)


def test_an_empty_name_of_a_text_gives_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--text: expected the name of a file" in fails(["--text", ""], capsys)


def test_an_interrupted_run_says_what_it_has_written(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.train

    def train(net: Any, corpus: Any, steps: int, seed: int, name: str) -> None:
        if name == "lstm":
            raise KeyboardInterrupt
        real(net, corpus, steps, seed, name)

    monkeypatch.setattr(demo, "train", train)
    assert main([*SMALL, "--out", str(tmp_path)]) == 130
    said = capsys.readouterr().err
    assert "interrupted" in said
    assert "rnn.svg" in said
    assert "lstm.svg" not in said
    assert (tmp_path / "index.html").exists()


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-m", "demos.gradient_flow", "--text", str(tmp_path / "none")],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("gradient_flow: --text")


# ------------------------------------------------------------------------------------------------ the text
def test_characters_never_seen_in_training_share_a_number(tmp_path: Path) -> None:
    text = "abc " * 500 + "xyz🦜" * 50
    corpus = Corpus.of(text)
    assert corpus.classes == 5
    assert corpus.held_out.max() == 4
    (tmp_path / "t").write_text(text, encoding="utf-8")
    assert main([*SMALL, "--cells", "gru", "--text", str(tmp_path / "t"), "--out", str(tmp_path / "o")]) == 0


def test_the_shortest_text_and_one_of_a_single_letter_work(tmp_path: Path) -> None:
    for text in ("ab" * 175 + "a", "a" * 400):
        (tmp_path / "t").write_text(text, encoding="utf-8")
        assert main([*SMALL, "--cells", "rnn", "--text", str(tmp_path / "t"), "--out", str(tmp_path / "o")]) == 0


def test_the_passage_is_held_out_and_ends_where_a_word_starts() -> None:
    text = demo.default_text()
    corpus = Corpus.of(text)
    assert len(corpus.passage) == demo.PASSAGE + 1 > max(demo.LAGS) + 1
    assert corpus.passage[-1].isalpha()
    assert corpus.passage[-2] == " "
    assert corpus.passage in text[len(corpus.train):]


def test_windows_line_targets_up_one_character_on() -> None:
    x, y = demo.windows(np.arange(10), np.array([0, 4]), 3)
    assert x.tolist() == [[0, 4], [1, 5], [2, 6]]
    assert np.array_equal(y, x + 1)


# ------------------------------------------------------------------------------------------------ the page
def test_the_page_says_the_verdict_once_and_marks_the_character(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    said = numbers(done)
    assert page.count(demo.html.escape(said["verdict"])) == 1
    assert f"<mark>{demo.html.escape(said['predicted'])}</mark></pre>" in page
    assert 'id="full"' in page
    assert 'id="full" checked' not in page
    assert "H × 4H, here 8 × 32" in page
    assert page.count('class="key"') == 6
    assert "linear (logits)" in page
    assert "operand" not in page


def test_the_passage_is_shown_from_the_start_of_its_line() -> None:
    text = demo.default_text()
    corpus = Corpus.of(text)
    start = text.index(corpus.before + corpus.passage, len(corpus.train))
    assert text[start - 1] == "\n"
    assert "\n" not in corpus.before


def test_one_cell_alone_says_its_own_sentence_and_has_no_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*SMALL, "--cells", "rnn", "--out", str(tmp_path)])
    said = numbers(tmp_path)
    assert said["verdict"] == said["cells"]["rnn"]["sentence"]
    assert said["verdict"] in capsys.readouterr().out
    assert not (tmp_path / "side_by_side.svg").exists()
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count(demo.html.escape(said["verdict"])) == 1
    assert "Side by side" not in page


def test_a_log_of_the_progress_stays_short(capsys: pytest.CaptureFixture[str]) -> None:
    with demo.progress(300, "rnn") as bar:
        for _ in range(300):
            bar.update()
            bar.set_postfix_str("2 bits/char", refresh=False)
    assert len(capsys.readouterr().err) < 1000
    assert "refresh=False" in Path(demo.__file__).read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ the words
def result(name: str, norms: list[float]) -> demo.Result:
    flow = viz.gradient_flow(Value(1.0) * 2)
    return demo.Result(name, 1, 1.0, 1.0, 1.0, flow,
                       [viz.Profile("h", tuple(range(len(norms)))[::-1], tuple(range(len(norms))), tuple(norms))])


def test_the_verdict_follows_the_numbers() -> None:
    near, far = [1.0, 0.5, 0.001, 0.0], [1.0, 0.9, 0.8, 0.001]
    assert "lstm reached further back than the plain" in demo.verdict([result("rnn", near), result("lstm", far)])
    assert "lstm reached less far back than the plain" in demo.verdict([result("rnn", far), result("lstm", near)])
    assert "lstm reached as far back as the plain" in demo.verdict([result("rnn", far), result("lstm", far)])
    assert "not two cells" in demo.verdict([result("rnn", [0.0, 1.0]), result("lstm", far)])


def test_a_horizon_at_the_end_of_the_passage_is_a_lower_bound() -> None:
    assert demo.horizon_text(viz.Profile("h", (1, 0), (0, 1), (1.0, 0.5))) == "≥ 1"
    assert demo.horizon_text(viz.Profile("h", (1, 0), (0, 1), (math.nan, 0.5))) == "–"


def test_the_verdict_compares_rates_and_starts_only_where_the_numbers_say_so() -> None:
    fast = [0.5**k for k in range(120)]
    bent = [0.5**k if k < 10 else 0.5**10 * 0.9 ** (k - 10) for k in range(120)]
    said = demo.verdict([result("rnn", fast), result("lstm", bent)])
    assert "that of the lstm is no longer than the rnn's (6 against 6)" in said
    assert "keeps 0.50 a step (the rnn 0.50), but from 50 to 100 steps back 0.90 (the rnn 0.50)" in said
    assert "starts differ" not in said
    far = demo.verdict([result("rnn", fast), result("lstm", [100 * 0.99**k for k in range(120)])])
    assert "no longer than" not in far
    assert "the starts differ: 100 for the lstm, 1 for the rnn" in far


def test_two_gated_cells_have_two_paths() -> None:
    near, far = [1.0, 0.5, 0.001, 0.0], [1.0, 0.9, 0.8, 0.001]
    said = demo.verdict([result("rnn", near), result("lstm", far), result("gru", far)])
    assert "the gated paths of the lstm and the gru reached further back than the plain tanh path" in said
