"""The process around the relay: sockets, TLS, signals, and an end that lets requests finish."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sync_relay.server.application import application
from sync_relay.server.logs import quiet_servers
from sync_relay.server.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.applications import Starlette

    from sync_relay.server.settings import Settings

_HEADER_BYTES: Final = 16 << 10
_LAST_SECONDS: Final = 20
_WEBSOCKET_MESSAGE_BYTES: Final = 1 << 10  # clients have nothing to say
_BACKLOG: Final = 1024
_FILES: Final = 65_536


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 gives a free one. Raises `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def raise_file_limit() -> None:
    """Let this process have as many open sockets as the system allows it: the usual soft limit is 1,024."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):  # some systems say "no limit" and then take less
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else _FILES, hard))


async def serve(settings: Settings, *, service: Service | None = None, listening: socket.socket | None = None) -> None:
    """Run a relay until SIGTERM or SIGINT: no more is accepted, what is under way may finish, sockets are closed."""
    raise_file_limit()
    listening = listening or bind(settings.host, settings.port)
    settings = replace(settings, port=listening.getsockname()[1])
    service = service or Service(settings)
    quiet_servers(service.log)
    server = _Relay(config(application(service), settings))
    service.log.info("starting", host=settings.host, port=settings.port, tls=settings.scheme == "https")
    server.when_stopping = service.stop
    async with _metrics(service, settings) as metrics_port:
        server.when_ready = lambda: service.log.info("ready", port=settings.port, metrics_port=metrics_port)
        await server.serve(sockets=[listening])
    service.log.info("stopped")


def config(app: Starlette, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves the relay."""
    return uvicorn.Config(
        app,
        http=_patient(settings.limits.head_seconds),
        proxy_headers=True,
        forwarded_allow_ips=list(settings.proxies),
        ws=_News,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        ws_max_size=_WEBSOCKET_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=_LAST_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


class _News(WebSocketsSansIOProtocol):
    """A WebSocket that a relay which ends may find half closed: the other side said goodbye and never closes its TLS.

    uvicorn says goodbye again there, which is an error, and all that the relay still had to do at its end is not done.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._line = transport.get_extra_info("socket")

    def shutdown(self) -> None:
        if self.transport.is_closing():  # a TLS transport that was closed twice does not abort any more
            self.stop_keepalive()
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        else:
            super().shutdown()


def _patient(head_seconds: float) -> type[H11Protocol]:
    """Return how uvicorn speaks HTTP/1.1, with an end to waiting for a request that does not come whole.

    Whoever opens connections and says nothing, or a header field a minute, would otherwise keep them for ever.
    """

    class Patient(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._look()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._end_waiting()

        def _look(self) -> None:
            begun = self.conn.their_state is not h11.IDLE or self.transport.is_closing()
            if begun or self.transport.get_protocol() is not self:  # it became a WebSocket
                self._end_waiting()
            elif self._waiting is None:
                self._waiting = self.loop.call_later(head_seconds, self.transport.close)

        def _end_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return Patient


class _Relay(uvicorn.Server):
    """A server that says when it answers, and leaves the process to end well: uvicorn's own raises its signal again."""

    when_ready: Callable[[], object] = staticmethod(lambda: None)
    when_stopping: Callable[[], object] = staticmethod(lambda: None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.when_stopping()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.when_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Beside(uvicorn.Server):
    """A server beside the relay's own, which alone listens to signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _metrics(service: Service, settings: Settings) -> AsyncIterator[int | None]:
    """Answer `/metrics` on its own port, to this machine only, if the owner named one."""
    if settings.metrics_port is None:
        yield None
        return
    bound = bind("127.0.0.1", settings.metrics_port)
    options: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off", "http": "h11", "ws": "none"}
    server = _Beside(uvicorn.Config(service.metrics.application(), **options))
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        await task
