"""Devices that bring the entries that make them members, to a relay that was not told of them; and who tries it on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest

from crypto.epochs import must_rotate, open_epochs
from crypto.keys import DeviceSecrets
from crypto.membership import evaluate
from crypto.membership_change import countersign, draft_add, replace_phrase, revoke, rotate
from crypto.membership_entry import NO_ENVELOPE
from crypto.phrase import new_phrase, phrase_secrets
from sync_relay import errors, wire
from sync_relay.client import RelayClient, newest
from sync_relay.server import admission, members
from tests.sync_relay.conftest import Device, new_library

if TYPE_CHECKING:
    from crypto.membership import Membership
    from crypto.membership_entry import Entry
    from tests.sync_relay.conftest import Library
    from tests.sync_relay.running_relay import Client, Relay


class Beside:
    """A library's membership as devices know it that the relay does not hear."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.membership: Membership = evaluate(library.genesis, [])
        self.entries: list[bytes] = []

    def fork(self) -> Beside:
        other = Beside(self.library)
        other.membership, other.entries = self.membership, list(self.entries)
        return other

    def put(self, entry: Entry) -> bytes:
        self.membership = self.membership.with_entries([entry])
        self.entries.append(entry.data)
        return entry.data

    def add(self, by: DeviceSecrets, newcomer: DeviceSecrets) -> bytes:
        keyring = open_epochs(self.membership, by)
        draft = draft_add(self.membership, by, keyring, newcomer.device_id, newcomer.exchange_public)
        return self.put(countersign(draft, self.library.genesis.library_id, newcomer))

    def revoke(self, by: DeviceSecrets, device: bytes) -> None:
        self.put(revoke(self.membership, by, device, NO_ENVELOPE))
        self.rotate(by)

    def rotate(self, by: DeviceSecrets) -> None:
        if must_rotate(self.membership, open_epochs(self.membership, by)):
            self.put(rotate(self.membership, by, open_epochs(self.membership, by)))


@pytest.fixture
def beside(library: Library) -> Beside:
    return Beside(library)


def present(client: Client, secrets: DeviceSecrets, library_id: bytes | None, entries: list[bytes]) -> wire.Session:
    """Sign in with entries."""
    nonce = client.challenge(secrets.device_id, library_id).nonce
    request = msgspec.structs.replace(client.signed(secrets, library_id, nonce), entries=entries)
    session = client.ask("POST", "/v1/sign-in", request, wire.Session)
    client.token = session.token
    return session


def test_a_device_that_the_relay_was_not_told_of_gets_in(relay: Relay, library: Library, beside: Beside) -> None:
    founder, library_id = relay.found(library), library.genesis.library_id
    newcomer = DeviceSecrets.generate()
    added = beside.add(library.founder.secrets, newcomer)
    with pytest.raises(errors.NotAMember):
        present(relay.client(), newcomer, library_id, [])
    with founder.listen() as events:
        assert events.recv(timeout=60) == '{"position":1}'
        theirs = relay.client()
        assert present(theirs, newcomer, library_id, [added]).position == 2
        assert events.recv(timeout=60) == '{"position":2}'
    assert [item.body for item in founder.pull().items] == [library.genesis.entry, added]
    usage = founder.ask("GET", "/v1/usage", None, wire.Usage)
    assert (usage.objects, usage.bytes) == (2, len(library.genesis.entry) + len(added))
    assert theirs.append(Device(library.genesis, newcomer, library.founder.epoch).write()).stored == 1
    # From now on it is known, and what it brings again is looked at by nobody.
    for entries in ([], [added], [added[:-1]], [added] * wire.MAX_PRESENTED):
        assert present(relay.client(), newcomer, library_id, entries).position == 3


def test_each_may_have_been_added_by_the_one_before(relay: Relay, library: Library, beside: Beside) -> None:
    client, library_id = relay.found(library), library.genesis.library_id
    line = [library.founder.secrets, *(DeviceSecrets.generate() for _ in range(3))]
    for inviter, newcomer in pairwise(line):
        beside.add(inviter, newcomer)
    client.add_entries(beside.entries[0])
    assert present(relay.client(), line[3], library_id, beside.entries).position >= 4
    assert [item.body for item in client.pull().items][1:] == beside.entries
    assert relay.client().sign_in(line[2], library_id).position >= 4


def test_a_machine_that_was_recovered_gets_in_after_everybody_was_revoked(
    relay: Relay, library: Library, beside: Beside
) -> None:
    founder, library_id = relay.found(library), library.genesis.library_id
    phrase, machine, old = phrase_secrets(new_phrase()), DeviceSecrets.generate(), library.phrase.secrets
    # The phrase is another one by now than the relay knows.
    beside.put(replace_phrase(beside.membership, old, open_epochs(beside.membership, old), phrase))
    beside.rotate(phrase)
    beside.revoke(phrase, library.founder.id)
    beside.add(phrase, machine)
    assert present(relay.client(), machine, library_id, beside.entries).position == 1 + len(beside.entries)
    with pytest.raises(errors.NotAMember):
        founder.pull()


