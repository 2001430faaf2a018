"""The file `log.db` as SQLite opens it: its connection, and SQLite's errors by our names."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import sqlalchemy as sa

from core.errors import DiskFull, LibraryBusy, LogDamaged, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BUSY_TIMEOUT_S = 30.0
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_IOERR_SHORT_READ"})
RESTORE = "`safelight verify --repair` puts back what relays hold; else restore `log.db` from a backup."


def as_bytes(value: object) -> bytes:
    """Return a column that must hold bytes; raises `LogDamaged`."""
    # SQLite stores any type in any column; a damaged or edited file makes use of that.
    if not isinstance(value, bytes):
        raise LogDamaged("log.db holds a value of another type than it must", hint=RESTORE)
    return value


def as_number(value: object) -> int:
    """Return a column that must hold a number; raises `LogDamaged`."""
    if not isinstance(value, int):
        raise LogDamaged("log.db holds a value of another type than it must", hint=RESTORE)
    return value


def connect(path: Path, *, salvage: bool = False) -> tuple[sa.Engine, sa.Connection]:
    """Open the file, which must be there; with `salvage`, one that is cut off, for reading only."""
    pragmas = ["temp_store=MEMORY", "trusted_schema=OFF"]
    # SQLite refuses a file that is shorter than it says, unless its schema is declared open to repairs.
    pragmas += ["writable_schema=ON", "query_only=ON"] if salvage else ["journal_mode=WAL", "synchronous=FULL"]

    def connection() -> sqlite3.Connection:
        # mode=rw: a log that is gone is an alarm, not an invitation to make an empty one. No implicit transactions:
        # every BEGIN is written out above.
        uri = f"{path.resolve().as_uri()}?mode=rw"
        opened = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            for pragma in pragmas:
                opened.execute(f"PRAGMA {pragma}")
        except BaseException:
            opened.close()
            raise
        return opened

    engine = sa.create_engine(
        "sqlite://", creator=connection, poolclass=sa.pool.StaticPool, isolation_level="AUTOCOMMIT"
    )
    with log_errors():
        return engine, engine.connect()


@contextlib.contextmanager
def log_errors() -> Iterator[None]:
    """Turn SQLite's errors inside the block into `DiskFull`, `LibraryBusy`, `LogDamaged` or `StorageFailed`."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _named(error.orig) from error
    except sqlite3.Error as error:
        raise _named(error) from error


def _named(error: BaseException | None) -> Exception:
    code = getattr(error, "sqlite_errorname", "") or ""
    if code == "SQLITE_FULL":
        return DiskFull(
            "the disk is full: log.db could not take the edit, and nothing of it is stored",
            hint="Free some space and do the edit again; what was acknowledged is safe.",
        )
    if code == "SQLITE_IOERR_SHMSIZE":
        # SQLite's index of the log's newest pages, 32 kB, which readers need as well.
        return DiskFull(
            "the disk is full: there is no room beside log.db for the 32 kB that reading it takes",
            hint="Free some space and try again; what was acknowledged is safe.",
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LibraryBusy(
            "another process is writing to this library and does not finish",
            hint="Wait for it, or end it, and try again.",
        )
    # A schema that was lost, or is another's, makes statements wrong that are not.
    lost = code == "SQLITE_ERROR" and str(error).startswith(("no such table", "no such column", "malformed"))
    if lost or code in _DAMAGED or code.startswith("SQLITE_CORRUPT"):
        return LogDamaged(f"log.db is damaged ({code})", hint=RESTORE)
    return StorageFailed(
        f"log.db could not be read or written ({code or error})", hint="Check the folder's owner and disk."
    )
