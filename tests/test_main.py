"""``python -m microgradrnn`` tells what is there and where to begin; all of it is true."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from microgradrnn import __main__ as front
from microgradrnn import __version__

ROOT = Path(__file__).parent.parent
NOT_FOR_USERS = {"demo", "cluster", "docs", "test", "browser", "bench", "dev", "dist"}
IMPORTED_AS = {"PIL": "pillow", "resvg_py": "resvg-py"}


def test_the_extras_are_those_of_setup_cfg() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    assert set(front.EXTRAS) == set(extras) - NOT_FOR_USERS
    for name, extra in front.EXTRAS.items():
        packages = set(re.findall(r"^[\w-]+(?=>=)", extras[name], re.MULTILINE))
        for other in re.findall(r"%\((\w+)\)s", extras[name]):
            packages |= set(re.findall(r"^[\w-]+(?=>=)", extras[other], re.MULTILINE))
        assert {IMPORTED_AS.get(module, module) for module in extra.modules} == packages, name


def test_what_to_begin_with_exists() -> None:
    for what in front.BEGIN:
        if what.startswith("python -m "):
            assert find_spec(what.split()[2]) is not None
        else:
            assert (ROOT / what).is_file()


def test_it_says_what_is_missing_and_how_to_get_it(capsys: pytest.CaptureFixture[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "find_spec", lambda name: None if name in ("numba", "torch") else object())
    monkeypatch.setenv("PATH", "")
    assert front.main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"microgradrnn {__version__}, Python ")
    assert re.search(r'^  fast .* missing: pip install -e "\.\[fast\]"$', said, re.MULTILINE)
    assert len(re.findall(r" installed$", said, re.MULTILINE)) == len(front.EXTRAS) - 1
    assert "Not found, and not needed: PyTorch, Graphviz." in said
    assert max(map(len, said.splitlines())) <= 110


def test_an_installed_copy_names_the_package(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                             tmp_path: Path) -> None:
    monkeypatch.setattr(front, "HERE", tmp_path)
    monkeypatch.setattr(front, "find_spec", lambda name: None)
    front.main([])
    said = capsys.readouterr().out
    assert 'pip install "microgradrnn[plots]"' in said
    assert "(demos and docs are in the repository)" in said


def test_it_runs_as_a_module_and_loads_nothing_heavy() -> None:
    program = ("import sys, runpy\n"
               "try: runpy.run_module('microgradrnn', run_name='__main__')\n"
               "except SystemExit: print([m for m in ('viz', 'torch', 'matplotlib', 'numba') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    version = subprocess.run([sys.executable, "-m", "microgradrnn", "--version"], cwd=ROOT, capture_output=True,
                             text=True, check=True)
    assert version.stdout == f"{__version__}\n"
