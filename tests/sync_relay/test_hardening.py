"""What a relay does when others or the machine do not behave: silence, a full disk, a locked file, signals, proxies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import sqlite3
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode

from sync_relay import errors, wire
from sync_relay.server import database, push
from sync_relay.server.__main__ import read_proxy, run
from sync_relay.server.settings import THIS_MACHINE, Limits, from_environment
from tests.sync_relay.conftest import new_library
from tests.sync_relay.running_relay import Client, Relay, blob_id
from tests.sync_relay.test_command import Process, json_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync_relay.server.settings import Settings
    from tests.sync_relay.conftest import Clock, Library
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of processes are POSIX")


@pytest.fixture
def hasty(settings: Settings, clock: Clock) -> Iterator[Relay]:
    """A relay that waits for nobody."""
    limits = Limits(head_seconds=0.05)
    relay = Relay(replace(settings, limits=limits), clock)
    yield relay
    relay.stop()


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nhost: relay\r\nx: ", b"PUT"])
def test_who_connects_and_asks_nothing_is_let_go(hasty: Relay, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=20) as connection:
        connection.sendall(said)
        assert connection.recv(100) == b""


def test_half_a_request_after_a_whole_one_is_let_go_as_well(hasty: Relay) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        while connection.recv(1000):
            pass


def test_who_listens_is_not_let_go(hasty: Relay, library: Library) -> None:
    client = hasty.found(library)
    with client.listen() as events:
        assert events.recv(timeout=60) == '{"position":1}'
        with pytest.raises(TimeoutError):
            events.recv(timeout=0.3)  # several times what a silent connection would be given
        client.append(library.founder.write())
        assert events.recv(timeout=60) == '{"position":2}'


def test_who_says_much_where_nothing_is_to_be_said_is_not_heard_out(relay: Relay, library: Library) -> None:
    client = relay.found(library)
    with client.listen() as events:
        assert events.recv(timeout=60) == '{"position":1}'
        events.send("x" * 100_000)
        with pytest.raises(ConnectionClosed) as ended:
            events.recv(timeout=60)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == CloseCode.MESSAGE_TOO_BIG


def test_a_library_has_so_many_listeners_and_no_more(
    relay: Relay, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "MOST_OF_ONE_LIBRARY", 1)
    client = relay.found(library)
    with client.listen() as events:
        assert events.recv(timeout=60) == '{"position":1}'
        with pytest.raises(InvalidStatus, match="429"), client.listen():
            pass


def test_a_reader_that_takes_nothing_is_let_go(hasty: Relay, library: Library) -> None:
    client = hasty.found(library)
    content = bytes(48 << 20)  # more than the buffers between two sockets hold
    name = client.store(content)
    limits = hasty.service.settings.limits
    object.__setattr__(limits, "idle_seconds", 0.05)
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=60) as connection:
        head = f"GET /v1/blobs/{name.hex()} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {client.token}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        hasty.run(all_ended(hasty))
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                received += len(piece)
        assert received < len(content)
    object.__setattr__(limits, "idle_seconds", 60.0)
    assert client.request("GET", f"/v1/blobs/{name.hex()}").content == content


async def all_ended(relay: Relay) -> None:
    """Wait until the server has no request under way."""
    async with asyncio.timeout(20):
        await asyncio.gather(*relay.server.server_state.tasks, return_exceptions=True)


@pytest.mark.scenario(12, "the disk is full")
@POSIX
def test_a_full_disk_is_named_and_spoils_nothing(tmp_path: Path, library: Library) -> None:
    """The relay's files may not grow beyond 2 MB: what the kernel then answers is what a full disk looks like."""
    import resource

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

    data, content = tmp_path / "relay", os.urandom(5 << 20)
    relay = Process(data, preexec_fn=small_files)
    client = found(relay, data, library)
    kept = client.store(b"ciphertext")
    with pytest.raises(errors.Unavailable, match="full"):
        client.upload(blob_id(content), content, size=len(content))
    written: list[bytes] = []
    with pytest.raises(errors.Unavailable):
        write_for_ever(client, library, written)
    assert client.request("GET", f"/v1/blobs/{kept.hex()}").content == b"ciphertext"
    relay.end(signal.SIGTERM)
    assert "outage" in relay.log
    for name in (library.genesis.library_id, kept, blob_id(content)):
        assert name.hex() not in relay.log

    relay = Process(data)
    client = at(relay, client)
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    assert [item.body for item in client.pull(1).items] == written
    assert client.append(library.founder.written[-1]).stored == 1
    state = client.blob(blob_id(content))
    assert (
        client.upload(blob_id(content), content[state.offset :], size=len(content), offset=state.offset).state
        == "stored"
    )
    assert client.request("GET", f"/v1/blobs/{blob_id(content).hex()}").content == content
    relay.end(signal.SIGTERM)
    client.http.close()
    assert run(["doctor", "--deep", "--data", str(data)]) == 0


