"""What may be done to `log.db` while its write lock is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from core import log_schema as schema
from core.log_file import as_bytes, as_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NO_HASH = bytes(32)

Vector = dict[bytes, tuple[int, bytes]]
"""Device id -> (sequence number, hash) of the newest envelope that is meant."""

NOTHING: Mapping[bytes, tuple[int, bytes]] = {}


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


@dataclass(frozen=True)
class RelayState:
    """What this device remembers of one relay.

    `cursor` is the relay's position up to which its log was read, in its history `generation`; `blobs_position` the
    position of this log up to which all blobs that envelopes name were seen stored there; `facts` is sealed by whoever
    writes it.
    """

    cursor: int = 0
    generation: bytes = b""
    blobs_position: int = 0
    facts: bytes = b""


class LogTransaction:
    """One transaction; what it stores counts once it is committed."""

    def __init__(self, connection: sa.Connection) -> None:
        """Work on `connection`, which is inside `BEGIN IMMEDIATE`."""
        self._connection = connection

    def append(
        self,
        device: bytes,
        seq: int,
        envelope_hash: bytes,
        envelope: bytes,
        frontier: Mapping[bytes, tuple[int, bytes]] = NOTHING,
    ) -> None:
        """Append an envelope that is accepted, move its device's head, and note what its `frontier` names."""
        run = self._connection.exec_driver_sql
        run(schema.APPEND, (device, seq, envelope_hash, envelope))
        run(schema.MOVE_HEAD, (device, seq, envelope_hash))
        for other, (other_seq, other_hash) in frontier.items():
            run(schema.NAME_PLACE, (device, other, other_seq, other_hash))

    def moved_since(self, author: bytes) -> Vector:
        """Return the heads of others that differ from what envelopes of `author` name: its next frontier."""
        rows = self._connection.exec_driver_sql(schema.MOVED_SINCE, (author, author)).all()
        return {as_bytes(device): (as_number(seq), as_bytes(hash_)) for device, seq, hash_ in rows}

    def add_membership_entry(self, entry_hash: bytes, entry: bytes) -> None:
        """Keep a membership entry; one that is there already stays."""
        statement = sqlite.insert(schema.membership).values(hash=entry_hash, entry=entry)
        self._connection.execute(statement.on_conflict_do_nothing())

    def hold(self, device: bytes, seq: int, envelope_hash: bytes, link: tuple[bytes, bytes], envelope: bytes) -> None:
        """Keep an envelope that is not accepted yet; one that is there already stays.

        `link` is the hash of the envelope before it, and the id of the epoch it is sealed under.
        """
        statement = sqlite.insert(schema.held).values(
            device=device, seq=seq, hash=envelope_hash, previous=link[0], epoch=link[1], envelope=envelope
        )
        self._connection.execute(statement.on_conflict_do_nothing())

    def release(self, device: bytes, seq: int, envelope_hash: bytes) -> None:
        """Forget an envelope that was held: it is accepted now, or never will be."""
        columns = schema.held.c
        self._connection.execute(
            sa.delete(schema.held).where(columns.device == device, columns.seq == seq, columns.hash == envelope_hash)
        )

    def name(self, author: bytes, device: bytes, seq: int, envelope_hash: bytes) -> None:
        """Note that an accepted envelope of `author` names a place that the log does not hold."""
        statement = sqlite.insert(schema.named).values(author=author, device=device, seq=seq, hash=envelope_hash)
        self._connection.execute(statement.on_conflict_do_nothing())

    def account_for(self, device: bytes, seq: int, envelope_hash: bytes) -> None:
        """Note that the log holds a place that was named."""
        columns = schema.named.c
        self._connection.execute(
            sa.delete(schema.named).where(columns.device == device, columns.seq == seq, columns.hash == envelope_hash)
        )

    def raise_base(self, vector: Mapping[bytes, tuple[int, bytes]]) -> None:
        """Build on a checkpoint that covers `vector`: base and heads move up to it, where they are below."""
        for device, (seq, hash_) in vector.items():
            for table in (schema.bases, schema.heads):
                statement = sqlite.insert(table).values(device=device, seq=seq, hash=hash_)
                higher = statement.on_conflict_do_update(
                    index_elements=["device"],
                    set_={"seq": seq, "hash": hash_},
                    where=table.c.seq < seq,
                )
                self._connection.execute(higher)
            columns = schema.named.c
            self._connection.execute(sa.delete(schema.named).where(columns.device == device, columns.seq <= seq))

    def supersede(self, device: bytes, from_seq: int) -> None:
        """Set own envelopes aside from number `from_seq` (at least 1) on; the head moves back to the one before."""
        columns = schema.envelopes.c
        late = sa.and_(columns.device == device, columns.seq >= from_seq)
        names = ("device", "seq", "hash", "envelope")
        run = self._connection.execute
        run(
            sqlite.insert(schema.superseded)
            .from_select(names, sa.select(*(columns[name] for name in names)).where(late))
            .on_conflict_do_nothing()
        )
        run(sa.delete(schema.envelopes).where(late))
        run(sa.delete(schema.frontiers).where(schema.frontiers.c.author == device))
        last = run(
            sa.select(columns.seq, columns.hash).where(columns.device == device).order_by(columns.seq.desc()).limit(1)
        ).first()
        run(sa.delete(schema.heads).where(schema.heads.c.device == device))
        base = run(sa.select(schema.bases.c.seq, schema.bases.c.hash).where(schema.bases.c.device == device)).first()
        newest = max((row for row in (last, base) if row is not None), key=lambda row: as_number(row[0]), default=None)
        if newest is not None:
            self._connection.exec_driver_sql(schema.MOVE_HEAD, (device, newest[0], newest[1]))

    def raise_heads(self, vector: Mapping[bytes, tuple[int, bytes]]) -> None:
        """Count chains as ending where `vector` says, where they end before: their last envelopes are missing."""
        for device, (seq, envelope_hash) in vector.items():
            statement = sqlite.insert(schema.heads).values(device=device, seq=seq, hash=envelope_hash)
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["device"],
                    set_={"seq": seq, "hash": envelope_hash},
                    where=schema.heads.c.seq < seq,
                )
            )

    def copy_row(self, table: sa.Table, row: Sequence[object]) -> None:
        """Keep a row of another log as it is; one that is there already stays."""
        values = dict(zip(table.columns.keys(), row, strict=True))
        self._connection.execute(sqlite.insert(table).values(values).on_conflict_do_nothing())

    def set_relay_state(self, relay_id: bytes, state: RelayState) -> None:
        """Remember `state` of a relay."""
        values = {
            "cursor": state.cursor,
            "generation": state.generation,
            "blobs_position": state.blobs_position,
            "facts": state.facts,
        }
        statement = sqlite.insert(schema.relays).values(id=relay_id, **values)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))

    def forget_relay(self, relay_id: bytes) -> None:
        """Forget a relay."""
        self._connection.execute(sa.delete(schema.relays).where(schema.relays.c.id == relay_id))

    def add_alarm(self, alarm_id: bytes, sealed: bytes) -> None:
        """Keep an alarm of sync; one with this id that is there already stays."""
        statement = sqlite.insert(schema.alarms).values(id=alarm_id, sealed=sealed)
        self._connection.execute(statement.on_conflict_do_nothing())

    def remove_alarms(self) -> None:
        """Forget all alarms of sync."""
        self._connection.execute(sa.delete(schema.alarms))

    def set_blob_states(self, blobs: list[bytes], state: int) -> None:
        """Remember that `blobs` are in `state`."""
        for blob in blobs:
            statement = sqlite.insert(schema.blob_states).values(blob=blob, state=state)
            self._connection.execute(statement.on_conflict_do_update(index_elements=["blob"], set_={"state": state}))

    def forget_blob_states(self, blobs: Iterable[bytes], state: int) -> None:
        """Forget that `blobs` are in `state`."""
        columns = schema.blob_states.c
        for blob in blobs:
            self._connection.execute(sa.delete(schema.blob_states).where(columns.blob == blob, columns.state == state))

    def set_fact(self, name: str, value: bytes) -> None:
        """Remember `value` under `name`."""
        statement = sqlite.insert(schema.facts).values(name=name, value=value)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

    def remove_fact(self, name: str) -> None:
        """Forget what is remembered under `name`."""
        self._connection.execute(sa.delete(schema.facts).where(schema.facts.c.name == name))


def select_from(table: sa.Table) -> sa.Select[Any]:
    """Return the selection of a table's envelopes, for `stored`."""
    columns = table.c
    return sa.select(columns.position, columns.device, columns.seq, columns.hash, columns.envelope)


def stored(row: Any) -> StoredEnvelope:
    """Return one row of `select_from`."""
    return StoredEnvelope(as_number(row[0]), as_bytes(row[1]), as_number(row[2]), as_bytes(row[3]), as_bytes(row[4]))
