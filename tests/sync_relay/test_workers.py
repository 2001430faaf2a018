"""Two workers on PostgreSQL and S3 are one relay: what one took, the other has. Outages of either are answered."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest

from crypto.membership import evaluate
from crypto.membership_change import revoke
from crypto.membership_entry import NO_ENVELOPE
from sync_relay import errors, wire
from sync_relay.server import objects
from tests.sync_relay.conftest import new_library
from tests.sync_relay.real_servers import S3_VARIABLE, s3
from tests.sync_relay.running_relay import Relay, blob_id, raise_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_relay.server.settings import Settings
    from tests.sync_relay.conftest import Clock, Library

STORAGES = ("postgresql+s3",)


@pytest.fixture
def other(relay: Relay, settings: Settings, clock: Clock) -> Iterator[Relay]:
    running = Relay(settings, clock)
    yield running
    running.stop()
    assert '"broken"' not in running.log.getvalue(), running.log.getvalue()


def test_what_one_takes_the_other_gives_and_pushes(relay: Relay, other: Relay, library: Library) -> None:
    one, two = relay.found(library), other.client()
    two.token = one.token
    with one.listen() as here, two.listen() as there:
        assert here.recv(timeout=60) == there.recv(timeout=60) == '{"position":1}'
        two.append(library.founder.write())
        assert here.recv(timeout=60) == there.recv(timeout=60) == '{"position":2}'
        one.append(library.phrase.write())
        assert here.recv(timeout=60) == there.recv(timeout=60) == '{"position":3}'
    assert [item.body for item in one.pull(1).items] == [*library.founder.written, *library.phrase.written]
    name = one.store(b"ciphertext")
    assert two.request("GET", f"/v1/blobs/{name.hex()}").content == b"ciphertext"
    nonce = os.urandom(32)
    proofs = [
        client.ask("POST", f"/v1/blobs/{name.hex()}/proof", wire.Prove(nonce=nonce), wire.Proof)
        for client in (one, two)
    ]
    assert proofs[0] == proofs[1]


def test_a_nonce_of_one_is_good_at_the_other_and_once_only(relay: Relay, other: Relay, library: Library) -> None:
    relay.found(library)
    one, two = relay.client(), other.client()
    device, library_id = library.founder.secrets, library.genesis.library_id
    nonce = one.challenge(device.device_id, library_id).nonce
    two.ask("POST", "/v1/sign-in", two.signed(device, library_id, nonce), wire.Session)
    with pytest.raises(errors.ChallengeRefused):
        one.ask("POST", "/v1/sign-in", one.signed(device, library_id, nonce), wire.Session)


def test_an_upload_begun_at_one_goes_on_at_the_other(relay: Relay, other: Relay, library: Library) -> None:
    one, two = relay.found(library), other.client()
    two.token = one.token
    content = os.urandom(300_000)
    name = blob_id(content)
    cuts = [0, 1, 100_000, 165_537, 299_999]
    for turn, (start, end) in enumerate(itertools.pairwise(cuts)):
        state = (one, two)[turn % 2].upload(name, content[start:end], size=len(content), offset=start)
        assert (state.state, state.offset) == ("partial", end)
    assert one.upload(name, content[-1:], size=len(content), offset=299_999).state == "stored"
    assert two.request("GET", f"/v1/blobs/{name.hex()}").content == content


def test_a_blob_of_several_s3_parts_is_put_together_byte_for_byte(
    relay: Relay, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than two parts of a multi-part upload, whose sizes S3 demands; ranges that cross them are right."""
    client = relay.found(library)
    monkeypatch.setattr(objects, "_CHUNK_BYTES", 5 << 20)  # the smallest part that S3 takes
    content = os.urandom((11 << 20) + 12_345)
    name = blob_id(content)
    assert client.upload(name, content[:7_000_000], size=len(content)).offset == 7_000_000
    assert client.upload(name, content[7_000_000:], size=len(content), offset=7_000_000).state == "stored"
    path = f"/v1/blobs/{name.hex()}"
    assert client.request("GET", path).content == content
    for start, end in ((0, 1), (5 << 20, (5 << 20) + 1), ((5 << 20) - 7, (10 << 20) + 7), (len(content) - 1, None)):
        asked = f"bytes={start}-{'' if end is None else end - 1}"
        assert client.request("GET", path, headers={"range": asked}).content == content[start:end]


