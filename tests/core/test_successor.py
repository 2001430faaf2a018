"""Copies of a library: each becomes a device of its own, no number stands for two envelopes, and no edit is lost."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from core import edits, history, successor
from core.errors import IntegrityAlarm, LibraryCopied, NotAMember
from core.library import Library
from core.library_file import LibraryFile
from core.sync.checkpoints import make_checkpoint
from core.sync.seen_checkpoints import look
from core.verify import verify
from crdt.documents import LIBRARY
from tests.core.remote_device import beside, pair

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import Bench

MAY = "photos:2024-05"


def rating(library: Library, pid: bytes) -> object:
    return library.replica_get(MAY, "rating", pid.hex())


def caption(library: Library, pid: bytes) -> object:
    return library.replica_get(MAY, "caption", pid.hex())


def everything(library: Library) -> tuple[list[bytes], list[bytes]]:
    """Return what a relay would hold of a library: entries and envelopes."""
    entries = [entry.data for entry in library.members.membership.entries.values()]
    return entries, [stored.data for stored in library.log.after({}, library.raise_alarm)]


def exchange(one: Library, other: Library) -> None:
    """Give each what the other holds, until nothing is new."""
    for _ in range(3):
        for giver, taker in ((one, other), (other, one)):
            entries, envelopes = everything(giver)
            assert taker.ingest.entries(entries).alarms == []
            taker.ingest.envelopes(envelopes)
            if taker.writer.taken is not None:
                taker.become_new_device()
    for library in (one, other):
        library.refresh()
        assert library.alarms == []
        assert library.ingest.unaccounted() == []


@pytest.fixture
def copy_root(bench: Bench, tmp_path: Path) -> Path:
    """Return a copy of the library with one photo."""
    with bench.open() as library:
        bench.add_photos(library, 1)
    shutil.copytree(bench.root, tmp_path / "copy")
    return tmp_path / "copy"


def only_pid(library: Library) -> bytes:
    (pid,) = library.catalog.pids("")
    return pid


@pytest.mark.scenario(12, "a library folder is copied")
def test_a_copy_is_another_device_and_both_are_one_library(
    bench: Bench, copy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.open() as original:
        pid = only_pid(original)
        edits.set_caption(original, [pid], "by the original")
        monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
        with Library.open(copy_root, bench.secrets) as copy:
            edits.set_rating(copy, [pid], 3)
            assert copy.replica_get(LIBRARY, "device", copy.device_id.hex()) == "desk (copy)"
            exchange(original, copy)
            assert copy.device_id != original.device_id
            assert rating(original, pid) == 3
            assert caption(copy, pid) == "by the original"
            assert original.log.heads() == copy.log.heads()
            assert original.members.membership.alarms == ()


def test_a_copy_of_a_copy_is_a_third_device(bench: Bench, copy_root: Path, tmp_path: Path) -> None:
    with bench.open() as library:
        edits.set_rating(library, [only_pid(library)], 1)
    ids = {bench.secrets.device_id}
    root = copy_root
    for number in range(3):
        other = tmp_path / f"copy {number}"
        shutil.copytree(root, other)
        for stars, place in ((2, root), (3, other)):
            with Library.open(place, bench.secrets) as copy:
                edits.set_rating(copy, [only_pid(copy)], stars)
                edits.set_rating(copy, [only_pid(copy)], 5)
                assert copy.alarms == []
                last = copy.device_id
        assert last not in ids
        ids.add(last)
        with Library.open(other, bench.secrets) as copy:
            assert set(copy.members.continued_by(copy.device_id)) <= ids
            assert bench.secrets.device_id in copy.members.continued_by(copy.device_id)
        root = other
    assert len(LibraryFile.read(root / "library.toml").successors) <= 2


def test_two_claimed_copies_that_both_wrote_come_apart_without_a_loss(
    bench: Bench, copy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.open() as original:
        pid = only_pid(original)
        edits.set_caption(original, [pid], "by the original")
        edits.add_label(original, [pid], "lake")
        fork = original.log.head(original.device_id)[0] - 1
        monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
        Library.claim(copy_root, bench.secrets)
        with Library.open(copy_root, bench.secrets) as copy:
            edits.set_rating(copy, [pid], 4)
            edits.add_label(copy, [pid], "dog")
            edits.set_favourite(copy, [pid], favourite=True)
            assert copy.device_id == original.device_id, "on the user's word it goes on under the old name"
            arrival = original.ingest.envelopes(everything(copy)[1])
            assert arrival.forked_self is not None
            assert arrival.forked_self[0] == fork
            assert arrival.accepted == 0
            original.refresh()
            assert [type(doubt) for doubt in original.doubts] in ([], [LibraryCopied])
            original.become_new_device()
            assert original.device_id != copy.device_id
            assert [stored.seq for stored in original.log.superseded()] == [fork, fork + 1]
            assert caption(original, pid) == "by the original", "its own edits are issued again"
            original.refresh()
            assert rating(original, pid) == 4, "and the other copy's have become the old device's"
            exchange(original, copy)
            for library in (original, copy):
                assert rating(library, pid) == 4
                assert caption(library, pid) == "by the original"
                assert {name for name, _ in library.replica_items(MAY, "label")} == {
                    f"{pid.hex()}/lake",
                    f"{pid.hex()}/dog",
                }
            assert original.log.heads() == copy.log.heads()
            original.rebuild_view()
            assert original.alarms == []
            assert caption(original, pid) == "by the original"
            assert history.undo(original).action != ""
    with bench.open() as library:
        assert library.alarms == []


@pytest.mark.scenario(12, "a device is restored from an old backup")
def test_an_older_log_gets_back_what_a_relay_has(bench: Bench) -> None:
    with bench.open() as library:
        (pid,) = bench.add_photos(library, 1)
    older = (bench.root / "log.db").read_bytes()
    with bench.open() as library:
        for stars in (1, 2, 3):
            edits.set_rating(library, [pid], stars)
        entries, envelopes = everything(library)
        old = library.device_id
        head = library.log.head(old)
    (bench.root / "log.db").write_bytes(older)
    shutil.rmtree(bench.root / "derived")
    with bench.open() as library:
        edits.set_caption(library, [pid], "after the backup was put back")
        assert library.device_id != old
        library.ingest.entries(entries)
        assert library.ingest.envelopes(envelopes).alarms == []
        library.refresh()
        assert library.log.head(old) == head
        assert rating(library, pid) == 3
        assert caption(library, pid) == "after the backup was put back"


def test_own_envelopes_that_come_from_elsewhere_are_taken_and_nothing_is_written_after_them(bench: Bench) -> None:
    with bench.open() as library:
        (pid,) = bench.add_photos(library, 1)
        twin = beside(library)
        arrival = library.ingest.envelopes([twin.write(after=library.log.head(library.device_id))])
        assert (arrival.accepted, arrival.alarms, arrival.forked_self) == (1, [], None)
        head = library.log.head(library.device_id)
        edits.set_rating(library, [pid], 2)
        assert library.device_id != bench.secrets.device_id
        assert library.log.head(bench.secrets.device_id) == head


def test_another_process_of_the_folder_follows(bench: Bench, copy_root: Path) -> None:
    with bench.open() as library:
        edits.set_rating(library, [only_pid(library)], 1)
    with Library.open(copy_root, bench.secrets) as one, Library.open(copy_root, bench.secrets) as two:
        pid = only_pid(one)
        edits.set_rating(one, [pid], 2)
        edits.set_caption(two, [pid], "by the second process")
        assert one.device_id == two.device_id != bench.secrets.device_id
        assert one.refresh()
        assert caption(one, pid) == "by the second process"
        edits.set_rating(one, [pid], 3)
        assert len(one.members.membership.members) == 3, "two devices and the phrase"


def test_a_reading_process_shows_what_took_the_place_of_what_was_set_aside(
    bench: Bench, copy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.open() as original, bench.open() as reader:
        pid = only_pid(original)
        edits.set_caption(original, [pid], "by the original")
        reader.refresh()
        assert caption(reader, pid) == "by the original"
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
            Library.claim(copy_root, bench.secrets)
            with Library.open(copy_root, bench.secrets) as copy:
                for stars in (1, 2, 3):
                    edits.set_rating(copy, [pid], stars)
                original.ingest.envelopes(everything(copy)[1])
        original.become_new_device()
        reader.refresh()
        assert reader.alarms == []
        assert rating(reader, pid) == 3
        assert caption(reader, pid) == "by the original"
        reader.save_derived()
        edits.set_rating(reader, [pid], 5)
        assert reader.device_id == original.device_id
    with bench.open() as again:
        assert again.alarms == []
        assert rating(again, pid) == 5


@pytest.mark.parametrize(
    "where", ["core.library_file.LibraryFile.write", "core.writer.Writer.begin", "core.log.LogTransaction.set_fact"]
)
def test_killed_while_it_becomes_another_device_it_tries_again(
    bench: Bench, copy_root: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with bench.open() as library:
        edits.set_rating(library, [only_pid(library)], 1)
    with Library.open(copy_root, bench.secrets) as copy:
        pid = only_pid(copy)
        with monkeypatch.context() as broken:
            broken.setattr(where, lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                edits.set_rating(copy, [pid], 2)
        assert copy.device_id == bench.secrets.device_id
        assert len(copy.members.membership.members) == 2
    with Library.open(copy_root, bench.secrets) as copy:
        assert copy.device_id == bench.secrets.device_id
        edits.set_rating(copy, [pid], 2)
        assert copy.device_id != bench.secrets.device_id
    with Library.open(copy_root, bench.secrets) as copy:
        assert copy.alarms == []
        assert rating(copy, pid) == 2


def test_what_is_derived_goes_over_to_the_new_device(bench: Bench, copy_root: Path) -> None:
    with bench.open() as library:
        edits.set_rating(library, [only_pid(library)], 1)
        library.save_derived()
    with Library.open(copy_root, bench.secrets) as copy:
        copy.save_derived()
        edits.set_rating(copy, [only_pid(copy)], 2)
        assert [note for note in copy.notes if "catalog" in note] == []
        copy.save_derived()
    with Library.open(copy_root, bench.secrets) as copy:
        assert copy.notes == []
    names = {path.name for path in (copy_root / "derived").iterdir() if not path.name.startswith(".")}
    assert len(names) == 1, "nothing of the old device's is left"


def test_a_revoked_device_becomes_no_other_one(bench: Bench) -> None:
    with bench.open() as library:
        (pid,) = bench.add_photos(library, 1)
        other = pair(library)
        entry = other.revoke(library.device_id, library.log.head(library.device_id))
        library.ingest.entries([entry.data])
        with pytest.raises(NotAMember):
            edits.set_rating(library, [pid], 1)
        assert library.catalog.photo(pid) is not None
        assert library.device_id == bench.secrets.device_id


def test_a_copy_that_cannot_become_a_device_of_its_own_is_an_alarm(
    bench: Bench, copy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
    with Library.open(copy_root, bench.secrets) as copy:
        other = pair(copy)
        copy.ingest.entries([other.revoke(copy.device_id, copy.log.head(copy.device_id)).data])
        assert [type(alarm) for alarm in copy.alarms] == [LibraryCopied]
        assert not any("becomes a device" in note for note in copy.notes)
        with pytest.raises(NotAMember):
            edits.set_rating(copy, [only_pid(copy)], 1)


def test_nothing_is_done_unasked_in_a_folder_that_is_a_copy(
    bench: Bench, copy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "another machine"))
    with Library.open(copy_root, bench.secrets) as copy:
        stray = copy.blobs.put_bytes(b"an original that only the newer log names")
        os.utime(copy.blobs.path(stray.id), (1, 1))
        report = verify(copy, gc=True)
        assert {problem.name for problem in report.problems} == {"blob-missing"}, "to be a copy is no problem"
        assert copy.blobs.exists(stray.id), "and no state in which to remove anything"
        copy.acknowledge()
        assert not make_checkpoint(copy, look(copy))
        assert copy.device_id == bench.secrets.device_id


def test_nothing_in_the_way_means_no_new_device(bench: Bench) -> None:
    with bench.open() as library:
        library.become_new_device()
        assert library.device_id == bench.secrets.device_id


def test_a_damaged_log_is_no_reason_to_become_another_device(bench: Bench, copy_root: Path) -> None:
    with Library.open(copy_root, bench.secrets) as copy:
        (pid,) = copy.catalog.pids("")
        copy.log._connection.exec_driver_sql("UPDATE envelope SET envelope = zeroblob(600) WHERE seq = 1").close()
    shutil.rmtree(copy_root / "derived")
    with bench.open() as library:
        edits.set_rating(library, [only_pid(library)], 1)
    with Library.open(copy_root, bench.secrets) as copy:
        with pytest.raises(IntegrityAlarm):
            edits.set_rating(copy, [pid], 2)
        assert copy.device_id == bench.secrets.device_id


def test_names_of_copies_fit() -> None:
    assert successor.copy_name("desk") == "desk (copy)"
    assert successor.copy_name(None) == "device (copy)"
    assert len(successor.copy_name("é" * 200).encode()) <= 120
