"""Epochs' keys: who opens which, and what is noticed of a member that hands out others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crypto import exchange
from crypto.epochs import must_rotate, open_epochs, unwrap_key, wrap_key
from crypto.errors import CommitmentMismatch, DecryptionFailed, MembershipInvalid, NotAMember
from crypto.genesis import epoch_check, open_epoch
from crypto.membership import evaluate
from crypto.membership_change import rotate
from crypto.membership_entry import COUNTS, MEMBER, START, EntryKind
from crypto.preamble import Kind, preamble
from crypto.purposes import Person
from tests.crypto.membership_world import FOUNDER, GENESIS, PHRASE, World, forge, secrets_of

if TYPE_CHECKING:
    from crypto.keys import DeviceSecrets
    from crypto.membership import Membership
    from crypto.membership_entry import Entry

FIRST = open_epoch(GENESIS, FOUNDER)


def context_of(kind: EntryKind, author: DeviceSecrets, heads: tuple[bytes, ...], said: bytes) -> bytes:
    """The bytes of a forged entry up to the end of `said`."""
    padding = bytes(1000)
    made = forge_unread(kind, author, heads, said + padding)
    return made[: made.index(said) + len(said)]


def forge_unread(kind: EntryKind, author: DeviceSecrets, heads: tuple[bytes, ...], content: bytes) -> bytes:
    start = START.pack(kind, 0, GENESIS.library_id, author.device_id, len(heads))
    return preamble(Kind.MEMBERSHIP) + start + b"".join(heads) + content


def forge_keys(
    state: Membership,
    author: DeviceSecrets,
    *,
    key: bytes = b"k" * 32,
    told: bytes | None = None,
    victim: bytes = b"",
    wrapped_key: bytes = FIRST.epoch_key,
    pid_key: bytes = FIRST.pid_key,
) -> Entry:
    """Return a rotation that gives `victim` the key `told`, everybody else `key`, and wraps `wrapped_key`."""
    members = [state.members[one] for one in sorted(state.members)]
    said = COUNTS.pack(1, len(members)) + state.current + b"".join(member.device_id for member in members)
    context = context_of(EntryKind.ROTATE, author, state.heads, said)
    check = epoch_check(key + pid_key, context)
    context += check
    said += check + wrap_key(key, context, state.current, wrapped_key)
    for member in members:
        given = told if told is not None and member.device_id == victim else key
        said += exchange.seal_to(member.exchange, Person.EPOCH_BOX, context, given, ephemeral=exchange.new_secret())
    return forge(EntryKind.ROTATE, author, state.heads, said)


@pytest.fixture
def world() -> World:
    made = World()
    made.add(FOUNDER)
    made.merged()
    return made


@pytest.fixture
def phone(world: World) -> DeviceSecrets:
    return world.secrets[secrets_of(2).device_id]


def test_genesis_gives_its_two_members_the_first_key() -> None:
    state = evaluate(GENESIS, [])
    for member in (FOUNDER, PHRASE):
        ring = open_epochs(state, member)
        assert dict(ring.keys) == {GENESIS.library_id: FIRST}
        assert ring.tops == {GENESIS.library_id}
        assert not must_rotate(state, ring)
    with pytest.raises(NotAMember) as caught:
        open_epochs(state, secrets_of(2))
    assert caught.value.hint


def test_a_newcomer_reads_every_epoch_before_it_and_the_photo_id_key_stays(world: World) -> None:
    for _ in range(3):
        world.rotate(FOUNDER)
    newcomer = world.secrets[world.add(FOUNDER).admission.device_id]
    state = world.merged()
    ring = open_epochs(state, newcomer)
    assert len(ring.keys) == 4
    assert dict(ring.keys) == dict(open_epochs(state, PHRASE).keys)
    assert {keys.pid_key for keys in ring.keys.values()} == {FIRST.pid_key}
    assert len({keys.epoch_key for keys in ring.keys.values()}) == 4
    assert ring.tops == {state.current}
    assert all(keys.epoch_id == epoch_id for epoch_id, keys in ring.keys.items())


@pytest.mark.scenario(7, "it reads what is written afterwards")
def test_a_revoked_device_opens_no_later_key(world: World, phone: DeviceSecrets) -> None:
    held = set(open_epochs(world.merged(), phone).keys)
    world.revoke(FOUNDER, phone.device_id)
    state = world.settle(FOUNDER)
    assert state.current not in held
    assert set(open_epochs(state, phone).keys) == held


def test_a_void_epoch_is_read_but_not_written_under(world: World, phone: DeviceSecrets) -> None:
    void = world.rotate(phone)
    world.revoke(FOUNDER, phone.device_id)
    state = world.merged()
    assert state.epochs[void.hash].is_void
    assert void.hash in open_epochs(state, FOUNDER).keys
    state = world.settle(FOUNDER)
    # The next rotation wraps it, for those who come later.
    assert void.hash in state.epochs[state.current].wraps
    newcomer = world.secrets[world.add(FOUNDER).admission.device_id]
    assert void.hash in open_epochs(world.states[newcomer.device_id], newcomer).keys


def test_a_void_epoch_that_comes_late_makes_nobody_rotate(world: World, phone: DeviceSecrets) -> None:
    """Else a revoked device could make the others change keys as often as it likes."""
    world.revoke(FOUNDER, phone.device_id)
    world.rotate(FOUNDER)
    void = world.rotate(phone)
    state = world.merged()
    ring = open_epochs(state, FOUNDER)
    assert ring.tops == {state.current, void.hash}
    assert not must_rotate(state, ring)


def test_a_newcomer_that_was_given_a_void_epoch_and_no_other_rotates(world: World, phone: DeviceSecrets) -> None:
    """Two hostile members together; the newcomer writes under no key that they chose to leave it."""
    world.add(FOUNDER, secrets_of(51))
    world.meet(FOUNDER.device_id, phone.device_id)
    world.revoke(FOUNDER, phone.device_id)
    void = world.rotate(phone)
    state = world.merged()
    newcomer = secrets_of(50)
    keys = open_epochs(state, FOUNDER).keys[void.hash]
    said = MEMBER.pack(newcomer.device_id, newcomer.exchange_public, void.hash, 0)
    context = context_of(EntryKind.ADD, FOUNDER, state.heads, said)
    box = exchange.seal_to(
        newcomer.exchange_public,
        Person.EPOCH_BOX,
        context,
        keys.epoch_key + keys.pid_key,
        ephemeral=exchange.new_secret(),
    )
    state = state.with_entries([forge(EntryKind.ADD, FOUNDER, state.heads, said + box, newcomer)])
    state = state.with_entries(
        [forge_keys(state, secrets_of(51), told=bytes(32), victim=newcomer.device_id, wrapped_key=bytes(32))]
    )
    ring = open_epochs(state, newcomer)
    assert not state.rotation_due
    assert void.hash in ring.keys
    assert state.current not in ring.keys
    assert must_rotate(state, ring)


def test_a_forged_rotation_with_nothing_wrong_is_good(world: World, phone: DeviceSecrets) -> None:
    """So that the tests below fail for what they say, and nothing else."""
    state = world.merged()
    state = state.with_entries([forge_keys(state, phone)])
    ring = open_epochs(state, FOUNDER)
    assert not ring.damaged
    assert ring.keys[state.current].epoch_key == b"k" * 32


@pytest.mark.scenario(10, "epoch keys that are none")
def test_a_member_given_another_key_than_the_rest_notices_and_rotates(world: World, phone: DeviceSecrets) -> None:
    state = world.merged()
    state = state.with_entries([forge_keys(state, phone, told=b"other" + bytes(27), victim=FOUNDER.device_id)])
    ring = open_epochs(state, FOUNDER)
    assert isinstance(ring.damaged[state.current], MembershipInvalid)
    assert state.current not in ring.keys
    assert not state.rotation_due
    assert must_rotate(state, ring)
    assert not must_rotate(state, open_epochs(state, PHRASE))
    after = state.with_entries([rotate(state, FOUNDER, ring)])
    assert not must_rotate(after, open_epochs(after, FOUNDER))
    # The phrase holds the epoch the founder does not, and mends that when it writes.
    assert must_rotate(after, open_epochs(after, PHRASE))


def test_another_photo_id_key_is_noticed(world: World, phone: DeviceSecrets) -> None:
    state = world.merged()
    state = state.with_entries([forge_keys(state, phone, pid_key=b"p" * 32)])
    ring = open_epochs(state, FOUNDER)
    assert isinstance(ring.damaged[state.current], MembershipInvalid)
    assert state.current not in ring.keys


def test_a_wrong_key_wrapped_is_noticed_and_mended(world: World, phone: DeviceSecrets) -> None:
    """A hostile member would hide everything older from all who come later."""
    state = world.merged()
    hidden = state.current
    state = state.with_entries([forge_keys(state, phone, wrapped_key=b"w" * 32)])
    ring = open_epochs(state, FOUNDER)
    assert isinstance(ring.damaged[state.current], MembershipInvalid)
    assert ring.tops == {state.current, hidden}
    assert must_rotate(state, ring)
    mended = state.with_entries([rotate(state, FOUNDER, ring)])
    assert mended.epochs[mended.current].wraps == {hidden, state.current}
    assert not must_rotate(mended, open_epochs(mended, FOUNDER))


def test_a_newcomer_given_another_photo_id_key_or_epoch_key_notices(world: World) -> None:
    state = world.merged()
    newcomer = secrets_of(50)
    for keys in (FIRST.epoch_key + b"p" * 32, b"e" * 32 + FIRST.pid_key):
        said = MEMBER.pack(newcomer.device_id, newcomer.exchange_public, state.current, 0)
        context = context_of(EntryKind.ADD, FOUNDER, state.heads, said)
        box = exchange.seal_to(
            newcomer.exchange_public, Person.EPOCH_BOX, context, keys, ephemeral=exchange.new_secret()
        )
        entry = forge(EntryKind.ADD, FOUNDER, state.heads, said + box, newcomer)
        with pytest.raises(MembershipInvalid, match="different epoch keys"):
            open_epochs(state.with_entries([entry]), newcomer)


def test_a_box_opens_in_its_own_entry_only(world: World) -> None:
    state = world.merged()
    donor = world.add(FOUNDER, secrets_of(50))
    said = MEMBER.pack(secrets_of(50).device_id, secrets_of(50).exchange_public, state.current, 1)
    moved = forge(EntryKind.ADD, FOUNDER, state.heads, said + donor.admission.box, secrets_of(50))
    with pytest.raises(CommitmentMismatch):
        open_epochs(state.with_entries([moved]), secrets_of(50))


@pytest.mark.scenario(2, "under another epoch")
def test_wrapped_keys_are_bound_to_their_place() -> None:
    key, context, epoch_id, secret = b"k" * 32, b"context", b"e" * 32, b"s" * 32
    wrapped = wrap_key(key, context, epoch_id, secret)
    assert unwrap_key(key, context, epoch_id, wrapped, "it") == secret
    for other in ((b"l" * 32, context, epoch_id), (key, b"else", epoch_id), (key, context, b"f" * 32)):
        with pytest.raises(CommitmentMismatch):
            unwrap_key(*other, wrapped, "it")
    with pytest.raises(DecryptionFailed):
        unwrap_key(key, context, epoch_id, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), "it")
