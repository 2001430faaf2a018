"""A network that fails at a chosen byte, between real clients and a real relay.

`Faults` is one network: every client made over one of its transports uses it, its bytes are counted together, and a
fault happens once, after which the network works again. So a test lets a scenario run once to learn how many bytes it
takes each way, and then again with the connection cut after each of them:

    whole = Faults()
    scenario(whole)
    for after in boundaries(whole.sent):
        scenario(Faults(cut_sent=after))        # the relay got `after` bytes, and then the connection was gone

Bytes are those of the sockets, header fields and all. `cut_received` is the other way round: the relay did what it was
asked, and the client got only so many bytes of being told. The rest happens to whole requests, which `at` numbers from
0 over all connections: `Repeat` sends one twice and loses the first answer, `Answer` is a relay's or a proxy's error in
place of an answer, `Garble` and `Truncate` change what comes back, `Lose` sends it and loses the answer, `Refuse`
connects to nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpcore2
import httpx2
import msgspec

from sync_relay import wire
from sync_relay.client_sockets import RelayTransport
from sync_relay.client_url import read_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sync_relay.errors import RelayError

EVERY_BYTE: Final = 2_000
"""Exchanges up to this long are cut at each of their bytes."""


def boundaries(total: int, *, every: int = EVERY_BYTE, marks: Iterable[int] = ()) -> list[int]:
    """Return where to cut a stream of `total` bytes, ascending: everywhere in a short one.

    In a long one: the powers of two and multiples of 64 KiB, one byte before and after each, the first and last bytes,
    and around each of `marks` (where requests begin: `Faults.sent_marks`).
    """
    if total <= every:
        return list(range(total))
    middle = {1 << power for power in range(total.bit_length())} | set(range(0, total, 64 << 10)) | set(marks)
    near = {place + step for place in middle for step in (-1, 0, 1)}
    near |= set(range(32)) | set(range(total - 32, total))
    return sorted(place for place in near if 0 <= place < total)


@dataclass(frozen=True)
class Answer:
    """An answer that does not come from the relay."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_it_was_done: bool = False

    @classmethod
    def named(cls, error: RelayError, *, after_it_was_done: bool = False) -> Answer:
        """Return an error as the relay gives it."""
        body = wire.ErrorBody(error=error.name, message=str(error), hint=error.hint, details=error.details)
        headers = {"content-type": wire.MSGPACK, wire.ERROR_NAME: error.name}
        return cls(error.status, msgspec.msgpack.encode(body), headers, after_it_was_done)


@dataclass(frozen=True)
class Repeat:
    """The request arrives twice: what a client sends again that never learnt of the first answer."""


@dataclass(frozen=True)
class Lose:
    """The relay does what it was asked; the client learns nothing."""


@dataclass(frozen=True)
class Refuse:
    """The relay learns nothing either."""


@dataclass(frozen=True)
class Truncate:
    """The answer ends after `kept` bytes of its body, cleanly, its length being told as that."""

    kept: int


@dataclass(frozen=True)
class Garble:
    """The body of the answer is another one."""

    change: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Wait:
    """The request is held until `event` is set, at most a minute: to have something else happen meanwhile."""

    event: threading.Event


Fault = Answer | Repeat | Lose | Refuse | Truncate | Garble | Wait


@dataclass
class Asked:
    """One request that went over the network, in the order they were begun."""

    method: str
    path: str
    sent_before: int
    received_before: int


