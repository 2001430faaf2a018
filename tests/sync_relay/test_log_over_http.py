from __future__ import annotations

import threading

import msgspec
import pytest

from crypto.envelope import HEADER_BYTES
from crypto.epochs import open_epochs
from crypto.genesis import heads_hash
from crypto.keys import DeviceSecrets
from crypto.membership import evaluate
from crypto.membership_change import countersign, draft_add, revoke
from crypto.membership_entry import NO_ENVELOPE
from sync_relay import errors, wire
from sync_relay.client import RelayClient
from tests.sync_relay.conftest import BOTH_ENDS, Device, Library
from tests.sync_relay.running_relay import Relay, raise_named

STORAGES = BOTH_ENDS


def test_what_one_appends_the_other_pulls(relay: Relay, library: Library) -> None:
    one = relay.found(library)
    other = relay.client()
    other.sign_in(library.phrase.secrets, library.genesis.library_id)
    written = [library.founder.write(), library.founder.write()]
    assert one.append(*written) == wire.Appended(position=3, stored=2)
    assert one.append(*written) == wire.Appended(position=3, stored=0)
    page = other.pull(after=1)
    assert [item.body for item in page.items] == written
    assert page.position == 3
    heads = other.ask("GET", "/v1/heads", None, wire.Heads)
    assert [(head.device_id, head.seq) for head in heads.heads] == [(library.founder.id, 2)]


def test_whoever_has_an_envelope_may_bring_it(relay: Relay, library: Library) -> None:
    one = relay.found(library)
    assert one.append(library.phrase.write()).stored == 1


