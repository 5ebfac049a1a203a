"""The gallery: every entry's code runs and bears its caption, and what lies in docs/ is what it makes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from demos.gallery import DOCS, Entry, Made, main, make, page, sections, write

ENTRIES = [entry for entries in sections().values() for entry in entries]


@cache
def made(name: str) -> Made:
    entry = next(entry for entry in ENTRIES if entry.name == name)
    if entry.needs:
        pytest.importorskip(entry.needs)
    return make(entry)


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_the_code_runs_and_the_caption_holds(name: str) -> None:
    one = made(name)
    root = ElementTree.fromstring(one.svg)
    assert root.tag.endswith("svg")
    assert not re.search(r"[{}]", one.caption), one.caption
    assert not re.search(r"\b(nan|inf)\b", one.caption), one.caption


def test_the_page_is_up_to_date() -> None:
    found = {heading: [made(entry.name) for entry in entries] for heading, entries in sections().items()}
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == page(found), "run make gallery"


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_the_picture_says_what_it_says_in_the_folder(name: str) -> None:
    """Drawings: the same words and numbers. Plots, which draw letters as curves: the same curves, to a pixel."""
    kept = (DOCS / "gallery" / f"{name}.svg").read_text(encoding="utf-8")
    assert words_of(kept) == words_of(made(name).svg), "run make gallery"
    if 'id="figure_1"' in kept:
        for old, new in zip(curves_of(kept), curves_of(made(name).svg), strict=True):
            np.testing.assert_allclose(old, new, atol=1.0, err_msg="run make gallery")


def curves_of(svg: str) -> list[list[float]]:
    """The coordinates of every path of a picture."""
    return [[float(number) for number in re.findall(r"-?\d+\.?\d*", element.get("d", ""))]
            for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}path")]


def words_of(svg: str) -> list[str]:
    """All that is written in a picture."""
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter()
            if element.tag.rpartition("}")[2] in ("text", "title", "desc")]


def test_the_folder_holds_one_picture_for_each_entry_and_is_small() -> None:
    files = list((DOCS / "gallery").glob("*"))
    assert {file.name for file in files} == {f"{entry.name}.svg" for entry in ENTRIES}
    assert sum(file.stat().st_size for file in files) < 3e6


def test_names_are_unique() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("name", ["cell_lstm_flow", "flow_gru", "claim_gains"])
def test_making_a_picture_twice_gives_the_same_bytes(name: str) -> None:
    assert make(next(entry for entry in ENTRIES if entry.name == name)).svg == made(name).svg


def test_a_caption_that_the_data_do_not_bear_is_refused() -> None:
    with pytest.raises(AssertionError):
        make(Entry("x", "x", "It forgets nothing.", "viz.draw_cell(nn.LSTMCell(1, 1, rng=0))", "assert 0.73 == 1"))


def test_a_picture_that_no_entry_makes_any_more_is_removed(tmp_path: Path) -> None:
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "old.svg").write_text("<svg/>")
    found = write({"One": [made("cell_rnn")]}, tmp_path)
    assert [file.name for file in found] == ["cell_rnn.svg", "gallery.md"]
    assert [file.name for file in (tmp_path / "gallery").iterdir()] == ["cell_rnn.svg"]


def test_options_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--nonsense"])
    assert "unrecognized arguments" in capsys.readouterr().err
