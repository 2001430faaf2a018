"""The connections to a relay: a pool of HTTP/1.1 connections whose every step counts against one deadline.

A relay that sends a byte a minute would keep a client for ever that bounds each read only. Here a request has as long
as it was given and a second more for each `SLOWEST` bytes that went either way: a slow line gets through, and whoever
only pretends to answer does not keep anybody waiting.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Final, cast

import httpcore2
import httpx2

from sync_relay.client_http import Unreachable
from sync_relay.client_url import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from sync_relay.client_url import Address

SLOWEST: Final = 4 << 10
"""Bytes a second below which a line counts as dead, in the long run."""

CONNECTIONS: Final = 16
_KEEP: Final = 8
_KEEP_SECONDS: Final = 4.0  # below the five seconds after which relays close idle connections themselves
_WRITE_BYTES: Final = 256 << 10
_READ_BYTES: Final = 256 << 10
"""What is read at once: the pool asks for a quarter of that, and each piece of a blob costs as much as its bytes."""


class Patience(float):
    """How long a request may still take. Other transports see a number of seconds, ours ask `left` and tell `moved`."""

    __slots__ = ("_clock", "_until")

    def __new__(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Self:
        """Begin now."""
        made = super().__new__(cls, seconds)
        made._clock = clock
        made._until = clock() + seconds
        return made

    if TYPE_CHECKING:
        _clock: Callable[[], float]
        _until: float

    def left(self) -> float:
        """Return the seconds that are left, 0 or less if none."""
        return self._until - self._clock()

    def moved(self, count: int) -> None:
        """Note that bytes went over the line."""
        self._until += count / SLOWEST


class RelayTransport(httpx2.BaseTransport):
    """A pool of connections to one relay. It follows nothing, stores no cookies and decodes no content."""

    def __init__(
        self,
        address: Address,
        *,
        context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        backend: httpcore2.NetworkBackend | None = None,
    ) -> None:
        """Connect to nothing yet. `backend` is where sockets come from."""
        sockets = _Backend(backend or httpcore2.SyncBackend(), local_only=address.scheme == "http")
        more: dict[str, Any] = {
            "max_connections": CONNECTIONS,
            "max_keepalive_connections": _KEEP,
            "keepalive_expiry": _KEEP_SECONDS,
            "network_backend": sockets,
        }
        if address.scheme == "https":
            more["ssl_context"] = context or httpx2.create_ssl_context()
        else:
            more["ssl_context"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and cheap: no roots are read
        if proxy is None:
            self._pool = httpcore2.ConnectionPool(**more)
        else:
            through = httpx2.Proxy(proxy)
            self._pool = httpcore2.HTTPProxy(str(through.url), proxy_auth=through.raw_auth, **more)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and return its answer, whose body has not been read."""
        url = request.url
        asked = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast("Iterable[bytes]", request.stream),
            extensions=request.extensions,
        )
        try:
            answer = self._pool.handle_request(asked)
        except Exception as error:
            raise _named(error) from error
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Answer(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


class Body(httpx2.SyncByteStream):
    """A request's body, sent piece by piece. `failure` is what the pieces raised, if they did."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Send `pieces`, once."""
        self._pieces = pieces
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces."""
        try:
            yield from self._pieces
        except Exception as error:
            self.failure = error
            raise


class _Answer(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except Exception as error:
            raise _named(error) from error

    def close(self) -> None:
        self._stream.close()


def _named(error: Exception) -> Exception:
    """Return an error of the pool as the error of the same name that transports raise."""
    if not type(error).__module__.startswith("httpcore2"):
        return error
    kind = getattr(httpx2, type(error).__name__, httpx2.TransportError)
    return cast("Exception", kind(str(error)))


class _Backend(httpcore2.NetworkBackend):
    """Sockets that know how much time is left."""

    def __init__(self, inner: httpcore2.NetworkBackend, *, local_only: bool) -> None:
        self._inner = inner
        self._local_only = local_only

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._inner.connect_tcp(
            host, port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )
        if self._local_only and not _ends_here(stream):
            stream.close()
            raise httpcore2.ConnectError("the name of this machine leads to another one")
        return _Stream(stream)


def _ends_here(stream: httpcore2.NetworkStream) -> bool:
    peer = stream.get_extra_info("server_addr")
    return isinstance(peer, tuple) and is_loopback(str(peer[0]))


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        socket = inner.get_extra_info("socket")
        sealed = inner.get_extra_info("ssl_object") is not None
        # TLS within TLS (a proxy that is itself reached by https) has no socket of its own to write to.
        self._socket = socket if isinstance(socket, ssl.SSLSocket) == sealed else None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        content = self._inner.read(max(max_bytes, _READ_BYTES), timeout=_left(timeout, httpcore2.ReadTimeout))
        if isinstance(timeout, Patience):
            timeout.moved(len(content))
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        while view:
            left = _left(timeout, httpcore2.WriteTimeout)
            count = self._send(view[:_WRITE_BYTES], left)
            if isinstance(timeout, Patience):
                timeout.moved(count)
            view = view[count:]

    def _send(self, piece: memoryview, left: float | None) -> int:
        if self._socket is None:
            self._inner.write(bytes(piece), timeout=left)
            return len(piece)
        try:
            self._socket.settimeout(left)
            return cast("int", self._socket.send(piece))
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(error) from error
        except OSError as error:
            raise httpcore2.WriteError(error) from error

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname=server_hostname, timeout=left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, kind: type[Exception]) -> float | None:
    """Return what a single step may take; raise if nothing is left."""
    if not isinstance(timeout, Patience):
        return timeout
    left = timeout.left()
    if left <= 0:
        raise kind("the time for this request is over")
    return left


def proxy_for(address: Address) -> str | None:
    """Return the proxy through which a relay is reached, or None.

    It is the one of the system (`HTTPS_PROXY` and `NO_PROXY`, or its settings), for https alone: it passes on what it
    cannot read. What stays on this machine goes through no proxy. Raises `Unreachable` for a proxy of a kind that this
    program does not use: going past it is not what its owner wants.
    """
    if address.scheme != "https" or address.is_loopback:
        return None
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(address.host):
        return None
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy:
        return None
    scheme, separator, _ = proxy.partition("://")
    if not separator:
        return f"http://{proxy}"
    if scheme.lower() not in {"http", "https"}:
        raise Unreachable(
            "the proxy that this machine is set to use is of a kind that this program does not know",
            hint=f"Name an http proxy in HTTPS_PROXY, or {address.host} in NO_PROXY to go without one.",
        )
    return proxy