def test_a_chain_with_a_gap_lets_nobody_in(relay: Relay, library: Library, beside: Beside) -> None:
    client, library_id = relay.found(library), library.genesis.library_id
    line = [library.founder.secrets, *(DeviceSecrets.generate() for _ in range(3))]
    for inviter, newcomer in pairwise(line):
        beside.add(inviter, newcomer)
    one, two, three = beside.entries
    for entries in ([two, three], [one, three], [three]):
        with pytest.raises(errors.NotAMember):
            present(relay.client(), line[3], library_id, entries)
    assert len(client.pull().items) == 1
    # Part of it may have come before, and may stand in any order.
    client.add_entries(three)
    assert present(relay.client(), line[3], library_id, [three, two, one]).position >= 4
    assert {item.body for item in client.pull().items} == {library.genesis.entry, one, two, three}


def test_a_stranger_hears_what_it_would_hear_of_an_unknown_library(
    relay: Relay, library: Library, beside: Beside
) -> None:
    founder, library_id = relay.found(library), library.genesis.library_id
    other = new_library()
    relay.found(other)
    stranger, friend = DeviceSecrets.generate(), DeviceSecrets.generate()
    with pytest.raises(errors.NotAMember) as unknown:
        present(relay.client(), stranger, b"no such library!" * 2, [])
    added = Beside(library).add(library.founder.secrets, friend)
    forged = bytearray(Beside(library).add(library.founder.secrets, stranger))
    forged[-100] ^= 1  # in the author's signature
    hers = Beside(new_library())
    own = hers.add(hers.library.founder.secrets, stranger)
    elsewhere = Beside(other).add(other.founder.secrets, stranger)
    genuine = beside.add(library.founder.secrets, stranger)
    below = beside.fork()
    below.put(revoke(below.membership, library.founder.secrets, stranger.device_id, NO_ENVELOPE))
    for name, library_named, entries in (
        ("nothing", library_id, []),
        ("somebody else's", library_id, [added]),
        ("forged", library_id, [bytes(forged)]),
        ("genuine and forged", library_id, [genuine, bytes(forged)]),
        ("of a library of her own", library_id, [own]),
        ("of another library here", library_id, [elsewhere]),
        ("genuine, for another library here", other.genesis.library_id, [genuine]),
        ("genuine, for a library that is not here", hers.library.genesis.library_id, [genuine]),
        ("genuine, for no library", None, [genuine]),
        ("genesis", library_id, [library.genesis.entry]),
        ("a piece", library_id, [genuine[:-1]]),
        ("empty", library_id, [b""]),
        ("another version", library_id, [genuine[:7] + b"\x09" + genuine[8:]]),
        ("revoked by the next", library_id, below.entries),
    ):
        with pytest.raises(errors.NotAMember) as told:
            present(relay.client(), stranger, library_named, entries)
        assert (str(told.value), told.value.hint) == (str(unknown.value), unknown.value.hint), name
        assert told.value.details == unknown.value.details, name
    assert [item.body for item in founder.pull().items] == [library.genesis.entry]
    assert present(relay.client(), stranger, library_id, [genuine]).position == 2


def test_somebody_elses_sign_in_brings_nothing(relay: Relay, library: Library, beside: Beside) -> None:
    """Entries are no secret: who has seen them can neither sign in with them, nor use a sign-in of theirs again."""
    client, library_id = relay.found(library), library.genesis.library_id
    newcomer = DeviceSecrets.generate()
    added = beside.add(library.founder.secrets, newcomer)
    theirs = relay.client()
    nonce = theirs.challenge(newcomer.device_id, library_id).nonce
    good = msgspec.structs.replace(theirs.signed(newcomer, library_id, nonce), entries=[added])
    with pytest.raises(errors.Forged):
        client.ask("POST", "/v1/sign-in", msgspec.structs.replace(good, signature=bytes(64)), wire.Session)
    assert len(client.pull().items) == 1
    theirs.ask("POST", "/v1/sign-in", good, wire.Session)
    with pytest.raises(errors.ChallengeRefused):
        theirs.ask("POST", "/v1/sign-in", good, wire.Session)


