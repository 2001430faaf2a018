"""A device that is new, or was away while relays pruned: it takes a checkpoint, and notices one that does not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from core import edits
from core.errors import CoreError, Forged, RelayUnreachable, Withheld
from core.library import Library
from core.sync.bootstrap import first_screen
from core.sync.checkpoints import confirm_pending, make_checkpoint
from core.sync.seen_checkpoints import look
from core.sync.transfers import Transfers
from core.verify import verify
from sync_relay import wire
from sync_relay.client import RelayClient
from sync_relay.server.removal import sweep
from tests.core.sync.conftest import shown
from tests.core.sync.test_checkpoints import changed_snapshot, forge
from tests.core.test_purge import bundle, thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay

MONTH_S = 31 * 86_400
NOTE = "Parts of the library have not been fetched yet; `safelight sync` fetches the rest."


def let_grace_pass(relay: Relay) -> dict[str, int]:
    """Return what the relay drops when a month has gone by."""
    relay.clock.now += MONTH_S  # type: ignore[attr-defined]
    dropped: dict[str, int] = relay.run(sweep(relay.service.parts))
    return dropped


def downloads(relay: Relay) -> int:
    return relay.log.getvalue().count('"operation": "download"')


def make_and_confirm(author: Device, confirmer: Device) -> None:
    """Make a checkpoint, have it confirmed, and give the relay the word that lets it prune."""
    assert make_checkpoint(author.library, look(author.library))
    author.sync()
    confirmer.sync()
    author.sync()


@pytest.fixture
def full(pair: tuple[Device, Device], relay: Relay) -> tuple[Device, Device]:
    """Two devices with photos of three months, and a relay that has pruned what it could."""
    first, second = pair
    second.sync()
    first.photos(4, month="2024-05")
    pids = first.photos(4, month="2024-06")
    first.photos(2, month="2023-01")
    first.sync()
    second.sync()
    edits.set_rating(second.library, pids[:2], 5)
    second.sync()
    first.sync()
    make_and_confirm(first, second)
    assert let_grace_pass(relay)["envelopes"] > 4
    return first, second


def test_a_new_device_takes_the_checkpoint_and_what_came_after_it(full: tuple[Device, Device], home: Home) -> None:
    first, second = full
    edits.add_label(first.library, first.library.catalog.pids("date:2024-05"), "lake")
    first.sync()
    third = home.add()
    first.sync()
    third.sync()
    second.sync()
    assert shown(third) == shown(first) == shown(second)
    assert third.library.notes == []
    assert third.library.log.base() == {
        place.device: (place.seq, place.hash) for place in look(first.library).newest()[0].covers
    }
    assert third.library.log.envelope(first.id, 2) is None
    third.reopen()
    assert shown(third) == shown(first)
    third.library.rebuild_view()
    assert shown(third) == shown(first)
    assert third.library.alarms == []


def test_edits_go_on_in_all_directions(full: tuple[Device, Device], home: Home) -> None:
    first, second = full
    third = home.add()
    first.sync()
    third.sync()
    edits.set_caption(third.library, third.library.catalog.pids("date:2024-06")[:1], "by the newcomer")
    third.photos(2, month="2023-01")
    edits.set_caption(second.library, second.library.catalog.pids("date:2024-05")[:1], "by the second")
    for device in (third, second, first, third, second):
        device.sync()
    assert shown(first) == shown(second) == shown(third)
    assert first.library.catalog.count("date:2023-01") == 4
    third.reopen()
    assert verify(third.library).problems == []


def test_a_device_that_joined_by_a_checkpoint_fills_an_empty_relay_alone(
    full: tuple[Device, Device], home: Home, relay: Relay, new_relay: Callable[..., Relay]
) -> None:
    """It has none of the envelopes that the checkpoint covers: the relay begins with the checkpoint, too."""
    first, second = full
    third = home.add()
    first.sync()
    third.sync()
    third.photos(1, month="2024-07")
    relay.stop()
    other = new_relay()
    third.engine.relays.remove(relay.url)
    third.engine.relays.use(other.url, other.invite())
    third.sync()
    fourth = home.add([other.url], by=2)
    third.sync()
    fourth.sync()
    assert shown(fourth) == shown(third)
    assert fourth.library.log.base() == third.library.log.base() != {}
    # Those that have everything hear of it, and nothing is in anybody's way.
    for device in (first, second):
        device.engine.relays.remember([other.url])
        device.engine.run(only=[other.url])
        device.sync(only=[other.url])
    fourth.sync()
    assert shown(fourth) == shown(first) == shown(second)
    relay.start()


def test_a_checkpoint_by_a_device_that_builds_on_one_holds_too(
    full: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    first, second = full
    third = home.add()
    first.sync()
    third.sync()
    edits.set_rating(third.library, third.library.catalog.pids("")[:1], 1)
    third.sync()
    first.sync()
    second.sync()
    make_and_confirm(third, first)
    relay_dropped = let_grace_pass(relay)
    assert relay_dropped["envelopes"]
    fourth = home.add()
    first.sync()
    fourth.sync()
    second.sync()
    assert shown(fourth) == shown(second)


def test_snapshots_come_newest_month_first_and_the_catalog_answers_in_between(
    full: tuple[Device, Device], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = full
    third = home.add()
    first.sync()
    seen: list[tuple[str, int]] = []
    load = Library.load_base

    def watched(library: Library, documents: Sequence[str], **more: Any) -> None:
        load(library, documents, **more)
        seen.extend((document, library.catalog.count()) for document in documents)

    monkeypatch.setattr(Library, "load_base", watched)
    told: list[tuple[int, int]] = []
    engine = third.engine
    engine._tell = lambda progress: (
        told.append((progress.done, progress.total or 0)) if (progress.stage == "checkpoint") else None
    )
    third.sync()
    assert seen == [("library", 0), ("photos:2024-06", 4), ("photos:2024-05", 8), ("photos:2023-01", 10)]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_load_that_was_cut_off_goes_on_where_it_was(
    full: tuple[Device, Device], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = full
    third = home.add()
    first.sync()
    fetched: list[bytes] = []
    fetch = Transfers.fetch

    def cut(transfers: Transfers, blob_id: bytes) -> None:
        if len(fetched) >= 2:
            raise RelayUnreachable("the connection was cut")
        fetch(transfers, blob_id)
        fetched.append(blob_id)

    with monkeypatch.context() as cutting:
        cutting.setattr(Transfers, "fetch", cut)
        report = third.engine.run()
        assert isinstance(report.worst_error, RelayUnreachable)
    assert third.library.notes == [NOTE]
    assert third.library.alarms == []
    assert third.library.catalog.count() == 4
    pids = third.library.catalog.pids("")
    edits.set_rating(third.library, pids[:1], 1)
    third.library.save_derived()
    with monkeypatch.context() as reopened:
        reopened.setattr("core.view.View.rebuild", lambda *_: pytest.fail("the part that is here was not saved"))
        third.reopen()
    assert third.library.notes == [NOTE]
    assert third.library.alarms == []
    assert third.library.catalog.count("rating:1") == 1
    watching = Library.open(third.root, third.secrets)
    assert watching.catalog.count() == 4
    third.engine.relays.remember(first.engine.relays.urls())
    before = list(fetched)

    def watched(transfers: Transfers, blob_id: bytes) -> None:
        fetched.append(blob_id)
        fetch(transfers, blob_id)

    monkeypatch.setattr(Transfers, "fetch", watched)
    third.sync()
    assert not set(before) & set(fetched[len(before) :])
    watching.refresh()
    assert watching.catalog.count() == 10, "another process sees what was fetched"
    watching.close()
    first.sync()
    assert shown(third) == shown(first)
    assert third.library.notes == []


def test_a_device_that_was_away_keeps_what_it_had_and_sends_it(
    full: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    first, second = full
    third = home.add()
    first.sync()
    third.sync()
    edits.set_caption(third.library, third.library.catalog.pids("date:2024-06")[:1], "while away")
    third.photos(1, month="2022-07")
    for stars in (1, 2, 3):
        edits.set_rating(first.library, first.library.catalog.pids("date:2024-05"), stars)
    first.photos(2, month="2025-02")
    first.sync()
    second.sync()
    make_and_confirm(first, second)
    let_grace_pass(relay)
    before = third.library.log.count()
    third.sync()
    assert third.library.log.count() >= before
    first.sync()
    second.sync()
    assert shown(third) == shown(first) == shown(second)
    assert first.library.catalog.count('"while away"') == 1
    third.reopen()
    assert third.library.alarms == []
    third.library.rebuild_view()
    assert shown(third) == shown(first)


class Lying(RelayClient):
    """A relay that does what none should; `lie` says what."""

    lie: dict[str, Any] = {}  # noqa: RUF012  set by each test

    def log(self, *arguments: Any, **more: Any) -> wire.LogPage:
        page = super().log(*arguments, **more)
        alter = Lying.lie.get("statements")
        if alter is None:
            return page
        items = [
            msgspec.structs.replace(item, body=alter(item.body)) if item.kind == wire.KIND_PRUNE else item
            for item in page.items
        ]
        return msgspec.structs.replace(page, items=[item for item in items if item.body != b"gone"])

    def envelope(self, device: bytes, seq: int) -> bytes | None:
        envelope = super().envelope(device, seq)
        alter = Lying.lie.get("envelope")
        return envelope if alter is None else alter(envelope)

    def blob_states(self, ids: Sequence[bytes]) -> list[wire.BlobState]:
        hidden = Lying.lie.get("hidden", ())
        return [
            wire.BlobState(id=state.id, state="absent") if state.id in hidden else state
            for state in super().blob_states(ids)
        ]


def newcomer(home: Home, first: Device, **lie: Any) -> Device:
    third = home.add()
    first.sync()
    third.close()
    third.library = Library.open(third.root, third.secrets)
    third.connect = Lying
    Lying.lie = lie
    return third


LIES: dict[str, tuple[dict[str, Any], type[CoreError]]] = {
    "withheld": ({"envelope": lambda _: None}, Withheld),
    "altered": ({"envelope": lambda envelope: envelope[:-1] + bytes([envelope[-1] ^ 1])}, Forged),
    "no prune entry": ({"statements": lambda _: b"gone"}, Withheld),
    "a prune entry altered": ({"statements": lambda body: body[:-1] + bytes([body[-1] ^ 1])}, Withheld),
    "a prune entry by a stranger": ({"statements": lambda body: body[:48] + bytes(32) + body[80:]}, Withheld),
}


@pytest.mark.scenario(9, "it is damaged or a bomb")
def test_a_checkpoint_that_the_relay_does_not_give_out_as_it_is(full: tuple[Device, Device], home: Home) -> None:
    first, _ = full
    for name, (lie, expected) in LIES.items():
        third = newcomer(home, first, **lie)
        report = third.engine.run()
        assert any(isinstance(alarm, expected) for alarm in report.alarms), (name, report.alarms)
        assert third.library.log.base() == {}, name
        assert third.library.alarms == [], name
        Lying.lie = {}
        third.engine.run()
        first.sync()
        assert shown(third) == shown(first), name


@pytest.mark.scenario(5, "snapshots", alarm="withheld")
def test_a_snapshot_that_is_withheld_is_named_and_fetched_later(full: tuple[Device, Device], home: Home) -> None:
    first, _ = full
    listed = look(first.library).newest()[0]
    stored = first.library.log.envelope(listed.place.device, listed.place.seq)
    assert stored is not None
    month = next(one for one in first.library.chain.open(stored).snapshots if one.document == "photos:2024-06")
    third = newcomer(home, first, hidden={month.blob})
    report = third.engine.run()
    (alarm,) = report.alarms
    assert isinstance(alarm, Withheld)
    assert "photos:2024-06" in str(alarm)
    assert f"device {first.id.hex()[:12]}" in str(alarm)
    assert third.library.notes == [NOTE]
    assert third.library.catalog.count() == 6
    assert third.library.alarms == []
    Lying.lie = {}
    third.sync()
    assert third.library.catalog.count() == 10
    assert third.library.notes == []


@pytest.mark.scenario(9, "it is made up")
def test_a_checkpoint_that_only_its_author_confirmed_is_not_believed(
    pair: tuple[Device, Device], home: Home, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    second.sync()
    first.photos(3)
    second.photos(1)
    for device in (first, second, first):
        device.sync()
    make_checkpoint(first.library, look(first.library))
    monkeypatch.setattr("core.sync.confirming.may_confirm", lambda *_: True)
    statements = confirm_pending(first.library, lambda _: None)
    monkeypatch.undo()
    first.sync()
    link = next(iter(first.engine._links.values()))
    link.client.append_statements(statements)
    let_grace_pass(relay)
    third = home.add()
    first.sync()
    report = third.engine.run()
    assert any(isinstance(alarm, Forged) and "nobody but its author" in str(alarm) for alarm in report.alarms)
    assert third.library.log.base() == {}


def test_devices_with_all_of_it_raise_no_alarm_when_relays_prune(full: tuple[Device, Device]) -> None:
    first, second = full
    edits.set_rating(first.library, first.library.catalog.pids("")[:1], 1)
    for device in (first, second, first):
        device.sync()
    assert second.library.log.base() == {}
    assert shown(first) == shown(second)


def test_the_first_screen_needs_these_bundles(full: tuple[Device, Device]) -> None:
    first, _ = full
    assert first_screen(first.library) == []


def test_a_purge_keeps_the_thumbnails_of_neighbours_whose_envelopes_a_checkpoint_stands_for(
    pair: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    first, second = pair
    second.sync()
    photos = {f"photos:{month}": first.photos(3, month=month) for month in ("2024-05", "2024-06")}
    old = bundle(first.library, photos)
    vectors = bundle(first.library, photos, kind="vector")
    for device in (first, second, first):
        device.sync()
    make_and_confirm(first, second)
    let_grace_pass(relay)
    third = home.add()
    first.sync()
    third.sync()
    assert third.library.log.base()
    may, june = photos.values()
    edits.purge(third.library, may[:1])
    assert not third.library.blobs.exists(old)
    assert not third.library.blobs.exists(vectors)
    for pid in (*may[1:], *june):
        assert thumbnail(third.library, pid) == b"part of " + pid.hex().encode()
    assert verify(third.library).problems == []


def test_a_checkpoint_of_devices_that_were_revoked_since_is_built_upon(full: tuple[Device, Device], home: Home) -> None:
    """As after a recovery: nobody is left who made or confirmed it."""
    first, second = full
    edits.set_caption(first.library, first.library.catalog.pids("date:2024-05")[:1], "the last edit")
    first.sync()
    third = home.add()
    first.sync()
    third.sync()
    home.revoke(first, by=2)
    home.revoke(second, by=2)
    third.sync()
    fourth = home.add(by=2)
    third.sync()
    fourth.sync()
    third.sync()
    assert fourth.library.log.base()
    assert shown(fourth) == shown(third)
    assert fourth.library.catalog.count('"the last edit"') == 1
    assert fourth.library.log.held() == []
    fourth.reopen()
    assert fourth.library.alarms == []
    assert fourth.library.catalog.count() == 10


def test_a_snapshot_that_two_members_vouch_for_and_that_does_not_hold_costs_that_document_alone(
    pair: tuple[Device, Device], home: Home, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    second.sync()
    pids = first.photos(3, month="2024-05") + first.photos(2, month="2024-06")
    for device in (first, second, first):
        device.sync()
    forge(
        first, lambda listed: changed_snapshot(first, "photos:2024-05", listed, lambda changes: [*changes, changes[0]])
    )
    with monkeypatch.context() as careless:
        careless.setattr("core.sync.confirming._Comparison.run", lambda _: None)
        for device in (first, second, first):
            device.sync()
    let_grace_pass(relay)
    third = home.add()
    first.sync()
    report = third.engine.run()
    (alarm,) = report.alarms
    assert isinstance(alarm, Forged)
    assert "photos:2024-05" in str(alarm)
    assert f"device {first.id.hex()[:12]}" in str(alarm)
    assert third.library.alarms == []
    assert third.library.notes == [NOTE]
    assert set(third.library.catalog.pids("")) == set(pids[3:])
    # What its id says is what came: it is not fetched again at every sync, and who cleared the alarm has it again.
    third.engine.alarms.clear()
    before = downloads(relay)
    assert before
    assert [str(again) for again in third.engine.run().alarms] == [str(alarm)]
    assert downloads(relay) == before
    edits.set_rating(third.library, pids[3:], 2)
    third.reopen()
    assert (third.library.alarms, third.library.notes) == ([], [NOTE])
    assert third.library.catalog.count("rating:2") == 2
    first.engine.run()
    assert first.library.catalog.count("rating:2") == 0
    for device in (third, first):
        device.engine.relays.remember([relay.url])
        device.engine.run()
    assert first.library.catalog.count("rating:2") == 2, "edits go out all the same"
