"""The log of a library: appending envelopes, reading after a position, and the vector of what is held.

An envelope is taken if its signature holds, its author is or was a member, and it follows what the relay has of that
device's chain: number and hash. Who sends it does not matter, because devices bring each relay what it lacks. Whether
a revoked device's envelope lies past the cut is for devices to decide; they see the revocation.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, bindparam, case, insert, literal, select, tuple_

from crypto.envelope import EnvelopeHeader, envelope_hash, read_header, verify_envelope
from crypto.errors import CryptoError
from sync_relay.errors import ErrorDetails, NoSuchEnvelope, NotAMember, SequenceConflict, SequenceGap
from sync_relay.server import ledger, members, tables
from sync_relay.wire import (
    ALL_KINDS,
    KIND_ENVELOPE,
    KINDS,
    MAX_ITEMS,
    MAX_PAGE_BYTES,
    Appended,
    Head,
    Heads,
    Item,
    LogPage,
    Past,
    kinds_mask,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
    from sqlalchemy.ext.asyncio import AsyncConnection

    from sync_relay.server.parts import Parts

_MOST_SEQ: Final = (1 << 63) - 1
_NO_HEAD: Final = (0, bytes(32))
_AT_ONCE_BYTES: Final = 32 << 10  # checking more than this goes to a thread, so that other requests go on

# Statements of every append, written once: SQLAlchemy takes longer to put one together than to run it.
_INSERT_ITEM: Final = insert(tables.item)
_AUTHORS: Final = (
    select(tables.member.c.device_id, tables.head.c.seq, tables.head.c.hash)
    .join_from(
        tables.member,
        tables.head,
        (tables.head.c.library_id == tables.member.c.library_id)
        & (tables.head.c.device_id == tables.member.c.device_id),
        isouter=True,
    )
    .where(
        tables.member.c.library_id == bindparam("library"),
        tables.member.c.device_id.in_(bindparam("devices", expanding=True)),
    )
)


@dataclass(frozen=True)
class _Checked:
    """An envelope whose signature holds."""

    header: EnvelopeHeader
    hash: bytes
    body: bytes


async def append(parts: Parts, library_id: bytes, envelopes: Sequence[bytes]) -> Appended:
    """Add those envelopes that are new: all of them, or none where one is refused."""
    if sum(map(len, envelopes)) > _AT_ONCE_BYTES:
        checked = await asyncio.to_thread(_check, library_id, envelopes)
    else:
        checked = _check(library_id, envelopes)
    async with parts.database.write() as connection:
        size = sum(len(one.body) for one in checked)
        account = await ledger.take(connection, library_id, len(checked), size=size, objects=len(checked))
        new, heads = await _new_ones(connection, library_id, checked)
        if not new:
            await connection.rollback()
            return Appended(position=account.first - 1, stored=0)
        await ledger.charge(connection, account, sum(len(one.body) for one in new), len(new))
        await connection.execute(
            _INSERT_ITEM,
            [
                {
                    "library_id": library_id,
                    "position": account.first + index,
                    "kind": KIND_ENVELOPE,
                    "device_id": one.header.device_id,
                    "seq": one.header.seq,
                    "hash": one.hash,
                    "size": len(one.body),
                    "body": one.body,
                }
                for index, one in enumerate(new)
            ],
        )
        await set_heads(parts, connection, library_id, heads)
    return Appended(position=account.first + len(checked) - 1, stored=len(new))


async def pull(parts: Parts, library_id: bytes, after: int, limit: int, kinds: int = ALL_KINDS) -> LogPage:
    """Return the items after a position: at most `limit`, and about `MAX_PAGE_BYTES`, but at least one if there is.

    `kinds` leaves others out (`wire.kinds_mask`).
    """
    if kinds & ALL_KINDS == ALL_KINDS:
        return await _read(parts, library_id, select(tables.item), tables.item.c.position, after, limit)
    wanted = [kind for kind in KINDS if kinds_mask([kind]) & kinds]
    position: ColumnElement[int] = tables.item.c.position
    if KIND_ENVELOPE not in wanted:
        # Not the plain column: few items are no envelopes, and the index of kinds finds them, where that of positions
        # would go through the whole log.
        position = position + 0
    return await _read(
        parts, library_id, select(tables.item).where(tables.item.c.kind.in_(wanted)), position, after, limit
    )


async def past(parts: Parts, library_id: bytes, asked: Past) -> LogPage:
    """Return the envelopes past a vector, as `pull` does: of devices it does not name, all of them."""
    covered = {one.device_id: one.seq for one in asked.covered}
    async with parts.database.read() as connection:
        of_library = tables.head.c.library_id == library_id
        heads = await connection.execute(select(tables.head.c.device_id, tables.head.c.seq).where(of_library))
        known = ((head.device_id, head.seq, covered.get(head.device_id, 0)) for head in heads)
        beyond = {device: seq for device, newest, seq in known if newest > seq}
    # Not a join with the vector, which a database may do by going through all of it for each envelope.
    nothing = literal(_MOST_SEQ, BigInteger)
    after = case(beyond, value=tables.item.c.device_id, else_=nothing) if beyond else nothing
    query = select(tables.item).where(tables.item.c.kind == KIND_ENVELOPE, tables.item.c.seq > after)
    return await _read(parts, library_id, query, tables.item.c.position, asked.after, asked.limit)


async def envelope(parts: Parts, library_id: bytes, device_id: bytes, seq: int) -> Item:
    """Return one envelope, or the name of one whose body was pruned; raise `NoSuchEnvelope`."""
    place = (tables.item.c.library_id == library_id, tables.item.c.device_id == device_id, tables.item.c.seq == seq)
    async with parts.database.read() as connection:
        row = (await connection.execute(select(tables.item).where(*place))).first()
    if row is None:
        raise NoSuchEnvelope(f"the relay has no envelope {seq} of device {device_id.hex()[:8]}")
    return _item(row)


async def _read(
    parts: Parts, library_id: bytes, query: Select[Any], position: ColumnElement[int], after: int, limit: int
) -> LogPage:
    """Return a page of what `query` finds among the library's items, by `position`, which is that column's value."""
    limit = min(limit, MAX_ITEMS)
    query = query.where(tables.item.c.library_id == library_id, position > after).order_by(position)
    async with parts.database.read() as connection:
        lengths = query.with_only_columns(tables.item.c.position, tables.item.c.size, maintain_column_froms=True)
        sizes = (await connection.execute(lengths.limit(limit + 1))).all()
        taken = _page(sizes, limit)
        if not taken:
            # Never ahead of what was asked, or a reader would pass over what was appended just now; but behind it,
            # where this relay was put back to an earlier state, which the reader is to notice.
            return LogPage(items=[], position=min(after, await ledger.position(connection, library_id)))
        rows = await connection.execute(query.where(position <= sizes[taken - 1].position))
        items = [_item(row) for row in rows]
    return LogPage(items=items, position=items[-1].position, more=taken < len(sizes))


async def heads(parts: Parts, library_id: bytes) -> Heads:
    """Return the newest envelope of each device that the relay has, or knows to have been pruned, and its entries."""
    async with parts.database.read() as connection:
        # The position first: heads may then be ahead of it, which costs a reader a repeat, and never behind.
        position = await ledger.position(connection, library_id)
        rows = await connection.execute(
            select(tables.head).where(tables.head.c.library_id == library_id).order_by(tables.head.c.device_id)
        )
        return Heads(
            heads=[Head(device_id=row.device_id, seq=row.seq, hash=row.hash) for row in rows],
            position=position,
            entries=await members.digest(connection, library_id),
        )


async def read_heads(
    connection: AsyncConnection, library_id: bytes, devices: Iterable[bytes]
) -> dict[bytes, tuple[int, bytes]]:
    """Return (number, hash) of the newest envelope of each of these devices that has one."""
    rows = await connection.execute(
        select(tables.head).where(
            tables.head.c.library_id == library_id, tables.head.c.device_id.in_(sorted(set(devices)))
        )
    )
    return {row.device_id: (row.seq, row.hash) for row in rows}


@cache
def _upsert_head(*, sqlite: bool) -> SqliteInsert | PostgresInsert:
    # The statement is the same in both, but each has a class of its own for it.
    upsert: SqliteInsert | PostgresInsert
    if sqlite:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        upsert = sqlite_insert(tables.head)
    else:
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        upsert = postgres_insert(tables.head)
    return upsert.on_conflict_do_update(
        index_elements=["library_id", "device_id"], set_={"seq": upsert.excluded.seq, "hash": upsert.excluded.hash}
    )


async def set_heads(
    parts: Parts, connection: AsyncConnection, library_id: bytes, heads: dict[bytes, tuple[int, bytes]]
) -> None:
    """Write the heads of devices anew."""
    upsert = _upsert_head(sqlite=parts.database.is_sqlite)
    await connection.execute(
        upsert,
        [
            {"library_id": library_id, "device_id": device, "seq": seq, "hash": hashed}
            for device, (seq, hashed) in heads.items()
        ],
    )


async def held_hashes(
    connection: AsyncConnection, library_id: bytes, places: Iterable[tuple[bytes, int]]
) -> dict[tuple[bytes, int], bytes]:
    """Return the hashes of the envelopes at these (device, number), though their bodies may be pruned."""
    wanted = sorted(set(places))
    if not wanted:
        return {}
    rows = await connection.execute(
        select(tables.item.c.device_id, tables.item.c.seq, tables.item.c.hash).where(
            tables.item.c.library_id == library_id, tuple_(tables.item.c.device_id, tables.item.c.seq).in_(wanted)
        )
    )
    return {(row.device_id, row.seq): row.hash for row in rows}


async def require_members(connection: AsyncConnection, library_id: bytes, devices: Iterable[bytes]) -> None:
    """Raise `NotAMember` unless each of these devices is or was a member."""
    wanted = set(devices)
    rows = await connection.execute(
        select(tables.member.c.device_id).where(
            tables.member.c.library_id == library_id, tables.member.c.device_id.in_(sorted(wanted))
        )
    )
    strangers = wanted - set(rows.scalars())
    if strangers:
        raise _strangers(strangers)


def _check(library_id: bytes, envelopes: Sequence[bytes]) -> list[_Checked]:
    checked = []
    for index, body in enumerate(envelopes):
        try:
            author = read_header(body).device_id
            header = verify_envelope(body, library_id=library_id, device_id=author)
        except (CryptoError, ValueError) as error:
            known = error if isinstance(error, CryptoError) else CryptoError(str(error))
            raise ledger.refused(known, index) from None
        checked.append(_Checked(header, envelope_hash(body), body))
    return checked


async def _new_ones(
    connection: AsyncConnection, library_id: bytes, checked: Sequence[_Checked]
) -> tuple[list[_Checked], dict[bytes, tuple[int, bytes]]]:
    """Return those that are new, each following the one before it in its chain, and the heads after them."""
    devices = {one.header.device_id for one in checked}
    rows = await connection.execute(_AUTHORS, {"library": library_id, "devices": sorted(devices)})
    heads: dict[bytes, tuple[int, bytes]] = {}
    for row in rows:
        devices.discard(row.device_id)
        if row.seq is not None:
            heads[row.device_id] = (row.seq, row.hash)
    if devices:
        raise _strangers(devices)
    places = ((one.header.device_id, one.header.seq) for one in checked)
    held = await held_hashes(
        connection, library_id, [place for place in places if place[1] <= heads.get(place[0], _NO_HEAD)[0]]
    )
    new = []
    for index, one in enumerate(checked):
        device, seq = one.header.device_id, one.header.seq
        head_seq, head_hash = heads.get(device, _NO_HEAD)
        if seq <= head_seq:
            # Absent: covered by a prune entry before this relay ever saw it, so there is nothing to compare with.
            if held.get((device, seq), one.hash) != one.hash:
                raise _conflict(index, device, seq, held[device, seq])
            continue
        if seq != head_seq + 1:
            raise SequenceGap(
                f"{one.header.name} does not follow: the relay has this device's chain up to {head_seq}",
                hint="Send what is missing first.",
                details=ErrorDetails(index=index, device_id=device, seq=head_seq),
            )
        if one.header.previous != head_hash:
            raise _conflict(index, device, head_seq, head_hash)
        new.append(one)
        held[device, seq] = one.hash
        heads[device] = (seq, one.hash)
    return new, heads


def _strangers(devices: Iterable[bytes]) -> NotAMember:
    return NotAMember(
        "signed by a device that is no member of the library, as far as this relay was told",
        hint="Send the membership entry that adds it first.",
        details=ErrorDetails(device_id=min(devices)),
    )


def _conflict(index: int, device: bytes, seq: int, held: bytes) -> SequenceConflict:
    return SequenceConflict(
        f"the relay holds another envelope {seq} of device {device.hex()[:8]}",
        hint="Two copies of one device are at work, or one of the two is forged. Neither was changed here.",
        details=ErrorDetails(index=index, device_id=device, seq=seq, hash=held),
    )


def _page(sizes: Sequence[Row[int, int]], limit: int) -> int:
    """Return how many of these fit a page."""
    total = 0
    for count, row in enumerate(sizes[:limit]):
        total += row.size
        if count and total > MAX_PAGE_BYTES:
            return count
    return min(len(sizes), limit)


def _item(row: Row[Any]) -> Item:
    if row.body is not None:
        return Item(position=row.position, kind=row.kind, body=row.body)
    return Item(position=row.position, kind=row.kind, device_id=row.device_id, seq=row.seq, hash=row.hash)
