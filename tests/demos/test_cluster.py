"""A sweep on a Dask cluster of two processes, some of which are killed: nothing is lost, and nothing counted twice."""

from __future__ import annotations

import doctest
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demos.experiments import __main__ as command_line
from demos.experiments import cluster
from demos.experiments.sweep import SweepStoppedError, Swept, grid, sweep
from demos.lesson import TroubleError
from tests.demos.settings import odd_ones_fail, square, train, victim, waits
from tests.demos.test_sweep import squares, wait_for

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytest.importorskip("threadpoolctl")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[Any]:
    """Two worker processes. A setting is given up when two workers died of it, not four, to save time."""
    with (dask.config.set({"distributed.scheduler.allowed-failures": 1, "distributed.comm.timeouts.connect": "120s"}),
          distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1",
                                   dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
                                   silence_logs=logging.CRITICAL) as both):
        yield both


class Killer(threading.Thread):
    """Kills the process of every `victim`, at most `times` of them.

    Dask starts a worker again that dies while it runs, but not one that dies before its start was noticed.
    """

    def __init__(self, both: Any, folder: Path, times: int) -> None:
        super().__init__(daemon=True)
        self.both, self.folder, self.times, self.killed = both, folder, times, 0
        self.over = threading.Event()

    def run(self) -> None:
        while self.killed < self.times and not self.over.wait(0.05):
            for found in self.folder.glob("*.victim"):
                if all(nanny.status == distributed.core.Status.running for nanny in self.both.workers.values()):
                    found.unlink()
                    self.killed += 1
                    if self.killed == self.times:
                        (self.folder / "repaired").touch()
                    os.kill(int(found.stem), signal.SIGKILL)


def swept_while_killing(both: Any, folder: Path, times: int) -> tuple[Swept, int]:
    """A sweep in which one setting's workers are killed, and how many were."""
    killer = Killer(both, folder, times)
    killer.start()
    with cluster.cluster(both.scheduler_address, 120) as executor:
        swept = sweep(victim, grid(n=range(8), folder=[str(folder)]), folder / "a.jsonl", executor)
    killer.over.set()
    killer.join()
    return swept, killer.killed


def test_numbers_are_those_of_one_process(dask_cluster: Any, tmp_path: Path) -> None:
    settings = grid(cell=("tanh", "gru"), T=(8,), gain=(0.5, 1.5), seed=range(2))
    with cluster.cluster(dask_cluster.scheduler_address, 120) as executor:
        swept = sweep(train, settings, tmp_path / "dask.jsonl", executor)
    assert swept == sweep(train, settings, tmp_path / "serial.jsonl")
    assert len(swept.records) == 8


def test_a_worker_that_is_killed_loses_nothing_and_counts_nothing_twice(dask_cluster: Any, tmp_path: Path) -> None:
    swept, killed = swept_while_killing(dask_cluster, tmp_path, times=1)
    assert killed == 1
    assert swept.failures == []
    assert sorted(squares(tmp_path / "a.jsonl")) == [record["n"] for record in swept.records] == list(range(8))


def test_a_setting_that_kills_each_of_its_workers_is_a_failure_and_is_tried_again(
        dask_cluster: Any, tmp_path: Path) -> None:
    swept, killed = swept_while_killing(dask_cluster, tmp_path, times=1000)
    assert killed == 2
    failed = {record["n"]: record["failed"]["type"] for record in swept.failures}
    assert failed[3] == "KilledWorker"
    assert set(failed.values()) == {"KilledWorker"}  # one that waited on the same workers may be among them
    assert sorted([*failed, *squares(tmp_path / "a.jsonl")]) == list(range(8))
    (tmp_path / "repaired").touch()
    swept, killed = swept_while_killing(dask_cluster, tmp_path, times=0)
    assert ([record["n"] for record in swept.records], swept.failures, killed) == (list(range(8)), [], 0)
    assert sorted(squares(tmp_path / "a.jsonl")) == list(range(8))


def test_a_setting_that_failed_is_called_again_by_the_same_cluster(dask_cluster: Any, tmp_path: Path) -> None:
    settings = grid(n=range(4), folder=[str(tmp_path)])
    with cluster.cluster(dask_cluster.scheduler_address, 120) as executor:
        assert len(sweep(odd_ones_fail, settings, tmp_path / "a.jsonl", executor).failures) == 2
        (tmp_path / "repaired").touch()
        assert sweep(odd_ones_fail, settings, tmp_path / "a.jsonl", executor).failures == []
    assert sorted(squares(tmp_path / "a.jsonl")) == [0, 1, 2, 3]


def test_a_cluster_that_drops_the_calls_stops_the_sweep_which_goes_on_elsewhere(
        dask_cluster: Any, tmp_path: Path) -> None:
    settings, file = grid(n=range(4), folder=[str(tmp_path)]), tmp_path / "a.jsonl"
    with distributed.Client(dask_cluster.scheduler_address, set_as_default=False) as client:
        def drop() -> None:
            wait_for(lambda: (tmp_path / "2.begun").exists() and file.exists() and len(squares(file)) == 3)
            client.cancel([distributed.Future(key, client=client) for key in client.futures])

        threading.Thread(target=drop, daemon=True).start()
        with pytest.raises(SweepStoppedError, match="sweep again with a new executor"):
            sweep(waits, settings, file, client.get_executor(pure=False))
    (tmp_path / "go").touch()
    assert sorted(squares(file)) == [0, 1, 3]
    assert len(sweep(waits, settings, file).records) == 4


def test_a_function_that_a_cluster_cannot_be_sent_is_refused(dask_cluster: Any, tmp_path: Path) -> None:
    lock = threading.Lock()

    def run(n: int) -> dict[str, Any]:
        with lock:
            return square(n)

    with (cluster.cluster(dask_cluster.scheduler_address, 120) as executor,
          pytest.raises(TypeError, match="other processes cannot be sent")):
        sweep(run, [{"n": 1}], tmp_path / "a.jsonl", executor)


def test_a_cluster_without_workers_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    class NoWorkers:
        def nthreads(self) -> dict[str, int]:
            return {}

    done = threading.Event()
    done.set()
    cluster.watch(NoWorkers(), "tcp://here:1", done)
    assert "tcp://here:1 has no workers: `dask worker tcp://here:1` starts some" in capsys.readouterr().err


def test_an_address_where_no_scheduler_is_is_answered(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(TroubleError, match="no Dask scheduler answers at nonsense://x"), cluster.cluster("nonsense://x"):
        pass
    with pytest.raises(TroubleError, match="no Dask scheduler answers"), cluster.cluster("tcp://127.0.0.1:1", 0.2):
        pass
    with pytest.raises(SystemExit) as left:
        command_line.main(["--run", "latch", "--records", str(tmp_path), "--dask", "nonsense://x"])
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("experiments: no Dask scheduler answers at nonsense://x")


def test_the_command_measures_on_a_cluster(dask_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from demos.experiments import records

    class Counting:
        run = staticmethod(square)
        points = staticmethod(lambda: grid(n=range(4)))

    monkeypatch.setitem(records.EXPERIMENTS, "counting", Counting)
    argv = ["--run", "counting", "--records", str(tmp_path), "--dask", dask_cluster.scheduler_address]
    assert command_line.main(argv) == 0
    assert sorted(squares(tmp_path / "counting.jsonl")) == [0, 1, 2, 3]


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(cluster).failed == 0
