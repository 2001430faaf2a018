"""What a sign-in may bring along: the membership entries that make its device a member.

A relay that was away while a device was added cannot have heard of it, and a device that it has not heard of gets no
token to tell it. So a sign-in may carry the entries that say it. They are looked at only if a member that the relay
knows stands at the beginning of them, kept only if with them the device is a member, and counted like any others. To
everybody else the answer is that of a library that is not here, so nobody learns anything by trying.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.membership_entry import Admission, read_entry, verify_entry
from sync_relay.server import ledger, members
from sync_relay.wire import KIND_MEMBERSHIP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from crypto.membership_entry import Entry
    from sync_relay.server.parts import Parts
    from sync_relay.wire import SignIn


async def vouched(parts: Parts, request: SignIn) -> dict[bytes, bytes]:
    """Return the entries of a sign-in by their hashes, if they may make its device a member; none otherwise.

    Their form and signatures hold, and some member of the library admitted the device, or one that admitted it, and so
    on. What is cheap to look at comes first: nobody has a relay check many signatures who was not admitted by a member.
    """
    library_id, device_id = request.library_id, request.device_id
    if library_id is None or not request.entries:
        return {}
    try:
        entries = await asyncio.to_thread(_read, request.entries, library_id)
        sponsors = _sponsors(device_id, entries)
        async with parts.database.read() as connection:
            known = await members.known_among(connection, library_id, {device_id, *sponsors})
        # A device that was revoked is never a member again, so nothing it shows needs to be looked at.
        if device_id in known or not any(known.values()):
            return {}
        await asyncio.to_thread(_verify, request.entries, library_id)
    except CryptoError:
        return {}
    return {entry.hash: entry.data for entry in entries}


async def admit(
    connection: AsyncConnection, library_id: bytes, device_id: bytes, entries: Mapping[bytes, bytes]
) -> bool:
    """Keep the `vouched` entries that are new, if the device is a member with them; tell whether any were kept.

    Raises `QuotaFull`, to a device that would be a member. Where nothing is kept, undo the transaction.
    """
    account = await ledger.take(connection, library_id, len(entries))
    known = await ledger.known_hashes(connection, library_id, KIND_MEMBERSHIP, entries)
    new = {hashed: entry for hashed, entry in entries.items() if hashed not in known}
    if not new:
        return False
    held = await members.held_entries(connection, library_id)
    devices, refused = await asyncio.to_thread(members.evaluate, library_id, [*held, *new.values()])
    if not devices.get(device_id) or not refused.keys().isdisjoint(new):
        return False
    await ledger.charge(connection, account, sum(map(len, new.values())), len(new))
    members.require_room(library_id, held, [*new.values()], devices)
    await members.insert_entries(connection, library_id, account.first, new)
    await members.replace_members(connection, library_id, devices)
    return True


def _read(entries: Sequence[bytes], library_id: bytes) -> list[Entry]:
    return [read_entry(entry, library_id) for entry in entries]


def _verify(entries: Sequence[bytes], library_id: bytes) -> None:
    for entry in entries:
        verify_entry(entry, library_id)


def _sponsors(device_id: bytes, entries: Sequence[Entry]) -> set[bytes]:
    """Return who admitted the device, by these entries, and who admitted those, and so on."""
    authors: dict[bytes, set[bytes]] = {}
    for entry in entries:
        if isinstance(entry.content, Admission):
            authors.setdefault(entry.content.device_id, set()).add(entry.author)
    found: set[bytes] = set()
    waiting = [device_id]
    while waiting:
        more = authors.get(waiting.pop(), set()) - found
        found |= more
        waiting += more
    return found - {device_id}
