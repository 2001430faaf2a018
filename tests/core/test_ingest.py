"""What comes from elsewhere: what is accepted, what waits, what is refused and under which name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.core.remote_device import pair

if TYPE_CHECKING:
    from core.library import Library


def test_a_member_s_envelopes_are_accepted_in_order_and_once(library: Library) -> None:
    remote = pair(library)
    for _ in range(5):
        remote.write()
    arrival = library.ingest.envelopes(remote.envelopes)
    assert (arrival.accepted, arrival.held, arrival.alarms) == (5, 0, [])
    again = library.ingest.envelopes(remote.envelopes)
    assert (again.accepted, again.known, again.alarms) == (0, 5, [])
    assert library.log.head(remote.id) == remote.place
    assert library.refresh()
    assert library.alarms == []


def test_what_arrives_before_what_it_follows_waits(library: Library) -> None:
    remote = pair(library)
    for _ in range(4):
        remote.write()
    arrival = library.ingest.envelopes([remote.envelopes[3], remote.envelopes[1], remote.envelopes[2]])
    assert (arrival.accepted, arrival.held) == (0, 3)
    (alarm,) = library.ingest.unaccounted()
    assert alarm.name == "withheld"
    arrival = library.ingest.envelopes(remote.envelopes[:1])
    assert (arrival.accepted, arrival.held) == (4, 0)
    assert library.ingest.unaccounted() == []
    assert library.log.held() == []
