"""The relay's tables. Everything in them is ciphertext, public keys, hashes, sizes and times.

Secrets that clients show (tokens, invites) are stored as hashes. A library's row is updated first in every
transaction that adds to it: that takes its lock, so positions are given in the order in which they are committed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

GENERATION_BYTES: Final = 16
CHALLENGE_KEY_BYTES: Final = 32


class StoredBlob(NamedTuple):
    """What a row of a stored blob says."""

    library_id: bytes
    id: bytes
    attempt: str
    size: int


METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _library(*, primary: bool = True) -> Column[bytes]:
    return Column("library_id", LargeBinary(32), ForeignKey("library.id"), primary_key=primary, nullable=False)


relay: Final = Table(
    "relay",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

invite: Final = Table(
    "invite",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("quota_bytes", BigInteger, nullable=False),
    Column("quota_objects", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("library_id", LargeBinary(32)),  # the library it founded
)

library: Final = Table(
    "library",
    METADATA,
    Column("id", LargeBinary(32), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("used_bytes", BigInteger, nullable=False),
    Column("used_objects", BigInteger, nullable=False),
    Column("quota_bytes", BigInteger, nullable=False),
    Column("quota_objects", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

member: Final = Table(
    "member",
    METADATA,
    _library(),
    Column("device_id", LargeBinary(32), primary_key=True),
    Column("active", Boolean, nullable=False),  # false: was revoked; its envelopes are still passed on
    Index("ix_member_device_id", "device_id"),
)

item: Final = Table(
    "item",
    METADATA,
    _library(),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Integer, nullable=False),
    Column("device_id", LargeBinary(32)),  # of envelopes only, as `seq`
    Column("seq", BigInteger),
    Column("hash", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),  # of the body; 0 once it was pruned
    Column("body", LargeBinary),
    UniqueConstraint("library_id", "device_id", "seq", name="uq_item_seq"),
    UniqueConstraint("library_id", "kind", "hash", name="uq_item_hash"),
)

head: Final = Table(
    "head",
    METADATA,
    _library(),
    Column("device_id", LargeBinary(32), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)

prune: Final = Table(
    "prune",
    METADATA,
    _library(),
    Column("device_id", LargeBinary(32), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # covered up to here
    Column("due_at", BigInteger, nullable=False),
    Index("ix_prune_due_at", "due_at"),
)

blob: Final = Table(
    "blob",
    METADATA,
    _library(),
    Column("id", LargeBinary(32), primary_key=True),
    Column("attempt", String(32), nullable=False),  # names this upload's objects: no other attempt touches them
    Column("stored", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("gone_at", BigInteger),  # set by a signed delete
    Index("ix_blob_gone_at", "gone_at"),
    # What is under way is little among what is stored, and the sweep looks for it every hour.
    Index("ix_blob_unfinished", "updated_at", sqlite_where=text("NOT stored"), postgresql_where=text("NOT stored")),
)

part: Final = Table(
    "part",
    METADATA,
    Column("attempt", String(32), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("object", String(200), nullable=False),
)

session: Final = Table(
    "session",
    METADATA,
    Column("selector", LargeBinary(8), primary_key=True),
    Column("hash", LargeBinary(32), nullable=False),
    _library(primary=False),
    Column("device_id", LargeBinary(32), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_session_expires_at", "expires_at"),
)

used_nonce: Final = Table(
    "used_nonce",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_used_nonce_expires_at", "expires_at"),
)

mailbox: Final = Table(
    "mailbox",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    _library(primary=False),
    Column("owner", LargeBinary(32), nullable=False),  # hashes of the two sides' tokens
    Column("joiner", LargeBinary(32)),
    Column("expires_at", BigInteger, nullable=False),
)

letter: Final = Table(
    "letter",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("owner", Boolean, primary_key=True),  # who left it
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
