"""Pairing mailboxes: where two devices leave each other letters before one of them is a member.

A member opens one and gets its number, the first word of the code it shows. Whoever claims it first is the other
side; there is no third. Letters are few, small and opaque, and the whole box is gone after minutes. That a claimer
knows the code is between the devices (SPAKE2 with confirmation): somebody who claims a box to guess has one guess, at
the device that made the code.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from sync_relay.errors import ErrorDetails, MailboxClaimed, NoSuchMailbox, TooManyRequests
from sync_relay.server import tables
from sync_relay.server.sessions import new_token, token_bytes, token_hash
from sync_relay.wire import MAX_LETTERS, Letters, MailboxSide

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from sync_relay.server.parts import Parts

_ATTEMPTS = 5


async def open_mailbox(parts: Parts, library_id: bytes) -> MailboxSide:
    """Open a mailbox under the smallest free number, which keeps codes short."""
    text, token = new_token()
    for _ in range(_ATTEMPTS):
        try:
            async with parts.database.write() as connection:
                await _clear_expired(parts, connection)
                number = await _free_number(parts, connection, library_id)
                await connection.execute(
                    insert(tables.mailbox).values(
                        number=number,
                        library_id=library_id,
                        owner=token_hash(token),
                        expires_at=parts.clock() + parts.limits.mailbox_seconds,
                    )
                )
                return MailboxSide(number=number, token=text, expires_in=parts.limits.mailbox_seconds)
        except IntegrityError:
            continue  # another worker took the number in the same instant
    raise TooManyRequests("too many mailboxes are being opened", details=ErrorDetails(retry_after=1))


async def claim(parts: Parts, number: int) -> MailboxSide:
    """Become the other side of a mailbox, if nobody is yet."""
    text, token = new_token()
    async with parts.database.write() as connection:
        row = await _mailbox(parts, connection, number)
        changed = await connection.execute(
            update(tables.mailbox)
            .where(tables.mailbox.c.number == number, tables.mailbox.c.joiner.is_(None))
            .values(joiner=token_hash(token))
        )
        if changed.rowcount != 1:
            raise MailboxClaimed(
                "somebody is at this mailbox already",
                hint="Make a new code with `safelight device add`. If it was not you, somebody tried to guess.",
            )
    return MailboxSide(number=number, token=text, expires_in=row.expires_at - parts.clock())


async def leave(parts: Parts, number: int, token: str | None, letter: bytes) -> None:
    """Leave a letter for the other side."""
    async with parts.database.write() as connection:
        _, owner = await _side(parts, connection, number, token)
        mine = (tables.letter.c.number == number) & (tables.letter.c.owner == owner)
        count = int(await connection.scalar(select(func.count()).select_from(tables.letter).where(mine)) or 0)
        if count >= MAX_LETTERS:
            raise MailboxClaimed("this side of the mailbox is full", details=ErrorDetails(limit=MAX_LETTERS))
        await connection.execute(insert(tables.letter).values(number=number, owner=owner, index=count, body=letter))


async def collect(parts: Parts, number: int, token: str | None, after: int) -> Letters:
    """Return what the other side left, without the first `after` letters, and whether there is another side."""
    async with parts.database.read() as connection:
        row, owner = await _side(parts, connection, number, token)
        letters = (
            await connection.execute(
                select(tables.letter.c.body)
                .where(tables.letter.c.number == number, tables.letter.c.owner != owner, tables.letter.c.index >= after)
                .order_by(tables.letter.c.index)
            )
        ).scalars()
        return Letters(letters=list(letters), claimed=row.joiner is not None)


async def close(parts: Parts, number: int, token: str | None) -> None:
    """Empty and remove a mailbox; either side may."""
    async with parts.database.write() as connection:
        await _side(parts, connection, number, token)
        await connection.execute(delete(tables.letter).where(tables.letter.c.number == number))
        await connection.execute(delete(tables.mailbox).where(tables.mailbox.c.number == number))


async def _free_number(parts: Parts, connection: AsyncConnection, library_id: bytes) -> int:
    rows = (await connection.execute(select(tables.mailbox.c.number, tables.mailbox.c.library_id))).all()
    mine = sum(row.library_id == library_id for row in rows)
    if len(rows) >= parts.limits.mailboxes or mine >= parts.limits.mailboxes_per_library:
        raise TooManyRequests(
            "too many pairings are under way",
            hint="Finish or cancel one, or wait until it expires.",
            details=ErrorDetails(retry_after=parts.limits.mailbox_seconds),
        )
    taken = {row.number for row in rows}
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


async def _clear_expired(parts: Parts, connection: AsyncConnection) -> None:
    expired = select(tables.mailbox.c.number).where(tables.mailbox.c.expires_at <= parts.clock())
    await connection.execute(delete(tables.letter).where(tables.letter.c.number.in_(expired)))
    await connection.execute(delete(tables.mailbox).where(tables.mailbox.c.expires_at <= parts.clock()))


async def _mailbox(parts: Parts, connection: AsyncConnection, number: int) -> Row[Any]:
    row = (await connection.execute(select(tables.mailbox).where(tables.mailbox.c.number == number))).first()
    if row is None or row.expires_at <= parts.clock():
        raise _no_such()
    return row


async def _side(parts: Parts, connection: AsyncConnection, number: int, token: str | None) -> tuple[Row[Any], bool]:
    """Return the mailbox, and whether the token is that of the side that opened it."""
    row = await _mailbox(parts, connection, number)
    read = token_bytes(token or "")
    hashed = token_hash(read) if read is not None else bytes(32)
    if hmac.compare_digest(row.owner, hashed):
        return row, True
    if row.joiner is not None and hmac.compare_digest(row.joiner, hashed):
        return row, False
    raise _no_such()


def _no_such() -> NoSuchMailbox:
    return NoSuchMailbox(
        "there is no such mailbox, or it has expired", hint="Make a new code with `safelight device add`."
    )
