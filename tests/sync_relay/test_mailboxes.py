from __future__ import annotations

import msgspec
import pytest

from sync_relay import errors, wire
from tests.sync_relay.conftest import Clock, Library, new_library
from tests.sync_relay.running_relay import Client, Relay, raise_named


def open_box(client: Client) -> wire.MailboxSide:
    return client.ask("POST", "/v1/mailboxes", None, wire.MailboxSide)


def claim(client: Client, number: int) -> wire.MailboxSide:
    return client.ask("POST", f"/v1/mailboxes/{number}/claim", None, wire.MailboxSide)


def leave(client: Client, number: int, token: str, body: bytes) -> None:
    raise_named(
        client.request(
            "POST",
            f"/v1/mailboxes/{number}/letters",
            content=msgspec.msgpack.encode({"body": body}),
            headers={"content-type": wire.MSGPACK, "authorization": f"Bearer {token}"},
        )
    )


def collect(client: Client, number: int, token: str, after: int = 0) -> wire.Letters:
    headers = {"authorization": f"Bearer {token}"}
    return client.ask("GET", f"/v1/mailboxes/{number}/letters?after={after}", None, wire.Letters, headers=headers)


def test_two_sides_leave_each_other_letters(relay: Relay, library: Library) -> None:
    member, newcomer = relay.found(library), relay.client()
    mine = open_box(member)
    assert collect(member, mine.number, mine.token) == wire.Letters(letters=[], claimed=False)
    leave(member, mine.number, mine.token, b"from the member")
    theirs = claim(newcomer, mine.number)
    leave(newcomer, mine.number, theirs.token, b"one")
    leave(newcomer, mine.number, theirs.token, b"two")
    assert collect(newcomer, mine.number, theirs.token).letters == [b"from the member"]
    assert collect(member, mine.number, mine.token, after=1) == wire.Letters(letters=[b"two"], claimed=True)
    headers = {"authorization": f"Bearer {theirs.token}"}
    raise_named(newcomer.request("DELETE", f"/v1/mailboxes/{mine.number}", headers=headers))
    with pytest.raises(errors.NoSuchMailbox):
        collect(member, mine.number, mine.token)


def test_there_is_no_third_side(relay: Relay, library: Library) -> None:
    member, newcomer = relay.found(library), relay.client()
    mine = open_box(member)
    claim(newcomer, mine.number)
    with pytest.raises(errors.MailboxClaimed):
        claim(relay.client(), mine.number)
    other = open_box(member)
    assert other.number != mine.number
    for token in ("x", other.token, "x" * 43):
        with pytest.raises(errors.NoSuchMailbox):
            collect(newcomer, mine.number, token)


def test_mailboxes_end(relay: Relay, library: Library, clock: Clock) -> None:
    member = relay.found(library)
    mine = open_box(member)
    clock.now += mine.expires_in
    with pytest.raises(errors.NoSuchMailbox):
        claim(relay.client(), mine.number)
    with pytest.raises(errors.NoSuchMailbox):
        collect(member, mine.number, mine.token)
    assert open_box(member).number == mine.number


def test_letters_are_few_and_small(relay: Relay, library: Library) -> None:
    member = relay.found(library)
    mine = open_box(member)
    for _ in range(wire.MAX_LETTERS):
        leave(member, mine.number, mine.token, b"x" * wire.MAX_LETTER_BYTES)
    with pytest.raises(errors.MailboxClaimed):
        leave(member, mine.number, mine.token, b"x")
    with pytest.raises(errors.Malformed):
        leave(member, mine.number, mine.token, b"x" * (wire.MAX_LETTER_BYTES + 1))
    with pytest.raises(errors.TooLarge):
        leave(member, mine.number, mine.token, b"x" * (3 * wire.MAX_LETTER_BYTES))


def test_a_library_has_few_mailboxes_and_only_members_open_them(relay: Relay, library: Library) -> None:
    member = relay.found(library)
    for _ in range(5):
        open_box(member)
    with pytest.raises(errors.TooManyRequests):
        open_box(member)
    assert open_box(relay.found(new_library())).number == 6
    with pytest.raises(errors.NotSignedIn):
        open_box(relay.client())


@pytest.mark.scenario(10, "pairing codes are guessed")
def test_a_flood_of_claims_is_slowed_down(relay: Relay) -> None:
    stranger = relay.client()

    def claim_for_ever() -> None:
        for number in range(1_000):
            try:
                claim(stranger, number)
            except errors.NoSuchMailbox:
                continue

    with pytest.raises(errors.TooManyRequests) as slowed:
        claim_for_ever()
    assert (slowed.value.details.retry_after or 0) >= 1
