"""Folders of pages that are made when the site is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from microgradrnn.files import write_whole


def filled(folder: Path, wanted: Mapping[str, str], made: str) -> None:
    """Write files, and remove those that an earlier build made and this one does not.

    Files that did not change are not written, so that Sphinx does not read them again.

    Args:
        folder: where; it is made if need be.
        wanted: the texts, by the name of the file.
        made: what files of earlier builds are called, a pattern such as ``"*.rst"``. All others stay.
    """
    folder.mkdir(exist_ok=True)
    for path in folder.glob(made):
        if path.name not in wanted and path.is_file():
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text)
