"""An executor that gives every call a process of its own.

In a `ProcessPoolExecutor` the processes are shared: if one dies, all calls that wait are lost, and nobody knows which
call it was. Here a process that dies takes one call with it, and the others go on. Starting a process costs about a
second, so this is for calls that take longer.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads that it does not copy


class ProcessDiedError(RuntimeError):
    """A process ended before it had an answer."""


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Ctrl-C in a terminal goes to all processes; one that is started here never sees it, not even while it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Processes(ThreadPoolExecutor):
    """Calls in processes, at most `workers` at one time. The function must be one that a module holds.

    As a ``with`` block it waits for all calls. If the block is left by an exception, such as Ctrl-C, the processes that
    still run are ended.

    >>> with Processes(2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.running: set[Any] = set()
        self.ended = False
        self.lock = threading.Lock()

    def submit(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call it in a new process, as soon as fewer than `workers` run."""
        return super().submit(self.in_a_process, f, args, kwargs)

    def in_a_process(self, f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Start the process, wait for its answer, and return it or raise it."""
        ours, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=answer, args=(theirs, f, args, kwargs), daemon=True)
        with self.lock:
            if self.ended:
                raise CancelledError
            with without_interrupts():
                process.start()
            self.running.add(process)
        theirs.close()  # else the pipe would stay open when the process dies
        try:
            result, error = ours.recv()
        except EOFError:
            process.join()
            raise ProcessDiedError(f"its process ended without an answer, with exit code {process.exitcode}") from None
        finally:
            ours.close()
            process.join()
            with self.lock:  # `__exit__` may be going through them
                self.running.discard(process)
        if error is not None:
            raise error
        return result

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> bool | None:
        if error is not None:
            with self.lock:
                self.ended = True
                for process in self.running:
                    process.terminate()
            self.shutdown(wait=False, cancel_futures=True)
        return super().__exit__(kind, error, trace)


def answer(pipe: Connection, f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """What the process does. Ctrl-C reaches all processes of a terminal; the first one decides for this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe.send((f(*args, **kwargs), None))
    except Exception as error:
        pipe.send((None, error))
