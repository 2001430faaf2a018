"""Two devices, a code, and whoever carries their messages (docs/pairing.md)."""

from __future__ import annotations

import os
import re
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import exchange
from crypto.aead import committed_key, encrypt
from crypto.epochs import open_epochs
from crypto.errors import (
    CommitmentMismatch,
    CryptoError,
    DecryptionFailed,
    FormatError,
    KeyRefused,
    NotAMember,
    PairingCodeInvalid,
    PairingCodeUsed,
    PairingFailed,
    SignatureInvalid,
    TooLarge,
    Truncated,
    UnknownVersion,
    WrongLibrary,
)
from crypto.fingerprint import fingerprint
from crypto.membership_change import check_draft, draft_add
from crypto.pairing import MAX_MESSAGE_BYTES, Inviter, Message, Newcomer, _body
from crypto.pairing_code import WORDS, PairingCode, new_code, parse_code
from crypto.purposes import Person
from tests.crypto.membership_world import FOUNDER, GENESIS, World, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from crypto.membership_entry import Entry

    Change = Callable[[bytes], bytes]

CODE = parse_code("7-velvet-harbour")
NEWCOMER = secrets_of(2)
RELAY = secrets_of(90)


def sides(code: PairingCode = CODE, typed: PairingCode = CODE) -> tuple[Inviter, Newcomer]:
    return (
        Inviter(code, FOUNDER, GENESIS.library_id, [GENESIS.library_id]),
        Newcomer(typed, NEWCOMER, "Anna's laptop"),
    )


def draft_for(device_id: bytes, exchange_public: bytes) -> bytes:
    state = World().states[FOUNDER.device_id]
    return draft_add(state, FOUNDER, open_epochs(state, FOUNDER), device_id, exchange_public)


DRAFT = draft_for(NEWCOMER.device_id, NEWCOMER.exchange_public)


def pair(inviter: Inviter, newcomer: Newcomer, draft: bytes = DRAFT) -> tuple[Entry, Entry]:
    introduction = newcomer.introduce(inviter.offer(newcomer.answer(inviter.hello())))
    inviter.meet(introduction)
    acceptance, joined = newcomer.accept(inviter.grant(draft))
    return inviter.finish(acceptance), joined


def flip(data: bytes, place: int, mask: int = 1) -> bytes:
    changed = bytearray(data)
    changed[place] ^= mask
    return bytes(changed)


def test_two_devices_that_share_a_code_come_together() -> None:
    inviter, newcomer = sides()
    added, joined = pair(inviter, newcomer)
    assert added == joined
    assert newcomer.library is not None
    assert (newcomer.library.library_id, newcomer.library.heads) == (GENESIS.library_id, (GENESIS.library_id,))
    assert newcomer.library.device_id == FOUNDER.device_id
    assert newcomer.library.fingerprint == fingerprint(FOUNDER.device_id, FOUNDER.exchange_public)
    assert inviter.newcomer is not None
    assert inviter.newcomer.name == "Anna's laptop"
    assert inviter.newcomer.fingerprint == fingerprint(NEWCOMER.device_id, NEWCOMER.exchange_public)
    state = World().states[FOUNDER.device_id].with_entries([added])
    assert NEWCOMER.device_id in state.members
    assert state.current in open_epochs(state, NEWCOMER).keys


def test_nothing_said_crosses_in_the_clear_and_no_two_pairings_are_alike() -> None:
    seen = []
    for _ in range(2):
        inviter, newcomer = sides()
        messages = [inviter.hello()]
        messages.append(newcomer.answer(messages[0]))
        messages.append(inviter.offer(messages[1]))
        messages.append(newcomer.introduce(messages[2]))
        inviter.meet(messages[3])
        messages.append(inviter.grant(DRAFT))
        messages.append(newcomer.accept(messages[4])[0])
        seen.append(messages)
        joined = b"".join(messages)
        for secret in (b"Anna", GENESIS.library_id, FOUNDER.device_id, NEWCOMER.device_id, NEWCOMER.exchange_public):
            assert secret not in joined
    for one, other in zip(*seen, strict=True):
        assert one[9:] != other[9:]
        assert len(one) == len(other) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize("typed", ["8-velvet-harbour", "7-harbour-velvet", "7-velvet-velvet"])
