"""Writing own envelopes: under the write lock, at the end of the own chain, with everything seen that others stored."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from core.commit import Touched, make_changes
from core.envelope_body import EnvelopeBody, places_of
from core.log import BLOB_PURGED, Log, LogTransaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.chain import Chain
    from core.errors import IntegrityAlarm
    from core.members import Members
    from core.view import View
    from core.writer import Writer
    from crdt.operations import Operation


class Writing:
    """Commits of one device in one process."""

    def __init__(self, log: Log, members: Members, chain: Chain, writer: Writer, view: View) -> None:
        """Write to `log` what `view` is to show."""
        self._log = log
        self._members = members
        self._chain = chain
        self._writer = writer
        self._view = view

    @property
    def alarms(self) -> list[IntegrityAlarm]:
        """What stands in the way of writing."""
        return [*self._writer.alarms, *self._view.alarms]

    def commit_piece(
        self,
        piece: dict[str, list[Operation]],
        body: EnvelopeBody,
        touched: Touched,
        *,
        inverse: bool,
        purged_blobs: Sequence[bytes],
    ) -> int | None:
        """Write one envelope with the operations of `piece`; return its number, or None where nothing differs.

        `touched` is told what changed. Whatever is raised, nothing of the edit is stored or shown.
        """
        replicas = self._view.replicas
        try:
            for document in piece:
                replicas.get(document)  # loaded before the lock is taken, as far as they fit
            with replicas.held(), self._transaction() as transaction:
                made = make_changes(replicas, piece, inverse=inverse)
                self.refuse_while_alarmed()  # a replica that was loaded again may lack what could not be read
                if purged_blobs:
                    transaction.set_blob_states(list(purged_blobs), BLOB_PURGED)
                if made.payload:
                    seq, envelope_hash = self._append(transaction, made.put_into(body))
        except BaseException:
            # The replicas hold an edit that is not in the log, or of which we cannot say whether it is.
            replicas.drop(piece)
            raise
        if not made.payload:
            return None
        self._show_committed(seq, envelope_hash, made.touched)
        for document, places in made.touched.items():
            touched.setdefault(document, set()).update(places)
        return seq

    def commit_record(self, body: EnvelopeBody) -> tuple[int, bytes]:
        """Write an envelope that changes no document and return (seq, hash)."""
        with self._transaction() as transaction:
            seq, envelope_hash = self._append(transaction, body)
        self._show_committed(seq, envelope_hash, {})
        return seq, envelope_hash

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[LogTransaction]:
        """Hold the write lock, with everything seen that others stored, and the right to write made sure of."""
        with self._members.transaction(self._log) as transaction:
            self._members.refresh()
            self._view.catch_up()
            self._writer.check()
            self.refuse_while_alarmed()
            self._members.require_member()
            yield transaction

    def _append(self, transaction: LogTransaction, body: EnvelopeBody) -> tuple[int, bytes]:
        """Append an own envelope, after a rotation if one is due, and return (seq, hash)."""
        self._members.rotate_if_due(transaction)
        frontier = transaction.moved_since(self._members.device_id)
        if frontier:
            body = msgspec.structs.replace(body, frontier=places_of(frontier))
        seq, envelope_hash, envelope = self._chain.seal(self._log.head(self._members.device_id), body)
        transaction.append(self._members.device_id, seq, envelope_hash, envelope, frontier)
        return seq, envelope_hash

    def _show_committed(self, seq: int, envelope_hash: bytes, touched: Touched) -> None:
        try:
            self._writer.wrote(seq, envelope_hash)
            self._view.committed(self._members.device_id, seq, envelope_hash, touched)
        except BaseException:
            # The edit is durable; what this process shows is read again from what is on disk.
            self._view.forget()
            raise

    def refuse_while_alarmed(self) -> None:
        """Raise the first alarm, if there is any."""
        for alarm in self.alarms:
            raise alarm
