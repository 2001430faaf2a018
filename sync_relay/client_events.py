"""Being told that a library's log has moved on: one WebSocket, which carries positions and nothing else."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, reconnect

from sync_relay import wire
from sync_relay.client_http import Unreachable, failure, read_error

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

    def __init__(self, socket: ClientConnection, name: str) -> None:
        """Wrap a connection."""
        self._socket = socket
        self._name = name

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the newest position the relay told of, as soon as there is one, or None after `timeout_s` seconds.

        The first comes at once. Raises `Unreachable` when the connection is gone: also because the token ended or
        this device was revoked, which the next `listen` tells apart.
        """
        try:
            text = self._socket.recv(timeout=timeout_s)
            position = self._read(text)
            with contextlib.suppress(TimeoutError):
                while True:  # what came since is newer
                    position = self._read(self._socket.recv(timeout=0))
        except TimeoutError:
            return None
        except ConnectionClosed:
            raise Unreachable(f"{self._name} ended the connection it tells news by", hint="Connect again.") from None
        return position

    def close(self) -> None:
        """End the connection, so that a `wait` in another thread ends too."""
        self._socket.close()

    def _read(self, text: str | bytes) -> int:
        try:
            return msgspec.json.decode(text, type=wire.Pushed).position
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Unreachable(f"{self._name} sent something that is no position") from None


class _Connect(reconnect):
    """A connection that follows no redirect: what this device signs is for one address."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@contextlib.contextmanager
def connected(address: Address, token: str, timeout_s: float) -> Iterator[Listener]:
    """Give a listener while the block runs. Raises what the relay named, or `Unreachable`."""
    import httpx2

    from sync_relay.client_sockets import proxy_for

    name = f"the relay at {address.url}"
    with contextlib.ExitStack() as stack:
        try:
            socket = stack.enter_context(
                _Connect(
                    address.events,
                    additional_headers={"authorization": f"Bearer {token}"},
                    user_agent_header=None,
                    compression=None,
                    ssl=httpx2.create_ssl_context() if address.scheme == "https" else None,
                    proxy=proxy_for(address),
                    open_timeout=timeout_s,
                    ping_interval=_ALIVE_SECONDS,
                    ping_timeout=_ALIVE_SECONDS,
                    close_timeout=_CLOSE_SECONDS,
                    max_size=_MESSAGE_BYTES,
                    logger=_QUIET,
                )
            )
        except InvalidStatus as error:
            told = read_error(bytes(error.response.body or b""), error.response.status_code, wire.JSON)
            if told is not None:
                raise told from None
            raise Unreachable(f"{name} answers with status {error.response.status_code} in place of news") from None
        except (InvalidHandshake, InvalidMessage, WebSocketException, OSError, EOFError, ValueError) as error:
            raise failure(name, address, error) from None
        yield Listener(socket, name)
