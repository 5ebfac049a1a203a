"""Every command line: Ctrl-C, readers that go away, characters that the output cannot encode, and what it writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from microgradrnn.files import write_whole
from microgradrnn.terminal import command
from viz.__main__ import main as viz_main

ROOT = Path(__file__).parent.parent
# (A shell's background job, and all that it starts, is born deaf to Ctrl-C: the tests may be run as one.)
PAUSE = ("import signal, time, {module} as m; signal.signal(signal.SIGINT, signal.default_int_handler); "
         "m.{name} = lambda *a, **k: (print('ready', flush=True), time.sleep(60)); ")


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize(("module", "name", "argv"), [
    ("viz.__main__", "called", ["tests.viz.nets:own_cell"]), ("demos.adding", "run", []), ("demos.dates", "train", []),
    ("demos.tagging", "run", []), ("demos.gradient_flow", "run_cell", ["--out", "{out}"]),
    ("demos.gallery", "make", ["--docs", "{out}"]),
    ("benchmarks.__main__", "show", ["startup"]),
])
def test_ctrl_c_ends_every_command_with_one_line_and_status_130(module: str, name: str, argv: list[str],
                                                                tmp_path: Path) -> None:
    program = PAUSE.format(module=module, name=name) + "import sys; sys.exit(m.main(sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", program, *(a.format(out=tmp_path) for a in argv)], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            assert process.poll() is None
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("interrupted; written so far: ")
    assert ("rnn_graph.svg" in last) == (module == "demos.gradient_flow")


def test_all_files_that_were_written_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def main(argv: object = None) -> int:
        for name in "aba":
            write_whole(tmp_path / name, "x")
        raise KeyboardInterrupt

    for _ in range(2):
        assert main() == 130
        assert capsys.readouterr().err == f"\ninterrupted; written so far: {tmp_path / 'a'}, {tmp_path / 'b'}\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_table_is_shown_whatever_the_output_can_encode(encoding: str) -> None:
    for argv in (["demos.adding", "--steps", "2", "--length", "4", "--seeds", "1"], ["benchmarks", "lines"],
                 ["demos.adding", "--help"], ["viz", "--help"]):
        run = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, check=False,
                             env={**os.environ, "PYTHONIOENCODING": encoding})
        assert run.returncode == 0, run.stderr.decode(encoding)
        assert b"Traceback" not in run.stderr
        if argv[0] == "demos.adding" and "--help" not in argv:
            assert ("─" if encoding == "utf-8" else "???") in run.stdout.decode(encoding)
            assert b"Held-out mean squared error" in run.stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes are others there")
def test_a_reader_that_goes_away_is_no_error() -> None:
    program = "from demos import adding; import sys; sys.exit(adding.main(sys.argv[1:]))"
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run([sys.executable, "-c", program, "--steps", "1", "--length", "4", "--seeds", "1"], cwd=ROOT,
                         stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert run.returncode == 141
    assert b"Traceback" not in run.stderr
    assert b"Exception" not in run.stderr


@pytest.mark.parametrize("where", ["..:f", ".:f", ":f", ":", "", "a", "a:", "a..b:f", ".a:f", "a.:f", "::", "..py:f",
                                   "a/b:f", " :f", ".py:f", "a:b:f", "x.py.:f", "\udcff:f", "ü:f"])
def test_a_malformed_function_gets_one_sentence(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert viz_main([where]) == 2
    said = capsys.readouterr().err
    assert said.startswith("viz: ")
    assert said.count("\n") == 1
