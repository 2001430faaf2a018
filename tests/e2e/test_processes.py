"""Four processes on one library at once, and processes that are killed: nothing acknowledged is ever lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core import verify
from core.library import Library
from crdt.operations import Put
from crdt.records import PhotoFacts
from crypto import kdf

if TYPE_CHECKING:
    from crypto.keys import DeviceSecrets

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FACTS = PhotoFacts(width=4, height=3, size=2, mime="image/jpeg", wall_clock="2024-05-01T12:00:00").pack()
PIDS = [bytes([number]) * 16 for number in range(10)]

PREPARE = """
import sys
from pathlib import Path
from core import edits
from core.library import Library
from crypto.keys import DeviceSecrets
root, *arguments = sys.argv[1:]
secrets = DeviceSecrets.from_bytes(bytes.fromhex(sys.stdin.readline()))
library = Library.open(Path(root), secrets)
pids = [bytes([number]) * 16 for number in range(10)]
print("open", flush=True)
"""
IMPORT = """
from core.importing.pipeline import import_paths
summary = import_paths(library, [Path(arguments[0])], label=False, workers=1)
print(summary.added, summary.duplicates, summary.failed, flush=True)
library.close()
"""
EDIT = """
for number in range(int(arguments[0])):
    receipt = edits.add_label(library, [pids[number % 10]], f"{arguments[1]} {number}")
    print(receipt.seq, flush=True)
library.close()
"""
SEARCH = """
stop, last, rounds = Path(arguments[0]), 0, 0
while not stop.exists():
    library.refresh()
    found = library.catalog.count("")
    assert found >= last, "photos went away"
    assert len(library.catalog.search("")) == found
    last, rounds = found, rounds + 1
print(last, rounds, flush=True)
library.close()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "library"
    library, _ = Library.create(root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    operations = [Put("photo", pid.hex(), FACTS) for pid in PIDS]
    library.commit({"photos:2024-05": operations}, action="import", summary="import")
    library.close()
    return root


@pytest.fixture
def secrets(root: Path) -> DeviceSecrets:
    return Library.unlock(root, b"p")


def start(script: str, root: Path, secrets: DeviceSecrets, *arguments: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PREPARE + script, str(root), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdin is not None
    process.stdin.write(secrets.to_bytes().hex() + "\n")
    process.stdin.flush()
    return process


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.split("\n")


def photos(folder: Path, names: range, seed: int) -> Path:
    folder.mkdir()
    for number in names:
        noise = Image.effect_noise((64, 48), 50 + (number * 7 + seed) % 90).convert("RGB")
        noise.putpixel((0, 0), (number % 256, seed, 0))
        noise.save(folder / f"{number:04}.jpg", quality=95)
    return folder


@pytest.mark.scenario(12, "two processes use one library")
def test_two_imports_a_search_and_edits_at_once_lose_nothing(
    root: Path, secrets: DeviceSecrets, tmp_path: Path
) -> None:
    one = photos(tmp_path / "one", range(25), 1)
    two = photos(tmp_path / "two", range(25), 2)
    for path in list(one.iterdir())[:8]:
        (two / f"same {path.name}").write_bytes(path.read_bytes())
    stop = tmp_path / "stop"
    search = start(SEARCH, root, secrets, stop)
    work = [
        start(IMPORT, root, secrets, one),
        start(IMPORT, root, secrets, two),
        start(EDIT, root, secrets, 40, "lake"),
    ]
    first, second, edited = [finish(process) for process in work]
    stop.touch()
    found = finish(search)
    added = [int(lines[1].split()[0]) for lines in (first, second)]
    failed = [int(lines[1].split()[2]) for lines in (first, second)]
    assert failed == [0, 0]
    assert 50 <= sum(added) <= 58
    assert len([line for line in edited[1:] if line]) == 40
    with Library.open(root, secrets) as library:
        assert library.alarms == []
        assert library.catalog.count("") == 60
        assert int(found[1].split()[0]) <= 60
        labels = {key for key, _ in library.replica_items("photos:2024-05", "label")}
        assert labels == {f"{PIDS[number % 10].hex()}/lake {number}" for number in range(40)}
        report = verify.verify(library, deep=True)
        assert report.problems == []
        assert report.envelopes == library.log.head(library.device_id)[0]


def test_four_writers_at_once_use_every_number_once(root: Path, secrets: DeviceSecrets) -> None:
    writers = [start(EDIT, root, secrets, 25, f"writer {number}") for number in range(4)]
    numbers = [int(line) for writer in writers for line in finish(writer)[1:] if line]
    assert len(numbers) == len(set(numbers)) == 100
    with Library.open(root, secrets) as library:
        assert library.alarms == []
        assert len(list(library.replica_items("photos:2024-05", "label"))) == 100
        assert verify.verify(library).problems == []


@pytest.mark.scenario(12, "kill -9 between any two steps")
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("acknowledged", [0, 1, 3, 9])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(
    root: Path, secrets: DeviceSecrets, acknowledged: int
) -> None:
    writer = start(EDIT, root, secrets, 10_000, "killed")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    last = 2
    for _ in range(acknowledged):
        last = int(writer.stdout.readline())
    os.kill(writer.pid, 9)
    rest = writer.communicate()[0].split("\n")
    last = max([last, *(int(line) for line in rest[:-1] if line)])
    with Library.open(root, secrets) as library:
        assert library.alarms == []
        assert library.log.head(library.device_id)[0] >= last
        assert len(list(library.replica_items("photos:2024-05", "label"))) == library.log.head(library.device_id)[0] - 2
        assert verify.verify(library).problems == []
    assert len([line for line in finish(start(EDIT, root, secrets, 5, "after"))[1:] if line]) == 5
