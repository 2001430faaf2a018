"""A copy of a library becomes a device of its own.

A folder that was copied, a log that was put back from a backup, and a device whose numbers another copy has used may
not write under their old name: each of its numbers may stand for another envelope elsewhere. So the old device adds a
new one that continues it, and everything goes on under that one's name. Own envelopes that stand at numbers the other
copy used are set aside, and their changes issued again; the replica actors of the old device stay good, as the new
device says that it continues it.

All of it is one transaction of the log. The new device's secrets are written into `library.toml` first: secrets that
the log knows no device of are ignored.
"""

from __future__ import annotations

import contextlib
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from core.chain import Chain
from core.derived import CATALOG, DerivedFiles
from core.envelope_body import KIND_CHANGES, places_of
from core.errors import LibraryBusy, StorageFailed
from core.library_file import LibraryFile
from core.log import NO_HASH, Log
from core.members import Members
from core.writer import CURABLE, Writer
from crypto.errors import CryptoError
from crypto.keys import DeviceSecrets
from crypto.membership_change import countersign, draft_add

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from core.envelope_body import EnvelopeBody
    from core.log import LogTransaction, Vector

_PAGE = 100
_NAME_BYTES = 100


@dataclass(frozen=True)
class Succession:
    """Who this copy is now: `members` of the new device; `is_new` unless another process had made it already."""

    members: Members
    is_new: bool


def become_new(log: Log, members: Members, writer: Writer, library_file: Path) -> Succession | None:
    """Make this copy a new device in one transaction; None where nothing is in the way of the old one's writing.

    That somebody else used an own number counts only if an envelope shows it that this device's keys signed
    (`Writer.note_taken`): what a relay merely says is no reason. Raises the alarm that stays in the
    way: damage of the log, or a device that cannot add another one; `NotAMember` for one that was revoked.
    """
    with members.transaction(log) as transaction:
        members.refresh()
        file = LibraryFile.read(library_file)
        newest = [one for one in file.resolve(members.root_secrets) if members.is_known(one.device_id)][-1]
        if newest != members.secrets:
            return Succession(Members(log, members.genesis.library_id, [members.root_secrets, newest]), is_new=False)
        writer.check()
        for alarm in writer.alarms:
            if not isinstance(alarm, CURABLE):
                raise alarm
        if not writer.alarms:
            return None
        members.require_member()
        bodies = _set_aside(log, members, transaction, writer.taken)
        successor = DeviceSecrets.generate()
        try:
            _introduce(members, transaction, successor)
        except CryptoError as error:
            raise writer.alarms[0] from error
        kept = [] if members.secrets == members.root_secrets else [members.secrets]
        file.with_successors(members.root_secrets, [*kept, successor]).write(library_file)
        after = Members(log, members.genesis.library_id, [members.root_secrets, successor])
        head = _issue_again(log, after, transaction, bodies)
        Writer(log, members.genesis.library_id, successor.device_id).begin(transaction, head)
    return Succession(after, is_new=True)


def copy_name(name: object) -> str:
    """Return what the copy of a device with this name is called."""
    known = name if isinstance(name, str) and name else "device"
    return f"{known.encode()[:_NAME_BYTES].decode(errors='ignore')} (copy)"


def inherit_derived(log: Log, folder: Path, earlier: Iterable[DeviceSecrets], own: DeviceSecrets) -> None:
    """Take over the derived files of the devices that this one was, unless that was done.

    Whoever became the new device may have been killed before that, or a process may have gone on as the old one for a
    while: nobody else opens what it left. What cannot be taken over is made again.
    """
    files = DerivedFiles(folder, own)
    for secrets in earlier:
        old = DerivedFiles(folder, secrets)
        if secrets != own and (old.has(CATALOG) or not files.has(CATALOG)):
            with contextlib.suppress(StorageFailed, LibraryBusy):
                old.carry_over(files, functools.partial(is_held_by, log), last=CATALOG)


def is_held_by(log: Log, vector: Vector) -> bool:
    """Tell whether everything that `vector` includes is in the log, or covered by its base."""
    base = log.base()
    for device, (seq, envelope_hash) in vector.items():
        known = log.hash_at(device, seq) if seq else envelope_hash
        if known != envelope_hash and (known is not None or seq > base.get(device, (0, NO_HASH))[0]):
            return False
    return True


def _set_aside(log: Log, members: Members, transaction: LogTransaction, fork: int | None) -> list[EnvelopeBody]:
    """Take own envelopes from number `fork` on out of the chain, and return what was in them."""
    if not fork:
        return []
    chain = Chain(members, log)
    bodies: list[EnvelopeBody] = []
    after = fork - 1
    while page := log.envelopes_of(members.device_id, after, _PAGE):
        bodies += [body for body in map(chain.open, page) if body.kind == KIND_CHANGES]
        after = page[-1].seq
    transaction.supersede(members.device_id, fork)
    return bodies


def _introduce(members: Members, transaction: LogTransaction, successor: DeviceSecrets) -> None:
    members.rotate_if_due(transaction)
    draft = draft_add(
        members.membership,
        members.secrets,
        members.keyring,
        successor.device_id,
        successor.exchange_public,
        continues=True,
        created_at=int(time.time()),
    )
    members.add(transaction, [countersign(draft, members.genesis.library_id, successor)])


def _issue_again(
    log: Log, members: Members, transaction: LogTransaction, bodies: list[EnvelopeBody]
) -> tuple[int, bytes]:
    chain, head = Chain(members, log), (0, NO_HASH)
    for body in bodies:
        frontier = transaction.moved_since(members.device_id)
        again = msgspec.structs.replace(body, frontier=places_of(frontier))
        seq, envelope_hash, envelope = chain.seal(head, again)
        transaction.append(members.device_id, seq, envelope_hash, envelope, frontier)
        head = (seq, envelope_hash)
    return head
