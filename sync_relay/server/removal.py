"""Signed deletes and prune entries, and the sweep that carries them out, and clears away what has expired.

A relay drops nothing but on a member's signed word, and only after a grace: what was deleted by mistake, or by a
stolen device, can be brought back by uploading it again, and a prune entry that should not have been made is seen by
every device before anything goes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, update

from crypto.errors import CryptoError
from sync_relay.errors import ErrorDetails, PruneRefused
from sync_relay.server import ledger, tables
from sync_relay.server.blobs import blob_object, discard_parts
from sync_relay.server.log import held_hashes, read_heads, require_members, set_heads
from sync_relay.statements import Delete, Place, Prune, read_statement
from sync_relay.wire import KIND_DELETE, KIND_ENVELOPE, KIND_PRUNE, Appended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from sync_relay.server.parts import Parts

_SWEEP: Final = 200
"""How many things one transaction of the sweep removes: it must not hold up those who write."""


async def append_statements(parts: Parts, library_id: bytes, statements: Sequence[bytes]) -> Appended:
    """Add those that are new to the log, and begin their grace: all of them, or none where one is refused."""
    read: dict[bytes, tuple[int, bytes, Delete | Prune]] = {}
    for index, statement in enumerate(statements):
        try:
            said = read_statement(statement, library_id)
        except CryptoError as error:
            raise ledger.refused(error, index) from None
        read[hashlib.blake2b(statement, digest_size=32).digest()] = (index, statement, said)
    async with parts.database.write() as connection:
        account = await ledger.take(connection, library_id, len(read))
        known: set[bytes] = set()
        for kind in (KIND_DELETE, KIND_PRUNE):
            known |= await ledger.known_hashes(connection, library_id, kind, read)
        new = {hashed: entry for hashed, entry in read.items() if hashed not in known}
        if not new:
            await connection.rollback()
            return Appended(position=account.first - 1, stored=0)
        await require_members(connection, library_id, (said.device_id for _, _, said in new.values()))
        await ledger.charge(connection, account, sum(len(body) for _, body, _ in new.values()), len(new))
        for position, (hashed, (index, body, said)) in enumerate(new.items(), account.first):
            kind = KIND_DELETE if isinstance(said, Delete) else KIND_PRUNE
            await connection.execute(
                insert(tables.item).values(
                    library_id=library_id, position=position, kind=kind, hash=hashed, size=len(body), body=body
                )
            )
            if isinstance(said, Delete):
                await _begin_delete(parts, connection, said)
            else:
                await _begin_prune(parts, connection, said, index)
    return Appended(position=account.first + len(read) - 1, stored=len(new))


async def sweep(parts: Parts) -> dict[str, int]:
    """Remove whatever's time has come; return how much of what."""
    now = parts.clock()
    swept = {
        "expired": await _sweep_expired(parts, now),
        "blobs": await _sweep_blobs(parts, tables.blob.c.stored & (tables.blob.c.gone_at <= now)),
        "uploads": await _sweep_blobs(
            parts, ~tables.blob.c.stored & (tables.blob.c.updated_at <= now - parts.limits.upload_patience)
        )
        + await _sweep_blobs(parts, ~tables.blob.c.stored & (tables.blob.c.gone_at <= now)),
        "envelopes": await _sweep_prunes(parts, now),
    }
    return {what: count for what, count in swept.items() if count}


async def _begin_delete(parts: Parts, connection: AsyncConnection, said: Delete) -> None:
    await connection.execute(
        update(tables.blob)
        .where(
            tables.blob.c.library_id == said.library_id,
            tables.blob.c.id.in_(said.blobs),
            tables.blob.c.gone_at.is_(None),
        )
        .values(gone_at=parts.clock() + parts.limits.delete_grace)
    )


