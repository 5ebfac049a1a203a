"""How wide text is, how it is shortened and wrapped. Text is measured, not counted.

Widths are those of DejaVu Sans, the widest of the fonts that pictures ask for; East Asian characters are as wide as
they are high, and combining marks have no width of their own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

ASCENT, DESCENT = 0.76, 0.24  # of the size: how far letters reach above and below the baseline
SMALLER = 0.74  # the size of sub- and superscripts
BOLD = 1.13
MONO = 0.61
WIDTHS = {
    0.29: "'ijlIJ", 0.34: " ,./:;\\|·", 0.4: "f-()[]t!ᵀ⁰¹²³⁴⁵⁶⁷⁸⁹⁻", 0.45: "r\"", 0.51: "*_`sz‖∂", 0.56: "?cL",
    0.6: "FkvxyPTYao", 0.64: "eESbdghnpqu$0123456789{}σΣ", 0.7: "KAVBRXZCβα√", 0.76: "UHNDG∏▼",
    0.82: "&OQw", 0.85: "#+<=>^~M⊙×−≤≥→←∞⏎⇥", 1.0: "%mW@⋯…",
}
WIDTH = {letter: width for width, letters in WIDTHS.items() for letter in letters}
OTHER = 0.7


@lru_cache(maxsize=4096)
def letter_width(letter: str) -> float:
    """How wide one character is, at size 1."""
    if letter in WIDTH:
        return WIDTH[letter]
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    return 1.0 if unicodedata.east_asian_width(letter) in "WF" or ord(letter) > 0x1F000 else OTHER


def text_width(text: str, size: float, bold: bool = False, mono: bool = False) -> float:
    """How wide a text is drawn.

    >>> round(text_width("mill", 10), 1), text_width("門", 10), text_width("", 10)
    (18.7, 10.0, 0.0)
    """
    if mono:
        return size * sum(MONO if 0 < (w := letter_width(letter)) < 1 or letter in WIDTH else w for letter in text)
    return size * sum(map(letter_width, text)) * (BOLD if bold else 1.0)


def cells(text: str) -> int:
    """How many columns a text takes where all letters are equally wide: East Asian characters take two.

    >>> cells("ab"), cells("門"), cells("e\u0301")
    (2, 2, 1)
    """
    return sum(0 if (w := letter_width(letter)) == 0 else 2 if w == 1.0 and letter not in WIDTH else 1
               for letter in text)


def visible(text: str) -> str:
    r"""The text with line ends, tabs and control characters made visible; a mark without a letter gets a circle.

    >>> visible("a\n\t\x00"), len(visible("\u0301"))
    ('a⏎⇥�', 2)
    """
    named = {"\n": "⏎", "\t": "⇥", " ": " "}
    seen = "".join(named.get(c, c if c.isprintable() else "�") for c in text)
    return f"◌{seen}" if seen and unicodedata.combining(seen[0]) else seen


def shorten(text: str, longest: int) -> str:
    """The text, cut with … if it takes more than so many columns; what cannot be seen is made visible.

    >>> shorten("to be or not to be", 9), shorten("門門門門", 5)
    ('to be or…', '門門…')
    """
    text = visible(text)
    if cells(text) <= longest:
        return text
    kept, room = [], longest - 1
    for letter in text:
        room -= cells(letter)
        if room < 0:
            break
        kept.append(letter)
    return "".join(kept) + "…"


def wrapped(words: str, width: float, size: float, bold: bool = False) -> list[str]:
    """The words in lines that are no wider than so many pixels; a single word that is too long is cut with ….

    >>> wrapped("to be or not to be", 60, 10)
    ['to be or not', 'to be']
    """
    lines, line = [], ""
    for word in words.split():
        word = fitting(word, width, size, bold)
        if line and text_width(f"{line} {word}", size, bold) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".lstrip()
    return [*lines, line] if line else lines


def fitting(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text, cut with … if it is wider than so many pixels.

    >>> fitting("abcdefgh", 40, 10)
    'abcd…'
    """
    text = visible(text)
    if text_width(text, size, bold) <= width:
        return text
    room, kept = width - text_width("…", size, bold), []
    for letter in text:
        room -= text_width(letter, size, bold)
        if room < 0:
            break
        kept.append(letter)
    return "".join(kept) + "…"


def widest(texts: Iterable[str], size: float, bold: bool = False) -> float:
    """The width of the widest of some texts; 0 if there are none."""
    return max((text_width(text, size, bold) for text in texts), default=0.0)
