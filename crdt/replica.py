"""One document held in memory by the CRDT engine, and everything a foreign change must pass before the engine sees it.

The engine is Automerge through its Python binding. It takes changes only inside a sync message and says nothing of
those it drops, keeps a queue that can be poisoned, and can be made to panic; so this module reads every change first
(:mod:`crdt.change`), checks what it refers to (:mod:`crdt.history`), keeps early ones itself (:mod:`crdt.orphans`),
hands over only what is ready, and requires that the heads are then what they must be.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from heapq import heappop, heappush
from typing import Self

from crdt.change import ACTOR_BYTES, DEVICE_PREFIX_BYTES, Change, change_actor, chunk_hash, parse_change
from crdt.documents import DocumentKind, document_kind
from crdt.edits import effective_writes
from crdt.engine import ROOT, Engine
from crdt.errors import (
    ActorRefused,
    ChangeInvalid,
    DependencyMissing,
    DuplicateSequence,
    OperationInvalid,
    OperationRefused,
    OrphanLimit,
    SnapshotInvalid,
)
from crdt.genesis import (
    EXTENSION_PREFIX,
    GENESIS_MAPS,
    RESERVED_ACTOR,
    constant_changes,
    extension_change,
    object_ids,
)
from crdt.history import History, Node
from crdt.key_index import KeyIndex
from crdt.operations import Operation, Scalar
from crdt.orphans import OrphanQueue
from crdt.schema import SHAPES
from crdt.snapshot import split_snapshot
from crdt.weight import check_room_for_edit, check_weight


def device_prefix(device_id: bytes) -> bytes:
    """Make the first half of every actor of a device: the first 8 bytes of BLAKE2b-512(device id)."""
    return hashlib.blake2b(device_id).digest()[:DEVICE_PREFIX_BYTES]


def new_actor(device_id: bytes) -> bytes:
    """Make a fresh actor of a device, 16 bytes; anew each time a replica is opened for writing."""
    return device_prefix(device_id) + os.urandom(ACTOR_BYTES - DEVICE_PREFIX_BYTES)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that had waited, and turned out to be invalid once what it builds on was there."""

    change_hash: bytes
    actor: bytes
    error: ChangeInvalid


@dataclass(slots=True)
class Applied:
    """What :meth:`Replica.apply` did.

    Attributes:
        touched: map and key of every value that changes now applied have written or deleted.
        queued: how many changes of the document now wait for others.
        applied: how many changes the document has gained, those that had waited included.
        refused: changes that had waited and were thrown away; an alarm about the device that made them.
    """

    touched: set[tuple[str, str]] = field(default_factory=set)
    queued: int = 0
    applied: int = 0
    refused: list[Refusal] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """What one call of ``apply`` has admitted so far, not yet in the engine."""

    staged: list[tuple[bytes, Node]] = field(default_factory=list)
    accepted: list[Change] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    refused: list[Refusal] = field(default_factory=list)


class _Waiting(Enum):
    """What becomes of a change that arrives before one it builds on."""

    BOUNDED = auto()
    UNBOUNDED = auto()
    REFUSED = auto()


