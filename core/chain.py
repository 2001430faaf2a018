"""Envelopes of one library, sealed and opened: each is checked for its place in its device's chain before it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.envelope_body import EnvelopeBody, decode_body, encode_body
from core.errors import ChainBroken, EnvelopeDamaged
from core.log import StoredEnvelope, name_envelope
from crypto.envelope import EnvelopeHeader, envelope_hash, open_envelope, seal_envelope
from crypto.errors import CryptoError

if TYPE_CHECKING:
    from crypto.keys import DeviceSecrets, EpochKeys
    from crypto.membership import Genesis

_RESTORE = (
    "Restore log.db from a backup, or export what is readable; `safelight verify` lists everything that is damaged."
)


class Chain:
    """Seals this device's envelopes and opens everybody's."""

    def __init__(self, genesis: Genesis, epoch: EpochKeys, secrets: DeviceSecrets) -> None:
        """Work for the library of `genesis`, as the device that holds `secrets`."""
        self.library_id = genesis.library_id
        self.device_id = secrets.device_id
        self._membership = genesis.membership
        self._members = frozenset({genesis.device_id, genesis.phrase_id})
        self._epoch = epoch
        self._secrets = secrets

    def seal(self, head: tuple[int, bytes], body: EnvelopeBody) -> tuple[int, bytes, bytes]:
        """Return (seq, hash, envelope) of `body` as the envelope that follows `head`."""
        seq = head[0] + 1
        header = EnvelopeHeader(self.library_id, self.device_id, seq, head[1], self._epoch.epoch_id, self._membership)
        envelope = seal_envelope(header, encode_body(body), self._secrets, self._epoch)
        return seq, envelope_hash(envelope), envelope

    def open(self, stored: StoredEnvelope) -> EnvelopeBody:
        """Return what is in an envelope, after its hash, signature, membership and seal have been checked."""
        return self.open_linked(stored)[0]

    def open_linked(self, stored: StoredEnvelope) -> tuple[EnvelopeBody, bytes]:
        """Return what is in an envelope, and the hash of the one before it, which the caller compares."""
        thing = name_envelope(stored.device, stored.seq)
        if envelope_hash(stored.data) != stored.hash:
            raise EnvelopeDamaged(f"{thing} is altered: it does not have the hash the log keeps for it", hint=_RESTORE)
        if stored.device not in self._members:
            raise EnvelopeDamaged(f"{thing} is by no member of this library", hint=_RESTORE)
        try:
            header, plaintext = open_envelope(
                stored.data, self._epoch, library_id=self.library_id, device_id=stored.device
            )
        except CryptoError as error:
            raise EnvelopeDamaged(f"{thing} is altered: {error}", hint=_RESTORE) from error
        if header.seq != stored.seq:
            raise EnvelopeDamaged(f"{thing} says it is number {header.seq}", hint=_RESTORE)
        return decode_body(plaintext, thing), header.previous

    def link_alarm(self, stored: StoredEnvelope, previous: bytes, known: tuple[int, bytes]) -> ChainBroken | None:
        """Return the alarm if an envelope that names `previous` does not follow `known`, else None."""
        if stored.seq != known[0] + 1:
            return ChainBroken(
                f"{name_envelope(stored.device, known[0] + 1)} is missing from log.db, though later ones are there",
                hint=_RESTORE,
            )
        if previous != known[1]:
            return ChainBroken(f"{stored} does not follow the one before it: one of them was exchanged", hint=_RESTORE)
        return None
