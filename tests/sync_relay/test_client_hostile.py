"""What the client makes of whatever may answer in a relay's place: an error of one kind, in time, and nothing kept."""

from __future__ import annotations

import contextlib
import io
import secrets
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
import pytest

from crypto.keys import DeviceSecrets
from sync_relay import client_http, errors, wire
from sync_relay.client import InvalidUrl, RelayClient, Unreachable, UpdateNeeded, relay_url
from sync_relay.client_sockets import proxy_for
from sync_relay.client_url import read_address
from tests.sync_relay.conftest import new_library
from tests.sync_relay.faults import Faults
from tests.sync_relay.running_relay import blob_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from tests.sync_relay.conftest import Clock, Library
    from tests.sync_relay.running_relay import Relay

URL = "http://127.0.0.1:7465"
LIBRARY, DEVICE = secrets.token_bytes(32), DeviceSecrets.generate()


class Impostor(httpx2.BaseTransport):
    """Signs anyone in, and answers everything else as it was told to."""

    def __init__(self, answer: httpx2.Response | Callable[[httpx2.Request], httpx2.Response] | Any) -> None:
        self.answer = answer
        self.session = wire.Session(
            token="t",
            expires_in=3600,
            library_id=LIBRARY,
            position=0,
            generation=b"g",
        )
        self.asked: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if request.url.path == "/v1/sign-in/challenge":
            return packed(wire.Challenge(nonce=bytes(56), time=0, expires_in=120))
        if request.url.path == "/v1/sign-in":
            return packed(self.session)
        answer = self.answer(request) if callable(self.answer) else self.answer
        return answer if isinstance(answer, httpx2.Response) else packed(answer)


def packed(body: Any, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, headers={"content-type": wire.MSGPACK}, content=msgspec.msgpack.encode(body))


def at(answer: Any) -> RelayClient:
    """Return a client that is signed in to a relay that answers so."""
    client = RelayClient(URL, transport=Impostor(answer))
    client.sign_in(DEVICE, LIBRARY, 0)
    return client


def item(position: int, **more: Any) -> dict[str, Any]:
    return {"position": position, "kind": wire.KIND_ENVELOPE, "body": b"x", **more}


def page(*items: dict[str, Any], position: int, more: bool = False) -> dict[str, Any]:
    return {"items": list(items), "position": position, "more": more}


SIDE = wire.MailboxSide(number=1, token="t", expires_in=9)
ENVELOPE = new_library().founder.write()

