"""Signing in at a relay that may never have heard of this device.

A relay lets nobody in who is no member as far as it was told. A copy that has become a device of its own can only have
said so to itself; so the device it is a copy of, whose keys it holds, tells the relay first.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from core.sync.membership import in_order
from sync_relay.errors import NotAMember

if TYPE_CHECKING:
    from core.library import Library
    from crypto.keys import DeviceSecrets
    from sync_relay import wire
    from sync_relay.client import RelayClient


def sign_in(library: Library, client: RelayClient) -> wire.Session:
    """Sign in as this device, introduced by an earlier identity of it where the relay does not know it.

    Raises what the client raises, `NotAMember` also where the relay knows none of them.
    """
    members = library.members
    try:
        return client.sign_in(members.secrets, library.library_id, _now())
    except NotAMember:
        for elder in members.predecessors:
            with contextlib.suppress(NotAMember):
                introduce(library, client, elder)
                return client.sign_in(members.secrets, library.library_id, _now())
        raise


def introduce(library: Library, client: RelayClient, by: DeviceSecrets) -> None:
    """Give the relay all membership entries of the library, signed in as another member that it knows."""
    client.sign_in(by, library.library_id, _now())
    client.append_entries([entry.data for entry in in_order(library.members.membership)])


def _now() -> int:
    return int(time.time())
