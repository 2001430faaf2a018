"""What the client makes of whatever may answer in a relay's place: an error of one kind, in time, and nothing kept."""

from __future__ import annotations

import contextlib
import io
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx2
import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

from crypto.keys import DeviceSecrets
from sync_relay import client_http, errors, wire
from sync_relay.client import RelayClient, Unreachable, _SignedIn
from tests.sync_relay.faults import Faults
from tests.sync_relay.running_relay import blob_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from tests.sync_relay.conftest import Clock, Library
    from tests.sync_relay.running_relay import Relay


SIGNED_IN = _SignedIn(
    DeviceSecrets.generate(),
    wire.Session(token="t", expires_in=3600, library_id=bytes(32), position=0, generation=b"g"),
    0,
    float("inf"),
)


class Speaker:
    """A server that says the same to everybody, byte for byte, and then does as it was told to."""

    def __init__(self, said: bytes, then: Callable[[socket.socket, threading.Event], None] | None = None) -> None:
        self._said = said
        self._then = then
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(self._said)
                if self._then is not None:
                    self._then(connection, self.over)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self._listening.getsockname(), timeout=1).close()
        self._thread.join(60)
        self._listening.close()


def trickle(piece: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Go on saying `piece`, slowly, for as long as anybody listens."""

    def go_on(connection: socket.socket, over: threading.Event) -> None:
        while not over.wait(0.02):
            connection.sendall(piece)

    return go_on


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/msgpack\r\n"


@pytest.mark.parametrize(
    ("said", "piece"),
    [
        (b"", b""),
        (b"", b"H"),
        (OK, b"a"),
        (OK + b"x: ", b"a"),
        (OK + b"content-length: 60000\r\n\r\n", b"a"),
        (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_slow_answers_end_when_the_time_is_over(said: bytes, piece: bytes) -> None:
    speaker = Speaker(said, trickle(piece))
    with speaker, RelayClient(speaker.url, timeout_s=0.3) as client, pytest.raises(Unreachable):
        client.about()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        OK + b"content-length: 99999999999\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        OK + b"content-length: 5\r\n\r\nabc",
        OK + b"transfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        OK + b"transfer-encoding: gzip\r\n\r\n",
        OK + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        OK + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx\x00: \xff\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_whatever_is_said_by_no_relay(said: bytes) -> None:
    with Speaker(said) as speaker, RelayClient(speaker.url, timeout_s=30) as client, pytest.raises(Unreachable):
        client.about()


def test_a_body_without_end_is_given_up_at_its_bound() -> None:
    sent = 0

    def pour(connection: socket.socket, over: threading.Event) -> None:
        nonlocal sent
        while not over.is_set():
            connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            sent += 0x10000

    said = OK + b"transfer-encoding: chunked\r\n\r\n"
    with Speaker(said, pour) as speaker, RelayClient(speaker.url) as client:
        with pytest.raises(Unreachable, match="longer"):
            client.about()
        assert client.traffic.received <= client_http.SMALL_BYTES + 0x20000


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with RelayClient(f"http://127.0.0.1:{port}", timeout_s=30) as client:
        with pytest.raises(Unreachable, match="nothing listens") as raised:
            client.about()
        assert raised.value.hint
        client._signed_in = SIGNED_IN
        with pytest.raises(Unreachable, match="nothing listens"), client.listen():
            pass


def test_listening_to_whatever_answers() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1:1/v1/events\r\ncontent-length: 0\r\n\r\n"
    denied = b'{"error":"rate","message":"too many","details":{"retry_after":1}}'
    rate = b"HTTP/1.1 429 X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(denied) + denied
    for said, kind in (
        (b"", Unreachable),
        (b"SSH-2.0\r\n", Unreachable),
        (redirect, Unreachable),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Unreachable),
        (b"HTTP/1.1 500 X\r\ncontent-length: 6\r\n\r\n<html>", Unreachable),
        (rate, errors.TooManyRequests),
    ):
        with Speaker(said) as speaker, RelayClient(speaker.url, timeout_s=30) as client:
            client._signed_in = SIGNED_IN
            with pytest.raises(kind), client.listen():
                pass


def test_news_are_short() -> None:
    def tell(connection: ServerConnection) -> None:
        connection.send('{"position":1}' + " " * 10_000)

    with serve(tell, "127.0.0.1", 0) as server:
        telling = threading.Thread(target=server.serve_forever)
        telling.start()
        try:
            with RelayClient(f"http://127.0.0.1:{server.socket.getsockname()[1]}", timeout_s=30) as client:
                client._signed_in = SIGNED_IN
                with client.listen() as listener, pytest.raises(Unreachable):
                    listener.wait(60)
        finally:
            server.shutdown()
            telling.join()


def test_whoever_stops_listening_twice_hangs_up_all_the_same() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        RelayClient(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=30) as client,
        ThreadPoolExecutor(3) as threads,
    ):

        def welcome() -> socket.socket:
            connection, _ = listening.accept()
            protocol = ServerProtocol()
            while not (requests := protocol.events_received()):
                protocol.receive_data(connection.recv(0x10000))
            assert isinstance(requests[0], Request)
            protocol.send_response(protocol.accept(requests[0]))
            connection.sendall(b"".join(protocol.data_to_send()))
            return connection

        client._signed_in = SIGNED_IN
        welcomed = threads.submit(welcome)
        with client.listen() as listener:
            connection = welcomed.result(60)
            connection.settimeout(60)
            first = threads.submit(listener.close)
            assert connection.recv(100)  # it says goodbye, which nobody answers
            threads.submit(listener.close).result(60)
            first.result(60)
        with connection:
            assert connection.recv(100) == b""


def test_https_to_a_relay_without_a_certificate_says_so() -> None:
    speaker = Speaker(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client = RelayClient(speaker.url.replace("http", "https"), timeout_s=30)
    with speaker, client, pytest.raises(Unreachable, match="secure"):
        client.about()


@pytest.mark.scenario(12, "a clock is a year off")
def test_a_clock_that_is_a_year_off_signs_in(relay: Relay, library: Library, clock: Clock) -> None:
    with RelayClient(relay.url) as client:
        client.found(relay.invite(), library.genesis.entry)
        for now in (0, clock.now + 365 * 86_400, 1 << 62):
            assert client.sign_in(library.founder.secrets, library.genesis.library_id, now).position == 1


def test_an_edit_costs_little_each_way(relay: Relay, library: Library) -> None:
    network = Faults()
    with RelayClient(relay.url, transport=network.transport(relay.url)) as client:
        client.found(relay.invite(), library.genesis.entry)
        client.sign_in(library.founder.secrets, library.genesis.library_id, 0)
        before = network.sent, network.received
        client.append([library.founder.write()])
        pushed = network.sent - before[0], network.received - before[1]
        before = network.sent, network.received
        client.log(1)
        pulled = network.sent - before[0], network.received - before[1]
    assert pushed[0] + pulled[0] <= 1_500, (pushed, pulled)
    assert pushed[1] + pulled[1] <= 1_500, (pushed, pulled)


def test_a_relay_may_stand_below_a_path(relay: Relay, library: Library) -> None:
    """As behind a proxy that takes the path away again."""

    class Proxy(httpx2.BaseTransport):
        def __init__(self) -> None:
            self.inner = Faults().transport(relay.url)

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            assert request.url.path.startswith("/photos/relay/v1")
            path = request.url.raw_path.removeprefix(b"/photos/relay")
            request.url = request.url.copy_with(raw_path=path)
            return self.inner.handle_request(request)

        def close(self) -> None:
            self.inner.close()

    with RelayClient(f"{relay.url}/photos/relay/", transport=Proxy()) as client:
        client.found(relay.invite(), library.genesis.entry)
        client.sign_in(library.founder.secrets, None, 0)
        assert client.heads().position == 1


def test_importing_the_client_is_cheap_and_brings_no_server() -> None:
    code = "import sync_relay.client, sys; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)
    loaded = set(shown.stdout.split())
    assert not loaded & {"httpx2", "httpcore2", "websockets", "sqlalchemy", "starlette", "sync_relay.server"}


def test_large_blobs_take_no_memory(relay: Relay, library: Library) -> None:
    """Each piece is let go before the next is asked for: what is alive at once does not grow with the blob."""

    class Zeros(io.RawIOBase):
        most = 0

        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def read(self, size: int = -1) -> bytes:
            self.most = max(self.most, size)
            return bytes(size)

    size = 20_000_000
    source = Zeros()
    with RelayClient(relay.url) as client:
        client.found(relay.invite(), library.genesis.entry)
        client.sign_in(library.founder.secrets, None, 0)
        name = blob_id(bytes(size))
        assert client.upload(name, source, size).state == "stored"  # type: ignore[arg-type]
        with client.download(name) as pieces:
            most = max(len(piece) for piece in pieces)
    assert source.most <= 1 << 20
    assert most <= 1 << 20
