"""Blobs over HTTP: uploads that go on where they stand, downloads of ranges, proofs. All of them stream."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from sync_relay import wire
from sync_relay.errors import ErrorDetails, Malformed, WrongRange
from sync_relay.server.blobs import Interrupted
from sync_relay.server.call import pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message, Send

    from sync_relay.server.call import Call

_SENT_BYTES: Final = 256 << 10
_RANGE: Final = re.compile("bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)


async def upload(call: Call) -> wire.BlobState:
    """`PUT /v1/blobs/{blob}`."""
    blob_id = call.blob_id
    offset, size = call.require_number(wire.UPLOAD_OFFSET), call.require_number(wire.UPLOAD_LENGTH)
    declared = call.request.headers.get("content-length")
    if declared is not None and int(declared) > size - offset:
        # Known before a byte of it is read.
        raise Malformed(
            "the body is longer than what is missing of the blob", details=ErrorDetails(limit=max(0, size - offset))
        )
    return await call.service.blobs.receive(call.library_id, blob_id, offset=offset, size=size, body=_incoming(call))


async def download(call: Call) -> Response:
    """`GET /v1/blobs/{blob}`, and `HEAD` of it."""
    blobs = call.service.blobs
    name, size = await blobs.stored(call.library_id, call.blob_id)
    asked = call.request.headers.get("range")
    start, end = (0, size) if asked is None else read_range(asked, size)
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-store",
        "content-length": str(end - start),
    }
    if asked is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if asked is None else 206
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=wire.BINARY)
    content = await blobs.read(name, start, end)
    limit = call.service.settings.limits.idle_seconds
    return _Patient(limit, _outgoing(call, content), status_code=status, headers=headers, media_type=wire.BINARY)


async def prove(call: Call) -> wire.Proof:
    """`POST /v1/blobs/{blob}/proof`."""
    nonce = call.body_as(wire.Prove).nonce
    return wire.Proof(proof=await call.service.blobs.prove(call.library_id, call.blob_id, nonce))


def read_range(text: str, size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last of `bytes=a-b`, `bytes=a-` or `bytes=-n`.

    Raises `WrongRange` for what the blob does not have, and for several ranges at once, which nobody needs.
    """
    found = _RANGE.fullmatch(text.strip())
    first, last = found.groups() if found else ("", "")
    if first:
        start, end = int(first), min(size, int(last) + 1) if last else size
    elif last:
        start, end = max(0, size - int(last)), size
    else:
        start, end = size, size
    if start >= end:
        raise WrongRange("the blob does not have these bytes", details=ErrorDetails(size=size))
    return start, end


class _Patient(StreamingResponse):
    """A download that ends when its reader takes nothing for too long: it would hold memory, and a connection."""

    def __init__(self, idle_seconds: float, content: AsyncIterator[memoryview], **more: Any) -> None:
        super().__init__(content, **more)
        self._idle_seconds = idle_seconds

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(self._idle_seconds):
                await send(message)

        try:
            await super().stream_response(in_time)
        except TimeoutError:
            raise ClientDisconnect from None


async def _incoming(call: Call) -> AsyncIterator[bytes]:
    call.body_begun = True
    async for piece in pieces(call.request, call.service.settings.limits.idle_seconds):
        call.service.metrics.received.inc(len(piece))
        yield piece
        if call.service.is_stopping:
            raise Interrupted


async def _outgoing(call: Call, content: AsyncIterator[bytes]) -> AsyncIterator[memoryview]:
    async for piece in content:
        call.service.metrics.sent.inc(len(piece))
        # What a socket does not take at once is copied, again and again as it takes more.
        for at in range(0, len(piece), _SENT_BYTES):
            yield memoryview(piece)[at : at + _SENT_BYTES]
