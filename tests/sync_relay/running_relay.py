"""A relay that answers on a loopback port, and clients that talk to it over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import io
import ssl
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import msgspec
import uvicorn
from websockets.sync.client import ClientConnection, connect

from sync_relay import errors, statements, wire
from sync_relay.server import libraries
from sync_relay.server.application import application
from sync_relay.server.database import Database
from sync_relay.server.logs import quiet_servers, relay_log
from sync_relay.server.running import bind, config
from sync_relay.server.service import Service
from sync_relay.server.settings import Settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from crypto.keys import DeviceSecrets
    from tests.sync_relay.conftest import Library

Answer = TypeVar("Answer", bound=wire.Struct)

_NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak http alone: each would read all certificates of the system."""


def blob_id(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


@functools.cache
def empty_tables() -> bytes:
    """Return a new relay's SQLite file: hundreds of relays need not make all tables one by one."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        database = Database(Settings(data=Path(folder)).database)
        runner.run(database.migrate())
        runner.run(database.close())
        return (Path(folder) / "relay.db").read_bytes()


class _Server(uvicorn.Server):
    def __init__(self, settings: uvicorn.Config) -> None:
        super().__init__(settings)
        self.begun = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.begun.set()

    async def main_loop(self) -> None:
        # As uvicorn's own, which looks ten times a second whether it is to end: hundreds are ended, and most of their
        # lives they wait.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1)

    def end(self) -> None:
        """Have it end, from another thread."""
        assert self.loop is not None
        self.should_exit = True
        with contextlib.suppress(RuntimeError):  # it has ended already
            self.loop.call_soon_threadsafe(self._ending.set)


class Relay:
    """One relay, in a thread of its own; `start` again after `stop` to have it restarted on the same storage."""

    def __init__(self, settings: Settings, clock: Callable[[], int], *, port: int = 0) -> None:
        self.base_settings = settings
        self.clock = clock
        self.log = io.StringIO()
        self.clients: list[Client] = []
        self.port = port
        self.start()

    def start(self) -> None:
        listening = bind("127.0.0.1", self.port)
        self.port = listening.getsockname()[1]
        self.settings = replace(self.base_settings, port=self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        database = self.settings.data / "relay.db"
        if not self.settings.database_url and not database.exists():
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database.touch(mode=0o600)
            database.write_bytes(empty_tables())
        self.service = Service(self.settings, log=relay_log(self.log), clock=self.clock)
        quiet_servers(self.service.log)
        self.server = _Server(config(application(self.service), self.settings))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]}, daemon=True)
        self.thread.start()
        assert self.server.begun.wait(60)

    def stop(self) -> None:
        for client in self.clients:
            client.http.close()
        self.server.end()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the relay's own loop, as its timers do."""
        assert self.server.loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.server.loop).result(60)

    def invite(self, *, quota_bytes: int = 10**9, quota_objects: int = 10**6) -> str:
        invite: str = self.run(
            libraries.make_invite(self.service.parts, quota_bytes=quota_bytes, quota_objects=quota_objects)
        )
        return invite

    def client(self) -> Client:
        self.clients.append(Client(self.url))
        return self.clients[-1]

    def found(self, library: Library, **quota: int) -> Client:
        """Found a library, and return its founder's client, signed in."""
        client = self.client()
        request = wire.CreateLibrary(invite=self.invite(**quota), genesis=library.genesis.entry)
        client.ask("POST", "/v1/libraries", request, wire.Usage)
        client.sign_in(library.founder.secrets, library.genesis.library_id)
        return client


class Client:
    """What a device does, step by step, as the wire says and no more."""

    def __init__(self, url: str) -> None:
        self.origin = url
        self.http = httpx2.Client(base_url=url, trust_env=False, timeout=60, verify=_NO_ROOTS)
        self.token = ""

    def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"accept": wire.MSGPACK} | more.pop("headers", {})
        if self.token:
            headers.setdefault("authorization", f"Bearer {self.token}")
        return self.http.request(method, path, headers=headers, **more)

    def ask(self, method: str, path: str, body: wire.Struct | None, answer: type[Answer], **more: Any) -> Answer:
        """Return the answer; raise the error that the relay named."""
        if body is not None:
            more["content"] = msgspec.msgpack.encode(body)
            more["headers"] = {"content-type": wire.MSGPACK} | more.get("headers", {})
        response = self.request(method, path, **more)
        raise_named(response)
        return msgspec.msgpack.decode(response.content, type=answer)

    def challenge(self, device_id: bytes, library_id: bytes | None) -> wire.Challenge:
        request = wire.ChallengeRequest(device_id=device_id, library_id=library_id)
        return self.ask("POST", "/v1/sign-in/challenge", request, wire.Challenge)

    def signed(
        self, secrets: DeviceSecrets, library_id: bytes | None, nonce: bytes, *, origin: str | None = None
    ) -> wire.SignIn:
        origin = origin or self.origin
        signature = statements.sign_in(secrets, library_id, time=0, nonce=nonce, origin=origin)
        return wire.SignIn(
            device_id=secrets.device_id,
            library_id=library_id,
            nonce=nonce,
            origin=origin,
            time=0,
            signature=signature,
        )

    def sign_in(self, secrets: DeviceSecrets, library_id: bytes | None) -> wire.Session:
        nonce = self.challenge(secrets.device_id, library_id).nonce
        session = self.ask("POST", "/v1/sign-in", self.signed(secrets, library_id, nonce), wire.Session)
        self.token = session.token
        return session

    def append(self, *envelopes: bytes) -> wire.Appended:
        return self.ask("POST", "/v1/envelopes", wire.Append(envelopes=list(envelopes)), wire.Appended)

    def add_entries(self, *entries: bytes) -> wire.Appended:
        return self.ask("POST", "/v1/membership", wire.AppendEntries(entries=list(entries)), wire.Appended)

    def state(self, *entries: bytes) -> wire.Appended:
        return self.ask("POST", "/v1/statements", wire.AppendStatements(statements=list(entries)), wire.Appended)

    def pull(self, after: int = 0, limit: int = wire.MAX_ITEMS) -> wire.LogPage:
        return self.ask("GET", f"/v1/log?after={after}&limit={limit}", None, wire.LogPage)

    def upload(
        self, name: bytes, content: Any, *, size: int, offset: int = 0, headers: dict[str, str] | None = None
    ) -> wire.BlobState:
        told = {
            wire.UPLOAD_OFFSET: str(offset),
            wire.UPLOAD_LENGTH: str(size),
            "content-type": wire.BINARY,
            **(headers or {}),
        }
        return self.ask("PUT", f"/v1/blobs/{name.hex()}", None, wire.BlobState, content=content, headers=told)

    def store(self, content: bytes) -> bytes:
        name = blob_id(content)
        assert self.upload(name, content, size=len(content)).state == "stored"
        return name

    def blob(self, name: bytes) -> wire.BlobState:
        return self.ask("POST", "/v1/blobs/query", wire.BlobQuery(ids=[name]), wire.BlobStates).blobs[0]

    def listen(self) -> ClientConnection:
        return connect(
            self.origin.replace("http", "ws") + "/v1/events",
            additional_headers={"authorization": f"Bearer {self.token}"},
            proxy=None,
        )


def raise_named(response: httpx2.Response) -> None:
    if response.status_code < 400:
        return
    assert wire.ERROR_NAME in response.headers, (response.status_code, response.content)
    body = msgspec.msgpack.decode(response.content, type=wire.ErrorBody)
    kind = errors.BY_NAME[body.error]
    assert kind.status == response.status_code
    raise kind(body.message, hint=body.hint, details=body.details)
