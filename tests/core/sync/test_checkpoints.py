"""Checkpoints: made when due, confirmed by comparing, and refused, by name, when they lack or add anything."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from core import edits, history, snapshots
from core.envelope_body import KIND_CHECKPOINT, KIND_CONFIRMATION, Accepted, EnvelopeBody, Snapshot
from core.errors import Forged, LogDamaged, SyncAlarm, Withheld
from core.library import Library
from core.sync import checkpoints
from core.sync.checkpoints import checkpoint_if_due, confirm_pending, make_checkpoint
from core.sync.seen_checkpoints import look
from core.verify import verify
from sync_relay.statements import Delete, Prune, read_statement

if TYPE_CHECKING:
    from pathlib import Path

    from crdt.replica import Replica
    from tests.core.sync.conftest import Device, Home


def damaged(error: LogDamaged) -> None:
    raise error


def nothing(_blob_id: bytes) -> None:
    raise AssertionError("nothing had to be fetched")


def bodies(device: Device, kind: int) -> list[EnvelopeBody]:
    log, chain = device.library.log, device.library.chain
    return [body for stored in log.after({}, damaged) if (body := chain.open(stored)).kind == kind]


def checkpoint(device: Device) -> EnvelopeBody:
    assert make_checkpoint(device.library, look(device.library))
    return bodies(device, KIND_CHECKPOINT)[-1]


def carry(origin: Device, to: Device) -> None:
    """Hand over every envelope, as a relay would."""
    arrival = to.library.ingest.envelopes([stored.data for stored in origin.library.log.after({}, damaged)])
    assert arrival.alarms == []
    to.library.refresh()


def bring(origin: Device, to: Device) -> Any:
    """Return a `fetch` that takes blobs from the other device's folder."""
    fetched = []

    def fetch(blob_id: bytes) -> None:
        fetched.append(blob_id)
        with origin.library.blobs.ciphertext(blob_id) as source:
            content = source.read()
        with to.library.blobs.receive(blob_id, len(content)) as incoming:
            incoming.write(content)
            incoming.finish()

    fetch.fetched = fetched  # type: ignore[attr-defined]
    return fetch


@pytest.fixture
def two(home: Home) -> tuple[Device, Device]:
    """Two devices that know the same, each of which has written."""
    first = home.found()
    pids = first.photos(6, month="2024-05") + first.photos(3, month="2024-06")
    second = home.add([])
    carry(first, second)
    edits.set_rating(second.library, pids[:2], 4)
    edits.add_label(second.library, pids[6:], "lake")
    carry(second, first)
    return first, second


