"""Scenario 8: the chunks of a blob are others, or in another order; a relay does it, or a member under an id that fits.

Elsewhere: every range and every chunk of the format (tests/crypto/test_blob.py).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import BlobDamaged, CoreError
from core.library import Library
from core.originals import Originals
from core.verify import verify
from crdt.documents import shard_name
from crdt.operations import Put
from crdt.records import CopyRecord, PhotoFacts
from crdt.schema import copy_key, pid_key
from crypto.blob import BLOB_HEADER_BYTES, blob_key_hasher, encrypt_blob
from crypto.stream import SEALED_CHUNK_BYTES
from tests.core.sync.conftest import COSTS
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.sync.conftest import Device
    from tests.hostile.world import World

SIZE = 150_000


def faults(blob: bytes, other: bytes) -> dict[str, bytes]:
    """Return a blob of three chunks with each of the faults that the format has to notice."""
    header, rest = blob[:BLOB_HEADER_BYTES], blob[BLOB_HEADER_BYTES:]
    one, two, last = (rest[at : at + SEALED_CHUNK_BYTES] for at in range(0, len(rest), SEALED_CHUNK_BYTES))
    foreign = other[BLOB_HEADER_BYTES:][SEALED_CHUNK_BYTES : 2 * SEALED_CHUNK_BYTES]
    return {
        "swapped": header + two + one + last,
        "truncated": header + one + two,
        "cut in a chunk": blob[:-1000],
        "extended": header + one + two + two + last,
        "mixed": header + one + foreign + last,
        "two last": header + one + last + last,
        "header of another": other[:BLOB_HEADER_BYTES] + rest,
    }


def opened(device: Device, pid: bytes) -> bytes:
    with Originals(device.library) as originals:
        copy = originals.ensure(pid)
    return device.library.blobs.read(copy.blob_id, copy.key)


class TestSwappedChunks:
    @pytest.mark.scenario(8, "they are swapped", "they are truncated", "they are extended", alarm="blob-damaged")
    @pytest.mark.scenario(8, "chunks of two blobs are mixed", "it is a blob of another library", alarm="blob-damaged")
    def test_by_the_relay(self, world: World, tmp_path: Path) -> None:
        first, second = world.first, world.second
        photo, other = (world.photo(first, size=SIZE) for _ in range(2))
        world.sync(first, second)
        blob = world.blob_of(photo)
        stored, another = world.object_of(blob), world.object_of(world.blob_of(other))
        good = stored.read_bytes()
        library, _ = Library.create(tmp_path / "another", b"another passphrase", device_name="another", kdf=COSTS)
        with library:
            reference = library.blobs.put_bytes(photo.content)
            foreign = library.blobs.path(reference.id).read_bytes()
        assert len(foreign) == len(good)
        for fault, content in (faults(good, another.read_bytes()) | {"of another library": foreign}).items():
            stored.write_bytes(content)
            with Originals(second.library) as originals, pytest.raises(CoreError) as raised:
                originals.ensure(photo.pid)
            assert raised.value.hint, fault
            assert not second.library.blobs.exists(blob), fault
            world.heard += [raised.value] if isinstance(raised.value, BlobDamaged) else []
        stored.write_bytes(good)
        with Originals(second.library) as originals:
            originals.ensure(photo.pid)
        holds(world, blob.hex())

    @pytest.mark.scenario(8, "there are two last ones, or none", "they are swapped", alarm=("blob-damaged", "forged"))
    @pytest.mark.scenario(8, "they are truncated", "they are extended", alarm=("blob-damaged", "forged"))
    def test_by_a_member_whose_ids_fit(self, world: World) -> None:
        """What it uploads has the hash that its record names; only decrypting shows what is wrong with it."""
        first, second = world.first, world.second
        mallory = world.mallory()
        client = mallory.at(world.relay)
        pixels = b"mallory's pixels" * (SIZE // 16)
        blobs = []
        for content in (pixels, pixels[::-1]):
            hasher = blob_key_hasher(first.library.epoch)
            hasher.update(content)
            parts: list[bytes] = []
            encrypt_blob(content, len(content), hasher.digest(), parts.append)
            blobs.append((b"".join(bytes(part) for part in parts), hasher.digest()))
        (blob, key), (other, _) = blobs
        month, pids, names = "2022-02", [], []
        for fault, content in faults(blob, other).items():
            pid = hashlib.blake2b(fault.encode(), digest_size=16).digest()
            clock = f"{month}-01T12:00:00"
            facts = PhotoFacts(width=4, height=3, size=len(pixels), mime="image/jpeg", wall_clock=clock)
            copy = CopyRecord(role="original", key=key, size=len(pixels), file_name=f"{fault}.jpg")
            blob_id = client.store(content)
            puts = [Put("photo", pid_key(pid), facts.pack()), Put("copy", copy_key(pid, blob_id), copy.pack())]
            client.append(mallory.edit(shard_name(clock, pid), *puts))
            pids.append(pid)
            names.append(blob_id.hex())
        world.sync(first, second)
        for pid in pids:
            with pytest.raises(CoreError) as raised:
                opened(second, pid)
            assert raised.value.hint
            world.heard += [raised.value] if isinstance(raised.value, BlobDamaged) else []
        named = {problem.thing for problem in verify(second.library, deep=True).problems}
        assert all(
            any(blob in thing for thing in named) for blob in names if second.library.blobs.exists(bytes.fromhex(blob))
        )
        edits.purge(first.library, pids)
        world.sync(first, second, first)
        holds(world)