class Faults:
    """A network. Cuts are counted in bytes from its beginning; -1 is never."""

    def __init__(self, *, cut_sent: int = -1, cut_received: int = -1, at: Mapping[int, Fault] | None = None) -> None:
        """Let everything through but what is named."""
        self.cut_sent = cut_sent
        self.cut_received = cut_received
        self.at = dict(at or {})
        self.sent = 0
        self.received = 0
        self.asked: list[Asked] = []
        self.lock = threading.Lock()

    def transport(self, url: str) -> httpx2.BaseTransport:
        """Return the way over this network to a relay, for `RelayClient(url, transport=…)`."""
        return _Faulty(self, RelayTransport(read_address(url), backend=_Network(self)))

    @property
    def sent_marks(self) -> list[int]:
        """How many bytes had been sent when each request began."""
        return [one.sent_before for one in self.asked]

    @property
    def received_marks(self) -> list[int]:
        """How many bytes had been received when each request began."""
        return [one.received_before for one in self.asked]

    @property
    def happened(self) -> bool:
        """Whether every fault that was named has happened."""
        return self.cut_sent < 0 and self.cut_received < 0 and not self.at


class _Faulty(httpx2.BaseTransport):
    """What happens to whole requests."""

    def __init__(self, faults: Faults, inner: RelayTransport) -> None:
        self._faults = faults
        self._inner = inner

    def close(self) -> None:
        self._inner.close()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        faults = self._faults
        with faults.lock:
            fault = faults.at.pop(len(faults.asked), None)
            faults.asked.append(Asked(request.method, request.url.path, faults.sent, faults.received))
        if isinstance(fault, Refuse):
            raise httpx2.ConnectError("nothing listens there")
        if isinstance(fault, Wait):
            fault.event.wait(60)
        if isinstance(fault, Answer):
            if fault.after_it_was_done:
                self._whole(request)
            return httpx2.Response(fault.status, headers=fault.headers, content=fault.body)
        if isinstance(fault, Repeat):
            again = _copy(request)
            self._whole(again)
            return self._inner.handle_request(_copy(again))
        if isinstance(fault, Lose):
            self._whole(request)
            raise httpx2.ReadError("the connection was reset")
        if isinstance(fault, Truncate | Garble):
            response, content = self._whole(request)
            changed = content[: fault.kept] if isinstance(fault, Truncate) else fault.change(content)
            fields = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-length"]
            return httpx2.Response(response.status_code, headers=fields, content=changed)
        return self._inner.handle_request(request)

    def _whole(self, request: httpx2.Request) -> tuple[httpx2.Response, bytes]:
        response = self._inner.handle_request(request)
        try:
            return response, b"".join(_pieces(response.stream))
        finally:
            response.close()


def _copy(request: httpx2.Request) -> httpx2.Request:
    """Return a request whose body is kept, so that it can be sent again."""
    content = b"".join(_pieces(request.stream))
    request.stream = httpx2.ByteStream(content)
    return httpx2.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=httpx2.ByteStream(content),
        extensions=request.extensions,
    )


def _pieces(stream: Any) -> Iterator[bytes]:
    yield from stream


class _Network(httpcore2.NetworkBackend):
    """Real sockets, over which only so many bytes go."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._real = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._real.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Counted(self._faults, stream)


class _Counted(httpcore2.NetworkStream):
    def __init__(self, faults: Faults, real: httpcore2.NetworkStream) -> None:
        self._faults = faults
        self._real = real
        self._is_cut = False

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        faults = self._faults
        with faults.lock:
            cut = 0 <= faults.cut_sent < faults.sent + len(buffer)
            passed = buffer[: faults.cut_sent - faults.sent] if cut else buffer
            faults.sent += len(passed)
            if cut:
                faults.cut_sent = -1
        self._real.write(passed, timeout)
        if cut:
            self._real.close()
            raise httpcore2.WriteError("the connection was cut while sending")

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        faults = self._faults
        content = b"" if self._is_cut else self._real.read(max_bytes, timeout)
        with faults.lock:
            if 0 <= faults.cut_received < faults.received + len(content):
                content = content[: faults.cut_received - faults.received]
                faults.cut_received = -1
                self._is_cut = True
            faults.received += len(content)
        if self._is_cut and not content:
            self._real.close()
            raise httpcore2.ReadError("the connection was cut while receiving")
        return content

    def close(self) -> None:
        self._real.close()

    def get_extra_info(self, info: str) -> Any:
        return None if info == "socket" else self._real.get_extra_info(info)
