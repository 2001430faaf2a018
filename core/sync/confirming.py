"""Confirming a checkpoint: every covered change that this device knows is in the snapshots, and nothing else is.

What a confirmed checkpoint covers may be dropped by relays, and new devices believe its snapshots in place of the
signed envelopes. So both are looked for: a change that is not there, and one that nobody made. A snapshot is not
fetched where this device has compared or made the very same one, or would make it now.
"""

from __future__ import annotations

import hashlib
import secrets as random
import time
from typing import TYPE_CHECKING

from core import snapshots
from core.base import as_vector, read_snapshot
from core.derived import includes
from core.envelope_body import GROUP_BYTES, KIND_CONFIRMATION, Accepted, EnvelopeBody
from core.errors import BlobDamaged, Forged, SnapshotDamaged, UnknownFormat, Withheld
from core.log import name_envelope
from core.sync.dropped import dropped
from core.sync.seen_checkpoints import Seen, SeenCheckpoint, is_behind, look, may_confirm, remember, snapshots_of
from crdt.documents import is_document_name
from crypto.blob import encrypt_blob
from sync_relay.statements import MAX_BLOBS, Place, make_delete, make_prune

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from core.envelope_body import Snapshot
    from core.library import Library
    from core.log import Vector
    from crdt.replica import Replica

_HASHED_FROM = 8  # an Automerge change's hash is over all but its magic bytes and checksum


def confirm_pending(library: Library, fetch: Callable[[bytes], None]) -> list[bytes]:
    """Confirm the newest checkpoint if it holds all that this device knows; return the prune statements to send.

    One that others have confirmed already is compared too. Where relays were told to drop things by the word of
    somebody whose word does not count any more, a checkpoint that stands for them is confirmed again.

    `fetch(blob id)` brings a snapshot's blob into the library's folder, or raises. The statements are good once the
    envelopes of this library have been pushed; they are the same bytes each time, so they may be sent again. With
    them go deletes of the snapshots that only earlier checkpoints name.

    Raises `Withheld` or `Forged`, naming device and checkpoint, for one that lacks something, holds what nobody made,
    or does not load; it is not looked at again. While the library has alarms, or lacks parts of what it builds on,
    nothing is confirmed.
    """
    library.refresh()
    seen = look(library)
    if not library.doubts and library.members.is_member and not library.base.missing() and not library.base.refused:
        _confirm_all(library, seen, seen.newest(), fetch)
        seen = look(library)
        older = seen.older(library.members.membership, dropped(library, seen))
        _confirm_all(library, seen, [known for known in older if _is_for_us(library, known)][:1], fetch)
        seen = look(library)
    return _statements(library, seen)


def _confirm_all(
    library: Library, seen: Seen, wanted: Sequence[SeenCheckpoint], fetch: Callable[[bytes], None]
) -> None:
    for known in wanted:
        if _is_for_us(library, known):
            _confirm(library, seen, known, fetch)
        elif _is_to_be_doubted(library, known):
            _compare(library, seen, known, fetch)
            known.compared = True
            remember(library, seen)


def _is_for_us(library: Library, known: SeenCheckpoint) -> bool:
    """Tell whether this device can confirm a checkpoint that nobody has confirmed yet."""
    membership = library.members.membership
    if known.is_confirmed(membership) or known.confirmed_by(library.device_id) is not None:
        return False
    if not may_confirm(membership, known.place.device, library.device_id, known.vector):
        return False
    # What it covers must be here, and what this device builds on must be covered: else there is nothing to compare.
    return includes(library.vector, known.vector) and includes(known.vector, library.base.vector)


def _is_to_be_doubted(library: Library, known: SeenCheckpoint) -> bool:
    """Tell whether others alone vouch for a checkpoint that this device can look at: two of them may lie together.

    Relays have a month before they drop anything.
    """
    if known.compared or known.place.device == library.device_id:
        return False
    if (
        known.confirmed_by(library.device_id) is not None
        or (known.place.device, known.place.seq) in library.base.places()
    ):
        return False
    return includes(library.vector, known.vector) and includes(known.vector, library.base.vector)


def _confirm(library: Library, seen: Seen, known: SeenCheckpoint, fetch: Callable[[bytes], None]) -> None:
    if not _compare(library, seen, known, fetch):
        return
    place = known.place
    record = EnvelopeBody(
        KIND_CONFIRMATION, int(time.time()), [], [], random.token_bytes(GROUP_BYTES), "confirmation", "confirmation",
        confirms=place,
    )  # fmt: skip
    library.commit_record(record)


def _compare(library: Library, seen: Seen, known: SeenCheckpoint, fetch: Callable[[bytes], None]) -> bool:
    """Compare a checkpoint with what this device knows; tell whether it is here at all. Raises `Withheld`, `Forged`."""
    place = known.place
    stored = library.log.envelope(place.device, place.seq)
    if stored is None or stored.hash != place.hash:
        return False
    body = library.chain.open(stored)
    try:
        if place.device != library.device_id:
            comparison = _Comparison(library, seen, known, body, fetch)
            try:
                comparison.run()
            except BaseException:
                comparison.drop_fetched()
                raise
    except (Forged, Withheld):
        known.refused = True
        remember(library, seen)
        raise
    return True


