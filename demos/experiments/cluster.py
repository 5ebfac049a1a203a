"""An executor whose calls run on the workers of a Dask cluster.

On one machine of the cluster, `dask scheduler` prints its address; on each, `dask worker ADDRESS` works for it. Every
machine needs this repository and the same packages (`pip install -e ".[cluster]"`), else numbers may differ or fail.
A worker that dies takes nothing with it: Dask starts it again, and runs its settings on another. A setting whose
workers died four times is given up, with the error `KilledWorker`, as may be one that waited on the same workers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from demos.experiments.sweep import say
from demos.lesson import TroubleError


@contextmanager
def cluster(address: str, seconds: float = 10.0) -> Iterator[Executor]:
    """An executor for the scheduler at an address, ``tcp://HOST:PORT``.

    Raises:
        TroubleError: if Dask is not installed, or nothing answers there for so many seconds.
    """
    try:
        from distributed import Client
    except ImportError:
        raise TroubleError('a cluster needs Dask: pip install -e ".[cluster]"') from None
    try:
        client = Client(address, timeout=seconds, set_as_default=False)
    except (OSError, ValueError) as error:
        raise TroubleError(f"no Dask scheduler answers at {address} ({error}); `dask scheduler` starts one, and prints "
                           "its address") from None
    done = threading.Event()
    watching = threading.Thread(target=watch, args=(client, address, done), daemon=True)
    watching.start()
    try:
        with client:
            yield client.get_executor(pure=False)  # a pure call that failed would not be called again
    finally:
        done.set()


def watch(client: Any, address: str, done: threading.Event, seconds: float = 30.0) -> None:
    """Say it when the cluster has no workers, for then a sweep waits. It may be that some are still to come."""
    while True:
        try:
            alone = not client.nthreads()
        except (OSError, RuntimeError, TimeoutError):  # the scheduler or the client is gone, and the sweep stops
            return
        if alone:
            say(f"{address} has no workers: `dask worker {address}` starts some, Ctrl-C stops here")
        if done.wait(seconds):
            return
