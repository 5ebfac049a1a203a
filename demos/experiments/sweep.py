"""A sweep: one function at many settings, on one machine or on many, with a record on disk for every setting.

    with Processes(4) as executor:
        sweep(recall.run, grid(cell=("tanh", "lstm"), T=(20, 50), updates=(1000,), seed=range(5)), "recall.jsonl",
              executor)

The executor is anything that has `concurrent.futures`' ``submit``: a `ProcessPoolExecutor`, `Processes`, or Dask's
``Client(...).get_executor(pure=False)`` for a cluster. A record is written as soon as it is known, and a setting that
has a record is not measured again, so a sweep that was stopped, in whatever way, goes on where it stopped.

Numbers depend on the setting alone, if the function takes its random numbers from a seed in the setting. Matrix
products use one thread: how many threads share a product changes its rounding, and training can amplify that.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import closing, nullcontext
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from demos.experiments.journal import append, read_lines, repair
from demos.experiments.processes import Processes
from demos.lesson import progress
from microgradrnn.files import held

Setting = dict[str, Any]
FAILED = "failed"  # the key under which a record says that its setting failed
SETTING = "setting"  # the key under which a line of the file says which of its names are those of the setting


class SweepStoppedError(RuntimeError):
    """The executor is gone. What was measured is on disk, and the rest can be measured with another executor."""


class Swept(NamedTuple):
    """What is known after a sweep, in the order of the settings."""

    records: list[dict[str, Any]]  # settings with what was measured
    failures: list[dict[str, Any]]  # settings with {"failed": {"type": ..., "message": ...}}


def grid(**values: Iterable[Any]) -> list[Setting]:
    """All combinations of the values, the last name running fastest.

    >>> grid(cell=("tanh", "lstm"), seed=range(2))
    [{'cell': 'tanh', 'seed': 0}, {'cell': 'tanh', 'seed': 1}, {'cell': 'lstm', 'seed': 0}, {'cell': 'lstm', 'seed': 1}]
    """
    return [dict(zip(values, choice, strict=True)) for choice in product(*values.values())]


def sweep(run: Callable[..., dict[str, Any]], settings: Iterable[Setting], file: str | Path,
          executor: Executor | None = None, *, bar: str | None = None) -> Swept:
    """Call ``run(**setting)`` for every setting that has no record in the file, and add its record.

    A setting that fails does not stop the others. Its failure is recorded, and it is tried again by the next sweep.

    Args:
        run: returns what was measured, as a dict that JSON can hold, under other names than those of the settings. JSON
            has no NaN and no infinity: return None instead. For processes it must be a function that a module holds.
        settings: what it is called with. Values are numbers, strings, None, or lists of them.
        file: lines of JSON, made if it is not there. One sweep at a time has it. A line says under ``"setting"`` which
            of its names are those of its setting; if it does not, they are those that these settings have too.
        executor: where the calls run; None is here, one after the other.
        bar: what to write before the progress bar; None shows none.

    Returns:
        The records and the failures of these settings.

    Raises:
        TypeError: if a setting is no dict of such values, or processes cannot be sent the function.
        ValueError: if there are no settings.
        BlockingIOError: if another sweep has the file.
        microgradrnn.files.DamagedFileError: if the file holds something else than records.
        SweepStoppedError: if the executor's processes or its cluster are gone.
        KeyboardInterrupt: on Ctrl-C, after what is still to be done was cancelled and it was said how to go on.

    >>> import tempfile
    >>> def run(w, T):
    ...     return {"factor": w**T}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     swept = sweep(run, grid(w=(0.5, 1.0), T=(2,)), f"{folder}/powers.jsonl")
    >>> swept.records
    [{'w': 0.5, 'T': 2, 'factor': 0.25}, {'w': 1.0, 'T': 2, 'factor': 1.0}]
    """
    settings = checked(settings)
    names = frozenset(name for setting in settings for name in setting)
    if isinstance(executor, ProcessPoolExecutor | Processes):
        need_picklable(run)
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with held(file), one_thread():
        removed = repair(file)
        if removed:
            say(f"{file}: the last line was half written, and is removed: {removed[:60]!r}")
        done = known(read_lines(file), names)
        left = [setting for setting in settings if to_do(done.get(identity(setting, names)))]
        try:
            with (nullcontext() if bar is None else progress(len(settings), bar, "setting") as watched,
                  closing(measured(run, left, names, executor)) as records):
                if watched is not None:
                    watched.update(len(settings) - len(left))
                for record in records:
                    append(file, record)
                    done[identity(record, names)] = record
                    if watched is not None:
                        watched.update()
        except KeyboardInterrupt:
            count = sum(identity(setting, names) in done for setting in settings)
            say(f"\n{file}: interrupted. {count} of {len(settings)} settings have a record; "
                "the same sweep goes on with the others")
            raise
    found = [shown(done[identity(setting, names)]) for setting in settings]
    return Swept([record for record in found if FAILED not in record], [record for record in found if FAILED in record])


# ------------------------------------------------------------------------------------------------ one setting
def record_of(run: Callable[..., dict[str, Any]], setting: Setting, names: frozenset[str]) -> dict[str, Any]:
    """Measure at one setting, wherever this is called. An error is a record too: some errors cannot be sent."""
    try:
        one_thread()  # and it stays so: another thread of this process may be measuring
        result = run(**deepcopy(setting))  # it may change a list, which other settings may share
        if not isinstance(result, dict):
            raise TypeError(f"run returned {type(result).__name__}, not a dict of what was measured")
        clash = result.keys() & {*names, FAILED, SETTING}
        if clash:
            raise ValueError(f"run returned {', '.join(sorted(clash))}, which names a setting or a failure")
        record: dict[str, Any] = json.loads(json.dumps({**setting, **result, SETTING: list(setting)}, allow_nan=False))
    except (Exception, SystemExit) as error:
        return failure(setting, error)
    return record


def failure(setting: Setting, error: BaseException) -> dict[str, Any]:
    """The record of a setting that failed."""
    try:
        message = str(error)
    except Exception as second:  # an error's own __str__ may fail
        message = f"its message cannot be made: {type(second).__name__}"
    return {**setting, FAILED: {"type": type(error).__name__, "message": message}, SETTING: list(setting)}


def measured(run: Callable[..., dict[str, Any]], settings: Sequence[Setting], names: frozenset[str],
             executor: Executor | None) -> Generator[dict[str, Any], None, None]:
    """The records of the settings, each as soon as it is known. What is not done when this is closed is cancelled."""
    if executor is None:
        yield from (record_of(run, setting, names) for setting in settings)
        return
    futures: dict[Future[dict[str, Any]], Setting] = {}
    gone: BaseException | None = None
    try:
        for setting in settings:
            futures[executor.submit(record_of, run, setting, names)] = setting
        for future in as_completed(futures):
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or isinstance(error, BrokenExecutor):
                gone = error or CancelledError()
            elif error is None:
                yield future.result()
            elif isinstance(error, Exception):
                yield failure(futures[future], error)
            else:
                raise error  # Ctrl-C reached the process
    except BrokenExecutor as error:  # before all were submitted
        gone = error
    except TypeError as error:  # Dask's, of something that cannot be sent
        raise unsendable(run, error) from None
    finally:
        for future in futures:
            future.cancel()
    if gone is not None:
        raise SweepStoppedError("a process of the executor died, or its cluster is gone. What was measured is on disk: "
                                "sweep again with a new executor. Processes(n) loses only the setting that dies"
                                ) from gone


# ------------------------------------------------------------------------------------------------ which is which
def frozen(value: Any) -> Hashable:
    """A value of JSON as something to look up: a tuple and its list are the same."""
    if isinstance(value, dict):
        return frozenset((name, frozen(part)) for name, part in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def identity(record: dict[str, Any], names: frozenset[str]) -> Hashable:
    """The setting of a record, to look it up: what it holds under the names it says, else under those of settings."""
    said = record.get(SETTING)
    own = said if isinstance(said, list) else names
    return frozen({name: value for name, value in record.items() if name in own})


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it is read: the setting and what was measured, without a word on which is which."""
    return {name: value for name, value in record.items() if name != SETTING}