ANSWERS: list[tuple[str, Callable[[RelayClient], Any], Any]] = [
    ("about", lambda client: client.about(), {"relay": "another", "protocols": [1], "time": 0}),
    ("about", lambda client: client.about(), {"relay": "safelight", "protocols": "1", "time": 0}),
    ("about", lambda client: client.about(), []),
    (
        "usage of another library",
        lambda client: client.usage(),
        wire.Usage(library_id=bytes(32), bytes=0, objects=0, quota_bytes=0, quota_objects=0),
    ),
    ("items out of order", lambda client: client.log(0), page(item(2), item(1), position=2)),
    ("an item twice", lambda client: client.log(0), page(item(2), item(2), position=2)),
    ("items from before", lambda client: client.log(5), page(item(5), position=5)),
    ("a page that ends elsewhere", lambda client: client.log(0), page(item(1), position=7)),
    ("an empty page that goes on", lambda client: client.log(0), page(position=0, more=True)),
    ("an empty page ahead", lambda client: client.log(3), page(position=9)),
    ("more than the limit", lambda client: client.log(0, 1), page(item(1), item(2), position=2)),
    ("another kind", lambda client: client.log(0, kinds=[wire.KIND_PRUNE]), page(item(1), position=1)),
    ("a body that is empty", lambda client: client.log(0), page(item(1, body=b""), position=1)),
    (
        "an entry too long",
        lambda client: client.log(0),
        page(item(1, kind=wire.KIND_MEMBERSHIP, body=bytes(200_000)), position=1),
    ),
    ("no body and no name", lambda client: client.log(0), page(item(1, body=None), position=1)),
    (
        "an entry without body",
        lambda client: client.log(0),
        page(item(1, kind=wire.KIND_MEMBERSHIP, body=None, device_id=bytes(32), seq=1, hash=bytes(32)), position=1),
    ),
    ("a negative position", lambda client: client.log(0), page(item(-1), position=-1)),
    ("a position that no database holds", lambda client: client.log(0), page(item(1 << 63), position=1 << 63)),
    (
        "something past that is no envelope",
        lambda client: client.past({}),
        page(item(1, kind=wire.KIND_DELETE), position=1),
    ),
    ("another envelope", lambda client: client.envelope(bytes(32), 1), item(1, body=ENVELOPE)),
    ("no envelope", lambda client: client.envelope(bytes(32), 1), item(1)),
    ("an entry for an envelope", lambda client: client.envelope(bytes(32), 1), item(1, kind=2, body=ENVELOPE)),
    (
        "another pruned one",
        lambda client: client.envelope(bytes(32), 1),
        item(1, body=None, device_id=bytes(32), seq=2, hash=bytes(32)),
    ),
    (
        "two heads of one device",
        lambda client: client.heads(),
        {"heads": [{"device_id": bytes(32), "seq": seq, "hash": bytes(32)} for seq in (1, 2)], "position": 2},
    ),
    (
        "a head without envelope",
        lambda client: client.heads(),
        {"heads": [{"device_id": bytes(32), "seq": 0, "hash": bytes(32)}], "position": 2},
    ),
    (
        "a short id",
        lambda client: client.heads(),
        {"heads": [{"device_id": bytes(31), "seq": 1, "hash": bytes(32)}], "position": 2},
    ),
    ("more stored than sent", lambda client: client.append([b"x"]), wire.Appended(position=1, stored=2)),
    (
        "states of others",
        lambda client: client.blob_states([bytes(32)]),
        {"blobs": [{"id": b"1" * 32, "state": "absent"}]},
    ),
    ("too few states", lambda client: client.blob_states([bytes(32)]), {"blobs": []}),
    (
        "a state of no name",
        lambda client: client.blob_states([bytes(32)]),
        {"blobs": [{"id": bytes(32), "state": "\x1b[2J"}]},
    ),
    (
        "an offset past the end",
        lambda client: client.blob_states([bytes(32)]),
        {"blobs": [{"id": bytes(32), "state": "partial", "size": 5, "offset": 9}]},
    ),
    (
        "an upload of another blob",
        lambda client: client.upload(bytes(32), io.BytesIO(b"abc"), 3),
        wire.BlobState(id=b"1" * 32, state="stored", size=3, offset=3),
    ),
    (
        "an upload that is absent",
        lambda client: client.upload(bytes(32), io.BytesIO(b"abc"), 3),
        wire.BlobState(id=bytes(32), state="absent"),
    ),
    (
        "an upload of another size",
        lambda client: client.upload(bytes(32), io.BytesIO(b"abc"), 3),
        wire.BlobState(id=bytes(32), state="stored", size=4, offset=4),
    ),
    ("a short proof", lambda client: client.prove(bytes(32), bytes(32)), {"proof": b""}),
    ("another mailbox", lambda client: client.claim_mailbox(4), {"number": 5, "token": "t", "expires_in": 1}),
    (
        "a mailbox's token that is a header",
        lambda client: client.open_mailbox(),
        {"number": 5, "token": "t\r\nx: y", "expires_in": 1},
    ),
    ("too many letters", lambda client: client.collect_letters(SIDE), {"letters": [b"x"] * 99, "claimed": True}),
    ("a long letter", lambda client: client.collect_letters(SIDE), {"letters": [bytes(5_000)], "claimed": True}),
]


@pytest.mark.parametrize(("call", "answer"), [one[1:] for one in ANSWERS], ids=[one[0] for one in ANSWERS])
def test_answers_that_no_relay_gives(call: Callable[[RelayClient], Any], answer: Any) -> None:
    with at(answer) as client, pytest.raises(Unreachable) as raised:
        call(client)
    assert str(raised.value).isprintable()
    assert "\x1b" not in str(raised.value)


