"""The tables of `log.db`, and how an older file becomes one of this version.

An envelope is in `envelope` once it is accepted, and never leaves it (but for `superseded`); what may be accepted later
waits in `held`. `chain_head` is the newest accepted place of every device: of its envelopes here, or of what a
checkpoint covers (`base`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA_VERSION = 2

metadata = sa.MetaData()


def _blob(name: str, *, key: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, primary_key=key, nullable=False)


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=key, nullable=False)


facts = sa.Table("fact", metadata, sa.Column("name", sa.Text, primary_key=True), _blob("value"))
# All entries that are not refused, genesis and those that wait for others included.
membership = sa.Table("membership", metadata, sa.Column("hash", sa.LargeBinary, primary_key=True), _blob("entry"))
envelopes = sa.Table(
    "envelope",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True),
    _blob("device"),
    _number("seq"),
    _blob("hash"),
    _blob("envelope"),
    sa.UniqueConstraint("device", "seq"),
    sqlite_autoincrement=True,
)
heads = sa.Table(
    "chain_head", metadata, sa.Column("device", sa.LargeBinary, primary_key=True), _number("seq"), _blob("hash")
)
# The newest place of `device` that an accepted envelope of `author` names.
frontiers = sa.Table(
    "frontier", metadata, _blob("author", key=True), _blob("device", key=True), _number("seq"), _blob("hash")
)
# Places that accepted envelopes name and `envelope` does not hold: what is still to come, or is kept from us.
named = sa.Table(
    "named",
    metadata,
    _blob("device", key=True),
    _number("seq", key=True),
    _blob("hash", key=True),
    _blob("author", key=True),
)
held = sa.Table(
    "held",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True),
    _blob("device"),
    _number("seq"),
    _blob("hash"),
    _blob("previous"),
    _blob("epoch"),
    _blob("envelope"),
    sa.UniqueConstraint("device", "seq", "hash"),
    sqlite_autoincrement=True,
)
bases = sa.Table("base", metadata, sa.Column("device", sa.LargeBinary, primary_key=True), _number("seq"), _blob("hash"))
# Envelopes this device had written under numbers that another copy of it had used; their changes were issued again.
superseded = sa.Table(
    "superseded",
    metadata,
    _blob("device", key=True),
    _number("seq", key=True),
    _blob("hash", key=True),
    _blob("envelope"),
)
relays = sa.Table(
    "relay",  # the id is a keyed hash of the URL, which itself is in the `library` document
    metadata,
    sa.Column("id", sa.LargeBinary, primary_key=True),
    _number("cursor"),
    _blob("generation"),
    _number("blobs_position"),
    _blob("facts"),
)
alarms = sa.Table(
    "alarm",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("id", sa.LargeBinary, unique=True, nullable=False),
    _blob("sealed"),
)
blob_states = sa.Table("blob_state", metadata, sa.Column("blob", sa.LargeBinary, primary_key=True), _number("state"))


def compiled(statement: sa.ClauseElement) -> str:
    """Return the SQL of a statement that runs often: making it each time costs more than SQLite's own part."""
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


def _parameters(names: Iterable[str]) -> dict[str, sa.BindParameter[object]]:
    return {name: sa.bindparam(name) for name in names}


_PLACE = ("device", "seq", "hash")

READ_HEADS = compiled(sa.select(heads.c.device, heads.c.seq, heads.c.hash))
HASH_AT = compiled(
    sa.select(envelopes.c.hash).where(
        envelopes.c.device == sa.bindparam("device"), envelopes.c.seq == sa.bindparam("seq")
    )
)
APPEND = compiled(sa.insert(envelopes).values(_parameters((*_PLACE, "envelope"))))
MOVE_HEAD = compiled(
    (moved := sqlite.insert(heads).values(_parameters(_PLACE))).on_conflict_do_update(
        index_elements=["device"], set_={"seq": moved.excluded.seq, "hash": moved.excluded.hash}
    )
)
NAME_PLACE = compiled(
    (placed := sqlite.insert(frontiers).values(_parameters(("author", *_PLACE)))).on_conflict_do_update(
        index_elements=["author", "device"],
        set_={"seq": placed.excluded.seq, "hash": placed.excluded.hash},
        where=frontiers.c.seq <= placed.excluded.seq,
    )
)
# What moved of others' chains since `author` last said so.
MOVED_SINCE = compiled(
    sa.select(heads.c.device, heads.c.seq, heads.c.hash)
    .select_from(
        heads.outerjoin(
            frontiers, sa.and_(frontiers.c.author == sa.bindparam("author"), frontiers.c.device == heads.c.device)
        )
    )
    .where(heads.c.device != sa.bindparam("own"), heads.c.hash.is_distinct_from(frontiers.c.hash))
    .order_by(heads.c.device)
)


def upgrade(connection: sa.Connection) -> None:
    """Make a file of schema 1 one of schema 2, inside a transaction of the caller's.

    Schema 1 was written by programs that knew no relays yet: their two tables about relays are empty.
    """
    for table in ("relay", "outbox"):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
