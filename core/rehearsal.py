"""What other devices changed, applied in a replica worker before this process applies it: the rehearsal.

The binding of the CRDT engine was made to crash, to hang and to take gigabytes by a change of a hundred bytes. Our own
reader refuses every change that is known to do so; the rehearsal is for those that are not known. A document and the
changes to it go to a process that holds no key and has bounds on memory and time (`core.replica_worker`), and only what
came through it is applied here, by the same reader once more. What it does not survive is found by doing it again, one
change at a time, and refused by name like anything else that cannot be accepted. It costs that change, and a process.

Where: between the log and the replicas, where `core.view` reads what the log gained, whoever stored it. Envelopes are
accepted by their signatures and places, before anybody looks at what they change, and by whichever process; one that
was held is accepted when something else comes. There the documents are at hand as well, and which were rehearsed is a
number a device, kept in the log with what was refused. So opening a library, making replicas and catalog anew from the
log, and everything on a device that syncs with no other starts no process. Snapshots of checkpoints go through a worker
of their own when they are fetched (`core.sync.bootstrap`).

Edits stay in the process that makes them. With the replicas in the worker alone, each edit, each look at a value and
each catalog that is made anew would wait for a pipe, or for a worker that starts in a tenth of a second: more than a
whole edit takes. docs/sync.md has the figures.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from core.errors import LogDamaged, StorageFailed
from core.log import StoredEnvelope
from core.replica_messages import Step
from crdt.change import DEVICE_PREFIX_BYTES
from crdt.documents import is_document_name
from crdt.errors import ChangeNotSurvived, CrdtError
from crdt.replica import Refusal, device_prefix
from crypto.errors import CryptoError
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from core.envelope_body import EnvelopeBody
    from core.log import Log, Vector
    from core.members import Members
    from core.replica_process import Death, ReplicaProcess
    from core.replicas import Replicas
    from crdt.change import Change
    from crdt.replica import Replica

_log = logging.getLogger(__name__)

_FACT: Final = "rehearsed"
_BATCH: Final = 256
_BATCH_BYTES: Final = 8 << 20
_HASHED_FROM: Final = 8
MOST_DEATHS: Final = 3
"""After so many deaths by one device's changes, no more of them are tried in this session."""

Part = tuple[StoredEnvelope, list[bytes]]
"""Changes to one document, and the envelope that brought them (its bytes may be left out)."""
Opened = tuple[StoredEnvelope, "EnvelopeBody | None"]


class _Kept(msgspec.Struct, array_like=True):
    """What is remembered in the log, sealed.

    `rehearsed`: up to which number each other device's envelopes are. `refused`: what was not survived, by hash of the
    change: author, number of the envelope (0: not known) and why. `pending`: documents to which changes have been
    passed over, because snapshots that they build on were not here.
    """

    rehearsed: dict[bytes, int] = msgspec.field(default_factory=dict)
    refused: dict[bytes, tuple[bytes, int, str]] = msgspec.field(default_factory=dict)
    pending: set[str] = msgspec.field(default_factory=set)


