"""`kill -9` of the real command as it imports: nothing acknowledged is lost, and the next run finishes.

Kills between any two steps that an import takes on files are in `tests/crash`.
"""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core.library import Library
from core.verify import verify
from tests.e2e.conftest import PASSPHRASE, Safelight, quick

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        # Every tenth is the same photo as the one before, under another name.
        serial = number - 1 if number % 10 == 9 else number
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2024:{serial % 5 + 1:02}:03 04:05:{serial:02}"
        image = Image.new("RGB", (80, 60), (serial * 3, 40, 200))
        image.save(folder / f"IMG_{number:03}.jpg", exif=exif)
    return folder


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Kill a command; return the names of the files that it had said were added."""
    process.kill()
    lines = process.communicate()[0].splitlines()
    return [added(line) for line in lines if line.endswith("}") and '"added"' in line]


def added(line: str) -> str:
    event = json.loads(line)
    return str(event["id"]) if event["event"] == "added" else ""


@pytest.mark.scenario(12, "kill -9 between any two steps")
def test_an_import_that_is_killed_again_and_again_ends_in_the_same_library(safelight: Safelight, photos: Path) -> None:
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    unique = {name: data for name, data in before.items() if not name.endswith("9.jpg")}
    safelight.here("init", "--yes")
    quick(safelight)
    arguments = ("import", photos, "--no-labels", "--album", "All", "--move", "--json")

    process = safelight.start(*arguments)
    while process.poll() is None and not any(path.is_file() for path in (safelight.library / "blobs").rglob("*")):
        time.sleep(0.001)  # the condition is another process's
    acknowledged = kill(process)

    process = safelight.start(*arguments)
    assert process.stdout is not None
    for line in process.stdout:
        if '"added"' in line:
            acknowledged.append(added(line))
            break
    acknowledged += kill(process)

    done = safelight.json(*arguments)[-1]
    assert done["failed"] == 0
    assert list(photos.iterdir()) == []
    with Library.open(safelight.library, Library.unlock(safelight.library, PASSPHRASE.encode())) as library:
        assert library.alarms == []
        assert verify(library, deep=True).problems == []
        held = {}
        for photo in library.catalog.search():
            copies = {copy.role: copy for copy in library.catalog.copies(photo.pid)}
            assert set(copies) == {"original", "preview"}
            assert library.catalog.thumbnail(photo.pid) is not None
            assert photo.albums == ("All",)
            assert photo.filename is not None
            held[photo.filename] = library.blobs.read(copies["original"].blob_id, copies["original"].key)
        assert held == unique
        assert {name for name in acknowledged if name} <= {pid.hex() for pid in library.catalog.pids()}
