"""A damaged `log.db` under repair: what can still be read of it, row by row, and the file that takes its place.

While it is open nobody else can open the log: what takes its place would lack what they wrote meanwhile. It is written
over by SQLite's own backup, in one transaction, so a process that is killed leaves the old file or the new one. Where
not even its first page can be read, nobody can write to it, and the new file is renamed into its place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any, Final, Self

from core.errors import LibraryBusy
from core.log_file import log_errors
from core.private_files import fsync_folder, make_private_folder, open_private, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

_WAIT_S: Final = 2.0
_LEAST_ROW_BYTES: Final = 32
_SIDES: Final = ("", "-wal")


class DamagedLog:
    """A log that may be damaged anywhere, held against all other processes until it is closed."""

    def __init__(self, path: Path) -> None:
        """Open `path`, which may be missing. Raises `LibraryBusy` where another process has it open."""
        self._path = path
        self.damaged = False
        """Whether something was met that cannot be read, in whatever was read so far."""
        self._connection = self._open()
        if self._connection is None:
            self.damaged = True
        else:
            self._look_at_pages(self._connection)

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the log."""
        self.close()

    def close(self) -> None:
        """Let others open the log again."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def rows(self, table: sa.Table) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table whose values have the types they must, in the order in which they came in."""
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        select = f'SELECT rowid, {names} FROM "{table.name}" WHERE rowid '  # noqa: S608  names of our own tables
        kinds = [column.type.python_type for column in table.columns]
        last: int | None = 0
        while last is not None and self._connection is not None:
            try:
                for row in self._connection.execute(f"{select} > ? ORDER BY rowid", (last,)):
                    last = _following(row[0], last)
                    yield from self._fitting(row, kinds)
            except sqlite3.OperationalError as error:
                if "no such" in str(error):  # a log of an older version
                    return
                self.damaged = True
            except sqlite3.DatabaseError:
                self.damaged = True
            else:
                return
            last, row = self._next_readable(select, last)
            yield from self._fitting(row, kinds)

    def value(self, table: sa.Table, column: str, rowid: int) -> bytes:
        """Return one value of a row that `rows` gave."""
        if self._connection is None:
            raise ValueError("this log was closed before")
        with log_errors():
            statement = f'SELECT "{column}" FROM "{table.name}" WHERE rowid = ?'  # noqa: S608  as above
            return bytes(self._connection.execute(statement, (rowid,)).fetchone()[0])

    def replace(self, other: Path) -> None:
        """Put the whole log `other`, which nobody has open, in the place of this one."""
        if self._connection is None:
            with storage_errors("log.db"):
                # What SQLite would take for the newest pages of the new file.
                for side in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + side).unlink(missing_ok=True)
                other.replace(self._path)
                fsync_folder(self._path.parent)
            return
        with log_errors(), contextlib.closing(sqlite3.connect(other)) as source:
            self._connection.execute("PRAGMA synchronous=FULL")
            source.backup(self._connection)
        self.close()

    def _open(self) -> sqlite3.Connection | None:
        if not self._path.is_file() or not self._path.stat().st_size:
            return None
        uri = f"{self._path.resolve().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_WAIT_S, isolation_level=None)
        connection.text_factory = lambda data: data.decode(errors="replace")
        try:
            # A file that is shorter than it says is opened all the same where its schema is open to repairs.
            for pragma in ("writable_schema=ON", "temp_store=MEMORY", "trusted_schema=OFF", "locking_mode=EXCLUSIVE"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            connection.close()
            if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise LibraryBusy(
                    "log.db is damaged, and another process has the library open: nothing was repaired",
                    hint="End it (the app, `sync --watch`, an import), and repeat `safelight verify --repair`.",
                ) from error
            return None
        return connection

    def _look_at_pages(self, connection: sqlite3.Connection) -> None:
        try:
            self.damaged = connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",)
        except sqlite3.DatabaseError:
            self.damaged = True

    def _fitting(self, row: tuple[Any, ...] | None, kinds: list[type]) -> Iterator[tuple[Any, ...]]:
        if row is None:
            return
        if all(isinstance(value, kind) for value, kind in zip(row[1:], kinds, strict=True)):
            yield row[1:]
        else:
            self.damaged = True

    def _next_readable(self, select: str, last: int) -> tuple[int | None, tuple[Any, ...] | None]:
        """Return number and values of the first row past `last` that can be read; None where there is none."""
        if self._connection is None:
            return None, None
        # Every number was taken by a row that is in the file still, and each takes its room.
        for rowid in range(last + 1, self._path.stat().st_size // _LEAST_ROW_BYTES):
            with contextlib.suppress(sqlite3.DatabaseError):
                row = self._connection.execute(f"{select} = ?", (rowid,)).fetchone()
                if row is not None:
                    return rowid, row
        return None, None


def _following(rowid: int, last: int) -> int:
    """Return `rowid`; raises `DatabaseError` unless it follows `last`: a damaged tree of pages leads in circles."""
    if rowid <= last:
        raise sqlite3.DatabaseError("the rows of log.db are out of order")
    return rowid


def copy_aside(path: Path, target: Path) -> list[Path]:
    """Copy `path`, and what SQLite keeps beside it, to `target`, durably; return the copies, the first one first.

    To be called before the log is opened: closing a file gives back the locks this process has on it.
    """
    make_private_folder(target.parent)
    copies = []
    with storage_errors("the copy of log.db"):
        for side in _SIDES:
            source = path.with_name(path.name + side)
            if not source.is_file():
                continue
            copy = target.with_name(target.name + side)
            with source.open("rb") as reading, os.fdopen(open_private(copy), "wb") as writing:
                shutil.copyfileobj(reading, writing, 1 << 20)
                writing.flush()
                os.fsync(writing.fileno())
            copies.append(copy)
        fsync_folder(target.parent)
    return copies