def test_another_version_of_the_protocol_asks_for_an_update() -> None:
    newer = {"relay": "safelight", "protocols": [2, 3], "time": 0}
    with at(newer) as client, pytest.raises(UpdateNeeded, match="version 1"):
        client.about()

    def later(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1":
            return packed(newer)
        return packed({"error": "no-such-path", "message": "gone"}, 404)

    class Newer(Impostor):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            return later(request)

    with RelayClient(URL, transport=Newer(None)) as client, pytest.raises(UpdateNeeded):
        client.sign_in(DEVICE, None, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_named_and_not_followed(status: int) -> None:
    answer = httpx2.Response(status, headers={"location": "https://elsewhere.example/v1/heads"})
    with at(answer) as client:
        with pytest.raises(Unreachable, match="redirect") as raised:
            client.heads()
        assert "elsewhere" not in str(raised.value)
        transport = client._line._given
        assert isinstance(transport, Impostor)
        assert len(transport.asked) == 3


@pytest.mark.parametrize("status", [100, 199, 201, 204, 206, 226, 299, 304, 399, 400, 404, 500, 502, 599, 999])
@pytest.mark.parametrize("media", ["", "text/html", "application/json", wire.MSGPACK])
def test_statuses_and_pages_of_others(status: int, media: str) -> None:
    answer = httpx2.Response(status, headers={"content-type": media} if media else {}, content=b"<html>\x1b[31mhello")
    with at(answer) as client, pytest.raises(Unreachable) as raised:
        client.heads()
    assert "hello" not in str(raised.value)


def test_a_relays_words_are_cut_and_cleaned() -> None:
    body = {
        "error": "rate",
        "message": "\x1b]0;title\x07" + "very " * 500 + "\u202e\x9b",
        "hint": "line\nline\r\x00",
        "details": {"retry_after": 10**12, "offset": -4, "hash": b"short", "limit": 7, "libraries": [b"1", bytes(32)]},
    }
    with at(packed(body, 429)) as client, pytest.raises(errors.TooManyRequests) as raised:
        client.heads()
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) <= client_http.MAX_TEXT
    assert (raised.value.hint or "").isprintable()
    details = raised.value.details
    assert (details.retry_after, details.offset, details.hash, details.limit) == (3600, None, None, 7)
    assert details.libraries == [bytes(32)]


def test_errors_of_a_later_relay_are_known_by_their_status() -> None:
    for status, kind in ((403, errors.Refused), (409, errors.Conflict), (418, errors.RelayError), (529, errors.Broken)):
        with at(packed({"error": "new-one", "message": "m"}, status)) as client, pytest.raises(kind):
            client.heads()
    with at(packed({"error": "not-a-member", "message": "m"}, 500)) as client, pytest.raises(Unreachable):
        client.heads()


def test_a_blob_whose_answer_is_another() -> None:
    def blob(status: int, **fields: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return httpx2.Response(status, headers={"content-type": wire.BINARY} | named, stream=httpx2.ByteStream(b"abc"))

    good = {"content_length": "3", "content_range": "bytes 2-4/9"}
    with at(blob(206, **good)) as client, client.download(bytes(32), 2, 3) as pieces:
        assert b"".join(pieces) == b"abc"
    for offset, length, answer in (
        (2, 3, blob(200, content_length="3")),
        (2, 3, blob(206, content_length="3")),
        (2, 3, blob(206, content_length="3", content_range="bytes 1-3/9")),
        (2, 3, blob(206, content_length="3", content_range="bytes 2-5/9")),
        (2, 3, blob(206, content_length="3", content_range="bytes 2-4/3")),
        (2, 3, blob(206, content_length="3", content_range="bytes 2-4/*")),
        (2, 3, blob(206, content_length="4", content_range="bytes 2-5/9")),
        (2, None, blob(206, content_length="3", content_range="bytes 2-4/9")),
        (0, None, blob(206, **good)),
        (0, None, blob(200)),
        (0, None, blob(200, content_length="-3")),
        (0, None, blob(200, content_length="9" * 40)),
        (0, None, blob(200, content_length="0")),
        (0, None, blob(200, content_length="3", content_encoding="gzip")),
        (0, None, blob(200, content_length="2")),
        (0, None, blob(200, content_length="4")),
    ):
        with at(answer) as client, pytest.raises(Unreachable), client.download(bytes(32), offset, length) as pieces:
            b"".join(pieces)


def test_an_upload_that_is_sent_in_circles_ends() -> None:
    offsets = iter([1, 2, 1, 2, 1])

    def circle(_request: httpx2.Request) -> httpx2.Response:
        mismatch = {"error": "offset-mismatch", "message": "m", "details": {"offset": next(offsets), "size": 3}}
        return packed(mismatch, 409)

    with at(circle) as client, pytest.raises(Unreachable, match="again"):
        client.upload(bytes(32), io.BytesIO(b"abc"), 3)


def test_a_relay_that_never_accepts_its_own_token_is_asked_twice() -> None:
    with at(packed({"error": "not-signed-in", "message": "m"}, 401)) as client:
        with pytest.raises(errors.NotSignedIn):
            client.heads()
        transport = client._line._given
        assert isinstance(transport, Impostor)
        assert [one.url.path for one in transport.asked].count("/v1/heads") == 2


def test_a_sign_in_to_another_library_is_refused() -> None:
    with RelayClient(URL, transport=Impostor(None)) as client, pytest.raises(Unreachable, match="another library"):
        client.sign_in(DEVICE, bytes(32), 0)


def test_a_relay_that_was_put_back_meanwhile_is_noticed() -> None:
    impostor = Impostor(packed({"error": "not-signed-in", "message": "m"}, 401))
    with RelayClient(URL, transport=impostor) as client:
        client.sign_in(DEVICE, LIBRARY, 0)
        impostor.session = msgspec.structs.replace(impostor.session, generation=b"h")
        for _ in range(2):
            with pytest.raises(Unreachable, match="backup"):
                client.heads()
        impostor.answer = wire.Heads(heads=[], position=0)
        client.sign_in(DEVICE, LIBRARY, 0)
        assert client.heads().position == 0


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
        client._signed_in = at(None)._signed_in
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
            client._signed_in = at(None)._signed_in
            with pytest.raises(kind), client.listen():
                pass


def test_https_to_a_relay_without_a_certificate_says_so() -> None:
    speaker = Speaker(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client = RelayClient(speaker.url.replace("http", "https"), timeout_s=30)
    with speaker, client, pytest.raises(Unreachable, match="secure"):
        client.about()


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


@pytest.mark.parametrize(
    ("typed", "normal", "origin"),
    [
        ("https://relay.example", "https://relay.example", "https://relay.example"),
        ("HTTPS://Relay.Example:443/", "https://relay.example", "https://relay.example"),
        ("relay.example.", "https://relay.example", "https://relay.example"),
        (" relay.example:8443 ", "https://relay.example:8443", "https://relay.example:8443"),
        ("https://relay.example/a/b/", "https://relay.example/a/b", "https://relay.example"),
        ("localhost:7465", "http://localhost:7465", "http://localhost:7465"),
        ("http://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1"),
        ("http://[0:0::1]:7465", "http://[::1]:7465", "http://[::1]:7465"),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]", "https://[2001:db8::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("192.0.2.7", "https://192.0.2.7", "https://192.0.2.7"),
    ],
)
def test_addresses_have_one_form(typed: str, normal: str, origin: str) -> None:
    assert relay_url(typed) == normal
    assert relay_url(normal) == normal
    assert read_address(typed).origin == origin


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "https://",
        "https:///path",
        "ftp://relay.example",
        "file:///etc/passwd",
        "http://relay.example",
        "http://192.0.2.7",
        "http://127.0.0.1.relay.example",
        "http://[::ffff:192.0.2.7]",
        "https://user@relay.example",
        "https://user:pass@relay.example",
        "https://relay.example@elsewhere.example",
        "https://relay.example?x=1",
        "https://relay.example/#x",
        "https://relay.example/a?b",
        "https://relay.example/../x",
        "https://relay.example/a//b",
        "https://relay.example/%2e%2e/x",
        "https://relay.example\\@elsewhere.example",
        "https://relay exam.ple",
        "https://relay.example\r\nx: y",
        "https://relay\x1b[31m.example",
        "https://relay.example:0",
        "https://relay.example:65536",
        "https://relay.example:99999999",
        "https://relay.example:x",
        "https://relay.example:",
        "https://relay..example",
        "https://-relay.example",
        "https://127.1",
        "https://0x7f000001",
        "https://2130706433",
        "https://256.1.1.1",
        "https://2001:db8::1",
        "https://[2001:db8::1",
        "https://[::1]x",
        "https://[fe80::1%25eth0]",
        "https://[fe80::1%eth0]",
        "https://" + "a" * 64 + ".example",
        "https://" + "a." * 150 + "example",
        "https://\u202erelay.example",
        "https://relay\u3002example/",
    ],
)
def test_addresses_that_are_refused(typed: str) -> None:
    if typed.endswith("\u3002example/"):
        assert relay_url(typed) == "https://relay.example"  # a full stop of another script is a full stop
        return
    with pytest.raises(InvalidUrl) as raised:
        relay_url(typed)
    assert raised.value.hint
    assert str(raised.value).isprintable()


def test_a_proxy_is_for_https_elsewhere_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "at-home.example")
    assert proxy_for(read_address("https://relay.example")) == "http://proxy.example:3128"
    assert proxy_for(read_address("https://at-home.example")) is None
    assert proxy_for(read_address("https://localhost:7465")) is None
    assert proxy_for(read_address("http://127.0.0.1:7465")) is None


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
