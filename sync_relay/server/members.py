"""Which devices belong to a library, by its signed membership entries (`crypto.membership`).

The relay needs to know only who may sign in and whose envelopes it passes on. Devices decide about cuts and epochs
themselves, and trust the relay in nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from crypto import membership
from crypto.genesis import verify_genesis
from crypto.membership_entry import Revocation, Rotation, read_entry, verify_entry
from sync_relay.errors import ErrorDetails, QuotaFull
from sync_relay.server import tables
from sync_relay.wire import KIND_MEMBERSHIP, MAX_ENTRIES, entries_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from crypto.membership_entry import Entry


def check_entry(library_id: bytes, entry: bytes) -> None:
    """Check one entry by itself: its form, its library, its signatures.

    Raises what `crypto.membership_entry.verify_entry` raises.
    """
    if membership.entry_hash(entry) == library_id:
        return  # genesis, which was verified when the library was founded
    verify_entry(entry, library_id)


def evaluate(library_id: bytes, entries: Sequence[bytes]) -> tuple[dict[bytes, bool], Mapping[bytes, str]]:
    """Return every device that the entries ever named, and whether it is a member; and the entries that never count.

    `entries` are all that the relay has, checked when they came, genesis first. An entry that builds on others which
    are not here yet gives nobody access until they are.
    """
    genesis = verify_genesis(entries[0], library_id)
    found = membership.evaluate(genesis, [verify_entry(entry, library_id) for entry in entries[1:]])
    devices = dict.fromkeys(found.departed, False) | dict.fromkeys(found.members, True)
    return devices, found.refused


async def libraries_of(connection: AsyncConnection, device_id: bytes, library_id: bytes | None) -> list[bytes]:
    """Return the libraries that a device is a member of, in order: `library_id` only, if that is given."""
    query = select(tables.member.c.library_id).where(tables.member.c.device_id == device_id, tables.member.c.active)
    if library_id is not None:
        query = query.where(tables.member.c.library_id == library_id)
    return sorted((await connection.execute(query)).scalars())


async def known_among(connection: AsyncConnection, library_id: bytes, devices: Collection[bytes]) -> dict[bytes, bool]:
    """Return those of the devices that the library's entries ever named, and whether each is a member."""
    rows = await connection.execute(
        select(tables.member.c.device_id, tables.member.c.active).where(
            tables.member.c.library_id == library_id, tables.member.c.device_id.in_(devices)
        )
    )
    return {row.device_id: row.active for row in rows}


async def held_entries(connection: AsyncConnection, library_id: bytes) -> list[bytes]:
    """Return all entries that the relay has of a library, genesis first."""
    rows = await connection.execute(
        select(tables.item.c.body)
        .where(tables.item.c.library_id == library_id, tables.item.c.kind == KIND_MEMBERSHIP)
        .order_by(tables.item.c.position)
    )
    return list(rows.scalars())


async def digest(connection: AsyncConnection, library_id: bytes) -> bytes:
    """Return the `wire.entries_digest` of all entries that the relay has of a library; the index alone is read."""
    rows = await connection.execute(
        select(tables.item.c.hash).where(tables.item.c.library_id == library_id, tables.item.c.kind == KIND_MEMBERSHIP)
    )
    return entries_digest(rows.scalars())


async def insert_entries(
    connection: AsyncConnection, library_id: bytes, first: int, entries: Mapping[bytes, bytes]
) -> None:
    """Put entries, by their hashes, at the positions from `first` on."""
    await connection.execute(
        insert(tables.item),
        [
            {
                "library_id": library_id,
                "position": first + index,
                "kind": KIND_MEMBERSHIP,
                "hash": hashed,
                "size": len(entry),
                "body": entry,
            }
            for index, (hashed, entry) in enumerate(entries.items())
        ],
    )


def require_room(library_id: bytes, held: Sequence[bytes], new: Sequence[bytes], devices: Mapping[bytes, bool]) -> None:
    """Raise `QuotaFull` if a relay does not keep so many entries; `devices` are as they are with the new ones.

    What a device wrote that has been revoked is not counted: so who fills a relay can be revoked there, and with that
    there is room again. Of all together twice as many are kept, and beyond that the revocation of each device and a
    rotation with it. Few are kept by devices that are not known here: nobody answers for them.
    """
    entries = [read_entry(entry, library_id) for entry in (*held[1:], *new)]
    before, after = entries[: len(held) - 1], entries[len(held) - 1 :]
    used = 1 + sum(devices.get(entry.author, False) for entry in entries)
    over = used - MAX_ENTRIES
    if any(entry.author not in devices for entry in after):
        over = max(over, sum(entry.author not in devices for entry in entries) - MAX_ENTRIES // 8)
    if not _takes_devices_out(before, after, devices):
        over = max(over, 1 + len(entries) - 2 * MAX_ENTRIES)
    if over > 0:
        raise QuotaFull(
            f"a relay keeps {MAX_ENTRIES} membership entries of the devices of a library",
            hint="Look at `safelight device list`: what a device wrote that is revoked does not count.",
            details=ErrorDetails(quota="entries", over=over, limit=MAX_ENTRIES, used=used),
        )


def _takes_devices_out(held: Sequence[Entry], new: Sequence[Entry], devices: Mapping[bytes, bool]) -> bool:
    """Tell whether new entries revoke devices that were not, and do no more than to rotate once for each of them."""
    out = {entry.content.device_id for entry in held if isinstance(entry.content, Revocation)}
    revoked = {entry.content.device_id for entry in new if isinstance(entry.content, Revocation)} - out
    revoked = {device for device in revoked if devices.get(device) is False}
    rotations = sum(isinstance(entry.content, Rotation) for entry in new)
    return len(new) == len(revoked) + rotations and rotations <= len(revoked)


async def refresh(connection: AsyncConnection, library_id: bytes) -> Mapping[bytes, str]:
    """Bring the table of members up to the entries; return which entries can never count, and why."""
    now, refused = evaluate(library_id, await held_entries(connection, library_id))
    await replace_members(connection, library_id, now)
    return refused


async def replace_members(connection: AsyncConnection, library_id: bytes, devices: Mapping[bytes, bool]) -> None:
    """Write the table of members anew: what `evaluate` returned."""
    await connection.execute(delete(tables.member).where(tables.member.c.library_id == library_id))
    await connection.execute(
        insert(tables.member),
        [{"library_id": library_id, "device_id": device, "active": active} for device, active in devices.items()],
    )
