"""Who belongs to a library: what a set of membership entries amounts to.

`evaluate` takes genesis and any entries whose form and signatures hold (`crypto.membership_entry.verify_entry`), in
any order, and returns the same `Membership` for the same set. The rules (why they are what they are: docs/formats.md,
"Membership: evaluation"):

- An entry counts only if its author was a member as far as the author itself knew, and might do what the entry does.
- A revocation always holds, also when it is mutual; the recovery phrase remains.
- An add or a rotation whose author was revoked concurrently is void, and so is what a member so added adds.
- An author that says two things, neither knowing of the other, contradicts itself: that is an alarm, and nothing else.
- A rotation is due wherever the newest epoch's key is not held by exactly the members, or nobody can say which epoch
  is the newest: after a revocation, and after histories merge.

New entries are made by `crypto.membership_change`, and epochs' keys opened by `crypto.epochs`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crypto.errors import WrongLibrary
from crypto.genesis import (
    ENTRY_HASH_BYTES,
    GENESIS_BYTES,
    GENESIS_KIND,
    Genesis,
    create_genesis,
    entry_hash,
    heads_hash,
    open_epoch,
    verify_genesis,
)
from crypto.membership_dag import Dag, View
from crypto.membership_entry import MAX_HEADS, NO_ENVELOPE, Cut, Entry, EntryKind, Revocation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "ENTRY_HASH_BYTES",
    "GENESIS_BYTES",
    "GENESIS_KIND",
    "Contradiction",
    "Cut",
    "Departure",
    "Epoch",
    "Genesis",
    "Member",
    "Membership",
    "create_genesis",
    "entry_hash",
    "evaluate",
    "heads_hash",
    "open_epoch",
    "verify_genesis",
]


@dataclass(frozen=True)
class Member:
    """A member: its two public keys, and the entry that admitted it (genesis, for the founders).

    `added_by` is the author of that entry (None for the founders); `continues` that same author, if the member is a
    copy of it (a restored backup, a copied folder) and goes on with its replica actors.
    """

    device_id: bytes
    exchange: bytes
    added_at: int
    entry: bytes
    added_by: bytes | None
    is_phrase: bool
    continues: bytes | None


@dataclass(frozen=True)
class Departure:
    """One that is no member any more, or that never was because every add of it is void.

    `cuts` are the last envelopes accepted of it, by those whose word counts (`crypto.acceptance`); `removed_by` the
    entries that revoke it: none, if its adds are void.
    """

    device_id: bytes
    cuts: tuple[Cut, ...]
    removed_by: tuple[bytes, ...]


@dataclass(frozen=True)
class Epoch:
    """An epoch, named by the entry that made it.

    `holders` were given its key; `wraps` are the epochs whose keys open with it. A void epoch is never written under,
    but what was written under it may still have to be read.
    """

    epoch_id: bytes
    author: bytes
    created_at: int
    holders: frozenset[bytes]
    wraps: frozenset[bytes]
    is_void: bool


@dataclass(frozen=True)
class Contradiction:
    """The alarm: entries of one author, each concurrent with another of them."""

    author: bytes
    entries: tuple[bytes, ...]


@dataclass(frozen=True)
class Membership:
    """What a set of entries amounts to. Ids and hashes are 32 bytes, tuples are sorted; nothing here is secret.

    - `heads`: the newest entries; `void`: adds and rotations that do not stand.
    - `members`: all members by id, the phrase included; `departed`: those that are none any more.
    - `epochs` by id, and `current`, the one to write under, unless `rotation_due`: then rotate first, after which
      `current` is the new one (`crypto.epochs.must_rotate` asks the keys a device really holds as well).
    - `alarms`: authors that contradicted themselves.
    - `pending`: entries that build on entries not known yet; `refused`: entries that can never count, each with why.
    """

    genesis: Genesis
    entries: Mapping[bytes, Entry] = field(repr=False)
    heads: tuple[bytes, ...]
    members: Mapping[bytes, Member]
    departed: Mapping[bytes, Departure]
    void: frozenset[bytes]
    epochs: Mapping[bytes, Epoch] = field(repr=False)
    current: bytes
    rotation_due: bool
    alarms: tuple[Contradiction, ...]
    pending: Mapping[bytes, Entry]
    refused: Mapping[bytes, str]
    _known: Mapping[bytes, Entry] = field(repr=False, compare=False)
    _dag: Dag = field(repr=False, compare=False)

    @property
    def library_id(self) -> bytes:
        """The hash of genesis."""
        return self.genesis.library_id

    @property
    def membership(self) -> bytes:
        """`heads_hash` of the heads: what the headers of envelopes carry."""
        return heads_hash(self.heads)

    @property
    def phrases(self) -> tuple[bytes, ...]:
        """The recovery phrase's id: or several ids, if it was replaced more than once at the same time."""
        return tuple(sorted(member.device_id for member in self.members.values() if member.is_phrase))

    def heads_for(self, author: bytes) -> tuple[bytes, ...]:
        """Return the heads a new entry by `author` names: all, or, of more than 64, its own line and the lowest.

        The rest is named by the entries after it, each of which leaves 63 fewer.
        """
        if len(self.heads) <= MAX_HEADS:
            return self.heads
        own = self._dag.latest_of(author)
        if not own and author in self.members:  # else it would be no member, as far as it knew itself
            own = [self.members[author].entry]
        others = {head for head in self.heads if not any(one == head or self._dag.precedes(one, head) for one in own)}
        return tuple(sorted(sorted(self.heads, key=lambda head: (head in others, head))[:MAX_HEADS]))

    def seen_from(self, heads: tuple[bytes, ...]) -> tuple[Mapping[bytes, Member], frozenset[bytes]]:
        """Return the members, and the ids of the epochs, as who knows these heads and no others sees them."""
        if heads == self.heads:
            return self.members, frozenset(self.epochs)
        view = self._dag.view(heads)
        members = {device: _member(self._dag, view, device) for device in view.members()}
        return members, frozenset(filter(view.has_epoch, self.epochs))

    def admissions(self, device_id: bytes) -> Iterator[Entry]:
        """Yield the entries that admitted a device, void ones included."""
        return self._dag.everything().admissions(device_id)

    def refusal(self, entry: Entry) -> str | None:
        """Return why a new entry, made beside heads that are all known, would be refused; None if it would not."""
        return self._dag.refusal(entry)

    def precedes(self, one: bytes, other: bytes) -> bool:
        """Tell whether admitted entry `one` was seen by the author of admitted entry `other`."""
        return self._dag.precedes(one, other)

    def with_entries(self, entries: Iterable[Entry]) -> Membership:
        """Return what all entries given so far, pending and refused ones included, and `entries` amount to together."""
        return evaluate(self.genesis, [*self._known.values(), *entries])


