"""A relay's parts on one storage, asked without HTTP."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sync_relay.server import libraries
from sync_relay.server.blobs import Blobs, Interrupted
from sync_relay.server.sessions import token_bytes
from sync_relay.wire import CreateLibrary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sync_relay.server.parts import Parts
    from tests.sync_relay.conftest import Library

DAY = 86_400


async def found(parts: Parts, library: Library, *, quota: int = 10**9, objects: int = 10**6) -> None:
    invite = await libraries.make_invite(parts, quota_bytes=quota, quota_objects=objects)
    request = CreateLibrary(invite=invite, genesis=library.genesis.entry)
    await libraries.found(parts, request, token_bytes(invite))


async def in_pieces(*pieces: bytes, breaks: bool = False) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if breaks:
        raise Interrupted


async def upload(parts: Parts, library: Library, content: bytes) -> bytes:
    blob_id = hashlib.blake2b(content, digest_size=32).digest()
    state = await Blobs(parts).receive(
        library.genesis.library_id, blob_id, offset=0, size=len(content), body=in_pieces(content)
    )
    assert state.state == "stored"
    return blob_id


async def content_of(parts: Parts, library: Library, blob_id: bytes) -> bytes:
    blobs = Blobs(parts)
    name, size = await blobs.stored(library.genesis.library_id, blob_id)
    return b"".join([piece async for piece in await blobs.read(name, 0, size)])
