"""Which envelopes of those that arrived are accepted: the work inside one transaction of `core.ingest`.

The rules are those of `crypto.acceptance`, applied as things come in. A member's envelope is accepted once it links to
the last one accepted. A former member's is accepted up to the last place that a revocation's cut, or the frontier of
an accepted envelope of a member, names. What cannot be accepted yet is held, within bounds; what was accepted stays.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from core.envelope_body import EnvelopeBody, decode_body, vector_of
from core.errors import EnvelopeDamaged, Forged, Forked, SyncAlarm, Withheld, WriterNotAMember
from core.log import NO_HASH, Vector, name_envelope
from crypto.envelope import envelope_hash, open_envelope, read_header, verify_envelope
from crypto.errors import CryptoError, UnknownVersion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.log import Log, LogTransaction
    from core.members import Members
    from core.writer import Writer

MAX_HELD: Final = 1_000
MAX_HELD_BYTES: Final = 16 << 20
"""How much is held of one device, and of all strangers together."""
MAX_NAMED: Final = 4_000
"""How many places that this log lacks are remembered of the frontiers of one author."""
MAX_ALARMS: Final = 200
NOT_YOURS: Final = "Compare `safelight device list` on your devices; revoke what you do not know."

Place = tuple[int, bytes]


@dataclass
class Arrival:
    """What became of what arrived.

    `entries` new membership entries and `accepted` envelopes were stored (those accepted now that had been held
    included); `held` envelopes wait for what is missing; `known` things were here already. `forked_self` is the place
    of an envelope that somebody else wrote under one of this device's own numbers: it has to become a new device.
    """

    entries: int = 0
    accepted: int = 0
    held: int = 0
    known: int = 0
    alarms: list[SyncAlarm] = field(default_factory=list)
    forked_self: Place | None = None
    _told: set[str] = field(default_factory=set, repr=False)

    def raise_alarm(self, alarm: SyncAlarm) -> None:
        """Keep an alarm, once; of a flood of them, the first."""
        if str(alarm) not in self._told and len(self.alarms) < MAX_ALARMS:
            self._told.add(str(alarm))
            self.alarms.append(alarm)


@dataclass
class Candidate:
    """An envelope that its device signed for this library.

    `frontier` is None until it could be opened; `data` of one that was held is read when it is.
    """

    device: bytes
    seq: int
    hash: bytes
    previous: bytes
    epoch_id: bytes
    data: bytes = field(default=b"", repr=False)
    frontier: Vector | None = None
    is_held: bool = False

    @property
    def place(self) -> Place:
        """Number and hash."""
        return self.seq, self.hash

    @property
    def link(self) -> tuple[bytes, int, bytes, bytes]:
        """Where it stands: device, number, hash, and the hash of the one before."""
        return self.device, self.seq, self.hash, self.previous

    @property
    def name(self) -> str:
        """How alarms name it."""
        return name_envelope(self.device, self.seq)


def read_candidate(data: bytes, members: Members) -> tuple[Candidate, EnvelopeBody | None]:
    """Return an envelope whose form, library and signature hold, and what is in it if its epoch's key is at hand.

    Raises `Forged`.
    """
    try:
        header = read_header(data)
    except UnknownVersion as error:
        raise Forged(f"what was given out as an envelope cannot be checked: it is {error}", hint=error.hint) from error
    except CryptoError as error:
        raise Forged(f"something that is no envelope was given out as one: {error}", hint=_RELAY) from error
    library_id = members.genesis.library_id
    thing = name_envelope(header.device_id, header.seq)
    epoch = members.key_of(header.epoch_id)
    candidate = Candidate(header.device_id, header.seq, envelope_hash(data), header.previous, header.epoch_id, data)
    try:
        if epoch is None:
            verify_envelope(data, library_id=library_id, device_id=header.device_id)
            return candidate, None
        _, plaintext = open_envelope(data, epoch, library_id=library_id, device_id=header.device_id)
        body = decode_body(plaintext, thing)
    except (CryptoError, EnvelopeDamaged) as error:
        raise Forged(f"{thing} does not hold: {error}", hint=_RELAY) from error
    candidate.frontier = vector_of(body.frontier)
    candidate.frontier.pop(candidate.device, None)
    return candidate, body


_ALTERED: Final = "It was let go, and is asked for again. `safelight verify` looks for whatever else was altered here."
_RELAY: Final = "Nothing of it was stored. A relay, or the network, altered it, or its author's program is broken."


class Intake:
    """Decides about envelopes inside one transaction."""

    def __init__(
        self, log: Log, transaction: LogTransaction, members: Members, writer: Writer, arrival: Arrival
    ) -> None:
        """Store through `transaction` and tell `arrival` what became of what."""
        self._log = log
        self._transaction = transaction
        self._members = members
        self._writer = writer
        self._arrival = arrival
        self._heads = log.heads()
        self._base = log.base()
        self._held = dict(log.held_sizes())
        self._named: dict[bytes, dict[Place, set[bytes]]] = defaultdict(dict)
        self._named_by: dict[bytes, int] = defaultdict(int)
        for device, seq, hash_, author in log.named():
            self._named[device].setdefault((seq, hash_), set()).add(author)
            self._named_by[author] += 1
        self._pool: dict[bytes, dict[Place, Candidate]] = {}
        self._waiting: deque[bytes] = deque()

    def take(self, candidates: Iterable[Candidate]) -> None:
        """Accept, hold or refuse `candidates`, and accept what was held if it can be now."""
        fresh: dict[bytes, list[Candidate]] = {}
        for candidate in candidates:
            pool = self._pool_of(candidate.device)
            if candidate.place in pool or self._has(candidate):
                self._arrival.known += 1
                if candidate.place in pool and candidate.device == self._members.device_id:
                    self._note_own_fork(candidate)
                continue
            pool[candidate.place] = candidate
            fresh.setdefault(candidate.device, []).append(candidate)
        self._work(fresh)
        for device, listed in fresh.items():
            self._judge_rest(device, [candidate for candidate in listed if candidate.place in self._pool[device]])

    def review(self) -> None:
        """Look again at what is held: membership, base or own identity changed."""
        self._work([device for device in self._held if self._members.is_known(device)])

    def _work(self, devices: Iterable[bytes]) -> None:
        self._waiting.extend(devices)
        while self._waiting:
            self._advance(self._waiting.popleft())

    def _has(self, candidate: Candidate) -> bool:
        """Tell whether an envelope is accepted already, or covered by the base, whose envelopes are not asked for."""
        head = self._heads.get(candidate.device)
        if head is None or candidate.seq > head[0]:
            return False
        if candidate.place == head:
            return True
        known = self._log.hash_at(candidate.device, candidate.seq)
        covered = self._base.get(candidate.device, (0, NO_HASH))
        if known is not None:
            return known == candidate.hash
        return candidate.seq < covered[0] or candidate.place == covered

    def _pool_of(self, device: bytes) -> dict[Place, Candidate]:
        """Return what waits of a device, held envelopes included."""
        if device not in self._pool:
            pool = self._pool[device] = {}
            for seq, hash_, previous, epoch_id in self._log.held_links(device) if device in self._held else ():
                pool[seq, hash_] = Candidate(device, seq, hash_, previous, epoch_id, is_held=True)
        return self._pool[device]

    def _advance(self, device: bytes) -> None:
        """Accept what can be accepted of a device."""
        if device in self._members.membership.members:
            by_seq: dict[int, list[Candidate]] = defaultdict(list)
            for candidate in self._pool_of(device).values():
                by_seq[candidate.seq].append(candidate)
            while self._accept_next(device, by_seq):
                pass
            self._let_go_of_other_chains(device)
        elif device in self._members.membership.departed:
            self._advance_departed(device)

    def _accept_next(self, device: bytes, by_seq: dict[int, list[Candidate]]) -> bool:
        seq, hash_ = self._heads.get(device, (0, NO_HASH))
        following = [candidate for candidate in by_seq.get(seq + 1, ()) if candidate.previous == hash_]
        # Of two that claim one place, members have seen the one that they name.
        following.sort(key=lambda candidate: candidate.place not in self._named.get(device, ()))
        return any(self._accept(candidate) for candidate in following)

    def _let_go_of_other_chains(self, device: bytes) -> None:
        """Name what was held of a member, and belongs to another chain than the one that was accepted; keep none of it.

        It is asked for again, and named again: while it was held, nothing seemed to be lacking, and nobody was told.
        """
        if device == self._members.device_id:
            return
        for candidate in [one for one in self._pool_of(device).values() if one.is_held and self._is_beside(one)]:
            if not self._has(candidate):  # below a checkpoint nobody knows what is in the chain
                self._raise_forked(candidate)
            self._transaction.release(device, candidate.seq, candidate.hash)
            del self._pool[device][candidate.place]

    def _is_beside(self, candidate: Candidate) -> bool:
        """Tell whether an envelope that is not accepted can never be: the head is final.

        What stands at or before it, or next to it without linking to it, is another chain, or was accepted long ago.
        """
        seq, hash_ = self._heads.get(candidate.device, (0, NO_HASH))
        return candidate.seq <= seq or (candidate.seq == seq + 1 and candidate.previous != hash_)

    def _raise_forked(self, candidate: Candidate) -> None:
        seq, _ = self._heads.get(candidate.device, (0, NO_HASH))
        self._arrival.raise_alarm(forked(candidate.device, min(candidate.seq, seq or 1)))

    def _advance_departed(self, device: bytes) -> None:
        """Accept a former member's envelopes up to the last one that counts, if all before it are here."""
        pool = self._pool_of(device)
        head = self._heads.get(device, (0, NO_HASH))
        cuts = {(cut.seq, cut.hash) for cut in self._members.membership.departed[device].cuts}
        members = self._members.membership.members.keys()
        named = {place for place, authors in self._named.get(device, {}).items() if authors & members}
        for place in sorted((cuts | named) & pool.keys(), reverse=True):
            path: list[Candidate] = []
            at: Place = place
            while at in pool and at[0] > head[0]:
                path.append(pool[at])
                at = (at[0] - 1, pool[at].previous)
            if at == head:
                for candidate in reversed(path):
                    if not self._accept(candidate):
                        break
                return

    def _accept(self, candidate: Candidate) -> bool:
        """Accept an envelope that links to the head; False if it cannot be opened (yet)."""
        if candidate.frontier is None and not self._open(candidate):
            return False
        device, seq, hash_ = candidate.device, candidate.seq, candidate.hash
        frontier = candidate.frontier or {}
        self._transaction.append(device, seq, hash_, candidate.data, frontier)
        if candidate.is_held:
            self._transaction.release(device, seq, hash_)
        del self._pool[device][candidate.place]
        self._heads[device] = candidate.place
        self._arrival.accepted += 1
        if self._named.get(device, {}).pop(candidate.place, None) is not None:
            self._transaction.account_for(device, seq, hash_)
        if device == self._members.device_id:
            self._writer.note_taken(self._transaction, 0)
        for other, place in frontier.items():
            self._name(device, other, place)
        return True

    def _open(self, candidate: Candidate) -> bool:
        if self._members.key_of(candidate.epoch_id) is None:
            return False
        alarm: Forged | None = None
        try:
            candidate.data = candidate.data or self._log.held_envelope(candidate.device, *candidate.place)
            opened, _ = read_candidate(candidate.data, self._members)
            candidate.frontier = opened.frontier
            if opened.link != candidate.link:
                alarm = Forged(f"{candidate.name} was altered in log.db while it waited", hint=_ALTERED)
        except Forged as error:
            alarm = error
        if alarm is not None:
            self._arrival.raise_alarm(alarm)
            self._transaction.release(candidate.device, candidate.seq, candidate.hash)
            del self._pool[candidate.device][candidate.place]
            return False
        return True

    def _name(self, author: bytes, device: bytes, place: Place) -> None:
        """Take note that an accepted envelope of `author` names `place` of `device`."""
        head = self._heads.get(device, (0, NO_HASH))
        if place == head or place[0] <= self._base.get(device, (0, NO_HASH))[0]:
            return
        if place[0] < head[0] and self._log.hash_at(device, place[0]) == place[1]:
            return
        authors = self._named[device].setdefault(place, set())
        if author in authors:
            return
        if self._named_by[author] >= MAX_NAMED:
            self._arrival.raise_alarm(
                Forged(
                    f"device {author.hex()[:12]} names more envelopes that nobody gives out than are remembered",
                    hint=NOT_YOURS,
                )
            )
            return
        authors.add(author)
        self._named_by[author] += 1
        self._transaction.name(author, device, *place)
        if device in self._members.membership.departed:
            self._waiting.append(device)

    def _judge_rest(self, device: bytes, rest: list[Candidate]) -> None:
        """Hold or refuse what arrived of a device and could not be accepted."""
        for candidate in sorted(rest, key=lambda one: one.seq):
            if not self._is_beside(candidate):
                self._hold(candidate)
            elif device == self._members.device_id:
                self._note_own_fork(candidate)
                self._hold(candidate)
            else:
                self._raise_forked(candidate)

    def _note_own_fork(self, candidate: Candidate) -> None:
        """Take note of somebody else's envelope at, or linked to another one at, a number of this device's."""
        seq, hash_ = self._heads.get(candidate.device, (0, NO_HASH))
        if not seq or candidate.seq > seq + 1 or (candidate.seq == seq + 1 and candidate.previous == hash_):
            return
        number = min(candidate.seq, seq)
        self._writer.note_taken(self._transaction, number)
        known = self._arrival.forked_self
        if known is None or number < known[0]:
            self._arrival.forked_self = (number, candidate.hash)

    def _hold(self, candidate: Candidate) -> None:
        device = candidate.device
        strangers = not self._members.is_known(device)
        if strangers and not self._members.membership.pending:
            self._arrival.raise_alarm(
                WriterNotAMember(f"{candidate.name} is by no member of this library", hint=NOT_YOURS)
            )
        if device in self._members.membership.departed:
            self._arrival.raise_alarm(
                WriterNotAMember(
                    f"device {device.hex()[:12]} was revoked: its envelopes from number "
                    f"{self._heads.get(device, (0, NO_HASH))[0] + 1} on are not accepted",
                    hint="If the device is yours and was revoked by mistake, pair it anew; what it has is not lost.",
                )
            )
        count, size = self._held_of_strangers() if strangers else self._held.get(device, (0, 0))
        if count and (count >= MAX_HELD or size + len(candidate.data) > MAX_HELD_BYTES):
            if not strangers:
                self._arrival.raise_alarm(
                    Withheld(
                        f"{count} envelopes of device {device.hex()[:12]} wait for earlier ones that no relay gives "
                        "out; more of them are not kept",
                        hint="Sync the device that wrote them, or use another relay as well.",
                    )
                )
            return
        link = (candidate.previous, candidate.epoch_id)
        self._transaction.hold(device, candidate.seq, candidate.hash, link, candidate.data)
        candidate.is_held = True
        known = self._held.get(device, (0, 0))
        self._held[device] = (known[0] + 1, known[1] + len(candidate.data))
        self._arrival.held += 1

    def _held_of_strangers(self) -> tuple[int, int]:
        sizes = [size for device, size in self._held.items() if not self._members.is_known(device)]
        return sum(count for count, _ in sizes), sum(size for _, size in sizes)


def forked(device: bytes, seq: int) -> Forked:
    """Return the alarm over two envelopes with one number."""
    return Forked(
        f"device {device.hex()[:12]} has two different envelopes {seq}: the one seen first counts here",
        hint="A copy of that device was written to by an old program, or somebody else has its keys. Revoke it "
        "(`safelight device revoke`), and pair it anew.",
    )
