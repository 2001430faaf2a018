"""`log.db`: the envelopes of every device of the library, and the head of each one's chain.

SQLite through SQLAlchemy Core, in WAL mode with `synchronous=FULL`: a transaction that returned is on the disk. What is
stored is ciphertext, hashes, public keys and numbers. Several processes open the file at once; the write lock is held
for one transaction at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from core.errors import DiskFull, LibraryBusy, LogDamaged, StorageFailed, UnknownFormat
from core.private_files import open_private, storage_errors
from crypto.envelope import MIN_ENVELOPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x53414645  # "SAFE"
_BUSY_TIMEOUT_S = 30.0
_PAGE_OF_ENVELOPES = 32
NO_HASH = bytes(32)
BLOB_PURGED = 1
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_IOERR_SHORT_READ"})
_RESTORE = "Restore `log.db` from a backup; `safelight verify` lists what can still be read."

Vector = dict[bytes, tuple[int, bytes]]
"""Device id -> (sequence number, hash) of the newest envelope that is meant."""

_metadata = sa.MetaData()
_facts = sa.Table(
    "fact", _metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.LargeBinary, nullable=False)
)
_membership = sa.Table(
    "membership",
    _metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("entry", sa.LargeBinary, nullable=False),
)
_envelopes = sa.Table(
    "envelope",
    _metadata,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("device", sa.LargeBinary, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("device", "seq"),
    sqlite_autoincrement=True,
)
_heads = sa.Table(
    "chain_head",
    _metadata,
    sa.Column("device", sa.LargeBinary, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
_relays = sa.Table(
    "relay",  # the id is a keyed hash of the URL, which itself is in the `library` document
    _metadata,
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column("cursor", sa.Integer, nullable=False),
)
_outbox = sa.Table(
    "outbox",
    _metadata,
    sa.Column("relay", sa.LargeBinary, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
)
_blob_states = sa.Table(
    "blob_state",
    _metadata,
    sa.Column("blob", sa.LargeBinary, primary_key=True),
    sa.Column("state", sa.Integer, nullable=False),
)


def _compiled(statement: sa.ClauseElement) -> str:
    """Return the SQL of a statement that every edit runs: making it each time costs more than SQLite's own part."""
    dialect = sqlite.dialect(paramstyle="qmark")
    return str(statement.compile(dialect=dialect))


_READ_HEADS = _compiled(sa.select(_heads.c.device, _heads.c.seq, _heads.c.hash))
_APPEND = _compiled(
    sa.insert(_envelopes).values({name: sa.bindparam(name) for name in ("device", "seq", "hash", "envelope")})
)
_MOVE_HEAD = _compiled(
    (moved := sqlite.insert(_heads).values({name: sa.bindparam(name) for name in ("device", "seq", "hash")}))
    .on_conflict_do_update(index_elements=["device"], set_={"seq": moved.excluded.seq, "hash": moved.excluded.hash})
)  # fmt: skip
_QUEUE = _compiled(
    sa.insert(_outbox).from_select(["relay", "position"], sa.select(_relays.c.id, sa.bindparam("position")))
)


@dataclass(frozen=True)
class StoredEnvelope:
    """An envelope as the log holds it; nothing about it has been checked."""

    position: int
    device: bytes
    seq: int
    hash: bytes
    data: bytes

    def __str__(self) -> str:
        """Name the envelope the way alarms do."""
        return name_envelope(self.device, self.seq)


def name_envelope(device: bytes, seq: int) -> str:
    """Return how messages name the envelope `seq` of `device`."""
    return f"envelope {seq} of device {device.hex()[:12]}"


