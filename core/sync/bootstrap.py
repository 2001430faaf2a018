"""How a device that is new, or was away for long, takes a checkpoint instead of what relays have pruned.

A prune entry names a checkpoint, and the confirmation that lets it be believed. Both are envelopes of members; what
they say has to agree. Then the log builds on the checkpoint, and its snapshots are fetched, the newest month first:
each is shown as soon as it is here. What came before it on a device that was away stays, and is sent to whoever lacks
it.
"""

from __future__ import annotations

import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.base import as_vector, read_snapshot
from core.derived import includes
from core.envelope_body import KIND_CHECKPOINT, KIND_CONFIRMATION
from core.errors import (
    BlobDamaged,
    BlobMissing,
    EnvelopeDamaged,
    Forged,
    SnapshotDamaged,
    Withheld,
    WriterNotAMember,
)
from core.log import NO_HASH, StoredEnvelope, name_envelope
from core.replica_process import ReplicaProcess
from core.sync.failed_snapshots import FailedSnapshots
from core.sync.seen_checkpoints import counts, may_confirm
from crypto.envelope import envelope_hash, read_header
from crypto.errors import CryptoError
from sync_relay.statements import Prune, read_statement
from sync_relay.wire import KIND_ENVELOPE, KIND_PRUNE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from core.base import BaseSnapshot
    from core.envelope_body import EnvelopeBody
    from core.library import Library
    from core.log import Vector
    from core.sync.transfers import Transfers
    from sync_relay.client import RelayClient
    from sync_relay.statements import Place
    from sync_relay.wire import Item

_log = logging.getLogger(__name__)

WORTH_IT: Final = 64
"""Fewer envelopes than this are quicker read than a checkpoint."""
_AHEAD: Final = 2
"""How many snapshots are fetched while one is loaded."""
_LOOK_ELSEWHERE: Final = "Sync with another relay, or with a device that has what it covers. Nothing here is lost."


class _DoesNotHold(Forged):
    """A snapshot came whole, as its id says, and is none."""


@dataclass(frozen=True)
class _Offer:
    """A checkpoint whose confirmation counts, as a relay gave it out; `seen`: who confirmed it is a member now."""

    envelope: bytes
    covers: Vector
    seen: bool


