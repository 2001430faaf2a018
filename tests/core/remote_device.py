"""Devices of a library that are elsewhere: real keys, real entries and envelopes, and no folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.envelope_body import KIND_CHANGES, EnvelopeBody, encode_body, places_of
from crypto.envelope import EnvelopeHeader, envelope_hash, seal_envelope
from crypto.epochs import open_epochs
from crypto.keys import DeviceSecrets
from crypto.membership import evaluate, verify_genesis
from crypto.membership_change import countersign, draft_add, revoke, rotate
from crypto.membership_entry import NO_ENVELOPE, Cut, Entry, verify_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from core.library import Library
    from crypto.membership import Membership

Place = tuple[int, bytes]


@dataclass
class Written:
    """An envelope of a remote device, and what it names."""

    place: Place
    frontier: dict[bytes, Place]
    data: bytes


@dataclass
class Remote:
    """One device elsewhere: what it knows of the membership, and its chain."""

    genesis: bytes
    secrets: DeviceSecrets = field(default_factory=DeviceSecrets.generate)
    entries: dict[bytes, Entry] = field(default_factory=dict)
    chain: list[Written] = field(default_factory=list)

    @property
    def id(self) -> bytes:
        """Its device id."""
        return self.secrets.device_id

    @property
    def membership(self) -> Membership:
        """What it knows."""
        return evaluate(verify_genesis(self.genesis), self.entries.values())

    @property
    def place(self) -> Place:
        """Its newest envelope."""
        return self.chain[-1].place if self.chain else (0, bytes(32))

    @property
    def envelopes(self) -> list[bytes]:
        """Its chain."""
        return [written.data for written in self.chain]

    def learn(self, entries: Iterable[Entry | bytes]) -> None:
        """Take in membership entries."""
        library_id = verify_genesis(self.genesis).library_id
        for entry in entries:
            known = verify_entry(entry, library_id) if isinstance(entry, bytes) else entry
            self.entries[known.hash] = known

    def make(self, entry: Entry) -> Entry:
        """Keep an entry of its own."""
        self.entries[entry.hash] = entry
        return entry

    def add(self, newcomer: DeviceSecrets, *, continues: bool = False) -> Entry:
        """Add a device."""
        membership = self.membership
        keyring = open_epochs(membership, self.secrets)
        draft = draft_add(
            membership,
            self.secrets,
            keyring,
            newcomer.device_id,
            newcomer.exchange_public,
            continues=continues,
        )
        return self.make(countersign(draft, membership.library_id, newcomer))

    def revoke(self, device_id: bytes, cut: Place = (0, bytes(32))) -> Entry:
        """Revoke a device, of which it accepted everything up to `cut`."""
        return self.make(revoke(self.membership, self.secrets, device_id, Cut(*cut) if cut[0] else NO_ENVELOPE))

    def rotate(self) -> Entry:
        """Make a new epoch."""
        membership = self.membership
        return self.make(rotate(membership, self.secrets, open_epochs(membership, self.secrets)))

    def write(
        self,
        names: Mapping[bytes, Place] | None = None,
        body: EnvelopeBody | None = None,
        *,
        after: Place | None = None,
        keep: bool = True,
    ) -> bytes:
        """Write an envelope after its last one (or after `after`), and keep it unless it is to be forgotten."""
        membership = self.membership
        keys = open_epochs(membership, self.secrets).keys
        epoch = keys.get(membership.current) or keys[min(keys)]
        last = self.place if after is None else after
        header = EnvelopeHeader(
            membership.library_id, self.id, last[0] + 1, last[1], epoch.epoch_id, membership.membership
        )
        frontier = dict(names or {})
        body = body or EnvelopeBody(KIND_CHANGES, 0, places_of(frontier), [], bytes(16), "test", "test")
        data = seal_envelope(header, encode_body(body), self.secrets, epoch)
        if keep:
            self.chain.append(Written((header.seq, envelope_hash(data)), frontier, data))
        return data


def beside(library: Library) -> Remote:
    """Return what can act with the library's own device's keys, elsewhere."""
    remote = Remote(library.members.genesis.entry, library.members.secrets)
    remote.learn(library.members.membership.entries.values())
    return remote


def pair(library: Library) -> Remote:
    """Add a device to the library, and return it."""
    newcomer = DeviceSecrets.generate()
    entry = beside(library).add(newcomer)
    library.add_entries([entry])
    remote = Remote(library.members.genesis.entry, newcomer)
    remote.learn(library.members.membership.entries.values())
    return remote
