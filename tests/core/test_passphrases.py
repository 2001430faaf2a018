"""Passphrases, typed or in files, mean the same wherever they are given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from core.errors import Locked
from core.passphrases import PassphraseFile, typed_passphrase

if TYPE_CHECKING:
    from pathlib import Path


def kept(path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    return PassphraseFile.read(path).passphrase


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_one_line_end_is_not_part_of_it(tmp_path: Path, ending: bytes) -> None:
    assert kept(tmp_path / "p", b" two words " + ending) == b" two words "


def test_further_line_ends_are(tmp_path: Path) -> None:
    assert kept(tmp_path / "p", b"a\nb\n\n") == b"a\nb\n"


def test_a_passphrase_is_the_same_on_every_keyboard(tmp_path: Path) -> None:
    spellings = ["caf\u00e9 au lait", "cafe\u0301 au\u00a0lait"]
    assert len({typed_passphrase(text) for text in spellings}) == 1
    assert kept(tmp_path / "p", spellings[1].encode()) == typed_passphrase(spellings[0])


def test_a_key_of_random_bytes_is_taken_as_it_is(tmp_path: Path) -> None:
    assert kept(tmp_path / "p", b"\xff\xfe\x00key") == b"\xff\xfe\x00key"


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 100_000])
def test_what_is_no_passphrase_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Locked):
        kept(tmp_path / "p", data)


def test_a_file_that_cannot_be_read_is_locked(tmp_path: Path) -> None:
    with pytest.raises(Locked):
        PassphraseFile.read(tmp_path / "none")
    with pytest.raises(Locked):
        PassphraseFile.read(tmp_path)
    with pytest.raises(Locked):
        typed_passphrase("")


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_file_that_others_can_read_is_known(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"secret")
    path.chmod(0o640)
    assert PassphraseFile.read(path).readable_by_others
    path.chmod(0o600)
    assert not PassphraseFile.read(path).readable_by_others
