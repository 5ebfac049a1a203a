"""Labels: those that a reader gives, one for each step or leaf, and those that tell layers apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from viz.errors import need


def need_labels(who: str, labels: Any, places: int, what: str) -> dict[int, Any]:
    """The labels by place; a mapping may leave places out, a sequence may not.

    Raises:
        TypeError: if labels are neither.
        ValueError: if a sequence is shorter than there are places.

    >>> need_labels("draw_unrolled", "ab", 3, "steps")
    Traceback (most recent call last):
    ValueError: draw_unrolled: 2 labels for 3 steps; give one for each, or a dict {step: label} to label some
    """
    if labels is None or isinstance(labels, Mapping):
        return dict(labels or {})
    need(f"{who}, labels", labels, (Sequence, np.ndarray), "the labels in order, a text or a list, or a dict by place")
    if len(labels) < places:
        raise ValueError(f"{who}: {len(labels)} labels for {places} {what}; give one for each, or a dict "
                         f"{{{what[:-1]}: label}} to label some")
    return dict(enumerate(labels))


CELLS = ("lstm", "gru", "mgu", "rnn")


def name_from_torch(said: Mapping[str, Any], paths: Iterable[str]) -> str:
    """What a net of PyTorch is called: by its module, if that is known, else by the cells that were recognised.

    Args:
        said: the attributes of the graph.
        paths: of its layers.

    >>> name_from_torch({"source": "PyTorch"}, ["layers.0/lstm", "layers.1/lstm"])
    'LSTM cell'
    >>> name_from_torch({}, ["lstm"])  # not of PyTorch
    ''
    """
    kinds = dict.fromkeys(end for path in paths if (end := path.split("/")[-1]) in CELLS)
    cells = " and ".join(f"{kind.upper()} cell" for kind in kinds)
    return str(said.get("called", cells)) if said.get("source") == "PyTorch" else ""


def labelled(paths: Sequence[str], backwards: Sequence[bool]) -> list[str]:
    """What to write on each lane, if there are several: what tells it from the others.

    >>> labelled(["layers.0/forwards/rnn", "layers.0/backwards/rnn"], [False, True])
    ['layer 1, forwards →', 'layer 1, ← backwards']
    >>> labelled(["encoder/rnn", "decoder/rnn"], [False, False])
    ['encoder', 'decoder']
    """
    if len(paths) == 1:
        return ["← backwards" if backwards[0] else ""]
    split = [path.split("/") for path in paths]
    common = set.intersection(*map(set, split))
    both = len(set(backwards)) > 1
    found = []
    for parts, back in zip(split, backwards, strict=True):
        words = [re.sub(r"^layers\.(\d+)$", lambda m: f"layer {int(m[1]) + 1}", part) for part in parts
                 if part not in common | {"forwards", "backwards"} or part.startswith("layers.")]
        if both or back:
            words.append("← backwards" if back else "forwards →")
        found.append(", ".join(filter(None, words)))
    again = {label for label in found if found.count(label) > 1}
    return [f"layer {j + 1}{', ' * bool(label)}{label}" if label in again else label for j, label in enumerate(found)]