def _statements(library: Library, seen: Seen) -> list[bytes]:
    """Return prune statements for the checkpoints that this device vouches for, and the deletes."""
    statements = []
    for known in seen.relied_on(library.members.membership, dropped(library, seen)):
        word = _word(library, known)
        if word is None or not known.covers:
            continue
        confirmation, at = word
        statements.append(
            make_prune(
                library.members.secrets, library.library_id, checkpoint=_place(known.place),
                confirmation=_place(confirmation), covered=[_place(place) for place in known.covers], time=at,
            )
        )  # fmt: skip
        own = confirmation.device == library.device_id
        obsolete = sorted(_obsolete(library, seen, known)) if own else []
        for start in range(0, len(obsolete), MAX_BLOBS):
            some = obsolete[start : start + MAX_BLOBS]
            statements.append(make_delete(library.members.secrets, library.library_id, some, time=at))
    return statements


def _word(library: Library, known: SeenCheckpoint) -> tuple[Accepted, int] | None:
    """Return the confirmation that this device names to relays with a checkpoint, and its author's clock.

    Its own; or, of its own checkpoint that no member has confirmed, that of a former one. This device has accepted it,
    and says so: who hears only now of the two, and of the revocation, has nobody else to ask.
    """
    membership, author = library.members.membership, known.place.device
    said = [one for one in known.confirmations if may_confirm(membership, author, one[0].device, known.vector)]
    own = next((one for one in said if one[0].device == library.device_id), None)
    if own is not None or author != library.device_id:
        return own
    return None if any(one[0].device in membership.members for one in said) else next(iter(said), None)


def starting_points(library: Library) -> list[bytes]:
    """Return prune statements for the checkpoints that this log builds on, in the words of those who confirmed them.

    For a relay that has nothing of the library: what the checkpoints cover is not here to be given to it.
    """
    membership, built_on = library.members.membership, library.base.places()
    statements = []
    for known in look(library).checkpoints:
        place = known.place
        said = [
            confirmation
            for confirmation, _ in known.confirmations
            if may_confirm(membership, place.device, confirmation.device, known.vector)
        ]
        if (place.device, place.seq) in built_on and said:
            statements.append(
                make_prune(
                    library.members.secrets, library.library_id, checkpoint=_place(place),
                    confirmation=_place(said[0]), covered=[_place(covered) for covered in known.covers],
                    time=int(time.time()),
                )
            )  # fmt: skip
    return statements


def _obsolete(library: Library, seen: Seen, known: SeenCheckpoint) -> set[bytes]:
    """Return the snapshots that checkpoints behind a confirmed one name, and no other checkpoint does.

    Only of those that this device made or compared: another could name anything as its snapshots, such as originals.
    """
    behind: set[bytes] = set()
    kept: set[bytes] = set()
    for other in seen.checkpoints:
        own = other.place.device == library.device_id or other.confirmed_by(library.device_id) is not None
        blobs = {snapshot.blob for snapshot in snapshots_of(library, other)}
        (behind if own and other is not known and is_behind(other, known) else kept).update(blobs)
    return behind - kept


