"""The colours that the page's script needs: those of both themes, by what they are for."""

from __future__ import annotations

from typing import Any

from viz.theme import DARK, DEFAULT, Theme

NAMES = ("ink", "faint", "paper", "tile", "rim", "wire", "alarm", "nothing", "now")


def themes(light: Theme = DEFAULT, dark: Theme = DARK) -> dict[str, dict[str, Any]]:
    """Both themes, ready for JSON.

    >>> themes()["dark"]["paper"]
    '#14181d'
    """
    return {name: {colour: getattr(theme, colour) for colour in NAMES} | {"changes": list(theme.changes)}
            for name, theme in (("light", light), ("dark", dark))}
