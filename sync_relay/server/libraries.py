"""Invites, founding a library, its membership entries, and what the owner may know of all libraries."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from crypto.errors import CryptoError
from crypto.membership import entry_hash, verify_genesis
from sync_relay.errors import ErrorDetails, Forged, InviteRefused, LibraryExists
from sync_relay.server import ledger, members, tables
from sync_relay.server.blobs import blob_object
from sync_relay.server.sessions import new_token, token_hash
from sync_relay.wire import KIND_MEMBERSHIP, Appended, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from sync_relay.server.parts import Parts
    from sync_relay.wire import AppendEntries, CreateLibrary

DEFAULT_QUOTA_BYTES: Final = 50 * 10**9
DEFAULT_QUOTA_OBJECTS: Final = 5_000_000


async def make_invite(parts: Parts, *, quota_bytes: int, quota_objects: int) -> str:
    """Return a new invite: it founds one library, of these quotas, within thirty days."""
    text, token = new_token()
    async with parts.database.write() as connection:
        await connection.execute(
            insert(tables.invite).values(
                hash=token_hash(token),
                quota_bytes=quota_bytes,
                quota_objects=quota_objects,
                expires_at=parts.clock() + parts.limits.invite_seconds,
            )
        )
    return text


async def found(parts: Parts, request: CreateLibrary, invite: bytes | None) -> Usage:
    """Found a library; `invite` are the bytes of the request's invite, None if it is none. Repeats are no error."""
    try:
        genesis = verify_genesis(request.genesis)
    except CryptoError as error:
        raise ledger.refused(error, 0) from None
    entries = _checked_entries(genesis.library_id, request.entries)
    entries.pop(genesis.library_id, None)
    hashed = token_hash(invite or b"")
    with contextlib.suppress(IntegrityError):
        async with parts.database.write() as connection:
            claimed = await _claim(connection, hashed, genesis.library_id, parts.clock())
            if claimed is not None:
                entries = {genesis.library_id: request.genesis, **entries}
                await _insert_library(connection, genesis.library_id, entries, claimed, parts.clock())
                refused = await members.refresh(connection, genesis.library_id)
                _require_none_refused(request.entries, refused)
            return await ledger.usage(connection, genesis.library_id)
    raise LibraryExists("this library is at this relay already", hint="Sign in to it; the invite stays good.")


async def append_entries(parts: Parts, library_id: bytes, request: AppendEntries) -> Appended:
    """Add membership entries that are new, and bring the table of members up to what they say."""
    hashes = _checked_entries(library_id, request.entries)
    async with parts.database.write() as connection:
        account = await ledger.take(connection, library_id, len(hashes))
        known = await ledger.known_hashes(connection, library_id, KIND_MEMBERSHIP, hashes)
        new = {hashed: entry for hashed, entry in hashes.items() if hashed not in known}
        if not new:
            await connection.rollback()
            return Appended(position=account.first - 1, stored=0)
        await ledger.charge(connection, account, sum(map(len, new.values())), len(new))
        held = await members.held_entries(connection, library_id)
        devices, refused = await asyncio.to_thread(members.evaluate, library_id, [*held, *new.values()])
        _require_none_refused(request.entries, refused)
        members.require_room(library_id, held, [*new.values()], devices)
        await members.insert_entries(connection, library_id, account.first, new)
        await members.replace_members(connection, library_id, devices)
        return Appended(position=account.first + len(hashes) - 1, stored=len(new))


async def set_quota(
    parts: Parts, library_id: bytes, *, quota_bytes: int | None = None, quota_objects: int | None = None
) -> Usage:
    """Change what a library may take, and return that; None leaves it. What it holds already stays, over it or not."""
    async with parts.database.write() as connection:
        account = await ledger.take(connection, library_id, 0)
        await connection.execute(
            update(tables.library)
            .where(tables.library.c.id == library_id)
            .values(
                quota_bytes=account.quota_bytes if quota_bytes is None else quota_bytes,
                quota_objects=account.quota_objects if quota_objects is None else quota_objects,
            )
        )
        return await ledger.usage(connection, library_id)


