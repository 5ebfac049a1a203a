"""Where does the gradient go? Train a tanh RNN, an LSTM and a GRU on real text, then look.

    python -m demos.gradient_flow [--text FILE] [--out DIR] [--steps N] [--seed N] [--hidden H] [--cells rnn,lstm,gru]

Each net learns to say the next character. Then it reads a passage it has never seen, and the loss of the passage's
*last* character alone is differentiated: how much of that gradient comes back to the characters long before it?
Pictures, curves and every number go to DIR; the sentences beside them are computed from the numbers.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import viz
from demos.lesson import Parser, as_lines, names_from, natural, positive, progress
from microgradrnn import Tensor, nn, no_grad, optim
from microgradrnn.data import standard_library, windows
from microgradrnn.files import write_whole
from microgradrnn.terminal import command
from viz.numbers import short
from viz.theme import DEFAULT as THEME
from viz.theme import recoloured

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
WINDOW = 100  # characters read in one training step
BATCH = 16
EMBEDDING = 32
PASSAGE = 150  # characters read before the one whose loss is differentiated
SHOWN, TOGETHER = 8, 4  # steps drawn one by one, of each cell alone and of all side by side
LAGS = (10, 50, 100)
RATE = 2e-2


class TroubleError(Exception):
    """Something the user can put right; its text is all that is printed."""


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
    def of(cls, text: str) -> Corpus:
        """The first 90 % are for training; the passage lies in the middle of the rest."""
        need = 2 * WINDOW + PASSAGE + 1
        if len(text) < need:
            plural = "s" * (len(text) != 1)
            raise TroubleError(f"the text has {len(text)} character{plural}; the lesson needs at least {need} "
                               f"({2 * WINDOW} to train on, {PASSAGE + 1} to hold out)")
        cut = min(int(0.9 * len(text)), len(text) - PASSAGE - 1)
        characters = sorted(set(text[:cut]))
        number = {c: k for k, c in enumerate(characters)}
        ids = np.array([number.get(c, len(characters)) for c in text])
        end = word_start(text, cut + PASSAGE, len(text) - 1)
        return cls(characters, ids[:cut], ids[cut:], text[end - PASSAGE : end + 1],
                   text[max(cut, end - PASSAGE - 120) : end - PASSAGE].rpartition("\n")[2])

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

    def __init__(self, kind: str, classes: int, H: int, seed: int, dtype: Any = np.float32) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = nn.Embedding(classes, EMBEDDING, rng=rng, dtype=dtype)
        self.recurrent = CELLS[kind](EMBEDDING, H, rng=rng, dtype=dtype)
        self.readout = nn.Linear(H, classes, rng=rng, dtype=dtype)

    def __call__(self, ids: np.ndarray) -> Any:
        """Scores after every character: (T, B) integers to (T, B, classes)."""
        hs, _ = self.recurrent(self.embedding(ids))
        return self.readout(hs)

    def last(self, ids: np.ndarray) -> Any:
        """Scores after the last character only: (B, classes)."""
        _, state = self.recurrent(self.embedding(ids))
        return self.readout(state[0] if isinstance(state, tuple) else state)


def train(net: CharacterNet, corpus: Corpus, steps: int, seed: int, name: str) -> None:
    """Adam on random windows, the gradient clipped, the rate falling to a tenth."""
    rng = np.random.default_rng(seed)
    parameters = net.parameters()
    optimiser = optim.Adam(parameters, lr=RATE)
    length = min(WINDOW, len(corpus.train) - 2)
    with nn.compiling(), progress(steps, name) as bar:
        for step in range(steps):
            x, y = windows(corpus.train, rng.integers(0, len(corpus.train) - length, BATCH), length)
            loss = nn.cross_entropy(net(x), y)
            optimiser.zero_grad()
            loss.backward()
            optim.clip_grad_norm(parameters, 1.0)
            optimiser.lr = RATE * 0.1 ** (step / steps)
            optimiser.step()
            bar.update()
            if step % 10 == 0:
                bar.set_postfix_str(f"{bits(loss.item()):.2f} bits/char", refresh=False)
                if not math.isfinite(loss.item()):
                    raise TroubleError(f"{name}: the loss is {loss.item()} after {step + 1} updates; try another seed")


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
@dataclass
class Result:
    """What came out for one cell."""

    name: str
    parameters: int
    train_bits: float
    held_out_bits: float
    loss_bits: float
    flow: viz.Flow
    profiles: list[viz.Profile] = field(default_factory=list)
    loss: Any = None  # the node itself
    heard: Any = None  # how strongly each answer depends on each character read, (PASSAGE, PASSAGE)

    @property
    def longest(self) -> viz.Profile:
        """The profile of the state that carries the memory: c if there is one, else h."""
        return self.profiles[0]


def measure(net: CharacterNet, kind: str, corpus: Corpus, H: int) -> tuple[Any, np.ndarray]:
    """The loss of the passage's last character, and what each answer in the passage depends on.

    In double precision, on a copy: what has almost vanished must not be rounded to zero.
    """
    exact = CharacterNet(kind, corpus.classes, H, 0, np.float64)
    exact.load_state_dict(net.state_dict())
    ids = corpus.encode(corpus.passage)
    loss = nn.cross_entropy(exact.last(ids[:-1, None]), ids[-1:])
    heard = viz.connectivity(lambda x: exact.readout(exact.recurrent(x)[0]), exact.embedding(ids[:-1]), ids[1:])
    return loss, heard


def run_cell(kind: str, corpus: Corpus, options: argparse.Namespace) -> Result:
    """Train one net and measure it."""
    net = CharacterNet(kind, corpus.classes, options.hidden, options.seed)
    train(net, corpus, options.steps, options.seed, kind)
    loss, heard = measure(net, kind, corpus, options.hidden)
    flow = viz.gradient_flow(loss)
    count = sum(p.data.size for p in net.parameters())
    return Result(kind, count, bits_per_character(net, corpus.train), bits_per_character(net, corpus.held_out),
                  bits(loss.item()), flow, list(viz.profiles(flow)), loss, heard)


# ------------------------------------------------------------------------------------------------ in words and numbers
def horizon_text(profile: viz.Profile) -> str:
    """The horizon: ``≥ 149`` where the gradient is still alive at the first character, – where there is none."""
    horizon = profile.horizon()
    return "–" if horizon is None else str(horizon)


def table(results: Sequence[Result]) -> list[list[str]]:
    """The summary, row by row, the heading first."""
    rows = [["cell", "parameters", "bits/char train", "held-out", "state", "horizon", "norm at lag 0",
             *[f"lag {lag}" for lag in LAGS]]]
    for r in results:
        for j, p in enumerate(r.profiles):
            start = [r.name, f"{r.parameters:,}", f"{r.train_bits:.2f}", f"{r.held_out_bits:.2f}"]
            start = start if j == 0 else [""] * len(start)
            norms = [p.at(lag) for lag in (0, *LAGS)]
            rows.append([*start, p.state, horizon_text(p), *["–" if g is None else short(g) for g in norms]])
    return rows


def percent(x: float) -> str:
    """A share, in two digits; in percent where that reads well."""
    return short(x) if 0 < x < 1e-4 else f"{100 * x:.2g} %" if x < 0.995 else f"{100 * x:.0f} %"


def sentence(r: Result) -> str:
    """What one cell's numbers say."""
    p = r.longest
    start, horizon = p.at(0), p.horizon()
    if horizon is None:
        return (f"The gradient at {p.state} of the last step is {short(start or 0.0)}, so there is nothing to follow "
                f"back (the last character cost {r.loss_bits:.2f} bits).")
    lag = max((lag for lag in LAGS if p.at(lag) is not None), default=p.lags[-1])
    end = (f"it is above 1 % of its start as far back as is known, {int(horizon)} steps"
           if horizon.open else f"it is last above 1 % of its start {horizon} steps back")
    words = (f"The last character cost {r.loss_bits:.2f} bits. The norm of the gradient at {p.state} starts at "
             f"{short(start or 0.0)}; {end}, and {lag} steps back {percent((p.at(lag) or 0.0) / (start or 1.0))} of it "
             "is left.")
    arrivals = [a for a in r.flow.split(p.state) if 1 <= a.lag <= 50 and a.carry + a.rest > 0]
    if any(a.carry > 0 for a in arrivals):
        share = statistics.median(a.carry / (a.carry + a.rest) for a in arrivals)
        words += (f" Of what arrives at {p.state} from the next step, {percent(share)} (median over {len(arrivals)} "
                  "steps, by norm) was carried over directly, the rest came through gates and candidate.")
    elif arrivals:
        words += f" All of it came through the matrix and the {'tanh' if r.name == 'rnn' else 'gates'} of every step."
    return words


