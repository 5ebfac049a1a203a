"""Connectivity against finite differences and PyTorch, and the text that is shaded with it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, grad, nn, no_grad
from tests.viz.legible import faults
from tests.viz.scenes import data, scene_of
from viz.flow import connectivity as memory
from viz.scene.items import Area, Box, Text, Wire, moved, overlap
from viz.theme import DARK, DEFAULT

K = 5


def net_of(kind: str, seed: int = 0, **options: Any) -> tuple[Any, Any]:
    """A recurrent net and its logits as a function of the inputs."""
    recurrent = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind](3, 4, rng=seed, **options)
    head = nn.Linear(8 if options.get("bidirectional") else 4, K, rng=seed + 1)
    return recurrent, lambda x: head(recurrent(x)[0])


def passage(T: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, 3)), rng.integers(0, K, T)


def by_differences(net: Any, x: np.ndarray, targets: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """The same by changing every number of every input a little."""
    T, D = x.shape
    g = np.zeros((T, T, D))
    for k in range(T):
        for d in range(D):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[k, d] += sign * eps
                ends.append(np.asarray(net(moved[:, None]).data)[np.arange(T), 0, targets])
            g[:, k, d] = (ends[0] - ends[1]) / (2 * eps)
    return np.asarray(np.linalg.norm(g, axis=2))


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("T", [1, 7])
def test_connectivity_is_what_finite_differences_say(kind: str, T: int) -> None:
    _, net = net_of(kind)
    x, targets = passage(T)
    C = viz.connectivity(net, x, targets)
    np.testing.assert_allclose(C, by_differences(net, x, targets), rtol=1e-6, atol=1e-9)
    assert (np.triu(C, 1) == 0).all()
    assert (np.tril(C) + np.triu(np.ones((T, T)), 1) > 0).all()


def test_more_steps_than_copies_in_a_batch_are_each_their_own_reverse_pass() -> None:
    _, net = net_of("lstm")
    x, targets = passage(2 * memory.COPIES + 5)
    C = viz.connectivity(net, x, targets)
    for t in (0, memory.COPIES - 1, memory.COPIES, len(x) - 1):
        leaf = Tensor(x[:, None], requires_grad=True)
        alone = grad(net(leaf)[t, 0, int(targets[t])], leaf)[:, 0]
        np.testing.assert_allclose(C[t], np.linalg.norm(alone, axis=-1), rtol=1e-10, atol=1e-300)


def test_a_net_that_reads_backwards_too_listens_to_what_lies_ahead() -> None:
    _, net = net_of("gru", bidirectional=True)
    x, targets = passage(6)
    C = viz.connectivity(net, x, targets)
    np.testing.assert_allclose(C, by_differences(net, x, targets), rtol=1e-6, atol=1e-9)
    assert (C > 0).all()


def test_connectivity_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    from microgradrnn import io

    lstm, net = net_of("lstm")
    theirs = torch.nn.LSTM(3, 4).double()
    theirs.load_state_dict({name: torch.tensor(np.asarray(w)) for name, w in io.to_torch_state_dict(lstm).items()})
    x, targets = passage(9)
    leaf = torch.tensor(x[:, None], requires_grad=True)
    hs, _ = theirs(leaf)
    head = nn.Linear(4, K, rng=1)
    logits = hs @ torch.tensor(np.array(head.V.data)) + torch.tensor(np.array(head.d.data))
    expected = []
    for t in range(9):
        (g,) = torch.autograd.grad(logits[t, 0, int(targets[t])], leaf, retain_graph=True)
        expected.append(g[:, 0].norm(dim=-1).numpy())
    np.testing.assert_allclose(viz.connectivity(net, x, targets), expected, rtol=1e-9, atol=1e-15)


def test_embeddings_one_hot_rows_and_tensors_are_inputs_and_no_grad_is_touched() -> None:
    embedding = nn.Embedding(K, 3, rng=0)
    rnn, net = net_of("rnn")
    ids = np.array([0, 3, 1, 1])
    C = viz.connectivity(net, embedding(ids[:, None]), ids)
    assert C.shape == (4, 4)
    np.testing.assert_array_equal(C, viz.connectivity(net, embedding(ids).data, ids))
    with no_grad():
        np.testing.assert_array_equal(C, viz.connectivity(net, embedding(ids), ids))
    assert all(p.grad is None for p in rnn.parameters())
    one_hot = nn.RNN(K, 4, rng=0)
    assert viz.connectivity(lambda x: one_hot(x)[0], np.eye(K)[ids], ids % 4).shape == (4, 4)


def test_logits_that_hear_nothing_are_exactly_zero() -> None:
    C = viz.connectivity(lambda x: Tensor(np.ones((*x.shape[:2], K))), passage(3)[0], [0, 1, 2])
    assert (C == 0).all()


def test_tiny_gradients_do_not_underflow_in_the_norm() -> None:
    assert memory.norms(np.array([[3e-200, 4e-200]]))[0] == pytest.approx(5e-200, rel=1e-12)


@pytest.mark.parametrize(("x", "targets", "error", "words"), [
    (np.ones((4, 2, 3)), [0] * 4, ValueError, "one-hot rows, or the output of an embedding"),
    (np.ones((4, 3), int), [0] * 4, ValueError, "got int64"),
    (np.ones((4, 3)), [0] * 3, ValueError, "one target a step"),
    (np.ones((4, 3)), [0.0] * 4, TypeError, "targets are integers"),
    (np.ones((4, 3)), [0, 1, 2, K], ValueError, "must lie in 0..4"),
])
def test_input_that_does_not_fit_is_refused(x: Any, targets: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        viz.connectivity(net_of("rnn")[1], x, targets)


def test_nets_that_give_no_logits_or_differ_from_copy_to_copy_are_refused() -> None:
    x, targets = passage(4)
    rnn, _ = net_of("rnn")
    with pytest.raises(TypeError, match="must return its logits, a Tensor, not a tuple"):
        viz.connectivity(rnn, x, targets)
    with pytest.raises(ValueError, match="logits are"):
        viz.connectivity(lambda x: rnn(x)[1], x, targets)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="is dropout on"):
        viz.connectivity(lambda x: x * rng.standard_normal(x.shape), x, targets % 3)


# ------------------------------------------------------------------------------------------------ pictures
def test_the_right_answer_is_boxed_and_line_ends_and_tabs_can_be_seen() -> None:
    C = np.tril(np.full((6, 6), 0.1))
    drawing = viz.draw_text(C, "a\tb\n<x>", [5, 2])
    ET.fromstring(drawing.svg)
    scene = scene_of(drawing)
    letters = "".join(text.plain for text, _ in scene.texts() if text.mono)
    assert {"⇥", "⏎", "<", ">"} <= set(letters)
    boxes = [moved(item.extent, x, y) for item, x, y in scene.keyed("answer") if isinstance(item, Box)]
    bold = [(text.plain, extent) for text, extent in scene.texts() if text.bold and text.mono]
    assert [words for words, _ in bold] == [">", "⏎"]
    assert all(overlap(box, extent) for box, (_, extent) in zip(boxes, bold, strict=True))


def test_zero_and_what_is_not_finite_look_different_from_small_numbers() -> None:
    C = np.tril(np.full((4, 4), 1e-3))
    C[3, 1], C[3, 2] = 0.0, np.nan
    small, odd = (scene_of(viz.draw_text(one, "abcde")) for one in (np.tril(np.full((4, 4), 1e-3)), C))
    items = {item.key: item for item, _, _ in odd.keyed("heat")}
    zero, strange = items["heat", 3, 1], items["heat", 3, 2]
    assert isinstance(zero, Wire)
    assert zero.dashes
    assert isinstance(strange, Box)
    assert strange.fill == DEFAULT.alarm
    for words in ("exactly zero", "NaN or infinite"):
        assert words in odd.words
        assert words not in small.words


def test_colours_are_those_of_the_numbers() -> None:
    C = np.tril(np.ones((3, 3)))
    C[2] = [1e-4, 1e-2, 1.0]
    scale = viz.Scale(-4, 0)
    scene = scene_of(viz.draw_text(C, "abcd", scale=scale))
    assert data(scene, "heat") == {(2, k): C[2, k] for k in range(3)}
    for item, _, _ in scene.keyed("heat"):
        assert isinstance(item, Box)
        assert item.fill == viz.Theme().magnitude(scale.place(item.datum or 0.0))


def test_words_are_tokens_too_and_long_texts_are_broken_into_lines() -> None:
    words = ["gradient", "flows", "back"] * 30 + ["."]
    scene = scene_of(viz.draw_text(np.tril(np.ones((90, 90))), words, theme=replace(DEFAULT, page=700)))
    found = [extent for text, extent in scene.texts() if text.plain in words]
    assert len(found) == 91
    assert len({top for _, top, _, _ in found}) > 3
    assert max(right for _, _, right, _ in found) < 700


def test_each_letter_stands_on_its_own_ground() -> None:
    """East Asian letters are two columns wide, a mark without a letter gets a circle, and words are one text."""
    for text in ("春眠不覺曉處處聞啼鳥", "e\u0301a, the net", "now and then"):
        scene = scene_of(viz.draw_text(np.tril(np.ones((len(text) - 1,) * 2)), text))
        assert faults(scene) == []
        grounds = [moved(item.extent, x, y) for item, x, y in scene.keyed("heat") if isinstance(item, Box)]
        letters = [(one.plain, extent) for one, extent in scene.texts() if one.mono and not one.bold]
        for words, (left, _, right, _) in letters:
            under = [ground for ground in grounds if ground[0] < right - 1 and ground[2] > left + 1]
            assert len(under) == (1 if not words.isascii() else len(words))
            assert left >= min(ground[0] for ground in under) - 1
            assert right <= max(ground[2] for ground in under) + 1
    assert "◌\u0301" in [text.plain for text, _ in scene_of(viz.draw_text(np.ones((2, 2)), "a\u0301b")).texts()]


def test_a_long_text_is_cut_and_many_predictions_are_and_the_picture_says_so() -> None:
    T = 3000
    C = np.tril(np.full((T, T), 0.25))
    drawing = viz.draw_text(C, ("to be or " * T)[:T + 1], range(100, T, 100))
    scene = scene_of(drawing)
    assert len(drawing.svg) < 3e6
    shown = {t for t, _ in data(scene, "heat")}
    assert len(shown) == 12
    words = scene.words.replace("\n", " ")
    assert "The first 12 of 29 predictions are drawn." in words
    assert ("201 characters before those drawn for “e” (step 1200) are left out; the strongest of them has 0.25."
            in words)
    assert sum(t == 1200 for t, _ in data(scene, "heat")) == 1000


def test_the_title_says_what_the_net_listens_to() -> None:
    C = np.tril(np.full((4, 4), 1e-3))
    C[3] = [0.0, 5.0, 0.1, 0.2]
    scene = scene_of(viz.draw_text(C, "abcde", name="GRU"))
    assert scene.title == "Before “e”, GRU depends most on “b”, 3 characters back"
    assert "the last 3 characters" in scene_of(viz.draw_text(C, "abcde")).words
    nothing = scene_of(viz.draw_text(np.zeros((2, 2)), "abc")).title
    assert nothing == "Before “c”, the net listens to nothing: all strengths are exactly zero"
    assert "“d”: 90 % of the strength lies in the last 3 characters" in scene_of(viz.draw_text_map(C, "abcde")).title


def area(outline: Any) -> float:
    return float((outline[2][0] - outline[0][0]) * (outline[2][1] - outline[0][1]))


def test_the_map_has_a_square_for_each_pair_and_the_text_along_both_axes() -> None:
    T = 20
    C = np.tril(np.random.default_rng(0).uniform(0.1, 1, (T, T)))
    C[5, 2] = 0
    text = "the quick brown fox j"
    drawing = viz.draw_text_map(C, text)
    ET.fromstring(drawing.svg)
    scene = scene_of(drawing)
    outlines = [outline for item, _, _ in scene.keyed("heat") if isinstance(item, Area) for outline in item.outlines]
    assert sum(map(area, outlines)) == pytest.approx(18.0**2 * (T * (T + 1) // 2 - 1))
    (zero,) = [item for item, _, _ in scene.keyed("zero") if isinstance(item, Wire)]
    assert len(zero.routes) == 1
    for kind, words in (("read", text[:-1]), ("answer", text[1:])):
        letters = [item.plain for item, _, _ in scene.keyed(kind) if isinstance(item, Text)]
        assert "".join(letters) == words.replace(" ", "␣")


def test_the_map_of_a_long_text_fits_its_page_and_shows_the_largest() -> None:
    T = 900
    C = np.tril(np.full((T, T), 1e-6))
    C[700, 20] = 1.0
    text = "the quick brown fox " * 45 + "j"
    for page in (1280, 830, 390):
        scene = scene_of(viz.draw_text_map(C, text, theme=replace(DEFAULT, page=page)))
        assert scene.width <= page
        assert faults(scene) == []
        assert "A square is the largest of" in scene.words.replace("\n", " ")
        (bright,) = [item for item, _, _ in scene.keyed("heat") if item.key == ("heat", DEFAULT.magnitude(1.0))]
        assert isinstance(bright, Area)
        assert len(bright.outlines) == 1


def test_a_dark_theme_has_its_own_paper_and_ink() -> None:
    dark = DARK
    C = np.tril(np.ones((3, 3)))
    C[2, 0] = 0  # a letter on the paper itself
    for picture in (viz.draw_text(C, "abcd", theme=dark), viz.draw_text_map(C, "abcd", theme=dark)):
        assert dark.paper in picture.svg
        assert "#1f2933" not in picture.svg


@pytest.mark.parametrize(("C", "text", "words"), [
    (np.ones((3, 4)), "abcd", "strengths are (T, T)"), (np.ones((3, 3)), "abc", "there are 4 characters"),
    (np.ones((0, 0)), "a", "strengths are (T, T)"),
])
def test_texts_that_do_not_fit_the_numbers_are_refused(C: Any, text: str, words: str) -> None:
    for draw in (viz.draw_text, viz.draw_text_map):
        with pytest.raises(ValueError, match=re.escape(words)):
            draw(C, text)
    with pytest.raises(ValueError, match=re.escape("steps lie in 0..2, got 3")):
        viz.draw_text(np.ones((3, 3)), "abcd", [3])
