"""A file of records, one line of JSON each, that may lose its writer at any moment.

A record is on the disk once `append` has returned. A process that is killed while it writes leaves at most the
beginning of one line at the end of the file: `read_lines` leaves it out, and `repair` removes it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from microgradrnn import files


def read_lines(file: Path) -> list[dict[str, Any]]:
    """All whole records of a file; none if there is no file.

    Raises:
        microgradrnn.files.DamagedFileError: if a line is no record, nor at the end of the file the beginning of one.
    """
    raw = file.read_bytes() if file.exists() else b""
    *whole, rest = raw.split(b"\n")
    records = [record_of(line, file, n) for n, line in enumerate(whole, 1) if line.strip()]
    return records if half_written(rest) else [*records, record_of(rest, file, len(whole) + 1)]


def half_written(rest: bytes) -> bool:
    """Whether a last line may be the beginning of a record, or what some disks leave of it: bytes of zero."""
    return parsed(rest) is None and (not rest.strip(b"\0") or rest[:2] in (b"{", b'{"'))


def record_of(line: bytes, file: Path, number: int) -> dict[str, Any]:
    """The record in one line."""
    record = parsed(line)
    if record is None:
        raise files.DamagedFileError(f"{file}, line {number} is no record: {line[:60]!r}. Correct it or delete it; its "
                                     "setting is then measured again")
    return record


def parsed(line: bytes) -> dict[str, Any] | None:
    """A line as a record, or None if it is none."""
    try:
        record = json.loads(line)
    except ValueError:  # no JSON, or no UTF-8
        return None
    return record if isinstance(record, dict) else None


def repair(file: Path) -> bytes:
    """Make the file end with a whole line. Returns what was removed: the beginning of a record, or nothing.

    Raises:
        microgradrnn.files.DamagedFileError: if the file holds something else. It is then left as it is.
    """
    read_lines(file)
    raw = file.read_bytes() if file.exists() else b""
    rest = raw.rpartition(b"\n")[2]
    if not rest:
        return b""
    if half_written(rest):
        os.truncate(file, len(raw) - len(rest))
        return rest
    with file.open("ab") as out:  # the record is whole, only the end of its line is missing
        out.write(b"\n")
    return b""


def append(file: Path, record: dict[str, Any]) -> None:
    """Add one record. It is on the disk when this returns."""
    with file.open("ab") as out:
        out.write(json.dumps(record).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    for told in files.listeners:
        told(file)
