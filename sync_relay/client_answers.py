"""Answers of a relay that have the right form and may still be none that a relay gives: what each has to satisfy.

Anything else raises `Unreachable`: a relay that answers so cannot be told from something that is no relay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto.envelope import MAX_ENVELOPE_BYTES, read_header
from crypto.errors import CryptoError
from crypto.membership_entry import MAX_ENTRY_BYTES
from sync_relay import wire

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sync_relay.client_http import Line

PAGE_BYTES: Final = MAX_ENVELOPE_BYTES + (1 << 20)
"""Bound of a page of the log: one item of the largest size, or about 4 MiB, and what stands around them."""
LIST_BYTES: Final = 2 << 20
LETTERS_BYTES: Final = wire.MAX_LETTERS * (wire.MAX_LETTER_BYTES + 64)

_MOST_BYTES: Final = {
    wire.KIND_ENVELOPE: MAX_ENVELOPE_BYTES,
    wire.KIND_MEMBERSHIP: MAX_ENTRY_BYTES,
    wire.KIND_DELETE: wire.MAX_STATEMENT_BYTES,
    wire.KIND_PRUNE: wire.MAX_STATEMENT_BYTES,
}
_STATES: Final = frozenset({"absent", "partial", "stored", "leaving"})


def check_session(line: Line, session: wire.Session, library_id: bytes | None) -> None:
    """Check that a sign-in led to the library it was made for."""
    if library_id is not None and session.library_id != library_id:
        raise line.odd("a sign-in to another library")


def checked_page(line: Line, page: wire.LogPage, after: int, limit: int, kinds: Collection[int]) -> wire.LogPage:
    """Return a page of the log that is one: items asked for, in order, and a position to go on from.

    What is in an item is not looked at, were it nothing: who reads it names the item, and reads the others.
    """
    last = after
    for item in page.items:
        if item.position <= last or (kinds and item.kind not in kinds):
            raise line.odd("a page of the log that is out of order, or holds what was not asked for")
        if item.body is None:
            if item.kind != wire.KIND_ENVELOPE or item.device_id is None or item.seq is None or item.hash is None:
                raise line.odd("an item of the log without its name")
        elif len(item.body) > _MOST_BYTES.get(item.kind, wire.MAX_PAGE_BYTES):
            raise line.odd("an item of the log that is longer than any can be")
        last = item.position
    ends_well = page.position == last if page.items else page.position <= after and not page.more
    if not ends_well or len(page.items) > limit:
        raise line.odd("a page of the log that does not say where it ends")
    return page


def checked_envelope(line: Line, item: wire.Item, library_id: bytes, device: bytes, seq: int) -> bytes | None:
    """Return the body of an item that is the envelope asked for, unverified, or None if it was pruned."""
    other = line.odd("another envelope than was asked for")
    if item.kind != wire.KIND_ENVELOPE:
        raise other
    if item.body is None:
        if (item.device_id, item.seq) != (device, seq):
            raise other
        return None
    try:
        header = read_header(item.body)
    except (CryptoError, ValueError):
        raise other from None
    if (header.library_id, header.device_id, header.seq) != (library_id, device, seq):
        raise other
    return item.body


def checked_heads(line: Line, heads: wire.Heads) -> wire.Heads:
    """Return heads that name each device once."""
    if len({head.device_id for head in heads.heads}) != len(heads.heads):
        raise line.odd("two newest envelopes of one device")
    return heads


def check_appended(line: Line, appended: wire.Appended, sent: int) -> None:
    """Check that no more was taken than was sent."""
    if appended.stored > sent:
        raise line.odd("word that it took more than it was sent")


def checked_states(line: Line, states: wire.BlobStates, ids: Sequence[bytes]) -> list[wire.BlobState]:
    """Return the states of the blobs asked for."""
    if [state.id for state in states.blobs] != list(ids):
        raise line.odd("the states of other blobs than were asked for")
    return [_checked_state(line, state) for state in states.blobs]


def checked_upload(line: Line, state: wire.BlobState, blob_id: bytes, size: int, status: int) -> wire.BlobState:
    """Return what an upload led to: that the blob is stored, or the offset to go on from."""
    _checked_state(line, state)
    partial = state.state == "partial"
    if state.id != blob_id or state.size != size or state.state == "absent" or partial != (status == 202):  # noqa: PLR2004
        raise line.odd("another upload's end")
    return state


def checked_side(line: Line, side: wire.MailboxSide) -> wire.MailboxSide:
    """Return a side of a mailbox whose number can stand in a code."""
    if not 0 <= side.number <= 1_000_000:  # noqa: PLR2004 (of the interface)
        raise line.odd("a mailbox without a number")
    return side


def checked_letters(line: Line, letters: wire.Letters) -> wire.Letters:
    """Return letters that are no more and no longer than letters are."""
    if len(letters.letters) > wire.MAX_LETTERS or any(
        not 0 < len(letter) <= wire.MAX_LETTER_BYTES for letter in letters.letters
    ):
        raise line.odd("letters that nobody can have left")
    return letters


def _checked_state(line: Line, state: wire.BlobState) -> wire.BlobState:
    fits = state.offset < state.size if state.state == "partial" else state.offset in {0, state.size}
    if state.state not in _STATES or not fits or state.size > wire.MAX_BLOB_BYTES:
        raise line.odd("a state that no blob has")
    return state
