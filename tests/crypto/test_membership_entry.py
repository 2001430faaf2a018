"""The bytes of entries: whatever is not exactly what an honest device writes is a named error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.aead import KEY_BYTES
from crypto.errors import (
    CryptoError,
    FormatError,
    KeyRefused,
    MembershipInvalid,
    SignatureInvalid,
    TooLarge,
    Truncated,
    UnknownVersion,
    WrongLibrary,
)
from crypto.membership_entry import (
    MAX_ENTRY_BYTES,
    MAX_HEADS,
    MAX_RECIPIENTS,
    MAX_WRAPS,
    Cut,
    Entry,
    EntryKind,
    verify_entry,
)
from crypto.purposes import Signed
from crypto.signing import SIGNATURE_BYTES, sign
from tests.crypto.membership_world import (
    FOUNDER,
    GENESIS,
    PHRASE,
    World,
    forge,
    forge_add,
    forge_revoke,
    forge_rotation,
    secrets_of,
)

HEADS = [GENESIS.library_id]
LIBRARY = GENESIS.library_id
NEWCOMER = secrets_of(2)
AUTHOR_AT = 49
HEADS_AT = 82
CONTENT_AT = HEADS_AT + 32


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    world = World()
    add = world.add(FOUNDER)
    revoke = world.revoke(FOUNDER, add.admission.device_id, Cut(4, b"h" * 32))
    world.meet(FOUNDER.device_id, PHRASE.device_id)
    rotate = world.rotate(FOUNDER)
    world.meet(FOUNDER.device_id, PHRASE.device_id)
    return {"add": add, "revoke": revoke, "rotate": rotate, "replace": world.replace(PHRASE)}


KINDS = ("add", "revoke", "rotate", "replace")


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_read_back_as_it_was_made(kind: str, entries: dict[str, Entry]) -> None:
    entry = entries[kind]
    again = verify_entry(entry.data, LIBRARY)
    assert again == entry
    assert hash(again) == hash(entry)
    assert again.content == entry.content
    assert again.kind.name.lower() == kind
    assert entry.data.hex() not in repr(entry)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_changed_bit_is_a_named_error(kind: str, entries: dict[str, Entry], data: st.DataObject) -> None:
    changed = bytearray(entries[kind].data)
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        verify_entry(bytes(changed), LIBRARY)


@pytest.mark.parametrize("kind", KINDS)
def test_another_length_is_a_named_error(kind: str, entries: dict[str, Entry]) -> None:
    whole = entries[kind].data
    for length in range(len(whole)):
        with pytest.raises(Truncated):
            verify_entry(whole[:length], LIBRARY)
    with pytest.raises(FormatError, match="1 bytes stand behind"):
        verify_entry(whole + b"\0", LIBRARY)


@pytest.mark.parametrize(
    ("place", "value", "error"),
    [
        (0, b"X", FormatError),
        (4, b"EN", FormatError),
        (7, b"\2", UnknownVersion),
        (8, b"\1", MembershipInvalid),
        (8, b"\6", UnknownVersion),
        (9, b"\1", FormatError),
        (17, b"\0" * 32, WrongLibrary),
        (AUTHOR_AT, bytes(32), KeyRefused),
        (AUTHOR_AT, NEWCOMER.device_id, MembershipInvalid),
        (81, b"\0", FormatError),
        (81, b"\x41", FormatError),
        (CONTENT_AT, (1).to_bytes(32, "little"), KeyRefused),
        (CONTENT_AT + 32, bytes(32), KeyRefused),
        (CONTENT_AT + 96, b"\2", FormatError),
        (CONTENT_AT + 97, b"changed box", SignatureInvalid),
    ],
)
def test_a_changed_field_of_an_add_is_a_named_error(place: int, value: bytes, error: type[CryptoError]) -> None:
    data = forge_add(FOUNDER, HEADS, NEWCOMER).data
    with pytest.raises(error) as caught:
        verify_entry(data[:place] + value + data[place + len(value) :], LIBRARY)
    assert type(caught.value) is error


def test_heads_stand_once_and_in_order() -> None:
    one, other = b"\1" * 32, b"\2" * 32
    good = forge_revoke(FOUNDER, [one, other], NEWCOMER.device_id).data
    for heads in (other + one, one + one):
        changed = good[:HEADS_AT] + heads + good[HEADS_AT + 64 :]
        with pytest.raises(FormatError, match="ascending"):
            verify_entry(changed, LIBRARY)


def test_sizes_are_bounded() -> None:
    many = [number.to_bytes(32, "big") for number in range(MAX_RECIPIENTS + 1)]
    largest = forge_rotation(FOUNDER, many[:MAX_HEADS], many[:MAX_RECIPIENTS], many[:MAX_WRAPS])
    assert len(largest.data) == MAX_ENTRY_BYTES
    with pytest.raises(TooLarge):
        verify_entry(largest.data + b"\0", LIBRARY)
    with pytest.raises(FormatError, match="heads"):
        forge_revoke(FOUNDER, many[: MAX_HEADS + 1], NEWCOMER.device_id)
    with pytest.raises(FormatError, match="wraps"):
        forge_rotation(FOUNDER, HEADS, many[:1], many[: MAX_WRAPS + 1])
    with pytest.raises(FormatError, match="sealed to"):
        forge(EntryKind.ROTATE, FOUNDER, HEADS, b"\1" + (MAX_RECIPIENTS + 1).to_bytes(2, "big") + bytes(64))
    with pytest.raises(FormatError, match="sealed to"):
        forge(EntryKind.ROTATE, FOUNDER, HEADS, b"\1\0\0" + bytes(64))


@pytest.mark.parametrize(("seq", "cut"), [(0, b"h" * 32), (1, bytes(32)), (1 << 63, b"h" * 32)])
def test_a_cut_no_chain_has_is_refused(seq: int, cut: bytes) -> None:
    said = NEWCOMER.device_id + seq.to_bytes(8, "big") + cut
    with pytest.raises(FormatError, match="cut"):
        forge(EntryKind.REVOKE, FOUNDER, HEADS, said)


def test_only_an_add_continues_its_author() -> None:
    with pytest.raises(FormatError, match="flags"):
        forge_add(PHRASE, HEADS, NEWCOMER, kind=EntryKind.REPLACE, continues=True)


def test_a_relay_cannot_put_a_key_of_its_own_into_an_add(entries: dict[str, Entry]) -> None:
    """Security, item 10: the inviter signs the newcomer's keys, and the newcomer signs that."""
    relay = secrets_of(90)
    good = entries["add"].data
    keys = relay.device_id + relay.exchange_public
    swapped = good[:CONTENT_AT] + keys + good[CONTENT_AT + 64 : -SIGNATURE_BYTES]
    for countersigner in (relay, NEWCOMER):
        signature = sign(countersigner.signing_seed, Signed.COUNTERSIGNATURE, swapped)
        with pytest.raises(SignatureInvalid):
            verify_entry(swapped + signature, LIBRARY)


