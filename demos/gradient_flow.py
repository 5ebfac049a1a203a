"""Where does the gradient go? Train a tanh RNN, two LSTMs and a GRU on real text, then look.

    python -m demos.gradient_flow [--text FILE] [--out DIR] [--updates N] [--length N] [--seed N] [--hidden H]
                                  [--cells rnn,lstm,lstm3,gru] [--forget-bias 1,3]
    python -m demos.gradient_flow --compare one/flow.json other/flow.json [--out DIR]

Each net learns to say the next character. Then it reads a passage it has never seen, and the loss of the passage's
*last* character alone is differentiated: how much of that gradient comes back to the characters long before it?
The two LSTMs differ only in the value at which the bias of the forget gate starts, 1 and 3.
Pictures, curves and every number go to DIR; the sentences beside them are computed from the numbers. ``--compare``
reads the numbers of runs that are done, and shows their nets side by side.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import viz
from demos.gradient_compare import compared
from demos.gradient_page import Versions, page, unique, versions
from demos.gradient_words import Cell, Result, horizon_of_each, sentence, table, verdict
from demos.lesson import Parser, TroubleError, as_lines, natural, positive, progress
from microgradrnn import Tensor, nn, no_grad, optim
from microgradrnn.data import standard_library, windows
from microgradrnn.files import write_whole
from microgradrnn.terminal import command
from viz.plots.axes import INCH, dressed, need_matplotlib
from viz.plots.curves import as_svg


def lstm_with(forget_bias: float) -> Cell:
    """An LSTM whose forget gate starts at another bias than 1: ``lstm3``."""
    number = f"{forget_bias:g}"
    return Cell(f"lstm{number}", f"LSTM, forget bias {number}", f"LSTM with forget bias {number}",
                partial(nn.LSTM, forget_bias=forget_bias), ("i", "f", "g", "o"), forget_bias)


CELLS = {cell.kind: cell for cell in (
    Cell("rnn", "tanh RNN", "tanh RNN", nn.RNN),
    Cell("lstm", "LSTM", "LSTM", nn.LSTM, ("i", "f", "g", "o"), 1.0),
    lstm_with(3.0),
    Cell("gru", "GRU", "GRU", nn.GRU, ("r", "z", "n")),
)}
WINDOW = 100  # characters read in one training step
BATCH = 16
EMBEDDING = 32
PASSAGE = 150  # characters read before the one whose loss is differentiated, if --length does not say otherwise
FOLLOWED = 2 / 3  # of the passage: how far back nets are compared
BIASES = (-1.0, 1.0, 3.0)  # of the gate on the carry, at which the explorer shows each trained net again
HORIZON = 0.01  # the part of the gradient at lag 0 that a horizon is measured by
SHOWN = 2  # steps of one net that are drawn in full
RATE = 2e-2
NUMBER = re.compile(r"-?\d+(\.\d+)?")
COLUMN = viz.Theme(page=830)  # of the files: as wide as a column of text


# ------------------------------------------------------------------------------------------------ the text
def default_text() -> str:
    """The source of standard-library modules of the running interpreter: real text, always at hand."""
    try:
        return "\n".join(standard_library())
    except FileNotFoundError as error:
        raise TroubleError(f"{error}; give a text with --text FILE") from None


def read_text(path: Path) -> str:
    """The text of a file, or `TroubleError` that says what is wrong with it."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TroubleError(f"--text {path}: {error.strerror or error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is {raw[error.start]:#04x}"
        raise TroubleError(f"--text {path}: not a text in UTF-8 ({where})") from None
    if "\0" in text:
        raise TroubleError(f"--text {path}: this looks like a binary file (it holds NUL bytes)")
    if not text:
        raise TroubleError(f"--text {path}: the file is empty")
    return text.replace("\r\n", "\n")


@dataclass
class Corpus:
    """A text as numbers: what to train on, and what to hold out.

    Characters that occur only in the held-out part share one more number, the last.
    """

    characters: list[str]
    train: np.ndarray
    held_out: np.ndarray
    passage: str  # the held-out characters that are read, and the one to be predicted
    before: str = ""  # what stands before the passage on its first line

    @classmethod
    def of(cls, text: str, length: int = PASSAGE) -> Corpus:
        """The first 90 % are for training; the passage of this length lies in the middle of the rest."""
        need = 2 * WINDOW + length + 1
        if len(text) < need:
            plural = "s" * (len(text) != 1)
            raise TroubleError(f"the text has {len(text)} character{plural}; the lesson needs at least {need} "
                               f"({2 * WINDOW} to train on, {length + 1} to hold out)")
        cut = min(int(0.9 * len(text)), len(text) - length - 1)
        characters = sorted(set(text[:cut]))
        number = {c: k for k, c in enumerate(characters)}
        ids = np.array([number.get(c, len(characters)) for c in text])
        end = word_start(text, cut + length, len(text) - 1)
        return cls(characters, ids[:cut], ids[cut:], text[end - length : end + 1],
                   text[max(cut, end - length - 120) : end - length].rpartition("\n")[2])

    @property
    def classes(self) -> int:
        """How many numbers there are: the characters, and one for those never seen."""
        return len(self.characters) + 1

    def encode(self, text: str) -> np.ndarray:
        """The numbers of a text."""
        number = {c: k for k, c in enumerate(self.characters)}
        return np.array([number.get(c, len(self.characters)) for c in text])


def word_start(text: str, first: int, last: int) -> int:
    """Where a word starts, as near to the middle of first..last as can be; the middle if there is none.

    The letters just before say little about the first letter of a word, so its loss has a gradient worth following.
    (The choice is made on the text alone, before any net is trained.)
    """
    middle = (first + last) // 2
    near = sorted(range(max(first, middle - 2000), min(last, middle + 2000) + 1), key=lambda at: abs(at - middle))
    return next((at for at in near if text[at].isalpha() and text[at - 1] == " " and text[at - 2].isalpha()), middle)


# ------------------------------------------------------------------------------------------------ the nets
class CharacterNet(nn.Module):
    """Characters in, scores for the next character out."""

    def __init__(self, cell: Cell, classes: int, H: int, seed: int, dtype: Any = np.float32) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = nn.Embedding(classes, EMBEDDING, rng=rng, dtype=dtype)
        self.recurrent = cell.make(EMBEDDING, H, rng=rng, dtype=dtype)
        self.readout = nn.Linear(H, classes, rng=rng, dtype=dtype)

    def __call__(self, ids: np.ndarray) -> Any:
        """Scores after every character: (T, B) integers to (T, B, classes)."""
        hs, _ = self.recurrent(self.embedding(ids))
        return self.readout(hs)

    def last(self, ids: np.ndarray) -> Any:
        """Scores after the last character only: (B, classes)."""
        _, state = self.recurrent(self.embedding(ids))
        return self.readout(state[0] if isinstance(state, tuple) else state)


def train(net: CharacterNet, corpus: Corpus, updates: int, seed: int, name: str) -> None:
    """Adam on random windows, the gradient clipped, the rate falling to a tenth."""
    rng = np.random.default_rng(seed)
    parameters = net.parameters()
    optimiser = optim.Adam(parameters, lr=RATE)
    length = min(WINDOW, len(corpus.train) - 2)
    with nn.compiling(), progress(updates, name) as bar:
        for update in range(updates):
            x, y = windows(corpus.train, rng.integers(0, len(corpus.train) - length, BATCH), length)
            loss = nn.cross_entropy(net(x), y)
            optimiser.zero_grad()
            loss.backward()
            optim.clip_grad_norm(parameters, 1.0)
            optimiser.lr = RATE * 0.1 ** (update / updates)
            optimiser.step()
            bar.update()
            if update % 10 == 0:
                bar.set_postfix_str(f"{bits(loss.item()):.2f} bits/char", refresh=False)
                if not math.isfinite(loss.item()):
                    raise TroubleError(f"{name}: the loss is {loss.item()} after {update + 1} updates; "
                                       "try another seed")


def bits(nats: float) -> float:
    """Nats to bits."""
    return nats / math.log(2)


def bits_per_character(net: CharacterNet, ids: np.ndarray) -> float:
    """The mean surprise over windows spread evenly over the text; the first 20 characters of each only warm up."""
    length = min(WINDOW, len(ids) - 2)
    starts = np.linspace(0, len(ids) - length - 1, 64).astype(int)
    x, y = windows(ids, starts, length)
    warm = min(20, length // 2)
    with no_grad():
        return bits(nn.cross_entropy(net(x)[warm:], y[warm:]).item())


# ------------------------------------------------------------------------------------------------ the measurement
def measure(net: CharacterNet, cell: Cell, corpus: Corpus, H: int) -> tuple[Any, np.ndarray]:
    """The loss of the passage's last character, and what each answer in the passage depends on.

    In double precision, on a copy: what has almost vanished must not be rounded to zero.
    """
    exact = CharacterNet(cell, corpus.classes, H, 0, np.float64)
    exact.load_state_dict(net.state_dict())
    ids = corpus.encode(corpus.passage)
    loss = nn.cross_entropy(exact.last(ids[:-1, None]), ids[-1:])
    heard = viz.connectivity(lambda x: exact.readout(exact.recurrent(x)[0]), exact.embedding(ids[:-1]), ids[1:])
    return loss, heard


def run_cell(cell: Cell, corpus: Corpus, options: argparse.Namespace) -> Result:
    """Train one net and measure it."""
    net = CharacterNet(cell, corpus.classes, options.hidden, options.seed)
    train(net, corpus, options.updates, options.seed, cell.name)
    loss, heard = measure(net, cell, corpus, options.hidden)
    flow = viz.gradient_flow(loss)
    (track,) = viz.compare_flow({cell.name: loss}, lags=int(FOLLOWED * options.length)).tracks
    count = sum(p.data.size for p in net.parameters())
    return Result(cell, count, bits_per_character(net, corpus.train), bits_per_character(net, corpus.held_out),
                  bits(loss.item()), flow, track, list(viz.profiles(flow)), heard, loss)


# ------------------------------------------------------------------------------------------------ what is written
class Report:
    """Writes everything, and remembers what it has written."""

    def __init__(self, out: Path, corpus: Corpus, options: argparse.Namespace) -> None:
        self.out, self.corpus, self.options = out, corpus, options
        self.written: list[Path] = []
        self.notes: list[str] = []
        self.pictures: dict[str, Versions] = {}
        if out.exists() and not out.is_dir():
            raise TroubleError(f"--out {out}: is a file, not a folder")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TroubleError(f"--out {out}: {error.strerror or error}") from None

    def write(self, results: Sequence[Result]) -> None:
        """Pictures, curves, numbers and the page, of the nets that are done, all on one scale."""
        passage, target = self.corpus.passage[:-1], self.corpus.passage[-1]
        flows = {r.cell.name: r.flow for r in results}
        scale = viz.common_scale(flows.values(), last=len(passage))
        shades = viz.Scale.of((g for r in results for g in r.heard[-1]), widest=8)
        for r in results:
            self.draw(r.cell.kind, r.cell.kind,
                      partial(viz.draw_unrolled, r.flow, last=SHOWN, labels=passage, name=r.name, scale=scale))
            self.draw(f"{r.cell.kind} text", f"{r.cell.kind}_text",
                      partial(viz.draw_text, r.heard, self.corpus.passage, name=r.name, scale=shades), dark=True)
        if len(results) > 1:
            self.draw("together", "side_by_side", partial(viz.draw_unrolled, flows, labels=passage, scale=scale))
        compared = viz.Comparison(tuple(r.track for r in results), HORIZON)
        self.draw("compared", "gates_against_tanh", compared.draw, dark=True)
        self.pictures["curves"] = self.curves(flows, horizon_of_each(results))
        sweep = {"forget_bias": BIASES} if any(r.cell.gates for r in results) else None
        explorer = viz.explore({r.cell.name: r.loss for r in results}, labels=passage, sweep=sweep)
        self.save("explorer.html", explorer.html)
        self.save("flow.json", json.dumps(self.numbers(results), indent=1, ensure_ascii=False, allow_nan=False))
        self.save("index.html", page(results, self.pictures, self.corpus.before, passage, target, self.options))

    def draw(self, name: str, file: str, make: Callable[..., viz.Drawing], *, dark: bool = False) -> None:
        """Draw a picture for the page, and for a file of its own; ``make`` takes the theme."""
        self.pictures[name] = versions(lambda theme: make(theme=theme).svg, dark=dark)
        self.save(f"{file}.svg", make(theme=COLUMN).svg)

    def save(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.out / name
        try:
            write_whole(path, text)
        except OSError as error:
            raise TroubleError(f"{path}: {error.strerror or error}") from None
        if path not in self.written:
            self.written.append(path)

    def curves(self, flows: dict[str, viz.Flow], title: str) -> Versions:
        """The plot, if matplotlib is there."""
        def draw(theme: viz.Theme) -> str:
            size = min(theme.page, 900) / INCH, 440 / INCH
            ax = need_matplotlib()(figsize=size, facecolor=theme.paper, layout="constrained").add_subplot()
            viz.plot_norms(flows, theme=theme, ax=ax).set_xlabel("lag: steps back from the loss")
            return unique(as_svg(dressed(ax, title, theme)), f"{theme.page:.0f}{theme.paper[1:]}-")

        try:
            found = versions(draw, dark=True)
        except ImportError as error:
            if str(error) not in self.notes:
                self.notes.append(str(error))
            return {}
        self.save("norm_against_lag.svg", draw(COLUMN))
        return found

    def numbers(self, results: Sequence[Result]) -> dict[str, Any]:
        """Everything that was drawn or printed."""
        return {
            "passage": self.corpus.passage[:-1],
            "predicted": self.corpus.passage[-1],
            "options": {key: str(value) if isinstance(value, Path) else value
                        for key, value in vars(self.options).items()},
            "verdict": verdict(results),
            "cells": {
                r.cell.kind: {
                    "name": r.cell.name,
                    "parameters": r.parameters,
                    "bits_per_character": {"train": r.train_bits, "held_out": r.held_out_bits,
                                           "last_character": r.loss_bits},
                    "sentence": sentence(r),
                    "states": {p.state: {"horizon": (h := p.horizon()), "open": h is not None and h.open,
                                         "lags": p.lags, "norms": [finite(g) for g in p.norms]} for p in r.profiles},
                    "flow": r.flow.to_dict(),
                }
                for r in results
            },
        }


def finite(x: float) -> float | str:
    """x as JSON can hold it."""
    return x if math.isfinite(x) else str(x)


# ------------------------------------------------------------------------------------------------ the command
def kind_of(word: str) -> Cell | None:
    """The cell that a word on the command line means: one of `CELLS`, or an LSTM with its forget bias, ``lstm2.5``."""
    if word in CELLS:
        return CELLS[word]
    number = word.removeprefix("lstm")
    return lstm_with(float(number)) if number != word and NUMBER.fullmatch(number) else None


def cells_from(words: str) -> list[Cell]:
    """Some cells, separated by commas; each once."""
    found = {word: kind_of(word) for part in words.split(",") if (word := part.strip())}
    if not found or None in found.values():
        raise argparse.ArgumentTypeError(f"expected some of {','.join(CELLS)}, or an LSTM with its forget bias, "
                                         f"such as lstm5; got {words!r}")
    return list({cell.kind: cell for cell in found.values() if cell is not None}.values())


def several(words: str) -> int:
    """A whole number, 2 or more: a single step hands no state on."""
    if not words.isdecimal() or int(words) < 2:
        raise argparse.ArgumentTypeError(f"expected a whole number, 2 or more, got {words!r}")
    return int(words)


def biases(words: str) -> list[float]:
    """Some numbers, separated by commas; each once."""
    parts = [part.strip() for part in words.split(",")]
    if not all(NUMBER.fullmatch(part) for part in parts):
        raise argparse.ArgumentTypeError(f"expected numbers such as 1,3; got {words!r}")
    return list(dict.fromkeys(float(part) for part in parts))


def chosen(cells: Sequence[Cell], forget_bias: Sequence[float] | None) -> list[Cell]:
    """The cells, with an LSTM for each forget bias in the place of those among them."""
    if forget_bias is None:
        return list(cells)
    first = next((k for k, cell in enumerate(cells) if cell.forget_bias is not None), None)
    if first is None:
        raise TroubleError(f"--forget-bias: there is no LSTM among --cells {','.join(cell.kind for cell in cells)}")
    lstms = [CELLS["lstm"] if bias == CELLS["lstm"].forget_bias else lstm_with(bias) for bias in forget_bias]
    others = [cell for cell in cells if cell.forget_bias is None]
    return [*others[:first], *lstms, *others[first:]]


def file_name(words: str) -> Path:
    """The name of a file."""
    if not words.strip():
        raise argparse.ArgumentTypeError("expected the name of a file, got an empty one")
    return Path(words)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m demos.gradient_flow", description=(__doc__ or "").split("\n")[0])
    p.add_argument("--text", type=file_name, help="a text in UTF-8 (default: source of Python's standard library)")
    p.add_argument("--out", type=Path, default=Path("out"), help="where to write (default: out)")
    p.add_argument("--updates", "--steps", type=positive, default=800, metavar="N",
                   help="updates of the weights of each net (default: 800); --steps is the same")
    p.add_argument("--length", type=several, default=PASSAGE, metavar="N",
                   help=f"characters read before the one whose loss is differentiated (default: {PASSAGE})")
    p.add_argument("--seed", type=natural, default=0, help="of weights and windows (default: 0)")
    p.add_argument("--hidden", type=positive, default=64, help="length of the state (default: 64)")
    p.add_argument("--cells", type=cells_from, default=list(CELLS.values()), metavar="NAMES",
                   help=f"some of {','.join(CELLS)} (default: all); lstm5 is an LSTM with forget bias 5")
    p.add_argument("--forget-bias", type=biases, metavar="NUMBERS",
                   help="one LSTM for each of these values, at which the bias of its forget gate starts, such as 0,1,5")
    p.add_argument("--compare", type=file_name, nargs="+", metavar="FLOW.JSON",
                   help="train nothing: show the nets of runs that are done, side by side")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the lesson. Returns the exit status."""
    options = parser().parse_args(argv)
    try:
        if options.compare:
            print(compared(options.compare, options.out, COLUMN))
            return 0
        cells = chosen(options.cells, options.forget_bias)
        options.cells = [cell.kind for cell in cells]
        corpus = Corpus.of(read_text(options.text) if options.text else default_text(), options.length)
        report = Report(options.out, corpus, options)
        print(f"{len(corpus.train):,} characters to train on, {len(corpus.held_out):,} held out, "
              f"{corpus.classes} classes", flush=True)
        draw_graph(report, cells[0], options.seed)
        results: list[Result] = []
        try:
            for cell in cells:
                results.append(run_cell(cell, corpus, options))
        finally:  # also of a run that is interrupted
            if results:
                report.write(results)
    except TroubleError as trouble:
        print(f"gradient_flow: {trouble}", file=sys.stderr)
        return 2
    print(f"\n{as_lines(table(results))}\n\n{verdict(results)}\n")
    for note in report.notes:
        print(note)
    print(f"written to {options.out}: {', '.join(path.name for path in report.written)}")
    return 0


def draw_graph(report: Report, cell: Cell, seed: int) -> None:
    """Two steps of a cell, node by node; a note says what laid them out."""
    kind = cell.kind
    x, h0 = Tensor(np.ones((2, 1, 2)), label="x"), Tensor(np.zeros((1, 2)), label="h0")
    first = (h0, Tensor(np.zeros((1, 2)), label="c0")) if cell.forget_bias is not None else h0
    _, state = cell.make(2, 2, rng=seed)(x, first)
    loss = (state[0] if isinstance(state, tuple) else state).sum()
    loss.backward()
    report.draw("graph", f"{kind}_graph", lambda theme: viz.draw_graph(loss, theme=theme).drawing)
    laid_out_by = viz.draw_graph(loss).laid_out_by
    by = {"dot": "Graphviz' dot program", "pygraphviz": "pygraphviz"}.get(
        laid_out_by, "viz.layout.layered, because Graphviz' dot program was not found (it is not needed)")
    report.notes.append(f"{kind}_graph.svg was laid out by {by}.")


if __name__ == "__main__":
    sys.exit(main())
