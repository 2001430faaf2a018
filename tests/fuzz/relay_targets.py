"""Targets for what crosses the network: requests as a relay reads them, answers and news as a client does."""

from __future__ import annotations

from typing import Any, cast

import httpx2
import msgspec

from crypto import signing
from crypto.errors import CryptoError
from crypto.purposes import Signed
from sync_relay import client_answers as answers
from sync_relay import wire
from sync_relay.client_events import read_position
from sync_relay.client_http import Line, Unreachable
from sync_relay.client_transfers import Download
from sync_relay.client_url import InvalidUrl, read_address, relay_url
from sync_relay.errors import RelayError
from sync_relay.server.call import read_number
from sync_relay.server.dispatch import _decode
from sync_relay.server.operations import OPERATIONS
from sync_relay.server.sessions import token_bytes
from sync_relay.server.transfers import read_range
from sync_relay.statements import read_statement
from tests.fuzz.target import same, target, text_of
from tests.fuzz.world import FOUNDER, LIBRARY

BODIES = tuple(operation.body for operation in OPERATIONS if operation.body is not None)
ANSWERS = tuple(dict.fromkeys(operation.result for operation in OPERATIONS if operation.result is not None))
MEDIA = (wire.MSGPACK, wire.JSON)
STATUSES = (200, 204, 301, 400, 401, 403, 404, 409, 413, 429, 500, 503, 507)
_BLOB = bytes(range(32))
_MOST = 1000
_TOKEN_CHARACTERS = 43


@target(RelayError, covers=("sync_relay.wire", "sync_relay.server.dispatch", "sync_relay.server.call"), values=2)
def relay_request(data: bytes) -> None:
    """The body of each request, in both forms: a relay reads what it writes."""
    head, data = data[:2].ljust(2, b"\0"), data[2:]
    shape, media = BODIES[head[0] % len(BODIES)], MEDIA[head[1] % 2]
    read = _decode(data, shape, media)
    for form, encode in zip(MEDIA, (msgspec.msgpack.encode, msgspec.json.encode), strict=True):
        same(_decode(encode(read), shape, form), read, f"a {shape.__name__} as {form}")


@target(
    RelayError,
    covers=("sync_relay.server.transfers", "sync_relay.server.sessions", "sync_relay.server.call"),
    longest=256,
)
def relay_request_fields(data: bytes) -> None:
    """What stands in the header of a request: numbers, a token, and a range of a blob."""
    text = data.decode("latin-1")
    number = read_number(text, _MOST)
    same(number is None or 0 <= number <= _MOST, True, "a number in a request")
    same(token_bytes(text) is None or len(text) == _TOKEN_CHARACTERS, True, "the one spelling of a token")
    start, end = read_range(text, _MOST)
    same(0 <= start < end <= _MOST, True, "a range of a blob")


class _Transport(httpx2.BaseTransport):
    """A relay that answers everything with the same bytes."""

    def __init__(self, status: int, media: str, content: bytes, fields: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self._answer = httpx2.Response(
            status, headers=[(b"content-type", media.encode()), *fields], stream=httpx2.ByteStream(content)
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer


@target(
    Unreachable,
    RelayError,
    covers=("sync_relay.client_http", "sync_relay.client_answers", "sync_relay.wire", "sync_relay.errors"),
    values=3,
)
def relay_answer(data: bytes) -> None:
    """What a relay answers to each request, with each status and in both forms."""
    head, data = data[:3].ljust(3, b"\0"), data[3:]
    shape = ANSWERS[head[0] % len(ANSWERS)]
    status = STATUSES[head[1] % len(STATUSES)] if head[1] > 0x7F else 200
    line = Line(read_address("https://relay.example"), _Transport(status, MEDIA[head[2] % 2], data), 1.0)
    answer = cast("Any", line.ask("GET", "/v1", shape))
    if shape is wire.Session:
        answers.check_session(line, answer, LIBRARY)
    elif shape is wire.LogPage:
        answers.checked_page(line, answer, 0, 10, (1, 2))
    elif shape is wire.Item:
        answers.checked_envelope(line, answer, LIBRARY, FOUNDER.device_id, 1)
    elif shape is wire.Heads:
        answers.checked_heads(line, answer)
    elif shape is wire.Appended:
        answers.check_appended(line, answer, 3)
    elif shape is wire.BlobStates:
        answers.checked_states(line, answer, [_BLOB])
    elif shape is wire.BlobState:
        answers.checked_upload(line, answer, _BLOB, 10, 200)
    elif shape is wire.MailboxSide:
        answers.checked_side(line, answer)
    elif shape is wire.Letters:
        answers.checked_letters(line, answer)


@target(Unreachable, RelayError, covers=("sync_relay.client_transfers", "sync_relay.client_http"), longest=256)
def blob_answer(data: bytes) -> None:
    """What a relay says of a part of a blob that it sends: its length and its place, a line each, and its bytes."""
    length, place, content = (*data.split(b"\n", 2), b"", b"")[:3]
    fields = ((b"content-length", length), (b"content-range", place))
    line = Line(read_address("https://relay.example"), _Transport(206, wire.BINARY, content, fields), 1.0)
    with Download.open(line, _BLOB, 3, 10, "token") as download:
        same(sum(map(len, download)), download.length, "the bytes of a part of a blob")


@target(Unreachable, covers=("sync_relay.client_events",), longest=1024, values=1)
def relay_news(data: bytes) -> None:
    """What a relay tells through a WebSocket: bytes, or text where they are such."""
    how, data = data[:1], data[1:]
    position = read_position(data if how > b"\x7f" else data.decode("utf-8", "replace"), "the relay")
    same(0 <= position < 1 << 63, True, "a position")


@target(CryptoError, covers=("sync_relay.statements",))
def statement(data: bytes) -> None:
    """A delete or a prune entry: any bytes, or with a signature that holds, by the first byte."""
    how, data = data[:1], data[1:]
    if how > b"\x3f":
        data += signing.sign(FOUNDER.signing_seed, Signed.DELETE, data)
    read_statement(data, LIBRARY)


@target(InvalidUrl, covers=("sync_relay.client_url",), longest=512)
def relay_address(data: bytes) -> None:
    """A relay's address as somebody types it, or as another device wrote it: its form is its only one."""
    url = relay_url(text_of(data))
    same(relay_url(url), url, "a relay's address")
