from __future__ import annotations

import hashlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from sync_relay import errors, wire
from sync_relay.statements import make_delete
from tests.sync_relay.conftest import BOTH_ENDS
from tests.sync_relay.running_relay import blob_id, raise_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sync_relay.conftest import Clock, Library
    from tests.sync_relay.running_relay import Client, Relay

STORAGES = BOTH_ENDS
CONTENT = os.urandom(300_000)
NAME = blob_id(CONTENT)
PATH = f"/v1/blobs/{NAME.hex()}"


@pytest.fixture
def client(relay: Relay, library: Library) -> Client:
    return relay.found(library)


def test_what_is_uploaded_is_downloaded(client: Client) -> None:
    for size in (1, 65_535, 65_536, 65_537, 300_000):
        name = client.store(CONTENT[:size])
        response = client.request("GET", f"/v1/blobs/{name.hex()}")
        assert response.content == CONTENT[:size]
        assert response.headers["content-length"] == str(size)
        head = client.request("HEAD", f"/v1/blobs/{name.hex()}")
        assert (head.status_code, head.headers["content-length"]) == (200, str(size))


def test_a_body_without_a_length_is_counted_while_it_comes(client: Client) -> None:
    def pieces() -> Iterator[bytes]:
        for at in range(0, len(CONTENT), 7_001):
            yield CONTENT[at : at + 7_001]

    def too_many() -> Iterator[bytes]:
        yield from pieces()
        yield b"one more"

    with pytest.raises(errors.Malformed):
        client.upload(NAME, too_many(), size=len(CONTENT))
    offset = client.blob(NAME).offset
    assert offset <= len(CONTENT)
    assert client.upload(NAME, CONTENT[offset:], offset=offset, size=len(CONTENT)).state == "stored"
    assert client.request("GET", PATH).content == CONTENT


def test_ranges(client: Client) -> None:
    client.store(CONTENT)
    for asked, first, end in [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=299990-", 299_990, 300_000),
        ("bytes=-7", 299_993, 300_000),
        ("bytes=0-999999999", 0, 300_000),
        ("bytes=-999999", 0, 300_000),
        ("bytes=65530-131080", 65_530, 131_081),
    ]:
        response = client.request("GET", PATH, headers={"range": asked})
        assert (response.status_code, response.content) == (206, CONTENT[first:end])
        assert response.headers["content-range"] == f"bytes {first}-{end - 1}/300000"


def test_ranges_that_the_blob_does_not_have(client: Client) -> None:
    client.store(CONTENT)
    for asked in ("bytes=300000-", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=0-1,3-4", "lines=1-2"):
        response = client.request("GET", PATH, headers={"range": asked})
        with pytest.raises(errors.WrongRange) as refused:
            raise_named(response)
        assert refused.value.details.size == 300_000
        assert response.headers["content-range"] == "bytes */300000"


def test_an_upload_goes_on_where_it_stands_and_nowhere_else(client: Client) -> None:
    assert client.upload(NAME, CONTENT[:100], size=300_000).offset == 100
    for wrong in (0, 99, 101, 300_000):
        with pytest.raises(errors.OffsetMismatch) as mismatch:
            client.upload(NAME, b"x" if wrong < 300_000 else b"", offset=wrong, size=300_000)
        assert (mismatch.value.details.offset, mismatch.value.details.size) == (100, 300_000)
    with pytest.raises(errors.OffsetMismatch):
        client.upload(NAME, CONTENT[100:200], offset=100, size=299_999)
    assert client.upload(NAME, CONTENT[100:], offset=100, size=300_000).state == "stored"
    assert client.upload(NAME, b"", offset=300_000, size=300_000).state == "stored"
    assert client.upload(NAME, CONTENT, size=300_000).state == "stored"


def test_lies_about_offsets_and_lengths(client: Client) -> None:
    for offset, size in [("-1", "9"), ("0", "0"), ("10", "9"), ("x", "9"), ("0", "9" * 30), ("", "")]:
        headers = {wire.UPLOAD_OFFSET: offset, wire.UPLOAD_LENGTH: size, "content-type": wire.BINARY}
        with pytest.raises(errors.Malformed):
            raise_named(client.request("PUT", PATH, content=b"", headers=headers))
    assert client.blob(NAME).state == "absent"


def test_a_body_longer_than_the_rest_is_refused_unread(client: Client) -> None:
    with pytest.raises(errors.Malformed) as refused:
        client.upload(NAME, b"12345", offset=0, size=4)
    assert refused.value.details.limit == 4


def test_bytes_that_are_not_the_blob_are_not_kept(client: Client) -> None:
    for damaged in (bytes(300_000), CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])):
        with pytest.raises(errors.BlobDamaged):
            client.upload(NAME, damaged, size=300_000)
        assert client.blob(NAME).state == "absent"
    assert client.ask("GET", "/v1/usage", None, wire.Usage).objects == 1


