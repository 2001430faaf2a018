"""An index of unfinished uploads: without it, every sweep reads the rows of all blobs."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Make it."""
    unfinished = sa.text("NOT stored")
    op.create_index("ix_blob_unfinished", "blob", ["updated_at"], sqlite_where=unfinished, postgresql_where=unfinished)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_blob_unfinished", "blob")
