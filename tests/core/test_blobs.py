"""Blobs: nothing is under its name before it is durable, damage is named, a full disk leaves nothing half-named."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from core.blobs import BlobStore
from core.errors import BlobDamaged, BlobMissing, DiskFull
from crypto.keys import EpochKeys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EPOCH = EpochKeys(b"e" * 32, b"k" * 32, b"p" * 32)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    (tmp_path / "blobs").mkdir()
    return BlobStore(tmp_path / "blobs", EPOCH)


def files(blobs: BlobStore) -> list[str]:
    return [path.name for path in blobs._folder.rglob("*") if path.is_file()]


def test_a_blob_reads_back_whole_and_in_ranges(blobs: BlobStore) -> None:
    data = os.urandom(300_000)
    ref = blobs.put_bytes(data)
    assert ref.size == len(data)
    assert blobs.exists(ref.id)
    assert blobs.read(ref.id, ref.key) == data
    assert blobs.read(ref.id, ref.key, 65_530, 20) == data[65_530:65_550]
    blobs.check(ref.id)
    assert list(blobs.iter_ids()) == [ref.id]


def test_the_same_content_is_one_blob_whichever_way_it_is_put(blobs: BlobStore) -> None:
    data = os.urandom(100_000)
    first = blobs.put_bytes(data)
    second = blobs.put_file(io.BytesIO(data), len(data), blobs.key_for(data))
    assert first == second
    assert len(files(blobs)) == 1


def test_a_batch_names_nothing_before_it_ends_and_nothing_when_it_fails(blobs: BlobStore) -> None:
    with blobs.batch() as batch:
        refs = [batch.put_bytes(os.urandom(1_000)) for _ in range(20)]
        assert not any(blobs.exists(ref.id) for ref in refs)
    assert all(blobs.exists(ref.id) for ref in refs)
    with pytest.raises(ZeroDivisionError), blobs.batch() as batch:  # noqa: PT012  both belong to the batch
        batch.put_bytes(b"never named")
        _ = 1 // 0
    assert len(files(blobs)) == 20


def test_every_altered_byte_range_is_damage_and_the_rest_stays_readable(blobs: BlobStore) -> None:
    data = os.urandom(200_000)
    ref = blobs.put_bytes(data)
    path = blobs.path(ref.id)
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(BlobDamaged) as damage:
        blobs.read(ref.id, ref.key)
    assert damage.value.hint
    assert damage.value.name == "blob-damaged"
    with pytest.raises(BlobDamaged):
        blobs.check(ref.id)
    assert blobs.read(ref.id, ref.key, 0, 1_000) == data[:1_000]
    path.write_bytes(whole[:-100])
    with pytest.raises(BlobDamaged):
        blobs.read(ref.id, ref.key)


def test_putting_a_damaged_blob_again_heals_it(blobs: BlobStore) -> None:
    data = os.urandom(1_000)
    ref = blobs.put_bytes(data)
    blobs.path(ref.id).write_bytes(b"damaged")
    blobs.put_bytes(data)
    blobs.check(ref.id)


def test_a_missing_blob_is_named(blobs: BlobStore) -> None:
    with pytest.raises(BlobMissing):
        blobs.read(b"x" * 32, b"k" * 32)
    with pytest.raises(BlobMissing):
        blobs.check(b"x" * 32)
    assert not blobs.remove(b"x" * 32)


def test_files_are_private_whatever_the_umask(blobs: BlobStore) -> None:
    before = os.umask(0)
    try:
        ref = blobs.put_bytes(b"private")
    finally:
        os.umask(before)
    path = blobs.path(ref.id)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    before = os.umask(0o777)
    try:
        ref = blobs.put_bytes(b"readable by its owner all the same")
    finally:
        os.umask(before)
    assert blobs.path(ref.id).stat().st_mode & 0o777 == 0o600


@pytest.mark.scenario(12, "the disk is full")
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: the kernel refuses the write in the same place."""
    script = """
import os, resource, sys
from pathlib import Path
from core.blobs import BlobStore
from core.errors import DiskFull
from crypto.keys import EpochKeys
folder = Path(sys.argv[1])
folder.mkdir()
store = BlobStore(folder, EpochKeys(b"e" * 32, b"k" * 32, b"p" * 32))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    with store.batch() as batch:
        batch.put_bytes(b"fits")
        batch.put_bytes(os.urandom(1_000_000))
except DiskFull as full:
    print(full, "|", full.hint)
print([path.name for path in folder.rglob("*") if path.is_file()])
store.put_bytes(b"fits now")
"""
    if sys.platform == "win32":
        pytest.skip("file size limits are POSIX")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "blobs")], capture_output=True, text=True, check=True
    )
    assert "the disk is full" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    assert DiskFull.name == "disk-full"


def test_only_old_blobs_are_removed_as_unnamed(blobs: BlobStore) -> None:
    ref = blobs.put_bytes(b"young")
    assert blobs.remove_if_old(ref.id) is None
    yesterday = time.time() - 90_000
    os.utime(blobs.path(ref.id), (yesterday, yesterday))
    size = blobs.size_on_disk(ref.id)
    assert blobs.remove_if_old(ref.id) == size
    assert not blobs.exists(ref.id)
    assert blobs.remove_if_old(ref.id) is None


def test_files_that_a_killed_writer_left_go_after_a_day(blobs: BlobStore) -> None:
    staged = blobs.stage_bytes(b"the writer is killed now")
    assert blobs.remove_stale_incoming() == 0
    yesterday = time.time() - 90_000
    os.utime(staged.path, (yesterday, yesterday))
    assert blobs.remove_stale_incoming() == 1
    assert files(blobs) == []


