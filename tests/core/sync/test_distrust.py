"""A member that writes what cannot be accepted: it is named, left out on every device, and stops nobody's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from core import edits
from core.envelope_body import KIND_CHANGES, DocumentChanges, EnvelopeBody
from core.errors import Forged, InvalidEdit
from crdt import weight
from crdt.operations import Put
from crdt.replica import Replica, new_actor
from tests.core.sync.conftest import shown

if TYPE_CHECKING:
    from tests.core.sync.conftest import Device

MONTH = "photos:2024-05"


def write(device: Device, *changes: bytes) -> int:
    """Write an envelope with these changes, past everything that an honest program checks."""
    body = EnvelopeBody(KIND_CHANGES, 0, [], [DocumentChanges(MONTH, list(changes))], bytes(16), "label.add", "forged")
    library = device.library
    with library.members.transaction(library.log) as transaction:
        seq, hash_, envelope = library.chain.seal(library.log.head(device.id), body)
        transaction.append(device.id, seq, hash_, envelope)
        library.writer.wrote(seq, hash_)
    return seq


@pytest.fixture
def both(pair: tuple[Device, Device]) -> tuple[Device, Device]:
    first, second = pair
    second.sync()
    first.photos(3, month="2024-05")
    first.sync()
    second.sync()
    return first, second


@pytest.mark.scenario(11, "it writes records that no program writes", alarm="forged")
def test_a_change_that_cannot_be_accepted_is_named_and_stops_nobody(both: tuple[Device, Device]) -> None:
    first, second = both
    stranger = Replica.create(MONTH, new_actor(bytes(32)))
    change = stranger.edit([Put("caption", "ab" * 16, "forged")])
    assert change is not None
    seq = write(first, change)
    second.library.ingest.envelopes([stored.data for stored in first.library.log.envelopes_of(first.id, seq - 1, 9)])
    second.library.refresh()
    report = second.engine.run()
    (alarm,) = report.alarms
    assert isinstance(alarm, Forged)
    assert f"envelope {seq} of device {first.id.hex()[:12]}" in str(alarm)
    assert second.library.alarms == []
    assert [kept.name for kept in second.engine.alarms.list()] == ["forged"]
    pids = second.library.catalog.pids("")
    edits.set_rating(second.library, pids[:1], 4)
    second.sync()
    assert second.engine.run().alarms == [], "it is told once"
    before = shown(second)
    second.reopen()
    assert (second.library.alarms, shown(second)["photos"]) == ([], before["photos"])
    second.library.rebuild_view()
    assert (second.library.alarms, shown(second)["photos"]) == ([], before["photos"])


def test_a_change_that_breaks_the_engine_costs_that_change_alone(
    both: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reader lets through and the engine fails at: the document loads, now and at every later start."""
    first, second = both
    pids = first.library.catalog.pids("")
    edits.set_caption(first.library, pids[:1], "poison")
    first.sync()
    apply = Replica.apply

    def failing(replica: Replica, changes: Any, **more: Any) -> Any:
        if any(b"poison" in change for change in changes):
            raise replica._engine.give_up("the engine failed")
        replica._engine.check_usable()
        return apply(replica, changes, **more)

    monkeypatch.setattr(Replica, "apply", failing)
    report = second.engine.run()
    assert [type(alarm) for alarm in report.alarms] == [Forged]
    for _ in range(2):
        assert second.library.catalog.count("poison") == 0
        edits.set_rating(second.library, pids[2:], 5)
        second.library._view.replicas.drop_all()
        edits.set_rating(second.library, pids[2:], 4)
        second.reopen()
        assert second.library.alarms == []
    second.library.rebuild_view()
    assert second.library.catalog.count("rating:4") == 1
    assert second.library.alarms == []


@pytest.mark.scenario(11, "it floods devices and relays", alarm="forged")
def test_a_member_that_fills_a_month_is_stopped_there_and_everybody_else_goes_on(
    both: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = both
    pids = first.library.catalog.pids("")
    full = Replica.create(MONTH, new_actor(first.id))
    for _ in range(2):
        write(first, *(full.edit([Put("caption", "ab" * 16, str(n) * 4_000)]) or b"" for n in range(10)))
    last = full.edit([Put("caption", "ab" * 16, "still more")]) or b""
    first.engine.run()
    monkeypatch.setattr(weight, "MAX_DEVICE_WEIGHT", 160 << 10)
    monkeypatch.setattr(weight, "LAST_EDIT_WEIGHT", 16 << 10)
    report = second.engine.run()
    (alarm,) = report.alarms
    assert f"device {first.id.hex()[:12]} writes more than is accepted" in str(alarm)
    assert MONTH in str(alarm)
    assert "device revoke" in (alarm.hint or "")
    edits.set_rating(second.library, pids[:1], 4)
    second.sync()
    write(first, last)
    first.engine.run()
    assert second.engine.run().alarms == [], "it is told once"
    before = shown(second)
    for _ in range(2):
        second.reopen()
        assert (second.library.alarms, shown(second)) == ([], before)
        second.library.rebuild_view()
    assert second.library.catalog.count("rating:4") == 1
    second.photos(2, month="2024-06")
    second.sync()
    assert second.library.catalog.count("") == 5


def test_an_edit_of_a_month_that_is_full_says_so_and_loses_nothing(
    both: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = both
    pids = first.library.catalog.pids("")
    edits.set_caption(first.library, pids[:1], "kept")
    monkeypatch.setattr(weight, "LAST_EDIT_WEIGHT", weight.MAX_DEVICE_WEIGHT)
    with pytest.raises(InvalidEdit, match=f"as much to {MONTH} as one device may") as refused:
        edits.set_caption(first.library, pids[:1], "too late")
    assert "join it anew" in (refused.value.hint or "")
    first.photos(1, month="2024-06")
    first.sync()
    second.sync()
    assert second.library.catalog.count("kept") == 1


def test_more_changes_may_wait_than_one_device_is_granted_elsewhere(
    both: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two relays that were apart: what one brings builds on what only the other has."""
    from crdt import orphans

    monkeypatch.setattr(orphans, "MAX_ORPHANS", 2)
    first, second = both
    pids = first.library.catalog.pids("")
    edits.set_rating(second.library, pids, 1)
    first.library.ingest.envelopes([stored.data for stored in second.library.log.envelopes_of(second.id, 0, 99)])
    first.library.refresh()
    for stars in (2, 3, 4, 5):
        edits.set_rating(first.library, pids, stars)
    late = first.library.log.envelopes_of(first.id, second.library.log.head(first.id)[0], 99)
    assert len(late) >= 4
    second.library.ingest.envelopes([stored.data for stored in late])
    second.library.refresh()
    assert second.library.take_distrust() == []
    assert second.library.catalog.count("rating:5") == 3
