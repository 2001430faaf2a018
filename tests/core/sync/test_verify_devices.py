"""Verifying a library of several devices: what is elsewhere is no alarm, what was put here and is gone is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import edits
from core.originals import Originals
from core.sync.free import free
from core.verify import verify
from core.whereabouts import Whereabouts

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.sync.conftest import Device, Home


def blob_of(library: Library, pid: bytes) -> bytes:
    (copy,) = library.catalog.copies(pid)
    return copy.blob_id


def test_what_others_put_is_elsewhere_and_what_this_one_put_is_missing(pair: tuple[Device, Device]) -> None:
    first, second = pair
    theirs = first.photos(2)
    first.sync()
    second.sync()
    (own,) = second.photos(1)
    report = verify(second.library)
    assert (report.problems, report.elsewhere, report.blobs) == ([], 2, 1)
    assert report.envelopes == second.library.log.count()
    second.library.blobs.remove(blob_of(second.library, own))
    (problem,) = verify(second.library).problems
    assert (problem.name, problem.photo) == ("blob-missing", own.hex())
    assert "relay" in str(problem.hint)
    assert verify(second.library).elsewhere == 2
    assert not Whereabouts.read(second.library).is_expected_here(blob_of(second.library, theirs[0]))


def test_what_was_fetched_and_is_gone_again_is_elsewhere(pair: tuple[Device, Device]) -> None:
    first, second = pair
    (pid,) = first.photos(1)
    first.sync()
    second.sync()
    with Originals(second.library) as originals:
        originals.ensure(pid)
    assert verify(second.library, deep=True).blobs == 1
    second.library.blobs.remove(blob_of(second.library, pid))
    report = verify(second.library)
    assert (report.problems, report.elsewhere) == ([], 1)


def test_what_was_fetched_damaged_is_still_named(pair: tuple[Device, Device]) -> None:
    first, second = pair
    (pid,) = first.photos(1)
    first.sync()
    second.sync()
    with Originals(second.library) as originals:
        originals.ensure(pid)
    path = second.library.blobs.path(blob_of(second.library, pid))
    path.write_bytes(path.read_bytes()[:-1])
    (problem,) = verify(second.library).problems
    assert (problem.name, problem.photo) == ("blob-damaged", pid.hex())


def test_both_that_imported_the_same_file_are_to_have_it(pair: tuple[Device, Device]) -> None:
    first, second = pair
    for device in pair:  # neither knows of the other's; the same bytes under the same keys are the same blob
        device.bench.add_photos(device.library, 1, blobs=True)
    for device in (first, second, first):
        device.sync()
    (pid,) = second.library.catalog.pids()
    for device in pair:
        assert verify(device.library).sound
        device.library.blobs.remove(blob_of(device.library, pid))
        assert [problem.name for problem in verify(device.library).problems] == ["blob-missing"]


def test_deep_tries_the_keys_of_every_epoch(home: Home, pair: tuple[Device, Device]) -> None:
    first, second = pair
    third = home.add()
    (before,) = first.photos(1)
    first.sync()
    third.sync()
    home.revoke(third)
    assert len(first.library.members.keyring.keys) == 2
    (after,) = first.photos(1)
    first.sync()
    second.sync()
    with Originals(second.library) as originals:
        for pid in (before, after):
            originals.ensure(pid)
    for device in (first, second):
        report = verify(device.library, deep=True)
        assert (report.problems, report.blobs) == ([], 2)


def test_deep_still_finds_a_key_of_no_epoch(home: Home, pair: tuple[Device, Device]) -> None:
    from crdt.operations import Put
    from crdt.records import CopyRecord
    from crdt.schema import copy_key

    first, second = pair
    (pid,) = first.photos(1)
    home.revoke(second)
    ref = first.library.blobs.put_bytes(b"something else")
    stranger = first.library.blobs.stage_bytes(b"some photo", bytes(range(32)))
    first.library.blobs.publish([stranger])
    del ref
    copy = CopyRecord(role="preview", key=bytes(range(32)), size=stranger.ref.size)
    put = Put("copy", copy_key(pid, stranger.ref.id), copy.pack())
    first.library.commit({"photos:2024-05": [put]}, action="import", summary="a key of no epoch")
    (problem,) = verify(first.library, deep=True).problems
    assert problem.thing == f"blob {stranger.ref.id.hex()}"


def test_envelopes_of_former_members_are_checked_like_others(home: Home, pair: tuple[Device, Device]) -> None:
    first, second = pair
    second.sync()
    second.photos(2)
    second.sync()
    first.sync()
    home.revoke(second)
    first.sync()
    report = verify(first.library)
    assert (report.problems, report.elsewhere) == ([], 2)
    first.library.log._connection.exec_driver_sql(
        "UPDATE envelope SET envelope = zeroblob(length(envelope)) WHERE device = ?", (second.id,)
    ).close()
    assert {problem.name for problem in verify(first.library).problems} == {"envelope-damaged"}


def test_freed_and_purged_blobs_are_not_missing(pair: tuple[Device, Device]) -> None:
    first, _ = pair
    freed, gone = first.photos(2)
    first.sync()
    assert free(first.library, [freed], single_copy=True).freed == 1
    edits.purge(first.library, [gone])
    report = verify(first.library, deep=True, gc=True)
    assert (report.problems, report.elsewhere, report.blobs) == ([], 1, 0)


def test_a_log_that_is_damaged_does_not_make_others_blobs_missing(pair: tuple[Device, Device]) -> None:
    first, second = pair
    first.photos(2)
    first.sync()
    second.sync()
    own = second.photos(1)
    second.library.log._connection.exec_driver_sql(
        "UPDATE envelope SET envelope = zeroblob(length(envelope)) WHERE device = ?", (second.id,)
    ).close()
    report = verify(second.library)
    assert {problem.name for problem in report.problems} == {"envelope-damaged"}
    assert (report.elsewhere, report.blobs) == (2, 1)
    second.library.blobs.remove(blob_of(second.library, own[0]))
    assert {problem.name for problem in verify(second.library).problems} == {"envelope-damaged", "blob-missing"}
