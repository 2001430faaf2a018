"""Four processes on one library at once, and processes that are killed: nothing acknowledged is ever lost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from core import verify
from core.library import Library
from crdt.operations import Put
from crdt.records import PhotoFacts
from crypto import kdf
from tests.e2e.at_once import Edit, Import, Search, Working

if TYPE_CHECKING:
    from pathlib import Path

    from crypto.keys import DeviceSecrets

FACTS = PhotoFacts(width=4, height=3, size=2, mime="image/jpeg", wall_clock="2024-05-01T12:00:00").pack()
PIDS = [bytes([number]) * 16 for number in range(10)]


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
    search = Working(root, secrets, Search(stop))
    work = [
        Working(root, secrets, Import(one)),
        Working(root, secrets, Import(two)),
        Working(root, secrets, Edit(PIDS, 40, "lake")),
    ]
    first, second, edited = [process.end() for process in work]
    stop.touch()
    found = search.end()
    (added_first, failed_first), (added_second, failed_second) = first[1], second[1]
    assert failed_first == failed_second == 0
    assert 50 <= added_first + added_second <= 58
    assert len(edited[1:]) == 40
    with Library.open(root, secrets) as library:
        assert library.alarms == []
        assert library.catalog.count("") == 60
        assert found[1] <= 60
        labels = {key for key, _ in library.replica_items("photos:2024-05", "label")}
        assert labels == {f"{PIDS[number % 10].hex()}/lake {number}" for number in range(40)}
        report = verify.verify(library, deep=True)
        assert report.problems == []
        assert report.envelopes == library.log.head(library.device_id)[0]


def test_four_writers_at_once_use_every_number_once(root: Path, secrets: DeviceSecrets) -> None:
    writers = [Working(root, secrets, Edit(PIDS, 25, f"writer {number}")) for number in range(4)]
    numbers = [number for writer in writers for number in writer.end()[1:]]
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
    writer = Working(root, secrets, Edit(PIDS, 10_000, "killed"))
    assert writer.told() == "open"
    last = 2
    for _ in range(acknowledged):
        last = writer.told()
    last = max([last, *writer.kill()])
    with Library.open(root, secrets) as library:
        assert library.alarms == []
        assert library.log.head(library.device_id)[0] >= last
        assert len(list(library.replica_items("photos:2024-05", "label"))) == library.log.head(library.device_id)[0] - 2
        assert verify.verify(library).problems == []
    assert len(Working(root, secrets, Edit(PIDS, 5, "after")).end()[1:]) == 5
