"""Connections to the relay's database, its transactions, and bringing its tables up to date at start.

SQLite runs in WAL with every commit on the disk before it is acknowledged; transactions that write begin as such, and
one at a time within a process, so that none fails because another came first. PostgreSQL needs neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from sync_relay.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Result = TypeVar("Result")

_READ_ONLY: Final = "relay_reads"
_MIGRATION_LOCK: Final = 7_465_001  # of pg_advisory_xact_lock: workers that start together migrate one after the other
_BUSY_MILLISECONDS: Final = 30_000
_PATIENCE: Final = {"connect_timeout": 10, "tcp_user_timeout": 30_000}
"""Seconds and milliseconds until a PostgreSQL that went without a word is an outage; a URL may say otherwise."""
_OUTAGES: Final = (OperationalError, InterfaceError)
_UNUSABLE: Final = "Look whether its disk is full or failing, and who owns the folder; then start the relay again."
_DAMAGED: Final = "If the file is damaged, make the relay anew from a backup: `safelight-relay restore`."


class Database:
    """One database, by its SQLAlchemy URL. `close` it; nothing is open before the first use."""

    def __init__(self, url: str) -> None:
        """Keep the URL and make the pool."""
        self._url = make_url(url)
        self.is_sqlite: Final = self._url.get_backend_name() == "sqlite"
        # Connections are not tried before each use, which would cost as much as a statement: once one of a pool turns
        # out to be gone, the pool makes all of its own anew.
        options: dict[str, Any] = {}
        if not self.is_sqlite:
            patience = {name: value for name, value in _PATIENCE.items() if name not in self._url.query}
            options = {"pool_size": 8, "max_overflow": 4, "connect_args": patience}
        # Parameters of a failed statement are somebody's ids and ciphertext: they stay out of the log.
        self._engine: AsyncEngine = create_async_engine(url, hide_parameters=True, **options)
        if self.is_sqlite:
            self._reading = self._engine.execution_options(**{_READ_ONLY: True})
        else:
            # Connections of their own, on which no statement has a transaction begun and ended around it.
            options |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
            self._reading = create_async_engine(url, hide_parameters=True, **options)
        self._writing = asyncio.Lock() if self.is_sqlite else None
        self._near: Engine | None = None
        if self.is_sqlite:
            event.listen(self._engine.sync_engine, "connect", _configure_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        if self.is_sqlite and self._url.database:
            # Of the same file, but with no thread behind each connection.
            self._near = create_engine(self._url.set(drivername="sqlite"), hide_parameters=True)
            event.listen(self._near, "connect", _configure_sqlite)
            event.listen(self._near, "begin", _begin_sqlite)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that may write: committed at the end, undone if the block raises."""
        async with self._writing or contextlib.nullcontext():
            with self._errors_named():  # around the commit too, which is where a full disk shows
                async with self._engine.begin() as connection:
                    yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection that only reads; what it reads in several statements may be of several moments."""
        with self._errors_named():
            async with self._reading.connect() as connection:
                yield connection

    async def look(self, look: Callable[[Connection], Result]) -> Result:
        """Return what `look` finds, which only reads, a row or two by their keys.

        From SQLite that is read on the spot: a trip to another thread and back takes many times as long, and a
        statement makes several.
        """
        if self._near is not None:
            # What keeps it from being read at once, other than damage, is waited for elsewhere.
            with contextlib.suppress(DatabaseError, sqlite3.Error), self._near.connect() as connection:
                return look(connection.execution_options(**{_READ_ONLY: True}))
        async with self.read() as connection:
            return await connection.run_sync(look)

    async def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Return what `work` does in a transaction: committed at the end, undone if it raises.

        As `write`, but on SQLite one trip to another thread instead of several for each statement.
        """
        if self._near is None:
            async with self.write() as connection:
                return await connection.run_sync(work)
        async with self._writing or contextlib.nullcontext():
            with self._errors_named():
                return await asyncio.to_thread(_transact, self._near, work)

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        # A commit that fails raises the driver's own error; everything else comes wrapped.
        driver = self._engine.dialect.loaded_dbapi
        outages = tuple(
            getattr(driver, name) for name in ("OperationalError", "InterfaceError") if hasattr(driver, name)
        )
        try:
            yield
        except DBAPIError as error:
            outage = error.connection_invalidated or isinstance(error, _OUTAGES) or type(error) is DatabaseError
            if not outage:
                raise
            raise _unavailable(error.orig or error) from error
        except outages as error:
            raise _unavailable(error) from error
        except PoolTimeout as error:
            raise Unavailable("the relay has more to do than it can", hint="Try again in a while.") from error

    async def migrate(self) -> Path | None:
        """Bring the tables up to date; return the copy made of a SQLite file that was behind, if there was one."""
        copy: Path | None = None
        if self.is_sqlite and self._url.database:
            file = Path(self._url.database)
            try:
                copy = await asyncio.to_thread(_prepare_file, file)
            except sqlite3.Error as error:
                raise Unavailable(f"the relay's database cannot be used: {error}", hint=_DAMAGED) from error
            except OSError as error:
                raise Unavailable(f"the relay's folder cannot be used: {error.strerror}", hint=_UNUSABLE) from error
        with self._errors_named():
            async with self._engine.begin() as connection:
                if not self.is_sqlite:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                await connection.run_sync(_upgrade)
        return copy

    async def check(self) -> None:
        """Raise `Unavailable` unless the database answers, with tables of the version this program knows."""
        async with self.read() as connection:
            if await connection.run_sync(_revision) != newest_revision():
                raise Unavailable("the database has tables of another version", hint="Restart the relay.")

    async def close(self) -> None:
        """Close every connection."""
        await self._reading.dispose()
        await self._engine.dispose()
        if self._near is not None:
            self._near.dispose()


def _transact(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    with engine.begin() as connection:
        return work(connection)


@functools.cache
def newest_revision() -> str | None:
    """Return the revision that this program's migrations lead to."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    revision = _revision(connection)
    if revision == newest_revision():
        return
    _require_known(revision)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _require_known(revision: str | None) -> None:
    """Raise `Unavailable` for a revision that none of this program's migrations leads to."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise Unavailable(
            f"the database has tables of revision {revision}, which this version of the relay does not know",
            hint="A newer safelight-relay wrote them: install that one again. To go back for good, see docs/relay.md.",
        )


def _prepare_file(file: Path) -> Path | None:
    """Make the file, for its owner only; copy one that will be migrated: a migration that fails is then no loss."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    head = newest_revision()
    with contextlib.closing(sqlite3.connect(file)) as source:
        if not source.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return None
        row = source.execute("SELECT version_num FROM alembic_version").fetchone()
        if row is None or row[0] == head:
            return None
        _require_known(row[0])
        copy = file.with_name(f"{file.name}.before-{head}-from-{row[0]}")
        copy.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)  # unlike a copy of the file, includes what is in the write-ahead log
        return copy


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin transactions by itself, and late: `_begin_sqlite` does, and says which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_MILLISECONDS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Statements that read see one commit each. A transaction around them would double what a request costs: every
    # call into SQLite is a trip to another thread and back.
    if not connection.get_execution_options().get(_READ_ONLY, False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _unavailable(error: BaseException) -> Unavailable:
    if "disk is full" in str(error):
        return Unavailable(
            "the relay's disk is full", hint="Its owner has to make room. Nothing is lost on your devices."
        )
    return Unavailable(
        f"the relay's database does not answer ({type(error).__name__})",
        hint="Try again; if it stays, the relay's owner finds the cause in its log.",
    )
