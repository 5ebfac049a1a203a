"""``pytest --no-skips``: what is skipped, one test or a whole file, fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ONE = "import pytest\n\ndef test_one():\n    pytest.skip('no moon today')\n\ndef test_two():\n    pass\n"
ALL = "import pytest\n\npytest.importorskip('no_such_package')\n"


@pytest.mark.parametrize(("text", "reason"), [(ONE, "no moon today"), (ALL, "no_such_package")], ids=["test", "file"])
def test_a_skip_fails_where_nothing_may_be_skipped(tmp_path: Path, text: str, reason: str) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_skipped.py").write_text(text)
    for option, status in (("--no-skips", (1, 2)), ("-rs", (0, 5))):
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", option, str(tmp_path)],
                              cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode in status, done.stdout
        assert reason in done.stdout
