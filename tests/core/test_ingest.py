"""What comes from elsewhere: what is accepted, what waits, what is refused and under which name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import arrivals, edits
from core.envelope_body import KIND_ACKNOWLEDGEMENT, KIND_CHECKPOINT, Accepted, EnvelopeBody, places_of
from core.errors import Forged, Forked, WriterNotAMember
from core.ingest import Ingest
from crypto.envelope import HEADER_BYTES, envelope_hash
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis
from tests.core.remote_device import Remote, beside, pair

if TYPE_CHECKING:
    from core.ingest import Arrival
    from core.library import Library
    from tests.core.conftest import Bench

STRANGE_HASH = b"\x07" * 32


def names(arrival: Arrival) -> list[str]:
    return [alarm.name for alarm in arrival.alarms]


def stored(library: Library) -> int:
    return library.log.count()


@pytest.mark.scenario(3, "envelopes are repeated")
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


@pytest.mark.scenario(3, "envelopes are reordered", "envelopes are dropped", alarm="withheld")
def test_what_arrives_before_what_it_follows_waits_and_the_gap_is_named(library: Library) -> None:
    remote = pair(library)
    for _ in range(4):
        remote.write()
    arrival = library.ingest.envelopes([remote.envelopes[3], remote.envelopes[1], remote.envelopes[2]])
    assert (arrival.accepted, arrival.held) == (0, 3)
    (alarm,) = library.ingest.unaccounted()
    assert alarm.name == "withheld"
    assert "envelope 1 of" in str(alarm)
    again = library.ingest.envelopes(remote.envelopes[1:2])
    assert (again.known, again.held) == (1, 0)
    arrival = library.ingest.envelopes(remote.envelopes[:1])
    assert (arrival.accepted, arrival.held) == (4, 0)
    assert library.ingest.unaccounted() == []
    assert library.log.held() == []


def test_two_processes_take_in_the_same_things(library: Library, bench: Bench) -> None:
    remote = pair(library)
    for _ in range(6):
        remote.write()
    with bench.open() as other:
        library.ingest.envelopes(remote.envelopes[:3])
        arrival = other.ingest.envelopes(remote.envelopes)
        assert (arrival.accepted, arrival.known) == (3, 3)
        assert library.ingest.envelopes(remote.envelopes).accepted == 0
        assert library.refresh()
        assert library.log.heads() == other.log.heads()


@pytest.mark.scenario(1, "in an envelope", alarm="forged")
def test_an_envelope_flipped_anywhere_is_not_stored(library: Library) -> None:
    remote = pair(library)
    remote.write()
    (whole,) = remote.envelopes
    before = stored(library)
    for at in [*range(0, HEADER_BYTES + 80, 5), *range(HEADER_BYTES + 80, len(whole), 37), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[at] ^= 1
        arrival = library.ingest.envelopes([bytes(flipped)])
        assert names(arrival) == ["forged"], at
        assert (arrival.accepted, arrival.held) == (0, 0)
    for cut in (0, 7, 100, len(whole) - 1):
        assert names(library.ingest.envelopes([whole[:cut]])) == ["forged"]
    assert names(library.ingest.envelopes([whole + b"\0"])) == ["forged"]
    assert (stored(library), library.log.held()) == (before, [])
    assert library.ingest.envelopes([whole]).accepted == 1


def test_a_second_chain_of_a_device_is_an_alarm_and_the_first_stays(library: Library) -> None:
    remote = pair(library)
    for _ in range(3):
        remote.write()
    library.ingest.envelopes(remote.envelopes)
    other = remote.write(after=remote.chain[0].place, keep=False)  # another envelope 2
    arrival = library.ingest.envelopes([other])
    assert names(arrival) == ["forked"]
    assert arrival.alarms[0].hint
    assert library.log.head(remote.id) == remote.place
    follows_another = remote.write(after=(3, STRANGE_HASH), keep=False)
    assert names(library.ingest.envelopes([follows_another])) == ["forked"]
    assert library.log.held() == []


def test_two_chains_that_waited_for_the_one_who_added_their_device_are_an_alarm(library: Library) -> None:
    """One of the two counts; while the other went on waiting, what followed it seemed to be here."""
    newcomer = DeviceSecrets.generate()
    entry = beside(library).add(newcomer)
    remote = Remote(library.members.genesis.entry, newcomer)
    remote.learn([entry])
    start = remote.write()
    one = remote.write()
    one_goes_on = remote.write()
    other = remote.write(after=remote.chain[0].place, keep=False)
    library.ingest.envelopes([start, other])
    library.ingest.envelopes([one, one_goes_on])
    arrival = library.ingest.entries([entry.data])
    assert names(arrival) == ["forked"]
    assert f"device {remote.id.hex()[:12]} has two different envelopes 2" in str(arrival.alarms[0])
    assert library.log.head(remote.id)[0] >= 2, "one of them counts"
    assert library.log.held() == []
    again = library.ingest.envelopes([start, one, one_goes_on, other])
    assert names(again) == ["forked"], "it is named whenever it comes"


@pytest.mark.scenario(2, "from another library", alarm="forged")
def test_an_envelope_of_another_library_is_refused(library: Library) -> None:
    founder = DeviceSecrets.generate()
    stranger = Remote(create_genesis(founder, DeviceSecrets.generate()), founder)
    assert names(library.ingest.envelopes([stranger.write()])) == ["forged"]


def test_a_stranger_is_named_and_counts_once_somebody_adds_it(library: Library) -> None:
    newcomer = DeviceSecrets.generate()
    founder = beside(library)
    entry = founder.add(newcomer)
    remote = Remote(library.members.genesis.entry, newcomer)
    remote.learn([entry])
    remote.write()
    remote.write()
    arrival = library.ingest.envelopes(remote.envelopes)
    assert names(arrival) == ["not-a-member", "not-a-member"]
    assert library.log.head(remote.id)[0] == 0
    arrival = library.ingest.entries([entry.data])
    assert (arrival.entries, arrival.accepted) == (1, 2)


@pytest.mark.scenario(11, "it floods devices and relays")
def test_strangers_and_gaps_fill_no_disk(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_HELD", 5)
    founder = beside(library)
    member = pair(library)
    for _ in range(12):
        member.write()
    arrival = library.ingest.envelopes(member.envelopes[1:])
    assert arrival.held == 5
    assert names(arrival) == ["withheld"]
    strangers = []
    for _ in range(10):
        newcomer = Remote(library.members.genesis.entry)
        newcomer.learn([Remote(founder.genesis, founder.secrets, dict(founder.entries)).add(newcomer.secrets)])
        strangers.append(newcomer.write())
    arrival = library.ingest.envelopes(strangers)
    assert arrival.held == 5
    assert set(names(arrival)) == {"not-a-member"}
    assert library.ingest.envelopes(member.envelopes).accepted == 12


def test_alarms_of_a_flood_are_bounded(library: Library) -> None:
    remote = pair(library)
    forged = []
    whole = remote.write()
    for number in range(arrivals.MAX_ALARMS + 50):
        changed = bytearray(whole)
        changed[72:80] = (number + 1).to_bytes(8, "big")
        changed[80:112] = STRANGE_HASH if number else bytes(32)
        changed[-1] ^= 1
        forged.append(bytes(changed))
    assert len(library.ingest.envelopes(forged).alarms) == arrivals.MAX_ALARMS


@pytest.mark.scenario(7, "it forges or dates back an envelope")
def test_what_a_revoked_device_wrote_past_the_cut_is_held_until_a_member_names_it(library: Library) -> None:
    founder, revoked, witness = beside(library), pair(library), pair(library)
    founder.learn(library.members.membership.entries.values())
    for _ in range(5):
        revoked.write()
    witness.write({revoked.id: revoked.chain[3].place})
    entry = founder.revoke(revoked.id, revoked.chain[1].place)
    assert library.ingest.entries([entry.data]).entries == 1
    arrival = library.ingest.envelopes(revoked.envelopes)
    assert (arrival.accepted, arrival.held) == (2, 3)
    assert names(arrival) == ["not-a-member"]
    arrival = library.ingest.envelopes(witness.envelopes)
    assert (arrival.accepted, arrival.alarms) == (3, [])
    assert library.log.head(revoked.id) == revoked.chain[3].place
    # Backdated: the key is still there, and an old epoch's as well.
    backdated = revoked.write(after=revoked.chain[3].place, keep=False)
    assert names(library.ingest.envelopes([backdated])) == ["not-a-member"]
    assert library.log.head(revoked.id) == revoked.chain[3].place


def test_what_was_accepted_before_the_revocation_came_is_acknowledged(library: Library) -> None:
    founder, revoked = beside(library), pair(library)
    founder.learn(library.members.membership.entries.values())
    for _ in range(4):
        revoked.write()
    library.ingest.envelopes(revoked.envelopes)
    head = library.log.head(library.device_id)[0]
    elsewhere = Remote(founder.genesis, pair(library).secrets)
    elsewhere.learn(library.members.membership.entries.values())
    entry = elsewhere.revoke(revoked.id, revoked.chain[0].place)
    library.ingest.entries([entry.data])
    assert library.log.head(revoked.id) == revoked.place, "what was accepted stays so"
    acknowledgement = library.log.envelope(library.device_id, head + 1)
    assert acknowledgement is not None
    body = library.chain.open(acknowledgement)
    assert body.kind == KIND_ACKNOWLEDGEMENT
    assert Accepted(revoked.id, *revoked.place) in body.frontier
    library.acknowledge()
    assert library.log.head(library.device_id)[0] == head + 1, "once is enough"
    assert library.refresh() in {True, False}
    assert library.alarms == []


@pytest.mark.scenario(5, "one device's envelopes", alarm="withheld")
def test_what_others_have_seen_and_nobody_gives_out_is_an_alarm(library: Library) -> None:
    hidden, witness = pair(library), pair(library)
    hidden.learn(library.members.membership.entries.values())
    for _ in range(3):
        hidden.write()
    witness.write({hidden.id: hidden.place})
    assert library.ingest.envelopes([*hidden.envelopes[:1], *witness.envelopes]).accepted == 2
    (alarm,) = library.ingest.unaccounted()
    assert alarm.name == "withheld"
    assert "envelope 3 of device" in str(alarm)
    assert hidden.id.hex()[:12] in str(alarm)
    assert witness.id.hex()[:12] in str(alarm)
    library.ingest.envelopes(hidden.envelopes)
    assert library.ingest.unaccounted() == []


@pytest.mark.scenario(6, "by a member", alarm="forked")
def test_two_histories_that_meet_are_a_fork_by_name(library: Library) -> None:
    two_faced, witness = pair(library), pair(library)
    two_faced.learn(library.members.membership.entries.values())
    two_faced.write()
    other = two_faced.write(after=(0, bytes(32)), keep=False)
    witness.write({two_faced.id: (1, envelope_hash(other))})
    library.ingest.envelopes([*two_faced.envelopes, *witness.envelopes])
    assert [alarm.name for alarm in library.ingest.unaccounted()] == ["forked"]


@pytest.mark.parametrize(
    "frontier",
    [
        [Accepted(b"short", 1, bytes(32))],
        [Accepted(b"d" * 32, 0, bytes(32))],
        [Accepted(b"d" * 32, 1 << 63, bytes(32))],
        [Accepted(b"d" * 32, 1, b"short")],
        [Accepted(b"d" * 32, 1, bytes(32)), Accepted(b"d" * 32, 2, bytes(32))],
        [Accepted(number.to_bytes(32, "big"), 1, bytes(32)) for number in range(2_001)],
    ],
    ids=["device", "zero", "seq", "hash", "twice", "many"],
)
def test_impossible_frontiers_are_refused(library: Library, frontier: list[Accepted]) -> None:
    remote = pair(library)
    remote.write(body=EnvelopeBody(1, 0, frontier, [], bytes(16), "", ""))
    assert names(library.ingest.envelopes(remote.envelopes)) == ["forged"]
    assert library.log.head(remote.id)[0] == 0


@pytest.mark.scenario(11, "it floods devices and relays")
def test_a_member_that_names_places_for_ever_is_bounded(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_NAMED", 10)
    liar, victim = pair(library), pair(library)
    liar.learn(library.members.membership.entries.values())
    for number in range(4):
        liar.write({(number * 4 + other).to_bytes(32, "big"): (5, STRANGE_HASH) for other in range(4)})
    arrival = library.ingest.envelopes(liar.envelopes)
    assert arrival.accepted == 4
    assert names(arrival) == ["forged"]
    assert len(library.log.named()) == 10
    victim.write()
    assert library.ingest.envelopes(victim.envelopes).accepted == 1


def test_envelopes_wait_for_the_epoch_they_are_sealed_under(library: Library) -> None:
    remote = pair(library)
    rotation = remote.rotate()
    remote.write()
    arrival = library.ingest.envelopes(remote.envelopes)
    assert (arrival.accepted, arrival.held) == (0, 1)
    assert [alarm.name for alarm in library.ingest.unaccounted()] == ["withheld"]
    arrival = library.ingest.entries([rotation.data])
    assert (arrival.entries, arrival.accepted) == (1, 1)
    assert library.epoch.epoch_id == rotation.hash
    assert library.ingest.unaccounted() == []


def test_entries_come_in_any_order_and_bad_ones_are_named(library: Library) -> None:
    remote = pair(library)
    second = DeviceSecrets.generate()
    added = remote.add(second)
    third = remote.add(DeviceSecrets.generate())
    arrival = library.ingest.entries([third.data])
    assert arrival.entries == 1
    assert library.members.membership.pending.keys() == {third.hash}
    assert [alarm.name for alarm in library.ingest.unaccounted()] == ["withheld"]
    flipped = bytearray(added.data)
    flipped[100] ^= 1
    assert names(library.ingest.entries([bytes(flipped), b"", library.members.genesis.entry])) == ["forged"] * 2
    assert library.ingest.entries([added.data]).entries == 1
    assert not library.members.membership.pending
    stranger = Remote(remote.genesis, DeviceSecrets.generate())
    stranger.entries = dict(remote.entries)
    with pytest.raises(Exception, match="not a member"):
        stranger.rotate()
    two_faced = Remote(remote.genesis, remote.secrets, dict(remote.entries))
    del two_faced.entries[third.hash], two_faced.entries[added.hash]
    assert names(library.ingest.entries([two_faced.rotate().data])) == ["contradiction"]


def test_an_own_number_used_by_somebody_else_is_told(library: Library, bench: Bench) -> None:
    (pid,) = bench.add_photos(library, 1)
    head = library.log.head(library.device_id)
    twin = beside(library)
    at_one = library.log.hash_at(library.device_id, 1)
    assert at_one is not None
    arrival = library.ingest.envelopes([twin.write(after=(1, at_one))])
    assert arrival.forked_self is not None
    assert arrival.forked_self[0] == 2
    assert arrival.alarms == []
    again = library.ingest.envelopes([stored.data for stored in library.log.held()])
    assert (again.known, again.forked_self) == (1, arrival.forked_self), "until it is another device, it is told again"
    assert library.log.head(library.device_id) == head
    edits.set_rating(library, [pid], 4)
    assert library.device_id != bench.secrets.device_id, "with the next edit it is another device"


def test_a_checkpoint_counts_as_what_it_covers(library: Library) -> None:
    maker, other = pair(library), pair(library)
    maker.learn(library.members.membership.entries.values())
    for _ in range(3):
        maker.write()
        other.write()
    covers = {maker.id: maker.place, other.id: other.place}
    checkpoint = maker.write(body=EnvelopeBody(KIND_CHECKPOINT, 0, [], [], bytes(16), "", "", covers=places_of(covers)))
    late = other.write()
    assert library.ingest.envelopes([late]).held == 1
    body = library.ingest.merge_base(checkpoint)
    assert body.kind == KIND_CHECKPOINT
    assert library.log.base() == covers
    assert library.log.head(other.id) == other.place, "what waited for it follows"
    assert library.log.head(maker.id) == maker.place
    arrival = library.ingest.envelopes([*maker.envelopes, *other.envelopes])
    assert (arrival.accepted, arrival.alarms) == (0, [])


def test_bad_checkpoints_are_refused(library: Library) -> None:
    maker, other = pair(library), pair(library)
    maker.learn(library.members.membership.entries.values())
    other.write()
    library.ingest.envelopes(other.envelopes)
    before = library.log.heads()

    def checkpoint(covers: list[Accepted], kind: int = KIND_CHECKPOINT) -> bytes:
        return maker.write(body=EnvelopeBody(kind, 0, [], [], bytes(16), "", "", covers=covers), keep=False)

    with pytest.raises(Forged):
        library.ingest.merge_base(checkpoint([], kind=1))
    with pytest.raises(Forged):
        library.ingest.merge_base(b"nonsense")
    with pytest.raises(WriterNotAMember):
        library.ingest.merge_base(checkpoint([Accepted(b"s" * 32, 3, STRANGE_HASH)]))
    with pytest.raises(Forked):
        library.ingest.merge_base(checkpoint([Accepted(other.id, 1, STRANGE_HASH)]))
    stranger = Remote(maker.genesis)
    stranger.learn([Remote(maker.genesis, maker.secrets, dict(maker.entries)).add(stranger.secrets)])
    stranger.learn(maker.entries.values())
    with pytest.raises(WriterNotAMember):
        library.ingest.merge_base(stranger.write())
    assert library.log.heads() == before
    assert library.log.base() == {}


def test_a_transaction_that_is_cut_off_loses_nothing(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = pair(library)
    for _ in range(5):
        remote.write()
    newcomer = remote.add(DeviceSecrets.generate())
    with monkeypatch.context() as broken:
        broken.setattr("core.log.LogTransaction.append", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            library.ingest.envelopes(remote.envelopes)
    with monkeypatch.context() as broken:
        broken.setattr("core.arrivals.Intake.review", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            library.ingest.entries([newcomer.data])
    assert newcomer.hash not in library.members.membership.entries
    assert library.log.head(remote.id)[0] == 0
    assert library.ingest.entries([newcomer.data]).entries == 1
    assert Ingest(library).envelopes(remote.envelopes).accepted == 5
