"""Membership as the library knows it: read once, changed by entries, and always with keys to write under."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import edits, verify
from core.errors import LibraryExists, LogDamaged, NotAMember
from core.library import Library
from core.members import Members
from crypto import kdf
from crypto.keys import DeviceSecrets
from crypto.phrase import phrase_secrets
from crypto.recovery import find_library, recover
from tests.core.remote_device import Remote, beside, pair

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import Bench

FLOOR = kdf.new_parameters(*kdf.FLOOR)


def test_an_edit_neither_reads_nor_evaluates_membership(
    library: Library, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = bench.add_photos(library, 1)
    library.ingest.envelopes([pair(library).write()])
    monkeypatch.setattr("core.members.evaluate", lambda *_: 1 // 0)
    monkeypatch.setattr("core.log.Log.membership_entries", lambda *_: 1 // 0)
    monkeypatch.setattr("core.log.Log.membership_count", lambda *_: 1 // 0)
    monkeypatch.setattr("core.log.Log.frontiers", lambda *_: 1 // 0)
    for stars in range(3):
        edits.set_rating(library, [pid], stars + 1)


def test_an_edit_names_what_arrived_since_the_last_one_and_no_more(library: Library) -> None:
    remote = pair(library)
    remote.write()
    remote.write()
    library.ingest.envelopes(remote.envelopes)
    frontiers = []
    for number in range(3):
        library.set_setting("number", str(number))
        stored = library.log.envelope(*_newest(library))
        assert stored is not None
        frontiers.append(library.chain.open(stored).frontier)
    assert [(place.device, place.seq, place.hash) for place in frontiers[0]] == [(remote.id, *remote.place)]
    assert frontiers[1:] == [[], []]
    assert library.log.frontiers()[library.device_id] == {remote.id: remote.place}


def test_after_a_revocation_the_next_edit_changes_the_key_first(library: Library, bench: Bench) -> None:
    pids = bench.add_photos(library, 1, blobs=True)
    first = library.epoch
    remote = pair(library)
    library.add_entries([beside(library).revoke(remote.id)])
    assert due(library)
    store = library.blobs
    edits.set_rating(library, pids, 3)
    assert not due(library)
    assert library.epoch.epoch_id != first.epoch_id
    assert library.epoch.pid_key == first.pid_key
    assert library.blobs is not store, "what is in hand keeps its epoch, what begins takes the new one"
    assert library.blobs.key_for(b"data") != store.key_for(b"data")
    more = bench.add_photos(library, 1, blobs=True)
    assert more == pids, "a photo keeps its id"
    revoked = Remote(library.members.genesis.entry, remote.secrets)
    revoked.learn(library.members.membership.entries.values())
    with bench.open() as other:
        assert other.alarms == []
        assert other.epoch == library.epoch
        assert verify.verify(other, deep=True).problems == []


def test_a_rotation_of_another_process_is_seen_and_an_abandoned_one_is_not(
    library: Library, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = bench.add_photos(library, 1)
    remote = pair(library)
    with bench.open() as other:
        library.add_entries([beside(library).revoke(remote.id)])
        before = library.members.membership.entries.keys()
        with monkeypatch.context() as broken:
            broken.setattr("core.log.LogTransaction.append", lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                edits.set_rating(library, [pid], 1)
        assert library.members.membership.entries.keys() == before
        assert library.members.must_rotate
        edits.set_rating(library, [pid], 2)
        assert other.refresh()
        assert other.epoch == library.epoch
        assert other.replica_get("photos:2024-05", "rating", pid.hex()) == 2
        edits.set_rating(other, [pid], 3)
        assert other.alarms == []


def test_many_epochs_beside_each_other_are_wrapped_before_the_next_edit(library: Library) -> None:
    remote = pair(library)
    twins = [Remote(remote.genesis, remote.secrets, dict(remote.entries)) for _ in range(70)]
    library.ingest.entries([twin.rotate().data for twin in twins])
    library.set_setting("a", "b")
    assert not library.members.must_rotate
    assert len(library.members.keyring.tops) == 1


@pytest.mark.parametrize("founder", [True, False])
def test_many_adds_at_once_keep_nobody_from_writing(library: Library, *, founder: bool) -> None:
    """More newcomers than an entry names heads, none knowing of another, and an epoch that was made beside them."""
    remote, honest = pair(library), pair(library)
    remote.learn(library.members.membership.entries.values())
    before = dict(remote.entries)
    newcomers = [Remote(remote.genesis, remote.secrets, dict(before)).add(DeviceSecrets.generate()) for _ in range(150)]
    library.ingest.entries([remote.rotate().data, *(entry.data for entry in newcomers)])
    assert len(library.members.membership.heads) > 150
    honest.learn(library.members.membership.entries.values())
    if founder:
        library.set_setting("a", "b")
        assert not library.members.must_rotate
    else:  # one that has made no entry yet
        honest.rotate()
    library.ingest.entries([entry.data for entry in honest.entries.values()])
    assert library.members.membership.refused == {}
    library.set_setting("a", "c")
    epochs = library.members.membership.epochs
    newcomer_ids = {entry.admission.device_id for entry in newcomers}
    assert newcomer_ids <= epochs[library.members.membership.current].holders


def test_a_damaged_entry_is_named(bench: Bench) -> None:
    with bench.open() as library:
        pair(library)
        library.log._connection.exec_driver_sql(
            "UPDATE membership SET entry = zeroblob(500) WHERE hash <> ?", (library.library_id,)
        ).close()
    with pytest.raises(LogDamaged, match="membership"):
        bench.open()


def test_entries_that_change_places_are_named(bench: Bench) -> None:
    with bench.open() as library:
        one, two = pair(library), pair(library)
        assert one.id != two.id
        run = library.log._connection.exec_driver_sql
        run(
            "UPDATE membership SET hash = zeroblob(32) WHERE hash = (SELECT max(hash) FROM membership WHERE hash <> ?)",
            (library.library_id,),
        ).close()
    with pytest.raises(LogDamaged):
        bench.open()


def test_who_continues_whom(library: Library) -> None:
    founder = beside(library)
    copy, third, stranger = DeviceSecrets.generate(), DeviceSecrets.generate(), DeviceSecrets.generate()
    library.add_entries([founder.add(copy, continues=True)])
    of_copy = Remote(founder.genesis, copy, dict(founder.entries))
    library.add_entries([of_copy.add(third, continues=True), of_copy.add(stranger)])
    members = library.members
    assert members.continued_by(founder.id) == ()
    assert members.continued_by(copy.device_id) == (founder.id,)
    assert set(members.continued_by(third.device_id)) == {founder.id, copy.device_id}
    assert members.continued_by(stranger.device_id) == ()


def test_a_library_that_exists_elsewhere_gets_a_folder_here(library: Library, bench: Bench, tmp_path: Path) -> None:
    pids = bench.add_photos(library, 2)
    newcomer = DeviceSecrets.generate()
    entry = beside(library).add(newcomer)
    library.add_entries([entry])
    root = tmp_path / "laptop"
    genesis, entries = library.members.genesis.entry, [entry.data]
    with Library.create_from(root, b"other", newcomer, genesis, entries, kdf=FLOOR) as laptop:
        assert laptop.library_id == library.library_id
        assert laptop.alarms == []
        laptop.ingest.envelopes([stored.data for stored in library.log.after({}, library.raise_alarm)])
        laptop.refresh()
        assert sorted(laptop.catalog.pids("")) == sorted(pids)
        edits.set_rating(laptop, pids, 4)
        library.ingest.envelopes([stored.data for stored in laptop.log.envelopes_of(laptop.device_id, 0, 10)])
        library.refresh()
        assert library.replica_get("photos:2024-05", "rating", pids[0].hex()) == 4
    with Library.open(root, Library.unlock(root, b"other")) as again:
        assert again.device_id == newcomer.device_id
    with pytest.raises(LibraryExists):
        Library.create_from(root, b"other", newcomer, genesis, entries, kdf=FLOOR)


def test_the_phrase_reads_until_this_machine_is_a_member(library: Library, bench: Bench, tmp_path: Path) -> None:
    pids = bench.add_photos(library, 1)
    phrase, machine = phrase_secrets(bench.phrase), DeviceSecrets.generate()
    genesis = library.members.genesis.entry
    root = tmp_path / "recovered"
    with Library.create_from(root, b"p", machine, genesis, [], kdf=FLOOR, reader=phrase) as recovered:
        recovered.ingest.envelopes([stored.data for stored in library.log.after({}, library.raise_alarm)])
        recovered.refresh()
        assert recovered.catalog.pids("") == pids
        with pytest.raises(NotAMember):
            edits.set_rating(recovered, pids, 1)
        head = recovered.log.head(library.device_id)
        made, _ = recover(find_library(genesis, [], phrase), phrase, machine, keep=[], accepted={})
        recovered.adopt_entries(made)
        assert recovered.members.is_member
        edits.set_rating(recovered, pids, 1)
        assert recovered.log.head(library.device_id) == head
    with Library.open(root, machine) as recovered:
        assert recovered.alarms == []
        assert recovered.members.membership.departed.keys() == {library.device_id}


def test_secrets_of_nobody_open_nothing(library: Library) -> None:
    with pytest.raises(NotAMember):
        Members(library.log, library.library_id, [DeviceSecrets.generate()])


def due(library: Library) -> bool:
    return library.members.must_rotate


def _newest(library: Library) -> tuple[bytes, int]:
    return library.device_id, library.log.head(library.device_id)[0]