class Log:
    """One connection to `log.db`."""

    def __init__(self, path: Path) -> None:
        """Open the log at `path`; raises `LogDamaged` or `UnknownFormat`."""
        if not path.is_file():
            raise LogDamaged("log.db is missing", hint=_RESTORE)
        self._closed = False
        self._path = path
        self.damage: LogDamaged | None = None
        """Set where the file is cut off: it is open for reading only, and what lies on whole pages can be read."""
        try:
            self._engine, self._connection = _connect(path)
        except LogDamaged as damage:
            self.damage = damage
            self._engine, self._connection = _connect(path, salvage=True)
        try:
            self._check_version()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, genesis_hash: bytes, genesis: bytes, facts: Mapping[str, bytes]) -> Log:
        """Make the log of a new library."""
        with storage_errors("log.db"):
            os.close(open_private(path))
        engine, connection = _connect(path)
        with _log_errors(), connection:
            connection.exec_driver_sql(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _metadata.create_all(connection)
            connection.execute(sa.insert(_membership).values(hash=genesis_hash, entry=genesis))
            for name, value in facts.items():
                connection.execute(sa.insert(_facts).values(name=name, value=value))
            connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.exec_driver_sql("COMMIT")
        engine.dispose()
        return cls(path)

    def close(self) -> None:
        """Close the connection; the last one of all processes folds the write-ahead log into the file."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(sa.exc.DBAPIError):
            self._connection.close()
        self._engine.dispose()

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed."""
        with _log_errors():
            return int(self._connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def fact(self, name: str) -> bytes | None:
        """Return what the log remembers under `name`."""
        value = self._scalar(sa.select(_facts.c.value).where(_facts.c.name == name))
        return None if value is None else _bytes(value)

    def membership_entry(self, entry_hash: bytes) -> bytes:
        """Return a membership entry; raises `LogDamaged` when the log lacks it."""
        entry = self._scalar(sa.select(_membership.c.entry).where(_membership.c.hash == entry_hash))
        if entry is None:
            raise LogDamaged("log.db lacks the entry that founded the library", hint=_RESTORE)
        return _bytes(entry)

    def heads(self) -> Vector:
        """Return the head of every device's chain."""
        with _log_errors():
            rows = self._connection.exec_driver_sql(_READ_HEADS).all()
        return {_bytes(device): (_number(seq), _bytes(hash_)) for device, seq, hash_ in rows}

    def head(self, device: bytes) -> tuple[int, bytes]:
        """Return (seq, hash) of the newest envelope of `device`; (0, zeros) before the first."""
        return self.heads().get(device, (0, NO_HASH))

    def hash_at(self, device: bytes, seq: int) -> bytes | None:
        """Return the hash that the log has for an envelope, or None."""
        found = self._scalar(sa.select(_envelopes.c.hash).where(_envelopes.c.device == device, _envelopes.c.seq == seq))
        return None if found is None else _bytes(found)

    def envelope(self, device: bytes, seq: int) -> StoredEnvelope | None:
        """Return one envelope, or None."""
        found = self._envelopes(_select_envelopes().where(_envelopes.c.device == device, _envelopes.c.seq == seq))
        return found[0] if found else None

    def after(self, vector: Vector, on_damage: Callable[[LogDamaged], None]) -> Iterator[StoredEnvelope]:
        """Yield the envelopes that lie past `vector`, in the order in which they came in.

        Where the file itself is damaged, `on_damage` is told and reading goes on, envelope by envelope, with what is
        whole.
        """
        known = sa.or_(
            *(sa.and_(_envelopes.c.device == device, _envelopes.c.seq > seq) for device, (seq, _) in vector.items()),
            _envelopes.c.device.not_in(list(vector)),
        )
        position = self._first_position_past(vector) - 1
        while True:
            page = _select_envelopes().where(known, _envelopes.c.position > position).order_by(_envelopes.c.position)
            try:
                envelopes = self._envelopes(page.limit(_PAGE_OF_ENVELOPES))
                _require_order([position, *(stored.position for stored in envelopes)])
            except LogDamaged as damage:
                on_damage(damage)
                yield from self._salvage(range(position + 1, self._last_position() + 1), known)
                return
            yield from envelopes
            if len(envelopes) < _PAGE_OF_ENVELOPES:
                return
            position = envelopes[-1].position

    def newest_first(self, on_damage: Callable[[LogDamaged], None]) -> Iterator[StoredEnvelope]:
        """Yield all envelopes, the last one that came in first; what is damaged is left out, as in `after`."""
        position = 1 << 62
        while True:
            page = _select_envelopes().where(_envelopes.c.position < position).order_by(_envelopes.c.position.desc())
            try:
                envelopes = self._envelopes(page.limit(_PAGE_OF_ENVELOPES))
                _require_order([*(stored.position for stored in reversed(envelopes)), position])
            except LogDamaged as damage:
                on_damage(damage)
                yield from self._salvage(reversed(range(1, min(position, self._last_position() + 1))), sa.true())
                return
            yield from envelopes
            if len(envelopes) < _PAGE_OF_ENVELOPES:
                return
            position = envelopes[-1].position

    def count(self) -> int:
        """Return how many envelopes the log holds."""
        return int(self._scalar(sa.select(sa.func.count()).select_from(_envelopes)))

    def places(self) -> Iterator[tuple[bytes, int]]:
        """Yield (device, seq) of every envelope, by device and ascending, without reading envelopes."""
        rows = self._rows(
            sa.select(_envelopes.c.device, _envelopes.c.seq).order_by(_envelopes.c.device, _envelopes.c.seq)
        )
        for device, seq in rows:
            yield _bytes(device), _number(seq)

    def blobs_in_state(self, state: int) -> set[bytes]:
        """Return the blobs that are in `state`."""
        return {
            _bytes(row[0]) for row in self._rows(sa.select(_blob_states.c.blob).where(_blob_states.c.state == state))
        }

    def page_check(self) -> list[str]:
        """Return what SQLite finds wrong with the file's own structure; raises `LogDamaged` where it gives up."""
        rows = self._rows(sa.text("PRAGMA integrity_check(20)"))
        return [str(row[0]) for row in rows if row[0] != "ok"]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[LogTransaction]:
        """Hold the write lock; leaving the block commits, leaving it by an exception rolls back.

        Raises `LibraryBusy` when another process keeps the lock for longer than 30 s, and `DiskFull`.
        """
        with _log_errors():
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            with _log_errors():
                yield LogTransaction(self._connection)
                self._connection.exec_driver_sql("COMMIT")
        except BaseException:
            with contextlib.suppress(sa.exc.DBAPIError):  # SQLite may have rolled back by itself
                self._connection.exec_driver_sql("ROLLBACK")
            raise

    def _check_version(self) -> None:
        application = int(self._scalar(sa.text("PRAGMA application_id")))
        version = int(self._scalar(sa.text("PRAGMA user_version")))
        if application != _APPLICATION_ID or version < 1:
            raise LogDamaged("log.db is not the log of a library, or was cut off", hint=_RESTORE)
        if version > SCHEMA_VERSION:
            raise UnknownFormat(
                f"log.db has schema version {version}", hint="Update safelight: a newer version wrote this library."
            )

    def _salvage(self, positions: Iterable[int], known: sa.ColumnElement[bool]) -> Iterator[StoredEnvelope]:
        """Read one envelope at a time, leaving out what lies on damaged pages."""
        for position in positions:
            with contextlib.suppress(LogDamaged):
                yield from self._envelopes(_select_envelopes().where(known, _envelopes.c.position == position))

    def _last_position(self) -> int:
        """Return a position that no envelope lies past: the heads count the envelopes, and each takes its room."""
        room = self._path.stat().st_size // MIN_ENVELOPE_BYTES
        try:
            return min(room, sum(seq for seq, _ in self.heads().values()))
        except LogDamaged:
            return room

    def _envelopes(self, statement: sa.Executable) -> list[StoredEnvelope]:
        return [_stored(row) for row in self._rows(statement)]

    def _first_position_past(self, vector: Vector) -> int:
        # With one lookup per device the scan starts where news can be, however long the log is.
        if not vector:
            return 0
        positions = [
            self._scalar(
                sa.select(_envelopes.c.position).where(_envelopes.c.device == device, _envelopes.c.seq == seq + 1)
            )
            for device, (seq, _) in vector.items()
        ]
        strangers = self._scalar(
            sa.select(sa.func.count()).select_from(_heads).where(_heads.c.device.not_in(list(vector)))
        )
        if strangers:
            return 0
        found = [_number(position) for position in positions if position is not None]
        if len(found) == sum(self._has_past(device, seq) for device, (seq, _) in vector.items()):
            return min(found, default=1 << 62)
        return 0

    def _has_past(self, device: bytes, seq: int) -> bool:
        return self.head(device)[0] > seq

    def _rows(self, statement: sa.Executable) -> list[Any]:
        with _log_errors():
            return list(self._connection.execute(statement))

    def _scalar(self, statement: sa.Executable) -> Any:
        with _log_errors():
            return self._connection.execute(statement).scalar()


class LogTransaction:
    """What may be done while the write lock is held."""

    def __init__(self, connection: sa.Connection) -> None:
        """Work on `connection`, which is inside `BEGIN IMMEDIATE`."""
        self._connection = connection

    def append(self, device: bytes, seq: int, envelope_hash: bytes, envelope: bytes) -> None:
        """Append an envelope, move its device's head and queue it for every relay."""
        run = self._connection.exec_driver_sql
        position = run(_APPEND, (device, seq, envelope_hash, envelope)).lastrowid
        run(_MOVE_HEAD, (device, seq, envelope_hash))
        run(_QUEUE, (position,))

    def set_blob_states(self, blobs: list[bytes], state: int) -> None:
        """Remember that `blobs` are in `state`."""
        for blob in blobs:
            statement = sqlite.insert(_blob_states).values(blob=blob, state=state)
            self._connection.execute(statement.on_conflict_do_update(index_elements=["blob"], set_={"state": state}))

    def set_fact(self, name: str, value: bytes) -> None:
        """Remember `value` under `name`."""
        statement = sqlite.insert(_facts).values(name=name, value=value)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def _select_envelopes() -> sa.Select[Any]:
    columns = _envelopes.c
    return sa.select(columns.position, columns.device, columns.seq, columns.hash, columns.envelope)


def _require_order(positions: list[int]) -> None:
    """Raise `LogDamaged` unless positions ascend: a damaged tree of pages can lead in circles."""
    if any(later <= earlier for earlier, later in itertools.pairwise(positions)):
        raise LogDamaged("log.db is damaged: its envelopes are out of order", hint=_RESTORE)


def _stored(row: Any) -> StoredEnvelope:
    return StoredEnvelope(_number(row[0]), _bytes(row[1]), _number(row[2]), _bytes(row[3]), _bytes(row[4]))


def _bytes(value: object) -> bytes:
    # SQLite stores any type in any column; a damaged or edited file makes use of that.
    if not isinstance(value, bytes):
        raise LogDamaged("log.db holds a value of another type than it must", hint=_RESTORE)
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise LogDamaged("log.db holds a value of another type than it must", hint=_RESTORE)
    return value


def _connect(path: Path, *, salvage: bool = False) -> tuple[sa.Engine, sa.Connection]:
    pragmas = ["temp_store=MEMORY", "trusted_schema=OFF"]
    # SQLite refuses a file that is shorter than it says, unless its schema is declared open to repairs.
    pragmas += ["writable_schema=ON", "query_only=ON"] if salvage else ["journal_mode=WAL", "synchronous=FULL"]

    def connect() -> sqlite3.Connection:
        # mode=rw: a log that is gone is an alarm, not an invitation to make an empty one. No implicit transactions:
        # every BEGIN is written out above.
        uri = f"{path.resolve().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.StaticPool, isolation_level="AUTOCOMMIT")
    with _log_errors():
        return engine, engine.connect()


@contextlib.contextmanager
def _log_errors() -> Iterator[None]:
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
    if code in _DAMAGED or code.startswith("SQLITE_CORRUPT"):
        return LogDamaged(f"log.db is damaged ({code})", hint=_RESTORE)
    return StorageFailed(
        f"log.db could not be read or written ({code or error})", hint="Check the folder's owner and disk."
    )