async def _begin_prune(parts: Parts, connection: AsyncConnection, said: Prune, index: int) -> None:
    library_id = said.library_id
    covered = {place.device_id: place for place in said.covered}
    named = [said.checkpoint, said.confirmation, *said.covered]
    held = await held_hashes(connection, library_id, [(place.device_id, place.seq) for place in named])
    heads = await read_heads(connection, library_id, covered)
    # Of a library that begins here with a checkpoint, nothing can be dropped; what it names comes next.
    is_start = bool(covered) and not held and not heads
    for name, place in (("checkpoint", said.checkpoint), ("confirmation", said.confirmation)):
        if held.get((place.device_id, place.seq)) != place.hash and not is_start:
            raise _refused(index, place, f"its {name} is not at this relay")
        if place.device_id in covered and covered[place.device_id].seq >= place.seq:
            raise _refused(index, place, f"it covers its own {name}, which would go with the rest")
    ahead: dict[bytes, tuple[int, bytes]] = {}
    for place in said.covered:
        if held.get((place.device_id, place.seq), place.hash) != place.hash:
            raise _refused(index, place, "it names another envelope than the relay holds")
        if place.seq > heads.get(place.device_id, (0, b""))[0]:
            # This relay never had those in between, and never will: the chain goes on from here.
            ahead[place.device_id] = (place.seq, place.hash)
    if ahead:
        await set_heads(parts, connection, library_id, ahead)
    under_way = await connection.execute(
        select(tables.prune.c.device_id, tables.prune.c.seq).where(tables.prune.c.library_id == library_id)
    )
    known = {(row.device_id, row.seq) for row in under_way}
    due_at = parts.clock() + parts.limits.prune_grace
    fresh = [
        {"library_id": library_id, "device_id": place.device_id, "seq": place.seq, "due_at": due_at}
        for place in said.covered
        if (place.device_id, place.seq) not in known
    ]
    if fresh:
        await connection.execute(insert(tables.prune), fresh)


def _refused(index: int, place: Place, why: str) -> PruneRefused:
    return PruneRefused(
        f"the prune entry is refused: {why}",
        hint="Bring this relay up to date first. Nothing was pruned.",
        details=ErrorDetails(index=index, device_id=place.device_id, seq=place.seq, hash=place.hash),
    )


async def _sweep_expired(parts: Parts, now: int) -> int:
    count = 0
    async with parts.database.write() as connection:
        expired = select(tables.mailbox.c.number).where(tables.mailbox.c.expires_at <= now)
        await connection.execute(delete(tables.letter).where(tables.letter.c.number.in_(expired)))
        for table in (tables.mailbox, tables.session, tables.used_nonce):
            count += (await connection.execute(delete(table).where(table.c.expires_at <= now))).rowcount
        unused = tables.invite.c.library_id.is_(None) & (tables.invite.c.expires_at <= now)
        count += (await connection.execute(delete(tables.invite).where(unused))).rowcount
    return count


async def _sweep_blobs(parts: Parts, due: object) -> int:
    """Remove blobs: the row first, so that no reader is promised an object that is gone."""
    total = 0
    while True:
        async with parts.database.read() as connection:
            rows = (await connection.execute(select(tables.blob).where(due).limit(_SWEEP))).all()  # type: ignore[arg-type]
        removed = []
        for row in rows:
            async with parts.database.write() as connection:
                await ledger.take(connection, row.library_id, 0)
                gone = await connection.execute(
                    delete(tables.blob).where(
                        tables.blob.c.library_id == row.library_id,
                        tables.blob.c.id == row.id,
                        tables.blob.c.attempt == row.attempt,
                        due,  # type: ignore[arg-type]
                    )
                )
                if gone.rowcount:
                    await ledger.credit(connection, row.library_id, row.size, 1)
                    removed.append(row)
        await parts.objects.delete([blob_object(row.library_id, row.id, row.attempt) for row in removed])
        await discard_parts(parts, [row.attempt for row in removed])
        total += len(removed)
        if len(rows) < _SWEEP or not removed:
            return total


async def _sweep_prunes(parts: Parts, now: int) -> int:
    async with parts.database.read() as connection:
        due = (await connection.execute(select(tables.prune).where(tables.prune.c.due_at <= now))).all()
    total = 0
    for row in due:
        covered = (
            (tables.item.c.library_id == row.library_id)
            & (tables.item.c.kind == KIND_ENVELOPE)
            & (tables.item.c.device_id == row.device_id)
            & (tables.item.c.seq <= row.seq)
            & tables.item.c.body.is_not(None)
        )
        async with parts.database.write() as connection:
            await ledger.take(connection, row.library_id, 0)
            size = await connection.scalar(select(func.sum(tables.item.c.size)).where(covered))
            # The row stays, without its body: it tells readers what was here, and a repeat from a forgery.
            dropped = await connection.execute(update(tables.item).where(covered).values(body=None, size=0))
            await ledger.credit(connection, row.library_id, int(size or 0), 0)
            await connection.execute(
                delete(tables.prune).where(
                    tables.prune.c.library_id == row.library_id,
                    tables.prune.c.device_id == row.device_id,
                    tables.prune.c.seq == row.seq,
                )
            )
            total += dropped.rowcount
    return total
