"""Which checkpoints and confirmations the log holds: remembered, so that only what is new has to be opened."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from core.base import as_vector
from core.derived import includes
from core.envelope_body import KIND_CHECKPOINT, KIND_CONFIRMATION, Accepted
from core.errors import IntegrityAlarm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.envelope_body import EnvelopeBody, Snapshot
    from core.library import Library
    from core.log import StoredEnvelope, Vector
    from crypto.membership import Membership

_FACT: Final = "checkpoints"
_AT_ONCE: Final = 256
_KEPT: Final = 16
"""How many are remembered of each device; one in good standing makes a few a year."""


_MOST_BYTES: Final = 1 << 62
"""What its author says of sizes is not believed beyond what can be written down."""


class SeenCheckpoint(msgspec.Struct, array_like=True):
    """A checkpoint of the log.

    Attributes:
        place: its envelope.
        covers: what it covers.
        size: bytes of its snapshots.
        at_bytes: bytes of all envelopes that the log had taken in before it.
        confirmations: the envelopes that confirm it, each with its author's clock in UTC seconds.
        refused: this device found that it does not hold.
        compared: this device found that it holds, though others had confirmed it already.
        beyond: it covers what has not arrived here, if it exists at all; looked at anew each time.
    """

    place: Accepted
    covers: list[Accepted]
    size: int
    at_bytes: int
    confirmations: list[tuple[Accepted, int]] = []
    refused: bool = False
    compared: bool = False
    beyond: bool = False

    @property
    def vector(self) -> Vector:
        """What it covers."""
        return as_vector(self.covers)

    def confirmed_by(self, device: bytes) -> tuple[Accepted, int] | None:
        """Return the confirmation by `device`, if there is one."""
        return next((found for found in self.confirmations if found[0].device == device), None)

    def is_confirmed(self, membership: Membership) -> bool:
        """Tell whether it is vouched for by two whose words count now, so that a device that is new believes it.

        A confirmation that came before its author was revoked, and that whoever revoked it had not seen, counts for
        nobody who was not there.
        """
        return any(
            may_confirm(membership, self.place.device, confirmation.device, self.vector)
            and counts(membership, confirmation.device, confirmation.seq)
            and (counts(membership, self.place.device, self.place.seq) or confirmation.device in membership.members)
            for confirmation, _ in self.confirmations
        )


class Seen(msgspec.Struct, array_like=True):
    """What the log holds of checkpoints up to `position`, and the bytes of all its envelopes up to there."""

    position: int = 0
    bytes: int = 0
    checkpoints: list[SeenCheckpoint] = []

    def find(self, place: Accepted) -> SeenCheckpoint | None:
        """Return the checkpoint in an envelope."""
        return next((known for known in self.checkpoints if known.place == place), None)

    def newest(self) -> list[SeenCheckpoint]:
        """Return the checkpoints that no other one includes, the widest first.

        Refused ones are left out, and those beyond what is here: whoever covers what there is not is in nobody's way.
        """
        usable = self._usable()
        return [
            known for known in usable if not any(other is not known and is_behind(known, other) for other in usable)
        ]

    def relied_on(self, membership: Membership, dropped: Vector) -> list[SeenCheckpoint]:
        """Return the checkpoints that devices which are new need now, or will: the newest, and the `older` ones."""
        return self.newest() + self.older(membership, dropped)

    def older(self, membership: Membership, dropped: Vector) -> list[SeenCheckpoint]:
        """Return checkpoints, but for the newest, that stand for what relays were told to drop, the widest first.

        For what of it stands under none of the newest that is vouched for; none where all does.
        """
        newest = self.newest()
        covered = _together(known for known in newest if known.is_confirmed(membership))
        left = {device: place for device, place in dropped.items() if not includes(covered, {device: place})}
        return [known for known in self._usable() if left and known not in newest and includes(known.vector, left)]

    def stands_for(self, dropped: Vector) -> bool:
        """Tell whether checkpoints, vouched for or not, stand for all that was `dropped`."""
        return includes(_together(self._usable()), dropped)

    def _usable(self) -> list[SeenCheckpoint]:
        """Return those that are neither refused nor beyond what is here, the widest first."""
        usable = [known for known in self.checkpoints if not (known.refused or known.beyond)]
        return sorted(usable, key=lambda known: (-sum(place.seq for place in known.covers), known.place.hash))


def may_confirm(membership: Membership, author: bytes, confirmer: bytes, covers: Vector) -> bool:
    """Tell whether the word of `confirmer` counts for a checkpoint of `author` that covers this.

    Another device's does. An author's own counts where nobody else who is a member now has written any of what is
    covered: there is nothing of others that could get lost.
    """
    if confirmer != author:
        return True
    members = membership.members
    return all(device == author or device not in members or members[device].is_phrase for device in covers)


def counts(membership: Membership, device: bytes, seq: int) -> bool:
    """Tell whether an envelope is by a member, or by a former one and not past what was accepted of it."""
    if device in membership.members:
        return True
    departure = membership.departed.get(device)
    return departure is not None and any(cut.seq >= seq for cut in departure.cuts)


def look(library: Library) -> Seen:
    """Return what the log holds of checkpoints now; opens the envelopes that came in since the last time."""
    packed = library.log.fact(_FACT)
    seen = Seen()
    with contextlib.suppress(msgspec.MsgspecError):  # then all is looked at once more
        seen = seen if packed is None else msgspec.msgpack.decode(packed, type=Seen)
    position = seen.position
    while page := library.log.past_position(seen.position, _AT_ONCE):
        for stored in page:
            _take(library, seen, stored)
    if seen.position != position:
        remember(library, seen)
    heads = library.log.heads()
    for known in seen.checkpoints:
        known.beyond = not includes(heads, known.vector)
    return seen


def snapshots_of(library: Library, known: SeenCheckpoint) -> list[Snapshot]:
    """Return the snapshots that a checkpoint names; none, where its envelope is not here."""
    stored = library.log.envelope(known.place.device, known.place.seq)
    return library.chain.open(stored).snapshots if stored is not None and stored.hash == known.place.hash else []


def remember(library: Library, seen: Seen) -> None:
    """Keep what was found for the next time."""
    count = Counter(known.place.device for known in seen.checkpoints)
    for known in list(seen.checkpoints):
        if count[known.place.device] > _KEPT:
            count[known.place.device] -= 1
            seen.checkpoints.remove(known)
    with library.log.transaction() as transaction:
        transaction.set_fact(_FACT, msgspec.msgpack.encode(seen))


def _take(library: Library, seen: Seen, stored: StoredEnvelope) -> None:
    seen.position = stored.position
    try:
        body = library.chain.open(stored)
    except IntegrityAlarm:
        body = None  # whoever shows the log raises it
    if body is not None:
        _note(seen, Accepted(stored.device, stored.seq, stored.hash), body)
    seen.bytes += len(stored.data)


def _note(seen: Seen, place: Accepted, body: EnvelopeBody) -> None:
    if body.kind == KIND_CHECKPOINT and seen.find(place) is None:
        size = min(sum(snapshot.size for snapshot in body.snapshots), _MOST_BYTES)
        seen.checkpoints.append(SeenCheckpoint(place, body.covers, size, seen.bytes))
    elif body.kind == KIND_CONFIRMATION and body.confirms is not None:
        confirmed = seen.find(body.confirms)
        if confirmed is not None and confirmed.confirmed_by(place.device) is None:
            confirmed.confirmations.append((place, body.at))


def _together(checkpoints: Iterable[SeenCheckpoint]) -> Vector:
    """Return what checkpoints cover together."""
    found: Vector = {}
    for known in checkpoints:
        for device, place in known.vector.items():
            found[device] = max(place, found.get(device, place))
    return found


def is_behind(one: SeenCheckpoint, other: SeenCheckpoint) -> bool:
    """Tell whether `other` includes what `one` covers; of two that cover the same, one is behind."""
    if not includes(other.vector, one.vector):
        return False
    return not includes(one.vector, other.vector) or one.place.hash > other.place.hash
