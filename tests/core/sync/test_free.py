"""Freeing: an original goes only where two others hold it, and every relay has just shown that it does."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import NoSuchRelay, Refused, RelayUnreachable
from core.originals import Originals, keep_every_original
from core.sync.alarms import SyncAlarms
from core.sync.free import DAMAGED, NOT_SENT, ONE_COPY, WRONG, FreeEvent, FreeReport, free
from core.sync.holdings import HELD, holders, say_what_is_held
from core.verify import verify
from sync_relay.client import RelayClient
from tests.core.sync.test_bootstrap import let_grace_pass, make_and_confirm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.library import Library
    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay


def blob_of(library: Library, pid: bytes) -> bytes:
    (copy,) = library.catalog.copies(pid)
    return copy.blob_id


def is_here(device: Device, pid: bytes) -> bool:
    return device.library.blobs.exists(blob_of(device.library, pid))


def reasons(report: FreeReport) -> dict[str, int]:
    return dict(report.reasons)


@pytest.fixture
def alone(home: Home, relay: Relay) -> Device:
    """One device with three photos, all of them at its one relay."""
    device = home.found()
    device.engine.relays.use(relay.url, relay.invite())
    device.photos(3)
    device.sync()
    return device


def add_relay(device: Device, relay: Relay) -> None:
    device.engine.relays.use(relay.url, relay.invite())
    device.sync()


def test_without_a_relay_nothing_is_freed(home: Home) -> None:
    device = home.found()
    (pid,) = device.photos()
    with pytest.raises(NoSuchRelay):
        free(device.library, single_copy=True)
    assert is_here(device, pid)


def test_one_relay_is_not_enough_unless_the_user_says_so(alone: Device) -> None:
    pids = alone.library.catalog.pids()
    report = free(alone.library)
    assert (report.freed, report.kept, reasons(report)) == (0, 3, {ONE_COPY: 3})
    sizes = sum(alone.library.blobs.size_on_disk(blob_of(alone.library, pid)) for pid in pids)
    events: list[tuple[FreeEvent, int, int]] = []
    report = free(alone.library, single_copy=True, progress=lambda *event: events.append(event))
    assert (report.freed, report.bytes, report.kept) == (3, sizes, 0)
    assert not any(is_here(alone, pid) for pid in pids)
    assert [(event.event, done, count) for event, done, count in events] == [
        ("freed", 1, 3),
        ("freed", 2, 3),
        ("freed", 3, 3),
    ]


def test_what_was_freed_is_not_missing(alone: Device) -> None:
    free(alone.library, single_copy=True)
    report = verify(alone.library, deep=True)
    assert report.sound
    assert report.elsewhere == 3
    alone.reopen()
    assert verify(alone.library).elsewhere == 3
    assert alone.sync().missing == 0


def test_two_relays_are_enough(alone: Device, new_relay: Callable[..., Relay]) -> None:
    add_relay(alone, new_relay())
    assert free(alone.library).freed == 3


def test_a_second_relay_that_has_not_been_sent_it_keeps_it_here(alone: Device, new_relay: Callable[..., Relay]) -> None:
    second = new_relay()
    alone.engine.relays.use(second.url, second.invite())
    report = free(alone.library)
    assert reasons(report) == {NOT_SENT: 3}
    assert reasons(free(alone.library, single_copy=True)) == {NOT_SENT: 3}
    alone.sync()
    assert free(alone.library).freed == 3


def test_what_was_imported_since_the_last_sync_stays(alone: Device) -> None:
    (fresh,) = alone.photos()
    report = free(alone.library, single_copy=True)
    assert (report.freed, reasons(report)) == (3, {NOT_SENT: 1})
    assert is_here(alone, fresh)


def test_a_blob_that_a_relay_has_is_not_enough_without_the_envelope_that_names_it(alone: Device) -> None:
    (fresh,) = alone.photos()
    blob_id = blob_of(alone.library, fresh)
    client = RelayClient(alone.engine.relays.urls()[0])
    client.sign_in(alone.secrets, alone.library.library_id, 0)
    with alone.library.blobs.ciphertext(blob_id) as file:
        client.upload(blob_id, file, alone.library.blobs.size_on_disk(blob_id))
    client.close()
    assert reasons(free(alone.library, [fresh], single_copy=True)) == {NOT_SENT: 1}


def test_a_relay_out_of_reach_keeps_everything_here(alone: Device, new_relay: Callable[..., Relay]) -> None:
    second = new_relay()
    add_relay(alone, second)
    second.stop()
    with pytest.raises(RelayUnreachable):
        free(alone.library, single_copy=True)
    assert all(is_here(alone, pid) for pid in alone.library.catalog.pids())


def test_a_dry_run_removes_nothing(alone: Device) -> None:
    report = free(alone.library, single_copy=True, dry_run=True)
    assert report.freed == 3
    assert report.bytes > 0
    assert all(is_here(alone, pid) for pid in alone.library.catalog.pids())


def test_only_the_photos_named_are_freed_and_the_trash_counts(alone: Device) -> None:
    first, second, third = alone.library.catalog.pids()
    edits.trash(alone.library, [third])
    alone.sync()
    assert free(alone.library, [first], single_copy=True).freed == 1
    assert (is_here(alone, first), is_here(alone, second), is_here(alone, third)) == (False, True, True)
    assert free(alone.library, single_copy=True).freed == 2


def test_a_stop_between_two_leaves_the_rest(alone: Device) -> None:
    report = free(alone.library, single_copy=True, should_stop=lambda: True)
    assert (report.stopped, report.freed) == (True, 0)


def test_what_is_damaged_here_is_not_removed(alone: Device) -> None:
    pid, *_ = alone.library.catalog.pids()
    path = alone.library.blobs.path(blob_of(alone.library, pid))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    report = free(alone.library, single_copy=True)
    assert (report.freed, reasons(report)) == (2, {DAMAGED: 1})
    assert SyncAlarms(alone.library).list() == []


@pytest.mark.scenario(3, "blobs are dropped or exchanged", alarm="blob-damaged")
def test_a_relay_whose_storage_lost_bytes_is_an_alarm_and_the_original_stays(alone: Device, relay: Relay) -> None:
    pid, *_ = alone.library.catalog.pids()
    blob_id = blob_of(alone.library, pid)
    (stored,) = [path for path in relay.settings.data.rglob("*") if path.is_file() and blob_id.hex() in path.name]
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    report = free(alone.library, single_copy=True)
    assert (report.freed, reasons(report)) == (2, {WRONG: 1})
    assert is_here(alone, pid)
    (alarm,) = SyncAlarms(alone.library).list()
    assert (alarm.name, alarm.relay) == ("blob-damaged", relay.url)
    assert alarm.hint is not None
    assert blob_id.hex() in alarm.message


class Parrot(RelayClient):
    """A relay that answers every question for a proof with what it was asked for before."""

    def prove(self, blob_id: bytes, nonce: bytes) -> bytes:
        return hashlib.blake2b(blob_id, digest_size=32, key=bytes(len(nonce))).digest()


class Hoarder(RelayClient):
    """A relay that kept the hash, and a few bytes, of what it was given."""

    def prove(self, blob_id: bytes, nonce: bytes) -> bytes:
        return hashlib.blake2b(blob_id[:16], digest_size=32, key=nonce).digest()


@pytest.mark.scenario(2, "an earlier answer or sign-in")
@pytest.mark.parametrize("liar", [Parrot, Hoarder])
def test_a_proof_that_was_not_made_for_this_question_proves_nothing(alone: Device, liar: type[RelayClient]) -> None:
    report = free(alone.library, single_copy=True, connect=liar)
    assert (report.freed, reasons(report)) == (0, {WRONG: 3})
    assert len(SyncAlarms(alone.library).list()) == 3


def test_each_question_has_a_nonce_of_its_own(alone: Device) -> None:
    asked: list[bytes] = []

    class Listening(RelayClient):
        def prove(self, blob_id: bytes, nonce: bytes) -> bytes:
            asked.append(nonce)
            return super().prove(blob_id, nonce)

    free(alone.library, single_copy=True, dry_run=True, connect=Listening)
    free(alone.library, single_copy=True, connect=Listening)
    assert len(set(asked)) == 6


def test_a_device_that_is_killed_between_record_and_removal_misses_nothing(
    alone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: bytes) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(alone.library.blobs, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            free(alone.library, single_copy=True)
    report = verify(alone.library)
    assert (report.sound, report.elsewhere, report.blobs) == (True, 0, 3)
    assert free(alone.library, single_copy=True).freed == 3


# A device that keeps everything


def test_a_device_that_keeps_every_original_is_a_second_holder_once_it_has_them(
    pair: tuple[Device, Device],
) -> None:
    laptop, server = pair
    pids = laptop.photos(3)
    laptop.sync()
    server.sync()
    assert reasons(free(laptop.library)) == {ONE_COPY: 3}
    keep_every_original(server.library, wanted=True)
    server.sync()
    laptop.sync()
    late = laptop.photos(2)
    laptop.sync()
    report = free(laptop.library)
    assert (report.freed, reasons(report)) == (3, {ONE_COPY: 2})
    assert not any(is_here(laptop, pid) for pid in pids)
    assert all(is_here(laptop, pid) for pid in late)
    server.sync()
    laptop.sync()
    assert free(laptop.library).freed == 2


def test_its_word_is_taken_back_before_it_frees_any(pair: tuple[Device, Device]) -> None:
    laptop, server = pair
    laptop.photos(2)
    laptop.sync()
    keep_every_original(server.library, wanted=True)
    server.sync()
    with pytest.raises(Refused, match="keeps every original"):
        free(server.library, single_copy=True)
    keep_every_original(server.library, wanted=False)
    server.sync()
    laptop.sync()
    assert holders(laptop.library) == []
    assert reasons(free(laptop.library)) == {ONE_COPY: 2}
    assert free(server.library, single_copy=True).freed == 2
    assert server.library.log.fact(HELD) is None
    # Kept again, its word covers nothing that it does not have.
    keep_every_original(server.library, wanted=True)
    assert not say_what_is_held(server.library)
    assert server.sync().relays[0].blobs_down == 2
    laptop.sync()
    assert free(laptop.library).freed == 2


def test_a_revoked_device_holds_nothing(home: Home, pair: tuple[Device, Device]) -> None:
    laptop, server = pair
    laptop.photos(2)
    laptop.sync()
    keep_every_original(server.library, wanted=True)
    server.sync()
    laptop.sync()
    assert [holder.device_id for holder in holders(laptop.library)] == [server.id]
    home.revoke(server)
    laptop.sync()
    assert reasons(free(laptop.library)) == {ONE_COPY: 2}


def test_two_devices_that_keep_everything_do_not_answer_each_other_for_ever(pair: tuple[Device, Device]) -> None:
    for device in pair:
        keep_every_original(device.library, wanted=True)
    pair[0].photos(2)
    rounds: Sequence[bool] = [device.sync().moved for _ in range(5) for device in pair]
    assert rounds[:4] != [False] * 4
    assert rounds[-4:] == [False] * 4


# Checkpoints


@pytest.fixture
def newcomer(pair: tuple[Device, Device], relay: Relay, home: Home) -> Device:
    """A device that joined by a checkpoint: the envelopes that named three photos are nowhere any more."""
    first, second = pair
    second.sync()
    first.photos(3)
    first.sync()
    second.sync()
    make_and_confirm(first, second)
    assert let_grace_pass(relay)["envelopes"] > 0
    third = home.add()
    first.sync()
    third.sync()
    assert third.library.log.base()
    return third


def test_a_device_that_took_a_checkpoint_verifies_frees_and_fetches(newcomer: Device) -> None:
    report = verify(newcomer.library, gc=True)
    assert (report.problems, report.elsewhere, report.incomplete) == ([], 3, 0)
    pids = newcomer.library.catalog.pids()
    with Originals(newcomer.library) as originals:
        for pid in pids:
            originals.ensure(pid)
    assert reasons(free(newcomer.library)) == {ONE_COPY: 3}
    assert free(newcomer.library, single_copy=True).freed == 3
    assert verify(newcomer.library).elsewhere == 3


def test_its_word_counts_for_what_the_checkpoint_covers(newcomer: Device, pair: tuple[Device, Device]) -> None:
    first, _ = pair
    keep_every_original(newcomer.library, wanted=True)
    newcomer.sync()
    first.sync()
    assert free(first.library).freed == 3
    assert verify(newcomer.library, deep=True).blobs > 3


def test_the_snapshots_a_device_builds_on_are_no_garbage(newcomer: Device, pair: tuple[Device, Device]) -> None:
    first, second = pair
    first.photos(1)
    first.sync()
    second.sync()
    make_and_confirm(first, second)
    newcomer.sync()
    yesterday = time.time() - 90_000
    for blob_id in newcomer.library.blobs.iter_ids():
        os.utime(newcomer.library.blobs.path(blob_id), (yesterday, yesterday))
    report = verify(newcomer.library, gc=True)
    assert (report.problems, report.incomplete) == ([], 0)
    newcomer.reopen()
    assert newcomer.library.base.missing() == []
    for needed in newcomer.library.base.blobs():
        newcomer.library.blobs.remove(needed)
    report = verify(newcomer.library, gc=True)
    assert (report.removed_blobs, report.incomplete) == (0, len(newcomer.library.base.blobs()))