def known(records: Iterable[dict[str, Any]], names: frozenset[str]) -> dict[Hashable, dict[str, Any]]:
    """One record a setting: what was measured if anything was, else the last failure."""
    found: dict[Hashable, dict[str, Any]] = {}
    for record in records:
        setting = identity(record, names)
        if to_do(found.get(setting)):
            found[setting] = record
    return found


def to_do(record: dict[str, Any] | None) -> bool:
    """Whether a setting with this record, or with none, is still to be measured."""
    return record is None or FAILED in record


# ------------------------------------------------------------------------------------------------ checks
def checked(settings: Iterable[Setting]) -> list[Setting]:
    """The settings, each once."""
    found: dict[Hashable, Setting] = {}
    for n, setting in enumerate(settings):
        if not isinstance(setting, dict) or not all(
                isinstance(name, str) and name not in (FAILED, SETTING) for name in setting):
            raise TypeError(f"setting {n} is {setting!r}; expected a dict by name, and neither {FAILED!r} nor "
                            f"{SETTING!r} is a name")
        try:
            json.dumps(setting, allow_nan=False)
            if holds_dict(list(setting.values())):
                raise TypeError("it holds a dict")
        except (TypeError, ValueError) as error:
            raise TypeError(f"setting {n}, {setting!r}, cannot be written to a file: {error}. Use numbers, strings, "
                            "None or lists of them, and let run make the rest") from None
        found.setdefault(frozen(setting), setting)
    if not found:
        raise ValueError("there are no settings to sweep over")
    return list(found.values())


def holds_dict(value: Any) -> bool:
    """Whether a value is a dict, or a list with one in it. JSON turns its keys into strings."""
    return isinstance(value, dict) or (isinstance(value, list | tuple) and any(map(holds_dict, value)))


def need_picklable(run: Callable[..., Any]) -> None:
    """Say early what processes cannot be sent."""
    try:
        pickle.dumps(run)
    except Exception as error:
        raise unsendable(run, error) from None


def unsendable(run: Callable[..., Any], error: Exception) -> TypeError:
    """What is said of a function that other processes cannot be sent."""
    return TypeError(f"other processes cannot be sent {run!r} ({error}). Define it with def at the top level of a "
                     "module, or sweep without an executor")


def one_thread() -> Any:
    """Matrix products of one thread, from now on or, as a ``with`` block, inside it."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise SystemExit('sweeps need threadpoolctl: pip install -e ".[demo]"') from None
    return threadpool_limits(1)


def say(words: str) -> None:
    """A line for whoever watches."""
    print(words, file=sys.stderr, flush=True)
