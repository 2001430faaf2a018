"""Making membership entries: what a member says next, beside everything it knows.

Each function returns a finished entry, which is refused by nobody who evaluates it: what others would refuse is
`MembershipInvalid` here. Nothing changes until the entry is evaluated (`Membership.with_entries`) and given to the
others. An add is a draft until the newcomer has countersigned it.
"""

from __future__ import annotations

import secrets as system_random
from typing import TYPE_CHECKING

from crypto import exchange, signing
from crypto.aead import KEY_BYTES
from crypto.epochs import must_rotate, wrap_key
from crypto.errors import MembershipInvalid, NotAMember, RotationDue
from crypto.genesis import epoch_check
from crypto.membership_entry import (
    COUNTS,
    END_OF_TIME,
    MAX_RECIPIENTS,
    MAX_WRAPS,
    MEMBER,
    REVOKED,
    START,
    Cut,
    Entry,
    EntryKind,
    read_entry,
    verify_entry,
)
from crypto.preamble import Kind, preamble
from crypto.purposes import Person, Signed
from crypto.signing import SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crypto.epochs import Keyring
    from crypto.keys import DeviceSecrets
    from crypto.membership import Membership


def revoke(membership: Membership, secrets: DeviceSecrets, device_id: bytes, cut: Cut, *, created_at: int = 0) -> Entry:
    """Return the revocation of `device_id`, of which everything up to `cut` was accepted. Rotate next.

    Raises `NotAMember`, and `MembershipInvalid` for a device that was never added or is revoked, and for the phrase.
    """
    start = _start(EntryKind.REVOKE, membership, secrets, membership.heads_for(secrets.device_id), created_at)
    return _finished(membership, secrets, start + REVOKED.pack(device_id, cut.seq, cut.hash))


def rotate(membership: Membership, secrets: DeviceSecrets, keyring: Keyring, *, created_at: int = 0) -> Entry:
    """Return a rotation: a fresh key for every member, under which the newest keys of `keyring` are wrapped.

    Raises `NotAMember`. Where more than 64 epochs have to be wrapped, the rest is left to the next rotation.
    """
    drawn = iter(lambda: system_random.token_bytes(KEY_BYTES), b"")
    return _rotate_with(drawn, membership, secrets, keyring, created_at)


def _rotate_with(
    drawn: Iterator[bytes], membership: Membership, secrets: DeviceSecrets, keyring: Keyring, created_at: int
) -> Entry:
    # Of more heads than an entry names, it is made as who knows of those alone would make it; the next covers more.
    heads = membership.heads_for(secrets.device_id)
    seen, epochs = membership.seen_from(heads)
    members = [seen[device_id] for device_id in sorted(seen)]
    if len(members) > MAX_RECIPIENTS:
        raise MembershipInvalid(f"a key is sealed to at most {MAX_RECIPIENTS} members, not to {len(members)}")
    tops = (keyring.tops & epochs) or (keyring.keys.keys() & epochs)
    by_need = sorted(tops, key=lambda top: (top != membership.current, membership.epochs[top].is_void, top))
    wrapped = sorted(by_need[:MAX_WRAPS])
    new_key = next(drawn)
    pid_key = keyring.keys[wrapped[0]].pid_key
    start = _start(EntryKind.ROTATE, membership, secrets, heads, created_at)
    start += COUNTS.pack(len(wrapped), len(members)) + b"".join(wrapped)
    start += b"".join(member.device_id for member in members)
    context = start + epoch_check(new_key + pid_key, start)
    body = context + b"".join(
        wrap_key(new_key, context, epoch_id, keyring.keys[epoch_id].epoch_key) for epoch_id in wrapped
    )
    body += b"".join(
        exchange.seal_to(member.exchange, Person.EPOCH_BOX, context, new_key, ephemeral=next(drawn))
        for member in members
    )
    return _finished(membership, secrets, body)


def draft_add(
    membership: Membership,
    secrets: DeviceSecrets,
    keyring: Keyring,
    device_id: bytes,
    exchange_public: bytes,
    *,
    continues: bool = False,
    created_at: int = 0,
) -> bytes:
    """Return the add of a device, to be countersigned by it (`countersign`).

    It gives the newcomer the current epoch's keys, hence every earlier one. `continues`: the newcomer is a copy of
    this very device. Raises `NotAMember`, `RotationDue` (rotate first), `KeyRefused`, and `MembershipInvalid` for a
    device that is or was a member.
    """
    if must_rotate(membership, keyring):
        raise RotationDue("the epoch's key has to be changed before a device is added")
    drawn = exchange.new_secret()
    return _admit_with(
        drawn, EntryKind.ADD, membership, secrets, keyring, (device_id, exchange_public, continues), created_at
    )