def test_a_wrong_code_dies_on_both_devices(typed: str) -> None:
    inviter, newcomer = sides(CODE, parse_code(typed))
    answer = newcomer.answer(inviter.hello())
    with pytest.raises(PairingFailed) as caught:
        inviter.offer(answer)
    assert "new one" in (caught.value.hint or "")
    assert inviter.is_dead
    _, second = sides()
    with pytest.raises(PairingCodeUsed):
        inviter.offer(second.answer(sides()[0].hello()))
    with pytest.raises(PairingCodeUsed):
        inviter.hello()


def test_a_code_is_used_once() -> None:
    inviter, newcomer = sides()
    pair(inviter, newcomer)
    assert inviter.is_dead
    assert newcomer.is_dead
    for again in (inviter.hello, lambda: newcomer.answer(b"")):
        with pytest.raises(PairingCodeUsed):
            again()


def test_a_guess_in_the_inviters_place_fails_at_the_newcomer() -> None:
    """The relay keeps the inviter's hello and sends one of its own, for the code it guesses."""
    relay = Inviter(parse_code("7-amber-harbour"), RELAY, GENESIS.library_id, [GENESIS.library_id])
    _, newcomer = sides()
    answer = newcomer.answer(relay.hello())
    with pytest.raises(PairingFailed):
        relay.offer(answer)
    body = answer[:8] + b"\3" + answer[-32:] + bytes(304)
    with pytest.raises(PairingFailed):
        newcomer.introduce(body)
    assert newcomer.is_dead


def test_a_relay_that_knows_no_code_cannot_stand_between() -> None:
    """It talks to each side with elements of its own, and passes the confirmations on."""
    inviter, newcomer = sides()
    to_newcomer = Inviter(new_code(7), RELAY, GENESIS.library_id, [GENESIS.library_id])
    to_inviter = Newcomer(new_code(7), RELAY, "relay")
    answer = newcomer.answer(to_newcomer.hello())
    forged = to_inviter.answer(inviter.hello())
    with pytest.raises(PairingFailed):
        inviter.offer(forged[:-32] + answer[-32:])


def test_a_reflected_message_is_refused() -> None:
    inviter, newcomer = sides()
    hello = inviter.hello()
    with pytest.raises(FormatError):
        inviter.offer(hello)
    inviter, _ = sides()
    hello = inviter.hello()
    with pytest.raises(PairingFailed):
        inviter.offer(hello[:8] + b"\2" + hello[9:] + bytes(32))
    answer = newcomer.answer(sides()[0].hello())
    with pytest.raises(PairingFailed):
        newcomer.introduce(answer[:8] + b"\3" + answer[-32:] + bytes(304))


def test_messages_of_another_pairing_do_not_open() -> None:
    one, other = sides(), sides()
    started = [newcomer.answer(inviter.hello()) for inviter, newcomer in (one, other)]
    offers = [inviter.offer(answer) for (inviter, _), answer in zip((one, other), started, strict=True)]
    with pytest.raises(PairingFailed):
        one[1].introduce(offers[1])
    introduction = other[1].introduce(offers[1])
    with pytest.raises(CommitmentMismatch):
        one[0].meet(introduction)


STEPS = ("hello", "answer", "offer", "introduction", "grant", "acceptance")


