"""Names that only one of two nets has: what is left over on both sides, and which may belong together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

from microgradrnn.io.torch_nets import joined

Shapes = Mapping[str, tuple[int, ...]]


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
                found.append((-difflib.SequenceMatcher(None, path, prefix).ratio(), i, j, path, prefix))
    names: dict[str, str] = {}
    for *_, path, prefix in sorted(found):
        if path not in names and prefix not in names.values():
            names[path] = prefix
    return {path: names[path] for path in lacking if path in names}


def shortened(names: dict[str, str]) -> dict[str, str]:
    """One line for the whole net, if all of theirs, or all of ours, are in one part of it.

    >>> shortened({"lstm": "module.lstm", "head": "module.head"}), shortened({"net.lstm": "lstm", "net.head": "head"})
    ({'': 'module'}, {'net': ''})
    """
    if len(names) < 2:
        return names
    for swap in (False, True):
        outer = {(own if swap else theirs).removesuffix(theirs if swap else own) for own, theirs in names.items()}
        if len(outer) == 1 and (prefix := outer.pop()).endswith("."):
            return {prefix[:-1]: ""} if swap else {"": prefix[:-1]}
    return names


def message(who: str, lacking: Mapping[str, Shapes], spare: Shapes, looked_for: Mapping[str, str]) -> str:
    """What is left over, one name a line, and what to write.

    Args:
        who: the function that says so.
        lacking, spare: as in `suggested`.
        looked_for: for each name of ours, the one that was looked for among theirs.
    """
    names = suggested(lacking, spare)
    ours = [f"    ours    {said(path, local, shape, looked_for)}{nearest(path, local, names, spare)}"
            for path, inside in lacking.items() for local, shape in inside.items()]
    theirs = [f"    theirs  {name} {shape}" for name, shape in spare.items()]
    counts = [f"{len(ours)} names of ours get nothing"] * bool(ours)
    counts += [f"{len(theirs)} names of theirs are not used"] * bool(theirs)
    lines = [f"{who}: {', and '.join(counts)}:", *ours, *theirs]
    if names:
        lines.append(f"Perhaps names={shortened(names)} (ours: theirs).".replace("'", '"'))
    lines.append("strict=False loads what fits, and returns the rest.")
    return "\n".join(lines)


def said(path: str, local: str, shape: tuple[int, ...], looked_for: Mapping[str, str]) -> str:
    """One of our names, with its shape."""
    name = joined(path, local)
    return f"{name} {shape}" + f", looked for as {looked_for[name]}" * (looked_for[name] != name)


def nearest(path: str, local: str, names: Mapping[str, str], spare: Shapes) -> str:
    """Which of their names may belong to one of ours: that of the part which fits, else the one that reads alike."""
    name = joined(names.get(path, path), local)
    near = difflib.get_close_matches(name, spare, 1)
    return f"; the nearest of theirs is {near[0]}" if near else ""
