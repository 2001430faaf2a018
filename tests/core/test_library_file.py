"""`library.toml`: every change to it is named, and costs over the ceiling take no memory."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from core.errors import IntegrityAlarm, KdfRefused, LibraryFileDamaged, NotALibrary, UnknownFormat, WrongPassphrase
from core.library_file import LibraryFile
from crypto import kdf
from crypto.keys import DeviceSecrets

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"correct horse"


@pytest.fixture(scope="module")
def secrets() -> DeviceSecrets:
    return DeviceSecrets.generate()


@pytest.fixture
def path(tmp_path: Path, secrets: DeviceSecrets) -> Path:
    path = tmp_path / "library.toml"
    LibraryFile.make(b"L" * 32, secrets, PASSPHRASE, kdf.new_parameters(*kdf.FLOOR)).write(path)
    return path


def test_it_opens_with_its_passphrase_only(path: Path, secrets: DeviceSecrets) -> None:
    assert LibraryFile.read(path).unlock(PASSPHRASE) == secrets
    with pytest.raises(WrongPassphrase) as wrong:
        LibraryFile.read(path).unlock(b"battery staple")
    assert wrong.value.hint
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_holds_nothing_in_the_clear_but_its_fields(path: Path, secrets: DeviceSecrets) -> None:
    text = path.read_text()
    assert secrets.signing_seed.hex() not in text
    assert secrets.exchange_secret.hex() not in text
    assert PASSPHRASE.decode() not in text


@pytest.mark.scenario(1, "in a file of the library")
def test_any_changed_character_is_damage_or_a_wrong_passphrase_never_an_opened_library(path: Path) -> None:
    text = path.read_bytes()
    start = text.index(b"format")
    for index in range(start, len(text), 7):
        changed = bytearray(text)
        changed[index] ^= 2
        path.write_bytes(changed)
        with pytest.raises((IntegrityAlarm, UnknownFormat)):
            LibraryFile.read(path)


@pytest.mark.parametrize("length", [0, 1, 100, 300, -2])
def test_a_cut_file_is_damaged(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(LibraryFileDamaged):
        LibraryFile.read(path)


def test_a_change_with_a_right_checksum_is_found_after_unlocking(path: Path) -> None:
    """Whoever rewrites the file can count its checksum, but not its seal."""
    text = path.read_text().replace("4c" * 32, "4d" * 32)
    path.write_text(_with_checksum(text))
    with pytest.raises(LibraryFileDamaged, match="does not hold this device's keys"):
        LibraryFile.read(path).unlock(PASSPHRASE)


@pytest.mark.parametrize(
    "line",
    ["memlimit = 1099511627776", "memlimit = 1073741825", "opslimit = 1000000", "memlimit = 8192", "opslimit = 0"],
)
def test_costs_outside_the_bounds_are_refused_before_any_memory_is_taken(path: Path, line: str) -> None:
    name = line.split(" ", maxsplit=1)[0]
    path.write_text(_with_checksum(re.sub(rf"{name} = \d+", line, path.read_text())))
    tracemalloc.start()
    try:
        with pytest.raises(KdfRefused) as refused:
            LibraryFile.read(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(refused.value, IntegrityAlarm)


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        (r'library_id = "\w+"\n', "", "library.toml: the field library_id is missing"),
        (r'salt = "\w+"\n', "", "library.toml: the field kdf.salt is missing"),
        (r"\[secrets\]\n.*\n", "", "library.toml: the field secrets is missing"),
        (r"opslimit = \d+", 'opslimit = "1"', "library.toml: the field kdf.opslimit is not of the right type"),
        ("format = 1", "format = true", "library.toml: the field format is not of the right type"),
    ],
)
def test_a_field_that_is_missing_or_of_another_type_is_named(path: Path, line: str, instead: str, said: str) -> None:
    text = re.sub(line, instead, path.read_text())
    path.write_text(text)
    with pytest.raises(LibraryFileDamaged) as damaged:
        LibraryFile.read(path)
    assert str(damaged.value) == said


def test_a_newer_format_asks_for_an_update(path: Path) -> None:
    path.write_text(path.read_text().replace("format = 1", "format = 3"))
    with pytest.raises(UnknownFormat) as unknown:
        LibraryFile.read(path)
    assert "pdate" in str(unknown.value.hint)


def test_no_file_is_no_library(tmp_path: Path) -> None:
    with pytest.raises(NotALibrary):
        LibraryFile.read(tmp_path / "library.toml")
    with pytest.raises(NotALibrary):
        LibraryFile.read(tmp_path / "nowhere" / "library.toml")


def test_a_huge_file_is_not_parsed(path: Path) -> None:
    longer = path.read_bytes() + b"#" * 1_000_000
    for data in (b"x = " + b"[" * 1_000_000, longer):
        path.write_bytes(data)
        with pytest.raises(LibraryFileDamaged):
            LibraryFile.read(path)


def _with_checksum(text: str) -> str:
    statement = text[text.index("format") : text.index("\n[check]")]
    seal = re.search(r'seal = "([0-9a-f]+)"', text)
    assert seal is not None
    checksum = hashlib.blake2b(statement.encode() + bytes.fromhex(seal[1]), digest_size=32).hexdigest()
    return re.sub(r'checksum = "[0-9a-f]+"', f'checksum = "{checksum}"', text)


def test_a_successor_needs_no_passphrase_and_stays_with_a_new_one(path: Path, secrets: DeviceSecrets) -> None:
    first, second = DeviceSecrets.generate(), DeviceSecrets.generate()
    file = LibraryFile.read(path)
    assert file.resolve(secrets) == [secrets]
    file.with_successors(secrets, [first, second]).write(path)
    assert "format = 2" in path.read_text()
    assert LibraryFile.read(path).resolve(secrets) == [secrets, first, second]
    LibraryFile.read(path).rewrapped(secrets, b"new", kdf.new_parameters(*kdf.FLOOR)).write(path)
    file = LibraryFile.read(path)
    assert file.resolve(file.unlock(b"new")) == [secrets, first, second]
    for one in (first, second):
        assert one.signing_seed.hex() not in path.read_text()
        with pytest.raises(LibraryFileDamaged):
            file.resolve(one)


def test_a_successor_of_another_library_or_in_part_is_damage(path: Path, secrets: DeviceSecrets) -> None:
    new = DeviceSecrets.generate()
    costs = kdf.new_parameters(*kdf.FLOOR)
    elsewhere = LibraryFile.make(b"M" * 32, secrets, PASSPHRASE, costs).with_successors(secrets, [new])
    file = LibraryFile.read(path)
    for sealed in (elsewhere.successors[0], elsewhere.successors[0][:-1], b""):
        with pytest.raises(LibraryFileDamaged):
            dataclasses.replace(file, successors=(sealed,)).sealed_by(secrets).resolve(secrets)
    with_one = file.with_successors(secrets, [new])
    with pytest.raises(LibraryFileDamaged):
        dataclasses.replace(with_one, successors=()).resolve(secrets)


def test_any_changed_character_of_a_successor_is_named(path: Path, secrets: DeviceSecrets) -> None:
    LibraryFile.read(path).with_successors(secrets, [DeviceSecrets.generate()]).write(path)
    test_any_changed_character_is_damage_or_a_wrong_passphrase_never_an_opened_library(path)