@settings(max_examples=60)
@given(st.sampled_from(STEPS), st.data())
def test_any_changed_bit_of_any_message_is_a_named_error_that_ends_the_code(step: str, data: st.DataObject) -> None:
    inviter, newcomer = sides()

    def carried(name: str, message: bytes) -> bytes:
        if name != step:
            return message
        bit = data.draw(st.integers(0, len(message) * 8 - 1))
        return flip(message, bit // 8, 1 << bit % 8)

    def converse() -> None:
        answer = newcomer.answer(carried("hello", inviter.hello()))
        offer = inviter.offer(carried("answer", answer))
        inviter.meet(carried("introduction", newcomer.introduce(carried("offer", offer))))
        acceptance, _ = newcomer.accept(carried("grant", inviter.grant(DRAFT)))
        inviter.finish(carried("acceptance", acceptance))

    with pytest.raises(CryptoError):
        converse()
    assert inviter.is_dead or newcomer.is_dead


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda hello: hello[:-1], Truncated),
        (lambda hello: hello[:8], FormatError),
        (lambda hello: b"", Truncated),
        (lambda hello: hello + b"\0", FormatError),
        (lambda hello: flip(hello, 0), FormatError),
        (lambda hello: flip(hello, 7, 3), UnknownVersion),
        (lambda hello: flip(hello, 8, 3), FormatError),
        (lambda hello: hello[:9] + bytes(32), KeyRefused),
        (lambda hello: hello[:9] + (1).to_bytes(32, "little"), KeyRefused),
        (lambda hello: hello[:9] + b"\xff" * 32, KeyRefused),
        # The package that does the arithmetic refuses the others, and takes this one.
        pytest.param(
            lambda hello: hello[:9] + (2**255 - 18).to_bytes(32, "little"), KeyRefused, id="zero in a second spelling"
        ),
        (lambda hello: hello + bytes(MAX_MESSAGE_BYTES), TooLarge),
    ],
)
def test_a_hello_that_is_none_is_a_named_error(change: Change, error: type[CryptoError]) -> None:
    inviter, newcomer = sides()
    with pytest.raises(error) as caught:
        newcomer.answer(change(inviter.hello()))
    assert type(caught.value) is error
    assert newcomer.is_dead


def met() -> tuple[Inviter, Newcomer]:
    inviter, newcomer = sides()
    inviter.meet(newcomer.introduce(inviter.offer(newcomer.answer(inviter.hello()))))
    return inviter, newcomer


def test_a_newcomer_takes_no_entry_but_its_own_by_the_device_it_talks_to() -> None:
    other = draft_for(secrets_of(3).device_id, secrets_of(3).exchange_public)
    half = draft_for(NEWCOMER.device_id, secrets_of(3).exchange_public)
    world = World()
    phone = secrets_of(4)
    world.add(FOUNDER, phone)
    state = world.states[phone.device_id]
    by_other = draft_add(state, phone, open_epochs(state, phone), NEWCOMER.device_id, NEWCOMER.exchange_public)
    state = World().states[FOUNDER.device_id]
    ring = open_epochs(state, FOUNDER)
    copy = draft_add(state, FOUNDER, ring, NEWCOMER.device_id, NEWCOMER.exchange_public, continues=True)
    for draft in (other, half, by_other, copy):
        inviter, newcomer = met()
        with pytest.raises(NotAMember):
            newcomer.accept(inviter.grant(draft))
        assert newcomer.is_dead
    inviter, newcomer = met()
    with pytest.raises(WrongLibrary):
        newcomer.accept(inviter.grant(DRAFT[:17] + b"L" * 32 + DRAFT[49:]))
    inviter, newcomer = met()
    with pytest.raises(SignatureInvalid):
        newcomer.accept(inviter.grant(flip(DRAFT, -1)))