def test_a_connection_that_breaks_keeps_what_had_arrived(relay: Relay, client: Client) -> None:
    head = (
        f"PUT {PATH} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {client.token}\r\n"
        f"content-type: {wire.BINARY}\r\nupload-offset: 0\r\nupload-length: 300000\r\ncontent-length: 300000\r\n\r\n"
    ).encode()
    kept = threading.Event()
    receive = relay.service.blobs.receive

    async def watched(*given: object, **more: object) -> object:
        try:
            return await receive(*given, **more)  # type: ignore[arg-type]
        finally:
            kept.set()

    relay.service.blobs.receive = watched  # type: ignore[method-assign,assignment]
    with socket.create_connection(("127.0.0.1", relay.port)) as connection:
        connection.sendall(head + CONTENT[:123_456])
    assert kept.wait(60)
    state = client.blob(NAME)
    assert (state.state, state.offset) == ("partial", 123_456)
    relay.stop()
    relay.start()
    again = relay.client()
    again.token = client.token
    assert again.upload(NAME, CONTENT[123_456:], offset=123_456, size=300_000).state == "stored"
    assert again.request("GET", PATH).content == CONTENT


def test_senders_that_fall_silent_neither_wait_for_ever_nor_crowd_out_others(relay: Relay, client: Client) -> None:
    limits = relay.service.settings.limits
    head = (
        f"PUT {PATH} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {client.token}\r\n"
        f"content-type: {wire.BINARY}\r\nupload-offset: 0\r\nupload-length: 300000\r\ncontent-length: 300000\r\n\r\n"
    ).encode()
    object.__setattr__(limits, "idle_seconds", 0.01)
    with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as connection:
        connection.sendall(head + CONTENT[:5_000])
        assert connection.recv(100).split()[1] == b"499"
    assert client.blob(NAME).offset == 5_000
    object.__setattr__(limits, "uploads_of_one_library", 0)
    with pytest.raises(errors.TooManyRequests) as slowed:
        client.upload(NAME, CONTENT[5_000:], offset=5_000, size=300_000)
    assert slowed.value.details.retry_after == 1


def test_a_proof_is_over_the_whole_blob_and_the_nonce(client: Client) -> None:
    client.store(CONTENT)
    for nonce in (os.urandom(32), os.urandom(32)):
        proof = client.ask("POST", f"{PATH}/proof", wire.Prove(nonce=nonce), wire.Proof).proof
        assert proof == hashlib.blake2b(CONTENT, digest_size=32, key=nonce).digest()
    with pytest.raises(errors.NoSuchBlob):
        client.ask("POST", f"/v1/blobs/{bytes(32).hex()}/proof", wire.Prove(nonce=bytes(32)), wire.Proof)


def test_a_path_is_an_id_or_nothing(client: Client) -> None:
    names = [
        "%2e%2e%2f%2e%2e%2frelay.db",
        "..%2f..%2frelay.db",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        "\N{ARABIC-INDIC DIGIT THREE}" * 64,
        "a" * 64 + "%00",
        "a" * 62 + "%2f.",
    ]
    for name in names:
        for method in ("GET", "HEAD", "PUT"):
            response = client.request(method, f"/v1/blobs/{name}", headers={"content-type": wire.BINARY})
            assert response.headers[wire.ERROR_NAME] == "no-such-path", (name, method)


def test_a_deleted_blob_is_told_to_be_leaving(client: Client, library: Library, clock: Clock) -> None:
    name = client.store(b"ciphertext")
    statement = make_delete(library.founder.secrets, library.genesis.library_id, [name], time=0)
    assert client.state(statement).stored == 1
    state = client.blob(name)
    assert (state.state, state.gone_at) == ("leaving", clock.now + 30 * 86_400)
    assert client.request("GET", f"/v1/blobs/{name.hex()}").content == b"ciphertext"
    assert client.pull().items[-1].body == statement
    client.store(b"ciphertext")
    assert client.blob(name).state == "stored"


def test_forged_deletes_do_nothing(client: Client, library: Library) -> None:
    name = client.store(b"ciphertext")
    good = make_delete(library.founder.secrets, library.genesis.library_id, [name], time=0)
    with pytest.raises(errors.Forged):
        client.state(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(errors.Malformed):
        client.state(good[:-65])
    from crypto.keys import DeviceSecrets

    with pytest.raises(errors.NotAMember):
        client.state(make_delete(DeviceSecrets.generate(), library.genesis.library_id, [name], time=0))
    assert client.blob(name).state == "stored"
