"""The statements that make the tables of a new database, for a database that is known to be empty."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa


def make_tables(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Make all tables and indexes, none of which is there yet: nothing is asked of the database before."""
    for statement in _statements(metadata):
        connection.exec_driver_sql(statement)


@functools.cache
def _statements(metadata: sa.MetaData) -> tuple[str, ...]:
    # Writing them out takes longer than SQLite takes to carry them out.
    made: list[str] = []

    def note(statement: Any, *_parameters: Any, **_more: Any) -> None:
        made.append(str(statement.compile(dialect=engine.dialect)))

    engine = sa.create_mock_engine("sqlite://", note)
    metadata.create_all(engine, checkfirst=False)
    return tuple(made)
