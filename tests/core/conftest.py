"""Libraries for the tests of `core`: real ones, with the smallest key-derivation costs that are allowed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import pytest

from core.library import Library
from crdt.documents import shard_name
from crdt.operations import Put
from crdt.records import CopyRecord, PhotoFacts
from crdt.schema import copy_key, pid_key
from tests.core.empty_library import empty_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crypto.keys import DeviceSecrets

PASSPHRASE = b"correct horse battery staple"


@dataclass
class Bench:
    """One library on disk, opened as often as a test likes."""

    root: Path
    secrets: DeviceSecrets
    phrase: str
    passphrase: bytes = PASSPHRASE

    def open(self) -> Library:
        """Open it once more, as another process would."""
        return Library.open(self.root, self.secrets)

    def add_photos(
        self,
        library: Library,
        count: int,
        *,
        month: str = "2024-05",
        seed: str = "",
        blobs: bool = False,
        group: bytes | None = None,
    ) -> list[bytes]:
        """Add synthetic photos in one commit and return their ids; with `blobs` each has an original."""
        operations = []
        pids = []
        document = ""
        for number in range(count):
            original = f"photo {seed} {month} {number}".encode() * 10
            hasher = library.epoch.photo_hasher()
            hasher.update(original)
            pid = hasher.digest()
            clock = f"{month}-{number % 28 + 1:02}T12:00:{number % 60:02}"
            document = shard_name(clock, pid)
            facts = PhotoFacts(width=4000, height=3000, size=len(original), mime="image/jpeg", wall_clock=clock)
            operations.append(Put("photo", pid_key(pid), facts.pack()))
            blob_id, key = blake2b(original, digest_size=32).digest(), bytes(32)
            if blobs:
                ref = library.blobs.put_bytes(original)
                blob_id, key = ref.id, ref.key
            copy = CopyRecord(role="original", key=key, size=len(original), file_name=f"IMG_{number:04}.jpg")
            operations.append(Put("copy", copy_key(pid, blob_id), copy.pack()))
            pids.append(pid)
        library.commit({document: operations}, action="import", summary=f"import of {count}", group=group)
        return pids


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return an empty library that nobody has open."""
    root = tmp_path / "library"
    made = empty_library(PASSPHRASE, "desk")
    made.write(root)
    return Bench(root, made.secrets, made.phrase)


@pytest.fixture
def library(bench: Bench) -> Iterator[Library]:
    """Return an empty library, open."""
    with bench.open() as library:
        yield library