def evaluate(genesis: Genesis, entries: Iterable[Entry]) -> Membership:
    """Return what `entries` amount to, in any order and any number of times each.

    `genesis` is verified, and so are the entries, for its library (`WrongLibrary`).
    """
    known = {entry.hash: entry for entry in entries}
    for entry in known.values():
        if entry.library_id != genesis.library_id:
            raise WrongLibrary(f"{entry.name} is not of library {genesis.library_id.hex()[:8]}")
    dag = Dag(genesis)
    refused = _admit(dag, known)
    view = dag.everything()
    void = frozenset(entry.hash for entry in dag.entries.values() if not view.stands(entry))
    members = {device: _member(dag, view, device) for device in sorted(view.members())}
    departed = _departed(dag, view, members)
    epochs = _epochs(dag, void)
    newest = dag.unseen(epoch.epoch_id for epoch in epochs.values() if not epoch.is_void)
    current = min(newest)
    return Membership(
        genesis=genesis,
        entries={entry_id: dag.entries[entry_id] for entry_id in sorted(dag.entries)},
        heads=tuple(sorted(dag.heads)),
        members=members,
        departed=departed,
        void=void,
        epochs={epoch_id: epochs[epoch_id] for epoch_id in sorted(epochs)},
        current=current,
        rotation_due=len(newest) > 1 or epochs[current].holders != members.keys(),
        alarms=tuple(Contradiction(author, found) for author, found in sorted(dag.contradictions().items())),
        pending={one: known[one] for one in sorted(known.keys() - dag.entries.keys() - refused.keys())},
        refused=dict(sorted(refused.items())),
        _known=known,
        _dag=dag,
    )


