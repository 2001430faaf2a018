"""What lies past a cut is held, and accepted exactly if an accepted envelope of a remaining member names it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.acceptance import accepted_through, accepted_vector, named_by_members
from crypto.errors import NotAMember
from crypto.membership_entry import NO_ENVELOPE, Cut
from tests.crypto.membership_world import FOUNDER, PHRASE, World, secrets_of

if TYPE_CHECKING:
    from crypto.acceptance import Place

THIEF, ACCOMPLICE, FRIEND = (secrets_of(number).device_id for number in (2, 3, 4))


def place(device: bytes, seq: int, story: str = "") -> Place:
    return seq, hashlib.blake2b(device + story.encode() + bytes([seq]), digest_size=32).digest()


def chain(device: bytes, length: int, story: str = "") -> list[Place]:
    return [place(device, seq, story) for seq in range(1, length + 1)]


def world_with_cut(cut: Cut) -> World:
    world = World()
    for _ in range(3):
        world.add(FOUNDER)
    world.merged()
    world.revoke(FOUNDER, ACCOMPLICE)
    world.revoke(FOUNDER, THIEF, cut)
    return world


def test_every_envelope_of_a_member_is_accepted() -> None:
    state = world_with_cut(NO_ENVELOPE).merged()
    assert accepted_through(state, FRIEND, chain(FRIEND, 9)) == 9
    assert accepted_through(state, FRIEND, []) == 0


@given(st.integers(0, 9), st.integers(0, 9), st.sets(st.integers(1, 12)), st.booleans())
def test_a_revoked_device_is_accepted_up_to_its_cut_and_what_others_built_upon(
    length: int, cut: int, named: set[int], another_story: bool
) -> None:
    state = world_with_cut(Cut(*place(THIEF, cut)) if cut else NO_ENVELOPE).merged()
    held = chain(THIEF, length, "another" if another_story else "")
    expected = max((seq for seq in {cut, *named} if seq <= length), default=0)
    accepted = accepted_through(state, THIEF, held, {place(THIEF, seq) for seq in named})
    assert accepted == (0 if another_story else expected)


def test_only_what_remaining_members_name_counts() -> None:
    state = world_with_cut(Cut(*place(THIEF, 2))).merged()
    chains: dict[bytes, list[tuple[Place, dict[bytes, Place]]]] = {
        THIEF: [(one, {}) for one in chain(THIEF, 8)],
        ACCOMPLICE: [(one, {THIEF: place(THIEF, 7)}) for one in chain(ACCOMPLICE, 3)],
        FRIEND: [(place(FRIEND, 1), {}), (place(FRIEND, 2), {THIEF: place(THIEF, 4)})],
        b"s" * 32: [(place(b"s", 1), {THIEF: place(THIEF, 8)})],
    }
    assert accepted_vector(state, chains) == {THIEF: 4, ACCOMPLICE: 0, FRIEND: 2}
    # The thief itself, or its accomplice, names nothing into being.
    chains[THIEF] = [(one, {THIEF: place(THIEF, 8), ACCOMPLICE: place(ACCOMPLICE, 3)}) for one in chain(THIEF, 8)]
    assert accepted_vector(state, chains) == {THIEF: 4, ACCOMPLICE: 0, FRIEND: 2}


def test_a_frontier_that_names_another_story_accepts_nothing() -> None:
    state = world_with_cut(NO_ENVELOPE).merged()
    assert accepted_through(state, THIEF, chain(THIEF, 5), {place(THIEF, 4, "forged")}) == 0


def test_a_device_that_never_stood_is_accepted_as_far_as_it_was_built_upon() -> None:
    world = World()
    thief = world.secrets[world.add(FOUNDER).admission.device_id]
    world.meet(FOUNDER.device_id, PHRASE.device_id)
    world.revoke(PHRASE, thief.device_id)
    void = world.add(thief).admission.device_id
    state = world.merged()
    assert accepted_through(state, void, chain(void, 5)) == 0
    named = named_by_members(state, [(FOUNDER.device_id, {void: place(void, 3)})])
    assert accepted_through(state, void, chain(void, 5), named[void]) == 3


def test_a_stranger_is_no_device_that_left() -> None:
    with pytest.raises(NotAMember):
        accepted_through(world_with_cut(NO_ENVELOPE).merged(), b"s" * 32, chain(b"s" * 32, 1))
