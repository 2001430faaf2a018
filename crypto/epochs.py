"""Opening the keys of epochs: those sealed to a member, and those wrapped under the keys it so holds.

Each epoch's key is sealed to every member of its time and wraps the key before it (or several, where histories
merged), so a newcomer that is given the newest reads everything. The photo id key never changes: it comes with the
entry that admitted a member. Whoever made an epoch committed to both keys by its check, so each key is compared
with it, however it was come by.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crypto import exchange
from crypto.aead import COMMITMENT_BYTES, KEY_BYTES, committed_key, decrypt, encrypt, open_committed_key
from crypto.errors import CryptoError, NotAMember
from crypto.genesis import open_epoch, verify_epoch_check
from crypto.keys import EpochKeys
from crypto.purposes import Person

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crypto.keys import DeviceSecrets
    from crypto.membership import Membership
    from crypto.membership_entry import Entry


@dataclass(frozen=True)
class Keyring:
    """The keys one member holds, by epoch id.

    `tops` are the epochs whose keys open with no other key of the ring, so that whoever is to read everything needs
    each of them. `damaged` are the entries that gave this member another key than the epoch's, or none: their author
    is broken or hostile. Keys it holds all the same are in `keys`.
    """

    keys: Mapping[bytes, EpochKeys] = field(repr=False)
    tops: frozenset[bytes]
    damaged: Mapping[bytes, CryptoError]


def open_epochs(membership: Membership, secrets: DeviceSecrets) -> Keyring:
    """Return all epoch keys that a member, or one that was a member, can open.

    Raises `NotAMember` where nothing was ever sealed to these secrets, and what opening boxes raises where nothing
    of it opens: for want of the photo id key, no epoch's key could be checked.
    """
    damaged: dict[bytes, CryptoError] = {}
    keys: dict[bytes, EpochKeys] = {}
    for entry_hash, opened in _admitted_with(membership, secrets):
        if isinstance(opened, CryptoError):
            damaged[entry_hash] = opened
        else:
            keys[opened.epoch_id] = opened
    if not keys:
        raise (
            next(iter(damaged.values()))
            if damaged
            else NotAMember(
                f"device {secrets.device_id.hex()[:8]} is not a member of library {membership.library_id.hex()[:8]}",
                hint="These secrets or this recovery phrase belong to another library.",
            )
        )
    pid_key = next(iter(keys.values())).pid_key
    for epoch_id in membership.epochs:
        rotation = membership.entries.get(epoch_id)
        if rotation is not None and secrets.device_id in rotation.rotation.boxes and epoch_id not in keys:
            try:
                keys[epoch_id] = _open_rotation(rotation, secrets, pid_key)
            except CryptoError as error:
                damaged[epoch_id] = error
    wrapped = _unwrap_all(membership, keys, pid_key, damaged)
    return Keyring(keys, frozenset(keys.keys() - wrapped), damaged)


def must_rotate(membership: Membership, keyring: Keyring) -> bool:
    """Tell whether the member that holds `keyring` makes a new epoch before it writes anything else.

    That is, where a rotation is due; where it was not given the current key; and where it holds the key of another
    valid epoch that does not open with the current one's, which the author of that one did not have (or left out).
    """
    loose = any(top != membership.current and not membership.epochs[top].is_void for top in keyring.tops)
    return membership.rotation_due or membership.current not in keyring.keys or loose


def _admitted_with(membership: Membership, secrets: DeviceSecrets) -> Iterator[tuple[bytes, EpochKeys | CryptoError]]:
    """Yield what the entries that admitted this member gave it."""
    genesis = membership.genesis
    if secrets.device_id in {genesis.device_id, genesis.phrase_id}:
        yield genesis.library_id, open_epoch(genesis, secrets)
    for entry in membership.admissions(secrets.device_id):
        try:
            yield entry.hash, _open_admission(membership, entry, secrets)
        except CryptoError as error:
            yield entry.hash, error


def _context(membership: Membership, epoch_id: bytes) -> bytes:
    """The bytes of an epoch's entry that end with the check of its keys."""
    entry = membership.entries.get(epoch_id)
    return membership.genesis.context if entry is None else entry.rotation.context


def _open_admission(membership: Membership, entry: Entry, secrets: DeviceSecrets) -> EpochKeys:
    said = entry.admission
    thing = f"the keys in {entry.name}"
    keys = exchange.open_box(secrets.exchange_secret, Person.EPOCH_BOX, said.context, said.box, thing)
    verify_epoch_check(keys, _context(membership, said.epoch_id), entry.name)
    return EpochKeys(said.epoch_id, keys[:KEY_BYTES], keys[KEY_BYTES:])


def _open_rotation(entry: Entry, secrets: DeviceSecrets, pid_key: bytes) -> EpochKeys:
    said = entry.rotation
    box = said.boxes[secrets.device_id]
    thing = f"the key in {entry.name}"
    key = exchange.open_box(secrets.exchange_secret, Person.EPOCH_BOX, said.context, box, thing)
    verify_epoch_check(key + pid_key, said.context, entry.name)
    return EpochKeys(entry.hash, key, pid_key)


def _unwrap_all(
    membership: Membership, keys: dict[bytes, EpochKeys], pid_key: bytes, damaged: dict[bytes, CryptoError]
) -> set[bytes]:
    """Add every wrapped key to `keys`; return the epochs whose keys are wrapped well under another's."""
    wrapped = set()
    waiting = deque(keys)
    while waiting:
        entry = membership.entries.get(waiting.popleft())
        if entry is None:
            continue
        for epoch_id, sealed in entry.rotation.wrapped.items():
            try:
                key = unwrap_key(keys[entry.hash].epoch_key, entry.rotation.context, epoch_id, sealed, entry.name)
                verify_epoch_check(key + pid_key, _context(membership, epoch_id), entry.name)
            except CryptoError as error:
                damaged[entry.hash] = error
                continue
            wrapped.add(epoch_id)
            if epoch_id not in keys:
                keys[epoch_id] = EpochKeys(epoch_id, key, pid_key)
                waiting.append(epoch_id)
    return wrapped


def wrap_key(new_key: bytes, context: bytes, epoch_id: bytes, key: bytes) -> bytes:
    """Return commitment (32) ‖ `key` encrypted (48): the key of an earlier epoch, for all who hold `new_key`.

    `context` are the bytes of the new epoch's entry before the wrapped keys, which no other entry repeats.
    """
    aead_key, commitment = committed_key(new_key, Person.EPOCH_WRAP, context + epoch_id)
    return commitment + encrypt(aead_key, key)


def unwrap_key(new_key: bytes, context: bytes, epoch_id: bytes, wrapped: bytes, thing: str) -> bytes:
    """Return what `wrap_key` wrapped; raises `CommitmentMismatch`, `DecryptionFailed` or `Truncated`."""
    commitment, sealed = wrapped[:COMMITMENT_BYTES], wrapped[COMMITMENT_BYTES:]
    aead_key = open_committed_key(new_key, Person.EPOCH_WRAP, context + epoch_id, commitment, thing)
    return decrypt(aead_key, sealed, thing)
