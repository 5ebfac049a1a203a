"""Files are whole or not there, whoever else writes and whatever links there are; one run has a checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.resume import links_kept, two_writers
from microgradrnn import files, io
from microgradrnn.files import held, write_whole
from microgradrnn.training import fit

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need rights there")
HOLDER = """
import sys, time
from microgradrnn.files import held
with held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


# ------------------------------------------------------------------------------------------------ whole files
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str
) -> None:
    path = write_whole(tmp_path / "a", "old")

    def fails(*args: Any) -> None:
        raise error

    monkeypatch.setattr(os, where, fails)
    with pytest.raises(type(error)):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_threads_that_write_one_file_leave_one_of_theirs_whole(tmp_path: Path) -> None:
    path, contents = tmp_path / "a", [bytes([k]) * 100_000 for k in range(8)]
    threads = [threading.Thread(target=lambda c=c: [write_whole(path, c) for _ in range(10)]) for c in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not path.exists() or path.read_bytes() in contents
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]


def test_the_rights_of_a_file_stay_and_a_new_one_has_those_that_open_gives(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    assert write_whole(tmp_path / "a", "1").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "a").chmod(0o600)
    assert write_whole(tmp_path / "a", "2").stat().st_mode & 0o777 == 0o600


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    assert write_whole(tmp_path / ("n" * 250), "x").read_text() == "x"
    assert write_whole(tmp_path / ("ü" * 120), "x").read_text() == "x"


@needs_links
def test_links_are_followed_and_nothing_else_is_overwritten(tmp_path: Path) -> None:
    target = write_whole(tmp_path / "target", "old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "other name").hardlink_to(target)
    (tmp_path / "bystander").write_text("mine")
    (tmp_path / "target.tmp").symlink_to("bystander")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "new"
    assert (tmp_path / "other name").read_text() == "old"
    assert (tmp_path / "bystander").read_text() == "mine"


@needs_links
def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link", "loop"):
        with pytest.raises(OSError, match=f"{name} is a link to (gone|loop), which is not there"):
            write_whole(tmp_path / name, "x")
        with pytest.raises(OSError, match="which is not there"):
            fit(lambda batch: 1.0, [0], 1, checkpoint=tmp_path / name, saved={"x": {}})
    assert sorted(os.listdir(tmp_path)) == ["link", "loop"]


@needs_links
def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    write_whole("/dev/null", "x")
    assert Path("/dev/null").is_char_device()
    program = "from microgradrnn.files import write_whole; write_whole('/dev/stdout', 'said')"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"said"


def test_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"a folder, not a file"):
        write_whole(tmp_path, "x")
    with pytest.raises(files.DamagedFileError, match=f"{tmp_path.name}: a folder, not a file"):
        io.read(tmp_path)


# ------------------------------------------------------------------------------------------------ one run at a time
def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_on_a_checkpoint_is_refused_and_a_killed_one_is_no_hindrance(tmp_path: Path) -> None:
    path, options = tmp_path / "run", {"saved": {"x": {"a": np.ones(2)}}}
    with holder(path) as process:
        for again in range(2):
            with pytest.raises(BlockingIOError, match="run is in use: another run writes it"):
                fit(lambda batch: 1.0, [0], again + 1, checkpoint=path, **options)  # type: ignore[arg-type]
        process.kill()
    assert not path.exists()
    (tmp_path / ".run.0123456789abcdef.tmp").write_text("half a file of the killed run")
    fit(lambda batch: 1.0, [0], 1, checkpoint=path, **options)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["run"]


@needs_links
def test_a_link_to_a_checkpoint_that_is_in_use_is_in_use_too(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "run", "")
    (tmp_path / "link").symlink_to(path)
    with held(path), pytest.raises(BlockingIOError), held(tmp_path / "link"):
        pass
    with held(tmp_path / "link"), pytest.raises(BlockingIOError), held(path):
        pass


def test_a_thread_is_refused_like_a_process_and_may_come_afterwards(tmp_path: Path) -> None:
    with held(tmp_path / "a"):
        with pytest.raises(BlockingIOError), held(tmp_path / "a"):
            pass
        with held(tmp_path / "b"):
            pass
        with holder(tmp_path / "b") as other:
            other.kill()
        with pytest.raises(subprocess.TimeoutExpired):  # still held: closing other files let nothing go
            subprocess.run([sys.executable, "-c", HOLDER.replace("with held(sys.argv[1]):", """
while True:
    try:
        with held(sys.argv[1]): break
    except BlockingIOError: time.sleep(0.05)
if 0:"""), str(tmp_path / "a")], timeout=2)
    with held(tmp_path / "a"):
        pass


def test_where_there_are_no_locks_a_warning_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "msvcrt", None)
    with pytest.warns(RuntimeWarning, match="there are no locks here .* only one run writes this file"), \
            held(tmp_path / "a"):
        pass


def test_two_writers_killed_at_random_lose_no_file(tmp_path: Path) -> None:
    """`python -m benchmarks resume` does it more often."""
    found = two_writers(tmp_path, rounds=4, steps=90, seed=3)
    assert (found.lost, found.equal) == (0, 4)
    assert found.refused > 0


@needs_links
def test_runs_through_links_lose_no_file(tmp_path: Path) -> None:
    assert links_kept(tmp_path, steps=12) == 0