def test_it_is_due_after_four_megabytes_and_then_after_half_of_its_size(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = home.found()
    device.photos(3)
    assert not checkpoint_if_due(device.library)
    monkeypatch.setattr(checkpoints, "LEAST_BYTES", 1)
    assert checkpoint_if_due(device.library)
    monkeypatch.setattr(checkpoints, "LEAST_BYTES", 2_000)
    assert not checkpoint_if_due(device.library)
    edits.set_caption(device.library, device.photos(1), "x" * 3_000)
    assert checkpoint_if_due(device.library)


def test_a_checkpoint_that_says_it_is_huge_puts_off_no_other(
    two: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    forge(second, lambda listed: [msgspec.structs.replace(one, size=1 << 61) for one in listed.values()])
    carry(second, first)
    monkeypatch.setattr(checkpoints, "LEAST_BYTES", 1)
    for _ in range(5):
        edits.set_caption(first.library, first.photos(1), secrets.token_hex(4_000))
    assert checkpoint_if_due(first.library)


def test_where_a_document_is_too_large_for_a_snapshot_none_is_made_and_syncs_go_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = home.found()
    device.photos(3)
    monkeypatch.setattr(checkpoints, "LEAST_BYTES", 1)
    with monkeypatch.context() as full:
        full.setattr("core.snapshots.MAX_BYTES", 100)
        assert not checkpoint_if_due(device.library)
    assert checkpoint_if_due(device.library)


def test_only_what_was_touched_since_is_made_anew(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    device = home.found()
    pids = device.photos(3, month="2024-05") + device.photos(3, month="2024-06")
    before = {snapshot.document: snapshot for snapshot in checkpoint(device).snapshots}
    assert set(before) == {"library", "photos:2024-05", "photos:2024-06"}
    edits.set_rating(device.library, pids[:1], 3)
    packed = []
    make = snapshots.make

    def watched(replica: Replica) -> bytes:
        packed.append(replica.document)
        return make(replica)

    monkeypatch.setattr(snapshots, "make", watched)
    after = checkpoint(device)
    assert packed == ["photos:2024-05"]
    assert {snapshot.document for snapshot in after.snapshots if before[snapshot.document] != snapshot} == {
        "photos:2024-05"
    }
    head = device.library.log.head(device.id)[0]
    assert [(place.device, place.seq) for place in after.covers] == [(device.id, head - 1)]


def test_a_library_of_one_device_confirms_itself(home: Home) -> None:
    device = home.found()
    device.photos(2)
    assert confirm_pending(device.library, nothing) == []
    body = checkpoint(device)
    (statement,) = confirm_pending(device.library, nothing)
    assert confirm_pending(device.library, nothing) == [statement], "the same bytes, however often it is asked for"
    assert [
        (done.confirms.device, done.confirms.seq) for done in bodies(device, KIND_CONFIRMATION) if done.confirms
    ] == [(device.id, body.covers[0].seq + 1)]
    prune = read_statement(statement, device.library.library_id)
    assert isinstance(prune, Prune)
    assert [(place.device_id, place.seq, place.hash) for place in prune.covered] == [
        (place.device, place.seq, place.hash) for place in body.covers
    ]


def test_two_devices_make_the_same_blobs_so_nothing_is_fetched(two: tuple[Device, Device]) -> None:
    first, second = two
    carry(second, first)
    carry(first, second)
    checkpoint(first)
    assert confirm_pending(first.library, nothing) == [], "another device has written what it covers"
    carry(first, second)
    (statement,) = confirm_pending(second.library, nothing)
    prune = read_statement(statement, first.library.library_id)
    assert isinstance(prune, Prune)
    assert (prune.checkpoint.device_id, prune.confirmation.device_id) == (first.id, second.id)
    carry(second, first)
    assert look(first.library).newest()[0].is_confirmed(first.library.members.membership)
    assert confirm_pending(first.library, nothing) == []


def test_what_has_changed_here_since_is_compared_change_by_change(two: tuple[Device, Device]) -> None:
    first, second = two
    body = checkpoint(first)
    edits.set_caption(second.library, [second.library.catalog.pids("")[0]], "later")
    carry(first, second)
    fetch = bring(first, second)
    assert len(confirm_pending(second.library, fetch)) == 1
    touched = {snapshot.document: snapshot.blob for snapshot in body.snapshots}
    assert fetch.fetched == [touched["photos:2024-06"]]


def test_nothing_is_confirmed_that_is_not_all_here(home: Home) -> None:
    first = home.found()
    first.photos(2)
    second, third = home.add([]), home.add([])
    carry(first, second)
    second.photos(1)
    carry(second, first)
    carry(first, second)
    checkpoint(first)
    third.library.ingest.entries(list(first.library.log.membership_entries().values()))
    third.library.ingest.envelopes(
        [stored.data for stored in first.library.log.after({}, damaged) if stored.device == first.id]
    )
    third.library.refresh()
    assert confirm_pending(third.library, nothing) == []
    carry(first, third)
    assert len(confirm_pending(third.library, nothing)) == 1


def test_what_another_process_takes_in_meanwhile_is_compared_the_next_time(
    two: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    looks = first.library.refresh
    with Library.open(first.root, first.secrets) as other, monkeypatch.context() as meanwhile:

        def another_process() -> bool:
            looks()
            return (
                other.ingest.envelopes([stored.data for stored in second.library.log.after({}, damaged)]).accepted > 0
            )

        edits.set_rating(second.library, second.library.catalog.pids("")[:1], 1)
        checkpoint(second)
        meanwhile.setattr(first.library, "refresh", another_process)
        assert confirm_pending(first.library, bring(second, first)) == []
    assert len(confirm_pending(first.library, bring(second, first))) == 1


def forge(device: Device, alter: Any) -> None:
    """Write a checkpoint in which `alter(snapshots)` has its will of the snapshots."""
    from core.sync.checkpoints import _Making

    made = _Making(device.library, None).make()
    assert made is not None
    covers, listed = made
    body = EnvelopeBody(
        KIND_CHECKPOINT, 0, [], [], bytes(16), "checkpoint", "",
        covers=[Accepted(one, *place) for one, place in sorted(covers.items())],
        snapshots=alter(dict(listed)),
    )  # fmt: skip
    device.library.commit_record(body)


def changed_snapshot(device: Device, document: str, listed: dict[str, Snapshot], change: Any) -> list[Snapshot]:
    """Replace the snapshot of a document by one whose changes `change(changes)` returns."""
    from core.base import read_snapshot
    from tests.core.test_snapshots import packed

    raw = [raw for _, raw in snapshots.read(read_snapshot(device.library.blobs, listed[document]), document)]
    ref = device.library.blobs.put_bytes(packed(change(raw), document=document))
    listed[document] = Snapshot(document, ref.id, ref.key, ref.size)
    return list(listed.values())


@pytest.mark.scenario(9, "it is made up")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("a change is left out", Withheld),
        ("a document is left out", Withheld),
        ("a change is added", Forged),
        ("a document is added", Forged),
        ("a snapshot is none", Forged),
        ("a snapshot of before is named again", Withheld),
    ],
)
def test_a_checkpoint_that_does_not_hold_is_an_alarm_and_is_never_confirmed(
    two: tuple[Device, Device], fault: str, expected: type[SyncAlarm]
) -> None:
    first, second = two
    month = "photos:2024-05"
    earlier = {snapshot.document: snapshot for snapshot in checkpoint(first).snapshots}
    carry(first, second)
    if fault == "a snapshot of before is named again":
        assert len(confirm_pending(second.library, nothing)) == 1
        carry(second, first)
    edits.set_rating(first.library, first.library.catalog.pids("date:2024-05")[:1], 1)

    def alter(listed: dict[str, Snapshot]) -> list[Snapshot]:
        if fault == "a change is left out":
            return changed_snapshot(first, month, listed, lambda changes: changes[:-1])
        if fault == "a document is left out":
            return [snapshot for document, snapshot in listed.items() if document != month]
        if fault == "a change is added":
            return changed_snapshot(first, month, listed, lambda changes: [*changes, forged_change(first, changes)])
        if fault == "a document is added":
            listed["photos:1999-01"] = earlier[month]
        elif fault == "a snapshot is none":
            ref = first.library.blobs.put_bytes(b"SLSN\x01" + bytes(40))
            listed[month] = Snapshot(month, ref.id, ref.key, ref.size)
        else:
            listed[month] = earlier[month]
        return list(listed.values())

    forge(first, alter)
    carry(first, second)
    before, blobs = second.library.log.last_position(), blobs_of(second)
    with pytest.raises(expected) as caught:
        confirm_pending(second.library, bring(first, second))
    assert blobs_of(second) == blobs, "nothing that was never tried stays"
    number = first.library.log.head(first.id)[0]
    assert f"envelope {number} of device {first.id.hex()[:12]}" in str(caught.value)
    assert second.library.alarms == [], "this device works on"
    assert second.library.log.last_position() == before
    statements = confirm_pending(second.library, bring(first, second))
    for statement in statements:
        said = read_statement(statement, second.library.library_id)
        assert not isinstance(said, Prune) or said.checkpoint.seq < number
    edits.set_rating(second.library, second.library.catalog.pids("")[:1], 2)


def blobs_of(device: Device) -> set[Path]:
    return {path for path in (device.library.root / "blobs").rglob("*") if path.is_file()}


def forged_change(device: Device, changes: list[bytes]) -> bytes:
    """A change that the other device never made, under a new actor of its own."""
    from crdt.operations import Put
    from crdt.replica import Replica, new_actor

    other = next(one for one in device.library.members.membership.members if one != device.id)
    replica = Replica.create("photos:2024-05", new_actor(other))
    replica.apply(changes, author=None)
    change = replica.edit([Put("caption", "ab" * 16, "forged")])
    assert change is not None
    return change


def test_none_is_made_while_changes_wait_for_others(home: Home) -> None:
    first = home.found()
    pids = first.photos(2, month="2024-05")
    second, third = home.add([]), home.add([])
    second.library.ingest.entries(list(first.library.log.membership_entries().values()))
    carry(first, second)
    carry(first, third)
    edits.set_rating(first.library, pids, 1)
    carry(first, second)
    edits.set_rating(second.library, pids, 2)
    late = second.library.log.envelopes_of(second.id, 0, 10)
    third.library.ingest.envelopes([stored.data for stored in late])
    third.library.refresh()
    assert not make_checkpoint(third.library, look(third.library)), "an edit here waits for the one it was made after"
    carry(first, third)
    assert make_checkpoint(third.library, look(third.library))
    carry(third, second)
    assert len(confirm_pending(second.library, nothing)) == 1


def test_records_are_no_edits_and_verify_knows_them(two: tuple[Device, Device]) -> None:
    first, second = two
    shown = [entry.action for entry in history.entries(first.library)]
    checkpoint(first)
    carry(first, second)
    confirm_pending(second.library, nothing)
    carry(second, first)
    assert [entry.action for entry in history.entries(first.library)] == shown
    report = verify(first.library)
    assert report.problems == []
    first.library.rebuild_view()
    assert first.library.alarms == []
    assert first.library.catalog.count() == 9


def test_snapshots_that_only_earlier_checkpoints_name_are_deleted_with_the_next(home: Home) -> None:
    device = home.found()
    pids = device.photos(2, month="2024-05") + device.photos(2, month="2024-06")
    before = {snapshot.document: snapshot.blob for snapshot in checkpoint(device).snapshots}
    assert len(confirm_pending(device.library, nothing)) == 1
    edits.set_rating(device.library, pids[:1], 3)
    after = {snapshot.document: snapshot.blob for snapshot in checkpoint(device).snapshots}
    statements = confirm_pending(device.library, nothing)
    prune, delete = (read_statement(one, device.library.library_id) for one in statements)
    assert isinstance(prune, Prune)
    assert isinstance(delete, Delete)
    assert delete.blobs == (before["photos:2024-05"],)
    assert after["photos:2024-06"] == before["photos:2024-06"]
    assert confirm_pending(device.library, nothing) == statements


def test_what_another_device_calls_a_snapshot_is_not_deleted_on_its_word(
    two: tuple[Device, Device], home: Home
) -> None:
    first, second = two
    third = home.add([])
    original = next(first.library.blobs.iter_ids())
    forge(first, lambda listed: [*listed.values(), Snapshot("photos:1999-01", original, bytes(32), 1)])
    for device in (second, third):
        device.library.ingest.entries(list(first.library.log.membership_entries().values()))
        carry(first, device)
        with pytest.raises(Forged):
            confirm_pending(device.library, bring(first, device))
    edits.set_rating(second.library, second.library.catalog.pids("")[:1], 3)
    checkpoint(second)
    carry(second, third)
    (statement,) = confirm_pending(third.library, bring(second, third))
    assert isinstance(read_statement(statement, third.library.library_id), Prune)
