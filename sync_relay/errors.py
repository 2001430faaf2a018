"""Everything a relay answers in place of what was asked, as one tree. Both ends know it by `name`.

    RelayError
    ├── Malformed                  400  malformed
    │   ├── TooLarge               413  too-large
    │   ├── UnsupportedMedia       415  unsupported-media
    │   └── WrongRange             416  wrong-range
    ├── NotSignedIn                401  not-signed-in
    │   ├── ChallengeRefused       401  challenge-refused
    │   └── WrongOrigin            401  wrong-origin
    ├── Refused                    403  refused
    │   ├── InviteRefused          403  invite-refused
    │   ├── NotAMember             403  not-a-member
    │   ├── Forged                 403  forged
    │   └── PruneRefused           403  prune-refused
    ├── NotThere                   404  not-there
    │   ├── NoSuchPath             404  no-such-path
    │   ├── WrongMethod            405  wrong-method
    │   ├── NoSuchEnvelope         404  no-such-envelope
    │   ├── NoSuchBlob             404  no-such-blob
    │   └── NoSuchMailbox          404  no-such-mailbox
    ├── Conflict                   409  conflict
    │   ├── LibraryExists          409  library-exists
    │   ├── SequenceConflict       409  sequence-conflict
    │   ├── SequenceGap            409  sequence-gap
    │   ├── OffsetMismatch         409  offset-mismatch
    │   ├── BlobDamaged            409  blob-damaged
    │   └── MailboxClaimed         409  mailbox-claimed
    ├── TooManyRequests            429  rate
    ├── Broken                     500  internal
    ├── Unavailable                503  unavailable
    └── QuotaFull                  507  quota-full

`message` says what happened, `hint` what to do next, and `details` carry the numbers a program needs (`ErrorDetails`).
None of them ever names an address, a token or an invite.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec


class ErrorDetails(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a program reads off an error, where it applies.

    `quota` is `bytes`, `objects` or `entries`, with `over` how far the request would go beyond `limit`, and `used` what
    is taken now; `retry_after` are seconds; `limit` alone is the largest size accepted; `offset` is where an upload
    stands; `device_id`, `seq` and `hash` name the envelope the relay holds; `libraries` are ids to choose from.
    """

    quota: str | None = None
    over: int | None = None
    limit: int | None = None
    used: int | None = None
    retry_after: int | None = None
    offset: int | None = None
    size: int | None = None
    index: int | None = None
    device_id: bytes | None = None
    seq: int | None = None
    hash: bytes | None = None
    libraries: list[bytes] | None = None


class RelayError(Exception):
    """Base of every answer that is not what was asked for."""

    name: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None, details: ErrorDetails | None = None) -> None:
        """Keep what happened, what to do next, and the numbers that go with it."""
        super().__init__(message)
        self.hint = hint
        self.details = details or ErrorDetails()


class Malformed(RelayError):
    """A request that is not what the protocol says: another shape, a length out of its bound, bytes of no format."""

    name = "malformed"
    status = 400


class TooLarge(Malformed):
    """A body beyond the bound of what was asked; it was not read. `limit` is the bound."""

    name = "too-large"
    status = 413


class UnsupportedMedia(Malformed):
    """A body of a type this operation does not take."""

    name = "unsupported-media"
    status = 415


class WrongRange(Malformed):
    """A byte range that the blob does not have. `size` is its length."""

    name = "wrong-range"
    status = 416


class NotSignedIn(RelayError):
    """No token, or one that is unknown, expired or of a device that was revoked."""

    name = "not-signed-in"
    status = 401


class ChallengeRefused(NotSignedIn):
    """The nonce was not given by this relay to this device, has expired, or was used before."""

    name = "challenge-refused"
    status = 401


class WrongOrigin(NotSignedIn):
    """The sign-in was made for another address than this relay answers at: perhaps somebody passed it on."""

    name = "wrong-origin"
    status = 401


class Refused(RelayError):
    """Understood, and not allowed."""

    name = "refused"
    status = 403


class InviteRefused(Refused):
    """The invite is unknown, expired, or was used for another library."""

    name = "invite-refused"
    status = 403


class NotAMember(Refused):
    """The device that signed is no member of the library, as far as this relay was told."""

    name = "not-a-member"
    status = 403


class Forged(Refused):
    """Signed bytes whose signature does not hold, or that were made for another library. `index` counts from 0."""

    name = "forged"
    status = 403


class PruneRefused(Refused):
    """A prune entry that contradicts what the relay holds, or whose checkpoint or confirmation it does not hold."""

    name = "prune-refused"
    status = 403


class NotThere(RelayError):
    """Base of what does not exist here."""

    name = "not-there"
    status = 404


class NoSuchPath(NotThere):
    """The relay has nothing at this path."""

    name = "no-such-path"
    status = 404


class WrongMethod(NotThere):
    """The path exists, but not for this method."""

    name = "wrong-method"
    status = 405


class NoSuchEnvelope(NotThere):
    """The relay has no envelope of this device with this number, or has not had it yet."""

    name = "no-such-envelope"
    status = 404


class NoSuchBlob(NotThere):
    """The library has no such blob at this relay, or not the whole of it."""

    name = "no-such-blob"
    status = 404


class NoSuchMailbox(NotThere):
    """No mailbox of this number, or not with this token; expired ones are gone."""

    name = "no-such-mailbox"
    status = 404


class Conflict(RelayError):
    """Base of what contradicts what the relay holds already."""

    name = "conflict"
    status = 409


class LibraryExists(Conflict):
    """The library is at this relay already, under another invite."""

    name = "library-exists"
    status = 409


class SequenceConflict(Conflict):
    """The relay holds another envelope at this place of the chain, or the link does not fit the one before.

    `device_id`, `seq` and `hash` name the envelope it holds: either two copies of one device are at work, or the
    relay was given a forgery. Clients turn this into an alarm.
    """

    name = "sequence-conflict"
    status = 409


class SequenceGap(Conflict):
    """Envelopes between what the relay holds and this one are missing. `seq` is the last it holds (0: none)."""

    name = "sequence-gap"
    status = 409


class OffsetMismatch(Conflict):
    """The upload stands at another offset, which `offset` tells: go on from there. `size` is its declared length."""

    name = "offset-mismatch"
    status = 409


class BlobDamaged(Conflict):
    """What was uploaded does not have the hash that is its id. Nothing of it was kept."""

    name = "blob-damaged"
    status = 409


class MailboxClaimed(Conflict):
    """Another newcomer has this mailbox, or it is full."""

    name = "mailbox-claimed"
    status = 409


class TooManyRequests(RelayError):
    """Faster than this relay allows. Try again after `retry_after` seconds."""

    name = "rate"
    status = 429


class Broken(RelayError):
    """A fault of the relay; its log says more under the request's id."""

    name = "internal"
    status = 500


class Unavailable(RelayError):
    """The relay's database or storage does not answer, or it is shutting down. Try again."""

    name = "unavailable"
    status = 503


class QuotaFull(RelayError):
    """The library's quota at this relay does not hold this. `quota`, `over`, `limit` and `used` say by how much."""

    name = "quota-full"
    status = 507


def _classes(base: type[RelayError]) -> dict[str, type[RelayError]]:
    found = {base.name: base}
    for child in base.__subclasses__():
        found.update(_classes(child))
    return found


BY_NAME: Final = _classes(RelayError)
"""Each class by the name it crosses the network under."""
