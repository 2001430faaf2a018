"""Write libraries as one version of the program makes them, to be opened by every later one.

    python -P -m tests.formats.make_fixtures v1 --without-derived
    python -P -m tests.formats.make_fixtures log-schema-1 --program SOURCE

A fixture that exists is never made anew: it is what that version wrote, and keys in it are random. `--program` names
the source tree of the program that founds and edits the library (by default this one, which also gives it a second
device, a revocation, a checkpoint and a relay); `git archive COMMIT | tar x -C SOURCE` gives such a tree. A sealed
catalog takes 180 kB, so not every fixture has one. The passphrase is that of all tests, at the lowest costs that are
allowed.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from sync_relay.server.settings import Settings
from tests.core.sync.conftest import PASSPHRASE, Home
from tests.formats.world import live, make_pictures
from tests.sync_relay.conftest import Clock
from tests.sync_relay.running_relay import Relay

FIXTURES = Path(__file__).resolve().parent / "fixtures"
_FOUND = """
import sys
from pathlib import Path
from core import edits
from core.importing.pipeline import import_paths
from core.library import Library
from crypto import kdf
root, pictures = Path(sys.argv[1]), sorted(Path(sys.argv[2]).iterdir())
costs = kdf.new_parameters(*kdf.FLOOR)
library, _ = Library.create(root, sys.argv[3].encode(), device_name="device 0", kdf=costs)
with library:
    import_paths(library, pictures, label=False, workers=1, album="Lisbon")
    dated = [photo.pid for photo in library.catalog.search("date:2024-05")]
    undated = [photo.pid for photo in library.catalog.search("-date:2024-05")]
    edits.set_caption(library, dated, "L\\u00e4utwerk, \\u99c5")
    edits.add_label(library, [*dated, *undated], "Dog")
    edits.set_rating(library, undated, 4)
    edits.set_favourite(library, undated, True)
    library.save_derived()
"""


def main() -> None:
    """Make one fixture."""
    parser = argparse.ArgumentParser(description="Write a library as this version, or an older one, makes it.")
    parser.add_argument("name")
    parser.add_argument("--program", type=Path, help="source tree of the program that makes the library")
    parser.add_argument("--without-derived", action="store_true", help="leave the derived files out")
    options = parser.parse_args()
    archive = FIXTURES / f"{options.name}.tar.xz"
    if archive.exists():
        parser.error(f"{archive.name} exists: what a version wrote stays as it is")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["SAFELIGHT_STATE_DIR"] = str(folder / "state")
        pictures = make_pictures(folder / "pictures")
        if options.program is not None:
            run(options.program, folder)
        else:
            home, relay = Home(folder), Relay(Settings(data=folder / "relay"), Clock())
            live(home, relay, pictures)
            home.close()
            relay.stop()
            home.devices[0].root.rename(folder / "library")
        if options.without_derived:
            shutil.rmtree(folder / "library" / "derived")
        pack(folder, archive)
    sys.stdout.write(f"{archive}: {archive.stat().st_size:,} bytes\n")


def run(source: Path, folder: Path) -> None:
    """Make a library with the program of another source tree."""
    arguments = [folder / "library", folder / "pictures", PASSPHRASE.decode()]
    environment = {**os.environ, "PYTHONPATH": str(source.resolve()), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-P", "-c", _FOUND, *map(str, arguments)], check=True, cwd=source, env=environment)


def pack(folder: Path, archive: Path) -> None:
    """Write what belongs to the fixture as an archive; its bytes depend on the files alone."""
    kept = [folder / name for name in ("library", "state", "relay", "pictures")]
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for path in sorted(path for root in kept for path in root.rglob("*") if path.is_file()):
            if path.name == ".lock" or path.name.endswith(("-shm", "-wal")):
                continue
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.mode, entry.size = 0o600, path.stat().st_size
            packed.addfile(entry, io.BytesIO(path.read_bytes()))


if __name__ == "__main__":
    main()
