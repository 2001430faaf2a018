"""Repair: what a relay holds comes back whole, what nobody holds is said, and no only copy is ever deleted."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import LibraryBusy, LogDamaged
from core.repair import RepairReport, repair
from core.verify import verify
from tests.core.sync.conftest import shown
from tests.core.sync.test_bootstrap import let_grace_pass, make_and_confirm

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay

PAGE = 4096


@pytest.fixture
def synced(home: Home, relay: Relay) -> Device:
    """A device whose relay holds everything: photos with originals, and edits on several pages of the log."""
    device = home.found()
    device.engine.relays.use(relay.url, relay.invite())
    pids = device.photos(4)
    for number in range(16):
        edits.set_caption(device.library, pids[number % 4 : number % 4 + 1], os.urandom(500).hex())
    device.sync()
    return device


def mend(device: Device, **more: object) -> RepairReport:
    device.close()
    report = repair(device.root, device.secrets, **more)  # type: ignore[arg-type]
    device.reopen()
    return report


def blobs(device: Device) -> list[bytes]:
    return sorted(device.library.blobs.iter_ids())


def damage(path: Path, at: int = 100) -> bytes:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return bytes(data)


def names(report: RepairReport) -> set[str]:
    return {problem.name for problem in report.after.problems}


def goes_on(device: Device) -> None:
    """The device writes on in its own chain, and the relay takes that: no number was used twice."""
    before = device.library.device_id, device.library.log.head(device.library.device_id)[0]
    edits.create_album(device.library, "life goes on")
    assert (device.library.device_id, device.library.log.head(device.id)[0]) == (before[0], before[1] + 1)
    device.sync()
    assert device.engine.alarms.list() == []


def test_blobs_come_back_from_a_relay_and_the_damaged_go_only_then(synced: Device) -> None:
    flipped, cut, empty, gone = blobs(synced)
    store = synced.library.blobs
    whole = {blob_id: store.path(blob_id).read_bytes() for blob_id in blobs(synced)}
    damage(store.path(flipped))
    os.truncate(store.path(cut), 50)
    os.truncate(store.path(empty), 0)
    store.remove(gone)
    steps: list[tuple[str, int, int]] = []
    report = mend(synced, progress=lambda *step: steps.append(step))
    assert report.before is not None
    assert len(report.before.problems) == 4
    assert report.after.sound
    assert (report.blobs, report.blob_bytes) == (4, sum(map(len, whole.values())))
    assert ("fetched", 4, 4) in steps
    assert {blob_id: store.path(blob_id).read_bytes() for blob_id in blobs(synced)} == whole
    assert not (synced.root / "set-aside").exists()
    assert verify(synced.library, deep=True).sound


def test_what_no_relay_has_whole_stays_where_it_is(synced: Device, relay: Relay) -> None:
    """A relay with damaged bytes, without the blob, and out of reach: what is here, however damaged, is not touched."""
    first, second, *_ = blobs(synced)
    store = synced.library.blobs
    left = {blob_id: damage(store.path(blob_id)) for blob_id in (first, second)}
    held = {path.name.partition(".")[0]: path for path in (relay.base_settings.data / "blobs").rglob("*.*")}
    damage(held[first.hex()])
    held[second.hex()].unlink()
    with closing(sqlite3.connect(relay.base_settings.data / "relay.db")) as database, database:
        (body,) = database.execute("SELECT body FROM item WHERE kind = 1 AND seq = 5").fetchone()
        altered = body[:-80] + bytes([body[-80] ^ 1]) + body[-79:]
        database.execute("UPDATE item SET body = ? WHERE kind = 1 AND seq = 5", (altered,))
    synced.library.log._connection.exec_driver_sql("DELETE FROM envelope WHERE seq = 5").close()
    report = mend(synced)
    assert report.log is not None
    assert (report.log.fetched, report.log.missing) == (0, [f"envelope 5 of device {synced.id.hex()[:12]}"])
    assert "envelope 5" in report.refused[0]
    assert synced.library.log.hash_at(synced.id, 5) is None
    things = {problem.thing for problem in report.after.problems if problem.name == "blob-damaged"}
    assert things == {f"blob {one.hex()}" for one in left}
    assert all("backup" in str(problem.hint) for problem in report.after.problems)
    assert report.refused, "that the relay gives out something else is said"
    assert {blob_id: store.path(blob_id).read_bytes() for blob_id in left} == left
    relay.stop()
    report = mend(synced)
    assert [error.name for error in report.unreachable] == ["relay-unreachable"]
    assert names(report) == {"blob-damaged", "chain-broken"}
    assert {blob_id: store.path(blob_id).read_bytes() for blob_id in left} == left
    assert not (synced.root / "set-aside").exists()
    relay.start()


def test_envelopes_come_back_and_the_own_chain_goes_on_where_it_was(synced: Device) -> None:
    log = synced.library.log
    heads, count, own = log.heads(), log.count(), synced.id
    run = log._connection.exec_driver_sql
    run("UPDATE envelope SET envelope = zeroblob(300) WHERE seq = 5").close()
    run("UPDATE envelope SET hash = zeroblob(32) WHERE seq = 9").close()
    run("DELETE FROM envelope WHERE seq IN (14, 15, 16)").close()
    run("DELETE FROM envelope WHERE seq > ?", (heads[own][0] - 2,)).close()
    run("UPDATE envelope SET seq = 7000 WHERE seq = 12").close()
    run("DELETE FROM chain_head").close()  # where it ends only this machine remembers
    report = mend(synced)
    assert report.after.sound
    assert report.log is not None
    assert (report.log.fetched, report.log.missing) == (6, [])
    assert report.set_aside is not None
    assert sqlite3.connect(report.set_aside).execute("SELECT count(*) FROM envelope").fetchone()[0] < count
    assert (synced.library.log.heads(), synced.library.log.count()) == (heads, count)
    assert synced.library.log.page_check() == []
    goes_on(synced)


def test_a_long_gap_in_anothers_chain_is_left_to_a_sync_and_what_follows_it_waits(
    pair: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.log_repair._MOST_ONE_BY_ONE", 2)
    first, second = pair
    second.sync()
    pids = second.photos(2)
    for number in range(8):
        edits.set_caption(second.library, pids, f"caption {number}")
    second.sync()
    first.sync()
    heads, shown = first.library.log.heads(), first.library.catalog.search("")
    run = first.library.log._connection.exec_driver_sql
    run("DELETE FROM envelope WHERE device = ? AND seq BETWEEN 2 AND 6", (second.id,)).close()
    report = mend(first)
    assert report.log is not None
    assert (report.log.fetched, report.log.needs_sync, report.log.missing) == (0, True, [])
    assert report.after.problems == []
    assert (first.library.log.heads(), first.library.log.held_sizes()) == (heads, {})
    assert first.library.catalog.search("") == shown
    goes_on(first)


@pytest.mark.parametrize("whose", ["another's", "its own"])
def test_a_gap_that_relays_have_pruned_is_filled_by_the_checkpoint(
    pair: tuple[Device, Device], relay: Relay, whose: str
) -> None:
    first, second = pair
    second.sync()
    device = first if whose == "another's" else second
    pids = device.photos(2)
    for number in range(3):
        edits.set_caption(device.library, pids, f"caption {number}")
    for one in (device, first, second):
        one.sync()
    make_and_confirm(first, second)
    assert let_grace_pass(relay)["envelopes"] > 3
    before, own = shown(second), second.library.device_id
    run = second.library.log._connection.exec_driver_sql
    run("DELETE FROM envelope WHERE device = ? AND seq IN (2, 3)", (device.id,)).close()
    if device is first:
        # With them went the word which relays there are.
        report = mend(second)
        assert names(report) == {"chain-broken"}
        assert all("safelight verify --repair --relay" in str(problem.hint) for problem in report.after.problems)
    report = mend(second, relays=[relay.url])
    assert report.log is not None
    assert (report.log.fetched, report.log.needs_sync, report.log.missing) == (0, True, [])
    assert report.after.problems == []
    assert second.library.log.base(), "nobody has the envelopes: a checkpoint stands for them"
    assert shown(second) == before
    edits.create_album(second.library, "life goes on")
    assert (second.library.device_id == own) == (device is first), "of its own chain, something is nowhere any more"
    second.sync()
    first.sync()
    assert second.engine.alarms.list() == first.engine.alarms.list() == []
    assert shown(first) == shown(second)


def test_pages_of_the_log_are_lost_and_everything_comes_back(synced: Device, relay: Relay) -> None:
    heads = synced.library.log.heads()
    shown = synced.library.catalog.search("")
    path = synced.root / "log.db"
    synced.close()
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // PAGE, 3):
        data[page * PAGE : (page + 1) * PAGE] = os.urandom(PAGE)
    path.write_bytes(data)
    report = mend(synced, relays=[relay.url])
    assert report.set_aside is not None
    assert report.set_aside.read_bytes() == bytes(data)
    assert report.after.problems == []
    assert synced.library.log.page_check() == []
    assert synced.library.log.heads() == heads
    assert synced.library.catalog.search("") == shown
    edits.create_album(synced.library, "life goes on")
    synced.sync()


def test_a_log_that_is_cut_off_to_nothing_comes_back_whole(synced: Device, relay: Relay) -> None:
    heads, shown, own = synced.library.log.heads(), synced.library.catalog.search(""), synced.id
    path = synced.root / "log.db"
    synced.close()
    os.truncate(path, 100)
    report = mend(synced, relays=[relay.url])
    assert report.after.problems == []
    assert synced.library.log.heads() == heads
    assert synced.library.catalog.search("") == shown
    # What said that this machine may write as that device may be gone with it; then it is a new one, and says so.
    edits.create_album(synced.library, "life goes on")
    synced.sync()
    assert synced.library.log.heads()[own][0] >= heads[own][0]
    assert synced.engine.alarms.list() == []


def test_without_a_relay_what_is_left_is_kept_and_the_rest_is_named(home: Home) -> None:
    device = home.found()
    pids = device.photos(2)
    for number in range(20):
        edits.set_caption(device.library, pids[:1], f"caption {number} " * 20)
    device.library.save_derived()
    run = device.library.log._connection.exec_driver_sql
    run("UPDATE envelope SET envelope = zeroblob(300) WHERE seq = 12").close()
    rows = device.library.log.count()
    store = device.library.blobs
    store.remove(lost := blobs(device)[0])
    report = mend(device)
    assert report.log is not None
    assert report.set_aside is None, "nothing would be better than before"
    assert {"envelope-damaged", "blob-missing"} <= names(report)
    assert {problem.thing for problem in report.after.problems if problem.name == "blob-missing"} == {
        f"blob {lost.hex()}"
    }
    assert all("backup" in str(problem.hint) for problem in report.after.problems)
    assert device.library.log.count() == rows
    assert len(device.library.catalog.search("")) == 2
    device.close()
    path = device.root / "log.db"
    data = bytearray(path.read_bytes())
    data[:100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(LogDamaged) as damage:
        repair(device.root, device.secrets)
    assert "safelight verify --repair --relay" in str(damage.value.hint)
    assert "no relay was asked" in str(damage.value)
    with pytest.raises(LogDamaged, match="no relay that was asked has it"):
        repair(device.root, device.secrets, relays=["http://127.0.0.1:1"])
    assert path.read_bytes() == bytes(data)
    assert sorted(one.name for one in device.root.iterdir()) == ["blobs", "derived", "library.toml", "log.db"]


def test_nobody_else_may_have_the_log_open_and_a_stop_changes_nothing(synced: Device) -> None:
    synced.library.log._connection.exec_driver_sql("DELETE FROM envelope WHERE seq = 4").close()
    with synced.bench.open(), pytest.raises(LibraryBusy, match="another process"):
        mend(synced)
    synced.library = synced.bench.open()
    before = (synced.root / "log.db").read_bytes()
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    report = mend(synced, should_stop=stop)
    assert report.stopped
    assert (synced.root / "log.db").read_bytes() == before
    assert mend(synced).after.sound


def test_a_derived_file_that_does_not_open_is_named_and_made_again(synced: Device) -> None:
    synced.library.save_derived()
    catalog, *_ = sorted((synced.root / "derived").glob("[0-9a-f]*"), key=lambda path: -path.stat().st_size)
    shown = synced.library.catalog.search("")
    (catalog.parent / ("0" * 32)).write_bytes(b"what the disk made of a replica")
    report = mend(synced)
    assert report.before is not None
    assert [problem.name for problem in report.before.problems] == ["derived-damaged"]
    assert (report.derived, report.after.problems) == (1, [])
    damage(catalog)
    assert {problem.name for problem in verify(synced.library).problems} == {"derived-damaged"}
    assert mend(synced).after.sound
    assert synced.library.catalog.search("") == shown