def verdict(results: Sequence[Result]) -> str:
    """Which gradient reached furthest, and whether gates did it; no more than the numbers say."""
    if len(results) == 1:
        return sentence(results[0])
    found = [(h, r) for r in results if (h := r.longest.horizon()) is not None]
    if len(found) < 2:
        return "There are not two cells with a gradient to compare."
    words = "; ".join(f"{r.name} {horizon_text(r.longest)} (at {r.longest.state})" for _, r in found)
    text = f"Largest lag with more than 1 % of the gradient left: {words}. "
    compared = [r for _, r in found]
    ending = left_over(compared) + unlike_starts(compared) + two_rates(compared)
    plain = next((h for h, r in found if r.name == "rnn"), None)
    gated = [(h, r) for h, r in found if r.name != "rnn"]
    if plain is None or not gated:
        furthest = max(h for h, _ in found)
        names = [r.name for h, r in found if h == furthest]
        return text + f"The gradient of {listed(names)} reached furthest." + ending
    further = [r.name for h, r in gated if h > plain]
    nearer = [r.name for h, r in gated if h < plain]
    same = [r.name for h, r in gated if h == plain]
    parts = [f"the gated path{'s' * (len(names) > 1)} of {listed(names)} reached {how} the plain tanh path"
             for names, how in ((further, "further back than"), (nearer, "less far back than"),
                                (same, "as far back as")) if names]
    return text + "Here " + "; ".join(parts) + "." + ending


