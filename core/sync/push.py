"""Giving a relay what it lacks, whoever wrote it: membership entries, blobs, envelopes, and signed statements.

A blob goes before the envelope that names it, and an envelope before those that build on it, so what a relay holds is
whole at any moment. Everything may be repeated; where the relay stands is known from its own vector.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from core.errors import Forged, Forked, IntegrityAlarm, RelayRefused
from core.log import BLOB_PURGED, NO_HASH, name_envelope
from core.sync.confirming import starting_points
from core.sync.looking_again import look_at_some
from core.sync.membership import in_order
from core.sync.named_blobs import NamedBlob, blobs_named, blobs_of_documents
from core.sync.transfers import refusal_of_quota
from core.sync.turn import Turn
from crypto.envelope import envelope_hash
from sync_relay import errors, statements, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from core.envelope_body import EnvelopeBody
    from core.errors import RelayQuotaFull
    from core.library import Library
    from core.log import StoredEnvelope
    from core.sync.link import Link
    from core.sync.transfers import Transfers
    from core.sync.turn import Progress

_PAGE: Final = 32
_MOST_LACKING: Final = 4_000
_DIGEST_BYTES: Final = 16
_MOST_TOLD: Final = 32


class Push(Turn):
    """Brings one relay up to what this device holds; its progress counts envelopes ("push")."""

    def __init__(self, library: Library, link: Link, transfers: Transfers, progress: Progress | None = None) -> None:
        """As of `Turn`."""
        super().__init__(library, link, transfers, progress)
        self._blocked: dict[bytes, int] = {}
        self._sent = 0
        self.full: RelayQuotaFull | None = None
        """Why not everything could be given, if it is for want of room."""
        self.nowhere: set[bytes] = set()
        """Snapshots that devices which are new need, and that neither the relay nor anybody here has."""

    def run(self, *, full: bool = True) -> None:
        """Give everything but prune entries; with `full`, look again for blobs that nobody had."""
        self._link.connect()
        self._compare_heads()
        if self.forked_self is not None:
            return
        self._give_entries()
        if full:
            self._look_for_lacking()
            self._give_again()
        self._walk()
        if full:
            self._look_again()
        self._give_envelopes(self._library.log.last_position())
        self._delete_purged()

    def state(self, prunes: Sequence[bytes]) -> None:
        """Give prune entries, once everything that they cover has a snapshot at this relay."""
        told = self._link.facts.statements
        taken = True
        for statement in prunes:
            said = statements.read_statement(statement, self._library.library_id)
            if isinstance(said, statements.Delete) and not taken:
                continue  # what it deletes is needed for as long as the prune entry before it does not count
            if _digest(statement) in told:
                taken = True
                continue
            taken = self._has_snapshots(said)
            try:
                if taken:
                    self._link.ask(functools.partial(self._link.client.append_statements, [statement]))
            except errors.PruneRefused:
                taken = False  # it does not hold all that the entry names; asked again next time
            if not taken:
                continue
            told = [*told, _digest(statement)][-_MOST_TOLD:]
            self._link.facts = msgspec.structs.replace(self._link.facts, statements=told)

    # Chains

    def _compare_heads(self) -> None:
        """Find chains of which the relay holds other envelopes than this device."""
        for device, (seq, hashed) in sorted(self._link.heads().items()):
            ours = self._library.log.hash_at(device, seq)
            if ours is not None and ours != hashed:
                self._forked(device, seq)

    def _forked(self, device: bytes, seq: int) -> None:
        first = self._first_difference(device, seq)
        if device == self._library.device_id:
            self._forked_here(first)
            return
        self._blocked[device] = 0
        self._link.raise_(
            Forked(
                f"the relay {self._link.url} holds another {name_envelope(device, first)} than this device does",
                hint="A copy of that device wrote, or its keys are in other hands. On it, run `safelight sync`, which "
                "makes a copy a device of its own; if you do not know it, revoke it.",
            )
        )

    def _forked_here(self, seq: int) -> None:
        """Have the relay show the envelope it holds under an own number: only one that our keys signed is a reason."""
        device = self._library.device_id
        theirs = self._link.ask(lambda: self._link.client.envelope(device, seq))
        arrival = self._library.ingest.envelopes([] if theirs is None else [theirs])
        for alarm in arrival.alarms:
            self._link.raise_(alarm)
        if arrival.forked_self is not None:
            self.forked_self = arrival.forked_self[0]
            return
        self._blocked[device] = 0
        self._link.raise_(
            Forged(
                f"the relay {self._link.url} says that it holds another {name_envelope(device, seq)}, and shows none",
                hint="Nothing was sent to it. Use another relay, or ask its owner.",
            )
        )

    def _first_difference(self, device: bytes, seq: int) -> int:
        """Return the first number at which the relay's chain is another than ours; at `seq` it is."""
        low, high = 1, seq
        while low < high:
            middle = (low + high) // 2
            ours = self._library.log.hash_at(device, middle)
            theirs = self._link.ask(functools.partial(self._link.client.envelope, device, middle))
            if ours is None or theirs is None or envelope_hash(theirs) == ours:
                low = middle + 1
            else:
                high = middle
        return low

    # Entries

    def _give_entries(self) -> None:
        known = set(self._link.facts.entries)
        missing = [entry for entry in in_order(self._library.members.membership) if entry.hash not in known]
        if not missing:
            return
        self._append(lambda: self._link.client.append_entries([entry.data for entry in missing]), len(missing))
        self._link.holds_entries(entry.hash for entry in missing)
        self._link.remember()

    # Blobs

    def _walk(self) -> None:
        """Go through the envelopes whose blobs this relay was not seen to hold, and upload those it lacks."""
        log = self._library.log
        if self._link.state.blobs_position == 0 and log.base() and not self._give_base():
            return
        position = self._link.state.blobs_position
        moving = True
        while page := log.past_position(position, _PAGE):
            named = self._named(page)
            refused = self._give_blobs([blob for _, blobs in named for blob in blobs])
            if refused:
                self._block(named, refused)
            moving = moving and not refused
            position = page[-1].position
            if moving and self._link.state.blobs_position != position:
                self._link.state = replace(self._link.state, blobs_position=position)
                if any(blobs for _, blobs in named):
                    self._link.remember()
                    self._give_envelopes(position)

    def _give_base(self) -> bool:
        """Give the blobs of the checkpoint that this log builds on; tell whether all fitted."""
        library = self._library
        documents = {name for name, _ in self._base_documents()}
        blobs = [*self._base_snapshots(), *blobs_of_documents(library, sorted(documents))]
        refused: set[bytes] = set()
        for start in range(0, len(blobs), wire.MAX_ITEMS):
            refused |= self._give_blobs(blobs[start : start + wire.MAX_ITEMS])
        return not refused

    def _base_documents(self) -> Iterable[tuple[str, bytes]]:
        for body in self._checkpoints():
            for snapshot in body.snapshots:
                yield snapshot.document, snapshot.blob

    def _base_snapshots(self) -> Iterable[NamedBlob]:
        return [NamedBlob(blob, "snapshot") for _, blob in self._base_documents()]

    def _checkpoints(self) -> Iterable[EnvelopeBody]:
        from core.base import BASES_FACT

        library = self._library
        fact = library.log.fact(BASES_FACT) or b""
        for at in range(0, len(fact), 40):
            stored = library.log.envelope(fact[at : at + 32], int.from_bytes(fact[at + 32 : at + 40], "big"))
            body = None if stored is None else self._open(stored)
            if body is not None:
                yield body

    def _named(
        self, page: Sequence[StoredEnvelope]
    ) -> list[tuple[tuple[StoredEnvelope, EnvelopeBody], list[NamedBlob]]]:
        found = []
        for stored in page:
            body = self._open(stored)
            if body is not None:
                found.append(((stored, body), blobs_named(self._library, [body])))
        return found

    def _open(self, stored: StoredEnvelope) -> EnvelopeBody | None:
        try:
            return self._library.chain.open(stored)
        except IntegrityAlarm as alarm:
            self._library.raise_alarm(alarm)
            return None

    def _give_blobs(self, blobs: list[NamedBlob], *, keep: bool = False) -> set[bytes]:
        """Upload what the relay lacks; return what did not fit its quota."""
        refused: set[bytes] = set()
        wanted = list({blob.id: blob for blob in blobs}.values())
        purged = self._library.log.blobs_in_state(BLOB_PURGED) if wanted else set()
        wanted = [blob for blob in wanted if blob.id not in purged or self._library.blobs.exists(blob.id)]
        for start in range(0, len(wanted), wire.MAX_ITEMS):
            some = wanted[start : start + wire.MAX_ITEMS]
            if self.full is not None:
                refused |= self._absent(some)
                continue
            outcome = self._transfers.give(self._link.client, some, keep=keep)
            self._link.report.blobs_up += outcome.done
            refused.update(outcome.refused)
            self.full = outcome.error
            snapshots = {blob.id for blob in some if blob.role == "snapshot"}
            self._note_lacking([blob_id for blob_id in outcome.lacking if blob_id not in snapshots])
        return refused

    def _absent(self, blobs: Sequence[NamedBlob]) -> set[bytes]:
        states = self._link.ask(lambda: self._link.client.blob_states([blob.id for blob in blobs]))
        return {state.id for state in states if state.state in {"absent", "partial"}}

    def _block(
        self, named: Sequence[tuple[tuple[StoredEnvelope, EnvelopeBody], list[NamedBlob]]], refused: set[bytes]
    ) -> None:
        """Keep back the envelopes whose blobs are not at the relay, and those that build on them."""
        for (stored, body), blobs in named:
            waits = any(blob.id in refused for blob in blobs) or any(
                self._is_blocked(place.device, place.seq) for place in body.frontier
            )
            if waits and not self._is_blocked(stored.device, stored.seq):
                self._blocked[stored.device] = stored.seq

    def _is_blocked(self, device: bytes, seq: int) -> bool:
        return device in self._blocked and seq >= self._blocked[device]

    def _note_lacking(self, ids: list[bytes]) -> None:
        known = set(self._link.facts.lacking)
        if set(ids) - known:
            lacking = sorted(known | set(ids))[:_MOST_LACKING]
            self._link.facts = msgspec.structs.replace(self._link.facts, lacking=lacking)

    def _look_for_lacking(self) -> None:
        """Look again for blobs that were nowhere: a device may have brought them meanwhile."""
        lacking = self._link.facts.lacking
        if not lacking:
            return
        self._link.facts = msgspec.structs.replace(self._link.facts, lacking=[])
        self._give_blobs([NamedBlob(blob_id, "original") for blob_id in lacking])

    def _look_again(self) -> None:
        if self.full is None:
            give = functools.partial(self._give_blobs, keep=True)
            self.nowhere = look_at_some(self._library, self._link, give, self._give_snapshots)

    def _give_snapshots(self, blobs: Sequence[bytes]) -> set[bytes]:
        """Give snapshots, keeping those that the relay is about to remove; return what there is nowhere."""
        outcome = self._transfers.give(self._link.client, [NamedBlob(one, "snapshot") for one in blobs], keep=True)
        self._link.report.blobs_up += outcome.done
        self.full = outcome.error
        return set(outcome.lacking)

    def _give_again(self) -> None:
        """Give what a purge destroyed and an import brought back: no new envelope names it, its record is as before."""
        purged = self._library.log.blobs_in_state(BLOB_PURGED)
        back = sorted(self._library.catalog.blobs_in_use(purged)) if purged else []
        self._give_blobs([NamedBlob(blob_id, "original") for blob_id in back if self._library.blobs.exists(blob_id)])

    # Envelopes

    def _give_envelopes(self, last: int) -> None:
        """Append what the relay lacks of the envelopes up to position `last` of this device's log."""
        if self._library.log.base() and not self._link.heads():
            self._begin_with_checkpoint()
        batch: list[StoredEnvelope] = []
        size = 0
        for stored in self._library.log.after(dict(self._link.heads()), self._library.raise_alarm):
            if stored.position > last:
                break
            if self._is_blocked(stored.device, stored.seq):
                continue
            if batch and (size + len(stored.data) > wire.BATCH_BYTES or len(batch) >= wire.MAX_ITEMS):
                if not self._append_envelopes(batch):
                    return
                batch, size = [], 0
            batch.append(stored)
            size += len(stored.data)
        if batch:
            self._append_envelopes(batch)

    def _begin_with_checkpoint(self) -> None:
        """Have an empty relay take the library from the checkpoint on that this log builds on: before it, there is
        nothing here to give.
        """
        starts = starting_points(self._library)
        if starts:
            with contextlib.suppress(errors.PruneRefused):  # somebody else was quicker; then its chains are there
                self._append(functools.partial(self._link.client.append_statements, starts), len(starts))
            self._link.reset()

    def _append_envelopes(self, batch: Sequence[StoredEnvelope]) -> bool:
        """Append envelopes; tell whether to go on."""
        try:
            self._append(lambda: self._link.client.append([stored.data for stored in batch]), len(batch))
        except errors.QuotaFull as full:
            self.full = self.full or refusal_of_quota(self._link.url, full)
            return False
        except errors.SequenceConflict as conflict:
            self._link.reset()
            if conflict.details.device_id is None or conflict.details.seq is None:
                raise
            self._forked(conflict.details.device_id, conflict.details.seq)
            return False
        except errors.SequenceGap as gap:
            self._link.reset()
            raise RelayRefused(
                f"the relay {self._link.url} lacks older envelopes that this device does not have: {gap}",
                hint="Sync a device that has been in the library for longer; it brings them.",
            ) from gap
        for stored in batch:
            self._link.holds(stored.device, stored.seq, stored.hash)
        self._sent += len(batch)
        self._progress("push", self._sent, None)
        return True

    def _append(self, request: Callable[[], wire.Appended], count: int) -> None:
        appended = self._link.ask(request)
        self._link.report.pushed += appended.stored
        cursor = self._link.state.cursor
        if appended.stored == count and appended.position == cursor + count:
            # Nobody else wrote in between, so there is nothing to read.
            self._link.state = replace(self._link.state, cursor=appended.position)

    # Statements

    def _delete_purged(self) -> None:
        """Say once that blobs are to go which a purge destroyed."""
        purged = self._library.log.blobs_in_state(BLOB_PURGED)
        gone = sorted(
            blob_id
            for blob_id in purged - self._library.catalog.blobs_in_use(purged)
            if not self._library.blobs.exists(blob_id)
        )
        digest = _digest(b"".join(gone)) if gone else b""
        if digest == self._link.facts.purged:
            return
        states = self._link.ask(lambda: self._link.client.blob_states(gone)) if gone else []
        doomed = [state.id for state in states if state.state in {"stored", "partial"}]
        for start in range(0, len(doomed), statements.MAX_BLOBS):
            said = statements.make_delete(
                self._library.members.secrets,
                self._library.library_id,
                doomed[start : start + statements.MAX_BLOBS],
                time=int(time.time()),
            )
            self._append(functools.partial(self._link.client.append_statements, [said]), 1)
        self._link.facts = msgspec.structs.replace(self._link.facts, purged=digest)

    def _has_snapshots(self, said: statements.Delete | statements.Prune) -> bool:
        """Tell whether the relay holds what a prune entry puts in the place of envelopes, bringing it there if need
        be.
        """
        if not isinstance(said, statements.Prune):
            return True
        held = self._link.heads().get(said.checkpoint.device_id, (0, NO_HASH))
        stored = self._library.log.envelope(said.checkpoint.device_id, said.checkpoint.seq)
        body = None if stored is None else self._open(stored)
        if body is None or held[0] < said.checkpoint.seq:
            return False
        blobs = [NamedBlob(blob_id, "snapshot") for blob_id in {snapshot.blob for snapshot in body.snapshots}]
        outcome = self._transfers.give(self._link.client, blobs)
        self._link.report.blobs_up += outcome.done
        return not outcome.lacking and not outcome.refused


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