def write_for_ever(client: Client, library: Library, written: list[bytes]) -> None:
    while True:
        envelope = library.founder.write(os.urandom(60_000))
        client.append(envelope)
        written.append(envelope)


def found(relay: Process, data: Path, library: Library) -> Client:
    client = Client(f"http://127.0.0.1:{relay.port}")
    invite = json_of("invite", "--data", data)["invite"]
    client.ask("POST", "/v1/libraries", wire.CreateLibrary(invite=invite, genesis=library.genesis.entry), wire.Usage)
    client.sign_in(library.founder.secrets, library.genesis.library_id)
    return client


def at(relay: Process, client: Client) -> Client:
    """Return the same client at a relay that came back on another port."""
    client.http.close()
    moved = Client(f"http://127.0.0.1:{relay.port}")
    moved.token = client.token
    return moved


@POSIX
def test_a_relay_that_is_told_to_stop_keeps_what_is_being_uploaded(tmp_path: Path, library: Library) -> None:
    data, content = tmp_path / "relay", os.urandom(3 << 20)
    relay = Process(data)
    client = found(relay, data, library)
    head = (
        f"PUT /v1/blobs/{blob_id(content).hex()} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {client.token}\r\n"
        f"content-type: {wire.BINARY}\r\nupload-offset: 0\r\nupload-length: {len(content)}\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as connection:
        connection.sendall(head + content[: 1 << 20])
        stopping = threading.Event()

        def go_on() -> None:
            with contextlib.suppress(OSError):
                for start in range(1 << 20, len(content), 1000):
                    if stopping.wait(0.01):
                        return
                    connection.sendall(content[start : start + 1000])

        sender = threading.Thread(target=go_on)
        sender.start()
        assert relay.end(signal.SIGTERM) == 0
        stopping.set()
        sender.join()
    relay = Process(data)
    client = at(relay, client)
    state = client.blob(blob_id(content))
    assert state.state == "partial"
    assert state.offset > 0
    assert (
        client.upload(blob_id(content), content[state.offset :], size=len(content), offset=state.offset).state
        == "stored"
    )
    relay.end(signal.SIGTERM)
    client.http.close()


def test_a_locked_database_is_answered_and_passes(
    settings: Settings, clock: Clock, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MILLISECONDS", 50)
    relay = Relay(settings, clock)
    try:
        client = relay.found(library)
        with contextlib.closing(sqlite3.connect(settings.data / "relay.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(errors.Unavailable):
                client.append(library.founder.write())
            assert client.pull().position == 1  # readers are not kept waiting
            other.execute("ROLLBACK")
        assert client.append(*library.founder.written).stored == 1
    finally:
        relay.stop()


def sign_ins(relay: Relay, forwarded: str) -> str:
    """Ask until it is too much, as seen from one address; return how that was answered."""
    client = relay.client()
    for _ in range(3):
        response = client.request("POST", "/v1/sign-in", headers={"x-forwarded-for": forwarded})
    return response.headers[wire.ERROR_NAME]


def test_only_trusted_proxies_say_who_asks(settings: Settings, clock: Clock) -> None:
    slow = replace(settings, limits=Limits(anonymous_rate=(0.0001, 2.0)))
    relay = Relay(slow, clock)
    try:
        assert sign_ins(relay, "192.0.2.1") == "rate"
        # Another address, and the last one that the proxy itself added, not what the asker wrote before it.
        assert sign_ins(relay, "192.0.2.2") == "rate"
        assert sign_ins(relay, "198.51.100.9, 192.0.2.2") == "rate"
        client = relay.client()
        fresh = client.request("POST", "/v1/sign-in", headers={"x-forwarded-for": "192.0.2.2, 192.0.2.3"})
        assert fresh.headers[wire.ERROR_NAME] != "rate"
    finally:
        relay.stop()
    relay = Relay(replace(slow, proxies=("192.0.2.254",)), clock)
    try:
        assert sign_ins(relay, "192.0.2.1") == "rate"
        client = relay.client()
        same = client.request("POST", "/v1/sign-in", headers={"x-forwarded-for": "192.0.2.7"})
        assert same.headers[wire.ERROR_NAME] == "rate"  # this machine is no proxy here: all of it is one address
    finally:
        relay.stop()


def test_proxies_are_addresses_and_never_everybody() -> None:
    assert read_proxy("192.0.2.7") == "192.0.2.7"
    assert read_proxy("10.1.2.3/8") == "10.0.0.0/8"
    assert read_proxy("2001:db8::1") == "2001:db8::1"
    for text in ("*", "", "proxy", "0.0.0.0/0", "::/0"):
        with pytest.raises(Exception, match=r"address|everybody"):
            read_proxy(text)
    told = from_environment({"SAFELIGHT_RELAY_TRUST_PROXY": "10.0.0.0/8, 192.0.2.7"})
    assert told.proxies == ("10.0.0.0/8", "192.0.2.7")
    assert "127.0.0.1" in THIS_MACHINE


def test_many_libraries_cost_one_nothing(relay: Relay, library: Library) -> None:
    """Ten thousand libraries beside one's own: what it asks looks at no other's rows."""
    from sqlalchemy import insert

    from sync_relay.server import tables

    async def fill() -> None:
        async with relay.service.parts.database.write() as connection:
            ids = [hashlib.blake2b(index.to_bytes(4, "big"), digest_size=32).digest() for index in range(10_000)]
            names = ("used_bytes", "used_objects", "created_at")
            await connection.execute(
                insert(tables.library),
                [
                    {"id": one, "position": 1, "quota_bytes": 1, "quota_objects": 1, **dict.fromkeys(names, 0)}
                    for one in ids
                ],
            )
            await connection.execute(
                insert(tables.member), [{"library_id": one, "device_id": one, "active": True} for one in ids]
            )

    async def plans() -> list[str]:
        from sqlalchemy import text

        from sync_relay.server import ledger, log, sessions

        steps = []
        async with relay.service.parts.database.read() as connection:
            dialect = connection.dialect
            for statement in (ledger._TAKE, sessions._SESSION, log._AUTHORS):
                compiled = str(statement.compile(dialect=dialect)).replace("(__[POSTCOMPILE_devices])", "(?)")
                count = compiled.count("?")
                asked = f"EXPLAIN QUERY PLAN {compiled}"
                for position in range(count):
                    asked = asked.replace("?", f":p{position}", 1)
                given = {f"p{position}": b"x" for position in range(count)}
                steps += [row[3] for row in await connection.execute(text(asked), given)]
        return steps

    client = relay.found(library)
    relay.run(fill())
    assert client.append(library.founder.write()).stored == 1
    assert client.pull(1).items[0].body == library.founder.written[0]
    found_by = relay.run(plans())
    assert found_by
    assert all(step.startswith("SEARCH") for step in found_by), found_by
    relay.found(new_library())