def listed(names: Sequence[str]) -> str:
    """``the lstm and the gru``"""
    return " and ".join(f"the {name}" for name in names)


def unlike_starts(results: Sequence[Result]) -> str:
    """A horizon counts from its own start: say so where the starts are far apart."""
    starts = [(r.longest.at(0) or 0.0, r) for r in results]
    (low, least), (high, most) = (choose(starts, key=lambda pair: pair[0]) for choose in (min, max))
    if high <= 10 * low:
        return ""
    return (f" These lags count from each net's own start, and the starts differ: {short(high)} for the {most.name}, "
            f"{short(low)} for the {least.name}.")


def two_rates(results: Sequence[Result]) -> str:
    """Where a net has no longer horizon than another and yet far more left: how fast each falls, early and late."""
    lags = [lag for lag in LAGS if all(r.longest.at(lag) for r in results)]
    if len(lags) < 2:
        return ""
    first, late, last = lags[0], lags[-2], lags[-1]

    def factor(r: Result, a: int, b: int) -> float:
        return ((r.longest.at(b) or 0.0) / (r.longest.at(a) or 1.0)) ** (1 / (b - a))

    pairs = []
    for r in results:
        for other in results:
            mine, theirs = ((x.longest.at(last) or 0.0) / (x.longest.at(0) or 1.0) for x in (r, other))
            if (r.longest.horizon() or 0) <= (other.longest.horizon() or 0) and mine > 10 * theirs:
                pairs.append((mine / theirs, r, other))
    if not pairs:
        return ""
    times, r, other = max(pairs, key=lambda pair: pair[0])
    return (f" The horizon sees only the first drop: that of the {r.name} is no longer than the {other.name}'s "
            f"({r.longest.horizon()} against {other.longest.horizon()}), yet {last} steps back {short(times)} times as "
            f"much of its start is left: over the first {first} steps it keeps {factor(r, 0, first):.2f} a step "
            f"(the {other.name} {factor(other, 0, first):.2f}), but from {late} to {last} steps back "
            f"{factor(r, late, last):.2f} (the {other.name} {factor(other, late, last):.2f}).")


