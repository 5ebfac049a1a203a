"""The page is one file that needs no network, and no text of a user becomes markup or script."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, mark, nn, scope, tanh
from tests.viz.explorer.pages import Reader, data_of, policy_of
from viz.explorer.encode import array, decoded, finite, json_text
from viz.render.page import page, raw

HOSTILE = [
    "</script><script>alert(1)</script>", "<!-- <script>", "\"'&<>", "\u2028\u2029", "\0\x01", "\ud800", "\udfff",
    "\u202eabc", "<img src=x onerror=alert(1)>", "</ScRiPt >", "]]>", "${1}", "javascript:alert(1)", "😀", "",
]


def loss(T: int = 5, H: int = 3) -> Any:
    return nn.LSTM(2, H, rng=0)(np.random.default_rng(0).standard_normal((T, 1, 2)))[1][0].sum()


@pytest.fixture(scope="module")
def hostile() -> viz.Page:
    """A page in which every text that a user can choose is hostile."""
    labels = [HOSTILE[j % len(HOSTILE)] for j in range(30)]
    h: Any = Tensor(np.ones((1, 2)))
    W = mark(Tensor(np.eye(2) / 2, requires_grad=True), HOSTILE[2], role="parameter")
    for t in range(30):
        with scope(HOSTILE[0], step=t):
            h = mark(tanh(h @ W), HOSTILE[8], role="hidden")
    return viz.explore({HOSTILE[0]: h.sum(), HOSTILE[5] + HOSTILE[1]: loss(30)}, name=HOSTILE[0] + HOSTILE[5],
                       labels=labels)


def test_labels_arrive_as_they_are_but_for_what_is_no_text(hostile: viz.Page) -> None:
    lanes = data_of(hostile)["lanes"]
    assert lanes[0]["labels"] == [HOSTILE[j % len(HOSTILE)] for j in range(30)]
    assert lanes[0]["name"] == HOSTILE[0]


def test_hostile_text_adds_no_element(hostile: viz.Page) -> None:
    harmless = viz.explore({"a": loss(30), "b": loss(30)})
    kinds = {tag for tag, _ in Reader(hostile.html).found}
    assert not kinds & {"img", "iframe", "object", "embed", "base", "link", "form"}
    scripts = [sum(tag == "script" for tag, _ in Reader(one.html).found) for one in (hostile, harmless)]
    assert scripts[0] == scripts[1]
    assert all(not name.startswith("on") for _, attrs in Reader(hostile.html).found for name in attrs)


def test_the_file_is_utf_8_without_what_html_forbids(hostile: viz.Page, tmp_path: Path) -> None:
    path = hostile.save(tmp_path / "x.html")
    text = path.read_text(encoding="utf-8")
    assert text == hostile.html
    assert not re.search("[\0\x01\ud800-\udfff]", text)
    assert text.startswith("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>")


def test_data_hold_nothing_that_ends_a_script(hostile: viz.Page) -> None:
    (text,) = (text for _, attrs, text in Reader(hostile.html).raw if attrs.get("id") == "data")
    assert not set("<>&") & set(text)
    assert text.isascii()


def test_the_policy_allows_no_network_and_only_the_scripts_that_are_there(hostile: viz.Page) -> None:
    policy = policy_of(hostile)
    assert policy["default-src"] == ["'none'"]
    assert policy["img-src"] == ["data:", "blob:"]
    assert not {"connect-src", "frame-src", "font-src", "worker-src"} & set(policy)
    assert not any("unsafe" in source or "http" in source for sources in policy.values() for source in sources)
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        texts = [text for kind, attrs, text in Reader(hostile.html).raw
                 if kind == tag and attrs.get("type") != "application/json"]
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert policy[directive] == [f"'sha256-{digest}'" for digest in digests]


def test_no_style_attribute_stands_in_the_page(hostile: viz.Page) -> None:
    """The policy would not let it count."""
    assert not any("style" in attrs for _, attrs in Reader(hostile.html).found)


def test_nothing_is_fetched(hostile: viz.Page) -> None:
    for tag, attrs in Reader(hostile.html).found:
        assert not {"src", "srcset", "data", "action", "poster"} & attrs.keys(), tag
        assert str(attrs.get("href", "#")).startswith("#"), tag
    addresses = re.findall(r"https?://[\w./-]+", hostile.html)
    assert {address for address in addresses if not address.startswith("http://www.w3.org/")} == set()  # namespaces


def test_without_scripts_the_static_picture_is_there() -> None:
    found = viz.explore(loss())
    inside = re.search(r"<noscript>(.*?)</noscript>", found.html, re.DOTALL)
    assert inside is not None
    assert "<svg" in inside[1]
    assert found.title in inside[1]


def test_dark_pages_recolour_what_is_stamped() -> None:
    found = viz.explore(loss())
    (style,) = (text for tag, _, text in Reader(found.html).raw if tag == "style")
    ink, dark = viz.Theme().ink, viz.DARK.ink
    assert f':root[data-theme=dark] [fill="{ink}"]{{fill:{dark}}}' in style
    assert "@media(prefers-color-scheme:dark)" in style


def test_a_notebook_shows_it_in_a_frame() -> None:
    found = viz.explore(loss())
    ((tag, attrs),) = ((tag, attrs) for tag, attrs in Reader(found._repr_html_()).found)
    assert tag == "iframe"
    assert attrs["srcdoc"] == found.html
    assert attrs["title"] == found.title


def test_a_page_is_saved_as_html_only(tmp_path: Path) -> None:
    found = viz.explore(loss(), tmp_path / "deep" / "x.html")
    assert (tmp_path / "deep" / "x.html").read_text(encoding="utf-8") == found.html
    with pytest.raises(ValueError, match=r"'x.svg' ends in .svg; a page is saved as .html"):
        found.save(tmp_path / "x.svg")


def test_a_script_that_could_end_its_element_is_refused() -> None:
    with pytest.raises(ValueError, match="may hold neither"):
        raw("script", "x = '</SCRIPT>'")
    with pytest.raises(ValueError, match="may hold neither"):
        page("{}", "", "t", "s", "<!-- x", "")


def test_the_same_net_makes_the_same_file() -> None:
    assert viz.explore(loss()).html == viz.explore(loss()).html


@pytest.mark.parametrize("kind", ["f8", "f4", "u1"])
def test_arrays_come_back(kind: str) -> None:
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(decoded(array(x, kind)), x)


def test_what_is_no_number_comes_back_too() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 5e-324, -0.0])
    assert decoded(array(x)).tobytes() == x.astype("<f8").tobytes()
    assert [finite(v) for v in x[:3]] == [None] * 3
    with pytest.raises(ValueError, match="JSON"):
        json_text(float("nan"))