class _Comparison:
    """One checkpoint of another device, compared with what this device knows."""

    def __init__(
        self, library: Library, seen: Seen, known: SeenCheckpoint, body: EnvelopeBody, fetch: Callable[[bytes], None]
    ) -> None:
        self._library = library
        self._body = body
        self._covers = known.vector
        self._fetch = fetch
        self._name = f"the checkpoint in {name_envelope(known.place.device, known.place.seq)}"
        self._trusted, self._trusted_vector = _compared_before(library, seen, known)
        self._fetched: list[bytes] = []
        self._expected: dict[str, set[bytes]] = {}
        self._touched_since: set[str] = set()
        self._touched_past: set[str] = set()

    def run(self) -> None:
        """Raise `Withheld` or `Forged` unless the checkpoint holds exactly what it says it covers."""
        self._check_places()
        self._read_log()
        listed = {snapshot.document: snapshot for snapshot in self._body.snapshots}
        if len(listed) != len(self._body.snapshots):
            raise self._forged("lists a document twice")
        known = {*self._expected, *self._library.base.documents()}
        for document in sorted(listed.keys() | known):
            snapshot = listed.get(document)
            if snapshot is None:
                self._compare(document, set())
            elif not is_document_name(document):
                raise self._forged("lists what is no document")
            elif not self._is_known(snapshot):
                self._compare(document, self._hashes(snapshot))

    def drop_fetched(self) -> None:
        """Remove the snapshots that were fetched for this: no worker has tried them, and they may not be what they say.

        A log that built on the checkpoint later would take what is here for tried.
        """
        for blob in self._fetched:
            self._library.blobs.remove(blob)

    def _check_places(self) -> None:
        log = self._library.log
        base = log.base()
        for device, (seq, envelope_hash) in self._covers.items():
            found = base[device][1] if base.get(device, (0,))[0] == seq else log.hash_at(device, seq)
            if found is not None and found != envelope_hash:
                raise self._forged(f"covers another {name_envelope(device, seq)} than is here")

    def _read_log(self) -> None:
        """Gather which changes are covered, and which documents changed since the last comparison, and after."""
        library = self._library
        for stored in library.log.after({}, library.raise_alarm):
            covered = stored.seq <= self._covers.get(stored.device, (0, b""))[0]
            fresh = stored.seq > self._trusted_vector.get(stored.device, (0, b""))[0]
            if not covered and not fresh:
                continue
            for part in library.chain.open(stored).payload:
                if not is_document_name(part.document):
                    continue
                if not covered:
                    self._touched_past.add(part.document)
                    continue
                self._expected.setdefault(part.document, set()).update(map(_change_hash, part.changes))
                if fresh:
                    self._touched_since.add(part.document)

    def _is_known(self, snapshot: Snapshot) -> bool:
        """Tell whether this very snapshot was made or compared here before, or would be made now."""
        document = snapshot.document
        if self._trusted.get(document) == snapshot.blob and document not in self._touched_since:
            return True
        if document in self._touched_past:
            return False
        return self._library.with_replica(document, lambda replica, _: self._own_id(replica)) == snapshot.blob

    def _own_id(self, replica: Replica) -> bytes | None:
        if replica.waits() or not replica.changes():
            return None
        data = snapshots.make(replica)
        return encrypt_blob(data, len(data), self._library.blobs.key_for(data), lambda _: None)

    def _hashes(self, snapshot: Snapshot) -> set[bytes]:
        blobs = self._library.blobs
        if not blobs.exists(snapshot.blob):
            self._fetch(snapshot.blob)
            self._fetched.append(snapshot.blob)
        try:
            return {change_hash for change_hash, _ in snapshots.read(read_snapshot(blobs, snapshot), snapshot.document)}
        except (BlobDamaged, SnapshotDamaged, UnknownFormat) as error:
            raise self._forged(f"names a snapshot that does not hold ({error})") from error

    def _compare(self, document: str, found: set[bytes]) -> None:
        expected = self._expected.get(document, set()) | self._of_base(document)
        # What every device refuses is nowhere but in envelopes.
        lost = self._library.with_replica(document, lambda replica, _: _held(replica, expected - found))
        if lost:
            raise Withheld(
                f"{self._name} lacks {lost} of the changes to {document} that it says it covers",
                hint="It is not confirmed, so no relay drops anything. The device that made it runs a damaged or "
                "hostile program: look at it, and revoke it if it is not yours.",
            )
        if found - expected:
            raise self._forged(f"holds {len(found - expected)} changes to {document} that are in no envelope it covers")

    def _of_base(self, document: str) -> set[bytes]:
        library = self._library
        found: set[bytes] = set()
        for needed in library.base.needed(document):
            snapshot = read_snapshot(library.blobs, needed.snapshot)
            found.update(change_hash for change_hash, _ in snapshots.read(snapshot, document))
        return found

    def _forged(self, what: str) -> Forged:
        return Forged(
            f"{self._name} {what}",
            hint="It is not confirmed, so no relay drops anything. The device that made it runs a damaged or hostile "
            "program: look at it, and revoke it if it is not yours.",
        )


def _compared_before(library: Library, seen: Seen, known: SeenCheckpoint) -> tuple[Mapping[str, bytes], Vector]:
    """Return the snapshots of a checkpoint that was made or confirmed here, or is built on, and lies before this."""
    built_on = library.base.places()
    for other in reversed(seen.checkpoints):
        own = other.place.device == library.device_id or other.confirmed_by(library.device_id) is not None
        own = own or (other.place.device, other.place.seq) in built_on
        lies_before = includes(known.vector, other.vector) and includes(other.vector, library.base.vector)
        if other is known or not own or not lies_before:
            continue
        stored = library.log.envelope(other.place.device, other.place.seq)
        if stored is not None and stored.hash == other.place.hash:
            body = library.chain.open(stored)
            return {snapshot.document: snapshot.blob for snapshot in body.snapshots}, as_vector(body.covers)
    return {}, {}


def _held(replica: Replica, hashes: set[bytes]) -> int:
    """Count those of these changes that the document holds, or that wait in it."""
    return sum(1 for change_hash in hashes if replica.holds(change_hash) or replica.awaits(change_hash))


def _change_hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw[_HASHED_FROM:]).digest()


def _place(accepted: Accepted) -> Place:
    return Place(accepted.device, accepted.seq, accepted.hash)
