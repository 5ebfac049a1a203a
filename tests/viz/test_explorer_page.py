"""The code on docs/explorer.md runs and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import viz

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "explorer.md").read_text(encoding="utf-8")
PIECES = re.findall(r"```python\n(.*?)```\n(?:```text\n(.*?)```\n)?", PAGE, re.DOTALL)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(PIECES) == 3
    for code, printed in PIECES:
        exec(compile(code, "explorer.md", "exec"), names)
        assert capsys.readouterr().out == printed
    for name in ("explorer", "sweep", "error"):
        assert (tmp_path / f"{name}.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_every_name_on_the_page_exists() -> None:
    assert all(hasattr(viz, name) for name in re.findall(r"`viz\.(\w+)", PAGE))


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([\w/.]+)\)", PAGE):
        assert (DOCS / target).exists(), target
