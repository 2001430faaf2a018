"""The library as a whole: what is committed stays, what fails leaves nothing, several openings see one truth."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from core import commit, edits
from core.errors import (
    DiskFull,
    IntegrityAlarm,
    InvalidEdit,
    LibraryCopied,
    LibraryExists,
    LogDamaged,
    LogRolledBack,
    NotALibrary,
    WrongPassphrase,
)
from core.library import Library
from crdt.documents import LIBRARY
from crdt.operations import Delete, Put
from crypto import kdf

if TYPE_CHECKING:
    from pathlib import Path

    from core.catalog import PhotoRecord
    from tests.core.conftest import Bench

MAY = "photos:2024-05"


def shown(library: Library, pid: bytes) -> PhotoRecord:
    photo = library.catalog.photo(pid)
    assert photo is not None
    return photo


def rating(library: Library, pid: bytes) -> object:
    return library.replica_get(MAY, "rating", pid.hex())


def test_a_new_library_opens_with_its_passphrase_and_knows_its_device(bench: Bench) -> None:
    assert len(bench.phrase.split()) == 24
    with bench.open() as library:
        assert library.alarms == []
        assert library.replica_get(LIBRARY, "device", library.device_id.hex()) == "desk"
        assert library.library_id != library.device_id
    with pytest.raises(WrongPassphrase):
        Library.unlock(bench.root, b"wrong")


def test_a_folder_in_use_does_not_become_a_library(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(LibraryExists, match="there is a library"):
        Library.create(bench.root, b"p", device_name="desk")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter.txt").write_text("dear")
    with pytest.raises(LibraryExists, match="not an empty folder"):
        Library.create(tmp_path / "documents", b"p", device_name="desk")
    with pytest.raises(NotALibrary):
        Library.unlock(tmp_path / "documents", b"p")


def test_a_folder_s_name_may_hold_anything(tmp_path: Path) -> None:
    root = tmp_path / "bibliothèque #1 50% ?a=b; 写真 '\""
    library, _ = Library.create(root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    library.close()
    with Library.open(root, Library.unlock(root, b"p")) as library:
        assert library.log.count() == 1
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_an_init_that_was_killed_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "library"
    for where in ("core.library_file.LibraryFile.write", "core.writer.MachineState", "core.log.Log.create"):
        with monkeypatch.context() as killed:
            killed.setattr(where, lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                Library.create(root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
        assert root.is_dir()
    library, _ = Library.create(root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    library.close()


def test_a_library_that_lost_its_file_is_never_taken_for_an_unfinished_one(bench: Bench) -> None:
    (bench.root / "library.toml").unlink()
    shutil.rmtree(bench.root / "derived")
    with pytest.raises(LibraryExists):
        Library.create(bench.root, b"p", device_name="desk", kdf=kdf.new_parameters(*kdf.FLOOR))
    assert (bench.root / "log.db").stat().st_size > 10_000


def test_the_passphrase_can_be_changed(bench: Bench) -> None:
    Library.change_passphrase(bench.root, bench.passphrase, b"new one", kdf=kdf.new_parameters(*kdf.FLOOR))
    with pytest.raises(WrongPassphrase):
        Library.unlock(bench.root, bench.passphrase)
    assert Library.unlock(bench.root, b"new one") == bench.secrets
    with pytest.raises(WrongPassphrase):
        Library.change_passphrase(bench.root, bench.passphrase, b"another")


def test_what_was_committed_is_there_after_a_session_that_never_closed(bench: Bench) -> None:
    library = bench.open()
    pids = bench.add_photos(library, 5)
    edits.set_rating(library, pids[:2], 4)
    with bench.open() as other:
        assert [rating(other, pid) for pid in pids] == [4, 4, None, None, None]
        assert shown(other, pids[0]).rating == 4
    library.close()


def test_an_edit_that_changes_nothing_writes_nothing(library: Library, bench: Bench) -> None:
    (pid,) = bench.add_photos(library, 1)
    first = edits.set_rating(library, [pid], 3)
    assert first.seq is not None
    assert edits.set_rating(library, [pid], 3).seq is None
    assert library.log.head(library.device_id)[0] == first.seq


def test_a_refused_value_leaves_everything_as_it_was(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 2)
    head = library.log.head(library.device_id)
    with pytest.raises(InvalidEdit):
        library.commit(
            {MAY: [Put("rating", pids[0].hex(), 5), Put("rating", pids[1].hex(), 99)]}, action="rate", summary="bad"
        )
    assert library.log.head(library.device_id) == head
    assert rating(library, pids[0]) is None
    assert edits.set_rating(library, pids, 2).seq == head[0] + 1
    with bench.open() as other:
        assert rating(other, pids[1]) == 2


@pytest.mark.scenario(12, "the disk is full")
def test_a_full_disk_leaves_nothing_of_the_edit_and_the_next_one_works(library: Library, bench: Bench) -> None:
    (pid,) = bench.add_photos(library, 1)
    edits.set_rating(library, [pid], 1)
    head = library.log.head(library.device_id)
    connection = library.log._connection
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").close()
    with pytest.raises(DiskFull):
        library.commit({MAY: [Put("caption", pid.hex(), os.urandom(4000).hex())]}, action="caption", summary="long")
    assert library.log.head(library.device_id) == head
    assert library.replica_get(MAY, "caption", pid.hex()) is None
    assert shown(library, pid).caption == ""
    connection.exec_driver_sql("PRAGMA max_page_count=1000000").close()
    edits.set_caption(library, [pid], "short")
    with bench.open() as other:
        assert shown(other, pid).caption == "short"
        assert other.alarms == []


def test_two_openings_edit_in_turn_and_agree(bench: Bench) -> None:
    with bench.open() as one, bench.open() as two:
        pids = bench.add_photos(one, 3)
        for number in range(10):
            edits.set_rating(one, [pids[0]], number % 5 + 1)
            edits.add_label(two, [pids[1]], f"label {number}")
        assert one.refresh()
        assert not one.refresh()
        assert one.log.heads() == two.log.heads()
        assert rating(two, pids[0]) == rating(one, pids[0]) == 5
        assert len(list(one.replica_items(MAY, "label"))) == 10
        assert one.catalog.label_counts() == two.catalog.label_counts()


def test_an_edit_of_thousands_becomes_several_envelopes_of_one_group(
    library: Library, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = bench.add_photos(library, 500)
    monkeypatch.setattr(commit, "PIECE_OPERATIONS", 300)
    head = library.log.head(library.device_id)[0]
    receipt = edits.add_label(library, pids, "everything")
    assert receipt.seq == head + 2
    assert len(receipt.touched[MAY]) == 500
    assert library.catalog.count("label:everything") == 500


def test_settings_are_kept_and_removed(library: Library, bench: Bench) -> None:
    assert library.setting("pack") is None
    library.set_setting("pack", "mobile@1 abc")
    with bench.open() as other:
        assert other.setting("pack") == "mobile@1 abc"
        other.set_setting("pack", None)
    library.refresh()
    assert library.setting("pack") is None


def test_a_copied_folder_is_named_and_becomes_a_device_of_its_own_with_the_first_edit(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.open() as library:
        (pid,) = bench.add_photos(library, 1)
    shutil.copytree(bench.root, tmp_path / "elsewhere")
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "state of another machine"))
    with Library.open(tmp_path / "elsewhere", bench.secrets) as copy:
        assert [type(doubt) for doubt in copy.doubts] == [LibraryCopied]
        assert copy.alarms == [], "it heals with the next edit"
        assert "becomes a device of its own" in copy.notes[0]
        assert "doctor --claim" in copy.notes[0]
        assert copy.catalog.photo(pid) is not None
        assert copy.device_id == bench.secrets.device_id, "reading changes nothing"
        edits.set_rating(copy, [pid], 3)
        assert copy.device_id != bench.secrets.device_id
        assert copy.doubts == []
        assert copy.notes == ["This folder was a copy. It is a device of its own now, called 'desk (copy)'."]
    with Library.open(tmp_path / "elsewhere", bench.secrets) as copy:
        assert copy.alarms == []
        assert copy.members.continued_by(copy.device_id) == (bench.secrets.device_id,)
        assert rating(copy, pid) == 3


def test_a_moved_folder_can_be_claimed(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bench.open() as library:
        (pid,) = bench.add_photos(library, 1)
    shutil.move(bench.root, tmp_path / "elsewhere")
    monkeypatch.setenv("SAFELIGHT_STATE_DIR", str(tmp_path / "state of another machine"))
    Library.claim(tmp_path / "elsewhere", bench.secrets)
    with Library.open(tmp_path / "elsewhere", bench.secrets) as moved:
        assert moved.alarms == []
        edits.set_rating(moved, [pid], 3)
        assert moved.device_id == bench.secrets.device_id


def test_of_two_copies_on_one_machine_the_second_writer_becomes_another_device(bench: Bench, tmp_path: Path) -> None:
    with bench.open() as library:
        (pid,) = bench.add_photos(library, 1)
    shutil.copytree(bench.root, tmp_path / "copy")
    with bench.open() as library:
        edits.set_rating(library, [pid], 1)
        head = library.log.head(library.device_id)
    with pytest.raises(LogRolledBack):
        Library.claim(tmp_path / "copy", bench.secrets)
    with Library.open(tmp_path / "copy", bench.secrets) as copy:
        assert [type(doubt) for doubt in copy.doubts] == [LogRolledBack]
        edits.set_rating(copy, [pid], 2)
        assert copy.log.head(bench.secrets.device_id)[0] == head[0] - 1, "nothing more is written under the old name"
        assert copy.log.head(copy.device_id)[0] > 0
    with bench.open() as library:
        edits.set_rating(library, [pid], 4)
        assert library.device_id == bench.secrets.device_id


@pytest.mark.scenario(12, "a device is restored from an old backup")
@pytest.mark.parametrize("keep_derived", [True, False])
def test_an_older_log_put_back_never_uses_a_number_twice(bench: Bench, *, keep_derived: bool) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 1)
    older = (bench.root / "log.db").read_bytes()
    with bench.open() as library:
        for number in range(5):
            edits.set_rating(library, pids, number)
        library.save_derived()
        head = library.log.head(library.device_id)
    (bench.root / "log.db").write_bytes(older)
    if not keep_derived:
        shutil.rmtree(bench.root / "derived")
    with bench.open() as library:
        old = library.device_id
        assert {type(doubt) for doubt in library.doubts} == {LogRolledBack}
        assert library.alarms == []
        assert "ends before" in library.notes[0]
        assert library.catalog.photo(pids[0]) is not None
        edits.set_rating(library, pids, 5)
        assert library.log.head(old)[0] < head[0]
        assert library.device_id != old
        assert library.alarms == []
    with bench.open() as library:
        assert library.alarms == []
        assert rating(library, pids[0]) == 5


def test_an_older_log_put_back_under_an_open_library_is_noticed_before_the_next_edit(bench: Bench) -> None:
    library = bench.open()
    pids = bench.add_photos(library, 1)
    old = library.device_id
    head = library.log.head(old)
    library.writer._machine.advance(type(library.writer._machine.read())(99, b"h" * 32, library.writer._token))  # type: ignore[misc]
    edits.set_rating(library, pids, 1)
    assert library.device_id != old
    assert library.log.head(old) == head
    library.close()


def test_a_log_cut_in_the_middle_is_named_and_the_catalog_still_answers(bench: Bench) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 300)
        for number in range(40):
            edits.set_caption(library, [pids[number]], f"caption {number}" * 50)
        library.save_derived()
    whole = (bench.root / "log.db").read_bytes()
    (bench.root / "log.db").write_bytes(whole[: len(whole) // 2])
    with bench.open() as library:
        assert any(isinstance(alarm, LogDamaged) for alarm in library.alarms)
        assert library.catalog.count("") == 300
        assert shown(library, pids[3]).caption.startswith("caption 3")
        with pytest.raises(IntegrityAlarm):
            edits.set_rating(library, pids, 1)


@pytest.mark.parametrize("content", [b"", b"not a database", None])
def test_a_log_that_is_gone_or_replaced_is_named(bench: Bench, content: bytes | None) -> None:
    if content is None:
        (bench.root / "log.db").unlink()
    else:
        (bench.root / "log.db").write_bytes(content)
    with pytest.raises(LogDamaged):
        bench.open()


@pytest.mark.scenario(1, "in a file of the library", alarm="envelope-damaged")
def test_an_altered_envelope_is_named_and_the_others_are_shown(bench: Bench) -> None:
    with bench.open() as library:
        may = bench.add_photos(library, 3, month="2024-05")
        june = bench.add_photos(library, 3, month="2024-06")
        july = bench.add_photos(library, 3, month="2024-07")
        seq = library.log.head(library.device_id)[0] - 1
        stored = library.log.envelope(library.device_id, seq)
        assert stored is not None
        altered = bytearray(stored.data)
        altered[len(altered) // 2] ^= 1
        library.log._connection.exec_driver_sql(
            "UPDATE envelope SET envelope = ? WHERE seq = ?", (bytes(altered), seq)
        ).close()
    shutil.rmtree(bench.root / "derived")
    with bench.open() as library:
        (alarm,) = library.alarms
        assert alarm.name == "envelope-damaged"
        assert str(seq) in str(alarm)
        assert alarm.hint
        assert [library.catalog.documents_of([pids[0]]) != {} for pids in (may, june, july)] == [True, False, True]
        with pytest.raises(IntegrityAlarm):
            edits.set_rating(library, may, 1)
    with bench.open() as library:
        assert len(library.alarms) == 1, "the alarm is raised again by the next opening"


def test_a_removed_envelope_is_named(bench: Bench) -> None:
    with bench.open() as library:
        bench.add_photos(library, 3)
        pids = bench.add_photos(library, 3, month="2024-06")
        seq = library.log.head(library.device_id)[0] - 1
        library.log._connection.exec_driver_sql("DELETE FROM envelope WHERE seq = ?", (seq,)).close()
    shutil.rmtree(bench.root / "derived")
    with bench.open() as library:
        assert [alarm.name for alarm in library.alarms] == ["chain-broken"]
        assert library.catalog.photo(pids[0]) is not None


def test_two_envelopes_that_change_places_are_named(bench: Bench) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 1)
        edits.set_rating(library, pids, 1)
        edits.set_rating(library, pids, 2)
        run = library.log._connection.exec_driver_sql
        run("UPDATE envelope SET seq = 99 WHERE seq = 3").close()
        run("UPDATE envelope SET seq = 3 WHERE seq = 4").close()
        run("UPDATE envelope SET seq = 4 WHERE seq = 99").close()
    shutil.rmtree(bench.root / "derived")
    with bench.open() as library:
        assert {alarm.name for alarm in library.alarms} >= {"envelope-damaged"}


def test_damaged_derived_files_are_made_again_without_fuss(bench: Bench) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 5)
        edits.set_rating(library, pids, 2)
        library.save_derived()
    for path in (bench.root / "derived").iterdir():
        if path.stat().st_size:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    with bench.open() as library:
        assert library.alarms == []
        assert shown(library, pids[0]).rating == 2
        edits.set_rating(library, pids, 3)
    with bench.open() as library:
        assert shown(library, pids[4]).rating == 3


def test_nothing_of_the_photos_is_on_disk_in_the_clear(bench: Bench) -> None:
    with bench.open() as library:
        pids = bench.add_photos(library, 20, blobs=True)
        edits.add_label(library, pids, "zebracrossing")
        edits.set_caption(library, pids, "lighthousekeeper")
        album = edits.create_album(library, "midsummernight")
        edits.add_to_album(library, pids, album)
        edits.remember_search(library, "quokkas", "label:zebracrossing")
        library.save_derived()
        everything = b"".join(path.read_bytes() for path in bench.root.rglob("*") if path.is_file())
    state = os.environ["SAFELIGHT_STATE_DIR"]
    everything += b"".join(
        (root_file).encode() + b"" for root_file in (name for _, _, names in os.walk(state) for name in names)
    )
    words = [
        b"zebracrossing",
        b"lighthousekeeper",
        b"midsummernight",
        b"quokkas",
        b"IMG_0001",
        b"2024-05",
        b"label.add",
    ]
    words += [pids[0], pids[0].hex().encode(), b"image/jpeg", b"desk", bench.secrets.to_bytes()]
    assert [word for word in words if word in everything] == []


def test_all_files_and_folders_are_private(bench: Bench) -> None:
    before = os.umask(0)
    try:
        with bench.open() as library:
            bench.add_photos(library, 3, blobs=True)
            library.save_derived()
            modes = {path.stat().st_mode & 0o777 for path in bench.root.rglob("*") if path.is_file()}
            folders = {path.stat().st_mode & 0o777 for path in [bench.root, *bench.root.rglob("*")] if path.is_dir()}
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert folders == {0o700}


def test_a_failed_commit_drops_what_the_replica_held(
    library: Library, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = bench.add_photos(library, 1)
    with monkeypatch.context() as patched:
        patched.setattr(library.chain, "seal", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            edits.set_rating(library, pids, 5)
    assert rating(library, pids[0]) is None
    edits.add_label(library, pids, "after")
    with bench.open() as other:
        assert rating(other, pids[0]) is None
        assert other.alarms == []


def test_the_purged_key_and_blobs_go_together(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 3, blobs=True)
    doomed = [copy.blob_id for copy in library.catalog.copies(pids[0])]
    kept = [copy.blob_id for copy in library.catalog.copies(pids[1])]
    edits.purge(library, pids[:1])
    assert not any(library.blobs.exists(blob_id) for blob_id in doomed)
    assert all(library.blobs.exists(blob_id) for blob_id in kept)
    assert library.catalog.count("") == 2
    assert library.replica_get(MAY, "purged", pids[0].hex()) is True
    library.commit({MAY: [Delete("purged", pids[0].hex())]}, action="unpurge", summary="insisted")
    assert library.catalog.count("") == 3


def test_threads_take_turns(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 4)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(8):
                edits.add_label(library, [pids[number]], f"label {number} {step}")
                library.refresh()
                assert library.catalog.count("") == 4
                assert list(library.replica_items(MAY, "label", pids[number].hex()))
        except BaseException as error:  # noqa: BLE001  told by the thread that started it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(library.replica_items(MAY, "label"))) == 32
