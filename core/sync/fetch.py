"""Bringing blobs here that this device wants: bundles always, originals and previews where it keeps everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from core.base import BASES_FACT
from core.copy_records import opens, repair
from core.errors import IntegrityAlarm
from core.log import BLOB_PURGED
from core.originals import keeps_every_original
from core.sync.named_blobs import NamedBlob, blobs_named, blobs_of_documents, copies_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from core.envelope_body import EnvelopeBody
    from core.library import Library
    from core.log import StoredEnvelope
    from core.sync.transfers import Transfers

FETCHED: Final = "sync.fetched"
"""The fact of `log.db` without which everything that is wanted is looked for anew."""
_PAGE: Final = 32
_MOST_LACKING: Final = 4_000
_WRITE_EVERY: Final = 256


class Fetched(msgspec.Struct, frozen=True, array_like=True):
    """Up to which position of this log all blobs are here that envelopes name: bundles, and all others.

    `bases` is what the log built on then, and `lacking` are blobs (id, whether a bundle, size or 0) that no relay had.
    """

    bundles: int = 0
    others: int = 0
    bases: bytes = b""
    lacking: list[tuple[bytes, bool, int]] = []


class Fetch:
    """Fetches what one device wants."""

    def __init__(
        self,
        library: Library,
        transfers: Transfers,
        *,
        originals: bool | None = None,
        known: Fetched | None = None,
        retry: bool = True,
    ) -> None:
        """Fetch by `transfers`; `originals` decides for this once, in place of the library's setting.

        `known` is what an earlier run of this process came to; with `retry`, what no relay had then is asked for again.
        """
        self._library = library
        self._transfers = transfers
        self._originals = keeps_every_original(library) if originals is None else originals
        self._retry = retry
        self._is_new = library.log.fact(FETCHED) is None
        self._written = self._stored()
        # Somebody who removes the fact wants everything to be looked for anew, also by a process that remembers more.
        self.known = self._written if known is None or self._is_new else known
        """Up to where everything is here now."""
        self.count = 0
        self.missing = 0
        """How many blobs no relay has."""
        self.alarms: list[IntegrityAlarm] = []
        """Records of copies that other devices had written over."""
        self._copies: dict[bytes, tuple[str, bytes]] = {}

    def run(self) -> None:
        """Bring everything here that is wanted and not here, the newest first; what is here has to open afterwards."""
        library = self._library
        known = self.known
        last = library.log.last_position()
        bases = library.log.fact(BASES_FACT) or b""
        if bases != known.bases:
            known = Fetched(lacking=known.lacking)
        start = min(known.bundles, known.others) if self._originals else known.bundles
        again = known.lacking if self._retry else []
        if start >= last and not again and bases == self.known.bases:
            self.missing = len(known.lacking)
            return
        wanted = [
            NamedBlob(blob_id, "bundle" if bundle else "original", size or None) for blob_id, bundle, size in again
        ]
        if bases != self.known.bases:
            wanted += blobs_of_documents(library, self._documents(bases))
        wanted += self._named_since(start)
        wanted = self._unfetched(wanted)
        count, left = self._transfers.fetch_all(list(reversed(wanted)))
        self.count = count
        self._put_records_right()
        lacking = [(blob.id, blob.role == "bundle", blob.size or 0) for blob in left]
        if not self._retry:
            lacking += known.lacking
        self.missing = len(lacking)
        if len(lacking) > _MOST_LACKING:
            return
        found = Fetched(last, last if self._originals else known.others, bases, lacking)
        news = self._is_new or count or (found.bases, found.lacking) != (self._written.bases, self._written.lacking)
        if news or found.bundles - self._written.bundles > _WRITE_EVERY:
            with library.log.transaction() as transaction:
                transaction.set_fact(FETCHED, msgspec.msgpack.encode(found))
        self.known = found

    def _stored(self) -> Fetched:
        packed = self._library.log.fact(FETCHED)
        try:
            return Fetched() if packed is None else msgspec.msgpack.decode(packed, type=Fetched)
        except msgspec.MsgspecError:
            return Fetched()

    def _unfetched(self, blobs: Iterable[NamedBlob]) -> list[NamedBlob]:
        library = self._library
        purged = library.log.blobs_in_state(BLOB_PURGED)
        found: dict[bytes, NamedBlob] = {}
        for blob in blobs:
            wanted = blob.role == "bundle" or (self._originals and blob.role != "snapshot")
            if wanted and blob.id not in purged and not library.blobs.exists(blob.id):
                found.setdefault(blob.id, blob)
        return list(found.values())

    def _named_since(self, position: int) -> Iterable[NamedBlob]:
        while page := self._library.log.past_position(position, _PAGE):
            opened = [(stored.device, body) for stored in page for body in self._bodies([stored])]
            yield from blobs_named(self._library, [body for _, body in opened])
            self._note_copies(body for device, body in opened if device != self._library.device_id)
            position = page[-1].position

    def _note_copies(self, bodies: Iterable[EnvelopeBody]) -> None:
        """Remember what other devices wrote of copies whose blobs are here, or are fetched now."""
        for document, pid, blob_id in copies_named(bodies):
            if self._originals or self._library.blobs.exists(blob_id):
                self._copies[blob_id] = (document, pid)

    def _put_records_right(self) -> None:
        for blob_id, (document, pid) in self._copies.items():
            if self._library.blobs.exists(blob_id) and not opens(self._library, document, pid, blob_id):
                done = repair(self._library, pid, blob_id, [document])
                if done is not None:
                    self.alarms.append(done.alarm)

    def _documents(self, bases: bytes) -> list[str]:
        """Return the documents of the checkpoints that the log builds on, the newest month last."""
        names: set[str] = set()
        for at in range(0, len(bases), 40):
            stored = self._library.log.envelope(bases[at : at + 32], int.from_bytes(bases[at + 32 : at + 40], "big"))
            for body in self._bodies([] if stored is None else [stored]):
                names.update(snapshot.document for snapshot in body.snapshots)
        return sorted(names)

    def _bodies(self, page: Sequence[StoredEnvelope]) -> Iterable[EnvelopeBody]:
        for stored in page:
            try:
                yield self._library.chain.open(stored)
            except IntegrityAlarm as alarm:
                self._library.raise_alarm(alarm)
