"""Names that only one of two nets has: what is left over on both sides, and which may belong together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from microgradrnn.io.torch_nets import is_inside, joined

Shapes = Mapping[str, tuple[int, ...]]
FEW = 20_000  # comparisons of two names; more would take seconds


class Leftovers(NamedTuple):
    """What `load_torch` found on one side only, as ``load_state_dict`` of PyTorch returns it.

    Attributes:
        missing_keys: what the net needs, and was not given.
        unexpected_keys: what was given, and the net has no place for.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"Leftovers(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class UnmatchedError(KeyError):
    """Names that only one of two nets has. It lists them all, and says which may belong together.

    Attributes:
        missing_keys, unexpected_keys: as in what `load_torch` returns with ``strict=False``.
    """

    def __init__(self, message: str, missing_keys: list[str], unexpected_keys: list[str]) -> None:
        super().__init__(message, missing_keys, unexpected_keys)
        self.missing_keys, self.unexpected_keys = missing_keys, unexpected_keys

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its message as a string of Python, on one line


def suggested(lacking: Mapping[str, Shapes], spare: Shapes) -> dict[str, str]:
    """Parts of ours that got nothing, each with the part of theirs that fits, and whose path reads most alike.

    Args:
        lacking: for the path of each part of ours, its names inside that part, with their shapes.
        spare: the names of theirs that are left, with their shapes.

    >>> linear = {"weight": (2, 5), "bias": (2,)}
    >>> suggested({"head": linear}, {"fc.weight": (2, 5), "fc.bias": (2,), "other.weight": (3, 5)})
    {'head': 'fc'}
    """
    left = {name.removesuffix("_l0"): shape for name, shape in spare.items()}  # a loop over a cell will do for a layer
    found = []
    for i, (path, inside) in enumerate(lacking.items()):
        needed = {local.removesuffix("_l0"): shape for local, shape in inside.items()}
        first = next(iter(needed))
        for j, name in enumerate(left):
            if first and name != first and not name.endswith(f".{first}"):
                continue
            prefix = name[: len(name) - len(first)].removesuffix(".")
            if all(left.get(joined(prefix, local), shape if "bias" in local else None) == shape
                   for local, shape in needed.items()):
                found.append((0.0, i, j, path, prefix))
    if len(found) <= FEW:  # else the first that fits
        found = [(-difflib.SequenceMatcher(None, path, prefix).ratio(), i, j, path, prefix)
                 for _, i, j, path, prefix in found]
    names: dict[str, str] = {}
    taken: set[str] = set()
    for *_, path, prefix in sorted(found):
        if path not in names and prefix not in taken:
            names[path] = prefix
            taken.add(prefix)
    return {path: names[path] for path in lacking if path in names}


def shortened(names: Mapping[str, str], settled: Iterable[str] = ()) -> dict[str, str]:
    """The same, said with fewer words: what the two paths have in common at their ends is left out.

    Args:
        names: ours and theirs.
        settled: names of ours that are found where they are.

    >>> shortened({"lstm": "module.lstm", "head": "module.fc"})
    {'': 'module', 'head': 'module.fc'}
    >>> shortened({"net.cells.0": "rnn.0", "net.cells.1": "rnn.1"})
    {'net.cells': 'rnn'}
    """
    ends = {own: without_common_end(own, theirs) for own, theirs in names.items()}
    targets: dict[str, set[str]] = {}
    for own, theirs in ends.values():
        targets.setdefault(own, set()).add(theirs)
    outer = {own for own, theirs in targets.items() if len(theirs) == 1 and not any(is_inside(n, own) for n in settled)}
    return dict(ends[own] if ends[own][0] in outer else (own, theirs) for own, theirs in names.items())


def without_common_end(own: str, theirs: str) -> tuple[str, str]:
    """Two paths without the words that both end in.

    >>> without_common_end("net.cells.0", "cells.0"), without_common_end("lstm", "rnn")
    (('net', ''), ('lstm', 'rnn'))
    """
    a, b = own.split("."), theirs.split(".")
    while a and b and a[-1] == b[-1]:
        del a[-1], b[-1]
    return ".".join(a), ".".join(b)


def message(who: str, lacking: Mapping[str, Shapes], spare: Shapes, looked_for: Mapping[str, str]) -> str:
    """What is left over, one name a line, and what to write.

    Args:
        who: the function that says so.
        lacking, spare: as in `suggested`.
        looked_for: for each name of ours, the one that was looked for among theirs.
    """
    names = suggested(lacking, spare)
    ours = {joined(path, local): (path, local, shape) for path, inside in lacking.items()
            for local, shape in inside.items()}
    lines = [f"{who}: names do not match, {len(ours)} of ours without weights, {len(spare)} of theirs not used:"]
    for name, (path, local, shape) in ours.items():
        near = nearest(joined(names[path], local) if path in names else name, spare)
        lines.append(f"    ours    {name} {shape}" + f", looked for as {looked_for[name]}" * (looked_for[name] != name)
                     + f"; the nearest of theirs is {near}" * bool(near))
    lines += [f"    theirs  {name} {shape}" for name, shape in spare.items()]
    if names:
        short = shortened(names, looked_for.keys() - ours.keys())
        lines.append(f"Perhaps names={short} (ours: theirs).".replace("'", '"'))
    lines.append("strict=False loads what fits, and returns the rest.")
    return "\n".join(lines)


def nearest(name: str, spare: Shapes) -> str:
    """The name of theirs that reads most alike; empty if none does, or there are too many to compare."""
    if name in spare or len(spare) ** 2 > FEW:
        return name if name in spare else ""
    return next(iter(difflib.get_close_matches(name, spare, 1)), "")