class Rehearsal:
    """The rehearsals of one library in one process."""

    def __init__(self, log: Log, members: Members, process: ReplicaProcess) -> None:
        """Rehearse in `process` what others than the device of `members` wrote into `log`."""
        self._log = log
        self._members = members
        self._process = process
        self._read_once: _Kept | None = None
        self._unsaved = False
        self._settled: set[str] = set()
        self._deaths: Counter[bytes] = Counter()
        self.unavailable = False
        """Set where no process can be started; what is new then waits. Whoever reads the log anew clears it."""

    def expect(self) -> None:
        """Start the worker if there is another device that may have written something: it is then ready for that."""
        membership = self._members.membership
        if membership.members.keys() - {self._members.device_id, *membership.phrases}:
            self._can_start()

    def is_new(self, stored: StoredEnvelope) -> bool:
        """Tell whether another device wrote an envelope that was not rehearsed."""
        return self._is_other(stored.device) and stored.seq > self._kept.rehearsed.get(stored.device, 0)

    def holds_back(self, stored: StoredEnvelope) -> bool:
        """Tell whether an envelope has to wait, because it is new and no process can be started."""
        return self.is_new(stored) and not self._can_start()

    def check(self, changes: Iterable[bytes]) -> None:
        """Raise `ChangeNotSurvived` if one of these changes was not survived, here or in another process."""
        refused = self._kept.refused
        for raw in changes if refused else ():
            found = refused.get(_hash(raw))
            if found is not None:
                raise ChangeNotSurvived(found[2])

    def clean(self, replica: Replica) -> None:
        """Throw away what was not survived of the changes that wait in a replica."""
        if self._kept.refused and replica.waits():
            replica.forget_waiting(self._kept.refused.keys())

    def trust(self, vector: Vector) -> None:
        """Count what lies up to `vector` as rehearsed if nothing is remembered: an earlier version has applied it."""
        if self._stored() is None:
            self.passed(vector)

    def passed(self, vector: Vector) -> None:
        """Count what lies up to `vector` as rehearsed."""
        rehearsed = self._kept.rehearsed
        for device, (seq, _) in vector.items():
            if self._is_other(device) and seq > rehearsed.get(device, 0):
                rehearsed[device] = seq
                self._unsaved = True

    def postpone(self, document: str) -> None:
        """Note that changes to a document were passed over, or only a part of what they build on was here."""
        self._kept.pending.add(document)
        self._settled.discard(document)
        self._unsaved = True

    def is_pending(self, document: str) -> bool:
        """Tell whether changes to a document were passed over."""
        return document in self._kept.pending

    def take(self, batch: Sequence[Opened], replicas: Replicas) -> None:
        """Rehearse what is new in envelopes that come next in the log, before `replicas` take them."""
        if not any(self.is_new(stored) for stored, _ in batch):
            return
        self._merge_stored()  # another process may have been faster
        parts: dict[str, list[Part]] = {}
        for stored, body in batch:
            for part in body.payload if body is not None else ():
                if is_document_name(part.document):
                    parts.setdefault(part.document, []).append((stored, part.changes))
        for document, listed in parts.items():
            if any(self.is_new(stored) for stored, _ in listed):
                self._take_document(document, listed, replicas)
        self.passed({stored.device: (stored.seq, stored.hash) for stored, _ in batch})

    def run(self, replica: Replica, parts: Sequence[Part], *, everything: bool = False) -> list[Refusal]:
        """Rehearse what is to be applied to a replica: what is new among `parts`, or all that others wrote.

        What is not survived is refused: `check` raises for it from now on. Returns what of the changes that waited in
        the replica was refused; they are taken out of it. Raises `StorageFailed` where no process can be started.
        """
        tried = {
            (stored.device, stored.seq)
            for stored, _ in parts
            if self._is_other(stored.device) and (everything or self.is_new(stored))
        }
        refusals: list[Refusal] = []
        careful = False
        while left := self._left(replica.document, parts, tried):
            steps = [Step([part[0].device, *self._members.continued_by(part[0].device)], part[1]) for part in left]
            death = self._process.rehearse(replica, steps, careful=careful)
            if death is None:
                break
            if careful:
                refusals += self._blame(death, replica, left, tried)
            careful = True
        if replica.document in self._kept.pending:
            self._kept.pending.discard(replica.document)
            self._settled.add(replica.document)
            self._unsaved = True
        return refusals

    def try_again(self) -> None:
        """Forget what was refused, and that it was rehearsed; for whoever makes everything anew after this.

        Raises `StorageFailed`.
        """
        self._merge_stored()
        kept = self._kept
        if not kept.refused:
            return
        for author, seq, _ in kept.refused.values():
            kept.rehearsed[author] = min(kept.rehearsed.get(author, 0), max(0, seq - 1))
        kept.refused.clear()
        self._deaths.clear()
        with self._log.transaction() as transaction:
            transaction.set_fact(_FACT, self._sealed(kept))
        self._unsaved = False

    def save(self) -> bool:
        """Write down what was rehearsed and refused; tell whether nothing is left to be written.

        To be called before anything derived that includes it is saved, outside of transactions of the log.
        """
        if not self._unsaved:
            return True
        if self._log.in_transaction:
            return False
        try:
            with self._log.transaction() as transaction:
                self._merge_stored()
                transaction.set_fact(_FACT, self._sealed(self._kept))
        except (LogDamaged, StorageFailed) as error:
            _log.warning("rehearsals_not_saved: %s", error.name)
            return False
        self._unsaved = False
        self._settled.clear()
        return True

    def adopt(self, earlier: Rehearsal) -> None:
        """Know what `earlier` knew, of the same library under this device's former identity."""
        self._read_once = earlier._kept
        self._unsaved = True

    def _take_document(self, document: str, parts: Sequence[Part], replicas: Replicas) -> None:
        try:
            replica = replicas.get(document)
        except CrdtError:
            self.postpone(document)
            return
        if document in replicas.incomplete:
            self.postpone(document)
        else:
            replicas.refusals += [(document, refusal) for refusal in self.run(replica, parts)]

    def _left(self, document: str, parts: Sequence[Part], tried: set[tuple[bytes, int]]) -> list[Part]:
        """Return the parts that are not refused; none if nothing among them is to be tried."""
        left: list[Part] = []
        for stored, changes in parts:
            is_tried = (stored.device, stored.seq) in tried
            if is_tried and self._deaths[stored.device] >= MOST_DEATHS and not self._is_refused(changes):
                why = "earlier ones of its device ended the process that tries them again and again"
                self._refuse(changes, stored, f"a change to {document} was not tried: {why}")
            if changes and not self._is_refused(changes):
                left.append((stored, changes))
        return left if any((stored.device, stored.seq) in tried for stored, _ in left) else []

    def _is_refused(self, changes: Iterable[bytes]) -> bool:
        refused = self._kept.refused
        return bool(refused) and any(_hash(raw) in refused for raw in changes)

    def _blame(
        self, death: Death, replica: Replica, left: Sequence[Part], tried: set[tuple[bytes, int]]
    ) -> list[Refusal]:
        """Refuse the change at which the worker died; if it does not say which, all that were tried."""
        what = f"a change to {replica.document} cannot be applied: the process that tried it {death.reason}"
        _log.error("change_not_survived: %s", death.reason)
        trying = death.trying
        at = None if trying is None or trying.step >= len(left) else left[trying.step]
        if trying is not None and trying.change:
            for change in replica.waiting():
                if change.hash == trying.change:
                    return [self._refuse_waiting(replica, change, what)]
            for part in left:
                if (part[0].device, part[0].seq) in tried and trying.change in map(_hash, part[1]):
                    at = part
        if at is not None and (at[0].device, at[0].seq) in tried:
            self._deaths[at[0].device] += 1
            self._refuse(at[1], at[0], what)
            return []
        for stored, changes in left:
            if (stored.device, stored.seq) in tried:
                self._refuse(changes, stored, what)
        return []

    def _refuse(self, changes: Iterable[bytes], stored: StoredEnvelope, why: str) -> None:
        for raw in changes:
            self._kept.refused[_hash(raw)] = (stored.device, stored.seq, why)
        self._unsaved = True

    def _refuse_waiting(self, replica: Replica, change: Change, why: str) -> Refusal:
        """Refuse a change that had waited: whoever brought what it waited for is not to blame."""
        membership = self._members.membership
        known = {device_prefix(device): device for device in (*membership.members, *membership.departed)}
        author = known.get(change.actor[:DEVICE_PREFIX_BYTES], b"")
        self._deaths[author] += 1
        self._kept.refused[change.hash] = (author, 0, why)
        self._unsaved = True
        replica.forget_waiting([change.hash])
        return Refusal(change.hash, change.actor, ChangeNotSurvived(why))

    def _is_other(self, device: bytes) -> bool:
        return device != self._members.device_id

    def _can_start(self) -> bool:
        if not self.unavailable:
            try:
                self._process.start()
            except StorageFailed as error:
                _log.warning("no_replica_worker: %s", error)
                self.unavailable = True
        return not self.unavailable

    @property
    def _kept(self) -> _Kept:
        if self._read_once is None:
            self._read_once = self._stored() or _Kept()
        return self._read_once

    def _merge_stored(self) -> None:
        """Add what another process wrote down to what is known here."""
        kept, stored = self._kept, self._stored() or _Kept()
        for device, seq in stored.rehearsed.items():
            kept.rehearsed[device] = max(seq, kept.rehearsed.get(device, 0))
        kept.refused = stored.refused | kept.refused
        kept.pending |= stored.pending - self._settled

    def _stored(self) -> _Kept | None:
        """Return what is written down; None if there is nothing that this device can read."""
        try:
            sealed = self._log.fact(_FACT)
            return None if sealed is None else _decoder.decode(open_sealed(sealed, self._key, _FACT))
        except (CryptoError, msgspec.MsgspecError, LogDamaged):
            return None

    def _sealed(self, kept: _Kept) -> bytes:
        return seal(msgspec.msgpack.encode(kept), self._key, _FACT)

    @property
    def _key(self) -> bytes:
        return self._members.secrets.storage_key(_FACT)


_decoder: Final = msgspec.msgpack.Decoder(_Kept)


def in_batches(opened: Iterable[Opened]) -> Iterator[list[Opened]]:
    """Yield envelopes in lists that are rehearsed at once."""
    batch: list[Opened] = []
    size = 0
    for stored, body in opened:
        if batch and (len(batch) >= _BATCH or size + len(stored.data) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((stored, body))
        size += len(stored.data)
    if batch:
        yield batch


def _hash(raw: bytes) -> bytes:
    """Return the hash of a change, or of whatever else stands in its place."""
    return hashlib.sha256(raw[_HASHED_FROM:]).digest()
