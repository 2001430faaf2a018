"""What hostile members, revoked devices and relays try (security.md, items 2, 7, 10 and 11)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from crypto.epochs import must_rotate, open_epochs
from crypto.errors import MembershipInvalid, NotAMember, RotationDue, WrongLibrary
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis, evaluate, verify_genesis
from crypto.membership_change import draft_add, replace_phrase, revoke, rotate
from crypto.membership_dag import MAX_DEPTH, MAX_MEMBERS
from crypto.membership_entry import MAX_HEADS, NO_ENVELOPE, Entry, EntryKind
from tests.crypto.membership_world import (
    FOUNDER,
    GENESIS,
    PHRASE,
    World,
    forge_add,
    forge_revoke,
    forge_rotation,
    secrets_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

START = [GENESIS.library_id]
STRANGER = secrets_of(66)


def secrets_of_many(number: int) -> DeviceSecrets:
    seed = number.to_bytes(4, "big")
    return DeviceSecrets(seed * 8, (seed + b"more") * 4)


def calls_of(work: Callable[[], object]) -> int:
    """Return how many calls of functions `work` makes."""
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_stranger_adds_revokes_and_rotates_nothing() -> None:
    forged = [
        forge_add(STRANGER, START, secrets_of(67)),
        forge_revoke(STRANGER, START, FOUNDER.device_id),
        forge_rotation(STRANGER, START, [FOUNDER.device_id, PHRASE.device_id]),
        forge_add(STRANGER, START, secrets_of(68), kind=EntryKind.REPLACE),
    ]
    state = evaluate(GENESIS, forged)
    assert set(state.refused) == {entry.hash for entry in forged}
    assert set(state.refused.values()) == {"its author was no member, as far as it knew itself"}
    assert set(state.members) == {FOUNDER.device_id, PHRASE.device_id}
    assert state.heads == (GENESIS.library_id,)
    followed = state.with_entries([forge_revoke(FOUNDER, [forged[0].hash], PHRASE.device_id)])
    assert len(followed.refused) == 5
    assert "builds on" in "".join(followed.refused.values())


def test_a_revoked_device_cannot_go_on_from_where_it_was_revoked() -> None:
    world = World()
    thief = world.secrets[world.add(FOUNDER).admission.device_id]
    revoked = world.revoke(FOUNDER, thief.device_id)
    later = [
        forge_add(thief, [revoked.hash], STRANGER),
        forge_revoke(thief, [revoked.hash], FOUNDER.device_id),
    ]
    state = world.merged().with_entries(later)
    assert set(state.refused) == {entry.hash for entry in later}
    assert FOUNDER.device_id in state.members


def test_a_revoked_device_that_backdates_adds_nobody_and_learns_no_later_key() -> None:
    """It pretends not to have seen its revocation, however much later that is."""
    world = World()
    added = world.add(FOUNDER)
    thief = world.secrets[added.admission.device_id]
    world.revoke(FOUNDER, thief.device_id)
    world.rotate(FOUNDER)
    world.add(FOUNDER)
    add = forge_add(thief, [added.hash], STRANGER)
    rotation = forge_rotation(thief, [add.hash], [*evaluate(GENESIS, [added, add]).members])
    onwards = forge_add(STRANGER, [rotation.hash], secrets_of(68))
    before = world.states[FOUNDER.device_id]
    state = before.with_entries([add, rotation, onwards])
    assert not state.refused
    assert state.void == {add.hash, rotation.hash, onwards.hash}
    assert state.members == before.members
    assert state.current == before.current
    assert not state.rotation_due
    assert not must_rotate(state, open_epochs(state, FOUNDER))


def test_an_add_that_stands_does_not_redeem_what_was_said_on_a_void_one() -> None:
    """The newcomer was let in by a revoked device, and spoke; that another adds it too comes later, or elsewhere."""
    added = forge_add(FOUNDER, START, secrets_of(2))
    revoked = forge_revoke(FOUNDER, [added.hash], secrets_of(2).device_id)
    void = forge_add(secrets_of(2), [added.hash], STRANGER)
    spoken = forge_add(STRANGER, [void.hash], secrets_of(67))
    again = forge_add(FOUNDER, [revoked.hash], STRANGER)
    state = evaluate(GENESIS, [added, revoked, void, spoken, again])
    assert STRANGER.device_id in state.members
    assert state.void == {void.hash, spoken.hash}
    assert secrets_of(67).device_id not in state.members


def test_a_revoked_device_cannot_revoke_what_came_after() -> None:
    world = World()
    thief = world.secrets[world.add(FOUNDER).admission.device_id]
    before = world.merged()
    world.revoke(FOUNDER, thief.device_id)
    new = world.add(FOUNDER).admission.device_id
    backdated = forge_revoke(thief, before.heads, new)
    state = world.states[FOUNDER.device_id].with_entries([backdated])
    assert state.refused == {backdated.hash: "it revokes a device that was never added"}
    assert new in state.members


def test_two_stories_of_one_author_are_an_alarm_on_whoever_hears_both() -> None:
    one, other = forge_add(FOUNDER, START, STRANGER), forge_revoke(FOUNDER, START, FOUNDER.device_id)
    for alone in (one, other):
        assert not evaluate(GENESIS, [alone]).alarms
    state = evaluate(GENESIS, [one, other])
    (alarm,) = state.alarms
    assert alarm.author == FOUNDER.device_id
    assert alarm.entries == tuple(sorted([one.hash, other.hash]))
    after = forge_add(PHRASE, state.heads, secrets_of(67))
    assert state.with_entries([after]).alarms == state.alarms


def test_concurrent_entries_of_different_authors_are_no_alarm() -> None:
    state = evaluate(GENESIS, [forge_add(FOUNDER, START, STRANGER), forge_add(PHRASE, START, secrets_of(67))])
    assert not state.alarms


def test_entries_of_another_library_are_refused_by_name() -> None:
    other = verify_genesis(create_genesis(FOUNDER, PHRASE))
    assert other.library_id != GENESIS.library_id
    with pytest.raises(WrongLibrary):
        evaluate(other, [forge_add(FOUNDER, START, STRANGER)])


def test_a_rotation_is_sealed_to_exactly_the_members_its_author_knew() -> None:
    """A hostile member that leaves one out, or lets one in, makes no epoch."""
    world = World()
    member = world.secrets[world.add(FOUNDER).admission.device_id]
    state = world.merged()
    everybody = set(state.members)
    for members in (everybody - {FOUNDER.device_id}, everybody - {PHRASE.device_id}, everybody | {STRANGER.device_id}):
        entry = forge_rotation(member, state.heads, members)
        assert state.with_entries([entry]).refused[entry.hash].startswith("it is not sealed to exactly")
    entry = forge_rotation(member, state.heads, everybody, [b"?" * 32])
    assert "unknown epoch" in state.with_entries([entry]).refused[entry.hash]


def test_heads_are_the_newest_entries_and_no_others() -> None:
    one = forge_add(FOUNDER, START, STRANGER)
    entry = forge_add(FOUNDER, [one.hash, GENESIS.library_id], secrets_of(67))
    state = evaluate(GENESIS, [one, entry])
    assert state.refused == {entry.hash: "it names a head together with an entry that one has seen"}


def test_only_the_phrase_replaces_itself_and_nobody_revokes_it() -> None:
    entries = [
        forge_add(FOUNDER, START, STRANGER, kind=EntryKind.REPLACE),
        forge_revoke(FOUNDER, START, PHRASE.device_id),
        forge_revoke(PHRASE, START, PHRASE.device_id),
    ]
    state = evaluate(GENESIS, entries)
    assert state.refused == dict.fromkeys([entry.hash for entry in entries], "only the recovery phrase replaces itself")
    assert state.phrases == (PHRASE.device_id,)


def test_a_phrase_replaced_twice_is_an_alarm_and_the_devices_may_choose() -> None:
    """Somebody found the words, and pretends not to know that they were replaced."""
    ours, theirs = (forge_add(PHRASE, START, secrets_of(one), kind=EntryKind.REPLACE) for one in (70, 71))
    state = evaluate(GENESIS, [ours, theirs])
    assert len(state.phrases) == 2
    assert [alarm.author for alarm in state.alarms] == [PHRASE.device_id]
    chosen = forge_revoke(FOUNDER, state.heads, secrets_of(71).device_id)
    settled = state.with_entries([chosen])
    assert settled.phrases == (secrets_of(70).device_id,)
    last = forge_revoke(FOUNDER, settled.heads, secrets_of(70).device_id)
    assert last.hash in settled.with_entries([last]).refused
    # Revocations at the same time cannot take both: then they hold for neither.
    other = forge_revoke(secrets_of(71), state.heads, secrets_of(70).device_id)
    undecided = settled.with_entries([other])
    assert len(undecided.phrases) == 2
    # Such a phrase is as good as before: what it adds, having seen all this, stands.
    recovered = undecided.with_entries([forge_add(secrets_of(70), undecided.heads, STRANGER)])
    assert STRANGER.device_id in recovered.members
    assert not recovered.void


def test_a_revoked_id_never_comes_back() -> None:
    world = World()
    phone = world.secrets[world.add(FOUNDER).admission.device_id]
    world.revoke(FOUNDER, phone.device_id)
    state = world.settle(FOUNDER)
    with pytest.raises(MembershipInvalid, match="is or was"):
        draft_add(state, FOUNDER, open_epochs(state, FOUNDER), phone.device_id, phone.exchange_public)
    with pytest.raises(MembershipInvalid, match="revoked before"):
        revoke(state, FOUNDER, phone.device_id, NO_ENVELOPE)


def test_what_everybody_would_refuse_cannot_be_made() -> None:
    world = World()
    phone = world.secrets[world.add(FOUNDER).admission.device_id]
    state = world.merged()
    ring = open_epochs(state, FOUNDER)
    with pytest.raises(NotAMember):
        rotate(state, STRANGER, ring)
    with pytest.raises(NotAMember):
        revoke(state, STRANGER, phone.device_id, NO_ENVELOPE)
    with pytest.raises(MembershipInvalid, match="never added"):
        revoke(state, FOUNDER, STRANGER.device_id, NO_ENVELOPE)
    with pytest.raises(MembershipInvalid, match="phrase replaces itself"):
        revoke(state, FOUNDER, PHRASE.device_id, NO_ENVELOPE)
    with pytest.raises(MembershipInvalid, match="phrase replaces itself"):
        replace_phrase(state, FOUNDER, ring, STRANGER)
    with pytest.raises(ValueError, match="UTC seconds"):
        revoke(state, FOUNDER, phone.device_id, NO_ENVELOPE, created_at=-1)
    world.revoke(FOUNDER, phone.device_id)
    state = world.states[FOUNDER.device_id]
    with pytest.raises(RotationDue):
        draft_add(state, FOUNDER, open_epochs(state, FOUNDER), STRANGER.device_id, STRANGER.exchange_public)
    with pytest.raises(RotationDue):
        replace_phrase(state, PHRASE, open_epochs(state, PHRASE), STRANGER)


def test_orphans_wait_and_are_heard_when_what_they_build_on_arrives() -> None:
    chain: list[Entry] = []
    for number in range(2, 40):
        chain.append(forge_add(FOUNDER, [chain[-1].hash] if chain else START, secrets_of(number)))
    waiting = evaluate(GENESIS, chain[:0:-1])
    assert len(waiting.pending) == len(chain) - 1
    assert set(waiting.members) == {FOUNDER.device_id, PHRASE.device_id}
    whole = waiting.with_entries(chain[:1])
    assert not whole.pending
    assert len(whole.members) == len(chain) + 2


def test_nobody_fills_a_library_with_members() -> None:
    entries: list[Entry] = []
    for number in range(MAX_MEMBERS + 3):
        newcomer = secrets_of_many(number)
        entries.append(forge_add(FOUNDER, [entries[-1].hash] if entries else START, newcomer))
    state = evaluate(GENESIS, entries)
    assert len(state.members) == MAX_MEMBERS
    assert f"{MAX_MEMBERS} members already" in "".join(state.refused.values())


def test_a_chain_of_adds_ends_before_python_does() -> None:
    entries: list[Entry] = []
    author = FOUNDER
    for number in range(MAX_DEPTH + 1):
        newcomer = secrets_of_many(number)
        entries.append(forge_add(author, [entries[-1].hash] if entries else START, newcomer))
        author = newcomer
    state = evaluate(GENESIS, entries)
    assert list(state.refused.values()) == [f"its author is {MAX_DEPTH} adds away from genesis"]
    assert len(state.members) == MAX_DEPTH + 2


def test_a_flood_of_contradictions_is_heard_in_time_and_leaves_an_entry_to_write() -> None:
    """More heads than one entry can name: an honest device names its own line and some of the others."""
    flood = [forge_rotation(PHRASE, START, [FOUNDER.device_id, PHRASE.device_id], [GENESIS.library_id])]
    flood += [forge_add(PHRASE, START, secrets_of_many(number)) for number in range(3 * MAX_HEADS)]
    own = forge_add(FOUNDER, START, STRANGER)
    state = evaluate(GENESIS, [*flood, own])
    assert len(state.heads) == len(flood) + 1
    assert len(state.alarms[0].entries) == len(flood)
    named = state.heads_for(FOUNDER.device_id)
    assert len(named) == MAX_HEADS
    assert own.hash in named
    assert list(named) == sorted(named)
    entry = revoke(state, FOUNDER, STRANGER.device_id, NO_ENVELOPE)
    after = state.with_entries([entry])
    assert not after.refused
    assert len(after.heads) == len(state.heads) - MAX_HEADS + 1
    assert [alarm.author for alarm in after.alarms] == [PHRASE.device_id]


def in_a_row(length: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(length):
        heads = [entries[-1].hash] if entries else START
        author = (FOUNDER, PHRASE)[number % 2]
        entries.append(forge_rotation(author, heads, [FOUNDER.device_id, PHRASE.device_id]))
    return entries


def at_once(length: int) -> list[Entry]:
    return [forge_add(PHRASE, START, secrets_of_many(number)) for number in range(length)]


@pytest.mark.parametrize("shape", [in_a_row, at_once])
def test_work_grows_with_the_entries_and_not_with_their_square(shape: Callable[[int], list[Entry]]) -> None:
    """Counted in calls, not in seconds: eight times the entries may cost twelve times the work, not sixty-four."""
    few, many = shape(20), shape(160)
    assert calls_of(lambda: evaluate(GENESIS, many)) < 12 * calls_of(lambda: evaluate(GENESIS, few))
