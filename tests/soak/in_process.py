"""A relay in this process: the whole application with its database and its blobs, asked without sockets.

What goes over a network between a client's transport and a server's protocol (framing, TLS) is left out, and so are the
threads behind its database and its files: all it does, it does in whichever thread asks, one at a time, and it stands
still in between. So a run is the same each time, whatever else the machine does, and no step waits for another thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiosqlite.core
import pytest

from sync_relay.server import libraries
from sync_relay.server.application import application
from sync_relay.server.logs import relay_log
from sync_relay.server.service import Service
from sync_relay.server.settings import Limits, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

PORT = 7465
URL = f"http://127.0.0.1:{PORT}"
"""The address of every relay in here: who is asked is for the transport to decide."""


@dataclass(frozen=True)
class Asked:
    """One request, whole."""

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True)
class Answered:
    """One answer, whole."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def field(self, name: bytes) -> bytes:
        """Return a header field, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), b"")


class _AtOnce:
    """In place of the queue to a database's own thread: what is put in is done here and now."""

    def put_nowait(self, wanted: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        """Do it, and tell who waits for it."""
        future, function = wanted
        try:
            done = function()
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(done)


class _NoThread:
    """In place of a database's own thread."""

    daemon = True

    def __init__(self, **_: object) -> None:
        """Do nothing, as there is nothing to do."""

    def start(self) -> None:
        """Start nothing."""


class _Here(ThreadPoolExecutor):
    """Does in the thread that asks what others do in theirs."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Return what is done by now."""
        done: Future[Any] = Future()
        try:
            done.set_result(function(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits
            done.set_exception(error)
        return done


class InProcessRelay:
    """One relay on a folder. What answers is what `safelight-relay serve` serves."""

    def __init__(self, data: Path, clock: Callable[[], int], *, limits: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self.log = io.StringIO()
        # As many requests as a run makes: how many a second are allowed is shown elsewhere, with real clients.
        many = (1_000_000, 1_000_000.0)
        chosen = {"part_bytes": 64 << 10, "anonymous_rate": many, "library_rate": many, **(limits or {})}
        settings = Settings(data=data, port=PORT, limits=Limits(**chosen))
        # Whichever thread asks goes on with a connection that another one made.
        settings = dataclasses.replace(settings, database_url=f"{settings.database}?check_same_thread=0")
        self.service = Service(settings, log=relay_log(self.log), clock=clock)
        self._application = application(self.service)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_Here())
        self._turn = threading.Lock()
        self._running = contextlib.AsyncExitStack()
        self.run(self._running.enter_async_context(self.service.running()))

    def close(self) -> None:
        """End it, as the end of its process does."""
        self.run(self._running.aclose())
        self.run(self._loop.shutdown_default_executor())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the relay's own loop, as its timers do."""
        with self._turn, pytest.MonkeyPatch.context() as patch:
            patch.setattr(aiosqlite.core, "SimpleQueue", _AtOnce)
            patch.setattr(aiosqlite.core, "Thread", _NoThread)
            return self._loop.run_until_complete(work)

    def invite(self) -> str:
        """Return an invite of the relay's owner."""
        made: str = self.run(libraries.make_invite(self.service.parts, quota_bytes=10**9, quota_objects=10**6))
        return made

    def ask(self, asked: Asked) -> Answered:
        """Answer one request."""
        answered: Answered = self.run(self._ask(asked))
        return answered

    async def _ask(self, asked: Asked) -> Answered:
        parts = urlsplit(asked.path)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": asked.method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in asked.headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", PORT),
        }
        waiting = [{"type": "http.request", "body": asked.body, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._application(scope, receive, send)
        start = sent[0]
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answered(start["status"], tuple((name, value) for name, value in start["headers"]), body)