def test_names_that_are_no_blob_ids_are_passed_over(blobs: BlobStore) -> None:
    ref = blobs.put_bytes(b"one")
    (blobs.path(ref.id).parent / "desktop.ini").write_bytes(b"")
    (blobs._folder / "zz").mkdir()
    (blobs._folder / "zz" / ("g" * 64)).write_bytes(b"")
    assert list(blobs.iter_ids()) == [ref.id]


def ciphertext_of(data: bytes, folder: Path) -> tuple[bytes, bytes]:
    """Return id and ciphertext of a blob as another device makes it."""
    (folder / "other device").mkdir()
    other = BlobStore(folder / "other device", EPOCH)
    ref = other.put_bytes(data)
    with other.ciphertext(ref.id) as source:
        return ref.id, source.read()


def receive(blobs: BlobStore, blob_id: bytes, size: int, *pieces: bytes) -> None:
    with blobs.receive(blob_id, size) as incoming:
        for piece in pieces:
            incoming.write(piece)
        incoming.finish()


def test_a_blob_is_received_in_pieces_and_has_its_name_only_when_whole(blobs: BlobStore, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    blob_id, sent = ciphertext_of(data, tmp_path)
    with blobs.receive(blob_id, len(sent)) as incoming:
        incoming.write(sent[:70_000])
        assert not blobs.exists(blob_id)
    with blobs.receive(blob_id, len(sent)) as incoming:
        assert incoming.offset == 70_000
        incoming.write(sent[70_000:])
        incoming.finish()
    assert blobs.read(blob_id, blobs.key_for(data)) == data
    assert files(blobs) == [blob_id.hex()]


def test_blobs_that_are_received_whole_are_published_together(blobs: BlobStore, tmp_path: Path) -> None:
    blob_id, sent = ciphertext_of(os.urandom(1_000), tmp_path)
    with blobs.receive(blob_id, len(sent)) as incoming:
        incoming.write(sent)
        staged = incoming.staged()
    assert not blobs.exists(blob_id)
    # A process that was killed here finds it whole the next time.
    with blobs.receive(blob_id, len(sent)) as incoming:
        assert incoming.offset == len(sent)
        again = incoming.staged()
    blobs.publish([staged])
    blobs.publish([again])
    blobs.check(blob_id)


@pytest.mark.parametrize(
    "alter",
    [
        lambda sent: sent[:-1] + bytes([sent[-1] ^ 1]),
        lambda sent: sent[:-1],
        lambda sent: sent + b"\0",
        lambda sent: b"",
    ],
)
def test_nothing_is_kept_of_a_blob_that_comes_in_damaged(
    blobs: BlobStore, tmp_path: Path, alter: Callable[[bytes], bytes]
) -> None:
    blob_id, sent = ciphertext_of(os.urandom(1_000), tmp_path)
    with pytest.raises(BlobDamaged, match=blob_id.hex()):
        receive(blobs, blob_id, len(sent), alter(sent))
    assert files(blobs) == []
    with blobs.receive(blob_id, len(sent)) as incoming:
        assert incoming.offset == 0


def test_what_was_kept_is_hashed_again_and_dropped_where_it_is_another(blobs: BlobStore, tmp_path: Path) -> None:
    blob_id, sent = ciphertext_of(os.urandom(1_000), tmp_path)
    with blobs.receive(blob_id, len(sent)) as incoming:
        incoming.write(os.urandom(500))
    with pytest.raises(BlobDamaged):
        receive(blobs, blob_id, len(sent), sent[500:])
    with blobs.receive(blob_id, len(sent)) as incoming:
        assert incoming.offset == 0
        incoming.write(sent)
        incoming.finish()
    blobs.check(blob_id)


def test_two_may_receive_one_blob_at_once(blobs: BlobStore, tmp_path: Path) -> None:
    blob_id, sent = ciphertext_of(os.urandom(1_000), tmp_path)
    with blobs.receive(blob_id, len(sent)) as first, blobs.receive(blob_id, len(sent)) as second:
        first.write(sent[:300])
        assert second.offset == 0
        second.write(sent)
        second.finish()
        first.write(sent[300:])
        first.finish()
    blobs.check(blob_id)
    with blobs.receive(blob_id, len(sent)) as first, blobs.receive(blob_id, len(sent)) as second:
        second.write(sent[:300])
    assert files(blobs) == [blob_id.hex(), blob_id.hex()]
    assert blobs.remove_stale_incoming(max_age_s=-1) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs resource limits")
def test_a_disk_that_fills_up_leaves_what_came_to_go_on_with(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    script = """
import resource, sys, os, pathlib
from core.blobs import BlobStore
from core.errors import DiskFull
from crypto.keys import EpochKeys
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = BlobStore(pathlib.Path(sys.argv[1]), EpochKeys(b"e" * 32, b"k" * 32, b"p" * 32))
try:
    with store.receive(bytes(32), 300_000) as incoming:
        incoming.write(bytes(80_000))
        incoming.write(bytes(80_000))
except DiskFull:
    pass
else:
    raise SystemExit("not full")
with store.receive(bytes(32), 300_000) as incoming:
    assert incoming.offset == 100_000, incoming.offset
"""
    subprocess.run([sys.executable, "-P", "-c", script, str(tmp_path / "blobs")], check=True, env=dict(os.environ))
