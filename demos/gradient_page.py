"""The page of the lesson `demos.gradient_flow`: offline, for a desk and a phone, light and dark.

The explorer comes first, in a frame: it is a page of its own, in the file beside this one.

A picture is drawn in several versions, for two widths and, where text stands on its colours, for both themes. The page
holds them all, and rules of CSS show the one that fits.
"""

from __future__ import annotations

import argparse
import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from demos.gradient_words import Result, findings, sentence, table
from viz.theme import DARK, DEFAULT, Theme, recoloured

WIDE, NARROW = 1216, 390  # in pixels: what a window of 1280 pixels and a phone have room for
VERSIONS = {
    "wide": replace(DEFAULT, page=WIDE), "narrow": replace(DEFAULT, page=NARROW),
    "wide dark": replace(DARK, page=WIDE), "narrow dark": replace(DARK, page=NARROW),
}
Versions = Mapping[str, str]  # SVG, by the name of the version


def versions(draw: Callable[[Theme], str], *, dark: bool = False) -> Versions:
    """A picture in the versions that the page needs.

    Args:
        draw: makes the SVG, in a theme.
        dark: draw it for the dark theme too. Other pictures are recoloured by the page, which is not enough where text
            stands on colours.
    """
    return {name: draw(theme) for name, theme in VERSIONS.items() if dark or "dark" not in name}


def figure(pictures: Versions, words: str) -> str:
    """A picture, in all its versions, and its caption; nothing if it could not be drawn."""
    shown = ""
    for name, svg in pictures.items():
        if "<svg" in svg:
            own = "" if "wide dark" not in pictures else " own" if "dark" in name else " own light"
            shown += f'<div class="picture {name}{own}">{svg[svg.index("<svg"):]}</div>'
    return f"<figure>{shown}<figcaption>{html.escape(words)}</figcaption></figure>" if shown else ""


def unique(svg: str, prefix: str) -> str:
    """The ids of a picture by matplotlib, which gives them to all its pictures alike.

    >>> unique('<g id="axes_1"/><use href="#axes_1" style="fill: #ffffff"/>', "a-")
    '<g id="a-axes_1"/><use href="#a-axes_1" style="fill: #ffffff"/>'
    """
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}", svg)


def page(results: Sequence[Result], pictures: Mapping[str, Versions], before: str, passage: str, target: str,
         options: argparse.Namespace) -> str:  # fmt: skip
    """The page.

    Args:
        results: of each net.
        pictures: by name: ``compared``, ``curves``, ``together``, ``graph``, and for each cell its kind, and its kind
            with ``text``.
        before, passage, target: the text that was not read, the text that was, and the character to predict.
        options: of the command line.
    """
    rows = table(results)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    first, *others = findings(results)
    alone = len(results) == 1  # then the sentence stands on top already
    cells = "".join(
        f"<h2>{html.escape(r.cell.name)}</h2>"
        + figure(pictures[r.cell.kind], f"{'' if alone else sentence(r)} {matrices(r, options.hidden)}".strip())
        + figure(pictures[f"{r.cell.kind} text"], "The passage. The colour of each character says how much the score "
                 "of the right last one, in the box, depends on it; all nets have the same scale.")
        for r in results)
    return PAGE.format(
        settings=html.escape(f"{options.updates} updates, {options.hidden} hidden units, seed {options.seed}"),
        first=html.escape(first), others="".join(f"<li>{html.escape(words)}</li>" for words in others),
        head=head, body=body, cells=cells, key=colour_key(),
        compared=figure(pictures["compared"], "One lane for each net. Time runs to the right, the gradient to the "
                        "left. Each lane shows how large the gradient is, as a multiple of the net's own gradient at "
                        "lag 0; by which ways it came (light blue: carried over from the same state one step later; "
                        "the others: through that gate or candidate); and by what factor each step changed it."),
        curves=figure(pictures["curves"], "The norm of the gradient at each state, against how many steps back from "
                      "the loss it lies. A straight line down is exponential decay: every step loses the same factor. "
                      "The dot marks the horizon; the dot is hollow where the horizon is open."),
        together="<h2>Side by side, step by step</h2>" + figure(
            pictures["together"], "All nets have one time axis and one scale: the same colour and width mean the same "
            "part of each net's own gradient at lag 0. Where a wire is broken, steps are left out. In a cell with "
            "gates, the straight line on top is the way from a state to the same state one step back.",
        ) if "together" in pictures else "",
        graph="<h2>Two steps, node by node</h2>" + figure(
            pictures["graph"], f"All operations of a net of two units ({results[0].cell.name}). ‖data‖ is the norm of "
            "what was computed; ‖grad‖ is the norm of the gradient that backward() left in the input, the first state "
            "and the weights. The pictures above are folded from graphs like this one."),
        before=html.escape(before), passage=html.escape(passage), target=html.escape(target),
        unread=" Grey: the beginning of the line, which was not read." if before.strip() else "",
        quoted=html.escape(repr(target)), light=DEFAULT, dark=DARK, recoloured=recoloured(".own"),
    )


