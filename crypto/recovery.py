"""What 24 words do on an empty machine: find their library again, and make this machine a member of it.

Everything comes from a relay, which may lie. It cannot invent a library for a phrase: the phrase's member signed
either genesis or the entry that put it in another phrase's place, and both name the library. What it can do is to show
an older state; nobody who holds nothing but the phrase can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.epochs import open_epochs
from crypto.errors import MembershipInvalid, NotAMember, PhraseReplaced
from crypto.genesis import verify_genesis
from crypto.membership import evaluate
from crypto.membership_change import countersign, draft_add, revoke, rotate
from crypto.membership_entry import NO_ENVELOPE, Cut, Entry, verify_entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from crypto.keys import DeviceSecrets
    from crypto.membership import Membership


def find_library(genesis: bytes, entries: Iterable[bytes], phrase: DeviceSecrets) -> Membership:
    """Return the membership of the library that `phrase` is the recovery phrase of.

    Raises what `verify_genesis` and `verify_entry` raise, `PhraseReplaced`, or `NotAMember` for a library that this
    phrase never signed.
    """
    founded = verify_genesis(genesis)
    membership = evaluate(founded, (verify_entry(entry, founded.library_id) for entry in entries))
    member = membership.members.get(phrase.device_id)
    if member is not None and member.is_phrase and member.exchange == phrase.exchange_public:
        return membership
    if phrase.device_id in membership.departed:
        raise PhraseReplaced(
            "this recovery phrase was replaced by another one", hint="Use the phrase that was written down last."
        )
    raise NotAMember(
        f"this recovery phrase does not belong to library {founded.library_id.hex()[:8]}",
        hint="The relay shows a library that is not yours, or the words are those of another library.",
    )


def recover(
    membership: Membership,
    phrase: DeviceSecrets,
    machine: DeviceSecrets,
    *,
    keep: Collection[bytes],
    accepted: Mapping[bytes, Cut],
    created_at: int = 0,
) -> tuple[list[Entry], Membership]:
    """Return the entries that make `machine` a member, signed by the phrase, and the membership with them.

    Every device not in `keep` is revoked, with the cut `accepted` names (nothing, by default); then the epoch's key is
    changed, and given to this machine. Raises `MembershipInvalid` where `keep` names something that is no device of
    the library.
    """
    devices = {device_id for device_id, member in membership.members.items() if not member.is_phrase}
    strangers = set(keep) - devices
    if strangers:
        raise MembershipInvalid(f"device {min(strangers).hex()[:8]} is not a member of this library")
    made: list[Entry] = []

    def put(entry: Entry) -> Membership:
        made.append(entry)
        return membership.with_entries([entry])

    for device_id in sorted(devices - set(keep)):
        cut = accepted.get(device_id, NO_ENVELOPE)
        membership = put(revoke(membership, phrase, device_id, cut, created_at=created_at))
    membership = put(rotate(membership, phrase, open_epochs(membership, phrase), created_at=created_at))
    draft = draft_add(
        membership,
        phrase,
        open_epochs(membership, phrase),
        machine.device_id,
        machine.exchange_public,
        created_at=created_at,
    )
    membership = put(countersign(draft, membership.library_id, machine))
    return made, membership
