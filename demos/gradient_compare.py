"""Runs of the lesson `demos.gradient_flow` that are done, side by side: from the numbers that they wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import viz
from demos.lesson import TroubleError
from microgradrnn.files import write_whole

HORIZON = 0.01  # the part of the gradient at lag 0 that a horizon is measured by


def compared(paths: Sequence[Path], out: Path, theme: viz.Theme) -> str:
    """Draw the nets of all runs in one picture, and say what the numbers say.

    Args:
        paths: the files ``flow.json`` of these runs.
        out: the folder for the picture, ``compared.svg``.
        theme: of the picture.

    Raises:
        TroubleError: if a file cannot be read or is not one of the lesson, or the picture cannot be written.
    """
    labels = names(paths)
    tracks = [track for path, label in zip(paths, labels, strict=True) for track in tracks_of(path, label)]
    last = min(len(track.lags) for track in tracks)
    found = viz.Comparison(tuple(cut(track, last) for track in tracks), HORIZON)
    target = out / "compared.svg"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(target, found.draw(theme=theme).svg)
    except OSError as error:
        raise TroubleError(f"--out {out}: {error.strerror or error}") from None
    return f"{found.verdict}\nwritten: {target}"


def names(paths: Sequence[Path]) -> list[str]:
    """A short name for each run: of ``out/flow.json`` the folder, of ``big.json`` the file; the path if two are alike.

    >>> names([Path("a/flow.json"), Path("runs/big.json")]), names([Path("x/a.json"), Path("y/a.json")])
    (['a', 'big'], ['x/a.json', 'y/a.json'])
    """
    short = [path.resolve().parent.name if path.name == "flow.json" else path.stem for path in paths]
    count = Counter(short)
    return [name if count[name] == 1 else path.as_posix() for name, path in zip(short, paths, strict=True)]


def tracks_of(path: Path, label: str) -> list[viz.Track]:
    """The gradient of every net of a run, at the state that carries the memory."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        first, *others = said["cells"].values()  # at least one
        return [track_of(cell, f"{cell['name']} ({label})") for cell in (first, *others)]
    except OSError as error:
        raise TroubleError(f"--compare {path}: {error.strerror or error}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise TroubleError(f"--compare {path}: this is not the flow.json of a run") from None


def track_of(cell: dict[str, Any], name: str) -> viz.Track:
    """One net: what was carried over to its state, and the rest."""
    (state, profile), *_ = cell["states"].items()
    lags, norms = tuple(profile["lags"]), tuple(map(float, profile["norms"]))
    arrived = {one["lag"]: one for one in cell["flow"]["states"] if one["state"] == state}
    parts = {part: tuple(float(arrived[lag][part]) if lag in arrived else 0.0 for lag in lags)
             for part in ("carry", "rest")}
    return viz.Track(name, state, lags, norms, {part: sizes for part, sizes in parts.items() if any(sizes)})


def cut(track: viz.Track, n: int) -> viz.Track:
    """The first n lags of a track."""
    return viz.Track(track.net, track.state, track.lags[:n], track.norms[:n],
                     {part: sizes[:n] for part, sizes in track.parts.items()}, track.colours, track.fed)
