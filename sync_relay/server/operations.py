"""The table of everything the relay answers. The routes and the OpenAPI document both come from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from crypto.membership_entry import MAX_ENTRY_BYTES
from sync_relay import errors as e
from sync_relay import wire
from sync_relay.server import handlers, transfers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

    from sync_relay.server.call import Call


class Access(Enum):
    """Who may ask."""

    ANYONE = "anyone"
    PAIRING = "anyone, few times"
    MAILBOX = "a side of the mailbox"
    MEMBER = "a signed-in member"


@dataclass(frozen=True)
class Operation:
    """One method of one path: what it takes and gives, and every error it may answer beside the common ones.

    `result` is a struct, or None for bytes and pages that the handler answers itself; `query` and `headers` are the
    names of integer parameters, with the largest value each takes.
    """

    name: str
    method: str
    path: str
    summary: str
    access: Access
    handler: Callable[[Call], Awaitable[wire.Struct | Response | None]]
    body: type[wire.Struct] | None = None
    result: type[wire.Struct] | None = None
    media: str = ""
    statuses: tuple[int, ...] = (200,)
    body_limit: int = wire.MAX_SMALL_BYTES
    streams_in: bool = False
    query: tuple[tuple[str, int], ...] = ()
    headers: tuple[tuple[str, int], ...] = ()
    errors: tuple[type[e.RelayError], ...] = ()

    @property
    def all_errors(self) -> tuple[type[e.RelayError], ...]:
        """Every error this may answer."""
        found: list[type[e.RelayError]] = [e.TooManyRequests, e.Malformed, e.Broken, e.Unavailable]
        if self.access is Access.MEMBER:
            found += [e.NotSignedIn, e.NotAMember]
        if self.access is Access.MAILBOX:
            found += [e.NoSuchMailbox]
        if self.body or self.streams_in:
            found += [e.TooLarge, e.UnsupportedMedia]
        if "{" in self.path:
            found += [e.NoSuchPath]
        return tuple(dict.fromkeys([*found, *self.errors]))


_BIG: Final = (1 << 63) - 1
_ANY, _PAIRING, _BOX, _MEMBER = Access.ANYONE, Access.PAIRING, Access.MAILBOX, Access.MEMBER
_SIGNED: Final = (e.Forged, e.NotAMember, e.QuotaFull)


def _operation(
    name: str, route: str, access: Access, handler: Callable[[Call], Awaitable[Any]], summary: str, **more: Any
) -> Operation:
    method, path = route.split(" ")
    return Operation(name, method, path, summary, access, handler, **more)


OPERATIONS: Final = (
    _operation("about", "GET /v1", _ANY, handlers.about, "What kind of relay this is.", result=wire.About),
    _operation(
        "challenge",
        "POST /v1/sign-in/challenge",
        _ANY,
        handlers.challenge,
        "A nonce to sign.",
        body=wire.ChallengeRequest,
        result=wire.Challenge,
    ),
    _operation(
        "sign-in",
        "POST /v1/sign-in",
        _ANY,
        handlers.sign_in,
        "A short-lived token, for a signed challenge; entries that come with it are kept if they make a member.",
        body=wire.SignIn,
        result=wire.Session,
        body_limit=wire.BATCH_BYTES,
        errors=(e.ChallengeRefused, e.WrongOrigin, e.Forged, e.NotAMember, e.Conflict, e.QuotaFull),
    ),
    _operation(
        "found",
        "POST /v1/libraries",
        _ANY,
        handlers.found,
        "Found a library with an invite and its membership entries. Repeating it is no error.",
        body=wire.CreateLibrary,
        result=wire.Usage,
        body_limit=wire.BATCH_BYTES,
        errors=(e.InviteRefused, e.LibraryExists, e.Forged),
    ),
    _operation(
        "usage", "GET /v1/usage", _MEMBER, handlers.usage, "What the library takes and may take.", result=wire.Usage
    ),
    _operation(
        "pull",
        "GET /v1/log",
        _MEMBER,
        handlers.pull,
        "Envelopes (1), membership entries (2), deletes (4) and prune entries (8) after a position: "
        "all, or those whose numbers make the sum `kinds`.",
        result=wire.LogPage,
        query=(("after", _BIG), ("limit", wire.MAX_ITEMS), ("kinds", wire.ALL_KINDS)),
    ),
    _operation(
        "pull-past",
        "POST /v1/log/past",
        _MEMBER,
        handlers.past,
        "Envelopes past a vector, in the order of the log.",
        body=wire.Past,
        result=wire.LogPage,
        body_limit=wire.MAX_PAST_BYTES,
    ),
    _operation(
        "envelope",
        "GET /v1/envelopes/{device}/{seq}",
        _MEMBER,
        handlers.envelope,
        "One envelope, or of a pruned one its name.",
        result=wire.Item,
        errors=(e.NoSuchEnvelope,),
    ),
    _operation(
        "heads",
        "GET /v1/heads",
        _MEMBER,
        handlers.heads,
        "The newest envelope of each device, and a digest of the membership entries.",
        result=wire.Heads,
    ),
    _operation(
        "append",
        "POST /v1/envelopes",
        _MEMBER,
        handlers.append,
        "Append envelopes, of whatever device: all, or none. Repeats are no error.",
        body=wire.Append,
        result=wire.Appended,
        body_limit=wire.MAX_APPEND_BYTES,
        errors=(*_SIGNED, e.SequenceConflict, e.SequenceGap),
    ),
    _operation(
        "append-entries",
        "POST /v1/membership",
        _MEMBER,
        handlers.append_entries,
        "Add membership entries. Repeats are no error.",
        body=wire.AppendEntries,
        result=wire.Appended,
        body_limit=8 * MAX_ENTRY_BYTES,
        errors=_SIGNED,
    ),
    _operation(
        "append-statements",
        "POST /v1/statements",
        _MEMBER,
        handlers.append_statements,
        "Add signed deletes and prune entries; their grace begins. Repeats are no error.",
        body=wire.AppendStatements,
        result=wire.Appended,
        body_limit=2 * wire.MAX_STATEMENT_BYTES,
        errors=(*_SIGNED, e.PruneRefused),
    ),
    _operation(
        "blob-states",
        "POST /v1/blobs/query",
        _MEMBER,
        handlers.blob_states,
        "Which of many blobs are here, and how much of them.",
        body=wire.BlobQuery,
        result=wire.BlobStates,
        body_limit=wire.MAX_ITEMS * 64,
    ),
    _operation(
        "upload",
        "PUT /v1/blobs/{blob}",
        _MEMBER,
        transfers.upload,
        "Upload a blob, or go on with it at the byte where it stands. 202 while some of it is missing.",
        result=wire.BlobState,
        statuses=(200, 202),
        streams_in=True,
        headers=((wire.UPLOAD_OFFSET, wire.MAX_BLOB_BYTES), (wire.UPLOAD_LENGTH, wire.MAX_BLOB_BYTES)),
        errors=(e.QuotaFull, e.OffsetMismatch, e.BlobDamaged),
    ),
    _operation(
        "download",
        "GET /v1/blobs/{blob}",
        _MEMBER,
        transfers.download,
        "A blob, or the range of it that `Range: bytes=…` asks for.",
        media=wire.BINARY,
        statuses=(200, 206),
        errors=(e.NoSuchBlob, e.WrongRange),
    ),
    _operation(
        "blob-size",
        "HEAD /v1/blobs/{blob}",
        _MEMBER,
        transfers.download,
        "Whether a blob is here, and its size; errors by their name in `safelight-error`.",
        media=wire.BINARY,
        statuses=(200, 206),
        errors=(e.NoSuchBlob, e.WrongRange),
    ),
    _operation(
        "prove",
        "POST /v1/blobs/{blob}/proof",
        _MEMBER,
        transfers.prove,
        "BLAKE2b-256 keyed with a fresh nonce over the whole blob.",
        body=wire.Prove,
        result=wire.Proof,
        errors=(e.NoSuchBlob,),
    ),
    _operation(
        "open-mailbox", "POST /v1/mailboxes", _MEMBER, handlers.open_mailbox, "Pair a device.", result=wire.MailboxSide
    ),
    _operation(
        "claim-mailbox",
        "POST /v1/mailboxes/{number}/claim",
        _PAIRING,
        handlers.claim_mailbox,
        "Become the other side of a mailbox; there is no third.",
        result=wire.MailboxSide,
        errors=(e.NoSuchMailbox, e.MailboxClaimed),
    ),
    _operation(
        "leave-letter",
        "POST /v1/mailboxes/{number}/letters",
        _BOX,
        handlers.leave_letter,
        "Leave a letter for the other side.",
        body=wire.Letter,
        body_limit=2 * wire.MAX_LETTER_BYTES,
        statuses=(204,),
        errors=(e.MailboxClaimed,),
    ),
    _operation(
        "collect-letters",
        "GET /v1/mailboxes/{number}/letters",
        _BOX,
        handlers.collect_letters,
        "What the other side left.",
        result=wire.Letters,
        query=(("after", wire.MAX_LETTERS),),
    ),
    _operation(
        "close-mailbox",
        "DELETE /v1/mailboxes/{number}",
        _BOX,
        handlers.close_mailbox,
        "Empty and remove a mailbox.",
        statuses=(204,),
    ),
    _operation("live", "GET /healthz", _ANY, handlers.live, "Whether this process answers.", result=wire.Health),
    _operation(
        "ready",
        "GET /readyz",
        _ANY,
        handlers.ready,
        "Whether database and storage answer too.",
        result=wire.Health,
    ),
    _operation(
        "status-page", "GET /", _ANY, handlers.status_page, "What this relay stores and cannot see.", media="text/html"
    ),
    _operation(
        "openapi", "GET /openapi.json", _ANY, handlers.openapi_document, "This document.", media="application/json"
    ),
)
