"""A member with real keys and a program of its own: what it may write, and what it may not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from core.envelope_body import KIND_CHANGES, Accepted, DocumentChanges
from crdt.documents import LIBRARY
from crdt.operations import Put
from crdt.replica import Replica, new_actor
from sync_relay.errors import RelayError
from sync_relay.statements import make_delete
from tests.core import remote_device
from tests.hostile.conftest import Hostile
from tests.soak.in_process import URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library
    from sync_relay.client import RelayClient

_NOWHERE: Final = 99
"""The number under which it reaches the relay; no device of the world has it."""


class HostileMember:
    """It writes to the relay that devices are shown by default, and may hand something else to one of them."""

    def __init__(self, library: Library, connect: Callable[[int], Callable[[str], RelayClient]]) -> None:
        """Be added by the device of `library`, which tells the relay when it syncs."""
        self.hostile = Hostile(remote_device.pair(library))
        self.told_two_stories = False
        self._connect = connect(_NOWHERE)

    @property
    def id(self) -> bytes:
        """Its device id."""
        return self.hostile.id

    def write(self, what: int, victim: Library, step: int) -> None:
        """Write one of several things, `victim` being the device that it is about; a relay may refuse it."""
        self.hostile.knows(victim)
        if self.id not in self.hostile.remote.membership.members:
            return  # it was revoked, and the keys that it has open nothing new
        name = Put("search", f"of a hostile member {step}", "dog")
        seq, _ = victim.log.head(victim.device_id)
        written: list[bytes] = []
        match what % 7:
            case 0:
                written = [self.hostile.edit(LIBRARY, name)]
            case 1:
                self._tell_two_stories(victim, step)
            case 2:  # it has seen what does not exist yet
                written = [self._seen(victim.device_id, seq + 3, bytes([step % 256]) * 32)]
            case 3:  # it has seen something else than the device wrote
                written = [self._seen(victim.device_id, max(seq, 1), bytes(31) + bytes([step % 256]))]
            case 4:  # a change in another's name
                foreign = Replica.create(LIBRARY, new_actor(victim.device_id)).edit([name])
                assert foreign is not None
                written = [
                    self.hostile.remote.write(body=self.hostile.body(payload=[DocumentChanges(LIBRARY, [foreign])]))
                ]
            case 5:
                self._contradict_itself()
            case _:
                self._have_deleted(victim, step)
        if written:
            self._send(lambda client: client.append([*self.hostile.remote.envelopes]))

    def _contradict_itself(self) -> None:
        """Make two entries, neither of which knows of the other."""
        remote = self.hostile.remote
        before = dict(remote.entries)
        one = remote.rotate()
        remote.entries = before
        other = remote.rotate()
        self._send(lambda client: client.append_entries([one.data, other.data]))

    def _have_deleted(self, victim: Library, step: int) -> None:
        """Tell the relay that what the devices hold is to go."""
        blobs = list(victim.blobs.iter_ids())
        if blobs:
            made = make_delete(self.hostile.remote.secrets, victim.library_id, blobs, time=step)
            self._send(lambda client: client.append_statements([made]))

    def _seen(self, device: bytes, seq: int, hashed: bytes) -> bytes:
        body = self.hostile.body(KIND_CHANGES, frontier=[Accepted(device, seq, hashed)])
        return self.hostile.remote.write({device: (seq, hashed)}, body)

    def _tell_two_stories(self, victim: Library, step: int) -> None:
        """Give the relay one envelope, and a device another one with the same number."""
        after = self.hostile.remote.place
        self._send(lambda client: client.append([*self.hostile.remote.envelopes, self._story(step, "one")]))
        other = self.hostile.remote.write(body=self.hostile.body(summary="another"), after=after, keep=False)
        victim.ingest.envelopes([*self.hostile.remote.envelopes[:-1], other])
        victim.refresh()
        self.told_two_stories = True

    def _story(self, step: int, told: str) -> bytes:
        return self.hostile.remote.write(body=self.hostile.body(summary=f"{told} {step}"))

    def _send(self, what: Callable[[RelayClient], object]) -> None:
        remote = self.hostile.remote
        client = self._connect(URL)
        with contextlib.suppress(RelayError):
            entries = [entry.data for entry in remote.entries.values()]
            client.sign_in(remote.secrets, self.hostile.library_id, 0, entries)
            what(client)
        client.close()
