"""Statements are compiled once a process for all SQLite databases that its tests open.

SQLAlchemy keeps what it compiled for each engine. A program opens a database or two; tests open thousands, and a sixth
of what they did was to compile the same statements over again.
"""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache


@functools.cache
def _of_all(_driver: str) -> LRUCache[Any, Any]:
    return LRUCache(2_000)


def _compiled_cache(engine: Engine) -> Any:
    own = vars(engine).get("own compiled")
    return own if own is None or not isinstance(engine.dialect, SQLiteDialect) else _of_all(engine.dialect.driver)


def _keep_own(engine: Engine, own: Any) -> None:
    vars(engine)["own compiled"] = own


def share() -> None:
    """Have all engines of one driver of SQLite share what was compiled, from now on."""
    setattr(Engine, "_compiled_cache", property(_compiled_cache, _keep_own))  # noqa: B010 (an instance's, to mypy)
    # What is kept is found by the dialect as well: two of one driver speak the same SQL.
    setattr(SQLiteDialect, "__hash__", lambda self: hash(type(self)))  # noqa: B010
    setattr(SQLiteDialect, "__eq__", lambda self, other: type(self) is type(other))  # noqa: B010
