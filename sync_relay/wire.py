"""What crosses the network between a device and a relay: paths, bounds and the shapes of bodies.

Every body but a blob's is one of the structs below, as MessagePack (`application/msgpack`, what clients send) or as
JSON with bytes in base64 (`application/json`, for people and tests). A relay answers in the form that `Accept` asks
for, JSON by default. Readers ignore fields they do not know, so fields may be added; anything else is a new version,
under another `BASE`. Ids and hashes are 32 bytes, in paths 64 lower-case hexadecimal digits.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from crypto.envelope import MAX_ENVELOPE_BYTES
from crypto.membership_entry import MAX_ENTRY_BYTES
from sync_relay.errors import ErrorDetails  # noqa: TC001 (msgspec reads annotations when it runs)

if TYPE_CHECKING:
    from collections.abc import Iterable

PROTOCOL: Final = 1
BASE: Final = "/v1"
DEFAULT_PORT: Final = 7465

MSGPACK: Final = "application/msgpack"
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"

# The header fields of an upload, and of errors that a HEAD request cannot carry in a body.
UPLOAD_OFFSET: Final = "upload-offset"
UPLOAD_LENGTH: Final = "upload-length"
ERROR_NAME: Final = "safelight-error"

NONCE_BYTES: Final = 32
MAX_NONCE_BYTES: Final = 128
MAX_ITEMS: Final = 1_000
"""How many envelopes, entries or ids one request carries, and how many items one page of the log."""
MAX_STATEMENT_BYTES: Final = 256 << 10
MAX_STATEMENTS: Final = 16
"""How many deletes and prune entries one request carries: one of them may name thousands of things."""
MAX_ENTRIES: Final = 2_000
"""How many membership entries of its devices a relay keeps of one library: whoever adds one makes it look at all of
them. What revoked devices wrote is not counted among them."""
MOST_ENTRIES: Final = 6 * MAX_ENTRIES
"""More than a relay keeps in any case: twice `MAX_ENTRIES`, and then a revocation and a rotation for each device."""
MAX_PRESENTED: Final = 256
"""How many membership entries a sign-in brings along, of `BATCH_BYTES` in all."""
MAX_APPEND_BYTES: Final = MAX_ENVELOPE_BYTES + (64 << 10)
"""Body of one append: the largest envelope fits, and clients fill requests of small ones up to `BATCH_BYTES`."""
BATCH_BYTES: Final = 1 << 20
MAX_SMALL_BYTES: Final = 64 << 10
"""Body of every request that has no bound of its own."""
MAX_PAGE_BYTES: Final = 4 << 20
"""Where a page of the log ends; a page holds at least one item, however large."""
MAX_BLOB_BYTES: Final = 64 << 30
MAX_LETTER_BYTES: Final = 4 << 10
MAX_LETTERS: Final = 16
"""Letters each side may leave in a pairing mailbox."""

KIND_ENVELOPE: Final = 1
KIND_MEMBERSHIP: Final = 2
KIND_DELETE: Final = 3
KIND_PRUNE: Final = 4
KINDS: Final = (KIND_ENVELOPE, KIND_MEMBERSHIP, KIND_DELETE, KIND_PRUNE)
ALL_KINDS: Final = 0b1111
"""Every kind of item, as `kinds` of `GET /v1/log` has them: kind k is the bit of value 2 ** (k - 1)."""
MAX_COVERED: Final = 10_000
"""How many devices' chains one `Past` tells."""
MAX_PAST_BYTES: Final = MAX_COVERED * 64

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Natural = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Seq = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
Token = Annotated[str, Meta(max_length=128, pattern="^[A-Za-z0-9._~+/=-]+$")]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class Struct(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of every body; fields that have their default do not cross the network."""


class ErrorBody(Struct, frozen=True):
    """Every answer from 400 on: `error` is the `name` of a class in `sync_relay.errors`."""

    error: str
    message: str
    hint: str | None = None
    details: ErrorDetails | None = None


class About(Struct, frozen=True):
    """What kind of relay this is: `GET /v1`, for anyone. A client that reads anything else is not at a relay."""

    relay: str
    protocols: list[int]
    time: Natural


class ChallengeRequest(Struct, frozen=True):
    """Ask to sign in. Without `library_id`, as after a loss with only the phrase: to whatever this device is in."""

    device_id: Id
    library_id: Id | None = None


class Challenge(Struct, frozen=True):
    """A nonce, good once, for `expires_in` seconds. `time` (UTC seconds) is told to be shown, never to be relied on."""

    nonce: Annotated[bytes, Meta(max_length=MAX_NONCE_BYTES)]
    time: Natural
    expires_in: Natural


class SignIn(Struct, frozen=True):
    """The challenge, signed (`sync_relay.statements.sign_in_statement`) for the origin the client is connected to.

    A device that the relay was not told of brings the membership `entries` of `library_id` that make it a member: they
    are kept if with them it is one. Each is signed by itself, so the signature does not cover them.
    """

    device_id: Id
    nonce: Annotated[bytes, Meta(max_length=MAX_NONCE_BYTES)]
    origin: Annotated[str, Meta(max_length=255)]
    time: Natural
    signature: Signature
    library_id: Id | None = None
    entries: Annotated[list[Annotated[bytes, Meta(max_length=MAX_ENTRY_BYTES)]], Meta(max_length=MAX_PRESENTED)] = []


class Session(Struct, frozen=True):
    """A token for one device in one library, good for `expires_in` seconds, and where the library's log stands.

    Positions are of one `generation`: where it is another than before, the relay was restored from a backup, and a
    client reads its log from the beginning.
    """

    token: Token
    expires_in: Natural
    library_id: Id
    position: Natural
    generation: Annotated[bytes, Meta(max_length=64)]


class CreateLibrary(Struct, frozen=True):
    """Found a library here: an invite of the relay's owner, and the library's genesis entry.

    `entries` are its further membership entries, each after those it names: without them, only the devices that
    genesis names could sign in.
    """

    invite: Annotated[str, Meta(min_length=1, max_length=128)]
    genesis: Annotated[bytes, Meta(max_length=4 << 10)]
    entries: Annotated[list[Annotated[bytes, Meta(max_length=MAX_ENTRY_BYTES)]], Meta(max_length=MAX_ENTRIES - 1)] = []


class Usage(Struct, frozen=True):
    """What a library takes at this relay, and may take. Objects are envelopes, entries, statements and blobs."""

    library_id: Id
    bytes: Natural
    objects: Natural
    quota_bytes: Natural
    quota_objects: Natural


class Append(Struct, frozen=True):
    """Envelopes, in an order in which each follows what the relay has or what stands before it here."""

    envelopes: Annotated[list[Annotated[bytes, Meta(max_length=MAX_ENVELOPE_BYTES)]], Meta(max_length=MAX_ITEMS)]


class AppendEntries(Struct, frozen=True):
    """Membership entries, in an order in which each follows those it names."""

    entries: Annotated[list[Annotated[bytes, Meta(max_length=MAX_ENTRY_BYTES)]], Meta(max_length=MAX_ITEMS)]


class AppendStatements(Struct, frozen=True):
    """Signed deletes and prune entries (`sync_relay.statements`)."""

    statements: Annotated[list[Annotated[bytes, Meta(max_length=MAX_STATEMENT_BYTES)]], Meta(max_length=MAX_STATEMENTS)]


class Appended(Struct, frozen=True):
    """Where the log stands now, and how many of the things sent were new. What the relay had already is no error."""

    position: Natural
    stored: Natural


class Item(Struct, frozen=True):
    """One thing of the log. `kind` is one of `KIND_…`; of a pruned envelope, `body` is gone and its name is told."""

    position: Natural
    kind: Natural
    body: bytes | None = None
    device_id: Id | None = None
    seq: Seq | None = None
    hash: Id | None = None


class LogPage(Struct, frozen=True):
    """Items after a position, in order. Ask again after `position` while `more`."""

    items: list[Item]
    position: Natural
    more: bool = False


class Covered(Struct, frozen=True):
    """A device's chain up to and with an envelope: whoever asks has it, or needs it no more."""

    device_id: Id
    seq: Seq


class Past(Struct, frozen=True):
    """Ask for the envelopes past a vector, in the order of the log: those after `after`, at most `limit` at once.

    Of each device that `covered` names (each once), those beyond that number; of all others, every one. So a device
    reads what follows a checkpoint, or what it lacks after a relay was put back, without reading all of the log.
    """

    after: Natural = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_ITEMS)] = MAX_ITEMS
    covered: Annotated[list[Covered], Meta(max_length=MAX_COVERED)] = []