class Replica:
    """One document. Not thread-safe. After :class:`ChangeNotApplied` it must be thrown away and loaded again."""

    def __init__(self, document: str, engine: Engine, kind: DocumentKind) -> None:
        """Use :meth:`create` or :meth:`load`."""
        self._document = document
        self._engine = engine
        self._kind = kind
        self._objects = object_ids(kind)
        self._constants = constant_changes(kind)
        self._foreign = {change for other in DocumentKind if other is not kind for change in constant_changes(other)}
        self._history_read: History | None = None
        self._orphans = OrphanQueue()
        self._keys = KeyIndex(lambda map_name: engine.keys(self._objects[map_name]))

    @classmethod
    def create(cls, document: str, actor: bytes) -> Self:
        """Make a document that holds its genesis change and nothing else.

        Raises:
            DocumentNameInvalid: if ``document`` is no document's name.
            ActorRefused: if ``actor`` is not 16 bytes, or the reserved one.
        """
        kind = document_kind(document)
        engine = Engine.new(_checked_actor(actor))
        engine.receive([extension_change(kind, 0)])
        return cls(document, engine, kind)

    @classmethod
    def load(cls, document: str, snapshot: bytes, actor: bytes) -> Self:
        """Load a document as :meth:`save` wrote it, with the changes that waited.

        The bytes must come from a trustworthy place (sealed by this device): what can be told cheaply is checked,
        the history is not.

        Raises:
            SnapshotInvalid: if they do not load, or are no document of this kind.
            DocumentNameInvalid, ActorRefused: as :meth:`create`.
        """
        kind = document_kind(document)
        saved, waiting = split_snapshot(snapshot)
        try:
            engine = Engine.load(saved, _checked_actor(actor))
        except ValueError as error:
            raise SnapshotInvalid(f"the snapshot of {document} does not load: {error}") from error
        replica = cls(document, engine, kind)
        replica._check_root()
        try:
            if waiting:
                replica.apply(waiting, author=None)
        except (ChangeInvalid, OrphanLimit) as error:
            raise SnapshotInvalid(f"the snapshot of {document} carries a change that is refused: {error}") from error
        return replica

    @property
    def document(self) -> str:
        """The document's name."""
        return self._document

    @property
    def actor(self) -> bytes:
        """Who makes this replica's edits, 16 bytes."""
        return self._engine.actor

    def save(self) -> bytes:
        """Write the document and the changes that wait; loaded back and compared before the bytes are returned.

        Raises:
            SnapshotInvalid: if they do not load back to the same heads; whatever was saved before stays the good one.
        """
        saved = self._engine.save()
        try:
            loaded = Engine.load(saved, self.actor)
        except ValueError as error:
            raise SnapshotInvalid(f"the snapshot of {self._document} does not load back: {error}") from error
        if loaded.heads() != self._engine.heads():
            raise SnapshotInvalid(f"the snapshot of {self._document} loads back to other heads")
        return saved + self._waiting_bytes()

    def save_unchecked(self) -> bytes:
        """Write the document as :meth:`save` does in twice the time, for whoever loads it back at once."""
        return self._engine.save() + self._waiting_bytes()

    def changes_since(self, heads: Sequence[bytes]) -> list[bytes]:
        """List the raw bytes of the changes past ``heads``, all of which the document must hold."""
        return self._engine.changes_since(heads)

    def changes(self) -> list[bytes]:
        """List the raw bytes of every change but the constant ones and those that wait.

        The order depends on the changes alone: each stands after all it builds on, and of those that could stand at a
        place the one with the lowest hash does.
        """
        found = {change_hash: (needs, raw) for change_hash, needs, raw in self._engine.changes()}
        missing: dict[bytes, int] = {}
        followers: dict[bytes, list[bytes]] = {}
        ready: list[bytes] = []
        for change_hash, (needs, _) in found.items():
            if change_hash in self._constants:
                continue
            own = [need for need in needs if need not in self._constants]
            missing[change_hash] = len(own)
            for need in own:
                followers.setdefault(need, []).append(change_hash)
            if not own:
                heappush(ready, change_hash)
        ordered = []
        while ready:
            change_hash = heappop(ready)
            ordered.append(found[change_hash][1])
            for follower in followers.get(change_hash, ()):
                missing[follower] -= 1
                if not missing[follower]:
                    heappush(ready, follower)
        return ordered

    def holds(self, change_hash: bytes) -> bool:
        """Tell whether a change is part of the document; one that waits is not."""
        return change_hash in self._history

    def awaits(self, change_hash: bytes) -> bool:
        """Tell whether a change is here and waits for others."""
        return change_hash in self._orphans

    def waits(self) -> int:
        """Count the changes that wait for others."""
        return len(self._orphans)

    def waiting(self) -> list[Change]:
        """List the changes that wait for others, in order of arrival."""
        return list(self._orphans)

    def weight(self) -> int:
        """Return what the document weighs (:mod:`crdt.weight`), what waits included."""
        return self._history.weights.total() + self._orphans.weights.total()

    def forget_waiting(self, changes: Collection[bytes]) -> None:
        """Throw away those of these changes, by hash, that wait for others; what builds on them waits for ever."""
        for change_hash in changes:
            self._orphans.remove(change_hash)

    def watch_changes(self, before_each: Callable[[bytes], object] | None) -> None:
        """Call ``before_each`` with the raw bytes of each change before the engine sees it; ``None`` ends that."""
        self._engine.before_each = before_each

    def heads(self) -> tuple[bytes, ...]:
        """List the hashes of the changes no other change builds on, ascending."""
        return tuple(self._engine.heads())

    def state(self) -> bytes:
        """Name what the document holds and what waits, in 32 bytes; two replicas of one state go on alike."""
        waiting = sorted(change.hash for change in self._orphans)
        return hashlib.blake2b(b"".join((*self.heads(), b"waiting", *waiting)), digest_size=32).digest()

    def missing(self) -> list[bytes]:
        """List the hashes of the changes that queued ones wait for, ascending."""
        return self._orphans.missing(self._is_there)

    def unknown_maps(self) -> tuple[str, ...]:
        """Name the maps with content that only a newer version can read: "update needed"."""
        present = set(self._engine.keys(ROOT)) - SHAPES[self._kind].keys()
        return tuple(name for name in sorted(present) if self._engine.length(self._objects[name]))

    def get(self, map_name: str, key: str) -> Scalar | None:
        """Read the value at a key; ``None`` if there is none."""
        return self._engine.value(self._object(map_name), key)

    def items(self, map_name: str, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
        """List the keys that start with ``prefix``, in order, with their values, as of this call.

        Without a prefix the whole map is read at once; with one, a sorted index of its keys, made on first use.
        """
        map_id = self._object(map_name)
        if not prefix:
            return iter(self._engine.items(map_id))
        found = ((key, self._engine.value(map_id, key)) for key in self._keys.starting_with(map_name, prefix))
        return iter([(key, value) for key, value in found if value is not None])

    def count(self, map_name: str) -> int:
        """Count the keys of a map."""
        return self._engine.length(self._object(map_name))

    def edit(self, operations: Sequence[Operation]) -> bytes | None:
        """Make one change of these operations, to be shipped to the other devices.

        What is already so is left out; of several operations at one key the last holds.

        Returns:
            The raw bytes of the change, or ``None`` if nothing differs; then nothing has been made.

        Raises:
            OperationInvalid: if a map, key or value is not what the schema allows; the document is as before.
            DocumentFull: if this device has written as much to the document as one may; the document is as before.
            ChangeTooLarge: if they are more than fits one change (20,000 operations, 8 MiB); the document is as before.
            ChangeNotApplied: if the engine fails; the replica must be loaded again.
        """
        self._engine.check_usable()
        writes = effective_writes(operations, self._kind, self.get)
        if not writes:
            return None
        device = self.actor[:DEVICE_PREFIX_BYTES]
        check_room_for_edit(self._document, device, self._weight_of(device))
        raw = self._engine.transact([(self._objects[map_name], key, value) for map_name, key, value in writes])
        try:
            change = parse_change(raw, self._kind)
        except ChangeInvalid as error:
            # Others would refuse it and all that builds on it: better to lose the replica than to ship it.
            raise self._engine.give_up(f"an edit of {self._document} made a change that is refused: {error}") from error
        if self._history_read is not None:
            self._history_read.add_own(change)
        self._follow_keys({(map_name, key) for map_name, key, _ in writes})
        return raw

    def apply(
        self,
        changes: Sequence[bytes],
        *,
        author: bytes | None,
        continues: Collection[bytes] = (),
        bounded: bool = True,
    ) -> Applied:
        """Apply changes that arrived: all of them, or none. Repeats are no error and have no effect.

        Args:
            changes: raw change chunks, in any order; those that build on missing ones wait.
            author: device id of the envelope's author, whose actors the changes must be by. ``None`` for changes that
                were checked when they first arrived (a rebuild from this device's own log); any number may then wait.
            continues: ids of the devices that the author's add entry says it continues (a clone, a restored backup).
            bounded: whether the changes of one device that wait are bounded in number and size. Not where they are kept
                elsewhere already, and would be missed: what waits is there again at the next load.

        Raises:
            ChangeInvalid: one of its subclasses; nothing has been applied or queued.
            OrphanLimit: if too many changes of one device would wait; nothing has been applied or queued.
            ChangeNotApplied: if the engine fails; the replica must be loaded again.
        """
        if author is None:
            return self._take(changes, None, _Waiting.UNBOUNDED)
        allowed = {device_prefix(device) for device in (author, *continues)}
        return self._take(changes, allowed, _Waiting.BOUNDED if bounded else _Waiting.UNBOUNDED)

    def merge(self, changes: Sequence[bytes], *, devices: Collection[bytes]) -> Applied:
        """Apply changes of many devices that belong together and come without the envelopes that brought them.

        As :meth:`apply`, but the actors may be those of any of ``devices``, and none may have to wait: all that a
        change builds on is in the document, or among ``changes``.

        Raises:
            ChangeInvalid, ChangeNotApplied: as :meth:`apply`; ``DependencyMissing`` for one that would have to wait.
        """
        return self._take(changes, {device_prefix(device) for device in devices}, _Waiting.REFUSED)

    def _take(self, changes: Sequence[bytes], allowed: set[bytes] | None, waiting: _Waiting) -> Applied:
        self._engine.check_usable()
        arriving = self._read(changes, allowed)
        self._orphans.check_numbers(arriving.values())
        if allowed is not None:
            check_weight(self._document, arriving.values(), self._weight_of)
        heads = self._history.heads
        batch = _Batch()
        try:
            self._stage(arriving, batch)
            early = [change for change in arriving.values() if change.hash not in batch.seen]
            if waiting is _Waiting.REFUSED:
                self._require_none(early)
            elif waiting is _Waiting.BOUNDED:
                self._orphans.check_room(early, batch.accepted)
        except BaseException:
            self._history.forget([node for _, node in batch.staged], heads)
            raise
        if batch.staged:
            self._engine.receive([raw for raw, _ in batch.staged])
            # Whatever the engine dropped is a head of the history, or below one that the engine then lacks too.
            if self._engine.heads() != self._history.heads:
                raise self._engine.give_up(f"the CRDT engine dropped changes to {self._document}")
        return self._settle(arriving, batch)

    def _weight_of(self, device: bytes) -> int:
        return self._history.weights[device] + self._orphans.weights[device]

    def _waiting_bytes(self) -> bytes:
        return b"".join(change.raw for change in self._orphans)

    def _require_none(self, early: Sequence[Change]) -> None:
        if early:
            raise DependencyMissing(
                f"a change of actor {early[0].actor.hex()} to {self._document} builds on one that is not there"
            )

    def _read(self, changes: Sequence[bytes], allowed: set[bytes] | None) -> dict[bytes, Change]:
        """Read the changes of a call, checking all that can be told before what they build on is there."""
        arriving: dict[bytes, Change] = {}
        for raw in changes:
            change_hash = chunk_hash(raw)
            if change_hash in self._constants:
                continue
            actor = change_actor(raw)
            if allowed is not None and actor[:DEVICE_PREFIX_BYTES] not in allowed:
                raise ActorRefused(f"a change is by actor {actor.hex()}, which is not its author's")
            if change_hash in self._history or change_hash in self._orphans or change_hash in arriving:
                continue
            change = parse_change(raw, self._kind)
            if not self._foreign.isdisjoint(change.dependencies):
                raise OperationRefused(f"a change to {self._document} builds on a document of another kind")
            if self._history.at_sequence(actor, change.sequence) is not None:
                raise DuplicateSequence(f"actor {actor.hex()} made two changes with the number {change.sequence}")
            arriving[change_hash] = change
        return arriving

    def _stage(self, arriving: dict[bytes, Change], batch: _Batch) -> None:
        """Admit to the history what is ready, then what waited for it, and so on."""
        waiting: dict[bytes, list[Change]] = {}
        for change in arriving.values():
            for dependency in change.dependencies:
                waiting.setdefault(dependency, []).append(change)
        pending = deque(arriving.values())
        while pending:
            change = pending.popleft()
            if change.hash in batch.seen or not all(map(self._is_there, change.dependencies)):
                continue
            batch.seen.add(change.hash)
            try:
                self._stage_constants(change, batch)
                node = self._history.admit(change, self._map_makers(change))
            except ChangeInvalid as error:
                if change.hash in arriving:
                    raise
                batch.refused.append(Refusal(change.hash, change.actor, error))
                continue
            batch.staged.append((change.raw, node))
            batch.accepted.append(change)
            pending.extend(waiting.get(change.hash, ()))
            pending.extend(self._orphans.waiting_for(change.hash))

    def _stage_constants(self, change: Change, batch: _Batch) -> None:
        """Add the constant changes that ``change`` names and the document lacks; they need not be shipped."""
        last = max((self._constants.get(dependency, 0) for dependency in change.dependencies), default=0)
        hashes = list(self._constants)[: last + 1]
        for number, change_hash in enumerate(hashes):
            if change_hash not in self._history:
                counter = len(GENESIS_MAPS[self._kind]) + number
                node = self._history.add_constant(change_hash, number + 1, counter, hashes[number - 1])
                batch.staged.append((extension_change(self._kind, number), node))

    def _settle(self, arriving: dict[bytes, Change], batch: _Batch) -> Applied:
        """Bring the queue and the index of keys in line with what the engine has taken in."""
        for _, node in batch.staged:
            node.pending = None
        touched: set[tuple[str, str]] = set()
        for change in batch.accepted:
            self._orphans.remove(change.hash)
            touched.update((write.map, write.key) for write in change.writes)
        for refusal in batch.refused:
            self._orphans.remove(refusal.change_hash)
        for change in arriving.values():
            if change.hash not in batch.seen:
                self._orphans.add(change)
        self._follow_keys(touched)
        return Applied(touched, len(self._orphans), len(batch.accepted), batch.refused)

    @property
    def _history(self) -> History:
        """The graph of the document's changes, read from the engine when first needed."""
        if self._history_read is None:
            self._history_read = History(self._engine, self._kind)
        return self._history_read

    def _is_there(self, change_hash: bytes) -> bool:
        return change_hash in self._history or change_hash in self._constants

    def _map_makers(self, change: Change) -> list[bytes]:
        """Hash the constant changes, other than the genesis, that make the maps a change writes to."""
        names = {write.map for write in change.writes if write.map.startswith(EXTENSION_PREFIX)}
        hashes = list(self._constants) if names else []
        return [hashes[int(name.removeprefix(EXTENSION_PREFIX))] for name in names]

    def _follow_keys(self, written: set[tuple[str, str]]) -> None:
        self._keys.note(written, lambda map_name, key: self.get(map_name, key) is not None)

    def _check_root(self) -> None:
        """Check that the root holds this kind's maps as the reserved actor made them, and nothing else."""
        present = self._engine.keys(ROOT)
        for counter, name in enumerate(self._objects, start=1):
            if name in present and self._engine.operation(ROOT, name) != (counter, RESERVED_ACTOR):
                raise SnapshotInvalid(f"the snapshot is not one of {self._document}: {name!r} is another map")
        if not set(GENESIS_MAPS[self._kind]) <= set(present) <= self._objects.keys():
            raise SnapshotInvalid(f"the snapshot is not one of {self._document}: it has other maps")

    def _object(self, map_name: str) -> bytes:
        map_id = self._objects.get(map_name)
        if map_id is None:
            raise OperationInvalid(f"{self._document} has no map {map_name!r}")
        return map_id


def _checked_actor(actor: bytes) -> bytes:
    if len(actor) != ACTOR_BYTES or actor == RESERVED_ACTOR:
        raise ActorRefused(f"an actor has {ACTOR_BYTES} bytes, and is not the reserved one")
    return actor
