"""Scenario 11: a member with real keys writes records that no program of ours writes.

Elsewhere: changes that break the CRDT engine, orphan floods and foreign actors (tests/crdt/test_attacks.py,
tests/core/sync/test_distrust.py); impossible frontiers, second chains and floods of names (tests/core/test_ingest.py);
bombs in snapshots (tests/core/test_snapshots.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from core import edits, history
from core.devices import devices
from core.envelope_body import KIND_CHECKPOINT, Inverse, Snapshot
from core.log import BLOB_PURGED
from core.originals import Originals
from core.verify import verify
from crdt.documents import LIBRARY
from crdt.operations import Delete, Put
from crdt.records import BundleEntry, BundleRecord, CopyRecord
from crdt.replica import Replica, new_actor
from sync_relay.client import RelayClient
from tests.core.sync.conftest import converged
from tests.hostile.conftest import Hostile, place, reads_nothing, still_sound, sync_all

if TYPE_CHECKING:
    from tests.core.sync.conftest import Device
    from tests.sync_relay.running_relay import Relay

MONTH = "photos:2024-05"


@pytest.mark.scenario(11, "it writes records that no program writes")
class TestSizesAndTimes:
    def test_sizes_that_no_number_holds_stop_nobody(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        (pid,) = first.photos()
        largest = (1 << 63) - 1
        body = mallory.body(
            KIND_CHECKPOINT,
            covers=[place(first.id, *first.library.log.head(first.id))],
            snapshots=[
                Snapshot(f"photos:20{year}-01", bytes([year]) * 32, bytes(32), largest) for year in range(10, 15)
            ],
        )
        mallory.at(relay).append(mallory.remote.write(body=body))
        sync_all(first, second)
        edits.set_caption(second.library, [pid], "still here")
        sync_all(first, second)
        converged(first, second)
        still_sound(first, second)

    @pytest.mark.parametrize("at", [(1 << 64) - 1, -(1 << 63), 253_402_300_800])
    def test_times_that_no_calendar_has(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay, at: int
    ) -> None:
        first, second = pair
        name = Put("device", mallory.id.hex(), "mallory")
        mallory.at(relay).append(mallory.edit(LIBRARY, name, at=at))
        sync_all(first, second)
        (found,) = [one for one in devices(first.library) if one.device_id == mallory.id]
        for shown in (found.last_seen, next(iter(history.entries(first.library))).at):
            assert shown is not None
            assert 0 <= shown <= 253_402_300_799
        still_sound(first, second)


@pytest.mark.scenario(11, "it writes records that no program writes", alarm="forged")
class TestRecordsOfFiles:
    def test_sizes_that_no_file_has_are_named_and_take_no_room(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        """A member writes of a blob that is at the relay that it is larger, or a bundle, or lies elsewhere."""
        first, second = pair
        sync_all(first, second)
        client = mallory.at(relay)
        blobs = [client.store(bytes([number]) * 4096) for number in range(3)]
        pid = "ab" * 16
        entry = BundleEntry(bytes.fromhex(pid), 1 << 40, 1 << 40)
        large = 1 << 40
        operations = [
            Put("copy", f"{pid}/{blobs[0].hex()}", CopyRecord(role="original", key=bytes(32), size=large).pack()),
            Put("copy", f"{pid}/{blobs[1].hex()}", CopyRecord(role="preview", key=bytes(32), size=0).pack()),
            Put(
                "bundle", blobs[2].hex(), BundleRecord(kind="thumb", key=bytes(32), entries=[entry], size=large).pack()
            ),
            Put("bundle", "cd" * 32, BundleRecord(kind="vector", key=bytes(32), entries=[entry]).pack()),
        ]
        client.append(mallory.edit(MONTH, *operations))
        alarms = [alarm for device in pair for alarm in device.engine.run(originals=True).alarms]
        # The relay has what the ids say: it is the record that is wrong, and nobody calls the relay's bytes damaged.
        assert {alarm.name for alarm in alarms} == {"forged"}
        assert all(any(blob.hex() in str(alarm) for alarm in alarms) for blob in blobs)
        assert all(mallory.id.hex()[:12] in str(alarm) for alarm in alarms)
        assert all(alarm.relay is None for device in pair for alarm in device.engine.alarms.list())
        for device in pair:
            size = sum(path.stat().st_size for path in (device.root / "blobs").rglob("*") if path.is_file())
            assert size < 1 << 20
        pids = first.photos(2)
        edits.set_rating(second.library, second.photos(1, month="2024-06"), 4)
        sync_all(first, second)
        converged(first, second)
        assert first.library.catalog.photo(pids[0]) is not None
        still_sound(first, second)


@pytest.mark.scenario(11, "it writes records that no program writes", alarm="forged")
class TestRecordsWrittenOver:
    def test_an_original_whose_key_a_member_writes_over_opens_again_on_every_device(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        """Only one key opens a blob, and it stands in the history: whoever has the blob can tell which it was."""
        first, second = pair
        (pid,) = first.photos()
        (copy,) = first.library.catalog.copies(pid)
        content = first.library.blobs.read(copy.blob_id, copy.key)
        sync_all(first, second)
        key = f"{pid.hex()}/{copy.blob_id.hex()}"
        mallory.replicas[MONTH] = _replica_of(first, mallory)
        for lie in (
            CopyRecord(role="original", key=bytes(32), size=copy.size),
            CopyRecord(role="original", key=copy.key, size=copy.size + 1),
        ):
            mallory.at(relay).append(mallory.edit(MONTH, Put("copy", key, lie.pack())))
            (named,) = [alarm for alarm in first.engine.run().alarms if alarm.name == "forged"]
            assert mallory.id.hex()[:12] in str(named)
            assert named.hint
            first.engine.alarms.clear()
            second.engine.run()
            for device in pair:
                (now,) = device.library.catalog.copies(pid)
                assert now == copy
            mallory.replicas[MONTH] = _replica_of(first, mallory)
        with Originals(second.library, connect=RelayClient) as originals:
            now = originals.ensure(pid)
        assert second.library.blobs.read(now.blob_id, now.key) == content
        converged(first, second)
        still_sound(first, second)

    def test_whoever_opens_it_before_its_device_has_synced_finds_the_key_too(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        (pid,) = first.photos()
        (copy,) = first.library.catalog.copies(pid)
        sync_all(first, second)
        mallory.replicas[MONTH] = _replica_of(first, mallory)
        lie = CopyRecord(role="original", key=b"k" * 32, size=copy.size)
        mallory.at(relay).append(mallory.edit(MONTH, Put("copy", f"{pid.hex()}/{copy.blob_id.hex()}", lie.pack())))
        second.engine.run()
        assert [one.key for one in second.library.catalog.copies(pid)] == [lie.key]
        with Originals(second.library, connect=RelayClient) as originals:
            assert originals.ensure(pid).key == copy.key
        assert [one.key for one in second.library.catalog.copies(pid)] == [copy.key]
        assert [kept.name for kept in second.engine.alarms.list()] == ["forged"]
        sync_all(second, first)
        assert first.engine.alarms.list() == []
        converged(first, second)
        mallory.replicas[MONTH] = _replica_of(first, mallory)
        again = mallory.edit(MONTH, Put("copy", f"{pid.hex()}/{copy.blob_id.hex()}", lie.pack()))
        first.library.ingest.envelopes([again])
        assert [problem.name for problem in verify(first.library, deep=True).problems] == ["forged"]
        assert verify(first.library, deep=True).sound


@pytest.mark.scenario(11, "it writes records that no program writes")
class TestHistory:
    def test_nobody_takes_over_anothers_edit_in_the_history(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        (pid,) = first.photos()
        receipt = edits.set_caption(first.library, [pid], "mine")
        sync_all(first, second)
        stolen = Inverse(MONTH, "caption", pid.hex(), "put there by undo", "mine")
        mallory.at(relay).append(
            mallory.edit(LIBRARY, Put("search", "x", "dog"), group=receipt.group, part=2, inverse=[stolen])
        )
        mallory.at(relay).append(mallory.edit(LIBRARY, Put("search", "y", "dog"), undoes=receipt.group))
        sync_all(first, second)
        assert [one for one in history.entries(first.library) if one.device == first.id and one.undone] == []
        history.undo(first.library)
        assert first.library.replica_get(MONTH, "caption", pid.hex()) is None
        sync_all(first, second)
        converged(first, second)


class TestNamesInTheClear:
    def test_what_a_member_names_does_not_reach_the_relay(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        mallory.at(relay).append(mallory.edit(LIBRARY, Put("device", mallory.id.hex(), "a-name-of-mallory")))
        sync_all(first, second)
        reads_nothing(relay, "a-name-of-mallory", "device 0", "IMG_0000", "2024-05")


@pytest.mark.scenario(11, "it writes records that no program writes")
class TestRecordsTakenAway:
    def test_an_original_whose_record_a_member_takes_away_stays_where_it_is(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        """Only a purge, which every device lists, destroys originals."""
        first, second = pair
        (pid,) = first.photos()
        (copy,) = first.library.catalog.copies(pid)
        sync_all(first, second)
        key = f"{pid.hex()}/{copy.blob_id.hex()}"
        replica = mallory.replicas[MONTH] = _replica_of(first, mallory)
        assert replica.get("copy", key) is not None
        mallory.at(relay).append(mallory.edit(MONTH, Delete("copy", key)))
        sync_all(first, second)
        assert first.library.blobs.exists(copy.blob_id)
        os.utime(first.library.blobs.path(copy.blob_id), (1, 1))
        verify(first.library, gc=True)
        assert first.library.blobs.exists(copy.blob_id)
        # Nor do relays hear that it is to go.
        assert first.library.log.blobs_in_state(BLOB_PURGED) == set()


def _replica_of(device: Device, mallory: Hostile) -> Replica:
    replica = Replica.create(MONTH, new_actor(mallory.id))
    replica.apply(device.library.with_replica(MONTH, lambda known, _: known.changes()), author=None)
    return replica
