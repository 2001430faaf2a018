"""A session leaves nothing of a photo readable: not its bytes, its name, its labels, nor what was searched for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.conftest import REPOSITORY
from tests.tui.app.conftest import Bench, make_pictures
from tests.tui.app.whole_session import readable
from tests.tui.conftest import create_library

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FOLDERS = (
    "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
    "SAFELIGHT_STATE_DIR", "SAFELIGHT_CONFIG_DIR", "SAFELIGHT_DATA_DIR", "SAFELIGHT_RUNTIME_DIR",
)  # fmt: skip
WRITTEN_TO = {"/dev/null", "/dev/tty"}


def test_a_whole_session(nowhere: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = make_pictures(tmp_path / "camera")
    assert all(readable(photo) for photo in photos.iterdir()), "what is looked for is not there to be found"
    own = tmp_path / "own"
    for name in FOLDERS:
        (own / name).mkdir(parents=True, mode=0o700)
        monkeypatch.setenv(name, str(own / name))
    create_library(nowhere.root)

    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY), PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, "-P", "-m", "tests.tui.app.whole_session", str(nowhere.root), str(photos)]
    ended = subprocess.run(command, env=environment, cwd=own, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])

    assert told["readable"] == []
    # Besides the devices of the terminal, files are written in the library and in folders that are the program's.
    elsewhere = [path for path in told["written"] if path not in WRITTEN_TO and not path.startswith(str(tmp_path))]
    assert elsewhere == []
    assert not [path for path in told["written"] if path.startswith(str(photos))], "the photos stay as they are"
    left = [path for folder in (nowhere.root, own) for path in folder.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(nowhere.root / "blobs") for path in left)
    assert [str(path) for path in left if readable(path)] == []
