"""The build of the distributions removes nothing but its own. (`make dist` builds and tries them.)"""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def dist() -> Any:
    """The module .ci/dist.py."""
    spec = spec_from_file_location("dist", ROOT / ".ci" / "dist.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_distributions_of_earlier_builds_are_removed(tmp_path: Path, dist: Any) -> None:
    for name in ("microgradrnn-0.1.0.tar.gz", "microgradrnn-0.1.0-py3-none-any.whl"):
        (tmp_path / name).write_text("")
    dist.emptied(tmp_path)
    assert list(tmp_path.iterdir()) == []
    dist.emptied(tmp_path / "nowhere")


@pytest.mark.parametrize("stray", ["notes.txt", "other-1.0-py3-none-any.whl", "microgradrnn-1.whl/deeper", "a/b"])
def test_a_folder_that_holds_anything_else_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dist: Any, stray: str
) -> None:
    monkeypatch.setattr(dist, "run", lambda *words, cwd: pytest.fail("it was built"))
    for path in (tmp_path / "microgradrnn-0.1.0.tar.gz", tmp_path / stray):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    with pytest.raises(SystemExit, match=f"holds {stray.split('/')[0]}"):
        dist.built(tmp_path)
    assert (tmp_path / "microgradrnn-0.1.0.tar.gz").is_file()
    assert (tmp_path / stray).is_file()
