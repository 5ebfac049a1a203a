"""Kill and resume: training is killed (SIGKILL) at a random moment, started again, and compared bit for bit.

Run as a program it is the victim: ``python -m benchmarks.resume CHECKPOINT STEPS``.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import MissingPeerError, Row
from microgradrnn import io, nn, optim
from microgradrnn.data import Stretches, Vocabulary
from microgradrnn.engine import Node
from microgradrnn.io.content import safetensors
from microgradrnn.optim.schedules import cosine, warm_up
from microgradrnn.training import History, fit

STEPS, KILLS, ROUNDS = 120, 20, 20


def train(checkpoint: Path, steps: int) -> tuple[History, str]:
    """Truncated BPTT with all that must be saved: a carried state, dropout's generator, Adam, a schedule, random data.

    Returns the history and a checksum of the weights.
    """
    rng = np.random.default_rng(0)
    text = "".join(np.random.default_rng(1).choice(list("abcde "), 3000))
    vocabulary = Vocabulary.of_characters(text)
    batches = Stretches(vocabulary.encode(text), B=4, T=12)
    embedding = nn.Embedding(len(vocabulary), 8, rng=2, dtype=np.float32)
    lstm = nn.LSTM(8, 16, num_layers=2, dropout=0.2, rng=3, dtype=np.float32)
    head = nn.Linear(16, len(vocabulary), rng=4, dtype=np.float32)
    adam = optim.AdamW([p for part in (embedding, lstm, head) for p in part.parameters()])
    carried: dict[str, object] = {"state": None}

    def step(batch: tuple[np.ndarray, np.ndarray, bool]) -> tuple[float, float]:
        x, y, first = batch
        hs, state = lstm(embedding(x), None if first else carried["state"], rng=rng)
        carried["state"] = nn.detach(state)
        loss = nn.cross_entropy(head(hs), y)
        adam.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm(adam.parameters, 1.0)
        adam.lr = warm_up(adam.steps, cosine(adam.steps, 0.01, 500), 20)
        adam.step()
        return loss.item(), norm

    saved = {"embedding": embedding, "lstm": lstm, "head": head, "adam": adam, "rng": rng, "carried": carried}
    history = fit(step, batches, steps, every=3, checkpoint=checkpoint, saved=saved)
    return history, checksum([*adam.parameters]) + hashlib.sha256(repr(history).encode()).hexdigest()[:16]


def checksum(parameters: list[Node]) -> str:
    """One short text for all bits of all weights."""
    return hashlib.sha256(b"".join(np.asarray(p.data).tobytes() for p in parameters)).hexdigest()[:16]


def victim(checkpoint: Path, steps: int, kill_after: float | None = None) -> tuple[str, float]:
    """Run the training in a process of its own, and kill it after so many seconds.

    Returns what it said last, nothing if it was killed, and how long it took from its first step on.
    """
    command = [sys.executable, "-m", "benchmarks.resume", str(checkpoint), str(steps)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        process.stdout.readline()  # "training"
        start = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        said = process.stdout.read().strip()
    return said, time.perf_counter() - start


def killed_and_resumed(folder: Path, kills: int, steps: int, seed: int) -> tuple[int, int]:
    """How many of so many killed runs ended with the bits of the straight run, and how many were killed in time."""
    straight, seconds = victim(folder / "straight.safetensors", steps)
    rng, equal, hit = random.Random(seed), 0, 0
    for k in range(kills):
        checkpoint = folder / f"{k}.safetensors"
        cut_short, _ = victim(checkpoint, steps, kill_after=rng.uniform(0, seconds))
        hit += not cut_short
        equal += victim(checkpoint, steps)[0] == straight != ""
    return equal, hit


class Found(NamedTuple):
    """What became of checkpoints on which two runs were started: files that are not whole, runs that were refused
    because another had the checkpoint, and checkpoints from which a last run ended with the bits of the straight one.
    """

    lost: int
    refused: int
    equal: int


def two_writers(folder: Path, rounds: int, steps: int, seed: int) -> Found:
    """Start two runs on one checkpoint, kill each at a random moment or never, and then let a third one finish."""
    straight, seconds = victim(folder / "straight.safetensors", steps)
    rng, lost, refused, equal = random.Random(seed), 0, 0, 0
    for k in range(rounds):
        checkpoint = folder / f"two{k}.safetensors"
        pair = start(checkpoint, steps, runs=2)
        for process in rng.sample(pair, 2):
            if rng.random() < 0.7:
                time.sleep(rng.uniform(0, seconds))
                process.kill()
        for process in pair:
            refused += "in use" in process.communicate()[1]
        lost += damaged(checkpoint)
        equal += victim(checkpoint, steps)[0] == straight != ""
        lost += damaged(checkpoint)
    return Found(lost, refused, equal)


def start(checkpoint: Path, steps: int, runs: int) -> list[subprocess.Popen[str]]:
    """Trainings in processes of their own, once all have begun: Python may take longer to start than one to train."""
    processes = [subprocess.Popen([sys.executable, "-m", "benchmarks.resume", str(checkpoint), str(steps)], text=True,
                                  cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                 for _ in range(runs)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # "training"
    return processes


def damaged(checkpoint: Path) -> bool:
    """Is there a checkpoint that is not whole?"""
    try:
        io.read(checkpoint)
    except FileNotFoundError:  # killed before the first one
        return False
    except io.DamagedFileError:
        return True
    return False


def links_kept(folder: Path, steps: int) -> int:
    """How many files are lost where links stand at the checkpoint's path and where a temporary file may be."""
    bystander, target = folder / "bystander", folder / "target.safetensors"
    link, dangling = folder / "link.safetensors", folder / "dangling.safetensors"
    bystander.write_bytes(b"mine")
    victim(target, steps)
    link.symlink_to(target)
    dangling.symlink_to(folder / "gone")
    for path in (link, target):
        path.with_name(path.name + ".tmp").symlink_to(bystander)
    victim(link, 2 * steps)
    said, _ = victim(dangling, steps)
    whole = [bystander.read_bytes() == b"mine", link.is_symlink(), not damaged(target), link.samefile(target),
             io.read(target)["history.losses"].size == 2 * steps, dangling.is_symlink(), not said]
    return whole.count(False)


