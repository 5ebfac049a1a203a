"""A sweep over settings: each is counted once, wherever it runs, however often it is stopped, and whatever fails."""

from __future__ import annotations

import doctest
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demos.experiments import __main__ as command_line
from demos.experiments import journal, processes, records, sweep
from demos.experiments.processes import ProcessDiedError, Processes
from demos.experiments.sweep import SweepStoppedError, grid
from microgradrnn.files import DamagedFileError, held
from tests.demos import settings
from tests.demos.settings import odd_ones_fail, square, third_dies, train, waits

pytest.importorskip("tqdm")
pytest.importorskip("threadpoolctl")
TEN = grid(n=range(10))
ROOT = Path(__file__).parent.parent.parent


def squares(file: Path) -> list[int]:
    """The numbers that a file has records of, in its own order."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(line["square"] == line["n"] ** 2 for line in lines if "failed" not in line)
    return [line["n"] for line in lines if "failed" not in line]


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


def stopping(after: int, kind: type[BaseException]) -> Callable[..., dict[str, Any]]:
    """A function that raises once, at its call number `after`."""
    calls: list[int] = []

    def run(n: int) -> dict[str, Any]:
        calls.append(n)
        if len(calls) == after:
            raise kind
        return square(n)

    return run


# ------------------------------------------------------------------------------------------------ settings and records
def test_a_grid_is_every_combination() -> None:
    points = grid(cell=("tanh", "lstm"), T=(20, 50), gain=(0.5, 1.0, 1.5), seed=range(4))
    assert len(points) == 2 * 2 * 3 * 4 == len({tuple(point.items()) for point in points})
    assert points[1] == {"cell": "tanh", "T": 20, "gain": 0.5, "seed": 1}


def test_a_setting_with_fewer_names_is_another_setting(tmp_path: Path) -> None:
    def run(n: int, bias: int = 1) -> dict[str, Any]:
        return {"sum": n + bias}

    file = tmp_path / "a.jsonl"
    assert len(sweep.sweep(run, [{"n": 1, "bias": 5}, {"n": 1}], file).records) == 2
    assert [record["sum"] for record in sweep.sweep(run, [{"n": 1}, {"n": 1, "bias": 5}], file).records] == [2, 6]
    assert len(file.read_text().splitlines()) == 2


def test_a_record_of_another_setting_is_not_taken_for_this_one(tmp_path: Path) -> None:
    def train(T: int, updates: int = 1000) -> dict[str, Any]:
        return {"loss": T / updates}

    def count(n: int) -> dict[str, Any]:
        return {"updates": n}

    def count_up_to(n: int, updates: int) -> dict[str, Any]:
        return {"counted": min(n, updates)}

    file, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    sweep.sweep(train, grid(T=(20,), updates=(5,)), file)
    assert sweep.sweep(train, grid(T=(20,)), file).records == [{"T": 20, "loss": 0.02}]
    sweep.sweep(count, grid(n=(7,)), other)
    assert sweep.sweep(count_up_to, grid(n=(7,), updates=(7,)), other).records == [
        {"n": 7, "updates": 7, "counted": 7}]


def test_records_that_do_not_say_what_their_setting_is_are_found_and_left_as_they_are(tmp_path: Path) -> None:
    for name in ("latch", "recall"):
        file = tmp_path / f"{name}.jsonl"
        before = (records.FOLDER / file.name).read_bytes()
        file.write_bytes(before)
        swept = records.measure(name, tmp_path)
        assert len(swept.records) == len(before.splitlines())
        assert file.read_bytes() == before


def test_what_is_read_is_what_the_sweep_returned(tmp_path: Path) -> None:
    swept = sweep.sweep(square, TEN, tmp_path / "counting.jsonl")
    assert records.read("counting", tmp_path) == swept.records
    assert swept.records[3] == {"n": 3, "square": 9}


def test_the_same_setting_twice_is_one_and_lists_come_back_as_they_were_given(tmp_path: Path) -> None:
    file, calls = tmp_path / "a.jsonl", []

    def run(sizes: Any, rate: float | None) -> dict[str, Any]:
        calls.append(sizes)
        return {"total": sum(sizes)}

    points: list[dict[str, Any]] = [{"sizes": (1, 2), "rate": None}, {"sizes": [1, 2], "rate": None}]
    first = sweep.sweep(run, points, file)
    assert first == sweep.sweep(run, points, file)
    assert (len(first.records), calls) == (1, [(1, 2)])


def test_a_run_that_changes_a_list_of_its_setting_changes_its_own_copy(tmp_path: Path) -> None:
    def run(sizes: list[int], n: int) -> dict[str, Any]:
        sizes.append(n)
        return {"total": sum(sizes)}

    def fails(sizes: list[int], n: int) -> dict[str, Any]:
        sizes.clear()
        raise ArithmeticError

    sizes = [1, 2]
    points = grid(sizes=[sizes], n=range(2))
    assert len(sweep.sweep(fails, points, tmp_path / "a.jsonl").failures) == 2
    swept = sweep.sweep(run, points, tmp_path / "a.jsonl")
    assert swept.records == [{"sizes": [1, 2], "n": 0, "total": 3}, {"sizes": [1, 2], "n": 1, "total": 4}]
    assert sizes == [1, 2]


# ------------------------------------------------------------------------------------------------ stopped and resumed
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Killed])
def test_a_sweep_that_is_stopped_goes_on_where_it_stopped(tmp_path: Path, kind: type[BaseException],
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    file, run = tmp_path / "a.jsonl", stopping(5, kind)
    with pytest.raises(kind):
        sweep.sweep(run, TEN, file)
    assert squares(file) == [0, 1, 2, 3]
    said = capsys.readouterr().err
    words = "4 of 10 settings have a record; the same sweep goes on with the others"
    assert (words in said) == (kind is KeyboardInterrupt)
    swept = sweep.sweep(run, TEN, file)
    assert squares(file) == [record["n"] for record in swept.records] == list(range(10))


def test_a_record_is_on_the_disk_before_the_next_setting_begins(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"

    def run(n: int) -> dict[str, Any]:
        assert squares(file) == list(range(n)) if n else not file.exists()
        return square(n)

    assert sweep.sweep(run, TEN, file).failures == []


@pytest.mark.parametrize("half", [b'{"n": 3, "squ', b"{", b'{"n": 3, "word": "\xc3', b"\0\0\0\0"])
def test_a_half_written_last_line_is_left_out_then_removed_and_said(tmp_path: Path, half: bytes,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "counting.jsonl"
    sweep.sweep(square, TEN[:3], file)
    with file.open("ab") as out:
        out.write(half)
    assert [record["n"] for record in records.read("counting", tmp_path)] == [0, 1, 2]
    assert len(sweep.sweep(square, TEN, file).records) == 10
    assert squares(file) == list(range(10))
    assert f"the last line was half written, and is removed: {half!r}" in capsys.readouterr().err


def test_a_last_record_that_lacks_only_the_end_of_its_line_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    sweep.sweep(square, TEN[:3], file)
    file.write_bytes(file.read_bytes()[:-1])
    assert len(journal.read_lines(file)) == 3
    sweep.sweep(square, TEN[:5], file)
    assert squares(file) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wrong", ["{oops", "[1, 2]", "7"])
def test_a_wrong_line_in_the_middle_is_named_and_nothing_is_lost(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f'{{"n": 0, "square": 0}}\n{wrong}\n{{"n": 1, "square": 1}}\n')
    before = file.read_bytes()
    with pytest.raises(DamagedFileError, match="line 2 is no record"):
        sweep.sweep(square, TEN, file)
    assert file.read_bytes() == before


@pytest.mark.parametrize(("content", "line"), [
    (b"[1, 2, 3]", 1),
    (b"name,score\nann,3\nbob,4", 1),
    (b'{"n": 0, "square": 0}\nbob,4', 2),
    (b'{"n": 0, "square": 0}\n{n: 1}', 2),
    (b"{\n    indented", 1),
])
def test_a_file_that_holds_something_else_is_left_as_it_is(tmp_path: Path, content: bytes, line: int) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    for write in (lambda: sweep.sweep(square, TEN, file), lambda: journal.repair(file)):
        with pytest.raises(DamagedFileError, match=f"line {line} is no record"):
            write()
        assert file.read_bytes() == content


def test_a_second_sweep_of_one_file_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with held(file), pytest.raises(BlockingIOError, match="is in use"):
        sweep.sweep(square, TEN, file)
    assert not file.exists()
    assert len(sweep.sweep(square, TEN, file).records) == 10


# ------------------------------------------------------------------------------------------------ executors
class LastFirst(Executor):
    """Runs what was submitted in the opposite order."""

    def submit(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.waiting = [*getattr(self, "waiting", []), (future := Future[Any](), f, args, kwargs)]
        if len(self.waiting) == len(TRAINED):
            threading.Thread(target=self.work).start()
        return future

    def work(self) -> None:
        for future, f, args, kwargs in reversed(self.waiting):
            future.set_result(f(*args, **kwargs))


EXECUTORS: dict[str, Callable[[], Executor]] = {
    "processes": lambda: Processes(2),
    "a pool": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    "threads": lambda: ThreadPoolExecutor(2),
    "last first": LastFirst,
}


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> sweep.Swept:
    """What an executor must not change."""
    return sweep.sweep(train, TRAINED, tmp_path_factory.mktemp("serial") / "a.jsonl")


TRAINED = grid(cell=("tanh", "gru"), T=(8,), gain=(0.5, 1.5), seed=(0,))


@pytest.mark.parametrize("name", EXECUTORS)
def test_numbers_depend_on_the_setting_alone(tmp_path: Path, serial: sweep.Swept, name: str) -> None:
    with EXECUTORS[name]() as executor:
        swept = sweep.sweep(train, TRAINED, tmp_path / "a.jsonl", executor)
    assert swept == serial
    assert len({record["losses"][-1] for record in swept.records}) == len(TRAINED) == 4


def test_threads_of_blas_are_as_before_after_a_sweep(tmp_path: Path) -> None:
    from threadpoolctl import threadpool_info

    def threads(**setting: Any) -> dict[str, Any]:
        return {"threads": [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]}

    before = threads()["threads"]
    [record] = sweep.sweep(threads, [{"n": 0}], tmp_path / "a.jsonl").records
    assert record["threads"] == [1] * len(before)
    assert threads()["threads"] == before


# ------------------------------------------------------------------------------------------------ failures
@pytest.mark.parametrize("where", [lambda: None, lambda: Processes(2)], ids=["here", "processes"])
def test_a_setting_that_fails_stops_no_other_and_is_tried_again(tmp_path: Path, where: Any) -> None:
    file, points = tmp_path / "odd.jsonl", grid(n=range(3), folder=[str(tmp_path)])
    for _ in range(2):
        executor = where()
        swept = sweep.sweep(odd_ones_fail, points, file, executor)
        assert sorted(squares(file)) == [0, 2]
        assert [record["failed"] for record in swept.failures] == [
            {"type": "ArithmeticError", "message": "1 is odd"}]
    assert [record["n"] for record in records.read("odd", tmp_path)] == squares(file)
    (tmp_path / "repaired").touch()
    swept = sweep.sweep(odd_ones_fail, points, file, where())
    assert ([record["n"] for record in swept.records], swept.failures) == ([0, 1, 2], [])
    assert sorted(squares(file)) == [0, 1, 2]


@pytest.mark.parametrize(("result", "words"), [
    (3.0, "run returned float, not a dict"),
    ({"n": 7}, "run returned n, which names a setting or a failure"),
    ({"failed": True}, "run returned failed, which names a setting or a failure"),
    ({"setting": ["n"]}, "run returned setting, which names a setting or a failure"),
    ({"loss": np.ones(2)}, "Object of type ndarray is not JSON serializable"),
    ({"loss": float("nan")}, "Out of range float values are not JSON compliant"),
])
def test_what_cannot_be_a_record_is_a_failure(tmp_path: Path, result: Any, words: str) -> None:
    [failed] = sweep.sweep(lambda n: result, [{"n": 1}], tmp_path / "a.jsonl").failures
    assert words in failed["failed"]["message"]


def test_an_error_without_words_is_a_failure_like_others(tmp_path: Path) -> None:
    class WordlessError(Exception):
        def __str__(self) -> str:
            raise AttributeError("no words")

    def run(n: int) -> dict[str, Any]:
        if n == 1:
            raise WordlessError
        return square(n)

    swept = sweep.sweep(run, TEN, tmp_path / "a.jsonl")
    assert len(swept.records) == 9
    assert [record["failed"] for record in swept.failures] == [
        {"type": "WordlessError", "message": "its message cannot be made: AttributeError"}]


def test_a_process_that_dies_takes_only_its_own_setting_with_it(tmp_path: Path) -> None:
    file, points = tmp_path / "a.jsonl", grid(n=range(2, 5), folder=[str(tmp_path)])
    with Processes(2) as executor:
        swept = sweep.sweep(third_dies, points, file, executor)
        assert [record["n"] for record in swept.records] == [2, 4]
        [failed] = swept.failures
        assert failed["n"] == 3
        assert failed["failed"] == {"type": "ProcessDiedError",
                                    "message": "its process ended without an answer, with exit code -9"}
        (tmp_path / "repaired").touch()
        assert len(sweep.sweep(third_dies, points, file, executor).records) == 3
    assert sorted(squares(file)) == [2, 3, 4]


def test_a_pool_whose_process_died_is_gone_and_the_rest_is_measured_elsewhere(tmp_path: Path) -> None:
    file, points = tmp_path / "a.jsonl", grid(n=range(6), folder=[str(tmp_path)])
    with (ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
          pytest.raises(SweepStoppedError, match="sweep again with a new executor")):
        sweep.sweep(third_dies, points, file, pool)
    assert set(squares(file)) <= {0, 1, 2}
    (tmp_path / "repaired").touch()
    assert len(sweep.sweep(third_dies, points, file).records) == 6
    assert sorted(squares(file)) == list(range(6))


def test_errors_of_calls_in_processes_reach_the_caller() -> None:
    with Processes(1) as executor:
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result()
        with pytest.raises(ProcessDiedError, match="exit code 7"):
            executor.submit(os._exit, 7).result()


def test_a_call_that_ends_while_processes_are_ended_is_no_trouble() -> None:
    class Slow:
        """Stands for a process that takes long to end: the other one ends first."""

        def terminate(self) -> None:
            [other] = executor.running - {self}
            other.terminate()
            other.join()
            until = time.monotonic() + 0.5
            while other in executor.running and time.monotonic() < until:
                time.sleep(0.01)

    executor = Processes(1)
    executor.submit(time.sleep, 600)
    wait_for(lambda: len(executor.running) == 1)
    executor.running.add(Slow())
    with pytest.raises(Killed), executor:
        raise Killed


# ------------------------------------------------------------------------------------------------ input
@pytest.mark.parametrize(("points", "kind", "words"), [
    ([], ValueError, "no settings"),
    ([{"n": np.ones(2)}], TypeError, "setting 0, .* cannot be written to a file"),
    ([{"n": 1}, {"n": float("nan")}], TypeError, "setting 1, .* cannot be written to a file"),
    ([{"n": {1: 2}}], TypeError, "setting 0, .* cannot be written to a file: it holds a dict"),
    ([{"n": [1, {"a": 2}]}], TypeError, "setting 0, .* cannot be written to a file: it holds a dict"),
    ([{"n": 1}, 5], TypeError, "setting 1 is 5; expected a dict"),
    ([{"failed": 1}], TypeError, "neither 'failed' nor 'setting' is a name"),
    ([{"setting": 1}], TypeError, "neither 'failed' nor 'setting' is a name"),
])
def test_settings_that_are_none_are_refused_before_anything_runs(
        tmp_path: Path, points: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        sweep.sweep(square, points, tmp_path / "a.jsonl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [lambda: Processes(1), lambda: ProcessPoolExecutor(1)])
def test_a_function_that_processes_cannot_be_sent_is_refused(tmp_path: Path, make: Callable[[], Executor]) -> None:
    with make() as executor, pytest.raises(TypeError, match="at the top level of a module"):
        sweep.sweep(lambda n: square(n), TEN, tmp_path / "a.jsonl", executor)


def test_an_experiment_that_there_is_not_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no experiment 'recal'; there are latch, sums"):
        records.measure("recal", tmp_path)


# ------------------------------------------------------------------------------------------------ the command
@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An experiment that is called counting, and a folder for it."""
    class Counting:
        run = staticmethod(odd_ones_fail)
        points = staticmethod(lambda: grid(n=range(4), folder=[str(tmp_path)]))

    monkeypatch.setitem(records.EXPERIMENTS, "counting", Counting)
    return tmp_path / "new"


