"""The devices of a library: who they are, what they are called, and taking one out.

Who is a member is decided by the signed membership entries and nothing else; names are ordinary edits of the `library`
document, so a device's name can be wrong, and its fingerprint cannot.
"""

from __future__ import annotations

import contextlib
import platform
import time
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import CoreError, InvalidEdit, NoSuchDevice, NotAMember, Refused, WrongPhrase
from crdt.documents import LIBRARY
from crdt.operations import Put
from crypto import membership_change as change
from crypto.epochs import must_rotate, open_epochs
from crypto.errors import CryptoError, InvalidPhrase
from crypto.errors import NotAMember as NeverAMember
from crypto.fingerprint import fingerprint
from crypto.membership_entry import Cut, EntryKind
from crypto.pairing import MAX_NAME_BYTES, checked_name
from crypto.phrase import new_phrase, phrase_secrets
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.library import Library
    from crypto.keys import DeviceSecrets
    from crypto.membership import Membership
    from crypto.membership_entry import Entry

ADDED = "device.add"
"""The action under which a device is named."""

_NEW_PHRASE = "phrase not shown yet"
_UNNAMED = "this device"


@dataclass(frozen=True)
class DeviceRecord:
    """One device, as people see it.

    `added_at` and `last_seen` are UTC seconds, by that device's own clock; `last_seen` is the time of the newest
    envelope of it that has arrived here, None if there is none. `name` is empty where nothing names it. `added_by` is
    the device, or phrase, that added it; None for the one that founded the library.
    """

    device_id: bytes
    name: str
    added_at: int
    revoked: bool
    this: bool
    fingerprint: str
    last_seen: int | None
    added_by: bytes | None

    @property
    def is_silent(self) -> bool:
        """Whether nothing of it has come since it was added: it may never have finished joining, or never edited."""
        return self.last_seen is None and self.added_by is not None and not (self.revoked or self.this)


def devices(library: Library) -> list[DeviceRecord]:
    """Return every device the library has or had, the recovery phrase left out, in the order in which they came."""
    library.refresh()
    library.members.refresh()
    membership = library.members.membership
    names = device_names(library)
    found = []
    for device_id, exchange, added_at, added_by, copy_of in _everybody(membership):
        name = names.get(device_id) or (f"{names[copy_of]} (copy)" if copy_of and names.get(copy_of) else "")
        found.append(
            DeviceRecord(
                device_id=device_id,
                name=name,
                added_at=added_at,
                revoked=device_id not in membership.members,
                this=device_id == library.device_id,
                fingerprint=fingerprint(device_id, exchange),
                last_seen=_last_seen(library, device_id),
                added_by=added_by,
            )
        )
    return sorted(found, key=lambda record: (record.added_at, record.added_by is not None, record.device_id))


def device_names(library: Library) -> dict[bytes, str]:
    """Return the names that the `library` document has, by device id."""
    names = {}
    for key, value in library.replica_items(LIBRARY, "device"):
        if isinstance(value, str):
            try:
                names[bytes.fromhex(key)] = value
            except ValueError:
                continue  # a key that a later version writes
    return names


def find_device(library: Library, text: str) -> DeviceRecord:
    """Return the one device of the library that `text` means, as `one_device` does."""
    return one_device(devices(library), text)


