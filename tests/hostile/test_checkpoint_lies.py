"""Scenario 9: checkpoints that are not what they say, with a word of somebody behind them.

Elsewhere: each fault of a checkpoint that nobody has confirmed yet, and what its author alone confirmed
(tests/core/sync/test_checkpoints.py, test_bootstrap.py); one that the relay alters or keeps back, and a snapshot that
kills whoever merges it (tests/core/sync/test_bootstrap.py); bombs, and snapshots of other documents
(tests/core/test_snapshots.py).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from core import edits
from core.envelope_body import KIND_CHECKPOINT, KIND_CONFIRMATION, Accepted, EnvelopeBody, Snapshot
from core.errors import Forged, WriterNotAMember
from core.sync import bootstrap
from core.sync.checkpoints import _Making, confirm_pending, make_checkpoint
from core.sync.seen_checkpoints import look
from sync_relay.server.removal import sweep
from sync_relay.statements import Place, Prune, make_prune, read_statement
from tests.core.sync.conftest import converged, shown
from tests.core.sync.test_checkpoints import changed_snapshot, forge
from tests.hostile.conftest import Hostile, about, still_sound, sync_all

if TYPE_CHECKING:
    from core.sync.seen_checkpoints import SeenCheckpoint
    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay

MONTH = "photos:2024-05"
MONTH_S = 31 * 86_400


def confirmed_by(puppet: Hostile, author: Device, relay: Relay) -> None:
    """Have a second device of the adversary confirm the newest checkpoint, and tell the relay to prune."""
    seen = look(author.library).newest()[0]
    place = seen.place
    puppet.knows(author.library)
    client = puppet.at(relay)
    confirmation = puppet.remote.write(body=puppet.body(KIND_CONFIRMATION, confirms=place))
    client.append(confirmation)
    seq, hashed = puppet.remote.place
    client.state(
        make_prune(
            puppet.remote.secrets,
            puppet.library_id,
            checkpoint=Place(place.device, place.seq, place.hash),
            confirmation=Place(puppet.id, seq, hashed),
            covered=[Place(one.device, one.seq, one.hash) for one in seen.covers],
            time=0,
        )
    )


class TestTwoWhoLieTogether:
    """A hostile member adds a second device of its own, which confirms what the first one makes up."""

    @pytest.mark.scenario(9, "it is made up", "envelopes are pruned too early", alarm="withheld")
    @pytest.mark.parametrize("fault", ["a change is left out", "a document is left out"])
    def test_whoever_knows_better_says_so_before_anything_is_dropped(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay, home: Home, fault: str
    ) -> None:
        first, second = pair
        pids = first.photos(2, month="2024-05")
        edits.set_caption(first.library, pids, "what is to be lost")
        sync_all(first, second)

        def alter(listed: dict[str, Snapshot]) -> list[Snapshot]:
            if fault == "a change is left out":
                return changed_snapshot(second, MONTH, listed, lambda changes: changes[:-1])
            return [snapshot for document, snapshot in listed.items() if document != MONTH]

        forge(second, alter)
        number = second.library.log.head(second.id)[0]
        second.sync()
        confirmed_by(mallory, second, relay)
        alarms = sync_all(first, rounds=2)
        assert about(alarms, second.id) == ["withheld"], alarms
        assert f"envelope {number} of device {second.id.hex()[:12]}" in str(alarms[0])
        edits.set_rating(first.library, pids, 4)
        assert first.library.catalog.search('"to be lost"')
        # The adversaries are taken out, and what honest devices know stays whole.
        home.revoke(second)
        first.engine.run()
        relay.clock.now += MONTH_S  # type: ignore[attr-defined]
        relay.run(sweep(relay.service.parts))
        first.engine.run()
        assert first.library.catalog.search('"to be lost" rating:4')
        still_sound(first)

    def test_an_honest_one_that_another_device_confirmed_raises_no_alarm(
        self, pair: tuple[Device, Device], home: Home, relay: Relay
    ) -> None:
        first, second = pair
        third = home.add()
        first.photos(2)
        sync_all(first, second, third)
        second.photos(1)
        sync_all(first, second, third)
        assert make_checkpoint(first.library, look(first.library))
        assert sync_all(first, second, third) == []
        converged(first, second, third)


@pytest.mark.scenario(9, "envelopes are pruned too early", alarm=("forged", "not-a-member"))
class TestPruneEntries:
    """A member signs a prune entry whose parts do not belong together; each part is real."""

    def test_each_part_has_to_fit_the_others(self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay) -> None:
        first, second = pair
        first.photos(1)
        second.photos(1)
        sync_all(first, second)
        older = look_for(first)
        first.photos(1)
        sync_all(first, second)
        newer = look_for(first)
        other = mallory.remote.write(body=mallory.body(KIND_CONFIRMATION, confirms=older.place))
        mallory.at(relay).append(other)
        sync_all(first, second, first)
        (statement, *_) = confirm_pending(second.library, lambda _: None)
        good = read_statement(statement, second.library.library_id)
        assert isinstance(good, Prune)
        assert good.checkpoint.hash == newer.place.hash
        client = next(iter(first.engine._links.values())).client
        assert bootstrap._offer(first.library, client, good).covers == newer.vector
        edit = Place(first.id, 1, first.library.log.hash_at(first.id, 1) or b"")
        places = good.covered
        for change, said in (
            ({"confirmation": Place(mallory.id, *mallory.remote.place)}, "is of something else"),
            ({"covered": places[1:]}, "covers something else"),
            ({"covered": (Place(places[0].device_id, places[0].seq, bytes(32)), *places[1:])}, "covers something else"),
            ({"checkpoint": Place(first.id, good.checkpoint.seq, bytes(32))}, "gives out another"),
            ({"confirmation": Place(second.id, good.confirmation.seq, bytes(32))}, "gives out another"),
            ({"checkpoint": edit}, "which it is not"),
            ({"confirmation": edit}, "which it is not"),
            ({"confirmation": Place(b"s" * 32, 1, bytes(32))}, "is no member"),
        ):
            with pytest.raises((Forged, WriterNotAMember), match=said):
                bootstrap._offer(first.library, client, replaced(good, **change))


def look_for(device: Device) -> SeenCheckpoint:
    """Return the checkpoint that a device makes now."""
    assert make_checkpoint(device.library, look(device.library))
    device.sync()
    return look(device.library).newest()[0]


def replaced(prune: Prune, **change: Any) -> Prune:
    return dataclasses.replace(prune, **change)


@pytest.mark.scenario(9, "it is made up", alarm="forged")
class TestPlacesThatDoNotExist:
    def test_a_checkpoint_that_covers_another_envelope_than_was_written_is_named(
        self, pair: tuple[Device, Device]
    ) -> None:
        first, second = pair
        first.photos(2)
        second.photos(1)
        sync_all(first, second)
        made = _Making(first.library, None).make()
        assert made is not None
        covers, listed = made
        covers[second.id] = (covers[second.id][0], bytes(31) + b"x")
        places = [Accepted(one, *where) for one, where in sorted(covers.items())]
        body = EnvelopeBody(
            KIND_CHECKPOINT, 0, [], [], bytes(16), "", "", covers=places, snapshots=list(listed.values())
        )
        seq, _ = first.library.commit_record(body)
        alarms = sync_all(first, second)
        assert about(alarms, second.id) == ["forged"]
        assert f"envelope {seq} of device {first.id.hex()[:12]}" in str(alarms[0])
        (seen,) = look(second.library).checkpoints
        assert not seen.confirmations
        converged(first, second)

    def test_a_checkpoint_of_what_is_no_document_is_named(self, pair: tuple[Device, Device]) -> None:
        first, second = pair
        first.photos(1)
        second.photos(1)
        sync_all(first, second)
        forge(first, lambda listed: [*listed.values(), Snapshot("../photos", bytes(32), bytes(32), 1)])
        number = first.library.log.head(first.id)[0]
        alarms = sync_all(first, second)
        assert [alarm.name for alarm in alarms] == ["forged"]
        assert f"envelope {number} of device {first.id.hex()[:12]}" in str(alarms[0])
        converged(first, second)

    def test_a_checkpoint_beyond_everything_does_not_stop_honest_ones(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        first.photos(2)
        second.photos(1)
        sync_all(first, second)
        beyond = [Accepted(one.id, 1 << 40, bytes(31) + b"x") for one in (first, second, mallory)]
        mallory.at(relay).append(mallory.remote.write(body=mallory.body(KIND_CHECKPOINT, covers=beyond)))
        sync_all(first, second)
        assert make_checkpoint(first.library, look(first.library))
        own = first.library.log.head(first.id)[0]
        sync_all(first, second)
        confirmed = [
            seen
            for seen in look(first.library).checkpoints
            if seen.place.device == first.id and seen.is_confirmed(first.library.members.membership)
        ]
        assert [seen.place.seq for seen in confirmed] == [own], "what nobody can have is in nobody's way"
        converged(first, second)
        assert shown(first)["photos"]