def _admit(dag: Dag, known: Mapping[bytes, Entry]) -> dict[bytes, str]:
    """Offer every entry to `dag` after its heads (Kahn's order); return those refused, with the reasons."""
    followers: dict[bytes, list[Entry]] = {}
    missing = {}
    ready = deque[Entry]()
    for entry in known.values():
        missing[entry.hash] = sum(head not in dag for head in entry.heads)
        for head in entry.heads:
            followers.setdefault(head, []).append(entry)
        if not missing[entry.hash]:
            ready.append(entry)
    refused: dict[bytes, str] = {}
    while ready:
        entry = ready.popleft()
        refusal = dag.offer(entry)
        if refusal is not None:
            refused[entry.hash] = refusal
            continue
        for follower in followers.get(entry.hash, ()):
            missing[follower.hash] -= 1
            if not missing[follower.hash]:
                ready.append(follower)
    _refuse_followers(refused, followers)
    return refused


def _refuse_followers(refused: dict[bytes, str], followers: Mapping[bytes, list[Entry]]) -> None:
    spreading = deque(refused)
    while spreading:
        for follower in followers.get(spreading.popleft(), ()):
            if follower.hash not in refused:
                refused[follower.hash] = "it builds on an entry that is refused"
                spreading.append(follower.hash)


def _member(dag: Dag, view: View, device: bytes) -> Member:
    genesis = dag.genesis
    if device == genesis.device_id:
        return Member(device, genesis.device_exchange, genesis.created_at, genesis.library_id, None, False, None)
    if device == genesis.phrase_id:
        return Member(device, genesis.phrase_exchange, genesis.created_at, genesis.library_id, None, True, None)
    standing = [entry for entry in view.admissions(device) if view.stands(entry)]
    # Two members may have added one newcomer at the same time.
    entry = min(standing, key=lambda one: (one.kind is not EntryKind.REPLACE, one.hash))
    content = entry.admission
    return Member(
        device_id=device,
        exchange=content.exchange,
        added_at=entry.created_at,
        entry=entry.hash,
        added_by=entry.author,
        is_phrase=entry.kind is EntryKind.REPLACE,
        continues=entry.author if content.continues else None,
    )


def _departed(dag: Dag, view: View, members: Mapping[bytes, Member]) -> dict[bytes, Departure]:
    every = {dag.genesis.device_id, dag.genesis.phrase_id, *dag.admissions}
    return {
        device: Departure(
            device,
            _cuts(view, device),
            tuple(sorted(removal.hash for removal in view.removals(device))),
        )
        for device in sorted(every - members.keys())
    }


def _cuts(view: View, device: bytes) -> tuple[Cut, ...]:
    """Return the cuts that count.

    Those of members in good standing count together: each accepted what it says it accepted. One that was revoked
    concurrently could use a revocation to have forged envelopes of an accomplice accepted, so its word counts only
    where nobody else revoked the device, and then the lowest.
    """
    said = [(view.is_uncontested(removal), _cut(removal)) for removal in view.removals(device)]
    trusted = {cut for uncontested, cut in said if uncontested}
    if trusted:
        return tuple(sorted(trusted, key=lambda cut: (cut.seq, cut.hash)))
    lowest = min((cut.seq for _, cut in said), default=0)
    counting = {cut for _, cut in said if cut.seq == lowest} or {NO_ENVELOPE}
    return tuple(sorted(counting, key=lambda cut: cut.hash))


def _cut(removal: Entry) -> Cut:
    return removal.content.cut if isinstance(removal.content, Revocation) else NO_ENVELOPE


def _epochs(dag: Dag, void: frozenset[bytes]) -> dict[bytes, Epoch]:
    """Return all epochs: genesis first, and each after those its author knew."""
    genesis = dag.genesis
    holders: dict[bytes, set[bytes]] = {genesis.library_id: {genesis.device_id, genesis.phrase_id}}
    for entry in dag.rotations:
        holders[entry.hash] = set(entry.rotation.boxes)
    for device, admissions in dag.admissions.items():
        for entry in admissions:
            # Void or not: the newcomer can read.
            holders[entry.admission.epoch_id].add(device)
    first = genesis.library_id
    epochs = {first: Epoch(first, genesis.device_id, genesis.created_at, frozenset(holders[first]), frozenset(), False)}
    for entry in dag.rotations:
        epochs[entry.hash] = Epoch(
            entry.hash,
            entry.author,
            entry.created_at,
            frozenset(holders[entry.hash]),
            frozenset(entry.rotation.wrapped),
            entry.hash in void,
        )
    return epochs
