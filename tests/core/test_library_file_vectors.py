"""Vectors of `library.toml` with successors, one fault each, for readers in any language.

Written by `SAFELIGHT_WRITE_VECTORS=1 pytest` on this file; vectors that exist are the format.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import LibraryFileDamaged
from core.library_file import LibraryFile
from crypto.kdf import FLOOR, KdfParameters, derive_passphrase_key
from crypto.keys import DeviceSecrets
from crypto.keys import _wrap_with as wrap_with
from crypto.sealed import _seal_with as seal_with

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "core-library-file.json"
PASSPHRASE = b"correct horse battery staple"
LIBRARY = bytes(range(32))


def fixed(name: str, length: int = 32) -> bytes:
    """Return bytes in place of random ones."""
    return hashlib.shake_128(f"safelight library file vectors: {name}".encode()).digest(length)


def device(name: str) -> DeviceSecrets:
    return DeviceSecrets(fixed(f"{name} seed"), fixed(f"{name} exchange"))


ROOT, FIRST, SECOND = device("root"), device("first copy"), device("second copy")
KDF = KdfParameters(opslimit=FLOOR[0], memlimit=FLOOR[1], salt=fixed("salt", 16))


def sealed(
    one: bytes | DeviceSecrets, *, by: DeviceSecrets = ROOT, purpose: str = "successor", library: bytes = LIBRARY
) -> bytes:
    content = one if isinstance(one, bytes) else one.to_bytes()
    return seal_with(fixed(f"random of {content.hex()}"), content, by.storage_key("successor"), purpose, library)


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def written(path: Path, *successors: bytes) -> str:
    """Return the file with these successors, as the holder of the root's keys writes it."""
    wrapped = wrap_with(fixed("wrapping"), ROOT, derive_passphrase_key(PASSPHRASE, KDF), b"safelight/1/library.toml")
    file = dataclasses.replace(LibraryFile(LIBRARY, KDF, wrapped, b""), successors=successors)
    file.sealed_by(ROOT).write(path)
    return path.read_text()


def with_checksum(text: str) -> str:
    """Return the file with a checksum that holds: whoever alters it can count that, and no seal."""
    statement = text[text.index("format") : text.index("\n[check]")]
    found = re.search(r'seal = "([0-9a-f]+)"', text)
    assert found is not None
    checksum = hashlib.blake2b(statement.encode() + bytes.fromhex(found[1]), digest_size=32).hexdigest()
    return re.sub(r'checksum = "[0-9a-f]+"', f'checksum = "{checksum}"', text)


def cases(path: Path) -> dict[str, tuple[str, str, list[DeviceSecrets]]]:
    """Return (text, expected, identities) by name."""

    def good(*successors: DeviceSecrets) -> str:
        return written(path, *map(sealed, successors))

    def bad(make: Callable[[], str]) -> tuple[str, str, list[DeviceSecrets]]:
        return make(), "LibraryFileDamaged", []

    return {
        "no successor": (good(), "ok", [ROOT]),
        "one successor": (good(FIRST), "ok", [ROOT, FIRST]),
        "two successors": (good(FIRST, SECOND), "ok", [ROOT, FIRST, SECOND]),
        "sealed by another device": bad(lambda: written(path, sealed(FIRST, by=SECOND))),
        "sealed for another purpose": bad(lambda: written(path, sealed(FIRST, purpose="library file"))),
        "sealed for another library": bad(lambda: written(path, sealed(FIRST, library=fixed("library")))),
        "another random part": bad(lambda: written(path, flipped(sealed(FIRST), 8))),
        "another commitment": bad(lambda: written(path, flipped(sealed(FIRST), 40))),
        "altered ciphertext": bad(lambda: written(path, flipped(sealed(FIRST), 80))),
        "cut off": bad(lambda: written(path, sealed(FIRST)[:-1])),
        "another kind of file": bad(lambda: written(path, flipped(sealed(FIRST), 4))),
        "63 bytes of secrets": bad(lambda: written(path, sealed(FIRST.to_bytes()[:-1]))),
        "second successor altered": bad(lambda: written(path, sealed(FIRST), flipped(sealed(SECOND), 80))),
        "no hexadecimal": bad(lambda: with_checksum(good(FIRST).replace('successors = ["', 'successors = ["x'))),
        "added after the seal": bad(
            lambda: with_checksum(
                good()
                .replace("format = 1", "format = 2")
                .replace("\n[check]", f'successors = ["{sealed(FIRST).hex()}"]\n\n[check]', 1)
            )
        ),
        "taken away after the seal": bad(
            lambda: with_checksum(re.sub(r"successors = .*\n", "", good(FIRST).replace("format = 2", "format = 1")))
        ),
        "changed places after the seal": bad(
            lambda: with_checksum(re.sub(r'\["(\w+)", "(\w+)"\]', r'["\2", "\1"]', good(FIRST, SECOND)))
        ),
        "a checksum that does not hold": bad(lambda: re.sub(r'checksum = "..', 'checksum = "00', good(FIRST))),
        "format 1 with a successor": bad(lambda: good(FIRST).replace("format = 2", "format = 1")),
        "format 2 without one": bad(lambda: good().replace("format = 1", "format = 2")),
    }


def resolved(text: str, path: Path) -> list[DeviceSecrets]:
    path.write_text(text)
    return LibraryFile.read(path).resolve(ROOT)


def test_the_vectors_are_these_cases(tmp_path: Path) -> None:
    path = tmp_path / "library.toml"
    vectors: dict[str, Any] = {
        "about": "library.toml of a library that became a device of its own. `secrets` are what `passphrase` unwraps "
        "(Ed25519 seed, then X25519 secret); `identities` are these and those of the successors, in order. Each other "
        "file is refused with an error of this class, after unlocking at the latest.",
        "passphrase": PASSPHRASE.decode(),
        "secrets": ROOT.to_bytes().hex(),
        "cases": [
            {"name": name, "expected": expected, "file": text}
            | ({"identities": [one.to_bytes().hex() for one in identities]} if expected == "ok" else {})
            for name, (text, expected, identities) in cases(path).items()
        ],
    }
    if os.environ.get("SAFELIGHT_WRITE_VECTORS"):
        VECTORS.write_text(json.dumps(vectors, indent=1) + "\n", "utf-8")
    kept = json.loads(VECTORS.read_text("utf-8"))
    assert kept == vectors, "vectors that exist are the format"
    path.write_text(kept["cases"][0]["file"])
    assert LibraryFile.read(path).unlock(PASSPHRASE) == ROOT
    for case in kept["cases"]:
        if case["expected"] == "ok":
            assert [one.to_bytes().hex() for one in resolved(case["file"], path)] == case["identities"]
            continue
        with pytest.raises(LibraryFileDamaged):
            resolved(case["file"], path)


def test_each_fault_is_one(tmp_path: Path) -> None:
    texts = [text for text, _, _ in cases(tmp_path / "library.toml").values()]
    assert len(set(texts)) == len(texts)
