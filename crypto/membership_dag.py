"""The graph of membership entries: what precedes what, which entries may stand in it, and who is a member in a view.

A *view* is everything some entry (or all of us) can see: a set that holds, with an entry, all that precedes it.
Whether an entry is admitted depends only on its own view, which never changes; so every device admits the same
entries, in whatever order they arrive. Whether an admitted entry *stands* depends on what is concurrent with it:

- a revocation stands always, and so does a replacement of the phrase;
- an add or a rotation is void if its author was revoked concurrently, or if no add of its author stands.

Since revocations need nothing to stand, and adds only what precedes them, no two rules can wait for each other.

What precedes what is answered by vector clocks (Mattern, "Virtual Time and Global States of Distributed Systems",
1989), one component for each author's chain of entries, and one more for each time an author contradicts itself. An
entry costs as much as there are chains before it; nothing is compared pair by pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto.membership_entry import Admission, Entry, EntryKind, Revocation, Rotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crypto.genesis import Genesis

MAX_MEMBERS: Final = 256
"""Nobody is added to more; two halves that were apart may come to more together, which a rotation still holds."""

MAX_DEPTH: Final = 128
"""How far a member may be from genesis: each added by the one before."""

Clock = dict[int, int]


class Dag:
    """All admitted entries. Entries are offered once all their heads are in."""

    def __init__(self, genesis: Genesis) -> None:
        """Begin with genesis alone."""
        self.genesis = genesis
        self.entries: dict[bytes, Entry] = {}
        self.heads: set[bytes] = {genesis.library_id}
        self.admissions: dict[bytes, list[Entry]] = {}
        self.removals: dict[bytes, list[Entry]] = {}
        self.rotations: list[Entry] = []
        self.replacements: list[Entry] = []
        self._chains: list[list[bytes]] = [[genesis.library_id]]
        self._admitting: dict[int, list[tuple[int, Entry]]] = {}  # of each chain: (place, entry), in order
        self._chains_of: dict[bytes, dict[int, None]] = {}
        self._place: dict[bytes, tuple[int, int]] = {genesis.library_id: (0, 1)}
        self._clocks: dict[bytes, Clock] = {genesis.library_id: {0: 1}}
        self._depth: dict[bytes, int] = {}

    def __contains__(self, entry_hash: bytes) -> bool:
        """Tell whether an entry (or genesis) is in."""
        return entry_hash in self._place

    def offer(self, entry: Entry) -> str | None:
        """Take `entry` in, whose heads are all in, and return None; or return why it can never be admitted."""
        clock = self._joined(entry.heads)
        view = View(self, clock)
        refusal = self._refusal(entry, view)
        if refusal is not None:
            return refusal
        chain = self._chain_for(entry, clock)
        self._chains[chain].append(entry.hash)
        clock[chain] = len(self._chains[chain])
        self._place[entry.hash] = (chain, clock[chain])
        self._clocks[entry.hash] = clock
        self.entries[entry.hash] = entry
        self.heads.difference_update(entry.heads)
        self.heads.add(entry.hash)
        if isinstance(entry.content, Admission):
            self.admissions.setdefault(entry.content.device_id, []).append(entry)
            self._admitting.setdefault(chain, []).append((clock[chain], entry))
            if entry.kind is EntryKind.REPLACE:
                self.replacements.append(entry)
                self._depth[entry.hash] = 0  # it always stands, whoever its author was
                self.removals.setdefault(entry.author, []).append(entry)
            else:
                self._depth[entry.hash] = view.depth(entry.author) + 1
        elif isinstance(entry.content, Revocation):
            self.removals.setdefault(entry.content.device_id, []).append(entry)
        else:
            self.rotations.append(entry)
        return None

    def refusal(self, entry: Entry) -> str | None:
        """Return why `entry`, whose heads are all in, could not be admitted, or None if it could."""
        return self._refusal(entry, self.view(entry.heads))

    def everything(self) -> View:
        """Return the view of all admitted entries."""
        return self.view(self.heads)

    def view(self, heads: Iterable[bytes]) -> View:
        """Return the view of some entries and all that precede them."""
        return View(self, self._joined(heads))

    def precedes(self, one: bytes, other: bytes) -> bool:
        """Tell whether entry `one` was seen by the author of entry `other`."""
        chain, place = self._place[one]
        return one != other and self._clocks[other].get(chain, 0) >= place

    def are_concurrent(self, one: bytes, other: bytes) -> bool:
        """Tell whether neither of two entries was seen by the author of the other."""
        return not self.precedes(one, other) and not self.precedes(other, one)

    def place(self, entry_hash: bytes) -> tuple[int, int]:
        """Return (chain, place in it, from 1) of an admitted entry."""
        return self._place[entry_hash]

    def unseen(self, entries: Iterable[bytes]) -> set[bytes]:
        """Return those of `entries` that the author of none of the others had seen."""
        given = set(entries)
        seen: Clock = {}
        for entry_hash in given:
            own = self._place[entry_hash][0]
            for chain, last in self._clocks[entry_hash].items():
                before = last - 1 if chain == own else last
                if seen.get(chain, 0) < before:
                    seen[chain] = before
        return {one for one in given if self._place[one][1] > seen.get(self._place[one][0], 0)}

    def admitted_in(self, clock: Clock) -> Iterator[bytes]:
        """Yield the devices that the entries in `clock` admit, some more than once."""
        for chain in self._admitting.keys() & clock.keys():
            for place, entry in self._admitting[chain]:
                if place > clock[chain]:
                    break
                yield entry.admission.device_id

    def latest_of(self, author: bytes) -> list[bytes]:
        """Return the last entry of each chain of `author`: more than one if it contradicted itself."""
        return [self._chains[chain][-1] for chain in self._chains_of.get(author, ())]

    def admission_depth(self, entry: Entry) -> int:
        """Return how far the member that `entry` admits is from genesis."""
        return self._depth[entry.hash]

    def contradictions(self) -> dict[bytes, tuple[bytes, ...]]:
        """Return, for each author that contradicted itself, its entries that are concurrent with another of its own.

        An add of the author's own copy does not count: the copy makes it as it learns that it is one.
        """
        found = {}
        for author, chains in self._chains_of.items():
            if len(chains) > 1:
                entries = [entry_hash for chain in chains for entry_hash in self._chains[chain]]
                at_odds = [one for one in entries if self._is_contradicted(one, chains)]
                if at_odds:
                    found[author] = tuple(sorted(at_odds))
        return found

    def _is_contradicted(self, entry_hash: bytes, chains: Iterable[int]) -> bool:
        if self._is_copy(entry_hash):
            return False
        clock = self._clocks[entry_hash]
        own = self._place[entry_hash][0]
        for chain in chains:
            unseen = self._chains[chain][clock.get(chain, 0) :] if chain != own else ()
            # Of those this entry has not seen, the first is concurrent unless it has seen this entry; and so on up.
            first = next((other for other in unseen if not self._is_copy(other)), None)
            if first is not None and not self.precedes(entry_hash, first):
                return True
        return False

    def _is_copy(self, entry_hash: bytes) -> bool:
        content = self.entries[entry_hash].content
        return isinstance(content, Admission) and content.continues

    def _joined(self, heads: Iterable[bytes]) -> Clock:
        clocks = sorted((self._clocks[head] for head in heads), key=len, reverse=True)
        joined = dict(clocks[0])
        for clock in clocks[1:]:
            for chain, place in clock.items():
                if joined.get(chain, 0) < place:
                    joined[chain] = place
        return joined

    def _chain_for(self, entry: Entry, clock: Clock) -> int:
        chains = self._chains_of.setdefault(entry.author, {})
        # Of somebody that contradicts itself a thousand times, an entry has seen few chains: look at the fewer.
        seen = [chain for chain in clock if chain in chains] if len(clock) < len(chains) else chains
        for chain in seen:
            if clock.get(chain, 0) == len(self._chains[chain]):
                return chain
        chains[len(self._chains)] = None
        self._chains.append([])
        return len(self._chains) - 1

    def _refusal(self, entry: Entry, view: View) -> str | None:
        if any(self.precedes(one, other) for one in entry.heads for other in entry.heads):
            return "it names a head together with an entry that one has seen"
        if not view.is_member(entry.author):
            return "its author was no member, as far as it knew itself"
        content = entry.content
        if isinstance(content, Revocation):
            return _refused_revocation(content, view)
        if isinstance(content, Rotation):
            if content.boxes.keys() != view.members():
                return "it is not sealed to exactly the members its author knew"
            return None if all(map(view.has_epoch, content.wrapped)) else "it wraps the key of an unknown epoch"
        return self._refused_admission(entry, content, view)

    @staticmethod
    def _refused_admission(entry: Entry, content: Admission, view: View) -> str | None:
        if view.is_member(content.device_id) or view.is_removed(content.device_id):
            return "it adds a member that is or was one"
        if not view.has_epoch(content.epoch_id):
            return "it gives the keys of an unknown epoch"
        if entry.kind is EntryKind.REPLACE:
            return None if entry.author in view.phrases() else "only the recovery phrase replaces itself"
        if len(view.members()) >= MAX_MEMBERS:
            return f"the library has {MAX_MEMBERS} members already"
        if view.depth(entry.author) >= MAX_DEPTH:
            return f"its author is {MAX_DEPTH} adds away from genesis"
        return None


def _refused_revocation(content: Revocation, view: View) -> str | None:
    device = content.device_id
    if not view.is_known(device):
        return "it revokes a device that was never added"
    if view.is_removed(device):
        return "it revokes a device that was revoked before"
    # After two replacements of one phrase, by somebody who found it, one of the two has to go.
    if device in view.phrases() and len(view.phrases()) == 1:
        return "only the recovery phrase replaces itself"
    return None


class View:
    """The members, as they are after all entries a clock includes; computed as asked for, and remembered."""

    def __init__(self, dag: Dag, clock: Clock) -> None:
        """Look at what `clock` includes."""
        self._dag = dag
        self._clock = clock
        self._standing: dict[bytes, bool] = {}
        self._phrases: frozenset[bytes] | None = None

    def includes(self, entry_hash: bytes) -> bool:
        """Tell whether an admitted entry is in this view."""
        chain, place = self._dag.place(entry_hash)
        return self._clock.get(chain, 0) >= place

    def has_epoch(self, epoch_id: bytes) -> bool:
        """Tell whether the entry that makes this epoch is in this view."""
        entry = self._dag.entries.get(epoch_id)
        if entry is None:
            return epoch_id == self._dag.genesis.library_id
        return entry.kind is EntryKind.ROTATE and self.includes(epoch_id)

    def stands(self, entry: Entry) -> bool:
        """Tell whether an entry of this view is not void: its author's own standing, but for what always holds."""
        if isinstance(entry.content, Revocation) or entry.kind is EntryKind.REPLACE:
            return True
        return self.is_uncontested(entry)

    def is_uncontested(self, entry: Entry) -> bool:
        """Tell whether the author was not revoked concurrently, and was itself added by an entry that stands.

        Recursion ends at genesis, `MAX_DEPTH` adds away at most.
        """
        known = self._standing.get(entry.hash)
        if known is None:
            known = self._standing[entry.hash] = self._judge(entry)
        return known

    def _judge(self, entry: Entry) -> bool:
        for removal in self.removals(entry.author):
            if removal is not entry and self._dag.are_concurrent(removal.hash, entry.hash):
                return False
        if self._is_founder(entry.author):
            return True
        for admission in self._dag.admissions.get(entry.author, ()):
            if self._dag.precedes(admission.hash, entry.hash) and self.stands(admission):
                return True
        return False

    def removals(self, device: bytes) -> Iterator[Entry]:
        """Yield the entries of this view that revoke or replace `device`."""
        return (entry for entry in self._dag.removals.get(device, ()) if self.includes(entry.hash))

    def admissions(self, device: bytes) -> Iterator[Entry]:
        """Yield the entries of this view that admit `device`, void ones included."""
        return (entry for entry in self._dag.admissions.get(device, ()) if self.includes(entry.hash))

    def is_removed(self, device: bytes) -> bool:
        """Tell whether `device` was revoked or replaced."""
        return next(self.removals(device), None) is not None

    def is_known(self, device: bytes) -> bool:
        """Tell whether anything ever admitted `device`, void or not."""
        return self._is_founder(device) or next(self.admissions(device), None) is not None

    def is_member(self, device: bytes) -> bool:
        """Tell whether `device` is a member, the recovery phrase included."""
        if self._is_phrase(device):
            return device in self.phrases()
        if self.is_removed(device):
            return False
        return self._is_founder(device) or any(self.stands(entry) for entry in self.admissions(device))

    def members(self) -> frozenset[bytes]:
        """Return the ids of all members, the recovery phrase included."""
        devices = {device for device in set(self._dag.admitted_in(self._clock)) if self.is_member(device)}
        if self.is_member(self._dag.genesis.device_id):
            devices.add(self._dag.genesis.device_id)
        return self.phrases() | devices

    def phrases(self) -> frozenset[bytes]:
        """Return the phrase: or several, if one was replaced more than once.

        Revocations among these cannot leave none: they are void together then, so that the phrase remains.
        """
        if self._phrases is None:
            every = {entry.admission.device_id for entry in self._dag.replacements if self.includes(entry.hash)}
            every.add(self._dag.genesis.phrase_id)
            current = {
                phrase
                for phrase in every
                if not any(removal.kind is EntryKind.REPLACE for removal in self.removals(phrase))
            }
            unrevoked = {phrase for phrase in current if not self.is_removed(phrase)}
            self._phrases = frozenset(unrevoked or current)
        return self._phrases

    def depth(self, device: bytes) -> int:
        """Return how many adds a member is away from genesis."""
        if self._is_founder(device):
            return 0
        return min(self._dag.admission_depth(entry) for entry in self.admissions(device) if self.stands(entry))

    def _is_phrase(self, device: bytes) -> bool:
        return device == self._dag.genesis.phrase_id or any(
            entry.kind is EntryKind.REPLACE for entry in self.admissions(device)
        )

    def _is_founder(self, device: bytes) -> bool:
        return device in {self._dag.genesis.device_id, self._dag.genesis.phrase_id}