class Head(Struct, frozen=True):
    """The newest envelope of a device that the relay holds, or knows to have been pruned."""

    device_id: Id
    seq: Seq
    hash: Id


class Heads(Struct, frozen=True):
    """The relay's vector: the exact truth of what it has. Positions only say where to go on reading.

    `entries` is the `entries_digest` of the membership entries it has; empty from a relay that does not tell.
    """

    heads: list[Head]
    position: Natural
    entries: Annotated[bytes, Meta(max_length=32)] = b""


class BlobQuery(Struct, frozen=True):
    """Ask about many blobs at once."""

    ids: Annotated[list[Id], Meta(max_length=MAX_ITEMS)]


class BlobState(Struct, frozen=True):
    """One blob: `absent`, `partial` (`offset` of `size` bytes are here), `stored`, or `leaving` at `gone_at`.

    A blob that is leaving can still be fetched, and stays if it is uploaded again.
    """

    id: Id
    state: str
    size: Natural = 0
    offset: Natural = 0
    gone_at: Natural | None = None


class BlobStates(Struct, frozen=True):
    """The state of each blob asked for, in that order."""

    blobs: list[BlobState]


class Prove(Struct, frozen=True):
    """Ask the relay to show that it holds a blob: the nonce is fresh and random."""

    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]