def one_device(everybody: Sequence[DeviceRecord], text: str) -> DeviceRecord:
    """Return the one device that `text` means: its name, or any beginning of its id that no other one has.

    Members come before revoked devices. Raises `NoSuchDevice` where none is meant, or several are.
    """
    wanted = text.strip().casefold()
    for known in ([one for one in everybody if not one.revoked], everybody):
        found = [one for one in known if one.name.casefold() == wanted] or [
            one for one in known if wanted and one.device_id.hex().startswith(wanted)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(one.device_id.hex()[:8] for one in found)
            raise NoSuchDevice(f"{len(found)} devices are meant by this", hint=f"Use the beginning of an id: {ids}.")
    raise NoSuchDevice(
        "no device of the library has this name, or an id that begins like this",
        hint="`safelight device list` shows all of them.",
    )


def device_name(text: str) -> str:
    """Return a name for a device, trimmed; raises `InvalidEdit` for one that is empty, too long or cannot be shown."""
    name = unicodedata.normalize("NFC", text).strip()
    try:
        return checked_name(name.encode(), ValueError)
    except (ValueError, UnicodeEncodeError) as error:
        raise InvalidEdit(str(error), hint=f"Use 1 to {MAX_NAME_BYTES} bytes of ordinary text.") from None


def machine_name() -> str:
    """Return what to call this device where nobody says: the machine's name, as far as it can be shown."""
    text = unicodedata.normalize("NFC", platform.node())
    shown = "".join(letter for letter in text if unicodedata.category(letter)[0] not in "CZ")
    return shown.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or _UNNAMED


def rename_device(library: Library, device_id: bytes, name: str) -> str:
    """Give a device another name and return that, as it is kept; raises `InvalidEdit`."""
    kept = device_name(name)
    library.commit(
        {LIBRARY: [Put("device", device_id.hex(), kept)]}, action="device.rename", summary=f"device named {kept}"
    )
    return kept


def name_new_device(library: Library, device_id: bytes, name: str) -> bool:
    """Write down what a device that is new calls itself; tell whether that was not known already."""
    receipt = library.commit(
        {LIBRARY: [Put("device", device_id.hex(), name)]}, action=ADDED, summary="device added", inverse=False
    )
    return receipt.seq is not None


def revoke(library: Library, device_id: bytes) -> None:
    """Take a device out of the library: it gets nothing new from any device that knows of it.

    Durable here at once; the next sync carries it. What this device has accepted of the revoked one is kept; the
    epoch's key is changed, except where a device revokes itself, which leaves that to the others. Raises
    `NoSuchDevice`, and `NotAMember` where this device is no member itself.
    """
    library.become_new_device()  # a copy of the folder must not speak as the device it is a copy of
    members = library.members
    members.refresh()
    membership = members.membership
    member = membership.members.get(device_id)
    if member is None or member.is_phrase:
        raise NoSuchDevice(
            f"device {device_id.hex()[:8]} is no device of this library, or was revoked before",
            hint="`safelight device list` shows all of them.",
        )
    now = int(time.time())
    seq, head = library.log.head(device_id)
    with member_errors():
        entries = [change.revoke(membership, members.secrets, device_id, Cut(seq, head), created_at=now)]
        if device_id != library.device_id:
            after = membership.with_entries(entries)
            entries.append(change.rotate(after, members.secrets, members.keyring, created_at=now))
    library.add_entries(entries)


def replace_phrase(library: Library, old_phrase: str) -> str:
    """Put a new recovery phrase in the place of `old_phrase`, and return its 24 words.

    The words are returned once they count. Until `phrase_was_shown` is called they are kept, sealed for this device,
    and a repetition returns them again: otherwise an interruption just now would leave a library without a phrase.
    Raises `WrongPhrase`, and `NotAMember` where this device was revoked.
    """
    old = read_phrase(old_phrase)
    library.become_new_device()
    members = library.members
    members.refresh()
    membership = members.membership
    if old.device_id not in membership.phrases:
        return _unshown(library, old)
    words = new_phrase()
    with member_errors():
        entries = _replacement(membership, old, phrase_secrets(words), members.secrets)
    sealed = seal(words.encode(), members.secrets.storage_key(_NEW_PHRASE), _NEW_PHRASE, old.device_id)
    with library.log.transaction() as transaction:
        transaction.set_fact(_NEW_PHRASE, sealed)
    library.add_entries(entries)
    return words


def phrase_was_shown(library: Library) -> None:
    """Forget the words that `replace_phrase` returned."""
    with library.log.transaction() as transaction:
        transaction.remove_fact(_NEW_PHRASE)


def read_phrase(words: str) -> DeviceSecrets:
    """Return the secrets that 24 words stand for; raises `WrongPhrase`, which names a word by its place alone."""
    try:
        return phrase_secrets(words)
    except InvalidPhrase as error:
        raise WrongPhrase(str(error), hint=error.hint) from None


@contextlib.contextmanager
def member_errors() -> Iterator[None]:
    """Turn what making membership entries raises into errors of `core`."""
    try:
        yield
    except NeverAMember as error:
        raise NotAMember(
            "this device is no member of the library any more, or never was",
            hint="Somebody revoked it. Pair it anew: `safelight device add` on a device that is in the library.",
        ) from error
    except CryptoError as error:
        raise Refused(str(error), hint=error.hint) from error


def _everybody(membership: Membership) -> Iterator[tuple[bytes, bytes, int, bytes | None, bytes | None]]:
    """Yield (id, exchange key, added at, added by, copy of) of each device, members and others."""
    for member in membership.members.values():
        if not member.is_phrase:
            yield member.device_id, member.exchange, member.added_at, member.added_by, member.continues
    for device_id in membership.departed:
        found = _departed(membership, device_id)
        if found is not None:
            yield device_id, *found


def _departed(membership: Membership, device_id: bytes) -> tuple[bytes, int, bytes | None, bytes | None] | None:
    """Return (exchange key, added at, added by, copy of) of a device that is no member; None for a phrase."""
    genesis = membership.genesis
    if device_id == genesis.device_id:
        return genesis.device_exchange, genesis.created_at, None, None
    if device_id == genesis.phrase_id:
        return None
    admissions = sorted(membership.admissions(device_id), key=lambda entry: (entry.created_at, entry.hash))
    first = admissions[0]
    if first.kind is EntryKind.REPLACE:
        return None
    copy_of = first.author if first.admission.continues else None
    return first.admission.exchange, first.created_at, first.author, copy_of


def _last_seen(library: Library, device_id: bytes) -> int | None:
    seq, _ = library.log.head(device_id)
    try:
        stored = library.log.envelope(device_id, seq) if seq else None
        return None if stored is None else library.chain.open(stored).at
    except CoreError:
        return None  # `verify` names what is wrong with it; a list of devices is no place for that


def _replacement(membership: Membership, old: DeviceSecrets, new: DeviceSecrets, writer: DeviceSecrets) -> list[Entry]:
    """Return the entries that replace a phrase: by the phrase itself, and then a new key, which the old one lacks."""
    now = int(time.time())
    entries: list[Entry] = []
    keyring = open_epochs(membership, old)
    if must_rotate(membership, keyring):
        entries.append(change.rotate(membership, old, keyring, created_at=now))
        membership = membership.with_entries(entries[-1:])
        keyring = open_epochs(membership, old)
    entries.append(change.replace_phrase(membership, old, keyring, new, created_at=now))
    membership = membership.with_entries(entries[-1:])
    entries.append(change.rotate(membership, writer, open_epochs(membership, writer), created_at=now))
    return entries


def _unshown(library: Library, old: DeviceSecrets) -> str:
    """Return the words that replaced `old` and that nobody has seen; raises `WrongPhrase` if there are none."""
    sealed = library.log.fact(_NEW_PHRASE)
    if sealed and old.device_id in library.members.membership.departed:
        try:
            key = library.members.secrets.storage_key(_NEW_PHRASE)
            words = open_sealed(sealed, key, _NEW_PHRASE, old.device_id).decode()
        except CryptoError:
            words = ""
        if words and phrase_secrets(words).device_id in library.members.membership.phrases:
            return words
    if old.device_id in library.members.membership.departed:
        raise WrongPhrase(
            "this recovery phrase was replaced by another one", hint="Use the phrase that was written down last."
        )
    raise WrongPhrase(
        "these words are a recovery phrase, but not the one of this library",
        hint="Look for the words that `safelight init` showed when this library was made.",
    )