def test_who_introduces_keys_it_does_not_hold_is_not_added() -> None:
    """Somebody who knows the code names another device's keys: it cannot countersign for them."""
    inviter, newcomer = met()
    acceptance, _ = newcomer.accept(inviter.grant(DRAFT))
    stolen, victim = met()
    stolen.grant(draft_for(secrets_of(3).device_id, secrets_of(3).exchange_public))
    victim._transcript, victim._session = stolen._transcript, stolen._session
    sealed = victim._seal(Message.ACCEPTANCE, acceptance[:9], bytes(64))
    with pytest.raises(SignatureInvalid):
        stolen.finish(sealed)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "laptop ",
        "x" * 121,
        "é" * 61,
        "red\x1b[31m",
        "line\nbreak",
        "rtl\u202eexe",
        "zero\u200bwidth",
        "\u2028",
    ],
)
def test_a_name_that_could_garble_a_terminal_is_refused_on_both_sides(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Newcomer(CODE, NEWCOMER, name)
    inviter, newcomer = sides()
    newcomer._name = name.encode()
    offer = inviter.offer(newcomer.answer(inviter.hello()))
    with pytest.raises(FormatError, match="name"):
        inviter.meet(newcomer.introduce(offer))
    assert inviter.is_dead


def test_the_user_says_no() -> None:
    inviter, _ = met()
    inviter.close()
    with pytest.raises(PairingCodeUsed):
        inviter.grant(DRAFT)


def test_steps_out_of_order_are_a_mistake_that_costs_nothing() -> None:
    inviter, newcomer = sides()
    with pytest.raises(ValueError, match="turn of hello"):
        inviter.meet(b"")
    with pytest.raises(ValueError, match="turn of hello"):
        newcomer.accept(b"")
    pair(inviter, newcomer)


LOW_ORDER = (1).to_bytes(32, "little")
FOUNDERS = FOUNDER.device_id + FOUNDER.exchange_public
NEWCOMERS = NEWCOMER.device_id + NEWCOMER.exchange_public


@pytest.mark.parametrize(
    ("keys", "rest", "error"),
    [
        (FOUNDERS, b"\1" + GENESIS.library_id * 2, FormatError),
        (FOUNDERS, b"\1", FormatError),
        (FOUNDERS, b"\0", FormatError),
        (FOUNDERS, b"\x41" + bytes(65 * 32), FormatError),
        (FOUNDERS, b"", Truncated),
        (LOW_ORDER + FOUNDER.exchange_public, b"\1" + GENESIS.library_id, KeyRefused),
        (FOUNDER.device_id + LOW_ORDER, b"\1" + GENESIS.library_id, KeyRefused),
    ],
    # The keys are drawn at random: as ids they would differ from one test process to the next.
    ids=["head twice", "no head", "none announced", "65 heads", "nothing", "low-order id", "low-order exchange key"],
)
def test_an_offer_with_impossible_content_is_a_named_error(keys: bytes, rest: bytes, error: type[CryptoError]) -> None:
    """By somebody who knows the code."""
    inviter, newcomer = sides()
    inviter.offer(newcomer.answer(inviter.hello()))
    offer = inviter._seal(Message.OFFER, inviter_start(inviter), GENESIS.library_id + keys + rest)
    with pytest.raises(error) as caught:
        newcomer.introduce(offer)
    assert type(caught.value) is error
    assert newcomer.is_dead


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (NEWCOMERS + b"\2x", FormatError),
        (NEWCOMERS + b"\1xx", FormatError),
        (NEWCOMERS + b"\1\xff", FormatError),
        (NEWCOMERS, Truncated),
        (LOW_ORDER + NEWCOMER.exchange_public + b"\1x", KeyRefused),
        (NEWCOMER.device_id + LOW_ORDER + b"\1x", KeyRefused),
    ],
    ids=["name too short", "name too long", "name no text", "no name", "low-order id", "low-order exchange key"],
)
def test_an_introduction_with_impossible_content_is_a_named_error(said: bytes, error: type[CryptoError]) -> None:
    inviter, newcomer = sides()
    newcomer.introduce(inviter.offer(newcomer.answer(inviter.hello())))
    with pytest.raises(error) as caught:
        inviter.meet(newcomer._seal(Message.INTRODUCTION, b"SFLTPA\0\1\4", said))
    assert type(caught.value) is error
    assert inviter.is_dead


def test_content_is_padded_in_one_way_only() -> None:
    inviter, newcomer = met()
    context = b"SFLTPA\0\1\5" + inviter._transcript
    key, commitment = committed_key(inviter._session, Person.PAIRING, context)
    for packed in (b"\0\0\0\1x".ljust(512, b"\0"), b"\0\0\0\1x".ljust(256, b"!"), b"\0", b"\xff" * 256):
        with pytest.raises(FormatError, match="not as long as it says"):
            newcomer._open(Message.GRANT, b"", commitment + encrypt(key, packed))