def _admit_with(
    ephemeral: bytes,
    kind: EntryKind,
    membership: Membership,
    secrets: DeviceSecrets,
    keyring: Keyring,
    newcomer: tuple[bytes, bytes, bool],
    created_at: int,
) -> bytes:
    device_id, exchange_public, continues = newcomer
    epoch = keyring.keys[membership.current]
    context = _start(kind, membership, secrets, membership.heads_for(secrets.device_id), created_at)
    context += MEMBER.pack(device_id, exchange_public, epoch.epoch_id, continues)
    keys = epoch.epoch_key + epoch.pid_key
    body = context + exchange.seal_to(exchange_public, Person.EPOCH_BOX, context, keys, ephemeral=ephemeral)
    draft = body + signing.sign(secrets.signing_seed, Signed.MEMBERSHIP, body)
    _check(membership, read_entry(draft, membership.library_id, draft=True))
    return draft


def check_draft(draft: bytes, library_id: bytes, newcomer: DeviceSecrets) -> Entry:
    """Return what a drafted add says, for the newcomer to look at before it countersigns.

    Raises what `read_entry` raises, `SignatureInvalid`, and `NotAMember` where it adds somebody else.
    """
    entry = read_entry(draft, library_id, draft=True)
    added = entry.admission if entry.kind in {EntryKind.ADD, EntryKind.REPLACE} else None
    if added is None or (added.device_id, added.exchange) != (newcomer.device_id, newcomer.exchange_public):
        raise NotAMember("this membership entry does not add this device")
    signing.verify(
        entry.author, Signed.MEMBERSHIP, draft[:-SIGNATURE_BYTES], draft[-SIGNATURE_BYTES:], "the drafted entry"
    )
    return entry


def countersign(draft: bytes, library_id: bytes, newcomer: DeviceSecrets) -> Entry:
    """Return the finished add, signed by the newcomer after `check_draft`, whose errors it raises."""
    check_draft(draft, library_id, newcomer)
    return verify_entry(draft + signing.sign(newcomer.signing_seed, Signed.COUNTERSIGNATURE, draft), library_id)


def replace_phrase(
    membership: Membership, phrase: DeviceSecrets, keyring: Keyring, replacement: DeviceSecrets, *, created_at: int = 0
) -> Entry:
    """Return the entry by which a recovery phrase is replaced by another; rotate next, for the old one knows the key.

    `keyring` is the phrase's own. Raises `NotAMember`, `RotationDue`, or `MembershipInvalid` where `phrase` is none.
    """
    if must_rotate(membership, keyring):
        raise RotationDue("the epoch's key has to be changed before the recovery phrase is replaced")
    newcomer = (replacement.device_id, replacement.exchange_public, False)
    drawn = exchange.new_secret()
    draft = _admit_with(drawn, EntryKind.REPLACE, membership, phrase, keyring, newcomer, created_at)
    return countersign(draft, membership.library_id, replacement)


def _start(
    kind: EntryKind, membership: Membership, secrets: DeviceSecrets, heads: Sequence[bytes], created_at: int
) -> bytes:
    if not 0 <= created_at < END_OF_TIME:
        raise ValueError(f"{created_at} is not a time in UTC seconds from 1970 to 9999")
    if secrets.device_id not in membership.members:
        raise NotAMember(
            f"device {secrets.device_id.hex()[:8]} is not a member of library {membership.library_id.hex()[:8]}",
            hint="It was revoked, or never added: pair it anew.",
        )
    start = START.pack(kind, created_at, membership.library_id, secrets.device_id, len(heads))
    return preamble(Kind.MEMBERSHIP) + start + b"".join(sorted(heads))


def _finished(membership: Membership, secrets: DeviceSecrets, body: bytes) -> Entry:
    data = body + signing.sign(secrets.signing_seed, Signed.MEMBERSHIP, body)
    entry = read_entry(data, membership.library_id)
    _check(membership, entry)
    return entry


def _check(membership: Membership, entry: Entry) -> None:
    refusal = membership.refusal(entry)
    if refusal is not None:
        raise MembershipInvalid(f"this entry would be refused by everybody: {refusal}")
