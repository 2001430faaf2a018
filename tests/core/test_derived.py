"""Derived files: unreadable to others, ignored when damaged, never replaced by one that includes less."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from core.derived import DerivedFiles
from crypto.keys import DeviceSecrets

if TYPE_CHECKING:
    from pathlib import Path

    from core.log import Vector

DEVICE, OTHER = b"D" * 32, b"E" * 32


@pytest.fixture(scope="module")
def secrets() -> DeviceSecrets:
    return DeviceSecrets.generate()


@pytest.fixture
def derived(tmp_path: Path, secrets: DeviceSecrets) -> DerivedFiles:
    return DerivedFiles(tmp_path / "derived", secrets)


def vector(seq: int, other: int = 0) -> Vector:
    known = {DEVICE: (seq, bytes([seq]) * 32)}
    return known if not other else {**known, OTHER: (other, bytes([other]) * 32)}


def saved_file(tmp_path: Path) -> Path:
    return next(path for path in (tmp_path / "derived").iterdir() if path.name != ".lock")


def test_what_is_saved_comes_back_with_its_vector(derived: DerivedFiles) -> None:
    assert derived.load("catalog", "1") is None
    assert derived.save("catalog", "1", vector(3, 7), b"content")
    loaded = derived.load("catalog", "1")
    assert loaded is not None
    assert (loaded.vector, loaded.content) == (vector(3, 7), b"content")


def test_nothing_on_disk_says_what_it_is(derived: DerivedFiles, tmp_path: Path) -> None:
    derived.save("photos:2024-05", "1", vector(1), b"a beach in Lisbon" * 50)
    path = saved_file(tmp_path)
    data = path.read_bytes()
    assert b"2024-05" not in data
    assert b"Lisbon" not in data
    assert "2024" not in path.name
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_device_reads_nothing_and_finds_no_names(derived: DerivedFiles, tmp_path: Path) -> None:
    derived.save("catalog", "1", vector(1), b"content")
    stranger = DerivedFiles(tmp_path / "derived", DeviceSecrets.generate())
    assert stranger.load("catalog", "1") is None
    path = saved_file(tmp_path)
    path.rename(stranger._path("catalog"))
    assert stranger.load("catalog", "1") is None


@pytest.mark.parametrize("position", [0, 3, 7, 20, 60, 200, -1])
def test_a_damaged_file_is_no_file(derived: DerivedFiles, tmp_path: Path, position: int) -> None:
    derived.save("catalog", "1", vector(1), b"content" * 100)
    path = saved_file(tmp_path)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[position] ^= 0x40
    path.write_bytes(changed)
    assert derived.load("catalog", "1") is None
    path.write_bytes(whole[:position])
    assert derived.load("catalog", "1") is None
    assert derived.save("catalog", "1", vector(1), b"made again")
    assert derived.load("catalog", "1") is not None


def test_files_cannot_stand_in_for_each_other(derived: DerivedFiles) -> None:
    derived.save("photos:2024-05", "1", vector(1), b"May")
    derived.save("photos:2024-06", "1", vector(1), b"June")
    derived._path("photos:2024-05").write_bytes(derived._path("photos:2024-06").read_bytes())
    assert derived.load("photos:2024-05", "1") is None


def test_heads_and_contents_cannot_be_mixed(derived: DerivedFiles, tmp_path: Path) -> None:
    derived.save("catalog", "1", vector(1), b"old content")
    old = saved_file(tmp_path).read_bytes()
    derived.save("catalog", "1", vector(9), b"new content")
    new = saved_file(tmp_path).read_bytes()
    head_length = 9 + int.from_bytes(new[5:9], "big")
    saved_file(tmp_path).write_bytes(new[:head_length] + old[head_length:])
    assert derived.load("catalog", "1") is None


def test_what_was_made_in_another_way_is_ignored_and_replaced(derived: DerivedFiles) -> None:
    derived.save("catalog", "1", vector(9), b"labels by the old rules")
    assert derived.load("catalog", "2") is None
    assert derived.save("catalog", "2", vector(2), b"labels by the new rules")


def test_a_file_is_never_replaced_by_one_that_includes_less(derived: DerivedFiles) -> None:
    assert derived.save("catalog", "1", vector(5, 2), b"five")
    assert not derived.save("catalog", "1", vector(4, 2), b"four")
    assert not derived.save("catalog", "1", vector(6), b"without the other device")
    assert not derived.save("catalog", "1", vector(9, 1), b"less of the other device")
    loaded = derived.load("catalog", "1")
    assert loaded is not None
    assert loaded.content == b"five"
    assert derived.save("catalog", "1", vector(5, 2), b"the same again")
    assert derived.save("catalog", "1", vector(5, 3), b"more")


def test_of_many_writers_the_one_that_includes_most_wins(derived: DerivedFiles) -> None:
    threads = [
        threading.Thread(target=derived.save, args=("catalog", "1", vector(seq), str(seq).encode()))
        for seq in (3, 9, 1, 20, 7, 15, 2, 11)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = derived.load("catalog", "1")
    assert loaded is not None
    assert loaded.content == b"20"


def test_all_can_be_removed(derived: DerivedFiles) -> None:
    derived.save("catalog", "1", vector(1), b"content")
    derived.remove_all()
    assert derived.load("catalog", "1") is None
