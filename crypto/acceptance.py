"""Which envelopes of a device that is no member any more are accepted.

All of a member's are. Of one that was revoked, those up to the cut its revocation states; what lies beyond is *held*,
and accepted exactly if an accepted envelope of a remaining member names it in its frontier, because then its effects
are built upon already. A device whose every add is void never was a member: it has no cut, so all of its envelopes
are held until somebody remaining names them.

A chain is one device's envelopes as (seq, hash) in order, already checked to link to each other, so a place that is
accepted brings everything before it. A cut or frontier that names another hash than the chain has at that place
accepts nothing: this is not the chain its author saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import NotAMember

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from crypto.membership import Membership

Place = tuple[int, bytes]
"""An envelope's number in its device's chain, and its hash."""


def accepted_through(
    membership: Membership, device_id: bytes, chain: Sequence[Place], named: Collection[Place] = ()
) -> int:
    """Return the number of the last envelope of `chain` that is accepted; 0 if none is.

    `named` are the places of this device that frontiers of accepted envelopes of remaining members name. Raises
    `NotAMember` for a device that nothing ever admitted.
    """
    if device_id in membership.members:
        return chain[-1][0] if chain else 0
    departure = membership.departed.get(device_id)
    if departure is None:
        raise NotAMember(f"device {device_id.hex()[:8]} never was a member of this library")
    reasons = {(cut.seq, cut.hash) for cut in departure.cuts} | set(named)
    return max((place[0] for place in chain if place in reasons), default=0)


def named_by_members(
    membership: Membership, envelopes: Iterable[tuple[bytes, Mapping[bytes, Place]]]
) -> dict[bytes, set[Place]]:
    """Return the places named in the frontiers of (author, frontier) pairs, by device.

    Only what remaining members name counts, all of whose envelopes are accepted.
    """
    named: dict[bytes, set[Place]] = {}
    for author, frontier in envelopes:
        if author in membership.members:
            for device_id, place in frontier.items():
                named.setdefault(device_id, set()).add(place)
    return named


def accepted_vector(
    membership: Membership, chains: Mapping[bytes, Sequence[tuple[Place, Mapping[bytes, Place]]]]
) -> dict[bytes, int]:
    """Return, for each device, the number of its last accepted envelope, from every chain with its frontiers.

    Devices that never were members are left out. Takes time in proportion to what it is given.
    """
    named = named_by_members(
        membership, ((device_id, frontier) for device_id, chain in chains.items() for _, frontier in chain)
    )
    return {
        device_id: accepted_through(
            membership, device_id, [place for place, _ in chain], named.get(device_id, frozenset())
        )
        for device_id, chain in chains.items()
        if device_id in membership.members or device_id in membership.departed
    }
