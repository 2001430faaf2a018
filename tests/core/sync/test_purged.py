"""A purge destroys everywhere: the blobs of the photo, and its parts of bundles, on relays and on other devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from core import bundles, edits
from core.errors import RelayUnreachable
from core.log import BLOB_PURGED
from core.originals import Originals
from core.sync.purged import finish_purges
from core.verify import verify
from crdt.operations import Delete, Put
from crdt.records import BundleRecord
from sync_relay.client import RelayClient
from tests.core.sync.test_bootstrap import let_grace_pass, make_and_confirm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay

MAY = "photos:2024-05"


def blob_of(library: Library, pid: bytes) -> bytes:
    (copy,) = library.catalog.copies(pid)
    return copy.blob_id


def add_bundle(library: Library, pids: Sequence[bytes]) -> bytes:
    data, entries = bundles.build([(pid, b"part of " + pid.hex().encode()) for pid in pids])
    ref = library.blobs.put_bytes(data)
    record = BundleRecord(kind="thumb", key=ref.key, size=ref.size, entries=entries)
    library.commit({MAY: [Put("bundle", ref.id.hex(), record.pack())]}, action="import", summary="bundle")
    return ref.id


def states_at(relay: Relay, device: Device, blob_ids: Sequence[bytes]) -> list[str]:
    client = RelayClient(relay.url)
    client.sign_in(device.secrets, device.library.library_id, 0)
    states = [state.state for state in client.blob_states(blob_ids)]
    client.close()
    return states


def fetch(device: Device, pids: Sequence[bytes]) -> None:
    with Originals(device.library) as originals:
        for pid in pids:
            originals.ensure(pid)


def test_a_purge_reaches_relay_and_other_devices(pair: tuple[Device, Device], relay: Relay) -> None:
    first, second = pair
    gone, kept = first.photos(2)
    bundle = add_bundle(first.library, [gone, kept])
    first.sync()
    second.sync()
    fetch(second, [gone, kept])
    blob_gone, blob_kept = blob_of(first.library, gone), blob_of(first.library, kept)
    assert second.library.blobs.exists(bundle)
    edits.purge(first.library, [gone])
    first.sync()
    assert states_at(relay, first, [blob_gone, bundle, blob_kept]) == ["leaving", "leaving", "stored"]
    second.sync()
    for device in pair:
        assert not device.library.blobs.exists(blob_gone)
        assert not device.library.blobs.exists(bundle)
        assert device.library.blobs.exists(blob_kept)
        where = device.library.catalog.thumbnail(kept)
        assert where is not None
        assert device.library.blobs.read(where.blob_id, where.key, where.offset, where.length).startswith(b"part of")
        assert verify(device.library, deep=True).sound
        assert {blob_gone, bundle} <= device.library.log.blobs_in_state(BLOB_PURGED)


def test_the_other_device_does_not_send_it_back(pair: tuple[Device, Device], relay: Relay) -> None:
    first, second = pair
    (gone,) = first.photos(1)
    first.sync()
    second.sync()
    fetch(second, [gone])
    blob_gone = blob_of(first.library, gone)
    edits.purge(first.library, [gone])
    first.sync()
    for _ in range(2):
        second.sync()
        first.sync()
    assert states_at(relay, first, [blob_gone]) == ["leaving"]


def test_a_purge_at_a_relay_that_the_purging_device_cannot_reach(
    pair: tuple[Device, Device], new_relay: object, relay: Relay
) -> None:
    first, second = pair
    other = new_relay()  # type: ignore[operator]
    first.engine.relays.use(other.url, other.invite())
    (gone,) = first.photos(1)
    first.sync()
    second.sync()
    blob_gone = blob_of(first.library, gone)
    edits.purge(first.library, [gone])
    first.engine.run(only=[relay.url])
    second.sync()
    assert states_at(other, second, [blob_gone]) == ["leaving"]


def test_what_has_been_dealt_with_is_not_looked_at_again(pair: tuple[Device, Device]) -> None:
    first, second = pair
    (gone,) = first.photos(1)
    first.sync()
    second.sync()
    fetch(second, [gone])
    edits.purge(first.library, [gone])
    first.sync()
    second.sync()
    reads: list[object] = []
    second.library.chain.open = reads.append  # type: ignore[assignment, method-assign]
    assert finish_purges(second.library).blobs == 0
    assert reads == []


def test_a_removal_that_was_cut_off_is_finished_by_verify(
    pair: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    (gone,) = first.photos(1)
    first.sync()
    second.sync()
    fetch(second, [gone])
    blob_gone = blob_of(first.library, gone)
    edits.purge(first.library, [gone])
    first.sync()

    def killed(_: bytes) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(second.library.blobs, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            second.sync()
    second.reopen()
    assert second.library.blobs.exists(blob_gone)
    assert verify(second.library).removed_blobs == 1
    assert not second.library.blobs.exists(blob_gone)


def test_a_copy_that_another_photo_uses_stays(pair: tuple[Device, Device]) -> None:
    first, second = pair
    gone, kept = first.photos(2)
    preview = first.library.blobs.put_bytes(b"one picture, two files")
    from crdt.records import CopyRecord
    from crdt.schema import copy_key

    record = CopyRecord(role="preview", key=preview.key, size=preview.size).pack()
    both = [Put("copy", copy_key(pid, preview.id), record) for pid in (gone, kept)]
    first.library.commit({MAY: both}, action="import", summary="previews")
    first.sync()
    second.sync()
    with Originals(second.library) as originals:
        originals.ensure(gone, "preview")
    edits.purge(first.library, [gone])
    first.sync()
    second.sync()
    for device in pair:
        assert device.library.blobs.exists(preview.id)
        assert preview.id not in device.library.log.blobs_in_state(BLOB_PURGED)


def test_a_bundle_that_a_record_still_names_stays_whatever_is_said_elsewhere(pair: tuple[Device, Device]) -> None:
    first, second = pair
    pids = first.photos(2)
    bundle = add_bundle(first.library, pids)
    first.sync()
    second.sync()
    # A change that speaks of it in a document that never named it.
    first.library.commit({"photos:2024-06": [Delete("bundle", bundle.hex())]}, action="purge", summary="odd")
    first.library.commit(
        {"photos:2024-06": [Put("caption", pids[0].hex(), "@" + bundle.hex())]}, action="x", summary=""
    )
    first.sync()
    second.sync()
    assert second.library.blobs.exists(bundle)
    assert second.library.log.blobs_in_state(BLOB_PURGED) == set()


def test_a_bundle_that_is_not_here_is_fetched_before_a_photo_in_it_is_purged(
    pair: tuple[Device, Device], relay: Relay
) -> None:
    first, second = pair
    gone, kept = first.photos(2)
    bundle = add_bundle(first.library, [gone, kept])
    first.sync()
    second.sync()
    second.library.blobs.remove(bundle)
    edits.purge(second.library, [gone])
    where = second.library.catalog.thumbnail(kept)
    assert where is not None
    assert where.blob_id != bundle
    assert second.library.blobs.exists(where.blob_id)


def test_where_no_relay_answers_a_purge_that_would_leave_a_thumbnail_is_refused(
    pair: tuple[Device, Device], relay: Relay
) -> None:
    first, second = pair
    gone, kept = first.photos(2)
    bundle = add_bundle(first.library, [gone, kept])
    first.sync()
    second.sync()
    second.library.blobs.remove(bundle)
    relay.stop()
    with pytest.raises(RelayUnreachable):
        edits.purge(second.library, [gone])
    assert second.library.catalog.photo(gone) is not None


def test_a_photo_that_is_imported_again_is_destroyed_by_nobody(pair: tuple[Device, Device], relay: Relay) -> None:
    first, second = pair
    first.bench.add_photos(first.library, 1, blobs=True)
    (pid,) = first.library.catalog.pids()
    blob_id = blob_of(first.library, pid)
    first.sync()
    second.sync()
    edits.purge(first.library, [pid])
    first.sync()
    second.sync()
    assert blob_id in second.library.log.blobs_in_state(BLOB_PURGED)
    edits.unpurge(first.library, {pid: MAY})
    first.bench.add_photos(first.library, 1, blobs=True)  # the same bytes, so the same blob
    assert blob_of(first.library, pid) == blob_id
    other = first.photos(1)
    first.sync()
    second.sync()
    assert second.library.log.blobs_in_state(BLOB_PURGED) == set()
    # Another purge, after which each device tells the relay what is to go.
    edits.purge(second.library, other)
    second.sync()
    first.sync()
    assert states_at(relay, first, [blob_id]) == ["stored"]
    fetch(second, [pid])
    for device in pair:
        assert verify(device.library, gc=True).sound
        assert device.library.blobs.exists(blob_id)


def test_what_is_not_fully_known_destroys_nothing(
    home: Home, pair: tuple[Device, Device], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    second.sync()
    gone, _ = first.photos(2)
    first.sync()
    second.sync()
    make_and_confirm(first, second)
    assert let_grace_pass(relay)["envelopes"] > 0
    third = home.add()
    first.sync()
    third.sync()
    fetch(third, [gone])
    edits.purge(first.library, [gone])
    first.sync()
    with monkeypatch.context() as patch:  # killed between the two
        patch.setattr("core.sync.engine.finish_purges", lambda _: None)
        third.sync()
    base = {blob_id: third.library.blobs.path(blob_id).read_bytes() for blob_id in third.library.base.blobs()}
    for blob_id in base:
        third.library.blobs.remove(blob_id)
    assert finish_purges(third.library).blobs == 0
    for blob_id, data in base.items():
        third.library.blobs.path(blob_id).write_bytes(data)
    assert finish_purges(third.library).blobs == 1


def test_two_devices_that_purge_from_one_bundle_at_once_leave_nothing_of_either(pair: tuple[Device, Device]) -> None:
    first, second = pair
    second.sync()
    one, two, kept = first.photos(3)
    add_bundle(first.library, [one, two, kept])
    first.sync()
    second.sync()
    edits.purge(first.library, [one])
    edits.purge(second.library, [two])
    for device in (first, second, first, second, first):
        device.sync()
    left: dict[bytes, set[bytes]] = {}
    for device in pair:
        records = list(device.library.replica_items(MAY, "bundle"))
        parts = [BundleRecord.unpack(bytes(value)).entries for _, value in records]  # type: ignore[arg-type]
        assert {entry.pid for entries in parts for entry in entries} == {kept}
        assert verify(device.library, deep=True).sound
        left[device.id] = {bytes.fromhex(key) for key, _ in records}
        assert set(device.library.blobs.iter_ids()) - left[device.id] <= {blob_of(device.library, kept)}
        where = device.library.catalog.thumbnail(kept)
        assert where is not None
        part = device.library.blobs.read(where.blob_id, where.key, where.offset, where.length)
        assert part == b"part of " + kept.hex().encode()
    assert left[first.id] == left[second.id]
    assert not any(device.sync().moved for device in (first, second))


@pytest.mark.scenario(11, "it writes records that no program writes")
@pytest.mark.parametrize(("what", "at_once"), [("its key", False), ("its photos", True), ("no record", False)])
def test_a_record_that_somebody_wrote_over_keeps_no_purged_thumbnail(
    pair: tuple[Device, Device], relay: Relay, what: str, at_once: bool
) -> None:
    """Before the purge, or without knowing of it; and the thumbnails of the others stay."""
    first, second = pair
    gone, kept = first.photos(2)
    bundle = add_bundle(first.library, [gone, kept])
    first.sync()
    second.sync()
    fetch(second, [gone, kept])
    value = second.library.replica_get(MAY, "bundle", bundle.hex())
    assert isinstance(value, bytes)
    record = BundleRecord.unpack(value)
    if what == "its key":
        record = msgspec.structs.replace(record, key=bytes(32))
    else:
        record = msgspec.structs.replace(record, entries=[one for one in record.entries if one.pid != gone])
    packed = b"none" if what == "no record" else record.pack()
    second.library.commit({MAY: [Put("bundle", bundle.hex(), packed)]}, action="import", summary="bundle")
    if not at_once:
        second.sync()
        first.sync()
    edits.purge(first.library, [gone])
    for device in (first, second, first, second):
        device.sync()
    for device in pair:
        assert not device.library.blobs.exists(bundle)
        where = device.library.catalog.thumbnail(kept)
        assert where is not None
        assert device.library.blobs.read(where.blob_id, where.key, where.offset, where.length).startswith(b"part of")
        assert verify(device.library, deep=True).sound
    assert states_at(relay, first, [bundle]) == ["leaving"]
    heads = first.library.log.heads()
    for device in (first, second, first):
        device.sync()
    assert first.library.log.heads() == heads