class Proof(Struct, frozen=True):
    """BLAKE2b-256 keyed with the nonce over the whole ciphertext, read for this answer."""

    proof: Id


class MailboxSide(Struct, frozen=True):
    """One side of a pairing mailbox: its number is the first word of the code, its token opens this side only."""

    number: Natural
    token: Token
    expires_in: Natural


class Letter(Struct, frozen=True):
    """One message of a pairing: bytes that the relay cannot make sense of."""

    body: Annotated[bytes, Meta(min_length=1, max_length=MAX_LETTER_BYTES)]


class Letters(Struct, frozen=True):
    """What the other side left, from the `after`-th letter on."""

    letters: list[bytes]
    claimed: bool


class Health(Struct, frozen=True):
    """`ok`, or what does not work."""

    status: str


class Pushed(Struct, frozen=True):
    """All that a WebSocket ever carries: the library's log has reached this position."""

    position: Natural


def kinds_mask(kinds: Iterable[int]) -> int:
    """Return kinds of items as one number, as `GET /v1/log` takes them."""
    mask = 0
    for kind in kinds:
        mask |= 1 << (kind - 1)
    return mask


def entries_digest(names: Iterable[bytes]) -> bytes:
    """Return what tells one set of membership entries from another: BLAKE2b-256 of their names, sorted and joined.

    A name is the hash of an entry (`crypto.membership.entry_hash`), 32 bytes; genesis is one of them.
    """
    return hashlib.blake2b(b"".join(sorted(names)), digest_size=32).digest()


def hex_id(value: bytes) -> str:
    """Return an id as it stands in a path."""
    return value.hex()
