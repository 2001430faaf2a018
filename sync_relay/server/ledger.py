"""Positions and quotas: what every addition to a library goes through, inside the addition's own transaction.

`take` comes first. It updates the library's row, which locks it, so additions to one library follow one another and
their positions are committed in their order: a reader that has seen position 7 never finds a 6 later. (A sequence of
the database would give numbers out before the commits, and a reader's cursor would skip rows.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, bindparam, select, update

from crypto.errors import CryptoError, FormatError
from sync_relay.errors import ErrorDetails, Forged, Malformed, NotAMember, QuotaFull, RelayError
from sync_relay.server import tables
from sync_relay.wire import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Row
    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True)
class Account:
    """A library's row before `take`. `first` is the first of the positions taken; `counted` is counted already."""

    library_id: bytes
    first: int
    used_bytes: int
    used_objects: int
    quota_bytes: int
    quota_objects: int
    counted: tuple[int, int] = (0, 0)


# Written once: SQLAlchemy takes longer to put a statement together than to run it.
_TAKE: Final = (
    update(tables.library)
    .where(tables.library.c.id == bindparam("this"))
    .values(
        position=tables.library.c.position + bindparam("positions", type_=BigInteger),
        used_bytes=tables.library.c.used_bytes + bindparam("size", type_=BigInteger),
        used_objects=tables.library.c.used_objects + bindparam("objects", type_=BigInteger),
    )
    .returning(tables.library)
)
_LOOK: Final = select(tables.library).where(tables.library.c.id == bindparam("this"))


async def take(
    connection: AsyncConnection, library_id: bytes, positions: int, *, size: int = 0, objects: int = 0
) -> Account:
    """Lock the library and take so many positions; those that stay unused are skipped, which harms nothing.

    `size` and `objects` are what the addition will most likely be: counted here, they cost no statement of their own.
    `charge` has to follow, and is what decides.
    """
    parameters = {"this": library_id, "positions": positions, "size": size, "objects": objects}
    row = (await connection.execute(_TAKE, parameters)).first()
    return _account(row, library_id, positions, size, objects)


def count(connection: Connection, library_id: bytes, size: int, objects: int) -> Account:
    """Lock the library and count so many bytes and objects more; `require_room` has to follow."""
    parameters = {"this": library_id, "positions": 0, "size": size, "objects": objects}
    return _account(connection.execute(_TAKE, parameters).first(), library_id, 0, size, objects)


def look(connection: Connection, library_id: bytes) -> Account:
    """Return what a library takes and may take, as it is at this moment."""
    return _account(connection.execute(_LOOK, {"this": library_id}).first(), library_id, 0, 0, 0)


def _account(row: Row[Any] | None, library_id: bytes, positions: int, size: int, objects: int) -> Account:
    if row is None:
        raise NotAMember("this library is no longer at this relay")
    return Account(
        library_id,
        row.position - positions + 1,
        row.used_bytes - size,
        row.used_objects - objects,
        row.quota_bytes,
        row.quota_objects,
        (size, objects),
    )


async def charge(connection: AsyncConnection, account: Account, size: int, objects: int) -> None:
    """Count so many more bytes and objects to the library; raise `QuotaFull` if they do not fit."""
    require_room(account, size, objects)
    if account.counted != (size, objects):
        await credit(connection, account.library_id, account.counted[0] - size, account.counted[1] - objects)


def require_room(account: Account, size: int, objects: int) -> None:
    """Raise `QuotaFull` if so many more bytes and objects do not fit."""
    for quota, used, more, limit in (
        ("bytes", account.used_bytes, size, account.quota_bytes),
        ("objects", account.used_objects, objects, account.quota_objects),
    ):
        if more > 0 and used + more > limit:
            over = used + more - limit
            raise QuotaFull(
                f"the library's quota at this relay is {limit} {quota}: this would be {over} too many",
                hint="Free space, or ask the relay's owner for a larger quota. Nothing is lost on your devices.",
                details=ErrorDetails(quota=quota, over=over, limit=limit, used=used),
            )


async def credit(connection: AsyncConnection, library_id: bytes, size: int, objects: int) -> None:
    """Count so many bytes and objects less."""
    await connection.run_sync(discount, library_id, size, objects)


def discount(connection: Connection, library_id: bytes, size: int, objects: int) -> None:
    """Count so many bytes and objects less."""
    connection.execute(
        update(tables.library)
        .where(tables.library.c.id == library_id)
        .values(used_bytes=tables.library.c.used_bytes - size, used_objects=tables.library.c.used_objects - objects)
    )


async def position(connection: AsyncConnection, library_id: bytes) -> int:
    """Return where the library's log stands."""
    found = await connection.scalar(select(tables.library.c.position).where(tables.library.c.id == library_id))
    return int(found or 0)


async def usage(connection: AsyncConnection, library_id: bytes) -> Usage:
    """Return what the library takes, and may take."""
    row = (await connection.execute(select(tables.library).where(tables.library.c.id == library_id))).one()
    return Usage(
        library_id=library_id,
        bytes=row.used_bytes,
        objects=row.used_objects,
        quota_bytes=row.quota_bytes,
        quota_objects=row.quota_objects,
    )


async def known_hashes(
    connection: AsyncConnection, library_id: bytes, kind: int, hashes: Iterable[bytes]
) -> frozenset[bytes]:
    """Return which of these the library's log has already."""
    rows = await connection.execute(
        select(tables.item.c.hash).where(
            tables.item.c.library_id == library_id, tables.item.c.kind == kind, tables.item.c.hash.in_(list(hashes))
        )
    )
    return frozenset(row.hash for row in rows)


def refused(error: CryptoError, index: int) -> RelayError:
    """Return what a relay answers when signed bytes do not check; `index` is their place in the request."""
    kind = Malformed if isinstance(error, FormatError) else Forged
    return kind(str(error), hint=error.hint, details=ErrorDetails(index=index))
