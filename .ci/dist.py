"""Build the source distribution and the wheel, check what they hold, and try each in a clean environment.

    python .ci/dist.py [FOLDER]      # dist, by default

Needs the extra `dist`, and an index of packages, for setuptools and NumPy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_BEHIND = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules")
LICENSES = {"LICENSE", "viz/web/LICENSES.txt"}
DATA = {"microgradrnn/py.typed", "microgradrnn/compiler/runtime.js", "viz/py.typed", "viz/web/explorer.js",
        "viz/web/explorer.css", "viz/web/LICENSES.txt"}
SOURCES = {"CHANGELOG.md", "README.md", "LICENSE", "setup.cfg", "pyproject.toml", "viz/web/bundle.js",
           "viz/web/package.json", "viz/web/src/page.js"}
TRIAL = """
import sys
from pathlib import Path

import numpy as np

import microgradrnn
import viz
from microgradrnn import nn, optim

for package in (microgradrnn, viz):
    assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__
net = nn.LSTM(3, 4, rng=0)
adam, x = optim.Adam(net.parameters(), lr=0.05), np.ones((6, 2, 3))


def loss():
    return ((net(x)[0][-1] - 0.5) ** 2).mean()


losses = []
for _ in range(20):
    adam.zero_grad()
    now = loss()
    now.backward()
    adam.step()
    losses.append(now.item())
assert losses[-1] < losses[0] / 2, losses
viz.draw_unrolled(loss()).save("trained.svg")
viz.explore(loss(), "explorer.html")
"""


def run(*words: str | Path, cwd: Path) -> str:
    """Run a command, and return what it printed. None of our folders is on Python's path, nor any user's packages."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONNOUSERSITE": "1"}
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=clean, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}\nended with {done.returncode}")
    return done.stdout


def emptied(folder: Path) -> None:
    """Remove the distributions that earlier builds left in a folder. One that holds anything else is left as it is."""
    left = list(folder.iterdir()) if folder.exists() else []
    for path in left:
        if not (path.is_file() and path.match("microgradrnn-*") and path.name.endswith((".whl", ".tar.gz"))):
            sys.exit(f"{folder} holds {path.name}, which is no distribution of microgradrnn: give another folder")
    for path in left:
        path.unlink()


def built(folder: Path) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it. Only these are in the folder afterwards."""
    emptied(folder)
    with tempfile.TemporaryDirectory() as place:  # a copy, because setuptools also reads what earlier builds left
        copy = shutil.copytree(ROOT, Path(place, "copy"), ignore=LEFT_BEHIND)
        run(sys.executable, "-m", "build", "--outdir", folder, copy, cwd=Path(place))
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=folder)
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """What must be in them, and what must not."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        said = Parser().parsestr(archive.read(metadata).decode())
    info = metadata.rpartition("/")[0]
    assert set(said.get_all("License-File", [])) == LICENSES, said.get_all("License-File")
    assert {f"{info}/licenses/{name}" for name in LICENSES} <= names
    modules = {path.relative_to(ROOT).as_posix() for package in ("microgradrnn", "viz")
               for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts}
    own = {name for name in names if not name.startswith(info)}
    assert own == modules | DATA, own ^ (modules | DATA)
    with tarfile.open(sdist) as source:
        inside = {name.partition("/")[2] for name in source.getnames()}
    missing = (modules | DATA | SOURCES) - inside
    assert not missing, missing
    strays = {name for name in inside
              if {"tests", "demos", "docs", "benchmarks", "node_modules", "__pycache__"} & set(name.split("/"))}
    assert not strays, strays


def try_out(distribution: Path) -> None:
    """Install it with nothing else in a new environment, and use it from another folder."""
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        venv.create(here / "env", with_pip=True)
        python = here / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
        run(python, "-m", "pip", "install", "--quiet", distribution, cwd=here)
        (here / "trial.py").write_text(TRIAL, encoding="utf-8")
        run(python, "trial.py", cwd=here)
        run(python, "-m", "viz", "trial.py:loss", "--flow", "--out", "net.svg", cwd=here)
        for name, words in (("trained.svg", "</svg>"), ("explorer.html", "</html>"), ("net.svg", "</svg>")):
            assert words in (here / name).read_text(encoding="utf-8")[-20:], name
        said = run(python, "-m", "microgradrnn", cwd=here)
        version = run(python, "-m", "microgradrnn", "--version", cwd=here).strip()
        assert said.startswith(f"microgradrnn {version}, ")
        assert distribution.name.startswith(f"microgradrnn-{version}"), (distribution.name, version)


def main(folder: Path) -> None:
    """Build, check, and try both."""
    sdist, wheel = built(folder)
    check_contents(sdist, wheel)
    for distribution in (sdist, wheel):
        try_out(distribution)
        print(f"{distribution.name}: {distribution.stat().st_size / 1000:.0f} kB, installs and runs")


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["dist"]).resolve())
