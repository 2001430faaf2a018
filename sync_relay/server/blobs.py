"""Blobs: uploads that resume at any byte, ranges, and proofs that a blob is held.

An upload belongs to the library, not to the device that began it: whoever goes on does so at `received`. Bytes are
taken in parts of at most eight megabytes, each an object of its own, and a part counts by a compare-and-set on
`received`; what had arrived when a connection broke is kept as a short part. At the end the parts are hashed while
they are put together. Only a blob whose ciphertext has the hash that is its id is ever `stored`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from crypto.hashing import HASH_BYTES, Blake2b
from sync_relay.errors import BlobDamaged, ErrorDetails, Malformed, NoSuchBlob, OffsetMismatch, TooManyRequests
from sync_relay.server import ledger, tables
from sync_relay.server.objects import ObjectMissing
from sync_relay.wire import MAX_BLOB_BYTES, BlobState, BlobStates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import ColumnElement, Row

    from sync_relay.server.parts import Parts

_FROM_START: Final = "Upload it again, from offset 0."


class Interrupted(Exception):
    """The sender went away in the middle. What had arrived is kept; raised by the body, passed on by `receive`."""


def blob_object(library_id: bytes, blob_id: bytes, attempt: str) -> str:
    """Return the name of a blob's object. Nothing in it comes from a request but bytes spelt in hexadecimal."""
    return f"blobs/{library_id.hex()}/{blob_id.hex()[:2]}/{blob_id.hex()}.{attempt}"


def blob_state(blob_id: bytes, row: Row[Any] | None) -> BlobState:
    """Return what clients see of a row."""
    if row is None:
        return BlobState(id=blob_id, state="absent")
    state = ("stored" if row.gone_at is None else "leaving") if row.stored else "partial"
    gone_at = row.gone_at if row.stored else None
    return BlobState(id=blob_id, state=state, size=row.size, offset=row.received, gone_at=gone_at)


