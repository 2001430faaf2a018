"""What came from elsewhere, from a relay or another device: checked, and stored once it is accepted.

Everything may come in any order and any number of times, and while other processes write to the same library. Checking
is done before the write lock is taken; what then happens to a batch of envelopes is one transaction
(`core.arrivals`). An alarm is returned, never raised: the rest goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from core.arrivals import NOT_YOURS, Arrival, Candidate, Intake, forked, read_candidate
from core.base import add_base
from core.envelope_body import KIND_CHECKPOINT, EnvelopeBody, vector_of
from core.errors import Contradicted, Forged, SyncAlarm, Withheld, WriterNotAMember
from core.log import NO_HASH, Vector, name_envelope
from crypto.envelope import envelope_hash, read_header
from crypto.errors import CryptoError, UnknownVersion
from crypto.membership_entry import Entry, verify_entry
from sync_relay.wire import MOST_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from core.library import Library
    from core.log import LogTransaction
    from crypto.membership import Membership

__all__ = ["Arrival", "Ingest"]

_BATCH: Final = 200
_BATCH_BYTES: Final = 8 << 20
MAX_PENDING: Final = 1_000
_MANY: Final = 20
"""How many alarms of one kind are told one by one."""
_ASK: Final = "Sync again; if it stays, sync the device that wrote it, or use another relay as well."


class Ingest:
    """Takes in what relays give out; whatever it is, in whatever order, any number of times."""

    def __init__(self, library: Library) -> None:
        """Store into `library`."""
        self._library = library

    def entries(self, entries: Iterable[bytes]) -> Arrival:
        """Take in membership entries; envelopes that waited for them are accepted."""
        library, arrival = self._library, Arrival()
        with library.guard:
            members = library.members
            members.refresh()
            arrived = self._verified(entries, arrival)
            if not arrived:
                return arrival
            with members.transaction(library.log) as transaction:
                members.refresh()
                before, damaged = members.membership, members.keyring.damaged.keys()
                wanted = self._admissible(before, arrived, arrival)
                members.add(transaction, wanted)
                arrival.entries += len(wanted)
                for contradiction in members.membership.alarms:
                    if contradiction not in before.alarms:
                        arrival.raise_alarm(_contradicted(contradiction.author))
                for entry_hash in members.keyring.damaged.keys() - damaged:
                    arrival.raise_alarm(
                        Forged(
                            f"membership entry {entry_hash.hex()[:8]} gave this device other keys than the rest",
                            hint=NOT_YOURS,
                        )
                    )
                self._intake(transaction, arrival).review()
            library.expect_news()
            library.acknowledge()
        return arrival

    def envelopes(self, envelopes: Iterable[bytes]) -> Arrival:
        """Take in envelopes; `Library.refresh` shows those that are accepted."""
        library, arrival = self._library, Arrival()
        for batch in _batches(envelopes):
            with library.guard:
                library.members.refresh()
                candidates = [found for data in batch if (found := self._candidate(data, arrival)) is not None]
                if candidates:
                    self._store(candidates, arrival)
        return arrival

    def review(self) -> Arrival:
        """Look again at the envelopes that are held, after something else than an arrival changed."""
        arrival = Arrival()
        with self._library.guard:
            self._store([], arrival)
        return arrival

    def unaccounted(self) -> list[SyncAlarm]:
        """Return alarms for what others have seen, or what waits here builds on, and this log lacks.

        To be asked for when all relays have been read to their ends.
        """
        library = self._library
        with library.guard:
            library.members.refresh()
            alarms = [
                Withheld(f"{entry.name} builds on membership entries that no relay gives out", hint=_ASK)
                for entry in list(library.members.membership.pending.values())[:_MANY]
            ]
            return [*alarms, *self._unaccounted_places()]

    def merge_base(self, checkpoint_envelope: bytes, *, seen: bool = False) -> EnvelopeBody:
        """Build on a checkpoint: its envelope is stored, what it covers counts as accepted. Returns what is in it.

        It may be by a former member, not past what was accepted of it, or `seen` by a member, who confirmed it: then
        its envelope is held until the chain has arrived up to there. Raises `Forged`, `WriterNotAMember`, or `Forked`
        where it covers another chain than this log holds.
        """
        library = self._library
        with library.guard:
            members = library.members
            members.refresh()
            candidate, body = read_candidate(checkpoint_envelope, members)
            if not (
                _counts(members.membership, candidate) or (seen and candidate.device in members.membership.departed)
            ):
                raise WriterNotAMember(f"the checkpoint in {candidate.name} is by no member", hint=NOT_YOURS)
            if body is None or body.kind != KIND_CHECKPOINT:
                raise Forged(f"{candidate.name} was given out as a checkpoint, and is none", hint=_ASK)
            covers, arrival = vector_of(body.covers), Arrival()
            with members.transaction(library.log) as transaction:
                members.refresh()
                self._require_our_chains(candidate, covers)
                if covers.get(library.device_id, (0, NO_HASH))[0] > library.log.head(library.device_id)[0]:
                    library.writer.note_taken(transaction, 0)
                transaction.raise_base(covers)
                add_base(library.log, transaction, candidate.device, candidate.seq)
                intake = self._intake(transaction, arrival)
                intake.take([candidate])
                intake.review()
            library.expect_news()
            return body

    def _candidate(self, data: bytes, arrival: Arrival) -> Candidate | None:
        try:
            if self._is_known(data):
                arrival.known += 1
                return None
            return read_candidate(data, self._library.members)[0]
        except Forged as alarm:
            arrival.raise_alarm(alarm)
            return None

    def _is_known(self, data: bytes) -> bool:
        """Tell whether exactly this envelope is accepted already: what was checked once is not checked again."""
        try:
            header = read_header(data)
        except CryptoError:
            return False
        return self._library.log.hash_at(header.device_id, header.seq) == envelope_hash(data)

    def _store(self, candidates: list[Candidate], arrival: Arrival) -> None:
        library = self._library
        with library.members.transaction(library.log) as transaction:
            library.members.refresh()
            intake = self._intake(transaction, arrival)
            if candidates:
                intake.take(candidates)
            else:
                intake.review()
        library.expect_news()

    def _intake(self, transaction: LogTransaction, arrival: Arrival) -> Intake:
        library = self._library
        return Intake(library.log, transaction, library.members, library.writer, arrival)

    def _verified(self, entries: Iterable[bytes], arrival: Arrival) -> list[Entry]:
        """Return the entries that are not known yet and hold by themselves."""
        members = self._library.members
        found: dict[bytes, Entry] = {}
        for data in entries:
            if members.has_entry(data):
                arrival.known += 1
                continue
            try:
                entry = verify_entry(data, self._library.library_id)
            except UnknownVersion as error:
                arrival.raise_alarm(SyncAlarm(f"update needed: {error}", hint="Update Safelight on this device."))
            except CryptoError as error:
                arrival.raise_alarm(Forged(f"a membership entry does not hold: {error}", hint=_ASK))
            else:
                found[entry.hash] = entry
        return list(found.values())

    @staticmethod
    def _admissible(before: Membership, arrived: list[Entry], arrival: Arrival) -> list[Entry]:
        """Return the entries that count, or may count once those they build on are here."""
        after = before.with_entries(arrived)
        wanted = []
        room = MAX_PENDING - len(before.pending)
        for entry in arrived:
            refusal = after.refused.get(entry.hash)
            if refusal is not None:
                arrival.raise_alarm(WriterNotAMember(f"{entry.name} is refused: {refusal}", hint=NOT_YOURS))
                continue
            if entry.hash in after.pending:
                room -= 1
            if (entry.hash in after.pending and room < 0) or len(after.entries) > MOST_ENTRIES:
                arrival.raise_alarm(
                    Forged("more membership entries are given out than any library has", hint=NOT_YOURS)
                )
                continue
            wanted.append(entry)
        return wanted

    def _require_our_chains(self, candidate: Candidate, covers: Vector) -> None:
        log, members = self._library.log, self._library.members
        heads, base = log.heads(), log.base()
        for device, place in covers.items():
            if not members.is_known(device):
                raise WriterNotAMember(
                    f"the checkpoint in {candidate.name} covers device {device.hex()[:12]}, which never was a member",
                    hint=NOT_YOURS,
                )
            head = heads.get(device, (0, NO_HASH))
            if place[0] > head[0] or place in {head, base.get(device)}:
                continue
            known = log.hash_at(device, place[0])
            if known != place[1] and (known is not None or place[0] == head[0]):
                raise forked(device, place[0])

    def _unaccounted_places(self) -> Iterator[SyncAlarm]:
        """Yield an alarm for each device of which something is missing: the newest place that is named, or the gap."""
        log, members = self._library.log, self._library.members
        newest: dict[bytes, tuple[int, bytes, bytes]] = {}
        for device, seq, hash_, author in log.named():
            if author in members.membership.members and seq >= newest.get(device, (0, b"", b""))[0]:
                newest[device] = (seq, hash_, author)
        told = set[bytes]()
        for device, (seq, hash_, author) in newest.items():
            if log.hash_at(device, seq) is not None:
                yield forked(device, seq)
                told.add(device)
                continue
            if any((seq, hash_) == link[:2] for link in log.held_links(device)):
                continue  # it was given out: what it waits for is named below
            yield Withheld(
                f"{name_envelope(device, seq)}, which device {author.hex()[:12]} has seen, is not given out", hint=_ASK
            )
            told.add(device)
        for device in log.held_sizes():
            if device in members.membership.members and device not in told and device != members.device_id:
                yield from self._gap(device)

    def _gap(self, device: bytes) -> Iterator[SyncAlarm]:
        log = self._library.log
        waiting, epoch = min((seq, epoch) for seq, _, _, epoch in log.held_links(device))
        missing = log.head(device)[0] + 1
        if waiting > missing:
            yield Withheld(f"{name_envelope(device, missing)} is not given out, though later ones are", hint=_ASK)
        elif epoch not in self._library.members.membership.epochs:
            yield Withheld(
                f"{name_envelope(device, waiting)} builds on membership entries that no relay gives out", hint=_ASK
            )
        # Else it waits for the key of an epoch that was made while this device was added: whoever has it gives it.


def _counts(membership: Membership, candidate: Candidate) -> bool:
    """Tell whether an envelope is by a member, or by a former one and not past what was accepted of it."""
    if candidate.device in membership.members:
        return True
    departure = membership.departed.get(candidate.device)
    return departure is not None and any(cut.seq >= candidate.seq for cut in departure.cuts)


def _contradicted(author: bytes) -> Contradicted:
    return Contradicted(
        f"device {author.hex()[:12]} made two membership entries, neither knowing of the other",
        hint="A copy of it was written to by an old program, or somebody else has its keys. Revoke it if it is not in "
        "your hands (`safelight device revoke`).",
    )


def _batches(envelopes: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for data in envelopes:
        if batch and (len(batch) >= _BATCH or size + len(data) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(data)
        size += len(data)
    if batch:
        yield batch
