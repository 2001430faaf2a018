"""24 words and a relay that may lie."""

from __future__ import annotations

import pytest

from crypto.epochs import must_rotate, open_epochs
from crypto.errors import MembershipInvalid, NotAMember, PhraseReplaced, SignatureInvalid, Truncated
from crypto.membership import create_genesis
from crypto.membership_entry import NO_ENVELOPE, Cut, EntryKind
from crypto.recovery import find_library, recover
from tests.crypto.membership_world import FOUNDER, GENESIS, PHRASE, World, secrets_of

MACHINE = secrets_of(40)


@pytest.fixture
def world() -> World:
    made = World()
    made.add(FOUNDER)
    made.add(FOUNDER)
    made.rotate(FOUNDER)
    return made


def shown(world: World) -> list[bytes]:
    return [entry.data for entry in world.everything()]


def test_recovery_revokes_all_not_kept_rotates_and_adds_this_machine(world: World) -> None:
    membership = find_library(GENESIS.entry, shown(world), PHRASE)
    kept, lost = secrets_of(2).device_id, secrets_of(3).device_id
    cut = Cut(7, b"h" * 32)
    entries, after = recover(membership, PHRASE, MACHINE, keep={kept}, accepted={lost: cut}, created_at=1)
    assert [entry.kind for entry in entries] == [
        EntryKind.REVOKE,
        EntryKind.REVOKE,
        EntryKind.ROTATE,
        EntryKind.ADD,
    ]
    assert {entry.author for entry in entries} == {PHRASE.device_id}
    assert set(after.members) == {PHRASE.device_id, MACHINE.device_id, kept}
    assert after.departed[lost].cuts == (cut,)
    assert after.departed[FOUNDER.device_id].cuts == (NO_ENVELOPE,)
    assert not after.alarms
    ring = open_epochs(after, MACHINE)
    assert set(ring.keys) == set(after.epochs)
    assert not must_rotate(after, ring)
    assert after.current not in open_epochs(after, secrets_of(3)).keys
    assert membership.with_entries(entries) == after


def test_with_every_device_kept_the_key_changes_all_the_same(world: World) -> None:
    membership = find_library(GENESIS.entry, shown(world), PHRASE)
    devices = {one for one, member in membership.members.items() if not member.is_phrase}
    entries, after = recover(membership, PHRASE, MACHINE, keep=devices, accepted={})
    assert [entry.kind for entry in entries] == [EntryKind.ROTATE, EntryKind.ADD]
    assert set(after.members) == {*devices, PHRASE.device_id, MACHINE.device_id}


def test_nothing_that_is_no_device_is_kept(world: World) -> None:
    membership = find_library(GENESIS.entry, shown(world), PHRASE)
    for stranger in (b"s" * 32, PHRASE.device_id):
        with pytest.raises(MembershipInvalid, match="not a member"):
            recover(membership, PHRASE, MACHINE, keep={stranger}, accepted={})


def test_a_relay_cannot_invent_a_library_for_a_phrase() -> None:
    """Security, item 10: it knows the phrase's public keys, and signs with its own."""
    relay = secrets_of(90)
    with pytest.raises(NotAMember, match="does not belong"):
        find_library(create_genesis(relay, secrets_of(91)), [], PHRASE)
    forged = create_genesis(relay, PHRASE)[:-64] + GENESIS.entry[-64:]
    with pytest.raises(SignatureInvalid):
        find_library(forged, [], PHRASE)


def test_a_device_is_no_phrase() -> None:
    with pytest.raises(NotAMember, match="does not belong"):
        find_library(GENESIS.entry, [], FOUNDER)


def test_a_replaced_phrase_is_told_so_and_the_new_one_recovers(world: World) -> None:
    world.meet(FOUNDER.device_id, PHRASE.device_id)
    new = world.secrets[world.replace(PHRASE).admission.device_id]
    with pytest.raises(PhraseReplaced) as caught:
        find_library(GENESIS.entry, shown(world), PHRASE)
    assert caught.value.hint
    membership = find_library(GENESIS.entry, shown(world), new)
    _, after = recover(membership, new, MACHINE, keep=set(), accepted={})
    assert set(after.members) == {new.device_id, MACHINE.device_id}
    assert set(open_epochs(after, MACHINE).keys) == set(after.epochs)


def test_a_damaged_entry_is_named(world: World) -> None:
    entries = shown(world)
    with pytest.raises(Truncated):
        find_library(GENESIS.entry, [entries[0][:-1], *entries[1:]], PHRASE)
