"""`kill -9` at any moment of an import: nothing acknowledged is lost, nothing is half there, and the next run finishes.

A process that has loaded everything forks one importer after another into the same library, and each is killed at a
random moment of its work; the batches are made small, so that the moments fall before, between and after commits.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core.library import Library
from core.verify import verify
from crypto import kdf
from crypto.keys import DeviceSecrets

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"killed in the middle of it"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks importers")

ZYGOTE = """
import os, sys
from pathlib import Path
from core.importing import committer
from core.importing.pipeline import import_paths
from core.library import Library
from crypto.keys import DeviceSecrets
import core.edits, core.importing.moving, core.labelling

committer.MAX_PHOTOS = 4
root, folder, move = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "move"
secrets = DeviceSecrets.from_bytes(bytes.fromhex(sys.argv[4]))

def tell(event):
    if event.kind != "progress":
        os.write(1, f"{event.kind} {event.pid.hex() if event.pid else '-'}\\n".encode())

for line in sys.stdin:
    child = os.fork()
    if child:
        os.write(1, f"pid {child}\\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"over {status}\\n".encode())
        continue
    with Library.open(root, secrets) as library:
        os.write(1, b"open -\\n")
        import_paths(library, [folder], label=False, workers=2, move=move, album="All", progress=tell)
    os._exit(0)
"""


class Importers:
    """Importers of one folder into one library, one at a time."""

    def __init__(self, root: Path, folder: Path, secrets: bytes, *, move: bool) -> None:
        self._zygote = subprocess.Popen(
            [sys.executable, "-P", "-c", ZYGOTE, str(root), str(folder), "move" if move else "copy", secrets.hex()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.acknowledged: set[str] = set()

    def run(self, kill_after: int | None, delay: float = 0.0) -> bool:
        """Start one; kill it `delay` seconds after its `kill_after`th line. Return whether it came to its end."""
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.write("go\n")
        pid, lines = 0, 0
        while True:
            kind, value = self._zygote.stdout.readline().split()
            if kind == "pid":
                pid = int(value)
            elif kind == "over":
                return int(value) == 0
            elif kind in {"added", "duplicate"}:
                self.acknowledged.add(value)
            assert kind != "failed"
            lines += kind != "pid"
            if lines == kill_after and pid:
                kill_after = None
                self._kill_later(pid, delay)

    def close(self) -> None:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.close()
        assert self._zygote.wait(timeout=60) == 0
        self._zygote.stdout.close()

    def _kill_later(self, pid: int, delay: float) -> None:
        # From a thread, so that the importer's lines are read meanwhile.
        timer = threading.Timer(delay, _kill, (pid,))
        timer.daemon = True
        timer.start()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(70):
        # Every tenth is the same photo as the one before, under another name.
        serial = number - 1 if number % 10 == 9 else number
        exif = Image.Exif()
        exif[0x010F] = f"Maker {serial}"
        exif.get_ifd(0x8769)[0x9003] = f"2024:{serial % 5 + 1:02}:03 04:05:{serial % 60:02}"
        image = Image.new("RGB", (80, 60), (serial * 3 % 256, 40, 200))
        image.save(folder / f"IMG_{number:03}.jpg", exif=exif)
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> tuple[Path, bytes]:
    root = tmp_path / "library"
    Library.create(root, PASSPHRASE, device_name="test", kdf=kdf.new_parameters(*kdf.FLOOR))[0].close()
    return root, Library.unlock(root, PASSPHRASE).to_bytes()


def contents(library: Library) -> dict[str, bytes]:
    """What the library holds: every photo's name and original."""
    found = {}
    for photo in library.catalog.search():
        copies = {copy.role: copy for copy in library.catalog.copies(photo.pid)}
        assert set(copies) == {"original", "preview"}
        assert library.catalog.thumbnail(photo.pid) is not None
        assert photo.albums == ("All",)
        assert photo.filename is not None
        found[photo.filename] = library.blobs.read(copies["original"].blob_id, copies["original"].key)
    return found


@pytest.mark.parametrize(("mode", "kills"), [("copy", 16), ("move", 8)])
def test_killed_imports_end_in_the_same_library(photos: Path, empty: tuple[Path, bytes], mode: str, kills: int) -> None:
    root, secrets = empty
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    unique = {name: data for name, data in before.items() if not name.endswith("9.jpg")}
    rng = random.Random(31)
    importers = Importers(root, photos, secrets, move=mode == "move")
    for _ in range(kills):
        importers.run(
            rng.choice([1, 1, 1, 2, 3, 5, 8, 13]), rng.choice([0.0, rng.uniform(0, 0.2), rng.uniform(0, 1.2)])
        )
    assert importers.run(None)
    importers.close()

    with Library.open(root, DeviceSecrets.from_bytes(secrets)) as library:
        assert library.alarms == []
        assert verify(library, deep=True).problems == []
        held = contents(library)
        assert {name: held.get(name) for name in unique} == unique
        assert len(held) == len(unique)
        assert {bytes.fromhex(pid) for pid in importers.acknowledged} <= set(library.catalog.pids())
    left = {path.name: path.read_bytes() for path in photos.iterdir()}
    assert left == (before if mode == "copy" else {})
