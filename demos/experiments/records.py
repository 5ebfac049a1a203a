"""Records of experiments on disk: one line of JSON for each setting, beside the modules.

A run that was stopped goes on where it stopped: settings that have a record are not run again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from demos.experiments import characters, latch, order, recall, sums

FOLDER = Path(__file__).parent / "records"
EXPERIMENTS: dict[str, Any] = {"latch": latch, "sums": sums, "order": order, "recall": recall,
                               "characters": characters}


def read(name: str, folder: Path = FOLDER, **setting: Any) -> list[dict[str, Any]]:
    """The records of an experiment whose settings hold these values; a value of None also means "not set".

    >>> len(read("sums", kind="lstm", T=50))
    2
    """
    file = folder / f"{name}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [record for record in map(json.loads, lines)
            if all(record.get(key) == value for key, value in setting.items())]


def measure(name: str, folder: Path = FOLDER) -> None:
    """Run every setting that has no record yet, and add its record as soon as it is known."""
    experiment = EXPERIMENTS[name]
    known = read(name, folder)
    folder.mkdir(exist_ok=True)
    for point in experiment.points():
        if any(record.items() >= point.items() for record in known):
            continue
        record = {**point, **experiment.run(**point)}
        print(name, record, flush=True)
        with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
