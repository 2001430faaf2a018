"""Blobs: uploads that resume at any byte, ranges, and proofs that a blob is held.

An upload belongs to the library, not to the device that began it: whoever goes on does so at `received`. What fits
into one part and comes whole, as photos do, is written once and costs one transaction. Everything else is taken in
parts of at most eight megabytes, each an object of its own, and a part counts by a compare-and-set on `received`; what
had arrived when a connection broke is kept as a short part. At the end the parts are hashed while they are put
together. Only a blob whose ciphertext has the hash that is its id is ever `stored`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sync_relay.errors import (
    BlobDamaged,
    ErrorDetails,
    Malformed,
    NoSuchBlob,
    OffsetMismatch,
    QuotaFull,
    TooManyRequests,
)
from sync_relay.server import ledger, tables
from sync_relay.server.objects import ObjectMissing
from sync_relay.wire import MAX_BLOB_BYTES, BlobState, BlobStates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from sync_relay.server.parts import Parts

# Written once: SQLAlchemy takes longer to put a statement together than to run it.
_ROW: Final = select(tables.blob).where(
    tables.blob.c.library_id == bindparam("library"), tables.blob.c.id == bindparam("blob")
)
_ADD_ON_SQLITE: Final = sqlite.insert(tables.blob).on_conflict_do_nothing().returning(tables.blob.c.attempt)
_ADD_ON_POSTGRESQL: Final = postgresql.insert(tables.blob).on_conflict_do_nothing().returning(tables.blob.c.attempt)
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
            upload = _Upload(self._parts, library_id, blob_id, size, offset)
            row = await self._parts.database.look(upload.look)
            if row is not None or offset or size > self._parts.limits.part_bytes:
                row = await upload.open()
                if row.stored:
                    return blob_state(blob_id, row)
            return await upload.run(body) or await self._finish(upload)

    async def _finish(self, upload: _Upload) -> BlobState:
        """Put an upload together once, however often it is asked for: a large one's sender may not wait that long."""
        attempt = upload.attempt
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
        return await self._parts.database.look(lambda connection: _row(connection, library_id, blob_id))