def rows() -> Iterator[Row]:
    """How many of 20 runs, killed at random moments and resumed, are bit for bit the uninterrupted one; how many files
    are lost where two runs share a checkpoint, and where there are links.
    """
    try:
        safetensors()
    except ImportError as missing:
        raise MissingPeerError(str(missing)) from None
    with tempfile.TemporaryDirectory() as folder:
        equal, hit = killed_and_resumed(Path(folder), KILLS, STEPS, seed=0)
        found = two_writers(Path(folder), ROUNDS, STEPS, seed=1)
        lost = links_kept(Path(folder), 12)
    yield Row(f"killed at {KILLS} random moments ({hit} in time), resumed: equal bit for bit", f"{equal} of {KILLS}",
              f"{KILLS} of {KILLS}", KILLS / equal if equal else float("inf"), bar=1.0)
    yield Row(f"two runs on one checkpoint, killed ({found.refused} refused): finished equal",
              f"{found.equal} of {ROUNDS}", f"{ROUNDS} of {ROUNDS}",
              ROUNDS / found.equal if found.equal else float("inf"), bar=1.0)
    yield Row("two runs on one checkpoint, killed: files lost", str(found.lost), "0", float(found.lost), bar=0.0)
    yield Row("links at the checkpoint and beside it: files lost", str(lost), "0", float(lost), bar=0.0)


if __name__ == "__main__":
    print("training", flush=True)
    print(train(Path(sys.argv[1]), int(sys.argv[2]))[1], flush=True)
