"""Records of experiments on disk: one line of JSON for each setting, beside the modules.

A run that was stopped goes on where it stopped: settings that have a record are not run again.
"""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from demos.experiments import characters, latch, order, recall, sums
from demos.experiments.journal import read_lines
from demos.experiments.sweep import FAILED, Swept, shown, sweep

FOLDER = Path(__file__).parent / "records"
EXPERIMENTS: dict[str, Any] = {"latch": latch, "sums": sums, "order": order, "recall": recall,
                               "characters": characters}


def read(name: str, folder: Path = FOLDER, **setting: Any) -> list[dict[str, Any]]:
    """The records of an experiment whose settings hold these values; a value of None also means "not set".

    Settings that failed are left out.

    >>> len(read("sums", kind="lstm", T=50))
    2
    """
    return [shown(record) for record in read_lines(folder / f"{name}.jsonl")
            if FAILED not in record and all(record.get(key) == value for key, value in setting.items())]


def measure(name: str, folder: Path = FOLDER, executor: Executor | None = None) -> Swept:
    """Run every setting of an experiment that has no record yet, and add its record as soon as it is known.

    Raises:
        ValueError: if there is no such experiment.

    See `sweep` for executors and for what else it raises.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    experiment = EXPERIMENTS[name]
    return sweep(experiment.run, experiment.points(), folder / f"{name}.jsonl", executor, bar=name)