def test_nobody_is_added_without_its_own_word(entries: dict[str, Entry]) -> None:
    good = entries["add"].data[:-SIGNATURE_BYTES]
    for signer, purpose in ((FOUNDER, Signed.COUNTERSIGNATURE), (NEWCOMER, Signed.MEMBERSHIP)):
        with pytest.raises(SignatureInvalid, match="new member"):
            verify_entry(good + sign(signer.signing_seed, purpose, good), LIBRARY)


def test_an_entry_holds_in_its_own_library_only(entries: dict[str, Entry]) -> None:
    """Security, item 2: the library's id is part of what is signed."""
    for entry in entries.values():
        with pytest.raises(WrongLibrary):
            verify_entry(entry.data, b"L" * 32)
        moved = entry.data[:17] + b"L" * 32 + entry.data[49:]
        with pytest.raises(SignatureInvalid):
            verify_entry(moved, b"L" * 32)


def test_a_signature_of_another_purpose_does_not_hold() -> None:
    good = forge_revoke(FOUNDER, HEADS, NEWCOMER.device_id).data[:-SIGNATURE_BYTES]
    for purpose in Signed:
        if purpose is not Signed.MEMBERSHIP:
            with pytest.raises(SignatureInvalid):
                verify_entry(good + sign(FOUNDER.signing_seed, purpose, good), LIBRARY)


def test_what_an_entry_does_not_say_is_a_mistake_to_ask(entries: dict[str, Entry]) -> None:
    with pytest.raises(TypeError):
        _ = entries["add"].rotation
    with pytest.raises(TypeError):
        _ = entries["rotate"].admission
    assert len(entries["rotate"].rotation.check) == KEY_BYTES
