"""The runtime that runs models reports to nobody, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_SUPPRESSING = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")
_RUN = """
import sys
from ml.builtin import builtin_folder
from ml.pack import Pack
from ml.session import Classifier
from PIL import Image
Classifier(Pack.open(builtin_folder())).classify([Image.new("RGB", (64, 64), "teal")])
assert "onnxruntime" in sys.modules
"""


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows the runtime writes to the system's own event log")
def test_a_model_that_ran_left_no_identifier_and_no_report_to_be_sent(tmp_path: Path) -> None:
    """As on a user's machine: where the runtime sees that it is tested, it is quiet by itself."""
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    for folder in folders.values():
        folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in _SUPPRESSING}
    environment |= {name: str(folder) for name, folder in folders.items()}
    subprocess.run([sys.executable, "-c", _RUN], env=environment, check=True)
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path not in folders.values()]
    assert left == []
