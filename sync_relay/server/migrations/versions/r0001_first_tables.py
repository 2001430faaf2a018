"""The first tables. A snapshot of its own: later changes of `tables` are later revisions."""

from __future__ import annotations

import secrets
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None


def _id(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(32), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, autoincrement=False)


def _of_library(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["library_id"], ["library.id"], name=f"fk_{table}_library_id")


def upgrade() -> None:
    """Make the tables, the key of this relay's challenges, and the name of its first generation."""
    relay = op.create_table(
        "relay",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_relay"),
    )
    op.bulk_insert(
        relay,
        [
            {"name": "challenge-key", "value": secrets.token_bytes(32)},
            {"name": "generation", "value": secrets.token_bytes(16)},
        ],
    )
    op.create_table(
        "invite",
        _id("hash"),
        _number("quota_bytes"),
        _number("quota_objects"),
        _number("expires_at"),
        _id("library_id", nullable=True),
        sa.PrimaryKeyConstraint("hash", name="pk_invite"),
    )
    op.create_table(
        "library",
        _id("id"),
        _number("position"),
        _number("used_bytes"),
        _number("used_objects"),
        _number("quota_bytes"),
        _number("quota_objects"),
        _number("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_library"),
    )
    op.create_table(
        "member",
        _id("library_id"),
        _id("device_id"),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("library_id", "device_id", name="pk_member"),
        _of_library("member"),
    )
    op.create_index("ix_member_device_id", "member", ["device_id"])
    _log_tables()
    _blob_tables()
    _short_lived_tables()


def _log_tables() -> None:
    op.create_table(
        "item",
        _id("library_id"),
        _number("position"),
        sa.Column("kind", sa.Integer, nullable=False),
        _id("device_id", nullable=True),
        _number("seq", nullable=True),
        _id("hash"),
        _number("size"),
        sa.Column("body", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("library_id", "position", name="pk_item"),
        sa.UniqueConstraint("library_id", "device_id", "seq", name="uq_item_seq"),
        sa.UniqueConstraint("library_id", "kind", "hash", name="uq_item_hash"),
        _of_library("item"),
    )
    op.create_table(
        "head",
        _id("library_id"),
        _id("device_id"),
        _number("seq"),
        _id("hash"),
        sa.PrimaryKeyConstraint("library_id", "device_id", name="pk_head"),
        _of_library("head"),
    )
    op.create_table(
        "prune",
        _id("library_id"),
        _id("device_id"),
        _number("seq"),
        _number("due_at"),
        sa.PrimaryKeyConstraint("library_id", "device_id", "seq", name="pk_prune"),
        _of_library("prune"),
    )
    op.create_index("ix_prune_due_at", "prune", ["due_at"])


def _blob_tables() -> None:
    op.create_table(
        "blob",
        _id("library_id"),
        _id("id"),
        sa.Column("attempt", sa.String(32), nullable=False),
        sa.Column("stored", sa.Boolean, nullable=False),
        _number("size"),
        _number("received"),
        _number("updated_at"),
        _number("gone_at", nullable=True),
        sa.PrimaryKeyConstraint("library_id", "id", name="pk_blob"),
        _of_library("blob"),
    )
    op.create_index("ix_blob_gone_at", "blob", ["gone_at"])
    op.create_table(
        "part",
        sa.Column("attempt", sa.String(32), nullable=False),
        _number("start"),
        sa.Column("object", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("attempt", "start", name="pk_part"),
    )


def _short_lived_tables() -> None:
    op.create_table(
        "session",
        sa.Column("selector", sa.LargeBinary(8), nullable=False),
        _id("hash"),
        _id("library_id"),
        _id("device_id"),
        _number("expires_at"),
        sa.PrimaryKeyConstraint("selector", name="pk_session"),
        _of_library("session"),
    )
    op.create_index("ix_session_expires_at", "session", ["expires_at"])
    op.create_table(
        "used_nonce", _id("hash"), _number("expires_at"), sa.PrimaryKeyConstraint("hash", name="pk_used_nonce")
    )
    op.create_index("ix_used_nonce_expires_at", "used_nonce", ["expires_at"])
    op.create_table(
        "mailbox",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        _id("library_id"),
        _id("owner"),
        _id("joiner", nullable=True),
        _number("expires_at"),
        sa.PrimaryKeyConstraint("number", name="pk_mailbox"),
        _of_library("mailbox"),
    )
    op.create_table(
        "letter",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("owner", sa.Boolean, nullable=False),
        sa.Column("index", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", "owner", "index", name="pk_letter"),
    )


def downgrade() -> None:
    """Nothing to go back to."""
    raise NotImplementedError("these are the first tables")
