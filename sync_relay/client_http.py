"""One request to a relay and its answer, believed in nothing: its type, its length, its form, or the time it takes.

What comes of it is the answer that was asked for, an error the relay named (`sync_relay.errors`), or `Unreachable`.
No text of an answer is ever shown but the message and the hint of a named error, and of those only what is printable.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from sync_relay import errors, wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import httpx2

    from sync_relay.client_sockets import Patience
    from sync_relay.client_url import Address

Answer = TypeVar("Answer", bound=wire.Struct)

SMALL_BYTES: Final = wire.MAX_SMALL_BYTES
"""The bound of every answer that has none of its own."""

MAX_TEXT: Final = 300
"""How many characters of a relay's own words are shown."""

MAX_RETRY_SECONDS: Final = 3_600
_BIG: Final = (1 << 63) - 1
_CONNECT_SECONDS: Final = 20.0
_POOL_SECONDS: Final = 60.0
_ERRORS_FROM: Final = 400
_NO_CONTENT: Final = 204
_REDIRECTS: Final = range(300, 400)
_BY_STATUS: Final[dict[int, type[errors.RelayError]]] = {
    400: errors.Malformed,
    401: errors.NotSignedIn,
    403: errors.Refused,
    404: errors.NotThere,
    409: errors.Conflict,
    413: errors.TooLarge,
    429: errors.TooManyRequests,
    503: errors.Unavailable,
    507: errors.QuotaFull,
}
_ODD: Final = "Check the address. If it is right, something between you and the relay answers in its place."


class Unreachable(Exception):
    """No connection, a timeout, a cut, or an answer that is not a relay's. Nothing of what it said is in the message.

    `hint` says what to do. Whatever was asked may have happened or not; asking again is always right.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep what happened, and what to do next."""
        super().__init__(message)
        self.hint = hint


class UpdateNeeded(Unreachable):
    """The relay speaks other versions of the protocol than this program."""


@dataclass
class Traffic:
    """Bytes of bodies that went either way, blobs included and header fields not."""

    sent: int = 0
    received: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, *, sent: int = 0, received: int = 0) -> None:
        """Count more of them."""
        with self._lock:
            self.sent += sent
            self.received += received


