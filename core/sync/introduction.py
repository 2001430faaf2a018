"""Signing in at a relay that may never have heard of this device.

A relay lets nobody in who is no member as far as it was told: a device that was added while it was away, a machine
that was recovered then, a copy that has become a device of its own and has said so only to itself; and any, after the
relay was put back to an earlier state. Such a device brings the entries that make it a member.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from core.sync.membership import in_order
from sync_relay.errors import NotAMember

if TYPE_CHECKING:
    from core.library import Library
    from sync_relay import wire
    from sync_relay.client import RelayClient


def sign_in(library: Library, client: RelayClient) -> wire.Session:
    """Sign in as this device, with the library's membership entries where the relay does not know it.

    Raises what the client raises; `NotAMember` where no member that the relay knows stands behind this device, too.
    """
    members = library.members
    try:
        return client.sign_in(members.secrets, library.library_id, _now())
    except NotAMember:
        if not members.is_member:
            raise
        entries = [entry.data for entry in in_order(members.membership)]
        return client.sign_in(members.secrets, library.library_id, _now(), entries)


def _now() -> int:
    return int(time.time())
