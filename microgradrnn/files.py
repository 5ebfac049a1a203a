"""Files that are whole at every moment, and a lock that says who writes one.

A file is written beside its place under a name that nobody else has, forced to the disk, and then put in its place in
one go: whenever the program or the machine stops, either the old file is there or the new one, whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # everything else
    msvcrt = None  # type: ignore[assignment]

listeners: list[Callable[[Path], object]] = []  # each is called with the path of every file that was written


class DamagedFileError(ValueError):
    """A file that is not what was written, or not of this kind. Nothing was loaded from it."""


# ------------------------------------------------------------------------------------------------ whole files
def write_whole(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file so that at any moment either the old one is there or the new one.

    A symbolic link stays one, and the file that it points to is replaced; other names of an old file (hard links) keep
    the old content. Text is written as UTF-8, with the line ends that it has.

    Returns:
        The path.

    Raises:
        FileNotFoundError: if there is no such folder, or the path is a link to a file that is not there.
        OSError: if the file cannot be written. An older file is then still there, and nothing is left beside it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(f"{folder}/note.txt", "whole").read_text()
    'whole'
    """
    raw = content.encode() if isinstance(content, str) else content
    place = place_of(path)
    if place.exists() and not place.is_file():  # a pipe or a device, which nothing may replace
        place.write_bytes(raw)
    else:
        replace(place, raw)
    for told in listeners:
        told(Path(path))
    return Path(path)


def replace(place: Path, raw: bytes) -> None:
    """Write beside the place, then rename."""
    beside = place.with_name(f"{beginning(place)}{secrets.token_hex(8)}.tmp")
    try:
        with open(beside, "xb") as file:  # x: a new file, never one that is there, nor what a link points to
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            shutil.copymode(place, beside)
        os.replace(beside, place)
    except BaseException:  # Ctrl-C too
        beside.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the new name must reach the disk too; Windows sees to it by itself
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """The content of a file.

    Raises:
        DamagedFileError: if the path is a folder, or anything else that is no plain file.
        OSError: if it cannot be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise DamagedFileError(f"{path}: {'a folder' if path.is_dir() else 'a pipe or a device'}, not a file")
    return path.read_bytes()


def place_of(path: str | os.PathLike[str]) -> Path:
    """Where the file itself is or will be, links followed."""
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(f"{path} is a link to {os.readlink(path)}, which is not there; remove the link, or "
                                "bring the file back")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, not a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first, with mkdir(parents=True)")
    plain = path.exists() and not path.is_file()  # the place of a pipe has no name of its own
    return path if plain else path.resolve()


def beginning(place: Path) -> str:
    """How the names of all that is beside a file begin. It is short, because names of files are."""
    return f".{place.name[:40]}."


# ------------------------------------------------------------------------------------------------ one writer
HELD: set[Path] = set()  # what this process holds: a lock of the system is between processes, not between threads
GUARD = threading.Lock()


@contextmanager
def held(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a file, so that nobody else who asks can hold it.

    The lock is the system's, on an empty file beside it, ``.NAME.lock``. It ends with the process, however that ends:
    the empty file that a killed process leaves behind stops nobody. What it had half written is removed.

    Raises:
        BlockingIOError: if another process or thread holds it.
        FileNotFoundError: as `write_whole`.

    Warns:
        RuntimeWarning: if the system or the disk has no locks, so that nothing is checked between processes.
    """
    place = place_of(path)
    with GUARD:
        if place in HELD:
            raise in_use(path)
        HELD.add(place)
    beside = place.with_name(f"{beginning(place)}lock")
    try:
        lock = locked(beside, path)
        try:
            for left in place.parent.iterdir():
                if left.name.startswith(beginning(place)) and left.name.endswith(".tmp"):
                    left.unlink(missing_ok=True)
            yield
        finally:
            with suppress(PermissionError):  # Windows removes no open file; it may stay
                beside.unlink(missing_ok=True)
            os.close(lock)
    finally:
        HELD.discard(place)


def locked(beside: Path, path: str | os.PathLike[str]) -> int:
    """The lock's file, opened and locked."""
    while True:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            take(lock)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                os.close(lock)
                raise in_use(path) from None
            warnings.warn(f"{path}: there are no locks here ({error}); see to it that only one run writes this file",
                          RuntimeWarning, stacklevel=4)
            return lock
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), beside.stat()):
                return lock
        os.close(lock)  # its last holder removed it just now: take the new one


def take(lock: int) -> None:
    """Lock an open file, or raise OSError at once."""
    if fcntl is not None:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
    else:
        raise OSError(errno.ENOLCK, "Python has neither fcntl nor msvcrt")


def in_use(path: str | os.PathLike[str]) -> BlockingIOError:
    """What is said to the second who comes."""
    return BlockingIOError(f"{path} is in use: another run writes it. Wait until it ends, or give this run "
                           "a file of its own")
