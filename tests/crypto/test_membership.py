"""The rules of `crypto.membership`, each as a property of what honest devices do while apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.epochs import must_rotate, open_epochs
from crypto.membership import evaluate, heads_hash
from crypto.membership_entry import NO_ENVELOPE, Cut, EntryKind, Revocation
from tests.crypto.membership_world import (
    FOUNDER,
    GENESIS,
    HOSTILE_STEPS,
    PHRASE,
    STEPS,
    SlowReading,
    World,
    play,
    play_hostile,
    secrets_of,
)

if TYPE_CHECKING:
    import random

    from crypto.membership_entry import Entry
    from tests.crypto.membership_world import HostileStep


def test_genesis_alone() -> None:
    state = evaluate(GENESIS, [])
    assert set(state.members) == {FOUNDER.device_id, PHRASE.device_id}
    assert state.phrases == (PHRASE.device_id,)
    assert state.heads == (GENESIS.library_id,)
    assert state.membership == GENESIS.membership
    assert state.current == GENESIS.epoch_id
    assert not state.rotation_due
    for nothing in (state.alarms, state.pending, state.refused, state.departed, state.void):
        assert not nothing


def check_against_the_rules(entries: list[Entry], order: random.Random) -> SlowReading:
    shuffled = [*entries, *entries[: len(entries) // 2]]
    order.shuffle(shuffled)
    state = evaluate(GENESIS, shuffled)
    slow = SlowReading(entries)
    assert set(state.members) == slow.members
    assert set(state.phrases) == slow.phrases(slow.all)
    assert state.void == slow.void
    assert set(state.pending) == slow.pending
    assert set(state.refused) == slow.refused
    assert {alarm.author: set(alarm.entries) for alarm in state.alarms} == slow.contradicting()
    assert state == evaluate(GENESIS, entries)
    piecemeal = evaluate(GENESIS, [])
    while shuffled:
        piecemeal = piecemeal.with_entries(shuffled[:3])
        del shuffled[:3]
    assert piecemeal == state == state.with_entries(entries)
    assert state.membership == heads_hash(state.heads)
    return slow


@settings(max_examples=40)
@given(STEPS, st.randoms(use_true_random=False), st.lists(st.booleans(), max_size=40))
def test_what_honest_devices_say_means_what_the_rules_say_in_any_order_of_arrival(
    steps: list[tuple[str, int, int]], order: random.Random, lost: list[bool]
) -> None:
    entries = play(steps).everything()
    kept = [entry for at, entry in enumerate(entries) if not (at < len(lost) and lost[at])]
    assert check_against_the_rules(kept, order).refused == set()


@settings(max_examples=150)
@given(HOSTILE_STEPS, st.randoms(use_true_random=False), st.lists(st.booleans(), max_size=16))
def test_what_anybody_says_means_what_the_rules_say_in_any_order_of_arrival(
    steps: list[HostileStep], order: random.Random, lost: list[bool]
) -> None:
    entries = play_hostile(steps)
    check_against_the_rules([entry for at, entry in enumerate(entries) if not (at < len(lost) and lost[at])], order)


@settings(max_examples=40)
@given(STEPS)
def test_honest_devices_refuse_nothing_alarm_nobody_and_every_revocation_holds(
    steps: list[tuple[str, int, int]],
) -> None:
    state = play(steps).merged()
    assert not state.refused
    assert not state.pending
    assert not state.alarms
    for entry in state.entries.values():
        if isinstance(entry.content, Revocation):
            assert entry.content.device_id not in state.members
            assert entry.hash in state.departed[entry.content.device_id].removed_by
            assert entry.hash not in state.void
    assert len(state.phrases) >= 1


@settings(max_examples=40)
@given(STEPS, st.integers(0, 9))
def test_after_a_merge_one_rotation_makes_one_epoch_that_exactly_the_members_hold(
    steps: list[tuple[str, int, int]], who: int
) -> None:
    world = play(steps)
    before = world.merged()
    held = {device: set(open_epochs(before, world.secrets[device]).keys) for device in before.members}
    writer = world.secrets[sorted(before.members)[who % len(before.members)]]
    state = world.settle(writer)
    assert not state.rotation_due
    assert state.current in open_epochs(state, writer).keys
    assert state.epochs[state.current].holders == set(state.members)
    # Whoever holds keys that the writer did not have wraps them in turn; then every member reads whatever any could.
    for device in sorted(state.members):
        world.states[device] = state
        state = world.settle(world.secrets[device])
    for device in state.members:
        ring = open_epochs(state, world.secrets[device])
        readable = {epoch_id for epochs in held.values() for epoch_id in epochs if not state.epochs[epoch_id].is_void}
        assert readable <= set(ring.keys)
        assert not must_rotate(state, ring)
        assert not ring.damaged
    for device in state.departed:
        if device in world.secrets:
            assert state.current not in open_epochs(state, world.secrets[device]).keys


def test_mutual_revocation_leaves_the_phrase() -> None:
    world = World()
    added = world.add(FOUNDER)
    phone = world.secrets[added.admission.device_id]
    world.revoke(FOUNDER, phone.device_id)
    world.revoke(phone, FOUNDER.device_id)
    state = world.merged()
    assert set(state.members) == {PHRASE.device_id}
    assert set(state.departed) == {FOUNDER.device_id, phone.device_id}
    assert state.rotation_due
    assert not state.alarms


def test_what_a_device_does_while_it_is_revoked_elsewhere_is_void_and_what_it_did_before_is_not() -> None:
    world = World()
    laptop = world.secrets[world.add(FOUNDER).admission.device_id]
    before = world.add(laptop)
    world.meet(FOUNDER.device_id, laptop.device_id)
    world.revoke(FOUNDER, laptop.device_id)
    rotation = world.rotate(laptop)
    add = world.add(laptop)
    by_newcomer = world.add(world.secrets[add.admission.device_id])
    state = world.merged()
    assert state.void == {rotation.hash, add.hash, by_newcomer.hash}
    assert before.admission.device_id in state.members
    for entry in (add, by_newcomer):
        departure = state.departed[entry.admission.device_id]
        assert departure.cuts == (NO_ENVELOPE,)
        assert departure.removed_by == ()
    assert state.epochs[rotation.hash].is_void
    assert state.current != rotation.hash
    assert state.rotation_due


def test_two_halves_that_remove_each_others_adder_end_in_one_state() -> None:
    """Each newcomer revokes the one that added the other: were revocations void with their author, neither order
    of judging would be the right one."""
    world = World()
    other = world.secrets[world.add(FOUNDER).admission.device_id]
    one_new = world.secrets[world.add(FOUNDER).admission.device_id]
    other_new = world.secrets[world.add(other).admission.device_id]
    world.states[one_new.device_id] = world.states[FOUNDER.device_id]
    world.revoke(one_new, other.device_id)
    world.revoke(other_new, FOUNDER.device_id)
    state = world.merged()
    assert set(state.members) == {PHRASE.device_id}


def test_epochs_are_named_by_their_entries_and_concurrent_ones_make_a_rotation_due() -> None:
    world = World()
    phone = world.secrets[world.add(FOUNDER).admission.device_id]
    one, other = world.rotate(FOUNDER), world.rotate(phone)
    state = world.merged()
    assert set(state.epochs) == {GENESIS.library_id, one.hash, other.hash}
    assert state.rotation_due
    assert not state.alarms
    third = world.rotate(phone)
    state = world.states[phone.device_id]
    assert state.current == third.hash
    assert state.epochs[third.hash].wraps == {one.hash, other.hash}
    assert not state.rotation_due


def test_a_device_added_while_another_rotates_makes_a_rotation_due() -> None:
    world = World()
    phone = world.secrets[world.add(FOUNDER).admission.device_id]
    world.rotate(FOUNDER)
    newcomer = world.secrets[world.add(phone).admission.device_id]
    state = world.merged()
    assert state.rotation_due
    assert must_rotate(state, open_epochs(state, newcomer))
    assert not world.settle(newcomer).rotation_due


def test_two_members_may_add_one_newcomer_at_the_same_time() -> None:
    world = World()
    phone = world.secrets[world.add(FOUNDER).admission.device_id]
    newcomer = secrets_of(77)
    one, other = world.add(FOUNDER, newcomer), world.add(phone, newcomer)
    state = world.merged()
    assert state.members[newcomer.device_id].entry == min(one.hash, other.hash)
    assert not state.alarms


def test_cuts_of_members_in_good_standing_count_and_not_those_of_one_revoked_at_the_same_time() -> None:
    world = World()
    phone, tablet, thief = (world.secrets[world.add(FOUNDER).admission.device_id] for _ in range(3))
    for device in (phone, tablet, thief):
        world.meet(FOUNDER.device_id, device.device_id)
    cuts = [Cut(seq, bytes([seq]) * 32) for seq in (3, 5, 9)]
    world.revoke(FOUNDER, thief.device_id, cuts[0])
    world.revoke(phone, thief.device_id, cuts[1])
    world.revoke(tablet, thief.device_id, cuts[2])
    world.revoke(FOUNDER, tablet.device_id)
    state = world.merged()
    assert state.departed[thief.device_id].cuts == (cuts[0], cuts[1])
    assert len(state.departed[thief.device_id].removed_by) == 3


def test_where_no_word_counts_the_lowest_cut_does() -> None:
    world = World()
    phone, tablet, thief = (world.secrets[world.add(FOUNDER).admission.device_id] for _ in range(3))
    for device in (phone, tablet, thief):
        world.meet(FOUNDER.device_id, device.device_id)
    cuts = [Cut(seq, bytes([seq]) * 32) for seq in (3, 5)]
    world.revoke(phone, thief.device_id, cuts[0])
    world.revoke(tablet, thief.device_id, cuts[1])
    world.revoke(phone, tablet.device_id)
    world.revoke(tablet, phone.device_id)
    assert world.merged().departed[thief.device_id].cuts == (cuts[0],)


def test_a_replaced_phrase_is_a_member_no_more_and_the_new_one_reads_everything() -> None:
    world = World()
    world.add(FOUNDER)
    world.rotate(FOUNDER)
    world.meet(FOUNDER.device_id, PHRASE.device_id)
    entry = world.replace(PHRASE)
    new = world.secrets[entry.admission.device_id]
    world.meet(FOUNDER.device_id, PHRASE.device_id)
    state = world.states[FOUNDER.device_id]
    assert state.phrases == (new.device_id,)
    assert state.rotation_due
    assert set(open_epochs(state, new).keys) == set(state.epochs)
    after = world.settle(FOUNDER)
    assert after.current in open_epochs(after, new).keys
    assert after.current not in open_epochs(after, PHRASE).keys


def test_a_copy_adds_itself_without_an_alarm() -> None:
    world = World()
    copy = World()
    world.add(FOUNDER)
    add = copy.add(FOUNDER, secrets_of(99), continues=True)
    state = evaluate(GENESIS, [*world.everything(), *copy.everything()])
    assert not state.alarms
    assert state.members[add.admission.device_id].continues == FOUNDER.device_id


def test_every_entry_names_all_heads_its_author_knows() -> None:
    world = World()
    phone = world.secrets[world.add(FOUNDER).admission.device_id]
    heads = {world.rotate(FOUNDER).hash, world.rotate(phone).hash}
    world.merged()
    assert set(world.rotate(phone).heads) == heads
    assert world.states[phone.device_id].entries[world.states[phone.device_id].heads[0]].kind is EntryKind.ROTATE