class _Upload:
    """One request's share of an upload."""

    def __init__(self, parts: Parts, library_id: bytes, blob_id: bytes, size: int, offset: int) -> None:
        self._parts = parts
        self._library_id = library_id
        self._blob_id = blob_id
        self._size = size
        self._received = offset
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_open = False
        self.attempt = secrets.token_hex(8)
        """Part of the names of all objects that this upload makes; another one's, once it goes on with that."""

    def look(self, connection: Connection) -> Row[Any] | None:
        """Return the blob's row; if there is none, see whether there is room for it."""
        row = _row(connection, self._library_id, self._blob_id)
        if row is None:
            ledger.require_room(ledger.look(connection, self._library_id), self._size, 1)
        return row

    async def open(self) -> Row[Any]:
        """Make the blob's row, or go on with the upload of which it tells; return it. One that was leaving stays."""
        row = await self._look_again()
        if row is None or row.gone_at is not None:
            row = await self._parts.database.transact(self._make_row)
        if not row.stored and (row.received != self._received or row.size != self._size):
            raise _mismatch(row.received, row.size)
        self.attempt = row.attempt
        self._is_open = True
        return row

    def _make_row(self, connection: Connection) -> Row[Any]:
        # The whole size is counted now: an upload that begins is one that fits.
        account = ledger.count(connection, self._library_id, self._size, 1)
        row = _row(connection, self._library_id, self._blob_id)
        if row is None:
            ledger.require_room(account, self._size, 1)
            values = self._values(stored=False, received=0)
            connection.execute(insert(tables.blob), values)
        else:
            ledger.discount(connection, self._library_id, self._size, 1)
            connection.execute(update(tables.blob).where(_this(self._library_id, self._blob_id)).values(gone_at=None))
        made = _row(connection, self._library_id, self._blob_id)
        if made is None:
            raise RuntimeError("a row is not there that was just made")
        return made

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
        if not self._is_open and (await self.open()).stored:
            raise await self._overtaken()  # also where nothing came yet: an upload that begins has its room
        if not self._waiting:
            return
        content = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        # A name of its own: two senders at one offset must not write over each other.
        name = f"parts/{self.attempt}/{self._received:016x}.{secrets.token_hex(4)}"
        # Not durable: a part that a power cut took is noticed at the end, and the upload begins again.
        await self._parts.objects.put(name, content, durable=False)
        after = self._received + len(content)
        if not await self._parts.database.transact(lambda connection: self._add_part(connection, name, after)):
            await self._parts.objects.delete([name])
            raise await self._overtaken()
        self._received = after

    def _add_part(self, connection: Connection, name: str, after: int) -> bool:
        changed = connection.execute(
            update(tables.blob)
            .where(self._this_attempt(), tables.blob.c.received == self._received)
            .values(received=after, updated_at=self._parts.clock())
        )
        if changed.rowcount == 1:
            connection.execute(insert(tables.part), {"attempt": self.attempt, "start": self._received, "object": name})
        return bool(changed.rowcount == 1)

    async def _finish_at_once(self) -> BlobState:
        """Store a blob that came whole: nobody is told of it before it is hashed, written and synced."""
        # A name of its own: others may be sending the same blob, and what they do to theirs must not harm this one.
        attempt = secrets.token_hex(8)
        name = blob_object(self._library_id, self._blob_id, attempt)
        if not await self._parts.objects.put_checked(name, self._waiting, self._blob_id):
            await self._forget()
            raise _damaged()
        self._waiting.clear()
        self.attempt = attempt
        try:
            before = await self._parts.database.transact(self._add_row)
        except QuotaFull:
            await self._parts.objects.delete([self._object])
            raise
        if before is None:
            return BlobState(id=self._blob_id, state="stored", size=self._size, offset=self._size)
        if before.stored:  # somebody else was first
            await self._parts.objects.delete([self._object])
            return blob_state(self._blob_id, await self.open())
        # Of those who sent it in parts meanwhile, nobody has to go on.
        await discard_parts(self._parts, [before.attempt])
        return blob_state(self._blob_id, await self._current())

    def _add_row(self, connection: Connection) -> Row[Any] | None:
        """Make the row of a stored blob; return the one that was there before, and is left as it is where `stored`."""
        account = ledger.count(connection, self._library_id, self._size, 1)
        adding = _ADD_ON_SQLITE if connection.dialect.name == "sqlite" else _ADD_ON_POSTGRESQL
        values = self._values(stored=True, received=self._size)
        if connection.execute(adding, values).first() is not None:
            ledger.require_room(account, self._size, 1)
            return None
        row = _row(connection, self._library_id, self._blob_id)
        if row is None:
            raise RuntimeError("a row is gone from a library that is locked")
        if row.stored:
            ledger.discount(connection, self._library_id, self._size, 1)
            return row
        ledger.require_room(account, self._size - row.size, 0)
        ledger.discount(connection, self._library_id, row.size, 1)
        connection.execute(
            update(tables.blob).where(_this(self._library_id, self._blob_id)).values(**values, gone_at=None)
        )
        return row

    def _values(self, *, stored: bool, received: int) -> dict[str, Any]:
        return {
            "library_id": self._library_id,
            "id": self._blob_id,
            "attempt": self.attempt,
            "stored": stored,
            "size": self._size,
            "received": received,
            "updated_at": self._parts.clock(),
        }

    async def finish(self) -> BlobState:
        """Put the parts together; whoever else does so at the same time writes the same bytes to the same name."""
        async with self._parts.database.read() as connection:
            names = (
                (
                    await connection.execute(
                        select(tables.part.c.object)
                        .where(tables.part.c.attempt == self.attempt)
                        .order_by(tables.part.c.start)
                    )
                )
                .scalars()
                .all()
            )
        try:
            whole = await self._parts.objects.put_together(self._object, names, self._blob_id)
        except ObjectMissing:
            row = await self._look_again()
            if row is not None and row.stored:
                return blob_state(self._blob_id, row)  # somebody else put it together and cleared the parts away
            await self._forget()
            raise BlobDamaged("the relay lost a part of this upload", hint=_FROM_START) from None
        if not whole:
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
        await discard_parts(self._parts, [self.attempt])
        return blob_state(self._blob_id, state)

    async def _forget(self) -> None:
        """Undo the upload: nothing of bytes that are not what they claim to be is kept or counted."""
        if not self._is_open:
            return
        async with self._parts.database.write() as connection:
            await ledger.take(connection, self._library_id, 0)
            gone = await connection.execute(delete(tables.blob).where(self._this_attempt()))
            if gone.rowcount:
                await ledger.credit(connection, self._library_id, self._size, 1)
        if gone.rowcount:
            await self._parts.objects.delete([self._object])
            await discard_parts(self._parts, [self.attempt])

    async def _current(self) -> Row[Any] | None:
        async with self._parts.database.read() as connection:
            return (
                await connection.execute(
                    select(tables.blob).where(
                        _this(self._library_id, self._blob_id), tables.blob.c.attempt == self.attempt
                    )
                )
            ).first()

    async def _look_again(self) -> Row[Any] | None:
        return await self._parts.database.look(lambda connection: _row(connection, self._library_id, self._blob_id))

    async def _overtaken(self) -> OffsetMismatch:
        row = await self._look_again()
        return _mismatch(row.received if row else 0, row.size if row else self._size)

    @property
    def _object(self) -> str:
        return blob_object(self._library_id, self._blob_id, self.attempt)

    def _this_attempt(self) -> ColumnElement[bool]:
        return _this(self._library_id, self._blob_id) & (tables.blob.c.attempt == self.attempt) & ~tables.blob.c.stored


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


def _row(connection: Connection, library_id: bytes, blob_id: bytes) -> Row[Any] | None:
    return connection.execute(_ROW, {"library": library_id, "blob": blob_id}).first()


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