class Blobs:
    """The blobs of all libraries of one relay."""

    def __init__(self, parts: Parts) -> None:
        """Bound how many uploads and proofs are under way at once."""
        self._parts = parts
        self._uploads = asyncio.Semaphore(parts.limits.uploads)
        self._uploads_of: Counter[bytes] = Counter()
        self._proofs = asyncio.Semaphore(parts.limits.proofs)
        self._finishing: dict[str, asyncio.Task[BlobState]] = {}

    async def states(self, library_id: bytes, ids: Sequence[bytes]) -> BlobStates:
        """Return the state of each, in the order asked."""
        async with self._parts.database.read() as connection:
            rows = await connection.execute(
                select(tables.blob).where(tables.blob.c.library_id == library_id, tables.blob.c.id.in_(ids))
            )
            found = {row.id: row for row in rows}
        return BlobStates(blobs=[blob_state(blob_id, found.get(blob_id)) for blob_id in ids])

    async def receive(
        self, library_id: bytes, blob_id: bytes, *, offset: int, size: int, body: AsyncIterator[bytes]
    ) -> BlobState:
        """Take the bytes of `body` as those from `offset` on, of a blob of `size` bytes; return where that leads.

        A blob that is stored is left as it is, and `body` unread; one that was leaving stays.
        """
        if not 1 <= size <= MAX_BLOB_BYTES or not 0 <= offset <= size:
            raise Malformed(
                f"a blob has 1 to {MAX_BLOB_BYTES} bytes, and an upload goes on within them",
                details=ErrorDetails(limit=MAX_BLOB_BYTES),
            )
        async with self._turn(library_id):
            row = await self._open_upload(library_id, blob_id, size)
            if row.stored:
                return blob_state(blob_id, row)
            if row.received != offset or row.size != size:
                raise _mismatch(row.received, row.size)
            upload = _Upload(self._parts, library_id, blob_id, row.attempt, size, offset)
            return await upload.run(body) or await self._finish(row.attempt, upload)

    async def _finish(self, attempt: str, upload: _Upload) -> BlobState:
        """Put an upload together once, however often it is asked for: a large one's sender may not wait that long."""
        task = self._finishing.get(attempt)
        if task is None:
            task = asyncio.create_task(upload.finish())
            self._finishing[attempt] = task
            task.add_done_callback(lambda _done: self._finishing.pop(attempt, None))
        return await asyncio.shield(task)

    @contextlib.asynccontextmanager
    async def _turn(self, library_id: bytes) -> AsyncIterator[None]:
        """Wait for room for an upload; a library that has its share under way is sent away, not to crowd out others."""
        limit = self._parts.limits.uploads_of_one_library
        if self._uploads_of[library_id] >= limit:
            raise TooManyRequests(
                f"{limit} uploads of this library are under way",
                hint="Wait until one of them has ended.",
                details=ErrorDetails(limit=limit, retry_after=1),
            )
        self._uploads_of[library_id] += 1
        try:
            async with self._uploads:
                yield
        finally:
            self._uploads_of[library_id] -= 1
            if not self._uploads_of[library_id]:
                del self._uploads_of[library_id]

    async def stored(self, library_id: bytes, blob_id: bytes) -> tuple[str, int]:
        """Return the object and the size of a blob that is here; raise `NoSuchBlob` for any other."""
        row = await self._row(library_id, blob_id)
        if row is None or not row.stored:
            raise NoSuchBlob("the library has no such blob at this relay, or not the whole of it")
        return blob_object(library_id, blob_id, row.attempt), row.size

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Return the bytes of an object from `start` to before `end`, the first of them read already.

        So a blob whose object is gone is an error that can still be answered, and not a broken download.
        """
        pieces = self._parts.objects.read(name, start, end)
        try:
            first = await anext(pieces)
        except ObjectMissing:
            raise NoSuchBlob(
                "the relay lost this blob: its storage does not have it any more",
                hint="Another device or relay may hold it. The relay's owner should run `safelight-relay doctor`.",
            ) from None

        async def all_of_them() -> AsyncIterator[bytes]:
            yield first
            async for piece in pieces:
                yield piece

        return all_of_them()

    async def prove(self, library_id: bytes, blob_id: bytes, nonce: bytes) -> bytes:
        """Return BLAKE2b-256 keyed with `nonce` over the whole blob, read from storage now."""
        name, _ = await self.stored(library_id, blob_id)
        async with self._proofs:
            try:
                return await self._parts.objects.hash(name, nonce)
            except ObjectMissing:
                raise NoSuchBlob("the relay lost this blob: its storage does not have it any more") from None

    async def _row(self, library_id: bytes, blob_id: bytes) -> Row[Any] | None:
        async with self._parts.database.read() as connection:
            return (await connection.execute(select(tables.blob).where(_this(library_id, blob_id)))).first()

    async def _open_upload(self, library_id: bytes, blob_id: bytes, size: int) -> Row[Any]:
        row = await self._row(library_id, blob_id)
        if row is not None and row.gone_at is None:
            return row
        async with self._parts.database.write() as connection:
            account = await ledger.take(connection, library_id, 0)
            query = select(tables.blob).where(_this(library_id, blob_id))
            row = (await connection.execute(query)).first()
            if row is None:
                # The whole size is counted now: an upload that begins is one that fits.
                await ledger.charge(connection, account, size, 1)
                await connection.execute(
                    insert(tables.blob).values(
                        library_id=library_id,
                        id=blob_id,
                        attempt=secrets.token_hex(8),
                        stored=False,
                        size=size,
                        received=0,
                        updated_at=self._parts.clock(),
                    )
                )
            elif row.gone_at is not None:
                await connection.execute(update(tables.blob).where(_this(library_id, blob_id)).values(gone_at=None))
            return (await connection.execute(query)).one()


class _Upload:
    """One request's share of an upload."""

    def __init__(self, parts: Parts, library_id: bytes, blob_id: bytes, attempt: str, size: int, offset: int) -> None:
        self._parts = parts
        self._library_id = library_id
        self._blob_id = blob_id
        self._attempt = attempt
        self._size = size
        self._received = offset
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    async def run(self, body: AsyncIterator[bytes]) -> BlobState | None:
        """Take what `body` brings; return where that leads, or None if all parts are there."""
        try:
            async for piece in body:
                if self._received + self._waiting_bytes + len(piece) > self._size:
                    raise Malformed("more bytes than the blob was declared to have", hint=_FROM_START)
                self._waiting.append(piece)
                self._waiting_bytes += len(piece)
                if self._waiting_bytes >= self._parts.limits.part_bytes:
                    await self._keep_part()
        except Interrupted:
            await self._keep_part()
            raise
        if self._received == 0 and self._waiting_bytes == self._size:
            return await self._finish_at_once()
        await self._keep_part()
        if self._received < self._size:
            return BlobState(id=self._blob_id, state="partial", size=self._size, offset=self._received)
        return None

    async def _keep_part(self) -> None:
        """Store what waits as a part, if nobody else has gone on with this upload meanwhile."""
        if not self._waiting:
            return
        content = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        # A name of its own: two senders at one offset must not write over each other.
        name = f"parts/{self._attempt}/{self._received:016x}.{secrets.token_hex(4)}"
        # Not durable: a part that a power cut took is noticed at the end, and the upload begins again.
        await self._parts.objects.put(name, content, durable=False)
        after = self._received + len(content)
        async with self._parts.database.write() as connection:
            changed = await connection.execute(
                update(tables.blob)
                .where(self._this_attempt(), tables.blob.c.received == self._received)
                .values(received=after, updated_at=self._parts.clock())
            )
            if changed.rowcount == 1:
                await connection.execute(
                    insert(tables.part).values(attempt=self._attempt, start=self._received, object=name)
                )
        if changed.rowcount != 1:
            await self._parts.objects.delete([name])
            raise await self._overtaken()
        self._received = after

    async def _finish_at_once(self) -> BlobState:
        """Store a small blob that came whole, without ever having been in parts."""
        content = b"".join(self._waiting)
        hasher = Blake2b(HASH_BYTES)
        await asyncio.to_thread(hasher.update, content)
        if hasher.digest() != self._blob_id:
            await self._forget()
            raise _damaged()
        await self._parts.objects.put(self._object, content, durable=True)
        return await self._mark_stored()

    async def finish(self) -> BlobState:
        """Put the parts together; whoever else does so at the same time writes the same bytes to the same name."""
        async with self._parts.database.read() as connection:
            names = (
                (
                    await connection.execute(
                        select(tables.part.c.object)
                        .where(tables.part.c.attempt == self._attempt)
                        .order_by(tables.part.c.start)
                    )
                )
                .scalars()
                .all()
            )
        hasher = Blake2b(HASH_BYTES)

        async def pieces() -> AsyncIterator[bytes]:
            for name in names:
                async for piece in self._parts.objects.read(name):
                    await asyncio.to_thread(hasher.update, piece)
                    yield piece

        try:
            await self._parts.objects.put_stream(self._object, pieces())
        except ObjectMissing:
            state = await self._current()
            if state is not None and state.stored:
                return blob_state(self._blob_id, state)  # somebody else put it together and cleared the parts away
            await self._forget()
            raise BlobDamaged("the relay lost a part of this upload", hint=_FROM_START) from None
        if hasher.digest() != self._blob_id:
            await self._forget()
            raise _damaged()
        return await self._mark_stored()

    async def _mark_stored(self) -> BlobState:
        async with self._parts.database.write() as connection:
            await connection.execute(
                update(tables.blob)
                .where(self._this_attempt())
                .values(stored=True, received=self._size, updated_at=self._parts.clock())
            )
        state = await self._current()
        if state is None or not state.stored:
            await self._parts.objects.delete([self._object])  # deleted for good while it was being put together
            raise await self._overtaken()
        await discard_parts(self._parts, [self._attempt])
        return blob_state(self._blob_id, state)

    async def _forget(self) -> None:
        """Undo the upload: nothing of bytes that are not what they claim to be is kept or counted."""
        async with self._parts.database.write() as connection:
            await ledger.take(connection, self._library_id, 0)
            gone = await connection.execute(delete(tables.blob).where(self._this_attempt()))
            if gone.rowcount:
                await ledger.credit(connection, self._library_id, self._size, 1)
        if gone.rowcount:
            await self._parts.objects.delete([self._object])
            await discard_parts(self._parts, [self._attempt])

    async def _current(self) -> Row[Any] | None:
        async with self._parts.database.read() as connection:
            return (
                await connection.execute(
                    select(tables.blob).where(
                        _this(self._library_id, self._blob_id), tables.blob.c.attempt == self._attempt
                    )
                )
            ).first()

    async def _overtaken(self) -> OffsetMismatch:
        row = await self._current()
        return _mismatch(row.received if row else 0, row.size if row else self._size)

    @property
    def _object(self) -> str:
        return blob_object(self._library_id, self._blob_id, self._attempt)

    def _this_attempt(self) -> ColumnElement[bool]:
        return _this(self._library_id, self._blob_id) & (tables.blob.c.attempt == self._attempt) & ~tables.blob.c.stored


async def discard_parts(parts: Parts, attempts: Sequence[str]) -> None:
    """Delete the parts of uploads that ended, rows last: an object that was missed is found again by its row."""
    among = tables.part.c.attempt.in_(attempts)
    async with parts.database.read() as connection:
        names = (await connection.execute(select(tables.part.c.object).where(among))).scalars().all()
    if names:
        with contextlib.suppress(ObjectMissing):
            await parts.objects.delete(names)
        async with parts.database.write() as connection:
            await connection.execute(delete(tables.part).where(among))


def _this(library_id: bytes, blob_id: bytes) -> ColumnElement[bool]:
    return (tables.blob.c.library_id == library_id) & (tables.blob.c.id == blob_id)


def _mismatch(received: int, size: int) -> OffsetMismatch:
    return OffsetMismatch(
        f"the upload stands at byte {received} of {size}",
        hint="Go on from there.",
        details=ErrorDetails(offset=received, size=size),
    )


def _damaged() -> BlobDamaged:
    return BlobDamaged("what was uploaded does not have the hash that is its id", hint=_FROM_START)
