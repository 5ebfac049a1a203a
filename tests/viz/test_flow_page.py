"""The code on docs/flow.md runs, piece after piece, and its names are those that viz offers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import viz

PAGE = (Path(__file__).parents[2] / "docs" / "flow.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    pieces = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(pieces) == 6
    for piece in pieces:
        if "import torch" in piece:
            pytest.importorskip("torch")
        exec(compile(piece, "flow.md", "exec"), names)
    for name in ("compared", "text", "map", "training", "torch", "torch_cell", "torch_flow"):
        ET.parse(tmp_path / f"{name}.svg")
    assert viz.Recorder.load(tmp_path / "training.npz").updates == [0, 5, 10, 15]


def test_every_name_on_the_page_exists() -> None:
    assert all(hasattr(viz, name) for name in re.findall(r"viz\.(\w+)", PAGE))


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([\w/.]+)\)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / target).exists(), target