def left_over(results: Sequence[Result]) -> str:
    """How much is left far back: two nets with the same horizon may differ a millionfold there."""
    lag = max((lag for lag in LAGS if all(r.longest.at(lag) is not None for r in results)), default=None)
    if lag is None:
        return ""
    shares = ", ".join(f"{r.name} {percent((r.longest.at(lag) or 0.0) / (r.longest.at(0) or 1.0))}" for r in results)
    return f" Left of the start after {lag} steps: {shares}."


# ------------------------------------------------------------------------------------------------ what is written
class Report:
    """Writes everything, each time a cell is done, and remembers what it has written."""

    def __init__(self, out: Path, corpus: Corpus, options: argparse.Namespace) -> None:
        self.out, self.corpus, self.options = out, corpus, options
        self.written: list[Path] = []
        self.notes: list[str] = []
        self.graph = ""
        if out.exists() and not out.is_dir():
            raise TroubleError(f"--out {out}: is a file, not a folder")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TroubleError(f"--out {out}: {error.strerror or error}") from None

    def write(self, results: Sequence[Result]) -> None:
        """Pictures, curves, numbers and the page, of the cells done so far, all on one scale."""
        flows = {r.name: r.flow for r in results}
        labels = self.corpus.passage[:-1]
        scale = viz.common_scale(flows.values())
        svgs = {}
        for r in results:
            name = f"{r.name}: the last {SHOWN} steps of {len(labels)}, gradient of the last character's loss"
            drawing = viz.draw_unrolled(r.flow, last=SHOWN, labels=labels, name=name, scale=scale)
            svgs[r.name] = self.save(f"{r.name}.svg", drawing.svg)
        svgs["graph"] = self.graph
        if len(results) > 1:
            together = viz.draw_unrolled(flows, last=TOGETHER, labels=labels, scale=scale,
                                        name="the gated path against the plain tanh path")
            svgs["together"] = self.save("side_by_side.svg", together.svg)
        compared = viz.compare_flow({r.name: r.loss for r in results}).draw(
            name=f"how far back the gradient of the last character ({self.corpus.passage[-1]!r}) reaches")
        svgs["compared"] = self.save("gates_against_tanh.svg", compared.svg)
        shades = viz.Scale.of((g for r in results for g in r.heard[-1]), widest=8)
        for r in results:
            text = viz.draw_text(r.heard, self.corpus.passage, scale=shades, name=r.name)
            svgs[f"{r.name} text"] = self.save(f"{r.name}_text.svg", text.svg)
        svgs["curves"] = self.curves(flows)
        self.save("flow.json", json.dumps(self.numbers(results), indent=1, ensure_ascii=False, allow_nan=False))
        self.save("index.html", page(results, svgs, self.corpus, self.options))

    def save(self, name: str, text: str) -> str:
        """Write a file; returns its text."""
        path = self.out / name
        try:
            write_whole(path, text)
        except OSError as error:
            raise TroubleError(f"{path}: {error.strerror or error}") from None
        if path not in self.written:
            self.written.append(path)
        return text

    def curves(self, flows: dict[str, viz.Flow]) -> str:
        """The plot, if matplotlib is there."""
        from viz.plots import curves

        try:
            return self.save("norm_against_lag.svg", curves.as_svg(curves.plot_norms(flows)))
        except ImportError as error:
            if str(error) not in self.notes:
                self.notes.append(str(error))
            return ""

    def numbers(self, results: Sequence[Result]) -> dict[str, Any]:
        """Everything that was drawn or printed."""
        return {
            "passage": self.corpus.passage[:-1],
            "predicted": self.corpus.passage[-1],
            "options": {key: str(value) if isinstance(value, Path) else value
                        for key, value in vars(self.options).items()},
            "verdict": verdict(results),
            "cells": {
                r.name: {
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


def page(results: Sequence[Result], svgs: dict[str, str], corpus: Corpus, options: argparse.Namespace) -> str:
    """One offline page that shows all of it."""
    def figure(svg: str, words: str, *, paper: bool = False) -> str:
        inline = svg[svg.index("<svg"):] if "<svg" in svg else ""
        kind = "wide paper" if paper else "wide"  # on paper: light on a dark page, too
        return f'<figure><div class="{kind}">{inline}</div><figcaption>{html.escape(words)}</figcaption></figure>'

    rows = table(results)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    curves = figure(svgs["curves"], "The norm of the gradient at each state, against how many steps back from the loss "
                    "it lies. A straight line down is exponential decay: the same factor lost at every step. The dot "
                    "marks the horizon; where it is open, so is the dot.", paper=True) if svgs["curves"] else ""
    cells = "".join(f"<h2>{html.escape(r.name)}</h2>"
                    + figure(svgs[r.name], f"{sentence(r) * (len(results) > 1)} "  # of one net it stands on top already
                             f"{matrices(r.name, options.hidden)}".strip())
                    + figure(svgs[f"{r.name} text"], "The passage, each character shaded by how much the score of the "
                             "right last one, in the box, depends on it; one scale for all cells.", paper=True)
                    for r in results)
    graph = "<h2>Two steps, node by node</h2>" + figure(
        svgs["graph"], f"The graph of a net of two units ({results[0].name}) with all its operations: ‖data‖ is the "
        "norm of what was computed, ‖grad‖ that of the gradient which backward() left in the input, the first "
        "state and the weights. The pictures above are folded from graphs like this one."
    )
    together = "<h2>Side by side, step by step</h2>" + figure(
        svgs["together"], "One time axis and one scale for all: the same colour and width mean the same norm. The "
        "straight line on top is the way from a state to the same state one step back."
    ) if "together" in svgs else ""
    return PAGE.format(
        verdict=html.escape(verdict(results)), head=head, body=body, curves=curves, cells=cells,
        together=together, graph=graph, key=colour_key(), dark=viz.DARK, ink=THEME.ink,
        recoloured=recoloured(".paper"),
        compared=figure(svgs["compared"], "One lane for each net, time to the right, the gradient to the left: how "
                        "large it is, by which ways it came (light blue: carried over from the same state one step "
                        "later; the others: through that gate or candidate), and by what factor each step changed it."),
        before=html.escape(corpus.before),
        passage=html.escape(corpus.passage[:-1]), next=html.escape(repr(corpus.passage[-1])),
        target=html.escape(corpus.passage[-1]),
        settings=html.escape(f"{options.steps} updates, {options.hidden} hidden units, seed {options.seed}"),
    )


def matrices(name: str, H: int) -> str:
    """Where the gates' matrices are, in the cells that have gates."""
    gates = {"lstm": "f, i, o and g", "gru": "r, z and n"}.get(name)
    count = {"lstm": "four", "gru": "three"}.get(name)
    if gates is None:
        return ""
    n = 4 if name == "lstm" else 3
    return f"The {count} matrices of {gates} lie side by side in W (H × {n}H, here {H} × {n * H}), and so in U."


def colour_key() -> str:
    """What the colours of boxes and circles mean."""
    said = [("forget or update gate: f, z", THEME.symbols["f"]), ("input or reset gate: i, r", THEME.symbols["i"]),
            ("output gate: o", THEME.symbols["o"]), ("candidate: g, n; circle: state h", THEME.symbols["g"]),
            ("circle: state c", THEME.roles["cell"]), ("any other circle: × and +, number by number", THEME.ink)]
    return "".join(f'<span class="key"><i style="border-color:{colour}"></i>{html.escape(words)}</span>'
                   for words, colour in said)


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Where the gradient went</title>
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff;
        margin: 2rem auto; max-width: 80rem; padding: 0 1rem }}
 figure {{ margin: 1rem 0 2rem }} .wide {{ overflow-x: auto; border: 1px solid #d3dae1; border-radius: 8px }}
 .wide svg {{ display: block }} figcaption {{ margin-top: .5rem; max-width: 60rem }}
 table {{ border-collapse: collapse }}
 th, td {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #d3dae1 }}
 th:first-child, td:first-child {{ text-align: left }}
 pre {{ background: #f3f5f7; padding: 1rem; overflow-x: auto; border-radius: 8px }}
 body:not(:has(#full:checked)) .wide svg {{ max-width: 100%; height: auto }}
 .unread {{ color: #9aa5b1 }} mark {{ background: #fee838; padding: 0 .15em }}
 .key {{ margin-right: 1.2em; white-space: nowrap }}
 .key i {{
   display: inline-block; width: .7em; height: .7em; border: 3px solid; border-radius: 50%; margin-right: .4em }}
 p {{ max-width: 60rem }} .verdict {{ font-size: 1.15rem }}
 @media (prefers-color-scheme: dark) {{
  :root {{ color-scheme: dark }} body {{ color: {dark.ink}; background: {dark.paper} }}
  .wide, th, td {{ border-color: {dark.rim} }} pre {{ background: {dark.tile} }} .unread {{ color: {dark.nothing} }}
  .key i[style*="{ink}"] {{ border-color: {dark.ink} !important }}
  {recoloured}
 }}
</style>
<h1>Where the gradient went</h1>
<p>Each net learned to predict the next character of a text ({settings}). Then it read a passage that it had never seen,
and the loss of the one character that follows, {next}, was differentiated. The gradient at a state says how much that
loss would change if the state had been a little different; where it is next to nothing, the net cannot learn what to
remember. Its size is its norm, ‖∂L/∂h‖; the <em>lag</em> is how many steps back from the end a state lies, and the
<em>horizon</em> the largest lag at which the norm is still above 1 % of its value at lag 0; ≥ where
the passage ends before the gradient does.</p>
<p class="verdict">{verdict}</p>
{compared}
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<p>The passage:</p>
<pre><span class="unread">{before}</span>{passage}<mark>{target}</mark></pre>
<p>Marked: the character to predict. Grey: the beginning of the line, which was not read.</p>
{curves}
<p><label><input type="checkbox" id="full"> pictures at full size, to scroll</label> (rest the pointer on an edge to
read its norm)</p>
<p>{key}</p>
{together}
{cells}
{graph}
<script>
document.getElementById("full").onchange = () => {{
  for (const box of document.querySelectorAll(".wide")) box.scrollLeft = box.scrollWidth;
}};
</script>
</html>
"""


# ------------------------------------------------------------------------------------------------ the command
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
    p.add_argument("--steps", type=positive, default=800, help="updates for each net (default: 800)")
    p.add_argument("--seed", type=natural, default=0, help="of weights and windows (default: 0)")
    p.add_argument("--hidden", type=positive, default=64, help="length of the state (default: 64)")
    p.add_argument("--cells", type=names_from(CELLS), default=list(CELLS), help="some of rnn,lstm,gru (default: all)")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the lesson. Returns the exit status."""
    options = parser().parse_args(argv)
    try:
        corpus = Corpus.of(read_text(options.text) if options.text else default_text())
        report = Report(options.out, corpus, options)
        print(f"{len(corpus.train):,} characters to train on, {len(corpus.held_out):,} held out, "
              f"{corpus.classes} classes", flush=True)
        draw_graph(report, options)
        results = []
        for kind in options.cells:
            results.append(run_cell(kind, corpus, options))
            report.write(results)
    except TroubleError as trouble:
        print(f"gradient_flow: {trouble}", file=sys.stderr)
        return 2
    print(f"\n{as_lines(table(results))}\n\n{verdict(results)}\n")
    for note in report.notes:
        print(note)
    print(f"written to {options.out}: {', '.join(path.name for path in report.written)}")
    return 0


def draw_graph(report: Report, options: argparse.Namespace) -> None:
    """Two steps of the first cell, node by node; a note says what laid them out."""
    kind = options.cells[0]
    x, h0 = Tensor(np.ones((2, 1, 2)), label="x"), Tensor(np.zeros((1, 2)), label="h0")
    first = (h0, Tensor(np.zeros((1, 2)), label="c0")) if kind == "lstm" else h0
    _, state = CELLS[kind](2, 2, rng=options.seed)(x, first)
    loss = (state[0] if isinstance(state, tuple) else state).sum()
    loss.backward()
    drawing = viz.draw_graph(loss).drawing
    report.graph = report.save(f"{kind}_graph.svg", drawing.svg)
    by = {"dot": "Graphviz' dot program", "pygraphviz": "pygraphviz"}.get(
        drawing.laid_out_by, "viz.layout.layered, because Graphviz' dot program was not found (it is not needed)")
    report.notes.append(f"{kind}_graph.svg was laid out by {by}.")


if __name__ == "__main__":
    sys.exit(main())