def test_a_fork_is_named_with_what_the_relay_holds(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    client.append(library.founder.write())
    held = library.founder.previous
    with pytest.raises(errors.SequenceConflict) as fork:
        client.append(library.founder.seal(1, bytes(32), b"another first"))
    details = fork.value.details
    assert (details.device_id, details.seq, details.hash) == (library.founder.id, 1, held)
    with pytest.raises(errors.SequenceConflict):
        client.append(library.founder.seal(2, b"another history!" * 2, b"second"))


def test_forged_and_foreign_envelopes_are_refused(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    envelope = library.founder.write()

    def changed(at: int) -> bytes:
        return envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]

    for at in (HEADER_BYTES + 1, len(envelope) - 100, len(envelope) - 1):
        with pytest.raises(errors.Forged):
            client.append(changed(at))
    for at in (10, 45, 100):
        with pytest.raises((errors.Forged, errors.Malformed)):
            client.append(changed(at))
    for damaged in (envelope[:-1], b"", b"SFLT", envelope + b"\0"):
        with pytest.raises(errors.Malformed):
            client.append(damaged)
    stranger = Device(library.genesis, DeviceSecrets.generate(), library.founder.epoch)
    with pytest.raises(errors.NotAMember) as refused:
        client.append(stranger.write())
    assert refused.value.details.device_id == stranger.id
    assert client.pull().position == 1


def test_an_edit_costs_little_on_the_wire(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    response = client.request(
        "POST",
        "/v1/envelopes",
        content=msgspec.msgpack.encode(wire.Append(envelopes=[library.founder.write()])),
        headers={"content-type": wire.MSGPACK},
    )
    raise_named(response)
    request = response.request
    sent = len(request.content) + sum(len(name) + len(value) + 4 for name, value in request.headers.raw) + 60
    pulled = client.request("GET", "/v1/log?after=1")
    received = len(pulled.content) + sum(len(name) + len(value) + 4 for name, value in pulled.headers.raw) + 20
    assert sent < 1_500
    assert received < 1_500


@pytest.mark.scenario(7, "it keeps its token")
def test_added_devices_get_in_and_revoked_ones_are_shut_out_at_once(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    library_id = library.genesis.library_id
    newcomer = DeviceSecrets.generate()
    with pytest.raises(errors.NotAMember):
        relay.client().sign_in(newcomer, library_id)
    membership = evaluate(library.genesis, [])
    keyring = open_epochs(membership, library.founder.secrets)
    draft = draft_add(membership, library.founder.secrets, keyring, newcomer.device_id, newcomer.exchange_public)
    added = countersign(draft, library_id, newcomer)
    assert client.add_entries(added.data) == wire.Appended(position=2, stored=1)
    assert client.add_entries(added.data).stored == 0
    theirs = relay.client()
    theirs.sign_in(newcomer, library_id)
    device = Device(library.genesis, newcomer, library.founder.epoch)
    assert theirs.append(device.write()).stored == 1
    assert [item.kind for item in theirs.pull().items] == [
        wire.KIND_MEMBERSHIP,
        wire.KIND_MEMBERSHIP,
        wire.KIND_ENVELOPE,
    ]
    revocation = revoke(membership.with_entries([added]), library.founder.secrets, newcomer.device_id, NO_ENVELOPE)
    with theirs.listen() as events:
        assert events.recv(timeout=60) == '{"position":3}'
        client.add_entries(revocation.data)
        # Its token is good for nothing any more, and its socket ends instead of telling it that something happened.
        with pytest.raises(Exception, match="4401"):
            events.recv(timeout=60)
    with pytest.raises(errors.NotAMember):
        theirs.pull()
    with pytest.raises(errors.NotAMember):
        relay.client().sign_in(newcomer, library_id)
    # What it wrote may still be brought by others: whether it is past the cut is for them to decide.
    assert client.append(device.write()).stored == 1


def test_a_device_brings_the_entry_that_added_it(relay: Relay, library: Library) -> None:
    client, library_id, newcomer = relay.found(library), library.genesis.library_id, DeviceSecrets.generate()
    membership = evaluate(library.genesis, [])
    keyring = open_epochs(membership, library.founder.secrets)
    draft = draft_add(membership, library.founder.secrets, keyring, newcomer.device_id, newcomer.exchange_public)
    added = countersign(draft, library_id, newcomer).data
    with RelayClient(relay.url) as theirs:
        for position in (2, 3):
            assert theirs.sign_in(newcomer, library_id, 0, [added]).position == position
            assert client.append(library.founder.write()).position == position + 1
    assert [item.body for item in client.pull().items][:2] == [library.genesis.entry, added]


def test_membership_entries_that_cannot_count_are_refused(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    library_id = library.genesis.library_id
    membership = evaluate(library.genesis, [])
    entry = revoke(membership, library.phrase.secrets, library.founder.id, NO_ENVELOPE).data
    with pytest.raises(errors.Forged):
        client.add_entries(entry[:-1] + bytes([entry[-1] ^ 1]))
    for damaged in (b"", entry[:50], b"SFLTMB" + bytes(80)):
        with pytest.raises(errors.Malformed):
            client.add_entries(damaged)
    assert heads_hash([library_id]) == membership.membership
    assert client.pull().position == 1


def test_positions_are_pushed_and_nothing_else(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    with client.listen() as one, client.listen() as other:
        assert one.recv(timeout=60) == other.recv(timeout=60) == '{"position":1}'
        client.append(library.founder.write())
        assert one.recv(timeout=60) == other.recv(timeout=60) == '{"position":2}'
        client.append(*library.founder.written)
        client.append(library.founder.write())
        assert one.recv(timeout=60) == '{"position":3}'
        one.send("a client has nothing to say")
        with pytest.raises(Exception, match="1008"):
            one.recv(timeout=60)


def test_nobody_listens_without_a_token(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    client.token = "x" * 43
    with pytest.raises(Exception, match="401"), client.listen():
        pass


def test_two_appenders_at_once_lose_nothing(relay: Relay, library: Library) -> None:
    relay.found(library)

    def write(device: Device) -> None:
        client = relay.client()
        client.sign_in(device.secrets, library.genesis.library_id)
        for _ in range(25):
            client.append(device.write())

    threads = [threading.Thread(target=write, args=(device,)) for device in (library.founder, library.phrase)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = relay.client()
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    bodies = [item.body for item in client.pull(after=1).items]
    for device in (library.founder, library.phrase):
        assert [body for body in bodies if body in set(device.written)] == device.written
    assert len(bodies) == 50


def test_a_restart_in_the_middle_loses_nothing(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    client.append(library.founder.write())
    relay.stop()
    relay.start()
    client = relay.client()
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    client.append(*library.founder.written, library.founder.write())
    assert [item.body for item in client.pull(after=1).items] == library.founder.written


def test_a_full_quota_says_how_much_is_over(relay: Relay, library: Library) -> None:
    client = relay.found(library, quota_bytes=1_000)
    with pytest.raises(errors.QuotaFull) as full:
        client.append(library.founder.write())
    details = full.value.details
    over = len(library.genesis.entry) + len(library.founder.written[0]) - 1_000
    assert (details.quota, details.limit, details.used, details.over) == (
        "bytes",
        1_000,
        len(library.genesis.entry),
        over,
    )
    with pytest.raises(errors.QuotaFull):
        client.upload(b"i" * 32, b"x", size=10**10)
    assert client.ask("GET", "/v1/usage", None, wire.Usage).objects == 1
