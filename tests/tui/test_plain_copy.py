"""Plain copies of photos: private, and gone when they are done with, or when their program is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tui import plain_copy
from tui.plain_copy import NoViewer, PlainCopy, remove_leftovers, viewer_command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders that copies are made in, for this test alone."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_copy_is_private_and_removed(scratch: Path) -> None:
    with PlainCopy(10) as copy:
        assert copy.folder.parent == scratch
        assert stat.S_IMODE(copy.folder.stat().st_mode) == 0o700
        assert remove_leftovers() == 0, "it is in use"
        assert copy.folder.exists()
    assert not any(scratch.iterdir())
    copy.remove()


def test_copies_of_a_killed_program_are_removed_and_nothing_else(scratch: Path) -> None:
    code = (
        "import os, pathlib; from tui.plain_copy import PlainCopy\n"
        "copy = PlainCopy(10); (copy.folder / 'a.jpg').write_bytes(b'photo'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    (left,) = scratch.iterdir()
    elsewhere = scratch / "kept"
    elsewhere.mkdir()
    (scratch / "safelight-open-link").symlink_to(elsewhere)
    young = scratch / "safelight-open-young"
    young.mkdir()
    foreign = scratch / "safelight-open-file"
    foreign.write_text("no folder")
    assert remove_leftovers() == 1
    assert not left.exists()
    assert elsewhere.exists()
    assert young.exists(), "somebody is about to use it"
    os.utime(young, (0, 0))
    assert remove_leftovers() == 1
    assert foreign.exists()


def test_which_program_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a b.jpg"
    assert viewer_command(path, "feh --full") == ["feh", "--full", str(path)]
    monkeypatch.setenv("SAFELIGHT_VIEWER", "imv -f")
    assert viewer_command(path) == ["imv", "-f", str(path)]
    monkeypatch.delenv("SAFELIGHT_VIEWER")
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(NoViewer, match="xdg-open"):
        viewer_command(path)
    with pytest.raises(NoViewer, match="no program"):
        plain_copy.start_viewer(["no-such-program-here", str(path)], quiet=True)