@pytest.mark.scenario(7, "it brings others in")
def test_a_revoked_device_gets_nobody_in(
    relay: Relay, library: Library, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, library_id = relay.found(library), library.genesis.library_id
    thief, accomplice, late = (DeviceSecrets.generate() for _ in range(3))
    added = beside.add(library.founder.secrets, thief)
    before = beside.fork()
    beside.revoke(library.founder.secrets, thief.device_id)
    client.add_entries(*beside.entries)
    count = len(client.pull().items)
    # Nothing of this is worth a look at signatures.
    monkeypatch.setattr(admission, "_verify", lambda *_: pytest.fail("looked at"))
    accomplices = before.fork()
    accomplices.add(thief, accomplice)
    seen = beside.fork()
    for secrets, entries in (
        (thief, [added]),
        (thief, beside.entries),
        (accomplice, accomplices.entries[-1:]),
        (late, seen.entries),
    ):
        with pytest.raises(errors.NotAMember):
            present(relay.client(), secrets, library_id, entries)
    monkeypatch.undo()
    # Its old entry beside: the founder vouches for the thief, so it is looked at, and void.
    back = before.fork()
    back.add(thief, accomplice)
    back.put(revoke(back.membership, accomplice, library.founder.id, NO_ENVELOPE))
    for entries in (accomplices.entries, back.entries):
        with pytest.raises(errors.NotAMember):
            present(relay.client(), accomplice, library_id, entries)
    assert len(client.pull().items) == count
    client.append(library.founder.write())


def test_a_device_that_was_added_by_one_revoked_meanwhile_stays_out(
    relay: Relay, library: Library, beside: Beside
) -> None:
    client, library_id = relay.found(library), library.genesis.library_id
    laptop, phone = DeviceSecrets.generate(), DeviceSecrets.generate()
    client.add_entries(beside.add(library.founder.secrets, laptop))
    meanwhile = beside.fork()
    meanwhile.add(laptop, phone)
    beside.revoke(library.founder.secrets, laptop.device_id)
    with pytest.raises(errors.NotAMember):
        present(relay.client(), phone, library_id, [*meanwhile.entries, *beside.entries])
    # A relay that has not heard of the revocation cannot know, and hears of it from whoever comes next.
    assert present(relay.client(), phone, library_id, meanwhile.entries).library_id == library_id
    client.add_entries(*beside.entries)
    with pytest.raises(errors.NotAMember):
        present(relay.client(), phone, library_id, meanwhile.entries)


def test_what_is_brought_counts_towards_the_quota(relay: Relay, library: Library, beside: Beside) -> None:
    founder = relay.found(library, quota_objects=1)
    library_id, newcomer, stranger = library.genesis.library_id, DeviceSecrets.generate(), DeviceSecrets.generate()
    added = beside.add(library.founder.secrets, newcomer)
    with pytest.raises(errors.QuotaFull) as full:
        present(relay.client(), newcomer, library_id, [added])
    assert full.value.details == errors.ErrorDetails(quota="objects", over=1, limit=1, used=1)
    with pytest.raises(errors.NotAMember):
        present(relay.client(), stranger, library_id, [added])
    assert len(founder.pull().items) == 1


def test_entries_that_come_along_are_bounded_and_slow_down_whoever_sends_many(
    relay: Relay, library: Library, beside: Beside
) -> None:
    relay.found(library)
    library_id, newcomer = library.genesis.library_id, DeviceSecrets.generate()
    added = beside.add(library.founder.secrets, newcomer)
    client = relay.client()
    with pytest.raises(errors.Malformed):
        present(client, newcomer, library_id, [added] * (wire.MAX_PRESENTED + 1))
    with pytest.raises(errors.TooLarge):
        present(client, newcomer, library_id, [bytes(100_000)] * 11)
    burst = relay.settings.limits.anonymous_rate[1]

    def flood() -> int:
        for sent in range(10_000):
            try:
                present(client, newcomer, library_id, [b"x"] * wire.MAX_PRESENTED)
            except errors.NotAMember:
                continue
            except errors.TooManyRequests:
                return sent
        raise AssertionError("nobody slows it down")

    assert flood() < burst / 10


def test_the_client_brings_what_one_request_takes(relay: Relay, library: Library, beside: Beside) -> None:
    relay.found(library)
    newcomer, library_id = DeviceSecrets.generate(), library.genesis.library_id
    beside.add(library.founder.secrets, newcomer)
    with RelayClient(relay.url) as client:
        with pytest.raises(errors.NotAMember):
            client.sign_in(newcomer, library_id, 0)
        assert client.session is None
        assert client.sign_in(newcomer, library_id, 0, beside.entries).position == 2
        assert len(client.log(0).items) == 2
    many = [number.to_bytes(4, "big") for number in range(1_000)]
    assert newest(many) == many[-wire.MAX_PRESENTED :]
    assert newest(many[:3]) == many[:3]
    assert newest([]) == []
    large = [bytes([number]) * 150_000 for number in range(10)]
    assert newest(large) == large[-6:]


def test_entries_of_devices_that_nobody_added_here_are_few(
    relay: Relay, library: Library, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers for them: to revoke who brought them would free no room."""
    monkeypatch.setattr(members, "MAX_ENTRIES", 16)
    client = relay.found(library)
    unheard = DeviceSecrets.generate()
    kept_back = beside.add(library.founder.secrets, unheard)
    rotations = []
    for _ in range(4):
        made = rotate(beside.membership, unheard, open_epochs(beside.membership, unheard))
        rotations.append(beside.put(made))
    client.add_entries(*rotations[:2])
    with pytest.raises(errors.QuotaFull):
        client.add_entries(rotations[2])
    client.add_entries(kept_back)
    assert client.add_entries(*rotations[2:]).stored == 2