def matrices(r: Result, H: int) -> str:
    """Where the gates' matrices are, in the cells that have gates."""
    n = len(r.cell.gates)
    if n == 0:
        return ""
    letters = f"{', '.join(r.cell.gates[:-1])} and {r.cell.gates[-1]}"
    return (f"The {'three' if n == 3 else 'four'} matrices of {letters} lie side by side in W (H × {n}H, here "
            f"{H} × {n * H}), and so in U.")


def colour_key() -> str:
    """What the colours of boxes and circles mean, in both themes."""
    said: list[tuple[str, Callable[[Theme], str]]] = [
        ("forget or update gate: f, z", lambda theme: theme.symbols["f"]),
        ("input or reset gate: i, r", lambda theme: theme.symbols["i"]),
        ("output gate: o", lambda theme: theme.symbols["o"]),
        ("candidate: g, n; circle: state h", lambda theme: theme.symbols["g"]),
        ("circle: state c", lambda theme: theme.roles["cell"]),
        ("any other circle: × and +, number by number", lambda theme: theme.ink),
    ]
    return "".join(f'<span class="key"><i style="--light:{colour(DEFAULT)};--dark:{colour(DARK)}"></i>'
                   f"{html.escape(words)}</span>" for words, colour in said)


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Where the gradient went</title>
<style>
 :root {{ color-scheme: light dark }}
 body {{ font: 16px/1.5 system-ui, sans-serif; color: {light.ink}; background: {light.paper};
        margin: 2rem auto; max-width: 76.25rem; padding: 0 1rem; overflow-wrap: anywhere }}
 p, ul, figcaption {{ max-width: 60rem }} .verdict {{ font-size: 1.15rem }}
 figure {{ margin: 1rem 0 2rem }} figcaption {{ margin-top: .5rem }}
 .picture, .scroll {{ overflow-x: auto }} .picture svg {{ display: block }}
 .picture {{ border: 1px solid {light.rim}; border-radius: 8px }}
 table {{ border-collapse: collapse; overflow-wrap: normal }}
 th, td {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid {light.rim} }}
 th:first-child, td:first-child {{ text-align: left; white-space: nowrap }}
 pre {{ background: {light.tile}; padding: 1rem; overflow-x: auto; border-radius: 8px }}
 iframe {{ box-sizing: border-box; width: 100%; height: 46rem; border: 1px solid {light.rim}; border-radius: 8px }}
 .unread {{ color: {light.faint} }} mark {{ background: #fee838; color: #111111; padding: 0 .15em }}
 .key {{ display: inline-block; margin-right: 1.2em }}
 .key i {{ display: inline-block; width: .7em; height: .7em; border: 3px solid var(--light); border-radius: 50%;
          margin-right: .4em }}
 @media (min-width: 701px) {{ .narrow {{ display: none }} }}
 @media (max-width: 700px) {{
  .wide {{ display: none }} h1 {{ font-size: 1.6rem }}
  .picture {{ margin: 0 -1rem; border-width: 1px 0; border-radius: 0 }}
  iframe {{ margin: 0 -1rem; width: calc(100% + 2rem); border-width: 1px 0; border-radius: 0 }}
 }}
 @media not all and (prefers-color-scheme: dark) {{ .dark {{ display: none }} }}
 @media (prefers-color-scheme: dark) {{
  .light {{ display: none }} body {{ color: {dark.ink}; background: {dark.paper} }}
  .picture, iframe, th, td {{ border-color: {dark.rim} }} a {{ color: {dark.ink} }} pre {{ background: {dark.tile} }}
  .unread {{ color: {dark.faint} }} .key i {{ border-color: var(--dark) }}
  {recoloured}
 }}
</style>
<h1>Where the gradient went</h1>
<p>Each net learned to predict the next character of a text ({settings}). Then it read a passage that it had never seen,
and the loss of the one character that follows, {quoted}, was differentiated. The gradient at a state says how much that
loss would change if the state had been a little different. Where it is next to nothing, the net cannot learn what to
remember. Its size is its norm, ‖∂L/∂h‖; the <em>lag</em> is how many steps back from the end a state lies; the
<em>horizon</em> is the largest lag at which the norm is still above 1 % of its value at lag 0 (≥ where the passage ends
before the gradient does).</p>
<p class="verdict">{first}</p>
<ul>{others}</ul>
<h2>Explore it</h2>
<p>Play the gradient's way back step by step, shut the carry or a gate, and see what is left. The button “Guided tour”
begins with a single step. (<a href="explorer.html">Open it on a page of its own.</a>)</p>
<iframe src="explorer.html" title="The explorer: the way back through these nets, to be played and cut"></iframe>
<h2>The same as pictures</h2>
{compared}
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
<p>The passage:</p>
<pre><span class="unread">{before}</span>{passage}<mark>{target}</mark></pre>
<p>Marked: the character to predict.{unread}</p>
{curves}
<p>In the pictures below, rest the pointer on a wire to read its norm. Colours:</p>
<p>{key}</p>
{together}
{cells}
{graph}
</html>
"""
