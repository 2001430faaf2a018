"""A purged photo is gone from the disk: its copies, and its parts of the bundles it shared with others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import bundles, edits
from core.errors import BlobMissing
from core.verify import verify
from crdt.operations import Operation, Put
from crdt.records import BundleEntry, BundleRecord

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench


PART = {"thumb": b"part of ", "vector": b"vector of "}


def bundle(
    library: Library,
    photos: dict[str, list[bytes]],
    *,
    kind: str = "thumb",
    also: dict[str, list[Operation]] | None = None,
) -> bytes:
    """Name one bundle in the shards of all photos, as an import does; return its id."""
    homes = {pid: document for document, pids in photos.items() for pid in pids}
    data, entries = bundles.build((pid, PART[kind] + pid.hex().encode()) for pid in homes)
    ref = library.blobs.put_bytes(data)
    model = {"model": "m@1", "dimensions": 20} if kind == "vector" else {}
    changes = {}
    for document in photos:
        own = [entry for entry in entries if homes[entry.pid] == document]
        record = BundleRecord(kind=kind, key=ref.key, entries=own, size=ref.size, **model)  # type: ignore[arg-type]
        changes[document] = [Put("bundle", ref.id.hex(), record.pack())]
    library.commit({**changes, **(also or {})}, action="import", summary="bundle")
    return ref.id


def overlapping(library: Library, pids: list[bytes], count: int, length: int) -> bytes:
    """Name a bundle whose parts lie over each other, as only a hostile device does; return its id."""
    ref = library.blobs.put_bytes(b"what honest programs write lies one after the other".ljust(length))
    entries = [BundleEntry(pid, 0, length) for pid in (*pids, *(n.to_bytes(16, "big") for n in range(count)))]
    record = BundleRecord(kind="thumb", key=ref.key, entries=entries, size=ref.size)
    changes: dict[str, list[Operation]] = {"photos:2024-05": [Put("bundle", ref.id.hex(), record.pack())]}
    library.commit(changes, action="import", summary="bundle")
    return ref.id


def thumbnail(library: Library, pid: bytes) -> bytes:
    where = library.catalog.thumbnail(pid)
    assert where is not None
    return library.blobs.read(where.blob_id, where.key, where.offset, where.length)


def test_a_bundle_whose_parts_lie_over_each_other_takes_no_memory(library: Library, bench: Bench) -> None:
    """Two thousand parts of megabytes, all of them the same: written one after the other they would be gigabytes."""
    pids = bench.add_photos(library, 2, blobs=True)
    old = overlapping(library, pids, 60, 1 << 20)
    edits.purge(library, pids[:1])
    assert not library.blobs.exists(old)
    for _, value in library.replica_items("photos:2024-05", "bundle"):
        record = BundleRecord.unpack(bytes(value))  # type: ignore[arg-type]
        assert (len(record.entries), record.size) == (1, 1 << 20)
        assert record.entries[0].pid == pids[1]


@pytest.fixture
def photos(library: Library, bench: Bench) -> dict[str, list[bytes]]:
    return {
        f"photos:{month}": bench.add_photos(library, 4, month=month, blobs=True) for month in ("2024-05", "2024-06")
    }


def test_the_part_of_a_purged_photo_leaves_its_bundle_and_the_others_stay(
    library: Library, photos: dict[str, list[bytes]]
) -> None:
    old = bundle(library, photos)
    vectors = bundle(library, photos, kind="vector")
    may, june = photos.values()
    edits.set_caption(library, june, "an edit in between")
    edits.purge(library, [may[1], june[0], june[1]])
    assert not library.blobs.exists(old)
    assert not library.blobs.exists(vectors)
    for pid in (may[0], may[2], may[3], june[2], june[3]):
        assert thumbnail(library, pid) == b"part of " + pid.hex().encode()
    for pid in (may[1], june[0]):
        assert library.catalog.thumbnail(pid) is None
    report = verify(library, deep=True)
    assert report.problems == []
    assert report.unnamed_blobs == 0
    for document in photos:
        records = [BundleRecord.unpack(bytes(value)) for _, value in library.replica_items(document, "bundle")]  # type: ignore[arg-type]
        assert sorted((record.kind, record.model, record.dimensions) for record in records) == [
            ("thumb", None, None),
            ("vector", "m@1", 20),
        ]
        assert not {may[1], june[0], june[1]} & {entry.pid for record in records for entry in record.entries}


def test_nothing_of_the_purged_part_can_be_decrypted_from_what_is_left(
    library: Library, photos: dict[str, list[bytes]]
) -> None:
    bundle(library, photos)
    (victim, *_), _ = photos.values()
    edits.purge(library, [victim])
    left = b""
    for document in photos:
        for key, value in library.replica_items(document, "bundle"):
            record = BundleRecord.unpack(bytes(value))  # type: ignore[arg-type]
            left += library.blobs.read(bytes.fromhex(key), record.key)
    assert left
    assert victim.hex().encode() not in left


def test_a_bundle_that_only_purged_photos_used_goes_altogether(
    library: Library, photos: dict[str, list[bytes]]
) -> None:
    old = bundle(library, {"photos:2024-05": photos["photos:2024-05"]})
    edits.purge(library, photos["photos:2024-05"])
    assert not library.blobs.exists(old)
    assert list(library.replica_items("photos:2024-05", "bundle")) == []
    assert verify(library, gc=True).problems == []


def test_a_bundle_that_is_missing_does_not_keep_a_photo_from_being_purged(
    library: Library, photos: dict[str, list[bytes]]
) -> None:
    old = bundle(library, photos)
    library.blobs.remove(old)
    (victim, *_), _ = photos.values()
    edits.purge(library, [victim])
    assert library.catalog.photo(victim) is None
    with pytest.raises(BlobMissing):
        library.blobs.check(old)
    assert [problem.name for problem in verify(library).problems] == ["blob-missing"]


def test_a_failed_commit_leaves_all_blobs_and_no_new_ones(
    library: Library, photos: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(library, photos)
    before = set(library.blobs.iter_ids())
    (victim, *_), _ = photos.values()
    with monkeypatch.context() as failing:
        failing.setattr(library.chain, "seal", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            edits.purge(library, [victim])
    assert before <= set(library.blobs.iter_ids())
    assert verify(library, deep=True).problems == []
    assert thumbnail(library, victim)


def test_a_purge_after_an_import_that_also_made_an_album(library: Library, photos: dict[str, list[bytes]]) -> None:
    old = bundle(library, photos, also={"library": [Put("setting", "locale", "en")]})
    may, _ = photos.values()
    edits.purge(library, may[:1])
    assert not library.blobs.exists(old)
    assert verify(library).sound
