"""Arrays and text, encoded so that a page can hold them: any number exactly, any character harmlessly."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np

TYPES = {"f8": "<f8", "f4": "<f4", "u1": "u1"}  # little-endian, whatever the machine


def array(x: Any, kind: str = "f8") -> dict[str, Any]:
    """An array as a dict that JSON can hold: its type, its shape, and its bytes in base64.

    Args:
        x: the numbers; NaN and infinities too.
        kind: ``f8`` (double precision), ``f4`` (single precision, for what is only looked at) or ``u1`` (0 to 255).

    >>> array([1.0, 2.0], "f4")
    {'type': 'f4', 'shape': [2], 'base64': 'AACAPwAAAEA='}
    """
    with np.errstate(over="ignore"):  # what is too large for single precision is infinite there
        found = np.ascontiguousarray(x, dtype=TYPES[kind])
    return {"type": kind, "shape": list(found.shape), "base64": base64.b64encode(found.tobytes()).decode()}


def decoded(said: dict[str, Any]) -> np.ndarray:
    """The array that `array` encoded."""
    return np.frombuffer(base64.b64decode(said["base64"]), TYPES[said["type"]]).reshape(said["shape"])


def finite(x: float | None) -> float | None:
    """A number as JSON can hold it: None for NaN and infinities."""
    return None if x is None or not math.isfinite(x) else float(x)


def json_text(data: Any) -> str:
    r"""JSON that may stand inside a ``<script>`` element: plain ASCII, without ``<``, ``>`` and ``&``.

    So no text can close the element or open a comment, and lone surrogates do no harm.

    >>> print(json_text({"label": "</script>\u2028"}))
    {"label":"\u003c/script\u003e\u2028"}
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
