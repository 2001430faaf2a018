"""`log.db`: the envelopes of every device of the library, and the head of each one's chain.

SQLite through SQLAlchemy Core, in WAL mode with `synchronous=FULL`: a transaction that returned is on the disk. What is
stored is ciphertext, hashes, public keys and numbers. Several processes open the file at once; the write lock is held
for one transaction at a time. Several threads may use one `Log`: each call, and each transaction, is one at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from core import log_schema as schema
from core.errors import LogDamaged, UnknownFormat
from core.log_file import RESTORE, as_bytes, as_number, connect, log_errors
from core.log_transaction import (
    NO_HASH,
    LogTransaction,
    RelayState,
    StoredEnvelope,
    Vector,
    name_envelope,
    select_from,
    stored,
)
from core.new_tables import make_tables
from core.private_files import open_private, storage_errors
from crypto.envelope import MIN_ENVELOPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = [
    "BLOB_FREED",
    "BLOB_PURGED",
    "NO_HASH",
    "Log",
    "LogTransaction",
    "RelayState",
    "StoredEnvelope",
    "Vector",
    "name_envelope",
]

_APPLICATION_ID = 0x53414645  # "SAFE"
_PAGE_OF_ENVELOPES = 32
BLOB_PURGED = 1
"""Destroyed for good: to be deleted wherever it is."""
BLOB_FREED = 2
"""Removed from this device only, because relays hold it."""

_envelopes = schema.envelopes.c

# What is asked many times in every sync is put together once.
_SELECT = select_from(schema.envelopes)
_FACT = sa.select(schema.facts.c.value).where(schema.facts.c.name == sa.bindparam("name"))
_COUNT_MEMBERSHIP = sa.select(sa.func.count()).select_from(schema.membership)
_BASE = sa.select(schema.bases.c.device, schema.bases.c.seq, schema.bases.c.hash)
_NAMED = sa.select(schema.named.c.device, schema.named.c.seq, schema.named.c.hash, schema.named.c.author)
_RELAY_STATE = sa.select(
    schema.relays.c.cursor, schema.relays.c.generation, schema.relays.c.blobs_position, schema.relays.c.facts
).where(schema.relays.c.id == sa.bindparam("relay"))
_HELD_SIZES = sa.select(
    schema.held.c.device, sa.func.count(), sa.func.sum(sa.func.length(schema.held.c.envelope))
).group_by(schema.held.c.device)
_IN_STATE = sa.select(schema.blob_states.c.blob).where(schema.blob_states.c.state == sa.bindparam("state"))
_LAST_POSITION = sa.select(sa.func.coalesce(sa.func.max(_envelopes.position), 0))
_POSITION = sa.select(_envelopes.position).where(
    _envelopes.device == sa.bindparam("device"), _envelopes.seq == sa.bindparam("seq")
)
_PAST_POSITION = (
    _SELECT.where(_envelopes.position > sa.bindparam("position"))
    .order_by(_envelopes.position)
    .limit(sa.bindparam("most"))
)


class Log:
    """One connection to `log.db`."""

    def __init__(self, path: Path) -> None:
        """Open the log at `path`, bringing one of an older schema up to this one.

        Raises `LogDamaged` or `UnknownFormat`.
        """
        if not path.is_file():
            raise LogDamaged("log.db is missing", hint=RESTORE)
        self._closed = False
        self._path = path
        self.lock = threading.RLock()
        """Held during every call and every transaction; what is remembered of the log goes under it too."""
        self.damage: LogDamaged | None = None
        """Set where the file is cut off: it is open for reading only, and what lies on whole pages can be read."""
        try:
            self._engine, self._connection = connect(path)
        except LogDamaged as damage:
            self.damage = damage
            self._engine, self._connection = connect(path, salvage=True)
        try:
            self._version = self._check_version()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, entries: Mapping[bytes, bytes], facts: Mapping[str, bytes]) -> Log:
        """Make the log of a library that has these membership entries (hash -> entry, genesis included)."""
        with storage_errors("log.db"):
            os.close(open_private(path))
        engine, connection = connect(path)
        with log_errors(), connection:
            connection.exec_driver_sql(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            make_tables(connection, schema.metadata)
            for entry_hash, entry in entries.items():
                connection.execute(sa.insert(schema.membership).values(hash=entry_hash, entry=entry))
            for name, value in facts.items():
                connection.execute(sa.insert(schema.facts).values(name=name, value=value))
            connection.exec_driver_sql(f"PRAGMA user_version={schema.SCHEMA_VERSION}")
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
        with self.lock, log_errors():
            # Asked for at every turn: the driver alone answers in a tenth of the time.
            cursor = self._connection.connection.cursor()
            cursor.execute("PRAGMA data_version")
            ((version,),) = cursor.fetchall()
            cursor.close()
            return int(version)

    def fact(self, name: str) -> bytes | None:
        """Return what the log remembers under `name`."""
        value = self._scalar(_FACT, name=name)
        return None if value is None else as_bytes(value)

    def membership_entries(self) -> dict[bytes, bytes]:
        """Return all membership entries by hash: genesis, those that count, and those that wait for others."""
        rows = self._rows(sa.select(schema.membership.c.hash, schema.membership.c.entry))
        return {as_bytes(entry_hash): as_bytes(entry) for entry_hash, entry in rows}

    def membership_count(self) -> int:
        """Return how many membership entries there are; none is ever removed."""
        return int(self._scalar(_COUNT_MEMBERSHIP))

    def heads(self) -> Vector:
        """Return the newest accepted place of every device, whether its envelope is here or covered by the base."""
        with self.lock, log_errors():
            rows = self._connection.exec_driver_sql(schema.READ_HEADS).all()
        return _vector(rows)

    def head(self, device: bytes) -> tuple[int, bytes]:
        """Return (seq, hash) of the newest envelope of `device`; (0, zeros) before the first."""
        return self.heads().get(device, (0, NO_HASH))

    def base(self) -> Vector:
        """Return what the checkpoints that this log builds on cover; empty if it holds everything from the start."""
        if self._version < schema.SCHEMA_VERSION:
            return {}
        return _vector(self._rows(_BASE))

    def frontiers(self) -> dict[bytes, Vector]:
        """Return, by author, the newest place of each device that an accepted envelope of the author names."""
        columns = schema.frontiers.c
        found: dict[bytes, Vector] = {}
        for author, *place in self._rows(sa.select(columns.author, columns.device, columns.seq, columns.hash)):
            found.setdefault(as_bytes(author), {}).update(_vector([place]))
        return found

    def named(self) -> list[tuple[bytes, int, bytes, bytes]]:
        """Return (device, seq, hash, author) of the places that accepted envelopes name and this log does not hold."""
        rows = self._rows(_NAMED)
        return [(as_bytes(row[0]), as_number(row[1]), as_bytes(row[2]), as_bytes(row[3])) for row in rows]

    def held(self, device: bytes | None = None) -> list[StoredEnvelope]:
        """Return the envelopes (of one device, if given) that are not accepted yet, in the order of their arrival."""
        select = select_from(schema.held).order_by(schema.held.c.position)
        return self._envelopes(select if device is None else select.where(schema.held.c.device == device))

    def held_links(self, device: bytes) -> list[tuple[int, bytes, bytes, bytes]]:
        """Return (seq, hash, hash of the one before, epoch id) of what is held of a device, as it arrived."""
        columns = schema.held.c
        rows = self._rows(
            sa.select(columns.seq, columns.hash, columns.previous, columns.epoch)
            .where(columns.device == device)
            .order_by(columns.position)
        )
        return [(as_number(row[0]), as_bytes(row[1]), as_bytes(row[2]), as_bytes(row[3])) for row in rows]

    def held_envelope(self, device: bytes, seq: int, envelope_hash: bytes) -> bytes:
        """Return the bytes of an envelope that is held; empty if it is not."""
        columns = schema.held.c
        found = self._scalar(
            sa.select(columns.envelope).where(
                columns.device == device, columns.seq == seq, columns.hash == envelope_hash
            )
        )
        return b"" if found is None else as_bytes(found)

    def superseded(self) -> list[StoredEnvelope]:
        """Return the own envelopes whose numbers another copy of this device had used, by device and number."""
        columns = schema.superseded.c
        select = sa.select(sa.literal(0), columns.device, columns.seq, columns.hash, columns.envelope)
        return self._envelopes(select.order_by(columns.device, columns.seq))

    def relay_state(self, relay_id: bytes) -> RelayState:
        """Return what is remembered of a relay; of one that is not known, that nothing was read from it."""
        rows = self._rows(_RELAY_STATE, relay=relay_id)
        if not rows:
            return RelayState()
        cursor, generation, blobs_position, facts = rows[0]
        return RelayState(as_number(cursor), as_bytes(generation), as_number(blobs_position), as_bytes(facts))

    def relays(self) -> set[bytes]:
        """Return the ids of the relays of which something is remembered."""
        return {as_bytes(row[0]) for row in self._rows(sa.select(schema.relays.c.id))}

    def alarms(self) -> list[tuple[bytes, bytes]]:
        """Return (id, sealed) of the alarms of sync, the first that was raised first."""
        columns = schema.alarms.c
        rows = self._rows(sa.select(columns.id, columns.sealed).order_by(columns.position))
        return [(as_bytes(alarm_id), as_bytes(sealed)) for alarm_id, sealed in rows]

    def hash_at(self, device: bytes, seq: int) -> bytes | None:
        """Return the hash that the log has for an envelope, or None."""
        with self.lock, log_errors():
            found = self._connection.exec_driver_sql(schema.HASH_AT, (device, seq)).scalar()
        return None if found is None else as_bytes(found)

    def held_sizes(self) -> dict[bytes, tuple[int, int]]:
        """Return, by device, how many envelopes are held and their size in bytes."""
        rows = self._rows(_HELD_SIZES)
        return {as_bytes(device): (as_number(count), as_number(size)) for device, count, size in rows}

    def envelope(self, device: bytes, seq: int) -> StoredEnvelope | None:
        """Return one envelope, or None."""
        found = self._envelopes(_SELECT.where(_envelopes.device == device, _envelopes.seq == seq))
        return found[0] if found else None

    def envelopes_of(self, device: bytes, after_seq: int, limit: int) -> list[StoredEnvelope]:
        """Return at most `limit` envelopes of `device` with numbers over `after_seq`, ascending."""
        newer = _SELECT.where(_envelopes.device == device, _envelopes.seq > after_seq)
        return self._envelopes(newer.order_by(_envelopes.seq).limit(limit))

    def after(self, vector: Vector, on_damage: Callable[[LogDamaged], None]) -> Iterator[StoredEnvelope]:
        """Yield the envelopes that lie past `vector`, in the order in which they came in.

        Where the file itself is damaged, `on_damage` is told and reading goes on, envelope by envelope, with what is
        whole.
        """
        known = sa.or_(
            *(sa.and_(_envelopes.device == device, _envelopes.seq > seq) for device, (seq, _) in vector.items()),
            _envelopes.device.not_in(list(vector)),
        )
        position = self._first_position_past(vector) - 1
        while True:
            page = _SELECT.where(known, _envelopes.position > position).order_by(_envelopes.position)
            try:
                envelopes = self._envelopes(page.limit(_PAGE_OF_ENVELOPES))
                _require_order([position, *(stored.position for stored in envelopes)])
            except LogDamaged as damage:
                on_damage(damage)
                yield from self._salvage(range(position + 1, self._position_bound() + 1), known)
                return
            yield from envelopes
            if len(envelopes) < _PAGE_OF_ENVELOPES:
                return
            position = envelopes[-1].position

    def past_position(self, position: int, limit: int) -> list[StoredEnvelope]:
        """Return at most `limit` of the envelopes that came in after `position`, in that order."""
        return self._envelopes(_PAST_POSITION, position=position, most=limit)

    def newest_first(self, on_damage: Callable[[LogDamaged], None]) -> Iterator[StoredEnvelope]:
        """Yield all envelopes, the last one that came in first; what is damaged is left out, as in `after`."""
        position = 1 << 62
        while True:
            page = _SELECT.where(_envelopes.position < position).order_by(_envelopes.position.desc())
            try:
                envelopes = self._envelopes(page.limit(_PAGE_OF_ENVELOPES))
                _require_order([*(stored.position for stored in reversed(envelopes)), position])
            except LogDamaged as damage:
                on_damage(damage)
                yield from self._salvage(reversed(range(1, min(position, self._position_bound() + 1))), sa.true())
                return
            yield from envelopes
            if len(envelopes) < _PAGE_OF_ENVELOPES:
                return
            position = envelopes[-1].position

    def count(self) -> int:
        """Return how many envelopes the log holds."""
        return int(self._scalar(sa.select(sa.func.count()).select_from(schema.envelopes)))

    def last_position(self) -> int:
        """Return the position of the envelope that came in last; 0 while there is none."""
        return as_number(self._scalar(_LAST_POSITION))

    def places(self) -> Iterator[tuple[bytes, int]]:
        """Yield (device, seq) of every envelope, by device and ascending, without reading envelopes."""
        rows = self._rows(sa.select(_envelopes.device, _envelopes.seq).order_by(_envelopes.device, _envelopes.seq))
        for device, seq in rows:
            yield as_bytes(device), as_number(seq)

    def blobs_in_state(self, state: int) -> set[bytes]:
        """Return the blobs that are in `state`."""
        return {as_bytes(row[0]) for row in self._rows(_IN_STATE, state=state)}

    def some_blobs_in_state(self, state: int, start: bytes, most: int) -> list[bytes]:
        """Return at most `most` blobs that are in `state`: those from `start` on, and then from the lowest on."""
        blob = schema.blob_states.c.blob
        query = sa.select(blob).where(schema.blob_states.c.state == state).order_by(blob)
        found = [as_bytes(row[0]) for row in self._rows(query.where(blob >= start).limit(most))]
        left = most - len(found)
        return found + [as_bytes(row[0]) for row in self._rows(query.where(blob < start).limit(left))]

    def page_check(self) -> list[str]:
        """Return what SQLite finds wrong with the file's own structure; raises `LogDamaged` where it gives up."""
        rows = self._rows(sa.text("PRAGMA integrity_check(20)"))
        return [str(row[0]) for row in rows if row[0] != "ok"]

    @property
    def in_transaction(self) -> bool:
        """Whether this thread holds the write lock."""
        with self.lock:
            driver = self._connection.connection.driver_connection
            return isinstance(driver, sqlite3.Connection) and driver.in_transaction

    @contextlib.contextmanager
    def transaction(self) -> Iterator[LogTransaction]:
        """Hold the write lock; leaving the block commits, leaving it by an exception rolls back.

        Raises `LibraryBusy` when another process keeps the lock for longer than 30 s, and `DiskFull`.
        """
        with self.lock:
            with log_errors():
                self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                with log_errors():
                    yield LogTransaction(self._connection)
                    self._connection.exec_driver_sql("COMMIT")
            except BaseException:
                with contextlib.suppress(sa.exc.DBAPIError):  # SQLite may have rolled back by itself
                    self._connection.exec_driver_sql("ROLLBACK")
                raise

    def _check_version(self) -> int:
        application = int(self._scalar(sa.text("PRAGMA application_id")))
        version = self._stored_version()
        if application != _APPLICATION_ID or version < 1:
            raise LogDamaged("log.db is not the log of a library, or was cut off", hint=RESTORE)
        if version > schema.SCHEMA_VERSION:
            raise UnknownFormat(
                f"log.db has schema version {version}", hint="Update safelight: a newer version wrote this library."
            )
        if version < schema.SCHEMA_VERSION and self.damage is None:
            with self.transaction():
                if self._stored_version() < schema.SCHEMA_VERSION:  # another process may have been faster
                    schema.upgrade(self._connection)
            return schema.SCHEMA_VERSION
        return version

    def _stored_version(self) -> int:
        return int(self._scalar(sa.text("PRAGMA user_version")))

    def _salvage(self, positions: Iterable[int], known: sa.ColumnElement[bool]) -> Iterator[StoredEnvelope]:
        """Read one envelope at a time, leaving out what lies on damaged pages."""
        for position in positions:
            with contextlib.suppress(LogDamaged):
                yield from self._envelopes(_SELECT.where(known, _envelopes.position == position))

    def _position_bound(self) -> int:
        """Return a position that no envelope lies past, whatever of the file can be read.

        Every position was taken by an envelope that is in the file still, and each takes its room.
        """
        room = self._path.stat().st_size // MIN_ENVELOPE_BYTES
        try:
            return min(room, sum(seq for seq, _ in self.heads().values()) + self._superseded_count())
        except LogDamaged:
            return room

    def _superseded_count(self) -> int:
        if self._version < schema.SCHEMA_VERSION:
            return 0
        return int(self._scalar(sa.select(sa.func.count()).select_from(schema.superseded)))

    def _envelopes(self, statement: sa.Executable, **values: object) -> list[StoredEnvelope]:
        return [stored(row) for row in self._rows(statement, **values)]

    def _first_position_past(self, vector: Vector) -> int:
        # With one lookup per device the scan starts where news can be, however long the log is.
        if not vector:
            return 0
        positions = [self._scalar(_POSITION, device=device, seq=seq + 1) for device, (seq, _) in vector.items()]
        strangers = self._scalar(
            sa.select(sa.func.count()).select_from(schema.heads).where(schema.heads.c.device.not_in(list(vector)))
        )
        if strangers:
            return 0
        found = [as_number(position) for position in positions if position is not None]
        heads = self.heads()
        if len(found) == sum(heads.get(device, (0, NO_HASH))[0] > seq for device, (seq, _) in vector.items()):
            return min(found, default=1 << 62)
        return 0

    def _rows(self, statement: sa.Executable, **values: object) -> list[Any]:
        with self.lock, log_errors():
            return list(self._connection.execute(statement, values))

    def _scalar(self, statement: sa.Executable, **values: object) -> Any:
        with self.lock, log_errors():
            return self._connection.execute(statement, values).scalar()


def _vector(rows: Iterable[Any]) -> Vector:
    return {as_bytes(device): (as_number(seq), as_bytes(hash_)) for device, seq, hash_ in rows}


def _require_order(positions: list[int]) -> None:
    """Raise `LogDamaged` unless positions ascend: a damaged tree of pages can lead in circles."""
    if any(later <= earlier for earlier, later in itertools.pairwise(positions)):
        raise LogDamaged("log.db is damaged: its envelopes are out of order", hint=RESTORE)
