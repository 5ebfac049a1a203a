"""The main job on a small setting, end to end, and everything a user can get wrong."""

from __future__ import annotations

import html
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
from demos import gradient_compare, gradient_page, gradient_words
from demos import gradient_flow as demo
from demos.gradient_flow import CELLS, Corpus, main
from microgradrnn import Value
from viz.theme import contrast

SMALL = ["--updates", "3", "--hidden", "8"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small run of all four nets."""
    out = tmp_path_factory.mktemp("demo") / "deep" / "out"
    assert main([*SMALL, "--out", str(out)]) == 0
    return out


def numbers(out: Path) -> Any:
    return json.loads((out / "flow.json").read_text(encoding="utf-8"))


def test_everything_is_written(done: Path) -> None:
    names = {path.name for path in done.iterdir()}
    assert {"side_by_side.svg", "gates_against_tanh.svg", "norm_against_lag.svg", "flow.json", "index.html",
            "explorer.html", "rnn_graph.svg", *(f"{kind}.svg" for kind in CELLS),
            *(f"{kind}_text.svg" for kind in CELLS)} == names
    assert not any(" " in name or "," in name for name in names)
    for path in done.glob("*.svg"):
        ET.fromstring(path.read_text(encoding="utf-8"))


def test_the_page_shows_every_picture_and_sentence_offline(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4 * 6 + 2 * 6, "with text on colours in four versions, others in two"
    assert not re.search(r'(src|href)="(http|//)', page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "pictures on one page must not share ids"
    for cell in numbers(done)["cells"].values():
        assert html.escape(cell["sentence"]) in page


def test_the_explorer_comes_first_and_shows_every_net_with_its_passage(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    assert page.index('<iframe src="explorer.html"') < page.index("<figure>")
    text = (done / "explorer.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert [lane["name"] for lane in data["lanes"]] == [cell["name"] for cell in numbers(done)["cells"].values()]
    for lane in data["lanes"]:
        assert "".join(lane["labels"]) == numbers(done)["passage"]
        assert (lane["sweep"] is not None) == (len(lane["ways"]["names"]) > 1)


def test_flow_json_holds_what_was_drawn(done: Path) -> None:
    said = numbers(done)
    assert {kind: cell["name"] for kind, cell in said["cells"].items()} == {
        "rnn": "tanh RNN", "lstm": "LSTM", "lstm3": "LSTM, forget bias 3", "gru": "GRU"}
    assert len(said["passage"]) == demo.PASSAGE
    for kind, states in {"rnn": ["h"], "lstm": ["c", "h"], "lstm3": ["c", "h"], "gru": ["h"]}.items():
        cell = said["cells"][kind]
        assert list(cell["states"]) == states
        at = {n["id"]: n["gradient"] for n in cell["flow"]["nodes"]}
        for state, profile in cell["states"].items():
            assert profile["lags"] == list(range(demo.PASSAGE))
            path = kind.rstrip("3")
            assert profile["norms"] == [at[f"{path}/t{demo.PASSAGE - 1 - lag}/{state}"] for lag in profile["lags"]]
            again = viz.Profile(state, (), tuple(profile["lags"]), tuple(profile["norms"])).horizon()
            assert profile["horizon"] == again


def test_the_two_lstms_differ_in_the_forget_bias_alone() -> None:
    low, high = (demo.CharacterNet(CELLS[kind], 10, 8, seed=3).state_dict() for kind in ("lstm", "lstm3"))
    changed = {name: high[name] - low[name] for name in low if not np.array_equal(high[name], low[name])}
    (bias,) = changed.values()
    assert np.array_equal(np.unique(bias), [0, 2])
    assert np.count_nonzero(bias) == 8


def test_the_same_seed_gives_the_same_numbers(done: Path, tmp_path: Path) -> None:
    main([*SMALL, "--cells", "rnn", "--out", str(tmp_path)])
    assert numbers(tmp_path)["cells"]["rnn"] == numbers(done)["cells"]["rnn"]


def test_steps_is_another_word_for_updates(tmp_path: Path) -> None:
    main(["--steps", "3", "--hidden", "8", "--cells", "rnn", "--out", str(tmp_path)])
    assert numbers(tmp_path)["options"]["updates"] == 3


@pytest.mark.parametrize("length", [2, 40])
def test_the_passage_is_as_long_as_was_asked_for(length: int, tmp_path: Path) -> None:
    assert main([*SMALL, "--cells", "gru", "--length", str(length), "--out", str(tmp_path)]) == 0
    said = numbers(tmp_path)
    assert len(said["passage"]) == length
    assert said["cells"]["gru"]["states"]["h"]["lags"] == list(range(length))


def test_forget_biases_put_an_lstm_for_each_in_the_place_of_the_two() -> None:
    options = demo.parser().parse_args(["--forget-bias", "1,0,2.5"])
    cells = demo.chosen(options.cells, options.forget_bias)
    assert [cell.kind for cell in cells] == ["rnn", "lstm", "lstm0", "lstm2.5", "gru"]
    assert cells[3].name == "LSTM, forget bias 2.5"
    assert demo.chosen(options.cells, None) == list(CELLS.values())


def test_an_lstm_may_be_named_with_its_forget_bias() -> None:
    (cell,) = demo.cells_from("lstm-1.5")
    (plain,) = demo.cells_from("lstm, lstm")
    nets = [demo.CharacterNet(one, 10, 8, seed=3).state_dict() for one in (plain, cell)]
    gaps = [nets[1][name] - nets[0][name] for name in nets[0] if not np.array_equal(nets[0][name], nets[1][name])]
    assert [np.unique(gap).tolist() for gap in gaps] == [[-2.5, 0.0]]


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
    assert {"x", "(2, 1, 2)", "h0", "(1, 2)", "tanh"} <= set(shown)
    assert any(words.startswith("‖grad‖") for words in shown)
    title = html.escape(str(ET.fromstring(svg).get("aria-label")))  # the page has the same graph, made for its width
    assert f"<title>{title}</title>" in (tmp_path / "index.html").read_text(encoding="utf-8")


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
    ["--hidden", "0"], ["--hidden", "2.5"], ["--seed", "-1"], ["--unknown"], ["--length", "1"], ["--cells", "lstmx"],
    ["--forget-bias", "much"], ["--forget-bias", "1", "--cells", "rnn,gru"], ["--compare", "nowhere.json"],
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
        if name == "LSTM":
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
    assert len(corpus.passage) == demo.PASSAGE + 1 > max(gradient_words.LAGS) + 1
    assert corpus.passage[-1].isalpha()
    assert corpus.passage[-2] == " "
    assert corpus.passage in text[len(corpus.train):]


def test_windows_line_targets_up_one_character_on() -> None:
    x, y = demo.windows(np.arange(10), np.array([0, 4]), 3)
    assert x.tolist() == [[0, 4], [1, 5], [2, 6]]
    assert np.array_equal(y, x + 1)


# ------------------------------------------------------------------------------------------------ runs compared
def test_runs_that_are_done_are_compared_by_their_numbers(done: Path, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "longer.json"
    main([*SMALL, "--cells", "gru", "--length", "60", "--seed", "1", "--out", str(tmp_path / "run")])
    (tmp_path / "run" / "flow.json").rename(other)
    capsys.readouterr()
    assert main(["--compare", str(done / "flow.json"), str(other), "--out", str(tmp_path / "both")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("59 steps back, "), "as far as all of them go"
    svg = (tmp_path / "both" / "compared.svg").read_text(encoding="utf-8")
    names = [f"{cell['name']} (out)" for cell in numbers(done)["cells"].values()] + ["GRU (longer)"]
    assert all(html.escape(name) in svg for name in names)
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"compared.svg"}, "nothing is trained"


def test_a_track_from_a_file_is_the_one_that_was_measured(done: Path) -> None:
    for kind, track in zip(CELLS, gradient_compare.tracks_of(done / "flow.json", "run"), strict=True):
        cell = numbers(done)["cells"][kind]
        state = next(iter(cell["states"]))
        assert (track.net, track.state) == (f"{CELLS[kind].name} (run)", state)
        assert list(track.norms) == cell["states"][state]["norms"]
        assert set(track.parts) == ({"rest"} if kind == "rnn" else {"carry", "rest"})
        whole = np.array(track.norms)
        assert np.all(sum(map(np.array, track.parts.values())) >= whole * (1 - 1e-9)), "the norm of a sum is no more"


@pytest.mark.parametrize("content", [
    "", "[]", "{}", "\x00", '{"cells": {}}', '{"cells": []}', '{"cells": {"rnn": {"name": "x"}}}',
    '{"cells": {"rnn": {"name": "x", "states": {}}}}',
])
def test_a_file_that_is_none_of_the_lesson_gives_one_clear_line(content: str, tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text(content, encoding="utf-8")
    said = fails(["--compare", str(tmp_path / "x.json"), "--out", str(tmp_path / "out")], capsys)
    assert said.endswith("x.json: this is not the flow.json of a run\n")


# ------------------------------------------------------------------------------------------------ the page
def test_the_page_says_each_finding_once_and_marks_the_character(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    said = numbers(done)
    findings = re.findall(r'<p class="verdict">(.*?)</p>|<li>(.*?)</li>', page)
    assert " ".join(first or other for first, other in findings) == html.escape(said["verdict"])
    assert f"<mark>{html.escape(said['predicted'])}</mark></pre>" in page
    assert "H × 4H, here 8 × 32" in page
    assert page.count('class="key"') == 6
    assert "linear (logits)" in page
    assert "operand" not in page


def test_every_picture_has_a_version_for_each_width_and_theme(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    for shown in re.findall(r"<figure>(.*?)<figcaption>", page, re.DOTALL):
        assert re.findall(r'<div class="picture ([^"]*)">', shown) in (
            ["wide", "narrow"], ["wide own light", "narrow own light", "wide dark own", "narrow dark own"])
    rules = re.findall(r"@media ([^{]*) {\s*\.(\w+) { display: none }", page)
    assert dict(rules) == {"(min-width: 701px)": "narrow", "(max-width: 700px)": "wide",
                           "not all and (prefers-color-scheme: dark)": "dark", "(prefers-color-scheme: dark)": "light"}


def test_the_page_recolours_what_has_no_dark_version_and_nothing_else(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    light, dark = viz.Theme(), viz.DARK
    assert f'[fill="{light.ink}"]:not(.own *){{fill:{dark.ink}}}' in page
    drawn = dict(re.findall(r'<div class="picture ([^"]*)">(<svg[^>]*>)', page))
    assert f'fill="{dark.ink}"' in drawn["wide dark own"]
    assert f'fill="{light.ink}"' in drawn["wide own light"]


def test_text_on_the_page_is_never_the_colour_of_what_it_stands_on() -> None:
    for theme in (viz.Theme(), viz.DARK):
        assert contrast(theme.ink, theme.paper) > 7
        assert contrast(theme.faint, theme.tile) > 4.4, "the beginning of the line, on the ground of the passage"


def test_the_passage_is_shown_from_the_start_of_its_line() -> None:
    text = demo.default_text()
    corpus = Corpus.of(text)
    start = text.index(corpus.before + corpus.passage, len(corpus.train))
    assert text[start - 1] == "\n"
    assert "\n" not in corpus.before


@pytest.mark.parametrize(("line", "unread"), [("    ab cd\n", "    ab "), ("    abc de\n", " ")])
def test_grey_text_is_explained_where_it_can_be_seen(tmp_path: Path, line: str, unread: str) -> None:
    (tmp_path / "text.txt").write_text(600 * line, encoding="utf-8")
    main([*SMALL, "--cells", "rnn", "--text", str(tmp_path / "text.txt"), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert f'<span class="unread">{unread}</span>' in page
    assert ("Grey: " in page) == bool(unread.strip())


def test_one_cell_alone_says_its_own_sentence_and_has_no_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*SMALL, "--cells", "rnn", "--out", str(tmp_path)])
    said = numbers(tmp_path)
    assert said["verdict"] == said["cells"]["rnn"]["sentence"]
    assert said["verdict"] in capsys.readouterr().out
    assert not (tmp_path / "side_by_side.svg").exists()
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count(html.escape(said["verdict"])) == 1
    assert "<li>" not in page
    assert "Side by side" not in page


def test_a_log_of_the_progress_stays_short(capsys: pytest.CaptureFixture[str]) -> None:
    with demo.progress(300, "rnn") as bar:
        for _ in range(300):
            bar.update()
            bar.set_postfix_str("2 bits/char", refresh=False)
    assert len(capsys.readouterr().err) < 1000
    assert "refresh=False" in Path(demo.__file__).read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ the words
def result(kind: str, norms: list[float]) -> gradient_words.Result:
    flow, lags = viz.gradient_flow(Value(1.0) * 2), tuple(range(len(norms)))
    cell = CELLS.get(kind) or demo.lstm_with(float(kind.removeprefix("lstm")))
    track = viz.Track(cell.name, "h", lags, tuple(norms), {"carry": tuple(norms)})
    return gradient_words.Result(cell, 1, 1.0, 1.0, 1.0, flow, track,
                                 [viz.Profile("h", lags[::-1], lags, tuple(norms))])


def test_the_verdict_follows_the_numbers() -> None:
    near, far = [1.0, 0.5, 0.001, 0.0], [1.0, 0.9, 0.8, 0.001]
    for plain, gated, how in ((near, far, "further back than"), (far, near, "less far back than"),
                              (far, far, "as far back as")):
        said = gradient_words.verdict([result("rnn", plain), result("lstm", gated)])
        assert f"the gated path of the LSTM reached {how} the plain tanh path" in said
    assert "not two nets" in gradient_words.verdict([result("rnn", [0.0, 1.0]), result("lstm", far)])


def test_a_horizon_at_the_end_of_the_passage_is_a_lower_bound() -> None:
    assert gradient_words.horizon_text(viz.Profile("h", (1, 0), (0, 1), (1.0, 0.5))) == "≥ 1"
    assert gradient_words.horizon_text(viz.Profile("h", (1, 0), (0, 1), (math.nan, 0.5))) == "–"


def test_the_verdict_compares_rates_and_starts_only_where_the_numbers_say_so() -> None:
    fast = [0.5**k for k in range(120)]
    bent = [0.5**k if k < 10 else 0.5**10 * 0.9 ** (k - 10) for k in range(120)]
    said = gradient_words.verdict([result("rnn", fast), result("lstm", bent)])
    assert "That of the LSTM is no longer than that of the tanh RNN (6 against 6)" in said
    assert "Over the first 10 steps, the LSTM keeps 0.50 per step and the tanh RNN 0.50" in said
    assert "from 50 to 100 steps back, 0.90 and 0.50." in said
    assert "starts differ" not in said
    far = gradient_words.verdict([result("rnn", fast), result("lstm", [100 * 0.99**k for k in range(120)])])
    assert "no longer than" not in far
    assert "the starts differ: 100 for the LSTM, 1 for the tanh RNN" in far


def test_two_gated_cells_have_two_paths() -> None:
    near, far = [1.0, 0.5, 0.001, 0.0], [1.0, 0.9, 0.8, 0.001]
    said = gradient_words.verdict([result("rnn", near), result("lstm", far), result("lstm3", far), result("gru", far)])
    assert ("the gated paths of the LSTM, the LSTM with forget bias 3 and the GRU reached further back than the plain "
            "tanh path") in said


def test_the_value_of_the_gate_decides_only_where_it_does() -> None:
    low, high = ([f**k for k in range(120)] for f in (0.9, 0.99))
    said = gradient_words.verdict([result("lstm", low), result("lstm3", high)])
    assert "The carry of the first keeps 0.90 of the gradient per step, that of the second 0.99" in said
    assert "the value of the gate decides" in said
    for pair in ((high, low), (low, low)):
        said = gradient_words.verdict([result("lstm", pair[0]), result("lstm3", pair[1])])
        assert "The two LSTMs differ only" in said
        assert "decides" not in said
    assert "two LSTMs" not in gradient_words.verdict([result("lstm", low), result("gru", high)])
    three = gradient_words.verdict([result("lstm3", high), result("lstm", low), result("lstm0", low)])
    assert "The LSTMs differ only in the value at which the bias of the forget gate starts, 0, 1 and 3." in three
    assert "The carry of the first keeps 0.90 of the gradient per step, that of the last 0.99" in three


@pytest.mark.parametrize(("norms", "words"), [
    ([1.0, 0.5, 0.001, 0.0], "It is last above 1 % of its start 1 step back; 3 steps back, 0 % of it is left."),
    ([1.0, 0.5, 0.1, 0.001], "It is last above 1 % of its start 2 steps back; 3 steps back, 0.1 % of it is left."),
    ([1.0, 0.001], "It is below 1 % of its start at every step back; 1 step back, 0.1 % of it is left."),
    ([1.0, 0.5], "It stays above 1 % of its start as far back as is known, 1 step; 1 step back, 50 % of it is left."),
])
def test_one_step_is_not_called_steps(norms: list[float], words: str) -> None:
    assert words in gradient_words.sentence(result("rnn", norms))


def test_two_shares_never_contradict_each_other() -> None:
    for share in (1e-9, 0.0004, 0.001, 0.0149, 0.5, 0.93, 0.9949, 0.9996, 1 - 1e-12):
        one, other = gradient_words.two_shares(share)
        assert "100" not in one + other
        if "than" not in one:
            assert float(one.removesuffix(" %")) + float(other.removesuffix(" %")) == pytest.approx(100)
    assert gradient_words.two_shares(1.0) == ("all", "nothing")


def test_the_ids_of_plots_are_made_unique_and_colours_are_left() -> None:
    plot = '<g id="axes_1"/><use xlink:href="#m1" clip-path="url(#p1)" style="fill: #ffffff"/>'
    assert gradient_page.unique(plot, "a-") == (
        '<g id="a-axes_1"/><use xlink:href="#a-m1" clip-path="url(#a-p1)" style="fill: #ffffff"/>')