async def remove(parts: Parts, library_id: bytes) -> None:
    """Forget a library: its rows at once, and then its objects. Its devices keep what they have."""
    async with parts.database.write() as connection:
        await ledger.take(connection, library_id, 0)
        blobs = (
            await connection.execute(
                select(tables.blob.c.id, tables.blob.c.attempt).where(tables.blob.c.library_id == library_id)
            )
        ).all()
        attempts = select(tables.blob.c.attempt).where(tables.blob.c.library_id == library_id)
        pieces = (
            await connection.execute(select(tables.part.c.object).where(tables.part.c.attempt.in_(attempts)))
        ).scalars()
        names = [*pieces, *(blob_object(library_id, row.id, row.attempt) for row in blobs)]
        await connection.execute(delete(tables.part).where(tables.part.c.attempt.in_(attempts)))
        mailboxes = select(tables.mailbox.c.number).where(tables.mailbox.c.library_id == library_id)
        await connection.execute(delete(tables.letter).where(tables.letter.c.number.in_(mailboxes)))
        for table in reversed(tables.METADATA.sorted_tables):
            if "library_id" in table.c:
                await connection.execute(delete(table).where(table.c.library_id == library_id))
        await connection.execute(delete(tables.library).where(tables.library.c.id == library_id))
    await parts.objects.delete(names)


async def statistics(parts: Parts) -> dict[str, int]:
    """Return what an owner may know: sums over all libraries, never which."""
    async with parts.database.read() as connection:

        async def number(query: Any) -> int:
            return int(await connection.scalar(query) or 0)

        return {
            "libraries": await number(select(func.count()).select_from(tables.library)),
            "devices": await number(select(func.count()).select_from(tables.member).where(tables.member.c.active)),
            "log_items": await number(select(func.count()).select_from(tables.item)),
            "log_bytes": await number(select(func.sum(tables.item.c.size))),
            "blobs": await number(select(func.count()).select_from(tables.blob).where(tables.blob.c.stored)),
            "blob_bytes": await number(select(func.sum(tables.blob.c.size)).where(tables.blob.c.stored)),
            "uploads": await number(select(func.count()).select_from(tables.blob).where(~tables.blob.c.stored)),
            "quota_bytes": await number(select(func.sum(tables.library.c.quota_bytes))),
            "open_invites": await number(
                select(func.count())
                .select_from(tables.invite)
                .where(tables.invite.c.library_id.is_(None), tables.invite.c.expires_at > parts.clock())
            ),
        }


async def _claim(connection: AsyncConnection, hashed: bytes, library_id: bytes, now: int) -> Any:
    """Give the invite to this library; None if it has it already."""
    row = (await connection.execute(select(tables.invite).where(tables.invite.c.hash == hashed))).first()
    if row is not None and row.library_id == library_id:
        return None
    changed = await connection.execute(
        update(tables.invite)
        .where(tables.invite.c.hash == hashed, tables.invite.c.library_id.is_(None), tables.invite.c.expires_at > now)
        .values(library_id=library_id)
    )
    if row is None or changed.rowcount != 1:
        raise InviteRefused(
            "this invite is unknown, expired, or was used for another library",
            hint="Ask the relay's owner for a new one (`safelight-relay invite`).",
        )
    return row


def _checked_entries(library_id: bytes, entries: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return entries by their hashes, after their form and signatures have been checked."""
    hashes: dict[bytes, bytes] = {}
    for index, entry in enumerate(entries):
        try:
            members.check_entry(library_id, entry)
        except CryptoError as error:
            raise ledger.refused(error, index) from None
        hashes[entry_hash(entry)] = entry
    return hashes


def _require_none_refused(entries: Sequence[bytes], refused: Mapping[bytes, str]) -> None:
    for index, entry in enumerate(entries):
        if entry_hash(entry) in refused:
            raise Forged(
                f"the membership entry can never count: {refused[entry_hash(entry)]}",
                details=ErrorDetails(index=index),
            )


async def _insert_library(
    connection: AsyncConnection, library_id: bytes, entries: dict[bytes, bytes], invite: Any, now: int
) -> None:
    size = sum(map(len, entries.values()))
    await connection.execute(
        insert(tables.library).values(
            id=library_id,
            position=len(entries),
            used_bytes=size,
            used_objects=len(entries),
            quota_bytes=invite.quota_bytes,
            quota_objects=invite.quota_objects,
            created_at=now,
        )
    )
    await members.insert_entries(connection, library_id, 1, entries)