class Line:
    """The way to one relay."""

    def __init__(self, address: Address, transport: httpx2.BaseTransport | None, timeout_s: float) -> None:
        """Connect to nothing yet; `transport` takes the place of real connections."""
        self.address = address
        self.traffic = Traffic()
        self.timeout_s = timeout_s
        self._given = transport
        self._transport: httpx2.BaseTransport | None = transport
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every connection; the line may be used again."""
        with self._lock:
            transport, self._transport = self._transport, self._given
        if transport is not None:
            transport.close()

    def ask(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: wire.Struct | None = None,
        token: str = "",
        limit: int = SMALL_BYTES,
        statuses: Collection[int] = (200,),
        timeout_s: float | None = None,
    ) -> Answer:
        """Send a small request and return the answer, decoded; of a larger body than `limit`, nothing is kept."""
        content = b"" if body is None else msgspec.msgpack.encode(body)
        with self._sent(method, path, content, token, statuses, timeout_s) as response:
            return self.decode(response, answer, limit)

    def tell(self, method: str, path: str, *, body: wire.Struct | None = None, token: str = "") -> None:
        """Send a small request that has no answer but that it was done."""
        content = b"" if body is None else msgspec.msgpack.encode(body)
        with self._sent(method, path, content, token, (_NO_CONTENT,)):
            pass

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        headers: dict[str, str] | None = None,
        body: Iterable[bytes] | None = None,
        statuses: Collection[int] = (200,),
        timeout_s: float | None = None,
    ) -> Iterator[httpx2.Response]:
        """Send a request and give the answer before its body is read. Errors of the relay are raised here."""
        import httpx2

        from sync_relay.client_sockets import Body, Patience

        timeout_s = min(self.timeout_s, timeout_s or self.timeout_s)
        patience = Patience(timeout_s)
        sent = Body(body or ())
        fields = {"host": self.address.origin.partition("://")[2], "accept": wire.MSGPACK}
        if token:
            fields["authorization"] = f"Bearer {token}"
        request = httpx2.Request(
            method,
            self.address.url + path,
            headers=fields | (headers or {}),
            stream=sent,
            extensions={
                "timeout": {
                    "connect": min(_CONNECT_SECONDS, timeout_s),
                    "read": patience,
                    "write": patience,
                    "pool": _POOL_SECONDS,
                },
                "patience": patience,
            },
        )
        try:
            with self._failures():
                response = self._open_transport().handle_request(request)
        except Unreachable:
            if sent.failure is not None:
                raise sent.failure from None  # the file could not be read, which is no fault of the relay's
            raise
        response.request = request
        try:
            self._check(response, statuses)
            yield response
        finally:
            with self._failures():
                response.close()

    def pieces(self, response: httpx2.Response) -> Iterator[bytes]:
        """Yield the body as it comes, as it is, while there is time."""
        patience: Patience = response.request.extensions["patience"]
        with self._failures():
            for piece in cast("Iterable[bytes]", response.stream):
                self.traffic.add(received=len(piece))
                if patience.left() <= 0:
                    raise Unreachable(f"{self._name} answers too slowly to go on")
                yield piece

    def content(self, response: httpx2.Response, limit: int) -> bytes:
        """Return the whole body, if it has at most `limit` bytes; raise `Unreachable` before more is kept."""
        declared = response.headers.get("content-length", "0")
        too_long = Unreachable(f"{self._name} sent a longer answer than a relay's", hint=_ODD)
        if not declared.isdecimal() or len(declared) > len(str(_BIG)) or int(declared) > limit:
            raise too_long
        body = bytearray()
        for piece in self.pieces(response):
            body += piece
            if len(body) > limit:
                raise too_long
        return bytes(body)

    def decode(self, response: httpx2.Response, answer: type[Answer], limit: int = SMALL_BYTES) -> Answer:
        """Return the body of a relay's answer, read from the form it says it has."""
        if _media(response) != wire.MSGPACK:
            raise self.odd("another kind of answer than a relay's")
        try:
            return msgspec.msgpack.decode(self.content(response, limit), type=answer)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise self.odd(f"something that is no {answer.__name__}") from None

    def odd(self, what: str) -> Unreachable:
        """Return the error for an answer that no relay gives."""
        return Unreachable(f"{self._name} sent {what}", hint=_ODD)

    @property
    def _name(self) -> str:
        return f"the relay at {self.address.url}"

    @contextlib.contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        content: bytes,
        token: str,
        statuses: Collection[int],
        timeout_s: float | None = None,
    ) -> Iterator[httpx2.Response]:
        headers = {}
        if content:
            headers = {"content-type": wire.MSGPACK, "content-length": str(len(content))}
        elif method != "GET":
            headers = {"content-length": "0"}
        self.traffic.add(sent=len(content))
        body = [content] if content else None
        with self.open(
            method, path, token=token, headers=headers, body=body, statuses=statuses, timeout_s=timeout_s
        ) as response:
            yield response

    def _open_transport(self) -> httpx2.BaseTransport:
        with self._lock:
            if self._transport is None:
                from sync_relay.client_sockets import RelayTransport, proxy_for

                self._transport = RelayTransport(self.address, proxy=proxy_for(self.address))
            return self._transport

    def _check(self, response: httpx2.Response, statuses: Collection[int]) -> None:
        status = response.status_code
        if status in statuses:
            return
        if status in _REDIRECTS:
            raise Unreachable(
                f"{self._name} answers with a redirect, which a relay never does and this program does not follow",
                hint="Ask the relay's owner for its own address.",
            )
        if status < _ERRORS_FROM:
            raise self.odd(f"status {status}, which a relay does not answer here")
        if _media(response) not in {wire.MSGPACK, wire.JSON}:
            raise Unreachable(f"{self._name} answers with status {status}, and not as a relay does", hint=_ODD)
        body = self.content(response, SMALL_BYTES)
        error = read_error(body, status, _media(response))
        if error is None:
            raise Unreachable(f"{self._name} answers with status {status}, and not as a relay does", hint=_ODD)
        raise error

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise `Unreachable` for whatever goes wrong on the way."""
        import httpx2

        try:
            yield
        except (httpx2.TransportError, httpx2.StreamError, OSError) as error:
            raise failure(self._name, self.address, error) from None


def failure(name: str, address: Address, error: BaseException) -> Unreachable:  # noqa: PLR0911 (one for each cause)
    """Return what a failed connection is called, by what lies beneath the error."""
    import httpx2

    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    for one in seen:
        if isinstance(one, ssl.SSLCertVerificationError):
            return Unreachable(
                f"{name} has a certificate that this machine does not trust: {printable(one.verify_message)}",
                hint="If the relay's owner made its own authority, name its file in SSL_CERT_FILE. Otherwise do not "
                "use this relay: somebody may be answering in its place.",
            )
        if isinstance(one, ssl.SSLError):
            return Unreachable(
                f"no secure connection to {name.removeprefix('the relay at ')} came about",
                hint="Check the port: a relay without a certificate does not answer by https.",
            )
        if isinstance(one, socket.gaierror):
            return Unreachable(f"no machine has the name {address.host}", hint="Check the address and the network.")
        if isinstance(one, ConnectionRefusedError):
            return Unreachable(
                f"{name} does not answer: nothing listens there", hint="Check that the relay runs, and its port."
            )
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Unreachable(f"{name} did not answer in time", hint="Check the network, or try again later.")
    if isinstance(error, httpx2.RemoteProtocolError):
        return Unreachable(
            f"{name} broke off, or does not speak as a relay does", hint="Try again. If it stays, check the address."
        )
    return Unreachable(f"the connection to {name} broke or did not come about", hint="Check the network, or try again.")


def read_error(body: bytes, status: int, media: str) -> errors.RelayError | None:
    """Return the error that a relay named, with its words cut and cleaned, or None if these are no relay's bytes.

    An error that this program does not know yet is the class of its status.
    """
    decoder: Any = msgspec.msgpack if media == wire.MSGPACK else msgspec.json
    try:
        told: wire.ErrorBody = decoder.decode(body, type=wire.ErrorBody)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    kind = errors.BY_NAME.get(told.error)
    if kind is None:
        kind = _BY_STATUS.get(status, errors.Broken if status >= errors.Broken.status else errors.RelayError)
    elif kind.status != status:
        return None
    hint = printable(told.hint) if told.hint else None
    return kind(printable(told.message), hint=hint, details=_details(told.details))


def printable(text: str) -> str:
    """Return somebody else's words as one bounded line in which nothing can move a terminal's cursor."""
    shown = "".join(character if character.isprintable() else " " for character in text[: MAX_TEXT + 1])
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"


def _details(told: errors.ErrorDetails | None) -> errors.ErrorDetails:
    """Return the numbers of an error within what can be true; others are left out."""
    kept: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(told or errors.ErrorDetails()).items():
        if name == "retry_after":
            kept[name] = None if value is None else min(max(value, 0), MAX_RETRY_SECONDS)
        elif isinstance(value, int):
            kept[name] = value if 0 <= value <= _BIG else None
        elif isinstance(value, bytes):
            kept[name] = value if len(value) == len(bytes(32)) else None
        elif isinstance(value, str):
            kept[name] = printable(value)
        elif isinstance(value, list):
            kept[name] = [one for one in value if len(one) == len(bytes(32))] or None
    return errors.ErrorDetails(**kept)


def _media(response: httpx2.Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()
