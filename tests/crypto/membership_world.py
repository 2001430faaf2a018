"""Several devices of one library that meet now and then, and a second, slow reading of the rules to compare with."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from crypto.epochs import must_rotate, open_epochs
from crypto.keys import DeviceSecrets
from crypto.membership import Membership, create_genesis, evaluate, verify_genesis
from crypto.membership_change import countersign, draft_add, replace_phrase, revoke, rotate
from crypto.membership_entry import (
    CHECK_BYTES,
    COUNTS,
    EPOCH_BOX_BYTES,
    MEMBER,
    MEMBER_BOX_BYTES,
    NO_ENVELOPE,
    REVOKED,
    START,
    WRAP_BYTES,
    Admission,
    Cut,
    Entry,
    EntryKind,
    Revocation,
    Rotation,
    verify_entry,
)
from crypto.preamble import Kind, preamble
from crypto.purposes import Signed
from crypto.signing import sign

if TYPE_CHECKING:
    from collections.abc import Iterable


@cache
def secrets_of(number: int) -> DeviceSecrets:
    """Return the secrets of device `number`: 0 founds, 1 is the phrase."""
    return DeviceSecrets(bytes([number, 1] * 16), bytes([number, 2] * 16))


FOUNDER = secrets_of(0)
PHRASE = secrets_of(1)
GENESIS = verify_genesis(create_genesis(FOUNDER, PHRASE, created_at=1_700_000_000))


class World:
    """Each device knows its own entries and those it was given."""

    def __init__(self) -> None:
        self.states: dict[bytes, Membership] = dict.fromkeys(
            (FOUNDER.device_id, PHRASE.device_id), evaluate(GENESIS, [])
        )
        self.secrets = {FOUNDER.device_id: FOUNDER, PHRASE.device_id: PHRASE}
        self.next = 2

    def put(self, author: DeviceSecrets, entry: Entry) -> Entry:
        self.states[author.device_id] = self.states[author.device_id].with_entries([entry])
        return entry

    def rotate(self, author: DeviceSecrets) -> Entry:
        state = self.states[author.device_id]
        return self.put(author, rotate(state, author, open_epochs(state, author)))

    def settle(self, author: DeviceSecrets) -> Membership:
        """Rotate if that has to come first."""
        state = self.states[author.device_id]
        if must_rotate(state, open_epochs(state, author)):
            self.rotate(author)
        return self.states[author.device_id]

    def add(self, author: DeviceSecrets, newcomer: DeviceSecrets | None = None, *, continues: bool = False) -> Entry:
        if newcomer is None:
            newcomer = secrets_of(self.next)
            self.next += 1
        state = self.settle(author)
        draft = draft_add(
            state,
            author,
            open_epochs(state, author),
            newcomer.device_id,
            newcomer.exchange_public,
            continues=continues,
        )
        entry = self.put(author, countersign(draft, GENESIS.library_id, newcomer))
        self.secrets[newcomer.device_id] = newcomer
        self.states[newcomer.device_id] = self.states[author.device_id]
        return entry

    def revoke(self, author: DeviceSecrets, subject: bytes, cut: Cut = NO_ENVELOPE) -> Entry:
        return self.put(author, revoke(self.states[author.device_id], author, subject, cut))

    def replace(self, author: DeviceSecrets) -> Entry:
        state = self.settle(author)
        newcomer = secrets_of(self.next)
        self.next += 1
        entry = self.put(author, replace_phrase(state, author, open_epochs(state, author), newcomer))
        self.secrets[newcomer.device_id] = newcomer
        self.states[newcomer.device_id] = self.states[author.device_id]
        return entry

    def meet(self, one: bytes, other: bytes) -> None:
        together = self.states[one].with_entries(self.states[other].entries.values())
        self.states[one] = self.states[other] = together

    def everything(self) -> list[Entry]:
        return sorted(
            {entry for state in self.states.values() for entry in state.entries.values()}, key=lambda entry: entry.hash
        )

    def merged(self) -> Membership:
        """Let all meet; return what they know then."""
        state = evaluate(GENESIS, self.everything())
        self.states = dict.fromkeys(self.states, state)
        return state


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "revoke", "rotate", "meet", "meet", "replace"]),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=16,
)


def play(steps: list[tuple[str, int, int]]) -> World:
    """Let honest devices do what they may as far as each knows."""
    world = World()
    for what, first, second in steps:
        devices = list(world.secrets)
        one, other = devices[first % len(devices)], devices[second % len(devices)]
        state, author = world.states[one], world.secrets[one]
        if what == "meet":
            world.meet(one, other)
        elif one not in state.members:
            continue
        elif what == "add":
            world.add(author)
        elif what == "rotate":
            world.rotate(author)
        elif what == "replace" and state.members[one].is_phrase:
            world.replace(author)
        elif what == "revoke" and other in state.members and not state.members[other].is_phrase:
            world.revoke(author, other)
    return world


def forge(
    kind: EntryKind,
    author: DeviceSecrets,
    heads: Iterable[bytes],
    content: bytes,
    newcomer: DeviceSecrets | None = None,
    *,
    library_id: bytes = GENESIS.library_id,
) -> Entry:
    """Return an entry with whatever is asked for in it, signed by whoever holds the keys: as a hostile member can."""
    named = sorted(set(heads))
    data = preamble(Kind.MEMBERSHIP) + START.pack(kind, 0, library_id, author.device_id, len(named)) + b"".join(named)
    data += content
    data += sign(author.signing_seed, Signed.MEMBERSHIP, data)
    if newcomer is not None:
        data += sign(newcomer.signing_seed, Signed.COUNTERSIGNATURE, data)
    return verify_entry(data, library_id)


def forge_add(
    author: DeviceSecrets,
    heads: Iterable[bytes],
    newcomer: DeviceSecrets,
    *,
    epoch_id: bytes = GENESIS.library_id,
    continues: bool = False,
    kind: EntryKind = EntryKind.ADD,
) -> Entry:
    said = MEMBER.pack(newcomer.device_id, newcomer.exchange_public, epoch_id, continues)
    return forge(kind, author, heads, said + bytes(MEMBER_BOX_BYTES), newcomer)


def forge_revoke(author: DeviceSecrets, heads: Iterable[bytes], subject: bytes, cut: Cut = NO_ENVELOPE) -> Entry:
    return forge(EntryKind.REVOKE, author, heads, REVOKED.pack(subject, cut.seq, cut.hash))


def forge_rotation(
    author: DeviceSecrets, heads: Iterable[bytes], members: Iterable[bytes], wrapped: Iterable[bytes] = ()
) -> Entry:
    recipients, epochs = sorted(set(members)), sorted(set(wrapped) or {GENESIS.library_id})
    said = COUNTS.pack(len(epochs), len(recipients)) + b"".join([*epochs, *recipients]) + bytes(CHECK_BYTES)
    said += bytes(len(epochs) * WRAP_BYTES + len(recipients) * EPOCH_BOX_BYTES)
    return forge(EntryKind.ROTATE, author, heads, said)


def behind(heads: Iterable[bytes], entries: dict[bytes, Entry]) -> list[Entry]:
    """Return the entries that `heads` build on, themselves included."""
    found: dict[bytes, Entry] = {}
    waiting = list(heads)
    while waiting:
        head = waiting.pop()
        if head in entries and head not in found:
            found[head] = entries[head]
            waiting.extend(entries[head].heads)
    return list(found.values())


HOSTILE_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "revoke", "revoke", "rotate", "odd rotate", "replace"]),
        st.integers(0, 6),
        st.integers(0, 8),
        st.lists(st.integers(0, 5), min_size=1, max_size=3),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=16,
)
HostileStep = tuple[str, int, int, list[int], bool]


def play_hostile(steps: list[HostileStep]) -> list[Entry]:
    """Let members, or where the last of a step is false anybody, say anything beside any of the newest entries."""
    made: dict[bytes, Entry] = {}
    numbers = {secrets_of(number).device_id: number for number in range(9)}
    for what, first, second, back, careful in steps:
        state = evaluate(GENESIS, made.values())
        newest = [one for one in [GENESIS.library_id, *made][::-1] if not careful or one not in state.refused]
        heads = {newest[min(place, len(newest) - 1)] for place in back}
        if careful:
            heads = {one for one in heads if not any(state.precedes(one, other) for other in heads)}
        members = sorted(numbers[one] for one in evaluate(GENESIS, behind(heads, made)).members)
        author = secrets_of(members[first % len(members)] if careful else first)
        if what == "replace" and careful:
            author = secrets_of(1 if 1 in members else members[-1])
        subject = secrets_of(second)
        if what in {"add", "replace"} and author is not subject:
            kind = EntryKind.ADD if what == "add" else EntryKind.REPLACE
            epochs = [GENESIS.library_id, *(entry.hash for entry in made.values() if entry.kind is EntryKind.ROTATE)]
            epoch_id = epochs[sum(back) % len(epochs)] if sum(back) % 3 == 0 else GENESIS.library_id
            entry = forge_add(author, heads, subject, epoch_id=epoch_id, kind=kind)
        elif what == "revoke":
            entry = forge_revoke(author, heads, subject.device_id)
        elif what == "odd rotate":
            entry = forge_rotation(author, heads, [author.device_id, subject.device_id])
        else:
            entry = forge_rotation(author, heads, (secrets_of(number).device_id for number in members))
        made[entry.hash] = entry
    return list(made.values())


class SlowReading:
    """The rules by sets of ancestors, entry by entry, as they are said and without a thought for speed."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.given = {entry.hash: entry for entry in entries}
        self.before: dict[bytes, frozenset[bytes]] = {GENESIS.library_id: frozenset()}
        self.refused: set[bytes] = set()
        waiting = dict(self.given)
        while True:
            ready = [
                entry for entry in waiting.values() if all(h in self.before or h in self.refused for h in entry.heads)
            ]
            refused = [entry for entry in waiting.values() if any(head in self.refused for head in entry.heads)]
            if not ready and not refused:
                break
            for entry in {*ready, *refused}:
                del waiting[entry.hash]
                if entry in refused or not self.admissible(entry):
                    self.refused.add(entry.hash)
                else:
                    self.before[entry.hash] = self.seen_by(entry)
        self.pending = set(waiting)
        self.admitted = [self.given[one] for one in self.before if one != GENESIS.library_id]
        self.all = frozenset(self.before)
        self.void = {entry.hash for entry in self.admitted if not self.stands(entry, self.all)}
        self.members = self.members_in(self.all)

    def seen_by(self, entry: Entry) -> frozenset[bytes]:
        return frozenset(entry.heads).union(*(self.before[head] for head in entry.heads))

    def entries_in(self, view: frozenset[bytes]) -> list[Entry]:
        return [self.given[one] for one in view if one != GENESIS.library_id]

    def removals(self, device: bytes, view: frozenset[bytes]) -> list[Entry]:
        return [
            entry
            for entry in self.entries_in(view)
            if (isinstance(entry.content, Revocation) and entry.content.device_id == device)
            or (entry.kind is EntryKind.REPLACE and entry.author == device)
        ]

    def admissions(self, device: bytes, view: frozenset[bytes]) -> list[Entry]:
        return [
            entry
            for entry in self.entries_in(view)
            if isinstance(entry.content, Admission) and entry.content.device_id == device
        ]

    def stands(self, entry: Entry, view: frozenset[bytes]) -> bool:
        if entry.kind in {EntryKind.REVOKE, EntryKind.REPLACE}:
            return True
        for removal in self.removals(entry.author, view):
            if entry.hash not in self.before[removal.hash] and removal.hash not in self.before[entry.hash]:
                return False
        if entry.author in {FOUNDER.device_id, PHRASE.device_id}:
            return True
        return any(
            self.stands(admission, view)
            for admission in self.admissions(entry.author, view)
            if admission.hash in self.before[entry.hash]
        )

    def phrases(self, view: frozenset[bytes]) -> set[bytes]:
        every = {PHRASE.device_id} | {
            entry.admission.device_id for entry in self.entries_in(view) if entry.kind is EntryKind.REPLACE
        }
        current = {one for one in every if not any(r.kind is EntryKind.REPLACE for r in self.removals(one, view))}
        return {one for one in current if not self.removals(one, view)} or current

    def members_in(self, view: frozenset[bytes]) -> set[bytes]:
        devices = {FOUNDER.device_id}
        for entry in self.entries_in(view):
            if entry.kind is EntryKind.ADD and self.stands(entry, view):
                devices.add(entry.admission.device_id)
        return {one for one in devices if not self.removals(one, view)} | self.phrases(view)

    def admissible(self, entry: Entry) -> bool:
        view = self.seen_by(entry)
        if any(head in self.before[other] for head in entry.heads for other in entry.heads):
            return False
        members, content = self.members_in(view), entry.content
        if entry.author not in members:
            return False
        if isinstance(content, Rotation):
            return set(content.boxes) == members and all(self.is_epoch(one, view) for one in content.wrapped)
        removed = bool(self.removals(content.device_id, view))
        if isinstance(content, Revocation):
            known = content.device_id in members or bool(self.admissions(content.device_id, view))
            return known and not removed and self.phrases(view) != {content.device_id}
        new = content.device_id not in members and not removed and self.is_epoch(content.epoch_id, view)
        return new and (entry.kind is EntryKind.ADD or entry.author in self.phrases(view))

    def is_epoch(self, epoch_id: bytes, view: frozenset[bytes]) -> bool:
        return epoch_id == GENESIS.library_id or (epoch_id in view and self.given[epoch_id].kind is EntryKind.ROTATE)

    def contradicting(self) -> dict[bytes, set[bytes]]:
        found: dict[bytes, set[bytes]] = {}
        counted = [
            entry for entry in self.admitted if not (isinstance(entry.content, Admission) and entry.content.continues)
        ]
        for one in counted:
            for other in counted:
                apart = one.hash not in self.before[other.hash] and other.hash not in self.before[one.hash]
                if one is not other and one.author == other.author and apart:
                    found.setdefault(one.author, set()).add(one.hash)
        return found
