"""Answers that have the form of a relay's, and are none that a relay gives."""

from __future__ import annotations

import io
import secrets
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
import pytest

from crypto.keys import DeviceSecrets
from sync_relay import client_http, errors, wire
from sync_relay.client import RelayClient, Unreachable, UpdateNeeded
from tests.sync_relay.conftest import new_library

if TYPE_CHECKING:
    from collections.abc import Callable


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


@pytest.mark.scenario(1, "in an answer of the relay")
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
