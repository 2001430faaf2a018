"""Being told that a library's log has moved on: one WebSocket, which carries positions and nothing else.

The socket belongs to an event loop in a thread of its own: OpenSSL lets one thread at a time use a connection, and
Python does not see to that (issue 151508 of CPython). Where one thread read while another wrote, a TLS connection in
some hundreds broke with an internal error, or stood still.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, WebSocketException

from sync_relay import wire
from sync_relay.client_http import Unreachable, failure, read_error
from sync_relay.client_url import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_relay.client_url import Address

_MESSAGE_BYTES: Final = 1 << 10
_CLOSE_SECONDS: Final = 2
_ALIVE_SECONDS: Final = 30
_QUIET: Final = logging.getLogger("sync_relay.client.websockets")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class Listener:
    """What a relay tells. Made by `RelayClient.listen`."""

    def __init__(self, name: str) -> None:
        """Know of nothing yet."""
        self._name = name
        self._told = threading.Condition()
        self._position: int | None = None
        self._end: Unreachable | None = None
        self._opened: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the newest position the relay told of, as soon as there is one, or None after `timeout_s` seconds.

        The first comes at once. Raises `Unreachable` when the connection is gone: also because the token ended or
        this device was revoked, which the next `listen` tells apart.
        """
        with self._told:
            self._told.wait_for(lambda: self._position is not None or self._end is not None, timeout_s)
            position, self._position = self._position, None
            if position is None and self._end is not None:
                raise self._end
            return position

    def close(self) -> None:
        """End the connection, so that a `wait` in another thread ends too."""
        self._ended(Unreachable(f"{self._name} is not listened to any more", hint="Connect again."))
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop_hearing)
        if self._thread is not None:
            self._thread.join()

    def open(self, connecting: connect) -> None:
        """Connect, and listen in a thread from then on. Raises what `connect` does."""
        self._thread = threading.Thread(target=self._run, args=(connecting,), name="relay news", daemon=True)
        self._thread.start()
        self._opened.result()

    def _run(self, connecting: connect) -> None:
        end = Unreachable(f"{self._name} ended the connection it tells news by", hint="Connect again.")
        try:
            asyncio.run(self._hear(connecting))
        except Unreachable as error:
            end = error
        except BaseException as error:  # noqa: BLE001 (raised by `open`, in the thread that waits for it)
            if not self._opened.done():
                self._opened.set_exception(error)
        self._ended(end)

    async def _hear(self, connecting: connect) -> None:
        self._hearing = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        async with connecting as connection:
            self._opened.set_result(None)
            try:
                with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
                    while True:
                        position = read_position(await connection.recv(), self._name)
                        with self._told:
                            self._position = position  # what came before is older
                            self._told.notify_all()
            finally:
                self._hearing = None  # cut short, the goodbye would leave the socket open

    def _stop_hearing(self) -> None:
        """Run by the loop, as often as somebody closes this."""
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            hearing.cancel()

    def _ended(self, why: Unreachable) -> None:
        with self._told:
            self._end = self._end or why
            self._told.notify_all()


def read_position(text: str | bytes, name: str) -> int:
    """Return the position that a relay's message tells; `name` is how the relay is called. Raises `Unreachable`."""
    try:
        return msgspec.json.decode(text, type=wire.Pushed).position
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Unreachable(f"{name} sent something that is no position") from None


class _Connect(connect):
    """A connection that follows no redirect: what this device signs is for one address."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@contextlib.contextmanager
def connected(address: Address, token: str, timeout_s: float) -> Iterator[Listener]:
    """Give a listener while the block runs. Raises what the relay named, or `Unreachable`."""
    name = f"the relay at {address.url}"
    listener = Listener(name)
    try:
        try:
            listener.open(_connecting(address, token, timeout_s))
        except InvalidStatus as error:
            told = read_error(bytes(error.response.body or b""), error.response.status_code, wire.JSON)
            if told is not None:
                raise told from None
            raise Unreachable(f"{name} answers with status {error.response.status_code} in place of news") from None
        except (InvalidHandshake, InvalidMessage, WebSocketException, OSError, EOFError, ValueError) as error:
            raise failure(name, address, error) from None
        yield listener
    finally:
        listener.close()


def _connecting(address: Address, token: str, timeout_s: float) -> connect:
    import httpx2

    from sync_relay.client_sockets import proxy_for

    proxy = proxy_for(address)
    return _Connect(
        address.events,
        additional_headers={"authorization": f"Bearer {token}"},
        user_agent_header=None,
        compression=None,
        ssl=httpx2.create_ssl_context() if address.scheme == "https" else None,
        proxy=proxy,
        open_timeout=timeout_s,
        ping_interval=_ALIVE_SECONDS,
        ping_timeout=_ALIVE_SECONDS,
        close_timeout=_CLOSE_SECONDS,
        max_size=_MESSAGE_BYTES,
        logger=_QUIET,
        # An event loop that connects by itself does not tell what failed apart where a name has several addresses.
        sock=None if proxy else _socket(address, timeout_s),
    )


def _socket(address: Address, timeout_s: float) -> socket.socket:
    connection = socket.create_connection((address.host, address.port), timeout_s)
    if address.scheme == "http" and not is_loopback(str(connection.getpeername()[0])):
        connection.close()
        raise OSError("the name of this machine leads to another one")
    connection.setblocking(False)
    return connection