def bootstrap(
    library: Library,
    client: RelayClient,
    transfers: Transfers,
    statements: Sequence[Item],
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Take the widest checkpoint that `statements` name, if the library lacks what it covers, and load it.

    Call it before envelopes are pulled, with all prune entries of the relay's log (items of KIND_PRUNE), and after the
    membership entries were ingested. A load that was cut off is gone on with. `progress(done, all)` counts snapshots.
    Returns True if a checkpoint was taken or gone on with; then what is left to pull are the envelopes past the
    library's vector (`client.past(library.log.heads())`).

    A checkpoint is taken where the relay has pruned what this library lacks, or where that is most of what there is; or
    in the place of one of which snapshots are nowhere any more, or do not hold.

    Raises `Forged`, `Withheld` or `WriterNotAMember`, each naming device and checkpoint (then nothing was taken, or
    what was is kept and the rest fetched by the next call), and what `client` and `transfers` raise.
    """
    taken, failure = _take(
        library,
        client,
        statements,
        lambda _, covered: not includes(library.log.heads(), covered) and _is_worth_it(library, client, covered),
    )
    try:
        taken = fetch_base(library, transfers, progress) or taken
    except (Withheld, Forged) as alarm:
        instead, _ = _take(library, client, _prunes(client), functools.partial(_stands_for_missing, library))
        if not instead:
            raise
        fetch_base(library, transfers, progress)
        taken = True
        # What a relay has no more is made up for. That somebody vouched for what does not hold is told all the same.
        failure = failure or (alarm if isinstance(alarm, Forged) else None)
    if failure is not None:
        raise failure
    return taken


def _take(
    library: Library,
    client: RelayClient,
    statements: Iterable[Item],
    is_wanted: Callable[[Place, Vector], bool],
) -> tuple[bool, Forged | Withheld | WriterNotAMember | None]:
    """Build on the checkpoints of prune entries, the widest first, of which `is_wanted(checkpoint, covered)`.

    Returns whether there were any, and what was wrong with the first that does not hold.
    """
    taken, failure = False, None
    for prune in _widest_first(library, _read(library, statements)):
        if not is_wanted(prune.checkpoint, _vector(prune.covered)):
            continue
        try:
            offer = _offer(library, client, prune)
        except (Forged, Withheld, WriterNotAMember) as alarm:
            # An older one may do; that this one does not is told all the same.
            failure = failure or alarm
            continue
        library.ingest.merge_base(offer.envelope, seen=offer.seen)
        library.load_base(())
        taken = True
    return taken, failure


def _prunes(client: RelayClient) -> Iterator[Item]:
    """Yield all prune entries of a relay's log."""
    after = 0
    while True:
        page = client.log(after, kinds=(KIND_PRUNE,))
        yield from page.items
        if not page.more:
            return
        after = page.position


def _stands_for_missing(library: Library, checkpoint: Place, covered: Vector) -> bool:
    """Tell whether a checkpoint that is not built on yet includes one of which snapshots are lacking."""
    base = library.base
    if (checkpoint.device_id, checkpoint.seq) in base.places():
        return False
    return any(includes(covered, base.covers(needed)) for needed in base.missing())


def fetch_base(library: Library, transfers: Transfers, progress: Callable[[int, int], None] | None = None) -> bool:
    """Fetch the snapshots that the library builds on and lacks, and show each; tell whether there were any.

    Raises `Withheld` for one that no relay has, `Forged` for one that does not hold, and what `transfers` raises; what
    came before stays.
    """
    known = FailedSnapshots(library)
    missing = library.base.missing()
    failures: list[Withheld | Forged] = [_forged(told) for one in missing if (told := known.of(one)) is not None]
    missing = [one for one in missing if known.of(one) is None]
    if not missing and not failures:
        return False
    for done, (needed, got) in enumerate(_fetched(library, transfers, missing), 1):
        document = needed.snapshot.document
        if not isinstance(got, bytes):
            failures.append(got)
            if isinstance(got, _DoesNotHold):
                known.note(needed, str(got))
        else:
            # What a trial made of one snapshot is all there is, unless checkpoints were made side by side.
            library.load_base([document], copies={document: got} if len(library.base.needed(document)) == 1 else None)
            refused = library.base.refused.get(needed.snapshot.blob)
            if refused is not None:
                failures.append(_forged(f"{needed.checkpoint} names a snapshot that does not hold: {refused}"))
        if progress is not None:
            progress(done, len(missing))
    if failures:
        raise failures[0]
    return True


def first_screen(library: Library, photos: int = 200) -> list[bytes]:
    """Return the bundles that hold the thumbnails of the newest photos, in that order, each once.

    On a new device they are at the relay only: read them by `Transfers.range_reader`, and the first screen needs but a
    few chunks of them.
    """
    pids = library.catalog.pids("", limit=photos)
    found = library.catalog.thumbnails(pids)
    return list(dict.fromkeys(found[pid].blob_id for pid in pids if pid in found))


def _read(library: Library, statements: Iterable[Item]) -> Iterator[Prune]:
    """Yield the prune entries of members, former ones included; nothing is taken on the word of anybody else."""
    members = library.members
    for item in statements:
        try:
            read = None if item.body is None else read_statement(item.body, library.library_id)
        except CryptoError:
            _log.warning("prune_entry_damaged")
            continue
        if isinstance(read, Prune) and members.is_known(read.device_id):
            yield read


def _widest_first(library: Library, prunes: Iterable[Prune]) -> list[Prune]:
    """Sort prune entries: of several for one checkpoint, those first whose words count."""
    members = library.members.membership.members

    def rank(prune: Prune) -> tuple[int, Place, bool, bool]:
        former = (prune.confirmation.device_id not in members, prune.device_id not in members)
        return -sum(place.seq for place in prune.covered), prune.checkpoint, *former

    return sorted(prunes, key=rank)


def _is_worth_it(library: Library, client: RelayClient, covered: Vector) -> bool:
    """Tell whether to take a checkpoint, rather than to read the envelopes it covers."""
    heads = library.log.heads()
    known = sum(min(seq, heads.get(device, (0, NO_HASH))[0]) for device, (seq, _) in covered.items())
    lacking = sum(seq for seq, _ in covered.values()) - known
    return (lacking > WORTH_IT and lacking > known) or _is_pruned(client, heads, covered)


def _is_pruned(client: RelayClient, heads: Vector, covered: Vector) -> bool:
    """Tell whether the relay has dropped the first envelopes that the library lacks, or never had them."""
    lacking = {device: heads.get(device, (0, NO_HASH))[0] + 1 for device in covered}
    lacking = {device: seq for device, seq in lacking.items() if seq <= covered[device][0]}
    after = 0
    while lacking:
        page = client.past(heads, after)
        for item in page.items:
            device, seq, gone = _named(item)
            if device in lacking:
                if gone or seq != lacking[device]:
                    return True
                del lacking[device]
        if not page.more:
            return bool(lacking)
        after = page.position
    return False


def _named(item: Item) -> tuple[bytes, int, bool]:
    """Return device and number of an item of a page, and whether it is without its envelope."""
    if item.kind == KIND_ENVELOPE and item.body is not None:
        try:
            header = read_header(item.body)
        except (CryptoError, ValueError):
            return b"", 0, False
        return header.device_id, header.seq, False
    return item.device_id or b"", item.seq or 0, True


def _offer(library: Library, client: RelayClient, prune: Prune) -> _Offer:
    """Fetch the checkpoint of a prune entry and its confirmation, and check that what they say agrees."""
    # What a former member confirmed counts like its edits: up to where it was revoked, and what a member had accepted.
    spoken_for = prune.device_id in library.members.membership.members
    confirmation, _ = _fetch(
        library, client, prune, prune.confirmation, KIND_CONFIRMATION, "confirmation", seen=spoken_for
    )
    # What a member has seen of a former one counts, and it has confirmed this. Who revoked that one may not have.
    confirmed = prune.confirmation.device_id in library.members.membership.members
    checkpoint, envelope = _fetch(
        library, client, prune, prune.checkpoint, KIND_CHECKPOINT, "checkpoint", seen=confirmed
    )
    covers = as_vector(checkpoint.covers)
    name = name_envelope(prune.checkpoint.device_id, prune.checkpoint.seq)
    author = prune.checkpoint.device_id
    said = confirmation.confirms
    if said is None or (said.device, said.seq, said.hash) != (author, prune.checkpoint.seq, prune.checkpoint.hash):
        raise _forged(f"{_by(prune)} names {name} as confirmed, and the confirmation is of something else")
    if covers != _vector(prune.covered):
        raise _forged(f"{_by(prune)} covers something else than the checkpoint in {name}")
    if not may_confirm(library.members.membership, author, prune.confirmation.device_id, covers):
        raise _forged(f"the checkpoint in {name} was confirmed by nobody but its author")
    return _Offer(envelope, covers, confirmed)


def _fetch(
    library: Library, client: RelayClient, prune: Prune, place: Place, kind: int, what: str, *, seen: bool = False
) -> tuple[EnvelopeBody, bytes]:
    """Return what is in an envelope that a prune entry names, and the envelope; `seen`: a member has accepted it."""
    name = name_envelope(place.device_id, place.seq)
    membership = library.members.membership
    if not (counts(membership, place.device_id, place.seq) or (seen and place.device_id in membership.departed)):
        raise WriterNotAMember(
            f"{_by(prune)} names {name} as its {what}: that device is no member", hint=_LOOK_ELSEWHERE
        )
    envelope = client.envelope(place.device_id, place.seq)
    if envelope is None:
        stored = library.log.envelope(place.device_id, place.seq)
        if stored is None:
            raise Withheld(
                f"{_by(prune)} names {name} as its {what}, and the relay at {client.url} does not give it out",
                hint=_LOOK_ELSEWHERE,
            )
        envelope = stored.data
    if envelope_hash(envelope) != place.hash:
        raise _forged(f"the relay at {client.url} gives out another {name} than {_by(prune)} names")
    try:
        body = library.chain.open(StoredEnvelope(0, place.device_id, place.seq, place.hash, envelope))
    except EnvelopeDamaged as error:
        raise _forged(f"{name}, the {what} that {_by(prune)} names, does not hold: {error}") from error
    if body.kind != kind:
        raise _forged(f"{_by(prune)} names {name} as its {what}, which it is not")
    return body, envelope


def _fetched(
    library: Library, transfers: Transfers, missing: list[BaseSnapshot]
) -> Iterator[tuple[BaseSnapshot, bytes | Withheld | Forged]]:
    """Fetch snapshots and try them, one after another, some ahead of the one that is loaded.

    Yields what each made, or the alarm. One that did not survive its trial is not kept: no process of this device ever
    applies it.
    """
    devices = {*library.members.membership.members, *library.members.membership.departed}
    with ReplicaProcess() as trial, ThreadPoolExecutor(1, thread_name_prefix="snapshots") as pool:

        def get(needed: BaseSnapshot) -> bytes:
            transfers.fetch(needed.snapshot.blob)
            try:
                content = read_snapshot(library.blobs, needed.snapshot)
                return trial.merge(needed.snapshot.document, content, devices)
            except (BlobDamaged, SnapshotDamaged) as error:
                library.blobs.remove(needed.snapshot.blob)
                raise _DoesNotHold(
                    f"{needed.checkpoint} names a snapshot that does not hold: {error}", hint=_LOOK_ELSEWHERE
                ) from error

        waiting = [(needed, pool.submit(get, needed)) for needed in missing[:_AHEAD]]
        following = iter(missing[_AHEAD:])
        try:
            while waiting:
                needed, fetched = waiting.pop(0)
                got: bytes | Withheld | Forged
                try:
                    got = fetched.result()
                except BlobMissing:
                    got = Withheld(
                        f"{needed.checkpoint} names a snapshot of {needed.snapshot.document} that no relay gives out",
                        hint=_LOOK_ELSEWHERE,
                    )
                except _DoesNotHold as alarm:
                    got = alarm
                except BlobDamaged as error:
                    got = _forged(f"{needed.checkpoint} names a snapshot that does not hold: {error}")
                for one in following:
                    waiting.append((one, pool.submit(get, one)))
                    break
                yield needed, got
        finally:
            for _, fetched in waiting:
                fetched.cancel()
            trial.close()


def _vector(places: Iterable[Place]) -> Vector:
    return {place.device_id: (place.seq, place.hash) for place in places}


def _by(prune: Prune) -> str:
    return f"a prune entry of device {prune.device_id.hex()[:12]}"


def _forged(what: str) -> Forged:
    return Forged(what, hint=_LOOK_ELSEWHERE)
