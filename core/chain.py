"""Envelopes of one library, sealed and opened: each is checked for its place in its device's chain before it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.envelope_body import EnvelopeBody, decode_body, encode_body
from core.errors import ChainBroken, EnvelopeDamaged
from core.log import StoredEnvelope, name_envelope
from crypto.envelope import EnvelopeHeader, envelope_hash, open_envelope, read_header, seal_envelope
from crypto.errors import CryptoError, UnknownVersion

if TYPE_CHECKING:
    from core.log import Log
    from core.members import Members

_RESTORE = (
    "Restore log.db from a backup, or export what is readable; `safelight verify` lists everything that is damaged."
)


class Chain:
    """Seals this device's envelopes and opens everybody's."""

    def __init__(self, members: Members, log: Log) -> None:
        """Work as the device that `members` is of; `log` says which chains do not begin with their first envelope."""
        self.library_id = members.genesis.library_id
        self.device_id = members.device_id
        self._members = members
        self._log = log

    def seal(self, head: tuple[int, bytes], body: EnvelopeBody) -> tuple[int, bytes, bytes]:
        """Return (seq, hash, envelope) of `body` as the envelope that follows `head`."""
        seq = head[0] + 1
        epoch = self._members.current
        membership = self._members.membership.membership
        header = EnvelopeHeader(self.library_id, self.device_id, seq, head[1], epoch.epoch_id, membership)
        envelope = seal_envelope(header, encode_body(body), self._members.secrets, epoch)
        return seq, envelope_hash(envelope), envelope

    def open(self, stored: StoredEnvelope) -> EnvelopeBody:
        """Return what is in an envelope, after its hash, signature, membership and seal have been checked."""
        return self.open_linked(stored)[0]

    def open_linked(self, stored: StoredEnvelope) -> tuple[EnvelopeBody, bytes]:
        """Return what is in an envelope, and the hash of the one before it, which the caller compares."""
        thing = name_envelope(stored.device, stored.seq)
        if envelope_hash(stored.data) != stored.hash:
            raise EnvelopeDamaged(f"{thing} is altered: it does not have the hash the log keeps for it", hint=_RESTORE)
        try:
            epoch = self._members.key_of(read_header(stored.data).epoch_id)
            # Only what was accepted is in the log, and what was accepted stays so: former members' envelopes too.
            if not self._is_known(stored.device):
                raise EnvelopeDamaged(f"{thing} is by no member of this library", hint=_RESTORE)
            if epoch is None:
                raise EnvelopeDamaged(f"{thing} is sealed with a key that this device does not have", hint=_RESTORE)
            header, plaintext = open_envelope(stored.data, epoch, library_id=self.library_id, device_id=stored.device)
        except UnknownVersion as error:
            # A newer program may have worked on this folder: an older log is no remedy then.
            raise EnvelopeDamaged(f"{thing} cannot be read: it is {error}", hint=error.hint) from error
        except CryptoError as error:
            raise EnvelopeDamaged(f"{thing} is altered: {error}", hint=_RESTORE) from error
        if header.seq != stored.seq:
            raise EnvelopeDamaged(f"{thing} says it is number {header.seq}", hint=_RESTORE)
        return decode_body(plaintext, thing), header.previous

    def _is_known(self, device: bytes) -> bool:
        return self._members.is_known(device) or (self._members.refresh() and self._members.is_known(device))

    def link_alarm(self, stored: StoredEnvelope, previous: bytes, known: tuple[int, bytes]) -> ChainBroken | None:
        """Return the alarm if an envelope that names `previous` does not follow `known`, else None.

        It may follow what a checkpoint covers instead, whose envelopes are not here.
        """
        if (stored.seq, previous) == (known[0] + 1, known[1]):
            return None
        covered = self._log.base().get(stored.device, (0, b""))
        if covered == (stored.seq - 1, previous):
            return None
        if known[0] + 1 < stored.seq <= covered[0]:
            return None  # a checkpoint that was built on earlier covers what is not here, and a later one all of it
        if stored.seq != known[0] + 1:
            return ChainBroken(
                f"{name_envelope(stored.device, known[0] + 1)} is missing from log.db, though later ones are there",
                hint=_RESTORE,
            )
        return ChainBroken(f"{stored} does not follow the one before it: one of them was exchanged", hint=_RESTORE)