def test_a_draft_is_looked_at_before_it_is_signed() -> None:
    assert check_draft(DRAFT, GENESIS.library_id, NEWCOMER).author == FOUNDER.device_id
    with pytest.raises(SignatureInvalid, match="drafted"):
        check_draft(flip(DRAFT, -1), GENESIS.library_id, NEWCOMER)


def inviter_start(inviter: Inviter) -> bytes:
    return b"SFLTPA\0\1\3" + inviter._confirmation(Message.OFFER)


def test_an_invitation_names_heads() -> None:
    for heads in ([], [os.urandom(32) for _ in range(65)]):
        with pytest.raises(ValueError, match="heads"):
            Inviter(CODE, FOUNDER, GENESIS.library_id, heads)


def test_every_message_has_a_key_of_its_own() -> None:
    inviter, newcomer = met()
    for message, other in combinations(Message, 2):
        sealed = inviter._seal(message, b"", b"text")
        assert newcomer._open(message, b"", sealed) == b"text"
        with pytest.raises(CommitmentMismatch):
            newcomer._open(other, b"", sealed)
        with pytest.raises(DecryptionFailed):
            newcomer._open(message, b"x", sealed)
    assert _body(b"SFLTPA\0\1\1" + bytes(32), Message.HELLO, 32) == bytes(32)


def distance(one: str, other: str) -> int:
    """Levenshtein's."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        before, row[0] = row[0], place
        for at, against in enumerate(other, start=1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != against))
    return row[-1]


def test_the_words_are_enough_and_hard_to_confuse() -> None:
    assert len(WORDS) == len(set(WORDS)) == 256
    assert list(WORDS) == sorted(WORDS)
    assert all(re.fullmatch(r"[a-z]{4,8}", word) for word in WORDS)
    assert len({word[:4] for word in WORDS}) == len(WORDS)
    assert all(distance(one, other) >= 3 for one, other in combinations(WORDS, 2))


@given(st.integers(1, 999_999))
def test_a_code_is_read_as_it_is_shown(mailbox: int) -> None:
    code = new_code(mailbox)
    assert parse_code(str(code)) == code
    assert code.words[0] not in repr(code)


@pytest.mark.parametrize(
    "text",
    ["7-Velvet-HARBOUR", "  7 velvet harbour\n", "7_velvet_harbour", "7\u2013velvet\u2014harbour", "07-velvet-harbour"],
)
def test_a_code_is_read_as_people_type_it(text: str) -> None:
    assert parse_code(text) == CODE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7-velvet",
        "velvet-harbour",
        "velvet-harbour-7",
        "0-velvet-harbour",
        "-velvet-harbour",
        "7-velvet-harbour-piano",
        "7-velvet-harbor",
        "1234567-velvet-harbour",
        "\u0667-velvet-harbour",
        "7-" + "velvet" * 10_000,
        " " * 200 + "7-velvet-harbour",
    ],
)
def test_what_is_no_code_is_said_before_anything_is_sent(text: str) -> None:
    with pytest.raises(PairingCodeInvalid) as caught:
        parse_code(text)
    assert caught.value.hint


def test_a_misspelt_word_is_suggested_and_never_repeated() -> None:
    with pytest.raises(PairingCodeInvalid) as caught:
        parse_code("7-velvet-harbor")
    assert caught.value.suggestions[0] == "harbour"
    assert "harbor" not in str(caught.value)


def test_mailboxes_are_numbers_people_can_type() -> None:
    for number in (0, -1, 1_000_000):
        with pytest.raises(ValueError, match="mailbox"):
            new_code(number)


def test_fingerprints_stand_for_both_keys_and_are_readable() -> None:
    shown = fingerprint(FOUNDER.device_id, FOUNDER.exchange_public)
    assert re.fullmatch(r"([0-9a-hjkmnp-tv-z]{5}-){3}[0-9a-hjkmnp-tv-z]{5}", shown)
    others = [
        fingerprint(NEWCOMER.device_id, FOUNDER.exchange_public),
        fingerprint(FOUNDER.device_id, NEWCOMER.exchange_public),
        fingerprint(FOUNDER.device_id, exchange.public_key(os.urandom(32))),
    ]
    assert len({shown, *others}) == 4
