"""What no sender can make a device do: keep without end, believe what was altered here, go on as a device it is not."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.envelope_body import KIND_CHECKPOINT, EnvelopeBody, places_of
from tests.core.remote_device import beside, pair

if TYPE_CHECKING:
    from core.library import Library
    from tests.core.conftest import Bench


@pytest.mark.scenario(11, "it floods devices and relays")
def test_membership_entries_are_bounded(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = pair(library)
    most = len(library.members.membership.entries) + 3
    monkeypatch.setattr("core.ingest.MOST_ENTRIES", most)
    for _ in range(4):
        arrival = library.ingest.entries([remote.rotate().data])
    assert (arrival.entries, [alarm.name for alarm in arrival.alarms]) == (0, ["forged"])
    assert len(library.members.membership.entries) == most


def test_entries_that_wait_for_others_are_bounded(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = pair(library)
    kept_back = remote.rotate()
    waiting = [remote.rotate().data for _ in range(4)]
    monkeypatch.setattr("core.ingest.MAX_PENDING", 2)
    arrival = library.ingest.entries(waiting)
    assert (arrival.entries, [alarm.name for alarm in arrival.alarms]) == (2, ["forged"])
    assert len(library.members.membership.pending) == 2
    # Nothing is lost by it: what they wait for makes room.
    assert library.ingest.entries([kept_back.data, *waiting]).alarms == []
    assert not library.members.membership.pending


def test_a_revoked_device_has_nobody_look_for_what_there_is_not(library: Library) -> None:
    founder, revoked, other = beside(library), pair(library), pair(library)
    founder.learn(library.members.membership.entries.values())
    revoked.write({other.id: (9, b"\x07" * 32)})
    library.ingest.envelopes(revoked.envelopes)
    far = [revoked.write() for _ in range(3)][-1]
    library.ingest.envelopes([far])
    assert {alarm.name for alarm in library.ingest.unaccounted()} == {"withheld"}
    library.ingest.entries([founder.revoke(revoked.id, revoked.chain[0].place).data])
    assert library.ingest.unaccounted() == []


def test_what_was_altered_in_the_log_while_it_waited_is_named_and_let_go(library: Library, bench: Bench) -> None:
    remote = pair(library)
    for _ in range(3):
        remote.write()
    third, forged = remote.envelopes[2], remote.write(after=(8, b"\x07" * 32), keep=False)
    assert library.ingest.envelopes([third]).held == 1
    with sqlite3.connect(bench.root / "log.db") as database:
        # It is by the device, and whole; it is not the one whose place was looked at.
        assert database.execute("UPDATE held SET envelope = ?", (forged,)).rowcount == 1
    database.close()
    arrival = library.ingest.envelopes(remote.envelopes[:2])
    assert (arrival.accepted, [alarm.name for alarm in arrival.alarms]) == (2, ["forged"])
    assert "altered" in str(arrival.alarms[0])
    assert arrival.alarms[0].hint
    assert library.ingest.envelopes([third]).accepted == 1, "it may come once more"


def test_who_meets_a_checkpoint_beyond_its_own_edits_goes_on_as_another_device(library: Library, bench: Bench) -> None:
    """It was put back from a backup, or copied: the numbers after its own are used."""
    (pid,) = bench.add_photos(library, 1)
    twin, maker = beside(library), pair(library)
    seq, hashed = library.log.head(library.device_id)
    twin.write(after=(seq, hashed))
    covers = {library.device_id: twin.place}
    body = EnvelopeBody(KIND_CHECKPOINT, 0, [], [], bytes(16), "", "", covers=places_of(covers))
    library.ingest.merge_base(maker.write(body=body))
    edits.set_rating(library, [pid], 4)
    assert library.device_id != bench.secrets.device_id