def test_two_that_write_one_chain_through_two_workers_lose_nothing(
    relay: Relay, other: Relay, library: Library
) -> None:
    """The same device's envelopes brought by two at once: each is stored once, and positions miss none."""
    relay.found(library)
    envelopes = [library.founder.write() for _ in range(30)]
    stored: list[int] = []
    failed: list[BaseException] = []

    def bring(worker: Relay) -> None:
        try:
            client = worker.client()
            client.sign_in(library.founder.secrets, library.genesis.library_id)
            stored.extend(client.append(*envelopes[start : start + 3]).stored for start in range(0, 30, 3))
        except BaseException as error:  # noqa: BLE001 (shown below, from the test's own thread)
            failed.append(error)

    threads = [threading.Thread(target=bring, args=(worker,)) for worker in (relay, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sum(stored) == 30
    client = relay.client()
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    assert [item.body for item in client.pull(1).items] == envelopes


def test_who_is_revoked_at_one_is_shut_out_of_the_other(relay: Relay, other: Relay, library: Library) -> None:
    relay.found(library)
    phrase, founder = relay.client(), other.client()
    phrase.sign_in(library.phrase.secrets, library.genesis.library_id)
    founder.sign_in(library.founder.secrets, library.genesis.library_id)
    entry = revoke(evaluate(library.genesis, []), library.phrase.secrets, library.founder.id, NO_ENVELOPE)
    with founder.listen() as events:
        assert events.recv(timeout=60) == '{"position":1}'
        phrase.add_entries(entry.data)
        with pytest.raises(Exception, match="4401"):
            events.recv(timeout=60)
    with pytest.raises(errors.NotAMember):
        founder.pull()


def test_a_quota_is_one_for_both(relay: Relay, other: Relay, library: Library) -> None:
    one, two = relay.found(library, quota_bytes=10_000), other.client()
    two.token = one.token
    one.upload(b"i" * 32, b"", size=6_000)
    with pytest.raises(errors.QuotaFull) as full:
        two.upload(b"j" * 32, b"", size=6_000)
    assert full.value.details.used == 6_000 + len(library.genesis.entry)


def test_a_mailbox_is_one_for_both(relay: Relay, other: Relay, library: Library) -> None:
    one, two = relay.found(library), other.client()
    opened = one.ask("POST", "/v1/mailboxes", None, wire.MailboxSide)
    path = f"/v1/mailboxes/{opened.number}"
    joined = two.ask("POST", f"{path}/claim", None, wire.MailboxSide)
    with pytest.raises(errors.MailboxClaimed):
        one.ask("POST", f"{path}/claim", None, wire.MailboxSide)
    letter = msgspec.msgpack.encode(wire.Letter(body=b"hello"))
    theirs = {"authorization": f"Bearer {joined.token}", "content-type": wire.MSGPACK}
    assert two.request("POST", f"{path}/letters", content=letter, headers=theirs).status_code == 204
    mine = {"authorization": f"Bearer {opened.token}"}
    assert one.ask("GET", f"{path}/letters", None, wire.Letters, headers=mine).letters == [b"hello"]


def test_workers_that_start_together_migrate_once(settings: Settings, clock: Clock) -> None:
    running: list[Relay] = []
    threads = [threading.Thread(target=lambda: running.append(Relay(settings, clock))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(running) == 3
        invites = [worker.invite() for worker in running]
        for invite in invites:
            request = wire.CreateLibrary(invite=invite, genesis=new_library().genesis.entry)
            running[0].client().ask("POST", "/v1/libraries", request, wire.Usage)
    finally:
        for worker in running:
            worker.stop()


def test_an_outage_of_the_database_is_answered_and_passes(
    settings: Settings, clock: Clock, library: Library, postgresql_url: str
) -> None:
    """Every connection of the pool is cut, as when PostgreSQL restarts: nothing is broken after it."""
    name = f"cut-{secrets.token_hex(4)}"
    relay = Relay(replace(settings, database_url=f"{settings.database_url}&application_name={name}"), clock)
    try:
        client = relay.found(library)
        client.append(library.founder.write())
        with psycopg.connect(postgresql_url, autocommit=True) as owner:
            cut = owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (name,)
            ).fetchall()
        assert len(cut) >= 1
        outages = 0
        while True:
            try:
                assert client.append(library.founder.written[-1]).stored == 0
            except errors.Unavailable:
                outages += 1
                assert outages < 20  # no more than there are connections
            else:
                break
        assert client.pull(1).items[0].body == library.founder.written[0]
    finally:
        relay.stop()


def test_an_outage_of_the_store_is_answered_in_time_and_nothing_is_lost(
    settings: Settings, clock: Clock, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes away and comes back empty: errors that say so, what is in the database untouched."""
    content = os.urandom(200_000)
    with contextlib.ExitStack() as stack:
        with s3() as variables:
            for variable, value in variables.items():
                monkeypatch.setenv(variable, value)
            relay = Relay(replace(settings, blobs_url=f"{variables[S3_VARIABLE]}/x"), clock)
            stack.callback(relay.stop)
            client = relay.found(library)
            kept = client.store(b"ciphertext")
            client.upload(blob_id(content), content[:100_000], size=len(content))
        with pytest.raises(errors.Unavailable):
            client.upload(blob_id(content), content[100_000:], size=len(content), offset=100_000)
        response = client.request("GET", f"/v1/blobs/{kept.hex()}")
        assert (response.status_code, response.headers[wire.ERROR_NAME]) == (503, "unavailable")
        relay.service.checked_until = 0
        assert client.request("GET", "/readyz").status_code == 503
        assert client.append(library.founder.write()).stored == 1
        assert client.blob(blob_id(content)).offset == 100_000
        with s3(port=int(variables["AWS_ENDPOINT"].rpartition(":")[2])):
            assert client.request("GET", "/readyz").status_code == 200
            with pytest.raises(errors.NoSuchBlob):
                raise_named(client.request("GET", f"/v1/blobs/{kept.hex()}"))
            with pytest.raises(errors.BlobDamaged):  # its first part is gone: it begins again
                client.upload(blob_id(content), content[100_000:], size=len(content), offset=100_000)
            assert client.blob(blob_id(content)).state == "absent"
            assert client.store(content) == blob_id(content)


def test_an_upload_that_ends_badly_leaves_nothing_in_the_bucket(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    content = os.urandom(300_000)
    with pytest.raises(errors.BlobDamaged):
        client.upload(b"i" * 32, content, size=len(content))
    assert relay.run(names(relay)) == ["relay-check"]
    client.store(content)
    assert len(relay.run(names(relay))) == 2


async def names(relay: Relay) -> list[str]:
    return [name async for name in relay.service.parts.objects.names()]
