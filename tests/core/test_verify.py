"""Verification names everything that is damaged, one thing at a time; gc and rebuild touch only what may go."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import BlobDamaged, LogDamaged
from core.rebuild import rebuild
from core.verify import VerifyReport, verify
from crdt.operations import Put
from crdt.records import BundleEntry, BundleRecord, CopyRecord
from crdt.schema import copy_key

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench

MAY = "photos:2024-05"


def named(report: VerifyReport) -> list[tuple[str, str]]:
    assert all(problem.hint for problem in report.problems)
    return [(problem.name, problem.thing) for problem in report.problems]


def blobs_of(library: Library, pid: bytes) -> bytes:
    (copy,) = library.catalog.copies(pid)
    return copy.blob_id


def test_a_sound_library_is_sound(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 5, blobs=True)
    edits.set_rating(library, pids, 3)
    told: list[tuple[str, int, int]] = []
    report = verify(library, deep=True, progress=lambda *step: told.append(step))
    assert report.sound
    assert (report.envelopes, report.blobs, report.unnamed_blobs) == (3, 5, 0)
    assert report.blob_bytes > 5 * 100
    assert told[-1] == ("blobs", 5, 5)
    assert ("envelopes", 3, 3) in told


def test_a_damaged_and_a_missing_blob_are_both_named_and_the_others_counted(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 5, blobs=True)
    damaged, missing = blobs_of(library, pids[0]), blobs_of(library, pids[1])
    path = library.blobs.path(damaged)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    library.blobs.remove(missing)
    report = verify(library)
    assert sorted(named(report)) == sorted(
        [("blob-damaged", f"blob {damaged.hex()}"), ("blob-missing", f"blob {missing.hex()}")]
    )
    assert report.blobs == 3
    of_photos = {(problem.thing, problem.photo, problem.file) for problem in report.problems}
    assert of_photos == {
        (f"blob {damaged.hex()}", pids[0].hex(), "IMG_0000.jpg"),
        (f"blob {missing.hex()}", pids[1].hex(), "IMG_0001.jpg"),
    }


@pytest.mark.parametrize("deep", [True, False])
def test_what_happened_to_a_blob_is_said_once(library: Library, bench: Bench, *, deep: bool) -> None:
    (pid,) = bench.add_photos(library, 1, blobs=True)
    path = library.blobs.path(blobs_of(library, pid))
    path.write_bytes(path.read_bytes()[:10])
    (problem,) = verify(library, deep=deep).problems
    assert problem.message.count("blob") == 1
    (copy,) = library.catalog.copies(pid)
    with pytest.raises(BlobDamaged) as damage:
        library.blobs.read(copy.blob_id, copy.key)
    assert str(damage.value).count("blob") == 1


def test_deep_compares_what_only_decrypting_shows(library: Library, bench: Bench) -> None:
    (pid,) = bench.add_photos(library, 1)
    ref = library.blobs.put_bytes(b"another photo")
    copy = CopyRecord(role="original", key=ref.key, size=ref.size)
    shelf = {MAY: [Put("copy", copy_key(pid, ref.id), copy.pack())]}
    library.commit(shelf, action="import", summary="a photo under another's id")
    wrong_key = library.blobs.put_bytes(b"some photo")
    copy = CopyRecord(role="preview", key=ref.key, size=wrong_key.size)
    library.commit(
        {MAY: [Put("copy", copy_key(pid, wrong_key.id), copy.pack())]}, action="import", summary="another's key"
    )
    shallow = {thing for _, thing in named(verify(library))}
    deep = {thing for _, thing in named(verify(library, deep=True))}
    assert deep - shallow == {f"blob {ref.id.hex()}", f"blob {wrong_key.id.hex()}"}


@pytest.mark.parametrize("place", [0, 8, 60, 120, 180, 230, 300, -1])
def test_each_part_of_an_envelope_is_watched(bench: Bench, place: int) -> None:
    with bench.open() as library:
        bench.add_photos(library, 3)
        stored = library.log.envelope(library.device_id, 2)
        assert stored is not None
        data = bytearray(stored.data)
        data[place] ^= 1
        library.log._connection.exec_driver_sql(
            "UPDATE envelope SET envelope = ? WHERE seq = 2", (bytes(data),)
        ).close()
        assert ("envelope-damaged", f"envelope 2 of device {library.device_id.hex()[:12]}") in named(verify(library))


def test_an_altered_envelope_with_a_hash_to_match_is_still_named(bench: Bench) -> None:
    from crypto.envelope import envelope_hash

    with bench.open() as library:
        bench.add_photos(library, 3)
        stored = library.log.envelope(library.device_id, 2)
        assert stored is not None
        data = bytearray(stored.data)
        data[250] ^= 1
        library.log._connection.exec_driver_sql(
            "UPDATE envelope SET envelope = ?, hash = ? WHERE seq = 2", (bytes(data), envelope_hash(bytes(data)))
        ).close()
        assert "envelope-damaged" in {name for name, _ in named(verify(library))}


def test_a_chain_that_lost_its_end_is_named(bench: Bench) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 3)
        edits.set_rating(library, pids, 1)
        library.log._connection.exec_driver_sql("DELETE FROM envelope WHERE seq = 3").close()
        assert "chain-broken" in {name for name, _ in named(verify(library))}
        library.log._connection.exec_driver_sql("UPDATE chain_head SET seq = 2").close()
    with bench.open() as library:
        assert "log-rolled-back" in {doubt.name for doubt in library.doubts}


def test_gc_removes_what_nothing_names_only_after_a_day(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2, blobs=True)
    unnamed = library.blobs.put_bytes(b"an import was killed before its commit")
    report = verify(library, gc=True)
    assert (report.unnamed_blobs, report.removed_blobs) == (1, 0)
    yesterday = time.time() - 90_000
    for blob_id in [unnamed.id, *(blobs_of(library, pid) for pid in pids)]:
        os.utime(library.blobs.path(blob_id), (yesterday, yesterday))
    assert verify(library).unnamed_blobs == 1
    report = verify(library, gc=True)
    assert (report.unnamed_blobs, report.removed_blobs) == (1, 1)
    assert report.removed_bytes > 0
    assert report.sound
    assert all(library.blobs.exists(blob_id) for blob_id in (blobs_of(library, pid) for pid in pids))


@pytest.mark.parametrize("keep_derived", [True, False])
def test_gc_removes_nothing_while_an_envelope_is_damaged(bench: Bench, *, keep_derived: bool) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 2, blobs=True)
        edits.set_rating(library, pids, 1)
        blob_ids = [blobs_of(library, pid) for pid in pids]
        yesterday = time.time() - 90_000
        for blob_id in blob_ids:
            os.utime(library.blobs.path(blob_id), (yesterday, yesterday))
        library.log._connection.exec_driver_sql("UPDATE envelope SET hash = zeroblob(32) WHERE seq = 2").close()
        unnamed = library.blobs.put_bytes(b"an import was killed before its commit")
        os.utime(library.blobs.path(unnamed.id), (yesterday, yesterday))
        library.save_derived()
    if not keep_derived:
        shutil.rmtree(bench.root / "derived")
    with bench.open() as library:
        assert bool(library.alarms) is not keep_derived
        assert verify(library, gc=True).removed_blobs == 0
        assert library.blobs.exists(unnamed.id)
        assert all(library.blobs.exists(blob_id) for blob_id in blob_ids)


def test_an_interrupted_purge_is_finished(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2, blobs=True)
    blob_id = blobs_of(library, pids[0])
    whole = library.blobs.path(blob_id).read_bytes()
    edits.purge(library, pids[:1])
    library.blobs.path(blob_id).write_bytes(whole)
    report = verify(library)
    assert report.sound
    assert report.removed_blobs == 1
    assert not library.blobs.exists(blob_id)


def test_bundles_are_checked_too(library: Library, bench: Bench) -> None:
    (pid,) = bench.add_photos(library, 1, blobs=True)
    ref = library.blobs.put_bytes(b"thumbnails")
    record = BundleRecord(kind="thumb", key=ref.key, entries=[BundleEntry(pid, 0, 10)])
    library.commit({MAY: [Put("bundle", ref.id.hex(), record.pack())]}, action="import", summary="bundle")
    assert verify(library, deep=True).blobs == 2
    library.blobs.remove(ref.id)
    assert named(verify(library)) == [("blob-missing", f"blob {ref.id.hex()}")]


def test_rebuild_shows_the_same_from_the_log_alone(bench: Bench) -> None:
    with bench.open() as library:
        for month in ("2023-01", "2023-02", "2024-05"):
            pids = bench.add_photos(library, 20, month=month)
            edits.add_label(library, pids[:7], "lake")
            edits.set_rating(library, pids[3:], 4)
        edits.trash(library, pids[:2])
        edits.purge(library, pids[2:4])
        edits.add_to_album(library, pids[5:8], edits.create_album(library, "Lisbon"))
        before = library.catalog.search("") + library.catalog.search("is:trash")
        steps: list[tuple[int, int]] = []
        rebuild(library, progress=lambda done, count: steps.append((done, count)))
        assert library.catalog.search("") + library.catalog.search("is:trash") == before
        assert steps[-1] == (4, 4)
        assert library.alarms == []
    with bench.open() as library:
        assert library.catalog.search("") + library.catalog.search("is:trash") == before


def test_another_process_goes_on_while_one_rebuilds(bench: Bench) -> None:
    with bench.open() as one, bench.open() as two:
        pids = bench.add_photos(one, 5)
        two.refresh()
        rebuild(one)
        edits.set_rating(two, pids, 2)
        edits.set_rating(one, pids[:1], 3)
        two.refresh()
        assert [photo.rating for photo in two.catalog.photos(pids)] == [3, 2, 2, 2, 2]


def test_rebuild_deletes_nothing_while_the_log_is_damaged(bench: Bench) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 5)
        edits.set_rating(library, pids, 3)
        library.save_derived()
    with sqlite3.connect(bench.root / "log.db") as log:
        log.execute("update envelope set envelope = zeroblob(300) where seq = 2")
    log.close()
    derived = sorted(path.name for path in (bench.root / "derived").iterdir())
    with bench.open() as library:
        with pytest.raises(LogDamaged, match="nothing was rebuilt"):
            rebuild(library)
        assert len(library.catalog.search("")) == 5
    assert sorted(path.name for path in (bench.root / "derived").iterdir()) == derived
    with bench.open() as library:
        assert len(library.catalog.search("")) == 5


@pytest.mark.parametrize("keep_derived", [True, False])
def test_a_log_that_is_cut_off_is_named_and_every_blob_is_checked_all_the_same(
    bench: Bench, *, keep_derived: bool
) -> None:
    with bench.open() as library:
        for month in ("2023-01", "2023-02"):
            pids = bench.add_photos(library, 20, month=month, blobs=True)
        for number in range(40):
            edits.set_caption(library, pids[:1], f"caption {number} " * 20)
        library.save_derived()
        damaged, missing = (blobs_of(library, pid) for pid in pids[:2])
        library.blobs.path(damaged).write_bytes(b"what the disk made of it")
        library.blobs.remove(missing)
    if not keep_derived:
        shutil.rmtree(bench.root / "derived")
    assert (bench.root / "log.db").stat().st_size > 60_000
    os.truncate(bench.root / "log.db", 40_000)
    with bench.open() as library:
        report = verify(library, deep=True, gc=True)
        problems = named(report)
        assert "log-damaged" in {name for name, _ in problems}
        assert all("verify" not in (problem.hint or "") for problem in report.problems)
        assert len({problem.message for problem in report.problems}) == len(problems)
        assert ("blob-damaged", f"blob {damaged.hex()}") in problems
        # That a blob is missing only the catalog still knows.
        assert (("blob-missing", f"blob {missing.hex()}") in problems) is keep_derived
        assert (report.blobs, report.removed_blobs) == (38, 0)
        with pytest.raises(LogDamaged):
            bench.add_photos(library, 1, month="2023-03")