def test_the_command_lists_what_failed_at_the_end(counting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--run", "counting", "--records", str(counting)]
    assert command_line.main(argv) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-3] == "counting: 2 of 4 settings failed; the next run tries them again"
    assert said[-1].endswith("ArithmeticError: 3 is odd")
    (counting.parent / "repaired").touch()
    assert command_line.main([*argv, "--workers", "2"]) == 0
    assert sorted(squares(counting / "counting.jsonl")) == [0, 1, 2, 3]


@pytest.mark.parametrize(("argv", "words"), [
    (["--run", "nothing"], "invalid choice: 'nothing'"),
    (["--workers", "2"], "need --run NAME"),
    (["--run", "latch", "--workers", "0"], "expected a positive whole number"),
    (["--run", "latch", "--workers", "2", "--dask", "tcp://127.0.0.1:1"], "not allowed with"),
])
def test_the_command_says_what_it_takes(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command_line.main(argv)
    assert left.value.code == 2
    assert words in capsys.readouterr().err


PROGRAM = """
import signal
import sys
from demos.experiments import __main__ as command, records
from demos.experiments.sweep import grid
from tests.demos import settings

class Waiting:
    run = settings.waits
    points = staticmethod(lambda: grid(n=range(6), folder=[sys.argv[1]]))

records.EXPERIMENTS["waiting"] = Waiting
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background may ignore it
    sys.exit(command.main(["--run", "waiting", "--records", sys.argv[1], *sys.argv[2:]]))
"""


def wait_for(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Until it is true; an error if it takes very long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]], ids=["here", "processes"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_is_gone_on_with(tmp_path: Path, workers: list[str], how: signal.Signals) -> None:
    program, file = tmp_path / "program.py", tmp_path / "waiting.jsonl"
    program.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(program), str(tmp_path), *workers], stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True) as process:
        try:
            wait_for(lambda: (tmp_path / "2.begun").exists() and file.exists() and {0, 1} <= set(squares(file)))
            if how == signal.SIGINT:
                os.killpg(process.pid, how)  # as a terminal does
                said = process.communicate(timeout=120)[1]
                assert process.returncode == 130
                assert " of 6 settings have a record; the same sweep goes on with the others" in said
                assert str(file) in said.splitlines()[-1]
                assert "Traceback" not in said
        finally:
            process.kill()
    (tmp_path / "go").touch()
    done = squares(file)
    assert 2 not in done
    assert len(sweep.sweep(waits, grid(n=range(6), folder=[str(tmp_path)]), file).records) == 6
    assert squares(file)[: len(done)] == done
    assert sorted(squares(file)) == list(range(6))


@pytest.mark.parametrize("module", [journal, processes, sweep, settings])
def test_examples_in_docstrings_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
